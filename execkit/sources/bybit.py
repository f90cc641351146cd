"""Bybit v5 websocket messages, and the exchange's own history files (``*_ob500.data.zip``).

Times are the matching engine's (``cts``, for trades ``T``), or ``ts`` where there is none. A perp
is called like BTCUSDT:USDT where a capture also has spot, so the two do not share a name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from execkit.market import MarketData
from execkit.sources.base import guarded, head, pick, read_bytes
from execkit.sources.recorder import LINEAR, Recorder, field_of, ms
from execkit.tables import BUY, SELL


class BybitFeed:
    """Turns messages into rows; tickers come as changes, so their last values are kept."""

    def __init__(self, recorder: Recorder) -> None:
        self._out = recorder
        self._tickers: dict[str, dict[str, Any]] = {}

    def feed(self, message: dict[str, Any], local_ns: int, *, linear: bool = False) -> None:
        topic, _, rest = str(message.get("topic", "")).partition(".")
        if topic not in ("orderbook", "publicTrade", "tickers"):
            return
        symbol = rest.split(".")[-1] + (":USDT" if linear else "")
        if linear:
            self._out.sort(symbol, LINEAR)
        if topic == "orderbook":
            self._book(message, symbol, local_ns)
        elif topic == "publicTrade":
            for trade in message["data"]:
                side = BUY if trade["S"] == "Buy" else SELL
                self._out.market_print(
                    symbol,
                    ms(trade["T"]),
                    trade["p"],
                    trade["v"],
                    side,
                    local_ns=local_ns,
                    off_book=bool(trade.get("BT")),
                )
        else:
            self._ticker(message, symbol, local_ns)

    def _book(self, message: dict[str, Any], symbol: str, local_ns: int) -> None:
        data = message["data"]
        update = int(data["u"])
        self._out.depth(
            symbol,
            ms(field_of(message, "cts", "ts")),
            data["b"],
            data["a"],
            snapshot=message["type"] == "snapshot",
            local_ns=local_ns,
            ids=(update, update, -1),
        )

    def _ticker(self, message: dict[str, Any], symbol: str, local_ns: int) -> None:
        known = self._tickers.setdefault(symbol, {})
        known.update(message["data"])
        values = [known.get(k) for k in ("bid1Price", "bid1Size", "ask1Price", "ask1Size")]
        touched = any(k.startswith(("bid1", "ask1")) for k in message["data"])
        if touched and all(values):
            ts = ms(message["ts"])
            self._out.quote(symbol, ts, values[:2], values[2:], local_ns=local_ns)


class BybitHistory:
    """Lines of orderbook messages without local times."""

    name = "bybit_history"

    def sniff(self, path: Path) -> bool:
        return head(path).startswith(b'{"topic":"orderbook.')

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = [guarded(path, _read, path) for path in paths]
        return pick(parts[0].combine(*parts[1:]), symbol)


def _read(path: Path) -> MarketData:
    recorder = Recorder("bybit")
    feed = BybitFeed(recorder)
    for line in read_bytes(path).splitlines():
        feed.feed(json.loads(line), -1)
    return recorder.market(path)


SOURCE = BybitHistory()
