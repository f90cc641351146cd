"""OKX v5 websocket messages: books, trades, tickers. Quantities of derivatives are contracts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execkit.sources.recorder import Recorder, ms
from execkit.tables import BUY, SELL


def instruments(answer: dict[str, Any], out: Recorder) -> None:
    """What the REST answer to ``public/instruments`` says of kind and contract size."""
    for row in answer.get("data", []):
        if row.get("ctType") in ("linear", "inverse"):
            out.sort(row["instId"], (row["ctType"], Decimal(row["ctVal"])))


def feed(message: dict[str, Any], local_ns: int, out: Recorder) -> None:
    """One message; answers to subscriptions are passed over."""
    channel = (message.get("arg") or {}).get("channel")
    if channel not in ("books", "trades", "tickers") or "data" not in message:
        return
    symbol = message["arg"]["instId"]
    for row in message["data"]:
        ts = ms(row["ts"])
        if channel == "books":
            whole = message.get("action") == "snapshot"
            out.depth(symbol, ts, row["bids"], row["asks"], snapshot=whole, local_ns=local_ns)
        elif channel == "trades":
            side = BUY if row["side"] == "buy" else SELL
            number = int(row["tradeId"])
            out.market_print(
                symbol, ts, row["px"], row["sz"], side, local_ns=local_ns, trade_id=number
            )
        else:
            bid, ask = [row["bidPx"], row["bidSz"]], [row["askPx"], row["askSz"]]
            out.quote(symbol, ts, bid, ask, local_ns=local_ns)
