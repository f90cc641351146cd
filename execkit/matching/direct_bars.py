"""Direct answers on bars: market orders by one pass over opens, all others by look-up.

Not answered are OCO groups, reduce-only orders and trailing stops, whose fate hangs on what happens
to others or on the whole path; limits and stops that compete for a bar with too little volume; and
bars that overlap.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from execkit.arrays import fixed, one_value, short
from execkit.matching import state as st
from execkit.matching.bar_table import Bars
from execkit.matching.bars_lookup import Hits, Indexes, look_up, put_in_order
from execkit.matching.bars_takers import Asked, Ended, Fills, Offered, fill_each, fill_in_turn
from execkit.matching.cores import own_cores
from execkit.matching.extremes import extremes
from execkit.matching.outcome import ABSENT, Found
from execkit.matching.tape import SymbolTape
from execkit.models.fill import FillModel
from execkit.request import Part, Request

ALONE = 50_000
"""Orders that one thread looks up: for fewer, starting others takes longer than it saves."""


def answer(request: Request, part: Part, model: FillModel, position: float) -> Found | None:
    """What became of the orders, or None where only the event loop can tell (`direct.answer`)."""
    table, bars = request.table, part.market.bars
    assert bars is not None  # the market's fidelity is bars
    kind = short(part.of(table.order_type))
    alone = short(part.of(table.oco)).max() < 0 and not short(part.of(table.reduce_only)).any()
    if not alone or (kind == st.TRAILING).any() or not _is_in_order(part.market, bars):
        return None
    asked = Asked(
        side=short(part.of(table.side)),
        kind=kind,
        tif=short(part.of(table.time_in_force)),
        post=short(part.of(table.post_only)),
        quantity=short(part.quantity),
        limit=short(part.limit),
        stop=short(part.stop),
        arrival=fixed(part.of(request.arrival)),
        cancel=short(part.of(request.cancel)),
        expiry=short(part.of(table.expire_ts_ns)),
    )
    offered = _offered(part.market, bars, model)
    if not (kind == st.MARKET).all():
        return _looked_up(asked, offered, part)
    return _one_each(asked, offered, request, part) or _in_turn(asked, offered)


def _is_in_order(market: SymbolTape, bars: Bars) -> bool:
    """Whether each bar ends before the next begins, and takes any time at all."""

    def look() -> bool:
        ends = bars.ts_ns[:-1] + bars.length_ns
        return bars.length_ns > 0 and bool((bars.ts_ns[1:] > ends).all())

    return market.kept.once("in order", look)


def _offered(market: SymbolTape, bars: Bars, model: FillModel) -> Offered:
    opened, high, low, _ = bars.prices
    return Offered(
        ts=fixed(bars.ts_ns),
        opened=fixed(opened),
        high=fixed(high),
        low=fixed(low),
        budget=short(_budget(market, bars, model.participation)),
        length_ns=bars.length_ns,
        last_ns=bars.ends_ns[1],
        half=model.half_spread_bps / 1e4,
        slip=float(model.stop_slip),
        touch=0 if model.touch and not model.queue else 1,
        stops_first=model.intrabar == "pessimistic",
    )


def _budget(market: SymbolTape, bars: Bars, share: float | None) -> np.ndarray:
    """What each bar has for our orders, int64."""

    def work_out() -> np.ndarray:
        if share is not None:
            return np.floor(bars.volume * share).astype(np.int64)
        if (bars.volume != 0.0).all():
            return one_value(st.INF, len(bars.volume), np.int64)
        return np.where(bars.volume == 0.0, 0, st.INF)

    return market.kept.once(("budget", share), work_out)


def _one_each(asked: Asked, offered: Offered, request: Request, part: Part) -> Found | None:
    """The simplest case: every market order fills whole at its next open."""
    n = part.size
    timed = [c for c in (asked.cancel, asked.expiry) if len(c) > 1 or c[0] != ABSENT]
    if timed:
        return None
    ts, price = np.empty(n, dtype=np.int64), np.empty(n)
    code = fill_each(asked, offered, part.market.units.price, ts, price)
    if code < 0:
        return None
    if code == 0:
        ts = asked.arrival
    return Found(
        status=one_value(st.S_FILLED, n, np.int8),
        reason=one_value(st.R_NONE, n, np.int8),
        triggered_ns=one_value(ABSENT, n),
        done_ns=ts,
        fill_row=request.positions if part.chosen is None else np.arange(n),
        fill_ts=ts,
        fill_price=price,
        fill_quantity=part.quantity,
        fill_maker=one_value(False, n),
        ambiguous=0,
    )


def _in_turn(asked: Asked, offered: Offered) -> Found:
    """Market orders that wait, share bars or end without a fill."""
    n = len(asked.arrival)
    ended, fills = _ended(n, np.full(1, ABSENT)), _fills(n + len(offered.ts))
    turn = np.argsort(asked.arrival, kind="stable")
    rest, queue = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    m = fill_in_turn(asked, fixed(turn), offered, ended, fills, rest, queue)
    return _found(ended, fills, m, np.zeros(m, dtype=bool))


def _looked_up(asked: Asked, offered: Offered, part: Part) -> Found | None:
    """Orders that do not get in each other's way, limits and stops among them."""
    n = part.size
    stops = (asked.kind >= st.STOP_MARKET).any()
    ended = _ended(n, np.full(n if stops else 1, ABSENT, dtype=np.int64))
    hits = Hits(*(np.empty(n, dtype=kind) for kind in (np.int64, np.int64, np.int8, np.int64)))
    indexes = _indexes(part.market, offered)
    n_parts = 1 if n <= ALONE else min(own_cores(), n // ALONE + 1)
    cuts = [n * i // n_parts for i in range(n_parts + 1)]

    def one(first: int, last: int) -> bool:
        return bool(look_up(asked, offered, indexes, ended, hits, first, last))

    if n_parts == 1:
        answered = one(0, n)
    else:
        with ThreadPoolExecutor(n_parts) as threads:
            answered = all(list(threads.map(one, cuts[:-1], cuts[1:])))
    if not answered:
        return None
    m = int((hits.event >= 0).sum())
    fills, maker = _fills(m), np.empty(m, dtype=bool)
    counts = np.zeros(len(offered.ts) + 1, dtype=np.int64)
    if not put_in_order(asked, offered, hits, counts, fills, maker):
        return None
    return _found(ended, fills, m, maker)


def _indexes(market: SymbolTape, offered: Offered) -> Indexes:
    """Indexes over all bars, and over those that have anything to give."""
    low = market.kept.once("lows", lambda: extremes(offered.low, 1))
    high = market.kept.once("highs", lambda: extremes(offered.high, -1))
    budget = offered.budget
    if budget.min() > 0:
        return Indexes(low, high, low, high)
    gives = np.broadcast_to(budget > 0, len(offered.ts))
    # nothing is as low or as high as what a bar without volume shows here
    name = ("giving", gives.tobytes())
    return market.kept.once(
        name,
        lambda: Indexes(
            low,
            high,
            extremes(np.where(gives, offered.low, st.INF), 1),
            extremes(np.where(gives, offered.high, -st.INF), -1),
        ),
    )


def _ended(n: int, triggered: np.ndarray) -> Ended:
    codes = (np.empty(n, dtype=np.int8), np.empty(n, dtype=np.int8))
    return Ended(*codes, triggered, np.empty(n, dtype=np.int64))


def _fills(n: int) -> Fills:
    return Fills(*(np.empty(n, dtype=np.int64) for _ in range(4)))


def _found(ended: Ended, fills: Fills, m: int, maker: np.ndarray) -> Found:
    n, triggered = len(ended.status), ended.triggered
    return Found(
        status=ended.status,
        reason=ended.reason,
        triggered_ns=triggered if len(triggered) == n else one_value(ABSENT, n),
        done_ns=ended.done,
        fill_row=fills.row[:m],
        fill_ts=fills.ts[:m],
        fill_price=fills.price[:m],
        fill_quantity=fills.quantity[:m],
        fill_maker=maker,
        ambiguous=0,
    )
