"""Orders answered by several threads, each its stretch of the tape, are what one thread answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from execkit import simulator
from execkit.market import MarketData
from execkit.matching import direct_book
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel

START = 1_700_000_000_000_000_000
EVENTS = 3_000


@pytest.fixture
def market() -> MarketData:
    """A bid and an ask side of six levels each, of which one is set at a time."""
    rng = np.random.default_rng(11)
    n, first = EVENTS, np.arange(12)
    level = np.concatenate([first, rng.integers(0, 12, n)])
    away = np.where(level < 6, -1 - level, level - 5)
    frame = pd.DataFrame(
        {
            "ts_ns": START + 1000 * np.concatenate([np.zeros(12, dtype=int), np.arange(1, n + 1)]),
            "side": np.where(level < 6, "bid", "ask"),
            "price": 1000.0 + away,
            "quantity": np.concatenate([np.full(12, 9.0), rng.integers(1, 30, n)]),
            "is_snapshot": np.concatenate([np.ones(12, dtype=int), np.zeros(n, dtype=int)]),
        }
    )
    return MarketData.from_depth(frame, symbol="X")


def orders(n: int, reduce_only: bool = False) -> pd.DataFrame:
    """Takers that leave levels short for those who come next, and limits that soon end."""
    rng = np.random.default_rng(12)
    ts = START + np.sort(rng.integers(1, 1000 * EVENTS, n))
    market = rng.random(n) < 0.5
    cancel = pd.array(ts + rng.integers(1, 3_000, n), dtype="Int64")
    cancel[market] = pd.NA
    return pd.DataFrame(
        {
            "ts_ns": ts,
            "side": np.where(rng.random(n) < 0.5, "buy", "sell"),
            "order_type": np.where(market, "market", "limit"),
            "quantity": rng.integers(1, 25, n).astype(float),
            "price": np.where(market, np.nan, 1000.0 + rng.integers(-4, 5, n)),
            "cancel_ts_ns": cancel,
            "reduce_only": reduce_only,
        }
    )


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pieces were answered side by side, each time that there were any."""
    seen: list[int] = []
    real: Callable[..., np.ndarray] = direct_book._in_parts

    def spy(*given: object) -> np.ndarray:
        seen.append(sum(len(some) for some in given[4]))  # type: ignore[attr-defined, misc]
        return real(*given)

    monkeypatch.setattr(direct_book, "_in_parts", spy)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return seen


def both(
    market: MarketData, table: pd.DataFrame, model: FillModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = []
    for alone in (len(table) + 1, 20):
        monkeypatch.setattr(direct_book, "ALONE", alone)
        got.append(simulator.simulate(table, market, model, run_id="run", progress=False))
    one, several = got
    assert len(one.fills) > len(table) // 3
    pd.testing.assert_frame_equal(one.orders, several.orders)
    pd.testing.assert_frame_equal(one.fills, several.fills)


@pytest.mark.parametrize("short, count", [(1, 7), (7, 7), (40, 7), (400, 4)])
@pytest.mark.parametrize("model", [QUEUE, OPTIMISTIC, PESSIMISTIC], ids=lambda m: str(m.name))
def test_parts_of_the_tape_are_answered_as_one(
    model: FillModel,
    short: int,
    count: int,
    market: MarketData,
    pieces: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where what was taken before a cut is felt after it: those pieces are answered again."""
    told: list[bool] = []
    real = direct_book.differs
    monkeypatch.setattr(direct_book, "SHORT", short)
    monkeypatch.setattr(direct_book, "differs", lambda *a: told.append(real(*a)) or told[-1])
    both(market, orders(600), model, monkeypatch)
    assert pieces == [count]
    assert any(told)


def test_reduce_only_orders_are_answered_by_one_thread(
    market: MarketData, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = orders(600, reduce_only=True)
    table.loc[::2, "reduce_only"] = False
    both(market, table, QUEUE, monkeypatch)
    assert pieces == []


def test_a_run_in_a_thread_of_somebody_elses_starts_no_more_of_them(
    market: MarketData, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_book, "ALONE", 100)
    table = orders(1_000)
    here = simulator.simulate(table, market, progress=False)
    assert len(pieces) == 1
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(simulator.simulate, table, market, progress=False).result()
    assert len(pieces) == 1
    pd.testing.assert_frame_equal(
        there.fills.drop(columns="run_id"), here.fills.drop(columns="run_id")
    )
