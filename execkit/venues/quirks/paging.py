"""All own fills of a time span, over an exchange that gives them a window and a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from execkit.clock import NS_PER_MS
from execkit.errors import RetryLater
from execkit.venues.quirks.base import Quirks
from execkit.venues.quirks.calls import Call
from execkit.venues.quirks.markets import Answer

Ask = Callable[[Call], Awaitable[Any]]


async def every_fill(
    quirks: Quirks, ask: Ask, symbol: str, since_ns: int, until_ns: int, venue_order_id: str = ""
) -> Sequence[Answer]:
    """Own fills in [since, until] (the exchange's time) as ccxt parsed them, oldest first, each
    once. `ask` makes one request. `RetryLater` where more fills bear one time than a page holds:
    an incomplete ledger is never returned."""
    found: dict[tuple[str, str], Answer] = {}
    start = since_ns
    while True:
        end = until_ns
        if quirks.fill_window_ns is not None and not venue_order_id:
            end = min(until_ns, start + quirks.fill_window_ns)
        for extra in quirks.fill_kinds:
            await _window(quirks, ask, (symbol, start, end, venue_order_id), extra, found)
        if end >= until_ns:
            break
        start = end
    rows = [r for r in found.values() if int(r.get("timestamp") or 0) * NS_PER_MS >= since_ns]
    return sorted(rows, key=lambda row: (int(row.get("timestamp") or 0), quirks.fill_order(row)))


async def _window(
    quirks: Quirks,
    ask: Ask,
    wanted: tuple[str, int, int, str],
    extra: Mapping[str, object],
    found: dict[tuple[str, str], Answer],
) -> None:
    symbol, start, end, venue_order_id = wanted
    while True:
        call = quirks.fills_call(symbol, start, end, venue_order_id)
        rows = await ask(replace(call, params={**call.params, **extra}))
        before = len(found)
        for row in rows:
            found.setdefault((str(row.get("symbol")), quirks.fill_id(row)), row)
        if len(rows) < quirks.fill_limit:
            return
        # the ends overlap: fills of one millisecond may lie on two pages
        stamps = [int(row["timestamp"]) * NS_PER_MS for row in rows]
        if quirks.fill_newest_first:
            end, stuck = min(stamps) + NS_PER_MS - 1, min(stamps) == max(stamps)
        else:
            start, stuck = max(stamps), min(stamps) == max(stamps)
        if stuck or len(found) == before:
            raise RetryLater(f"{quirks.title}: more fills bear one time than a page holds")
