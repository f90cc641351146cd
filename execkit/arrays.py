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


def short(column: np.ndarray) -> np.ndarray:
    """A column for `fixed` arguments of kernels, of length 1 where it is one value."""
    return fixed(column[:1] if is_one_value(column) else column)
