"""MarketData: joining, cutting, keeping and showing it."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_files import MINUTE, bars, depth, prints, same

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.tables import KINDS


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


def test_cut_depth_without_a_snapshot_is_not_passed_off_as_whole() -> None:
    rows = [(1, "bid", 9.0, 1.0, 0), (2, "ask", 11.0, 1.0, 0), (3, "bid", 10.0, 2.0, 0)]
    late = MarketData.from_depth(depth(rows), symbol="X1").select(start_ns=3)
    assert late.check().of("missing_snapshot")
    assert late.book_at("X1", 3).bids.tolist() == [[10, 2], [9, 1]]


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

    monkeypatch.setattr("execkit.sources.native.pq.ParquetWriter", refuse)
    with pytest.raises(InvalidInput, match=r"No space left.*left as it was"):
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


def test_a_market_can_be_sent_to_another_process() -> None:
    market = MarketData.from_prints(prints([1, 2]), symbol="A1") + MarketData.from_bars(
        bars(), symbol="B1"
    )
    there = pickle.loads(pickle.dumps(market))
    assert same(there, market)
    assert there.prints is not None
    assert not there.prints["price"].flags.writeable
    assert same(copy.deepcopy(market), market)


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
