"""Properties that the slow reference must have on drawn streams, whatever the rules say exactly."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from case import Case
from hypothesis import given, settings
from reference import Outcome
from streams import CENTRE, KINDS, bar_case, book_case, print_case, quote_case, random_case

from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE

STRATEGIES = {"book": book_case, "quote": quote_case, "print": print_case, "bar": bar_case}


def cases(kind: str, count: int, n_orders: int, n_events: int) -> list[Case]:
    return [random_case(random.Random(s), kind, n_orders, n_events) for s in range(count)]


def check_bounds(case: Case, out: Outcome) -> None:
    """Never more than asked, never worse than the limit, nothing after the end of an order."""
    filled: Counter[int] = Counter()
    for row, ts, price, quantity, liquidity in out.fills:
        order = case.orders[row]
        filled[row] += quantity
        assert quantity > 0
        assert ts >= order["arrival"]
        assert order["cancel"] is None or ts <= order["cancel"]
        if order["price"] is not None:
            assert price <= order["price"] if order["side"] == "buy" else price >= order["price"]
            assert liquidity == "taker" or price == order["price"]
    for row, (status, _, done, _, total) in out.orders.items():
        assert total == filled[row] <= case.orders[row]["quantity"]
        assert (status == "FILLED") == (total == case.orders[row]["quantity"])
        assert (done is None) == (status in ("OPEN", "PARTIALLY_FILLED", "INTENT"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_fill_keeps_the_order_s_bounds(kind: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(STRATEGIES[kind]())
    def check(case: Case) -> None:
        check_bounds(case, case.outcome())

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_reduce_only_orders_never_enlarge_or_turn_the_position(kind: str) -> None:
    for case in cases(kind, 100, 10, 40):
        position = case.start_position
        for row, _, _, quantity, _ in case.outcome().fills:
            order = case.orders[row]
            after = position + (quantity if order["side"] == "buy" else -quantity)
            if order["reduce_only"]:
                assert abs(after) < abs(position)
                assert after * position >= 0
            position = after


@pytest.mark.parametrize("kind", KINDS)
def test_only_one_member_of_an_oco_group_is_ever_filled(kind: str) -> None:
    for case in cases(kind, 100, 20, 60):
        rows = {f[0] for f in case.outcome().fills}
        groups = Counter(g for row in rows if (g := case.orders[row]["oco_group"]) is not None)
        assert all(count == 1 for count in groups.values())


@pytest.mark.parametrize("kind", KINDS)
def test_cutting_the_tape_leaves_earlier_fills_unchanged(kind: str) -> None:
    for case in cases(kind, 100, 10, 40):
        ts = case.events[len(case.events) // 2][1] + (case.interval or 1) - 1
        cut = case.until(ts)
        before = [f for f in case.outcome().fills if f[1] < ts]
        assert [f for f in cut.outcome().fills if f[1] < ts] == before


@pytest.mark.parametrize("kind", KINDS)
def test_of_one_order_the_worse_model_never_fills_more_or_earlier(kind: str) -> None:
    """With several orders the early fill of one can take what another needs, and on bars a
    trailing stop that the worse path triggers may not trigger on the better one."""
    for case in cases(kind, 400, 1, 30):
        if kind == "bar" and case.orders[0]["order_type"] == "trailing_stop":
            continue
        worst, middle, best = (case.outcome(m) for m in (PESSIMISTIC, QUEUE, OPTIMISTIC))
        for less, more in ((worst, middle), (middle, best)):
            for ts in {f[1] for f in less.fills}:
                assert filled_until(less, ts) <= filled_until(more, ts)


def filled_until(out: Outcome, ts: int) -> int:
    return sum(f[3] for f in out.fills if f[1] <= ts)


@pytest.mark.parametrize("kind", KINDS)
def test_buys_and_sells_are_mirror_images(kind: str) -> None:
    """One order at a time: among several, buys are looked at before sells. Without percentages
    (trail, half spread), whose rounding has no mirror image, and with known aggressors."""
    compared = 0
    for case in cases(kind, 400, 1, 30):
        case = replace(case, model=replace(case.model, half_spread_bps=0.0))
        case = replace(
            case, events=[e if e[-1] != "unknown" else (*e[:-1], "buy") for e in case.events]
        )
        if case.orders[0]["order_type"] == "trailing_stop":
            continue
        out, image = case.outcome(), mirrored(case).outcome()
        axis = 2 * CENTRE * case.tick
        assert image.fills == [(r, ts, axis - p, q, m) for r, ts, p, q, m in out.fills]
        assert image.orders == out.orders
        assert image.ambiguous == out.ambiguous
        compared += bool(out.fills)
    assert compared > 50


OTHER = {"buy": "sell", "sell": "buy", "bid": "ask", "ask": "bid"}


def mirrored(case: Case) -> Case:
    """Prices reflected about the centre, sides swapped."""
    axis = 2 * CENTRE * case.tick

    def flip(price: int | None) -> int | None:
        return None if price is None else axis - price

    def event(kind: str, ts: int, *rest: Any) -> tuple[Any, ...]:
        if kind == "book":
            rows = [(OTHER[side], flip(price), size) for side, price, size in rest[1]]
            return kind, ts, rest[0], rows
        if kind == "quote":
            bid, bid_size, ask, ask_size = rest
            return kind, ts, flip(ask), ask_size, flip(bid), bid_size
        if kind == "print":
            return kind, ts, flip(rest[0]), rest[1], OTHER[rest[2]]
        opened, high, low, close, volume = rest
        return kind, ts, flip(opened), flip(low), flip(high), flip(close), volume

    orders = [
        {
            **o,
            "side": OTHER[o["side"]],
            "price": flip(o["price"]),
            "stop_price": flip(o["stop_price"]),
        }
        for o in case.orders
    ]
    start = -case.start_position
    events = [event(*e) for e in case.events]
    return replace(case, orders=orders, events=events, start_position=start)


@pytest.mark.parametrize("kind", KINDS)
def test_the_streams_reach_every_ending(kind: str) -> None:
    """Otherwise agreement on them would say little."""
    seen: Counter[str | None] = Counter()
    liquidity: Counter[str] = Counter()
    for case in cases(kind, 60, 30, 100):
        out = case.outcome()
        seen.update(reason or status for status, reason, *_ in out.orders.values())
        liquidity.update(f[4] for f in out.fills)
    wanted = {"FILLED", "OPEN", "INTENT", "requested", "gtd", "oco", "reduce_only"}
    wanted |= {"ioc", "fok", "post_only"}
    wanted |= {"no_liquidity"} if kind in ("book", "quote") else set()
    assert wanted <= set(seen)
    assert min(liquidity["maker"], liquidity["taker"]) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_tables_say_the_same_as_events(kind: str) -> None:
    for case in cases(kind, 20, 5, 30):
        market = case.market()
        rows = sum(len(e[3]) if e[0] == "book" else 1 for e in case.events)
        assert sum(len(table) for table in market.tables.values()) == rows
        orders = case.orders_frame()
        assert orders["ts_ns"].tolist() == [o["arrival"] for o in case.orders]
        units = (orders["price"].dropna() * 100).round().astype(int).tolist()
        assert units == [o["price"] for o in case.orders if o["price"] is not None]
