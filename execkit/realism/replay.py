"""Real resting orders, each run again through the event loop on the market without itself.

The tape of a recording contains the order that is asked about. What an order would have met had it
not been there is rebuilt for its own price level, from the ids of all orders there:

- its displayed size is left out of the level from its arrival on;
- prints stay as they were, also those that were its own executions: they are what the market
  brought, and whoever is first in the queue gets them. Without the order that is those behind it,
  so each of its executions is taken from them, first come first served, as far as they go; the
  level is smaller by that until they leave by themselves. All others send what they sent.

On this tape the order is sent once more, at its own place among the messages, through the event
loop that simulate() uses, and is taken out where its owner canceled it. Times are message numbers:
print of message i at 2 i, depth after it at 2 i + 1, so equal stamps cannot reorder anything.
"""

from __future__ import annotations

import numpy as np

from execkit.book import find, set_level
from execkit.kernels import entry, kernel
from execkit.matching import state as st
from execkit.matching.loop import DONE, advance_book

# rows of `feed`: the market's events in order; WHO is the side of depth, the aggressor of prints
SEQ, KIND, WHO, PRICE, SIZE = range(5)
# rows of `notes`: one column a message of the recording
TYPE, ORDER, SIDE, AT, QUANTITY = range(5)
ADD, REDUCE, DELETE, EXECUTE = 1, 2, 3, 4  # as LOBSTER numbers them
# rows of `tasks`: one column an order to run again
T_MESSAGE, T_LAST = range(2)
# rows of `facts`: what is known of each order, NEVER where it did not happen
FIRST_FILL, ALL_FILLED, END, HOW, FILLED, AHEAD, OUT_OF_TURN = range(7)
FACTS = 7
# what changes at an order's level: its own size, of those ahead, how many behind, what those
# behind would have lost to its executions
MINE, IN_FRONT, BEHIND, DEBT = range(4)
CANCELED, COMPLETE, UNSEEN, WINDOW = range(4)  # HOW an order's life ended
NEVER = st.INF
BY_ID = -1  # a model's kind of tape: its level shows only who is ahead


@kernel
def copy(target: np.ndarray, source: np.ndarray, n: int) -> None:
    for i in range(n):
        target[i] = source[i]


@kernel
def lost_to_print(line: np.ndarray, left: np.ndarray, n: int, quantity: int) -> int:
    """Let a print take from those behind, first come first served; returns what they gave."""
    gave = 0
    for i in range(n):
        take = min(left[line[i]], quantity - gave)
        left[line[i]] -= take
        gave += take
        if gave == quantity:
            break
    return gave


@kernel
def emit(t: st.Tape, ahead: np.ndarray, n: int, ts: int, kind: int, a: int, b: int, c: int) -> int:
    """Append a depth row (side, price, size) or a print (price, quantity, aggressor)."""
    t.ts[n], t.kind[n], t.at[n] = ts, kind, n
    if kind == st.DEPTH:
        t.depth[0, n], t.depth[1, n], t.depth[2, n] = a, b, c
        t.depth[3, n], t.depth[4, n] = 0, 1
        ahead[n] = c
        if n and t.kind[n - 1] == st.DEPTH and t.ts[n - 1] == ts:
            t.depth[4, n - 1] = 0
    else:
        t.prints[0, n], t.prints[1, n], t.prints[2, n] = a, b, c
    t.ts[n + 1] = st.INF
    return n + 1


@kernel
def hear(
    notes: np.ndarray, row: int, me: int, scratch: np.ndarray, now: np.ndarray, fact: np.ndarray
) -> bool:
    """Take in message `row`, at our price and side; whether it was our cancel.

    scratch (4, orders): stamp, true size, size without us, the line behind us.
    """
    stamp, true, left, line = scratch[0], scratch[1], scratch[2], scratch[3]
    what, who, q = notes[TYPE, row], notes[ORDER, row], notes[QUANTITY, row]
    if what == ADD:
        stamp[who], true[who], left[who], line[now[BEHIND]] = me, q, q, who
        now[BEHIND] += 1
    elif who == notes[ORDER, me]:
        now[MINE] -= q
        if what != EXECUTE:
            return bool(now[MINE] <= 0)
        fact[OUT_OF_TURN] += now[IN_FRONT] > 0
        fact[FILLED] += q
        fact[FIRST_FILL] = min(fact[FIRST_FILL], 2 * row)
        now[DEBT] += lost_to_print(line, left, now[BEHIND], q)
        if now[MINE] <= 0:
            fact[ALL_FILLED], fact[HOW] = 2 * row, COMPLETE
    elif stamp[who] != me:
        now[IN_FRONT] = max(0, now[IN_FRONT] - q)
    else:
        q = min(q, true[who])
        true[who] -= q
        if what == EXECUTE:
            fact[OUT_OF_TURN] += now[MINE] > 0
            now[DEBT] += lost_to_print(line, left, now[BEHIND], q) - q
        else:
            before = left[who]
            left[who] = min(before, true[who])
            now[DEBT] += before - left[who] - q
    return False


@kernel
def own_tape(
    feed: np.ndarray,
    notes: np.ndarray,
    start: int,
    me: int,
    last: int,
    shown: int,
    tape: st.Tape,
    ahead_sizes: np.ndarray,
    scratch: np.ndarray,
    now: np.ndarray,
    fact: np.ndarray,
) -> int:
    """Write the tape that the order of message `me` meets, and what came of it in truth.

    start : a column of `feed` not after message `me`. last : last message to look at. shown : size
    of its level just before. ahead_sizes : room for the sizes that only those ahead would show.
    Returns the number of events.
    """
    side, price = notes[SIDE, me], notes[AT, me]
    sign = 1 if side == st.BUY else -1
    now[MINE], now[IN_FRONT], now[BEHIND], now[DEBT] = notes[QUANTITY, me], shown, 0, 0
    fact[FIRST_FILL] = fact[ALL_FILLED] = NEVER
    fact[END], fact[HOW] = 2 * last + 1, WINDOW
    fact[FILLED], fact[AHEAD], fact[OUT_OF_TURN] = 0, shown, 0
    n, row = 0, me
    tape.ts[0] = st.INF
    for j in range(start, feed.shape[1]):
        seq, who, at, size = feed[SEQ, j], feed[WHO, j], feed[PRICE, j], feed[SIZE, j]
        if seq <= 2 * me + 1:
            continue
        printed = feed[KIND, j] == st.PRINT
        # a print is before the message that says whose order it met, depth is after it
        while row < min(last, seq // 2 - printed):
            row += 1
            here = notes[SIDE, row] == side and notes[AT, row] == price
            here = here and ADD <= notes[TYPE, row] <= EXECUTE
            if here and hear(notes, row, me, scratch, now, fact):
                fact[END], fact[HOW] = 2 * row - 1, CANCELED
                return n
        if seq > 2 * last + 1:
            break
        reached = who != side and sign * at <= sign * price
        if printed and reached:
            n = emit(tape, ahead_sizes, n, seq, st.PRINT, at, size, who)
        elif not printed and who == side and at == price:
            if size == 0 and now[MINE] > 0:  # the level left the visible book, and we with it
                fact[END], fact[HOW] = 2 * row, UNSEEN
                return n
            others = max(0, size - max(0, now[MINE]) - now[DEBT])
            n = emit(tape, ahead_sizes, n, seq, st.DEPTH, side, at, others)
            ahead_sizes[n - 1] = min(now[IN_FRONT], others)
        elif not printed and reached:
            n = emit(tape, ahead_sizes, n, seq, st.DEPTH, who, at, size)
    return n


@kernel
def send(core: st.Core, book: st.Core, notes: np.ndarray, me: int) -> None:
    """A Core that has the market's book of this moment, and one order about to arrive."""
    copy(core.s, book.s, len(book.s))
    for side in range(2):
        for i in range(book.s[st.N_BIDS + side]):
            for row in range(3 * side, 3 * side + 3):
                core.levels[row, i] = book.levels[row, i]
    for name in (
        st.AT_OWN,
        st.AT_TAPE,
        st.N_LOG,
        st.LIVE,
        st.SEQS,
        st.POSITION,
        st.OLD_BIDS,
        st.OLD_ASKS,
    ):
        core.s[name] = 0
    core.s[st.N_ORDERS], core.s[st.N_OWN] = 1, 1
    core.own[0, 0], core.own[1, 0], core.own[2, 0] = 2 * me, st.ARRIVE, 0
    o = core.orders
    for name in range(len(o)):
        o[name, 0] = 0
    o[st.SIDE, 0], o[st.TYPE, 0], o[st.TIF, 0] = notes[SIDE, me], st.LIMIT_ORDER, st.GTC
    o[st.QTY, 0] = o[st.REM, 0] = notes[QUANTITY, me]
    o[st.LIMIT, 0] = notes[AT, me]
    o[st.OCO, 0] = o[st.NEXT, 0] = -1
    for name in (st.WATER, st.TRIG_TS, st.DONE_TS, st.ARRIVAL):
        o[name, 0] = st.NONE


@kernel
def follow(
    core: st.Core, tape: st.Tape, until: np.ndarray, front: np.ndarray, filled: np.ndarray
) -> int:
    """Run to each of `until`, noting what is ahead and what was filled; returns the first fill."""
    first = NEVER
    for g in range(len(until)):
        while core.orders[st.PLACE, 0] != st.ENDED:
            code = advance_book(core, tape, until[g], 0)  # returns after each time with an entry
            first = min(first, first_fill(core))
            if code == DONE:
                break
        front[g] = core.orders[st.FRONT, 0]
        filled[g] = core.orders[st.QTY, 0] - core.orders[st.REM, 0]
    return first


@kernel
def first_fill(core: st.Core) -> int:
    """Time of the first fill in the log, which is emptied."""
    found = NEVER
    for i in range(core.s[st.N_LOG]):
        if core.log[st.L_KIND, i] == st.K_FILL:
            found = min(found, core.log[st.L_TS, i])
    core.s[st.N_LOG] = 0
    return int(found)


@kernel
def look(levels: np.ndarray, n: int, notes: np.ndarray, me: int) -> tuple[int, int]:
    """Displayed size at an order's price, and how many of the `n` levels of its side are better.

    levels : as in `Core`.
    """
    side = notes[SIDE, me]
    key = notes[AT, me] if side == st.BUY else -notes[AT, me]
    keys = levels[3 * side]
    at = find(keys, n, key)
    here = at < n and keys[at] == key
    return (levels[3 * side + 1, at] if here else 0), n - at - (1 if here else 0)


@entry
def survey(
    feed: np.ndarray,
    notes: np.ndarray,
    rows: np.ndarray,
    levels: np.ndarray,
    count: np.ndarray,
    better: np.ndarray,
) -> None:
    """How many better levels each order of `rows` (messages, rising) had before it came.

    levels (6, n) and count (2,): room for the book. It is kept here, for to compile the event loop
    once more would take longer than the whole replay.
    """
    j = 0
    for k in range(len(rows)):
        me = rows[k]
        while j < feed.shape[1] and feed[SEQ, j] < 2 * me:
            if feed[KIND, j] == st.DEPTH:
                side, size = feed[WHO, j], feed[SIZE, j]
                key = feed[PRICE, j] if side == st.BUY else -feed[PRICE, j]
                keys, sizes, taken = levels[3 * side], levels[3 * side + 1], levels[3 * side + 2]
                count[side] = set_level(keys, sizes, taken, count[side], key, size)
            j += 1
        better[k] = look(levels, count[notes[SIDE, me]], notes, me)[1]


@entry
def replay(
    feed: np.ndarray,
    feed_tape: st.Tape,
    notes: np.ndarray,
    tasks: np.ndarray,
    grid: np.ndarray,
    kinds: np.ndarray,
    flags: np.ndarray,
    floats: np.ndarray,
    book: st.Core,
    core: st.Core,
    tape: st.Tape,
    sizes: np.ndarray,
    scratch: np.ndarray,
    now: np.ndarray,
    facts: np.ndarray,
    first: np.ndarray,
    front: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Run each order of `tasks` (rising) under each model.

    feed : the market's events, feed_tape the same as a Tape whose times are message numbers.
    grid (tasks, horizons): message times at which to look; those after an order's end become its
    end. kinds (models,): BY_ID or 0; flags and floats (models, ...): the models. book, core, tape,
    sizes (2, events), scratch and now: room to work in. Out: facts (FACTS, tasks), first (models,
    tasks), front and filled (models, tasks, horizons).
    """
    for k in range(tasks.shape[1]):
        me = tasks[T_MESSAGE, k]
        advance_book(book, feed_tape, 2 * me - 1, st.INF)
        shown = look(book.levels, book.s[st.N_BIDS + notes[SIDE, me]], notes, me)[0]
        n = own_tape(
            feed, notes, book.s[st.AT_TAPE], me, tasks[T_LAST, k], shown,
            tape, sizes[1], scratch, now, facts[:, k],
        )  # fmt: skip
        copy(sizes[0], tape.depth[2], n)
        for g in range(grid.shape[1]):
            grid[k, g] = min(grid[k, g], facts[END, k])
        for m in range(len(kinds)):
            copy(tape.depth[2], sizes[1] if kinds[m] == BY_ID else sizes[0], n)
            copy(core.flags, flags[m], len(core.flags))
            copy(core.floats, floats[m], len(core.floats))
            send(core, book, notes, me)
            if kinds[m] == BY_ID:  # known, also where the book that is shown does not reach it
                advance_book(core, tape, 2 * me, st.INF)
                core.orders[st.FRONT, 0] = shown
            first[m, k] = follow(core, tape, grid[k], front[m, k], filled[m, k])
