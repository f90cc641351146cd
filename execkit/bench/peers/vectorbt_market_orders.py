"""W1 in vectorbt: `Portfolio.from_orders`, and its order records as a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import vectorbt as vbt

ENGINE = f"vectorbt {vbt.__version__}"


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    data = {name: np.load(folder / f"{name}.npy") for name in ("open", "close", "buy", "quantity")}
    size = np.where(data["buy"] == 1, data["quantity"], -data["quantity"])
    engine = options["engine"]
    global ENGINE
    ENGINE = f"vectorbt {vbt.__version__} ({engine})"
    return {"open": data["open"], "close": data["close"], "size": size, "engine": engine, **options}


def work(state: dict[str, Any]) -> Any:
    portfolio = vbt.Portfolio.from_orders(
        state["close"],
        size=state["size"],
        price=state["open"],
        fees=state["fee_bps"] / 1e4,
        slippage=state["slippage_bps"] / 1e4,
        init_cash=1e15,
        engine=state["engine"],
    )
    orders = portfolio.orders
    return orders.records_readable if state.get("readable") else orders.records


def answers(state: dict[str, Any], records: Any) -> dict[str, float]:
    if state.get("readable"):
        return {"fills": len(records)}
    sign = np.where(records["side"] == 0, -1.0, 1.0)
    fees = float(records["fees"].sum())
    paid = float((sign * records["size"] * records["price"]).sum())
    return {"fills": len(records), "fees": fees, "cash": paid - fees}
