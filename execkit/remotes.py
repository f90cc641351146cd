"""Remotes: the venues of an engine that live elsewhere, and all that keeps the engine true to them.

An engine whose venues are all in its own process has none, and nothing here costs it anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pandas as pd

from execkit.custody import Custody
from execkit.diff import three_way
from execkit.domain import ExecutionOrder
from execkit.errors import StopTrading
from execkit.gate import Gate
from execkit.journal import Journal, Record
from execkit.ready import Readiness, ReconcileSettings
from execkit.reconcile import Reconciler
from execkit.recovery import Recovery
from execkit.runlock import RunLock
from execkit.venues.base import Listener, Venue, VenueUpdate
from execkit.venues.remote import RemoteVenue


class Remotes:
    """Parameters
    ----------
    gate : of the engine. halt : stops new risk, with a reason. on_ready : told the name of a venue
    each time it gets READY. on_error : told of errors of the reconcilers' own.
    """

    def __init__(
        self,
        gate: Gate,
        settings: ReconcileSettings | None,
        halt: Callable[[str], None],
        on_ready: Callable[[str], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.gate, self.settings = gate, settings or ReconcileSettings()
        self.halt, self.on_ready, self.on_error = halt, on_ready, on_error
        self.venues = {v.name: v for v in gate.venues.values() if isinstance(v, RemoteVenue)}
        self.reconcilers: dict[str, Reconciler] = {}
        self.readiness = {name: Readiness(venue) for name, venue in self.venues.items()}
        gate.account.readiness = self.readiness
        self._lock: RunLock | None = None
        self._seen: set[str] = set()  # venues that were READY once
        self._last_ns = 0
        if self.venues:
            gate.orders.on_doubt = self._doubt
            gate.monitor.ask = self.look_up
            gate.protector.waits = self.waits

    # -- hearing ----------------------------------------------------------------------------

    def listener(self, venue: Venue, enqueue: Listener) -> Listener:
        """`enqueue`, for a venue's stream; what it did by force is noted first."""
        if venue.name not in self.venues:
            return enqueue

        def listen(update: VenueUpdate) -> None:
            found = self.reconcilers.get(venue.name)
            if found is not None:
                found.custody.hear(update)
            enqueue(update)

        return listen

    def _doubt(self, name: str, order: ExecutionOrder | None, reason: str) -> None:
        for reconciler in self._named(name):
            reconciler.hear_doubt(order, reason)

    def _named(self, name: str) -> list[Reconciler]:
        if not name:
            return list(self.reconcilers.values())
        return [self.reconcilers[name]] if name in self.reconcilers else []

    def look_up(self, order: ExecutionOrder) -> bool:
        """Ask the venue about `order`; False if it is none that can be asked."""
        self._doubt(order.venue, order, "it is waited for")
        return order.venue in self.reconcilers

    def waits(self, name: str) -> bool:
        """Whether the venue cannot be used to protect anything now: it is out of reach, or what it
        holds has not been compared since the start."""
        ready = self.readiness.get(name)
        return ready is not None and (bool(ready.unreachable) or name not in self._seen)

    # -- starting ---------------------------------------------------------------------------

    def claim(self, journal: Journal | None, run_id: str) -> None:
        """Take the run for this engine, and see that the journal is of these accounts. Raises
        `StopTrading` where another engine has it, or it is of another account."""
        if not self.venues or journal is None:
            return
        self._lock = RunLock(journal.path, run_id)
        try:
            for record in journal.read(kinds=("run",)):
                self._same_account(record)
        except BaseException:  # whatever stopped it, Ctrl-C too, the run is free again
            self.release()
            raise

    def _same_account(self, record: Record) -> None:
        accounts = record.payload.get("params", {}).get("accounts", {})
        for name, venue in self.venues.items():
            before = accounts.get(name, venue.account_id)
            if record.payload.get("mode") == venue.mode and before != venue.account_id:
                raise StopTrading(
                    f"this journal is of account {before} at {name}, the keys are of "
                    f"{venue.account_id}; use the journal of this account, or a new one"
                )

    def accounts(self) -> dict[str, str]:
        """For the run's record: which account each venue is."""
        return {name: venue.account_id for name, venue in sorted(self.venues.items())}

    def attend(self) -> None:
        """Be told of links and doubts, from before the venues connect."""
        for name, venue in self.venues.items():
            venue.attend(*self._ears(name))

    def _ears(self, name: str) -> tuple[Callable[[Any], None], Callable[[str, str], None]]:
        def hear_link(link: object) -> None:
            for reconciler in self._named(name):
                reconciler.hear_link(link)  # type: ignore[arg-type]

        def hear_doubt(order_id: str, reason: str) -> None:
            order = self.gate.orders.get_order(order_id)
            if order is not None or not order_id:
                self._doubt(name, order, reason)

        return hear_link, hear_doubt

    def resume(self, found: Recovery | None) -> None:
        """Make the reconcilers; take up what an earlier process of the run knew. `found` None:
        there was none."""
        gate = self.gate
        for name, venue in self.venues.items():
            custody = Custody(
                venue=venue,
                orders=gate.orders,
                tracker=gate.tracker,
                clock=gate.clock,
                receive=gate.driver.receive,
                at=gate.driver.at,
                settings=self.settings,
                readiness=self.readiness[name],
            )
            risk = found.risk if found is not None else []
            told = [payload for _, payload in risk if payload.get("venue") == name]
            reconciler = self.reconcilers[name] = Reconciler(
                custody,
                first=not any(p["code"] == "opening_balances" for p in told),
                halt=self.halt,
                on_ready=lambda name=name: self._ready(name),  # type: ignore[misc]
                on_error=self.on_error,
            )
            gate.orders.settle_at(venue)
            _restore(reconciler, told)
            if found is not None and found.last_ns:
                reconciler.began_ns = found.last_ns

    def start(self) -> None:
        for reconciler in self.reconcilers.values():
            reconciler.start()

    async def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Return when every venue is READY or the time is over; whether they all are."""
        limit = self.settings.ready_timeout_s if timeout_s is None else timeout_s
        answers = [reconciler.wait_ready(limit) for reconciler in self.reconcilers.values()]
        return all(await asyncio.gather(*answers))

    def tell_late(self) -> None:
        """Put before a human which venues are not READY."""
        for name, ready in self.readiness.items():
            if not ready.ready:
                text = f"{name} is not ready: {ready.objection()}; nothing that adds risk goes out"
                self.gate.orders.alarm("not_ready", text)

    def _ready(self, name: str) -> None:
        first = name not in self._seen
        self._seen.add(name)
        if first:
            self._ask_again(name)
        self.on_ready(name)

    def _ask_again(self, name: str) -> None:
        """Cancels that were under way when the last process died."""
        orders = self.gate.orders
        for order_id, reason in list(orders.ledger.cancel_reasons.items()):
            order = orders.get_order(order_id)
            if order is not None and order.venue == name and order.status.is_live:
                orders.tasks.spawn(self.gate.cancel(order, reason))

    async def stop(self) -> None:
        for reconciler in self.reconcilers.values():
            await reconciler.stop()

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- a human ----------------------------------------------------------------------------

    def acknowledge(self) -> None:
        """See `ExecutionEngine.acknowledge`."""
        for reconciler in self.reconcilers.values():
            reconciler.verdict.acknowledge()

    def table(self, journal: Journal | None, run_id: str) -> pd.DataFrame:
        """See `ExecutionEngine.reconciliation`."""
        return three_way(self.reconcilers.values(), journal, run_id)

    async def cancel_everything(self) -> None:
        """Have each venue cancel all that is open, whoever sent it; what prevents it is an
        alarm."""
        for venue in self.venues.values():
            try:
                await venue.cancel_all()
            except Exception as error:  # noqa: BLE001 - the other venues are asked as well
                text = f"{venue.name}: {type(error).__name__}: {error}"
                self.gate.orders.alarm("cancel_all_failed", text)
        for reconciler in self.reconcilers.values():
            reconciler.look_now()


def _restore(reconciler: Reconciler, told: Iterable[dict[str, Any]]) -> None:
    """Opening balances, and what a human has not acknowledged, as an earlier process noted them."""
    readiness, judge = reconciler.custody.readiness, reconciler.judge
    for payload in told:
        code = payload["code"]
        if code == "opening_balances":
            judge.opening = {c: Decimal(v) for c, v in payload["balances"].items()}
        elif code == "balance_adjusted":
            judge.adjust(payload["coin"], Decimal(payload["quantity"]))
        elif code == "unacknowledged":
            readiness.unacknowledged.append(payload["reason"])
        elif code == "symbol_blocked":
            readiness.blocked[payload["symbol"]] = payload["reason"]
        elif code == "acknowledged":
            readiness.unacknowledged.clear()
            readiness.blocked.clear()
