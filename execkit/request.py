"""A simulation request: checked orders and all assumptions but the fill model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from execkit.arrays import counted
from execkit.matching.reference_price import ReferencePrices, reference_prices
from execkit.matching.tape import SymbolTape
from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.funding import FundingRates
from execkit.order_table import OrderTable


@dataclass(frozen=True, eq=False)
class Part:
    """One symbol's orders as kernel integers.

    chosen : their positions in the table, None for the whole table. limit, stop, quantity : int64
    in units, 0 where not given; where no order has one, a view of one value. looked_up : reference
    prices of a market in pieces, as far as these orders need them.
    """

    size: int
    chosen: np.ndarray | None
    market: SymbolTape
    limit: np.ndarray
    stop: np.ndarray
    quantity: np.ndarray
    looked_up: ReferencePrices | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """Their positions in the table, int64."""
        return np.arange(self.size) if self.chosen is None else self.chosen

    def of(self, column: np.ndarray) -> np.ndarray:
        """What a column of the table holds for these orders."""
        return column if self.chosen is None else column[self.chosen]

    @property
    def reference(self) -> ReferencePrices:
        return reference_prices(self.market) if self.looked_up is None else self.looked_up


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """Checked orders and everything but the fill model: what a run can be repeated from.

    arrival : when each order reaches the venue. lost_ns : when we know that the venue did not take
    an order (GIVEN for all others, which is the least int64); such a row is in no `Part`.
    """

    run_id: str
    strategy_id: str
    table: OrderTable
    parts: list[Part]
    arrival: np.ndarray
    cancel: np.ndarray
    lost_ns: np.ndarray
    fee: FeeLike
    latency: LatencyLike
    seed: int
    start: Mapping[str, float]
    impact: ImpactLike | None = None
    funding: Mapping[str, FundingRates] = field(default_factory=dict)

    @cached_property
    def positions(self) -> np.ndarray:
        """0, 1, 2 ... of the rows; shared by whoever needs them, so not to be written to."""
        return counted(len(self.table))
