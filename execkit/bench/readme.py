"""The README's performance section, made from a report of `execkit bench simulator`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execkit.bench.report import setup_of, table
from execkit.errors import InvalidData

BEGIN = "<!-- performance: made by `execkit bench readme`, do not edit -->"
END = "<!-- end of performance -->"


def section(report: Mapping[str, Any]) -> str:
    """Markdown between the two marks: the table, what is not there, where it was measured."""
    # what we had set ourselves concerns the project, not its users
    head, *rows = (row[:4] for row in table(report["rows"]))
    lines = [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
        "",
        f"Measured on {setup_of(report)}. A ratio above 1 says that execkit is better.",
    ]
    differ = [c for c in report["checks"] if not c["agrees"]]
    agree = len(report["checks"]) - len(differ)
    if report["checks"]:
        lines.append(f"Same work, same result: {agree} of {len(report['checks'])} checks agree.")
    lines += [f"Not the same: {c['workload']} {c['name']} ({c['why']})." for c in differ]
    lines += [f"{note[0].upper()}{note[1:]}." for note in report["notes"]]
    return "\n".join(lines)


def replace_section(text: str, report: Mapping[str, Any]) -> str:
    """`text` with what stands between its marks made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InvalidData(f"the README has no line {BEGIN} and, below, {END}: put them in")
    return f"{before}{BEGIN}\n\n{section(report)}\n\n{END}{after}"
