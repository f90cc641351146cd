"""The venue's clock: real time, N times as fast, or moved by hand."""

from __future__ import annotations

import time
from collections.abc import Callable

from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput


class VenueClock:
    """Venue time. It starts at the wall clock's, on a whole second, and runs from there.

    speed : 1 is real time, N runs N times as fast, 0 moves only when `advance` is called.
    """

    def __init__(self, speed: float = 1.0, start_ns: int | None = None) -> None:
        if not 0 <= speed < float("inf"):
            raise InvalidInput("speed", speed, "use 0 (by hand), 1 (real time) or any factor")
        self.speed = float(speed)
        whole = time.time_ns() // NS_PER_S * NS_PER_S if start_ns is None else int(start_ns)
        self.start_ns = self._base_ns = whole
        self._since_ns = time.monotonic_ns()
        self._watchers: list[Callable[[], None]] = []

    @property
    def by_hand(self) -> bool:
        return self.speed == 0

    def now_ns(self) -> int:
        """UTC nanoseconds, as the venue tells them."""
        passed = time.monotonic_ns() - self._since_ns
        return self._base_ns + int(passed * self.speed)

    def watch(self, watcher: Callable[[], None]) -> None:
        """`watcher` is called after each `advance`."""
        self._watchers.append(watcher)

    def advance(self, by_ns: int) -> int:
        """Move on by `by_ns` at once (a running clock jumps); returns the new time."""
        if by_ns < 0:
            raise InvalidInput("by_ns", by_ns, "venue time has one way")
        self._base_ns += int(by_ns)
        for watcher in self._watchers:
            watcher()
        return self.now_ns()

    def advance_to(self, ts_ns: int) -> int:
        """Move to `ts_ns`, or stay where the clock is if it is there already."""
        return self.advance(max(0, ts_ns - self.now_ns()))
