"""A million marketable orders, each walking the book of its moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Part, Row
from execkit.bench.setting import Setting, save

NAME = "walk"


def prepare(folder: Path, setting: Setting) -> None:
    tape = tapes.book(setting.size(1_000_000, 10_000))
    save(folder, tape)
    save(folder / "takers", tapes.takers(tape, setting.size(1_000_000, 2_000)))


def tasks(setting: Setting) -> list[Task]:
    return [Task("walk", "execkit", "execkit_depth_walk", {"orders": "takers"})]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    n, ours = setting.size(1_000_000, 2_000), found["walk"]
    rows = setting.size(1_000_000, 10_000)
    work = f"depth walk: {n:,} marketable orders over {rows:,} rows of depth and prints"
    note = f"{ours.answer('fills') / n:.2f} levels an order; market loaded and indexed before"
    rate = n / ours.seconds
    row = Row(NAME, "walk", work, "orders/s", rate, target=5e6, absolute=True, note=note)
    return Part([row])
