"""The closed words of execkit: enums, the states of an order and its legal moves, edge parsers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache, lru_cache
from secrets import token_bytes
from typing import Self

from execkit.clock import to_ns
from execkit.errors import IllegalTransition, InvalidInput

Number = Decimal | int | float | str
ZERO = Decimal(0)
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567" * 8  # five bits of each byte
_LATEST_NS = 2**62  # in the year 2116; what is later was meant to be another unit


class _Word(StrEnum):
    """A closed set of words; accepts any case at the edge and says which words exist."""

    @classmethod
    def of(cls, value: object, field: str | None = None) -> Self:
        if type(value) is cls:
            return value
        found = _members(cls).get(
            str(value.value if isinstance(value, StrEnum) else value).strip().lower()
        )
        if found is not None:
            return found  # type: ignore[return-value]
        known = ", ".join(m.value for m in cls)
        raise InvalidInput(field or cls.__name__.lower(), value, f"use one of: {known}")


@cache
def _members(words: type[_Word]) -> dict[str, _Word]:
    return {name.lower(): word for word in words for name in (word.name, word.value)}


class Side(_Word):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class SignalAction(_Word):
    BUY = "buy"
    SELL = "sell"
    CLOSE = "close"
    CLOSE_LONG = "close_long"
    CLOSE_SHORT = "close_short"


class OrderType(_Word):
    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(_Word):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class Liquidity(_Word):
    MAKER = "maker"
    TAKER = "taker"
    UNKNOWN = "unknown"


class ExecutionMode(_Word):
    PAPER = "paper"
    DEMO = "demo"
    LIVE = "live"


class ExecutionStatus(StrEnum):
    """State of an order. Only venue evidence ends an order that was sent."""

    INTENT = "intent"  # durable in the journal, nothing sent
    REFUSED = "refused"  # by our own risk checks, never sent
    SENDING = "sending"  # handed to the venue's client; may be there, may not
    UNKNOWN = "unknown"  # sent, and the answer says nothing
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    CANCEL_PENDING = "cancel_pending"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"  # by time in force, or nothing to trade with
    REJECTED = "rejected"  # by the venue

    @property
    def is_done(self) -> bool:
        return self in DONE

    @property
    def is_live(self) -> bool:
        return self in LIVE


_S = ExecutionStatus
DONE = frozenset({_S.REFUSED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED})
IN_FLIGHT = frozenset({_S.SENDING, _S.UNKNOWN, _S.CANCEL_PENDING})
WORKING = frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.CANCEL_PENDING})
LIVE = IN_FLIGHT | WORKING  # may still trade: counts in full against limits

_ENDS = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED})
TRANSITIONS: Mapping[ExecutionStatus, frozenset[ExecutionStatus]] = {
    _S.INTENT: frozenset({_S.REFUSED, _S.SENDING, _S.REJECTED}),
    _S.REFUSED: frozenset(),
    _S.SENDING: _ENDS | {_S.UNKNOWN, _S.OPEN, _S.PARTIALLY_FILLED, _S.CANCEL_PENDING},
    _S.UNKNOWN: _ENDS | {_S.OPEN, _S.PARTIALLY_FILLED, _S.CANCEL_PENDING},
    _S.OPEN: _ENDS | {_S.PARTIALLY_FILLED, _S.CANCEL_PENDING, _S.UNKNOWN},
    _S.PARTIALLY_FILLED: _ENDS | {_S.PARTIALLY_FILLED, _S.CANCEL_PENDING, _S.UNKNOWN},
    # a cancel can fail (the order works on), lose the race to a fill, or go unanswered
    _S.CANCEL_PENDING: _ENDS | {_S.OPEN, _S.PARTIALLY_FILLED, _S.UNKNOWN, _S.CANCEL_PENDING},
    # a fill that was under way when the order ended still counts (invariant I3)
    _S.CANCELED: frozenset({_S.CANCELED, _S.FILLED}),
    _S.EXPIRED: frozenset({_S.EXPIRED, _S.FILLED}),
    # the same, and an order that was proven absent can turn up after all
    _S.REJECTED: frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
}


def to_decimal(value: object, name: str) -> Decimal:
    """A finite `Decimal` from a number or numeric text; `InvalidInput` naming `name` otherwise."""
    if type(value) is Decimal and value.is_finite():
        return value
    if isinstance(value, bool) or value is None:
        raise InvalidInput(name, value, "pass a number")
    try:
        # str() of a float is its shortest round-trip text, so 0.1 stays 0.1
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise InvalidInput(name, value, "pass a number") from None
    if not number.is_finite():
        raise InvalidInput(name, value, "pass a finite number")
    return number


def positive(value: object, name: str) -> Decimal:
    """As `to_decimal`, and greater than 0."""
    number = to_decimal(value, name)
    if number <= 0:
        raise InvalidInput(name, value, "must be greater than 0")
    return number


def moment(value: object, name: str) -> int:
    """UTC nanoseconds of a time given as `clock.to_ns` takes it; `InvalidInput` naming `name`
    for what is no time, or one before 1970 or after 2116."""
    ts_ns = value if type(value) is int else to_ns(value, name)
    if not 0 <= ts_ns < _LATEST_NS:
        raise InvalidInput(name, value, "pass UTC nanoseconds of a time between 1970 and 2116")
    return ts_ns


def text(value: object, name: str) -> str:
    """`value`, if it is text; else `InvalidInput` naming `name`."""
    if not isinstance(value, str):
        raise InvalidInput(name, value, "pass text")
    return value


def flag(value: object, name: str) -> bool:
    """`value` as a bool, if it is one; else `InvalidInput` naming `name`."""
    if not isinstance(value, bool) and type(value).__name__ != "bool":  # numpy's own bool
        raise InvalidInput(name, value, "pass True or False")
    return bool(value)


def normalise_symbol(symbol: object) -> str:
    """ "BTC/USDT", "btc-usdt" and "BTCUSDT" are one symbol: BTCUSDT. "BTC/USDT:USDT" keeps its
    settlement coin, because it is another instrument: BTCUSDT:USDT."""
    if isinstance(symbol, str):
        return _normal_symbol(str(symbol))
    raise InvalidInput("symbol", symbol, "use a form such as BTCUSDT or BTC/USDT")


@lru_cache(maxsize=4096)
def _normal_symbol(symbol: str) -> str:
    text = symbol.strip().upper()
    pair, colon, settle = text.partition(":")
    pair = re.sub(r"[/\-]", "", pair)
    if not re.fullmatch(r"[A-Z0-9_.]+", pair) or (
        colon and not re.fullmatch(r"[A-Z0-9-]+", settle)
    ):
        raise InvalidInput("symbol", symbol, "use a form such as BTCUSDT or BTC/USDT")
    return pair + colon + settle


def new_client_order_id() -> str:
    """26 characters [a-z2-7], first a letter, no hyphen: fits the rules of every large venue."""
    return "x" + token_bytes(25).translate(_BASE32).decode()


def check_transition(old: ExecutionStatus, new: ExecutionStatus, order_id: str = "") -> None:
    """Raise `IllegalTransition` unless `new` may follow `old`."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(
            f"order {order_id}: {old.value} -> {new.value} is not a legal move; "
            f"from {old.value} only {sorted(s.value for s in TRANSITIONS[old])}"
        )
