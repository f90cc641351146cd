"""What must hold of every simulation, whatever the fill rules say exactly (DESIGN, S1 to S5)."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from case import Case
from compare import as_table, outcome_of, simulated
from paths import Setup, told_by
from recorded_case import Market
from reference import Outcome
from streams import KINDS, random_case
from test_paper_equals_simulate import TIERS, prints_first, several
from test_streams import check_bounds, filled_until

from execkit.market import MarketData
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE
from execkit.models.latency import LatencyModel

MODELS = (PESSIMISTIC, QUEUE, OPTIMISTIC)
JITTER = LatencyModel(entry_ns=500, cancel_ns=500, jitter_ns=2_000)


def cases(kind: str, count: int, n_orders: int = 12, n_events: int = 40) -> list[Case]:
    drawn = (
        as_table(random_case(random.Random(s), kind, n_orders, n_events)) for s in range(count)
    )
    return [case for case in drawn if case.orders]


# S1: no fill uses data later than itself ---------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_a_stream_leaves_earlier_fills_unchanged(kind: str) -> None:
    compared = 0
    for case in cases(kind, 40):
        whole = outcome_of(simulated(case)).fills
        for part in (3, 2, 1):
            ts = case.events[len(case.events) * part // 4][1] + (case.interval or 1) - 1
            cut = as_table(case.until(ts))
            if not cut.orders:
                continue
            before = [fill for fill in whole if fill[1] < ts]
            assert [fill for fill in outcome_of(simulated(cut)).fills if fill[1] < ts] == before
            compared += len(before)
    assert compared > 100


@pytest.mark.parametrize(
    "path, symbol, fidelity",
    [
        ("binance_futures_tardis_20200222", "BTCUSDT", "quotes"),
        ("lobster_amzn_20120621", "AMZN", "depth"),
        ("xrpeth_trades_and_bars_201910", "XRPETH", "bars"),
    ],
)
def test_cutting_recorded_data_leaves_earlier_fills_unchanged(
    recorded: Path, path: str, symbol: str, fidelity: str
) -> None:
    data = MarketData.load(recorded / path).select(symbol)
    market = Market(data, symbol, fidelity)
    setup = Setup(fidelity={symbol: fidelity})
    orders = market.frame(market.orders(1_500, random.Random(1)))
    whole = told_by(setup.simulated(orders, data)).fills
    stamps = data.tables[fidelity]["ts_ns"]
    for part in (0.2, 0.5, 0.9):
        ts = int(stamps[int(len(stamps) * part)])
        cut = data.select(end_ns=ts)
        end = cut.tables[fidelity]["ts_ns"][-1]
        early = orders[orders["ts_ns"] <= end]
        before = [fill for fill in whole if fill.venue_ts_ns < end]
        found = told_by(setup.simulated(early, cut)).fills
        assert [fill for fill in found if fill.venue_ts_ns < end] == before
        assert len(before) > 50


# S2: never more than asked or there, never worse than the limit ---------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_simulated_fill_keeps_the_order_s_bounds(kind: str) -> None:
    for case in cases(kind, 60, 20, 80):
        check_bounds(case, outcome_of(simulated(case)))


def test_of_a_displayed_level_no_more_is_taken_than_it_shows() -> None:
    """Market and limit orders that take on arrival; what stops and crosses take comes on top, so
    that the sum would be too large if anything were given twice."""
    taken = 0
    for case in cases("book", 150, 30, 80):
        for model in MODELS:
            taken += check_levels(case, outcome_of(simulated(case, model)))
    assert taken > 500


def check_levels(case: Case, out: Outcome) -> int:
    shown: dict[tuple[str, int], int] = {}
    used: Counter[tuple[str, int]] = Counter()
    events, checked = iter(case.events), 0
    event = next(events, None)
    for row, ts, price, quantity, liquidity in out.fills:
        if liquidity == "maker" or out.orders[row][3] is not None:
            continue
        while event is not None and event[1] <= ts:
            show(event, shown, used)
            event = next(events, None)
        level = ("ask" if case.orders[row]["side"] == "buy" else "bid", price)
        used[level] += quantity
        assert used[level] <= shown[level]
        checked += 1
    return checked


def show(event: tuple, shown: dict[tuple[str, int], int], used: Counter[tuple[str, int]]) -> None:
    """Keep the book; a level that a message sets, or that a snapshot changes, is fresh."""
    if event[0] != "book":
        return
    before = dict(shown)
    if event[2]:
        shown.clear()
    for side, price, size in event[3]:
        shown[side, price] = size
        if not event[2]:
            used[side, price] = 0
    if event[2]:
        for level in list(used):
            if level not in shown or shown[level] != before.get(level):
                used[level] = 0


def test_of_a_quote_no_slice_gives_more_than_it_shows() -> None:
    checked = 0
    for case in cases("quote", 150, 30, 80):
        for model in (QUEUE, PESSIMISTIC):
            out = outcome_of(simulated(case, model))
            quotes = [e for e in case.events if e[0] == "quote"]
            used: Counter[tuple] = Counter()
            for row, ts, price, quantity, liquidity in out.fills:
                if liquidity == "maker" or out.orders[row][3] is not None:
                    continue
                buy = case.orders[row]["side"] == "buy"
                at = max(n for n, quote in enumerate(quotes) if quote[1] <= ts)
                side = slice(4, 6) if buy else slice(2, 4)
                first = at
                while first and quotes[first - 1][side] == quotes[at][side]:
                    first -= 1  # shown again and again: not refilled
                touch, size = quotes[at][side]
                assert (price - touch) * (1 if buy else -1) % case.tick == 0
                used[first, buy, price] += quantity
                assert used[first, buy, price] <= size
                checked += 1
    assert checked > 500


def test_of_a_print_and_of_a_bar_no_more_is_given_than_there_was() -> None:
    for case in cases("print", 80, 30, 80):
        model = replace(case.model, through_full=False)
        given: Counter[int] = Counter()
        for _, ts, _, quantity, _ in outcome_of(simulated(case, model)).fills:
            given[ts] += quantity
        printed: Counter[int] = Counter()
        for event in case.events:
            printed[event[1]] += event[3]
        assert all(quantity <= printed[ts] for ts, quantity in given.items())
    for case in cases("bar", 80, 30, 80):
        share = case.model.participation
        in_bar: dict[int, int] = defaultdict(int)
        for _, ts, _, quantity, _ in outcome_of(simulated(case)).fills:
            in_bar[max(e[1] for e in case.events if e[1] <= ts)] += quantity
        for event in case.events:
            most = math.floor(event[6] * share) if share else (math.inf if event[6] else 0)
            assert in_bar[event[1]] <= most


# S3: of one order alone, the worse model never fills more or earlier -----------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_are_ordered(kind: str) -> None:
    filled = 0
    for case in cases(kind, 120, 1, 30):
        if kind == "bar" and case.orders[0]["order_type"] == "trailing_stop":
            continue
        worst, middle, best = (outcome_of(simulated(case, model)) for model in MODELS)
        for less, more in ((worst, middle), (middle, best)):
            for ts in {fill[1] for fill in less.fills}:
                assert filled_until(less, ts) <= filled_until(more, ts)
        filled += bool(best.fills)
    assert filled > 20


# S5: same seed, same result ----------------------------------------------------------------------


def a_run(*, backwards: bool = False, seed: int = 3) -> str:
    """A digest of a run of several symbols with jitter and fee tiers. `backwards`: the market's
    tables hold the symbols the other way round."""
    drawn = [as_table(random_case(random.Random(s), kind, 25, 80)) for s, kind in enumerate(KINDS)]
    parts = [prints_first(replace(case, shared_seq=False)) for case in drawn if case.orders]
    orders, market, positions = several(parts)
    if backwards:
        names = list(reversed(market.symbols))
        market = market.select(names[0]).combine(*(market.select(name) for name in names[1:]))
    told = told_by(Setup(QUEUE, TIERS, JITTER, seed, positions=positions).simulated(orders, market))
    assert len(told.fills) > 50
    return hashlib.sha256(repr(told).encode()).hexdigest()


def test_the_same_seed_gives_the_same_result_in_another_process() -> None:
    code = "import test_properties; print(test_properties.a_run())"
    here = str(Path(__file__).parent)
    found = []
    for number in ("0", "1"):
        environment = os.environ | {"PYTHONHASHSEED": number, "PYTHONPATH": here}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.strip())
    assert found == [a_run()] * 2
    assert a_run(seed=4) != found[0]


def test_the_order_of_the_symbols_does_not_matter() -> None:
    assert a_run(backwards=True) == a_run()


def test_symbols_do_not_interact() -> None:
    """Together or each alone: without jitter, which goes by row, and without fee tiers."""
    parts = cases("book", 4, 25, 80)
    parts = [replace(case, shared_seq=parts[0].shared_seq) for case in parts]
    parts = parts if parts[0].shared_seq else [prints_first(case) for case in parts]
    orders, market, positions = several(parts)
    setup = Setup(QUEUE, positions=positions)
    together = told_by(setup.simulated(orders, market))
    alone: dict[str, object] = {}
    for symbol in market.symbols:
        own = orders[orders["symbol"] == symbol]
        told = told_by(
            replace(setup, positions={symbol: positions[symbol]}).simulated(
                own, market.select(symbol)
            )
        )
        alone |= told.orders
        assert told.fills == [fill for fill in together.fills if fill.symbol == symbol]
    assert alone == together.orders
