"""LiveVenue: an exchange behind ccxt.pro as a `RemoteVenue`. It names no exchange; `quirks` do.

What may have arrived is never sent again; what is not known is asked for. What it pushes comes from
`hearing`, what it is asked goes over `line`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from execkit.clock import Clock, LiveClock
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import ExecKitError, InvalidInput, OutcomeUnknown, RetryLater, StopTrading
from execkit.secrets import Credentials
from execkit.venues.asked import Asked
from execkit.venues.base import Listener, Quote
from execkit.venues.client import KEEP_ALIVE_S, make_client
from execkit.venues.hearing import Hearing, remember
from execkit.venues.keycheck import prove_key, refused_key
from execkit.venues.limiter import Lane, Limiter
from execkit.venues.line import Failed, Line
from execkit.venues.outcomes import Outcome, misfit
from execkit.venues.quirks import Call, Quirks, Verdict
from execkit.venues.quotes import Quotes
from execkit.venues.remote import Link, LinkState
from execkit.venues.route import Route
from execkit.venues.standing import Standing
from execkit.venues.streams import Streams, Tee
from execkit.words import ExecutionMode

_log = logging.getLogger(__name__)
_V = Verdict
_LAST_WORDS_S = 2.0
_RULES = ("lot_size", "tick_size", "min_notional", "price_band", "unknown_symbol", "halted")
_LEARN_S = 1.0
_RULES_S = 3600.0  # how often the exchange's rules are read again, if no refusal asks for it
_HEARD = ("watch_orders", "watch_my_trades")  # what is held is asked for, not listened to


class LiveVenue(Asked):
    """Parameters
    ----------
    quirks : of the exchange (`quirks_for`). credentials : keys; they stay in the client. mode :
    DEMO or LIVE, stamped on orders. name : under which the engine routes to it. symbols : whose
    quotes are streamed from the start; others from their first `quote` on. route : see `Route`.
    timeout_s : one request's, connection and answer included. patience_s : how long an order waits
    for its turn before it is given back as not sent. limited : False leaves the rate to the caller.
    standing : leverage and modes, set and verified by `connect`. over_socket : orders and cancels
    go over the exchange's WebSocket (conditional ones still by REST). accept : see `check_key`.

    `connect` raises `RetryLater` where the exchange cannot be reached, `StopTrading` where it will
    not have the key, `FixRequest` for a live key that can withdraw and for a standing that is not
    taken up. A caller that is cancelled does not cancel its request: the answer comes through the
    listener, or as a doubt.
    """

    def __init__(
        self,
        quirks: Quirks,
        credentials: Credentials,
        *,
        mode: ExecutionMode,
        name: str = "",
        symbols: Sequence[str] = (),
        route: Route | None = None,
        clock: Clock | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 5.0,
        keep_alive_s: float = KEEP_ALIVE_S,
        limited: bool = True,
        standing: Standing | None = None,
        over_socket: bool = False,
        accept: str = "",
    ) -> None:
        if mode is ExecutionMode.PAPER:
            raise InvalidInput("mode", "paper", "a paper venue sends no orders to an exchange")
        self.quirks, self.name = quirks, name or quirks.id
        self.mode: ExecutionMode = mode
        self.clock: Clock = clock or LiveClock()
        self.timeout_s, self.patience_s = timeout_s, patience_s
        self._credentials, self._route, self._keep_alive_s = credentials, route, keep_alive_s
        self._symbols, self._standing = tuple(symbols), standing or Standing()
        self._over_socket, self._accept = over_socket, accept
        self._demo = mode is ExecutionMode.DEMO
        self.limiter = Limiter(quirks.budgets if limited else ())
        self.hearing = Hearing(quirks, self.name, mode, self.clock, self._want_fills)
        self.client: Any = None
        self._streams: Streams | None = None
        self._quotes: Quotes | None = None
        self._on_link: Callable[[Link], None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wanted: dict[tuple[str, str], None] = {}  # fills to be fetched
        self._line: Line | None = None
        self._under_way: set[asyncio.Task[Any]] = set()  # orders and cancels
        self._sent: dict[str, None] = {}
        self._learning: asyncio.Task[Any] | None = None

    # -- what it is -------------------------------------------------------------------------

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.quirks.instruments

    @property
    def account_id(self) -> str:
        world = "rehearsal" if self._route is not None else self.mode.value
        return f"{self.quirks.id}:{world}:{self._credentials.fingerprint}"

    @property
    def link(self) -> Link:
        return self._streams.link if self._streams is not None else Link(state=LinkState.DOWN)

    def listen(self, listener: Listener) -> None:
        self.hearing.listener = listener

    def attend(self, on_link: Callable[[Link], None], on_doubt: Callable[[str, str], None]) -> None:
        self._on_link, self.hearing.on_doubt = on_link, on_doubt

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote, None while there is none that can be believed."""
        if self._quotes is None or symbol not in self.instruments:
            return None
        self._quotes.watch([symbol])
        return self._quotes.get(symbol)

    # -- coming and going -------------------------------------------------------------------

    async def connect(self) -> None:
        """Load markets, measure the clocks, subscribe to the account; idempotent."""
        if self.client is not None:
            return
        settings: dict[str, Any] = {
            "route": self._route,
            "timeout_s": self.timeout_s,
            "keep_alive_s": self._keep_alive_s,
            "demo": self._demo and self._route is None,
        }
        self.client = make_client(self.quirks, self._credentials, **settings)
        try:
            self._line = self._line_of(self.client)
            await self._line.read(self.quirks.call("load_markets"))
            self.quirks.learn(self.client)
            if self._over_socket and self.client.has.get("createOrderWs") is not True:
                fix = f"{self.quirks.title} takes no orders over a socket; leave it out"
                raise InvalidInput("over_socket", True, fix)
            await self._line.sync_clock()
            await prove_key(self.client, self.quirks, self._credentials, self._demo, self._accept)
            await self._standing.take_up(self._line)
            await self._subscribe()
            public = make_client(self.quirks, **settings)
            public.set_markets_from_exchange(self.client)
            self._quotes = Quotes(
                self._line_of(public), self.clock, stale_s=self._keep_alive_s * 4 / 3
            )
            self._quotes.watch(self._symbols)
        except BaseException:  # whatever stopped it, Ctrl-C too, nothing is left running
            await self.close()
            raise
        self._spawn(self._line.keep_in_time())
        self._spawn(self._keep_the_rules())

    async def _keep_the_rules(self) -> None:
        while True:
            await asyncio.sleep(_RULES_S)
            self._learn_anew()

    def _learn_anew(self) -> None:
        """The exchange's rules may have changed: steps, minima, what is offered at all."""
        if self._learning is None or self._learning.done():
            self._learning = self._spawn(self._learn())

    async def _learn(self) -> None:
        line = self._connected()
        try:
            await line.read(self.quirks.call("load_markets", True))
        except ExecKitError as error:
            _log.warning("%s: its rules were not read again: %s", self.name, error)
            return
        self.quirks.learn(line.client)
        await asyncio.sleep(_LEARN_S)  # many orders may be refused at once

    def _line_of(self, client: Any) -> Line:
        return Line(
            client,
            self.quirks,
            self.name,
            self.limiter,
            self._halt,
            timeout_s=self.timeout_s,
            patience_s=self.patience_s,
        )

    async def _subscribe(self) -> None:
        client, hearing = self.client, self.hearing
        joins = self.quirks.joins_rows
        client.orders, client.triggerOrders = Tee(hearing.order, joins), Tee(hearing.order, joins)
        client.myTrades = Tee(hearing.fill, joins)
        methods = [getattr(client, name) for name in self.quirks.streams if name in _HEARD]
        self._streams = Streams(
            client,
            methods,
            self.clock,
            self._link_changed,
            self._is_refusal,
            stale_s=self._keep_alive_s * 4 / 3,
        )
        if not await self._streams.start(self.timeout_s):
            if self.link.state is LinkState.HALTED:
                said, keys = self.link.reason, self._credentials
                raise refused_key(said, self.quirks, keys, demo=self._demo)
            raise RetryLater(f"{self.name}: its account stream is down: {self.link.reason}")

    async def close(self) -> None:
        """Requests under way are waited for a little; what is open at the exchange stays so."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_LAST_WORDS_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hearing.close()
        if self._streams is not None:
            await self._streams.stop()
        ends = [part.close() for part in (self._quotes, self._line) if part is not None]
        await asyncio.gather(*ends)
        self._streams, self._quotes, self._line, self.client = None, None, None, None

    def _halt(self, reason: str) -> None:
        if self._streams is not None:
            self._streams.halt(reason)

    def _link_changed(self, link: Link) -> None:
        if self._on_link is not None:
            self._on_link(link)

    def _is_refusal(self, error: Exception) -> bool:
        names = {kind.__name__ for kind in type(error).__mro__}
        text = str(error)
        said = self.quirks.verdict(self.quirks.code_of(text), text)
        return (said is not None and said[0] is _V.HALT) or "AuthenticationError" in names

    # -- orders -----------------------------------------------------------------------------

    async def _uncut(self, work: Coroutine[Any, Any, None], order: ExecutionOrder) -> None:
        """Wait for `work`, which goes on if the caller is cancelled; what it then raises is a
        doubt about the order."""
        task = self._spawn(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # `close` did not wait for it any longer
                raise OutcomeUnknown(f"{self.name} was closed before it answered") from None
            task.add_done_callback(lambda done: self._unheard(done, order))
            raise

    def _unheard(self, task: asyncio.Task[None], order: ExecutionOrder) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self.hearing.doubt(order.client_order_id, f"nobody waited for: {error or 'closed'}")

    async def submit(self, order: ExecutionOrder) -> None:
        """See `Venue.submit`. A refusal by the exchange is an update; `InvalidInput` is for what it
        does not support, before anything is sent."""
        call = self.quirks.order_call(order)
        if self.link.state is LinkState.HALTED:
            raise RetryLater(f"{self.name} is halted: {self.link.reason}")
        order_id = order.client_order_id
        if order_id in self._sent:
            raise InvalidInput("client_order_id", order_id, "was sent before; it may be there")
        remember(self._sent, order_id, None)
        await self._uncut(self._submit(order, self._way(order, call)), order)

    def _way(self, order: ExecutionOrder, call: Call) -> Call:
        """The same request over the socket, where that is wanted and exists."""
        if not self._over_socket or self.quirks.waits(order):
            return call
        return replace(call, method=f"{call.method}_ws")

    async def _submit(self, order: ExecutionOrder, call: Call) -> None:
        try:
            row = await self._connected().ask(call, Lane.ORDER)
        except Failed as failed:
            if not failed.outcome.sent:
                self._sent.pop(order.client_order_id, None)
            self._not_taken(order, failed.outcome)
            return
        except RetryLater:  # its turn did not come
            self._sent.pop(order.client_order_id, None)
            raise
        wrong = misfit(order, row, self.quirks)
        if wrong:
            self.hearing.doubt(order.client_order_id, wrong)
            raise OutcomeUnknown(f"{self.name}: {wrong}")
        self.hearing.answered(order, row)

    def _not_taken(self, order: ExecutionOrder, outcome: Outcome) -> None:
        verdict, what = outcome.verdict, f"{self.name} order {order.client_order_id}"
        if outcome.sent and verdict in (_V.REJECTED, _V.HALT):
            generic = outcome.reason in ("", "rejected")
            self.hearing.rejected(
                order, f"rejected: {outcome.message}" if generic else outcome.reason
            )
            if outcome.reason in _RULES:
                self._learn_anew()
            return
        if verdict in (_V.UNKNOWN, _V.EXISTS, _V.GONE):
            self.hearing.doubt(order.client_order_id, outcome.text)
            raise OutcomeUnknown(f"{what}: {outcome.text}")
        raise outcome.error(what)

    async def cancel(self, order: ExecutionOrder) -> None:
        """See `Venue.cancel`. Where the exchange knows no such open order, how it ended is a doubt
        to be looked up: canceled, filled, or canceled by a request whose answer was lost."""
        call = self._way(order, self.quirks.cancel_call(order))
        await self._uncut(self._cancel(order, call), order)

    async def _cancel(self, order: ExecutionOrder, call: Call) -> None:
        try:
            row = await self._connected().ask(call, Lane.CANCEL)
        except Failed as failed:
            outcome = failed.outcome
        else:
            done = isinstance(row, Mapping) and row.get("status") == "canceled"
            if done and not misfit(order, row, self.quirks):
                self.hearing.answered(order, row)
            return
        if outcome.sent and outcome.verdict in (_V.GONE, _V.REJECTED, _V.EXISTS):
            self.hearing.doubt(order.client_order_id, f"cancel: {outcome.text}")
            return
        if outcome.verdict is _V.UNKNOWN:
            self.hearing.doubt(order.client_order_id, f"cancel: {outcome.text}")
        error = outcome.error(f"{self.name} cancel of {order.client_order_id}")
        raise RetryLater(str(error)) if isinstance(error, StopTrading) else error
