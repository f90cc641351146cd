"""Orders on depth and quotes answered from the index of levels, without a replay of the tape."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from execkit.matching import direct_walk as dw
from execkit.matching import state as st
from execkit.matching.cores import own_cores
from execkit.matching.direct_run import answer_all, differs
from execkit.matching.levels import Levels
from execkit.matching.levels_build import levels_of
from execkit.matching.outcome import ABSENT, Found
from execkit.models.fill import FillModel
from execkit.order_columns import GIVEN
from execkit.request import Part, Request

ALONE = 4_000
"""Orders that one thread answers: for fewer, starting others takes longer than it saves."""
SHORT = 512
"""Orders after which it hardly matters what was taken before them."""


def answer(request: Request, part: Part, model: FillModel, position: float) -> Found | None:
    """What became of one symbol's orders on depth or quotes, exactly as the event loop tells it.

    position : signed quantity held at the start, in base units. None where an order is a stop or
    trailing stop, where the tape is not in memory, and where it has no index (see
    `levels_build.build_levels`).
    """
    kinds = request.table.order_type[part.rows]
    if len(kinds) == 0 or kinds.max() > st.LIMIT_ORDER or part.market.pieces is not None:
        return None
    index = levels_of(part.market)
    if index is None:
        return None
    orders = _orders(request, part)
    run = _run(request, part, model, position, index)
    many = 1 if len(run.oco) else min(own_cores(), len(kinds) // ALONE)
    pieces = _pieces(orders, many)
    if len(pieces) == 1:
        log = _answered(run, index, part.market.tape, orders)
    else:
        log = _in_parts(run, index, part.market.tape, orders, pieces)
    return Found(
        status=run.res[:, dw.STATUS],
        reason=run.res[:, dw.REASON],
        triggered_ns=np.full(len(kinds), ABSENT, dtype=np.int64),
        done_ns=run.res[:, dw.DONE],
        fill_row=log[0],
        fill_ts=log[1],
        fill_price=log[2],
        fill_quantity=log[3],
        fill_maker=log[4].astype(bool),
        ambiguous=0,
    )


def _answered(run: dw.Run, index: Levels, tape: st.Tape, orders: dw.Orders) -> np.ndarray:
    """Run the orders of `turn`; their fills."""
    while not answer_all(run, index, tape, orders):
        run = run._replace(log=np.concatenate([run.log, np.empty_like(run.log)], axis=1))
    return run.log[:, : run.g[dw.N_LOG]]


def _in_parts(
    run: dw.Run, index: Levels, tape: st.Tape, orders: dw.Orders, threads: list[list[np.ndarray]]
) -> np.ndarray:
    """Answer the pieces of `turn` of each thread side by side; all fills.

    No order lives on from one piece to the next, so all that the one leaves to the other is what it
    took of levels that were not set afresh since. Each thread begins with nothing taken, and every
    piece that began with something else than the one before it left is answered again.
    """

    def one(turn: np.ndarray, begun: np.ndarray) -> tuple[dw.Run, np.ndarray]:
        own = _of_its_own(run, len(turn), begun)
        return own, _answered(own, index, tape, orders._replace(turn=turn))

    def in_turn(pieces: list[np.ndarray]) -> list[tuple[np.ndarray, dw.Run, np.ndarray]]:
        out, begun = [], run.lv
        for turn in pieces:
            own, log = one(turn, begun)
            out.append((begun, own, log))
            begun = own.lv
        return out

    with ThreadPoolExecutor(len(threads)) as pool:
        found = [piece for pieces in pool.map(in_turn, threads) for piece in pieces]
    left, logs = run.lv, []
    turns = [turn for pieces in threads for turn in pieces]
    for turn, (begun, own, log) in zip(turns, found, strict=True):
        at = np.searchsorted(tape.ts, orders.arrival[turn[0]], side="right")
        if differs(index, left, begun, at):
            run.res[turn] = 0, 0, ABSENT
            own, log = one(turn, left)
        logs.append(log)
        left = own.lv
    return np.concatenate(logs, axis=1)


def _of_its_own(run: dw.Run, n: int, taken: np.ndarray) -> dw.Run:
    """A run of n orders that shares with another what became of them; `taken`: `lv` of the one
    before it."""
    own = [dw.OWN_K, dw.OWN_TAKEN, dw.OWN_SIZE]
    lv = run.lv.copy()
    lv[:, own] = taken[:, own]
    return run._replace(
        g=run.g.copy(),
        lv=lv,
        bare=run.bare.copy(),
        **_room(n, run.log.shape[1] - 3 * len(run.res)),
    )


def _room(n: int, more: int) -> dict[str, np.ndarray]:
    """What a run of n orders writes to, and to begin with three fills an order and some more."""
    return {
        "w": np.empty((n, dw.COLUMNS), dtype=np.int64),
        "heap": np.empty((2 * n + 2, 2), dtype=np.int64),
        "group": np.empty(2 * n + 2, dtype=np.int64),
        "spare": np.empty(2 * n + 2, dtype=np.int64),
        "log": np.empty((5, 3 * n + more), dtype=np.int64),
    }


def _pieces(orders: dw.Orders, threads: int) -> list[list[np.ndarray]]:
    """For each thread its pieces of `turn`, cut where no order lives on: a short one, after which
    what was taken before it hardly matters, and a long one. One thread for reduce-only orders,
    whose fate hangs on all fills before."""
    turn = orders.turn
    if threads < 2 or orders.reduce.any():
        return [[turn]]
    leaves = (orders.kind == st.MARKET) | (orders.tif == st.IOC) | (orders.tif == st.FOK)
    end = np.maximum.accumulate(np.where(leaves, orders.arrival, orders.end)[turn])
    cuts = np.append(np.flatnonzero(end[:-1] <= orders.arrival[turn[1:]]) + 1, len(turn))
    wanted = len(turn) * np.arange(threads + 1) // threads
    wanted[1:-1] = cuts[np.searchsorted(cuts, wanted[1:-1])]
    firsts = np.unique(wanted[:-1])
    out = []
    for first, last in zip(firsts, [*firsts[1:], len(turn)], strict=True):
        short = cuts[np.searchsorted(cuts, min(first + SHORT, last))] if first else last
        out.append([part for part in (turn[first:short], turn[short:last]) if len(part)])
    return [pieces for pieces in out if pieces]


def _orders(request: Request, part: Part) -> dw.Orders:
    table = request.table
    # all rows of the table in their order need not be copied
    rows = slice(None) if len(part.rows) == len(table) else part.rows
    arrival, cancel = request.arrival[rows], request.cancel[rows]
    expiry, tif = table.expire_ts_ns[rows], table.time_in_force[rows]
    last = part.market.tape.ts[-1]
    # what would happen after the end of the data is not known to have happened
    end = np.where((cancel != GIVEN) & (cancel <= last), cancel, st.INF)
    expires = (expiry != GIVEN) & (expiry <= last) & (expiry >= arrival) & (expiry < end)
    in_turn = len(arrival) < 2 or bool((arrival[1:] >= arrival[:-1]).all())
    columns = (
        np.arange(len(arrival)) if in_turn else np.argsort(arrival, kind="stable"),
        arrival,
        np.where(expires, expiry, end),
        expires,
        (tif == st.GTD) & (expiry <= arrival),
        table.side[rows],
        table.order_type[rows],
        tif,
        table.post_only[rows],
        table.reduce_only[rows],
        part.limit,
        part.quantity,
    )
    return dw.Orders(*(_alike(c) for c in columns))


def _alike(column: np.ndarray) -> np.ndarray:
    """One layout for all columns, so that one compiled kernel takes them however they came."""
    out = np.ascontiguousarray(column).view()
    out.flags.writeable = False
    return out


def _run(request: Request, part: Part, model: FillModel, position: float, index: Levels) -> dw.Run:
    from execkit.simulator import model_arrays

    n, prices = len(part.rows), len(index.prices)
    flags, floats = model_arrays(model, part.market)
    g = np.zeros(dw.SCALARS, dtype=np.int64)
    g[[dw.N, dw.EVENTS, dw.FREE]] = prices, len(part.market.tape.ts), -1
    g[dw.POSITION] = round(position * part.market.units.quantity)
    g[[dw.TOUCH, dw.THROUGH, dw.CONSUME, dw.LADDER, dw.TICK]] = flags[
        [st.TOUCH, st.THROUGH_FULL, st.CONSUME, st.LADDER, st.TICK]
    ]
    shared = model.queue and model.queue_model == "pro_rata"
    # nobody asks who is ahead where a touch does not fill, or where all share
    g[dw.QUEUED] = model.touch and model.queue and not shared
    g[dw.PRO_RATA], g[dw.QUEUE_KIND] = model.touch and shared, flags[st.QUEUE_KIND]
    g[dw.ON_QUOTES] = part.market.fidelity == "quotes"
    lv = np.full((2 * prices, dw.LEVEL_COLUMNS), -1, dtype=np.int64)
    lv[:, dw.START], lv[:, dw.STOP] = index.start[:-1], index.start[1:]
    lv[:, dw.CURSOR] = index.start[:-1] - 1
    res = np.zeros((n, 3), dtype=np.int64)
    res[:, dw.DONE] = ABSENT
    oco, closed = _groups(request.table.oco[part.rows])
    return dw.Run(
        g=g,
        f=floats[[st.QUEUE_POWER, st.UNIT]],
        lv=lv,
        bare=np.zeros((2, (prices >> dw.BLOCK) + 1), dtype=np.int64),
        res=res,
        oco=oco,
        closed=closed,
        **_room(n, 2 * prices + model.ladder_levels + 1024),
    )


def _groups(oco: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OCO groups as chains of their members; both arrays are empty where there are none."""
    if (oco < 0).all():
        return np.empty((0, 3), dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    names, codes = np.unique(oco, return_inverse=True)
    chain = np.full((len(oco), 3), -1, dtype=np.int64)
    closed = np.full((len(names), 2), -1, dtype=np.int64)
    closed[:, 1] = 0
    for row in np.flatnonzero(oco >= 0):
        group = codes[row]
        chain[row, 0], chain[row, 1] = group, closed[group, 0]
        closed[group, 0] = row
    return chain, closed
