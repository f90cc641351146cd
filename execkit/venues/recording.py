"""Recording: what a feed receives, written to Parquet part by part, to be simulated afterwards.

`MarketData.load(folder)` reads it; both clocks are kept (``ts_ns`` the venue's, ``local_ts_ns``
ours). Each part holds what its time brought, `opening.parquet` the books as they stood before (so
that old parts may be deleted) and `gaps.parquet` what was not heard; gaps are notes of the market
as well, which `MarketData.check` repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from execkit.clock import NS_PER_S, from_ns
from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.sources.native import OPENING, to_arrow
from execkit.sources.parts import Parts
from execkit.tables import Finding, Table, build
from execkit.venues.board import Board
from execkit.venues.feed_events import (
    BarMessage,
    DepthMessage,
    Event,
    FundingMessage,
    Gap,
    MarketPrint,
    QuoteMessage,
)
from execkit.waiting import came

GAPS = "gaps.parquet"
_FIELDS: Mapping[type, tuple[str, ...]] = {
    QuoteMessage: ("bid", "ask", "bid_quantity", "ask_quantity"),
    MarketPrint: ("price", "quantity", "aggressor", "trade_id"),
    BarMessage: ("open", "high", "low", "close", "volume"),
    FundingMessage: ("rate", "mark"),
}
_KINDS: Mapping[type, str] = {
    QuoteMessage: "quotes",
    MarketPrint: "prints",
    BarMessage: "bars",
    FundingMessage: "funding",
}


class Recording:
    """Writes what a board is told into `folder`, a part every `part_s` or `part_rows`.

    A process that is killed loses the part that is open, no more. Start it before the feed, and
    what it holds is all that was received. Raises `InvalidInput` if the folder cannot be used.
    """

    def __init__(
        self,
        board: Board,
        folder: str | Path,
        venue: str,
        *,
        part_s: float = 300.0,
        part_rows: int = 500_000,
    ) -> None:
        self.board, self.venue = board, venue
        self.part_s, self.part_rows = part_s, part_rows
        self.parts = Parts(folder)
        self.rows = 0  # of the parts that are written
        self._events: list[Event] = []
        self._gaps: list[Gap] = []
        self._held = 0  # rows of the part that is open
        self._openings: list[DepthMessage] = []
        self._full = asyncio.Event()
        self._writing = asyncio.Lock()
        names = self.parts.names()
        self._paused_ns: int | None = self.parts.about(names[-1]).get("to_ns") if names else None
        board.listen(self._receive)

    async def run(self, until_ns: int | None = None) -> None:
        """Write part after part until the time is `until_ns`, or for ever. Raises `InvalidInput`
        when a part cannot be written."""
        clock = self.board.clock
        while until_ns is None or clock.now_ns() < until_ns:
            left = self.part_s
            if until_ns is not None:
                left = min(left, (until_ns - clock.now_ns()) / NS_PER_S)
            await came(self._full, max(left, 0.001))
            await self.rotate()

    async def rotate(self) -> Path | None:
        """End the open part and begin the next; the part that was written, None if it was empty."""
        async with self._writing:
            events, gaps, openings = self._events, self._gaps, self._openings
            self._events, self._gaps, self._held = [], [], 0
            books = (self.board.opening(symbol) for symbol in self.board.instruments)
            self._openings = [book for book in books if book is not None]
            self._full.clear()
            if not events:
                self._gaps = gaps + self._gaps
                self._openings = openings or self._openings
                return None
            gaps = self._pause(events) + gaps
            part = await asyncio.to_thread(self._write, events, gaps, openings)
            self.rows += sum(map(_size, events))
            return part

    async def close(self) -> Path | None:
        """Write what is left and let go of the folder; the last part."""
        self.board.unlisten(self._receive)
        for m in self.board.markets.values():
            self._gaps += m.open_gaps.values()
        try:
            return await self.rotate()
        finally:
            self.parts.close()

    def _receive(self, event: Event) -> None:
        if isinstance(event, Gap):
            if event.to_ns:
                self._gaps.append(event)
            return
        self._events.append(event)
        self._held += _size(event)
        if self._held >= self.part_rows:
            self._full.set()

    def _pause(self, events: Sequence[Event]) -> list[Gap]:
        """Between two runs of a recorder nothing was heard."""
        paused, self._paused_ns = self._paused_ns, None
        if paused is None:
            return []
        first = next(e.local_ts_ns for e in events if not isinstance(e, Gap))
        return [
            Gap(symbol, kind, "not recorded", paused, first, 0)
            for symbol in self.board.instruments
            for kind in self.board.kinds
        ]

    def _write(
        self, events: Sequence[Event], gaps: Sequence[Gap], openings: Sequence[DepthMessage]
    ) -> Path:
        market = market_of(events, self.board.instruments, self.venue)
        market = market.with_notes(*map(_finding, gaps))

        def beside(folder: Path) -> None:
            if openings:
                books = _depth(openings, self.venue)
                pq.write_table(to_arrow(books), folder / OPENING, compression="zstd")
            if gaps:
                pq.write_table(pa.Table.from_pylist([asdict(g) for g in gaps]), folder / GAPS)

        local = [e.local_ts_ns for e in events if not isinstance(e, Gap)]
        span = {"from_ns": min(local), "to_ns": max(local)}
        about = {"venue": self.venue, **span, "epoch": self.board.epoch, "gaps": len(gaps)}
        return self.parts.add(market, about, beside)


def market_of(
    events: Sequence[Event], instruments: Mapping[str, Instrument], venue: str
) -> MarketData:
    """Everything that was received as one market; `seq` is the order of receipt in all tables."""
    by_type: dict[type, list[Any]] = {}
    for event in events:
        by_type.setdefault(type(event), []).append(event)
    tables: dict[str, Any] = {}
    if DepthMessage in by_type:
        tables["depth"] = _depth(by_type[DepthMessage], venue)
    for sort, kind in _KINDS.items():
        found = by_type.get(sort)
        if found:
            columns: dict[str, object] = {
                name: _column(found, name) for name in ("ts_ns", "seq", "local_ts_ns")
            }
            columns |= {name: _column(found, name) for name in _FIELDS[sort]}
            tables[kind], _ = build(kind, columns, symbol=_labels(found), venue=venue)
    steps = {e.symbol: e.interval_ns for e in by_type.get(BarMessage, ())}
    return MarketData(**tables, instruments=instruments, shared_seq=True, bar_interval_ns=steps)


def _depth(messages: Sequence[DepthMessage], venue: str) -> Table:
    counts = np.array([len(m.levels) for m in messages])
    flat = np.array(list(chain.from_iterable(m.levels for m in messages)), dtype=np.float64)
    columns: dict[str, object] = {
        "ts_ns": np.repeat(_column(messages, "ts_ns"), counts),
        "seq": np.repeat(_column(messages, "seq"), counts),
        "local_ts_ns": np.repeat(_column(messages, "local_ts_ns"), counts),
        "side": flat[:, 0],
        "price": flat[:, 1],
        "quantity": flat[:, 2],
        "is_snapshot": np.repeat(_column(messages, "is_snapshot"), counts),
    }
    codes, words = _labels(messages)
    table, _ = build("depth", columns, symbol=(np.repeat(codes, counts), words), venue=venue)
    return table


def _column(events: Sequence[Any], name: str) -> np.ndarray:
    return np.array([getattr(e, name) for e in events])


def _labels(events: Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    words = sorted({e.symbol for e in events})
    code = {word: i for i, word in enumerate(words)}
    return np.array([code[e.symbol] for e in events]), words


def _size(event: Event) -> int:
    return len(event.levels) if isinstance(event, DepthMessage) else 1


def _finding(gap: Gap) -> Finding:
    times = [ns for ns in (gap.from_ns, gap.to_ns) if ns]
    shown = from_ns(times).dt.strftime("%Y-%m-%d %H:%M:%S.%f").tolist()
    until = shown[1] if len(shown) > 1 else "the end"
    detail = f"{gap.reason}: nothing between {shown[0]} and {until} UTC (local)"
    return Finding("gap", "warning", gap.kind, gap.symbol, 1, -1, f"{detail} {gap.detail}".strip())
