"""Where data comes from: one format a file. `open_path` finds the format of a file or folder.

To add a format, write one module with a `SOURCE` that fits `base.Source` and add its name here.
"""

from __future__ import annotations

from execkit.sources.base import Source, open_path

NAMES = (
    "native",
    "binance_raw",
    "capture_jsonl",
    "bybit",
    "bitstamp_log",
    "binance_json",
    "binance_dump",
    "binance_lob",
    "lobster",
    "lean",
    "tardis",
    "funding_history",
    "london_bars",
    "minute_spread",
    "hyperliquid",
    "ccxt_ohlcv",
    "frames",
)

__all__ = ["NAMES", "Source", "open_path"]
