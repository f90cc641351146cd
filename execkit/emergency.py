"""Getting out of everything: latch, cancel, flatten, and look whether it is so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execkit.crashpoints import crash
from execkit.domain import ExecutionOrder, Position
from execkit.gate import Gate
from execkit.words import ExecutionStatus

REASON = "emergency stop"  # of the halt
_PATIENCE = 10  # times `settle_ns`, for a market that has nothing to give at first


async def stop_all(gate: Gate, settle_ns: int) -> dict[str, list[Any]]:
    """See `ExecutionEngine.emergency_stop_all`. Returns after some `settle_ns` at most; the latch
    goes on working after that."""
    gate.guard.halt(REASON)
    gate.protector.latched = True
    orders, held = gate.orders.open_orders(), gate.tracker.open_positions()
    await _cancel([order for order in orders if not _guards(order, held)], gate, "emergency_stop")
    for position in held:
        await gate.protector.leave(position)
    await _quiet(gate, settle_ns)
    names = {venue.name for venue in gate.venues.values()}

    def left_of(position: Position) -> Decimal:
        return gate.tracker.closable(position.venue, position.symbol)

    def flat() -> bool:
        return not any(p.venue in names and left_of(p) for p in gate.tracker.open_positions())

    await gate.driver.wait_until(flat, gate.clock.now_ns() + _PATIENCE * settle_ns)
    await _quiet(gate, settle_ns)
    canceled, ways = ExecutionStatus.CANCELED, gate.protector.leaving
    held += [position for position in gate.tracker.open_positions() if position not in held]
    left = [order.client_order_id for order in orders if order.status.is_live]
    left += [position.symbol for position in held if left_of(position)]
    errors = [(p.symbol, ways[p.venue, p.symbol].error) for p in held if left_of(p)]
    return {
        "cancelled_orders": [o.client_order_id for o in orders if o.status is canceled],
        "closed_positions": [position.symbol for position in held if not left_of(position)],
        "failed": [{"symbol": symbol, "error": error} for symbol, error in errors if error],
        "pending": left,
    }


async def cancel_all(gate: Gate, settle_ns: int, reason: str) -> None:
    """Ask for the cancel of every live order and wait for the answers."""
    await _cancel(gate.orders.open_orders(), gate, reason)
    await _quiet(gate, settle_ns)


def _guards(order: ExecutionOrder, held: list[Position]) -> bool:
    """Whether `order` can only close a holding: it goes when the close is about to be sent."""
    here = any((p.venue, p.symbol) == (order.venue, order.symbol) for p in held)
    return order.reduce_only and here


async def _cancel(orders: list[ExecutionOrder], gate: Gate, reason: str) -> None:
    for order in orders:
        await gate.cancel(order, reason)
        if reason == "emergency_stop":
            crash("mid_kill")


async def _quiet(gate: Gate, settle_ns: int) -> None:
    live = gate.orders.ledger.live
    await gate.driver.wait_until(lambda: not live, gate.clock.now_ns() + settle_ns)
