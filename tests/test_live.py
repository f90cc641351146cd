"""LiveVenue, through the real ccxt.pro client, against a rehearsal exchange over real sockets."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

import execkit as ek
from execkit.errors import InvalidInput, OutcomeUnknown, RetryLater, StopTrading
from execkit.rehearsal import NewOrder, Rehearsal
from execkit.venues.base import UpdateKind
from execkit.venues.remote import LinkState, RemoteVenue
from execkit.words import ExecutionStatus, Liquidity, OrderType, Side
from tests.helpers.lived import lived, venue_on

K = UpdateKind
S = ExecutionStatus


async def test_an_order_is_accepted_found_canceled_and_gone() -> None:
    async with lived() as live:
        venue, order = live.venue, live.order()
        assert isinstance(venue, RemoteVenue)
        await venue.submit(order)
        (open_order,) = await venue.open_orders("BTCUSDT")
        found = await venue.find_order(order)
        assert found is not None
        assert (found.client_order_id, found.venue_order_id) == (
            order.client_order_id,
            open_order.venue_order_id,
        )
        assert (found.status, found.quantity, found.price) == (S.OPEN, order.quantity, order.price)

        await venue.cancel(order)
        await live.until(lambda: K.CANCELED in live.of(order))
        assert live.of(order) == [K.ACCEPTED, K.CANCELED]
        assert await venue.open_orders() == []
        found = await venue.find_order(order)
        assert found is not None
        assert found.status is S.CANCELED


async def test_a_fill_is_heard_once_with_its_fee_and_equals_the_ledger() -> None:
    async with lived() as live:
        order = live.order(order_type="market", quantity="0.02")
        await live.venue.submit(order)
        await live.until(lambda: K.FILL in live.of(order))
        (heard,) = [u.fill for u in live.updates if u.fill is not None]
        since_ns = live.r.clock.now_ns() - 60 * 10**9
        (asked,) = [u.fill for u in await live.venue.own_fills("BTCUSDT", since_ns)]
        (of_order,) = [
            u.fill
            for u in await live.venue.own_fills(
                "BTCUSDT", since_ns, live.updates[-1].venue_order_id
            )
        ]
        holdings = await live.venue.holdings()

    assert heard is not None
    assert asked is not None
    assert (heard.fill_id, heard.quantity, heard.price, heard.fee, heard.fee_currency) == (
        asked.fill_id,
        Decimal("0.02"),
        Decimal("50000.01"),
        Decimal("0.00002"),
        "BTC",
    )
    assert of_order is not None
    assert of_order.fill_id == asked.fill_id
    assert (asked.client_order_id, heard.liquidity) == (order.client_order_id, Liquidity.TAKER)
    assert holdings.balances["BTC"] == live.r.exchange.balances("main")["BTC"]
    assert holdings.balances["USDT"] == Decimal(1000000) - Decimal("1000.0002")
    assert live.doubts == []


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"quantity": "1000"}, "insufficient_balance"),
        ({"price": "51000", "post_only": True}, "post_only"),
    ],
)
async def test_a_refusal_by_the_exchange_is_an_update_with_its_reason(
    changes: dict[str, object], reason: str
) -> None:
    async with lived() as live:
        order = live.order(**changes)
        await live.venue.submit(order)

        assert live.of(order) == [K.REJECTED]
        assert live.updates[0].reason == reason
        assert live.r.exchange.orders("main") == []


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"symbol": "NOSUCH"}, "symbol"),
        ({"price": "49000.001"}, "price"),
        ({"quantity": "0.000001"}, "quantity"),
        ({"client_order_id": "a b"}, "client_order_id"),
    ],
)
async def test_what_the_exchange_would_not_take_is_not_sent(
    changes: dict[str, object], field: str
) -> None:
    async with lived() as live:
        with pytest.raises(InvalidInput) as wrong:
            await live.venue.submit(live.order(**changes))

        assert wrong.value.field == field
        assert live.r.exchange.orders("main") == []


async def test_a_lost_answer_is_an_unknown_outcome_and_the_order_is_found() -> None:
    async with lived(timeout_s=1.0) as live:
        live.r.faults.after("create", "reset")
        order = live.order()
        with pytest.raises(OutcomeUnknown):
            await live.venue.submit(order)
        found = await live.venue.find_order(order)

        assert found is not None
        assert live.doubts[0][0] == order.client_order_id
        assert len(live.r.exchange.orders("main")) == 1


async def test_an_order_that_was_never_taken_is_not_found() -> None:
    async with lived(timeout_s=1.0) as live:
        live.r.faults.before("create", "reset")
        order = live.order()
        with pytest.raises(OutcomeUnknown):
            await live.venue.submit(order)

        assert await live.venue.find_order(order) is None


async def test_a_lookup_that_fails_is_not_an_absence() -> None:
    async with lived(timeout_s=1.0) as live:
        order = live.order()
        await live.venue.submit(order)
        for verb, what in (("reset", {}), ("http", {"status": 503}), ("code", {"code": -1000})):
            live.r.faults.before("query", verb, times=None, **what)
            with pytest.raises(RetryLater):
                await live.venue.find_order(order)
            live.r.faults.clear()


async def test_a_cancelled_caller_does_not_cancel_its_order() -> None:
    async with lived() as live:
        live.r.faults.after("create", "delay", seconds=0.2)
        order = live.order()
        caller = asyncio.create_task(live.venue.submit(order))
        await live.until(lambda: live.r.exchange.orders("main"))
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await live.until(lambda: live.of(order))

        assert caller.cancelled()
        assert live.of(order) == [K.ACCEPTED]


async def test_a_cancelled_caller_of_an_order_whose_answer_is_lost_leaves_a_doubt() -> None:
    async with lived(timeout_s=0.5) as live:
        live.r.faults.after("create", "hang")
        order = live.order()
        caller = asyncio.create_task(live.venue.submit(order))
        await live.until(lambda: live.r.exchange.orders("main"))
        caller.cancel()
        await live.until(lambda: live.doubts)

        assert live.doubts[0][0] == order.client_order_id


async def test_the_cancel_of_an_order_that_is_gone_is_a_doubt_and_not_a_cancel() -> None:
    async with lived() as live:
        order = live.order()
        await live.venue.submit(order)
        live.r.faults.mute()
        live.r.exchange.force_fill("main", int(live.updates[0].venue_order_id))
        await live.venue.cancel(order)

        assert live.of(order) == [K.ACCEPTED]
        assert live.doubts == [(order.client_order_id, live.doubts[0][1])]
        found = await live.venue.find_order(order)
        assert found is not None
        assert found.status is S.FILLED


async def test_a_cancel_whose_answer_is_lost_is_not_sent_again() -> None:
    """aiohttp would repeat a DELETE on a connection that it had kept, and the second answer would
    say that there is no such order."""
    async with lived(timeout_s=1.0) as live:
        order = live.order()
        await live.venue.submit(order)
        await live.venue.open_orders()
        rule = live.r.faults.after("cancel", "reset", times=None)
        with pytest.raises(OutcomeUnknown):
            await live.venue.cancel(order)

        assert rule.struck == 1
        await live.until(lambda: K.CANCELED in live.of(order))


async def test_everything_is_canceled_orders_of_others_too() -> None:
    async with lived() as live:
        for symbol in ("BTCUSDT", "BTCUSDT", "ETHUSDT"):
            price = "49000" if symbol == "BTCUSDT" else "2000"
            await live.venue.submit(live.order(symbol=symbol, price=price))
        others = NewOrder(
            symbol="BTCUSDT",
            side=Side.SELL,
            order_type=OrderType.LIMIT,
            quantity=Decimal(1),
            price=Decimal(60000),
        )
        live.r.exchange.manual("main", others)
        assert len(await live.venue.open_orders()) == 4
        await live.venue.cancel_all("ETHUSDT")
        assert len(await live.venue.open_orders()) == 3
        await live.venue.cancel_all()

        assert await live.venue.open_orders() == []


async def test_bursts_of_fills_reach_the_listener_whole_and_in_order() -> None:
    """ccxt's own answers merge or hold back what comes while nobody awaits."""
    async with lived() as live:
        orders = [live.order(quantity="0.05") for _ in range(5)]
        for order in orders:
            await live.venue.submit(order)
        ids = {u.client_order_id: int(u.venue_order_id) for u in live.updates}
        for number in ids.values():
            for _ in range(10):
                live.r.exchange.force_fill("main", number, Decimal("0.005"))
        await live.until(lambda: sum(u.fill is not None for u in live.updates) >= 50)

        for order in orders:
            mine = [u.fill for u in live.updates if u.client_order_id == order.client_order_id]
            assert sum(f.quantity for f in mine if f) == order.quantity
        numbers = [int(u.fill.fill_id) for u in live.updates if u.fill]
        assert numbers == sorted(set(numbers))
        assert live.doubts == []


@pytest.mark.parametrize("verb", ["close", "reset"])
async def test_a_cut_stream_takes_the_link_down_and_comes_back_as_another_epoch(
    verb: str,
) -> None:
    async with lived() as live:
        before = live.venue.link
        live.r.sockets(verb)
        await live.until(lambda: live.venue.link.epoch > before.epoch)
        states = [link.state for link in live.links]
        assert states == [LinkState.UP, LinkState.DOWN, LinkState.UP]

        order = live.order()
        await live.venue.submit(order)
        await live.until(lambda: any(u.local_ts_ns for u in live.updates))
        live.r.exchange.force_fill("main", int(live.updates[0].venue_order_id))
        await live.until(lambda: K.FILL in live.of(order))


async def test_a_stream_that_falls_silent_is_stale_and_then_replaced() -> None:
    async with lived(keep_alive_s=0.3) as live:
        live.r.sockets("half_open")
        await live.until(lambda: live.venue.link.epoch == 2)

        states = [link.state for link in live.links]
        assert states[:2] == [LinkState.UP, LinkState.STALE]
        assert states[-1] is LinkState.UP


async def test_a_revoked_key_halts_the_link_and_what_follows_is_not_sent() -> None:
    async with lived() as live:
        live.r.exchange.revoke_key()
        order = live.order()
        await live.venue.submit(order)
        assert [u.reason for u in live.updates] == ["no_permission"]
        assert live.venue.link.state is LinkState.HALTED
        with pytest.raises(RetryLater, match="halted"):
            await live.venue.submit(live.order())
        with pytest.raises(StopTrading):
            await live.venue.open_orders()


async def test_a_wrong_clock_is_measured_and_a_refused_stamp_measured_again() -> None:
    async with Rehearsal("binance") as r:
        r.dialect.skew_ms = 30_000  # type: ignore[attr-defined]
        async with venue_on(r) as live:
            assert abs(live.venue.client.clock_offset_ms - 30_000) < 5_000
            r.dialect.skew_ms = -30_000  # type: ignore[attr-defined]
            with pytest.raises(RetryLater, match="bad_timestamp"):
                await live.venue.submit(live.order())
            await live.until(lambda: live.venue.client.clock_offset_ms < 0)
            await live.venue.submit(live.order())
            assert len(r.exchange.orders("main")) == 1


async def test_a_server_that_is_down_is_surely_not_sent_to() -> None:
    async with lived(timeout_s=1.0) as live:
        await live.r.hang_up()
        await live.until(lambda: live.venue.link.state is LinkState.DOWN)
        with pytest.raises((RetryLater, OutcomeUnknown)):
            await live.venue.submit(live.order())  # perhaps on a connection that was kept
        with pytest.raises(RetryLater):
            await live.venue.submit(live.order())


async def test_too_many_requests_hold_everything_back_for_as_long_as_was_said() -> None:
    async with lived(patience_s=0.2) as live:
        live.r.faults.before("create", "http", status=429, headers={"Retry-After": "30"})
        with pytest.raises(RetryLater, match="rate_limited"):
            await live.venue.submit(live.order())
        with pytest.raises(RetryLater, match="no turn"):
            await live.venue.submit(live.order())

        assert live.r.exchange.orders("main") == []


async def test_a_changed_rule_is_learned_from_its_refusal() -> None:
    async with lived() as live:
        live.r.exchange.change_filter("BTCUSDT", lot_size=Decimal("0.01"))
        order = live.order(quantity="0.015")
        await live.venue.submit(order)
        assert [u.reason for u in live.updates] == ["lot_size"]
        await live.until(lambda: live.venue.instruments["BTCUSDT"].lot_size == Decimal("0.01"))
        with pytest.raises(InvalidInput, match="multiple of the lot"):
            await live.venue.submit(live.order(quantity="0.015"))


async def test_the_end_of_an_order_waits_for_the_fills_that_it_had() -> None:
    async with lived() as live:
        order = live.order(quantity="0.05")
        await live.venue.submit(order)
        live.r.faults.stream("fill", "drop")
        number = int(live.updates[0].venue_order_id)
        live.r.exchange.force_fill("main", number, Decimal("0.02"))
        await live.venue.cancel(order)
        await live.until(lambda: live.doubts and K.CANCELED in live.of(order))

        assert "0.02" in live.doubts[0][1]
        assert live.of(order) == [K.ACCEPTED, K.CANCELED]


async def test_open_venue_finds_a_rehearsal_by_its_address_or_by_itself() -> None:
    async with Rehearsal("binance") as r:
        by_itself = ek.open_venue("binance", rehearsal=r)
        venue = await asyncio.to_thread(ek.open_venue, "binance", rehearsal=r.admin_url)
        assert venue.account_id == by_itself.account_id
        await venue.connect()
        try:
            assert venue.link.state is LinkState.UP
            assert "BTCUSDT" in venue.instruments
        finally:
            await venue.close()


@pytest.mark.parametrize(
    "given, field",
    [
        ({"exchange": "nosuch"}, "exchange"),
        ({"mode": "real"}, "mode"),
        ({"mode": "paper"}, "symbols"),
        ({"mode": "live", "rehearsal": "http://127.0.0.1:1"}, "mode"),
        ({"rehearsal": "http://example.com:1"}, "rehearsal"),
        ({"rehearsal": "https://127.0.0.1:1"}, "rehearsal"),
    ],
)
def test_open_venue_names_what_is_wrong(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        ek.open_venue(**({"exchange": "binance"} | given))  # type: ignore[arg-type]

    assert wrong.value.field == field


def test_a_rehearsal_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(RetryLater, match="no rehearsal answers"):
        ek.open_venue("binance", rehearsal="http://127.0.0.1:9")


def test_real_money_needs_keys_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("BINANCE_DEMO_API_KEY", "k" * 10 + "1234567")
    monkeypatch.setenv("BINANCE_DEMO_API_SECRET", "s" * 10 + "1234567")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(str(tmp_path))

    assert ek.open_venue("binance").mode is ek.ExecutionMode.DEMO
    with pytest.raises(ek.ExecKitError, match="BINANCE_API_KEY"):
        ek.open_venue("binance", mode="live")
