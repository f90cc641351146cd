"""Binance spot: REST, the ws-api with its user stream, and market streams."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from execkit.rehearsal.accounts import ApiKey
from execkit.rehearsal.dialects import binance_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Reply, Request, Socket
from execkit.rehearsal.dialects.binance_codes import CALLS, CODES
from execkit.rehearsal.dialects.binance_market import BinanceMarket
from execkit.rehearsal.words import BookedOrder, Event, EventKind, NewOrder, Rejected
from execkit.words import OrderType, Side, TimeInForce, new_client_order_id

_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
}
_DAY_MS = 86_400_000


class BinanceSpot(BinanceMarket):
    """ccxt id "binance". A client order id is unique among open orders only."""

    name = "binance"
    hosts: ClassVar[Sequence[str]] = ("api.binance.com", "ws-api.binance.com", "stream.binance.com")
    id_rule: ClassVar[str] = "open"

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        def private(op: str, handler: Any, weight: int = 1) -> Endpoint:
            return Endpoint(op=op, handler=handler, signed=True, weight=weight)

        return self.public_endpoints() | {
            ("POST", "/api/v3/order"): private("create", self.create),
            ("GET", "/api/v3/order"): private("query", self.query, 4),
            ("DELETE", "/api/v3/order"): private("cancel", self.cancel),
            ("POST", "/api/v3/order/cancelReplace"): private("replace", self.replace),
            ("GET", "/api/v3/openOrders"): private("open_orders", self.open_orders, 6),
            ("DELETE", "/api/v3/openOrders"): private("cancel_all", self.cancel_all),
            ("GET", "/api/v3/allOrders"): private("history", self.history, 20),
            ("GET", "/api/v3/myTrades"): private("fills", self.own_fills, 20),
            ("GET", "/api/v3/account"): private("balance", self.account, 20),
            ("GET", "/sapi/v1/account/apiRestrictions"): private("key", self.restrictions),
            ("WS", "userDataStream.subscribe.signature"): private("subscribe", lambda r: {}),
        }

    # ------------------------------------------------------------------ signing, refusing

    def sign_in(self, request: Request) -> ApiKey:
        if request.transport == "ws":
            key = self.known_key(request.text("apiKey", default=""))
            given = {k: v for k, v in request.params.items() if k != "signature"}
            signed = "&".join(f"{name}={_plain(given[name])}" for name in sorted(given))
        else:
            key = self.known_key(request.headers.get("X-MBX-APIKEY", ""))
            parts = request.raw_query, request.body
            signed = "".join(_unsigned(part) for part in parts)
        wanted = hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, request.text("signature")):
            raise Rejected("bad_signature")
        self.check_time(request.whole("timestamp"), min(request.whole("recvWindow", 5000), 60_000))
        return key

    def refusal(self, why: Rejected, request: Request) -> Reply:
        status, code, text = CODES.get(why.word, (400, -1000, ""))
        if why.word == "unknown_order" and request.op in ("cancel", "replace", "amend"):
            code, text = -2011, "Unknown order sent."
        headers = {}
        if why.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(why.retry_after_s)))
        body = {"code": code, "msg": text or why.message}
        return Reply(body=body, status=status, headers=headers)

    def failure(self, code: str, message: str, request: Request) -> Reply:
        return Reply(body={"code": int(code), "msg": message}, status=400)

    # ------------------------------------------------------------------ orders

    def create(self, request: Request) -> Any:
        order = self.exchange.place(request.account, self.asked(request))
        kind = rows.type_of(order)
        usual = "FULL" if kind in ("MARKET", "LIMIT") else "ACK"
        detail = request.text("newOrderRespType", default=usual)
        fills = self.exchange.account(request.account).fills_of.get(order.order_id, [])
        return rows.placed_row(order, fills, detail)

    def asked(self, request: Request) -> NewOrder:
        """The order that a request asks for."""
        kind = request.text("type")
        if kind not in _TYPES or "trailingDelta" in request.params:
            raise Rejected("unsupported")
        order_type = _TYPES[kind]
        limited = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        stopped = order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        tif = "GTC"
        if limited and kind != "LIMIT_MAKER":
            tif = request.text("timeInForce")
        if tif not in ("GTC", "IOC", "FOK"):
            raise Rejected("bad_request", "invalid timeInForce")
        quote = self.decimal(request, "quoteOrderQty") if kind == "MARKET" else None
        return NewOrder(
            symbol=self.symbol(request),
            side=_side(request.text("side")),
            order_type=order_type,
            quantity=None if quote else self.decimal(request, "quantity", needed=True),
            quote_quantity=quote,
            price=self.decimal(request, "price", needed=True) if limited else None,
            stop_price=self.decimal(request, "stopPrice", needed=True) if stopped else None,
            time_in_force=TimeInForce(tif),
            post_only=kind == "LIMIT_MAKER",
            client_order_id=request.text("newClientOrderId", default=new_client_order_id()),
            note={"type": kind},
        )

    def cancel(self, request: Request) -> Any:
        order = self.wanted(request)
        if not order.is_open:
            raise Rejected("unknown_order")
        self.exchange.cancel(request.account, order.order_id)
        return rows.canceled_row(order, request.text("newClientOrderId", default=""))

    def cancel_all(self, request: Request) -> Any:
        orders = self.exchange.cancel_all(request.account, self.symbol(request))
        if not orders:
            raise Rejected("closed_order")
        return [rows.canceled_row(order, "") for order in orders]

    def replace(self, request: Request) -> Any:
        """Cancel one order and place another: either half may fail, and the answer says which."""
        goes_on = request.text("cancelReplaceMode") == "ALLOW_FAILURE"
        halves: dict[str, Any] = {
            "cancelResult": "SUCCESS",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": None,
            "newOrderResponse": None,
        }
        named = {
            "orderId": request.params.get("cancelOrderId"),
            "origClientOrderId": request.params.get("cancelOrigClientOrderId"),
        }
        part = Request(
            method="DELETE",
            host=request.host,
            path="/api/v3/order",
            params={**named, "symbol": request.text("symbol")},
            op="cancel",
            transport=request.transport,
            key=request.key,
        )
        try:
            halves["cancelResponse"] = self.cancel(part)
        except Rejected as why:
            halves["cancelResponse"] = self.refusal(why, part).body
            halves["cancelResult"] = "FAILURE"
        if halves["cancelResult"] == "SUCCESS" or goes_on:
            try:
                halves["newOrderResponse"] = self.create(request)
                halves["newOrderResult"] = "SUCCESS"
            except Rejected as why:
                halves["newOrderResponse"] = self.refusal(why, request).body
                halves["newOrderResult"] = "FAILURE"
        good = [halves["cancelResult"] == "SUCCESS", halves["newOrderResult"] == "SUCCESS"]
        if all(good):
            return halves
        code, text = -2022, "Order cancel-replace failed."
        if any(good):
            code, text = -2021, "Order cancel-replace partially failed."
        body = {"code": code, "msg": text, "data": halves}
        return Reply(body=body, status=409 if any(good) else 400)

    # ------------------------------------------------------------------ look-ups

    def query(self, request: Request) -> Any:
        return rows.order_row(self.wanted(request, shown=True))

    def wanted(self, request: Request, *, shown: bool = False) -> BookedOrder:
        """The order that a request names by either id; `shown`: unless it is still hidden."""
        account, symbol = request.account, self.symbol(request)
        number = request.text("orderId", default="")
        if number:
            order = self.exchange.order(account, request.whole("orderId"))
        else:
            client_id = request.text("origClientOrderId")
            order = self.exchange.named(account, client_id, symbol)
        if order.symbol != symbol or (shown and not self.exchange.visible(order)):
            raise Rejected("unknown_order")
        return order

    def open_orders(self, request: Request) -> Any:
        symbol = self.symbol(request) if request.params.get("symbol") else ""
        found = self.exchange.account(request.account).open_orders(symbol)
        return [rows.order_row(order) for order in found if self.exchange.visible(order)]

    def history(self, request: Request) -> Any:
        found = [
            rows.order_row(order)
            for order in self.exchange.orders(request.account, self.symbol(request))
            if self.exchange.visible(order)
        ]
        return self.page(request, found, "orderId", "orderId", 500)

    def own_fills(self, request: Request) -> Any:
        now_ns, number = self.exchange.now_ns(), request.text("orderId", default="")
        found = [
            rows.fill_row(fill)
            for fill in self.exchange.fills(request.account, self.symbol(request))
            if fill.hidden_until_ns <= now_ns and number in ("", str(fill.order_id))
        ]
        return self.page(request, found, "id", "fromId", 500)

    def page(
        self, request: Request, found: list[dict[str, Any]], own: str, named: str, usual: int
    ) -> list[dict[str, Any]]:
        """Rows from an id on, or of a time window of at most 24 hours, or the newest."""
        limit = min(request.whole("limit", usual), 1000)
        first = request.text(named, default="") if named != "orderId" or own == "orderId" else ""
        if first:
            return [row for row in found if row[own] >= int(first)][:limit]
        start, end = request.whole("startTime", 0), request.whole("endTime", 0)
        if start and end and not 0 <= end - start <= _DAY_MS:
            raise Rejected("bad_request", "More than 24 hours between startTime and endTime.")
        if not (start or end):
            return found[-limit:]
        low, high = start or end - _DAY_MS, end or start + _DAY_MS
        return [row for row in found if low <= row["time"] <= high][:limit]

    def account(self, request: Request) -> Any:
        held = self.exchange.account(request.account)
        maker, taker = held.fees.rate(True), held.fees.rate(False)
        key = request.key
        return {
            "makerCommission": int(maker * 10_000),
            "takerCommission": int(taker * 10_000),
            "commissionRates": {"maker": rows.number(maker), "taker": rows.number(taker)},
            "canTrade": bool(key and key.may_order),
            "canWithdraw": bool(key and key.may_withdraw),
            "canDeposit": True,
            "updateTime": rows.ms(self.exchange.now_ns()),
            "accountType": "SPOT",
            "balances": self.balance_rows(
                request.account, tuple(held.balances), "asset free locked"
            ),
            "permissions": ["SPOT"],
            "uid": 1_000 + sorted(self.exchange.accounts).index(request.account),
        }

    def balance_rows(self, account: str, assets: tuple[str, ...], names: str) -> list[Any]:
        held, (asset_name, free, locked) = self.exchange.account(account), names.split()
        return [
            {
                asset_name: asset,
                free: rows.number(held.free(asset)),
                locked: rows.number(held.locked.get(asset)),
            }
            for asset in assets
        ]

    def restrictions(self, request: Request) -> Any:
        assert request.key is not None  # the endpoint is signed
        return rows.key_row(request.key) | {
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enablePortfolioMarginTrading": False,
        }

    # ------------------------------------------------------------------ sockets

    def heard(self, socket: Socket, text: str) -> Request | None:
        try:
            message = json.loads(text)
        except ValueError:
            socket.send({"code": 3, "msg": "Invalid JSON"})
            return None
        if not socket.path.startswith("/ws-api"):
            self.subscribe(socket, message)
            return None
        method, params = str(message.get("method")), dict(message.get("params") or {})
        known = CALLS.get(method, ("WS", method))
        return Request(
            method=known[0],
            host=socket.host,
            path=known[1],
            params=params,
            transport="ws",
            id=message.get("id"),
        )

    def socket_reply(self, socket: Socket, request: Request, reply: Reply) -> Any:
        if request.path == "userDataStream.subscribe.signature" and reply.status == 200:
            number = len(socket.topics)
            socket.key = request.key
            socket.topics["user"] = number
            reply = Reply(body={"subscriptionId": number})
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}]
        frame = {"id": request.id, "status": reply.status, "rateLimits": limits}
        if reply.status == 200:
            return frame | {"result": reply.body}
        return frame | {"error": reply.body}

    def told(self, socket: Socket, event: Event) -> None:
        if event.kind in (EventKind.DEPTH, EventKind.PRINT):
            self.told_market(socket, event)
        elif socket.key is not None and event.account == socket.key.account:
            frame = self.user_frame(event)
            if frame is not None:
                number = socket.topics.get("user", 0)
                message = {"subscriptionId": number, "event": frame}
                socket.send(message, topic=event.kind.value, event=event)

    def user_frame(self, event: Event) -> dict[str, Any] | None:
        """What the user stream says of an event, None for what it does not tell."""
        if event.kind in (EventKind.ORDER, EventKind.FILL):
            if event.what == "triggered":
                return None
            return rows.execution_report(event, self.skew_ms)
        if event.kind is EventKind.BALANCE:
            return {
                "e": "outboundAccountPosition",
                "E": rows.ms(event.ts_ns) + self.skew_ms,
                "u": rows.ms(event.ts_ns) + self.skew_ms,
                "B": self.balance_rows(event.account, event.assets, "a f l"),
            }
        if event.kind is EventKind.TRANSFER:
            return {
                "e": "balanceUpdate",
                "E": rows.ms(event.ts_ns) + self.skew_ms,
                "a": event.assets[0],
                "d": rows.number(event.change),
                "T": rows.ms(event.ts_ns) + self.skew_ms,
            }
        return None

    # ------------------------------------------------------------------ parts

    def decimal(self, request: Request, name: str, *, needed: bool = False) -> Decimal | None:
        text = request.text(name, default=None if needed else "")
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise Rejected("bad_request", f"illegal characters in parameter '{name}'") from None
        if not value.is_finite() or value < 0:
            raise Rejected("bad_request", f"illegal characters in parameter '{name}'")
        return value


def _side(text: str) -> Side:
    if text not in ("BUY", "SELL"):
        raise Rejected("bad_request", "Invalid side.")
    return Side(text.lower())


def _unsigned(part: str) -> str:
    """A query or form without its signature, which ccxt puts last."""
    kept = [pair for pair in part.split("&") if pair and not pair.startswith("signature=")]
    return "&".join(kept)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
