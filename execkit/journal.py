"""The journal: a durable, append-only, hash-chained record of intents and events.

It is the authority for money. An intent is here before a byte is sent, a fill is here before a
strategy sees it; DuckDB is rebuilt from it. It is also the bus between processes: commands go in,
events come out, and both are audited by being rows.

One SQLite file in WAL mode with ``synchronous=FULL``: `append` returns after the row is on disk.
Any number of processes read and append at once; each append takes the write lock, reads the head
of the chain, and adds the next link, so that sequence numbers have no gaps.

**What the chain and the mark detect.** Each row's hash covers its predecessor's, so a flipped bit,
a changed, missing or inserted row is named by `verify`. A chain cannot see that its end was cut off
(SQLite itself drops a damaged WAL tail silently), so the newest (seq, hash) also goes to a second
small file, ``<journal>.mark``, after each commit. The mark is not fsynced: it survives the death of
any process, and after a power cut it may lag the journal by the seconds the kernel had not written
back, but it is never ahead of it. So a tail that is missing at open is detected, save for
rows of the last seconds before a power cut. The store's watermark is a third witness.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from execkit.chain import (
    KINDS,
    ORDER_KINDS,
    Encoded,
    Event,
    Mark,
    connect,
    encode,
    identity,
    known,
    link,
    translate,
)
from execkit.errors import InvalidInput, JournalCorrupt, JournalUnwritable

__all__ = ["KINDS", "ORDER_KINDS", "ChainReport", "Event", "Journal", "Record"]

FILE_NAME = "journal.sqlite"

_COLUMNS = "seq, ts_ns, kind, client_order_id, run_id, payload, prev_hash, hash"
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """One row as read back. `event_id` is unique over all journals; numbers that were Decimal
    when appended are exact text in `payload`."""

    seq: int
    ts_ns: int
    kind: str
    client_order_id: str | None
    run_id: str
    payload: dict[str, Any]
    prev_hash: str
    hash: str
    event_id: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `Journal.verify` went through: `rows` links after `after_seq`, the last being
    (`last_seq`, `head_hash`); `mark_seq` is the high-water mark, which was found in the chain."""

    journal_id: str
    after_seq: int
    last_seq: int
    rows: int
    head_hash: str
    mark_seq: int


class Journal:
    """Open (and by default create) a journal.

    Parameters
    ----------
    path : the SQLite file, or a desk directory that holds ``journal.sqlite``. New files get mode
        0600 and new directories 0700.
    create : False refuses to make a new journal.
    timeout_s : how long to wait for other processes' commits before an append fails.
    accept_tail : declare the present end to be the true end, after a human compared it with the
        venue: the chain is verified, and the mark written anew.

    Usable from many threads. Not usable after a fork: every call then raises, because a forked
    SQLite connection corrupts the file; open a new `Journal` in the child.

    Raises
    ------
    JournalCorrupt : not a journal, another journal than the mark beside it knows, or rows that
        were once acknowledged are gone. `accept_tail` is the way out after a human looked.
    JournalUnwritable : no permission, no space, or somebody held the write lock too long.
    InvalidInput : `create=False` and there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        timeout_s: float = 10.0,
        accept_tail: bool = False,
    ) -> None:
        self.path = locate(path)
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._broken = ""
        mark_path = mark_of(self.path)
        marked = os.path.exists(
            mark_path
        )  # asked first: a mark is only ever made after its journal
        if not os.path.exists(self.path):
            if not create:
                raise InvalidInput(
                    "path", str(self.path), "there is no journal to be seen here; create one"
                )
            if marked and not accept_tail:
                raise JournalCorrupt(
                    f"{self.path} is gone, but its mark {mark_path.name} is not; restore the "
                    "journal, or move the mark away to start an empty one"
                )
        with self._guard():
            self._db = connect(self.path, timeout_s)
            self._identity = identity(self.path)
            row = self._db.execute("SELECT journal_id FROM meta").fetchone()
        self.journal_id: str = row[0]
        self._genesis = hashlib.sha256(self.journal_id.encode()).hexdigest()
        try:
            self._seen = self._check_mark(mark_path, accept_tail)
        except BaseException:  # a journal that is refused must not stay open
            self._db.close()
            raise

    # -- writing ----------------------------------------------------------------------------

    def append(
        self,
        kind: str,
        payload: Mapping[str, object],
        *,
        ts_ns: int,
        client_order_id: str | None = None,
        run_id: str = "",
    ) -> int:
        """Append one event; return its sequence number once it is durable.

        Parameters
        ----------
        kind : one of `KINDS`.
        payload : a JSON object. Decimal becomes exact text, enums their values; NaN and infinity
            are refused.
        ts_ns : UTC nanoseconds.

        Raises
        ------
        InvalidInput : unknown kind, or a payload that JSON cannot hold; nothing was written.
        JournalUnwritable, JournalCorrupt : nothing was written; send nothing.
        """
        return self.append_many([Event(kind, payload, ts_ns, client_order_id, run_id)])[0]

    def append_many(
        self,
        events: Iterable[Event | Encoded | tuple[str, Mapping[str, object], int, str | None, str]],
    ) -> list[int]:
        """Append events in one commit, all or none; return their sequence numbers."""
        ready = [e if isinstance(e, Encoded) else encode(Event(*e)) for e in events]
        if not ready:
            return []
        with self._guard(), self._lock:  # the guard first: a fork may have copied a held lock
            self._refuse_if_broken()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                seq, digest = self._head()
                if seq < self._seen:
                    raise JournalCorrupt(
                        f"{self.path}: rows {seq + 1}..{self._seen} were there and are gone"
                    )
                rows = []
                for ts_ns, kind, order_id, run_id, body in ready:
                    previous, seq = digest, seq + 1
                    digest = link(previous, seq, ts_ns, kind, order_id, run_id, body)
                    rows.append((seq, ts_ns, kind, order_id, run_id, body, previous, digest))
                self._db.executemany("INSERT INTO journal VALUES (?,?,?,?,?,?,?,?)", rows)
                self._db.execute("COMMIT")
            except BaseException:  # Ctrl-C too: no half of a group may stay pending
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._seen = seq
            try:
                self._mark.write(seq, digest)
            except OSError as error:
                # The rows are durable and must be reported so; what is lost is the witness, and
                # without it nothing more is written.
                self._broken = f"the high-water mark cannot be written ({error})"
        return [row[0] for row in rows]

    # -- reading ----------------------------------------------------------------------------

    def read(
        self, after_seq: int = 0, kinds: Iterable[str] | None = None, limit: int | None = None
    ) -> Iterator[Record]:
        """Records with seq > `after_seq`, oldest first, of the given kinds, at most `limit`.

        Rows are fetched in chunks, with no lock or transaction held in between: rows appended
        meanwhile are seen. Hashes are not checked here; `verify` does that.
        """
        wanted = None if kinds is None else sorted({known(kind) for kind in kinds})
        where = "seq > ?"
        if wanted is not None:
            where += f" AND kind IN ({','.join('?' * len(wanted))})"
        query = f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY seq LIMIT ?"
        left = limit
        while left is None or left > 0:
            size = _CHUNK if left is None else min(_CHUNK, left)
            rows = self._fetch(query, (after_seq, *(wanted or ()), size))
            for row in rows:
                yield self._record(row)
            if len(rows) < size:
                return
            after_seq = rows[-1][0]
            left = None if left is None else left - len(rows)

    def last_seq(self) -> int:
        """Sequence number of the newest row; 0 when there is none."""
        rows = self._fetch("SELECT max(seq) FROM journal", ())
        return int(rows[0][0] or 0)

    def hash_at(self, seq: int) -> str | None:
        """Hash of row `seq`, the genesis hash for 0, None when there is no such row."""
        if seq == 0:
            return self._genesis
        rows = self._fetch("SELECT hash FROM journal WHERE seq = ?", (seq,))
        return str(rows[0][0]) if rows else None

    def verify(self, after_seq: int = 0) -> ChainReport:
        """Recompute the chain after `after_seq` up to the end, and find the mark in it.

        Raises
        ------
        JournalCorrupt : names the first sequence number that is changed, missing or cut off.
        """
        mark_seq, mark_hash = self._mark.newest()
        start = self.hash_at(after_seq)
        if start is None:
            raise JournalCorrupt(f"{self.path}: row {after_seq} is missing")
        seq, digest = after_seq, start
        query = f"SELECT {_COLUMNS} FROM journal WHERE seq > ? ORDER BY seq LIMIT {_CHUNK}"
        while rows := self._fetch(query, (seq,)):
            for row in rows:
                if row[0] != seq + 1:
                    raise JournalCorrupt(f"{self.path}: row {seq + 1} is missing")
                seq += 1
                if row[6] != digest or row[7] != link(digest, *row[:6]):
                    raise JournalCorrupt(f"{self.path}: row {seq} is not as it was written")
                digest = row[7]
        if mark_seq > seq:
            raise JournalCorrupt(_tail_lost(self.path, seq, mark_seq))
        if mark_seq >= after_seq and self.hash_at(mark_seq) != mark_hash:
            raise JournalCorrupt(f"{self.path}: row {mark_seq} is not the one that was written")
        return ChainReport(self.journal_id, after_seq, seq, seq - after_seq, digest, mark_seq)

    def close(self) -> None:
        """Close the files; idempotent. The last one to close folds the WAL into the main file."""
        if self._pid == os.getpid():
            with self._lock:
                self._db.close()
                self._mark.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside -----------------------------------------------------------------------------

    def _head(self) -> tuple[int, str]:
        row = self._db.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return (int(row[0]), str(row[1])) if row else (0, self._genesis)

    def _record(self, row: tuple[Any, ...]) -> Record:
        try:
            payload = json.loads(row[5])
        except ValueError as error:
            raise JournalCorrupt(f"{self.path}: row {row[0]} is not JSON ({error})") from None
        seq, ts_ns, kind, order_id, run_id, _, previous, digest = row
        event_id = f"{self.journal_id}-{seq}"
        return Record(seq, ts_ns, kind, order_id, run_id, payload, previous, digest, event_id)

    def _fetch(self, query: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._guard(), self._lock:
            return self._db.execute(query, parameters).fetchall()

    def _check_mark(self, mark_path: Path, accept_tail: bool) -> int:
        """Open the mark and compare it with the chain; return the newest number seen."""
        # The head is read before the mark exists to be read, and the mark before its row is looked
        # up, so that other processes appending at this moment cannot look like a loss.
        with self._guard(), self._lock:
            head, _ = self._head()
            self._mark = Mark(mark_path)
            if accept_tail:
                self._mark.reset()
                self._mark.write(0, self._genesis)
                report = self.verify()
                self._mark.write(report.last_seq, report.head_hash)
        seq, digest = self._mark.newest()
        if not digest:
            if head:
                raise JournalCorrupt(
                    f"{mark_path} is missing or unreadable, so nothing proves that rows after "
                    f"{head} were not lost; compare with the venue, then open the journal with "
                    "accept_tail=True"
                )
            self._mark.write(0, self._genesis)
            return 0
        found = self.hash_at(seq)
        if found is None:
            raise JournalCorrupt(_tail_lost(self.path, self.last_seq(), seq))
        if found != digest:
            raise JournalCorrupt(f"{self.path}: row {seq} is not the one that {mark_path} knows")
        return seq

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise JournalUnwritable(f"{self.path}: {self._broken}; open the journal again")
        if identity(self.path) != self._identity:
            raise JournalUnwritable(
                f"{self.path} was moved, deleted or replaced while open; open the journal again"
            )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, and refuse a forked child."""
        if os.getpid() != self._pid:
            raise JournalUnwritable(
                f"{self.path} was opened by process {self._pid}, this is its fork {os.getpid()}; "
                "open a new Journal here"
            )
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_IOERR"):
                # After a failed write or fsync the page cache can no longer be believed.
                self._broken = f"an earlier write failed ({error})"
            translate(self.path, error, name)


def locate(path: str | os.PathLike[str]) -> Path:
    """The journal file that `path` (file or desk directory) means."""
    given = Path(path)
    # os.path, for pathlib raises where a directory may not be looked into.
    return given / FILE_NAME if os.path.isdir(given) else given


def mark_of(path: Path) -> Path:
    """The high-water mark that belongs to a journal file."""
    return path.with_name(path.name + ".mark")


def _tail_lost(path: Path, last: int, mark: int) -> str:
    return (
        f"{path}: rows {last + 1}..{mark} were acknowledged and are gone; "
        "compare with the venue, then open the journal with accept_tail=True"
    )
