"""W3 in execkit: the same orders as a table, against depth and prints as one feed.

`part` "market": the raw columns become a `MarketData`. "first": a run on a fresh one, whatever it
has to index included. "further": runs on the same one. "all": market and first run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import execkit as ek
from execkit.bench import markets

ENGINE = f"execkit {ek.__version__}"
MAKES_IT = ("market", "all")
ORDERS = ("ts_ns", "buy", "price", "quantity", "cancel_ts_ns")


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    tape = markets.load(folder, markets.TAPE)
    part = options["part"]
    state = {
        "tape": tape,
        # where it is made while the clock runs, no other is to fill the memory meanwhile
        "market": None if part in MAKES_IT else markets.book_market(tape),
        "orders": markets.orders(markets.load(folder / options["orders"], ORDERS), "limit"),
        "latency": ek.LatencyModel(
            entry_ns=options["latency_ns"],
            cancel_ns=options["latency_ns"],
            response_ns=options["latency_ns"],
        ),
        "fee": ek.FeeModel(maker_bps=-1, taker_bps=4),
        "part": part,
    }
    if part == "further":
        simulated(state, state["market"])
    return state


def fresh(market: ek.MarketData) -> ek.MarketData:
    """The same columns in a new object, so that nothing that was kept beside the old one helps."""
    return ek.MarketData(
        depth=market.depth,
        prints=market.prints,
        instruments=dict(market.instruments),
        shared_seq=True,
    )


def simulated(state: dict[str, Any], market: ek.MarketData) -> ek.SimulationResult:
    result = ek.simulate(
        state["orders"],
        market,
        fee=state["fee"],
        latency=state["latency"],
        progress=False,
    )
    assert len(result.fills)  # made once, and kept in the result
    return result


def work(state: dict[str, Any]) -> Any:
    market = markets.book_market(state["tape"]) if state["part"] in MAKES_IT else state["market"]
    if state["part"] == "first":
        market = fresh(market)
    return market if state["part"] == "market" else simulated(state, market)


def answers(state: dict[str, Any], result: Any) -> dict[str, float]:
    if state["part"] == "market":
        return {"rows": len(state["tape"]["ts_ns"])}
    rows = np.flatnonzero(result.orders["filled_quantity"].to_numpy() > 0)
    return {"fills": len(result.fills), "filled": len(rows), "rows": rows.sum()}
