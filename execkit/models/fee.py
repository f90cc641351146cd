"""FeeModel: what a fill is charged, in which currency, by tier of traded volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from execkit.arrays import fixed, short
from execkit.errors import InvalidInput
from execkit.models.base import FeeLike

_DAY_NS = 86_400_000_000_000


def _finite(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidInput(name, value, "pass a finite number, e.g. 4.5")


@dataclass(frozen=True, kw_only=True)
class FeeTier:
    """Rates in bps of notional (negative = rebate) from a trailing volume in quote currency on."""

    volume: float
    maker_bps: float
    taker_bps: float

    def __post_init__(self) -> None:
        for name in ("volume", "maker_bps", "taker_bps"):
            _finite(getattr(self, name), name)


@dataclass(frozen=True, kw_only=True)
class FeeModel:
    """Fees on the notional of each fill; positive = paid, negative = rebate.

    maker_bps, taker_bps : rates in bps of notional.
    currency : "quote" (default), "base" (spot buys at many venues), "settle" (base for inverse
        contracts, else quote), or the name of a third coin such as "BNB".
    third_price : quote units per unit of that third coin; required with one.
    tiers : rates by the volume traded in the `window_days` before the fill, in quote currency, of
        this run's own fills plus `start_volume`; must rise in volume. Empty = one rate.
    When it lies: a venue counts volume of the whole account and re-tiers once a day.
    """

    maker_bps: float = 0.0
    taker_bps: float = 0.0
    currency: str = "quote"
    third_price: float | None = None
    tiers: tuple[FeeTier, ...] = field(default=())
    window_days: int = 30
    start_volume: float = 0.0

    def __post_init__(self) -> None:
        for name in ("maker_bps", "taker_bps", "start_volume"):
            _finite(getattr(self, name), name)
        days = self.window_days
        if isinstance(days, bool) or not isinstance(days, int) or days < 1:
            raise InvalidInput("window_days", days, "pass a whole number of days, at least 1")
        if not isinstance(self.currency, str) or not self.currency:
            fix = "say quote, base, settle, or the name of a coin"
            raise InvalidInput("currency", self.currency, fix)
        if self.third_price is not None:
            _finite(self.third_price, "third_price")
        if not isinstance(self.tiers, tuple):
            raise InvalidInput("tiers", self.tiers, "pass a tuple of FeeTier")
        for row, tier in enumerate(self.tiers):
            if not isinstance(tier, FeeTier):
                raise InvalidInput("tiers", tier, "pass a tuple of FeeTier", row=row)
        third = self.currency not in ("quote", "base", "settle")
        if third and not (self.third_price and self.third_price > 0):
            raise InvalidInput(
                "third_price",
                self.third_price,
                f"fees in {self.currency} need its price in quote currency",
            )
        volumes = [tier.volume for tier in self.tiers]
        if volumes != sorted(set(volumes)):
            raise InvalidInput("tiers", volumes, "list tiers with strictly rising volume")

    def charge(
        self,
        notional: np.ndarray,
        base_value: np.ndarray,
        is_maker: np.ndarray,
        volume: np.ndarray,
        *,
        inverse: bool = False,
    ) -> np.ndarray:
        """Fee of each fill, float64 of shape (n,), in the fee currency.

        notional : in quote currency; base_value : the same in base currency; is_maker : bool;
        volume : what was traded before each fill, as from `volume_before`; all of shape (n,).
        Rounded to 1e-12 of the currency, far below any venue's unit, so that float dust does not
        become money.
        """
        makers = np.array([self.maker_bps, *(tier.maker_bps for tier in self.tiers)])
        takers = np.array([self.taker_bps, *(tier.taker_bps for tier in self.tiers)])
        limits = np.array([tier.volume for tier in self.tiers])
        tier = np.searchsorted(limits, volume, side="right")
        rate = np.where(is_maker, makers[tier], takers[tier]) / 1e4
        in_base = self.currency == "base" or (self.currency == "settle" and inverse)
        fee = rate * (base_value if in_base else notional)
        if self.currency not in ("base", "quote", "settle"):
            fee = fee / float(self.third_price or math.nan)
        return np.round(fee, 12)

    def charge_one(
        self,
        notional: float,
        base_value: float,
        is_maker: bool,
        volume: float,
        *,
        inverse: bool = False,
    ) -> float:
        """`charge` of one fill, to the last digit, without arrays where there are no tiers."""
        if self.tiers:
            columns = (np.array([v]) for v in (notional, base_value, is_maker, volume))
            return float(self.charge(*columns, inverse=inverse)[0])
        rate = (self.maker_bps if is_maker else self.taker_bps) / 1e4
        in_base = self.currency == "base" or (self.currency == "settle" and inverse)
        fee = rate * (base_value if in_base else notional)
        if self.currency not in ("base", "quote", "settle"):
            fee = fee / float(self.third_price or math.nan)
        return math.copysign(round(abs(fee * 1e12)) / 1e12, fee)  # as numpy rounds

    def charge_flat(
        self,
        quantity: np.ndarray,
        price: np.ndarray,
        is_maker: np.ndarray,
        symbol: np.ndarray,
        size: np.ndarray,
        inverse: np.ndarray,
    ) -> np.ndarray:
        """`charge` of fills without tiers, in one pass.

        quantity, price, is_maker, symbol : of each fill, shape (n,). size, inverse : contract size
        and whether it is an inverse contract, by code in `symbol`.
        """
        from execkit.models.charging import charge_flat

        fees = np.empty(len(quantity))
        in_base = inverse if self.currency == "settle" else np.full(len(size), self._in_base)
        if len(fees) == 0:
            return fees
        columns = (fixed(quantity), fixed(price), short(is_maker), short(symbol))
        rates = np.array([self.taker_bps / 1e4, self.maker_bps / 1e4])
        charge_flat(*columns, fixed(size), fixed(inverse), fixed(in_base), rates, self._third, fees)
        return fees

    @property
    def _in_base(self) -> bool:
        return self.currency == "base"

    @property
    def _third(self) -> float:
        """Quote units per unit of a third coin; 1 where there is none."""
        third = self.currency not in ("base", "quote", "settle")
        return float(self.third_price or math.nan) if third else 1.0

    def volume_before(self, ts_ns: np.ndarray, notional: np.ndarray) -> np.ndarray:
        """Quote volume that sets the tier of each fill: of the fills before it, in time order,
        within the window, and `start_volume`."""
        before = np.concatenate(([0.0], np.cumsum(notional)))
        first = np.searchsorted(ts_ns, ts_ns - self.window_ns, side="left")
        return self.start_volume + before[:-1] - before[first]

    @property
    def window_ns(self) -> int:
        return self.window_days * _DAY_NS

    def in_settlement(self) -> FeeModel:
        """The same fees, charged in the currency in which the instrument settles."""
        return replace(self, currency="settle")

    def currency_of(self, base: str, quote: str, *, inverse: bool = False) -> str:
        """Name of the fee currency for an instrument; "base"/"quote" where the coin is unnamed."""
        if self.currency == "settle":
            return (base or "base") if inverse else (quote or "quote")
        return {"base": base or "base", "quote": quote or "quote"}.get(self.currency, self.currency)


def flat_fees(fee: FeeLike) -> FeeModel | None:
    """The model itself if a fill's fee depends on nothing but that fill and `charge_flat` knows it,
    else None. (A class derived from FeeModel may charge otherwise.)"""
    if not isinstance(fee, FeeModel) or type(fee).charge is not FeeModel.charge:
        return None
    return None if fee.tiers else fee
