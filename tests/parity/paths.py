"""The same orders on the same data through each way that execkit has, told in one form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from execkit.clock import ReplayClock
from execkit.domain import ExecutionOrder
from execkit.engine import ExecutionEngine
from execkit.journal import Journal
from execkit.limits import LIMITS, equity, reference_price
from execkit.market import MarketData
from execkit.models.base import LatencyLike
from execkit.models.fee import FeeModel
from execkit.models.fill import QUEUE, FillModel
from execkit.models.latency import LatencyModel
from execkit.risk import RiskGuard
from execkit.simulator import SimulationResult, simulate
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.venues.paper import PaperVenue

END = 2**62
LIVE = ("intent", "open", "partially_filled")


class FillRow(NamedTuple):
    client_order_id: str
    symbol: str
    side: str
    venue_ts_ns: int
    local_ts_ns: int
    price: float
    quantity: float
    liquidity: str
    fee: float
    fee_currency: str


class OrderRow(NamedTuple):
    """Times are ours (`local`) where they end an order, the venue's where they trigger it."""

    status: str
    reason: str
    filled: float
    triggered_ns: int | None
    done_local_ns: int | None


class Told(NamedTuple):
    fills: list[FillRow]
    orders: dict[str, OrderRow]


@dataclass(frozen=True)
class Setup:
    """What is the same for all orders of a run."""

    fill: FillModel = QUEUE
    fee: FeeModel = field(default_factory=FeeModel)
    latency: LatencyLike = field(default_factory=LatencyModel)
    seed: int = 0
    fidelity: Mapping[str, str] = field(default_factory=dict)
    positions: Mapping[str, Decimal] = field(default_factory=dict)

    def simulated(self, orders: pd.DataFrame, market: MarketData) -> SimulationResult:
        return simulate(
            orders,
            market,
            self.fill,
            fee=self.fee,
            latency=self.latency,
            seed=self.seed,
            fidelity=self.fidelity,
            initial_positions={s: float(q) for s, q in self.positions.items()},
            progress=False,
        )

    def venue(self, market: MarketData) -> PaperVenue:
        return PaperVenue(
            market,
            "paper",
            self.fill,
            fee=self.fee,
            latency=self.latency,
            seed=self.seed,
            fidelity=self.fidelity,
            initial_positions=self.positions,
        )


def assert_same(one: Told, two: Told) -> None:
    """Row for row, to the last bit."""
    assert one.fills == two.fills
    assert one.orders == two.orders


def live_as_one(told: Told) -> Told:
    """For the engine, which may wait for an answer that the end of the data left open: what has
    not ended is `live`."""
    orders = {
        name: row._replace(status="live") if row.status in LIVE else row
        for name, row in told.orders.items()
    }
    return Told(told.fills, orders)


def _in_order(fills: list[tuple[int, FillRow]]) -> list[FillRow]:
    """By time, then symbol; within a symbol as they happened, which numbers say: answers to orders
    with unlike delays reach us in another order."""
    key = sorted(
        fills, key=lambda numbered: (numbered[1].venue_ts_ns, numbered[1].symbol, numbered[0])
    )
    return [fill for _, fill in key]


# simulate ------------------------------------------------------------------------------------


def told_by(result: SimulationResult) -> Told:
    """What `simulate` made of it."""
    f = result.fills
    columns = [f[n].astype(str) for n in ("client_order_id", "symbol", "side")]
    columns += [f[n] for n in ("venue_ts_ns", "local_ts_ns", "price", "quantity")]
    columns += [f["liquidity"].astype(str), f["fee"], f["fee_currency"].astype(str)]
    fills = [FillRow(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    o = result.orders
    done = o["done_ts_ns"].fillna(0).to_numpy("int64")
    back = result.request.latency.delay("response", np.arange(len(o)), result.request.seed, done)
    orders = {}
    for row, delay in zip(o.itertuples(), back.tolist(), strict=True):
        orders[str(row.client_order_id)] = OrderRow(
            str(row.status),
            str(row.reason),
            float(row.filled_quantity),
            None if pd.isna(row.triggered_ts_ns) else int(row.triggered_ts_ns),
            None if pd.isna(row.done_ts_ns) else int(row.done_ts_ns) + delay,
        )
    return Told(_in_order(list(enumerate(fills))), orders)


# PaperVenue ----------------------------------------------------------------------------------


def execution_orders(frame: pd.DataFrame) -> Iterator[tuple[int, int | None, ExecutionOrder]]:
    """(decision, cancel or None, order) for each row of a table of orders."""
    names = ("price", "stop_price", "trail_bps", "time_in_force", "post_only", "reduce_only")
    for row in frame.to_dict("records"):
        given: dict[str, Any] = {n: row[n] for n in names if n in row and not pd.isna(row[n])}
        if not pd.isna(row.get("expire_ts_ns")):
            given["expire_ts_ns"] = int(row["expire_ts_ns"])
        if not pd.isna(row.get("oco_group")):
            given["oco_group"] = str(row["oco_group"])
        order = ExecutionOrder(
            symbol=row["symbol"],
            side=row["side"],
            order_type=row["order_type"],
            quantity=row["quantity"],
            client_order_id=row["client_order_id"],
            **given,
        )
        cancel = row.get("cancel_ts_ns")
        yield int(row["ts_ns"]), None if pd.isna(cancel) else int(cancel), order


def through_venue(frame: pd.DataFrame, market: MarketData, setup: Setup) -> Told:
    """By hand: each request is made when the market has run up to just before its time."""
    venue = setup.venue(market)
    updates: list[VenueUpdate] = []
    venue.listen(updates.append)
    requests = []
    orders = []
    for row, (ts, cancel, order) in enumerate(execution_orders(frame)):
        order.created_ts_ns = ts
        orders.append(order)
        requests.append((ts, 0, row))
        if cancel is not None:
            requests.append((cancel, 1, row))
    for ts, what, row in sorted(requests):
        _move(venue, ts - 1)
        if what:
            orders[row].cancel_ts_ns = ts
        asyncio.run((venue.cancel if what else venue.submit)(orders[row]))
    _move(venue, END)
    return told_by_updates(orders, updates)


def _move(venue: PaperVenue, until_ns: int) -> None:
    while until_ns > venue.now_ns and venue.advance(until_ns) < until_ns:
        pass


def told_by_updates(orders: list[ExecutionOrder], updates: list[VenueUpdate]) -> Told:
    fills: list[tuple[int, FillRow]] = []
    rows = {order.client_order_id: OrderRow("intent", "", 0.0, None, None) for order in orders}
    left = {order.client_order_id: order.quantity for order in orders}
    asked = dict(left)
    for update in updates:
        name, row = update.client_order_id, rows[update.client_order_id]
        if update.kind is UpdateKind.ACCEPTED:
            row = row._replace(status="open")
        elif update.kind is UpdateKind.TRIGGERED:
            row = row._replace(triggered_ns=update.venue_ts_ns)
        elif update.fill is not None:
            f = update.fill
            assert f.local_ts_ns == update.local_ts_ns
            fills.append(_numbered(f.__dict__ | {"client_order_id": name}))
            left[name] -= f.quantity
            row = row._replace(status="partially_filled", filled=float(asked[name] - left[name]))
            if not left[name]:
                row = row._replace(status="filled", done_local_ns=update.local_ts_ns)
        else:
            row = row._replace(status=update.kind.value, reason=update.reason)
            row = row._replace(done_local_ns=update.local_ts_ns)
        rows[name] = row
    return Told(_in_order(fills), rows)


def _numbered(data: Mapping[str, Any]) -> tuple[int, FillRow]:
    """From a `Fill` or from a journal's payload, where numbers are exact text."""
    return int(data["fill_id"].rpartition("-")[2]), FillRow(
        str(data["client_order_id"]),
        str(data["symbol"]),
        str(getattr(data["side"], "value", data["side"])),
        int(data["venue_ts_ns"]),
        int(data["local_ts_ns"]),
        float(data["price"]),
        float(data["quantity"]),
        str(getattr(data["liquidity"], "value", data["liquidity"])),
        float(data["fee"]),
        str(data["fee_currency"]),
    )


# ExecutionEngine -----------------------------------------------------------------------------


def open_guard() -> RiskGuard:
    """Limits that never refuse; also not an order sent before the book showed anything, or while
    it shows nothing by which what is held could be valued."""
    numbers = ("max_positions", "max_drawdown_pct", "daily_loss_limit_pct", "max_failed_orders")
    rules = tuple(rule for rule in LIMITS if rule not in (equity, reference_price))
    return RiskGuard(rules=rules, **dict.fromkeys(numbers))


def through_engine(
    frame: pd.DataFrame,
    market: MarketData,
    setup: Setup,
    folder: Path,
    *,
    group: int = 10_000,
    by_hand: bool = False,
) -> Told:
    """Through the whole engine on replayed time. The fills are read back from the journal.

    Orders and cancels are scheduled before the replay, or, `by_hand`, made when the replay has come
    to their time, which is after what the market did at that time.
    """
    return asyncio.run(_through_engine(frame, market, setup, folder, group, by_hand))


async def _through_engine(
    frame: pd.DataFrame,
    market: MarketData,
    setup: Setup,
    folder: Path,
    group: int,
    by_hand: bool,
) -> Told:
    coins = {c for i in market.instruments.values() for c in (i.base, i.quote) if c}
    with Journal(folder) as journal:
        engine = ExecutionEngine(
            {"paper": setup.venue(market)},
            risk_guard=open_guard(),
            clock=ReplayClock(market.span()[0]),
            journal=journal,
            starting_equity=10**15,
            rates=dict.fromkeys(coins | {"base", "quote", "BNB"}, 1),
            group_commit=group,
            equity_interval_s=1e6,  # some sets last for years
        )
        await engine.start()
        wishes = list(execution_orders(frame))
        orders = [order for _, _, order in wishes]
        if by_hand:
            await _by_hand(engine, wishes)
        else:
            for ts, cancel, order in wishes:
                engine.schedule(order, "paper", ts, cancel)
        await engine.replay()
        await engine.stop()
        assert not engine.order_manager.alarms
        payloads = [r.payload for r in journal.read(kinds=["fill"])]
    fills = _in_order([_numbered(payload) for payload in payloads])
    return Told(fills, {order.client_order_id: _order_row(order) for order in orders})


async def _by_hand(
    engine: ExecutionEngine, wishes: list[tuple[int, int | None, ExecutionOrder]]
) -> None:
    requests = [(ts, 0, n) for n, (ts, _, _) in enumerate(wishes)]
    requests += [(cancel, 1, n) for n, (_, cancel, _) in enumerate(wishes) if cancel is not None]
    for ts, what, n in sorted(requests):
        await engine.replay(ts)
        if what:
            await engine.order_manager.cancel_order(wishes[n][2])
        else:
            await engine.submit_order(wishes[n][2], "paper")


def _order_row(order: ExecutionOrder) -> OrderRow:
    return OrderRow(
        order.status.value if order.is_done else "live",
        order.reason,
        float(order.filled_quantity),
        order.triggered_ts_ns,
        order.done_ts_ns,
    )
