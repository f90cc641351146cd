"""Bybit v5, the public part: markets, book, prints, and their streams."""

from __future__ import annotations

from typing import Any

from execkit.rehearsal.dialects import bybit_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Request, Socket
from execkit.rehearsal.dialects.bybit_orders import BybitOrders
from execkit.rehearsal.dialects.parts import Top, maybe, text
from execkit.rehearsal.feed import Feed
from execkit.rehearsal.words import Event
from execkit.words import ZERO

Row = dict[str, Any]


class BybitMarket(BybitOrders):
    """What needs no key."""

    def market_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        table = {
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/orderbook": self.book,
            "/v5/market/recent-trade": self.prints,
            "/v5/market/tickers": self.tickers,
        }
        found = {("GET", path): Endpoint(op="public", handler=h) for path, h in table.items()}
        found["GET", "/v5/market/time"] = Endpoint(op="time", handler=self.time)
        return found

    def time(self, request: Request) -> Row:
        now = self.auth_ms()
        return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}

    def symbols(self, kind: str) -> list[str]:
        return [symbol for symbol in self.exchange.rules if rows.category(symbol) == kind]

    def instruments(self, request: Request) -> Row:
        kind = request.text("category")
        early = request.text("status", default="Trading") == "PreLaunch"
        names = [] if early else self.symbols(kind)
        if request.params.get("symbol"):
            names = [self.symbol(request)]
        shown = [rows.market_row(self.exchange.rules[symbol]) for symbol in names]
        return {"category": kind, "list": shown, "nextPageCursor": ""}

    def book(self, request: Request) -> Row:
        symbol = self.symbol(request)
        last_id, bids, asks = self.exchange.feeds[symbol].book(request.whole("limit", 25))
        stamp = self.exchange.now_ns() // 1_000_000
        sides = {"b": rows.levels(bids), "a": rows.levels(asks)}
        return {"s": rows.market_id(symbol), **sides, "ts": stamp, "u": last_id, "seq": last_id}

    def prints(self, request: Request) -> Row:
        """Newest first."""
        symbol, limit = self.symbol(request), min(request.whole("limit", 60), 1000)
        seen = list(self.exchange.feeds[symbol].prints)[::-1][:limit]
        shown = [
            {
                "execId": rows.venue_id(p.print_id, symbol),
                "symbol": rows.market_id(symbol),
                "price": text(p.price),
                "size": text(p.quantity),
                "side": "Sell" if p.buyer_is_maker else "Buy",
                "time": rows.ms(p.ts_ns),
                "isBlockTrade": False,
            }
            for p in seen
        ]
        return {"category": self.category(request), "list": shown}

    def tickers(self, request: Request) -> Row:
        kind = self.category(request)
        names = [self.symbol(request)] if request.params.get("symbol") else self.symbols(kind)
        shown = [self._ticker(self.exchange.feeds[symbol]) for symbol in names]
        return {"category": kind, "list": shown}

    def _ticker(self, feed: Feed) -> Row:
        _, bids, asks = feed.book(1)
        bid, ask = (side[0] if side else (ZERO, ZERO) for side in (bids, asks))
        last = feed.prints[-1].price if feed.prints else feed.mark()
        row = {
            "symbol": rows.market_id(feed.symbol),
            "bid1Price": maybe(bid[0]),
            "bid1Size": maybe(bid[1]),
            "ask1Price": maybe(ask[0]),
            "ask1Size": maybe(ask[1]),
            "lastPrice": maybe(last),
            "prevPrice24h": maybe(last),
            "price24hPcnt": "0",
            "highPrice24h": maybe(last),
            "lowPrice24h": maybe(last),
            "turnover24h": text(sum((p.price * p.quantity for p in feed.prints), ZERO)),
            "volume24h": text(sum((p.quantity for p in feed.prints), ZERO)),
        }
        if rows.category(feed.symbol) == "linear":
            mark = maybe(feed.mark())
            row |= {"markPrice": mark, "indexPrice": mark, "fundingRate": "0.0001"}
            eight = 8 * 3_600_000
            row["nextFundingTime"] = str((self.auth_ms() // eight + 1) * eight)
        return row

    # ------------------------------------------------------------------ streams

    def knows(self, socket: Socket, topic: str) -> bool:
        """Whether there is such a topic here."""
        kind, _, rest = topic.partition(".")
        depth, _, name = rest.rpartition(".")
        if kind == "orderbook" and not depth.isdigit():
            return False
        known = {rows.market_id(s) for s in self.symbols(socket.path.rpartition("/")[2])}
        return kind in ("orderbook", "tickers", "publicTrade") and name in known

    def begin(self, socket: Socket, topic: str) -> None:
        """What a new subscription hears at once: a snapshot of the book."""
        kind, _, rest = topic.partition(".")
        if kind == "tickers":
            self._send_ticker(socket, topic, self._feed(socket, rest), "snapshot", None)
        if kind != "orderbook":
            return
        depth, _, name = rest.partition(".")
        socket.topics[topic] = Top(int(depth))
        self._send_book(socket, topic, self._feed(socket, name), "snapshot", None)

    def _feed(self, socket: Socket, name: str) -> Feed:
        symbol = name if socket.path.endswith("/spot") else f"{name}:USDT"
        return self.exchange.feeds[symbol]

    def told_market(self, socket: Socket, event: Event) -> None:
        kind = rows.category(event.symbol)
        if not socket.path.endswith(f"/public/{kind}"):
            return
        name, feed = rows.market_id(event.symbol), self.exchange.feeds[event.symbol]
        for topic in list(socket.topics):
            if not topic.endswith(f".{name}"):
                continue
            if topic.startswith("orderbook.") and event.depth is not None:
                self._send_book(socket, topic, feed, "delta", event)
            elif topic.startswith("tickers."):
                self._send_ticker(socket, topic, feed, "snapshot", event)
            elif topic.startswith("publicTrade.") and event.public_print is not None:
                stamp = event.ts_ns // 1_000_000
                data = [rows.print_row(event.public_print)]
                frame = {"topic": topic, "type": "snapshot", "ts": stamp, "data": data}
                socket.send(frame, topic="trade", event=event)

    def _send_book(
        self, socket: Socket, topic: str, feed: Feed, word: str, event: Event | None
    ) -> None:
        top: Top = socket.topics[topic]
        bids, asks = top.follow(feed)
        if event is not None and not bids and not asks:
            return
        sides = {"b": rows.levels(bids), "a": rows.levels(asks)}
        data = {"s": rows.market_id(feed.symbol), **sides, "u": top.last_id, "seq": top.last_id}
        stamp = self.exchange.now_ns() // 1_000_000
        frame = {"topic": topic, "type": word, "ts": stamp, "data": data, "cts": stamp}
        socket.send(frame, topic="depth" if event is not None else "", event=event)

    def _send_ticker(
        self, socket: Socket, topic: str, feed: Feed, word: str, event: Event | None
    ) -> None:
        stamp, data = self.exchange.now_ns() // 1_000_000, self._ticker(feed)
        frame = {"topic": topic, "type": word, "cs": stamp, "ts": stamp, "data": data}
        socket.send(frame, topic="ticker", event=event)
