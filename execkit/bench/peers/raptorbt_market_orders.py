"""W1 in raptorbt, as near as it comes: in at one bar, out at the next, all the way.

It sizes by capital, so its fees and cash are its own and are not compared.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"
import raptorbt

ENGINE = f"raptorbt {raptorbt.__version__}"
NAMES = ("ts_ns", "open", "high", "low", "close", "volume")


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    columns = [np.load(folder / f"{name}.npy") for name in NAMES]
    config = raptorbt.BacktestConfig(
        initial_capital=1e9,
        fees=options["fee_bps"] / 1e4,
        slippage=options["slippage_bps"] / 1e4,
    )
    even = np.arange(len(columns[0])) % 2 == 0
    return {"columns": columns, "even": even, "config": config}


def work(state: dict[str, Any]) -> Any:
    result = raptorbt.run_single_backtest(
        *state["columns"], state["even"], ~state["even"], config=state["config"]
    )
    return result.trades()


def answers(state: dict[str, Any], found: Any) -> dict[str, float]:
    return {"fills": 2 * len(found)}
