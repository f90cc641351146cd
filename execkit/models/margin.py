"""MarginModel: how much of an account a venue wants to see, and when it closes a position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from execkit.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class MarginTier:
    """Rates for the part of a position's notional that lies above `notional`."""

    notional: float
    initial_rate: float
    maintenance_rate: float

    def __post_init__(self) -> None:
        _rates(self.initial_rate, self.maintenance_rate)
        if not (_number(self.notional) and self.notional > 0):
            raise InvalidInput("notional", self.notional, "use a finite number > 0")


@dataclass(frozen=True, kw_only=True)
class MarginModel:
    """What an account must hold, as fractions of the notional of each position.

    initial_rate : to open, 1 / leverage (0.1 = 10 times), in (0, 1].
    maintenance_rate : to stay, in (0, initial_rate]; closed when maintenance reaches equity.
    tiers : higher rates for what lies above given notionals, by part, as a tax is: the same as a
        rate on the whole less the venue's "maintenance amount". Rising in notional and rates.
    liquidation_fee_bps : of the notional that is closed.

    Notional is in the settlement currency: quantity * contract_size * mark, and for inverse
    contracts quantity * contract_size / mark, in coin.
    """

    initial_rate: float
    maintenance_rate: float
    tiers: tuple[MarginTier, ...] = ()
    liquidation_fee_bps: float = 0.0

    def __post_init__(self) -> None:
        _rates(self.initial_rate, self.maintenance_rate)
        fee = self.liquidation_fee_bps
        if not (_number(fee) and fee >= 0):
            raise InvalidInput("liquidation_fee_bps", fee, "use bps >= 0")
        if not isinstance(self.tiers, tuple) or any(
            not isinstance(tier, MarginTier) for tier in self.tiers
        ):
            raise InvalidInput("tiers", self.tiers, "pass a tuple of MarginTier")
        for name in ("notional", "initial_rate", "maintenance_rate"):
            values = [getattr(tier, name) for tier in self.tiers]
            if name != "notional":
                values.insert(0, getattr(self, name))
            if values != sorted(values) or (name == "notional" and len(set(values)) < len(values)):
                raise InvalidInput("tiers", values, f"list tiers with rising {name}")

    @classmethod
    def of_leverage(
        cls, leverage: float, maintenance_rate: float, *, liquidation_fee_bps: float = 0.0
    ) -> MarginModel:
        """One rate, named by the most that may be held per unit of equity."""
        if not (_number(leverage) and leverage >= 1):
            raise InvalidInput("leverage", leverage, "use a number >= 1")
        return cls(
            initial_rate=1 / leverage,
            maintenance_rate=maintenance_rate,
            liquidation_fee_bps=liquidation_fee_bps,
        )

    def initial(self, notional: np.ndarray) -> np.ndarray:
        """Margin to open positions of this notional (>= 0), float64, same shape."""
        return self._margin(notional, "initial_rate")

    def maintenance(self, notional: np.ndarray) -> np.ndarray:
        """Margin to keep positions of this notional (>= 0), float64, same shape."""
        return self._margin(notional, "maintenance_rate")

    def liquidation_price(
        self,
        quantity: float,
        entry_price: float,
        balance: float,
        *,
        contract_size: float = 1.0,
        inverse: bool = False,
    ) -> float:
        """Mark at which maintenance equals equity, for one position alone in an account that held
        `balance` when it was opened; NaN if there is no such price above 0.

        Within a tier with rate m and amount c (s contract_size, e entry_price, q signed):
        linear : balance + q s (p - e) = m |q| s p - c, in quote currency.
        inverse: balance + q s (1/e - 1/p) = m |q| s / p - c, in coin.
        """
        q, s, size = quantity, contract_size, abs(quantity) * contract_size
        if q == 0:
            return math.nan
        for m, amount, low, high in self._brackets():
            if inverse:
                per_coin = (balance + q * s / entry_price + amount) / (q * s + m * size)
                price = 1 / per_coin if per_coin > 0 else math.nan
            else:
                price = (q * s * entry_price - balance - amount) / (q * s - m * size)
            notional = size / price if inverse else size * price
            if price > 0 and low <= notional <= high:
                return price
        return math.nan

    def _brackets(self) -> list[tuple[float, float, float, float]]:
        """(maintenance rate, amount to take off, from, to) of each bracket of notional."""
        rates = [self.maintenance_rate, *(tier.maintenance_rate for tier in self.tiers)]
        edges = [0.0, *(tier.notional for tier in self.tiers), math.inf]
        amount, found = 0.0, []
        for k, rate in enumerate(rates):
            amount += (rate - rates[k - 1]) * edges[k] if k else 0.0
            found.append((rate, amount, edges[k], edges[k + 1]))
        return found

    def _margin(self, notional: np.ndarray, name: str) -> np.ndarray:
        value = np.asarray(notional, dtype=float)
        total, rate = getattr(self, name) * value, getattr(self, name)
        for tier in self.tiers:
            step = getattr(tier, name) - rate
            total = total + step * np.maximum(value - tier.notional, 0.0)
            rate = getattr(tier, name)
        return total


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _rates(initial: object, maintenance: object) -> None:
    if not (_number(initial) and 0 < initial <= 1):  # type: ignore[operator]
        raise InvalidInput("initial_rate", initial, "use a fraction in (0, 1]: 1 / leverage")
    if not (_number(maintenance) and 0 < maintenance <= initial):  # type: ignore[operator]
        fix = f"use a fraction in (0, initial_rate = {initial}]"
        raise InvalidInput("maintenance_rate", maintenance, fix)
