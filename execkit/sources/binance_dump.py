"""Binance public data files (data.binance.vision): klines, aggTrades, trades, bookTicker, funding.

CSV, plain or zipped, with or without a header, times in ms or us; kind and symbol are in the name:
 ``BTCUSDT-1m-2024-01.zip``, ``BTCUSDT-aggTrades-2024-01-01.csv``. Quantities of COIN-M
symbols (``_PERP``) are contracts.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, head, wanted
from execkit.sources.columns import read_frame, stamps_ns
from execkit.tables import BUY, SELL, build
from execkit.timeframes import interval_ns

_NAME = re.compile(
    r"([A-Z0-9]+(?:_[A-Z0-9]+)?)-(\d+[smhdw]|aggTrades|trades|bookTicker|fundingRate)"
    r"-\d{4}-\d{2}(?:-\d{2})?\.(?:csv|zip)"
)
_COLUMNS = {
    "klines": ("open_time", "open", "high", "low", "close", "volume", "close_time"),
    "aggTrades": ("id", "price", "quantity", "first", "last", "time", "is_buyer_maker"),
    "trades": ("id", "price", "quantity", "quote_quantity", "time", "is_buyer_maker"),
    "bookTicker": ("update_id", "bid", "bid_quantity", "ask", "ask_quantity", "time", "event_time"),
    "fundingRate": ("time", "interval_hours", "rate"),
}
"""The leading columns of each kind; files may have more behind them."""


class BinanceDump:
    """See the module."""

    name = "binance_dump"

    def sniff(self, path: Path) -> bool:
        return bool(_NAME.fullmatch(path.name)) and b"," in head(path)[:200]

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        for path in paths:
            name, what = _named(path)
            if wanted(name, symbol):
                parts.append(guarded(path, _read, path, name, what))
        return combine_all(parts, paths, symbol)


def _named(path: Path) -> tuple[str, str]:
    found = _NAME.fullmatch(path.name)
    assert found is not None, path  # sniff let it through
    return found[1], found[2]


def _read(path: Path, symbol: str, what: str) -> MarketData:
    kind = what if what in _COLUMNS else "klines"
    first = head(path).split(b"\n", 1)[0].decode().strip()
    width = first.count(",") + 1
    names = _COLUMNS[kind][:width] + tuple(f"more_{i}" for i in range(width - len(_COLUMNS[kind])))
    headed = not first.split(",")[0].strip().lstrip("-").isdigit()
    frame = read_frame(path, None if headed else names)
    frame.columns = pd.Index(names)
    tables: dict[str, Any] = {}
    if kind == "klines":
        columns: dict[str, Any] = {"ts_ns": stamps_ns(frame["open_time"])}
        columns |= {name: frame[name] for name in ("open", "high", "low", "close", "volume")}
        table = "bars"
    else:
        columns = {"ts_ns": stamps_ns(frame["time"])} | _columns(kind, frame)
        table = {"bookTicker": "quotes", "fundingRate": "funding"}.get(kind, "prints")
    tables[table], notes = build(table, columns, symbol=symbol, venue="binance")
    name = tables[table].symbols[0]
    instruments = {}
    if name.endswith("_PERP"):
        size = Decimal(100 if name.startswith("BTC") else 10)
        instruments[name] = fitted(tables, name, "inverse", size)
    return MarketData(
        **tables,
        instruments=instruments,
        bar_interval_ns={name: interval_ns(what)} if kind == "klines" else {},
        notes=tuple(notes),
    )


def _columns(kind: str, frame: pd.DataFrame) -> dict[str, Any]:
    if kind == "bookTicker":
        names = ("bid", "bid_quantity", "ask", "ask_quantity", "update_id")
        return {name: frame[name] for name in names}
    if kind == "fundingRate":
        return {"rate": frame["rate"]}
    seller = frame["is_buyer_maker"].astype(str).str.lower().eq("true")
    first, last = ("first", "last") if kind == "aggTrades" else ("id", "id")
    return {
        "price": frame["price"],
        "quantity": frame["quantity"],
        "aggressor": np.where(seller, SELL, BUY),
        "trade_id": frame[first],
        "last_trade_id": frame[last],
    }


SOURCE = BinanceDump()
