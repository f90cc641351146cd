"""Binance USD-M futures, the public part. Symbols carry their settlement coin here, not there."""

from __future__ import annotations

from typing import Any

from execkit.rehearsal.dialects import usdm_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Request, Socket
from execkit.rehearsal.dialects.binance_spot import BinanceSpot
from execkit.rehearsal.dialects.parts import text
from execkit.rehearsal.feed import Feed
from execkit.rehearsal.words import Event, Rejected

Row = dict[str, Any]

_EIGHT_HOURS_MS = 8 * 3_600_000


class UsdmMarket(BinanceSpot):
    """What needs no key; signing is as for spot."""

    settle = "USDT"

    def market_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        same = {
            (method, path.replace("/api/v3/", "/fapi/v1/")): endpoint
            for (method, path), endpoint in self.public_endpoints().items()
        }
        more = {
            "/fapi/v1/premiumIndex": self.premium_index,
            "/fapi/v1/fundingRate": self.funding_rates,
            "/fapi/v1/fundingInfo": lambda request: [],
        }
        return same | {("GET", p): Endpoint(op="public", handler=h) for p, h in more.items()}

    def spot_symbols(self) -> list[str]:
        return [symbol for symbol in self.exchange.rules if self.speaks_of(symbol)]

    def speaks_of(self, symbol: str) -> bool:
        """Whether a symbol belongs to this market: our exchange may have spot ones besides."""
        return symbol.endswith(f":{self.settle}")

    def symbol(self, request: Request) -> str:
        found = f"{request.text('symbol').upper()}:{self.settle}"
        if found not in self.exchange.rules or not self.speaks_of(found):
            raise Rejected("unknown_symbol")
        return found

    def exchange_info(self, request: Request) -> Row:
        limits = {"interval": "MINUTE", "intervalNum": 1}
        return {
            "timezone": "UTC",
            "serverTime": self.auth_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "limit": 2400} | limits,
                {"rateLimitType": "ORDERS", "limit": 1200} | limits,
            ],
            "exchangeFilters": [],
            "assets": [{"asset": self.settle, "marginAvailable": True, "autoAssetExchange": "0"}],
            "symbols": [rows.market_row(self.exchange.rules[s]) for s in self.spot_symbols()],
        }

    def depth(self, request: Request) -> Row:
        last_id, bids, asks = self.feed(request).book(request.whole("limit", 500))
        now = rows.ms(self.exchange.now_ns())
        sides = {"bids": rows.levels(bids), "asks": rows.levels(asks)}
        return {"lastUpdateId": last_id, "E": now, "T": now, **sides}

    def premium_index(self, request: Request) -> Any:
        if request.params.get("symbol"):
            return self._premium(self.feed(request))
        return [self._premium(self.exchange.feeds[s]) for s in self.spot_symbols()]

    def _premium(self, feed: Feed) -> Row:
        mark, now = text(feed.mark()), rows.ms(self.exchange.now_ns())
        return {
            "symbol": rows.market_id(feed.symbol),
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": (now // _EIGHT_HOURS_MS + 1) * _EIGHT_HOURS_MS,
            "time": now,
        }

    def funding_rates(self, request: Request) -> list[Row]:
        """Rates at the hours they were paid, as the market data has them."""
        symbol, limit = self.symbol(request), min(request.whole("limit", 100), 1000)
        start, end = request.whole("startTime", 0), request.whole("endTime", 2**62)
        table, paid = self.exchange.market.funding, []
        if table is not None and symbol in table.present:
            own = table.of(symbol)
            paid = list(zip(own["ts_ns"].tolist(), own["rate"].tolist(), strict=True))
        shown = []
        for at, rate in paid:
            when = rows.ms(at + self.exchange.offset_ns)
            if start <= when <= min(end, rows.ms(self.exchange.now_ns())):
                row = {"symbol": rows.market_id(symbol), "fundingTime": when}
                shown.append(row | {"fundingRate": f"{rate:.8f}", "markPrice": ""})
        return shown[:limit] if "startTime" in request.params else shown[-limit:]

    def _best(self, feed: Feed) -> Row:
        return super()._best(feed) | {"symbol": rows.market_id(feed.symbol)}

    # ------------------------------------------------------------------ streams

    def told_market(self, socket: Socket, event: Event) -> None:
        low = rows.market_id(event.symbol).lower()
        for name in list(socket.topics):
            symbol, _, stream = name.partition("@")
            frame = self.market_frame(stream, event, socket) if symbol == low else None
            if frame is not None:
                socket.send(frame, topic=stream.partition("@")[0], event=event)

    def market_frame(self, stream: str, event: Event, socket: Socket) -> Row | None:
        name = rows.market_id(event.symbol)
        if stream.startswith("markPrice"):
            return self._mark_frame(event) if event.depth is not None else None
        if event.depth is not None and stream.startswith("depth"):
            return rows.depth_event(event.depth)
        frame = super().market_frame(stream, event, socket)
        if frame is not None:
            frame["s"] = name
            if "k" in frame:
                frame["k"]["s"] = name
            if frame.get("e") == "trade":
                frame["X"] = "MARKET"
        return frame

    def _mark_frame(self, event: Event) -> Row:
        row, stamp = self._premium(self.exchange.feeds[event.symbol]), rows.ms(event.ts_ns)
        names = {"s": "symbol", "p": "markPrice", "i": "indexPrice", "P": "estimatedSettlePrice"}
        names |= {"r": "lastFundingRate", "T": "nextFundingTime"}
        head = {"e": "markPriceUpdate", "E": stamp}
        return head | {short: row[name] for short, name in names.items()}
