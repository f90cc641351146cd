"""Intake: what a tap tells in ccxt's words, put on a board in ours: symbols, base units, ns."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import nan
from typing import Any

from execkit.clock import NS_PER_MS
from execkit.tables import BUY, SELL, UNKNOWN
from execkit.venues.board import Board
from execkit.venues.feed_events import Level
from execkit.venues.quirks import Quirks
from execkit.venues.sequences import Sequences

_log = logging.getLogger(__name__)

_AGGRESSOR = {"buy": BUY, "sell": SELL}


class Intake(ABC):
    """Knows which socket carries which stream, so that a lost one is a gap in what it carried."""

    def __init__(self, board: Board, quirks: Quirks, bar_ns: int) -> None:
        self.board, self.quirks, self._bar_ns = board, quirks, bar_ns
        self._sequences = Sequences(quirks.id)
        self._sockets: dict[tuple[str, str], Any] = {}
        self._bars_from: dict[str, int] = {}
        self._funding: dict[str, tuple[int, float, float]] = {}

    @abstractmethod
    def _resync(self, kind: str, symbol: str, reason: str) -> None:
        """Have a stream start anew."""

    @abstractmethod
    def _hang_up(self, socket: Any, reason: str) -> None:
        """End a connection."""

    @abstractmethod
    def _forget(self, kind: str, symbol: str) -> None:
        """Drop what ccxt holds of a stream."""

    def stamp(self) -> int:
        return self.board.stamp()

    def accepts(self, message: object, socket: Any) -> bool:
        """False for what does not follow: all that the connection carries begins anew."""
        broken = self._sequences.broken(message, socket)
        if broken:
            for (kind, symbol), carried in self._sockets.items():
                if carried is socket:
                    self.board.begin_gap(symbol, kind, "sequence", broken)
            self._hang_up(socket, broken)
        return not broken

    def on_book(
        self, name: str, book: Any, levels: list[Level], whole: bool, local_ns: int, socket: Any
    ) -> None:
        symbol = self.quirks.own_symbol(name)
        if symbol not in self.board.markets:
            return
        if socket is not None:
            self._sockets["depth", symbol] = socket
        unit = float(self.quirks.base_units(symbol))
        if unit != 1.0:
            levels = [(side, price, size * unit) for side, price, size in levels]
        stamp, nonce = book.get("timestamp"), book.get("nonce")
        taken = self.board.take_depth(
            symbol,
            None if stamp is None else int(stamp) * NS_PER_MS,
            local_ns,
            levels,
            snapshot=whole,
            last_seq=int(nonce) if isinstance(nonce, int) else -1,
        )
        if not taken:
            self._resync("depth", symbol, "damaged")

    def on_no_book(self, name: str) -> None:
        symbol = self.quirks.own_symbol(name)
        if symbol in self.board.markets:
            self.board.begin_gap(symbol, "depth", "sequence")

    def on_print(self, name: str, row: Mapping[str, Any], local_ns: int, socket: Any) -> None:
        symbol = self.quirks.own_symbol(name)
        if symbol not in self.board.markets or "prints" not in self.board.kinds:
            return
        self._sockets["prints", symbol] = socket
        unit, stamp = float(self.quirks.base_units(symbol)), row.get("timestamp")
        self.board.take_print(
            symbol,
            None if stamp is None else int(stamp) * NS_PER_MS,
            local_ns,
            number(row.get("price")),
            number(row.get("amount")) * unit,
            _AGGRESSOR.get(str(row.get("side")), UNKNOWN),
            id_of(row),
        )

    def on_quote(self, name: str, row: Mapping[str, Any], local_ns: int, socket: Any) -> None:
        symbol = self.quirks.own_symbol(name)
        if symbol not in self.board.markets or "quotes" not in self.board.kinds:
            return
        self._sockets["quotes", symbol] = socket
        unit, stamp = float(self.quirks.base_units(symbol)), row.get("timestamp")
        bid, ask = (
            (number(row.get(side)), number(row.get(f"{side}Volume")) * unit)
            for side in ("bid", "ask")
        )
        venue_ns = None if stamp is None else int(stamp) * NS_PER_MS
        self.board.take_quote(symbol, venue_ns, local_ns, bid, ask)

    def on_connected(self, socket: Any) -> None:
        self.board.epoch += 1

    def on_lost(self, error: object, socket: Any) -> None:
        for (kind, symbol), carried in list(self._sockets.items()):
            if carried is socket:
                del self._sockets[kind, symbol]
                self.board.begin_gap(symbol, kind, "disconnected", str(error)[:200])
                self._forget(kind, symbol)

    def on_broken(self, error: Exception, socket: Any) -> None:
        _log.warning("%s: a message could not be read: %r", self.quirks.id, error)
        self.board.counts["refused"] += 1
        if socket is not None:
            self._hang_up(socket, "a message could not be read")

    def _take_bars(self, symbol: str, rows: Any) -> None:
        """Bars that have closed: there is a later one."""
        held = [list(row) for row in rows]
        if not held:
            return
        first = self._bars_from.setdefault(symbol, int(held[-1][0]))
        unit = float(self.quirks.base_units(symbol))
        for row in held[:-1]:
            if int(row[0]) >= first:
                values = [*map(number, row[1:5]), number(row[5]) * unit]
                self.board.take_bar(symbol, int(row[0]) * NS_PER_MS, values, self._bar_ns)

    def _take_funding(self, symbol: str, row: Mapping[str, Any]) -> None:
        """The rate shown last before its time came is the one that was paid."""
        due = row.get("fundingTimestamp") or row.get("nextFundingTimestamp")
        if due is None or row.get("fundingRate") is None:
            return
        before = self._funding.get(symbol)
        if before is not None and int(due) > before[0]:
            self.board.take_funding(symbol, before[0] * NS_PER_MS, before[1], before[2])
        rate, mark = number(row["fundingRate"]), number(row.get("markPrice"))
        self._funding[symbol] = (int(due), rate, mark)


def number(value: object) -> float:
    return nan if value is None else float(str(value))


def id_of(row: Mapping[str, Any]) -> int:
    """The venue's id of a print, -1 where it is not a number that an int64 holds."""
    text = str(row.get("id") or "")
    return int(text) if text.isdigit() and len(text) < 19 else -1
