"""OKX v5, the public part: markets, book, prints, and their channels."""

from __future__ import annotations

from typing import Any

from execkit.rehearsal.dialects import okx_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Request, Socket
from execkit.rehearsal.dialects.okx_orders import OkxOrders
from execkit.rehearsal.dialects.parts import Top, maybe, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import Event
from execkit.words import ZERO

Row = dict[str, Any]

_DEPTHS = {"books": 400, "books5": 5, "bbo-tbt": 1, "books50-l2-tbt": 50, "books-l2-tbt": 400}
PUBLIC = (*_DEPTHS, "trades", "tickers")


class OkxMarket(OkxOrders):
    """What needs no key."""

    def market_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        table = {
            "/api/v5/public/instruments": self.instruments,
            "/api/v5/market/books": self.book,
            "/api/v5/market/trades": self.prints,
            "/api/v5/market/ticker": self.tickers,
            "/api/v5/market/tickers": self.tickers,
        }
        found = {("GET", path): Endpoint(op="public", handler=h) for path, h in table.items()}
        found["GET", "/api/v5/public/time"] = Endpoint(op="time", handler=self.time)
        return found

    def time(self, request: Request) -> list[Row]:
        return [{"ts": str(self.auth_ms())}]

    def instruments(self, request: Request) -> list[Row]:
        codes = {symbol: at + 1 for at, symbol in enumerate(self.exchange.rules)}
        return [rows.market_row(r, codes[r.symbol]) for r in self.chosen(request)]

    def book(self, request: Request) -> list[Row]:
        rules = self.rules_of(request)
        feed = self.exchange.feeds[rules.symbol]
        last_id, bids, asks = feed.book(min(request.whole("sz", 1), 400))
        sides = {"asks": rows.levels(asks, rules), "bids": rows.levels(bids, rules)}
        return [{**sides, "ts": rows.ms(self.exchange.now_ns()), "seqId": last_id}]

    def prints(self, request: Request) -> list[Row]:
        rules = self.rules_of(request)
        seen = list(self.exchange.feeds[rules.symbol].prints)[::-1]
        return [rows.print_row(p, rules) for p in seen[: min(request.whole("limit", 100), 500)]]

    def tickers(self, request: Request) -> list[Row]:
        return [self._ticker(rules) for rules in self.chosen(request)]

    def _ticker(self, rules: SymbolRules) -> Row:
        feed = self.exchange.feeds[rules.symbol]
        _, bids, asks = feed.book(1)
        bid, ask = (side[0] if side else (ZERO, ZERO) for side in (bids, asks))
        last = maybe(feed.prints[-1].price if feed.prints else feed.mark())
        sizes = {"bidSz": bid[1], "askSz": ask[1]}
        row = {name: text(rows.contracts(size, rules)) for name, size in sizes.items()}
        row |= dict.fromkeys(("last", "open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), last)
        names = {"instType": "SWAP" if rows.is_swap(rules.symbol) else "SPOT"}
        names |= {"instId": rows.market_id(rules), "ts": rows.ms(self.exchange.now_ns())}
        prices = {"bidPx": maybe(bid[0]), "askPx": maybe(ask[0])}
        return names | row | prices | {"vol24h": "0", "volCcy24h": "0", "lastSz": "0"}

    # ------------------------------------------------------------------ channels

    def begin(self, socket: Socket, topic: str, arg: Row) -> None:
        """What a new subscription hears at once."""
        channel, rules = arg["channel"], self.rules_of(self._asking(arg))
        if channel in _DEPTHS:
            socket.topics[topic] = arg, Top(_DEPTHS[channel])
            self._send_book(socket, topic, rules, None)
        elif channel == "tickers":
            socket.send({"arg": arg, "data": [self._ticker(rules)]})

    def _asking(self, arg: Row) -> Request:
        return Request(method="WS", host="", path="", params=dict(arg))

    def told_market(self, socket: Socket, event: Event) -> None:
        rules = self.exchange.rules[event.symbol]
        name = rows.market_id(rules)
        for topic, (arg, _) in list(socket.topics.items()):
            if arg.get("instId") != name:
                continue
            if arg["channel"] in _DEPTHS and event.depth is not None:
                self._send_book(socket, topic, rules, event)
            elif arg["channel"] == "trades" and event.public_print is not None:
                data = [rows.print_row(event.public_print, rules)]
                socket.send({"arg": arg, "data": data}, topic="trade", event=event)
            elif arg["channel"] == "tickers":
                frame = {"arg": arg, "data": [self._ticker(rules)]}
                socket.send(frame, topic="ticker", event=event)

    def _send_book(
        self, socket: Socket, topic: str, rules: SymbolRules, event: Event | None
    ) -> None:
        arg, top = socket.topics[topic]
        previous = top.last_id if event is not None else -1
        feed = self.exchange.feeds[rules.symbol]
        bids, asks = top.follow(feed)
        if event is not None and not bids and not asks:
            return
        whole = arg["channel"] in ("books5", "bbo-tbt")
        if whole:  # these are told anew each time
            _, bids, asks = feed.book(top.depth)
        sides = {"asks": rows.levels(asks, rules), "bids": rows.levels(bids, rules)}
        data = {**sides, "ts": rows.ms(self.exchange.now_ns()), "checksum": 0}
        data |= {"prevSeqId": previous, "seqId": top.last_id}
        if whole:
            data["instId"] = arg["instId"]
        word = {} if whole else {"action": "update" if event is not None else "snapshot"}
        frame = {"arg": arg, **word, "data": [data]}
        socket.send(frame, topic="depth" if event is not None else "", event=event)
