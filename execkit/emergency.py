"""Getting out of everything: latch, cancel, flatten, and look whether it is so."""

from __future__ import annotations

from typing import Any

from execkit.gate import Gate
from execkit.words import ExecutionStatus

_ATTEMPTS = 5


async def stop_all(gate: Gate, settle_ns: int) -> dict[str, list[Any]]:
    """See `ExecutionEngine.emergency_stop_all`. Each attempt waits at most `settle_ns`."""
    gate.guard.halt("emergency stop")
    gate.protector.release()
    orders, held = gate.orders.open_orders(), gate.tracker.open_positions()
    failed: list[dict[str, str]] = []
    await cancel_all(gate, settle_ns, "emergency_stop")
    for _ in range(_ATTEMPTS):
        failed.clear()
        for position in gate.tracker.open_positions():
            result = await gate.close(position, "emergency_stop")
            if not result.success:
                failed.append({"symbol": position.symbol, "error": result.error})
        await _quiet(gate, settle_ns)
        if gate.driver.driving or not gate.tracker.open_positions():
            break
        # the market has nothing to give now: let it move
        await gate.driver.wait_until(lambda: False, gate.clock.now_ns() + settle_ns)
    left = [order.client_order_id for order in orders if order.status.is_live]
    left += [position.symbol for position in held if position.quantity]
    canceled = ExecutionStatus.CANCELED
    return {
        "cancelled_orders": [o.client_order_id for o in orders if o.status is canceled],
        "closed_positions": [position.symbol for position in held if not position.quantity],
        "failed": failed,
        "pending": left,
    }


async def cancel_all(gate: Gate, settle_ns: int, reason: str) -> None:
    """Ask for the cancel of every live order and wait for the answers."""
    for order in gate.orders.open_orders():
        await gate.orders.cancel_order(order, reason=reason)
    await _quiet(gate, settle_ns)


async def _quiet(gate: Gate, settle_ns: int) -> None:
    live = gate.orders.ledger.live
    await gate.driver.wait_until(lambda: not live, gate.clock.now_ns() + settle_ns)
