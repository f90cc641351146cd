"""kill -9 while trading: what the journal says is whole, and a resumed run goes on from it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from execkit.engine import ExecutionEngine
from execkit.journal import Journal
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.store import Store
from execkit.words import ExecutionStatus
from tests.helpers.quotevenue import QuoteVenue, quote

ROOT = Path(__file__).resolve().parents[1]
CHILD = """
import asyncio, sys
from execkit import ExecutionEngine, Journal, RiskGuard, TradingSignal
from tests.helpers.quotevenue import QuoteVenue, quote

async def main():
    quotes = [quote(t, 50_000 + t % 7 * 40, 50_002 + t % 7 * 40, 0.7) for t in range(1, 100_000)]
    engine = ExecutionEngine({"x": QuoteVenue(quotes, response_ns=300_000_000)}, run_id="r1",
        journal=Journal(sys.argv[1]), risk_guard=RiskGuard(max_drawdown_pct=None))
    await engine.start()
    async def strategy(now_ns):
        side = "BUY" if now_ns // 10**9 % 2 else "SELL"
        sign = 1 if side == "BUY" else -1
        await engine.execute_signal(TradingSignal("BTCUSDT", side, 1, stop_loss=50_000 - sign * 500,
            take_profit=50_100 + sign * 500), "x")
        print(now_ns, flush=True)
    await engine.replay(on_time=strategy, every_ns=2_000_000_000)

asyncio.run(main())
"""


def killed(folder: Path, after_s: float) -> None:
    """Run the child on `folder` and kill it `after_s` after its first signal."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline(), child.stderr.read().decode()
        time.sleep(after_s)
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()


@pytest.mark.parametrize("seed", range(4))
def test_after_kill_9_nothing_is_lost_or_doubled_and_the_run_goes_on(
    seed: int, tmp_path: Path
) -> None:
    killed(tmp_path, random.Random(seed).uniform(0.05, 0.5))
    journal = Journal(tmp_path)
    journal.verify()
    told = list(journal.read())
    fills = [r for r in told if r.kind == "fill"]
    assert fills
    assert max(Counter(r.payload["fill_id"] for r in fills).values()) == 1

    # every fill belongs to an intent that was durable before it
    intents = {r.client_order_id: r.seq for r in told if r.kind == "intent"}
    assert all(intents[r.client_order_id] < r.seq for r in fills)

    # orders and positions rebuilt are those that the journal told at each step
    manager = OrderManager(journal)
    found = manager.recover()
    tracker = PositionTracker()
    for fill in found.fills:
        tracker.apply(fill)
    last = [r for r in told if r.kind == "position"][-1].payload
    assert tracker.quantity("paper", "BTCUSDT") == Decimal(last["quantity"])
    filled = sum(o.filled_quantity for o in found.orders)
    assert filled == sum(Decimal(r.payload["quantity"]) for r in fills)

    # the store agrees with the journal
    store = Store(tmp_path / "s.duckdb")
    store.ingest(journal)
    rows = store.sql("SELECT count(*) AS n, sum(quantity) AS q FROM fills")
    assert (int(rows["n"][0]), round(rows["q"][0], 6)) == (len(fills), round(float(filled), 6))

    # and a resumed run starts from there, with every order ended
    async def resume() -> None:
        venue = QuoteVenue([quote(200_000, 50_000, 50_002)])
        engine = ExecutionEngine({"x": venue}, run_id="r1", journal=journal)
        await engine.start()
        assert engine.position_tracker.quantity("paper", "BTCUSDT") == Decimal(last["quantity"])
        ended = [o for o in engine.orders.values() if o.reason == "paper_venue_restarted"]
        assert len(ended) == len(found.unknown)
        assert {o.status for o in ended} <= {ExecutionStatus.CANCELED}

    asyncio.run(resume())
