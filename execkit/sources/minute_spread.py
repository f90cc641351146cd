"""Minute files of mid bars with spread and depth at the touch: ``<VENUE>_<BASE>_<QUOTE>.parquet``.

The bars are those of the mid and have no volume (NaN). A quote is made of each minute's last mid,
spread and depth, stamped at the end of the minute; ``depth_last`` is the sum of both sides and
``obi_last`` = (bid - ask) / (bid + ask) splits it. Times are UTC. A spread of 0 or less is kept,
and reported by the check as a locked or crossed book.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import column_to_ns
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, wanted
from execkit.sources.columns import column_names, read_frame
from execkit.tables import build
from execkit.timeframes import interval_ns

_NEEDED = {"time_exchange", "open", "close", "spread_last", "depth_last", "obi_last"}
_NAME = re.compile(r"([A-Z]+)_([A-Z]+)_([A-Z]+)\.\w+")


class MinuteSpread:
    """See the module; every venue's market is called like BTCUSD.COINBASE."""

    name = "minute_spread"

    def sniff(self, path: Path) -> bool:
        return set(column_names(path)) >= _NEEDED and bool(_NAME.fullmatch(path.name))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        for path in paths:
            found = _NAME.fullmatch(path.name)
            assert found is not None, path  # sniff let it through
            name, venue = f"{found[2]}{found[3]}.{found[1]}", found[1].lower()
            if wanted(name, symbol):
                parts.append(guarded(path, _read, path, name, venue))
        return combine_all(parts, paths, symbol)


def _read(path: Path, symbol: str, venue: str) -> MarketData:
    frame = read_frame(path)
    step = interval_ns("1m")
    ts = column_to_ns(pd.to_datetime(frame["time_exchange"]).dt.tz_localize("UTC"))
    columns: dict[str, Any] = {n: frame[n] for n in ("open", "high", "low", "close")}
    columns |= {"ts_ns": ts, "volume": np.full(len(frame), np.nan)}
    bars, notes = build("bars", columns, symbol=symbol, venue=venue)
    mid, half = frame["close"].to_numpy(), frame["spread_last"].to_numpy() / 2
    depth, tilt = frame["depth_last"].to_numpy(), frame["obi_last"].to_numpy()
    # binary noise of the averages is below the ticks and lots that were averaged
    quotes, found = build(
        "quotes",
        {
            "ts_ns": ts + step,
            "bid": np.round(mid - half, 8),
            "ask": np.round(mid + half, 8),
            "bid_quantity": np.round(depth * (1 + tilt) / 2, 8),
            "ask_quantity": np.round(depth * (1 - tilt) / 2, 8),
        },
        symbol=symbol,
        venue=venue,
    )
    return MarketData(
        bars=bars, quotes=quotes, bar_interval_ns={symbol: step}, notes=(*notes, *found)
    )


SOURCE = MinuteSpread()
