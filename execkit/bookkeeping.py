"""Bookkeeper: what each venue update does to orders, positions, risk, measures and the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from execkit import records
from execkit.account import Account, mid_of
from execkit.crashpoints import crash
from execkit.domain import ExecutionOrder, Instrument
from execkit.metrics.markouts import HORIZONS_NS
from execkit.monitor import OrderMonitor
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.risk import RiskGuard
from execkit.venues.base import Listener, Quote, ReplayVenue, UpdateKind, Venue, VenueUpdate

Touched = set[tuple[str, str]]


class Bookkeeper:
    """The one writer's hand: applies updates in the order given.

    on_error : told of each error while applying. It must see to it that trading stops.
    """

    def __init__(
        self,
        account: Account,
        orders: OrderManager,
        tracker: PositionTracker,
        guard: RiskGuard,
        monitor: OrderMonitor,
        on_error: Callable[[Exception], None],
    ) -> None:
        self.account, self.orders, self.tracker = account, orders, tracker
        self.guard, self.monitor, self.on_error = guard, monitor, on_error
        self._recorder = orders.recorder
        self._arrivals: dict[str, Quote] = {}
        self._equity: tuple[Decimal, Decimal] | None = None
        self._filled_at: dict[tuple[str, str], list[int]] = {}
        self._connect()

    def _connect(self) -> None:
        """Let the parts hear what they have to, wherever in the engine it happens."""
        hear = self.orders.register_callback
        hear("on_accepted", lambda order: self.guard.order_accepted())
        for event in ("on_rejected", "on_unknown"):
            hear(event, lambda order: self.guard.order_failed(order.reason))
        for event in ("on_filled", "on_cancelled", "on_expired", "on_rejected"):
            hear(event, self.monitor.ended)
        self.guard.on_change = self._risk_changed

    def listener(self, venue: Venue, enqueue: Listener) -> Listener:
        """`enqueue`, noting the market in which an order arrived: later it is another one."""

        def listen(update: VenueUpdate) -> None:
            if update.kind is UpdateKind.ACCEPTED:
                try:
                    self._note_arrival(venue, update.client_order_id)
                except Exception as error:  # noqa: BLE001 - the order did arrive, seen or not
                    self.on_error(error)
            enqueue(update)

        return listen

    def _note_arrival(self, venue: Venue, order_id: str) -> None:
        order = self.orders.get_order(order_id)
        quote = venue.quote(order.symbol) if order is not None else None
        if order is not None and quote is not None:
            order.arrival_price = mid_of(quote)
            self._arrivals[order_id] = quote

    def decided(self, order: ExecutionOrder, quote: Quote | None) -> None:
        """Note the market in which an order was decided."""
        if quote is not None:
            order.decision_price = mid_of(quote)
            body = records.quote(quote, order.venue, "decision", order.client_order_id)
            self._recorder.add("quote", body, order.created_ts_ns)

    def apply(self, batch: list[VenueUpdate]) -> Touched:
        """Apply updates that are due; return the (venue, symbol) they concern. Nothing is durable
        and nobody is told before `commit`. What cannot be applied goes to `on_error`, and the
        updates behind it are applied all the same."""
        touched: Touched = set()
        for update in batch:
            try:
                self._apply(update, touched)
            except Exception as error:  # noqa: BLE001 - the updates behind it moved money too
                self.on_error(error)
        if any(update.fill is not None for update in batch):
            try:
                self.value(batch[-1].local_ts_ns)
            except Exception as error:  # noqa: BLE001 - a fill counts whatever it is worth
                self.on_error(error)
        return touched

    def _apply(self, update: VenueUpdate, touched: Touched) -> None:
        outcome = self.orders.apply(update)
        order, fill = outcome.order, outcome.fill
        if order is not None:
            touched.add((order.venue, order.symbol))
        quote = self._arrivals.pop(update.client_order_id, None)
        if quote is not None and order is not None:
            body = records.quote(quote, order.venue, "arrival", order.client_order_id)
            self._recorder.add("quote", body, update.local_ts_ns)
        if fill is None:
            return
        self._filled_at.setdefault((fill.venue, fill.symbol), []).append(fill.venue_ts_ns)
        touched.add((fill.venue, fill.symbol))
        held = self.tracker.apply(fill)
        crash("mid_fill")
        if order is not None:
            held.strategy_id = order.strategy_id or held.strategy_id
            self.monitor.filled(order, fill)
        self._recorder.add("position", records.position(held), update.local_ts_ns)

    def commit(self) -> None:
        """Make what was applied durable, then tell who listens. Raises `StopTrading`."""
        self._recorder.flush()
        self.orders.dispatch()

    def mark_out(self, venues: Sequence[ReplayVenue], now_ns: int) -> None:
        """Record the quotes that markouts of the fills so far will look for: a replayed market is
        nowhere else when the run is over."""
        places = {venue.name: venue for venue in venues}
        for (name, symbol), times in self._filled_at.items():
            if name in places:
                moments = [ts_ns + horizon for ts_ns in times for horizon in HORIZONS_NS]
                for quote in places[name].seen(symbol, moments):
                    body = records.quote(quote, name, "markout", "")
                    self._recorder.add("quote", body, now_ns)
        self._filled_at.clear()

    def value(self, ts_ns: int) -> None:
        """Mark positions, tell the guard, and record equity where it changed."""
        self.account.mark()
        value = self.account.valuation()
        if value.unpriced or self.account.unmarked():
            return  # equity is not known, and the guard says so when it is asked
        equity = self.account.starting_equity + value.total
        self.guard.update_equity(equity)
        if self._equity != (equity, value.unrealised):
            self._equity = (equity, value.unrealised)
            peak = max(equity, self.guard.peak_equity or equity)
            body = records.equity(value.currency, equity, value.unrealised, peak - equity)
            self._recorder.add("equity", body, ts_ns)

    def _risk_changed(self, code: str, more: dict[str, object]) -> None:
        self._recorder.add("risk", {"code": code, **more}, self.account.clock.now_ns())


def fit(order: ExecutionOrder, instrument: Instrument, reference: Decimal | None) -> None:
    """Put an order on the instrument's grid, never towards more risk. Raises `InvalidInput`.

    The minimum notional is asked of orders that open; what closes may be small.
    """
    order.quantity = instrument.quantize_quantity(order.quantity)
    if order.price is not None:
        order.price = instrument.quantize_price(order.price, order.side)
    if order.stop_price is not None:
        order.stop_price = instrument.quantize_price(order.stop_price, order.side, trigger=True)
    worth = order.price or order.stop_price or reference
    on_tick = None
    if not order.reduce_only and worth is not None:
        on_tick = worth - worth % instrument.tick_size
    instrument.check(order.quantity, on_tick)
