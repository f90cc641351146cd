"""The run of `direct_walk`: own orders arrive in turn, and between them what they wait for."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry, inlined
from execkit.matching import direct_walk as dw
from execkit.matching import state as st
from execkit.matching.direct_rest import give_back, rest, visit
from execkit.matching.levels import GONE, OUT, SET, SNAPSHOT, Levels, rank_of


@inlined
def slot(r: dw.Run) -> int:
    """A free row."""
    i = r.g[dw.FREE]
    if i >= 0:
        r.g[dw.FREE] = r.w[i, dw.BEFORE]
        return int(i)
    r.g[dw.SLOTS] += 1
    return int(r.g[dw.SLOTS] - 1)


@inlined
def place(r: dw.Run, x: Levels, o: dw.Orders, order: int) -> int:
    """The order as a row, with its limit in terms of the index."""
    i, g, w, n = slot(r), r.g, r.w, r.g[dw.N]
    side, limit = o.side[order], o.limit[order]
    w[i, dw.ORDER], w[i, dw.SIDE], w[i, dw.REM] = order, side, o.quantity[order]
    w[i, dw.REDUCE], w[i, dw.LIVE] = o.reduce[order], 1
    w[i, dw.END_TS], w[i, dw.SEQ] = o.end[order], -1
    if o.kind[order] == st.MARKET:
        w[i, dw.LIMIT], w[i, dw.KEY] = st.NONE, n
        return i
    below = rank_of(x.prices, x.ranks, limit)
    there = 1 if below < n and x.prices[below] == limit else 0
    before = below if side == st.BUY else n - below - there
    w[i, dw.LIMIT], w[i, dw.KEY] = limit, before + there
    w[i, dw.LEVEL] = side * n + before if there else -1
    w[i, dw.BOUND] = 2 * before - 1
    if there and g[dw.TOUCH]:
        w[i, dw.BOUND] = 2 * before + (0 if g[dw.QUEUED] else 1)
    return i


@inlined
def arrive(r: dw.Run, x: Levels, t: st.Tape, o: dw.Orders, order: int, at: int, ts: int) -> None:
    """An order arrives after event `at`."""
    g, w, tif = r.g, r.w, o.tif[order]
    r.res[order, dw.STATUS] = st.S_OPEN
    i = place(r, x, o, order)
    if len(r.oco):
        r.oco[order, 2] = i
    side, limited = w[i, dw.SIDE], o.kind[order] == st.LIMIT_ORDER
    if o.late[order]:
        dw.close(r, i, st.S_EXPIRED, st.R_GTD, ts)
    elif len(r.oco) and r.oco[order, 0] >= 0 and r.closed[r.oco[order, 0], 1]:
        dw.close(r, i, st.S_CANCELED, st.R_OCO, ts)
    elif not limited or (
        x.best[1 - side, at] >= 0 and x.best[1 - side, at] >= g[dw.N] - w[i, dw.KEY]
    ):
        if limited and o.post[order]:
            dw.close(r, i, st.S_REJECTED, st.R_POST, ts)
        else:
            dw.take_all_or_none(r, x, i, ts, at, tif)
    elif tif == st.FOK:
        dw.close(r, i, st.S_EXPIRED, st.R_FOK, ts)
    if w[i, dw.LIVE] and (not limited or tif == st.IOC):
        reason = st.R_IOC if tif == st.IOC else st.R_LIQUIDITY
        dw.close(r, i, st.S_EXPIRED, reason, ts)
    if not w[i, dw.LIVE]:
        give_back(r, i)
        return
    w[i, dw.END_POS] = g[dw.EVENTS]
    if w[i, dw.END_TS] < st.INF:
        if w[i, dw.END_TS] != g[dw.LAST_END]:  # orders that end together are common
            g[dw.LAST_END] = w[i, dw.END_TS]
            g[dw.LAST_POS] = dw.until(x.coarse, t.ts, at + 1, w[i, dw.END_TS])
        w[i, dw.END_POS] = g[dw.LAST_POS]
        expires = o.expires[order]
        r.res[order, dw.STATUS] = st.S_EXPIRED if expires else st.S_CANCELED
        r.res[order, dw.REASON] = st.R_GTD if expires else st.R_REQUESTED
        r.res[order, dw.DONE] = w[i, dw.END_TS]
    rest(r, x, i, at)


@entry
def answer_all(r: dw.Run, x: Levels, t: st.Tape, o: dw.Orders) -> bool:
    """Run all orders, or go on after a call that returned False: the log needs more room."""
    g, n = r.g, len(o.turn)
    while True:
        if g[dw.N_LOG] + g[dw.SLOTS] + g[dw.N] + g[dw.LADDER] + 8 > r.log.shape[1]:
            return False
        until = g[dw.EVENTS]
        if g[dw.AT] < n:
            order = o.turn[g[dw.AT]]
            ts = o.arrival[order]
            if ts > t.ts[len(t.ts) - 1]:
                g[dw.AT] = n  # nor does any later one
                continue
            if ts == g[dw.LAST_END]:  # as are those that come when others end
                g[dw.POS] = g[dw.LAST_POS]
            until = g[dw.POS] = dw.until(x.coarse, t.ts, g[dw.POS], ts)
        if g[dw.N_HEAP] and r.heap[0, 0] >> 31 < until:
            visit(r, x, t)
            continue
        if g[dw.AT] >= n:
            return True
        g[dw.AT] += 1
        arrive(r, x, t, o, order, until - 1, ts)


@inlined
def still_taken(x: Levels, lv: np.ndarray, level: int, before: int) -> bool:
    """Whether something is taken at a level, and was not set afresh before event `before`."""
    k = lv[level, dw.OWN_K]
    if k < 0 or lv[level, dw.OWN_TAKEN] == 0:
        return False
    k += 1
    while k < lv[level, dw.STOP] and x.entries[k, 0] < before * 8:
        if x.entries[k, 0] & 7 in (SET, SNAPSHOT, GONE, OUT):
            return False
        k += 1
    return True


@entry
def differs(x: Levels, a: np.ndarray, b: np.ndarray, before: int) -> bool:
    """Whether it matters from event `before` on which of two rows of levels tells what is taken."""
    for level in range(len(a)):
        same = True
        for column in (dw.OWN_K, dw.OWN_TAKEN, dw.OWN_SIZE):
            same &= a[level, column] == b[level, column]
        if not same and (still_taken(x, a, level, before) or still_taken(x, b, level, before)):
            return True
    return False
