"""Own resting orders that a public print reaches: the rules that books and prints share."""

from __future__ import annotations

from execkit.book import find
from execkit.kernels import kernel
from execkit.matching import state as st
from execkit.matching.common import fill, rank, wanted


@kernel
def fill_through(c: st.Core, side: int, price_key: int, offered: int, ts: int) -> int:
    """Own resting orders that a print went beyond; returns what of the print is left."""
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    i = c.s[st.REST_BUYS + side] - 1
    while i >= 0 and keys[i] > price_key and (offered > 0 or c.flags[st.THROUGH_FULL]):
        key, row, seq = keys[i], rows[i], c.orders[st.SEQ, rows[i]]
        limit = c.orders[st.LIMIT, row]
        give = c.orders[st.REM, row] if c.flags[st.THROUGH_FULL] else offered
        c.orders[st.FRONT, row] = 0
        offered = max(0, offered - fill(c, row, ts, limit, give, 1))
        i = rank(c, keys, rows, c.s[st.REST_BUYS + side], key, seq) - 1
    while i >= 0 and keys[i] > price_key:  # swept as well, though nothing was left for us
        c.orders[st.FRONT, rows[i]] = 0
        i -= 1
    return int(offered)


@kernel
def fill_touched(c: st.Core, side: int, price_key: int, offered: int, ts: int) -> int:
    """Own resting orders at the print's price, behind what is ahead; returns what is left."""
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    eaten = 0
    i = find(keys, c.s[st.REST_BUYS + side], price_key + 1) - 1
    while i >= 0 and keys[i] == price_key and offered > 0:
        row, seq = rows[i], c.orders[st.SEQ, rows[i]]
        if c.flags[st.QUEUED]:
            others = min(offered, max(0, c.orders[st.FRONT, row] - eaten))
            offered -= others
            eaten += others
        if offered > 0:
            offered -= fill(c, row, ts, c.orders[st.LIMIT, row], offered, 1)
        i = rank(c, keys, rows, c.s[st.REST_BUYS + side], price_key, seq) - 1
    if eaten:
        n = c.s[st.REST_BUYS + side]
        i = find(keys, n, price_key)
        while i < n and keys[i] == price_key:
            if c.orders[st.FRONT, rows[i]] != st.INF:
                c.orders[st.FRONT, rows[i]] = max(0, c.orders[st.FRONT, rows[i]] - eaten)
            i += 1
    return int(offered)


@kernel
def fill_pro_rata(c: st.Core, side: int, price_key: int, offered: int, others: int, ts: int) -> int:
    """Own resting orders at the print's price, where a venue shares a print out by size; returns
    what is left."""
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    i = find(keys, c.s[st.REST_BUYS + side], price_key + 1) - 1
    while i >= 0 and keys[i] == price_key and offered > 0:
        row, seq = rows[i], c.orders[st.SEQ, rows[i]]
        own = wanted(c, row)
        # in floats: the product of two quantities does not fit an integer
        share = int(float(offered) * float(own) / float(own + others)) if own else offered
        offered -= fill(c, row, ts, c.orders[st.LIMIT, row], share, 1)
        i = rank(c, keys, rows, c.s[st.REST_BUYS + side], price_key, seq) - 1
    return int(offered)


@kernel
def count_seen(c: st.Core, side: int, price_key: int, quantity: int) -> None:
    """What a print took at its price will be missing when the level is shown again."""
    keys, rows = c.rest[2 * side], c.rest[2 * side + 1]
    n = c.s[st.REST_BUYS + side]
    i = find(keys, n, price_key)
    while i < n and keys[i] == price_key:
        c.orders[st.SEEN, rows[i]] += quantity
        i += 1
