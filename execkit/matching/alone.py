"""Each order walked down the book on its own: what it would have paid had no other been there.

`simulate` lets the orders of a run share what the book holds. To compare real orders with a model
each has to meet the book as it was when it arrived, whatever the others in the table took.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from execkit.book import set_level
from execkit.errors import InvalidInput
from execkit.kernels import kernel, maker
from execkit.market import MarketData
from execkit.matching import state as st
from execkit.matching.tape import build_tape

FILLED, PAID, PAID_INVERSE, TOUCH, SHOWN, BID, ASK, AWAY = range(8)
COLUMNS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """Arrays of shape (orders,); prices and quantities as in the market, NaN without a book.

    mid : of the touch as last shown, before the prints since then.
    filled : what the book could give. average : its average price (harmonic for inverse
    instruments, as the venue reports it), NaN if nothing.
    touch, shown : best opposite price and its size, less what prints took since it was shown.
    away : how far the last print since the touch was shown went beyond the order's own side of it,
    in the order's favour; 0 if none did.
    tick : the instrument's tick.
    """

    mid: np.ndarray
    filled: np.ndarray
    average: np.ndarray
    touch: np.ndarray
    shown: np.ndarray
    away: np.ndarray
    tick: float


def walks(
    market: MarketData,
    symbol: str,
    ts_ns: np.ndarray,
    is_buy: np.ndarray,
    quantity: np.ndarray,
    *,
    prints: bool = True,
) -> Walks:
    """Walk each order alone down the depth of one symbol.

    Market events with a time <= ts_ns come first, as in `simulate`. With `prints`, a public print
    takes from the displayed book until the next message (rule 4 of `execkit.models`, but what it
    went through is gone, and the last level of a side stays). `ts_ns` may be in any order.

    Raises `InvalidInput` where the symbol has no depth.
    """
    if market.depth is None or symbol not in market.depth.present:
        raise InvalidInput("symbol", symbol, "there is no depth of it to walk down")
    made = build_tape(market, symbol, "depth")
    tape, units = made.tape, made.units
    upto = np.searchsorted(tape.ts, ts_ns, side="right")
    order = np.argsort(upto, kind="stable")
    out = np.empty((len(ts_ns), COLUMNS))
    out[order] = _walks(
        upto[order],
        is_buy[order],
        units.quantities(quantity)[order],
        tape.kind,
        tape.at,
        tape.depth,
        tape.prints,
        made.levels + 2,
        prints,
    )
    out[:, [PAID, TOUCH, BID, ASK, AWAY]] /= units.price
    out[:, PAID_INVERSE] *= units.price
    inverse = made.instrument.kind == "inverse"
    filled = out[:, FILLED]
    some = np.where(filled > 0, filled, np.nan)
    average = some / out[:, PAID_INVERSE] if inverse else out[:, PAID] / some
    return Walks(
        mid=(out[:, BID] + out[:, ASK]) / 2,
        filled=filled / units.quantity,
        average=average,
        touch=out[:, TOUCH],
        shown=out[:, SHOWN] / units.quantity,
        away=out[:, AWAY],
        tick=float(made.instrument.tick_size),
    )


@maker
def _walks(
    upto: np.ndarray,
    is_buy: np.ndarray,
    quantity: np.ndarray,
    kind: np.ndarray,
    at: np.ndarray,
    depth: np.ndarray,
    prints: np.ndarray,
    capacity: int,
    consume: bool,
) -> np.ndarray:
    keys, sizes = np.zeros((2, capacity), np.int64), np.zeros((2, capacity), np.int64)
    unused, count = np.zeros(capacity, np.int64), np.zeros(2, np.int64)
    best, last = np.zeros(2, np.int64), np.zeros(2, np.int64)  # last print: its side + 1, price
    out = np.full((len(upto), COLUMNS), np.nan)
    event, fresh = 0, False
    for i in range(len(upto)):
        while event < upto[i]:
            row = at[event]
            if kind[event] == st.DEPTH:
                if depth[3, row] == 1:
                    count[:] = 0
                side = depth[0, row]
                key = depth[1, row] if side == 0 else -depth[1, row]
                count[side] = set_level(
                    keys[side], sizes[side], unused, count[side], key, depth[2, row]
                )
                fresh = True
            elif consume and count.min() > 0:
                if fresh:
                    fresh = _show(keys, count, best, last)
                _consume(keys, sizes, count, best, last, prints[:, row])
            event += 1
        if count.min() == 0:
            continue
        if fresh:
            fresh = _show(keys, count, best, last)
        side = 1 if is_buy[i] else 0
        _take(keys[side], sizes[side], count[side], quantity[i], out[i])
        out[i, BID], out[i, ASK] = best[0], -best[1]
        # a seller's print below the bid is in favour of a buyer, and the other way round
        out[i, AWAY] = 0
        if last[0] == 2 and is_buy[i]:
            out[i, AWAY] = max(0, best[0] - last[1])
        elif last[0] == 1 and not is_buy[i]:
            out[i, AWAY] = max(0, last[1] + best[1])
    return out


@kernel
def _show(keys: np.ndarray, count: np.ndarray, best: np.ndarray, last: np.ndarray) -> bool:
    """Note the touch that a message has just shown; no print came since."""
    best[0], best[1] = keys[0, count[0] - 1], keys[1, count[1] - 1]
    last[0] = 0
    return False


@kernel
def _consume(
    keys: np.ndarray,
    sizes: np.ndarray,
    count: np.ndarray,
    best: np.ndarray,
    last: np.ndarray,
    public: np.ndarray,
) -> None:
    """Take a print out of the side it hit; an unknown aggressor is told from the touch."""
    price, quantity, aggressor = public[0], public[1], public[2]
    if aggressor > 1:
        if price >= -best[1]:
            aggressor = 0
        elif price <= best[0]:
            aggressor = 1
        else:
            return
    side = 1 - aggressor
    key = -price if side == 1 else price
    n = count[side]
    while n > 1 and keys[side, n - 1] > key:
        n -= 1
    if keys[side, n - 1] == key:
        sizes[side, n - 1] -= quantity
        if sizes[side, n - 1] <= 0:
            if n > 1:
                n -= 1
            else:
                sizes[side, 0] = 0
    count[side] = n
    last[0], last[1] = aggressor + 1, price


@kernel
def _take(keys: np.ndarray, sizes: np.ndarray, n: int, quantity: int, out: np.ndarray) -> None:
    out[FILLED], out[PAID], out[PAID_INVERSE] = 0.0, 0.0, 0.0
    out[TOUCH], out[SHOWN] = abs(keys[n - 1]), sizes[n - 1]
    left, level = quantity, n - 1
    while left > 0 and level >= 0:
        part, price = min(left, sizes[level]), abs(keys[level])
        out[FILLED] += part
        out[PAID] += part * price
        out[PAID_INVERSE] += part / price
        left -= part
        level -= 1
