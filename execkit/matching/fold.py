"""Positions as a fold of fills, in float64: the fast twin of `PositionTracker` for simulations."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry


@entry
def fold(
    signed: np.ndarray, price: np.ndarray, size: float, inverse: bool, start: float, entry: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, average price and realised profit after each fill of one symbol.

    signed : quantity, positive for buys, shape (n,). price : of each fill. size : contract size.
    start, entry : position and its average price before the first fill. A fill that crosses zero
    closes the old position at its price and opens the rest there. Profit is in quote currency, in
    base for inverse contracts (1/entry - 1/exit); without fees.
    """
    n = len(signed)
    position, average, realised = np.empty(n), np.empty(n), np.empty(n)
    held, mean = start, entry
    for i in range(n):
        q, p = signed[i], price[i]
        gain = 0.0
        if held == 0.0 or held * q > 0:
            if inverse:
                mean = (held + q) / ((held / mean if held else 0.0) + q / p)
            else:
                mean = ((held * mean if held else 0.0) + q * p) / (held + q)
            held += q
        else:
            closed = -min(abs(q), abs(held)) * np.sign(q)  # signed like the old position
            gain = closed * size * ((1 / mean - 1 / p) if inverse else (p - mean))
            held += q
            if held * q > 0:
                mean = p
        # sums of decimal lots leave dust far below any lot; a flat position is exactly 0
        if abs(held) < 1e-12 * max(1.0, abs(q)):
            held, mean = 0.0, 0.0
        position[i], average[i], realised[i] = held, mean, gain
    return position, average, realised
