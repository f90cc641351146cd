"""`execkit bench realism`: what the models say of real orders, beside what became of those."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from execkit.errors import InvalidData, InvalidInput
from execkit.realism import limit_orders, taker_orders

MANY, FEWER = 20_000, 2_000
"""Limit orders of a recording that are run again; fewer in a quick run."""
TAKER_METHODS = ("walk", "aligned_walk", "model")
HORIZON = "60s"


def run_realism(
    path: Path | None = None,
    *,
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Scores on every set of real orders that is found.

    path : one set of recordings; None looks at each folder of ``$EXECKIT_DATA``.

    Returns "takers" and "limits", by folder what `realism.taker_orders.run` and
    `realism.limit_orders.run` report, and "notes". Raises `InvalidInput` if there is nowhere to
    look, `InvalidData` if nothing there has real orders.
    """
    folders = _folders(path)
    takers = partial(taker_orders.run, quick=quick)
    limits = partial(limit_orders.run, orders=FEWER if quick else MANY)
    begun = time.monotonic()
    report: dict[str, Any] = {"takers": {}, "limits": {}, "notes": [], "quick": quick}
    for folder in folders:
        say(f"{folder.name}: marketable orders")
        _into(report, "takers", folder, takers)
        say(f"{folder.name}: limit orders")
        _into(report, "limits", folder, limits)
    if not report["takers"] and not report["limits"]:
        places = ", ".join(str(folder) for folder in folders)
        raise InvalidData(f"no real orders in {places}: give a folder of one of the recorded sets")
    report["took_s"] = round(time.monotonic() - begun, 1)
    return report


def _folders(path: Path | None) -> list[Path]:
    if path is not None:
        if not path.exists():
            raise InvalidInput("PATH", str(path), "there is no such file or folder")
        return [path]
    root = os.environ.get("EXECKIT_DATA", "")
    if not root or not Path(root).is_dir():
        raise InvalidInput("EXECKIT_DATA", root, "name a folder of recordings, or give a PATH")
    return sorted(place for place in Path(root).iterdir() if place.is_dir())


def _into(report: dict[str, Any], kind: str, folder: Path, run: Callable[[Path], Any]) -> None:
    """The scores of one folder; a folder that has no such orders is no error."""
    try:
        report[kind][folder.name] = run(folder)
    except InvalidData as error:
        report["notes"].append(f"{folder.name}, {kind}: {error}")


def told(report: Mapping[str, Any]) -> str:
    """The report for a human."""
    lines: list[str] = []
    for name, found in report["takers"].items():
        lines += ["", f"{name}: cost of marketable orders against the mid at arrival, bps", ""]
        lines += _aligned(_taker_rows(found))
    for name, found in report["limits"].items():
        for recording in found["recordings"]:
            lines += ["", f"{name}, {recording['symbol']}: limit orders after {HORIZON}", ""]
            lines += _aligned(_limit_rows(recording))
            lines.append(f"recommended: {recording['recommended']['label']}")
    return "\n".join(lines[1:])


def _taker_rows(found: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    yield "market", "method", "orders", "paid", "predicted", "bias", "MAE", "p90", "correlation"
    groups = {**found["markets"], **{n: found[n] for n in _POOLED if n in found}}
    for market, scores in groups.items():
        for method in TAKER_METHODS:
            one = scores["all"].get(method)
            if one is None:
                continue
            numbers = (one[name] for name in _TAKER_NUMBERS)
            yield market, method, f"{one['n']:,}", *(_number(value) for value in numbers)


_POOLED = ("published", "put_together")
_TAKER_NUMBERS = (
    "paid_cost_bps",
    "predicted_cost_bps",
    "bias_bps",
    "mae_bps",
    "p90_bps",
    "correlation",
)


def _limit_rows(recording: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    yield "model", "filled", "granted", "Brier", "log loss", "likelihood"
    for label, scores in recording["models"].items():
        among = scores["all"]
        at = among["horizons"][HORIZON]
        numbers = (at["true_rate"], at["granted_rate"], at["brier"], at["log_loss"])
        yield label, *(_number(v) for v in (*numbers, among["log_likelihood"]))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 6):.4g}"


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
