"""MarketData: bars, quotes, prints, depth and funding of any number of symbols, ready to simulate.

Rules that hold for every `MarketData`: one venue per symbol and table; a table's rows are sorted
by (symbol, ts_ns, seq) with ties in the order they came; nothing was repaired. What is doubtful is
reported by `MarketData.check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from execkit.clock import from_ns
from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import Instruments, by_symbol, infer_instruments, units_of
from execkit.kept import Kept
from execkit.table_input import from_frame
from execkit.tables import KINDS, Finding, Table, build
from execkit.timeframes import interval_ns, most_common_step
from execkit.words import normalise_symbol

if TYPE_CHECKING:
    from execkit.checks import MarketReport


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Both sides of a book: arrays (levels, 2) of price and quantity, best level first."""

    symbol: str
    ts_ns: int
    bids: np.ndarray
    asks: np.ndarray

    def __repr__(self) -> str:
        best = [side[0, 0] if len(side) else None for side in (self.bids, self.asks)]
        return (
            f"<Book {self.symbol}: {best[0]} / {best[1]}, {len(self.bids)}+{len(self.asks)} levels>"
        )


@dataclass(frozen=True, eq=False)
class MarketData:
    """Tables of market data and what is known about their instruments.

    Attributes
    ----------
    bars, quotes, prints, depth, funding : `Table` or None.
    instruments : one `Instrument` a symbol that has prices; where none was given, tick and lot are
        the power of ten that represents all prices and quantities exactly (1e-8 where none of
        <= 12 decimals does).
    shared_seq : True when ``seq`` is comparable across the tables of one symbol, that is when they
        come from one capture and ``seq`` is its line order.
    bar_interval_ns : per symbol, as given or the most common difference of bar times.
    notes : findings made while loading, repeated by `check`.
    inferred : symbols whose instrument is a guess from the data, and taken for spot.
    kept : what others made of these tables, so that it is made once; not copied along.
    """

    bars: Table | None = None
    quotes: Table | None = None
    prints: Table | None = None
    depth: Table | None = None
    funding: Table | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    shared_seq: bool = False
    bar_interval_ns: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()
    inferred: frozenset[str] = frozenset()
    kept: Kept = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for kind in KINDS:
            table = getattr(self, kind)
            if table is not None and len(table) == 0:
                object.__setattr__(self, kind, None)
        tables = self.tables
        if not tables:
            raise InvalidData("no rows at all: a MarketData needs at least one row of some kind")
        known = {s: i for s, i in self.instruments.items() if s in self.symbols}
        priced = {s for kind, t in tables.items() if kind != "funding" for s in t.present}
        missing = sorted(priced - set(known))
        known.update(infer_instruments(tables, missing))
        steps = {s: n for s, n in self.bar_interval_ns.items() if s in self.symbols}
        if self.bars is not None:
            for symbol in self.bars.present:
                step = steps.get(symbol) or most_common_step(self.bars.of(symbol)["ts_ns"])
                if step:
                    steps[symbol] = step
        object.__setattr__(self, "instruments", MappingProxyType(dict(sorted(known.items()))))
        guessed = frozenset(missing) | (self.inferred & priced)
        object.__setattr__(self, "inferred", guessed)
        object.__setattr__(self, "bar_interval_ns", MappingProxyType(dict(sorted(steps.items()))))
        object.__setattr__(self, "kept", Kept())

    def __reduce__(self) -> tuple[object, ...]:
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        parts |= {name: dict(parts[name]) for name in ("instruments", "bar_interval_ns")}
        return _revived, (parts,)

    # ---------------------------------------------------------------- making one

    @classmethod
    def from_bars(
        cls,
        data: object,
        *,
        symbol: str | None = None,
        interval: str | int | None = None,
        stamp: Literal["open", "close"] = "open",
        venue: str | None = None,
        instruments: Instruments = (),
    ) -> MarketData:
        """Bars from a frame with ``ts_ns`` or ``time``, open, high, low, close and volume
        (NaN if unknown).

        `interval` ("1m", or nanoseconds) is taken from the most common step when left out.
        `stamp="close"` says that times mark the end of a bar; they are moved to its start, because
        a bar taken for older than it is looks into the future.
        """
        if stamp not in ("open", "close"):
            raise InvalidInput("stamp", stamp, 'say "open" or "close"')
        table, notes = from_frame("bars", data, symbol=symbol, venue=venue)
        step = None if interval is None else interval_ns(interval)
        steps: dict[str, int] = {}
        for name in table.present:
            found = step or most_common_step(table.of(name)["ts_ns"])
            if found is None:
                raise InvalidInput("interval", interval, f'say how long a bar of {name} is ("1m")')
            steps[name] = found
        if stamp == "close":
            by_code = np.array([steps.get(s, 0) for s in table.symbols], dtype=np.int64)
            columns = {**table.columns, "ts_ns": table["ts_ns"] - by_code[table["symbol"]]}
            moved = Table("bars", columns, table.symbols, table.venues)
            table = moved.cut(slice(None))
        given = by_symbol(instruments)
        return cls(bars=table, bar_interval_ns=steps, instruments=given, notes=tuple(notes))

    @classmethod
    def from_quotes(
        cls,
        data: object,
        *,
        symbol: str | None = None,
        venue: str | None = None,
        instruments: Instruments = (),
    ) -> MarketData:
        """Best bid and ask over time; see `table_input.from_frame` for what is refused."""
        return cls._from("quotes", data, symbol, venue, instruments)

    @classmethod
    def from_prints(
        cls,
        data: object,
        *,
        symbol: str | None = None,
        venue: str | None = None,
        instruments: Instruments = (),
    ) -> MarketData:
        """Public prints; left out, ``aggressor`` (buy, sell) is unknown and ``off_book`` is 0."""
        return cls._from("prints", data, symbol, venue, instruments)

    @classmethod
    def from_depth(
        cls,
        data: object,
        *,
        symbol: str | None = None,
        venue: str | None = None,
        instruments: Instruments = (),
    ) -> MarketData:
        """Depth rows: new totals per level (0 = gone). Rows of one message share ts_ns and seq.

        A message whose rows have ``is_snapshot`` = 1 replaces the whole book. Without ``seq`` a new
        message starts wherever time, symbol or the snapshot flag changes.
        """
        return cls._from("depth", data, symbol, venue, instruments)

    @classmethod
    def from_funding(
        cls, data: object, *, symbol: str | None = None, venue: str | None = None
    ) -> MarketData:
        """Funding: ``rate`` a fraction per period (positive: longs pay), ``mark`` optional."""
        return cls._from("funding", data, symbol, venue, ())

    @classmethod
    def _from(
        cls,
        kind: str,
        data: object,
        symbol: str | None,
        venue: str | None,
        instruments: Instruments,
    ) -> MarketData:
        table, notes = from_frame(kind, data, symbol=symbol, venue=venue)
        given = by_symbol(instruments)
        return cls(**{kind: table}, instruments=given, notes=tuple(notes))  # type: ignore[arg-type]

    @classmethod
    def from_ccxt_ohlcv(
        cls, rows: Sequence[Sequence[float]], symbol: str, timeframe: str, venue: str = ""
    ) -> MarketData:
        """What ccxt's ``fetch_ohlcv`` returns: rows of [ms, open, high, low, close, volume]."""
        from execkit.sources.ccxt_ohlcv import from_rows

        return from_rows(rows, symbol, timeframe, venue)

    @classmethod
    def load(cls, path: str | Path | Sequence[str | Path], symbol: str | None = None) -> MarketData:
        """Whatever is at `path`: a file, several, or a folder in any format of `execkit.sources`.

        `symbol` picks one market of a folder, or names the market of a file that does not. Raises
        `InvalidInput` if nothing is there and `InvalidData` if it is damaged or not understood.
        """
        from execkit.sources import open_path

        return open_path(path, symbol)

    # ---------------------------------------------------------------- asking

    @property
    def tables(self) -> dict[str, Table]:
        """The tables there are, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: table for kind, table in found.items() if table is not None}

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Symbols with at least one row in some table, in alphabetical order."""
        return tuple(sorted({s for table in self.tables.values() for s in table.present}))

    def span(self, symbol: str | None = None) -> tuple[int, int]:
        """First and last venue time (ns) of one symbol or of all; bars count to their close."""
        first, last = [], []
        for kind, table in self.tables.items():
            for name in [self._known(symbol)] if symbol is not None else list(table.present):
                ts = table.of(name)["ts_ns"]
                if len(ts):
                    first.append(int(ts[0]))
                    length = self.bar_interval_ns.get(name, 0) if kind == "bars" else 0
                    last.append(int(ts[-1]) + length)
        return min(first), max(last)

    def _known(self, symbol: str) -> str:
        name = normalise_symbol(symbol)
        if name not in self.symbols:
            raise InvalidInput("symbol", symbol, f"there is data of {', '.join(self.symbols)} only")
        return name

    def _need(self, kind: str, symbol: str) -> Table:
        table: Table | None = getattr(self, kind)
        name = self._known(symbol)
        rows = None if table is None else table.of(name)
        if rows is None or len(rows) == 0:
            raise InvalidInput("symbol", symbol, f"this market has no {kind} of it")
        return rows

    def check(self) -> MarketReport:
        """Everything doubtful about the data, reported and not repaired."""
        from execkit.checks import check_market

        return check_market(self)

    # ---------------------------------------------------------------- combining, cutting

    def combine(self, *others: MarketData) -> MarketData:
        """One market of several. The result does not depend on their order.

        Tables of one symbol and kind must continue one another: an overlap would count liquidity
        twice, so it is refused with `InvalidData`. ``seq`` stays comparable across tables
        (`shared_seq`) only if it is so in every part and no symbol's events come from two parts
        at once.
        """
        from execkit.combine import combine

        return combine((self, *others))

    def __add__(self, other: MarketData) -> MarketData:
        return self.combine(other)

    def select(
        self,
        symbols: str | Iterable[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> MarketData:
        """Some symbols, and times in [start_ns, end_ns).

        A depth table cut at its start begins with the book as it stood then, as a snapshot message
        at `start_ns`; quotes and prints before the start are simply left out.
        """
        from execkit.combine import select

        wanted = [symbols] if isinstance(symbols, str) else symbols
        names = self.symbols if wanted is None else tuple(self._known(s) for s in wanted)
        return select(self, names, start_ns, end_ns)

    def as_received(self) -> MarketData:
        """The same market by our clock: `local_ts_ns` as ``ts_ns``, as a live paper desk saw it."""
        from execkit.combine import as_received

        return as_received(self)

    def to_bars(self, interval: str | int) -> MarketData:
        """Bars of the prints of every symbol, starting at multiples of `interval` since 1970 UTC.

        Intervals without a print are omitted, as exchanges do. Off-book prints are left out. Volume
        is summed in whole lots, so it equals the exchange's to the last digit.
        """
        from execkit.combine import bars_from_prints

        return bars_from_prints(self, interval_ns(interval))

    # ---------------------------------------------------------------- the book

    def top_of_book(self, symbol: str) -> Table:
        """Quotes rebuilt from depth: a row per message after which the touch or its size changed.

        An empty side has price NaN and quantity 0.
        """
        from execkit import rebuild

        depth = self._need("depth", symbol)
        top = rebuild.touches(depth, units_of(self.instruments[self._known(symbol)]))
        values = np.column_stack([top.bid, top.ask, top.bid_quantity, top.ask_quantity])
        moved = np.ones(len(values), dtype=bool)
        same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        moved[1:] = ~same.all(axis=1)
        rows = top.start[moved]
        columns: dict[str, object] = {"ts_ns": depth["ts_ns"][rows], "seq": depth["seq"][rows]}
        names = ("bid", "ask", "bid_quantity", "ask_quantity")
        columns.update({name: values[moved, i] for i, name in enumerate(names)})
        if "local_ts_ns" in depth:
            columns["local_ts_ns"] = depth["local_ts_ns"][rows]
        venue = depth.venues[int(depth["venue"][0])]
        return build("quotes", columns, symbol=self._known(symbol), venue=venue)[0]

    def book_at(self, symbol: str, ts_ns: int) -> Book:
        """The book after every message with a venue time <= `ts_ns`; empty before the first."""
        from execkit import rebuild

        depth = self._need("depth", symbol)
        name = self._known(symbol)
        rows = int(np.searchsorted(depth["ts_ns"], int(ts_ns), side="right"))
        units = units_of(self.instruments[name])
        return Book(name, int(ts_ns), *rebuild.book_sides(depth.cut(slice(0, rows)), units))

    def aligned(self, symbols: str | Iterable[str] | None = None) -> MarketData:
        """The same market, its depth brought up to date by the quotes between two messages.

        `symbols` None takes all that have both tables; see `execkit.align` for the rules.
        """
        from execkit.align import aligned

        wanted = [symbols] if isinstance(symbols, str) else symbols
        return aligned(self, None if wanted is None else [self._known(s) for s in wanted])

    # ---------------------------------------------------------------- keeping, showing

    def to_parquet(self, folder: str | Path) -> Path:
        """Write a folder of Parquet files and a manifest, whole or not at all; `load` reads it."""
        from execkit.sources.native import write

        return write(self, Path(folder))

    def with_notes(self, *notes: Finding) -> MarketData:
        """The same data with more findings for `check` to repeat."""
        return replace(self, notes=(*self.notes, *notes))

    def summary(self) -> pd.DataFrame:
        """One row per symbol and table: rows, first and last time."""
        out = []
        for kind, table in self.tables.items():
            for symbol in table.present:
                rows = table.of(symbol)
                ends = from_ns(rows["ts_ns"][[0, -1]])
                venue = table.venues[int(rows["venue"][0])]
                out.append((symbol, kind, venue, len(rows), ends.iloc[0], ends.iloc[1]))
        return pd.DataFrame(out, columns=["symbol", "table", "venue", "rows", "first", "last"])

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(table):,} {kind}" for kind, table in self.tables.items())
        first, last = from_ns(list(self.span())).dt.strftime("%Y-%m-%d %H:%M:%S")
        shown = ", ".join(self.symbols[:4]) + (", ..." if len(self.symbols) > 4 else "")
        return f"<MarketData {shown}: {counts}; {first} to {last} UTC>"

    def _repr_html_(self) -> str:
        return str(self.summary().to_html(index=False, border=0))


def _revived(parts: dict[str, Any]) -> MarketData:
    return MarketData(**parts)
