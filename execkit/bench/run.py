"""`execkit bench simulator`: runs the workloads and gathers what they found."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from execkit.bench.processes import OURS, Peers, run_tasks
from execkit.bench.report import machine
from execkit.bench.setting import Setting, Workload
from execkit.errors import InvalidInput

WORKLOADS = {
    "w1": "market_orders",
    "w2": "limit_sweep",
    "w2b": "limit_orders",
    "w3": "book_orders",
    "walk": "depth_walk",
    "scale": "scaling",
    "engine": "order_path",
}
PACKAGES = (
    "vectorbt",
    "vectorbt-rust",
    "raptorbt",
    "hftbacktest",
    "backtesting",
    "nautilus_trader",
)


def run_simulator(
    only: Sequence[str] = (),
    *,
    setting: Setting | None = None,
    rounds: int = 3,
    with_peers: bool = True,
    interpreters: Sequence[str | Path] = (),
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The speed table.

    Parameters
    ----------
    only : names of `WORKLOADS`; all of them if empty.
    rounds : how often each engine runs, in turns, each time in a fresh process.
    interpreters : Pythons that have peers which cannot be installed beside execkit.

    Returns
    -------
    dict with "machine", "peers" (versions), "rounds", "rows" (`report.Row`), "checks"
    (`report.Check`) and "notes".

    Raises
    ------
    InvalidInput for an unknown workload or an interpreter that is none; RuntimeError if execkit
    itself fails at a workload.

    When it lies: on a machine that does other things at the time. Ratios then hold better than
    times, because the engines take turns; both are only as good as the machine is quiet.
    """
    chosen = tuple(only) or tuple(WORKLOADS)
    for name in chosen:
        if name not in WORKLOADS:
            raise InvalidInput("--only", name, f"use some of: {', '.join(WORKLOADS)}")
    if rounds < 1:
        raise InvalidInput("--rounds", rounds, "use at least 1")
    size = setting or Setting()
    peers = Peers(PACKAGES if with_peers else (), interpreters if with_peers else ())
    report: dict[str, Any] = {
        "machine": machine(),
        "peers": peers.versions,
        "rounds": rounds,
        "quick": size.quick,
        "rows": [],
        "checks": [],
        "notes": [],
    }
    begun = time.monotonic()
    for name in chosen:
        _run(name, report, size, rounds, peers, with_peers, say)
    report["notes"] = sorted(set(report["notes"]))
    report["took_s"] = round(time.monotonic() - begun, 1)
    return report


def _run(
    name: str,
    report: dict[str, Any],
    setting: Setting,
    rounds: int,
    peers: Peers,
    with_peers: bool,
    say: Callable[[str], None],
) -> None:
    """One workload, into the report."""
    workload = cast(Workload, import_module(f"execkit.bench.{WORKLOADS[name]}"))
    with tempfile.TemporaryDirectory(prefix="execkit-bench-") as place:
        folder = Path(place)
        say(f"{name}: data")
        workload.prepare(folder, setting)
        tasks = [t for t in workload.tasks(setting) if with_peers or t.package == OURS]
        found, notes = run_tasks(tasks, peers, folder, rounds, say)
        part = workload.part(found, setting)
    report["rows"] += [row.plain() for row in part.rows]
    report["checks"] += [check.plain() for check in part.checks]
    report["notes"] += [*part.notes, *notes]
