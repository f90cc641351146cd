"""Margin and liquidation against cases computed by hand from what margin means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.models import FeeModel, MarginModel, MarginTier
from execkit.simulator import SimulationResult, simulate

START = 1_700_000_000_000_000_000
MINUTE = 60_000_000_000
TEN = MarginModel.of_leverage(10, maintenance_rate=0.05, liquidation_fee_bps=50)
LINEAR = Instrument(
    symbol="PERP", tick_size="0.5", lot_size="0.001", base="BTC", quote="USDT", kind="linear"
)
COIN = Instrument(
    symbol="COIN", tick_size="0.5", lot_size="1", base="BTC", quote="USD", kind="inverse",
    contract_size="100",
)  # fmt: skip


def market(prices: list[float], instrument: Instrument = LINEAR) -> MarketData:
    """One quote a minute, a tick around each price, deep enough for anything."""
    price = np.array(prices)
    n = len(price)
    frame = pd.DataFrame(
        {"ts_ns": START + np.arange(n) * MINUTE, "seq": range(n), "bid": price - 0.5,
         "ask": price + 0.5, "bid_quantity": 1e6 + np.arange(n), "ask_quantity": 1e6 + np.arange(n)}
    )  # fmt: skip
    return MarketData.from_quotes(frame, symbol=instrument.symbol, instruments=[instrument])


def run(data: MarketData, rows: list[tuple[int, str, float]], **more: Any) -> SimulationResult:
    """Market orders (minute, side, quantity) of the market's one symbol."""
    frame = pd.DataFrame(rows, columns=["minute", "side", "quantity"])
    frame["ts_ns"] = START + frame.pop("minute") * MINUTE
    frame["symbol"], frame["order_type"] = data.symbols[0], "market"
    return simulate(frame, data, **more)


# the model ----------------------------------------------------------------------------------------


def test_a_ten_times_long_is_closed_when_half_of_its_margin_is_gone() -> None:
    """1 BTC bought at 1,000 with 100: equity at p is p - 900, maintenance p / 20, equal at
    900 / 0.95 = 947.37. The short: 1,100 - p = p / 20 at 1,047.62."""
    assert TEN.initial_rate == 0.1
    assert TEN.liquidation_price(1, 1000, 100) == pytest.approx(900 / 0.95)
    assert TEN.liquidation_price(-1, 1000, 100) == pytest.approx(1100 / 1.05)


def test_an_inverse_position_is_closed_where_its_coin_margin_ends() -> None:
    """10 contracts of 100 dollars bought at 1,000 are worth 1 BTC there; with 0.1 BTC of balance:
    0.1 + 1 - 1,000 / p = 0.05 * 1,000 / p at p = 1,050 / 1.1 = 954.55. The short: 0.1 - 1 +
    1,000 / p = 50 / p at 950 / 0.9 = 1,055.56; with a balance of 1 BTC it is never closed."""
    given = {"contract_size": 100.0, "inverse": True}
    assert TEN.liquidation_price(10, 1000, 0.1, **given) == pytest.approx(1050 / 1.1)
    assert TEN.liquidation_price(-10, 1000, 0.1, **given) == pytest.approx(950 / 0.9)
    assert math.isnan(TEN.liquidation_price(-10, 1000, 1.0, **given))


def test_a_long_that_is_paid_in_full_is_never_closed() -> None:
    assert math.isnan(TEN.liquidation_price(1, 1000, 1000))
    assert math.isnan(TEN.liquidation_price(0, 1000, 1000))


def test_tiers_charge_by_part_as_a_tax_does() -> None:
    """5 % of the first 1,000, 10 % of the next 4,000, 20 % of what is above: 6,000 needs
    50 + 400 + 200. As a rate on the whole less an amount: 20 % of 6,000 less 550."""
    model = MarginModel(
        initial_rate=0.1,
        maintenance_rate=0.05,
        tiers=(
            MarginTier(notional=1_000, initial_rate=0.2, maintenance_rate=0.1),
            MarginTier(notional=5_000, initial_rate=0.5, maintenance_rate=0.2),
        ),
    )
    assert model.maintenance(np.array([0, 500, 1_000, 6_000])).tolist() == [0, 25, 50, 650]
    assert model.initial(np.array([6_000])).tolist() == [100 + 800 + 500]
    assert 0.2 * 6_000 - 550 == 650


@settings(deadline=None)
@given(
    st.floats(0.01, 50).map(lambda q: round(q, 3)),
    st.booleans(),
    st.booleans(),
    st.floats(0.02, 1.2),
    st.floats(0.005, 0.1),
    st.floats(0.0, 0.2),
)
def test_at_the_liquidation_price_maintenance_equals_equity(
    size: float, short: bool, inverse: bool, share: float, rate: float, step: float
) -> None:
    """For any position and balance (a share of its notional), with a tier in the middle."""
    assume(rate + step <= 1)
    entry, quantity = 1_000.0, -size if short else size
    notional = size / entry if inverse else size * entry
    model = MarginModel(
        initial_rate=1.0,
        maintenance_rate=rate,
        tiers=(MarginTier(notional=notional, initial_rate=1.0, maintenance_rate=rate + step),),
    )
    balance = share * notional
    price = model.liquidation_price(quantity, entry, balance, inverse=inverse)

    def equity(mark: float) -> float:
        gain = (1 / entry - 1 / mark) if inverse else (mark - entry)
        return balance + quantity * gain

    def needed(mark: float) -> float:
        return float(model.maintenance(np.array(size / mark if inverse else size * mark)))

    if math.isnan(price):  # then no mark between nothing and a thousandfold closes it
        marks = np.geomspace(1e-3, 1e6, 400)
        safe = [equity(mark) - needed(mark) > 0 for mark in marks]
        assert all(safe) or not any(safe)
    else:
        assert equity(price) == pytest.approx(needed(price), abs=1e-9 * (1 + balance))


@pytest.mark.parametrize(
    "arguments, field",
    [
        ({"initial_rate": 0.0}, "initial_rate"),
        ({"initial_rate": 1.5}, "initial_rate"),
        ({"maintenance_rate": 0.2}, "maintenance_rate"),
        ({"maintenance_rate": math.nan}, "maintenance_rate"),
        ({"liquidation_fee_bps": -1}, "liquidation_fee_bps"),
        ({"tiers": [1]}, "tiers"),
        ({"tiers": (MarginTier(notional=5, initial_rate=0.05, maintenance_rate=0.05),)}, "tiers"),
    ],
)
def test_a_margin_model_names_the_value_that_it_refuses(arguments: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        MarginModel(**{"initial_rate": 0.1, "maintenance_rate": 0.05, **arguments})
    assert error.value.field == field
    with pytest.raises(InvalidInput, match="leverage"):
        MarginModel.of_leverage(0.5, 0.1)


# a run --------------------------------------------------------------------------------------------


def test_a_run_that_falls_far_enough_is_liquidated_once_and_keeps_what_is_left() -> None:
    """1 BTC bought at 1,000.5 with 100: equity is p - 900.5, maintenance p / 20. At 950 it is 49.5
    against 47.5 (ratio 0.96), at 947 46.5 against 47.35: closed, less 50 bps of 947. The sale two
    minutes later would not have happened."""
    data = market([1000, 990, 950, 947, 980, 1200, 1300])
    result = run(data, [(0, "buy", 1.0), (5, "sell", 1.0)])
    told = result.margin(TEN, 100.0)
    assert told.currency == "USDT"
    assert told.liquidated_ts_ns == START + 3 * MINUTE
    assert told.marks == {"PERP": 947.0}
    assert told.void_fills == 1
    frame = told.frame
    assert frame["equity"].tolist()[:3] == pytest.approx([99.5, 89.5, 49.5])
    assert frame["used"].tolist()[:3] == pytest.approx([100, 99, 95])
    assert frame["ratio"].tolist()[2:4] == pytest.approx([47.5 / 49.5, 47.35 / 46.5])
    assert frame["equity"].tolist()[4:] == pytest.approx([46.5 - 4.735] * 3)
    assert not frame[["used", "maintenance", "ratio"]].iloc[4:].to_numpy().any()
    limit = TEN.liquidation_price(1, 1000.5, 100)
    assert 947 < limit < 950
    assert "liquidated" in repr(told)


def test_a_fill_at_the_moment_of_liquidation_has_happened() -> None:
    """It is part of what is closed; only what comes later is void."""
    result = run(market([1000, 990, 947, 1000]), [(0, "buy", 1.0), (2, "buy", 0.1)])
    told = result.margin(TEN, 100.0)
    assert told.liquidated_ts_ns == START + 2 * MINUTE
    assert told.void_fills == 0
    assert told.frame["used"].iloc[2] == pytest.approx(0.1 * 1.1 * 947)


def test_a_run_with_enough_balance_is_not_liquidated() -> None:
    result = run(market([1000, 990, 950, 947, 980, 1200]), [(0, "buy", 1.0), (5, "sell", 1.0)])
    told = result.margin(TEN, 200.0)
    assert told.liquidated_ts_ns is None
    assert (told.marks, told.void_fills, told.short_of_margin) == ({}, 0, 0)
    last = told.frame.iloc[-1]
    assert last["equity"] == pytest.approx(200 + 1199.5 - 1000.5)
    assert last["ratio"] == 0
    assert last["equity"] - 200 == pytest.approx(result.equity["equity"].iloc[-1])


def test_inverse_contracts_are_margined_in_coin() -> None:
    """10 short contracts of 100 dollars at 999.5 with 0.1 BTC: the limit is between 1,054 and
    1,056, by the formula."""
    result = run(market([1000, 1030, 1054, 1056], COIN), [(0, "sell", 10.0)])
    told = result.margin(TEN, 0.1)
    limit = TEN.liquidation_price(-10, 999.5, 0.1, contract_size=100, inverse=True)
    assert 1054 < limit < 1056
    assert told.liquidated_ts_ns == START + 3 * MINUTE
    equity = 0.1 - (1000 / 999.5 - 1000 / 1030)
    assert told.frame["equity"].iloc[1] == pytest.approx(equity)
    assert told.frame["used"].iloc[1] == pytest.approx(0.1 * 1000 / 1030)
    assert told.currency == "BTC"


def test_margin_that_a_venue_would_have_asked_for_is_counted() -> None:
    """2 BTC at 1,000 need 200: with 150 each of three quotes is short, and not yet liquidated."""
    told = run(market([1000, 1001, 1002]), [(0, "buy", 2.0)]).margin(TEN, 150.0)
    assert told.short_of_margin == 3
    assert told.liquidated_ts_ns is None


def test_fees_and_funding_bring_liquidation_nearer() -> None:
    """950 is safe by 2.0 without; 10 paid in fees, or in funding, are too many."""
    prices = [1000, 990, 950, 951]
    assert run(market(prices), [(0, "buy", 1.0)]).margin(TEN, 100.0).liquidated_ts_ns is None
    fee = FeeModel(taker_bps=100)
    told = run(market(prices), [(0, "buy", 1.0)], fee=fee).margin(TEN, 100.0)
    assert told.liquidated_ts_ns == START + 2 * MINUTE
    rates = pd.DataFrame({"ts_ns": [START + MINUTE], "rate": [0.01], "mark": [1000.0]})
    data = market(prices).combine(MarketData.from_funding(rates, symbol="PERP"))
    told = run(data, [(0, "buy", 1.0)]).margin(TEN, 100.0)
    assert told.liquidated_ts_ns == START + 2 * MINUTE
    assert told.frame["equity"].iloc[1] == pytest.approx(100 - 10 - 10.5)


def test_on_bars_the_worse_extreme_counts() -> None:
    """A bar that dips to 940 and closes at 1,000 liquidates the long, and a short does not mind."""
    bars = pd.DataFrame(
        {"ts_ns": START + np.arange(3) * MINUTE, "open": 1000.0, "high": [1010.0, 1020.0, 1010.0],
         "low": [990.0, 940.0, 990.0], "close": 1000.0, "volume": 1e6}
    )  # fmt: skip
    data = MarketData.from_bars(bars, symbol="PERP", interval=MINUTE, instruments=[LINEAR])
    long, short = (run(data, [(0, side, 1.0)]).margin(TEN, 100.0) for side in ("buy", "sell"))
    assert long.liquidated_ts_ns == START + 2 * MINUTE - 1
    assert long.marks == {"PERP": 940.0}
    assert short.liquidated_ts_ns is None
    assert short.frame["equity"].min() == pytest.approx(80.0)


def test_positions_of_one_currency_share_the_balance_and_others_must_be_named() -> None:
    other = Instrument(
        symbol="ETHPERP", tick_size="0.5", lot_size="0.001", base="ETH", quote="USDT", kind="linear"
    )
    prices = [1000.0, 980.0, 960.0]
    data = market(prices).combine(market(prices, other)).combine(market(prices, COIN))
    frame = pd.DataFrame(
        {"ts_ns": START, "symbol": ["PERP", "ETHPERP", "COIN"], "side": "buy",
         "order_type": "market", "quantity": [1.0, 1.0, 10.0]}
    )  # fmt: skip
    result = simulate(frame, data)
    with pytest.raises(InvalidInput, match=r"name one of \['BTC', 'USDT'\]"):
        result.margin(TEN, 300.0)
    told = result.margin(TEN, 300.0, "USDT")
    assert told.frame["equity"].tolist() == pytest.approx([299, 259, 219])
    assert told.frame["used"].tolist() == pytest.approx([200, 196, 192])
    assert result.margin(TEN, 1.0, "BTC").frame["used"].tolist()[0] == pytest.approx(0.1)
    with pytest.raises(InvalidInput, match="nothing that settles in it"):
        result.margin(TEN, 1.0, "EUR")


def test_what_was_held_from_the_start_counts() -> None:
    """A short of 1 from before, at the first mid of 1,000; nothing fills."""
    data = market([1000, 1040, 1049, 1000])
    order = {"ts_ns": START, "symbol": "PERP", "side": "buy", "order_type": "limit"}
    frame = pd.DataFrame([{**order, "quantity": 1.0, "price": 500.0}])
    told = simulate(frame, data, initial_positions={"PERP": -1.0}).margin(TEN, 100.0)
    assert told.frame["equity"].tolist()[:3] == pytest.approx([100, 60, 51])
    assert told.liquidated_ts_ns == START + 2 * MINUTE


@pytest.mark.parametrize("balance", [0, -1.0, math.nan, "100"])
def test_a_balance_that_is_none_is_refused(balance: Any) -> None:
    result = run(market([1000, 1001]), [(0, "buy", 1.0)])
    with pytest.raises(InvalidInput, match="balance"):
        result.margin(TEN, balance)
    with pytest.raises(InvalidInput, match="pass a MarginModel"):
        result.margin(5, 100.0)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 19), st.sampled_from(["buy", "sell"]), st.integers(1, 5)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.lists(st.integers(-30, 30), min_size=20, max_size=20),
    st.sampled_from([50.0, 200.0, 2_000.0]),
    st.sampled_from([LINEAR, COIN]),
)
def test_the_report_agrees_with_a_plain_walk(
    orders: list[tuple[int, str, int]], steps: list[int], balance: float, instrument: Instrument
) -> None:
    """Minute by minute: cash flows of fills so far, what is held at the mid, and the first minute
    at which that no longer covers maintenance."""
    prices = (1000 + np.cumsum(steps)).astype(float).tolist()
    inverse = instrument.is_inverse
    balance = balance / 1000 if inverse else balance
    result = run(market(prices, instrument), sorted((m, s, float(q)) for m, s, q in orders))
    told = result.margin(TEN, balance)
    liquidated = None
    for row in told.frame.itertuples():
        minute = int((row.ts_ns - START) // MINUTE)
        held, cash = 0.0, balance
        for fill in result.fills.itertuples():
            if fill.venue_ts_ns <= row.ts_ns:
                signed = fill.quantity * (1 if fill.side == "buy" else -1)
                held += signed
                cash += signed * 100 / fill.price if inverse else -signed * fill.price
        worth = -held * 100 / prices[minute] if inverse else held * prices[minute]
        equity, needed = cash + worth, abs(worth) * 0.05
        assert row.equity == pytest.approx(equity, abs=1e-9)
        assert row.maintenance == pytest.approx(needed, abs=1e-9)
        if held and equity <= needed:
            liquidated = row.ts_ns
            break
    assert told.liquidated_ts_ns == liquidated
