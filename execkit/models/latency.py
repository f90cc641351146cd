"""LatencyModel: how long an order, a cancel and an answer are under way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from execkit.errors import InvalidInput

_LEGS = {"entry": 1, "cancel": 2, "response": 3}


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """Fixed delays in ns, each with an optional exponential tail drawn per order.

    entry_ns : decision to matching engine. cancel_ns : the same for a cancel. response_ns :
    matching engine to us. jitter_ns : mean of the exponential addition to each leg (0 = none).
    Draws depend only on (seed, leg, row), so results do not depend on threads or order of calls.
    When it lies: real latency has bursts that coincide with fast markets; this one has none.
    """

    entry_ns: int = 0
    cancel_ns: int = 0
    response_ns: int = 0
    jitter_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("entry_ns", "cancel_ns", "response_ns", "jitter_ns"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise InvalidInput(name, value, "use whole nanoseconds >= 0")

    def delay(self, leg: str, rows: np.ndarray, seed: int = 0) -> np.ndarray:
        """Delay in ns, int64, shape of `rows` (order positions); leg entry, cancel or response."""
        base = np.full(len(rows), getattr(self, f"{leg}_ns"), dtype=np.int64)
        if self.jitter_ns == 0:
            return base
        stream = _splitmix64(np.array([(4 * seed + _LEGS[leg]) % 2**64], dtype=np.uint64))
        key = np.asarray(rows, dtype=np.uint64) + stream
        uniform = (_splitmix64(key) >> np.uint64(11)).astype(np.float64) / 2.0**53
        return base + np.rint(-np.log1p(-uniform) * self.jitter_ns).astype(np.int64)


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """Steele, Lea, Flood (2014): a 64-bit mixer, so that each row has its own draw."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
