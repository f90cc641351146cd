"""What a live venue is asked: orders, own fills, holdings, as the exchange has them now.

An answer that cannot be read raises: it never counts as "there is none".
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_MS, Clock
from execkit.domain import ExecutionOrder
from execkit.errors import ExecKitError, RetryLater
from execkit.venues.base import VenueUpdate
from execkit.venues.hearing import Hearing
from execkit.venues.limiter import Lane
from execkit.venues.line import Failed, Line
from execkit.venues.quirks import Call, Quirks, Verdict
from execkit.venues.quirks.paging import every_fill
from execkit.venues.remote import Holdings, VenueOrder
from execkit.words import ExecutionMode, OrderType

_TOGETHER_S = 0.05  # fills come in bursts


class Asked:
    """The reading half of `LiveVenue`, and what is canceled by looking first."""

    name: str
    mode: ExecutionMode
    clock: Clock
    quirks: Quirks
    hearing: Hearing
    _line: Line | None
    _tasks: set[asyncio.Task[Any]]
    _wanted: dict[tuple[str, str], None]  # fills to be fetched

    def _connected(self) -> Line:
        if self._line is None:
            raise RetryLater(f"{self.name} is not connected")
        return self._line

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def find_order(self, order: ExecutionOrder) -> VenueOrder | None:
        """See `RemoteVenue.find_order`."""
        line = self._connected()
        for call in self.quirks.lookups(order):
            try:
                answer = await line.read(call)
            except Failed:
                continue
            rows = answer if isinstance(answer, list) else [answer]
            row = next((row for row in rows if self._is_of(row, order)), None)
            if row is None:
                continue
            said = self._said(await self._followed(line, row))
            if said is None:
                text = f"{self.name}: what was found is in a market that is not offered here"
                raise RetryLater(text)
            self.hearing.know(said.venue_order_id, order.client_order_id)
            return replace(said, client_order_id=order.client_order_id)
        return None

    def _is_of(self, row: Any, order: ExecutionOrder) -> bool:
        if self.hearing.own_id(self.quirks.venue_id(row)) == order.client_order_id:
            return True
        return self.quirks.is_of(row, order)

    async def _followed(self, line: Line, row: Any) -> Any:
        """The order that does the trading, where a row only points at it."""
        call = self.quirks.follow(row)
        if call is None:
            return row
        try:
            return await line.read(call)
        except Failed as failed:
            raise RetryLater(f"{self.name}: a fired order is not there yet: {failed}") from None

    def _said(self, row: Any) -> VenueOrder | None:
        """A row of an answer; `RetryLater` where it cannot be read: it never counts as none."""
        try:
            said = self.quirks.parse_order(row)
        except RetryLater:
            raise
        except Exception as error:  # noqa: BLE001 - whatever garbled it, it is no answer
            text = f"{self.name}: an order that cannot be read ({type(error).__name__})"
            raise RetryLater(text) from None
        if said is not None and not said.client_order_id:
            return replace(said, client_order_id=self.hearing.own_id(said.venue_order_id))
        return said

    async def open_orders(self, symbol: str = "") -> Sequence[VenueOrder]:
        """See `RemoteVenue.open_orders`; orders of markets that are not offered here left out."""
        line = self._connected()
        rows: list[Any] = []
        for first in self.quirks.open_calls(symbol):
            call: Call | None = first
            while call is not None:
                page = await line.read(call)
                rows += page
                call = self.quirks.next_page(call, page)
        said = (self._said(row) for row in rows)
        return list({order.venue_order_id: order for order in said if order is not None}.values())

    async def own_fills(
        self, symbol: str, since_ns: int, venue_order_id: str = ""
    ) -> Sequence[VenueUpdate]:
        """See `RemoteVenue.own_fills`."""
        line = self._connected()
        until_ns = (line.client.milliseconds() + 1000) * NS_PER_MS  # the exchange's time
        rows = await every_fill(
            self.quirks, line.read, symbol, since_ns, max(until_ns, since_ns), venue_order_id
        )
        local_ns = self.clock.now_ns()
        found = (self.quirks.parse_fill(row, local_ns, self.mode) for row in rows)
        return [self.hearing.named(update) for update in found if update is not None]

    def _want_fills(self, symbol: str, venue_order_id: str) -> None:
        """The stream told of a fill that it does not tell in full."""
        if (symbol, venue_order_id) not in self._wanted:
            self._wanted[symbol, venue_order_id] = None
            self._spawn(self._fetch_fills(symbol, venue_order_id))

    async def _fetch_fills(self, symbol: str, venue_order_id: str) -> None:
        await asyncio.sleep(_TOGETHER_S)
        del self._wanted[symbol, venue_order_id]
        try:
            for update in await self.own_fills(symbol, 0, venue_order_id):
                self.hearing.filled(update)
        except ExecKitError as error:
            self.hearing.doubt(self.hearing.own_id(venue_order_id), f"its fills: {error}")

    async def holdings(self) -> Holdings:
        """See `RemoteVenue.holdings`."""
        line = self._connected()
        answers = [await line.read(call) for call in self.quirks.holdings_calls()]
        return self.quirks.parse_holdings(answers, self.clock.now_ns())

    # -- canceling everything ----------------------------------------------------------------

    async def cancel_all(self, symbol: str = "") -> None:
        """See `RemoteVenue.cancel_all`. Raises what failed first, after everything was tried."""
        line = self._connected()
        calls = await self._cancels_of(symbol)
        answers = await asyncio.gather(
            *(line.ask(call, Lane.CANCEL) for call in calls), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, Failed):
                if answer.outcome.verdict is not Verdict.GONE:
                    raise answer.outcome.error(f"{self.name} cancel_all")
            elif isinstance(answer, BaseException):
                raise answer

    async def _cancels_of(self, symbol: str) -> Sequence[Call]:
        """What cancels everything: at once, symbol by symbol, or order by order."""
        calls = list(self.quirks.cancel_all_calls(symbol))
        if calls:
            return calls
        found = await self.open_orders(symbol)
        for own in sorted({said.symbol for said in found}) if not symbol else ():
            calls += self.quirks.cancel_all_calls(own)
        return calls or [self._cancel_of(said) for said in found]

    def _cancel_of(self, said: VenueOrder) -> Call:
        own_id = said.client_order_id
        if not own_id:
            return self.quirks.call(
                "cancel_order", said.venue_order_id, self.quirks.symbol(said.symbol)
            )
        order = ExecutionOrder(
            symbol=said.symbol,
            side=said.side,
            order_type=OrderType.LIMIT,
            price=Decimal(1),
            quantity=said.quantity,
            client_order_id=own_id,
            venue_order_id=said.venue_order_id,
        )
        order.order_type = said.order_type or OrderType.LIMIT  # by which triggers are told apart
        return self.quirks.cancel_call(order)
