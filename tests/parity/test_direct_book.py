"""Orders on depth and quotes answered from the index are what the event loop makes of them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from case import Case
from compare import as_table, simulated
from conftest import Compared
from hypothesis import HealthCheck, given, settings
from recorded_case import Market
from streams import book_case, far_from_zero, one_sided, quote_case, random_case, shown_again

from execkit import simulator
from execkit.market import MarketData
from execkit.matching import direct, direct_book, loop
from execkit.matching import state as st
from execkit.matching.outcome import Found
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel
from execkit.models.latency import LatencyModel
from execkit.request import Part, Request

COLUMNS = ("status", "reason", "triggered_ns", "done_ns", "fill_row", "fill_ts", "fill_price",
           "fill_quantity", "fill_maker")  # fmt: skip
START = 1_700_000_000_000_000_000
QUEUES = ("risk_averse", "power", "power2", "power3", "log", "log2", "prints_only", "pro_rata")


class Both:
    """Stands in for `direct.answer`: the direct answer must be what the event loop gives."""

    def __init__(self) -> None:
        self.answered: list[tuple[Request, Part]] = []
        self.left: list[tuple[Request, Part]] = []
        self.fills = 0

    def __call__(self, request: Request, part: Part, model: FillModel, held: float) -> Found:
        core = simulator._load(request, part, model, held)
        core, _ = loop.run(core, part.market.tape, st.INF - 1)
        wanted = Found.of(core)
        got = direct_book.answer(request, part, model, held)
        if got is None:
            self.left.append((request, part))
            return wanted
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), name)
        assert got.ambiguous == wanted.ambiguous == 0
        self.answered.append((request, part))
        self.fills += len(wanted.fill_row)
        return wanted

    @property
    def orders(self) -> int:
        return sum(len(part.rows) for _, part in self.answered)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    found = Both()
    monkeypatch.setattr(direct, "answer", found)
    return found


def without_stops(case: Case) -> Case:
    """Stops as the orders they would become."""
    orders: list[dict[str, Any]] = []
    for order in as_table(case).orders:
        kind = "market" if order["price"] is None else "limit"
        plain = {"order_type": kind, "stop_price": None, "trail_bps": None}
        orders.append(order | plain | {"post_only": order["post_only"] and kind == "limit"})
    return replace(case, orders=orders)


@pytest.mark.parametrize("kind", ["book", "quote"])
def test_thousands_of_small_orders_in_seeded_streams(kind: str, both: Both) -> None:
    """Each stream has its own model; sharing, OCO, reduce-only, FOK and ties all occur."""
    for seed in range(120):
        rng = random.Random(f"{kind} {seed}")
        long = seed % 10 == 0
        case = random_case(rng, kind, 60 if long else 12, 300 if long else 60)
        bends = [one_sided, shown_again] + ([far_from_zero] if kind == "quote" else [])
        if seed % 3 == 0:
            case = rng.choice(bends)(case)
        model = replace(
            case.model, queue_model=rng.choice(QUEUES), queue_power=rng.choice((0.5, 1.0, 3.0))
        )
        case = without_stops(replace(case, model=model))
        if case.orders:
            simulated(case)
    assert both.orders > 800
    assert both.fills > 400


@given(book_case())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_drawn_books(both: Both, case: Case) -> None:
    case = without_stops(case)
    if case.orders:
        simulated(case)


@given(quote_case())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_drawn_quotes(both: Both, case: Case) -> None:
    case = without_stops(case)
    if case.orders:
        simulated(case)


SETS = (
    ("binance_raw_l2_20240808/spot", "ETHUSDT", "depth"),
    ("binance_raw_l2_20240808/spot", "BTCUSDT", "quotes"),
    ("binance_raw_l2_20240808/cm", "BTCUSD_PERP", "depth"),
    ("binance_raw_l2_20240808/usdm", "BTCUSDT", "depth"),
    ("binance_btcusdt_lob1000_20260216_spot", "BTCUSDT", "depth"),
    ("binance_spot_ethbtc_l2_20201101_h09", "ETHBTC", "depth"),
    ("lobster_amzn_20120621", "AMZN", "depth"),
    ("bitstamp_btcusd_l3_20150501", "BTCUSD", "depth"),
    ("binance_futures_tardis_20200222", "BTCUSDT", "quotes"),
    ("lean_quote_trade_bars/crypto/bybit", "BTCUSDT", "quotes"),
    ("minute_spread_depth_202303", "BTCUSD.COINBASE", "quotes"),
)


@pytest.mark.parametrize("path, symbol, fidelity", SETS)
def test_recorded_markets_under_every_standard_model(
    path: str, symbol: str, fidelity: str, recorded: Path, both: Both, compared: Compared
) -> None:
    """Limit and market orders around the touch, some marketable, on the whole of each set."""
    data = MarketData.load(recorded / path).select(symbol)
    market = Market(data, symbol, fidelity)
    rng = random.Random(f"{path} {symbol}")
    drawn = market.orders(2_500, rng)
    plain = [o | {"reduce_only": False} for o in drawn if o["order_type"] in ("limit", "market")]
    frame = market.frame([o | {"row": row} for row, o in enumerate(plain)])
    for model in (QUEUE, OPTIMISTIC, PESSIMISTIC):
        simulator.simulate(
            frame,
            data,
            model,
            fidelity=fidelity,
            latency=LatencyModel(entry_ns=1_000_000, cancel_ns=1_000_000, jitter_ns=500_000),
            progress=False,
        )
    assert not both.left
    assert both.fills > len(plain) // 20
    compared(f"direct = loop, {path} {fidelity}", range(both.orders), range(both.fills), 0)


# ----------------------------------------------------------------------------- what is left to it


def one_order(**changed: Any) -> dict[str, Any]:
    order = {"ts_ns": 2, "side": "buy", "order_type": "limit", "quantity": 1.0, "price": 9.0}
    return {k: v for k, v in (order | changed).items() if v is not None}


def rows(*levels: tuple[int, str, float, float, int]) -> MarketData:
    names = ("ts_ns", "side", "price", "quantity", "is_snapshot")
    columns = {name: [row[i] for row in levels] for i, name in enumerate(names)}
    return MarketData.from_depth(columns, symbol="BTCUSDT")


PLAIN = ((1, "bid", 9.0, 5.0, 1), (1, "ask", 10.0, 5.0, 1), (3, "ask", 11.0, 5.0, 0))


def test_a_plain_limit_order_is_answered_directly(both: Both) -> None:
    simulator.simulate([one_order()], rows(*PLAIN), progress=False)
    assert both.answered
    assert not both.left


@pytest.mark.parametrize(
    "stop",
    [
        {"order_type": "stop_market", "price": None, "stop_price": 10.0},
        {"order_type": "stop_limit", "stop_price": 10.0},
        {"order_type": "trailing_stop", "price": None, "trail_bps": 5.0},
    ],
    ids=lambda s: str(s["order_type"]),
)
def test_one_stop_among_the_orders_leaves_all_to_the_loop(stop: dict[str, Any], both: Both) -> None:
    simulator.simulate([one_order(), one_order(**stop)], rows(*PLAIN), progress=False)
    assert both.left
    assert not both.answered


def test_a_book_with_a_negative_size_is_left_to_the_loop(both: Both) -> None:
    simulator.simulate([one_order()], rows(*PLAIN, (4, "bid", 9.0, -5.0, 0)), progress=False)
    assert both.left
    assert not both.answered


def test_orders_that_empty_a_book_of_many_levels_pass_over_what_is_bare(both: Both) -> None:
    """300 levels a side, a few of them set at each message, and orders that take most of a side."""
    rng = np.random.default_rng(5)
    rows = []
    for message in range(120):
        count = 300 if message == 0 else 6
        for side, sign in (("bid", -1), ("ask", 1)):
            away = np.arange(1, 301) if message == 0 else rng.integers(1, 301, count)
            rows += [
                {"ts_ns": START + 1000 * message, "seq": message, "side": side,
                 "price": 1000.0 + sign * int(a), "quantity": float(rng.integers(0, 9)),
                 "is_snapshot": int(message == 0)}
                for a in away
            ]  # fmt: skip
    market = MarketData.from_depth(pd.DataFrame(rows), symbol="X")
    n = 600
    kind = np.where(rng.random(n) < 0.7, "market", "limit")
    orders = pd.DataFrame(
        {
            "ts_ns": START + np.sort(rng.integers(0, 119_000, n)),
            "side": np.where(rng.random(n) < 0.5, "buy", "sell"),
            "order_type": kind,
            "quantity": rng.choice([1.0, 5.0, 40.0, 700.0], n),
            "price": np.where(kind == "limit", 1000.0 + rng.integers(-300, 300, n), np.nan),
            "time_in_force": rng.choice(["GTC", "IOC", "FOK"], n),
        }
    )
    simulator.simulate(orders, market, fidelity="depth", progress=False)

    assert both.orders == n
    assert both.fills > 1_000
