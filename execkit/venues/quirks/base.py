"""`Quirks`: everything about one exchange that a live venue must know, beside what ccxt knows.

A live venue names no exchange. It asks its quirks for each request as a `Call` and gives them each
answer, as ccxt parsed it (client made with `{"number": str}`), to be read. What an exchange
does not support raises `InvalidInput` before anything is sent; nothing is silently dropped.

This base holds what most exchanges share; each file beside it holds only where one differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from execkit.clock import NS_PER_MS, NS_PER_S
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.venues.quirks.calls import Budget, Call, Permissions, Support
from execkit.venues.quirks.markets import Answer, plain
from execkit.venues.quirks.reading import Reading
from execkit.words import OrderType, Side, TimeInForce

FEATURES = (
    *(kind.value for kind in OrderType),
    *(word.value for word in TimeInForce),
    *("post_only", "reduce_only", "oco", "batch", "amend", "cancel_all", "dead_man", "demo"),
)
_STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)


def _native(stated: object) -> Support:
    return Support.NATIVE if stated else Support.REFUSED


class Quirks(Reading):
    """One exchange as ccxt reaches it. Learns its markets from the client (`learn`), else pure."""

    needs: ClassVar[tuple[str, ...]] = ("apiKey", "secret")
    demo: ClassVar[str] = ""  # ccxt's way to the test world: "sandbox", "demo" or none
    overrides: ClassVar[Mapping[str, Mapping[str, Support]]] = {}  # by kind, over `.features`
    notes: ClassVar[Mapping[str, str]] = {}  # by feature: what a user should know about it
    budgets: ClassVar[tuple[Budget, ...]] = ()
    weights: ClassVar[Mapping[str, Mapping[str, int]]] = {}  # by ccxt method; "*" for the rest
    gtd_least_s: ClassVar[int] = 0  # an expiry nearer than that is emulated
    # kinds of instrument whose stops fire on whichever side the price is not when they arrive: one
    # that is already through would wait for the way back, so it must not be sent
    infers_direction: ClassVar[frozenset[str]] = frozenset()
    # own fills over REST: longest time between two ends, rows a page, which end a full page keeps
    fill_window_ns: ClassVar[int | None] = None
    fill_limit: ClassVar[int] = 100
    fill_newest_first: ClassVar[bool] = False
    fill_kinds: ClassVar[tuple[Mapping[str, object], ...]] = ({},)  # each is asked for by itself
    # streams: methods to keep awaiting, and whether their fills can be booked as they come
    streams: ClassVar[tuple[str, ...]] = ("watch_orders", "watch_my_trades", "watch_balance")
    fills_complete: ClassVar[bool] = True  # False: no fee or no client id; REST is the ledger
    # partial updates, which ccxt joins with what it has kept of the order (kraken, kucoin)
    joins_rows: ClassVar[bool] = False

    # ------------------------------------------------------------------------------- client

    def options(self) -> dict[str, Any]:
        """Arguments of the ccxt constructor beyond keys: exact numbers (text; ccxt loses what is
        `Decimal`), no limiter of its own."""
        return {"number": str, "enableRateLimit": False, "options": self.client_options()}

    def client_options(self) -> dict[str, Any]:
        return {}

    def prepare(self, client: Any, *, demo: bool = False) -> None:
        """Set a fresh client up; `demo` turns it to the exchange's test world, if it has one."""
        if demo and not self.demo:
            fix = f"{self.title} has no test world; use mode='paper', or a rehearsal exchange"
            raise InvalidInput("mode", "demo", fix)
        if demo:
            turn = client.set_sandbox_mode if self.demo == "sandbox" else client.enable_demo_trading
            turn(True)

    # --------------------------------------------------------------------------- capabilities

    def support(self, feature: str, kind: str) -> Support:
        """How `feature` (of `FEATURES`) is served for "spot" or "linear"."""
        if feature == "demo":
            return Support.NATIVE if self.demo else Support.REFUSED
        said = self.overrides.get(kind, {}).get(feature)
        return said if said is not None else self.stated(feature, kind)

    def stated(self, feature: str, kind: str) -> Support:
        """What follows from ccxt's `.features`, and from what our side can do safely."""
        branch = self.features.get("spot") if kind == "spot" else self.features.get("swap")
        branch = (branch or {}) if kind == "spot" else (branch or {}).get("linear") or {}
        create = branch.get("createOrder")
        if not create:
            return Support.REFUSED
        times = create.get("timeInForce") or {}
        contracts = kind != "spot"
        answers = {
            "market": Support.NATIVE,
            "limit": Support.NATIVE,
            "GTC": Support.NATIVE,
            # held on our side (`EmulatedVenue`) until the market is there: it needs our process
            "stop_market": _ours(create.get("triggerPrice")),
            "stop_limit": _ours(create.get("triggerPrice")),
            "trailing_stop": _ours(create.get("trailing")),
            "IOC": _native(times.get("IOC")),
            "FOK": _native(times.get("FOK")),
            "post_only": _native(times.get("PO")),
            # we cancel at the end, and again after a restart: late at worst, never lost
            "GTD": Support.NATIVE if times.get("GTD") else Support.EMULATED,
            # without margin a sale cannot go below nothing, and risk caps it at the position
            "reduce_only": Support.NATIVE if contracts else Support.EMULATED,
            # two legs that only reduce cannot open anything; on spot one is held, for each would
            # lock the coins
            "oco": Support.EMULATED,
            "batch": _native(branch.get("createOrders")),
            "amend": Support.REFUSED,
            "cancel_all": Support.NATIVE,
            "dead_man": Support.REFUSED,
        }
        return answers[feature]

    def wanted(self, order: ExecutionOrder) -> list[tuple[str, str]]:
        """(feature, field that asks for it) of an order."""
        wanted = [(order.order_type.value, "order_type")]
        resting = order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        if resting or order.time_in_force not in (TimeInForce.GTC, TimeInForce.IOC):
            wanted.append((order.time_in_force.value, "time_in_force"))
        wanted += [(f, f) for f in ("post_only", "reduce_only") if getattr(order, f)]
        return wanted + ([("oco", "oco_group")] if order.oco_group else [])

    def require(self, order: ExecutionOrder) -> frozenset[str]:
        """The features of an order that our side has to emulate; `InvalidInput` naming the first
        that the exchange does not serve and we cannot."""
        instrument = self.instrument_of(order)
        emulated = set()
        for feature, field in self.wanted(order):
            support = self.support(feature, instrument.kind)
            if support is Support.REFUSED:
                fix = f"{self.title} {instrument.kind} does not support {feature}"
                note = self.notes.get(feature)
                raise InvalidInput(field, getattr(order, field), f"{fix}: {note}" if note else fix)
            if support is Support.EMULATED or not self.fits(feature, order):
                emulated.add(feature)
        self._check_combination(order, instrument)
        return frozenset(emulated)

    def fits(self, feature: str, order: ExecutionOrder) -> bool:
        """Whether what is native in general is so for this order; else it is emulated."""
        if feature != "GTD" or order.expire_ts_ns is None:
            return True
        return order.expire_ts_ns - order.created_ts_ns >= self.gtd_least_s * NS_PER_S

    def _check_combination(self, order: ExecutionOrder, instrument: Instrument) -> None:
        if order.order_type not in (OrderType.LIMIT, OrderType.STOP_LIMIT) and (
            order.time_in_force not in (TimeInForce.GTC, TimeInForce.IOC)
        ):
            fix = f"a {order.order_type.value} order never rests; leave it at GTC"
            raise InvalidInput("time_in_force", order.time_in_force.value, fix)
        if order.post_only and order.order_type is OrderType.STOP_LIMIT:
            raise InvalidInput("post_only", True, "cannot be promised for a stop_limit; leave it")
        if order.reduce_only and instrument.kind == "spot" and order.side is Side.BUY:
            raise InvalidInput("reduce_only", True, "a spot purchase reduces nothing; leave it")
        if order.oco_group and instrument.kind != "spot" and not order.reduce_only:
            fix = "both orders of the group must be reduce_only: the second could fill before the "
            raise InvalidInput("oco_group", order.oco_group, fix + "first one's cancel arrives")

    def instrument_of(self, order: ExecutionOrder) -> Instrument:
        self.symbol(order.symbol)
        return self.instruments[order.symbol]

    # ------------------------------------------------------------------------------- requests

    def cost(self, method: str) -> Mapping[str, int]:
        return self.weights.get(method, self.weights.get("*", {}))

    def call(self, method: str, *args: Any, **params: object) -> Call:
        """A `Call` with its costs; a method without a symbol may cost more (`method:all`)."""
        everywhere = f"{method}:all"
        costs = self.cost(everywhere if None in args[:1] and everywhere in self.weights else method)
        return Call(method, args, params, costs)

    def order_call(self, order: ExecutionOrder) -> Call:
        """The request that places an order: (symbol, type, side, quantity, price), params.

        `InvalidInput` for what the exchange does not support and for numbers off its grid. Numbers
        are already rounded, so that ccxt's own rounding (half up, whatever the side) finds nothing.
        """
        emulated, instrument = self.require(order), self.instrument_of(order)
        if ours := sorted(emulated - {"reduce_only"}):
            fix = (
                f"{self.title} has no {', '.join(ours)} of its own; use an EmulatedVenue around it"
            )
            raise InvalidInput("venue", self.id, fix)
        if order.symbol in self.halted:
            raise InvalidInput("symbol", order.symbol, f"{self.title} has halted this market")
        instrument.check(order.quantity, order.price)
        if order.stop_price is not None and order.stop_price % instrument.tick_size:
            fix = f"is not a multiple of the tick {instrument.tick_size}"
            raise InvalidInput("stop_price", order.stop_price, fix)
        kind = "limit" if order.price is not None else "market"
        price = None if order.price is None else plain(order.price)
        params = self.order_params(order, instrument, emulated)
        quantity = self.exchange_quantity(order.symbol, order.quantity)
        name, side = self.symbol(order.symbol), order.side.value
        return self.call("create_order", name, kind, side, quantity, price, **params)

    def order_params(
        self, order: ExecutionOrder, instrument: Instrument, emulated: frozenset[str]
    ) -> dict[str, object]:
        """ccxt's unified parameters of an order."""
        params: dict[str, object] = self.id_param(order)
        if order.order_type in _STOPS:
            params |= self.stop_params(order, instrument)
        if order.order_type is OrderType.TRAILING_STOP:
            params |= self.trail_params(order, instrument)
        if order.post_only:
            params["postOnly"] = True
        if order.price is not None and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            params["timeInForce"] = order.time_in_force.value
        if order.time_in_force is TimeInForce.GTD and "GTD" not in emulated:
            params |= self.expiry_params(order)
        if order.reduce_only and "reduce_only" not in emulated:
            params["reduceOnly"] = True
        return params

    def id_param(self, order: ExecutionOrder) -> dict[str, object]:
        return {"clientOrderId": self.encode_id(order.client_order_id)}

    def stop_params(self, order: ExecutionOrder, instrument: Instrument) -> dict[str, object]:
        assert order.stop_price is not None  # by the checks of the order
        return {"triggerPrice": plain(order.stop_price)}

    def trail_params(self, order: ExecutionOrder, instrument: Instrument) -> dict[str, object]:
        assert order.trail_bps is not None
        return {"trailingPercent": plain(order.trail_bps / 100)}

    def expiry_params(self, order: ExecutionOrder) -> dict[str, object]:
        raise InvalidInput("time_in_force", "GTD", f"{self.title} has no native form of it here")

    def exchange_quantity(self, symbol: str, quantity: Decimal) -> str:
        return plain(quantity / self._sizes[symbol])

    def id_args(self, order: ExecutionOrder) -> tuple[str | None, dict[str, object]]:
        """How an existing order is named: (venue id, parameters): by the exchange's id once it is
        known, for client ids can be used again and orders of others may have none."""
        if order.venue_order_id:
            return order.venue_order_id, {}
        return None, self.id_param(order)

    def waits(self, order: ExecutionOrder) -> bool:
        """Whether it is a trigger that has not fired, so kept apart by many an exchange."""
        resting = order.order_type in (OrderType.MARKET, OrderType.LIMIT)
        return not resting and order.triggered_ts_ns is None

    def cancel_call(self, order: ExecutionOrder) -> Call:
        venue_id, params = self.id_args(order)
        return self.call("cancel_order", venue_id, self.symbol(order.symbol), **params)

    def amend_call(self, order: ExecutionOrder, quantity: Decimal, price: Decimal) -> Call:
        """Change a resting limit order in place: `quantity` in all, filled part included. The order
        keeps its ids. `InvalidInput` where the exchange would only cancel and place anew."""
        instrument = self.instrument_of(order)
        if self.support("amend", instrument.kind) is not Support.NATIVE:
            fix = self.notes.get("amend", "cancel the order and send another")
            raise InvalidInput("order", order.client_order_id, f"{self.title} cannot amend: {fix}")
        if order.order_type is not OrderType.LIMIT:
            raise InvalidInput("order_type", order.order_type.value, "only a limit can be amended")
        if not order.venue_order_id:
            # several clients would send an empty id beside ours
            raise InvalidInput("venue_order_id", "", "amend an order that the venue has accepted")
        instrument.check(quantity, price)
        venue_id, params = self.id_args(order)
        text, name = self.exchange_quantity(order.symbol, quantity), self.symbol(order.symbol)
        args = (venue_id, name, "limit", order.side.value, text, plain(price))
        return self.call("edit_order", *args, **params)

    def cancel_all_calls(self, symbol: str = "") -> Sequence[Call]:
        """Requests that cancel every open order of a symbol, triggers included; of all if none is
        given. Empty: the exchange has none that does just that, so cancel what is open one by
        one."""
        return [self.call("cancel_all_orders", self.symbol(symbol) if symbol else None)]

    def lookups(self, order: ExecutionOrder) -> Sequence[Call]:
        """Where an order may be found, in the order to ask: absent is what is in none of them.
        An answer is an order, or a list of orders to be searched for its id (`is_of`)."""
        venue_id, params = self.id_args(order)
        return [self.call("fetch_order", venue_id, self.symbol(order.symbol), **params)]

    def follow(self, row: Answer) -> Call | None:
        """Where an answer to a look-up only points at the order that does the trading (a trigger
        that fired), the call for that one, whose answer then counts."""
        return None

    def is_of(self, row: Answer, order: ExecutionOrder) -> bool:
        """Whether an order of an answer is `order`."""
        if order.venue_order_id and self.venue_id(row) == order.venue_order_id:
            return True
        wire = self.wire_id(row)
        return bool(wire) and self.decode_id(wire) == order.client_order_id

    def open_calls(self, symbol: str = "") -> Sequence[Call]:
        """Requests that together list all open orders, triggers included."""
        return [self.call("fetch_open_orders", self.symbol(symbol) if symbol else None)]

    def fills_call(self, symbol: str, start_ns: int, end_ns: int, venue_order_id: str = "") -> Call:
        """One page of own fills in [start, end], at most `fill_window_ns` apart; see `paging`.
        With an order's id, only its fills, where the exchange can tell them apart."""
        since, until = start_ns // NS_PER_MS, -(-end_ns // NS_PER_MS)
        name = self.symbol(symbol)
        return self.call("fetch_my_trades", name, since, self.fill_limit, until=until)

    def holdings_calls(self) -> Sequence[Call]:
        calls = [self.call("fetch_balance")]
        return calls + ([self.call("fetch_positions")] if "linear" in self.kinds else [])

    def next_page(self, call: Call, rows: Sequence[Answer]) -> Call | None:
        """The call for what did not fit into the answer to one of `open_calls`; None: no more."""
        return None

    def leverage_call(self, symbol: str, times: int, margin_mode: str) -> Call:
        """Sets the leverage of a symbol; `margin_mode` "" where it is to stay as it is."""
        return self.call("set_leverage", times, self.symbol(symbol))

    def dead_man_calls(self, timeout_s: int, symbols: Sequence[str] = ()) -> Sequence[Call]:
        """Cancel open orders unless called again within `timeout_s` (0: disarm); stops go too.
        Empty: there is no such timer."""
        return []

    def permissions_call(self) -> Call | None:
        """What the key may do; None where the exchange does not tell."""
        return None

    def permissions(self, answer: Any) -> Permissions:
        return Permissions()


def _ours(said: object) -> Support:
    return Support.NATIVE if said else Support.EMULATED
