"""W1 in execkit: `simulate` on bars, and its fills as a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import execkit as ek
from execkit.bench import markets, tapes

ENGINE = f"execkit {ek.__version__}"


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    data = markets.load(folder, (*markets.BARS, "buy", "quantity"))
    orders: Any = markets.orders(
        {name: data[name] for name in ("ts_ns", "buy", "quantity")}, "market"
    )
    if options["form"] == "strings":
        orders = pd.DataFrame({**orders, "symbol": markets.SYMBOL})
        orders = orders.astype(dict.fromkeys(("side", "order_type", "symbol"), "str"))
    return {
        "orders": orders,
        "market": markets.bars_market(data, tapes.BARS_TICK),
        "fill": ek.FillModel(
            name="taker", participation=None, half_spread_bps=options["slippage_bps"]
        ),
        "fee": ek.FeeModel(taker_bps=options["fee_bps"]),
    }


def work(state: dict[str, Any]) -> pd.DataFrame:
    result = ek.simulate(
        state["orders"], state["market"], state["fill"], fee=state["fee"], progress=False
    )
    return result.fills


def answers(state: dict[str, Any], fills: pd.DataFrame) -> dict[str, float]:
    sign = np.where(fills["side"] == "buy", -1.0, 1.0)
    fees = float(fills["fee"].sum())
    paid = float((sign * fills["quantity"] * fills["price"]).sum())
    return {"fills": len(fills), "fees": fees, "cash": paid - fees}
