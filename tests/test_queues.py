"""Queue models: hand-computed queues, each read off the fill of one print."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

import execkit as ek
from execkit.errors import InvalidInput
from execkit.models.fill import QUEUE

START = 1_700_000_000_000_000_000


def depth(at: int, size: float, price: float = 100.0) -> dict[str, object]:
    return {"ts_ns": START + at, "seq": at, "side": "bid", "price": price, "quantity": size,
            "is_snapshot": 0}  # fmt: skip


def filled(sizes: list[float], model: str, *, power: float = 1.0, printed: float = 150.0) -> float:
    """What a buy of 200 gets from a print of `printed`, having come when the level showed the
    first of `sizes` and seen it show the others."""
    rows = [{**depth(0, 5.0, 101.0), "side": "ask"}, depth(0, 50.0, 99.0)]
    rows += [depth(10 * n, size) for n, size in enumerate(sizes)]
    last = START + 10 * len(sizes)
    prints = pd.DataFrame(
        {"ts_ns": [last], "seq": [10 * len(sizes)], "price": [100.0], "quantity": [printed],
         "aggressor": ["sell"]}
    )  # fmt: skip
    market = ek.MarketData.from_depth(pd.DataFrame(rows), symbol="X") + ek.MarketData.from_prints(
        prints, symbol="X"
    )
    order = {"ts_ns": START + 1, "side": "buy", "order_type": "limit", "quantity": 200.0,
             "price": 100.0}  # fmt: skip
    fill = replace(QUEUE, name=model, queue_model=model, queue_power=power)
    result = ek.simulate([order], market, fill=fill, fidelity="depth")
    return float(result.columns.filled[0])


# 100 ahead, 60 behind, 40 leave: the chance that one of them stood behind is P
GROWN_AND_SHRUNK = [100.0, 160.0, 120.0]


@pytest.mark.parametrize(
    "model, power, chance",
    [
        ("power", 1.0, 60 / 160),
        ("power", 2.0, 3600 / 13600),
        ("power2", 2.0, 3600 / 25600),
        ("power3", 2.0, 1 - (100 / 160) ** 2),
        ("log", 1.0, math.log(61) / (math.log(61) + math.log(101))),
        ("log2", 1.0, math.log(61) / math.log(161)),
    ],
)
def test_what_leaves_a_level_left_behind_us_with_the_models_chance(
    model: str, power: float, chance: float
) -> None:
    ahead = 100 - (1 - chance) * 40 + min(60 - chance * 40, 0)
    assert filled(GROWN_AND_SHRUNK, model, power=power) == 150 - math.ceil(ahead - 1e-9)


@pytest.mark.parametrize(
    "model, sizes, got",
    [
        ("risk_averse", GROWN_AND_SHRUNK, 50),  # only a level below 100 would move us
        ("risk_averse", [100.0, 160.0, 70.0], 80),
        ("prints_only", [100.0, 160.0, 70.0], 50),
        ("prints_only", [100.0, 0.0, 80.0], 150),  # an emptied level clears the queue
        ("power", [100.0, 100.0], 50),
        ("power", [100.0, 40.0], 110),  # nobody behind: all that left stood ahead
    ],
)
def test_each_model_says_who_left(model: str, sizes: list[float], got: float) -> None:
    assert filled(sizes, model) == got


def test_pro_rata_shares_a_print_by_size() -> None:
    """200 of ours beside 100 of others: two thirds of 150."""
    assert filled([100.0, 100.0], "pro_rata") == 100


def test_models_differ_in_a_queue_but_never_beyond_no_queue() -> None:
    optimist = filled(GROWN_AND_SHRUNK, "prints_only", printed=20.0)
    assert optimist == 0  # 20 printed, 100 ahead


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan, math.inf, 50.0])
def test_a_power_that_is_none_is_refused(power: float) -> None:
    with pytest.raises(InvalidInput, match="queue_power"):
        replace(QUEUE, queue_model="power", queue_power=power)


def test_an_unknown_queue_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="risk_averse, power"):
        replace(QUEUE, queue_model="rigtorp")
