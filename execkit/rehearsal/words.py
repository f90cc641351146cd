"""What the rehearsal exchange says, in words of its own; each dialect has its codes for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from execkit.words import ZERO, ExecutionStatus, OrderType, Side, TimeInForce

REJECTIONS = {
    "insufficient_balance": "the account has not enough free balance",
    "insufficient_margin": "the account has not enough free margin",
    "min_notional": "the order is worth less than the minimum",
    "lot_size": "the quantity is not a multiple of the lot, or out of range",
    "tick_size": "the price is not a multiple of the tick",
    "price_band": "the price is too far from the market",
    "max_orders": "too many open orders",
    "post_only": "the order would take, and must not",
    "would_trigger": "the stop would trigger at once",
    "reduce_only": "the order would not reduce the position",
    "duplicate_id": "an order of this client id is there already",
    "unknown_symbol": "no such symbol",
    "unknown_order": "no such order",
    "closed_order": "the order has ended already",
    "halted": "the symbol does not trade now",
    "unsupported": "this kind of order is not taken",
    "bad_request": "the request is malformed",
    "bad_timestamp": "the request's time is outside the window",
    "bad_signature": "the signature is wrong",
    "bad_key": "no such key, or it may not do that",
    "no_permission": "the key may not do that",
    "rate_limited": "too many requests",
    "too_many_orders": "too many orders in this interval",
    "banned": "banned for ignoring the limits",
    "maintenance": "the exchange is closed for maintenance",
    "no_funds_to_move": "the transfer is larger than the free balance",
    "unavailable": "no such endpoint here",
}


class Rejected(Exception):
    """The exchange says no. word : one of `REJECTIONS`; message : more for the reader."""

    def __init__(self, word: str, message: str = "", *, retry_after_s: float | None = None) -> None:
        if word not in REJECTIONS:
            raise ValueError(f"{word!r} is not one of {', '.join(REJECTIONS)}")
        self.word, self.message = word, message or REJECTIONS[word]
        self.retry_after_s = retry_after_s
        super().__init__(f"{word}: {self.message}")


@dataclass(frozen=True, kw_only=True)
class NewOrder:
    """What somebody asks the exchange to book.

    quote_quantity : for market orders instead of `quantity`, what to spend or get, in quote.
    client_order_id : "" if none was given. note : what a dialect wants to read back, such as the
    venue's own name of the order's type.
    """

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_bps: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_ts_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    client_order_id: str = ""
    note: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class BookedOrder:
    """One order as the exchange has it. `asked` never changes but for an amend.

    order_id : the exchange's number. status : OPEN, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED or
    REJECTED. locked : what it holds back, in `locked_asset`. triggered : False for a stop that
    waits. origin : "api", or what else made it: manual, liquidation, adl.
    """

    order_id: int
    account: str
    asked: NewOrder
    quantity: Decimal
    created_ns: int
    updated_ns: int
    status: ExecutionStatus = ExecutionStatus.OPEN
    filled_quantity: Decimal = ZERO
    filled_quote: Decimal = ZERO
    locked: Decimal = ZERO
    locked_asset: str = ""
    triggered: bool = False
    reason: str = ""
    origin: str = "api"
    hidden_until_ns: int = 0

    @property
    def symbol(self) -> str:
        return self.asked.symbol

    @property
    def side(self) -> Side:
        return self.asked.side

    @property
    def client_order_id(self) -> str:
        return self.asked.client_order_id

    @property
    def is_open(self) -> bool:
        return not self.status.is_done

    @property
    def remaining_quantity(self) -> Decimal:
        return max(ZERO, self.quantity - self.filled_quantity)

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_quote / self.filled_quantity if self.filled_quantity else None


@dataclass(frozen=True, kw_only=True)
class BookedFill:
    """One execution in the exchange's own books. fee : positive = paid. realised_pnl : of the part
    of a position that it closed, in the settlement currency."""

    fill_id: int
    order_id: int
    client_order_id: str
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    ts_ns: int
    realised_pnl: Decimal = ZERO
    hidden_until_ns: int = 0


class EventKind(StrEnum):
    ORDER = "order"  # booked, triggered, amended, ended
    FILL = "fill"
    BALANCE = "balance"  # totals of some assets changed
    POSITION = "position"
    FUNDING = "funding"
    TRANSFER = "transfer"
    DEPTH = "depth"
    PRINT = "print"
    SYMBOL = "symbol"  # filters or status changed


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened, as it was then: orders in it are copies.

    what : of an ORDER: new, triggered, amended, canceled, expired, rejected; of a BALANCE: the
    reason. assets : of a BALANCE, the assets that changed. depth, public_print : market data.
    """

    kind: EventKind
    ts_ns: int
    account: str = ""
    symbol: str = ""
    what: str = ""
    order: BookedOrder | None = None
    fill: BookedFill | None = None
    assets: tuple[str, ...] = ()
    change: Decimal = ZERO
    depth: DepthChange | None = None
    public_print: PublicPrint | None = None


@dataclass(frozen=True, kw_only=True)
class DepthChange:
    """New totals of levels (0 = gone); `first_id` is one more than the `last_id` before it."""

    symbol: str
    ts_ns: int
    first_id: int
    last_id: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, kw_only=True)
class PublicPrint:
    print_id: int
    symbol: str
    ts_ns: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
