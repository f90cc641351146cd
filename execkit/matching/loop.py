"""The event loop: market events and own events of one symbol, in the order of the fill rules."""

from __future__ import annotations

from execkit.kernels import kernel
from execkit.matching import bars, book, prints
from execkit.matching import state as st
from execkit.matching.common import end, is_live

DONE, FULL, HAPPENED = 0, 1, 2


@kernel
def _arrive(c: st.Core, row: int, ts: int) -> None:
    orders = c.orders
    orders[st.STATUS, row] = st.S_OPEN
    orders[st.ARRIVAL, row] = ts
    c.s[st.LIVE] += 1
    group = orders[st.OCO, row]
    if orders[st.TIF, row] == st.GTD and ts >= orders[st.EXPIRY, row]:
        end(c, row, st.S_EXPIRED, st.R_GTD, ts)
    elif group >= 0 and c.groups[1, group]:
        end(c, row, st.S_CANCELED, st.R_OCO, ts)
    elif c.flags[st.FIDELITY] == st.F_BARS:
        bars.arrive(c, row, ts)
    elif c.flags[st.FIDELITY] == st.F_PRINTS:
        prints.arrive(c, row, ts)
    else:
        book.arrive(c, row, ts)


@kernel
def _own_event(c: st.Core, ts: int) -> None:
    at = c.s[st.AT_OWN]
    kind, row = c.own[1, at], c.own[2, at]
    c.s[st.AT_OWN] = at + 1
    if kind == st.ARRIVE:
        _arrive(c, row, ts)
    elif is_live(c, row):
        if kind == st.CANCEL:
            end(c, row, st.S_CANCELED, st.R_REQUESTED, ts)
        else:
            end(c, row, st.S_EXPIRED, st.R_GTD, ts)


@kernel
def _market_event(c: st.Core, t: st.Tape, ts: int) -> None:
    cursor = c.s[st.AT_TAPE]
    kind, at = t.kind[cursor], t.at[cursor]
    c.s[st.AT_TAPE] = cursor + 1
    if kind == st.DEPTH:
        book.on_depth(c, t, at, ts)
    elif kind == st.QUOTE:
        book.on_quote(c, t, at, ts)
    elif kind == st.OPEN:
        bars.on_open(c, t, at, ts)
    elif kind == st.RANGE:
        bars.on_range(c, t, at, ts)
    elif c.flags[st.FIDELITY] == st.F_PRINTS:
        prints.on_print(c, t, at, ts)
    else:
        book.on_print(c, t, at, ts)


@kernel
def advance(c: st.Core, t: st.Tape, until: int, first: int) -> int:
    """Run events up to time `until` (on bars, market events only before `until`).

    Returns DONE; FULL if the log needs room for the next event (nothing of it was run: grow the
    log and call again); or HAPPENED, once the log is longer than `first` (INF: never): all events
    of the time of the newest log entry have run, none of a later time has.
    """
    on_bars = c.flags[st.FIDELITY] == st.F_BARS
    while True:
        cursor, at_own = c.s[st.AT_TAPE], c.s[st.AT_OWN]
        market = t.ts[cursor] if cursor < len(t.ts) else st.INF
        own = c.own[0, at_own] if at_own < c.s[st.N_OWN] else st.INF
        now = min(market, own)
        if now == st.INF or now > until:
            return DONE
        own_first = own <= market if on_bars else own < market
        if on_bars and not own_first and now >= until:
            return DONE
        if c.s[st.N_LOG] > first and now > c.log[st.L_TS, c.s[st.N_LOG] - 1]:
            return HAPPENED
        worst = 4 * c.s[st.LIVE] + c.s[st.N_BIDS] + c.s[st.N_ASKS] + c.flags[st.LADDER] + 64
        if c.s[st.N_LOG] + worst > c.log.shape[1]:
            return FULL
        if own_first:
            _own_event(c, now)
        else:
            _market_event(c, t, now)


def run(c: st.Core, t: st.Tape, until: int, *, stop: bool = False) -> tuple[st.Core, int]:
    """`advance`, with the log grown as needed; returns the Core (maybe a new one) and the code."""
    first = int(c.s[st.N_LOG]) if stop else st.INF
    while True:
        code = int(advance(c, t, until, first))
        if code != FULL:
            return c, code
        c = st.grow(c, log=2 * c.log.shape[1] + st.log_needed(c))
