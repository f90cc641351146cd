"""Coinbase Advanced Trade websocket messages.

The feed's ``side`` of a trade is the maker's, so the aggressor is the other one. Times of depth and
quotes are those of the message, of trades their own. Trades of the opening message happened before
the capture: their local time is -1, unknown.
"""

from __future__ import annotations

from typing import Any

from execkit.clock import to_ns
from execkit.sources.recorder import Recorder
from execkit.tables import BUY, SELL


def feed(message: dict[str, Any], local_ns: int, out: Recorder) -> None:
    """One message; channels other than l2_data, market_trades and ticker are passed over."""
    channel = message.get("channel")
    if channel not in ("l2_data", "market_trades", "ticker"):
        return
    ts = to_ns(message["timestamp"])
    for event in message["events"]:
        if channel == "l2_data":
            sides: dict[bool, list[list[str]]] = {True: [], False: []}
            for update in event["updates"]:
                level = [update["price_level"], update["new_quantity"]]
                sides[update["side"] == "bid"].append(level)
            out.depth(
                event["product_id"],
                ts,
                sides[True],
                sides[False],
                snapshot=event["type"] == "snapshot",
                local_ns=local_ns,
            )
        elif channel == "market_trades":
            # newest first in the message
            for trade in reversed(event["trades"]):
                side = BUY if trade["side"] == "SELL" else SELL
                out.market_print(
                    trade["product_id"],
                    to_ns(trade["time"]),
                    trade["price"],
                    trade["size"],
                    side,
                    local_ns=-1 if event["type"] == "snapshot" else local_ns,
                    trade_id=int(trade["trade_id"]),
                )
        else:
            for tick in event["tickers"]:
                bid = [tick["best_bid"], tick["best_bid_quantity"]]
                ask = [tick["best_ask"], tick["best_ask_quantity"]]
                out.quote(tick["product_id"], ts, bid, ask, local_ns=local_ns)
