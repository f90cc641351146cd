"""The book of a live paper venue: the simulator's kernel on a tape that grows as it is received.

The tape's time is the time of receipt (`local_ts_ns`): it never runs backwards, and an order sent
here is on the same clock. What has run is forgotten; what the rules carry over (the book, own
orders and their places in the queues) stays in the kernel's `Core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.instruments import Units, units_of
from execkit.matching import loop
from execkit.matching import state as st
from execkit.matching.tape import SymbolTape, empty_tape
from execkit.models.fill import FillModel
from execkit.venues.feed_events import DepthMessage, Event, MarketPrint, QuoteMessage
from execkit.venues.paper_book import PaperBook

_TABLES = ((st.DEPTH, "depth"), (st.QUOTE, "quotes"), (st.PRINT, "prints"))


class FeedBook(PaperBook):
    """Orders of one symbol against what a feed has told so far.

    fidelity : "depth", "quotes" or "prints"; events of the other books are left out, prints count
    on all. top : a price of now, which says whether the tick means anything (on quotes).
    """

    def __init__(
        self,
        instrument: Instrument,
        model: FillModel,
        fidelity: str,
        position: Decimal | None = None,
        top: float = 1.0,
    ) -> None:
        units = units_of(instrument)
        price = units.prices(np.array([top]))[0]
        shown = np.array([[price], [1], [price], [1]])
        tape = empty_tape()._replace(quotes=shown)
        known = (instrument.symbol, fidelity, instrument, units)
        self._begin(SymbolTape(*known, tape, 1, "", inferred=False), model, position)
        self._market = replace(self._market, events=empty_tape())
        self._tape = empty_tape()
        self._waiting: list[Event] = []
        self._takes = (MarketPrint, {"depth": DepthMessage, "quotes": QuoteMessage}.get(fidelity))

    def receive(self, event: Event) -> None:
        """Note an event; it joins the tape at the next `take_in`."""
        if type(event) in self._takes:
            self._waiting.append(event)

    def take_in(self) -> None:
        """Put what was received behind what has not run yet, and forget what has."""
        if not self._waiting:
            return
        new, self._waiting = tape_of(self._waiting, self._market.units), []
        self._tape = joined(self._tape, self._cursor, new)
        self._ts = self._tape.ts
        self._core.s[st.AT_TAPE] = self._cursor = 0
        s = self._core.s
        levels = 1 if self._market.fidelity != "depth" else len(np.unique(new.depth[1]))
        room = int(max(s[st.N_BIDS], s[st.N_ASKS])) + levels + 1
        if room > self._core.levels.shape[1]:
            self._core = st.grow(self._core, levels=2 * room)

    def advance(self, until_ns: int, *, stop: bool) -> int | None:
        """Run up to `until_ns`, orders or not: what has run can be forgotten."""
        self._core, _ = loop.run(self._core, self._tape, until_ns, stop=stop)
        self._cursor = int(self._core.s[st.AT_TAPE])
        n = int(self._core.s[st.N_LOG])
        return int(self._core.log[st.L_TS, n - 1]) if stop and n else None

    def check(self, order: ExecutionOrder, sent_ns: int) -> None:
        """Raise `InvalidInput` for what the exchange would not take."""
        self.instrument.check(order.quantity, order.price)
        if order.stop_price is not None and order.stop_price % self.instrument.tick_size:
            raise InvalidInput(
                "stop_price", order.stop_price, f"is not a multiple of {self.instrument.tick_size}"
            )

    def next_ns(self) -> int | None:
        """Nobody knows when the market moves next."""
        return None

    def last_ns(self) -> int | None:
        """A live market has no last event."""
        return None

    def _beyond(self, ts_ns: int) -> bool:
        return False


def tape_of(events: Sequence[Event], units: Units) -> st.Tape:
    """Events in order of receipt as a tape, equal to that of a market of the same rows."""
    ts: list[int] = []
    kind: list[int] = []
    at: list[int] = []
    depth: list[tuple[float, ...]] = []
    quotes: list[tuple[float, ...]] = []
    prints: list[tuple[float, ...]] = []
    for event in events:
        if isinstance(event, DepthMessage):
            n, first = len(event.levels), len(depth)
            ts += [event.local_ts_ns] * n
            kind += [st.DEPTH] * n
            at += range(first, first + n)
            whole = event.is_snapshot
            depth += [
                (*level, 0 if not whole else 1 if i == 0 else 2, i == n - 1)
                for i, level in enumerate(event.levels)
            ]
            continue
        if isinstance(event, MarketPrint):
            at.append(len(prints))
            kind.append(st.PRINT)
            prints.append((event.price, event.quantity, event.aggressor))
        elif isinstance(event, QuoteMessage):
            at.append(len(quotes))
            kind.append(st.QUOTE)
            quotes.append((event.bid, event.bid_quantity, event.ask, event.ask_quantity))
        else:
            continue
        ts.append(event.local_ts_ns)
    return st.Tape(
        ts=np.array(ts, dtype=np.int64),
        kind=np.array(kind, dtype=np.int8),
        at=np.array(at, dtype=np.int64),
        depth=_scaled(depth, 5, {1: units.price, 2: units.quantity}),
        quotes=_quotes(quotes, units),
        prints=_scaled(prints, 3, {0: units.price, 1: units.quantity}),
        bars=np.zeros((4, 0), dtype=np.int64),
        volume=np.zeros(0),
    )


def joined(tape: st.Tape, cursor: int, new: st.Tape) -> st.Tape:
    """What of `tape` begins at `cursor`, and `new` behind it."""
    if cursor == len(tape.ts):
        return new
    at, rows = tape.at[cursor:].copy(), new.at.copy()
    kinds = tape.kind[cursor:]
    tables = {}
    for code, name in _TABLES:
        mine = kinds == code
        old: np.ndarray = getattr(tape, name)
        first = int(at[mine][0]) if mine.any() else old.shape[1]
        at[mine] -= first
        rows[new.kind == code] += old.shape[1] - first
        tables[name] = np.concatenate([old[:, first:], getattr(new, name)], axis=1)
    return new._replace(
        ts=np.concatenate([tape.ts[cursor:], new.ts]),
        kind=np.concatenate([kinds, new.kind]),
        at=np.concatenate([at, rows]),
        **tables,
    )


def _scaled(rows: list[tuple[float, ...]], width: int, units: dict[int, float]) -> np.ndarray:
    if not rows:
        return np.zeros((width, 0), dtype=np.int64)
    values = np.array(rows, dtype=np.float64).T.copy()
    for row, unit in units.items():
        values[row] = np.rint(np.where(np.isfinite(values[row]), values[row], 0.0) * unit)
    return values.astype(np.int64)


def _quotes(rows: list[tuple[float, ...]], units: Units) -> np.ndarray:
    if not rows:
        return np.zeros((4, 0), dtype=np.int64)
    values = np.array(rows, dtype=np.float64).T
    out = []
    for price, size in (values[:2], values[2:]):
        good = np.isfinite(price) & (price > 0) & np.isfinite(size) & (size > 0)
        out += [
            np.where(good, units.prices(price), 0),
            np.where(good, np.maximum(units.quantities(size), 0), 0),
        ]
    return np.stack(out)
