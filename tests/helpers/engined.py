"""An engine that trades on a rehearsal exchange through the real client, and how it is judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import execkit as ek
from execkit.journal import Journal
from execkit.ready import ReconcileSettings
from execkit.rehearsal import Rehearsal
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
    differences = [str(difference) for difference in found.differences]
    assert not differences, differences


async def priced(rehearsal: Rehearsal, engine: ek.ExecutionEngine) -> None:
    """Wait for a quote: the market of these tests says nothing until it moves."""
    rehearsal.exchange.move("BTCUSDT", D(49999), D(50001))
    await until(lambda: engine.exchanges["binance"].quote("BTCUSDT") is not None)
