"""From `MarketData` to the `Tape` of one symbol: one fidelity, one order of events, integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import Units, units_of
from execkit.kept import Kept
from execkit.market import MarketData
from execkit.matching import state as st
from execkit.matching.bar_table import Bars, whole_bars
from execkit.matching.tape_merge import all_positive, depth_rows, mark, merge
from execkit.matching.whole import LARGEST
from execkit.tables import Table

Fidelity = Literal["auto", "depth", "quotes", "prints", "bars"]
ORDER: tuple[str, ...] = ("depth", "quotes", "prints", "bars")  # best first


class Piece(NamedTuple):
    """Part of a symbol's time: `market` holds every event up to and including `until` (on bars,
    before it) that no earlier piece held."""

    market: MarketData
    until: int


@dataclass(frozen=True, eq=False)
class SymbolTape:
    """One symbol's tape with what is needed to read its integers.

    events : the tape, or None where there are `bars`: then it is made only if somebody asks for it.
    levels : upper bound of the number of levels of one book side. inferred : whether tick and lot
    were read off the data rather than given. kept : indexes and other things made of this tape.
    A tape that is larger than memory has `pieces`, which reads it from its start; `events` then has
    only the first and last time and, of quotes, the highest.
    """

    symbol: str
    fidelity: str
    instrument: Instrument
    units: Units
    events: st.Tape | None
    levels: int
    venue: str
    inferred: bool
    pieces: Callable[[], Iterator[Piece]] | None = None
    bars: Bars | None = None
    kept: Kept = field(default_factory=Kept, init=False, repr=False)

    @property
    def tape(self) -> st.Tape:
        if self.events is not None:
            return self.events
        assert self.bars is not None  # one of the two is there
        return self.kept.once("tape", self.bars.tape)

    @property
    def ends_ns(self) -> tuple[int, int]:
        """Time of the first and of the last event."""
        if self.bars is not None:
            return self.bars.ends_ns
        return int(self.tape.ts[0]), int(self.tape.ts[-1])

    def check_volume(self) -> None:
        """Refuse bars without volume to a model that gives a share of it."""
        if self.bars is not None:
            self.kept.once("volume", lambda: check_volume(self.tape, self.symbol))


def choose_fidelity(market: MarketData, symbol: str, fidelity: str) -> str:
    """The fidelity to use; `InvalidInput` if the symbol has no such table."""
    return best_of({kind: _span(market, kind, symbol) for kind in ORDER}, symbol, fidelity)


def best_of(spans: Mapping[str, int | None], symbol: str, fidelity: str) -> str:
    """The fidelity to use where a table spans so many nanoseconds (None: there is none)."""
    have = [kind for kind in ORDER if spans[kind] is not None]
    if fidelity == "auto":
        if not have:
            raise InvalidInput(
                "market", symbol, "has no depth, quotes, prints or bars of this symbol"
            )
        # a lone snapshot beside an hour of prints is not a book to trade on for an hour
        longest = max(span for span in spans.values() if span is not None)
        return next(kind for kind in have if 2 * (spans[kind] or 0) >= longest)
    if fidelity not in ORDER:
        raise InvalidInput("fidelity", fidelity, f"use one of: auto, {', '.join(ORDER)}")
    if fidelity not in have:
        raise InvalidInput(
            "fidelity", fidelity, f"{symbol} has only {', '.join(have) or 'nothing'}"
        )
    return fidelity


@runtime_checkable
class TapeSource(Protocol):
    """A market that knows its tapes without having read them."""

    @property
    def symbols(self) -> tuple[str, ...]: ...

    def tape(self, symbol: str, fidelity: str) -> SymbolTape: ...


def build_tape(market: MarketData | TapeSource, symbol: str, fidelity: str = "auto") -> SymbolTape:
    """The tape of one symbol, made once for a market: nothing in it changes, so runs share it.

    Raises `InvalidInput` for a symbol that the market does not have, and for bars whose interval
    is unknown (a single bar and none given).
    """
    if symbol not in market.symbols:
        raise InvalidInput("symbol", symbol, f"the market has: {', '.join(market.symbols)}")
    if not isinstance(market, MarketData):
        return market.tape(symbol, fidelity)
    kind = choose_fidelity(market, symbol, fidelity)
    return market.kept.once(("tape", symbol, kind), lambda: _build(market, symbol, kind))


def _build(market: MarketData, symbol: str, kind: str) -> SymbolTape:
    instrument = market.instruments[symbol]
    units = units_of(instrument)
    main = _table(market, kind, symbol)
    assert main is not None  # choose_fidelity saw it
    venue = main.venues[main["venue"][0]] if len(main) and main.venues else ""
    known = (symbol, kind, instrument, units)
    inferred = symbol in market.inferred
    if kind == "bars":
        bars = _bars(main, units, market.bar_interval_ns.get(symbol), symbol)
        return SymbolTape(*known, None, 1, venue, inferred, bars=bars)
    tape = events_of(market, symbol, kind, units)
    levels = _how_many(tape.depth[1]) if kind == "depth" else 1
    return SymbolTape(*known, tape, levels, venue, inferred)


def events_of(market: MarketData, symbol: str, kind: str, units: Units) -> st.Tape:
    """The events of one symbol in running order. Raises `InvalidData` for impossible prices."""
    main = _table(market, kind, symbol)
    prints = _table(market, "prints", symbol) if kind != "bars" else None
    if prints is not None and "off_book" in prints and prints["off_book"].any():
        prints = prints.cut(prints["off_book"] == 0)
    if kind == "bars":
        assert main is not None
        return _bars(main, units, market.bar_interval_ns.get(symbol), symbol).tape()
    for table in (main, prints):
        if table is not None and table.kind != "quotes":
            _check_prices(table, symbol)
        if table is not None:
            _check_sizes(table, units, symbol)
    return _feed(kind, main, prints, units, market.shared_seq)


def empty_tape() -> st.Tape:
    """A tape without events."""
    none = np.zeros(0, dtype=np.int64)
    return st.Tape(ts=none, kind=none.astype(np.int8), at=none, **_empty())


def check_volume(tape: st.Tape, symbol: str) -> None:
    """Refuse bars without volume to a model that gives a share of it."""
    if np.isnan(tape.volume).any():
        raise InvalidInput(
            "volume",
            math.nan,
            f"some bars of {symbol} have no volume, so a share of it is unknown: use a "
            "FillModel with participation=None",
        )


def _check_prices(table: Table, symbol: str) -> None:
    """Refuse prices that nothing can trade at: a fill at 0 or NaN is not a fill."""
    names = ("open", "high", "low", "close") if table.kind == "bars" else ("price",)
    if table.kind != "bars" and all_positive(table["price"]):
        return
    bad = np.zeros(len(table), dtype=bool)
    for name in names:
        bad |= ~(np.isfinite(table[name]) & (table[name] > 0))
    if table.kind == "bars":
        bad |= (table["high"] < np.maximum(table["open"], table["close"])) | (
            table["low"] > np.minimum(table["open"], table["close"])
        )
    if bad.any():
        first = int(np.argmax(bad))
        values = ", ".join(f"{name} {table[name][first]:g}" for name in names)
        raise InvalidData(
            f"the {table.kind} of {symbol} have {int(bad.sum()):,} rows that nothing can trade at, "
            f"the first at ts_ns {int(table['ts_ns'][first])} ({values}): leave such rows out "
            "before simulating; MarketData.check() lists what else is doubtful"
        )


def _check_sizes(table: Table, units: Units, symbol: str) -> None:
    """Refuse quantities that no int64 of units holds: they would come out below zero."""
    for name in ("quantity", "bid_quantity", "ask_quantity"):
        if name not in table:
            continue
        if table[name].max(initial=0.0) * units.quantity <= LARGEST:  # false where there is a NaN
            continue
        huge = (table[name] * units.quantity > LARGEST) & np.isfinite(table[name])
        if huge.any():
            first = int(np.argmax(huge))
            raise InvalidData(
                f"the {table.kind} of {symbol} have a {name} of {table[name][first]:g} at ts_ns "
                f"{int(table['ts_ns'][first])}, more than {LARGEST / units.quantity:.3g}, the most "
                "with so fine a lot: give the market the venue's own Instrument"
            )


def _span(market: MarketData, kind: str, symbol: str) -> int | None:
    """Nanoseconds from the first to the last row; None without a table."""
    table = _table(market, kind, symbol)
    return None if table is None else int(table["ts_ns"][-1] - table["ts_ns"][0])


def _table(market: MarketData, kind: str, symbol: str) -> Table | None:
    table: Table | None = getattr(market, kind)
    if table is None or symbol not in table.present:
        return None
    return table.of(symbol)


def _empty() -> dict[str, np.ndarray]:
    return {
        "depth": np.zeros((5, 0), dtype=np.int64),
        "quotes": np.zeros((4, 0), dtype=np.int64),
        "prints": np.zeros((3, 0), dtype=np.int64),
        "bars": np.zeros((4, 0), dtype=np.int64),
        "volume": np.zeros(0),
    }


def _bars(table: Table, units: Units, interval: int | None, symbol: str) -> Bars:
    bars = whole_bars(table.columns, (interval or 1) - 1, units.price, units.quantity)
    if bars is None:
        _check_prices(table, symbol)
    if interval is None:
        raise InvalidInput("interval", None, "give the length of the bars: from_bars(interval=...)")
    assert bars is not None  # else the check of prices has told what is wrong
    return bars


def _feed(
    kind: str, main: Table | None, prints: Table | None, units: Units, shared: bool
) -> st.Tape:
    """Book or quotes with their prints, or prints alone, in running order."""
    parts = _empty()
    tables = []
    if prints is not None:
        parts["prints"] = np.stack(
            [
                units.prices(prints["price"]),
                units.quantities(prints["quantity"]),
                prints["aggressor"].astype(np.int64),
            ]
        )
        tables.append((prints, st.PRINT))
    if kind == "depth" and main is not None:
        parts["depth"] = _depth(main, units)
        tables.append((main, st.DEPTH))
    elif kind == "quotes" and main is not None:
        parts["quotes"] = _quotes(main, units)
        tables.append((main, st.QUOTE))
    n = sum(len(t) for t, _ in tables)
    ts, at = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    kinds = np.empty(n, dtype=np.int8)
    (first, code), (other, other_code) = tables[0], tables[-1]
    none = slice(0, 0 if len(tables) == 1 else None)
    merge(
        first["ts_ns"],
        first["seq"],
        other["ts_ns"][none],
        other["seq"][none],
        shared,
        (code, other_code),
        ts,
        kinds,
        at,
    )
    return st.Tape(ts=ts, kind=kinds, at=at, **parts)


def _how_many(prices: np.ndarray) -> int:
    """Number of different prices, at least 1."""
    if len(prices) == 0:
        return 1
    low, high = int(prices.min()), int(prices.max())
    if high - low > 1 << 24:
        return len(np.unique(prices))
    there = np.zeros(high - low + 1, dtype=np.int8)
    mark(prices, low, there)
    return int(np.count_nonzero(there))


def _depth(depth: Table, units: Units) -> np.ndarray:
    out = np.empty((5, len(depth)), dtype=np.int64)
    depth_rows(
        depth["ts_ns"],
        depth["seq"],
        depth["side"],
        depth["price"],
        depth["quantity"],
        depth["is_snapshot"],
        units.price,
        units.quantity,
        out,
    )
    return out


def _quotes(quotes: Table, units: Units) -> np.ndarray:
    rows = []
    for side in ("bid", "ask"):
        price, size = quotes[side], quotes[f"{side}_quantity"]
        good = np.isfinite(price) & (price > 0) & np.isfinite(size) & (size > 0)
        rows += [
            np.where(good, units.prices(price), 0),
            np.where(good, np.maximum(units.quantities(size), 0), 0),
        ]
    return np.stack(rows)
