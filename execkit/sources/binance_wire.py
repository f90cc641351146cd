"""Binance websocket messages and REST snapshots of one symbol, put together by the venue's rule.

Times: ``ts_ns`` is the transaction time T where a message has one, else the event time E. Spot
bookTicker messages have neither: theirs is the local receive time less the median of (local - E)
of the other messages, never before the message in front.

``seq`` is twice the line number; a snapshot takes the odd number behind the last update it
contains, so messages that were buffered while it was fetched follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidData
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.levels import (
    LEVELS,
    Levels,
    explode,
    floats,
    ints,
    one_array,
    parse,
    worst_first,
)
from execkit.tables import BUY, SELL, UNKNOWN, Finding, build
from execkit.words import normalise_symbol

_TEXT, _INT, _BOOL = pa.string(), pa.int64(), pa.bool_()


def _message(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([("data", pa.struct(list(fields.items())))])


SCHEMAS = {
    "depth": _message(s=_TEXT, E=_INT, T=_INT, U=_INT, u=_INT, pu=_INT, b=LEVELS, a=LEVELS),
    "trade": _message(s=_TEXT, E=_INT, T=_INT, t=_INT, p=_TEXT, q=_TEXT, m=_BOOL, X=_TEXT),
    "aggTrade": _message(s=_TEXT, E=_INT, T=_INT, f=_INT, l=_INT, p=_TEXT, q=_TEXT, m=_BOOL),
    "quote": _message(s=_TEXT, E=_INT, T=_INT, u=_INT, b=_TEXT, B=_TEXT, a=_TEXT, A=_TEXT),
    "snapshot": pa.schema(
        [("lastUpdateId", _INT), ("E", _INT), ("T", _INT), ("bids", LEVELS), ("asks", LEVELS)]
    ),
}
"""Fields used of each kind of message, wrapped as the combined stream does."""


@dataclass(slots=True)
class Capture:
    """Raw lines of one symbol by kind, with line numbers and local times (ns; -1 = unknown)."""

    lines: dict[str, list[bytes]] = field(default_factory=lambda: {kind: [] for kind in SCHEMAS})
    numbers: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in SCHEMAS})
    local_ns: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in SCHEMAS})

    def add(self, kind: str, number: int, local_ns: int, line: bytes) -> None:
        self.lines[kind].append(line)
        self.numbers[kind].append(number)
        self.local_ns[kind].append(local_ns)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Messages of one kind as columns; `local` and `number` run along."""

    columns: dict[str, pa.Array]
    number: np.ndarray
    local: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def ints(self, name: str) -> np.ndarray:
        return ints(self.columns[name])

    def floats(self, name: str) -> np.ndarray:
        return floats(self.columns[name])

    def stamps(self) -> np.ndarray:
        """T where there is one, else E, else -1; nanoseconds."""
        ms = self.ints("T")
        ms = np.where(ms < 0, self.ints("E"), ms)
        return np.where(ms < 0, -1, ms * NS_PER_MS)


def assemble(
    capture: Capture,
    symbol: str,
    path: Path,
    venue: str = "binance",
    *,
    futures: bool | None = None,
) -> MarketData:
    """One symbol's messages as quotes, prints and depth.

    `futures` None is decided by the messages: futures depth has T and pu, spot has not. Raises
    `InvalidData` naming `path` for a broken line or a capture without any message of use.
    """
    batches = {kind: _batch(capture, kind, path) for kind in SCHEMAS}
    depth = batches["depth"]
    if futures is None:
        futures = bool(len(depth) and (depth.ints("pu") >= 0).any())
    inverse = symbol.endswith("_PERP") or bool(
        any(b'"ps":"' in line for line in (capture.lines["quote"] or capture.lines["depth"])[:1])
    )
    name = normalise_symbol(symbol)
    tables: dict[str, Any] = {}
    notes: list[Finding] = []
    offset = _median_offset(batches)
    for kind, made in (
        ("quotes", _quotes(batches["quote"], offset, notes, name)),
        ("prints", _prints(batches["trade"], batches["aggTrade"])),
        ("depth", _depth(depth, batches["snapshot"], notes, name)),
    ):
        if made is not None:
            if np.min(made["local_ts_ns"]) < 0:
                del made["local_ts_ns"]
            tables[kind], found = build(kind, made, symbol=name, venue=venue)
            notes += found
    if not tables:
        raise InvalidData(f"{path} has no depth, trade or bookTicker message of {symbol}")
    size = Decimal(100 if name.startswith("BTC") else 10) if inverse else Decimal(1)
    sort = "inverse" if inverse else "linear" if futures else "spot"
    instrument = fitted(tables, name, sort, size)
    return MarketData(**tables, instruments={name: instrument}, shared_seq=True, notes=tuple(notes))


def _batch(capture: Capture, kind: str, path: Path) -> _Batch:
    table = parse(capture.lines[kind], SCHEMAS[kind], path)
    if kind == "snapshot":
        columns = {n: one_array(table[n]) for n in table.column_names}
    else:
        data = one_array(table["data"])
        columns = {f.name: data.field(f.name) for f in SCHEMAS[kind].field("data").type}
    number = 2 * np.array(capture.numbers[kind], dtype=np.int64)
    return _Batch(columns, number, np.array(capture.local_ns[kind], dtype=np.int64))


def _median_offset(batches: dict[str, _Batch]) -> int:
    """Median of local receive time less event time over depth and trades; 0 if not to be had."""
    gaps = []
    for kind in ("depth", "trade", "aggTrade"):
        batch = batches[kind]
        event = batch.ints("E")
        known = (event >= 0) & (batch.local >= 0)
        gaps.append(batch.local[known] - event[known] * NS_PER_MS)
    every = np.concatenate(gaps)
    return int(np.median(every)) if len(every) else 0


def _quotes(batch: _Batch, offset: int, notes: list[Finding], symbol: str) -> dict[str, Any] | None:
    if not len(batch):
        return None
    ts = batch.stamps()
    unknown = ts < 0
    if unknown.any():
        ts = np.where(unknown, batch.local - offset, ts)
        detail = (
            "bookTicker without exchange time: ts_ns is local_ts_ns less the median of (local - "
            f"exchange) of the other messages, {offset / NS_PER_MS:.1f} ms"
        )
        notes.append(
            Finding("estimated_time", "info", "quotes", symbol, int(unknown.sum()), 0, detail)
        )
    columns = {"bid": "b", "ask": "a", "bid_quantity": "B", "ask_quantity": "A"}
    return {
        "ts_ns": ts,
        "seq": batch.number,
        **{name: batch.floats(key) for name, key in columns.items()},
        "local_ts_ns": batch.local,
        "update_id": batch.ints("u"),
    }


def _prints(trades: _Batch, aggregated: _Batch) -> dict[str, Any] | None:
    """Single trades where there are any, else aggregated ones (both together would count twice)."""
    batch = trades if len(trades) else aggregated
    if not len(batch):
        return None
    seller = np.asarray(batch.columns["m"].to_numpy(zero_copy_only=False))
    known = np.array([s is not None for s in seller]) if seller.dtype == object else True
    side = np.where(known, np.where(seller == True, SELL, BUY), UNKNOWN)  # noqa: E712
    first, last = ("t", "t") if batch is trades else ("f", "l")
    off = np.zeros(len(batch), dtype=np.int8)
    if batch is trades:
        kinds = batch.columns["X"]
        off = np.array([k not in (None, "MARKET") for k in kinds.to_pylist()], dtype=np.int8)
    return {
        "ts_ns": batch.stamps(),
        "seq": batch.number,
        "price": batch.floats("p"),
        "quantity": batch.floats("q"),
        "aggressor": side,
        "off_book": off,
        "local_ts_ns": batch.local,
        "trade_id": batch.ints(first),
        "last_trade_id": batch.ints(last),
    }


def _depth(
    batch: _Batch, shots: _Batch, notes: list[Finding], symbol: str
) -> dict[str, Any] | None:
    """Deltas with the snapshots set in where their update id belongs.

    Deltas that the first snapshot already contains (u <= lastUpdateId) are dropped, as the venue
    tells its clients to, and counted.
    """
    if not len(batch) and not len(shots):
        return None
    last, ts = batch.ints("u"), batch.stamps()
    ids = shots.ints("lastUpdateId")
    place = np.searchsorted(last, ids, side="right")
    keep = np.ones(len(batch), dtype=bool)
    if len(shots):
        keep[: place.min()] = False
        if place.min():
            detail = "deltas that the first snapshot already contains were dropped"
            n = int(place.min())
            notes.append(Finding("before_snapshot", "info", "depth", symbol, n, -1, detail))
    levels = explode(batch.columns["b"], batch.columns["a"]).take(keep)
    first, previous = _bridged(levels, batch.ints("U"), batch.ints("pu"), keep)
    deltas = _rows(levels, ts, batch.number, batch.local, first, last, previous, snapshot=0)
    shot_ts, shot_seq = _snapshot_places(batch, shots, place)
    shot_levels = worst_first(explode(shots.columns["bids"], shots.columns["asks"]))
    heads = _rows(shot_levels, shot_ts, shot_seq, shots.local, ids, ids, ids, snapshot=1)
    return {name: np.concatenate([heads[name], deltas[name]]) for name in deltas}


def _bridged(
    levels: Levels, first: np.ndarray, previous: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and previous ids, taking over those of messages in front that changed no level.

    Such messages leave no row, and would look like a gap in the sequence.
    """
    full = np.unique(levels.message)
    if len(full) == 0:
        return first, previous
    since = np.empty_like(full)
    since[0], since[1:] = np.argmax(keep), full[:-1] + 1
    first, previous = first.copy(), previous.copy()
    first[full], previous[full] = first[since], previous[since]
    return first, previous


def _snapshot_places(
    batch: _Batch, shots: _Batch, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Time and seq of each snapshot: right behind the last delta it contains."""
    ts, own = batch.stamps(), shots.stamps()
    out_ts, out_seq = np.empty(len(shots), np.int64), np.empty(len(shots), np.int64)
    for i, at in enumerate(place):
        if at > 0:
            out_ts[i], out_seq[i] = ts[at - 1], batch.number[at - 1] + 1
        elif len(batch):
            out_ts[i], out_seq[i] = min(own[i], ts[0]) if own[i] >= 0 else ts[0], -1
            out_seq[i] = batch.number[0] - 1
        else:
            out_ts[i], out_seq[i] = own[i] if own[i] >= 0 else shots.local[i], shots.number[i]
    return out_ts, out_seq


def _rows(
    levels: Levels,
    ts: np.ndarray,
    seq: np.ndarray,
    local: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    previous: np.ndarray,
    *,
    snapshot: int,
) -> dict[str, np.ndarray]:
    of = levels.message
    per_message: Sequence[tuple[str, np.ndarray]] = (
        ("ts_ns", ts),
        ("seq", seq),
        ("local_ts_ns", local),
        ("first_seq", first),
        ("last_seq", last),
        ("prev_seq", previous),
    )
    return {
        **{name: values[of] for name, values in per_message},
        "side": levels.side,
        "price": levels.price,
        "quantity": levels.quantity,
        "is_snapshot": np.full(len(of), snapshot, dtype=np.int8),
    }
