"""Limit orders at every bar, described instead of listed, so that a sweep can share their work.

`LimitOrders` are independent of each other; `RoundTrips` hold one position at a time. Both take
the parameters ``horizon`` (life of an order, in bars) and ``offset_bps`` or ``offset_ticks`` (how
far from the close it lies), and both obey the rules of bars in `execkit.models`: an order is
decided at a bar's close, arrives there, meets the next bar's open first, and expires after the
range of its last bar. Limits are rounded to a tick away from the market.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching import grid
from execkit.matching.tape import SymbolTape, build_tape
from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.fill import FillModel, fill_model

OFFSETS = ("offset_bps", "offset_ticks")


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What `simulate` is told beside orders and market."""

    fill: str | FillModel = "queue"
    fee: FeeLike | None = None
    latency: LatencyLike | None = None
    impact: ImpactLike | None = None
    seed: int = 0
    fidelity: str | Mapping[str, str] = "auto"

    def __post_init__(self) -> None:
        fill_model(self.fill)
        wanted = (
            ("fee", (FeeLike, type(None)), "pass a FeeModel(taker_bps=...)"),
            ("latency", (LatencyLike, type(None)), "pass a LatencyModel(entry_ns=...)"),
            ("impact", (ImpactLike, type(None)), "pass a SquareRootImpact(...)"),
            ("seed", int, "pass a whole number"),
        )
        for name, kind, fix in wanted:
            if not isinstance(getattr(self, name), kind):  # type: ignore[arg-type]
                raise InvalidInput(name, getattr(self, name), fix)


@dataclass(frozen=True, kw_only=True)
class _Quotes:
    """Fields of both descriptions.

    side : "buy" or "sell". quantity : of each order, in base units (contracts where it trades in
    them). symbol : left out where the market has bars of one only. post_only : an order that the
    next open would fill is REJECTED there.
    """

    quantity: float
    side: str = "buy"
    symbol: str | None = None
    post_only: bool = False

    def __post_init__(self) -> None:
        if self.side not in ("buy", "sell"):
            raise InvalidInput("side", self.side, 'say "buy" or "sell"')
        if not (np.isfinite(self.quantity) and self.quantity > 0):
            raise InvalidInput("quantity", self.quantity, "pass a quantity above 0")

    def tape(self, market: MarketData) -> SymbolTape:
        """The bars that the orders are placed on."""
        names = market.symbols if market.bars is None else market.bars.present
        if self.symbol is None and len(names) != 1:
            raise InvalidInput("symbol", None, f"the market has several: {', '.join(names)}")
        return build_tape(market, self.symbol or names[0], "bars")


@dataclass(frozen=True, kw_only=True)
class LimitOrders(_Quotes):
    """A limit order at the close of every bar, each on its own; call it for the orders table.

    ``LimitOrders(quantity=0.1)(market, offset_bps=5, horizon=30)`` is a table for `simulate`. In
    `sweep`, a grid over offsets and horizons is answered in one pass where that gives the very same
    numbers: on bars, without latency, impact, funding and fee tiers, and where no bar's share of
    its volume (`participation`) is too small for what would fill in it. Elsewhere each combination
    is simulated.

    every : place one at each so many bars. Other fields: quantity, side, symbol, post_only.
    """

    every: int = 1

    def __post_init__(self) -> None:
        _Quotes.__post_init__(self)
        if not isinstance(self.every, int) or self.every < 1:
            raise InvalidInput("every", self.every, "pass a whole number of bars, at least 1")

    def __call__(
        self,
        market: MarketData,
        *,
        horizon: int,
        offset_bps: float | None = None,
        offset_ticks: int | None = None,
    ) -> pd.DataFrame:
        """One row an order; the last bar has none, for nothing comes after it."""
        tape = self.tape(market)
        at = np.arange(0, len(tape.tape.volume) - 1, self.every)
        name, value = _offset({"offset_bps": offset_bps, "offset_ticks": offset_ticks})
        return table_of(tape, self, at, _horizon(horizon), name, value)


@dataclass(frozen=True, kw_only=True)
class RoundTrips(_Quotes):
    """One position at a time: quote, and when filled hold, leave, and quote again.

    Flat at the close of a bar, it places a limit order for ``horizon`` bars, and another when that
    ended unfilled. Filled in bar j, it leaves by a market order decided at the close of bar
    ``j + hold`` (exit="market"), or by a limit order that is placed at the close of bar j, at the
    same offset on the other side, and by that market order if it ends unfilled (exit="limit").
    After the bar that closed the position it is flat again. A position that the end of the data
    finds open is valued at the last close, and is no round trip.

    hold : bars; the horizon if left out. Other fields: quantity, side, symbol, post_only (of the
    entry).

    When it lies: as bars do, see `execkit.models`; and a whole order fills at a touch or not at
    all, so it refuses a `participation` that would fill only a part.
    """

    exit: Literal["market", "limit"] = "market"
    hold: int | None = None

    def __post_init__(self) -> None:
        _Quotes.__post_init__(self)
        if self.exit not in ("market", "limit"):
            raise InvalidInput("exit", self.exit, 'say "market" or "limit"')
        if self.hold is not None:
            _horizon(self.hold, "hold")

    def orders(
        self,
        market: MarketData,
        *,
        horizon: int,
        offset_bps: float | None = None,
        offset_ticks: int | None = None,
        fill: str | FillModel = "queue",
    ) -> pd.DataFrame:
        """The orders that one combination places under a fill model, as a table for `simulate`.

        When to quote again depends on what was filled, so they are these only under that model.
        """
        name, value = _offset({"offset_bps": offset_bps, "offset_ticks": offset_ticks})
        from execkit.limit_grid import placed

        kind, at, life = placed(self, market, Assumptions(fill=fill), name, value, horizon)
        tape, parts = self.tape(market), []
        back = replace(self, side="sell" if self.side == "buy" else "buy", post_only=False)
        for code, own in ((grid.ENTRY, self), (grid.EXIT_LIMIT, back), (grid.EXIT_MARKET, back)):
            rows = np.flatnonzero(kind == code)
            if len(rows) == 0:
                continue
            part = table_of(tape, own, at[rows], life[rows], name, value)
            if code == grid.EXIT_MARKET:
                part = part.assign(order_type="market", price=np.nan, time_in_force="GTC")
                part["expire_ts_ns"] = pd.array([pd.NA] * len(rows), dtype="Int64")
            parts.append(part.set_index(rows))
        return pd.concat(parts).sort_index(ignore_index=True)


def table_of(
    tape: SymbolTape, quotes: _Quotes, at: np.ndarray, horizon: Any, name: str, value: float
) -> pd.DataFrame:
    """Limit orders at the closes of the bars `at`; their horizon is a number or one for each."""
    opened = tape.tape.ts[0::2]
    interval, last = int(tape.tape.ts[1] - opened[0]) + 1, len(opened) - 1
    end = at + horizon
    expiry = opened[np.minimum(end, last)] + interval * (1 + np.maximum(end - last, 0))
    limits = np.zeros(len(at), dtype=np.int64)
    if len(at):
        sign = -1 if quotes.side == "sell" else 1
        closes = sign * tape.tape.bars[3][at]
        limits = sign * grid.limits_of(offsets_of(tape, quotes.side, name, [value]), 0, closes)
    return pd.DataFrame(
        {
            "ts_ns": opened[at] + interval,
            "symbol": tape.symbol,
            "side": quotes.side,
            "order_type": "limit",
            "quantity": quotes.quantity,
            "price": limits / tape.units.price,
            "time_in_force": "GTD",
            "expire_ts_ns": pd.array(expiry, dtype="Int64"),
            "post_only": quotes.post_only,
        }
    )


def offsets_of(tape: SymbolTape, side: str, name: str, values: Sequence[float]) -> grid.Offsets:
    """Offsets as the kernels want them; `InvalidInput` where a limit would not be above 0."""
    given = np.asarray(values, dtype=float)
    tick = max(1, round(float(tape.instrument.tick_size) * tape.units.price))
    sign = 1 if side == "sell" else -1
    by_ticks = name == "offset_ticks"
    factor = np.ones(len(given)) if by_ticks else 1 + sign * given / 1e4
    ticks = given.astype(np.int64) if by_ticks else np.zeros(len(given), dtype=np.int64)
    made = grid.Offsets(factor, ticks, tick)
    lowest = np.array([tape.tape.bars[3].min()])
    if side == "buy" and grid.limits_of(made, len(given) - 1, lowest)[0] <= 0:
        raise InvalidInput(name, float(given[-1]), "the limit would not be above 0: use less")
    return made


def _offset(given: Mapping[str, Any]) -> tuple[str, float]:
    """Name and value of the one offset that is given."""
    found = [(name, given[name]) for name in OFFSETS if given.get(name) is not None]
    if len(found) != 1:
        names = [name for name, _ in found]
        raise InvalidInput("offset", names, f"give one of {' and '.join(OFFSETS)}")
    name, value = found[0]
    whole = name == "offset_bps" or float(value).is_integer()
    if not (math.isfinite(value) and value >= 0 and whole):
        raise InvalidInput(name, value, f"use {name.removeprefix('offset_')} of 0 or more")
    return name, float(value)


def _horizon(value: Any, name: str = "horizon") -> int:
    if isinstance(value, bool) or not float(value).is_integer() or value < 1:
        raise InvalidInput(name, value, "pass a whole number of bars, at least 1")
    return int(value)


def parameters(combination: Mapping[str, Any]) -> tuple[str, float, int]:
    """Name and value of the offset, and the horizon, of one combination; all checked."""
    extra = sorted(set(combination) - {"horizon", *OFFSETS})
    if extra:
        raise InvalidInput(extra[0], combination[extra[0]], f"use horizon and {OFFSETS[0]}")
    if "horizon" not in combination:
        raise InvalidInput("horizon", None, "give the life of an order in bars")
    return *_offset(combination), _horizon(combination["horizon"])
