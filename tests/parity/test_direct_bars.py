"""A direct answer on bars is what the event loop makes of the same orders, row for row."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from case import Case
from compare import as_table, simulated
from hypothesis import given, settings
from streams import bar_case, random_case

import execkit as ek
from execkit.matching import direct
from execkit.matching import state as st
from execkit.matching.outcome import Found
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE
from execkit.simulator import SimulationResult, replayed

MINUTE = 60_000_000_000
AMPLE = replace(QUEUE, name="ample", participation=None)


def alone(case: Case, types: tuple[str, ...] = ()) -> Case:
    """The case without what ties orders to each other or to the whole path."""
    plain = {"oco_group": None, "reduce_only": False}
    kept = [
        order | plain
        for order in case.orders
        if order["order_type"] != "trailing_stop" and (not types or order["order_type"] in types)
    ]
    return as_table(replace(case, orders=kept))


def both(result: SimulationResult) -> tuple[Found | None, Found]:
    """The direct answer to the orders of a result, and that of the event loop."""
    (part,) = result.request.parts
    start = result.request.start.get(part.market.symbol, 0.0)
    asked = (result.request, part, result.model, start)
    return direct.answer(*asked), replayed(*asked)


def same(found: Found, wanted: Found, result: SimulationResult) -> None:
    assert found.ambiguous == wanted.ambiguous
    for name in ("status", "reason", "triggered_ns", "done_ns"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist(), name
    units = result.request.parts[0].market.units
    assert found.prices(units).tolist() == wanted.prices(units).tolist()
    for name in ("fill_row", "fill_ts", "fill_quantity", "fill_maker"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist(), name


def agree(case: Case, types: tuple[str, ...] = (), **model: Any) -> str:
    """Compare if there is a direct answer; returns what was found, for counting."""
    case = alone(case, types)
    if not case.orders:
        return "no orders"
    result = simulated(case, replace(case.model, **model))
    found, wanted = both(result)
    if found is None:
        return "replayed"
    same(found, wanted, result)
    return "direct" if len(found.fill_row) else "direct, no fill"


@given(bar_case())
@settings(max_examples=150, deadline=None)
def test_drawn_orders_agree_wherever_there_is_a_direct_answer(case: Case) -> None:
    agree(case)
    agree(case, ("market",))


def test_seeded_market_orders_are_always_answered_directly() -> None:
    """Small volumes, so that most wait for several bars and many are cut off while they do."""
    told = Counter(
        agree(random_case(random.Random(seed), "bar", 60, 60), ("market",)) for seed in range(150)
    )
    assert set(told) <= {"direct", "direct, no fill", "no orders"}
    assert told["direct"] > 100


@pytest.mark.parametrize("model", [OPTIMISTIC, AMPLE, PESSIMISTIC], ids=lambda m: str(m.name))
def test_seeded_limits_and_stops_agree(model: ek.FillModel) -> None:
    """Bars without volume among them, which give a resting order nothing and leave it there."""
    told: Counter[str] = Counter()
    for seed in range(150):
        case = replace(random_case(random.Random(seed), "bar", 25, 60), model=model)
        told[agree(case, participation=None)] += 1
    assert told["replayed"] > 0
    assert told["direct"] > 20


def bars(n: int = 400, seed: int = 1, volume: float = 1e6) -> ek.MarketData:
    rng = np.random.default_rng(seed)
    close = 100 + np.cumsum(rng.integers(-3, 4, n)) * 0.1
    opened = np.append(100.0, close[:-1]) + rng.integers(-1, 2, n) * 0.1
    frame = pd.DataFrame(
        {
            "ts_ns": np.arange(n) * MINUTE,
            "open": opened,
            "high": np.maximum(opened, close) + 0.2,
            "low": np.minimum(opened, close) - 0.2,
            "close": close,
            "volume": volume,
        }
    ).round(1)
    return ek.MarketData.from_bars(frame, symbol="BTCUSDT")


def crowd(n: int, seed: int = 2, length: int = 400) -> pd.DataFrame:
    """Orders of all plain types with many equal prices and times."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["limit", "stop_market", "stop_limit", "market"], n, p=[0.5, 0.2, 0.2, 0.1])
    tif = rng.choice(["GTC", "IOC", "FOK", "GTD"], n, p=[0.5, 0.1, 0.1, 0.3])
    ts = np.sort(rng.integers(0, length - 1, n)) * MINUTE + rng.integers(0, 2)
    price = np.round(100 + rng.integers(-30, 31, n) * 0.1, 1)
    stop = np.round(100 + rng.integers(-30, 31, n) * 0.1, 1)
    later = ts + rng.integers(1, 90, n) * (MINUTE // 2)
    gaps = {"expire_ts_ns": tif == "GTD", "cancel_ts_ns": rng.random(n) < 0.3}
    limited = np.isin(kind, ["limit", "stop_limit"])
    table = {
        "ts_ns": ts,
        "side": rng.choice(["buy", "sell"], n),
        "order_type": kind,
        "quantity": 1.0 + rng.integers(0, 3, n),
        "price": np.where(limited, price, np.nan),
        "stop_price": np.where(np.isin(kind, ["stop_market", "stop_limit"]), stop, np.nan),
        "time_in_force": tif,
        "post_only": limited & (rng.random(n) < 0.2) & np.isin(tif, ["GTC", "GTD"]),
        "client_order_id": [f"c{i}" for i in range(n)],
    }
    for name, there in gaps.items():
        table[name] = pd.array(np.where(there, later, None), "Int64")
    return pd.DataFrame(table)


@pytest.mark.parametrize("intrabar", ["pessimistic", "optimistic"])
@pytest.mark.parametrize("half_spread_bps", [0.0, 8.0])
@pytest.mark.parametrize("latency", [0, 45_000_000_000])
def test_a_crowd_of_orders_with_ties_agrees(
    intrabar: Any, half_spread_bps: float, latency: int
) -> None:
    """Jitter has orders overtake each other; the answer is direct even so."""
    model = replace(OPTIMISTIC, intrabar=intrabar, half_spread_bps=half_spread_bps, stop_slip=0.3)
    delays = ek.LatencyModel(entry_ns=latency, cancel_ns=latency, jitter_ns=latency // 3)
    result = ek.simulate(crowd(6_000), bars(), model, latency=delays)
    found, wanted = both(result)

    assert found is not None
    same(found, wanted, result)
    assert len(found.fill_row) > 2_000
    assert len(np.unique(found.reason)) >= 5
    assert (found.triggered_ns > 0).sum() > 500


def test_threads_and_sizes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from execkit.matching import direct_bars

    result = ek.simulate(crowd(3_000), bars(), OPTIMISTIC)
    one, _ = both(result)
    monkeypatch.setattr(direct_bars, "ALONE", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    several, _ = both(result)

    assert one is not None
    assert several is not None
    same(several, one, result)


def order(**fields: object) -> dict[str, object]:
    return {"ts_ns": 1, "side": "buy", "order_type": "market", "quantity": 1.0} | fields


@pytest.mark.parametrize(
    "rows, volume",
    [
        ([order(oco_group="g"), order(ts_ns=2, oco_group="g")], 1e6),
        ([order(reduce_only=True)], 1e6),
        ([order(order_type="trailing_stop", trail_bps=5.0)], 1e6),
        ([order(), order(ts_ns=2, order_type="limit", price=200.0)], 10.0),
    ],
)
def test_what_hangs_on_other_orders_or_on_the_path_is_replayed(
    rows: list[dict[str, object]], volume: float
) -> None:
    assert both(ek.simulate(rows, bars(volume=volume)))[0] is None


def test_orders_that_fit_in_a_bar_together_are_looked_up_to_the_last_lot() -> None:
    """20 % of 10 is 2: two orders of one fit, and one more does not."""
    model = replace(QUEUE, participation=0.2)
    rows = [order(order_type="limit", price=200.0, ts_ns=ts) for ts in (1, 2)]
    fits = ek.simulate(rows, bars(volume=10.0), model)
    found, wanted = both(fits)
    assert found is not None
    same(found, wanted, fits)
    assert both(ek.simulate([*rows, order(ts_ns=3)], bars(volume=10.0), model))[0] is None


def test_the_plain_case_shares_its_columns() -> None:
    """A market order at each bar: what is the same for all takes no room."""
    market = bars()
    table = {
        "ts_ns": np.arange(400) * MINUTE,
        "side": pd.Categorical.from_codes(np.arange(400) % 2, ["buy", "sell"]),
        "order_type": "market",
        "quantity": 1.0,
    }
    result = ek.simulate(table, market, AMPLE, fee=ek.FeeModel(taker_bps=4))
    found, wanted = both(result)
    assert found is not None
    same(found, wanted, result)
    assert result.columns.one_each
    assert found.status.strides == found.triggered_ns.strides == (0,)
    assert found.fill_ts.base is result.table.ts_ns.base or np.shares_memory(
        found.fill_ts, result.table.ts_ns
    )
    assert (found.status == st.S_FILLED).all()
