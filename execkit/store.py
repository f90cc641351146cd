"""The analytic store: DuckDB tables and views, fed from journals and simulations.

DuckDB admits one read-write process or several readers, and refuses even a reader while a writer
lives. So nobody holds the file: each write is open, one transaction, close; each read opens
read-only for one query; both retry while somebody else has it. If a DuckDB shell keeps the file for
hours, trading goes on in the journal and the ingest catches up. All that a journal put here can be
made again from it; simulated runs live only here and are carried over by `rebuild`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace as changed
from functools import partial
from itertools import islice
from pathlib import Path

import duckdb
import pandas as pd

from execkit import ingest, ingest_sql, storedb, storesim, storesql
from execkit.errors import InvalidInput, JournalCorrupt, StoreCorrupt
from execkit.journal import Journal
from execkit.schema import TABLES
from execkit.storefile import (
    IngestReport,
    StoreReport,
    ctrl_c_after,
    exclusive,
    quoted,
    remove,
    retry,
    set_aside,
    thread_lock,
    translated,
)

FILE_NAME = "execkit.duckdb"
BATCH = 20_000


class Store:
    """The DuckDB file at `path`, or ``execkit.duckdb`` in a desk directory.

    Made by the first write if it is not there; a read makes nothing. Nothing is held open between
    calls, so an instance may be shared by threads, and pickled or forked at will.

    Parameters
    ----------
    path : a desk directory, or a DuckDB file. What does not exist yet is a file if it ends in
        ``.duckdb`` or ``.db``, else a directory.
    read_timeout_s, write_timeout_s : how long to retry while somebody else has the file.

    Raises (all methods)
    --------------------
    StoreLocked : another process, or a connection of this one, has the file; names it.
    StoreCorrupt : the file cannot be read; the message says how to rebuild it.
    InvalidInput, InvalidData : no permission, no store (reads), not a DuckDB file, not a store of
        this version.
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
        is_file = given.suffix in (".duckdb", ".db") or os.path.exists(given)
        desk = os.path.isdir(given) or not is_file
        self.path = given / FILE_NAME if desk else given
        self.read_timeout_s, self.write_timeout_s = read_timeout_s, write_timeout_s

    # -- reading ----------------------------------------------------------------------------

    def sql(
        self, query: str, params: Sequence[object] | Mapping[str, object] | None = None
    ) -> pd.DataFrame:
        """The answer to one query, read-only. Times are int64 nanoseconds, as stored.

        `params` fill ``?`` or ``$name``. Raises `InvalidInput` for a query that DuckDB refuses,
        that writes (files too), or that is not exactly one statement.
        """
        with self._reading() as db:
            storesql.check_query(db, query)
            try:
                with ctrl_c_after(db.interrupt):
                    return db.execute(query, params).df()
            except duckdb.Error as error:
                if storesql.is_users(error, self.path):
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
        self._ensure()
        started, end = time.perf_counter(), journal.last_seq()
        with self._reading() as db:
            seq, digest = storedb.watermark(db, journal.journal_id)
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
                now = storedb.watermark(db, journal.journal_id)
                if now != (seq, digest):  # another process was faster
                    seq, digest = now
                    continue
                counts = storedb.file_batch(db, staged, journal.journal_id)
                seq, digest = records[-1].seq, records[-1].hash
                storedb.set_watermark(db, journal.journal_id, seq, digest)
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
        *,
        replace: bool = False,
    ) -> str:
        """Put a simulated run into the same tables that live runs use; return its run_id.

        Parameters
        ----------
        run : `run_id` (required), `mode` ("paper"), `venue`, `strategy_id`, `market_id` (the market
            it is measured against, default its own `quotes`), `started_ns`, `params`, `versions`.
        orders, fills, ... : frames with the columns of `execkit.schema.TABLES`; others are left
            out, missing ones NULL.
        replace : put it in the place of a simulated run of the same name with other content.

        The same content again changes nothing: ``runs.versions`` keeps a digest of it. Raises
        `InvalidInput` for other content under a run_id that is there, and for a run_id that came
        from a journal. One transaction: all of it or nothing.
        """
        frames = {"orders": orders, "fills": fills, "positions": positions}
        frames |= {"equity": equity, "quotes": quotes}
        if run.get("run_id"):
            ingest.check_simulation(orders, fills)
        run_id, digest, staged = storesim.stage(run, frames)
        with self._writing() as db:
            storesim.save(db, run_id, digest, staged, replace)
        return run_id

    def rebuild(self, journal: Journal) -> IngestReport:
        """Make the file anew from the journal, beside the old one, and put it in its place.

        Simulated runs, calibrations and what other journals brought are copied from the old file
        if it can be read; one that cannot is kept as ``<name>.broken``, and the report names it:
        its simulated runs cannot come back. A simulated run whose name a run of the journal has is
        left behind: the journal is the authority.
        """
        journal.verify()
        fresh = self.path.with_name(f"{self.path.name}.rebuild-{os.getpid()}")
        with exclusive(self.path, self.write_timeout_s):
            try:
                remove(fresh)
                with storedb.interruptible():
                    storedb.make(fresh)
                    report = Store(fresh).ingest(journal, batch=5 * BATCH)
                    if os.path.exists(self.path):
                        aside = self._carry_over(fresh, journal.journal_id)
                        report = changed(report, set_aside=str(aside or ""))
                    storedb.settle(fresh)
                    Store(fresh).tables()  # it opens, and it is whole
                remove(self.path.with_name(self.path.name + ".wal"))
                os.replace(fresh, self.path)
            except duckdb.Error as error:
                raise translated(error, fresh) from error
            finally:
                remove(fresh)
        return report

    def check(self, journal: Journal) -> StoreReport:
        """Verify the journal's chain, and that its orders and fills are here, once, and equal.

        Only rows up to the watermark are compared; `StoreReport.pending` counts the others.
        """
        journal.verify()
        if not os.path.exists(self.path):
            return StoreReport(journal.journal_id, journal.last_seq(), 0, 0, 0, 0)
        with self._reading() as db:
            seq, digest = storedb.watermark(db, journal.journal_id)
            problems = []
            if journal.hash_at(seq) != (digest or journal.hash_at(0)):
                problems.append(f"journal row {seq} is not the one the store was fed")
            db.execute(ingest_sql.EXPECTED)
            rows = (r for r in journal.read(0, ("fill", "intent")) if r.seq <= seq)
            while chunk := list(islice(rows, BATCH)):
                staged = ingest.prepare(chunk)
                for name in staged.keys() & ingest_sql.EXPECT.keys():
                    with storedb.staged_tables(db, {name: staged[name]}):
                        db.execute(ingest_sql.EXPECT[name])
            found = db.execute(ingest_sql.COMPARE, {"journal_id": journal.journal_id}).fetchall()
        counts = {"fills": 0, "orders": 0} | {name: int(number) for name, number in found}
        faults = ("missing", "doubled", "different", "extra")
        problems += [f"{counts[n]} {n} rows of orders or fills" for n in faults if counts[n]]
        last, repeated = journal.last_seq(), counts["repeated"]
        fills, orders = counts["fills"], counts["orders"]
        return StoreReport(journal.journal_id, last, seq, fills, orders, repeated, problems)

    # -- inside -----------------------------------------------------------------------------

    def _carry_over(self, fresh: Path, journal_id: str) -> Path | None:
        """Copy what does not come from this journal; where is the file that cannot be read?"""
        log = self.path.with_name(self.path.name + ".wal")
        with thread_lock(self.path, self.write_timeout_s), storedb.connect(fresh, False) as db:
            try:
                self._copy_old(db, journal_id)
                return None
            except (StoreCorrupt, InvalidInput):
                # Each close folds the log into the file, so the file alone is whole, and at most
                # one write behind: a full disk can leave a log that DuckDB 2.0 does not replay.
                has_log = log.exists()
            if has_log:
                set_aside(log)
                with suppress(StoreCorrupt, InvalidInput):
                    self._copy_old(db, journal_id)
                    return None
        return set_aside(self.path)

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
        if not os.path.exists(self.path):
            fix = "there is no store yet; name a desk that has one, or save a run or ingest first"
            raise InvalidInput("path", str(self.path), fix)
        with self._connected(True, self.read_timeout_s) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction on the open file: committed at the end, or nothing of it."""
        self._ensure()
        wait = self.write_timeout_s
        with exclusive(self.path, wait), self._connected(False, wait) as db, ctrl_c_after():
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
                with storedb.interruptible():
                    storedb.make(fresh)
                os.replace(fresh, self.path)
            except duckdb.Error as error:
                raise translated(error, self.path) from error
            finally:
                remove(fresh)

    @contextmanager
    def _connected(self, read_only: bool, timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        with thread_lock(self.path, timeout_s), storedb.interruptible():
            opening = partial(storedb.connect, self.path, read_only)
            db = retry(opening, duckdb.Error, self.path, timeout_s)
            try:
                storedb.check_version(db, self.path)
                yield db
            except duckdb.Error as error:
                raise translated(error, self.path) from error
            finally:
                db.close()
