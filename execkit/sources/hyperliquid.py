"""Hyperliquid liquidation fills (CSV: ts, coin, user, episode, notional) as prints.

The files give the value of a fill in USD, not its price or size: the price is NaN and the quantity
counts contracts of one USD (kind "inverse", contract size 1), so the notional is right and nothing
else can be computed. ``parent_id`` is the episode, the forced order the fill belongs to. The
summary file of episodes beside it repeats the same sums and is left out.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_MS
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, pick
from execkit.sources.columns import column_names, read_frame, scaled
from execkit.tables import Finding, build

_NEEDED = {"ts", "coin", "user", "episode", "notional"}


class Hyperliquid:
    """See the module."""

    name = "hyperliquid"

    def sniff(self, path: Path) -> bool:
        return set(column_names(path)) >= _NEEDED

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _read(path: Path) -> MarketData:
    frame = read_frame(path)
    codes, words = pd.factorize(frame["coin"])
    columns = {
        "ts_ns": scaled(frame["ts"], NS_PER_MS),
        "price": np.full(len(frame), np.nan),
        "quantity": frame["notional"],
        "parent_id": frame["episode"],
    }
    prints, notes = build(
        "prints", columns, symbol=(codes, [str(word) for word in words]), venue="hyperliquid"
    )
    detail = "the price is unknown; quantity is the value in USD"
    tables: dict[str, Any] = {"prints": prints}
    for symbol in prints.symbols:
        n = len(prints.of(symbol))
        notes.append(Finding("no_price", "warning", "prints", symbol, n, -1, detail))
    instruments = {s: fitted(tables, s, "inverse", Decimal(1)) for s in prints.symbols}
    return MarketData(**tables, instruments=instruments, notes=tuple(notes))


SOURCE = Hyperliquid()
