"""AccountSnapshot: the account at one moment, as the limits look at it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from execkit.domain import ExecutionOrder, Instrument
from execkit.words import ZERO, Side

_HUNDRED = Decimal(100)


@dataclass(frozen=True, kw_only=True)
class AccountSnapshot:
    """What the limits look at, for one order's venue and symbol.

    now_ns : UTC ns. instrument : what is traded. reference_price : in its quote currency, None if
    there is none; quote_age_ns its age. currency : of the account, "" if it cannot be told. rate :
    units of it per unit of the instrument's quote currency, None if not known.

    equity : in the account's currency, None = not known, and equity_note says why. equity_given :
    whether somebody set the starting equity on purpose. position : signed, of this venue and
    symbol. pending_buys, pending_sells : what live orders there that are not reduce-only may still
    fill. symbols_at_risk : (venue, symbol) held or being entered. exposure_elsewhere : gross worst
    case over all other symbols, in the account's currency; Infinity if one of them has no price.
    open_orders : live orders of the account. unknown_orders : of this venue and symbol.

    not_ready : why the venue or symbol may not be traded now, "" = it may. unreachable : whether
    that holds for what reduces, too.

    The guard adds what it remembers: peak_equity, day_start_equity, failed_orders (in a row),
    breaker and halted (why, "" = not). as_opening : judge the order as if it added risk.
    """

    now_ns: int
    instrument: Instrument
    reference_price: Decimal | None
    quote_age_ns: int = 0
    currency: str = ""
    rate: Decimal | None = Decimal(1)
    equity: Decimal | None = None
    equity_given: bool = True
    equity_note: str = ""
    peak_equity: Decimal | None = None
    day_start_equity: Decimal | None = None
    position: Decimal = ZERO
    pending_buys: Decimal = ZERO
    pending_sells: Decimal = ZERO
    symbols_at_risk: frozenset[tuple[str, str]] = frozenset()
    exposure_elsewhere: Decimal = ZERO
    open_orders: int = 0
    unknown_orders: int = 0
    not_ready: str = ""
    unreachable: bool = False
    failed_orders: int = 0
    breaker: str = ""
    halted: str = ""
    as_opening: bool = False

    def changed(self, **fields: Any) -> AccountSnapshot:
        """A copy with other fields: `dataclasses.replace`, without asking every field again."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **fields)
        return copy

    @property
    def unit(self) -> str:
        """Unit of notional and exposure."""
        return self.currency or "quote"

    @property
    def drawdown_pct(self) -> Decimal:
        return loss_pct(self.peak_equity, self.equity)

    @property
    def daily_loss_pct(self) -> Decimal:
        return loss_pct(self.day_start_equity, self.equity)

    def reduces(self, order: ExecutionOrder) -> bool:
        """Whether `order`, with all under way that can open, only makes the position smaller.

        Reduce-only orders under way are not counted: one that passes for this reason alone goes
        out as reduce_only too (`Approved.only_reducing`), and the venue clips them together.
        """
        if order.reduce_only:
            return True
        if self.as_opening or self.position * order.side.sign >= 0:
            return False
        pending = self.pending_buys if order.side is Side.BUY else self.pending_sells
        return pending + order.quantity <= abs(self.position)

    def worst_position(self, order: ExecutionOrder) -> Decimal:
        """Unsigned quantity held if everything under way on the order's side fills, and it too."""
        buys, sells = self.pending_buys, self.pending_sells
        if not order.reduce_only:
            buys += order.quantity if order.side is Side.BUY else ZERO
            sells += order.quantity if order.side is Side.SELL else ZERO
        return max(abs(self.position + buys), abs(self.position - sells))

    def price_of(self, order: ExecutionOrder) -> Decimal:
        """The dearest of reference, limit and trigger: notional is never understated."""
        known = (self.reference_price, order.price, order.stop_price)
        return max((p for p in known if p is not None), default=ZERO)

    def notional_of(self, order: ExecutionOrder, quantity: Decimal) -> Decimal:
        """In the account's currency; Infinity without a rate, which `conversion` refuses."""
        if self.rate is None:
            return Decimal("Infinity")
        return self.instrument.notional(quantity, self.price_of(order)) * self.rate


def loss_pct(before: Decimal | None, now: Decimal | None) -> Decimal:
    """How far `now` lies below `before`, in percent of it; 0 when above or not known."""
    if before is None or now is None or before <= 0 or now >= before:
        return ZERO
    return (before - now) / before * _HUNDRED
