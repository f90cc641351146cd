"""The arrays of `tapes` as execkit takes them: markets, and tables of orders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.bench import tapes
from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.words import to_decimal

SYMBOL = "BTCUSDT"
BARS = ("ts_ns", "open", "high", "low", "close", "volume")
TAPE = ("ts_ns", "seq", "is_print", "side", "price", "quantity", "is_snapshot")


def load(folder: Path, names: Iterable[str], mmap: bool = False) -> tapes.Columns:
    """Columns that `setting.save` wrote."""
    mode: Any = "r" if mmap else None
    return {name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in names}


def instrument(tick_size: float) -> Instrument:
    return Instrument(
        symbol=SYMBOL,
        tick_size=to_decimal(tick_size, "tick_size"),
        lot_size=to_decimal(tapes.LOT, "lot_size"),
        base="BTC",
        quote="USDT",
    )


def bars_market(columns: tapes.Columns, tick_size: float = 0.01) -> MarketData:
    return MarketData.from_bars(
        {name: columns[name] for name in BARS},
        symbol=SYMBOL,
        interval="1m",
        instruments=[instrument(tick_size)],
    )


def book_market(tape: tapes.Columns) -> MarketData:
    """Depth and prints of a book tape, as one feed."""
    printed = tape["is_print"] == 1
    shared = ("ts_ns", "seq", "price", "quantity")
    shown, printed = np.flatnonzero(~printed), np.flatnonzero(printed)
    depth = {name: tape[name][shown] for name in (*shared, "side", "is_snapshot")}
    prints = {name: tape[name][printed] for name in shared}
    # what ate bids was sold
    prints["aggressor"] = words(1 - tape["side"][printed], ("buy", "sell"))
    known = instrument(tapes.TICK)
    return MarketData(
        depth=MarketData.from_depth(depth, symbol=SYMBOL, instruments=[known]).depth,
        prints=MarketData.from_prints(prints, symbol=SYMBOL, instruments=[known]).prints,
        instruments={SYMBOL: known},
        shared_seq=True,
    )


def words(codes: np.ndarray, names: tuple[str, ...]) -> Any:
    """A categorical column."""
    made: Any = pd.Categorical
    return made.from_codes(codes, list(names))


def orders(columns: tapes.Columns, order_type: str) -> dict[str, Any]:
    """A table of orders of one type: what `simulate` takes, with `buy` as its side in words."""
    kind = words(np.zeros(len(columns["buy"]), dtype=np.int8), (order_type,))
    rest = {name: column for name, column in columns.items() if name != "buy"}
    return {**rest, "side": words(columns["buy"], ("sell", "buy")), "order_type": kind}
