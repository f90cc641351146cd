"""Orders of Bybit v5: placed and canceled by an acknowledgement, looked up in two lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from execkit.rehearsal.dialects import bybit_rows as rows
from execkit.rehearsal.dialects.base import Dialect, Request
from execkit.rehearsal.dialects.parts import needed, number
from execkit.rehearsal.words import BookedOrder, NewOrder, Rejected
from execkit.words import ZERO, OrderType, Side, TimeInForce

Row = dict[str, Any]

_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_TIMES = {
    "": TimeInForce.GTC,
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.GTC,
}
_ATTACHED = ("takeProfit", "stopLoss", "trailingStop", "tpslMode")
_WEEK_MS = 7 * 86_400_000


class BybitOrders(Dialect):
    """Handlers of the order endpoints; each returns the `result` of the answer."""

    def symbol(self, request: Request) -> str:
        name, kind = request.text("symbol").upper(), self.category(request)
        found = name if kind == "spot" else f"{name}:USDT"
        if found not in self.exchange.rules or rows.category(found) != kind:
            raise Rejected("unknown_symbol")
        return found

    def category(self, request: Request) -> str:
        """One of the exchange's four; inverse and option ones have nothing here."""
        kind = request.text("category")
        if kind not in ("spot", "linear", "inverse", "option"):
            raise Rejected("bad_request", "params error: category invalid")
        return kind

    # ------------------------------------------------------------------ places and cancels

    def create(self, request: Request) -> Row:
        return self._named(self.exchange.place_unjudged(request.account, self._asked(request)))

    def _asked(self, request: Request) -> NewOrder:
        symbol, kind = self.symbol(request), request.text("orderType")
        side = _SIDES.get(request.text("side"))
        given = request.text("timeInForce", default="")
        if side is None or kind not in ("Market", "Limit") or given not in _TIMES:
            raise Rejected("bad_request", "params error: side, orderType or timeInForce invalid")
        if any(request.text(name, default="") for name in _ATTACHED):
            raise Rejected("unsupported", "attached take profit and stop loss are not rehearsed")
        if request.text("positionIdx", default="0") != "0":
            raise Rejected("bad_request", "position idx not match position mode")
        limited = kind == "Limit"
        stop = number(request, "triggerPrice")
        self._check_stop(request, symbol, side, stop)
        quantity = needed(request, "qty")
        usual = "quoteCoin" if side is Side.BUY else "baseCoin"
        spends = (
            not limited
            and rows.category(symbol) == "spot"
            and request.text("marketUnit", default=usual) == "quoteCoin"
        )
        types = (OrderType.LIMIT, OrderType.STOP_LIMIT), (OrderType.MARKET, OrderType.STOP_MARKET)
        return NewOrder(
            symbol=symbol,
            side=side,
            order_type=types[not limited][stop is not None],
            quantity=None if spends else quantity,
            quote_quantity=quantity if spends else None,
            price=needed(request, "price") if limited else None,
            stop_price=stop,
            time_in_force=_TIMES[given] if limited else TimeInForce.GTC,
            post_only=given == "PostOnly" and limited,
            reduce_only=self._flag(request, "reduceOnly"),
            client_order_id=request.text("orderLinkId", default=""),
            note={"triggerDirection": request.text("triggerDirection", default="")},
        )

    def _check_stop(self, request: Request, symbol: str, side: Side, stop: Decimal | None) -> None:
        """Only stops are rehearsed: purchases that wait for a rise, sales that wait for a fall."""
        if stop is None:
            return
        mark = self.exchange.feeds[symbol].mark() or stop
        rises = side is Side.BUY
        if rows.category(symbol) == "linear":
            wanted = request.whole("triggerDirection")
            if wanted != (1 if rises else 2):
                raise Rejected("unsupported", "this triggerDirection is not rehearsed")
        if (stop - mark) * side.sign <= 0:
            raise Rejected("would_trigger")

    def _flag(self, request: Request, name: str) -> bool:
        return str(request.params.get(name, "")).lower() == "true"

    def _named(self, order: BookedOrder) -> Row:
        number = rows.venue_id(order.order_id, order.symbol)
        return {"orderId": number, "orderLinkId": order.client_order_id}

    def amend(self, request: Request) -> Row:
        order = self.wanted(request)
        self.exchange.amend(
            request.account,
            order.order_id,
            quantity=number(request, "qty"),
            price=number(request, "price"),
            stop_price=number(request, "triggerPrice"),
        )
        return self._named(order)

    def cancel(self, request: Request) -> Row:
        order = self.wanted(request)
        usual = "Order" if self.category(request) == "spot" else ""
        if not self._passes(order, request.text("orderFilter", default=usual)):
            raise Rejected("unknown_order")
        return self._named(self.exchange.cancel(request.account, order.order_id))

    def cancel_all(self, request: Request) -> Row:
        kind, account = self.category(request), request.account
        only = request.text("orderFilter", default="Order" if kind == "spot" else "")
        found = [o for o in self._open(request, strict=kind == "linear") if self._passes(o, only)]
        done = [self._named(self.exchange.cancel(account, o.order_id)) for o in found]
        return {"list": done, "success": "1"}

    def _passes(self, order: BookedOrder, order_filter: str) -> bool:
        """Whether an order is of the sort that a filter names; "" is every sort."""
        if order_filter == "":
            return True
        waits = rows.is_stop(order) and not order.triggered
        return waits == (order_filter in ("StopOrder", "tpslOrder"))

    def create_batch(self, request: Request) -> Row:
        return self._batch(request, self.create)

    def cancel_batch(self, request: Request) -> Row:
        return self._batch(request, self.cancel)

    def _batch(self, request: Request, handler: Callable[[Request], Row]) -> Row:
        """Each part has its own answer, and its own code in the extra information."""
        parts = request.params.get("request")
        if not isinstance(parts, list) or not 0 < len(parts) <= 20:
            raise Rejected("bad_request", "params error: request")
        answers, extra = [], []
        for one in parts:
            part = Request(method="POST", host=request.host, path=request.path, op=request.op)
            part.params, part.key = {"category": self.category(request), **one}, request.key
            answer, code = self._tried(handler, part)
            answers.append({"category": part.params["category"], **one, **answer})
            extra.append(code)
        return {"list": answers, "_extra": {"list": extra}}

    def _tried(self, handler: Callable[[Request], Row], part: Request) -> tuple[Row, Row]:
        try:
            return handler(part), {"code": 0, "msg": "OK"}
        except Rejected as why:
            body = self.refusal(why, part).body
            return {"orderId": "", "createAt": ""}, {"code": body["retCode"], "msg": body["retMsg"]}

    # ------------------------------------------------------------------ look-ups

    def wanted(self, request: Request) -> BookedOrder:
        """The order that a request names; the venue's id goes first."""
        account, symbol = request.account, self.symbol(request)
        given = request.text("orderId", default="")
        if given:
            order = self.exchange.order(account, rows.number_of(given))
        else:
            order = self.exchange.named(account, request.text("orderLinkId"), symbol)
        if order.symbol != symbol:
            raise Rejected("unknown_order")
        return order

    def realtime(self, request: Request) -> Row:
        """Open orders; one that is named is shown whatever became of it."""
        by_id = request.text("orderId", "orderLinkId", default="")
        found = self._by_id(request) if by_id else self._open(request, strict=True)
        only = request.text("orderFilter", default="")
        kept = [o for o in found if self._passes(o, only) and self.exchange.visible(o)]
        return self._page(request, kept[::-1], 50)

    def history(self, request: Request) -> Row:
        """Orders that have ended, newest first; of the last week if no time is given."""
        kind, account = self.category(request), request.account
        if request.text("orderId", "orderLinkId", default=""):
            found = self._by_id(request)
        else:
            symbol = self.symbol(request) if request.params.get("symbol") else ""
            start, end = self.window(request)
            found = [
                o
                for o in self.exchange.orders(account, symbol)
                if rows.category(o.symbol) == kind and start <= int(rows.ms(o.created_ns)) <= end
            ]
        state, only = (
            request.text("orderStatus", default=""),
            request.text("orderFilter", default=""),
        )
        kept = [
            o
            for o in found
            if not o.is_open and state in ("", rows.status(o)) and self.exchange.visible(o)
            if not only or rows.is_stop(o) == (only == "StopOrder")
        ]
        return self._page(request, kept[::-1], 50)

    def _by_id(self, request: Request) -> list[BookedOrder]:
        account, given = request.account, request.text("orderId", default="")
        kind = self.category(request)
        try:
            if given:
                found = [self.exchange.order(account, rows.number_of(given))]
            else:
                found = [self.exchange.named(account, request.text("orderLinkId"))]
        except Rejected:
            return []
        return [o for o in found if rows.category(o.symbol) == kind]

    def _open(self, request: Request, *, strict: bool) -> list[BookedOrder]:
        """Open orders of a symbol or of all; `strict`: linear ones need something to go by."""
        kind = self.category(request)
        symbol = self.symbol(request) if request.params.get("symbol") else ""
        named = symbol or request.text("settleCoin", "baseCoin", default="")
        if strict and kind == "linear" and not named:
            raise Rejected(
                "bad_request", "Missing some parameters: symbol or settleCoin or baseCoin"
            )
        found = self.exchange.account(request.account).open_orders(symbol)
        return [o for o in found if rows.category(o.symbol) == kind]

    def _page(self, request: Request, found: Sequence[BookedOrder], most: int) -> Row:
        page, cursor = paged(request, found, most)
        kind = self.category(request)
        shown = [rows.order_row(o, self.fees(o)) for o in page]
        return {"category": kind, "list": shown, "nextPageCursor": cursor}

    def window(self, request: Request) -> tuple[int, int]:
        """Start and end (ms): at most a week, the last one if nothing is said."""
        start, end = request.whole("startTime", -1), request.whole("endTime", -1)
        if start >= 0 and end >= 0 and not 0 <= end - start <= _WEEK_MS:
            raise Rejected("bad_request", "The time range between startTime and endTime is 7 days.")
        if start < 0:
            end = int(rows.ms(self.exchange.now_ns())) + 1000 if end < 0 else end
            return end - _WEEK_MS, end
        return start, start + _WEEK_MS if end < 0 else end

    def fees(self, order: BookedOrder) -> dict[str, Decimal]:
        """What an order has paid so far, by coin."""
        found: dict[str, Decimal] = {}
        for fill in self.exchange.account(order.account).fills_of.get(order.order_id, ()):
            found[fill.fee_currency] = found.get(fill.fee_currency, ZERO) + fill.fee
        return found

    def fills(self, request: Request) -> Row:
        """Executions, newest first."""
        account, kind = request.account, self.category(request)
        symbol = self.symbol(request) if request.params.get("symbol") else ""
        name = request.text("orderLinkId", default="")
        given = rows.number_of(request.text("orderId", default="none"))
        start, end = (0, 2**62) if given >= 0 or name else self.window(request)
        now_ns, wanted = self.exchange.now_ns(), request.text("execType", default="")
        shown = []
        for fill in reversed(self.exchange.fills(account, symbol)):
            stamp = int(rows.ms(fill.ts_ns))
            if rows.category(fill.symbol) != kind or not start <= stamp <= end:
                continue
            if given not in (-1, fill.order_id) or name not in ("", fill.client_order_id):
                continue
            row = rows.fill_row(fill, self.exchange.order(account, fill.order_id))
            if fill.hidden_until_ns <= now_ns and wanted in ("", row["execType"]):
                shown.append(row)
        page, cursor = paged(request, shown, 100)
        return {"category": kind, "list": list(page), "nextPageCursor": cursor}


def paged(request: Request, found: Sequence[Any], most: int) -> tuple[Sequence[Any], str]:
    """One page of rows, and the cursor of the next; "" after the last."""
    limit = min(request.whole("limit", 20 if most == 50 else 50), most)
    given = request.text("cursor", default="page_token_0")
    try:
        first = int(given.rpartition("_")[2])
    except ValueError:
        raise Rejected("bad_request", "The cursor is invalid") from None
    rest = len(found) > first + limit
    return found[first : first + limit], f"page_token_{first + limit}" if rest else ""
