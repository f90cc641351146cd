"""Raw Binance websocket captures: lines of ``<local ns or us> <json>``, REST snapshot included.

Files that continue one another (a day each) are given together; a line's number runs on through
them. Market (spot, USD-M, COIN-M) is told by the messages.
"""

from __future__ import annotations

import re
from pathlib import Path

from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.sources.base import combine_all, head, read_bytes, wanted
from execkit.sources.binance_wire import Capture, assemble

_LINE = re.compile(rb'^\d{16,19} \{"(stream|lastUpdateId|e)"')
_SYMBOL = re.compile(rb'"(?:s|symbol)":"([A-Z0-9_]+)"')
_KINDS = (
    (b'"e":"depthUpdate"', "depth"),
    (b'@bookTicker"', "quote"),
    (b'"e":"trade"', "trade"),
    (b'"e":"aggTrade"', "aggTrade"),
    (b'"lastUpdateId"', "snapshot"),
)


class BinanceRaw:
    """See the module."""

    name = "binance_raw"

    def sniff(self, path: Path) -> bool:
        return bool(_LINE.match(head(path)))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        for group in _groups(paths):
            name = _symbol_of(group[0])
            if wanted(name, symbol):
                parts.append(_read_group(group, name))
        return combine_all(parts, paths, symbol)


def _groups(paths: tuple[Path, ...]) -> list[list[Path]]:
    """Files of one folder and symbol, in the order of their first local time."""
    groups: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for path in paths:
        first = int(head(path).split(b" ", 1)[0])
        groups.setdefault((path.parent, _symbol_of(path)), []).append((first, path))
    return [[path for _, path in sorted(found)] for found in groups.values()]


def _symbol_of(path: Path) -> str:
    found = _SYMBOL.search(head(path))
    if not found:
        raise InvalidData(f"{path}: no message near its start names a symbol")
    return found[1].decode()


def _read_group(paths: list[Path], symbol: str) -> MarketData:
    capture = Capture()
    number = 0
    for path in paths:
        lines = read_bytes(path).split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        for at, line in enumerate(lines):
            stamp, _, message = line.partition(b" ")
            if not stamp.isdigit() or not message.endswith(b"}"):
                raise InvalidData(
                    f"{path} line {at + 1} is not '<local time> <json>': the file is damaged or was"
                    " cut while it was written; remove that line or fetch the file again"
                )
            local = int(stamp)
            # the older captures stamp microseconds
            local_ns = local if local > 10**17 else local * 1000
            for marker, kind in _KINDS:
                if marker in message[:400]:
                    capture.add(kind, number, local_ns, message)
                    break
            number += 1
    return assemble(capture, symbol, paths[0])


SOURCE = BinanceRaw()
