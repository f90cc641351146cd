"""KuCoin, spot and linear futures: REST on two hosts, sockets whose address has to be asked for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from execkit.rehearsal.accounts import ApiKey, Holding
from execkit.rehearsal.dialects import kucoin_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Reply, Request, Socket
from execkit.rehearsal.dialects.kucoin_market import KucoinMarket
from execkit.rehearsal.dialects.kucoin_orders import FUTURES_HOST
from execkit.rehearsal.dialects.parts import mark_of, text
from execkit.rehearsal.words import Event, EventKind, Rejected
from execkit.words import ZERO

Row = dict[str, Any]

_WINDOW_MS = 5_000
_SOCKETS = {True: "ws-api-futures.kucoin.com", False: "ws-api-spot.kucoin.com"}
_CODES: dict[str, tuple[int, str, str]] = {
    "insufficient_balance": (200, "200004", "Balance insufficient!"),
    "insufficient_margin": (200, "300003", "Balance insufficient"),
    "min_notional": (200, "400100", "The order funds are below the minimum."),
    "lot_size": (200, "400100", "Order size increment invalid."),
    "tick_size": (200, "400100", "Price increment invalid."),
    "price_band": (200, "300012", "The order price is out of the permissible range."),
    "max_orders": (200, "300001", "Active order quantity limit reached."),
    "would_trigger": (200, "400100", "The stop price has been reached already."),
    "reduce_only": (200, "300009", "No open positions to close."),
    "duplicate_id": (200, "126044", "clientOid duplicate"),
    "unknown_symbol": (200, "400000", "symbol not exists"),
    "unknown_order": (200, "400100", "order not exist."),
    "closed_order": (200, "400100", "order not exist."),
    "halted": (200, "400200", "Forbidden to place an order"),
    "unsupported": (200, "400100", "This kind of order is not rehearsed"),
    "bad_request": (200, "400100", ""),
    "bad_timestamp": (401, "400002", "Invalid KC-API-TIMESTAMP"),
    "bad_key": (401, "400003", "KC-API-KEY not exists"),
    "bad_signature": (401, "400005", "Invalid KC-API-SIGN"),
    "no_permission": (403, "400007", "Access denied --> Require more permission."),
    "rate_limited": (429, "429000", "Too Many Requests"),
    "too_many_orders": (429, "429000", "Too Many Requests"),
    "banned": (429, "429000", "Too Many Requests"),
    "maintenance": (503, "900001", "The system is under maintenance"),
    "unavailable": (404, "404000", "No such endpoint here"),
}


class Kucoin(KucoinMarket):
    """ccxt id "kucoin". What fills last is told as a match of an order that is still open, and only
    then as filled; own fills of the stream carry no fee."""

    name = "kucoin"
    hosts: ClassVar[Sequence[str]] = ("api.kucoin.com", FUTURES_HOST, *_SOCKETS.values())
    id_rule: ClassVar[str] = "always"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tokens: dict[str, str] = {}  # API key by socket token; "" for public ones

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        found = self.market_endpoints() | self._order_endpoints() | self._stop_endpoints()

        def add(method: str, path: str, op: str, handler: Callable[[Request], Any]) -> None:
            found[method, path] = Endpoint(op=op, handler=handler, signed=True)

        add("GET", "/api/v1/fills", "fills", self.fills)
        add("GET", "/api/v1/hf/fills", "fills", self.fills)
        add("GET", "/api/v1/accounts", "balance", self.accounts)
        add("GET", "/api/v1/account-overview", "balance", self.overview)
        add("GET", "/api/v1/positions", "positions", self.positions)
        add("GET", "/api/v2/getCrossUserLeverage", "settings", self.leverage)
        add("POST", "/api/v2/changeCrossUserLeverage", "settings", self.set_leverage)
        add("GET", "/api/v1/hf/accounts/opened", "settings", lambda request: True)
        add("GET", "/api/v3/margin/symbols", "settings", lambda request: {"items": []})
        add("GET", "/api/v1/isolated/symbols", "settings", lambda request: [])
        add("GET", "/api/ua/v1/account/mode", "settings", self.account_mode)
        add("GET", "/api/v1/user/api-key", "key", self.key_info)
        add("POST", "/api/v1/bullet-private", "subscribe", self.bullet)
        found["POST", "/api/v1/bullet-public"] = Endpoint(op="subscribe", handler=self.bullet)
        return found

    def _order_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Both generations of spot paths; futures share the older ones."""
        v1, hf = "/api/v1", "/api/v1/hf"
        table: dict[tuple[str, str], tuple[str, Callable[[Request], Any]]] = {
            ("POST", f"{v1}/orders"): ("create", self.create),
            ("POST", f"{hf}/orders"): ("create", self.create),
            ("GET", f"{v1}/orders"): ("open_orders", self.orders),
            ("GET", f"{hf}/orders/active"): ("open_orders", self.active),
            ("GET", f"{hf}/orders/done"): ("history", self.done),
            ("GET", f"{v1}/orders/byClientOid"): ("query", self.query_named),
            ("GET", f"{v1}/order/client-order/{{clientOid}}"): ("query", self.query_named),
            ("GET", f"{hf}/orders/client-order/{{clientOid}}"): ("query", self.query_named),
            ("GET", f"{v1}/orders/{{orderId}}"): ("query", self.query),
            ("GET", f"{hf}/orders/{{orderId}}"): ("query", self.query),
            ("DELETE", f"{v1}/orders"): ("cancel_all", self.cancel_all),
            ("DELETE", f"{hf}/orders"): ("cancel_all", self.cancel_all),
            ("DELETE", f"{hf}/orders/cancelAll"): ("cancel_all", self.cancel_all),
            ("DELETE", f"{v1}/order/client-order/{{clientOid}}"): ("cancel", self.cancel_named),
            ("DELETE", f"{v1}/orders/client-order/{{clientOid}}"): ("cancel", self.cancel_named),
            ("DELETE", f"{hf}/orders/client-order/{{clientOid}}"): ("cancel", self.cancel_named),
            ("DELETE", f"{v1}/orders/{{orderId}}"): ("cancel", self.cancel),
            ("DELETE", f"{hf}/orders/{{orderId}}"): ("cancel", self.cancel),
        }
        return {
            at: Endpoint(op=op, handler=handler, signed=True) for at, (op, handler) in table.items()
        }

    def _stop_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        stop = "/api/v1/stop-order"
        table: dict[tuple[str, str], tuple[str, Callable[[Request], Any]]] = {
            ("POST", stop): ("create", self.create),
            ("GET", stop): ("open_orders", self.stops),
            ("GET", "/api/v1/stopOrders"): ("open_orders", self.stops),
            ("GET", f"{stop}/queryOrderByClientOid"): ("query", self.query_stop_named),
            ("GET", f"{stop}/{{orderId}}"): ("query", self.query_stop),
            ("DELETE", f"{stop}/cancel"): ("cancel_all", self.cancel_stops),
            ("DELETE", "/api/v1/stopOrders"): ("cancel_all", self.cancel_stops),
            ("DELETE", f"{stop}/cancelOrderByClientOid"): ("cancel", self.cancel_stop_named),
            ("DELETE", f"{stop}/{{orderId}}"): ("cancel", self.cancel_stop),
        }
        return {
            at: Endpoint(op=op, handler=handler, signed=True) for at, (op, handler) in table.items()
        }

    # ------------------------------------------------------------------ answers

    def answer(self, request: Request, endpoint: Endpoint) -> Reply:
        reply = super().answer(request, endpoint)
        if not (isinstance(reply.body, dict) and "code" in reply.body):
            reply.body = {"code": "200000", "data": reply.body}
        return reply

    def refusal(self, why: Rejected, request: Request) -> Reply:
        status, code, message = _CODES.get(why.word, (200, "400100", ""))
        reply = Reply(body={"code": code, "msg": message or why.message}, status=status)
        if why.retry_after_s is not None:
            reply.headers["gw-ratelimit-reset"] = str(round(why.retry_after_s * 1000))
        return reply

    def failure(self, code: str, message: str, request: Request) -> Reply:
        return Reply(body={"code": code, "msg": message})

    def sign_in(self, request: Request) -> ApiKey:
        head = request.headers
        key = self.known_key(head.get("KC-API-KEY", ""))
        stamp, path = head.get("KC-API-TIMESTAMP", ""), request.path
        if request.raw_query:
            path += f"?{request.raw_query}"
        wanted = _sign(key, stamp + request.method + path + request.body)
        phrase = _sign(key, key.password)
        given = head.get("KC-API-SIGN", ""), head.get("KC-API-PASSPHRASE", "")
        good = hmac.compare_digest(wanted, given[0])
        if not (good and hmac.compare_digest(phrase, given[1])):
            raise Rejected("bad_signature")
        if not stamp.isdigit():
            raise Rejected("bad_timestamp")
        self.check_time(int(stamp), _WINDOW_MS)
        return key

    # ------------------------------------------------------------------ account

    def accounts(self, request: Request) -> list[Row]:
        """Every balance once as the older, once as the newer trading account."""
        account, wanted = self.exchange.account(request.account), request.text("type", default="")
        return [
            {
                "id": f"{kind}-{coin}",
                "currency": coin,
                "type": kind,
                "balance": text(much),
                "available": text(account.free(coin)),
                "holds": text(account.locked.get(coin)),
            }
            for kind in ("trade", "trade_hf")
            for coin, much in sorted(account.balances.items())
            if wanted in ("", kind)
        ]

    def held(self, account: str) -> list[tuple[Holding, Decimal]]:
        """Every open position with its mark price."""
        return [
            (one, mark_of(self.exchange.feeds[symbol], one.average_price))
            for symbol, one in self.exchange.positions(account).items()
        ]

    def overview(self, request: Request) -> Row:
        return self._overview(request.account, request.text("currency", default="USDT"))

    def _overview(self, account: str, coin: str) -> Row:
        held = [(h, mark) for h, mark in self.held(account) if h.instrument.settle == coin]
        wallet = self.exchange.balances(account).get(coin, ZERO)
        profit = sum((h.profit(mark) for h, mark in held), ZERO)
        margin = sum((h.margin(mark) for h, mark in held), ZERO)
        free = max(ZERO, self.exchange.available(account, coin))
        return {
            "currency": coin,
            "accountEquity": text(wallet + profit),
            "unrealisedPNL": text(profit),
            "marginBalance": text(wallet),
            "positionMargin": text(margin),
            "orderMargin": text(max(ZERO, wallet + profit - margin - free)),
            "frozenFunds": "0",
            "availableBalance": text(free),
        }

    def positions(self, request: Request) -> list[Row]:
        return [
            rows.position_row(h, mark, self.exchange.rules[h.instrument.symbol])
            for h, mark in self.held(request.account)
        ]

    def leverage(self, request: Request) -> Row:
        rules = self.rules_of(request)
        account = self.exchange.account(request.account)
        holding = account.holding(self.exchange.instrument(rules.symbol))
        return {"symbol": rows.market_id(rules), "leverage": str(holding.leverage)}

    def set_leverage(self, request: Request) -> bool:
        wanted = int(Decimal(request.text("leverage")))
        if not 1 <= wanted <= 100:
            raise Rejected("bad_request", "leverage invalid")
        account = self.exchange.account(request.account)
        instrument = self.exchange.instrument(self.rules_of(request).symbol)
        account.holding(instrument).leverage = wanted
        return True

    def account_mode(self, request: Request) -> Row:
        return {"selfAccountMode": "CLASSIC"}

    def key_info(self, request: Request) -> Row:
        key = request.key
        assert key is not None  # the endpoint is signed
        may = [("General", key.may_read), ("Spot", key.may_order), ("Futures", key.may_order)]
        may.append(("Withdrawal", key.may_withdraw))
        return {
            "uid": 1,
            "apiKey": key.key,
            "apiVersion": 3,
            "permission": ",".join(word for word, allowed in may if allowed),
            "ipWhitelist": "127.0.0.1" if key.ip_restricted else "",
            "isMaster": True,
            "createdAt": rows.ms(key.created_ns),
        }

    # ------------------------------------------------------------------ sockets

    def bullet(self, request: Request) -> Row:
        """Where to connect, and the token that says who does."""
        token = secrets.token_urlsafe(32)
        self._tokens[token] = request.key.key if request.key is not None else ""
        server = {
            "endpoint": f"wss://{_SOCKETS[request.host == FUTURES_HOST]}/",
            "encrypt": True,
            "protocol": "websocket",
            "pingInterval": 18_000,
            "pingTimeout": 10_000,
        }
        return {"token": token, "instanceServers": [server]}

    def opened(self, socket: Socket) -> None:
        owner = self._tokens.get(socket.query.get("token", ""))
        if owner is None:
            socket.send({"type": "error", "code": 401, "data": "token is invalid"})
            socket.close(1008)
            return
        if owner:
            socket.key = self.known_key(owner)
        head = {"id": socket.query.get("connectId", ""), "type": "welcome"}
        socket.send(head | {"pingInterval": 18_000, "pingTimeout": 10_000})

    def heard(self, socket: Socket, text: str) -> Request | None:
        try:
            message = dict(json.loads(text))
        except (ValueError, TypeError):
            socket.send({"type": "error", "code": 400, "data": "invalid data"})
            return None
        kind, number = message.get("type"), message.get("id", "")
        topic = str(message.get("topic", ""))
        if kind == "ping":
            socket.send({"id": number, "type": "pong"})
        elif kind == "unsubscribe":
            socket.topics.pop(topic, None)
            socket.send({"id": number, "type": "ack"})
        elif kind == "subscribe" and self._may_hear(socket, topic):
            channel, _, names = topic.partition(":")
            for name in names.split(",") if names else [""]:
                socket.topics[f"{channel}:{name}" if name else channel] = True
            socket.send({"id": number, "type": "ack"})
        else:
            why = f"topic {topic} is invalid"
            socket.send({"id": number, "type": "error", "code": 404, "data": why})
        return None

    def _may_hear(self, socket: Socket, topic: str) -> bool:
        channel, _, names = topic.partition(":")
        if channel.startswith(("/market/", "/contractMarket/")) and names:
            known = {rows.market_id(rules) for rules in self.exchange.rules.values()}
            return set(names.split(",")) <= known
        return socket.key is not None

    def told(self, socket: Socket, event: Event) -> None:
        if event.kind in (EventKind.DEPTH, EventKind.PRINT):
            self.told_market(socket, event)
        elif socket.key is not None and event.account == socket.key.account:
            for channel, subject, data in self._private(event):
                if channel in socket.topics:
                    frame: Row = {"type": "message", "topic": channel, "subject": subject}
                    frame |= {"channelType": "private", "userId": "1", "data": data}
                    kind = "fill" if data.get("type") == "match" else event.kind.value
                    socket.send(frame, topic=kind, event=event)

    def _private(self, event: Event) -> list[tuple[str, str, Row]]:
        """(topic, subject, data) of all that the private topics say of an event."""
        if event.order is not None:
            return self._order_news(event)
        if event.kind is EventKind.BALANCE:
            return self._balance_news(event)
        if event.kind is EventKind.POSITION:
            account = self.exchange.account(event.account)
            holding = account.holding(self.exchange.instrument(event.symbol))
            mark = mark_of(self.exchange.feeds[event.symbol], holding.average_price)
            rules = self.exchange.rules[event.symbol]
            topic = f"/contract/position:{rows.market_id(rules)}"
            return [(topic, "position.change", rows.position_row(holding, mark, rules))]
        return []

    def _order_news(self, event: Event) -> list[tuple[str, str, Row]]:
        order = event.order
        assert order is not None  # so by the definition of these events
        rules, futures = self.exchange.rules[order.symbol], rows.is_future(order.symbol)
        side = "contractMarket" if futures else "spotMarket"
        subject, news = "symbolOrderChange" if futures else "orderChange", []
        if rows.waits(order) or event.what == "triggered":
            ended = "open" if order.is_open else "cancel"
            word = "triggered" if order.triggered else ended
            data = rows.stop_event(order, word, rules)
            news.append((f"/{side}/advancedOrders", "stopOrder", data))
        if rows.waits(order):
            return news
        topic = f"/{side}/tradeOrders"
        if event.fill is not None:
            data = rows.order_event(order, event.fill, "match", rules)
            news.append((topic, subject, data))
            if not order.is_open:
                news.append((topic, subject, rows.order_event(order, None, "filled", rules)))
            return news
        words = {"new": "open", "triggered": "open", "amended": "update"}
        data = rows.order_event(order, None, words.get(event.what, "canceled"), rules)
        return [*news, (topic, subject, data)]

    def _balance_news(self, event: Event) -> list[tuple[str, str, Row]]:
        account, news = self.exchange.account(event.account), []
        for coin in event.assets:
            data = {
                "accountId": f"trade-{coin}",
                "currency": coin,
                "total": text(account.balances.get(coin)),
                "available": text(account.free(coin)),
                "hold": text(account.locked.get(coin)),
                "relationEvent": "trade.setted",
                "time": str(rows.ms(event.ts_ns)),
            }
            news.append(("/account/balance", "account.balance", data))
            row = self._overview(event.account, coin)
            wallet = {"currency": coin, "total": row["accountEquity"], "timestamp": data["time"]}
            wallet |= {"availableBalance": row["availableBalance"], "holdBalance": "0"}
            wallet |= {"walletBalance": row["marginBalance"], "equity": row["accountEquity"]}
            news.append(("/contractAccount/wallet", "walletBalance.change", wallet))
        return news


def _sign(key: ApiKey, payload: str) -> str:
    made = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()
