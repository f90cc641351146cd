"""Bybit v5 (unified account): spot and linear perpetuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_S, to_ns
from execkit.domain import ExecutionOrder, Instrument
from execkit.venues.base import VenueUpdate
from execkit.venues.quirks.base import Quirks
from execkit.venues.quirks.calls import Budget, Call, Permissions, Support, Verdict
from execkit.venues.quirks.markets import Answer
from execkit.words import ExecutionMode, ExecutionStatus, Side

_V = Verdict
# Executions that move money by a fill; funding and the like are none. `Bust` and `Adl` are the
# exchange closing a position.
_FILLS = ("Trade", "AdlTrade", "BustTrade")


class Bybit(Quirks):
    id = "bybit"
    title = "Bybit"
    kinds = ("spot", "linear")
    demo = "sandbox"
    overrides = {
        # a trailing stop here belongs to a position: no order, no id, nothing to cancel
        "spot": {"trailing_stop": Support.EMULATED, "amend": Support.NATIVE},
        "linear": {
            "trailing_stop": Support.EMULATED,
            "amend": Support.NATIVE,
            "dead_man": Support.NATIVE,
        },
    }
    notes = {
        "trailing_stop": "its own would belong to the position, without an id",
        "stop_market": "on spot, fires when the price reaches it from where it was when sent",
        "stop_limit": "on spot, fires when the price reaches it from where it was when sent",
    }
    infers_direction = frozenset({"spot"})
    codes = {
        "10000": (_V.UNKNOWN, ""),
        "10016": (_V.UNKNOWN, ""),
        "10019": (_V.UNKNOWN, ""),
        "10429": (_V.BACK_OFF, "rate_limited"),
        "10006": (_V.BACK_OFF, "rate_limited"),
        "10018": (_V.BACK_OFF, "rate_limited"),
        "170222": (_V.BACK_OFF, "rate_limited"),
        "10002": (_V.RESYNC, "bad_timestamp"),
        "10003": (_V.HALT, "no_permission"),
        "10004": (_V.HALT, "bad_signature"),
        "10005": (_V.HALT, "no_permission"),
        "10007": (_V.HALT, "no_permission"),
        "10008": (_V.HALT, "no_permission"),
        "10009": (_V.HALT, "no_permission"),
        "10010": (_V.HALT, "no_permission"),
        "33004": (_V.HALT, "no_permission"),
        "110001": (_V.GONE, "unknown_order"),
        "170213": (_V.GONE, "unknown_order"),
        "110008": (_V.GONE, "unknown_order"),
        "110010": (_V.GONE, "unknown_order"),
        "170142": (_V.GONE, "unknown_order"),
        "170143": (_V.GONE, "unknown_order"),
        "110072": (_V.EXISTS, "duplicate_id"),
        "170141": (_V.EXISTS, "duplicate_id"),
        "110003": (_V.REJECTED, "price_band"),
        "110004": (_V.REJECTED, "insufficient_balance"),
        "110006": (_V.REJECTED, "insufficient_balance"),
        "110007": (_V.REJECTED, "insufficient_balance"),
        "110012": (_V.REJECTED, "insufficient_balance"),
        "110017": (_V.REJECTED, "reduce_only"),
        "110020": (_V.REJECTED, "max_orders"),
        "110021": (_V.REJECTED, "max_position"),
        "110079": (_V.REJECTED, "rejected"),
        "110092": (_V.REJECTED, "would_trigger"),
        "110093": (_V.REJECTED, "would_trigger"),
        "110094": (_V.REJECTED, "min_notional"),
        "170121": (_V.REJECTED, "unknown_symbol"),
        "170131": (_V.REJECTED, "insufficient_balance"),
        "170132": (_V.REJECTED, "price_band"),
        "170133": (_V.REJECTED, "price_band"),
        "170134": (_V.REJECTED, "tick_size"),
        "170136": (_V.REJECTED, "lot_size"),
        "170137": (_V.REJECTED, "lot_size"),
        "170140": (_V.REJECTED, "min_notional"),
        "170218": (_V.REJECTED, "post_only"),
    }
    budgets = (
        Budget("orders_s", 10, NS_PER_S),
        Budget("reads_s", 10, NS_PER_S),
        Budget("requests", 400, 5 * NS_PER_S),
    )
    weights = {
        "create_order": {"orders_s": 1, "requests": 1},
        "edit_order": {"orders_s": 1, "requests": 1},
        "cancel_order": {"orders_s": 1, "requests": 1},
        "cancel_all_orders": {"orders_s": 1, "requests": 1},
        "*": {"reads_s": 1, "requests": 1},
    }
    fill_window_ns = 7 * 86_400 * NS_PER_S
    fill_limit = 100
    fill_newest_first = True
    fill_kinds = tuple({"execType": word} for word in _FILLS)
    streams = ("watch_orders", "watch_my_trades", "watch_balance", "watch_positions")

    def client_options(self) -> dict[str, Any]:
        return {
            "fetchMarkets": {"types": ["spot", "linear"]},
            # else it first asks which kind of account this is, and a wrong answer disables calls
            "enableUnifiedAccount": True,
            "enableUnifiedMargin": False,
            "recvWindow": 5000,
        }

    def prepare(self, client: Any, *, demo: bool = False) -> None:
        super().prepare(client, demo=demo)
        client.has["fetchCurrencies"] = False  # a signed call that order entry does not need

    def id_param(self, order: ExecutionOrder) -> dict[str, object]:
        return {"orderLinkId": self.encode_id(order.client_order_id)}

    def stop_params(self, order: ExecutionOrder, instrument: Instrument) -> dict[str, object]:
        params = super().stop_params(order, instrument)
        if instrument.kind != "spot":
            rising = order.side is Side.BUY
            params["triggerDirection"] = "ascending" if rising else "descending"
        return params

    def cancel_call(self, order: ExecutionOrder) -> Call:
        call = super().cancel_call(order)
        if self.waits(order) and self.instrument_of(order).kind == "spot":
            call = replace(call, params={**call.params, "trigger": True})
        return call

    def lookups(self, order: ExecutionOrder) -> Sequence[Call]:
        # not fetch_order: it would send an empty orderId beside the client id
        params: dict[str, object] = {"orderId": order.venue_order_id}
        if not order.venue_order_id:
            params = self.id_param(order)
        name = self.symbol(order.symbol)
        methods = ("fetch_open_orders", "fetch_canceled_and_closed_orders")
        return [self.call(method, name, None, None, **params) for method in methods]

    def open_calls(self, symbol: str = "") -> Sequence[Call]:
        if symbol:
            return [self.call("fetch_open_orders", self.symbol(symbol), None, 50)]
        return [
            self.call("fetch_open_orders", None, None, 50, **where) for where in self._everywhere()
        ]

    def _everywhere(self) -> list[dict[str, object]]:
        """Parameters that together name every market: linear ones go by their settlement coin."""
        coins = sorted({i.quote for i in self.instruments.values() if i.kind == "linear"})
        linear: list[dict[str, object]] = [
            {"type": "swap", "subType": "linear", "settleCoin": c} for c in coins
        ]
        return [{"type": "spot"}, *linear]

    def status_of(self, row: Answer, quantity: Decimal, filled: Decimal | None) -> ExecutionStatus:
        found = super().status_of(row, quantity, filled)
        word = (row.get("info") or {}).get("orderStatus")
        # of spot alone; ccxt calls it closed, as if the whole of it had been filled
        ended = found is ExecutionStatus.UNKNOWN and word == "PartiallyFilledCanceled"
        return ExecutionStatus.CANCELED if ended else found

    def next_page(self, call: Call, rows: Sequence[Answer]) -> Call | None:
        cursor = (rows[0].get("info") or {}).get("nextPageCursor") if rows else None
        if not cursor or cursor == call.params.get("cursor"):
            return None
        return replace(call, params={**call.params, "cursor": cursor})

    def cancel_all_calls(self, symbol: str = "") -> Sequence[Call]:
        # spot: without a filter only plain orders go, so triggers need a call of their own
        if symbol:
            calls = [self.call("cancel_all_orders", self.symbol(symbol))]
            spot = self.instruments[symbol].kind == "spot"
        else:
            calls = [self.call("cancel_all_orders", None, **w) for w in self._everywhere()]
            spot = True
        if spot:
            calls.append(replace(calls[0], params={**calls[0].params, "trigger": True}))
        return calls

    def holdings_calls(self) -> Sequence[Call]:
        linear = [w for w in self._everywhere() if w["type"] == "swap"]
        positions = [self.call("fetch_positions", None, **where) for where in linear]
        return [self.call("fetch_balance", type="unified"), *positions]

    def permissions_call(self) -> Call | None:
        return self.call("private_get_v5_user_query_api")

    def permissions(self, answer: Any) -> Permissions:
        told: Mapping[str, Any] = answer.get("result") or {}
        granted: Mapping[str, Any] = told.get("permissions") or {}
        addresses, expires = told.get("ips"), told.get("expiredAt")
        trades = bool(granted.get("ContractTrade") or granted.get("Spot"))
        return Permissions(
            orders=trades and str(told.get("readOnly")) == "0",
            withdrawals="Withdraw" in (granted.get("Wallet") or ()),
            bound_to_address=None if addresses is None else addresses != ["*"],
            expires_ns=to_ns(expires, "expiredAt") if expires else None,
        )

    # ------------------------------------------------------------------------------- reading

    def wire_id(self, row: Answer) -> str | None:
        return row.get("clientOrderId") or (row.get("info") or {}).get("orderLinkId")

    def parse_fill(self, row: Answer, local_ts_ns: int, mode: ExecutionMode) -> VenueUpdate | None:
        word = (row.get("info") or {}).get("execType")
        if word is not None and word not in _FILLS:
            return None
        return super().parse_fill(row, local_ts_ns, mode)

    def was_triggered(self, row: Answer) -> bool:
        return (row.get("info") or {}).get("orderStatus") == "Triggered"

    def end_reason(self, row: Answer) -> str:
        info = row.get("info") or {}
        word = str(info.get("rejectReason") or "EC_NoError")
        return "" if word in ("EC_NoError", "") else _REASONS.get(word, word)


_REASONS = {
    "EC_PostOnlyWillTakeLiquidity": "post_only",
    "EC_NoImmediateQtyToFill": "ioc",
    "EC_NoEnoughQtyToFill": "fok",
    "EC_PerCancelRequest": "requested",
    "EC_ReachMaxPendingOrders": "max_orders",
    "EC_InvalidSymbolStatus": "halted",
}
