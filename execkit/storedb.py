"""Statements on one open store file: opening, making, filing a batch, its watermark."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from execkit import ingest, ingest_sql
from execkit.errors import InvalidData, InvalidInput
from execkit.schema import SCHEMA_VERSION, ddl

# DuckDB would fetch an extension over the network, and run it, for a file that looks like another
# database, or for a query that names a URL.
_CONFIG = {"autoinstall_known_extensions": "false"}


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt in DuckDB too, which makes an error of its own from it."""
    try:
        yield
    except (RuntimeError, duckdb.InterruptException) as error:
        if "interrupt" not in str(error).lower():
            raise
        raise KeyboardInterrupt from error


def connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    # DuckDB 2 wants each result read to its end: fetchall, never fetchone.
    db = duckdb.connect(str(path), read_only=read_only, config=_CONFIG)
    db.execute("SET TimeZone='UTC'; SET python_enable_replacements=false")
    return db


def make(path: Path) -> None:
    """An empty store at `path`, complete and closed."""
    # A file in the default format of DuckDB 2 cannot be opened by 1.5, which shares desks with it.
    newer = int(duckdb.__version__.split(".")[0]) >= 2
    config = {"storage_compatibility_version": "v1.5.0"} if newer else {}
    with duckdb.connect(str(path), config=_CONFIG | config) as db:
        os.chmod(path, 0o600)
        for statement in ddl():
            db.execute(statement)
    settle(path)


def settle(path: Path) -> None:
    """Fold the log into the file at `path`, or raise: a close on a full disk fails in silence."""
    with duckdb.connect(str(path), config=_CONFIG) as db:
        db.execute("CHECKPOINT")


def check_version(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        found = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
    except duckdb.CatalogException:
        found = []
    if not found:
        raise InvalidData(f"{path} is a DuckDB file, but not an execkit store: choose another path")
    if found[0][0] != str(SCHEMA_VERSION):
        raise InvalidData(
            f"{path} has schema {found[0][0]}, this execkit has {SCHEMA_VERSION}: run `execkit "
            "store rebuild`, or upgrade execkit"
        )


@contextmanager
def staged_tables(db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    for name, table in tables.items():
        db.register(f"staged_{name}", table)
    yield
    for name in tables:
        db.unregister(f"staged_{name}")


def watermark(db: duckdb.DuckDBPyConnection, journal_id: str) -> tuple[int, str]:
    query = "SELECT seq, hash FROM watermarks WHERE journal_id = ?"
    rows = db.execute(query, [journal_id]).fetchall()
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "")


def file_batch(
    db: duckdb.DuckDBPyConnection, staged: dict[str, pa.Table], journal_id: str
) -> dict[str, tuple[int, int]]:
    """Insert one prepared batch; per table (rows offered, rows added)."""
    for name in ("order_events", "fills"):
        staged.setdefault(name, ingest.empty(name))
    me = {"journal_id": journal_id}
    count = " UNION ALL ".join(f"SELECT '{t}', count(*) FROM {t}" for t in staged)
    before = dict(db.execute(count).fetchall())
    with staged_tables(db, staged):
        for (taken,) in db.execute(ingest_sql.names_taken(staged)).fetchall():
            raise InvalidInput("run_id", taken, ingest_sql.NAME_TAKEN)
        if "runs" in staged:
            db.execute(ingest_sql.RUNS)
        db.execute(ingest_sql.stub_runs(staged), me)
        if "orders" in staged:
            db.execute(ingest_sql.ORDERS)
        db.execute(ingest_sql.OWNERS, me)
        db.execute(ingest_sql.ORDER_EVENTS)
        db.execute(ingest_sql.NEW_FILLS)
        db.execute(ingest_sql.KNOWN_ORPHANS, me)
        db.execute(ingest_sql.FILLS)
        for name in staged.keys() - {"runs", "orders", "order_events", "fills"}:
            text = ingest_sql.MARKET if name == "quotes" else ingest_sql.PLAIN
            db.execute(text.format(table=name))
        db.execute(ingest_sql.STATES)
    after = dict(db.execute(count).fetchall())
    return {t: (staged[t].num_rows, after[t] - before[t]) for t in staged}


def set_watermark(db: duckdb.DuckDBPyConnection, journal_id: str, seq: int, digest: str) -> None:
    db.execute("DELETE FROM watermarks WHERE journal_id = ?", [journal_id])
    db.execute("INSERT INTO watermarks VALUES (?, ?, ?)", [journal_id, seq, digest])
