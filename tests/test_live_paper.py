"""Paper on live streams: real ccxt.pro client, real sockets, the engine on a LiveClock; and what
was recorded of it, simulated, gives the same fills row for row."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.streamed import BTC, MS, caught_up, move, streamed, until

import execkit as ek
from execkit.clock import LiveClock
from execkit.engine import ExecutionEngine
from execkit.errors import InvalidInput, RetryLater
from execkit.journal import Journal
from execkit.rehearsal import Rehearsal
from execkit.risk import RiskGuard
from execkit.venues.base import ReplayVenue, UpdateKind, VenueUpdate
from execkit.venues.feed import Feed
from execkit.venues.feed_events import BookState
from execkit.venues.feed_paper import FeedPaper

LATENCY = ek.LatencyModel(entry_ns=30 * MS, cancel_ns=30 * MS)
NAMES = ("client_order_id", "side", "price", "quantity", "liquidity", "venue_ts_ns", "fee")


def order(**fields: Any) -> ek.ExecutionOrder:
    made = {"symbol": BTC, "side": "buy", "order_type": "market", "quantity": "0.5"} | fields
    return ek.ExecutionOrder(**made)


async def desk(feed: Feed, fill: str = "queue", journal: Journal | None = None) -> ExecutionEngine:
    """An engine on the feed, running."""
    venue = FeedPaper(feed, "paper", fill, latency=LATENCY)
    engine = ExecutionEngine(
        {"paper": venue},
        risk_guard=RiskGuard(**dict.fromkeys(("max_positions", "max_drawdown_pct"))),
        clock=LiveClock(),
        journal=journal,
        starting_equity=10**9,
    )
    await engine.start()
    return engine


def orders_at(feed: Feed) -> list[ek.ExecutionOrder]:
    """Takers, makers at and behind the touch, a stop, a post-only that crosses, an IOC."""
    seen = feed.board.quote(BTC)
    assert seen is not None
    bid, ask, tick = Decimal(str(seen.bid)), Decimal(str(seen.ask)), Decimal("0.5")
    return [
        order(),
        order(side="sell", quantity="0.7"),
        order(order_type="limit", price=bid),
        order(order_type="limit", side="sell", price=ask, quantity="0.2"),
        order(order_type="limit", price=bid - 2 * tick, quantity="0.3"),
        order(order_type="limit", side="sell", price=ask + tick, quantity="0.1"),
        order(order_type="limit", price=ask, post_only=True),
        order(order_type="limit", price=ask, time_in_force="IOC", quantity="9"),
        order(order_type="stop_market", price=None, stop_price=ask + 4 * tick),
    ]


def table(orders: list[ek.ExecutionOrder]) -> pd.DataFrame:
    names = ("symbol", "side", "order_type", "quantity", "price", "stop_price", "time_in_force")
    rows = []
    for one in orders:
        row = {name: getattr(one, name) for name in (*names, "post_only", "client_order_id")}
        row["side"], row["order_type"] = one.side.value, one.order_type.value
        row["time_in_force"] = one.time_in_force.value
        row["ts_ns"] = one.sent_ts_ns
        row["cancel_ts_ns"] = one.cancel_ts_ns
        for name in ("quantity", "price", "stop_price"):
            row[name] = float("nan") if row[name] is None else float(row[name])
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.assign(cancel_ts_ns=frame["cancel_ts_ns"].astype("Int64"))


@pytest.mark.parametrize("fill", ["optimistic", "queue", "pessimistic"])
def test_a_live_paper_desk_fills_as_simulate_does_on_the_recording(
    fill: str, tmp_path: Path
) -> None:
    """Not approximately: the same rows, to the nanosecond and the last digit."""
    sent: list[ek.ExecutionOrder] = []
    journal = Journal(tmp_path / "desk")

    async def run() -> None:
        async with streamed(record=tmp_path / "day", started=False) as (r, feed):
            engine = await desk(feed, fill, journal)
            await caught_up(r, feed)
            for _ in range(4):
                await move(r, feed, 2_000 * MS)
                for one in orders_at(feed):
                    result = await engine.submit_order(one, "paper")
                    assert result.success, result
                    sent.append(one)
                await move(r, feed, 1_000 * MS)
            await engine.order_manager.cancel_order(sent[4])
            await move(r, feed, 12_000 * MS)
            venue, market = engine.exchanges["paper"], feed.board.market(BTC)
            await until(lambda: venue.now_ns > max(market.heard_ns.values()))
            await engine.stop()
            assert not feed.board.gaps
            assert not engine.order_manager.alarms

    asyncio.run(asyncio.wait_for(run(), 120))
    market = ek.MarketData.load(tmp_path / "day").as_received()
    simulated = ek.simulate(table(sent), market, fill, latency=LATENCY, progress=False)
    rows = simulated.fills[list(NAMES)].astype(object).itertuples(index=False)
    expected = [(str(r[0]), str(r[1]), *map(float, r[2:4]), str(r[4]), *r[5:]) for r in rows]
    with journal:
        told = [record.payload for record in journal.read(kinds=["fill"])]
    found = [
        (
            *(f[n] for n in NAMES[:2]),
            *(float(f[n]) for n in NAMES[2:4]),
            f["liquidity"],
            f["venue_ts_ns"],
            float(f["fee"]),
        )
        for f in told
    ]
    assert sorted(found) == sorted(expected)
    assert len(found) > 15
    assert {row[4] for row in found} == {"maker", "taker"}
    states = {str(r.client_order_id): str(r.status) for r in simulated.orders.itertuples()}
    assert {o.client_order_id: o.status.value for o in sent if o.is_done} == {
        o.client_order_id: states[o.client_order_id] for o in sent if o.is_done
    }


def test_it_is_a_venue_that_the_engine_moves() -> None:
    async def run() -> None:
        async with streamed(started=False) as (_, feed):
            assert isinstance(FeedPaper(feed), ReplayVenue)

    asyncio.run(run())


def test_a_paper_venue_of_an_exchange_is_opened_as_any_other() -> None:
    """Without keys; an order at market meets what the exchange shows."""

    async def run() -> None:
        async with Rehearsal("binance", speed=1) as r:
            venue = ek.open_venue("binance", mode="paper", rehearsal=r, symbols=[BTC])
            assert venue.mode is ek.ExecutionMode.PAPER
            engine = ExecutionEngine({"paper": venue}, starting_equity=10**6)
            await engine.start()
            signal = ek.TradingSignal(symbol=BTC, action="buy", quantity="0.01")
            result = await engine.execute_signal(signal, "paper")
            assert result.order is not None
            assert result.order.status is ek.ExecutionStatus.FILLED
            assert result.order.average_filled_price == Decimal("50000.01")
            assert result.order.arrival_price == Decimal("50000")
            await engine.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_nothing_is_taken_while_the_market_cannot_be_seen() -> None:
    """Not sent, surely: to be tried again. A cancel is taken all the same."""

    async def run() -> None:
        async with streamed(started=False) as (r, feed):
            venue = FeedPaper(feed, latency=LATENCY)
            heard: list[VenueUpdate] = []
            venue.listen(heard.append)
            with pytest.raises(InvalidInput, match="the market has"):
                await venue.submit(order())  # nothing is known before it is connected
            await venue.connect()
            await caught_up(r, feed)
            seen = venue.quote(BTC)
            assert seen is not None
            assert seen.ts_ns == seen.local_ts_ns  # its market's clock is ours
            with pytest.raises(InvalidInput, match="the market has: BTCUSDT"):
                await venue.submit(order(symbol="ETHUSDT"))
            with pytest.raises(InvalidInput, match="not a multiple"):
                await venue.submit(order(quantity="0.00001"))
            rest = order(order_type="limit", price="59000", sent_ts_ns=feed.board.clock.now_ns())
            await venue.submit(rest)
            feed.board.begin_gap(BTC, "depth", "sequence")
            assert feed.board.state(BTC) is BookState.BROKEN
            assert venue.quote(BTC) is None
            with pytest.raises(RetryLater, match="broken: not sent"):
                await venue.submit(order())
            rest.cancel_ts_ns = feed.board.clock.now_ns()
            await venue.cancel(rest)
            later = feed.board.clock.now_ns() + 10**9
            while venue.advance(later) < later:
                pass
            assert [u.kind for u in heard] == [UpdateKind.ACCEPTED, UpdateKind.CANCELED]
            await venue.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_has_run_is_forgotten() -> None:
    """A desk that stands for days holds the book and its orders, and not the days."""

    async def run() -> None:
        async with streamed(started=False) as (r, feed):
            venue = FeedPaper(feed)
            venue.listen(lambda update: None)
            await venue.connect()
            await caught_up(r, feed)
            sizes = []
            for _ in range(40):
                await move(r, feed, 100 * MS)
                venue.advance(feed.board.clock.now_ns())
                book = venue._books[BTC]
                sizes.append(len(book._tape.ts))
            assert max(sizes[1:]) < 100
            await venue.close()

    asyncio.run(asyncio.wait_for(run(), 60))
