"""One symbol's bars as integers: what its tape and its direct answers are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from execkit.arrays import fixed
from execkit.kernels import entry
from execkit.matching import state as st

MOST = 2.0**62
"""Volume in units from which on it is as good as any: a share of it must fit int64."""


class Bars(NamedTuple):
    """ts_ns (n,): open times. prices (4, n): open, high, low, close in price units. volume (n,): in
    quantity units, float64. length_ns : from the open to the last nanosecond of a bar."""

    ts_ns: np.ndarray
    prices: np.ndarray
    volume: np.ndarray
    length_ns: int

    @property
    def ends_ns(self) -> tuple[int, int]:
        """Time of the first and of the last event."""
        return int(self.ts_ns[0]), int(self.ts_ns[-1]) + self.length_ns

    def tape(self) -> st.Tape:
        """OPEN and RANGE of each bar, for the event loop."""
        n = len(self.ts_ns)
        ts = np.empty(2 * n, dtype=np.int64)
        ts[0::2] = self.ts_ns
        ts[1::2] = self.ts_ns + self.length_ns
        kind = np.empty(2 * n, dtype=np.int8)
        kind[0::2], kind[1::2] = st.OPEN, st.RANGE
        return st.Tape(
            ts=ts,
            kind=kind,
            at=np.repeat(np.arange(n, dtype=np.int64), 2),
            depth=np.zeros((5, 0), dtype=np.int64),
            quotes=np.zeros((4, 0), dtype=np.int64),
            prints=np.zeros((3, 0), dtype=np.int64),
            bars=self.prices,
            volume=self.volume,
        )


@entry
def _whole(
    opened: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    price_unit: float,
    quantity_unit: float,
    prices: np.ndarray,
    volumes: np.ndarray,
) -> int:
    """Fill `prices` and `volumes`; returns how many rows nothing can trade at."""
    bad = 0
    for i in range(len(opened)):
        first, top, bottom, last = opened[i], high[i], low[i], close[i]
        inside = bottom <= first <= top and bottom <= last <= top
        if not (inside and bottom > 0 and top < np.inf):
            bad += 1
            continue
        prices[0, i] = np.int64(np.rint(first * price_unit))
        prices[1, i] = np.int64(np.rint(top * price_unit))
        prices[2, i] = np.int64(np.rint(bottom * price_unit))
        prices[3, i] = np.int64(np.rint(last * price_unit))
    for i in range(len(volume)):
        # the third decimal removes float dust (70 * 0.1 lots), far below any lot
        whole = np.rint(volume[i] * quantity_unit * 1000.0) / 1000.0
        volumes[i] = MOST if whole > MOST else whole
    return bad


def whole_bars(
    columns: Mapping[str, np.ndarray], length_ns: int, price_unit: float, quantity_unit: float
) -> Bars | None:
    """Bars of the columns of a table; None if there is a row that nothing can trade at."""
    names = ("open", "high", "low", "close", "volume")
    n = len(columns["ts_ns"])
    prices, volume = np.empty((4, n), dtype=np.int64), np.empty(n)
    opened, high, low, close, given = (fixed(columns[name]) for name in names)
    if _whole(opened, high, low, close, given, price_unit, quantity_unit, prices, volume):
        return None
    return Bars(columns["ts_ns"], prices, volume, length_ns)
