"""Positions, funding and equity of a simulation, from its fills."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from execkit.arrays import is_one_value
from execkit.matching.fold import fold
from execkit.matching.outcome import Columns
from execkit.models.funding import FundingRates
from execkit.request import Part, Request

_END = np.iinfo(np.int64).max
FUNDING = ("ts_ns", "symbol", "rate", "mark", "mark_source", "quantity", "cost", "currency")


def positions(request: Request, columns: Columns) -> pd.DataFrame:
    """One row a fill, in order: quantity (signed), average_price, realised_pnl so far (without
    fees) and unrealised_pnl at the mid of that moment, of the symbol; both in `currency`."""
    table, c = request.table, columns
    parts = []
    for code, part in enumerate(request.parts):
        at, held, average, realised = _held(request, c, code)
        rows: dict[str, Any] = {
            "fill_id": at,
            "ts_ns": c.fill_ts[at],
            "symbol": words(np.full(len(at), code), table.symbols),
            "quantity": held,
            "average_price": average,
            "realised_pnl": realised,
            "unrealised_pnl": _open_pnl(part, held, average, c.fill_ts[at]),
            "currency": _currency(part),
        }
        parts.append(pd.DataFrame(rows))
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values("fill_id", kind="stable", ignore_index=True)


def _held(
    request: Request, c: Columns, code: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fills of one symbol, and after each of them the quantity held, its average price and the
    profit realised."""
    table, part = request.table, request.parts[code]
    at = np.flatnonzero(table.symbol[c.fill_row] == code)
    unit, instrument = part.market.units.quantity, part.market.instrument
    size, inverse = float(instrument.contract_size), instrument.is_inverse
    sign = np.where(table.side[c.fill_row[at]] == 0, 1, -1)
    signed = sign * np.rint(c.fill_quantity[at] * unit).astype(np.int64)
    start = round(request.start.get(table.symbols[code], 0.0) * unit)
    cost = part.reference.first_mid
    held, average, realised = fold(signed, c.fill_price[at], size / unit, inverse, start, cost)
    return at, held / unit, average, realised


def _currency(part: Part) -> str:
    instrument = part.market.instrument
    return instrument.settle or ("base" if instrument.is_inverse else "quote")


def funding(request: Request, held: pd.DataFrame) -> pd.DataFrame:
    """What positions paid in funding: one row a symbol and stamp at which something was held.

    ts_ns, symbol, rate, mark, mark_source ("given" by the funding table, or the "reference" price
    known at the stamp, or "missing": then mark and cost are NaN), quantity (signed), cost (positive
    = paid, negative = received) in `currency`. The position is what the fills strictly before the
    stamp left (`held` as from `positions`); stamps count from the first order's decision to the end
    of the data. Instruments of kind spot pay none.
    """
    table, parts = request.table, []
    for code, symbol in enumerate(table.symbols):
        part, rates = request.parts[code], request.funding.get(symbol)
        instrument = part.market.instrument
        if rates is None or instrument.kind == "spot":
            continue
        own = held[held["symbol"] == symbol]
        quantity = np.append(request.start.get(symbol, 0.0), own["quantity"].to_numpy())
        quantity = quantity[np.searchsorted(own["ts_ns"].to_numpy(), rates.ts_ns, side="left")]
        span = (rates.ts_ns > table.ts_ns[0]) & (rates.ts_ns <= _end_of(part))
        due = np.flatnonzero(span & (quantity != 0))
        ts, given = rates.ts_ns[due], rates.mark[due]
        mark = np.where(np.isnan(given), part.reference.mid_at(ts), given)
        chosen = FundingRates(ts, rates.rate[due], mark)
        source = np.where(np.isnan(mark), 2, np.isnan(given))
        size, inverse = float(instrument.contract_size), instrument.is_inverse
        rows: dict[str, Any] = {
            "ts_ns": ts,
            "symbol": words(np.full(len(due), code), table.symbols),
            "rate": chosen.rate,
            "mark": mark,
            "mark_source": words(source, ("given", "reference", "missing")),
            "quantity": quantity[due],
            "cost": chosen.cost(quantity[due], size, inverse=inverse),
            "currency": _currency(part),
        }
        parts.append(pd.DataFrame(rows))
    if not parts:
        return pd.DataFrame(columns=FUNDING)
    return pd.concat(parts, ignore_index=True).sort_values(
        "ts_ns", kind="stable", ignore_index=True
    )


def equity(
    request: Request, held: pd.DataFrame, fees: np.ndarray, paid: pd.DataFrame
) -> pd.DataFrame:
    """Profit after each fill and each funding stamp, and at the end of the data, by settlement
    currency, from 0.

    equity = realised + unrealised - fees - funding = cash + position_value, where position_value is
    the unrealised profit; drawdown = highest equity so far (at least 0) less equity. All in
    `currency`; fees and funding are sums so far. Between the rows a position may have been worth
    more or less. `held` as from `positions`, `paid` as from `funding`; fees of each fill in the
    settlement currency. From a funding without a known mark on, funding and equity are NaN.
    """
    names = ["ts_ns", "currency", "cash", "position_value", "fees", "funding", "equity", "drawdown"]
    parts = [pd.DataFrame(columns=names)] if len(held) == len(paid) == 0 else []
    for currency in sorted({*held["currency"], *paid["currency"]}):
        own, due = held[held["currency"] == currency], paid[paid["currency"] == currency]
        symbols = dict.fromkeys([*own["symbol"].astype(str), *due["symbol"].astype(str)])
        market = {s: request.parts[request.table.symbols.index(s)] for s in symbols}
        end = max(_end_of(part) for part in market.values())
        ids, fill_ts = own["fill_id"].to_numpy(np.int64), own["ts_ns"].to_numpy(np.int64)
        stamps = due["ts_ns"].to_numpy(np.int64)
        before = np.searchsorted(held["ts_ns"].to_numpy(np.int64), stamps, side="left") - 1
        at, ts = np.concatenate([before, ids]), np.concatenate([stamps, fill_ts])
        order = np.argsort(ts, kind="stable")  # a stamp comes before the fills of its moment
        at, ts = np.append(at[order], _END), np.append(ts[order], end)
        cost = np.concatenate([due["cost"].to_numpy(float), np.zeros(len(ids))])[order]
        funded = np.cumsum(np.append(cost, 0.0))
        charged = np.append(0.0, np.cumsum(fees[ids]))[np.searchsorted(ids, at, side="right")]
        known = np.append(ts[:-1], end + 1)  # a bar's close is known once the bar is over
        realised, value = np.zeros(len(ts)), np.zeros(len(ts))
        for symbol, part in market.items():
            gain, open_pnl = _worth(part, own[own["symbol"] == symbol], at, known)
            realised, value = realised + gain, value + open_pnl
        cash = realised - charged - funded
        worth = cash + value
        # a moment without a mid is not known, which does not make later peaks unknown
        peak = np.fmax.accumulate(np.fmax(worth, 0.0))
        series = (ts, currency, cash, value, charged, funded, worth, peak - worth)
        parts.append(pd.DataFrame(dict(zip(names, series, strict=True))))
    return pd.concat(parts, ignore_index=True)


class Closing(NamedTuple):
    """What the last row of `equity` says of a currency."""

    cash: float
    fees: float
    equity: float


def closing(request: Request, columns: Columns, fees: np.ndarray) -> dict[str, Closing]:
    """The last row of `equity` of each currency that had a fill, to the last digit and without the
    rows before it. For requests without funding."""
    found: dict[str, list[tuple[Part, np.ndarray, np.ndarray, np.ndarray, float]]] = {}
    for code, part in enumerate(request.parts):
        at, held, average, realised = _held(request, columns, code)
        if len(at):
            last = (held[-1:], average[-1:], float(realised[-1]))
            found.setdefault(_currency(part), []).append((part, at, *last))
    out = {}
    for currency, own in found.items():
        own.sort(key=lambda one: int(one[1][0]))  # as sums add up: whose first fill came first
        ids = np.sort(np.concatenate([at for _, at, *_ in own]))
        end = np.array([max(_end_of(part) for part, *_ in own) + 1])
        gained = value = 0.0
        for part, _, held, average, gain in own:
            gained += gain
            value += float(_open_pnl(part, held, average, end)[0])
        charged = float(np.cumsum(fees[ids])[-1])
        cash = gained - charged
        out[currency] = Closing(cash, charged, cash + value)
    return out


def _worth(
    part: Part, held: pd.DataFrame, at: np.ndarray, ts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Realised and unrealised profit of one symbol after each of the fills `at`."""
    index = np.searchsorted(held["fill_id"].to_numpy(), at, side="right") - 1
    seen = np.maximum(index, 0)

    def after(name: str) -> np.ndarray:
        values = held[name].to_numpy(float)
        return np.where(index >= 0, values[seen] if len(values) else 0.0, 0.0)

    return after("realised_pnl"), _open_pnl(part, after("quantity"), after("average_price"), ts)


def _open_pnl(part: Part, held: np.ndarray, average: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """Unrealised profit at the mid of `ts`; 0 when flat, NaN while there is no mid."""
    mid = part.reference.mid_at(ts)
    instrument = part.market.instrument
    with np.errstate(divide="ignore", invalid="ignore"):
        per_unit = (1 / average - 1 / mid) if instrument.is_inverse else (mid - average)
        return np.where(held == 0, 0.0, held * float(instrument.contract_size) * per_unit)


def words(codes: np.ndarray, words: Any) -> Any:
    """Codes into a list of words, as a categorical of the words without repetitions."""
    given = tuple(str(w) for w in words)
    dtype, place = _vocabulary(given)
    if is_one_value(codes):
        only = int(place[codes[0]])
        many = np.zeros(len(codes), dtype=np.int8)  # zeros cost nothing until they are looked at
        codes = many if only == 0 else many + np.int8(only)
    elif len(dtype.categories) < len(given) or codes.dtype != np.int8:
        codes = place[np.asarray(codes, dtype=np.int64)]
    return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _vocabulary(words: tuple[str, ...]) -> tuple[pd.CategoricalDtype, np.ndarray]:
    unique = list(dict.fromkeys(words))
    kind = np.int8 if len(unique) < 127 else np.int32
    place = np.array([unique.index(w) for w in words], dtype=kind)
    return pd.CategoricalDtype(pd.Index(unique, dtype=str)), place


def _end_of(part: Part) -> int:
    """Last event of the symbol's data."""
    return part.market.ends_ns[1]
