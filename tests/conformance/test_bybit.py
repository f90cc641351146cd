"""Bybit v5: one set of calls for spot and perpetuals, told apart by `category`."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance.suite import (
    LINEAR,
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

HOST = "api.bybit.com/v5"
CREATE, CANCEL = f"{HOST}/order/create", f"{HOST}/order/cancel"
BASE = {
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderLinkId": OUR_ID,
    "category": "spot",
    "qty": "0.02",
}
LIMIT = BASE | {"orderType": "Limit", "price": "50000.1"}
STOP = BASE | {"side": "Sell", "orderType": "Market", "triggerPrice": "45000.5"}
SPOT_STOP = STOP | {"orderFilter": "StopOrder", "marketUnit": "baseCoin"}
PERP = {"category": "linear"}
BY_ID = {"symbol": "BTCUSDT", "category": "linear", "orderLinkId": OUR_ID}


def listed(category: str, *rows: dict[str, object]) -> dict[str, object]:
    result = {"category": category, "list": list(rows), "nextPageCursor": ""}
    return {"retCode": 0, "retMsg": "OK", "result": result, "time": 1700000000000}


PAYLOADS = {
    "instruments-info?category=spot": listed(
        "spot",
        {
            "symbol": "BTCUSDT",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "innovation": "0",
            "status": "Trading",
            "marginTrading": "both",
            "lotSizeFilter": {
                "basePrecision": "0.000001",
                "quotePrecision": "0.0000001",
                "minOrderQty": "0.000001",
                "maxOrderQty": "17000",
                "minOrderAmt": "5",
                "maxOrderAmt": "7000000",
            },
            "priceFilter": {"tickSize": "0.1"},
        },
    ),
    "instruments-info?category=linear&status=PreLaunch": listed("linear"),
    "instruments-info?category=linear": listed(
        "linear",
        {
            "symbol": "BTCUSDT",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "launchTime": "1584230400000",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": "2",
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
            "lotSizeFilter": {
                "maxOrderQty": "1190.000",
                "minOrderQty": "0.001",
                "qtyStep": "0.001",
                "minNotionalValue": "5",
            },
        },
    ),
}


class TestBybit(Conformance):
    exchange = "bybit"
    payloads = PAYLOADS
    instruments = {SPOT: ("0.1", "0.000001"), LINEAR: ("0.1", "0.001")}
    requests = (
        Request("spot limit", limit(), "POST", CREATE, LIMIT),
        Request(
            "spot market buys base units",
            market(),
            "POST",
            CREATE,
            BASE | {"orderType": "Market", "marketUnit": "baseCoin"},
        ),
        Request(
            "spot ioc", limit(time_in_force="IOC"), "POST", CREATE, LIMIT | {"timeInForce": "IOC"}
        ),
        Request(
            "spot fok", limit(time_in_force="FOK"), "POST", CREATE, LIMIT | {"timeInForce": "FOK"}
        ),
        Request(
            "spot post_only",
            limit(post_only=True),
            "POST",
            CREATE,
            LIMIT | {"timeInForce": "PostOnly"},
        ),
        Request("spot stop", stop(), "POST", CREATE, SPOT_STOP),
        Request(
            "spot stop_limit",
            stop_limit(),
            "POST",
            CREATE,
            STOP | {"orderFilter": "StopOrder", "orderType": "Limit", "price": "44990.2"},
        ),
        Request("limit", limit(symbol=LINEAR), "POST", CREATE, LIMIT | PERP),
        Request(
            "market", market(symbol=LINEAR), "POST", CREATE, BASE | PERP | {"orderType": "Market"}
        ),
        Request(
            "reduce_only",
            limit(symbol=LINEAR, side="sell", reduce_only=True),
            "POST",
            CREATE,
            LIMIT | PERP | {"side": "Sell", "reduceOnly": True},
        ),
        Request(
            "stop that sells fires on the way down",
            stop(symbol=LINEAR),
            "POST",
            CREATE,
            STOP | PERP | {"triggerDirection": 2},
        ),
        Request(
            "stop that buys fires on the way up, and closes only what is open",
            stop(symbol=LINEAR, side="buy", reduce_only=True),
            "POST",
            CREATE,
            STOP | PERP | {"side": "Buy", "triggerDirection": 1, "reduceOnly": True},
        ),
        Request(
            "amend",
            lambda q: q.amend_call(
                order_of(**limit(symbol=LINEAR, venue_order_id="a-b")),
                Decimal("0.03"),
                Decimal(49000),
            ),
            "POST",
            f"{HOST}/order/amend",
            {
                "symbol": "BTCUSDT",
                "category": "linear",
                "orderId": "a-b",
                "qty": "0.03",
                "price": "49000",
            },
        ),
        Request(
            "cancel",
            lambda q: q.cancel_call(order_of(**limit(symbol=LINEAR))),
            "POST",
            CANCEL,
            BY_ID,
        ),
        Request(
            "cancel known",
            lambda q: q.cancel_call(order_of(**limit(venue_order_id="a-b"))),
            "POST",
            CANCEL,
            {"symbol": "BTCUSDT", "category": "spot", "orderId": "a-b", "orderFilter": "Order"},
        ),
        Request(
            "cancel of a spot stop",
            lambda q: q.cancel_call(order_of(**stop())),
            "POST",
            CANCEL,
            BY_ID | {"category": "spot", "orderFilter": "StopOrder"},
        ),
        Request(
            "cancel of a linear stop",
            lambda q: q.cancel_call(order_of(**stop(symbol=LINEAR))),
            "POST",
            CANCEL,
            BY_ID,
        ),
        Request(
            "look-up among the open and the latest",
            lambda q: q.lookups(order_of(**limit(symbol=LINEAR))),
            "GET",
            f"{HOST}/order/realtime",
            BY_ID,
        ),
        Request(
            "look-up in history",
            lambda q: q.lookups(order_of(**limit(symbol=LINEAR))),
            "GET",
            f"{HOST}/order/history",
            BY_ID,
            nth=1,
        ),
        Request(
            "open, spot",
            lambda q: q.open_calls(),
            "GET",
            f"{HOST}/order/realtime",
            {"category": "spot", "limit": "50"},
        ),
        Request(
            "open, perpetuals by settlement coin",
            lambda q: q.open_calls(),
            "GET",
            f"{HOST}/order/realtime",
            {"category": "linear", "settleCoin": "USDT", "limit": "50"},
            nth=1,
        ),
        Request(
            "cancel all of a spot market",
            lambda q: q.cancel_all_calls(SPOT),
            "POST",
            f"{HOST}/order/cancel-all",
            {"category": "spot", "symbol": "BTCUSDT"},
        ),
        Request(
            "cancel all triggers of a spot market",
            lambda q: q.cancel_all_calls(SPOT),
            "POST",
            f"{HOST}/order/cancel-all",
            {"category": "spot", "symbol": "BTCUSDT", "orderFilter": "StopOrder"},
            nth=1,
        ),
        Request(
            "cancel all, perpetuals, triggers with them",
            lambda q: q.cancel_all_calls(),
            "POST",
            f"{HOST}/order/cancel-all",
            {"category": "linear", "settleCoin": "USDT"},
            nth=1,
        ),
        Request(
            "fills",
            lambda q: q.fills_call(LINEAR, 1_700_000_000_000_000_000, 1_700_000_001_000_000_000),
            "GET",
            f"{HOST}/execution/list",
            {
                "symbol": "BTCUSDT",
                "category": "linear",
                "execType": "Trade",
                "startTime": "1700000000000",
                "endTime": "1700000001000",
                "limit": "100",
            },
        ),
        Request(
            "balance",
            lambda q: q.holdings_calls(),
            "GET",
            f"{HOST}/account/wallet-balance",
            {"accountType": "UNIFIED"},
        ),
        Request(
            "positions",
            lambda q: q.holdings_calls(),
            "GET",
            f"{HOST}/position/list",
            {"category": "linear", "settleCoin": "USDT", "limit": "200"},
            nth=1,
        ),
        Request("permissions", lambda q: q.permissions_call(), "GET", f"{HOST}/user/query-api", {}),
    )
    refusals = (
        ("venue", trailing()),
        ("venue", trailing(symbol=LINEAR)),
        ("venue", limit(oco_group="g")),
        ("venue", limit(time_in_force="GTD", expire_ts_ns=2**60)),
        ("oco_group", limit(symbol=LINEAR, oco_group="g")),
        ("time_in_force", market(time_in_force="GTD", expire_ts_ns=2**60)),
        ("client_order_id", limit(client_order_id="a.b")),
    )
