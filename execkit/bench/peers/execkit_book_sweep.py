"""W3 in execkit for many sets of parameters: how far behind the best price, and how large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import execkit as ek
from execkit.bench import markets, tapes

ENGINE = f"execkit {ek.__version__}"
ORDERS = ("ts_ns", "buy", "price", "quantity", "cancel_ts_ns")


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    quotes = markets.load(folder / options["orders"], ORDERS)
    ticks = np.rint(quotes["price"] / tapes.TICK)
    away = np.where(quotes["buy"] == 1, -1, 1)

    def make_orders(behind: int, lots: int) -> dict[str, Any]:
        price = (ticks + behind * away) / round(1 / tapes.TICK)
        quantity = np.full(len(ticks), lots / round(1 / tapes.LOT))
        return markets.orders({**quotes, "price": price, "quantity": quantity}, "limit")

    return {
        "make_orders": make_orders,
        "grid": {"behind": range(10), "lots": range(1, options["sets"] // 10 + 1)},
        "market": markets.book_market(markets.load(folder, markets.TAPE)),
        "fee": ek.FeeModel(maker_bps=-1, taker_bps=4),
        "latency": ek.LatencyModel(
            entry_ns=options["latency_ns"],
            cancel_ns=options["latency_ns"],
            response_ns=options["latency_ns"],
        ),
    }


def work(state: dict[str, Any]) -> pd.DataFrame:
    return ek.sweep(
        state["make_orders"], state["grid"], state["market"], fee=state["fee"],
        latency=state["latency"], progress=False,
    )  # fmt: skip


def answers(state: dict[str, Any], table: pd.DataFrame) -> dict[str, float]:
    return {"combinations": len(table), "fills": float(table["fills"].sum())}
