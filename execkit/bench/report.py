"""Rows of a benchmark: ours, the best peer that was there, the ratio, the target, met or not."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from execkit.bench.processes import Measured

LIBRARIES = ("execkit", "numpy", "pandas", "numba", "pyarrow", "duckdb")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ours, peer_value : medians, in `unit`. ratio : how much better ours is (above 1: better),
    None without a peer. target : the least ratio, or with `absolute` the least (for "/s" units) or
    largest (for times) value of ours. met : None where it cannot be told.
    peers : the value of every peer that ran.
    """

    workload: str
    name: str
    work: str
    unit: str
    ours: float
    peer: str | None = None
    peer_value: float | None = None
    target: float | None = None
    absolute: bool = False
    note: str = ""
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        if self.peer_value is None:
            return None
        bigger = self.unit.endswith("/s") or self.unit == "x"
        return self.ours / self.peer_value if bigger else self.peer_value / self.ours

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        if self.absolute:
            bigger = self.unit.endswith("/s") or self.unit == "x"
            return self.ours >= self.target if bigger else self.ours <= self.target
        return None if self.ratio is None else self.ratio >= self.target

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        known = asdict(self)
        return {**known, "ratio": self.ratio, "met": self.met}


@dataclass(frozen=True)
class Check:
    """Two engines did the same work: what each came to, and how far apart they may be."""

    workload: str
    name: str
    ours: float
    peer: str
    peer_value: float
    tolerance: float
    why: str

    @property
    def agrees(self) -> bool:
        return abs(self.ours - self.peer_value) <= self.tolerance

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.ours - self.peer_value, "agrees": self.agrees}


@dataclass
class Part:
    """What one workload adds to the report."""

    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fastest(
    found: Mapping[str, Measured], names: Iterable[str], value: str = "seconds"
) -> dict[str, Any]:
    """The `peer`, `peer_value` and `peers` of a row: of those that ran, the least `value`."""
    every = {
        found[n].engine: found[n].seconds if value == "seconds" else found[n].median(value)
        for n in names
        if n in found
    }
    if not every:
        return {}
    best = min(every, key=lambda engine: every[engine])
    return {"peer": best, "peer_value": every[best], "peers": every}


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, and the versions of what was measured with."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str:
    if name == "execkit":
        from execkit import __version__

        return __version__
    return metadata.version(name)


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def shown(value: float | None, unit: str) -> str:
    """A number with its unit, in the unit's usual multiple."""
    if value is None:
        return "-"
    if unit == "s":
        for scale, word in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if value >= scale:
                return f"{value / scale:.3g} {word}"
        return f"{value * 1e9:.3g} ns"
    if unit.endswith("/s") and value >= 1e6:
        return f"{value / 1e6:.3g} M {unit}"
    if unit == "x":
        return f"{value:.2f}x"
    return f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def target_of(row: Mapping[str, Any]) -> str:
    """The target of a row in words."""
    if row["target"] is None:
        return "-"
    bigger = row["unit"].endswith("/s") or row["unit"] == "x"
    if row["absolute"]:
        return f"{'>=' if bigger else '<='} {shown(row['target'], row['unit'])}"
    return f">= {row['target']:g}x"


def verdict_of(row: Mapping[str, Any]) -> str:
    return {True: "yes", False: "no", None: "-"}[row["met"]]


def table(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of the table, its head first."""
    out: list[tuple[str, ...]] = [("work", "execkit", "best peer", "ratio", "target", "met")]
    for row in rows:
        peer = "-" if row["peer"] is None else f"{shown(row['peer_value'], row['unit'])} "
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3g}x"
        out.append(
            (
                row["work"],
                shown(row["ours"], row["unit"]),
                peer if row["peer"] is None else f"{peer}({row['peer']})",
                ratio,
                target_of(row),
                verdict_of(row),
            )
        )
    return out


def told(report: Mapping[str, Any]) -> str:
    """The report for a human: table, checks, notes, machine."""
    cells = table(report["rows"])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    for check in report["checks"]:
        word = "agrees" if check["agrees"] else "DIFFERS"
        lines.append(
            f"{check['workload']} {check['name']}: {word}: {check['ours']:.10g} and "
            f"{check['peer_value']:.10g} ({check['peer']}), at most {check['tolerance']:.3g} apart "
            f"expected: {check['why']}"
        )
    lines += [f"{row['name']}: {row['note']}" for row in report["rows"] if row["note"]]
    lines += report["notes"]
    lines.append(setup_of(report))
    return "\n".join(line.rstrip() for line in lines)


def setup_of(report: Mapping[str, Any]) -> str:
    """Where, with what and how often it was measured."""
    place = report["machine"]
    used = {**place["versions"], **report["peers"]}
    return (
        f"{place['processor']}, {place['cores']} cores, {place['memory_gb']} GB, Python "
        f"{place['python']}; {', '.join(f'{name} {v}' for name, v in used.items())}; medians of "
        f"{report['rounds']} rounds in fresh processes, engines in turns"
        f"{'; tiny sizes, not a measurement' if report['quick'] else ''}"
    )
