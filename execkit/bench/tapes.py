"""Synthetic workloads of any size, as plain column arrays: seeded, vectorised, on a grid.

The bundled sample (`execkit.sample`) is made to look like a market and is small; these are made to
be large and to be the same for every engine, so they are arrays and know nothing of execkit.

When they lie: nobody traded them. Queue sizes, gaps and sizes are uniform draws, the price is a
bounded walk, nothing reacts to anything. They load an engine; they say nothing about costs.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Columns: TypeAlias = dict[str, np.ndarray]

START_NS = 1_767_571_200_000_000_000  # 2026-01-05 00:00 UTC
MINUTE_NS = 60_000_000_000
STEP_NS = 1_000_000  # between two slots of a book tape
TICK = 0.1  # of a book tape
LOT = 0.001
BARS_TICK = 0.0001  # finer than the prices of the bars, so that slippage is hardly rounded
LEVELS = 400  # each side of the first message of a book tape
_ROOM = 150  # ticks that the best prices may move either way
_MIDDLE = 600_000  # ticks
BID, ASK = 0, 1


def bars(n: int, seed: int = 1) -> Columns:
    """`n` one-minute bars: ts_ns, open, high, low, close, volume; prices in steps of 0.01."""
    rng = np.random.Generator(np.random.PCG64(seed))
    moves = rng.integers(-2_000, 2_001, size=4 * n).cumsum().reshape(n, 4)
    path = 6_000_000 + _folded(moves, 4_000_000)
    opens = np.concatenate(([6_000_000], path[:-1, -1]))
    return {
        "ts_ns": START_NS + np.arange(n, dtype=np.int64) * MINUTE_NS,
        "open": opens / 100,
        "high": np.maximum(path.max(axis=1), opens) / 100,
        "low": np.minimum(path.min(axis=1), opens) / 100,
        "close": path[:, -1] / 100,
        "volume": rng.integers(1_000, 100_000, size=n) / 1000,
    }


def sides_and_quantities(n: int, seed: int = 2) -> Columns:
    """`n` orders: buy (1) or sell (0), and 0.001 to 1 in steps of 0.001."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return {"buy": rng.integers(0, 2, size=n), "quantity": rng.integers(1, 1001, size=n) / 1000}


def book(n: int, seed: int = 3) -> Columns:
    """About `n` rows of depth and prints around 60,000, in feed order, as one feed.

    ts_ns, seq : rows of one message share both. is_print : 1 for a print, else a new total of a
    level. side : of the level (0 bid, 1 ask), or the side of the book that the print ate. price,
    quantity, is_snapshot. The first message is a snapshot of LEVELS a side. Then a slot each
    STEP_NS: 71 % set one level, 24 % are a print at the best price and the new total there, 5 %
    move both best prices by one tick. The spread is one tick, the book never crosses.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    kind = rng.random(slots := max(1, round(n / 1.29)))
    moved, printed = kind < 0.05, kind > 0.76
    step = np.where(moved, rng.integers(0, 2, size=slots) * 2 - 1, 0)
    walk = _folded(np.concatenate(([0], np.cumsum(step))), _ROOM)
    up, moved = np.diff(walk) > 0, np.diff(walk) != 0
    side = np.where(moved, np.where(up, ASK, BID), rng.integers(0, 2, size=slots))
    best = _MIDDLE + walk[1:] + (side == ASK)
    away = np.where(printed | moved, 0, np.minimum(rng.geometric(0.25, size=slots) - 1, 40))
    lots = rng.integers(200, 5_000, size=(slots, 2))
    first = {
        "price": np.where(side == BID, best - away, best + away),
        "quantity": np.where(printed, rng.integers(1, 900, size=slots), lots[:, 0]),
    }
    # a move up: the old ask is gone, and it is the new bid; a move down mirrors this
    first["price"] = np.where(moved, _MIDDLE + walk[1:] + (~up), first["price"])
    first["quantity"] = np.where(moved, 0, first["quantity"])
    second = {
        "price": np.where(moved, first["price"], best),
        "quantity": lots[:, 1],
    }
    count = np.where(printed | moved, 2, 1)
    at = np.repeat(np.arange(slots), count)
    again = np.zeros(len(at), dtype=bool)
    again[1:] = at[1:] == at[:-1]
    both = np.where(again & moved[at], 1 - side[at], side[at])
    rows = {
        "slot": at + 1,
        # a print and the level it changed are two messages, a move is one
        "again": again & printed[at] & ~moved[at],
        "is_print": (printed & ~moved)[at] & ~again,
        "side": both,
        "price": np.where(again, second["price"][at], first["price"][at]),
        "quantity": np.where(again, second["quantity"][at], first["quantity"][at]),
    }
    return _with_snapshot(rows, rng)


def _with_snapshot(rows: Columns, rng: np.random.Generator) -> Columns:
    offsets = np.arange(LEVELS)
    head = {
        "price": np.concatenate((_MIDDLE - offsets, _MIDDLE + 1 + offsets)),
        "quantity": rng.integers(200, 5_000, size=2 * LEVELS),
        "side": np.repeat((BID, ASK), LEVELS),
    }
    zero = np.zeros(2 * LEVELS, dtype=np.int64)

    def joined(name: str, kind: type) -> np.ndarray:
        return np.concatenate((head.get(name, zero), rows[name])).astype(kind)

    slot = joined("slot", np.int64)
    return {
        "ts_ns": START_NS + slot * STEP_NS,
        "seq": 2 * slot + joined("again", np.int64),
        "is_print": joined("is_print", np.int64),
        "side": joined("side", np.int64),
        "price": joined("price", np.int64) / 10,
        "quantity": joined("quantity", np.int64) / 1000,
        "is_snapshot": (np.arange(len(slot)) < 2 * LEVELS).astype(np.int64),
    }


def best_prices(tape: Columns) -> Columns:
    """Best bid and ask of a book tape after each of its slots, from the moves alone (in ticks)."""
    ticks = np.rint(tape["price"] * 10).astype(np.int64)
    gone = (tape["is_print"] == 0) & (tape["quantity"] == 0)
    slot = (tape["ts_ns"] - START_NS) // STEP_NS
    bid = np.zeros(int(slot[-1]) + 1, dtype=np.int64)
    # a level that vanished is where the new best price of the other side stands
    bid[slot[gone]] = np.where(tape["side"][gone] == ASK, ticks[gone], ticks[gone] - 1)
    known = np.maximum.accumulate(np.where(bid > 0, np.arange(len(bid)), 0))
    bid[0] = _MIDDLE
    bid = bid[known]
    return {"bid": bid, "ask": bid + 1}


def resting_limits(market: Columns, seed: int = 5) -> Columns:
    """A buy or a sell at each bar's close, 0.1 to 10 % away from it: side, price and quantity."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(market["close"])
    buy = rng.integers(0, 2, size=n)
    away = rng.uniform(0.001, 0.1, size=n) * np.where(buy == 1, -1, 1)
    return {
        "buy": buy,
        "price": np.rint(market["close"] * (1 + away) * 100) / 100,
        "quantity": rng.integers(1, 1001, size=n) / 1000,
    }


def requotes(tape: Columns, every: int, lots: int = 1, behind: int = 0) -> Columns:
    """A buy and a sell at the best prices, each `every` rows of the tape, until the next pair.

    ts_ns, buy, price, quantity, cancel_ts_ns; half a slot after the row that they react to, so that
    no two things happen at one time. behind : ticks away from the best price.
    """
    rows = np.arange(2 * LEVELS + every, len(tape["ts_ns"]), every)
    slots = (tape["ts_ns"] - START_NS) // STEP_NS
    slot = np.unique(slots[rows])
    slot = slot[slot < slots[-1]]  # half a slot after the last one there is no market
    best = best_prices(tape)
    moment = START_NS + slot * STEP_NS + STEP_NS // 2
    last = START_NS + len(best["bid"]) * STEP_NS
    until = np.append(moment[1:], last)
    return {
        "ts_ns": np.repeat(moment, 2),
        "buy": np.tile((1, 0), len(slot)),
        "price": np.stack((best["bid"][slot] - behind, best["ask"][slot] + behind), 1).ravel() / 10,
        "quantity": np.full(2 * len(slot), lots / 1000),
        "cancel_ts_ns": np.repeat(until, 2),
    }


def takers(tape: Columns, n: int, seed: int = 4) -> Columns:
    """`n` market orders at even moments of a book tape, 0.001 to 1: what the book can give."""
    rng = np.random.Generator(np.random.PCG64(seed))
    first, last = int(tape["ts_ns"][0]) + STEP_NS, int(tape["ts_ns"][-1])
    return {
        "ts_ns": np.linspace(first, last, n).astype(np.int64),
        "buy": rng.integers(0, 2, size=n),
        "quantity": rng.integers(1, 1_001, size=n) / 1000,
    }


def _folded(walk: np.ndarray, room: int) -> np.ndarray:
    """The walk, reflected at both ends of [-room, room]: its steps keep their size."""
    phase = np.mod(walk + room, 4 * room)
    return np.where(phase <= 2 * room, phase, 4 * room - phase) - room
