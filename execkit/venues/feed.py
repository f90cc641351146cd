"""Feed: market data of some symbols of one exchange, kept running over a ccxt.pro client.

What the client's sockets bring goes to the `Board` as it is parsed (see `tap`); the tasks here only
keep the streams subscribed, notice what is wrong with them, and start them anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from math import isfinite, nan
from types import TracebackType
from typing import Any, Self

from execkit.clock import NS_PER_S, Clock
from execkit.domain import Instrument
from execkit.errors import FixRequest, InvalidInput, RetryLater
from execkit.timeframes import interval_ns
from execkit.venues.board import Board
from execkit.venues.client import make_client
from execkit.venues.feed_events import BookState
from execkit.venues.feed_intake import Intake, id_of
from execkit.venues.quirks import Quirks
from execkit.venues.route import Route
from execkit.venues.tap import Tap
from execkit.words import normalise_symbol

_log = logging.getLogger(__name__)

KINDS = ("depth", "quotes", "prints", "bars", "funding")
_NEEDS = {
    "depth": "watchOrderBook",
    "quotes": "watchBidsAsks",
    "prints": "watchTrades",
    "bars": "watchOHLCV",
    "funding": "fetchFundingRate",
}
_COUNTED_IDS = frozenset({"binance"})  # whose prints are numbered without holes
_BREATH_S = 0.02  # between two looks at a stream: what comes meanwhile is told by the tap
_SLOWEST_S = 30.0
_RESYNC_NS = 2 * NS_PER_S


async def load_markets(client: Any, quirks: Quirks) -> None:
    """Load a client's markets and have the quirks learn them. Raises `RetryLater` or `FixRequest`,
    by what may help."""
    try:
        await client.load_markets()
    except Exception as error:  # whatever it is, it is told in our words
        raise _outcome(quirks.id, error, "load_markets") from error
    quirks.learn(client)


def _outcome(exchange: str, error: Exception, what: str) -> Exception:
    """What the caller can do about ccxt's error."""
    import ccxt

    if isinstance(error, (FixRequest, RetryLater)):
        return error
    text = f"{exchange}, {what}: {type(error).__name__}: {str(error)[:200]}"
    hopeless = (
        ccxt.NotSupported,
        ccxt.BadSymbol,
        ccxt.ArgumentsRequired,
        ccxt.AuthenticationError,
        ccxt.RestrictedLocation,
    )
    return FixRequest(text) if isinstance(error, hopeless) else RetryLater(text)


class Feed(Intake):
    """Parameters
    ----------
    quirks : of the exchange. symbols : to watch. kinds : of "depth", "quotes", "prints", "bars",
    "funding"; books and prints if nothing is said. route : leads to a rehearsal exchange.
    stale_s : without a sign for so long a book has no price; after a third of it the exchange is
    asked whether it still stands. timeframe : of bars.

    `async with Feed(...) as feed` or `start` and `close`; what is known is on `feed.board`.
    """

    def __init__(
        self,
        quirks: Quirks,
        symbols: Sequence[str],
        kinds: Sequence[str] = ("depth", "prints"),
        *,
        route: Route | None = None,
        clock: Clock | None = None,
        stale_s: float = 15.0,
        start_timeout_s: float = 30.0,
        timeframe: str = "1m",
        funding_poll_s: float = 30.0,
    ) -> None:
        if not symbols:
            raise InvalidInput("symbols", symbols, "name at least one")
        for kind in kinds:
            if kind not in KINDS:
                raise InvalidInput("kinds", kind, f"use some of: {', '.join(KINDS)}")
        board = Board(
            {}, kinds, clock=clock, stale_s=stale_s, consecutive_ids=quirks.id in _COUNTED_IDS
        )
        super().__init__(board, quirks, interval_ns(timeframe))
        self.route = route
        self.symbols = tuple(dict.fromkeys(normalise_symbol(s) for s in symbols))
        self.timeframe = timeframe
        self.start_timeout_s, self.funding_poll_s = start_timeout_s, funding_poll_s
        self.client: Any = None
        self.failure: Exception | None = None  # a stream that will not come back by itself
        self._failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._crossed_ns: dict[str, int] = {}
        self._resynced_ns: dict[str, int] = {}

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Subscribe, and return when every symbol has a price.

        Raises `InvalidInput` for a symbol or kind that the exchange does not have, `RetryLater`
        where a symbol has no price within `start_timeout_s`; then nothing is left running.
        """
        if self.client is not None:
            return
        self.client = make_client(self.quirks, route=self.route)
        try:
            async with asyncio.timeout(self.start_timeout_s):
                await self._learn()
                Tap(self.client, self)
                self._tasks = [
                    asyncio.create_task(self._keep(kind, symbol))
                    for kind in self.board.kinds
                    for symbol in self.symbols
                ]
                self._tasks.append(asyncio.create_task(self._watch_over()))
                await self._all_priced()
        except TimeoutError:
            missing = ", ".join(s for s in self.symbols if self.board.quote(s) is None)
            await self.close()
            text = f"{self.quirks.id} showed no {self.board.book_kind} of {missing or 'anything'}"
            raise RetryLater(f"{text} within {self.start_timeout_s:g} s") from None
        except BaseException:  # whatever stopped it, Ctrl-C too, nothing is left running
            await self.close()
            raise

    async def close(self) -> None:
        """End the streams and the client's connections. That is no gap: nobody listens any more."""
        self._sockets.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        client, self.client = self.client, None
        if client is not None:
            await client.close()

    async def failed(self) -> None:
        """Wait until a stream has failed for good, and raise why."""
        await self._failed.wait()
        assert self.failure is not None
        raise self.failure

    async def _learn(self) -> None:
        await load_markets(self.client, self.quirks)
        found: dict[str, Instrument] = {}
        for symbol in self.symbols:
            self.quirks.symbol(symbol)  # refuses what is not offered
            found[symbol] = self.quirks.instruments[symbol]
        for kind in self.board.kinds:
            if not self.client.has.get(_NEEDS[kind]):
                raise InvalidInput("kinds", kind, f"{self.quirks.id} has no stream of it; leave it")
        if "funding" in self.board.kinds:
            spot = next((s for s, i in found.items() if i.kind == "spot"), None)
            if spot is not None:
                raise InvalidInput("kinds", "funding", f"{spot} is spot and has none")
        self.board.watch(found)

    async def _all_priced(self) -> None:
        while any(self.board.quote(symbol) is None for symbol in self.symbols):
            if self.failure is not None:
                raise self.failure
            waits = [m.changed.wait() for m in self.board.markets.values()]
            tasks = [asyncio.ensure_future(w) for w in (*waits, self._failed.wait())]
            await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            for m in self.board.markets.values():
                m.changed.clear()

    # ------------------------------------------------------------------ keeping streams up

    async def _keep(self, kind: str, symbol: str) -> None:
        """Await one stream again and again: that is what keeps it subscribed."""
        name, pause = self.quirks.symbol(symbol), 0.1
        while True:
            try:
                await self._await(kind, symbol, name)
                pause = 0.1
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                await asyncio.sleep(pause)  # ccxt cancels what waits on a socket that it closes
            except Exception as error:  # noqa: BLE001 - the stream must come back
                outcome = _outcome(self.quirks.id, error, kind)
                if isinstance(outcome, FixRequest):
                    self._fail(kind, symbol, outcome)
                    return
                if not self._still_fed(kind, symbol, error):
                    self.board.begin_gap(symbol, kind, _reason(error), str(error)[:200])
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(_SLOWEST_S, 2 * pause)

    async def _await(self, kind: str, symbol: str, name: str) -> None:
        client = self.client
        if kind == "depth":
            await client.watch_order_book(name)
        elif kind == "prints":
            await client.watch_trades(name)
        elif kind == "quotes":
            await client.watch_bids_asks([name])
        elif kind == "bars":
            await client.watch_ohlcv(name, self.timeframe)
            self._take_bars(symbol, client.ohlcvs[name][self.timeframe])
        elif client.has.get("watchFundingRate"):
            self._take_funding(symbol, await client.watch_funding_rate(name))
        else:
            self._take_funding(symbol, await client.fetch_funding_rate(name))
            await asyncio.sleep(self.funding_poll_s)
        await asyncio.sleep(_BREATH_S)

    def _still_fed(self, kind: str, symbol: str, error: Exception) -> bool:
        """Funding is polled: one answer that fails loses nothing."""
        return kind == "funding" and not self.client.has.get("watchFundingRate")

    def _fail(self, kind: str, symbol: str, error: Exception) -> None:
        _log.error("%s of %s cannot be had: %s", kind, symbol, error)
        self.board.begin_gap(symbol, kind, "refused", str(error)[:200])
        self.failure = self.failure or error
        self._failed.set()

    async def _watch_over(self) -> None:
        """Once a second: books that stay crossed or fall silent are looked into."""
        while True:
            await asyncio.sleep(min(1.0, self.board.stale_ns / NS_PER_S / 5))
            for symbol in self.symbols:
                try:
                    await self._look_at(symbol)
                except Exception as error:  # noqa: BLE001 - asked again in a second
                    _log.warning("%s could not be looked into: %s", symbol, error)

    async def _look_at(self, symbol: str) -> None:
        board, now = self.board, self.board.clock.now_ns()
        if board.state(symbol) is not BookState.CROSSED:
            self._crossed_ns.pop(symbol, None)
        elif now - self._crossed_ns.setdefault(symbol, now) > _RESYNC_NS:
            self._resync("depth", symbol, "crossed")
        for kind in ("depth", "quotes", "prints"):
            heard = board.market(symbol).heard_ns.get(kind)
            if kind not in board.kinds or heard is None or kind in board.market(symbol).open_gaps:
                continue
            if now - heard > board.stale_ns // 3 and not await self._stands(kind, symbol, heard):
                self._resync(kind, symbol, "silent")

    async def _stands(self, kind: str, symbol: str, heard_ns: int) -> bool:
        """Whether the exchange, when asked, knows nothing newer than was heard."""
        name, m = self.quirks.symbol(symbol), self.board.market(symbol)
        for attempt in range(2):
            if attempt:
                await asyncio.sleep(0.5)  # an update may be under way
            async with asyncio.timeout(10):
                if kind == "prints":
                    rows = await self.client.fetch_trades(name, limit=5)
                    newest = max((id_of(row) for row in rows), default=-1)
                    same = not m.ids or newest <= max(m.ids)
                else:
                    book = await self.client.fetch_order_book(name, 5)
                    best = [book[s][0][0] if book[s] else nan for s in ("bids", "asks")]
                    shown = self.board.touch(symbol)[:2]
                    same = all(_equal(float(a), b) for a, b in zip(best, shown, strict=True))
            if m.heard_ns.get(kind) != heard_ns:
                return True  # it has been heard of meanwhile
            if same:
                self.board.confirm(symbol, kind)
                return True
        return False

    def _resync(self, kind: str, symbol: str, reason: str) -> None:
        """Give a stream up and have it start anew, at most every other second."""
        now = self.board.clock.now_ns()
        if now - self._resynced_ns.get(symbol, 0) < _RESYNC_NS or self.client is None:
            return
        self._resynced_ns[symbol] = now
        self.board.begin_gap(symbol, kind, reason)
        self._forget(kind, symbol)
        socket = self._sockets.pop((kind, symbol), None)
        if socket is not None:
            self._hang_up(socket, reason)

    def _hang_up(self, socket: Any, reason: str) -> None:
        import ccxt

        socket.on_error(ccxt.NetworkError(f"given up: {reason}"))

    def _forget(self, kind: str, symbol: str) -> None:
        """ccxt would go on with the book that it has."""
        if kind == "depth" and self.client is not None:
            self.client.orderbooks.pop(self.quirks.symbol(symbol), None)


def _equal(a: float, b: float) -> bool:
    return a == b or (not isfinite(a) and not isfinite(b))


def _reason(error: Exception) -> str:
    name = type(error).__name__
    return {"ChecksumError": "sequence"}.get(name, name)
