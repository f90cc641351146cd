"""Blocked minima: the first row from some row on whose value is at most so much, in O(log n).

Level 0 are the values; each entry of a level above is the least of `FAN` entries below. A search
runs to the end of its block, climbs while nothing there is small enough, and comes down again. It
works on `sign * value`, so that with sign -1 it finds the first value that is at least so much.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from execkit.arrays import fixed
from execkit.kernels import entry, kernel

_BITS = 4
FAN = 1 << _BITS


class Extremes(NamedTuple):
    """values (n,), read-only. tops : the levels above it, one after the other; starts : where each
    of them begins in `tops`, and the end of the last."""

    values: np.ndarray
    sign: int
    tops: np.ndarray
    starts: np.ndarray


def extremes(values: np.ndarray, sign: int) -> Extremes:
    """Index int64 `values` for `first_at_most` (see the module)."""
    sizes = [len(values)]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // FAN))
    starts = np.concatenate(([0], np.cumsum(sizes[1:], dtype=np.int64)))
    tops = np.empty(int(starts[-1]), dtype=np.int64)
    _build(fixed(values), sign, tops, fixed(starts))
    return Extremes(fixed(values), sign, fixed(tops), fixed(starts))


@entry
def _build(values: np.ndarray, sign: int, tops: np.ndarray, starts: np.ndarray) -> None:
    for at in range(starts[1] if len(starts) > 1 else 0):
        first = at << _BITS
        least = sign * values[first]
        for i in range(first + 1, min(first + FAN, len(values))):
            least = min(least, sign * values[i])
        tops[at] = least
    for level in range(1, len(starts) - 1):
        below, size = starts[level - 1], starts[level] - starts[level - 1]
        for at in range(starts[level + 1] - starts[level]):
            first = at << _BITS
            least = tops[below + first]
            for i in range(first + 1, min(first + FAN, size)):
                least = min(least, tops[below + i])
            tops[starts[level] + at] = least


@kernel
def first_at_most(e: Extremes, begin: int, most: int) -> int:
    """The first row >= `begin` with sign * value <= `most`; the number of rows if there is none."""
    values, sign, tops, starts = e.values, e.sign, e.tops, e.starts
    n = len(values)
    at = begin
    stop = min(n, (at | (FAN - 1)) + 1)
    while at < stop:
        if sign * values[at] <= most:
            return int(at)
        at += 1
    level, levels = 0, len(starts) - 1
    while True:
        if level == levels or at >= (n if level == 0 else starts[level] - starts[level - 1]):
            return int(n)
        at >>= _BITS
        base = starts[level]
        stop = min(starts[level + 1] - base, (at | (FAN - 1)) + 1)
        while at < stop and tops[base + at] > most:
            at += 1
        level += 1
        if at < stop:
            break
    while level > 1:
        at <<= _BITS
        level -= 1
        base = starts[level - 1]
        while tops[base + at] > most:
            at += 1
    at <<= _BITS
    while sign * values[at] > most:
        at += 1
    return int(at)
