"""The Venue protocol: what the engine asks of a place that takes orders, and what it is told.

A venue never decides for the engine and never blocks it: `submit` and `cancel` hand a request over
and return; everything that then happens comes back as `VenueUpdate`s, in order, through the one
listener. Which world it is (paper, demo, live) is the venue's `mode`, stamped on each order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from math import isfinite
from typing import Protocol, runtime_checkable

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.words import ExecutionMode, moment


class UpdateKind(StrEnum):
    ACCEPTED = "accepted"
    TRIGGERED = "triggered"
    FILL = "fill"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class VenueUpdate:
    """One thing that happened to one order at the venue.

    reason : the venue's word, e.g. "post_only", "oco", "ioc", "requested"; "" if none.
    fill : set exactly when kind is FILL.
    filled_quantity : what the venue says is filled in all by now; None where it does not say. More
    than was heard of means that a fill was missed, and is to be fetched.
    """

    kind: UpdateKind
    client_order_id: str
    venue_ts_ns: int
    local_ts_ns: int
    venue_order_id: str = ""
    reason: str = ""
    fill: Fill | None = None
    filled_quantity: Decimal | None = None

    def __post_init__(self) -> None:
        own = self.__dict__  # frozen for others; this is still the making of it
        own["venue_ts_ns"] = moment(self.venue_ts_ns, "venue_ts_ns")
        own["local_ts_ns"] = moment(self.local_ts_ns, "local_ts_ns")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a venue last showed for a symbol. NaN where it showed nothing; `ts_ns` the venue's time.

    On bars and prints there is no book: bid and ask are NaN and only `last` is known.
    local_ts_ns : when it was received, 0 for recorded markets, which are seen at once.
    """

    symbol: str
    ts_ns: int
    bid: float
    ask: float
    bid_quantity: float
    ask_quantity: float
    last: float
    local_ts_ns: int = 0

    @property
    def mid(self) -> float:
        """(bid + ask) / 2 of an uncrossed book, else `last` if there is no book, else NaN."""
        if self.bid < self.ask:
            return (self.bid + self.ask) / 2
        if self.bid != self.bid and self.ask != self.ask:
            return self.last
        return float("nan")

    @cached_property
    def shown(self) -> dict[str, float | None]:
        """Prices and sizes, None where nothing was shown."""
        names = ("bid", "ask", "bid_quantity", "ask_quantity", "last")
        found = {name: float(getattr(self, name)) for name in names}
        return {name: value if isfinite(value) else None for name, value in found.items()}

    @cached_property
    def exact_mid(self) -> Decimal | None:
        """Exact mid of an uncrossed book, the last price where there is no book, else None."""
        if self.bid < self.ask:
            return (_exact(self.bid) + _exact(self.ask)) / 2
        return _exact(self.mid) if isfinite(self.mid) else None

    @cached_property
    def reference(self) -> Decimal | None:
        """The mid, or else the last price, or else the one side that is shown."""
        if self.exact_mid is not None:
            return self.exact_mid
        shown = (x for x in (self.last, self.bid, self.ask) if isfinite(x) and x > 0)
        return next((_exact(x) for x in shown), None)


def _exact(price: float) -> Decimal:
    """The shortest decimal that is this float."""
    return Decimal(repr(float(price)))


Listener = Callable[[VenueUpdate], None]


@runtime_checkable
class Venue(Protocol):
    """A place that takes orders. Reads are plain; requests are async."""

    name: str
    mode: ExecutionMode

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """By symbol; a symbol that is missing here cannot be traded here."""
        ...

    def listen(self, listener: Listener) -> None:
        """Set the one receiver of updates. It must only enqueue."""
        ...

    async def connect(self) -> None: ...

    async def close(self) -> None: ...

    async def submit(self, order: ExecutionOrder) -> None:
        """Hand an order over. Raises `RetryLater` or `FixRequest` only if it surely was not sent;
        `OutcomeUnknown` if it may have been."""
        ...

    async def cancel(self, order: ExecutionOrder) -> None:
        """Ask for a cancel. The answer is an update: canceled, or the fill that won the race."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """Last quote, None before the first."""
        ...


@runtime_checkable
class ReplayVenue(Venue, Protocol):
    """A venue whose market is moved by a driver, so that a run is the same every time. Its requests
    do not wait: what they set off happens when the market moves."""

    def advance(self, until_ns: int) -> int:
        """Run the market up to `until_ns`, but stop after the first moment that has an update.

        Returns the time reached (`until_ns` if nothing happened). Updates have been given to the
        listener when it returns. `local_ts_ns` of an update may lie after the time returned.
        """
        ...

    def next_market_ns(self) -> int | None:
        """Time of the next market event not yet run, None at the end of the data."""
        ...

    def last_market_ns(self) -> int | None:
        """Time of the last market event of the data, run or not; None if there is none."""
        ...

    def hold(self, positions: Mapping[str, Decimal]) -> None:
        """Say what we hold, signed, by symbol: a simulated venue forgets it with its process."""
        ...

    def seen(self, symbol: str, moments_ns: Sequence[int]) -> list[Quote]:
        """The quotes known at each moment, as far as the market has run, and the newest one."""
        ...


_REPLAYS: dict[type, bool] = {}


def replays(venue: Venue) -> bool:
    """Whether it is a `ReplayVenue`; asked once a class, for to look costs more than an order."""
    found = _REPLAYS.get(type(venue))
    if found is None:
        found = _REPLAYS[type(venue)] = isinstance(venue, ReplayVenue)
    return found
