"""Waiting for an event of the loop, for a while."""

from __future__ import annotations

import asyncio


async def came(event: asyncio.Event, within_s: float | None) -> bool:
    """Whether `event` is set, or gets set within `within_s` seconds (None: however long it takes).

    `asyncio.wait_for` of Python 3.11 loses the cancel of a task that comes in the moment in which
    the event is set: a loop that waits with it may then never end, and neither who ends it.
    """
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
