"""Plain tables, and how damaged, empty and unknown files are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as pa_feather
import pyarrow.parquet as pq
import pytest
from market_files import MS, SPOT, T0, kinds, put

from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.sources.base import sources


def bar_frame(**more: Any) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=2, freq="min", tz="UTC")
    data = {"date": times, "open": [1.0, 1], "high": [2.0, 2], "low": [1.0, 1]}
    return pd.DataFrame(data | {"close": [1.0, 1], "volume": [1.0, 1]} | more)


def test_parquet_feather_and_csv_are_told_by_content_not_by_name(tmp_path: Path) -> None:
    frame = bar_frame()
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "BTC_USD-1m.csv")
    pa_feather.write_feather(frame, tmp_path / "ETH_USD-1m.parquet")
    seconds = frame.assign(date=[1_704_067_200, 1_704_067_260])
    put(tmp_path / "XRP_USD-1m.feather", seconds.to_csv(index=False))
    market = MarketData.load(tmp_path)
    assert market.symbols == ("BTCUSD", "ETHUSD", "XRPUSD")
    assert len({market.span(s) for s in market.symbols}) == 1


def test_of_bars_in_several_lengths_the_shortest_are_read(tmp_path: Path) -> None:
    bar_frame().to_parquet(tmp_path / "BTC_USD-1m.parquet")
    bar_frame(date=pd.date_range("2024-01-01", periods=2, freq="5min", tz="UTC")).to_parquet(
        tmp_path / "BTC_USD-5m.parquet"
    )
    market = MarketData.load(tmp_path)
    assert market.bar_interval_ns == {"BTCUSD": 60_000 * MS}
    assert market.check().of("longer_bars")


def test_prints_quotes_and_depth_as_tables(tmp_path: Path) -> None:
    put(tmp_path / "BTC_USD-trades.csv", f"timestamp,id,side,price,amount\n{T0},1,sell,9,1\n")
    put(
        tmp_path / "q.csv",
        "symbol,ts_ns,bid,ask,bid_size,ask_size,bid_quantity,ask_quantity\n"
        f"BTC/USD,{T0}000000,9,10,0,0,1,2\n",
    )
    put(
        tmp_path / "d.csv",
        f"symbol,ts_ns,side,price,quantity,is_snapshot\nETH/USD,{T0}000000,bid,9,1,1\n",
    )
    market = MarketData.load(tmp_path)
    assert kinds(market) == {"quotes": 1, "prints": 1, "depth": 1}
    assert market.prints["aggressor"].tolist() == [1]  # type: ignore[index]
    assert {int(t["ts_ns"][0]) for t in market.tables.values()} == {T0 * MS}


def test_naive_times_in_a_file_are_refused(tmp_path: Path) -> None:
    naive = bar_frame(date=pd.date_range("2024-01-01", periods=2, freq="min"))
    naive.to_parquet(tmp_path / "BTC_USD-1m.parquet")
    with pytest.raises(InvalidData, match=r"BTC_USD-1m.*zone"):
        MarketData.load(tmp_path)


def test_a_table_that_names_no_symbol_needs_one(tmp_path: Path) -> None:
    bar_frame().to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InvalidInput, match="symbol"):
        MarketData.load(tmp_path)
    assert MarketData.load(tmp_path / "x.parquet", "BTC/USD").symbols == ("BTCUSD",)


def test_saved_ccxt_rows(tmp_path: Path) -> None:
    put(tmp_path / "BTC_USDT-1m.json", json.dumps([[T0, 1, 2, 0.5, 1.5, 10]]))
    market = MarketData.load(tmp_path)
    assert market.symbols == ("BTCUSDT",)
    assert kinds(market) == {"bars": 1}


def test_nothing_there_nothing_known_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        MarketData.load(tmp_path / "absent")
    with pytest.raises(InvalidData, match="no market data in a known format"):
        MarketData.load(put(tmp_path / "a" / "photo.jpg", b"\xff\xd8\xff\xe0" * 9).parent)
    with pytest.raises(InvalidData, match=r"empty\.csv is empty"):
        MarketData.load(put(tmp_path / "empty.csv", ""))
    with pytest.raises(InvalidData, match="no rows"):
        MarketData.load(put(tmp_path / "BTC_USD-trades.csv", "timestamp,id,side,price,amount\n"))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.gz", "a.xz", "a.zst"])
def test_cut_files_are_refused_and_named(tmp_path: Path, name: str, share: float) -> None:
    path = put(tmp_path / name, "\n".join(SPOT))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InvalidData, match=name):
        MarketData.load(path)


def test_a_line_cut_while_it_was_written_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gz", "\n".join(SPOT)[:-10])
    with pytest.raises(InvalidData, match=r"a\.gz line 6 is not"):
        MarketData.load(path)


def test_a_field_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gz", "\n".join(SPOT).replace('"U":14', '"U":"x"'))
    with pytest.raises(InvalidData, match=r"a\.gz has a line that is not the JSON expected"):
        MarketData.load(path)


def test_a_cut_zip_and_a_cut_parquet_are_named(tmp_path: Path) -> None:
    path = put(tmp_path / "BTCUSDT-1m-2024-01.zip", f"{T0},1,2,0.5,1.5,10,{T0}\n" * 50)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidData, match="2024-01"):
        MarketData.load(path)
    bar_frame().to_parquet(tmp_path / "BTC_USD-1m.parquet")
    whole = (tmp_path / "BTC_USD-1m.parquet").read_bytes()
    path = tmp_path / "ETH_USD-1m.parquet"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidData, match="ETH_USD"):
        MarketData.load(path)


def test_unknown_symbols_and_other_files_are_said(tmp_path: Path) -> None:
    put(tmp_path / "btcusdt.gz", "\n".join(SPOT))
    put(tmp_path / "notes.bin", b"\x00\x01\x02")
    assert MarketData.load(tmp_path).check().of("ignored_file")[0].count == 1
    with pytest.raises(InvalidInput, match="DOGE/USDT"):
        MarketData.load(tmp_path, "DOGE/USDT")


def test_sources_have_names_of_their_own() -> None:
    names = [source.name for source in sources()]
    assert len(names) == len(set(names))


def test_text_where_times_belong_is_refused_before_it_is_multiplied(tmp_path: Path) -> None:
    rows = f"ts,coin,user,episode,notional\n{T0},BTC,u,0,5\n17x0,BTC,u,1,2\n"
    with pytest.raises(InvalidData, match=r"fills\.csv.*ts should hold integers"):
        MarketData.load(put(tmp_path / "fills.csv", rows))
