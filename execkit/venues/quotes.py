"""Quotes: the best bid and ask of each symbol, as an exchange's public stream shows them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from math import isfinite, nan
from typing import Any

from execkit.clock import NS_PER_MS, NS_PER_S, Clock
from execkit.venues.base import Quote
from execkit.venues.limiter import Lane
from execkit.venues.line import Line
from execkit.venues.streams import sockets_of

_log = logging.getLogger(__name__)


class Quotes:
    """Keeps the newest quote of the symbols that were asked for, over a line without keys.

    A stream tells of changes only, so a quiet book is asked for: at first, and when nothing was
    heard for `refresh_s`. A quote is not shown once neither its stream, pings included, nor that
    has told anything for `stale_s`: an old price is worse than none. A crossed one has no prices.
    """

    def __init__(
        self, line: Line, clock: Clock, *, stale_s: float = 20.0, refresh_s: float = 5.0
    ) -> None:
        self.line, self.client, self.quirks, self.clock = line, line.client, line.quirks, clock
        self._stale_ns, self._refresh_s = round(stale_s * NS_PER_S), refresh_s
        self._quotes: dict[str, Quote] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.client.hooks.lost.append(self._lost)

    def watch(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            if symbol not in self._tasks:
                work = self._pump(symbol, self.quirks.symbol(symbol))
                self._tasks[symbol] = asyncio.get_running_loop().create_task(work)

    def get(self, symbol: str) -> Quote | None:
        quote = self._quotes.get(symbol)
        if quote is None or self._silent(quote):
            return None
        return quote

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        await self.line.close()

    def _silent(self, quote: Quote) -> bool:
        """No change of the book is no news; no frame at all is."""
        now_ns = self.clock.now_ns()
        if now_ns - quote.local_ts_ns <= self._stale_ns:
            return False
        heard = [s.last_message_at or 0 for s in sockets_of(self.client)]
        here = self.client.milliseconds_here()
        return not heard or (here - min(heard)) * NS_PER_MS > self._stale_ns

    def _lost(self, socket: Any, error: object) -> None:
        self._quotes.clear()

    async def _pump(self, symbol: str, name: str) -> None:
        failed = 0
        while True:
            try:
                await self._follow(symbol, name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # ccxt cancels what waits for a socket that it closes
            except Exception as error:  # noqa: BLE001 - whatever it was, the stream must come back
                failed = 0 if symbol in self._quotes else failed + 1
                self._quotes.pop(symbol, None)
                _log.warning("quotes of %s: %s", symbol, type(error).__name__)
                delay = min(30.0, 0.25 * 2 ** min(failed, 8)) * random.uniform(0.5, 1.0)
                await asyncio.sleep(delay)

    async def _follow(self, symbol: str, name: str) -> None:
        """Until the stream breaks."""
        ask = self.quirks.call("fetch_order_book", name, 5)
        best = bool(self.client.has.get("watchBidsAsks"))
        told: asyncio.Future[Any] | None = None
        try:
            while True:
                if told is None:
                    watch = self.client.watch_bids_asks if best else self.client.watch_order_book
                    told = asyncio.ensure_future(watch([name] if best else name))
                    if symbol not in self._quotes:
                        self._take(symbol, _top(await self.line.read(ask, Lane.DATA)))
                await asyncio.wait({told}, timeout=self._refresh_s)
                if told.done():
                    answer, told = told.result(), None
                    self._take(symbol, _best(answer[name]) if best else _top(answer))
                else:
                    self._take(symbol, _top(await self.line.read(ask, Lane.DATA)))
        finally:
            if told is not None:
                told.cancel()

    def _take(self, symbol: str, best: tuple[float, float, float, float, int]) -> None:
        bid, bid_quantity, ask, ask_quantity, ts_ns = best
        now_ns = self.clock.now_ns()
        if isfinite(bid) and isfinite(ask) and bid >= ask:
            bid = bid_quantity = ask = ask_quantity = nan
        unit = float(self.quirks.base_units(symbol))
        self._quotes[symbol] = Quote(
            symbol=symbol,
            ts_ns=ts_ns or now_ns,
            bid=bid,
            ask=ask,
            bid_quantity=bid_quantity * unit,
            ask_quantity=ask_quantity * unit,
            last=nan,
            local_ts_ns=now_ns,
        )


def _best(row: Mapping[str, Any]) -> tuple[float, float, float, float, int]:
    numbers = (row.get(key) for key in ("bid", "bidVolume", "ask", "askVolume"))
    bid, bid_quantity, ask, ask_quantity = (nan if x is None else float(x) for x in numbers)
    return bid, bid_quantity, ask, ask_quantity, int(row.get("timestamp") or 0) * NS_PER_MS


def _top(book: Mapping[str, Any]) -> tuple[float, float, float, float, int]:
    bids, asks = book["bids"], book["asks"]
    bid, bid_quantity = (float(x) for x in bids[0][:2]) if len(bids) else (nan, nan)
    ask, ask_quantity = (float(x) for x in asks[0][:2]) if len(asks) else (nan, nan)
    return bid, bid_quantity, ask, ask_quantity, int(book.get("timestamp") or 0) * NS_PER_MS
