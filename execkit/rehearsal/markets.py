"""Markets to rehearse on, where no recording is given: one that stands still, one that moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pandas as pd

from execkit.clock import NS_PER_S
from execkit.domain import Instrument
from execkit.errors import InvalidInput
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
    return replace(spot(symbol, base, quote, tick, lot, least), kind="linear")


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


def lively(seed: int = 7, hours: float = 2.0) -> MarketData:
    """A generated BTCUSDT, spot and linear perpetual, each with a moving book and prints.

    Takes about a second an hour to make. See `execkit.sample` for what it cannot show.
    """
    from execkit import sample

    if not 0 < hours <= 48:
        raise InvalidInput("hours", hours, "use more than 0 and at most 48 hours")
    minutes = max(1, round(hours * 60))
    one = sample.make_book(minutes, seed)
    other = renamed(sample.make_book(minutes, seed + 1), "BTCUSDT:USDT", "linear")
    return one.combine(other)


def renamed(market: MarketData, symbol: str, kind: str) -> MarketData:
    """The market of one symbol, as that of another instrument of the same grid."""
    (old,) = market.symbols
    tables = {name: replace(table, symbols=(symbol,)) for name, table in market.tables.items()}
    instrument = replace(market.instruments[old], symbol=symbol, kind=kind)
    return MarketData(
        depth=tables.get("depth"),
        prints=tables.get("prints"),
        instruments={symbol: instrument},
        shared_seq=market.shared_seq,
    )


def with_book(
    market: MarketData, symbol: str, ts_ns: int, bid: Decimal, ask: Decimal, size: Decimal
) -> MarketData:
    """The same market, but for a book of one level a side that its depth shows at `ts_ns`, after
    all else at that time. Raises `InvalidInput` for a symbol without depth."""
    if market.depth is None or symbol not in market.depth.present:
        raise InvalidInput("symbol", symbol, "its market has no depth to be changed")
    rows = market.depth.frame()
    own = rows[rows["symbol"] == symbol]
    seqs = [int(table.of(symbol)["seq"].max()) for table in market.tables.values()]
    new = own.iloc[[0, 0]].copy()
    new["ts_ns"], new["seq"], new["is_snapshot"] = ts_ns, max(seqs) + 1, 1
    if "local_ts_ns" in new:
        new["local_ts_ns"] = ts_ns
    new["side"], new["quantity"] = ["bid", "ask"], float(size)
    new["price"] = [float(bid), float(ask)]
    depth = MarketData.from_depth(
        pd.concat([rows, new], ignore_index=True), instruments=market.instruments
    ).depth
    return replace(market, depth=depth)
