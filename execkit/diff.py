"""The three-way difference: what the engine believes, what the journal says, what the venue says.

The journal's column is folded anew from its records, so that it is a witness of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pandas as pd

from execkit.domain import ExecutionOrder
from execkit.journal import Journal
from execkit.lifecycle import OrderLedger
from execkit.positions import PositionTracker
from execkit.reconcile import Reconciler
from execkit.recovery import replay
from execkit.words import ZERO

COLUMNS = ("venue", "kind", "name", "engine", "journal", "at_venue", "differs", "policy", "note")
Row = tuple[str, str, str, str | None, str | None, str | None, str, str]


def three_way(
    reconcilers: Iterable[Reconciler], journal: Journal | None, run_id: str
) -> pd.DataFrame:
    """One row an open order, a position, a balance. engine, journal, at_venue : as exact text; of
    an order its remaining quantity. NA where that witness says nothing (there is no journal, the
    venue was not read). differs : whether the witnesses disagree."""
    ledger, tracker = OrderLedger(), PositionTracker()
    if journal is not None:
        for fill in replay((r for r in journal.read() if r.run_id == run_id), ledger).fills:
            tracker.apply(fill)
    rows: list[Row] = []
    for reconciler in reconcilers:
        told = None if journal is None else ledger
        rows += _orders(reconciler, told)
        rows += _positions(reconciler, None if journal is None else tracker)
        rows += _balances(reconciler)
    out = []
    for venue, kind, name, engine, kept, there, policy, note in rows:
        said = {value for value in (engine, kept, there) if value is not None}
        out.append((venue, kind, name, engine, kept, there, len(said) > 1, policy, note))
    frame = pd.DataFrame(out, columns=list(COLUMNS))
    return frame.astype({"differs": bool})


def _orders(reconciler: Reconciler, journal: OrderLedger | None) -> list[Row]:
    custody = reconciler.custody
    listed = {}
    for found in reconciler.listed:
        order = custody.known(found)
        name = order.client_order_id if order is not None else f"? {found.venue_order_id}"
        listed[name] = found.quantity - found.filled_quantity
    ours = {order.client_order_id: order for order in custody.own_live()}
    rows: list[Row] = []
    for name in sorted(ours.keys() | listed.keys()):
        order = ours.get(name)
        kept = journal.live.get(name) if journal is not None else None
        engine, left = _left(order), _left(kept) if journal is not None else None
        there = _text(listed.get(name, ZERO)) if reconciler.rounds else None
        doubt = reconciler.resolver.doubts.get(name)
        note = doubt.reason if doubt is not None else order.status.value if order else ""
        rows.append((custody.name, "order", name, engine, left, there, "look up", note))
    return rows


def _left(order: ExecutionOrder | None) -> str:
    return _text(ZERO if order is None else max(ZERO, order.remaining_quantity))


def _positions(reconciler: Reconciler, journal: PositionTracker | None) -> list[Row]:
    custody, holdings = reconciler.custody, reconciler.verdict.holdings
    name, policy = custody.name, custody.settings.on_difference
    symbols = {p.symbol for p in custody.tracker.open_positions() if p.venue == name}
    if journal is not None:
        symbols |= {p.symbol for p in journal.open_positions() if p.venue == name}
    if holdings is not None:
        symbols |= set(holdings.positions)
    rows: list[Row] = []
    for symbol in sorted(symbols):
        instrument = custody.venue.instruments.get(symbol)
        spot = instrument is None or instrument.kind == "spot"
        kept = None if journal is None else _text(journal.quantity(name, symbol))
        there = None if holdings is None or spot else _text(holdings.position(symbol))
        ours = _text(custody.tracker.quantity(name, symbol))
        note = custody.readiness.objection(symbol)
        rows.append((name, "position", symbol, ours, kept, there, policy, note))
    return rows


def _balances(reconciler: Reconciler) -> list[Row]:
    custody, holdings = reconciler.custody, reconciler.verdict.holdings
    if holdings is None:
        return []
    policy, rows = custody.settings.on_difference, []
    compared = reconciler.judge.coins(holdings)
    for coin in sorted(compared | holdings.balances.keys()):
        ours = _text(reconciler.judge.balance(coin)) if coin in compared else None
        there = _text(holdings.balances.get(coin, ZERO))
        row: Row = (custody.name, "balance", coin, ours, None, there, policy, "")
        rows.append(row)
    return rows


def _text(value: Decimal) -> str:
    """Equal numbers are equal texts."""
    return f"{value.normalize():f}" if value else "0"
