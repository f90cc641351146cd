"""KuCoin, the public part: markets, book, prints, and their topics."""

from __future__ import annotations

from typing import Any

from execkit.rehearsal.dialects import kucoin_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Request, Socket
from execkit.rehearsal.dialects.kucoin_orders import KucoinOrders
from execkit.rehearsal.dialects.parts import maybe, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import DepthChange, Event
from execkit.words import ZERO

Row = dict[str, Any]

_BOOKS = ("/market/level2", "/contractMarket/level2")
_PRINTS = ("/market/match", "/contractMarket/execution")


class KucoinMarket(KucoinOrders):
    """What needs no key. A futures book is told level by level, each with a number of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sequences: dict[str, int] = {}
        self.exchange.listen(self._count)

    def _count(self, event: Event) -> None:
        """Before the sockets are told: the number of the last level of each book."""
        if event.depth is not None:
            levels = len(event.depth.bids) + len(event.depth.asks)
            self._sequences[event.symbol] = self._sequences.get(event.symbol, 0) + levels

    def market_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        table = {
            "/api/v2/symbols": self.instruments,
            "/api/v1/contracts/active": self.instruments,
            "/api/v1/market/orderbook/level2_20": self.book,
            "/api/v1/market/orderbook/level2_100": self.book,
            "/api/v3/market/orderbook/level2": self.book,
            "/api/v1/level2/snapshot": self.book,
            "/api/v1/level2/depth20": self.book,
            "/api/v1/level2/depth100": self.book,
            "/api/v1/market/histories": self.prints,
            "/api/v1/trade/history": self.prints,
            "/api/v1/market/stats": self.stats,
            "/api/v1/ticker": self.ticker,
            "/api/v1/market/allTickers": self.all_tickers,
        }
        found = {("GET", path): Endpoint(op="public", handler=h) for path, h in table.items()}
        found["GET", "/api/v1/timestamp"] = Endpoint(op="time", handler=lambda r: self.auth_ms())
        return found

    def instruments(self, request: Request) -> list[Row]:
        return [rows.market_row(rules) for rules in self.markets(request)]

    def book(self, request: Request) -> Row:
        rules = self.rules_of(request)
        feed, tail = self.exchange.feeds[rules.symbol], request.path.rpartition("/")[2]
        most = 20 if tail.endswith("20") else 100 if tail.endswith("100") else 5000
        last_id, bids, asks = feed.book(most)
        sides = {"bids": rows.levels(bids, rules), "asks": rows.levels(asks, rules)}
        now_ns = self.exchange.now_ns()
        if rows.is_future(rules.symbol):
            sequence = self._sequences.get(rules.symbol, 0)
            return {"symbol": rows.market_id(rules), "sequence": sequence, **sides, "ts": now_ns}
        return {"time": rows.ms(now_ns), "sequence": str(last_id), **sides}

    def prints(self, request: Request) -> list[Row]:
        rules = self.rules_of(request)
        seen = list(self.exchange.feeds[rules.symbol].prints)[-100:]
        return [rows.print_row(p, rules) for p in reversed(seen)]

    def stats(self, request: Request) -> Row:
        rules, row = self.rules_of(request), self.ticker(request)
        names = {"buy": "bestBid", "sell": "bestAsk", "last": "price", "vol": "size"}
        found = {new: row[old] for new, old in names.items()}
        return found | {"symbol": rows.market_id(rules), "time": row["time"]}

    def ticker(self, request: Request) -> Row:
        return self._ticker(self.rules_of(request))

    def _ticker(self, rules: SymbolRules) -> Row:
        feed = self.exchange.feeds[rules.symbol]
        _, bids, asks = feed.book(1)
        bid, ask = (side[0] if side else (ZERO, ZERO) for side in (bids, asks))
        last = feed.prints[-1].price if feed.prints else feed.mark()
        return {
            "symbol": rows.market_id(rules),
            "sequence": str(feed.update_id),
            "price": maybe(last),
            "size": text(feed.prints[-1].quantity if feed.prints else ZERO),
            "bestBid": maybe(bid[0]),
            "bestBidPrice": maybe(bid[0]),
            "bestBidSize": rows.size_of(bid[1], rules),
            "bestAsk": maybe(ask[0]),
            "bestAskPrice": maybe(ask[0]),
            "bestAskSize": rows.size_of(ask[1], rules),
            "time": rows.ms(self.exchange.now_ns()),
            "ts": self.exchange.now_ns(),
        }

    def all_tickers(self, request: Request) -> Row:
        shown = [self._ticker(rules) for rules in self.markets(request)]
        return {"time": rows.ms(self.exchange.now_ns()), "ticker": shown}

    # ------------------------------------------------------------------ topics

    def told_market(self, socket: Socket, event: Event) -> None:
        rules = self.exchange.rules[event.symbol]
        name, futures = rows.market_id(rules), rows.is_future(event.symbol)
        book, prints = f"{_BOOKS[futures]}:{name}", f"{_PRINTS[futures]}:{name}"
        if event.depth is not None and book in socket.topics:
            for subject, data in self._changes(event.depth, rules):
                frame = {"type": "message", "topic": book, "subject": subject, "data": data}
                socket.send(frame, topic="depth", event=event)
        if event.public_print is not None and prints in socket.topics:
            subject = "match" if futures else "trade.l3match"
            data = rows.print_row(event.public_print, rules)
            frame = {"type": "message", "topic": prints, "subject": subject, "data": data}
            socket.send(frame, topic="trade", event=event)

    def _changes(self, depth: DepthChange, rules: SymbolRules) -> list[tuple[str, Row]]:
        """(subject, data) of each message that tells a change of the book."""
        stamp = rows.ms(depth.ts_ns)
        if not rows.is_future(rules.symbol):
            number = str(depth.last_id)
            sides = {"asks": depth.asks, "bids": depth.bids}
            changes = {
                side: [[text(price), text(size), number] for price, size in levels]
                for side, levels in sides.items()
            }
            data = {"symbol": rows.market_id(rules), "changes": changes, "time": stamp}
            data |= {"sequenceStart": depth.first_id, "sequenceEnd": depth.last_id}
            return [("trade.l2update", data)]
        levels = [("buy", *level) for level in depth.bids]
        levels += [("sell", *level) for level in depth.asks]
        first = self._sequences[rules.symbol] - len(levels) + 1
        told = []
        for at, (side, price, size) in enumerate(levels):
            change = f"{text(price)},{side},{text(rows.contracts(size, rules))}"
            told.append(("level2", {"sequence": first + at, "change": change, "timestamp": stamp}))
        return told
