"""W2b in execkit: limit orders that share nothing, each until its own time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import execkit as ek
from execkit.bench import markets, tapes

ENGINE = f"execkit {ek.__version__}"
MODEL = ek.FillModel(name="independent", participation=None)


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    data = markets.load(folder, markets.BARS)
    given = markets.load(folder / "orders", ("buy", "price", "quantity"))
    closed = data["ts_ns"] + tapes.MINUTE_NS
    until = closed + options["horizon"] * tapes.MINUTE_NS
    return {
        "market": markets.bars_market(data),
        "orders": markets.orders({"ts_ns": closed, **given, "cancel_ts_ns": until}, "limit"),
    }


def work(state: dict[str, Any]) -> pd.DataFrame:
    return ek.simulate(state["orders"], state["market"], MODEL, progress=False).fills


def answers(state: dict[str, Any], fills: pd.DataFrame) -> dict[str, float]:
    return {"filled": len(fills)}
