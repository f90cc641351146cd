"""Tardis CSV files: trades, quotes, book_ticker, incremental_book_L2 and book_snapshot_N.

Times are microseconds: ``timestamp`` is the exchange's, ``local_timestamp`` that of arrival. Rows
of incremental_book_L2 with one local time are one message; a snapshot comes as a run of messages
with ``is_snapshot``, which is read as one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_S
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, pick
from execkit.sources.columns import column_names, read_frame, scaled
from execkit.tables import BUY, SELL, UNKNOWN, build

_HEAD = ("exchange", "symbol", "timestamp", "local_timestamp")
_LEVEL = re.compile(r"(asks|bids)\[(\d+)\]\.(price|amount)")
NS_PER_US = NS_PER_S // 1_000_000


class Tardis:
    """See the module."""

    name = "tardis"

    def sniff(self, path: Path) -> bool:
        return column_names(path)[:4] == _HEAD and _kind(column_names(path)) != ""

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _kind(names: tuple[str, ...]) -> str:
    if {"id", "side", "price", "amount"} <= set(names):
        return "prints"
    if {"bid_price", "bid_amount", "ask_price", "ask_amount"} <= set(names):
        return "quotes"
    if {"is_snapshot", "side", "price", "amount"} <= set(names):
        return "deltas"
    return "snapshots" if any(_LEVEL.fullmatch(name) for name in names) else ""


def _read(path: Path) -> MarketData:
    frame = read_frame(path)
    kind = _kind(tuple(frame.columns))
    columns: dict[str, Any] = {
        "ts_ns": scaled(frame["timestamp"], NS_PER_US),
        "local_ts_ns": scaled(frame["local_timestamp"], NS_PER_US),
    }
    codes, words = pd.factorize(frame["symbol"])
    if kind == "prints":
        columns |= _prints(frame)
    elif kind == "quotes":
        for side in ("bid", "ask"):
            columns[side] = frame[f"{side}_price"].to_numpy(dtype=np.float64)
            columns[f"{side}_quantity"] = frame[f"{side}_amount"].to_numpy(dtype=np.float64)
    elif kind == "deltas":
        columns |= _deltas(frame, codes)
    else:
        columns, codes = _snapshots(frame, columns, codes)
    name = kind if kind in ("prints", "quotes") else "depth"
    venue = str(frame["exchange"].iloc[0])
    table, notes = build(name, columns, symbol=(codes, [str(word) for word in words]), venue=venue)
    tables = {name: table}
    sort = _sort(venue)
    instruments = {s: fitted(tables, s, sort, Decimal(1)) for s in table.present}
    return MarketData(**tables, instruments=instruments, notes=tuple(notes))  # type: ignore[arg-type]


def _sort(venue: str) -> str:
    if venue in ("binance-delivery", "bitmex", "deribit"):
        return "inverse"
    return "linear" if re.search("futures|swap|perp", venue) else "spot"


def _prints(frame: pd.DataFrame) -> dict[str, Any]:
    side = frame["side"].map({"buy": BUY, "sell": SELL}).fillna(UNKNOWN)
    out = {
        "price": frame["price"].to_numpy(dtype=np.float64),
        "quantity": frame["amount"].to_numpy(dtype=np.float64),
        "aggressor": side.to_numpy(dtype=np.int8),
    }
    ids = pd.to_numeric(frame["id"], errors="coerce")
    return out if ids.isna().any() else out | {"trade_id": ids.to_numpy(dtype=np.int64)}


def _deltas(frame: pd.DataFrame, codes: np.ndarray) -> dict[str, Any]:
    whole = frame["is_snapshot"].astype(str).str.lower().eq("true").to_numpy(dtype=np.int8)
    local = frame["local_timestamp"].to_numpy()
    fresh = np.ones(len(frame), dtype=bool)
    same_kind = (whole[1:] == whole[:-1]) & (codes[1:] == codes[:-1])
    fresh[1:] = ~(same_kind & ((whole[1:] == 1) | (local[1:] == local[:-1])))
    message = np.cumsum(fresh)
    # one message has one time: that of its first row
    first = np.flatnonzero(fresh)[message - 1]
    return {
        "ts_ns": frame["timestamp"].to_numpy()[first] * NS_PER_US,
        "local_ts_ns": local[first] * NS_PER_US,
        "seq": message,
        "side": frame["side"].eq("ask").to_numpy(dtype=np.int8),
        "price": frame["price"].to_numpy(dtype=np.float64),
        "quantity": frame["amount"].to_numpy(dtype=np.float64),
        "is_snapshot": whole,
    }


def _snapshots(
    frame: pd.DataFrame, stamps: dict[str, Any], codes: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Every row is a whole book of N levels a side, worst first here."""
    depth = 1 + max(int(m[2]) for n in frame.columns if (m := _LEVEL.fullmatch(str(n))))
    order = [(side, level) for side in ("bids", "asks") for level in reversed(range(depth))]
    n, per_row = len(frame), len(order)
    values = {
        what: frame[[f"{side}[{level}].{what}" for side, level in order]].to_numpy(np.float64)
        for what in ("price", "amount")
    }
    filled = np.isfinite(values["price"]).ravel()
    rows = np.repeat(np.arange(n), per_row)[filled]
    side = np.tile(np.repeat([0, 1], depth), n)[filled]
    out = {name: column[rows] for name, column in stamps.items()}
    out |= {
        "seq": rows,
        "side": side,
        "price": values["price"].ravel()[filled],
        "quantity": values["amount"].ravel()[filled],
        "is_snapshot": np.ones(len(rows), dtype=np.int8),
    }
    return out, codes[rows]


SOURCE = Tardis()
