"""Hearing: rows of an exchange's streams and answers -> `VenueUpdate`s, or a doubt to be looked up.

Nothing is guessed: a row that says a word or a number that is not known raises a doubt about its
order. An order's end waits a moment for the fills that the exchange says it had, since many
exchanges tell of both in different streams; what is then still missing is a doubt, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from execkit.clock import Clock
from execkit.domain import ExecutionOrder
from execkit.errors import ExecKitError
from execkit.venues.base import Listener, UpdateKind, VenueUpdate
from execkit.venues.quirks import Quirks
from execkit.venues.remote import VenueOrder
from execkit.words import ZERO, ExecutionMode, ExecutionStatus

_log = logging.getLogger(__name__)
_S = ExecutionStatus
_KINDS = {
    _S.OPEN: UpdateKind.ACCEPTED,
    _S.PARTIALLY_FILLED: UpdateKind.ACCEPTED,
    _S.FILLED: UpdateKind.ACCEPTED,  # its fills tell the rest
    _S.CANCELED: UpdateKind.CANCELED,
    _S.EXPIRED: UpdateKind.EXPIRED,
    _S.REJECTED: UpdateKind.REJECTED,
}
_ENDS = (UpdateKind.CANCELED, UpdateKind.EXPIRED)
_KEPT = 20_000  # orders and fills that are remembered, the newest


@dataclass(slots=True)
class _Heard:
    """What was heard of one order."""

    filled: Decimal = ZERO  # sum of its fills
    said: Decimal = ZERO  # what the exchange says is filled
    accepted: bool = False
    end: VenueUpdate | None = None  # held back until its fills are here
    awaited: asyncio.TimerHandle | None = None


class Hearing:
    """Parameters
    ----------
    grace_s : how long an order's end, or its next fill, is waited for before it is a doubt.
    want_fills : asked to fetch the own fills of (symbol, venue_order_id), where the stream's lack
    fees or ids and so cannot be booked.
    """

    def __init__(
        self,
        quirks: Quirks,
        name: str,
        mode: ExecutionMode,
        clock: Clock,
        want_fills: Callable[[str, str], None],
        *,
        grace_s: float = 1.0,
    ) -> None:
        self.quirks, self.name, self.mode, self.clock = quirks, name, mode, clock
        self.want_fills, self.grace_s = want_fills, grace_s
        self.listener: Listener | None = None
        self.on_doubt: Callable[[str, str], None] | None = None
        self.last_ns = 0  # when anything about the account was heard
        self._ids: dict[str, str] = {}  # the exchange's order id -> ours
        self._orders: dict[str, _Heard] = {}
        self._fills: dict[tuple[str, str], None] = {}

    # -- rows -------------------------------------------------------------------------------

    def order(self, row: Mapping[str, Any]) -> None:
        """An order as a stream tells it."""
        self._guard(self._order, row)

    def fill(self, row: Mapping[str, Any]) -> None:
        """An own fill as a stream tells it."""
        self._guard(self._fill, row)

    def answered(self, order: ExecutionOrder, row: Mapping[str, Any]) -> None:
        """The answer to a request about one of our orders; it may say very little."""
        venue_id = self.quirks.venue_id(row)
        self.know(venue_id, order.client_order_id)
        self._guard(self._order, {**row, "symbol": self.quirks.symbol(order.symbol)}, order)

    def know(self, venue_order_id: str, client_order_id: str) -> None:
        """Remember which of our orders an id of the exchange means."""
        if venue_order_id and client_order_id:
            remember(self._ids, venue_order_id, client_order_id)

    def own_id(self, venue_order_id: str) -> str:
        return self._ids.get(venue_order_id, "")

    def doubt(self, client_order_id: str, reason: str) -> None:
        _log.warning("%s: order %s: %s", self.name, client_order_id or "-", reason)
        if self.on_doubt is not None:
            self.on_doubt(client_order_id, reason)

    def emit(self, update: VenueUpdate) -> None:
        if self.listener is not None:
            self.listener(update)

    def rejected(self, order: ExecutionOrder, reason: str) -> None:
        """The exchange refused an order of ours."""
        now_ns = self.clock.now_ns()
        self.emit(
            VenueUpdate(
                kind=UpdateKind.REJECTED,
                client_order_id=order.client_order_id,
                venue_ts_ns=now_ns,
                local_ts_ns=now_ns,
                reason=reason,
            )
        )

    # -- reading ----------------------------------------------------------------------------

    def _guard(self, read: Callable[..., None], row: Mapping[str, Any], *more: Any) -> None:
        """A row that cannot be read is a doubt; it must not break ccxt's own reading."""
        self.last_ns = self.clock.now_ns()
        try:
            read(row, *more)
        except Exception as error:  # noqa: BLE001 - hostile or new; whatever it is, look it up
            if not isinstance(error, ExecKitError):
                _log.exception("%s: a row that cannot be read", self.name)
            self.doubt(self._whose(row), f"unreadable: {type(error).__name__}: {error}"[:200])

    def _whose(self, row: Mapping[str, Any]) -> str:
        venue_id = str(row.get("order") or row.get("id") or "")
        try:
            return self.own_id(venue_id) or self.quirks.decode_id(self.quirks.wire_id(row))
        except Exception:  # noqa: BLE001 - the row is unreadable: that is why we are here
            return ""

    def _order(self, row: Mapping[str, Any], order: ExecutionOrder | None = None) -> None:
        if order is not None:
            row = _completed(row, order, self.quirks)
        said = self.quirks.parse_order(row)
        if said is None:
            return  # of a market that is not offered here
        own_id = order.client_order_id if order is not None else said.client_order_id
        own_id = own_id or self.own_id(said.venue_order_id)
        if not own_id:
            self.doubt("", f"order {said.venue_order_id} in {said.symbol} is not ours")
            return
        self.know(said.venue_order_id, own_id)
        kind = _KINDS.get(said.status)
        if kind is None:
            if order is None or row.get("status"):  # an answer may leave the state out
                self.doubt(own_id, f"unknown state {row.get('status')!r}")
                return
            kind = UpdateKind.ACCEPTED
        self._tell(own_id, said, kind)

    def _tell(self, own_id: str, said: VenueOrder, kind: UpdateKind) -> None:
        now_ns = self.clock.now_ns()
        update = VenueUpdate(
            kind=kind,
            client_order_id=own_id,
            venue_ts_ns=said.venue_ts_ns or now_ns,
            local_ts_ns=now_ns,
            venue_order_id=said.venue_order_id,
            reason=said.reason,
            filled_quantity=said.filled_quantity,
        )
        heard = self._heard(own_id)
        heard.said = max(heard.said, said.filled_quantity)
        missing = heard.filled < heard.said
        if kind in _ENDS and missing:
            heard.end = update
        elif kind is not UpdateKind.ACCEPTED or not heard.accepted:
            heard.accepted = True
            self.emit(update)
        if missing and heard.awaited is None:
            loop = asyncio.get_running_loop()
            heard.awaited = loop.call_later(self.grace_s, self._overdue, own_id, heard)

    def _overdue(self, own_id: str, heard: _Heard) -> None:
        heard.awaited = None
        if heard.filled < heard.said:
            self.doubt(own_id, f"{heard.said} is filled, {heard.filled} was heard of")
        self._let_go(heard)

    def _let_go(self, heard: _Heard) -> None:
        end, heard.end = heard.end, None
        if end is not None:
            self.emit(end)

    def _fill(self, row: Mapping[str, Any]) -> None:
        if not self.quirks.fills_complete:
            symbol, order_id = self.quirks.own_symbol(row.get("symbol")), row.get("order")
            if symbol and order_id:
                self.want_fills(symbol, str(order_id))
            return
        update = self.quirks.parse_fill(row, self.clock.now_ns(), self.mode)
        if update is not None:
            self.filled(self.named(update))

    def named(self, update: VenueUpdate) -> VenueUpdate:
        """A fill under our id of its order, where it is known, and the name of this venue."""
        fill = update.fill
        assert fill is not None
        own_id = update.client_order_id or self.own_id(update.venue_order_id)
        if own_id != update.client_order_id or fill.venue != self.name:
            fill = replace(fill, client_order_id=own_id, venue=self.name)
            update = replace(update, client_order_id=own_id, fill=fill)
        return update

    def filled(self, update: VenueUpdate) -> None:
        """Hand a fill on; the second telling of one too, for the ledger compares them."""
        fill = update.fill
        assert fill is not None
        self.know(update.venue_order_id, update.client_order_id)
        self.emit(update)
        key = (fill.symbol, fill.fill_id)
        if key in self._fills or not update.client_order_id:
            return
        remember(self._fills, key, None)
        heard = self._heard(update.client_order_id)
        heard.filled += fill.quantity
        if heard.end is not None and heard.filled >= heard.said:
            self._let_go(heard)

    def _heard(self, own_id: str) -> _Heard:
        heard = self._orders.get(own_id)
        if heard is None:
            heard = _Heard()
            remember(self._orders, own_id, heard)
        return heard

    def close(self) -> None:
        """What was held back is said; nothing more is waited for."""
        for heard in self._orders.values():
            if heard.awaited is not None:
                heard.awaited.cancel()
                heard.awaited = None
                self._let_go(heard)


def _completed(row: Mapping[str, Any], order: ExecutionOrder, quirks: Quirks) -> Mapping[str, Any]:
    """An answer to our own request, with what it leaves out taken from the request."""
    asked = {
        "side": order.side.value,
        "amount": Decimal(quirks.exchange_quantity(order.symbol, order.quantity)),
        "symbol": quirks.symbol(order.symbol),
    }
    return {**row, **{name: value for name, value in asked.items() if not row.get(name)}}


def remember(kept: dict[Any, Any], key: object, value: object) -> None:
    """Keep the newest, within bounds."""
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
