"""MarketScan: a market on disk that is read piece by piece, for tapes larger than memory.

`simulate(orders, MarketScan(folder))` gives what `simulate(orders, MarketData.load(folder))` gives.
In memory at a time are one piece of the market, the orders and their fills; for that the market is
read twice, once to match and once for the prices that orders and fills are measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from execkit.errors import InvalidData, InvalidInput
from execkit.instruments import units_of
from execkit.market import MarketData
from execkit.matching import state as st
from execkit.matching.tape import ORDER, Piece, SymbolTape, best_of, empty_tape
from execkit.sources.native import Manifest, from_arrow
from execkit.tables import Table

LAST = st.INF - 1
"""The moment after which no piece follows."""


@dataclass(frozen=True, slots=True)
class Facts:
    """First and last time of a symbol's rows (of bars: their opens), highest quote, and venue."""

    first: int
    last: int
    highest: float
    venue: str


@dataclass(frozen=True, eq=False)
class MarketScan:
    """A folder written by `MarketData.to_parquet` or `sources.native.write_parts`.

    Parameters
    ----------
    folder : the folder. piece_rows : most rows of one table that are read at a time.

    Raises `InvalidData` if the folder is damaged or was not written by execkit.
    """

    folder: Path
    piece_rows: int = 1_000_000
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        if self.piece_rows < 1:
            raise InvalidInput("piece_rows", self.piece_rows, "use a whole number of rows, >= 1")
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "manifest", Manifest.read(self.folder))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols with an instrument, in alphabetical order."""
        return tuple(sorted(self.manifest.instruments))

    @cached_property
    def facts(self) -> dict[tuple[str, str], Facts]:
        """What is known of each kind of table and symbol; reads three columns, once."""
        found: dict[tuple[str, str], Facts] = {}
        for kind in self.manifest.rows:
            if kind in ORDER:
                self._look_through(kind, found)
        return found

    @cached_property
    def funding(self) -> Table | None:
        """Funding of all symbols, read whole: a few rows a day; None if the folder has none."""
        if "funding" not in self.manifest.rows:
            return None
        return from_arrow("funding", self._file("funding").read())

    def _look_through(self, kind: str, found: dict[tuple[str, str], Facts]) -> None:
        names = ["symbol", "venue", "ts_ns", *(("bid", "ask") if kind == "quotes" else ())]
        for batch in self._file(kind).iter_batches(self.piece_rows, columns=names):
            rows = pa.table(batch)
            ts = rows["ts_ns"].to_numpy()
            symbols = rows["symbol"].cast(pa.string()).to_numpy()
            for symbol in dict.fromkeys(symbols):
                at = np.flatnonzero(symbols == symbol)
                high = max((_highest(rows[n].to_numpy()[at]) for n in names[3:]), default=0.0)
                venue = str(rows["venue"][int(at[0])])
                old = found.get((kind, symbol), Facts(int(ts[at[0]]), 0, 0.0, venue))
                new = replace(old, last=int(ts[at[-1]]), highest=max(old.highest, high))
                found[kind, symbol] = new

    def tape(self, symbol: str, fidelity: str) -> SymbolTape:
        """The symbol's tape without its events: what is known of it before it is read."""
        known = {kind: self.facts.get((kind, symbol)) for kind in ORDER}
        spans = {kind: None if f is None else f.last - f.first for kind, f in known.items()}
        kind = best_of(spans, symbol, fidelity)
        kinds = (kind, "prints") if kind in ("depth", "quotes") else (kind,)
        parts = {k: f for k in kinds if (f := known[k]) is not None}
        last = max(f.last for f in parts.values())
        if kind == "bars":
            last += self.manifest.bar_interval_ns[symbol] - 1
        instrument = self.manifest.instruments[symbol]
        top = units_of(instrument).prices(np.array([parts[kind].highest]))[0]
        tape = empty_tape()._replace(
            ts=np.array([min(f.first for f in parts.values()), last]),
            quotes=np.array([[top], [1], [top], [1]]),
        )
        return SymbolTape(
            symbol=symbol,
            fidelity=kind,
            instrument=instrument,
            units=units_of(instrument),
            events=tape,
            levels=1,
            venue=parts[kind].venue,
            inferred=symbol in self.manifest.inferred,
            pieces=lambda: self.pieces(symbol, tuple(parts)),
        )

    def pieces(self, symbol: str, kinds: Sequence[str]) -> Iterator[Piece]:
        """The tables `kinds` of one symbol, piece by piece in order of time. Rows of one time are
        never parted, so a piece may be larger than `piece_rows` where many share one."""
        readers = {kind: self._batches(kind, symbol) for kind in kinds}
        held: dict[str, pa.Table | None] = dict.fromkeys(kinds)
        open_kinds = set(kinds)
        while open_kinds:
            short = {k for k in open_kinds if held[k] is None or _first(held[k]) == _last(held[k])}
            for kind in short:
                batch = next(readers[kind], None)
                if batch is None:
                    open_kinds.discard(kind)
                else:
                    held[kind] = (
                        batch if held[kind] is None else pa.concat_tables([held[kind], batch])
                    )
            if short and open_kinds & short:
                continue  # until each has rows of two times, or no more
            bound = min((_last(held[k]) for k in open_kinds), default=LAST)
            yield self._piece(symbol, held, bound)

    def _piece(self, symbol: str, held: dict[str, pa.Table | None], bound: int) -> Piece:
        tables: dict[str, Table] = {}
        for kind, rows in held.items():
            if rows is None:
                continue
            cut = (
                len(rows)
                if bound == LAST
                else int(np.searchsorted(rows["ts_ns"].to_numpy(), bound))
            )
            if cut:
                tables[kind] = from_arrow(kind, rows.slice(0, cut))
            held[kind] = rows.slice(cut) if cut < len(rows) else None
        m = self.manifest
        market = MarketData(
            **tables,  # type: ignore[arg-type]
            instruments={symbol: m.instruments[symbol]},
            shared_seq=m.shared_seq,
            bar_interval_ns={s: n for s, n in m.bar_interval_ns.items() if s == symbol},
        )
        on_bars = "bars" in held
        return Piece(market, bound if on_bars or bound == LAST else bound - 1)

    def _batches(self, kind: str, symbol: str) -> Iterator[pa.Table]:
        """Rows of one symbol, in the order of the file, at most `piece_rows` at a time."""
        file = self._file(kind)
        every = range(file.metadata.num_row_groups)
        groups = [i for i in every if _may_have(file.metadata.row_group(i), symbol)]
        for batch in file.iter_batches(batch_size=self.piece_rows, row_groups=groups):
            rows = pa.table(batch)
            mine = pa.compute.equal(rows["symbol"].cast(pa.string()), symbol)
            rows = rows.filter(mine)
            if len(rows):
                yield rows

    def _file(self, kind: str) -> pq.ParquetFile:
        path = self.folder / f"{kind}.parquet"
        if not path.is_file():
            raise InvalidData(f"{path} is missing: import the data again")
        return pq.ParquetFile(path, memory_map=True)


def _first(rows: pa.Table) -> int:
    return int(rows["ts_ns"][0].as_py())


def _last(rows: pa.Table) -> int:
    return int(rows["ts_ns"][-1].as_py())


def _highest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else 0.0


def _may_have(group: pq.RowGroupMetaData, symbol: str) -> bool:
    """Whether a row group may hold rows of a symbol, by what the file says of it."""
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema == "symbol" and column.statistics is not None:
            known = column.statistics
            return not known.has_min_max or known.min <= symbol <= known.max
    return True
