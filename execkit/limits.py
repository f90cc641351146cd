"""The limits: order + account snapshot + limits -> None | Refused(code, observed, limit).

Each limit is one pure function; adding one is a function and a line in `LIMITS`, whose order is the
precedence of refusals. A refusal is a value, never an exception.

Orders that only reduce exposure pass everything that protects against more exposure (positions,
sizes, drawdown, daily loss, an open breaker, a missing price), so that one can always get out.
Orders in flight count in full: the worst case is a position plus all buys, or less all sells.

Units: `*_pct` are percent (10.0 = 10 %), notional and exposure are in the account's currency
(converted where an instrument is quoted in another one), quantities are base units (contracts for
inverse instruments). A size may equal its limit; a loss that reaches its limit has hit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal

from execkit.clock import NS_PER_S
from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput
from execkit.snapshot import AccountSnapshot
from execkit.words import ExecutionMode, positive

_HUNDRED = Decimal(100)
_TINY = Decimal("1E-8")


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """None = not limited. LIVE demands that the caller set `LIVE_REQUIRED`, and not to None.

    max_positions : symbols held or being entered. max_order_quantity, max_position_quantity : base
    units. max_order_notional, max_position_notional (also known as position size), max_exposure
    (gross, all symbols) : the account's currency. max_open_orders : live orders, protection
    included. max_price_deviation_pct : limit price against the reference, on the side that costs.
    max_quote_age_s : older reference prices count as none. max_drawdown_pct : of peak equity.
    daily_loss_limit_pct : realised + unrealised + fees since the day began, of equity then.
    max_failed_orders : rejected or unknown orders in a row. cooldown_seconds : how long a breaker
    that tripped by itself stays open. day_start_s : when the session day begins, seconds after
    midnight UTC. given : names of the limits that somebody set on purpose.
    """

    max_positions: int | None = 5
    max_order_quantity: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_position_quantity: Decimal | None = None
    max_position_notional: Decimal | None = None
    max_exposure: Decimal | None = None
    max_open_orders: int | None = None
    max_price_deviation_pct: Decimal | None = None
    max_quote_age_s: float | None = None
    max_drawdown_pct: Decimal | None = Decimal(10)
    daily_loss_limit_pct: Decimal | None = Decimal(2)
    max_failed_orders: int | None = 10
    cooldown_seconds: float = 300.0
    day_start_s: int = 0
    given: frozenset[str] = frozenset()

    def __new__(cls, **named: object) -> RiskLimits:
        """Remember what was named: a limit that happens to equal its default was set on purpose."""
        self = super().__new__(cls)
        object.__setattr__(self, "_named", frozenset(named))
        return self

    def __post_init__(self) -> None:
        named: frozenset[str] = vars(self)["_named"]
        if "given" not in named:
            object.__setattr__(self, "given", named)
        whole = {"max_positions", "max_open_orders", "max_failed_orders", "day_start_s"}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None or item.name == "given":
                continue
            if item.name in ("cooldown_seconds", "day_start_s"):
                if not 0 <= value < float("inf"):
                    raise InvalidInput(item.name, value, "use seconds, 0 or more")
                continue
            number = positive(value, item.name)
            if item.name in whole and number % 1:
                raise InvalidInput(item.name, value, "use a whole number")
            kind = int if item.name in whole else float if item.name.endswith("_s") else Decimal
            object.__setattr__(self, item.name, kind(number))


LIVE_REQUIRED = (
    "max_positions",
    "max_order_notional",
    "max_position_notional",
    "max_drawdown_pct",
    "daily_loss_limit_pct",
    "max_quote_age_s",
)


@dataclass(frozen=True, kw_only=True)
class Approved:
    """Permission to send one order. `OrderManager.submit` takes nothing else.

    only_reducing : it passes only because it reduces, so it must go out as reduce_only.
    """

    order: ExecutionOrder
    ts_ns: int
    only_reducing: bool = False


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Our own no. observed, limit : in `unit`, None where there is no number. also : refusals of
    further limits, in order of precedence."""

    code: str
    message: str
    observed: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    also: tuple[Refused, ...] = ()

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


Limit = Callable[[ExecutionOrder, AccountSnapshot, RiskLimits], Refused | None]


def _above(
    code: str, what: str, observed: Decimal | int, limit: Decimal | int | None, unit: str
) -> Refused | None:
    if limit is None or observed <= limit:
        return None
    if not Decimal(observed).is_finite():
        text = f"{what} cannot be told: a position or order elsewhere has no price or no rate"
        return Refused(code=code, message=text, limit=Decimal(limit), unit=unit)
    text = f"{what} would be {_text(Decimal(observed))} {unit}, the limit is {limit}"
    return Refused(
        code=code, message=text, observed=Decimal(observed), limit=Decimal(limit), unit=unit
    )


def _text(number: Decimal) -> str:
    if not number.is_finite():
        return str(number)
    return f"{number.quantize(_TINY):f}".rstrip("0").rstrip(".") if number % 1 else f"{number:.0f}"


def live_limits(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    """Money is real only under limits that somebody set on purpose."""
    if order.mode is not ExecutionMode.LIVE or at.reduces(order):
        return None
    missing = [
        name for name in LIVE_REQUIRED if name not in limits.given or getattr(limits, name) is None
    ]
    if not at.equity_given:
        missing.append("starting_equity")
    if not missing:
        return None
    names = ", ".join(missing)
    return Refused(code="live_limits_missing", message=f"live needs these set explicitly: {names}")


def halted(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if not at.halted or at.reduces(order):
        return None
    return Refused(code="halted", message=f"trading is halted: {at.halted}; deactivate when safe")


def circuit_breaker(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if not at.breaker or at.reduces(order):
        return None
    return Refused(code="circuit_breaker", message=f"the circuit breaker is open: {at.breaker}")


def not_ready(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    """Where nobody knows what is open and held, nothing is added to it."""
    if not at.not_ready or (at.reduces(order) and not at.unreachable):
        return None
    return Refused(code="not_ready", message=f"{order.venue} is not ready: {at.not_ready}")


def reference_price(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if at.reference_price is None or at.reference_price <= 0:
        if at.reduces(order):
            return None
        return Refused(
            code="no_reference_price",
            message=f"no price of {order.symbol} is known at {order.venue or 'the venue'} yet; "
            "let its market data arrive first",
        )
    if limits.max_quote_age_s is None or at.reduces(order):
        return None
    age, limit = Decimal(at.quote_age_ns) / NS_PER_S, Decimal(str(limits.max_quote_age_s))
    if age > limit:
        message = f"the price of {order.symbol} is {_text(age)} s old, the limit is {limit}"
        return Refused(code="stale_price", message=message, observed=age, limit=limit, unit="s")
    return None


def unknown_orders(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    """While nobody knows what became of an order, its symbol takes no further risk."""
    if not at.unknown_orders or at.reduces(order):
        return None
    message = (
        f"{at.unknown_orders} order(s) of {order.symbol} have an unknown outcome; look them up"
    )
    return Refused(
        code="unknown_order", message=message, observed=Decimal(at.unknown_orders), unit="orders"
    )


def equity(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if (at.equity is not None and at.equity > 0) or at.reduces(order):
        return None
    why = at.equity_note or "set starting_equity"
    known = "not known" if at.equity is None else f"{at.equity:f}"
    return Refused(code="no_equity", message=f"equity is {known}; {why}", observed=at.equity)


def conversion(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    """Limits are in the account's currency: what cannot be converted cannot be held to them."""
    if at.rate is not None or at.reduces(order):
        return None
    coin = at.instrument.quote or "a currency without a name"
    message = (
        f"{order.symbol} is quoted in {coin}, which has no price in {at.currency} yet; "
        "pass rates={...}, or trade a venue that lists the pair"
    )
    return Refused(code="no_rate", message=message)


def order_quantity(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    limit = None if order.reduce_only else limits.max_order_quantity
    return _above("max_order_quantity", "the order", order.quantity, limit, "base")


def order_notional(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if limits.max_order_notional is None or at.reduces(order):
        return None
    size = at.notional_of(order, order.quantity)
    return _above("max_order_notional", "the order", size, limits.max_order_notional, at.unit)


def open_orders(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if limits.max_open_orders is None or at.reduces(order):
        return None
    return _above(
        "max_open_orders", "open orders", at.open_orders + 1, limits.max_open_orders, "orders"
    )


def positions(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if limits.max_positions is None:
        return None
    count = len(at.symbols_at_risk | {(order.venue, order.symbol)})
    if count <= limits.max_positions or at.reduces(order):
        return None
    return _above("max_positions", "positions", count, limits.max_positions, "positions")


def position_quantity(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if limits.max_position_quantity is None or at.reduces(order):
        return None
    worst, limit = at.worst_position(order), limits.max_position_quantity
    return _above("max_position_quantity", "the position", worst, limit, "base")


def position_notional(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if limits.max_position_notional is None or at.reduces(order):
        return None
    worst = at.notional_of(order, at.worst_position(order))
    return _above(
        "max_position_notional", "the position", worst, limits.max_position_notional, at.unit
    )


def exposure(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if limits.max_exposure is None or at.reduces(order):
        return None
    gross = at.exposure_elsewhere + at.notional_of(order, at.worst_position(order))
    return _above("max_exposure", "gross exposure", gross, limits.max_exposure, at.unit)


def price_deviation(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    """A limit price far through the market; one far away from it costs nothing."""
    limit = limits.max_price_deviation_pct
    if limit is None or order.price is None or at.reference_price is None:
        return None
    off = (order.price / at.reference_price - 1) * order.side.sign * _HUNDRED
    return _above("max_price_deviation", "the price beyond the reference", off, limit, "percent")


def drawdown(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    limit, lost = limits.max_drawdown_pct, at.drawdown_pct
    if limit is None or lost < limit or at.reduces(order):
        return None
    return _hit("max_drawdown", "drawdown from the peak", lost, limit)


def daily_loss(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    limit, lost = limits.daily_loss_limit_pct, at.daily_loss_pct
    if limit is None or lost < limit or at.reduces(order):
        return None
    return _hit("daily_loss_limit", "loss of the day", lost, limit)


def failed_orders(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    limit, count = limits.max_failed_orders, at.failed_orders
    if limit is None or count < limit or at.reduces(order):
        return None
    message = f"{count} orders in a row failed, the limit is {limit}"
    return Refused(
        code="max_failed_orders",
        message=message,
        observed=Decimal(count),
        limit=Decimal(limit),
        unit="orders",
    )


def _hit(code: str, what: str, observed: Decimal, limit: Decimal) -> Refused:
    message = f"{what} is {_text(observed)} %, the limit is {limit} %"
    return Refused(code=code, message=message, observed=observed, limit=limit, unit="percent")


LIMITS: tuple[Limit, ...] = (
    live_limits,
    halted,
    circuit_breaker,
    not_ready,
    reference_price,
    unknown_orders,
    equity,
    conversion,
    order_quantity,
    order_notional,
    price_deviation,
    open_orders,
    positions,
    position_quantity,
    position_notional,
    exposure,
    drawdown,
    daily_loss,
    failed_orders,
)
"""In order of precedence."""
