"""execkit: research-to-live execution for crypto trading from notebooks.

A signal goes through one order and position API in every world: `simulate` answers millions of
orders on recorded data, `ExecutionEngine` trades them on a paper venue or an exchange, and `Store`
keeps every order and fill of both in the same DuckDB tables. Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_HOME = {
    "ExecKitError": "errors",
    "ExecutionEngine": "engine",
    "ExecutionMode": "words",
    "ExecutionOrder": "domain",
    "ExecutionResult": "engine",
    "ExecutionStatus": "words",
    "FeeModel": "models",
    "FeeTier": "models",
    "Fill": "domain",
    "FillModel": "models",
    "Instrument": "domain",
    "InvalidInput": "errors",
    "Journal": "journal",
    "LatencyModel": "models",
    "Liquidity": "words",
    "LiveClock": "clock",
    "MarketData": "market",
    "OrderManager": "orders",
    "OrderMonitor": "monitor",
    "OrderType": "words",
    "PaperVenue": "venues.paper",
    "Position": "domain",
    "PositionTracker": "positions",
    "ReplayClock": "clock",
    "RiskGuard": "risk",
    "Side": "words",
    "SignalAction": "words",
    "SimulationResult": "simulator",
    "Store": "store",
    "TimeInForce": "words",
    "TradingSignal": "domain",
    "simulate": "simulator",
}

__version__ = "0.1.0"
__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'execkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"execkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from execkit.clock import LiveClock, ReplayClock
    from execkit.domain import ExecutionOrder, Fill, Instrument, Position, TradingSignal
    from execkit.engine import ExecutionEngine, ExecutionResult
    from execkit.errors import ExecKitError, InvalidInput
    from execkit.journal import Journal
    from execkit.market import MarketData
    from execkit.models import FeeModel, FeeTier, FillModel, LatencyModel
    from execkit.monitor import OrderMonitor
    from execkit.orders import OrderManager
    from execkit.positions import PositionTracker
    from execkit.risk import RiskGuard
    from execkit.simulator import SimulationResult, simulate
    from execkit.store import Store
    from execkit.venues.paper import PaperVenue
    from execkit.words import (
        ExecutionMode,
        ExecutionStatus,
        Liquidity,
        OrderType,
        Side,
        SignalAction,
        TimeInForce,
    )
