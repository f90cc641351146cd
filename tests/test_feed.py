"""A feed over the real ccxt.pro client and real sockets: whole, in order, once, and honest about
what it did not hear."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from math import inf, nan
from typing import Any

import pytest
from helpers.streamed import BTC, MS, caught_up, move, moving, stepped, streamed, until
from hypothesis import given
from hypothesis import strategies as st

from execkit.clock import NS_PER_S, ReplayClock
from execkit.domain import Instrument
from execkit.errors import InvalidInput, RetryLater
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import linear, quiet, spot
from execkit.venues.board import Board
from execkit.venues.feed import Feed
from execkit.venues.feed_events import (
    BarMessage,
    BookState,
    DepthMessage,
    Event,
    FundingMessage,
    Gap,
    MarketPrint,
)
from execkit.venues.quirks import quirks_for
from execkit.venues.sequences import Sequences

STEP = 100 * MS
COIN: Instrument = spot(BTC, "BTC", "USDT", "0.5", "0.001")


class Heard:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [e for e in self.events if type(e) is kind]


# -- whole streams --------------------------------------------------------------------------------


def test_the_book_is_that_of_the_exchange_after_every_message_and_no_print_is_lost() -> None:
    heard = Heard()

    async def do(r: Rehearsal, feed: Feed) -> None:
        for _ in range(30):
            await move(r, feed, 2 * STEP, step_ns=2 * STEP)
            _, bids, asks = r.exchange.feeds[BTC].book(20)
            book = feed.board.book(BTC)
            assert book is not None
            assert book.bids.tolist() == [[float(p), float(q)] for p, q in bids]
            assert book.asks.tolist() == [[float(p), float(q)] for p, q in asks]
        told = [p for p in r.exchange.feeds[BTC].prints if p.ts_ns > r.clock.start_ns]
        got = heard.of(MarketPrint)
        assert [(p.trade_id, p.price, p.quantity) for p in got] == [
            (p.print_id, float(p.price), float(p.quantity)) for p in told
        ]
        assert len(got) > 30
        assert not feed.board.gaps

    stepped(do, sink=heard)
    assert {p.aggressor for p in heard.of(MarketPrint)} == {0, 1}


def test_both_clocks_are_kept_and_neither_runs_backwards() -> None:
    heard = Heard()

    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 20 * STEP)
        assert heard.of(DepthMessage)[-1].ts_ns == r.exchange.now_ns()  # the clock stands still

    stepped(do, sink=heard)
    by_message = list(dict.fromkeys(e.local_ts_ns for e in heard.events))  # type: ignore[union-attr]
    assert by_message == sorted(by_message)
    assert [e.seq for e in heard.events] == sorted(e.seq for e in heard.events)  # type: ignore[union-attr]
    for kind in (DepthMessage, MarketPrint):
        stamps = [e.ts_ns for e in heard.of(kind)]
        assert stamps == sorted(stamps)


def test_quotes_come_from_the_stream_of_best_bids_and_asks() -> None:
    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 10 * STEP)
        best = [float(x) for x in r.exchange.feeds[BTC].best()]  # type: ignore[arg-type]
        await until(lambda: [*feed.board.touch(BTC)[:2]] == best)
        seen = feed.board.quote(BTC)
        assert seen is not None
        assert [seen.bid, seen.ask] == best
        assert feed.board.book(BTC) is None  # nobody asked for depth

    async def run() -> None:
        async with streamed(kinds=("quotes", "prints"), started=False) as (r, feed):
            starting = asyncio.create_task(feed.start())
            while not starting.done():  # a stream of quotes says nothing until one changes
                r.clock.advance(STEP)
                await asyncio.sleep(0.02)
            await starting
            await do(r, feed)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_bar_is_told_once_when_the_next_has_begun() -> None:
    heard = Heard()

    async def do(r: Rehearsal, feed: Feed) -> None:
        await until(lambda: any("kline" in t for s in r.wire.sockets for t in s.topics))  # type: ignore[union-attr]
        for _ in range(125):
            r.clock.advance(10 * STEP)
            await caught_up(r, feed)
        await until(lambda: len(heard.of(BarMessage)) >= 1)

    stepped(do, sink=heard, kinds=("depth", "prints", "bars"), market=moving(3))
    bars = heard.of(BarMessage)
    prints = heard.of(MarketPrint)
    opened = [b.ts_ns for b in bars]
    assert opened == sorted(set(opened))
    whole = bars[-1]
    inside = [p for p in prints if whole.ts_ns <= p.ts_ns < whole.ts_ns + whole.interval_ns]
    assert (whole.open, whole.close) == (inside[0].price, inside[-1].price)
    assert whole.volume == pytest.approx(sum(p.quantity for p in inside))


@pytest.mark.parametrize(
    "exchange, symbol",
    [("binanceusdm", "BTCUSDT:USDT"), ("bybit", "BTCUSDT"), ("bybit", "BTCUSDT:USDT")],
)
def test_other_exchanges_books_and_prints_are_whole_too_and_so_is_what_follows_a_gap(
    exchange: str, symbol: str
) -> None:
    make = linear if ":" in symbol else spot
    market = moving(instrument=make(symbol, "BTC", "USDT", "0.5", "0.001"))
    heard = Heard()

    async def do(r: Rehearsal, feed: Feed) -> None:
        told = r.exchange.feeds[symbol]

        def same() -> bool:
            book, (_, bids, asks) = feed.board.book(symbol), told.book(20)
            return book is not None and [book.bids.tolist(), book.asks.tolist()] == [
                [[float(p), float(q)] for p, q in side] for side in (bids, asks)
            ]

        await until(same)
        await until(lambda: len({t for s in r.wire.sockets for t in s.topics}) >= 2)  # type: ignore[union-attr]
        for _ in range(20):
            r.clock.advance(STEP)
            await until(same)
        await until(lambda: feed.board.counts["prints"] == len(told.prints))
        assert [p.price for p in heard.of(MarketPrint)] == [float(p.price) for p in told.prints]
        assert [p.quantity for p in heard.of(MarketPrint)] == [
            float(p.quantity) for p in told.prints
        ]
        assert not feed.board.gaps
        rule = r.faults.stream("depth", "drop")
        while not rule.struck:
            r.clock.advance(STEP)
            await asyncio.sleep(0.01)
        r.clock.advance(STEP)
        await until(lambda: any(g.kind == "depth" for g in feed.board.gaps))
        await until(same)
        assert {g.reason for g in feed.board.gaps if g.kind == "depth"} == {"sequence"}

    stepped(do, market=market, exchange=exchange, symbols=[symbol], sink=heard, subscribed=False)


def test_numbers_that_do_not_follow_are_noticed_where_ccxt_looks_at_none() -> None:
    class Socket: ...

    one, two = Socket(), Socket()
    bybit = Sequences("bybit")

    def book(u: int, kind: str = "delta") -> dict[str, Any]:
        return {"topic": "orderbook.50.BTCUSDT", "type": kind, "data": {"u": u}}

    assert [bybit.broken(book(*x), one) for x in ((7, "snapshot"), (8,), (9,))] == [""] * 3
    assert bybit.broken(book(11), one) == "orderbook.50.BTCUSDT 11 follows 9"
    assert not bybit.broken(book(50), two)  # another connection
    assert not bybit.broken(book(1, "snapshot"), one)  # the exchange was started anew
    assert not bybit.broken({"topic": "publicTrade.BTCUSDT"}, one)

    coinbase = Sequences("coinbase")
    assert [coinbase.broken({"sequence_num": n}, one) for n in (0, 1, 2)] == [""] * 3
    assert coinbase.broken({"sequence_num": 4}, one)

    deribit = Sequences("deribit")

    def change(number: int, before: int | None) -> dict[str, Any]:
        data = {"change_id": number, "prev_change_id": before}
        return {"params": {"channel": "book.BTC-PERPETUAL.100ms", "data": data}}

    steps = ((3, None), (8, 3), (9, 8), (20, 12))
    assert [bool(deribit.broken(change(*s), one)) for s in steps] == [False] * 3 + [True]
    assert not Sequences("binance").broken(book(1), one)


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_missing_message_drops_the_book_and_it_is_fetched_anew() -> None:
    heard, shown = Heard(), []

    async def do(r: Rehearsal, feed: Feed) -> None:
        def look(event: Event) -> None:
            if isinstance(event, Gap) and not event.to_ns:
                board = feed.board
                shown.append((board.state(BTC), board.quote(BTC), board.book(BTC)))

        feed.board.listen(look)
        await move(r, feed, 3 * STEP)
        rule = r.faults.stream("depth", "drop")
        r.clock.advance(STEP)
        await until(lambda: rule.struck == 1)
        r.clock.advance(STEP)  # its numbers do not follow
        await until(lambda: len(feed.board.gaps) == 1)
        assert shown == [(BookState.BROKEN, None, None)]
        await until(lambda: feed.board.state(BTC) is BookState.LIVE)
        await move(r, feed, 3 * STEP)
        _, bids, _ = r.exchange.feeds[BTC].book(1)
        assert feed.board.touch(BTC)[0] == float(bids[0][0])
        (gap,) = [g for g in feed.board.gaps if g.kind == "depth"]
        assert gap.reason == "sequence"
        assert gap.from_ns < gap.to_ns
        snapshots = [e for e in heard.of(DepthMessage) if e.is_snapshot]
        assert len(snapshots) == 2
        assert snapshots[1].local_ts_ns == gap.to_ns

    stepped(do, sink=heard)


@pytest.mark.parametrize("verb", ["reset", "close"])
def test_a_lost_connection_is_a_gap_and_a_new_epoch(verb: str) -> None:
    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 3 * STEP)
        epoch = feed.board.epoch
        r.faults.stream("depth", verb)
        r.clock.advance(STEP)
        await until(lambda: any(g.kind == "depth" for g in feed.board.gaps))
        await until(lambda: feed.board.state(BTC) is BookState.LIVE)
        await move(r, feed, 2 * STEP)
        assert feed.board.epoch > epoch
        assert {g.reason for g in feed.board.gaps if g.kind == "depth"} == {"disconnected"}

    stepped(do)


def test_prints_that_were_missed_are_told_and_those_that_come_twice_are_not() -> None:
    heard = Heard()

    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 10 * STEP)
        drop = r.faults.stream("print", "drop", times=3)
        repeat = r.faults.stream("print", "repeat", copies=2, skip=3, times=5)
        for _ in range(60):
            r.clock.advance(STEP)
            await asyncio.sleep(0.005)
            if repeat.over:
                break
        assert drop.struck == 3
        await until(lambda: feed.board.counts["duplicates"] >= 5)
        await caught_up(r, feed)
        (gap,) = [g for g in feed.board.gaps if g.kind == "prints"]
        assert gap.reason == "missed prints"
        assert gap.detail.startswith("3 ids")
        ids = [p.trade_id for p in heard.of(MarketPrint)]
        assert len(ids) == len(set(ids))

    stepped(do, sink=heard)


@pytest.mark.parametrize(
    "change",
    [{"fields": {"b": [["what", "ever"]]}}, {"function": lambda message: '{"e":"depthUpd'}],
    ids=["levels", "json"],
)
def test_a_garbled_message_costs_the_book_and_not_the_feed(change: dict[str, Any]) -> None:
    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 3 * STEP)
        r.faults.stream("depth", "change", **change)
        r.clock.advance(STEP)
        await until(lambda: len(feed.board.gaps) > 0)
        assert feed.board.gaps[0].reason in ("sequence", "disconnected")
        await until(lambda: feed.board.state(BTC) is BookState.LIVE)
        await move(r, feed, 3 * STEP)

    stepped(do)


def test_a_book_that_falls_silent_while_the_market_moves_is_fetched_anew() -> None:
    """The connection stands and answers pings; only nothing comes."""

    async def do(r: Rehearsal, feed: Feed) -> None:
        await move(r, feed, 3 * STEP)
        rule = r.faults.mute("depth")
        r.clock.advance(40 * STEP)
        await until(lambda: any(m.open_gaps for m in feed.board.markets.values()))
        r.faults.remove(rule)
        await until(lambda: feed.board.state(BTC) is BookState.LIVE)
        await move(r, feed, 2 * STEP)
        assert [g.reason for g in feed.board.gaps if g.kind == "depth"] == ["silent"]

    stepped(do, stale_s=3.0)


def test_a_market_that_stands_still_keeps_its_price() -> None:
    """Silence is no news where the exchange, when asked, still shows the same."""

    async def do(r: Rehearsal, feed: Feed) -> None:
        first = feed.board.market(BTC).heard_ns["depth"]
        await until(lambda: feed.board.market(BTC).heard_ns["depth"] > first)
        assert feed.board.state(BTC) is BookState.LIVE
        assert not feed.board.gaps

    stepped(do, market=quiet(), stale_s=3.0)


def test_what_cannot_be_had_is_said_at_the_start() -> None:
    async def run(error: type[Exception], words: str, **settings: Any) -> None:
        async with streamed(started=False, **settings) as (_, feed):
            with pytest.raises(error, match=words):
                await feed.start()
            assert feed.client is None  # nothing is left running

    asyncio.run(run(InvalidInput, "symbol", symbols=("NOPEUSDT",)))
    asyncio.run(run(InvalidInput, "funding", kinds=("depth", "funding")))
    with pytest.raises(InvalidInput, match="kinds"):
        Feed(quirks_for("binance"), [BTC], ["everything"])
    with pytest.raises(InvalidInput, match="at least one"):
        Feed(quirks_for("binance"), [])


def test_an_exchange_that_is_down_at_the_start_is_to_be_tried_later() -> None:
    async def run() -> None:
        async with Rehearsal("binance", speed=0) as r:
            route = r.route
        feed = Feed(quirks_for("binance"), [BTC], route=route, start_timeout_s=5)
        with pytest.raises(RetryLater):
            await feed.start()
        assert feed.client is None

    asyncio.run(run())


# -- the board ------------------------------------------------------------------------------------


def board(kinds: tuple[str, ...] = ("depth", "prints"), **settings: Any) -> Board:
    return Board({BTC: COIN}, kinds, clock=ReplayClock(NS_PER_S), **settings)


def put(b: Board, *levels: tuple[int, float, float], snapshot: bool = False) -> bool:
    return b.take_depth(BTC, None, b.stamp(), levels, snapshot=snapshot)


def clock_of(b: Board) -> ReplayClock:
    assert isinstance(b.clock, ReplayClock)
    return b.clock


def test_a_book_without_a_price_has_none() -> None:
    """Nothing yet, changes of nothing, crossed, old, and after a gap."""
    b = board(stale_s=5)
    assert (b.state(BTC), b.quote(BTC)) == (BookState.WAITING, None)
    assert not put(b, (0, 99.0, 1.0))  # changes what is not known
    assert put(b, (0, 99.0, 1.0), (1, 101.0, 2.0), snapshot=True)
    assert (b.state(BTC), b.touch(BTC)[:4]) == (BookState.LIVE, (99.0, 101.0, 1.0, 2.0))
    put(b, (0, 101.0, 1.0))
    assert (b.state(BTC), b.quote(BTC), b.book(BTC)) == (BookState.CROSSED, None, None)
    put(b, (0, 101.0, 0.0))
    assert b.state(BTC) is BookState.LIVE
    clock_of(b).advance_to(b.stamp() + 6 * NS_PER_S)
    assert (b.state(BTC), b.quote(BTC)) == (BookState.STALE, None)
    b.confirm(BTC, "depth")
    assert b.state(BTC) is BookState.LIVE
    b.begin_gap(BTC, "depth", "sequence")
    assert (b.state(BTC), b.quote(BTC), b.opening(BTC)) == (BookState.BROKEN, None, None)
    put(b, (0, 98.0, 1.0), (1, 100.0, 2.0), snapshot=True)
    assert (b.state(BTC), b.touch(BTC)[:2]) == (BookState.LIVE, (98.0, 100.0))


@pytest.mark.parametrize(
    "price, size", [(nan, 1.0), (0.0, 1.0), (-1.0, 1.0), (inf, 1.0), (99.0, nan), (99.0, -1.0)]
)
def test_an_impossible_number_is_not_taken(price: float, size: float) -> None:
    b, heard = board(), Heard()
    put(b, (0, 99.0, 1.0), (1, 101.0, 2.0), snapshot=True)
    b.listen(heard)
    heard.events.clear()
    assert not put(b, (0, price, size))
    assert b.state(BTC) is BookState.BROKEN
    b.take_print(BTC, None, b.stamp(), price, size)
    assert [type(e) for e in heard.events] == [Gap]
    assert b.counts["refused"] == 2


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 3)), max_size=60))
def test_a_board_holds_the_levels_that_were_set_last(rows: list[tuple[int, int, int]]) -> None:
    b, wanted = board(), ({5.0: 1.0}, {6.0: 1.0})
    put(b, (0, 5.0, 1.0), (1, 6.0, 1.0), snapshot=True)
    for side, price, size in rows:
        put(b, (side, float(price), float(size)))
        wanted[side][float(price)] = float(size)
    m = b.market(BTC)
    for side, kept in zip((m.bids, m.asks), wanted, strict=True):
        alive = {p: q for p, q in kept.items() if q}
        assert side.sizes == alive
        assert side.prices == sorted(alive)


def test_who_comes_late_is_told_the_whole_book_first() -> None:
    b, late = board(), Heard()
    put(b, (0, 99.0, 1.0), (1, 101.0, 2.0), snapshot=True)
    put(b, (0, 98.0, 3.0))
    b.listen(late)
    put(b, (1, 102.0, 1.0))
    first, second = late.of(DepthMessage)
    assert first.is_snapshot
    assert set(first.levels) == {(0, 98.0, 3.0), (0, 99.0, 1.0), (1, 101.0, 2.0)}
    assert (first.seq, second.seq) == (2, 3)
    b.unlisten(late)
    put(b, (1, 103.0, 1.0))
    assert len(late.of(DepthMessage)) == 2


def test_a_slow_reader_of_quotes_gets_the_newest_and_one_of_prints_gets_all() -> None:
    async def run() -> None:
        b = board()
        put(b, (0, 99.0, 1.0), (1, 101.0, 2.0), snapshot=True)
        quotes, prints = b.quotes(BTC), b.prints(BTC)
        first = await anext(quotes)
        waiting = asyncio.ensure_future(anext(prints))
        await asyncio.sleep(0)
        for n in range(1000):
            put(b, (0, 99.5, float(n + 1)))
            b.take_print(BTC, None, b.stamp(), 100.0, 1.0, trade_id=n)
        newest = await anext(quotes)
        assert (first.bid, newest.bid, newest.bid_quantity) == (99.0, 99.5, 1000.0)
        assert [p.trade_id for p in await waiting] == list(range(1000))
        more = asyncio.ensure_future(anext(quotes))
        await asyncio.sleep(0)
        assert not more.done()  # nothing has changed since
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)

    asyncio.run(run())


def test_a_flood_of_100_000_messages_leaves_memory_bounded() -> None:
    """Nobody reads while it lasts: what is kept has an end, and what that costs is told."""
    b = board()
    put(b, (0, 99.0, 1.0), (1, 101.0, 2.0), snapshot=True)
    rng = random.Random(1)

    async def flood(n: int) -> None:
        reader = b.prints(BTC)
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        for _ in range(n):
            put(b, (0, 50 + 0.5 * rng.randint(0, 90), float(rng.randint(0, 9))))
            b.take_print(BTC, None, b.stamp(), 100.0, 1.0, trade_id=b.seq)
        await waiting
        await reader.aclose()

    asyncio.run(flood(20_000))
    tracemalloc.start()
    asyncio.run(flood(5_000))
    before = tracemalloc.get_traced_memory()[0]
    asyncio.run(flood(95_000))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 5e6
    assert b.counts["prints"] == 120_000
    assert b.counts["depth"] == 120_001


def test_funding_is_told_when_its_time_has_passed() -> None:
    heard = Heard()
    feed = Feed(quirks_for("binance"), [BTC], ["depth", "funding"])
    feed.board.watch({BTC: COIN})
    feed.board.listen(heard)
    for due, rate in ((1000, "0.0001"), (1000, "0.0003"), (2000, "0.0005")):
        feed._take_funding(BTC, {"fundingTimestamp": due, "fundingRate": rate, "markPrice": "7"})
    (paid,) = heard.of(FundingMessage)
    assert (paid.ts_ns, paid.rate, paid.mark) == (1000 * MS, 0.0003, 7.0)
