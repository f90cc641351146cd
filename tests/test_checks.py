"""The market check: each kind of doubt is found where it is, and clean data raises none."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from execkit.checks import MarketReport, check_market
from execkit.domain import Instrument
from execkit.market import MarketData

MINUTE = 60_000_000_000
MS = 1_000_000


def found(market: MarketData) -> dict[tuple[str, str], tuple[int, int]]:
    """(table, kind) to (count, first row)."""
    return {(f.table, f.kind): (f.count, f.first_row) for f in market.check().findings}


def bars(**columns: Any) -> MarketData:
    n = 30
    data = {"ts_ns": MINUTE * np.arange(n), "open": np.full(n, 100.0), "high": np.full(n, 101.0)}
    data |= {"low": np.full(n, 99.0), "close": np.full(n, 100.0), "volume": np.ones(n)}
    return MarketData.from_bars(data | columns, symbol="X1", interval="1m")


def changed(values: float | list[float], at: int, to: float, n: int = 30) -> np.ndarray:
    out = np.full(n, values, dtype=np.float64)
    out[at] = to
    return out


def quotes(**columns: Any) -> MarketData:
    n = 30
    data = {"ts_ns": MS * np.arange(n), "bid": np.full(n, 99.0), "ask": np.full(n, 101.0)}
    data |= {"bid_quantity": np.ones(n), "ask_quantity": np.ones(n)}
    # a step in the sizes, so that no row repeats the one in front
    data["bid_quantity"] = 1.0 + np.arange(n)
    return MarketData.from_quotes(data | columns, symbol="X1")


def prints(n: int = 30, **columns: Any) -> MarketData:
    data = {"ts_ns": MS * np.arange(n), "price": np.full(n, 100.0), "quantity": 1.0 + np.arange(n)}
    data |= {"aggressor": ["buy"] * n}
    return MarketData.from_prints(data | columns, symbol="X1")


Row = tuple[int, int, str, float, float, int, int, int, int]


def depth(*rows: Row) -> MarketData:
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    names += ["first_seq", "last_seq", "prev_seq"]
    return MarketData.from_depth(pd.DataFrame(rows, columns=names), symbol="X1")


CLEAN: tuple[Row, ...] = (
    (0, 0, "bid", 9.0, 1.0, 1, 10, 10, -1),
    (0, 0, "ask", 11.0, 1.0, 1, 10, 10, -1),
    (1, 1, "bid", 9.0, 2.0, 0, 9, 12, -1),
    (2, 2, "bid", 9.0, 3.0, 0, 13, 14, -1),
)


@pytest.mark.parametrize("market", [bars(), quotes(), prints(), depth(*CLEAN)])
def test_clean_data_has_nothing_to_report(market: MarketData) -> None:
    report = market.check()
    assert report.findings == ()
    assert report.ok
    assert "nothing doubtful" in str(report)


def test_bar_faults_are_found_where_they_are() -> None:
    assert found(bars(high=changed(101.0, 7, 99.5)))[("bars", "ohlc")] == (1, 7)
    assert found(bars(low=changed(99.0, 3, 0.0)))[("bars", "bad_price")] == (1, 3)
    assert found(bars(close=changed(100.0, 4, np.nan)))[("bars", "bad_price")] == (1, 4)
    absurd = bars(high=changed(101.0, 9, 1010.0))
    assert found(absurd) == {("bars", "absurd_price"): (1, 9)}
    assert found(bars(volume=changed(1.0, 2, -1.0)))[("bars", "bad_quantity")] == (1, 2)
    assert found(bars(volume=np.full(30, np.nan)))[("bars", "no_volume")] == (30, 0)


def test_absent_and_double_bars_are_counted() -> None:
    ts = MINUTE * np.arange(30)
    ts[10:] += 2 * MINUTE
    assert found(bars(ts_ns=ts)) == {("bars", "gaps"): (2, 10)}
    ts = MINUTE * np.arange(30)
    ts[5] = ts[4]
    assert found(bars(ts_ns=ts))[("bars", "duplicate_time")] == (1, 5)
    ts = MINUTE * np.arange(30)
    ts[5] += 1
    assert found(bars(ts_ns=ts))[("bars", "odd_times")] == (2, 5)


def test_quote_faults_are_found_where_they_are() -> None:
    assert found(quotes(bid=changed(99.0, 6, 102.0))) == {("quotes", "crossed"): (1, 6)}
    assert found(quotes(bid=changed(99.0, 6, 101.0))) == {("quotes", "locked"): (1, 6)}
    assert found(quotes(bid=changed(99.0, 6, np.nan))) == {("quotes", "one_sided"): (1, 6)}
    assert ("quotes", "bad_price") in found(quotes(bid=changed(99.0, 6, 0.0)))
    assert ("quotes", "absurd_price") in found(quotes(ask=changed(101.0, 6, 500.0)))
    none_shown = quotes(ask_quantity=changed(1.0, 8, 0.0))
    assert found(none_shown) == {("quotes", "bad_quantity"): (1, 8)}
    still = quotes(bid_quantity=np.ones(30), ts_ns=np.repeat(MS * np.arange(15), 2))
    assert found(still)[("quotes", "duplicates")] == (15, 1)
    assert found(still)[("quotes", "ties")] == (15, 1)


def test_print_faults_are_found_where_they_are() -> None:
    assert found(prints(price=changed(100.0, 6, 204.0)))[("prints", "absurd_price")] == (1, 6)
    assert found(prints(off_book=changed(0, 6, 1))) == {("prints", "off_book"): (1, 6)}
    assert found(prints(quantity=changed(1.0, 6, 0.0)))[("prints", "bad_quantity")] == (1, 6)
    assert found(prints(aggressor=["unknown"] * 30)) == {("prints", "no_aggressor"): (30, 0)}
    twins = prints(ts_ns=np.zeros(30, dtype=int), quantity=np.ones(30))
    assert found(twins)[("prints", "duplicates")] == (29, 1)


def test_missing_and_repeated_trade_ids_are_counted() -> None:
    ids = np.arange(30)
    ids[20:] += 3
    assert found(prints(trade_id=ids)) == {("prints", "sequence_gap"): (3, 20)}
    ids = np.arange(30)
    ids[20:] -= 1
    assert found(prints(trade_id=ids)) == {("prints", "duplicates"): (1, 20)}
    first, last = np.arange(30) * 5, np.arange(30) * 5 + 4
    assert found(prints(trade_id=first, last_trade_id=last)) == {}


def test_a_long_silence_is_reported_and_a_short_one_is_not() -> None:
    ts = MS * np.arange(30)
    ts[12:] += 61_000 * MS
    assert found(prints(ts_ns=ts)) == {("prints", "silence"): (1, 12)}
    ts = MS * np.arange(30)
    ts[12:] += 59_000 * MS
    assert found(prints(ts_ns=ts)) == {}


def test_spot_update_ids_must_follow_and_the_snapshot_must_be_joined() -> None:
    gap = (3, 3, "bid", 9.0, 4.0, 0, 16, 17, -1)
    assert found(depth(*CLEAN, gap)) == {("depth", "sequence_gap"): (1, 4)}
    late = [(*row[:6], 12, 12, -1) if i == 2 else row for i, row in enumerate(CLEAN)]
    assert found(depth(*late)) == {("depth", "sequence_gap"): (1, 2)}


def test_futures_update_ids_are_linked_by_the_previous_id() -> None:
    linked = [(*CLEAN[i][:6], *ids) for i, ids in enumerate([(10, 10, 10)] * 2)]
    linked += [(*CLEAN[2][:6], 9, 15, 8), (*CLEAN[3][:6], 20, 25, 15)]
    assert found(depth(*linked)) == {}
    linked[3] = (*CLEAN[3][:6], 20, 25, 16)
    assert found(depth(*linked)) == {("depth", "sequence_gap"): (1, 3)}


def test_book_faults_are_found_where_they_are() -> None:
    above = (3, 3, "bid", 12.0, 1.0, 0, 15, 15, -1)
    assert found(depth(*CLEAN, above)) == {("depth", "crossed"): (1, 4)}
    at_ask = (3, 3, "bid", 11.0, 1.0, 0, 15, 15, -1)
    assert found(depth(*CLEAN, at_ask)) == {("depth", "locked"): (1, 4)}
    empty = (3, 3, "ask", 11.0, 0.0, 0, 15, 15, -1)
    assert found(depth(*CLEAN, empty)) == {("depth", "one_sided"): (1, 4)}
    twice = [(3, 3, "bid", 8.0, size, 0, 15, 15, -1) for size in (1.0, 2.0)]
    assert found(depth(*CLEAN, *twice)) == {("depth", "duplicates"): (1, 5)}
    negative = (3, 3, "bid", -1.0, 1.0, 0, 15, 15, -1)
    assert found(depth(*CLEAN, negative)) == {("depth", "bad_price"): (1, 4)}


def test_a_book_without_a_snapshot_and_deltas_before_one_are_told_apart() -> None:
    sides = [(0, 0, "bid", 9.0, 1.0, 0, 1, 1, -1), (0, 0, "ask", 11.0, 1.0, 0, 1, 1, -1)]
    assert found(depth(*sides)) == {("depth", "missing_snapshot"): (1, -1)}
    early: Row = (-5, -1, "bid", 8.0, 1.0, 0, 5, 5, -1)
    assert found(depth(early, *CLEAN)) == {("depth", "before_snapshot"): (1, 0)}


def test_the_clock_offset_is_estimated_and_its_assumption_stated() -> None:
    ts = 10 * MS * np.arange(30)
    lag = (5 + np.arange(30) % 3) * MS
    (ahead,) = prints(local_ts_ns=ts + lag + 10**15, ts_ns=ts + 10**15).check().findings
    assert (ahead.kind, ahead.severity) == ("clock_offset", "info")
    assert "median 6.0 ms, lowest percentile 5.0 ms" in ahead.detail
    slow = prints(local_ts_ns=ts + lag + 10**15 - 1270 * MS, ts_ns=ts + 10**15)
    (behind,) = slow.check().findings
    assert behind.severity == "warning"
    assert "if the fastest messages take no time, the local clock is 1,265.0 ms behind" in (
        behind.detail
    )


def test_prices_off_the_given_grid_are_reported() -> None:
    coarse = Instrument(symbol="X1", tick_size=Decimal("0.5"), lot_size=Decimal(1))
    market = replace(prints(price=changed(100.0, 3, 100.25)), instruments={"X1": coarse})
    assert found(market) == {("prints", "off_grid"): (1, 3)}


def test_funding_faults_are_found() -> None:
    ts = 8 * 60 * MINUTE * np.arange(10)
    rate = np.full(10, 1e-4)
    rate[4] = np.nan
    ts[6:] += 100 * 60 * MINUTE
    market = MarketData.from_funding({"ts_ns": ts, "rate": rate}, symbol="X1")
    assert found(market) == {("funding", "bad_rate"): (1, 4), ("funding", "gaps"): (1, -1)}


def test_rows_are_positions_in_the_whole_table_and_nothing_is_repaired() -> None:
    first = MarketData.from_prints(
        {"ts_ns": [1, 2], "price": [5.0, 5.0], "quantity": [1, 2], "aggressor": [0, 0]},
        symbol="A1",
    )
    market = first + prints(price=changed(100.0, 6, -1.0))
    assert market.prints is not None
    before = market.prints["price"].copy()
    (finding, *_) = market.check().of("bad_price")
    assert (finding.symbol, finding.first_row) == ("X1", 8)
    assert np.array_equal(before, market.prints["price"])


def test_a_report_is_readable_in_every_form() -> None:
    report = check_market(quotes(bid=changed(99.0, 6, 102.0)))
    assert isinstance(report, MarketReport)
    assert not report.ok
    frame = report.frame()
    assert frame.loc[0, ["severity", "kind", "count"]].tolist() == ["error", "crossed", 1]
    assert "crossed" in str(report)
    assert "<table" in report._repr_html_()
