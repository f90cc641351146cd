"""The paper engine is killed with SIGKILL at random moments; what it acknowledged survives it.

Each round forks a process that trades the bundled session with a durable journal and writes to a
pipe whatever its callbacks are told. The parent kills it somewhere on the way. Afterwards:

- the journal's chain holds, and every fill that was acknowledged is in it, once;
- its fills are the first ones of an undisturbed run of the same orders, in the same order, so
  none was lost from the middle, doubled or invented;
- no order reached the venue without its intent having been durable before;
- the store agrees with the journal row for row, and an engine that resumes the run holds
  exactly the position that the journal's fills fold to, with no order left live.

Run as a script with a number of rounds for a long trial:

    python tests/faults/test_killed_engine.py 100
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from execkit import sample
from execkit.clock import ReplayClock
from execkit.domain import ExecutionOrder
from execkit.engine import ExecutionEngine
from execkit.journal import Journal
from execkit.market import MarketData
from execkit.models import LatencyModel
from execkit.risk import RiskGuard
from execkit.store import Store
from execkit.venues.paper import PaperVenue

SYMBOL, RUN = "BTCUSDT", "killed-run"
ORDERS = 120


def session() -> MarketData:
    return MarketData.load(sample.path("book")).select(SYMBOL)


def wanted(market: MarketData) -> list[ExecutionOrder]:
    """The same orders in every process: market and resting limit orders on both sides."""
    rng = random.Random(7)
    first, last = market.span(SYMBOL)
    top = market.top_of_book(SYMBOL)
    step = (last - first) * 8 // 10 // ORDERS
    orders = []
    for i in range(ORDERS):
        ts = first + 1_000_000_000 + i * step
        at = max(int(top["ts_ns"].searchsorted(ts)) - 1, 0)
        side = rng.choice(["buy", "sell"])
        resting = rng.random() < 0.5
        price = top["bid" if side == "buy" else "ask"][at]
        orders.append(
            ExecutionOrder(
                symbol=SYMBOL,
                side=side,
                order_type="limit" if resting else "market",
                quantity=Decimal(rng.randint(1, 40)) / 1000,
                price=float(price) if resting else None,
                client_order_id=f"k{i:04d}",
                created_ts_ns=ts,
            )
        )
    return orders


def engine_of(market: MarketData, journal: Journal) -> ExecutionEngine:
    wide = RiskGuard(
        max_positions=10,
        max_drawdown_pct=99,
        daily_loss_limit_pct=99,
        max_position_notional=10**9,
        max_order_notional=10**9,
        max_failed_orders=10**6,
    )
    venue = PaperVenue(market, name="paper", latency=LatencyModel(entry_ns=3_000_000))
    clock = ReplayClock(market.span(SYMBOL)[0])
    return ExecutionEngine(
        {"paper": venue}, risk_guard=wide, journal=journal, run_id=RUN, clock=clock
    )


async def trade(market: MarketData, folder: Path, tell: int | None) -> None:
    """Trade the whole session; each fill the callbacks are told of goes to the pipe `tell`."""
    with Journal(folder / "journal.sqlite") as journal:
        engine = engine_of(market, journal)
        told: Counter[str] = Counter()

        def acknowledge(order: ExecutionOrder) -> None:
            told[order.client_order_id] += 1
            if tell is not None:
                os.write(tell, f"{order.client_order_id} {order.filled_quantity}\n".encode())

        for event in ("on_filled", "on_partially_filled"):
            engine.order_manager.register_callback(event, acknowledge)
        await engine.start()
        for order in wanted(market):
            await engine.replay(order.created_ts_ns)
            await engine.submit_order(order, "paper")
        await engine.replay()
        await engine.stop()


def fills_of(journal: Journal) -> list[tuple[str, ...]]:
    """What identifies the fills of the journal, in order."""
    names = ("fill_id", "client_order_id", "side", "quantity", "price", "liquidity")
    found = [r.payload for r in journal.read(kinds=("fill",))]
    return [tuple(str(payload.get(n)) for n in names) for payload in found]


def killed_round(market: MarketData, folder: Path, delay_s: float) -> tuple[list[str], bool]:
    """Fork, trade, kill after `delay_s`; the acknowledgements, and whether it was in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            asyncio.run(trade(market, folder, writing))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return lines, os.WIFSIGNALED(status)


def check_after(market: MarketData, folder: Path, lines: list[str], whole: list) -> int:
    """Everything that must hold once the process is dead; returns the number of its fills."""
    path = folder / "journal.sqlite"
    if not path.exists():
        assert lines == []
        return 0
    with Journal(path) as journal:
        journal.verify()
        fills = fills_of(journal)
        assert fills == whole[: len(fills)]
        assert len({f[0] for f in fills}) == len(fills)
        filled: dict[str, Decimal] = {}
        for _, order_id, _, quantity, *_ in fills:
            filled[order_id] = filled.get(order_id, Decimal(0)) + Decimal(quantity)
        for line in lines:
            order_id, quantity = line.split()
            assert filled.get(order_id, Decimal(0)) >= Decimal(quantity), line
        kinds = [(r.kind, r.client_order_id) for r in journal.read()]
        intended = set()
        for kind, order_id in kinds:
            if kind == "intent":
                assert order_id not in intended, "an order was sent twice"
                intended.add(order_id)
            elif kind in ("sending", "accepted", "fill"):
                assert order_id in intended, "sent before it was durable"
        store = Store(folder)
        store.ingest(journal)
        store.ingest(journal)
        assert store.check(journal).ok
        stored = store.sql("select fill_id from fills where run_id = ? order by seq", [RUN])
        assert list(stored["fill_id"]) == [f[0] for f in fills]
        asyncio.run(resumes(market, journal, fills))
    return len(fills)


async def resumes(market: MarketData, journal: Journal, fills: list[tuple[str, ...]]) -> None:
    engine = engine_of(market, journal)
    await engine.start()
    signed = sum((Decimal(f[3]) * (1 if f[2] == "buy" else -1) for f in fills), start=Decimal(0))
    held = engine.position_tracker.get_position(SYMBOL)
    assert (held.quantity if held else Decimal(0)) == signed
    assert engine.order_manager.open_orders() == []
    await engine.stop()


def trial(rounds: int, base: Path, seed: int = 1) -> dict[str, int]:
    market = session()
    (base / "whole").mkdir(parents=True)
    started = time.monotonic()
    asyncio.run(trade(market, base / "whole", None))
    length_s = time.monotonic() - started
    with Journal(base / "whole" / "journal.sqlite") as journal:
        whole = fills_of(journal)
    rng = random.Random(seed)
    counts: Counter[str] = Counter(fills_of_a_whole_run=len(whole))
    while counts["killed"] < rounds:
        folder = base / f"round-{counts['rounds']}"
        counts["rounds"] += 1
        folder.mkdir()
        lines, killed = killed_round(market, folder, rng.uniform(0.02, 0.9 * length_s))
        counts["killed"] += killed
        counts["acknowledged"] += len(lines)
        fills = check_after(market, folder, lines, whole)
        counts["fills"] += fills
        counts["killed_while_trading"] += killed and 0 < fills < len(whole)
    return dict(counts)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_engine_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twenty kills at random moments of a session: journal, store and resumed engine agree."""
    counts = trial(20, tmp_path)
    assert counts["killed_while_trading"] >= 5, counts
    assert counts["acknowledged"] > 0, counts


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(trial(int(sys.argv[1]), Path(folder)))
