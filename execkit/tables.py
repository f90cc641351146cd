"""Market data as sorted, read-only column arrays: the kinds of table, their columns, one builder.

Every table has the columns ``symbol`` and ``venue`` (int32 codes into `Table.symbols` and
`Table.venues`), ``ts_ns`` (int64, the venue's time) and those of its kind below. Prices and
quantities are float64. ``local_ts_ns`` and the columns listed in `OPTIONAL` exist where known;
-1 marks single rows without a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from execkit.clock import from_ns
from execkit.errors import InvalidData, InvalidInput
from execkit.words import normalise_symbol

BUY, SELL, UNKNOWN = 0, 1, 2
BID, ASK = 0, 1

Severity = Literal["info", "warning", "error"]

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "bars": ("open", "high", "low", "close", "volume"),
    "quotes": ("bid", "ask", "bid_quantity", "ask_quantity"),
    "prints": ("price", "quantity"),
    "depth": ("side", "price", "quantity"),
    "funding": ("rate",),
}
"""What a table of each kind cannot be without, beside the time."""

OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "bars": ("n_prints",),
    "quotes": ("local_ts_ns", "update_id"),
    "prints": ("local_ts_ns", "trade_id", "last_trade_id", "parent_id"),
    "depth": ("local_ts_ns", "first_seq", "last_seq", "prev_seq"),
    "funding": ("local_ts_ns",),
}
"""Kept where given. `trade_id`..`last_trade_id` are the venue's ids of the (aggregated) print,
`parent_id` groups prints known to come from one order;
`first_seq`, `last_seq`, `prev_seq` the venue's update ids of a depth message (-1 = not given)."""

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "bars": {},
    "quotes": {},
    "prints": {"aggressor": UNKNOWN, "off_book": 0},
    "depth": {"is_snapshot": 0},
    "funding": {"mark": np.nan},
}

KINDS = tuple(REQUIRED)
SEQUENCED = ("quotes", "prints", "depth")

NAMES = {"aggressor": ("buy", "sell", "unknown"), "side": ("bid", "ask")}
INT8 = frozenset({"aggressor", "side", "off_book", "is_snapshot"})
_INT64 = frozenset(
    {
        "ts_ns",
        "seq",
        "local_ts_ns",
        "trade_id",
        "last_trade_id",
        "update_id",
        "n_prints",
        "parent_id",
    }
    | {"first_seq", "last_seq", "prev_seq"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing noticed about the data; `first_row` is the position in the table, -1 if none."""

    kind: str
    severity: Severity
    table: str
    symbol: str
    count: int
    first_row: int
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of one kind, sorted by (symbol code, ts_ns, seq); ties keep the order they came in.

    `columns` are read-only arrays of equal length; codes in ``symbol`` and ``venue`` point into
    `symbols` and `venues`, which are in alphabetical order.
    """

    kind: str
    columns: Mapping[str, np.ndarray]
    symbols: tuple[str, ...]
    venues: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["ts_ns"])

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self.columns[name]
        except KeyError:
            raise InvalidInput("column", name, f"choose one of {', '.join(self.columns)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def get(self, name: str, default: np.ndarray) -> np.ndarray:
        """A column, or `default` where the table has none of that name."""
        return self.columns.get(name, default)

    def __repr__(self) -> str:
        return f"<Table {self.kind}: {len(self):,} rows, {', '.join(self.present) or 'no symbol'}>"

    @property
    def present(self) -> tuple[str, ...]:
        """Symbols that have at least one row."""
        return tuple(s for s in self.symbols if self.rows(s).start < self.rows(s).stop)

    def rows(self, symbol: str) -> slice:
        """Positions of one symbol's rows; an empty slice if it has none."""
        if symbol not in self.symbols:
            return slice(0, 0)
        code = self.symbols.index(symbol)
        # codes of the column's own type: others would have numpy convert the whole column
        ends = np.array([code, code + 1], dtype=np.int32)
        first, last = np.searchsorted(self.columns["symbol"], ends)
        return slice(int(first), int(last))

    def of(self, symbol: str) -> Table:
        """One symbol's rows, as views (nothing is copied)."""
        return self.cut(self.rows(symbol))

    def cut(self, rows: slice | np.ndarray) -> Table:
        """The chosen rows: views for a slice, copies for an array of positions or booleans."""
        return _table(self.kind, self.columns, self.symbols, self.venues, rows)

    def __reduce__(self) -> tuple[object, ...]:
        # read-only mappings cannot be pickled; sweeps send markets to other processes
        return _table, (self.kind, dict(self.columns), self.symbols, self.venues)

    def frame(self) -> pd.DataFrame:
        """The table as pandas: tz-aware ``time`` first, words as categoricals."""
        out: dict[str, object] = {"time": from_ns(self["ts_ns"])}
        for name, column in self.columns.items():
            if name in ("symbol", "venue"):
                words = self.symbols if name == "symbol" else self.venues
                out[name] = _categorical(column, words)
            elif name in NAMES:
                out[name] = _categorical(column, NAMES[name])
            else:
                out[name] = column
        return pd.DataFrame(out)


def build(
    kind: str,
    columns: Mapping[str, object],
    *,
    symbol: object,
    venue: object = "",
) -> tuple[Table, list[Finding]]:
    """Sort and freeze columns into a `Table`, and report rows that came out of order.

    `symbol` and `venue` are one word for all rows, or (codes, words). Columns absent from
    `columns` take the default of their kind; `seq` defaults to the order of the rows, for depth to
    the number of the message (a new one starts wherever the time, symbol or snapshot flag moves).
    """
    ts = np.asarray(columns["ts_ns"], dtype=np.int64)
    n = len(ts)
    codes, symbols = _coded(symbol, n, normalise_symbol)
    venue_codes, venues = _coded(venue, n, str)
    out: dict[str, np.ndarray] = {"symbol": codes, "venue": venue_codes, "ts_ns": ts}
    defaults = DEFAULTS[kind]
    wanted = (*REQUIRED[kind], *defaults)
    if kind in SEQUENCED:
        numbers = columns.get("seq")
        if numbers is None:
            flags = np.asarray(columns.get("is_snapshot", np.zeros(n)))
            numbers = _message_numbers(ts, codes, flags) if kind == "depth" else np.arange(n)
        out["seq"] = np.asarray(numbers, dtype=np.int64)
    for name in (*wanted, *OPTIONAL[kind]):
        if name in columns:
            out[name] = np.asarray(columns[name]).astype(dtype_of(name), copy=False)
        elif name in defaults:
            out[name] = np.full(n, defaults[name], dtype=dtype_of(name))
    for name, column in out.items():
        if len(column) != n:
            raise InvalidInput(name, len(column), f"the time column has {n} rows; give as many")
    order, findings = _order(kind, out, symbols)
    table = _table(kind, out, symbols, venues, order)
    _one_venue_per_symbol(table)
    return table, findings


def join(tables: list[Table]) -> Table:
    """Rows of several tables of one kind as one table. Optional columns of some, not all, get -1.

    The result does not depend on the order of `tables`, provided no two share (symbol, ts_ns, seq).
    """
    kind = tables[0].kind
    symbols = tuple(sorted({s for t in tables for s in t.present}))
    venues = tuple(sorted({t.venues[c] for t in tables for c in np.unique(t["venue"])}))
    names = [n for n in _all_columns(kind) if any(n in t for t in tables)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for table in tables:
        for name in names:
            if name not in table:
                parts[name].append(np.full(len(table), -1, dtype=dtype_of(name)))
            elif name in ("symbol", "venue"):
                old, new = (table.symbols, symbols) if name == "symbol" else (table.venues, venues)
                codes = np.array([new.index(w) if w in new else -1 for w in old], dtype=np.int32)
                parts[name].append(codes[table[name]])
            else:
                parts[name].append(table[name])
    out = {name: np.concatenate(columns) for name, columns in parts.items()}
    order, _ = _order(kind, out, symbols)
    joined = _table(kind, out, symbols, venues, order)
    _one_venue_per_symbol(joined)
    return joined


def _all_columns(kind: str) -> tuple[str, ...]:
    seq = ("seq",) if kind in SEQUENCED else ()
    head = ("symbol", "venue", "ts_ns", *seq)
    return (*head, *REQUIRED[kind], *DEFAULTS[kind], *OPTIONAL[kind])


def dtype_of(name: str) -> type[np.generic]:
    """What a column of this name holds."""
    if name in ("symbol", "venue"):
        return np.int32
    return np.int8 if name in INT8 else np.int64 if name in _INT64 else np.float64


def _categorical(codes: np.ndarray, words: tuple[str, ...]) -> Any:
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(words)))


def _table(
    kind: str,
    columns: Mapping[str, np.ndarray],
    symbols: tuple[str, ...],
    venues: tuple[str, ...],
    rows: slice | np.ndarray | None = None,
) -> Table:
    """A `Table` of read-only views or, where `rows` is an array, of copies."""
    frozen = {}
    for name, column in columns.items():
        frozen[name] = column.view() if rows is None else column[rows]
        frozen[name].flags.writeable = False
    return Table(kind, MappingProxyType(frozen), symbols, venues)


def _coded(labels: object, n: int, clean: object) -> tuple[np.ndarray, tuple[str, ...]]:
    """int32 codes into an alphabetical tuple of clean words."""
    if not isinstance(labels, tuple):
        return np.zeros(n, dtype=np.int32), (clean(labels),)  # type: ignore[operator]
    codes, words = labels
    cleaned = [clean(word) for word in words]  # type: ignore[operator]
    known = sorted(set(cleaned))
    remap = np.array([known.index(word) for word in cleaned], dtype=np.int32)
    return remap[np.asarray(codes)], tuple(known)


def _message_numbers(ts: np.ndarray, codes: np.ndarray, flags: np.ndarray) -> np.ndarray:
    if len(ts) == 0:
        return np.empty(0, dtype=np.int64)
    starts = (np.diff(ts) != 0) | (np.diff(codes) != 0) | (np.diff(flags) != 0)
    return np.concatenate(([0], np.cumsum(starts))).astype(np.int64)


def _order(
    kind: str, columns: Mapping[str, np.ndarray], symbols: tuple[str, ...]
) -> tuple[np.ndarray | None, list[Finding]]:
    """The stable sorting order (None if sorted already), and a finding where time ran backwards."""
    ts, codes = columns["ts_ns"], columns["symbol"]
    seq = columns.get("seq", np.zeros(len(ts), dtype=np.int64))
    if all(_in_order(codes[rows], ts[rows], seq[rows]) for rows in _overlapping(len(ts))):
        return None, []
    findings = []
    for code, name in enumerate(symbols):
        rows = np.flatnonzero(codes == code)
        back = np.flatnonzero(np.diff(ts[rows]) < 0)
        if len(back):
            detail = "times ran backwards in the input; rows were sorted by (ts_ns, seq)"
            first = int(rows[back[0] + 1])
            findings.append(Finding("unsorted", "warning", kind, name, len(back), first, detail))
    return np.lexsort((seq, ts, codes)), findings


_AT_ONCE = 1 << 15
"""Rows that are looked at together: few enough for what comes of them to stay in the cache."""


def _overlapping(n: int) -> Iterator[slice]:
    """Slices of all rows, each from the last row of the one before."""
    return (slice(max(0, first - 1), first + _AT_ONCE) for first in range(0, n, _AT_ONCE))


def _in_order(codes: np.ndarray, ts: np.ndarray, seq: np.ndarray) -> bool:
    """Whether rows are sorted by (symbol, time, seq)."""
    moved, later = np.diff(codes), np.diff(ts)
    tied = (later == 0) & (np.diff(seq) >= 0)
    return bool(((moved > 0) | ((moved == 0) & ((later > 0) | tied))).all())


def _one_venue_per_symbol(table: Table) -> None:
    if table.kind == "funding" or len(table.venues) < 2:
        return
    for symbol in table.present:
        seen = np.unique(table["venue"][table.rows(symbol)])
        if len(seen) > 1:
            names = ", ".join(table.venues[code] for code in seen)
            raise InvalidData(
                f"{table.kind} of {symbol} come from several venues ({names}), which would be "
                "merged into one market: pick one venue, or give each its own symbol"
            )
