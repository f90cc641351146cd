"""State of the kernel for one symbol, as arrays: a `Core` (orders, book, lists, log) and a `Tape`.

Both are named tuples of NumPy arrays, which numba passes without boxing. Columns of the 2-D arrays
are named by the constants below. Sizes are fixed when a Core is made; `grow` makes a larger one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NONE = -(1 << 62)  # "no price yet"
INF = 1 << 62

# tape kinds
DEPTH, QUOTE, PRINT, OPEN, RANGE = 0, 1, 2, 3, 4
# fidelities
F_DEPTH, F_QUOTES, F_PRINTS, F_BARS = 0, 1, 2, 3
# own events, in the order in which they run at one time
ARRIVE, CANCEL, EXPIRE = 0, 1, 2

# order columns
SIDE, TYPE, TIF, POST, REDUCE, REM, QTY, LIMIT, STOP, OCO, NEXT, EXPIRY = range(12)
PLACE, SEQ, FRONT, WATER, TRIGGER, STATUS, REASON, DONE_TS, TRIG_TS, ARRIVAL = range(12, 22)
WAITED, SEEN = 22, 23
ORDER_COLUMNS = 24
BUY, SELL = 0, 1
MARKET, LIMIT_ORDER, STOP_MARKET, STOP_LIMIT, TRAILING = range(5)
GTC, IOC, FOK, GTD = range(4)

# where a live order waits
AWAY, RESTING, STOPPED, TRAILED, TAKING, ENDED = range(6)
# status of an order
S_INTENT, S_OPEN, S_PARTIAL, S_FILLED, S_CANCELED, S_EXPIRED, S_REJECTED = range(7)
# reasons
R_NONE, R_REQUESTED, R_OCO, R_REDUCE, R_GTD, R_IOC, R_FOK, R_LIQUIDITY, R_POST = range(9)
REASONS = ("", "requested", "oco", "reduce_only", "gtd", "ioc", "fok", "no_liquidity", "post_only")

# log columns and kinds; END is logged with the status in PRICE and the reason in QUANTITY
L_KIND, L_ROW, L_TS, L_PRICE, L_QTY, L_MAKER = range(6)
LOG_COLUMNS = 6
K_ACCEPT, K_TRIGGER, K_FILL, K_END = range(4)

# scalars that change
(
    N_ORDERS, N_OWN, AT_OWN, AT_TAPE, N_LOG, LIVE, SEQS, POSITION, N_BIDS, N_ASKS, REST_BUYS,
    REST_SELLS, STOP_BUYS, STOP_SELLS, N_TRAIL, N_TAKE, LAST, LAST_BUY, LAST_SELL, BUDGET,
    AMBIGUOUS, IN_RANGE, RANGE_HIGH, RANGE_LOW, RANGE_TS,
    OLD_BIDS, OLD_ASKS,
) = range(27)  # fmt: skip
SCALARS = 27

# model: integers
FIDELITY, TOUCH, QUEUED, THROUGH_FULL, CONSUME, STOPS_FIRST, LADDER, TICK, QUEUE_KIND = range(9)
# model: floats (participation NaN = no cap)
PARTICIPATION, SLIP, HALF_SPREAD, QUEUE_POWER, UNIT = range(5)


class Tape(NamedTuple):
    """Market events of one symbol in running order; `at` is the row in the kind's own table.

    depth (5, n): side, price, size, 1 on a snapshot's first row, 1 on a message's last row.
    quotes (4, n): bid, bid size, ask, ask size (size 0 = no side). prints (3, n): price,
    quantity, aggressor (0 buy, 1 sell, 2 unknown). bars (4, n): open, high, low, close.
    volume (n,): float64, in quantity units.
    """

    ts: np.ndarray
    kind: np.ndarray
    at: np.ndarray
    depth: np.ndarray
    quotes: np.ndarray
    prints: np.ndarray
    bars: np.ndarray
    volume: np.ndarray


class Core(NamedTuple):
    """Everything that changes while one symbol is matched."""

    orders: np.ndarray  # (ORDER_COLUMNS, orders)
    trail: np.ndarray  # (orders,) trail as a fraction
    own: np.ndarray  # (3, own events): time, kind, row; sorted
    groups: np.ndarray  # (2, groups): first member, 1 once closed
    levels: np.ndarray  # (12, levels): key, size, taken of bids; of asks; both before a snapshot
    rest: np.ndarray  # (4, orders): key, row of buys; the same of sells; best last
    stops: np.ndarray  # (4, orders): likewise, first to trigger last
    trails: np.ndarray  # (orders,) rows
    takes: np.ndarray  # (orders,) rows
    log: np.ndarray  # (LOG_COLUMNS, entries)
    s: np.ndarray  # (SCALARS,)
    flags: np.ndarray  # (9,) int64 model
    floats: np.ndarray  # (5,) float64 model


def new_core(
    flags: np.ndarray, floats: np.ndarray, *, orders: int, groups: int, levels: int, log: int
) -> Core:
    """An empty Core with room for the given numbers (each at least 1)."""
    n = max(orders, 1)
    scalars = np.zeros(SCALARS, dtype=np.int64)
    scalars[[LAST, LAST_BUY, LAST_SELL]] = NONE
    core = Core(
        orders=np.zeros((ORDER_COLUMNS, n), dtype=np.int64),
        trail=np.zeros(n),
        own=np.zeros((3, 3 * n), dtype=np.int64),
        groups=np.full((2, max(groups, 1)), -1, dtype=np.int64),
        levels=np.zeros((12, max(levels, 1) + 1), dtype=np.int64),
        rest=np.zeros((4, n), dtype=np.int64),
        stops=np.zeros((4, n), dtype=np.int64),
        trails=np.zeros(n, dtype=np.int64),
        takes=np.zeros(n, dtype=np.int64),
        log=np.zeros((LOG_COLUMNS, max(log, 64)), dtype=np.int64),
        s=scalars,
        flags=np.asarray(flags, dtype=np.int64),
        floats=np.asarray(floats, dtype=np.float64),
    )
    core.groups[1] = 0
    return core


def grow(core: Core, **sizes: int) -> Core:
    """A Core whose named arrays are longer along their last axis; contents are kept."""
    changed = {}
    for name, size in sizes.items():
        old = getattr(core, name)
        fill = -1 if name == "groups" else 0
        new = np.full((*old.shape[:-1], size), fill, dtype=old.dtype)
        new[..., : old.shape[-1]] = old
        if name == "groups":
            new[1, old.shape[-1] :] = 0
        changed[name] = new
    return core._replace(**changed)


def log_needed(core: Core) -> int:
    """Log entries that one event may write at most: the bound that `loop.advance` checks."""
    s = core.s
    return int(4 * s[LIVE] + s[N_BIDS] + s[N_ASKS] + core.flags[LADDER] + 64)


def link_groups(core: Core, n: int) -> None:
    """Chain the first `n` orders of each OCO group; a member finds the others through NEXT."""
    orders = core.orders
    orders[NEXT, :n] = -1
    for row in np.flatnonzero(orders[OCO, :n] >= 0):
        group = orders[OCO, row]
        orders[NEXT, row] = core.groups[0, group]
        core.groups[0, group] = row
