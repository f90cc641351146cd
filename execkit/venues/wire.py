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


CURRENT: ContextVar[Wire | None] = ContextVar("wire", default=None)
TRAIL: ContextVar[list[Wire] | None] = ContextVar("trail", default=None)


@contextmanager
def trail() -> Iterator[list[Wire]]:
    """The wires of every request that is made inside, in order."""
    wires: list[Wire] = []
    token = TRAIL.set(wires)
    try:
        yield wires
    finally:
        TRAIL.reset(token)
