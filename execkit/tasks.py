"""Tasks: the background work of an engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


async def uncut(work: Coroutine[Any, Any, _T], *, here: bool = False) -> _T:
    """Wait for `work`; a cancelled caller does not cancel it.

    here : begin in the caller's own task, and make another one only if the work has to wait. That
    is for work that asks for no task of its own (timeouts do), and costs a tenth.
    """
    if not here:
        return await asyncio.shield(work)
    try:
        first = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return await asyncio.shield(_finish(work, first))


async def _finish(work: Coroutine[Any, Any, _T], awaited: object) -> _T:
    return await _resume(work, awaited)


@coroutine
def _resume(work: Coroutine[Any, Any, _T], awaited: object) -> Generator[Any, Any, _T]:
    """`yield from work`, whose first step was taken elsewhere and waits for `awaited`."""
    try:
        while True:
            try:
                answer = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the work's to deal with
                awaited = work.throw(error)
            else:
                awaited = work.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


class Tasks:
    """Background work of one engine, kept alive until it is done, and awaited at will.

    on_error : told of every error of a task when it happens. `settle` raises the first one too.
    """

    def __init__(self) -> None:
        self.on_error: Callable[[BaseException], None] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []
        self._asleep: dict[asyncio.Future[None], asyncio.Task[Any]] = {}
        self._settling: list[asyncio.Future[None]] = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("background work failed", exc_info=error)
            self._errors.append(error)
            if self.on_error is not None:
                self.on_error(error)

    @property
    def idle(self) -> bool:
        """Whether `settle` would return at once."""
        return not self._running and not self._errors

    async def settle(self) -> None:
        """Return when nothing is running that does not sleep; raise the first error since the
        last call."""
        while busy := self._running - {t for w, t in self._asleep.items() if not w.done()}:
            slept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append(slept)
            await asyncio.wait({*busy, slept}, return_when=asyncio.FIRST_COMPLETED)
            self._settling.remove(slept)
        if self._errors:
            error, self._errors = self._errors[0], []
            raise error

    async def sleep(self, woken: asyncio.Future[None]) -> None:
        """Wait for `woken`. A task of ours that does so is one that `settle` does not wait for."""
        task = asyncio.current_task()
        if task is not None and task in self._running:
            self._asleep[woken] = task
            for settling in self._settling:
                if not settling.done():
                    settling.set_result(None)
        try:
            await woken
        finally:
            self._asleep.pop(woken, None)

    def end_sleep(self) -> None:
        """Cancel what sleeps: the time that it waits for will not come."""
        for task in list(self._asleep.values()):
            task.cancel()
