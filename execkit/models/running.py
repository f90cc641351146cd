"""Sums over what came earlier, parent by parent."""

from __future__ import annotations

import math

import numpy as np

from execkit.kernels import maker


@maker
def earlier(parent: np.ndarray, ts_ns: np.ndarray, add: np.ndarray, rate: float) -> np.ndarray:
    """Of each row, the sum of `add` over the rows of its parent at earlier stamps, each times
    exp(-rate * ns since). Rows sorted by parent and then time; each parent starts from 0, so what
    it gets does not depend on the others to the last bit."""
    out = np.zeros(len(add))
    total, now, at = 0.0, 0.0, 0
    for i in range(len(add)):
        if i == 0 or parent[i] != parent[i - 1]:
            total, now = 0.0, 0.0
        elif ts_ns[i] != at:
            total = (total + now) * math.exp(-rate * (ts_ns[i] - at))
            now = 0.0
        at = ts_ns[i]
        out[i] = total
        now += add[i]
    return out
