"""A simulation request: checked orders and all assumptions but the fill model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from execkit.matching.reference_price import ReferencePrices
from execkit.matching.tape import SymbolTape
from execkit.models.fee import FeeModel
from execkit.models.latency import LatencyModel
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
    """Checked orders and everything but the fill model: what a run can be repeated from."""

    run_id: str
    strategy_id: str
    table: OrderTable
    parts: list[Part]
    arrival: np.ndarray
    cancel: np.ndarray
    fee: FeeModel
    latency: LatencyModel
    seed: int
    start: Mapping[str, float]
