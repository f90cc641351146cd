"""What an order with its fill costs in the event-driven engine, by stage, and how soon its news is
heard in passing time. `python -m tests.bench.engine_replay [orders]` prints it as JSON.

A synthetic quote a second, a market order at each, bought and sold in turn, each filled at once;
through `submit_order`, all risk checks, positions, equity and the monitor, with and without a
journal. Times are wall clock of one process: on a busy machine only their ratios mean anything, and
`cpu` (processor time) says more.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.bookkeeping import Bookkeeper
from execkit.clock import NS_PER_S, LiveClock
from execkit.domain import ExecutionOrder, Instrument
from execkit.engine import ExecutionEngine
from execkit.gate import Gate
from execkit.journal import Journal
from execkit.market import MarketData
from execkit.models import FeeModel
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.records import Recorder
from execkit.venues.paper import PaperVenue
from execkit.venues.paper_book import PaperBook
from execkit.words import OrderType, Side

GROUP = 1000  # journal records a commit
BTC = Instrument(
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    base="BTC",
    quote="USDT",
    min_notional=Decimal(5),
)
# What is timed apart, without what is called from it and timed apart itself.
STAGES: dict[str, tuple[tuple[type, str], ...]] = {
    "order": ((ExecutionOrder, "__init__"), (ExecutionOrder, "validate")),
    "risk": ((Gate, "judge"),),
    "records": ((Recorder, "add"),),
    "commits": ((Journal, "append_many"),),
    "venue": ((PaperVenue, "advance"), (PaperBook, "check"), (PaperBook, "add")),
    "fills": ((Bookkeeper, "apply"),),
    "positions": ((PositionTracker, "apply"),),
    "equity": ((Bookkeeper, "value"),),
    "callbacks": ((OrderManager, "dispatch"),),
}


def quotes(start_ns: int, step_ns: int, n: int) -> MarketData:
    """`n` quotes two ticks wide, 5 BTC on either side, a random walk of seed 1."""
    mid = np.round(50_000 + np.cumsum(np.random.default_rng(1).normal(0, 1, n)), 1)
    frame = pd.DataFrame(
        {
            "ts_ns": start_ns + np.arange(n, dtype=np.int64) * step_ns,
            "bid": mid - 0.1,
            "ask": mid + 0.1,
            "bid_quantity": 5.0,
            "ask_quantity": 5.0,
        }
    )
    return MarketData.from_quotes(frame, symbol=BTC.symbol, instruments=[BTC])


def order(number: int) -> ExecutionOrder:
    side = Side.SELL if number % 2 else Side.BUY
    return ExecutionOrder(
        symbol="BTCUSDT", side=side, order_type=OrderType.MARKET, quantity=Decimal("0.010")
    )


async def replayed(market: MarketData, n: int, journal: Journal | None) -> tuple[float, float]:
    """Wall and processor time, in seconds, of a replay with `n` orders."""
    venue = PaperVenue(market, fee=FeeModel(maker_bps=2, taker_bps=4))
    group = 0 if journal is None else GROUP
    engine = ExecutionEngine({"paper": venue}, journal=journal, group_commit=group)
    await engine.start()
    sent = 0

    async def on_time(ts_ns: int) -> None:
        nonlocal sent
        if sent < n:
            sent += 1
            await engine.submit_order(order(sent), "paper")

    wall, cpu = time.perf_counter(), time.process_time()
    await engine.replay(on_time=on_time)
    if journal is not None:
        engine.order_manager.recorder.flush(force=True)
    took = time.perf_counter() - wall, time.process_time() - cpu
    fills = len(engine.order_manager.ledger.fills)
    assert fills == n, f"{fills} fills of {n} orders"
    return took


def once(market: MarketData, n: int, *, journaled: bool) -> tuple[float, float]:
    if not journaled:
        return asyncio.run(replayed(market, n, None))
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder)) as journal:
        return asyncio.run(replayed(market, n, journal))


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds of each of `STAGES` to `spent` while this is open."""
    inner: list[float] = []  # of the calls that are under way: what they called took
    kept = [(owner, name, owner.__dict__[name]) for m in STAGES.values() for owner, name in m]

    def wrapped(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **named: Any) -> Any:
            inner.append(0.0)
            begun = time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                took = time.perf_counter() - begun
                spent[stage] = spent.get(stage, 0.0) + took - inner.pop()
                if inner:
                    inner[-1] += took

        return measured

    try:
        for stage, methods in STAGES.items():
            for owner, name in methods:
                setattr(owner, name, wrapped(stage, owner.__dict__[name]))
        yield
    finally:
        for owner, name, call in kept:
            setattr(owner, name, call)


async def heard(n: int) -> list[float]:
    """Milliseconds from the time stamp of a venue's update to the callback, on a LiveClock."""
    start_ns = time.time_ns()
    market = quotes(start_ns, NS_PER_S // 1000, 2000 * n // 100 + 5000)
    venue = PaperVenue(market)
    clock = LiveClock()
    engine = ExecutionEngine({"paper": venue}, clock=clock)
    delays: list[float] = []
    engine.order_manager.register_callback(
        "on_filled", lambda done: delays.append((clock.now_ns() - (done.done_ts_ns or 0)) / 1e6)
    )
    await engine.start()
    for number in range(n):
        await asyncio.sleep(0.01)
        await engine.submit_order(order(number), "paper")
    await asyncio.sleep(0.2)
    await engine.stop()
    return delays


def run(n: int = 3000, rounds: int = 3, live_orders: int = 100) -> dict[str, Any]:
    """`n` orders a replay; medians over `rounds`. Times in us an order, of the news in ms."""
    market = quotes(1_700_000_000 * NS_PER_S, NS_PER_S, n + 2)
    once(market, min(n, 100), journaled=True)  # compiles
    out: dict[str, Any] = {"orders": n, "rounds": rounds, "group_commit": GROUP, "target_us": 100}
    both: dict[str, list[tuple[float, float]]] = {"journaled": [], "bare": []}
    for _ in range(rounds):
        for name, found in both.items():
            found.append(once(market, n, journaled=name == "journaled"))
    for name, found in both.items():
        out[f"{name}_us"] = round(1e6 / n * statistics.median(wall for wall, _ in found), 1)
        out[f"{name}_cpu_us"] = round(1e6 / n * statistics.median(cpu for _, cpu in found), 1)
    spent: dict[str, float] = {}
    with timed(spent):
        whole, _ = once(market, n, journaled=True)
    spent["rest"] = whole - sum(spent.values())
    out["stages_us"] = {stage: round(1e6 / n * s, 1) for stage, s in spent.items()}
    delays = asyncio.run(heard(live_orders))
    p50, p99 = np.quantile(delays, [0.5, 0.99])
    out["update_to_callback_ms"] = {"n": len(delays), "p50": round(p50, 3), "p99": round(p99, 3)}
    return out


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=1))
