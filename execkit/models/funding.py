"""Funding of perpetual contracts: what holding a position costs at each of the venue's stamps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from execkit.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class FundingRates:
    """One symbol's stamps (ns, rising), rates (fraction of notional a period, positive = longs pay)
    and marks (price, NaN where the venue's mark is not known). Shape (n,)."""

    ts_ns: np.ndarray
    rate: np.ndarray
    mark: np.ndarray

    def cost(
        self, quantity: np.ndarray, contract_size: float = 1.0, *, inverse: bool = False
    ) -> np.ndarray:
        """What a position pays at each stamp, float64 of shape (n,), negative = received.

        quantity : signed, as held when the stamp comes. Linear: quantity * contract_size * mark *
        rate, in quote currency. Inverse: quantity * contract_size / mark * rate, in coin. NaN where
        the mark is NaN and something is held.
        """
        value = 1 / self.mark if inverse else self.mark
        with np.errstate(invalid="ignore"):
            paid = quantity * contract_size * value * self.rate
        return np.where((quantity == 0) | (self.rate == 0), 0.0, paid)


def funding_rates(market: object, symbols: Iterable[str]) -> dict[str, FundingRates]:
    """The rates of those symbols that have any in the market's funding table."""
    table: Table | None = getattr(market, "funding", None)
    if table is None:
        return {}
    found = {}
    for symbol in symbols:
        if symbol in table.present:
            own = table.of(symbol)
            mark = np.asarray(own["mark"], dtype=float)
            # a price of 0 or less is the absence of one
            mark = np.where(mark > 0, mark, np.nan)
            found[symbol] = FundingRates(own["ts_ns"], np.asarray(own["rate"], float), mark)
    return found
