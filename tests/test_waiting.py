"""Waiting for an event never loses a cancel."""

from __future__ import annotations

import asyncio

import pytest

from execkit.waiting import came


async def test_what_comes_in_time_came_and_what_does_not_did_not() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await came(event, 10)
    assert await came(event, 0)
    assert not await came(asyncio.Event(), 0.001)


async def test_without_a_limit_it_waits_until_the_event_comes() -> None:
    event = asyncio.Event()
    waits = asyncio.create_task(came(event, None))
    await asyncio.sleep(0)
    assert not waits.done()
    event.set()
    assert await waits


async def test_a_cancel_in_the_moment_in_which_the_event_comes_is_not_lost() -> None:
    event = asyncio.Event()
    waits = asyncio.create_task(came(event, 10))
    for _ in range(2):
        await asyncio.sleep(0)
    event.set()  # the task is about to be woken, and has not run
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
