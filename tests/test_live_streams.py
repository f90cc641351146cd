"""Streams and hearing: nothing is lost between awaits, nothing is guessed, memory is bounded."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from execkit.clock import LiveClock
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.venues.client import make_client
from execkit.venues.hearing import Hearing
from execkit.venues.quirks import quirks_for
from execkit.venues.streams import Tee
from execkit.words import ExecutionMode
from tests.helpers.lived import lived

K = UpdateKind


def row(number: int, status: str = "open") -> dict[str, Any]:
    return {"symbol": "BTC/USDT", "id": str(number), "status": status}


def test_every_row_is_passed_on_and_none_is_kept_without_need() -> None:
    told: list[dict[str, Any]] = []
    tee = Tee(told.append)
    for number in range(5000):
        tee.append(row(number % 7))

    assert len(told) == 5000
    assert (len(tee), tee.hashmap) == (0, {})


def test_rows_that_are_joined_are_kept_by_id_and_open_orders_are_never_pushed_out() -> None:
    told: list[dict[str, Any]] = []
    tee = Tee(told.append, joins=True, keep=10)
    tee.append(row(-1))
    for number in range(100):
        tee.append(row(number))
        tee.append(row(number, "canceled"))

    kept = tee.hashmap["BTC/USDT"]
    assert len(kept) == 11
    assert kept["-1"]["status"] == "open"
    assert len(told) == 201


class Listener:
    def __init__(self, **settings: Any) -> None:
        self.quirks = quirks_for("binance")
        client = make_client(self.quirks)
        market = {
            "id": "BTCUSDT",
            "symbol": "BTC/USDT",
            "base": "BTC",
            "quote": "USDT",
            "type": "spot",
            "spot": True,
            "active": True,
            "precision": {"price": "0.01", "amount": "0.00001"},
            "limits": {},
        }
        client.set_markets([market])
        self.quirks.learn(client)
        self.wanted: list[tuple[str, str]] = []
        self.hearing = Hearing(
            self.quirks,
            "binance",
            ExecutionMode.DEMO,
            LiveClock(),
            lambda *what: self.wanted.append(what),
            **settings,
        )
        self.updates: list[VenueUpdate] = []
        self.doubts: list[tuple[str, str]] = []
        self.hearing.listener = self.updates.append
        self.hearing.on_doubt = lambda *what: self.doubts.append(what)

    @property
    def kinds(self) -> list[UpdateKind]:
        return [update.kind for update in self.updates]


def order_row(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USDT",
        "id": "7",
        "clientOrderId": "xmine",
        "side": "buy",
        "type": "limit",
        "amount": "1",
        "filled": "0",
        "price": "50000",
        "status": "open",
        "timestamp": 1_700_000_000_000,
        "info": {},
    } | changes


def fill_row(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USDT",
        "id": "1",
        "order": "7",
        "clientOrderId": "xmine",
        "side": "buy",
        "amount": "0.4",
        "price": "50000",
        "takerOrMaker": "maker",
        "fee": {"cost": "0.1", "currency": "USDT"},
        "timestamp": 1_700_000_000_000,
        "info": {},
    } | changes


async def test_an_order_that_opens_again_and_again_is_accepted_once() -> None:
    heard = Listener()
    for _ in range(3):
        heard.hearing.order(order_row())

    assert heard.kinds == [K.ACCEPTED]


async def test_an_end_waits_for_its_fills_and_comes_after_them() -> None:
    heard = Listener(grace_s=30.0)
    heard.hearing.order(order_row(status="canceled", filled="0.4"))
    assert heard.kinds == []
    heard.hearing.fill(fill_row())

    assert heard.kinds == [K.FILL, K.CANCELED]
    assert heard.updates[1].filled_quantity == Decimal("0.4")
    heard.hearing.close()


async def test_an_end_whose_fills_do_not_come_is_said_and_doubted() -> None:
    heard = Listener(grace_s=0.01)
    heard.hearing.order(order_row(status="canceled", filled="0.4"))
    async with asyncio.timeout(10):
        while not heard.updates:
            await asyncio.sleep(0.01)

    assert heard.kinds == [K.CANCELED]
    assert heard.doubts == [("xmine", "0.4 is filled, 0 was heard of")]


async def test_a_fill_that_is_told_twice_counts_once_and_is_handed_on_twice() -> None:
    heard = Listener(grace_s=30.0)
    for _ in range(2):
        heard.hearing.fill(fill_row())
    heard.hearing.order(order_row(status="canceled", filled="0.8"))

    assert heard.kinds == [K.FILL, K.FILL]  # the end still waits for 0.4
    heard.hearing.close()


async def test_closing_says_what_was_held_back() -> None:
    heard = Listener(grace_s=30.0)
    heard.hearing.order(order_row(status="canceled", filled="0.4"))
    heard.hearing.close()

    assert heard.kinds == [K.CANCELED]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "frozen"},
        {"status": None},
        {"side": "up"},
        {"amount": None},
        {"amount": "many"},
        {"id": None, "clientOrderId": "xmine"},
        {"status": "closed", "filled": "0.5"},
    ],
    ids=str,
)
async def test_a_row_that_cannot_be_believed_is_a_doubt_and_no_update(
    changes: dict[str, Any],
) -> None:
    heard = Listener()
    heard.hearing.order(order_row(**changes))

    assert heard.updates == []
    assert [whose for whose, _ in heard.doubts] == ["xmine"]


@pytest.mark.parametrize("changes", [{"side": ""}, {"amount": "-1"}, {"id": None}], ids=str)
async def test_a_fill_that_cannot_be_read_is_a_doubt_about_its_order(
    changes: dict[str, Any],
) -> None:
    heard = Listener()
    heard.hearing.order(order_row())
    heard.hearing.fill(fill_row(**changes))

    assert heard.kinds == [K.ACCEPTED]
    assert [whose for whose, _ in heard.doubts] == ["xmine"]


async def test_an_order_of_others_is_a_doubt_without_an_order_and_its_fill_is_handed_on() -> None:
    heard = Listener()
    heard.hearing.order(order_row(clientOrderId=None))
    heard.hearing.fill(fill_row(clientOrderId=None))

    assert [whose for whose, _ in heard.doubts] == [""]
    assert [(u.kind, u.client_order_id) for u in heard.updates] == [(K.FILL, "")]


async def test_a_row_of_another_market_is_nothing() -> None:
    heard = Listener()
    heard.hearing.order(order_row(symbol="XYZ/USDT"))
    heard.hearing.fill(fill_row(symbol="XYZ/USDT"))

    assert (heard.updates, heard.doubts) == ([], [])


async def test_fills_that_a_stream_tells_in_part_are_asked_for() -> None:
    heard = Listener()
    heard.quirks.fills_complete = False  # type: ignore[misc]
    heard.hearing.fill(fill_row())

    assert heard.updates == []
    assert heard.wanted == [("BTCUSDT", "7")]


async def test_fills_that_a_stream_tells_in_part_are_booked_whole() -> None:
    async with lived() as live:
        live.venue.quirks.fills_complete = False  # type: ignore[misc]
        order = live.order(order_type="market")
        await live.venue.submit(order)
        await live.until(lambda: K.FILL in live.of(order))
        (fill,) = [u.fill for u in live.updates if u.fill is not None]

        assert (fill.fee_currency, fill.client_order_id) == ("BTC", order.client_order_id)


async def test_a_slow_listener_of_ccxts_own_answers_loses_nothing() -> None:
    """The tasks that keep the subscriptions do not matter: rows come from the tee."""
    async with lived() as live:
        order = live.order(quantity="0.3")
        await live.venue.submit(order)
        number = live.r.exchange.orders("main")[0].order_id
        for _ in range(30):
            for _ in range(5):
                live.r.exchange.force_fill("main", number, Decimal("0.002"))
            await asyncio.sleep(0.001)
        await live.until(lambda: len({u.fill.fill_id for u in live.updates if u.fill}) == 150)

        assert sum(u.fill.quantity for u in live.updates if u.fill) == Decimal("0.3")


async def test_a_socket_is_replaced_before_the_exchange_cuts_it() -> None:
    async with lived() as live:
        streams = live.venue._streams
        assert streams is not None
        await streams.reconnect()
        await live.until(lambda: live.venue.link.epoch == 2)
        order = live.order(order_type="market")
        await live.venue.submit(order)
        await live.until(lambda: K.FILL in live.of(order))


async def test_a_socket_for_orders_that_is_lost_does_not_keep_the_link_down() -> None:
    """It is dialled again when the next order needs it."""
    async with lived("binanceusdm", over_socket=True) as live:
        live.symbol = "BTCUSDT:USDT"
        await live.venue.submit(live.order())
        sockets = [s for u, s in live.venue.client.clients.items() if "ws-fapi" in u]
        assert len(sockets) == 1
        await sockets[0].connection.close()
        await live.until(lambda: live.venue.link.epoch > 1)
        await live.venue.submit(live.order())

        assert len(live.r.exchange.orders("main")) == 2
