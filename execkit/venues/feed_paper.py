"""FeedPaper: a paper venue on live streams, matched by the simulator's own kernel as they arrive.

Its market's time is the time at which things are received here, the clock that orders are on as
well. `simulate(orders, recording.as_received())` on a recording of the same feed gives the same
fills, row for row, where orders reached the venue by their `entry` latency.

When it lies: the book is as old as the feed, so what a real order would have met is newer than what
this one meets by one way of the network. Put that into the latency: `entry_ns` = the round trip
that you measure on real orders, not half of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput, RetryLater
from execkit.models.base import FeeLike, LatencyLike
from execkit.models.fill import FillModel
from execkit.venues.base import Quote
from execkit.venues.board import Board
from execkit.venues.feed_book import FeedBook
from execkit.venues.feed_events import BookState, Event, Gap
from execkit.venues.paper import PaperVenue


class LiveFeed(Protocol):
    """A board, and what keeps it fed."""

    @property
    def board(self) -> Board: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class FeedPaper(PaperVenue):
    """A paper venue over a live feed; runs on a `LiveClock` inside `ExecutionEngine`.

    Parameters
    ----------
    feed : of depth, quotes or prints (the best of them is matched against, with prints beside it).
    It is started by `connect` and closed by `close`. Others: as in `PaperVenue`.
    """

    def __init__(
        self,
        feed: LiveFeed,
        name: str = "paper",
        fill: str | FillModel = "queue",
        *,
        fee: FeeLike | None = None,
        latency: LatencyLike | None = None,
        seed: int = 0,
        initial_positions: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.feed = feed
        self._now_ns = 0
        self._listening = False
        self._assume(name, fill, fee, latency, seed, initial_positions)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.feed.board.instruments

    async def connect(self) -> None:
        """Start the feed; returns when every symbol has a price. Raises `RetryLater` naming those
        that have none in time."""
        if not self._listening:  # before the first message, so that nothing is missed
            self.feed.board.listen(self._receive)
            self._listening = True
        await self.feed.start()

    async def close(self) -> None:
        if self._listening:
            self.feed.board.unlisten(self._receive)
            self._listening = False
        await self.feed.close()

    async def submit(self, order: ExecutionOrder) -> None:
        """As `PaperVenue.submit`; also `RetryLater` (not sent) while the market cannot be seen:
        nobody knows what the order would meet."""
        board = self.feed.board
        if order.symbol not in board.instruments:
            known = ", ".join(sorted(board.instruments))
            raise InvalidInput("symbol", order.symbol, f"the market has: {known}")
        state = board.state(order.symbol)
        if state in (BookState.WAITING, BookState.STALE, BookState.BROKEN):
            raise RetryLater(f"the {board.book_kind} of {order.symbol} is {state}: not sent")
        await super().submit(order)

    def quote(self, symbol: str) -> Quote | None:
        """What was received last, on the clock of this market; None while it cannot be trusted."""
        found = self.feed.board.quote(symbol)
        return None if found is None else _here(found)

    def seen(self, symbol: str, moments_ns: Sequence[int]) -> list[Quote]:
        """The quotes known at each moment, of the last few thousand, and the newest one."""
        return [_here(q) for q in self.feed.board.seen(symbol, moments_ns, self._now_ns)]

    def advance(self, until_ns: int) -> int:
        """Run what was received up to `until_ns`, or just past the first moment that has an
        update. What is received later is later than `until_ns`."""
        self.feed.board.not_before(until_ns + 1)
        for book in self._books.values():
            if isinstance(book, FeedBook):
                book.take_in()
        return super().advance(max(until_ns, self._now_ns))

    def _sent_ns(self, order: ExecutionOrder) -> int:
        return order.sent_ts_ns or order.created_ts_ns

    def _receive(self, event: Event) -> None:
        if isinstance(event, Gap):
            return  # the book stands as it was until the next snapshot, as in a recording
        book = self._book(event.symbol)
        if isinstance(book, FeedBook):
            book.receive(event)

    def _book(self, symbol: str) -> FeedBook:
        book = self._books.get(symbol)
        if isinstance(book, FeedBook):
            return book
        board = self.feed.board
        if symbol not in board.instruments:
            known = ", ".join(sorted(board.instruments))
            raise InvalidInput("symbol", symbol, f"the market has: {known}")
        quote = board.market(symbol).quote
        made = FeedBook(
            board.instruments[symbol],
            self.fill,
            board.book_kind,
            self._start.get(symbol),
            top=1.0 if quote is None else max(quote.bid, quote.ask),
        )
        self._books[symbol] = made
        return made


def _here(quote: Quote) -> Quote:
    return replace(quote, ts_ns=quote.local_ts_ns)
