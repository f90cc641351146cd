"""Latency models: observed delays drawn or interpolated, by the hour, and what runs make of it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput, PropertyBroken, RetryLater
from execkit.market import MarketData
from execkit.models import (
    EmpiricalLatency,
    InterpolatedLatency,
    LatencyModel,
    PerHourLatency,
    check_latency_model,
)
from execkit.sample import make_bars
from execkit.simulator import simulate
from execkit.store import Store
from execkit.summaries import summarise
from execkit.venues.paper import PaperVenue

START = 1_700_000_000_000_000_000
S = 1_000_000_000
HOUR = 3_600 * S

LOG = ([0, 10, 20], [3, 0, 25], [5, 18, 31])
"""Three orders, in seconds from START: taken after 3, not taken (told after 8), taken after 5."""


def log() -> InterpolatedLatency:
    request, venue, response = (np.array(c, dtype=np.int64) * S for c in LOG)
    taken = venue > 0
    return InterpolatedLatency(request + START, np.where(taken, venue + START, 0), response + START)


def asked(model: Any, leg: str, seconds: list[float]) -> list[float]:
    ts = START + np.rint(np.array(seconds) * S).astype(np.int64)
    return (model.delay(leg, np.arange(len(ts)), 0, ts) / S).tolist()


# drawn --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(0, 2**31))
def test_an_empirical_delay_is_one_of_those_observed(seen: list[int], seed: int) -> None:
    model = EmpiricalLatency(seen, response=seen[:1])
    rows = np.arange(50)

    assert set(model.delay("entry", rows, seed)) <= set(seen)
    assert set(model.delay("response", rows, seed)) == {seen[0]}
    assert not model.delay("feed", rows, seed).any()


def test_empirical_delays_have_the_distribution_of_those_observed() -> None:
    """100,000 draws of 1, 2, 2, 100: their shares within four standard errors (0.0055)."""
    drawn = EmpiricalLatency([2, 1, 100, 2]).delay("entry", np.arange(100_000), 5)
    shares = [float((drawn == value).mean()) for value in (1, 2, 100)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.0064)


def test_the_order_in_which_delays_were_observed_does_not_matter() -> None:
    rows = np.arange(100)
    one, two = EmpiricalLatency([5, 1, 9]), EmpiricalLatency([9, 5, 1])
    assert (one.delay("cancel", rows, 3) == two.delay("cancel", rows, 3)).all()
    assert (one.delay("cancel", rows, 3) != one.delay("entry", rows, 3)).any()


def test_a_latency_by_the_hour_goes_by_the_hour_of_each_message() -> None:
    """22:13:20 UTC is START; the cancel sets out in the next hour and takes that hour's delay."""
    model = PerHourLatency({22: LatencyModel(entry_ns=1, cancel_ns=1)}, LatencyModel(entry_ns=7))
    ts = np.array([START, START + HOUR, START + 24 * HOUR])
    assert model.delay("entry", np.arange(3), 0, ts).tolist() == [1, 7, 1]
    with pytest.raises(InvalidInput, match="ts_ns"):
        model.delay("entry", np.arange(3), 0)
    with pytest.raises(InvalidInput, match="0 to 23"):
        PerHourLatency({24: LatencyModel()}, LatencyModel())


def test_delays_are_read_from_ones_own_orders() -> None:
    """Entry 3 s in hour 22 and 5 s in hour 23; the order that was not taken is left out."""
    frame = pd.DataFrame(
        {
            "ts_ns": [START, START + 5, START + HOUR],
            "arrival_ts_ns": pd.array([START + 3 * S, None, START + HOUR + 5 * S], dtype="Int64"),
            "response_ts_ns": pd.array([START + 4 * S, None, None], dtype="Int64"),
        }
    )
    whole = EmpiricalLatency.from_orders(frame)
    assert set(whole.delay("entry", np.arange(99), 1) // S) == {3, 5}
    assert set(whole.delay("response", np.arange(99), 1) // S) == {1}
    hourly = EmpiricalLatency.from_orders(frame, by_hour=True)
    assert asked(hourly, "entry", [0, 3_600]) == [3, 5]
    assert asked(hourly, "response", [0, 3_600]) == [1, 1]
    with pytest.raises(InvalidInput, match="needs a column"):
        EmpiricalLatency.from_orders(frame[["ts_ns"]])
    with pytest.raises(InvalidInput, match="must not fall"):
        EmpiricalLatency.from_orders(frame.assign(ts_ns=START + 9 * S))


def test_a_run_s_own_orders_and_fills_give_its_latency_back() -> None:
    """Drawn from 1 to 3 s and answered in 1 or 4: read off the result, as off a store."""
    given = orders().iloc[[0] * 30].assign(client_order_id=[str(i) for i in range(30)])
    drawn = EmpiricalLatency([S, 2 * S, 3 * S], response=[S, 4 * S])
    result = simulate(given, market(), latency=drawn)
    again = EmpiricalLatency.from_orders(result.orders, result.fills)
    rows = np.arange(500)
    for leg in ("entry", "response"):
        assert set(again.delay(leg, rows, 1)) == set(drawn.delay(leg, rows, 1))
    with pytest.raises(InvalidInput, match="fills"):
        EmpiricalLatency.from_orders(result.orders, result.orders)


# interpolated -------------------------------------------------------------------------------------


def test_entry_is_interpolated_between_taken_orders_and_flat_beyond() -> None:
    """3 s at 0, 5 s at 20: 4 s half way, had the order between them been taken."""
    model = InterpolatedLatency(
        np.array([0, 20]) * S + START, np.array([3, 25]) * S + START, np.array([5, 31]) * S + START
    )
    assert asked(model, "entry", [-5, 0, 10, 15, 20, 99]) == [3, 3, 4, 4.5, 5, 5]
    assert asked(model, "cancel", [10]) == [4]


def test_a_request_beside_one_that_was_not_taken_is_not_taken() -> None:
    """Told after 5 s at 0, 8 s at 10 and 11 s at 20, so after 6.5 s at 5 and 9.5 s at 15."""
    assert asked(log(), "entry", [-1, 0, 5, 10, 15, 20, 30]) == [3, -5, -6.5, -8, -9.5, 5, 5]


def test_answers_go_by_the_venues_time_over_the_orders_that_were_taken() -> None:
    """2 s for the match at 3, 6 s for the one at 25: 4 s half way."""
    assert asked(log(), "response", [0, 3, 14, 25, 40]) == [2, 2, 4, 6, 6]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**4), st.integers(0, 10**4)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[0],
    ),
    st.lists(st.integers(-10, 10**6 + 10), min_size=1, max_size=20),
)
def test_interpolation_agrees_with_a_plain_loop(
    rows: list[tuple[int, int, int]], at: list[int]
) -> None:
    rows = sorted(rows)
    request = np.array([START + t for t, _, _ in rows])
    venue = request + [d for _, d, _ in rows]
    model = InterpolatedLatency(request, venue, venue + [d for _, _, d in rows])
    ts = START + np.array(at)
    for t, got in zip(at, model.delay("entry", np.arange(len(at)), 0, ts), strict=True):
        if t <= rows[0][0]:
            want = float(rows[0][1])
        elif t >= rows[-1][0]:
            want = float(rows[-1][1])
        else:
            (t0, d0, _), (t1, d1, _) = next(p for p in pairwise(rows) if p[1][0] > t)
            want = d0 + (d1 - d0) * (t - t0) / (t1 - t0)
        assert got == pytest.approx(want, abs=0.51)


@pytest.mark.parametrize(
    "columns, words",
    [
        (([1], [2], [1]), "must not fall"),
        (([1, 2], [2], [3]), "one length"),
        (([], [], []), "one length"),
        (([1.5], [2], [3]), "whole"),
        (([-1], [2], [3]), "whole"),
        ((["x"], [2], [3]), "whole"),
    ],
)
def test_a_log_that_cannot_be_is_refused(columns: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        InterpolatedLatency(*columns)


# what a run makes of it ---------------------------------------------------------------------------


def market() -> MarketData:
    """A quote a second that rises by 1 each time: at second s the mid is 100.5 + s."""
    ts = START + np.arange(60) * S
    at = np.arange(60.0)
    frame = pd.DataFrame(
        {"ts_ns": ts, "seq": range(60), "bid": 100 + at, "ask": 101 + at, "bid_quantity": 5.0,
         "ask_quantity": 5.0}
    )  # fmt: skip
    return MarketData.from_quotes(frame, symbol="BTCUSDT")


def orders(**more: object) -> pd.DataFrame:
    at = [0, 5, 20]
    columns: dict[str, object] = {"ts_ns": [START + t * S for t in at], "symbol": "BTCUSDT"}
    return pd.DataFrame({**columns, "side": "buy", "order_type": "market", "quantity": 1.0, **more})


def test_an_order_that_the_venue_does_not_take_is_rejected_when_we_are_told() -> None:
    """Orders at 0 and 5 s are lost, known at 5 and 11.5 s; that of 20 s arrives at 25 s."""
    result = simulate(orders(), market(), latency=log())
    told = result.orders
    assert told["status"].tolist() == ["rejected", "rejected", "filled"]
    assert told["reason"].tolist() == ["not_taken", "not_taken", ""]
    assert ((told["done_ts_ns"] - START) / S).tolist() == [5, 11.5, 25]
    assert told["arrival_ts_ns"].isna().tolist() == [True, True, False]
    assert told["arrival_price"].isna().tolist() == [True, True, False]
    assert result.fills["price"].tolist() == [126.0]
    assert ((result.fills["local_ts_ns"] - START) / S).tolist() == [31]


def test_an_order_that_the_venue_does_not_take_reaches_the_store_as_rejected(tmp_path: Any) -> None:
    store = Store(tmp_path / "x.duckdb")
    simulate(orders(), market(), latency=log()).save(store)
    found = store.sql("select status, reason, arrival_ts_ns from orders order by ts_ns")
    assert found["status"].tolist() == ["rejected", "rejected", "filled"]
    assert found["reason"].tolist()[:2] == ["not_taken"] * 2
    assert found["arrival_ts_ns"].isna().tolist() == [True, True, False]
    assert len(simulate(orders(), market(), latency=log()).slippage()) == 3


def test_a_bad_row_is_refused_also_if_the_venue_would_not_have_taken_it() -> None:
    wrong = orders(order_type="limit", price=[100.123456789, 100.0, 100.0])
    with pytest.raises(InvalidInput, match="price"):
        simulate(wrong, market(), latency=log())


def test_a_cancel_that_the_venue_does_not_take_has_not_happened() -> None:
    """A resting sell at 112 is reached at 12 s; its cancel, sent at 1 s, is lost on the way."""
    resting = orders().iloc[:1].assign(side="sell", order_type="limit", price=112.0)
    canceled = resting.assign(cancel_ts_ns=START + S)
    lossy = InterpolatedLatency(
        [START, START + 1, START + S], [START, START + 1, 0], [START, START + 1, START + 3 * S]
    )
    assert simulate(canceled, market()).orders["status"].tolist() == ["canceled"]
    assert simulate(canceled, market(), latency=lossy).orders["status"].tolist() == ["filled"]


def test_the_paper_venue_does_not_take_what_simulate_does_not_take() -> None:
    venue = PaperVenue(market(), latency=log())
    order = ExecutionOrder(symbol="BTCUSDT", side="buy", order_type="market", quantity="1")
    order.created_ts_ns = START
    with pytest.raises(RetryLater, match="did not take"):
        asyncio.run(venue.submit(order))
    late = ExecutionOrder(symbol="BTCUSDT", side="buy", order_type="market", quantity="1")
    late.created_ts_ns = START + 20 * S
    venue.advance(START + 20 * S)
    heard = []
    venue.listen(heard.append)
    asyncio.run(venue.submit(late))
    while venue.now_ns < START + 59 * S:
        venue.advance(START + 59 * S)
    fill = next(update.fill for update in heard if update.fill)
    result = simulate(orders(), market(), latency=log()).fills.iloc[0]
    assert (float(fill.price), fill.venue_ts_ns, fill.local_ts_ns) == (
        result["price"],
        result["venue_ts_ns"],
        result["local_ts_ns"],
    )


def test_a_decision_knows_what_the_feed_had_brought() -> None:
    """With a feed of 2 s, the decision at 5 s knew the mid of 3 s (103.5); the fill is the same."""
    plain, late = (
        simulate(orders(), market(), latency=LatencyModel(entry_ns=S, feed_ns=feed))
        for feed in (0, 2 * S)
    )
    assert plain.orders["decision_price"].tolist()[1:] == [105.5, 120.5]
    assert late.orders["decision_price"].tolist()[1:] == [103.5, 118.5]
    assert np.isnan(late.orders["decision_price"][0])
    assert late.fills["price"].tolist() == plain.fills["price"].tolist()


# a class of one's own -----------------------------------------------------------------------------


class Weekend:
    """Slower at weekends: by the time alone."""

    def delay(
        self, leg: str, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        assert ts_ns is not None
        day = ts_ns // (24 * HOUR) % 7  # 1970-01-01 was a Thursday: Saturday 2, Sunday 3
        return np.where((day == 2) | (day == 3), 9, 4).astype(np.int64)


class Drifting(Weekend):
    def delay(
        self, leg: str, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        return np.arange(len(rows), dtype=np.int64)


class Early(Weekend):
    def delay(
        self, leg: str, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        return np.full(len(rows), -1 if leg == "response" else 1, dtype=np.int64)


class Floats(Weekend):
    def delay(
        self, leg: str, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        return np.full(len(rows), 0.5)


class Restless(Weekend):
    """Another answer each time."""

    calls = 0

    def delay(
        self, leg: str, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        Restless.calls += 1
        return np.full(len(rows), Restless.calls, dtype=np.int64)


@pytest.mark.parametrize(
    "model",
    [
        Weekend(),
        LatencyModel(entry_ns=5, jitter_ns=100, feed_ns=3),
        EmpiricalLatency([1, 5, 8], cancel=[3], response=[4, 4], feed=[1]),
        PerHourLatency({2: EmpiricalLatency([1])}, LatencyModel(entry_ns=3)),
        log(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_our_latency_models_and_one_of_ones_own_pass_the_check(model: Any) -> None:
    check_latency_model(model)


@pytest.mark.parametrize(
    "model, words",
    [
        (Drifting(), "depends on itself alone; but row"),
        (Early(), "arrive after they are sent; but .*'response'.* gave -1 for row 0"),
        (Floats(), "int64 array.*float64"),
        (Restless(), "itself alone|same seed"),
        (5, "has delay.*int does not"),
    ],
)
def test_the_check_names_the_property_and_shows_what_broke_it(model: Any, words: str) -> None:
    with pytest.raises(PropertyBroken, match=words):
        check_latency_model(model)


def test_a_latency_of_ones_own_runs_and_is_named_in_the_store() -> None:
    result = simulate(orders(), market(), latency=Weekend())
    assert (result.orders["arrival_ts_ns"] - result.orders["ts_ns"]).tolist() == [4, 4, 4]
    assert result.params()["latency"] == {"model": "Weekend"}
    assert simulate(orders(), market(), latency=log()).params()["latency"]["not_taken"] == 1


def test_an_order_that_the_venue_did_not_take_has_no_time_of_waiting() -> None:
    """Of three orders one arrives: the mean time from arrival on is its own."""
    market = make_bars(days=1).select("BTCUSDT")
    first = market.span()[0]
    minute = 60_000_000_000
    sent = first + np.array([0, 10, 30]) * minute
    model = InterpolatedLatency(sent, np.where(sent == sent[1], 0, sent + 5), sent + 10)
    orders = {"ts_ns": first + np.array([0, 5, 40]) * minute, "side": "buy"}
    orders |= {"order_type": "market", "quantity": 0.1}
    result = simulate(orders, market, latency=model)
    assert result.orders["status"].tolist() == ["rejected", "rejected", "filled"]
    assert summarise(result)["resting_s"] == pytest.approx(60, abs=1)


def test_a_cancel_that_never_comes_is_not_one_at_once() -> None:
    """The largest integer as "never", under way for a second, still lies after the data."""
    market = make_bars(days=1).select("BTCUSDT")
    order: dict[str, Any] = {"ts_ns": market.span()[0], "side": "buy", "order_type": "limit"}
    order |= {"price": 1.0, "quantity": 10.0, "cancel_ts_ns": np.iinfo(np.int64).max}
    late = simulate([order], market, latency=LatencyModel(cancel_ns=S))
    assert late.orders["status"].tolist() == ["open"]
    with pytest.raises(InvalidInput, match="int64"):
        simulate([order | {"cancel_ts_ns": 2**70}], market)
