"""A recording with order ids as arrays, and its real orders run again: see `realism.replay`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from execkit.clock import NS_PER_S
from execkit.errors import InvalidData
from execkit.matching import state as st
from execkit.matching.tape import SymbolTape, build_tape
from execkit.models.fill import QUEUE, FillModel
from execkit.realism import replay as rp
from execkit.simulator import model_arrays
from execkit.sources.lobster import Recording
from execkit.tables import Table

LOG = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """One recording, in kernel integers. `ts_ns` of each message; the rest as in `replay`."""

    symbol: str
    ts_ns: np.ndarray
    notes: np.ndarray
    feed: np.ndarray
    tape: st.Tape
    market: SymbolTape
    orders: int

    @property
    def submissions(self) -> np.ndarray:
        """Messages that brought an order, but not the first row, before which no book is known."""
        found = np.flatnonzero(self.notes[rp.TYPE] == rp.ADD)
        return found[found > 0]


@dataclass(frozen=True, slots=True, eq=False)
class Replays:
    """What came of each order in truth (`facts`, in message times) and under each model.

    facts (FACTS, orders). grid (orders, horizons): message times. first (models, orders): message
    time of the first fill, or NEVER. front, filled (models, orders, horizons): quantity ahead and
    quantity filled then, or at the order's end if that was before.
    """

    day: Day
    message: np.ndarray
    labels: tuple[str, ...]
    grid: np.ndarray
    facts: np.ndarray
    first: np.ndarray
    front: np.ndarray
    filled: np.ndarray

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Seconds from each order's arrival to message times; inf for NEVER."""
        ts = self.day.ts_ns
        row = np.minimum(times >> 1, len(ts) - 1)
        after = (ts[row] - ts[self.message]) / NS_PER_S
        return np.where(times == rp.NEVER, np.inf, after)

    def take(self, keep: np.ndarray) -> Replays:
        """The orders that `keep` (mask or positions) names."""
        return Replays(
            self.day,
            self.message[keep],
            self.labels,
            self.grid[keep],
            self.facts[:, keep],
            self.first[:, keep],
            self.front[:, keep],
            self.filled[:, keep],
        )


def read_day(recording: Recording) -> Day:
    """Arrays of a recording. Raises `InvalidData` for one without executions, or out of order."""
    symbol, market = recording.symbol, recording.market
    if market.prints is None:
        raise InvalidData(f"{symbol} has no executions, so no order was filled")
    tape = build_tape(market, symbol, "depth")
    t, units = tape.tape, tape.units
    depth, prints = market.depth, market.prints
    assert depth is not None  # the source always makes it
    on_book = prints.cut(prints["off_book"] == 0) if "off_book" in prints else prints
    is_print = t.kind == st.PRINT
    feed = np.empty((5, len(t.ts)), dtype=np.int64)
    feed[rp.SEQ], feed[rp.KIND] = _seq(t, depth, on_book), t.kind
    for row, place, printed in ((rp.WHO, 0, 2), (rp.PRICE, 1, 0), (rp.SIZE, 2, 1)):
        feed[row, ~is_print] = t.depth[place, t.at[~is_print]]
        feed[row, is_print] = t.prints[printed, t.at[is_print]]
    if (np.diff(feed[rp.SEQ]) < 0).any():
        raise InvalidData(f"the messages of {symbol} are not in the order of time")
    messages = recording.messages
    ids, order = np.unique(messages["order_id"].to_numpy(), return_inverse=True)
    notes = np.stack(
        [
            messages["type"].to_numpy(np.int64),
            order.astype(np.int64),
            np.where(messages["direction"].to_numpy() == 1, st.BUY, st.SELL),
            units.prices(messages["price"].to_numpy(np.float64)),
            units.quantities(messages["size"].to_numpy(np.float64)),
        ]
    )
    ts_ns = messages["ts_ns"].to_numpy(np.int64)
    return Day(symbol, ts_ns, notes, feed, t._replace(ts=feed[rp.SEQ].copy()), tape, len(ids))


def _seq(t: st.Tape, depth: Table, prints: Table) -> np.ndarray:
    seq = np.empty(len(t.ts), dtype=np.int64)
    is_print = t.kind == st.PRINT
    seq[~is_print] = depth["seq"][t.at[~is_print]]
    seq[is_print] = prints["seq"][t.at[is_print]]
    return seq


def near_touch(day: Day, levels: int) -> np.ndarray:
    """Messages that brought an order better than the `levels`-th level of its side."""
    rows = day.submissions
    better = np.empty(len(rows), dtype=np.int64)
    room, count = np.zeros((6, day.market.levels + 1), dtype=np.int64), np.zeros(2, dtype=np.int64)
    rp.survey(day.feed, day.notes, rows, room, count, better)
    return rows[better < levels]


def run_again(
    day: Day,
    message: np.ndarray,
    models: Mapping[str, FillModel | None],
    horizons_s: tuple[float, ...],
) -> Replays:
    """Run the orders that came with `message` (rising) again under each model.

    models : by label; None is the queue by order id, where only those truly ahead are shown.
    horizons_s : seconds after arrival at which to look, rising; the last is how long an order that
    its owner did not cancel is left to wait.
    """
    n, ts = len(message), day.ts_ns
    if not n:
        raise InvalidData(f"there is no order of {day.symbol} to run again")
    steps = np.rint(np.array(horizons_s) * NS_PER_S).astype(np.int64)
    row = np.searchsorted(ts, ts[message][:, None] + steps[None, :], side="right") - 1
    kinds = np.array([rp.BY_ID if m is None else 0 for m in models.values()])
    arrays = [model_arrays(m or QUEUE, day.market) for m in models.values()]
    tasks = np.stack([message, row[:, -1]])
    facts = np.empty((rp.FACTS, n), dtype=np.int64)
    first = np.empty((len(models), n), dtype=np.int64)
    front = np.empty((len(models), n, len(steps)), dtype=np.int64)
    filled = np.empty_like(front)
    scratch = np.full((4, day.orders), -1, dtype=np.int64)
    room = day.feed.shape[1] + 2
    grid = 2 * row + 1
    rp.replay(
        day.feed, day.tape, day.notes, tasks, grid.copy(), kinds,
        np.stack([flags for flags, _ in arrays]), np.stack([floats for _, floats in arrays]),
        _book(day), _core(day, 1), _room(day.tape, room), np.zeros((2, room), dtype=np.int64),
        scratch, np.zeros(4, dtype=np.int64), facts, first, front, filled,
    )  # fmt: skip
    return Replays(day, message, tuple(models), grid, facts, first, front, filled)


def _core(day: Day, orders: int) -> st.Core:
    flags, floats = model_arrays(QUEUE, day.market)
    return st.new_core(flags, floats, orders=orders, groups=1, levels=day.market.levels, log=LOG)


def _book(day: Day) -> st.Core:
    """The event loop with no order in it: it only keeps the book."""
    return _core(day, 0)


def _room(tape: st.Tape, n: int) -> st.Tape:
    """An empty tape with room for n events, of the same types."""
    return tape._replace(
        ts=np.zeros(n, dtype=np.int64),
        kind=np.zeros(n, dtype=tape.kind.dtype),
        at=np.zeros(n, dtype=np.int64),
        depth=np.zeros((5, n), dtype=np.int64),
        prints=np.zeros((3, n), dtype=np.int64),
    )
