"""Answers of `LimitOrders` and `RoundTrips` for many offsets and horizons at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from execkit.errors import InvalidInput
from execkit.limit_orders import Assumptions, LimitOrders, RoundTrips, offsets_of, parameters
from execkit.market import MarketData
from execkit.matching import grid
from execkit.matching import state as st
from execkit.matching.tape import SymbolTape, check_volume, choose_fidelity
from execkit.models.base import FeeLike
from execkit.models.fee import FeeModel, flat_fees
from execkit.models.fill import FillModel, fill_model
from execkit.models.latency import LatencyModel, fixed_ns

TOGETHER = 32
"""Offsets that are answered together: more share more work, and hold more answers at a time."""


@dataclass(frozen=True, eq=False)
class Ground:
    """One symbol's bars, the quantity in lots, and what each bar could give."""

    tape: SymbolTape
    model: FillModel
    fee: FeeLike
    side: str
    lots: int
    budget: np.ndarray

    @classmethod
    def of(
        cls, quotes: LimitOrders | RoundTrips, market: MarketData, assumed: Assumptions
    ) -> Ground:
        tape, model = quotes.tape(market), fill_model(assumed.fill)
        volume = tape.tape.volume
        if model.participation is None:
            budget = np.where(volume == 0.0, 0, st.INF)
        else:
            check_volume(tape.tape, tape.symbol)
            budget = np.floor(volume * model.participation).astype(np.int64)
        fee = assumed.fee or FeeModel()
        return cls(tape, model, fee, quotes.side, _lots(tape, quotes.quantity), budget)

    @property
    def interval(self) -> int:
        return int(self.tape.tape.ts[1] - self.tape.tape.ts[0]) + 1

    @property
    def money(self) -> float:
        """Quote currency per price unit of one order."""
        units, size = self.tape.units, float(self.tape.instrument.contract_size)
        return self.lots / units.quantity * size / units.price

    @property
    def currency(self) -> str:
        return self.tape.instrument.settle or "quote"

    def check_notional(self, offsets: grid.Offsets) -> None:
        """Refuse a grid whose deepest limit is worth less than the instrument allows."""
        least, at = self.tape.instrument.min_notional, len(offsets.factor) - 1
        sign = -1 if self.side == "sell" else 1
        close = np.array([self.tape.tape.bars[3].min() * sign])
        worth = self.money * abs(int(grid.limits_of(offsets, at, close)[0]))
        if least is not None and worth < float(least):
            quantity = self.lots / self.tape.units.quantity
            fix = f"is below the min_notional {least} of {self.tape.symbol}"
            raise InvalidInput("quantity", quantity, fix)

    def path(self, side: str) -> grid.Path:
        return grid.path_of(
            self.tape.tape,
            self.interval,
            sell=side == "sell",
            touch=self.model.touch and not self.model.queue,
            half_spread=self.model.half_spread_bps / 1e4,
            live=self.budget > 0,
        )

    @property
    def rates(self) -> tuple[float, float]:
        """Maker and taker fee, of the notional; see `why_not` for other models."""
        assert isinstance(self.fee, FeeModel)
        return self.fee.maker_bps / 1e4, self.fee.taker_bps / 1e4

    def why_not(self, market: MarketData, assumed: Assumptions) -> tuple[str, object, str] | None:
        """The assumption under which answers cannot be shared, and what to do; None if none."""
        delays = assumed.latency or LatencyModel()
        # a class derived from one of these may delay or charge otherwise
        if fixed_ns(delays, "entry") != 0:
            return "latency", delays, "orders on bars at their close have none: leave it out"
        if flat_fees(self.fee) is None:
            return "fee", self.fee, "tiers depend on all fills: use a FeeModel with one rate"
        if assumed.impact is not None:
            return "impact", assumed.impact, "each order is alone: leave it out"
        funded = market.funding is not None and self.tape.symbol in market.funding.present
        if funded and self.tape.instrument.kind != "spot":
            return "market", self.tape.symbol, "has funding: leave that table out"
        if self.tape.instrument.is_inverse:
            return "symbol", self.tape.symbol, "is an inverse contract: simulate its orders"
        if (np.diff(self.tape.tape.ts[0::2]) < self.interval).any():
            return "market", self.tape.symbol, "its bars overlap: clean them first"
        return None


def independent(
    quotes: LimitOrders,
    market: MarketData,
    combinations: Sequence[Mapping[str, Any]],
    assumed: Assumptions,
) -> list[dict[str, Any]] | None:
    """What `simulate` and `summaries.summarise` would make of each combination, or None where only
    they can tell."""
    ground = Ground.of(quotes, market, assumed)
    chosen = assumed.fidelity
    chosen = chosen if isinstance(chosen, str) else chosen.get(ground.tape.symbol, "auto")
    on_bars = choose_fidelity(market, ground.tape.symbol, chosen) == "bars"
    if not on_bars or ground.why_not(market, assumed) or len(ground.budget) < 2:
        return None
    path, every = ground.path(ground.side), quotes.every
    room = np.where(ground.budget > 0, ground.budget // ground.lots, 0)
    rows: dict[int, dict[str, Any]] = {}
    for name, values, members in _chunks(combinations):
        offsets = offsets_of(ground.tape, quotes.side, name, values)
        ground.check_notional(offsets)
        longest = max(h for _, of_offset in members for _, h in of_offset)
        answers = _answers(path, offsets, quotes.post_only, longest)
        for at, of_offset in members:
            by_bars = np.zeros((grid.TALLIED, longest + 1), dtype=np.int64)
            if not grid.tally(path, offsets, at, answers[at], every, room, by_bars):
                return None
            until = np.cumsum(by_bars[:, 1:], axis=1)
            for number, horizon in of_offset:
                sums = until[:, horizon - 1]
                wait = _unfilled(path, answers[at], every, horizon, sums, by_bars[:, 0])
                rows[number] = _row(ground, sums, by_bars[:, 0], wait, len(path.ts), every)
    return [rows[number] for number in range(len(combinations))]


def _unfilled(
    path: grid.Path,
    answers: np.ndarray,
    every: int,
    horizon: int,
    sums: np.ndarray,
    rejected: np.ndarray,
) -> int:
    """Time that unfilled orders waited, in ns: looked up one by one only near the end of the data,
    or where bars are missing."""
    last, first = len(path.ts) - 1, 0
    if not path.gaps:
        first = -(-max(0, last - horizon) // every) * every
    counted, wait = grid.unfilled_wait(path, answers, every, horizon, first)
    whole = len(range(0, last, every)) - sums[grid.F_COUNT] - rejected[grid.F_COUNT] - counted
    return int(wait) + int(whole) * horizon * path.interval


def _row(
    ground: Ground, sums: np.ndarray, rejected: np.ndarray, wait: int, bars: int, every: int
) -> dict[str, Any]:
    count, maker, waited, price, maker_price, arrival = (int(x) for x in sums)
    orders = len(range(0, bars - 1, every))
    sign = 1 if ground.side == "buy" else -1
    rate, take = ground.rates
    fees = ground.money * (rate * maker_price + take * (price - maker_price))
    worth = sign * ground.money * (count * int(ground.tape.tape.bars[3][-1]) - price)
    currency = ground.currency
    return {
        "orders": orders,
        "filled_any": count,
        "fill_rate": count / orders,
        "fills": count,
        "maker_ratio": maker / count if count else None,
        "quantity_filled": count / orders,
        "arrival_cost_bps": sign * 1e4 * (price - arrival) / arrival if count else None,
        "resting_s": (waited + int(rejected[grid.F_WAIT]) + wait) / orders / 1e9,
        "ambiguous": 0,
        f"fees_{currency}": fees,
        f"funding_{currency}": 0.0,
        f"realised_{currency}": 0.0,
        f"equity_{currency}": worth - fees,
    }


def round_trips(
    quotes: RoundTrips,
    market: MarketData,
    combinations: Sequence[Mapping[str, Any]],
    assumed: Assumptions,
) -> list[dict[str, Any]]:
    """One row a combination; `InvalidInput` under assumptions that it cannot honour.

    entries (orders placed to enter), entries_filled, fill_rate (their share), fills (both ways),
    maker_ratio (of the fills), round_trips, win_rate (share with a gain after fees).
    mean_pnl_bps, total_pnl_bps : gain after fees in bps of what the entry was worth, positive =
        good: the mean over round trips, each counting the same, and the sum. A position that is
        open at the end is in neither.
    resting_s : mean time from the close that an entry was placed at to its fill, or, unfilled, to
        its end or that of the data: a restricted mean, so unfilled entries count with their whole
        life.
    fees_<currency>, realised_<currency>, equity_<currency> : as in `summaries.summarise`; equity
        includes the open position, at the last close.
    A rate is None where there is nothing to divide.
    """
    ground = _ground(quotes, market, assumed)
    rows: dict[int, dict[str, Any]] = {}
    log = np.zeros((3, 0), dtype=np.int64)
    for name, values, members in _chunks(combinations):
        longest = max(h for _, of_offset in members for _, h in of_offset)
        walker = _Walker.of(quotes, ground, name, values, max(longest, quotes.hold or 0))
        for at, of_offset in members:
            sums, _ = walker.walk(at, [horizon for _, horizon in of_offset], log)
            for (number, _), row in zip(of_offset, sums, strict=True):
                rows[number] = _trip_row(ground, row)
    return [rows[number] for number in range(len(combinations))]


def placed(
    quotes: RoundTrips,
    market: MarketData,
    assumed: Assumptions,
    name: str,
    value: float,
    horizon: int,
) -> np.ndarray:
    """Kind, bar and life of every order of one combination, int64 of shape (3, orders)."""
    ground = _ground(quotes, market, assumed)
    walker = _Walker.of(quotes, ground, name, [value], max(horizon, quotes.hold or 0))
    _, orders = walker.walk(0, [horizon], np.zeros((3, 0), dtype=np.int64))
    log = np.zeros((3, orders), dtype=np.int64)
    walker.walk(0, [horizon], log)
    return log


def _ground(quotes: RoundTrips, market: MarketData, assumed: Assumptions) -> Ground:
    ground = Ground.of(quotes, market, assumed)
    refused = ground.why_not(market, assumed)
    if refused:
        raise InvalidInput(*refused)
    short = int(((ground.budget > 0) & (ground.budget < ground.lots)).sum())
    if short:
        fix = f"in {short:,} bars it is less than the quantity: use None, or a smaller quantity"
        raise InvalidInput("participation", ground.model.participation, fix)
    return ground


@dataclass(frozen=True, eq=False)
class _Walker:
    """Answers for entries and ways back of some offsets, ready for any horizon."""

    buy: grid.Path
    sell: grid.Path
    offsets: grid.Offsets
    back: grid.Offsets
    answers: np.ndarray
    exits: np.ndarray
    hold: int | None
    rates: np.ndarray
    next_live: np.ndarray

    @classmethod
    def of(
        cls, quotes: RoundTrips, ground: Ground, name: str, values: Sequence[float], longest: int
    ) -> _Walker:
        other = "sell" if quotes.side == "buy" else "buy"
        entry, leave = ground.path(quotes.side), ground.path(other)
        offsets = offsets_of(ground.tape, quotes.side, name, values)
        ground.check_notional(offsets)
        back = offsets_of(ground.tape, other, name, values)
        n, gapless = len(entry.ts), np.zeros(0, dtype=np.int64)
        live = np.where(entry.live, np.arange(n), n)
        exits = np.zeros((len(values), 0), dtype=np.int16)
        if quotes.exit == "limit":
            exits = _answers(leave, back, False, longest)
        return cls(
            buy=entry,
            sell=leave,
            offsets=offsets,
            back=back,
            answers=_answers(entry, offsets, quotes.post_only, longest),
            exits=exits,
            hold=quotes.hold,
            rates=np.array(ground.rates),
            next_live=gapless if entry.live.all() else np.minimum.accumulate(live[::-1])[::-1],
        )

    def walk(self, at: int, horizons: Sequence[int], log: np.ndarray) -> tuple[np.ndarray, int]:
        """Sums of each horizon, and how many orders the last had."""
        sums = np.zeros((len(horizons), grid.WALKED))
        orders = grid.walk(
            self.buy,
            self.sell,
            self.offsets,
            self.back,
            at,
            self.answers[at],
            self.exits[at],
            np.array(horizons, dtype=np.int64),
            self.hold or 0,
            self.rates,
            self.next_live,
            sums,
            log,
        )
        return sums, orders


def _trip_row(ground: Ground, sums: np.ndarray) -> dict[str, Any]:
    quoted, filled, maker, fills, trips, wins, wait, paid, gain, open_gain, pnl = sums.tolist()
    money, currency = ground.money, ground.currency
    return {
        "entries": int(quoted),
        "entries_filled": int(filled),
        "fill_rate": filled / quoted if quoted else None,
        "fills": int(fills),
        "maker_ratio": maker / fills if fills else None,
        "resting_s": wait / quoted / 1e9 if quoted else None,
        "round_trips": int(trips),
        "win_rate": wins / trips if trips else None,
        "mean_pnl_bps": 1e4 * pnl / trips if trips else None,
        "total_pnl_bps": 1e4 * pnl,
        f"fees_{currency}": money * paid,
        f"realised_{currency}": money * gain,
        f"equity_{currency}": money * (gain + open_gain - paid),
    }


def _answers(path: grid.Path, offsets: grid.Offsets, post_only: bool, longest: int) -> np.ndarray:
    kind = np.int16 if longest <= np.iinfo(np.int16).max >> 2 else np.int32
    out = np.zeros((len(offsets.factor), len(path.ts)), dtype=kind)
    grid.first_fills(path, offsets, post_only, out)
    return out


Members = list[tuple[int, list[tuple[int, int]]]]


def _chunks(
    combinations: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[float], Members]]:
    """Combinations by offset, deepest last, some offsets at a time: the name of the offset, its
    values, and for each the numbers and horizons of its combinations."""
    by_offset: dict[str, dict[float, list[tuple[int, int]]]] = {}
    for number, combination in enumerate(combinations):
        name, value, horizon = parameters(combination)
        by_offset.setdefault(name, {}).setdefault(value, []).append((number, horizon))
    out: list[tuple[str, list[float], Members]] = []
    for name, found in by_offset.items():
        values = sorted(found)
        for start in range(0, len(values), TOGETHER):
            part = values[start : start + TOGETHER]
            out.append((name, part, [(at, found[value]) for at, value in enumerate(part)]))
    return out


def _lots(tape: SymbolTape, quantity: float) -> int:
    """The quantity in lots; `InvalidInput` where the instrument does not allow it."""
    units, instrument = tape.units, tape.instrument
    whole = int(units.quantities(np.array([quantity]))[0])
    step = max(1, round(float(instrument.lot_size) * units.quantity))
    if whole / units.quantity != quantity or whole % step:
        fix = f"is not a multiple of the lot {instrument.lot_size} of {instrument.symbol}"
        raise InvalidInput("quantity", quantity, fix)
    least = instrument.min_quantity
    if least is not None and quantity < float(least):
        raise InvalidInput("quantity", quantity, f"is below the min_quantity {least}")
    return whole
