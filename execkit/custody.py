"""Custody: one remote venue, and what those who look after it may do to the engine.

They ask the venue, enqueue what it says for the one writer, and tell a human. They apply nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from execkit.clock import Clock
from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.lifecycle import EXTERNAL
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.ready import Readiness, ReconcileSettings
from execkit.venues.base import Listener, UpdateKind, VenueUpdate
from execkit.venues.remote import RemoteVenue, VenueOrder
from execkit.words import ZERO, ExecutionMode, ExecutionStatus, OrderType, Side

_S = ExecutionStatus
# What a venue calls fills that it made by force.
FORCED = frozenset({"liquidation", "adl"})


@dataclass(kw_only=True, eq=False)
class Custody:
    """venue : whose. receive, at : the driver's queue and its timers."""

    venue: RemoteVenue
    orders: OrderManager
    tracker: PositionTracker
    clock: Clock
    receive: Listener
    at: Callable[[int, Callable[[], None]], None]
    settings: ReconcileSettings
    readiness: Readiness

    @property
    def name(self) -> str:
        return self.venue.name

    def now_ns(self) -> int:
        return self.clock.now_ns()

    async def applied(self) -> None:
        """Return when everything that is in the queue by now was applied."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.at(self.now_ns(), lambda: None if done.done() else done.set_result(None))
        await done

    def alarm(self, code: str, text: str, order: ExecutionOrder | None = None) -> None:
        self.orders.alarm(code, f"{self.name}: {text}", order)

    def note(self, code: str, order_id: str | None = None, **more: object) -> None:
        """Keep a fact in the journal, for the next start and for a human."""
        body = {"code": code, "venue": self.name, **more}
        self.orders.recorder.add("risk", body, self.now_ns(), order_id)

    def own_live(self, symbol: str = "") -> list[ExecutionOrder]:
        """Live orders at this venue, external ones included."""
        return self.orders.open_orders(self.name, symbol)

    # -- what a snapshot adds ---------------------------------------------------------------

    def known(self, found: VenueOrder) -> ExecutionOrder | None:
        """The engine's order that the venue means."""
        ids = found.client_order_id, found.venue_order_id
        return self.orders.ledger.find(self.name, *ids, found.symbol)

    def filled(self, found: VenueOrder, order: ExecutionOrder) -> Decimal:
        """What the venue says is filled, counted as the engine counts: an external order begins
        where it was found."""
        before = found.quantity - order.quantity if order.strategy_id == EXTERNAL else ZERO
        return found.filled_quantity - before

    def enqueue(
        self, kind: UpdateKind, order: ExecutionOrder, found: VenueOrder | None, reason: str
    ) -> None:
        now_ns = self.now_ns()
        self.receive(
            VenueUpdate(
                kind=kind,
                client_order_id=order.client_order_id,
                venue_order_id=found.venue_order_id if found is not None else "",
                venue_ts_ns=found.venue_ts_ns or now_ns if found is not None else now_ns,
                local_ts_ns=now_ns,
                reason=reason,
            )
        )

    def learn(self, found: VenueOrder, order: ExecutionOrder, reason: str) -> None:
        """Enqueue what a snapshot says beyond what is known. An older one says nothing: it never
        turns a state back. Its fills are expected to be applied already."""
        status, ends = found.status, _ENDS.get(found.status)
        if order.is_done:
            # what ended without being there may be there after all; nothing else comes back
            if order.status is not _S.REJECTED or status is _S.REJECTED or order.accepted_ts_ns:
                return
            self.enqueue(UpdateKind.ACCEPTED, order, found, reason)
        if status in (_S.OPEN, _S.PARTIALLY_FILLED):
            fresh = order.accepted_ts_ns is None or order.status is _S.UNKNOWN
            if fresh or not order.venue_order_id:
                self.enqueue(UpdateKind.ACCEPTED, order, found, reason)
        elif ends is not None:
            self.enqueue(ends, order, found, found.reason or "told_when_asked")
        elif status is _S.FILLED and not order.is_done and order.filled_quantity < order.quantity:
            # done at the venue with less than was asked: it had taken the order smaller
            self.enqueue(UpdateKind.EXPIRED, order, found, "reduced_by_venue")

    # -- orders and fills of others ---------------------------------------------------------

    def adopt(self, found: VenueOrder) -> ExecutionOrder | None:
        """Take up an open order that somebody else sent, for what it may still fill; None where
        it is of no instrument that is known."""
        instrument, left = self._instrument(found), found.quantity - found.filled_quantity
        if instrument is None or left <= 0:
            return None
        kind, price, stop = _kind(found)
        order = ExecutionOrder(
            symbol=found.symbol,
            side=found.side,
            order_type=kind,
            quantity=left,
            price=price,
            stop_price=stop,
            reduce_only=found.reduce_only,
            strategy_id=EXTERNAL,
            client_order_id=found.client_order_id or self._name(found),
            created_ts_ns=found.venue_ts_ns or self.now_ns(),
        )
        order.venue, order.mode = self.name, self.venue.mode
        self.orders.adopt(order, instrument, self.venue)
        self.enqueue(UpdateKind.ACCEPTED, order, found, "external")
        return order

    def _instrument(self, found: VenueOrder) -> Instrument | None:
        return self.venue.instruments.get(found.symbol)

    def _name(self, found: VenueOrder) -> str:
        return f"external-{self.name}-{found.symbol}-{found.venue_order_id}"

    def hear(self, update: VenueUpdate) -> None:
        """Look at an update before it is applied: what the venue did by force stops the symbol."""
        fill = update.fill
        if fill is None or update.reason not in FORCED or self.orders.ledger.has_fill(fill):
            return
        self.block(fill.symbol, f"the venue closed by force: {update.reason}")

    def unseen(self, text: str) -> None:
        """Nothing that adds risk goes out to the venue until a human acknowledges `text`."""
        self.readiness.unacknowledged.append(text)
        self.note("unacknowledged", reason=text)
        self.alarm("unacknowledged", f"found at the first start: {text}")

    def block(self, symbol: str, reason: str) -> None:
        """Nothing that adds risk goes out for `symbol` until a human acknowledges."""
        if self.readiness.blocked.get(symbol) == reason:
            return
        self.readiness.blocked[symbol] = reason
        self.note("symbol_blocked", symbol=symbol, reason=reason)
        self.alarm("symbol_blocked", f"{symbol}: {reason}")

    def fill_of_nobody(
        self, symbol: str, quantity: Decimal, price: Decimal, fill_id: str, reason: str
    ) -> None:
        """Enqueue a fill that brings the position in `symbol` to where the venue has it."""
        now_ns = self.now_ns()
        fill = Fill(
            fill_id=fill_id,
            client_order_id="",
            symbol=symbol,
            side=Side.BUY if quantity > 0 else Side.SELL,
            quantity=abs(quantity),
            price=price,
            venue_ts_ns=now_ns,
            local_ts_ns=now_ns,
            mode=self.venue.mode,
            venue=self.name,
        )
        self.receive(
            VenueUpdate(
                kind=UpdateKind.FILL,
                client_order_id="",
                venue_ts_ns=now_ns,
                local_ts_ns=now_ns,
                reason=reason,
                fill=fill,
            )
        )

    async def fetch(self, symbol: str, since_ns: int, venue_order_id: str = "") -> int:
        """Enqueue own fills that are not known, and wait until they are applied; how many."""
        found = await self.venue.own_fills(symbol, max(0, since_ns), venue_order_id)
        new = [u for u in found if u.fill is not None and not self.orders.ledger.has_fill(u.fill)]
        for update in new:
            named = await self._named(update)
            self.hear(named)
            self.receive(_heard_now(named, self.now_ns(), self.venue.mode))
        if new:
            await self.applied()
        return len(new)

    async def _named(self, update: VenueUpdate) -> VenueUpdate:
        """`update` with our id of its order, where it has none and only the venue can tell whether
        the order is ours."""
        fill, ledger = update.fill, self.orders.ledger
        if fill is None or update.client_order_id or not ledger.may_be_ours(fill):
            return update
        if ledger.find(self.name, "", update.venue_order_id, fill.symbol) is not None:
            return update
        asked = ExecutionOrder(
            symbol=fill.symbol, side=fill.side, order_type=OrderType.MARKET, quantity=fill.quantity
        )
        asked.venue, asked.venue_order_id = self.name, update.venue_order_id
        found = await self.venue.find_order(asked)
        if found is None:
            return update  # the ledger holds it back, and it is asked for again
        return replace(update, client_order_id=found.client_order_id or self._name(found))


_ENDS = {
    _S.CANCELED: UpdateKind.CANCELED,
    _S.EXPIRED: UpdateKind.EXPIRED,
    _S.REJECTED: UpdateKind.REJECTED,
}


def _heard_now(update: VenueUpdate, now_ns: int, mode: ExecutionMode) -> VenueUpdate:
    """`update` as heard now, whatever the venue made of the time: it is due at once."""
    fill = update.fill
    if fill is not None:
        fill = replace(fill, local_ts_ns=min(now_ns, fill.local_ts_ns), mode=mode)
    return replace(update, local_ts_ns=min(now_ns, update.local_ts_ns), fill=fill)


def _kind(found: VenueOrder) -> tuple[OrderType, Decimal | None, Decimal | None]:
    """Type, price and stop price of an order, so that they fit together."""
    kind, price, stop = found.order_type, found.price, found.stop_price
    if kind is OrderType.TRAILING_STOP:
        kind = OrderType.STOP_MARKET  # how far it trails is not told
    if kind is OrderType.STOP_LIMIT and price is not None and stop is not None:
        return kind, price, stop
    if kind in (OrderType.STOP_LIMIT, OrderType.STOP_MARKET) and stop is not None:
        return OrderType.STOP_MARKET, None, stop
    if kind is not OrderType.MARKET and price is not None:
        return OrderType.LIMIT, price, None
    return OrderType.MARKET, None, None
