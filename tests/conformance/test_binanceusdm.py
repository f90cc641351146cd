"""Binance USD-M: triggers go to the algo service, with a client id field and a namespace apart."""

from __future__ import annotations

from decimal import Decimal

from execkit.domain import ExecutionOrder
from tests.conformance.suite import (
    LINEAR,
    OUR_ID,
    Conformance,
    Request,
    order_of,
)
from tests.conformance.suite import limit as _limit
from tests.conformance.suite import market as _market
from tests.conformance.suite import stop as _stop
from tests.conformance.suite import stop_limit as _stop_limit
from tests.conformance.suite import trailing as _trailing

HOST = "fapi.binance.com/fapi/v1"
ORDER, ALGO = f"{HOST}/order", f"{HOST}/algoOrder"
BASE = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "newClientOrderId": OUR_ID,
    "newOrderRespType": "RESULT",
    "quantity": "0.02",
}
LIMIT = BASE | {"type": "LIMIT", "price": "50000.1", "timeInForce": "GTC"}
TRIGGER = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "clientAlgoId": OUR_ID,
    "newOrderRespType": "RESULT",
    "quantity": "0.02",
}
STOP = TRIGGER | {"type": "STOP_MARKET", "triggerPrice": "45000.5"}
KINDS = [
    *("LIMIT", "MARKET", "STOP", "STOP_MARKET"),
    *("TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"),
]
MARKETS = {
    "timezone": "UTC",
    "serverTime": 1700000000000,
    "rateLimits": [],
    "assets": [{"asset": "USDT", "marginAvailable": True}],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "pair": "BTCUSDT",
            "contractType": "PERPETUAL",
            "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000,
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": 2,
            "quantityPrecision": 3,
            "orderTypes": KINDS,
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.10", "tickSize": "0.10"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "100"},
            ],
        }
    ],
}
EXPIRE = 1_800_000_000_500_000_000
MADE = EXPIRE - 3_600 * 1_000_000_000


def limit(**changes: object) -> dict[str, object]:
    return _limit(symbol=LINEAR, **changes)


def market(**changes: object) -> dict[str, object]:
    return _market(symbol=LINEAR, **changes)


def stop(**changes: object) -> dict[str, object]:
    return _stop(symbol=LINEAR, **changes)


def stop_limit(**changes: object) -> dict[str, object]:
    return _stop_limit(symbol=LINEAR, **changes)


def trailing(**changes: object) -> dict[str, object]:
    return _trailing(symbol=LINEAR, **changes)


def known(venue_order_id: str, **fields: object) -> ExecutionOrder:
    return order_of(**(fields or limit()), venue_order_id=venue_order_id)


class TestBinanceUsdm(Conformance):
    exchange = "binanceusdm"
    payloads = {"fapi/v1/exchangeInfo": MARKETS}
    instruments = {LINEAR: ("0.1", "0.001")}
    requests = (
        Request("limit", limit(), "POST", ORDER, LIMIT),
        Request("market", market(), "POST", ORDER, BASE | {"type": "MARKET"}),
        Request("ioc", limit(time_in_force="IOC"), "POST", ORDER, LIMIT | {"timeInForce": "IOC"}),
        Request("fok", limit(time_in_force="FOK"), "POST", ORDER, LIMIT | {"timeInForce": "FOK"}),
        Request("post_only", limit(post_only=True), "POST", ORDER, LIMIT | {"timeInForce": "GTX"}),
        Request(
            "gtd, in whole seconds and never early",
            limit(time_in_force="GTD", expire_ts_ns=EXPIRE, created_ts_ns=MADE),
            "POST",
            ORDER,
            LIMIT | {"timeInForce": "GTD", "goodTillDate": "1800000001000"},
        ),
        Request(
            "reduce_only",
            limit(side="sell", reduce_only=True),
            "POST",
            ORDER,
            LIMIT | {"side": "SELL", "reduceOnly": "true"},
        ),
        Request("stop", stop(), "POST", ALGO, STOP),
        Request(
            "stop reduce_only", stop(reduce_only=True), "POST", ALGO, STOP | {"reduceOnly": "true"}
        ),
        Request(
            "stop_limit",
            stop_limit(),
            "POST",
            ALGO,
            STOP | {"type": "STOP", "price": "44990.2"},
        ),
        Request(
            "trailing",
            trailing(),
            "POST",
            ALGO,
            TRIGGER | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1"},
        ),
        Request(
            "amend",
            lambda q: q.amend_call(known("12"), Decimal("0.03"), Decimal(49000)),
            "PUT",
            ORDER,
            {
                "symbol": "BTCUSDT",
                "side": "BUY",
                "orderId": "12",
                "quantity": "0.03",
                "price": "49000",
            },
        ),
        Request(
            "cancel",
            lambda q: q.cancel_call(order_of(**limit())),
            "DELETE",
            ORDER,
            {"symbol": "BTCUSDT", "origClientOrderId": OUR_ID},
        ),
        Request(
            "cancel of a trigger",
            lambda q: q.cancel_call(order_of(**stop())),
            "DELETE",
            ALGO,
            {"symbol": "BTCUSDT", "clientAlgoId": OUR_ID},
        ),
        Request(
            "cancel of a known trigger",
            lambda q: q.cancel_call(known("algo:9", **stop())),
            "DELETE",
            ALGO,
            {"symbol": "BTCUSDT", "algoId": "9"},
        ),
        Request(
            "cancel of a trigger that fired",
            lambda q: q.cancel_call(known("12", **stop(triggered_ts_ns=1))),
            "DELETE",
            ORDER,
            {"symbol": "BTCUSDT", "orderId": "12"},
        ),
        Request(
            "look-up of a trigger",
            lambda q: q.lookups(order_of(**stop())),
            "GET",
            ALGO,
            {"symbol": "BTCUSDT", "clientAlgoId": OUR_ID},
        ),
        Request(
            "look-up of a trigger among the orders",
            lambda q: q.lookups(order_of(**stop())),
            "GET",
            ORDER,
            {"symbol": "BTCUSDT", "origClientOrderId": OUR_ID},
            nth=1,
        ),
        Request("open", lambda q: q.open_calls(), "GET", f"{HOST}/openOrders", {}),
        Request(
            "open triggers", lambda q: q.open_calls(), "GET", f"{HOST}/openAlgoOrders", {}, nth=1
        ),
        Request(
            "cancel all",
            lambda q: q.cancel_all_calls(LINEAR),
            "DELETE",
            f"{HOST}/allOpenOrders",
            {"symbol": "BTCUSDT"},
        ),
        Request(
            "cancel all triggers",
            lambda q: q.cancel_all_calls(LINEAR),
            "DELETE",
            f"{HOST}/algoOpenOrders",
            {"symbol": "BTCUSDT"},
            nth=1,
        ),
        Request(
            "fills",
            lambda q: q.fills_call(LINEAR, 1_700_000_000_000_000_000, 1_700_000_001_000_000_000),
            "GET",
            f"{HOST}/userTrades",
            {
                "symbol": "BTCUSDT",
                "startTime": "1700000000000",
                "endTime": "1700000001000",
                "limit": "1000",
            },
        ),
        Request(
            "balance", lambda q: q.holdings_calls(), "GET", "fapi.binance.com/fapi/v3/account", {}
        ),
        Request(
            "dead man",
            lambda q: q.dead_man_calls(30, [LINEAR]),
            "POST",
            f"{HOST}/countdownCancelAll",
            {"symbol": "BTCUSDT", "countdownTime": "30000"},
        ),
        Request(
            "permissions",
            lambda q: q.permissions_call(),
            "GET",
            "api.binance.com/sapi/v1/account/apiRestrictions",
            {},
        ),
    )
    refusals = (
        ("venue", trailing(trail_bps="5")),
        ("venue", trailing(trail_bps="15")),
        ("venue", trailing(trail_bps="1010")),
        ("oco_group", limit(oco_group="g")),
        ("venue", limit(oco_group="g", side="sell", reduce_only=True)),
        (
            "venue",
            limit(time_in_force="GTD", expire_ts_ns=EXPIRE, created_ts_ns=EXPIRE - 10**11),
        ),
        ("time_in_force", stop(time_in_force="FOK")),
        ("post_only", stop_limit(post_only=True)),
        ("price", limit(price="50000.01")),
        ("quantity", limit(quantity="0.001")),
    )
