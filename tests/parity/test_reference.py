"""The slow reference against cases worked out by hand: depth, quotes, common rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from reference import Outcome, run

from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel

BOOK = ("book", 1, True, [("bid", 99, 4), ("bid", 98, 6), ("ask", 101, 5), ("ask", 102, 5)])


def order(side: str, order_type: str, quantity: int, arrival: int = 2, **rest: Any) -> dict:
    return {
        "row": 0,
        "arrival": arrival,
        "side": side,
        "order_type": order_type,
        "quantity": quantity,
        "time_in_force": "GTC",
        **rest,
    }


def play(orders: list[dict], events: list, model: FillModel = QUEUE, **rest: Any) -> Outcome:
    return run([{**o, "row": row} for row, o in enumerate(orders)], events, model, **rest)


def said(side: str, price: int, size: int, ts: int) -> tuple:
    return ("book", ts, False, [(side, price, size)])


def heartbeat(ts: int) -> tuple:
    """A message far from everything, so that the tape lasts until `ts`."""
    return said("bid", 1, 1, ts)


def name_of(value: object) -> str | None:
    return value.name if isinstance(value, FillModel) else None


def ends(outcome: Outcome) -> list[tuple[str, str | None]]:
    return [state[:2] for state in outcome.orders.values()]


# Taking ------------------------------------------------------------------------------------------


def test_a_market_order_walks_the_levels_from_the_best_on() -> None:
    out = play([order("buy", "market", 7)], [BOOK, heartbeat(3)])
    # 5 of 5 at 101, then the last 2 of 5 at 102.
    assert out.fills == [(0, 2, 101, 5, "taker"), (0, 2, 102, 2, "taker")]
    assert out.orders[0] == ("FILLED", None, 2, None, 7)


def test_what_was_taken_is_gone_until_the_level_is_shown_again() -> None:
    orders = [order("buy", "market", 5), order("buy", "market", 4), order("buy", "market", 1, 4)]
    out = play(orders, [BOOK, said("ask", 101, 5, 3), heartbeat(5)])
    # Row 0 empties 101; row 1 finds 4 at 102; the message at 3 refreshes 101 for row 2.
    assert out.fills == [(0, 2, 101, 5, "taker"), (1, 2, 102, 4, "taker"), (2, 4, 101, 1, "taker")]


@pytest.mark.parametrize(
    "tif, filled, end",
    [
        ("GTC", 10, ("EXPIRED", "no_liquidity")),
        ("IOC", 10, ("EXPIRED", "ioc")),
        ("FOK", 0, ("EXPIRED", "fok")),
    ],
)
def test_a_market_order_for_more_than_the_book_has(tif: str, filled: int, end: tuple) -> None:
    out = play([order("buy", "market", 11, time_in_force=tif)], [BOOK, heartbeat(3)])
    # 5 + 5 = 10 are displayed on the ask side, 11 are asked.
    assert (sum(f[3] for f in out.fills), out.orders[0][:2]) == (filled, end)


def test_a_marketable_limit_takes_within_its_limit_and_rests_the_remainder() -> None:
    events = [BOOK, ("print", 3, 101, 9, "sell"), heartbeat(4)]
    out = play([order("buy", "limit", 7, price=101)], events)
    # 5 at 101. 2 rest at 101: not displayed, better than the worst bid, so nobody is ahead.
    assert out.fills == [(0, 2, 101, 5, "taker"), (0, 3, 101, 2, "maker")]


def test_post_only_looks_at_the_displayed_price_even_if_it_was_taken() -> None:
    orders = [order("buy", "market", 5), order("buy", "limit", 1, price=101, post_only=True)]
    out = play(orders, [BOOK, heartbeat(3)])
    assert ends(out) == [("FILLED", None), ("REJECTED", "post_only")]


def test_fill_or_kill_counts_only_what_is_within_the_limit() -> None:
    orders = [order("buy", "limit", q, price=101, time_in_force="FOK") for q in (6, 5)]
    out = play(orders, [BOOK, heartbeat(3)])
    assert ends(out) == [("EXPIRED", "fok"), ("FILLED", None)]
    assert out.fills == [(1, 2, 101, 5, "taker")]


def test_one_quote_continues_as_a_ladder() -> None:
    quote = ("quote", 1, 99, 4, 101, 5)
    later = ("quote", 9, 99, 4, 105, 5)
    orders = [order("buy", "market", 12), order("buy", "limit", 9, price=108)]
    out = play(orders, [quote, later], replace(QUEUE, ladder_levels=3), tick=2)
    # Slices of 5 at 101, 103, 105. Row 0: 5 + 5 + 2. Row 1 finds 3 left at 105 (no 4th slice), 6
    # rest at 108. The next quote shows 5 at 105 <= 108: 5 more at our 108; 1 is left.
    assert [f[2:4] for f in out.fills] == [(101, 5), (103, 5), (105, 2), (105, 3), (108, 5)]
    assert out.fills[-1] == (1, 9, 108, 5, "maker")
    assert out.orders[1][:2] == ("PARTIALLY_FILLED", None)


# Resting, queue, cross ---------------------------------------------------------------------------


def test_others_displayed_at_our_price_go_first() -> None:
    events = [BOOK, ("print", 3, 99, 3, "sell"), ("print", 4, 99, 3, "sell")]
    out = play([order("buy", "limit", 5, price=99)], events)
    # 4 ahead: the first print eats 3 of them, the second the last one and 2 of ours.
    assert out.fills == [(0, 4, 99, 2, "maker")]


def test_two_own_orders_wait_behind_the_same_others_only_once() -> None:
    orders = [order("buy", "limit", 2, price=99), order("buy", "limit", 2, price=99)]
    events = [BOOK, ("print", 3, 99, 7, "sell"), ("print", 4, 99, 1, "sell")]
    out = play(orders, events)
    # 7: 4 others, then 2 of row 0, then 1 of row 1 (its 4 ahead were eaten already). Then 1 more.
    assert [f[:4] for f in out.fills] == [(0, 3, 99, 2), (1, 3, 99, 1), (1, 4, 99, 1)]


def test_a_smaller_level_shortens_the_queue_and_a_larger_one_does_not_lengthen_it() -> None:
    events = [BOOK, said("bid", 99, 1, 3), said("bid", 99, 9, 4), ("print", 5, 99, 3, "sell")]
    out = play([order("buy", "limit", 5, price=99)], events)
    # front 4 -> 1 -> 1; of the 3 printed 2 are ours.
    assert out.fills == [(0, 5, 99, 2, "maker")]


def test_beyond_the_displayed_book_the_queue_is_unknown() -> None:
    events = [BOOK, ("print", 3, 97, 100, "sell"), said("bid", 97, 2, 4)]
    events.append(("print", 5, 97, 3, "sell"))
    out = play([order("buy", "limit", 5, price=97)], events)
    # 97 is worse than 98: 100 printed there fill nothing. Shown with 2, the next 3 give us 1.
    assert out.fills == [(0, 5, 97, 1, "maker")]


def test_on_an_empty_side_the_queue_is_unknown_too() -> None:
    asks = ("book", 1, True, [("ask", 101, 5)])
    events = [asks, ("print", 3, 99, 9, "sell"), said("bid", 99, 1, 4), ("print", 5, 99, 3, "sell")]
    out = play([order("buy", "limit", 5, price=99)], events)
    # Nothing says who waits at 99 when we arrive. Shown with 1 ahead, the next 3 give us 2.
    assert out.fills == [(0, 5, 99, 2, "maker")]


@pytest.mark.parametrize(
    "again, free",
    [
        (("book", 3, True, [("ask", 101, 5), ("bid", 99, 4)]), 1),  # as before: 4 of 5 are gone
        (("book", 3, True, [("ask", 101, 6), ("bid", 99, 4)]), 6),  # another size: refilled
        (said("ask", 101, 5, 3), 5),  # an update of the level: somebody set it
    ],
)
def test_a_level_shown_again_by_a_snapshot_was_not_refilled(again: tuple, free: int) -> None:
    orders = [order("buy", "market", 4), order("buy", "limit", 9, 4, price=101)]
    out = play(orders, [BOOK, again, heartbeat(5)])
    assert [f[:4] for f in out.fills] == [(0, 2, 101, 4), (1, 4, 101, free)]


@pytest.mark.parametrize("size, prices", [(5, [105, 105, 107]), (6, [101, 103])])
def test_a_quote_shown_again_was_not_refilled(size: int, prices: list[int]) -> None:
    orders = [order("buy", "market", 11), order("buy", "market", 8, 4)]
    quotes = [("quote", ts, 99, 4, 101, q) for ts, q in ((1, 5), (3, size), (5, 5))]
    out = play(orders, quotes, tick=2)
    # Row 0 takes 5 at 101, 5 at 103, 1 at 105. The same quote again: 4 left at 105, then 107.
    # Another size: the ladder starts afresh with 6 and 2 at 101 and 103.
    later = [f for f in out.fills if f[0] == 1]
    assert [f[2] for f in later] == sorted(set(prices))
    assert [f[3] for f in later] == ([4, 4] if size == 5 else [6, 2])


def test_a_tick_that_nobody_trades_on_gives_no_ladder() -> None:
    quote, later = ("quote", 1, 10**7, 4, 10**7 + 9, 5), ("quote", 9, 10**7, 4, 10**7 + 9, 6)
    out = play([order("buy", "market", 12)], [quote, later])
    # 1 <= 1e-7 * 10,000,009: one slice of 5. A tick of 2 would be a grid.
    assert [f[2:4] for f in out.fills] == [(10**7 + 9, 5)]
    out = play([order("buy", "market", 12)], [quote, later], tick=2)
    assert [f[3] for f in out.fills] == [5, 5, 2]


def test_a_ladder_of_bids_ends_above_zero() -> None:
    out = play([order("sell", "market", 12)], [("quote", t, 3, 4, 9, 4) for t in (1, 3)], tick=2)
    # 4 at 3, 4 at 1; there is no -1.
    assert [f[2:4] for f in out.fills] == [(3, 4), (1, 4)]
    assert ends(out) == [("EXPIRED", "no_liquidity")]


@pytest.mark.parametrize(
    "model, filled", [(OPTIMISTIC, [7]), (QUEUE, [3]), (PESSIMISTIC, [3])], ids=name_of
)
def test_a_print_through_our_price(model: FillModel, filled: list[int]) -> None:
    out = play([order("buy", "limit", 7, price=99)], [BOOK, ("print", 3, 98, 3, "sell")], model)
    assert [f[2:4] for f in out.fills] == [(99, q) for q in filled]


@pytest.mark.parametrize(
    "model, filled", [(OPTIMISTIC, [3]), (QUEUE, []), (PESSIMISTIC, [])], ids=name_of
)
def test_a_print_at_our_price(model: FillModel, filled: list[int]) -> None:
    out = play([order("buy", "limit", 7, price=99)], [BOOK, ("print", 3, 99, 3, "sell")], model)
    # 4 are ahead in the queue; without a queue all 3 printed are ours.
    assert [f[3] for f in out.fills] == filled


def test_buyers_do_not_fill_buys() -> None:
    out = play([order("buy", "limit", 7, price=99)], [BOOK, ("print", 3, 98, 3, "buy")])
    assert out.fills == []


@pytest.mark.parametrize("model, filled", [(QUEUE, [3]), (PESSIMISTIC, [])])
def test_an_ask_displayed_at_our_bid_is_a_touch(model: FillModel, filled: list[int]) -> None:
    events = [BOOK, said("ask", 100, 3, 3)]
    out = play([order("buy", "limit", 7, price=100)], events, model)
    assert [f[3] for f in out.fills] == filled


def test_a_cross_fills_at_our_price_and_takes_each_displayed_size_once() -> None:
    orders = [order("buy", "limit", 4, price=99), order("buy", "limit", 4, price=100)]
    events = [BOOK, ("book", 3, False, [("ask", 98, 5), ("ask", 99, 1)])]
    out = play(orders, events)
    # Best own price first: 4 of the 5 at 98 for row 1 at 100; 1 + 1 left for row 0 at 99.
    assert out.fills == [(1, 3, 100, 4, "maker"), (0, 3, 99, 2, "maker")]


def test_public_prints_use_up_the_displayed_book() -> None:
    events = [BOOK, ("print", 2, 102, 3, "buy"), heartbeat(3)]
    out = play([order("buy", "market", 9)], events)
    # A buyer at 102 has eaten 101 whole and 3 of 5 at 102; the market event at 2 runs first.
    assert [f[2:4] for f in out.fills] == [(102, 2)]
    assert [f[2:4] for f in play([order("buy", "market", 9)], events, OPTIMISTIC).fills] == [
        (101, 5),
        (102, 4),
    ]


def test_an_unknown_aggressor_inside_the_spread_does_nothing_but_move_the_reference() -> None:
    orders = [order("buy", "limit", 1, price=100), order("buy", "stop_market", 1, stop_price=100)]
    before = ("print", 2, 99, 1, "sell")
    out = play(orders, [BOOK, before, ("print", 3, 100, 9, "unknown")])
    assert out.fills == [(1, 3, 101, 1, "taker")]


# Stops -------------------------------------------------------------------------------------------


def test_buy_stops_trigger_lowest_first_and_share_what_is_left_of_the_book() -> None:
    orders = [
        order("buy", "stop_market", 4, stop_price=103),
        order("buy", "stop_market", 4, stop_price=102),
    ]
    out = play(orders, [BOOK, ("print", 3, 103, 1, "sell")])
    # Seller at 103: no bid at or above. Row 1 triggers first: 4 at 101; row 0: 1 at 101, 3 at 102.
    assert [f[:4] for f in out.fills] == [(1, 3, 101, 4), (0, 3, 101, 1), (0, 3, 102, 3)]
    assert [out.orders[row][3] for row in (0, 1)] == [3, 3]


def test_without_prints_stops_watch_the_opposite_best_price() -> None:
    orders = [order("sell", "stop_market", 2, stop_price=98)]
    events = [BOOK, said("bid", 99, 0, 3)]
    # The best bid falls to 98: reached, 2 of 6 at 98.
    assert play(orders, events).fills == [(0, 3, 98, 2, "taker")]
    assert play(orders, [BOOK, heartbeat(3)]).fills == []
    # A print to come changes nothing; one that was seen is the reference from then on.
    printed = ("print", 4, 100, 1, "buy")
    assert play(orders, [*events, printed]).fills == [(0, 3, 98, 2, "taker")]
    assert play(orders, [BOOK, ("print", 2, 100, 1, "buy"), *events[1:]]).fills == []


def test_an_empty_side_is_no_reference() -> None:
    orders = [order("sell", "stop_market", 2, stop_price=200)]
    gone = ("book", 1, True, [("ask", 101, 5)])
    out = play(orders, [gone, heartbeat(3)])
    # No bid until the one at 1 appears: that is below 200.
    assert out.orders[0][3] == 3


def test_a_stop_limit_is_a_new_limit_order_when_it_triggers() -> None:
    orders = [
        order("buy", "stop_limit", 6, stop_price=102, price=101),
        order("buy", "stop_limit", 6, stop_price=102, price=101, time_in_force="IOC"),
        order("buy", "stop_limit", 6, stop_price=102, price=101, post_only=True),
    ]
    out = play(orders, [BOOK, ("print", 3, 102, 1, "sell")])
    # Row 0 takes 5 at 101 and rests 1; row 1 is marketable but nothing is left; row 2 would take.
    assert out.fills == [(0, 3, 101, 5, "taker")]
    assert ends(out) == [("PARTIALLY_FILLED", None), ("EXPIRED", "ioc"), ("REJECTED", "post_only")]


def test_a_stop_limit_queues_from_its_trigger() -> None:
    orders = [
        order("buy", "stop_limit", 2, stop_price=102, price=100),
        order("buy", "limit", 2, 3, price=100),
    ]
    events = [BOOK, ("print", 4, 102, 1, "buy"), ("print", 5, 100, 3, "sell"), heartbeat(6)]
    out = play(orders, events)
    # Row 0 arrived first but came to rest at 4, row 1 at 3: 2 for row 1, then 1 for row 0.
    assert [f[:4] for f in out.fills] == [(1, 5, 100, 2), (0, 5, 100, 1)]


def test_a_trailing_stop_follows_and_never_goes_back() -> None:
    prints = [("print", ts, p, 1, "buy") for ts, p in ((1, 100), (3, 110), (4, 109), (5, 107))]
    events = [BOOK, *prints, heartbeat(9)]
    out = play([order("sell", "trailing_stop", 1, trail_bps=200.0)], events)
    # w 100 -> floor(98) = 98; w 110 -> floor(107.8) = 107; 109 no; 107 <= 107 triggers.
    assert out.orders[0] == ("FILLED", None, 5, 5, 1)
    assert out.fills == [(0, 5, 99, 1, "taker")]


def test_a_stop_price_is_the_first_trigger_of_a_trailing_stop() -> None:
    prints = [("print", ts, p, 1, "buy") for ts, p in ((1, 100), (3, 98), (4, 98))]
    one = order("sell", "trailing_stop", 1, trail_bps=100.0, stop_price=97)
    # Trigger 97 holds at 98 (ts 3); then the trail, floor(100 * 0.99) = 99, takes over: 98 reaches.
    assert play([one], [BOOK, *prints]).orders[0][3] == 4
    reached = order("sell", "trailing_stop", 1, trail_bps=100.0, stop_price=100)
    assert play([reached], [BOOK, *prints]).orders[0][3] == 2


# Own events, OCO, reduce-only --------------------------------------------------------------------


def test_own_events_of_one_stamp_run_after_the_market_arrivals_first() -> None:
    orders = [
        order("buy", "limit", 2, 2, price=101, cancel=1),
        order("buy", "limit", 2, 2, price=99, cancel=4),
        order("buy", "limit", 2, 2, price=99, time_in_force="GTD", expire=4),
        order("buy", "limit", 2, 2, price=99, time_in_force="GTD", expire=2),
        order("buy", "limit", 2, 9, price=99),
    ]
    out = play(orders, [BOOK, ("print", 4, 99, 6, "sell"), heartbeat(5)])
    # Row 0 arrives and fills before its early cancel. The print at 4: 4 others, 2 for row 1, which
    # is done before its cancel at 4; row 2 gets nothing and expires at 4.
    assert [f[0] for f in out.fills] == [0, 1]
    assert ends(out)[2:] == [("EXPIRED", "gtd"), ("EXPIRED", "gtd"), ("INTENT", None)]
    assert (out.orders[2][2], out.orders[3][2]) == (4, 2)


def test_nothing_happens_after_the_last_market_event() -> None:
    orders = [
        order("buy", "limit", 2, 2, price=99, cancel=6),
        order("buy", "limit", 2, 2, price=99, time_in_force="GTD", expire=6),
        order("buy", "market", 2, 6),
        order("buy", "limit", 2, 5, price=99, cancel=5),
    ]
    out = play(orders, [BOOK, heartbeat(5)])
    assert ends(out) == [("OPEN", None)] * 2 + [("INTENT", None), ("CANCELED", "requested")]
    assert out.fills == []


def test_any_fill_closes_the_oco_group_also_for_late_comers() -> None:
    orders = [
        order("sell", "limit", 5, 2, price=101, oco_group="g"),
        order("sell", "stop_market", 5, 2, stop_price=98, oco_group="g"),
        order("sell", "limit", 5, 4, price=103, oco_group="g"),
    ]
    out = play(orders, [BOOK, ("print", 3, 101, 7, "buy"), heartbeat(5)])
    # 5 others at 101, so 2 of ours.
    assert out.fills == [(0, 3, 101, 2, "maker")]
    assert out.orders[1] == ("CANCELED", "oco", 3, None, 0)
    assert out.orders[2] == ("CANCELED", "oco", 4, None, 0)


def test_reduce_only_is_clipped_fill_by_fill_and_ends_when_nothing_is_left_to_reduce() -> None:
    orders = [
        order("sell", "market", 9, reduce_only=True),
        order("sell", "limit", 9, price=98, reduce_only=True),
        order("sell", "limit", 9, price=100, reduce_only=True),
    ]
    out = play(orders, [BOOK, heartbeat(3)], start_position=6)
    # Long 6: row 0 sells 4 at 99 and 2 at 98, flat. Row 1 would fill and cannot; row 2 rests.
    assert out.fills == [(0, 2, 99, 4, "taker"), (0, 2, 98, 2, "taker")]
    assert ends(out) == [("CANCELED", "reduce_only")] * 2 + [("OPEN", None)]


def test_fill_or_kill_asks_for_the_clipped_quantity() -> None:
    one = order("sell", "market", 99, reduce_only=True, time_in_force="FOK")
    out = play([one], [BOOK, heartbeat(3)], start_position=10)
    assert [f[3] for f in out.fills] == [4, 6]
    out = play([one], [BOOK, heartbeat(3)], start_position=11)
    assert ends(out) == [("EXPIRED", "fok")]
