"""Time: the one conversion to nanoseconds, and the clocks an engine can run on.

Every time inside execkit is an int64 count of UTC nanoseconds since 1970. pandas 3 stores times in
microseconds by default, so a plain ``astype("int64")`` is wrong by a factor of 1000; `to_ns` is
the only conversion, and a lint test forbids the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from execkit.errors import InvalidInput

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def to_ns(value: object, field: str = "time") -> int:
    """UTC nanoseconds of one moment.

    Parameters
    ----------
    value : int (already ns), a tz-aware `datetime`, `pd.Timestamp` or ISO 8601 text with an offset.
    field : name used in the error.

    Raises
    ------
    InvalidInput : naive, unparsable, or not a moment (NaT, NaN, bool, float).
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if not isinstance(value, (datetime, str, np.datetime64)) or isinstance(value, np.datetime64):
        raise InvalidInput(field, value, "pass integer UTC nanoseconds or a tz-aware datetime")
    try:
        stamp = pd.Timestamp(value)
    except ValueError as error:
        raise InvalidInput(field, value, f"not a time ({error})") from None
    if pd.isna(stamp):
        raise InvalidInput(field, value, "not a time")
    if stamp.tzinfo is None:
        raise InvalidInput(
            field, value, "the time has no zone; add one, e.g. .replace(tzinfo=datetime.UTC)"
        )
    return int(stamp.as_unit("ns").value)


def column_to_ns(values: object, field: str = "time") -> np.ndarray:
    """UTC nanoseconds of a column, as an int64 array of shape (n,).

    Accepts integers (already ns) and tz-aware pandas datetimes of any unit. Raises `InvalidInput`
    naming the first bad row for naive times, NaT and anything that is not a time.
    """
    series = pd.Series(values)  # type: ignore[call-overload]
    if pd.api.types.is_integer_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=np.int64)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        bad = np.flatnonzero(series.isna().to_numpy())
        if len(bad):
            raise InvalidInput(field, pd.NaT, "not a time", row=int(bad[0]))
        utc = series.dt.tz_convert("UTC").dt.as_unit("ns")
        return utc.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").view(np.int64).copy()
    out = np.empty(len(series), dtype=np.int64)
    for row, value in enumerate(series):
        try:
            out[row] = to_ns(value, field)
        except InvalidInput as error:
            raise InvalidInput(field, value, error.fix, row=row) from None
        except OverflowError:
            raise InvalidInput(field, value, "no int64 holds it", row=row) from None
    return out


def from_ns(ts_ns: object) -> pd.Series:
    """tz-aware UTC datetimes (nanosecond unit) of an int64 column of nanoseconds."""
    stamps = np.asarray(ts_ns, dtype=np.int64).view("datetime64[ns]")
    return pd.Series(stamps).dt.tz_localize("UTC")


@runtime_checkable
class Clock(Protocol):
    """What the engine asks of time. It never asks which clock it runs on."""

    def now_ns(self) -> int:
        """Current UTC time in nanoseconds."""
        ...

    async def sleep_until(self, ts_ns: int) -> None:
        """Return when the clock has reached `ts_ns`."""
        ...


class LiveClock:
    """Wall-clock time; never goes backwards even when the system clock is stepped. All of one
    process show the same time: what one stamps is never in the future of another."""

    _base_ns, _start_ns = time.time_ns(), time.monotonic_ns()

    def now_ns(self) -> int:
        return self._base_ns + time.monotonic_ns() - self._start_ns

    async def sleep_until(self, ts_ns: int) -> None:
        while (left := ts_ns - self.now_ns()) > 0:
            await asyncio.sleep(left / NS_PER_S)


class ReplayClock:
    """Virtual time over recorded data: moved by whoever replays, as fast as the machine allows."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = int(start_ns)
        self.sleeper: Callable[[int], Awaitable[None]] | None = None  # set by who moves the time

    def now_ns(self) -> int:
        return self._now_ns

    def advance_to(self, ts_ns: int) -> None:
        """Move to `ts_ns`; moving back raises `InvalidInput`, for replayed time has one way."""
        if ts_ns < self._now_ns:
            raise InvalidInput("ts_ns", ts_ns, f"the clock is already at {self._now_ns}")
        self._now_ns = int(ts_ns)

    async def sleep_until(self, ts_ns: int) -> None:
        """In an engine's replay: woken at `ts_ns` sharp. Raises `InvalidInput` where the replay
        itself would have to wait for it, which is inside `on_time`."""
        while self._now_ns < ts_ns:
            await (asyncio.sleep(0) if self.sleeper is None else self.sleeper(ts_ns))
