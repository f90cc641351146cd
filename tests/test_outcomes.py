"""The outcome table, row by row: a real ccxt client, a real socket, and what the classifier says.

"Taken" is whether the server had read the order when it misbehaved, so that it may stand there.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput, OutcomeUnknown, RetryLater, StopTrading
from execkit.rehearsal.tls import make_certificates
from execkit.secrets import Credentials
from execkit.venues.client import make_client
from execkit.venues.limiter import Lane, Limiter
from execkit.venues.line import Failed, Line
from execkit.venues.outcomes import Outcome, classify, misfit
from execkit.venues.quirks import Quirks, Verdict, quirks_for
from execkit.venues.route import Route
from execkit.venues.wire import Wire
from tests.helpers.rawserver import Heard, RawServer, http

HOST = "api.binance.com"
KEYS = Credentials("k" * 20 + "1234", "s" * 20 + "5678")
CERTIFICATES = make_certificates([HOST])
V = Verdict

MARKETS = {
    "timezone": "UTC",
    "serverTime": 1,
    "rateLimits": [],
    "exchangeFilters": [],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "stepSize": "0.00001"},
                {"filterType": "NOTIONAL", "minNotional": "5"},
            ],
        }
    ],
}


def order(**changes: Any) -> ExecutionOrder:
    given: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "buy",
        "order_type": "limit",
        "quantity": "0.01",
        "price": "50000",
    }
    return ExecutionOrder(**(given | changes))


def taken(sent: ExecutionOrder, **changes: object) -> str:
    row: dict[str, object] = {
        "symbol": "BTCUSDT",
        "orderId": 7,
        "clientOrderId": sent.client_order_id,
        "transactTime": 1_700_000_000_000,
        "price": "50000",
        "origQty": "0.01",
        "executedQty": "0",
        "cummulativeQuoteQty": "0",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
    }
    return json.dumps(row | changes)


@asynccontextmanager
async def line_to(
    answer: Callable[[Heard, asyncio.StreamWriter], Any], timeout_s: float = 2.0
) -> AsyncIterator[tuple[Line, RawServer, Quirks]]:
    """A line whose orders are answered by `answer`, markets already loaded."""

    def serve(heard: Heard, writer: asyncio.StreamWriter) -> Any:
        if "exchangeInfo" in heard.path:
            return http(json.dumps(MARKETS))
        return answer(heard, writer)

    quirks = quirks_for("binance")
    async with RawServer(CERTIFICATES, serve) as server:
        client = make_client(quirks, KEYS, route=server.route(HOST), timeout_s=timeout_s)
        client.timeout_on_exit = 0
        line = Line(
            client,
            quirks,
            "binance",
            Limiter(),
            lambda reason: None,
            timeout_s=timeout_s,
            patience_s=1,
        )
        try:
            await line.read(quirks.call("load_markets"))
            quirks.learn(client)
            server.heard.clear()
            yield line, server, quirks
        finally:
            await line.close()


async def outcome_of(
    answer: Callable[[Heard, asyncio.StreamWriter], Any], timeout_s: float = 2.0
) -> tuple[Outcome, int]:
    """What becomes of one order, and how often its request was heard."""
    async with line_to(answer, timeout_s) as (line, server, quirks):
        with pytest.raises(Failed) as failed:
            await line.ask(quirks.order_call(order()), Lane.ORDER)
        return failed.value.outcome, len(server.heard)


async def drop_connections(line: Line) -> None:
    """The next request needs a new one."""
    await line.client.close()
    line.client.closed_by_user = False


def code(number: int, text: str, status: str = "400 Bad Request") -> bytes:
    return http(json.dumps({"code": number, "msg": text}), status)


def hang(heard: Heard, writer: asyncio.StreamWriter) -> Any:
    return asyncio.sleep(3600)


def reset(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def shut(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.close()


TABLE: list[tuple[str, Any, Verdict, str]] = [
    ("the connection is reset", reset, V.UNKNOWN, "no_answer"),
    ("the connection is closed", shut, V.UNKNOWN, "no_answer"),
    ("200 with half a body", http("{" + " " * 9, length=999), V.UNKNOWN, "no_answer"),
    ("200 with HTML", http("<html>busy</html>"), V.UNKNOWN, "http_200"),
    ("200 with nothing", http(""), V.UNKNOWN, "http_200"),
    ("200 with cut JSON", http('{"symbol":"BTCUSDT","orderId":'), V.UNKNOWN, "http_200"),
    ("500", http("<html>", "500 Internal Server Error"), V.UNKNOWN, "http_500"),
    ("502", http("<html>", "502 Bad Gateway"), V.UNKNOWN, "http_502"),
    ("503", http("<html>", "503 Service Unavailable"), V.UNKNOWN, "http_503"),
    ("504", http("<html>", "504 Gateway Timeout"), V.UNKNOWN, "http_504"),
    ("408", http("<html>", "408 Request Timeout"), V.UNKNOWN, "http_408"),
    ("520", http("<html>", "520 Unknown"), V.UNKNOWN, "http_520"),
    (
        "a refusal from behind a broken door",
        code(-2010, "Account has insufficient balance", "503 Service Unavailable"),
        V.UNKNOWN,
        "http_503",
    ),
    ("-1000", code(-1000, "unknown error"), V.UNKNOWN, "http_400"),
    ("-1004", code(-1004, "server is busy"), V.UNKNOWN, "http_400"),
    ("-1006", code(-1006, "unexpected response"), V.UNKNOWN, "http_400"),
    ("-1007", code(-1007, "timeout waiting for backend"), V.UNKNOWN, "http_400"),
    ("-1008", code(-1008, "server overloaded"), V.UNKNOWN, "http_400"),
    ("-1016", code(-1016, "This service is no longer available."), V.UNKNOWN, "http_400"),
    ("a code that nobody knows", code(-9999, "new today"), V.UNKNOWN, "http_400"),
    ("429", http("<html>", "429 Too Many", "Retry-After: 7"), V.BACK_OFF, "rate_limited"),
    ("418", http("<html>", "418 Teapot", "Retry-After: 120"), V.BACK_OFF, "rate_limited"),
    ("-1003", code(-1003, "Too many requests", "429 Too Many"), V.BACK_OFF, "rate_limited"),
    ("-1015", code(-1015, "Too many new orders"), V.BACK_OFF, "rate_limited"),
    ("-1021", code(-1021, "Timestamp outside of recvWindow"), V.RESYNC, "bad_timestamp"),
    ("400 with HTML", http("<html>", "400 Bad Request"), V.UNKNOWN, "http_400"),
    ("403 with HTML", http("<html>WAF</html>", "403 Forbidden"), V.UNKNOWN, "http_403"),
    ("404 with HTML", http("<html>", "404 Not Found"), V.UNKNOWN, "http_404"),
    ("an id that exists", code(-2010, "Duplicate order sent."), V.EXISTS, "duplicate_id"),
    (
        "too little money",
        code(-2010, "Account has insufficient balance for requested action."),
        V.REJECTED,
        "insufficient_balance",
    ),
    ("notional", code(-1013, "Filter failure: NOTIONAL"), V.REJECTED, "min_notional"),
    ("lot", code(-1013, "Filter failure: LOT_SIZE"), V.REJECTED, "lot_size"),
    (
        "post-only that would take",
        code(-2010, "Order would immediately match and take."),
        V.REJECTED,
        "post_only",
    ),
    ("key revoked", code(-2015, "Invalid API-key", "401 Unauthorized"), V.HALT, "no_permission"),
]


@pytest.mark.parametrize(
    "answer, verdict, reason", [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
async def test_an_answer_means_what_the_table_says(
    answer: Any, verdict: Verdict, reason: str
) -> None:
    said, heard = await outcome_of(answer if callable(answer) else lambda h, w: answer)

    assert (said.verdict, said.reason, said.sent, heard) == (verdict, reason, True, 1)


@pytest.mark.parametrize("status, wait", [("429 Too Many", 7.0), ("503 Unavailable", 7.0)])
async def test_a_retry_after_is_heard_whatever_the_verdict(status: str, wait: float) -> None:
    answer = http("<html>", status, "Retry-After: 7")
    said, _ = await outcome_of(lambda h, w: answer)

    assert said.retry_after_s == wait


async def test_an_answer_that_does_not_come_in_time_is_unknown() -> None:
    said, heard = await outcome_of(hang, timeout_s=0.3)

    assert (said.verdict, said.sent, heard) == (V.UNKNOWN, True, 1)


async def test_a_refused_connection_is_surely_not_sent() -> None:
    async with line_to(reset) as (line, server, quirks):
        await server.__aexit__()
        await drop_connections(line)
        with pytest.raises(Failed) as failed:
            await line.ask(quirks.order_call(order()), Lane.ORDER)

    assert not failed.value.outcome.sent
    assert isinstance(failed.value.outcome.error("order"), RetryLater)


async def test_a_host_that_is_not_of_the_exchange_is_never_reached() -> None:
    async with line_to(reset) as (line, server, quirks):
        await drop_connections(line)
        line.client.network.route = Route(hosts={}, ca_pem=CERTIFICATES[0])
        with pytest.raises(Failed) as failed:
            await line.ask(quirks.order_call(order()), Lane.ORDER)

    assert not failed.value.outcome.sent
    assert server.heard == []


async def test_a_name_that_does_not_resolve_is_surely_not_sent() -> None:
    async with line_to(reset) as (line, server, quirks):

        async def lost(*args: object, **kwargs: object) -> Any:
            raise OSError(None, "name or service not known")

        await drop_connections(line)
        line.client.open()
        line.client.session.connector._resolver.resolve = lost
        with pytest.raises(Failed) as failed:
            await line.ask(quirks.order_call(order()), Lane.ORDER)

    assert (failed.value.outcome.sent, server.heard) == (False, [])


async def test_a_certificate_that_nobody_vouches_for_is_surely_not_sent() -> None:
    other, _ = make_certificates([HOST])
    async with line_to(reset) as (line, server, quirks):
        await drop_connections(line)
        line.client.network.route = Route(hosts={HOST: ("127.0.0.1", server.port)}, ca_pem=other)
        with pytest.raises(Failed) as failed:
            await line.ask(quirks.order_call(order()), Lane.ORDER)

    assert (failed.value.outcome.sent, server.heard) == (False, [])
    assert "Certificate" in failed.value.outcome.message


async def test_what_ccxt_itself_refuses_was_not_sent_and_is_ours_to_mend() -> None:
    async with line_to(reset) as (line, server, quirks):
        call = quirks.call("create_order", "NO/SUCH", "limit", "buy", "1", "1")
        with pytest.raises(Failed) as failed:
            await line.ask(call, Lane.ORDER)

    assert (failed.value.outcome.sent, server.heard) == (False, [])
    assert isinstance(failed.value.outcome.error("order"), InvalidInput)


async def test_a_cancelled_caller_leaves_the_outcome_open() -> None:
    said = classify(asyncio.CancelledError(), Wire("POST", written=True), quirks_for("binance"))

    assert said.verdict is V.UNKNOWN


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_what_changes_something_is_never_sent_twice(method: str) -> None:
    """aiohttp repeats PUT and DELETE on a kept connection that dies; ccxt its own on demand."""
    calls = 0

    def answer(heard: Heard, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal calls
        calls += 1
        return http("{}") if calls == 1 else reset(heard, writer)

    async with line_to(answer) as (line, server, _):
        client = line.client
        client.options["maxRetriesOnFailure"] = 3
        await client.fetch(f"https://{HOST}/api/v3/order", method, {}, "a=1")
        with pytest.raises(Exception, match=method):
            await client.fetch(f"https://{HOST}/api/v3/order", method, {}, "a=2")

    assert [h.body for h in server.heard] == ["a=1", "a=2"]
    assert server.heard[0].connection == server.heard[1].connection


async def test_ccxt_does_not_repeat_an_order_even_if_told_to() -> None:
    async with line_to(reset) as (line, server, quirks):
        line.client.options["maxRetriesOnFailure"] = 3
        call = quirks.order_call(order())
        for params in (call.params, call.params | {"maxRetriesOnFailure": 3}):
            server.heard.clear()
            with pytest.raises(Exception, match="POST"):
                await line.client.create_order(*call.args, params=dict(params))
            assert len(server.heard) == 1


async def test_a_redirect_is_not_followed() -> None:
    answer = http("", "307 Temporary Redirect", f"Location: https://{HOST}/api/v3/other")
    said, heard = await outcome_of(lambda h, w: answer)

    assert (said.verdict, heard) == (V.UNKNOWN, 1)


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execkit.venues.client.LARGEST_ANSWER", 100_000)
    said, _ = await outcome_of(lambda h, w: http("[" + "1," * 200_000 + "1]"))

    assert (said.verdict, said.reason) == (V.UNKNOWN, "no_answer")
    assert "100000 bytes" in said.message


READS = ["{}", "", "<html>", '[{"symbol":', "null"]


@pytest.mark.parametrize("body", READS)
async def test_a_garbled_list_of_open_orders_is_not_an_empty_one(body: str) -> None:
    async with line_to(lambda h, w: http(body)) as (line, _, quirks):
        with pytest.raises(RetryLater):
            await line.read(quirks.open_calls("BTCUSDT")[0])


async def test_a_revoked_key_stops_and_tells() -> None:
    told: list[str] = []
    answer = code(-2015, "Invalid API-key", "401 Unauthorized")
    async with line_to(lambda h, w: answer) as (line, _, quirks):
        line.on_halt = told.append
        with pytest.raises(StopTrading):
            await line.read(quirks.open_calls("BTCUSDT")[0])

    assert told == ["no_permission"]


async def test_no_message_shows_a_key_or_a_signature() -> None:
    def answer(heard: Heard, writer: asyncio.StreamWriter) -> bytes:
        return http(heard.path, "403 Forbidden")

    async with line_to(answer) as (line, _, quirks):
        with pytest.raises(RetryLater) as refused:
            await line.read(quirks.open_calls("BTCUSDT")[0])

    assert re.search("signature=[0-9a-f]{16}|k1234", str(refused.value)) is None
    assert refused.value.__cause__ is None


WRONG: list[tuple[dict[str, object], str]] = [
    ({"orderId": None}, "names no order"),
    ({"clientOrderId": "xanother"}, "about the order"),
    ({"side": "SELL"}, "about a sell"),
    ({"origQty": "0.02"}, "about a quantity"),
]


@pytest.mark.parametrize("changes, wrong", WRONG, ids=[w[1] for w in WRONG])
async def test_an_answer_about_another_order_is_no_answer(
    changes: dict[str, object], wrong: str
) -> None:
    sent = order()
    async with line_to(lambda h, w: http(taken(sent, **changes))) as (line, _, quirks):
        row = await line.ask(quirks.order_call(sent), Lane.ORDER)
        assert wrong in misfit(sent, row, quirks)


async def test_a_good_answer_is_about_the_order() -> None:
    sent = order()
    async with line_to(lambda h, w: http(taken(sent))) as (line, server, quirks):
        row = await line.ask(quirks.order_call(sent), Lane.ORDER)

    assert misfit(sent, row, quirks) == ""
    assert Decimal(row["amount"]) == Decimal("0.01")
    assert f"newClientOrderId={sent.client_order_id}" in server.heard[0].body


def test_only_what_may_have_arrived_is_an_unknown_outcome() -> None:
    kinds = {v: type(Outcome(verdict=v).error("x")) for v in V}

    assert [v for v, kind in kinds.items() if kind is OutcomeUnknown] == [V.EXISTS, V.UNKNOWN]
    assert kinds[V.HALT] is StopTrading


def test_the_context_refuses_what_it_does_not_know() -> None:
    assert CERTIFICATES[1].verify_mode is ssl.CERT_NONE  # of the server; clients always verify
    made = make_client(quirks_for("binance"), KEYS)
    assert made.network.certificates().verify_mode is ssl.CERT_REQUIRED
