"""Binance captures, dumps, arrays and whole books, each from a tiny file."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from market_files import MS, SNAPSHOT, SPOT, T0, delta, kinds, put, raw_line

from execkit.errors import InvalidData
from execkit.market import MarketData


def test_a_spot_capture_joins_its_snapshot_by_update_id(tmp_path: Path) -> None:
    market = MarketData.load(put(tmp_path / "btcusdt_1.gz", "\n".join(SPOT) + "\n"))
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 6}
    assert market.shared_seq
    frame = market.depth.frame()  # type: ignore[union-attr]
    assert frame["is_snapshot"].tolist() == [1, 1, 1, 0, 0, 0]
    # the first delta is in the snapshot already; the second arrived before it and follows it
    assert frame["ts_ns"].tolist() == [T0 * MS] * 3 + [(T0 + 10) * MS] + [(T0 + 30) * MS] * 2
    assert [n.count for n in market.notes if n.kind == "before_snapshot"] == [1]
    assert market.book_at("BTCUSDT", (T0 + 10) * MS).bids.tolist() == [[9.0, 3.0], [8.0, 1.0]]
    last = market.book_at("BTCUSDT", (T0 + 30) * MS)
    assert (last.bids.tolist(), last.asks.tolist()) == ([[8, 1]], [[10.5, 4], [11, 1]])
    (kind,) = {i.kind for i in market.instruments.values()}
    assert kind == "spot"
    assert not market.check().of("sequence_gap")


def test_prints_of_a_capture_have_side_ids_and_line_order(tmp_path: Path) -> None:
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(SPOT)))
    (row,) = market.prints.frame().to_dict("records")  # type: ignore[union-attr]
    assert (row["aggressor"], row["trade_id"], row["ts_ns"]) == ("sell", 1, (T0 + 24) * MS)
    assert row["seq"] == 2 * 4, "twice the number of the line"
    assert row["local_ts_ns"] == (T0 + 30) * MS


def test_spot_tickers_have_no_time_so_theirs_is_estimated_and_said_to_be(tmp_path: Path) -> None:
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(SPOT)))
    assert market.quotes is not None
    assert market.quotes["ts_ns"].tolist() == [(T0 + 5) * MS], "all messages took 5 ms"
    (note,) = market.check().of("estimated_time")
    assert "5.0 ms" in note.detail


def test_a_missing_update_is_a_sequence_gap(tmp_path: Path) -> None:
    lines = [*SPOT, delta(40, 17, 18, [["8", "2"]], [])]
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(lines)))
    (gap,) = market.check().of("sequence_gap")
    assert (gap.count, gap.severity) == (1, "error")


def futures(symbol: str = "BTCUSD_PERP") -> list[str]:
    name = {"s": symbol, "ps": symbol[:6]}
    trade = {"e": "trade", "E": T0, "T": T0, "s": symbol, "t": 5, "p": "9.5", "q": "3"}
    return [
        raw_line(
            0,
            {
                "lastUpdateId": 12,
                "T": T0,
                "E": T0,
                "symbol": symbol,
                "bids": [["9", "2"]],
                "asks": [["11", "1"]],
            },
        ),
        delta(10, 11, 14, [["9", "3"]], [], T=T0 + 9, pu=12, **name),
        delta(20, 15, 20, [["9", "4"]], [], T=T0 + 19, pu=14, **name),
        raw_line(
            30, {"stream": f"{symbol.lower()}@trade", "data": trade | {"X": "MARKET", "m": False}}
        ),
        raw_line(
            31,
            {
                "stream": f"{symbol.lower()}@trade",
                "data": trade | {"t": 6, "X": "INSURANCE_FUND", "m": False},
            },
        ),
    ]


def test_coin_margined_captures_count_contracts_and_mark_prints_off_the_book(
    tmp_path: Path,
) -> None:
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(futures())))
    instrument = market.instruments["BTCUSD_PERP"]
    assert (instrument.kind, instrument.contract_size) == ("inverse", Decimal(100))
    assert market.prints is not None
    assert market.prints["off_book"].tolist() == [0, 1]
    assert market.prints["aggressor"].tolist() == [0, 0]
    assert market.depth is not None
    assert market.depth["ts_ns"][-1] == (T0 + 19) * MS, "transaction time where there is one"
    report = market.check()
    assert not report.of("sequence_gap")
    assert report.of("off_book")[0].count == 1
    other = MarketData.load(put(tmp_path / "b.gz", "\n".join(futures("ETHUSD_PERP"))))
    assert other.instruments["ETHUSD_PERP"].contract_size == Decimal(10)


def test_files_that_continue_one_another_are_read_as_one(tmp_path: Path) -> None:
    put(tmp_path / "d" / "btcusdt_20240808.gz", "\n".join(SPOT[:4]))
    put(tmp_path / "d" / "btcusdt_20240809.gz", "\n".join(SPOT[4:]))
    put(tmp_path / "whole.gz", "\n".join(SPOT))
    whole = MarketData.load(tmp_path / "whole.gz")
    folder = MarketData.load(tmp_path / "d")
    files = MarketData.load(sorted((tmp_path / "d").iterdir(), reverse=True))
    for market in (folder, files):
        assert kinds(market) == kinds(whole)
        assert np.array_equal(market.depth["seq"], whole.depth["seq"])  # type: ignore[index]


def test_a_capture_in_microseconds_gives_the_same_times(tmp_path: Path) -> None:
    lines = [f"{int(line.split(' ', 1)[0]) // 1000} {line.split(' ', 1)[1]}" for line in SPOT]
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(lines)))
    assert market.prints is not None
    assert market.prints["local_ts_ns"].tolist() == [(T0 + 30) * MS]


@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "zip"])
def test_binance_dumps_with_or_without_header_in_ms_or_us(
    tmp_path: Path, scale: int, header: bool, suffix: str
) -> None:
    t = T0 * scale
    files = {
        "1m": (
            "open_time,open,high,low,close,volume,close_time,qv,count,tb,tq,ignore",
            f"{t},1,2,0.5,1.5,10,{t + 59999},1,1,1,1,0",
        ),
        "aggTrades": (
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            f"7,1.5,2,10,12,{t},true",
        ),
        "bookTicker": (
            "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,"
            "transaction_time,event_time",
            f"3,1,5,2,6,{t},{t}",
        ),
    }
    for what, (head, row) in files.items():
        day = f"BTCUSDT-{what}-2023-11-14.{suffix}"
        put(tmp_path / day, (head + "\n" if header else "") + row + "\n")
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"bars": 1, "quotes": 1, "prints": 1}
    assert {int(table["ts_ns"][0]) for table in market.tables.values()} == {T0 * MS}
    assert market.bar_interval_ns == {"BTCUSDT": 60_000 * MS}
    (row,) = market.prints.frame().to_dict("records")  # type: ignore[union-attr]
    assert (row["aggressor"], row["trade_id"], row["last_trade_id"]) == ("sell", 10, 12)
    (quote,) = market.quotes.frame().to_dict("records")  # type: ignore[union-attr]
    assert [quote[n] for n in ("bid", "bid_quantity", "ask", "ask_quantity")] == [1, 5, 2, 6]


def test_plain_binance_trades_and_funding_dumps(tmp_path: Path) -> None:
    put(tmp_path / "BTCUSDT-trades-2023-11.csv", f"5,1.5,2,3,{T0},False,True\n")
    put(tmp_path / "BTCUSDT-fundingRate-2023-11.csv", f"calc_time,h,rate\n{T0},8,0.0001\n")
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"prints": 1, "funding": 1}
    assert market.prints is not None
    assert market.prints["aggressor"].tolist() == [0]


def test_binance_json_arrays(tmp_path: Path) -> None:
    stamp = "2023-11-14T22-13-20"
    update = json.loads(SPOT[0].split(" ", 1)[1])["data"] | {"U": 12, "u": 13, "E": T0 + 9}
    trade = {
        "e": "aggTrade",
        "E": T0,
        "T": T0,
        "s": "BTCUSDT",
        "a": 1,
        "p": "9",
        "q": "1",
        "f": 1,
        "l": 2,
        "m": False,
    }
    put(tmp_path / f"BTCUSDT_{stamp}_snapshot.json.gz", json.dumps(SNAPSHOT))
    put(tmp_path / f"BTCUSDT_{stamp}_update.json.gz", json.dumps([update]))
    put(tmp_path / f"BTCUSDT_{stamp}_trades.json.gz", json.dumps([trade]))
    put(tmp_path / f"ETHUSDT_{stamp}_snapshot.json", json.dumps(SNAPSHOT))
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"prints": 1, "depth": 7}
    assert not market.shared_seq
    assert market.depth is not None
    assert market.depth.of("ETHUSDT")["ts_ns"][0] == T0 * MS, "the time in the name"
    assert market.book_at("BTCUSDT", (T0 + 9) * MS).bids.tolist() == [[9, 7], [8, 1]]


def test_binance_whole_books(tmp_path: Path) -> None:
    book = {"exch_ts_ms": [T0, T0 + 1], "ts_ms": [T0 + 3, T0 + 4], "symbol": ["BTCUSDT"] * 2}
    book |= {"venue": ["Binance"] * 2, "bids_px": [[9.0, 8.0], [9.0, 7.0]]}
    book |= {"bids_qty": [[1.0, 2.0], [3.0, 4.0]], "asks_px": [[10.0, 11.0]] * 2}
    book |= {"asks_qty": [[5.0, 6.0]] * 2}
    pq.write_table(pa.table(book), tmp_path / "lobdeep_a.parquet")
    trades = {"exch_ts_ms": [T0], "ts_ms": [T0], "symbol": ["BTCUSDT"], "venue": ["Binance"]}
    trades |= {"trade_id": ["7"], "price": [9.0], "qty": [1.0], "side": ["sell"]}
    pq.write_table(pa.table(trades), tmp_path / "trades_a.parquet")
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"prints": 1, "depth": 8}
    assert market.book_at("BTCUSDT", (T0 + 1) * MS).bids.tolist() == [[9, 3], [7, 4]]
    assert market.top_of_book("BTCUSDT")["bid_quantity"].tolist() == [1, 3]


def test_a_message_without_levels_is_no_gap(tmp_path: Path) -> None:
    lines = [*SPOT, delta(40, 16, 18, [], []), delta(50, 19, 20, [["8", "2"]], [])]
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(lines)))
    assert not market.check().of("sequence_gap")
    lines[-1] = delta(50, 20, 20, [["8", "2"]], [])
    lines.append(delta(60, 22, 22, [["8", "3"]], []))
    market = MarketData.load(put(tmp_path / "b.gz", "\n".join(lines)))
    assert market.check().of("sequence_gap")[0].count == 1


def test_a_capture_of_several_symbols_is_taken_apart(tmp_path: Path) -> None:
    other = [line.replace("BTCUSDT", "ETHUSDT").replace("btcusdt", "ethusdt") for line in SPOT]
    shifted = [re.sub(r'"(U|u|lastUpdateId)":(\d+)', _later, line) for line in other]
    mixed = [line for pair in zip(SPOT, shifted, strict=True) for line in pair]
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(mixed)))
    alone = MarketData.load(put(tmp_path / "b.gz", "\n".join(SPOT)))
    assert market.symbols == ("BTCUSDT", "ETHUSDT")
    for symbol in market.symbols:
        mine, theirs = market.book_at(symbol, 2**62), alone.book_at("BTCUSDT", 2**62)
        assert np.array_equal(mine.bids, theirs.bids)
        assert np.array_equal(mine.asks, theirs.asks)
    assert MarketData.load(tmp_path / "a.gz", "ETHUSDT").symbols == ("ETHUSDT",)
    confused = [line for pair in zip(SPOT, other, strict=True) for line in pair]
    path = put(tmp_path / "c.gz", "\n".join(confused))
    with pytest.raises(InvalidData, match="keep one symbol a file"):
        MarketData.load(path)


def _later(found: re.Match[str]) -> str:
    return f'"{found[1]}":{int(found[2]) + 1_000_000}'


def test_messages_outside_a_combined_stream_are_understood(tmp_path: Path) -> None:
    bare = []
    for line in SPOT:
        stamp, text = line.split(" ", 1)
        message = json.loads(text)
        bare.append(f"{stamp} {json.dumps(message.get('data', message), separators=(',', ':'))}")
    market = MarketData.load(put(tmp_path / "a.gz", "\n".join(bare)))
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 6}


def test_a_price_that_is_no_number_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gz", "\n".join(SPOT).replace('"10.5"', '"1}.5"'))
    with pytest.raises(InvalidData, match=r"a\.gz is damaged"):
        MarketData.load(path)
