"""Sweeps: one market indexed once, many combinations, the same numbers wherever they run."""

from __future__ import annotations

import gc
import os
import signal
import time
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import execkit as ek
from execkit import executors, sample
from execkit.matching.reference_price import reference_prices
from execkit.matching.tape import build_tape
from execkit.summaries import summarise
from execkit.sweeps import CombinationFailed, combinations

FEE = ek.FeeModel(maker_bps=1, taker_bps=4)
GRID = {"offset_ticks": [1, 6], "gap_s": [30, 60]}


@pytest.fixture(scope="module")
def market() -> Any:
    return sample.make("book")


@pytest.fixture(scope="module")
def bars() -> Any:
    return sample.make_bars(days=1).select("BTCUSDT")


def ladder(market: Any, offset_ticks: int, gap_s: float) -> pd.DataFrame:
    """Buys and sells in turn, some ticks from the mid, for ten seconds each."""
    first, last = market.span()
    ts = np.arange(first + 5 * 10**9, last - 20 * 10**9, int(gap_s * 1e9))
    book = market.book_at("BTCUSDT", int(ts[0]))
    middle = 0.5 * round(book.bids[0, 0] + book.asks[0, 0])
    buys = np.arange(len(ts)) % 2 == 0
    return pd.DataFrame(
        {
            "ts_ns": ts,
            "side": np.where(buys, "buy", "sell"),
            "order_type": "limit",
            "quantity": 0.05,
            "price": middle + np.where(buys, -0.5, 0.5) * offset_ticks,
            "time_in_force": "GTC",
            "cancel_ts_ns": ts + 10 * 10**9,
        }
    )


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="run_s")


@pytest.fixture(scope="module")
def table(market: Any) -> pd.DataFrame:
    return ek.sweep(ladder, GRID, market, fee=FEE, latency=ek.LatencyModel(jitter_ns=10**7), seed=3)


def test_a_market_is_indexed_once_for_all_runs_and_let_go_with_it() -> None:
    market = sample.make_bars(days=1)
    tape = build_tape(market, "BTCUSDT")

    assert build_tape(market, "BTCUSDT", "bars") is tape
    assert build_tape(market, "ETHUSDT") is not tape
    assert reference_prices(tape) is reference_prices(tape)

    gone = weakref.ref(tape)
    del tape, market
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------------- what comes back


def test_a_row_is_what_simulate_says_of_its_combination(market: Any, table: pd.DataFrame) -> None:
    assert table[["offset_ticks", "gap_s"]].to_numpy().tolist() == [
        [1, 30],
        [1, 60],
        [6, 30],
        [6, 60],
    ]
    latency = ek.LatencyModel(jitter_ns=10**7)
    for row in table.to_dict("records"):
        orders = ladder(market, row["offset_ticks"], row["gap_s"])
        result = ek.simulate(orders, market, fee=FEE, latency=latency, seed=3)
        assert {k: row[k] for k in summarise(result)} == summarise(result)
        assert row["fills"] > 0
        assert row["run_s"] > 0


def test_the_summary_agrees_with_frames_and_the_store(market: Any) -> None:
    orders = ladder(market, 1, 15).assign(order_type="market", price=np.nan)
    result = ek.simulate(orders.drop(columns="cancel_ts_ns"), market, fee=FEE)
    slippage = result.slippage()
    summary = summarise(result)

    cost = 1e4 * slippage["arrival_cost_ccy"].sum()
    notional = (slippage["arrival_price"] * slippage["filled_quantity"]).sum()
    assert summary["arrival_cost_bps"] == pytest.approx(cost / notional)
    assert summary["fees_USDT"] == pytest.approx(result.fills["fee"].sum())
    assert summary["equity_USDT"] == pytest.approx(result.equity["equity"].iloc[-1])
    assert summary["realised_USDT"] == pytest.approx(result.positions["realised_pnl"].iloc[-1])
    assert summary["resting_s"] == 0.0


def test_nothing_filled_is_told_as_nothing_and_not_as_zero_cost(bars: Any) -> None:
    (row,) = ek.sweep(
        ek.LimitOrders(quantity=0.01), {"offset_bps": [500], "horizon": [3]}, bars
    ).to_dict("records")

    assert row["filled_any"] == row["fees_USDT"] == row["equity_USDT"] == 0
    assert np.isnan(row["arrival_cost_bps"])
    assert np.isnan(row["maker_ratio"])
    assert row["resting_s"] == pytest.approx(180, abs=1)


@pytest.mark.parametrize(
    "grid",
    [
        {"a": [1, 2], "b": ["x"]},
        [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}],
        pd.DataFrame({"a": [1, 2], "b": ["x", "x"]}),
        {"a": np.array([1, 2]), "b": ("x",)},
    ],
)
def test_a_grid_may_come_in_several_forms(grid: Any) -> None:
    assert combinations(grid) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


@pytest.mark.parametrize("grid", [{}, [], {"a": []}, {"a": "word"}, {"a": 3}, 7, [{}]])
def test_a_grid_without_a_combination_is_refused(grid: Any, bars: Any) -> None:
    with pytest.raises(ek.InvalidInput, match="grid"):
        ek.sweep(ladder, grid, bars)


def test_assumptions_may_be_swept_too(bars: Any) -> None:
    quotes, free = ek.LimitOrders(quantity=0.01), ek.FillModel(name="free", participation=None)
    grid = {
        "offset_bps": [1.0],
        "horizon": [5],
        "fill": ["pessimistic", "optimistic", free],
        "fee": [ek.FeeModel(), FEE],
    }
    found = ek.sweep(quotes, grid, bars)

    assert found["fill"].tolist() == ["pessimistic"] * 2 + ["optimistic"] * 2 + ["free"] * 2
    for at, fill in ((1, "pessimistic"), (3, "optimistic"), (5, free)):
        orders = quotes(bars, offset_bps=1.0, horizon=5)
        alone = summarise(ek.simulate(orders, bars, fill=fill, fee=FEE))
        assert found["filled_any"][at] == alone["filled_any"]
        assert found["fees_USDT"][at] == pytest.approx(alone["fees_USDT"])
    assert (found["fees_USDT"][::2] == 0).all()


def test_a_shared_pass_and_one_by_one_make_the_same_table(bars: Any) -> None:
    quotes = ek.LimitOrders(quantity=0.01, every=10)
    grid = {"offset_bps": [0, 1.5, 4], "horizon": [1, 9]}
    free = ek.FillModel(name="free", participation=None)

    def listed(market: Any, offset_bps: float, horizon: int) -> pd.DataFrame:
        return quotes(market, offset_bps=offset_bps, horizon=horizon)

    together = ek.sweep(quotes, grid, bars, fill=free, fee=FEE)
    one_by_one = ek.sweep(listed, grid, bars, fill=free, fee=FEE)

    pd.testing.assert_frame_equal(numbers(together), numbers(one_by_one), rtol=1e-9, atol=1e-7)


# ------------------------------------------------------------------------- what goes wrong


def sometimes(market: Any, when: int) -> pd.DataFrame:
    if when == 2:
        raise KeyError("no such signal")
    orders = ladder(market, 1, 60)
    return orders.assign(quantity=0.0001) if when == 3 else orders


def test_a_combination_that_fails_is_named(market: Any) -> None:
    with pytest.raises(CombinationFailed, match="when=2 failed: KeyError: 'no such signal'") as one:
        ek.sweep(sometimes, {"when": [2]}, market)
    assert "in sometimes" in "".join(one.value.__notes__)
    assert one.value.parameters == {"when": 2}

    with pytest.raises(CombinationFailed, match=r"when=3 failed: quantity = 0\.0001 in row 0"):
        ek.sweep(sometimes, {"when": [3]}, market)


def test_failures_can_be_recorded_and_the_rest_goes_on(market: Any) -> None:
    found = ek.sweep(sometimes, {"when": [1, 2, 3]}, market, errors="record")

    assert found["error"].isna().tolist() == [True, False, False]
    assert found["orders"].notna().tolist() == [True, False, False]
    assert found["error"][1] == "KeyError: 'no such signal'"


def test_one_bad_offset_does_not_take_the_others_with_it(bars: Any) -> None:
    grid = {"offset_bps": [1.0, 20_000.0], "horizon": [2]}
    free = ek.FillModel(name="free", participation=None)
    trips = ek.RoundTrips(quantity=0.01)
    found = ek.sweep(trips, grid, bars, fill=free, errors="record")

    assert found["error"].isna().tolist() == [True, False]
    assert found["entries"][0] > 0
    with pytest.raises(CombinationFailed, match=r"offset_bps=20000\.0, horizon=2 failed"):
        ek.sweep(trips, grid, bars, fill=free)


@pytest.mark.parametrize(
    "make_orders, grid, word",
    [
        (ladder, {"offset_ticks": [1], "gap": [3]}, "gap"),
        (ladder, {"offset_ticks": [1]}, "gap_s"),
        (ek.LimitOrders(quantity=1), {"offset_bps": [1]}, "horizon"),
        (3, {"a": [1]}, "make_orders"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_runs(
    make_orders: Any, grid: Any, word: str, market: Any
) -> None:
    with pytest.raises(ek.InvalidInput, match=word):
        ek.sweep(make_orders, grid, market)


@pytest.mark.parametrize(
    "wrong",
    [{"fill": "queues"}, {"fee": 3}, {"seed": "x"}, {"errors": "skip"}, {"executor": 3}],
)
def test_bad_arguments_are_refused_by_name(wrong: dict[str, Any], market: Any) -> None:
    with pytest.raises(ek.InvalidInput, match=next(iter(wrong))):
        ek.sweep(ladder, GRID, market, **wrong)


def test_a_backend_that_is_not_there_is_refused(market: Any) -> None:
    with pytest.raises(ek.InvalidInput, match="nowhere"):
        ek.sweep(ladder, GRID, market, "nowhere")


def test_a_scheduler_that_does_not_answer_is_told(
    market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "CONNECT_S", 0.3)
    with pytest.raises(ek.InvalidInput, match="no Dask scheduler answers"):
        ek.sweep(ladder, GRID, market, "tcp://localhost:9")


# ------------------------------------------------------------------------- where it runs (S5)


@pytest.mark.parametrize(
    "executor", ["threading", "loky", joblib.Parallel(n_jobs=2, backend="threading")]
)
def test_joblib_gives_the_same_numbers(executor: Any, market: Any, table: pd.DataFrame) -> None:
    found = ek.sweep(
        ladder, GRID, market, executor, fee=FEE, latency=ek.LatencyModel(jitter_ns=10**7), seed=3
    )
    pd.testing.assert_frame_equal(numbers(found), numbers(table))


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and two worker processes on loopback."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as made:
        yield made


def test_dask_gives_the_same_numbers_by_client_and_by_address(
    cluster: LocalCluster, market: Any, table: pd.DataFrame
) -> None:
    assumed: Any = {"fee": FEE, "latency": ek.LatencyModel(jitter_ns=10**7), "seed": 3}
    with Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        found = ek.sweep(ladder, GRID, market, client, **assumed)
    again = ek.sweep(ladder, GRID, market, cluster.scheduler_address, **assumed)

    pd.testing.assert_frame_equal(numbers(found), numbers(table))
    pd.testing.assert_frame_equal(numbers(again), numbers(table))


def deadly(market: Any, when: int, marks: str) -> pd.DataFrame:
    """Kills the process that it runs in, once; leaves a mark for every call."""
    first = Path(marks) / "killed"
    if when == 3 and not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    (Path(marks) / f"{when}-{os.getpid()}-{time.time_ns()}").touch()
    return ladder(market, 1, 30 + when)


def test_a_worker_that_is_killed_costs_only_time(
    cluster: LocalCluster, market: Any, tmp_path: Path
) -> None:
    grid = {"when": list(range(8))}
    (tmp_path / "killed").touch()
    calm = ek.sweep(partial(deadly, marks=str(tmp_path)), grid, market)
    (tmp_path / "killed").unlink()

    with Client(cluster) as client:
        before = set(client.run(os.getpid).values())
        found = ek.sweep(partial(deadly, marks=str(tmp_path)), grid, market, client)
        client.wait_for_workers(2)
        after = set(client.run(os.getpid).values())

    assert (tmp_path / "killed").exists()
    assert len(before - after) == 1  # one process is gone, another took its place
    pd.testing.assert_frame_equal(numbers(found), numbers(calm))


def test_the_market_goes_to_each_worker_once(cluster: LocalCluster, market: Any) -> None:
    """Combinations on one worker see the very same object."""
    with Client(cluster) as client:
        found = ek.sweep(same_object, {"when": list(range(12))}, market, client)

    assert found["orders"].nunique() == 1
    with Client(cluster) as client:
        seen = client.run(markets_seen)
    assert sum(seen.values()) <= 2
    assert max(seen.values()) == 1


_seen: set[int] = set()


def markets_seen() -> int:
    return len(_seen)


def same_object(market: Any, when: int) -> pd.DataFrame:
    _seen.add(id(market))
    return ladder(market, 1, 60)


def flaky(shared: list[int], batch: int) -> int:
    if batch == 1 and not shared:
        shared.append(1)
        raise OSError("the worker is gone")
    return batch * 10


class Backend:
    """A joblib-like callable that runs in this process."""

    def __call__(self, calls: Any) -> Iterator[Any]:
        return (function(*args, **kwargs) for function, args, kwargs in calls)


def test_lost_batches_run_again_and_no_other() -> None:
    done = dict(executors.run(Backend(), flaky, [], [0, 1, 2]))

    assert done == {0: 0, 1: 10, 2: 20}


def test_what_is_lost_again_and_again_is_an_error() -> None:
    def never(shared: object, batch: int) -> int:
        raise OSError("the worker is gone")

    with pytest.raises(OSError, match="gone"):
        list(executors.run(Backend(), never, None, [0]))


class Shy(ek.LatencyModel):
    """One that does not show how slow it is."""

    def __repr__(self) -> str:
        return "Shy()"


@pytest.mark.parametrize("executor", [None, "threading"])
def test_models_that_look_alike_are_not_taken_for_each_other(bars: Any, executor: Any) -> None:
    grid = {"latency": [Shy(), Shy(entry_ns=3_600_000_000_000)], "offset_bps": [5], "horizon": [20]}
    found = ek.sweep(ek.LimitOrders(quantity=0.1), grid, bars, executor, progress=False)
    assert found["filled_any"].iloc[0] > 0
    assert found["filled_any"].iloc[1] == 0, "an hour late is after the end of twenty minutes"
