"""RunLock: one engine to a run. A second one would send and book everything twice."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from execkit.errors import JournalUnwritable, StopTrading


class RunLock:
    """Holds the run `run_id` of a journal for this process until `release`.

    The lock is the kernel's (flock), so that a process that died, however it died, leaves none
    behind; the file beside the journal only says who had it last.

    Raises
    ------
    StopTrading : another engine, of this or another process, has the run.
    JournalUnwritable : no lock file can be made beside the journal.
    """

    def __init__(self, journal: Path, run_id: str) -> None:
        name = hashlib.sha256(run_id.encode()).hexdigest()[:16]
        self.path = journal.with_name(f"{journal.name}.{name}.lock")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnwritable(f"{self.path}: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 100, 0).decode("utf-8", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StopTrading(
                f"run {run_id!r} is being traded by another engine (process {holder}); "
                "stop that one first, or start a run of another run_id"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the run; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
