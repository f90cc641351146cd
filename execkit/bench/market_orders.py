"""W1: a market order at each of a million bars, with fees and slippage; cold start and memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from execkit.bench import tapes
from execkit.bench.processes import Measured, Task
from execkit.bench.report import Check, Part, Row, fastest, shown
from execkit.bench.setting import Setting, save

NAME = "w1"
ASSUMED = {"fee_bps": 4.0, "slippage_bps": 1.0}
RUST = "vectorbt-rust"


def prepare(folder: Path, setting: Setting) -> None:
    n = setting.size(1_000_000, 3_000)
    save(folder, {**tapes.bars(n), **tapes.sides_and_quantities(n)})


def tasks(setting: Setting) -> list[Task]:
    ours, vectorbt, raptorbt = (f"{e}_market_orders" for e in ("execkit", "vectorbt", "raptorbt"))
    columns, strings = {**ASSUMED, "form": "columns"}, {**ASSUMED, "form": "strings"}
    rust, numba = {**ASSUMED, "engine": "rust"}, {**ASSUMED, "engine": "numba", "repeats": 1}
    readable = {**rust, "readable": True, "repeats": 1}
    return [
        Task("columns", "execkit", ours, columns),
        Task("vectorbt rust", RUST, vectorbt, rust),
        Task("strings", "execkit", ours, strings),
        Task("raptorbt", "raptorbt", raptorbt, ASSUMED),
        Task("cold", "execkit", ours, {**columns, "cold": True}),
        Task("vectorbt rust cold", RUST, vectorbt, {**rust, "cold": True}),
        Task("raptorbt cold", "raptorbt", raptorbt, {**ASSUMED, "cold": True}),
        Task("vectorbt numba", "vectorbt", vectorbt, numba, once=True),
        Task("vectorbt readable", RUST, vectorbt, readable, once=True),
    ]


def part(found: Mapping[str, Measured], setting: Setting) -> Part:
    n = setting.size(1_000_000, 3_000)
    work = f"W1, a market order at each of {n:,} bars, fees and slippage, fills table"
    best = fastest(found, ("vectorbt rust", "vectorbt numba", "raptorbt"))
    note = ""
    if readable := found.get("vectorbt readable"):
        note = f"with readable records {readable.engine} takes {shown(readable.seconds, 's')}"
    rows = [
        Row(NAME, "w1_columns", f"{work}; orders as columns and categoricals", "s",
            found["columns"].seconds, target=8.0, note=note, **best),
        Row(NAME, "w1_strings", f"{work}; orders as a plain frame of strings", "s",
            found["strings"].seconds, target=3.0, note=note, **best),
    ]  # fmt: skip
    # the targets of these two are about vectorbt, whoever else is lighter
    cold = [name for name in ("vectorbt rust cold", "raptorbt cold") if name in found]
    for name, words, value, unit in (
        ("w1_memory", "W1, peak memory of the whole process", "peak_mb", "MB"),
        ("w1_cold", "W1, start of a fresh process to its first result", "cold_s", "s"),
    ):
        first, every = fastest(found, cold[:1], value), fastest(found, cold, value)
        named = {**first, **({"peers": every["peers"]} if every else {})}
        imports = ""
        if unit == "MB":
            imports = "; ".join(
                f"{found[t].engine}: {found[t].median('import_mb'):.0f} MB of it are its imports"
                for t in ("cold", *cold[:1])
            )
        rows.append(
            Row(NAME, name, words, unit, found["cold"].median(value), target=3.0, note=imports,
                **named)
        )  # fmt: skip
    return Part(rows, _checks(found, n))


def _checks(found: Mapping[str, Measured], n: int) -> list[Check]:
    """Ours rounds each fill to the instrument's tick, away from us; vectorbt does not."""
    if "vectorbt rust" not in found:
        return []
    ours, peer = found["columns"], found["vectorbt rust"]
    rounding = n * tapes.BARS_TICK
    return [
        Check(NAME, name, ours.answer(name), peer.engine, peer.answer(name), tolerance, why)
        for name, tolerance, why in (
            ("fills", 0.0, "one fill an order"),
            ("fees", rounding * ASSUMED["fee_bps"] / 1e4, "a tick an order, times the fee rate"),
            ("cash", rounding, "a tick an order: ours pays whole ticks"),
        )
    ]
