"""An orders table is checked whole before anything runs; the first bad row is named."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import execkit as ek
from execkit.errors import InvalidData, InvalidInput
from execkit.models import QUEUE
from execkit.order_table import GIVEN, SIDES, TIFS, TYPES, read_orders
from execkit.sample import make_bars

GOOD: dict[str, Any] = {
    "ts_ns": [10, 20, 30],
    "side": ["buy", "SELL", "Buy"],
    "order_type": ["market", "LIMIT", "stop_market"],
    "quantity": [1.0, 2, 3.5],
    "price": [np.nan, 101.0, None],
    "stop_price": [None, np.nan, 99.0],
}
SYMBOLS = ("BTCUSDT",)


def bad(column: str, row: int, value: object, **extra: object) -> InvalidInput:
    """The error of the good table with one cell changed."""
    table = {name: list(values) for name, values in (GOOD | extra).items()}
    table[column][row] = value
    with pytest.raises(InvalidInput) as caught:
        read_orders(pd.DataFrame(table), SYMBOLS)
    return caught.value


def test_words_are_read_in_any_case_and_gaps_are_not_given() -> None:
    """A good table becomes codes, numbers and NaN or GIVEN where nothing was said."""
    table = read_orders(pd.DataFrame(GOOD), SYMBOLS)

    assert [SIDES[c].value for c in table.side] == ["buy", "sell", "buy"]
    assert [TYPES[c].value for c in table.order_type] == ["market", "limit", "stop_market"]
    assert {TIFS[c].value for c in table.time_in_force} == {"GTC"}
    assert np.isnan(table.price).tolist() == [True, False, True]
    assert (table.cancel_ts_ns == GIVEN).all()
    assert table.oco.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    "column, row, value, words",
    [
        ("quantity", 1, 0.0, "above 0"),
        ("quantity", 2, -1.0, "above 0"),
        ("quantity", 0, np.inf, "finite"),
        ("quantity", 0, np.nan, "missing"),
        ("quantity", 1, "many", "not a number"),
        ("price", 1, -5.0, "above 0"),
        ("price", 1, np.inf, "finite"),
        ("price", 1, np.nan, "needs a price"),
        ("price", 0, 100.0, "only limit"),
        ("stop_price", 2, np.nan, "needs a stop_price"),
        ("stop_price", 0, 9.0, "only stop"),
        ("side", 1, "hold", "buy, sell"),
        ("side", 1, None, "missing"),
        ("order_type", 0, "iceberg", "market, limit"),
        ("ts_ns", 2, 5, "sort the orders"),
    ],
)
def test_one_bad_cell_is_named_with_row_and_way_out(
    column: str, row: int, value: object, words: str
) -> None:
    """Field, row, value and what to do are in the one error."""
    error = bad(column, row, value)

    assert (error.field, error.row) == (column, row)
    assert words in str(error)
    assert f"in row {row}" in str(error)


@pytest.mark.parametrize(
    "extra, column, words",
    [
        ({"post_only": [True, False, False]}, "post_only", "only limit"),
        ({"time_in_force": ["GTD", "GTC", "GTC"]}, "expire_ts_ns", "needs expire_ts_ns"),
        (
            {"expire_ts_ns": pd.array([99, None, None], "Int64")},
            "expire_ts_ns",
            "only a GTD order",
        ),
        ({"cancel_ts_ns": pd.array([9, None, None], "Int64")}, "cancel_ts_ns", "not be before"),
        ({"trail_bps": [5.0, np.nan, np.nan]}, "trail_bps", "only a trailing_stop"),
        ({"cancel_ts_ns": [15.0, np.nan, np.nan]}, "cancel_ts_ns", "Int64"),
        ({"client_order_id": ["a", "b", "a"]}, "client_order_id", "used by an earlier row"),
        ({"qty": [1, 2, 3]}, "column", "quantity"),
        ({"symbol": ["BTCUSDT", "BTCUSD", "BTCUSDT"]}, "symbol", "did you mean BTCUSDT"),
        ({"post_only": ["yes", False, False]}, "post_only", "True or False"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(
    extra: dict[str, Any], column: str, words: str
) -> None:
    """Each rule between fields, unknown columns and repeated ids."""
    with pytest.raises(InvalidInput) as caught:
        read_orders(pd.DataFrame(GOOD | extra), SYMBOLS)

    assert caught.value.field == column
    assert words in str(caught.value)


def test_naive_times_are_refused_and_aware_ones_of_any_unit_accepted() -> None:
    """pandas 3 defaults to microseconds; a time without a zone could be any time."""
    naive = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    table = {k: v for k, v in GOOD.items() if k != "ts_ns"}
    with pytest.raises(InvalidInput, match="no zone"):
        read_orders(pd.DataFrame({"time": naive, **table}), SYMBOLS)
    for unit in ("s", "ms", "us", "ns"):
        aware = pd.Series(naive).dt.as_unit(unit).dt.tz_localize("Europe/Berlin")
        read = read_orders(pd.DataFrame({"time": aware, **table}), SYMBOLS)
        midnight = dt.datetime(2023, 12, 31, 23, tzinfo=dt.UTC)
        assert read.ts_ns[0] == int(midnight.timestamp()) * 10**9


def test_missing_columns_and_empty_tables_are_refused() -> None:
    """The error lists what the table has."""
    with pytest.raises(InvalidInput, match=r"quantity.*is missing.*side"):
        read_orders(
            pd.DataFrame({"ts_ns": [1], "side": ["buy"], "order_type": ["market"]}), SYMBOLS
        )
    with pytest.raises(InvalidInput, match="at least one order"):
        read_orders(pd.DataFrame(), SYMBOLS)
    with pytest.raises(InvalidInput, match="the market has A, B"):
        read_orders(pd.DataFrame(GOOD), ("A", "B"))


def test_a_row_that_repeats_another_is_an_order_sent_twice() -> None:
    """Equal rows need ids to say that both are meant."""
    table = {
        "ts_ns": [1, 1],
        "side": ["buy", "buy"],
        "order_type": ["market", "market"],
        "quantity": [1.0, 1.0],
    }
    with pytest.raises(InvalidInput, match="repeats an earlier row") as caught:
        read_orders(pd.DataFrame(table), SYMBOLS)
    assert caught.value.row == 1
    assert len(read_orders(pd.DataFrame(table | {"client_order_id": ["a", "b"]}), SYMBOLS)) == 2


def test_a_group_cannot_span_symbols() -> None:
    """Symbols are matched on their own, so a sibling elsewhere could not be canceled."""
    table = GOOD | {"symbol": ["A", "B", "A"], "oco_group": [None, "g", "g"]}
    with pytest.raises(InvalidInput, match="several symbols"):
        read_orders(pd.DataFrame(table), ("A", "B"))


def test_rows_may_be_mappings_and_columns_categoricals() -> None:
    """A list of dictionaries and categorical words read the same."""
    rows = [{"ts_ns": 1, "side": "buy", "order_type": "market", "quantity": 1}]
    frame = pd.DataFrame(rows).astype({"side": "category", "order_type": "category"})
    for orders in (rows, frame):
        assert read_orders(orders, SYMBOLS).quantity.tolist() == [1.0]


def test_ids_that_became_floats_are_refused() -> None:
    """Two ids that differ by one are the same float, and 7.0 was never sent to a venue."""
    ids = {"client_order_id": [7.0, np.nan, 2.0**60]}
    with pytest.raises(InvalidInput, match=r'client_order_id = 7\.0 in row 0 .*dtype "Int64"'):
        read_orders(GOOD | ids, SYMBOLS)
    kept = read_orders(GOOD | {"client_order_id": pd.array([7, None, 8], dtype="Int64")}, SYMBOLS)
    assert kept.texts["client_order_id"].tolist() == ["7", "", "8"]


@pytest.mark.parametrize("make", [dict, pd.DataFrame])
def test_what_is_written_into_the_orders_later_does_not_reach_the_result(make: Any) -> None:
    """Results are worked out when they are looked at, from the orders as they were given."""
    n = 6
    ts = 1_700_000_040_000_000_000 + 60_000_000_000 * np.arange(n)
    bars = pd.DataFrame(
        {"ts_ns": ts, "open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1e6}
    )
    market = ek.MarketData.from_bars(bars, symbol="X", interval="1m")
    columns = {"ts_ns": ts[:-1].copy(), "side": ["buy"] * 5, "order_type": ["limit"] * 5,
               "quantity": np.arange(1.0, n), "price": np.full(5, 101.0)}  # fmt: skip
    orders = make(columns)
    result, kept = ek.simulate(orders, market), ek.simulate(make(dict(columns)), market)
    assert (len(kept.orders), len(kept.fills)) == (5, 5)
    if isinstance(orders, pd.DataFrame):
        orders.loc[:, "quantity"] = 50.0
        orders.loc[:, "price"] *= 2
        orders.iloc[:, 0] = 0
    else:
        for name in ("quantity", "price", "ts_ns"):
            orders[name][:] = 7

    pd.testing.assert_frame_equal(result.orders, kept.orders)
    assert result.fills["quantity"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    pd.testing.assert_frame_equal(
        result.fills.drop(columns="run_id"), kept.fills.drop(columns="run_id")
    )


def test_a_mapping_of_columns_that_is_written_to_later_does_not_reach_the_table() -> None:
    """A Series or a categorical in a mapping is shared with its owner as little as a frame is."""
    size, side = pd.Series([1.0, 2.0]), pd.Categorical(["buy", "sell"])
    ts_ns = pd.Series([10, 20])
    given = {"ts_ns": ts_ns, "side": side, "order_type": "market", "quantity": size}

    table = read_orders(given, SYMBOLS)
    size.iloc[0], ts_ns.iloc[0], side[0] = 50.0, 5, "sell"

    assert table.quantity.tolist() == [1.0, 2.0]
    assert table.ts_ns.tolist() == [10, 20]
    assert [SIDES[c].value for c in table.side] == ["buy", "sell"]


@pytest.mark.parametrize("column", ["price", "quantity"])
@pytest.mark.parametrize("huge", [1e19, 1e300])
def test_a_number_that_no_int64_holds_is_refused(column: str, huge: float) -> None:
    """A limit "as high as can be" must not come out as one below zero."""
    market = make_bars(days=1).select("BTCUSDT")
    order = {"ts_ns": market.span()[0], "side": "buy", "order_type": "limit"}
    order |= {"price": 1e6, "quantity": 1.0, column: huge}
    with pytest.raises(InvalidInput, match=f"{column}.*is more than"):
        ek.simulate([{**order}, {**order, "side": "sell"}], market)
    kept = ek.simulate({**order, column: 1e9}, market, fill=replace(QUEUE, participation=None))
    assert kept.fills["price"].gt(0).all()


def test_sizes_of_the_market_that_no_int64_holds_do_not_come_out_below_zero() -> None:
    """A lot of 1e-8 beside quantities of 1e12: books are refused, bars have enough for anybody."""
    ts_ns = 10**18 + 10**9 * np.arange(4)
    sizes = np.array([1.00000001, 1e12, 1e12, 1e12])
    book = {"ts_ns": ts_ns, "bid": 1.0, "ask": 1.1, "bid_quantity": sizes, "ask_quantity": sizes}
    prints = {"ts_ns": ts_ns, "price": 1.0, "quantity": sizes, "aggressor": "buy"}
    order = {"ts_ns": ts_ns[1], "side": "buy", "order_type": "market", "quantity": 1000.0}
    for market in (
        ek.MarketData.from_quotes(pd.DataFrame(book), symbol="PEPEUSDT"),
        ek.MarketData.from_prints(pd.DataFrame(prints), symbol="PEPEUSDT"),
    ):
        with pytest.raises(InvalidData, match=r"1e\+12.*Instrument"):
            ek.simulate(order, market)
    bars = pd.DataFrame({"ts_ns": ts_ns, "volume": sizes})
    bars[["open", "high", "low", "close"]] = 1.0
    market = ek.MarketData.from_bars(bars, symbol="PEPEUSDT", interval=10**9)
    result = ek.simulate(order, market, fill=replace(QUEUE, participation=0.1))
    assert result.fills["quantity"].tolist() == [1000.0]


@pytest.mark.parametrize("crowd", [3, 30])
def test_a_row_is_refused_exactly_if_it_repeats_one_in_every_column(crowd: int) -> None:
    """Few values and crowded times: what is compared column by column is what pandas says."""
    rng = np.random.default_rng(crowd)
    refused = 0
    for _ in range(150):
        n = int(rng.integers(1, 2 * crowd))
        table = pd.DataFrame(
            {
                "ts_ns": np.sort(rng.integers(0, 1 + n // crowd, n)),
                "side": rng.choice(["buy", "sell"], n),
                "order_type": "limit",
                "quantity": rng.choice([1.0, 2.0], n),
                "price": rng.choice([5.0, 6.0], n),
                "strategy_id": rng.choice(["a", ""], n),
                "post_only": rng.random(n) < 0.1,
            }
        )
        repeats = np.flatnonzero(table.duplicated().to_numpy())
        if len(repeats):
            refused += 1
            with pytest.raises(InvalidInput, match=f"row {repeats[0]} .*repeats an earlier row"):
                read_orders(table, SYMBOLS)
        else:
            read_orders(table, SYMBOLS)
    assert refused > 4
