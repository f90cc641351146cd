"""Funding histories ``<PAIR>_<exchange>_..._funding_history.csv``: Symbol, Date, Funding Rate.

The dates carry no zone and are UTC+3, except those of Gate, which are UTC (its rates fall on 00, 08
and 16 h as written, the others' three hours later). They are moved to UTC and a note says so.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from execkit.clock import column_to_ns
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, pick
from execkit.sources.columns import column_names, read_frame
from execkit.tables import Finding, build

_NAME = re.compile(
    r"(?P<pair>[A-Z]+-[A-Z]+)_(?P<venue>\w+?)_\d{4}-.*funding_history\.csv(?:\.\w+)?"
)
UTC_VENUES = ("gate",)


class FundingHistory:
    """See the module."""

    name = "funding_history"

    def sniff(self, path: Path) -> bool:
        return bool(_NAME.fullmatch(path.name)) and column_names(path) == (
            "Symbol",
            "Date",
            "Funding Rate",
        )

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _read(path: Path) -> MarketData:
    found = _NAME.fullmatch(path.name)
    assert found is not None, path  # sniff let it through
    venue = found["venue"]
    zone = "UTC" if venue in UTC_VENUES else "Etc/GMT-3"
    frame = read_frame(path)
    times = pd.to_datetime(frame["Date"], format="mixed").dt.tz_localize(zone)
    columns = {"ts_ns": column_to_ns(times), "rate": frame["Funding Rate"]}
    table, notes = build("funding", columns, symbol=found["pair"], venue=venue)
    if zone != "UTC":
        detail = f"{venue}: dates were written in UTC+3 and moved to UTC"
        name = table.symbols[0]
        notes.append(Finding("time_zone", "info", "funding", name, len(table), -1, detail))
    return MarketData(funding=table, notes=tuple(notes))


SOURCE = FundingHistory()
