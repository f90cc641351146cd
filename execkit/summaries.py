"""One row that says what a simulation came to: for tables of many simulations."""

from __future__ import annotations

from typing import Any

import numpy as np

from execkit import fill_table, profit
from execkit.matching import state as st
from execkit.matching.outcome import ABSENT
from execkit.results import MAX_QUOTE_AGE_NS, SimulationResult

MONEY = ("fees", "funding", "realised", "equity")


def summarise(result: SimulationResult) -> dict[str, Any]:
    """What a simulation came to, as one row; a rate is None where there is nothing to divide.

    orders, filled_any (orders with any fill), fill_rate (their share), fills, maker_ratio (of the
    quantity filled), quantity_filled (share of the quantity asked), ambiguous (see
    `SimulationResult`).
    arrival_cost_bps : sum of side * (average price - arrival price) * quantity over the sum of
        arrival price * quantity, of what was filled; positive = worse for us. A limit order below
        the market has a negative one by construction: what it missed is not in it. None where
        symbols have different quote currencies, or for inverse contracts beside others.
    resting_s : mean time from arrival to the first fill, or, unfilled, to the order's end or that
        of the data: a restricted mean, so unfilled orders count with their whole life and a longer
        life may raise it. Orders that never arrived are left out.
    fees_<currency>, funding_<currency>, realised_<currency>, equity_<currency> : by settlement
        currency, at the end of the data; equity = realised + unrealised - fees - funding.
    """
    c, table = result.columns, result.table
    traded, asked = float(c.fill_quantity.sum()), float(table.quantity.sum())
    any_fill = c.filled > 0
    return {
        "orders": len(table),
        "filled_any": int(any_fill.sum()),
        "fill_rate": float(any_fill.mean()),
        "fills": len(c.fill_row),
        "maker_ratio": float(c.fill_quantity[c.fill_maker].sum() / traded) if traded else None,
        "quantity_filled": float(c.filled.sum() / asked),
        "arrival_cost_bps": _arrival_cost_bps(result),
        "resting_s": _resting_s(result),
        "ambiguous": result.ambiguous,
        **_money(result),
    }


def _arrival_cost_bps(result: SimulationResult) -> float | None:
    c, table = result.columns, result.table
    cost = notional = 0.0
    currencies = set()
    for code, part in enumerate(result.request.parts):
        instrument = part.market.instrument
        rows = np.flatnonzero((table.symbol == code) & (c.filled > 0))
        mid = part.reference.mid_at(c.arrival_ns[rows], MAX_QUOTE_AGE_NS)
        size = c.filled[rows] * float(instrument.contract_size)
        sign, price = np.where(table.side[rows] == 0, 1.0, -1.0), c.average[rows]
        if instrument.is_inverse:
            cost += float(np.nansum(sign * size * (1 / mid - 1 / price)))
            notional += float(np.nansum(size / mid))
        else:
            cost += float(np.nansum(sign * size * (price - mid)))
            notional += float(np.nansum(size * mid))
        if len(rows):
            currencies.add((instrument.is_inverse, instrument.quote))
    return 1e4 * cost / notional if notional and len(currencies) == 1 else None


def _resting_s(result: SimulationResult) -> float | None:
    c, table = result.columns, result.table
    until = c.done_ns.copy()
    for code, part in enumerate(result.request.parts):
        until[(table.symbol == code) & (until == ABSENT)] = part.market.tape.ts[-1]
    until[c.fill_row[::-1]] = c.fill_ts[::-1]  # the first fill of an order is written last
    came = (c.status != st.S_INTENT) & (c.arrival_ns != ABSENT)
    return float((until - c.arrival_ns)[came].mean() / 1e9) if came.any() else None


def _money(result: SimulationResult) -> dict[str, float]:
    out: dict[str, float] = {}
    for part in result.request.parts:
        instrument = part.market.instrument
        currency = instrument.settle or ("base" if instrument.is_inverse else "quote")
        out |= {f"{name}_{currency}": 0.0 for name in MONEY}
    for currency, (cash, fees, funding, equity) in _last_rows(result).items():
        out[f"fees_{currency}"] = fees
        out[f"funding_{currency}"] = funding
        out[f"realised_{currency}"] = cash + fees + funding
        out[f"equity_{currency}"] = equity
    return out


def _last_rows(result: SimulationResult) -> dict[str, tuple[float, float, float, float]]:
    """Cash, fees, funding and equity at the end of the data, by currency."""
    request = result.request
    if not request.funding:
        fees, _, _ = fill_table.fees(request, result.columns, request.fee.in_settlement())
        last = profit.closing(request, result.columns, fees)
        return {c: (row.cash, row.fees, 0.0, row.equity) for c, row in last.items()}
    rows = result.equity.groupby("currency", observed=True).tail(1).to_dict("records")
    return {r["currency"]: (r["cash"], r["fees"], r["funding"], r["equity"]) for r in rows}
