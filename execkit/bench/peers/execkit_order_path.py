"""W4 in execkit: `ExecutionEngine` on a `PaperVenue`, a market order at each quote, each filled.

The journal is on disk; its records are committed in groups, which an engine on replay may ask for.
"""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

import execkit as ek
from execkit.bench import markets, tapes

ENGINE = f"execkit {ek.__version__}"
GROUP = 1000


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    quotes = markets.load(folder, ("ts_ns", "bid", "ask"))
    size = np.full(len(quotes["ts_ns"]), 5.0)
    market = ek.MarketData.from_quotes(
        {**quotes, "bid_quantity": size, "ask_quantity": size},
        symbol=markets.SYMBOL,
        instruments=[markets.instrument(0.01)],
    )
    return {"market": market, "journal": options["journal"], "start_ns": tapes.START_NS}


async def replayed(state: dict[str, Any], journal: ek.Journal | None) -> int:
    engine = ek.ExecutionEngine(
        {"paper": ek.PaperVenue(state["market"], name="paper", fee=ek.FeeModel(taker_bps=4))},
        clock=ek.ReplayClock(state["start_ns"]),
        journal=journal,
        group_commit=GROUP if journal else 0,
    )
    await engine.start()
    orders: list[ek.ExecutionOrder] = []

    async def on_time(ts_ns: int) -> None:
        order = ek.ExecutionOrder(
            symbol=markets.SYMBOL,
            side=ek.Side.BUY if len(orders) % 2 == 0 else ek.Side.SELL,
            order_type=ek.OrderType.MARKET,
            quantity=Decimal("0.01"),
        )
        orders.append(order)
        await engine.submit_order(order, "paper")

    await engine.replay(on_time=on_time)
    await engine.stop()
    return sum(order.status is ek.ExecutionStatus.FILLED for order in orders)


def work(state: dict[str, Any]) -> int:
    with tempfile.TemporaryDirectory(prefix="execkit-bench-") as desk:
        if not state["journal"]:
            return asyncio.run(replayed(state, None))
        with ek.Journal(Path(desk) / "journal.sqlite") as journal:
            return asyncio.run(replayed(state, journal))


def answers(state: dict[str, Any], result: int) -> dict[str, float]:
    return {"fills": result}
