"""Time: one conversion, whatever the unit; and clocks that have one way."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit.clock import (
    NS_PER_MS,
    NS_PER_S,
    Clock,
    LiveClock,
    ReplayClock,
    column_to_ns,
    from_ns,
    to_ns,
)
from execkit.errors import InvalidInput

MOMENT = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        np.int64(MOMENT),
        pd.Timestamp(MOMENT, tz="UTC"),
        pd.Timestamp(MOMENT, tz="UTC").tz_convert("Asia/Tokyo"),
        "2023-11-14T22:13:20.123456789Z",
        "2023-11-14T23:13:20.123456789+01:00",
    ],
)
def test_one_moment_is_one_number_however_it_is_written(value: object) -> None:
    assert to_ns(value) == MOMENT


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_that_pandas_stores_does_not_matter(unit: str) -> None:
    stamp = pd.Timestamp("2024-02-29T12:00:00", tz="UTC").as_unit(unit)
    expected = 1_709_208_000 * NS_PER_S
    assert to_ns(stamp) == expected
    series = pd.Series([stamp]).dt.as_unit(unit)
    assert column_to_ns(series).tolist() == [expected]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (datetime(2024, 1, 1), "has no zone"),  # noqa: DTZ001 - that is the point
        ("2024-01-01", "has no zone"),
        ("yesterday-ish", "not a time"),
        (pd.NaT, "not a time"),
        ("NaT", "not a time"),
        (1.7e18, "pass integer"),
        (True, "pass integer"),
        (None, "pass integer"),
        (date(2024, 1, 1), "pass integer"),
        (np.datetime64("2024-01-01"), "pass integer"),
    ],
)
def test_what_is_not_a_certain_moment_is_refused(value: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        to_ns(value, "when")


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - zoned below
    st.integers(-14 * 60, 14 * 60),
)
def test_microseconds_are_kept_exactly_in_every_zone(naive: datetime, minutes: int) -> None:
    zoned = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    span = zoned - datetime(1970, 1, 1, tzinfo=UTC)
    exact = (span.days * 86_400 + span.seconds) * NS_PER_S + span.microseconds * 1000
    assert to_ns(zoned) == exact
    assert column_to_ns([zoned]).tolist() == [exact]


def test_a_bad_row_of_a_column_is_named() -> None:
    good = pd.Timestamp(MOMENT, tz="UTC")
    with pytest.raises(InvalidInput, match="in row 1"):
        column_to_ns(pd.Series([good, pd.NaT]), "time")
    with pytest.raises(InvalidInput, match=r"time = 'soon' in row 2"):
        column_to_ns([MOMENT, MOMENT, "soon"], "time")
    with pytest.raises(InvalidInput, match="in row 0"):
        column_to_ns(pd.Series([datetime(2024, 1, 1)]), "time")  # noqa: DTZ001 - that is the point
    with pytest.raises(InvalidInput, match="in row 1"):
        column_to_ns(pd.Series([1, None], dtype="Int64"), "time")


@given(st.lists(st.integers(0, 2**62), max_size=20))
def test_numbers_go_to_times_and_back_unchanged(values: list[int]) -> None:
    series = from_ns(np.array(values, dtype=np.int64))
    assert str(series.dtype) == "datetime64[ns, UTC]"
    assert column_to_ns(series).tolist() == values
    assert column_to_ns(np.array(values, dtype=np.int64)).tolist() == values


def test_a_converted_column_is_not_a_view_of_its_source() -> None:
    series = from_ns(np.array([5]))
    out = column_to_ns(series)
    out[0] = 9
    assert column_to_ns(series).tolist() == [5]


def test_both_clocks_are_clocks() -> None:
    assert isinstance(LiveClock(), Clock)
    assert isinstance(ReplayClock(), Clock)


def test_the_live_clock_is_utc_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LiveClock()
    assert abs(clock.now_ns() - time.time_ns()) < NS_PER_S
    first = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: 0)  # somebody set the system clock back
    assert clock.now_ns() >= first


def test_sleeping_on_the_live_clock_takes_the_time_it_says() -> None:
    clock = LiveClock()
    until = clock.now_ns() + 20 * NS_PER_MS
    asyncio.run(clock.sleep_until(until))
    assert clock.now_ns() >= until
    asyncio.run(clock.sleep_until(0))  # the past has been reached


def test_the_replay_clock_moves_only_when_it_is_moved_and_only_forward() -> None:
    clock = ReplayClock(5)
    assert clock.now_ns() == 5
    clock.advance_to(5)
    clock.advance_to(9)
    with pytest.raises(InvalidInput, match="the clock is already at 9"):
        clock.advance_to(8)


def test_a_sleeper_on_the_replay_clock_wakes_when_its_time_is_reached() -> None:
    async def scenario() -> list[int]:
        clock, woke = ReplayClock(), []

        async def sleeper(until: int) -> None:
            await clock.sleep_until(until)
            woke.append(until)

        tasks = [asyncio.create_task(sleeper(until)) for until in (20, 10)]
        for now in (5, 10, 25):
            await asyncio.sleep(0)
            clock.advance_to(now)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return woke

    assert asyncio.run(scenario()) == [10, 20]
