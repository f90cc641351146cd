"""How time and memory grow with the rows of a tape that is read piece by piece from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from execkit.bench import markets, tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Part, Row
from execkit.bench.setting import Setting, save
from execkit.market import MarketData
from execkit.sources.native import write_parts

NAME = "scale"
EVERY = 1000
LINEAR, BOUNDED = 0.8, 0.67


def sizes(setting: Setting) -> list[int]:
    """Rows of the tapes, each ten times the one before."""
    first = setting.size(1_000_000, 2_000)
    return [first, 10 * first, *([100 * first] if setting.full else [])]


def prepare(folder: Path, setting: Setting) -> None:
    part = sizes(setting)[0]
    for rows in sizes(setting):
        place = folder / f"rows_{rows}"
        orders: list[tapes.Columns] = []
        write_parts(_parts(rows // part, part, orders), place / "market")
        columns = {n: np.concatenate([o[n] for o in orders]) for n in orders[0]}
        save(place / "orders", columns)


def _parts(count: int, rows: int, orders: list[tapes.Columns]) -> Iterator[MarketData]:
    """One tape after the other, each begun by a snapshot; the orders of each go into `orders`."""
    start_ns = seq = 0
    for number in range(count):
        tape = tapes.book(rows, seed=100 + number)
        placed = tapes.requotes(tape, EVERY)
        for name in ("ts_ns", "cancel_ts_ns"):
            placed[name] = placed[name] + start_ns
        orders.append(placed)
        tape["ts_ns"] = tape["ts_ns"] + start_ns
        tape["seq"] = tape["seq"] + seq
        start_ns = int(tape["ts_ns"][-1]) + tapes.STEP_NS - tapes.START_NS
        seq = int(tape["seq"][-1]) + 1
        yield markets.book_market(tape)


def tasks(setting: Setting) -> list[Task]:
    return [
        Task(
            f"rows {rows}",
            "execkit",
            "execkit_scan",
            {"place": f"rows_{rows}", "repeats": 1},
            once=rows == 100 * sizes(setting)[0],
        )
        for rows in sizes(setting)
    ]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    first, *more = sizes(setting)
    base, out = found[f"rows {first}"], Part()
    for rows in more:
        ours = found[f"rows {rows}"]
        times = rows // first
        seconds = f"{base.seconds:.3g} s and {ours.seconds:.3g} s"
        work = f"{first:,} to {rows:,} rows read from disk, time a row before over after"
        slower = base.seconds * times / ours.seconds
        out.rows.append(
            Row(NAME, f"scale_time_{times}", work, "x", slower, target=LINEAR, absolute=True,
                note=seconds)
        )  # fmt: skip
        peaks = f"{base.median('peak_mb'):.0f} MB and {ours.median('peak_mb'):.0f} MB"
        work = f"{first:,} to {rows:,} rows read from disk, peak memory before over after"
        less = base.median("peak_mb") / ours.median("peak_mb")
        out.rows.append(
            Row(NAME, f"scale_memory_{times}", work, "x", less, target=BOUNDED, absolute=True,
                note=peaks)
        )  # fmt: skip
    return out
