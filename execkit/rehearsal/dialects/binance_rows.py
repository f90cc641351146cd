"""Binance spot: orders, fills and balances as its REST and its user stream write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execkit.clock import NS_PER_MS
from execkit.rehearsal.accounts import ApiKey
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, Event
from execkit.words import ZERO, ExecutionStatus, OrderType, TimeInForce

_EIGHT = Decimal("1e-8")
STATUS = {
    ExecutionStatus.OPEN: "NEW",
    ExecutionStatus.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    ExecutionStatus.FILLED: "FILLED",
    ExecutionStatus.CANCELED: "CANCELED",
    ExecutionStatus.EXPIRED: "EXPIRED",
    ExecutionStatus.REJECTED: "REJECTED",
}
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TRAILING_STOP: "STOP_LOSS",
}
ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"]


def number(value: Decimal | None) -> str:
    """Eight decimals, as Binance writes every price and quantity."""
    return f"{(value or ZERO).quantize(_EIGHT):f}"


def ms(ts_ns: int) -> int:
    return ts_ns // NS_PER_MS


def key_row(key: ApiKey) -> dict[str, Any]:
    """What a key may do, as the host of all its markets tells it."""
    return {
        "ipRestrict": key.ip_restricted,
        "createTime": ms(key.created_ns),
        "enableReading": key.may_read,
        "enableSpotAndMarginTrading": key.may_order,
        "enableWithdrawals": key.may_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
    }


def type_of(order: BookedOrder) -> str:
    return order.asked.note.get("type") or _TYPES[order.asked.order_type]


def status_of(order: BookedOrder) -> str:
    if order.status is ExecutionStatus.EXPIRED and order.reason == "stp":
        return "EXPIRED_IN_MATCH"
    return STATUS[order.status]


def tif_of(order: BookedOrder) -> str:
    tif = order.asked.time_in_force
    return "GTC" if tif is TimeInForce.GTD else tif.value


def order_row(order: BookedOrder) -> dict[str, Any]:
    """As look-ups show an order."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": number(order.asked.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.filled_quantity),
        "cummulativeQuoteQty": number(order.filled_quote),
        "status": status_of(order),
        "timeInForce": tif_of(order),
        "type": type_of(order),
        "side": order.side.value.upper(),
        "stopPrice": number(order.asked.stop_price),
        "icebergQty": number(None),
        "time": ms(order.created_ns),
        "updateTime": ms(order.updated_ns),
        "isWorking": order.triggered,
        "workingTime": ms(order.created_ns),
        "origQuoteOrderQty": number(order.asked.quote_quantity),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def placed_row(order: BookedOrder, fills: list[BookedFill], detail: str) -> dict[str, Any]:
    """As the answer to a new order: detail is ACK, RESULT or FULL."""
    row: dict[str, Any] = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": ms(order.created_ns),
    }
    if detail == "ACK":
        return row
    wanted = "price origQty executedQty cummulativeQuoteQty status timeInForce type side"
    names = f"{wanted} stopPrice workingTime origQuoteOrderQty selfTradePreventionMode"
    whole = order_row(order)
    row |= {name: whole[name] for name in names.split()}
    if detail == "FULL":
        row["fills"] = [
            {
                "price": number(fill.price),
                "qty": number(fill.quantity),
                "commission": number(fill.fee),
                "commissionAsset": fill.fee_currency,
                "tradeId": fill.fill_id,
            }
            for fill in fills
        ]
    return row


def canceled_row(order: BookedOrder, request_id: str) -> dict[str, Any]:
    """As the answer to a cancel, which has an id of its own."""
    whole = order_row(order)
    gone = ("time", "updateTime", "isWorking", "workingTime", "icebergQty", "stopPrice")
    kept = {name: value for name, value in whole.items() if name not in gone}
    return kept | {
        "origClientOrderId": order.client_order_id,
        "clientOrderId": request_id or f"c{order.order_id}",
        "transactTime": ms(order.updated_ns),
    }


def fill_row(fill: BookedFill) -> dict[str, Any]:
    """As own-fill queries show one."""
    return {
        "symbol": fill.symbol,
        "id": fill.fill_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.quote),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_currency,
        "time": ms(fill.ts_ns),
        "isBuyer": fill.side.sign > 0,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


_EXECUTION = {
    "new": "NEW",
    "triggered": "NEW",
    "amended": "REPLACED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
}


def execution_report(event: Event, skew_ms: int) -> dict[str, Any]:
    """An order's event on the user stream."""
    order, fill = event.order, event.fill
    assert order is not None  # events about orders carry it
    kind = "TRADE" if fill else _EXECUTION[event.what]
    canceled = kind == "CANCELED"
    return {
        "e": "executionReport",
        "E": ms(event.ts_ns) + skew_ms,
        "s": order.symbol,
        "c": f"c{order.order_id}" if canceled else order.client_order_id,
        "S": order.side.value.upper(),
        "o": type_of(order),
        "f": tif_of(order),
        "q": number(order.quantity),
        "p": number(order.asked.price),
        "P": number(order.asked.stop_price),
        "F": number(None),
        "g": -1,
        "C": order.client_order_id if canceled else "",
        "x": kind,
        "X": status_of(order),
        "r": "NONE",
        "i": order.order_id,
        "l": number(fill.quantity if fill else None),
        "z": number(order.filled_quantity),
        "L": number(fill.price if fill else None),
        "n": number(fill.fee) if fill else "0",
        "N": fill.fee_currency if fill else None,
        "T": ms(event.ts_ns) + skew_ms,
        "t": fill.fill_id if fill else -1,
        "w": order.is_open,
        "m": bool(fill and fill.is_maker),
        "M": False,
        "O": ms(order.created_ns) + skew_ms,
        "Z": number(order.filled_quote),
        "Y": number(fill.quote if fill else None),
        "Q": number(order.asked.quote_quantity),
        "W": ms(order.created_ns) + skew_ms,
        "V": "EXPIRE_MAKER",
    }


def symbol_row(rules: SymbolRules) -> dict[str, Any]:
    """A symbol of exchangeInfo."""
    status = {"trading": "TRADING", "halted": "HALT", "delisted": "BREAK"}[rules.state]
    lots = {"minQty": number(rules.min_quantity), "maxQty": number(rules.max_quantity)}
    return {
        "symbol": rules.symbol,
        "status": status,
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": number(rules.tick_size),
                "maxPrice": "9000000.00000000",
                "tickSize": number(rules.tick_size),
            },
            {"filterType": "LOT_SIZE", **lots, "stepSize": number(rules.lot_size)},
            {
                "filterType": "NOTIONAL",
                "minNotional": number(rules.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_open_orders},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }
