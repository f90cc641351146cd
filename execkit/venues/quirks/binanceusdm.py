"""Binance USD-M perpetuals. Triggers live apart, as algo orders with ids and calls of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_S
from execkit.domain import ExecutionOrder
from execkit.venues.base import UpdateKind
from execkit.venues.quirks.binance import COMMON_CODES, Binance
from execkit.venues.quirks.calls import Budget, Call, Permissions, Support, Verdict
from execkit.venues.quirks.markets import Answer
from execkit.venues.quirks.reading import exact
from execkit.venues.remote import Holdings, VenueOrder
from execkit.words import ExecutionStatus, OrderType

_V = Verdict
_ALGO = "algo:"  # before ids of triggers: they are counted apart from those of orders
_FIRED = ("TRIGGERED", "FINISHED")  # the order that it became tells the rest


class BinanceUsdm(Binance):
    id = "binanceusdm"
    title = "Binance USD-M"
    kinds = ("linear",)
    demo = "demo"
    overrides = {"linear": {"amend": Support.NATIVE, "dead_man": Support.NATIVE}}
    notes = {
        "amend": "only of limit orders",
        "trailing_stop": "native from 10 to 1,000 bps in steps of 10; else emulated",
        "GTD": "native from 11 minutes on, to the second; a nearer expiry is emulated",
        "dead_man": "one timer a market",
    }
    order_types = {}
    codes = {
        **COMMON_CODES,
        "-2018": (_V.REJECTED, "insufficient_balance"),
        "-2019": (_V.REJECTED, "insufficient_balance"),
        "-2020": (_V.REJECTED, "rejected"),
        "-2021": (_V.REJECTED, "would_trigger"),
        "-2022": (_V.REJECTED, "reduce_only"),
        "-2025": (_V.REJECTED, "max_orders"),
        "-2027": (_V.REJECTED, "max_position"),
        "-2028": (_V.REJECTED, "insufficient_balance"),
        "-4003": (_V.REJECTED, "lot_size"),
        "-4005": (_V.REJECTED, "lot_size"),
        "-4014": (_V.REJECTED, "tick_size"),
        "-4016": (_V.REJECTED, "price_band"),
        "-4023": (_V.REJECTED, "lot_size"),
        "-4024": (_V.REJECTED, "price_band"),
        "-4045": (_V.REJECTED, "max_orders"),
        "-4061": (_V.REJECTED, "rejected"),
        "-4116": (_V.EXISTS, "duplicate_id"),
        "-4131": (_V.REJECTED, "price_band"),
        "-4140": (_V.REJECTED, "halted"),
        "-4164": (_V.REJECTED, "min_notional"),
        "-4192": (_V.REJECTED, "halted"),
        "-5021": (_V.REJECTED, "rejected"),
        "-5022": (_V.REJECTED, "post_only"),
    }
    budgets = (
        Budget("weight", 2400, 60 * NS_PER_S),
        Budget("orders_10s", 300, 10 * NS_PER_S),
        Budget("orders_minute", 1200, 60 * NS_PER_S),
    )
    weights = {
        "create_order": {"orders_10s": 1, "orders_minute": 1},
        "edit_order": {"weight": 1, "orders_10s": 1, "orders_minute": 1},
        "cancel_order": {"weight": 1},
        "cancel_all_orders": {"weight": 1},
        "fetch_order": {"weight": 1},
        "fetch_open_orders": {"weight": 1},
        "fetch_open_orders:all": {"weight": 40},
        "fetch_my_trades": {"weight": 5},
        "fetch_balance": {"weight": 5},
        "fetch_positions": {"weight": 6},
        "fapiprivate_post_countdowncancelall": {"weight": 10},
        "sapi_get_account_apirestrictions": {"weight": 1},
        "*": {"weight": 20},
    }
    gtd_least_s = 660
    fill_window_ns = 7 * 86_400 * NS_PER_S
    streams = ("watch_orders", "watch_my_trades", "watch_balance", "watch_positions")

    def client_options(self) -> dict[str, Any]:
        return super().client_options() | {
            "defaultType": "swap",
            "defaultSubType": "linear",
            "fetchMarkets": {"types": ["linear"]},
        }

    def fits(self, feature: str, order: ExecutionOrder) -> bool:
        trail = order.trail_bps
        if feature == "trailing_stop" and trail is not None:
            return 10 <= trail <= 1000 and trail % 10 == 0
        return super().fits(feature, order)

    def expiry_params(self, order: ExecutionOrder) -> dict[str, object]:
        assert order.expire_ts_ns is not None
        # whole seconds: up, so that nothing ends before its time
        stamp = -(-order.expire_ts_ns // NS_PER_S) * 1000
        return {"timeInForce": "GTD", "goodTillDate": stamp}

    def id_args(self, order: ExecutionOrder) -> tuple[str | None, dict[str, object]]:
        venue_id, params = super().id_args(order)
        if venue_id is not None and venue_id.startswith(_ALGO):
            return venue_id.removeprefix(_ALGO), {"trigger": True}
        if venue_id is None and self.waits(order):
            params["trigger"] = True
        return venue_id, params

    def lookups(self, order: ExecutionOrder) -> Sequence[Call]:
        calls = list(super().lookups(order))
        if not order.venue_order_id and self.waits(order):
            # fired before we heard of it: found under the same client id among the orders
            name, params = self.symbol(order.symbol), self.id_param(order)
            calls.append(self.call("fetch_order", None, name, **params))
        return calls

    def follow(self, row: Answer) -> Call | None:
        info = row.get("info") or {}
        actual = str(info.get("actualOrderId") or "")
        if not actual or info.get("algoStatus") not in _FIRED:
            return None
        return self.call("fetch_order", actual, row["symbol"])

    def open_calls(self, symbol: str = "") -> Sequence[Call]:
        name = self.symbol(symbol) if symbol else None
        plain_call = self.call("fetch_open_orders", name)
        return [plain_call, replace(plain_call, params={"trigger": True})]

    def cancel_all_calls(self, symbol: str = "") -> Sequence[Call]:
        calls = super().cancel_all_calls(symbol)
        return [*calls, *(replace(call, params={"trigger": True}) for call in calls)]

    def dead_man_calls(self, timeout_s: int, symbols: Sequence[str] = ()) -> Sequence[Call]:
        names = [self.market_ids[symbol] for symbol in symbols]
        method, millis = "fapiprivate_post_countdowncancelall", timeout_s * 1000
        return [self.call(method, symbol=name, countdownTime=millis) for name in names]

    def permissions(self, answer: Any) -> Permissions:
        told = super().permissions(answer)
        return replace(told, orders=answer.get("enableFutures"))

    # ------------------------------------------------------------------------------- reading

    def venue_id(self, row: Answer) -> str:
        info = row.get("info") or {}
        found = super().venue_id(row)
        return _ALGO + found if found and ("algoId" in info or "aid" in info) else found

    def order_type_of(self, row: Answer, stop: Decimal | None) -> OrderType | None:
        info = row.get("info") or {}
        words = {str(info.get(key) or "") for key in ("type", "origType", "orderType", "o", "ot")}
        if "TRAILING_STOP_MARKET" in words:
            return OrderType.TRAILING_STOP
        return super().order_type_of(row, stop)

    def status_of(self, row: Answer, quantity: Decimal, filled: Decimal | None) -> ExecutionStatus:
        info = row.get("info") or {}
        if info.get("algoStatus") in _FIRED or ("aid" in info and info.get("X") in _FIRED):
            return ExecutionStatus.UNKNOWN  # ended as a trigger; `follow` finds what it became
        return super().status_of(row, quantity, filled)

    def update_kind(self, row: Answer, order: VenueOrder) -> UpdateKind | None:
        info = row.get("info") or {}
        if "aid" in info and info.get("X") == "TRIGGERED":
            return UpdateKind.TRIGGERED
        return super().update_kind(row, order)

    def end_reason(self, row: Answer) -> str:
        info = row.get("info") or {}
        return str(info.get("rm") or "").lower() if "aid" in info else ""

    def parse_holdings(self, answers: Any, ts_ns: int) -> Holdings:
        """The wallet, without the profit of open positions that ccxt's total holds."""
        told = list(answers)
        found = super().parse_holdings(told, ts_ns)
        wallet: dict[str, Decimal] = {}
        for answer in told:
            if isinstance(answer, dict):
                for asset in (answer.get("info") or {}).get("assets") or ():
                    if number := exact(asset.get("walletBalance")):
                        wallet[str(asset["asset"])] = number
        return replace(found, balances=wallet)
