"""What a board keeps of one symbol: both sides of its book, its last quote, what was heard when."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import nan

from execkit.venues.base import Quote
from execkit.venues.feed_events import Gap, MarketPrint, QuoteMessage

PRINTS_HELD = 100_000

Touch = tuple[float, float, float, float, int, int, float]
"""Bid, ask, their sizes, the venue's time, the local time, the last print."""


class Side:
    """One side of a book: sizes by price, and the prices in order."""

    def __init__(self) -> None:
        self.sizes: dict[float, float] = {}
        self.prices: list[float] = []

    def set(self, price: float, size: float) -> None:
        known = price in self.sizes
        if size > 0:
            self.sizes[price] = size
            if not known:
                insort(self.prices, price)
        elif known:
            del self.sizes[price]
            del self.prices[bisect_left(self.prices, price)]

    def clear(self) -> None:
        self.sizes.clear()
        self.prices.clear()


@dataclass(eq=False)
class Market:
    """What is known of one symbol."""

    bids: Side = field(default_factory=Side)
    asks: Side = field(default_factory=Side)
    quote: QuoteMessage | None = None
    last: float = nan
    whole: bool = False  # a snapshot came, and no gap since
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    book_seq: int = -1
    book_ts_ns: int = 0
    book_local_ns: int = -1
    last_seq: int = -1
    heard_ns: dict[str, int] = field(default_factory=dict)  # by kind, local
    stamps_ns: dict[str, int] = field(default_factory=dict)  # by kind, the venue's
    open_gaps: dict[str, Gap] = field(default_factory=dict)
    ids: deque[int] = field(default_factory=lambda: deque(maxlen=4096))
    id_set: set[int] = field(default_factory=set)
    touches: deque[Touch] = field(default_factory=lambda: deque(maxlen=4096))


def quote_of(symbol: str, touch: Touch) -> Quote:
    bid, ask, bid_size, ask_size, ts, local, last = touch
    return Quote(
        symbol=symbol,
        ts_ns=ts,
        bid=bid,
        ask=ask,
        bid_quantity=bid_size,
        ask_quantity=ask_size,
        last=last,
        local_ts_ns=local,
    )


class Held:
    """Prints that wait for one reader."""

    def __init__(self) -> None:
        self.rows: deque[MarketPrint] = deque(maxlen=PRINTS_HELD)
        self.ready = asyncio.Event()
        self.lost = 0

    def put(self, one: MarketPrint) -> None:
        self.lost += len(self.rows) == PRINTS_HELD
        self.rows.append(one)
        self.ready.set()
