"""OKX v5, spot and linear swaps: REST, public, private and business channels, orders by socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from execkit.rehearsal.accounts import ApiKey, Holding
from execkit.rehearsal.dialects import okx_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Reply, Request, Socket
from execkit.rehearsal.dialects.okx_codes import CODES, OPERATIONS
from execkit.rehearsal.dialects.okx_market import PUBLIC, OkxMarket
from execkit.rehearsal.dialects.parts import mark_of, text
from execkit.rehearsal.words import Event, EventKind, Rejected

Row = dict[str, Any]

_WINDOW_MS = 30_000
_PRIVATE = ("orders", "orders-algo", "account", "positions")


class Okx(OkxMarket):
    """ccxt id "okx". There is no way to cancel everything at once, and a stop has two ids."""

    name = "okx"
    hosts: ClassVar[Sequence[str]] = ("www.okx.com", "ws.okx.com")
    id_rule: ClassVar[str] = "open"

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        asked = {
            "trade/order": ("query", self.query),
            "trade/orders-pending": ("open_orders", self.pending),
            "trade/orders-history": ("history", self.history),
            "trade/orders-history-archive": ("history", self.history),
            "trade/order-algo": ("query", self.query_algo),
            "trade/orders-algo-pending": ("open_orders", self.pending_algos),
            "trade/orders-algo-history": ("history", self.algo_history),
            "trade/fills": ("fills", self.fills),
            "trade/fills-history": ("fills", self.fills),
            "account/balance": ("balance", self.balance),
            "account/positions": ("positions", self.positions),
            "account/config": ("key", self.config),
            "account/leverage-info": ("settings", self.leverage),
            "account/trade-fee": ("settings", self.fee_rates),
        }
        done = {
            "trade/order": ("create", self.create),
            "trade/batch-orders": ("create", self.create),
            "trade/order-algo": ("create", self.create_algo),
            "trade/amend-order": ("amend", self.amend),
            "trade/cancel-order": ("cancel", self.cancel),
            "trade/cancel-batch-orders": ("cancel", self.cancel),
            "trade/cancel-algos": ("cancel", self.cancel_algos),
            "trade/cancel-all-after": ("settings", self.cancel_after),
            "account/set-leverage": ("settings", self.set_leverage),
            "account/set-position-mode": ("settings", self.set_position_mode),
        }
        found = self.market_endpoints()
        for method, table in (("GET", asked), ("POST", done)):
            for path, (op, handler) in table.items():
                found[method, f"/api/v5/{path}"] = Endpoint(op=op, handler=handler, signed=True)
        return found

    # ------------------------------------------------------------------ answers

    def answer(self, request: Request, endpoint: Endpoint) -> Reply:
        reply = super().answer(request, endpoint)
        if isinstance(reply.body, list):
            reply.body = {"code": "0", "msg": "", "data": reply.body}
        return reply

    def refusal(self, why: Rejected, request: Request) -> Reply:
        code, message = self.code_of(why, request)
        status = CODES.get(why.word, (200, "", ""))[0]
        reply = Reply(body={"code": code, "msg": message, "data": []}, status=status)
        if why.retry_after_s is not None:
            reply.headers["Retry-After"] = str(max(1, round(why.retry_after_s)))
        return reply

    def failure(self, code: str, message: str, request: Request) -> Reply:
        """As the answer of an order has it: in the part, and "1" for the whole."""
        if request.op not in ("create", "cancel", "amend"):
            return Reply(body={"code": code, "msg": message, "data": []})
        part = {"ordId": "", "clOrdId": "", "tag": "", "sCode": code, "sMsg": message}
        return Reply(body={"code": "1", "msg": "All operations failed", "data": [part]})

    def sign_in(self, request: Request) -> ApiKey:
        if request.transport == "ws":
            raise Rejected("bad_key", "the socket did not log in")
        head = request.headers
        key = self.known_key(head.get("OK-ACCESS-KEY", ""))
        stamp, path = head.get("OK-ACCESS-TIMESTAMP", ""), request.path
        if request.raw_query:
            path += f"?{request.raw_query}"
        wanted = _sign(key, stamp + request.method + path + request.body)
        given = head.get("OK-ACCESS-SIGN", "")
        phrase = head.get("OK-ACCESS-PASSPHRASE", "")
        if not (hmac.compare_digest(wanted, given) and hmac.compare_digest(key.password, phrase)):
            raise Rejected("bad_signature")
        try:
            sent = datetime.fromisoformat(stamp)
        except ValueError:
            raise Rejected("bad_timestamp") from None
        self.check_time(round(sent.timestamp() * 1000), _WINDOW_MS)
        return key

    # ------------------------------------------------------------------ account

    def held(self, account: str) -> list[tuple[Holding, Decimal]]:
        """Every open position with its mark price."""
        return [
            (one, mark_of(self.exchange.feeds[symbol], one.average_price))
            for symbol, one in self.exchange.positions(account).items()
        ]

    def balance(self, request: Request) -> list[Row]:
        account = self.exchange.account(request.account)
        return [rows.balance_row(account, self.held(account.name), self.exchange.now_ns())]

    def positions(self, request: Request) -> list[Row]:
        names = request.text("instId", default="")
        shown = [
            rows.position_row(h, mark, self.exchange.rules[h.instrument.symbol])
            for h, mark in self.held(request.account)
        ]
        return [row for row in shown if not names or row["instId"] in names.split(",")]

    def config(self, request: Request) -> list[Row]:
        key = request.key
        assert key is not None  # the endpoint is signed
        may = [
            ("read_only", key.may_read),
            ("trade", key.may_order),
            ("withdraw", key.may_withdraw),
        ]
        granted = ",".join(word for word, allowed in may if allowed)
        return [
            {
                "uid": "1",
                "mainUid": "1",
                "acctLv": "2",
                "posMode": "net_mode",
                "autoLoan": False,
                "perm": granted,
                "ip": "127.0.0.1" if key.ip_restricted else "",
                "level": "Lv1",
                "label": "rehearsal",
            }
        ]

    def _holding(self, request: Request) -> Holding:
        account = self.exchange.account(request.account)
        return account.holding(self.exchange.instrument(self.rules_of(request).symbol))

    def leverage(self, request: Request) -> list[Row]:
        holding, name = self._holding(request), request.text("instId")
        row = {"instId": name, "lever": str(holding.leverage), "mgnMode": holding.margin_mode}
        return [row | {"posSide": "net"}]

    def set_leverage(self, request: Request) -> list[Row]:
        wanted, mode = request.whole("lever"), request.text("mgnMode")
        if not 1 <= wanted <= 125 or mode not in ("cross", "isolated"):
            raise Rejected("bad_request", "Parameter lever or mgnMode error")
        holding = self._holding(request)
        holding.leverage, holding.margin_mode = wanted, mode
        return self.leverage(request)

    def set_position_mode(self, request: Request) -> list[Row]:
        if request.text("posMode") != "net_mode":
            raise Rejected("bad_request", "hedge mode is not part of this rehearsal")
        return [{"posMode": "net_mode"}]

    def fee_rates(self, request: Request) -> list[Row]:
        fees = self.exchange.account(request.account).fees
        maker, taker = text(-fees.rate(True)), text(-fees.rate(False))
        rates = {"maker": maker, "taker": taker, "makerU": maker, "takerU": taker}
        return [rates | {"level": "Lv1", "instType": request.text("instType")}]

    # ------------------------------------------------------------------ sockets

    def heard(self, socket: Socket, text: str) -> Request | None:
        if text == "ping":
            socket.send("pong")
            return None
        try:
            message = json.loads(text)
            op, args = message["op"], [dict(arg) for arg in message["args"]]
        except (ValueError, TypeError, KeyError):
            socket.send({"event": "error", "code": "60012", "msg": f"Illegal request: {text}"})
            return None
        if op == "login":
            self._log_in(socket, args)
        elif op in ("subscribe", "unsubscribe"):
            for arg in args:
                self._subscribe(socket, op, arg)
        elif op in OPERATIONS:
            return Request(
                method="POST",
                host=socket.host,
                path=OPERATIONS[op],
                params={"items": args, "op": op},
                transport="ws",
                id=message.get("id"),
            )
        else:
            socket.send({"event": "error", "code": "60012", "msg": f"Illegal request: {text}"})
        return None

    def _log_in(self, socket: Socket, args: list[Row]) -> None:
        told = {name: str(value) for name, value in (args or [{}])[0].items()}
        stamp = told.get("timestamp", "")
        try:
            key = self.known_key(told.get("apiKey", ""))
            wanted = _sign(key, f"{stamp}GET/users/self/verify")
            good = hmac.compare_digest(wanted, told.get("sign", ""))
            if not good or key.password != told.get("passphrase"):
                raise Rejected("bad_signature")
            self.check_time(round(float(stamp) * 1000), _WINDOW_MS)
        except (Rejected, ValueError):
            socket.send({"event": "error", "code": "60009", "msg": "Login failed."})
            return
        socket.state["signed_in"] = socket.key = key
        socket.send({"event": "login", "code": "0", "msg": "", "connId": "rehearsal"})

    def _subscribe(self, socket: Socket, op: str, arg: Row) -> None:
        channel, topic = str(arg.get("channel")), json.dumps(arg, sort_keys=True)
        if channel in _PRIVATE and socket.key is None:
            socket.send({"event": "error", "code": "60011", "msg": "Please log in"})
            return
        try:
            if channel in PUBLIC:
                self.rules_of(self._asking(arg))
            elif channel not in _PRIVATE:
                raise Rejected("unknown_symbol")
        except Rejected:
            why = f"Wrong URL or channel:{channel},instId:{arg.get('instId')} doesn't exist"
            socket.send({"event": "error", "code": "60018", "msg": why})
            return
        socket.send({"event": op, "arg": arg, "connId": "rehearsal"})
        if op == "unsubscribe":
            socket.topics.pop(topic, None)
            return
        socket.topics[topic] = arg, None
        if channel in PUBLIC:
            self.begin(socket, topic, arg)
        elif channel == "account" and socket.key is not None:
            account = self.exchange.account(socket.key.account)
            data = rows.balance_row(account, self.held(account.name), self.exchange.now_ns())
            socket.send({"arg": arg, "data": [data]})

    def socket_reply(self, socket: Socket, request: Request, reply: Reply) -> Any:
        body = reply.body if isinstance(reply.body, dict) else {}
        stamp = str(self.auth_ms() * 1000)
        head = {"id": request.id, "op": request.params.get("op"), "inTime": stamp}
        return head | {"outTime": stamp, "code": "1", "msg": "", "data": []} | body

    def told(self, socket: Socket, event: Event) -> None:
        if event.kind in (EventKind.DEPTH, EventKind.PRINT):
            self.told_market(socket, event)
        elif socket.key is not None and event.account == socket.key.account:
            for channel, row in self._private_rows(event):
                for arg, _ in list(socket.topics.values()):
                    kind = arg.get("instType", "ANY")
                    if arg["channel"] == channel and kind in ("ANY", row.get("instType", kind)):
                        topic = "fill" if event.kind is EventKind.FILL else event.kind.value
                        frame = {"arg": arg | {"uid": "1"}, "data": [row]}
                        socket.send(frame, topic=topic, event=event)

    def _private_rows(self, event: Event) -> list[tuple[str, Row]]:
        """(channel, row) of all that the private channels say of an event."""
        if event.order is not None:
            return self._order_rows(event)
        account = self.exchange.account(event.account)
        if event.kind is EventKind.BALANCE:
            row = rows.balance_row(account, self.held(account.name), event.ts_ns)
            row["details"] = [one for one in row["details"] if one["ccy"] in event.assets]
            return [("account", row)]
        if event.kind is EventKind.POSITION:
            holding = account.holding(self.exchange.instrument(event.symbol))
            mark = mark_of(self.exchange.feeds[event.symbol], holding.average_price)
            return [
                ("positions", rows.position_row(holding, mark, self.exchange.rules[event.symbol]))
            ]
        return []

    def _order_rows(self, event: Event) -> list[tuple[str, Row]]:
        order = event.order
        assert order is not None  # so by the definition of these events
        rules, told = self.exchange.rules[order.symbol], []
        if rows.is_algo(order) and (not order.triggered or event.what == "triggered"):
            told.append(("orders-algo", rows.algo_row(order, rules)))
        if order.triggered:
            told.append(("orders", rows.order_row(order, rules, self.fees(order), event.fill)))
        return told


def _sign(key: ApiKey, payload: str) -> str:
    made = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()
