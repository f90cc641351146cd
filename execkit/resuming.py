"""Taking up a run that died: orders, positions, protection, limits and timers, from its journal."""

from __future__ import annotations

from execkit.gate import Gate
from execkit.lifecycle import EXTERNAL
from execkit.recovery import Recovery, venue_gone
from execkit.words import ExecutionStatus


def resume(gate: Gate, run_id: str) -> Recovery:
    """Rebuild what the engine knew. Orders without an end are UNKNOWN then. A venue that lived in
    the process has lost them, which ends them; others are asked."""
    found, now_ns = gate.orders.recover(run_id=run_id), gate.clock.now_ns()
    for fill in found.fills:
        gate.tracker.apply(fill)
    paper = {venue.name: venue for venue in gate.driver.paper}
    lost = [order for order in found.unknown if order.venue in paper]
    gate.books.apply(venue_gone(lost, now_ns))
    for name, venue in paper.items():
        held = gate.tracker.open_positions()
        venue.hold({p.symbol: p.quantity for p in held if p.venue == name})
    gate.guard.restore(found.equity, found.risk, found.failed_orders)
    gate.protector.restore(found)
    gate.remember(o.signal_id for o in found.orders if o.status is not ExecutionStatus.REFUSED)
    for order in found.unknown:
        if order.status.is_live and not _own_exit(order.parent_order_id, order.strategy_id):
            gate.time_out_later(order)
    return found


def _own_exit(parent_order_id: str, strategy_id: str) -> bool:
    """Orders that no strategy sent, and whose life its timeout does not limit."""
    return bool(parent_order_id) or strategy_id == EXTERNAL
