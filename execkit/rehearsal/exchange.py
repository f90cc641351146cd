"""Exchange: an exchange that can be told what to do to its own accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_S
from execkit.market import MarketData
from execkit.rehearsal.clock import VenueClock
from execkit.rehearsal.floor import Floor
from execkit.rehearsal.markets import with_book
from execkit.rehearsal.rules import STATES, FeeSchedule
from execkit.rehearsal.words import BookedFill, BookedOrder, Event, EventKind, NewOrder, Rejected
from execkit.words import ZERO, ExecutionStatus, OrderType, Side


class Exchange(Floor):
    """An authoritative exchange over a market; see `Rehearsal` for one that can be reached.

    market : book and prints that orders meet. clock : the venue's; real time if left out.
    balances : of the account "main", which is always there. fees : of accounts that have none of
    their own. fill : the simulator's fill model, as in `simulate`.
    """

    def __init__(
        self,
        market: MarketData,
        clock: VenueClock | None = None,
        *,
        balances: Mapping[str, Decimal] | None = None,
        fees: FeeSchedule | None = None,
        fill: str = "queue",
    ) -> None:
        super().__init__(market, clock or VenueClock(), fees or FeeSchedule(), fill)
        self.add_account("main", balances or self._plenty())
        self.run()

    def _plenty(self) -> dict[str, Decimal]:
        """Enough of every asset to play with."""
        found: dict[str, Decimal] = {}
        for symbol, rules in self.rules.items():
            if self.instrument(symbol).kind == "spot":
                found.setdefault(rules.base, Decimal(100))
            found.setdefault(rules.quote, Decimal(1_000_000))
        return found

    # ------------------------------------------------------------------ orders of others

    def force_fill(
        self,
        account: str,
        order_id: int,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        *,
        is_maker: bool = True,
        fee: tuple[Decimal, str] | None = None,
        hidden_s: float = 0,
    ) -> BookedFill:
        """Execute an order, whatever the market says: all that is left, or `quantity` (more than is
        left is an overfill), at `price` or its own. An order that has ended fills late.

        fee : (fee, currency) instead of the schedule's. hidden_s : how long own-fill queries do
        not show it yet.
        """
        self.run()
        order = self.order(account, order_id)
        much = order.remaining_quantity if quantity is None else Decimal(quantity)
        at = price or order.asked.price or order.asked.stop_price or self.feeds[order.symbol].mark()
        if much <= 0 or at is None:
            raise Rejected("bad_request", f"nothing of order {order_id} is left to fill")
        rests = order.is_open and order.order_id in self._ref_of
        self._withdraw(order)
        now_ns = self.now_ns()
        made = self.settle(
            order,
            much,
            Decimal(at),
            is_maker=is_maker,
            ts_ns=now_ns,
            fee=fee,
            hidden_until_ns=now_ns + round(hidden_s * NS_PER_S) if hidden_s else 0,
        )
        held = self.account(account)
        self._tell_kernel(account, order.symbol)
        if order.is_open and rests:  # what is left goes to the end of the queue
            self._submit(held, order, order.remaining_quantity)
        return made

    def expire(
        self, account: str, order_id: int, reason: str = "expired", *, rejected: bool = False
    ) -> BookedOrder:
        """The exchange itself ends an order: expiry, self-trade prevention, maintenance."""
        self.run()
        order = self.order(account, order_id)
        if not order.is_open:
            raise Rejected("closed_order")
        self._withdraw(order)
        status = ExecutionStatus.REJECTED if rejected else ExecutionStatus.EXPIRED
        self.end(order, status, reason)
        return order

    def place_unjudged(self, account: str, asked: NewOrder) -> BookedOrder:
        """`place`, as those exchanges do it that answer an order first and judge it later: one that
        would take and must not is booked and canceled at once. It was never on the book."""
        try:
            return self.place(account, asked)
        except Rejected as why:
            if why.word != "post_only":
                raise
            return self._refuse_late(account, asked, why.word)

    def _refuse_late(self, account: str, asked: NewOrder, reason: str) -> BookedOrder:
        self.run()
        held, now_ns = self.account(account), self.now_ns()
        self._check_id(held, asked.client_order_id)
        order = BookedOrder(
            order_id=self.next_order_id(),
            account=account,
            asked=asked,
            quantity=self._quantity(asked),
            created_ns=now_ns,
            updated_ns=now_ns,
            triggered=True,
        )
        held.book(order)
        self.tell_order(order, "new", now_ns)
        self.end(order, ExecutionStatus.CANCELED, reason)
        return order

    def manual(self, account: str, asked: NewOrder) -> BookedOrder:
        """An order that the account's owner gives by hand, elsewhere."""
        return self.place(account, asked, origin="manual")

    def hide(self, account: str, order_id: int, delay_s: float) -> None:
        """Look-ups do not find the order for `delay_s` seconds of venue time."""
        order = self.order(account, order_id)
        order.hidden_until_ns = self.now_ns() + round(delay_s * NS_PER_S)

    # ------------------------------------------------------------------ money

    def transfer(self, account: str, asset: str, change: Decimal, kind: str = "transfer") -> None:
        """Money in (positive) or out: a deposit, a withdrawal, an airdrop, interest."""
        self.run()
        held, change = self.account(account), Decimal(change)
        if held.free(asset) + change < 0:
            raise Rejected("no_funds_to_move")
        now_ns = self.now_ns()
        held.post(self._entry(asset, change, kind))
        event = Event(kind=EventKind.TRANSFER, ts_ns=now_ns, account=account, assets=(asset,))
        self.emit(replace(event, what=kind, change=change))
        self.tell_balances(account, (asset,), now_ns, kind)

    def pay_funding(self, symbol: str, rate: Decimal, mark: Decimal | None = None) -> None:
        """Every position pays (positive rate: longs pay shorts) its funding now."""
        self.run()
        now_ns, at = self.now_ns(), mark or self.feeds[symbol].mark()
        for account in self.accounts.values():
            held = account.positions.get(symbol)
            if held is None or not held.quantity or at is None:
                continue
            change = -Decimal(rate) * held.value(at).copy_sign(held.quantity)
            asset = self.settle_asset(symbol)
            account.post(self._entry(asset, change, "funding", symbol))
            event = Event(kind=EventKind.FUNDING, ts_ns=now_ns, account=account.name)
            self.emit(replace(event, symbol=symbol, assets=(asset,), change=change))
            self.tell_balances(account.name, (asset,), now_ns, "funding")

    def liquidate(
        self,
        account: str,
        symbol: str,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        *,
        kind: str = "liquidation",
    ) -> BookedFill:
        """Close a position (or `quantity` of it) by an order that is not the account's own; `kind`
        "adl" for an auto-deleveraging."""
        self.run()
        held = self.account(account).holding(self.instrument(symbol))
        if not held.quantity:
            raise Rejected("bad_request", f"{account} has no position in {symbol}")
        much = abs(held.quantity) if quantity is None else Decimal(quantity)
        at = price or self.feeds[symbol].mark()
        asked = NewOrder(
            symbol=symbol,
            side=Side.SELL if held.quantity > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            quantity=much,
            reduce_only=True,
            note={"origin": kind},
        )
        now_ns = self.now_ns()
        order = BookedOrder(
            order_id=self.next_order_id(),
            account=account,
            asked=asked,
            quantity=much,
            created_ns=now_ns,
            updated_ns=now_ns,
            triggered=True,
            origin=kind,
        )
        self.account(account).book(order)
        self.tell_order(order, "new", now_ns)
        made = self.settle(order, much, Decimal(at or 0), is_maker=False, ts_ns=now_ns, kind=kind)
        self._tell_kernel(account, symbol)
        return made

    def _tell_kernel(self, account: str, symbol: str) -> None:
        """Positions that changed without the kernel; it needs them for reduce-only orders."""
        held = self.account(account)
        if self.instrument(symbol).kind != "spot":
            held.venue.hold({symbol: held.holding(self.instrument(symbol)).quantity})

    # ------------------------------------------------------------------ the market

    def move(self, symbol: str, bid: Decimal, ask: Decimal, size: Decimal | None = None) -> None:
        """The market of a symbol jumps: from now on its book is one level a side, `size` (100,000
        lots if left out) at `bid` and at `ask`, until its data say otherwise. Resting orders that
        this crosses fill."""
        self.run()
        instrument = self.instrument(symbol)
        for price in (bid, ask):
            if price <= 0 or price % instrument.tick_size:
                raise Rejected("tick_size", f"{price} is no multiple of {instrument.tick_size}")
        much = 100_000 * instrument.lot_size if size is None else Decimal(size)
        self.market = with_book(
            self.market, symbol, self.now_ns() - self.offset_ns, Decimal(bid), Decimal(ask), much
        )
        for feed in self.feeds.values():
            feed.open_market(self.market)
        for account in self.accounts.values():
            account.venue.renew(self.market)
        self.run()

    # ------------------------------------------------------------------ rules and keys

    def set_state(self, symbol: str, state: str) -> None:
        """trading, halted (orders can be cancelled only) or delisted (open ones expire)."""
        if state not in STATES:
            raise Rejected("bad_request", f"state {state!r} is not one of {', '.join(STATES)}")
        self.change_filter(symbol, state=state)
        if state == "delisted":
            for account in self.accounts.values():
                for order in account.open_orders(symbol):
                    self.expire(account.name, order.order_id, "delisted")

    def halt(self, symbol: str) -> None:
        self.set_state(symbol, "halted")

    def resume(self, symbol: str) -> None:
        self.set_state(symbol, "trading")

    def change_filter(self, symbol: str, **changes: Any) -> None:
        """New values for fields of the symbol's `SymbolRules`, from now on."""
        self.run()
        self.rules[symbol] = replace(self.rules[symbol], **changes)
        self.emit(Event(kind=EventKind.SYMBOL, ts_ns=self.now_ns(), symbol=symbol))

    def revoke_key(self, key: str = "") -> None:
        """Refuse a key (all of them if none is named) from now on."""
        for one in self.keys.values():
            one.revoked = one.revoked or key in ("", one.key)

    # ------------------------------------------------------------------ truth

    def snapshot(self, account: str = "main") -> dict[str, Any]:
        """Everything an oracle compares with: exact, and copied."""
        self.run()
        held = self.account(account)
        locked = {asset: much for asset, much in held.locked.items() if much}
        return {
            "ts_ns": self.now_ns(),
            "balances": {asset: total for asset, total in held.balances.items() if total},
            "locked": locked,
            "positions": {s: p.quantity for s, p in held.positions.items() if p.quantity != ZERO},
            "orders": [replace(order) for order in held.orders.values()],
            "open": [replace(order) for order in held.open_orders()],
            "fills": list(held.fills),
            "entries": list(held.entries),
        }
