"""W2b: a million independent limit orders over a million bars, living 1k, 10k or 100k bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Part, Row
from execkit.bench.setting import Setting, save

NAME = "w2b"
HORIZONS = (1_000, 10_000, 100_000)
FLAT = 0.5


def prepare(folder: Path, setting: Setting) -> None:
    bars = tapes.bars(setting.size(1_000_000, 3_000))
    save(folder, bars)
    save(folder / "orders", tapes.resting_limits(bars))


def tasks(setting: Setting) -> list[Task]:
    return [
        Task(f"horizon {bars}", "execkit", "execkit_limit_orders", {"horizon": bars})
        for bars in HORIZONS
    ]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    n = setting.size(1_000_000, 3_000)
    out = Part()
    for bars in HORIZONS:
        ours = found[f"horizon {bars}"]
        work = f"W2b, {n:,} independent limit orders on as many bars, each alive for {bars:,} bars"
        note = f"{ours.answer('filled') / n:.0%} of the orders fill"
        rate = n / ours.seconds
        out.rows.append(
            Row(NAME, f"w2b_{bars}", work, "orders/s", rate, target=5e6, absolute=True, note=note)
        )
    first, last = (found[f"horizon {HORIZONS[i]}"].seconds for i in (0, -1))
    work = f"W2b, time at {HORIZONS[0]:,} over time at {HORIZONS[-1]:,} bars (1 is flat)"
    out.rows.append(Row(NAME, "w2b_flat", work, "x", first / last, target=FLAT, absolute=True))
    return out
