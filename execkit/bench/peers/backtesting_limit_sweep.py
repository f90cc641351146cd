"""W2 in backtesting.py: limit order, hold, leave, for a few combinations, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

ENGINE = f"backtesting.py {backtesting.__version__}"
NAMES = ("open", "high", "low", "close", "volume")


class RoundTrips(Strategy):
    """Quote below the close for `horizon` bars; when filled hold as many and leave."""

    offset = 0.0
    horizon = 1
    filled_at = -1
    placed_at = -1

    def init(self) -> None:
        self.filled_at = self.placed_at = -1

    def next(self) -> None:
        bar = len(self.data) - 1
        if self.position:
            if self.filled_at < 0:
                self.filled_at = bar
            if bar == self.filled_at + self.horizon:
                self.position.close()
            return
        self.filled_at = -1
        if self.orders:
            if bar < self.placed_at + self.horizon:
                return
            for order in self.orders:
                order.cancel()
        self.placed_at = bar
        close = self.data.Close[-1]
        tick = np.floor(close * (1 - self.offset) * 100 + 1e-9) / 100
        self.buy(size=1, limit=tick)


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    columns = {name.title(): np.load(folder / f"{name}.npy") for name in NAMES}
    ts_ns = np.load(folder / "ts_ns.npy")
    frame = pd.DataFrame(columns, index=pd.to_datetime(ts_ns, utc=True).tz_localize(None))
    test = Backtest(frame, RoundTrips, cash=1e9, commission=options["fee_bps"] / 1e4)
    return {"test": test, "some": options["some"]}


def work(state: dict[str, Any]) -> list[int]:
    found = []
    for offset_bps, horizon in state["some"]:
        stats = state["test"].run(offset=offset_bps / 1e4, horizon=horizon)
        found.append(len(stats["_trades"]))
    return found


def answers(state: dict[str, Any], result: list[int]) -> dict[str, float]:
    return {f"round_trips_{i}": count for i, count in enumerate(result)}
