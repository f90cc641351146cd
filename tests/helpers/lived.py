"""A LiveVenue on a rehearsal, and what was heard of it, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from execkit.domain import ExecutionOrder
from execkit.rehearsal import Rehearsal
from execkit.secrets import Credentials
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.venues.live import LiveVenue
from execkit.venues.quirks import quirks_for
from execkit.venues.remote import Link
from execkit.words import ExecutionMode

PATIENCE_S = 20.0


@dataclass
class Lived:
    """A connected venue, its exchange, and all that it told."""

    venue: LiveVenue
    r: Rehearsal
    symbol: str = "BTCUSDT"
    updates: list[VenueUpdate] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)

    def of(self, order: ExecutionOrder) -> list[UpdateKind]:
        """What was heard of an order, repeats left out."""
        heard = [u.kind for u in self.updates if u.client_order_id == order.client_order_id]
        return [kind for i, kind in enumerate(heard) if i == 0 or heard[i - 1] is not kind]

    def order(self, **changes: Any) -> ExecutionOrder:
        given: dict[str, Any] = {
            "symbol": self.symbol,
            "side": "buy",
            "order_type": "limit",
            "quantity": "0.01",
            "price": "49000",
        }
        given |= changes
        if given["order_type"] == "market":
            given["price"] = None
        return ExecutionOrder(**given)

    async def until(self, done: Callable[[], object]) -> None:
        """Return when `done()`; fail after a patience that only a broken thing needs."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def lived(
    exchange: str = "binance", rehearsal: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Lived]:
    async with (
        Rehearsal(exchange, **(rehearsal or {})) as r,
        venue_on(r, exchange, **settings) as live,
    ):
        yield live


@asynccontextmanager
async def venue_on(
    r: Rehearsal, exchange: str = "binance", **settings: Any
) -> AsyncIterator[Lived]:
    keys = r.credentials
    credentials = Credentials(keys["key"], keys["secret"], keys["password"])
    given = {"mode": ExecutionMode.DEMO, "route": r.route, "keep_alive_s": 0.5} | settings
    venue = LiveVenue(quirks_for(exchange), credentials, **given)
    live = Lived(venue, r)
    venue.listen(live.updates.append)
    venue.attend(live.links.append, lambda order_id, why: live.doubts.append((order_id, why)))
    try:
        await venue.connect()
        yield live
    finally:
        await venue.close()
