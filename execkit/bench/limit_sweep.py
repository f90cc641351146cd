"""W2: limit offset x horizon, 1,000 combinations on 100,000 bars, a position at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Check, Part, Row, shown
from execkit.bench.setting import Setting, save

NAME = "w2"
FEE_BPS = 4.0
ALL = 0  # cores
CORES = 1.7  # what two of them are to gain
SOME = ((5.0, 10), (20.0, 50))
"""The combinations that backtesting.py runs, and that are compared with ours: as many in all would
take it a quarter of an hour."""


def grid(setting: Setting) -> dict[str, list[Any]]:
    """Offsets in bps and horizons in bars; those of `SOME` are among them."""
    if setting.quick:
        return {"offset_bps": [5.0, 20.0], "horizon": [10, 50]}
    offsets = [round(float(x), 2) for x in np.linspace(2.5, 50, 20)]
    return {"offset_bps": offsets, "horizon": list(range(2, 102, 2))}


def prepare(folder: Path, setting: Setting) -> None:
    save(folder, tapes.bars(setting.size(100_000, 2_000)))


def tasks(setting: Setting) -> list[Task]:
    shared = {**grid(setting), "fee_bps": FEE_BPS}
    out = [
        Task(f"{kind} {cores}", "execkit", "execkit_limit_sweep",
             {**shared, "kind": kind, "cores": cores})
        for kind, cores in (
            ("round trips", ALL), ("round trips", 2), ("round trips", 1), ("independent", ALL)
        )
    ]  # fmt: skip
    once = {"cold": True}  # nothing is compiled, so there is nothing to warm
    raptorbt = Task("raptorbt", "raptorbt", "raptorbt_limit_sweep", {**shared, **once})
    some = {"some": SOME, "fee_bps": FEE_BPS, **once}
    python = Task("backtesting", "backtesting", "backtesting_limit_sweep", some, once=True)
    return [*out, raptorbt, python]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    bars = setting.size(100_000, 2_000)
    count = int(np.prod([len(values) for values in grid(setting).values()]))
    whole = {}
    if rust := found.get("raptorbt"):
        whole[rust.engine] = rust.seconds
    if few := found.get("backtesting"):
        whole[f"{few.engine} (from {len(SOME)} runs)"] = few.seconds / len(SOME) * count
    beside: dict[str, Any] = {}
    if whole:
        best = min(whole, key=lambda engine: whole[engine])
        beside = {"peer": best, "peer_value": whole[best], "peers": whole}
    ours = found[f"round trips {ALL}"]
    one, two = found["round trips 1"], found["round trips 2"]
    gains = two.answer("machine_gains")
    work = f"W2, sweep of {count:,} offsets x horizons on {bars:,} bars"
    out = Part()
    note = "; ".join(f"{engine}: {shown(value, 's')}" for engine, value in whole.items())
    out.rows = [
        Row(NAME, "w2_round_trips", f"{work}, a position at a time", "s", ours.seconds,
            target=50.0, note=note, **beside),
        Row(NAME, "w2_independent", f"{work}, an order at each bar on its own", "orders/s",
            count * (bars - 1) / found[f"independent {ALL}"].seconds),
        Row(NAME, "w2_cores", f"{work}, one core over two", "x", one.seconds / two.seconds,
            target=CORES if gains >= CORES else None, absolute=True,
            note=f"a loop of pure arithmetic gains {gains:.2f}x here; the target is {CORES}x on a "
                 "machine that gives it"),
    ]  # fmt: skip
    if few is not None:
        for i, (offset_bps, horizon) in enumerate(SOME):
            name = f"round trips at {offset_bps:g} bps, {horizon} bars"
            why = "it decides from the second bar on: the first trips differ until both are flat"
            there = few.answer(f"round_trips_{i}")
            mine = ours.answer(f"round_trips_{i}")
            out.checks.append(Check(NAME, name, mine, few.engine, there, 10.0, why))
    return out
