"""ccxt's ``fetch_ohlcv`` rows, in memory or saved as JSON: [ms, open, high, low, close, volume]."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.sources.base import guarded, head, read_bytes
from execkit.timeframes import interval_ns

_HEAD = re.compile(rb"\s*\[\s*\[\s*1\d{12}\s*,")
_TIMEFRAME = re.compile(r"(?<![A-Za-z0-9])(\d+[smhdw])(?![A-Za-z0-9])")


def from_rows(
    rows: Sequence[Sequence[float]], symbol: str, timeframe: str, venue: str = ""
) -> MarketData:
    """Bars of the rows; `InvalidInput` names the first row that has not six numbers."""
    for at, row in enumerate(rows):
        if len(row) != 6 or row[0] is None:
            raise InvalidInput("rows", row, "give [ms, open, high, low, close, volume]", row=at)
    if not len(rows):
        raise InvalidInput("rows", rows, "give at least one bar")
    values = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
    names = ("open", "high", "low", "close", "volume")
    columns = {name: values[:, i + 1] for i, name in enumerate(names)}
    stamps = np.array([int(row[0]) for row in rows], dtype=np.int64) * NS_PER_MS
    return MarketData.from_bars(
        {"ts_ns": stamps, **columns}, symbol=symbol, interval=interval_ns(timeframe), venue=venue
    )


class CcxtOhlcv:
    """A JSON file of such rows, named like ``BTC_USDT-1m.json``."""

    name = "ccxt_ohlcv"

    def sniff(self, path: Path) -> bool:
        return bool(_HEAD.match(head(path)))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        for path in paths:
            found = _TIMEFRAME.search(path.stem.replace("_", "-"))
            if not found:
                raise InvalidData(f"{path}: put the timeframe into its name (BTC_USDT-1m.json)")
            name = symbol or path.stem.replace("_", "-")[: found.start()].strip("-")
            if not name:
                raise InvalidInput("symbol", symbol, f"say what {path} holds")
            text = read_bytes(path)
            rows = guarded(path, json.loads, text)
            parts.append(from_rows(rows, name, found[1]))
        return parts[0].combine(*parts[1:])


SOURCE = CcxtOhlcv()
