"""Margin over the path of a run: how close it came to liquidation, and whether it got there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from execkit.errors import InvalidInput
from execkit.matching import state as st
from execkit.models.margin import MarginModel
from execkit.request import Part, Request


@dataclass(frozen=True, eq=False)
class MarginReport:
    """What a run would have needed, in one settlement currency.

    frame : one row a price change, fill and funding stamp: ts_ns, equity (balance and profit after
        fees and funding, at the mark), used (initial margin of what is held), maintenance, ratio
        (maintenance / equity, 0 if nothing is held, inf if equity is not above 0, NaN while there
        is no mark). After a liquidation nothing is held and equity stays.
    liquidated_ts_ns : first moment at which ratio >= 1, None if it never came. marks : each symbol
        held then -> the mark at which it was closed. void_fills : fills after it, which would not
        have happened. short_of_margin : rows on which used > equity: a venue would have refused
        what led there, if it was an order.
    """

    currency: str
    frame: pd.DataFrame
    liquidated_ts_ns: int | None
    marks: dict[str, float]
    void_fills: int
    short_of_margin: int

    def __repr__(self) -> str:
        worst = self.frame["ratio"].max()
        fate = "" if self.liquidated_ts_ns is None else f", liquidated at {self.liquidated_ts_ns}"
        return f"<MarginReport {self.currency}: highest ratio {worst:.3f}{fate}>"


def margin_report(
    request: Request,
    held: pd.DataFrame,
    fees: np.ndarray,
    paid: pd.DataFrame,
    model: MarginModel,
    balance: float,
    currency: str | None,
) -> MarginReport:
    """See `SimulationResult.margin`. held, paid : as from `execkit.profit`; fees of each fill."""
    _check(model, balance)
    parts = _parts(request, held, currency)
    name = next(iter(parts.values()))[1]
    own, due = held[held["currency"] == name], paid[paid["currency"] == name]
    start, fill_ts = int(request.table.ts_ns[0]), own["ts_ns"].to_numpy(np.int64)
    stamps = due["ts_ns"].to_numpy(np.int64)
    moments = [part.reference.ts_ns for part, _ in parts.values()]
    ts = np.unique(np.concatenate([*moments, fill_ts, stamps]))
    ts = ts[ts >= start]
    ids = own["fill_id"].to_numpy(np.int64)
    equity = balance - _so_far(ts, fill_ts, fees[ids]) - _so_far(ts, stamps, due["cost"])
    used, needed, notional = (np.zeros(len(ts)) for _ in range(3))
    marks = {}
    for symbol, (part, _) in parts.items():
        fills = own[own["symbol"] == symbol]
        gain, value, mark, quantity = _position(request, part, symbol, fills, ts)
        equity = equity + gain
        notional, used = notional + value, used + model.initial(value)
        needed = needed + model.maintenance(value)
        marks[symbol] = (mark, quantity)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(needed == 0, 0.0, np.where(equity > 0, needed / equity, math.inf))
    ratio = np.where(np.isnan(equity), math.nan, ratio)
    over = np.flatnonzero(ratio >= 1)
    short = int((used > equity).sum()) if not len(over) else int((used > equity)[: over[0]].sum())
    frame = pd.DataFrame(
        {"ts_ns": ts, "equity": equity, "used": used, "maintenance": needed, "ratio": ratio}
    )
    if not len(over):
        return MarginReport(name, frame, None, {}, 0, short)
    at = int(over[0])
    left = equity[at] - notional[at] * model.liquidation_fee_bps / 1e4
    frame.loc[at + 1 :, ["equity", "used", "maintenance", "ratio"]] = (left, 0.0, 0.0, 0.0)
    closed = {s: float(mark[at]) for s, (mark, quantity) in marks.items() if quantity[at]}
    void = int((fill_ts > ts[at]).sum())
    return MarginReport(name, frame, int(ts[at]), closed, void, short)


def _check(model: object, balance: object) -> None:
    if not isinstance(model, MarginModel):
        raise InvalidInput("model", model, "pass a MarginModel(initial_rate=0.1, ...)")
    ok = isinstance(balance, (int, float)) and not isinstance(balance, bool)
    if not (ok and math.isfinite(balance) and balance > 0):  # type: ignore[arg-type, operator]
        raise InvalidInput("balance", balance, "pass the account's equity at the start, > 0")


def _parts(
    request: Request, held: pd.DataFrame, currency: str | None
) -> dict[str, tuple[Part, str]]:
    """By symbol that settles in the currency and is ever held: its part, and the currency."""
    found: dict[str, tuple[Part, str]] = {}
    for symbol, part in zip(request.table.symbols, request.parts, strict=True):
        instrument = part.market.instrument
        name = instrument.settle or ("base" if instrument.is_inverse else "quote")
        touched = request.start.get(symbol, 0.0) or (held["symbol"] == symbol).any()
        if touched and currency in (None, name):
            found[symbol] = part, name
    names = sorted({name for _, name in found.values()})
    if len(names) != 1:
        fix = "nothing that settles in it is held" if not names else f"name one of {names}"
        raise InvalidInput("currency", currency, fix)
    for symbol, (part, _) in found.items():
        if part.market.pieces is not None:
            fix = "is read piece by piece, and margin needs all of its prices: load it whole"
            raise InvalidInput("market", symbol, fix)
    return found


def _so_far(ts: np.ndarray, at: np.ndarray, values: object) -> np.ndarray:
    """Sum of `values`, stamped `at` (rising), up to and with each time."""
    total = np.append(0.0, np.cumsum(np.asarray(values, dtype=float)))
    return total[np.searchsorted(at, ts, side="right")]


def _position(
    request: Request, part: Part, symbol: str, fills: pd.DataFrame, ts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(profit, notional, mark, quantity) of one symbol at each time, after its fills."""
    instrument, known = part.market.instrument, part.reference.mid
    size, inverse = float(instrument.contract_size), instrument.is_inverse
    known = known[np.isfinite(known)]
    cost = float(known[0]) if len(known) else math.nan  # of what was held from the start
    at = np.searchsorted(fills["ts_ns"].to_numpy(np.int64), ts, side="right")

    def after(name: str, before: float) -> np.ndarray:
        return np.append(before, fills[name].to_numpy(float))[at]

    quantity = after("quantity", request.start.get(symbol, 0.0))
    average, realised = after("average_price", cost), after("realised_pnl", 0.0)
    mark = _marks(part, ts, quantity > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = quantity * size * ((1 / average - 1 / mark) if inverse else (mark - average))
        value = np.abs(quantity) * size * (1 / mark if inverse else mark)
    nothing = quantity == 0
    gain, value = np.where(nothing, 0.0, gain), np.where(nothing, 0.0, value)
    return realised + gain, value, mark, quantity


def _marks(part: Part, ts: np.ndarray, long: np.ndarray) -> np.ndarray:
    """The last mid known at each time; at the end of a bar the extreme that is worse for us."""
    reference, tape = part.reference, part.market.tape
    mid = reference.mid
    last = np.maximum.accumulate(np.where(np.isfinite(mid), np.arange(len(mid)), -1))
    row = np.searchsorted(reference.ts_ns, ts, side="right") - 1
    row = np.where(row >= 0, last[np.maximum(row, 0)], -1)
    mark = np.where(row >= 0, mid[np.maximum(row, 0)], math.nan)
    if part.market.fidelity != "bars":
        return mark
    seen = np.maximum(row, 0)
    ranged = (row >= 0) & (reference.ts_ns[seen] == ts) & (tape.kind[seen] != st.OPEN)
    high, low = (tape.bars[k, tape.at[seen]] / part.market.units.price for k in (1, 2))
    return np.where(ranged, np.where(long, low, high), mark)
