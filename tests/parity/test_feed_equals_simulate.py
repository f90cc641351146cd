"""A paper venue whose tape grows as it is received gives the fills and endings of simulate(),
however the stream is cut into pieces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from case import Case
from compare import LATENCY_NS, as_table
from conftest import Compared
from paths import Setup, assert_same, execution_orders, told_by, told_by_updates
from streams import random_case

from execkit.clock import ReplayClock
from execkit.market import MarketData
from execkit.models.latency import LatencyModel
from execkit.venues.base import VenueUpdate
from execkit.venues.board import Board
from execkit.venues.feed_events import DepthMessage, Event, MarketPrint, QuoteMessage
from execkit.venues.feed_paper import FeedPaper
from execkit.venues.paper import PaperVenue

KINDS = ("book", "quote", "print")
KIND_OF = {"book": "depth", "quote": "quotes", "print": "prints"}
SLOW = LatencyModel(entry_ns=700, cancel_ns=900, response_ns=1300, jitter_ns=800)


class Recorded:
    """A feed that somebody else fills."""

    def __init__(self, market: MarketData, kind: str) -> None:
        clock = ReplayClock(market.span()[0])
        self.board = Board(market.instruments, [kind, "prints"], clock=clock)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def events(market: MarketData, symbol: str) -> list[Event]:
    """Everything in the order of the tape: by time and `seq`, prints first where that is not
    shared."""
    found: list[tuple[tuple[int, int, int], Event]] = []
    for kind, table in market.tables.items():
        t = table.of(symbol)
        first = int(kind != "prints")
        for at in _messages(t["ts_ns"], t["seq"], kind):
            ts, seq = int(t["ts_ns"][at[0]]), int(t["seq"][at[0]])
            key = (ts, seq if market.shared_seq else first, first)
            head = (symbol, ts, ts, seq)
            if kind == "depth":
                rows = tuple(
                    (int(t["side"][i]), float(t["price"][i]), float(t["quantity"][i])) for i in at
                )
                found.append((key, DepthMessage(*head, rows, bool(t["is_snapshot"][at[0]]))))
            elif kind == "quotes":
                names = ("bid", "ask", "bid_quantity", "ask_quantity")
                found.append((key, QuoteMessage(*head, *(float(t[n][at[0]]) for n in names))))
            else:
                values = float(t["price"][at[0]]), float(t["quantity"][at[0]])
                found.append((key, MarketPrint(*head, *values, int(t["aggressor"][at[0]]))))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def _messages(ts: np.ndarray, seq: np.ndarray, kind: str) -> Iterator[range]:
    starts = np.flatnonzero(np.append(True, (np.diff(ts) != 0) | (np.diff(seq) != 0)))
    if kind != "depth":
        starts = np.arange(len(ts))
    for begin, end in zip(starts, np.append(starts[1:], len(ts)), strict=True):
        yield range(int(begin), int(end))


def through_feed(
    frame: pd.DataFrame, market: MarketData, setup: Setup, rng: random.Random, kind: str
) -> object:
    """Pieces of any length are received and run, with the requests between them."""
    feed = Recorded(market, kind)
    venue = FeedPaper(
        feed,
        "paper",
        setup.fill,
        fee=setup.fee,
        latency=setup.latency,
        seed=setup.seed,
        initial_positions=setup.positions,
    )
    updates: list[VenueUpdate] = []
    venue.listen(updates.append)
    asyncio.run(venue.connect())
    waiting = [e for symbol in market.symbols for e in events(market, symbol)]
    waiting.sort(key=lambda e: e.ts_ns)
    requests, orders = [], []
    for row, (ts, cancel, order) in enumerate(execution_orders(frame)):
        order.created_ts_ns = ts
        orders.append(order)
        requests.append((ts, 0, row))
        if cancel is not None:
            requests.append((cancel, 1, row))

    def run_to(until_ns: int) -> None:
        at, first = max(0, waiting[0].ts_ns - 1 if waiting else until_ns), True
        while first or at < until_ns:
            first, at = False, min(until_ns, at + rng.randint(0, 3000))
            while waiting and waiting[0].ts_ns <= at:
                feed.board.tell(waiting.pop(0))
            while at > venue.now_ns and venue.advance(at) < at:
                pass

    end = market.span()[1]
    for ts, what, row in sorted(requests):
        run_to(min(ts - 1, end))  # what is behind the end of a recording only a live market knows
        if what:
            orders[row].cancel_ts_ns = ts
            asyncio.run(venue.cancel(orders[row]))
        else:  # whether the feed can be relied on now is not the question here
            asyncio.run(PaperVenue.submit(venue, orders[row]))
    run_to(end)
    return told_by_updates(orders, updates)


@pytest.mark.parametrize("latency", [LatencyModel(), SLOW], ids=["none", "jitter"])
@pytest.mark.parametrize("kind", KINDS)
def test_streams_agree_however_they_are_cut(
    kind: str, latency: LatencyModel, compared: Compared
) -> None:
    for seed in range(25):
        case: Case = as_table(random_case(random.Random(seed), kind, 20, 60))
        frame, market = case.orders_frame(LATENCY_NS), case.market()
        positions = {market.symbols[0]: case.start_position * Decimal("0.001")}
        setup = Setup(
            case.model,
            latency=latency,
            seed=seed,
            positions=positions,
            fidelity={market.symbols[0]: KIND_OF[kind]},
        )
        told = told_by(setup.simulated(frame, market))
        found = through_feed(frame, market, setup, random.Random(-seed), KIND_OF[kind])
        assert_same(told, found)
        filled = sum(row.filled > 0 for row in told.orders.values())
        compared(f"simulate = growing tape, {kind}", told.orders, told.fills, filled)
