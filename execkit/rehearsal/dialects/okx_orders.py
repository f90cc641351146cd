"""Orders of OKX v5: each part of a request has its own code; stops are algo orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from execkit.rehearsal.dialects import okx_rows as rows
from execkit.rehearsal.dialects.base import Dialect, Reply, Request
from execkit.rehearsal.dialects.okx_codes import CODES, GONE
from execkit.rehearsal.dialects.parts import needed, number
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, NewOrder, Rejected
from execkit.words import ZERO, OrderType, Side, TimeInForce

Row = dict[str, Any]

_KINDS = {
    "market": TimeInForce.GTC,
    "optimal_limit_ioc": TimeInForce.GTC,
    "limit": TimeInForce.GTC,
    "post_only": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
}


class OkxOrders(Dialect):
    """Handlers of the order endpoints; each returns the `data` of the answer, or a reply."""

    # ------------------------------------------------------------------ names

    def rules_of(self, request: Request) -> SymbolRules:
        """The market that a request names, by its id or by the short code of it."""
        code = request.text("instIdCode", default="")
        name = request.text("instId", default="" if code else None)
        for at, rules in enumerate(self.exchange.rules.values()):
            if name == rows.market_id(rules) or (code and code == str(at + 1)):
                return rules
        raise Rejected("unknown_symbol")

    def chosen(self, request: Request) -> list[SymbolRules]:
        """The markets of a list: the one that is named, else all of the type."""
        if request.params.get("instId"):
            return [self.rules_of(request)]
        kind = request.text("instType", default="ANY")
        if kind not in ("ANY", "SPOT", "SWAP"):
            return []
        found = self.exchange.rules.values()
        return [r for r in found if kind == "ANY" or rows.is_swap(r.symbol) == (kind == "SWAP")]

    def part(self, request: Request, params: Row) -> Request:
        """One order of a request that holds several."""
        made = Request(method=request.method, host=request.host, path=request.path, op=request.op)
        made.params, made.key, made.transport = dict(params), request.key, request.transport
        return made

    def each(self, request: Request, handler: Callable[[Request], Row], empty: Row) -> Any:
        """Do every part; code "1" where all failed, "2" where some did."""
        given = request.params.get("items")
        parts = given if isinstance(given, list) else [request.params]
        if not 0 < len(parts) <= 20:
            raise Rejected("bad_request", "Parameter error: 1 to 20 orders")
        data, failed = [], 0
        for params in parts:
            one = self.part(request, params)
            try:
                data.append({**handler(one), "sCode": "0", "sMsg": ""})
            except Rejected as why:
                code, message = self.code_of(why, one)
                named = {name: str(params.get(name) or "") for name in empty}
                data.append({**empty, **named, "sCode": code, "sMsg": message})
                failed += 1
        code = "0" if not failed else "1" if failed == len(parts) else "2"
        message = "All operations failed" if code == "1" else ""
        return Reply(body={"code": code, "msg": message, "data": data})

    def code_of(self, why: Rejected, request: Request) -> tuple[str, str]:
        """Code and message of a rejection."""
        if why.word in ("unknown_order", "closed_order") and request.op in GONE:
            return GONE[request.op]
        _, code, message = CODES.get(why.word, (200, "51000", ""))
        return code, message or why.message

    # ------------------------------------------------------------------ places and cancels

    def create(self, request: Request) -> Any:
        return self.each(request, self._create, {"ordId": "", "clOrdId": ""})

    def _create(self, request: Request) -> Row:
        rules, kind = self.rules_of(request), request.text("ordType")
        if kind not in _KINDS:
            raise Rejected("unsupported")
        name = request.text("clOrdId", default="")
        if name and not (name.isalnum() and len(name) <= 32):
            raise Rejected("bad_request", "Parameter clOrdId error")
        limited = kind not in ("market", "optimal_limit_ioc")
        side, size = self._side(request), needed(request, "sz")
        usual = "quote_ccy" if side is Side.BUY else "base_ccy"
        target = request.text("tgtCcy", default=usual)
        spends = not limited and not rows.is_swap(rules.symbol) and target == "quote_ccy"
        asked = NewOrder(
            symbol=rules.symbol,
            side=side,
            order_type=OrderType.LIMIT if limited else OrderType.MARKET,
            quantity=None if spends else self._base(size, rules),
            quote_quantity=size if spends else None,
            price=needed(request, "px") if limited else None,
            time_in_force=_KINDS[kind],
            post_only=kind == "post_only",
            reduce_only=self._reduces(request),
            client_order_id=name,
            note={"tdMode": request.text("tdMode"), "tgtCcy": target},
        )
        return self._names(self.exchange.place_unjudged(request.account, asked))

    def _side(self, request: Request) -> Side:
        word = request.text("side")
        if word not in ("buy", "sell") or request.text("posSide", default="net") != "net":
            raise Rejected("bad_request", "Parameter side or posSide error")
        return Side(word)

    def _reduces(self, request: Request) -> bool:
        return str(request.params.get("reduceOnly", "")).lower() == "true"

    def _base(self, size: Decimal, rules: SymbolRules) -> Decimal:
        """Base units of a size."""
        return size * rules.lot_size if rows.is_swap(rules.symbol) else size

    def _names(self, order: BookedOrder) -> Row:
        algo = rows.is_algo(order)
        return {
            "ordId": rows.venue_id(order.order_id),
            "clOrdId": "" if algo else order.client_order_id,
            "tag": "",
            "ts": rows.ms(self.exchange.now_ns()),
        }

    def create_algo(self, request: Request) -> Any:
        return self.each(request, self._create_algo, {"algoId": "", "algoClOrdId": ""})

    def _create_algo(self, request: Request) -> Row:
        """ordType trigger, a conditional stop loss, or a trailing stop."""
        rules, side, kind = self.rules_of(request), self._side(request), request.text("ordType")
        stop = price = trail = None
        if kind == "trigger":
            stop, limit = needed(request, "triggerPx"), request.text("orderPx")
            price = None if limit == "-1" else needed(request, "orderPx")
        elif kind == "conditional" and request.params.get("slTriggerPx"):
            stop, limit = needed(request, "slTriggerPx"), request.text("slOrdPx")
            price = None if limit == "-1" else needed(request, "slOrdPx")
        elif kind == "move_order_stop" and request.params.get("callbackRatio"):
            trail = needed(request, "callbackRatio") * 10_000
        else:
            raise Rejected("unsupported")
        mark = self.exchange.feeds[rules.symbol].mark()
        if stop is not None and mark is not None and (stop - mark) * side.sign <= 0:
            raise Rejected("would_trigger")
        types = {True: OrderType.STOP_MARKET, False: OrderType.STOP_LIMIT}
        order = self.exchange.place(
            request.account,
            NewOrder(
                symbol=rules.symbol,
                side=side,
                order_type=types[price is None] if trail is None else OrderType.TRAILING_STOP,
                quantity=self._base(needed(request, "sz"), rules),
                price=price,
                stop_price=stop,
                trail_bps=trail,
                reduce_only=self._reduces(request),
                client_order_id=request.text("algoClOrdId", default=""),
                note={"tdMode": request.text("tdMode"), "ordType": kind},
            ),
        )
        names = {"algoId": rows.algo_id(order.order_id), "clOrdId": "", "tag": ""}
        return names | {"algoClOrdId": order.client_order_id}

    def cancel(self, request: Request) -> Any:
        return self.each(request, self._cancel, {"ordId": "", "clOrdId": ""})

    def _cancel(self, request: Request) -> Row:
        return self._names(self.exchange.cancel(request.account, self.wanted(request).order_id))

    def cancel_algos(self, request: Request) -> Any:
        return self.each(request, self._cancel_algo, {"algoId": "", "algoClOrdId": ""})

    def _cancel_algo(self, request: Request) -> Row:
        order = self.wanted_algo(request)
        if order.triggered:
            raise Rejected("closed_order")
        self.exchange.cancel(request.account, order.order_id)
        names = {"algoId": rows.algo_id(order.order_id), "clOrdId": "", "tag": ""}
        return names | {"algoClOrdId": order.client_order_id}

    def amend(self, request: Request) -> Any:
        return self.each(request, self._amend, {"ordId": "", "clOrdId": ""})

    def _amend(self, request: Request) -> Row:
        order, rules = self.wanted(request), self.rules_of(request)
        size = number(request, "newSz")
        self.exchange.amend(
            request.account,
            order.order_id,
            quantity=None if size is None else self._base(size, rules),
            price=number(request, "newPx"),
        )
        return self._names(order) | {"reqId": request.text("reqId", default="")}

    def cancel_after(self, request: Request) -> list[Row]:
        """Cancel every order unless called again in time; 0 disarms."""
        wait_s, account = request.whole("timeOut"), self.exchange.account(request.account)
        if wait_s and not 10 <= wait_s <= 120:
            raise Rejected("bad_request", "Parameter timeOut error")
        account.settings["cancel_after"] = mine = account.settings.get("cancel_after", 0) + 1

        def fire() -> None:
            if account.settings["cancel_after"] == mine:
                for order in account.open_orders():
                    self.exchange.cancel(account.name, order.order_id, reason="dead_man")

        if wait_s:
            self.exchange.after(wait_s, fire)
        now = self.exchange.now_ns()
        at = rows.ms(now + wait_s * 1_000_000_000) if wait_s else "0"
        return [{"triggerTime": at, "tag": "", "ts": rows.ms(now)}]

    # ------------------------------------------------------------------ look-ups

    def wanted(self, request: Request) -> BookedOrder:
        """The order of the matching engine that a request names."""
        account, rules = request.account, self.rules_of(request)
        given = request.text("ordId", default="")
        if given:
            order = self.exchange.order(account, rows.number_of(given))
        else:
            order = self.exchange.named(account, request.text("clOrdId"), rules.symbol)
        waits = rows.is_algo(order) and (not order.triggered or not given)
        if order.symbol != rules.symbol or waits:
            raise Rejected("unknown_order")
        return order

    def wanted_algo(self, request: Request) -> BookedOrder:
        account, given = request.account, request.text("algoId", default="")
        if given:
            order = self.exchange.order(account, rows.number_of(given))
        else:
            order = self.exchange.named(account, request.text("algoClOrdId"))
        if not rows.is_algo(order):
            raise Rejected("unknown_order")
        return order

    def shown(self, order: BookedOrder) -> Row:
        fees = self.fees(order)
        fills = self.exchange.account(order.account).fills_of.get(order.order_id, [])
        last = fills[-1] if fills else None
        return rows.order_row(order, self.exchange.rules[order.symbol], fees, last)

    def fees(self, order: BookedOrder) -> dict[str, Decimal]:
        """What an order has paid so far, by coin."""
        found: dict[str, Decimal] = {}
        for fill in self.exchange.account(order.account).fills_of.get(order.order_id, ()):
            found[fill.fee_currency] = found.get(fill.fee_currency, ZERO) + fill.fee
        return found

    def query(self, request: Request) -> list[Row]:
        order = self.wanted(request)
        if not self.exchange.visible(order):
            raise Rejected("unknown_order")
        return [self.shown(order)]

    def query_algo(self, request: Request) -> list[Row]:
        order = self.wanted_algo(request)
        if not self.exchange.visible(order):
            raise Rejected("unknown_order")
        return [rows.algo_row(order, self.exchange.rules[order.symbol])]

    def pending(self, request: Request) -> list[Row]:
        found = [o for o in self._orders(request) if o.is_open and self._is_plain(o)]
        return [self.shown(o) for o in self._page(request, found, "ordId")]

    def history(self, request: Request) -> list[Row]:
        """Orders that have ended, newest first."""
        state = request.text("state", default="")
        found = [o for o in self._orders(request) if not o.is_open and self._is_plain(o)]
        page = self._page(request, found, "ordId")
        return [row for row in map(self.shown, page) if state in ("", row["state"])]

    def pending_algos(self, request: Request) -> list[Row]:
        kind = request.text("ordType")
        found = [o for o in self._orders(request) if o.is_open and not self._is_plain(o)]
        page = self._page(request, found, "algoId")
        made = [rows.algo_row(o, self.exchange.rules[o.symbol]) for o in page]
        return [row for row in made if row["ordType"] in kind.split(",")]

    def algo_history(self, request: Request) -> list[Row]:
        state = request.text("state", "algoId", default="")
        found = [o for o in self._orders(request) if rows.is_algo(o)]
        made = [rows.algo_row(o, self.exchange.rules[o.symbol]) for o in found[::-1]]
        return [row for row in made if state in (row["state"], row["algoId"])]

    def _is_plain(self, order: BookedOrder) -> bool:
        return order.triggered or not rows.is_algo(order)

    def _orders(self, request: Request) -> list[BookedOrder]:
        symbols = {rules.symbol for rules in self.chosen(request)}
        found = self.exchange.orders(request.account)
        return [o for o in found if o.symbol in symbols and self.exchange.visible(o)]

    def _page(
        self, request: Request, found: Sequence[BookedOrder], name: str
    ) -> Sequence[BookedOrder]:
        """Newest first; `after` and `before` hold ids, `begin` and `end` times."""
        after = rows.number_of(request.text("after", default="none"))
        start, end = request.whole("begin", 0), request.whole("end", 2**62)
        kept = [
            o
            for o in reversed(found)
            if (after < 0 or o.order_id < after) and start <= int(rows.ms(o.created_ns)) <= end
        ]
        return kept[: min(request.whole("limit", 100), 100)]

    def fills(self, request: Request) -> list[Row]:
        """Own executions, newest first; `after` and `before` hold bill ids."""
        account, symbols = request.account, {rules.symbol for rules in self.chosen(request)}
        wanted = rows.number_of(request.text("ordId", default="none"))
        after = rows.number_of(request.text("after", default="none"))
        start, end = request.whole("begin", 0), request.whole("end", 2**62)
        now_ns = self.exchange.now_ns()

        def fits(f: BookedFill) -> bool:
            named = wanted in (-1, f.order_id) and f.symbol in symbols
            older = after < 0 or f.fill_id < after
            seen = f.hidden_until_ns <= now_ns and start <= int(rows.ms(f.ts_ns)) <= end
            return named and older and seen

        found = [f for f in reversed(self.exchange.fills(account)) if fits(f)]
        page = found[: min(request.whole("limit", 100), 100)]
        order = self.exchange.order
        return [
            rows.fill_row(f, order(account, f.order_id), self.exchange.rules[f.symbol])
            for f in page
        ]
