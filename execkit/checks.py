"""What is doubtful about market data: found and reported, never repaired.

Thresholds are module constants, so a report can be understood from its text alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from execkit import rebuild
from execkit.clock import NS_PER_MS, NS_PER_S
from execkit.domain import Instrument
from execkit.instruments import units_of
from execkit.market import MarketData
from execkit.tables import Finding, Severity, Table

ABSURD_SHARE = 0.5
"""A price further than this from the median of its neighbours is absurd."""

NEIGHBOURS = 21
"""Rows in the rolling median."""

SILENCE_NS = 60 * NS_PER_S
"""A pause of quotes, prints or depth is reported when longer than this and 50 median steps."""

_RANK = {"error": 0, "warning": 1, "info": 2}
_TITLES = ("severity", "kind", "table", "symbol", "count", "first_row", "detail")


@dataclass(frozen=True, slots=True)
class MarketReport:
    """Findings, gravest first. `ok` is True when none of them is an error."""

    findings: tuple[Finding, ...]
    title: str = ""

    @property
    def ok(self) -> bool:
        return not any(f.severity == "error" for f in self.findings)

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Findings of one kind."""
        return tuple(f for f in self.findings if f.kind == kind)

    def frame(self) -> pd.DataFrame:
        """One row per finding."""
        rows = [[getattr(f, name) for name in _TITLES] for f in self.findings]
        return pd.DataFrame(rows, columns=list(_TITLES))

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.title}\nnothing doubtful found"
        shown = [
            (f.severity, f.kind, f.table, f.symbol, f"{f.count:,}", f.detail) for f in self.findings
        ]
        table = [("severity", "kind", "table", "symbol", "count", "detail"), *shown]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = []
        for row in table:
            words = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=False)]
            lines.append("  ".join([*words, row[4].rjust(widths[4]), row[5]]))
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.title)}</p>" + str(self.frame().to_html(index=False, border=0))


def check_market(market: MarketData) -> MarketReport:
    """All checks over all tables and symbols; what was noticed while loading comes along."""
    found = list(market.notes)
    for kind, table in market.tables.items():
        for symbol in table.present:
            scribe = _Scribe(kind, symbol, table.rows(symbol).start)
            rows = table.of(symbol)
            for check in _CHECKS[kind]:
                check(scribe, rows, market)
            found += scribe.findings
    found.sort(key=lambda f: (_RANK[f.severity], f.table, f.symbol, f.kind))
    return MarketReport(tuple(found), repr(market)[1:-1])


class _Scribe:
    """Notes findings of one table and symbol; rows are positions in the whole table."""

    def __init__(self, table: str, symbol: str, offset: int) -> None:
        self.table, self.symbol, self.offset = table, symbol, offset
        self.findings: list[Finding] = []

    def note(
        self, kind: str, severity: Severity, bad: np.ndarray, detail: str, *, count: int = -1
    ) -> None:
        """Report rows marked True (or positions) in `bad`, if there are any."""
        rows = np.flatnonzero(bad) if bad.dtype == bool else bad
        if len(rows):
            n = len(rows) if count < 0 else count
            first = int(rows[0]) + self.offset
            self.findings.append(Finding(kind, severity, self.table, self.symbol, n, first, detail))

    def state(self, kind: str, severity: Severity, count: int, detail: str) -> None:
        """Report something that is not about single rows."""
        row = Finding(kind, severity, self.table, self.symbol, count, -1, detail)
        self.findings.append(row)


Check = Callable[[_Scribe, Table, MarketData], None]


def _later(columns: np.ndarray) -> np.ndarray:
    """Row differences with a leading 0, so positions fit the table."""
    return np.diff(columns, prepend=columns[:1])


def _same_as_before(rows: Table, names: tuple[str, ...]) -> np.ndarray:
    same = np.ones(max(len(rows) - 1, 0), dtype=bool)
    for name in names:
        column = rows[name]
        both_nan = (column[1:] != column[1:]) & (column[:-1] != column[:-1])
        same &= (column[1:] == column[:-1]) | both_nan
    return np.concatenate(([False], same))


# -------------------------------------------------------------------- time


def _bar_times(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    step = market.bar_interval_ns.get(scribe.symbol)
    gaps = _later(rows["ts_ns"])
    scribe.note(
        "duplicate_time", "error", np.flatnonzero(gaps[1:] == 0) + 1, "two bars start at once"
    )
    if not step:
        return
    holes = gaps > step
    if holes.any():
        absent = int((gaps[holes] // step - 1).sum())
        detail = (
            f"{absent:,} bars are absent in {int(holes.sum()):,} holes, the longest of "
            f"{_duration(int(gaps.max()))}; exchanges omit intervals without a trade"
        )
        scribe.note("gaps", "info", holes, detail, count=absent)
    scribe.note(
        "odd_times", "warning", gaps % step != 0, f"steps that are no multiple of {_duration(step)}"
    )


def _event_times(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    ts = rows["ts_ns"]
    starts = rebuild.message_starts(rows) if scribe.table == "depth" else np.arange(len(rows))
    gaps = _later(ts[starts])
    steps = gaps[1:][gaps[1:] > 0]
    ties = starts[1:][gaps[1:] == 0]
    scribe.note("ties", "info", ties, "rows share the time of the row in front; seq orders them")
    if len(steps):
        limit = max(SILENCE_NS, 50 * int(np.median(steps)))
        detail = f"pauses over {_duration(limit)}, the longest of {_duration(int(gaps.max()))}"
        scribe.note("silence", "info", starts[gaps > limit], detail)


def _clock(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    if "local_ts_ns" not in rows:
        return
    starts = rebuild.message_starts(rows) if scribe.table == "depth" else np.arange(len(rows))
    if scribe.table == "depth" and rows["is_snapshot"].min() == 0:
        # among deltas a snapshot is filed under the update it contains, not under its arrival
        starts = starts[rows["is_snapshot"][starts] == 0]
    local = rows["local_ts_ns"][starts]
    lag = (local - rows["ts_ns"][starts])[local > 0] / NS_PER_MS
    # a constant difference says that one time was derived from the other
    if len(lag) == 0 or np.ptp(lag) == 0:
        return
    least, median = float(np.quantile(lag, 0.01)), float(np.median(lag))
    behind = least < 0
    detail = (
        f"local - exchange time: median {median:,.1f} ms, lowest percentile {least:,.1f} ms; if "
        f"the fastest messages take no time, the local clock is {abs(least):,.1f} ms "
        f"{'behind' if behind else 'ahead, at most'}"
    )
    scribe.state("clock_offset", "warning" if behind else "info", len(lag), detail)
    back = starts[1:][np.diff(local) < 0]
    scribe.note("local_time_back", "info", back, "local time runs backwards")


def _duration(ns: int) -> str:
    seconds = ns / NS_PER_S
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


# -------------------------------------------------------------------- prices and sizes


def _bar_prices(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    o, h, low, c = (rows[name] for name in ("open", "high", "low", "close"))
    every = np.column_stack([o, h, low, c])
    scribe.note(
        "bad_price",
        "error",
        ~(np.isfinite(every) & (every > 0)).all(axis=1),
        "a price is not above 0",
    )
    with np.errstate(invalid="ignore"):
        broken = (h < np.maximum(o, c)) | (low > np.minimum(o, c)) | (h < low)
    scribe.note("ohlc", "error", broken, "open or close lies outside low..high")
    for name in ("open", "high", "low", "close"):
        _absurd(scribe, rows[name], name)
    volume = rows["volume"]
    scribe.note("bad_quantity", "error", volume < 0, "negative volume")
    scribe.note("no_volume", "warning", np.isnan(volume), "volume is unknown (NaN)")
    _grid(scribe, rows, market.instruments[scribe.symbol], ("open", "high", "low", "close"), ())


def _quote_prices(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    bid, ask = rows["bid"], rows["ask"]
    one_sided = np.isnan(bid) | np.isnan(ask)
    scribe.note("one_sided", "warning", one_sided, "bid or ask is absent")
    scribe.note("bad_price", "error", (bid <= 0) | (ask <= 0), "a price is not above 0")
    scribe.note("crossed", "error", bid > ask, "bid above ask: the spread is negative")
    scribe.note("locked", "warning", bid == ask, "bid equals ask: the spread is 0")
    _absurd(scribe, bid, "bid")
    _absurd(scribe, ask, "ask")
    sizes = np.minimum(rows["bid_quantity"], rows["ask_quantity"])
    scribe.note(
        "bad_quantity", "warning", ~(sizes > 0) & ~one_sided, "a quoted quantity is not above 0"
    )
    names = ("ts_ns", "bid", "ask", "bid_quantity", "ask_quantity")
    scribe.note("duplicates", "info", _same_as_before(rows, names), "same as the row in front")
    _grid(
        scribe,
        rows,
        market.instruments[scribe.symbol],
        ("bid", "ask"),
        ("bid_quantity", "ask_quantity"),
    )


def _print_prices(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    price, on_book = rows["price"], rows["off_book"] == 0
    scribe.note("off_book", "warning", ~on_book, "prints that did not happen on the book")
    scribe.note("bad_price", "error", ~(np.isfinite(price) & (price > 0)), "a price is not above 0")
    _absurd(scribe, price, "price")
    quantity = rows["quantity"]
    scribe.note(
        "bad_quantity",
        "error",
        ~(np.isfinite(quantity) & (quantity > 0)),
        "quantity is not above 0",
    )
    unknown = rows["aggressor"] == 2
    scribe.note("no_aggressor", "info", unknown, "the aggressor's side is unknown")
    _grid(scribe, rows, market.instruments[scribe.symbol], ("price",), ("quantity",))


def _absurd(scribe: _Scribe, prices: np.ndarray, name: str) -> None:
    series = pd.Series(prices)
    usual = series.rolling(NEIGHBOURS, center=True, min_periods=1).median().to_numpy()
    with np.errstate(invalid="ignore"):
        bad = np.abs(prices - usual) > ABSURD_SHARE * np.abs(usual)
    detail = f"{name} is over {ABSURD_SHARE:.0%} from the median of its {NEIGHBOURS} neighbours"
    scribe.note("absurd_price", "error", bad, detail)


def _grid(
    scribe: _Scribe,
    rows: Table,
    instrument: Instrument,
    prices: tuple[str, ...],
    quantities: tuple[str, ...],
) -> None:
    """Values that are no multiple of the instrument's tick or lot."""
    for names, size, word in (
        (prices, instrument.tick_size, "tick"),
        (quantities, instrument.lot_size, "lot"),
    ):
        for name in names:
            steps = rows[name] / float(size)
            with np.errstate(invalid="ignore"):
                off = np.abs(steps - np.rint(steps)) > 1e-6 * np.maximum(1, np.abs(steps))
            scribe.note("off_grid", "warning", off, f"{name} is no multiple of the {word} {size}")


# -------------------------------------------------------------------- sequences and the book


def _trade_ids(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    if "trade_id" not in rows:
        names = ("ts_ns", "price", "quantity", "aggressor")
        detail = "same as the row in front; without trade ids this may be two equal trades"
        scribe.note("duplicates", "info", _same_as_before(rows, names), detail)
        return
    first = rows["trade_id"]
    last = rows.get("last_trade_id", first)
    known = (first[1:] >= 0) & (last[:-1] >= 0)
    step = np.where(known, first[1:] - last[:-1], 1)
    scribe.note("duplicates", "error", np.flatnonzero(step == 0) + 1, "a trade id appears twice")
    if len(step) and np.median(step) == 1:
        holes = step > 1
        missing = int((step[holes] - 1).sum())
        detail = f"{missing:,} trade ids are missing in {int(holes.sum()):,} places"
        scribe.note("sequence_gap", "error", np.flatnonzero(holes) + 1, detail, count=missing)
        back = step < 0
        scribe.note("sequence_back", "warning", np.flatnonzero(back) + 1, "trade ids run backwards")


def _depth_ids(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    starts = rebuild.message_starts(rows)
    snapshot = rows["is_snapshot"][starts] == 1
    if not snapshot.any():
        detail = "no snapshot: the book is built of deltas alone and lacks what was there before"
        scribe.state("missing_snapshot", "warning", 1, detail)
    else:
        before = starts[: int(np.argmax(snapshot))]
        scribe.note("before_snapshot", "warning", before, "deltas come before the first snapshot")
    if "last_seq" not in rows:
        return
    first, last = rows["first_seq"][starts], rows["last_seq"][starts]
    previous = rows["prev_seq"][starts] if "prev_seq" in rows else np.full(len(starts), -1)
    linked = previous[1:] >= 0
    after_snapshot = snapshot[:-1]
    exact = np.where(linked, previous[1:] == last[:-1], first[1:] == last[:-1] + 1)
    joined = np.where(linked, previous[1:] <= last[:-1], first[1:] <= last[:-1] + 1)
    broken = ~np.where(after_snapshot, joined, exact) & ~snapshot[1:]
    broken &= (last[:-1] >= 0) & (last[1:] >= 0)
    detail = "the update ids of a message do not follow those of the one in front"
    scribe.note("sequence_gap", "error", starts[1:][broken], detail)


def _book(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    price, quantity = rows["price"], rows["quantity"]
    scribe.note("bad_price", "error", ~(np.isfinite(price) & (price > 0)), "a price is not above 0")
    scribe.note("bad_quantity", "error", ~(quantity >= 0), "quantity is negative or not a number")
    names = ("ts_ns", "seq", "side", "price")
    scribe.note(
        "duplicates", "warning", _same_as_before(rows, names), "a level appears twice in a message"
    )
    instrument = market.instruments[scribe.symbol]
    _grid(scribe, rows, instrument, ("price",), ("quantity",))
    top = rebuild.touches(rows, units_of(instrument))
    ready = top.from_snapshot if top.from_snapshot.any() else np.ones(len(top.start), dtype=bool)
    scribe.note(
        "crossed",
        "error",
        top.start[ready & (top.bid > top.ask)],
        "the rebuilt bid is above the ask",
    )
    scribe.note(
        "locked",
        "warning",
        top.start[ready & (top.bid == top.ask)],
        "the rebuilt bid equals the ask",
    )
    empty = np.isnan(top.bid) | np.isnan(top.ask)
    scribe.note(
        "one_sided", "warning", top.start[ready & empty], "a side of the rebuilt book is empty"
    )


def _funding_rates(scribe: _Scribe, rows: Table, market: MarketData) -> None:
    rate = rows["rate"]
    scribe.note("bad_rate", "error", ~np.isfinite(rate), "the rate is not a number")
    scribe.note("absurd_rate", "warning", np.abs(rate) > 0.05, "over 5 % per period")
    for code in np.unique(rows["venue"]):
        ts = rows["ts_ns"][rows["venue"] == code]
        steps = np.diff(ts)
        if len(steps) and (steps > 3 * np.median(steps)).any():
            detail = f"{rows.venues[code]}: longest pause {_duration(int(steps.max()))}"
            holes = np.flatnonzero(steps > 3 * np.median(steps)) + 1
            scribe.state("gaps", "warning", len(holes), detail)
        twice = int((steps == 0).sum())
        if twice:
            scribe.state(
                "duplicates", "error", twice, f"{rows.venues[code]}: two rates at one time"
            )


_CHECKS: dict[str, tuple[Check, ...]] = {
    "bars": (_bar_times, _bar_prices),
    "quotes": (_event_times, _clock, _quote_prices),
    "prints": (_event_times, _clock, _print_prices, _trade_ids),
    "depth": (_event_times, _clock, _depth_ids, _book),
    "funding": (_funding_rates,),
}
