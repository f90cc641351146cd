"""Funding of perpetual contracts: hand-computed cases, and a plausible bill on recorded rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.models import FeeModel
from execkit.models.funding import FundingRates
from execkit.scan import MarketScan
from execkit.simulator import SimulationResult, simulate

START = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000
KINDS: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear", "lot_size": "0.001", "quote": "USDT"},
    "inverse": {"kind": "inverse", "lot_size": "1", "quote": "USD", "contract_size": "100"},
    "spot": {"kind": "spot", "lot_size": "0.001", "quote": "USDT"},
}


def instrument(kind: str) -> Instrument:
    return Instrument(symbol="PERP", tick_size="0.5", base="BTC", **KINDS[kind])


def market(
    kind: str = "linear", rates: Any = ((8, 0.001), (16, -0.002)), marks: Any = None
) -> MarketData:
    """A day of hourly bars: at hour h all prices are 1,000 + 10 h."""
    price = 1000 + 10.0 * np.arange(24)
    bars = pd.DataFrame({"ts_ns": START + np.arange(24) * HOUR, "volume": 1e6})
    bars[["open", "high", "low", "close"]] = np.repeat(price[:, None], 4, axis=1)
    data = MarketData.from_bars(bars, symbol="PERP", interval=HOUR, instruments=[instrument(kind)])
    table = pd.DataFrame([{"ts_ns": START + h * HOUR, "rate": r} for h, r in rates])
    if marks is not None:
        table["mark"] = marks
    return data.combine(MarketData.from_funding(table, symbol="PERP"))


def run(data: MarketData, rows: list[tuple[float, str, float]], **more: Any) -> SimulationResult:
    """Market orders (hour, side, quantity)."""
    frame = pd.DataFrame(rows, columns=["hour", "side", "quantity"])
    frame["ts_ns"] = START + (frame.pop("hour") * HOUR).astype("int64")
    return simulate(frame.assign(symbol="PERP", order_type="market"), data, **more)


def test_longs_pay_a_positive_rate_and_receive_a_negative_one() -> None:
    """2 BTC held at marks of 1,075 and 1,170: 2 * 1,075 * 0.1 % = 2.15 paid, then
    2 * 1,170 * 0.2 % = 4.68 received."""
    result = run(market(marks=[1075.0, 1170.0]), [(1, "buy", 2.0)])
    assert result.funding["cost"].tolist() == pytest.approx([2.15, -4.68])
    assert result.funding["quantity"].tolist() == [2.0, 2.0]
    assert result.funding["mark_source"].tolist() == ["given", "given"]
    assert set(result.funding["currency"]) == {"USDT"}
    short = run(market(marks=[1075.0, 1170.0]), [(1, "sell", 2.0)])
    assert short.funding["cost"].tolist() == pytest.approx([-2.15, 4.68])


def test_inverse_contracts_pay_in_coin() -> None:
    """20 contracts of 100 dollars at a mark of 1,000: 2,000 / 1,000 * 0.1 % = 0.002 BTC."""
    data = market("inverse", rates=[(8, 0.001)], marks=[1000.0])
    result = run(data, [(1, "buy", 20.0)])
    assert result.funding["cost"].tolist() == pytest.approx([0.002])
    assert result.funding["currency"].tolist() == ["BTC"]
    assert result.equity["funding"].iloc[-1] == pytest.approx(0.002)


def test_without_a_mark_the_price_known_at_the_stamp_counts() -> None:
    """At 8 h sharp the close of the bar from 7 h is known, 1,070, and not yet the open of 1,080."""
    result = run(market(), [(1, "buy", 2.0)])
    assert result.funding["mark"].tolist() == [1070.0, 1150.0]
    assert result.funding["mark_source"].tolist() == ["reference", "reference"]
    assert result.funding["cost"].tolist() == pytest.approx([2.14, -4.6])


def test_a_fill_at_the_stamp_itself_comes_after_the_funding() -> None:
    """Bought at the open of 8 h: the first stamp finds nothing; sold at 16 h: the second finds
    it still."""
    result = run(market(), [(8, "buy", 1.0), (16, "sell", 1.0)])
    assert ((result.fills["venue_ts_ns"] - START) // HOUR).tolist() == [8, 16]
    assert ((result.funding["ts_ns"] - START) // HOUR).tolist() == [16]


def test_stamps_beyond_the_data_are_not_known_to_have_come() -> None:
    """The bars end at 24 h; what is still held then pays at 16 h and not at 32 h."""
    result = run(market(rates=[(16, 0.001), (32, 0.001)]), [(9, "buy", 1.0)])
    assert ((result.funding["ts_ns"] - START) // HOUR).tolist() == [16]


def test_funding_is_part_of_cash_and_equity() -> None:
    """Bought 2 at 1,010, worth 1,230 at the end: 440 less 1.01 of fees (5 bps), less 2.15 paid and
    plus 4.68 received."""
    data = market(marks=[1075.0, 1170.0])
    result = run(data, [(1, "buy", 2.0)], fee=FeeModel(taker_bps=5))
    last = result.equity.iloc[-1]
    assert last["funding"] == pytest.approx(2.15 - 4.68)
    assert last["equity"] == pytest.approx(440 - 1.01 + 4.68 - 2.15)
    assert last["cash"] == pytest.approx(-1.01 + 4.68 - 2.15)
    at = result.equity.set_index((result.equity["ts_ns"] - START) // HOUR)["funding"]
    assert at.tolist() == pytest.approx([0, 2.15, 2.15 - 4.68, 2.15 - 4.68])
    assert (result.equity["ts_ns"].diff().dropna() >= 0).all()
    result.slippage()  # the store takes what it knows of it


def test_what_is_held_from_the_start_pays_from_the_first_order_on() -> None:
    """A short of 3 before any fill; the first order is decided after the stamp of 8 h, so only the
    one of 16 h counts."""
    result = run(market(), [(9, "buy", 1.0)], initial_positions={"PERP": -3.0})
    assert result.funding["quantity"].tolist() == [-2.0]
    early = run(market(), [(1, "buy", 1.0)], initial_positions={"PERP": -3.0})
    assert early.funding["quantity"].tolist() == [-2.0, -2.0]


def test_spot_pays_no_funding_and_the_result_says_so() -> None:
    result = run(market("spot"), [(1, "buy", 2.0)])
    assert len(result.funding) == 0
    assert not result.equity["funding"].any()
    assert result.notes == [
        "funding of PERP ignored: its instrument is spot; name it as linear or inverse"
    ]
    assert result.summary()["notes"] == result.notes
    assert run(market(), [(1, "buy", 2.0)]).notes == []


def test_a_stamp_without_any_price_leaves_the_bill_open() -> None:
    """A position from before the data, a stamp before its first price: nobody knows the mark."""
    prints = pd.DataFrame(
        {"ts_ns": START + np.array([2, 4, 6]) * HOUR, "price": 1000.0, "quantity": 9.0,
         "aggressor": "sell"}
    )  # fmt: skip
    data = MarketData.from_prints(prints, symbol="PERP", instruments=[instrument("linear")])
    rates = FundingRates(START + np.array([1]), np.array([0.01]), np.array([np.nan]))
    assert np.isnan(rates.cost(np.array([1.0]))[0])
    assert rates.cost(np.array([0.0]))[0] == 0.0
    quotes = pd.DataFrame(
        {"ts_ns": START + np.array([0, 2, 4]) * HOUR, "bid": [np.nan, 999.0, 999.0],
         "ask": [1001.0] * 3, "bid_quantity": [0.0, 9.0, 9.0], "ask_quantity": [9.0] * 3}
    )  # fmt: skip
    data = MarketData.from_quotes(quotes, symbol="PERP", instruments=[instrument("linear")])
    table = pd.DataFrame({"ts_ns": [START + HOUR, START + 3 * HOUR], "rate": [0.001, 0.001]})
    data = data.combine(MarketData.from_funding(table, symbol="PERP"))
    result = run(data, [(0, "buy", 1.0)])
    assert result.funding["mark_source"].tolist() == ["missing", "reference"]
    assert np.isnan(result.funding["cost"].tolist()[0])
    assert np.isnan(result.equity["equity"].iloc[-1])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 22), st.sampled_from(["buy", "sell"]), st.integers(1, 9)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.lists(
        st.tuples(st.integers(0, 23), st.integers(-20, 20)), max_size=5, unique_by=lambda r: r[0]
    ),
    st.sampled_from(["linear", "inverse"]),
)
def test_funding_agrees_with_a_plain_loop(
    orders: list[tuple[int, str, int]], rates: list[tuple[int, int]], kind: str
) -> None:
    """Walk the fills up to each stamp, multiply, add up."""
    rates = sorted(rates) or [(0, 1)]
    orders = sorted(orders)
    data = market(kind, [(h, r / 1e4) for h, r in rates], [1000.0 + h for h, _ in rates])
    result = run(data, [(h, s, float(q)) for h, s, q in orders])
    total, wanted = 0.0, []
    for hour, rate in rates:
        stamp = START + hour * HOUR
        held = sum(
            f.quantity * (1 if f.side == "buy" else -1)
            for f in result.fills.itertuples()
            if f.venue_ts_ns < stamp
        )
        if held and stamp > START + orders[0][0] * HOUR:
            worth = held * 100 / (1000 + hour) if kind == "inverse" else held * (1000 + hour)
            wanted.append(worth * rate / 1e4)
            total += wanted[-1]
    assert result.funding["cost"].tolist() == pytest.approx(wanted)
    assert result.equity["funding"].iloc[-1] == pytest.approx(total)


# recorded -----------------------------------------------------------------------------------------


def test_recorded_funding_makes_a_plausible_bill(recorded: Path) -> None:
    """One BTC of the USDT contract of Binance held from early 2023 to mid 2024, on its own 8-hour
    bars in London time: the stamps are 0, 8 and 16 h UTC, and the yearly rate lies where that of
    those bullish years did, between 3 and 30 %. A short receives what the long pays."""
    data = MarketData.load(recorded / "funding_rates")
    symbol = next(
        s for s in data.symbols
        if s.startswith("BTC") and "BINANCE" in s and data.bars is not None
        and s in data.bars.present and data.instruments[s].kind == "linear"
    )  # fmt: skip
    data = data.select(symbol)
    first, last = data.span(symbol)
    order = {"ts_ns": [first + HOUR], "symbol": symbol, "order_type": "market", "quantity": 1.0}
    bills = {}
    for side in ("buy", "sell"):
        result = simulate(pd.DataFrame({**order, "side": side}), data)
        bills[side] = result.funding
        assert not result.notes
    paid = bills["buy"]
    assert set(paid["ts_ns"] // HOUR % 24) == {0, 8, 16}
    assert set(paid["mark_source"]) == {"reference"}
    years = (last - first) / (365.25 * 24 * HOUR)
    yearly = float((paid["cost"] / paid["mark"]).sum()) / years
    assert 0.03 < yearly < 0.30
    assert bills["sell"]["cost"].to_numpy() == pytest.approx(-paid["cost"].to_numpy())
    assert len(paid) == pytest.approx(years * 365.25 * 3, rel=0.02)


def test_a_market_read_in_pieces_pays_the_same_funding(tmp_path: Path) -> None:
    """At marks given and at those looked up, for positions of a run and from before it."""
    for number, marks in enumerate((None, [1075.0, 1170.0])):
        folder = market(marks=marks).to_parquet(tmp_path / f"m{number}")
        orders, held = [(1, "buy", 2.0), (12, "sell", 1.0)], {"PERP": 1.0}
        whole = run(MarketData.load(folder), orders, initial_positions=held)
        for rows in (1, 5):
            pieces = run(MarketScan(folder, rows), orders, initial_positions=held)
            assert len(pieces.funding) == 2
            pd.testing.assert_frame_equal(pieces.funding, whole.funding)
            pd.testing.assert_frame_equal(pieces.equity, whole.equity)


def test_a_moment_without_a_mid_does_not_make_later_drawdowns_unknown() -> None:
    """Bought at the very first open, before which no price was known; prices only rise."""
    equity = run(market(rates=[(8, 0.0)]), [(0, "buy", 2.0)]).equity
    assert np.isnan(equity["equity"].iloc[0])
    assert equity["drawdown"].iloc[-1] == 0.0


def test_the_band_does_not_tell_an_equity_from_before_it_became_unknown() -> None:
    """After a funding of unknown cost equity is NaN to the end, and so it is in the band."""
    data = market(rates=[(8, 0.001)])
    result = run(data, [(1, "buy", 2.0)])
    rates = result.request.funding["PERP"]
    unknown = FundingRates(rates.ts_ns, np.array([np.nan]), rates.mark)
    blind = replace(result, request=replace(result.request, funding={"PERP": unknown}))
    assert np.isnan(blind.equity["equity"].iloc[-1])
    assert blind.band["equity_USDT"].isna().all()
