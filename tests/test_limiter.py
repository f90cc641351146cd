"""The limiter: budgets are never exceeded in any window, and cancels never wait behind orders."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit.clock import NS_PER_S
from execkit.errors import RetryLater
from execkit.venues.limiter import Lane, Limiter, Window
from execkit.venues.quirks import Budget

LONG = Budget("orders", 4, 3600 * NS_PER_S)


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 8)), max_size=60),
)
def test_no_stretch_of_time_holds_more_than_the_budget(
    capacity: int, asked: list[tuple[int, int]]
) -> None:
    window, now, taken = Window(capacity, 100), 0, []
    for wait, cost in asked:
        now = window.ready_ns(cost, now + wait)
        window.take(cost, now)
        taken.append((now, cost))

    for start, first in taken:
        inside = sum(cost for at, cost in taken if start <= at < start + 100)
        assert inside <= max(capacity, first)


@given(st.integers(2, 20), st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_idle_time_costs_nothing(capacity: int, waits: list[int]) -> None:
    """A budget that was left alone for a window is whole, however long before it was used up."""
    window, now = Window(capacity, 100), 0
    for wait in waits:
        now += wait
        window.take(1, window.ready_ns(1, now))

    later = now + 100 * len(waits) + 100
    assert window.ready_ns(capacity, later) == later


def test_the_reserve_is_for_the_urgent() -> None:
    window = Window(10, 100, reserve=3)
    window.take(7, 0)

    assert window.ready_ns(1, 1) == 100
    assert window.ready_ns(3, 1, urgent=True) == 1


async def test_a_cancel_goes_before_orders_that_came_first_and_data_comes_last() -> None:
    limiter, order = Limiter(in_flight=1, spare=0), []

    async def request(lane: Lane) -> None:
        async with limiter.turn(lane):
            order.append(lane)
            await asyncio.sleep(0)

    async with limiter.turn(Lane.DATA):
        waiting = [Lane.DATA, Lane.LOOKUP, Lane.ORDER, Lane.ORDER, Lane.CANCEL]
        tasks = [asyncio.create_task(request(lane)) for lane in waiting]
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*tasks)

    assert order == sorted(waiting)


async def test_cancels_have_places_in_flight_of_their_own() -> None:
    limiter = Limiter(in_flight=1, spare=1)
    async with limiter.turn(Lane.ORDER):
        async with limiter.turn(Lane.CANCEL, within_s=1):
            assert limiter.flying == 2
        with pytest.raises(RetryLater):
            async with limiter.turn(Lane.ORDER, within_s=0.01):
                pass

    assert (limiter.flying, limiter.waiting) == (0, 0)


async def test_orders_wait_for_their_budget_and_cancels_use_the_reserve() -> None:
    limiter = Limiter([LONG], reserve=0.25)
    for _ in range(3):
        async with limiter.turn(Lane.ORDER, {"orders": 1}):
            pass
    with pytest.raises(RetryLater, match="rate limit"):
        async with limiter.turn(Lane.ORDER, {"orders": 1}, within_s=0.01):
            pass

    async with limiter.turn(Lane.CANCEL, {"orders": 1}, within_s=0.01):
        assert limiter.windows["orders"].used == 4


async def test_a_lane_that_waits_for_one_budget_does_not_stop_another_that_needs_none() -> None:
    limiter = Limiter([LONG], reserve=0)
    async with limiter.turn(Lane.ORDER, {"orders": 4}):
        pass
    blocked = asyncio.create_task(_hold(limiter, Lane.ORDER, {"orders": 1}))
    await asyncio.sleep(0)
    async with limiter.turn(Lane.DATA, {}, within_s=0.5):
        assert limiter.waiting == 1
    with pytest.raises(RetryLater):  # but what the order waits for is not taken from under it
        async with limiter.turn(Lane.DATA, {"orders": 1}, within_s=0.01):
            pass
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)

    assert limiter.waiting == 0


async def test_after_too_many_requests_nothing_goes_out_before_its_time_not_even_a_cancel() -> None:
    limiter = Limiter()
    limiter.pause(0.1)
    with pytest.raises(RetryLater):
        async with limiter.turn(Lane.CANCEL, within_s=0.02):
            pass
    async with limiter.turn(Lane.CANCEL, within_s=5):
        assert limiter.now_ns() >= limiter.paused_until_ns


async def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    limiter = Limiter(in_flight=1, spare=0)
    async with limiter.turn(Lane.ORDER):
        tasks = [asyncio.create_task(_hold(limiter, Lane.ORDER, {})) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert limiter.waiting == 1
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [task.cancelled() for task in tasks] == [True, False, True]
    assert (limiter.flying, limiter.waiting) == (0, 0)


async def test_a_turn_that_is_given_to_somebody_who_just_left_goes_on_to_the_next() -> None:
    limiter = Limiter(in_flight=1, spare=0)
    async with limiter.turn(Lane.ORDER):
        first, second = (asyncio.create_task(_hold(limiter, Lane.ORDER, {})) for _ in range(2))
        await asyncio.sleep(0)
    first.cancel()  # it has its turn, and has not run yet
    await asyncio.wait_for(second, 5)

    assert first.cancelled()
    assert (limiter.flying, limiter.waiting) == (0, 0)


async def _hold(limiter: Limiter, lane: Lane, costs: dict[str, int]) -> None:
    async with limiter.turn(lane, costs):
        await asyncio.sleep(0)
