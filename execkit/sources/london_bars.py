"""Bars with funding of several exchanges in one CSV, stamped in London local time.

Columns: time, exchange, crypto, pair, contract, open, high, low, close, volume, funding rate. Times
are moved to UTC (an hour back in summer; the hour that is written twice in October is taken as the
first one) and a note says so. A market is named after pair, contract and exchange, such as
BTCUSDT.SPOT.BINANCE, because all of them share one file.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import column_to_ns
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, pick
from execkit.sources.columns import column_names, read_frame
from execkit.tables import Finding, build
from execkit.words import normalise_symbol

_NEEDED = {"time", "exchange", "pair", "contract", "open", "close", "volume", "funding rate"}
_SHORT = {"spot": "SPOT", "perpetual": "PERP"}


class LondonBars:
    """See the module."""

    name = "london_bars"

    def sniff(self, path: Path) -> bool:
        return set(column_names(path)) >= _NEEDED

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _read(path: Path) -> MarketData:
    frame = read_frame(path)
    local = pd.to_datetime(frame["time"]).dt.tz_localize(
        "Europe/London", ambiguous=np.ones(len(frame), dtype=bool)
    )
    ts = column_to_ns(local)
    contract = frame["contract"].map(lambda word: _SHORT.get(word, str(word).upper()))
    names = [
        f"{normalise_symbol(pair)}.{kind}.{venue.upper()}"
        for pair, kind, venue in zip(frame["pair"], contract, frame["exchange"], strict=True)
    ]
    codes, words = pd.factorize(pd.Series(names))
    venue_codes, venues = pd.factorize(frame["exchange"])
    prices = {n: frame[n] for n in ("open", "high", "low", "close", "volume")}
    venue = venue_codes, list(venues)
    symbols = list(words)
    bars, notes = build("bars", {"ts_ns": ts, **prices}, symbol=(codes, symbols), venue=venue)
    paid = frame["funding rate"].notna().to_numpy()
    funding, found = build(
        "funding",
        {"ts_ns": ts[paid], "rate": frame["funding rate"][paid]},
        symbol=(codes[paid], symbols),
        venue=(venue_codes[paid], list(venues)),
    )
    tables: dict[str, Any] = {"bars": bars, "funding": funding}
    detail = "times were written in London local time and moved to UTC"
    notes += [Finding("time_zone", "info", "bars", s, 1, -1, detail) for s in bars.symbols]
    instruments = {s: fitted(tables, s, _sort(s), Decimal(1)) for s in bars.symbols}
    return MarketData(**tables, instruments=instruments, notes=(*notes, *found))


def _sort(symbol: str) -> str:
    pair, contract, _ = symbol.split(".")
    return "spot" if contract == "SPOT" else "inverse" if pair.endswith("CM") else "linear"


SOURCE = LondonBars()
