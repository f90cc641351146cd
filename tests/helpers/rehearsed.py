"""The real ccxt.pro client on a rehearsal, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt.pro as ccxt_pro

from execkit.rehearsal import Rehearsal

Do = Callable[[Any, Rehearsal], Awaitable[None]]
PATIENCE_S = 20.0
BTC = "BTC/USDT"


@asynccontextmanager
async def client_of(r: Rehearsal, number: type = Decimal) -> AsyncIterator[Any]:
    """A ccxt.pro client with ccxt's own URLs, led to the rehearsal by its route. (With Decimal
    numbers ccxt loses fees, and its reader of the user stream breaks at an order's second fill.)"""
    options = {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}}
    client = ccxt_pro.binance(
        {
            "apiKey": r.credentials["key"],
            "secret": r.credentials["secret"],
            "number": number,
            "enableRateLimit": False,
            "options": options,
        }
    )
    r.route.attach(client)
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


def rehearsed(do: Do, number: type = Decimal, **settings: Any) -> None:
    async def run() -> None:
        async with Rehearsal("binance", **settings) as r, client_of(r, number) as client:
            await do(client, r)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S * 3))


async def soon(awaited: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaited, PATIENCE_S)


async def subscribed(r: Rehearsal) -> None:
    """Wait until the user stream is there: the server knows when."""
    while not any(s.key for s in r.wire.sockets):  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
