"""Matching against a displayed book: depth and quotes (section 4 of the fill rules)."""

from __future__ import annotations

from execkit.book import find, set_level, shown_at
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
    rank,
    reached,
    start_trail,
    trail_fires,
    triggered,
    wanted,
    within,
)
from execkit.matching.queues import PRO_RATA, update_front
from execkit.matching.resting import count_seen, fill_pro_rata, fill_through, fill_touched


@kernel
def price_of(side: int, key: int) -> int:
    return key if side == st.BUY else -key


@kernel
def best(c: st.Core, side: int) -> int:
    """Best displayed price of a book side (0 bids, 1 asks), NONE if it is empty."""
    n = c.s[st.N_BIDS + side]
    return int(price_of(side, c.levels[3 * side, n - 1])) if n else st.NONE


@kernel
def available_at(c: st.Core, side: int, key: int) -> int:
    """What a displayed level still has, 0 if it is empty."""
    keys, n = c.levels[3 * side], c.s[st.N_BIDS + side]
    at = find(keys, n, key)
    if at == n or keys[at] != key:
        return 0
    return int(max(0, c.levels[3 * side + 1, at] - c.levels[3 * side + 2, at]))


@kernel
def take_slices(c: st.Core, row: int, ts: int, level: int, fills: bool) -> int:
    """Walk the ladder of a quote: slice k lies k ticks beyond it and holds its size again."""
    opposite = 1 - c.orders[st.SIDE, row]
    side3 = 3 * opposite
    size, taken = c.levels[side3 + 1, level], c.levels[side3 + 2, level]
    quote = price_of(opposite, c.levels[side3, level])
    step = c.flags[st.TICK] if opposite == st.SELL else -c.flags[st.TICK]
    total = 0
    k = taken // size
    while k < c.flags[st.LADDER] and quote + k * step > 0 and within(c, row, quote + k * step):
        got = (k + 1) * size - taken
        if fills:
            got = fill(c, row, ts, quote + k * step, got, 0)
            c.levels[side3 + 2, level] += got
        total += got
        taken += got
        k += 1
        if not is_live(c, row) or (not fills and total >= wanted(c, row)):
            break
    return int(total)


@kernel
def take(c: st.Core, row: int, ts: int, fills: bool) -> int:
    """Walk the opposite side within the limit; with `fills` False only say what is there."""
    opposite = 1 - c.orders[st.SIDE, row]
    side3 = 3 * opposite
    total = 0
    for level in range(c.s[st.N_BIDS + opposite] - 1, -1, -1):
        price = price_of(opposite, c.levels[side3, level])
        if not within(c, row, price):
            break
        if c.flags[st.FIDELITY] == st.F_QUOTES:
            return take_slices(c, row, ts, level, fills)
        offered = c.levels[side3 + 1, level] - c.levels[side3 + 2, level]
        if offered <= 0:
            continue
        if not fills:
            total += offered
            if total >= wanted(c, row):
                break
            continue
        got = fill(c, row, ts, price, offered, 0)
        c.levels[side3 + 2, level] += got
        total += got
        if not is_live(c, row):
            break
    return int(total)


@kernel
def take_all_or_none(c: st.Core, row: int, ts: int) -> None:
    """The two rules of a marketable order: FOK looks before it takes, the others take."""
    if c.orders[st.TIF, row] == st.FOK and take(c, row, ts, False) < max(1, wanted(c, row)):
        end(c, row, st.S_EXPIRED, st.R_FOK, ts)
        return
    take(c, row, ts, True)


@kernel
def join_queue(c: st.Core, row: int) -> None:
    """Set the quantity of others ahead at the order's price, INF where the book does not reach it;
    and what was printed there before it came, since the level was last shown."""
    side = c.orders[st.SIDE, row]
    keys, n = c.levels[3 * side], c.s[st.N_BIDS + side]
    key = c.orders[st.LIMIT, row] if side == st.BUY else -c.orders[st.LIMIT, row]
    at = find(keys, n, key)
    c.orders[st.SEEN, row] = 0
    if at < n and keys[at] == key:
        size, taken = c.levels[3 * side + 1, at], c.levels[3 * side + 2, at]
        c.orders[st.FRONT, row] = max(0, size - taken)
        c.orders[st.SEEN, row] = min(size, taken)
    else:
        c.orders[st.FRONT, row] = st.INF if n == 0 or key < keys[0] else 0


@kernel
def enter_limit(c: st.Core, row: int, ts: int, arriving: bool) -> None:
    opposite = 1 - c.orders[st.SIDE, row]
    touch = best(c, opposite)
    marketable = touch != st.NONE and within(c, row, touch)
    if marketable and c.orders[st.POST, row]:
        end(c, row, st.S_REJECTED, st.R_POST, ts)
        return
    if arriving:
        note(c, st.K_ACCEPT, row, ts, 0, 0, 0)
    tif = c.orders[st.TIF, row]
    if marketable:
        take_all_or_none(c, row, ts)
    elif tif == st.FOK:
        end(c, row, st.S_EXPIRED, st.R_FOK, ts)
    if not is_live(c, row):
        return
    if tif == st.IOC:
        end(c, row, st.S_EXPIRED, st.R_IOC, ts)
        return
    join_queue(c, row)
    put(c, row, st.RESTING)


@kernel
def enter_market(c: st.Core, row: int, ts: int) -> None:
    take_all_or_none(c, row, ts)
    if is_live(c, row):
        ioc = c.orders[st.TIF, row] == st.IOC
        end(c, row, st.S_EXPIRED, st.R_IOC if ioc else st.R_LIQUIDITY, ts)


@kernel
def enter_triggered(c: st.Core, row: int, ts: int) -> None:
    triggered(c, row, ts)
    if has_limit(c, row):
        enter_limit(c, row, ts, False)
    else:
        enter_market(c, row, ts)


@kernel
def reference_for(c: st.Core, side: int) -> int:
    """What stops of `side` watch: the last print, or before the first one the opposite touch."""
    return int(c.s[st.LAST]) if c.s[st.LAST] != st.NONE else best(c, 1 - side)


@kernel
def arrive(c: st.Core, row: int, ts: int) -> None:
    kind = c.orders[st.TYPE, row]
    if kind == st.LIMIT_ORDER:
        enter_limit(c, row, ts, True)
        return
    note(c, st.K_ACCEPT, row, ts, 0, 0, 0)
    if kind == st.MARKET:
        enter_market(c, row, ts)
        return
    reference = reference_for(c, c.orders[st.SIDE, row])
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
    """After a reference event: buy stops, sell stops, trailing stops."""
    for side in range(2):
        reference = reference_for(c, side)
        row = next_stop(c, side, reference)
        while row >= 0:
            enter_triggered(c, row, ts)
            reference = reference_for(c, side)
            row = next_stop(c, side, reference)
    for i in range(c.s[st.N_TRAIL]):
        row = c.trails[i]
        if c.orders[st.PLACE, row] != st.TRAILED:
            continue
        reference = reference_for(c, c.orders[st.SIDE, row])
        if reference != st.NONE and trail_fires(c, row, reference):
            enter_triggered(c, row, ts)
    c.s[st.N_TRAIL] = compact(c, c.trails, c.s[st.N_TRAIL], st.TRAILED)


@kernel
def move_fronts(c: st.Core, side: int, key: int, before: int, size: int) -> None:
    """A level that was displayed with `before` was shown with `size`."""
    keys, rows, n = c.rest[2 * side], c.rest[2 * side + 1], c.s[st.REST_BUYS + side]
    i = find(keys, n, key)
    while i < n and keys[i] == key:
        update_front(c, rows[i], before, size)
        i += 1


@kernel
def refresh_fronts(c: st.Core) -> None:
    """After a whole side was replaced: as far as the book reaches, what it shows is ahead."""
    for side in range(2):
        keys, levels = c.levels[3 * side], c.s[st.N_BIDS + side]
        if levels == 0:
            continue
        for i in range(c.s[st.REST_BUYS + side] - 1, -1, -1):
            key, row = c.rest[2 * side, i], c.rest[2 * side + 1, i]
            if key < keys[0]:
                break
            old = 6 + 3 * side
            before = shown_at(c.levels[old], c.levels[old + 1], c.s[st.OLD_BIDS + side], key)
            update_front(c, row, before, shown_at(keys, c.levels[3 * side + 1], levels, key))


@kernel
def cross(c: st.Core, side: int, ts: int) -> None:
    """Displayed quotes that reach our resting orders have traded with them, as far as they go."""
    opposite = 1 - side
    asks3, levels = 3 * opposite, c.s[st.N_BIDS + opposite]
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    strict = 0 if c.flags[st.TOUCH] else 1
    i = c.s[st.REST_BUYS + side] - 1
    while i >= 0:
        key, row, seq = keys[i], rows[i], c.orders[st.SEQ, rows[i]]
        # opposite prices in our key terms: -level key; reached if -level key + strict <= key
        offered = 0
        level = levels - 1
        while level >= 0 and -c.levels[asks3, level] + strict <= key:
            offered += max(0, c.levels[asks3 + 1, level] - c.levels[asks3 + 2, level])
            level -= 1
        if offered == 0:
            return
        left = fill(c, row, ts, c.orders[st.LIMIT, row], offered, 1)
        level = levels - 1
        while left > 0:
            free = max(0, c.levels[asks3 + 1, level] - c.levels[asks3 + 2, level])
            c.levels[asks3 + 2, level] += min(free, left)
            left -= min(free, left)
            level -= 1
        i = rank(c, keys, rows, c.s[st.REST_BUYS + side], key, seq) - 1


@kernel
def book_done(c: st.Core, ts: int) -> None:
    """A message or quote is complete."""
    cross(c, st.BUY, ts)
    cross(c, st.SELL, ts)
    if c.s[st.LAST] == st.NONE:
        run_stops(c, ts)


@kernel
def on_depth(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    """One row of a depth message."""
    snapshot, last = t.depth[3, at], t.depth[4, at]
    if snapshot == 1:  # its first row; 2 marks the further ones
        clear_side(c, 0)
        clear_side(c, 1)
    side, price, size = t.depth[0, at], t.depth[1, at], t.depth[2, at]
    key = price if side == 0 else -price
    keys, sizes, taken = c.levels[3 * side], c.levels[3 * side + 1], c.levels[3 * side + 2]
    before = 0 if snapshot else shown_at(keys, sizes, c.s[st.N_BIDS + side], key)
    c.s[st.N_BIDS + side] = set_level(keys, sizes, taken, c.s[st.N_BIDS + side], key, size)
    if snapshot:
        keep_taken(c, side, key, size)
    else:
        move_fronts(c, side, key, before, size)
    if last:
        if snapshot:
            refresh_fronts(c)
        book_done(c, ts)


@kernel
def clear_side(c: st.Core, side: int) -> None:
    """Empty a side, remembering what was taken from it for levels that are shown again."""
    n = c.s[st.N_BIDS + side]
    for row in range(3 * side, 3 * side + 3):
        for i in range(n):
            c.levels[6 + row, i] = c.levels[row, i]
    c.s[st.OLD_BIDS + side] = n
    c.s[st.N_BIDS + side] = 0


@kernel
def keep_taken(c: st.Core, side: int, key: int, size: int) -> None:
    """A level that was shown before with the same size was not refilled."""
    old = 6 + 3 * side
    was = find(c.levels[old], c.s[st.OLD_BIDS + side], key)
    if was == c.s[st.OLD_BIDS + side] or c.levels[old, was] != key:
        return
    now = find(c.levels[3 * side], c.s[st.N_BIDS + side], key)
    if c.levels[old + 1, was] == size and now < c.s[st.N_BIDS + side]:
        c.levels[3 * side + 2, now] = c.levels[old + 2, was]


@kernel
def on_quote(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    for side in range(2):
        price, size = t.quotes[2 * side, at], t.quotes[2 * side + 1, at]
        clear_side(c, side)
        if size > 0:
            key = price if side == 0 else -price
            c.levels[3 * side, 0] = key
            c.levels[3 * side + 1, 0] = size
            c.levels[3 * side + 2, 0] = 0
            c.s[st.N_BIDS + side] = 1
            keep_taken(c, side, key, size)
    refresh_fronts(c)
    book_done(c, ts)


@kernel
def consume(c: st.Core, side: int, price: int, quantity: int) -> None:
    """A print has traded with the displayed side (0 bids, 1 asks) up to its price."""
    side3 = 3 * side
    key = price if side == 0 else -price
    for level in range(c.s[st.N_BIDS + side] - 1, -1, -1):
        if c.levels[side3, level] < key:
            break
        size, taken = c.levels[side3 + 1, level], c.levels[side3 + 2, level]
        if c.levels[side3, level] > key:
            c.levels[side3 + 2, level] = max(taken, size)
        else:
            c.levels[side3 + 2, level] = max(taken, min(size, taken + quantity))


@kernel
def infer_aggressor(c: st.Core, price: int, aggressor: int) -> int:
    if aggressor != 2:
        return aggressor
    ask, bid = best(c, 1), best(c, 0)
    if ask != st.NONE and price >= ask:
        return st.BUY
    if bid != st.NONE and price <= bid:
        return st.SELL
    return 2


@kernel
def on_print(c: st.Core, t: st.Tape, at: int, ts: int) -> None:
    price, quantity = t.prints[0, at], t.prints[1, at]
    aggressor = infer_aggressor(c, price, t.prints[2, at])
    if aggressor != 2:
        passive = 1 - aggressor
        key = price if passive == st.BUY else -price
        left = fill_through(c, passive, key, quantity, ts)
        if c.flags[st.TOUCH]:
            if c.flags[st.QUEUED] and c.flags[st.QUEUE_KIND] == PRO_RATA:
                fill_pro_rata(c, passive, key, left, available_at(c, passive, key), ts)
            else:
                fill_touched(c, passive, key, left, ts)
        count_seen(c, passive, key, quantity)
        if c.flags[st.CONSUME]:
            consume(c, passive, price, quantity)
    c.s[st.LAST] = price
    run_stops(c, ts)
