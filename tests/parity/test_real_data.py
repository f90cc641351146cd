"""On every recorded set that can be traded: reference = simulate = PaperVenue = engine.

Two comparisons for each set. A slice of one symbol's data goes through all four, with orders that
arrive when they are decided. The whole of the data, with all its symbols at once and with delays,
goes through the three that are fast.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compare import outcome_of
from conftest import Compared
from paths import Setup, Told, assert_same, live_as_one, through_engine, through_venue, told_by
from recorded_case import Market, Part

from execkit.market import MarketData
from execkit.models.fee import FeeModel
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel
from execkit.models.latency import LatencyModel

MODELS = (QUEUE, OPTIMISTIC, PESSIMISTIC)
DELAYS = LatencyModel(
    entry_ns=2_000_000, cancel_ns=2_500_000, response_ns=3_000_000, jitter_ns=1_000_000
)
FEES = FeeModel(maker_bps=-0.5, taker_bps=4.0, currency="settle")


@dataclass(frozen=True)
class Recording:
    """One set at one fidelity. `rows` of the main table are given to the reference."""

    name: str
    path: str
    fidelity: str
    symbols: tuple[str, ...]
    rows: int = 20_000
    last_days: float | None = None  # of the whole data: only its end


RAW = "binance_raw_l2_20240808"
LEAN = "lean_quote_trade_bars/crypto"
SETS = (
    Recording("Binance spot", f"{RAW}/spot", "depth", ("BTCUSDT", "ETHUSDT")),
    Recording("Binance spot", f"{RAW}/spot", "quotes", ("BTCUSDT", "ETHUSDT"), 4_000),
    Recording("Binance COIN-M", f"{RAW}/cm", "depth", ("BTCUSD_PERP", "ETHUSD_PERP")),
    Recording("Binance COIN-M", f"{RAW}/cm", "quotes", ("BTCUSD_PERP", "ETHUSD_PERP"), 4_000),
    Recording("Binance USD-M", f"{RAW}/usdm", "depth", ("BTCUSDT",)),
    Recording("Binance USD-M", f"{RAW}/usdm", "prints", ("BTCUSDT",), 4_000),
    Recording("Binance 1000 levels", "binance_btcusdt_lob1000_20260216_spot", "depth",
              ("BTCUSDT",), 400_000),
    Recording("Binance ETHBTC", "binance_spot_ethbtc_l2_20201101_h09", "depth", ("ETHBTC",)),
    Recording("LOBSTER AMZN", "lobster_amzn_20120621", "depth", ("AMZN",)),
    Recording("Bitstamp L3", "bitstamp_btcusd_l3_20150501", "depth", ("BTCUSD",)),
    Recording("Tardis futures", "binance_futures_tardis_20200222", "quotes", ("BTCUSDT",), 4_000),
    Recording("Tardis futures", "binance_futures_tardis_20200222", "prints", ("BTCUSDT",), 4_000),
    Recording("XRPETH", "xrpeth_trades_and_bars_201910", "prints", ("XRPETH",), 4_000),
    Recording("XRPETH", "xrpeth_trades_and_bars_201910", "bars", ("XRPETH",), 2_400),
    Recording("Bitfinex minutes", "bitfinex_ohlcv_1m", "bars",
              ("BTCUSD", "EOSUSD", "ETHUSD", "LTCUSD", "XRPUSD"), 2_000, 14),
    Recording("LEAN Coinbase", f"{LEAN}/coinbase/minute", "quotes", ("BTCUSD", "ETHUSD"), 3_000),
    Recording("LEAN Coinbase", f"{LEAN}/coinbase/minute", "bars", ("BTCUSD", "ETHUSD"), 2_000),
    Recording("LEAN Bybit", f"{LEAN}/bybit", "quotes", ("BTCUSDT",), 700),
    Recording("Minute spreads", "minute_spread_depth_202303", "quotes",
              ("BTCUSD.BINANCEUS", "BTCUSD.COINBASE"), 3_000, 4),
)  # fmt: skip
IDS = [f"{s.name} {s.fidelity}" for s in SETS]
ON_SLICES, ON_ALL = 120, 2_000  # orders: for each symbol and model; for each set


@lru_cache(maxsize=1)
def load(path: Path) -> MarketData:
    return MarketData.load(path)


def whole(one: Recording, recorded: Path) -> MarketData:
    data = load(recorded / one.path).select(one.symbols)
    if one.last_days is None:
        return data
    return data.select(start_ns=data.span()[1] - round(one.last_days * 86_400e9))


def a_slice(one: Recording, data: MarketData, symbol: str) -> Market:
    """`rows` rows of one symbol from the middle of its data."""
    ts = data.tables[one.fidelity].of(symbol)["ts_ns"]
    first = len(ts) // 3 if len(ts) > 1.5 * one.rows else 0
    last = min(first + one.rows, len(ts) - 1)
    return Market(data.select(symbol, int(ts[first]), int(ts[last]) + 1), symbol, one.fidelity)


def model_for(model: FillModel, market: Market) -> FillModel:
    """Where bars do not know their volume, no share of it can be taken."""
    bars = market.table("bars") if market.fidelity == "bars" else None
    unknown = bars is not None and bool(np.isnan(bars["volume"]).any())
    return replace(model, participation=None) if unknown else model


def start_of(markets: Iterable[Market]) -> dict[str, Decimal]:
    return {
        m.symbol: Decimal(m.start_position()).scaleb(-m.instrument.quantity_decimals)
        for m in markets
    }


def filled(told: Told) -> int:
    return sum(row.filled > 0 for row in told.orders.values())


@pytest.mark.parametrize("one", SETS, ids=IDS, scope="module")
def test_all_four_agree_on_a_slice(
    one: Recording, recorded: Path, tmp_path: Path, compared: Compared
) -> None:
    data = whole(one, recorded)
    for symbol in one.symbols:
        market = a_slice(one, data, symbol)
        for number, model in enumerate(MODELS):
            rng = random.Random(f"{one.name} {symbol} {number}")
            setup = Setup(
                model_for(model, market),
                FEES,
                fidelity={symbol: one.fidelity},
                positions=start_of([market]),
            )
            part = Part(market, setup, market.orders(ON_SLICES, rng))
            frame = market.frame(part.orders)
            result = setup.simulated(frame, market.data)
            ours, theirs = outcome_of(result, market.instrument), part.outcome()
            assert ours.fills == theirs.fills
            assert ours.orders == theirs.orders
            assert ours.ambiguous == theirs.ambiguous
            told = told_by(result)
            assert_same(told, through_venue(frame, market.data, setup))
            folder = tmp_path / f"{symbol}{number}"
            assert_same(live_as_one(told), through_engine(frame, market.data, setup, folder))
            what = f"all four, {one.name} {one.fidelity}"
            compared(what, told.orders, told.fills, filled(told))


@pytest.mark.parametrize("one", SETS, ids=IDS, scope="module")
def test_batch_and_paper_agree_on_the_whole(
    one: Recording, recorded: Path, tmp_path: Path, compared: Compared
) -> None:
    data = whole(one, recorded)
    markets = [Market(data, symbol, one.fidelity) for symbol in one.symbols]
    rng = random.Random(one.name)
    count = ON_ALL // len(markets)
    frames = [m.frame(m.orders(count, rng, name=m.symbol)) for m in markets]
    orders = pd.concat(frames).sort_values("ts_ns", kind="stable", ignore_index=True)
    setup = Setup(
        model_for(QUEUE, markets[0]),
        FEES,
        DELAYS,
        seed=20,
        fidelity=dict.fromkeys(one.symbols, one.fidelity),
        positions=start_of(markets),
    )
    told = told_by(setup.simulated(orders, data))
    assert_same(told, through_venue(orders, data, setup))
    assert_same(live_as_one(told), through_engine(orders, data, setup, tmp_path))
    assert filled(told) > len(orders) // 20, "orders near the market"
    compared(f"simulate = venue = engine, {one.name} {one.fidelity}", told.orders, told.fills,
             filled(told))  # fmt: skip
