"""simulate(): orders and a market in; outcome, fills, positions, equity and slippage out.

The fill rules themselves are held by tests/parity; here are the tables around them.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import execkit as ek
from execkit.errors import InvalidData, InvalidInput
from execkit.models import QUEUE, FeeTier

MINUTE = 60_000_000_000


def bars(n: int = 20, volume: float = 100.0) -> ek.MarketData:
    """Opens at 100, 101, 102 ...; each bar reaches 0.5 up and down and closes at its open + 0.2."""
    opened = 100.0 + np.arange(n)
    frame = pd.DataFrame(
        {
            "ts_ns": np.arange(n) * MINUTE,
            "open": opened,
            "high": opened + 0.5,
            "low": opened - 0.5,
            "close": opened + 0.2,
            "volume": volume,
        }
    )
    instrument = ek.Instrument(
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.01"),
    )
    return ek.MarketData.from_bars(frame, symbol="BTCUSDT", instruments=[instrument])


def book() -> ek.MarketData:
    """A book of 99 x 5 / 101 x 5, 102 x 10, shown once, and a later quote of 103 / 105."""
    rows = [
        (0, 0, "bid", 99.0, 5.0, 1),
        (0, 0, "ask", 101.0, 5.0, 1),
        (0, 0, "ask", 102.0, 10.0, 1),
        (9, 1, "bid", 103.0, 5.0, 1),
        (9, 1, "ask", 105.0, 5.0, 1),
    ]
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    return ek.MarketData.from_depth(pd.DataFrame(rows, columns=names), symbol="BTCUSDT")


def order(**fields: object) -> dict:
    return {"ts_ns": 1, "side": "buy", "order_type": "market", "quantity": 1.0} | fields


def test_a_market_order_walks_the_book_and_pays_for_it() -> None:
    """8 of 5 @ 101 and 10 @ 102: 5 @ 101 + 3 @ 102 = 811, average 101.375, mid was 100."""
    result = ek.simulate([order(quantity=8.0)], book(), fee=ek.FeeModel(taker_bps=10))

    assert result.fills["price"].tolist() == [101.0, 102.0]
    assert result.fills["quantity"].tolist() == [5.0, 3.0]
    assert set(result.fills["liquidity"]) == {"taker"}
    assert result.fills["fee"].sum() == pytest.approx(811 * 10 / 1e4)
    row = result.orders.iloc[0]
    assert (row["status"], row["average_price"], row["arrival_price"]) == ("filled", 101.375, 100.0)
    slip = result.slippage().iloc[0]
    assert slip["arrival_cost_bps"] == pytest.approx(1.375 / 100 * 1e4)
    assert slip["fee_cost_bps"] == pytest.approx(10 * 811 / 800)


def test_latency_moves_arrival_and_the_delay_is_a_cost_of_its_own() -> None:
    """Decided at mid 100, arrived at mid 104, bought at 105: 400 bps of delay on 100."""
    result = ek.simulate([order()], book(), latency=ek.LatencyModel(entry_ns=8, response_ns=7))
    slip = result.slippage().iloc[0]

    assert result.fills["price"].tolist() == [105.0]
    assert result.fills["local_ts_ns"].tolist() == [16]
    assert slip["decision_price"] == 100.0
    assert slip["arrival_price"] == 104.0
    assert slip["delay_cost_bps"] == pytest.approx(400)
    assert slip["decision_cost_bps"] == pytest.approx(500)


def test_an_order_decided_at_a_bars_close_takes_the_next_open() -> None:
    """Bar 3 closes at 103.2; the order gets 104.0 and knew 103.2."""
    result = ek.simulate([order(ts_ns=4 * MINUTE)], bars())

    assert result.fills["price"].tolist() == [104.0]
    assert result.fills["venue_ts_ns"].tolist() == [4 * MINUTE]
    assert result.orders["decision_price"].tolist() == [103.2]


def test_a_bar_gives_at_most_its_share_of_volume() -> None:
    """25 wanted, 10 % of 100 a bar: 10, 10 and 5 at three opens."""
    result = ek.simulate([order(ts_ns=MINUTE, quantity=25.0)], bars())

    assert result.fills["quantity"].tolist() == [10.0, 10.0, 5.0]
    assert result.fills["price"].tolist() == [101.0, 102.0, 103.0]


def test_positions_fold_fills_and_flip_at_zero() -> None:
    """Buy 2 @ 101, sell 3 @ 103: 2 * 2 realised, short 1 from 103."""
    rows = [
        order(ts_ns=MINUTE, quantity=2.0),
        order(ts_ns=3 * MINUTE, side="sell", quantity=3.0),
    ]
    result = ek.simulate(rows, bars(), fee=ek.FeeModel(taker_bps=5))

    assert result.positions["quantity"].tolist() == [2.0, -1.0]
    assert result.positions["average_price"].tolist() == [101.0, 103.0]
    assert result.positions["realised_pnl"].tolist() == [0.0, 4.0]
    fees = (2 * 101 + 3 * 103) * 5 / 1e4
    last = result.equity.iloc[-1]
    assert last["fees"] == pytest.approx(fees)
    assert last["cash"] == pytest.approx(4 - fees)
    assert last["equity"] == pytest.approx(last["cash"] + last["position_value"])


def test_fees_come_in_base_quote_or_a_third_currency_and_by_tier() -> None:
    """10 bps of 202: 0.202 USDT, 0.002 BTC, or 0.000404 of a coin worth 500."""
    rows = [order(ts_ns=MINUTE, quantity=2.0)]

    def fee(**model: object) -> tuple[float, str]:
        fills = ek.simulate(rows, bars(), fee=ek.FeeModel(taker_bps=10, **model)).fills
        return fills["fee"].iloc[0], fills["fee_currency"].iloc[0]

    assert fee() == (pytest.approx(0.202), "USDT")
    assert fee(currency="base") == (pytest.approx(0.002), "BTC")
    assert fee(currency="BNB", third_price=500.0) == (pytest.approx(0.000404), "BNB")
    tier = FeeTier(volume=150.0, maker_bps=0, taker_bps=1)
    many = [order(ts_ns=i * MINUTE) for i in (1, 2, 3)]
    fills = ek.simulate(many, bars(), fee=ek.FeeModel(taker_bps=10, tiers=(tier,))).fills
    # 101 traded before the second fill, 203 before the third
    assert fills["fee"].tolist() == pytest.approx([0.101, 0.102, 0.0103])


def test_a_rebate_is_a_negative_cost() -> None:
    """A maker who is paid 1 bps: fee -1 bps of the notional."""
    rows = [order(ts_ns=5 * MINUTE + 1, side="sell", order_type="limit", price=110.0)]
    result = ek.simulate(rows, bars(), fee=ek.FeeModel(maker_bps=-1))

    assert result.fills["liquidity"].tolist() == ["maker"]
    assert result.slippage()["fee_cost_ccy"].iloc[0] == pytest.approx(-0.011)


def test_inverse_contracts_average_harmonically_and_profit_in_base() -> None:
    """3 contracts of 100 USD: 2 @ 100 and 1 @ 110 average 3 / (2/100 + 1/110) = 103.125."""
    rows = [
        (0, 0, "bid", 99.0, 50.0, 1),
        (0, 0, "ask", 100.0, 2.0, 1),
        (0, 0, "ask", 110.0, 5.0, 1),
        (9, 1, "bid", 120.0, 50.0, 1),
        (9, 1, "ask", 121.0, 50.0, 1),
    ]
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    coin = ek.Instrument(
        symbol="BTCUSD_PERP",
        base="BTC",
        quote="USD",
        tick_size=Decimal("0.1"),
        lot_size=Decimal(1),
        kind="inverse",
        contract_size=Decimal(100),
    )
    market = ek.MarketData.from_depth(
        pd.DataFrame(rows, columns=names), symbol="BTCUSD_PERP", instruments=[coin]
    )
    result = ek.simulate(
        [order(quantity=3.0), order(ts_ns=9, side="sell", quantity=3.0)],
        market,
        fee=ek.FeeModel(taker_bps=10, currency="settle"),
    )

    assert result.orders["average_price"].iloc[0] == pytest.approx(103.125)
    gain = 3 * 100 * (1 / 103.125 - 1 / 120)
    assert result.positions["realised_pnl"].sum() == pytest.approx(gain)
    assert set(result.fills["fee_currency"]) == {"BTC"}
    assert set(result.equity["currency"]) == {"BTC"}


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"ts_ns": -5}, "outside the depth of BTCUSDT"),
        ({"ts_ns": 10}, "outside the depth of BTCUSDT"),
        ({"quantity": 0.5}, "not a multiple of the lot"),
        ({"order_type": "limit", "price": 100.05}, "not a multiple of the tick"),
        ({"symbol": "ETHUSDT"}, "the market has: BTCUSDT"),
    ],
)
def test_orders_that_this_market_cannot_answer_are_refused(fields: dict, words: str) -> None:
    """Outside the data, off the grid, or of another symbol: the row is named, nothing runs."""
    good = order(client_order_id="good", symbol="BTCUSDT")
    last = good | fields | {"client_order_id": "last"}
    rows = [last] if fields.get("ts_ns") == -5 else [good, last]
    with pytest.raises(InvalidInput, match=words) as caught:
        ek.simulate(rows, book())
    assert caught.value.row == len(rows) - 1


def test_bad_arguments_name_what_exists() -> None:
    """Fill model, fidelity, start positions and missing volumes."""
    with pytest.raises(InvalidInput, match="optimistic"):
        ek.simulate([order()], book(), fill="magic")
    with pytest.raises(InvalidInput, match="has only depth"):
        ek.simulate([order()], book(), fidelity="bars")
    with pytest.raises(InvalidInput, match="initial_positions"):
        ek.simulate([order()], book(), initial_positions={"X": 1.0})
    with pytest.raises(InvalidInput, match="participation=None"):
        ek.simulate([order(ts_ns=MINUTE)], bars(volume=float("nan")))
    with pytest.raises(InvalidInput, match="participation"):
        ek.FillModel(name="mine", participation=2.0)


def test_minimum_notional_and_quantity_are_the_venues() -> None:
    """1 lot at 101 is below a minimum of 5 USDT notional."""
    market = bars()
    instrument = ek.Instrument(
        symbol="BTCUSDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.01"),
        min_notional=Decimal(5),
    )
    strict = ek.MarketData(bars=market.bars, instruments={"BTCUSDT": instrument})
    low = order(ts_ns=MINUTE, order_type="limit", price=101.0, quantity=0.01)
    with pytest.raises(InvalidInput, match="below the min_notional 5"):
        ek.simulate([low], strict)


def test_the_same_call_gives_the_same_frames_and_the_run_saves_once(tmp_path: Path) -> None:
    """Equal results, and saving twice leaves one copy in the store."""
    rows = [order(ts_ns=i * MINUTE, client_order_id=f"a{i}") for i in range(1, 9)]
    jitter = ek.LatencyModel(entry_ns=1000, jitter_ns=10_000_000_000)
    one, two = (ek.simulate(rows, bars(), latency=jitter, seed=3, run_id="one") for _ in range(2))
    other = ek.simulate(rows, bars(), latency=jitter, seed=4, run_id="one")

    pd.testing.assert_frame_equal(one.fills, two.fills)
    pd.testing.assert_frame_equal(one.orders, two.orders)
    assert not one.orders["arrival_ts_ns"].equals(other.orders["arrival_ts_ns"])
    store = ek.Store(tmp_path)
    assert one.save(store) == two.save(store) == "one"
    assert store.sql("select count(*) n from orders")["n"].iloc[0] == 8
    stored = store.sql("select * from slippage order by decision_ts_ns")
    assert stored["total_cost_bps"].tolist() == one.slippage()["total_cost_bps"].tolist()


def test_a_result_says_what_it_is_in_a_notebook() -> None:
    """Text and HTML state counts and model; the caveat is in the HTML."""
    result = ek.simulate([order()], book(), fill="pessimistic")

    assert "1 orders, 1 fills" in repr(result)
    assert "pessimistic" in result._repr_html_()
    assert "did not move this market" in result._repr_html_()
    assert result.summary()["maker_ratio"] == 0.0


def test_the_band_shows_what_the_three_models_make_of_the_same_orders() -> None:
    """A bid that is only touched: filled under the optimistic model alone."""
    row = order(ts_ns=5 * MINUTE + 1, order_type="limit", price=105.5)
    result = ek.simulate([row], bars())

    assert result.band.index.tolist() == ["pessimistic", "queue", "optimistic"]
    assert result.band["quantity_filled"].tolist() == [0.0, 0.0, 1.0]
    assert result.under("optimistic").run_id == f"{result.run_id}-optimistic"
    assert result.under("optimistic").fills["price"].tolist() == [105.5]


def test_the_band_keeps_what_a_taker_pays_and_shows_a_model_of_ones_own() -> None:
    """A half spread of 100 bps is a cost of the market: no row of the band may forget it."""
    costly = replace(QUEUE, name="mine", half_spread_bps=100.0, participation=None)
    result = ek.simulate([order(ts_ns=MINUTE)], bars(), fill=costly)
    paid = result.fills["price"].iloc[0]

    assert result.band.index.tolist() == ["mine", "pessimistic", "queue", "optimistic"]
    assert result.under("optimistic").fills["price"].iloc[0] == paid
    free = ek.simulate([order(ts_ns=MINUTE)], bars()).band["equity_USDT"]
    assert (result.band["equity_USDT"][free.index] < free).all()


def test_a_seed_of_numpy_is_the_same_seed() -> None:
    late = ek.LatencyModel(entry_ns=MINUTE, jitter_ns=MINUTE)
    runs = [
        ek.simulate([order(ts_ns=MINUTE)], bars(), latency=late, seed=seed, run_id="r").fills
        for seed in (3, np.int64(3), np.int64(2**62), 2**62)
    ]
    pd.testing.assert_frame_equal(runs[0], runs[1])
    pd.testing.assert_frame_equal(runs[2], runs[3])


def test_bars_have_markouts_against_the_price_last_seen(tmp_path: Path) -> None:
    """Bought at the open 104.0 of bar 4: a minute later, at 105's open, 104.2 was last known."""
    store = ek.Store(tmp_path)
    ek.simulate([order(ts_ns=4 * MINUTE)], bars()).save(store)
    after = store.sql("select markout_pnl_bps, reason from markouts where horizon_ns = 60000000000")

    assert after["markout_pnl_bps"].tolist() == pytest.approx([0.2 / 104 * 1e4])
    assert after["reason"].isna().all()


def test_positions_that_close_are_exactly_flat() -> None:
    """0.1 + 0.2 bought, 0.3 sold: no dust, no short of 6e-17."""
    rows = [
        order(ts_ns=MINUTE, quantity=0.1),
        order(ts_ns=2 * MINUTE, quantity=0.2),
        order(ts_ns=3 * MINUTE, side="sell", quantity=0.3),
    ]
    held = ek.simulate(rows, bars()).positions

    assert held["quantity"].tolist() == [0.1, 0.3, 0.0]
    assert held["unrealised_pnl"].iloc[-1] == 0.0


def test_equity_ends_where_the_data_ends() -> None:
    """1 bought at 101 is worth 119.2 at the last close: 18.2 less the fee of 0.0505."""
    result = ek.simulate([order(ts_ns=MINUTE)], bars(), fee=ek.FeeModel(taker_bps=5))

    assert result.equity["ts_ns"].tolist() == [MINUTE, 20 * MINUTE - 1]
    assert result.equity["equity"].iloc[-1] == pytest.approx(18.2 - 0.0505)
    assert (result.equity["cash"] + result.equity["position_value"]).tolist() == pytest.approx(
        result.equity["equity"].tolist()
    )


def test_a_start_position_without_a_known_price_has_an_unknown_profit() -> None:
    """Valued at the first mid; never at 0, which would make 50,000 out of nothing."""
    sold = [order(ts_ns=9, side="sell", quantity=1.0)]
    known = ek.simulate(sold, book(), initial_positions={"BTCUSDT": 1.0}).positions
    assert known["realised_pnl"].tolist() == [3.0]  # from the first mid, 100, to the bid 103


def test_an_order_that_the_data_ended_before_has_no_arrival() -> None:
    """Decided at 5, on its way for 10, the data ends at 9."""
    result = ek.simulate([order(ts_ns=5)], book(), latency=ek.LatencyModel(entry_ns=10))
    row = result.orders.iloc[0]

    assert row["status"] == "intent"
    assert pd.isna(row["arrival_ts_ns"])
    assert np.isnan(row["arrival_price"])


def test_a_lone_snapshot_beside_an_hour_of_prints_is_not_traded_on() -> None:
    """ "auto" takes the prints; asked for by name the old book has no mid to measure against."""
    hour = 3_600_000_000_000
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    shown = [(0, 0, "bid", 99.0, 5.0, 1), (0, 0, "ask", 101.0, 5.0, 1)]
    depth = ek.MarketData.from_depth(pd.DataFrame(shown, columns=names), symbol="BTCUSDT")
    prints = pd.DataFrame(
        {
            "ts_ns": np.arange(1, 60) * MINUTE,
            "price": 150.0,
            "quantity": 5.0,
            "aggressor": "buy",
        }
    )
    market = depth + ek.MarketData.from_prints(prints, symbol="BTCUSDT")
    late = [order(ts_ns=hour // 2)]

    assert ek.simulate(late, market).fills["price"].tolist() == [150.0]
    old = ek.simulate([order(ts_ns=0)], market, fidelity="depth")
    assert old.orders["decision_price"].tolist() == [100.0]
    latency = ek.LatencyModel(entry_ns=20_000_000_000)
    stale = ek.simulate([order(ts_ns=0)], market, fidelity="depth", latency=latency)
    assert np.isnan(stale.orders["arrival_price"].iloc[0])


def test_a_result_names_the_costs_that_it_took_to_be_free() -> None:
    """No fee, no latency, no spread on bars: said in the summary and in the notebook."""
    bare = ek.simulate([order(ts_ns=MINUTE)], bars())
    assert bare.summary()["assumed_free"] == ["fees", "latency", "half the spread on bars"]
    assert "no fees, no latency" in bare._repr_html_()
    paid = ek.simulate(
        [order(ts_ns=1)],
        book(),
        fee=ek.FeeModel(taker_bps=1),
        latency=ek.LatencyModel(entry_ns=1),
    )
    assert paid.summary()["assumed_free"] == []


@pytest.mark.parametrize(
    "column, value", [("open", 0.0), ("close", -3.0), ("low", float("nan")), ("high", 1.0)]
)
def test_a_market_with_prices_that_nothing_trades_at_is_refused(column: str, value: float) -> None:
    """A fill at 0, below 0 or at NaN would be a number made of nothing."""
    frame = bars().bars.frame().drop(columns=["time", "symbol", "venue"])  # type: ignore[union-attr]
    frame.loc[3, column] = value
    broken = ek.MarketData.from_bars(frame, symbol="BTCUSDT", interval="1m")

    with pytest.raises(InvalidData, match=rf"first at ts_ns {3 * MINUTE} .*{column}"):
        ek.simulate([order(ts_ns=MINUTE)], broken)


def test_arguments_of_the_wrong_kind_are_named() -> None:
    """A number for a model, a path for a market, times in milliseconds."""
    for name, value in (("fee", 3), ("latency", 40), ("seed", "a")):
        with pytest.raises(InvalidInput, match=name):
            ek.simulate([order()], book(), **{name: value})
    with pytest.raises(InvalidInput, match="pass a MarketData"):
        ek.simulate([order()], "data.parquet")  # type: ignore[arg-type]
    late = pd.Timestamp("2024-08-08", tz="UTC").as_unit("ns").value
    frame = bars().bars.frame().drop(columns=["time", "symbol", "venue"])  # type: ignore[union-attr]
    frame["ts_ns"] = late + np.arange(20) * MINUTE
    recent = ek.MarketData.from_bars(frame, symbol="BTCUSDT")
    with pytest.raises(InvalidInput, match="looks like milliseconds"):
        ek.simulate([order(ts_ns=late // 10**6)], recent)


def test_one_order_may_be_a_plain_mapping() -> None:
    assert len(ek.simulate(order(), book()).orders) == 1
