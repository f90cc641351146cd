"""MarketData.aligned: the newer touch of the quotes, written into the depth table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import execkit as ek
from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData

S = "XYZUSDT"


def market(
    depth: list[tuple[object, ...]],
    quotes: list[tuple[object, ...]],
    prints: list[tuple[object, ...]] = (),  # type: ignore[assignment]
    *,
    shared: bool = True,
) -> MarketData:
    """depth: ts, seq, side, price, size, snapshot, u; quotes: ts, seq, bid, size, ask, size, u."""
    names = ["ts_ns", "seq", "side", "price", "quantity", "is_snapshot", "last_seq"]
    parts = MarketData.from_depth(pd.DataFrame(depth, columns=names), symbol=S)
    names = ["ts_ns", "seq", "bid", "bid_quantity", "ask", "ask_quantity", "update_id"]
    made = {"depth": parts.depth}
    made["quotes"] = MarketData.from_quotes(pd.DataFrame(quotes, columns=names), symbol=S).quotes
    if prints:
        names = ["ts_ns", "seq", "price", "quantity", "aggressor"]
        frame = pd.DataFrame(prints, columns=names)
        made["prints"] = MarketData.from_prints(frame, symbol=S).prints
    return MarketData(**made, shared_seq=shared)


SNAPSHOT = [
    (0, 0, side, price, 5.0, 1, 100)
    for side, prices in (("bid", (99.0, 98.0, 97.0)), ("ask", (101.0, 102.0, 103.0)))
    for price in prices
]


def sides(data: MarketData, ts_ns: int) -> tuple[list[list[float]], list[list[float]]]:
    book = data.book_at(S, ts_ns)
    return book.bids.tolist(), book.asks.tolist()


def test_a_quote_takes_away_what_is_better_and_sets_its_own_level() -> None:
    data = market(SNAPSHOT, [(10, 2, 98.0, 3.0, 102.0, 5.0, 110)])

    bids, asks = sides(data.aligned(), 10)

    assert bids == [[98.0, 3.0], [97.0, 5.0]]
    assert asks == [[102.0, 5.0], [103.0, 5.0]]


def test_a_better_quote_adds_a_level_in_front() -> None:
    data = market(SNAPSHOT, [(10, 2, 100.0, 3.0, 100.5, 4.0, 110)])

    bids, asks = sides(data.aligned(), 10)

    assert bids[:2] == [[100.0, 3.0], [99.0, 5.0]]
    assert asks[:2] == [[100.5, 4.0], [101.0, 5.0]]


def test_a_quote_that_says_nothing_new_leaves_no_row() -> None:
    data = market(SNAPSHOT, [(10, 2, 99.0, 5.0, 101.0, 5.0, 110)])

    assert len(data.aligned().depth) == len(data.depth)


@pytest.mark.parametrize("quote", [(101.0, 1.0, 101.0, 1.0), (102.0, 1.0, 100.0, 1.0)])
def test_locked_and_crossed_quotes_are_left_out(quote: tuple[float, ...]) -> None:
    data = market(SNAPSHOT, [(10, 2, *quote, 110)])

    assert len(data.aligned().depth) == len(data.depth)


def test_a_side_without_a_size_says_nothing_about_that_side() -> None:
    data = market(SNAPSHOT, [(10, 2, 98.0, 0.0, 102.0, 1.0, 110)])

    bids, asks = sides(data.aligned(), 10)

    assert bids[0] == [99.0, 5.0]
    assert asks[0] == [102.0, 1.0]


def test_quotes_before_the_first_depth_message_make_no_book() -> None:
    late = [(20, 4, *row[2:]) for row in SNAPSHOT]
    data = market(late, [(10, 2, 98.0, 3.0, 102.0, 5.0, 90)])

    assert data.aligned().span(S) == data.span(S)
    assert data.aligned().depth["ts_ns"][0] == 20


def test_a_quote_that_the_book_already_contains_is_left_out() -> None:
    data = market(SNAPSHOT, [(10, 2, 98.0, 3.0, 102.0, 5.0, 100)])

    assert len(data.aligned().depth) == len(data.depth)


def test_a_depth_message_older_than_the_last_quote_does_not_bring_back_what_is_gone() -> None:
    message = [(20, 4, "ask", 101.0, 7.0, 0, 105), (20, 4, "ask", 102.0, 9.0, 0, 105)]
    data = market(SNAPSHOT + message, [(10, 2, 99.0, 5.0, 102.0, 6.0, 110)])

    assert sides(data.aligned(), 20)[1] == [[102.0, 6.0], [103.0, 5.0]]


def test_prints_come_before_what_they_caused_whatever_the_order_of_the_lines() -> None:
    """The print's line was written after the quote that its order left behind."""
    data = market(
        SNAPSHOT,
        [(10, 2, 99.0, 5.0, 101.0, 1.0, 110), (30, 8, 99.0, 5.0, 101.0, 1.5, 120)],
        [(10, 4, 101.0, 4.0, "buy")],
    )
    order = {"ts_ns": 20, "symbol": S, "side": "buy", "order_type": "market", "quantity": 1.0}

    fills = ek.simulate(order, data.aligned()).fills

    assert fills["price"].tolist() == [101.0]
    assert fills["quantity"].tolist() == [1.0]


def test_simulate_takes_the_newer_touch_of_an_aligned_market() -> None:
    last = [(50, 9, "bid", 90.0, 1.0, 0, 130)]
    data = market(SNAPSHOT + last, [(10, 2, 99.0, 5.0, 103.0, 2.0, 110)])
    order = {"ts_ns": 20, "symbol": S, "side": "buy", "order_type": "market", "quantity": 1.0}

    assert ek.simulate(order, data).fills["price"].tolist() == [101.0]
    assert ek.simulate(order, data.aligned()).fills["price"].tolist() == [103.0]


def test_a_market_without_both_tables_stays_as_it_is_and_naming_it_is_refused() -> None:
    data = MarketData.from_quotes(
        {"ts_ns": [1], "bid": [1.0], "ask": [2.0], "bid_quantity": [1.0], "ask_quantity": [1.0]},
        symbol=S,
    )

    assert data.aligned() is data
    with pytest.raises(InvalidInput, match="symbols"):
        data.aligned(S)
    with pytest.raises(InvalidInput, match="NONE"):
        data.aligned("NONE")


def ticker(agreeing: int) -> MarketData:
    """Forty depth messages, each with a quote at its stamp; so many of those tell the touch."""
    depth = [(10 * k, 4 * k, *row[2:6], 100 + 2 * k) for k in range(40) for row in SNAPSHOT]
    quotes = [
        (10 * k, 4 * k + 2, 99.0 if k < agreeing else 98.0, 5.0, 101.0, 5.0, 101 + 2 * k)
        for k in range(40)
    ]
    return market(depth, quotes)


def test_quotes_that_are_not_the_touch_of_the_depth_are_left_out_with_a_note() -> None:
    data, good = ticker(agreeing=20), ticker(agreeing=39)

    done = data.aligned()

    assert done.depth["price"].tolist() == data.depth["price"].tolist()
    assert [n.kind for n in done.notes] == ["ticker_quotes"]
    assert "50% of the depth messages" in done.notes[0].detail
    with pytest.raises(InvalidData, match="do not tell every touch"):
        data.aligned(S)
    assert len(good.aligned(S).depth) == len(good.depth) + 1
    assert not good.aligned().notes


def test_other_symbols_keep_their_rows() -> None:
    data = market(SNAPSHOT, [(10, 2, 98.0, 3.0, 102.0, 5.0, 110)])
    names = ["ts_ns", "side", "price", "quantity"]
    other = pd.DataFrame([(5, "bid", 1.0, 1.0), (6, "ask", 2.0, 1.0)], columns=names)
    both = data + MarketData.from_depth(other, symbol="OTHER")

    done = both.aligned()

    assert done.depth.of("OTHER")["price"].tolist() == [1.0, 2.0]
    assert done.book_at(S, 10).asks[0].tolist() == [102.0, 5.0]


# ------------------------------------------------------------------------ a slow, obvious judge


def replayed(data: MarketData, shared: bool) -> dict[int, tuple[dict, dict]]:  # type: ignore[type-arg]
    """Book by time of event, kept in two dicts and by the rules of `execkit.align` alone."""
    depth, quotes = data.depth.frame(), data.quotes.frame()
    events = []
    for key, rows in depth.groupby([data.depth["ts_ns"], data.depth["seq"]]):
        events.append((key[0], key[1] if shared else 1, key[1], "depth", rows))
    for at in range(len(quotes)):
        row = quotes.iloc[at]
        events.append((data.quotes["ts_ns"][at], row.seq if shared else 0, row.seq, "quote", row))
    events.sort(key=lambda e: e[:3])
    books: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    newest, last, out, seen = -1, None, {}, False
    for ts, _, _, kind, rows in events:
        if kind == "quote":
            if rows.bid >= rows.ask or not seen or rows.update_id <= newest:
                continue
            last = rows
            put(books, rows)
        else:
            seen = True
            if rows["is_snapshot"].iloc[0]:
                books = {"bid": {}, "ask": {}}
            for row in rows.itertuples():
                books[row.side].pop(row.price, None)
                if row.quantity > 0:
                    books[row.side][row.price] = row.quantity
            newest = rows["last_seq"].iloc[0]
            if last is not None and last.update_id > newest:
                put(books, last)
        out[int(ts)] = (dict(books["bid"]), dict(books["ask"]))
    return out


def put(books: dict[str, dict[float, float]], quote: pd.Series) -> None:
    for side, better in (("bid", lambda p: p > quote.bid), ("ask", lambda p: p < quote.ask)):
        if quote[f"{side}_quantity"] > 0:
            for price in [p for p in books[side] if better(p)]:
                del books[side][price]
            books[side][quote[side]] = quote[f"{side}_quantity"]


@st.composite
def feeds(draw: st.DrawFn) -> tuple[list[tuple], list[tuple]]:  # type: ignore[type-arg]
    """Depth messages and quotes of one feed; update ids run, but depth may lag behind quotes."""
    depth, quotes = list(SNAPSHOT), []
    ts, update = 0, 100
    sizes = st.integers(0, 3).map(float)
    for line in range(1, draw(st.integers(1, 25))):
        ts += draw(st.integers(0, 2))
        if draw(st.booleans()):
            update += 1
            bid = draw(st.integers(95, 103))
            ask = bid + draw(st.integers(0, 3))
            quotes.append((ts, 2 * line, bid, draw(sizes), ask, draw(sizes), update))
        else:
            seen = update - draw(st.integers(0, 2))
            snapshot = int(draw(st.integers(0, 9)) == 0)
            levels = st.tuples(st.sampled_from(["bid", "ask"]), st.integers(95, 105))
            for side, price in draw(st.lists(levels, min_size=1, max_size=4, unique=True)):
                depth.append((ts, 2 * line, side, float(price), draw(sizes), snapshot, seen))
    return depth, quotes or [(0, 1, 90.0, 1.0, 110.0, 1.0, 0)]


@settings(max_examples=150, deadline=None)
@given(feeds(), st.booleans())
def test_the_aligned_book_is_that_of_a_replay_with_dictionaries(
    feed: tuple[list[tuple], list[tuple]],  # type: ignore[type-arg]
    shared: bool,
) -> None:
    data = market(*feed, shared=shared)
    done = data.aligned()

    for ts, (bids, asks) in replayed(data, shared).items():
        book = done.book_at(S, ts)
        assert dict(book.bids.tolist()) == bids
        assert dict(book.asks.tolist()) == asks


@settings(max_examples=50, deadline=None)
@given(feeds(), st.integers(0, 30))
def test_what_comes_later_changes_nothing_before(
    feed: tuple[list[tuple], list[tuple]],  # type: ignore[type-arg]
    cut: int,
) -> None:
    whole = market(*feed).aligned()
    depth, quotes = ([r for r in rows if r[0] <= cut] for rows in feed)
    part = market(depth, quotes or [(0, 1, 90.0, 1.0, 110.0, 1.0, 0)]).aligned()

    rows = whole.depth["ts_ns"] <= cut
    for name in ("ts_ns", "side", "price", "quantity", "is_snapshot"):
        assert np.array_equal(whole.depth[name][rows], part.depth[name])


@pytest.mark.parametrize("folder", ["usdm", "cm", "spot"])
def test_on_recorded_feeds_the_aligned_touch_is_the_quoted_one(recorded: Path, folder: str) -> None:
    data = MarketData.load(recorded / "binance_raw_l2_20240808" / folder)
    done = data.aligned()

    for symbol in data.symbols:
        quotes = data.quotes.of(symbol)
        last = np.append(np.diff(quotes["ts_ns"]) > 0, True)
        share = {}
        for name, source in (("plain", data), ("aligned", done)):
            top = source.top_of_book(symbol)
            at = np.searchsorted(top["ts_ns"], quotes["ts_ns"], side="right") - 1
            known = last & (at >= 0)
            same = (top["bid"][at] == quotes["bid"]) & (top["ask"][at] == quotes["ask"])
            share[name] = same[known].mean()
        assert share["aligned"] > 0.999
        assert share["plain"] < 0.9
