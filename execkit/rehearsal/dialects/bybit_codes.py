"""Bybit v5: the exchange's words as codes (spot, linear), and socket operations as endpoints."""

from __future__ import annotations

CODES: dict[str, tuple[tuple[int, str], tuple[int, str]]] = {
    "insufficient_balance": (
        (170131, "Insufficient balance."),
        (110007, "ab not enough for new order"),
    ),
    "insufficient_margin": (
        (170131, "Insufficient balance."),
        (110007, "ab not enough for new order"),
    ),
    "min_notional": (
        (170140, "Order value exceeded lower limit."),
        (110094, "Order does not meet minimum order value"),
    ),
    "lot_size": ((170137, "Order quantity has too many decimals."), (10001, "Qty invalid")),
    "tick_size": ((170134, "Order price has too many decimals."), (10001, "Price invalid")),
    "price_band": (
        (170132, "Order price exceeded upper limit."),
        (110003, "Order price is out of permissible range"),
    ),
    "max_orders": (
        (170005, "Too many new orders; current limit is 500."),
        (110020, "You can't have more than 500 active orders"),
    ),
    "would_trigger": (
        (170206, "trigger price has been reached already"),
        (110092, "expect Rising, but trigger_price <= current"),
    ),
    "reduce_only": (
        (170203, "reduceOnly is not for spot"),
        (110017, "current position is zero, cannot fix reduce-only order qty"),
    ),
    "duplicate_id": ((170141, "Duplicate clientOrderId"), (110072, "OrderLinkedID is duplicate")),
    "unknown_symbol": ((170121, "Invalid symbol."), (10001, "params error: symbol invalid")),
    "unknown_order": (
        (170213, "Order does not exist."),
        (110001, "order not exists or too late to cancel"),
    ),
    "closed_order": (
        (170213, "Order does not exist."),
        (110001, "order not exists or too late to cancel"),
    ),
    "halted": (
        (170151, "This trading pair is not available for trading."),
        (110066, "Trading is currently not allowed"),
    ),
    "unsupported": ((170116, "Invalid orderType."), (10001, "orderType is not rehearsed")),
}
SHARED: dict[str, tuple[int, int, str]] = {
    "bad_request": (200, 10001, ""),
    "bad_timestamp": (
        200,
        10002,
        "invalid request, please check your server timestamp or recv_window param",
    ),
    "bad_key": (200, 10003, "API key is invalid."),
    "bad_signature": (200, 10004, "error sign! please check your signature generation algorithm."),
    "no_permission": (200, 10005, "Permission denied, please check your API key permissions."),
    "rate_limited": (200, 10006, "Too many visits. Exceeded the API Rate Limit."),
    "too_many_orders": (200, 10006, "Too many visits. Exceeded the API Rate Limit."),
    "banned": (403, 10018, "Exceeded the IP Rate Limit."),
    "maintenance": (503, 10016, "Server error."),
    "unavailable": (404, 10017, "Route not found."),
}
OPERATIONS = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
}
