"""MarketData: what goes in, what comes out, joining, cutting, bars, the rebuilt book, keeping."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import decimals_of
from execkit.market import MarketData
from execkit.tables import KINDS

MINUTE = 60_000_000_000


def bars(n: int = 3, start: int = 0, **columns: Any) -> dict[str, Any]:
    prices = np.arange(n) + 100.0
    out = {"ts_ns": start + MINUTE * np.arange(n), "open": prices, "high": prices + 1.0}
    out |= {"low": prices - 1.0, "close": prices + 0.5, "volume": np.ones(n)}
    return out | columns


def prints(ts: list[int], price: float = 100.0, **columns: Any) -> dict[str, Any]:
    n = len(ts)
    return {"ts_ns": ts, "price": [price] * n, "quantity": [1.0] * n} | columns


def depth(rows: list[tuple[int, str, float, float, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["ts_ns", "side", "price", "quantity", "is_snapshot"])


def same(one: MarketData, two: MarketData) -> bool:
    """Equal tables, instruments and everything else that is kept."""
    if set(one.tables) != set(two.tables):
        return False
    for kind, table in one.tables.items():
        other = two.tables[kind]
        if (table.symbols, table.venues) != (other.symbols, other.venues):
            return False
        if set(table.columns) != set(other.columns):
            return False
        for name, column in table.columns.items():
            twin = other[name]
            if column.dtype != twin.dtype or not np.array_equal(
                column, twin, equal_nan=column.dtype.kind == "f"
            ):
                return False
    return (
        dict(one.instruments) == dict(two.instruments)
        and one.shared_seq == two.shared_seq
        and dict(one.bar_interval_ns) == dict(two.bar_interval_ns)
        and one.notes == two.notes
        and one.inferred == two.inferred
    )


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


def test_numbers_without_a_grid_have_no_decimals_and_fall_back_to_eight() -> None:
    assert decimals_of(np.array([1 / 3])) is None
    market = MarketData.from_prints(prints([1], price=1 / 3), symbol="X1")
    assert market.instruments["X1"].tick_size == Decimal("1E-8")


# --------------------------------------------------------------------- joining and cutting


def test_parts_that_continue_one_another_join_in_any_order() -> None:
    parts = [
        MarketData.from_prints(prints([1, 2], price=100.1), symbol="X1", venue="v"),
        MarketData.from_prints(prints([3, 4]), symbol="X1", venue="v"),
        MarketData.from_bars(bars(), symbol="X1"),
        MarketData.from_quotes(
            {"ts_ns": [1], "bid": [1.0], "ask": [2.0], "bid_quantity": [1], "ask_quantity": [1]},
            symbol="A1",
        ),
    ]
    whole = parts[0].combine(*parts[1:])
    assert whole.symbols == ("A1", "X1")
    assert whole.instruments["X1"].tick_size == Decimal("0.1")
    for order in permutations(parts):
        assert same(order[0].combine(*order[1:]), whole)
    assert same(parts[0] + parts[1] + parts[2] + parts[3], whole)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.data())
def test_cutting_and_joining_gives_the_same_data(stamps: list[int], data: Any) -> None:
    stamps = sorted(stamps)
    market = MarketData.from_prints(prints(stamps), symbol="X1")
    at = data.draw(st.integers(stamps[0], stamps[-1] + 1))
    pieces = []
    for start, end in ((None, at), (at, None)):
        if any((start is None or t >= start) and (end is None or t < end) for t in stamps):
            pieces.append(market.select("X1", start, end))
    joined = pieces[-1].combine(*pieces[:-1])
    assert same(joined, market)


def test_an_overlap_is_refused_because_liquidity_would_count_twice() -> None:
    one = MarketData.from_prints(prints([1, 5]), symbol="X1")
    with pytest.raises(InvalidData, match="overlap in time"):
        one + MarketData.from_prints(prints([4, 6]), symbol="X1")
    with pytest.raises(InvalidData, match="overlap in time"):
        one + one
    with pytest.raises(InvalidData, match="convert them to one interval"):
        MarketData.from_bars(bars(), symbol="X1") + MarketData.from_bars(
            bars(start=100 * MINUTE), symbol="X1", interval="5m"
        )


def test_given_instruments_win_over_inferred_ones_and_must_agree() -> None:
    perp = Instrument(symbol="X1", tick_size=Decimal(1), lot_size=Decimal(1), kind="inverse")
    given_one = MarketData.from_prints(prints([1]), symbol="X1", instruments=[perp])
    inferred = MarketData.from_prints(prints([2], price=0.25), symbol="X1")
    for joined in (given_one + inferred, inferred + given_one):
        assert joined.instruments["X1"].kind == "inverse"
        assert joined.instruments["X1"].tick_size == Decimal("0.01")
        assert joined.inferred == frozenset()
    spot = Instrument(symbol="X1", tick_size=Decimal(1), lot_size=Decimal(1), kind="spot")
    with pytest.raises(InvalidData, match="described as"):
        given_one + MarketData.from_prints(prints([3]), symbol="X1", instruments=[spot])


def test_select_names_what_there_is() -> None:
    market = MarketData.from_prints(prints([1, 2], symbol=["A1", "B1"]))
    assert market.select("b1").symbols == ("B1",)
    with pytest.raises(InvalidInput, match="A1, B1"):
        market.select("C1")
    with pytest.raises(InvalidInput, match="nothing is left"):
        market.select(start_ns=100)


def test_cut_depth_starts_with_the_book_as_it_stood() -> None:
    rows = [(1, "bid", 9.0, 1.0, 1), (1, "ask", 11.0, 1.0, 1), (2, "bid", 10.0, 2.0, 0)]
    rows += [(3, "ask", 11.0, 0.0, 0), (3, "ask", 12.0, 5.0, 0)]
    market = MarketData.from_depth(depth(rows), symbol="X1")
    late = market.select(start_ns=3)
    assert late.depth is not None
    assert late.depth["is_snapshot"].tolist() == [1, 1, 1, 0, 0]
    for ts in (3, 99):
        mine, theirs = late.book_at("X1", ts), market.book_at("X1", ts)
        assert np.array_equal(mine.bids, theirs.bids)
        assert np.array_equal(mine.asks, theirs.asks)


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


# --------------------------------------------------------------------- keeping and showing

finite = st.floats(allow_nan=True, allow_infinity=False, width=64)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**60), finite, finite), min_size=1, max_size=20))
def test_saved_data_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, float]]
) -> None:
    ts, price, quantity = (list(column) for column in zip(*rows, strict=True))
    names = [f"S{i % 2}" for i in range(len(ts))]
    data = {"ts_ns": ts, "price": price, "quantity": quantity, "symbol": names}
    market = MarketData.from_prints(data, venue="v")
    market += MarketData.from_bars(bars(), symbol="B/USD", interval="1m")
    folder = tmp_path_factory.mktemp("kept") / "market"
    market.to_parquet(folder)
    assert same(MarketData.load(folder), market)
    if "S1" in market.symbols:
        assert MarketData.load(folder, "S1").symbols == ("S1",)


def test_saving_replaces_only_what_execkit_wrote(tmp_path: Path) -> None:
    one = MarketData.from_prints(prints([1]), symbol="A1")
    two = MarketData.from_prints(prints([1, 2]), symbol="B1")
    folder = one.to_parquet(tmp_path / "market")
    two.to_parquet(folder)
    assert MarketData.load(folder).symbols == ("B1",)
    assert [p.name for p in tmp_path.iterdir()] == ["market"], "nothing is left beside it"
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidInput, match="not written by execkit"):
        one.to_parquet(foreign)
    assert (foreign / "thesis.tex").exists()


def test_a_failed_save_leaves_the_old_data_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = MarketData.from_prints(prints([1]), symbol="A1").to_parquet(tmp_path / "market")
    full = OSError(28, "No space left on device")

    def refuse(*args: object, **kwargs: object) -> None:
        raise full

    monkeypatch.setattr("execkit.sources.native.pq.write_table", refuse)
    with pytest.raises(OSError, match="No space left"):
        MarketData.from_prints(prints([1, 2]), symbol="B1").to_parquet(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["market"]
    assert MarketData.load(folder).symbols == ("A1",)


def test_damaged_saves_are_named(tmp_path: Path) -> None:
    folder = MarketData.from_prints(prints([1]), symbol="A1").to_parquet(tmp_path / "market")
    part = folder / "prints.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-20])
    with pytest.raises(InvalidData, match=r"prints\.parquet"):
        MarketData.load(folder)
    part.unlink()
    with pytest.raises(InvalidData, match="is missing"):
        MarketData.load(folder)
    part.write_bytes(whole)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"rows": {"prints": 7}}))
    with pytest.raises(InvalidData, match="the manifest says 7"):
        MarketData.load(folder)


def test_a_market_shows_itself() -> None:
    market = MarketData.from_bars(bars(), symbol="X1")
    assert "3 bars" in repr(market)
    assert "<table" in market._repr_html_()
    assert "X1" in repr(market.bars)
    assert market.summary()["rows"].tolist() == [3]
    assert set(KINDS) == {"bars", "quotes", "prints", "depth", "funding"}
    with pytest.raises(InvalidInput, match="X1 only"):
        market.span("Y1")


def test_ccxt_rows_become_bars() -> None:
    rows = [[1_700_000_000_000, 1.0, 2.0, 0.5, 1.5, 10.0], [1_700_000_060_000, 1, 2, 0.5, 1, None]]
    market = MarketData.from_ccxt_ohlcv(rows, "BTC/USDT", "1m")
    assert market.bars is not None
    assert market.bars["ts_ns"].tolist() == [r[0] * 1_000_000 for r in rows]
    assert np.isnan(market.bars["volume"][1])
    with pytest.raises(InvalidInput, match="row 1"):
        MarketData.from_ccxt_ohlcv([rows[0], [1, 2]], "BTC/USDT", "1m")
