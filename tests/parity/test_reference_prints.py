"""The slow reference against prints alone, worked out by hand."""

from __future__ import annotations

import pytest
from test_reference import ends, order, play

from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel


def test_on_prints_a_market_order_takes_what_its_side_prints() -> None:
    events = [("print", 1, 100, 9, "buy"), ("print", 3, 99, 9, "sell"), ("print", 4, 101, 2, "buy")]
    events.append(("print", 5, 102, 9, "unknown"))
    orders = [order("buy", "market", 5), order("buy", "market", 1, time_in_force="IOC")]
    out = play(orders, events)
    # The seller at 3 is the other side. 2 of 2 at 101 for row 0, nothing for the IOC; 3 at 102.
    assert [f[:4] for f in out.fills] == [(0, 4, 101, 2), (0, 5, 102, 3)]
    assert ends(out) == [("FILLED", None), ("EXPIRED", "ioc")]


def test_on_prints_a_limit_is_marketable_by_the_last_price_of_its_side() -> None:
    events = [("print", 1, 100, 1, "buy"), ("print", 3, 101, 5, "buy"), ("print", 4, 99, 5, "sell")]
    orders = [
        order("buy", "limit", 2, price=100),
        order("buy", "limit", 2, price=100, post_only=True),
        order("sell", "limit", 2, price=90, time_in_force="IOC"),
        order("sell", "limit", 2, price=98),
    ]
    out = play(orders, events, QUEUE)
    # Row 0 takes, meets 101 beyond its limit, rests, is filled through by 99. No seller was seen
    # yet: row 2 is not marketable, row 3 rests and the buyer at 101 goes through it.
    assert [f[:5] for f in out.fills] == [(3, 3, 98, 2, "maker"), (0, 4, 100, 2, "maker")]
    assert ends(out)[1:3] == [("REJECTED", "post_only"), ("EXPIRED", "ioc")]


@pytest.mark.parametrize("model, filled", [(OPTIMISTIC, 1), (QUEUE, 0), (PESSIMISTIC, 0)])
def test_on_prints_a_touch_fills_only_without_queue(model: FillModel, filled: int) -> None:
    out = play([order("buy", "limit", 3, price=99)], [("print", 3, 99, 1, "sell")], model)
    assert sum(f[3] for f in out.fills) == filled
