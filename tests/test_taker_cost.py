"""Orders walked alone, and the model of what a marketable order costs."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching.alone import walks
from execkit.taker_cost import MIN_BLOCKS, TakerCost, features

S = "XYZUSDT"
BUY, SELL = np.array([True]), np.array([False])
BOOK = [
    (0, 0, side, price, 5.0, 1)
    for side, prices in (("bid", (99.0, 98.0, 97.0)), ("ask", (101.0, 102.0, 103.0)))
    for price in prices
]


def market(
    depth: list[tuple[object, ...]],
    prints: list[tuple[object, ...]] = (),  # type: ignore[assignment]
    quotes: list[tuple[object, ...]] = (),  # type: ignore[assignment]
    instrument: Instrument | None = None,
) -> MarketData:
    """depth: ts, seq, side, price, size, snapshot; prints: ts, seq, price, size, aggressor."""
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    parts = {"depth": MarketData.from_depth(pd.DataFrame(depth, columns=names), symbol=S).depth}
    if prints:
        names = ["ts_ns", "seq", "price", "quantity", "aggressor"]
        frame = pd.DataFrame(prints, columns=names)
        parts["prints"] = MarketData.from_prints(frame, symbol=S).prints
    if quotes:
        names = ["ts_ns", "seq", "bid", "bid_quantity", "ask", "ask_quantity"]
        frame = pd.DataFrame(quotes, columns=names)
        parts["quotes"] = MarketData.from_quotes(frame, symbol=S).quotes
    known = {S: instrument} if instrument else {}
    return MarketData(**parts, instruments=known, shared_seq=True)


def at(ts_ns: int) -> np.ndarray:
    return np.array([ts_ns])


def order(ts_ns: int, side: str, quantity: float) -> dict[str, object]:
    return {"ts_ns": ts_ns, "symbol": S, "side": side, "quantity": quantity}


# ------------------------------------------------------------------------ walks


def test_a_walk_pays_level_by_level_and_stops_where_the_book_ends() -> None:
    found = walks(market(BOOK), S, np.array([0, 0]), np.array([True, False]), np.array([7.0, 99]))

    assert found.average.tolist() == pytest.approx([(5 * 101 + 2 * 102) / 7, 98.0])
    assert found.filled.tolist() == [7.0, 15.0]
    assert found.mid.tolist() == [100.0, 100.0]
    assert found.touch.tolist() == [101.0, 99.0]
    assert found.shown.tolist() == [5.0, 5.0]


def test_orders_walked_alone_do_not_take_from_each_other() -> None:
    found = walks(market(BOOK), S, np.array([5, 6]), np.array([True, True]), np.array([5.0, 5.0]))

    assert found.average.tolist() == [101.0, 101.0]


def test_the_average_of_an_inverse_instrument_is_harmonic() -> None:
    inverse = Instrument(symbol=S, tick_size=1, lot_size=1, kind="inverse", contract_size=100)
    found = walks(market(BOOK, instrument=inverse), S, at(0), BUY, np.array([10.0]))

    assert found.average[0] == pytest.approx(10 / (5 / 101 + 5 / 102))


def test_without_a_book_there_is_nothing_to_say() -> None:
    found = walks(market(BOOK), S, at(-1), BUY, np.array([1.0]))

    assert np.isnan([found.mid[0], found.average[0], found.filled[0], found.away[0]]).all()


def test_prints_take_from_the_book_until_it_is_shown_again() -> None:
    data = market(
        [*BOOK, (20, 4, "ask", 101.0, 5.0, 0), (20, 4, "ask", 102.0, 5.0, 0)],
        [(10, 2, 102.0, 3.0, "buy")],
    )
    found = walks(data, S, np.array([9, 10, 20]), np.array([True] * 3), np.array([1.0] * 3))
    blind = walks(data, S, at(10), BUY, np.array([1.0]), prints=False)

    assert found.touch.tolist() == [101.0, 102.0, 101.0]
    assert found.shown.tolist() == [5.0, 2.0, 5.0]
    assert found.mid.tolist() == [100.0, 100.0, 100.0]
    assert blind.touch.tolist() == [101.0]


@pytest.mark.parametrize(
    ("price", "aggressor", "buyer", "seller"),
    [(96.0, "sell", 3.0, 0.0), (104.0, "buy", 0.0, 3.0), (99.0, "sell", 0.0, 0.0)],
)
def test_away_is_how_far_a_print_went_beyond_our_side_of_the_touch(
    price: float, aggressor: str, buyer: float, seller: float
) -> None:
    data = market(BOOK, [(10, 2, price, 1.0, aggressor)])
    two = np.array([10, 10]), np.array([True, False]), np.array([1.0, 1.0])

    assert walks(data, S, *two).away.tolist() == [buyer, seller]


def test_a_symbol_without_depth_is_refused() -> None:
    data = MarketData.from_prints({"ts_ns": [1], "price": [1.0], "quantity": [1.0]}, symbol=S)

    with pytest.raises(InvalidInput, match="depth"):
        walks(data, S, at(1), BUY, np.array([1.0]))


def slow(data: MarketData, ts_ns: int, is_buy: bool, quantity: float) -> tuple[float, ...]:
    """Filled, paid, touch and size, from dictionaries and by the docstring of `walks` alone."""
    events = [(r.ts_ns, r.seq, "d", r) for r in rows_of(data, "depth")]
    events += [(r.ts_ns, r.seq, "p", r) for r in rows_of(data, "prints")]
    books: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    message = None
    for ts, seq, kind, row in sorted(events, key=lambda e: e[:2]):
        if ts > ts_ns:
            break
        if kind == "d":
            if row.is_snapshot and message != (ts, seq):
                books = {"bid": {}, "ask": {}}
            message = (ts, seq)
            books[row.side].pop(row.price, None)
            if row.quantity > 0:
                books[row.side][row.price] = row.quantity
        elif books["bid"] and books["ask"]:
            eat(books["ask"] if row.aggressor == "buy" else books["bid"], row)
    if not (books["bid"] and books["ask"]):
        return (np.nan,) * 4
    levels = sorted(books["ask"].items()) if is_buy else sorted(books["bid"].items())[::-1]
    filled = paid = 0.0
    for price, size in levels:
        part = min(size, quantity - filled)
        filled, paid = filled + part, paid + part * price
    return filled, paid, levels[0][0], levels[0][1]


def rows_of(data: MarketData, kind: str) -> list[object]:
    table = data.tables.get(kind)
    if table is None:
        return []
    return list(table.frame().assign(ts_ns=table["ts_ns"]).itertuples())


def eat(book: dict[float, float], row: object) -> None:
    better = (lambda p: p < row.price) if row.aggressor == "buy" else (lambda p: p > row.price)
    for price in sorted(filter(better, book), reverse=row.aggressor != "buy"):
        if len(book) > 1:
            del book[price]
    if row.price in book:
        book[row.price] = max(0.0, book[row.price] - row.quantity)
        if book[row.price] == 0 and len(book) > 1:
            del book[row.price]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[tuple], list[tuple], list[tuple]]:  # type: ignore[type-arg]
    depth, prints, orders, ts = list(BOOK), [], [], 0
    for line in range(1, draw(st.integers(2, 25))):
        ts += draw(st.integers(0, 2))
        price = st.integers(94, 106).map(float)
        what = draw(st.sampled_from(["depth", "print", "order"]))
        if what == "depth":
            snapshot = int(draw(st.integers(0, 9)) == 0)
            levels = st.tuples(st.sampled_from(["bid", "ask"]), price)
            for side, level in draw(st.lists(levels, min_size=1, max_size=4, unique=True)):
                size = float(draw(st.integers(0, 4)))
                depth.append((ts, 2 * line, side, level, size, snapshot))
        elif what == "print":
            side = draw(st.sampled_from(["buy", "sell"]))
            prints.append((ts, 2 * line, draw(price), float(draw(st.integers(1, 9))), side))
        else:
            orders.append((ts, draw(st.booleans()), float(draw(st.integers(1, 20)))))
    return depth, prints, orders or [(ts, True, 1.0)]


@settings(max_examples=150, deadline=None)
@given(streams())
def test_walks_are_those_of_a_replay_with_dictionaries(
    stream: tuple[list[tuple], list[tuple], list[tuple]],  # type: ignore[type-arg]
) -> None:
    depth, prints, orders = stream
    data = market(depth, prints)
    ts, side, quantity = (np.array(values) for values in zip(*orders, strict=True))

    found = walks(data, S, ts, side, quantity)

    for i in range(len(orders)):
        filled, paid, touch, shown = slow(data, int(ts[i]), bool(side[i]), float(quantity[i]))
        got = found.filled[i], found.average[i] * found.filled[i], found.touch[i], found.shown[i]
        want = (filled, paid if filled else np.nan, touch, shown)
        assert got == pytest.approx(want, nan_ok=True)


# ------------------------------------------------------------------------ the model


def test_features_see_the_quote_that_came_after_the_last_depth_message() -> None:
    data = market(BOOK, quotes=[(10, 2, 99.0, 5.0, 103.0, 2.0)])

    known = features(order(10, "buy", 3.0), data)

    assert known["mid"].tolist() == [101.0]
    assert known["walk_cost_bps"].tolist() == pytest.approx([2 / 101 * 1e4])
    assert known["displayed"].tolist() == [1.5]
    assert known["sweeps"].tolist() == [1.0]


def test_after_a_sweep_the_other_side_is_expected_where_the_sweep_ended() -> None:
    data = market(BOOK, [(10, 2, 97.0, 12.0, "sell")])
    buy = order(10, "buy", 1.0)

    followed = TakerCost().predict(buy, data)
    stayed = TakerCost(follow=0.0).predict(buy, data)

    assert stayed[0] == pytest.approx(100.0)
    assert followed[0] == pytest.approx(100.0 - 200.0)


@settings(max_examples=50, deadline=None)
@given(streams(), st.integers(0, 40))
def test_what_comes_after_an_order_changes_nothing_about_it(
    stream: tuple[list[tuple], list[tuple], list[tuple]],  # type: ignore[type-arg]
    cut: int,
) -> None:
    depth, prints, orders = stream
    kept = [o for o in orders if o[0] <= cut]
    if not kept:
        return
    asked = pd.DataFrame([order(ts, "buy" if buy else "sell", q) for ts, buy, q in kept])

    whole = features(asked, market(depth, prints))
    part = features(asked, market(*([r for r in rows if r[0] <= cut] for rows in (depth, prints))))

    pd.testing.assert_frame_equal(whole, part)


def table(n: int, seed: int) -> pd.DataFrame:
    """Features of n orders, one a second, each term present in part of them."""
    random = np.random.default_rng(seed)
    some = random.random((3, n)) < 0.5
    return pd.DataFrame(
        {
            "ts_ns": np.arange(n) * 10**9,
            "walk_cost_bps": random.exponential(1.0, n),
            "beyond_cost_bps": random.exponential(1.0, n) * some[0],
            "away_bps": random.exponential(2.0, n) * some[1],
            "tick_bps": 0.1,
            "sweeps": some[2].astype(float),
        }
    )


def test_a_fit_finds_the_terms_that_made_the_costs_within_their_errors() -> None:
    truth = TakerCost(follow=0.5, behind=0.3, larger=2.0)
    inside = np.zeros(3)
    for seed in range(40):
        known = table(800, seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 0.2, len(known))
        fitted = TakerCost.fit_features(known, truth.of(known) + noise)
        for k, (name, one) in enumerate(fitted.estimates.items()):
            inside[k] += abs(one.value - getattr(truth, name)) < 1.96 * one.standard_error
        assert fitted.n == 800
        assert fitted.follow == pytest.approx(0.5, abs=0.05)

    assert (inside / 40 > 0.85).all()


def test_noise_alone_leaves_the_prior_where_it_was() -> None:
    moved = 0
    for seed in range(20):
        known = table(400, seed)
        noise = np.random.default_rng(seed).normal(0, 1.0, len(known))
        fitted = TakerCost.fit_features(known, TakerCost().of(known) + noise)
        moved += (fitted.follow, fitted.behind, fitted.larger) != (1.0, 0.0, 0.0)

    assert moved <= 6  # three tests at two standard errors, twenty times


def test_few_seconds_inform_no_term() -> None:
    known = table(200, 0)
    known["ts_ns"] = np.arange(200) % (MIN_BLOCKS - 1) * 10**9

    fitted = TakerCost.fit_features(known, TakerCost(follow=0.2).of(known))

    assert fitted.follow == 1.0
    assert np.isnan(fitted.estimates["follow"].value)


def test_a_few_extreme_orders_do_not_move_what_most_paid_exactly() -> None:
    known = table(1000, 3).assign(away_bps=0.0, beyond_cost_bps=0.0)
    paid = TakerCost().of(known)
    rare = np.flatnonzero(known["sweeps"])[::7]
    paid[rare] += 1.0

    fitted = TakerCost.fit_features(known, paid)

    one = fitted.estimates["larger"]
    assert one.value > 3 * one.standard_error
    assert fitted.larger == 0.0


def test_a_market_and_the_prices_paid_are_enough_to_fit() -> None:
    depth = [(second * 10**9, 2 * second, *row[2:5], 1) for second in range(1, 41) for row in BOOK]
    asks = pd.DataFrame([order(s * 10**9 + 5, "buy", 6.0) for s in range(1, 41)])
    walked = (5 * 101 + 102) / 6
    # what is paid beyond the touch is twice what the book shows
    asks["average_price"] = 101 + 2 * (walked - 101)

    fitted = TakerCost.fit(asks, market(depth))

    assert fitted.n == 40
    expected = (asks["average_price"][0] / 100 - 1) * 1e4
    assert fitted.predict(asks, market(depth))[0] == pytest.approx(expected)


def test_a_model_survives_pickling() -> None:
    known = table(100, 1)
    fitted = TakerCost.fit_features(known, TakerCost(follow=0.5).of(known))

    assert pickle.loads(pickle.dumps(fitted)) == fitted


def test_bad_input_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(InvalidInput, match="average_price"):
        TakerCost.fit(order(1, "buy", 1.0), market(BOOK))
    with pytest.raises(InvalidInput, match="follow"):
        TakerCost(follow=np.nan)
    with pytest.raises(InvalidInput, match="quantity"):
        TakerCost().predict(order(1, "buy", -1.0), market(BOOK))
    with pytest.raises(InvalidInput, match="none has"):
        TakerCost.fit({**order(-5, "buy", 1.0), "average_price": 1.0}, market(BOOK))
