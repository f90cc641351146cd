"""The bundled sample: synthetic markets from a fixed seed, so that everything works offline.

Two folders, each in the layout that `MarketData.to_parquet` writes:

    book   BTCUSDT, ten minutes: one snapshot, 100 ms depth messages, public prints, one shared seq
    bars   BTCUSDT and ETHUSDT, one-minute bars over five days

When it lies: nobody traded this. The book is dense and refills at random, prints do not react to
it, there is no drift, no news and no toxic flow. It shows how the tools work and says nothing about
what an order costs; use recordings for that.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.tables import ASK, BID, BUY, SELL, Finding
from execkit.words import to_decimal

VERSION = "1"
NAMES = ("bars", "book")

START_NS = 1_767_967_200_000_000_000  # 2026-01-09 14:00 UTC
DAY_ZERO_NS = 1_767_571_200_000_000_000  # 2026-01-05 00:00 UTC, a Monday
_STEP_NS = 100_000_000
_LEVELS = 25
_TICKS_PER_UNIT, _LOTS_PER_UNIT = 2, 1000  # tick 0.5, lot 0.001

BTCUSDT = Instrument(
    symbol="BTCUSDT",
    tick_size=to_decimal("0.5", "tick_size"),
    lot_size=to_decimal("0.001", "lot_size"),
    base="BTC",
    quote="USDT",
    min_notional=to_decimal(5, "min_notional"),
)
ETHUSDT = Instrument(
    symbol="ETHUSDT",
    tick_size=to_decimal("0.05", "tick_size"),
    lot_size=to_decimal("0.01", "lot_size"),
    base="ETH",
    quote="USDT",
    min_notional=to_decimal(5, "min_notional"),
)


def path(name: str = "book") -> Path:
    """Folder of the sample "book" or "bars", ready for `MarketData.load`.

    In a source tree it is ``data/sample``; elsewhere it is generated once into the user's cache
    (``XDG_CACHE_HOME`` or ``~/.cache``), or, where that cannot be written, into a temporary
    directory that goes with the process.
    """
    if name not in NAMES:
        raise InvalidInput("name", name, f"use one of: {', '.join(NAMES)}")
    bundled = Path(__file__).resolve().parents[1] / "data" / "sample" / name
    if (bundled / "manifest.json").is_file():
        return bundled
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "execkit" / f"sample-{VERSION}" / name
    try:
        return folder if (folder / "manifest.json").is_file() else make(name).to_parquet(folder)
    except InvalidInput:  # no home, or one that cannot be written
        folder = Path(_temporary().name) / name
        return folder if folder.is_dir() else make(name).to_parquet(folder)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="execkit-sample-")


def make(name: str = "book") -> MarketData:
    """The sample itself, generated in memory; always the same."""
    if name not in NAMES:
        raise InvalidInput("name", name, f"use one of: {', '.join(NAMES)}")
    return make_book() if name == "book" else make_bars()


def make_book(minutes: int = 10, seed: int = 7) -> MarketData:
    """A BTCUSDT session of depth and prints around 60,000, as one feed (`shared_seq`)."""
    session = _Session(np.random.Generator(np.random.PCG64(seed)), minutes * 600)
    depth, prints = session.run()
    books = MarketData.from_depth(
        _columns(depth, "ts_ns seq local_ts_ns side price quantity is_snapshot"),
        symbol="BTCUSDT",
        venue="synthetic",
    )
    tape = MarketData.from_prints(
        _columns(prints, "ts_ns seq local_ts_ns price quantity aggressor"),
        symbol="BTCUSDT",
        venue="synthetic",
    )
    return MarketData(
        depth=books.depth,
        prints=tape.prints,
        instruments={"BTCUSDT": BTCUSDT},
        shared_seq=True,
        notes=(_label("depth", "BTCUSDT", len(depth)), _label("prints", "BTCUSDT", len(prints))),
    )


class _Session:
    """A toy order book on a grid of ticks, moved by a random walk and eaten by random orders."""

    def __init__(self, rng: np.random.Generator, steps: int) -> None:
        self.steps = steps
        self.draw = rng.random((steps + 1, 2 * _LEVELS + 24))
        calm = np.sin(np.arange(steps + 1) / 400.0) * 0.4 + 0.8  # slow waves of activity
        normal = self.draw[:, :12].sum(axis=1) - 6.0  # Irwin-Hall: no libm, so the same anywhere
        self.fair = 120_000.0 + np.cumsum(normal * calm * 1.1)
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.depth: list[tuple[float, ...]] = []
        self.prints: list[tuple[float, ...]] = []
        self.seq = 0

    def run(self) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        for step in range(self.steps + 1):
            changed = self.match(step) if step else set()
            self.quote(step, changed)
        return self.depth, self.prints

    def match(self, step: int) -> set[tuple[int, int]]:
        """Random taking orders between two messages; returns the levels they touched."""
        draw, touched = self.draw[step], set()
        for k in range(4):
            if draw[12 + 2 * k] > 0.14:
                continue
            lean = 0.5 + 0.2 * np.sign(self.fair[step] - self.fair[step - 1])
            buys = draw[13 + 2 * k] < lean
            lots = int(4 + 60 / (0.04 + draw[12 + 2 * k] / 0.14) ** 1.3 * draw[20 + k] ** 2)
            ts_ns = (
                START_NS + (step - 1) * _STEP_NS + (1 + k) * 20_000_000 + int(draw[20 + k] * 1e7)
            )
            touched |= self.take(ASK if buys else BID, lots, ts_ns, draw[20 + k])
        return touched

    def take(self, side: int, lots: int, ts_ns: int, draw: float) -> set[tuple[int, int]]:
        book, touched = self.sides[side], set()
        for tick in sorted((t for t in book if book[t]), reverse=side == BID):
            eaten = min(lots, book[tick])
            lots -= eaten
            book[tick] -= eaten
            touched.add((side, tick))
            self.seq += 1
            row = (ts_ns, self.seq, ts_ns + 4_000_000 + int(draw * 6e6), tick / _TICKS_PER_UNIT)
            self.prints.append((*row, eaten / _LOTS_PER_UNIT, BUY if side == ASK else SELL))
            if lots == 0:
                break
        return touched

    def quote(self, step: int, changed: set[tuple[int, int]]) -> None:
        """Move the book to the fair price and write one message of what became different."""
        draw = self.draw[step, 24:]
        bid = int(np.floor(self.fair[step] - 0.1 - 0.5 * self.draw[step, 11]))
        best = (bid, bid + 1 + int(self.draw[step, 0] < 0.2))
        self.seq += 1
        ts_ns = START_NS + step * _STEP_NS
        head = (ts_ns, self.seq, ts_ns + 4_000_000 + int(draw[0] * 6e6))
        for side in (BID, ASK):
            book, sign = self.sides[side], (-1 if side == BID else 1)
            wanted = [best[side] + sign * k for k in range(_LEVELS)]
            for tick in set(book) - set(wanted):
                changed.add((side, tick))
                book[tick] = 0
            for k, tick in enumerate(wanted):
                luck = float(draw[side * _LEVELS + k])
                if book.get(tick, 0) == 0 or luck < 0.1:
                    fresh = (luck * 10) % 1.0
                    book[tick] = 1 + int((250 + 120 * k) * (0.15 + 3.0 * fresh * fresh))
                    changed.add((side, tick))
        for side, tick in sorted(changed):
            size = self.sides[side][tick]
            row = (side, tick / _TICKS_PER_UNIT, size / _LOTS_PER_UNIT, int(step == 0))
            self.depth.append((*head, *row))
            if size == 0:
                del self.sides[side][tick]


def make_bars(days: int = 5, seed: int = 11) -> MarketData:
    """One-minute bars of BTCUSDT and ETHUSDT: correlated random walks with clustered volatility."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n, inner = days * 1440, 8
    common = _normal(rng, n * inner)
    parts = []
    for instrument, start, beta in ((BTCUSDT, 60_000.0, 1.0), (ETHUSDT, 3_000.0, 1.3)):
        tick, lot = float(instrument.tick_size), float(instrument.lot_size)
        burst = 0.6 + 1.6 * np.repeat(rng.random(n // 30) ** 3, 30)  # a draw per half hour
        shock = 0.8 * common + 0.6 * _normal(rng, n * inner)
        moves = shock.reshape(n, inner) * (beta * 2.0e-4 / inner**0.5 * burst)[:, None]
        walk = np.round(start * (1 + np.cumsum(moves.ravel())).reshape(n, inner) / tick) * tick
        opens = np.concatenate(([start], walk[:-1, -1]))
        volume = (0.3 + rng.random(n)) * burst * 900_000 / start * (1 + 2 * rng.random(n) ** 8)
        parts.append(
            MarketData.from_bars(
                {
                    "ts_ns": DAY_ZERO_NS + np.arange(n, dtype=np.int64) * 60_000_000_000,
                    "open": opens,
                    "high": np.maximum(walk.max(axis=1), opens),
                    "low": np.minimum(walk.min(axis=1), opens),
                    "close": walk[:, -1],
                    "volume": np.round(volume / lot) / round(1 / lot),
                },
                symbol=instrument.symbol,
                interval="1m",
                venue="synthetic",
                instruments=[instrument],
            )
        )
    market = parts[0].combine(*parts[1:])
    return market.with_notes(*(_label("bars", i.symbol, n) for i in (BTCUSDT, ETHUSDT)))


def _normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """n draws, close to normal, from sums of uniforms: the same on every platform."""
    return rng.random((n, 12)).sum(axis=1) - 6.0


def _columns(rows: list[tuple[float, ...]], names: str) -> dict[str, np.ndarray]:
    whole = {"ts_ns", "seq", "local_ts_ns", "side", "is_snapshot", "aggressor"}
    return {
        name: np.array([row[i] for row in rows], dtype=np.int64 if name in whole else np.float64)
        for i, name in enumerate(names.split())
    }


def _label(table: str, symbol: str, rows: int) -> Finding:
    detail = "synthetic: made by execkit.sample from a fixed seed, not recorded from any venue"
    return Finding("synthetic", "info", table, symbol, rows, -1, detail)
