"""Binance USD-M futures: its table of endpoints, its codes, its sockets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from execkit.rehearsal.dialects import usdm_rows as rows
from execkit.rehearsal.dialects.base import Endpoint, Reply, Request, Socket
from execkit.rehearsal.dialects.parts import text
from execkit.rehearsal.dialects.usdm_account import UsdmAccount
from execkit.rehearsal.dialects.usdm_orders import Coded
from execkit.rehearsal.words import Event, EventKind, Rejected

Row = dict[str, Any]

_CODES: dict[str, tuple[int, str]] = {
    "insufficient_balance": (-2019, "Margin is insufficient."),
    "insufficient_margin": (-2019, "Margin is insufficient."),
    "min_notional": (-4164, "Order's notional must be no smaller than {} (unless you choose"),
    "lot_size": (-1111, "Precision is over the maximum defined for this asset."),
    "tick_size": (-4014, "Price not increased by tick size."),
    "price_band": (-4016, "Limit price can't be higher than the price band allows."),
    "max_orders": (-2025, "Reach max open order limit."),
    "post_only": (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    "would_trigger": (-2021, "Order would immediately trigger."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "halted": (-4140, "Invalid symbol status for opening position."),
    "maintenance": (-1016, "This service is no longer available."),
}
_CALLS = {
    "order.place": ("POST", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ping": ("GET", "/fapi/v1/ping"),
}


class BinanceUsdm(UsdmAccount):
    """ccxt id "binanceusdm". The user stream is opened by a listen key, and says nothing before."""

    name = "binanceusdm"
    hosts: ClassVar[Sequence[str]] = (
        "fapi.binance.com",
        "fstream.binance.com",
        "ws-fapi.binance.com",
        "api.binance.com",
    )
    id_rule: ClassVar[str] = "open"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listen_keys: dict[str, str] = {}  # by API key

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        def signed(op: str, handler: Callable[[Request], Any], weight: int = 1) -> Endpoint:
            return Endpoint(op=op, handler=handler, signed=True, weight=weight)

        v1, found = "/fapi/v1", self.market_endpoints()
        keys = Endpoint(op="subscribe", handler=self.listen_key)
        found |= {(method, f"{v1}/listenKey"): keys for method in ("POST", "PUT", "DELETE")}
        for version, account, positions in (
            ("v2", self.account_v2, self.positions_v2),
            ("v3", self.account_v3, self.positions),
        ):
            found["GET", f"/fapi/{version}/account"] = signed("balance", account, 5)
            found["GET", f"/fapi/{version}/balance"] = signed("balance", self.balance, 5)
            found["GET", f"/fapi/{version}/positionRisk"] = signed("positions", positions, 5)
        return found | {
            ("POST", f"{v1}/order"): signed("create", self.create, 0),
            ("PUT", f"{v1}/order"): signed("amend", self.amend),
            ("GET", f"{v1}/order"): signed("query", self.query),
            ("DELETE", f"{v1}/order"): signed("cancel", self.cancel),
            ("POST", f"{v1}/batchOrders"): signed("batch", self.batch, 5),
            ("DELETE", f"{v1}/batchOrders"): signed("cancel", self.batch_cancel),
            ("DELETE", f"{v1}/allOpenOrders"): signed("cancel_all", self.cancel_all),
            ("POST", f"{v1}/countdownCancelAll"): signed("settings", self.countdown, 10),
            ("GET", f"{v1}/openOrder"): signed("query", self.query_open),
            ("GET", f"{v1}/openOrders"): signed("open_orders", self.open_orders),
            ("GET", f"{v1}/allOrders"): signed("history", self.all_orders, 5),
            ("POST", f"{v1}/algoOrder"): signed("create", self.create_algo, 0),
            ("GET", f"{v1}/algoOrder"): signed("query", self.query_algo),
            ("DELETE", f"{v1}/algoOrder"): signed("cancel", self.cancel_algo),
            ("DELETE", f"{v1}/algoOpenOrders"): signed("cancel_all", self.cancel_all_algo),
            ("GET", f"{v1}/openAlgoOrders"): signed("open_orders", self.open_algos),
            ("GET", f"{v1}/allAlgoOrders"): signed("history", self.all_algos, 5),
            ("GET", f"{v1}/userTrades"): signed("fills", self.fills, 5),
            ("GET", f"{v1}/income"): signed("other", self.income, 30),
            ("GET", f"{v1}/leverageBracket"): signed("settings", self.leverage_brackets),
            ("GET", f"{v1}/symbolConfig"): signed("settings", self.symbol_config, 5),
            ("GET", f"{v1}/commissionRate"): signed("settings", self.fee_rates, 20),
            ("GET", f"{v1}/multiAssetsMargin"): signed("settings", self.multi_assets, 30),
            ("POST", f"{v1}/leverage"): signed("settings", self.set_leverage),
            ("POST", f"{v1}/marginType"): signed("settings", self.set_margin_type),
            ("GET", f"{v1}/positionSide/dual"): signed("settings", self.position_mode, 30),
            ("POST", f"{v1}/positionSide/dual"): signed("settings", self.set_position_mode),
            ("GET", "/sapi/v1/account/apiRestrictions"): signed("key", self.restrictions),
        }

    def refusal(self, why: Rejected, request: Request) -> Reply:
        reply = super().refusal(why, request)
        if isinstance(why, Coded):
            reply.body = {"code": why.code, "msg": why.message}
        elif why.word == "min_notional":
            least = self.exchange.rules[self.symbol(request)].min_notional
            message = _CODES[why.word][1].format(text(least)) + " reduce only)."
            reply.body = {"code": _CODES[why.word][0], "msg": message}
        elif why.word in _CODES:
            reply.body = dict(zip(("code", "msg"), _CODES[why.word], strict=True))
        elif why.word == "closed_order" and request.op == "query":
            reply.body = {"code": -2013, "msg": "Order does not exist."}
        return reply

    # ------------------------------------------------------------------ sockets

    def listen_key(self, request: Request) -> Row:
        """One listen key for each API key; the header alone is asked for, no signature."""
        name = self.known_key(request.headers.get("X-MBX-APIKEY", "")).key
        if request.method == "DELETE":
            self._listen_keys.pop(name, None)
            return {}
        if request.method == "PUT" and name not in self._listen_keys:
            raise Coded(-1125, "This listenKey does not exist.")
        return {"listenKey": self._listen_keys.setdefault(name, secrets.token_urlsafe(48))}

    def opened(self, socket: Socket) -> None:
        if not socket.path.startswith("/private"):
            return
        given = socket.query.get("listenKey", "")
        owners = [name for name, listen_key in self._listen_keys.items() if listen_key == given]
        if not given or not owners:
            socket.close(1008)
            return
        socket.key = self.known_key(owners[0])
        socket.topics["user"] = True

    def heard(self, socket: Socket, text: str) -> Request | None:
        if not socket.path.startswith("/ws-fapi"):
            try:
                message = json.loads(text)
            except ValueError:
                socket.send({"error": {"code": 3, "msg": "Invalid JSON"}})
                return None
            self.subscribe(socket, message)
            return None
        message = json.loads(text)
        known = _CALLS.get(str(message.get("method")), ("WS", str(message.get("method"))))
        return Request(
            method=known[0],
            host=socket.host,
            path=known[1],
            params=dict(message.get("params") or {}),
            transport="ws",
            id=message.get("id"),
        )

    def told(self, socket: Socket, event: Event) -> None:
        if event.symbol and not self.speaks_of(event.symbol):
            return
        if event.kind in (EventKind.DEPTH, EventKind.PRINT):
            self.told_market(socket, event)
        elif "user" in socket.topics and socket.key and event.account == socket.key.account:
            topic = "fill" if event.kind is EventKind.FILL else event.kind.value
            for frame in self.user_frames(event):
                socket.send(frame, topic=topic, event=event)

    def user_frames(self, event: Event) -> list[Row]:
        """What the user stream says of an event, in that order."""
        if event.kind in (EventKind.ORDER, EventKind.FILL):
            return self._order_frames(event)
        account = self.exchange.account(event.account)
        if event.kind is EventKind.BALANCE and event.what != "order":  # else with the position
            return [rows.account_event(account, event.assets, [], event)]
        if event.kind is EventKind.POSITION:
            instrument = self.exchange.instrument(event.symbol)
            holding = account.holding(instrument)
            mark = self.exchange.feeds[event.symbol].mark() or holding.average_price
            return [rows.account_event(account, (instrument.settle,), [(holding, mark)], event)]
        return []

    def _order_frames(self, event: Event) -> list[Row]:
        order = event.order
        assert order is not None  # so by the definition of these events
        if rows.is_waiting(order):
            return [rows.algo_event(order, event.ts_ns)]
        frames = [rows.order_event(event)]
        if rows.is_algo(order) and (event.what == "triggered" or not order.is_open):
            frames.append(rows.algo_event(order, event.ts_ns))
        return frames
