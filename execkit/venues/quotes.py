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
from execkit.venues.quirks import Quirks

_log = logging.getLogger(__name__)


class Quotes:
    """Keeps the newest quote of the symbols that were asked for, over a client without keys.

    A quote is not shown once its stream has been silent for `stale_s`, pings included: an old price
    is worse than none. A crossed one is shown without prices.
    """

    def __init__(self, client: Any, quirks: Quirks, clock: Clock, *, stale_s: float = 20.0) -> None:
        self.client, self.quirks, self.clock = client, quirks, clock
        self._stale_ns = round(stale_s * NS_PER_S)
        self._quotes: dict[str, Quote] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        client.hooks.lost.append(self._lost)

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
        await self.client.close()

    def _silent(self, quote: Quote) -> bool:
        """No change of the book is no news; no frame at all is."""
        now_ns = self.clock.now_ns()
        if now_ns - quote.local_ts_ns <= self._stale_ns:
            return False
        heard = [s.last_message_at or 0 for s in self.client.clients.values()]
        here = self.client.milliseconds_here()
        return not heard or (here - min(heard)) * NS_PER_MS > self._stale_ns

    def _lost(self, socket: Any, error: object) -> None:
        self._quotes.clear()

    async def _pump(self, symbol: str, name: str) -> None:
        failed = 0
        while True:
            try:
                if self.client.has.get("watchBidsAsks"):
                    rows = await self.client.watch_bids_asks([name])
                    self._take(symbol, _best(rows.get(name) or {}))
                else:
                    self._take(symbol, _top(await self.client.watch_order_book(name)))
                failed = 0
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
            except Exception as error:  # noqa: BLE001 - the stream must come back
                failed += 1
                self._quotes.pop(symbol, None)
                _log.warning("quotes of %s: %s", symbol, type(error).__name__)
                delay = min(30.0, 0.25 * 2 ** min(failed, 8)) * random.uniform(0.5, 1.0)
                await asyncio.sleep(delay)

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
