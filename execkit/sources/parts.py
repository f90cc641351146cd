"""A folder that grows by parts, each of them a folder of execkit's own (see `native`).

A part is written beside the others under a hidden name, flushed, and renamed: a process that dies
loses the part that it was writing and no other, and what it left half done is never read.
`MarketData.load` of the whole folder joins the parts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.sources.native import MANIFEST, write

ABOUT = "about.json"
_FRESH = ".fresh-"


class Parts:
    """The parts in `folder`, held by one process at a time.

    Raises `InvalidInput` if another process writes there, and if the folder holds something else.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidInput("out", str(self.folder), "is a file: name a folder")
        if (self.folder / MANIFEST).exists():
            fix = "holds one whole market already: name a folder of its own for the parts"
            raise InvalidInput("out", str(self.folder), fix)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise InvalidInput("out", str(self.folder), f"cannot be written: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            fix = "another process writes there: stop it, or name another folder"
            raise InvalidInput("out", str(self.folder), fix) from None
        for left in [*self.folder.glob(f"{_FRESH}*"), *self.folder.glob(f".*{_FRESH}*")]:
            shutil.rmtree(left)  # of a process that died

    def names(self) -> list[str]:
        """The parts there are, oldest first."""
        return sorted(p.parent.name for p in self.folder.glob(f"part-*/{MANIFEST}"))

    def about(self, name: str) -> dict[str, Any]:
        """What was noted beside a part; empty if nothing was."""
        file = self.folder / name / ABOUT
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def add(
        self,
        market: MarketData,
        about: Mapping[str, object],
        beside: Callable[[Path], None] | None = None,
    ) -> Path:
        """Write a part behind the others. beside : writes more files into its folder.

        Raises `InvalidInput` if it cannot be written (no room, no permission); then nothing was.
        """
        names = self.names()
        number = int(names[-1].removeprefix("part-")) + 1 if names else 1
        fresh, part = self.folder / f"{_FRESH}{number}", self.folder / f"part-{number:06d}"
        try:
            write(market, fresh)
            if beside is not None:
                beside(fresh)
            (fresh / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            for file in fresh.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            fresh.rename(part)
            self._sync()
        except OSError as error:
            raise InvalidInput(
                "out", str(part), f"cannot be written ({error.strerror or error}): make room"
            ) from error
        finally:
            if fresh.exists():
                shutil.rmtree(fresh)
        return part

    def close(self) -> None:
        """Let other processes write here."""
        os.close(self._lock)

    def _sync(self) -> None:
        """Make the new name durable."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
