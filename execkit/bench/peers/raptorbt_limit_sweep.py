"""W2 in raptorbt: `batch_single_backtest` over all combinations.

It takes signals, not limit orders: it is handed the bars in which the limit of the bar before was
reached, and enters and leaves at closes. Making those signals is not timed, which is in its favour.
Its results stay in its own memory, so the combinations go in batches.
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
BATCH = 100


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    columns = {name: np.load(folder / f"{name}.npy") for name in NAMES}
    config = raptorbt.BacktestConfig(initial_capital=1e9, fees=options["fee_bps"] / 1e4)
    items = []
    for offset_bps in options["offset_bps"]:
        limit = columns["close"][:-1] * (1 - offset_bps / 1e4)
        entries = np.concatenate(([False], columns["low"][1:] <= limit))
        for horizon in options["horizon"]:
            exits = np.zeros_like(entries)
            exits[horizon:] = entries[:-horizon]
            name = f"{offset_bps}/{horizon}"
            items.append(raptorbt.BatchSingleItem(name, entries, exits, config=config))
    return {"columns": list(columns.values()), "items": items, "config": config}


def work(state: dict[str, Any]) -> int:
    items, done = state["items"], 0
    for at in range(0, len(items), BATCH):
        part = items[at : at + BATCH]
        found = raptorbt.batch_single_backtest(*state["columns"], part, config=state["config"])
        done += sum(result.metrics.total_trades for _, result in found)
    return done


def answers(state: dict[str, Any], result: int) -> dict[str, float]:
    return {"round_trips": result}
