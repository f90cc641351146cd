"""Parts that several dialects use: numbers as text, numbers from text, the top of a book."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from execkit.rehearsal.dialects.base import Request
from execkit.rehearsal.feed import Feed
from execkit.rehearsal.words import Rejected
from execkit.words import ZERO

Levels = Iterable[tuple[Decimal, Decimal]]


def text(number: Decimal | None) -> str:
    """Plain digits; nothing is 0."""
    return "0" if not number else f"{number.normalize():f}"


def maybe(number: Decimal | None) -> str:
    """Plain digits; nothing is nothing."""
    return "" if not number else text(number)


def number(request: Request, name: str) -> Decimal | None:
    """A positive number that was sent, None if none was; 0 counts as none."""
    given = request.text(name, default="")
    if not given:
        return None
    try:
        found = Decimal(given)
    except InvalidOperation:
        found = Decimal("nan")
    if not found.is_finite() or found < 0:
        raise Rejected("bad_request", f"{name} is not a number: {given}")
    return found or None


def needed(request: Request, name: str) -> Decimal:
    found = number(request, name)
    if found is None:
        raise Rejected("bad_request", f"{name} is missing")
    return found


def mark_of(feed: Feed, otherwise: Decimal = ZERO) -> Decimal:
    return feed.mark() or otherwise


class Top:
    """The best levels of a book as one subscriber knows them."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.last_id = 0
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})

    def follow(self, feed: Feed) -> tuple[list[tuple[Decimal, Decimal]], ...]:
        """Bids and asks that changed since the last call; size 0 for those that are not shown any
        more. After the first call that is all of them."""
        self.last_id, *sides = feed.book(self.depth)
        changes = []
        for known, side in zip(self._sides, sides, strict=True):
            now = dict(side)
            gone = [(price, ZERO) for price in known if price not in now]
            changes.append(gone + [(p, q) for p, q in side if known.get(p) != q])
            known.clear()
            known.update(now)
        return tuple(changes)
