"""Paging: all rows of a stretch of time, over requests that each answer with a page from its start.

Exchanges differ in what a page is: some end it at a number of rows, some at an hour; some repeat
the row where one begins; some begin where they like. What is asked for next goes by what came, rows
are known again by their key, and what cannot be had is told as a hole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Ask = Callable[[int, int], Awaitable[Sequence[Any]]]
"""`ask(from_ms, from_id)`: rows of (ms, id, values), any order; from_id -1: go by the time."""

Row = tuple[int, int, Any]
"""Time (ms), id (-1 if it has none), and what it says."""


@dataclass(frozen=True)
class Hole:
    """Nothing could be had of [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    reason: str


@dataclass
class Pager:
    """Goes through [next_ms, end_ms) page by page; `next_ms` and `next_id` are where to resume.

    step_ms : time from row to row of a series (bars), 0 for rows that come when they come. by_id :
    whether pages can be asked for by the id of their first row, ids being counted without holes.
    newest_only : pages hold the newest rows whatever is asked for. window_ms : how far to go on
    where a page is empty: it may only mean that an hour was.
    """

    ask: Ask
    next_ms: int
    end_ms: int
    limit: int
    step_ms: int = 0
    by_id: bool = False
    newest_only: bool = False
    window_ms: int = 3_600_000
    next_id: int = -1
    holes: list[Hole] = field(default_factory=list)
    edge: set[Any] = field(default_factory=set)  # keys of the rows at `next_ms` that are had

    async def pages(self) -> AsyncIterator[list[Row]]:
        """Each page's new rows, in order of time and id; nothing twice, nothing out of range."""
        while self.next_ms < self.end_ms:
            start = self.next_ms
            got = sorted(await self.ask(start, self.next_id), key=lambda row: row[:2])
            new = [row for row in got if self._is_new(row)]
            if new:
                self._judge(start, new)
            within = [row for row in new if row[0] < self.end_ms]
            self._go_on(start, got, new)
            if within:
                yield within

    def _is_new(self, row: Row) -> bool:
        if self.next_id >= 0:
            return row[1] >= self.next_id
        return row[0] > self.next_ms or (row[0] == self.next_ms and _key(row) not in self.edge)

    def _judge(self, start: int, new: list[Row]) -> None:
        """Note what is missing between rows that should follow one another."""
        if self.newest_only and new[0][0] > start and not self.edge:
            reason = "only its newest rows are given by this exchange"
            self.holes.append(Hole(start, min(new[0][0], self.end_ms), reason))
        if self.step_ms:
            expected = start
            for ms, _, _ in new:
                if ms > expected and expected < self.end_ms:
                    self.holes.append(Hole(expected, min(ms, self.end_ms), "no rows"))
                expected = ms + self.step_ms
        elif self.by_id and self.next_id >= 0:
            expected, before = self.next_id, start
            for ms, number, _ in new:
                if number > expected:
                    self.holes.append(Hole(before, ms, f"ids {expected} to {number - 1}"))
                expected, before = number + 1, ms

    def _go_on(self, start: int, got: list[Row], new: list[Row]) -> None:
        """Choose what to ask for next."""
        beyond = next((row for row in new if row[0] >= self.end_ms), None)
        if beyond is not None:  # whoever resumes with a later end begins with that row
            self.next_ms, self.edge = self.end_ms, set()
            if self.by_id and beyond[1] >= 0:
                self.next_id = beyond[1]
        elif new:
            last = new[-1][0]
            self.edge = {_key(row) for row in got if row[0] == last} | (
                self.edge if last == start else set()
            )
            self.next_ms = last + self.step_ms
            if self.by_id and new[-1][1] >= 0:
                self.next_id = new[-1][1] + 1
        elif self.next_id >= 0:
            self.next_ms, self.edge = self.end_ms, set()  # there are no more
        elif len(got) >= self.limit and got[0][0] >= start:
            # a page full of rows of one instant, all of them had: those behind cannot be asked for
            self.holes.append(Hole(start, start + 1, f"more than {len(got)} rows in 1 ms"))
            self.next_ms, self.edge = start + 1, set()
        else:
            until = min(self.end_ms, start + max(self.window_ms, self.step_ms * self.limit))
            if self.step_ms or (got and got[-1][0] < start):
                self.holes.append(Hole(start, until, "no rows"))
            self.next_ms, self.edge = until, set()


def _key(row: Row) -> Any:
    return row[1] if row[1] >= 0 else repr(row[2])
