"""Kraken websocket messages: spot (v1) and futures.

Spot messages carry times per level only; a message takes the latest of its own. Spot clients are
expected to forget levels beyond the subscribed depth; they are kept here, far from the touch, and
may be stale. Futures quantities are contracts of 1 USD; trades of
their opening message happened before the capture: their local time is -1, unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from execkit.sources.recorder import Recorder, ms, seconds
from execkit.tables import BUY, SELL


def feed_spot(message: Any, local_ns: int, out: Recorder) -> None:
    """One spot message: [id, payload, (payload,) channel, pair]; other forms are passed over."""
    if not isinstance(message, list):
        return
    channel, symbol = str(message[-2]), str(message[-1])
    if channel == "trade":
        for price, quantity, time, side, *_ in message[1]:
            aggressor = BUY if side == "b" else SELL
            out.market_print(symbol, seconds(time), price, quantity, aggressor, local_ns=local_ns)
    elif channel.startswith("book-"):
        payload: dict[str, Any] = {}
        for part in message[1:-2]:
            payload.update(part)
        whole = "as" in payload
        bids = payload.get("bs" if whole else "b", [])
        asks = payload.get("as" if whole else "a", [])
        ts = max(seconds(level[2]) for level in (*bids, *asks))
        out.depth(symbol, ts, bids, asks, snapshot=whole, local_ns=local_ns)


def feed_futures(message: dict[str, Any], local_ns: int, out: Recorder) -> None:
    """One futures message; tickers have no time and are passed over."""
    kind = message.get("feed")
    if "event" in message or kind not in ("book_snapshot", "book", "trade_snapshot", "trade"):
        return
    symbol = message["product_id"]
    if symbol[:2] in ("PI", "FI"):
        out.sort(symbol, ("inverse", Decimal(1)))
    if kind.startswith("trade"):
        for trade in _trades(message):
            side = BUY if trade["side"] == "buy" else SELL
            number = int(trade["seq"])
            out.market_print(
                symbol,
                ms(trade["time"]),
                trade["price"],
                trade["qty"],
                side,
                local_ns=local_ns if kind == "trade" else -1,
                trade_id=number,
                off_book=trade["type"] not in ("fill", "liquidation", "termination"),
            )
        return
    seq = int(message["seq"])
    if kind == "book":
        level = [[message["price"], message["qty"]]]
        bids, asks = (level, []) if message["side"] == "buy" else ([], level)
    else:
        bids, asks = (_levels(message[name]) for name in ("bids", "asks"))
    out.depth(
        symbol,
        ms(message["timestamp"]),
        bids,
        asks,
        snapshot=kind == "book_snapshot",
        local_ns=local_ns,
        ids=(seq, seq, -1),
    )


def _trades(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Trades oldest first; a snapshot lists them newest first."""
    yield from reversed(message["trades"]) if "trades" in message else [message]


def _levels(rows: list[dict[str, Any]]) -> list[list[float]]:
    return [[row["price"], row["qty"]] for row in rows]
