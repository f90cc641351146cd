"""The nouns: instruments, signals, orders, fills, positions.

Money is exact: quantities, prices and fees are `Decimal`; a float is read as the shortest decimal
that prints the same (0.1 means 0.1). Times are int64 UTC ns. The enums and the legal moves of an
order are in `execkit.words`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from execkit.errors import InvalidInput
from execkit.words import (
    ZERO,
    ExecutionMode,
    ExecutionStatus,
    Liquidity,
    Number,
    OrderType,
    Side,
    SignalAction,
    TimeInForce,
    flag,
    moment,
    new_client_order_id,
    normalise_symbol,
    positive,
    text,
    to_decimal,
)

_TEXTS = ("oco_group", "parent_order_id", "strategy_id", "signal_id", "client_order_id", "venue")


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """What is traded, and the grid its prices and quantities must lie on.

    kind : "spot" and "linear" are priced in quote per base and sized in base units. "inverse" is
        sized in contracts of `contract_size` quote units and settled in base: notional in quote
        is quantity * contract_size, in base quantity * contract_size / price.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    base: str = ""
    quote: str = ""
    min_notional: Decimal | None = None
    min_quantity: Decimal | None = None
    kind: str = "spot"
    contract_size: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "contract_size"):
            object.__setattr__(self, name, positive(getattr(self, name), name).normalize())
        for name in ("min_notional", "min_quantity"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, to_decimal(value, name))
        if self.kind not in ("spot", "linear", "inverse"):
            raise InvalidInput("kind", self.kind, "use one of: spot, linear, inverse")

    @property
    def is_inverse(self) -> bool:
        return self.kind == "inverse"

    @property
    def price_decimals(self) -> int:
        """Decimals of the price unit 10**-d, of which every tick is a multiple."""
        return max(0, -int(self.tick_size.as_tuple().exponent))

    @property
    def quantity_decimals(self) -> int:
        return max(0, -int(self.lot_size.as_tuple().exponent))

    @property
    def settle(self) -> str:
        """Currency of profit and loss."""
        return self.base if self.is_inverse else self.quote

    def quantize_price(self, price: Number, side: Side, *, trigger: bool = False) -> Decimal:
        """The nearest tick that is not riskier.

        A limit price never moves towards paying more (buy down, sell up); a trigger (stop) never
        towards firing later (sell up, buy down: the loss it stops is not made larger).
        """
        number = positive(price, "stop_price" if trigger else "price")
        down = number // self.tick_size * self.tick_size
        rounded = down if side is Side.BUY or down == number else down + self.tick_size
        if rounded <= 0:
            fix = f"is below one tick of {self.symbol} ({self.tick_size})"
            raise InvalidInput("price", price, fix)
        return rounded

    def quantize_quantity(self, quantity: Number) -> Decimal:
        """Rounded down to a whole number of lots; `InvalidInput` if nothing is left."""
        number = positive(quantity, "quantity")
        rounded = number // self.lot_size * self.lot_size
        if rounded <= 0:
            fix = f"is below one lot of {self.symbol} ({self.lot_size})"
            raise InvalidInput("quantity", quantity, fix)
        return rounded

    def check(self, quantity: Decimal, price: Decimal | None) -> None:
        """Raise `InvalidInput` if off the grid or below a minimum; `price` None skips notional."""
        if quantity % self.lot_size:
            fix = f"is not a multiple of the lot {self.lot_size}"
            raise InvalidInput("quantity", quantity, fix)
        if self.min_quantity is not None and quantity < self.min_quantity:
            raise InvalidInput("quantity", quantity, f"the venue's minimum is {self.min_quantity}")
        if price is None:
            return
        if price % self.tick_size:
            raise InvalidInput("price", price, f"is not a multiple of the tick {self.tick_size}")
        worth, least = self.notional(quantity, price), self.min_notional
        if least is not None and worth < least:
            fix = f"notional {worth} is below the minimum {least}; use a larger quantity"
            raise InvalidInput("quantity", quantity, fix)

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Unsigned value in quote currency."""
        if self.is_inverse:
            return abs(quantity) * self.contract_size
        return abs(quantity) * price * self.contract_size

    def pnl(self, quantity: Decimal, entry: Decimal, exit_price: Decimal) -> Decimal:
        """Profit, in `settle`, of a signed `quantity` from `entry` to `exit_price`."""
        if self.is_inverse:
            return quantity * self.contract_size * (1 / entry - 1 / exit_price)
        return quantity * self.contract_size * (exit_price - entry)

    def mean_price(self, a: Decimal, a_price: Decimal, b: Decimal, b_price: Decimal) -> Decimal:
        """Average price of two unsigned quantities; harmonic for inverse contracts."""
        if self.is_inverse:
            return (a + b) / (a / a_price + b / b_price)
        return (a * a_price + b * b_price) / (a + b)


@dataclass(frozen=True, kw_only=True)
class TradingSignal:
    """A strategy's wish. `price` None means a market order; else a limit order at that price.

    `stop_loss` and `take_profit` protect the position that the signal opens. `confidence` is the
    strategy's own measure in [0, 1]; execkit stores it and does not act on it.
    """

    symbol: str
    action: SignalAction
    quantity: Decimal
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    confidence: float | None = None
    strategy_id: str = ""
    order_type: OrderType | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    ts_ns: int | None = None
    signal_id: str = field(default_factory=new_client_order_id)

    def __init__(
        self,
        symbol: str,
        action: SignalAction | str,
        quantity: Number | None = None,
        price: Number | None = None,
        stop_loss: Number | None = None,
        take_profit: Number | None = None,
        confidence: float | None = None,
        strategy_id: str = "",
        order_type: OrderType | str | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        ts_ns: int | datetime | None = None,
        signal_id: str | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "symbol", normalise_symbol(symbol))
        put(self, "action", SignalAction.of(action, "action"))
        closing = self.action not in (SignalAction.BUY, SignalAction.SELL)
        if quantity is None and closing:
            put(self, "quantity", ZERO)  # the whole position
        else:
            put(self, "quantity", positive(quantity, "quantity"))
        prices = {"price": price, "stop_loss": stop_loss, "take_profit": take_profit}
        for name, value in prices.items():
            put(self, name, None if value is None else positive(value, name))
        if confidence is not None:
            confidence = float(to_decimal(confidence, "confidence"))
            if not 0 <= confidence <= 1:
                raise InvalidInput("confidence", confidence, "use a number from 0 to 1")
        put(self, "confidence", confidence)
        put(self, "strategy_id", str(strategy_id))
        kind = OrderType.of(order_type, "order_type") if order_type is not None else None
        if kind is OrderType.LIMIT and self.price is None:
            raise InvalidInput("price", None, "a limit order needs a price")
        put(self, "order_type", kind)
        put(self, "time_in_force", TimeInForce.of(time_in_force, "time_in_force"))
        put(self, "ts_ns", None if ts_ns is None else moment(ts_ns, "ts_ns"))
        put(self, "signal_id", str(signal_id or new_client_order_id()))
        self._check_protection()

    def _check_protection(self) -> None:
        """A stop loss above the entry of a long (or below of a short) would fire at once."""
        if self.action not in (SignalAction.BUY, SignalAction.SELL):
            return
        sign = 1 if self.action is SignalAction.BUY else -1
        stop, target, price = self.stop_loss, self.take_profit, self.price
        worse, better = ("below", "above") if sign > 0 else ("above", "below")
        if stop and target and sign * (target - stop) <= 0:
            raise InvalidInput("take_profit", target, f"must be {better} stop_loss {stop}")
        if price and stop and sign * (price - stop) <= 0:
            raise InvalidInput("stop_loss", stop, f"must be {worse} the price {price}")
        if price and target and sign * (target - price) <= 0:
            raise InvalidInput("take_profit", target, f"must be {better} the price {price}")


@dataclass(kw_only=True)
class ExecutionOrder:
    """Our instruction, and the live handle on it: `OrderManager` keeps its state true.

    Prices and quantities are given as any number and held as `Decimal`. `client_order_id` never
    changes; `venue_order_id` comes from the venue. Raises `InvalidInput` naming the field for
    anything that could not be an order.
    """

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_bps: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_ts_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    oco_group: str = ""
    parent_order_id: str = ""
    strategy_id: str = ""
    signal_id: str = ""
    client_order_id: str = field(default_factory=new_client_order_id)

    venue: str = ""
    venue_order_id: str = ""
    mode: ExecutionMode = ExecutionMode.PAPER
    status: ExecutionStatus = ExecutionStatus.INTENT
    reason: str = ""
    filled_quantity: Decimal = ZERO
    average_filled_price: Decimal | None = None
    fees: dict[str, Decimal] = field(default_factory=dict)
    created_ts_ns: int = 0
    sent_ts_ns: int | None = None
    cancel_ts_ns: int | None = None  # when its cancel was asked for
    accepted_ts_ns: int | None = None
    triggered_ts_ns: int | None = None
    done_ts_ns: int | None = None
    decision_price: Decimal | None = None
    arrival_price: Decimal | None = None

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Put the fields that somebody gave in their one form; `InvalidInput` naming the first that
        cannot be. An order can be changed until it is sent, so sending asks again."""
        own = self.__dict__
        own["symbol"] = normalise_symbol(self.symbol)
        self.side = Side.of(self.side, "side")
        self.order_type = OrderType.of(self.order_type, "order_type")
        self.time_in_force = TimeInForce.of(self.time_in_force, "time_in_force")
        self.mode = ExecutionMode.of(self.mode, "mode")
        self.quantity = positive(self.quantity, "quantity")
        for name in ("price", "stop_price", "trail_bps"):
            if own[name] is not None:
                own[name] = positive(own[name], name)
        for name in _TEXTS:
            if type(own[name]) is not str:
                text(own[name], name)
        self.post_only = flag(self.post_only, "post_only")
        self.reduce_only = flag(self.reduce_only, "reduce_only")
        if self.expire_ts_ns is not None:
            self.expire_ts_ns = moment(self.expire_ts_ns, "expire_ts_ns")
        self.created_ts_ns = moment(self.created_ts_ns, "created_ts_ns")
        self._check_fields()

    def _check_fields(self) -> None:
        kind = self.order_type
        limited = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        if limited and self.price is None:
            raise InvalidInput("price", None, f"a {kind.value} order needs a price")
        if not limited and self.price is not None:
            raise InvalidInput("price", self.price, f"a {kind.value} order takes no price")
        stopped = kind in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        if stopped and self.stop_price is None:
            raise InvalidInput("stop_price", None, f"a {kind.value} order needs a stop_price")
        if kind in (OrderType.MARKET, OrderType.LIMIT) and self.stop_price is not None:
            raise InvalidInput("stop_price", self.stop_price, f"a {kind.value} order takes none")
        trailing = kind is OrderType.TRAILING_STOP
        if trailing and self.trail_bps is None:
            raise InvalidInput("trail_bps", None, "a trailing_stop needs trail_bps")
        if not trailing and self.trail_bps is not None:
            raise InvalidInput("trail_bps", self.trail_bps, f"a {kind.value} order takes none")
        if trailing and self.trail_bps is not None and self.trail_bps >= 10_000:
            raise InvalidInput("trail_bps", self.trail_bps, "use bps between 0 and 10,000")
        if self.post_only and not limited:
            raise InvalidInput("post_only", True, "only limit and stop_limit orders can rest")
        if self.post_only and self.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            raise InvalidInput("post_only", True, f"cannot be {self.time_in_force.value}")
        if (self.time_in_force is TimeInForce.GTD) != (self.expire_ts_ns is not None):
            raise InvalidInput("expire_ts_ns", self.expire_ts_ns, "goes with time_in_force GTD")

    @property
    def order_id(self) -> str:
        """The guide's name for `client_order_id`."""
        return self.client_order_id

    @property
    def remaining_quantity(self) -> Decimal:
        return self.quantity - self.filled_quantity

    @property
    def is_done(self) -> bool:
        return self.status.is_done


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One own execution. Quantity and price are positive; a negative fee is a rebate.
    What could not be a fill raises `InvalidInput`: no ledger ever holds half of one."""

    fill_id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    venue_ts_ns: int
    local_ts_ns: int
    liquidity: Liquidity = Liquidity.UNKNOWN
    fee: Decimal = ZERO
    fee_currency: str = ""
    parent_order_id: str = ""
    run_id: str = ""
    mode: ExecutionMode = ExecutionMode.PAPER
    venue: str = ""

    def __post_init__(self) -> None:
        own = self.__dict__  # frozen for others; this is still the making of it
        own["symbol"] = normalise_symbol(self.symbol)
        for name, word in (("side", Side), ("liquidity", Liquidity), ("mode", ExecutionMode)):
            own[name] = word.of(own[name], name)
        own["quantity"] = positive(self.quantity, "quantity")
        own["price"] = positive(self.price, "price")
        own["fee"] = to_decimal(self.fee, "fee")
        for name in ("venue_ts_ns", "local_ts_ns"):
            own[name] = moment(own[name], name)
        for name in ("fill_id", "client_order_id", "fee_currency", "parent_order_id", "venue"):
            text(own[name], name)


@dataclass(kw_only=True)
class Position:
    """A signed holding in one symbol at one venue; what `PositionTracker` folds fills into.

    average_price : of what is open, 0 when flat. realised_pnl : in settlement currency, no fees.
    fees : by currency, positive = paid. fees_in_kind : what was taken out of the quantity, in quote
    at its fills' prices. unrealised_pnl : 0 without `current_price`.
    """

    symbol: str
    instrument: Instrument
    venue: str = ""
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    fees_in_kind: Decimal = ZERO
    current_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    take_profit_price: Decimal | None = None
    strategy_id: str = ""
    opened_ts_ns: int | None = None
    updated_ts_ns: int | None = None

    @property
    def side(self) -> str:
        """ "LONG", "SHORT" or "FLAT"."""
        return "LONG" if self.quantity > 0 else "SHORT" if self.quantity < 0 else "FLAT"

    @property
    def entry_price(self) -> Decimal:
        return self.average_price

    @property
    def unrealised_pnl(self) -> Decimal:
        if self.current_price is None or not self.quantity:
            return ZERO
        return self.instrument.pnl(self.quantity, self.average_price, self.current_price)

    unrealized_pnl = unrealised_pnl  # the guide's spelling
