"""Tapes that are read piece by piece: the event loop goes on from one piece to the next.

Nothing of a piece is kept but what the rules carry over (the book, own orders, the log) and the
reference prices that somebody is going to look up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from execkit.matching import loop
from execkit.matching import state as st
from execkit.matching.reference_price import Displayed, ReferencePrices, prices_from
from execkit.matching.tape import SymbolTape, check_volume, events_of

_COLUMNS = ("ts_ns", "bid", "ask", "bid_quantity", "ask_quantity", "last")


def run(core: st.Core, market: SymbolTape) -> st.Core:
    """The whole tape, from its first piece."""
    for tape, until, levels in _tapes(market):
        if not np.isnan(core.floats[st.PARTICIPATION]):
            check_volume(tape, market.symbol)
        room = int(max(core.s[st.N_BIDS], core.s[st.N_ASKS])) + levels + 1
        if room > core.levels.shape[1]:
            core = st.grow(core, levels=room)
        core.s[st.AT_TAPE] = 0
        core, _ = loop.run(core, tape, until)
    return core


def reference_at(market: SymbolTape, moments: np.ndarray) -> ReferencePrices:
    """Reference prices that answer for `moments` (ns), the first mid and the end as those of the
    whole tape would, and for no other time."""
    moments = np.unique(moments)
    book, done, seen = Displayed(), 0, False
    kept: list[ReferencePrices] = []
    before: ReferencePrices | None = None
    for tape, until, levels in _tapes(market):
        part = replace(market, events=tape, levels=levels, pieces=None)
        prices = prices_from(part, book)
        if before is not None:
            prices = _joined([before, prices])
        upto = int(np.searchsorted(moments, until, side="right"))
        if len(prices.ts_ns):
            at = prices.index_at(moments[done:upto])
            if not seen and np.isfinite(prices.mid).any():
                at, seen = np.append(at, np.argmax(np.isfinite(prices.mid))), True
            at = np.unique(at)
            kept.append(_rows(prices, at[at >= 0]))
            before = _rows(prices, np.array([len(prices.ts_ns) - 1]))
        done = upto
    return _joined(kept if before is None else [*kept, before])


def _tapes(market: SymbolTape) -> Iterator[tuple[st.Tape, int, int]]:
    """Each piece's events, until when they are all there are, and how many prices they show."""
    assert market.pieces is not None
    for piece in market.pieces():
        tape = events_of(piece.market, market.symbol, market.fidelity, market.units)
        levels = len(np.unique(tape.depth[1])) if market.fidelity == "depth" else 1
        yield tape, piece.until, levels


def _rows(prices: ReferencePrices, at: np.ndarray) -> ReferencePrices:
    return ReferencePrices(
        **{name: getattr(prices, name)[at] for name in _COLUMNS}, on_bars=prices.on_bars
    )


def _joined(parts: list[ReferencePrices]) -> ReferencePrices:
    """One after the other; a row that ends one and begins the next is there twice, which does not
    matter to a look-up."""
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS}
    return ReferencePrices(**columns, on_bars=parts[0].on_bars)
