"""Quotes against a tape on disk that is read piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import execkit as ek
from execkit.bench import markets

ENGINE = f"execkit {ek.__version__}"
ORDERS = ("ts_ns", "buy", "price", "quantity", "cancel_ts_ns")


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    place = folder / options["place"]
    orders = markets.orders(markets.load(place / "orders", ORDERS), "limit")
    return {"market": ek.MarketScan(place / "market"), "orders": orders}


def work(state: dict[str, Any]) -> pd.DataFrame:
    return ek.simulate(state["orders"], state["market"], progress=False).fills


def answers(state: dict[str, Any], fills: pd.DataFrame) -> dict[str, float]:
    return {"fills": len(fills)}
