"""Fee, latency and fill models: their values, ranges and words."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit.errors import InvalidInput, PropertyBroken
from execkit.market import MarketData
from execkit.models import (
    OPTIMISTIC,
    PESSIMISTIC,
    QUEUE,
    FeeModel,
    FeeTier,
    FillModel,
    LatencyModel,
    check_fee_model,
    check_fill_model,
    drawn,
    fill_model,
)

DAY = 86_400_000_000_000
TIERS = (
    FeeTier(volume=100, maker_bps=1, taker_bps=5),
    FeeTier(volume=300, maker_bps=0, taker_bps=2),
)


def charge(fee: FeeModel, ts: list[int], notional: list[float], **more: object) -> list[float]:
    values = np.array(notional, dtype=float)
    is_maker = np.array(more.pop("maker", [False] * len(ts)))
    volume = fee.volume_before(np.array(ts), values)
    return fee.charge(values, values / 50, is_maker, volume, **more).tolist()


def test_a_tier_counts_the_volume_strictly_before_the_fill_within_the_window() -> None:
    """100, then 100, then 200 quote units: rates 10, 5 (from 100 on) and 5; 31 days later 10."""
    fee = FeeModel(maker_bps=2, taker_bps=10, tiers=TIERS)
    got = charge(fee, [0, 1, 2, 3, 40 * DAY], [100, 100, 200, 100, 100])

    assert got == pytest.approx([0.1, 0.05, 0.1, 0.02, 0.1])


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 500), st.booleans()), min_size=1),
    st.integers(1, 40),
)
def test_tiers_agree_with_a_plain_loop(fills: list[tuple[int, int, bool]], window: int) -> None:
    """For each fill: add what was traded in the window before it, look the rate up, multiply."""
    fills = sorted(fills, key=lambda f: f[0])
    fee = FeeModel(maker_bps=3, taker_bps=10, tiers=TIERS, window_days=window)
    got = charge(
        fee, [f[0] * DAY for f in fills], [f[1] for f in fills], maker=[f[2] for f in fills]
    )
    for i, (day, amount, maker) in enumerate(fills):
        before = sum(a for d, a, _ in fills[:i] if d * DAY >= day * DAY - window * DAY)
        tier = [t for t in TIERS if before >= t.volume]
        maker_bps, taker_bps = (tier[-1].maker_bps, tier[-1].taker_bps) if tier else (3, 10)
        assert got[i] == pytest.approx(amount * (maker_bps if maker else taker_bps) / 1e4)


def test_currencies_and_their_names() -> None:
    """Base and quote by the instrument; settle is base for coin-margined contracts."""
    assert FeeModel().currency_of("BTC", "USDT") == "USDT"
    assert FeeModel(currency="base").currency_of("BTC", "USDT") == "BTC"
    assert FeeModel(currency="settle").currency_of("BTC", "USD", inverse=True) == "BTC"
    assert FeeModel(currency="settle").currency_of("BTC", "USDT") == "USDT"
    assert charge(FeeModel(taker_bps=10, currency="base"), [0], [100]) == [0.002]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"taker_bps": math.nan}, "finite"),
        ({"currency": "BNB"}, "needs? its price|need its price"),
        ({"currency": "BNB", "third_price": 0}, "need its price"),
        ({"tiers": (TIERS[1], TIERS[0])}, "rising volume"),
        ({"taker_bps": "4"}, "taker_bps = '4': pass a finite number"),
        ({"maker_bps": None}, "maker_bps"),
        ({"third_price": "600", "currency": "BNB"}, "third_price"),
        ({"currency": None}, "currency"),
        ({"window_days": -3}, "window_days"),
        ({"window_days": 1.5}, "window_days"),
        ({"tiers": [TIERS[0]]}, "tiers"),
        ({"tiers": (5,)}, "tiers = 5 in row 0"),
    ],
)
def test_a_fee_model_refuses_what_it_cannot_charge(arguments: dict, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        FeeModel(**arguments)


@pytest.mark.parametrize("name", ["volume", "maker_bps", "taker_bps"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "4", None])
def test_a_fee_tier_names_the_number_that_it_refuses(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        FeeTier(**{"volume": 1.0, "maker_bps": 1.0, "taker_bps": 2.0, name: value})
    assert error.value.field == name


@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_a_delay_depends_on_seed_leg_and_row_alone(seed: int, rows: list[int]) -> None:
    """Any order or subset of rows draws the same delays, none below the fixed part."""
    model = LatencyModel(entry_ns=100, cancel_ns=200, response_ns=300, jitter_ns=1_000_000)
    whole = model.delay("entry", np.array(rows), seed)

    assert (whole >= 100).all()
    for at, row in enumerate(rows):
        assert model.delay("entry", np.array([row]), seed)[0] == whole[at]


def test_jitter_has_the_mean_that_it_names() -> None:
    """100,000 draws of an exponential with mean 1,000,000: within 2 %."""
    rows = np.arange(100_000)
    model = LatencyModel(jitter_ns=1_000_000)

    assert model.delay("entry", rows, 1).mean() == pytest.approx(1_000_000, rel=0.02)
    legs = [model.delay(leg, rows[:9], 1).tolist() for leg in ("entry", "cancel", "response")]
    assert legs[0] != legs[1] != legs[2]
    with pytest.raises(InvalidInput, match="whole nanoseconds"):
        LatencyModel(entry_ns=-1)
    with pytest.raises(InvalidInput, match="whole nanoseconds"):
        LatencyModel(entry_ns=0.5)  # type: ignore[arg-type]


def test_fill_models_have_names_and_travel() -> None:
    """The three standard models by name; any model can be pickled and compared."""
    assert fill_model("queue") is QUEUE
    assert fill_model(PESSIMISTIC) is PESSIMISTIC
    assert pickle.loads(pickle.dumps(OPTIMISTIC)) == OPTIMISTIC
    with pytest.raises(InvalidInput, match="optimistic"):
        fill_model("lucky")


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", ""),
        ("participation", 0.0),
        ("participation", 1.5),
        ("stop_slip", -0.1),
        ("stop_slip", math.nan),
        ("half_spread_bps", -1.0),
        ("intrabar", "lucky"),
        ("ladder_levels", 0),
    ],
)
def test_a_fill_model_names_the_value_that_it_refuses(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        FillModel(**({"name": "mine"} | {field: value}))  # type: ignore[arg-type]
    assert caught.value.field == field


# conformance --------------------------------------------------------------------------------------


class Flat(FeeModel):
    """One quote unit a fill, whatever its size."""

    def charge(
        self,
        notional: np.ndarray,
        base_value: np.ndarray,
        is_maker: np.ndarray,
        volume: np.ndarray,
        *,
        inverse: bool = False,
    ) -> np.ndarray:
        return np.ones(len(notional))


class Batch(FeeModel):
    """Charges every fill the mean fee of those it is asked about."""

    def charge(
        self,
        notional: np.ndarray,
        base_value: np.ndarray,
        is_maker: np.ndarray,
        volume: np.ndarray,
        *,
        inverse: bool = False,
    ) -> np.ndarray:
        return np.full(len(notional), float(notional.mean()) / 1e4)


class Foresight(FeeModel):
    """Counts all volume of the run, also what is yet to come."""

    def volume_before(self, ts_ns: np.ndarray, notional: np.ndarray) -> np.ndarray:
        return np.full(len(ts_ns), float(notional.sum()))


class Rebate(FeeModel):
    """A class of one's own: makers are paid half of what takers pay."""

    def charge(
        self,
        notional: np.ndarray,
        base_value: np.ndarray,
        is_maker: np.ndarray,
        volume: np.ndarray,
        *,
        inverse: bool = False,
    ) -> np.ndarray:
        return np.where(is_maker, -2e-4, 4e-4) * (base_value if inverse else notional)


@pytest.mark.parametrize(
    "fee",
    [
        FeeModel(maker_bps=-1, taker_bps=4),
        FeeModel(taker_bps=4, currency="BNB", third_price=600.0),
        FeeModel(taker_bps=4, tiers=TIERS, start_volume=150.0),
        Rebate(),
    ],
)
def test_our_fee_models_and_one_of_ones_own_pass_the_check(fee: FeeModel) -> None:
    check_fee_model(fee)


@pytest.mark.parametrize(
    "fee, words",
    [
        (Flat(), "twice the notional is charged twice the fee; but fill 0 gave 1.0, not 2.0"),
        (Batch(), "fill's fee depends on itself alone"),
        (Foresight(), "earlier fills only"),
        (4.0, "float does not"),
    ],
)
def test_the_fee_check_names_the_property_and_shows_what_broke_it(fee: Any, words: str) -> None:
    with pytest.raises(PropertyBroken, match=words):
        check_fee_model(fee)


@pytest.mark.parametrize("model", [PESSIMISTIC, QUEUE, OPTIMISTIC, FillModel(name="mine")])
def test_our_fill_models_pass_the_check(model: FillModel) -> None:
    check_fill_model(model, streams=4)


def wrong(change: Any) -> Any:
    """`run` of the check, with fills changed as a broken matching would change them."""
    true = drawn.run

    def changed(orders: pd.DataFrame, market: MarketData, model: FillModel) -> pd.DataFrame:
        return change(true(orders, market, model), orders, market)

    return changed


def greedy(fills: pd.DataFrame, *_: object) -> pd.DataFrame:
    return fills.assign(quantity=fills["quantity"] * 2)


def generous(fills: pd.DataFrame, orders: pd.DataFrame, _: object) -> pd.DataFrame:
    side = orders.set_index("client_order_id")["side"].reindex(fills["client_order_id"].astype(str))
    sign = np.where(side == "buy", 1, -1)
    return fills.assign(price=fills["price"] + 5 * sign)


def prophetic(fills: pd.DataFrame, _: object, market: MarketData) -> pd.DataFrame:
    """Fill prices that know how much data there is."""
    rows = sum(len(table) for table in market.tables.values())
    return fills.assign(price=fills["price"] * (1 - rows * 1e-12))


def overflowing(fills: pd.DataFrame, orders: pd.DataFrame, _: MarketData) -> pd.DataFrame:
    """Every order gets all that it asked for, where it got anything."""
    asked = orders.set_index("client_order_id")["quantity"]
    first = fills.drop_duplicates("client_order_id")
    return first.assign(quantity=asked.reindex(first["client_order_id"].astype(str)).to_numpy())


def restless(fills: pd.DataFrame, *_: object) -> pd.DataFrame:
    return fills.iloc[: len(fills) - next(COUNTER) % 2]


COUNTER = itertools.count()


@pytest.mark.parametrize(
    "change, words",
    [
        (greedy, "S2: never more than the order asked; but order order-"),
        (generous, "S2: never worse than the limit; but order order-"),
        (overflowing, "S2: a (print|bar) gives at most"),
        (prophetic, "S1: cutting the data .* cut at"),
        (restless, "S5: the same call"),
    ],
)
def test_the_fill_check_names_the_property_and_shows_what_broke_it(
    monkeypatch: pytest.MonkeyPatch, change: Any, words: str
) -> None:
    """The kernel itself is sound, so its answers are spoilt on the way to the check."""
    monkeypatch.setattr(drawn, "run", wrong(change))
    with pytest.raises(PropertyBroken, match=words):
        check_fill_model(QUEUE, streams=4)


@given(
    st.floats(-50, 50),
    st.floats(-50, 50),
    st.floats(0, 1e12),
    st.floats(1e-9, 1e9),
    st.booleans(),
    st.sampled_from(["quote", "base", "settle", "BNB"]),
    st.booleans(),
    st.sampled_from([(), (FeeTier(volume=1e3, maker_bps=-0.5, taker_bps=1.7),)]),
)
def test_the_fee_of_one_fill_is_that_of_a_column_to_the_last_digit(
    maker: float,
    taker: float,
    notional: float,
    price: float,
    is_maker: bool,
    currency: str,
    inverse: bool,
    tiers: tuple[FeeTier, ...],
) -> None:
    model = FeeModel(
        maker_bps=maker, taker_bps=taker, currency=currency, third_price=312.7, tiers=tiers
    )
    row = (notional, notional / price, is_maker, 999.0)
    column = model.charge(*(np.array([value]) for value in row), inverse=inverse)

    assert repr(model.charge_one(*row, inverse=inverse)) == repr(float(column[0]))
