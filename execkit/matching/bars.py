"""Matching against bars (section 6 of the fill rules)."""

from __future__ import annotations

import math

from execkit.kernels import kernel
from execkit.matching import state as st
from execkit.matching.bars_takers import worse
from execkit.matching.common import (
    compact,
    end,
    fill,
    has_limit,
    is_live,
    move_trail,
    next_stop,
    note,
    put,
    rank,
    reached,
    reducible,
    start_trail,
    trail_fires,
    triggered,
    wanted,
    within,
)


@kernel
def against(c: st.Core, side: int, price: int) -> int:
    """A taker's price."""
    return worse(side, price, c.floats[st.HALF_SPREAD])


@kernel
def spend(c: st.Core, row: int, ts: int, price: int, maker: int) -> None:
    """Fill from the bar's budget."""
    c.s[st.BUDGET] -= fill(c, row, ts, price, c.s[st.BUDGET], maker)


@kernel
def run_resting(c: st.Core, side: int, price: int, ts: int) -> None:
    """Own limits that a price has passed, or reached where a touch fills."""
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    touch = 0 if c.flags[st.TOUCH] and not c.flags[st.QUEUED] else 1
    least = (price if side == st.BUY else -price) + touch
    i = c.s[st.REST_BUYS + side] - 1
    while i >= 0 and keys[i] >= least and c.s[st.BUDGET] > 0:
        key, row, seq = keys[i], rows[i], c.orders[st.SEQ, rows[i]]
        if not (c.s[st.IN_RANGE] and c.orders[st.TRIG_TS, row] == ts):
            spend(c, row, ts, c.orders[st.LIMIT, row], 1)
        i = rank(c, keys, rows, c.s[st.REST_BUYS + side], key, seq) - 1


@kernel
def take_at(c: st.Core, row: int, ts: int, price: int) -> None:
    """Take at a taker's price that is within the limit; then what time in force says."""
    tif = c.orders[st.TIF, row]
    if tif == st.FOK and c.s[st.BUDGET] < max(1, wanted(c, row)):
        end(c, row, st.S_EXPIRED, st.R_FOK, ts)
        return
    spend(c, row, ts, price, 0)
    if is_live(c, row) and tif == st.IOC:
        end(c, row, st.S_EXPIRED, st.R_IOC, ts)


@kernel
def rest_or_expire(c: st.Core, row: int, ts: int) -> None:
    tif = c.orders[st.TIF, row]
    if tif == st.IOC or tif == st.FOK:
        end(c, row, st.S_EXPIRED, st.R_IOC if tif == st.IOC else st.R_FOK, ts)
    else:
        c.orders[st.PLACE, row] = st.AWAY
        put(c, row, st.RESTING)


@kernel
def act_at_open(c: st.Core, row: int, ts: int, opened: int) -> None:
    """A pending market or limit order meets an open."""
    price = against(c, c.orders[st.SIDE, row], opened)
    if not has_limit(c, row):
        take_at(c, row, ts, price)  # what is left stays pending
        return
    if within(c, row, price):
        if c.orders[st.POST, row]:
            end(c, row, st.S_REJECTED, st.R_POST, ts)
            return
        take_at(c, row, ts, price)
    if is_live(c, row):
        rest_or_expire(c, row, ts)


@kernel
def run_pending(c: st.Core, row: int, ts: int, opened: int) -> None:
    """One order of the pending list at an open."""
    kind = c.orders[st.TYPE, row]
    waits = kind >= st.STOP_MARKET and c.orders[st.TRIG_TS, row] == st.NONE
    if waits:
        if kind == st.TRAILING:
            start_trail(c, row, opened)
        level = c.orders[st.TRIGGER if kind == st.TRAILING else st.STOP, row]
        if not reached(c, row, level, opened):
            c.orders[st.PLACE, row] = st.AWAY
            put(c, row, st.TRAILED if kind == st.TRAILING else st.STOPPED)
            return
        triggered(c, row, ts)
        c.orders[st.PLACE, row] = st.TAKING  # it is in the list that is being run
    act_at_open(c, row, ts, opened)


@kernel
def on_open(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    opened = t.bars[0, at]
    c.s[st.LAST] = opened
    part = c.floats[st.PARTICIPATION]
    if math.isnan(part):
        c.s[st.BUDGET] = 0 if t.volume[at] == 0.0 else st.INF
    else:
        c.s[st.BUDGET] = int(math.floor(t.volume[at] * part))
    if c.s[st.LIVE] == 0:
        return
    run_resting(c, st.BUY, opened, ts)
    run_resting(c, st.SELL, opened, ts)
    for side in range(2):
        row = next_stop(c, side, opened)
        while row >= 0:
            triggered(c, row, ts)
            put(c, row, st.TAKING)
            row = next_stop(c, side, opened)
    for i in range(c.s[st.N_TRAIL]):
        row = c.trails[i]
        if c.orders[st.PLACE, row] == st.TRAILED and trail_fires(c, row, opened):
            triggered(c, row, ts)
            put(c, row, st.TAKING)
    c.s[st.N_TRAIL] = compact(c, c.trails, c.s[st.N_TRAIL], st.TRAILED)
    n = c.s[st.N_TAKE]
    for i in range(n):
        if c.orders[st.PLACE, c.takes[i]] == st.TAKING:
            run_pending(c, c.takes[i], ts, opened)
    c.s[st.N_TAKE] = compact(c, c.takes, c.s[st.N_TAKE], st.TAKING)


@kernel
def act_in_range(c: st.Core, row: int, ts: int, trigger: int, extreme: int) -> None:
    """A stop triggered inside a bar: it slips from its trigger towards the bar's extreme."""
    side = c.orders[st.SIDE, row]
    triggered(c, row, ts)
    slip = c.floats[st.SLIP]
    if side == st.BUY:
        base = trigger + int(math.ceil(slip * (extreme - trigger)))
    else:
        base = trigger - int(math.ceil(slip * (trigger - extreme)))
    price = against(c, side, base)
    if not has_limit(c, row):
        take_at(c, row, ts, price)
        if is_live(c, row):
            put(c, row, st.TAKING)
        return
    if c.orders[st.POST, row] and within(c, row, trigger):
        end(c, row, st.S_REJECTED, st.R_POST, ts)
        return
    if within(c, row, price):
        take_at(c, row, ts, price)
    if is_live(c, row):
        rest_or_expire(c, row, ts)


@kernel
def trail_in_range(
    c: st.Core, row: int, ts: int, high: int, low: int, close: int, late: bool
) -> None:
    """A trailing stop inside a bar, by the model's path through it."""
    buy = c.orders[st.SIDE, row] == st.BUY
    favourable, adverse = (low, high) if buy else (high, low)
    before = c.orders[st.TRIGGER, row]
    move_trail(c, row, favourable)
    after = c.orders[st.TRIGGER, row]
    on_old, on_close = reached(c, row, before, adverse), reached(c, row, after, close)
    on_worst = reached(c, row, after, adverse)
    if on_worst and (late or (not on_old and not on_close)):
        c.s[st.AMBIGUOUS] += 1
    if c.flags[st.STOPS_FIRST]:
        if on_worst:
            act_in_range(c, row, ts, after, adverse)
    elif on_old:
        act_in_range(c, row, ts, before, adverse)
    elif on_close:
        act_in_range(c, row, ts, after, close)


@kernel
def nothing_to_reduce(c: st.Core, row: int) -> bool:
    return bool(c.orders[st.REDUCE, row] and reducible(c, row) == 0)


@kernel
def run_range_stops(
    c: st.Core, ts: int, high: int, low: int, close: int, put_off: bool, late: bool
) -> None:
    """Stops that a bar's range reaches. `put_off` passes over reduce-only stops that have nothing
    to reduce; `late` is the second look at exactly those."""
    for side in range(2):
        extreme = high if side == st.BUY else low
        keys, rows = c.stops[2 * side], c.stops[2 * side + 1]
        i = c.s[st.STOP_BUYS + side] - 1
        while i >= 0 and reached(c, rows[i], c.orders[st.STOP, rows[i]], extreme):
            key, row, seq = keys[i], rows[i], c.orders[st.SEQ, rows[i]]
            if not (put_off and nothing_to_reduce(c, row)):
                c.s[st.AMBIGUOUS] += late
                act_in_range(c, row, ts, c.orders[st.STOP, row], extreme)
            i = rank(c, keys, rows, c.s[st.STOP_BUYS + side], key, seq) - 1
    for i in range(c.s[st.N_TRAIL]):
        row = c.trails[i]
        if c.orders[st.PLACE, row] != st.TRAILED:
            continue
        wait = put_off and nothing_to_reduce(c, row)
        if wait:
            c.orders[st.WAITED, row] = ts
        elif not late or c.orders[st.WAITED, row] == ts:
            trail_in_range(c, row, ts, high, low, close, late)
    c.s[st.N_TRAIL] = compact(c, c.trails, c.s[st.N_TRAIL], st.TRAILED)


@kernel
def on_range(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    high, low, close = t.bars[1, at], t.bars[2, at], t.bars[3, at]
    c.s[st.LAST] = close
    if c.s[st.LIVE] == 0:
        return
    c.s[st.IN_RANGE], c.s[st.RANGE_TS] = 1, ts
    c.s[st.RANGE_HIGH], c.s[st.RANGE_LOW] = high, low
    stops_first = c.flags[st.STOPS_FIRST] == 1
    if stops_first:
        run_range_stops(c, ts, high, low, close, True, False)
    run_resting(c, st.BUY, low, ts)
    run_resting(c, st.SELL, high, ts)
    run_range_stops(c, ts, high, low, close, False, stops_first)
    c.s[st.IN_RANGE] = 0


@kernel
def arrive(c: st.Core, row: int, ts: int) -> None:
    note(c, st.K_ACCEPT, row, ts, 0, 0, 0)
    put(c, row, st.TAKING)
