"""execkit's own folder: a Parquet file a table and a manifest, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.sources.base import guarded, pick
from execkit.tables import Finding, Table, build

MANIFEST = "manifest.json"
VERSION = 1


def write(market: MarketData, folder: Path) -> Path:
    """Write `market` to `folder`, replacing an earlier one; anything else there is refused.

    Everything is written beside the target, flushed, and renamed, so a crash leaves the old folder
    or the new one, and never half of either.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise InvalidInput(
            "folder", str(folder), "it exists and was not written by execkit: name a new folder"
        )
    try:
        return _write(market, folder)
    except OSError as error:
        raise InvalidInput(
            "folder",
            str(folder),
            f"cannot be written ({error.strerror or error}), and was left as it was: make room, or "
            "name a folder you may write to",
        ) from error


def _write(market: MarketData, folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for kind, table in market.tables.items():
            pq.write_table(_to_arrow(table), fresh / f"{kind}.parquet", compression="zstd")
        (fresh / MANIFEST).write_text(json.dumps(_manifest(market), indent=1), encoding="utf-8")
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


class Native:
    """Reads what `write` wrote; the file sniffed is the manifest, the tables lie beside it."""

    name = "execkit"

    def sniff(self, path: Path) -> bool:
        return path.name == MANIFEST or (path.parent / MANIFEST).is_file()

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [_read(folder) for folder in sorted({path.parent for path in paths})]
        return pick(parts[0].combine(*parts[1:]), symbol)


def _read(folder: Path) -> MarketData:
    file = folder / MANIFEST
    manifest = guarded(file, lambda: json.loads(file.read_text(encoding="utf-8")))
    if not isinstance(manifest, dict) or manifest.get("execkit_market") != VERSION:
        raise InvalidData(f"{file} is not a manifest of version {VERSION}: import the data again")
    tables: dict[str, Any] = {}
    for kind, rows in manifest["rows"].items():
        part = folder / f"{kind}.parquet"
        if not part.is_file():
            raise InvalidData(f"{part} is missing: import the data again")
        table = guarded(part, pq.read_table, part)
        if len(table) != rows:
            raise InvalidData(f"{part} has {len(table)} rows, the manifest says {rows}")
        tables[kind] = _from_arrow(kind, table)
    instruments = [Instrument(**fields) for fields in manifest["instruments"]]
    return MarketData(
        **tables,
        instruments={i.symbol: i for i in instruments},
        shared_seq=bool(manifest["shared_seq"]),
        bar_interval_ns=manifest["bar_interval_ns"],
        notes=tuple(Finding(**fields) for fields in manifest["notes"]),
        inferred=frozenset(manifest["inferred"]),
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


def _to_arrow(table: Table) -> pa.Table:
    columns = {}
    for name, values in table.columns.items():
        if name in ("symbol", "venue"):
            words = table.symbols if name == "symbol" else table.venues
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(values), list(words))
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def _from_arrow(kind: str, table: pa.Table) -> Table:
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
