"""MarketData: what goes in, and the bars and books made of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_files import MINUTE, bars, depth, prints, same

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import decimals_of
from execkit.market import MarketData

# --------------------------------------------------------------------- what goes in


def test_bars_infer_interval_tick_and_lot() -> None:
    data = bars(4, open=[100.05, 101.0, 102.0, 103.0], volume=[0.001, 1, 2, 3])
    market = MarketData.from_bars(data, symbol="btc/usdt")
    assert market.symbols == ("BTCUSDT",)
    assert market.bar_interval_ns == {"BTCUSDT": MINUTE}
    instrument = market.instruments["BTCUSDT"]
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.01"), Decimal("0.001"))
    assert (instrument.base, instrument.quote) == ("BTC", "USDT")
    assert market.span() == (0, 4 * MINUTE)


def test_bars_stamped_at_their_close_are_moved_to_their_open() -> None:
    at_close = MarketData.from_bars(bars(start=MINUTE), symbol="X1", stamp="close")
    at_open = MarketData.from_bars(bars(), symbol="X1")
    assert at_close.bars is not None
    assert at_open.bars is not None
    assert np.array_equal(at_close.bars["ts_ns"], at_open.bars["ts_ns"])
    assert not at_close.bars["ts_ns"].flags.writeable


def test_one_bar_needs_an_interval() -> None:
    with pytest.raises(InvalidInput, match="interval"):
        MarketData.from_bars(bars(1), symbol="X1")
    assert MarketData.from_bars(bars(1), symbol="X1", interval="5m").bar_interval_ns["X1"] == (
        5 * MINUTE
    )


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table, dict])
def test_pandas_arrow_and_dicts_are_the_same(make: Any) -> None:
    market = MarketData.from_bars(make(bars()), symbol="X1")
    assert same(market, MarketData.from_bars(bars(), symbol="X1"))


def test_tz_aware_times_of_any_unit_and_zone_become_utc_nanoseconds() -> None:
    times = pd.date_range("2024-01-01 01:00", periods=3, freq="min", tz="Europe/Berlin")
    for unit in ("s", "ms", "us", "ns"):
        data = pd.DataFrame(bars()).drop(columns="ts_ns").assign(time=times.as_unit(unit))
        market = MarketData.from_bars(data, symbol="X1")
        assert market.bars is not None
        assert market.bars["ts_ns"][0] == pd.Timestamp("2024-01-01", tz="UTC").as_unit("ns").value
        assert str(market.bars.frame()["time"].iloc[0]) == "2024-01-01 00:00:00+00:00"


def test_words_in_any_case_become_codes_and_come_back_as_words() -> None:
    market = MarketData.from_prints(
        prints([1, 2, 3], aggressor=["Buy", "SELL", "unknown"]), symbol="X1"
    )
    assert market.prints is not None
    assert market.prints["aggressor"].tolist() == [0, 1, 2]
    assert market.prints.frame()["aggressor"].tolist() == ["buy", "sell", "unknown"]
    book = MarketData.from_depth(depth([(1, "BID", 9, 1, 1), (1, "ask", 10, 1, 1)]), symbol="X1")
    assert book.depth is not None
    assert book.depth.frame()["side"].tolist() == ["bid", "ask"]


@pytest.mark.parametrize(
    ("change", "field", "row"),
    [
        ({"close": None}, "columns", None),
        ({"close": ["1", "2", "oops"]}, "close", 2),
        ({"ts_ns": [0, None, 2]}, "ts_ns", 1),
        ({"ts_ns": pd.to_datetime(["2024-01-01"] * 3)}, "ts_ns", 0),
        ({"symbol": ["A1", None, "A1"]}, "symbol", 1),
    ],
)
def test_unusable_tables_are_refused_with_field_and_row(
    change: dict[str, Any], field: str, row: int | None
) -> None:
    data = bars() | change
    frame = pd.DataFrame({k: v for k, v in data.items() if v is not None})
    with pytest.raises(InvalidInput) as caught:
        MarketData.from_bars(frame, symbol=None if "symbol" in change else "X1")
    assert caught.value.field == field
    assert caught.value.row == row


def test_unknown_words_are_refused_with_their_row() -> None:
    with pytest.raises(InvalidInput, match=r"aggressor = 'hold' in row 1"):
        MarketData.from_prints(prints([1, 2], aggressor=["buy", "hold"]), symbol="X1")


def test_a_word_that_is_no_word_at_all_is_refused_with_its_row() -> None:
    with pytest.raises(InvalidInput, match=r"aggressor.*row 1"):
        MarketData.from_prints({**prints([0, 1]), "aggressor": ["buy", ["sell"]]}, symbol="X1")


def test_who_gave_the_arrays_may_write_into_them_afterwards() -> None:
    before = {name: np.asarray(column) for name, column in bars(3).items()}
    given = {name: column.copy() for name, column in before.items()}
    market = MarketData.from_bars(given, symbol="X1")
    for column in given.values():
        column[:] = 0
    assert market.bars is not None
    for name in given:
        assert np.array_equal(market.bars[name], before[name]), name


def test_a_row_out_of_order_is_found_wherever_it_stands() -> None:
    n = 1 << 15
    for at in (1, n - 1, n, n + 1, 2 * n):
        times = list(range(1, 2 * n + 2))
        times[at] = 0
        market = MarketData.from_prints(prints(times), symbol="X1")
        assert [note.kind for note in market.notes] == ["unsorted"], at


def test_a_symbol_must_be_named_and_rows_must_exist() -> None:
    with pytest.raises(InvalidInput, match="symbol"):
        MarketData.from_bars(bars())
    with pytest.raises(InvalidData, match="no rows"):
        MarketData.from_prints(prints([]), symbol="X1")


def test_two_venues_of_one_symbol_are_refused_because_they_are_two_markets() -> None:
    data = prints([1, 2], symbol=["X1", "X1"], venue=["a", "b"])
    with pytest.raises(InvalidData, match="several venues"):
        MarketData.from_prints(data)
    rates = {"ts_ns": [1, 1], "rate": [0.1, 0.2], "symbol": ["X1", "X1"], "venue": ["a", "b"]}
    assert MarketData.from_funding(rates).funding is not None


def test_bad_values_are_kept_for_the_check_and_not_repaired() -> None:
    data = bars(3, high=[np.nan, -1.0, np.inf])
    market = MarketData.from_bars(data, symbol="X1")
    assert market.bars is not None
    assert np.array_equal(market.bars["high"], [np.nan, -1.0, np.inf], equal_nan=True)


def test_tables_are_read_only_and_symbols_are_views() -> None:
    data = prints([1, 2, 1], symbol=["B1", "A1", "B1"])
    market = MarketData.from_prints(data)
    table = market.prints
    assert table is not None
    with pytest.raises(ValueError, match="read-only"):
        table["price"][0] = 1.0
    part = table.of("B1")
    assert len(part) == 2
    assert np.shares_memory(part["price"], table["price"])
    assert table.present == ("A1", "B1")
    with pytest.raises(InvalidInput, match="choose one of"):
        table["prize"]


def test_rows_out_of_order_are_sorted_and_reported() -> None:
    market = MarketData.from_prints(prints([5, 3, 4]), symbol="X1")
    assert market.prints is not None
    assert market.prints["ts_ns"].tolist() == [3, 4, 5]
    (note,) = market.check().of("unsorted")
    assert (note.count, note.first_row) == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("AB")), min_size=1, max_size=40))
def test_ties_keep_the_order_they_came_in(rows: list[tuple[int, str]]) -> None:
    ts, names = zip(*rows, strict=True)
    data = {"ts_ns": list(ts), "symbol": [n + "1" for n in names]}
    data |= {"price": np.arange(len(ts)) + 1.0, "quantity": [1.0] * len(ts)}
    table = MarketData.from_prints(data).prints
    assert table is not None
    for name in table.present:
        got = table.of(name)["price"].tolist()
        mine = [(t, i + 1.0) for i, (t, n) in enumerate(rows) if n + "1" == name]
        assert got == [price for _, price in sorted(mine, key=lambda pair: pair[0])]


@given(st.integers(0, 12), st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20))
def test_decimals_are_the_fewest_that_write_every_number(decimals: int, whole: list[int]) -> None:
    values = np.array([float(Decimal(n).scaleb(-decimals)) for n in whole])
    found = decimals_of(values)
    texts = [format(Decimal(n).scaleb(-decimals).normalize(), "f") for n in whole]
    assert found == max(len(t.partition(".")[2]) for t in texts)


def test_decimals_of_a_column_longer_than_what_is_looked_at_together() -> None:
    values = np.full(100_000, 0.5)
    values[[40_000, 90_000]] = 0.125, 0.25
    assert decimals_of(values) == 3
    values[99_999] = 1 / 3
    assert decimals_of(values) is None


def test_numbers_without_a_grid_have_no_decimals_and_fall_back_to_eight() -> None:
    assert decimals_of(np.array([1 / 3])) is None
    market = MarketData.from_prints(prints([1], price=1 / 3), symbol="X1")
    assert market.instruments["X1"].tick_size == Decimal("1E-8")


# --------------------------------------------------------------------- bars and the book


def test_bars_of_prints_are_those_computed_by_hand() -> None:
    data = {
        "ts_ns": [0, 10, MINUTE - 1, 3 * MINUTE],
        "price": [10.0, 12.0, 9.0, 11.0],
        "quantity": [0.1, 0.2, 0.3, 1.0],
        "off_book": [0, 0, 0, 0],
    }
    data = {k: [*v, x] for (k, v), x in zip(data.items(), [20, 99.0, 9.0, 1], strict=True)}
    made = MarketData.from_prints(data, symbol="X1").to_bars("1m")
    assert made.bars is not None
    frame = made.bars.frame()
    assert frame["ts_ns"].tolist() == [0, 3 * MINUTE], "empty intervals are omitted"
    assert frame.loc[0, ["open", "high", "low", "close"]].tolist() == [10.0, 12.0, 9.0, 9.0]
    assert frame["volume"].tolist() == [0.6, 1.0], "in whole lots: 0.1 + 0.2 + 0.3 is 0.6"
    assert frame["n_prints"].tolist() == [3, 1]
    assert made.bar_interval_ns == {"X1": MINUTE}


def test_bars_need_prints() -> None:
    with pytest.raises(InvalidInput, match="no prints"):
        MarketData.from_bars(bars(), symbol="X1").to_bars("5m")


@st.composite
def messages(draw: Any) -> list[tuple[int, list[tuple[str, int, int]]]]:
    """(is_snapshot, [(side, price, size)]) messages; bids below 50, asks from 50 on."""
    out = []
    for _ in range(draw(st.integers(1, 12))):
        levels = draw(
            st.dictionaries(st.integers(44, 55), st.integers(0, 3), min_size=1, max_size=5)
        )
        rows = [("bid" if price < 50 else "ask", price, size) for price, size in levels.items()]
        out.append((draw(st.integers(0, 1)), rows))
    return out


@settings(max_examples=60, deadline=None)
@given(messages())
def test_the_rebuilt_book_equals_one_kept_in_dictionaries(
    stream: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    rows = [
        (ts, side, price / 10, size / 100, whole)
        for ts, (whole, levels) in enumerate(stream)
        for side, price, size in levels
    ]
    market = MarketData.from_depth(depth(rows), symbol="X1")
    book: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    touches = []
    for ts, (whole, levels) in enumerate(stream):
        if whole:
            book = {"bid": {}, "ask": {}}
        for side, price, size in levels:
            book[side].pop(price / 10, None)
            if size:
                book[side][price / 10] = size / 100
        bids = sorted(book["bid"].items(), reverse=True)
        asks = sorted(book["ask"].items())
        at = market.book_at("X1", ts)
        assert [tuple(level) for level in at.bids.tolist()] == bids
        assert [tuple(level) for level in at.asks.tolist()] == asks
        touch = (bids[0] if bids else (None, 0.0), asks[0] if asks else (None, 0.0))
        if not touches or touches[-1][1] != touch:
            touches.append((ts, touch))
    top = market.top_of_book("X1").frame()
    got = [(r.ts_ns, ((r.bid, r.bid_quantity), (r.ask, r.ask_quantity))) for r in top.itertuples()]
    clean = [
        (ts, tuple((None if price != price else price, size) for price, size in touch))
        for ts, touch in got
    ]
    assert clean == touches


def test_book_before_the_first_message_is_empty() -> None:
    market = MarketData.from_depth(depth([(5, "bid", 9, 1, 1)]), symbol="X1")
    assert market.book_at("X1", 4).bids.shape == (0, 2)
    with pytest.raises(InvalidInput, match="no depth"):
        MarketData.from_bars(bars(), symbol="X1").book_at("X1", 4)


def test_instruments_are_taken_as_several_or_by_symbol_as_a_market_has_them() -> None:
    frame = pd.DataFrame({"ts_ns": [1], "bid": [1.0], "ask": [2.0]}).assign(
        symbol="BTCUSDT", bid_quantity=1.0, ask_quantity=1.0
    )
    tick = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.25"), lot_size=Decimal("0.5"))
    one = MarketData.from_quotes(frame, instruments=[tick])
    two = MarketData.from_quotes(frame, instruments=one.instruments)
    assert one.instruments["BTCUSDT"] == two.instruments["BTCUSDT"] == tick
    for wrong in (["BTCUSDT"], 5, {"BTCUSDT": 0.25}):
        with pytest.raises(InvalidInput) as error:
            MarketData.from_quotes(frame, instruments=wrong)  # type: ignore[arg-type]
        assert error.value.field == "instruments"
