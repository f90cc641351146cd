"""A simulation request: checked orders and all assumptions but the fill model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from execkit.matching.reference_price import ReferencePrices
from execkit.matching.tape import SymbolTape
from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.funding import FundingRates
from execkit.order_table import OrderTable


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One symbol's orders as kernel integers: positions in the table, and their columns."""

    rows: np.ndarray
    market: SymbolTape
    reference: ReferencePrices
    limit: np.ndarray
    stop: np.ndarray
    quantity: np.ndarray


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
