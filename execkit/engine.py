"""ExecutionEngine: signal -> checks -> order -> fill -> position, in every world the same.

Mode is a property of the venue and is stamped on each order. Venues enqueue, one writer applies
(`execkit.driver`), and what the engine does about it passes the checks of a strategy's order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from execkit import emergency, records
from execkit.account import Account
from execkit.bookkeeping import Bookkeeper
from execkit.clock import NS_PER_S, Clock
from execkit.domain import ExecutionOrder, TradingSignal
from execkit.driver import END, Driver, OnTime, default_clock, open_markets
from execkit.errors import FixRequest, InvalidInput
from execkit.frames import EngineView
from execkit.gate import ExecutionResult, Gate, checked
from execkit.journal import Journal
from execkit.monitor import OrderMonitor
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.ready import ReconcileSettings
from execkit.remotes import Remotes
from execkit.resuming import resume
from execkit.risk import RiskGuard
from execkit.scheduling import schedule
from execkit.signals import NoPosition, order_of
from execkit.venues.base import ReplayVenue, Venue, VenueUpdate
from execkit.venues.remote import RemoteVenue
from execkit.words import (
    ExecutionMode,
    ExecutionStatus,
    Number,
    OrderType,
    new_client_order_id,
    positive,
)

if TYPE_CHECKING:
    from execkit.store import Store

__all__ = ["ExecutionEngine", "ExecutionResult"]

_log = logging.getLogger(__name__)
_S = ExecutionStatus


class ExecutionEngine(EngineView):
    """Parameters
    ----------
    exchanges : venues by the name that signals are routed with.
    order_manager, position_tracker, risk_guard, order_monitor : parts to use instead of new ones.
    execution_mode : must be the mode of every venue.
    clock : default: a ReplayClock at the first event of the venues' recorded data if they all have
        some, else a LiveClock.
    journal : makes intents and events durable; None keeps them in memory. store : takes the journal
        in when the engine stops.
    run_id : names the run; giving the id of an earlier run resumes it from the journal.
    order_timeout_s : orders of signals and `submit_order` still live after it are canceled.
    starting_equity, account_currency, rates : see `Account`; 100,000 if not given (paper and demo).
    settle_timeout_s : how long `execute_signal` waits for its order to fill or be taken.
    equity_interval_s : how often equity is marked and recorded while a position is open.
    group_commit : for replays: how many journal records may wait for one commit.
    reconcile : how venues that live elsewhere are asked what is true.
    duplicate_window_s : how long an opening order just like one before is refused; 10 if not given
        where a venue lives elsewhere, else 0 = never.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Venue],
        order_manager: OrderManager | None = None,
        position_tracker: PositionTracker | None = None,
        risk_guard: RiskGuard | None = None,
        order_monitor: OrderMonitor | None = None,
        execution_mode: ExecutionMode | str = ExecutionMode.PAPER,
        *,
        clock: Clock | None = None,
        journal: Journal | None = None,
        store: Store | None = None,
        run_id: str | None = None,
        order_timeout_s: float | None = None,
        starting_equity: Number | None = None,
        account_currency: str = "",
        rates: Mapping[str, Number] | None = None,
        settle_timeout_s: float = 5.0,
        equity_interval_s: float = 60.0,
        group_commit: int = 0,
        reconcile: ReconcileSettings | None = None,
        duplicate_window_s: float | None = None,
    ) -> None:
        self.mode = ExecutionMode.of(execution_mode, "execution_mode")
        self.exchanges = checked(exchanges, self.mode)
        self._own_clock = clock is None
        self.clock = clock or default_clock(list(self.exchanges.values()))
        self.run_id, self._resumes = run_id or new_client_order_id(), run_id is not None
        self.order_manager = order_manager or OrderManager()
        self.position_tracker = position_tracker or PositionTracker()
        self.risk_guard = risk_guard or RiskGuard()
        self.order_monitor = order_monitor or OrderMonitor()
        self.store = store
        timeout_ns = _ns(order_timeout_s, "order_timeout_s") if order_timeout_s is not None else 0
        self._settle_ns = _ns(settle_timeout_s, "settle_timeout_s")
        self._interval_ns = _ns(equity_interval_s, "equity_interval_s")
        self._valuing = False
        self.total_signals = self.successful_executions = 0
        self.failure: Exception | None = None
        venues = list(self.exchanges.values())
        if group_commit and not all(isinstance(venue, ReplayVenue) for venue in venues):
            raise InvalidInput("group_commit", group_commit, "only replays may delay durability")
        self._recorder = self.order_manager.recorder
        self._recorder.attach(journal, self.run_id, group_commit)
        self.account = Account(
            venues,
            self.position_tracker,
            self.order_manager,
            self.clock,
            starting_equity=starting_equity,
            currency=account_currency,
            rates=rates,
        )
        elsewhere = any(isinstance(venue, RemoteVenue) for venue in venues)
        window_s = (10 if elsewhere else 0) if duplicate_window_s is None else duplicate_window_s
        self._assemble(venues, timeout_ns, round(window_s * NS_PER_S))
        self._attend(venues, reconcile)

    def _assemble(self, venues: list[Venue], timeout_ns: int, duplicate_ns: int) -> None:
        """Give the parts one clock and each other."""
        manager = self.order_manager
        manager.tasks.on_error = self._fail
        under_way = manager.ledger.under_way
        self._driver = Driver(self.clock, venues, manager.tasks, self._apply, under_way)
        for part in (self.order_manager, self.risk_guard, self.order_monitor):
            part.clock = self.clock
        self.books = Bookkeeper(
            self.account,
            manager,
            self.position_tracker,
            self.risk_guard,
            self.order_monitor,
            self._broke,
        )
        parts = (self.exchanges, self.account, self.books, self._driver)
        self.gate = Gate(*parts, timeout_ns=timeout_ns, duplicate_ns=duplicate_ns)
        self.protector = self.gate.protector
        self.order_monitor.wait = self.wait_until

    def _attend(self, venues: list[Venue], settings: ReconcileSettings | None) -> None:
        halt = self.risk_guard.halt
        self.remotes = Remotes(self.gate, settings, halt, self._venue_ready, self._broke)
        for place in venues:
            listen = self.books.listener(place, self._driver.receive)
            place.listen(self.remotes.listener(place, listen))

    # -- running ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect the venues, resume an earlier run of this id, begin to apply updates.

        Venues that live elsewhere are reconciled; returns when they are READY, or, with an alarm,
        after `ReconcileSettings.ready_timeout_s`. Raises `StopTrading` if another engine has the
        run, or the journal is of another account.
        """
        if self.gate.open:
            return
        self.remotes.claim(self._recorder.journal, self.run_id)
        try:
            self.remotes.attend()
            for venue in self.exchanges.values():
                await venue.connect()
                open_markets(venue)
        except BaseException:  # whatever stopped it, Ctrl-C too, the run is free again
            self.remotes.release()
            raise
        self.account.look()
        self.account.must_be_sized(self.risk_guard.limits)
        self.risk_guard.currency = self.account.currency
        if self._own_clock and self._driver.replays:
            for paper in self._driver.paper:
                paper.advance(self.clock.now_ns())
        found = resume(self.gate, self.run_id) if self._resumes else None
        self.remotes.resume(found)
        now_ns, names = self.clock.now_ns(), sorted(v.name for v in self.exchanges.values())
        settings = {
            "limits": records.numbers(asdict(self.risk_guard.limits)),
            "starting_equity": self.account.starting_equity,
            "account_currency": self.account.currency,
            "order_timeout_s": self.gate.timeout_ns / NS_PER_S,
            **({"accounts": accounts} if (accounts := self.remotes.accounts()) else {}),
        }
        body = records.run(self.mode, names, now_ns, settings)
        self._recorder.add("run", body, now_ns)
        self.gate.open = True
        self.books.value(now_ns)
        self.books.commit()
        self._driver.start()
        self.protector.latched = self.risk_guard.halted == emergency.REASON
        self.remotes.start()
        self.protector.review()
        if not await self.remotes.wait_ready():
            self.remotes.tell_late()
            self.books.commit()

    async def stop(self, *, cancel_orders: bool = False) -> None:
        """Stop applying updates and close the venues. Live orders stay with their venues unless
        `cancel_orders`; a paper venue dies with its process, and its orders with it."""
        if not self.gate.open:
            return
        if cancel_orders:
            await emergency.cancel_all(self.gate, self._settle_ns, "engine_stopped")
        await self.remotes.stop()
        await self._driver.stop()
        self.books.value(self.clock.now_ns())
        if self._driver.replays:
            self.books.mark_out(self._driver.paper, self.clock.now_ns())
        self._recorder.flush(force=True)
        for venue in self.exchanges.values():
            await venue.close()
        self.gate.open = False
        self.remotes.release()
        if self.store is not None and self._recorder.journal is not None:
            self.store.ingest(self._recorder.journal)

    async def replay(
        self,
        until_ns: int | None = None,
        on_time: OnTime | None = None,
        *,
        every_ns: int = 0,
    ) -> None:
        """Move recorded markets and the clock forward, the same way every time.

        until_ns : where to stop; None runs to the end of the data and all answers. on_time : called
        with the time after each market event (at most once per `every_ns`); may be a coroutine
        function and may send orders. Raises what stopped trading, e.g. `JournalUnwritable`.
        """
        self.gate.must_be_open()
        await self._driver.drive(until_ns, on_time=on_time, every_ns=every_ns)
        self.books.value(self.clock.now_ns())
        self.books.commit()
        if self.failure is not None:
            raise self.failure

    async def wait_until(self, done: Callable[[], bool], deadline_ns: int) -> None:
        """Return when `done()` holds or the clock reaches the deadline; see `Driver`."""
        await self._driver.wait_until(done, deadline_ns)

    def _apply(self, batch: list[VenueUpdate]) -> None:
        touched = self.books.apply(batch)
        for step in (self.books.commit, lambda: self.protector.review(touched)):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - what is held is protected all the same
                self._broke(error)
        if not self._valuing:
            self._value_later(bool(self.position_tracker.open_positions()))

    def _venue_ready(self, name: str) -> None:
        """A venue was reconciled: what is held there is protected again, or left for good."""
        if self.protector.latched:
            self.order_manager.tasks.spawn(emergency.stop_all(self.gate, self._settle_ns))
        held = self.position_tracker.open_positions()
        self.protector.review({(p.venue, p.symbol) for p in held if p.venue == name})

    def _broke(self, error: Exception) -> None:
        """The writer itself failed: halt, tell a human, and let `replay` raise it at its end."""
        _log.error("an update could not be dealt with", exc_info=error)
        if self.failure is None:
            self.order_manager.alarm("engine_fault", f"{type(error).__name__}: {error}")
        self.failure = error
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Something of the engine's own broke: no new risk until a human has looked."""
        self.risk_guard.halt(f"{type(error).__name__}: {error}")

    def _value(self) -> None:
        try:
            self.books.value(self.clock.now_ns())
        finally:  # a market that cannot be seen now may be seen later
            self._value_later(bool(self.position_tracker.open_positions()))

    def _value_later(self, wanted: bool) -> None:
        """Value again after the interval; where a replayed market is silent for longer (nights,
        years between two recordings), after its next event, for nothing changes before."""
        due = self.clock.now_ns() + self._interval_ns
        if self._driver.replays:
            due = max(due, self._driver.next_market_ns() + 1)
        self._valuing = wanted and due < END
        if self._valuing:
            self._driver.at(due, self._value)

    # -- sending ----------------------------------------------------------------------------

    async def execute_signal(self, signal: TradingSignal, exchange_name: str) -> ExecutionResult:
        """Act on a signal. Nothing raises for a signal that cannot be followed: see the result.

        Returns when a market order has ended or a limit order was taken, at the latest after
        `settle_timeout_s`; inside a replay at once. On a ReplayClock this moves the market.
        """
        self.total_signals += 1
        try:
            venue = self.gate.venue(exchange_name)
            order = order_of(signal, venue.name, self.position_tracker)
        except FixRequest as error:
            return ExecutionResult.of(error)
        body = records.signal(signal, venue.name, self.mode)
        now_ns = self.clock.now_ns()
        self._recorder.add("signal", body, now_ns, order.client_order_id)
        result = await self.gate.place(order, exchange_name, signal)
        if result.success:
            await self._settle(order)
            result = self.gate.result(order)
        self.successful_executions += result.success
        return result

    async def submit_order(self, order: ExecutionOrder, exchange_name: str) -> ExecutionResult:
        """Send a ready order through the same checks; returns when the venue was handed it."""
        return await self.gate.place(order, exchange_name)

    def schedule(
        self,
        order: ExecutionOrder,
        exchange_name: str,
        ts_ns: int,
        cancel_ts_ns: int | None = None,
    ) -> None:
        """Submit `order` when the clock reaches `ts_ns`, before the market moves at that time, and
        ask for its cancel at `cancel_ts_ns`. What became of it: `order.status` and `.reason`; one
        that could not be placed is REFUSED, with an alarm."""
        schedule(self.gate, order, exchange_name, ts_ns, cancel_ts_ns)

    async def _settle(self, order: ExecutionOrder) -> None:
        market = order.order_type is OrderType.MARKET

        def settled() -> bool:
            sent = order.status is not _S.SENDING and not market
            return sent or order.is_done or order.status is _S.UNKNOWN

        await self.wait_until(settled, self.clock.now_ns() + self._settle_ns)

    # -- getting out ------------------------------------------------------------------------

    async def close_position(
        self, symbol: str, exchange_name: str | None = None, reason: str = "requested"
    ) -> ExecutionResult:
        """Close a position at market. Its stop and target stay until the closing order has
        filled, and go then. exchange_name may be left out where only one venue holds it."""
        try:
            venue = self.gate.venue(exchange_name).name if exchange_name is not None else None
            self.gate.must_be_open()
            held = self.position_tracker.get_position(symbol, venue)
            if held is None:
                raise NoPosition("symbol", symbol, "there is no open position in it")
        except FixRequest as error:
            return ExecutionResult.of(error)
        result = await self.gate.close(held, reason)
        if result.success and result.order is not None:
            await self._settle(result.order)
            result = self.gate.result(result.order)
        return result

    async def emergency_stop_all(self) -> dict[str, list[Any]]:
        """Latch, cancel every live order, close every position at market, and see that it is so.

        Nothing that adds risk is sent from here on until `deactivate_circuit_breaker`. Returns
        cancelled_orders (ids the venues confirmed), closed_positions (symbols that are flat),
        failed (what could not be done, with the reason) and pending (asked, not yet confirmed;
        inside a replay, where no time passes, everything is).
        """
        return await emergency.stop_all(self.gate, self._settle_ns)

    def acknowledge(self) -> None:
        """A human has seen what was found at the venues (`reconciliation`): orders and positions of
        others are as they are, holdings that differ are taken over, blocked symbols are free."""
        self.remotes.acknowledge()
        self.books.commit()

    def activate_circuit_breaker(self, reason: str) -> None:
        """Only orders that reduce exposure pass until `deactivate_circuit_breaker`."""
        self.risk_guard.activate_circuit_breaker(reason)
        self.books.commit()

    def deactivate_circuit_breaker(self) -> None:
        """Close the breaker, and end the halt of an emergency stop or of a failure."""
        self.failure = None
        self.risk_guard.deactivate_circuit_breaker()
        self.risk_guard.resume()
        self.protector.unlatch()
        self.books.commit()


def _ns(seconds: float, name: str) -> int:
    return round(positive(seconds, name) * NS_PER_S)
