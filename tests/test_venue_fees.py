"""The table of venues' fees: dated, sourced, and as ccxt states them where it does."""

from __future__ import annotations

import datetime
from typing import Any

import ccxt
import numpy as np
import pandas as pd
import pytest

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.models import FeeModel, check_fee_model, venue_fees
from execkit.models.base import params_of
from execkit.models.venue_fees import TABLE
from execkit.simulator import simulate

HOMES: dict[tuple[str, str], tuple[str, str]] = {
    ("binance", "spot"): ("binance", "trading"),
    ("binance", "linear"): ("binance", "linear"),
    ("binance", "inverse"): ("binance", "inverse"),
    ("bitfinex", "spot"): ("bitfinex", "trading"),
    ("hyperliquid", "spot"): ("hyperliquid", "spot"),
    ("hyperliquid", "linear"): ("hyperliquid", "swap"),
    ("kraken", "linear"): ("krakenfutures", "trading"),
    ("kucoin", "spot"): ("kucoin", "spot"),
    ("okx", "linear"): ("okx", "swap"),
}
"""Where ccxt states each row."""

OTHER = {("bybit", "linear"), ("kraken", "spot")}
"""Rows from a newer source than ccxt, which says so."""


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.venue} {row.kind}")
def test_a_row_states_what_ccxt_states_or_says_why_not(row: Any) -> None:
    key = row.venue, row.kind
    if key in OTHER:
        assert "ccxt 4.5.90 has older ones" in row.source
        return
    exchange, group = HOMES[key]
    stated = getattr(ccxt, exchange)().describe()["fees"][group]
    stated = stated.get("trading", stated)
    assert row.maker_bps == pytest.approx(stated["maker"] * 1e4)
    assert row.taker_bps == pytest.approx(stated["taker"] * 1e4)
    assert "ccxt 4.5.90" in row.source
    tiers = stated.get("tiers") or {}
    sides = [(tiers[side][0][1], stated[side]) for side in ("maker", "taker") if side in tiers]
    if any(first != pytest.approx(base) for first, base in sides):
        assert "; " in row.source, "ccxt contradicts itself here, so a second source has to agree"


def test_the_table_is_sorted_dated_and_sourced() -> None:
    keys = [(row.venue, row.kind) for row in TABLE]
    assert len(set(keys)) == len(keys)
    assert [venue for venue, _ in keys] == sorted(venue for venue, _ in keys)
    for row in TABLE:
        assert datetime.date(2026, 1, 1) < datetime.date.fromisoformat(row.as_of)
        assert len(row.source) > 10
        check_fee_model(row)


def test_a_venue_s_fees_are_a_fee_model_that_a_run_keeps_with_its_source() -> None:
    """10,000 dollars taken on Binance: 10 on spot, 5 on the linear contract; and in coin on the
    inverse one, at 50,000."""
    one = np.array([10_000.0]), np.array([0.2]), np.array([False]), np.zeros(1)
    assert venue_fees("binance").charge(*one).tolist() == [10.0]
    assert venue_fees("Binance", "linear").charge(*one).tolist() == [5.0]
    coin = venue_fees("binance", "inverse")
    assert coin.charge(*one, inverse=True).tolist() == [0.0001]
    assert coin.currency_of("BTC", "USD", inverse=True) == "BTC"
    assert isinstance(coin, FeeModel)
    told = params_of(coin)
    assert told["as_of"] == "2026-10-23"
    assert "binance.com" in told["source"]
    assert coin.in_settlement() == coin


@pytest.mark.parametrize("venue, kind", [("nowhere", "spot"), ("okx", "spot"), ("binance", "x")])
def test_what_the_table_does_not_have_is_not_guessed(venue: str, kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"FeeModel\(maker_bps=.*known: binance spot"):
        venue_fees(venue, kind)


def test_fees_in_the_base_coins_of_many_symbols_keep_their_names() -> None:
    """More coins than an int8 counts."""
    names = [f"C{number:03d}USDT" for number in range(140)]
    frame = pd.DataFrame({"ts_ns": np.tile([10**18, 2 * 10**18], 140), "volume": 500.0})
    frame["symbol"] = np.repeat(names, 2)
    frame[["open", "high", "low", "close"]] = 100.0
    market = MarketData.from_bars(frame, interval="1m")
    orders = {"ts_ns": 10**18, "symbol": names, "side": "buy", "order_type": "market"}
    fees = FeeModel(taker_bps=5, currency="base")
    fills = simulate(orders | {"quantity": 1.0}, market, fee=fees).fills
    told = dict(zip(fills["symbol"], fills["fee_currency"], strict=True))
    assert told == {name: name.removesuffix("USDT") for name in names}
