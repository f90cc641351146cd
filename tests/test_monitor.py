"""Measurements: legs and costs by hand, signs, and None where nothing was measured."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from execkit.clock import NS_PER_MS, LiveClock, ReplayClock
from execkit.domain import ExecutionOrder, Fill
from execkit.errors import InvalidInput
from execkit.monitor import OrderMonitor
from execkit.words import ExecutionStatus, Side

D = Decimal
MS = NS_PER_MS


def ended(
    monitor: OrderMonitor,
    side: str,
    price: str | None,
    *,
    decision: str | None = "100",
    arrival: str | None = "100",
    quantity: str = "1",
    signal_ms: int | None = 0,
    **more: Any,
) -> ExecutionOrder:
    """Run one order past the monitor: decided at 1 ms, sent at 2, taken at 5, done at 30."""
    order = ExecutionOrder(
        **{
            "symbol": "BTCUSDT",
            "side": side,
            "order_type": "market",
            "quantity": quantity,
            **more,
        }
    )
    order.created_ts_ns, order.sent_ts_ns, order.accepted_ts_ns = 1 * MS, 2 * MS, 5 * MS
    order.decision_price = None if decision is None else D(decision)
    order.arrival_price = None if arrival is None else D(arrival)
    monitor.submitted(order, None if signal_ms is None else signal_ms * MS)
    if price is not None:
        order.filled_quantity, order.average_filled_price = D(quantity), D(price)
        fill = Fill(
            fill_id="f",
            client_order_id=order.client_order_id,
            symbol="BTCUSDT",
            side=Side.of(side),
            quantity=D(quantity),
            price=D(price),
            venue_ts_ns=0,
            local_ts_ns=12 * MS,
        )
        monitor.filled(order, fill)
    order.status = ExecutionStatus.FILLED if price is not None else ExecutionStatus.CANCELED
    order.done_ts_ns = 30 * MS
    monitor.ended(order)
    return order


def market_order() -> ExecutionOrder:
    words: dict[str, Any] = {"side": "buy", "order_type": "market", "quantity": 1}
    return ExecutionOrder(symbol="BTCUSDT", **words)


def test_nothing_measured_is_none_and_not_zero() -> None:
    metrics = OrderMonitor().get_metrics_summary()
    assert metrics["speed"]["avg_latency_ms"] is None
    assert metrics["slippage"]["avg_slippage_pct"] is None
    assert metrics["execution"]["avg_fill_time_ms"] is None
    assert metrics["execution"]["fill_rate_pct"] is None
    assert metrics["slippage"]["total_cost"] is None


def test_the_legs_of_an_order_are_measured_one_by_one() -> None:
    monitor = OrderMonitor()
    ended(monitor, "buy", "100")
    assert monitor.reports[0].legs_ns == {
        "signal_to_decision": 1 * MS,
        "decision_to_sent": 1 * MS,
        "sent_to_accepted": 3 * MS,
        "sent_to_first_fill": 10 * MS,
        "sent_to_done": 28 * MS,
    }
    metrics = monitor.get_metrics_summary()
    assert metrics["speed"]["avg_latency_ms"] == 3.0
    assert metrics["execution"]["avg_fill_time_ms"] == 10.0


def test_a_leg_that_did_not_happen_is_left_out_of_the_mean() -> None:
    monitor = OrderMonitor()
    ended(monitor, "buy", "100", signal_ms=None)
    ended(monitor, "buy", None)
    legs = monitor.get_metrics_summary()["speed"]["legs_avg_ms"]
    assert (legs["signal_to_decision"], legs["sent_to_first_fill"]) == (1.0, 10.0)
    assert monitor.reports[1].legs_ns["sent_to_first_fill"] is None
    assert monitor.get_metrics_summary()["execution"]["fill_rate_pct"] == 50.0


@pytest.mark.parametrize(
    ("side", "price", "bps"), [("buy", "101", 100), ("sell", "99", 100), ("buy", "99.5", -50)]
)
def test_a_cost_is_positive_when_it_is_worse_for_us_on_both_sides(
    side: str, price: str, bps: float
) -> None:
    monitor = OrderMonitor()
    ended(monitor, side, price)
    assert monitor.reports[0].decision_cost_bps == pytest.approx(bps)


def test_the_average_cost_is_a_ratio_of_sums() -> None:
    monitor = OrderMonitor()
    ended(monitor, "buy", "101", quantity="9")  # 9 lost on 900
    ended(monitor, "sell", "101", quantity="1")  # 1 won on 100
    ended(monitor, "buy", "500", decision=None, arrival=None)  # not measurable
    found = monitor.get_slippage_metrics()
    assert found["avg_slippage_pct"] == pytest.approx(0.8)  # 8 of 1000
    assert (found["best_slippage_pct"], found["worst_slippage_pct"]) == (-1.0, 1.0)
    assert (found["total_cost"], found["orders_measured"]) == (8.0, 2)


def test_decision_and_arrival_are_measured_apart() -> None:
    monitor = OrderMonitor()
    ended(monitor, "buy", "102", decision="100", arrival="101")
    found = monitor.get_slippage_metrics()
    assert found["decision_cost_bps"] == pytest.approx(200)
    assert found["arrival_cost_bps"] == pytest.approx(10_000 / 101)


@pytest.mark.parametrize(
    "more", [{"order_type": "stop_market", "stop_price": 90}, {"oco_group": "g"}]
)
def test_orders_that_wait_for_another_price_have_no_cost(more: dict[str, Any]) -> None:
    monitor = OrderMonitor()
    ended(monitor, "sell", "80", **more)
    assert monitor.reports[0].decision_cost_bps is None


def test_percentiles_are_over_the_newest_and_the_mean_over_all() -> None:
    monitor = OrderMonitor(window=2)
    series = monitor._legs["sent_to_accepted"]
    for value in (100, 1, 2):
        series.add(value * MS)
    assert series.mean_ms() == pytest.approx(103 / 3)
    assert (series.quantile_ms(0.5), series.quantile_ms(0.99)) == (1.0, 2.0)


def test_an_order_is_measured_once() -> None:
    monitor = OrderMonitor()
    monitor.ended(ended(monitor, "buy", "101"))
    assert monitor.get_slippage_metrics()["orders_measured"] == 1


def test_monitoring_returns_when_the_order_is_done() -> None:
    async def scenario() -> None:
        monitor = OrderMonitor(clock=LiveClock())
        order = market_order()

        async def later() -> None:
            await asyncio.sleep(0.01)
            order.status = ExecutionStatus.FILLED

        task = asyncio.create_task(later())
        assert await monitor.monitor_order(order, None, timeout_seconds=5) is order
        assert order.is_done
        assert monitor.timeouts == 0
        await task

    asyncio.run(scenario())


def test_monitoring_ends_at_the_timeout_and_counts_it() -> None:
    monitor = OrderMonitor(clock=LiveClock())
    order = market_order()
    assert not asyncio.run(monitor.monitor_order(order, timeout_seconds=0.02)).is_done
    assert monitor.timeouts == 1
    with pytest.raises(InvalidInput, match="timeout_seconds"):
        asyncio.run(OrderMonitor(clock=ReplayClock()).monitor_order(order, timeout_seconds=0))
