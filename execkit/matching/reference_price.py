"""The price of a moment on a tape: what slippage and open positions are measured against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from execkit.book import set_level
from execkit.kernels import entry
from execkit.matching import state as st
from execkit.matching.tape import SymbolTape


@dataclass(frozen=True, eq=False)
class ReferencePrices:
    """Times (rising, ties possible: the last wins) and what was known from each on.

    On depth and quotes: best displayed bid and ask with their sizes; `last` is NaN. On prints and
    bars there is no book: bid and ask are NaN and `last` is the last print, or the bar's open at
    its open and its close at its end. NaN = a side that is not there.
    """

    ts_ns: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    bid_quantity: np.ndarray
    ask_quantity: np.ndarray
    last: np.ndarray
    on_bars: bool

    @cached_property
    def mid(self) -> np.ndarray:
        """(bid + ask) / 2 of an uncrossed two-sided book, else `last` without a book, else NaN."""
        with np.errstate(invalid="ignore"):
            mid = np.where(self.bid < self.ask, (self.bid + self.ask) / 2, np.nan)
        none = np.isnan(self.bid) & np.isnan(self.ask)
        return np.where(none, self.last, mid)

    @cached_property
    def first_mid(self) -> float:
        """The first mid that is known, NaN if none ever is."""
        known = np.isfinite(self.mid)
        return float(self.mid[np.argmax(known)]) if known.any() else math.nan

    @cached_property
    def _has_book(self) -> bool:
        return not bool(np.isnan(self.bid).all())

    def index_at(self, ts_ns: np.ndarray) -> np.ndarray:
        """Position of the newest row known at each moment, -1 before the first.

        On bars, an event at exactly that moment is not yet known: an order decided at a bar's close
        knows that close, not the next open.
        """
        side = "left" if self.on_bars else "right"
        return np.searchsorted(self.ts_ns, ts_ns, side=side) - 1  # type: ignore[call-overload]

    def mid_at(self, ts_ns: np.ndarray, max_age_ns: int | None = None) -> np.ndarray:
        """Mid at each moment; NaN before the first row, and where the newest row is older than
        `max_age_ns`, which only a book that should be shown all the time can be too old for."""
        at = self.index_at(ts_ns)
        seen = np.maximum(at, 0)
        known = at >= 0
        if max_age_ns is not None and self._has_book:
            known &= ts_ns - self.ts_ns[seen] <= max_age_ns
        return np.where(known, self.mid[seen], np.nan)


@entry
def _touches(t: st.Tape, levels: np.ndarray, n: np.ndarray, out: np.ndarray) -> int:
    """Best bid, size, ask, size after each complete depth message; returns how many.

    `levels` (6, room) and `n` (2,) are the book before and after.
    """
    rows = 0
    for i in range(len(t.ts)):
        if t.kind[i] != st.DEPTH:
            continue
        at = t.at[i]
        if t.depth[3, at] == 1:
            n[:] = 0
        side = t.depth[0, at]
        key = t.depth[1, at] if side == 0 else -t.depth[1, at]
        part = levels[3 * side : 3 * side + 3]
        n[side] = set_level(part[0], part[1], part[2], n[side], key, t.depth[2, at])
        if t.depth[4, at]:
            out[0, rows] = t.ts[i]
            for s in range(2):
                out[1 + 2 * s, rows] = st.NONE
                if n[s]:
                    out[1 + 2 * s, rows] = abs(levels[3 * s, n[s] - 1])
                    out[2 + 2 * s, rows] = levels[3 * s + 1, n[s] - 1]
            rows += 1
    return rows


def reference_prices(market: SymbolTape) -> ReferencePrices:
    """The reference prices of one symbol's tape, made once and kept with it."""
    if market.pieces is not None:  # nothing is known before it is read: `stream.reference_at`
        none, ts = np.zeros(0), np.zeros(0, dtype=np.int64)
        return ReferencePrices(ts, none, none, none, none, none, market.fidelity == "bars")
    return market.kept.once("reference", lambda: prices_from(market))


class Displayed:
    """The book as far as a tape has been read: what the next piece of it begins with."""

    def __init__(self) -> None:
        self.levels = np.zeros((6, 1), dtype=np.int64)
        self.n = np.zeros(2, dtype=np.int64)

    def make_room(self, more: int) -> None:
        """Room for `more` levels beyond those displayed now."""
        short = int(self.n.max()) + more + 1 - self.levels.shape[1]
        if short > 0:
            self.levels = np.pad(self.levels, ((0, 0), (0, short)))


def prices_from(market: SymbolTape, book: Displayed | None = None) -> ReferencePrices:
    """The reference prices of a tape that goes on from `book`, and leaves in it what it ends with;
    without one it begins with an empty book."""
    tape = market.tape
    if market.fidelity == "depth":
        table = np.zeros((5, int(tape.depth[4].sum())), dtype=np.int64)
        shown = book or Displayed()
        shown.make_room(market.levels)
        _touches(tape, shown.levels, shown.n, table)
        ts, bid, bid_size, ask, ask_size = table
    elif market.fidelity == "quotes":
        rows = tape.at[tape.kind == st.QUOTE]
        ts = tape.ts[tape.kind == st.QUOTE]
        bid, bid_size, ask, ask_size = tape.quotes[:, rows]
        bid = np.where(bid_size > 0, bid, st.NONE)
        ask = np.where(ask_size > 0, ask, st.NONE)
    else:
        return _last_prices(market)
    p, q = market.units.price, market.units.quantity
    nan = np.full(len(ts), np.nan)
    return ReferencePrices(
        ts_ns=ts,
        bid=np.where(bid == st.NONE, np.nan, bid / p),
        ask=np.where(ask == st.NONE, np.nan, ask / p),
        bid_quantity=np.where(bid == st.NONE, np.nan, bid_size / q),
        ask_quantity=np.where(ask == st.NONE, np.nan, ask_size / q),
        last=nan,
        on_bars=False,
    )


def _last_prices(market: SymbolTape) -> ReferencePrices:
    tape = market.tape
    if market.fidelity == "bars":
        last = tape.bars[np.where(tape.kind == st.OPEN, 0, 3), tape.at]
    else:
        last = tape.prints[0, tape.at]
    nan = np.full(len(tape.ts), np.nan)
    on_bars = market.fidelity == "bars"
    return ReferencePrices(tape.ts, nan, nan, nan, nan, last / market.units.price, on_bars)
