"""Orders on bars that do not compete (section 6 of the fill rules), each looked up on its own.

As long as every bar has enough for all that want of it, an order's fate depends on no other order:
the bars that its limit or stop meets are found in `Extremes`. Fills are then put in the order in
which the event loop would make them, and it is checked that every bar had enough.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from execkit.kernels import entry, kernel
from execkit.matching import state as st
from execkit.matching.bars_takers import (
    ABSENT,
    Asked,
    Ended,
    Fills,
    Offered,
    bar_from,
    call_off,
    finish,
    of,
    over_at,
    stillborn,
    worse,
)
from execkit.matching.extremes import Extremes, first_at_most

# how an order came to fill
RESTED, ARRIVED, AT_OPEN, IN_RANGE = range(4)
NOT_YET = -1


class Hits(NamedTuple):
    """The one fill of each order. event : 2 * bar at its open, 2 * bar + 1 in its range; -1 without
    a fill. joined : when it came to rest, likewise, times 2, plus 1 for a stop that had waited."""

    event: np.ndarray
    price: np.ndarray
    how: np.ndarray
    joined: np.ndarray


class Indexes(NamedTuple):
    """Lows and highs of all bars, and of those that have anything to give."""

    low: Extremes
    high: Extremes
    giving_low: Extremes
    giving_high: Extremes


@kernel
def _within(a: Asked, row: int, price: int) -> bool:
    kind = of(a.kind, row)
    if kind != st.LIMIT_ORDER and kind != st.STOP_LIMIT:
        return True
    limit = of(a.limit, row)
    return bool(price <= limit if of(a.side, row) == st.BUY else price >= limit)


@kernel
def _hit(e: Ended, h: Hits, row: int, event: int, ts: int, price: int, how: int) -> None:
    h.event[row], h.price[row], h.how[row] = event, price, how
    finish(e, row, st.S_FILLED, st.R_NONE, ts)


@kernel
def _rest(a: Asked, row: int, o: Offered, x: Indexes, e: Ended, h: Hits, event: int, waited: int):  # type: ignore[no-untyped-def]
    """From `event` on the order rests; what it meets, if anything."""
    h.joined[row] = 2 * event + waited
    over, by_cancel = over_at(a, row, o.last_ns)
    limit, at = of(a.limit, row), (event + 1) // 2
    if of(a.side, row) == st.BUY:
        bar = first_at_most(x.giving_low, at, limit - o.touch)
        opens_there = bar < len(o.ts) and o.opened[bar] <= limit - o.touch
    else:
        bar = first_at_most(x.giving_high, at, -limit - o.touch)
        opens_there = bar < len(o.ts) and o.opened[bar] >= limit + o.touch
    if bar == len(o.ts):
        call_off(e, row, over, by_cancel, st.S_OPEN)
        return
    in_range = not (opens_there and 2 * bar > event)
    ts = o.ts[bar] + (o.length_ns if in_range else 0)
    if ts >= over:
        call_off(e, row, over, by_cancel, st.S_OPEN)
    else:
        _hit(e, h, row, 2 * bar + in_range, ts, limit, RESTED)


@kernel
def _act(  # type: ignore[no-untyped-def]
    a: Asked, row: int, o: Offered, x: Indexes, e: Ended, h: Hits, event: int, base: int, how: int
):
    """The order meets a price that it may take at; False if another rule is needed."""
    bar = event // 2
    ts = o.ts[bar] + (o.length_ns if event & 1 else 0)
    price, tif = worse(of(a.side, row), base, o.half), of(a.tif, row)
    if _within(a, row, price):
        kind = of(a.kind, row)
        limited = kind == st.LIMIT_ORDER or kind == st.STOP_LIMIT
        if of(a.post, row) and not event & 1:
            finish(e, row, st.S_REJECTED, st.R_POST, ts)
            return True
        if of(o.budget, bar) > 0:
            _hit(e, h, row, event, ts, price, how)
            return True
        if not limited and tif != st.IOC and tif != st.FOK:
            return False  # it joins those that wait for the next open
    if tif == st.IOC or tif == st.FOK:
        finish(e, row, st.S_EXPIRED, st.R_IOC if tif == st.IOC else st.R_FOK, ts)
    else:
        _rest(a, row, o, x, e, h, event, 1 if how >= AT_OPEN else 0)
    return True


@kernel
def _stop(a: Asked, row: int, o: Offered, x: Indexes, e: Ended, h: Hits, bar: int):  # type: ignore[no-untyped-def]
    """A stop that the open of `bar`, its first, has not reached."""
    over, by_cancel = over_at(a, row, o.last_ns)
    stop, buy = of(a.stop, row), of(a.side, row) == st.BUY
    met = first_at_most(x.high, bar, -stop) if buy else first_at_most(x.low, bar, stop)
    if met == len(o.ts):
        call_off(e, row, over, by_cancel, st.S_OPEN)
        return True
    first = o.opened[met]
    at_open = met > bar and (first >= stop if buy else first <= stop)
    ts = o.ts[met] + (0 if at_open else o.length_ns)
    if ts >= over:
        call_off(e, row, over, by_cancel, st.S_OPEN)
        return True
    e.triggered[row] = ts
    if at_open:
        return _act(a, row, o, x, e, h, 2 * met, first, AT_OPEN)
    if of(a.post, row) and _within(a, row, stop):
        finish(e, row, st.S_REJECTED, st.R_POST, ts)
        return True
    if buy:
        base = stop + int(math.ceil(o.slip * (o.high[met] - stop)))
    else:
        base = stop - int(math.ceil(o.slip * (stop - o.low[met])))
    return _act(a, row, o, x, e, h, 2 * met + 1, base, IN_RANGE)


@entry
def look_up(a: Asked, o: Offered, x: Indexes, e: Ended, h: Hits, first: int, last: int) -> bool:
    """Answer the orders in rows [first, last), each as if it were alone; False if one cannot be."""
    bar, before = 0, ABSENT
    for row in range(first, last):
        arrival = a.arrival[row]
        h.event[row] = NOT_YET
        if stillborn(a, row, o.last_ns, e):
            continue
        over, by_cancel = over_at(a, row, o.last_ns)
        bar = bar_from(o.ts, bar if arrival >= before else 0, arrival)
        before = arrival
        if bar == len(o.ts) or o.ts[bar] >= over:
            call_off(e, row, over, by_cancel, st.S_OPEN)
            continue
        kind, price = of(a.kind, row), o.opened[bar]
        if kind == st.STOP_MARKET or kind == st.STOP_LIMIT:
            stop = of(a.stop, row)
            reached = price >= stop if of(a.side, row) == st.BUY else price <= stop
            if not reached:
                if not _stop(a, row, o, x, e, h, bar):
                    return False
                continue
            e.triggered[row] = o.ts[bar]
        if not _act(a, row, o, x, e, h, 2 * bar, price, ARRIVED):
            return False
    return True


@kernel
def _earlier(a: Asked, o: Offered, h: Hits, one: int, other: int) -> bool:
    """Whether of two orders that fill in one bar the first does so first."""
    x, y = _phase(a, o, h, one), _phase(a, o, h, other)
    if x != y:
        return bool(x < y)
    how, buy = h.how[one], of(a.side, one) == st.BUY
    if how == RESTED:
        x, y = of(a.limit, one), of(a.limit, other)
        if x != y:
            return bool(x > y if buy else x < y)
        if h.joined[one] != h.joined[other]:
            return bool(h.joined[one] < h.joined[other])
        how = AT_OPEN if h.joined[one] & 1 else ARRIVED
    if how != ARRIVED:
        x, y = of(a.stop, one), of(a.stop, other)
        if x != y:
            return bool(x < y if buy else x > y)
    x, y = a.arrival[one], a.arrival[other]
    return bool(x < y or (x == y and one < other))


@kernel
def _phase(a: Asked, o: Offered, h: Hits, row: int) -> int:
    """The place of a fill among the steps of its bar."""
    how, side = h.how[row], of(a.side, row)
    if not h.event[row] & 1:
        return int(side if how == RESTED else 2 if how == ARRIVED else 3 + side)
    stops_later = 0 if o.stops_first else 4
    return int(7 + side if how == RESTED else 5 + stops_later + side)


@kernel
def _sort(a: Asked, o: Offered, h: Hits, rows: np.ndarray, first: int, n: int) -> None:
    """Heap sort of rows[first : first + n] by `_earlier`."""
    for end in range(2 * n - 1, 0, -1):
        # the first n rounds build the heap, the others take its top off
        if end >= n:
            root, size = end - n, n
        else:
            rows[first], rows[first + end] = rows[first + end], rows[first]
            root, size = 0, end
        while 2 * root + 1 < size:
            child = 2 * root + 1
            if child + 1 < size and _earlier(a, o, h, rows[first + child], rows[first + child + 1]):
                child += 1
            if not _earlier(a, o, h, rows[first + root], rows[first + child]):
                break
            here, there = first + root, first + child
            rows[here], rows[there] = rows[there], rows[here]
            root = child


@entry
def put_in_order(
    a: Asked, o: Offered, h: Hits, ends: np.ndarray, f: Fills, maker: np.ndarray
) -> bool:
    """Gather the hits as fills in their order; False if some bar has not enough for its own.

    ends : zeros, one for each bar and one more, to count in.
    """
    for row in range(len(h.event)):
        if h.event[row] >= 0:
            ends[h.event[row] // 2 + 1] += 1
    for bar in range(1, len(ends)):
        ends[bar] += ends[bar - 1]
    for row in range(len(h.event)):
        if h.event[row] >= 0:
            bar = h.event[row] // 2
            f.row[ends[bar]] = row
            ends[bar] += 1
    first = 0
    for bar in range(len(ends) - 1):
        n = ends[bar] - first
        if n > 1:
            _sort(a, o, h, f.row, first, n)
        left = of(o.budget, bar)
        for i in range(first, first + n):
            row = f.row[i]
            f.ts[i] = o.ts[bar] + (o.length_ns if h.event[row] & 1 else 0)
            f.price[i] = h.price[row]
            f.quantity[i] = of(a.quantity, row)
            maker[i] = h.how[row] == RESTED
            left -= f.quantity[i]
        if left < 0:
            return False
        first += n
    return True
