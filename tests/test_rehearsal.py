"""The rehearsal exchange, traded on by the real ccxt.pro client over real TLS sockets."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import ccxt.pro as ccxt_pro
import pytest

from execkit.rehearsal import Rehearsal
from tests.helpers.rehearsed import BTC, rehearsed, soon, subscribed


def test_an_order_is_booked_found_and_canceled() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await client.create_order(
            BTC, "limit", "buy", "0.01", "49000", {"clientOrderId": "x1"}
        )
        assert (sent["status"], sent["clientOrderId"]) == ("open", "x1")
        found = await client.fetch_order(None, BTC, {"origClientOrderId": "x1"})
        assert found["id"] == sent["id"]
        assert [o["id"] for o in await client.fetch_open_orders(BTC)] == [sent["id"]]
        assert r.exchange.snapshot()["locked"] == {"USDT": Decimal("490")}

        ended = await client.cancel_order(sent["id"], BTC)
        assert ended["status"] == "canceled"
        assert not await client.fetch_open_orders(BTC)
        assert r.exchange.snapshot()["locked"] == {}
        with pytest.raises(ccxt_pro.OrderNotFound):
            await client.cancel_order(sent["id"], BTC)

    rehearsed(do)


def test_a_market_order_fills_and_both_ledgers_agree_to_the_last_digit() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await client.create_order(BTC, "market", "buy", "0.02")
        assert (sent["status"], sent["filled"]) == ("closed", Decimal("0.02"))
        assert sent["average"] == Decimal("50000.01")
        (own,) = await client.fetch_my_trades(BTC)
        # ccxt loses fees where its numbers are Decimal, so the raw reply is asked
        assert (own["info"]["commission"], own["info"]["commissionAsset"]) == ("0.00002000", "BTC")
        held = (await client.fetch_balance())["total"]
        assert {a: held[a] for a in ("BTC", "USDT", "ETH")} == r.exchange.balances("main")
        assert held["BTC"] == Decimal("100.01998")
        assert held["USDT"] == Decimal("1000000") - Decimal("1000.0002")

    rehearsed(do)


def test_the_user_stream_tells_orders_fills_and_balances() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        orders = asyncio.create_task(client.watch_orders())
        fills = asyncio.create_task(client.watch_my_trades())
        money = asyncio.create_task(client.watch_balance())
        await soon(subscribed(r))
        sent = await client.create_order(BTC, "limit", "sell", "0.5", "51000")
        assert [(o["id"], o["status"]) for o in await soon(orders)] == [(sent["id"], "open")]
        assert (await soon(money))["BTC"]["used"] == Decimal("0.5")
        r.exchange.force_fill("main", int(sent["id"]), Decimal("0.2"))
        (own,) = await soon(fills)
        assert (own["amount"], own["price"]) == (Decimal("0.2"), Decimal(51000))
        assert own["takerOrMaker"] == "maker"

    rehearsed(do)


def test_orders_by_socket_are_orders_too() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await soon(client.create_order_ws(BTC, "limit", "buy", "0.01", "48000"))
        assert sent["status"] == "open"
        assert (await soon(client.cancel_order_ws(sent["id"], BTC)))["status"] == "canceled"

    rehearsed(do)


@pytest.mark.parametrize(
    "order, error",
    [
        (("limit", "buy", "1000", "49000"), "InsufficientFunds"),
        (("limit", "buy", "0.0001", "40000"), "BadRequest"),  # below the least notional
        (("limit", "buy", "0.01", "51000", {"postOnly": True}), "OrderImmediatelyFillable"),
    ],
)
def test_refusals_reach_the_client_as_the_errors_of_the_real_exchange(
    order: tuple[Any, ...], error: str
) -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        with pytest.raises(getattr(ccxt_pro, error)):
            await client.create_order(BTC, *order)
        assert r.exchange.orders("main") == []
        assert r.exchange.snapshot()["locked"] == {}

    rehearsed(do)


def test_a_client_order_id_is_taken_while_its_order_is_open_and_no_longer() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        named = {"clientOrderId": "again"}
        first = await client.create_order(BTC, "limit", "buy", "0.01", "49000", named)
        with pytest.raises(ccxt_pro.InvalidOrder, match="Duplicate order sent"):
            await client.create_order(BTC, "limit", "buy", "0.01", "49000", named)
        r.exchange.force_fill("main", int(first["id"]))
        second = await client.create_order(BTC, "limit", "buy", "0.01", "49000", named)
        assert second["id"] != first["id"]

    rehearsed(do)


def test_a_wrong_secret_a_revoked_key_and_an_old_clock_are_refused() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        client.secret = "wrong"
        with pytest.raises(ccxt_pro.AuthenticationError, match="-1022"):
            await client.fetch_balance()
        client.secret = r.credentials["secret"]
        r.dialect.skew_ms = 60_000
        with pytest.raises(ccxt_pro.InvalidNonce):
            await client.fetch_balance()
        r.dialect.skew_ms = 0
        r.exchange.revoke_key()
        with pytest.raises(ccxt_pro.AuthenticationError, match="-2015"):
            await client.fetch_balance()

    rehearsed(do)


def test_the_route_reaches_no_other_host() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        with pytest.raises(ccxt_pro.ExchangeNotAvailable):
            await client.fetch("https://fapi.binance.com/fapi/v1/time")

    rehearsed(do)


def test_book_and_prints_are_streamed() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        book = await soon(client.watch_order_book(BTC))
        assert book["bids"][0][0] < book["asks"][0][0]
        assert (await soon(client.watch_trades(BTC)))[0]["price"] > 0

    from execkit import sample

    rehearsed(do, market=sample.make_book(2))
