"""The estimate for more workers: its sum by hand, and its parts measured on a real cluster."""

from __future__ import annotations

import pytest
from distributed import Client, LocalCluster

import execkit as ek
from execkit import sample, scaleout

PARTS = scaleout.Parts(
    sent_bytes=1_000_000, send_s=0.5, prepare_s=2.0, run_s=0.1, dispatch_s=0.001, orders=50
)


def test_the_sum_is_that_of_the_formula() -> None:
    table = scaleout.estimate(PARTS, 10_000, (1, 7, 1000))

    one, seven, many = table.to_dict("records")
    assert one["total_s"] == pytest.approx(0.5 + 2 + 1000)
    assert seven["total_s"] == pytest.approx(3 * 0.5 + 2 + 1429 * 0.1)
    assert many["total_s"] == pytest.approx(10 * 0.5 + 2 + 10)  # the scheduler bounds it
    assert many["order_us"] == pytest.approx(17e6 / 500_000)
    assert many["order_worker_us"] == pytest.approx(17e9 / 500_000)
    assert one["efficiency"] == pytest.approx(1000 / 1002.5)
    slow = scaleout.estimate(PARTS, 10_000, (7,), network_bytes_per_s=1e6)
    assert slow["total_s"][0] == pytest.approx(seven["total_s"] + 3 * 1.0)


def test_no_workers_is_refused() -> None:
    with pytest.raises(ek.InvalidInput, match="workers"):
        scaleout.estimate(PARTS, 10, (0,))


def test_the_parts_are_measured_on_a_cluster_that_is_there() -> None:
    market = sample.make_bars(days=2).select("BTCUSDT")
    quotes, cell = ek.LimitOrders(quantity=0.01), {"offset_bps": 2.0, "horizon": 10}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        parts = scaleout.measure(quotes, cell, market, client, fill="optimistic")
        with pytest.raises(ek.InvalidInput, match="not a multiple of the lot"):
            scaleout.measure(ek.LimitOrders(quantity=1e-9), cell, market, client)

    assert parts.orders == 2 * 1440 - 1
    assert parts.sent_bytes > 2 * 1440 * 6 * 8
    assert min(parts.send_s, parts.prepare_s, parts.run_s, parts.dispatch_s) > 0
    assert parts.prepare_s > parts.run_s  # the first run compiles or loads, and indexes
