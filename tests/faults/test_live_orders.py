"""Orders over the real client and real sockets: none is lost or doubled, whatever the wire does.

Ids are those of the fault catalogue. Each case is judged by the exchange's own books.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import execkit as ek
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import quiet
from tests.helpers.engined import engine_at, order, priced, resting, same_books, until


def test_a_market_order_fills_and_a_limit_order_rests_and_is_canceled(tmp_path: Path) -> None:
    async def run() -> None:
        async with Rehearsal("binance", market=quiet()) as r:
            async with engine_at(r, tmp_path) as engine:
                await priced(r, engine)
                bought = order("buy", "market", "0.01")
                result = await engine.submit_order(bought, "binance")
                assert result.success, result.error
                await until(lambda: bought.is_done)
                assert bought.status is ek.ExecutionStatus.FILLED
                sent = await resting(engine)
                await engine.order_manager.cancel_order(sent)
                await until(lambda: sent.is_done)
                assert sent.status is ek.ExecutionStatus.CANCELED
            same_books(r, engine, tmp_path)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("verb", "more"),
    [("reset", {}), ("drop", {}), ("truncate", {"size": 40}), ("http", {"status": 502})],
    ids=["A01-reset", "A01-closed", "A05-cut", "A07-502"],
)
@pytest.mark.parametrize("kind", ["limit", "market"])
def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    tmp_path: Path, verb: str, more: dict[str, object], kind: str
) -> None:
    async def run() -> None:
        async with Rehearsal("binance", market=quiet()) as r:
            async with engine_at(r, tmp_path) as engine:
                await priced(r, engine)
                r.faults.after("create", verb, **more)
                sent = order("buy", kind, "0.01", "45000" if kind == "limit" else None)
                await engine.submit_order(sent, "binance")
                wanted = "OPEN" if kind == "limit" else "FILLED"
                await until(lambda: sent.status is ek.ExecutionStatus[wanted])
            assert len(r.exchange.snapshot()["orders"]) == 1
            same_books(r, engine, tmp_path)

    asyncio.run(run())


def test_fault_C20_a_fill_that_the_stream_dropped_is_found_by_asking(tmp_path: Path) -> None:
    async def run() -> None:
        async with Rehearsal("binance", market=quiet()) as r:
            async with engine_at(r, tmp_path) as engine:
                await priced(r, engine)
                sent = await resting(engine)
                r.faults.stream("", "drop", times=None)
                booked = r.exchange.snapshot()["orders"][0]
                r.exchange.force_fill("main", booked.order_id)
                await until(lambda: sent.status is ek.ExecutionStatus.FILLED)
            same_books(r, engine, tmp_path)

    asyncio.run(run())


def test_fault_E08_what_filled_while_the_engine_was_down_is_booked_when_it_is_back(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with Rehearsal("binance", market=quiet()) as r:
            async with engine_at(r, tmp_path) as engine:
                await priced(r, engine)
                sent = await resting(engine)
            booked = r.exchange.snapshot()["orders"][0]
            r.exchange.force_fill("main", booked.order_id)
            async with engine_at(r, tmp_path) as again:
                found = again.order_manager.get_order(sent.client_order_id)
                assert found is not None
                await until(lambda: found.status is ek.ExecutionStatus.FILLED)
            same_books(r, again, tmp_path)

    asyncio.run(run())
