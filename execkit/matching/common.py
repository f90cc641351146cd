"""Rules that every fidelity shares: ordered lists, the log, fills, ends, OCO, reduce-only."""

from __future__ import annotations

import math

import numpy as np

from execkit.book import find
from execkit.kernels import kernel
from execkit.matching import state as st

DONE, FULL, HAPPENED, OWN, MARKET = range(5)


@kernel
def note(c: st.Core, kind: int, row: int, ts: int, price: int, quantity: int, maker: int) -> None:
    """Append to the log; `loop.advance` has made sure that there is room."""
    i = c.s[st.N_LOG]
    c.log[st.L_KIND, i] = kind
    c.log[st.L_ROW, i] = row
    c.log[st.L_TS, i] = ts
    c.log[st.L_PRICE, i] = price
    c.log[st.L_QTY, i] = quantity
    c.log[st.L_MAKER, i] = maker
    c.s[st.N_LOG] = i + 1


@kernel
def rank(c: st.Core, keys: np.ndarray, rows: np.ndarray, n: int, key: int, seq: int) -> int:
    """How many entries come after (key, seq) in priority: a larger key, then an earlier seq, wins.

    Lists are stored from last to first in priority, so this is also the place to insert at.
    """
    lo = find(keys, n, key)
    hi = lo
    while hi < n and keys[hi] == key:  # equal prices: a short run, later arrivals first
        if c.orders[st.SEQ, rows[hi]] <= seq:
            break
        hi += 1
    return hi


@kernel
def insert(c: st.Core, keys: np.ndarray, rows: np.ndarray, n: int, key: int, row: int) -> None:
    at = rank(c, keys, rows, n, key, c.orders[st.SEQ, row])
    for i in range(n, at, -1):
        keys[i] = keys[i - 1]
        rows[i] = rows[i - 1]
    keys[at] = key
    rows[at] = row


@kernel
def remove(c: st.Core, keys: np.ndarray, rows: np.ndarray, n: int, key: int, row: int) -> None:
    at = rank(c, keys, rows, n, key, c.orders[st.SEQ, row])
    for i in range(at, n - 1):
        keys[i] = keys[i + 1]
        rows[i] = rows[i + 1]


@kernel
def rest_key(c: st.Core, row: int) -> int:
    price = c.orders[st.LIMIT, row]
    return int(price if c.orders[st.SIDE, row] == st.BUY else -price)


@kernel
def stop_key(c: st.Core, row: int) -> int:
    """The buy stop that triggers first is the lowest, the sell stop the highest."""
    price = c.orders[st.STOP, row]
    return int(-price if c.orders[st.SIDE, row] == st.BUY else price)


@kernel
def put(c: st.Core, row: int, place: int) -> None:
    """Move an order that waits nowhere to a list, behind all that came there before."""
    side = c.orders[st.SIDE, row]
    c.orders[st.SEQ, row] = c.s[st.SEQS]
    c.s[st.SEQS] += 1
    c.orders[st.PLACE, row] = place
    if place == st.RESTING:
        n = c.s[st.REST_BUYS + side]
        insert(c, c.rest[2 * side], c.rest[2 * side + 1], n, rest_key(c, row), row)
        c.s[st.REST_BUYS + side] = n + 1
    elif place == st.STOPPED:
        n = c.s[st.STOP_BUYS + side]
        insert(c, c.stops[2 * side], c.stops[2 * side + 1], n, stop_key(c, row), row)
        c.s[st.STOP_BUYS + side] = n + 1
    elif place == st.TRAILED:
        c.trails[c.s[st.N_TRAIL]] = row
        c.s[st.N_TRAIL] += 1
    elif place == st.TAKING:
        c.takes[c.s[st.N_TAKE]] = row
        c.s[st.N_TAKE] += 1


@kernel
def detach(c: st.Core, row: int) -> None:
    """Take an order out of its list. Trailing and taking lists drop it in their next `compact`."""
    side = c.orders[st.SIDE, row]
    place = c.orders[st.PLACE, row]
    if place == st.RESTING:
        n = c.s[st.REST_BUYS + side]
        remove(c, c.rest[2 * side], c.rest[2 * side + 1], n, rest_key(c, row), row)
        c.s[st.REST_BUYS + side] = n - 1
    elif place == st.STOPPED:
        n = c.s[st.STOP_BUYS + side]
        remove(c, c.stops[2 * side], c.stops[2 * side + 1], n, stop_key(c, row), row)
        c.s[st.STOP_BUYS + side] = n - 1
    c.orders[st.PLACE, row] = st.AWAY


@kernel
def compact(c: st.Core, rows: np.ndarray, n: int, place: int) -> int:
    """Keep the rows that still wait in `place`; returns how many."""
    kept = 0
    for i in range(n):
        if c.orders[st.PLACE, rows[i]] == place:
            rows[kept] = rows[i]
            kept += 1
    return kept


@kernel
def end(c: st.Core, row: int, status: int, reason: int, ts: int) -> None:
    """The order is over."""
    if c.orders[st.PLACE, row] != st.AWAY:
        detach(c, row)
    c.orders[st.PLACE, row] = st.ENDED
    c.orders[st.STATUS, row] = status
    c.orders[st.REASON, row] = reason
    c.orders[st.DONE_TS, row] = ts
    c.s[st.LIVE] -= 1
    note(c, st.K_END, row, ts, status, reason, 0)


@kernel
def reached_by_range(c: st.Core, row: int) -> bool:
    """Whether the bar now being run also reached this order (for the count of ambiguous bars)."""
    buy = c.orders[st.SIDE, row] == st.BUY
    high, low = c.s[st.RANGE_HIGH], c.s[st.RANGE_LOW]
    place = c.orders[st.PLACE, row]
    if place == st.RESTING:
        if c.orders[st.TRIG_TS, row] == c.s[st.RANGE_TS]:
            return False  # it came to rest inside this bar
        price = c.orders[st.LIMIT, row]
        touch = 1 if c.flags[st.TOUCH] and not c.flags[st.QUEUED] else 0
        return bool(low < price + touch) if buy else bool(high > price - touch)
    if place == st.STOPPED:
        price = c.orders[st.STOP, row]
        return bool(high >= price) if buy else bool(low <= price)
    return False


@kernel
def close_group(c: st.Core, row: int, ts: int) -> None:
    """The first fill in an OCO group cancels the other members."""
    group = c.orders[st.OCO, row]
    if group < 0 or c.groups[1, group]:
        return
    c.groups[1, group] = 1
    other = c.groups[0, group]
    while other >= 0:
        live = c.orders[st.STATUS, other] in (st.S_OPEN, st.S_PARTIAL)
        if other != row and live:
            if c.s[st.IN_RANGE] and reached_by_range(c, other):
                c.s[st.AMBIGUOUS] += 1
            end(c, other, st.S_CANCELED, st.R_OCO, ts)
        other = c.orders[st.NEXT, other]


@kernel
def reducible(c: st.Core, row: int) -> int:
    position = c.s[st.POSITION]
    return int(max(0, -position if c.orders[st.SIDE, row] == st.BUY else position))


@kernel
def wanted(c: st.Core, row: int) -> int:
    """What the order may still fill now."""
    left = c.orders[st.REM, row]
    if c.orders[st.REDUCE, row]:
        return int(min(left, reducible(c, row)))
    return int(left)


@kernel
def fill(c: st.Core, row: int, ts: int, price: int, offered: int, maker: int) -> int:
    """Fill as much of `offered` as the order may take; returns the quantity filled."""
    if offered <= 0:
        return 0
    quantity = min(wanted(c, row), offered)
    if quantity <= 0:
        end(c, row, st.S_CANCELED, st.R_REDUCE, ts)
        return 0
    c.orders[st.REM, row] -= quantity
    c.s[st.POSITION] += quantity if c.orders[st.SIDE, row] == st.BUY else -quantity
    note(c, st.K_FILL, row, ts, price, quantity, maker)
    if c.orders[st.REM, row] == 0:
        end(c, row, st.S_FILLED, st.R_NONE, ts)
    else:
        c.orders[st.STATUS, row] = st.S_PARTIAL
        if c.orders[st.REDUCE, row] and reducible(c, row) == 0:
            end(c, row, st.S_CANCELED, st.R_REDUCE, ts)
    close_group(c, row, ts)
    return int(quantity)


@kernel
def is_live(c: st.Core, row: int) -> bool:
    return bool(c.orders[st.STATUS, row] == st.S_OPEN or c.orders[st.STATUS, row] == st.S_PARTIAL)


@kernel
def within(c: st.Core, row: int, price: int) -> bool:
    """Whether `price` is no worse than the order's limit; market orders have none."""
    if not has_limit(c, row):
        return True
    limit = c.orders[st.LIMIT, row]
    return bool(price <= limit if c.orders[st.SIDE, row] == st.BUY else price >= limit)


@kernel
def has_limit(c: st.Core, row: int) -> bool:
    kind = c.orders[st.TYPE, row]
    return bool(kind == st.LIMIT_ORDER or kind == st.STOP_LIMIT)


@kernel
def triggered(c: st.Core, row: int, ts: int) -> None:
    if c.orders[st.PLACE, row] != st.AWAY:
        detach(c, row)
    c.orders[st.TRIG_TS, row] = ts
    note(c, st.K_TRIGGER, row, ts, 0, 0, 0)


@kernel
def reached(c: st.Core, row: int, level: int, reference: int) -> bool:
    if reference == st.NONE:
        return False
    return bool(reference >= level if c.orders[st.SIDE, row] == st.BUY else reference <= level)


@kernel
def trail_level(c: st.Core, row: int, water: int) -> int:
    if c.orders[st.SIDE, row] == st.BUY:
        return int(math.ceil(water * (1.0 + c.trail[row])))
    return int(math.floor(water * (1.0 - c.trail[row])))


@kernel
def start_trail(c: st.Core, row: int, reference: int) -> None:
    """Set watermark and first trigger of a trailing stop."""
    c.orders[st.WATER, row] = reference
    if reference == st.NONE:
        return
    stop = c.orders[st.STOP, row]
    c.orders[st.TRIGGER, row] = stop if stop > 0 else trail_level(c, row, reference)


@kernel
def move_trail(c: st.Core, row: int, reference: int) -> None:
    """Move the watermark with the market and the trigger after it; never back."""
    water, trigger = c.orders[st.WATER, row], c.orders[st.TRIGGER, row]
    if c.orders[st.SIDE, row] == st.BUY:
        water = min(water, reference)
        trigger = min(trigger, trail_level(c, row, water))
    else:
        water = max(water, reference)
        trigger = max(trigger, trail_level(c, row, water))
    c.orders[st.WATER, row] = water
    c.orders[st.TRIGGER, row] = trigger


@kernel
def next_stop(c: st.Core, side: int, reference: int) -> int:
    """The plain stop of `side` that `reference` triggers first, or -1."""
    n = c.s[st.STOP_BUYS + side]
    if n == 0:
        return -1
    row = c.stops[2 * side + 1, n - 1]
    return int(row) if reached(c, row, c.orders[st.STOP, row], reference) else -1


@kernel
def trail_fires(c: st.Core, row: int, reference: int) -> bool:
    """One reference event of a trailing stop; True if it triggers."""
    if c.orders[st.WATER, row] == st.NONE:
        start_trail(c, row, reference)
        return reached(c, row, c.orders[st.TRIGGER, row], reference)
    if reached(c, row, c.orders[st.TRIGGER, row], reference):
        return True
    move_trail(c, row, reference)
    return False


@kernel
def step(c: st.Core, t: st.Tape, until: int, first: int, on_bars: bool) -> int:
    """What the loop does next: OWN or MARKET event, or the reason to return.

    DONE: nothing is left up to `until`. FULL: the log needs room for the next event. HAPPENED: the
    log is longer than `first` (INF: never), and all events of the time of its newest entry have
    run, none of a later time.
    """
    cursor, at_own = c.s[st.AT_TAPE], c.s[st.AT_OWN]
    market = t.ts[cursor] if cursor < len(t.ts) else st.INF
    own = c.own[0, at_own] if at_own < c.s[st.N_OWN] else st.INF
    own_first = own <= market if on_bars else own < market
    now = own if own_first else market
    if now == st.INF or now > until or (on_bars and not own_first and now == until):
        return DONE
    if c.s[st.N_LOG] > first and now > c.log[st.L_TS, c.s[st.N_LOG] - 1]:
        return HAPPENED
    worst = 4 * c.s[st.LIVE] + c.s[st.N_BIDS] + c.s[st.N_ASKS] + c.flags[st.LADDER] + 64
    if c.s[st.N_LOG] + worst > c.log.shape[1]:
        return FULL
    return OWN if own_first else MARKET


@kernel
def own_event(c: st.Core) -> int:
    """Run the next own event; returns the order that the fidelity has to take in, or -1."""
    at = c.s[st.AT_OWN]
    ts, kind, row = c.own[0, at], c.own[1, at], c.own[2, at]
    c.s[st.AT_OWN] = at + 1
    if kind != st.ARRIVE:
        if is_live(c, row):
            if kind == st.CANCEL:
                end(c, row, st.S_CANCELED, st.R_REQUESTED, ts)
            else:
                end(c, row, st.S_EXPIRED, st.R_GTD, ts)
        return -1
    c.orders[st.STATUS, row] = st.S_OPEN
    c.orders[st.ARRIVAL, row] = ts
    c.s[st.LIVE] += 1
    group = c.orders[st.OCO, row]
    if c.orders[st.TIF, row] == st.GTD and ts >= c.orders[st.EXPIRY, row]:
        end(c, row, st.S_EXPIRED, st.R_GTD, ts)
        return -1
    if group >= 0 and c.groups[1, group]:
        end(c, row, st.S_CANCELED, st.R_OCO, ts)
        return -1
    return int(row)
