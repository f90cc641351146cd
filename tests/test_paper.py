"""PaperVenue: what it refuses, what it shows, and how its symbols move together.

That its fills are those of simulate() is held by tests/parity.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st_

import execkit as ek
from execkit.errors import InvalidInput
from execkit.matching import state as st
from execkit.models import QUEUE
from execkit.venues.base import ReplayVenue, UpdateKind, VenueUpdate
from execkit.venues.paper_book import PaperBook

MINUTE = 60_000_000_000


def two_books() -> ek.MarketData:
    """A: 99/101 all along. B: 199/201, and 195/196 from 50 on."""
    rows = []
    for symbol, bid, ts in (("A", 99.0, 0), ("B", 199.0, 0), ("A", 99.0, 90), ("B", 195.0, 50)):
        ask = 196.0 if ts == 50 else bid + 2
        rows.append((symbol, ts, ts, "bid", bid, 10.0, 1))
        rows.append((symbol, ts, ts, "ask", ask, 10.0, 1))
    names = ["symbol", "ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    return ek.MarketData.from_depth(pd.DataFrame(rows, columns=names))


def bars() -> ek.MarketData:
    frame = pd.DataFrame(
        {
            "ts_ns": [0, MINUTE, 2 * MINUTE],
            "open": [100.0, 110.0, 120.0],
            "high": [105.0, 115.0, 125.0],
            "low": [95.0, 105.0, 115.0],
            "close": [104.0, 114.0, 124.0],
            "volume": [1000.0, 1000.0, 1000.0],
        }
    )
    return ek.MarketData.from_bars(frame, symbol="A")


def order(**fields: object) -> ek.ExecutionOrder:
    made = {"symbol": "A", "side": "buy", "order_type": "market", "quantity": 1} | fields
    return ek.ExecutionOrder(**made)  # type: ignore[arg-type]


def listened(venue: ek.PaperVenue) -> list[VenueUpdate]:
    heard: list[VenueUpdate] = []
    venue.listen(heard.append)
    return heard


def send(venue: ek.PaperVenue, one: ek.ExecutionOrder) -> None:
    asyncio.run(venue.submit(one))


def test_it_is_a_venue_that_can_be_replayed() -> None:
    assert isinstance(ek.PaperVenue(two_books()), ReplayVenue)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"symbol": "ETHUSDT"}, "the market has: A, B"),
        ({"quantity": "0.25"}, "not a multiple of the lot"),
        ({"order_type": "limit", "price": "100.05"}, "not a multiple of the tick"),
        ({"order_type": "stop_market", "stop_price": "100.05"}, "not a multiple of"),
    ],
)
def test_it_refuses_what_an_exchange_would_not_take(fields: dict, words: str) -> None:
    """Raised by submit, so the engine knows that nothing was sent."""
    with pytest.raises(InvalidInput, match=words):
        send(ek.PaperVenue(two_books()), order(**fields))


def test_an_id_is_taken_once() -> None:
    """A second submit of the same order is an order sent twice."""
    venue, one = ek.PaperVenue(two_books()), order()
    send(venue, one)
    with pytest.raises(InvalidInput, match="was sent before"):
        send(venue, one)
    with pytest.raises(InvalidInput, match="not known here"):
        asyncio.run(venue.cancel(order()))


def test_advance_stops_at_the_first_news_of_any_symbol() -> None:
    """A rests until its cancel; B's limit fills at 50: the market stops there for both."""
    venue = ek.PaperVenue(two_books())
    heard = listened(venue)
    send(venue, order(order_type="limit", price=90, time_in_force="GTD", expire_ts_ns=80))
    send(venue, order(symbol="B", order_type="limit", price=197))
    assert venue.advance(1) == 0  # both were accepted at once
    assert [u.kind for u in heard] == [UpdateKind.ACCEPTED] * 2
    assert venue.advance(1_000) == 50
    assert heard[-1].fill is not None
    assert (heard[-1].fill.price, heard[-1].fill.liquidity) == (197, "maker")
    assert venue.advance(1_000) == 80
    assert (heard[-1].kind, heard[-1].reason) == (UpdateKind.EXPIRED, "gtd")
    assert venue.advance(1_000) == 1_000
    with pytest.raises(InvalidInput, match="already at"):
        venue.advance(999)


def test_answers_come_after_the_response_latency() -> None:
    """Sent at 0, there at 30, known at 37."""
    venue = ek.PaperVenue(two_books(), latency=ek.LatencyModel(entry_ns=30, response_ns=7))
    heard = listened(venue)
    send(venue, order())
    venue.advance(1_000)
    assert {(u.venue_ts_ns, u.local_ts_ns) for u in heard} == {(30, 37)}


def test_a_bars_open_is_not_shown_to_an_order_that_arrives_with_it() -> None:
    """At the open of bar 1 the close of bar 0 was known; a nanosecond later the open is."""
    venue = ek.PaperVenue(bars())
    listened(venue)
    send(venue, order(created_ts_ns=MINUTE))
    assert venue.advance(MINUTE + 5) == MINUTE
    shown = venue.quote("A")
    assert shown is not None
    assert shown.last == 104.0
    venue.advance(MINUTE + 5)
    assert venue.quote("A").last == 110.0  # type: ignore[union-attr]


def test_a_held_position_can_be_reduced_after_a_restart() -> None:
    """Without `hold` a reduce_only sell finds nothing; with it, exactly what is held."""
    for held, filled in ((Decimal(0), []), (Decimal(3), [Decimal(3)])):
        venue = ek.PaperVenue(two_books())
        heard = listened(venue)
        venue.hold({"A": held})
        send(venue, order(side="sell", quantity=5, reduce_only=True))
        venue.advance(10)
        assert [u.fill.quantity for u in heard if u.fill] == filled
        assert heard[-1].reason == "reduce_only"


def test_fees_follow_the_tiers_fill_by_fill() -> None:
    """The second fill is past 50 quote units of volume and pays the second rate."""
    tier = ek.FeeTier(volume=50, maker_bps=0, taker_bps=1)
    venue = ek.PaperVenue(two_books(), fee=ek.FeeModel(taker_bps=10, tiers=(tier,)))
    heard = listened(venue)
    send(venue, order())
    venue.advance(1)
    send(venue, order())
    venue.advance(2)
    venue.advance(3)
    assert [u.fill.fee for u in heard if u.fill] == [Decimal("0.101"), Decimal("0.0101")]


def churned(limits: int) -> PaperBook:
    """A's book after `limits` orders that filled at once, with one resting and one stop."""
    book = PaperBook(two_books(), "A", QUEUE, "auto")
    for row in range(limits):
        book.add(row, order(quantity="0.1"), 1)
    book.add(limits, order(order_type="limit", price=95), 1)
    book.add(limits + 1, order(order_type="stop_market", stop_price=150), 1)
    book.advance(5, stop=False)
    book.news()
    return book


def test_a_run_that_is_undone_leaves_no_trace() -> None:
    """Against a copy of everything: what the kernel reads afterwards is what it was."""
    book = churned(20)
    book.add(22, order(quantity=3), 50)
    book.cancel(20, 60)
    before = st.Core(*(array.copy() for array in book._core))
    at = book.next_ns()
    book.remember()
    assert book.advance(1_000, stop=True) == 50
    book.go_back_if_beyond(49)

    assert book.next_ns() == at
    for name, was in before._asdict().items():
        if name != "log":  # its length is in `s`
            np.testing.assert_array_equal(getattr(book._core, name), was, name)


def test_what_is_remembered_does_not_grow_with_orders_that_have_ended() -> None:
    def size(book: PaperBook) -> int:
        book.remember()
        return sum(kept.size for _, _, kept in book._saved)

    assert size(churned(200)) == size(churned(2))


@given(
    moves=st_.lists(st_.integers(0, 40), min_size=1, max_size=12),
    sends=st_.sets(st_.integers(0, 11)),
    on_bars=st_.booleans(),
)
def test_a_book_without_orders_shows_what_one_that_always_ran_shows(
    moves: list[int], sends: set[int], on_bars: bool
) -> None:
    """Skipping the kernel while nothing is live changes no quote, no next event and no news."""
    market, unit = (bars(), MINUTE // 10) if on_bars else (two_books(), 10)
    lazy, eager = (PaperBook(market, "A", QUEUE, "auto") for _ in range(2))
    eager.add(0, order(order_type="limit", price=1), 0)  # keeps it busy to the end
    now_ns, told = 0, ([], [])
    for n, move in enumerate(moves):
        now_ns += move * unit
        for book, heard in zip((lazy, eager), told, strict=True):
            book.advance(now_ns, stop=False)
            heard += [(ts, row, entry[st.L_KIND], *entry[3:]) for ts, row, entry in book.news()]
            if n in sends and now_ns <= (book.last_ns() or 0):
                book.add(100 + n, order(side="sell" if n % 2 else "buy"), now_ns)
        assert lazy.next_ns() == eager.next_ns()
        assert repr(lazy.quote(now_ns)) == repr(eager.quote(now_ns))
    lazy.advance(now_ns + 1, stop=False)
    eager.advance(now_ns + 1, stop=False)
    for book, heard in zip((lazy, eager), told, strict=True):
        heard += [(ts, row, entry[st.L_KIND], *entry[3:]) for ts, row, entry in book.news()]
    assert told[0] == [news for news in told[1] if news[1] != 0]
