"""What Binance spot lacks, done on our side: over the real client, judged by the exchange itself.

A held order must go out once, under its own id, when its price is there and not before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import execkit as ek
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import quiet
from tests.helpers.engined import engine_at, order, priced, same_books, until

D = Decimal
S = ek.ExecutionStatus


@asynccontextmanager
async def bought(folder: Path) -> AsyncIterator[tuple[Rehearsal, ek.ExecutionEngine]]:
    """An engine that holds 0.01 BTC with a stop loss at 48,000 and a target at 52,000."""
    async with Rehearsal("binance", market=quiet()) as r:
        async with engine_at(r, folder) as engine:
            await priced(r, engine)
            signal = ek.TradingSignal(
                "BTCUSDT", "buy", D("0.01"), stop_loss=D(48000), take_profit=D(52000)
            )
            result = await engine.execute_signal(signal, "binance")
            assert result.success, result.error
            await until(lambda: len(engine.order_manager.open_orders()) == 2)
            await until(lambda: all(o.status is S.OPEN for o in engine.order_manager.open_orders()))
            yield r, engine
        same_books(r, engine, folder)


def sent(r: Rehearsal) -> list[str]:
    """Client ids of all orders that the exchange ever saw."""
    return [booked.client_order_id for booked in r.exchange.snapshot()["orders"]]


def legs(engine: ek.ExecutionEngine) -> tuple[ek.ExecutionOrder, ek.ExecutionOrder]:
    """(stop loss, take profit)."""
    found = {o.order_type: o for o in engine.order_manager.orders.values() if o.reduce_only}
    return found[ek.OrderType.STOP_MARKET], found[ek.OrderType.LIMIT]


async def test_one_leg_of_a_pair_rests_at_the_exchange_and_the_other_is_held(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as (r, engine):
        stop, target = legs(engine)
        assert stop.quantity == target.quantity == D("0.00999")  # the fee was taken in coin
        assert stop.client_order_id in sent(r)
        assert target.client_order_id not in sent(r)


async def test_a_target_that_is_reached_is_sent_once_the_stop_is_gone(tmp_path: Path) -> None:
    async with bought(tmp_path) as (r, engine):
        stop, target = legs(engine)
        r.exchange.move("BTCUSDT", D(52001), D(52003))
        await until(lambda: target.status is S.FILLED and stop.is_done)
        assert (stop.status, stop.reason) == (S.CANCELED, "oco")
        assert sent(r).count(target.client_order_id) == 1
        assert target.average_filled_price == D(52001)
        assert len(sent(r)) == 3  # what was bought, its stop, its target: nothing was armed again
        await until(lambda: not engine.position_tracker.open_positions())


async def test_a_stop_that_fires_ends_the_target_unsent(tmp_path: Path) -> None:
    async with bought(tmp_path) as (r, engine):
        stop, target = legs(engine)
        r.exchange.move("BTCUSDT", D(47990), D(47992))
        await until(lambda: stop.status is S.FILLED and target.is_done)
        assert (target.status, target.reason) == (S.CANCELED, "oco")
        assert target.client_order_id not in sent(r)
        await until(lambda: not engine.position_tracker.open_positions())


async def test_a_held_order_that_is_canceled_never_goes_out(tmp_path: Path) -> None:
    async with bought(tmp_path) as (r, engine):
        _, target = legs(engine)
        engine.protector.plans.clear()  # nobody arms it again
        assert await engine.order_manager.cancel_order(target)
        await until(lambda: target.status is S.CANCELED)
        r.exchange.move("BTCUSDT", D(52001), D(52003))
        await asyncio.sleep(0.1)
        assert target.client_order_id not in sent(r)


async def test_a_trailing_stop_follows_the_best_price_and_sells_when_it_falls_back(
    tmp_path: Path,
) -> None:
    async with Rehearsal("binance", market=quiet()) as r:
        async with engine_at(r, tmp_path) as engine:
            await priced(r, engine)
            trailing = ek.ExecutionOrder(
                symbol="BTCUSDT",
                side="sell",
                order_type="trailing_stop",
                quantity=D("0.01"),
                trail_bps=D(100),
            )
            venue = engine.exchanges["binance"]
            await engine.submit_order(trailing, "binance")
            await until(lambda: trailing.status is S.OPEN)
            for bid in (50100, 51000, 50600):  # the mark is 51,000, the stop 50,490
                r.exchange.move("BTCUSDT", D(bid), D(bid + 2))
                await until(lambda bid=bid: (q := venue.quote("BTCUSDT")) and q.bid == bid)
                await asyncio.sleep(0.05)
            assert sent(r) == []
            r.exchange.move("BTCUSDT", D(50480), D(50482))
            await until(lambda: trailing.status is S.FILLED)
            assert sent(r) == [trailing.client_order_id]
        same_books(r, engine, tmp_path)


async def test_an_order_good_till_a_date_expires_then_though_the_exchange_knows_no_date(
    tmp_path: Path,
) -> None:
    async with Rehearsal("binance", market=quiet()) as r:
        async with engine_at(r, tmp_path) as engine:
            await priced(r, engine)
            dated = ek.ExecutionOrder(
                symbol="BTCUSDT",
                side="buy",
                order_type="limit",
                quantity=D("0.01"),
                price=D(45000),
                time_in_force="GTD",
                expire_ts_ns=time.time_ns() + 1_500_000_000,
            )
            await engine.submit_order(dated, "binance")
            await until(lambda: dated.is_done)
            assert (dated.status, dated.reason) == (S.EXPIRED, "gtd")
            (booked,) = r.exchange.snapshot()["orders"]
            assert booked.status is S.CANCELED
        same_books(r, engine, tmp_path)


async def test_a_held_order_is_held_again_after_a_restart_and_not_sent(tmp_path: Path) -> None:
    async with Rehearsal("binance", market=quiet()) as r:
        trailing = ek.ExecutionOrder(
            symbol="BTCUSDT",
            side="sell",
            order_type="trailing_stop",
            quantity=D("0.01"),
            trail_bps=D(100),
        )
        async with engine_at(r, tmp_path) as engine:
            await priced(r, engine)
            await engine.submit_order(trailing, "binance")
            await until(lambda: trailing.status is S.OPEN)
        async with engine_at(r, tmp_path) as again:
            found = again.order_manager.get_order(trailing.client_order_id)
            assert found is not None
            await until(lambda: found.status is S.OPEN)
            assert sent(r) == []
            await priced(r, again)
            await asyncio.sleep(0.05)
            r.exchange.move("BTCUSDT", D(49000), D(49002))
            await until(lambda: found.status is S.FILLED)
            assert sent(r) == [trailing.client_order_id]
        same_books(r, again, tmp_path)


async def test_what_neither_side_can_do_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with Rehearsal("binance", market=quiet()) as r:
        async with engine_at(r, tmp_path) as engine:
            await priced(r, engine)
            buy = order("buy", "limit", "0.01", "45000")
            buy.reduce_only = True
            result = await engine.submit_order(buy, "binance")
            assert not result.success
            assert "reduce_only" in result.error
        assert sent(r) == []
