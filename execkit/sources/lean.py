"""LEAN data folders: ``<crypto|cryptofuture>/<market>/<resolution>/...`` zips of one CSV.

Trade files become bars. Quote files hold bars of bid and ask; each becomes one quote, its closing
bid and ask, stamped at the end of the bar, when both are known. ``margin_interest`` files are
funding rates. Times are UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_MS, column_to_ns
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, wanted
from execkit.sources.columns import read_frame, scaled
from execkit.tables import Finding, build
from execkit.timeframes import interval_ns

_PATH = re.compile(
    r"(?:.*/)?(?P<type>crypto|cryptofuture)/(?P<market>\w+)/(?:"
    r"(?P<short>minute|second)/(?P<in>\w+)/(?P<day>\d{8})_(?P<what>trade|quote)\.zip"
    r"|(?P<long>hour|daily)/(?P<of>\w+)_(?P<kind>trade|quote)\.zip"
    r"|margin_interest/(?P<paid>\w+)\.csv)"
)
_STEPS = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d"}
_TRADE = ("time", "open", "high", "low", "close", "volume")
_QUOTE = (
    *("time", "bid_open", "bid_high", "bid_low", "bid", "bid_quantity"),
    *("ask_open", "ask_high", "ask_low", "ask", "ask_quantity"),
)


@dataclass(frozen=True, slots=True)
class _Named:
    """What the path says of a file; `day` "" where its rows have whole times."""

    symbol: str
    market: str
    future: bool
    what: str
    step_ns: int
    day: str


class Lean:
    """See the module."""

    name = "lean"

    def sniff(self, path: Path) -> bool:
        return bool(_PATH.fullmatch(path.absolute().as_posix()))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        finest: dict[tuple[str, str], int] = {}
        named = [(path, _named(path)) for path in paths]
        for _, name in named:
            key = name.symbol, name.what
            finest[key] = min(name.step_ns, finest.get(key, name.step_ns))
        left_out = 0
        for path, name in named:
            if not wanted(name.symbol, symbol):
                continue
            if name.step_ns > finest[name.symbol, name.what]:
                left_out += 1
                continue
            parts.append(guarded(path, _read, path, name))
        market = combine_all(parts, paths, symbol)
        if left_out:
            detail = "files of longer bars were left out in favour of shorter ones"
            market = market.with_notes(
                Finding("longer_bars", "info", "bars", "", left_out, -1, detail)
            )
        return market


def _named(path: Path) -> _Named:
    found = _PATH.fullmatch(path.absolute().as_posix())
    assert found is not None, path  # sniff let it through
    resolution = found["short"] or found["long"]
    return _Named(
        symbol=(found["in"] or found["of"] or found["paid"]).upper(),
        market=found["market"],
        future=found["type"] == "cryptofuture",
        what=found["what"] or found["kind"] or "funding",
        step_ns=interval_ns(_STEPS[resolution]) if resolution else 0,
        day=found["day"] or "",
    )


def _read(path: Path, name: _Named) -> MarketData:
    if name.what == "funding":
        frame = read_frame(path, ("time", "rate"))
        columns: dict[str, Any] = {"ts_ns": _whole_times(frame["time"]), "rate": frame["rate"]}
        kind = "funding"
    else:
        frame = read_frame(path, _TRADE if name.what == "trade" else _QUOTE)
        ts = _whole_times(frame["time"])
        if name.day:
            midnight = column_to_ns(pd.to_datetime([name.day], utc=True))[0]
            ts = midnight + scaled(frame["time"], NS_PER_MS)
        kind = "bars" if name.what == "trade" else "quotes"
        names = _TRADE[1:] if kind == "bars" else ("bid", "ask", "bid_quantity", "ask_quantity")
        columns = {n: frame[n].to_numpy(np.float64) for n in names}
        columns["ts_ns"] = ts if kind == "bars" else ts + name.step_ns
    table, notes = build(kind, columns, symbol=name.symbol, venue=name.market)
    if kind == "quotes":
        detail = "quotes are the closing bid and ask of bars, stamped at the end of each"
        notes.append(Finding("bar_quotes", "info", kind, name.symbol, len(table), -1, detail))
    tables: dict[str, Any] = {kind: table}
    return MarketData(
        **tables,
        instruments={name.symbol: fitted(tables, name.symbol, *_sort(name))},
        bar_interval_ns={name.symbol: name.step_ns} if kind == "bars" else {},
        notes=tuple(notes),
    )


def _whole_times(times: pd.Series) -> np.ndarray:
    """Times written like ``20221213 08:00``; integers (ms of a day) are left to the caller."""
    if pd.api.types.is_numeric_dtype(times.dtype):
        return np.zeros(len(times), dtype=np.int64)
    return column_to_ns(pd.to_datetime(times, format="mixed", utc=True))


def _sort(name: _Named) -> tuple[str, Decimal]:
    """Kind and contract size: USD perps of Binance and Bybit are inverse, others are linear."""
    if not name.future:
        return "spot", Decimal(1)
    if not name.symbol.endswith("USD") or name.market == "dydx":
        return "linear", Decimal(1)
    if name.market == "binance":
        return "inverse", Decimal(100 if name.symbol.startswith("BTC") else 10)
    return "inverse", Decimal(1)


SOURCE = Lean()
