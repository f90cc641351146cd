"""Frames of market data into tables: times, numbers and words checked, the first bad row named."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from execkit.clock import column_to_ns
from execkit.errors import InvalidInput
from execkit.tables import (
    ASK,
    BID,
    BUY,
    DEFAULTS,
    INT8,
    NAMES,
    OPTIONAL,
    REQUIRED,
    SELL,
    UNKNOWN,
    Finding,
    Table,
    build,
    dtype_of,
)

_WORDS = {
    "aggressor": {"buy": BUY, "b": BUY, "sell": SELL, "s": SELL, "unknown": UNKNOWN, "": UNKNOWN},
    "side": {"bid": BID, "buy": BID, "b": BID, "ask": ASK, "sell": ASK, "a": ASK},
}


def from_frame(
    kind: str, data: object, *, symbol: str | None = None, venue: str | None = None
) -> tuple[Table, list[Finding]]:
    """A `Table` from a frame of the columns of DESIGN (pandas, Arrow, or a dict of columns).

    Words are accepted in any case for ``side`` and ``aggressor``, and a tz-aware ``time`` column or
    index instead of ``ts_ns``. Raises `InvalidInput` naming column, value and row for a missing or
    non-numeric column, a naive or missing time, an unknown word. Everything else is left to
    `MarketData.check`.
    """
    frame = as_frame(data)
    columns: dict[str, np.ndarray] = {"ts_ns": _times(frame)}
    missing = [name for name in REQUIRED[kind] if name not in frame.columns]
    if missing:
        raise InvalidInput(
            "columns", list(map(str, frame.columns)), f"{kind} need {', '.join(missing)} as well"
        )
    for name in (*REQUIRED[kind], *DEFAULTS[kind], *OPTIONAL[kind], "seq"):
        if name in frame.columns:
            columns[name] = _numbers(frame[name], name)
    if isinstance(data, Mapping):  # the frame shares the arrays of their owner, who may write
        columns = {name: _owned(column, data.get(name)) for name, column in columns.items()}
    return build(
        kind,
        columns,
        symbol=_labels(frame, "symbol", symbol),
        venue=_labels(frame, "venue", venue if venue is not None or "venue" in frame else ""),
    )


def as_frame(data: object) -> pd.DataFrame:
    """pandas, Arrow or a mapping of columns as a DataFrame; anything else is refused."""
    if isinstance(data, Mapping):
        return pd.DataFrame(dict(data), copy=False)
    frame = data.to_pandas() if hasattr(data, "to_pandas") else data
    if isinstance(frame, pd.DataFrame):
        return frame
    raise InvalidInput("data", type(data).__name__, "pass a DataFrame, an Arrow table or a dict")


def _owned(column: np.ndarray, given: object) -> np.ndarray:
    """The column, copied unless it had to be converted from what was given."""
    return column.copy() if getattr(given, "dtype", None) == column.dtype else column


def _times(frame: pd.DataFrame) -> np.ndarray:
    for name in ("ts_ns", "time"):
        if name in frame.columns:
            _refuse(frame[name].isna().to_numpy(), frame[name], name, "give every row a time")
            return column_to_ns(frame[name], name)
    if isinstance(frame.index, pd.DatetimeIndex):
        return column_to_ns(frame.index, "index")
    raise InvalidInput(
        "columns",
        list(map(str, frame.columns)),
        "add ts_ns (integer UTC nanoseconds) or time (tz-aware datetimes)",
    )


def _numbers(series: pd.Series, name: str) -> np.ndarray:
    """A column as numbers of its dtype; words of `side` and `aggressor` become codes."""
    if name == "local_ts_ns":
        return column_to_ns(series, name)
    if name in _WORDS and not pd.api.types.is_numeric_dtype(series.dtype):
        return _words(series, name)
    dtype = dtype_of(name)
    if dtype is np.float64 and series.dtype == np.float64:
        return series.to_numpy()
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iu":
        allowed = len(NAMES.get(name, ("no", "yes")))
        least, most = (series.min(), series.max()) if len(series) else (0, 0)
        if name not in INT8 or (least >= 0 and most < allowed):
            return series.to_numpy(dtype=dtype)
    numbers = pd.to_numeric(series, errors="coerce")
    lost = (numbers.isna() & series.notna()).to_numpy()
    _refuse(lost, series, name, "give a number")
    if dtype is not np.float64:
        _refuse(numbers.isna().to_numpy(), series, name, "fill the gap; this column has no NaN")
    if name in INT8:
        allowed = len(NAMES.get(name, ("no", "yes")))
        _refuse(~numbers.isin(range(allowed)).to_numpy(), series, name, f"use 0..{allowed - 1}")
    return numbers.to_numpy(dtype=dtype, na_value=np.nan if dtype is np.float64 else 0)


def _words(series: pd.Series, name: str) -> np.ndarray:
    """Codes of a column of `side` or `aggressor`; each different word is looked up once."""
    try:
        codes, words = pd.factorize(series.array, use_na_sentinel=False)
    except TypeError:  # some cannot be told apart by hash: none of those is a word
        codes, words = np.arange(len(series)), series.array
    known = [_WORDS[name].get(str(word).strip().lower(), -1) for word in words]
    found = np.array(known, dtype=np.int8)[codes]
    _refuse(found < 0, series, name, f"write {' or '.join(NAMES[name])}")
    return found


def _refuse(bad: np.ndarray, series: pd.Series, name: str, fix: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        raise InvalidInput(name, series.iloc[int(rows[0])], fix, row=int(rows[0]))


def _labels(frame: pd.DataFrame, name: str, given: str | None) -> object:
    if given is not None:
        return given
    if name not in frame.columns:
        raise InvalidInput(name, None, f"pass {name}=..., or add a {name} column")
    codes, words = pd.factorize(frame[name])
    _refuse(codes < 0, frame[name], name, f"give every row a {name}")
    return codes, [str(word) for word in words]
