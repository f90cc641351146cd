"""What a workload is, and how large: the full size, or a tiny one to see that it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from execkit.bench.processes import Measured, Task
from execkit.bench.report import Part


@dataclass(frozen=True)
class Setting:
    """quick : tiny sizes, to see that everything runs. full : also what takes minutes and GBs."""

    quick: bool = False
    full: bool = False

    def size(self, usual: int, tiny: int) -> int:
        return tiny if self.quick else usual


class Workload(Protocol):
    """A module of this package that measures one workload."""

    NAME: str

    def prepare(self, folder: Path, setting: Setting) -> None:
        """Write the data of all engines into a folder."""

    def tasks(self, setting: Setting) -> list[Task]:
        """What to run, in the order of a round."""

    def part(self, found: Mapping[str, Measured], setting: Setting) -> Part:
        """Rows, checks and notes from what ran."""


def save(folder: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Each column as a file of its own, which any engine can read or map into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)
