"""Fees at flat rates: `FeeModel.charge` in one pass over the fills, to the last bit the same."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry, kernel


@kernel
def _rounded(fee: float) -> float:
    return np.rint(fee * 1e12) / 1e12


@entry
def charge_flat(
    quantity: np.ndarray,
    price: np.ndarray,
    is_maker: np.ndarray,
    symbol: np.ndarray,
    size: np.ndarray,
    inverse: np.ndarray,
    in_base: np.ndarray,
    rates: np.ndarray,
    third: float,
    out: np.ndarray,
) -> None:
    """Fill `out`. symbol : codes into size, inverse and in_base. rates : of takers and of makers,
    fractions of notional. is_maker, symbol : of length 1 where it is the same for all fills."""
    n, makers, symbols = len(out), len(is_maker) > 1, len(symbol) > 1
    code = symbol[0]
    if not makers and not symbols and not inverse[code] and not in_base[code] and third == 1.0:
        rate, one = rates[1] if is_maker[0] else rates[0], size[code]
        for i in range(n):
            out[i] = _rounded(rate * (quantity[i] * one * price[i]))
        return
    for i in range(n):
        code = symbol[i] if symbols else symbol[0]
        maker = is_maker[i] if makers else is_maker[0]
        notional = quantity[i] * size[code] * (1.0 if inverse[code] else price[i])
        charged = notional / price[i] if in_base[code] else notional
        out[i] = _rounded((rates[1] if maker else rates[0]) * charged / third)
