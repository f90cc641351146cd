"""Collects messages one by one into a `MarketData`; for formats whose files are small.

Every row gets the next number as ``seq``, so the order of all messages of a capture is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from execkit.errors import InvalidData
from execkit.instruments import fitted
from execkit.market import MarketData
from execkit.tables import ASK, BID, Finding, build
from execkit.words import normalise_symbol

Level = Sequence[Any]
Sort = tuple[str, Decimal]
"""Kind of an instrument ("spot", "linear", "inverse") and its contract size."""

SPOT: Sort = ("spot", Decimal(1))
LINEAR: Sort = ("linear", Decimal(1))


class Recorder:
    """Rows of quotes, prints and depth of one venue, in the order of the calls."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.number = 0
        self._rows: dict[str, list[tuple[Any, ...]]] = {"quotes": [], "prints": [], "depth": []}
        self._codes: dict[str, int] = {}
        self.sorts: dict[str, Sort] = {}
        self.notes: list[Finding] = []

    def sort(self, symbol: str, sort: Sort) -> None:
        """Say what kind of instrument `symbol` is; spot if nothing is said."""
        self.sorts[normalise_symbol(symbol)] = sort

    def quote(
        self,
        symbol: str,
        ts_ns: int,
        bid: Level,
        ask: Level,
        *,
        local_ns: int = -1,
    ) -> None:
        """A best bid and ask, each [price, quantity]."""
        row = (float(bid[0]), float(ask[0]), float(bid[1]), float(ask[1]))
        self._add("quotes", symbol, ts_ns, local_ns, row)

    def market_print(
        self,
        symbol: str,
        ts_ns: int,
        price: object,
        quantity: object,
        aggressor: int,
        *,
        local_ns: int = -1,
        trade_id: int = -1,
        off_book: bool = False,
    ) -> None:
        """A public print."""
        row = (float(str(price)), float(str(quantity)), aggressor, int(off_book), trade_id)
        self._add("prints", symbol, ts_ns, local_ns, row)

    def depth(
        self,
        symbol: str,
        ts_ns: int,
        bids: Iterable[Level],
        asks: Iterable[Level],
        *,
        snapshot: bool = False,
        local_ns: int = -1,
        ids: tuple[int, int, int] = (-1, -1, -1),
    ) -> None:
        """One depth message: levels [price, new total, ...]; ids are first, last and previous."""
        self.number += 1
        for side, levels in ((BID, bids), (ASK, asks)):
            for level in levels:
                row = (side, float(level[0]), float(level[1]), int(snapshot), *ids)
                self._add("depth", symbol, ts_ns, local_ns, row, step=0)

    def _add(
        self,
        kind: str,
        symbol: str,
        ts_ns: int,
        local_ns: int,
        row: tuple[Any, ...],
        step: int = 1,
    ) -> None:
        self.number += step
        code = self._codes.setdefault(symbol, len(self._codes))
        self._rows[kind].append((code, ts_ns, self.number, local_ns, *row))

    def market(self, path: Path, *, shared_seq: bool = True) -> MarketData:
        """Everything recorded; `InvalidData` naming `path` if that is nothing."""
        names = {
            "quotes": ("bid", "ask", "bid_quantity", "ask_quantity"),
            "prints": ("price", "quantity", "aggressor", "off_book", "trade_id"),
            "depth": ("side", "price", "quantity", "is_snapshot", *_IDS),
        }
        tables: dict[str, Any] = {}
        notes = list(self.notes)
        for kind, rows in self._rows.items():
            if not rows:
                continue
            columns = dict(
                zip(
                    ("code", "ts_ns", "seq", "local_ts_ns", *names[kind]),
                    zip(*rows, strict=True),
                    strict=True,
                )
            )
            for optional in ("local_ts_ns", "trade_id", *_IDS):
                if optional in columns and max(columns[optional]) < 0:
                    del columns[optional]
            codes = columns.pop("code")
            tables[kind], found = build(
                kind, columns, symbol=(codes, list(self._codes)), venue=self.venue
            )
            notes += found
        if not tables:
            raise InvalidData(f"{path} holds no quote, print or depth message")
        instruments = {}
        for symbol in {s for table in tables.values() for s in table.present}:
            kind, size = self.sorts.get(symbol, SPOT)
            instruments[symbol] = fitted(tables, symbol, kind, size)
        return MarketData(
            **tables, instruments=instruments, shared_seq=shared_seq, notes=tuple(notes)
        )


_IDS = ("first_seq", "last_seq", "prev_seq")


def ms(value: object) -> int:
    """Nanoseconds of a count of milliseconds, given as text or number."""
    return int(str(value)) * 1_000_000


def seconds(value: object) -> int:
    """Nanoseconds of decimal seconds; exact for text of up to nine decimals."""
    return int(Decimal(str(value)) * 1_000_000_000)


def field_of(message: Mapping[str, Any], *names: str) -> Any:
    """The first of `names` that the message has and that is not empty; None if there is none."""
    return next((message[n] for n in names if message.get(n) not in (None, "")), None)
