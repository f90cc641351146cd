"""What a market data feed tells: one small record for each thing that was received.

Every record has both clocks: `ts_ns` is the venue's time (never running backwards within one kind
and symbol), `local_ts_ns` the time at which it was received here (rising strictly from message to
message of one feed). `seq` is the order of receipt across all records of one feed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

Level = tuple[int, float, float]
"""Side (0 bid, 1 ask), price, and the new total in base units (0 = gone)."""


@dataclass(frozen=True, slots=True)
class DepthMessage:
    """Changes of a book, or with `is_snapshot` the whole book, which replaces what was known.

    last_seq : the venue's own number of the book after it, -1 where it gives none.
    """

    symbol: str
    ts_ns: int
    local_ts_ns: int
    seq: int
    levels: tuple[Level, ...]
    is_snapshot: bool = False
    last_seq: int = -1


@dataclass(frozen=True, slots=True)
class MarketPrint:
    """One public print. aggressor : 0 buy, 1 sell, 2 unknown. trade_id : -1 where the venue's id
    is not a number."""

    symbol: str
    ts_ns: int
    local_ts_ns: int
    seq: int
    price: float
    quantity: float
    aggressor: int = 2
    trade_id: int = -1


@dataclass(frozen=True, slots=True)
class QuoteMessage:
    """Best bid and ask; NaN and 0 for a side that is not there."""

    symbol: str
    ts_ns: int
    local_ts_ns: int
    seq: int
    bid: float
    ask: float
    bid_quantity: float
    ask_quantity: float


@dataclass(frozen=True, slots=True)
class BarMessage:
    """A bar that has closed; `ts_ns` is its open time."""

    symbol: str
    ts_ns: int
    local_ts_ns: int
    seq: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    interval_ns: int


@dataclass(frozen=True, slots=True)
class FundingMessage:
    """A funding that was due at `ts_ns`: the last rate shown before (positive: longs pay), and the
    mark price then, NaN if unknown."""

    symbol: str
    ts_ns: int
    local_ts_ns: int
    seq: int
    rate: float
    mark: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of one stream that was not heard, or cannot be trusted.

    from_ns, to_ns : local times of the last thing heard before and of the first thing after; to_ns
    is 0 while it lasts. epoch : connections of the feed so far. reason : e.g. "disconnected",
    "sequence", "crossed", "silent", "missed prints".
    """

    symbol: str
    kind: str
    reason: str
    from_ns: int
    to_ns: int
    epoch: int
    detail: str = ""


Event = DepthMessage | MarketPrint | QuoteMessage | BarMessage | FundingMessage | Gap
Sink = Callable[[Event], None]
"""Told of every event as it is received; it must only take note, and not wait."""


class BookState(StrEnum):
    WAITING = "waiting"  # nothing yet
    LIVE = "live"
    CROSSED = "crossed"  # bid at or above ask
    STALE = "stale"  # not heard of for too long
    BROKEN = "broken"  # a gap; being fetched anew
