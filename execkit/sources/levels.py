"""Messages with price levels (lists of [price, quantity, ...]) as flat depth columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from execkit.errors import InvalidData
from execkit.tables import ASK, BID

LEVELS = pa.list_(pa.list_(pa.string()))


@dataclass(frozen=True, slots=True)
class Levels:
    """Flat levels: `message` is the position of the message each row belongs to, ascending."""

    message: np.ndarray
    side: np.ndarray
    price: np.ndarray
    quantity: np.ndarray

    def take(self, keep: np.ndarray) -> Levels:
        """The levels of the messages marked True in `keep`; positions stay those of the input."""
        rows = keep[self.message]
        return Levels(self.message[rows], self.side[rows], self.price[rows], self.quantity[rows])


def explode(bids: object, asks: object) -> Levels:
    """Levels of n messages; inside a message bids come first, each side in the order given.

    `bids` and `asks` hold n lists of lists of text; elements after the second are ignored.
    """
    parts = []
    for side, column in ((BID, bids), (ASK, asks)):
        lists = column if isinstance(column, pa.Array) else pa.array(column, type=LEVELS)
        owner = np.asarray(pc.list_parent_indices(lists), dtype=np.int64)
        pairs = lists.flatten()
        numbers = [
            _floats(pc.list_element(pairs, i)) if len(pairs) else np.empty(0) for i in (0, 1)
        ]
        parts.append((owner, np.full(len(owner), side, dtype=np.int8), *numbers))
    flat = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    order = np.argsort(flat[0], kind="stable")
    return Levels(*(column[order] for column in flat))


def _floats(text: pa.Array) -> np.ndarray:
    return np.asarray(text.cast(pa.float64()))


def worst_first(levels: Levels) -> Levels:
    """The same levels, each side of a message from worst to best, which is quickest to build."""
    keys = np.where(levels.side == BID, levels.price, -levels.price)
    order = np.lexsort((keys, levels.side, levels.message))
    columns = (levels.message, levels.side, levels.price, levels.quantity)
    return Levels(*(column[order] for column in columns))


def parse(lines: Sequence[bytes], schema: pa.Schema, path: Path) -> pa.Table:
    """JSON lines as an Arrow table of `schema`; fields outside it are ignored.

    Raises `InvalidData` naming the path if a line is not JSON or a field has another type.
    """
    if not lines:
        return schema.empty_table()
    blob = b"\n".join(lines)
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pj.read_json(
            pa.BufferReader(blob),
            read_options=pj.ReadOptions(block_size=max(1 << 24, 2 * max(map(len, lines)))),
            parse_options=options,
        ).combine_chunks()
    except pa.ArrowInvalid as error:
        raise InvalidData(
            f"{path} has a line that is not the JSON expected ({error}): the file is damaged"
        ) from error
    if len(table) != len(lines):
        raise InvalidData(f"{path} has broken lines: {len(lines)} lines hold {len(table)} messages")
    return table


def ints(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """int64, -1 where absent."""
    return np.asarray(pc.fill_null(column, -1).cast(pa.int64()), dtype=np.int64)


def floats(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """float64 of text or numbers, NaN where absent."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan), dtype=np.float64)


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A chunked column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
