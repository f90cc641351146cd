"""Orders of Binance USD-M futures, of the matching engine and conditional ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from execkit.rehearsal.dialects import usdm_rows as rows
from execkit.rehearsal.dialects.base import Request
from execkit.rehearsal.dialects.usdm_market import UsdmMarket
from execkit.rehearsal.words import BookedFill, BookedOrder, NewOrder, Rejected
from execkit.words import OrderType, Side, TimeInForce

Row = dict[str, Any]

_PLAIN = {"LIMIT": OrderType.LIMIT, "MARKET": OrderType.MARKET}
_ALGO = {
    "STOP": OrderType.STOP_LIMIT,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "TRAILING_STOP_MARKET": OrderType.TRAILING_STOP,
}
_MOVED = (
    "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
)
_WEEK_MS = 7 * 86_400_000
_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


class Coded(Rejected):
    """A rejection that has its own code here."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__("bad_request", message)
        self.code = code


def flag(request: Request, name: str) -> bool:
    return request.text(name, default="false").lower() == "true"


def named(words: dict[str, Any], request: Request, name: str, code: int) -> Any:
    """What a word of this venue means."""
    word = request.text(name).upper()
    if word not in words:
        raise Coded(code, f"Invalid {name}.")
    return words[word]


class UsdmOrders(UsdmMarket):
    """Handlers of the order endpoints; each returns the body of the answer."""

    # ------------------------------------------------------------------ places and cancels

    def create(self, request: Request) -> Row:
        kind = request.text("type").upper()
        if kind in _ALGO or kind.startswith("TAKE_PROFIT"):
            raise Coded(-4120, _MOVED)
        order_type = named(_PLAIN, request, "type", -1116)
        asked = self._asked(request, order_type, request.text("newClientOrderId", default=""))
        if order_type is OrderType.LIMIT and asked.price is None:
            raise Coded(-1102, "Mandatory parameter 'price' was not sent, was empty/null.")
        return rows.order_row(self.exchange.place(request.account, asked))

    def create_algo(self, request: Request) -> Row:
        if request.text("algoType").upper() != "CONDITIONAL":
            raise Coded(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null.")
        order_type = named(_ALGO, request, "type", -1116)
        asked = self._asked(request, order_type, request.text("clientAlgoId", default=""))
        if order_type is OrderType.STOP_LIMIT and asked.price is None:
            raise Coded(-1102, "Mandatory parameter 'price' was not sent, was empty/null.")
        mark = self.exchange.feeds[asked.symbol].mark()
        if asked.stop_price is not None and mark is not None:
            beyond = (asked.stop_price - mark) * asked.side.sign
            if beyond <= 0:
                raise Rejected("would_trigger")
        return rows.algo_row(self.exchange.place(request.account, asked))

    def _asked(self, request: Request, order_type: OrderType, client_order_id: str) -> NewOrder:
        if request.text("positionSide", default="BOTH") != "BOTH":
            raise Coded(-4061, "Order's position side does not match user's setting.")
        if flag(request, "closePosition"):
            raise Coded(-4136, "Target strategy invalid: closePosition is not rehearsed")
        times = {word.value: word for word in TimeInForce} | {"GTX": TimeInForce.GTC}
        given = request.text("timeInForce", default="GTC").upper()
        if given not in times:
            raise Coded(-1115, "Invalid timeInForce.")
        quantity = self.decimal(request, "quantity")
        if quantity is None:
            raise Coded(-1102, "Mandatory parameter 'quantity' was not sent, was empty/null.")
        trail = self.decimal(request, "callbackRate")
        until = self.decimal(request, "goodTillDate")
        return NewOrder(
            symbol=self.symbol(request),
            side=named({side.name: side for side in Side}, request, "side", -1117),
            order_type=order_type,
            quantity=quantity,
            price=None if order_type is OrderType.MARKET else self.decimal(request, "price"),
            stop_price=self.decimal(request, "triggerPrice"),
            trail_bps=None if trail is None else trail * 100,
            time_in_force=times[given],
            expire_ts_ns=None if until is None else int(until) * 1_000_000,
            post_only=given == "GTX",
            reduce_only=flag(request, "reduceOnly"),
            client_order_id=client_order_id,
            note={"type": request.text("type").upper()},
        )

    def amend(self, request: Request) -> Row:
        order = self._plain(request, "unknown_order")
        price, quantity = self.decimal(request, "price"), self.decimal(request, "quantity")
        if (price, quantity) == (order.asked.price, order.quantity):
            raise Coded(-5027, "No need to modify the order.")
        account = request.account
        return rows.order_row(
            self.exchange.amend(account, order.order_id, price=price, quantity=quantity)
        )

    def cancel(self, request: Request) -> Row:
        order = self._plain(request, "unknown_order")
        return rows.order_row(self.exchange.cancel(request.account, order.order_id))

    def cancel_algo(self, request: Request) -> Row:
        order = self._algo(request)
        if not rows.is_waiting(order):
            raise Rejected("closed_order")
        done = self.exchange.cancel(request.account, order.order_id)
        names = {"algoId": rows.ALGO_IDS + done.order_id, "clientAlgoId": done.client_order_id}
        return names | {"code": "200", "msg": "success"}

    def cancel_all(self, request: Request) -> Row:
        self._cancel_where(request, lambda order: not rows.is_waiting(order))
        return _DONE

    def cancel_all_algo(self, request: Request) -> Row:
        self._cancel_where(request, rows.is_waiting)
        return _DONE

    def _cancel_where(self, request: Request, which: Callable[[BookedOrder], bool]) -> None:
        for order in self.exchange.account(request.account).open_orders(self.symbol(request)):
            if which(order):
                self.exchange.cancel(request.account, order.order_id)

    def countdown(self, request: Request) -> Row:
        """Cancel all orders of a symbol unless called again in time; 0 disarms."""
        symbol, wait_ms = self.symbol(request), request.whole("countdownTime")
        account = self.exchange.account(request.account)
        armed: dict[str, int] = account.settings.setdefault("countdown", {})
        armed[symbol] = mine = armed.get(symbol, 0) + 1

        def fire() -> None:
            if armed[symbol] == mine:
                self.exchange.cancel_all(account.name, symbol)

        if wait_ms:
            self.exchange.after(wait_ms / 1000, fire)
        return {"symbol": rows.market_id(symbol), "countdownTime": str(wait_ms)}

    def batch(self, request: Request) -> list[Row]:
        """Up to five orders; each has its own answer or error."""
        answers = []
        for one in self._listed(request, "batchOrders"):
            part = Request(method="POST", host=request.host, path="/fapi/v1/order")
            part.params, part.key, part.op = dict(one), request.key, request.op
            answers.append(self._try(self.create, part))
        return answers

    def batch_cancel(self, request: Request) -> list[Row]:
        answers = []
        for name, field in (
            ("orderIdList", "orderId"),
            ("origClientOrderIdList", "origClientOrderId"),
        ):
            for one in self._listed(request, name, name.lower(), optional=True):
                part = Request(method="DELETE", host=request.host, path="/fapi/v1/order")
                part.params = {"symbol": request.text("symbol"), field: one}
                part.key, part.op = request.key, request.op
                answers.append(self._try(self.cancel, part))
        return answers

    def _listed(self, request: Request, *names: str, optional: bool = False) -> list[Any]:
        given = request.text(*names, default="[]" if optional else None)
        try:
            found = json.loads(unquote(given))
        except ValueError:
            found = None
        if not isinstance(found, list) or len(found) > (10 if optional else 5):
            raise Coded(-1130, f"Data sent for parameter '{names[0]}' is not valid.")
        return found

    def _try(self, handler: Callable[[Request], Row], part: Request) -> Row:
        try:
            return handler(part)
        except Rejected as why:
            body: Row = self.refusal(why, part).body
            return body

    # ------------------------------------------------------------------ look-ups

    def _plain(self, request: Request, word: str = "unknown_order") -> BookedOrder:
        """The order of the matching engine that a request names."""
        order = self._named(request, "orderId", "origClientOrderId", 0)
        if rows.is_waiting(order):
            raise Rejected(word)
        return order

    def _algo(self, request: Request) -> BookedOrder:
        order = self._named(request, "algoId", "clientAlgoId", rows.ALGO_IDS)
        if not rows.is_algo(order):
            raise Rejected("unknown_order")
        return order

    def _named(self, request: Request, number: str, name: str, base: int) -> BookedOrder:
        account = request.account
        symbol = self.symbol(request) if request.params.get("symbol") or not base else ""
        client_id = request.text(name, default="")
        if client_id:
            order = self.exchange.named(account, client_id, symbol)
        else:
            order = self.exchange.order(account, request.whole(number) - base)
        if symbol not in ("", order.symbol):
            raise Rejected("unknown_order")
        if request.op == "query" and not self.exchange.visible(order):
            raise Rejected("unknown_order")
        return order

    def query(self, request: Request) -> Row:
        return rows.order_row(self._plain(request))

    def query_open(self, request: Request) -> Row:
        order = self._plain(request)
        if not order.is_open:
            raise Rejected("unknown_order")
        return rows.order_row(order)

    def query_algo(self, request: Request) -> Row:
        return rows.algo_row(self._algo(request))

    def open_orders(self, request: Request) -> list[Row]:
        return [rows.order_row(o) for o in self._open(request) if not rows.is_waiting(o)]

    def open_algos(self, request: Request) -> list[Row]:
        return [rows.algo_row(o) for o in self._open(request) if rows.is_waiting(o)]

    def _open(self, request: Request) -> list[BookedOrder]:
        symbol = self.symbol(request) if "symbol" in request.params else ""
        found = self.exchange.account(request.account).open_orders(symbol)
        shown = [order for order in found if self.speaks_of(order.symbol)]
        return [order for order in shown if self.exchange.visible(order)]

    def all_orders(self, request: Request) -> list[Row]:
        kept = [o for o in self._all(request) if not rows.is_waiting(o)]
        return [rows.order_row(o) for o in self._page(request, kept, "orderId", 0)]

    def all_algos(self, request: Request) -> list[Row]:
        kept = [o for o in self._all(request) if rows.is_algo(o)]
        return [rows.algo_row(o) for o in self._page(request, kept, "algoId", rows.ALGO_IDS)]

    def _all(self, request: Request) -> list[BookedOrder]:
        found = self.exchange.orders(request.account, self.symbol(request))
        return [order for order in found if self.exchange.visible(order)]

    def _page(
        self, request: Request, found: list[BookedOrder], number: str, base: int
    ) -> list[BookedOrder]:
        limit = min(request.whole("limit", 500), 1000)
        first = request.whole(number, -1)
        if first >= 0:
            return [o for o in found if o.order_id + base >= first][:limit]
        start, end = self.window(request)
        kept = [o for o in found if start <= o.created_ns // 1_000_000 <= end]
        return kept[:limit] if "startTime" in request.params else kept[-limit:]

    def window(self, request: Request) -> tuple[int, int]:
        """Start and end (ms) of what is asked for: at most a week."""
        start, end = request.whole("startTime", -1), request.whole("endTime", -1)
        if start >= 0 and end >= 0 and end - start > _WEEK_MS:
            raise Coded(-4166, "Search window is restricted to recent 7 days only.")
        if start < 0:
            return 0 if end < 0 else end - _WEEK_MS, 2**62 if end < 0 else end
        return start, start + _WEEK_MS if end < 0 else end

    def fills(self, request: Request) -> list[Row]:
        limit = min(request.whole("limit", 500), 1000)
        found = self._shown(request)
        first = request.whole("fromId", -1)
        if first >= 0:
            return [rows.fill_row(f) for f in found if f.fill_id >= first][:limit]
        start, end = self.window(request)
        kept = [f for f in found if start <= f.ts_ns // 1_000_000 <= end]
        kept = kept[:limit] if "startTime" in request.params else kept[-limit:]
        return [rows.fill_row(f) for f in kept]

    def _shown(self, request: Request) -> list[BookedFill]:
        now_ns, wanted = self.exchange.now_ns(), request.whole("orderId", -1)
        return [
            f
            for f in self.exchange.fills(request.account, self.symbol(request))
            if f.hidden_until_ns <= now_ns and wanted in (-1, f.order_id)
        ]
