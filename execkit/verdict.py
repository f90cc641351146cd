"""Verdict: what is done when the holdings at a venue are not what the own fills say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

from execkit.custody import Custody
from execkit.errors import RetryLater
from execkit.judge import Difference, Judge
from execkit.venues.remote import Holdings


class Verdict:
    """Parameters
    ----------
    fetch : has the own fills of a symbol read, because they may explain a difference.
    halt : stops new risk everywhere, with a reason.

    holdings : as last read. differences : those that stood at the last look.
    """

    def __init__(
        self,
        custody: Custody,
        judge: Judge,
        fetch: Callable[[str], Awaitable[None]],
        halt: Callable[[str], None],
    ) -> None:
        self.custody, self.judge, self.fetch, self.halt = custody, judge, fetch, halt
        self.holdings: Holdings | None = None
        self.differences: list[Difference] = []
        self._first = self._wait = False
        self._differs_since: dict[str, int] = {}
        self._told: set[str] = set()

    async def look(self, *, first: bool, wait: bool) -> bool:
        """Compare holdings; what differs is read again before it is believed. first : what is there
        now was there before us. wait : orders are being looked up, which may explain it. Returns
        whether something differs."""
        custody, self._first, self._wait = self.custody, first, wait
        differences = await self._differences()
        if differences:
            for symbol in sorted(self.judge.symbols_of(differences)):
                await self.fetch(symbol)
            await asyncio.sleep(custody.settings.recheck_s)
            again = await self._differences()
            differences = [d for d in again if d in differences]
        self.differences = differences
        self._act(differences)
        return bool(differences)

    async def _differences(self) -> list[Difference]:
        """What differs now; nothing where fills came in between, for then nobody can say."""
        custody = self.custody
        before = len(custody.orders.ledger.fills)
        holdings = await custody.venue.holdings()
        await custody.applied()
        if len(custody.orders.ledger.fills) != before:
            return []
        self.holdings = holdings
        if self.judge.opening is None:
            await self._open(holdings)
        return self.judge.compare(holdings)

    async def _open(self, holdings: Holdings) -> None:
        """The first look ever: what is there was there before us."""
        custody = self.custody
        if self._first:
            for symbol, quantity in sorted(holdings.positions.items()):
                missing = quantity - custody.tracker.quantity(custody.name, symbol)
                if missing:
                    self._take_over(symbol, missing, "opening")
                    custody.unseen(f"a position of {quantity} {symbol}")
            await custody.applied()
        opening = self.judge.open_with(holdings.balances)
        custody.note("opening_balances", balances=opening)

    def _take_over(self, symbol: str, missing: Decimal, word: str) -> None:
        """Book what is missing in a position, at the market's price; `RetryLater` without one."""
        custody = self.custody
        quote = custody.venue.quote(symbol)
        price = quote.reference if quote is not None else None
        if price is None or price <= 0:
            raise RetryLater(f"{symbol} has no price yet, at which its position could be booked")
        count = sum(
            fill.fill_id.startswith(f"{word}-{custody.name}-{symbol}-")
            for fill in custody.orders.ledger.fills
        )
        fill_id = f"{word}-{custody.name}-{symbol}-{count + 1}"
        custody.fill_of_nobody(symbol, missing, price, fill_id, word)

    def _act(self, differences: list[Difference]) -> None:
        """Block what differs, and do what the policy says about what goes on to differ."""
        custody, now_ns = self.custody, self.custody.now_ns()
        policy, wait_ns = custody.settings.on_difference, custody.settings.ns("differs_s")
        since = {d.name: self._differs_since.get(d.name, now_ns) for d in differences}
        for name in self._told - since.keys():
            self._told.remove(name)
        self._differs_since = since
        custody.readiness.differing = {
            symbol: str(d) for d in differences for symbol in self.judge.pairs_of(d)
        }
        for difference in differences:
            name, age_ns = difference.name, now_ns - since[difference.name]
            if age_ns < wait_ns:
                continue
            if name not in self._told:
                self._told.add(name)
                custody.alarm(f"{difference.kind}_differs", str(difference))
            if policy == "halt":
                self.halt(f"{custody.name}: {difference}")
            elif self._wait:
                continue  # what is being looked up may explain it
            elif difference.kind == "position" and policy == "adopt":
                self._take_over(name, difference.gap, "adjustment")
            elif difference.kind == "balance" and age_ns >= custody.settings.ns("overlap_s"):
                self.take_balance(difference)  # a deposit, interest: told once, then it is so

    def take_balance(self, difference: Difference) -> None:
        """Take the venue's balance of a coin as right, and keep that in the journal."""
        coin, gap = difference.name, difference.gap
        self.judge.adjust(coin, gap)
        self.custody.note("balance_adjusted", coin=coin, quantity=gap, reason=str(difference))

    def acknowledge(self) -> None:
        """A human has seen what was found: take it over, and let the venue be traded."""
        custody, readiness = self.custody, self.custody.readiness
        for difference in self.differences:
            if difference.kind == "position":
                self._take_over(difference.name, difference.gap, "adjustment")
            else:
                self.take_balance(difference)
        self.differences = []
        seen = [*readiness.unacknowledged, *readiness.blocked.values()]
        seen += readiness.differing.values()
        custody.note("acknowledged", reason="; ".join(seen))
        readiness.unacknowledged.clear()
        readiness.blocked.clear()
        readiness.differing = {}
