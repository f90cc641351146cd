"""Lengths of bars: "1m", "5s", "8h" and the like in nanoseconds."""

from __future__ import annotations

import re

import numpy as np

from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def interval_ns(interval: str | int) -> int:
    """Nanoseconds of "1m"-style text (s, m, h, d, w) or of an integer that already is; > 0."""
    if isinstance(interval, str):
        match = re.fullmatch(r"(\d+)([smhdw])", interval.strip())
        value = int(match[1]) * _SECONDS[match[2]] * NS_PER_S if match else 0
    else:
        value = int(interval)
    if value <= 0:
        raise InvalidInput("interval", interval, 'write it like "1m", "4h" or in nanoseconds')
    return value


def most_common_step(ts: np.ndarray) -> int | None:
    """The most common positive difference of sorted times; None where there is none."""
    steps = np.diff(ts)
    steps = steps[steps > 0]
    if len(steps) == 0:
        return None
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])
