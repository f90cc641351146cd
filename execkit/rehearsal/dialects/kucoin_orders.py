"""Orders of KuCoin: spot under two generations of paths, futures under the same ones elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from execkit.rehearsal.dialects import kucoin_rows as rows
from execkit.rehearsal.dialects.base import Dialect, Request
from execkit.rehearsal.dialects.parts import needed, number
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedOrder, NewOrder, Rejected
from execkit.words import ZERO, OrderType, Side, TimeInForce

Row = dict[str, Any]

_TIMES = {word.value: word for word in (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)}
FUTURES_HOST = "api-futures.kucoin.com"


class KucoinOrders(Dialect):
    """Handlers of the order endpoints; each returns the `data` of the answer."""

    # ------------------------------------------------------------------ names

    def markets(self, request: Request) -> list[SymbolRules]:
        """Those of the side of the exchange that was asked: spot or futures."""
        futures = request.host == FUTURES_HOST
        found = self.exchange.rules.values()
        return [r for r in found if rows.is_future(r.symbol) == futures]

    def rules_of(self, request: Request) -> SymbolRules:
        name = request.text("symbol")
        for rules in self.markets(request):
            if rows.market_id(rules) == name:
                return rules
        raise Rejected("unknown_symbol")

    def chosen(self, request: Request) -> set[str]:
        """Our symbols of a list: the one that is named, else all on this side."""
        if request.params.get("symbol"):
            return {self.rules_of(request).symbol}
        return {rules.symbol for rules in self.markets(request)}

    # ------------------------------------------------------------------ places

    def create(self, request: Request) -> Row:
        order = self.exchange.place_unjudged(request.account, self._asked(request))
        named = rows.stop_id if rows.is_stop(order) else rows.venue_id
        return {"orderId": named(order.order_id), "clientOid": order.client_order_id}

    def _asked(self, request: Request) -> NewOrder:
        rules, kind = self.rules_of(request), request.text("type", default="limit")
        word, given = request.text("side"), request.text("timeInForce", default="GTC")
        if word not in ("buy", "sell") or kind not in ("market", "limit") or given not in _TIMES:
            raise Rejected("bad_request", "side, type or timeInForce invalid")
        side, limited = Side(word), kind == "limit"
        funds = None if limited else number(request, "funds")
        size = None if funds else needed(request, "size")
        if size is not None and rows.is_future(rules.symbol):
            size *= rules.lot_size
        stop = number(request, "stopPrice")
        self._check_stop(request, rules, side, stop)
        types = (OrderType.LIMIT, OrderType.STOP_LIMIT), (OrderType.MARKET, OrderType.STOP_MARKET)
        return NewOrder(
            symbol=rules.symbol,
            side=side,
            order_type=types[not limited][stop is not None],
            quantity=size,
            quote_quantity=funds,
            price=needed(request, "price") if limited else None,
            stop_price=stop,
            time_in_force=_TIMES[given] if limited else TimeInForce.GTC,
            post_only=limited and self._flag(request, "postOnly"),
            reduce_only=self._flag(request, "reduceOnly"),
            client_order_id=request.text("clientOid"),
        )

    def _flag(self, request: Request, name: str) -> bool:
        return str(request.params.get(name, "")).lower() == "true"

    def _check_stop(
        self, request: Request, rules: SymbolRules, side: Side, stop: Decimal | None
    ) -> None:
        """Only stops are rehearsed: purchases that wait for a rise, sales that wait for a fall."""
        if stop is None:
            return
        usual = "up" if rows.is_future(rules.symbol) and side is Side.BUY else "loss"
        rises = request.text("stop", default=usual) in ("up", "entry")
        if rises != (side is Side.BUY):
            raise Rejected("unsupported", "this direction of a stop is not rehearsed")
        mark = self.exchange.feeds[rules.symbol].mark()
        if mark is not None and (stop - mark) * side.sign <= 0:
            raise Rejected("would_trigger")

    # ------------------------------------------------------------------ cancels

    def cancel(self, request: Request) -> Row:
        """By the exchange's id. A futures stop goes here too."""
        self._cancel_booked(request, self.wanted(request))
        name = request.path_args["orderId"]
        if "/hf/" in request.path:
            return {"orderId": name}
        return {"cancelledOrderIds": [name]}

    def cancel_named(self, request: Request) -> Row:
        order = self.named(request)
        self._cancel_booked(request, order)
        name = request.path_args["clientOid"]
        if "/hf/" in request.path:
            return {"clientOid": name}
        return {"cancelledOrderId": rows.venue_id(order.order_id), "clientOid": name}

    def _cancel_booked(self, request: Request, order: BookedOrder) -> None:
        if rows.waits(order) and not rows.is_future(order.symbol):
            raise Rejected("unknown_order")
        self.exchange.cancel(request.account, order.order_id)

    def cancel_stop(self, request: Request) -> Row:
        order = self.wanted(request)
        return self._cancel_waiting(request, order)

    def cancel_stop_named(self, request: Request) -> Row:
        return self._cancel_waiting(request, self.named(request))

    def _cancel_waiting(self, request: Request, order: BookedOrder) -> Row:
        if not rows.waits(order):
            raise Rejected("unknown_order")
        self.exchange.cancel(request.account, order.order_id)
        name = rows.stop_id(order.order_id)
        both = {"cancelledOrderId": name, "cancelledOrderIds": [name]}
        return both | {"clientOid": order.client_order_id}

    def cancel_all(self, request: Request) -> Any:
        done = self._cancel_where(request, lambda o: not rows.waits(o))
        return "success" if "/hf/" in request.path else {"cancelledOrderIds": done}

    def cancel_stops(self, request: Request) -> Row:
        return {"cancelledOrderIds": self._cancel_where(request, rows.waits)}

    def _cancel_where(self, request: Request, which: Callable[[BookedOrder], bool]) -> list[str]:
        symbols, done = self.chosen(request), []
        for order in self.exchange.account(request.account).open_orders():
            if order.symbol in symbols and which(order):
                named = rows.stop_id if rows.waits(order) else rows.venue_id
                self.exchange.cancel(request.account, order.order_id)
                done.append(named(order.order_id))
        return done

    # ------------------------------------------------------------------ look-ups

    def wanted(self, request: Request) -> BookedOrder:
        """The order whose id is in the path."""
        given = request.path_args["orderId"]
        order = self.exchange.order(request.account, rows.number_of(given))
        return self._here(request, order)

    def named(self, request: Request) -> BookedOrder:
        """The newest order of a client id, in the path or among the parameters."""
        given = request.path_args.get("clientOid") or request.text("clientOid")
        for symbol in sorted(self.chosen(request)):
            try:
                return self._here(request, self.exchange.named(request.account, given, symbol))
            except Rejected:
                continue
        raise Rejected("unknown_order")

    def _here(self, request: Request, order: BookedOrder) -> BookedOrder:
        hidden = request.op == "query" and not self.exchange.visible(order)
        if order.symbol not in self.chosen(request) or hidden:
            raise Rejected("unknown_order")
        return order

    def shown(self, order: BookedOrder) -> Row:
        rules = self.exchange.rules[order.symbol]
        if rows.waits(order):
            return rows.stop_row(order, rules)
        fees: dict[str, Decimal] = {}
        for fill in self.exchange.account(order.account).fills_of.get(order.order_id, ()):
            fees[fill.fee_currency] = fees.get(fill.fee_currency, ZERO) + fill.fee
        return rows.order_row(order, rules, fees)

    def query(self, request: Request) -> Row:
        order = self.wanted(request)
        if rows.waits(order) and not rows.is_future(order.symbol):
            raise Rejected("unknown_order")
        return self.shown(order)

    def query_named(self, request: Request) -> Row:
        order = self.named(request)
        if rows.waits(order) and not rows.is_future(order.symbol):
            raise Rejected("unknown_order")
        return self.shown(order)

    def query_stop(self, request: Request) -> Row:
        order = self.wanted(request)
        if not rows.is_stop(order):
            raise Rejected("unknown_order")
        return rows.stop_row(order, self.exchange.rules[order.symbol])

    def query_stop_named(self, request: Request) -> list[Row]:
        order = self.named(request)
        if not rows.is_stop(order):
            raise Rejected("unknown_order")
        return [rows.stop_row(order, self.exchange.rules[order.symbol])]

    def orders(self, request: Request) -> Row:
        """Pages of orders, newest first; `status` is active or done."""
        active = request.text("status", default="done") == "active"
        kept = [
            o
            for o in self._orders(request)
            if o.is_open == active
            and (not rows.waits(o) or (rows.is_future(o.symbol) and not active))
        ]
        return self._paged(request, [self.shown(o) for o in kept])

    def active(self, request: Request) -> list[Row]:
        found = [o for o in self._orders(request) if o.is_open and not rows.waits(o)]
        return [self.shown(o) for o in found]

    def done(self, request: Request) -> Row:
        found = [o for o in self._orders(request) if not o.is_open and not rows.waits(o)]
        most = min(request.whole("limit", 20), 100)
        return {"lastId": 0, "items": [self.shown(o) for o in found[:most]]}

    def stops(self, request: Request) -> Row:
        found = [o for o in self._orders(request) if o.is_open and rows.waits(o)]
        return self._paged(request, [self.shown(o) for o in found])

    def _orders(self, request: Request) -> list[BookedOrder]:
        """Newest first."""
        symbols = self.chosen(request)
        start, end = request.whole("startAt", 0), request.whole("endAt", 2**62)
        return [
            o
            for o in reversed(self.exchange.orders(request.account))
            if o.symbol in symbols and self.exchange.visible(o)
            if start <= rows.ms(o.created_ns) <= end
        ]

    def fills(self, request: Request) -> Row:
        """Pages of own executions, newest first; the newer paths take a limit instead."""
        symbols, now_ns = self.chosen(request), self.exchange.now_ns()
        start, end = request.whole("startAt", 0), request.whole("endAt", 2**62)
        wanted = rows.number_of(request.text("orderId", default="none"))
        account, shown = request.account, []
        for fill in reversed(self.exchange.fills(account)):
            fits = fill.symbol in symbols and wanted in (-1, fill.order_id)
            seen = fill.hidden_until_ns <= now_ns and start <= rows.ms(fill.ts_ns) <= end
            if fits and seen:
                order = self.exchange.order(account, fill.order_id)
                shown.append(rows.fill_row(fill, order, self.exchange.rules[fill.symbol]))
        if "/hf/" in request.path:
            most, last = min(request.whole("limit", 20), 100), request.whole("lastId", 2**62)
            older = [row for row in shown if row["id"] < last][:most]
            return {"items": older, "lastId": older[-1]["id"] if older else 0}
        return self._paged(request, shown)

    def _paged(self, request: Request, shown: list[Row]) -> Row:
        page = max(1, request.whole("currentPage", 1))
        size = min(max(1, request.whole("pageSize", 50)), 1000)
        pages = -(-len(shown) // size)
        head = {"currentPage": page, "pageSize": size, "totalNum": len(shown), "totalPage": pages}
        return head | {"items": shown[(page - 1) * size : page * size]}
