"""What the engine asks of a venue that lives elsewhere: a `RemoteVenue` can be asked what is true.

What it pushes is a hint: a stream can lose, repeat and reorder. What it answers when asked is the
ledger (own fills) and the judge (balances, positions). `execkit.reconcile` compares both with what
the engine believes. A read that fails raises (`RetryLater`); it never looks like "there is none".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

from execkit.domain import ExecutionOrder
from execkit.venues.base import Venue, VenueUpdate
from execkit.words import ZERO, ExecutionStatus, OrderType, Side


class LinkState(StrEnum):
    DOWN = "down"  # not connected: nothing is heard
    UP = "up"  # connected and heard from lately
    STALE = "stale"  # connected, but silent for too long to be believed
    HALTED = "halted"  # the venue will not have us: key revoked, banned; a human has to look


@dataclass(frozen=True, kw_only=True)
class Link:
    """Whether what a venue pushes about our account can be relied on.

    epoch : how many times the private stream was (re)connected. What happened between two epochs
    was not heard, so a new one is a reason to reconcile. ts_ns : local UTC ns of the change.
    """

    state: LinkState
    epoch: int = 0
    reason: str = ""
    ts_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class VenueOrder:
    """What a venue says about one order when asked: a snapshot, perhaps older than the stream.

    client_order_id : as the engine knows it; "" where the order is not one of ours. status : OPEN,
    PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, REJECTED, or UNKNOWN for a word that we do not
    know. order_type : None where the venue's word is not one of ours.
    """

    venue_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    status: ExecutionStatus
    order_type: OrderType | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    reason: str = ""
    venue_ts_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """balances : by currency, free and locked together, as the venue counts them. free : the part
    that orders may use. positions : signed quantity by symbol (derivatives), flat ones left out.
    """

    balances: Mapping[str, Decimal] = field(default_factory=dict)
    free: Mapping[str, Decimal] = field(default_factory=dict)
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    ts_ns: int = 0

    def position(self, symbol: str) -> Decimal:
        return self.positions.get(symbol, ZERO)


@runtime_checkable
class RemoteVenue(Venue, Protocol):
    """A venue that can be asked. Every call has a bounded timeout and raises `RetryLater` when it
    got no usable answer, `StopTrading` where the venue refuses the account itself.

    `submit` and `cancel` are as in `Venue`; a rejection by the venue comes as a REJECTED update.
    """

    @property
    def account_id(self) -> str:
        """Tells accounts apart (venue, world, key), without giving the key away."""
        ...

    @property
    def link(self) -> Link: ...

    def attend(self, on_link: Callable[[Link], None], on_doubt: Callable[[str, str], None]) -> None:
        """Set who is told of each change of the link, and of orders whose state must be looked up:
        `on_doubt(client_order_id, reason)`. Both must only enqueue."""
        ...

    async def find_order(self, order: ExecutionOrder) -> VenueOrder | None:
        """Look an order up by client id (and venue id if known), among open ones and in history.
        None: the venue answered everywhere, and there is none."""
        ...

    async def open_orders(self, symbol: str = "") -> Sequence[VenueOrder]:
        """All open orders, triggers included; of every symbol if none is given."""
        ...

    async def own_fills(
        self, symbol: str, since_ns: int, venue_order_id: str = ""
    ) -> Sequence[VenueUpdate]:
        """All own fills of a symbol from `since_ns` (venue's time) on, every page, oldest first, as
        FILL updates. `client_order_id` is "" where the venue names only its own id."""
        ...

    async def holdings(self) -> Holdings: ...

    async def cancel_all(self, symbol: str = "") -> None:
        """Ask for the cancel of every open order, triggers included; those of others too."""
        ...
