"""The trading floor: orders in and out, matched by the simulator's own kernel.

Each account has a `PaperVenue` over the same market, at latency 0. So an order here fills as
`simulate` says it does, with its place in the queue; accounts do not eat each other's liquidity.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_S
from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput
from execkit.rehearsal.accounts import Account
from execkit.rehearsal.books import Books
from execkit.rehearsal.words import BookedOrder, Event, EventKind, NewOrder, PublicPrint, Rejected
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.words import ZERO, ExecutionStatus, Liquidity, OrderType, Side

_ENDS = {
    UpdateKind.CANCELED: ExecutionStatus.CANCELED,
    UpdateKind.EXPIRED: ExecutionStatus.EXPIRED,
    UpdateKind.REJECTED: ExecutionStatus.REJECTED,
}
_STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


class Floor(Books):
    """id_rule : how long a client order id may not be used again: "open" (while its order is open),
    "always", or "none" (it is only a label)."""

    id_rule = "open"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._counts = 0
        self._of_ref: dict[str, BookedOrder] = {}  # by the kernel's name of the order
        self._ref_of: dict[int, str] = {}
        self._kernel: dict[str, ExecutionOrder] = {}
        self._told: set[int] = set()  # orders that the account has heard of
        self._refused: str | None = None
        self._running = False
        self.clock.watch(self.run)

    # ------------------------------------------------------------------ time

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def at(self, ts_ns: int, action: Callable[[], None]) -> None:
        """Run `action` when venue time has reached `ts_ns`."""
        self._counts += 1
        heapq.heappush(self._timers, (ts_ns, self._counts, action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` after `delay_s` seconds of venue time."""
        self.at(self.now_ns() + round(delay_s * NS_PER_S), action)

    def run(self) -> None:
        """Bring market, orders and timers up to the clock. Every request does this first."""
        if self._running:  # a timer's action asked for something
            return
        self._running = True
        try:
            now_ns = self.now_ns()
            while self._timers and self._timers[0][0] <= now_ns:
                due_ns, _, action = heapq.heappop(self._timers)
                self._run_to(due_ns)
                action()
            self._run_to(now_ns)
        finally:
            self._running = False

    def _run_to(self, venue_ns: int) -> None:
        market_ns = venue_ns - self.offset_ns
        for feed in self.feeds.values():
            for one in feed.advance(market_ns):
                kind = EventKind.PRINT if isinstance(one, PublicPrint) else EventKind.DEPTH
                part = {"public_print" if kind is EventKind.PRINT else "depth": one}
                self.emit(Event(kind=kind, ts_ns=one.ts_ns, symbol=feed.symbol, **part))  # type: ignore[arg-type]
        for account in self.accounts.values():
            self._match(account, market_ns)

    def _match(self, account: Account, market_ns: int) -> None:
        venue = account.venue
        until_ns = max(market_ns, venue.now_ns)
        venue.listen(self._on_update)
        while venue.advance(until_ns) < until_ns:
            pass

    # ------------------------------------------------------------------ orders

    def place(self, account: str, asked: NewOrder, *, origin: str = "api") -> BookedOrder:
        """Book an order and match it. Raises `Rejected` for what the exchange will not take; then
        nothing was booked."""
        self.run()
        held = self.account(account)
        instrument = self.instrument(asked.symbol)
        self._check_id(held, asked.client_order_id)
        quantity = self._quantity(asked)
        feed, rules = self.feeds[asked.symbol], self.rules[asked.symbol]
        price = asked.price or asked.stop_price
        worth = instrument.notional(quantity, price) if price else feed.cost(True, quantity)
        rules.check(asked, quantity, rules.min_notional if worth is None else worth, feed.mark())
        if len(held.open_orders(asked.symbol)) >= rules.max_open_orders:
            raise Rejected("max_orders")
        order = BookedOrder(
            order_id=self.next_order_id(),
            account=account,
            asked=asked,
            quantity=quantity,
            created_ns=self.now_ns(),
            updated_ns=self.now_ns(),
            triggered=asked.order_type not in _STOPS,
            origin=origin,
        )
        self._reserve(held, order)
        held.book(order)
        try:
            self._submit(held, order, quantity)
        except Rejected:
            held.strike(order)
            raise
        if order.is_open:
            held.relock(order, self.to_lock(held, order))
        return order

    def cancel(self, account: str, order_id: int, *, reason: str = "requested") -> BookedOrder:
        """Take an order out. Raises `Rejected`: unknown_order, or closed_order if it has ended."""
        self.run()
        order = self.order(account, order_id)
        if not order.is_open:
            raise Rejected("closed_order", f"order {order_id} is {order.status.value}")
        self._withdraw(order)
        self.end(order, ExecutionStatus.CANCELED, reason)
        return order

    def cancel_all(self, account: str, symbol: str = "") -> list[BookedOrder]:
        """Cancel every open order, of one symbol if given."""
        self.run()
        orders = self.account(account).open_orders(symbol)
        return [self.cancel(account, order.order_id) for order in orders]

    def amend(
        self,
        account: str,
        order_id: int,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> BookedOrder:
        """Change an open order in place; it goes to the end of the queue. `quantity` is the whole,
        what is filled included. Raises `Rejected`, and then the order is as it was."""
        self.run()
        held, order = self.account(account), self.order(account, order_id)
        if not order.is_open:
            raise Rejected("closed_order", f"order {order_id} is {order.status.value}")
        whole = order.quantity if quantity is None else quantity
        changed = replace(
            order.asked,
            quantity=whole,
            price=order.asked.price if price is None else price,
            stop_price=order.asked.stop_price if stop_price is None else stop_price,
        )
        reference = changed.price or changed.stop_price
        worth = self.instrument(order.symbol).notional(whole, reference) if reference else ZERO
        feed, rules = self.feeds[order.symbol], self.rules[order.symbol]
        rules.check(changed, whole, worth, feed.mark())
        if whole <= order.filled_quantity:
            raise Rejected("lot_size", f"{order.filled_quantity} are filled already")
        before = order.asked, order.quantity, order.locked
        order.asked, order.quantity = changed, whole
        needed = self.to_lock(held, order) - order.locked
        if order.locked_asset and needed > held.free(order.locked_asset):
            order.asked, order.quantity = before[0], before[1]
            raise Rejected("insufficient_balance")
        held.relock(order, self.to_lock(held, order))
        self._withdraw(order)
        self.tell_order(order, "amended", self.now_ns())
        self._submit(held, order, order.remaining_quantity)
        return order

    def order(self, account: str, order_id: int) -> BookedOrder:
        found = self.account(account).orders.get(order_id)
        if found is None:
            raise Rejected("unknown_order", f"no order {order_id}")
        return found

    def orders(self, account: str, symbol: str = "") -> list[BookedOrder]:
        """Every order of an account, in the order in which they were booked."""
        return [o for o in self.account(account).orders.values() if symbol in ("", o.symbol)]

    def named(self, account: str, client_order_id: str, symbol: str = "") -> BookedOrder:
        """The newest order of a client id. Raises `Rejected` (unknown_order)."""
        for order in reversed(self.account(account).named.get(client_order_id, ())):
            if symbol in ("", order.symbol):
                return order
        raise Rejected("unknown_order", f"no order of the client id {client_order_id}")

    def visible(self, order: BookedOrder) -> bool:
        """Whether look-ups may find it yet (see `Exchange.hide`)."""
        return order.hidden_until_ns <= self.now_ns()

    # ------------------------------------------------------------------ parts

    def end(self, order: BookedOrder, status: ExecutionStatus, reason: str) -> None:
        """Close an order in the books and tell its account."""
        held = self.account(order.account)
        order.status, order.reason = status, reason
        held.live.pop(order.order_id, None)
        had = order.locked
        held.relock(order, ZERO)
        now_ns = self.now_ns()
        self.tell_order(order, status.value, now_ns)
        if had:
            self.tell_balances(order.account, (order.locked_asset,), now_ns, "order")

    def _check_id(self, held: Account, client_order_id: str) -> None:
        if not client_order_id or self.id_rule == "none":
            return
        for order in held.named.get(client_order_id, ()):
            if order.is_open or self.id_rule == "always":
                raise Rejected("duplicate_id", f"{client_order_id} is order {order.order_id}")

    def _quantity(self, asked: NewOrder) -> Decimal:
        if asked.quantity is not None:
            return asked.quantity
        if asked.quote_quantity is None:
            raise Rejected("bad_request", "neither a quantity nor a quote quantity")
        buys = asked.side is Side.BUY
        return self.feeds[asked.symbol].quantity_for(buys, asked.quote_quantity)

    def _reserve(self, held: Account, order: BookedOrder) -> None:
        """Lock what the order may cost, or see that there is margin for it."""
        rules = self.rules[order.symbol]
        if self.instrument(order.symbol).kind == "spot":
            if order.asked.reduce_only:
                raise Rejected("unsupported", "spot orders cannot be reduce-only")
            asset = rules.base if order.side is Side.SELL else rules.quote
            held.lock(order, asset, self.to_lock(held, order))
            return
        holding = held.holding(self.instrument(order.symbol))
        against = holding.quantity * order.side.sign < 0
        if order.asked.reduce_only:
            if not against:
                raise Rejected("reduce_only")
            return
        opens = order.quantity - (abs(holding.quantity) if against else ZERO)
        if opens > 0:
            needed = self.order_margin(held, order, opens)
            have = self.available(order.account, self.settle_asset(order.symbol))
            if needed > have:
                raise Rejected("insufficient_margin", f"{have} available, need {needed}")

    def _submit(self, held: Account, order: BookedOrder, quantity: Decimal) -> None:
        """Hand an order to the kernel and let it match what it can now."""
        asked, market_ns = order.asked, self.now_ns() - self.offset_ns
        self._counts += 1
        ref = f"k{self._counts}"
        expires = asked.expire_ts_ns
        sent = ExecutionOrder(
            symbol=asked.symbol,
            side=asked.side,
            order_type=asked.order_type,
            quantity=quantity,
            price=asked.price,
            stop_price=asked.stop_price,
            trail_bps=asked.trail_bps,
            time_in_force=asked.time_in_force,
            expire_ts_ns=None if expires is None else expires - self.offset_ns,
            post_only=asked.post_only,
            reduce_only=asked.reduce_only,
            client_order_id=ref,
            created_ts_ns=max(market_ns, held.venue.now_ns),
        )
        self._of_ref[ref], self._ref_of[order.order_id] = order, ref
        self._kernel[ref] = sent
        self._refused = None
        try:
            _at_once(held.venue.submit(sent))
        except InvalidInput as error:
            word = {"quantity": "lot_size", "sent_ts_ns": "halted"}.get(error.field, "bad_request")
            raise Rejected(word, str(error)) from None
        self._match(held, sent.created_ts_ns)
        if self._refused is not None:
            raise Rejected("post_only" if self._refused == "post_only" else "bad_request")

    def _withdraw(self, order: BookedOrder) -> None:
        """Take an order out of the kernel without a word."""
        ref = self._ref_of.pop(order.order_id, None)
        if ref is None:
            return
        self._of_ref.pop(ref, None)
        held = self.account(order.account)
        _at_once(held.venue.cancel(self._kernel.pop(ref)))
        self._match(held, held.venue.now_ns)

    def _on_update(self, update: VenueUpdate) -> None:
        """What the kernel did, in the books."""
        order = self._of_ref.get(update.client_order_id)
        if order is None:  # withdrawn
            return
        ts_ns = update.venue_ts_ns + self.offset_ns
        if update.kind is UpdateKind.ACCEPTED:
            if order.order_id not in self._told:
                self._told.add(order.order_id)
                self.tell_order(order, "new", ts_ns)
                if order.locked:
                    self.tell_balances(order.account, (order.locked_asset,), ts_ns, "order")
        elif update.kind is UpdateKind.TRIGGERED:
            order.triggered = True
            self.tell_order(order, "triggered", ts_ns)
        elif update.kind is UpdateKind.FILL:
            assert update.fill is not None  # so by the definition of a FILL
            fill = update.fill
            maker = fill.liquidity is Liquidity.MAKER
            self.settle(order, fill.quantity, fill.price, is_maker=maker, ts_ns=ts_ns)
            if not order.is_open:
                self._forget(order)
        elif update.kind is UpdateKind.REJECTED and order.order_id not in self._told:
            self._refused = update.reason
            self._forget(order)
        else:
            self._forget(order)
            self.end(order, _ENDS[update.kind], update.reason)

    def _forget(self, order: BookedOrder) -> None:
        ref = self._ref_of.pop(order.order_id, "")
        self._of_ref.pop(ref, None)
        self._kernel.pop(ref, None)


def _at_once(request: Coroutine[Any, Any, None]) -> None:
    """Run a request of a replayed venue, which never waits."""
    try:
        request.send(None)
    except StopIteration:
        return
    raise RuntimeError("a replayed venue must not wait")
