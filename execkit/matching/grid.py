"""Limit orders at every bar for a whole grid of offsets and horizons, with the work shared.

An order placed at the close of bar i lives in bars i + 1 .. i + horizon. The bar that fills it is
later the deeper it lies, and does not depend on the horizon: so one walk along the falling lows
after bar i answers all offsets, and its answer serves all horizons.

Everything is written for buying. For selling, callers negate all prices (`Path`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from execkit.kernels import entry, kernel, maker
from execkit.matching import state as st

NEVER = 0
AT_RANGE, AT_OPEN, TAKEN, REJECTED = range(4)
"""An answer is NEVER, or 4 * (bars to the end of the order) + how: filled as maker in a bar's range
or at its open, as taker at the next open; or post-only and marketable there."""

ENTRY, EXIT_LIMIT, EXIT_MARKET = 0, 1, 2
(QUOTED, FILLED, MAKER, FILLS, TRIPS, WINS, WAIT, PAID, GAIN, OPEN_GAIN, PNL) = range(11)
WALKED = 11
(F_COUNT, F_MAKER, F_WAIT, F_PRICE, F_MAKER_PRICE, F_ARRIVAL) = range(6)
TALLIED = 6


class Path(NamedTuple):
    """Bars as one who buys meets them; int64 of shape (n,), prices negated for one who sells.

    ts, interval : open times, and the length of a bar, in ns. gaps : whether bars are missing.
    close : what an order is placed against. taker : what it would pay at the open. at_open, lowest
    : what its limit must be at least to be filled at the open, and within the bar; out of reach
    where the bar has no volume. live : whether it has.
    """

    ts: np.ndarray
    interval: int
    gaps: bool
    close: np.ndarray
    taker: np.ndarray
    at_open: np.ndarray
    lowest: np.ndarray
    live: np.ndarray


class Offsets(NamedTuple):
    """Limits as a function of the close, deepest last: floor(close * factor / tick) - ticks, in
    ticks; a millionth of a tick short of a whole one is float dust."""

    factor: np.ndarray
    ticks: np.ndarray
    tick: int


@kernel
def limit_of(o: Offsets, at: int, close: int) -> int:
    return (int(np.floor(close * o.factor[at] / o.tick + 1e-6)) - o.ticks[at]) * o.tick


@maker
def limits_of(o: Offsets, at: int, close: np.ndarray) -> np.ndarray:
    """The limit of an order at each close."""
    out = np.empty_like(close)
    for i in range(len(close)):
        out[i] = limit_of(o, at, close[i])
    return out


@kernel
def between(p: Path, first: int, last: int) -> int:
    """Time from the open of one bar to that of another, in ns."""
    return p.ts[last] - p.ts[first] if p.gaps else (last - first) * p.interval


@kernel
def wait_unfilled(p: Path, at: int, horizon: int) -> int:
    """How long an order that nothing fills lasts, in ns: its life, or until the data ends."""
    last = len(p.ts) - 1
    if at + horizon < last:
        return between(p, at, at + horizon)
    return between(p, at, last) - 1


@kernel
def wait_answered(p: Path, at: int, answer: int) -> int:
    """How long it took to what the answer says, in ns, from the close of the bar."""
    passed = between(p, at, at + (answer >> 2)) - p.interval
    return passed + p.interval - 1 if answer & 3 == AT_RANGE else passed


@maker
def first_fills(p: Path, o: Offsets, post_only: bool, out: np.ndarray) -> None:
    """Answer for each offset and bar, into `out` of shape (offsets, n); fills later than its type
    can hold are NEVER, so choose it by the longest horizon."""
    n, most = len(p.close), np.iinfo(out.dtype).max >> 2
    lower = np.full(n, n)  # the next bar with a lower low
    for bar in range(n - 2, -1, -1):
        at = bar + 1
        while at < n and p.lowest[at] >= p.lowest[bar]:
            at = lower[at]
        lower[bar] = at
    out[:, n - 1] = NEVER
    for at in range(n - 1):
        bar = at + 1
        for offset in range(len(o.factor)):
            limit = limit_of(o, offset, p.close[at])
            if limit >= p.taker[at + 1] and (post_only or p.live[at + 1]):
                out[offset, at] = 4 + (REJECTED if post_only else TAKEN)
                continue
            while bar < n and p.lowest[bar] > limit:
                bar = lower[bar]
            out[offset, at] = NEVER
            if bar < n and bar - at <= most:
                opens = bar > at + 1 and p.at_open[bar] <= limit  # it only just came at the first
                out[offset, at] = 4 * (bar - at) + (AT_OPEN if opens else AT_RANGE)


@maker
def tally(
    p: Path,
    o: Offsets,
    at: int,
    answers: np.ndarray,
    every: int,
    room: np.ndarray,
    by_bars: np.ndarray,
) -> bool:
    """Sums over the orders of one offset by the bars to their fill: rows F_* of `by_bars`, of shape
    (TALLIED, longest + 1), column 0 for those rejected. False if a bar has no room for its fills.
    """
    n = len(answers)
    busy = np.zeros(n, dtype=np.int64)
    for i in range(0, n - 1, every):
        answer = answers[i]
        k, how = answer >> 2, answer & 3
        if answer == NEVER or k >= by_bars.shape[1]:
            continue
        at_k = 0 if how == REJECTED else k
        by_bars[F_COUNT, at_k] += 1
        by_bars[F_WAIT, at_k] += wait_answered(p, i, answer)
        if how == REJECTED:
            continue
        busy[i + k] += 1
        price = p.taker[i + 1] if how == TAKEN else limit_of(o, at, p.close[i])
        by_bars[F_PRICE, k] += abs(price)
        by_bars[F_ARRIVAL, k] += abs(p.close[i])
        if how != TAKEN:
            by_bars[F_MAKER, k] += 1
            by_bars[F_MAKER_PRICE, k] += abs(price)
    return bool(np.all(busy <= room))


@maker
def unfilled_wait(p: Path, answers: np.ndarray, every: int, horizon: int, first: int) -> np.ndarray:
    """How many orders from bar `first` on end unfilled, not rejected, and their time in ns."""
    out = np.zeros(2, dtype=np.int64)
    for i in range(first, len(answers) - 1, every):
        if answers[i] == NEVER or answers[i] >> 2 > horizon:
            out[0] += 1
            out[1] += wait_unfilled(p, i, horizon)
    return out


@kernel
def record(log: np.ndarray, n: int, kind: int, at: int, horizon: int) -> int:
    if n < log.shape[1]:
        log[0, n], log[1, n], log[2, n] = kind, at, horizon
    return n + 1


@kernel
def _walk(
    buy: Path,
    sell: Path,
    o: Offsets,
    back: Offsets,
    at: int,
    answers: np.ndarray,
    exits: np.ndarray,
    horizon: int,
    hold: int,
    rates: np.ndarray,
    next_live: np.ndarray,
    out: np.ndarray,
    log: np.ndarray,
) -> int:
    """One position at a time: quote, hold, leave, quote again; sums into `out`, at QUOTED to PNL.

    answers, exits : as from `first_fills` for the entry, and for a limit on the way back (empty:
    leave at the market). rates : maker and taker fee, of the notional. next_live : first bar from
    each on with volume, empty if all have. log : (3, room) for the orders placed, may be empty.
    Returns their number.
    """
    n, i, orders = len(answers), 0, 0
    quoted = filled = makers = fills = trips = wins = wait = gain = open_gain = 0
    fees, pnl = 0.0, 0.0
    while i < n - 1:
        orders = record(log, orders, ENTRY, i, horizon)
        quoted += 1
        answer = answers[i]
        bar, how = i + (answer >> 2), answer & 3
        if answer == NEVER or bar - i > horizon:
            wait += wait_unfilled(buy, i, horizon)
            i += horizon
            continue
        wait += wait_answered(buy, i, answer)
        if how == REJECTED:
            i = bar
            continue
        paid = buy.taker[bar] if how == TAKEN else limit_of(o, at, buy.close[i])
        filled, fills, makers = filled + 1, fills + 1, makers + (how != TAKEN)
        fee = rates[1 if how == TAKEN else 0] * abs(paid)
        maker, i, got = False, n, 0
        back_answer = exits[bar] if len(exits) else NEVER
        if len(exits) and bar < n - 1:
            orders = record(log, orders, EXIT_LIMIT, bar, hold)
        if back_answer != NEVER and back_answer >> 2 <= hold:
            i, maker = bar + (back_answer >> 2), back_answer & 3 != TAKEN
            got = -limit_of(back, at, sell.close[bar]) if maker else -sell.taker[i]
        elif bar + hold < n - 1:
            orders = record(log, orders, EXIT_MARKET, bar + hold, 0)
            i = bar + hold + 1
            i = next_live[i] if len(next_live) else i
            got = -sell.taker[i] if i < n else 0
        if i == n:  # still held when the data ends
            open_gain, fees = buy.close[n - 1] - paid, fees + fee
            break
        fee += rates[0 if maker else 1] * abs(got)
        fills, makers, trips, fees = fills + 1, makers + maker, trips + 1, fees + fee
        gain += got - paid
        wins += got - paid > fee
        pnl += (got - paid - fee) / abs(paid)
    out[QUOTED], out[FILLED], out[MAKER], out[FILLS] = quoted, filled, makers, fills
    out[TRIPS], out[WINS], out[WAIT], out[PAID] = trips, wins, wait, fees
    out[GAIN], out[OPEN_GAIN], out[PNL] = gain, open_gain, pnl
    return orders


@entry
def walk(
    buy: Path,
    sell: Path,
    o: Offsets,
    back: Offsets,
    at: int,
    answers: np.ndarray,
    exits: np.ndarray,
    horizons: np.ndarray,
    hold: int,
    rates: np.ndarray,
    next_live: np.ndarray,
    out: np.ndarray,
    log: np.ndarray,
) -> int:
    """`_walk` for each of the horizons, into the rows of `out`; hold : 0 for as long as the
    horizon. Returns the number of orders of the last."""
    orders = 0
    for row in range(len(horizons)):
        life = horizons[row]
        orders = _walk(
            buy, sell, o, back, at, answers, exits, life, hold or life, rates, next_live, out[row],
            log,
        )  # fmt: skip
    return orders


def path_of(
    tape: st.Tape, interval: int, *, sell: bool, touch: bool, half_spread: float, live: np.ndarray
) -> Path:
    """The bars of a tape for one side. `touch`: a limit fills where a price only reaches it."""
    opened, high, low, close = tape.bars
    if sell:
        taker = np.floor(opened * (1.0 - half_spread)) if half_spread else opened
        opened, low, close, taker = -opened, -high, -close, -taker
    else:
        taker = np.ceil(opened * (1.0 + half_spread)) if half_spread else opened
    beyond = 0 if touch else 1
    ts = np.ascontiguousarray(tape.ts[0::2])
    return Path(
        ts=ts,
        interval=interval,
        gaps=int(ts[-1] - ts[0]) != (len(ts) - 1) * interval,
        close=close,
        taker=taker.astype(np.int64),
        at_open=np.where(live, opened + beyond, st.INF),
        lowest=np.where(live, low + beyond, st.INF),
        live=live,
    )
