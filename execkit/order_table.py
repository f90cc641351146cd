"""The orders table: any frame of orders in, checked column arrays out; one bad row stops all.

Columns are those of DESIGN section 5. Only ``ts_ns`` (or a tz-aware ``time``), ``symbol`` (where
the market has several), ``side``, ``order_type`` and ``quantity`` are required; NaN, None and ""
mean "not given" in the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from execkit.arrays import is_one_value, one_value
from execkit.clock import column_to_ns
from execkit.errors import InvalidInput
from execkit.order_columns import (
    GIVEN,
    Given,
    coded,
    flags,
    numbers,
    optional_times,
    texts,
    translated,
    words,
)
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

_OF_A_ROW = ("order_type", "time_in_force", *NUMBERS, *TIMES, *FLAGS)

SIDES = tuple(Side)
TYPES = tuple(OrderType)
TIFS = tuple(TimeInForce)


@dataclass(frozen=True, slots=True, eq=False)
class OrderTable:
    """Orders as arrays of shape (n,), in row order.

    symbol : int32 codes into `symbols`. side, order_type, time_in_force : int8 codes into SIDES,
    TYPES, TIFS. Numbers are float64, NaN where not given. Times are int64 ns, GIVEN (the smallest
    integer) where not given. oco : int64 group codes, -1 without. texts : by column, object arrays
    ("" where not given), only for columns that the caller had. A column that holds one value for
    all rows may be a view of one (stride 0), and any may be read-only. given : what the columns
    were read from, held so that pandas does not write into them.
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
    given: Given | None = None

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
    given = Given.of(orders)
    _check_names(given)
    known = tuple(symbols)
    ts_ns, ties = _times(given)
    symbol, table_symbols = _symbols(given, known)
    said = {name: texts(given, name) for name in TEXTS if name in given}
    oco = one_value(-1, given.n, np.int64)
    if "oco_group" in said:
        codes, names = pd.factorize(said["oco_group"])
        oco = np.where(said["oco_group"] == "", -1, codes).astype(np.int64)
        _check_groups(oco, names, symbol)
    table = OrderTable(
        ts_ns=ts_ns,
        symbol=symbol,
        symbols=table_symbols,
        side=words(given, "side", Side),
        order_type=words(given, "order_type", OrderType),
        time_in_force=words(given, "time_in_force", TimeInForce, TimeInForce.GTC),
        oco=oco,
        texts=said,
        given=given,
        **{name: numbers(given, name, needed=name == "quantity") for name in NUMBERS},
        **{name: optional_times(given, name) for name in TIMES},
        **{name: flags(given, name) for name in FLAGS},
    )
    _check_rows(table)
    _check_repeats(given, table, ties)
    return table


def _check_names(given: Given) -> None:
    if given.n == 0:
        raise InvalidInput("orders", "0 rows", "pass at least one order")
    for name in given.columns:
        if name not in COLUMNS and name != "time":
            near = difflib.get_close_matches(name, COLUMNS, 1, 0.5)
            hint = f"rename it to {near[0]!r}, or drop it" if near else "drop it"
            if name.startswith("Unnamed"):
                hint = "it is pandas' index; write the file with index=False"
            raise InvalidInput("column", name, f"is not a column of orders: {hint}")
    if "time" in given and "ts_ns" in given:
        raise InvalidInput("column", "time", "give either time or ts_ns, not both")
    for name in ("side", "order_type", "quantity"):
        if name not in given:
            have = ", ".join(given.columns)
            raise InvalidInput("column", name, f"is missing; the table has: {have}")
    if "time" not in given and "ts_ns" not in given:
        raise InvalidInput("column", "ts_ns", "is missing: the decision time, UTC nanoseconds")


def _times(given: Given) -> tuple[np.ndarray, bool]:
    """Times of decision, and whether any two orders have the same."""
    name = "ts_ns" if "ts_ns" in given else "time"
    ts_ns = column_to_ns(given.series(name), name)
    if len(ts_ns) < given.n:
        return given.full(ts_ns), True
    earlier, later = ts_ns[:-1], ts_ns[1:]
    if (later > earlier).all():
        return ts_ns, False
    back = np.flatnonzero(later < earlier)
    if len(back):
        row = int(back[0]) + 1
        raise InvalidInput(
            name,
            int(ts_ns[row]),
            "is earlier than the row before: sort the orders by time",
            row=row,
        )
    return ts_ns, True


def _symbols(given: Given, known: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    if "symbol" not in given:
        if len(known) != 1:
            raise InvalidInput("column", "symbol", f"is missing; the market has {', '.join(known)}")
        return one_value(0, given.n, np.int32), known
    series = given.series("symbol")
    codes, values = coded(series)
    if codes.min() < 0:
        row = int(np.flatnonzero(codes < 0)[0])
        raise InvalidInput("symbol", series.iloc[row], "is missing", row=row)
    names: dict[int, str] = {}
    used = codes[:1] if is_one_value(codes) else np.flatnonzero(np.bincount(codes))
    for code in map(int, used):
        word = values[code]
        try:
            name = normalise_symbol(word)
        except InvalidInput as error:
            raise InvalidInput("symbol", word, error.fix, row=_first(codes, code)) from None
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {near[0]}? " if near else ""
            fix = f"{hint}the market has: {', '.join(known)}"
            raise InvalidInput("symbol", word, fix, row=_first(codes, code))
        names[code] = name
    # in alphabetical order, so that no result depends on which symbol comes first in the table
    unique = tuple(sorted(set(names.values())))
    index = np.full(len(values) + 1, -1, dtype=np.int32)
    for code, name in names.items():
        index[code] = unique.index(name)
    if len(unique) == 1:
        return one_value(0, given.n, np.int32), unique
    return translated(codes, index), unique


def _first(codes: np.ndarray, code: int) -> int:
    return int(np.flatnonzero(codes == code)[0])


def _check_rows(t: OrderTable) -> None:
    """Rules between the fields of one order; the first bad row is named.

    Columns of one value are looked at once: what comes of them has length 1, as they have here.
    """
    columns: dict[str, Any] = {name: _brief(getattr(t, name)) for name in _OF_A_ROW}
    t = replace(t, **columns)
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
    ]
    if expires.any():
        late = expires & (t.expire_ts_ns <= t.ts_ns)
        checks.append((late, "expire_ts_ns", "must be later than ts_ns"))
    if cancels.any():
        late = cancels & (t.cancel_ts_ns < t.ts_ns)
        checks.append((late, "cancel_ts_ns", "must not be before ts_ns"))
    for bad, name, fix in checks:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            column = getattr(t, name)
            value = column[min(row, len(column) - 1)]
            shown = None if value == GIVEN or value != value else value.item()
            raise InvalidInput(name, shown, fix, row=row)


def _brief(column: np.ndarray) -> np.ndarray:
    return column[:1] if is_one_value(column) else column


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


CLOSE = 8
"""How far apart rows of one time are compared column by column; for larger crowds pandas does."""


def _all_differ(t: OrderTable) -> bool:
    """Whether no row can repeat another, by what was read; False where only a look at all that was
    given can tell."""
    names = ("side", "order_type", "quantity", "price", "symbol", "stop_price", "trail_bps",
             "time_in_force", *TIMES, *FLAGS)  # fmt: skip
    columns = [c for c in (getattr(t, name) for name in names) if not is_one_value(c)]
    columns += t.texts.values()
    for apart in range(1, CLOSE + 1):
        rows = np.flatnonzero(t.ts_ns[apart:] == t.ts_ns[:-apart])
        if len(rows) == 0:
            return True  # sorted: nor do rows further apart share a time
        for column in columns:
            one, other = column[rows], column[rows + apart]
            rows = rows[(one == other) | ((one != one) & (other != other))]
        if len(rows):
            return False
    return False


def _check_repeats(given: Given, t: OrderTable, ties: bool) -> None:
    ids = t.texts.get("client_order_id")
    if ids is not None:
        series = pd.Series(ids)
        again = np.flatnonzero((series.duplicated() & (series != "")).to_numpy())
        if len(again):
            row = int(again[0])
            raise InvalidInput("client_order_id", ids[row], "is used by an earlier row", row=row)
        if (series != "").all():
            return
    if not ties or _all_differ(t):
        return
    # times are sorted, so a row can only repeat one of those beside it that have its time
    same = t.ts_ns[1:] == t.ts_ns[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    try:
        again = np.flatnonzero(given.frame(tied).duplicated().to_numpy())
    except TypeError:  # unhashable cells cannot be compared; every column was checked above
        return
    if len(again):
        row = int(tied[again[0]])
        raise InvalidInput(
            "orders",
            f"row {row}",
            "repeats an earlier row in every column; drop it, or give each a client_order_id",
            row=row,
        )
