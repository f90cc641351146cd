"""Matching against prints alone (section 5 of the fill rules)."""

from __future__ import annotations

from execkit.kernels import kernel
from execkit.matching import state as st
from execkit.matching.common import (
    compact,
    end,
    fill,
    has_limit,
    is_live,
    next_stop,
    note,
    put,
    reached,
    start_trail,
    trail_fires,
    triggered,
    wanted,
    within,
)
from execkit.matching.resting import fill_through, fill_touched


@kernel
def enter_limit(c: st.Core, row: int, ts: int, arriving: bool) -> None:
    last = c.s[st.LAST_BUY + c.orders[st.SIDE, row]]
    marketable = last != st.NONE and within(c, row, last)
    if marketable and c.orders[st.POST, row]:
        end(c, row, st.S_REJECTED, st.R_POST, ts)
        return
    if arriving:
        note(c, st.K_ACCEPT, row, ts, 0, 0, 0)
    tif = c.orders[st.TIF, row]
    if marketable:
        put(c, row, st.TAKING)
    elif tif == st.IOC or tif == st.FOK:
        end(c, row, st.S_EXPIRED, st.R_IOC if tif == st.IOC else st.R_FOK, ts)
    else:
        put(c, row, st.RESTING)


@kernel
def enter_triggered(c: st.Core, row: int, ts: int) -> None:
    triggered(c, row, ts)
    if has_limit(c, row):
        enter_limit(c, row, ts, False)
    else:
        put(c, row, st.TAKING)


@kernel
def arrive(c: st.Core, row: int, ts: int) -> None:
    kind = c.orders[st.TYPE, row]
    if kind == st.LIMIT_ORDER:
        enter_limit(c, row, ts, True)
        return
    note(c, st.K_ACCEPT, row, ts, 0, 0, 0)
    if kind == st.MARKET:
        put(c, row, st.TAKING)
        return
    reference = c.s[st.LAST]
    if kind == st.TRAILING:
        start_trail(c, row, reference)
        if reached(c, row, c.orders[st.TRIGGER, row], reference):
            enter_triggered(c, row, ts)
        else:
            put(c, row, st.TRAILED)
    elif reached(c, row, c.orders[st.STOP, row], reference):
        enter_triggered(c, row, ts)
    else:
        put(c, row, st.STOPPED)


@kernel
def run_stops(c: st.Core, ts: int) -> None:
    reference = c.s[st.LAST]
    for side in range(2):
        row = next_stop(c, side, reference)
        while row >= 0:
            enter_triggered(c, row, ts)
            row = next_stop(c, side, reference)
    for i in range(c.s[st.N_TRAIL]):
        row = c.trails[i]
        if c.orders[st.PLACE, row] == st.TRAILED and trail_fires(c, row, reference):
            enter_triggered(c, row, ts)
    c.s[st.N_TRAIL] = compact(c, c.trails, c.s[st.N_TRAIL], st.TRAILED)


@kernel
def take_one(c: st.Core, row: int, ts: int, price: int, offered: int) -> int:
    """A taking order at a print of its side; returns what it filled."""
    tif = c.orders[st.TIF, row]
    if not within(c, row, price):
        if tif == st.IOC or tif == st.FOK:
            end(c, row, st.S_EXPIRED, st.R_IOC if tif == st.IOC else st.R_FOK, ts)
        else:
            c.orders[st.PLACE, row] = st.AWAY
            put(c, row, st.RESTING)
        return 0
    if tif == st.FOK and offered < max(1, wanted(c, row)):
        end(c, row, st.S_EXPIRED, st.R_FOK, ts)
        return 0
    got = fill(c, row, ts, price, offered, 0)
    if tif == st.IOC and is_live(c, row):
        end(c, row, st.S_EXPIRED, st.R_IOC, ts)
    return got


@kernel
def run_takers(c: st.Core, side: int, price: int, offered: int, ts: int) -> int:
    n = c.s[st.N_TAKE]
    for i in range(n):
        row = c.takes[i]
        if c.orders[st.PLACE, row] == st.TAKING and c.orders[st.SIDE, row] == side:
            offered -= take_one(c, row, ts, price, offered)
    c.s[st.N_TAKE] = compact(c, c.takes, n, st.TAKING)
    return int(offered)


@kernel
def run_resting(c: st.Core, side: int, price: int, offered: int, ts: int) -> int:
    key = price if side == st.BUY else -price
    offered = fill_through(c, side, key, offered, ts)
    if c.flags[st.TOUCH] and not c.flags[st.QUEUED]:
        offered = fill_touched(c, side, key, offered, ts)
    return int(offered)


@kernel
def on_print(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    price, offered, aggressor = t.prints[0, at], t.prints[1, at], t.prints[2, at]
    if aggressor != st.SELL:
        offered = run_takers(c, st.BUY, price, offered, ts)
    if aggressor != st.BUY:
        offered = run_takers(c, st.SELL, price, offered, ts)
    if aggressor != st.BUY:
        offered = run_resting(c, st.BUY, price, offered, ts)
    if aggressor != st.SELL:
        offered = run_resting(c, st.SELL, price, offered, ts)
    if aggressor != st.SELL:
        c.s[st.LAST_BUY] = price
    if aggressor != st.BUY:
        c.s[st.LAST_SELL] = price
    c.s[st.LAST] = price
    run_stops(c, ts)
