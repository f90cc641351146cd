"""W3: 5M rows of depth and prints, two quotes renewed each 1000, 100 or 10 rows; a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Check, Part, Row
from execkit.bench.setting import Setting, save

NAME = "w3"
EVERY = (1000, 100, 10)
SETS, RUN = 1000, 50
SHARE = 1e-4
TAKEN = "an own fill shortens the queue at the level it took from, which the peer does not count"
LATENCY_NS = 100_000


def prepare(folder: Path, setting: Setting) -> None:
    tape = tapes.book(setting.size(5_000_000, 20_000))
    save(folder, tape)
    for every in EVERY:
        save(folder / f"every_{every}", tapes.requotes(tape, every))


def tasks(setting: Setting) -> list[Task]:
    ours, peer = "execkit_book_orders", "hftbacktest_book_orders"

    def options(part: str, every: int = 100, **more: Any) -> dict[str, Any]:
        return {"part": part, "orders": f"every_{every}", "latency_ns": LATENCY_NS, **more}

    out = [
        Task("raw", "execkit", ours, options("all", repeats=1)),
        Task("conversion", "hftbacktest", peer, options("conversion", repeats=1)),
        Task("first", "execkit", ours, options("first", repeats=2)),
    ]
    out.append(
        Task("sweep", "execkit", "execkit_book_sweep", options("sweep", sets=RUN, repeats=1))
    )
    for every in EVERY:
        out.append(Task(f"further {every}", "execkit", ours, options("further", every)))
        out.append(Task(f"run {every}", "hftbacktest", peer, options("run", every)))
    return out


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    rows_of_tape = f"{setting.size(5_000_000, 20_000):,} rows of depth and prints"
    both: dict[str, Any] = {}
    if "conversion" in found and "run 100" in found:
        engine = found["run 100"].engine
        value = found["conversion"].seconds + found["run 100"].seconds
        both = {"peer": f"{engine}, conversion + run", "peer_value": value}
    out = Part()
    for name, task, words in (
        ("w3_first", "first", "first run on a loaded market, what it indexes included"),
        ("w3_raw", "raw", "from plain columns: market made and first run"),
    ):
        work = f"W3, {rows_of_tape}, quotes each 100 rows, queue; {words}"
        out.rows.append(Row(NAME, name, work, "s", found[task].seconds, target=5.0, **both))
    for every in EVERY:
        ours, peer = found[f"further {every}"], found.get(f"run {every}")
        beside: dict[str, Any] = {}
        if peer is not None:
            beside = {"peer": peer.engine, "peer_value": peer.seconds}
        work = f"W3, quotes each {every} rows, each further run"
        out.rows.append(
            Row(NAME, f"w3_further_{every}", work, "s", ours.seconds, target=25.0, **beside)
        )
        if peer is None:
            continue
        for name, why in (("filled", TAKEN), ("rows", f"the sum of their rows; {TAKEN}")):
            mine, theirs = ours.answer(name), peer.answer(name)
            label, few = f"{name}, each {every}", SHARE * mine
            out.checks.append(Check(NAME, label, mine, peer.engine, theirs, few, why))
    out.rows.append(_sweep(found))
    return out


def _sweep(found: Mapping[str, Measured]) -> Row:
    beside: dict[str, Any] = {}
    if peer := found.get("run 100"):
        beside = {"peer": peer.engine, "peer_value": peer.seconds * SETS}
    work = f"W3, {SETS:,} sets of distance and size, quotes each 100 rows"
    note = f"extrapolated: ours from {RUN} sets, the peer from its run of one"
    seconds = found["sweep"].seconds * SETS / RUN
    return Row(NAME, "w3_sweep", work, "s", seconds, target=50.0, note=note, **beside)
