"""Small drawn markets and orders, for the conformance check of fill models. Nobody traded these."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd

from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.models.fill import FillModel

FIDELITIES = ("depth", "quotes", "prints", "bars")
_START_NS, _STEP_NS = 1_700_000_000_000_000_000, 1_000_000_000
_TICK, _LOTS = 0.5, 1000
_EVENTS, _ORDERS = 60, 14
_BTCUSDT = Instrument(symbol="BTCUSDT", tick_size=Decimal(str(_TICK)), lot_size=1 / Decimal(_LOTS))


def drawn(kind: str, seed: int) -> tuple[MarketData, pd.DataFrame]:
    """A market of one fidelity (prints beside depth and quotes) and orders around its price."""
    rng = np.random.default_rng(seed)
    ts = _START_NS + _STEP_NS * np.arange(_EVENTS)
    centre = 200 + np.cumsum(rng.choice([-1, 0, 0, 1], _EVENTS))
    market = _market(kind, rng, ts, centre)
    return market, _orders(rng, ts, centre)


def run(orders: pd.DataFrame, market: MarketData, model: FillModel) -> pd.DataFrame:
    """Which order got what, when and how."""
    from execkit.simulator import simulate

    names = ["client_order_id", "venue_ts_ns", "price", "quantity", "liquidity"]
    if len(orders) == 0:
        return pd.DataFrame(columns=names)
    return simulate(orders, market, model, progress=False).fills[names]


def _market(kind: str, rng: np.random.Generator, ts: np.ndarray, centre: np.ndarray) -> MarketData:
    n, given = len(ts), [_BTCUSDT]

    def size() -> np.ndarray:
        return rng.integers(1, 9, n) / _LOTS

    if kind == "bars":
        high, low = centre + rng.integers(0, 3, n), centre - rng.integers(0, 3, n)
        close = np.clip(centre + rng.integers(-2, 3, n), low, high)
        prices = dict(
            zip(("open", "high", "low", "close"), (centre, high, low, close), strict=True)
        )
        frame = pd.DataFrame({k: v * _TICK for k, v in prices.items()})
        frame = frame.assign(ts_ns=ts, volume=rng.integers(0, 90, n) / _LOTS)
        return MarketData.from_bars(frame, interval=_STEP_NS, symbol="BTCUSDT", instruments=given)
    price = (centre + rng.choice([-1, 0, 1], n)) * _TICK
    aggressor = rng.choice(["buy", "sell"], n)
    told = {"ts_ns": ts + _STEP_NS // 2, "seq": 2 * np.arange(n) + 1, "price": price}
    prints = pd.DataFrame({**told, "quantity": size(), "aggressor": aggressor})
    printed = MarketData.from_prints(prints, symbol="BTCUSDT", instruments=given)
    if kind == "prints":
        return printed
    if kind == "quotes":
        sides = {"bid": (centre - 1) * _TICK, "ask": (centre + 1) * _TICK}
        sizes = {"bid_quantity": size(), "ask_quantity": size()}
        frame = pd.DataFrame({"ts_ns": ts, "seq": 2 * np.arange(n), **sides, **sizes})
        return MarketData.from_quotes(frame, symbol="BTCUSDT", instruments=given).combine(printed)
    levels = [
        {"ts_ns": t, "seq": 2 * i, "side": side, "price": (c + sign * k) * _TICK,
         "quantity": int(rng.integers(0 if k > 1 else 1, 9)) / _LOTS, "is_snapshot": 1}
        for i, (t, c) in enumerate(zip(ts, centre, strict=True))
        for side, sign in (("bid", -1), ("ask", 1))
        for k in (1, 2, 3)
    ]  # fmt: skip
    return MarketData.from_depth(pd.DataFrame(levels), symbol="BTCUSDT", instruments=given).combine(
        printed
    )


def _orders(rng: np.random.Generator, ts: np.ndarray, centre: np.ndarray) -> pd.DataFrame:
    at = np.sort(rng.integers(1, len(ts) - 2, _ORDERS))
    kind = rng.choice(["market", "limit", "limit", "limit", "stop_market"], _ORDERS)
    buy = rng.random(_ORDERS) < 0.5
    off = np.where(kind == "stop_market", 2, rng.integers(-2, 3, _ORDERS)) * np.where(buy, 1, -1)
    price = (centre[at] + off) * _TICK
    in_force = rng.choice(["GTC", "GTC", "IOC", "FOK"], _ORDERS)
    return pd.DataFrame(
        {
            "ts_ns": ts[at],
            "symbol": "BTCUSDT",
            "side": np.where(buy, "buy", "sell"),
            "order_type": kind,
            "quantity": rng.integers(1, 20, _ORDERS) / _LOTS,
            "price": np.where(kind == "limit", price, np.nan),
            "stop_price": np.where(kind == "stop_market", price, np.nan),
            "time_in_force": np.where(kind == "limit", in_force, "GTC"),
            "client_order_id": [f"order-{i}" for i in range(_ORDERS)],
        }
    )
