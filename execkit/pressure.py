"""Own impact on the fills of a run: matched in the market as recorded, then moved against us."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from execkit.errors import InvalidInput
from execkit.matching.outcome import Columns
from execkit.models.base import ImpactLike, OwnFills
from execkit.order_table import SIDES
from execkit.request import Request


def moved(request: Request, columns: Columns, impact: ImpactLike) -> Columns:
    """The outcome with fill prices moved by what earlier fills of the same parent displaced.

    A parent is a `parent_order_id` in a symbol; orders without one share a parent by symbol and
    `strategy_id`. Fills of one stamp do not move each other: walking the book has priced that.
    Prices move only against the order, never in its favour, and a limit order pays no more than its
    limit: what lies beyond is not charged. They are expected prices and lie on no grid. What fills,
    how much and when does not change.

    `impact_cost` of each fill is what the move cost, >= 0, in quote currency, in base for inverse
    contracts. When it lies: in a market that we had really pushed away, a limit order capped here
    would have waited, and perhaps in vain.
    """
    c, table = columns, request.table
    buys = np.asarray(table.side[c.fill_row]) == SIDES.index("buy")
    sign = np.where(buys, 1.0, -1.0)
    symbol = table.symbol[c.fill_row].astype(np.int64)
    instruments = [part.market.instrument for part in request.parts]
    size = np.array([float(i.contract_size) for i in instruments])[symbol]
    inverse = np.array([i.is_inverse for i in instruments], dtype=bool)[symbol]
    parent = _parents(request)[c.fill_row]
    order = np.argsort(parent, kind="stable")  # fills are in order of time already
    fills = OwnFills(
        parent=parent[order],
        ts_ns=c.fill_ts[order],
        symbol=symbol[order],
        symbols=tuple(table.symbols),
        signed=(sign * c.fill_quantity * size)[order],
        price=c.fill_price[order],
    )
    against = np.zeros(len(order))
    against[order] = impact.displacement_bps(fills)
    against = np.maximum(against * sign, 0.0)
    if (against >= 10_000).any() or not np.isfinite(against).all():
        worst = float(against[np.argmax(np.where(np.isfinite(against), against, np.inf))])
        fix = "bps would take all of the price: check daily_volume and sigma, and their units"
        raise InvalidInput("impact", worst, fix)
    price = c.fill_price * (1 + sign * against / 1e4)
    limit = table.price[c.fill_row]
    limit = np.where(np.isnan(limit), sign * np.inf, limit)
    price = sign * np.minimum(sign * price, np.maximum(sign * limit, sign * c.fill_price))
    cost = np.where(
        inverse,
        c.fill_quantity * size * (1 / c.fill_price - 1 / price),
        c.fill_quantity * size * (price - c.fill_price),
    )
    average = _averages(c, price, inverse)
    return replace(c, fill_price=price, moved_average=average, impact_cost=sign * cost)


def _parents(request: Request) -> np.ndarray:
    """A code for the parent of each order."""
    table = request.table
    empty = np.full(len(table), "", dtype=object)
    named = np.asarray(table.texts.get("parent_order_id", empty), dtype=object)
    strategy = np.asarray(table.texts.get("strategy_id", empty), dtype=object)
    columns = (table.symbol, named, np.where(named == "", strategy, ""))
    code = np.zeros(len(table), dtype=np.int64)
    for column in columns:
        one, names = pd.factorize(column)
        code = pd.factorize(code * max(1, len(names)) + one)[0]
    return code


def _averages(c: Columns, price: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Average price of each order, harmonic for inverse contracts; NaN where nothing filled."""
    n = len(c.status)
    total = np.bincount(c.fill_row, c.fill_quantity, minlength=n)
    worth = np.bincount(c.fill_row, np.where(inverse, c.fill_quantity / price,
                                             c.fill_quantity * price), minlength=n)  # fmt: skip
    flipped = np.bincount(c.fill_row, inverse, minlength=n) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flipped, total / worth, worth / total)
