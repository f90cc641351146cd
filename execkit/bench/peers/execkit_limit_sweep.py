"""W2 in execkit: `sweep` of round trips, or of an order at each bar on its own."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import execkit as ek
from execkit.bench import markets
from execkit.bench.limit_sweep import SOME

ENGINE = f"execkit {ek.__version__}"
KINDS = {"round trips": ek.RoundTrips, "independent": ek.LimitOrders}


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    gains = machine_gains()
    if options["cores"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["cores"]])
    return {
        "machine_gains": gains,
        "kind": options["kind"],
        "market": markets.bars_market(markets.load(folder, markets.BARS)),
        "make_orders": KINDS[options["kind"]](quantity=1),
        "grid": {name: options[name] for name in ("offset_bps", "horizon")},
        "fee": ek.FeeModel(maker_bps=options["fee_bps"], taker_bps=options["fee_bps"]),
    }


def machine_gains() -> float:
    """What two threads gain where nothing holds them back but the machine."""

    def load(_: int) -> None:
        x = np.linspace(0, 1, 20_000)
        for _ in range(400):
            x = np.sin(x)

    took = []
    for threads in (1, 2):
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            list(pool.map(load, range(4)))
            took.append(time.perf_counter() - begun)
    return took[0] / took[1]


def work(state: dict[str, Any]) -> pd.DataFrame:
    model = ek.FillModel(name="touch", queue=False, participation=None)
    return ek.sweep(
        state["make_orders"], state["grid"], state["market"], fill=model, fee=state["fee"],
        progress=False,
    )  # fmt: skip


def answers(state: dict[str, Any], table: pd.DataFrame) -> dict[str, float]:
    found = {"machine_gains": state["machine_gains"], "combinations": len(table)}
    if state["kind"] == "round trips":
        by = table.set_index(["offset_bps", "horizon"])["round_trips"]
        found |= {f"round_trips_{i}": by.loc[key] for i, key in enumerate(SOME)}
    return found
