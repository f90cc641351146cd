"""The store's file: locks and retries, reports, and what DuckDB's errors mean for the caller.

DuckDB reports almost everything about a file as ``IOException``, so the text decides; the texts are
those of 1.5 and 2.0, and the tests provoke each of them.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from execkit.errors import (
    InvalidData,
    InvalidInput,
    RetryLater,
    StoreCorrupt,
    StoreLocked,
)

T = TypeVar("T")

_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()
_private = 0  # how many blocks of `private_files` are under way
_umask = 0  # what it was before the first of them
_DAMAGE = {"IOException", "InternalException", "FatalException", "SerializationException"}


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one `Store.ingest` did: journal rows `after_seq` < seq <= `last_seq`, rows added per
    table, and fills or orders that the journal holds twice (counted once). `set_aside` is where a
    rebuild put a file that it could not read, with what only that file held; "" if none."""

    journal_id: str
    after_seq: int
    last_seq: int
    added: dict[str, int]
    repeated: int
    seconds: float
    set_aside: str = ""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What `Store.check` found. `pending` journal rows are not ingested yet, which is no fault."""

    journal_id: str
    journal_seq: int
    store_seq: int
    fills: int
    orders: int
    repeated: int
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def pending(self) -> int:
        return self.journal_seq - self.store_seq


@contextmanager
def thread_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """One connection to `path` at a time in this process: DuckDB refuses to open one file both
    read-only and read-write. Raises `StoreLocked` after `timeout_s`."""
    with _locks_guard:
        lock = _locks.setdefault(os.path.realpath(path), threading.Lock())
    if not lock.acquire(timeout=timeout_s):
        raise StoreLocked(f"{path}: another thread has had it for {timeout_s:g} s; try again later")
    try:
        yield
    finally:
        lock.release()


def retry(action: Callable[[], T], errors: type[Exception], path: Path, timeout_s: float) -> T:
    """The result of `action`, tried until nobody else holds `path`; else the error translated."""
    deadline, pause = time.monotonic() + timeout_s, 0.002
    while True:
        try:
            return action()
        except errors as error:
            problem = translated(error, path, timeout_s)
            if not isinstance(problem, StoreLocked) or time.monotonic() > deadline:
                raise problem from error
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 1.5, 0.1)


@contextmanager
def ctrl_c_after(action: Callable[[], object] = bool) -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block; on it, `action` is called at once.

    DuckDB looks for Ctrl-C while a statement runs, and one that it stops in this way can leave the
    database half closed: the next connect of the process then spins without end. Does nothing
    outside the main thread, where Python delivers no signals.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):
        yield
        return
    caught: list[FrameType | None] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(frame)
        action()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            before(signal.SIGINT, caught[0])


@contextmanager
def private_files() -> Iterator[None]:
    """Files that come to be inside, whoever makes them, are readable by their owner alone: DuckDB's
    write-ahead log among them. In every thread: the mask is the process's."""
    global _private, _umask
    with _locks_guard:
        if not _private:
            _umask = os.umask(0o077)
        _private += 1
    try:
        yield
    finally:
        with _locks_guard:
            _private -= 1
            if not _private:
                os.umask(_umask)


@contextmanager
def exclusive(path: Path, timeout_s: float) -> Iterator[None]:
    """One writer of `path` at a time among execkit's processes; the lock dies with its process.

    Raises `StoreLocked` after `timeout_s`, `InvalidInput` where the directory cannot be written.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = f"{error.strerror}; choose a place that you may write to"
        raise InvalidInput("path", str(path), fix) from None
    deadline = time.monotonic() + timeout_s
    try:
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise StoreLocked(
                    f"{path}: another execkit process has been writing for {timeout_s:g} s; "
                    "try again later"
                )
            time.sleep(0.005)
        with private_files():
            yield
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove(path: Path) -> None:
    """Delete a DuckDB file and what belongs to it, if it is there."""
    for name in (path, path.with_name(path.name + ".wal"), path.with_name(path.name + ".lock")):
        name.unlink(missing_ok=True)


def quoted(path: Path) -> str:
    """`path` for the inside of an SQL literal."""
    return str(path).replace("'", "''")


def set_aside(path: Path) -> Path:
    """Rename a damaged file to ``<name>.broken``, or a number behind it; return where it is."""
    aside, number = path.with_name(path.name + ".broken"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.broken-{number}")
    path.rename(aside)
    return aside


def translated(error: Exception, path: Path, waited_s: float = 0.0) -> Exception:
    """What an error of DuckDB means for the caller; the error itself where it is a bug here."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    if "Could not set lock" in text or "different configuration" in text:
        holder = re.search(r"PID (\d+)", text)
        who = f"process {holder[1]}" if holder else "another process"
        if "different configuration" in text:
            who = f"another connection of this process ({os.getpid()})"
        return StoreLocked(
            f"{path}: {who} holds it, waited {waited_s:g} s; close that connection, or try again"
        )
    if "No space left" in text or "Could not write" in text:
        return RetryLater(f"{path}: the disk is full ({first}); free space and repeat")
    if "Permission denied" in text or "Read-only file system" in text:
        return InvalidInput("path", str(path), "no permission; make file and directory writable")
    if "not a valid DuckDB database" in text or "Is a directory" in text:
        fix = "is not a DuckDB file; choose another path, or run `execkit store rebuild`"
        return InvalidInput("path", str(path), fix)
    if "newer version" in text or "version number" in text:
        return InvalidData(f"{path} was written by a newer DuckDB: upgrade duckdb, or rebuild it")
    if type(error).__name__ in _DAMAGE or "Corrupt database" in text or "replaying WAL" in text:
        return StoreCorrupt(f"{path} cannot be read ({first}): run `execkit store rebuild`")
    return error
