"""Resting orders of `direct_walk`: the walk to their next event, and what happens there."""

from __future__ import annotations

import numpy as np

from execkit.book import find
from execkit.kernels import inlined, kernel
from execkit.matching import direct_walk as dw
from execkit.matching import state as st
from execkit.matching.levels import GONE, OUT, PRINTED, Levels, first_within
from execkit.matching.queues import RISK_AVERSE, after_update

# -------------------------------------------------------------------------------------- walking


@inlined
def swept_away(x: Levels, w: np.ndarray, i: int, since: int, before: int) -> bool:
    """Whether a snapshot at events [since, before) reached beyond the order's level, which shows
    nothing there."""
    if since >= before or x.snapshots[-1] < since:
        return False
    first, last = (
        find(x.snapshots, len(x.snapshots), since),
        find(x.snapshots, len(x.snapshots), before),
    )
    return bool(first_within(x.worst, w[i, dw.SIDE], first, last, w[i, dw.KEY] - 1) < last)


@inlined
def walk(r: dw.Run, x: Levels, i: int, stop: int, always: bool) -> None:
    """From FROM along the own level to the first print before event `stop` that reaches past who is
    ahead (`always`: to `stop`); the state there goes to NEXT and the columns after it."""
    n = len(x.snapshots)
    if r.g[dw.QUEUE_KIND] == RISK_AVERSE and (n == 0 or x.snapshots[n - 1] < r.w[i, dw.FROM] - 1):
        walk_quickly(r, x, i, stop, always)
    else:
        walk_with_care(r, x, i, stop, always)


@inlined
def walk_quickly(r: dw.Run, x: Levels, i: int, stop: int, always: bool) -> None:
    """Where all snapshots are behind, and all that a queue depends on is the smallest size shown:
    prints are subtracted, sizes are a minimum, and neither is a branch to be guessed wrong."""
    e, w = x.entries, r.w
    k, front, at = w[i, dw.K], w[i, dw.FRONT], stop
    end = r.lv[w[i, dw.LEVEL], dw.STOP]
    while k < end and e[k, 0] < stop * 8:
        kind, size = e[k, 0] & 7, e[k, 1]
        is_print = kind == PRINTED
        if (is_print & (size > front)) and not always:
            at = e[k, 0] >> 3
            break
        # INF stays as good as infinite
        left = max(0, front - size) if is_print else front
        front = min(front, size) if kind < PRINTED else left
        k += 1
    w[i, dw.NEXT], w[i, dw.NEXT_K], w[i, dw.NEXT_FRONT] = at, k, front
    w[i, dw.NEXT_SEEN], w[i, dw.NEXT_SHOWN], w[i, dw.NEXT_HIDDEN] = 0, 1, at


@kernel
def walk_with_care(r: dw.Run, x: Levels, i: int, stop: int, always: bool) -> None:
    """The same under every queue model, with snapshots that may not reach the level."""
    e, w, queue = x.entries, r.w, r.g[dw.QUEUE_KIND]
    power, unit = r.f[0], r.f[1]
    k, front, seen = w[i, dw.K], w[i, dw.FRONT], w[i, dw.SEEN]
    shown, hidden = w[i, dw.SHOWN], w[i, dw.HIDDEN]
    end, snapshots = r.lv[w[i, dw.LEVEL], dw.STOP], len(x.snapshots) > 0
    at = stop
    while k < end and e[k, 0] < stop * 8:
        when, size = e[k, 0] >> 3, e[k, 1]
        kind = e[k, 0] & 7
        if snapshots and shown == 0 and swept_away(x, w, i, hidden, when):
            front = seen = 0
        if kind == PRINTED:
            if size > front and not always:
                at = when
                break
            seen += size
            if front != st.INF:
                front = max(0, front - size)
        elif kind <= GONE:
            if queue == RISK_AVERSE:
                front = min(front, size)
            else:
                front = after_update(queue, power, unit, front, seen, shown, size)
            seen, shown, hidden = 0, size, when + 1
        elif kind == OUT:
            shown, hidden = 0, when + 1
        k += 1
    if snapshots and shown == 0 and swept_away(x, w, i, hidden, at):
        front = seen = 0
    w[i, dw.NEXT], w[i, dw.NEXT_K], w[i, dw.NEXT_FRONT] = at, k, front
    w[i, dw.NEXT_SEEN], w[i, dw.NEXT_SHOWN], w[i, dw.NEXT_HIDDEN] = seen, shown, hidden


@inlined
def await_next(r: dw.Run, x: Levels, i: int) -> None:
    """Find the next event at which the order could fill if it were alone, and wait for it."""
    g, w = r.g, r.w
    end = w[i, dw.END_POS]
    if w[i, dw.REACH] < w[i, dw.FROM]:
        side, start, bound = w[i, dw.SIDE], w[i, dw.FROM], w[i, dw.BOUND]
        w[i, dw.REACH] = first_within(x.reach, side, start, end, bound)
    if g[dw.QUEUED] and w[i, dw.LEVEL] >= 0:
        walk(r, x, i, min(end, w[i, dw.REACH]), False)
    else:
        w[i, dw.NEXT] = w[i, dw.REACH]
    if w[i, dw.NEXT] < end:
        dw.push(r.heap, g, w[i, dw.NEXT] << 31 | w[i, dw.SEQ], i)


@inlined
def commit(r: dw.Run, i: int, at: int) -> None:
    """The order has been through event `at`: go on from the state there."""
    w = r.w
    w[i, dw.FROM] = at + 1
    for column in range(1, dw.NEXT - dw.FROM):
        w[i, dw.FROM + column] = w[i, dw.NEXT + column]


@inlined
def join_queue(r: dw.Run, x: Levels, i: int, at: int) -> None:
    """Who is ahead after event `at`; INF where the book does not reach the price."""
    g, w = r.g, r.w
    side, level = w[i, dw.SIDE], w[i, dw.LEVEL]
    k = dw.seek(x.entries, r.lv, level, at)
    size, taken = dw.shown(x.entries, r.lv, g, level, k)
    w[i, dw.K], w[i, dw.SHOWN], w[i, dw.HIDDEN] = k + 1, size, at + 1
    w[i, dw.FRONT], w[i, dw.SEEN] = max(0, size - taken), min(size, taken)
    if size == 0:
        worst = dw.worst_key(g, x.worst_bid if side == 0 else x.worst_ask, side, at)
        w[i, dw.FRONT] = 0 if worst < w[i, dw.KEY] else st.INF


@inlined
def give_back(r: dw.Run, i: int) -> None:
    """The row is free for another order."""
    r.w[i, dw.LIVE], r.w[i, dw.SEQ], r.w[i, dw.BEFORE] = 0, -1, r.g[dw.FREE]
    r.g[dw.FREE] = i


@inlined
def forget_dead(r: dw.Run, level: int, at: int) -> None:
    """Give back the rows of the newest orders of a level, as far as they ended by event `at`."""
    w, i = r.w, r.lv[level, dw.HEAD]
    while i >= 0 and (not w[i, dw.LIVE] or w[i, dw.END_POS] <= at + 1):
        before = w[i, dw.BEFORE]
        give_back(r, i)
        i = before
    r.lv[level, dw.HEAD] = i


@inlined
def rest(r: dw.Run, x: Levels, i: int, at: int) -> None:
    """Begin to wait after event `at`."""
    g, w = r.g, r.w
    w[i, dw.FROM], w[i, dw.REACH] = at + 1, -1
    w[i, dw.SEQ] = g[dw.SEQS]
    g[dw.SEQS] += 1
    if g[dw.QUEUED] and w[i, dw.LEVEL] >= 0:
        join_queue(r, x, i, at)
        forget_dead(r, w[i, dw.LEVEL], at)
        w[i, dw.BEFORE] = r.lv[w[i, dw.LEVEL], dw.HEAD]
        r.lv[w[i, dw.LEVEL], dw.HEAD] = i
    await_next(r, x, i)
    lonely = not g[dw.QUEUED] or w[i, dw.LEVEL] < 0
    if lonely and w[i, dw.NEXT] >= w[i, dw.END_POS] and len(r.oco) == 0:
        give_back(r, i)  # nothing will ever happen to it, nor through it to others


# --------------------------------------------------------------------------------------- events


@inlined
def gather(r: dw.Run, at: int, ts: int) -> int:
    """Take all live orders that wait for event `at` out of the heap, earliest first."""
    g, w, n = r.g, r.w, 0
    while g[dw.N_HEAP] and r.heap[0, 0] >> 31 == at:
        seq, i = r.heap[0, 0] & 0x7FFFFFFF, r.heap[0, 1]
        dw.pop(r.heap, g)
        if w[i, dw.SEQ] != seq or w[i, dw.NEXT] != at or not dw.live(w, i, ts):
            continue
        if n and r.group[n - 1] == i:
            continue  # it came to wait twice for the same event
        r.group[n] = i
        n += 1
    return n


@kernel
def after(w: np.ndarray, i: int, j: int) -> bool:
    """Whether row i comes after row j: buys before sells, then the best price first."""
    if w[i, dw.SIDE] != w[j, dw.SIDE]:
        return bool(w[i, dw.SIDE] > w[j, dw.SIDE])
    a, b = w[i, dw.LIMIT], w[j, dw.LIMIT]
    return bool(a < b if w[i, dw.SIDE] == st.BUY else a > b)


@kernel
def best_first(r: dw.Run, n: int) -> None:
    """Sort the group's first n rows by price; within a price the order stays (merge sort)."""
    width = 1
    while width < n:
        for low in range(0, n, 2 * width):
            middle, high = min(n, low + width), min(n, low + 2 * width)
            left, right = low, middle
            for k in range(low, high):
                if left < middle and (
                    right == high or not after(r.w, r.group[left], r.group[right])
                ):
                    r.spare[k] = r.group[left]
                    left += 1
                else:
                    r.spare[k] = r.group[right]
                    right += 1
        for k in range(n):
            r.group[k] = r.spare[k]
        width *= 2


@kernel
def waiting_at(r: dw.Run, x: Levels, level: int, at: int, ts: int, n: int) -> int:
    """Append everybody who waits at a level to the group, earliest first, each brought up to event
    `at`; the dead are forgotten. Returns the new length."""
    w, lv = r.w, r.lv
    first, i, after = n, lv[level, dw.HEAD], -1
    while i >= 0:
        before = w[i, dw.BEFORE]
        if dw.live(w, i, ts):
            if w[i, dw.NEXT] != at:
                walk(r, x, i, at, True)
            r.group[n] = i
            n += 1
            after = i
        else:
            if after < 0:
                lv[level, dw.HEAD] = before
            else:
                w[after, dw.BEFORE] = before
            give_back(r, i)
        i = before
    for k in range((n - first) // 2):
        a, b = first + k, n - 1 - k
        r.group[a], r.group[b] = r.group[b], r.group[a]
    return n


@inlined
def through(r: dw.Run, i: int, offered: int, ts: int) -> int:
    give = r.w[i, dw.REM] if r.g[dw.THROUGH] else offered
    r.w[i, dw.NEXT_FRONT] = 0
    return max(0, offered - dw.fill(r, i, ts, r.w[i, dw.LIMIT], give, 1))


@inlined
def available(r: dw.Run, x: Levels, level: int, at: int) -> int:
    k = dw.seek(x.entries, r.lv, level, at)
    size, taken = dw.shown(x.entries, r.lv, r.g, level, k)
    return max(0, size - taken)


@inlined
def printed(r: dw.Run, x: Levels, n: int, level: int, at: int, ts: int, quantity: int) -> int:
    """A print at a level reaches the first n rows of the group; returns how many with those at its
    price."""
    g, w, printed_here = r.g, r.w, quantity
    key = level % g[dw.N]
    price = x.prices[key if level < g[dw.N] else g[dw.N] - 1 - key]
    beyond = 0
    while beyond < n and w[r.group[beyond], dw.LIMIT] != price:
        beyond += 1
    if g[dw.QUEUED]:
        n = waiting_at(r, x, level, at, ts, beyond) if quantity > 0 else beyond
    for j in range(beyond):
        if dw.live(w, r.group[j], ts):
            quantity = through(r, r.group[j], quantity, ts)
    eaten = available(r, x, level, at - 1) if g[dw.PRO_RATA] and n > beyond else 0
    for j in range(beyond, n):
        i = r.group[j]
        if quantity <= 0:
            break
        if not dw.live(w, i, ts):
            continue
        if g[dw.QUEUED]:
            others = min(quantity, max(0, w[i, dw.NEXT_FRONT] - eaten))
            quantity -= others
            eaten += others
        give = quantity
        if g[dw.PRO_RATA]:
            own = dw.wanted(g, w, i)
            give = int(float(quantity) * float(own) / float(own + eaten)) if own else quantity
        if give > 0:
            quantity -= dw.fill(r, i, ts, price, give, 1)
    if g[dw.QUEUED]:
        for j in range(beyond, n):
            i = r.group[j]
            w[i, dw.NEXT_SEEN] += printed_here
            if w[i, dw.NEXT_FRONT] != st.INF:
                w[i, dw.NEXT_FRONT] = max(0, w[i, dw.NEXT_FRONT] - eaten)
            w[i, dw.NEXT_K] += 1  # past this print
    return n


@kernel
def take_crossed(r: dw.Run, x: Levels, side: int, key: int, at: int, left: int) -> None:
    """Put what a resting order got from displayed quotes down as taken, from the best level on."""
    while left > 0:
        level = side * r.g[dw.N] + key
        k = dw.seek(x.entries, r.lv, level, at)
        size, taken = dw.shown(x.entries, r.lv, r.g, level, k)
        got = min(left, max(0, size - taken))
        if got:
            r.lv[level, dw.OWN_K], r.lv[level, dw.OWN_SIZE] = k, size
            r.lv[level, dw.OWN_TAKEN] = taken + got
            left -= got
        key -= 1


@kernel
def crossed(r: dw.Run, x: Levels, n: int, at: int, ts: int) -> None:
    """Displayed quotes that reach our resting orders have traded with them, as far as they go."""
    g, w = r.g, r.w
    for j in range(n):
        i = r.group[j]
        if not dw.live(w, i, ts):
            continue
        side = w[i, dw.SIDE]
        best = x.best[1 - side, at]
        last = g[dw.N] - w[i, dw.KEY]
        if not g[dw.TOUCH] and w[i, dw.LEVEL] >= 0:
            last += 1
        if g[dw.ON_QUOTES]:
            last = max(last, best)
        key, offered = best, 0
        while key >= last and key >= 0 and offered < w[i, dw.REM]:
            offered += available(r, x, (1 - side) * g[dw.N] + key, at)
            key -= 1
        got = dw.fill(r, i, ts, w[i, dw.LIMIT], offered, 1)
        take_crossed(r, x, 1 - side, best, at, got)


@inlined
def visit(r: dw.Run, x: Levels, t: st.Tape) -> None:
    """What the next event that somebody waits for does to all whom it reaches."""
    at = r.heap[0, 0] >> 31
    ts = t.ts[at]
    n = gather(r, at, ts)
    if n == 0:
        return
    best_first(r, n)
    i = r.group[n - 1]
    if r.w[i, dw.NEXT] < r.w[i, dw.REACH]:  # a print at its own level, which the walk has seen
        level, quantity = r.w[i, dw.LEVEL], x.entries[r.w[i, dw.NEXT_K], 1]
        n = printed(r, x, n, level, at, ts, quantity)
    elif t.kind[at] == st.PRINT:
        side = r.w[i, dw.SIDE]
        level = side * r.g[dw.N] + (x.reach[0][side, at] >> 1)
        n = printed(r, x, n, level, at, ts, t.prints[1, t.at[at]])
    else:
        crossed(r, x, n, at, ts)
    for j in range(n):
        i = r.group[j]
        if r.w[i, dw.LIVE]:
            commit(r, i, at)
            await_next(r, x, i)
