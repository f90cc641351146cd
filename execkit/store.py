"""The analytic store: DuckDB tables and views, fed from journals and simulations.

DuckDB admits one read-write process or several readers, and refuses even a reader while a writer
lives. So nobody holds the file: each write is open, one transaction, close; each read opens
read-only for one query; both retry while somebody else has it. If a DuckDB shell keeps the file for
hours, trading goes on in the journal and the ingest catches up. All that a journal put here can be
made again from it; simulated runs live only here and are carried over by `rebuild`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from execkit import ingest, ingest_sql
from execkit.errors import InvalidData, InvalidInput, JournalCorrupt, StoreCorrupt
from execkit.journal import Journal
from execkit.schema import SCHEMA_VERSION, TABLES, ddl
from execkit.storefile import (
    IngestReport,
    StoreReport,
    exclusive,
    is_users,
    quoted,
    remove,
    retry,
    thread_lock,
    translated,
)

FILE_NAME = "execkit.duckdb"
BATCH = 20_000


class Store:
    """The DuckDB file at `path`, or ``execkit.duckdb`` in a desk directory.

    Made on first use if it is not there. Nothing is held open between calls, so an instance may be
    shared by threads, and pickled or forked at will.

    Parameters
    ----------
    path : file or existing directory.
    read_timeout_s, write_timeout_s : how long to retry while somebody else has the file.

    Raises (all methods)
    --------------------
    StoreLocked : another process, or a connection of this one, has the file; names it.
    StoreCorrupt : the file cannot be read; the message says how to rebuild it.
    InvalidInput, InvalidData : no permission, not a DuckDB file, not a store of this version.
    RetryLater : the disk is full; nothing was half-written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_timeout_s: float = 10.0,
        write_timeout_s: float = 30.0,
    ) -> None:
        given = Path(path)
        self.path = given / FILE_NAME if os.path.isdir(given) else given
        self.read_timeout_s, self.write_timeout_s = read_timeout_s, write_timeout_s

    # -- reading ----------------------------------------------------------------------------

    def sql(
        self, query: str, params: Sequence[object] | Mapping[str, object] | None = None
    ) -> pd.DataFrame:
        """The answer to one query, read-only. Times are int64 nanoseconds, as stored.

        `params` fill ``?`` or ``$name``. Raises `InvalidInput` for a query that DuckDB refuses.
        """
        with self._reading() as db:
            try:
                return db.execute(query, params).df()
            except duckdb.Error as error:
                if is_users(error):
                    raise InvalidInput("query", query, str(error).strip()) from None
                raise

    def tables(self) -> dict[str, int]:
        """Rows per table."""
        union = " UNION ALL ".join(f"SELECT '{t}', count(*) FROM {t}" for t in TABLES)
        with self._reading() as db:
            return dict(db.execute(union).fetchall())

    # -- writing ----------------------------------------------------------------------------

    def ingest(self, journal: Journal, *, batch: int = BATCH) -> IngestReport:
        """Bring in what the journal holds now beyond the watermark; again, it changes nothing.

        Batches of `batch` rows, each one transaction together with its watermark, so that it may
        be killed at any moment and several processes may do it at once. Rows appended meanwhile
        are the next call's. Raises `JournalCorrupt` when the journal lost what was ingested, and
        `InvalidInput` when a run in it has the name of a simulated one: they would be mixed.
        """
        started, end = time.perf_counter(), journal.last_seq()
        with self._reading() as db:
            seq, digest = _watermark(db, journal.journal_id)
        first, added, repeated = seq, dict.fromkeys(TABLES, 0), 0
        while True:
            if journal.hash_at(seq) != (digest or journal.hash_at(0)):
                raise JournalCorrupt(
                    f"{journal.path}: row {seq} is not the one that {self.path.name} was fed; rows "
                    "were lost or replaced. Compare with the venue, then `execkit store rebuild`"
                )
            if seq >= end:
                break
            records = list(journal.read(seq, limit=min(batch, end - seq)))
            staged = ingest.prepare(records)
            with self._writing() as db:
                now = _watermark(db, journal.journal_id)
                if now != (seq, digest):  # another process was faster
                    seq, digest = now
                    continue
                counts = _file(db, staged, journal.journal_id)
                seq, digest = records[-1].seq, records[-1].hash
                _set_watermark(db, journal.journal_id, seq, digest)
            for name, (rows, new) in counts.items():
                added[name] += new
                repeated += rows - new if name in ("orders", "fills") else 0
        took = time.perf_counter() - started
        return IngestReport(journal.journal_id, first, seq, added, repeated, took)

    def save_simulation(
        self,
        run: Mapping[str, object],
        orders: pd.DataFrame,
        fills: pd.DataFrame,
        positions: pd.DataFrame | None = None,
        equity: pd.DataFrame | None = None,
        quotes: pd.DataFrame | None = None,
    ) -> str:
        """Put a simulated run into the same tables that live runs use; return its run_id.

        Parameters
        ----------
        run : `run_id` (required), `mode` ("paper"), `venue`, `strategy_id`, `market_id` (the market
            it is measured against, default its own `quotes`), `started_ns`, `params`, `versions`.
        orders, fills, ... : frames with the columns of `execkit.schema.TABLES`; others are left
            out, missing ones NULL.

        A run_id that is already there is replaced as a whole, so that saving twice is saving once.
        A run_id that came from a journal is refused. One transaction: all of it or nothing.
        """
        run_id = str(run.get("run_id") or "")
        if not run_id:
            raise InvalidInput("run_id", run.get("run_id"), "name the run")
        ingest.check_simulation(orders, fills)
        head = {"mode": "paper", "venue": "", "market_id": run_id, **run, "run_id": run_id}
        for name in ("params", "versions"):
            if isinstance(head.get(name), Mapping):
                head[name] = json.dumps(head[name], sort_keys=True, default=str)
        frames = {"orders": orders, "fills": fills, "positions": positions}
        frames |= {"equity": equity, "quotes": quotes}
        staged = {"runs": ingest.frame_to_arrow("runs", pd.DataFrame([head]), {})}
        constant = {k: head[k] for k in ("run_id", "mode", "venue", "market_id")}
        for name, frame in frames.items():
            if frame is not None:
                staged[name] = ingest.simulated(name, frame, constant)
        with self._writing() as db:
            owner = "SELECT journal_id FROM runs WHERE run_id = ? AND journal_id IS NOT NULL"
            if db.execute(owner, [run_id]).fetchall():
                raise InvalidInput("run_id", run_id, "belongs to a journal; choose another")
            for name in TABLES:
                db.execute(f"DELETE FROM {name} WHERE run_id = ?", [run_id])
            with _staged(db, staged):
                for name in staged:
                    db.execute(f"INSERT INTO {name} BY NAME SELECT * FROM staged_{name}")
            db.execute(ingest_sql.SIMULATED_STATES, {"run_id": run_id})
        return run_id

    def rebuild(self, journal: Journal) -> IngestReport:
        """Make the file anew from the journal, beside the old one, and put it in its place.

        Simulated runs, calibrations and what other journals brought are copied from the old file
        if it can be read; one that cannot is kept as ``<name>.broken``. A simulated run whose name
        a run of the journal has is left behind: the journal is the authority.
        """
        journal.verify()
        fresh = self.path.with_name(f"{self.path.name}.rebuild-{os.getpid()}")
        with exclusive(self.path, self.write_timeout_s):
            try:
                remove(fresh)
                _make(fresh)
                report = Store(fresh).ingest(journal, batch=5 * BATCH)
                if os.path.exists(self.path):
                    self._carry_over(fresh, journal.journal_id)
                    remove(self.path.with_name(self.path.name + ".wal"))
                os.replace(fresh, self.path)
            finally:
                remove(fresh)
        return report

    def check(self, journal: Journal) -> StoreReport:
        """Verify the journal's chain, and that its orders and fills are here, once, and equal.

        Only rows up to the watermark are compared; `StoreReport.pending` counts the others.
        """
        journal.verify()
        with self._reading() as db:
            seq, digest = _watermark(db, journal.journal_id)
            problems = []
            if journal.hash_at(seq) != (digest or journal.hash_at(0)):
                problems.append(f"journal row {seq} is not the one the store was fed")
            db.execute(ingest_sql.EXPECTED)
            rows = (r for r in journal.read(0, ("fill", "intent")) if r.seq <= seq)
            while chunk := list(islice(rows, BATCH)):
                staged = ingest.prepare(chunk)
                for name in staged.keys() & ingest_sql.EXPECT.keys():
                    with _staged(db, {name: staged[name]}):
                        db.execute(ingest_sql.EXPECT[name])
            found = db.execute(ingest_sql.COMPARE, {"journal_id": journal.journal_id}).fetchall()
        counts = {"fills": 0, "orders": 0} | {name: int(number) for name, number in found}
        faults = ("missing", "doubled", "different", "extra")
        problems += [f"{counts[n]} {n} rows of orders or fills" for n in faults if counts[n]]
        last, repeated = journal.last_seq(), counts["repeated"]
        fills, orders = counts["fills"], counts["orders"]
        return StoreReport(journal.journal_id, last, seq, fills, orders, repeated, problems)

    # -- inside -----------------------------------------------------------------------------

    def _carry_over(self, fresh: Path, journal_id: str) -> None:
        """Copy what does not come from this journal; set what cannot be read aside."""
        log = self.path.with_name(self.path.name + ".wal")
        with thread_lock(self.path, self.write_timeout_s), _connect(fresh, False) as db:
            try:
                self._copy_old(db, journal_id)
                return
            except (StoreCorrupt, InvalidInput):
                # Each close folds the log into the file, so the file alone is whole, and at most
                # one write behind: a full disk can leave a log that DuckDB 2.0 does not replay.
                has_log = log.exists()
            if has_log:
                os.replace(log, log.with_name(log.name + ".broken"))
                with suppress(StoreCorrupt, InvalidInput):
                    self._copy_old(db, journal_id)
                    return
        os.replace(self.path, self.path.with_name(self.path.name + ".broken"))

    def _copy_old(self, db: duckdb.DuckDBPyConnection, journal_id: str) -> None:
        attach = f"ATTACH '{quoted(self.path)}' AS old (READ_ONLY)"
        retry(lambda: db.execute(attach), duckdb.Error, self.path, self.write_timeout_s)
        owned = "run_id IN (SELECT run_id FROM old.runs WHERE journal_id = $1)"
        db.execute("BEGIN")
        try:
            db.execute(ingest_sql.REPLACED)
            for name in (*TABLES, "watermarks"):
                there = {r[0] for r in db.execute(f"DESCRIBE old.{name}").fetchall()}
                here = [r[0] for r in db.execute(f"DESCRIBE {name}").fetchall()]
                columns = ", ".join(f'"{c}"' for c in here if c in there)
                ours = "journal_id = $1" if name in ("runs", "watermarks") else owned
                ours += " OR run_id IN (FROM replaced)" if "run_id" in here else ""
                db.execute(
                    f"INSERT INTO {name} ({columns}) SELECT {columns} FROM old.{name} "
                    f"WHERE NOT coalesce({ours}, false)",
                    [journal_id],
                )
            db.execute("COMMIT")
        except duckdb.Error as error:
            db.execute("ROLLBACK")
            missing = isinstance(error, duckdb.CatalogException)
            raise (StoreCorrupt(str(error)) if missing else translated(error, self.path)) from error
        finally:
            db.execute("DETACH old")

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._ensure()
        with self._connected(True, self.read_timeout_s) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction on the open file: committed at the end, or nothing of it."""
        self._ensure()
        wait = self.write_timeout_s
        with exclusive(self.path, wait), self._connected(False, wait) as db:
            db.execute("BEGIN")
            yield db
            db.execute("COMMIT")

    def _ensure(self) -> None:
        if os.path.exists(self.path):
            return
        with exclusive(self.path, self.write_timeout_s):
            if os.path.exists(self.path):
                return
            fresh = self.path.with_name(f"{self.path.name}.new-{os.getpid()}")
            try:
                _make(fresh)
                os.replace(fresh, self.path)
            except duckdb.Error as error:
                raise translated(error, self.path) from error
            finally:
                remove(fresh)

    @contextmanager
    def _connected(self, read_only: bool, timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        with thread_lock(self.path, timeout_s):
            db = retry(lambda: _connect(self.path, read_only), duckdb.Error, self.path, timeout_s)
            try:
                _check_version(db, self.path)
                yield db
            except duckdb.Error as error:
                raise translated(error, self.path) from error
            finally:
                db.close()


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    # DuckDB 2 wants each result read to its end: fetchall, never fetchone.
    db = duckdb.connect(str(path), read_only=read_only)
    db.execute("SET TimeZone='UTC'; SET python_enable_replacements=false")
    return db


def _make(path: Path) -> None:
    """An empty store at `path`, complete and closed."""
    # A file in the default format of DuckDB 2 cannot be opened by 1.5, which shares desks with it.
    newer = int(duckdb.__version__.split(".")[0]) >= 2
    config = {"storage_compatibility_version": "v1.5.0"} if newer else {}
    with duckdb.connect(str(path), config=config) as db:
        os.chmod(path, 0o600)
        for statement in ddl():
            db.execute(statement)


def _check_version(db: duckdb.DuckDBPyConnection, path: Path) -> None:
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
def _staged(db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    for name, table in tables.items():
        db.register(f"staged_{name}", table)
    yield
    for name in tables:
        db.unregister(f"staged_{name}")


def _watermark(db: duckdb.DuckDBPyConnection, journal_id: str) -> tuple[int, str]:
    query = "SELECT seq, hash FROM watermarks WHERE journal_id = ?"
    rows = db.execute(query, [journal_id]).fetchall()
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "")


def _file(
    db: duckdb.DuckDBPyConnection, staged: dict[str, pa.Table], journal_id: str
) -> dict[str, tuple[int, int]]:
    """Insert one prepared batch; per table (rows offered, rows added)."""
    for name in ("order_events", "fills"):
        staged.setdefault(name, ingest.empty(name))
    me = {"journal_id": journal_id}
    count = " UNION ALL ".join(f"SELECT '{t}', count(*) FROM {t}" for t in staged)
    before = dict(db.execute(count).fetchall())
    with _staged(db, staged):
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


def _set_watermark(db: duckdb.DuckDBPyConnection, journal_id: str, seq: int, digest: str) -> None:
    db.execute("DELETE FROM watermarks WHERE journal_id = ?", [journal_id])
    db.execute("INSERT INTO watermarks VALUES (?, ?, ?)", [journal_id, seq, digest])
