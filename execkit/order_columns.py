"""Single columns of an orders table: from what callers have to checked arrays.

A column may be an array, a pandas column, a categorical, a list, or one value for all rows. What
holds one value, given so or found to, stays a view of one (`arrays.one_value`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from execkit.arrays import fixed, is_one_value, one_value, short
from execkit.clock import column_to_ns
from execkit.errors import InvalidInput

GIVEN = np.iinfo(np.int64).min  # "not given" in a time column


class Given:
    """The columns of a table as they came; `n` rows, and `series` of one where it holds for all."""

    def __init__(self, columns: Mapping[str, Any], n: int) -> None:
        self.columns = columns
        self.n = n

    @classmethod
    def of(cls, orders: object) -> Given:
        """`InvalidInput` unless this is a table of at least one order."""
        if isinstance(orders, Iterable) and not isinstance(orders, (pd.DataFrame, Mapping, str)):
            # as objects: one order without a time must not turn the times of the others into floats
            orders = pd.DataFrame(list(orders), dtype=object)
        if isinstance(orders, pd.DataFrame):
            for name in orders.columns[orders.columns.duplicated()]:
                raise InvalidInput("column", str(name), "is there twice; drop one of them")
            return cls({str(name): orders[name] for name in orders.columns}, len(orders))
        if isinstance(orders, Mapping):
            sizes = {str(name): len(v) for name, v in orders.items() if _is_column(v)}
            n = next(iter(sizes.values()), 1)  # one order is a table too
            for name, size in sizes.items():
                if size != n:
                    raise InvalidInput("column", name, f"has {size} rows and others have {n}")
            # a Series of our own, for pandas to copy what is shared before anybody writes to it
            columns = {
                str(name): v.copy(deep=False) if isinstance(v, pd.Series) else v
                for name, v in orders.items()
            }
            return cls(columns, n)
        raise InvalidInput(
            "orders", type(orders).__name__, "pass a DataFrame with one row an order"
        )

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def series(self, name: str) -> pd.Series:
        """The column, of length 1 where one value was given for all rows.

        An array is copied, for its owner may write into it later; a column of a frame need not be,
        as long as somebody holds it: pandas copies what is shared before it writes.
        """
        column = self.columns[name]
        if isinstance(column, pd.Series):
            return column
        own = isinstance(column, (np.ndarray, pd.api.extensions.ExtensionArray))
        if own and column.ndim:
            return pd.Series(column, copy=True)
        return pd.Series(column if _is_column(column) else [column], copy=False)

    def full(self, column: np.ndarray) -> np.ndarray:
        """A column made of a `series`, for all rows."""
        return column if len(column) == self.n else np.broadcast_to(column, self.n)

    def frame(self, rows: np.ndarray) -> pd.DataFrame:
        """Some rows, as a table."""
        parts = {}
        for name in self.columns:
            series = self.series(name)
            chosen = rows if len(series) == self.n else np.zeros(len(rows), dtype=np.int64)
            parts[name] = series.iloc[chosen].array
        return pd.DataFrame(parts)


def _is_column(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))


def missing(series: pd.Series) -> np.ndarray:
    """Where a value was not given."""
    absent = series.isna().to_numpy()
    if series.dtype == object or pd.api.types.is_string_dtype(series.dtype):
        absent = absent | (series.astype(object) == "").to_numpy()
    return absent


def coded(series: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Codes of a column, -1 where there is no value, and the values they stand for.

    A categorical gives its own codes, so not each of its values need occur.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.cat.codes.to_numpy(), list(series.cat.categories)
    if isinstance(series.dtype, pd.StringDtype):
        found = _coded_text(series)
        if found is not None:
            return found
    codes, values = pd.factorize(series)
    return codes, list(values)


def _coded_text(series: pd.Series) -> tuple[np.ndarray, list[Any]] | None:
    """Codes of a text column held by Arrow; None where it has gaps, many words, other storage."""
    from execkit.coding import MOST_WORDS, code_words

    read = getattr(series.array, "__arrow_array__", None)
    text = None if read is None else read()
    if text is None or len(series) == 0 or text.null_count or str(text.type) != "large_string":
        return None
    chunk = text.chunk(0) if text.num_chunks == 1 else text.combine_chunks()
    _, ends, data = chunk.buffers()
    ends = np.frombuffer(ends, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    data = np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, dtype=np.uint8)
    codes = np.empty(len(chunk), dtype=np.int8)
    firsts = np.empty(MOST_WORDS, dtype=np.int64)
    n_words = code_words(fixed(ends), fixed(data), codes, firsts)
    if n_words < 0:
        return None
    if n_words == 1:
        codes = one_value(0, len(codes), np.int8)
    return codes, [chunk[int(row)].as_py() for row in firsts[:n_words]]


def translated(codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table[codes]` for codes from -1 on; shared where that changes nothing."""
    if is_one_value(codes) or (len(table) == 2 and bool((codes == codes[0]).all())):
        return one_value(table[codes[0]], len(codes))
    if codes.dtype != table.dtype or codes.min() < 0:
        return table.take(codes, mode="wrap")
    if np.array_equal(table[:-1], np.arange(len(table) - 1)):
        return codes
    if np.array_equal(table[:-1], [1, 0]):
        return 1 - codes
    return table.take(codes, mode="wrap")


def words(given: Given, name: str, members: Any, default: Any = None) -> np.ndarray:
    """int8 codes into the members of a set of words; `default` where no word was given."""
    known = list(members)
    if name not in given:
        return one_value(known.index(default), given.n, np.int8)
    series = given.series(name)
    codes, values = coded(series)
    table = np.full(len(values) + 1, -1, dtype=np.int8)
    wrong = {}
    for code, value in enumerate(values):
        if value == "" and default is not None:
            table[code] = known.index(default)
            continue
        try:
            table[code] = known.index(members.of(value, name))
        except InvalidInput as error:
            wrong[code] = error.fix
    if default is not None:
        table[-1] = known.index(default)
    found = translated(codes, table)
    if len(found) and short(found).min() < 0:
        row = int(np.flatnonzero(found < 0)[0])
        fix = wrong.get(int(codes[row]), "is missing")
        raise InvalidInput(name, series.iloc[row], fix, row=row)
    return given.full(found)


def numbers(given: Given, name: str, *, needed: bool = False) -> np.ndarray:
    """float64 above 0 and finite, NaN where not given."""
    if name not in given:
        return one_value(np.nan, given.n)
    series = given.series(name)
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":
        values = series.to_numpy(dtype=np.float64)
        if values.min() > 0 and values.max() < np.inf:  # false where there is a NaN
            return given.full(values)
    return given.full(_careful(series, name, needed))


def _careful(series: pd.Series, name: str, needed: bool) -> np.ndarray:
    """Numbers of a column that has gaps, text, or something wrong."""
    absent = missing(series)
    if absent.any() and needed:
        row = int(np.flatnonzero(absent)[0])
        raise InvalidInput(name, series.iloc[row], "is missing", row=row)
    values = np.full(len(series), np.nan)
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


def optional_times(given: Given, name: str) -> np.ndarray:
    """int64 ns, GIVEN where not given."""
    if name not in given:
        return one_value(GIVEN, given.n)
    series = given.series(name)
    if series.dtype == np.int64:
        return given.full(series.to_numpy())
    out = np.full(len(series), GIVEN, dtype=np.int64)
    there = ~missing(series)
    if not there.any():
        return given.full(out)
    values = series[there]
    if pd.api.types.is_float_dtype(values.dtype):
        # a column with gaps becomes float64, which cannot hold every nanosecond of today
        raise InvalidInput(
            name,
            float(values.iloc[0]),
            'is a float and has lost nanoseconds: use dtype "Int64" for a column with gaps',
            row=int(np.flatnonzero(there)[0]),
        )
    try:
        out[there] = column_to_ns(values, name)
    except InvalidInput as error:
        row = int(np.flatnonzero(there)[error.row or 0])
        raise InvalidInput(name, error.value, error.fix, row=row) from None
    return given.full(out)


def flags(given: Given, name: str) -> np.ndarray:
    """True or False, False where not given."""
    if name not in given:
        return one_value(False, given.n)
    series = given.series(name)
    if series.dtype == bool:
        return given.full(series.to_numpy())
    absent = missing(series)
    values = np.zeros(len(series), dtype=bool)
    for row, value in enumerate(series):
        if absent[row]:
            continue
        if value not in (True, False, 0, 1):
            raise InvalidInput(name, value, "use True or False", row=row)
        values[row] = bool(value)
    return given.full(values)


def texts(given: Given, name: str) -> np.ndarray:
    """Text as objects, "" where not given. A column of floats is refused: they were whole numbers
    until a gap came between them, and large ones are no longer told apart."""
    series = given.series(name)
    out = np.full(len(series), "", dtype=object)
    there = ~missing(series)
    if there.any() and pd.api.types.is_float_dtype(series.dtype):
        row = int(np.argmax(there))
        fix = 'is a float: use text, or dtype "Int64" for a column with gaps'
        raise InvalidInput(name, float(series.iloc[row]), fix, row=row)
    out[there] = [str(value) for value in series[there]]
    return given.full(out)
