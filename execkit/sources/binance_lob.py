"""Parquet files of whole Binance books at short intervals, with prints beside them.

``lobdeep_*``: one row a snapshot with arrays bids_px, bids_qty, asks_px, asks_qty; each replaces
the book, so what is displayed is fresh each time. ``trades_*``: price, qty, side of the aggressor.
Times: exch_ts_ms is the exchange's, ts_ms the local one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from execkit.clock import NS_PER_MS
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, pick
from execkit.sources.columns import column_names
from execkit.tables import BUY, SELL, build

_BOOK = {"exch_ts_ms", "ts_ms", "bids_px", "bids_qty", "asks_px", "asks_qty", "symbol"}
_TRADES = {"exch_ts_ms", "ts_ms", "trade_id", "price", "qty", "side", "symbol"}


class BinanceLob:
    """See the module."""

    name = "binance_lob"

    def sniff(self, path: Path) -> bool:
        names = set(column_names(path))
        return names >= _BOOK or names >= _TRADES

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _read(path: Path) -> MarketData:
    file = pq.read_table(path).combine_chunks()
    whole = set(file.column_names) >= _BOOK
    columns = _book(file) if whole else _trades(file)
    name = "depth" if whole else "prints"
    table, notes = build(name, columns, symbol=_one(file, "symbol"), venue=_one(file, "venue"))
    symbol = table.symbols[0]
    tables: dict[str, Any] = {name: table}
    return MarketData(
        **tables, instruments={symbol: fitted(tables, symbol, "spot")}, notes=tuple(notes)
    )


def _one(file: pa.Table, name: str) -> str:
    words = pc.unique(file[name]).to_pylist()
    if len(words) != 1:
        raise ValueError(f"{name} should be one word, not {words[:5]}")
    return str(words[0]).lower() if name == "venue" else str(words[0])


def _stamps(file: pa.Table) -> dict[str, Any]:
    return {
        "ts_ns": np.asarray(file["exch_ts_ms"]) * NS_PER_MS,
        "local_ts_ns": np.asarray(file["ts_ms"]) * NS_PER_MS,
    }


def _trades(file: pa.Table) -> dict[str, Any]:
    return _stamps(file) | {
        "price": np.asarray(file["price"]),
        "quantity": np.asarray(file["qty"]),
        "aggressor": np.where(np.asarray(pc.equal(file["side"], "buy")), BUY, SELL),
        "trade_id": np.asarray(file["trade_id"].cast(pa.int64())),
    }


def _book(file: pa.Table) -> dict[str, Any]:
    rows, sides, prices, quantities = [], [], [], []
    for side, word in enumerate(("bids", "asks")):
        lists = file[f"{word}_px"].combine_chunks()
        row = np.asarray(pc.list_parent_indices(lists))
        # best first in the file; worst first is quickest to build
        rows.append(row[::-1])
        sides.append(np.full(len(row), side, dtype=np.int8))
        prices.append(np.asarray(lists.flatten())[::-1])
        quantities.append(np.asarray(file[f"{word}_qty"].combine_chunks().flatten())[::-1])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    of = row[order]
    return {name: stamps[of] for name, stamps in _stamps(file).items()} | {
        "seq": of,
        "side": np.concatenate(sides)[order],
        "price": np.concatenate(prices)[order],
        "quantity": np.concatenate(quantities)[order],
        "is_snapshot": np.ones(len(of), dtype=np.int8),
    }


SOURCE = BinanceLob()
