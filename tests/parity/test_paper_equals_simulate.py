"""PaperVenue alone, and the whole engine around it, give the fills and endings of simulate()."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import cycle
from pathlib import Path

import pandas as pd
import pytest
from case import QUANTITY_UNIT, SYMBOL, Case
from compare import LATENCY_NS, as_table
from conftest import Compared
from paths import Setup, assert_same, live_as_one, through_engine, through_venue, told_by
from streams import KINDS, random_case

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.models.fee import FeeModel, FeeTier
from execkit.models.latency import LatencyModel

SLOW = LatencyModel(entry_ns=700, cancel_ns=900, response_ns=1300, jitter_ns=800)
FAST = LatencyModel(entry_ns=1, cancel_ns=1)
# a new rate after nearly every fill: orders are worth about 0.001 to 0.1 each
STEPS = [0.002 * 1.3**n for n in range(25)]
TIERS = FeeModel(
    maker_bps=1.0,
    taker_bps=5.0,
    tiers=tuple(
        FeeTier(volume=volume, maker_bps=0.5 - 0.1 * n, taker_bps=4.9 - 0.1 * n)
        for n, volume in enumerate(STEPS)
    ),
)


def several(cases: Sequence[Case]) -> tuple[pd.DataFrame, MarketData, dict[str, Decimal]]:
    """Cases side by side, each under a symbol of its own: orders, market, positions to start."""
    parts: dict[str, list[pd.DataFrame]] = {}
    orders, instruments, intervals, positions = [], {}, {}, {}
    for number, case in enumerate(cases):
        symbol = SYMBOL if len(cases) == 1 else f"S{number}USDT"
        for kind, frame in case.market_frames().items():
            parts.setdefault(kind, []).append(frame.assign(symbol=symbol))
        names = [f"{symbol}-{row}" for row in range(len(case.orders))]
        frame = case.orders_frame(LATENCY_NS)
        groups = [None if pd.isna(g) else f"{symbol}-{g}" for g in frame["oco_group"]]
        orders.append(frame.assign(symbol=symbol, client_order_id=names, oco_group=groups))
        instruments[symbol] = replace(case.instrument(), symbol=symbol, base="BTC", quote="USDT")
        positions[symbol] = case.start_position * QUANTITY_UNIT
        if case.interval:
            intervals[symbol] = case.interval
    tables = {}
    for kind, frames in parts.items():
        extra = {"interval": max(intervals.values())} if kind == "bars" else {}
        made = getattr(MarketData, f"from_{kind}")(pd.concat(frames), **extra)
        tables[kind] = getattr(made, kind)
    market = MarketData(
        **tables,
        instruments=instruments,
        shared_seq=cases[0].shared_seq,
        bar_interval_ns=intervals,
    )
    table = pd.concat(orders).sort_values("ts_ns", kind="stable", ignore_index=True)
    return table, market, positions


def agree(
    orders: pd.DataFrame,
    market: MarketData,
    setup: Setup,
    folder: Path,
    compared: Compared,
    what: str,
) -> None:
    told = told_by(setup.simulated(orders, market))
    assert_same(told, through_venue(orders, market, setup))
    assert_same(live_as_one(told), through_engine(orders, market, setup, folder))
    filled = sum(row.filled > 0 for row in told.orders.values())
    compared(f"simulate = venue = engine, {what}", told.orders, told.fills, filled)


@pytest.mark.parametrize("latency", [LatencyModel(), FAST, SLOW], ids=["none", "1 ns", "jitter"])
@pytest.mark.parametrize("kind", KINDS)
def test_streams_agree(
    kind: str, latency: LatencyModel, tmp_path: Path, compared: Compared
) -> None:
    for seed in range(25):
        case = as_table(random_case(random.Random(seed), kind, 20, 60))
        orders, market, positions = several([case])
        setup = Setup(case.model, TIERS, latency, seed, positions=positions)
        agree(orders, market, setup, tmp_path / str(seed), compared, kind)


@pytest.mark.parametrize("latency", [LatencyModel(), FAST, SLOW], ids=["none", "1 ns", "jitter"])
def test_several_symbols_of_several_fidelities_at_once_agree(
    latency: LatencyModel, tmp_path: Path, compared: Compared
) -> None:
    for seed in range(20):
        rng, kinds = random.Random(seed), cycle(KINDS[:3] if seed % 2 else KINDS)
        drawn = [as_table(random_case(rng, next(kinds), 12, 40)) for _ in range(4)]
        cases = [replace(case, shared_seq=drawn[0].shared_seq) for case in drawn]
        cases = [case if case.shared_seq else prints_first(case) for case in cases]
        orders, market, positions = several([c for c in cases if c.orders])
        setup = Setup(drawn[0].model, TIERS, latency, seed, positions=positions)
        agree(orders, market, setup, tmp_path / str(seed), compared, "several symbols")


def test_what_the_simulator_refuses_the_venue_refuses() -> None:
    """An OCO group over two symbols, and an order after the end of the data."""
    cases = [as_table(random_case(random.Random(s), "book", 12, 40)) for s in (1, 2)]
    cases = [prints_first(replace(case, shared_seq=False)) for case in cases]
    orders, market, _ = several(cases)
    mixed = orders.groupby("symbol").head(1).assign(oco_group="both")
    late = orders.head(1).assign(ts_ns=market.span()[1] + 1, cancel_ts_ns=None)
    late = late.assign(time_in_force="IOC", expire_ts_ns=None, post_only=False)
    for bad in (mixed, late):
        for way in (Setup().simulated, partial(through_venue, setup=Setup())):
            with pytest.raises(InvalidInput, match=r"oco_group|ts_ns"):
                way(bad, market)


def prints_first(case: Case) -> Case:
    return replace(case, events=sorted(case.events, key=lambda e: (e[1], e[0] != "print")))


@pytest.mark.parametrize("latency", [FAST, SLOW], ids=["1 ns", "jitter"])
@pytest.mark.parametrize("kind", KINDS)
def test_orders_submitted_one_by_one_as_the_replay_comes_to_their_time_agree(
    kind: str, latency: LatencyModel, tmp_path: Path, compared: Compared
) -> None:
    """A request at t reaches the venue later than t, so that what happens at t comes before it."""
    for seed in range(40, 50):
        case = as_table(random_case(random.Random(seed), kind, 20, 60))
        orders, market, positions = several([case])
        setup = Setup(case.model, TIERS, latency, seed, positions=positions)
        told = told_by(setup.simulated(orders, market))
        found = through_engine(orders, market, setup, tmp_path / str(seed), by_hand=True)
        assert_same(live_as_one(told), found)
        filled = sum(row.filled > 0 for row in told.orders.values())
        compared(f"simulate = engine by hand, {kind}", told.orders, told.fills, filled)


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_that_commits_each_record_changes_nothing(
    kind: str, tmp_path: Path, compared: Compared
) -> None:
    case = as_table(random_case(random.Random(7), kind, 30, 80))
    orders, market, positions = several([case])
    setup = Setup(case.model, positions=positions)
    told = told_by(setup.simulated(orders, market))
    assert_same(live_as_one(told), through_engine(orders, market, setup, tmp_path, group=0))
