"""Protection and the emergency stop where things happen at the same time, late, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from execkit.clock import LiveClock
from execkit.domain import ExecutionOrder, Fill, Instrument, TradingSignal
from execkit.engine import ExecutionEngine
from execkit.errors import JournalUnwritable, OutcomeUnknown
from execkit.journal import Journal
from execkit.risk import RiskGuard
from execkit.venues.base import Quote, UpdateKind, VenueUpdate
from execkit.words import ExecutionStatus, OrderType
from tests.helpers.quotevenue import QuoteVenue, S, quote
from tests.helpers.wild import Wild

D = Decimal
St = ExecutionStatus
KEY = ("paper", "BTCUSDT")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def each_second(last: int, price: float = 50_000, size: float = 100.0) -> list[Quote]:
    return [quote(t, price - 1, price + 1, size) for t in range(1, last)]


async def started(venue: Any, **more: Any) -> ExecutionEngine:
    guard = RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=None)
    engine = ExecutionEngine({"binance": venue}, risk_guard=guard, **more)
    await engine.start()
    return engine


async def buy(engine: ExecutionEngine, quantity: object = 1, **more: Any) -> ExecutionOrder:
    return await trade(engine, "BUY", quantity, **more)


async def trade(
    engine: ExecutionEngine, side: str, quantity: object = 1, **more: Any
) -> ExecutionOrder:
    wish = TradingSignal("BTCUSDT", side, quantity, **more)  # type: ignore[arg-type]
    result = await engine.execute_signal(wish, "binance")
    assert result.order is not None
    return result.order


def stops(engine: ExecutionEngine) -> list[tuple[Decimal | None, Decimal]]:
    """(level, quantity) of the stop losses that nobody has asked to cancel."""
    legs = engine.protector.covering(*KEY)
    live = [o for o in legs if o.status is not St.CANCEL_PENDING]
    return [(o.stop_price, o.remaining_quantity) for o in live if o.stop_price is not None]


def held(engine: ExecutionEngine) -> Decimal:
    return engine.position_tracker.quantity(*KEY)


def codes(engine: ExecutionEngine) -> list[str]:
    return [alarm.code for alarm in engine.order_manager.alarms]


def late_fill(venue: QuoteVenue, order: ExecutionOrder, now_ns: int) -> None:
    """The venue tells a fill that nobody expects any more."""
    side, quantity = order.side, order.quantity
    fill = Fill(
        fill_id=f"late-{order.client_order_id}",
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=side,
        quantity=quantity,
        price=D(50_001),
        venue_ts_ns=now_ns,
        local_ts_ns=now_ns,
        venue=venue.name,
    )
    venue.position[order.symbol] = venue.position.get(order.symbol, D(0)) + side.sign * quantity
    assert venue._listener is not None
    venue._listener(
        VenueUpdate(
            kind=UpdateKind.FILL,
            client_order_id=order.client_order_id,
            venue_ts_ns=now_ns,
            local_ts_ns=now_ns,
            fill=fill,
        )
    )


# ------------------------------------------------------------------ whose plan it is


def test_the_plan_of_a_closed_position_does_not_adopt_the_next_one() -> None:
    """Closed and entered again in one step, both under way for half a second."""

    async def scenario() -> None:
        venue = QuoteVenue(each_second(20), entry_ns=S // 2, response_ns=S // 10)
        engine = await started(venue)
        await buy(engine, stop_loss=49_000, take_profit=60_000)

        async def strategy(now_ns: int) -> None:
            if now_ns == 4 * S:
                await engine.close_position("BTCUSDT")
                await buy(engine, stop_loss=45_000, take_profit=61_000)

        await engine.replay(on_time=strategy)
        assert held(engine) == 1
        assert stops(engine) == [(45_000, 1)]
        assert len(engine.protector.plans) == 1

    run(scenario())


def test_a_sale_ends_the_oldest_entrys_stop_and_leaves_one_for_what_is_held() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(each_second(9)))
        await buy(engine, stop_loss=49_000)
        await buy(engine, stop_loss=48_000)
        await trade(engine, "SELL")
        await engine.replay()
        assert (held(engine), stops(engine)) == (1, [(48_000, 1)])

    run(scenario())


def test_an_exit_that_fills_in_part_reduces_the_cover_of_its_own_entry_only() -> None:
    async def scenario() -> None:
        quotes = [*each_second(5), quote(5, 52_000, 52_002, 0.4), quote(6, 50_000, 50_002)]
        engine = await started(QuoteVenue(quotes))
        await buy(engine, stop_loss=49_000, take_profit=55_000)
        await buy(engine, stop_loss=48_000, take_profit=52_000)
        await engine.replay()
        assert held(engine) == D("1.6")
        assert sorted(stops(engine)) == [(48_000, D("0.6")), (49_000, 1)]

    run(scenario())


def test_an_order_that_turns_a_position_round_is_covered_for_what_it_opened() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(each_second(9)))
        await buy(engine, stop_loss=49_000)
        await trade(engine, "SELL", 3, stop_loss=51_000)
        await engine.replay()
        assert (held(engine), stops(engine)) == (-2, [(51_000, 2)])

    run(scenario())


def test_an_entry_that_goes_on_filling_after_a_close_is_covered_again() -> None:
    async def scenario() -> None:
        quotes = [quote(1, 49_999, 50_001, 0.4), quote(2, 49_999, 50_005, 0.4)]
        engine = await started(QuoteVenue([*quotes, quote(5, 49_999, 50_001, 0.4)]))
        await buy(engine, price=50_001, stop_loss=49_000)
        await engine.replay(2 * S)
        assert stops(engine) == [(49_000, D("0.4"))]
        await engine.close_position("BTCUSDT")
        assert (held(engine), stops(engine)) == (0, [])
        await engine.replay()
        assert (held(engine), stops(engine)) == (D("0.4"), [(49_000, D("0.4"))])

    run(scenario())


def test_a_fill_that_comes_after_its_order_was_canceled_is_covered() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(each_second(9))
        engine = await started(venue)
        order = await buy(engine, price=40_000, stop_loss=39_000)
        await engine.order_manager.cancel_order(order)
        await engine.replay(3 * S)
        assert (order.status, engine.protector.plans) == (St.CANCELED, [])
        late_fill(venue, order, 4 * S)
        await engine.replay()
        assert codes(engine) == ["late_fill"]
        assert (held(engine), stops(engine)) == (1, [(39_000, 1)])

    run(scenario())


def test_what_was_covered_stays_so_while_an_entry_fills_faster_than_orders_arrive() -> None:
    """Cancels arrive at once, orders after two seconds, and each second brings a fill."""

    async def scenario() -> None:
        class Quick(QuoteVenue):
            gone: tuple[str, ...] = ()  # canceled before they arrived

            async def cancel(self, order: ExecutionOrder) -> None:
                self._enqueue(order.cancel_ts_ns or 0, "cancel", order)

            def _cancel(self, order: ExecutionOrder) -> None:
                if order.client_order_id not in self._book:
                    self.gone += (order.client_order_id,)
                super()._cancel(order)

            def _arrive(self, order: ExecutionOrder) -> None:
                if order.client_order_id in self.gone:
                    self._tell(UpdateKind.CANCELED, order, "requested")
                else:
                    super()._arrive(order)

        venue = Quick(each_second(20, size=0.2), entry_ns=2 * S)
        engine = await started(venue)
        await buy(engine, 3, price=50_001, stop_loss=49_000)
        bare: list[int] = []

        def look(now_ns: int) -> None:
            resting = [i for i in venue._book.values() if i.order.reduce_only]
            if held(engine) and not resting:
                bare.append(now_ns // S)

        await engine.replay(on_time=look)
        assert len(bare) <= 2, bare  # until the first stop has arrived
        assert stops(engine) == [(49_000, 3)]

    run(scenario())


def test_after_a_restart_only_the_plan_of_the_present_position_is_taken_up(
    tmp_path: Path,
) -> None:
    async def before() -> None:
        engine = await started(QuoteVenue(each_second(9)), journal=Journal(tmp_path), run_id="r")
        await buy(engine, stop_loss=49_000)
        await buy(engine, 2, price=30_000, stop_loss=29_000)  # never fills
        await engine.close_position("BTCUSDT")
        await buy(engine, stop_loss=45_000)
        await buy(engine, "0.5", stop_loss=44_000)
        await trade(engine, "SELL", "0.25")

    async def after() -> None:
        venue = QuoteVenue([quote(t, 49_999, 50_001) for t in range(20, 30)])
        engine = await started(venue, journal=Journal(tmp_path), run_id="r")
        await engine.replay()
        assert held(engine) == D("1.25")
        assert sorted(stops(engine)) == [(44_000, D("0.5")), (45_000, D("0.75"))]

    run(before())
    run(after())


# ------------------------------------------------------------------ pauses and prices


def test_the_pause_after_an_exit_that_found_nobody_doubles_up_to_64_times() -> None:
    async def scenario() -> None:
        quotes = [quote(1, 49_999, 50_001), *(quote(t, 47_990, 47_992) for t in range(5, 605))]
        venue = QuoteVenue(quotes)
        engine = await started(venue)
        await buy(engine, stop_loss=49_000)
        venue.position["BTCUSDT"] = D(0)  # the venue has nothing to reduce
        await engine.replay()
        sent = [o.created_ts_ns for o in engine.orders.values()][1:]
        waits = [(b - a) // S for a, b in pairwise(sent)]
        # sent at 1 s, fires at 5 s; from then on each fires as it arrives
        assert waits == [4 + 1, 2, 4, 8, 16, 32, *[64] * 8]

    run(scenario())


def test_a_fill_during_a_pause_is_covered_at_once() -> None:
    async def scenario() -> None:
        quotes = [quote(1, 49_999, 50_001, 0.5), quote(2, 48_900, 50_003), quote(6, 48_900, 50_003)]
        venue = QuoteVenue([*quotes, quote(7, 49_999, 50_001)])
        engine = await started(venue)
        await buy(engine, price=50_001, stop_loss=49_000)
        venue.position["BTCUSDT"] = D(0)  # exits find nothing to reduce: pauses to 3, 5 and 9 s
        await engine.replay(6 * S)
        assert (held(engine), stops(engine)) == (D("0.5"), [])
        await engine.replay(7 * S)
        assert (held(engine), stops(engine)) == (1, [(49_000, 1)])

    run(scenario())


@pytest.mark.parametrize(
    ("side", "exits", "field"),
    [
        ("BUY", {"stop_loss": 52_000}, "stop_loss"),
        ("BUY", {"stop_loss": 50_000}, "stop_loss"),
        ("BUY", {"take_profit": 49_000}, "take_profit"),
        ("SELL", {"stop_loss": 48_000}, "stop_loss"),
        ("SELL", {"take_profit": 51_000}, "take_profit"),
        ("BUY", {"price": 60_000, "stop_loss": 55_000}, "stop_loss"),
    ],
)
def test_exits_on_the_wrong_side_of_the_market_are_refused(
    side: str, exits: dict[str, Any], field: str
) -> None:
    async def scenario() -> None:
        venue = QuoteVenue(each_second(3))
        engine = await started(venue)
        wish = TradingSignal("BTCUSDT", side, 1, **exits)
        result = await engine.execute_signal(wish, "binance")
        assert (result.code, venue.sent) == ("invalid_input", [])
        assert result.error.startswith(f"{field} = ")
        assert "fires at once" in result.error

    run(scenario())


def test_exits_of_an_order_that_waits_for_its_price_are_measured_from_that_price() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(each_second(3)))
        order = await buy(engine, price=49_000, stop_loss=48_000, take_profit=49_500)
        assert order.status is St.OPEN

    run(scenario())


# ------------------------------------------------------------------ the emergency stop


def test_an_entry_that_fills_after_the_emergency_stop_is_closed() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(each_second(30), entry_ns=2 * S)
        engine = await started(venue)

        async def strategy(now_ns: int) -> None:
            if now_ns == 3 * S:
                await buy(engine, stop_loss=49_000, take_profit=51_000)
            if now_ns == 4 * S:
                done = await engine.emergency_stop_all()
                assert len(done["pending"]) == 1

        await engine.replay(on_time=strategy)
        kinds = [(o.order_type, o.filled_quantity) for o in engine.orders.values()]
        assert kinds == [(OrderType.MARKET, 1), (OrderType.MARKET, 1)]
        assert (held(engine), engine.order_manager.open_orders()) == (0, [])

    run(scenario())


def test_a_late_fill_after_an_emergency_stop_is_closed_until_somebody_deactivates_it() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(each_second(90))
        engine = await started(venue)
        orders = [await buy(engine, price=40_000, stop_loss=39_000) for _ in range(2)]
        await engine.emergency_stop_all()
        assert {order.status for order in orders} == {St.CANCELED}
        late_fill(venue, orders[0], engine.clock.now_ns())
        await engine.replay(engine.clock.now_ns() + 3 * S)
        assert (held(engine), venue.position) == (0, {"BTCUSDT": 0})
        engine.deactivate_circuit_breaker()
        late_fill(venue, orders[1], engine.clock.now_ns())
        await engine.replay(engine.clock.now_ns() + 3 * S)
        assert (held(engine), stops(engine)) == (1, [(39_000, 1)])

    run(scenario())


def test_the_emergency_stop_goes_on_by_itself_on_a_thin_book() -> None:
    async def scenario() -> None:
        engine = await started(
            QuoteVenue([quote(1, 49_999, 50_001), *each_second(60, size=0.1)[1:]])
        )
        await buy(engine, stop_loss=49_000, take_profit=51_000)

        async def strategy(now_ns: int) -> None:
            if now_ns == 4 * S:
                await engine.emergency_stop_all()

        await engine.replay(on_time=strategy)
        assert (held(engine), engine.order_manager.open_orders()) == (0, [])
        assert engine.protector.plans == []

    run(scenario())


def test_what_grows_while_its_close_is_under_way_is_closed_too() -> None:
    """The close of one unit long is under way when an order turns the position short."""

    async def scenario() -> None:
        venue = QuoteVenue(each_second(60), entry_ns=3 * S)
        engine = await started(venue)

        async def strategy(now_ns: int) -> None:
            if now_ns == 2 * S:
                await buy(engine)
            if now_ns == 4 * S:
                await trade(engine, "SELL", 2)
            if now_ns == 6 * S:
                await engine.emergency_stop_all()

        await engine.replay(9 * S, on_time=strategy)
        assert held(engine) == 0 or engine.protector.leaving[KEY].closing[-1].side.value == "buy"
        sent = [o.created_ts_ns // S for o in engine.orders.values() if o.reduce_only]
        assert sent == [6, 7]
        await engine.replay()
        assert held(engine) == 0

    run(scenario())


def test_what_an_emergency_stop_could_not_close_is_protected_again_when_it_is_taken_back() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(each_second(9))
        engine = await started(venue, settle_timeout_s=1)
        await buy(engine, stop_loss=49_000)
        venue.faults.reject.add(OrderType.MARKET)
        await engine.emergency_stop_all()
        assert (held(engine), stops(engine)) == (1, [])
        engine.deactivate_circuit_breaker()
        now_ns = engine.clock.now_ns()
        await engine.replay(now_ns + 1)
        assert (held(engine), stops(engine)) == (1, [(49_000, 1)])

    run(scenario())


class Disk:
    """A journal that can be full."""

    full = False

    def append_many(self, events: list[Any]) -> list[int]:
        if self.full:
            raise JournalUnwritable("no space left")
        return [1] * len(events)


def test_a_fill_that_could_not_be_protected_for_want_of_a_journal_is_protected_later() -> None:
    async def scenario() -> None:
        venue, disk = QuoteVenue(each_second(60)), Disk()
        engine = await started(venue, journal=disk)
        order = await buy(engine, price=49_000, stop_loss=48_000)
        disk.full = True
        late_fill(venue, order, 2 * S)
        with pytest.raises(JournalUnwritable):
            await engine.replay(3 * S)
        assert (held(engine), stops(engine)) == (1, [])
        assert "unprotected" in codes(engine)
        disk.full = False
        with pytest.raises(JournalUnwritable):  # what stopped trading is still to be told
            await engine.replay(20 * S)
        assert stops(engine) == [(48_000, 1)]

    run(scenario())


def test_without_a_journal_the_emergency_stop_cancels_entries_and_leaves_the_stop_loss() -> None:
    async def scenario() -> None:
        venue, disk = QuoteVenue(each_second(300)), Disk()
        engine = await started(venue, journal=disk)
        await buy(engine, stop_loss=48_000)
        resting = await buy(engine, price=49_000)
        disk.full = True
        engine.order_manager.alarms.clear()
        with pytest.raises(JournalUnwritable):
            await engine.execute_signal(TradingSignal("BTCUSDT", "BUY", 1), "binance")

        done = await engine.emergency_stop_all()
        assert (resting.status, done["cancelled_orders"]) == (St.CANCELED, [resting.order_id])
        assert done["failed"] == [{"symbol": "BTCUSDT", "error": "no space left"}]
        assert (held(engine), stops(engine)) == (1, [(48_000, 1)])
        assert {"cancel_not_recorded", "not_closed"} <= set(codes(engine))
        disk.full = False  # and by itself it goes on
        with pytest.raises(JournalUnwritable):  # what stopped trading is still to be told
            await engine.replay(engine.clock.now_ns() + 30 * S)
        assert (held(engine), stops(engine)) == (0, [])

    run(scenario())


def test_a_holding_that_no_venue_here_has_is_named_and_keeps_nothing_else_back() -> None:
    async def scenario() -> None:
        eth = Instrument(symbol="ETHUSDT", tick_size=D("0.1"), lot_size=D("0.001"), quote="USDT")
        engine = await started(QuoteVenue(each_second(30)))
        engine.position_tracker.register(eth)
        await engine.position_tracker.open_position("ETHUSDT", "LONG", 1, 2000)
        await buy(engine, stop_loss=48_000)
        closed = await engine.close_position("ETHUSDT")
        assert (closed.success, closed.code) == (False, "invalid_input")
        assert "venue = ''" in closed.error
        done = await engine.emergency_stop_all()
        assert done["closed_positions"] == ["BTCUSDT"]
        assert [failed["symbol"] for failed in done["failed"]] == ["ETHUSDT"]
        assert engine.clock.now_ns() < 5 * S  # nobody waits for what cannot be done

    run(scenario())


def test_the_emergency_stop_survives_a_restart(tmp_path: Path) -> None:
    async def before() -> None:
        venue = QuoteVenue(each_second(9))
        engine = await started(venue, journal=Journal(tmp_path), run_id="r")
        await buy(engine, stop_loss=49_000)

        async def strategy(now_ns: int) -> None:
            if now_ns == 5 * S:
                venue.faults.submit.append(OutcomeUnknown("cut"))
                await engine.emergency_stop_all()
                raise KeyboardInterrupt  # the process dies here

        with pytest.raises(KeyboardInterrupt):
            await engine.replay(on_time=strategy)

    async def after() -> None:
        venue = QuoteVenue([quote(t, 49_999, 50_001) for t in range(20, 30)])
        engine = await started(venue, journal=Journal(tmp_path), run_id="r")
        assert held(engine) == 1
        await engine.replay()
        assert (held(engine), stops(engine)) == (0, [])

    run(before())
    run(after())


def test_on_a_live_clock_an_unknown_order_that_fills_after_the_stop_is_closed() -> None:
    class Remote(QuoteVenue):
        """Answers when told to; time is the world's."""

        def next_market_ns(self) -> int | None:
            return None

    async def scenario() -> None:
        now_s = time.time()
        venue = Remote([quote(now_s - 1, 49_999, 50_001)])
        venue.advance(time.time_ns())
        venue._show(venue.quotes[0])
        engine = await started(venue, clock=LiveClock(), settle_timeout_s=0.1)
        venue.faults.submit.append(OutcomeUnknown("timeout"))
        venue.faults.cancel.append(OutcomeUnknown("timeout"))
        order = await buy(engine, stop_loss=48_000)
        assert order.status is St.UNKNOWN
        done = await engine.emergency_stop_all()
        assert done["pending"] == [order.order_id]
        late_fill(venue, order, time.time_ns())
        await engine.wait_until(lambda: order.is_done and not held(engine), time.time_ns() + 5 * S)
        await engine.stop()
        assert (held(engine), venue.position) == (0, {"BTCUSDT": 0})

    run(scenario())


# ------------------------------------------------------------------ anything at any time


def test_a_wild_strategy_is_never_bare_never_turned_round_and_flat_after_a_stop() -> None:
    """See `tests.helpers.wild`. A few of the many hundred that were run."""
    runs = [run(Wild(seed).run()) for seed in range(24)]
    for seed, seen in enumerate(runs):
        assert (seed, seen.wrong) == (seed, [])
        assert (seed, seen.bare_ns) <= (seed, seen.allowed_ns)
        assert (seed, len(seen.flat_in_s) + seen.data_ended) == (seed, seen.stops)
    assert sum(seen.data_ended for seen in runs) <= 2
    for counted, least in (("stops", 30), ("entries", 400), ("exits", 400)):
        assert sum(getattr(seen, counted) for seen in runs) > least
