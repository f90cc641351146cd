"""What the recorded sets are known to hold, read by the loaders: counts, books, bars, traps."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from execkit.clock import NS_PER_MS, to_ns
from execkit.errors import InvalidData
from execkit.instruments import units_of
from execkit.market import MarketData
from execkit.rebuild import message_starts, touches


def kinds(market: MarketData) -> dict[str, int]:
    return {kind: len(table) for kind, table in market.tables.items()}


def messages(market: MarketData, symbol: str, snapshots: bool = False) -> int:
    """Depth messages of a symbol, without the snapshots unless asked for."""
    assert market.depth is not None
    rows = market.depth.of(symbol)
    starts = message_starts(rows)
    return len(starts) if snapshots else int((rows["is_snapshot"][starts] == 0).sum())


def errors(market: MarketData, *but: str) -> list[str]:
    """Findings of severity error, except those expected."""
    found = market.check().findings
    return [f"{f.kind} {f.symbol}" for f in found if f.severity == "error" and f.kind not in but]


def ticker_share(market: MarketData, symbol: str) -> float:
    """Share of depth messages after which the rebuilt touch is that of the last bookTicker."""
    assert market.depth is not None
    assert market.quotes is not None
    rows, quotes = market.depth.of(symbol), market.quotes.of(symbol)
    top = touches(rows, units_of(market.instruments[symbol]))
    last = rows["last_seq"][top.start]
    at = np.searchsorted(quotes["update_id"], last, side="right") - 1
    known = (at >= 0) & (rows["is_snapshot"][top.start] == 0)
    return float(
        np.mean((top.bid == quotes["bid"][at])[known] & (top.ask == quotes["ask"][at])[known])
    )


RAW = "binance_raw_l2_20240808"
CAPTURES = {
    # market: {symbol: (bookTickers, prints, depth messages in the files, least ticker share)}
    "cm": {
        "BTCUSD_PERP": (48_355, 5_235, 26_847 + 17_948, 1.0),
        "ETHUSD_PERP": (35_563, 3_595, 22_909 + 16_246, 1.0),
    },
    "spot": {
        "BTCUSDT": (73_174, 19_904, 3_451 + 3_044, 0.995),
        "ETHUSDT": (58_758, 14_515, 3_434 + 3_036, 0.995),
    },
    "usdm": {"BTCUSDT": (66_089, 21_313, 6_551, 0.994)},
}


@pytest.mark.parametrize("part", CAPTURES)
def test_every_message_of_the_binance_captures_is_accounted_for(recorded: Path, part: str) -> None:
    market = MarketData.load(recorded / RAW / part)
    report = market.check()
    assert market.shared_seq
    assert set(market.symbols) == set(CAPTURES[part])
    for symbol, (quotes, prints, deltas, share) in CAPTURES[part].items():
        assert len(market.quotes.of(symbol)) == quotes  # type: ignore[union-attr]
        assert len(market.prints.of(symbol)) == prints  # type: ignore[union-attr]
        dropped = [f.count for f in report.of("before_snapshot") if f.symbol == symbol]
        assert messages(market, symbol) + sum(dropped) == deltas
        assert messages(market, symbol, snapshots=True) == messages(market, symbol) + 1
        assert ticker_share(market, symbol) >= share
    assert not [f for f in report.findings if f.severity == "error"], "0 crossed, 0 gaps"
    offsets = [f for f in report.of("clock_offset") if f.table == "prints"]
    assert len(offsets) == len(market.symbols)
    for finding in offsets:
        median = float(finding.detail.split("median ")[1].split(" ms")[0].replace(",", ""))
        assert -1_300 < median < -1_240, "the local clock is about 1.27 s behind"


def test_contract_sizes_and_spans_of_the_captures(recorded: Path) -> None:
    coin = MarketData.load(recorded / RAW / "cm")
    sizes = {s: (i.kind, i.contract_size) for s, i in coin.instruments.items()}
    assert sizes["BTCUSD_PERP"] == ("inverse", Decimal(100))
    assert sizes["ETHUSD_PERP"] == ("inverse", Decimal(10))
    first, last = coin.span()
    assert 640e9 < last - first < 655e9
    usdm = MarketData.load(recorded / RAW / "usdm")
    first, last = usdm.span()
    assert 344e9 < last - first < 346e9
    assert usdm.instruments["BTCUSDT"].kind == "linear"


def test_a_continuing_file_alone_has_no_snapshot_and_two_markets_of_one_name_are_refused(
    recorded: Path,
) -> None:
    late = MarketData.load(recorded / RAW / "cm" / "btcusd_perp_20240809.gz")
    assert late.check().of("missing_snapshot")
    with pytest.raises(InvalidData, match="load one folder"):
        MarketData.load(recorded / RAW, "BTCUSDT")


def test_prints_agree_with_the_real_orders_derived_from_them(recorded: Path) -> None:
    market = MarketData.load(recorded / RAW / "usdm")
    orders = pd.read_parquet(recorded / RAW / "aggressor_orders" / "usdm_btcusdt_20240808.parquet")
    assert market.prints is not None
    frame = market.prints.frame().query("off_book == 0")
    key = (frame["ts_ns"].diff() != 0) | (frame["aggressor"] != frame["aggressor"].shift())
    groups = frame.assign(value=frame["price"] * frame["quantity"]).groupby(key.cumsum())
    assert len(groups) == len(orders)
    assert np.allclose(groups["quantity"].sum().to_numpy(), orders["qty"].to_numpy())
    vwap = groups["value"].sum() / groups["quantity"].sum()
    assert np.allclose(vwap.to_numpy(), orders["vwap"].to_numpy())


def test_whole_books_of_1000_levels(recorded: Path) -> None:
    market = MarketData.load(recorded / "binance_btcusdt_lob1000_20260216_spot")
    assert messages(market, "BTCUSDT", snapshots=True) == 2_559
    assert kinds(market) == {"prints": 10_215, "depth": 2_559 * 2_000}
    assert errors(market) == []
    table = recorded / "binance_btcusdt_lob1000_20260216_spot"
    raw = pd.read_parquet(
        table / "lobdeep_btc_spot_2026-02-16_04.parquet", columns=["best_bid", "best_ask"]
    )
    top = touches(market.depth, units_of(market.instruments["BTCUSDT"]))  # type: ignore[arg-type]
    assert np.array_equal(top.bid, raw["best_bid"])
    assert np.array_equal(top.ask, raw["best_ask"])


def test_an_hour_of_ethbtc(recorded: Path) -> None:
    market = MarketData.load(recorded / "binance_spot_ethbtc_l2_20201101_h09")
    assert market.prints is not None
    assert len(market.prints) == 24_490
    dropped = sum(n.count for n in market.notes if n.kind == "before_snapshot")
    assert messages(market, "ETHBTC") + dropped == 3_600
    assert errors(market) == []
    top = market.top_of_book("ETHBTC")
    spread = np.median((top["ask"] - top["bid"]) / (top["ask"] + top["bid"]) * 2e4)
    assert round(float(spread), 2) == 0.36


def test_lobster_depth_is_the_recorded_book_after_every_message(recorded: Path) -> None:
    folder = recorded / "lobster_amzn_20120621"
    market = MarketData.load(folder)
    book = pd.read_parquet(folder / "AMZN_book_10.parquet")
    assert errors(market) == []
    assert market.depth is not None
    top = touches(market.depth, units_of(market.instruments["AMZN"]))
    row = (market.depth["seq"][top.start] - 1) // 2
    # rows that change nothing visible have no message; the touch stands
    at = np.searchsorted(row, np.arange(len(book)), side="right") - 1
    for name, mine in (("bid_price_1", top.bid), ("ask_price_1", top.ask)):
        assert np.array_equal(mine[at], book[name].round(4))
    for name, mine in (("bid_size_1", top.bid_quantity), ("ask_size_1", top.ask_quantity)):
        assert np.array_equal(mine[at], book[name])
    for i in (0, 1, 77_777, len(book) - 1):
        j = int(np.searchsorted(row, i, side="right"))
        end = int(top.start[j]) if j < len(top.start) else len(market.depth)
        part = MarketData(depth=market.depth.cut(slice(0, end)), instruments=market.instruments)
        now = part.book_at("AMZN", 2**62)
        for side, levels in (("bid", now.bids), ("ask", now.asks)):
            want = book.loc[i, [f"{side}_{w}_{k}" for k in range(1, 11) for w in ("price", "size")]]
            assert np.allclose(levels.ravel(), want.to_numpy(dtype=float), atol=1e-9)


def test_lobster_prints_are_the_executions(recorded: Path) -> None:
    folder = recorded / "lobster_amzn_20120621"
    market = MarketData.load(folder)
    sent = pd.read_parquet(folder / "AMZN_messages_10.parquet")
    assert market.prints is not None
    visible = sent["type"].to_numpy()[market.prints["seq"] // 2] == 4
    assert visible.sum() == 6_453
    assert len(market.prints) == int(sent["type"].isin([4, 5]).sum())
    first = to_ns("2012-06-21T14:00:00Z") + sent["timestamp"].iloc[0] % 1 * 1e9
    assert abs(market.span()[0] - first) < 1_000, "10:00 in New York is 14:00 UTC"


def test_bitstamp_log_has_its_snapshots_and_its_missing_trades(recorded: Path) -> None:
    market = MarketData.load(recorded / "bitstamp_btcusd_l3_20150501")
    assert messages(market, "BTCUSD", snapshots=True) == 5_011
    assert kinds(market)["prints"] == 575
    report = market.check()
    assert report.of("sequence_gap")[0].count == 139, "139 trade ids are missing"
    assert errors(market, "sequence_gap") == [], "0 crossed"
    top = market.top_of_book("BTCUSD")
    spread = np.median((top["ask"] - top["bid"]) / (top["ask"] + top["bid"]) * 2e4)
    assert 6.5 < spread < 8


def test_tardis_quotes_and_trades(recorded: Path) -> None:
    market = MarketData.load(recorded / "binance_futures_tardis_20200222")
    assert kinds(market) == {"quotes": 9_999, "prints": 9_999}
    assert errors(market) == [], "0 crossed, ids contiguous"
    assert market.span()[0] == to_ns("2020-02-22T00:00:01.096Z")
    assert market.instruments["BTCUSDT"].kind == "linear"


def test_bars_of_prints_equal_the_exchange_s_own_to_the_last_digit(recorded: Path) -> None:
    folder = recorded / "xrpeth_trades_and_bars_201910"
    prints = MarketData.load(folder / "XRP_ETH-trades.feather")
    assert kinds(prints) == {"prints": 12_477}
    assert errors(prints) == [], "ids contiguous"
    for interval, rows in (("1m", 2_469), ("5m", 706)):
        own = MarketData.load(folder / f"XRP_ETH-{interval}.feather").bars
        made = prints.to_bars(interval).bars
        assert own is not None
        assert made is not None
        inside = made["ts_ns"] <= own["ts_ns"][-1]
        assert inside.sum() == len(own) == rows
        for name in ("ts_ns", "open", "high", "low", "close", "volume"):
            assert np.array_equal(made[name][inside], own[name]), name
    whole = MarketData.load(folder)
    assert kinds(whole) == {"bars": 2_469, "prints": 13_477}


def test_bitfinex_bars_and_their_omitted_minutes(recorded: Path) -> None:
    market = MarketData.load(recorded / "bitfinex_ohlcv_1m")
    assert kinds(market) == {"bars": 1_122_987}
    assert market.bars is not None
    rows = {s: len(market.bars.of(s)) for s in market.symbols}
    assert rows["BTCUSD"] == 253_338
    assert rows["EOSUSD"] == 195_568
    assert errors(market) == [], "0 OHLC violations, no duplicates"
    absent = {f.symbol: f.count for f in market.check().of("gaps")}
    assert rows["BTCUSD"] + absent["BTCUSD"] == 181 * 1_440
    assert set(market.bar_interval_ns.values()) == {60_000 * NS_PER_MS}


def test_lean_minutes_have_no_crossed_quotes(recorded: Path) -> None:
    folder = recorded / "lean_quote_trade_bars"
    parts = ("crypto/coinbase/minute", "crypto/bybit", "cryptofuture/bybit")
    rows = 0
    for part in (*parts, "cryptofuture/dydx", "cryptofuture/binance"):
        market = MarketData.load(folder / part)
        assert errors(market) == []
        rows += kinds(market)["quotes"]
    assert rows == 26_856
    with pytest.raises(InvalidData, match="load one folder"):
        MarketData.load(folder)


def test_minutes_with_unusable_spreads_are_counted(recorded: Path) -> None:
    market = MarketData.load(recorded / "minute_spread_depth_202303")
    assert kinds(market) == {"bars": 70_137, "quotes": 70_137}
    report = market.check()
    bad = {f.kind: f.count for f in report.findings if f.table == "quotes" and f.count > 2}
    assert bad == {"crossed": 3_178, "locked": 12}
    coinbase = market.select("BTCUSD.COINBASE").quotes
    assert coinbase is not None
    ok = coinbase["ask"] > coinbase["bid"]
    mid = (coinbase["ask"] + coinbase["bid"]) / 2
    median = float(np.median(((coinbase["ask"] - coinbase["bid"]) / mid)[ok])) * 1e4
    assert 0.1 < median < 1


def test_funding_of_two_sources_agrees_once_both_are_in_utc(recorded: Path) -> None:
    folder = recorded / "funding_rates"
    one = MarketData.load(folder / "utc_plus3_supervik").funding
    two = MarketData.load(folder / "all_exchanges_8h_london_time_2023_2024.csv.gz").funding
    assert one is not None
    assert two is not None
    mine = one.frame().query("symbol == 'BTCUSDT' and venue == 'binance'")
    theirs = two.frame().query("symbol == 'BTCUSDT.PERP.BINANCE'")
    # dYdX pays every hour, and HTX has seven payments at odd hours
    hour = one.frame().query("venue not in ('dydx', 'htx')")["time"].dt.hour
    assert set(hour) == {0, 4, 8, 12, 16, 20}
    both = mine.assign(ts=mine["ts_ns"] // 10**10).merge(
        theirs.assign(ts=theirs["ts_ns"] // 10**10), on="ts"
    )
    assert len(both) > 400
    assert np.allclose(both["rate_x"], both["rate_y"], atol=2e-8)
    assert len(one) == 78_664


def test_liquidations_sum_to_their_parents(recorded: Path) -> None:
    folder = recorded / "hyperliquid_liquidations"
    market = MarketData.load(folder)
    assert kinds(market) == {"prints": 12_283}
    assert market.prints is not None
    units = pd.read_csv(folder / "exp016_units.csv.gz")
    sums = pd.Series(market.prints["quantity"]).groupby(market.prints["parent_id"]).sum()
    assert len(sums) == len(units) == 6_546
    assert np.isclose(sums.sum(), units["notional"].sum(), rtol=1e-6)


FIXTURES = {
    "BINANCE": 4,
    "BINANCE_FUTURES": 4,
    "BYBIT": 6,
    "COINBASE": 2,
    "KRAKEN": 10,
    "KRAKEN_FUTURES": 10,
    "OKX": 3,
}


@pytest.mark.parametrize("exchange", FIXTURES)
def test_captures_of_seven_venues_rebuild_without_a_cross_or_a_gap(
    recorded: Path, exchange: str
) -> None:
    path = recorded / "multi_venue_raw_fixtures" / f"{exchange}.jsonl.zst"
    market = MarketData.load(path)
    assert market.depth is not None
    assert len(market.depth.present) == FIXTURES[exchange]
    assert market.shared_seq
    assert errors(market) == []


def test_coinbase_buyers_print_at_the_ask(recorded: Path) -> None:
    market = MarketData.load(recorded / "multi_venue_raw_fixtures" / "COINBASE.jsonl.zst")
    hits = []
    for symbol in market.symbols:
        top, prints = market.top_of_book(symbol), market.prints.of(symbol)  # type: ignore[union-attr]
        at = np.searchsorted(top["ts_ns"], prints["ts_ns"], side="left") - 1
        known = at >= 0
        above = prints["price"] >= (top["bid"] + top["ask"])[at] / 2
        hits.append((above == (prints["aggressor"] == 0))[known])
    assert np.concatenate(hits).mean() > 0.8


def test_bybit_history(recorded: Path) -> None:
    folder = recorded / "multi_venue_raw_fixtures"
    market = MarketData.load(folder / "bybit_2024-12-01_XRPUSDT_ob500.data.zip")
    assert messages(market, "XRPUSDT") == 49
    assert messages(market, "XRPUSDT", snapshots=True) == 50
    assert market.check().findings == ()


def test_a_capture_survives_being_kept_as_parquet(recorded: Path, tmp_path: Path) -> None:
    market = MarketData.load(recorded / RAW / "usdm")
    back = MarketData.load(market.to_parquet(tmp_path / "kept"))
    for kind, table in market.tables.items():
        for name, column in table.columns.items():
            assert np.array_equal(column, back.tables[kind][name]), (kind, name)
    assert back.shared_seq
    assert back.instruments == market.instruments
