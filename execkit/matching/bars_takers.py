"""Market orders on bars (section 6 of the fill rules): one pass over orders and opens together.

A market order waits for an open, and what a bar cannot give it waits for the next. Who came first
is served first, so the orders that wait are a queue of which only the head takes. Columns of one
value have length 1 here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from execkit.kernels import entry, kernel
from execkit.matching import state as st

ABSENT = np.iinfo(np.int64).min


class Asked(NamedTuple):
    """What the orders ask: columns in the order of the rows."""

    side: np.ndarray
    kind: np.ndarray
    tif: np.ndarray
    post: np.ndarray
    quantity: np.ndarray
    limit: np.ndarray
    stop: np.ndarray
    arrival: np.ndarray
    cancel: np.ndarray
    expiry: np.ndarray


class Offered(NamedTuple):
    """What the bars offer. budget : int64 of each bar, or one for all. last_ns : the last event."""

    ts: np.ndarray
    opened: np.ndarray
    high: np.ndarray
    low: np.ndarray
    budget: np.ndarray
    length_ns: int
    last_ns: int
    half: float
    slip: float
    touch: int
    stops_first: bool


class Ended(NamedTuple):
    """What became of each order."""

    status: np.ndarray
    reason: np.ndarray
    triggered: np.ndarray
    done: np.ndarray


class Fills(NamedTuple):
    """Fills in the order in which they happen."""

    row: np.ndarray
    ts: np.ndarray
    price: np.ndarray
    quantity: np.ndarray


@kernel
def of(column: np.ndarray, row: int):  # type: ignore[no-untyped-def]
    """A row's value in a column that may hold one value for all."""
    return column[row] if len(column) > 1 else column[0]


@kernel
def worse(side: int, price: int, half: float) -> int:
    """A taker's price: half a spread worse than the bar's, rounded to a unit, away."""
    if half == 0.0:
        return price
    if side == st.BUY:
        return int(math.ceil(price * (1.0 + half)))
    return int(math.floor(price * (1.0 - half)))


@kernel
def bar_from(ts: np.ndarray, begin: int, moment: int) -> int:
    """The first bar >= `begin` that opens at `moment` or later; steps grow, so near is cheap."""
    n, low, step = len(ts), begin, 1
    while low + step < n and ts[low + step] < moment:
        low += step
        step *= 2
    if low >= n or ts[low] >= moment:
        return int(low)
    high = min(n, low + step)
    while low + 1 < high:
        middle = (low + high) // 2
        if ts[middle] < moment:
            low = middle
        else:
            high = middle
    return int(high)


@kernel
def over_at(a: Asked, row: int, last_ns: int) -> tuple[int, bool]:
    """When the order ends if nothing fills it (INF: not before the data does), and whether that is
    its cancel, which runs first where both come at one time."""
    cancel, expiry = of(a.cancel, row), of(a.expiry, row)
    cancel = cancel if ABSENT < cancel <= last_ns else st.INF
    expiry = expiry if ABSENT < expiry <= last_ns else st.INF
    return min(cancel, expiry), cancel <= expiry


@kernel
def finish(e: Ended, row: int, status: int, reason: int, ts: int) -> None:
    e.status[row] = status
    e.reason[row] = reason
    e.done[row] = ts


@kernel
def call_off(e: Ended, row: int, ts: int, by_cancel: bool, live: int) -> None:
    """End the order at `ts` unfilled; with INF it stays as it is, `live`."""
    if ts == st.INF:
        finish(e, row, live, st.R_NONE, ABSENT)
    elif by_cancel:
        finish(e, row, st.S_CANCELED, st.R_REQUESTED, ts)
    else:
        finish(e, row, st.S_EXPIRED, st.R_GTD, ts)


@kernel
def stillborn(a: Asked, row: int, last_ns: int, e: Ended) -> bool:
    """Whether the order never comes to the market, and why."""
    arrival = a.arrival[row]
    if arrival > last_ns:
        finish(e, row, st.S_INTENT, st.R_NONE, ABSENT)
        return True
    if of(a.tif, row) == st.GTD and arrival >= of(a.expiry, row):
        finish(e, row, st.S_EXPIRED, st.R_GTD, arrival)
        return True
    return False


@kernel
def _bar_by_bar(a: Asked, o: Offered, first: int, unit: float, price: np.ndarray) -> bool:
    """Whether the orders arrive at the opens of the bars from `first` on, one at each, and each bar
    has enough; then their prices. The loops have no exits, so that they run on many rows at once.
    """
    n, wrong = len(a.arrival), 0
    if first + n > len(o.ts):
        return False
    opens, opened = o.ts[first : first + n], o.opened[first : first + n]
    for i in range(n):
        wrong += a.arrival[i] != opens[i]
    if wrong:
        return False
    if len(o.budget) == 1:
        most = o.budget[0]
        for i in range(len(a.quantity)):
            wrong += a.quantity[i] > most
    else:
        for i in range(n):
            wrong += of(a.quantity, i) > o.budget[first + i]
    up, down = 1.0 + o.half, 1.0 - o.half
    for i in range(n):  # both prices are worked out, which is quicker than to choose before
        bought, sold = np.ceil(opened[i] * up) / unit, np.floor(opened[i] * down) / unit
        price[i] = bought if of(a.side, i) == st.BUY else sold
    return bool(wrong == 0)


@entry
def fill_each(a: Asked, o: Offered, price_unit: float, ts: np.ndarray, price: np.ndarray) -> int:
    """Fill every order whole at its first open; -1 if one of them needs another rule.

    The orders have neither cancel nor expiry. ts, price : of each fill, to be filled; the price not
    in units but as it is. Returns 1 if `ts` was filled; 0 if it was not, because each fill comes at
    the very time of arrival.
    """
    if _bar_by_bar(a, o, bar_from(o.ts, 0, a.arrival[0]), price_unit, price):
        return 0
    at, left, same, before = -1, 0, True, a.arrival[0]
    one_size, many = a.quantity[0], len(a.quantity) > 1
    one_side, sides = a.side[0], len(a.side) > 1
    for row in range(len(a.arrival)):
        moment = a.arrival[row]
        if at < 0 or o.ts[at] < moment:
            at += 1
            if at < len(o.ts) and o.ts[at] < moment:
                at = bar_from(o.ts, at, moment)
            if at >= len(o.ts):
                return -1
            left = of(o.budget, at)
        quantity = a.quantity[row] if many else one_size
        if quantity > left or moment < before:
            return -1
        before = moment
        left -= quantity
        if same and o.ts[at] != moment:
            same = False
            for i in range(row):
                ts[i] = a.arrival[i]
        if not same:
            ts[row] = o.ts[at]
        price[row] = worse(a.side[row] if sides else one_side, o.opened[at], o.half) / price_unit
    return 0 if same else 1


@kernel
def _take(a: Asked, row: int, at: int, o: Offered, left: int, rest: np.ndarray, f: Fills, n: int):  # type: ignore[no-untyped-def]
    """Fill what is there for the order; returns what is left in the bar, and the fills so far."""
    quantity = min(rest[row], left)
    if quantity <= 0:
        return left, n
    f.row[n] = row
    f.ts[n] = o.ts[at]
    f.price[n] = worse(of(a.side, row), o.opened[at], o.half)
    f.quantity[n] = quantity
    rest[row] -= quantity
    return left - quantity, n + 1


@entry
def fill_in_turn(
    a: Asked, turn: np.ndarray, o: Offered, e: Ended, f: Fills, rest: np.ndarray, queue: np.ndarray
) -> int:
    """Run market orders through the opens; returns the number of fills.

    There is at most one fill an order, and one more for each bar that gives all it has. turn : rows
    by arrival, then row. rest, queue : room of one entry an order.
    """
    n_orders, n_bars, n = len(turn), len(o.ts), 0
    head, tail, come, at = 0, 0, 0, 0
    while come < n_orders or head < tail:
        if head == tail:
            at = bar_from(o.ts, at, a.arrival[turn[come]])
        if at >= n_bars:
            break
        moment, left = o.ts[at], of(o.budget, at)
        while head < tail:
            row = queue[head]
            over, by_cancel = over_at(a, row, o.last_ns)
            if over <= moment:
                call_off(e, row, over, by_cancel, st.S_OPEN)
            else:
                left, n = _take(a, row, at, o, left, rest, f, n)
                if rest[row] > 0:
                    break
                finish(e, row, st.S_FILLED, st.R_NONE, moment)
            head += 1
        while come < n_orders and a.arrival[turn[come]] <= moment:
            row = turn[come]
            come += 1
            rest[row] = of(a.quantity, row)
            if stillborn(a, row, o.last_ns, e):
                continue
            over, by_cancel = over_at(a, row, o.last_ns)
            tif = of(a.tif, row)
            if over <= moment:
                call_off(e, row, over, by_cancel, st.S_OPEN)
            elif tif == st.FOK and left < rest[row]:
                finish(e, row, st.S_EXPIRED, st.R_FOK, moment)
            else:
                left, n = _take(a, row, at, o, left, rest, f, n)
                if rest[row] == 0:
                    finish(e, row, st.S_FILLED, st.R_NONE, moment)
                elif tif == st.IOC:
                    finish(e, row, st.S_EXPIRED, st.R_IOC, moment)
                else:
                    queue[tail] = row
                    tail += 1
        at += 1
    while head < tail:
        row = queue[head]
        head += 1
        over, by_cancel = over_at(a, row, o.last_ns)
        live = st.S_OPEN if rest[row] == of(a.quantity, row) else st.S_PARTIAL
        call_off(e, row, over, by_cancel, live)
    for i in range(come, n_orders):
        row = turn[i]
        if not stillborn(a, row, o.last_ns, e):
            over, by_cancel = over_at(a, row, o.last_ns)
            call_off(e, row, over, by_cancel, st.S_OPEN)
    return n
