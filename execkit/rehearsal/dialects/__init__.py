"""Dialects: how each exchange would say it. An open set; one file (or two) per exchange."""

from __future__ import annotations

import importlib

from execkit.errors import InvalidInput
from execkit.rehearsal.dialects.base import Dialect

_HOME = {
    "binance": ("binance_spot", "BinanceSpot"),
    "binanceusdm": ("binance_usdm", "BinanceUsdm"),
    "bybit": ("bybit", "Bybit"),
    "kucoin": ("kucoin", "Kucoin"),
    "okx": ("okx", "Okx"),
}


def dialect(name: str) -> type[Dialect]:
    """The dialect of a ccxt exchange id. Raises `InvalidInput` for one that nobody wrote."""
    if name not in _HOME:
        raise InvalidInput("exchange", name, f"rehearsals speak: {', '.join(sorted(_HOME))}")
    module, attribute = _HOME[name]
    found: type[Dialect] = getattr(
        importlib.import_module(f"execkit.rehearsal.dialects.{module}"), attribute
    )
    return found


def names() -> tuple[str, ...]:
    """ccxt ids of the exchanges that can be rehearsed."""
    return tuple(sorted(_HOME))
