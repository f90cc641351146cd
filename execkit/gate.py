"""Gate: the one way out. Every order, of a strategy or of the engine itself, passes it.

Routing, the instrument's grid, the risk checks, the journal, and only then the venue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from execkit.account import Account, reference_of
from execkit.bookkeeping import Bookkeeper, fit
from execkit.clock import NS_PER_S, Clock
from execkit.domain import ExecutionOrder, Position, TradingSignal
from execkit.driver import Driver
from execkit.errors import FixRequest, InvalidInput
from execkit.frames import table_html
from execkit.monitor import OrderMonitor
from execkit.orders import OrderManager, instrument_of
from execkit.positions import PositionTracker
from execkit.protection import Protector
from execkit.risk import Approved, Refused, RiskGuard
from execkit.signals import NoPosition, check_exits, new_order
from execkit.snapshot import AccountSnapshot
from execkit.venues.base import Quote, Venue
from execkit.words import ExecutionMode, ExecutionStatus, Side

_S = ExecutionStatus
_INTENT = (
    "venue",
    "symbol",
    "side",
    "order_type",
    "quantity",
    "price",
    "stop_price",
    "strategy_id",
)


@dataclass(frozen=True, kw_only=True)
class ExecutionResult:
    """What became of a request. success : the order was sent and not turned down.

    position : the open position in the symbol afterwards, None if there is none (yet): a copy, it
    does not move on (see `ExecutionEngine.positions`). code : why
    not, as a closed word: a refusal's code, invalid_input, no_position, rejected, expired,
    canceled, unknown (sent, no answer: it is looked up, do not send again).
    """

    success: bool
    order: ExecutionOrder | None = None
    position: Position | None = None
    error: str = ""
    code: str = ""
    refused: Refused | None = None

    @classmethod
    def of(cls, error: FixRequest, order: ExecutionOrder | None = None) -> ExecutionResult:
        code = "no_position" if isinstance(error, NoPosition) else "invalid_input"
        return cls(success=False, order=order, error=str(error), code=code)

    def _repr_html_(self) -> str:
        order, held = self.order, self.position
        rows: list[tuple[str, object]] = [("success", "yes" if self.success else "no")]
        if self.code:
            rows += [("code", self.code), ("error", self.error)]
        if order is not None:
            price = order.average_filled_price
            filled = f"{order.filled_quantity} of {order.quantity}"
            rows += [
                ("order", f"{order.side.value} {order.symbol} {order.order_type.value}"),
                ("status", order.status.value),
                ("filled", filled if price is None else f"{filled} at {price:f}"),
            ]
        if held is not None:
            rows.append(("position", f"{held.quantity} {held.symbol} at {held.average_price:f}"))
        return table_html(rows)


class Gate:
    """Parameters
    ----------
    venues : by routing name. timeout_ns : after which a strategy's order is canceled, 0 = never.
    duplicate_ns : how long an order that opens and is like one before is refused, 0 = it is not.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        account: Account,
        books: Bookkeeper,
        driver: Driver,
        *,
        timeout_ns: int = 0,
        duplicate_ns: int = 0,
    ) -> None:
        self.venues, self.account, self.books, self.driver = venues, account, books, driver
        self.timeout_ns, self.duplicate_ns = timeout_ns, duplicate_ns
        self._signals: set[str] = set()  # ids that were acted on
        self._lately: deque[ExecutionOrder] = deque()  # sent within `duplicate_ns`
        self.open = False  # until the engine has started
        self.clock: Clock = account.clock
        self.orders: OrderManager = books.orders
        self.tracker: PositionTracker = books.tracker
        self.guard: RiskGuard = books.guard
        self.monitor: OrderMonitor = books.monitor
        self.protector = Protector(
            self.orders, self.tracker, self.clock, self._place_leg, self.cancel, driver.at
        )
        self.orders.check = self.judge
        self.guard.snapshot = self.snapshot

    def venue(self, name: str) -> Venue:
        found = self.venues.get(name)
        if found is None:
            known = ", ".join(sorted(self.venues))
            raise InvalidInput("exchange_name", name, f"use one of: {known}")
        return found

    def must_be_open(self) -> None:
        if not self.open:
            raise InvalidInput("engine", "not started", "await engine.start() first")

    async def place(
        self,
        order: ExecutionOrder,
        exchange_name: str,
        signal: TradingSignal | None = None,
        *,
        is_exit: bool = False,
    ) -> ExecutionResult:
        """Send `order`, or say why not. Raises only `StopTrading`, and then nothing was sent."""
        try:
            self.must_be_open()
            venue = self.venue(exchange_name)
            order.validate()
            self.orders.ledger.must_be_new(order)
            instrument = instrument_of(order, venue)
            quote = self._quote(venue, order)
            fit(order, instrument, reference_of(quote))
            if signal is not None and not order.reduce_only:
                check_exits(signal, order, reference_of(quote))
        except FixRequest as error:
            return ExecutionResult.of(error, order)
        order.venue, order.mode = venue.name, venue.mode
        order.created_ts_ns = self.clock.now_ns()
        self.books.decided(order, quote)
        answer = self._twice(order, signal) or self.judge(order)
        if isinstance(answer, Refused):
            self.orders.refuse(order, answer, instrument)
            return ExecutionResult(
                success=False, order=order, error=str(answer), code=answer.code, refused=answer
            )
        if signal is not None and not order.reduce_only:
            self.protector.watch(order, signal.stop_loss, signal.take_profit)
        self.monitor.submitted(order, signal.ts_ns if signal is not None else None)
        if signal is not None:
            self._signals.add(signal.signal_id)
        if self.duplicate_ns:
            self._lately.append(order)
        await self.orders.submit(answer, venue)
        self.driver.wake()
        if not is_exit:
            self.time_out_later(order)
        return self.result(order)

    def time_out_later(self, order: ExecutionOrder) -> None:
        """Have a strategy's order canceled when its time is over."""
        if self.timeout_ns:
            self.driver.at(order.created_ts_ns + self.timeout_ns, lambda: self._time_out(order))

    def remember(self, signal_ids: Iterable[str]) -> None:
        """Signals that an earlier process acted on."""
        self._signals.update(signal_ids)

    def _twice(self, order: ExecutionOrder, signal: TradingSignal | None) -> Refused | None:
        """A signal is acted on once. So is an intent, within `duplicate_ns`: a like order that is
        live or has filled is what this one is for."""
        if signal is not None and signal.signal_id in self._signals:
            text = f"signal {signal.signal_id} was acted on before; make a new one to order again"
            return Refused(code="duplicate_intent", message=text)
        if not self.duplicate_ns or order.reduce_only or order.parent_order_id:
            return None
        since_ns = order.created_ts_ns - self.duplicate_ns
        while self._lately and self._lately[0].created_ts_ns < since_ns:
            self._lately.popleft()
        for other in self._lately:
            if _alike(other, order) and (other.status.is_live or other.filled_quantity):
                text = f"order {other.client_order_id} is the same, and was sent just before"
                limit = Decimal(self.duplicate_ns) / NS_PER_S
                return Refused(code="duplicate_intent", message=text, limit=limit, unit="s")
        return None

    def _quote(self, venue: Venue, order: ExecutionOrder) -> Quote | None:
        """None where the feed fails: what opens is refused without a price, an exit needs none."""
        try:
            return venue.quote(order.symbol)
        except Exception as error:  # noqa: BLE001 - whatever broke the feed, exits must go out
            self.orders.alarm("no_quote", f"{type(error).__name__}: {error}", order)
            return None

    async def place_exit(self, order: ExecutionOrder) -> ExecutionResult:
        """Send an order of the engine's own to `order.venue`."""
        for name, venue in self.venues.items():
            if venue.name == order.venue:
                return await self.place(order, name, is_exit=True)
        return ExecutionResult.of(self._elsewhere(order.venue), order)

    def _elsewhere(self, venue: str) -> InvalidInput:
        known = ", ".join(sorted(found.name for found in self.venues.values()))
        return InvalidInput("venue", venue, f"is none of this engine's: {known}; close it there")

    async def cancel(self, order: ExecutionOrder, reason: str) -> bool:
        """Ask for a cancel; what prevents it is an alarm, so that others are asked as well. Orders
        that somebody else sent are canceled by the emergency stop only."""
        place = next((v for v in self.venues.values() if v.name == order.venue), None)
        if place is None:
            self.orders.alarm("cancel_not_sent", str(self._elsewhere(order.venue)), order)
            return False
        external = reason == "emergency_stop"
        asked = await self.orders.cancel_order(order, place, reason=reason, external=external)
        self.driver.wake()
        return asked

    async def close(self, held: Position, reason: str) -> ExecutionResult:
        """Send a market order that closes a position."""
        side = Side.SELL if held.quantity > 0 else Side.BUY
        order = new_order(held.symbol, side, abs(held.quantity), reduce_only=True, reason=reason)
        order.venue = held.venue
        return await self.place_exit(order)

    async def _place_leg(self, order: ExecutionOrder) -> str:
        result = await self.place_exit(order)
        return "" if result.success else result.error or result.code

    def judge(self, order: ExecutionOrder) -> Approved | Refused:
        try:
            at = self.snapshot(order)
        except Exception as error:  # noqa: BLE001 - what cannot be looked at must not be approved
            message = f"the account cannot be valued ({type(error).__name__}: {error})"
            return Refused(code="limit_failed", message=message)
        return self.guard.check(order, at)

    def snapshot(self, order: ExecutionOrder) -> AccountSnapshot:
        limited = self.guard.limits.max_exposure is not None
        return self.account.snapshot(order, exposure=limited)

    def result(self, order: ExecutionOrder) -> ExecutionResult:
        """The outcome so far; an order that ended without any fill is no success."""
        held = self.tracker.get_position(order.symbol, order.venue)
        failed = order.status in (_S.UNKNOWN, _S.REJECTED)
        failed = failed or (order.is_done and not order.filled_quantity)
        return ExecutionResult(
            success=not failed,
            order=order,
            position=None if held is None else _as_it_is(held),
            error=f"{order.status.value}: {order.reason}" if failed else "",
            code=order.status.value if failed else "",
        )

    def _time_out(self, order: ExecutionOrder) -> None:
        if order.status.is_live and order.status is not _S.CANCEL_PENDING:
            self.monitor.timeouts += 1
            self.orders.tasks.spawn(self.orders.cancel_order(order, reason="timeout"))


def _alike(one: ExecutionOrder, other: ExecutionOrder) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _INTENT)


def _as_it_is(held: Position) -> Position:
    copy = object.__new__(Position)
    copy.__dict__.update(held.__dict__, fees=dict(held.fees))
    return copy


def checked(exchanges: Mapping[str, Venue], mode: ExecutionMode) -> dict[str, Venue]:
    """The venues, if they all are of `mode` and have names of their own; else `InvalidInput`."""
    if not exchanges:
        raise InvalidInput("exchanges", exchanges, "give at least one venue by name")
    names: set[str] = set()
    for name, venue in exchanges.items():
        if venue.mode is not mode:
            raise InvalidInput(
                "execution_mode",
                mode.value,
                f"venue {name!r} is {venue.mode.value}; make both the same",
            )
        if venue.name in names:
            raise InvalidInput("exchanges", venue.name, "two venues have this name; rename one")
        names.add(venue.name)
    return dict(exchanges)
