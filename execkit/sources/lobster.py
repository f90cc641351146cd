"""LOBSTER: NASDAQ messages, and the visible levels of the book after each of them.

Either the standard pair ``<TICKER>_<date>_..._message_N.csv`` and ``..._orderbook_N.csv`` (prices
in 1e-4 dollars) or the processed pair ``<TICKER>_messages_N.parquet`` and
``<TICKER>_book_N.parquet`` (dollars). Times are seconds after midnight in New York.

Depth holds what changed from row to row; the first row is a snapshot. A level that leaves the
visible range counts as gone, because nothing is known of it from then on; it is set again when it
comes back. Executions (types 4 and 5) become prints, with the aggressor opposite to the resting
order; crosses (type 6) are marked off the book. A print has the even number before that of the
depth change it causes, so it comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_S, to_ns
from execkit.errors import InvalidData
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, wanted
from execkit.sources.columns import read_frame
from execkit.tables import ASK, BID, BUY, SELL, Finding, build

_CSV = re.compile(r"([A-Z.]+)_(\d{4}-\d\d-\d\d)_\d+_\d+_(message|orderbook)_(\d+)\.csv(?:\.\w+)?")
_PARQUET = re.compile(r"([A-Z.]+)_(messages|book)_(\d+)\.parquet")
_MESSAGE = ("timestamp", "type", "order_id", "size", "price", "direction")
CSV_SCALE = 10_000
NO_LEVEL = 9_999_999_999 / CSV_SCALE
"""What the files write where a side has fewer levels than asked for."""


class Lobster:
    """See the module."""

    name = "lobster"

    def sniff(self, path: Path) -> bool:
        return bool(_CSV.fullmatch(path.name) or _PARQUET.fullmatch(path.name))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        return combine_all((r.market for r in recordings(paths, symbol)), paths, symbol)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One ticker's day with what `MarketData` has no place for: whose order each message is about.

    messages : one row a message, columns ts_ns, type (as LOBSTER numbers them), order_id, size,
    price, direction (1 resting buy, -1 resting sell). market : what `read` makes of it; the print
    that message i was has seq 2 i, the depth changes that it caused 2 i + 1.
    """

    symbol: str
    messages: pd.DataFrame
    market: MarketData


def recordings(paths: Iterable[Path], symbol: str | None = None) -> Iterator[Recording]:
    """Each pair of messages and book among `paths`, all of which `SOURCE.sniff` knows.

    Raises `InvalidData` naming the file for one that is damaged or comes without its partner.
    """
    pairs: dict[tuple[str, ...], dict[str, Path]] = {}
    for path in paths:
        name, day, role, levels = _parts(path)
        pairs.setdefault((str(path.parent), name, day, levels), {})[role] = path
    for (_, name, day, _levels), pair in pairs.items():
        if not wanted(name, symbol):
            continue
        if len(pair) < 2:
            (path,) = pair.values()
            raise InvalidData(f"{path} comes alone: messages and book are read together")
        messages, book = pair["messages"], pair["book"]
        yield guarded(messages, _read, messages, book, name, day)


def _parts(path: Path) -> tuple[str, str, str, str]:
    """Ticker, day ("" if the file says it itself), "messages" or "book", levels."""
    if found := _CSV.fullmatch(path.name):
        return found[1], found[2], "book" if found[3] == "orderbook" else "messages", found[4]
    found = _PARQUET.fullmatch(path.name)
    assert found is not None, path  # sniff let it through
    return found[1], "", found[2], found[3]


def _read(messages_path: Path, book_path: Path, name: str, day: str) -> Recording:
    if day:
        width = read_frame(messages_path, None).shape[1]
        extra = tuple(f"more_{i}" for i in range(width - len(_MESSAGE)))
        messages = read_frame(messages_path, _MESSAGE + extra)
        messages["price"] = messages["price"] / CSV_SCALE
        book = _csv_book(book_path)
    else:
        # the processed files carry binary noise: 224.17000000000002
        messages, book = (_rounded(read_frame(p)) for p in (messages_path, book_path))
        day = str(messages["date"].iloc[0])
    if len(messages) != len(book):
        raise InvalidData(
            f"{messages_path} has {len(messages)} rows, {book_path} has {len(book)}: they do not "
            "belong together, or one is cut short"
        )
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York"))
    ts = to_ns(midnight) + np.rint(
        messages["timestamp"].to_numpy(dtype=np.float64) * NS_PER_S
    ).astype(np.int64)
    depth, notes = build("depth", _depth(book, ts), symbol=name, venue="nasdaq")
    tables: dict[str, Any] = {"depth": depth}
    prints = _prints(messages, ts)
    if len(prints["ts_ns"]):
        tables["prints"], found = build("prints", prints, symbol=name, venue="nasdaq")
        notes += found
    halts = int((messages["type"] == 7).sum())
    if halts:
        notes.append(Finding("halt", "warning", "prints", name, halts, -1, "trading halts"))
    market = MarketData(
        **tables,
        instruments={name: fitted(tables, name, "spot")},
        shared_seq=True,
        notes=tuple(notes),
    )
    return Recording(name, messages[list(_MESSAGE[1:])].assign(ts_ns=ts), market)


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    prices = [name for name in frame.columns if "price" in str(name)]
    return frame.assign(**{name: frame[name].round(4) for name in prices})


def _csv_book(path: Path) -> pd.DataFrame:
    width = read_frame(path, None).shape[1]
    names = tuple(
        f"{side}_{what}_{level + 1}"
        for level in range(width // 4)
        for side in ("ask", "bid")
        for what in ("price", "size")
    )
    book = read_frame(path, names)
    for name in names:
        if "_price_" in name:
            book[name] = book[name] / CSV_SCALE
    return book


def _prints(messages: pd.DataFrame, ts: np.ndarray) -> dict[str, Any]:
    kind = messages["type"].to_numpy()
    rows = np.flatnonzero((kind == 4) | (kind == 5) | (kind == 6))
    resting_buy = messages["direction"].to_numpy()[rows] == 1
    return {
        "ts_ns": ts[rows],
        "seq": 2 * rows,
        "price": messages["price"].to_numpy()[rows],
        "quantity": messages["size"].to_numpy(dtype=np.float64)[rows],
        "aggressor": np.where(resting_buy, SELL, BUY),
        "off_book": kind[rows] == 6,
    }


def _depth(book: pd.DataFrame, ts: np.ndarray) -> dict[str, Any]:
    changes = [_changes(book, side, word) for side, word in ((BID, "bid"), (ASK, "ask"))]
    row, side, price, size = (np.concatenate(columns) for columns in zip(*changes, strict=True))
    order = np.argsort(row, kind="stable")
    row = row[order]
    return {
        "ts_ns": ts[row],
        "seq": 2 * row + 1,
        "side": side[order],
        "price": price[order],
        "quantity": size[order],
        "is_snapshot": row == 0,
    }


def _changes(
    book: pd.DataFrame, side: int, word: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, side, price and new size of every level that differs from the row before."""
    names = [i for i in range(1, len(book.columns)) if f"{word}_price_{i}" in book.columns]
    price = book[[f"{word}_price_{i}" for i in names]].to_numpy(np.float64)
    size = book[[f"{word}_size_{i}" for i in names]].to_numpy(np.float64)
    gone = (np.abs(price) >= NO_LEVEL) | (size <= 0) | ~np.isfinite(price)
    price, size = np.where(gone, np.nan, price), np.where(gone, 0.0, size)
    old_price, old_size = price[:-1], size[:-1]
    same = price[1:, :, None] == old_price[:, None, :]
    kept = (same & (size[1:, :, None] == old_size[:, None, :])).any(axis=2)
    new_row, new_level = np.nonzero(~kept & ~gone[1:])
    lost_row, lost_level = np.nonzero(~same.any(axis=1) & ~gone[:-1])
    first = np.flatnonzero(~gone[0])[::-1]
    rows = [np.zeros(len(first), dtype=np.int64), lost_row + 1, new_row + 1]
    prices = [price[0][first], old_price[lost_row, lost_level], price[1:][new_row, new_level]]
    sizes = [size[0][first], np.zeros(len(lost_row)), size[1:][new_row, new_level]]
    row = np.concatenate(rows)
    side_column = np.full(len(row), side, dtype=np.int8)
    return row, side_column, np.concatenate(prices), np.concatenate(sizes)


SOURCE = Lobster()
