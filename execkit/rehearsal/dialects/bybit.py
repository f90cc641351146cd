"""Bybit v5, spot and linear: REST, private and public streams, orders over the socket."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from execkit.rehearsal.accounts import ApiKey, Holding
from execkit.rehearsal.dialects import bybit_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Reply, Request, Socket
from execkit.rehearsal.dialects.bybit_codes import CODES, OPERATIONS, SHARED
from execkit.rehearsal.dialects.bybit_market import BybitMarket
from execkit.rehearsal.dialects.parts import text as number_text
from execkit.rehearsal.words import Event, EventKind, Rejected

Row = dict[str, Any]


class Bybit(BybitMarket):
    """ccxt id "bybit". A client order id is never taken twice; an answer to an order says only that
    it was received, and what became of it comes by the stream."""

    name = "bybit"
    hosts: ClassVar[Sequence[str]] = ("api.bybit.com", "stream.bybit.com")
    id_rule: ClassVar[str] = "always"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._private: dict[str, int] = {}  # open private sockets by account

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        asked = {
            "/v5/order/realtime": ("open_orders", self.realtime),
            "/v5/order/history": ("history", self.history),
            "/v5/execution/list": ("fills", self.fills),
            "/v5/account/wallet-balance": ("balance", self.wallet),
            "/v5/account/info": ("settings", self.account_info),
            "/v5/account/fee-rate": ("settings", self.fee_rates),
            "/v5/position/list": ("positions", self.positions),
            "/v5/user/query-api": ("key", self.query_key),
        }
        done = {
            "/v5/order/create": ("create", self.create),
            "/v5/order/amend": ("amend", self.amend),
            "/v5/order/cancel": ("cancel", self.cancel),
            "/v5/order/cancel-all": ("cancel_all", self.cancel_all),
            "/v5/order/create-batch": ("batch", self.create_batch),
            "/v5/order/cancel-batch": ("cancel", self.cancel_batch),
            "/v5/order/disconnected-cancel-all": ("settings", self.dead_man),
            "/v5/position/set-leverage": ("settings", self.set_leverage),
            "/v5/position/switch-mode": ("settings", self.switch_mode),
            "/v5/account/set-margin-mode": ("settings", self.set_margin_mode),
        }
        found = self.market_endpoints()
        for method, table in (("GET", asked), ("POST", done)):
            for path, (op, handler) in table.items():
                found[method, path] = Endpoint(op=op, handler=handler, signed=True)
        return found

    # ------------------------------------------------------------------ answers

    def answer(self, request: Request, endpoint: Endpoint) -> Reply:
        reply = super().answer(request, endpoint)
        if isinstance(reply.body, dict) and "retCode" in reply.body:
            return reply
        extra = reply.body.pop("_extra", {}) if isinstance(reply.body, dict) else {}
        reply.body = self._envelope(0, "OK", reply.body) | {"retExtInfo": extra}
        return reply

    def _envelope(self, code: int, message: str, result: Any = None) -> Row:
        head = {"retCode": code, "retMsg": message, "result": result or {}}
        return head | {"retExtInfo": {}, "time": self.auth_ms()}

    def refusal(self, why: Rejected, request: Request) -> Reply:
        if why.word in CODES:
            linear = request.params.get("category") == "linear"
            code, message = CODES[why.word][linear]
            return Reply(body=self._envelope(code, message))
        status, code, message = SHARED.get(why.word, (200, 10001, ""))
        reply = Reply(body=self._envelope(code, message or why.message), status=status)
        if why.retry_after_s is not None:
            until = self.auth_ms() + round(why.retry_after_s * 1000)
            reply.headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(until)}
        return reply

    def failure(self, code: str, message: str, request: Request) -> Reply:
        return Reply(body=self._envelope(int(code), message))

    def sign_in(self, request: Request) -> ApiKey:
        if request.transport == "ws":
            raise Rejected("bad_key", "the socket did not authenticate")
        key = self.known_key(request.headers.get("X-BAPI-API-KEY", ""))
        stamp = request.headers.get("X-BAPI-TIMESTAMP", "")
        window = request.headers.get("X-BAPI-RECV-WINDOW", "5000")
        payload = request.body if request.method == "POST" else request.raw_query
        given = request.headers.get("X-BAPI-SIGN", "")
        if not hmac.compare_digest(_sign(key, stamp + key.key + window + payload), given):
            raise Rejected("bad_signature")
        if not (stamp.isdigit() and window.isdigit()):
            raise Rejected("bad_timestamp")
        self.check_time(int(stamp), int(window))
        return key

    # ------------------------------------------------------------------ account

    def held(self, account: str) -> list[tuple[Holding, Decimal]]:
        """Every open position with its mark price."""
        return [
            (one, self.exchange.feeds[symbol].mark() or one.average_price)
            for symbol, one in self.exchange.positions(account).items()
        ]

    def wallet(self, request: Request) -> Row:
        account = self.exchange.account(request.account)
        return {"list": [rows.wallet_row(account, self.held(account.name))]}

    def positions(self, request: Request) -> Row:
        """Open positions; one that is asked for by its symbol is shown though it be flat."""
        account, kind = self.exchange.account(request.account), self.category(request)
        if kind == "spot":
            raise Rejected("bad_request", "spot has no positions")
        if request.params.get("symbol"):
            holding = account.holding(self.exchange.instrument(self.symbol(request)))
            mark = self.exchange.feeds[holding.instrument.symbol].mark() or holding.average_price
            found = [(holding, mark)]
        else:
            if kind == "linear":
                request.text("settleCoin", "baseCoin")
            found = self.held(account.name) if kind == "linear" else []
        shown = [rows.position_row(h, mark) for h, mark in found]
        return {"category": kind, "list": shown, "nextPageCursor": ""}

    def set_leverage(self, request: Request) -> Row:
        wanted = Decimal(request.text("buyLeverage"))
        if wanted != Decimal(request.text("sellLeverage")) or not 1 <= wanted <= 100:
            raise Rejected("bad_request", "leverage invalid")
        account = self.exchange.account(request.account)
        holding = account.holding(self.exchange.instrument(self.symbol(request)))
        if holding.leverage == wanted:
            return self._envelope(110043, "Set leverage not modified")
        holding.leverage = int(wanted)
        return {}

    def switch_mode(self, request: Request) -> Row:
        if request.whole("mode") != 0:
            raise Rejected("bad_request", "hedge mode is not part of this rehearsal")
        return self._envelope(110025, "Position mode is not modified")

    def set_margin_mode(self, request: Request) -> Row:
        words = {"ISOLATED_MARGIN": "isolated", "REGULAR_MARGIN": "cross"}
        wanted = words.get(request.text("setMarginMode"))
        if wanted is None:
            raise Rejected("bad_request", "setMarginMode invalid")
        account = self.exchange.account(request.account)
        account.settings["margin_mode"] = request.text("setMarginMode")
        for symbol in self.exchange.rules:
            if rows.category(symbol) == "linear":
                account.holding(self.exchange.instrument(symbol)).margin_mode = wanted
        return {"reasons": []}

    def account_info(self, request: Request) -> Row:
        settings = self.exchange.account(request.account).settings
        armed = settings.get("dead_man", {})
        return {
            "unifiedMarginStatus": 6,
            "marginMode": settings.get("margin_mode", "REGULAR_MARGIN"),
            "dcpStatus": "ON" if armed else "OFF",
            "timeWindow": max(armed.values(), default=0),
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "updatedTime": rows.ms(self.exchange.now_ns()),
        }

    def fee_rates(self, request: Request) -> Row:
        fees, kind = self.exchange.account(request.account).fees, self.category(request)
        maker, taker = number_text(fees.rate(True)), number_text(fees.rate(False))
        shown = [
            {"symbol": rows.market_id(symbol), "makerFeeRate": maker, "takerFeeRate": taker}
            for symbol in self.exchange.rules
            if rows.category(symbol) == kind
        ]
        return {"category": kind, "list": shown}

    def query_key(self, request: Request) -> Row:
        key = request.key
        assert key is not None  # the endpoint is signed
        orders = ["Order", "Position"] if key.may_order else []
        wallet = ["AccountTransfer"] + (["Withdraw"] if key.may_withdraw else [])
        return {
            "apiKey": key.key,
            "readOnly": 0 if key.may_order else 1,
            "permissions": {
                "ContractTrade": orders,
                "Spot": ["SpotTrade"] if key.may_order else [],
                "Wallet": wallet if key.may_order else [],
                "Options": [],
                "Derivatives": [],
            },
            "ips": ["127.0.0.1"] if key.ip_restricted else ["*"],
            "type": 1,
            "deadlineDay": 90,
            "expiredAt": "2099-01-01T00:00:00Z",
            "createdAt": "2026-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": 1,
        }

    # ------------------------------------------------------------------ the dead man's switch

    def dead_man(self, request: Request) -> Row:
        """Cancel everything of a product once its private sockets have been gone for so long."""
        products = {"SPOT": "spot", "DERIVATIVES": "linear"}
        kind = products.get(request.text("product", default="OPTIONS"))
        window = request.whole("timeWindow")
        if kind is None or not 3 <= window <= 300:
            raise Rejected("bad_request", "product or timeWindow invalid")
        self.exchange.account(request.account).settings.setdefault("dead_man", {})[kind] = window
        return {}

    def closed(self, socket: Socket) -> None:
        if socket.key is None or socket.path != "/v5/private":
            return
        account = socket.key.account
        self._private[account] -= 1
        for kind, window in self.exchange.account(account).settings.get("dead_man", {}).items():
            self.exchange.after(window, lambda kind=kind: self._nobody_came(account, kind))  # type: ignore[misc]

    def _nobody_came(self, account: str, kind: str) -> None:
        if self._private[account] > 0:
            return
        for order in self.exchange.account(account).open_orders():
            if rows.category(order.symbol) == kind:
                self.exchange.cancel(account, order.order_id, reason="dead_man")

    # ------------------------------------------------------------------ sockets

    def heard(self, socket: Socket, text: str) -> Request | None:
        try:
            message = json.loads(text)
        except ValueError:
            socket.send({"success": False, "ret_msg": "Json parse error", "op": ""})
            return None
        op = str(message.get("op"))
        if op == "ping":
            socket.send(self._pong(socket, message))
        elif op == "auth":
            self._authenticate(socket, message)
        elif op in ("subscribe", "unsubscribe"):
            self._subscribe(socket, message)
        elif op in OPERATIONS and socket.path == "/v5/trade":
            return self._operation(socket, message)
        else:
            socket.send({"success": False, "ret_msg": "error:invalid op", "request": message})
        return None

    def _pong(self, socket: Socket, message: Row) -> Row:
        if socket.path.startswith("/v5/public"):
            told: Row = {"success": True, "ret_msg": "pong", "op": "ping"}
        else:
            told = {"op": "pong", "args": [str(self.auth_ms())]}
        return told | {"req_id": message.get("req_id", ""), "conn_id": "rehearsal"}

    def _authenticate(self, socket: Socket, message: Row) -> None:
        name, expires, given = [str(x) for x in [*(message.get("args") or []), "", "", ""][:3]]
        why = ""
        try:
            key = self.known_key(name)
            if not hmac.compare_digest(_sign(key, f"GET/realtime{expires}"), given):
                why = "Params Error: invalid signature"
            elif not expires.isdigit() or int(expires) < self.auth_ms():
                why = "Params Error: expires is in the past"
        except Rejected:
            why = "API key is invalid."
        trade = socket.path == "/v5/trade"
        if why:
            code = (
                {"retCode": 10004, "retMsg": why} if trade else {"success": False, "ret_msg": why}
            )
            socket.send(code | {"op": "auth", "request": {"op": "auth"}})
            return
        socket.state["signed_in"] = socket.key = key
        if socket.path == "/v5/private":
            self._private[key.account] = self._private.get(key.account, 0) + 1
        code = {"retCode": 0, "retMsg": "OK"} if trade else {"success": True, "ret_msg": ""}
        socket.send(code | {"op": "auth", "conn_id": "rehearsal"})

    def _subscribe(self, socket: Socket, message: Row) -> None:
        public, op = socket.path.startswith("/v5/public"), message["op"]
        topics = [str(topic) for topic in message.get("args") or []]
        why = "" if public or socket.key is not None else "Request not authorized"
        strange = [topic for topic in topics if public and not self.knows(socket, topic)]
        if strange:
            why = f"error:handler not found,topic:{strange[0]}"
        head = {"success": not why, "ret_msg": why, "op": op}
        socket.send(head | {"req_id": message.get("req_id", ""), "conn_id": "rehearsal"})
        for topic in [] if why else topics:
            if op == "unsubscribe":
                socket.topics.pop(topic, None)
                continue
            socket.topics[topic] = True
            if public:
                self.begin(socket, topic)

    def _operation(self, socket: Socket, message: Row) -> Request:
        first = (message.get("args") or [{}])[0]
        return Request(
            method="POST",
            host=socket.host,
            path=OPERATIONS[message["op"]],
            params=dict(first),
            headers=dict(message.get("header") or {}),
            transport="ws",
            id=message.get("reqId"),
        )

    def socket_reply(self, socket: Socket, request: Request, reply: Reply) -> Any:
        words = {path: op for op, path in OPERATIONS.items()}
        body = reply.body if isinstance(reply.body, dict) else {}
        head = {"reqId": request.id, "retCode": body.get("retCode"), "retMsg": body.get("retMsg")}
        head |= {"op": words.get(request.path, ""), "data": body.get("result", {})}
        stamp = str(self.auth_ms())
        return head | {"header": {"Timenow": stamp}, "connId": "rehearsal", "retExtInfo": {}}

    def told(self, socket: Socket, event: Event) -> None:
        if event.kind in (EventKind.DEPTH, EventKind.PRINT):
            self.told_market(socket, event)
        elif socket.key is not None and event.account == socket.key.account:
            for topic, row in self._private_rows(event):
                if topic in socket.topics:
                    stamp = event.ts_ns // 1_000_000
                    head = {"id": f"rehearsal-{stamp}", "topic": topic, "creationTime": stamp}
                    kind = "fill" if topic == "execution" else event.kind.value
                    socket.send(head | {"data": [row]}, topic=kind, event=event)

    def _private_rows(self, event: Event) -> list[tuple[str, Row]]:
        """(topic, row) of all that the private stream says of an event."""
        if event.order is not None:
            row = rows.order_row(event.order, self.fees(event.order))
            if event.what == "triggered":
                row["orderStatus"] = "Triggered"
            if event.fill is None:
                return [("order", row)]
            return [("execution", rows.fill_row(event.fill, event.order)), ("order", row)]
        account = self.exchange.account(event.account)
        if event.kind is EventKind.BALANCE:
            row = rows.wallet_row(account, self.held(account.name))
            row["coin"] = [one for one in row["coin"] if one["coin"] in event.assets]
            return [("wallet", row)]
        if event.kind is EventKind.POSITION:
            holding = account.holding(self.exchange.instrument(event.symbol))
            mark = self.exchange.feeds[event.symbol].mark() or holding.average_price
            return [("position", rows.position_row(holding, mark))]
        return []


def _sign(key: ApiKey, payload: str) -> str:
    return hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
