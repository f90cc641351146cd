"""Prices and quantities as whole numbers of their unit."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry


@entry
def to_whole(values: np.ndarray, scale: float, multiple: int, out: np.ndarray) -> int:
    """Fill `out` with `values * scale` as integers, 0 for NaN; the first row that is no whole
    multiple, or -1. What lies behind such a row is not filled."""
    for i in range(len(values)):
        value = values[i]
        whole = np.int64(0)
        if value == value:
            whole = np.int64(np.rint(value * scale))
            if whole / scale != value or (multiple > 1 and whole % multiple):
                return i
        out[i] = whole
    return -1
