"""Orders that are submitted, and canceled, when the clock gets there."""

from __future__ import annotations

from execkit.domain import ExecutionOrder
from execkit.gate import Gate
from execkit.words import ExecutionStatus


def schedule(
    gate: Gate, order: ExecutionOrder, exchange_name: str, ts_ns: int, cancel_ts_ns: int | None
) -> None:
    """See `ExecutionEngine.schedule`."""
    gate.must_be_open()
    gate.venue(exchange_name)
    order.validate()
    spawn, manager = gate.orders.tasks.spawn, gate.orders

    async def cancel() -> None:
        if order.status.is_live:
            await manager.cancel_order(order)

    gate.driver.at(ts_ns, lambda: spawn(_place(gate, order, exchange_name)))
    if cancel_ts_ns is not None:
        gate.driver.at(cancel_ts_ns, lambda: spawn(cancel()))


async def _place(gate: Gate, order: ExecutionOrder, exchange_name: str) -> None:
    result = await gate.place(order, exchange_name)
    if result.code == "invalid_input":
        gate.orders.alarm("not_placed", result.error, order)
        if order.status is ExecutionStatus.INTENT:
            order.reason = result.error
            gate.orders.ledger.move(order, ExecutionStatus.REFUSED, gate.clock.now_ns())
