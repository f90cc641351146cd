"""The numbered requirements of the fill simulation, F1 to F15, and the invariants S1 to S5.

One test a number, on streams that Hypothesis draws and shrinks, or computed by hand where the
requirement names a case. Other tests go deeper into each; these say that none is missing.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from case import PRICE_UNIT, QUANTITY_UNIT, SYMBOL, Case
from compare import as_table, fidelity_of, outcome_of, simulated
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paths import Setup, assert_same, through_venue, told_by
from reference import Outcome
from streams import START_NS, STEP_NS, bar_case, book_case, print_case, quote_case
from test_properties import check_levels
from test_streams import check_bounds, filled_until

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.models import (
    OPTIMISTIC,
    PESSIMISTIC,
    QUEUE,
    EmpiricalLatency,
    FeeModel,
    FeeTier,
    InterpolatedLatency,
    LatencyModel,
    PerHourLatency,
    SquareRootImpact,
)
from execkit.simulator import SimulationResult, simulate
from execkit.store import Store

STRATEGIES = {"book": book_case(), "quote": quote_case(), "print": print_case(), "bar": bar_case()}
MODELS = (PESSIMISTIC, QUEUE, OPTIMISTIC)
CHECKED = settings(max_examples=12, deadline=None)
FEW = settings(max_examples=6, deadline=None)
each_kind = pytest.mark.parametrize("kind", STRATEGIES)


def orders_of(case: Case) -> Case:
    """The case as a table of orders, if any of its orders can be in one."""
    ready = as_table(case)
    assume(ready.orders)
    return ready


def market_of(events: list[tuple[Any, ...]], interval: int | None = None) -> MarketData:
    """Events (kind, step, ...) in whole units, with one sequence."""
    unit = interval or STEP_NS
    stamped = [(kind, START_NS + at * unit, *rest) for kind, at, *rest in events]
    return Case([], stamped, 1, interval, QUEUE, 0).market()


def run(
    events: list[tuple[Any, ...]],
    orders: list[dict[str, Any]],
    model: Any = QUEUE,
    interval: int | None = None,
    **more: Any,
) -> SimulationResult:
    """Orders with `at` in steps (in bars where there are bars), price and quantity in units."""
    frame = pd.DataFrame(orders)
    frame["ts_ns"] = START_NS + frame.pop("at") * (interval or STEP_NS)
    for name in ("price", "stop_price"):
        if name in frame:
            frame[name] = [float(p * PRICE_UNIT) if pd.notna(p) else None for p in frame[name]]
    frame["quantity"] = [float(q * QUANTITY_UNIT) for q in frame["quantity"]]
    frame = frame.assign(symbol=SYMBOL, client_order_id=[str(i) for i in range(len(frame))])
    data = market_of(events, interval)
    kinds = fidelity_of(Case([], [(e[0], 0) for e in events], 1, interval, QUEUE, 0))
    return simulate(frame, data, model, fidelity=kinds, progress=False, **more)


def fills_of(result: SimulationResult) -> list[tuple[int, int, int]]:
    """(order, price, quantity) in units."""
    return [(row, price, quantity) for row, _, price, quantity, _ in outcome_of(result).fills]


def states_of(result: SimulationResult) -> list[tuple[str, str]]:
    o = result.orders
    return list(zip(o["status"].astype(str), o["reason"].astype(str), strict=True))


LIMIT = {"order_type": "limit", "side": "buy"}
MARKET = {"order_type": "market", "side": "buy"}
BOOK = ("book", 0, True, [("bid", 99, 5), ("ask", 101, 5), ("ask", 102, 5)])
"""Bid 99 for 5, ask 101 for 5, then 102 for 5."""


# F: fills -----------------------------------------------------------------------------------------


@each_kind
def test_f1_no_fill_uses_what_comes_later(kind: str) -> None:
    @CHECKED
    @given(STRATEGIES[kind], st.integers(1, 9))
    def check(case: Case, tenths: int) -> None:
        case = orders_of(case)
        ts = case.events[len(case.events) * tenths // 10][1] + (case.interval or 1) - 1
        cut = case.until(ts)
        assume(cut.events)
        cut = orders_of(cut)
        before = [fill for fill in outcome_of(simulated(case)).fills if fill[1] < ts]
        assert [fill for fill in outcome_of(simulated(cut)).fills if fill[1] < ts] == before

    check()


@each_kind
def test_f2_no_more_than_asked_and_no_more_than_was_there(kind: str) -> None:
    """Of a book's level what it shows; of a print its quantity; of a bar the model's share."""

    @CHECKED
    @given(STRATEGIES[kind])
    def check(case: Case) -> None:
        case = orders_of(replace(case, model=replace(case.model, through_full=False)))
        out = outcome_of(simulated(case))
        asked = {row: order["quantity"] for row, order in enumerate(case.orders)}
        for row, (*_, filled) in out.orders.items():
            assert filled <= asked[row]
        if kind == "book":
            check_levels(case, out)
        if kind == "print":
            there = Counter[int]()
            for _, ts, _, quantity, _ in case.events:
                there[ts] += quantity
            taken = Counter[int]()
            for _, ts, _, quantity, _ in out.fills:
                taken[ts] += quantity
            assert all(quantity <= there[ts] for ts, quantity in taken.items())
        if kind == "bar" and case.model.participation is not None:
            check_bars(case, out, case.model.participation)

    check()


def check_bars(case: Case, out: Outcome, share: float) -> None:
    taken = Counter[int]()
    for _, ts, _, quantity, _ in out.fills:
        taken[max(e[1] for e in case.events if e[1] <= ts)] += quantity
    for event in case.events:
        assert taken[event[1]] <= int(Fraction(event[6]) * Fraction(share) + Fraction(1, 10**9))


@each_kind
def test_f3_a_limit_order_never_fills_worse_than_its_limit(kind: str) -> None:
    @CHECKED
    @given(STRATEGIES[kind], st.sampled_from(MODELS))
    def check(case: Case, model: Any) -> None:
        case = orders_of(case)
        for row, _, price, *_ in outcome_of(simulated(case, model)).fills:
            order = case.orders[row]
            if order["price"] is not None:
                sign = 1 if order["side"] == "buy" else -1
                assert sign * price <= sign * order["price"]

    check()


def test_f4_a_seller_s_print_fills_only_buys() -> None:
    """Resting orders on prints alone, where nothing else could fill them."""

    @CHECKED
    @given(print_case(), st.sampled_from(MODELS))
    def check(case: Case, model: Any) -> None:
        case = orders_of(case)
        sellers = {e[1] for e in case.events if e[4] in ("sell", "unknown")}
        buyers = {e[1] for e in case.events if e[4] in ("buy", "unknown")}
        for row, ts, _, _, liquidity in outcome_of(simulated(case, model)).fills:
            if liquidity == "maker":
                assert ts in (sellers if case.orders[row]["side"] == "buy" else buyers)

    check()


@each_kind
def test_f5_pessimistic_is_within_queue_and_queue_within_optimistic(kind: str) -> None:
    """Of one order alone; a trailing stop on bars may turn it round, as the rules say."""

    @CHECKED
    @given(STRATEGIES[kind], st.integers(0, 10**6))
    def check(case: Case, number: int) -> None:
        case = orders_of(case)
        one = dict(case.orders[number % len(case.orders)], row=0)
        assume(kind != "bar" or one["order_type"] != "trailing_stop")
        case = replace(case, orders=[one])
        worst, middle, best = (outcome_of(simulated(case, model)) for model in MODELS)
        for less, more in ((worst, middle), (middle, best)):
            for ts in {fill[1] for fill in less.fills}:
                assert filled_until(less, ts) <= filled_until(more, ts)

    check()


def test_f6_more_ahead_in_the_queue_or_a_later_arrival_never_fills_earlier() -> None:
    """A bid of 99 that only prints eat: joined behind more, or joined later, it fills later."""
    prints = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), min_size=1, max_size=12)

    @CHECKED
    @given(prints, st.integers(0, 12), st.integers(0, 12), st.integers(0, 4))
    def check(drawn: list[tuple[int, int]], ahead: int, more: int, late: int) -> None:
        at, tape = 5, []
        for step, size in drawn:
            at += step
            tape.append(("print", at, 99, size, "sell"))

        def filled(ahead: int, at: int) -> Outcome:
            shown = ("book", 0, True, [("bid", 99, ahead + 1), ("ask", 101, 5)])
            order = {**LIMIT, "at": at, "price": 99, "quantity": 7}
            return outcome_of(run([shown, *tape, ("print", 99, 101, 1, "buy")], [order]))

        soon, behind, after = filled(ahead, 1), filled(ahead + more, 1), filled(ahead, 1 + late)
        for ts in {fill[1] for other in (behind, after) for fill in other.fills}:
            assert filled_until(behind, ts) <= filled_until(soon, ts)
            assert filled_until(after, ts) <= filled_until(soon, ts)

    check()


def digest_of_a_run(seed: int) -> str:
    """Fills of orders whose delays are drawn, as text."""
    quotes = [("quote", i, 95 + i % 5, 9, 101 + i % 7, 9) for i in range(60)]
    orders = [{**MARKET, "at": i, "quantity": 1 + i % 3} for i in range(40)]
    delays = EmpiricalLatency([0, 1_000, 7_000, 12_000], response=[5, 50])
    return run(quotes, orders, latency=delays, seed=seed).fills.drop(columns="run_id").to_csv()


def test_f7_the_same_seed_gives_the_same_fills_in_another_process_too() -> None:
    code = "import test_fill_requirements as t; print(t.digest_of_a_run(7))"
    here = Path(__file__).parent
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == digest_of_a_run(7).strip()
    assert digest_of_a_run(8) != digest_of_a_run(7)


def test_f8_r12_a_print_that_clears_the_queue_gives_only_what_is_left_of_it() -> None:
    """5 ahead, a print of 8: 3 for us."""
    order = {**LIMIT, "at": 1, "price": 99, "quantity": 10}
    assert fills_of(run([BOOK, ("print", 2, 99, 8, "sell")], [order])) == [(0, 99, 3)]


def test_f8_r13_a_level_that_shrinks_below_what_is_ahead_leaves_nobody_negative() -> None:
    """5 ahead shrink to 2 and then to 0: a print of 3 gives 3, and not more for the shrinking."""
    order = {**LIMIT, "at": 1, "price": 99, "quantity": 10}
    shrinks = [("book", 2, False, [("bid", 99, 2)]), ("book", 3, False, [("bid", 99, 0)])]
    tape = [BOOK, *shrinks, ("print", 4, 99, 3, "sell")]
    assert fills_of(run(tape, [order])) == [(0, 99, 3)]


def test_f8_r14_a_stop_fills_at_the_open_of_a_gap_and_else_at_its_trigger() -> None:
    """A buy stop at 105: the bar opens at 110, or moves through from 100; without slip."""
    model = replace(QUEUE, stop_slip=0.0)
    minute = 60_000_000_000
    stop = {"order_type": "stop_market", "side": "buy", "at": 0, "stop_price": 105, "quantity": 1}
    flat = ("bar", 0, 100, 100, 100, 100, 100.0)
    for opened, paid in ((110, 110), (100, 105)):
        bars = [flat, ("bar", 1, opened, 112, 100, 111, 100.0)]
        assert fills_of(run(bars, [stop], model, minute)) == [(0, paid, 1)]


def test_f8_r15_what_was_displayed_once_fills_once() -> None:
    """5 at 101: two orders of 3 get 3 and 2, and the third of a later moment goes to 102."""
    orders = [{**MARKET, "at": at, "quantity": 3} for at in (1, 1, 2)]
    end = ("book", 9, False, [("bid", 98, 1)])
    found = fills_of(run([BOOK, end], orders))
    assert found == [(0, 101, 3), (1, 101, 2), (1, 102, 1), (2, 102, 3)]


def test_f8_r16_a_print_that_triggers_a_stop_has_taken_from_the_book() -> None:
    """A buyer's print of 4 at 102 triggers our stop there: 101 is gone, 1 is left at 102, and the
    rest comes from 103."""
    stop = {"order_type": "stop_market", "side": "buy", "at": 1, "stop_price": 102, "quantity": 3}
    book = ("book", 0, True, [("bid", 99, 5), ("ask", 101, 5), ("ask", 102, 5), ("ask", 103, 5)])
    assert fills_of(run([book, ("print", 2, 102, 4, "buy")], [stop])) == [(0, 102, 1), (0, 103, 2)]


def test_f8_r17_a_recorded_order_that_was_not_taken_makes_those_beside_it_not_taken() -> None:
    """Requests at 0, 10 and 20 steps; the one at 10 never reached the venue. Ours at 5 is lost, and
    known to be after (4 + 6) / 2 steps; the one at 20 takes 3."""
    at = START_NS + np.array([0, 10, 20]) * STEP_NS
    venue = np.array([at[0] + 2 * STEP_NS, 0, at[2] + 3 * STEP_NS])
    told = InterpolatedLatency(at, venue, at + np.array([4, 6, 5]) * STEP_NS)
    orders = [{**MARKET, "at": 5, "quantity": 1}, {**MARKET, "at": 20, "quantity": 1}]
    end = ("book", 40, False, [("bid", 98, 1)])
    result = run([BOOK, end], orders, latency=told)
    assert states_of(result) == [("rejected", "not_taken"), ("filled", "")]
    done = (result.orders["done_ts_ns"] - START_NS) / STEP_NS
    assert done.tolist() == [10.0, 23.0]


def test_f9_each_partial_fill_moves_position_cash_and_fees() -> None:
    """The regression of a simulator that moved them only when an order was complete: 2 of 10 at
    101, 5 at 101 and the rest never, at 10 bps."""
    instrument = Instrument(
        symbol=SYMBOL, tick_size=PRICE_UNIT, lot_size=QUANTITY_UNIT, base="BTC", quote="USDT"
    )
    rows = [
        {"ts_ns": START_NS + t, "seq": t, "side": s, "price": p, "quantity": q, "is_snapshot": k}
        for t, s, p, q, k in [
            (0, "bid", 0.99, 5.0, 1),
            (0, "ask", 1.01, 2.0, 1),
            (5, "ask", 1.01, 5.0, 0),
            (9, "bid", 1.00, 1.0, 0),
        ]
    ]
    data = MarketData.from_depth(pd.DataFrame(rows), symbol=SYMBOL, instruments=[instrument])
    order = {"ts_ns": START_NS + 1, "symbol": SYMBOL, **LIMIT, "quantity": 10.0, "price": 1.01}
    result = simulate(pd.DataFrame([order]), data, fee=FeeModel(maker_bps=10, taker_bps=10))

    assert result.orders["status"].tolist() == ["partially_filled"]
    assert result.fills["quantity"].tolist() == [2.0, 5.0]
    assert result.fills["fee"].tolist() == pytest.approx([2 * 1.01e-3, 5 * 1.01e-3])
    assert result.positions["quantity"].tolist() == [2.0, 7.0]
    assert result.equity["fees"].tolist() == pytest.approx([2.02e-3, 7.07e-3, 7.07e-3])
    assert result.equity["cash"].tolist() == pytest.approx([-2.02e-3, -7.07e-3, -7.07e-3])
    # worth the mid of each moment: 1.00, 1.00 and at the end (1.00 + 1.01) / 2
    assert result.equity["equity"].tolist() == pytest.approx(
        [2 * -0.01 - 2.02e-3, 7 * -0.01 - 7.07e-3, 7 * -0.005 - 7.07e-3]
    )


@each_kind
def test_f9_at_every_fill_the_books_balance(kind: str) -> None:
    """Whatever the stream: after each fill the position is the sum of the fills so far, and cash
    and what is held at the mid are what was paid and received."""

    @CHECKED
    @given(STRATEGIES[kind])
    def check(case: Case) -> None:
        case = orders_of(replace(case, start_position=0))
        result = simulated(case)
        fills, held = result.fills, result.positions
        sign = np.where(fills["side"] == "buy", 1.0, -1.0)
        signed = (sign * fills["quantity"]).cumsum()
        spent = (sign * fills["quantity"] * fills["price"]).cumsum()
        assert held["quantity"].to_numpy() == pytest.approx(signed.to_numpy(), abs=1e-9)
        worth = held["realised_pnl"] - held["quantity"] * held["average_price"]
        assert worth.to_numpy() == pytest.approx(-spent.to_numpy(), abs=1e-9)

    check()


def test_f10_post_only_is_rejected_fok_is_all_or_none_and_ioc_leaves_nothing() -> None:
    """5 offered at 101 and 5 at 102."""
    end = ("book", 9, False, [("bid", 98, 1)])
    price = {"price": 101, "at": 1}
    for wish, state, got in (
        ({"post_only": True, "quantity": 1}, ("rejected", "post_only"), []),
        ({"time_in_force": "FOK", "quantity": 6}, ("expired", "fok"), []),
        ({"time_in_force": "FOK", "quantity": 5}, ("filled", ""), [(0, 101, 5)]),
        ({"time_in_force": "IOC", "quantity": 6}, ("expired", "ioc"), [(0, 101, 5)]),
        ({"quantity": 6}, ("partially_filled", ""), [(0, 101, 5)]),
    ):
        result = run([BOOK, end], [{**LIMIT, **price, **wish}])
        assert (states_of(result), fills_of(result)) == ([state], got)


@each_kind
def test_f11_the_fast_path_equals_the_slow_reference(kind: str) -> None:
    """Row for row; the thousand streams of it run beside this one, in this folder."""

    @CHECKED
    @given(STRATEGIES[kind])
    def check(case: Case) -> None:
        case = orders_of(case)
        found, wanted = outcome_of(simulated(case)), case.outcome()
        assert found.fills == wanted.fills
        assert found.ambiguous == wanted.ambiguous

    check()


def test_f12_simulated_latency_legs_are_in_the_same_columns_as_real_ones(tmp_path: Path) -> None:
    """What the model drew is what the store's columns say, leg by leg and order by order."""
    delays = EmpiricalLatency([1_000, 3_000], cancel=[2_000], response=[500, 900, 1_500])
    tape = [BOOK, ("book", 50, False, [("bid", 98, 1)])]
    orders = [{**MARKET, "at": i, "quantity": 1} for i in range(8)]
    result = run(tape, orders, latency=delays, seed=3)
    rows, ts = np.arange(8), result.orders["ts_ns"].to_numpy()
    entry, back = (delays.delay(leg, rows, 3, ts) for leg in ("entry", "response"))
    store = Store(tmp_path / "execkit.duckdb")
    result.save(store)
    legs = store.sql(
        "select arrival_ts_ns - decision_ts_ns as entry, local_ts_ns - venue_ts_ns as response "
        "from orders join fills using (run_id, client_order_id) order by ts_ns"
    )
    assert legs["entry"].tolist() == entry.tolist()
    assert legs["response"].tolist() == back.tolist()
    assert set(legs["response"]) == {500, 900, 1_500}


@each_kind
def test_f13_the_same_orders_through_the_order_api_of_a_venue_give_the_same(kind: str) -> None:
    """`PaperVenue`, asked order by order as an exchange is, and `simulate`, asked at once; the
    engine and other venues are held to the same order API by the tests of theirs."""
    sent = START_NS + np.arange(3) * 20 * STEP_NS
    came, told = (sent + np.array(after) for after in ([700, 1_900, 1], [900, 5_000, 2]))
    drawn = EmpiricalLatency([1, 900, 2_500], cancel=[3, 1_000], response=[5, 4_000])
    delays = (
        LatencyModel(entry_ns=1, cancel_ns=2, response_ns=3, jitter_ns=900),
        PerHourLatency({START_NS // 3_600_000_000_000 % 24: drawn}, LatencyModel(entry_ns=1)),
        InterpolatedLatency(sent, came, told),
    )

    @FEW
    @given(STRATEGIES[kind], st.sampled_from(delays))
    def check(case: Case, latency: Any) -> None:
        setup = Setup(fee=FeeModel(maker_bps=1, taker_bps=4), latency=latency, seed=5)
        case = orders_of(replace(case, start_position=0))
        data, frame = case.market(), case.orders_frame(1)
        own = replace(setup, fill=case.model, fidelity={SYMBOL: fidelity_of(case)})
        frame = frame[frame["ts_ns"] > case.events[0][1]].reset_index(drop=True)
        assume(len(frame))
        assert_same(told_by(own.simulated(frame, data)), through_venue(frame, data, own))

    check()


@each_kind
def test_f14_the_band_of_models_is_always_there(kind: str) -> None:
    @FEW
    @given(STRATEGIES[kind])
    def check(case: Case) -> None:
        result = simulated(orders_of(case))
        band = result.band
        assert band.index.tolist()[-3:] == ["pessimistic", "queue", "optimistic"]
        assert band["quantity_filled"].between(0, 1).all()
        for name, row in band.iloc[-3:].iterrows():
            assert row["fills"] == len(result.under(str(name)).fills)
        if len(band) == 4:
            assert band.index[0] == result.model.name
            assert band["fills"].iloc[0] == len(result.fills)

    check()


def test_f15_the_calibrated_mode_needs_a_calibration() -> None:
    """There is none yet, so it is refused, and says what it would need."""
    with pytest.raises(InvalidInput, match="needs a calibration made from your own fills"):
        run([BOOK], [{**MARKET, "at": 0, "quantity": 1}], "calibrated")


# S: the invariants of the simulation --------------------------------------------------------------


@each_kind
def test_s1_cutting_the_data_leaves_earlier_fills_unchanged_with_every_model_in_play(
    kind: str,
) -> None:
    """As F1, with jitter, fee tiers by the volume so far, and impact by the fills so far."""
    tier = FeeTier(volume=0.005, maker_bps=0.5, taker_bps=2)
    jitter = 300 if kind != "bar" else 10**10
    assumed: dict[str, Any] = {
        "fee": FeeModel(maker_bps=1, taker_bps=4, tiers=(tier,)),
        "latency": LatencyModel(entry_ns=1, cancel_ns=1, response_ns=9, jitter_ns=jitter),
        "impact": SquareRootImpact(prefactor=1.0, daily_volume=10.0, sigma=0.05),
    }

    @CHECKED
    @given(STRATEGIES[kind], st.integers(1, 9))
    def check(case: Case, tenths: int) -> None:
        case = orders_of(case)
        ts = case.events[len(case.events) * tenths // 10][1] + (case.interval or 1) - 1
        assume(case.until(ts).events)
        cut = orders_of(case.until(ts))
        names = ["client_order_id", "venue_ts_ns", "local_ts_ns", "price", "quantity", "fee"]
        told: list[list[Any]] = []
        for one in (case, cut):
            frame = case.orders_frame(1)
            frame = frame[: len(cut.orders)] if one is cut else frame
            fidelity = fidelity_of(case)
            result = simulate(
                frame, one.market(), case.model, fidelity=fidelity, progress=False, **assumed
            )
            rows = result.fills[names].to_dict("records")
            told.append([row for row in rows if row["venue_ts_ns"] < ts])
        assert told[0] == told[1]

    check()


@each_kind
def test_s2_no_order_gets_more_than_it_asked_or_a_worse_price_than_its_limit(kind: str) -> None:
    @CHECKED
    @given(STRATEGIES[kind])
    def check(case: Case) -> None:
        case = orders_of(case)
        check_bounds(case, outcome_of(simulated(case)))

    check()


def test_s3_the_models_are_ordered_also_by_the_price_of_a_stop() -> None:
    """A stop on a bar that moves through it slips by nothing, by half the way and by all of it."""
    minute = 60_000_000_000
    stop = {"order_type": "stop_market", "side": "buy", "at": 0, "stop_price": 104, "quantity": 1}
    bars = [("bar", 0, 100, 100, 100, 100, 100.0), ("bar", 1, 100, 110, 100, 108, 100.0)]
    paid = [fills_of(run(bars, [stop], model, minute))[0][1] for model in MODELS]
    assert paid == [110, 107, 104]


@each_kind
def test_s4_batch_equals_event_driven_row_for_row(kind: str) -> None:
    """States and their times as well as fills."""

    @CHECKED
    @given(STRATEGIES[kind], st.sampled_from(MODELS))
    def check(case: Case, model: Any) -> None:
        case = orders_of(case)
        found, wanted = outcome_of(simulated(case, model)), case.outcome(model)
        assert found.fills == wanted.fills
        assert found.orders == wanted.orders

    check()


def test_s5_the_same_seed_gives_the_same_result_with_any_number_of_threads() -> None:
    wanted = digest_of_a_run(7)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(digest_of_a_run(7))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4
