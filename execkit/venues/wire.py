"""Wire: what is known of one request below ccxt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Wire:
    """What is known of one request below ccxt.

    written : its bytes were on their way, or may have been; False only if surely none was. Times
    are `time.monotonic_ns`, 0 for what did not happen.
    """

    method: str = ""
    path: str = ""
    written: bool = False
    status: int = 0
    retry_after_s: float | None = None
    body: str = ""
    started_ns: int = 0
    written_ns: int = 0
    answered_ns: int = 0


# Classes of ccxt that only an answer of the exchange raises.
_ANSWERS = frozenset({"ExchangeError", "RateLimitExceeded", "InvalidNonce", "DDoSProtection"})

CURRENT: ContextVar[Wire | None] = ContextVar("wire", default=None)
TRAIL: ContextVar[list[Wire] | None] = ContextVar("trail", default=None)


def over_socket(error: BaseException) -> Wire:
    """Of a request that went over a WebSocket, where ccxt does not tell when: it may have arrived
    unless the exchange itself answered, whose words are then in the error."""
    names = {kind.__name__ for kind in type(error).__mro__}
    answered = error.__cause__ is None and bool(names & _ANSWERS)
    body = str(error).partition(" ")[2] if answered else ""
    return Wire("WS", written=True, status=400 if answered else 0, body=body)


@contextmanager
def trail() -> Iterator[list[Wire]]:
    """The wires of every request that is made inside, in order."""
    wires: list[Wire] = []
    token = TRAIL.set(wires)
    try:
        yield wires
    finally:
        TRAIL.reset(token)
