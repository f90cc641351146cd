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
    "LimitOrders": "limit_orders",
    "LiveClock": "clock",
    "MarketData": "market",
    "MarketScan": "scan",
    "OrderManager": "orders",
    "OrderMonitor": "monitor",
    "OrderType": "words",
    "PaperVenue": "venues.paper",
    "Position": "domain",
    "PositionTracker": "positions",
    "ReplayClock": "clock",
    "RiskGuard": "risk",
    "RoundTrips": "limit_orders",
    "Side": "words",
    "SignalAction": "words",
    "SimulationResult": "simulator",
    "Store": "store",
    "TakerCost": "taker_cost",
    "TimeInForce": "words",
    "TradingSignal": "domain",
    "open_venue": "venues.opening",
    "simulate": "simulator",
    "sweep": "sweeps",
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


if TYPE_CHECKING:  # `X as X` tells type checkers that the name is public
    from execkit.clock import LiveClock as LiveClock
    from execkit.clock import ReplayClock as ReplayClock
    from execkit.domain import ExecutionOrder as ExecutionOrder
    from execkit.domain import Fill as Fill
    from execkit.domain import Instrument as Instrument
    from execkit.domain import Position as Position
    from execkit.domain import TradingSignal as TradingSignal
    from execkit.engine import ExecutionEngine as ExecutionEngine
    from execkit.engine import ExecutionResult as ExecutionResult
    from execkit.errors import ExecKitError as ExecKitError
    from execkit.errors import InvalidInput as InvalidInput
    from execkit.journal import Journal as Journal
    from execkit.limit_orders import LimitOrders as LimitOrders
    from execkit.limit_orders import RoundTrips as RoundTrips
    from execkit.market import MarketData as MarketData
    from execkit.models import FeeModel as FeeModel
    from execkit.models import FeeTier as FeeTier
    from execkit.models import FillModel as FillModel
    from execkit.models import LatencyModel as LatencyModel
    from execkit.monitor import OrderMonitor as OrderMonitor
    from execkit.orders import OrderManager as OrderManager
    from execkit.positions import PositionTracker as PositionTracker
    from execkit.risk import RiskGuard as RiskGuard
    from execkit.scan import MarketScan as MarketScan
    from execkit.simulator import SimulationResult as SimulationResult
    from execkit.simulator import simulate as simulate
    from execkit.store import Store as Store
    from execkit.sweeps import sweep as sweep
    from execkit.taker_cost import TakerCost as TakerCost
    from execkit.venues.opening import open_venue as open_venue
    from execkit.venues.paper import PaperVenue as PaperVenue
    from execkit.words import ExecutionMode as ExecutionMode
    from execkit.words import ExecutionStatus as ExecutionStatus
    from execkit.words import Liquidity as Liquidity
    from execkit.words import OrderType as OrderType
    from execkit.words import Side as Side
    from execkit.words import SignalAction as SignalAction
    from execkit.words import TimeInForce as TimeInForce
