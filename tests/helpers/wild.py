"""A wild strategy on a thin paper market, and what its protection must never do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from execkit.clock import ReplayClock
from execkit.domain import ExecutionOrder, TradingSignal
from execkit.engine import ExecutionEngine
from execkit.market import MarketData
from execkit.models.fill import FillModel
from execkit.models.latency import LatencyModel
from execkit.risk import RiskGuard
from execkit.venues.paper import PaperVenue
from execkit.words import OrderType
from tests.helpers.quotevenue import BTC, S

LAST_S = 240
KEY = ("b", "BTCUSDT")


@dataclass
class Seen:
    """What a run showed. bare_ns : longest time that one quantity was held without a stop that the
    venue had taken, aside from an exit that is filling and pauses after one that found nobody."""

    wrong: list[str] = field(default_factory=list)
    stops: int = 0  # emergency stops
    flat_in_s: list[int] = field(default_factory=list)
    data_ended: int = 0  # emergency stops that the end of the data cut short
    entries: int = 0
    exits: int = 0
    bare_ns: int = 0
    allowed_ns: int = 0


def market(r: random.Random) -> MarketData:
    price, rows = 50_000.0, []
    for second in range(1, LAST_S):
        price += r.choice([-30, -10, 0, 10, 30])
        size = r.choice([0.4, 1, 3]) if second % 7 else 0.2
        rows.append((second * S, price, price + 1, size, size))
    frame = pd.DataFrame(rows, columns=["ts_ns", "bid", "ask", "bid_quantity", "ask_quantity"])
    frame["symbol"], frame["seq"] = "BTCUSDT", range(len(frame))
    return MarketData.from_quotes(frame, instruments=[BTC])


class Wild:
    """Buys, sells, closes, closes and re-enters in one step, stops everything, goes on."""

    def __init__(self, seed: int) -> None:
        self.r, self.seen = random.Random(seed), Seen()
        choose = self.r.choice
        entry, cancel, answer = choose([0, S // 10, 2 * S]), choose([0, S // 10, 3 * S]), S // 10
        latency = LatencyModel(entry_ns=entry, cancel_ns=cancel, response_ns=choose([0, answer, S]))
        self.venue = PaperVenue(
            market(self.r),
            name="b",
            latency=latency,
            fill=FillModel(name="thin", ladder_levels=choose([1, 5])),
        )
        self.seen.allowed_ns = entry + 2 * latency.response_ns + S  # seen once per second
        self.engine = ExecutionEngine(
            {"b": self.venue},
            risk_guard=RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=None),
            clock=ReplayClock(S),
        )
        self.stopped_s: int | None = None
        self.past: list[tuple[int, Decimal, Decimal]] = []  # (time, covered, held) while bare
        self.filled = Decimal(0)

    async def run(self) -> Seen:
        await self.engine.start()
        await self.engine.replay(on_time=self.step)
        if self.stopped_s is not None:
            self.seen.data_ended += bool(self.held)
            self.seen.flat_in_s += [LAST_S - self.stopped_s] if not self.held else []
        self.look_back()
        return self.seen

    @property
    def held(self) -> Decimal:
        return self.engine.position_tracker.quantity(*KEY)

    async def step(self, now_ns: int) -> None:
        self.look(now_ns)
        if self.stopped_s is not None:
            if self.held or self.engine.order_manager.open_orders():
                return
            self.seen.flat_in_s.append(now_ns // S - self.stopped_s)
            self.stopped_s = None
            if self.r.random() < 0.9:
                self.engine.deactivate_circuit_breaker()
        elif self.r.random() < 0.12:
            await self.act(now_ns)

    async def act(self, now_ns: int) -> None:
        what = self.r.choice(["buy", "sell", "close", "part", "again", "again", "stop"])
        if what in ("close", "again"):
            await self.engine.close_position("BTCUSDT")
        if what in ("buy", "sell", "again"):
            await self.enter(what if what != "again" else self.r.choice(["buy", "sell"]))
        if what == "part":
            await self.engine.execute_signal(TradingSignal("BTCUSDT", "CLOSE", "0.3"), "b")
        if what == "stop" and self.r.random() < 0.4:
            await self.engine.emergency_stop_all()
            self.seen.stops += 1
            self.stopped_s = now_ns // S

    async def enter(self, side: str) -> None:
        quote = self.venue.quote("BTCUSDT")
        assert quote is not None
        sign, wide = (1 if side == "buy" else -1), self.r.choice([20, 60, 150])
        price = self.r.choice([None, quote.bid - sign * 10])
        start = quote.mid if price is None else price
        wish = TradingSignal(
            "BTCUSDT",
            side,
            self.r.choice([1, 2]),
            price=price,
            stop_loss=start - sign * wide,
            take_profit=start + sign * (wide + 2),
        )
        await self.engine.execute_signal(wish, "b")

    # -- what must hold ---------------------------------------------------------------------

    def exits(self) -> list[ExecutionOrder]:
        kinds = (OrderType.STOP_MARKET, OrderType.MARKET)
        live = self.engine.order_manager.open_orders()
        return [o for o in live if o.reduce_only and o.order_type in kinds]

    def pausing(self, now_ns: int) -> bool:
        protector = self.engine.protector
        pauses = [plan.pause for plan in protector.plans]
        pauses += [way.pause for way in protector.leaving.values()]
        return any(pause.until_ns > now_ns for pause in pauses)

    def look(self, now_ns: int) -> None:
        held = self.held
        exits = [o for o in self.exits() if o.side.sign * held < 0]
        sent = sum(o.remaining_quantity for o in exits)
        if sent < abs(held) and not self.pausing(now_ns):
            self.seen.wrong.append(f"{now_ns // S}: {held} held, exits for {sent}")
        known = [o for o in exits if o.accepted_ts_ns or o.order_type is OrderType.MARKET]
        filled = sum(o.filled_quantity for o in self.engine.orders.values() if o.reduce_only)
        acting, self.filled = filled > self.filled, filled
        covered = Decimal(sum(o.remaining_quantity for o in known))
        if covered >= abs(held) or acting or self.pausing(now_ns):
            self.past.clear()
            return
        if self.past and self.past[-1][2] * held < 0:
            self.past.clear()
        self.past.append((now_ns, covered, held))
        low, high = covered, abs(held)
        for then_ns, sure, was in reversed(self.past):
            low, high = max(low, sure), min(high, abs(was))
            if low >= high:  # other quantities were bare then
                break
            self.seen.bare_ns = max(self.seen.bare_ns, now_ns - then_ns)

    def look_back(self) -> None:
        """No exit may turn a position round, or open one."""
        held = Decimal(0)
        for fill in self.engine.position_tracker._seen.values():
            after = held + fill.quantity * fill.side.sign
            order = self.engine.orders[fill.client_order_id]
            if order.reduce_only and (held * after < 0 or abs(after) > abs(held)):
                self.seen.wrong.append(f"an exit made {after} of {held}")
            self.seen.exits += order.reduce_only
            self.seen.entries += not order.reduce_only
            held = after
