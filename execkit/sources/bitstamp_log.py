"""Bitstamp logs of 2015: lines of ``<local ms> <event> <json>``, plain or compressed.

``order_book`` rows (top 20) become snapshots and ``trade`` rows prints. Single-order events are
left out: the feed lost messages, and a book rebuilt of them drifts into a cross. Exchange times
have a resolution of one second only, so ``ts_ns`` is the local time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from execkit.market import MarketData
from execkit.sources.base import guarded, head, pick, read_bytes
from execkit.sources.recorder import Level, Recorder, ms
from execkit.tables import UNKNOWN, Finding

_HEAD = re.compile(rb"^\d{13} (order_\w+|trade) \{")
SYMBOL = "BTCUSD"


class BitstampLog:
    """See the module. The log does not name its market: BTC/USD unless `symbol` says another."""

    name = "bitstamp_log"

    def sniff(self, path: Path) -> bool:
        return bool(_HEAD.match(head(path)))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        name = symbol or SYMBOL
        parts = [guarded(path, _read, path, name) for path in paths]
        return pick(parts[0].combine(*parts[1:]), symbol)


def _read(path: Path, symbol: str) -> MarketData:
    out = Recorder("bitstamp")
    skipped = 0
    for line in read_bytes(path).splitlines():
        stamp, event, text = line.decode().split(" ", 2)
        if event == "order_book":
            book = json.loads(text)
            bids, asks = (_worst_first(book[side]) for side in ("bids", "asks"))
            out.depth(symbol, ms(stamp), bids, asks, snapshot=True)
        elif event == "trade":
            trade = json.loads(text)
            # the log prints binary floats: 1.7885566900000001 was 1.78855669
            price, quantity = round(trade["price"], 8), round(trade["amount"], 8)
            out.market_print(symbol, ms(stamp), price, quantity, UNKNOWN, trade_id=int(trade["id"]))
        else:
            skipped += 1
    local = "ts_ns is the local time: the exchange's own has a resolution of one second"
    orders = "single-order events were left out; the snapshots of the same log are used instead"
    out.notes += [
        Finding("estimated_time", "info", "depth", symbol, out.number, -1, local),
        Finding("order_events", "info", "depth", symbol, skipped, -1, orders),
    ]
    return out.market(path)


def _worst_first(levels: list[Level]) -> list[Level]:
    return levels[::-1]


SOURCE = BitstampLog()
