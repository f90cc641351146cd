"""OrderLedger: what is known about each order, and the only place where its state moves.

Venue updates may come late, twice, or in the wrong order. What is certain is applied, what repeats
is ignored, what contradicts is not applied and raises an alarm. A fill is applied once, by
(venue, symbol, fill_id), from any state after SENDING, also after the order ended: money moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.errors import IllegalTransition, InvalidInput
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.words import ZERO, ExecutionStatus, check_transition

_S = ExecutionStatus
_EXACT = Context(prec=60)
_MONEY = Context(prec=28)
_ENDS = {
    UpdateKind.CANCELED: (_S.CANCELED, "on_cancelled"),
    UpdateKind.EXPIRED: (_S.EXPIRED, "on_expired"),
    UpdateKind.REJECTED: (_S.REJECTED, "on_rejected"),
}


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something a human should see. `code` is a closed word, e.g. overfill, late_fill."""

    code: str
    message: str
    order_id: str = ""
    ts_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an update changed. event : callback name or "". fill : one that is new."""

    order: ExecutionOrder | None = None
    event: str = ""
    fill: Fill | None = None
    alarm: Alarm | None = None


class OrderLedger:
    """Orders by client order id."""

    def __init__(self) -> None:
        self.orders: dict[str, ExecutionOrder] = {}
        self.live: dict[str, ExecutionOrder] = {}
        self.doubtful: dict[str, ExecutionOrder] = {}  # UNKNOWN, also once its cancel was asked
        self.cancel_reasons: dict[str, str] = {}
        self._instruments: dict[str, Instrument] = {}
        self._value: dict[str, Decimal] = {}  # sum of q * price; of q / price for inverse
        self._fills: dict[tuple[str, str, str], Fill] = {}

    @property
    def fills(self) -> list[Fill]:
        """Every fill applied or handed on, in the order of hearing."""
        return list(self._fills.values())

    def must_be_new(self, order: ExecutionOrder) -> None:
        """`InvalidInput` if the order's id was used before: it may be live, or done for good."""
        if order.client_order_id in self.orders:
            raise InvalidInput(
                "client_order_id",
                order.client_order_id,
                "was used before; leave it out to get a new one",
            )

    def add(self, order: ExecutionOrder, instrument: Instrument) -> None:
        """Take a new order in."""
        self.must_be_new(order)
        self.orders[order.client_order_id] = order
        self._instruments[order.client_order_id] = instrument

    def move(self, order: ExecutionOrder, status: ExecutionStatus, ts_ns: int = 0) -> None:
        """The one assignment of a state. Raises `IllegalTransition`, changing nothing."""
        check_transition(order.status, status, order.client_order_id)
        order.status = status
        if status.is_live:
            self.live[order.client_order_id] = order
        else:
            self.live.pop(order.client_order_id, None)
        if status is _S.UNKNOWN:
            self.doubtful[order.client_order_id] = order
        elif status is not _S.CANCEL_PENDING:
            self.doubtful.pop(order.client_order_id, None)
        order.done_ts_ns = ts_ns if status.is_done else None

    def under_way(self) -> bool:
        """Whether some request has no answer yet, or some order still has an expiry to come."""
        waits = (_S.SENDING, _S.CANCEL_PENDING)
        return any(o.status in waits or o.expire_ts_ns is not None for o in self.live.values())

    def apply(self, update: VenueUpdate) -> Outcome:
        """Apply one update of a venue. A venue's oddities raise nothing: see `Outcome.alarm`."""
        order = self.orders.get(update.client_order_id)
        if order is None:
            return self._external(update)
        if order.status in (_S.INTENT, _S.REFUSED):
            # it never left: evidence about it is evidence about somebody else's order
            return self._alarm(update, order, "never_sent", f"{update.kind} of an unsent order")
        if update.venue_order_id:
            order.venue_order_id = update.venue_order_id
        try:
            if update.kind is UpdateKind.FILL:
                return self._fill(order, update)
            if update.kind is UpdateKind.ACCEPTED:
                return self._accepted(order, update)
            if update.kind is UpdateKind.TRIGGERED:
                order.triggered_ts_ns = order.triggered_ts_ns or update.venue_ts_ns
                return Outcome(order=order, event="on_triggered")
            return self._ended(order, update)
        except IllegalTransition as error:
            return self._alarm(update, order, "illegal_transition", str(error))

    def _accepted(self, order: ExecutionOrder, update: VenueUpdate) -> Outcome:
        if order.accepted_ts_ns is not None:
            return Outcome(order=order)
        order.accepted_ts_ns = update.local_ts_ns
        if order.status in (_S.SENDING, _S.UNKNOWN):
            self.move(order, _S.OPEN)
        # else: a fill, a cancel or the end overtook the acceptance, and knows better
        return Outcome(order=order, event="on_accepted")

    def _ended(self, order: ExecutionOrder, update: VenueUpdate) -> Outcome:
        status, event = _ENDS[update.kind]
        if order.status is status:
            return Outcome(order=order)
        self.move(order, status, update.local_ts_ns)
        asked = self.cancel_reasons.pop(order.client_order_id, "")
        ours = status is _S.CANCELED and update.reason in ("", "requested")
        order.reason = asked if asked and ours else update.reason
        return Outcome(order=order, event=event)

    def _fill(self, order: ExecutionOrder, update: VenueUpdate) -> Outcome:
        fill = update.fill
        if fill is None:
            return self._alarm(update, order, "empty_fill", "a fill update carries no fill")
        said = (fill.venue, fill.symbol, fill.side)
        if said != (order.venue, order.symbol, order.side):
            text = (
                f"fill {fill.fill_id} is of {' '.join(said)}, the order is not; it is not applied"
            )
            return self._alarm(update, order, "fill_mismatch", text)
        key = (order.venue, order.symbol, fill.fill_id)
        before = self._fills.get(key)
        if before is not None:
            same = (before.quantity, before.price) == (fill.quantity, fill.price)
            if same and before.client_order_id == fill.client_order_id:
                return Outcome(order=order)
            text = f"fill {fill.fill_id} came twice with unlike data; the first is kept"
            return self._alarm(update, order, "fill_conflict", text)
        if not fill.parent_order_id and order.parent_order_id:
            fill = replace(fill, parent_order_id=order.parent_order_id)  # venues do not know it
        self._fills[key] = fill
        was = order.status
        self._average(order, fill)
        order.filled_quantity += fill.quantity
        over = order.filled_quantity > order.quantity
        full = order.filled_quantity >= order.quantity
        alarm = None
        if over or was in (_S.CANCELED, _S.EXPIRED, _S.REJECTED):
            code = "overfill" if over else "late_fill"
            text = f"{was.value} order filled {order.filled_quantity} of {order.quantity}"
            alarm = Alarm(
                code=code,
                message=text,
                order_id=order.client_order_id,
                ts_ns=update.local_ts_ns,
            )
        if full and was is not _S.FILLED:
            self.move(order, _S.FILLED, update.local_ts_ns)
        elif not full and was not in (_S.CANCELED, _S.EXPIRED, _S.CANCEL_PENDING):
            self.move(order, _S.PARTIALLY_FILLED)
        event = "on_filled" if full else "on_partially_filled"
        event = "" if was is _S.FILLED else event
        return Outcome(order=order, event=event, fill=fill, alarm=alarm)

    def _average(self, order: ExecutionOrder, fill: Fill) -> None:
        """Exact sums, one division: the average does not depend on the order of the fills."""
        order_id = order.client_order_id
        inverse = self._instruments[order_id].is_inverse
        value = (_EXACT.divide if inverse else _EXACT.multiply)(fill.quantity, fill.price)
        total = self._value[order_id] = _EXACT.add(self._value.get(order_id, ZERO), value)
        filled = order.filled_quantity + fill.quantity
        order.average_filled_price = (
            _MONEY.divide(filled, total) if inverse else _MONEY.divide(total, filled)
        )
        if fill.fee:
            paid = order.fees.get(fill.fee_currency, ZERO)
            order.fees[fill.fee_currency] = paid + fill.fee

    def _external(self, update: VenueUpdate) -> Outcome:
        """Not an order of ours: a fill still moved money, so it is handed on, once."""
        text = f"{update.kind.value} of the unknown order {update.client_order_id!r}"
        alarm = Alarm(
            code="external_order",
            message=text,
            order_id=update.client_order_id,
            ts_ns=update.local_ts_ns,
        )
        fill = update.fill
        if fill is None:
            return Outcome(alarm=alarm)
        key = (fill.venue, fill.symbol, fill.fill_id)
        if key in self._fills:
            return Outcome()
        self._fills[key] = fill
        return Outcome(fill=fill, alarm=alarm)

    @staticmethod
    def _alarm(update: VenueUpdate, order: ExecutionOrder, code: str, text: str) -> Outcome:
        alarm = Alarm(
            code=code, message=text, order_id=order.client_order_id, ts_ns=update.local_ts_ns
        )
        return Outcome(order=order, alarm=alarm)
