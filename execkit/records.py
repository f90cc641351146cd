"""What the engine writes to the journal: one function per kind of record, and the recorder.

Payload keys are the column names of the store. `Recorder` gathers records and appends them in one
commit; `flush` is the line that must be crossed before a byte is sent or a strategy is told.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import execkit
from execkit.chain import Encoded, encoded
from execkit.domain import ExecutionOrder, Fill, Instrument, Position, TradingSignal
from execkit.journal import Journal
from execkit.limits import Refused
from execkit.venues.base import Quote, UpdateKind, VenueUpdate

Payload = dict[str, Any]


class Recorder:
    """Appends records in commits. Without a journal it keeps nothing.

    group : how many records may wait for a commit beyond the point where they should be durable.
    0 is the rule; anything else is for replays, which can be run again.
    """

    def __init__(self, journal: Journal | None = None, *, run_id: str = "", group: int = 0) -> None:
        self.journal, self.run_id, self.group = journal, run_id, group
        self._waiting: list[Encoded] = []

    def attach(self, journal: Journal | None, run_id: str, group: int) -> None:
        """Write to `journal` (None keeps the present one) under `run_id`."""
        self.journal, self.run_id, self.group = journal or self.journal, run_id, group

    def add(self, kind: str, payload: Payload, ts_ns: int, order_id: str | None = None) -> None:
        """Queue a record as it is now. Raises `InvalidInput` for one that the journal cannot hold,
        which is then not queued: it would stop everything that comes after it."""
        if self.journal is not None:
            self._waiting.append(encoded(kind, payload, ts_ns, order_id, self.run_id))

    def flush(self, *, force: bool = False) -> None:
        """Make everything added so far durable. On failure nothing of it was written, it stays
        queued, and the error (`StopTrading`) says that nothing may be sent."""
        if self.journal is None or not self._waiting:
            return
        if not force and len(self._waiting) <= self.group:
            return
        self.journal.append_many(self._waiting)
        self._waiting.clear()

    def drop(self, order_id: str) -> None:
        """Take back what waits about an order that was not sent because it could not be written."""
        self._waiting = [event for event in self._waiting if event.client_order_id != order_id]


def run(mode: str, venues: list[str], started_ns: int, settings: Payload) -> Payload:
    return {
        "mode": mode,
        "venue": ",".join(venues),
        "started_ns": started_ns,
        "params": settings,
        "versions": {"execkit": execkit.__version__, "python": platform.python_version()},
    }


def signal(wish: TradingSignal, venue: str, mode: str) -> Payload:
    out = {name: getattr(wish, name) for name in wish.__dataclass_fields__}
    return {**out, "venue": venue, "mode": mode}


def intent(order: ExecutionOrder, instrument: Instrument) -> Payload:
    return {
        "ts_ns": order.created_ts_ns,
        "decision_ts_ns": order.created_ts_ns,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "quantity": order.quantity,
        "price": order.price,
        "stop_price": order.stop_price,
        "trail_bps": order.trail_bps,
        "time_in_force": order.time_in_force,
        "expire_ts_ns": order.expire_ts_ns,
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "oco_group": order.oco_group,
        "parent_order_id": order.parent_order_id,
        "strategy_id": order.strategy_id,
        "signal_id": order.signal_id,
        "venue": order.venue,
        "mode": order.mode,
        "status": order.status,
        "decision_price": order.decision_price,
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "contract_kind": instrument.kind,
        "contract_size": instrument.contract_size,
    }


def evidence(update: VenueUpdate, order: ExecutionOrder) -> Payload:
    """accepted (with the mid it arrived at), triggered, canceled, expired, rejected."""
    accepted = update.kind is UpdateKind.ACCEPTED
    return {
        **({"arrival_price": order.arrival_price} if accepted else {}),
        "venue_order_id": order.venue_order_id,
        "venue_ts_ns": update.venue_ts_ns,
        "local_ts_ns": update.local_ts_ns,
        "reason": order.reason or update.reason,
        "symbol": order.symbol,
        "venue": order.venue,
    }


def fill(own: Fill) -> Payload:
    return {
        "fill_id": own.fill_id,
        "client_order_id": own.client_order_id,
        "parent_order_id": own.parent_order_id,
        "mode": own.mode,
        "venue": own.venue,
        "symbol": own.symbol,
        "side": own.side,
        "quantity": own.quantity,
        "price": own.price,
        "liquidity": own.liquidity,
        "fee": own.fee,
        "fee_currency": own.fee_currency,
        "venue_ts_ns": own.venue_ts_ns,
        "local_ts_ns": own.local_ts_ns,
    }


def position(held: Position) -> Payload:
    return {
        "venue": held.venue,
        "symbol": held.symbol,
        "strategy_id": held.strategy_id,
        "quantity": held.quantity,
        "average_price": held.average_price,
        "realised_pnl": held.realised_pnl,
        "unrealised_pnl": held.unrealised_pnl,
        "current_price": held.current_price,
        "fees": dict(held.fees),
    }


def quote(seen: Quote, venue: str, role: str, order_id: str) -> Payload:
    """role : "decision" or "arrival" of the order `order_id`, or "markout". NaN becomes null."""
    return {
        "venue": venue,
        "symbol": seen.symbol,
        "ts_ns": seen.ts_ns,
        "role": role,
        "client_order_id": order_id,
        **seen.shown,
    }


def refused(no: Refused, symbol: str) -> Payload:
    """What was observed may be without bound (a holding that has no price): then null."""
    observed = no.observed
    return {
        "symbol": symbol,
        "code": no.code,
        "reason": no.message,
        "observed": None if observed is None or not observed.is_finite() else observed,
        "limit": no.limit,
        "unit": no.unit,
        "also": [other.code for other in no.also],
    }


def equity(currency: str, value: Decimal, unrealised: Decimal, drawdown: Decimal) -> Payload:
    """All in `currency`. value : starting equity included. drawdown : the highest so far less
    `value`, 0 or more."""
    return {
        "currency": currency,
        "equity": value,
        "position_value": unrealised,
        "cash": value - unrealised,
        "drawdown": drawdown,
    }


def numbers(limits: Mapping[str, object]) -> Payload:
    """Limits as JSON holds them: sets as sorted lists."""
    return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in limits.items()}
