"""The event loop: market and own events of one symbol, in the order of the fill rules.

There is one compiled loop a fidelity, so that a run waits only for the rules it uses.
"""

from __future__ import annotations

from execkit.kernels import entry
from execkit.matching import bars, book, prints
from execkit.matching import state as st
from execkit.matching.common import DONE, FULL, HAPPENED, OWN, own_event, step

__all__ = ["DONE", "FULL", "HAPPENED", "run"]


@entry
def advance_book(c: st.Core, t: st.Tape, until: int, first: int) -> int:
    """Depth or quotes, with prints; see `step` for what is returned."""
    while True:
        code = step(c, t, until, first, False)
        if code < OWN:
            return code
        if code == OWN:
            row = own_event(c)
            if row >= 0:
                book.arrive(c, row, c.orders[st.ARRIVAL, row])
            continue
        cursor = c.s[st.AT_TAPE]
        c.s[st.AT_TAPE] = cursor + 1
        if t.kind[cursor] == st.DEPTH:
            book.on_depth(c, t, t.at[cursor], t.ts[cursor])
        elif t.kind[cursor] == st.QUOTE:
            book.on_quote(c, t, t.at[cursor], t.ts[cursor])
        else:
            book.on_print(c, t, t.at[cursor], t.ts[cursor])


@entry
def advance_prints(c: st.Core, t: st.Tape, until: int, first: int) -> int:
    """Prints alone."""
    while True:
        code = step(c, t, until, first, False)
        if code < OWN:
            return code
        if code == OWN:
            row = own_event(c)
            if row >= 0:
                prints.arrive(c, row, c.orders[st.ARRIVAL, row])
            continue
        cursor = c.s[st.AT_TAPE]
        c.s[st.AT_TAPE] = cursor + 1
        prints.on_print(c, t, t.at[cursor], t.ts[cursor])


@entry
def advance_bars(c: st.Core, t: st.Tape, until: int, first: int) -> int:
    """Bars: own events run before a bar's event at the same time."""
    while True:
        code = step(c, t, until, first, True)
        if code < OWN:
            return code
        if code == OWN:
            row = own_event(c)
            if row >= 0:
                bars.arrive(c, row, c.orders[st.ARRIVAL, row])
            continue
        cursor = c.s[st.AT_TAPE]
        c.s[st.AT_TAPE] = cursor + 1
        if t.kind[cursor] == st.OPEN:
            bars.on_open(c, t, t.at[cursor], t.ts[cursor])
        else:
            bars.on_range(c, t, t.at[cursor], t.ts[cursor])


_LOOPS = {
    st.F_DEPTH: advance_book,
    st.F_QUOTES: advance_book,
    st.F_PRINTS: advance_prints,
    st.F_BARS: advance_bars,
}


def run(c: st.Core, t: st.Tape, until: int, *, stop: bool = False) -> tuple[st.Core, int]:
    """Run events up to time `until` (on bars, market events only before `until`).

    With `stop`, return after the first time at which something was logged. The log is grown as
    needed, so the Core that is returned may be a new one.
    """
    first = int(c.s[st.N_LOG]) if stop else st.INF
    advance = _LOOPS[int(c.flags[st.FIDELITY])]
    while True:
        code = int(advance(c, t, until, first))
        if code != FULL:
            return c, code
        c = st.grow(c, log=2 * c.log.shape[1] + st.log_needed(c))
