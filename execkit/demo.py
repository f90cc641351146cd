"""The whole way in one command: signals, simulation, paper engine, DuckDB, slippage report.

Everything it does is done with public names; the quickstart notebook does the same step by step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from execkit import sample, toy
from execkit.clock import ReplayClock
from execkit.domain import TradingSignal
from execkit.engine import ExecutionEngine
from execkit.errors import InvalidInput
from execkit.journal import Journal
from execkit.market import MarketData
from execkit.models import FeeModel, LatencyModel
from execkit.simulator import simulate
from execkit.store import Store
from execkit.venues.paper import PaperVenue

FEE = FeeModel(maker_bps=2.0, taker_bps=4.0)
LATENCY = LatencyModel(entry_ns=40_000_000, cancel_ns=40_000_000, response_ns=20_000_000)

BY_SIDE = """
SELECT run_id, symbol, CASE WHEN waits_on_purpose THEN 'exits' ELSE 'entries' END AS orders, side,
    n_orders, n_unfilled, round(notional, 2) AS notional,
    round(delay_cost_bps, 3) AS delay_cost_bps, round(arrival_cost_bps, 3) AS arrival_cost_bps,
    round(trigger_cost_bps, 3) AS trigger_cost_bps, round(fee_cost_bps, 3) AS fee_cost_bps,
    round(total_cost_bps, 3) AS total_cost_bps
FROM slippage_summary WHERE run_id IN (?, ?) ORDER BY run_id DESC, symbol, waits_on_purpose, side"""
"""Costs of two runs per side, in bps of notional, positive = worse for us; stops and targets, which
wait for their price on purpose, apart."""

PER_ORDER = "SELECT * FROM slippage WHERE run_id = ? ORDER BY decision_ts_ns, client_order_id"


def run_demo(
    out: Path, market_path: Path | None, symbol: str | None, say: Callable[[str], object]
) -> dict[str, Any]:
    """Run it into directory `out`; return where everything is, and the slippage table.

    Each call adds two runs to the store in `out`. `say` is told each step in words. Raises
    `InvalidInput` if the directory cannot be made or the market is too short for signals.
    """
    started = time.perf_counter()
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("--out", str(out), f"{error.strerror}: name another folder") from None
    source = market_path or sample.path("book")
    market = MarketData.load(source, symbol)
    name = symbol or market.symbols[0]
    market = market.select(name)
    wishes = toy.signals(market, name)
    say(f"market    {source}" + ("" if market_path else "  (synthetic sample)"))
    say(f"signals   {len(wishes)} of a mean-reversion toy on {market.symbols[0]}")

    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    store = Store(out)
    result = simulate(
        toy.orders_of(wishes), market, fee=FEE, latency=LATENCY, run_id=f"simulate-{stamp}"
    )
    result.save(store)
    say(f"simulate  {len(result.fills)} fills of {len(wishes)} entries")

    with Journal(out / "journal.sqlite") as journal:
        engine = asyncio.run(paper(wishes, market, journal, store, f"paper-{stamp}"))
    figures = engine.get_performance_metrics()
    orders = list(engine.orders.values())
    filled = sum(order.filled_quantity > 0 for order in orders)
    say(f"paper     {len(orders)} orders (entries, stops, targets), {filled} of them filled")
    same = same_entries(result.orders, wishes, store, engine.run_id)
    say(f"parity    {same} of {len(wishes)} entries filled alike (exits take liquidity too)")

    table = store.sql(BY_SIDE, [result.run_id, engine.run_id])
    shown = short(table).to_string(index=False, na_rep="-")
    say(f"\nslippage, bps of notional (positive = worse for us)\n{shown}")
    report = write_report(out, store, result.run_id, engine.run_id, table)
    say(f"\nreport    {report or 'not written: it needs plotly, pip install execkit[notebook]'}")
    say(f"store     {store.path.absolute()}")
    say(f"journal   {(out / 'journal.sqlite').absolute()}")
    say(f'ask it    execkit store sql {out} "SELECT * FROM slippage LIMIT 5"')
    return {
        "store": str(store.path.absolute()),
        "journal": str((out / "journal.sqlite").absolute()),
        "report": report,
        "runs": {"simulate": result.run_id, "paper": engine.run_id},
        "signals": len(wishes),
        "orders": len(orders),
        "same_entries": same,
        "success_rate": figures["engine"]["success_rate"],
        "slippage": table.astype(object).where(table.notna(), None).to_dict("records"),
        "seconds": round(time.perf_counter() - started, 3),
    }


async def paper(
    wishes: Sequence[TradingSignal],
    market: MarketData,
    journal: Journal,
    store: Store,
    run_id: str,
) -> ExecutionEngine:
    """Replay `market` and let an engine follow the signals; its journal goes into the store."""
    venue = PaperVenue(market, name="paper", fee=FEE, latency=LATENCY)
    engine = ExecutionEngine(
        {"paper": venue},
        clock=ReplayClock(market.span()[0]),
        journal=journal,
        store=store,
        run_id=run_id,
    )
    await engine.start()
    for signal in tqdm(wishes, desc="paper", unit="signal", disable=None):
        await engine.replay(signal.ts_ns)
        await engine.execute_signal(signal, "paper")
    await engine.replay()
    await engine.stop()
    return engine


def same_entries(
    simulated: pd.DataFrame, wishes: Sequence[TradingSignal], store: Store, run_id: str
) -> int:
    """How many signals' entries filled the same quantity at the same average price in both."""
    # exits carry the signal that they protect, so the entry is the first order of each
    lived = store.sql(
        "SELECT arg_min({'q': filled_quantity, 'p': average_price}, seq) AS entry, signal_id "
        "FROM orders WHERE run_id = ? GROUP BY signal_id",
        [run_id],
    ).set_index("signal_id")["entry"]
    count = 0
    filled, price = simulated["filled_quantity"], simulated["average_price"]
    for wish, quantity, average in zip(wishes, filled, price, strict=True):
        entry = lived.get(wish.signal_id, {"q": 0.0, "p": None})
        count += _alike(entry["q"], quantity) and _alike(entry["p"], average)
    return count


def _alike(one: float | None, other: float) -> bool:
    """Equal but for the rounding of sums in float64."""
    return one is not None and abs(one - other) <= 1e-9 * abs(other)


def short(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `BY_SIDE` narrow enough to look at: runs by their kind, costs by their part."""
    shown = table.drop(columns="symbol").rename(columns=lambda c: c.removesuffix("_cost_bps"))
    return shown.assign(run_id=table["run_id"].str.partition("-")[0]).rename(
        columns={"run_id": "run"}
    )


def write_report(
    out: Path, store: Store, simulated: str, traded: str, table: pd.DataFrame
) -> str | None:
    """The HTML report, or None where plotly is not installed."""
    try:
        from execkit.dashboards import report, slippage
    except ImportError:
        return None
    shown = ["decision_ts_ns", "side", "order_type", "status", "filled_quantity", "average_price"]
    shown += ["decision_price", "total_cost_bps", "trigger_price", "trigger_cost_bps", "reason"]
    runs = {run_id: store.sql(PER_ORDER, [run_id]) for run_id in (traded, simulated)}
    parts = [
        report.Part(
            "By side",
            "Ratio of sums over the filled quantity, in basis points of the notional at the "
            "decision price. Positive = worse for us, on both sides. Exits wait for their price on "
            "purpose: stops are measured against their stop price (trigger), targets by fee alone.",
            short(table),
        ),
        report.Part(
            "Paper engine",
            "Entries against the mid at their decision, stop losses against their stop price. Take "
            "profits get the price they wait for and are only counted.",
            slippage.figure(runs[traded], by="order_type", title=traded),
        ),
        report.Part(
            "Simulation",
            "The entries alone, all at once, through the same fill model.",
            slippage.figure(runs[simulated], by="side", title=simulated),
        ),
        report.Part("Orders of the paper engine", "First to last.", runs[traded][shown]),
    ]
    lead = f"Runs {traded} and {simulated}; all orders are in {store.path.name}."
    return str(report.write(out / "reports" / f"{traded}.html", "Slippage", lead, parts))
