"""Resolver: looks up orders that are in doubt, one by one, until the venue has said what is true.

Found: what the venue says is adopted, its fills first. Not found: that proves nothing yet. An order
is absent when enough look-ups over enough time found it neither open, nor in history, nor among the
own fills, on one unbroken link, and the holdings are what they are without it. Then, and only then,
it ends. It is never sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from execkit.clock import NS_PER_S
from execkit.custody import Custody
from execkit.domain import ExecutionOrder
from execkit.errors import RetryLater
from execkit.judge import Judge
from execkit.lifecycle import ABSENT, LOOKED_UP
from execkit.venues.base import UpdateKind
from execkit.venues.remote import LinkState, VenueOrder
from execkit.waiting import came
from execkit.words import ExecutionStatus

_S = ExecutionStatus
_TOGETHER = 4  # look-ups at one time


@dataclass(eq=False)
class Doubt:
    """An order that is being looked up. negatives : when it was found nowhere, in a row, on the
    link of `epoch`. cancels : how often its cancel was asked for again. told : what a human was
    told already."""

    order: ExecutionOrder
    reason: str
    due_ns: int
    tries: int = 0
    negatives: list[int] = field(default_factory=list)
    epoch: int = -1
    cancels: int = 0
    told: set[str] = field(default_factory=set)
    again: bool = False  # something new came up while it was being looked up


class Resolver:
    """Parameters
    ----------
    guarded : runs a piece of work and deals with what the venue's refusal of the account means.
    """

    def __init__(
        self,
        custody: Custody,
        judge: Judge,
        guarded: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> None:
        self.custody, self.judge, self.guarded = custody, judge, guarded
        self.doubts: dict[str, Doubt] = {}
        self._wake = asyncio.Event()
        self._random = random.Random()

    def doubt(self, order: ExecutionOrder, reason: str, *, after_ns: int = 0) -> None:
        """Look `order` up, at once or after a while; one that is being looked up is looked up
        sooner."""
        due_ns = self.custody.now_ns() + after_ns
        found = self.doubts.get(order.client_order_id)
        if found is None:
            self.doubts[order.client_order_id] = Doubt(order, reason, due_ns)
        else:
            found.due_ns, found.again = min(found.due_ns, due_ns), True
        self._wake.set()

    async def run(self) -> None:
        """Look up what is due, for ever."""
        while True:
            now_ns = self.custody.now_ns()
            due = sorted((d.due_ns, i) for i, d in self.doubts.items() if d.due_ns <= now_ns)
            chosen = [self.doubts[order_id] for _, order_id in due[:_TOGETHER]]
            if chosen:
                await asyncio.gather(*(self.guarded(self._look(doubt)) for doubt in chosen))
                continue
            self._wake.clear()
            next_ns = min((d.due_ns for d in self.doubts.values()), default=None)
            left_s = None if next_ns is None else max(0.001, (next_ns - now_ns) / NS_PER_S)
            await came(self._wake, left_s)

    async def _look(self, doubt: Doubt) -> None:
        """One look-up. Whatever comes of it, the next one is later."""
        doubt.again, order = False, doubt.order
        self._later(doubt)
        try:
            found = await self.custody.venue.find_order(order)
            if found is None:
                await self._absent(doubt)
            else:
                await self._found(doubt, found)
        except RetryLater as error:
            doubt.reason = str(error)  # no answer is no negative either: it is asked again

    def _later(self, doubt: Doubt) -> None:
        settings = self.custody.settings
        first, most = settings.ns("lookup_first_s"), settings.ns("lookup_most_s")
        pause = min(most, first * 2 ** min(doubt.tries, 30))
        share = 1 + settings.jitter * (2 * self._random.random() - 1)
        doubt.tries += 1
        doubt.due_ns = self.custody.now_ns() + round(pause * share)

    def _resolved(self, doubt: Doubt) -> None:
        if not doubt.again:
            self.doubts.pop(doubt.order.client_order_id, None)

    # -- it is there ------------------------------------------------------------------------

    async def _found(self, doubt: Doubt, found: VenueOrder) -> None:
        order, custody = doubt.order, self.custody
        doubt.negatives.clear()
        if not self._same(doubt, found):
            return
        if custody.filled(found, order) > order.filled_quantity:
            await custody.fetch(order.symbol, self.since(order), found.venue_order_id)
        if custody.filled(found, order) > order.filled_quantity:
            # done or not: without its fills it is not believed, and no price is made up for them
            self._tell(doubt, "fills_missing", f"{found.filled_quantity} filled, not all shown")
            return
        if found.status is _S.UNKNOWN:
            self._tell(doubt, "unknown_word", f"the venue calls its state {found.reason!r}")
            return
        custody.learn(found, order, LOOKED_UP)
        await custody.applied()
        if order.status is _S.CANCEL_PENDING:
            await self._cancel_again(doubt)
        elif order.is_done or order.status in (_S.OPEN, _S.PARTIALLY_FILLED):
            self._resolved(doubt)

    def _same(self, doubt: Doubt, found: VenueOrder) -> bool:
        """Whether the venue's order is the one that was sent; what is not is for a human."""
        order = doubt.order
        alike = (found.symbol, found.side) == (order.symbol, order.side)
        if alike and self.custody.filled(found, order) <= order.quantity:
            return True
        if alike and found.quantity <= order.quantity:
            return True  # more filled than asked: its fills say so when they are applied
        text = f"the venue has {found.side.value} {found.quantity} {found.symbol} under its id"
        self._tell(doubt, "order_mismatch", text)
        self.custody.block(order.symbol, f"order {order.client_order_id} is not as it was sent")
        return False

    async def _cancel_again(self, doubt: Doubt) -> None:
        order, budget = doubt.order, self.custody.settings.cancel_budget
        if doubt.cancels < budget:
            doubt.cancels += 1
            await self.custody.orders.cancel_again(order)
            return
        text = f"it is still open after {budget + 1} requests to cancel it"
        self.custody.alarm("cancel_failed", text, order)
        self.custody.orders.cancel_failed(order, text)
        self._resolved(doubt)

    def _tell(self, doubt: Doubt, code: str, text: str) -> None:
        if code not in doubt.told:
            doubt.told.add(code)
            self.custody.alarm(code, text, doubt.order)

    def since(self, order: ExecutionOrder) -> int:
        """Venue time from which on an order's fills are asked for."""
        sent = order.sent_ts_ns or order.created_ts_ns or self.custody.now_ns()
        return min(sent, order.created_ts_ns or sent) - self.custody.settings.ns("overlap_s")

    # -- it is not there --------------------------------------------------------------------

    async def _absent(self, doubt: Doubt) -> None:
        order, custody = doubt.order, self.custody
        if order.is_done:
            self._resolved(doubt)
            return
        link, filled = custody.venue.link, order.filled_quantity
        if link.state is not LinkState.UP or link.epoch != doubt.epoch:
            doubt.negatives.clear()
            doubt.epoch = link.epoch
        listed = [custody.known(found) for found in await custody.venue.open_orders(order.symbol)]
        fetched = await custody.fetch(order.symbol, self.since(order))
        if order in listed or order.filled_quantity > filled or order.is_done:
            doubt.negatives.clear()  # found after all; the next look-up says the rest
            return
        now_ns, settings = custody.now_ns(), custody.settings
        if custody.venue.link != link or link.state is not LinkState.UP:
            return
        doubt.negatives.append(now_ns)
        enough = len(doubt.negatives) >= settings.absent_lookups
        if enough and now_ns - doubt.negatives[0] >= settings.ns("absent_s"):
            await self._prove(doubt, fetched)
        elif enough:  # look again when the time is over, not much later
            until_ns = doubt.negatives[0] + settings.ns("absent_s")
            doubt.due_ns = min(doubt.due_ns, max(until_ns, now_ns + NS_PER_S // 10))

    async def _prove(self, doubt: Doubt, fetched: int) -> None:
        """The last part of the proof: nothing is held that the order could have brought."""
        order, custody = doubt.order, self.custody
        holdings = await custody.venue.holdings()
        await custody.applied()
        moved = self.judge.concerning(order.symbol, self.judge.compare(holdings))
        if moved:
            text = f"it is found nowhere, but {moved[0]}"
            self._tell(doubt, "absent_but_moved", text)
            return
        custody.note(
            "absence_proved",
            order.client_order_id,
            symbol=order.symbol,
            reason=f"{len(doubt.negatives)} look-ups found it nowhere",
            looked_up_ns=doubt.negatives,
            link_epoch=doubt.epoch,
            fills_fetched=fetched,
            balances={c: holdings.balances[c] for c in sorted(holdings.balances)},
            positions={s: holdings.positions[s] for s in sorted(holdings.positions)},
        )
        custody.enqueue(UpdateKind.REJECTED, order, None, ABSENT)
        await custody.applied()
        self._resolved(doubt)
