"""Binance spot, by its own REST rules: numbers as text, LIMIT_MAKER for post-only."""

from __future__ import annotations

from tests.conformance.suite import (
    OUR_ID,
    SPOT,
    Conformance,
    Request,
    limit,
    market,
    order_of,
    stop,
    stop_limit,
    trailing,
)

PLACE = "api.binance.com/api/v3/order"
BASE = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "newClientOrderId": OUR_ID,
    "newOrderRespType": "FULL",
    "quantity": "0.02",
}
LIMIT = BASE | {"type": "LIMIT", "price": "50000.1", "timeInForce": "GTC"}
STOP = BASE | {"side": "SELL", "type": "STOP_LOSS", "stopPrice": "45000.5"}
MARKETS = {
    "timezone": "UTC",
    "serverTime": 1700000000000,
    "rateLimits": [],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "isSpotTradingAllowed": True,
            "orderTypes": [
                *("LIMIT", "LIMIT_MAKER", "MARKET"),
                *("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "stepSize": "0.00001"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
            ],
        }
    ],
}
BY_ID = {"symbol": "BTCUSDT", "origClientOrderId": OUR_ID}
KNOWN = {"symbol": "BTCUSDT", "orderId": "77"}


def known(**changes: object) -> object:
    return order_of(**limit(venue_order_id="77", **changes))


class TestBinance(Conformance):
    exchange = "binance"
    payloads = {"/api/v3/exchangeInfo": MARKETS}
    instruments = {SPOT: ("0.01", "0.00001")}
    requests = (
        Request("limit", limit(), "POST", PLACE, LIMIT),
        Request("market", market(), "POST", PLACE, BASE | {"type": "MARKET"}),
        Request("ioc", limit(time_in_force="IOC"), "POST", PLACE, LIMIT | {"timeInForce": "IOC"}),
        Request("fok", limit(time_in_force="FOK"), "POST", PLACE, LIMIT | {"timeInForce": "FOK"}),
        Request(
            "post_only",
            limit(post_only=True),
            "POST",
            PLACE,
            BASE | {"type": "LIMIT_MAKER", "price": "50000.1"},
        ),
        Request("stop", stop(), "POST", PLACE, STOP),
        Request(
            "stop_limit",
            stop_limit(),
            "POST",
            PLACE,
            STOP | {"type": "STOP_LOSS_LIMIT", "price": "44990.2", "timeInForce": "GTC"},
        ),
        Request(
            "reduce_only is ours to keep",
            limit(side="sell", reduce_only=True),
            "POST",
            PLACE,
            LIMIT | {"side": "SELL"},
        ),
        Request("cancel", lambda q: q.cancel_call(order_of(**limit())), "DELETE", PLACE, BY_ID),
        Request("cancel known", lambda q: q.cancel_call(known()), "DELETE", PLACE, KNOWN),
        Request("look-up", lambda q: q.lookups(order_of(**limit())), "GET", PLACE, BY_ID),
        Request("look-up known", lambda q: q.lookups(known()), "GET", PLACE, KNOWN),
        Request("open", lambda q: q.open_calls(), "GET", "api.binance.com/api/v3/openOrders", {}),
        Request(
            "open of one market",
            lambda q: q.open_calls(SPOT),
            "GET",
            "api.binance.com/api/v3/openOrders",
            {"symbol": "BTCUSDT"},
        ),
        Request(
            "cancel all",
            lambda q: q.cancel_all_calls(SPOT),
            "DELETE",
            "api.binance.com/api/v3/openOrders",
            {"symbol": "BTCUSDT"},
        ),
        Request(
            "fills",
            lambda q: q.fills_call(SPOT, 1_700_000_000_000_000_001, 1_700_000_001_000_000_001),
            "GET",
            "api.binance.com/api/v3/myTrades",
            {
                "symbol": "BTCUSDT",
                "startTime": "1700000000000",
                "endTime": "1700000001001",
                "limit": "1000",
            },
        ),
        Request(
            "fills of an order",
            lambda q: q.fills_call(SPOT, 1, 2, "77"),
            "GET",
            "api.binance.com/api/v3/myTrades",
            {"symbol": "BTCUSDT", "orderId": "77", "limit": "1000"},
        ),
        Request(
            "holdings", lambda q: q.holdings_calls(), "GET", "api.binance.com/api/v3/account", {}
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
        ("venue", trailing()),
        ("venue", limit(oco_group="g")),
        ("venue", limit(time_in_force="GTD", expire_ts_ns=2**60)),
        ("reduce_only", limit(reduce_only=True)),
        ("time_in_force", market(time_in_force="FOK")),
        ("post_only", stop_limit(post_only=True)),
        ("symbol", limit(symbol="ETHUSDT")),
        ("price", limit(price="50000.001")),
        ("stop_price", stop(stop_price="45000.001")),
        ("quantity", limit(quantity="0.000001")),
        ("quantity", limit(quantity="0.00009")),
        ("client_order_id", limit(client_order_id="x" * 37)),
        ("client_order_id", limit(client_order_id="with space")),
    )
