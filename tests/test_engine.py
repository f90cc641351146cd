"""The engine on a small honest venue: signals, protection, closing, stopping, restarting, time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execkit.clock import LiveClock, ReplayClock
from execkit.domain import ExecutionOrder, Instrument, TradingSignal
from execkit.engine import ExecutionEngine, ExecutionResult
from execkit.errors import InvalidInput, JournalUnwritable, OutcomeUnknown
from execkit.journal import Journal
from execkit.monitor import OrderMonitor
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.risk import RiskGuard
from execkit.schema import TABLES
from execkit.venues.base import Quote, ReplayVenue, UpdateKind, VenueUpdate
from execkit.words import ExecutionMode, ExecutionStatus, OrderType, SignalAction
from tests.helpers.quotevenue import BTC, QuoteVenue, S, quote

D = Decimal
St = ExecutionStatus
WIDE: dict[str, Any] = {"max_drawdown_pct": None, "daily_loss_limit_pct": None}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def flat_market(*more: Quote) -> list[Quote]:
    """50,000 +- 1 from second 1 on, with a size of 100."""
    return [quote(1, 49_999, 50_001), *more]


async def started(venue: QuoteVenue, **more: Any) -> ExecutionEngine:
    engine = ExecutionEngine({"binance": venue}, **{"risk_guard": RiskGuard(**WIDE), **more})
    await engine.start()
    return engine


def buy(quantity: object = 1, **more: Any) -> TradingSignal:
    return TradingSignal("BTC/USDT", "BUY", quantity, **more)  # type: ignore[arg-type]


def market_order(**more: Any) -> ExecutionOrder:
    words: dict[str, Any] = {"side": "buy", "order_type": "market", "quantity": 1, **more}
    return ExecutionOrder(symbol="BTCUSDT", **words)


def shown(engine: ExecutionEngine) -> list[tuple[str, str, str]]:
    """(type, quantity, status or reason) of every order, in the order of sending."""
    return [
        (o.order_type.value, str(o.quantity.normalize()), o.reason or o.status.value)
        for o in engine.orders.values()
    ]


# ------------------------------------------------------------------ the way of a signal


def test_the_test_venue_is_a_replay_venue() -> None:
    assert isinstance(QuoteVenue([]), ReplayVenue)


def test_the_guides_example_trades_on_paper_and_ends_by_take_profit() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(60, 52_000, 52_002)), fee_bps=D(10))
        engine = ExecutionEngine(
            exchanges={"binance": venue},
            order_manager=OrderManager(),
            position_tracker=PositionTracker(),
            risk_guard=RiskGuard(max_positions=10, max_drawdown_pct=10.0),
            order_monitor=OrderMonitor(),
            execution_mode=ExecutionMode.PAPER,
        )
        await engine.start()
        signal = TradingSignal(
            symbol="BTCUSDT",
            action=SignalAction.BUY,
            quantity=0.01,
            stop_loss=48000.0,
            take_profit=52000.0,
            confidence=0.85,
            strategy_id="momentum_v1",
        )
        result = await engine.execute_signal(signal, "binance")
        assert result.success
        assert result.order is not None
        assert result.order.status is St.FILLED
        assert result.position is not None
        assert (result.position.symbol, result.position.side) == ("BTCUSDT", "LONG")
        assert result.position.stop_loss_price == 48_000
        await engine.replay()
        assert engine.positions == []
        metrics = engine.get_performance_metrics()
        await engine.stop()
        # bought 0.01 at 50,001, sold at 52,000; fees 10 bps of both
        assert metrics["positions"]["total_realized_pnl"] == pytest.approx(19.99)
        assert metrics["positions"]["total_fees"] == pytest.approx(0.50001 + 0.52)
        assert set(metrics) >= {"engine", "positions", "risk", "monitoring"}
        assert metrics["engine"]["mode"] == "paper"
        assert metrics["engine"]["success_rate"] == 100.0
        assert metrics["monitoring"]["slippage"]["avg_slippage_pct"] == pytest.approx(0.002)
        assert metrics["monitoring"]["execution"]["avg_fill_time_ms"] is not None
        assert metrics["risk"]["risk_violations"] == []

    run(scenario())


def test_a_narrated_day() -> None:
    """Event by event, with the arithmetic beside it. Fee 10 bps, answers take 100 ms."""

    async def scenario() -> None:
        venue = QuoteVenue(
            [
                quote(1, 100, 101, 5),
                quote(10, 110, 111, 5),
                quote(20, 90, 91, 5),
                quote(30, 95, 96, 5),
            ],
            fee_bps=D(10),
            response_ns=S // 10,
            instruments=(Instrument(**{**vars(BTC), "min_notional": None}),),
        )
        engine = await started(venue, starting_equity=10_000)
        one = await engine.execute_signal(buy(2, strategy_id="a"), "binance")
        # 1.1 s: bought 2 at 101; fee 0.202; marked at 100.5: 2 * -0.5 = -1
        assert engine.clock.now_ns() == S + S // 10
        assert one.position is not None
        assert (one.position.quantity, one.position.average_price) == (2, 101)
        assert engine.account.equity()[0] == D("10000") - D("0.202") - 1
        await engine.replay(10 * S)
        two = await engine.execute_signal(TradingSignal("BTCUSDT", "SELL", 3), "binance")
        # 10.1 s: sold 3 at 110: 2 closed with 2 * 9 = 18, 1 opened short at 110; fee 0.33
        assert two.position is not None
        assert (two.position.quantity, two.position.average_price) == (-1, 110)
        assert two.position.realised_pnl == 18
        # marked at 110.5: -0.5; 18 - 0.5 - 0.202 - 0.33
        assert engine.account.equity()[0] == D("10016.968")
        await engine.replay(20 * S)
        three = await engine.close_position("BTCUSDT", "binance", "day_end")
        # 20.1 s: bought 1 at 91: 19 more; fee 0.091
        assert three.position is None
        assert engine.account.equity()[0] == 10_000 + 18 + 19 - D("0.202") - D("0.33") - D("0.091")
        await engine.replay()
        assert engine.clock.now_ns() == 30 * S
        stats = engine.get_performance_metrics()["positions"]
        assert stats["closed_positions"] == 2
        assert stats["closed_win_rate_pct"] == 100.0
        assert stats["total_realized_pnl"] == 37.0
        sides = [trip.side for trip in engine.position_tracker.history]
        assert sides == ["LONG", "SHORT"]

    run(scenario())


def test_an_answer_is_known_only_after_its_delay() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(
            flat_market(quote(2, 50_000, 50_002)), entry_ns=S // 100, response_ns=S // 5
        )
        engine = await started(venue)
        order = market_order()
        await engine.submit_order(order, "binance")
        await engine.replay(S + S // 5)
        assert order.status is St.SENDING  # filled at the venue, but nobody told us yet
        assert venue.position == {"BTCUSDT": 1}
        assert engine.positions == []
        await engine.replay(S + S // 5 + S // 100)
        assert order.status is St.FILLED
        assert order.accepted_ts_ns == S + S // 5 + S // 100

    run(scenario())


def test_a_signal_with_a_price_rests_as_a_limit_order() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(9, 49_899, 49_900))))
        result = await engine.execute_signal(buy(price=49_950), "binance")
        assert result.success
        assert result.order is not None
        assert (result.order.status, result.position) == (St.OPEN, None)
        assert engine.clock.now_ns() == S
        await engine.replay()
        assert result.order.status is St.FILLED
        assert result.order.average_filled_price == 49_950

    run(scenario())


@pytest.mark.parametrize(
    ("signal", "exchange", "says"),
    [
        (buy(), "kraken", "exchange_name = 'kraken': use one of: binance"),
        (TradingSignal("ETHUSDT", "BUY", 1), "binance", "paper lists: BTCUSDT"),
        (buy("0.0009"), "binance", "is below one lot of BTCUSDT"),
        (buy("0.001", price=4000), "binance", "is below the minimum 5"),
        (buy(order_type="stop_market"), "binance", "use submit_order"),
    ],
)
def test_a_signal_that_cannot_be_followed_says_why_and_sends_nothing(
    signal: TradingSignal, exchange: str, says: str
) -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        engine = await started(venue)
        result = await engine.execute_signal(signal, exchange)
        assert (result.success, result.code) == (False, "invalid_input")
        assert says in result.error
        assert venue.sent == []
        assert engine.get_performance_metrics()["engine"]["success_rate"] == 0.0

    run(scenario())


def test_orders_are_put_on_the_grid_never_towards_more_risk() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        bought = await engine.execute_signal(buy("0.0019", price="49000.19"), "binance")
        sold = await engine.execute_signal(
            TradingSignal("BTCUSDT", "SELL", "0.0019", price="51000.11"), "binance"
        )
        assert bought.order is not None
        assert sold.order is not None
        assert (bought.order.quantity, bought.order.price) == (D("0.001"), D("49000.1"))
        assert (sold.order.quantity, sold.order.price) == (D("0.001"), D("51000.2"))

    run(scenario())


def test_a_refusal_is_a_value_with_a_code_and_is_journaled(tmp_path: Path) -> None:
    async def scenario() -> None:
        venue, journal = QuoteVenue(flat_market()), Journal(tmp_path)
        engine = await started(
            venue, risk_guard=RiskGuard(max_order_notional=1000), journal=journal
        )
        result = await engine.execute_signal(buy(), "binance")
        assert (result.success, result.code) == (False, "max_order_notional")
        assert result.refused is not None
        assert result.refused.limit == 1000
        assert venue.sent == []
        (told,) = journal.read(kinds=["refused"])
        # at the reference, which is the mid
        assert (D(told.payload["observed"]), told.payload["unit"]) == (50_000, "USDT")

    run(scenario())


def test_nothing_is_sent_before_the_engine_has_started_or_before_there_is_a_price() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        engine = ExecutionEngine({"binance": venue}, clock=ReplayClock(0))
        early = await engine.execute_signal(buy(), "binance")
        assert "await engine.start() first" in early.error
        await engine.start()
        blind = await engine.execute_signal(buy(), "binance")
        assert blind.code == "no_reference_price"
        await engine.replay(S)
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


@pytest.mark.parametrize("mode", [ExecutionMode.DEMO, ExecutionMode.LIVE])
def test_the_mode_of_engine_and_venue_must_agree(mode: ExecutionMode) -> None:
    with pytest.raises(InvalidInput, match=f"{mode.value}.*'binance' is paper"):
        ExecutionEngine({"binance": QuoteVenue([])}, execution_mode=mode)


def test_live_will_not_trade_without_limits_and_equity_of_its_own() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(), mode=ExecutionMode.LIVE)
        engine = ExecutionEngine({"binance": venue}, execution_mode="live")
        await engine.start()
        result = await engine.execute_signal(buy("0.001"), "binance")
        assert result.code == "live_limits_missing"
        assert venue.sent == []
        venue = QuoteVenue(flat_market(), mode=ExecutionMode.LIVE)
        engine = ExecutionEngine(
            {"binance": venue}, risk_guard=live_guard(), execution_mode="live", starting_equity=5000
        )
        await engine.start()
        assert (await engine.execute_signal(buy("0.001"), "binance")).success

    run(scenario())


def live_guard() -> RiskGuard:
    sizes = {"max_order_notional": 1000, "max_position_notional": 1000, "max_positions": 1}
    losses = {"max_drawdown_pct": 10, "daily_loss_limit_pct": 2}
    return RiskGuard(**sizes, **losses, max_quote_age_s=60)


def test_live_does_not_buy_on_a_quote_that_is_a_week_old() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(), mode=ExecutionMode.LIVE)
        engine = ExecutionEngine(
            {"binance": venue}, risk_guard=live_guard(), execution_mode="live", starting_equity=5000
        )
        await engine.start()
        await engine.replay(7 * 86_400 * S)
        assert (await engine.execute_signal(buy("0.001"), "binance")).code == "stale_price"

    run(scenario())


# ------------------------------------------------------------------ protection


def protected(**more: Any) -> TradingSignal:
    return buy(**{"stop_loss": 48_000, "take_profit": 52_000, **more})


def test_the_stop_loss_closes_the_position_and_cancels_the_target() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(5, 47_990, 47_992)))
        engine = await started(venue)
        await engine.execute_signal(protected(), "binance")
        await engine.replay()
        assert shown(engine) == [
            ("market", "1", "filled"),
            ("stop_market", "1", "filled"),
            ("limit", "1", "oco"),
        ]
        (trip,) = engine.position_tracker.history
        assert trip.exit_price == 47_990  # the stop slips to what is there
        assert engine.protector.plans == []

    run(scenario())


def test_a_short_is_protected_the_other_way_round() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(5, 47_990, 47_992))))
        wish = TradingSignal("BTCUSDT", "SELL", 1, stop_loss=52_000, take_profit=48_000)
        await engine.execute_signal(wish, "binance")
        legs = engine.protector.covering("paper", "BTCUSDT")
        assert {leg.side.value for leg in legs} == {"buy"}
        assert all(leg.reduce_only for leg in legs)
        assert len({leg.oco_group for leg in legs}) == 1
        await engine.replay()
        assert [t.exit_price for t in engine.position_tracker.history] == [48_000]

    run(scenario())


def test_partial_fills_of_the_entry_are_covered_one_by_one() -> None:
    """Size 0.4 is shown at each quote: the entry fills 0.4, 0.8, 1.0."""

    async def scenario() -> None:
        quotes = [quote(t, 49_999, 50_001, 0.4) for t in (1, 2, 3, 4)]
        engine = await started(QuoteVenue(quotes))
        await engine.execute_signal(protected(price=50_001), "binance")
        for second, covered in ((1, "0.4"), (2, "0.8"), (3, "1")):
            await engine.replay(second * S + S // 2)
            legs = engine.protector.covering("paper", "BTCUSDT")
            assert [leg.remaining_quantity for leg in legs] == [D(covered)] * 2
            assert {leg.status for leg in legs} == {St.OPEN}
        replaced = [o for o in engine.orders.values() if o.reason == "protection_replaced"]
        assert len(replaced) == 4

    run(scenario())


def test_the_new_pair_is_sent_before_the_old_one_is_canceled(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        quotes = [quote(1, 49_999, 50_001, 0.4), quote(2, 49_999, 50_001, 0.6)]
        engine = await started(QuoteVenue(quotes), journal=journal)
        await engine.execute_signal(protected(price=50_001), "binance")
        await engine.replay()
        told = [r.kind for r in journal.read(kinds=["intent", "cancel_requested"])]
        assert told == ["intent"] * 5 + ["cancel_requested"] * 2

    run(scenario())


def test_a_target_that_fills_in_part_is_rearmed_for_the_rest_with_a_new_stop() -> None:
    """The venue's OCO cancels the stop at the first fill of the target."""

    async def scenario() -> None:
        quotes = flat_market(
            quote(5, 52_000, 52_002, 0.3), quote(6, 51_000, 51_002), quote(7, 47_900, 47_902)
        )
        engine = await started(QuoteVenue(quotes))
        await engine.execute_signal(protected(), "binance")
        await engine.replay(5 * S + S // 2)
        legs = engine.protector.covering("paper", "BTCUSDT")
        assert sorted(leg.order_type.value for leg in legs) == ["limit", "stop_market"]
        assert [leg.remaining_quantity for leg in legs] == [D("0.7")] * 2
        await engine.replay()
        (trip,) = engine.position_tracker.history
        # 0.3 at 52,000 and 0.7 at 47,900
        assert trip.exit_price == D("49130")
        assert engine.position_tracker.quantity("paper", "BTCUSDT") == 0

    run(scenario())


def test_a_stop_that_finds_too_little_goes_on_until_the_position_is_flat() -> None:
    async def scenario() -> None:
        thin = [quote(5 + t, 47_000, 47_002, 0.4) for t in range(6)]
        engine = await started(QuoteVenue(flat_market(*thin)))
        await engine.execute_signal(protected(), "binance")
        await engine.replay()
        assert engine.positions == []
        assert "exit_unfilled" in [alarm.code for alarm in engine.order_manager.alarms]
        assert engine.order_manager.open_orders() == []

    run(scenario())


@pytest.mark.parametrize("rejected", [OrderType.STOP_MARKET, OrderType.LIMIT])
def test_a_rejected_protection_raises_an_alarm_and_closes_the_position(
    rejected: OrderType,
) -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(2, 49_999, 50_001)))
        venue.faults.reject.add(rejected)
        engine = await started(venue)
        await engine.execute_signal(protected(), "binance")
        await engine.replay()
        assert [alarm.code for alarm in engine.order_manager.alarms] == ["protection_failed"]
        assert engine.positions == []
        assert engine.order_manager.open_orders() == []
        assert venue.position == {"BTCUSDT": 0}

    run(scenario())


def test_a_position_whose_closing_fails_too_is_called_unprotected_and_tried_again() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(9, 49_999, 50_001)))
        engine = await started(venue)
        venue.faults.reject.add(OrderType.STOP_MARKET)
        await engine.execute_signal(protected(), "binance")
        venue.faults.reject.add(OrderType.MARKET)
        await engine.replay(4 * S)
        codes = {alarm.code for alarm in engine.order_manager.alarms}
        assert codes >= {"protection_failed"}
        assert len(engine.positions) == 1
        venue.faults.reject.clear()
        await engine.replay()
        assert engine.positions == []

    run(scenario())


def test_closing_by_hand_takes_the_protection_away() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(5, 49_999, 50_001), quote(9, 40_000, 40_001)))
        engine = await started(venue)
        await engine.execute_signal(protected(), "binance")
        result = await engine.close_position("BTCUSDT", reason="reduce_risk")
        assert result.success
        assert result.position is None
        await engine.replay()
        assert shown(engine)[1:3] == [
            ("stop_market", "1", "position_closed"),
            ("limit", "1", "position_closed"),
        ]
        assert venue.position == {"BTCUSDT": 0}

    run(scenario())


def test_a_position_reduced_by_a_signal_stays_covered_for_what_is_left() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(5, 49_999, 50_001))))
        await engine.execute_signal(protected(), "binance")
        await engine.execute_signal(TradingSignal("BTCUSDT", "CLOSE", "0.4"), "binance")
        await engine.replay()
        legs = engine.protector.covering("paper", "BTCUSDT")
        assert [leg.remaining_quantity for leg in legs] == [D("0.6")] * 2

    run(scenario())


# ------------------------------------------------------------------ closing


@pytest.mark.parametrize(
    ("held", "action", "code"),
    [
        ("BUY", "CLOSE", ""),
        ("BUY", "CLOSE_LONG", ""),
        ("BUY", "CLOSE_SHORT", "no_position"),
        ("SELL", "CLOSE", ""),
        ("SELL", "CLOSE_SHORT", ""),
        ("SELL", "CLOSE_LONG", "no_position"),
        (None, "CLOSE", "no_position"),
    ],
)
def test_closing_signals_close_what_they_name(held: str | None, action: str, code: str) -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        if held is not None:
            await engine.execute_signal(TradingSignal("BTCUSDT", held, 1), "binance")
        result = await engine.execute_signal(TradingSignal("BTCUSDT", action), "binance")
        assert (result.success, result.code) == (not code, code)
        assert bool(engine.positions) is (held is not None and bool(code))

    run(scenario())


def test_closing_what_is_not_held_says_so() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        assert (await engine.close_position("BTCUSDT", "binance")).code == "no_position"
        assert (await engine.close_position("BTCUSDT", "kraken")).code == "invalid_input"

    run(scenario())


def test_the_emergency_stop_cancels_closes_and_latches() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(30, 49_000, 49_001)))
        engine = await started(venue)
        await engine.execute_signal(protected(), "binance")
        resting = await engine.execute_signal(buy(price=40_000), "binance")
        done = await engine.emergency_stop_all()
        assert len(done["cancelled_orders"]) == 3  # the resting order and both exits
        assert resting.order is not None
        assert resting.order.order_id in done["cancelled_orders"]
        assert done["closed_positions"] == ["BTCUSDT"]
        assert (done["failed"], done["pending"]) == ([], [])
        assert (venue.position, engine.positions) == ({"BTCUSDT": 0}, [])
        refused = await engine.execute_signal(buy(), "binance")
        assert refused.code == "halted"
        engine.deactivate_circuit_breaker()
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


def test_the_emergency_stop_goes_on_while_there_is_little_to_sell_to() -> None:
    async def scenario() -> None:
        thin = [quote(3 + 5 * t, 49_000, 49_001, 0.3) for t in range(5)]
        engine = await started(QuoteVenue(flat_market(*thin)))
        await engine.execute_signal(buy(), "binance")
        await engine.replay(3 * S)
        done = await engine.emergency_stop_all()
        assert done["closed_positions"] == ["BTCUSDT"]

    run(scenario())


def test_what_the_emergency_stop_cannot_do_is_listed() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(60, 49_000, 49_001)))
        engine = await started(venue)
        await engine.execute_signal(buy(), "binance")
        venue.faults.submit += [OutcomeUnknown("cut") for _ in range(99)]
        done = await engine.emergency_stop_all()
        assert done["closed_positions"] == []
        assert done["failed"][0]["symbol"] == "BTCUSDT"
        assert "BTCUSDT" in done["pending"]

    run(scenario())


def test_the_breaker_lets_only_reducing_orders_pass() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        await engine.execute_signal(buy(), "binance")
        engine.activate_circuit_breaker("high_volatility")
        refused = await engine.execute_signal(buy(), "binance")
        assert refused.code == "circuit_breaker"
        assert "high_volatility" in refused.error
        assert (await engine.close_position("BTCUSDT")).success
        engine.deactivate_circuit_breaker()
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


def test_a_loss_trips_the_breaker_while_the_position_is_open_and_idle() -> None:
    async def scenario() -> None:
        guard = RiskGuard(max_drawdown_pct=10.0, daily_loss_limit_pct=2.0, cooldown_seconds=100)
        venue = QuoteVenue(flat_market(quote(50, 47_000, 47_002), quote(400, 47_000, 47_002)))
        engine = await started(venue, risk_guard=guard, starting_equity=100_000)
        await engine.execute_signal(buy(), "binance")
        await engine.replay(100 * S)  # valued at 61 s: 3 % lost
        assert engine.get_performance_metrics()["risk"]["circuit_breaker_active"]
        assert (await engine.execute_signal(buy("0.1"), "binance")).code == "circuit_breaker"
        await engine.replay(200 * S)  # the cooldown is over, the loss stands
        assert (await engine.execute_signal(buy("0.1"), "binance")).code == "daily_loss_limit"
        assert (await engine.close_position("BTCUSDT")).success

    run(scenario())


# ------------------------------------------------------------------ time


def test_an_order_that_is_still_live_at_its_timeout_is_canceled() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(20, 49_999, 50_001)))
        engine = await started(venue, order_timeout_s=10)
        resting = await engine.execute_signal(buy(price=40_000), "binance")
        filled = await engine.execute_signal(protected(), "binance")
        await engine.replay()
        assert resting.order is not None
        assert (resting.order.status, resting.order.reason) == (St.CANCELED, "timeout")
        assert resting.order.done_ts_ns == 11 * S
        assert filled.order is not None
        assert filled.order.status is St.FILLED
        # exits have no timeout
        assert len(engine.protector.covering("paper", "BTCUSDT")) == 2
        metrics = engine.get_performance_metrics()["monitoring"]
        assert metrics["execution"]["timeouts"] == 1

    run(scenario())


def test_a_strategy_is_called_at_each_market_moment_and_may_trade() -> None:
    async def scenario() -> None:
        venue = QuoteVenue([quote(t, 49_999, 50_001) for t in (1, 2, 3, 3, 5)])
        engine = await started(venue, clock=ReplayClock(0))
        seen: list[int] = []
        results: list[ExecutionResult] = []

        async def strategy(now_ns: int) -> None:
            seen.append(now_ns // S)
            if now_ns == 2 * S:
                results.append(await engine.execute_signal(buy(), "binance"))

        await engine.replay(on_time=strategy)
        assert sorted(set(seen)) == [1, 2, 3, 5]
        (result,) = results
        assert result.success  # sent; inside a replay nobody waits for the fill
        assert result.position is None
        assert len(engine.positions) == 1
        with pytest.raises(InvalidInput, match="already at"):
            await engine.replay(4 * S)

    run(scenario())


def test_the_strategy_may_ask_to_be_called_less_often() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue([quote(t, 1, 2) for t in range(1, 30)]))
        seen: list[int] = []
        await engine.replay(on_time=seen.append, every_ns=10 * S)
        assert [ts_ns // S for ts_ns in seen] == [2, 12, 22]

    run(scenario())


def test_a_replay_inside_a_replay_is_refused() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(2, 1, 2))))

        async def strategy(now_ns: int) -> None:
            await engine.replay()

        with pytest.raises(InvalidInput, match="let the running replay move time"):
            await engine.replay(on_time=strategy)

    run(scenario())


def test_scheduled_orders_are_sent_and_canceled_at_their_time() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(9, 49_999, 50_001))))
        order = market_order(order_type="limit", price=40_000)
        engine.schedule(order, "binance", 3 * S, cancel_ts_ns=5 * S)
        await engine.replay()
        assert (order.sent_ts_ns, order.done_ts_ns) == (3 * S, 5 * S)
        assert (order.status, order.reason) == (St.CANCELED, "requested")

    run(scenario())


def test_a_run_is_the_same_every_time() -> None:
    async def scenario() -> list[tuple[Any, ...]]:
        quotes = [
            quote(t, 50_000 + 37 * (t * 7 % 11), 50_002 + 37 * (t * 7 % 11), 0.3)
            for t in range(1, 60)
        ]
        venue = QuoteVenue(quotes, entry_ns=7, response_ns=S // 3, fee_bps=D(1))
        engine = await started(venue)

        async def strategy(now_ns: int) -> None:
            if now_ns // S % 5 == 0:
                await engine.execute_signal(protected(), "binance")

        await engine.replay(on_time=strategy)
        fills = engine.position_tracker._seen.values()
        return [(f.side, f.quantity, f.price, f.local_ts_ns) for f in fills]

    first = run(scenario())
    assert len(first) > 10
    assert run(scenario()) == first


def test_two_venues_move_together_in_the_order_of_their_events() -> None:
    async def scenario() -> None:
        a = QuoteVenue([quote(t, 99, 101) for t in (1, 4, 6)], name="a")
        b = QuoteVenue([quote(t, 99, 101) for t in (2, 3, 7)], name="b")
        engine = ExecutionEngine({"A": a, "B": b}, risk_guard=RiskGuard(**WIDE))
        await engine.start()
        seen: list[int] = []

        async def strategy(now_ns: int) -> None:
            seen.append(now_ns // S)
            if now_ns == 3 * S:
                await engine.execute_signal(buy(), "A")
                await engine.execute_signal(buy(2), "B")

        await engine.replay(on_time=strategy)
        assert sorted(set(seen)) == [2, 3, 4, 6, 7]
        assert {p.venue: p.quantity for p in engine.positions} == {"a": 1, "b": 2}
        result = await engine.close_position("BTCUSDT")
        assert "name one of: a, b" in result.error

    run(scenario())


def test_on_a_live_clock_the_paper_market_moves_with_the_time_that_passes() -> None:
    async def scenario() -> None:
        clock = LiveClock()
        now_s = clock.now_ns() / S
        venue = QuoteVenue(
            [quote(now_s, 49_999, 50_001), quote(now_s + 0.15, 52_000, 52_001)],
            entry_ns=S // 100,
            response_ns=S // 50,
        )
        engine = await started(venue, clock=clock)
        await asyncio.sleep(0.06)
        result = await engine.execute_signal(protected(), "binance")
        assert result.success
        assert result.order is not None
        assert result.order.status is St.FILLED
        assert result.order.done_ts_ns is not None
        assert result.order.sent_ts_ns is not None
        assert result.order.done_ts_ns - result.order.sent_ts_ns >= S * 3 // 100
        await engine.wait_until(lambda: not engine.positions, clock.now_ns() + 3 * S)
        assert [t.exit_price for t in engine.position_tracker.history] == [52_000]
        with pytest.raises(InvalidInput, match="only a ReplayClock"):
            await engine.replay()
        await engine.stop()
        assert venue.closed

    run(scenario())


# ------------------------------------------------------------------ scheduling


def test_a_callback_may_wait_for_replayed_time_and_wakes_at_it() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(60, 49_999, 50_001))))
        woke: list[float] = []

        async def later(order: ExecutionOrder) -> None:
            for seconds in (5, 20, 1_000):
                await engine.clock.sleep_until(seconds * S)
                woke.append(engine.clock.now_ns() / S)
                if seconds == 20:
                    await engine.close_position("BTCUSDT")

        engine.order_manager.register_callback("on_filled", later)
        await engine.execute_signal(buy(), "binance")
        await asyncio.wait_for(engine.replay(), 10)
        assert woke == [5, 20, 20, 20]  # for the closing fill, seconds 5 and 20 are past
        assert engine.positions == []
        await engine.stop()

    run(scenario())


def test_on_time_may_not_wait_for_the_time_that_it_holds_up() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(60, 49_999, 50_001))))

        async def strategy(now_ns: int) -> None:
            await engine.clock.sleep_until(now_ns + S)

        with pytest.raises(InvalidInput, match="time moves when on_time returns"):
            await asyncio.wait_for(engine.replay(on_time=strategy), 10)

    run(scenario())


def test_a_scheduled_order_that_cannot_be_placed_is_refused_with_an_alarm() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(60, 49_999, 50_001))))
        small = market_order(quantity="0.0001")
        engine.schedule(small, "binance", 5 * S, cancel_ts_ns=20 * S)
        await engine.replay()
        assert small.status is St.REFUSED
        assert "below one lot" in small.reason
        assert [(a.code, a.order_id) for a in engine.order_manager.alarms] == [
            ("not_placed", small.client_order_id)
        ]
        assert not engine.risk_guard.halted

    run(scenario())


def test_an_order_that_was_scheduled_twice_is_sent_once() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(60, 49_999, 50_001)))
        engine, order = await started(venue), market_order()
        engine.schedule(order, "binance", 5 * S)
        engine.schedule(order, "binance", 6 * S)
        await engine.replay()
        assert (order.status, len(venue.sent)) == (St.FILLED, 1)
        assert [a.code for a in engine.order_manager.alarms] == ["not_placed"]

    run(scenario())


# ------------------------------------------------------------------ faults of the engine's own


class Hiccup(QuoteVenue):
    """A venue whose quotes fail `bad` times, once it has filled something."""

    bad = 0

    def quote(self, symbol: str) -> Quote | None:
        if self.bad and self.position:
            self.bad -= 1
            raise ConnectionError("feed reset")
        return super().quote(symbol)


@pytest.mark.parametrize("bad", [1, 2])
def test_a_fill_that_cannot_be_valued_is_durable_and_protected_and_halts(
    tmp_path: Path, bad: int
) -> None:
    async def scenario() -> None:
        venue, journal = Hiccup(flat_market(quote(9, 49_000, 49_001))), Journal(tmp_path)
        engine = await started(venue, journal=journal)
        await engine.replay(until_ns=S)
        venue.bad = bad
        await engine.execute_signal(buy(stop_loss=48_000), "binance")
        assert [p.quantity for p in engine.positions] == [1]
        assert len(list(journal.read(kinds=["fill"]))) == 1
        assert [o.order_type for o in engine.order_manager.open_orders()] == [OrderType.STOP_MARKET]
        assert engine.risk_guard.halted == "ConnectionError: feed reset"
        assert [a.code for a in engine.order_manager.alarms] == ["engine_fault", "no_quote"][:bad]
        with pytest.raises(ConnectionError):
            await engine.replay()
        engine.deactivate_circuit_breaker()
        await engine.replay()

    run(scenario())


def test_an_update_that_cannot_be_applied_does_not_take_others_with_it() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        engine = await started(venue)
        await engine.replay(until_ns=S)
        apply, failures = engine.order_manager.apply, [RuntimeError("a bug")]

        def once(update: VenueUpdate) -> Any:
            if update.kind is UpdateKind.ACCEPTED and failures:
                raise failures.pop()
            return apply(update)

        engine.order_manager.apply = once  # type: ignore[method-assign]
        result = await engine.execute_signal(buy(), "binance")
        assert result.order is not None
        assert result.order.status is St.FILLED
        assert engine.risk_guard.halted == "RuntimeError: a bug"

    run(scenario())


def test_on_a_live_clock_a_fault_halts_and_the_writer_goes_on() -> None:
    async def scenario() -> None:
        class Broken(QuoteVenue):
            faulty = False

            def advance(self, until_ns: int) -> int:
                if self.faulty:
                    raise RuntimeError("a bug")
                return super().advance(until_ns)

        clock = LiveClock()
        venue = Broken([quote(clock.now_ns() / S, 49_999, 50_001)])
        engine = await started(venue, clock=clock)
        await asyncio.sleep(0.06)
        result = await engine.execute_signal(buy(price=40_000), "binance")
        assert result.order is not None
        venue.faulty = True
        now_ns = clock.now_ns()
        late = VenueUpdate(
            kind=UpdateKind.CANCELED,
            client_order_id=result.order.client_order_id,
            venue_ts_ns=now_ns,
            local_ts_ns=now_ns,
        )
        engine._driver.receive(late)
        await asyncio.sleep(0.15)
        assert result.order.status is St.CANCELED
        assert engine.risk_guard.halted == "RuntimeError: a bug"
        venue.faulty = False
        await engine.stop()

    run(scenario())


# ------------------------------------------------------------------ looking


def test_a_result_says_what_was_so_when_it_was_made() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        result = await engine.execute_signal(buy(), "binance")
        await engine.close_position("BTCUSDT")
        assert result.position is not None
        assert (result.position.quantity, result.position.side) == (1, "LONG")
        html = result._repr_html_()
        assert "buy BTCUSDT market" in html
        assert "at 50001" in html
        failed = await engine.execute_signal(buy(), "<b>elsewhere")
        assert "&lt;b&gt;elsewhere" in failed._repr_html_()

    run(scenario())


def test_the_frames_of_an_engine_have_the_stores_columns_and_the_engines_numbers() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(), fee_bps=D(10)), run_id="r1")
        for frame in (engine.orders_frame(), engine.fills_frame(), engine.positions_frame()):
            assert len(frame) == 0
        assert "Open positions</b>: none" in engine._repr_html_()
        await engine.execute_signal(buy(2), "binance")
        await engine.execute_signal(buy(1, price=40_000), "binance")
        orders, fills = engine.orders_frame(), engine.fills_frame()
        positions = engine.positions_frame()
        assert set(orders) - {"triggered_ts_ns"} <= set(TABLES["orders"])
        shown = {"current_price", "stop_loss_price", "take_profit_price", "side"}
        assert set(positions) - shown <= set(TABLES["positions"])
        assert list(fills) == [
            *("fill_id", "client_order_id", "parent_order_id", "run_id", "mode", "venue"),
            *("symbol", "side", "quantity", "price", "liquidity", "fee", "fee_currency"),
            *("venue_ts_ns", "local_ts_ns"),
        ]
        assert orders["status"].tolist() == ["filled", "open"]
        assert orders["price"].fillna(0).tolist() == [0, 40_000]
        assert orders["done_ts_ns"].isna().tolist() == [False, True]
        row = fills.iloc[0]
        assert (row.run_id, row.quantity, row.price) == ("r1", 2, 50_001)
        assert row.fee == pytest.approx(100.002)
        assert positions[["quantity", "average_price"]].iloc[0].tolist() == [2, 50_001]
        assert "40000" in engine._repr_html_()

    run(scenario())


# ------------------------------------------------------------------ journal and restart


def test_every_step_is_in_the_journal_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        engine = await started(QuoteVenue(flat_market()), journal=journal, run_id="r1")
        result = await engine.execute_signal(buy(), "binance")
        await engine.stop()
        assert result.order is not None
        rows = list(journal.read())
        assert [r.kind for r in rows] == [
            "run",
            "equity",
            "signal",
            "quote",
            "intent",
            "sending",
            "accepted",
            "quote",
            "fill",
            "position",
            "equity",
            "quote",  # what markouts of the fill will look for
        ]
        assert {r.run_id for r in rows} == {"r1"}
        roles = [r.payload["role"] for r in rows if r.kind == "quote"]
        assert roles == ["decision", "arrival", "markout"]
        assert rows[4].payload["decision_price"] == "50000.0"
        assert rows[8].client_order_id == result.order.client_order_id
        journal.verify()

    run(scenario())


def test_the_store_takes_the_journal_in_when_the_engine_stops(tmp_path: Path) -> None:
    from execkit.store import Store

    async def scenario() -> None:
        store = Store(tmp_path / "s.duckdb")
        venue = QuoteVenue(flat_market(quote(60, 52_000, 52_002)), fee_bps=D(10))
        engine = await started(venue, journal=Journal(tmp_path), store=store)
        await engine.execute_signal(protected(strategy_id="s1"), "binance")
        await engine.replay()
        await engine.stop()
        found = store.sql(
            "SELECT order_type, status, filled_quantity, reason FROM orders ORDER BY seq"
        )
        assert found["status"].tolist() == ["filled", "canceled", "filled"]
        assert found["reason"].tolist()[1] == "oco"
        costs = store.sql("SELECT * FROM slippage")
        assert len(costs) >= 1

    run(scenario())


def test_a_run_that_died_is_resumed_with_its_positions_and_its_orders_ended(
    tmp_path: Path,
) -> None:
    async def before() -> None:
        engine = await started(
            QuoteVenue(flat_market(), fee_bps=D(10)), journal=Journal(tmp_path), run_id="r1"
        )
        await engine.execute_signal(protected(), "binance")
        await engine.replay(2 * S)
        assert len(engine.order_manager.open_orders()) == 2
        # no stop: the process dies here

    async def after() -> None:
        journal = Journal(tmp_path)
        venue = QuoteVenue([quote(9, 49_999, 50_001), quote(99, 52_000, 52_001)])
        venue.position["BTCUSDT"] = D(1)  # a paper venue starts with what it is told
        engine = await started(venue, journal=journal, run_id="r1")
        (held,) = engine.positions
        assert (held.quantity, held.average_price) == (1, 50_001)
        assert held.fees == {"USDT": D("50.001")}
        ended = [o for o in engine.orders.values() if o.reason == "paper_venue_restarted"]
        assert [o.status for o in ended] == [St.CANCELED] * 2
        told = list(journal.read(kinds=["canceled"]))
        assert {r.payload["reason"] for r in told} == {"paper_venue_restarted"}
        # the stop loss and take profit are back, and work
        await engine.replay(10 * S)
        assert len(engine.protector.covering("paper", "BTCUSDT")) == 2
        await engine.replay()
        assert engine.positions == []
        assert [trip.exit_price for trip in engine.position_tracker.history] == [52_000]

    async def another() -> None:
        engine = await started(QuoteVenue([quote(9, 1, 2)]), journal=Journal(tmp_path))
        assert (engine.positions, engine.orders) == ([], {})

    run(before())
    run(after())
    run(another())


class FullDisk:
    """A journal that stops taking rows."""

    def __init__(self) -> None:
        self.full = False
        self.rows: list[Any] = []

    def append_many(self, events: list[Any]) -> list[int]:
        if self.full:
            raise JournalUnwritable("no space left")
        self.rows += events
        return [1] * len(events)


def test_a_journal_that_cannot_be_written_stops_new_risk_and_loses_no_fill() -> None:
    async def scenario() -> None:
        disk, venue = FullDisk(), QuoteVenue(flat_market(quote(2, 49_999, 50_001)))
        engine = await started(venue, journal=disk)
        heard: list[ExecutionOrder] = []
        engine.order_manager.register_callback("on_filled", heard.append)
        order = market_order()
        await engine.submit_order(order, "binance")
        disk.full = True
        with pytest.raises(JournalUnwritable):
            await engine.replay()
        assert engine.position_tracker.quantity("paper", "BTCUSDT") == 1
        assert heard == []  # not told before it is durable
        with pytest.raises(JournalUnwritable):
            await engine.execute_signal(buy(), "binance")
        assert len(venue.sent) == 1
        disk.full = False
        assert (await engine.execute_signal(buy(), "binance")).code == "halted"
        kinds = [event.kind for event in disk.rows]
        assert kinds.count("fill") == 1  # it waited, and is there now

    run(scenario())


def test_an_unknown_order_is_no_success_and_counts_in_full() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        guard = RiskGuard(**WIDE, max_position_quantity=1)
        engine = await started(venue, risk_guard=guard)
        venue.faults.submit.append(OutcomeUnknown("cut"))
        lost = await engine.execute_signal(buy(), "binance")
        assert (lost.success, lost.code) == (False, "unknown")
        more = await engine.execute_signal(buy("0.001"), "binance")
        assert more.refused is not None
        assert [more.code, *(no.code for no in more.refused.also)] == [
            "unknown_order",
            "max_position_quantity",
        ]

    run(scenario())


def test_the_peak_of_equity_survives_a_restart(tmp_path: Path) -> None:
    async def day(quotes: list[Quote]) -> ExecutionEngine:
        engine = await started(
            QuoteVenue(quotes), journal=Journal(tmp_path), run_id="r1", starting_equity=10_000
        )
        if not engine.positions:
            await engine.execute_signal(buy("0.1"), "binance")
        await engine.replay()
        return engine

    before = run(day(flat_market(quote(90, 80_000, 80_002), quote(200, 80_000, 80_002))))
    assert before.risk_guard.peak_equity == D("13000")  # 0.1 * (80,001 - 50,001)
    after = run(day([quote(300, 50_000, 50_002), quote(301, 50_000, 50_002)]))
    assert after.risk_guard.peak_equity == 13_000
    assert after.risk_guard.current_drawdown_pct == D(3000) / D(13_000) * 100


def test_a_fault_of_the_engines_own_stops_new_risk() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(2, 49_999, 50_001))))

        async def broken() -> None:
            raise RuntimeError("a bug")

        engine.order_manager.tasks.spawn(broken())
        with pytest.raises(RuntimeError, match="a bug"):
            await engine.replay()
        assert (await engine.execute_signal(buy(), "binance")).code == "halted"

    run(scenario())


def test_an_order_is_sent_once_however_often_it_is_submitted() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        engine, order = await started(venue), market_order()
        assert (await engine.submit_order(order, "binance")).success
        again = await engine.submit_order(order, "binance")
        assert "was used before" in again.error
        assert venue.sent == [order.client_order_id]

    run(scenario())


def test_the_emergency_stop_inside_a_replay_asks_and_says_what_is_pending() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue([quote(t, 49_999, 50_001) for t in (1, 2, 3)]))
        await engine.execute_signal(protected(), "binance")
        done: list[dict[str, list[Any]]] = []

        async def strategy(now_ns: int) -> None:
            if now_ns == 2 * S:
                done.append(await engine.emergency_stop_all())

        await engine.replay(on_time=strategy)
        assert (done[0]["failed"], len(done[0]["pending"])) == ([], 3)
        assert engine.positions == []
        assert engine.order_manager.open_orders() == []

    run(scenario())


def test_group_commit_is_for_replays_only() -> None:
    class Remote:
        name, mode = "remote", ExecutionMode.PAPER
        instruments = {"BTCUSDT": BTC}

    with pytest.raises(InvalidInput, match="only replays may delay durability"):
        ExecutionEngine({"x": Remote()}, group_commit=10)  # type: ignore[dict-item]


def test_signals_in_parallel_cannot_pass_one_limit_twice() -> None:
    async def scenario() -> None:
        class Slow(QuoteVenue):
            async def submit(self, order: ExecutionOrder) -> None:
                await asyncio.sleep(0)
                await super().submit(order)

        guard = RiskGuard(**WIDE, max_position_quantity=2)
        engine = await started(Slow(flat_market()), risk_guard=guard)
        orders = [market_order() for _ in range(5)]
        results = await asyncio.gather(*(engine.submit_order(o, "binance") for o in orders))
        assert [r.success for r in results] == [True, True, False, False, False]

    run(scenario())


def test_the_monitor_waits_on_the_replayed_clock() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market(quote(30, 39_998, 39_999))))
        resting = await engine.execute_signal(buy(price=40_000), "binance")
        assert resting.order is not None
        seen = await engine.order_monitor.monitor_order(resting.order, timeout_seconds=10)
        assert (seen.status, engine.clock.now_ns()) == (St.OPEN, 11 * S)
        assert engine.order_monitor.timeouts == 1
        await engine.order_monitor.monitor_order(resting.order, timeout_seconds=300)
        assert resting.order.status is St.FILLED
        assert engine.clock.now_ns() == 30 * S

    run(scenario())


# ------------------------------------------------------------------ risk, through the engine

ETHBTC = Instrument(
    symbol="ETHBTC", tick_size=D("0.00001"), lot_size=D("0.001"), base="ETH", quote="BTC"
)


def two_pairs(*more: Quote) -> QuoteVenue:
    """BTCUSDT around 50,000 and ETHBTC around 0.07: an ETH is worth 3,500 USDT."""
    first = [quote(1, 49_999, 50_001), quote(1, 0.06999, 0.07001, 1e6, "ETHBTC")]
    return QuoteVenue([*first, *more], instruments=(BTC, ETHBTC))


def eth(quantity: object) -> TradingSignal:
    return TradingSignal("ETHBTC", "BUY", quantity)  # type: ignore[arg-type]


@pytest.mark.parametrize("rates", [None, {"BTC": 50_000}])
def test_limits_on_money_hold_in_a_foreign_quote(rates: dict[str, int] | None) -> None:
    """The rate is as given, or else the price of BTCUSDT at the venue."""

    async def scenario() -> None:
        guard = RiskGuard(**WIDE, max_order_notional=3500, max_exposure=5250)
        engine = await started(two_pairs(), risk_guard=guard, rates=rates)
        await engine.replay(S)
        assert engine.account.currency == "USDT"
        over = await engine.execute_signal(eth("1.001"), "binance")
        assert over.refused is not None
        assert (over.code, over.refused.unit) == ("max_order_notional", "USDT")
        assert over.refused.observed == D("3503.5")  # 1.001 * 0.07 * 50,000
        assert (await engine.execute_signal(eth(1), "binance")).success
        # elsewhere 3,500 USDT of ETH are held, so 1,750 are left for BTC: 0.035
        assert (await engine.execute_signal(buy("0.036"), "binance")).code == "max_exposure"
        assert (await engine.execute_signal(buy("0.035"), "binance")).success

    run(scenario())


def test_a_quote_currency_that_nothing_prices_takes_no_risk() -> None:
    async def scenario() -> None:
        venue = two_pairs()
        engine = await started(venue, account_currency="EUR")
        await engine.replay(S)
        refused = await engine.execute_signal(eth(1), "binance")
        assert refused.code == "no_rate"
        assert "quoted in BTC, which has no price in EUR" in refused.error
        assert venue.sent == []

    run(scenario())


def test_a_coin_is_converted_at_the_markets_price_not_at_that_of_a_closed_position() -> None:
    async def scenario() -> None:
        later = [
            quote(100, 24_999, 25_001),
            quote(100, 0.07999, 0.08001, 1e6, "ETHBTC"),
            quote(200, 24_999, 25_001),
        ]
        engine = await started(two_pairs(*later))
        await engine.replay(S)
        await engine.execute_signal(buy("0.001"), "binance")
        await engine.close_position("BTCUSDT")
        await engine.execute_signal(eth(100), "binance")
        await engine.replay()
        # 100 * (0.08 - 0.07001) BTC at 25,000
        assert engine.account.valuation().unrealised == D("24975")
        stats = engine.get_performance_metrics()["positions"]
        assert (stats["currency"], stats["unpriced_currencies"]) == ("USDT", [])
        assert stats["equity"] == pytest.approx(100_000 - 0.002 + 24_975)

    run(scenario())


def test_a_short_counts_against_the_net_and_for_the_gross_exposure() -> None:
    async def scenario() -> None:
        engine = await started(QuoteVenue(flat_market()))
        await engine.execute_signal(TradingSignal("BTCUSDT", "SELL", 2), "binance")
        stats = engine.get_performance_metrics()["positions"]
        assert (stats["gross_exposure"], stats["net_exposure"]) == (100_000, -100_000)

    run(scenario())


def test_of_a_partly_filled_order_only_the_rest_is_under_way() -> None:
    """0.4 of 1 is held, 0.6 may still come: 2 allow one more, and not a lot more than that."""

    async def scenario() -> None:
        guard = RiskGuard(**WIDE, max_position_quantity=2)
        venue = QuoteVenue([quote(1, 49_999, 50_001, 0.4)])
        engine = await started(venue, risk_guard=guard)
        resting = await engine.execute_signal(buy(price=50_001), "binance")
        assert resting.order is not None
        assert resting.order.remaining_quantity == D("0.6")
        over = await engine.execute_signal(buy("1.001", price=50_001), "binance")
        assert over.code == "max_position_quantity"
        assert (await engine.execute_signal(buy(1, price=50_001), "binance")).success

    run(scenario())


def test_a_halted_engine_does_not_open_the_other_side_while_a_close_is_under_way() -> None:
    async def scenario() -> None:
        venue = QuoteVenue([quote(t, 49_999, 50_001) for t in (1, 2, 3)], entry_ns=S // 10)
        engine = await started(venue)
        await engine.execute_signal(buy(), "binance")
        results: list[ExecutionResult] = []

        async def strategy(now_ns: int) -> None:
            if now_ns == 2 * S:
                engine.activate_circuit_breaker("test")
                await engine.close_position("BTCUSDT")
                results.append(await engine.execute_signal(sell(), "binance"))

        await engine.replay(on_time=strategy)
        (result,) = results
        assert result.order is not None
        assert result.order.reduce_only
        assert (result.order.status, result.order.reason) == (St.CANCELED, "reduce_only")
        assert (engine.positions, venue.position) == ([], {"BTCUSDT": 0})

    run(scenario())


def sell(quantity: object = 1) -> TradingSignal:
    return TradingSignal("BTCUSDT", "SELL", quantity)  # type: ignore[arg-type]


def test_an_unknown_order_whose_cancel_was_asked_is_still_unknown() -> None:
    async def scenario() -> None:
        venue = QuoteVenue([quote(t, 49_999, 50_001) for t in (1, 20, 30)])
        engine = await started(venue, order_timeout_s=10)
        venue.faults.submit.append(OutcomeUnknown("cut"))
        venue.faults.cancel.append(OutcomeUnknown("cut again"))
        lost = await engine.execute_signal(buy(), "binance")
        await engine.replay(20 * S)
        assert lost.order is not None
        assert lost.order.status is St.CANCEL_PENDING
        assert (await engine.execute_signal(buy(), "binance")).code == "unknown_order"

    run(scenario())


def test_an_unknown_order_that_turns_out_to_have_been_taken_blocks_nothing_more() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(), response_ns=S)
        engine = await started(venue)
        venue.faults.after_submit.append(OutcomeUnknown("cut"))
        lost = await engine.execute_signal(buy(price=40_000), "binance")
        assert lost.code == "unknown"
        assert (await engine.execute_signal(buy(), "binance")).code == "unknown_order"
        await engine.replay(3 * S)
        assert lost.order is not None
        assert lost.order.status is St.OPEN
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


def test_the_cancel_of_an_order_that_was_taken_blocks_nothing() -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market())
        engine = await started(venue)
        resting = await engine.execute_signal(buy(price=40_000), "binance")
        assert resting.order is not None
        venue.faults.cancel.append(OutcomeUnknown("cut"))
        await engine.order_manager.cancel_order(resting.order)
        assert resting.order.status is St.CANCEL_PENDING
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


def test_the_loss_of_yesterday_does_not_refuse_today_though_nothing_is_held() -> None:
    async def scenario() -> None:
        hour = 3600
        quotes = [quote(1, 50_000, 50_001), quote(hour, 44_000, 44_001)]
        engine = await started(
            QuoteVenue([*quotes, quote(30 * hour, 44_000, 44_001)]),
            risk_guard=RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=2),
        )
        await engine.execute_signal(buy(), "binance")
        await engine.replay(hour * S)
        await engine.close_position("BTCUSDT")
        await engine.replay(23 * hour * S)
        assert (await engine.execute_signal(buy(), "binance")).code == "daily_loss_limit"
        await engine.replay(24 * hour * S)
        assert (await engine.execute_signal(buy(), "binance")).success

    run(scenario())


def test_a_restart_keeps_the_kill_the_breaker_and_the_loss_of_the_day(tmp_path: Path) -> None:
    async def engine_at(second: int) -> ExecutionEngine:
        venue = QuoteVenue([quote(second, 44_000, 44_001), quote(second + 9, 44_000, 44_001)])
        guard = RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=2)
        return await started(venue, risk_guard=guard, journal=Journal(tmp_path), run_id="r1")

    async def before() -> None:
        venue = QuoteVenue([quote(1, 50_000, 50_001), quote(9, 44_000, 44_001)])
        guard = RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=2)
        engine = await started(venue, risk_guard=guard, journal=Journal(tmp_path), run_id="r1")
        await engine.execute_signal(buy(), "binance")
        await engine.replay(9 * S)
        engine.activate_circuit_breaker("by hand")
        await engine.emergency_stop_all()
        assert engine.positions == []
        # no stop: the process dies here

    async def after() -> None:
        engine = await engine_at(100)
        status = engine.risk_guard.get_risk_status()
        assert (status["halted"], status["circuit_breaker_reason"]) == ("emergency stop", "by hand")
        assert status["daily_loss_pct"] == pytest.approx(6.001)
        assert (await engine.execute_signal(buy("0.1"), "binance")).code == "halted"
        engine.deactivate_circuit_breaker()
        assert (await engine.execute_signal(buy("0.1"), "binance")).code == "daily_loss_limit"

    async def again() -> None:
        engine = await engine_at(200)
        status = engine.risk_guard.get_risk_status()
        assert status["halted"] is None  # ended by hand, and that too is remembered
        assert status["daily_loss_pct"] == pytest.approx(6.001)

    run(before())
    run(after())
    run(again())


def test_after_a_restart_equity_is_not_known_before_what_is_held_has_a_price(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        venue = QuoteVenue(flat_market(quote(3, 39_999, 40_001)))
        first = await started(venue, journal=Journal(tmp_path), run_id="r1")
        await first.execute_signal(buy(), "binance")
        await first.replay()
        venue = QuoteVenue([quote(9, 39_999, 40_001)])
        engine = await started(
            venue, journal=Journal(tmp_path), run_id="r1", clock=ReplayClock(5 * S)
        )
        assert engine.get_performance_metrics()["engine"]["equity"] is None
        assert engine.account.equity()[1] == "BTCUSDT is held and has no price yet"
        told = [D(r.payload["equity"]) for r in Journal(tmp_path).read(kinds=["equity"])]
        assert told == [100_000, 99_999, 89_999]  # and not 100,000 again
        await engine.replay()
        assert engine.account.equity()[0] == 89_999

    run(scenario())


def test_equity_records_name_their_currency_and_add_up(tmp_path: Path) -> None:
    """Bought 1 at 50,001; worth 52,000 then, 47,000 in the end."""

    async def scenario() -> None:
        quotes = flat_market(quote(100, 51_999, 52_001), quote(200, 46_999, 47_001))
        engine = await started(QuoteVenue(quotes), journal=Journal(tmp_path))
        await engine.execute_signal(buy(), "binance")
        await engine.replay()
        await engine.stop()

    run(scenario())
    rows = [r.payload for r in Journal(tmp_path).read(kinds=["equity"])]
    names = ("equity", "position_value", "cash", "drawdown")
    found = [tuple(float(row[name]) for name in names) for row in rows]
    assert {row["currency"] for row in rows} == {"USDT"}
    assert found[0] == (100_000, 0, 100_000, 0)
    assert (101_999, 1999, 100_000, 0) in found
    assert found[-1] == (96_999, -3001, 100_000, 5000)


def test_the_guides_question_goes_to_the_only_venue_or_asks_which() -> None:
    async def scenario() -> None:
        engine = await started(
            QuoteVenue(flat_market()), risk_guard=RiskGuard(**WIDE, max_positions=1)
        )
        ask = engine.risk_guard.check_all_risks
        assert (await ask("BTCUSDT", 0.01, 50_000.0))["passed"]
        await engine.execute_signal(buy(), "binance")
        assert (await ask("BTCUSDT", 0.01, 50_000.0))["passed"]  # no second position
        with pytest.raises(InvalidInput, match="paper lists: BTCUSDT"):
            await ask("ETHUSDT", 1)
        venues = {"A": QuoteVenue(flat_market(), name="a"), "B": QuoteVenue([], name="b")}
        both = ExecutionEngine(venues, risk_guard=RiskGuard(**WIDE))
        await both.start()
        with pytest.raises(InvalidInput, match=r"^venue = '': name one of: a, b$"):
            await both.risk_guard.check_all_risks("BTCUSDT", 0.01, 50_000.0)
        answer = await both.risk_guard.check_all_risks("BTCUSDT", 0.01, venue="a")
        assert answer["passed"]

    run(scenario())


def test_percentages_of_a_default_equity_in_bitcoin_are_refused_at_the_start() -> None:
    async def scenario() -> None:
        market = [quote(1, 0.06999, 0.07001, 1e6, "ETHBTC")]

        def engine(**more: Any) -> ExecutionEngine:
            return ExecutionEngine({"x": QuoteVenue(market, instruments=(ETHBTC,))}, **more)

        with pytest.raises(InvalidInput, match=r"the account is in BTC.*pass starting_equity"):
            await engine().start()
        for fine in ({"starting_equity": 2}, {"risk_guard": RiskGuard(**WIDE)}):
            one = engine(**fine)
            await one.start()
            metrics = one.get_performance_metrics()
            assert metrics["engine"]["account_currency"] == "BTC"
            assert metrics["risk"]["equity_currency"] == "BTC"
            assert (await one.execute_signal(eth("0.1"), "x")).success

    run(scenario())


def test_stopping_writes_what_a_group_commit_held_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        engine = await started(QuoteVenue(flat_market()), journal=journal, group_commit=10_000)
        await engine.execute_signal(buy(), "binance")
        assert list(journal.read()) == []
        await engine.stop()
        assert [r.kind for r in journal.read(kinds=["fill", "run"])] == ["run", "fill"]

    run(scenario())
