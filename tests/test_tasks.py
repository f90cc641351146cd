"""Work that a cancelled caller does not cut, wherever it began."""

from __future__ import annotations

import asyncio

import pytest

from execkit.tasks import Tasks, uncut


@pytest.mark.parametrize("here", [False, True])
def test_work_goes_on_when_its_caller_is_cancelled(here: bool) -> None:
    async def scenario() -> None:
        go, told = asyncio.Event(), []

        async def work() -> str:
            await go.wait()
            await asyncio.sleep(0)
            told.append("done")
            return "answer"

        caller = asyncio.create_task(uncut(work(), here=here))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert not told
        go.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert told == ["done"]

    asyncio.run(scenario())


@pytest.mark.parametrize("waits", [0, 1, 3])
@pytest.mark.parametrize("here", [False, True])
def test_the_answer_or_the_error_comes_back_however_often_it_waits(here: bool, waits: int) -> None:
    async def work(fails: bool) -> int:
        for _ in range(waits):
            await asyncio.sleep(0)
        if fails:
            raise KeyError("no")
        return waits

    assert asyncio.run(uncut(work(False), here=here)) == waits
    with pytest.raises(KeyError):
        asyncio.run(uncut(work(True), here=here))


def test_what_the_work_catches_while_it_waits_is_thrown_into_it() -> None:
    async def scenario() -> str:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, KeyError("later"))

        async def work() -> str:
            try:
                await failing
            except KeyError as error:
                return str(error.args[0])
            return "nothing"

        return await uncut(work(), here=True)

    assert asyncio.run(scenario()) == "later"


def test_work_that_does_not_wait_needs_no_task() -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()

        async def work() -> set[asyncio.Task[object]]:
            return asyncio.all_tasks()

        assert await uncut(work(), here=True) == before
        assert len(await uncut(work())) == len(before) + 1

    asyncio.run(scenario())


def test_tasks_are_idle_until_something_runs_or_failed() -> None:
    async def scenario() -> None:
        tasks = Tasks()
        assert tasks.idle

        async def work() -> None:
            raise KeyError("no")

        tasks.spawn(work())
        assert not tasks.idle
        with pytest.raises(KeyError):
            await tasks.settle()
        assert tasks.idle

    asyncio.run(scenario())
