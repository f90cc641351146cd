"""What is particular to each exchange over ccxt: one file each, only what differs from the base."""

from __future__ import annotations

from importlib import import_module

from execkit.errors import InvalidInput
from execkit.venues.quirks.base import FEATURES, Quirks
from execkit.venues.quirks.calls import Budget, Call, Permissions, Support, Verdict

EXCHANGES = {
    "binance": "Binance",
    "binanceusdm": "BinanceUsdm",
    "bybit": "Bybit",
}


def quirks_for(exchange: str) -> Quirks:
    """Fresh quirks of an exchange by ccxt's name of it; `InvalidInput` names those that exist."""
    name = EXCHANGES.get(exchange)
    if name is None:
        raise InvalidInput("exchange", exchange, f"use one of: {', '.join(EXCHANGES)}")
    made = getattr(import_module(f"execkit.venues.quirks.{exchange}"), name)()
    assert isinstance(made, Quirks)
    return made


__all__ = [
    "EXCHANGES",
    "FEATURES",
    "Budget",
    "Call",
    "Permissions",
    "Quirks",
    "Support",
    "Verdict",
    "quirks_for",
]
