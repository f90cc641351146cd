"""OrderManager: journal, then send; cancel; tell who listens; rebuild after a restart.

An order's intent is durable before the venue hears of it. What the venue then says is applied by
`OrderLedger`. No answer is a state (UNKNOWN), not an error: such an order is looked up, never sent
again, and until then it counts in full against every limit.

Callbacks run after the event that they are told about is durable. They may be plain functions or
coroutine functions; the latter run as tasks of their own, so that one that waits for the market
cannot stop it.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from execkit import records, recovery
from execkit.clock import Clock, LiveClock
from execkit.crashpoints import crash
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import FixRequest, InvalidInput, OutcomeUnknown, RetryLater, StopTrading
from execkit.journal import Journal
from execkit.lifecycle import EXTERNAL, Alarm, OrderLedger, Outcome
from execkit.records import Recorder
from execkit.recovery import Recovery
from execkit.risk import Approved, Refused, paper_only
from execkit.tasks import Tasks, uncut
from execkit.venues.base import Venue, VenueUpdate, replays
from execkit.words import ExecutionStatus

_log = logging.getLogger(__name__)
_S = ExecutionStatus

EVENTS = (
    "on_submitted",
    "on_accepted",
    "on_triggered",
    "on_partially_filled",
    "on_filled",
    "on_cancelled",
    "on_expired",
    "on_rejected",
    "on_unknown",
    "on_refused",
)

Callback = Callable[[ExecutionOrder], object]
Check = Callable[[ExecutionOrder], Approved | Refused]
OnDoubt = Callable[[str, ExecutionOrder | None, str], None]


class OrderManager:
    """Orders from intent to end.

    Parameters
    ----------
    journal : where intents and events become durable; None keeps them in memory only.
    redis_conn : a client with a plain ``set(name, value)``; given one, the state of each order is
        cached there as JSON under ``execkit:order:<id>``. Trading never depends on it.
    check : who approves orders given to `place_order`; by default paper orders only. An engine
        puts its RiskGuard here.

    `on_doubt(venue, order, reason)` is told when only the venue can say what is true; the order is
    None where it is not known which one (and the venue "" where that is not known either).
    """

    def __init__(
        self,
        journal: Journal | None = None,
        redis_conn: Any = None,
        *,
        clock: Clock | None = None,
        check: Check | None = None,
        run_id: str = "",
    ) -> None:
        self.clock: Clock = clock or LiveClock()
        self.check: Check = check or paper_only
        self.recorder = Recorder(journal, run_id=run_id)
        self.ledger = OrderLedger()
        self.tasks = Tasks()
        self.alarms: list[Alarm] = []
        self.on_doubt: OnDoubt | None = None
        self._redis = redis_conn
        self._venues: dict[str, Venue] = {}
        self._callbacks: dict[str, list[Callback]] = {event: [] for event in EVENTS}
        self._told: deque[tuple[str, ExecutionOrder]] = deque()

    # -- asking -----------------------------------------------------------------------------

    def get_order(self, order_id: str) -> ExecutionOrder | None:
        return self.ledger.orders.get(order_id)

    @property
    def orders(self) -> dict[str, ExecutionOrder]:
        return self.ledger.orders

    def open_orders(self, venue: str = "", symbol: str = "") -> list[ExecutionOrder]:
        """Orders that may still fill, UNKNOWN ones included."""
        return [
            order
            for order in self.ledger.live.values()
            if venue in ("", order.venue) and symbol in ("", order.symbol)
        ]

    def register_callback(self, event: str, callback: Callback) -> None:
        """Call `callback(order)` at each `event` (see `EVENTS`)."""
        if event not in self._callbacks:
            raise InvalidInput("event", event, f"use one of: {', '.join(EVENTS)}")
        if not callable(callback):
            raise InvalidInput("callback", callback, "pass a function that takes an order")
        self._callbacks[event].append(callback)

    # -- sending ----------------------------------------------------------------------------

    async def place_order(self, order: ExecutionOrder, exchange: Venue) -> ExecutionOrder | None:
        """Check, journal and send one order. None if it was refused (see `order.reason`); an
        order with an unclear outcome is returned with status UNKNOWN."""
        order.validate()
        order.venue, order.mode = exchange.name, exchange.mode
        order.created_ts_ns = order.created_ts_ns or self.clock.now_ns()
        instrument = instrument_of(order, exchange)
        answer = self.check(order)
        if isinstance(answer, Refused):
            self.refuse(order, answer, instrument)
            return None
        return await self.submit(answer, exchange)

    async def submit(self, approved: Approved, venue: Venue) -> ExecutionOrder:
        """Send an approved order once; cancelling the caller does not cancel the sending.

        Raises
        ------
        StopTrading : the intent could not be made durable; nothing was sent.
        InvalidInput : the venue does not know the symbol, or the id was used; nothing was sent.
        """
        if not isinstance(approved, Approved):
            raise InvalidInput("approved", approved, "pass what RiskGuard.check approved")
        order, now_ns = approved.order, self.clock.now_ns()
        instrument = instrument_of(order, venue)
        order.venue, order.mode = venue.name, venue.mode
        order.created_ts_ns = order.created_ts_ns or now_ns
        order.sent_ts_ns = now_ns
        self.ledger.add(order, instrument)
        order_id = order.client_order_id
        crash("before_journal")
        try:
            self.recorder.add("intent", records.intent(order, instrument), now_ns, order_id)
            self.recorder.add("sending", {"venue": venue.name}, now_ns, order_id)
            self.recorder.flush()
        except (StopTrading, FixRequest):
            self.recorder.drop(order_id)
            del self.ledger.orders[order_id]
            raise
        crash("after_journal")
        self._venues[order_id] = venue
        self.ledger.move(order, _S.SENDING)
        self._told.append(("on_submitted", order))
        await uncut(self._send(order, venue), here=replays(venue))
        self.dispatch()
        return order

    async def _send(self, order: ExecutionOrder, venue: Venue) -> None:
        try:
            await venue.submit(order)
            crash("after_ack")
        except (RetryLater, FixRequest) as error:
            self._not_sent(order, f"not_sent: {error}")
        except OutcomeUnknown as error:
            self._unknown(order, str(error))
        except BaseException as error:
            # Whatever went wrong in a client, the order may be there: silence is not a no.
            self._unknown(order, f"{type(error).__name__}: {error}")
            if not isinstance(error, Exception):
                raise

    def adopt(self, order: ExecutionOrder, instrument: Instrument, venue: Venue) -> None:
        """Take up an order at `venue` that was not sent from here; SENDING until evidence."""
        now_ns, order_id = self.clock.now_ns(), order.client_order_id
        self.ledger.add(order, instrument)
        self.recorder.add("intent", records.intent(order, instrument), now_ns, order_id)
        self.recorder.add("sending", {"venue": venue.name, "external": True}, now_ns, order_id)
        self._venues[order_id] = venue
        self.ledger.move(order, _S.SENDING)
        self.alarm("external_order", "an open order that was not sent from here", order)

    def settle_at(self, venue: Venue) -> None:
        """Say which venue recovered orders are at: from then on they can be canceled."""
        for order in self.ledger.live.values():
            if order.venue == venue.name:
                self._venues[order.client_order_id] = venue

    async def cancel_again(self, order: ExecutionOrder) -> bool:
        """Repeat the asking for a cancel whose answer did not come; False if that failed, too."""
        try:
            await self._venues[order.client_order_id].cancel(order)
        except (RetryLater, FixRequest, OutcomeUnknown) as error:
            self.alarm("cancel_not_sent", str(error), order)
            return False
        return True

    def _not_sent(self, order: ExecutionOrder, reason: str) -> None:
        now_ns = self.clock.now_ns()
        if order.status is not _S.SENDING:
            self.alarm("contradiction", f"{reason}, but it is {order.status}", order)
            return
        order.reason = reason
        self.ledger.move(order, _S.REJECTED, now_ns)
        self.recorder.add("rejected", {"reason": reason}, now_ns, order.client_order_id)
        self._told.append(("on_rejected", order))
        self.recorder.flush()

    def _unknown(self, order: ExecutionOrder, reason: str) -> None:
        if order.status is not _S.SENDING:
            return  # the venue's own word was faster than its answer
        order.reason = reason
        self.ledger.move(order, _S.UNKNOWN)
        self.recorder.add("unknown", {"reason": reason}, self.clock.now_ns(), order.client_order_id)
        self._told.append(("on_unknown", order))
        self.alarm("unknown", f"no answer says what became of it ({reason})", order)
        self._doubt(order, reason)
        self.recorder.flush()

    def _doubt(self, order: ExecutionOrder | None, reason: str) -> None:
        if self.on_doubt is not None:
            self.on_doubt("" if order is None else order.venue, order, reason)

    def refuse(self, order: ExecutionOrder, refused: Refused, instrument: Instrument) -> None:
        """Record our own no; the order never leaves."""
        now_ns, order_id = self.clock.now_ns(), order.client_order_id
        self.ledger.add(order, instrument)
        self.ledger.move(order, _S.REFUSED, now_ns)
        order.reason = refused.code
        told = records.refused(refused, order.symbol)
        body = records.intent(order, instrument)
        self.recorder.add("intent", {**body, "status": "intent"}, now_ns, order_id)
        self.recorder.add("refused", told, now_ns, order_id)
        self._told.append(("on_refused", order))
        self.recorder.flush()
        self.dispatch()

    async def cancel_order(
        self,
        order: ExecutionOrder | str,
        venue: Venue | None = None,
        *,
        reason: str = "requested",
        external: bool = False,
    ) -> bool:
        """Ask the venue to cancel; True if it was asked. The answer is an event: canceled, or the
        fill that won the race. False for an order that has ended or is being canceled, and for one
        that somebody else sent, unless `external` says that it is meant too."""
        found = self.ledger.orders.get(order if isinstance(order, str) else order.client_order_id)
        if found is None:
            raise InvalidInput("order", order, "there is no such order here")
        if not found.status.is_live or found.status is _S.CANCEL_PENDING:
            return False
        if found.strategy_id == EXTERNAL and not external:
            return False
        place = venue or self._venues.get(found.client_order_id)
        if place is None:
            raise InvalidInput("venue", venue, "pass the venue that holds this recovered order")
        order_id, before = found.client_order_id, found.status
        told = {"reason": reason}
        found.cancel_ts_ns = self.clock.now_ns()
        self.recorder.add("cancel_requested", told, found.cancel_ts_ns, order_id)
        self._flush_cancel(found)
        self.ledger.move(found, _S.CANCEL_PENDING)
        self.ledger.cancel_reasons[order_id] = reason
        crash("mid_cancel")
        return await uncut(self._cancel(found, place, before), here=replays(place))

    async def _cancel(self, order: ExecutionOrder, venue: Venue, before: ExecutionStatus) -> bool:
        try:
            await venue.cancel(order)
        except (RetryLater, FixRequest) as error:
            self.alarm("cancel_not_sent", str(error), order)
            fresh = before in (_S.SENDING, _S.UNKNOWN) and order.accepted_ts_ns is None
            self.cancel_failed(order, str(error), unknown=fresh)
            self._doubt(order, f"its cancel was refused: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - the cancel may have arrived: it stays pending
            self.alarm("cancel_unknown", f"{type(error).__name__}: {error}", order)
            self._doubt(order, f"its cancel has no answer: {error}")
        return True

    def cancel_failed(self, order: ExecutionOrder, error: str, *, unknown: bool = False) -> None:
        """A cancel came to nothing: the order works on. unknown : or so it was before."""
        if order.status is not _S.CANCEL_PENDING:
            return
        back = _S.PARTIALLY_FILLED if order.filled_quantity else _S.OPEN
        self.ledger.move(order, _S.UNKNOWN if unknown else back)
        self.ledger.cancel_reasons.pop(order.client_order_id, None)
        told = {"error": error}
        self.recorder.add("cancel_failed", told, self.clock.now_ns(), order.client_order_id)
        self._flush_cancel(order)

    def _flush_cancel(self, order: ExecutionOrder) -> None:
        """A cancel only takes risk away: it goes out, and its record waits if it must."""
        try:
            self.recorder.flush()
        except StopTrading as error:
            self.alarm("cancel_not_recorded", str(error), order)

    # -- hearing ----------------------------------------------------------------------------

    def apply(self, update: VenueUpdate) -> Outcome:
        """Apply one update and queue its record and callbacks; `flush` and `dispatch` follow."""
        outcome = self.ledger.apply(update)
        order, now_ns = outcome.order, update.local_ts_ns
        if outcome.fill is not None:
            own = outcome.fill
            self.recorder.add("fill", records.fill(own), now_ns, own.client_order_id)
        elif outcome.event and order is not None:
            body = records.evidence(update, order)
            self.recorder.add(update.kind.value, body, now_ns, order.client_order_id)
        if outcome.event and order is not None:
            self._told.append((outcome.event, order))
        if outcome.alarm is not None:
            self._raise_alarm(outcome.alarm)
        if outcome.doubt:
            self._doubt(order, outcome.doubt)
        return outcome

    def process(self, updates: Iterable[VenueUpdate]) -> list[Outcome]:
        """Apply updates, make them durable, tell who listens: the whole way, without an engine."""
        outcomes = [self.apply(update) for update in updates]
        self.recorder.flush()
        self.dispatch()
        return outcomes

    def alarm(self, code: str, message: str, order: ExecutionOrder | None = None) -> None:
        """Put something before a human: log, journal, `alarms`."""
        order_id = order.client_order_id if order is not None else ""
        self._raise_alarm(
            Alarm(code=code, message=message, order_id=order_id, ts_ns=self.clock.now_ns())
        )

    def _raise_alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)
        _log.error("ALARM %s order=%s: %s", alarm.code, alarm.order_id or "-", alarm.message)
        told = {"code": f"alarm_{alarm.code}", "reason": alarm.message}
        self.recorder.add("risk", told, alarm.ts_ns, alarm.order_id or None)

    def dispatch(self) -> None:
        """Tell the callbacks what became durable."""
        while self._told:
            event, order = self._told.popleft()
            if self._redis is not None:
                self._cache(order)
            for callback in self._callbacks[event]:
                try:
                    answer = callback(order)
                except Exception as error:  # noqa: BLE001 - what a listener does wrong is not ours
                    self._callback_failed(event, order, error)
                    continue
                if answer is not None and inspect.isawaitable(answer):
                    self.tasks.spawn(self._await_callback(event, order, answer))

    async def _await_callback(
        self, event: str, order: ExecutionOrder, answer: Awaitable[object]
    ) -> None:
        try:
            await answer
        except Exception as error:  # noqa: BLE001 - what a listener does wrong is not ours
            self._callback_failed(event, order, error)

    def _callback_failed(self, event: str, order: ExecutionOrder, error: Exception) -> None:
        _log.error("callback for %s failed", event, exc_info=error)
        self.alarm("callback_failed", f"{event}: {type(error).__name__}: {error}", order)

    def _cache(self, order: ExecutionOrder) -> None:
        state = {"order_id": order.order_id, "symbol": order.symbol, "status": order.status}
        body = json.dumps({**state, "filled_quantity": str(order.filled_quantity)})
        try:
            self._redis.set(f"execkit:order:{order.client_order_id}", body)
        except Exception as error:  # noqa: BLE001 - trading does not need the cache
            self._redis = None
            self.alarm("cache_lost", f"{type(error).__name__}: {error}; the cache is off", order)

    # -- restarting -------------------------------------------------------------------------

    def recover(self, journal: Journal | None = None, *, run_id: str | None = None) -> Recovery:
        """Rebuild orders from the journal (of one run, or all). Orders without a terminal record
        come back UNKNOWN: they may be live, and only the venue can tell."""
        source = journal or self.recorder.journal
        found = source.read() if source is not None else ()
        return recovery.replay((r for r in found if run_id in (None, r.run_id)), self.ledger)


def instrument_of(order: ExecutionOrder, venue: Venue) -> Instrument:
    """What `order.symbol` is at `venue`; `InvalidInput` listing what is there instead."""
    found = venue.instruments.get(order.symbol)
    if found is None:
        known = ", ".join(sorted(venue.instruments)) or "none"
        raise InvalidInput("symbol", order.symbol, f"{venue.name} lists: {known}")
    return found
