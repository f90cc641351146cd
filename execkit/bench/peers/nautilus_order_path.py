"""W4 in nautilus_trader: its backtest engine, a market order at each quote, each filled.

Making the quotes and adding them is not timed.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import nautilus_trader
import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

ENGINE = f"nautilus_trader {nautilus_trader.__version__}"


class Alternating(Strategy):
    """Buys and sells in turn, one order a quote."""

    def __init__(self, instrument: Any) -> None:
        super().__init__()
        self.instrument, self.sent, self.filled = instrument, 0, 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.instrument.id)

    def on_quote_tick(self, tick: Any) -> None:
        side = OrderSide.BUY if self.sent % 2 == 0 else OrderSide.SELL
        quantity = self.instrument.make_qty(Decimal("0.01"))
        self.submit_order(self.order_factory.market(self.instrument.id, side, quantity))
        self.sent += 1

    def on_order_filled(self, event: Any) -> None:
        self.filled += 1


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    quotes = {n: np.load(folder / f"{n}.npy").tolist() for n in ("ts_ns", "bid", "ask")}
    config = BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True))
    engine = BacktestEngine(config=config)
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(1_000_000_000, USDT), Money(1_000, BTC)],
    )
    instrument = TestInstrumentProvider.btcusdt_binance()
    engine.add_instrument(instrument)
    size = instrument.make_qty(Decimal(5))
    engine.add_data(
        [
            QuoteTick(
                instrument_id=instrument.id,
                bid_price=instrument.make_price(bid),
                ask_price=instrument.make_price(ask),
                bid_size=size,
                ask_size=size,
                ts_event=ts,
                ts_init=ts,
            )
            for ts, bid, ask in zip(*quotes.values(), strict=True)
        ]
    )
    strategy = Alternating(instrument)
    engine.add_strategy(strategy)
    return {"engine": engine, "strategy": strategy}


def work(state: dict[str, Any]) -> int:
    state["engine"].run()
    return int(state["strategy"].filled)


def answers(state: dict[str, Any], result: int) -> dict[str, float]:
    return {"fills": result}
