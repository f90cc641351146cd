"""Board: what is known of some markets now, kept from what a feed receives, and told to others.

It stamps, orders and judges what it is given. A book with a gap, a crossed book, one that holds an
impossible number and one that nobody has heard of for too long have no price here: `quote` is None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from math import inf, nan

import numpy as np

from execkit.clock import NS_PER_S, Clock, LiveClock
from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import Book
from execkit.tables import ASK, BID
from execkit.venues.base import Quote
from execkit.venues.feed_events import (
    BarMessage,
    BookState,
    DepthMessage,
    Event,
    FundingMessage,
    Gap,
    Level,
    MarketPrint,
    QuoteMessage,
    Sink,
)
from execkit.venues.watched import PRINTS_HELD, Held, Market, Touch, quote_of

GAPS_KEPT = 10_000


class Board:
    """Parameters
    ----------
    instruments : of the symbols that are watched (more: `watch`). kinds : of "depth", "quotes",
    "prints", "bars", "funding". stale_s : a book or quote not heard of for so long has no price.
    consecutive_ids : whether ids of prints are counted without holes, so that a hole is a print
    that was missed.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        kinds: Sequence[str],
        *,
        clock: Clock | None = None,
        stale_s: float = 15.0,
        consecutive_ids: bool = False,
    ) -> None:
        self.instruments = dict(instruments)
        self.kinds = tuple(kinds)
        self.clock = clock or LiveClock()
        self.stale_ns = round(stale_s * NS_PER_S)
        self.consecutive_ids = consecutive_ids
        self.markets = {symbol: Market() for symbol in self.instruments}
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        self.epoch = 0
        self.seq = 0
        self.counts: dict[str, int] = dict.fromkeys((*self.kinds, "duplicates", "refused"), 0)
        self._sinks: list[Sink] = []
        self._floor_ns = 0
        self._offset_ns: int | None = None  # least (local - venue) seen
        self._print_queues: list[tuple[str, Held]] = []

    def watch(self, instruments: Mapping[str, Instrument]) -> None:
        """Take in more symbols."""
        for symbol, instrument in instruments.items():
            self.instruments[symbol] = instrument
            self.markets.setdefault(symbol, Market())

    # ------------------------------------------------------------------ asking

    @property
    def book_kind(self) -> str:
        """The kind of data that prices come from: "depth", else "quotes", else "prints"."""
        return next((k for k in ("depth", "quotes") if k in self.kinds), "prints")

    def market(self, symbol: str) -> Market:
        try:
            return self.markets[symbol]
        except KeyError:
            known = ", ".join(sorted(self.markets))
            raise InvalidInput("symbol", symbol, f"this feed watches: {known}") from None

    def state(self, symbol: str) -> BookState:
        """Whether the book (or quote) of a symbol can be priced from, and if not, why."""
        m, kind = self.market(symbol), self.book_kind
        if kind in m.open_gaps:
            return BookState.BROKEN
        heard = m.heard_ns.get(kind)
        if heard is None or (kind == "depth" and not m.whole):
            return BookState.WAITING
        if self.clock.now_ns() - heard > self.stale_ns:
            return BookState.STALE
        bid, ask = self._touch(m)[:2]
        return BookState.CROSSED if bid >= ask else BookState.LIVE

    def quote(self, symbol: str) -> Quote | None:
        """Best bid and ask, and the last print; None unless `state` is LIVE."""
        live = self.state(symbol) is BookState.LIVE
        return quote_of(symbol, self._touch(self.markets[symbol])) if live else None

    def touch(self, symbol: str) -> Touch:
        """Best bid and ask as they were heard, to be trusted or not."""
        return self._touch(self.market(symbol))

    def book(self, symbol: str, levels: int = 20) -> Book | None:
        """The best `levels` of both sides; None unless `state` is LIVE, or without depth."""
        if self.book_kind != "depth" or self.state(symbol) is not BookState.LIVE:
            return None
        m = self.market(symbol)
        bids = [(p, m.bids.sizes[p]) for p in m.bids.prices[: -levels - 1 : -1]]
        asks = [(p, m.asks.sizes[p]) for p in m.asks.prices[:levels]]
        sides = (np.array(s, dtype=np.float64).reshape(-1, 2) for s in (bids, asks))
        return Book(symbol, m.book_ts_ns, *sides)

    def opening(self, symbol: str) -> DepthMessage | None:
        """The whole book as a snapshot with the stamps of its last message; None if not whole."""
        m = self.market(symbol)
        if not m.whole or m.book_seq < 0:
            return None
        levels = [(BID, p, m.bids.sizes[p]) for p in m.bids.prices]
        levels += [(ASK, p, m.asks.sizes[p]) for p in m.asks.prices]
        if not levels:
            return None
        stamps = (m.book_ts_ns, m.book_local_ns, m.book_seq)
        return DepthMessage(symbol, *stamps, tuple(levels), True, m.last_seq)

    def seen(self, symbol: str, moments_ns: Sequence[int], now_ns: int) -> list[Quote]:
        """The quotes of the last while that were known at each moment (local ns), and the newest;
        each once, in order."""
        kept = list(self.market(symbol).touches)
        at = np.array([touch[5] for touch in kept], dtype=np.int64)
        asked = np.minimum(np.append(np.asarray(moments_ns, dtype=np.int64), now_ns), now_ns)
        rows = np.unique(np.searchsorted(at, asked, side="right") - 1)
        return [quote_of(symbol, kept[int(row)]) for row in rows if row >= 0]

    def _touch(self, m: Market) -> Touch:
        if self.book_kind == "depth":
            bid = m.bids.prices[-1] if m.bids.prices else nan
            ask = m.asks.prices[0] if m.asks.prices else nan
            sizes = (m.bids.sizes.get(bid, 0.0), m.asks.sizes.get(ask, 0.0))
            return bid, ask, *sizes, m.book_ts_ns, m.book_local_ns, m.last
        q = m.quote
        if q is not None:
            sizes = q.bid_quantity, q.ask_quantity
            return q.bid, q.ask, *sizes, q.ts_ns, q.local_ts_ns, m.last
        stamps = m.stamps_ns.get("prints", 0), m.heard_ns.get("prints", 0)
        return nan, nan, 0.0, 0.0, *stamps, m.last

    # ------------------------------------------------------------------ telling others

    def listen(self, sink: Sink) -> None:
        """Tell `sink` of every event from now on; of books that are whole already, a snapshot."""
        self._sinks.append(sink)
        for symbol in self.markets:
            if (message := self.opening(symbol)) is not None:
                sink(message)

    def unlisten(self, sink: Sink) -> None:
        self._sinks.remove(sink)

    async def quotes(self, symbol: str) -> AsyncGenerator[Quote]:
        """The newest quote, each time that it has changed since the last one was taken: a slow
        reader misses those between (conflation). Says nothing while there is no price."""
        m, seen = self.market(symbol), -1
        while True:
            m.changed.clear()
            quote = self.quote(symbol)
            if quote is not None and quote.local_ts_ns != seen:
                seen = quote.local_ts_ns
                yield quote
                continue
            await m.changed.wait()

    async def prints(self, symbol: str) -> AsyncGenerator[list[MarketPrint]]:
        """All prints since the last time that this was read, oldest first; none is lost while no
        more than `PRINTS_HELD` wait. What was lost beyond is told as a gap "slow reader"."""
        self.market(symbol)
        held = Held()
        self._print_queues.append((symbol, held))
        try:
            while True:
                await held.ready.wait()
                held.ready.clear()
                batch, held.rows = list(held.rows), deque(maxlen=PRINTS_HELD)
                if held.lost:
                    now = self.clock.now_ns()
                    from_ns, held.lost = batch[0].local_ts_ns, 0
                    self._note(Gap(symbol, "prints", "slow reader", from_ns, now, self.epoch))
                yield batch
        finally:
            self._print_queues.remove((symbol, held))

    def tell(self, event: Event) -> None:
        """Pass an event on to all sinks, as it is."""
        for sink in self._sinks:
            sink(event)

    # ------------------------------------------------------------------ receiving

    def not_before(self, ts_ns: int) -> None:
        """What is received from now on is stamped at `ts_ns` or later: others have acted upon what
        was known before."""
        self._floor_ns = max(self._floor_ns, ts_ns)

    def stamp(self) -> int:
        """Local time of a message that is received now; rises strictly."""
        now = max(self.clock.now_ns(), self._floor_ns)
        self._floor_ns = now + 1
        return now

    def take_depth(
        self,
        symbol: str,
        ts_ns: int | None,
        local_ns: int,
        levels: Sequence[Level],
        *,
        snapshot: bool = False,
        last_seq: int = -1,
    ) -> bool:
        """One message of a book. False if it holds an impossible number, or if it changes a book
        that is not whole: then it was not taken, and the book has to be fetched anew."""
        m = self.market(symbol)
        if not all(0 < price < inf and 0 <= size < inf for _, price, size in levels):
            self.counts["refused"] += 1
            self.begin_gap(symbol, "depth", "damaged", str(levels[:3]))
            return False
        if not snapshot and not m.whole:
            self.counts["refused"] += 1
            return False
        if not levels:
            m.heard_ns["depth"] = local_ns
            return True
        if snapshot:
            m.bids.clear()
            m.asks.clear()
            m.whole = True
        for side, price, size in levels:
            (m.bids if side == BID else m.asks).set(price, size)
        ts = self._venue_ns(m, "depth", ts_ns, local_ns)
        self.seq += 1
        m.book_seq, m.book_ts_ns, m.book_local_ns = self.seq, ts, local_ns
        m.last_seq = last_seq
        self._heard(symbol, m, "depth", local_ns)
        self.tell(DepthMessage(symbol, ts, local_ns, self.seq, tuple(levels), snapshot, last_seq))
        self._touched(m)
        return True

    def take_print(
        self,
        symbol: str,
        ts_ns: int | None,
        local_ns: int,
        price: float,
        quantity: float,
        aggressor: int = 2,
        trade_id: int = -1,
    ) -> None:
        """One public print; one that came before (by its id) is counted and left out."""
        m = self.market(symbol)
        if not (0 < price < inf and 0 < quantity < inf):
            self.counts["refused"] += 1
            return
        if trade_id >= 0 and not self._new_id(symbol, m, trade_id, local_ns):
            self.counts["duplicates"] += 1
            return
        ts = self._venue_ns(m, "prints", ts_ns, local_ns)
        self.seq += 1
        one = MarketPrint(symbol, ts, local_ns, self.seq, price, quantity, aggressor, trade_id)
        m.last = price
        self._heard(symbol, m, "prints", local_ns)
        self.tell(one)
        for name, held in self._print_queues:
            if name == symbol:
                held.put(one)
        if self.book_kind == "prints":
            self._touched(m)

    def take_quote(
        self,
        symbol: str,
        ts_ns: int | None,
        local_ns: int,
        bid: tuple[float, float],
        ask: tuple[float, float],
    ) -> None:
        """A best bid and ask, each (price, quantity); NaN for a side that is not there."""
        m = self.market(symbol)
        ts = self._venue_ns(m, "quotes", ts_ns, local_ns)
        self.seq += 1
        m.quote = QuoteMessage(symbol, ts, local_ns, self.seq, bid[0], ask[0], bid[1], ask[1])
        self._heard(symbol, m, "quotes", local_ns)
        self.tell(m.quote)
        if self.book_kind == "quotes":
            self._touched(m)

    def take_bar(self, symbol: str, open_ns: int, values: Sequence[float], step_ns: int) -> None:
        """A bar that has closed: open, high, low, close, volume. One not later than the last is
        left out."""
        m, local = self.market(symbol), self.stamp()
        if open_ns <= m.stamps_ns.get("bars", -1):
            return
        m.stamps_ns["bars"] = open_ns
        self.seq += 1
        self._heard(symbol, m, "bars", local)
        o, h, low, c, v = values
        self.tell(BarMessage(symbol, open_ns, local, self.seq, o, h, low, c, v, step_ns))

    def take_funding(self, symbol: str, ts_ns: int, rate: float, mark: float) -> None:
        """A funding that was due at `ts_ns`."""
        m, local = self.market(symbol), self.stamp()
        self.seq += 1
        self._heard(symbol, m, "funding", local)
        self.tell(FundingMessage(symbol, ts_ns, local, self.seq, rate, mark))

    def confirm(self, symbol: str, kind: str) -> None:
        """The venue was asked, and still shows what was heard last."""
        self.market(symbol).heard_ns[kind] = self.stamp()

    def begin_gap(self, symbol: str, kind: str, reason: str, detail: str = "") -> None:
        """What follows of this kind cannot join what was heard before. Ends with the next event of
        the kind (of depth, the next snapshot)."""
        m = self.market(symbol)
        if kind == "depth":
            m.whole = False
        if kind in m.open_gaps or kind not in m.heard_ns:
            return  # it lasts already, or nothing went before
        gap = Gap(symbol, kind, reason, m.heard_ns[kind], 0, self.epoch, detail)
        m.open_gaps[kind] = gap
        self.tell(gap)
        m.changed.set()

    # ------------------------------------------------------------------ parts

    def _heard(self, symbol: str, m: Market, kind: str, local_ns: int) -> None:
        m.heard_ns[kind] = local_ns
        self.counts[kind] = self.counts.get(kind, 0) + 1
        gap = m.open_gaps.pop(kind, None)
        if gap is not None:
            self._note(replace(gap, to_ns=local_ns, epoch=self.epoch))

    def _note(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self.tell(gap)

    def _touched(self, m: Market) -> None:
        touch = self._touch(m)
        if not m.touches or m.touches[-1][:4] != touch[:4] or m.touches[-1][6] != touch[6]:
            m.touches.append(touch)
        m.changed.set()

    def _new_id(self, symbol: str, m: Market, trade_id: int, local_ns: int) -> bool:
        if trade_id in m.id_set:
            return False
        if self.consecutive_ids and m.ids and trade_id > m.ids[-1] + 1:
            missed = trade_id - m.ids[-1] - 1
            if "prints" not in m.open_gaps:
                from_ns = m.heard_ns.get("prints", local_ns)
                detail = f"{missed} ids from {m.ids[-1] + 1}"
                self._note(
                    Gap(symbol, "prints", "missed prints", from_ns, local_ns, self.epoch, detail)
                )
        if len(m.ids) == m.ids.maxlen:
            m.id_set.discard(m.ids[0])
        m.ids.append(trade_id)
        m.id_set.add(trade_id)
        return True

    def _venue_ns(self, m: Market, kind: str, ts_ns: int | None, local_ns: int) -> int:
        """The venue's stamp, never before the one in front; where there is none, the local time
        less the least delay that was seen."""
        if ts_ns is not None:
            delay = local_ns - ts_ns
            self._offset_ns = delay if self._offset_ns is None else min(self._offset_ns, delay)
        else:
            ts_ns = local_ns - (self._offset_ns or 0)
        ts_ns = m.stamps_ns[kind] = max(ts_ns, m.stamps_ns.get(kind, ts_ns))
        return ts_ns
