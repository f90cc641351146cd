"""What the exchange takes: filters of a symbol that can be changed while it runs, and fees."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.rehearsal.words import NewOrder, Rejected
from execkit.words import ZERO

_CENT = Decimal("1e-8")
STATES = ("trading", "halted", "delisted")


@dataclass(frozen=True, kw_only=True)
class SymbolRules:
    """Filters of one symbol. price_band : largest distance of a limit price from the market, as a
    fraction; None = any. state : trading, halted (cancels only) or delisted."""

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    min_notional: Decimal = ZERO
    max_quantity: Decimal = Decimal(9_000_000)
    price_band: Decimal | None = None
    max_open_orders: int = 200
    state: str = "trading"

    @classmethod
    def of(cls, instrument: Instrument) -> SymbolRules:
        return cls(
            symbol=instrument.symbol,
            base=instrument.base or "BASE",
            quote=instrument.quote or "QUOTE",
            tick_size=instrument.tick_size,
            lot_size=instrument.lot_size,
            min_quantity=instrument.min_quantity or instrument.lot_size,
            min_notional=instrument.min_notional or ZERO,
        )

    def check(
        self, asked: NewOrder, quantity: Decimal, notional: Decimal, market: Decimal | None
    ) -> None:
        """Raise `Rejected`. market : the price now, None if nobody knows it."""
        if self.state != "trading":
            raise Rejected("halted", f"{self.symbol} is {self.state}")
        if quantity < self.min_quantity or quantity > self.max_quantity:
            limits = f"{self.min_quantity} to {self.max_quantity}"
            raise Rejected("lot_size", f"quantity {quantity} is not in {limits}")
        if quantity % self.lot_size:
            raise Rejected("lot_size", f"quantity {quantity} is no multiple of {self.lot_size}")
        for price in (asked.price, asked.stop_price):
            if price is not None and (price <= 0 or price % self.tick_size):
                raise Rejected("tick_size", f"price {price} is no multiple of {self.tick_size}")
        band = self.price_band
        if band is not None and market and asked.price is not None:
            low, high = market * (1 - band), market * (1 + band)
            if not low <= asked.price <= high:
                raise Rejected("price_band", f"price {asked.price} is outside {low} to {high}")
        if notional < self.min_notional:
            raise Rejected("min_notional", f"worth {notional}, the minimum is {self.min_notional}")


@dataclass(frozen=True, kw_only=True)
class FeeSchedule:
    """Exact fees of one account; a negative rate is a rebate.

    currency : "received" (what the order buys, as spot venues do), "quote", "base", or a third coin
    such as "BNB", of which one is worth `third_price` quote units; when that runs out, "received".
    Rounded to 1e-8 of the currency.
    """

    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    currency: str = "received"
    third_price: Decimal | None = None

    def __post_init__(self) -> None:
        third = self.currency not in ("received", "quote", "base")
        if third and not (self.third_price and self.third_price > 0):
            fix = f"fees in {self.currency} need its price in quote currency"
            raise InvalidInput("third_price", self.third_price, fix)

    def rate(self, is_maker: bool) -> Decimal:
        return (self.maker_bps if is_maker else self.taker_bps) / 10_000

    def third(self, quote: Decimal, is_maker: bool) -> Decimal:
        """The fee in the third coin."""
        return _rounded(quote * self.rate(is_maker) / (self.third_price or Decimal(1)))

    def charge(self, value: Decimal, is_maker: bool) -> Decimal:
        """The fee of a fill of this value, in the currency of the value."""
        return _rounded(value * self.rate(is_maker))


def _rounded(fee: Decimal) -> Decimal:
    return fee.quantize(_CENT, ROUND_HALF_EVEN)
