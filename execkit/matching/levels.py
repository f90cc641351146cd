"""What happened at each price of a book, indexed once for all orders and all models.

An order's fate depends on few of the tape's events: those at its own price, the first print or
quote that goes beyond it, and the book at the moment it arrives. The index answers each of these
without the events between.

Prices are ranks in the sorted prices of the tape. A side's *key* is the rank for bids and
``n - 1 - rank`` for asks, so that on both sides the best level has the largest key and one set of
kernels serves both. A level is ``side * n + key``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from execkit.kernels import inlined

# kinds of entry; up to OUT the size is what the level shows from there on
SET, SNAPSHOT, KEPT, GONE, OUT, PRINTED, SWEPT = range(7)
FAR = np.iinfo(np.int32).max
FAN = 16
COARSE = 64


class Levels(NamedTuple):
    """The index of one tape. `T` events, `n` prices, `M` entries, `S` snapshots.

    prices (n,): sorted. ranks: rank of the first price >= prices[0] + i, or empty where the span
    is too wide. start (2n + 1,): where each level's entries begin. entries (M, 2): tape position
    * 8 + kind, and size (PRINTED: the quantity printed there against this side); by level, then
    by time. best (2, T + 1): best key of each side after the newest complete message, -1 for none;
    the last column stands for the time before the first event.
    reach: (2, T) and its minima over blocks of FAN, FAN**2, ...: for orders of a side, twice the
    key distance that an event came to (prints: plus 1), FAR where none did; small is deep.
    snapshots (S,): positions of their last rows. worst: like reach, the worst key a snapshot shows.
    coarse: time of each 64th event. worst_bid, worst_ask (changes, 2): position, and the worst key
    from there on (n for none).
    """

    prices: np.ndarray
    ranks: np.ndarray
    start: np.ndarray
    entries: np.ndarray
    best: np.ndarray
    reach: tuple[np.ndarray, ...]
    snapshots: np.ndarray
    worst: tuple[np.ndarray, ...]
    coarse: np.ndarray
    worst_bid: np.ndarray
    worst_ask: np.ndarray


@inlined
def rank_of(prices: np.ndarray, ranks: np.ndarray, price: int) -> int:
    """How many prices are below `price`."""
    if len(ranks):
        i = price - prices[0]
        if i < 0:
            return 0
        return int(ranks[i]) if i < len(ranks) else len(prices)
    lo, hi = 0, len(prices)
    while lo < hi:
        mid = (lo + hi) >> 1
        if prices[mid] < price:
            lo = mid + 1
        else:
            hi = mid
    return lo


@inlined
def first_within(tree: tuple[np.ndarray, ...], side: int, at: int, end: int, bound: int) -> int:
    """First position in [at, end) whose value is <= bound; `end` if there is none."""
    v0, v1, v2, v3, v4 = tree
    i = at
    while i < end:
        if i % FAN == 0:  # whole blocks that hold nothing are skipped, the larger the better
            block = i // FAN
            if block % FAN == 0 and v2[side, block // FAN] > bound:
                block //= FAN
                if block % FAN == 0 and v3[side, block // FAN] > bound:
                    block //= FAN
                    wide = block % FAN == 0 and v4[side, block // FAN] > bound
                    i += FAN**4 if wide else FAN**3
                else:
                    i += FAN**2
                continue
            if v1[side, block] > bound:
                i += FAN
                continue
        if v0[side, i] <= bound:
            return i
        i += 1
    return end
