"""The limits: order + account snapshot + limits -> None | Refused(code, observed, limit).

Each limit is one pure function; adding one is a function and a line in `LIMITS`, whose order is the
precedence of refusals. A refusal is a value, never an exception.

Orders that only reduce exposure pass everything that protects against more exposure (positions,
sizes, drawdown, daily loss, an open breaker, a missing price), so that one can always get out.
Orders in flight count in full: the worst case is a position plus all buys, or less all sells.

Units: `*_pct` are percent (10.0 = 10 %), notional and exposure are in the account's quote currency,
quantities are base units (contracts for inverse instruments). A size may equal its limit; a loss
that reaches its limit has hit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal

from execkit.clock import NS_PER_S
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.words import ZERO, ExecutionMode, Side, positive

_HUNDRED = Decimal(100)
_TINY = Decimal("1E-8")


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """None = not limited. LIVE demands that `LIVE_REQUIRED` were set by the caller.

    max_positions : symbols held or being entered. max_order_quantity, max_position_quantity : base
    units. max_order_notional, max_position_notional (also known as position size), max_exposure
    (gross, all symbols) : quote currency. max_open_orders : live orders, protection included.
    max_price_deviation_pct : limit price against the reference, on the side that costs.
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

    def __post_init__(self) -> None:
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
)


@dataclass(frozen=True, kw_only=True)
class AccountSnapshot:
    """What the limits look at, at one moment, for one order's venue and symbol.

    reference_price : None if there is none; quote_age_ns its age. equity None = not known. position
    : signed, of this venue and symbol. pending_buys, pending_sells : what is still to fill of live
    orders there that could add risk; pending_closes : of those on the closing side that are not
    reduce-only. symbols_at_risk : (venue, symbol) held or being entered. exposure : gross worst
    case over all symbols without this one. unknown_orders : of this venue and symbol.
    """

    now_ns: int
    instrument: Instrument
    reference_price: Decimal | None
    quote_age_ns: int = 0
    equity: Decimal | None = None
    equity_given: bool = True
    equity_note: str = ""
    peak_equity: Decimal | None = None
    day_start_equity: Decimal | None = None
    position: Decimal = ZERO
    pending_buys: Decimal = ZERO
    pending_sells: Decimal = ZERO
    symbols_at_risk: frozenset[tuple[str, str]] = frozenset()
    exposure_elsewhere: Decimal = ZERO
    open_orders: int = 0
    unknown_orders: int = 0
    failed_orders: int = 0
    breaker: str = ""
    halted: str = ""

    @property
    def drawdown_pct(self) -> Decimal:
        return loss_pct(self.peak_equity, self.equity)

    @property
    def daily_loss_pct(self) -> Decimal:
        return loss_pct(self.day_start_equity, self.equity)

    def reduces(self, order: ExecutionOrder) -> bool:
        """Whether `order`, with all that is under way, can only make the position smaller."""
        if order.reduce_only:
            return True
        if self.position * order.side.sign >= 0:
            return False
        pending = self.pending_buys if order.side is Side.BUY else self.pending_sells
        return pending + order.quantity <= abs(self.position)

    def worst_position(self, order: ExecutionOrder) -> Decimal:
        """Unsigned quantity held if everything under way on the order's side fills, and it too."""
        buys, sells = self.pending_buys, self.pending_sells
        if not order.reduce_only:
            buys += order.quantity if order.side is Side.BUY else ZERO
            sells += order.quantity if order.side is Side.SELL else ZERO
        return max(abs(self.position + buys), abs(self.position - sells))

    def price_of(self, order: ExecutionOrder) -> Decimal:
        """The dearest of reference, limit and trigger: notional is never understated."""
        known = (self.reference_price, order.price, order.stop_price)
        return max((p for p in known if p is not None), default=ZERO)

    def notional_of(self, order: ExecutionOrder, quantity: Decimal) -> Decimal:
        return self.instrument.notional(quantity, self.price_of(order))


@dataclass(frozen=True, kw_only=True)
class Approved:
    """Permission to send one order. `OrderManager.submit` takes nothing else."""

    order: ExecutionOrder
    ts_ns: int


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


def loss_pct(before: Decimal | None, now: Decimal | None) -> Decimal:
    """How far `now` lies below `before`, in percent of it; 0 when above or not known."""
    if before is None or now is None or before <= 0:
        return ZERO
    return max(ZERO, (before - now) / before * _HUNDRED)


def _above(
    code: str, what: str, observed: Decimal | int, limit: Decimal | int | None, unit: str
) -> Refused | None:
    if limit is None or observed <= limit:
        return None
    text = f"{what} would be {_text(Decimal(observed))} {unit}, the limit is {limit}"
    return Refused(
        code=code, message=text, observed=Decimal(observed), limit=Decimal(limit), unit=unit
    )


def _text(number: Decimal) -> str:
    if not number.is_finite():
        return str(number)
    return f"{number.quantize(_TINY):f}".rstrip("0").rstrip(".") if number % 1 else f"{number:f}"


def live_limits(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    """Money is real only under limits that somebody set on purpose."""
    missing = [name for name in LIVE_REQUIRED if name not in limits.given]
    if not at.equity_given:
        missing.append("starting_equity")
    if order.mode is not ExecutionMode.LIVE or not missing or at.reduces(order):
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


def reference_price(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if at.reduces(order):
        return None
    if at.reference_price is None or at.reference_price <= 0:
        return Refused(
            code="no_reference_price",
            message=f"no price of {order.symbol} is known at {order.venue or 'the venue'} yet; "
            "let its market data arrive first",
        )
    age = Decimal(at.quote_age_ns) / NS_PER_S
    if limits.max_quote_age_s is not None and age > Decimal(str(limits.max_quote_age_s)):
        limit = Decimal(str(limits.max_quote_age_s))
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


def order_quantity(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    limit = None if order.reduce_only else limits.max_order_quantity
    return _above("max_order_quantity", "the order", order.quantity, limit, "base")


def order_notional(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if at.reduces(order):
        return None
    size = at.notional_of(order, order.quantity)
    return _above("max_order_notional", "the order", size, limits.max_order_notional, "quote")


def open_orders(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if at.reduces(order):
        return None
    return _above(
        "max_open_orders", "open orders", at.open_orders + 1, limits.max_open_orders, "orders"
    )


def positions(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if at.reduces(order):
        return None
    count = len(at.symbols_at_risk | {(order.venue, order.symbol)})
    return _above("max_positions", "positions", count, limits.max_positions, "positions")


def position_quantity(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if at.reduces(order):
        return None
    worst, limit = at.worst_position(order), limits.max_position_quantity
    return _above("max_position_quantity", "the position", worst, limit, "base")


def position_notional(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    if at.reduces(order):
        return None
    worst = at.notional_of(order, at.worst_position(order))
    return _above(
        "max_position_notional", "the position", worst, limits.max_position_notional, "quote"
    )


def exposure(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if at.reduces(order):
        return None
    gross = at.exposure_elsewhere + at.notional_of(order, at.worst_position(order))
    return _above("max_exposure", "gross exposure", gross, limits.max_exposure, "quote")


def price_deviation(
    order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits
) -> Refused | None:
    """A limit price far through the market; one far away from it costs nothing."""
    if order.price is None or at.reference_price is None:
        return None
    off = (order.price / at.reference_price - 1) * order.side.sign * _HUNDRED
    limit = limits.max_price_deviation_pct
    return _above("max_price_deviation", "the price beyond the reference", off, limit, "percent")


def drawdown(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if limits.max_drawdown_pct is None or at.reduces(order):
        return None
    return _hit("max_drawdown", "drawdown from the peak", at.drawdown_pct, limits.max_drawdown_pct)


def daily_loss(order: ExecutionOrder, at: AccountSnapshot, limits: RiskLimits) -> Refused | None:
    if limits.daily_loss_limit_pct is None or at.reduces(order):
        return None
    return _hit(
        "daily_loss_limit", "loss of the day", at.daily_loss_pct, limits.daily_loss_limit_pct
    )


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


def _hit(code: str, what: str, observed: Decimal, limit: Decimal) -> Refused | None:
    if observed < limit:
        return None
    message = f"{what} is {_text(observed)} %, the limit is {limit} %"
    return Refused(code=code, message=message, observed=observed, limit=limit, unit="percent")


LIMITS: tuple[Limit, ...] = (
    live_limits,
    halted,
    circuit_breaker,
    reference_price,
    unknown_orders,
    equity,
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
