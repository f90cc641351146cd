"""From a tape of depth or quotes to its `Levels`: one pass over the book, one sort by level."""

from __future__ import annotations

import numpy as np

from execkit.kernels import entry, inlined, kernel
from execkit.matching import state as st
from execkit.matching.levels import (
    COARSE,
    FAN,
    FAR,
    GONE,
    KEPT,
    OUT,
    PRINTED,
    SET,
    SNAPSHOT,
    SWEPT,
    Levels,
    rank_of,
)
from execkit.matching.tape import SymbolTape
from execkit.matching.tape_merge import mark

DENSE = 1 << 24
"""Widest span of prices, in units, for which ranks are looked up in a table."""

# columns of the book while the tape is read, a row a level: what it shows, what it showed before
# the snapshot being read, and 1 where a print went beyond it since it was last set
SIZE, OLD, SWEPT_NOW = range(3)
# scalars of the reading; those of sides come in twos
(
    N, AT, ENTRIES, SNAPSHOTS, IN_SNAPSHOT, ODD, LOW, _, BEST, _, WORST, _, COUNT, _,
    OLD_BEST, _, OLD_WORST, _, WORSTS, _,
) = range(20)  # fmt: skip


@inlined
def _emit(
    out: np.ndarray, counts: np.ndarray, s: np.ndarray, level: int, when: int, size: int
) -> None:
    m = s[ENTRIES]
    out[m, 0] = level
    out[m, 1] = when
    out[m, 2] = size
    counts[level + 1] += 1
    s[ENTRIES] = m + 1


@inlined
def _show(book: np.ndarray, s: np.ndarray, side: int, key: int, size: int) -> None:
    """Set the displayed size of a level, and keep best, worst and count."""
    level = side * s[N] + key
    was = book[level, SIZE]
    book[level, SIZE] = size
    if was == 0 and size > 0:
        s[COUNT + side] += 1
        s[BEST + side] = max(s[BEST + side], key)
        s[WORST + side] = min(s[WORST + side], key)
    elif was > 0 and size == 0:
        s[COUNT + side] -= 1
        if s[COUNT + side] == 0:
            s[BEST + side], s[WORST + side] = -1, s[N]
        elif key == s[BEST + side]:
            while book[level, SIZE] == 0:
                level -= 1
            s[BEST + side] = level - side * s[N]
        elif key == s[WORST + side]:
            while book[level, SIZE] == 0:
                level += 1
            s[WORST + side] = level - side * s[N]


@kernel
def _begin_snapshot(book: np.ndarray, s: np.ndarray) -> None:
    for side in range(2):
        first = side * s[N]
        for level in range(first + s[WORST + side], first + s[BEST + side] + 1):
            book[level, OLD] = book[level, SIZE]
            book[level, SIZE] = 0
        s[OLD_WORST + side], s[OLD_BEST + side] = s[WORST + side], s[BEST + side]
        s[COUNT + side], s[BEST + side], s[WORST + side] = 0, -1, s[N]
    s[IN_SNAPSHOT] = 1


@kernel
def _end_snapshot(
    book: np.ndarray, out: np.ndarray, counts: np.ndarray, s: np.ndarray, at: int
) -> None:
    """What the new book shows; what it shows no more is gone where it reaches, else out of sight.

    A level with the size that it had before was not refilled.
    """
    for side in range(2):
        lowest = min(s[OLD_WORST + side], s[WORST + side])
        for key in range(lowest, max(s[OLD_BEST + side], s[BEST + side]) + 1):
            level = side * s[N] + key
            was, size = book[level, OLD], book[level, SIZE]
            if size > 0:
                kind = KEPT if was == size else SNAPSHOT
                if kind == SNAPSHOT:
                    book[level, SWEPT_NOW] = 0
                _emit(out, counts, s, level, at * 8 + kind, size)
            elif was > 0:
                kind = GONE if key >= s[WORST + side] else OUT
                _emit(out, counts, s, level, at * 8 + kind, 0)
            book[level, OLD] = 0
    s[IN_SNAPSHOT] = 0


@inlined
def _sweep(
    book: np.ndarray,
    out: np.ndarray,
    counts: np.ndarray,
    s: np.ndarray,
    at: int,
    side: int,
    key: int,
) -> None:
    """A print at `key` went beyond every better level of the side."""
    first = side * s[N]
    for level in range(first + s[BEST + side], first + key, -1):
        if book[level, SIZE] > 0 and not book[level, SWEPT_NOW]:
            book[level, SWEPT_NOW] = 1
            _emit(out, counts, s, level, at * 8 + SWEPT, 0)


@inlined
def _passive(s: np.ndarray, aggressor: int, rank: int) -> int:
    """The side whose orders a print traded with, -1 where the book does not tell."""
    if aggressor != 2:
        return 1 - aggressor
    if s[BEST + 1] >= 0 and rank >= s[N] - 1 - s[BEST + 1]:
        return st.SELL
    if s[BEST] >= 0 and rank <= s[BEST]:
        return st.BUY
    return -1


@entry
def _read(
    t: st.Tape,
    prices: np.ndarray,
    ranks: np.ndarray,
    book: np.ndarray,
    out: np.ndarray,
    counts: np.ndarray,
    s: np.ndarray,
    touch: np.ndarray,
    reach: np.ndarray,
    done: np.ndarray,
    worst: np.ndarray,
) -> bool:
    """Read on from where the last call stopped; False if there is no room for more entries."""
    n, most = s[N], 2 * s[N] + 4
    for i in range(s[AT], len(t.ts)):
        if s[ENTRIES] + most > len(out):
            s[AT] = i
            return False
        reach[0, i], reach[1, i] = FAR, FAR
        row, whole = t.at[i], False
        if t.kind[i] == st.DEPTH:
            side, size, snapshot = t.depth[0, row], t.depth[2, row], t.depth[3, row]
            rank = rank_of(prices, ranks, t.depth[1, row])
            key = rank if side == 0 else n - 1 - rank
            if size < 0 or (snapshot != 1 and (snapshot == 0) == (s[IN_SNAPSHOT] == 1)):
                s[ODD] = 1
                return True
            if snapshot == 1:
                _begin_snapshot(book, s)
            if snapshot:
                _show(book, s, side, key, size)
            else:
                book[side * n + key, SWEPT_NOW] = 0
                _emit(out, counts, s, side * n + key, i * 8 + SET, size)
                _show(book, s, side, key, size)
            if size > 0:
                s[LOW + 1 - side] = min(s[LOW + 1 - side], 2 * (n - 1 - key))
            whole = t.depth[4, row] == 1
        elif t.kind[i] == st.PRINT:
            rank = rank_of(prices, ranks, t.prints[0, row])
            side = _passive(s, t.prints[2, row], rank)
            if side >= 0:
                key = rank if side == 0 else n - 1 - rank
                reach[side, i] = 2 * key + 1
                if t.prints[1, row] > 0:
                    _emit(out, counts, s, side * n + key, i * 8 + PRINTED, t.prints[1, row])
                _sweep(book, out, counts, s, i, side, key)
        else:
            _quote(t, prices, ranks, book, s, i)
            whole = True
        if whole:
            if s[IN_SNAPSHOT]:
                _end_snapshot(book, out, counts, s, i)
                _note_snapshot(s, done, i)
            _complete(s, touch, reach, worst, i)
        else:
            touch[0, i], touch[1, i] = touch[0, i - 1], touch[1, i - 1]
    s[AT] = len(t.ts)
    return True


@inlined
def _note_snapshot(s: np.ndarray, done: np.ndarray, i: int) -> None:
    m = s[SNAPSHOTS]
    done[m, 0] = i
    for side in range(2):
        done[m, 1 + side] = s[WORST + side] if s[COUNT + side] else FAR
    s[SNAPSHOTS] = m + 1


@inlined
def _complete(
    s: np.ndarray, touch: np.ndarray, reach: np.ndarray, worst: np.ndarray, i: int
) -> None:
    """A message is whole: what it showed nearest to orders of either side, and the touch now."""
    for side in range(2):
        reach[side, i] = s[LOW + side]
        s[LOW + side] = FAR
        touch[side, i] = s[BEST + side]
        m = s[WORSTS + side]
        if m == 0 or worst[side, m - 1, 1] != s[WORST + side]:
            worst[side, m, 0], worst[side, m, 1] = i, s[WORST + side]
            s[WORSTS + side] = m + 1


@kernel
def _quote(
    t: st.Tape, prices: np.ndarray, ranks: np.ndarray, book: np.ndarray, s: np.ndarray, i: int
) -> None:
    """A quote is a snapshot of one level a side."""
    _begin_snapshot(book, s)
    for side in range(2):
        size = t.quotes[2 * side + 1, t.at[i]]
        if size > 0:
            rank = rank_of(prices, ranks, t.quotes[2 * side, t.at[i]])
            key = rank if side == 0 else s[N] - 1 - rank
            _show(book, s, side, key, size)
            s[LOW + 1 - side] = 2 * (s[N] - 1 - key)


@entry
def _scatter(found: np.ndarray, place: np.ndarray, out: np.ndarray) -> None:
    """Entries by level, each level's in the order in which they came, from its `place` on."""
    for e in range(len(found)):
        level = found[e, 0]
        at = place[level]
        out[at, 0], out[at, 1] = found[e, 1], found[e, 2]
        place[level] = at + 1


@entry
def _block_minima(values: np.ndarray, out: np.ndarray) -> None:
    n = values.shape[1]
    for side in range(2):
        for i in range(out.shape[1]):
            least = np.int32(FAR)
            for j in range(i * FAN, min(n, (i + 1) * FAN)):
                least = min(least, values[side, j])
            out[side, i] = least


def _tree(values: np.ndarray) -> tuple[np.ndarray, ...]:
    tree = [values]
    for _ in range(4):
        minima = np.empty((2, -(-tree[-1].shape[1] // FAN)), dtype=np.int32)
        _block_minima(tree[-1], minima)
        tree.append(minima)
    return tuple(tree)


def _prices_of(t: st.Tape, quotes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sorted prices of a tape, and the table of their ranks where the span allows one."""
    shown = [t.quotes[2 * s][t.quotes[2 * s + 1] > 0] for s in range(2)] if quotes else t.depth[1:2]
    parts = [p for p in (*shown, t.prints[0]) if len(p)]
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    low, high = min(int(p.min()) for p in parts), max(int(p.max()) for p in parts)
    if high - low >= DENSE:
        return np.unique(np.concatenate(parts)), np.zeros(0, dtype=np.int32)
    there = np.zeros(high - low + 1, dtype=np.int8)
    for p in parts:
        mark(p, low, there)
    ranks = np.cumsum(there, dtype=np.int32) - there
    return np.flatnonzero(there) + low, ranks.astype(np.int32, copy=False)


def build_levels(market: SymbolTape) -> Levels | None:
    """The index of a tape of depth or quotes.

    None for a tape that it cannot hold exactly: negative quantities, or a message of which only
    a part is a snapshot.
    """
    t = market.tape
    events, rows = len(t.ts), t.depth.shape[1] + 2 * t.quotes.shape[1]
    prices, ranks = _prices_of(t, market.fidelity == "quotes")
    n = len(prices)
    if (t.prints[1] < 0).any():
        return None
    if n == 0 or 2 * n >= FAR // 2 or events >= FAR:
        return None
    snapshots = t.quotes.shape[1] + int((t.depth[3] == 1).sum())
    room = rows + t.prints.shape[1] + rows // 8 + 2 * n + 1024
    s = np.zeros(WORSTS + 2, dtype=np.int64)
    s[N], s[[BEST, BEST + 1]], s[[WORST, WORST + 1]], s[[LOW, LOW + 1]] = n, -1, n, FAR
    book, counts = np.zeros((2 * n, 4), dtype=np.int64), np.zeros(2 * n + 1, dtype=np.int64)
    out = np.empty((room, 3), dtype=np.int64)
    touch = np.full((2, events + 1), -1, dtype=np.int32)  # the last column: before the first event
    reach = np.empty((2, events), dtype=np.int32)
    done = np.empty((snapshots, 3), dtype=np.int64)
    worst = np.empty((2, events, 2), dtype=np.int32)
    while not _read(t, prices, ranks, book, out, counts, s, touch, reach, done, worst):
        out = np.concatenate([out, np.empty_like(out)])
    if s[ODD]:
        return None
    start = np.cumsum(counts)
    entries = np.empty((s[ENTRIES], 2), dtype=np.int64)
    _scatter(out[: s[ENTRIES]], start[:-1].copy(), entries)
    return Levels(
        prices=prices,
        ranks=ranks,
        start=start,
        entries=entries,
        best=touch,
        reach=_tree(reach),
        snapshots=done[: s[SNAPSHOTS], 0].copy(),
        worst=_tree(done[: s[SNAPSHOTS], 1:].T.astype(np.int32, order="C")),
        coarse=t.ts[::COARSE].copy(),
        worst_bid=worst[0, : s[WORSTS]].copy(),
        worst_ask=worst[1, : s[WORSTS + 1]].copy(),
    )


def levels_of(market: SymbolTape) -> Levels | None:
    """The index of a tape, built the first time that it is asked for."""
    return market.kept.once("levels", lambda: build_levels(market))
