"""Reconciler: keeps the engine's belief about one remote venue equal to what the venue says.

It asks at the start, after every new connection of the private stream, when something is in doubt
or too silent, and on timers. What it hears goes into the driver's queue, where the one writer
applies it; it applies nothing itself. Own fills are the ledger, holdings the judge, and the stream
only a hint that comes earlier. A question without an answer changes nothing: the venue stays what
it was or becomes NOT READY, and what was not heard is never taken for "there is none".

The stream is subscribed first and its updates queue up; snapshots come second. What both tell is
applied once, and a snapshot that is older than the stream turns nothing back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from execkit.clock import NS_PER_S
from execkit.crashpoints import crash
from execkit.custody import Custody
from execkit.domain import ExecutionOrder
from execkit.errors import RetryLater, StopTrading
from execkit.judge import Judge
from execkit.lifecycle import EXTERNAL, LOOKED_UP
from execkit.resolve import Resolver
from execkit.venues.remote import Link, LinkState, VenueOrder
from execkit.verdict import Verdict
from execkit.waiting import came
from execkit.words import ExecutionStatus

_log = logging.getLogger(__name__)
_S = ExecutionStatus
_LOOKS = ("orders", "fills", "holdings")
_PATIENCE = 3  # failures in a row after which a venue that was ready is so no longer
_ASLEEP_NS = 5 * NS_PER_S  # a timer that is later than this says that the process did not run
_GRACE_NS = 2 * NS_PER_S  # an order this young may be missing in a list that was under way


class Reconciler:
    """Parameters
    ----------
    first : whether the journal knows of no earlier run: what is found then is not ours.
    halt : stops new risk everywhere, with a reason. on_ready : told each time the venue gets READY.
    on_error : told of errors of the reconciler's own.
    """

    def __init__(
        self,
        custody: Custody,
        *,
        first: bool,
        halt: Callable[[str], None],
        on_ready: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.custody, self.first = custody, first
        self.halt, self.on_ready, self.on_error = halt, on_ready, on_error
        self.judge = Judge(
            custody.name, custody.venue.instruments, custody.orders.ledger, custody.tracker
        )
        self.resolver = Resolver(custody, self.judge, self._guarded)
        self.verdict = Verdict(custody, self.judge, self.look_at_fills_of, halt)
        self.listed: Sequence[VenueOrder] = ()
        self.fills_since: dict[str, int] = {}  # venue time up to which all fills are known
        self.began_ns = custody.now_ns()
        self.rounds = 0
        self._due: dict[str, int] = {}
        self._failures = 0
        self._wake, self._changed = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._random = random.Random()

    # -- running ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to ask; everything is asked at once."""
        loop = asyncio.get_running_loop()
        work = (self._rounds, self.resolver.run)
        self._tasks = [loop.create_task(self._watched(one)) for one in work]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def wait_ready(self, timeout_s: float) -> bool:
        """Return when the venue is READY, or when the time is over; whether it is."""
        deadline_ns = self.custody.now_ns() + round(timeout_s * NS_PER_S)
        while not self.custody.readiness.ready:
            left_s = (deadline_ns - self.custody.now_ns()) / NS_PER_S
            if left_s <= 0:
                break
            self._changed.clear()
            await came(self._changed, left_s)
        return self.custody.readiness.ready

    def hear_link(self, link: Link) -> None:
        """The link changed: whatever it is now, what is believed is to be compared again."""
        readiness = self.custody.readiness
        if link.state is LinkState.HALTED:
            self._halted(f"the venue does not have us: {link.reason}")
        elif link.state is not LinkState.UP:
            self._not_ready(f"its link was {link.state.value}")
        elif link.epoch != readiness.epoch or readiness.pending:
            self._not_ready("its stream was reconnected, and it has not been reconciled since")
        self.look_now()

    def hear_doubt(self, order: ExecutionOrder | None, reason: str) -> None:
        """Something can only be told by the venue; without an order, by its lists."""
        if order is not None:
            self.resolver.doubt(order, reason)
        else:
            soon_ns = self.custody.now_ns() + self.custody.settings.ns("lookup_first_s")
            for look in ("orders", "fills"):
                self._due[look] = min(self._due.get(look, soon_ns), soon_ns)
            self._wake.set()

    def look_now(self) -> None:
        """Have everything asked at the next turn."""
        self._due.clear()
        self._wake.set()

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """Go on for ever, also after an error of our own: that halts, and is told once a second."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - open orders must go on being looked after
                _log.exception("the reconciler of %s failed", self.custody.name)
                self._not_ready(f"its reconciler failed ({type(error).__name__}: {error})")
                self.on_error(error)
                await asyncio.sleep(1)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StopTrading as error:
            self._halted(str(error))

    async def _rounds(self) -> None:
        while True:
            now_ns = self.custody.now_ns()
            wanted = [look for look in _LOOKS if self._due.get(look, 0) <= now_ns]
            if wanted:
                await self._guarded(self._round(wanted))
            due_ns = min(self._due.get(look, 0) for look in _LOOKS)
            self._wake.clear()
            left_s = (due_ns - self.custody.now_ns()) / NS_PER_S
            if left_s > 0:
                await came(self._wake, left_s)
            if self.custody.now_ns() > due_ns + _ASLEEP_NS:
                self._not_ready("this process did not run for a while")
                self.look_now()

    async def _round(self, wanted: list[str]) -> None:
        """Ask what is due. All three, answered on one unbroken link, make the venue READY."""
        readiness = self.custody.readiness
        if not readiness.ready:
            wanted = list(_LOOKS)  # half of an answer makes nobody ready
        link, done = self.custody.venue.link, ""
        try:
            for look in wanted:
                done = look
                self._schedule(look)
                await getattr(self, f"look_at_{look}")()
        except RetryLater as error:
            self._failed(done, error)
            return
        self._failures = 0
        self.rounds += 1
        if wanted == list(_LOOKS) and self._still(link) and not readiness.ready:
            self.first = False
            readiness.pending, readiness.epoch = "", link.epoch
            self._changed.set()
            self.on_ready()

    def _still(self, link: Link) -> bool:
        now = self.custody.venue.link
        return now.state is LinkState.UP and now.epoch == link.epoch

    def _schedule(self, look: str) -> None:
        settings = self.custody.settings
        share = 1 + settings.jitter * (2 * self._random.random() - 1)
        period_ns = max(1, round(settings.ns(f"{look}_s") * share))
        self._due[look] = self.custody.now_ns() + period_ns

    def _failed(self, look: str, error: Exception) -> None:
        """No answer: ask again soon, and later each time. A venue that does not answer for long is
        not one to open positions at."""
        self._failures += 1
        pause_ns = min(30 * NS_PER_S, NS_PER_S // 2 * 2 ** min(self._failures, 10))
        self._due[look] = self.custody.now_ns() + pause_ns
        if not self.custody.readiness.ready or self._failures >= _PATIENCE:
            self._not_ready(f"its {look} could not be read ({error})")

    def _not_ready(self, reason: str) -> None:
        readiness = self.custody.readiness
        if not readiness.pending:
            self.custody.note("not_ready", reason=reason)
        readiness.pending = reason

    def _halted(self, reason: str) -> None:
        self._not_ready(reason)
        for look in _LOOKS:  # one probe a minute: more of them make a ban longer
            self._due[look] = self.custody.now_ns() + 60 * NS_PER_S
        self.halt(f"{self.custody.name}: {reason}")

    # -- orders -----------------------------------------------------------------------------

    async def look_at_orders(self) -> None:
        """Compare the venue's open orders with ours."""
        asked_ns = self.custody.now_ns()
        self.listed = await self.custody.venue.open_orders()
        seen: set[str] = set()
        for found in self.listed:
            order = self.custody.known(found)
            if order is None:
                await self._external(found)
            else:
                seen.add(order.client_order_id)
                self._compare(order, found)
        await self.custody.applied()
        for order in self.custody.own_live():
            if order.client_order_id not in seen and self._overdue(order, asked_ns):
                self.resolver.doubt(order, "the venue does not list it as open")

    def _compare(self, order: ExecutionOrder, found: VenueOrder) -> None:
        alike = (order.symbol, order.side) == (found.symbol, found.side)
        heard = self.custody.filled(found, order) <= order.filled_quantity
        if not alike or not heard:
            self.resolver.doubt(order, "the venue lists it otherwise than we know it")
            return
        self.custody.learn(found, order, LOOKED_UP)
        waited_ns = self.custody.now_ns() - (order.cancel_ts_ns or 0)
        patience_ns = self.custody.settings.ns("cancel_wait_s")
        if order.status is _S.CANCEL_PENDING and waited_ns >= patience_ns:
            self.resolver.doubt(order, "it is open, and its cancel has no answer")

    def _overdue(self, order: ExecutionOrder, asked_ns: int) -> bool:
        """Whether a list that was asked for at `asked_ns` should have shown the order."""
        if order.status is _S.SENDING and order.strategy_id != EXTERNAL:
            return False  # its sending is not over yet
        if order.status is _S.UNKNOWN:
            return True
        if order.status is _S.CANCEL_PENDING:
            patience_ns = self.custody.settings.ns("cancel_wait_s")
            return asked_ns - (order.cancel_ts_ns or 0) >= patience_ns
        return (order.accepted_ts_ns or order.sent_ts_ns or 0) < asked_ns - _GRACE_NS

    async def _external(self, found: VenueOrder) -> None:
        if not self.first and found.filled_quantity:
            # its fills so far are booked before it is taken up for the rest
            since_ns = self.fills_since.get(found.symbol, self.began_ns)
            since_ns -= self.custody.settings.ns("overlap_s")
            await self.custody.fetch(found.symbol, since_ns, found.venue_order_id)
        order = self.custody.adopt(found)
        if order is not None and self.first:
            text = f"an open order to {order.side.value} {order.quantity} {order.symbol}"
            self.custody.unseen(text)

    # -- fills ------------------------------------------------------------------------------

    async def look_at_fills(self) -> None:
        """Book own fills that the stream did not tell, of every symbol that may have some."""
        for symbol in sorted(self.symbols()):
            await self.look_at_fills_of(symbol)
        crash("mid_recon")

    async def look_at_fills_of(self, symbol: str) -> None:
        asked_ns = self.custody.now_ns()
        known_ns = self.fills_since.get(symbol, self.began_ns)
        overlap_ns = 0 if self.first else self.custody.settings.ns("overlap_s")
        await self.custody.fetch(symbol, known_ns - overlap_ns)
        self.fills_since[symbol] = max(known_ns, asked_ns)

    def symbols(self) -> set[str]:
        """Symbols in which something can have been filled."""
        name, ledger = self.custody.name, self.custody.orders.ledger
        used = {o.symbol for o in ledger.orders.values() if o.venue == name}
        used |= {p.symbol for p in self.custody.tracker.open_positions() if p.venue == name}
        if self.verdict.holdings is not None:
            used |= set(self.verdict.holdings.positions)
        return {symbol for symbol in used if symbol in self.custody.venue.instruments}

    # -- holdings ---------------------------------------------------------------------------

    async def look_at_holdings(self) -> None:
        """Compare holdings, and look again soon where they differ."""
        differs = await self.verdict.look(first=self.first, wait=bool(self.resolver.doubts))
        if differs:
            pause_ns = self.custody.settings.ns("differs_s") // 2
            soon_ns = self.custody.now_ns() + max(pause_ns, NS_PER_S // 100)
            self._due["holdings"] = min(self._due["holdings"], soon_ns)
