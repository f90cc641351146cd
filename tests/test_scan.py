"""A market read in pieces gives what the same market in memory gives."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import execkit as ek
from execkit.errors import InvalidData, InvalidInput
from execkit.models.fill import QUEUE
from execkit.scan import MarketScan
from execkit.sources.native import write_parts

sys.path.insert(0, str(Path(__file__).parent / "parity"))

from compare import LATENCY_NS, as_table, fidelity_of
from recorded_case import Market
from streams import KINDS, random_case

FRAMES = ("orders", "fills", "positions", "equity")


def same(orders: object, folder: Path, rows: int, **assumed: object) -> ek.SimulationResult:
    """Both ways give equal frames and equal slippage; the result of the pieces is returned."""
    whole = ek.simulate(orders, ek.MarketData.load(folder), run_id="r", **assumed)
    pieces = ek.simulate(orders, MarketScan(folder, rows), run_id="r", **assumed)
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(pieces, name), getattr(whole, name), obj=name)
    assert pieces.ambiguous == whole.ambiguous
    return pieces


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 7])
def test_drawn_streams_do_not_depend_on_where_they_are_parted(
    kind: str, rows: int, tmp_path: Path
) -> None:
    compared = 0
    for seed in range(12):
        case = as_table(random_case(random.Random(seed), kind, 12, 50))
        if not case.orders:
            continue
        folder = case.market().to_parquet(tmp_path / f"m{seed}")
        result = same(
            case.orders_frame(LATENCY_NS),
            folder,
            rows,
            fill=case.model,
            latency=ek.LatencyModel(entry_ns=LATENCY_NS, cancel_ns=LATENCY_NS),
            fidelity=fidelity_of(case),
            initial_positions={"BTCUSDT": case.start_position / 1000},
        )
        compared += len(result.fills)
    assert compared > 20


@pytest.mark.parametrize(
    "path, symbol, fidelity",
    [
        ("binance_futures_tardis_20200222", "BTCUSDT", "quotes"),
        ("lobster_amzn_20120621", "AMZN", "depth"),
        ("xrpeth_trades_and_bars_201910", "XRPETH", "bars"),
        ("xrpeth_trades_and_bars_201910", "XRPETH", "prints"),
    ],
)
def test_recorded_data_in_pieces_give_the_fills_and_the_costs_of_the_whole(
    recorded: Path, tmp_path: Path, path: str, symbol: str, fidelity: str
) -> None:
    data = ek.MarketData.load(recorded / path).select(symbol)
    market = Market(data, symbol, fidelity)
    orders = market.frame(market.orders(400, random.Random(2)))
    folder = data.to_parquet(tmp_path / "market")
    rows = max(1, len(data.tables[fidelity]) // 9)
    result = same(orders, folder, rows, fidelity=fidelity, fill=replace(QUEUE, participation=None))
    assert len(result.fills) > 50
    whole = ek.simulate(orders, ek.MarketData.load(folder), fidelity=fidelity, run_id="r",
                        fill=replace(QUEUE, participation=None))  # fmt: skip
    pd.testing.assert_frame_equal(result.slippage(), whole.slippage())
    for name in ("optimistic", "pessimistic"):
        pd.testing.assert_frame_equal(result.under(name).fills, whole.under(name).fills)


def bars(symbol: str, first: int, n: int) -> ek.MarketData:
    ts = 1_700_000_040_000_000_000 + 60_000_000_000 * np.arange(first, first + n)
    wave = 100 + np.round(5 * np.sin(np.arange(first, first + n) / 9), 2)
    frame = pd.DataFrame({"ts_ns": ts, "open": wave, "high": wave + 1, "low": wave - 1,
                          "close": wave, "volume": 50.0})  # fmt: skip
    instrument = ek.Instrument(symbol=symbol, tick_size="0.01", lot_size="0.1")
    return ek.MarketData.from_bars(frame, symbol=symbol, interval="1m", instruments=[instrument])


def test_several_symbols_in_parts_share_one_equity(tmp_path: Path) -> None:
    parts = [bars(s, n, 100) for s in ("AAA", "BBB") for n in (0, 100, 200)]
    folder = write_parts(parts, tmp_path / "market")
    ts = 1_700_000_040_000_000_000 + 60_000_000_000 * np.arange(1, 290, 7)
    orders = pd.DataFrame(
        {"ts_ns": ts, "symbol": ["AAA", "BBB", "AAA"] * 14, "side": ["buy", "sell"] * 21,
         "order_type": "market", "quantity": 0.5}
    )  # fmt: skip
    result = same(orders, folder, 64, fee=ek.FeeModel(taker_bps=5))
    assert len(result.fills) == 42
    assert MarketScan(folder).symbols == ("AAA", "BBB")


def test_parts_that_do_not_continue_one_another_are_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidInput, match="part 1 begin before"):
        write_parts([bars("AAA", 100, 10), bars("AAA", 0, 10)], tmp_path / "market")
    other = replace(bars("AAA", 100, 10).instruments["AAA"], tick_size="0.001")
    second = replace(bars("AAA", 100, 10), instruments={"AAA": other})
    with pytest.raises(InvalidInput, match="the same instrument"):
        write_parts([bars("AAA", 0, 10), second], tmp_path / "market")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_a_market_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="was not written by execkit"):
        MarketScan(tmp_path)


def test_bars_without_volume_are_refused_to_a_share_of_it_in_any_piece(tmp_path: Path) -> None:
    late = bars("AAA", 50, 10)
    table = late.tables["bars"]
    columns = {**table.columns, "volume": np.full(10, np.nan)}
    empty = ek.MarketData.from_bars(
        pd.DataFrame({k: v for k, v in columns.items() if k not in ("symbol", "venue")}),
        symbol="AAA", interval="1m", instruments=late.instruments,
    )  # fmt: skip
    folder = write_parts([bars("AAA", 0, 50), empty], tmp_path / "market")
    order = {"ts_ns": 1_700_000_040_000_000_000, "side": "buy", "order_type": "market",
             "quantity": 1.0, "symbol": "AAA"}  # fmt: skip
    with pytest.raises(InvalidInput, match="participation=None"):
        ek.simulate([order], MarketScan(folder, 16))
