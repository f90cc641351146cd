"""From a strategy's wish to an order."""

from __future__ import annotations

from decimal import Decimal

from execkit.domain import ExecutionOrder, TradingSignal
from execkit.errors import InvalidInput
from execkit.positions import PositionTracker
from execkit.words import OrderType, Side, SignalAction

_OPENING = {SignalAction.BUY: Side.BUY, SignalAction.SELL: Side.SELL}


class NoPosition(InvalidInput):
    """There is nothing to close."""


def order_of(signal: TradingSignal, venue: str, tracker: PositionTracker) -> ExecutionOrder:
    """BUY and SELL as they are; CLOSE, CLOSE_LONG and CLOSE_SHORT as reduce_only orders against
    what is held. A price makes a limit order, none a market order.

    Raises `NoPosition`, and `InvalidInput` for order types that a signal cannot carry.
    """
    kind = signal.order_type or (OrderType.MARKET if signal.price is None else OrderType.LIMIT)
    if kind not in (OrderType.MARKET, OrderType.LIMIT):
        raise InvalidInput("order_type", kind, "a signal is market or limit; use submit_order")
    side = _OPENING.get(signal.action)
    quantity, closes = signal.quantity, side is None
    if side is None:
        held = tracker.quantity(venue, signal.symbol)
        wanted = {SignalAction.CLOSE_LONG: 1, SignalAction.CLOSE_SHORT: -1}.get(signal.action)
        if not held or (wanted is not None and held * wanted < 0):
            holds = f"{venue} holds {held} {signal.symbol}"
            raise NoPosition("action", signal.action.value, f"nothing to close: {holds}")
        side = Side.SELL if held > 0 else Side.BUY
        quantity = min(quantity, abs(held)) if quantity else abs(held)
    return new_order(
        signal.symbol,
        side,
        quantity,
        signal.price if kind is OrderType.LIMIT else None,
        reduce_only=closes,
        signal=signal,
    )


def check_exits(signal: TradingSignal, order: ExecutionOrder, market: Decimal | None) -> None:
    """Raise `InvalidInput` if an exit would fire as soon as `order` has filled: the fill is at the
    market, or at the order's price where that is better. market : None is not checked."""
    if market is None:
        return
    sign = order.side.sign
    best = min if sign > 0 else max
    entry = market if order.price is None else best(order.price, market)
    for name, level, better in (
        ("stop_loss", signal.stop_loss, -sign),
        ("take_profit", signal.take_profit, sign),
    ):
        if level is not None and (level - entry) * better <= 0:
            where = "above" if better > 0 else "below"
            raise InvalidInput(name, level, f"must be {where} {entry}, or it fires at once")


def new_order(
    symbol: str,
    side: Side,
    quantity: Decimal,
    price: Decimal | None = None,
    *,
    reduce_only: bool = False,
    reason: str = "",
    signal: TradingSignal | None = None,
) -> ExecutionOrder:
    """A market order, or a limit order if there is a price."""
    order = ExecutionOrder(
        symbol=symbol,
        side=side,
        order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
        quantity=quantity,
        price=price,
        reduce_only=reduce_only,
        reason=reason,
    )
    if signal is not None:
        order.time_in_force = signal.time_in_force
        order.strategy_id, order.signal_id = signal.strategy_id, signal.signal_id
    return order
