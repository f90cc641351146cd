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
    """Write `Tape.depth` of rows sorted by (ts, seq); a size that is not finite counts as 0. A loop
    for each row of it, without branches, runs on many entries at once."""
    n = len(ts)
    for i in range(n):
        out[0, i] = side[i]
    for i in range(n):
        out[1, i] = np.int64(np.rint(price[i] * price_unit))
    for i in range(n):
        known = np.abs(quantity[i]) < np.inf
        size = np.rint(quantity[i] * quantity_unit)
        out[2, i] = np.int64(size if known else 0.0)
    for i in range(n - 1):
        out[4, i] = (ts[i + 1] != ts[i]) | (seq[i + 1] != seq[i])
    if n:
        out[4, n - 1] = 1
        out[3, 0] = 1 if snapshot[0] > 0 else 0
    for i in range(1, n):
        out[3, i] = (2 - out[4, i - 1]) if snapshot[i] > 0 else 0


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
    good = 0
    for i in range(len(values)):  # without exits, so that it runs on several values at once
        good += (values[i] > 0.0) & (values[i] < np.inf)
    return bool(good == len(values))


@entry
def mark(values: np.ndarray, low: int, there: np.ndarray) -> None:
    """Set there[value - low] for each value."""
    for value in values:
        there[value - low] = 1
