"""Whether a remote venue can be traded at: `Readiness`, and how often the venue is asked.

READY is earned: all orders, own fills and holdings were read since the private stream was last
(re)connected, and agree with what the engine believes. Until then only what reduces may go out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput
from execkit.venues.remote import LinkState, RemoteVenue

Policy = Literal["alarm", "adopt", "halt"]


@dataclass(frozen=True, kw_only=True)
class ReconcileSettings:
    """How a venue is asked what is true. All in seconds unless the name says otherwise.

    orders_s, fills_s, holdings_s : between two looks at open orders, own fills, balances and
    positions; each look comes up to `jitter` (a share) earlier or later. overlap_s : how far before
    what is known fills are asked for again: venues show some late, and their clocks differ from
    ours. lookup_first_s, lookup_most_s : the pauses between look-ups of one order grow from the one
    to the other. absent_lookups, absent_s : an order is absent when this many look-ups over this
    long found it nowhere. cancel_wait_s : a cancel without an answer is looked up after it.
    cancel_budget : how often a cancel is asked for again before a human is told. recheck_s : pause
    before holdings that differ are read a second time. differs_s : how long they have to differ
    before a human is told and the policy applies; while they do, nothing that adds risk goes out
    for the symbol. ready_timeout_s : how long `start` waits for
    READY. on_difference : what becomes of holdings that differ for good. "alarm": nothing that adds
    risk goes out for the symbol until they agree or a human acknowledges; "adopt": the venue's
    figure is taken over, with an alarm; "halt": the engine halts.
    """

    orders_s: float = 10.0
    fills_s: float = 30.0
    holdings_s: float = 30.0
    jitter: float = 0.1
    overlap_s: float = 60.0
    lookup_first_s: float = 0.5
    lookup_most_s: float = 15.0
    absent_lookups: int = 3
    absent_s: float = 60.0
    cancel_wait_s: float = 5.0
    cancel_budget: int = 5
    recheck_s: float = 1.0
    differs_s: float = 10.0
    ready_timeout_s: float = 30.0
    on_difference: Policy = "alarm"

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "on_difference":
                if value not in ("alarm", "adopt", "halt"):
                    raise InvalidInput(item.name, value, "use one of: alarm, adopt, halt")
            elif not isinstance(value, (int, float)) or not 0 <= value < 1e9:
                raise InvalidInput(item.name, value, "use a number, 0 or more")
        if self.absent_lookups < 1:
            raise InvalidInput("absent_lookups", self.absent_lookups, "use 1 or more")

    def ns(self, name: str) -> int:
        """A setting that is in seconds, in nanoseconds."""
        return round(getattr(self, name) * NS_PER_S)


class Readiness:
    """What stands against opening orders at one venue.

    pending : why the venue is not reconciled, "" when it is; epoch : of the link when it was.
    unacknowledged : what was found at a first start and a human has not seen. blocked : symbols
    that a human has to look at, with the reason. differing : symbols whose holdings differ now.
    """

    def __init__(self, venue: RemoteVenue) -> None:
        self.venue = venue
        self.pending = "it has not been reconciled yet"
        self.epoch = -1
        self.unacknowledged: list[str] = []
        self.blocked: dict[str, str] = {}
        self.differing: dict[str, str] = {}

    @property
    def ready(self) -> bool:
        """Whether the venue was reconciled on the present link."""
        return not self._link() and not self.pending

    def objection(self, symbol: str = "") -> str:
        """Why no order that adds risk may go out for `symbol`, "" if it may."""
        found = self._link() or self.pending
        if not found and self.unacknowledged:
            found = f"not acknowledged: {'; '.join(self.unacknowledged)}"
        return found or self.blocked.get(symbol, "") or self.differing.get(symbol, "")

    @property
    def unreachable(self) -> str:
        """Why not even a reducing order may go out: nobody would hear what became of it."""
        link = self.venue.link
        if link.state in (LinkState.UP, LinkState.STALE):
            return ""
        return f"its link is {link.state.value}{_because(link.reason)}"

    def _link(self) -> str:
        link = self.venue.link
        if link.state is not LinkState.UP:
            return f"its link is {link.state.value}{_because(link.reason)}"
        if link.epoch != self.epoch and not self.pending:
            return "its stream was reconnected, and it has not been reconciled since"
        return ""


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
