"""Run one drawn stream through `execkit.simulate` and put its outcome in the reference's form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from case import PRICE_UNIT, QUANTITY_UNIT, SYMBOL, Case
from reference import Outcome

from execkit.domain import Instrument
from execkit.models.fill import FillModel
from execkit.models.latency import LatencyModel
from execkit.simulator import SimulationResult, simulate

LATENCY_NS = 1
INSTRUMENT = Instrument(symbol=SYMBOL, tick_size=PRICE_UNIT, lot_size=QUANTITY_UNIT)


def as_table(case: Case) -> Case:
    """The case as an orders table may hold it: rows sorted by time, decided inside the data."""
    last = case.events[-1][1] + (case.interval or 1) - 1
    first = case.events[0][1] + LATENCY_NS
    inside = [o for o in case.orders if first <= o["arrival"] <= last + LATENCY_NS]
    ordered = sorted(inside, key=lambda o: o["arrival"])
    rows = []
    for row, order in enumerate(ordered):
        changed = dict(order, row=row)
        if order["cancel"] is not None:
            changed["cancel"] = max(order["cancel"], order["arrival"])
        rows.append(changed)
    return replace(case, orders=rows)


def fidelity_of(case: Case) -> str:
    """What the reference takes the case for; "auto" would leave a book that covers too little."""
    kinds = {event[0] for event in case.events}
    names = {"book": "depth", "quote": "quotes", "bar": "bars"}
    return next((name for kind, name in names.items() if kind in kinds), "prints")


def simulated(case: Case, model: FillModel | None = None) -> SimulationResult:
    """The case through the public call, decided one nanosecond before it arrives."""
    return simulate(
        case.orders_frame(LATENCY_NS),
        case.market(),
        model or case.model,
        latency=LatencyModel(entry_ns=LATENCY_NS, cancel_ns=LATENCY_NS),
        fidelity=fidelity_of(case),
        initial_positions={SYMBOL: float(case.start_position * QUANTITY_UNIT)},
        progress=False,
    )


def outcome_of(result: SimulationResult, instrument: Instrument = INSTRUMENT) -> Outcome:
    """Fills and final states in whole units; the row is what ends a client_order_id."""
    price = 10.0**instrument.price_decimals
    lots = 10.0**instrument.quantity_decimals
    fills = [
        (
            row_of(f.client_order_id),
            int(f.venue_ts_ns),
            round(f.price * price),
            round(f.quantity * lots),
            str(f.liquidity),
        )
        for f in result.fills.itertuples()
    ]
    states: dict[int, tuple[Any, ...]] = {}
    for o in result.orders.itertuples():
        done, hit = (None if pd.isna(t) else int(t) for t in (o.done_ts_ns, o.triggered_ts_ns))
        filled = round(o.filled_quantity * lots)
        reason = str(o.reason) or None
        states[row_of(o.client_order_id)] = (str(o.status).upper(), reason, done, hit, filled)
    return Outcome(fills, states, result.ambiguous)


def row_of(client_order_id: str) -> int:
    return int(client_order_id.rpartition("-")[2])
