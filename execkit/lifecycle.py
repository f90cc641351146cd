"""OrderLedger: what is known about each order, and the only place where its state moves.

Venue updates may come late, twice, or in the wrong order. What is certain is applied, what repeats
is ignored, what contradicts is not applied and raises an alarm. A fill is applied once, by
(venue, symbol, fill_id), from any state after SENDING, also after the order ended: money moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import islice

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.errors import IllegalTransition, InvalidInput
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.words import ZERO, ExecutionStatus, check_transition

_S = ExecutionStatus
_EXACT = Context(prec=60)
_MONEY = Context(prec=28)
ABSENT = "absent"  # why an order ended that the venue was proven not to have
LOOKED_UP = "looked_up"  # why an order is known to be open: the venue was asked
EXTERNAL = "EXTERNAL"  # strategy_id of orders that somebody else sent
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
    """What an update changed. event : callback name or "". fill : one that is new. doubt : why the
    venue has to be asked about the order, or ""."""

    order: ExecutionOrder | None = None
    event: str = ""
    fill: Fill | None = None
    alarm: Alarm | None = None
    doubt: str = ""


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
        self._named: dict[str, list[ExecutionOrder]] = {}  # by the venue's id, present and past

    @property
    def fills(self) -> list[Fill]:
        """Every fill applied or handed on, in the order of hearing."""
        return list(self._fills.values())

    def has_fill(self, fill: Fill) -> bool:
        return (fill.venue, fill.symbol, fill.fill_id) in self._fills

    def fills_after(self, count: int) -> list[Fill]:
        """The fills behind the first `count` ones."""
        return list(islice(self._fills.values(), count, None))

    def find(
        self, venue: str, client_order_id: str, venue_order_id: str, symbol: str = ""
    ) -> ExecutionOrder | None:
        """An order by our id, or else by the venue's: the one at `venue` (of `symbol`, if given,
        for some venues count anew for each) whose id that is or once was."""
        order = self.orders.get(client_order_id)
        if order is not None or not venue_order_id:
            return order
        found = [
            other
            for other in self._named.get(venue_order_id, ())
            if venue in ("", other.venue) and symbol in ("", other.symbol)
        ]
        return found[0] if len(found) == 1 else None

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
        order = self.orders.get(update.client_order_id) or self._by_venue_id(update)
        if order is None:
            return self._external(update)
        if order.status in (_S.INTENT, _S.REFUSED):
            # it never left: evidence about it is evidence about somebody else's order
            return self._alarm(update, order, "never_sent", f"{update.kind} of an unsent order")
        if update.venue_order_id and update.venue_order_id != order.venue_order_id:
            order.venue_order_id = update.venue_order_id
            self._named.setdefault(update.venue_order_id, []).append(order)
        try:
            if update.kind is UpdateKind.FILL:
                return self._fill(order, update)
            filled = update.filled_quantity
            if filled is not None and filled > order.filled_quantity:
                return Outcome(order=order, doubt="the venue has more filled than was heard of")
            if update.kind is UpdateKind.ACCEPTED:
                return self._accepted(order, update)
            if update.kind is UpdateKind.TRIGGERED:
                order.triggered_ts_ns = order.triggered_ts_ns or update.venue_ts_ns
                return Outcome(order=order, event="on_triggered")
            return self._ended(order, update)
        except IllegalTransition as error:
            return self._alarm(update, order, "illegal_transition", str(error))

    def _by_venue_id(self, update: VenueUpdate) -> ExecutionOrder | None:
        fill = update.fill
        venue, symbol = (fill.venue, fill.symbol) if fill is not None else ("", "")
        return self.find(venue, "", update.venue_order_id, symbol)

    def _accepted(self, order: ExecutionOrder, update: VenueUpdate) -> Outcome:
        if order.status is _S.REJECTED and (order.reason == ABSENT or update.reason == LOOKED_UP):
            order.accepted_ts_ns = order.accepted_ts_ns or update.local_ts_ns
            alarm = self._resurrected(update, order)
            self.move(order, _S.OPEN)
            return Outcome(order=order, event="on_accepted", alarm=alarm)
        again = order.accepted_ts_ns is not None
        if again and (order.status is not _S.UNKNOWN or update.reason != LOOKED_UP):
            return Outcome(order=order)
        if not again:
            order.accepted_ts_ns = update.local_ts_ns
        if order.status in (_S.SENDING, _S.UNKNOWN):
            self.move(order, _S.PARTIALLY_FILLED if order.filled_quantity else _S.OPEN)
        elif self.doubtful:  # its cancel was asked for meanwhile
            self.doubtful.pop(order.client_order_id, None)
        # else: a fill, a cancel or the end overtook the acceptance, and knows better
        doubt = "it was rejected, and is accepted" if order.status is _S.REJECTED else ""
        return Outcome(order=order, event="on_accepted", doubt=doubt)

    def _resurrected(self, update: VenueUpdate, order: ExecutionOrder) -> Alarm | None:
        text = f"it was {order.reason or 'rejected'}, and the venue has it after all"
        return self._alarm(update, order, "resurrected", text).alarm

    def _ended(self, order: ExecutionOrder, update: VenueUpdate) -> Outcome:
        status, event = _ENDS[update.kind]
        if order.status is status:
            return Outcome(order=order)
        alarm = None
        if order.status is _S.REJECTED:
            if order.reason != ABSENT:
                text = f"{update.kind.value} of a rejected order"
                return self._alarm(update, order, "illegal_transition", text)
            alarm = self._resurrected(update, order)
        self.move(order, status, update.local_ts_ns)
        asked = self.cancel_reasons.pop(order.client_order_id, "")
        ours = status is _S.CANCELED and update.reason in ("", "requested")
        order.reason = asked if asked and ours else update.reason
        return Outcome(order=order, event=event, alarm=alarm)

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
            if same and fill.client_order_id in (before.client_order_id, ""):
                return Outcome(order=order)
            text = f"fill {fill.fill_id} came twice with unlike data; the first is kept"
            return self._alarm(update, order, "fill_conflict", text)
        if not fill.parent_order_id and order.parent_order_id:
            fill = replace(fill, parent_order_id=order.parent_order_id)  # venues do not know it
        if fill.client_order_id != order.client_order_id:
            fill = replace(fill, client_order_id=order.client_order_id)  # found by the venue's id
        self._fills[key] = fill
        was = order.status
        self._average(order, fill)
        order.filled_quantity += fill.quantity
        over = order.filled_quantity > order.quantity
        full = order.filled_quantity >= order.quantity
        alarm = None
        if over or was in (_S.CANCELED, _S.EXPIRED, _S.REJECTED):
            code = "overfill" if over else "late_fill"
            code = "resurrected" if was is _S.REJECTED and order.reason == ABSENT else code
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
        doubt, said_filled = "", update.filled_quantity
        if said_filled is not None and said_filled > order.filled_quantity:
            doubt = "the venue has more filled than was heard of"
        return Outcome(order=order, event=event, fill=fill, alarm=alarm, doubt=doubt)

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
            return Outcome(alarm=alarm, doubt=text)
        key = (fill.venue, fill.symbol, fill.fill_id)
        if key in self._fills:
            return Outcome()
        if not update.client_order_id and update.venue_order_id and self.may_be_ours(fill):
            # booked as somebody else's it would be missed at the order for ever
            return Outcome(doubt=f"fill {fill.fill_id} names no order that has its venue id yet")
        self._fills[key] = fill
        return Outcome(fill=fill, alarm=alarm)

    def may_be_ours(self, fill: Fill) -> bool:
        """Whether some order is out whose venue id is not known yet, and that this may be of."""
        like = (fill.venue, fill.symbol, fill.side)
        waiting = (o for o in self.live.values() if not o.venue_order_id)
        return any((o.venue, o.symbol, o.side) == like for o in waiting)

    @staticmethod
    def _alarm(update: VenueUpdate, order: ExecutionOrder, code: str, text: str) -> Outcome:
        alarm = Alarm(
            code=code, message=text, order_id=order.client_order_id, ts_ns=update.local_ts_ns
        )
        return Outcome(order=order, alarm=alarm)
