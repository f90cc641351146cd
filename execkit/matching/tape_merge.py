"""Feeds into one tape: depth rows as integers, and two sorted feeds in running order."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry


@entry
def depth_rows(
    ts: np.ndarray,
    seq: np.ndarray,
    side: np.ndarray,
    price: np.ndarray,
    quantity: np.ndarray,
    snapshot: np.ndarray,
    price_unit: float,
    quantity_unit: float,
    out: np.ndarray,
) -> None:
    """Write `Tape.depth` of rows sorted by (ts, seq); a size that is not finite counts as 0."""
    n, first = len(ts), True
    for i in range(n):
        last = i + 1 == n or ts[i + 1] != ts[i] or seq[i + 1] != seq[i]
        size = quantity[i] if np.isfinite(quantity[i]) else 0.0
        out[0, i] = side[i]
        out[1, i] = np.int64(np.rint(price[i] * price_unit))
        out[2, i] = np.int64(np.rint(size * quantity_unit))
        out[3, i] = 0 if snapshot[i] <= 0 else 1 if first else 2
        out[4, i] = last
        first = last


@entry
def merge(
    ts: np.ndarray,
    seq: np.ndarray,
    other_ts: np.ndarray,
    other_seq: np.ndarray,
    by_seq: bool,
    codes: tuple[int, int],
    out_ts: np.ndarray,
    out_kind: np.ndarray,
    out_at: np.ndarray,
) -> None:
    """Merge two feeds that are sorted by (ts, seq). At equal times the first feed goes before the
    other, or with `by_seq` the lower seq does, at equal ones again the first feed."""
    i, j = 0, 0
    for k in range(len(out_ts)):
        mine = i < len(ts)
        if mine and j < len(other_ts):
            mine = ts[i] < other_ts[j] or (
                ts[i] == other_ts[j] and (not by_seq or seq[i] <= other_seq[j])
            )
        if mine:
            out_ts[k], out_kind[k], out_at[k] = ts[i], codes[0], i
            i += 1
        else:
            out_ts[k], out_kind[k], out_at[k] = other_ts[j], codes[1], j
            j += 1


@entry
def all_positive(values: np.ndarray) -> bool:
    """Whether every value is finite and above 0."""
    good = True
    for value in values:
        good &= 0.0 < value < np.inf
    return good


@entry
def mark(values: np.ndarray, low: int, there: np.ndarray) -> None:
    """Set there[value - low] for each value."""
    for value in values:
        there[value - low] = 1
