"""The fills of a simulation as a table, and what they were charged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from execkit.arrays import is_one_value, one_value
from execkit.matching.outcome import Columns
from execkit.models.base import FeeLike
from execkit.models.fee import flat_fees
from execkit.models.latency import delayed
from execkit.order_table import SIDES
from execkit.profit import words
from execkit.request import Request


def fills(request: Request, c: Columns, ids: Any) -> pd.DataFrame:
    """Columns of DESIGN section 5, in order of time; they share memory with `c` and the orders.

    ids : client_order_id of each fill.
    """
    t, n = request.table, len(c.fill_row)
    row = None if c.one_each else c.fill_row
    charged, currencies, codes = fees(request, c, request.fee)
    counted = c.fill_row if c.one_each else np.arange(n)
    columns: dict[str, Any] = {"fill_id": counted, "client_order_id": ids}
    if "parent_order_id" in t.texts:
        columns["parent_order_id"] = t.texts["parent_order_id"][c.fill_row]
    symbol = picked(t.symbol, row)
    columns |= {
        "run_id": words(one_value(0, n, np.int8), [request.run_id]),
        "mode": words(one_value(0, n, np.int8), ["paper"]),
        "venue": words(symbol, [part.market.venue for part in request.parts]),
        "symbol": words(symbol, t.symbols),
        "side": words(picked(t.side, row), SIDES),
        "quantity": c.fill_quantity,
        "price": c.fill_price,
        "liquidity": words(c.fill_maker.view(np.int8), ("taker", "maker")),
        "fee": charged,
        "fee_currency": words(codes, currencies),
        "venue_ts_ns": c.fill_ts,
        "local_ts_ns": delayed(request.latency, "response", c.fill_ts, c.fill_row, request.seed),
    }
    if c.impact_cost is not None:
        columns["impact_cost"] = c.impact_cost
    return pd.DataFrame(columns, copy=False)


def fees(request: Request, c: Columns, fee: FeeLike) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Fee of each fill, the names of the fee currencies, and each fill's code into them."""
    symbol = picked(request.table.symbol, None if c.one_each else c.fill_row)
    instruments = [part.market.instrument for part in request.parts]
    size = np.array([float(i.contract_size) for i in instruments])
    inverse = np.array([i.is_inverse for i in instruments], dtype=bool)
    names = [fee.currency_of(i.base, i.quote, inverse=i.is_inverse) for i in instruments]
    unique = list(dict.fromkeys(names))
    kind = np.int8 if len(unique) < 127 else np.int32
    codes = picked(np.array([unique.index(n) for n in names], dtype=kind), symbol)
    flat = flat_fees(fee)
    if flat is not None:
        columns = (c.fill_quantity, c.fill_price, c.fill_maker, symbol)
        return flat.charge_flat(*columns, size, inverse), unique, codes
    of_coin = inverse[symbol]
    notional = c.fill_quantity * size[symbol] * np.where(of_coin, 1.0, c.fill_price)
    base = notional / c.fill_price
    volume = fee.volume_before(c.fill_ts, notional)
    linear = fee.charge(notional, base, c.fill_maker, volume)
    coin = fee.charge(notional, base, c.fill_maker, volume, inverse=True)
    return np.where(of_coin, coin, linear), unique, codes


def picked(column: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """`column[rows]` (None: all of it); without copies where all rows hold one value."""
    if rows is None:
        return column
    if is_one_value(column):
        return one_value(column[0], len(rows))
    if is_one_value(rows):
        return one_value(column[rows[0]], len(rows))
    return column[rows]
