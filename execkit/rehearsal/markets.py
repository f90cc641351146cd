"""Markets to rehearse on, where no recording is given: one that stands still, one that moves."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from execkit.clock import NS_PER_S
from execkit.domain import Instrument
from execkit.market import MarketData

START_NS = 1_767_967_200_000_000_000
_HOUR_NS = 3600 * NS_PER_S


def spot(symbol: str, base: str, quote: str, tick: str, lot: str, least: str = "5") -> Instrument:
    """A spot instrument."""
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        base=base,
        quote=quote,
        min_notional=Decimal(least),
    )


def linear(symbol: str, base: str, quote: str, tick: str, lot: str, least: str = "5") -> Instrument:
    """A linear perpetual, settled in its quote currency."""
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        base=base,
        quote=quote,
        min_notional=Decimal(least),
        kind="linear",
    )


USUAL: tuple[tuple[Instrument, str], ...] = (
    (spot("BTCUSDT", "BTC", "USDT", "0.01", "0.00001"), "50000"),
    (spot("ETHUSDT", "ETH", "USDT", "0.01", "0.0001"), "3000"),
    (linear("BTCUSDT:USDT", "BTC", "USDT", "0.1", "0.001", "100"), "50000"),
    (linear("ETHUSDT:USDT", "ETH", "USDT", "0.01", "0.001", "20"), "3000"),
)
"""What `quiet` has if nothing is said: instruments and the price at which they stand."""


def quiet(
    standing: Sequence[tuple[Instrument, str]] = USUAL,
    *,
    levels: int = 20,
    lots: int = 200_000,
    hours: float = 24 * 30,
) -> MarketData:
    """A book that stands still around a price, one tick wide, `levels` deep with `lots` at each."""
    rows = []
    end_ns = START_NS + round(hours * _HOUR_NS)
    for instrument, price in standing:
        tick, lot = instrument.tick_size, instrument.lot_size
        middle = Decimal(price)
        sides = (("bid", middle - tick, -tick), ("ask", middle + tick, tick))
        for side, best, step in sides:
            for level in range(levels):
                at = float(best + level * step)
                rows.append((instrument.symbol, START_NS, 0, side, at, float(lots * lot), 1))
        best_bid = float(middle - tick)
        rows.append((instrument.symbol, end_ns, 1, "bid", best_bid, float(lots * lot), 0))
    names = ["symbol", "ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    return MarketData.from_depth(
        pd.DataFrame(rows, columns=names),
        venue="rehearsal",
        instruments=[instrument for instrument, _ in standing],
    )
