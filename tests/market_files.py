"""Tiny market data files for the tests of sources: one spot capture, and a writer for all."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

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
    return raw_line(ms, {"stream": "btcusdt@depth@100ms", "data": data})


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
