"""Marketable orders in execkit: each walks what is displayed, less what earlier ones took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import execkit as ek
from execkit.bench import markets

ENGINE = f"execkit {ek.__version__}"


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    given = markets.load(folder / options["orders"], ("ts_ns", "buy", "quantity"))
    return {
        "market": markets.book_market(markets.load(folder, markets.TAPE)),
        "orders": markets.orders(given, "market"),
        "fee": ek.FeeModel(taker_bps=4),
    }


def work(state: dict[str, Any]) -> pd.DataFrame:
    result = ek.simulate(state["orders"], state["market"], fee=state["fee"], progress=False)
    return result.fills


def answers(state: dict[str, Any], fills: pd.DataFrame) -> dict[str, float]:
    return {"fills": len(fills), "filled": float(fills["quantity"].sum())}
