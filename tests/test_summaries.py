"""summarise(): one row of a simulation, against the tables that it is taken from."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import execkit as ek
from execkit import fill_table, profit
from execkit.domain import Instrument
from execkit.summaries import summarise

MINUTE = 60_000_000_000
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSD")


def market(n: int = 12) -> ek.MarketData:
    """Bars of two linear symbols and an inverse one, which wander apart."""
    moves = np.random.default_rng(7).integers(-300, 301, size=(len(SYMBOLS), n)).cumsum(axis=1)
    parts = []
    for symbol, path in zip(SYMBOLS, 10_000 + moves, strict=True):
        close = path / 100
        known = Instrument(
            symbol=symbol,
            base=symbol[:3],
            quote=symbol[3:],
            tick_size=Decimal("0.01"),
            lot_size=Decimal(1) if symbol == "CCCUSD" else Decimal("0.001"),
            kind="inverse" if symbol == "CCCUSD" else "linear",
        )
        columns = {"open": close, "high": close + 1, "low": close - 1, "close": close}
        ts_ns = np.arange(n) * MINUTE
        data = {"ts_ns": ts_ns, **columns, "volume": np.full(n, 1e6)}
        parts.append(
            ek.MarketData.from_bars(data, symbol=symbol, interval="1m", instruments=[known])
        )
    return ek.MarketData.combine(*parts)


ORDERS = st.lists(
    st.tuples(
        st.integers(0, 11), st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]),
        st.integers(1, 9),
    ),
    min_size=1, max_size=15,
)  # fmt: skip
MARKET = market()


@given(ORDERS, st.sampled_from([0.0, 3.0, -7.0]))
@settings(max_examples=40, deadline=None)
def test_money_is_the_last_row_of_each_currencys_equity_to_the_last_digit(
    rows: list[tuple[int, str, str, int]], start: float
) -> None:
    orders = [
        {
            "ts_ns": bar * MINUTE, "symbol": symbol, "side": side, "order_type": "market",
            "quantity": float(lots), "client_order_id": f"o{i}",
        }
        for i, (bar, symbol, side, lots) in enumerate(sorted(rows))
    ]  # fmt: skip
    held = dict.fromkeys(SYMBOLS, start) if start else None
    result = ek.simulate(
        orders, MARKET, fee=ek.FeeModel(taker_bps=3.3), initial_positions=held, progress=False
    )
    fees, _, _ = fill_table.fees(result.request, result.columns, result.request.fee.in_settlement())
    last = result.equity.groupby("currency").tail(1).set_index("currency")
    found = profit.closing(result.request, result.columns, fees)
    assert set(found) == set(last.index)
    row = summarise(result)
    for currency, closing in found.items():
        assert np.array_equal(
            closing, last.loc[currency, ["cash", "fees", "equity"]].to_numpy(float), equal_nan=True
        )
        assert row[f"fees_{currency}"] == closing.fees
        assert row[f"equity_{currency}"] == pytest.approx(closing.equity, abs=0, nan_ok=True)


def test_funding_is_in_the_money_of_a_run() -> None:
    rates = {"ts_ns": [6 * MINUTE], "rate": [0.01], "mark": [100.0]}
    with_funding = replace(
        MARKET, funding=ek.MarketData.from_funding(rates, symbol="AAAUSDT").funding
    )
    order = {
        "ts_ns": 0, "symbol": "AAAUSDT", "side": "buy", "order_type": "market", "quantity": 2.0
    }  # fmt: skip
    row = summarise(ek.simulate([order], with_funding, progress=False))
    free = summarise(ek.simulate([order], MARKET, progress=False))
    assert row["funding_USDT"] == 2.0
    assert row["equity_USDT"] == pytest.approx(free["equity_USDT"] - 2.0)
    assert row["realised_USDT"] == pytest.approx(free["realised_USDT"])
