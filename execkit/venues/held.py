"""An order of which something is emulated, and the forms in which it goes to the venue."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import isfinite

from execkit.domain import ExecutionOrder
from execkit.venues.base import Quote
from execkit.venues.remote import VenueOrder
from execkit.words import ZERO, ExecutionStatus, OrderType, Side, TimeInForce

_STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)


@dataclass
class Kept:
    """An order that something is emulated for. mark : best price seen, of a trailing stop."""

    order: ExecutionOrder
    held: bool = False
    sending: bool = False
    mark: Decimal | None = None
    filled: dict[str, Decimal] = field(default_factory=dict)  # by fill id
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def full(self) -> bool:
        return sum(self.filled.values(), ZERO) >= self.order.quantity

    def called(self, quote: Quote) -> bool:
        """Whether the market has reached the price at which the order is to be sent: the side that
        it would take from, or the last price where there is no book."""
        order, selling = self.order, self.order.side is Side.SELL
        shown = quote.bid if selling else quote.ask
        shown = shown if isfinite(shown) else quote.last
        if not isfinite(shown) or shown <= 0:
            return False
        price = Decimal(repr(float(shown)))
        if order.order_type is OrderType.TRAILING_STOP:
            best = max if selling else min
            self.mark = price if self.mark is None else best(self.mark, price)
            assert order.trail_bps is not None
            stop = self.mark * (1 + order.side.sign * order.trail_bps / 10_000)
            return price <= stop if selling else price >= stop
        if order.order_type in _STOPS:
            assert order.stop_price is not None
            return price <= order.stop_price if selling else price >= order.stop_price
        assert order.price is not None
        return price >= order.price if selling else price <= order.price


def plain(order: ExecutionOrder) -> ExecutionOrder:
    """The order without what is emulated, for the venue; under the same id."""
    sent = replace(order, oco_group="")
    if order.time_in_force is TimeInForce.GTD:
        sent = replace(sent, time_in_force=TimeInForce.GTC, expire_ts_ns=None)
    return sent


def at_once(order: ExecutionOrder) -> ExecutionOrder:
    """A held order when its price is there. A leg of a pair takes what is there and rests no more:
    what it leaves is bare, and has to be known at once."""
    if order.order_type is OrderType.LIMIT:
        return replace(
            order,
            oco_group="",
            time_in_force=TimeInForce.IOC,
            expire_ts_ns=None,
            post_only=False,
        )
    kind = OrderType.LIMIT if order.order_type is OrderType.STOP_LIMIT else OrderType.MARKET
    return replace(plain(order), order_type=kind, stop_price=None, trail_bps=None)


def as_open(order: ExecutionOrder) -> VenueOrder:
    return VenueOrder(
        venue_order_id="",
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        filled_quantity=ZERO,
        status=ExecutionStatus.OPEN,
        order_type=order.order_type,
        price=order.price,
        stop_price=order.stop_price,
        reduce_only=order.reduce_only,
        reason="held",
    )
