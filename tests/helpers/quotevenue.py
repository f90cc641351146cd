"""QuoteVenue: a small replayed venue for tests of the engine.

It trades market, limit and stop_market orders on the top of a list of quotes, as `ReplayVenue`
asks: orders arrive after a latency, sizes shown are consumed, OCO groups close at the first fill,
reduce_only is clipped to the venue's own net position, which it keeps itself. It can be told to
misbehave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import nan

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.venues.base import Listener, Quote, UpdateKind, VenueUpdate
from execkit.words import ZERO, ExecutionMode, Liquidity, OrderType, Side, TimeInForce

S = 1_000_000_000
BTC = Instrument(
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    base="BTC",
    quote="USDT",
    min_notional=Decimal(5),
)


def quote(
    ts_s: float, bid: float, ask: float, size: float = 100.0, symbol: str = "BTCUSDT"
) -> Quote:
    return Quote(
        symbol=symbol,
        ts_ns=round(ts_s * S),
        bid=bid,
        ask=ask,
        bid_quantity=size,
        ask_quantity=size,
        last=nan,
    )


@dataclass
class Resting:
    order: ExecutionOrder
    left: Decimal
    armed: bool  # a stop that has not triggered
    rested: bool = False


@dataclass
class Faults:
    """What goes wrong next."""

    submit: list[BaseException] = field(default_factory=list)  # raised, the order not taken
    after_submit: list[BaseException] = field(default_factory=list)  # raised, the order taken
    cancel: list[BaseException] = field(default_factory=list)
    reject: set[OrderType] = field(default_factory=set)


class QuoteVenue:
    def __init__(
        self,
        quotes: list[Quote],
        *,
        name: str = "paper",
        mode: ExecutionMode = ExecutionMode.PAPER,
        instruments: tuple[Instrument, ...] = (BTC,),
        entry_ns: int = 0,
        response_ns: int = 0,
        fee_bps: Decimal = ZERO,
    ) -> None:
        self.name, self.mode = name, mode
        self._instruments = {i.symbol: i for i in instruments}
        self.quotes = sorted(quotes, key=lambda q: q.ts_ns)
        self.entry_ns, self.response_ns, self.fee_bps = entry_ns, response_ns, fee_bps
        self.faults = Faults()
        self.sent: list[str] = []  # every id that was handed over, in order
        self.closed = False
        self.position: dict[str, Decimal] = {}
        self._next, self._now = 0, 0
        self._shown: dict[str, Quote] = {}
        self._size: dict[tuple[str, Side], Decimal] = {}
        self._own: list[tuple[int, int, str, ExecutionOrder]] = []
        self._book: dict[str, Resting] = {}
        self._groups: set[str] = set()
        self._fills = self._count = 0
        self._events = 0
        self._listener: Listener | None = None

    # -- protocol ---------------------------------------------------------------------------

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def connect(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    def quote(self, symbol: str) -> Quote | None:
        return self._shown.get(symbol)

    async def submit(self, order: ExecutionOrder) -> None:
        if self.faults.submit:
            raise self.faults.submit.pop(0)
        self.sent.append(order.client_order_id)
        self._enqueue((order.sent_ts_ns or 0) + self.entry_ns, "arrive", order)
        if self.faults.after_submit:
            raise self.faults.after_submit.pop(0)

    async def cancel(self, order: ExecutionOrder) -> None:
        if self.faults.cancel:
            raise self.faults.cancel.pop(0)
        self._enqueue((order.cancel_ts_ns or 0) + self.entry_ns, "cancel", order)

    def seen(self, symbol: str, moments_ns: Sequence[int]) -> list[Quote]:
        run = [q for q in self.quotes[: self._next] if q.symbol == symbol]
        known = [[q for q in run if q.ts_ns <= moment][-1:] for moment in moments_ns]
        return sorted(
            {q.ts_ns: q for found in [*known, run[-1:]] for q in found}.values(),
            key=lambda q: q.ts_ns,
        )

    def hold(self, positions: Mapping[str, Decimal]) -> None:
        self.position.update(positions)

    def next_market_ns(self) -> int | None:
        return self.quotes[self._next].ts_ns if self._next < len(self.quotes) else None

    def last_market_ns(self) -> int | None:
        return self.quotes[-1].ts_ns if self.quotes else None

    def advance(self, until_ns: int) -> int:
        while True:
            market = self.next_market_ns()
            own = min(self._own)[0] if self._own else None
            due = min((t for t in (market, own) if t is not None), default=None)
            if due is None or due > until_ns:
                self._now = max(self._now, min(until_ns, 2**61))
                return until_ns
            self._now, before = max(self._now, due), self._events
            if market == due:
                self._show(self.quotes[self._next])
                self._next += 1
            else:
                self._own.sort()
                _, _, what, order = self._own.pop(0)
                (self._arrive if what == "arrive" else self._cancel)(order)
            if self._events > before:
                return self._now

    # -- matching ---------------------------------------------------------------------------

    def _enqueue(self, ts_ns: int, what: str, order: ExecutionOrder) -> None:
        self._count += 1
        self._own.append((max(ts_ns, self._now), self._count, what, order))

    def _show(self, shown: Quote) -> None:
        self._shown[shown.symbol] = shown
        self._size[shown.symbol, Side.BUY] = Decimal(str(shown.ask_quantity))
        self._size[shown.symbol, Side.SELL] = Decimal(str(shown.bid_quantity))
        for item in list(self._book.values()):
            if item.order.symbol == shown.symbol and item.order.client_order_id in self._book:
                self._try(item)

    def _arrive(self, order: ExecutionOrder) -> None:
        if order.order_type in self.faults.reject:
            self._tell(UpdateKind.REJECTED, order, "fault")
            return
        self._tell(UpdateKind.ACCEPTED, order)
        if order.oco_group and order.oco_group in self._groups:
            self._tell(UpdateKind.CANCELED, order, "oco")
            return
        stop = order.order_type is OrderType.STOP_MARKET
        item = Resting(order, order.quantity, armed=stop)
        self._book[order.client_order_id] = item
        self._try(item)
        item.rested = True

    def _cancel(self, order: ExecutionOrder) -> None:
        if self._book.pop(order.client_order_id, None) is not None:
            self._tell(UpdateKind.CANCELED, order, "requested")

    def _price(self, order: ExecutionOrder) -> Decimal | None:
        """The opposite best price, if something is shown there."""
        shown = self._shown.get(order.symbol)
        if shown is None:
            return None
        price = shown.ask if order.side is Side.BUY else shown.bid
        return Decimal(str(price)) if price == price else None

    def _try(self, item: Resting) -> None:
        order, price = item.order, self._price(item.order)
        if item.armed:
            if price is None or order.stop_price is None:
                return
            if (price - order.stop_price) * order.side.sign < 0:
                return
            item.armed = False
            self._tell(UpdateKind.TRIGGERED, order)
        limit = order.price
        through = limit is not None and price is not None
        beyond = through and (price - limit) * order.side.sign > 0  # type: ignore[operator]
        if price is not None and not beyond:
            self._take(item, limit if item.rested and limit is not None else price)
        if order.client_order_id not in self._book:
            return
        takes_once = order.order_type is not OrderType.LIMIT
        if takes_once or order.time_in_force is TimeInForce.IOC:
            self._end(item, UpdateKind.EXPIRED, "no_liquidity" if takes_once else "ioc")

    def _take(self, item: Resting, price: Decimal) -> None:
        order = item.order
        net = self.position.get(order.symbol, ZERO)
        want = item.left
        if order.reduce_only:
            want = min(want, max(ZERO, -net * order.side.sign))
            if not want:
                self._end(item, UpdateKind.CANCELED, "reduce_only")
                return
        key = (order.symbol, order.side)
        quantity = min(want, self._size.get(key, ZERO))
        if not quantity:
            return
        self._size[key] -= quantity
        item.left -= quantity
        self.position[order.symbol] = net + quantity * order.side.sign
        self._fills += 1
        fill = Fill(
            fill_id=f"{order.client_order_id}-{self._fills}",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            venue_ts_ns=self._now,
            local_ts_ns=self._now + self.response_ns,
            liquidity=Liquidity.MAKER if item.rested else Liquidity.TAKER,
            fee=quantity * price * self.fee_bps / 10_000,
            fee_currency="USDT" if self.fee_bps else "",
            venue=self.name,
        )
        self._tell(UpdateKind.FILL, order, fill=fill)
        if not item.left:
            del self._book[order.client_order_id]
        if order.oco_group:
            self._groups.add(order.oco_group)
            for other in list(self._book.values()):
                if other is not item and other.order.oco_group == order.oco_group:
                    self._end(other, UpdateKind.CANCELED, "oco")
        if item.left and order.reduce_only and not self.position[order.symbol]:
            self._end(item, UpdateKind.CANCELED, "reduce_only")

    def _end(self, item: Resting, kind: UpdateKind, reason: str) -> None:
        self._book.pop(item.order.client_order_id, None)
        self._tell(kind, item.order, reason)

    def _tell(
        self, kind: UpdateKind, order: ExecutionOrder, reason: str = "", fill: Fill | None = None
    ) -> None:
        assert self._listener is not None
        self._events += 1
        self._listener(
            VenueUpdate(
                kind=kind,
                client_order_id=order.client_order_id,
                venue_ts_ns=self._now,
                local_ts_ns=self._now + self.response_ns,
                venue_order_id=f"v-{order.client_order_id}",
                reason=reason,
                fill=fill,
            )
        )
