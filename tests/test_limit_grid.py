"""Limit orders described instead of listed: the shared pass gives what one by one would."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import execkit as ek
from execkit.limit_grid import independent, round_trips
from execkit.limit_orders import Assumptions
from execkit.models.venue_fees import venue_fees
from execkit.summaries import summarise
from execkit.sweeps import CombinationFailed

MINUTE = 60_000_000_000
START = 1_767_571_200_000_000_000
FEE = ek.FeeModel(maker_bps=1.0, taker_bps=5.0)


def bars(draw: np.random.Generator, n: int, *, gaps: bool, dry: bool, tick: float = 0.5) -> Any:
    """A random walk in ticks with ties, opens that jump, missing bars and bars without volume."""
    close = 1000 + np.cumsum(draw.integers(-4, 5, n))
    opened = np.r_[close[0], close[:-1]] + draw.integers(-2, 3, n)
    high = np.maximum(opened, close) + draw.integers(0, 4, n)
    low = np.minimum(opened, close) - draw.integers(0, 4, n)
    step = draw.choice([1, 1, 1, 3], n) if gaps else np.ones(n, dtype=int)
    volume = np.where(draw.random(n) < (0.2 if dry else 0.0), 0.0, 50.0)
    frame = {
        "ts_ns": START + MINUTE * np.cumsum(step),
        "open": opened * tick,
        "high": high * tick,
        "low": low * tick,
        "close": close * tick,
        "volume": volume,
    }
    instrument = ek.Instrument(
        symbol="BTCUSDT", base="BTC", quote="USDT", tick_size=tick, lot_size="0.1"
    )
    return ek.MarketData.from_bars(frame, symbol="BTCUSDT", interval="1m", instruments=[instrument])


def cases() -> Any:
    return some.fixed_dictionaries(
        {
            "seed": some.integers(0, 10**6),
            "n": some.integers(2, 60),
            "gaps": some.booleans(),
            "dry": some.booleans(),
            "side": some.sampled_from(["buy", "sell"]),
            "post_only": some.booleans(),
            "touch": some.booleans(),
            "queue": some.booleans(),
            "half_spread_bps": some.sampled_from([0.0, 3.0]),
            "offsets": some.sampled_from(
                [("offset_bps", [0, 7.5, 20, 60]), ("offset_ticks", [0, 1, 2, 9])]
            ),
        }
    )


def market_and_model(case: dict[str, Any]) -> tuple[Any, Any]:
    draw = np.random.default_rng(case["seed"])
    market = bars(draw, case["n"], gaps=case["gaps"], dry=case["dry"])
    names = ("touch", "queue", "half_spread_bps")
    model = ek.FillModel(name="case", participation=None, **{k: case[k] for k in names})
    return market, model


def grid_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    name, values = case["offsets"]
    return [{name: value, "horizon": horizon} for value in values for horizon in (1, 3, 80)]


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        close = value if value is None else pytest.approx(value, rel=1e-9, abs=1e-7)
        assert found[name] == close, name


# ------------------------------------------------------------------------- independent orders


@settings(max_examples=15, deadline=None)
@given(case=cases(), every=some.integers(1, 4))
def test_one_pass_for_all_gives_what_simulate_gives_for_each(
    case: dict[str, Any], every: int
) -> None:
    market, model = market_and_model(case)
    quotes = ek.LimitOrders(
        quantity=0.2, side=case["side"], post_only=case["post_only"], every=every
    )
    grid = grid_of(case)

    rows = independent(quotes, market, grid, Assumptions(fill=model, fee=FEE))

    assert rows is not None
    for cell, row in zip(grid, rows, strict=True):
        same(row, summarise(ek.simulate(quotes(market, **cell), market, fill=model, fee=FEE)))


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_a_share_of_the_volume_that_is_never_short_is_no_cap(share: float) -> None:
    market = bars(np.random.default_rng(3), 200, gaps=False, dry=True)
    model = ek.FillModel(name="capped", participation=share)
    quotes, cell = ek.LimitOrders(quantity=0.2), {"offset_ticks": 2, "horizon": 20}

    rows = independent(quotes, market, [cell], Assumptions(fill=model))
    alone = summarise(ek.simulate(quotes(market, **cell), market, fill=model))

    assert (rows is None) == (share == 0.01)  # two lots a bar then, less than some bars fill
    if rows is not None:
        same(rows[0], alone)


@pytest.mark.parametrize(
    "assumed",
    [
        {"latency": ek.LatencyModel(entry_ns=1)},
        {"fee": ek.FeeModel(tiers=(ek.FeeTier(volume=1, maker_bps=0, taker_bps=1),))},
    ],
)
def test_what_cannot_be_shared_is_left_to_simulate(assumed: dict[str, Any]) -> None:
    market = bars(np.random.default_rng(3), 50, gaps=False, dry=False)
    model = ek.FillModel(name="open", participation=None)
    cell = {"offset_bps": 3, "horizon": 2}
    trips = ek.RoundTrips(quantity=0.2)

    assert independent(ek.LimitOrders(quantity=0.2), market, [cell], Assumptions(**assumed)) is None
    with pytest.raises(ek.InvalidInput, match=next(iter(assumed))):
        round_trips(trips, market, [cell], Assumptions(fill=model, **assumed))


# ------------------------------------------------------------------------- round trips


@dataclass
class Slow:
    """Round trips told bar by bar, in plain numbers, for one who buys or sells."""

    market: Any
    model: Any
    case: dict[str, Any]
    sums: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self.market.bars.of("BTCUSDT").frame().to_dict("records")

    def taker(self, side: str, opened: float) -> float:
        half, unit = self.model.half_spread_bps / 1e4, 0.1
        whole = round(opened / unit)
        moved = math.ceil(whole * (1 + half)) if side == "buy" else math.floor(whole * (1 - half))
        return (moved if half else whole) * unit

    def limit(self, side: str, close: float, offset: tuple[str, float]) -> float:
        sign, (name, value) = (-1 if side == "buy" else 1), offset
        if name == "offset_ticks":
            return close + sign * 0.5 * value
        ticks = close * (1 + sign * value / 1e4) / 0.5
        return 0.5 * (math.floor(ticks + 1e-6) if side == "buy" else math.ceil(ticks - 1e-6))

    def rest(
        self, side: str, placed: int, limit: float, life: int, post_only: bool
    ) -> tuple[int, float | None, bool]:
        """(bar at which it ended, price or None, as maker?) of a limit order."""
        sign = 1 if side == "buy" else -1
        touch = self.model.touch and not self.model.queue
        for bar in range(placed + 1, min(placed + life, len(self.rows) - 1) + 1):
            row = self.rows[bar]
            if bar == placed + 1:
                price = self.taker(side, row["open"])
                if sign * (limit - price) > -1e-9:
                    if post_only:
                        return bar, None, False
                    if row["volume"] > 0:
                        return bar, price, False
            extreme = row["low"] if side == "buy" else row["high"]
            beyond = sign * (limit - extreme)
            if row["volume"] > 0 and (beyond > 1e-9 or (touch and abs(beyond) < 1e-9)):
                return bar, limit, True
        return placed + life, None, False

    def run(self, offset: tuple[str, float], horizon: int, hold: int, leave: str) -> dict[str, Any]:
        side, last = self.case["side"], len(self.rows) - 1
        other, sign = ("sell", 1) if side == "buy" else ("buy", -1)
        at = entries = filled = fills = makers = trips = wins = 0
        fees = gain = pnl = held = 0.0
        while at < last:
            entries += 1
            limit = self.limit(side, self.rows[at]["close"], offset)
            bar, paid, maker = self.rest(side, at, limit, horizon, self.case["post_only"])
            at = bar
            if paid is None:
                continue
            filled, fills, makers = filled + 1, fills + 1, makers + maker
            fee = paid * (1 if maker else 5) / 1e4
            got, maker = None, False
            if leave == "limit" and bar < last:
                back = self.limit(other, self.rows[bar]["close"], offset)
                at, got, maker = self.rest(other, bar, back, hold, False)
            if got is None:
                at = bar + hold + 1
                while at <= last and self.rows[at]["volume"] == 0:
                    at += 1
                got = self.taker(other, self.rows[at]["open"]) if at <= last else None
            if got is None:
                fees, held = fees + fee, sign * (self.rows[last]["close"] - paid)
                break
            fee += got * (1 if maker else 5) / 1e4
            fills, makers, trips = fills + 1, makers + maker, trips + 1
            fees, gain = fees + fee, gain + sign * (got - paid)
            wins += sign * (got - paid) > fee
            pnl += 1e4 * (sign * (got - paid) - fee) / paid
        return {
            "entries": entries,
            "entries_filled": filled,
            "fills": fills,
            "maker_ratio": makers / fills if fills else None,
            "round_trips": trips,
            "win_rate": wins / trips if trips else None,
            "total_pnl_bps": pnl,
            "fees_USDT": 0.2 * fees,
            "realised_USDT": 0.2 * gain,
            "equity_USDT": 0.2 * (gain + held - fees),
        }


trip_cases = some.tuples(
    cases(), some.sampled_from(["market", "limit"]), some.sampled_from([None, 1, 4])
)


@settings(max_examples=40, deadline=None)
@given(trip_cases)
def test_round_trips_are_those_of_a_slow_walk_from_bar_to_bar(
    drawn: tuple[dict[str, Any], str, int | None],
) -> None:
    case, leave, hold = drawn
    market, model = market_and_model(case)
    quotes = ek.RoundTrips(
        quantity=0.2, side=case["side"], post_only=case["post_only"], exit=leave, hold=hold
    )
    slow, grid = Slow(market, model, case), grid_of(case)

    rows = round_trips(quotes, market, grid, Assumptions(fill=model, fee=FEE))

    for cell, row in zip(grid, rows, strict=True):
        horizon = cell["horizon"]
        offset = next((k, v) for k, v in cell.items() if k != "horizon")
        wanted = slow.run(offset, horizon, hold or horizon, leave)
        same({name: row[name] for name in wanted}, wanted)


@settings(max_examples=15, deadline=None)
@given(trip_cases)
def test_round_trips_are_what_simulate_makes_of_their_orders(
    drawn: tuple[dict[str, Any], str, int | None],
) -> None:
    case, leave, hold = drawn
    market, model = market_and_model(case)
    quotes = ek.RoundTrips(
        quantity=0.2, side=case["side"], post_only=case["post_only"], exit=leave, hold=hold
    )
    for cell in grid_of(case)[::3]:
        (row,) = round_trips(quotes, market, [cell], Assumptions(fill=model, fee=FEE))
        orders = quotes.orders(market, fill=model, **cell)
        alone = ek.simulate(orders, market, fill=model, fee=FEE)
        summary = summarise(alone)
        money = ("fees_USDT", "realised_USDT", "equity_USDT")
        entries = alone.orders[alone.orders["side"] == case["side"]]

        same({k: row[k] for k in money}, {k: summary[k] for k in money})
        assert row["fills"] == summary["fills"]
        assert row["entries"] == len(entries)
        assert row["entries_filled"] == int((entries["filled_quantity"] > 0).sum())
        done = alone.fills.groupby("client_order_id")["venue_ts_ns"].first()
        ended = entries["client_order_id"].map(done)
        ended = ended.where(ended.notna(), entries["done_ts_ns"])
        ended = ended.fillna(market.span()[1] - 1).to_numpy(dtype=np.float64)
        rested = (ended - entries["ts_ns"].to_numpy(dtype=np.float64)).mean() / 1e9
        assert row["resting_s"] == pytest.approx(rested, abs=1e-6)
        # never more than one position, and flat or in one at the end
        held = alone.positions["quantity"].abs()
        assert held.max() <= 0.2 + 1e-12 if len(held) else True


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "fields, wrong",
    [
        ({"quantity": 0.0}, "quantity"),
        ({"quantity": 1.0, "side": "long"}, "side"),
        ({"quantity": 1.0, "every": 0}, "every"),
    ],
)
def test_a_description_says_which_of_its_fields_is_wrong(
    fields: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ek.InvalidInput) as caught:
        ek.LimitOrders(**fields)
    assert caught.value.field == wrong


@pytest.mark.parametrize(
    "quantity, cell, wrong",
    [
        (0.2, {"offset_bps": 1}, "horizon"),
        (0.2, {"offset_bps": 1, "horizon": 0}, "horizon"),
        (0.2, {"offset_bps": 1, "horizon": 1.5}, "horizon"),
        (0.2, {"horizon": 1}, "offset"),
        (0.2, {"horizon": 1, "offset_bps": 1, "offset_ticks": 1}, "offset"),
        (0.2, {"horizon": 1, "offset_bps": -1}, "offset_bps"),
        (0.2, {"horizon": 1, "offset_ticks": 0.5}, "offset_ticks"),
        (0.2, {"horizon": 1, "offset_bps": 10_000}, "offset_bps"),
        (0.2, {"horizon": 1, "offset_bps": 1, "depth": 3}, "depth"),
        (0.25, {"horizon": 1, "offset_bps": 1}, "quantity"),
    ],
)
def test_a_combination_says_what_is_wrong_with_it(
    quantity: float, cell: dict[str, Any], wrong: str
) -> None:
    market = bars(np.random.default_rng(3), 50, gaps=False, dry=False)
    model = ek.FillModel(name="open", participation=None)
    with pytest.raises(ek.InvalidInput) as caught:
        round_trips(ek.RoundTrips(quantity=quantity), market, [cell], Assumptions(fill=model))
    assert caught.value.field == wrong


def test_round_trips_refuse_a_share_of_the_volume_that_would_fill_a_part() -> None:
    market = bars(np.random.default_rng(3), 50, gaps=False, dry=False)
    cell = {"offset_bps": 1, "horizon": 3}
    small, large = ek.RoundTrips(quantity=0.5), ek.RoundTrips(quantity=5.1)

    with pytest.raises(ek.InvalidInput, match="in 50 bars"):
        round_trips(large, market, [cell], Assumptions(fill="queue"))
    free = ek.FillModel(name="free", participation=None)
    capped = round_trips(small, market, [cell], Assumptions(fill="queue"))
    assert capped == round_trips(small, market, [cell], Assumptions(fill=free))


def test_the_orders_table_is_one_that_simulate_takes() -> None:
    market = bars(np.random.default_rng(3), 50, gaps=True, dry=False)
    orders = ek.LimitOrders(quantity=0.2, every=7)(market, offset_ticks=2, horizon=3)

    assert isinstance(orders, pd.DataFrame)
    assert len(orders) == 7
    closes = market.bars.of("BTCUSDT")["close"][0:49:7]
    assert np.allclose(orders["price"], closes - 1.0)


def test_on_recorded_bars_the_shared_pass_is_simulate_too(recorded: Path) -> None:
    """Real bars: missing minutes, ties, jumps; two thousand minutes of them."""
    market = ek.MarketData.load(recorded / "bitfinex_ohlcv_1m" / "LTCUSD_1m_2019H1.parquet")
    first, _ = market.span()
    market = market.select(market.symbols[0], first, first + 2000 * MINUTE)
    (instrument,) = market.instruments.values()
    quantity = 100 * float(instrument.lot_size)
    model = ek.FillModel(name="touch", queue=False, participation=None, half_spread_bps=1.0)
    for side in ("buy", "sell"):
        quotes = ek.LimitOrders(quantity=quantity, side=side, every=3)
        trips = ek.RoundTrips(quantity=quantity, side=side, exit="limit")
        for cell in ({"offset_bps": 4, "horizon": 7}, {"offset_ticks": 3, "horizon": 60}):
            (row,) = independent(quotes, market, [cell], Assumptions(fill=model, fee=FEE)) or [{}]
            alone = ek.simulate(quotes(market, **cell), market, fill=model, fee=FEE)
            same(row, summarise(alone))
            assert 0 < row["fill_rate"] < 1
            (row,) = round_trips(trips, market, [cell], Assumptions(fill=model, fee=FEE))
            orders = trips.orders(market, fill=model, **cell)
            alone = ek.simulate(orders, market, fill=model, fee=FEE)
            money = {k: v for k, v in summarise(alone).items() if k.startswith(("fees", "equity"))}
            same({k: row[k] for k in money}, money)
            assert row["round_trips"] > 20


class FlatFee(ek.FeeModel):
    """Seven for every fill."""

    def charge(self, notional: Any, *more: Any, **how: Any) -> Any:
        return np.full(len(notional), 7.0)


class TwoBarsLate(ek.LatencyModel):
    def delay(self, leg: Any, rows: Any, seed: int = 0, ts_ns: Any = None) -> Any:
        return np.full(len(rows), 2 * MINUTE if leg == "entry" else 0)


@pytest.mark.parametrize("own", [{"fee": FlatFee()}, {"latency": TwoBarsLate()}])
def test_a_model_derived_from_a_standard_one_is_asked_and_not_taken_for_it(own: Any) -> None:
    market = bars(np.random.default_rng(5), 60, gaps=False, dry=False)
    quotes = ek.LimitOrders(quantity=0.1)
    row = ek.sweep(quotes, {"offset_bps": [5], "horizon": [4]}, market, progress=False, **own)
    one = ek.simulate(quotes(market, offset_bps=5, horizon=4), market, **own)
    told = summarise(one)
    assert told["fills"] > 0
    assert {name: row[name][0] for name in ("fills", "fees_USDT", "equity_USDT")} == {
        name: told[name] for name in ("fills", "fees_USDT", "equity_USDT")
    }
    # one that adds only words charges as the standard one does
    grid = {"offset_bps": [5], "horizon": [4], "fee": [venue_fees("okx", "linear")]}
    assert ek.sweep(ek.RoundTrips(quantity=0.1), grid, market, progress=False)["fills"][0] > 0
    with pytest.raises(CombinationFailed, match=next(iter(own))):
        ek.sweep(
            ek.RoundTrips(quantity=0.1),
            {"offset_bps": [5], "horizon": [4]},
            market,
            progress=False,
            **own,
        )
