"""An account's ledger: exact balances made of entries, what orders lock, positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execkit.domain import Instrument
from execkit.rehearsal.rules import FeeSchedule
from execkit.rehearsal.words import BookedFill, BookedOrder, Rejected
from execkit.venues.paper import PaperVenue
from execkit.words import ZERO


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change of one balance, never edited: balances are sums of these. kind : deposit, fill,
    fee, funding, transfer, liquidation, or what an intervention called it."""

    ts_ns: int
    asset: str
    change: Decimal
    kind: str
    reference: str = ""


@dataclass(kw_only=True)
class Holding:
    """A signed position of one symbol. average_price : of what is open, 0 when flat."""

    instrument: Instrument
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    leverage: int = 10
    margin_mode: str = "cross"
    updated_ns: int = 0

    def fold(self, signed: Decimal, price: Decimal) -> Decimal:
        """Take in an execution; returns the profit realised, in the settlement currency."""
        had, grows = self.quantity, self.quantity * signed >= 0
        if grows:
            sizes = (abs(had), self.average_price, abs(signed), price)
            self.average_price = self.instrument.mean_price(*sizes) if had else price
            self.quantity = had + signed
            return ZERO
        closed = min(abs(had), abs(signed)).copy_sign(had)
        profit = self.instrument.pnl(closed, self.average_price, price)
        self.quantity = had + signed
        if self.quantity * had <= 0:  # flat, or turned round
            self.average_price = price if self.quantity else ZERO
        return profit

    def margin(self, mark: Decimal) -> Decimal:
        return self.value(mark) / self.leverage

    def value(self, mark: Decimal) -> Decimal:
        """Notional in the settlement currency, unsigned."""
        if self.instrument.is_inverse:
            return abs(self.quantity) * self.instrument.contract_size / mark
        return self.instrument.notional(self.quantity, mark)

    def profit(self, mark: Decimal) -> Decimal:
        if not self.quantity:
            return ZERO
        return self.instrument.pnl(self.quantity, self.average_price, mark)


@dataclass(kw_only=True)
class Account:
    """Everything that belongs to one account. Balances change through `post` alone."""

    name: str
    venue: PaperVenue
    fees: FeeSchedule
    balances: dict[str, Decimal] = field(default_factory=dict)
    locked: dict[str, Decimal] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    orders: dict[int, BookedOrder] = field(default_factory=dict)
    fills: list[BookedFill] = field(default_factory=list)
    positions: dict[str, Holding] = field(default_factory=dict)
    live: dict[int, BookedOrder] = field(default_factory=dict)  # the open ones of `orders`
    named: dict[str, list[BookedOrder]] = field(default_factory=dict)  # by client id, in order
    fills_of: dict[int, list[BookedFill]] = field(default_factory=dict)  # by order id
    hedge_mode: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # what a dialect keeps for the account

    def post(self, entry: Entry) -> None:
        if entry.change:
            self.entries.append(entry)
            self.balances[entry.asset] = self.balances.get(entry.asset, ZERO) + entry.change

    def free(self, asset: str) -> Decimal:
        return self.balances.get(asset, ZERO) - self.locked.get(asset, ZERO)

    def lock(self, order: BookedOrder, asset: str, much: Decimal) -> None:
        """Hold back `much` for an order; `Rejected` if there is less than that."""
        if self.free(asset) < much:
            raise Rejected("insufficient_balance", f"{self.free(asset)} {asset} free, need {much}")
        order.locked_asset = asset
        self.relock(order, much)

    def relock(self, order: BookedOrder, much: Decimal) -> None:
        """What an order holds back from now on."""
        if order.locked_asset:
            held = self.locked.get(order.locked_asset, ZERO)
            self.locked[order.locked_asset] = held - order.locked + much
            order.locked = much

    def open_orders(self, symbol: str = "") -> list[BookedOrder]:
        return [o for o in self.live.values() if symbol in ("", o.symbol)]

    def book(self, order: BookedOrder) -> None:
        self.orders[order.order_id] = self.live[order.order_id] = order
        self.named.setdefault(order.client_order_id, []).append(order)

    def strike(self, order: BookedOrder) -> None:
        """As if the order had never been booked."""
        self.relock(order, ZERO)
        del self.orders[order.order_id]
        self.live.pop(order.order_id, None)
        self.named[order.client_order_id].remove(order)

    def holding(self, instrument: Instrument) -> Holding:
        found = self.positions.get(instrument.symbol)
        if found is None:
            found = self.positions[instrument.symbol] = Holding(instrument=instrument)
        return found


@dataclass(kw_only=True)
class ApiKey:
    """A key of an account, and what it may do."""

    key: str
    secret: str
    account: str
    password: str = ""
    may_read: bool = True
    may_order: bool = True
    may_withdraw: bool = False
    ip_restricted: bool = True
    revoked: bool = False
    created_ns: int = 0
