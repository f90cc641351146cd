"""Captures of other venues and files of data vendors, each from a tiny file."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from market_files import MS, SNAPSHOT, SPOT, T0, kinds, put

from execkit.errors import InvalidData
from execkit.market import MarketData


def capture(exchange: str, *messages: Any, more: tuple[Any, ...] = ()) -> str:
    lines: list[dict[str, Any]] = [{"t": "header", "format": 2, "exchange": exchange}, *more]
    for i, message in enumerate(messages):
        stamp = T0 / 1000 + i
        lines.append({"t": "recv", "conn": "c", "ts": stamp, "data": json.dumps(message)})
    return "\n".join(json.dumps(line, separators=(",", ":")) for line in lines)


def bybit_book(ts: int, kind: str, update: int, bids: Any, asks: Any) -> dict[str, Any]:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update}
    topic = "orderbook.200.BTCUSDT"
    return {"topic": topic, "type": kind, "ts": T0 + ts, "cts": T0 + ts - 1, "data": data}


BYBIT_BOOK = [
    bybit_book(0, "snapshot", 5, [["9", "1"]], [["11", "2"]]),
    bybit_book(9, "delta", 6, [["9", "0"], ["8", "3"]], []),
]


def test_bybit_capture_names_perps_apart_from_spot(tmp_path: Path) -> None:
    trade = {"T": T0, "S": "Sell", "v": "1", "p": "9", "BT": False}
    messages = [
        *BYBIT_BOOK,
        {"topic": "publicTrade.BTCUSDT", "ts": T0, "data": [trade]},
        {
            "topic": "tickers.BTCUSDT",
            "ts": T0,
            "data": {"bid1Price": "9", "bid1Size": "1", "ask1Price": "11", "ask1Size": "2"},
        },
        {"topic": "tickers.BTCUSDT", "ts": T0 + 1, "data": {"bid1Size": "4"}},
    ]
    connect = {"t": "connect", "conn": "c", "addr": "wss://x/v5/public/linear"}
    put(tmp_path / "B.jsonl.zst", capture("BYBIT", *messages, more=(connect,)))
    market = MarketData.load(tmp_path)
    assert market.symbols == ("BTCUSDT:USDT",)
    assert market.instruments["BTCUSDT:USDT"].kind == "linear"
    assert kinds(market) == {"quotes": 2, "prints": 1, "depth": 4}
    assert market.quotes["bid_quantity"].tolist() == [1, 4]  # type: ignore[index]
    assert market.depth["ts_ns"][0] == (T0 - 1) * MS, "matching engine time"  # type: ignore[index]


def test_bybit_history_files(tmp_path: Path) -> None:
    put(tmp_path / "x_ob500.data.zip", "\n".join(map(json.dumps, BYBIT_BOOK)))
    raw = "\n".join(json.dumps(m, separators=(",", ":")) for m in BYBIT_BOOK)
    market = MarketData.load(put(tmp_path / "y_ob500.data.zip", raw))
    assert kinds(market) == {"depth": 4}
    assert market.book_at("BTCUSDT", (T0 + 8) * MS).bids.tolist() == [[8, 3]]


def test_coinbase_sides_are_the_makers(tmp_path: Path) -> None:
    stamp = "2023-11-14T22:13:20.000000001Z"
    level = {"side": "bid", "price_level": "9", "new_quantity": "1"}
    offer = {"side": "offer", "price_level": "11", "new_quantity": "1"}
    trades = [
        {
            "product_id": "BTC-USD",
            "trade_id": n,
            "price": "9",
            "size": "1",
            "time": stamp,
            "side": side,
        }
        for n, side in (("2", "SELL"), ("1", "BUY"))
    ]
    tick = {
        "product_id": "BTC-USD",
        "best_bid": "9",
        "best_bid_quantity": "1",
        "best_ask": "11",
        "best_ask_quantity": "1",
    }
    messages = [
        {
            "channel": "l2_data",
            "timestamp": stamp,
            "events": [{"type": "snapshot", "product_id": "BTC-USD", "updates": [level, offer]}],
        },
        {
            "channel": "market_trades",
            "timestamp": stamp,
            "events": [{"type": "update", "trades": trades}],
        },
        {"channel": "ticker", "timestamp": stamp, "events": [{"tickers": [tick]}]},
        {"channel": "heartbeats", "timestamp": stamp, "events": [{}]},
    ]
    market = MarketData.load(put(tmp_path / "C.jsonl.zst", capture("COINBASE", *messages)))
    assert kinds(market) == {"quotes": 1, "prints": 2, "depth": 2}
    frame = market.prints.frame()  # type: ignore[union-attr]
    assert frame["aggressor"].tolist() == ["sell", "buy"], "oldest first, opposite to the maker"
    assert frame["ts_ns"].tolist() == [T0 * MS + 1] * 2


def test_okx_contract_sizes_come_from_its_instruments(tmp_path: Path) -> None:
    answer = {"data": [{"instId": "BTC-USD-SWAP", "ctType": "inverse", "ctVal": "100"}]}
    http = {"t": "http", "ts": 1.0, "url": "x", "data": json.dumps(answer)}
    arg = {"instId": "BTC-USD-SWAP"}
    book = {"bids": [["9", "1", "0", "1"]], "asks": [["11", "2", "0", "1"]], "ts": str(T0)}
    trade = {
        "instId": "BTC-USD-SWAP",
        "tradeId": "3",
        "px": "9",
        "sz": "1",
        "side": "sell",
        "ts": str(T0),
    }
    tick = {"bidPx": "9", "bidSz": "1", "askPx": "11", "askSz": "2", "ts": str(T0)}
    messages = [
        {"event": "subscribe", "arg": arg | {"channel": "books"}},
        {"arg": arg | {"channel": "books"}, "action": "snapshot", "data": [book]},
        {"arg": arg | {"channel": "trades"}, "data": [trade]},
        {"arg": arg | {"channel": "tickers"}, "data": [tick]},
    ]
    market = MarketData.load(put(tmp_path / "O.jsonl.zst", capture("OKX", *messages, more=(http,))))
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 2}
    assert market.instruments["BTCUSDSWAP"].contract_size == Decimal(100)


def test_kraken_spot_messages_take_the_time_of_their_latest_level(tmp_path: Path) -> None:
    s = T0 // 1000
    messages = [
        {"event": "heartbeat"},
        [1, {"as": [["11", "1", f"{s}.1"]], "bs": [["9", "1", f"{s}.25"]]}, "book-10", "XBT/USD"],
        [
            1,
            {"a": [["11", "0", f"{s}.3"]]},
            {"b": [["9", "2", f"{s}.5"]], "c": "1"},
            "book-10",
            "XBT/USD",
        ],
        [2, [["9", "1", f"{s}.123456", "s", "l", ""]], "trade", "XBT/USD"],
    ]
    market = MarketData.load(put(tmp_path / "K.jsonl.zst", capture("KRAKEN", *messages)))
    assert market.depth is not None
    assert market.depth["ts_ns"].tolist() == [s * 10**9 + 250 * MS] * 2 + [s * 10**9 + 500 * MS] * 2
    assert market.depth["is_snapshot"].tolist() == [1, 1, 0, 0]
    assert market.prints is not None
    assert market.prints["ts_ns"].tolist() == [s * 10**9 + 123_456_000]


def test_kraken_futures_history_of_trades_has_no_local_time(tmp_path: Path) -> None:
    old = {"side": "buy", "type": "fill", "seq": 1, "time": T0 - 60_000, "qty": 5, "price": 9}
    product = {"product_id": "PI_XBTUSD"}
    messages = [
        {
            "feed": "book_snapshot",
            "timestamp": T0,
            "seq": 7,
            "bids": [{"price": 9, "qty": 1}],
            "asks": [{"price": 11, "qty": 1}],
        }
        | product,
        {"feed": "book", "side": "sell", "seq": 8, "price": 11, "qty": 0, "timestamp": T0 + 1}
        | product,
        {"feed": "trade_snapshot", "trades": [old]} | product,
        {"feed": "trade"} | old | {"seq": 2, "time": T0, "side": "sell"} | product,
    ]
    market = MarketData.load(put(tmp_path / "K.jsonl.zst", capture("KRAKEN_FUTURES", *messages)))
    assert market.prints is not None
    assert market.prints["local_ts_ns"].tolist() == [-1, (T0 + 3000) * MS]
    assert market.prints["aggressor"].tolist() == [0, 1]
    assert market.instruments["PI_XBTUSD"].kind == "inverse"
    assert not market.check().of("sequence_gap")


def test_binance_capture_takes_its_snapshot_from_the_rest_answer(tmp_path: Path) -> None:
    http = {"t": "http", "ts": T0 / 1000, "url": "https://x/depth?symbol=BTCUSDT&limit=5"}
    http |= {"data": json.dumps(SNAPSHOT)}
    messages = [json.loads(line.split(" ", 1)[1]) for line in SPOT if "lastUpdateId" not in line]
    text = capture("BINANCE", *messages, more=(http,))
    market = MarketData.load(put(tmp_path / "B.jsonl.zst", text))
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 6}


def test_bitstamp_logs_give_snapshots_and_prints(tmp_path: Path) -> None:
    book = {"bids": [["9", "1"], ["8", "2"]], "asks": [["10", "1"]]}
    lines = [
        f"{T0} order_created {json.dumps({'id': 1})}",
        f"{T0 + 1} order_book {json.dumps(book)}",
        f"{T0 + 2} trade {json.dumps({'price': 9.0, 'amount': 1.7885566900000001, 'id': 4})}",
    ]
    market = MarketData.load(put(tmp_path / "2015.log.xz", "\n".join(lines)))
    assert kinds(market) == {"prints": 1, "depth": 3}
    assert market.prints is not None
    assert market.prints["quantity"].tolist() == [1.78855669]
    assert market.prints["aggressor"].tolist() == [2]
    assert market.check().of("order_events")[0].count == 1


def test_tardis_files(tmp_path: Path) -> None:
    head = "exchange,symbol,timestamp,local_timestamp,"
    who = "binance-futures,BTCUSDT"
    us = T0 * 1000
    put(tmp_path / "trades.csv.gz", f"{head}id,side,price,amount\n{who},{us},{us + 9},5,sell,9,1\n")
    put(
        tmp_path / "quotes.csv.gz",
        f"{head}ask_amount,ask_price,bid_price,bid_amount\n{who},{us},{us + 9},4,10,9,3\n",
    )
    rows = [(0, "true", "bid", 9, 1), (0, "true", "ask", 11, 1), (1, "true", "ask", 12, 1)]
    rows += [(5, "false", "bid", 9, 0), (5, "false", "bid", 8, 2), (7, "false", "ask", 11, 3)]
    body = "".join(f"{who},{us + t},{us + t},{s},{side},{p},{q}\n" for t, s, side, p, q in rows)
    put(tmp_path / "incremental_book_L2.csv.gz", f"{head}is_snapshot,side,price,amount\n{body}")
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 6}
    assert market.instruments["BTCUSDT"].kind == "linear"
    frame = market.depth.frame()  # type: ignore[union-attr]
    assert frame["seq"].tolist() == [1, 1, 1, 2, 2, 3], "a run of snapshot rows is one message"
    book = market.book_at("BTCUSDT", (us + 7) * 1000)
    assert (book.bids.tolist(), book.asks.tolist()) == ([[8, 2]], [[11, 3], [12, 1]])


def test_tardis_book_snapshots(tmp_path: Path) -> None:
    names = [
        f"{s}[{i}].{w}" for i in range(2) for s in ("asks", "bids") for w in ("price", "amount")
    ]
    head = "exchange,symbol,timestamp,local_timestamp," + ",".join(names)
    row = f"okex,BTC-USDT,{T0}000,{T0}000,11,1,9,2,12,3,8,4"
    market = MarketData.load(put(tmp_path / "book_snapshot_2.csv", f"{head}\n{row}\n"))
    book = market.book_at("BTCUSDT", T0 * MS)
    assert (book.bids.tolist(), book.asks.tolist()) == ([[9, 2], [8, 4]], [[11, 1], [12, 3]])


def test_lobster_levels_that_leave_the_visible_range_are_gone(tmp_path: Path) -> None:
    none = "9999999999,0,-9999999999,0"
    book = [
        "1001000,5,999000,7,1002000,6,998000,8",
        f"1000000,1,999000,3,1001000,5,{none[14:]}",
        "1001000,5,999000,3,1002000,6,998000,8",
    ]
    book[1] = "1000000,1,999000,3,1001000,5,-9999999999,0"
    message = ["34200.1,1,11,5,1001000,-1", "34200.2,4,12,4,999000,1", "34200.3,5,0,9,1000000,-1"]
    stem = "AMZN_2012-06-21_34200000_57600000"
    put(tmp_path / f"{stem}_message_2.csv", "\n".join(message))
    put(tmp_path / f"{stem}_orderbook_2.csv", "\n".join(book))
    market = MarketData.load(tmp_path)
    start = pd.Timestamp("2012-06-21 09:30", tz="America/New_York").as_unit("ns").value
    assert market.span() == (start + 100 * MS, start + 300 * MS)
    middle = market.book_at("AMZN", start + 200 * MS)
    assert middle.bids.tolist() == [[99.9, 3]]
    assert middle.asks.tolist() == [[100.0, 1], [100.1, 5]], "100.2 left the two visible levels"
    last = market.book_at("AMZN", start + 300 * MS)
    assert last.asks.tolist() == [[100.1, 5], [100.2, 6]]
    assert last.bids.tolist() == [[99.9, 3], [99.8, 8]]
    prints = market.prints.frame()  # type: ignore[union-attr]
    assert prints["aggressor"].tolist() == ["sell", "buy"], "opposite to the resting order"
    assert market.depth["is_snapshot"].tolist().count(1) == 4  # type: ignore[index]
    seq = market.depth["seq"]  # type: ignore[index]
    assert prints["seq"][0] == seq[seq > prints["seq"][0]].min() - 1, "a print precedes its effect"
    (tmp_path / f"{stem}_orderbook_2.csv").unlink()
    with pytest.raises(InvalidData, match="comes alone"):
        MarketData.load(tmp_path)


def test_lean_quotes_are_known_at_the_end_of_their_bar(tmp_path: Path) -> None:
    base = tmp_path / "cryptofuture" / "binance"
    put(
        base / "minute" / "btcusd" / "20231114_trade.zip",
        "60000,1,2,0.5,1.5,10\n120000,1,2,1,1,3\n",
    )
    put(base / "minute" / "btcusd" / "20231114_quote.zip", "60000,1,1,1,0.9,5,2,2,2,1.1,6\n")
    put(base / "margin_interest" / "btcusd.csv", "20231114 08:00:00,0.0001")
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"bars": 2, "quotes": 1, "funding": 1}
    day = pd.Timestamp("2023-11-14", tz="UTC").as_unit("ns").value
    assert market.bars["ts_ns"][0] == day + 60_000 * MS  # type: ignore[index]
    assert market.quotes["ts_ns"][0] == day + 120_000 * MS  # type: ignore[index]
    assert market.funding["ts_ns"][0] == day + 8 * 3_600_000 * MS  # type: ignore[index]
    assert market.instruments["BTCUSD"].contract_size == Decimal(100)
    put(base / "hour" / "btcusd_trade.zip", "20231101 00:00,1,2,1,1,3\n")
    assert kinds(MarketData.load(tmp_path))["bars"] == 2, "the finer bars are taken"


def test_funding_dates_are_moved_to_utc(tmp_path: Path) -> None:
    rows = "Symbol,Date,Funding Rate\nBTC-USDT,2023-01-01 {},0.0001\n"
    span = "2023-01-01_2024-01-01_funding_history.csv"
    put(tmp_path / f"BTC-USDT_binance_{span}", rows.format("03:00:00"))
    put(tmp_path / f"BTC-USDT_gate_{span}", rows.format("00:00:00"))
    market = MarketData.load(tmp_path)
    midnight = pd.Timestamp("2023-01-01", tz="UTC").as_unit("ns").value
    assert market.funding["ts_ns"].tolist() == [midnight] * 2  # type: ignore[index]
    assert market.funding.venues == ("binance", "gate")  # type: ignore[union-attr]
    (note,) = market.check().of("time_zone")
    assert "binance: dates were written in UTC+3" in note.detail


def test_london_times_are_moved_to_utc_in_summer_and_winter(tmp_path: Path) -> None:
    head = "time,exchange,crypto,pair,contract,open,high,low,close,volume,funding rate\n"
    who = "binance,bitcoin,BTCUSDT,perpetual,1,2,1,1,5,"
    times = ["2023-01-01 08:00:00", "2023-07-01 09:00:00", "2023-10-29 01:00:00"]
    body = "".join(f"{t},{who}{'0.0001' if i else ''}\n" for i, t in enumerate(times))
    market = MarketData.load(put(tmp_path / "all.csv.gz", head + body))
    hours = market.bars.frame()["time"].dt.hour.tolist()  # type: ignore[union-attr]
    assert hours == [8, 8, 0]
    assert market.symbols == ("BTCUSDT.PERP.BINANCE",)
    assert kinds(market) == {"bars": 3, "funding": 2}


def test_minutes_of_spread_and_depth(tmp_path: Path) -> None:
    data = {"time_exchange": pd.date_range("2023-03-01", periods=2, freq="min")}
    data |= {name: [100.0, 100.0] for name in ("open", "high", "low", "close")}
    data |= {"spread_last": [1.0, -1.0], "depth_last": [4.0, 4.0], "obi_last": [0.5, 0.0]}
    pd.DataFrame(data).to_parquet(tmp_path / "COINBASE_BTC_USD.parquet")
    market = MarketData.load(tmp_path)
    assert market.symbols == ("BTCUSD.COINBASE",)
    quotes = market.quotes.frame()  # type: ignore[union-attr]
    assert quotes.loc[0, ["bid", "ask", "bid_quantity", "ask_quantity"]].tolist() == [
        99.5,
        100.5,
        3,
        1,
    ]
    assert str(quotes["time"][0]) == "2023-03-01 00:01:00+00:00"
    report = market.check()
    assert report.of("crossed")[0].count == 1
    assert report.of("no_volume")[0].count == 2


def test_liquidation_fills_keep_value_and_parent(tmp_path: Path) -> None:
    text = f"ts,coin,user,episode,notional\n{T0},BTC,u,0,500.5\n{T0},xyz:TSLA,u,1,2\n"
    market = MarketData.load(put(tmp_path / "fills.csv.gz", text))
    assert market.symbols == ("BTC", "XYZ:TSLA")
    prints = market.prints.of("BTC")  # type: ignore[union-attr]
    assert (prints["quantity"][0], prints["parent_id"][0]) == (500.5, 0)
    assert np.isnan(prints["price"][0])
    assert market.instruments["BTC"].notional(Decimal("500.5"), Decimal(1)) == Decimal("500.5")
