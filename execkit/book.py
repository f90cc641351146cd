"""One side of an order book as two sorted arrays, and the kernels that keep it.

Prices and quantities are integers: multiples of the instrument's price and quantity unit (powers
of ten, see `Instrument`), so equality is exact and nothing drifts. A side is stored from its worst
to its best level, because most updates happen near the touch and then move few elements.

`key` is ``price`` for bids and ``-price`` for asks: with it the best level of either side is the
largest key, and one set of kernels serves both.
"""

from __future__ import annotations

import numpy as np

from execkit.kernels import kernel

BID, ASK = 0, 1


@kernel
def find(keys: np.ndarray, n: int, key: int) -> int:
    """First position in ``keys[:n]`` (ascending) whose key is >= `key`; `n` if there is none."""
    lo, hi = 0, n
    while lo < hi:
        mid = (lo + hi) >> 1
        if keys[mid] < key:
            lo = mid + 1
        else:
            hi = mid
    return lo


@kernel
def set_level(
    keys: np.ndarray, sizes: np.ndarray, taken: np.ndarray, n: int, key: int, size: int
) -> int:
    """Set the total size displayed at a level (0 removes it); returns the new number of levels.

    `taken` is what our own orders and public prints have consumed there since the level was last
    shown; a fresh update starts it again at 0. The arrays must have room for one more level.
    """
    at = find(keys, n, key)
    if at < n and keys[at] == key:
        if size > 0:
            sizes[at] = size
            taken[at] = 0
            return n
        for i in range(at, n - 1):
            keys[i] = keys[i + 1]
            sizes[i] = sizes[i + 1]
            taken[i] = taken[i + 1]
        return n - 1
    if size <= 0:
        return n
    for i in range(n, at, -1):
        keys[i] = keys[i - 1]
        sizes[i] = sizes[i - 1]
        taken[i] = taken[i - 1]
    keys[at] = key
    sizes[at] = size
    taken[at] = 0
    return n + 1


@kernel
def shown_at(keys: np.ndarray, sizes: np.ndarray, n: int, key: int) -> int:
    """Size displayed at a level, 0 if the level is empty."""
    at = find(keys, n, key)
    if at < n and keys[at] == key:
        return int(sizes[at])
    return 0
