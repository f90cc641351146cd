"""execkit's own folder: a Parquet file a table and a manifest, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.sources.base import guarded, pick
from execkit.tables import Finding, Table, build, join

MANIFEST = "manifest.json"
OPENING = "opening.parquet"
"""In a part of a recording: the books as they stood when it began."""
VERSION = 1


def write(market: MarketData, folder: Path) -> Path:
    """Write `market` to `folder`, replacing an earlier one; anything else there is refused."""
    return write_parts([market], folder)


def write_parts(parts: Iterable[MarketData], folder: Path) -> Path:
    """Write a market that comes in parts, each of which continues the one before: all of a
    symbol's rows in order of time, symbols in alphabetical order. One part is in memory at a time.

    Raises `InvalidInput` for a part that does not continue the one before, or that has another
    instrument, bar interval or set of columns. Everything is written beside the target, flushed,
    and renamed, so a crash leaves the old folder or the new one, and never half of either.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise InvalidInput(
            "folder", str(folder), "it exists and was not written by execkit: name a new folder"
        )
    try:
        return _write(parts, folder)
    except OSError as error:
        raise InvalidInput(
            "folder",
            str(folder),
            f"cannot be written ({error.strerror or error}), and was left as it was: make room, or "
            "name a folder you may write to",
        ) from error


def _write(parts: Iterable[MarketData], folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_tables(parts, fresh)
        for file in fresh.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            folder.rename(old / folder.name)
            fresh.rename(folder)
            shutil.rmtree(old)
        else:
            fresh.rename(folder)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)
    return folder


def _write_tables(parts: Iterable[MarketData], fresh: Path) -> None:
    writers: dict[str, pq.ParquetWriter] = {}
    ends: dict[str, tuple[str, int]] = {}
    manifest: dict[str, Any] = {}
    try:
        for number, market in enumerate(parts):
            for kind, table in market.tables.items():
                _check_continues(kind, table, ends, number)
                rows = to_arrow(table)
                if kind not in writers:
                    path = fresh / f"{kind}.parquet"
                    writers[kind] = pq.ParquetWriter(path, rows.schema, compression="zstd")
                writers[kind].write_table(rows)
            manifest = _merged(manifest, _manifest(market), number)
    finally:
        for writer in writers.values():
            writer.close()
    (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _check_continues(
    kind: str, table: Table, ends: dict[str, tuple[str, int]], number: int
) -> None:
    first = table.symbols[table["symbol"][0]], int(table["ts_ns"][0])
    if kind in ends and first < ends[kind]:
        raise InvalidInput(
            "parts",
            first,
            f"the {kind} of part {number} begin before those of an earlier part end: pass the "
            "parts by symbol, then by time",
        )
    ends[kind] = table.symbols[table["symbol"][-1]], int(table["ts_ns"][-1])


def _merged(old: dict[str, Any], new: dict[str, Any], number: int) -> dict[str, Any]:
    """The manifest of the parts so far and one more."""
    if not old:
        return new
    rows = {
        k: old["rows"].get(k, 0) + new["rows"].get(k, 0) for k in {**old["rows"], **new["rows"]}
    }
    found = {i["symbol"]: i for i in old["instruments"]}
    for one in new["instruments"]:
        if found.setdefault(one["symbol"], one) != one:
            raise InvalidInput(
                "parts",
                one["symbol"],
                f"part {number} describes it otherwise than an earlier part: give every part the "
                "same instrument",
            )
    steps = old["bar_interval_ns"] | new["bar_interval_ns"]
    if any(steps[s] != n for s, n in old["bar_interval_ns"].items()):
        raise InvalidInput("parts", steps, f"part {number} has bars of another interval")
    return {
        **old,
        "rows": rows,
        "shared_seq": old["shared_seq"] and new["shared_seq"],
        "bar_interval_ns": steps,
        "instruments": list(found.values()),
        "inferred": sorted({*old["inferred"], *new["inferred"]}),
        "notes": old["notes"] + new["notes"],
    }


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder says of its tables, without reading them."""

    rows: Mapping[str, int]
    shared_seq: bool
    bar_interval_ns: Mapping[str, int]
    instruments: Mapping[str, Instrument]
    inferred: frozenset[str]
    notes: tuple[Finding, ...]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises `InvalidData` if there is none, or none of this version."""
        file = folder / MANIFEST
        if not file.is_file():
            raise InvalidData(f"{folder} was not written by execkit: import the data first")
        found = guarded(file, lambda: json.loads(file.read_text(encoding="utf-8")))
        if not isinstance(found, dict) or found.get("execkit_market") != VERSION:
            raise InvalidData(
                f"{file} is not a manifest of version {VERSION}: import the data again"
            )
        instruments = [Instrument(**fields) for fields in found["instruments"]]
        return cls(
            rows=found["rows"],
            shared_seq=bool(found["shared_seq"]),
            bar_interval_ns=found["bar_interval_ns"],
            instruments={i.symbol: i for i in instruments},
            inferred=frozenset(found["inferred"]),
            notes=tuple(Finding(**fields) for fields in found["notes"]),
        )


class Native:
    """Reads what `write` wrote; the file sniffed is the manifest, the tables lie beside it."""

    name = "execkit"

    def sniff(self, path: Path) -> bool:
        return path.name == MANIFEST or (path.parent / MANIFEST).is_file()

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        folders = sorted({path.parent for path in paths})
        first = {folder.parent: folder for folder in reversed(folders)}
        parts = [_read(f, opened=first[f.parent] == f) for f in folders]
        return pick(parts[0].combine(*parts[1:]), symbol)


def _read(folder: Path, *, opened: bool) -> MarketData:
    """opened : whether no part goes before, so that the books have to be those of its opening."""
    manifest = Manifest.read(folder)
    tables: dict[str, Any] = {}
    for kind, rows in manifest.rows.items():
        part = folder / f"{kind}.parquet"
        if not part.is_file():
            raise InvalidData(f"{part} is missing: import the data again")
        table = guarded(part, pq.read_table, part)
        if len(table) != rows:
            raise InvalidData(f"{part} has {len(table)} rows, the manifest says {rows}")
        tables[kind] = from_arrow(kind, table)
    if opened and (folder / OPENING).is_file():
        books = from_arrow("depth", guarded(folder / OPENING, pq.read_table, folder / OPENING))
        tables["depth"] = join([books, tables["depth"]] if "depth" in tables else [books])
    return MarketData(
        **tables,
        instruments=manifest.instruments,
        shared_seq=manifest.shared_seq,
        bar_interval_ns=manifest.bar_interval_ns,
        notes=manifest.notes,
        inferred=manifest.inferred,
    )


def _manifest(market: MarketData) -> dict[str, object]:
    return {
        "execkit_market": VERSION,
        "rows": {kind: len(table) for kind, table in market.tables.items()},
        "shared_seq": market.shared_seq,
        "bar_interval_ns": dict(market.bar_interval_ns),
        "instruments": [
            {k: v if v is None else str(v) for k, v in asdict(i).items()}
            for i in market.instruments.values()
        ],
        "inferred": sorted(market.inferred),
        "notes": [asdict(note) for note in market.notes],
    }


def to_arrow(table: Table) -> pa.Table:
    """The rows as they are kept in a file."""
    columns = {}
    for name, values in table.columns.items():
        if name in ("symbol", "venue"):
            words = table.symbols if name == "symbol" else table.venues
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(values), list(words))
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def from_arrow(kind: str, table: pa.Table) -> Table:
    """A table of `kind` from rows as they are kept in a file."""
    table = table.unify_dictionaries()
    columns: dict[str, object] = {}
    labels = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name in ("symbol", "venue"):
            column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            labels[name] = np.asarray(column.indices), column.dictionary.to_pylist()
        else:
            columns[name] = np.asarray(column)
    return build(kind, columns, symbol=labels["symbol"], venue=labels["venue"])[0]


SOURCE = Native()
