"""The guide's examples, with execkit's names, run as they stand and do what the guide promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import execkit as ek

FIVE_SECONDS = 5_000_000_000


async def integration(market: ek.MarketData, folder: Path, price: float) -> dict:
    """The guide's complete integration example over recorded data."""
    binance = ek.PaperVenue(market, name="binance")
    with ek.Journal(folder / "journal.sqlite") as journal:
        order_manager = ek.OrderManager()
        position_tracker = ek.PositionTracker()
        engine = ek.ExecutionEngine(
            exchanges={"binance": binance},
            order_manager=order_manager,
            position_tracker=position_tracker,
            risk_guard=ek.RiskGuard(max_positions=10, max_drawdown_pct=10.0),
            order_monitor=ek.OrderMonitor(),
            execution_mode=ek.ExecutionMode.PAPER,
            journal=journal,
            store=ek.Store(folder),
        )
        filled = []
        order_manager.register_callback("on_filled", filled.append)
        await engine.start()
        await engine.replay(engine.clock.now_ns() + FIVE_SECONDS)
        signal = ek.TradingSignal(
            symbol="BTCUSDT",
            action=ek.SignalAction.BUY,
            quantity=0.01,
            price=price,
            stop_loss=round(price * 0.9995, 1),
            take_profit=round(price * 1.0005, 1),
            confidence=0.85,
            strategy_id="momentum_v1",
        )
        result = await engine.execute_signal(signal, "binance")
        assert result.success, result.error
        end_ns = market.span("BTCUSDT")[1]
        protected = False
        while engine.clock.now_ns() < end_ns:
            await engine.replay(min(engine.clock.now_ns() + FIVE_SECONDS, end_ns))
            position = position_tracker.get_position("BTCUSDT")
            if position is None:
                break
            position_tracker.update_position_pnl("BTCUSDT", float(position.current_price))
            stats = position_tracker.get_portfolio_stats()
            assert stats["total_positions"] == 1
            protected |= {o.reduce_only for o in order_manager.open_orders()} == {True}
        await engine.stop()
        return {
            "result": result,
            "filled": filled,
            "protected": protected,
            "position": position_tracker.get_position("BTCUSDT"),
            "history": position_tracker.history,
            "metrics": engine.get_performance_metrics(),
            "orders": engine.orders,
        }


def test_the_integration_example_ends_by_stop_loss_or_take_profit(
    recorded: Path, tmp_path: Path
) -> None:
    """On recorded BTCUSDT depth: an entry, its protection, an exit by exactly one of the two."""
    market = ek.MarketData.load(recorded / "binance_raw_l2_20240808" / "usdm").select("BTCUSDT")
    ask = float(market.top_of_book("BTCUSDT")["ask"][200])
    told = asyncio.run(integration(market, tmp_path, round(ask + 20, 1)))

    assert told["position"] is None
    assert told["protected"]
    exits = [o for o in told["orders"].values() if o.reduce_only]
    assert sorted(o.status for o in exits) == ["canceled", "filled"]
    assert {o.order_type for o in exits} == {"stop_market", "limit"}
    assert len(told["history"]) == 1
    metrics = told["metrics"]
    assert metrics["engine"]["mode"] == "paper"
    assert metrics["engine"]["success_rate"] == 100.0
    assert metrics["positions"]["total_positions"] == 0
    stored = ek.Store(tmp_path).sql("select order_type, n_fills, reason from slippage")
    assert len(stored) == 3
    assert stored["n_fills"].clip(upper=1).sum() == 2


def test_the_metrics_have_the_keys_of_the_guide(recorded: Path, tmp_path: Path) -> None:
    """The nested dictionary that the guide prints, key for key."""
    market = ek.MarketData.load(recorded / "binance_raw_l2_20240808" / "usdm").select("BTCUSDT")
    ask = float(market.top_of_book("BTCUSDT")["ask"][200])
    metrics = asyncio.run(integration(market, tmp_path, round(ask + 20, 1)))["metrics"]

    assert {"mode", "total_signals", "successful_executions", "success_rate"} <= set(
        metrics["engine"]
    )
    assert {
        "total_positions",
        "total_unrealized_pnl",
        "winning_positions",
        "losing_positions",
    } <= set(metrics["positions"])
    assert {"current_drawdown_pct", "daily_loss_pct", "risk_violations"} <= set(metrics["risk"])
    assert metrics["monitoring"]["execution"]["avg_fill_time_ms"] is not None
    assert metrics["monitoring"]["slippage"]["avg_slippage_pct"] is not None


def test_the_position_tracker_example() -> None:
    """0.1 BTC long from 50,000, at 51,000: 0.1 * 1,000 = 100."""
    tracker = ek.PositionTracker()
    position = asyncio.run(
        tracker.open_position(
            symbol="BTCUSDT",
            side="LONG",
            quantity=0.1,
            entry_price=50000.0,
            stop_loss=48000.0,
            take_profit=55000.0,
        )
    )
    tracker.update_position_pnl("BTCUSDT", current_price=51000.0)
    stats = tracker.get_portfolio_stats()

    assert position.side == "LONG"
    assert float(stats["total_unrealized_pnl"]) == 100.0
    assert stats["total_positions"] == 1


def test_the_risk_guard_example() -> None:
    """Without an account nothing is known about drawdown, so the answer says what is missing."""
    guard = ek.RiskGuard(max_positions=5, max_drawdown_pct=10.0, daily_loss_limit_pct=2.0)
    answer = asyncio.run(guard.check_all_risks(symbol="BTCUSDT", quantity=0.1, price=50000.0))

    assert set(answer) >= {"passed", "violations"}
    assert answer["passed"] is (answer["violations"] == [])


def test_a_manual_breaker_and_the_emergency_stop(recorded: Path) -> None:
    """The breaker refuses what adds risk; the emergency stop closes what is held."""

    async def day() -> None:
        market = ek.MarketData.load(recorded / "binance_raw_l2_20240808" / "usdm")
        engine = ek.ExecutionEngine(
            exchanges={"binance": ek.PaperVenue(market.select("BTCUSDT"), name="binance")}
        )
        await engine.start()
        await engine.replay(engine.clock.now_ns() + FIVE_SECONDS)
        buy = {"symbol": "BTCUSDT", "action": "BUY", "quantity": 0.01}
        assert (await engine.execute_signal(ek.TradingSignal(**buy), "binance")).success
        engine.activate_circuit_breaker("high_volatility")
        refused = await engine.execute_signal(ek.TradingSignal(**buy), "binance")
        assert not refused.success
        assert refused.error
        results = await engine.emergency_stop_all()
        assert results["closed_positions"] == ["BTCUSDT"]
        assert results["failed"] == []
        assert engine.positions == []
        await engine.stop()

    asyncio.run(day())


def test_a_paper_run_has_markouts(recorded: Path, tmp_path: Path) -> None:
    """The engine records the quotes that markouts need, as far as the recording goes."""
    market = ek.MarketData.load(recorded / "binance_raw_l2_20240808" / "usdm").select("BTCUSDT")
    ask = float(market.top_of_book("BTCUSDT")["ask"][200])
    asyncio.run(integration(market, tmp_path, round(ask + 20, 1)))
    marks = ek.Store(tmp_path).sql(
        "select horizon_ns, markout_pnl_bps, reason from markouts order by venue_ts_ns, horizon_ns"
    )

    entry, last = marks.iloc[:8], marks.iloc[-8:]
    assert entry["markout_pnl_bps"].iloc[:4].notna().all()
    assert last["reason"].iloc[-1] == "horizon_open"  # the replay ended with the exit
