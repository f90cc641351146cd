"""Depth brought up to date by the quotes recorded beside it; the work behind `MarketData.aligned`.

A depth feed is sent every so often (15 to 100 ms on the recorded sets), a best bid and ask feed at
every change. Between two depth messages the book at hand is as old as the last one, while the
quotes have long said that its best level is gone, or smaller, or that there is a better one. Here
what the quotes say is written into the depth table as level updates of their own, so that
everything that reads depth, `simulate` first of all, sees the newer touch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from execkit.book import BID, set_level
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import Units, units_of
from execkit.kernels import maker
from execkit.market import MarketData
from execkit.rebuild import message_starts, touches
from execkit.tables import Finding, Table, build, join

AGREEMENT = 0.9
JUDGED = 30
NOT_GIVEN = -1
OLD, ADDED, QUOTED = 0, 1, 2
"""Where a row comes from: the depth table, a quote set again after a depth message, a quote."""


def aligned(market: MarketData, symbols: Iterable[str] | None) -> MarketData:
    """The same market with every quote between two depth messages set into the depth table.

    A quote of bid b with size B removes the bids above b and sets b to B; asks mirror. One that
    changes nothing leaves no row, so what was taken from a level stays taken. Left out are quotes
    before the first depth message (there is no book to bring up to date), crossed and locked ones,
    and sides without a price or a size.

    Order: by ``ts_ns``; at equal stamps prints before what they caused, then ``seq`` where the
    tables share one feed, else quotes before depth. Where quotes have ``update_id`` and depth
    ``last_seq`` (Binance), the venue's own count decides what is newer: a quote that the book
    already contains is left out, and one newer than the depth message behind it is set again.

    Only a quote feed that tells every touch will do. At its own stamp a depth message must show
    what the last quote said: on the recorded Binance and Bybit feeds it does in 99 of 100 messages,
    where the quotes are a ticker sent now and then in as few as none. Below `AGREEMENT` (from
    `JUDGED` messages on) the symbol is left as it is, with a note, or refused if it was named.

    Parameters
    ----------
    symbols : names that the market knows; None = all that have both depth and quotes.

    Returns
    -------
    MarketData : ``seq`` of depth and quotes of these symbols is raised (prints first); depth has
        lost the columns of the venue's ids, for the new rows have none. The rest is unchanged.

    Raises
    ------
    InvalidInput : a named symbol without depth or quotes. InvalidData : a named symbol whose quotes
        disagree with its depth.

    When it lies: levels behind the touch stay as old as their depth message; a level that a quote
    passed over and that came back in between is missing until the next one.
    """
    quoted = set() if market.quotes is None else set(market.quotes.present)
    able = set() if market.depth is None else quoted & set(market.depth.present)
    names = able if symbols is None else set(symbols)
    if names - able:
        raise InvalidInput("symbols", min(names - able), "aligning needs its depth and its quotes")
    if not names or market.depth is None or market.quotes is None:
        return market
    agree = {name: _agreement(market, name) for name in sorted(names)}
    poor = [name for name in agree if agree[name] < AGREEMENT]
    told = {name: _told(agree[name]) for name in poor}
    if poor and symbols is not None:
        raise InvalidData(f"{poor[0]}: {told[poor[0]]}")
    notes = [Finding("ticker_quotes", "info", "quotes", n, 1, -1, told[n]) for n in poor]
    return _replaced(market, names - set(poor)).with_notes(*notes)


def _told(share: float) -> str:
    return (
        f"the quotes are those of {share:.0%} of the depth messages at the same time, so they do "
        "not tell every touch; depth is used without them"
    )


def _agreement(market: MarketData, symbol: str) -> float:
    """Share of depth messages (the last of each stamp) whose touch the last quote had told."""
    assert market.depth is not None  # the caller saw both
    assert market.quotes is not None
    depth, quotes = market.depth.of(symbol), market.quotes.of(symbol)
    units = units_of(market.instruments[symbol])
    top = touches(depth, units)
    ts = depth["ts_ns"][top.start]
    at = np.searchsorted(quotes["ts_ns"], ts, side="right") - 1
    both = (top.bid_quantity > 0) & (top.ask_quantity > 0)
    judged = (at >= 0) & np.append(np.diff(ts) > 0, True) & both
    if judged.sum() < JUDGED:
        return 1.0
    same = np.ones(len(ts), dtype=bool)
    for name, best in (("bid", top.bid), ("ask", top.ask)):
        same &= units.prices(best) == units.prices(quotes[name])[at]
    return float(same[judged].mean())


def _replaced(market: MarketData, names: set[str]) -> MarketData:
    """The market with the depth of these symbols aligned."""
    if not names or market.depth is None or market.quotes is None:
        return market
    depth, quotes = [], []
    for name in market.depth.present:
        rows = market.depth.of(name)
        if name in names:
            shift = _shift(market, name)
            rows, touch = _raised(rows, shift), _raised(market.quotes.of(name), shift)
            units = units_of(market.instruments[name])
            rows = _merged(rows, touch, units, name, market.shared_seq)
            quotes.append(touch)
        depth.append(rows)
    quotes += [market.quotes.of(name) for name in market.quotes.present if name not in names]
    return replace(market, depth=join(depth), quotes=join(quotes))


def _shift(market: MarketData, symbol: str) -> int:
    """What to add to ``seq`` of depth and quotes so that at equal stamps every print comes first.

    A feed of its own carries the prints, and may bring the change that a print caused before it.
    """
    if market.prints is None or not market.shared_seq or symbol not in market.prints.present:
        return 0
    assert market.depth is not None  # the caller saw both
    assert market.quotes is not None
    first = min(int(t.of(symbol)["seq"].min()) for t in (market.depth, market.quotes))
    return max(0, int(market.prints.of(symbol)["seq"].max()) - first + 1)


def _raised(table: Table, shift: int) -> Table:
    columns = {**table.columns, "seq": table["seq"] + shift}
    return Table(table.kind, columns, table.symbols, table.venues).cut(slice(None))


def _merged(depth: Table, quotes: Table, units: Units, symbol: str, shared_seq: bool) -> Table:
    """The depth table of one symbol with the quotes set in."""
    starts = message_starts(depth)
    quotes = quotes.cut(_usable(quotes, units))
    ids = "update_id" in quotes and "last_seq" in depth
    sign = np.where(depth["side"] == BID, 1, -1)
    rows = _overlay(
        *_order(depth, starts, quotes, shared_seq),
        np.append(starts, len(depth)).astype(np.int64),
        np.stack([depth["side"], depth["is_snapshot"]]).astype(np.int64),
        np.stack([sign * units.prices(depth["price"]), units.quantities(depth["quantity"])]),
        depth["last_seq"][starts] if ids else np.full(len(starts), NOT_GIVEN),
        _sides(quotes, units),
        quotes["update_id"] if ids else np.full(len(quotes), NOT_GIVEN),
    )
    return _table(depth, quotes, rows, units, symbol, shared_seq)


def _usable(quotes: Table, units: Units) -> np.ndarray:
    """Quotes that are not crossed or locked; a side without price or size is not read at all."""
    bid, ask = quotes["bid"], quotes["ask"]
    return ~(units.prices(bid) >= units.prices(ask)) | ~(np.isfinite(bid) & np.isfinite(ask))


def _sides(quotes: Table, units: Units) -> np.ndarray:
    """Array (4, quotes): key and size of the bid, then of the ask; size 0 = say nothing."""
    out = []
    for name, sign in (("bid", 1), ("ask", -1)):
        price, size = quotes[name], quotes[f"{name}_quantity"]
        good = np.isfinite(price) & (price > 0) & np.isfinite(size) & (size > 0)
        out += [sign * units.prices(price), np.where(good, units.quantities(size), 0)]
    return np.stack(out)


def _order(
    depth: Table, starts: np.ndarray, quotes: Table, shared_seq: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Messages and quotes in running order: positions, and whether each is a quote."""
    n = len(starts)
    is_quote = np.arange(n + len(quotes)) >= n
    ts = np.concatenate([depth["ts_ns"][starts], quotes["ts_ns"]])
    seq = np.concatenate([depth["seq"][starts], quotes["seq"]])
    at = np.concatenate([np.arange(n), np.arange(len(quotes))])
    first = np.zeros(len(ts), dtype=bool) if shared_seq else ~is_quote
    order = np.lexsort((seq, first, ts))
    return at[order], is_quote[order]


def _table(
    depth: Table, quotes: Table, rows: np.ndarray, units: Units, symbol: str, shared_seq: bool
) -> Table:
    at, kind, side, key, size = rows.T
    quoted, old = kind == QUOTED, kind == OLD

    def both(name: str) -> np.ndarray:
        out = np.empty(len(at), dtype=np.int64)
        out[quoted], out[~quoted] = quotes[name][at[quoted]], depth[name][at[~quoted]]
        return out

    price, quantity = np.abs(key) / units.price, size / units.quantity
    price[old], quantity[old] = depth["price"][at[old]], depth["quantity"][at[old]]
    flags = np.zeros(len(at), dtype=np.int8)
    flags[~quoted] = depth["is_snapshot"][at[~quoted]]

    columns = {
        "ts_ns": both("ts_ns"),
        "side": side,
        "price": price,
        "quantity": quantity,
        "is_snapshot": flags,
    }
    if shared_seq:
        columns["seq"] = both("seq")
    else:
        new = np.ones(len(at), dtype=bool)
        message = -1 - at
        message[~quoted] = depth["seq"][at[~quoted]]
        new[1:] = np.diff(quoted) | (np.diff(message) != 0) | (np.diff(columns["ts_ns"]) != 0)
        columns["seq"] = np.cumsum(new)
    if "local_ts_ns" in depth and "local_ts_ns" in quotes:
        columns["local_ts_ns"] = both("local_ts_ns")
    return build("depth", columns, symbol=symbol, venue=depth.venues[int(depth["venue"][0])])[0]


@maker
def _put(out: np.ndarray, n: int, at: int, kind: int, side: int, key: int, size: int) -> np.ndarray:
    """`out` with a row more, moved to a larger array if it was full."""
    if n == len(out):
        bigger = np.empty((2 * n, 5), dtype=np.int64)
        bigger[:n] = out
        out = bigger
    out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4] = at, kind, side, key, size
    return out


@maker
def _touch(
    keys: np.ndarray,
    sizes: np.ndarray,
    n: int,
    key: int,
    size: int,
    out: np.ndarray,
    made: int,
    at: int,
    kind: int,
    side: int,
) -> tuple[int, np.ndarray, int]:
    """Make (key, size) the best level of one side, and write the rows that say so."""
    while n > 0 and keys[n - 1] > key:
        n -= 1
        out = _put(out, made, at, kind, side, keys[n], 0)
        made += 1
    shown = n > 0 and keys[n - 1] == key
    if not shown:
        keys[n] = key
        sizes[n] = 0
        n += 1
    if sizes[n - 1] != size:
        sizes[n - 1] = size
        out = _put(out, made, at, kind, side, key, size)
        made += 1
    return n, out, made


@maker
def _overlay(
    order: np.ndarray,
    is_quote: np.ndarray,
    starts: np.ndarray,
    flags: np.ndarray,
    levels: np.ndarray,
    message_ids: np.ndarray,
    quotes: np.ndarray,
    quote_ids: np.ndarray,
) -> np.ndarray:
    """Rows (at, kind, side, key, size) of the new depth table, in running order."""
    out = np.empty((2 * flags.shape[1] + 16, 5), dtype=np.int64)
    keys, sizes = np.zeros((2, 64), dtype=np.int64), np.zeros((2, 64), dtype=np.int64)
    unused = np.zeros(64, dtype=np.int64)
    count = np.zeros(2, dtype=np.int64)
    made, seen, newest, last = 0, False, NOT_GIVEN, -1
    for e in range(len(order)):
        at, kind, source = order[e], QUOTED, order[e]
        if is_quote[e]:
            if not seen or (quote_ids[at] != NOT_GIVEN and quote_ids[at] <= newest):
                continue
            last = at
        else:
            seen = True
            if flags[1, starts[at]] == 1:
                count[:] = 0
            for row in range(starts[at], starts[at + 1]):
                side = flags[0, row]
                if count.max() + 2 >= keys.shape[1]:
                    keys, sizes = _wider(keys), _wider(sizes)
                    unused = np.zeros(keys.shape[1], dtype=np.int64)
                count[side] = set_level(
                    keys[side], sizes[side], unused, count[side], levels[0, row], levels[1, row]
                )
                out = _put(out, made, row, OLD, side, levels[0, row], levels[1, row])
                made += 1
            newest = message_ids[at]
            if last < 0 or newest == NOT_GIVEN or quote_ids[last] <= newest:
                continue
            kind, source = ADDED, starts[at]
        for side in range(2):
            if quotes[2 * side + 1, last] > 0:
                if count[side] + 2 >= keys.shape[1]:
                    keys, sizes = _wider(keys), _wider(sizes)
                    unused = np.zeros(keys.shape[1], dtype=np.int64)
                n, out, made = _touch(
                    keys[side],
                    sizes[side],
                    count[side],
                    quotes[2 * side, last],
                    quotes[2 * side + 1, last],
                    out,
                    made,
                    source,
                    kind,
                    side,
                )
                count[side] = n
    return out[:made]


@maker
def _wider(array: np.ndarray) -> np.ndarray:
    bigger = np.zeros((2, 2 * array.shape[1]), dtype=np.int64)
    bigger[:, : array.shape[1]] = array
    return bigger
