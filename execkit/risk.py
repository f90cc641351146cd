"""RiskGuard: every order is asked for here, and only its `Approved` can be sent.

The limits are pure functions in `execkit.limits`; the guard adds what must be remembered between
orders: the peak of equity, equity at the start of the session day, failed orders in a row, and the
circuit breaker. It reads no clock that it was not given.

The breaker opens by hand (and stays open until closed by hand) or by itself, on drawdown, daily
loss or failed orders, and then closes after `cooldown_seconds`. After the cooldown the count of
failed orders starts anew; a drawdown or loss that still stands refuses by its own limit. A halt
(`emergency_stop_all`, or a journal that cannot be written) ends only by hand.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_S, Clock, LiveClock
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.limits import (
    LIMITS,
    LIVE_REQUIRED,
    Approved,
    Limit,
    Refused,
    RiskLimits,
)
from execkit.snapshot import AccountSnapshot, loss_pct
from execkit.words import (
    ExecutionMode,
    Number,
    OrderType,
    Side,
    normalise_symbol,
    positive,
    to_decimal,
)

__all__ = [
    "LIMITS",
    "LIVE_REQUIRED",
    "AccountSnapshot",
    "Approved",
    "Limit",
    "Refused",
    "RiskGuard",
    "RiskLimits",
    "paper_only",
]

_log = logging.getLogger(__name__)
_DAY_NS = 86_400 * NS_PER_S
_LOT = Decimal("0.00000001")

Snapshot = Callable[[ExecutionOrder], AccountSnapshot]


class RiskGuard:
    """Limits, and the memory they need.

    Parameters
    ----------
    limits : the limits as one object, or any of its fields as keywords (the guide's shape:
        ``RiskGuard(max_positions=5, max_drawdown_pct=10.0, daily_loss_limit_pct=2.0)``).
    starting_equity : account equity for a guard that no engine feeds.
    clock : for the cooldown and the session day; an engine sets its own.
    rules : the limit functions in order of precedence.
    """

    def __init__(
        self,
        limits: RiskLimits | None = None,
        *,
        starting_equity: Number | None = None,
        clock: Clock | None = None,
        rules: tuple[Limit, ...] = LIMITS,
        **given: Any,
    ) -> None:
        chosen, known = limits or RiskLimits(), {item.name for item in fields(RiskLimits)}
        for name in given:
            if name not in known:
                raise InvalidInput(name, given[name], f"limits are: {', '.join(sorted(known))}")
        self.limits = replace(chosen, **given, given=chosen.given | frozenset(given))
        self.clock: Clock = clock or LiveClock()
        self.rules = rules
        self.currency = ""  # of equity; an engine says which
        self.equity: Decimal | None = None
        self.peak_equity: Decimal | None = None
        self.day_start_equity: Decimal | None = None
        self.failed_orders = 0
        self.refusals: deque[tuple[int, Refused]] = deque(maxlen=100)
        self.on_change: Callable[[str, dict[str, object]], None] | None = None
        self.snapshot: Snapshot | None = None
        self._day = -1
        self._breaker, self._breaker_until_ns = "", 0
        self._halted = ""
        self._tripped: set[str] = set()
        if starting_equity is not None:
            self.update_equity(positive(starting_equity, "starting_equity"))

    # -- checks -----------------------------------------------------------------------------

    def check(self, order: ExecutionOrder, at: AccountSnapshot) -> Approved | Refused:
        """Evaluate every limit; the first refusal in order of precedence wins. Raises nothing. An
        order that passes only because it reduces becomes reduce_only."""
        answer = self._judge(order, at)
        if isinstance(answer, Refused):
            self.refusals.append((at.now_ns, answer))
        elif answer.only_reducing:
            order.reduce_only = True  # or with a close under way it would open the other side
        return answer

    def _judge(self, order: ExecutionOrder, at: AccountSnapshot) -> Approved | Refused:
        breaker = self.breaker()  # first: the end of a cooldown also resets the count of failures
        self._roll_day()
        at = at.changed(
            equity=self.equity if at.equity is None and not at.equity_note else at.equity,
            peak_equity=self.peak_equity,
            day_start_equity=self.day_start_equity,
            failed_orders=self.failed_orders,
            breaker=breaker,
            halted=self._halted,
        )
        found = self._refusals(order, at)
        if found:
            return replace(found[0], also=tuple(found[1:])) if len(found) > 1 else found[0]
        freely = order.reduce_only or not at.reduces(order)
        only = not freely and bool(self._refusals(order, at.changed(as_opening=True)))
        return Approved(order=order, ts_ns=at.now_ns, only_reducing=only)

    def _refusals(self, order: ExecutionOrder, at: AccountSnapshot) -> list[Refused]:
        found, limits = [], self.limits
        for rule in self.rules:
            try:
                no = rule(order, at, limits)
            except Exception as error:  # noqa: BLE001 - a limit that cannot answer must not approve
                _log.exception("limit %s failed", rule.__name__)
                message = f"{rule.__name__} failed ({type(error).__name__}: {error})"
                no = Refused(code="limit_failed", message=message)
            if no is not None:
                found.append(no)
        return found

    async def check_all_risks(
        self,
        symbol: str,
        quantity: Number,
        price: Number | None = None,
        *,
        side: Side | str = Side.BUY,
        venue: str = "",
    ) -> dict[str, Any]:
        """Would this order pass now? Nothing is sent and nothing is counted.

        Returns passed (bool), violations (texts, in order of precedence), codes, and refused (the
        value itself or None). price None asks for a market order.
        """
        order = ExecutionOrder(
            symbol=symbol,
            side=Side.of(side, "side"),
            order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
            quantity=to_decimal(quantity, "quantity"),
            price=None if price is None else to_decimal(price, "price"),
            venue=venue,
        )
        at = self.snapshot(order) if self.snapshot else self._bare(order)
        answer = self._judge(order, at)
        found = (answer, *answer.also) if isinstance(answer, Refused) else ()
        return {
            "passed": not found,
            "violations": [str(no) for no in found],
            "codes": [no.code for no in found],
            "refused": answer if isinstance(answer, Refused) else None,
        }

    def _bare(self, order: ExecutionOrder) -> AccountSnapshot:
        """The view of a guard that stands alone: no positions, the given price is the market."""
        name = normalise_symbol(order.symbol)
        instrument = Instrument(symbol=name, tick_size=_LOT, lot_size=_LOT)
        return AccountSnapshot(
            now_ns=self.clock.now_ns(), instrument=instrument, reference_price=order.price
        )

    # -- memory -----------------------------------------------------------------------------

    def update_equity(self, equity: Number) -> None:
        """Tell the account's equity; opens the breaker if drawdown or daily loss hit a limit."""
        self._note(to_decimal(equity, "equity"), self.clock.now_ns())
        for name, loss, limit in (
            ("drawdown", self.current_drawdown_pct, self.limits.max_drawdown_pct),
            ("daily loss", self.daily_loss_pct, self.limits.daily_loss_limit_pct),
        ):
            if limit is None or loss < limit:
                self._tripped.discard(name)
            elif name not in self._tripped:  # once; while it stands the limit itself refuses
                self._tripped.add(name)
                self._open(f"{name} {loss:.4g} % reached {limit} %", self._cooldown())

    def _note(self, value: Decimal, now_ns: int) -> None:
        self._roll_day(now_ns, value)
        self.equity = value
        if self.peak_equity is None or value > self.peak_equity:
            self.peak_equity = value

    def _roll_day(self, now_ns: int | None = None, first: Decimal | None = None) -> None:
        """Begin the session day if the clock says so, also where nothing moves equity. It starts
        from the last equity known before it: a gap belongs to the new day."""
        now_ns = self.clock.now_ns() if now_ns is None else now_ns
        day = (now_ns - self.limits.day_start_s * NS_PER_S) // _DAY_NS
        start = self.equity if self.equity is not None else first
        if start is not None and (day != self._day or self.day_start_equity is None):
            self._day, self.day_start_equity = day, start
            self._tripped.discard("daily loss")

    def restore(
        self,
        equity: Iterable[tuple[int, Decimal]],
        events: Iterable[tuple[str, Mapping[str, Any]]],
        failed_orders: int = 0,
    ) -> None:
        """Take up what an earlier process of the run knew, and tell nobody: it is known.

        equity : (ts_ns, value) as recorded, for the peak and the start of the day. events : (code,
        payload) as `on_change` told them: a halt and an open breaker outlive the process.
        """
        for ts_ns, value in equity:
            self._note(value, ts_ns)
        for code, told in events:
            if code == "halted":
                self._halted = str(told["reason"])
            elif code == "resumed":
                self._halted = ""
            elif code == "breaker_opened":
                self._breaker = str(told["reason"])
                self._breaker_until_ns = int(told.get("until_ts_ns") or 0)
            elif code == "breaker_closed":
                self._breaker, self._breaker_until_ns = "", 0
        self.failed_orders = failed_orders

    @property
    def current_drawdown_pct(self) -> Decimal:
        return loss_pct(self.peak_equity, self.equity)

    @property
    def daily_loss_pct(self) -> Decimal:
        return loss_pct(self.day_start_equity, self.equity)

    def order_failed(self, reason: str) -> None:
        """Count a rejected or unknown order; as many in a row as the limit open the breaker."""
        self.failed_orders += 1
        limit = self.limits.max_failed_orders
        if limit is not None and self.failed_orders >= limit and not self.breaker():
            self._open(f"{self.failed_orders} failed orders in a row ({reason})", self._cooldown())

    def order_accepted(self) -> None:
        """A venue took an order: the row of failures is broken, unless it tripped the breaker."""
        if not self._breaker:
            self.failed_orders = 0

    # -- breaker and halt -------------------------------------------------------------------

    def breaker(self) -> str:
        """Why the breaker is open, "" while it is closed. Ends a cooldown that is over."""
        if self._breaker and 0 < self._breaker_until_ns <= self.clock.now_ns():
            self.deactivate_circuit_breaker("cooldown over")
        return self._breaker

    def activate_circuit_breaker(self, reason: str) -> None:
        """Open the breaker by hand: only orders that reduce exposure pass until it is closed."""
        self._open(str(reason) or "by hand", 0)

    def deactivate_circuit_breaker(self, reason: str = "by hand") -> None:
        if self._breaker:
            self._changed("breaker_closed", reason=reason, was=self._breaker)
        self._breaker, self._breaker_until_ns = "", 0
        self.failed_orders = 0

    def halt(self, reason: str) -> None:
        """Latch: nothing that adds risk passes until `resume`."""
        if not self._halted:
            self._changed("halted", reason=reason)
        self._halted = reason

    def resume(self) -> None:
        if self._halted:
            self._changed("resumed", reason="by hand", was=self._halted)
        self._halted = ""

    @property
    def halted(self) -> str:
        return self._halted

    def _cooldown(self) -> int:
        return max(1, self.clock.now_ns() + round(self.limits.cooldown_seconds * NS_PER_S))

    def _open(self, reason: str, until_ns: int) -> None:
        if self._breaker and not self._breaker_until_ns:
            return  # opened by hand: stays so
        self._breaker, self._breaker_until_ns = reason, until_ns
        self._changed("breaker_opened", reason=reason, until_ts_ns=until_ns or None)

    def _changed(self, code: str, **more: object) -> None:
        _log.warning("risk: %s %s", code, more)
        if self.on_change:
            self.on_change(code, more)

    def get_risk_status(self) -> dict[str, Any]:
        """Percentages in percent, equity in `equity_currency` (None if it cannot be told) as are
        the limits on money; `risk_violations` are what would refuse any new risk now."""
        limits, breaker = self.limits, self.breaker()
        self._roll_day()
        drawdown, daily = self.current_drawdown_pct, self.daily_loss_pct
        violations = [f"halted: {self._halted}"] if self._halted else []
        if breaker:
            violations.append(f"circuit_breaker: {breaker}")
        if limits.max_drawdown_pct is not None and drawdown >= limits.max_drawdown_pct:
            violations.append(f"max_drawdown: {drawdown:.4g} % of {limits.max_drawdown_pct} %")
        if limits.daily_loss_limit_pct is not None and daily >= limits.daily_loss_limit_pct:
            violations.append(f"daily_loss_limit: {daily:.4g} % of {limits.daily_loss_limit_pct} %")
        return {
            "current_drawdown_pct": float(drawdown),
            "daily_loss_pct": float(daily),
            "circuit_breaker_active": bool(breaker),
            "circuit_breaker_reason": breaker or None,
            "circuit_breaker_until_ts_ns": self._breaker_until_ns or None,
            "halted": self._halted or None,
            "failed_orders": self.failed_orders,
            "equity_currency": self.currency or None,
            "equity": None if self.equity is None else float(self.equity),
            "peak_equity": None if self.peak_equity is None else float(self.peak_equity),
            "risk_violations": violations,
            "recent_refusals": [
                {"ts_ns": ts_ns, "code": no.code, "message": no.message}
                for ts_ns, no in self.refusals
            ],
            "limits": _plain(asdict(limits)),
        }


def _plain(limits: Mapping[str, object]) -> dict[str, object]:
    return {
        name: float(value) if isinstance(value, Decimal) else value
        for name, value in limits.items()
        if name != "given"
    }


def paper_only(order: ExecutionOrder) -> Approved | Refused:
    """What an `OrderManager` without a guard asks: on paper no money is at risk."""
    if order.mode is ExecutionMode.PAPER:
        return Approved(order=order, ts_ns=order.created_ts_ns)
    message = f"a {order.mode.value} order needs a RiskGuard; place it through ExecutionEngine"
    return Refused(code="no_risk_guard", message=message)
