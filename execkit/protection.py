"""Protector: keeps every opened position covered by its stop loss and take profit.

One plan per entry order. The pair is a stop_market and a limit order, both reduce_only, in one OCO
group. After each batch of fills the plan is compared with what is there: if the pair does not cover
what of the entry's fills is still held (its lot, see `PositionTracker.lots`), a new pair is sent,
and the old one canceled when the venue has taken the new one, so that what was covered stays so;
reduce_only keeps the two from closing too much. That also re-arms after an OCO that canceled the
stop when the target filled in part. A lot ends with the position, so the plan of an earlier one
never sells a later one.

A pair that is rejected or refused raises an alarm, and the position is closed at market. An exit
that ended without a fill is tried again after `retry_s`. While `latched` (emergency stop), nothing
is armed, and whatever is held, also by a later fill, is closed at market until it is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

from execkit.clock import NS_PER_S, Clock
from execkit.domain import ExecutionOrder, Position
from execkit.errors import StopTrading
from execkit.orders import OrderManager
from execkit.positions import Key, PositionTracker
from execkit.recovery import Recovery
from execkit.words import ZERO, ExecutionStatus, OrderType, Side, new_client_order_id

_S = ExecutionStatus
# Why an exit may end without a fill as it should: the venue's OCO, or we canceled it ourselves.
_EXPECTED = frozenset(
    {"oco", "position_closed", "protection_replaced", "protection_failed", "emergency_stop"}
)
Place = Callable[[ExecutionOrder], Awaitable[str]]
Cancel = Callable[[ExecutionOrder, str], Awaitable[object]]
At = Callable[[int, Callable[[], None]], None]


@dataclass
class Pause:
    """Between attempts that come to nothing: doubles with each further one, up to `most` times."""

    most: int = 64
    tries: int = 0
    until_ns: int = 0

    def lengthen(self, now_ns: int, first_ns: int) -> int:
        self.until_ns = now_ns + first_ns * min(2 ** min(self.tries, 32), self.most)
        self.tries += 1
        return self.until_ns

    def end(self) -> None:
        self.tries = self.until_ns = 0


@dataclass
class Plan:
    """What one entry's fills need."""

    entry: ExecutionOrder
    stop: Decimal | None
    target: Decimal | None
    legs: list[ExecutionOrder] = field(default_factory=list)
    group: str = ""  # of the pair sent last
    failed: str = ""
    closing: ExecutionOrder | None = None
    pause: Pause = field(default_factory=Pause)
    seen: Decimal = ZERO  # the need at the last look
    busy: bool = False
    again: bool = False

    @property
    def key(self) -> Key:
        return self.entry.venue, self.entry.symbol

    def live_legs(self) -> list[ExecutionOrder]:
        return [leg for leg in self.legs if not leg.is_done]


@dataclass
class Leaving:
    """A holding on its way out while the emergency stop is latched."""

    closing: list[ExecutionOrder] = field(default_factory=list)
    pause: Pause = field(default_factory=lambda: Pause(most=8))
    seen: Decimal = ZERO  # what was held at the last look
    error: str = ""  # why the last attempt could not be sent
    busy: bool = False


class Protector:
    """Parameters
    ----------
    place : sends an order through all checks; says why it was refused or could not be sent, or "".
    cancel : asks for the cancel of an order, with a reason.
    at : sets a timer. retry_s : pause after an exit that found nobody to trade with; doubles with
    each further one, up to 64 times (8 times after an emergency stop).
    """

    def __init__(
        self,
        orders: OrderManager,
        tracker: PositionTracker,
        clock: Clock,
        place: Place,
        cancel: Cancel,
        at: At,
        *,
        retry_s: float = 1.0,
    ) -> None:
        self.orders, self.tracker, self.clock = orders, tracker, clock
        self.place, self.cancel, self.at = place, cancel, at
        self.retry_ns = round(retry_s * NS_PER_S)
        self.plans: list[Plan] = []
        self.latched = False
        self.waits: Callable[[str], bool] | None = None  # whether a venue cannot be used now
        self.leaving: dict[Key, Leaving] = {}
        self._known: dict[str, Plan] = {}  # every plan ever, by its entry: fills may come late

    def watch(self, entry: ExecutionOrder, stop: Decimal | None, target: Decimal | None) -> None:
        """Protect what `entry` will fill; to be called before it is sent."""
        if stop is not None or target is not None:
            self._take(Plan(entry=entry, stop=stop, target=target))

    def restore(self, found: Recovery) -> None:
        """Take up the protection of entries that a journal knows, with the exits it knows."""
        by_id = {order.client_order_id: order for order in found.orders}
        for order_id, (stop, target) in found.exits.items():
            entry = by_id.get(order_id)
            if entry is None or entry.reduce_only or (stop is None and target is None):
                continue
            plan = Plan(entry=entry, stop=stop, target=target)
            sent = [o for o in found.orders if o.parent_order_id == order_id and o.reduce_only]
            plan.legs = [order for order in sent if not order.is_done]
            plan.group = plan.legs[-1].oco_group if plan.legs else ""
            self._take(plan)
            self._settled(plan)

    def _take(self, plan: Plan) -> None:
        self.plans.append(plan)
        self._known[plan.entry.client_order_id] = plan

    def unlatch(self) -> None:
        """Protect again what is still held, instead of closing it."""
        self.latched = False
        self.at(self.clock.now_ns(), self.review)

    def covering(self, venue: str, symbol: str) -> list[ExecutionOrder]:
        """Live exits of a symbol's plans."""
        return [
            leg
            for plan in self.plans
            if (plan.entry.venue, plan.entry.symbol) == (venue, symbol)
            for leg in plan.live_legs()
        ]

    def review(self, touched: set[Key] | None = None) -> None:
        """Bring what is held in `touched` (venue, symbol) in line, in the background."""
        for held in self.tracker.open_positions():
            key = held.venue, held.symbol
            if (touched is None or key in touched) and not self._waits(held.venue):
                self._revive(key)
                if self.latched:
                    self.orders.tasks.spawn(self.leave(held))
        for plan in list(self.plans):
            if (touched is None or plan.key in touched) and not self._waits(plan.entry.venue):
                plan.again = True
                if not plan.busy and not self._settled(plan):
                    plan.busy = True
                    self.orders.tasks.spawn(self._work(plan))

    def _waits(self, venue: str) -> bool:
        return self.waits is not None and self.waits(venue)

    def _revive(self, key: Key) -> None:
        """An entry that had ended without a fill may have one after all."""
        for order_id in self.tracker.lots(*key):
            plan = self._known.get(order_id)
            if plan is not None and plan not in self.plans:
                self.plans.append(plan)

    # -- getting out ------------------------------------------------------------------------

    async def leave(self, held: Position) -> None:
        """While latched: cancel what is live in the symbol and close the holding at market. One
        attempt at a time; an attempt that came to nothing is repeated, with pauses."""
        way = self.leaving.setdefault((held.venue, held.symbol), Leaving())
        if way.busy:
            return
        way.busy = True
        try:
            while self.latched and (need := self._to_close(way, held)):
                error = await self._go(way, held, need)
                if error:
                    if error != way.error:
                        text = f"{held.quantity} {held.symbol} could not be closed ({error})"
                        self.orders.alarm("not_closed", text)
                    self._wait(way.pause, (held.venue, held.symbol))
                way.error = error
        finally:
            way.busy = False

    def _to_close(self, way: Leaving, held: Position) -> Decimal:
        """What no closing order under way will take, 0 during a pause."""
        quantity = held.quantity
        if abs(quantity) > abs(way.seen) or quantity * way.seen < 0:
            way.pause.end()  # an order that was under way has filled: that is new
        way.seen = quantity
        for order in [order for order in way.closing if order.is_done]:
            way.closing.remove(order)  # its end is what led here
            if order.filled_quantity:
                way.pause.end()
            elif order.side.sign * quantity < 0:
                self._wait(way.pause, (held.venue, held.symbol))
        if self.clock.now_ns() < way.pause.until_ns:
            return ZERO
        closing = [order for order in way.closing if order.side.sign * quantity < 0]
        left = self.tracker.closable(held.venue, held.symbol)
        return max(ZERO, left - sum(order.remaining_quantity for order in closing))

    async def _go(self, way: Leaving, held: Position, need: Decimal) -> str:
        """Why it could not be sent, or ""."""
        try:
            # While nothing can be written no close can be sent: then what protects has to stay.
            self.orders.recorder.flush()
            others = self.orders.open_orders(held.venue, held.symbol)
            await self._cancel([o for o in others if o not in way.closing], "emergency_stop")
            order = ExecutionOrder(
                symbol=held.symbol,
                side=Side.SELL if held.quantity > 0 else Side.BUY,
                order_type=OrderType.MARKET,
                quantity=need,
                reduce_only=True,
                reason="emergency_stop",
                venue=held.venue,
            )
            error = await self.place(order)
        except StopTrading as stopped:
            return str(stopped)
        if not error:
            way.closing.append(order)
        return error

    def _wait(self, pause: Pause, key: Key) -> None:
        until_ns = pause.lengthen(self.clock.now_ns(), self.retry_ns)
        self.at(until_ns, lambda: self.review({key}))

    # -- one plan ---------------------------------------------------------------------------

    def need(self, plan: Plan) -> Decimal:
        """What has to be covered: what the entry filled and is still held, dust left out."""
        lot = self.tracker.lots(*plan.key).get(plan.entry.client_order_id, ZERO)
        return self.tracker.closable(*plan.key, lot)

    def _settled(self, plan: Plan) -> bool:
        """Nothing to do now; ends plans that are over."""
        need, live = self.need(plan), plan.live_legs()
        if need > 0:
            pair, old = self._pair(plan, need)
            return self.latched or bool(pair and not plan.failed and not (old and _taken(pair)))
        closing = plan.closing is not None and not plan.closing.is_done
        if not live and not closing and plan.entry.is_done and plan in self.plans:
            self.plans.remove(plan)
        return not live

    def _pair(self, plan: Plan, need: Decimal) -> tuple[list[ExecutionOrder], list[ExecutionOrder]]:
        """The exits that cover `need`, [] if they do not; and all others."""
        live = [leg for leg in plan.live_legs() if leg.status is not _S.CANCEL_PENDING]
        last = [leg for leg in live if leg.oco_group == plan.group]
        pair = [leg for leg in last if leg.remaining_quantity == need]
        if len(pair) != (plan.stop is not None) + (plan.target is not None):
            # one whose moment has come may stand alone: its other leg is gone to let it through
            pair = [leg for leg in pair if leg.triggered_ts_ns and not leg.filled_quantity]
        return pair, [leg for leg in live if leg not in pair]

    async def _work(self, plan: Plan) -> None:
        try:
            while plan.again and plan in self.plans:
                plan.again = False
                await self._mend(plan)
        except StopTrading as error:
            text = f"{self.need(plan)} {plan.entry.symbol} may be bare: {error}"
            self.orders.alarm("unprotected", text, plan.entry)
            self._wait(plan.pause, plan.key)
            raise
        finally:
            plan.busy = False

    async def _mend(self, plan: Plan) -> None:
        need, live = self.need(plan), plan.live_legs()
        if need <= 0:
            await self._cancel(live, "position_closed")
            self._settled(plan)
            return
        if self.latched:
            return
        if need > plan.seen:
            plan.pause.end()  # the entry filled more: that is new, and bare
        plan.seen = need
        self._inspect(plan)
        if self.clock.now_ns() < plan.pause.until_ns or self._waits(plan.entry.venue):
            return
        if not plan.failed and not self._pair(plan, need)[0]:
            await self._arm(plan, need)
        pair, old = self._pair(plan, need)
        if pair and not plan.failed and _taken(pair):
            await self._cancel(old, "protection_replaced")
        if plan.failed:
            await self._close(plan, need)

    def _inspect(self, plan: Plan) -> None:
        """Learn from how the present exits ended."""
        ended = [leg for leg in plan.legs if leg.is_done]
        if plan.closing is not None and plan.closing.is_done:
            ended.append(plan.closing)
            plan.closing = None
        plan.legs = [leg for leg in plan.legs if not leg.is_done]
        unfilled = None
        for leg in ended:
            if leg.status in (_S.REJECTED, _S.REFUSED) and leg.order_type is not OrderType.MARKET:
                self._fail(plan, leg.reason)
            elif leg.filled_quantity:
                plan.pause.end()
            elif leg.reason not in _EXPECTED:
                unfilled = leg
        if unfilled is not None:
            self._wait(plan.pause, plan.key)
            text = f"an exit ended {unfilled.status.value} ({unfilled.reason}) without a fill"
            self.orders.alarm("exit_unfilled", f"{text}; trying again", unfilled)

    def _fail(self, plan: Plan, reason: str) -> None:
        if not plan.failed:
            plan.failed = reason or "refused"
            text = f"the stop loss or take profit was not taken ({plan.failed}); closing at market"
            self.orders.alarm("protection_failed", text, plan.entry)

    async def _arm(self, plan: Plan, need: Decimal) -> None:
        group = plan.group = new_client_order_id()
        pair = []
        if plan.stop is not None:
            pair.append(self._exit(plan, OrderType.STOP_MARKET, need, group, stop=plan.stop))
        if plan.target is not None:
            pair.append(self._exit(plan, OrderType.LIMIT, need, group, price=plan.target))
        for leg in pair:
            error = await self.place(leg)
            if error:
                self._fail(plan, error)
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
        error = await self.place(order)
        if not error:
            plan.closing = order
            return
        text = f"{need} {order.symbol} is unprotected: the closing order failed too ({error})"
        self.orders.alarm("unprotected", text, order)
        self._wait(plan.pause, plan.key)

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
        return ExecutionOrder(
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

    async def _cancel(self, orders: list[ExecutionOrder], reason: str) -> None:
        for order in orders:
            await self.cancel(order, reason)


def _taken(pair: list[ExecutionOrder]) -> bool:
    """Whether the venue has the exits."""
    return all(leg.status is not _S.SENDING for leg in pair)
