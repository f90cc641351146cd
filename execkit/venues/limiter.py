"""Limiter: when a request may go out. Cancels first, orders next, look-ups, data last.

An exchange allows so much of each budget in any stretch of time, and bans who takes more. Budgets
are counted as it counts them, over a sliding window: idle time costs nothing, and no window ever
holds more than its budget. A share of every budget, and of the places in flight, is kept for
cancels: what takes risk away never waits behind what adds it.

Only who is let through signs its request, so that a signature is never old when it leaves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil
from typing import Protocol

from execkit.clock import NS_PER_S
from execkit.errors import RetryLater


class Lane(IntEnum):
    """Who goes first. Only `CANCEL` may use what is kept in reserve."""

    CANCEL = 0
    ORDER = 1
    LOOKUP = 2  # what became of an order, what is held
    DATA = 3


class BudgetLike(Protocol):
    """`capacity` units in any `per_ns`."""

    @property
    def name(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def per_ns(self) -> int: ...


class Window:
    """What was taken of one budget in the last `per_ns`. Times are ns of one monotonic clock."""

    def __init__(self, capacity: int, per_ns: int, reserve: int = 0) -> None:
        self.capacity, self.per_ns = capacity, per_ns
        self.reserve = min(reserve, capacity - 1)
        self.used = 0
        self._taken: deque[tuple[int, int]] = deque()

    def ready_ns(self, cost: int, now_ns: int, *, urgent: bool = False) -> int:
        """The first time at which `cost` can be taken; `now_ns` if at once. What costs more than
        there is goes when the window is empty."""
        self._forget(now_ns)
        room = self.capacity if urgent else self.capacity - self.reserve
        over = self.used + min(cost, room) - room
        ready_ns = now_ns
        for taken_ns, units in self._taken:
            if over <= 0:
                break
            over -= units
            ready_ns = taken_ns + self.per_ns
        return ready_ns

    def take(self, cost: int, now_ns: int) -> None:
        self._taken.append((now_ns, cost))
        self.used += cost

    def _forget(self, now_ns: int) -> None:
        while self._taken and self._taken[0][0] + self.per_ns <= now_ns:
            self.used -= self._taken.popleft()[1]


@dataclass(eq=False)
class _Waiter:
    lane: Lane
    costs: Mapping[str, int]
    turn: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Limiter:
    """The gate that every request of one venue and key goes through.

    Parameters
    ----------
    budgets : what the exchange allows; none lets everything through at once.
    reserve : the share of each budget that only cancels may use.
    in_flight : requests at a time; `spare` more are for cancels only.
    """

    def __init__(
        self,
        budgets: Sequence[BudgetLike] = (),
        *,
        reserve: float = 0.1,
        in_flight: int = 32,
        spare: int = 8,
    ) -> None:
        self.windows = {
            b.name: Window(b.capacity, b.per_ns, ceil(b.capacity * reserve)) for b in budgets
        }
        self.in_flight, self.spare = in_flight, spare
        self.flying = 0
        self.paused_until_ns = 0
        self._waiting: dict[Lane, deque[_Waiter]] = {lane: deque() for lane in Lane}
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def now_ns() -> int:
        """The event loop's own time."""
        return round(asyncio.get_running_loop().time() * NS_PER_S)

    def pause(self, for_s: float) -> None:
        """The exchange said when to come back: nothing goes out before, cancels neither."""
        until_ns = self.now_ns() + round(for_s * NS_PER_S)
        self.paused_until_ns = max(self.paused_until_ns, until_ns)

    @property
    def waiting(self) -> int:
        return sum(len(lane) for lane in self._waiting.values())

    @asynccontextmanager
    async def turn(
        self, lane: Lane, costs: Mapping[str, int] | None = None, *, within_s: float = 30.0
    ) -> AsyncIterator[None]:
        """Wait for a turn and hold a place in flight. `RetryLater` if none came `within_s`: nothing
        was sent. Costs of unknown budgets are free."""
        known = {name: cost for name, cost in (costs or {}).items() if name in self.windows}
        if not self._let_through(lane, known):
            await self._wait(_Waiter(lane, known), within_s)
        try:
            yield
        finally:
            self.flying -= 1
            self._serve()

    async def _wait(self, waiter: _Waiter, within_s: float) -> None:
        queue = self._waiting[waiter.lane]
        queue.append(waiter)
        self._serve()
        try:
            async with asyncio.timeout(within_s):
                await waiter.turn
        except BaseException as error:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.flying -= 1  # it was let through, and leaves all the same
            else:
                queue.remove(waiter)
            self._serve()
            if isinstance(error, TimeoutError):
                raise RetryLater(f"no turn within {within_s:g} s: rate limit") from None
            raise

    def _ahead(self, lane: Lane) -> bool:
        return any(self._waiting[other] for other in Lane if other <= lane)

    def _let_through(self, lane: Lane, costs: Mapping[str, int]) -> bool:
        """Take a turn at once, if there is one and nobody is ahead."""
        if self._ahead(lane):
            return False
        now_ns = self.now_ns()
        if self._ready_ns(lane, costs, now_ns) > now_ns:
            return False
        self._take(costs, now_ns)
        return True

    def _ready_ns(self, lane: Lane, costs: Mapping[str, int], now_ns: int) -> int:
        """When it may go, `_NEVER` while that depends on an answer to come."""
        urgent = lane is Lane.CANCEL
        if self.flying >= self.in_flight + (self.spare if urgent else 0):
            return _NEVER
        ready_ns = max(now_ns, self.paused_until_ns)
        for name, cost in costs.items():
            ready_ns = max(ready_ns, self.windows[name].ready_ns(cost, now_ns, urgent=urgent))
        return ready_ns

    def _take(self, costs: Mapping[str, int], now_ns: int) -> None:
        self.flying += 1
        for name, cost in costs.items():
            self.windows[name].take(cost, now_ns)

    def _serve(self) -> None:
        """Let through who may go, lane by lane; a budget that a lane waits for is not for later
        lanes. Within a lane, first come, first served."""
        now_ns, wake_ns = self.now_ns(), _NEVER
        wanted: set[str] = set()
        for lane, queue in self._waiting.items():
            while queue:
                waiter = queue[0]
                if waiter.turn.done():  # cancelled; its owner is about to take it out
                    break
                ready_ns = self._ready_ns(lane, waiter.costs, now_ns)
                if ready_ns > now_ns or wanted & waiter.costs.keys():
                    wanted |= waiter.costs.keys()
                    wake_ns = min(wake_ns, ready_ns)
                    break
                queue.popleft()
                self._take(waiter.costs, now_ns)
                waiter.turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_ns < _NEVER:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(wake_ns / NS_PER_S + 1e-6, self._serve)


_NEVER = 2**62
