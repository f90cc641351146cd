"""The orders table: any frame of orders in, checked column arrays out; one bad row stops all.

Columns are those of DESIGN section 5. Only ``ts_ns`` (or a tz-aware ``time``), ``symbol`` (where
the market has several), ``side``, ``order_type`` and ``quantity`` are required; NaN, None and ""
mean "not given" in the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import column_to_ns
from execkit.errors import InvalidInput
from execkit.words import OrderType, Side, TimeInForce, normalise_symbol

REQUIRED = ("ts_ns", "symbol", "side", "order_type", "quantity")
NUMBERS = ("quantity", "price", "stop_price", "trail_bps")
TIMES = ("expire_ts_ns", "cancel_ts_ns")
FLAGS = ("post_only", "reduce_only")
TEXTS = ("oco_group", "parent_order_id", "strategy_id", "client_order_id")
COLUMNS = (
    *REQUIRED[:4],
    *NUMBERS,
    "time_in_force",
    *TIMES,
    *FLAGS,
    *TEXTS,
)

SIDES = tuple(Side)
TYPES = tuple(OrderType)
TIFS = tuple(TimeInForce)
GIVEN = np.iinfo(np.int64).min  # "not given" in a time column


@dataclass(frozen=True, slots=True, eq=False)
class OrderTable:
    """Orders as arrays of shape (n,), in row order.

    symbol : int32 codes into `symbols`. side, order_type, time_in_force : int8 codes into SIDES,
    TYPES, TIFS. Numbers are float64, NaN where not given. Times are int64 ns, GIVEN (the smallest
    integer) where not given. oco : int64 group codes, -1 without. texts : by column, object arrays
    ("" where not given), only for columns that the caller had.
    """

    ts_ns: np.ndarray
    symbol: np.ndarray
    symbols: tuple[str, ...]
    side: np.ndarray
    order_type: np.ndarray
    time_in_force: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    stop_price: np.ndarray
    trail_bps: np.ndarray
    expire_ts_ns: np.ndarray
    cancel_ts_ns: np.ndarray
    post_only: np.ndarray
    reduce_only: np.ndarray
    oco: np.ndarray
    texts: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ts_ns)


def read_orders(orders: object, symbols: Iterable[str]) -> OrderTable:
    """Check a table of orders against the rules every order obeys.

    Parameters
    ----------
    orders : DataFrame, mapping of columns, or sequence of mappings (one per order).
    symbols : symbols of the market; with one, the column may be left out.

    Raises
    ------
    InvalidInput : naming the first bad row and its field. Nothing is run.
    """
    frame = _frame(orders)
    n = len(frame)
    known = tuple(symbols)
    ts_ns = _times(frame)
    symbol, table_symbols = _symbols(frame, known)
    words = {
        "side": _codes(frame, "side", Side),
        "order_type": _codes(frame, "order_type", OrderType),
        "time_in_force": _codes(frame, "time_in_force", TimeInForce, default=TimeInForce.GTC),
    }
    numbers = {name: _numbers(frame, name) for name in NUMBERS}
    times = {name: _optional_times(frame, name) for name in TIMES}
    flags = {name: _flags(frame, name) for name in FLAGS}
    texts = {name: _texts(frame, name) for name in TEXTS if name in frame}
    oco = np.full(n, -1, dtype=np.int64)
    if "oco_group" in texts:
        codes, names = pd.factorize(texts["oco_group"])
        oco = np.where(texts["oco_group"] == "", -1, codes).astype(np.int64)
        _check_groups(oco, names, symbol)
    table = OrderTable(
        ts_ns=ts_ns,
        symbol=symbol,
        symbols=table_symbols,
        oco=oco,
        texts=texts,
        **words,
        **numbers,
        **times,
        **flags,
    )
    _check_rows(table)
    _check_repeats(frame, table)
    return table


def _frame(orders: object) -> pd.DataFrame:
    if isinstance(orders, pd.DataFrame):
        frame = orders
    elif isinstance(orders, Mapping):
        # one order is a table too
        columns = {name: v if np.ndim(v) else [v] for name, v in orders.items()}
        frame = pd.DataFrame(columns)
    elif isinstance(orders, Iterable) and not isinstance(orders, (str, bytes)):
        # as objects: one order without a time must not turn the times of the others into floats
        frame = pd.DataFrame(list(orders), dtype=object)
    else:
        raise InvalidInput(
            "orders", type(orders).__name__, "pass a DataFrame with one row an order"
        )
    if len(frame) == 0:
        raise InvalidInput("orders", "0 rows", "pass at least one order")
    for name in frame.columns:
        if name not in COLUMNS and name != "time":
            near = difflib.get_close_matches(str(name), COLUMNS, 1, 0.5)
            hint = f"rename it to {near[0]!r}, or drop it" if near else "drop it"
            if str(name).startswith("Unnamed"):
                hint = "it is pandas' index; write the file with index=False"
            raise InvalidInput("column", str(name), f"is not a column of orders: {hint}")
    if "time" in frame and "ts_ns" in frame:
        raise InvalidInput("column", "time", "give either time or ts_ns, not both")
    for name in ("side", "order_type", "quantity"):
        if name not in frame:
            have = ", ".join(map(str, frame.columns))
            raise InvalidInput("column", name, f"is missing; the table has: {have}")
    if "time" not in frame and "ts_ns" not in frame:
        raise InvalidInput("column", "ts_ns", "is missing: the decision time, UTC nanoseconds")
    return frame


def _times(frame: pd.DataFrame) -> np.ndarray:
    name = "ts_ns" if "ts_ns" in frame else "time"
    ts_ns = column_to_ns(frame[name], name)
    back = np.flatnonzero(np.diff(ts_ns) < 0)
    if len(back):
        row = int(back[0]) + 1
        raise InvalidInput(
            name,
            int(ts_ns[row]),
            "is earlier than the row before: sort the orders by time",
            row=row,
        )
    return ts_ns


def _symbols(frame: pd.DataFrame, known: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    if "symbol" not in frame:
        if len(known) != 1:
            raise InvalidInput("column", "symbol", f"is missing; the market has {', '.join(known)}")
        return np.zeros(len(frame), dtype=np.int32), known
    codes, words = pd.factorize(frame["symbol"])
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise InvalidInput("symbol", frame["symbol"].iloc[row], "is missing", row=row)
    names = []
    for code, word in enumerate(words):
        row = int(np.flatnonzero(codes == code)[0])
        try:
            name = normalise_symbol(word)
        except InvalidInput as error:
            raise InvalidInput("symbol", word, error.fix, row=row) from None
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InvalidInput("symbol", word, f"{hint}the market has: {', '.join(known)}", row=row)
        names.append(name)
    # in alphabetical order, so that no result depends on which symbol comes first in the table
    unique = tuple(sorted(set(names)))
    index = np.array([unique.index(name) for name in names], dtype=np.int32)
    return index[codes], unique


def _absent(series: pd.Series) -> np.ndarray:
    """Where a value was not given."""
    absent = series.isna().to_numpy()
    if series.dtype == object or pd.api.types.is_string_dtype(series.dtype):
        absent = absent | (series.astype(object) == "").to_numpy()
    return absent


def _codes(frame: pd.DataFrame, name: str, words: Any, default: Any = None) -> np.ndarray:
    members = list(words)
    if name not in frame:
        return np.full(len(frame), members.index(default), dtype=np.int8)
    codes, values = pd.factorize(frame[name])
    table = np.zeros(len(values) + 1, dtype=np.int8)
    for code, value in enumerate(values):
        if value == "" and default is not None:
            table[code] = members.index(default)
            continue
        try:
            table[code] = members.index(words.of(value, name))
        except InvalidInput as error:
            row = int(np.flatnonzero(codes == code)[0])
            raise InvalidInput(name, value, error.fix, row=row) from None
    if (codes < 0).any():
        if default is None:
            row = int(np.flatnonzero(codes < 0)[0])
            raise InvalidInput(name, frame[name].iloc[row], "is missing", row=row)
        table[-1] = members.index(default)
    return table[codes]


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    n = len(frame)
    if name not in frame:
        return np.full(n, np.nan)
    series = frame[name]
    absent = _absent(series)
    if absent.any() and name == "quantity":
        row = int(np.flatnonzero(absent)[0])
        raise InvalidInput(name, series.iloc[row], "is missing", row=row)
    values = np.full(n, np.nan)
    try:
        values[~absent] = series[~absent].astype(float).to_numpy()
    except (TypeError, ValueError):
        for at in np.flatnonzero(~absent):
            try:
                float(series.iloc[at])
            except (TypeError, ValueError):
                raise InvalidInput(name, series.iloc[at], "is not a number", row=int(at)) from None
        raise
    bad = np.flatnonzero(~absent & ~(np.isfinite(values) & (values > 0)))
    if len(bad):
        row = int(bad[0])
        raise InvalidInput(name, series.iloc[row], "must be a finite number above 0", row=row)
    return values


def _optional_times(frame: pd.DataFrame, name: str) -> np.ndarray:
    out = np.full(len(frame), GIVEN, dtype=np.int64)
    if name not in frame:
        return out
    series = frame[name]
    given = ~_absent(series)
    if not given.any():
        return out
    values = series[given]
    if pd.api.types.is_float_dtype(values.dtype):
        # a column with gaps becomes float64, which cannot hold every nanosecond of today
        raise InvalidInput(
            name,
            float(values.iloc[0]),
            'is a float and has lost nanoseconds: use dtype "Int64" for a column with gaps',
            row=int(np.flatnonzero(given)[0]),
        )
    try:
        out[given] = column_to_ns(values, name)
    except InvalidInput as error:
        row = int(np.flatnonzero(given)[error.row or 0])
        raise InvalidInput(name, error.value, error.fix, row=row) from None
    return out


def _flags(frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        return np.zeros(len(frame), dtype=bool)
    series = frame[name]
    absent = _absent(series)
    values = np.zeros(len(frame), dtype=bool)
    for row, value in enumerate(series) if series.dtype != bool else ():
        if absent[row]:
            continue
        if value not in (True, False, 0, 1):
            raise InvalidInput(name, value, "use True or False", row=row)
        values[row] = bool(value)
    return series.to_numpy() if series.dtype == bool else values


def _texts(frame: pd.DataFrame, name: str) -> np.ndarray:
    series = frame[name]
    texts = np.full(len(frame), "", dtype=object)
    given = ~_absent(series)
    texts[given] = [str(value) for value in series[given]]
    return texts


def _check_rows(t: OrderTable) -> None:
    """Rules between the fields of one order; the first bad row is named."""
    kind = t.order_type
    limited = (kind == TYPES.index(OrderType.LIMIT)) | (kind == TYPES.index(OrderType.STOP_LIMIT))
    stopped = (kind == TYPES.index(OrderType.STOP_MARKET)) | (
        kind == TYPES.index(OrderType.STOP_LIMIT)
    )
    trailing = kind == TYPES.index(OrderType.TRAILING_STOP)
    has = {name: ~np.isnan(getattr(t, name)) for name in ("price", "stop_price", "trail_bps")}
    gtd = t.time_in_force == TIFS.index(TimeInForce.GTD)
    expires, cancels = t.expire_ts_ns != GIVEN, t.cancel_ts_ns != GIVEN
    taker_only = np.isin(t.time_in_force, [1, 2])
    checks: list[tuple[np.ndarray, str, str]] = [
        (limited & ~has["price"], "price", "a limit order needs a price"),
        (~limited & has["price"], "price", "only limit and stop_limit orders take a price"),
        (stopped & ~has["stop_price"], "stop_price", "a stop order needs a stop_price"),
        (
            ~stopped & ~trailing & has["stop_price"],
            "stop_price",
            "only stop and trailing orders take a stop_price",
        ),
        (trailing & ~has["trail_bps"], "trail_bps", "a trailing_stop needs trail_bps"),
        (~trailing & has["trail_bps"], "trail_bps", "only a trailing_stop takes trail_bps"),
        (trailing & (t.trail_bps >= 1e4), "trail_bps", "use bps between 0 and 10,000"),
        (t.post_only & ~limited, "post_only", "only limit and stop_limit orders can rest"),
        (t.post_only & taker_only, "post_only", "an IOC or FOK order cannot be post_only"),
        (gtd & ~expires, "expire_ts_ns", "a GTD order needs expire_ts_ns"),
        (~gtd & expires, "expire_ts_ns", "only a GTD order takes expire_ts_ns"),
        (expires & (t.expire_ts_ns <= t.ts_ns), "expire_ts_ns", "must be later than ts_ns"),
        (cancels & (t.cancel_ts_ns < t.ts_ns), "cancel_ts_ns", "must not be before ts_ns"),
    ]
    for bad, name, fix in checks:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = getattr(t, name)[row]
            shown = None if value == GIVEN or value != value else value.item()
            raise InvalidInput(name, shown, fix, row=row)


def _check_groups(oco: np.ndarray, names: Any, symbol: np.ndarray) -> None:
    """Orders of different symbols cannot cancel each other here: symbols run on their own."""
    first = pd.Series(symbol).groupby(oco).transform("first").to_numpy()
    mixed = np.flatnonzero((oco >= 0) & (symbol != first))
    if len(mixed):
        row = int(mixed[0])
        raise InvalidInput(
            "oco_group",
            names[oco[row]],
            "has orders of several symbols; use one group each",
            row=row,
        )


def _check_repeats(frame: pd.DataFrame, t: OrderTable) -> None:
    ids = t.texts.get("client_order_id")
    if ids is not None:
        series = pd.Series(ids)
        again = np.flatnonzero((series.duplicated() & (series != "")).to_numpy())
        if len(again):
            row = int(again[0])
            raise InvalidInput("client_order_id", ids[row], "is used by an earlier row", row=row)
        if (series != "").all():
            return
    try:
        again = np.flatnonzero(frame.duplicated().to_numpy())
    except TypeError:  # unhashable cells cannot be compared; every column was checked above
        return
    if len(again):
        row = int(again[0])
        raise InvalidInput(
            "orders",
            f"row {row}",
            "repeats an earlier row in every column; drop it, or give each a client_order_id",
            row=row,
        )
