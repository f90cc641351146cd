"""Positions and equity of a simulation, from its fills."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from execkit.matching.fold import fold
from execkit.matching.outcome import Columns
from execkit.request import Part, Request

_END = np.iinfo(np.int64).max


def positions(request: Request, columns: Columns) -> pd.DataFrame:
    """One row a fill, in order: quantity (signed), average_price, realised_pnl so far (without
    fees) and unrealised_pnl at the mid of that moment, of the symbol; both in `currency`."""
    table, c = request.table, columns
    parts = []
    for code, symbol in enumerate(table.symbols):
        at = np.flatnonzero(table.symbol[c.fill_row] == code)
        part = request.parts[code]
        unit, instrument = part.market.units.quantity, part.market.instrument
        size, inverse = float(instrument.contract_size), instrument.is_inverse
        sign = np.where(table.side[c.fill_row[at]] == 0, 1, -1)
        signed = sign * np.rint(c.fill_quantity[at] * unit).astype(np.int64)
        known = part.reference.mid[np.isfinite(part.reference.mid)]
        cost = float(known[0]) if len(known) else math.nan
        start = round(request.start.get(symbol, 0.0) * unit)
        held, average, realised = fold(signed, c.fill_price[at], size / unit, inverse, start, cost)
        rows: dict[str, Any] = {
            "fill_id": at,
            "ts_ns": c.fill_ts[at],
            "symbol": words(np.full(len(at), code), table.symbols),
            "quantity": held / unit,
            "average_price": average,
            "realised_pnl": realised,
            "unrealised_pnl": _open_pnl(part, held / unit, average, c.fill_ts[at]),
            "currency": instrument.settle or ("base" if inverse else "quote"),
        }
        parts.append(pd.DataFrame(rows))
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values("fill_id", kind="stable", ignore_index=True)


def equity(request: Request, held: pd.DataFrame, fees: np.ndarray) -> pd.DataFrame:
    """Profit after each fill, and at the end of the data, by settlement currency, from 0.

    equity = realised + unrealised - fees = cash + position_value, where position_value is the
    unrealised profit; drawdown = highest equity so far (at least 0) less equity. All in `currency`.
    Between fills a position may have been worth more or less. `held` as from `positions`; fees of
    each fill in the settlement currency.
    """
    names = ["ts_ns", "currency", "cash", "position_value", "fees", "equity", "drawdown"]
    parts = [pd.DataFrame(columns=names)] if len(held) == 0 else []
    for currency, own in held.groupby("currency", sort=True):
        symbols = [str(s) for s in own["symbol"].unique()]
        market = {s: request.parts[request.table.symbols.index(s)] for s in symbols}
        end = max(int(part.market.tape.ts[-1]) for part in market.values())
        at = np.append(own["fill_id"].to_numpy(), _END)
        ts = np.append(own["ts_ns"].to_numpy(), end)
        paid = np.cumsum(np.append(fees[at[:-1]], 0.0))
        known = np.append(ts[:-1], end + 1)  # a bar's close is known once the bar is over
        realised, value = np.zeros(len(ts)), np.zeros(len(ts))
        for symbol, part in market.items():
            gain, open_pnl = _worth(part, own[own["symbol"] == symbol], at, known)
            realised, value = realised + gain, value + open_pnl
        worth = realised - paid + value
        peak = np.maximum.accumulate(np.maximum(worth, 0.0))
        series = (ts, currency, realised - paid, value, paid, worth, peak - worth)
        parts.append(pd.DataFrame(dict(zip(names, series, strict=True))))
    return pd.concat(parts, ignore_index=True)


def _worth(
    part: Part, held: pd.DataFrame, at: np.ndarray, ts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Realised and unrealised profit of one symbol after each of the fills `at`."""
    index = np.searchsorted(held["fill_id"].to_numpy(), at, side="right") - 1
    seen = np.maximum(index, 0)

    def after(name: str) -> np.ndarray:
        return np.where(index >= 0, held[name].to_numpy()[seen], 0.0)

    return after("realised_pnl"), _open_pnl(part, after("quantity"), after("average_price"), ts)


def _open_pnl(part: Part, held: np.ndarray, average: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """Unrealised profit at the mid of `ts`; 0 when flat, NaN while there is no mid."""
    mid = part.reference.mid_at(ts)
    instrument = part.market.instrument
    with np.errstate(divide="ignore", invalid="ignore"):
        per_unit = (1 / average - 1 / mid) if instrument.is_inverse else (mid - average)
        return np.where(held == 0, 0.0, held * float(instrument.contract_size) * per_unit)


def words(codes: np.ndarray, words: Any) -> Any:
    unique = list(dict.fromkeys(str(w) for w in words))
    place = np.array([unique.index(str(w)) for w in words], dtype=np.int32)
    index = place[np.asarray(codes, dtype=np.int64)]
    return pd.Categorical.from_codes(index, pd.Index(unique, dtype=str))
