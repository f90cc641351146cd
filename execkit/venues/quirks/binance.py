"""Binance spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from execkit.clock import NS_PER_MS, NS_PER_S
from execkit.venues.quirks.base import Quirks
from execkit.venues.quirks.calls import Budget, Call, Permissions, Support, Verdict
from execkit.venues.quirks.markets import Answer

_V = Verdict
COMMON_CODES: Mapping[str, tuple[Verdict, str]] = {
    "-1000": (_V.UNKNOWN, ""),
    "-1001": (_V.UNKNOWN, ""),
    "-1004": (_V.UNKNOWN, ""),
    "-1006": (_V.UNKNOWN, ""),
    "-1007": (_V.UNKNOWN, ""),
    "-1008": (_V.UNKNOWN, ""),
    "-1016": (_V.UNKNOWN, ""),
    "-1002": (_V.HALT, "no_permission"),
    "-1003": (_V.BACK_OFF, "rate_limited"),
    "-1015": (_V.BACK_OFF, "rate_limited"),
    "-1021": (_V.RESYNC, "bad_timestamp"),
    "-1022": (_V.HALT, "bad_signature"),
    "-2014": (_V.HALT, "no_permission"),
    "-2015": (_V.HALT, "no_permission"),
    "-1013": (_V.REJECTED, "lot_size"),
    "-1100": (_V.REJECTED, "rejected"),
    "-1102": (_V.REJECTED, "rejected"),
    "-1106": (_V.REJECTED, "rejected"),
    "-1111": (_V.REJECTED, "lot_size"),
    "-1116": (_V.REJECTED, "rejected"),
    "-1121": (_V.REJECTED, "unknown_symbol"),
    "-2010": (_V.REJECTED, "rejected"),
    "-2011": (_V.GONE, "unknown_order"),
    "-2013": (_V.GONE, "unknown_order"),
}


class Binance(Quirks):
    id = "binance"
    title = "Binance spot"
    demo = "sandbox"
    id_form = r"[.A-Z:/a-z0-9_-]{1,36}"
    overrides = {
        "spot": {
            # ccxt offers the call and then raises: there is no batch here
            "batch": Support.REFUSED,
        }
    }
    notes = {
        "amend": "its amend is a cancel and a new order, and can half fail",
    }
    codes = COMMON_CODES
    words = {
        "duplicate order sent": (_V.EXISTS, "duplicate_id"),
        "insufficient balance": (_V.REJECTED, "insufficient_balance"),
        "would immediately match": (_V.REJECTED, "post_only"),
        "would trigger immediately": (_V.REJECTED, "would_trigger"),
        "market is closed": (_V.REJECTED, "halted"),
        "trading is disabled": (_V.REJECTED, "halted"),
        "filter failure: notional": (_V.REJECTED, "min_notional"),
        "filter failure: min_notional": (_V.REJECTED, "min_notional"),
        "filter failure: price_filter": (_V.REJECTED, "tick_size"),
        "filter failure: percent_price": (_V.REJECTED, "price_band"),
        "filter failure: max_num": (_V.REJECTED, "max_orders"),
        "filter failure: max_position": (_V.REJECTED, "max_position"),
    }
    budgets = (
        Budget("weight", 6000, 60 * NS_PER_S),
        Budget("orders_10s", 100, 10 * NS_PER_S),
        Budget("orders_day", 200_000, 86_400 * NS_PER_S),
    )
    weights = {
        "create_order": {"weight": 1, "orders_10s": 1, "orders_day": 1},
        "cancel_order": {"weight": 1},
        "cancel_all_orders": {"weight": 1},
        "fetch_order": {"weight": 4},
        "fetch_open_orders": {"weight": 6},
        "fetch_open_orders:all": {"weight": 80},
        "fetch_my_trades": {"weight": 20},
        "fetch_balance": {"weight": 20},
        "sapi_get_account_apirestrictions": {"weight": 1},
        "*": {"weight": 20},
    }
    fill_window_ns = 86_400 * NS_PER_S
    fill_limit = 1000

    def client_options(self) -> dict[str, Any]:
        return {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchCurrencies": False,  # signed calls that order entry does not need
            "fetchMargins": False,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
            "recvWindow": 5000,
        }

    def cancel_all_calls(self, symbol: str = "") -> Sequence[Call]:
        # one market at a time; an answer -2011 means that nothing was open
        return [self.call("cancel_all_orders", self.symbol(symbol))] if symbol else []

    def fills_call(self, symbol: str, start_ns: int, end_ns: int, venue_order_id: str = "") -> Call:
        if not venue_order_id:
            return super().fills_call(symbol, start_ns, end_ns)
        # by order the exchange takes no times: it answers with all fills of the order
        name = self.symbol(symbol)
        return self.call("fetch_my_trades", name, None, self.fill_limit, orderId=venue_order_id)

    def wire_id(self, row: Answer) -> str | None:
        info = row.get("info") or {}
        # after a cancel, "clientOrderId" is the id of the cancel request
        return (
            info.get("origClientOrderId")
            or row.get("clientOrderId")
            or info.get("C")
            or info.get("c")
        )

    def end_reason(self, row: Answer) -> str:
        info = row.get("info") or {}
        word = str(info.get("r") or "NONE")  # the stream's reason of a rejection
        return "" if word == "NONE" else word.lower()

    def permissions_call(self) -> Call | None:
        return self.call("sapi_get_account_apirestrictions")

    def permissions(self, answer: Any) -> Permissions:
        expires = answer.get("tradingAuthorityExpirationTime")
        return Permissions(
            orders=answer.get("enableSpotAndMarginTrading"),
            withdrawals=answer.get("enableWithdrawals"),
            bound_to_address=answer.get("ipRestrict"),
            expires_ns=int(expires) * NS_PER_MS if expires else None,
        )
