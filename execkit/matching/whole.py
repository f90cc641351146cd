"""Prices and quantities as whole numbers of their unit."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry

LARGEST = 2.0**60
"""In units: what is larger is no price and no quantity, and sums of it would not fit int64."""


@entry
def to_whole(values: np.ndarray, scale: float, multiple: int, out: np.ndarray) -> int:
    """Fill `out` with `values * scale` as integers, 0 for NaN; the first row that is no whole
    multiple, or larger than `LARGEST`, or -1."""
    wrong = 0
    for i in range(len(values)):  # without exits, so that it runs on several rows at once
        value = values[i]
        known = value == value
        whole = np.rint(value * scale) if known else 0.0
        wrong += known and (whole / scale != value or abs(whole) > LARGEST)
        out[i] = np.int64(whole)
    if multiple > 1:
        for i in range(len(values)):
            wrong += out[i] % multiple != 0
    if wrong == 0:
        return -1
    for i in range(len(values)):
        fits = abs(values[i] * scale) <= LARGEST
        if values[i] == values[i] and not (
            fits and out[i] / scale == values[i] and out[i] % multiple == 0
        ):
            return i
    return -1
