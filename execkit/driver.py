"""Driver: one queue of venue updates, one writer that applies them, and what moves time.

Venues only enqueue. An update is applied when the clock has reached its `local_ts_ns`, in the order
of that time and then of arrival, so the delay of an answer is real on every clock. On a ReplayClock
the driver itself moves venues and clock, from one event to the next, the same way every time; on
any other clock a task does, with the time that passes.

What the engine does at a time (timers, answers that arrive) it does before the market moves at that
time: it cannot know what a quote of the same nanosecond says.

Venues do not see each other. With several of them each step goes to the earliest next market event;
an order that acts between two market events of one venue (latency) can leave another venue ahead by
at most that step.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import logging
from collections.abc import Callable, Sequence

from execkit.clock import NS_PER_S, Clock, LiveClock, ReplayClock
from execkit.errors import InvalidInput
from execkit.tasks import Tasks
from execkit.venues.base import ReplayVenue, Venue, VenueUpdate
from execkit.waiting import came

_log = logging.getLogger(__name__)

END = 2**62  # later than any time
_TURN = 256  # steps of a replay after which other tasks of the event loop have their turn
OnTime = Callable[[int], object]


class Driver:
    """Parameters
    ----------
    apply : takes each batch of updates that are due, in order. It must not wait.
    under_way : whether something sent has not been answered: the data's end waits for it.
    tick_s : how often paper venues are moved on a live clock.
    """

    def __init__(
        self,
        clock: Clock,
        venues: Sequence[Venue],
        tasks: Tasks,
        apply: Callable[[list[VenueUpdate]], None],
        under_way: Callable[[], bool],
        *,
        tick_s: float = 0.02,
    ) -> None:
        self.clock, self.tasks, self.apply, self.tick_s = clock, tasks, apply, tick_s
        self.under_way = under_way
        self.paper = [venue for venue in venues if isinstance(venue, ReplayVenue)]
        self.replays = isinstance(clock, ReplayClock)
        if self.replays and len(self.paper) < len(venues):
            names = ", ".join(venue.name for venue in venues if venue not in self.paper)
            raise InvalidInput("clock", "ReplayClock", f"these venues cannot be replayed: {names}")
        self.driving = False
        self._ahead: dict[str, int] = {}  # how far each venue has run
        self._count = 0
        self._inbox: list[tuple[int, int, VenueUpdate]] = []
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._wake = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._mover: asyncio.Task[object] | None = None  # who runs the replay
        if isinstance(clock, ReplayClock):
            clock.sleeper = self._sleep

    def receive(self, update: VenueUpdate) -> None:
        """Enqueue; applied by the writer."""
        self._count += 1
        heapq.heappush(self._inbox, (update.local_ts_ns, self._count, update))
        self._wake.set()

    def at(self, ts_ns: int, action: Callable[[], None]) -> None:
        """Run `action` when the clock has reached `ts_ns`."""
        self._count += 1
        heapq.heappush(self._timers, (ts_ns, self._count, action))
        self._wake.set()

    def wake(self) -> None:
        """Something was sent: a paper venue on a live clock has it now, not at the next tick."""
        self._wake.set()

    async def _sleep(self, ts_ns: int) -> None:
        if self.driving and asyncio.current_task() is self._mover:
            fix = "time moves when on_time returns; act at a later call, or use engine.schedule"
            raise InvalidInput("sleep_until", ts_ns, fix)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.at(ts_ns, lambda: None if woken.done() else woken.set_result(None))
        await self.tasks.sleep(woken)

    # -- the writer -------------------------------------------------------------------------

    def _write(self) -> bool:
        """Apply what is due and run the timers that are due; whether there was anything."""
        now_ns, batch, ran = self.clock.now_ns(), [], False
        while self._inbox and self._inbox[0][0] <= now_ns:
            batch.append(heapq.heappop(self._inbox)[2])
        if batch:
            self.apply(batch)
        while self._timers and self._timers[0][0] <= now_ns:
            heapq.heappop(self._timers)[2]()
            ran = True
        if batch or ran:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()
        return bool(batch) or ran

    async def _pump(self) -> bool:
        """Write until nothing is due and no task is running."""
        worked, idle = False, self.tasks.idle
        while not idle or self._write():
            worked = worked or idle
            if not self.tasks.idle:
                await self.tasks.settle()
            idle = True
        return worked

    def _next_due(self, *, timers: bool = True) -> int:
        due = self._inbox[0][0] if self._inbox else END
        return min(due, self._timers[0][0]) if timers and self._timers else due

    # -- replayed time ----------------------------------------------------------------------

    async def drive(
        self,
        until_ns: int | None = None,
        *,
        on_time: OnTime | None = None,
        every_ns: int = 0,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Move market and clock to `until_ns` (None = the end of the data, answers included)."""
        clock = self.clock
        if not isinstance(clock, ReplayClock):
            raise InvalidInput("clock", type(clock).__name__, "only a ReplayClock can be driven")
        if self.driving:
            raise InvalidInput("replay", "inside a replay", "let the running replay move time")
        if until_ns is not None and until_ns < clock.now_ns():
            raise InvalidInput("until_ns", until_ns, f"the clock is already at {clock.now_ns()}")
        self.driving, self._mover = True, asyncio.current_task()
        try:
            end = max(self._last_market_ns(), clock.now_ns()) if until_ns is None else until_ns
            await self._drive(clock, end, on_time, every_ns, stop)
            while until_ns is None and (self._inbox or self.under_way()):
                if not await self._answer(clock):
                    break
        finally:
            self.driving = False

    async def _drive(
        self,
        clock: ReplayClock,
        end: int,
        on_time: OnTime | None,
        every_ns: int,
        stop: Callable[[], bool] | None,
    ) -> None:
        call_ns = steps = 0
        await self._pump()
        while not (stop and stop()):
            steps += 1
            if steps % _TURN == 0:
                await asyncio.sleep(0)
            now_ns, market = clock.now_ns(), self.next_market_ns()
            horizon = end
            if len(self.paper) > 1:
                horizon = min(end, market)
            elif on_time:
                horizon = min(end, max(market, call_ns))
            before = self._count
            reached = self._step(clock, max(horizon, now_ns))
            worked = await self._pump() or self._count != before
            if on_time and market <= reached and reached >= call_ns:
                call_ns, worked = reached + every_ns, True
                answer = on_time(clock.now_ns())
                if answer is not None and inspect.isawaitable(answer):
                    await answer
                await self._pump()
            if reached >= end and not worked:
                return

    def _step(self, clock: ReplayClock, horizon: int) -> int:
        """Move venues and clock to `horizon`, the first thing that happens at a venue, or the first
        thing that is due here, whichever comes first; return the time up to which venues ran."""
        due = self._next_due()
        early = due <= horizon
        target, before = due - 1 if early else horizon, self._count
        reached = self._advance(target) if target >= clock.now_ns() else target
        quiet = reached == target and self._count == before
        clock.advance_to(max(clock.now_ns(), due if early and quiet else reached))
        return reached

    async def _answer(self, clock: ReplayClock) -> bool:
        """After the end of the data: go to the next answer; False if there is none to come."""
        before, due = self._count, self._next_due(timers=False)
        reached = self._advance(due if due < END else END)
        if reached == END and self._count == before:
            return False
        clock.advance_to(max(clock.now_ns(), min(reached, due)))
        await self._pump()
        return True

    def _advance(self, until_ns: int) -> int:
        """Move the venues to `until_ns` or the first moment that has an update."""
        for venue in self.paper:
            if self._ahead.get(venue.name, -1) <= until_ns:
                until_ns = self._ahead[venue.name] = venue.advance(until_ns)
        return until_ns

    def next_market_ns(self) -> int:
        """Time of the earliest market event not yet run, `END` if there is none."""
        found = [venue.next_market_ns() for venue in self.paper]
        return min((ts_ns for ts_ns in found if ts_ns is not None), default=END)

    def _last_market_ns(self) -> int:
        found = [venue.last_market_ns() for venue in self.paper]
        return max((ts_ns for ts_ns in found if ts_ns is not None), default=0)

    # -- passing time -----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to apply updates with the time that passes; nothing to do on a ReplayClock."""
        if not self.replays and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.tasks.end_sleep()
        await self.tasks.settle()
        self._write()

    def _advance_all(self, until_ns: int) -> None:
        for venue in self.paper:
            while venue.advance(until_ns) < until_ns:
                pass

    async def _run(self) -> None:
        while True:
            now_ns = self.clock.now_ns()
            for work in (lambda: self._advance_all(self.clock.now_ns()), self._write):
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - fills must go on being applied
                    _log.exception("the writer failed")
                    if self.tasks.on_error is not None:
                        self.tasks.on_error(error)
            due = min(self._next_due(timers=True), now_ns + round(self.tick_s * NS_PER_S))
            self._wake.clear()
            left_s = (due - self.clock.now_ns()) / NS_PER_S
            if left_s > 0:
                await came(self._wake, left_s)
            else:
                await asyncio.sleep(0)

    async def wait_until(self, done: Callable[[], bool], deadline_ns: int) -> None:
        """Return when `done()` or at the deadline. Outside a replay this moves replayed time;
        inside one it returns at once, because time moves only when the strategy returns."""
        if self.driving or done():
            return
        if self.replays:
            await self.drive(deadline_ns, stop=done)
            return
        while not done() and (left_ns := deadline_ns - self.clock.now_ns()) > 0:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_ns / NS_PER_S):
                    await waiting


def default_clock(venues: Sequence[Venue]) -> Clock:
    """Over recorded markets a ReplayClock at the first market event, else a LiveClock."""
    paper = [venue for venue in venues if isinstance(venue, ReplayVenue)]
    for venue in paper:
        open_markets(venue)
    starts = [ts_ns for venue in paper if (ts_ns := venue.next_market_ns()) is not None]
    return ReplayClock(min(starts)) if starts and len(paper) == len(venues) else LiveClock()


def open_markets(venue: Venue) -> None:
    """Ask for every symbol once: a venue may open a market only when somebody looks at it."""
    for symbol in venue.instruments:
        venue.quote(symbol)
