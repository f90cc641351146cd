"""A simulated run on its way into the store: checked, as Arrow tables, with a digest of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from execkit import ingest, ingest_sql, storedb
from execkit.errors import InvalidInput
from execkit.schema import TABLES

DIGEST = "content_digest"
"""Key in ``runs.versions`` under which a simulated run keeps the digest of its content."""

_FOUND = (
    f"SELECT journal_id, json_extract_string(versions, '$.{DIGEST}') FROM runs WHERE run_id = ?"
)


def stage(
    run: Mapping[str, object], frames: Mapping[str, pd.DataFrame | None]
) -> tuple[str, str, dict[str, pa.Table]]:
    """(run_id, digest, rows per table) of a simulated run; `InvalidInput` for what does not fit."""
    run_id = str(run.get("run_id") or "")
    if not run_id:
        raise InvalidInput("run_id", run.get("run_id"), "name the run")
    head = {"mode": "paper", "venue": "", "market_id": run_id, **run, "run_id": run_id}
    versions = head.get("versions") or {}
    if not isinstance(versions, Mapping):
        raise InvalidInput("versions", versions, "pass a dictionary")
    params = head.get("params")
    if isinstance(params, Mapping):
        head["params"] = json.dumps(params, sort_keys=True, default=str)
    head["versions"] = json.dumps(dict(versions), sort_keys=True, default=str)
    constant = {k: head[k] for k in ("run_id", "mode", "venue", "market_id")}
    staged = {
        name: ingest.simulated(name, frame, constant)
        for name, frame in frames.items()
        if frame is not None
    }
    found = digest({"runs": _runs(head), **staged})
    head["versions"] = json.dumps({**versions, DIGEST: found}, sort_keys=True, default=str)
    return run_id, found, {"runs": _runs(head), **staged}


def save(
    db: duckdb.DuckDBPyConnection, run_id: str, found: str, staged: dict[str, pa.Table],
    replace: bool,
) -> None:  # fmt: skip
    """Insert a staged run inside the caller's transaction; nothing if it is there already."""
    for journal_id, there in db.execute(_FOUND, [run_id]).fetchall():
        if journal_id is not None:
            raise InvalidInput("run_id", run_id, "belongs to a journal; choose another")
        if there == found:
            return
        if not replace:
            fix = "a run with other content has this name: choose another run_id, or replace it "
            raise InvalidInput("run_id", run_id, fix + "with save(store, replace=True)")
    for name in TABLES:
        db.execute(f"DELETE FROM {name} WHERE run_id = ?", [run_id])
    with storedb.staged_tables(db, staged):
        for name in staged:
            db.execute(f"INSERT INTO {name} BY NAME SELECT * FROM staged_{name}")
    db.execute(ingest_sql.SIMULATED_STATES, {"run_id": run_id})


def digest(tables: Mapping[str, pa.Table]) -> str:
    """Hex digest of rows in their order; columns without a value do not count."""
    out = hashlib.blake2b(digest_size=16)
    for name in sorted(tables):
        out.update(f"{name} {tables[name].num_rows};".encode())
        for column, values in zip(tables[name].column_names, tables[name].columns, strict=True):
            if values.null_count < len(values):
                out.update(f"{column};".encode())
                _add(out, values)
    return out.hexdigest()


def _add(out: hashlib.blake2b, column: pa.ChunkedArray) -> None:
    out.update(np.packbits(np.asarray(pc.is_null(column), dtype=bool)).tobytes())
    if not pa.types.is_string(column.type):
        zero = False if pa.types.is_boolean(column.type) else 0
        out.update(np.asarray(pc.fill_null(column, zero)).tobytes())
        return
    filled = pc.fill_null(column, "")
    out.update(np.asarray(pc.binary_length(filled)).tobytes())
    for chunk in filled.chunks:
        _, offsets, text = chunk.buffers()
        if text is None:
            continue
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        out.update(memoryview(text)[ends[0] : ends[-1]])


def _runs(head: Mapping[str, object]) -> pa.Table:
    return ingest.frame_to_arrow("runs", pd.DataFrame([head]), {})
