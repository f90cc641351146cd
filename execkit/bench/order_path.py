"""W4: the event-driven engine on replay: a signal, an order, its fill, all in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Part, Row, fastest, shown
from execkit.bench.setting import Setting, save

NAME = "engine"


def prepare(folder: Path, setting: Setting) -> None:
    """A quote a second, one tick wide, around the closes of the bars."""
    n = setting.size(5_000, 300)
    close = tapes.bars(n)["close"]
    save(
        folder,
        {
            "ts_ns": tapes.START_NS + np.arange(n, dtype=np.int64) * 1_000_000_000,
            "bid": close,
            "ask": np.rint(close * 100 + 1) / 100,
        },
    )


def tasks(setting: Setting) -> list[Task]:
    ours = "execkit_order_path"
    return [
        Task("journal", "execkit", ours, {"journal": True, "repeats": 2}),
        Task("nautilus", "nautilus_trader", "nautilus_order_path", {"cold": True}),
        Task("no journal", "execkit", ours, {"journal": False, "repeats": 2}),
    ]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    def each(task: str) -> float:
        return found[task].seconds / found[task].answer("fills")

    out = Part()
    beside = fastest(found, ["nautilus"])
    if beside:
        beside["peer_value"] = each("nautilus")
        beside["peers"] = {beside["peer"]: each("nautilus")}
    work = "engine on replay, an order and its fill, journal committed in groups"
    note = f"without a journal {shown(each('no journal'), 's')}; the peer has none"
    out.rows.append(
        Row(NAME, "engine", work, "s", each("journal"), target=100e-6, absolute=True, note=note,
            **beside)
    )  # fmt: skip
    return out
