"""Orders over the real client and real sockets: none is lost or doubled, whatever the wire does.

Ids are those of the fault catalogue. Each case is judged by the exchange's own books.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

import execkit as ek
from execkit.journal import Journal
from execkit.ready import ReconcileSettings
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import quiet
from execkit.rehearsal.oracles import judge

D = Decimal
PATIENCE_S = 30.0


@asynccontextmanager
async def engine_at(
    rehearsal: Rehearsal, folder: Path, run_id: str = "faults"
) -> AsyncIterator[ek.ExecutionEngine]:
    venue = ek.open_venue("binance", rehearsal=rehearsal, symbols=["BTCUSDT"])
    with Journal(folder) as journal:
        engine = ek.ExecutionEngine(
            {"binance": venue},
            execution_mode="demo",
            journal=journal,
            run_id=run_id,
            starting_equity=1_000_000,
            reconcile=ReconcileSettings(absent_s=1.0, orders_s=0.5, fills_s=0.5),
            duplicate_window_s=0,
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()


def order(side: str, kind: str, quantity: str, price: str | None = None) -> ek.ExecutionOrder:
    return ek.ExecutionOrder(
        symbol="BTCUSDT", side=side, order_type=kind, quantity=D(quantity), price=price
    )


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.01)


async def resting(engine: ek.ExecutionEngine) -> ek.ExecutionOrder:
    """A limit order that the exchange has, far from its market."""
    sent = order("buy", "limit", "0.01", "45000")
    await engine.submit_order(sent, "binance")
    await until(lambda: sent.status is ek.ExecutionStatus.OPEN)
    return sent


def same_books(rehearsal: Rehearsal, engine: ek.ExecutionEngine, folder: Path) -> None:
    with Journal(folder) as journal:
        found = judge(
            rehearsal.exchange.snapshot(),
            journal.read(),
            engine.exchanges["binance"].instruments,
        )
    assert [str(difference) for difference in found.differences] == []


async def priced(rehearsal: Rehearsal, engine: ek.ExecutionEngine) -> None:
    """Wait for a quote: the market of these tests says nothing until it moves."""
    rehearsal.exchange.move("BTCUSDT", D(49999), D(50001))
    await until(lambda: engine.exchanges["binance"].quote("BTCUSDT") is not None)


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
