"""Protector: keeps every opened position covered by its stop loss and take profit.

One plan per entry order. The pair is a stop_market and a limit order, both reduce_only, in one OCO
group. After each batch of fills the plan is compared with what is there: if the pair does not cover
what the entry filled and its exits have not yet closed, a new pair is sent first and the old one
canceled then, so that the position is never bare; reduce_only keeps the two from closing too much.
That also re-arms after an OCO that canceled the stop when the target filled in part.

A pair that is rejected or refused raises an alarm, and the position is closed at market. An exit
that ended without a fill (no liquidity) is tried again after `retry_s`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

from execkit.clock import NS_PER_S, Clock
from execkit.domain import ExecutionOrder
from execkit.orders import OrderManager
from execkit.positions import PositionTracker
from execkit.recovery import Recovery
from execkit.words import ZERO, ExecutionStatus, OrderType, Side, new_client_order_id

_S = ExecutionStatus
# Why an exit may end without a fill as it should: the venue's OCO, or we canceled it ourselves.
_EXPECTED = frozenset({"oco", "position_closed", "protection_replaced", "protection_failed"})
Place = Callable[[ExecutionOrder], Awaitable[bool]]
At = Callable[[int, Callable[[], None]], None]


@dataclass
class Plan:
    """What one entry's fills need."""

    entry: ExecutionOrder
    stop: Decimal | None
    target: Decimal | None
    legs: list[ExecutionOrder] = field(default_factory=list)
    exits: dict[str, ExecutionOrder] = field(default_factory=dict)  # every exit ever sent
    failed: str = ""
    closing: ExecutionOrder | None = None
    not_before_ns: int = 0
    tries: int = 0  # exits in a row that found nobody
    busy: bool = False
    again: bool = False

    @property
    def exited(self) -> Decimal:
        return sum((order.filled_quantity for order in self.exits.values()), ZERO)

    def live_legs(self) -> list[ExecutionOrder]:
        return [leg for leg in self.legs if not leg.is_done]


class Protector:
    """Parameters
    ----------
    place : sends an order through all checks; False if it was refused or could not be sent.
    at : sets a timer. retry_s : pause after an exit that found nobody to trade with; doubles with
    each further one, up to 64 times.
    """

    def __init__(
        self,
        orders: OrderManager,
        tracker: PositionTracker,
        clock: Clock,
        place: Place,
        at: At,
        *,
        retry_s: float = 1.0,
    ) -> None:
        self.orders, self.tracker, self.clock = orders, tracker, clock
        self.place, self.at, self.retry_ns = place, at, round(retry_s * NS_PER_S)
        self.plans: list[Plan] = []

    def watch(self, entry: ExecutionOrder, stop: Decimal | None, target: Decimal | None) -> None:
        """Protect what `entry` will fill; to be called before it is sent."""
        if stop is not None or target is not None:
            self.plans.append(Plan(entry=entry, stop=stop, target=target))

    def restore(self, found: Recovery) -> None:
        """Take up the protection of entries that a journal knows, with the exits it knows."""
        by_id = {order.client_order_id: order for order in found.orders}
        for order_id, (stop, target) in found.exits.items():
            entry = by_id.get(order_id)
            if entry is None or entry.reduce_only or (stop is None and target is None):
                continue
            sent = [o for o in found.orders if o.parent_order_id == order_id and o.reduce_only]
            plan = Plan(entry=entry, stop=stop, target=target)
            plan.exits = {order.client_order_id: order for order in sent}
            plan.legs = [order for order in sent if not order.is_done]
            if not entry.is_done or self.need(plan):
                self.plans.append(plan)

    def release(self, venue: str = "", symbol: str = "") -> None:
        """Forget plans (all, or of one symbol); their orders are left to the caller."""
        self.plans = [
            plan
            for plan in self.plans
            if (venue and plan.entry.venue != venue) or (symbol and plan.entry.symbol != symbol)
        ]

    def covering(self, venue: str, symbol: str) -> list[ExecutionOrder]:
        """Live exits of a symbol's plans."""
        return [
            leg
            for plan in self.plans
            if (plan.entry.venue, plan.entry.symbol) == (venue, symbol)
            for leg in plan.live_legs()
        ]

    def review(self, touched: set[tuple[str, str]] | None = None) -> None:
        """Bring the plans of `touched` (venue, symbol) in line; work is done in the background."""
        for plan in list(self.plans):
            if touched is None or (plan.entry.venue, plan.entry.symbol) in touched:
                plan.again = True
                if not plan.busy and not self._settled(plan):
                    plan.busy = True
                    self.orders.tasks.spawn(self._work(plan))

    # -- one plan ---------------------------------------------------------------------------

    def need(self, plan: Plan) -> Decimal:
        """What has to be covered: filled by the entry, not yet exited, and still held."""
        entry = plan.entry
        held = self.tracker.quantity(entry.venue, entry.symbol) * entry.side.sign
        return max(ZERO, min(entry.filled_quantity - plan.exited, held))

    def _settled(self, plan: Plan) -> bool:
        """Nothing to do now; ends plans that are over."""
        need, live = self.need(plan), plan.live_legs()
        if need > 0:
            return not plan.failed and self._covers(plan, live, need)
        closing = plan.closing is not None and not plan.closing.is_done
        if not live and not closing and plan.entry.is_done and plan in self.plans:
            self.plans.remove(plan)
        return not live

    def _covers(self, plan: Plan, live: list[ExecutionOrder], need: Decimal) -> bool:
        wanted = (plan.stop is not None) + (plan.target is not None)
        right = [leg for leg in live if leg.status is not _S.CANCEL_PENDING]
        return len(right) == wanted and all(leg.remaining_quantity == need for leg in right)

    async def _work(self, plan: Plan) -> None:
        try:
            while plan.again and plan in self.plans:
                plan.again = False
                await self._mend(plan)
        finally:
            plan.busy = False

    async def _mend(self, plan: Plan) -> None:
        need, live = self.need(plan), plan.live_legs()
        if need <= 0:
            await self._cancel(live, "position_closed")
            self._settled(plan)
            return
        self._inspect(plan)
        now_ns = self.clock.now_ns()
        if now_ns < plan.not_before_ns:
            self.at(plan.not_before_ns, lambda: self.review(_key(plan)))
            return
        if not plan.failed and not self._covers(plan, live, need):
            await self._arm(plan, need)
            await self._cancel(live, "protection_replaced")
        if plan.failed:
            await self._close(plan, need)

    def _inspect(self, plan: Plan) -> None:
        """Learn from how the present exits ended."""
        ended = [leg for leg in plan.legs if leg.is_done]
        if plan.closing is not None and plan.closing.is_done:
            ended.append(plan.closing)
            plan.closing = None
        plan.legs = [leg for leg in plan.legs if not leg.is_done]
        for leg in ended:
            if leg.status in (_S.REJECTED, _S.REFUSED) and leg.order_type is not OrderType.MARKET:
                self._fail(plan, leg.reason)
            elif leg.filled_quantity:
                plan.tries = 0
            elif leg.reason not in _EXPECTED:
                plan.not_before_ns = self.clock.now_ns() + self.retry_ns
                text = (
                    f"an exit ended {leg.status.value} ({leg.reason}) without a fill; trying again"
                )
                self.orders.alarm("exit_unfilled", text, leg)

    def _fail(self, plan: Plan, reason: str) -> None:
        if not plan.failed:
            plan.failed = reason or "refused"
            text = f"the stop loss or take profit was not taken ({plan.failed}); closing at market"
            self.orders.alarm("protection_failed", text, plan.entry)

    async def _arm(self, plan: Plan, need: Decimal) -> None:
        group = new_client_order_id()
        pair = []
        if plan.stop is not None:
            pair.append(self._exit(plan, OrderType.STOP_MARKET, need, group, stop=plan.stop))
        if plan.target is not None:
            pair.append(self._exit(plan, OrderType.LIMIT, need, group, price=plan.target))
        for leg in pair:
            if not await self.place(leg):
                self._fail(plan, leg.reason)
                break
            plan.legs.append(leg)
        held = self.tracker.get_position(plan.entry.symbol, plan.entry.venue)
        if held is not None:
            held.stop_loss_price, held.take_profit_price = plan.stop, plan.target

    async def _close(self, plan: Plan, need: Decimal) -> None:
        await self._cancel(plan.live_legs(), "protection_failed")
        if plan.closing is not None:
            return
        order = self._exit(plan, OrderType.MARKET, need, "")
        if await self.place(order):
            plan.closing = order
            return
        text = (
            f"{need} {order.symbol} is unprotected: the closing order failed too ({order.reason})"
        )
        self.orders.alarm("unprotected", text, order)
        plan.not_before_ns = self.clock.now_ns() + self.retry_ns
        self.at(plan.not_before_ns, lambda: self.review(_key(plan)))

    def _exit(
        self,
        plan: Plan,
        kind: OrderType,
        need: Decimal,
        group: str,
        *,
        price: Decimal | None = None,
        stop: Decimal | None = None,
    ) -> ExecutionOrder:
        entry = plan.entry
        order = ExecutionOrder(
            symbol=entry.symbol,
            side=Side.SELL if entry.side is Side.BUY else Side.BUY,
            order_type=kind,
            quantity=need,
            price=price,
            stop_price=stop,
            reduce_only=True,
            oco_group=group,
            parent_order_id=entry.client_order_id,
            strategy_id=entry.strategy_id,
            signal_id=entry.signal_id,
            venue=entry.venue,
        )
        plan.exits[order.client_order_id] = order
        return order

    async def _cancel(self, orders: list[ExecutionOrder], reason: str) -> None:
        for order in orders:
            await self.orders.cancel_order(order, reason=reason)


def _key(plan: Plan) -> set[tuple[str, str]]:
    return {(plan.entry.venue, plan.entry.symbol)}
