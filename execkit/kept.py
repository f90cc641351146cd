"""Kept: what was made of something that never changes, made once and kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """Values by name, each made on first use by whichever thread is first; the others wait.

    A copy in another process starts empty: what is kept can be made again.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._lock = RLock()

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """The value of this name, from `make()` if there is none yet. What `make` raises is raised
        again on the next call, for nothing was kept."""
        try:
            return self._values[name]  # type: ignore[no-any-return]
        except KeyError:
            pass
        with self._lock:
            if name not in self._values:
                self._values[name] = make()
            return self._values[name]  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[object, ...]:
        return Kept, ()
