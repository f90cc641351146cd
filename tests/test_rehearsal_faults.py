"""Each fault of the wire, as the real ccxt client meets it, and what the exchange has then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt.pro as ccxt_pro
import pytest

from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput
from execkit.rehearsal import Rehearsal
from tests.helpers.rehearsed import BTC, rehearsed, soon, subscribed

LIMIT = (BTC, "limit", "buy", "0.01", "49000")


def booked(r: Rehearsal) -> int:
    return len(r.exchange.orders("main"))


@pytest.mark.parametrize(
    "verb, arguments, error",
    [
        ("drop", {}, "ExchangeNotAvailable"),
        ("reset", {}, "ExchangeNotAvailable"),
        ("http", {"status": 502, "body": "<html>bad gateway</html>"}, "ExchangeNotAvailable"),
        ("http", {"status": 504, "body": "<html></html>"}, "RequestTimeout"),
        ("code", {"code": "-1007", "message": "Timeout waiting for response"}, "RequestTimeout"),
        ("code", {"code": "-1006", "message": "Unexpected response"}, "OperationFailed"),
        ("reject", {"word": "insufficient_balance"}, "InsufficientFunds"),
        ("reject", {"word": "rate_limited", "retry_after_s": 3}, "DDoSProtection"),
    ],
)
@pytest.mark.parametrize("accepted", [False, True], ids=["before", "after"])
def test_an_answer_can_be_lost_or_false_before_or_after_acceptance(
    verb: str, arguments: dict[str, Any], error: str, accepted: bool
) -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        script = r.faults.after if accepted else r.faults.before
        rule = script("create", verb, **arguments)
        with pytest.raises(getattr(ccxt_pro, error)):
            await client.create_order(*LIMIT)
        assert (booked(r), rule.struck) == (int(accepted), 1)
        await client.create_order(*LIMIT)  # and only once
        assert booked(r) == 1 + int(accepted)

    rehearsed(do)


def test_a_truncated_answer_is_a_broken_payload() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        r.faults.after("create", "truncate", size=40)
        with pytest.raises(ccxt_pro.ExchangeError) as caught:
            await client.create_order(*LIMIT)
        assert isinstance(caught.value.__cause__, aiohttp.ClientPayloadError)
        assert booked(r) == 1

    rehearsed(do)


@pytest.mark.parametrize("body", ["<html>hello</html>", "", '{"symbol": "BTCUS'])
def test_a_garbled_answer_of_status_200_looks_like_an_order_without_an_id(body: str) -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        r.faults.after("create", "http", status=200, body=body)
        assert (await client.create_order(*LIMIT))["id"] is None
        assert booked(r) == 1

    rehearsed(do)


@pytest.mark.parametrize("accepted", [False, True], ids=["before", "after"])
def test_a_hanging_answer_times_out_at_the_client(accepted: bool) -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        client.timeout = 300
        (r.faults.after if accepted else r.faults.before)("create", "hang")
        with pytest.raises(ccxt_pro.RequestTimeout):
            await client.create_order(*LIMIT)
        assert booked(r) == int(accepted)

    rehearsed(do)


def test_an_order_can_be_accepted_late() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        r.faults.before("create", "accept_late", seconds=20, then="reset")
        with pytest.raises(ccxt_pro.ExchangeNotAvailable):
            await client.create_order(*LIMIT, {"clientOrderId": "late"})
        look_up = (None, BTC, {"origClientOrderId": "late"})
        r.clock.advance(19 * NS_PER_S)
        with pytest.raises(ccxt_pro.OrderNotFound):
            await client.fetch_order(*look_up)
        r.clock.advance(NS_PER_S)
        assert (await client.fetch_order(*look_up))["status"] == "open"

    rehearsed(do, speed=0)


def test_look_ups_can_lag_behind_what_was_written() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await client.create_order(*LIMIT)
        number = int(sent["id"])
        r.exchange.hide("main", number, 10)
        with pytest.raises(ccxt_pro.OrderNotFound):
            await client.fetch_order(sent["id"], BTC)
        assert await client.fetch_open_orders(BTC) == []
        r.exchange.force_fill("main", number, Decimal("0.004"), hidden_s=12)
        r.clock.advance(10 * NS_PER_S)
        assert (await client.fetch_order(sent["id"], BTC))["filled"] == Decimal("0.004")
        assert await client.fetch_my_trades(BTC) == []
        r.clock.advance(2 * NS_PER_S)
        assert len(await client.fetch_my_trades(BTC)) == 1

    rehearsed(do, speed=0)


def test_limits_answer_429_and_a_ban_418_until_they_are_over() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        r.faults.limit(2, 10, "create")
        for _ in range(2):
            await client.create_order(*LIMIT)
        with pytest.raises(ccxt_pro.DDoSProtection, match="429"):
            await client.create_order(*LIMIT)
        assert client.last_response_headers["Retry-After"] == "10"
        await client.cancel_all_orders(BTC)  # other requests pass
        r.clock.advance(10 * NS_PER_S)
        await client.create_order(*LIMIT)
        r.faults.ban(120)
        with pytest.raises(ccxt_pro.DDoSProtection, match="418"):
            await client.fetch_balance()
        r.clock.advance(120 * NS_PER_S)
        await client.fetch_balance()

    rehearsed(do, speed=0)


def test_a_server_that_is_down_refuses_connections_and_comes_back_with_its_books() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await client.create_order(*LIMIT)
        await r.hang_up()
        with pytest.raises(ccxt_pro.ExchangeNotAvailable) as caught:
            await client.create_order(*LIMIT)
        assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)
        await r.listen()
        assert [o["id"] for o in await client.fetch_open_orders(BTC)] == [sent["id"]]

    rehearsed(do)


# ------------------------------------------------------------------------------------- streams


def heard(do: Callable[[Any, Rehearsal, list[dict[str, Any]]], Awaitable[None]]) -> None:
    """With the user stream open, and everything it brings collected as raw frames."""

    async def run(client: Any, r: Rehearsal) -> None:
        frames: list[dict[str, Any]] = []
        usual = client.handle_message

        def noted(connection: Any, message: Any) -> None:
            if isinstance(message, dict) and "event" in message:
                frames.append(message["event"])
            usual(connection, message)

        client.handle_message = noted
        watch = asyncio.create_task(client.watch_orders())
        await soon(subscribed(r))
        try:
            await do(client, r, frames)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    rehearsed(run, number=float)


def reports(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f["x"], f["z"]) for f in frames if f["e"] == "executionReport"]


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await soon(wait())


async def filled(client: Any, r: Rehearsal, parts: int) -> None:
    sent = await client.create_order(*LIMIT)
    for _ in range(parts):
        r.exchange.force_fill("main", int(sent["id"]), Decimal("0.001"))


def test_fills_can_be_dropped_from_the_stream_while_the_rest_goes_on() -> None:
    async def do(client: Any, r: Rehearsal, frames: list[dict[str, Any]]) -> None:
        rule = r.faults.stream("fill", "drop", times=3, skip=1)
        await filled(client, r, 5)
        await until(lambda: rule.struck == 3 and len(reports(frames)) == 3)
        assert [done for kind, done in reports(frames)] == [
            "0.00000000",
            "0.00100000",
            "0.00500000",
        ]
        assert len(await client.fetch_my_trades(BTC)) == 5

    heard(do)


def test_fills_can_be_repeated_and_shuffled() -> None:
    async def do(client: Any, r: Rehearsal, frames: list[dict[str, Any]]) -> None:
        r.faults.stream("fill", "repeat", copies=2)
        r.faults.stream("fill", "shuffle", size=4, times=4)
        await filled(client, r, 5)
        await until(lambda: len(reports(frames)) == 8)
        done = [z for kind, z in reports(frames) if kind == "TRADE"]
        assert done[:3] == ["0.00100000"] * 3
        assert sorted(done[3:]) == [f"0.00{n}00000" for n in range(2, 6)]
        assert done[3:] != sorted(done[3:])

    heard(do)


def test_a_stream_can_be_muted_and_changed() -> None:
    async def do(client: Any, r: Rehearsal, frames: list[dict[str, Any]]) -> None:
        rule = r.faults.mute()
        await filled(client, r, 1)
        await until(lambda: rule.struck >= 3)
        r.faults.remove(rule)
        r.faults.stream("order", "change", fields={"event.X": "FROZEN"})
        await client.cancel_all_orders(BTC)
        await until(lambda: bool(reports(frames)))
        assert [f["X"] for f in frames if f["e"] == "executionReport"] == ["FROZEN"]

    heard(do)


@pytest.mark.parametrize("verb, code", [("close", 1001), ("close", 1006), ("reset", 0)])
def test_a_stream_can_be_closed_or_reset_and_opened_anew(verb: str, code: int) -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        watch = asyncio.create_task(client.watch_orders())
        await soon(subscribed(r))
        assert r.sockets(verb, code) == 1
        with pytest.raises(ccxt_pro.NetworkError):
            await soon(watch)
        await until(lambda: not r.wire.sockets)  # type: ignore[union-attr]
        again = asyncio.create_task(client.watch_orders())
        await soon(subscribed(r))
        await client.create_order(*LIMIT)
        assert (await soon(again))[0]["status"] == "open"

    rehearsed(do)


def test_a_half_open_stream_says_nothing_and_answers_no_ping() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        client.streaming["keepAlive"] = 150
        watch = asyncio.create_task(client.watch_orders())
        await soon(subscribed(r))
        assert r.sockets("half_open", private=True) == 1
        await client.create_order(*LIMIT)
        with pytest.raises(ccxt_pro.RequestTimeout, match="ping-pong"):
            await soon(watch)

    rehearsed(do)


# ------------------------------------------------------------------------------------- admin


def test_the_admin_port_does_the_same_for_another_process() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        sent = await client.create_order(*LIMIT)
        known = {"X-Token": r.admin_token}
        async with aiohttp.ClientSession(r.admin_url, headers=known) as admin:

            async def post(path: str, **what: Any) -> Any:
                async with admin.post(path, json=what) as answer:
                    body = await answer.json()
                    assert answer.status == 200, body
                    return body["result"]

            fill = await post(
                "/exchange/force_fill", account="main", order_id=int(sent["id"]), quantity="0.004"
            )
            assert (fill["quantity"], fill["price"]) == ("0.004", "49000")
            rule = await post("/faults/add", point="answer", verb="reset", op="cancel")
            with pytest.raises(ccxt_pro.OrderNotFound):  # aiohttp itself sends a DELETE again
                await client.cancel_order(sent["id"], BTC)
            async with admin.get("/faults") as answer:
                found = (await answer.json())["rules"]
            assert [(x["number"], x["struck"]) for x in found] == [(rule["number"], 1)]
            async with admin.get("/snapshot") as answer:
                (order,) = (await answer.json())["orders"]
            assert (order["status"], order["filled_quantity"]) == ("canceled", "0.004")

    rehearsed(do)


def test_the_admin_port_wants_its_token_for_all_but_how_to_connect() -> None:
    async def do(client: Any, r: Rehearsal) -> None:
        async with aiohttp.ClientSession(r.admin_url) as admin:
            async with admin.get("/info") as answer:
                info = json.loads(await answer.text())
            assert info["exchange"] == "binance"
            assert info["hosts"] == {h: list(to) for h, to in r.route.hosts.items()}
            assert r.admin_token not in json.dumps(info)
            for path in ("/snapshot", "/faults"):
                async with admin.get(path) as answer:
                    assert answer.status == 401
            async with admin.post("/exchange/halt", json={"symbol": "BTCUSDT"}) as answer:
                assert answer.status == 401
            async with admin.get("/info", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403

    rehearsed(do)


@pytest.mark.parametrize(
    "what",
    [
        {"point": "somewhere", "verb": "drop"},
        {"point": "stream", "verb": "truncate"},
        {"point": "request", "verb": "reject", "word": "nonsense"},
        {"point": "request", "verb": "drop", "sizes": 3},
    ],
)
def test_a_rule_that_could_never_strike_is_refused(what: dict[str, Any]) -> None:
    from execkit.rehearsal import Faults
    from execkit.rehearsal.clock import VenueClock

    with pytest.raises(InvalidInput):
        Faults(VenueClock(0)).add(**what)
