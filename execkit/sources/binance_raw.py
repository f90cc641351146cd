"""Raw Binance websocket captures: lines of ``<local ns or us> <json>``, REST snapshot included.

Files that continue one another (a day each) are given together; a line's number runs on through
them. Market (spot, USD-M, COIN-M) is told by the messages.
"""

from __future__ import annotations

import re
from pathlib import Path

from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, head, read_bytes, wanted
from execkit.sources.binance_wire import Capture, assemble

_LINE = re.compile(rb'^\d{16,19} \{"(stream|lastUpdateId|e|u)"')
_SYMBOL = re.compile(rb'"(?:s|symbol)":"([A-Z0-9_]+)"')
_STREAM = b'{"stream":"'
_STREAMS = re.compile(r"(depth(?:@\d+ms)?|bookTicker|trade|aggTrade)")
_KINDS = {"bookTicker": "quote", "trade": "trade", "aggTrade": "aggTrade"}
_BARE = (
    (b'"e":"depthUpdate"', "depth"),
    (b'"e":"trade"', "trade"),
    (b'"e":"aggTrade"', "aggTrade"),
    (b'"lastUpdateId"', "snapshot"),
    (b'"B":"', "quote"),
)
_UPDATE = re.compile(rb'"(?:u|lastUpdateId)":(\d+)')


class BinanceRaw:
    """See the module. A file may hold several symbols."""

    name = "binance_raw"

    def sniff(self, path: Path) -> bool:
        return bool(_LINE.match(head(path)))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        for group in _groups(paths):
            if len(group) > 1 and not wanted(_symbol_of(group[0]), symbol):
                continue
            for name, capture in guarded(group[0], _captures, group).items():
                if wanted(name, symbol):
                    parts.append(guarded(group[0], assemble, capture, name, group[0]))
        return combine_all(parts, paths, symbol)


def _groups(paths: tuple[Path, ...]) -> list[list[Path]]:
    """Files of one folder and first symbol, in the order of their first local time."""
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


def _captures(paths: list[Path]) -> dict[str, Capture]:
    """Lines by symbol; snapshots that name none go where their update id belongs."""
    captures: dict[str, Capture] = {}
    nameless: list[tuple[int, int, bytes]] = []
    streams: dict[bytes, tuple[str, str]] = {}
    number = 0
    for path in paths:
        for at, line in enumerate(_lines(path)):
            stamp, _, message = line.partition(b" ")
            if not stamp.isdigit() or not message.endswith(b"}"):
                raise InvalidData(
                    f"{path} line {at + 1} is not '<local time> <json>': the file is damaged or was"
                    " cut while it was written; remove that line or fetch the file again"
                )
            local = int(stamp)
            # the older captures stamp microseconds
            local_ns = local if local > 10**17 else local * 1000
            if message.startswith(_STREAM):
                stream = message[len(_STREAM) : message.find(b'"', len(_STREAM))]
                name, kind = streams.get(stream) or streams.setdefault(stream, _stream(stream))
            else:
                name, kind, message = _bare(message)
            if kind and name:
                captures.setdefault(name, Capture()).add(kind, number, local_ns, message)
            elif kind:
                nameless.append((number, local_ns, message))
            number += 1
    for row, local_ns, message in nameless:
        _owner(captures, message, paths[0]).add("snapshot", row, local_ns, message)
    return captures


def _stream(name: bytes) -> tuple[str, str]:
    """Symbol and kind of a stream such as btcusdt@depth@100ms; kind "" if it is of no use."""
    symbol, _, what = name.decode("ascii", "replace").partition("@")
    found = _STREAMS.fullmatch(what)
    return symbol.upper(), _KINDS.get(what, "depth") if found else ""


def _bare(message: bytes) -> tuple[str, str, bytes]:
    """Symbol ("" if it names none), kind and text of a message outside a combined stream."""
    start = message[:400]
    kind = next((kind for marker, kind in _BARE if marker in start), "")
    named = _SYMBOL.search(start)
    if kind == "snapshot":
        return named[1].decode() if named else "", kind, message
    return named[1].decode() if named else "", kind if named else "", b'{"data":' + message + b"}"


def _lines(path: Path) -> list[bytes]:
    lines = read_bytes(path).split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _owner(captures: dict[str, Capture], snapshot: bytes, path: Path) -> Capture:
    """The symbol whose updates run through the id of a snapshot."""
    if len(captures) == 1:
        return next(iter(captures.values()))
    number = _update_id(snapshot)
    owners = []
    for capture in captures.values():
        lines = capture.lines["depth"]
        if lines and _update_id(lines[0]) - 1_000 <= number <= _update_id(lines[-1]):
            owners.append(capture)
    if len(owners) != 1:
        raise InvalidData(
            f"{path} has a snapshot (lastUpdateId {number}) that names no symbol and fits "
            f"{len(owners)} of those in the file: keep one symbol a file"
        )
    return owners[0]


def _update_id(line: bytes) -> int:
    found = _UPDATE.search(line)
    return int(found[1]) if found else -1


SOURCE = BinanceRaw()
