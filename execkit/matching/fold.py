"""Positions as a fold of fills, in float64: the fast twin of `PositionTracker` for simulations."""

from __future__ import annotations

import numpy as np

from execkit.kernels import maker


@maker
def fold(
    signed: np.ndarray, price: np.ndarray, size: float, inverse: bool, start: int, cost: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, average price and realised profit so far after each fill of one symbol.

    signed : quantity in units, positive for buys, int64 of shape (n,): whole numbers leave no dust.
    price : of each fill. size : value of one unit per price. start, cost : position before the
    first fill and its average price (NaN: unknown, and so is what comes of it). A fill that crosses
    zero closes the old position at its price and opens the rest there. Profit is in quote currency,
    in base for inverse contracts (1/entry - 1/exit); without fees.
    """
    n = len(signed)
    position, average, realised = np.empty(n, dtype=np.int64), np.empty(n), np.empty(n)
    held, mean, total = start, cost, 0.0
    for i in range(n):
        q, p = signed[i], price[i]
        if held == 0:
            mean = p
        elif held * q > 0:
            if inverse:
                mean = (held + q) / (held / mean + q / p)
            else:
                mean = (held * mean + q * p) / (held + q)
        else:
            closed = min(abs(q), abs(held)) * (1 if held > 0 else -1)
            total += closed * size * ((1 / mean - 1 / p) if inverse else (p - mean))
            if abs(q) > abs(held):
                mean = p
        held += q
        if held == 0:
            mean = 0.0
        position[i], average[i], realised[i] = held, mean, total
    return position, average, realised
