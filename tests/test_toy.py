"""Toy orders and signals: seeded, legal, and blind to the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from execkit import sample, toy
from execkit.errors import InvalidInput
from execkit.order_table import read_orders


@pytest.mark.parametrize("name", sample.NAMES)
def test_random_orders_are_legal_and_repeatable(name: str) -> None:
    market = sample.make(name)
    orders = toy.random_orders(market, 501, seed=3)

    assert len(read_orders(orders, market.symbols)) == 501
    assert orders["ts_ns"].is_monotonic_increasing
    assert set(orders["order_type"]) == {
        "market",
        "limit",
        "stop_market",
        "stop_limit",
        "trailing_stop",
    }
    assert set(orders["symbol"]) == set(market.symbols)
    pd.testing.assert_frame_equal(orders, toy.random_orders(market, 501, seed=3))
    assert not orders.equals(toy.random_orders(market, 501, seed=4))


def test_random_orders_lie_on_the_grid_of_their_instrument() -> None:
    market = sample.make("book")
    orders = toy.random_orders(market, 1000, seed=1)

    assert (orders["price"].dropna() % 0.5 == 0).all()
    assert np.allclose(orders["quantity"] * 1000, np.round(orders["quantity"] * 1000))
    assert (orders["quantity"] > 0).all()


def test_signals_do_not_change_when_the_future_is_cut_off() -> None:
    market = sample.make("book")
    first, last = market.span()
    whole = toy.signals(market, "BTCUSDT", quantity=0.1)
    half = toy.signals(market.select(end_ns=(first + last) // 2), "BTCUSDT", quantity=0.1)

    assert len(half) > 20
    assert whole[: len(half)] == half


def test_signals_protect_the_position_on_both_sides() -> None:
    for signal in toy.signals(sample.make("book")):
        low, high = sorted((signal.stop_loss, signal.take_profit))
        assert (high - low) % 1 == 0  # twice a whole number of ticks of 0.5
        assert (signal.stop_loss < signal.take_profit) == (signal.action.value == "buy")


def test_the_entries_of_signals_are_an_orders_table() -> None:
    market = sample.make("book")
    signals = toy.signals(market)
    table = read_orders(toy.orders_of(signals), market.symbols)

    assert len(table) == len(signals)
    assert list(table.ts_ns) == [s.ts_ns for s in signals]


def test_passive_orders_stand_beside_the_price_and_never_take() -> None:
    """On a book of one tick spread they join the touch."""
    market = sample.make("book")
    orders = toy.passive_orders(market, 200)
    top = market.top_of_book("BTCUSDT")
    at = np.searchsorted(top["ts_ns"], orders["ts_ns"], side="right") - 1
    buy = (orders["side"] == "buy").to_numpy()
    price = orders["price"].to_numpy()

    assert (price[buy] < top["ask"][at[buy]]).all()
    assert (price[~buy] > top["bid"][at[~buy]]).all()
    assert len(read_orders(orders, market.symbols)) == 200


def test_steps_that_do_not_fit_the_market_are_refused() -> None:
    with pytest.raises(InvalidInput, match="every_s"):
        toy.signals(sample.make("book"), every_s=1e6)
    with pytest.raises(InvalidInput, match="at least one"):
        toy.random_orders(sample.make("book"), 0)
