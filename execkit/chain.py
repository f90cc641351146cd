"""What lies under the journal: its vocabulary, the links of its hash chain, the high-water mark
that guards the end of the chain, and the SQLite file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import NamedTuple, NoReturn

import orjson

from execkit.errors import InvalidData, InvalidInput, JournalCorrupt, JournalUnwritable
from execkit.redaction import by_value

ORDER_KINDS = frozenset(
    {"intent", "refused", "sending", "accepted", "triggered", "cancel_requested", "canceled"}
    | {"cancel_failed", "expired", "rejected", "unknown", "fill"}
)
KINDS = ORDER_KINDS | {"run", "signal", "position", "equity", "risk", "quote", "command"}
FORMAT_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (journal_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL, client_order_id TEXT,
    run_id TEXT NOT NULL, payload TEXT NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


class Event(NamedTuple):
    """One thing to append. A plain tuple in this order will do for `Journal.append_many`."""

    kind: str
    payload: Mapping[str, object]
    ts_ns: int
    client_order_id: str | None = None
    run_id: str = ""


class Encoded(NamedTuple):
    """One thing to append, as it will be written; made by `encode`."""

    ts_ns: int
    kind: str
    client_order_id: str | None
    run_id: str
    body: str


class Mark:
    """The high-water mark: (seq, hash) in one of eight checksummed slots, the greatest counts.

    Slots instead of one record, so that a torn write leaves the older ones, and so that a process
    that was slow to note its commit cannot turn the mark back.
    """

    _SLOTS, _SIZE = 8, 128

    def __init__(self, path: Path) -> None:
        """Open `path`, creating an empty mark (mode 0600) where there is none."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < self._SLOTS * self._SIZE:
            os.ftruncate(self._fd, self._SLOTS * self._SIZE)

    def write(self, seq: int, digest: str) -> None:
        body = f"{seq:020d} {digest}"
        slot = f"{body} {zlib.crc32(body.encode()):08x}\n".ljust(self._SIZE).encode()
        os.pwrite(self._fd, slot, seq % self._SLOTS * self._SIZE)

    def newest(self) -> tuple[int, str]:
        """The greatest valid slot; (0, "") when there is none."""
        best = (0, "")
        raw = os.pread(self._fd, self._SLOTS * self._SIZE, 0)
        for start in range(0, len(raw), self._SIZE):
            parts = raw[start : start + self._SIZE].split()
            if len(parts) != 3 or f"{zlib.crc32(b' '.join(parts[:2])):08x}".encode() != parts[2]:
                continue
            best = max(best, (int(parts[0]), parts[1].decode()))
        return best

    def reset(self) -> None:
        os.pwrite(self._fd, bytes(self._SLOTS * self._SIZE), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def known(kind: str) -> str:
    """`kind`, if it is in the vocabulary; else `InvalidInput`."""
    if kind not in KINDS:
        raise InvalidInput("kind", kind, f"use one of {', '.join(sorted(KINDS))}")
    return kind


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        if value.is_finite() and "E" not in (text := str(value)):
            return text
        if not value.is_finite():
            raise InvalidInput("payload", value, "NaN and infinity have no place in the journal")
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return value.item()
    raise InvalidInput("payload", value, "pass only JSON values, Decimal and enums")


_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
).encode
_STRICT = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def _body(payload: dict[str, object]) -> str:
    """`payload` as JSON with sorted keys. orjson is several times faster than the standard library,
    but writes NaN as null and takes less: what it does not take, and every null that was no None,
    is left to `_canonical`, which knows or refuses it."""
    try:
        raw = orjson.dumps(payload, _plain, _STRICT)
    except TypeError:
        return _unicode(_canonical(payload))
    if b"null" in raw and raw.count(b"null") != list(payload.values()).count(None):
        return _unicode(_canonical(payload))
    return raw.decode()


def encode(event: Event) -> Encoded:
    """See `encoded`."""
    return encoded(*event)


def encoded(
    kind: str, payload: Mapping[str, object], ts_ns: int, order_id: str | None, run_id: str
) -> Encoded:
    """The row as it will be written, or `InvalidInput`: what is returned can be appended.

    Text that is no Unicode (a lone surrogate in a venue's answer) is written as "?", a known secret
    as "***".
    """
    if isinstance(ts_ns, bool) or not isinstance(ts_ns, int):
        raise InvalidInput("ts_ns", ts_ns, "pass integer UTC nanoseconds")
    if not -(2**63) <= ts_ns < 2**63:
        raise InvalidInput("ts_ns", ts_ns, "does not fit 64 bits")
    if not (order_id is None or isinstance(order_id, str)) or not isinstance(run_id, str):
        raise InvalidInput("client_order_id, run_id", (order_id, run_id), "pass text")
    if type(payload) is not dict:
        if not isinstance(payload, Mapping):
            raise InvalidInput("payload", payload, "pass a JSON object (a mapping)")
        payload = dict(payload)
    try:
        body = _body(payload)
    except InvalidInput:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidInput("payload", payload, f"not representable as JSON: {error}") from None
    if order_id is not None and not order_id.isascii():
        order_id = _unicode(order_id)
    if not run_id.isascii():
        run_id = _unicode(run_id)
    return Encoded(ts_ns, kind if kind in KINDS else known(kind), order_id, run_id, by_value(body))


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def link(
    previous: str, seq: int, ts_ns: int, kind: str, order_id: str | None, run_id: str, body: str
) -> str:
    """Hash of a row, over the hash before it and everything in it."""
    head = orjson.dumps((seq, ts_ns, kind, order_id, run_id))
    return hashlib.sha256(b"%b%b%b" % (previous.encode(), head, body.encode())).hexdigest()


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open, and create where there is none, a journal file; it commits only on request."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalUnwritable(
            f"{path}: {error.strerror}; choose a place you may write to, or free some space"
        ) from None
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT_VERSION):
            raise InvalidData(
                f"{path} has journal format {version}, this execkit knows {FORMAT_VERSION}: upgrade"
            )
        _to_wal(db, timeout_s)
        db.execute("PRAGMA synchronous=FULL")
        if version == 0:
            _create(db, path)
    except BaseException:  # whatever stopped it, Ctrl-C too, must not leave the file open
        db.close()
        raise
    return db


def _to_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    # The switch wants the file alone and does not wait for it, as several first openers need.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _create(db: sqlite3.Connection, path: Path) -> None:
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables - {"meta", "journal"}:
        raise InvalidData(f"{path} is an SQLite file, but not a journal: choose another path")
    db.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} INSERT INTO meta SELECT '{secrets.token_hex(8)}' "
        f"WHERE NOT EXISTS (SELECT 1 FROM meta); PRAGMA user_version={FORMAT_VERSION}; COMMIT;"
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at `path`, so that a replaced one is noticed."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def translate(path: Path, error: sqlite3.Error, name: str) -> NoReturn:
    """Raise what an SQLite error means for a journal; a bug in our own SQL stays as it is."""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise JournalCorrupt(f"{path}: {error}; restore it from a copy") from error
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        fix = "another process holds the write lock; end it, or raise timeout_s"
    elif name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        fix = "free space on this disk or check it, then open the journal again"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        fix = "give this user permission to write the file and its directory"
    else:
        raise error
    raise JournalUnwritable(f"{path}: {error}; {fix}") from error
