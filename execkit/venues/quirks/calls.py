"""What the quirks of an exchange are told in: one request, its price in rate budgets, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class Call:
    """One request, as a method of the exchange's ccxt client: `client.method(*args, params=...)`.

    Numbers among the arguments are exact decimal text. costs : what it takes of each rate budget.
    """

    method: str
    args: tuple[str | int | list[str] | None, ...] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    costs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """`capacity` units may be used in any `per_ns`; of those, nothing is charged for idle time."""

    name: str
    capacity: int
    per_ns: int


class Support(StrEnum):
    NATIVE = "native"  # the exchange does it
    EMULATED = "emulated"  # our side does it, where that cannot lose or double anything
    REFUSED = "refused"  # InvalidInput before a byte is sent


class Verdict(StrEnum):
    """What an exchange's answer says about the order that was asked for."""

    REJECTED = "rejected"  # surely not taken
    EXISTS = "exists"  # an order of that id is there: look it up
    GONE = "gone"  # no such open order: it ended, and how has to be looked up
    UNKNOWN = "unknown"  # it may have been taken; also for whatever is not listed
    BACK_OFF = "back_off"  # not taken; too many requests
    RESYNC = "resync"  # not taken; our clock is off
    HALT = "halt"  # not taken; the exchange will not have the key


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """What a key may do, as the exchange says; None where it does not say."""

    orders: bool | None = None
    withdrawals: bool | None = None
    bound_to_address: bool | None = None  # only from listed network addresses
    expires_ns: int | None = None


# The word for a refusal, by the exchange's code. Anything else is shown as the exchange wrote it.
REASONS = frozenset(
    {
        "insufficient_balance",
        "min_notional",
        "lot_size",
        "tick_size",
        "price_band",
        "post_only",
        "duplicate_id",
        "unknown_symbol",
        "unknown_order",
        "halted",
        "reduce_only",
        "would_trigger",
        "max_orders",
        "max_position",
        "rate_limited",
        "bad_timestamp",
        "bad_signature",
        "no_permission",
        "rejected",
    }
)
