"""Reading tables from files: CSV (any compression), Parquet, Feather; and stamps of any unit."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as pa_feather
import pyarrow.parquet as pq

from execkit.errors import InvalidData
from execkit.sources.base import guarded, head, read_bytes

_UNITS = ((10**11, 1_000_000_000), (10**14, 1_000_000), (10**17, 1_000), (10**20, 1))
"""Upper bounds of stamps in s, ms, us and ns since 1970, and their nanoseconds."""


def kind_of_file(path: Path) -> str:
    """ "parquet", "feather", "csv" or "" by the first bytes, whatever the name says."""
    start = head(path)[:4096]
    if start[:4] == b"PAR1":
        return "parquet"
    if start[:6] == b"ARROW1" or start[:4] == b"FEA1":
        return "feather"
    first = start.split(b"\n", 1)[0]
    return "csv" if b"," in first and first.isascii() and not first.startswith((b"{", b"[")) else ""


def column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns of a file; () where it is no table or too damaged to tell."""
    stat = path.stat()
    return _column_names(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _column_names(path: Path, mtime_ns: int, size: int) -> tuple[str, ...]:
    kind = kind_of_file(path)
    if kind == "csv":
        first = head(path).split(b"\n", 1)[0].decode("ascii", "replace")
        return tuple(name.strip().strip('"') for name in first.strip("\r").split(","))
    try:
        if kind == "parquet":
            return tuple(pq.read_schema(path).names)
        if kind == "feather":
            return tuple(pa_feather.read_table(path).column_names)
    except (pa.ArrowException, OSError):
        return ()
    return ()


def read_frame(path: Path, columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    """The file as a DataFrame; `columns` names those of a CSV without a header.

    Raises `InvalidData` naming the path if it is damaged or has no rows.
    """
    frame = guarded(path, _read, path, columns)
    if len(frame) == 0:
        raise InvalidData(f"{path} has a header and no rows: fetch it again, or remove it")
    return frame


def _read(path: Path, columns: tuple[str, ...] | None) -> pd.DataFrame:
    kind = kind_of_file(path)
    if kind == "parquet":
        return pq.read_table(path).to_pandas()
    if kind == "feather":
        return pa_feather.read_feather(path)
    table = pa_csv.read_csv(
        io.BytesIO(read_bytes(path)),
        read_options=pa_csv.ReadOptions(column_names=columns),
        convert_options=pa_csv.ConvertOptions(strings_can_be_null=True),
    )
    return table.to_pandas()


def scaled(values: pd.Series, scale: int) -> np.ndarray:
    """Integer stamps times `scale`, as int64; `ValueError` for a column that is not of integers.

    A damaged file may have text there, and text times a million is a million copies of it.
    """
    if not pd.api.types.is_integer_dtype(values.dtype):
        raise ValueError(f"{values.name} should hold integers, not {values.dtype}")
    return values.to_numpy(dtype=np.int64) * scale


def stamps_ns(values: object) -> np.ndarray:
    """Nanoseconds of integer stamps in s, ms, us or ns, told by their size (years 1973 to 5138)."""
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "iu":
        rounded = np.asarray(numbers, dtype=np.float64)
        if not np.isfinite(rounded).all():
            raise ValueError("a time is missing")
        numbers = rounded.astype(np.int64)
    largest = int(numbers.max()) if len(numbers) else 0
    scale = next((scale for bound, scale in _UNITS if largest < bound), 0)
    if not scale or (len(numbers) and int(numbers.min()) <= 0):
        raise ValueError(f"{largest} is no time since 1970")
    return numbers.astype(np.int64) * scale
