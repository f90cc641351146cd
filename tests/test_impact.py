"""Impact models against their formulas, and what they do to the fills of a run."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.domain import Instrument
from execkit.errors import InvalidInput, PropertyBroken
from execkit.market import MarketData
from execkit.models import (
    ExponentialDecay,
    LatencyModel,
    PowerDecay,
    PropagatorImpact,
    SquareRootImpact,
    check_impact_model,
)
from execkit.models.base import OwnFills
from execkit.models.running import earlier
from execkit.simulator import simulate

START = 1_700_000_000_000_000_000
S = 1_000_000_000
ROOT = SquareRootImpact(prefactor=0.8, daily_volume=10_000.0, sigma=0.03)
FADING = PropagatorImpact(
    amplitude_bps=5_000.0, daily_volume=10_000.0, kernel=ExponentialDecay(half_life_ns=10.0 * S)
)
BTC = Instrument(symbol="BTCUSDT", tick_size="0.5", lot_size="1", base="BTC", quote="USDT")
COIN = Instrument(
    symbol="BTCUSD",
    tick_size="0.5",
    lot_size="1",
    base="BTC",
    quote="USD",
    kind="inverse",
    contract_size="100",
)


def fills(parent: list[int], seconds: list[float], signed: list[float]) -> OwnFills:
    n = len(parent)
    ts = START + np.rint(np.array(seconds) * S).astype(np.int64)
    zero = np.zeros(n, dtype=np.int64)
    columns = (np.array(parent), ts, zero, ("BTCUSDT",), np.array(signed, dtype=float))
    return OwnFills(*columns, np.full(n, 30_000.0))


# formulas -----------------------------------------------------------------------------------------


def test_the_square_root_law_peaks_and_averages_as_published() -> None:
    """R18. 100 of 10,000 at 3 % a day and Y = 0.8: 0.8 * 300 bps * sqrt(0.01) = 24 bps at the peak,
    two thirds of it, 16, on average; four times the quantity moves twice as far."""
    assert ROOT.peak_bps(100) == pytest.approx(24.0)
    assert ROOT.average_bps(100) == pytest.approx(16.0)
    assert ROOT.peak_bps(-400) == pytest.approx(48.0)
    by_symbol = SquareRootImpact(prefactor=1, daily_volume={"A": 100.0}, sigma={"A": 0.01})
    assert by_symbol.peak_bps(1, "A") == pytest.approx(10.0)
    with pytest.raises(InvalidInput, match=r"daily_volume = 'B'.*known: \['A'\]"):
        by_symbol.peak_bps(1, "B")


@pytest.mark.parametrize("exponent", [0.4, 0.5, 0.6, 1.0])
def test_an_order_in_many_slices_pays_the_average_of_the_law(exponent: float) -> None:
    """2,000 equal slices: the mean displacement is peak / (1 + exponent) within half a slice."""
    model = SquareRootImpact(prefactor=1, daily_volume=1e4, sigma=0.03, exponent=exponent)
    n, total = 2_000, 250.0
    got = model.displacement_bps(fills([0] * n, list(range(n)), [total / n] * n))
    assert got.mean() == pytest.approx(model.average_bps(total), rel=2e-3)
    assert got[-1] == pytest.approx(model.peak_bps(total), rel=1e-3)


def test_a_propagated_displacement_halves_in_its_half_life() -> None:
    """1 % of a day displaces 50 bps; 25 are left after 10 s; then both together, 10 s later."""
    got = FADING.displacement_bps(fills([0, 0, 0], [0, 10, 20], [100.0, 100.0, 100.0]))
    assert got.tolist() == pytest.approx([0, 25, 25 / 2 + 25])


def test_the_exponential_short_cut_agrees_with_the_sum_that_defines_it() -> None:
    """The same kernel as a bare function takes the general way."""
    rng = np.random.default_rng(2)
    given = fills(
        [0] * 40 + [1] * 40,
        np.sort(rng.integers(0, 100, 40)).tolist() + np.sort(rng.integers(0, 100, 40)).tolist(),
        rng.choice([-3.0, 1.0, 2.0], 80).tolist(),
    )
    decay = ExponentialDecay(half_life_ns=7.0 * S)
    short, long = (
        PropagatorImpact(amplitude_bps=900, daily_volume=50, kernel=k).displacement_bps(given)
        for k in (decay, lambda age: decay(age))
    )
    assert short == pytest.approx(long, abs=1e-9)
    assert abs(short).max() > 100


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(-5, 5)), max_size=25),
    st.sampled_from([0.0, 0.1, 0.7]),
)
def test_running_sums_agree_with_a_plain_loop(
    rows: list[tuple[int, int, int]], rate: float
) -> None:
    rows = sorted(rows, key=lambda row: row[:2])
    parent, ts, add = (np.array([r[k] for r in rows], dtype=np.int64) for k in range(3))
    got = earlier(parent, ts, add.astype(float), rate)
    for i in range(len(rows)):
        before = [
            a * math.exp(-rate * (ts[i] - t)) for p, t, a in rows if p == parent[i] and t < ts[i]
        ]
        assert got[i] == pytest.approx(sum(before), abs=1e-9)


@pytest.mark.parametrize(
    "kernel",
    [
        ExponentialDecay(half_life_ns=5.0 * S),
        PowerDecay(scale_ns=1.0 * S, exponent=0.6),
        lambda age: np.ones(len(age)),
    ],
)
def test_decays_that_are_positive_semidefinite_are_taken(kernel: Any) -> None:
    check_impact_model(PropagatorImpact(amplitude_bps=10, daily_volume=1e3, kernel=kernel))


@pytest.mark.parametrize(
    "kernel, words",
    [
        (lambda age: (age < 5e9).astype(float), "not positive semidefinite.*eigenvalue"),
        (lambda age: np.exp(-((age / 3e9) ** 4)), "not positive semidefinite"),
        (lambda age: 1 - age / 1e12, "not positive semidefinite"),
        (lambda age: -np.ones(len(age)), "not positive semidefinite"),
        (lambda age: np.where(age > 0, age, np.nan) ** -0.5, "finite weight"),
        (lambda age: 1.0, "one finite weight an age"),
        ("exponential", "ExponentialDecay"),
    ],
)
def test_a_decay_that_would_pay_for_a_round_trip_is_refused(kernel: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        PropagatorImpact(amplitude_bps=10, daily_volume=1e3, kernel=kernel)


def test_with_an_accepted_decay_no_round_trip_earns_by_impact_alone() -> None:
    """Cost of a schedule x at times t is x' G x / 2 with each fill at half of its own impact, plus
    what came before; 300 random schedules that sum to zero, on each built-in decay."""
    rng = np.random.default_rng(4)
    for kernel in (ExponentialDecay(3.0 * S), PowerDecay(1.0 * S, 0.6)):
        model = PropagatorImpact(amplitude_bps=1e4, daily_volume=1.0, kernel=kernel)
        for _ in range(300):
            n = int(rng.integers(2, 12))
            seconds = np.sort(rng.uniform(0, 60, n))
            x = rng.normal(size=n)
            x -= x.mean()
            before = model.displacement_bps(fills([0] * n, seconds.tolist(), x.tolist())) / 1e4
            assert float((x * (before + x / 2)).sum()) >= -1e-12


@pytest.mark.parametrize(
    "model, field",
    [
        (lambda: SquareRootImpact(prefactor=0, daily_volume=1, sigma=1), "prefactor"),
        (lambda: SquareRootImpact(prefactor=1, daily_volume=math.nan, sigma=1), "daily_volume"),
        (lambda: SquareRootImpact(prefactor=1, daily_volume=1, sigma={"A": -1}), "sigma"),
        (lambda: SquareRootImpact(prefactor=1, daily_volume=1, sigma=1, exponent=1.5), "exponent"),
        (lambda: ExponentialDecay(half_life_ns=0), "half_life_ns"),
        (lambda: PowerDecay(scale_ns=1, exponent=-1), "exponent"),
    ],
)
def test_an_impact_model_names_the_value_that_it_refuses(model: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        model()
    assert error.value.field == field


# a run --------------------------------------------------------------------------------------------


def market(instrument: Instrument = BTC, n: int = 100) -> MarketData:
    """A book that never moves: 999.5 and 1,000.5, as much as anybody asks."""
    frame = pd.DataFrame(
        {"ts_ns": START + np.arange(n) * S, "seq": range(n), "bid": 999.5, "ask": 1000.5,
         "bid_quantity": 1e6 + np.arange(n), "ask_quantity": 1e6 + np.arange(n)}
    )  # fmt: skip
    return MarketData.from_quotes(frame, symbol=instrument.symbol, instruments=[instrument])


def orders(n: int = 10, symbol: str = "BTCUSDT", **more: object) -> pd.DataFrame:
    columns: dict[str, object] = {"ts_ns": START + np.arange(n) * S, "symbol": symbol}
    columns |= {"side": "buy", "order_type": "market", "quantity": 100.0}
    return pd.DataFrame({**columns, **more})


def test_later_fills_of_a_parent_pay_what_the_earlier_ones_moved() -> None:
    """By hand: after k buys of 100, 24 bps * sqrt(k) on 1,000.5."""
    result = simulate(orders(parent_order_id="p"), market(), impact=ROOT)
    want = 1000.5 * (1 + 24 * np.sqrt(np.arange(10)) / 1e4)
    assert result.fills["price"].to_numpy() == pytest.approx(want)
    assert result.fills["impact_cost"].to_numpy() == pytest.approx((want - 1000.5) * 100)
    assert result.orders["average_price"].to_numpy() == pytest.approx(want)
    assert result.params()["impact"]["prefactor"] == 0.8
    plain = simulate(orders(parent_order_id="p"), market())
    assert "impact_cost" not in plain.fills
    lost = plain.equity["equity"].iloc[-1] - result.equity["equity"].iloc[-1]
    assert lost == pytest.approx(result.fills["impact_cost"].sum())


def test_sells_pay_downwards_and_other_parents_do_not_pay() -> None:
    """Two parents in turn: each pays for its own fills alone, also where a strategy stands in for
    the parent."""
    for name in ("parent_order_id", "strategy_id"):
        given = orders(side=["buy", "sell"] * 5, **{name: ["a", "b"] * 5})
        got = simulate(given, market(), impact=ROOT).fills
        step = 24 * np.sqrt(np.arange(5)) / 1e4
        assert got["price"][::2].to_numpy() == pytest.approx(1000.5 * (1 + step))
        assert got["price"][1::2].to_numpy() == pytest.approx(999.5 * (1 - step))


def test_a_named_parent_is_one_whoever_worked_at_it() -> None:
    """Two strategies fill one parent in turn: the second pays for the first."""
    given = orders(2, parent_order_id="p", strategy_id=["a", "b"])
    assert simulate(given, market(), impact=ROOT).fills["impact_cost"].iloc[1] > 0


def test_a_move_never_helps() -> None:
    """A sell after buys of the same strategy could have sold into the higher price; it may not."""
    got = simulate(orders(3, side=["buy", "buy", "sell"]), market(), impact=ROOT).fills
    assert got["price"].iloc[2] == 999.5
    assert got["impact_cost"].tolist()[::2] == [0.0, 0.0]


def test_a_limit_order_pays_no_more_than_its_limit() -> None:
    """After 100, 24 bps would be 1,002.9: a limit of 1,002 caps it, a limit of 1,003 does not."""
    given = orders(3, order_type="limit", price=[1001.0, 1002.0, 1010.0])
    result = simulate(given, market(), impact=ROOT)
    assert result.fills["price"].to_numpy() == pytest.approx(
        [1000.5, 1002.0, 1000.5 * (1 + 24 * math.sqrt(2) / 1e4)]
    )


def test_what_fills_and_when_does_not_depend_on_impact() -> None:
    given = orders(20, quantity=700.0, time_in_force=["GTC", "IOC"] * 10, order_type="limit",
                   price=[1000.5, 1001.5] * 10)  # fmt: skip
    names = ["client_order_id", "side", "quantity", "venue_ts_ns", "liquidity"]
    with_, without = (simulate(given, market(), impact=i).fills for i in (FADING, None))
    pd.testing.assert_frame_equal(with_[names], without[names])
    assert (with_["impact_cost"] >= 0).all()
    assert with_["impact_cost"].sum() > 0


def test_fills_of_one_stamp_do_not_move_each_other() -> None:
    """One market order that walks a ladder of quote slices: the walk has its price already."""
    thin = pd.DataFrame(
        {"ts_ns": START + np.arange(5) * S, "seq": range(5), "bid": 999.5, "ask": 1000.5,
         "bid_quantity": 10.0, "ask_quantity": 10.0}
    )  # fmt: skip
    data = MarketData.from_quotes(thin, symbol="BTCUSDT", instruments=[BTC])
    got = simulate(orders(1, quantity=40.0), data, impact=ROOT).fills
    assert got["price"].tolist() == [1000.5, 1001.0, 1001.5, 2002.0 / 2 + 1]
    assert got["impact_cost"].sum() == 0


def test_inverse_contracts_pay_in_coin() -> None:
    """10 contracts of 100 dollars at 1,000.5, then at 1,000.5 * 1.0024: what the second buy of
    1,000 dollars lost in coin."""
    model = SquareRootImpact(prefactor=0.8, daily_volume=100_000.0, sigma=0.03)
    got = simulate(orders(2, "BTCUSD", quantity=10.0), market(COIN), impact=model)
    moved = 1000.5 * (1 + model.peak_bps(1_000) / 1e4)
    assert got.fills["price"].tolist() == pytest.approx([1000.5, moved])
    assert got.fills["impact_cost"].tolist() == pytest.approx([0, 1_000 / 1000.5 - 1_000 / moved])
    assert (got.fills["impact_cost"] >= 0).all()


def test_the_band_and_the_store_carry_impact(tmp_path: Any) -> None:
    result = simulate(orders(), market(), impact=ROOT)
    assert result.under("optimistic").fills["impact_cost"].sum() > 0
    plain = simulate(orders(), market())
    assert (result.band["equity_USDT"] < plain.band["equity_USDT"]).all()
    from execkit.store import Store

    store = Store(tmp_path / "x.duckdb")
    result.save(store)
    stored = store.sql("select price from fills order by venue_ts_ns")["price"]
    assert stored.to_numpy() == pytest.approx(result.fills["price"].to_numpy())


def test_an_impact_larger_than_the_price_is_refused() -> None:
    wild = SquareRootImpact(prefactor=1, daily_volume=1.0, sigma=3.0)
    with pytest.raises(InvalidInput, match="daily_volume and sigma"):
        simulate(orders(), market(), impact=wild)
    with pytest.raises(InvalidInput, match="impact = 'root'"):
        simulate(orders(), market(), impact="root")  # type: ignore[arg-type]


def test_a_million_fills_are_moved_in_a_second() -> None:
    """Linear in fills for the square root and the exponential decay, however long the parents."""
    n = 1_000_000
    given = OwnFills(
        np.arange(n) // 1_000, START + np.arange(n) * 1_000, np.zeros(n, dtype=np.int64),
        ("BTCUSDT",), np.ones(n), np.full(n, 30_000.0),
    )  # fmt: skip
    for model in (ROOT, FADING):
        model.displacement_bps(given)
        begun = time.perf_counter()
        model.displacement_bps(given)
        assert time.perf_counter() - begun < 1.0


# a class of one's own -----------------------------------------------------------------------------


class Own:
    """Ten bps for each earlier stamp of one-sided parents: passes."""

    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        return 10 * earlier(fills.parent, fills.ts_ns, np.sign(fills.signed), 0.0)


class Prophet(Own):
    """Knows the whole parent from its first fill on."""

    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        total = np.bincount(fills.parent, fills.signed)[fills.parent]
        first = super().displacement_bps(fills) != 0
        return np.where(first, total, 0.0)


class Crowd(Own):
    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        return super().displacement_bps(fills) * len(np.unique(fills.parent))


class Contrary(Own):
    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        return -super().displacement_bps(fills)


class Instant(Own):
    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        return np.sign(fills.signed) * 3.0


class Biased(Own):
    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        return np.abs(super().displacement_bps(fills))


@pytest.mark.parametrize("model", [ROOT, FADING, Own()], ids=lambda m: type(m).__name__)
def test_our_impact_models_and_one_of_ones_own_pass_the_check(model: Any) -> None:
    check_impact_model(model)
    assert simulate(orders(), market(), impact=model).fills["impact_cost"].sum() > 0


@pytest.mark.parametrize(
    "model, words",
    [
        (Prophet(), "later fills change nothing"),
        (Crowd(), "parents do not interact"),
        (Contrary(), "never moves the market down"),
        (Instant(), "nothing is displaced at a parent's first stamp; but fill 0 got 3.0"),
        (Biased(), "selling displaces as buying does"),
        (LatencyModel(), "LatencyModel does not"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_the_check_names_the_property_and_shows_what_broke_it(model: Any, words: str) -> None:
    with pytest.raises(PropertyBroken, match=words):
        check_impact_model(model)
