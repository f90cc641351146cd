"""Captures of several venues: JSON lines of {"t": "recv"|"http"|..., "ts": s, "data": text}.

The first line is a header that names the exchange. Messages of each exchange are read by its own
module; for Binance they are put together as a raw capture is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from execkit.clock import NS_PER_S
from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.sources import coinbase, kraken, okx
from execkit.sources.base import combine_all, guarded, head, pick, read_bytes
from execkit.sources.binance_wire import Capture, assemble
from execkit.sources.bybit import BybitFeed
from execkit.sources.recorder import Recorder

_HEAD = re.compile(rb'\{"t":\s*"header".*?"exchange":\s*"([A-Z_]+)"')
_BINANCE = {
    "depthUpdate": "depth",
    "trade": "trade",
    "aggTrade": "aggTrade",
    "bookTicker": "quote",
}

Line = dict[str, Any]


class CaptureJsonl:
    """See the module."""

    name = "capture_jsonl"

    def sniff(self, path: Path) -> bool:
        return bool(_HEAD.match(head(path)))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(combine_all(parts, paths, symbol), symbol)


def _read(path: Path) -> MarketData:
    lines = [json.loads(line) for line in read_bytes(path).splitlines()]
    exchange = lines[0]["exchange"]
    if exchange.startswith("BINANCE"):
        return _binance(lines, path, futures=exchange.endswith("FUTURES"))
    if exchange == "BYBIT":
        return _bybit(lines, path)
    recorder = Recorder(exchange.lower())
    if exchange == "OKX":
        for line in lines:
            if line["t"] == "http":
                okx.instruments(json.loads(line["data"]), recorder)
    feeds = {
        "COINBASE": coinbase.feed,
        "OKX": okx.feed,
        "KRAKEN": kraken.feed_spot,
        "KRAKEN_FUTURES": kraken.feed_futures,
    }
    if exchange not in feeds:
        raise InvalidData(f"{path} is a capture of {exchange}; known are {', '.join(feeds)}")
    for message, local_ns, _ in _received(lines):
        feeds[exchange](message, local_ns, recorder)
    return recorder.market(path)


def _received(lines: list[Line]) -> Iterator[tuple[Any, int, str]]:
    """Message, local time and connection of every message received."""
    for line in lines:
        if line["t"] == "recv":
            yield json.loads(line["data"]), round(line["ts"] * NS_PER_S), line["conn"]


def _bybit(lines: list[Line], path: Path) -> MarketData:
    recorder = Recorder("bybit")
    feed = BybitFeed(recorder)
    linear = {x["conn"] for x in lines if x["t"] == "connect" and x["addr"].endswith("/linear")}
    for message, local_ns, connection in _received(lines):
        feed.feed(message, local_ns, linear=connection in linear)
    return recorder.market(path)


def _binance(lines: list[Line], path: Path, *, futures: bool) -> MarketData:
    captures: dict[str, Capture] = {}
    for number, line in enumerate(lines):
        local_ns = round(line["ts"] * NS_PER_S) if "ts" in line else -1
        if line["t"] == "http" and "/depth?" in line["url"]:
            symbol = parse_qs(urlparse(line["url"]).query)["symbol"][0]
            kind, text = "snapshot", line["data"].encode()
        elif line["t"] == "recv":
            data = json.loads(line["data"]).get("data", {})
            symbol = data.get("s", "")
            kind = _BINANCE.get(data.get("e", "bookTicker" if "B" in data else ""), "")
            text = json.dumps({"data": data}).encode()
        else:
            continue
        if kind:
            captures.setdefault(symbol, Capture()).add(kind, number, local_ns, text)
    parts = [assemble(c, s, path, futures=futures) for s, c in captures.items()]
    return combine_all(parts, [path], None)


SOURCE = CaptureJsonl()
