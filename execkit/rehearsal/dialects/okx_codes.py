"""OKX v5: the exchange's words as codes: (HTTP status, code, message)."""

from __future__ import annotations

CODES: dict[str, tuple[int, str, str]] = {
    "insufficient_balance": (200, "51008", "Order failed. Insufficient balance in account."),
    "insufficient_margin": (200, "51008", "Order failed. Insufficient margin in account."),
    "min_notional": (200, "51020", "Your order should meet or exceed the minimum order amount."),
    "lot_size": (200, "51121", "Order quantity must be a multiple of the lot size."),
    "tick_size": (200, "51000", "Parameter px error"),
    "price_band": (200, "51006", "Order price is not within the price limit."),
    "max_orders": (200, "51025", "Order count exceeds the limit."),
    "post_only": (200, "51020", "Post only would take."),
    "would_trigger": (200, "51280", "SL trigger price must be less than the last price."),
    "reduce_only": (
        200,
        "51169",
        "Order failed because you don't have any positions in this direction to reduce or close.",
    ),
    "duplicate_id": (200, "51016", "Client order ID already exists."),
    "unknown_symbol": (200, "51001", "Instrument ID doesn't exist."),
    "unknown_order": (200, "51603", "Order does not exist"),
    "closed_order": (200, "51603", "Order does not exist"),
    "halted": (200, "51022", "Contract suspended."),
    "unsupported": (200, "51000", "Parameter ordType error"),
    "bad_request": (200, "51000", ""),
    "bad_timestamp": (401, "50102", "Timestamp request expired."),
    "bad_signature": (401, "50113", "Invalid Sign"),
    "bad_key": (401, "50111", "Invalid OK-ACCESS-KEY"),
    "no_permission": (401, "50120", "This API key doesn't have permission to use this function."),
    "rate_limited": (429, "50011", "Too Many Requests"),
    "too_many_orders": (200, "50061", "You've reached the maximum order rate limit."),
    "banned": (429, "50011", "Too Many Requests"),
    "maintenance": (503, "50001", "Service temporarily unavailable. Try again later."),
    "unavailable": (404, "50404", "No such endpoint here"),
}
GONE = {
    "cancel": (
        "51400",
        "Cancellation failed as the order has been filled, canceled or is unknown.",
    ),
    "cancel_all": ("51400", "Cancellation failed as the order is unknown."),
    "amend": ("51503", "Your order has already been filled or canceled."),
}
OPERATIONS = {
    "order": "/api/v5/trade/order",
    "batch-orders": "/api/v5/trade/batch-orders",
    "cancel-order": "/api/v5/trade/cancel-order",
    "batch-cancel-orders": "/api/v5/trade/cancel-batch-orders",
    "amend-order": "/api/v5/trade/amend-order",
}
