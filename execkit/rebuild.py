"""Depth messages played into a book: the touch after each message, and the whole book at a time.

Arithmetic is on integers (`Units`), so a level that is set and later removed is removed exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from execkit.book import BID, set_level
from execkit.instruments import Units
from execkit.kernels import maker
from execkit.tables import Table


@dataclass(frozen=True, slots=True)
class Touches:
    """Best levels after each depth message of one symbol; arrays of shape (messages,).

    `start` is the first row of the message in the table. A side that is empty has price NaN and
    quantity 0. `from_snapshot` says whether a snapshot had been seen by then.
    """

    start: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    bid_quantity: np.ndarray
    ask_quantity: np.ndarray
    from_snapshot: np.ndarray


def message_starts(depth: Table) -> np.ndarray:
    """First row of each message (rows sharing ts_ns and seq) in a one-symbol depth table."""
    if len(depth) == 0:
        return np.empty(0, dtype=np.int64)
    fresh = (np.diff(depth["ts_ns"]) != 0) | (np.diff(depth["seq"]) != 0)
    return np.concatenate(([0], np.flatnonzero(fresh) + 1)).astype(np.int64)


def touches(depth: Table, units: Units) -> Touches:
    """Play all messages of a one-symbol depth table; snapshots replace the whole book."""
    start = message_starts(depth)
    ends = np.append(start[1:], len(depth)).astype(np.int64)
    keys, sizes = _keys(depth, units)
    best, _, _ = _play(start, ends, depth["side"], keys, sizes, depth["is_snapshot"])
    empty = best[:, 1:4:2] <= 0
    bid = np.where(empty[:, 0], np.nan, best[:, 0] / units.price)
    ask = np.where(empty[:, 1], np.nan, -best[:, 2] / units.price)
    quantities = best[:, 1] / units.quantity, best[:, 3] / units.quantity
    seen = np.maximum.accumulate(depth["is_snapshot"][start]) if len(start) else start
    return Touches(start, bid, ask, *quantities, seen.astype(bool))


def book_sides(depth: Table, units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Bids and asks, each (levels, 2) of price and quantity, best first, after the last row."""
    flags = depth["is_snapshot"]
    start = message_starts(depth)
    snapshots = np.flatnonzero(flags[start] == 1)
    start = start[snapshots[-1] :] if len(snapshots) else start
    ends = np.append(start[1:], len(depth)).astype(np.int64)
    keys, sizes = _keys(depth, units)
    _, bids, asks = _play(start, ends, depth["side"], keys, sizes, flags)
    out = []
    for side, sign in ((bids, 1), (asks, -1)):
        price = sign * side[0] / units.price
        out.append(np.column_stack([price, side[1] / units.quantity])[::-1])
    return out[0], out[1]


def _keys(depth: Table, units: Units) -> tuple[np.ndarray, np.ndarray]:
    prices = units.prices(depth["price"])
    keys = np.where(depth["side"] == BID, prices, -prices)
    return keys, units.quantities(depth["quantity"])


@maker
def _grown(array: np.ndarray, n: int) -> np.ndarray:
    """The same array with room for one more level beyond `n`."""
    if n + 1 < len(array):
        return array
    bigger = np.zeros(2 * len(array), dtype=np.int64)
    bigger[:n] = array[:n]
    return bigger


@maker
def _play(
    starts: np.ndarray,
    ends: np.ndarray,
    side: np.ndarray,
    key: np.ndarray,
    size: np.ndarray,
    is_snapshot: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best (key, size) of bid and ask after each message, and the final levels of each side."""
    best = np.zeros((len(starts), 4), dtype=np.int64)
    bid_key = np.zeros(64, dtype=np.int64)
    ask_key = np.zeros(64, dtype=np.int64)
    bid_size, bid_taken = np.zeros_like(bid_key), np.zeros_like(bid_key)
    ask_size, ask_taken = np.zeros_like(bid_key), np.zeros_like(bid_key)
    n_bid, n_ask = 0, 0
    for m in range(len(starts)):
        if is_snapshot[starts[m]] == 1:
            n_bid, n_ask = 0, 0
        for row in range(starts[m], ends[m]):
            if side[row] == 0:
                bid_key, bid_size = _grown(bid_key, n_bid), _grown(bid_size, n_bid)
                bid_taken = _grown(bid_taken, n_bid)
                n_bid = set_level(bid_key, bid_size, bid_taken, n_bid, key[row], size[row])
            else:
                ask_key, ask_size = _grown(ask_key, n_ask), _grown(ask_size, n_ask)
                ask_taken = _grown(ask_taken, n_ask)
                n_ask = set_level(ask_key, ask_size, ask_taken, n_ask, key[row], size[row])
        if n_bid > 0:
            best[m, 0], best[m, 1] = bid_key[n_bid - 1], bid_size[n_bid - 1]
        if n_ask > 0:
            best[m, 2], best[m, 3] = ask_key[n_ask - 1], ask_size[n_ask - 1]
    bids = np.stack((bid_key[:n_bid], bid_size[:n_bid]))
    asks = np.stack((ask_key[:n_ask], ask_size[:n_ask]))
    return best, bids, asks
