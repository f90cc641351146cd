"""Real marketable orders against what is predicted of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from execkit.domain import Instrument
from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.matching.alone import walks
from execkit.realism import marketable, taker_orders
from execkit.tables import Finding
from execkit.taker_cost import features

S = "XYZUSDT"
MS = 1_000_000


def market(prints: list[tuple[object, ...]], **columns: object) -> MarketData:
    names = ["ts_ns", "price", "quantity", "aggressor", "trade_id"]
    frame = pd.DataFrame(prints, columns=names).assign(**columns)
    depth = {"side": ["bid", "ask"] * 2, "price": [99.0, 101.0] * 2, "quantity": [5.0] * 4}
    quotes = {"bid": [99.0], "bid_quantity": [5.0], "ask": [101.0], "ask_quantity": [5.0]}
    return (
        MarketData.from_prints(frame, symbol=S)
        + MarketData.from_depth({**depth, "ts_ns": [0, 0, 9 * MS, 9 * MS]}, symbol=S)
        + MarketData.from_quotes({**quotes, "ts_ns": [0]}, symbol=S)
    )


def test_prints_of_one_stamp_and_side_are_one_order_that_arrives_just_before() -> None:
    data = market(
        [
            (5 * MS, 101.0, 1.0, "buy", 1),
            (5 * MS, 102.0, 3.0, "buy", 2),
            (5 * MS, 99.0, 0.1, "sell", 3),
            (5 * MS, 99.0, 0.2, "sell", 4),
            (6 * MS, 99.0, 1.0, "sell", 5),
        ]
    )

    orders = marketable.orders_of(data, S)

    assert orders["ts_ns"].tolist() == [5 * MS - 1, 5 * MS - 1, 6 * MS - 1]
    assert orders["side"].tolist() == ["buy", "sell", "sell"]
    assert orders["quantity"].tolist() == [4.0, 0.3, 1.0]
    assert orders["average_price"].tolist() == pytest.approx([101.75, 99.0, 99.0])
    assert orders["sweep"].tolist() == [True, False, False]
    assert orders["first_trade_id"].tolist() == [1, 3, 5]


def test_an_order_of_an_inverse_instrument_has_a_harmonic_price() -> None:
    data = market([(5 * MS, 100.0, 1.0, "buy", 1), (5 * MS, 200.0, 1.0, "buy", 2)])
    one = Instrument(symbol=S, tick_size=1, lot_size=1, kind="inverse", contract_size=10)

    orders = marketable.orders_of(replace(data, instruments={S: one}), S)

    assert orders["average_price"].tolist() == pytest.approx([2 / (1 / 100 + 1 / 200)])


def test_off_book_and_sideless_prints_are_no_orders() -> None:
    data = market(
        [
            (5 * MS, 101.0, 1.0, "buy", 1),
            (6 * MS, 150.0, 1.0, "buy", 2),
            (7 * MS, 101.0, 1.0, "unknown", 3),
        ],
        off_book=[0, 1, 0],
    )

    assert marketable.orders_of(data, S)["first_trade_id"].tolist() == [1]


def test_orders_before_the_first_book_are_left_out() -> None:
    data = market([(0, 101.0, 1.0, "buy", 1), (1 * MS, 101.0, 1.0, "buy", 2)])

    assert marketable.orders_of(data, S)["first_trade_id"].tolist() == [2]


def test_a_lone_snapshot_beside_the_prints_is_no_book_to_judge_by() -> None:
    prints = [(k * MS, 101.0, 1.0, "buy", k) for k in range(1, 9)]
    snapshot = {"side": ["bid", "ask"], "price": [99.0, 101.0], "quantity": [5.0, 5.0]}
    depth = MarketData.from_depth({**snapshot, "ts_ns": [0, 0]}, symbol=S).depth

    assert len(marketable.orders_of(replace(market(prints), depth=depth), S)) == 0
    assert len(marketable.orders_of(market(prints), S)) == 8


def test_quotes_with_estimated_times_are_held_back_by_what_the_fastest_message_gains() -> None:
    prints = [(k * MS, 101.0, 1.0, "buy", k) for k in range(1, 6)]
    delays = np.array([3, 9, 9, 9, 9]) * MS
    data = market(prints, local_ts_ns=np.arange(1, 6) * MS + delays)
    note = Finding("estimated_time", "info", "quotes", S, 1, 0, "")

    held = marketable._held_back(data.with_notes(note))

    assert marketable._held_back(data) is data
    assert held.quotes["ts_ns"].tolist() == [6 * MS]


def test_a_folder_without_such_markets_is_refused(tmp_path: Path) -> None:
    market([(5 * MS, 101.0, 1.0, "buy", 1)]).to_parquet(tmp_path / "few")

    with pytest.raises(InvalidData, match="depth, prints and 50"):
        taker_orders.run(tmp_path)


def test_a_score_is_what_its_names_say() -> None:
    group = pd.DataFrame(
        {
            "paid_cost_bps": [1.0, 2.0, 3.0],
            "model": [1.0, 2.0, 6.0],
            "notional": [0.5, 0.5, 1.0],
            "second": ["a", "a", "b"],
        }
    )

    score = taker_orders._score(group, "model")

    assert score["n"] == 3
    assert score["bias_bps"] == pytest.approx(1.0)
    assert score["bias_error_bps"] == pytest.approx(np.sqrt((2**2 + 2**2) * 2) / 3)
    assert score["bias_by_quantity_bps"] == pytest.approx(1.5)
    assert score["mae_bps"] == pytest.approx(1.0)
    assert score["p90_bps"] == pytest.approx(2.4)
    assert score["rank_correlation"] == pytest.approx(1.0)
    assert score["correlation"] == pytest.approx(0.9449, abs=1e-4)
    assert score["exact"] == pytest.approx(2 / 3)


# ------------------------------------------------------------------------ recorded


@pytest.fixture(scope="module")
def quick(recorded: Path) -> dict[str, object]:
    return taker_orders.run(recorded / "binance_raw_l2_20240808", quick=True)


def test_the_model_beats_the_naive_walk_on_recorded_orders(quick: dict[str, object]) -> None:
    scores = quick["published"]
    walk, model = scores["all"]["walk"], scores["all"]["model"]

    assert quick["orders_published"] == 5436
    assert walk["n"] > 2700
    assert scores["bias_ratio"] < 1 / 3
    assert model["correlation"] > walk["correlation"] + 0.5
    assert model["mae_bps"] < walk["mae_bps"] / 3
    assert model["p90_bps"] < walk["p90_bps"] / 3
    sweeps = scores["sweeps"]
    assert abs(sweeps["model"]["bias_bps"]) < abs(sweeps["walk"]["bias_bps"]) / 3
    assert sweeps["model"]["correlation"] > sweeps["walk"]["correlation"] + 0.5


def test_the_result_is_plain_json(quick: dict[str, object]) -> None:
    assert json.loads(json.dumps(quick, allow_nan=False)) == quick


def test_on_a_recorded_feed_nothing_after_an_order_changes_what_is_said_of_it(
    recorded: Path,
) -> None:
    data = MarketData.load(recorded / "binance_raw_l2_20240808" / "usdm")
    asked = marketable.orders_of(data, "BTCUSDT")[["ts_ns", "symbol", "side", "quantity"]]
    whole = features(asked, data)

    for row in (700, 3397, 5000):  # the second is inside a cascade
        before = asked[asked["ts_ns"] <= asked["ts_ns"][row]]
        known = features(before, data.select(end_ns=int(asked["ts_ns"][row]) + 1))
        pd.testing.assert_frame_equal(known, whole.iloc[: len(before)])


def test_files_of_several_venues_in_one_folder_are_markets_of_their_own(recorded: Path) -> None:
    folder = recorded / "multi_venue_raw_fixtures"
    files = [folder / f"{name}.jsonl.zst" for name in ("BYBIT", "OKX")]

    found = list(marketable._markets(folder, files))

    assert [place for place, _ in found] == files
    assert "DOGEUSDT:USDT" in found[0][1].symbols


def test_a_damaged_file_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cut.csv").write_bytes(b"not market data")

    with pytest.raises(InvalidData):
        list(marketable._markets(tmp_path, [tmp_path / "cut.csv"]))


@pytest.mark.parametrize(
    ("folder", "symbol", "file"),
    [
        ("usdm", "BTCUSDT", "usdm_btcusdt_20240808"),
        ("cm", "ETHUSD_PERP", "coinm_ethusd_perp_20240808_09"),
    ],
)
def test_orders_and_the_naive_walk_are_those_that_others_made_of_the_same_feed(
    recorded: Path, folder: str, symbol: str, file: str
) -> None:
    root = recorded / "binance_raw_l2_20240808"
    data = MarketData.load(root / folder)
    made = marketable.orders_of(data, symbol)
    given = pd.read_parquet(root / "aggressor_orders" / f"{file}.parquet")

    orders, published, too_early = marketable._published(made, [given])

    assert published
    assert len(orders) + too_early == len(given)
    both = made.merge(given, on="first_trade_id")
    assert len(both) == len(made) == len(orders)
    assert np.allclose(both["average_price"], both["vwap"], rtol=1e-9)
    assert np.allclose(both["quantity"], both["qty"], rtol=1e-9)
    assert (both["side_x"] == both["side_y"]).all()
    arguments = orders["ts_ns"].to_numpy(), (orders["side"] == "buy").to_numpy()
    found = walks(data, symbol, *arguments, orders["quantity"].to_numpy(), prints=False)
    known = np.isfinite(both["book_walk_vwap"])
    assert np.isclose(found.average, both["book_walk_vwap"], rtol=1e-9)[known].mean() > 0.99
