"""A rehearsal exchange whose clock is moved by hand, and a real feed that listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.rehearsal import Rehearsal
from execkit.sample import make_book
from execkit.venues.feed import Feed
from execkit.venues.feed_events import Event
from execkit.venues.quirks import quirks_for
from execkit.venues.recording import Recording

MS = 1_000_000
PATIENCE_S = 30.0
BTC = "BTCUSDT"


def moving(minutes: int = 2, seed: int = 7, instrument: Instrument | None = None) -> MarketData:
    """A book with 100 ms messages and prints, of the instrument if one is given."""
    made = make_book(minutes, seed)
    if instrument is None:
        return made
    frames = {
        kind: table.frame().assign(symbol=instrument.symbol) for kind, table in made.tables.items()
    }
    known = {"instruments": [instrument], "venue": "rehearsal"}
    depth = MarketData.from_depth(frames["depth"], **known)
    prints = MarketData.from_prints(frames["prints"], **known)
    return replace(depth, prints=prints.prints, shared_seq=True)


async def until(done: Callable[[], bool], what: str = "") -> None:
    """Wait for something that is on its way."""
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.005)


def stepped(do: Callable[[Rehearsal, Feed], Awaitable[None]], **settings: Any) -> None:
    """`do(rehearsal, feed)` with both running; the clock stands still until it is moved."""

    async def run() -> None:
        async with streamed(**settings) as (r, feed):
            await do(r, feed)

    asyncio.run(asyncio.wait_for(run(), 4 * PATIENCE_S))


@asynccontextmanager
async def streamed(
    market: MarketData | None = None,
    exchange: str = "binance",
    symbols: Sequence[str] = (BTC,),
    kinds: Sequence[str] = ("depth", "prints"),
    record: Path | None = None,
    sink: Callable[[Event], None] | None = None,
    started: bool = True,
    subscribed: bool = True,
    **settings: Any,
) -> AsyncIterator[tuple[Rehearsal, Feed]]:
    """record : a folder that all is recorded to, in parts of a third of a second; sink : told of
    all, from before the first."""
    async with Rehearsal(exchange, market=market or moving(), speed=0) as r:
        feed = Feed(quirks_for(exchange), symbols, kinds, route=r.route, **settings)
        if sink is not None:
            feed.board.listen(sink)
        recording = writing = None
        if record is not None:
            recording = Recording(feed.board, record, exchange, part_s=0.3)
            writing = asyncio.create_task(recording.run())
        try:
            if started:
                await feed.start()
            if started and subscribed:
                await all_subscribed(r, feed)
            yield r, feed
        finally:
            await feed.close()
            if recording is not None and writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                await recording.close()


async def all_subscribed(r: Rehearsal, feed: Feed) -> None:
    """Wait until the exchange (Binance) knows of every stream: what it said before is not ours."""
    names = {"depth": "depth@100ms", "prints": "trade", "quotes": "bookTicker"}
    wanted = {
        f"{symbol.lower()}@{names[kind]}"
        for symbol in feed.symbols
        for kind in feed.board.kinds
        if kind in names
    }

    def there() -> bool:
        return wanted <= {t for s in (r.wire.sockets if r.wire else ()) for t in s.topics}

    await until(there)


async def move(r: Rehearsal, feed: Feed, ns: int, step_ns: int = 100 * MS) -> None:
    """Move the exchange's clock in steps, and wait after each until all of it was received."""
    for _ in range(max(1, ns // step_ns)):
        r.clock.advance(step_ns)
        await caught_up(r, feed)


async def caught_up(r: Rehearsal, feed: Feed) -> None:
    def there() -> bool:
        for symbol in feed.symbols:
            known, told = feed.board.market(symbol), r.exchange.feeds[symbol]
            if "depth" in feed.board.kinds and known.last_seq != told.update_id:
                return False
            newest = told.prints[-1].print_id if told.prints else -1
            if "prints" in feed.board.kinds and newest > max(known.ids, default=newest):
                return False
        return True

    await until(there)
