"""The slow reference against bars worked out by hand. Bars last 10 ns, so RANGE is at ts + 9."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from reference import Outcome, run

from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel

FREE = replace(QUEUE, name="free", participation=None)


def order(side: str, order_type: str, quantity: int, arrival: int = 0, **rest: Any) -> dict:
    one = {"row": 0, "arrival": arrival, "side": side, "order_type": order_type}
    return {**one, "quantity": quantity, "time_in_force": "GTC", **rest}


def play(orders: list[dict], bars: list[tuple], model: FillModel = FREE, **rest: Any) -> Outcome:
    """`bars` are (open, high, low, close[, volume]) in a row."""
    tape = [("bar", 10 * i, *b[:4], float((*b, 1000)[4])) for i, b in enumerate(bars)]
    own = [{**o, "row": row} for row, o in enumerate(orders)]
    return run(own, tape, model, interval=10, **rest)


def ends(outcome: Outcome) -> list[tuple[str, str | None]]:
    return [state[:2] for state in outcome.orders.values()]


def test_an_order_takes_the_next_open_also_when_it_arrives_at_that_very_stamp() -> None:
    orders = [order("buy", "market", 1, arrival) for arrival in (0, 1, 10)]
    out = play(orders, [(100, 105, 95, 101), (102, 103, 101, 102)])
    assert out.fills == [
        (0, 0, 100, 1, "taker"),
        (1, 10, 102, 1, "taker"),
        (2, 10, 102, 1, "taker"),
    ]


def test_own_fills_share_the_participation_and_market_orders_carry_the_rest() -> None:
    orders = [order("buy", "market", 9), order("buy", "market", 4)]
    bar = (100, 100, 100, 100, 55)
    out = play(orders, [bar, bar, bar], QUEUE)
    # floor(55 * 0.1) = 5 a bar: 5, then 4 + 1, then the last 3.
    assert [f[:4] for f in out.fills] == [
        (0, 0, 100, 5),
        (0, 10, 100, 4),
        (1, 10, 100, 1),
        (1, 20, 100, 3),
    ]


def test_a_bar_without_volume_fills_nothing() -> None:
    orders = [order("buy", "market", 1, time_in_force=tif) for tif in ("GTC", "IOC", "FOK")]
    out = play(orders, [(100, 100, 100, 100, 0)], QUEUE)
    assert ends(out) == [("OPEN", None), ("EXPIRED", "ioc"), ("EXPIRED", "fok")]
    assert ends(play(orders, [(100, 100, 100, 100, 0)], FREE)) == ends(out), "also without a cap"


def test_the_half_spread_is_paid_by_takers_and_rounded_against_us() -> None:
    orders = [order("buy", "market", 1), order("sell", "market", 1)]
    orders += [order("buy", "limit", 1, price=100, post_only=True)]
    out = play(orders, [(100, 101, 99, 100)], replace(FREE, half_spread_bps=5.0))
    # 100 * 1.0005 = 100.05 -> 101; 99.95 -> 99; the limit at 100 is below 101, so it rests, and
    # 99 goes through it.
    assert [f[:5] for f in out.fills] == [
        (0, 0, 101, 1, "taker"),
        (1, 0, 99, 1, "taker"),
        (2, 9, 100, 1, "maker"),
    ]


@pytest.mark.parametrize("model, filled", [(OPTIMISTIC, 1), (QUEUE, 0), (PESSIMISTIC, 0)])
def test_a_low_at_our_limit_fills_only_without_queue(model: FillModel, filled: int) -> None:
    out = play([order("buy", "limit", 1, price=95)], [(100, 105, 95, 101)], model)
    assert len(out.fills) == filled
    through = play([order("buy", "limit", 1, price=96)], [(100, 105, 95, 101)], model)
    assert through.fills == [(0, 9, 96, 1, "maker")]


def test_a_gap_through_a_resting_limit_gives_no_better_price() -> None:
    out = play([order("buy", "limit", 1, price=99)], [(100, 100, 100, 100), (95, 96, 94, 95)])
    assert out.fills == [(0, 10, 99, 1, "maker")]


@pytest.mark.parametrize("slip, price", [(0.0, 103), (0.5, 105), (1.0, 106)])
def test_a_stop_within_a_bar_slips_towards_the_extreme(slip: float, price: int) -> None:
    one = order("buy", "stop_market", 1, stop_price=103)
    out = play([one], [(100, 106, 99, 104)], replace(FREE, stop_slip=slip))
    # 103 + ceil(slip * 3): 103, 103 + 2, 106.
    assert out.fills == [(0, 9, price, 1, "taker")]


def test_a_gap_over_a_stop_fills_at_the_open() -> None:
    one = order("sell", "stop_market", 1, stop_price=98)
    out = play([one], [(100, 101, 99, 100), (90, 91, 89, 90)])
    assert out.fills == [(0, 10, 90, 1, "taker")]
    assert out.orders[0] == ("FILLED", None, 10, 10, 1)


def test_what_a_stop_triggered_by_a_gap_becomes_stands_behind_earlier_arrivals() -> None:
    orders = [order("sell", "stop_market", 5, stop_price=98), order("sell", "market", 5, 5)]
    out = play(orders, [(100, 100, 100, 100, 0), (90, 90, 90, 90, 70)], QUEUE)
    assert [f[:4] for f in out.fills] == [(1, 10, 90, 5), (0, 10, 90, 2)]


def test_a_stop_limit_beyond_its_limit_rests_and_does_not_fill_in_the_same_range() -> None:
    one = order("buy", "stop_limit", 1, stop_price=105, price=104)
    out = play([one], [(100, 110, 100, 108), (108, 109, 103, 105)], PESSIMISTIC)
    # Base 105 + ceil(1.0 * 5) = 110 > 104. The low of 100 may have come first.
    assert out.orders[0][3] == 9
    assert out.fills == [(0, 19, 104, 1, "maker")]


@pytest.mark.parametrize("limit, end", [(105, ("REJECTED", "post_only")), (104, ("OPEN", None))])
def test_a_post_only_stop_limit_is_rejected_if_its_stop_is_within_its_limit(
    limit: int, end: tuple
) -> None:
    one = order("buy", "stop_limit", 1, stop_price=105, price=limit, post_only=True)
    assert ends(play([one], [(100, 110, 100, 108)])) == [end]


@pytest.mark.parametrize(
    "intrabar, row, price", [("pessimistic", 1, 96), ("optimistic", 0, 104)], ids=str
)
def test_stop_and_target_in_one_bar_are_decided_by_policy_and_counted(
    intrabar: Any, row: int, price: int
) -> None:
    orders = [
        order("sell", "limit", 1, price=104, oco_group=1),
        order("sell", "stop_market", 1, stop_price=97, oco_group=1),
    ]
    out = play(orders, [(100, 105, 95, 100)], replace(FREE, intrabar=intrabar))
    # The stop at 97 slips ceil(0.5 * 2) = 1 to 96.
    assert [f[:3] for f in out.fills] == [(row, 9, price)]
    assert out.orders[1 - row][:3] == ("CANCELED", "oco", 9)
    assert out.ambiguous == 1


def test_an_oco_sibling_out_of_reach_is_not_ambiguous() -> None:
    orders = [
        order("sell", "limit", 1, price=104, oco_group=1),
        order("sell", "stop_market", 1, stop_price=94, oco_group=1),
    ]
    assert play(orders, [(100, 105, 95, 100)]).ambiguous == 0


def test_a_stop_limit_that_came_to_rest_in_the_bar_is_not_ambiguous() -> None:
    orders = [
        order("buy", "stop_limit", 1, stop_price=103, price=102, oco_group=1),
        order("buy", "stop_market", 1, stop_price=105, oco_group=1),
    ]
    out = play(orders, [(100, 110, 95, 100)])
    # Row 0 triggers first, 103 + ceil(0.5 * 7) = 107 > 102, rests. Row 1: 105 + 3.
    assert out.fills == [(1, 9, 108, 1, "taker")]
    assert out.orders[0] == ("CANCELED", "oco", 9, 9, 0)
    assert out.ambiguous == 0


ENTRY = order("buy", "limit", 3, price=98)


@pytest.mark.parametrize(
    "exit_order, row, price",
    [
        # 97 slips ceil(0.5 * 2) = 1 to 96.
        (order("sell", "stop_market", 3, stop_price=97, reduce_only=True), 1, 96),
        # w 100 -> 97 (300 bps); the high of 105 first: floor(101.85) = 101, slips 3 to 98.
        (order("sell", "trailing_stop", 3, trail_bps=300.0, reduce_only=True), 1, 98),
    ],
)
@pytest.mark.parametrize("intrabar, ambiguous", [("pessimistic", 1), ("optimistic", 0)])
def test_an_exit_without_a_position_waits_for_the_entry_that_fills_in_the_same_bar(
    exit_order: dict, row: int, price: int, intrabar: Any, ambiguous: int
) -> None:
    out = play([ENTRY, exit_order], [(100, 105, 95, 100)], replace(FREE, intrabar=intrabar))
    if intrabar == "optimistic" and exit_order["order_type"] == "trailing_stop":
        price = 96  # the low first: from 97 by ceil(0.5 * 2)
    assert [f[:4] for f in out.fills] == [(0, 9, 98, 3), (row, 9, price, 3)]
    assert out.ambiguous == ambiguous


def test_an_exit_that_still_has_nothing_to_close_is_canceled_when_it_triggers() -> None:
    one = order("sell", "stop_market", 3, stop_price=97, reduce_only=True)
    out = play([one], [(100, 105, 95, 100)])
    assert out.orders[0] == ("CANCELED", "reduce_only", 9, 9, 0)
    assert out.ambiguous == 1
    assert ends(play([one], [(100, 105, 98, 100)])) == [("OPEN", None)]


def test_an_exit_with_a_position_comes_before_the_limits() -> None:
    stop = order("sell", "stop_market", 3, stop_price=97, reduce_only=True)
    out = play([ENTRY, stop], [(100, 105, 95, 100)], start_position=2)
    # 2 to close before the entry adds 3: filled by 2, then nothing is left to reduce.
    assert [f[:4] for f in out.fills] == [(1, 9, 96, 2), (0, 9, 98, 3)]
    assert ends(out)[1] == ("CANCELED", "reduce_only")
    assert out.ambiguous == 0


TRAIL = order("sell", "trailing_stop", 1, trail_bps=500.0)


@pytest.mark.parametrize(
    "intrabar, fills, ambiguous", [("pessimistic", 1, 1), ("optimistic", 0, 1)]
)
def test_a_trailing_stop_that_only_the_worse_path_triggers(
    intrabar: Any, fills: int, ambiguous: int
) -> None:
    out = play([TRAIL], [(100, 110, 98, 108)], replace(FREE, intrabar=intrabar))
    # w 100, trigger 95. High 110 first: floor(104.5) = 104, the low 98 reaches it: at 104 slipped
    # by ceil(0.5 * 6) = 3 to 101. Low first: 98 > 95, then trigger 104, the close 108 is above.
    assert [f[2] for f in out.fills] == [101] * fills
    assert out.ambiguous == 1


def test_a_trailing_stop_triggered_by_the_close_slips_towards_the_close() -> None:
    model = replace(FREE, intrabar="optimistic", stop_slip=1.0)
    out = play([TRAIL], [(100, 110, 98, 102)], model)
    # Low first, no; then w 110, trigger 104, close 102 <= 104: from 104 to 102.
    assert out.fills == [(0, 9, 102, 1, "taker")]
    assert out.ambiguous == 0


def test_a_trailing_stop_keeps_its_watermark_from_the_high_and_gaps_at_the_open() -> None:
    bars = [(100, 110, 100, 109), (103, 104, 103, 103)]
    out = play([TRAIL], bars, replace(FREE, intrabar="optimistic"))
    # After the first bar the trigger is floor(110 * 0.95) = 104; the open of 103 is below.
    assert out.fills == [(0, 10, 103, 1, "taker")]


def test_fill_or_kill_of_a_triggered_stop_needs_the_whole_budget() -> None:
    one = order("buy", "stop_market", 6, stop_price=103, time_in_force="FOK")
    out = play([one], [(100, 106, 99, 104, 55)], QUEUE)
    assert ends(out) == [("EXPIRED", "fok")]
