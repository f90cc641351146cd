"""Market data for tests: small tables, one spot capture, and a writer of files."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.market import MarketData

MS = 1_000_000
T0 = 1_700_000_000_000


def put(path: Path, content: str | bytes) -> Path:
    """Write `content`, compressed as the name says."""
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        raw = gzip.compress(raw)
    elif path.suffix == ".xz":
        raw = lzma.compress(raw)
    elif path.suffix == ".zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(path.stem + ".csv", raw)
        raw = out.getvalue()
    elif path.suffix == ".zst":
        import zstandard

        raw = zstandard.ZstdCompressor().compress(raw)
    path.write_bytes(raw)
    return path


def kinds(market: MarketData) -> dict[str, int]:
    return {kind: len(table) for kind, table in market.tables.items()}


def raw_line(ms: int, message: dict[str, Any], late_ms: int = 5) -> str:
    return f"{(T0 + ms + late_ms) * MS} {json.dumps(message, separators=(',', ':'))}"


def delta(ms: int, first: int, last: int, bids: Any, asks: Any, **more: Any) -> str:
    data = {"e": "depthUpdate", "E": T0 + ms, "s": "BTCUSDT", "U": first, "u": last}
    data |= more | {"b": bids, "a": asks}
    return raw_line(ms, {"stream": f"{data['s'].lower()}@depth@100ms", "data": data})


SNAPSHOT = {"lastUpdateId": 12, "bids": [["9", "2"], ["8", "1"]], "asks": [["11", "1"]]}
SPOT = [
    delta(0, 8, 10, [["9", "7"]], []),
    raw_line(
        5,
        {
            "stream": "btcusdt@bookTicker",
            "data": {"u": 11, "s": "BTCUSDT", "b": "9", "B": "2", "a": "11", "A": "1"},
        },
    ),
    delta(10, 11, 13, [["9", "3"]], []),
    raw_line(20, SNAPSHOT),
    raw_line(
        25,
        {
            "stream": "btcusdt@trade",
            "data": {
                "e": "trade",
                "E": T0 + 25,
                "T": T0 + 24,
                "s": "BTCUSDT",
                "t": 1,
                "p": "9",
                "q": "0.5",
                "m": True,
            },
        },
    ),
    delta(30, 14, 15, [["9", "0"]], [["10.5", "4"]]),
]


MINUTE = 60_000_000_000


def bars(n: int = 3, start: int = 0, **columns: Any) -> dict[str, Any]:
    prices = np.arange(n) + 100.0
    out = {"ts_ns": start + MINUTE * np.arange(n), "open": prices, "high": prices + 1.0}
    out |= {"low": prices - 1.0, "close": prices + 0.5, "volume": np.ones(n)}
    return out | columns


def prints(ts: list[int], price: float = 100.0, **columns: Any) -> dict[str, Any]:
    n = len(ts)
    return {"ts_ns": ts, "price": [price] * n, "quantity": [1.0] * n} | columns


def depth(rows: list[tuple[int, str, float, float, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["ts_ns", "side", "price", "quantity", "is_snapshot"])


def same(one: MarketData, two: MarketData) -> bool:
    """Equal tables, instruments and everything else that is kept."""
    if set(one.tables) != set(two.tables):
        return False
    for kind, table in one.tables.items():
        other = two.tables[kind]
        if (table.symbols, table.venues) != (other.symbols, other.venues):
            return False
        if set(table.columns) != set(other.columns):
            return False
        for name, column in table.columns.items():
            twin = other[name]
            if column.dtype != twin.dtype or not np.array_equal(
                column, twin, equal_nan=column.dtype.kind == "f"
            ):
                return False
    return (
        dict(one.instruments) == dict(two.instruments)
        and one.shared_seq == two.shared_seq
        and dict(one.bar_interval_ns) == dict(two.bar_interval_ns)
        and one.notes == two.notes
        and one.inferred == two.inferred
    )
