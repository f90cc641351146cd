"""Binance spot, the public part: symbols, book, prints, bars, and their streams."""

from __future__ import annotations

from typing import Any

from execkit.clock import NS_PER_MS
from execkit.rehearsal.dialects import binance_rows as rows
from execkit.rehearsal.dialects.base import Dialect, Endpoint, Request, Socket
from execkit.rehearsal.feed import Feed
from execkit.rehearsal.words import Event, PublicPrint, Rejected

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class BinanceMarket(Dialect):
    """What needs no key."""

    def public_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        def public(handler: Any, op: str = "public", weight: int = 1) -> Endpoint:
            return Endpoint(op=op, handler=handler, weight=weight)

        return {
            ("GET", "/api/v3/ping"): public(lambda request: {}),
            ("GET", "/api/v3/time"): public(lambda r: {"serverTime": self.auth_ms()}, "time"),
            ("GET", "/sapi/v1/system/status"): public(lambda r: {"status": 0, "msg": "normal"}),
            ("GET", "/api/v3/exchangeInfo"): public(self.exchange_info, weight=20),
            ("GET", "/api/v3/depth"): public(self.depth, weight=5),
            ("GET", "/api/v3/ticker/24hr"): public(self.ticker, weight=2),
            ("GET", "/api/v3/ticker/price"): public(self.ticker_price, weight=2),
            ("GET", "/api/v3/ticker/bookTicker"): public(self.book_ticker, weight=2),
            ("GET", "/api/v3/klines"): public(self.klines, weight=2),
            ("GET", "/api/v3/aggTrades"): public(self.prints, weight=2),
            ("GET", "/api/v3/trades"): public(self.prints, weight=2),
        }

    # ------------------------------------------------------------------ requests

    def spot_symbols(self) -> list[str]:
        exchange = self.exchange
        return [s for s in exchange.rules if exchange.instrument(s).kind == "spot"]

    def symbol(self, request: Request) -> str:
        found = request.text("symbol")
        if found not in self.exchange.rules or self.exchange.instrument(found).kind != "spot":
            raise Rejected("unknown_symbol")
        return found

    def feed(self, request: Request) -> Feed:
        return self.exchange.feeds[self.symbol(request)]

    def exchange_info(self, request: Request) -> Any:
        return {
            "timezone": "UTC",
            "serverTime": self.auth_ms(),
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 6000,
                }
            ],
            "exchangeFilters": [],
            "symbols": [rows.symbol_row(self.exchange.rules[s]) for s in self.spot_symbols()],
        }

    def depth(self, request: Request) -> Any:
        number, bids, asks = self.feed(request).book(request.whole("limit", 100))
        sides = {"bids": bids, "asks": asks}
        levels = {
            name: [[rows.number(price), rows.number(size)] for price, size in side]
            for name, side in sides.items()
        }
        return {"lastUpdateId": number, **levels}

    def ticker(self, request: Request) -> Any:
        if request.params.get("symbol"):
            return self._ticker(self.feed(request))
        return [self._ticker(self.exchange.feeds[s]) for s in self.spot_symbols()]

    def ticker_price(self, request: Request) -> Any:
        feed = self.feed(request)
        return {"symbol": feed.symbol, "price": rows.number(feed.mark())}

    def book_ticker(self, request: Request) -> Any:
        if request.params.get("symbol"):
            return self._best(self.feed(request))
        return [self._best(self.exchange.feeds[s]) for s in self.spot_symbols()]

    def _best(self, feed: Feed) -> dict[str, Any]:
        _, bids, asks = feed.book(1)
        bid, ask = (side[0] if side else (None, None) for side in (bids, asks))
        return {
            "symbol": feed.symbol,
            "bidPrice": rows.number(bid[0]),
            "bidQty": rows.number(bid[1]),
            "askPrice": rows.number(ask[0]),
            "askQty": rows.number(ask[1]),
        }

    def _ticker(self, feed: Feed) -> dict[str, Any]:
        seen = list(feed.prints)
        mark = rows.number(feed.mark())
        prices = [p.price for p in seen]
        last = rows.number(prices[-1]) if prices else mark
        now = rows.ms(self.exchange.now_ns())
        return self._best(feed) | {
            "priceChange": "0.00000000",
            "priceChangePercent": "0.000",
            "weightedAvgPrice": last,
            "prevClosePrice": last,
            "lastPrice": last,
            "lastQty": rows.number(seen[-1].quantity if seen else None),
            "openPrice": rows.number(prices[0]) if prices else mark,
            "highPrice": rows.number(max(prices)) if prices else mark,
            "lowPrice": rows.number(min(prices)) if prices else mark,
            "volume": rows.number(sum((p.quantity for p in seen), start=feed.zero)),
            "quoteVolume": rows.number(sum((p.quantity * p.price for p in seen), start=feed.zero)),
            "openTime": now - 86_400_000,
            "closeTime": now,
            "firstId": seen[0].print_id if seen else -1,
            "lastId": seen[-1].print_id if seen else -1,
            "count": len(seen),
        }

    def prints(self, request: Request) -> Any:
        limit, start = min(request.whole("limit", 500), 1000), request.whole("startTime", 0)
        first = request.whole("fromId", 0)
        found = [
            p
            for p in self.feed(request).prints
            if rows.ms(p.ts_ns) >= start and p.print_id >= first
        ]
        kept = found[:limit] if start or first else found[-limit:]
        aggregated = request.path.endswith("aggTrades")
        return [_aggregate(p) if aggregated else _single(p) for p in kept]

    def klines(self, request: Request) -> Any:
        """Bars of the prints that are still remembered."""
        step = span_ms(request.text("interval"))
        limit, start = min(request.whole("limit", 500), 1000), request.whole("startTime", 0)
        end = request.whole("endTime", 2**53)
        found: dict[int, list[PublicPrint]] = {}
        for p in self.feed(request).prints:
            found.setdefault(rows.ms(p.ts_ns) // step * step, []).append(p)
        bars = [
            _kline(opened, step, group) for opened, group in found.items() if start <= opened <= end
        ]
        return bars[:limit] if start else bars[-limit:]

    # ------------------------------------------------------------------ streams

    def subscribe(self, socket: Socket, message: dict[str, Any]) -> None:
        """SUBSCRIBE and UNSUBSCRIBE on a market socket."""
        names = [str(name) for name in message.get("params") or []]
        for name in names:
            if message.get("method") == "SUBSCRIBE":
                socket.topics[name] = True
            else:
                socket.topics.pop(name, None)
        socket.send({"result": None, "id": message.get("id")})

    def told_market(self, socket: Socket, event: Event) -> None:
        low = event.symbol.lower()
        for name in list(socket.topics):
            symbol, _, stream = name.partition("@")
            if symbol != low:
                continue
            frame = self.market_frame(stream, event, socket)
            if frame is not None:
                socket.send(frame, topic=event.kind.value, event=event)

    def market_frame(self, stream: str, event: Event, socket: Socket) -> dict[str, Any] | None:
        """What one stream says of a market event, None for nothing."""
        stamp, kind = rows.ms(event.ts_ns) + self.skew_ms, stream.partition("@")[0]
        depth, seen = event.depth, event.public_print
        if depth is not None and kind == "depth":
            return {
                "e": "depthUpdate",
                "E": stamp,
                "s": event.symbol,
                "U": depth.first_id,
                "u": depth.last_id,
                "b": [[rows.number(price), rows.number(size)] for price, size in depth.bids],
                "a": [[rows.number(price), rows.number(size)] for price, size in depth.asks],
            }
        if depth is not None and kind == "bookTicker":
            best = self._best(self.exchange.feeds[event.symbol])
            names = {"s": "symbol", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty"}
            return {"u": depth.last_id} | {short: best[name] for short, name in names.items()}
        if seen is not None and kind == "trade":
            return {
                "e": "trade",
                "E": stamp,
                "s": event.symbol,
                "t": seen.print_id,
                "p": rows.number(seen.price),
                "q": rows.number(seen.quantity),
                "T": stamp,
                "m": seen.buyer_is_maker,
                "M": True,
            }
        if seen is not None and kind == "aggTrade":
            return {"e": "aggTrade", "E": stamp, "s": event.symbol} | _aggregate(seen)
        if seen is not None and kind.startswith("kline_"):
            return self._kline_frame(kind.removeprefix("kline_"), event, seen)
        if seen is not None and kind in ("ticker", "miniTicker"):
            return self._ticker_frame(event)
        return None

    def _kline_frame(self, interval: str, event: Event, seen: PublicPrint) -> dict[str, Any]:
        step, stamp = span_ms(interval), rows.ms(event.ts_ns)
        opened = stamp // step * step
        group = []
        for p in reversed(self.exchange.feeds[event.symbol].prints):
            if rows.ms(p.ts_ns) < opened:
                break
            if p.print_id <= seen.print_id:
                group.append(p)
        bar = _kline(opened, step, group[::-1])
        names = ["t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q"]
        values = dict(zip(names, bar, strict=False))
        more = {"s": event.symbol, "i": interval, "f": group[-1].print_id, "L": seen.print_id}
        return {
            "e": "kline",
            "E": stamp + self.skew_ms,
            "s": event.symbol,
            "k": values | more | {"x": False, "B": "0"},
        }

    def _ticker_frame(self, event: Event) -> dict[str, Any]:
        row = self._ticker(self.exchange.feeds[event.symbol])
        names = {
            "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice",
            "x": "prevClosePrice", "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty",
            "a": "askPrice", "A": "askQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice",
            "v": "volume", "q": "quoteVolume", "O": "openTime", "C": "closeTime", "F": "firstId",
            "L": "lastId", "n": "count",
        }  # fmt: skip
        head = {"e": "24hrTicker", "E": rows.ms(event.ts_ns) + self.skew_ms, "s": event.symbol}
        return head | {short: row[name] for short, name in names.items()}


def span_ms(interval: str) -> int:
    """Milliseconds of "1m", "4h" and so on. Raises `Rejected` for anything else."""
    unit = _UNITS_MS.get(interval[-1:])
    if unit is None or not interval[:-1].isdigit():
        raise Rejected("bad_request", "Invalid interval.")
    return int(interval[:-1]) * unit


def _aggregate(p: PublicPrint) -> dict[str, Any]:
    return {
        "a": p.print_id,
        "p": rows.number(p.price),
        "q": rows.number(p.quantity),
        "f": p.print_id,
        "l": p.print_id,
        "T": p.ts_ns // NS_PER_MS,
        "m": p.buyer_is_maker,
        "M": True,
    }


def _single(p: PublicPrint) -> dict[str, Any]:
    return {
        "id": p.print_id,
        "price": rows.number(p.price),
        "qty": rows.number(p.quantity),
        "quoteQty": rows.number(p.price * p.quantity),
        "time": p.ts_ns // NS_PER_MS,
        "isBuyerMaker": p.buyer_is_maker,
        "isBestMatch": True,
    }


def _kline(opened: int, step: int, group: list[PublicPrint]) -> list[Any]:
    prices = [p.price for p in group]
    volume = sum((p.quantity for p in group[1:]), start=group[0].quantity)
    quote = sum((p.quantity * p.price for p in group[1:]), start=group[0].quantity * prices[0])
    bought = [p for p in group if not p.buyer_is_maker]
    zero = volume - volume
    return [
        opened,
        rows.number(prices[0]),
        rows.number(max(prices)),
        rows.number(min(prices)),
        rows.number(prices[-1]),
        rows.number(volume),
        opened + step - 1,
        rows.number(quote),
        len(group),
        rows.number(sum((p.quantity for p in bought), start=zero)),
        rows.number(sum((p.quantity * p.price for p in bought), start=zero)),
        "0",
    ]
