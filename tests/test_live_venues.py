"""LiveVenue on every dialect that is rehearsed, and what is particular to derivatives, sockets and
real money."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from execkit.errors import FixRequest, InvalidInput, OutcomeUnknown, StopTrading
from execkit.rehearsal import Rehearsal
from execkit.venues.base import UpdateKind
from execkit.venues.remote import LinkState
from execkit.venues.standing import Standing
from execkit.words import ExecutionMode, ExecutionStatus
from tests.helpers.lived import lived, venue_on

K = UpdateKind
S = ExecutionStatus
SPOT, LINEAR = "BTCUSDT", "BTCUSDT:USDT"
PLACES = [
    ("binance", SPOT),
    ("binanceusdm", LINEAR),
    ("bybit", SPOT),
    ("bybit", LINEAR),
]


@pytest.mark.parametrize("exchange, symbol", PLACES)
async def test_an_order_lives_and_dies_the_same_on_every_exchange(
    exchange: str, symbol: str
) -> None:
    async with lived(exchange) as live:
        live.symbol = symbol
        venue, order = live.venue, live.order(quantity="0.05")
        await venue.submit(order)
        (there,) = await venue.open_orders(symbol)
        assert (there.client_order_id, there.quantity) == (order.client_order_id, Decimal("0.05"))
        number = live.r.exchange.orders("main")[0].order_id
        live.r.exchange.force_fill("main", number, Decimal("0.02"))
        await live.until(lambda: K.FILL in live.of(order))
        await venue.cancel(order)
        await live.until(lambda: K.CANCELED in live.of(order))
        assert live.of(order) == [K.ACCEPTED, K.FILL, K.CANCELED]
        found = await venue.find_order(order)
        assert found is not None
        assert (found.status, found.filled_quantity) == (S.CANCELED, Decimal("0.02"))

        since_ns = live.r.clock.now_ns() - 60 * 10**9
        (asked,) = [u.fill for u in await venue.own_fills(symbol, since_ns)]
        (heard,) = [u.fill for u in live.updates if u.fill is not None]
        assert heard is not None
        assert asked is not None
        for name in ("fill_id", "quantity", "price", "fee", "fee_currency", "liquidity"):
            assert getattr(heard, name) == getattr(asked, name), name
        assert asked.client_order_id == order.client_order_id
        holdings = await venue.holdings()
        if symbol == LINEAR:
            assert holdings.positions == {symbol: Decimal("0.02")}
        for currency, total in live.r.exchange.balances("main").items():
            assert holdings.balances[currency] == total, currency
        assert live.doubts == []


@pytest.mark.parametrize("exchange, symbol", PLACES)
async def test_quotes_are_shown_at_once_and_not_after_the_market_is_lost(
    exchange: str, symbol: str
) -> None:
    async with lived(exchange) as live:
        assert live.venue.quote(symbol) is None  # which has it watched
        await live.until(lambda: live.venue.quote(symbol))
        quote = live.venue.quote(symbol)
        assert quote is not None
        assert 40_000 < quote.bid < quote.ask < 60_000
        assert quote.local_ts_ns > 0
        await live.r.hang_up()
        await live.until(lambda: live.venue.quote(symbol) is None)


@pytest.mark.parametrize("exchange, symbol", PLACES)
async def test_a_lost_answer_is_unknown_and_the_id_is_not_used_again(
    exchange: str, symbol: str
) -> None:
    async with lived(exchange, timeout_s=1.0) as live:
        live.symbol = symbol
        live.r.faults.after("create", "reset")
        order = live.order()
        with pytest.raises(OutcomeUnknown):
            await live.venue.submit(order)
        with pytest.raises(InvalidInput, match="was sent before"):
            await live.venue.submit(order)
        found = await live.venue.find_order(order)

        assert found is not None
        assert found.client_order_id == order.client_order_id
        assert len(live.r.exchange.orders("main")) == 1


@pytest.mark.parametrize("exchange, symbol", [("binance", SPOT), ("binanceusdm", LINEAR)])
async def test_orders_over_the_socket_are_orders_too(exchange: str, symbol: str) -> None:
    async with lived(exchange, over_socket=True, timeout_s=1.0) as live:
        live.symbol = symbol
        order = live.order()
        await live.venue.submit(order)
        await live.venue.cancel(order)
        await live.until(lambda: K.CANCELED in live.of(order))
        poor = live.order(quantity="900")
        await live.venue.submit(poor)
        assert [u.reason for u in live.updates if u.kind is K.REJECTED] == ["insufficient_balance"]

        live.r.faults.after("create", "hang", times=None)
        lost = live.order()
        with pytest.raises(OutcomeUnknown):
            await live.venue.submit(lost)
        live.r.faults.clear()
        found = await live.venue.find_order(lost)
        assert found is not None
        assert found.status is S.OPEN


async def test_leverage_and_modes_are_set_and_seen_to_be_so() -> None:
    wanted = Standing(leverage={LINEAR: 7}, margin_mode="isolated", one_way=True)
    async with lived("binanceusdm", standing=wanted) as live:
        shown = await live.venue.client.fetch_leverage("BTC/USDT:USDT")
        assert (int(shown["longLeverage"]), shown["marginMode"]) == (7, "isolated")
    async with lived("bybit", standing=Standing(leverage={LINEAR: 7})) as live:
        shown = await live.venue.client.fetch_leverage("BTC/USDT:USDT")
        assert int(shown["longLeverage"]) == 7


async def test_what_already_stands_as_wanted_is_no_error() -> None:
    wanted = Standing(leverage={LINEAR: 3}, one_way=True)
    async with Rehearsal("binanceusdm") as r:
        for _ in range(2):
            async with venue_on(r, "binanceusdm", standing=wanted) as live:
                assert live.venue.link.state is LinkState.UP


async def test_leverage_that_is_not_taken_up_stops_the_start() -> None:
    async with Rehearsal("binanceusdm") as r:
        r.faults.before("settings", "code", path="/leverage", code=-4028, message="not valid")
        with pytest.raises(FixRequest, match="leverage 50 was not taken up"):
            async with venue_on(r, "binanceusdm", standing=Standing(leverage={LINEAR: 50})):
                pass


@pytest.mark.parametrize(
    "given, field",
    [
        ({"leverage": {LINEAR: 0}}, f"leverage[{LINEAR}]"),
        ({"leverage": {LINEAR: 2.5}}, f"leverage[{LINEAR}]"),
        ({"margin_mode": "both"}, "margin_mode"),
        ({"margin_mode": "cross"}, "leverage"),
    ],
)
def test_a_standing_that_cannot_be_is_refused(given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        Standing(**given)  # type: ignore[arg-type]

    assert wrong.value.field == field


async def test_a_spot_market_has_no_leverage() -> None:
    with pytest.raises(InvalidInput, match="spot"):
        async with lived(standing=Standing(leverage={SPOT: 2})):
            pass


async def test_a_wrong_key_is_said_to_be_so_at_the_start() -> None:
    async with Rehearsal("binance") as r:
        r.exchange.revoke_key()
        with pytest.raises(StopTrading, match="does not take the key"):
            async with venue_on(r):
                pass


async def test_real_money_does_not_start_with_a_key_that_can_withdraw() -> None:
    async with Rehearsal("binance") as r:
        r.key.may_withdraw = True
        with pytest.raises(FixRequest, match="withdraw"):
            async with venue_on(r, mode=ExecutionMode.LIVE):
                pass
        async with venue_on(
            r, mode=ExecutionMode.LIVE, accept="this key can withdraw my funds"
        ) as live:
            assert live.venue.mode is ExecutionMode.LIVE


async def test_closing_waits_for_an_order_under_way() -> None:
    async with lived() as live:
        live.r.faults.after("create", "delay", seconds=0.2)
        order = live.order()
        caller = asyncio.create_task(live.venue.submit(order))
        await live.until(lambda: live.r.exchange.orders("main"))
        await live.venue.close()
        await caller

        assert live.of(order) == [K.ACCEPTED]
