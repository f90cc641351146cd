"""Toy orders and a toy strategy, for demonstrations, tests and measurements. Never trade them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_S
from execkit.domain import Instrument, TradingSignal
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.words import Side, SignalAction

_TYPES = ("market", "limit", "stop_market", "stop_limit", "trailing_stop")


def signals(
    market: MarketData,
    symbol: str | None = None,
    *,
    every_s: float = 6.0,
    quantity: float | None = None,
    exit_bps: float = 3.0,
    strategy_id: str = "toy",
) -> list[TradingSignal]:
    """A mean-reversion toy: in steps of `every_s`, buy below the mean of the last four, else sell.

    Each signal carries a stop loss and a take profit `exit_bps` away from the price of its moment,
    on the instrument's ticks. It looks only at the past: the price at or before each step. The
    further the price is from its mean, compared with the steps before, the larger the signal: 0.2
    to 4 times `quantity` (base units; by default the median size that the market shows), in whole
    lots. The last tenth of the market is left for positions to end in.
    """
    name = market.select(symbol).symbols[0] if symbol is not None else market.symbols[0]
    ts_ns, price, size = reference(market, name)
    instrument = market.instruments[name]
    step, span = round(every_s * NS_PER_S), int(ts_ns[-1] - ts_ns[0])
    if step <= 0 or span < 6 * step:
        raise InvalidInput("every_s", every_s, f"use more than 0 and at most {span / 6e9:.3g} s")
    # a little off the round second, where feeds tend to speak
    moments = 73_000_000 + np.arange(ts_ns[0] + 4 * step, ts_ns[-1] - span // 10, step)
    base, lot, gaps = quantity or size, float(instrument.lot_size), 0.0
    found: list[TradingSignal] = []
    for moment in moments:
        looks = moment - step * np.arange(5)
        seen = price[np.searchsorted(ts_ns, looks, side="right") - 1]
        gap = float(seen[0] - seen[1:].mean())
        side = Side.BUY if gap < 0 else Side.SELL
        usual = gaps / len(found) if gaps else abs(gap)
        strength = min(4.0, max(0.2, abs(gap) / usual)) if usual else 0.2
        gaps += abs(gap)
        stop, target = _exits(instrument, float(seen[0]), side, exit_bps)
        found.append(
            TradingSignal(
                symbol=name,
                action=SignalAction.BUY if side is Side.BUY else SignalAction.SELL,
                quantity=instrument.quantize_quantity(max(lot, strength * base)),
                stop_loss=stop,
                take_profit=target,
                confidence=strength / 4,
                strategy_id=strategy_id,
                ts_ns=int(moment),
                signal_id=f"{strategy_id}-{len(found)}",
            )
        )
    return found


def _exits(
    instrument: Instrument, price: float, side: Side, exit_bps: float
) -> tuple[Decimal, Decimal]:
    """Stop loss and take profit around `price`, at least one tick away and on the grid."""
    tick = instrument.tick_size
    away = max(1, round(price * exit_bps / 1e4 / float(tick)))
    here = round(Decimal(repr(price)) / tick)
    return (here - side.sign * away) * tick, (here + side.sign * away) * tick


def orders_of(signals: Sequence[TradingSignal]) -> pd.DataFrame:
    """The entries of signals as an orders table: what `simulate` takes."""
    return pd.DataFrame(
        {
            "ts_ns": [s.ts_ns for s in signals],
            "symbol": [s.symbol for s in signals],
            "side": [s.action.value for s in signals],
            "order_type": ["market" if s.price is None else "limit" for s in signals],
            "quantity": [float(s.quantity) for s in signals],
            "price": [np.nan if s.price is None else float(s.price) for s in signals],
            "strategy_id": [s.strategy_id for s in signals],
            "client_order_id": [s.signal_id for s in signals],
        }
    )


def random_orders(
    market: MarketData, n: int, seed: int = 0, symbol: str | None = None
) -> pd.DataFrame:
    """`n` orders of all types at random moments of `market`, priced around what it showed then.

    Half are market orders; the others are limit, stop_market, stop_limit and trailing_stop orders
    within some 10 bps of the price, a part of them with IOC or FOK or with a cancel time. Sizes are
    log-uniform from one lot to twice the median size that the market shows (or prints, or trades
    per bar). Sorted by time; the same seed gives the same orders. They test, they do not predict.
    """
    if n < 1:
        raise InvalidInput("n", n, "ask for at least one order")
    names = [market.select(symbol).symbols[0]] if symbol is not None else list(market.symbols)
    rng = np.random.Generator(np.random.PCG64(seed))
    shares = [len(part) for part in np.array_split(np.arange(n), len(names))]
    frames = [
        _orders_of(market, name, share, rng)
        for name, share in zip(names, shares, strict=True)
        if share
    ]
    orders = pd.concat(frames).sort_values("ts_ns", kind="stable", ignore_index=True)
    # small lots and few moments can draw one order twice, and both are meant
    orders["client_order_id"] = [f"r{i:07d}" for i in range(n)]
    return orders


def passive_orders(
    market: MarketData, n: int, symbol: str | None = None, *, rest_s: float = 0.5
) -> pd.DataFrame:
    """`n` post-only limit orders, buys and sells in turn, at the tick beside the price.

    Evenly spaced over the market, each of a fifth of the median size it shows, canceled after
    `rest_s`. Whether such an order fills is a matter of its place in the queue.
    """
    name = market.select(symbol).symbols[0] if symbol is not None else market.symbols[0]
    ts_ns, price, size = reference(market, name)
    instrument = market.instruments[name]
    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    moments = np.linspace(ts_ns[0], ts_ns[0] + 0.95 * (ts_ns[-1] - ts_ns[0]), n).astype(np.int64)
    here = price[np.searchsorted(ts_ns, moments, side="right") - 1] / tick
    buy = np.arange(n) % 2 == 0
    beside = np.where(buy, np.ceil(here) - 1, np.floor(here) + 1) * tick
    lots = max(1.0, np.floor(size / 5 / lot))
    return pd.DataFrame(
        {
            "ts_ns": moments,
            "symbol": name,
            "side": np.where(buy, "buy", "sell"),
            "order_type": "limit",
            "quantity": round(lots * lot, instrument.quantity_decimals),
            "price": np.round(beside, instrument.price_decimals),
            "post_only": True,
            "cancel_ts_ns": moments + round(rest_s * NS_PER_S),
        }
    )


def _orders_of(market: MarketData, symbol: str, n: int, rng: np.random.Generator) -> pd.DataFrame:
    ts_ns, price, size = reference(market, symbol)
    instrument = market.instruments[symbol]
    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    first, last = int(ts_ns[0]), int(ts_ns[-1])
    moments = first + np.sort((rng.random(n) * 0.95 * (last - first)).astype(np.int64))
    here = price[np.searchsorted(ts_ns, moments, side="right") - 1]
    buy = rng.random(n) < 0.5
    kind = np.searchsorted([0.5, 0.8, 0.88, 0.95], rng.random(n), side="right")
    away = np.where(buy, 1.0, -1.0) * here * 1e-3 * rng.random(n) ** 3  # up to 10 bps, most near
    limit = here + np.where(kind == 3, 1.2, -0.7) * away + tick * (rng.random(n) - 0.5)
    stop = here + away
    grid = {"limit": np.round(limit / tick) * tick, "stop": np.round(stop / tick) * tick}
    most = max(2.0, 2 * size / lot)
    cut = rng.random(n) < 0.3
    horizon = (0.02 * (last - first) * rng.random(n)).astype(np.int64)
    force = np.where(kind == 1, np.searchsorted([0.1, 0.15], rng.random(n), side="right"), 2)
    decimals = instrument.price_decimals
    return pd.DataFrame(
        {
            "ts_ns": moments,
            "symbol": symbol,
            "side": np.where(buy, "buy", "sell"),
            "order_type": np.array(_TYPES)[kind],
            "quantity": np.round(
                np.ceil(most ** rng.random(n)) * lot, instrument.quantity_decimals
            ),
            "price": np.where(np.isin(kind, (1, 3)), np.round(grid["limit"], decimals), np.nan),
            "stop_price": np.where(np.isin(kind, (2, 3)), np.round(grid["stop"], decimals), np.nan),
            "trail_bps": np.where(kind == 4, np.round(1 + 9 * rng.random(n), 2), np.nan),
            "time_in_force": np.array(["IOC", "FOK", "GTC"])[force],
            "cancel_ts_ns": pd.Series(moments + horizon, dtype="Int64").where(cut & (kind > 0)),
        }
    )


def reference(market: MarketData, symbol: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Times, prices and the usual size of one symbol, from the best table there is."""
    for kind in ("depth", "quotes", "prints", "bars"):
        table = getattr(market, kind)
        if table is None or symbol not in table.present:
            continue
        if kind in ("depth", "quotes"):
            rows = market.top_of_book(symbol) if kind == "depth" else table.of(symbol)
            price, size = (rows["bid"] + rows["ask"]) / 2, rows["ask_quantity"]
        elif kind == "prints":
            rows = table.of(symbol)
            price, size = rows["price"], rows["quantity"]
        else:
            rows = table.of(symbol)
            price, size = rows["open"], 0.01 * rows["volume"]
        good = np.isfinite(price) & (price > 0)
        if good.any():
            return rows["ts_ns"][good], price[good], float(np.nanmedian(size[good]))
    raise InvalidInput("symbol", symbol, "the market has no price of it")
