"""Columns as kernels take them, and columns that hold one value without room for each row."""

from __future__ import annotations

from typing import Any

import numpy as np


def fixed(column: np.ndarray) -> np.ndarray:
    """A column as kernels are given it: read-only and without gaps, because each other kind of
    array would have them compiled again. Nothing is copied unless there are gaps."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


def one_value(value: Any, n: int, dtype: Any = None) -> np.ndarray:
    """A column of `n` times the same value that takes no room: a read-only view of one."""
    return np.broadcast_to(np.array([value], dtype=dtype), n)


def is_one_value(column: np.ndarray) -> bool:
    """Whether a column is such a view (or a single row)."""
    return len(column) > 0 and (column.strides[0] == 0 or len(column) == 1)


_MOST_KEPT = 1 << 22
_counted = np.zeros(0, dtype=np.int64)


def counted(n: int) -> np.ndarray:
    """0, 1 ... n - 1 as a read-only column; up to four million are made once and shared."""
    global _counted
    known = _counted  # another thread may put a longer one, or a shorter one, in its place
    if len(known) < n:
        known = fixed(np.arange(n, dtype=np.int64))
        if n <= _MOST_KEPT:
            _counted = known
    return known[:n]


def short(column: np.ndarray) -> np.ndarray:
    """A column for `fixed` arguments of kernels, of length 1 where it is one value."""
    return fixed(column[:1] if is_one_value(column) else column)
