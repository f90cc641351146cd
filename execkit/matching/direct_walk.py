"""The fill rules of depth and quotes, visiting only the events that can change an order.

Own orders run in the order of their arrival. A resting order is walked along the entries of its own
level to the next event at which it could fill if it were alone, and waits in a heap for it. At that
event everybody whom it reaches is gathered, and the rules of section 4 apply to all of them
together; then each is walked on. Events at which nobody could fill commute: others trade ahead of
each order by the print's whole quantity, whoever else waits there. So this gives what the event
loop gives, order by order and fill by fill, and costs what happens at the orders' own levels.

Own takings are kept by level beside the index, and end where the level is set afresh.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from execkit.kernels import inlined, kernel
from execkit.matching import state as st
from execkit.matching.levels import COARSE, GONE, OUT, PRINTED, SET, SNAPSHOT, Levels

# scalars
(
    N, EVENTS, AT, POS, N_LOG, N_HEAP, SLOTS, FREE, POSITION, SEQS, TOUCH, QUEUED, THROUGH, CONSUME,
    LADDER, TICK, ON_QUOTES, PRO_RATA, QUEUE_KIND, WORST_AT, _, LAST_END, LAST_POS,
) = range(23)  # fmt: skip
SCALARS = 23
# columns of a waiting order (a row of `w`). KEY: how many keys are within the limit; LEVEL: its own
# level, -1 where nothing ever happens at its price. From K on: its state before event FROM (the
# next entry of its level, who is ahead, what was printed since the level was shown, what it shows,
# and if nothing since which event); from NEXT_K on the same before event NEXT.
(
    ORDER, SIDE, LIMIT, KEY, LEVEL, BOUND, REM, REDUCE, SEQ, LIVE, END_POS, END_TS, REACH, BEFORE,
    FROM, K, FRONT, SEEN, SHOWN, HIDDEN,
    NEXT, NEXT_K, NEXT_FRONT, NEXT_SEEN, NEXT_SHOWN, NEXT_HIDDEN,
) = range(26)  # fmt: skip
COLUMNS = 26
# columns of a level: its entries, the newest one looked at, what is taken after entry OWN_K of the
# size shown there (-1: nothing of ours), the newest order that waits there, and up to which event
# (not included) it is known to have nothing
START, STOP, CURSOR, OWN_K, OWN_TAKEN, OWN_SIZE, HEAD, BARE = range(8)
LEVEL_COLUMNS = 8
BLOCK = 6  # 64 keys are passed over together where none of them has anything
# result columns
STATUS, REASON, DONE = range(3)
ABSENT = np.iinfo(np.int64).min


class Orders(NamedTuple):
    """Orders as columns, and `turn`: their rows in the order of arrival. `end`: the time of cancel
    or expiry, INF without; `expires` 1 where it is an expiry."""

    turn: np.ndarray
    arrival: np.ndarray
    end: np.ndarray
    expires: np.ndarray
    late: np.ndarray  # 1: its expiry is not after its arrival
    side: np.ndarray
    kind: np.ndarray
    tif: np.ndarray
    post: np.ndarray
    reduce: np.ndarray
    limit: np.ndarray
    quantity: np.ndarray


class Run(NamedTuple):
    """What changes while orders are answered."""

    g: np.ndarray  # (SCALARS,)
    f: np.ndarray  # (2,) of the queue model: power, quantity unit
    w: np.ndarray  # (orders, COLUMNS)
    lv: np.ndarray  # (2 n, LEVEL_COLUMNS)
    bare: np.ndarray  # (2, blocks): the least BARE of 64 keys of a side, where it is known
    heap: np.ndarray  # (room, 2): event * 2**31 + seq, and row of w
    group: np.ndarray  # (room,) rows of w at one event
    spare: np.ndarray  # (room,)
    log: np.ndarray  # (5, room): row, ts, price, quantity, maker
    res: np.ndarray  # (orders, 3)
    oco: np.ndarray  # (orders, 3): group, next member, row of w or -1; empty without groups
    closed: np.ndarray  # (groups, 2): first member, 1 once closed


# ------------------------------------------------------------------------------------ searching


@inlined
def until(coarse: np.ndarray, ts: np.ndarray, at: int, t: int) -> int:
    """How many events have ts <= t, where `at` or more have. The times of every 64th event, which
    stay in the cache, are searched first, outwards from `at`."""
    if at >= len(ts) or ts[at] > t:
        return at
    block, step = at // COARSE, 1
    while block + step < len(coarse) and coarse[block + step] <= t:
        block += step
        step *= 2
    high = min(len(coarse), block + step)
    while high - block > 1:
        middle = (block + high) >> 1
        if coarse[middle] <= t:
            block = middle
        else:
            high = middle
    low, high = max(at, block * COARSE), min(len(ts), (block + 1) * COARSE)
    while high - low > 1:
        middle = (low + high) >> 1
        if ts[middle] <= t:
            low = middle
        else:
            high = middle
    return low + 1


@inlined
def seek(e: np.ndarray, lv: np.ndarray, level: int, at: int) -> int:
    """The newest entry of a level at events <= `at`, START - 1 for none. Never asked backwards."""
    k, stop, bound, step = lv[level, CURSOR], lv[level, STOP], at * 8 + 7, 1
    if k + 1 < stop and e[k + 1, 0] <= bound:
        k += 1
        while k + step < stop and e[k + step, 0] <= bound:
            k += step
            step *= 2
        hi = min(stop, k + step)
        while hi - k > 1:
            mid = (k + hi) >> 1
            if e[mid, 0] <= bound:
                k = mid
            else:
                hi = mid
        lv[level, CURSOR] = k
    return k


@inlined
def shown(e: np.ndarray, lv: np.ndarray, g: np.ndarray, level: int, k: int) -> tuple[int, int]:
    """Displayed size and what is taken of it after entry k; (0, 0) where nothing is displayed."""
    own, j = lv[level, OWN_K], k
    size, taken = 0, 0
    while True:
        if j < lv[level, START]:
            return 0, 0
        if j == own:
            size, taken = lv[level, OWN_SIZE], lv[level, OWN_TAKEN]
            break
        kind = e[j, 0] & 7
        if kind in (SET, SNAPSHOT):
            size = e[j, 1]
            break
        if kind in (GONE, OUT):
            return 0, 0
        j -= 1
    if g[CONSUME] and size > 0:
        for m in range(j + 1, k + 1):
            kind = e[m, 0] & 7
            if kind == PRINTED:
                taken = max(taken, min(size, taken + e[m, 1]))
            elif kind > PRINTED:
                taken = max(taken, size)
    return size, taken


@inlined
def worst_key(g: np.ndarray, changes: np.ndarray, side: int, at: int) -> int:
    """Worst displayed key of a side after event `at`; n if it is empty."""
    k, n = g[WORST_AT + side], len(changes)
    while k + 1 < n and changes[k + 1, 0] <= at:
        k += 1
    g[WORST_AT + side] = k
    return changes[k, 1] if k < n and changes[k, 0] <= at else g[N]


# ----------------------------------------------------------------------------------------- heap


@inlined
def push(heap: np.ndarray, g: np.ndarray, key: int, row: int) -> None:
    i = g[N_HEAP]
    g[N_HEAP] = i + 1
    while i > 0:
        up = (i - 1) >> 1
        if heap[up, 0] <= key:
            break
        heap[i, 0], heap[i, 1] = heap[up, 0], heap[up, 1]
        i = up
    heap[i, 0], heap[i, 1] = key, row


@inlined
def pop(heap: np.ndarray, g: np.ndarray) -> None:
    n = g[N_HEAP] - 1
    g[N_HEAP] = n
    key, row, i = heap[n, 0], heap[n, 1], 0
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and heap[child + 1, 0] < heap[child, 0]:
            child += 1
        if heap[child, 0] >= key:
            break
        heap[i, 0], heap[i, 1] = heap[child, 0], heap[child, 1]
        i = child
    heap[i, 0], heap[i, 1] = key, row


# ---------------------------------------------------------------------------------------- fills


@inlined
def live(w: np.ndarray, i: int, ts: int) -> bool:
    return bool(w[i, LIVE] and w[i, END_TS] >= ts)


@inlined
def close(r: Run, i: int, status: int, reason: int, ts: int) -> None:
    order = r.w[i, ORDER]
    r.w[i, LIVE] = 0
    r.res[order, STATUS], r.res[order, REASON], r.res[order, DONE] = status, reason, ts


@inlined
def reducible(g: np.ndarray, side: int) -> int:
    return int(max(0, -g[POSITION] if side == st.BUY else g[POSITION]))


@inlined
def wanted(g: np.ndarray, w: np.ndarray, i: int) -> int:
    left = w[i, REM]
    return int(min(left, reducible(g, w[i, SIDE]))) if w[i, REDUCE] else int(left)


@kernel
def fill(r: Run, i: int, ts: int, price: int, offered: int, maker: int) -> int:
    """Fill as much of `offered` as the order may take; returns the quantity filled."""
    if offered <= 0:
        return 0
    g, w = r.g, r.w
    quantity = min(wanted(g, w, i), offered)
    if quantity <= 0:
        close(r, i, st.S_CANCELED, st.R_REDUCE, ts)
        return 0
    order = w[i, ORDER]
    w[i, REM] -= quantity
    g[POSITION] += quantity if w[i, SIDE] == st.BUY else -quantity
    m = g[N_LOG]
    r.log[0, m], r.log[1, m], r.log[2, m] = order, ts, price
    r.log[3, m], r.log[4, m] = quantity, maker
    g[N_LOG] = m + 1
    if w[i, REM] == 0:
        close(r, i, st.S_FILLED, st.R_NONE, ts)
    else:
        if r.res[order, STATUS] == st.S_OPEN:
            r.res[order, STATUS] = st.S_PARTIAL
        if w[i, REDUCE] and reducible(g, w[i, SIDE]) == 0:
            close(r, i, st.S_CANCELED, st.R_REDUCE, ts)
    if len(r.oco) and r.oco[order, 0] >= 0:
        close_group(r, order, ts)
    return int(quantity)


@kernel
def close_group(r: Run, order: int, ts: int) -> None:
    """The first fill in an OCO group cancels the other members."""
    group = r.oco[order, 0]
    if r.closed[group, 1]:
        return
    r.closed[group, 1] = 1
    other = r.closed[group, 0]
    while other >= 0:
        i = r.oco[other, 2]
        if other != order and i >= 0 and r.w[i, ORDER] == other and live(r.w, i, ts):
            close(r, i, st.S_CANCELED, st.R_OCO, ts)
        other = r.oco[other, 1]


# --------------------------------------------------------------------------------------- taking


@kernel
def take_level(
    r: Run, e: np.ndarray, prices: np.ndarray, i: int, ts: int, level: int, k: int, left: int
) -> int:
    """Take from one level after its entry k (`left` < 0), or say what there is up to `left`."""
    size, taken = shown(e, r.lv, r.g, level, k)
    if size == 0:
        return 0
    g, w = r.g, r.w
    key = level % g[N]
    price = prices[key if level < g[N] else g[N] - 1 - key]
    if not g[ON_QUOTES]:
        if size <= taken:
            return 0
        got = size - taken
        if left < 0:
            got = fill(r, i, ts, price, got, 0)
        taken += got
    else:
        got = 0
        step = g[TICK] if level >= g[N] else -g[TICK]
        within = 1 if w[i, SIDE] == st.BUY else -1
        s = taken // size
        while s < g[LADDER] and price + s * step > 0:
            if w[i, LIMIT] != st.NONE and (price + s * step - w[i, LIMIT]) * within > 0:
                break
            part = (s + 1) * size - taken
            if left < 0:
                part = fill(r, i, ts, price + s * step, part, 0)
            got += part
            taken += part
            s += 1
            if not w[i, LIVE] or (left >= 0 and got >= left):
                break
    if left < 0:
        r.lv[level, OWN_K], r.lv[level, OWN_TAKEN], r.lv[level, OWN_SIZE] = k, taken, size
    return int(got)


@kernel
def take(r: Run, x: Levels, i: int, ts: int, at: int, looks: int) -> int:
    """Walk the opposite side after event `at` within the limit; with `looks` >= 0 only say what is
    there, up to `looks`."""
    g, w = r.g, r.w
    opposite = 1 - w[i, SIDE]
    key = x.best[opposite, at]
    changes = x.worst_bid if opposite == 0 else x.worst_ask
    last = max(worst_key(g, changes, opposite, at), g[N] - w[i, KEY])
    total, whole = 0, -1
    while key >= last:
        block = key >> BLOCK
        if r.bare[opposite, block] > at:
            key = (block << BLOCK) - 1
            continue
        if key + 1 == g[N] or (key + 1) >> BLOCK > block:
            whole = block
        level = opposite * g[N] + key
        if r.lv[level, BARE] <= at:
            k = seek(x.entries, r.lv, level, at)
            got = take_level(r, x.entries, x.prices, i, ts, level, k, looks)
            total += got
            if not w[i, LIVE] or (looks >= 0 and total >= looks) or g[ON_QUOTES]:
                break
            if looks < 0 or got == 0:
                more = k + 1 < r.lv[level, STOP]
                r.lv[level, BARE] = x.entries[k + 1, 0] >> 3 if more else st.INF
        if block << BLOCK == key and whole == block:
            mark_bare(r, opposite, block)
        key -= 1
    return total


@kernel
def mark_bare(r: Run, side: int, block: int) -> None:
    """All keys of a block have been walked and have nothing left."""
    first = side * r.g[N] + (block << BLOCK)
    least = st.INF
    for level in range(first, min(first + (1 << BLOCK), (side + 1) * r.g[N])):
        least = min(least, r.lv[level, BARE])
    r.bare[side, block] = least


@kernel
def take_all_or_none(r: Run, x: Levels, i: int, ts: int, at: int, tif: int) -> None:
    if tif == st.FOK:
        need = max(1, wanted(r.g, r.w, i))
        if take(r, x, i, ts, at, need) < need:
            close(r, i, st.S_EXPIRED, st.R_FOK, ts)
            return
    take(r, x, i, ts, at, -1)
