"""Fetching: bars, prints and funding of the past over REST, part by part into a folder.

A part is written whole or not at all and says where the next one begins, so that what is cut off
goes on from there when it is called again. Requests keep a distance of their own, and wait when
they are told to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidInput, RetryLater
from execkit.market import MarketData
from execkit.sources.parts import Parts
from execkit.tables import BUY, SELL, UNKNOWN, Finding, build
from execkit.timeframes import interval_ns
from execkit.venues.feed_intake import id_of, number
from execkit.venues.paging import Hole, Pager, Row
from execkit.venues.quirks import Quirks

_log = logging.getLogger(__name__)

KINDS = ("bars", "prints", "funding")
_LIMITS = {"bars": 1000, "prints": 1000, "funding": 200}
_NEEDS = {"bars": "fetchOHLCV", "prints": "fetchTrades", "funding": "fetchFundingRateHistory"}
_FROM_ID = {"binance": "fromId", "binanceusdm": "fromId"}  # by whom prints can be asked for by id
_NEWEST_ONLY = frozenset({"bybit", "okx", "kucoin", "mexc", "htx", "hyperliquid"})  # prints
_AGGRESSOR = {"buy": BUY, "sell": SELL}
_TRIES = 8
FIRST_WAIT_S = 1.0
_FUNDING_MS = 30 * 24 * 3_600_000
Progress = Callable[[int, int], None]
"""`progress(up_to_ns, rows)`, after each page."""


@dataclass
class Fetched:
    """rows : written in this call; holes : what the exchange had nothing of; up_to_ns : all before
    it is in the folder; resumed_ns : where this call went on, None for a new folder."""

    folder: Path
    rows: int = 0
    up_to_ns: int = 0
    resumed_ns: int | None = None
    requests: int = 0
    holes: list[Hole] = field(default_factory=list)


class Fetcher:
    """Parameters
    ----------
    client : a ccxt client with its markets loaded; quirks : those that have learned from it.
    kind : "bars", "prints" or "funding". timeframe : of bars. start_ns, end_ns : [start, end).
    now_ns : the exchange's time, for nothing later is there yet (`exchange_now_ns`). pause_s :
    least time between two requests, four times ccxt's own distance if left out. part_rows : rows of
    a part; what is held beyond the last part is lost only by a kill.

    Raises `InvalidInput` for a symbol or kind that the exchange does not have, an empty or future
    range, and a folder that holds something else.
    """

    def __init__(
        self,
        client: Any,
        quirks: Quirks,
        symbol: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        folder: str | Path,
        *,
        timeframe: str = "1m",
        pause_s: float | None = None,
        part_rows: int = 50_000,
        now_ns: int,
    ) -> None:
        if kind not in KINDS:
            raise InvalidInput("kind", kind, f"use one of: {', '.join(KINDS)}")
        if not client.has.get(_NEEDS[kind]):
            raise InvalidInput("kind", kind, f"{quirks.id} does not give it; use another exchange")
        end_ns = min(end_ns, now_ns)
        if not start_ns < end_ns:
            raise InvalidInput("from", start_ns, f"is not before the end ({end_ns})")
        self.client, self.quirks, self.symbol, self.kind = client, quirks, symbol, kind
        self.name = quirks.symbol(symbol)
        if kind == "funding" and quirks.instruments[symbol].kind == "spot":
            raise InvalidInput("symbol", symbol, "is spot, and has no funding")
        self.step_ms = interval_ns(timeframe) // NS_PER_MS if kind == "bars" else 0
        self.start_ms, self.end_ms = start_ns // NS_PER_MS, -(-end_ns // NS_PER_MS)
        if self.step_ms:  # whole bars that have closed
            self.start_ms = -(-self.start_ms // self.step_ms) * self.step_ms
            self.end_ms = self.end_ms // self.step_ms * self.step_ms
        self.timeframe = timeframe if kind == "bars" else ""
        self.limit, self.part_rows = _LIMITS[kind], part_rows
        self.pause_s = 4 * float(client.rateLimit) / 1000 if pause_s is None else pause_s
        self.parts = Parts(folder)
        self.done = Fetched(self.parts.folder)
        self._asked_at = 0.0
        self._seq = 0

    async def run(self, progress: Progress | None = None) -> Fetched:
        """Fetch what is not there yet. Raises `RetryLater` when the exchange does not answer; what
        came before is in the folder then, as it is when this is cancelled."""
        held: list[Row] = []
        seen = 0
        try:
            pager = self._pager()
            try:
                async for rows in pager.pages():
                    held += rows
                    if progress is not None:
                        progress(pager.next_ms * NS_PER_MS, self.done.rows + len(held))
                    if len(held) >= self.part_rows:
                        seen = self._write(held, pager, seen)
                        held = []
            finally:
                if held:
                    seen = self._write(held, pager, seen)
                self.done.holes = pager.holes
                self.done.up_to_ns = min(pager.next_ms, self.end_ms) * NS_PER_MS
        finally:
            self.parts.close()
        return self.done

    def _pager(self) -> Pager:
        pager = Pager(
            self._ask,
            self.start_ms,
            self.end_ms,
            self.limit,
            step_ms=self.step_ms,
            by_id=self.kind == "prints" and self.quirks.id in _FROM_ID,
            newest_only=self.kind == "prints" and self.quirks.id in _NEWEST_ONLY,
            window_ms=_FUNDING_MS if self.kind == "funding" else 3_600_000,
        )
        last = self._last()
        if last is None:
            return pager
        if self.start_ms < int(last["start_ms"]):
            fix = f"the folder begins later, at {last['start_ms']} ms: use another folder"
            raise InvalidInput("from", self.start_ms, fix)
        self._seq = int(last["seq"])
        pager.next_ms, pager.next_id = int(last["next_ms"]), int(last["next_id"])
        pager.edge = set(last["edge"])
        self.start_ms = int(last["start_ms"])
        self.done.resumed_ns = pager.next_ms * NS_PER_MS
        return pager

    def _last(self) -> Mapping[str, Any] | None:
        """What the newest part of this series says; others may lie in the same folder."""
        for name in reversed(self.parts.names()):
            about = self.parts.about(name)
            if about.get("series") == self._series():
                return about
        return None

    def _series(self) -> list[str]:
        return [self.quirks.id, self.symbol, self.kind, self.timeframe]

    def _write(self, rows: Sequence[Row], pager: Pager, seen: int) -> int:
        """One part; the number of holes that have been told by now."""
        new = pager.holes[seen:]
        market = self._market(rows).with_notes(*(self._finding(hole) for hole in new))
        about = {
            "series": self._series(),
            "start_ms": self.start_ms,
            "next_ms": pager.next_ms,
            "next_id": pager.next_id,
            "edge": sorted(pager.edge, key=str),
            "seq": self._seq,
            "holes": [asdict(hole) for hole in new],
        }
        self.parts.add(market, about)
        self.done.rows += len(rows)
        return len(pager.holes)

    def _finding(self, hole: Hole) -> Finding:
        text = f"{hole.reason} in [{hole.from_ms}, {hole.to_ms}) ms"
        return Finding("hole", "info", self.kind, self.symbol, 1, -1, text)

    def _market(self, rows: Sequence[Row]) -> MarketData:
        times = np.array([row[0] for row in rows], dtype=np.int64) * NS_PER_MS
        values = np.array([row[2] for row in rows], dtype=np.float64)
        names = {
            "bars": ("open", "high", "low", "close", "volume"),
            "prints": ("price", "quantity", "aggressor"),
            "funding": ("rate", "mark"),
        }[self.kind]
        columns: dict[str, object] = {"ts_ns": times}
        columns |= {name: values[:, i] for i, name in enumerate(names)}
        if self.kind == "prints":
            columns["seq"] = self._seq + np.arange(len(rows))
            columns["trade_id"] = np.array([row[1] for row in rows], dtype=np.int64)
            self._seq += len(rows)
        table, _ = build(self.kind, columns, symbol=self.symbol, venue=self.quirks.id)
        tables: dict[str, Any] = {self.kind: table}
        steps = {self.symbol: self.step_ms * NS_PER_MS} if self.step_ms else {}
        instruments = {self.symbol: self.quirks.instruments[self.symbol]}
        return MarketData(**tables, instruments=instruments, bar_interval_ns=steps)

    # ------------------------------------------------------------------ asking

    async def _ask(self, from_ms: int, from_id: int) -> list[Row]:
        unit = float(self.quirks.base_units(self.symbol))
        if self.kind == "bars":
            got = await self._call("fetch_ohlcv", self.name, self.timeframe, from_ms, self.limit)
            return [
                (int(row[0]), -1, (*map(number, row[1:5]), number(row[5]) * unit)) for row in got
            ]
        if self.kind == "funding":
            got = await self._call("fetch_funding_rate_history", self.name, from_ms, self.limit)
            return [(int(row["timestamp"]), -1, _funding(row)) for row in got]
        if from_id >= 0:
            params = {_FROM_ID[self.quirks.id]: from_id}
            got = await self._call("fetch_trades", self.name, None, self.limit, params)
        else:
            got = await self._call("fetch_trades", self.name, from_ms, self.limit)
        return [(int(row["timestamp"]), id_of(row), _print(row, unit)) for row in got]

    async def _call(self, method: str, *args: Any) -> Sequence[Any]:
        """One request, at its distance from the last; again where that may help."""
        import ccxt

        loop = asyncio.get_running_loop()
        wait = FIRST_WAIT_S
        for attempt in range(1, _TRIES + 1):
            await asyncio.sleep(max(0.0, self._asked_at + self.pause_s - loop.time()))
            self._asked_at = loop.time()
            self.done.requests += 1
            try:
                return await getattr(self.client, method)(*args) or []
            except ccxt.OperationFailed as error:
                text = f"{self.quirks.id}, {method}: {type(error).__name__}: {str(error)[:200]}"
                if attempt == _TRIES:
                    fix = "what came before is written; call again to go on"
                    raise RetryLater(f"{text}; {fix}") from error
                _log.warning("%s; again in %g s", text, wait)
            except ccxt.ExchangeError as error:
                text = f"{type(error).__name__}: {str(error)[:200]}"
                raise InvalidInput(self.kind, self.symbol, f"was refused: {text}") from error
            await asyncio.sleep(wait)
            wait = min(60.0, 2 * wait)
        raise AssertionError("the last try returns or raises")


async def exchange_now_ns(client: Any) -> int:
    """The exchange's time, or ours where it does not tell."""
    ms = await client.fetch_time() if client.has.get("fetchTime") else client.milliseconds()
    return int(ms) * NS_PER_MS


def _print(row: Mapping[str, Any], unit: float) -> tuple[float, float, float]:
    side = _AGGRESSOR.get(str(row.get("side")), UNKNOWN)
    return number(row.get("price")), number(row.get("amount")) * unit, float(side)


def _funding(row: Mapping[str, Any]) -> tuple[float, float]:
    mark = (row.get("info") or {}).get("markPrice") or row.get("markPrice")
    return number(row.get("fundingRate")), number(mark)
