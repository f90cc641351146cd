"""Joining, cutting and aggregating `MarketData`; the work behind its methods of the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from execkit import rebuild
from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import merge_instruments, units_of
from execkit.market import MarketData
from execkit.tables import KINDS, SEQUENCED, Finding, Table, build, join

Ends = tuple[int, int, int, int]


def combine(parts: Iterable[MarketData]) -> MarketData:
    """See `MarketData.combine`."""
    markets = list(parts)
    if not all(isinstance(m, MarketData) for m in markets):
        raise InvalidInput("others", markets, "combine MarketData with MarketData")
    if len(markets) == 1:
        return markets[0]
    joined: dict[str, Table] = {}
    for kind in KINDS:
        tables = [m.tables[kind] for m in markets if kind in m.tables]
        _refuse_overlaps(kind, tables)
        if tables:
            joined[kind] = tables[0] if len(tables) == 1 else join(tables)
    steps: dict[str, int] = {}
    for market in markets:
        for symbol, step in market.bar_interval_ns.items():
            if steps.setdefault(symbol, step) != step:
                raise InvalidData(
                    f"bars of {symbol} last {steps[symbol]} ns in one part and {step} ns in "
                    "another: convert them to one interval first"
                )
    guesses = [{s: i for s, i in m.instruments.items() if s in m.inferred} for m in markets]
    given = [{s: i for s, i in m.instruments.items() if s not in m.inferred} for m in markets]
    return MarketData(
        **joined,
        instruments=merge_instruments(given, guesses),
        shared_seq=_share_seq(markets),
        bar_interval_ns=steps,
        notes=_merged_notes(n for m in markets for n in m.notes),
        inferred=frozenset().union(*guesses) - frozenset().union(*given),
    )


def select(
    market: MarketData, names: tuple[str, ...], start_ns: int | None, end_ns: int | None
) -> MarketData:
    """See `MarketData.select`."""
    kept: dict[str, Table] = {}
    for kind, table in market.tables.items():
        parts = []
        for name in names:
            rows = table.of(name)
            first = 0 if start_ns is None else np.searchsorted(rows["ts_ns"], start_ns)
            last = len(rows) if end_ns is None else np.searchsorted(rows["ts_ns"], end_ns)
            part = rows.cut(slice(int(first), max(int(first), int(last))))
            if kind == "depth" and first > 0 and start_ns is not None:
                part = _opened(market, name, rows.cut(slice(0, int(first))), part, start_ns)
            if len(part):
                parts.append(part)
        if parts:
            kept[kind] = join(parts)
    if not kept:
        raise InvalidInput(
            "select", (names, start_ns, end_ns), f"nothing is left; the data spans {market.span()}"
        )
    return MarketData(
        **kept,
        instruments={s: i for s, i in market.instruments.items() if s in names},
        inferred=market.inferred,
        shared_seq=market.shared_seq,
        bar_interval_ns={s: n for s, n in market.bar_interval_ns.items() if s in names},
        notes=tuple(n for n in market.notes if n.symbol in names),
    )


def as_received(market: MarketData) -> MarketData:
    """See `MarketData.as_received`. Raises `InvalidData` for rows that nobody noted the receipt
    of. Bars and funding, whose times are not those of a message, are as they were."""
    moved: dict[str, Any] = {}
    for kind, table in market.tables.items():
        if kind not in SEQUENCED:
            continue
        local = table.get("local_ts_ns", np.full(len(table), -1))
        if (local < 0).any():
            raise InvalidData(
                f"{int((local < 0).sum()):,} {kind} have no local_ts_ns: when they were received "
                "is not known, so use the market as it is, by the venue's clock"
            )
        columns = {**table.columns, "ts_ns": local}
        symbol = columns.pop("symbol"), list(table.symbols)
        venue = columns.pop("venue"), list(table.venues)
        moved[kind], _ = build(kind, columns, symbol=symbol, venue=venue)
    return replace(market, **moved)


def bars_from_prints(market: MarketData, step: int) -> MarketData:
    """See `MarketData.to_bars`."""
    if market.prints is None:
        raise InvalidInput("interval", step, "there are no prints to make bars of")
    columns: dict[str, list[np.ndarray]] = {}
    names = []
    for symbol in market.prints.present:
        rows = market.prints.of(symbol)
        rows = rows.cut(rows["off_book"] == 0)
        if len(rows) == 0:
            continue
        opened = rows["ts_ns"] // step * step
        start = np.concatenate(([0], np.flatnonzero(np.diff(opened)) + 1))
        price = rows["price"]
        lot = units_of(market.instruments[symbol]).quantity
        lots = np.rint(rows["quantity"] * lot).astype(np.int64)
        made = {
            "ts_ns": opened[start],
            "open": price[start],
            "high": np.maximum.reduceat(price, start),
            "low": np.minimum.reduceat(price, start),
            "close": price[np.append(start[1:], len(price)) - 1],
            "volume": np.add.reduceat(lots, start) / lot,
            "n_prints": np.diff(np.append(start, len(price))),
            "venue": rows["venue"][start],
        }
        for name, values in made.items():
            columns.setdefault(name, []).append(values)
        names.append(symbol)
    if not names:
        raise InvalidData("every print is off the book: there is nothing to make bars of")
    lengths = [len(values) for values in columns["ts_ns"]]
    codes = np.repeat(np.arange(len(names)), lengths)
    flat: dict[str, np.ndarray] = {name: np.concatenate(v) for name, v in columns.items()}
    venue = flat.pop("venue"), list(market.prints.venues)
    table, _ = build("bars", flat, symbol=(codes, names), venue=venue)
    return MarketData(
        bars=table,
        instruments={s: market.instruments[s] for s in names},
        inferred=market.inferred,
        bar_interval_ns=dict.fromkeys(names, step),
    )


def _opened(market: MarketData, name: str, before: Table, part: Table, start_ns: int) -> Table:
    """`part` with the book of `before` put in front as a snapshot message at `start_ns`."""
    bids, asks = rebuild.book_sides(before, units_of(market.instruments[name]))
    levels = np.concatenate([bids[::-1], asks[::-1]])
    if len(levels) == 0:
        return part
    n = len(levels)
    seq = int(part["seq"][0]) - 1 if len(part) else int(before["seq"][-1]) + 1
    # without a snapshot so far the book is not whole, and must not be passed off as one
    whole = int(before["is_snapshot"].max())
    columns: dict[str, object] = {
        "ts_ns": np.full(n, start_ns),
        "seq": np.full(n, seq),
        "side": np.repeat([0, 1], [len(bids), len(asks)]),
        "price": levels[:, 0],
        "quantity": levels[:, 1],
        "is_snapshot": np.full(n, whole),
    }
    if "local_ts_ns" in before:
        columns["local_ts_ns"] = np.full(n, before["local_ts_ns"][-1])
    for column in ("first_seq", "last_seq", "prev_seq"):
        if column in before:
            columns[column] = np.full(n, before[column][-1])
    venue = before.venues[int(before["venue"][0])]
    head, _ = build("depth", columns, symbol=name, venue=venue)
    return join([head, part]) if len(part) else head


def _merged_notes(notes: Iterable[Finding]) -> tuple[Finding, ...]:
    """Notes in a fixed order; those that differ in count and row alone are added up."""
    out: dict[tuple[str, ...], Finding] = {}
    for note in sorted(notes, key=repr):
        key = (note.kind, note.severity, note.table, note.symbol, note.detail)
        old = out.get(key)
        count = note.count + (old.count if old else 0)
        out[key] = replace(note, count=count, first_row=old.first_row if old else note.first_row)
    return tuple(out.values())


def _ends(table: Table, symbol: str) -> Ends:
    rows = table.of(symbol)
    seq = rows["seq"] if "seq" in rows else np.zeros(len(rows), dtype=np.int64)
    ts = rows["ts_ns"]
    return int(ts[0]), int(seq[0]), int(ts[-1]), int(seq[-1])


def _refuse_overlaps(kind: str, tables: list[Table]) -> None:
    """Funding may overlap where the venues differ; anything else of one symbol must not."""
    for symbol in sorted({s for t in tables for s in t.present}):
        holders = [t for t in tables if symbol in t.present]
        if kind == "funding":
            venues = [{t.venues[c] for c in np.unique(t.of(symbol)["venue"])} for t in holders]
            if sum(map(len, venues)) == len(set().union(*venues)):
                continue
        ends = sorted(_ends(t, symbol) for t in holders)
        for one, two in pairwise(ends):
            if one[2:] >= two[:2]:
                raise InvalidData(
                    f"two tables of {kind} of {symbol} overlap in time (one ends at {one[2]} ns, "
                    f"the other starts at {two[0]} ns), which would count liquidity twice: load "
                    "one folder or file of them, cut one with select(end_ns=...), or give one of "
                    "them another symbol"
                )


def _share_seq(markets: list[MarketData]) -> bool:
    eventful = [m for m in markets if any(kind in m.tables for kind in SEQUENCED)]
    if not all(m.shared_seq for m in eventful):
        return False
    for symbol in {s for m in eventful for s in m.symbols}:
        spans = []
        for market in eventful:
            held = [t for k, t in market.tables.items() if k in SEQUENCED and symbol in t.present]
            if held:
                ends = [_ends(t, symbol) for t in held]
                spans.append((min(e[0] for e in ends), max(e[2] for e in ends)))
        if any(one[1] >= two[0] for one, two in pairwise(sorted(spans))):
            return False
    return bool(eventful)
