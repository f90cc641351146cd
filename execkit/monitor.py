"""OrderMonitor: how fast orders were, and what they cost against the price they were decided at.

Nothing measured is None, never 0. Costs are signed: positive = worse for us, on both sides.
Averages of cost are ratios of sums (cost over notional), so that a large order counts as one.
Percentiles are over the newest `window` orders. Stops and OCO exits have no cost here: the price at
which they were placed is not the one they were meant for.

When it lies: `decision_price` and `arrival_price` are mids as this process saw them; on bars and
prints there is no book, and the last price stands for the mid.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from execkit.clock import NS_PER_MS, NS_PER_S, Clock, LiveClock
from execkit.domain import ExecutionOrder, Fill
from execkit.errors import InvalidInput
from execkit.words import ExecutionStatus, OrderType

# Returns when the condition holds or the clock has reached the deadline.
Waiter = Callable[[Callable[[], bool], int], Awaitable[None]]

LEGS = (
    "signal_to_decision",
    "decision_to_sent",
    "sent_to_accepted",
    "sent_to_first_fill",
    "sent_to_done",
)


@dataclass(frozen=True, kw_only=True)
class OrderReport:
    """One ended order. Times in ns, None where the leg did not happen; costs in bps."""

    client_order_id: str
    status: ExecutionStatus
    legs_ns: dict[str, int | None]
    decision_cost_bps: float | None
    arrival_cost_bps: float | None


@dataclass
class _Costs:
    """Running sums of one kind of cost."""

    cost: float = 0.0
    notional: float = 0.0
    count: int = 0
    best: float | None = None
    worst: float | None = None

    def add(self, cost: float, notional: float) -> None:
        pct = 100 * cost / notional
        self.cost, self.notional, self.count = (
            self.cost + cost,
            self.notional + notional,
            self.count + 1,
        )
        self.best = pct if self.best is None else min(self.best, pct)
        self.worst = pct if self.worst is None else max(self.worst, pct)

    @property
    def pct(self) -> float | None:
        return 100 * self.cost / self.notional if self.notional else None


@dataclass
class _Watch:
    signal_ts_ns: int | None = None
    first_fill_ts_ns: int | None = None


@dataclass
class _Series:
    """Sum over everything, percentiles over the newest."""

    window: int
    total: int = 0
    count: int = 0
    newest: deque[int] = field(default_factory=deque)

    def add(self, value: int) -> None:
        self.total, self.count = self.total + value, self.count + 1
        self.newest.append(value)
        if len(self.newest) > self.window:
            self.newest.popleft()

    def mean_ms(self) -> float | None:
        return self.total / self.count / NS_PER_MS if self.count else None

    def quantile_ms(self, share: float) -> float | None:
        """The smallest value that at least `share` of the newest do not exceed."""
        if not self.newest:
            return None
        ordered = sorted(self.newest)
        return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] / NS_PER_MS


class OrderMonitor:
    """Fed by the engine with every order, fill and end.

    Parameters
    ----------
    redis_conn : taken for the guide's call shape; measurements are kept in this process.
    window : how many newest orders the percentiles and `reports` cover.
    """

    def __init__(
        self, redis_conn: Any = None, *, clock: Clock | None = None, window: int = 10_000
    ) -> None:
        self.redis_conn = redis_conn
        self.clock: Clock = clock or LiveClock()
        self.wait: Waiter = self._poll
        self.ask: Callable[[ExecutionOrder], bool] | None = None
        self.reports: deque[OrderReport] = deque(maxlen=window)
        self.timeouts = 0
        self._watched: dict[str, _Watch] = {}
        self._ends: dict[str, int] = {}
        self._filled = 0
        self._costs = {"decision": _Costs(), "arrival": _Costs()}
        self._legs = {leg: _Series(window) for leg in LEGS}

    # -- fed by the engine ------------------------------------------------------------------

    def submitted(self, order: ExecutionOrder, signal_ts_ns: int | None = None) -> None:
        self._watched[order.client_order_id] = _Watch(signal_ts_ns)

    def filled(self, order: ExecutionOrder, fill: Fill) -> None:
        watch = self._watched.get(order.client_order_id)
        if watch is not None and watch.first_fill_ts_ns is None:
            watch.first_fill_ts_ns = fill.local_ts_ns

    def ended(self, order: ExecutionOrder) -> None:
        """Measure an order that is done; once."""
        watch = self._watched.pop(order.client_order_id, None)
        if watch is None:
            return
        self._ends[order.status.value] = self._ends.get(order.status.value, 0) + 1
        self._filled += order.filled_quantity > 0
        sent = order.sent_ts_ns
        spans = (
            (watch.signal_ts_ns, order.created_ts_ns),
            (order.created_ts_ns, sent),
            (sent, order.accepted_ts_ns),
            (sent, watch.first_fill_ts_ns),
            (sent, order.done_ts_ns),
        )
        legs: dict[str, int | None] = {}
        for leg, (start, end) in zip(LEGS, spans, strict=True):
            legs[leg] = span = None if start is None or end is None else end - start
            if span is not None:
                self._legs[leg].add(span)
        self.reports.append(
            OrderReport(
                client_order_id=order.client_order_id,
                status=order.status,
                legs_ns=legs,
                decision_cost_bps=self._cost(order, "decision"),
                arrival_cost_bps=self._cost(order, "arrival"),
            )
        )

    def _cost(self, order: ExecutionOrder, kind: str) -> float | None:
        if order.oco_group or order.order_type not in (OrderType.MARKET, OrderType.LIMIT):
            return None  # it waited for another price on purpose
        reference = order.decision_price if kind == "decision" else order.arrival_price
        if reference is None or order.average_filled_price is None:
            return None
        price, quantity = float(reference), float(order.filled_quantity)
        cost = order.side.sign * (float(order.average_filled_price) - price) * quantity
        self._costs[kind].add(cost, price * quantity)
        return 1e4 * cost / (price * quantity)

    # -- the guide's calls ------------------------------------------------------------------

    async def monitor_order(
        self, order: ExecutionOrder, exchange: object = None, timeout_seconds: float = 300.0
    ) -> ExecutionOrder:
        """Return the order when it is done, or as it stands when the time is over (counted in
        `timeouts`). The engine pushes its state, so `exchange` is not asked; without an engine the
        order is looked at with growing pauses. Inside a replay it returns at once: time moves only
        when the strategy returns."""
        if not timeout_seconds > 0:
            raise InvalidInput("timeout_seconds", timeout_seconds, "use more than 0")
        deadline = self.clock.now_ns() + round(timeout_seconds * NS_PER_S)
        await self.wait(lambda: order.is_done, deadline)
        if not order.is_done and self.clock.now_ns() >= deadline:
            self.timeouts += 1
        return order

    async def _poll(self, done: Callable[[], bool], deadline_ns: int) -> None:
        pause_s = 0.001
        while not done() and (left := deadline_ns - self.clock.now_ns()) > 0:
            await asyncio.sleep(min(pause_s, left / NS_PER_S))
            pause_s = min(2 * pause_s, 1.0)

    def get_slippage_metrics(self) -> dict[str, Any]:
        """avg_slippage_pct : cost against the decision price, percent of its notional, positive =
        worse. total_cost : in quote currency (a mix of currencies if orders had several)."""
        decision, arrival = self._costs["decision"], self._costs["arrival"]
        return {
            "avg_slippage_pct": decision.pct,
            "best_slippage_pct": decision.best,
            "worst_slippage_pct": decision.worst,
            "decision_cost_bps": None if decision.pct is None else 100 * decision.pct,
            "arrival_cost_bps": None if arrival.pct is None else 100 * arrival.pct,
            "total_cost": decision.cost if decision.count else None,
            "orders_measured": decision.count,
        }

    def get_metrics_summary(self) -> dict[str, Any]:
        """speed: latency from sending to acceptance, by leg; slippage; execution: what became of
        ended orders. Milliseconds of the engine's clock."""
        legs, ended = self._legs, sum(self._ends.values())
        taken, fill = legs["sent_to_accepted"], legs["sent_to_first_fill"]
        return {
            "speed": {
                "avg_latency_ms": taken.mean_ms(),
                "p50_latency_ms": taken.quantile_ms(0.5),
                "p99_latency_ms": taken.quantile_ms(0.99),
                "legs_avg_ms": {leg: series.mean_ms() for leg, series in legs.items()},
            },
            "slippage": self.get_slippage_metrics(),
            "execution": {
                "avg_fill_time_ms": fill.mean_ms(),
                "p99_fill_time_ms": fill.quantile_ms(0.99),
                "fill_rate_pct": 100 * self._filled / ended if ended else None,
                "orders_ended": ended,
                "orders_open": len(self._watched),
                "ended_as": dict(sorted(self._ends.items())),
                "timeouts": self.timeouts,
            },
        }
