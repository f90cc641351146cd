"""Rows of Binance USD-M futures: what our exchange knows, in that venue's words. Pure functions.

Since December 2025 conditional orders live in a namespace of their own: an algo order has an
`algoId`, and becomes, once its price is reached, an ordinary order with an `orderId` and the same
client id. Both numbers come from the one number that our exchange gives an order.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from execkit.rehearsal.accounts import Account, Holding
from execkit.rehearsal.dialects.binance_rows import STATUS
from execkit.rehearsal.dialects.parts import Levels, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, DepthChange, Event
from execkit.words import ZERO, OrderType

Row = dict[str, Any]

ALGO_IDS = 1_000_000_000_000_000  # algo ids are numbers of another series
FOREVER_MS = 4_133_404_800_000  # the delivery date of what is never delivered
MAINTENANCE = Decimal("0.004")

TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.TRAILING_STOP: "TRAILING_STOP_MARKET",
}
ORDER_TYPES = [*TYPES.values(), "TAKE_PROFIT", "TAKE_PROFIT_MARKET"]


def ms(ts_ns: int) -> int:
    return ts_ns // 1_000_000


def market_id(symbol: str) -> str:
    return symbol.split(":")[0]


def is_algo(o: BookedOrder) -> bool:
    return o.asked.order_type not in (OrderType.MARKET, OrderType.LIMIT)


def is_waiting(o: BookedOrder) -> bool:
    """Whether the matching engine has not seen it: a conditional order that did not trigger."""
    return is_algo(o) and not o.triggered


def plain_type(o: BookedOrder) -> str:
    """Type of the order in the matching engine, whatever set it off."""
    return "LIMIT" if o.asked.price is not None else "MARKET"


def client_id(o: BookedOrder) -> str:
    """Orders that the exchange itself makes have names of its own."""
    made = {"liquidation": "autoclose-", "adl": "adl_autoclose"}.get(o.origin)
    return o.client_order_id if made is None else f"{made}{o.order_id if made[-1] == '-' else ''}"


def _time_in_force(o: BookedOrder) -> str:
    return "GTX" if o.asked.post_only else o.asked.time_in_force.value


def order_row(o: BookedOrder) -> Row:
    """An order of the matching engine, as create, cancel, look-up and lists answer it."""
    return {
        "orderId": o.order_id,
        "symbol": market_id(o.symbol),
        "status": STATUS[o.status],
        "clientOrderId": client_id(o),
        "price": text(o.asked.price),
        "avgPrice": text(o.average_price),
        "origQty": text(o.quantity),
        "executedQty": text(o.filled_quantity),
        "cumQuote": text(o.filled_quote),
        "timeInForce": _time_in_force(o),
        "type": plain_type(o),
        "reduceOnly": o.asked.reduce_only,
        "closePosition": False,
        "side": o.side.name,
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": o.asked.note.get("type", TYPES[o.asked.order_type]),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": ms(o.asked.expire_ts_ns or 0),
        "time": ms(o.created_ns),
        "updateTime": ms(o.updated_ns),
    }


def algo_status(o: BookedOrder) -> str:
    if is_waiting(o):
        return STATUS[o.status]
    return "TRIGGERED" if o.is_open else "FINISHED"


def algo_row(o: BookedOrder) -> Row:
    """A conditional order, as the algo endpoints answer it."""
    reached = not is_waiting(o)
    row = {
        "algoId": ALGO_IDS + o.order_id,
        "clientAlgoId": o.client_order_id,
        "algoType": "CONDITIONAL",
        "orderType": o.asked.note.get("type", TYPES[o.asked.order_type]),
        "symbol": market_id(o.symbol),
        "side": o.side.name,
        "positionSide": "BOTH",
        "timeInForce": o.asked.time_in_force.value,
        "quantity": text(o.quantity),
        "algoStatus": algo_status(o),
        "actualOrderId": str(o.order_id) if reached else "",
        "triggerPrice": text(o.asked.stop_price),
        "price": text(o.asked.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": o.asked.reduce_only,
        "createTime": ms(o.created_ns),
        "updateTime": ms(o.updated_ns),
        "triggerTime": ms(o.updated_ns) if reached else 0,
        "goodTillDate": 0,
    }
    if o.asked.trail_bps is not None:
        row |= {"callbackRate": text(o.asked.trail_bps / 100), "activatePrice": "0"}
    if reached:
        row |= {"actualType": plain_type(o), "actualPrice": text(o.average_price)}
        row["actualQty"] = text(o.filled_quantity)
    return row


def fill_row(f: BookedFill) -> Row:
    buys = f.side.name == "BUY"
    return {
        "symbol": market_id(f.symbol),
        "id": f.fill_id,
        "orderId": f.order_id,
        "side": f.side.name,
        "price": text(f.price),
        "qty": text(f.quantity),
        "realizedPnl": text(f.realised_pnl),
        "quoteQty": text(f.quote),
        "commission": text(f.fee),
        "commissionAsset": f.fee_currency,
        "time": ms(f.ts_ns),
        "positionSide": "BOTH",
        "maker": f.is_maker,
        "buyer": buys,
    }


def order_event(event: Event) -> Row:
    """ORDER_TRADE_UPDATE: an order of the matching engine changed, or traded."""
    o, f = event.order, event.fill
    assert o is not None
    what = "TRADE" if f is not None else _EXECUTIONS.get(event.what, event.what.upper())
    body = {
        "s": market_id(o.symbol),
        "c": client_id(o),
        "S": o.side.name,
        "o": plain_type(o),
        "f": _time_in_force(o),
        "q": text(o.quantity),
        "p": text(o.asked.price),
        "ap": text(o.average_price),
        "sp": "0",
        "x": what,
        "X": STATUS[o.status],
        "i": o.order_id,
        "l": text(f.quantity if f else ZERO),
        "z": text(o.filled_quantity),
        "L": text(f.price if f else ZERO),
        "T": ms(event.ts_ns),
        "t": f.fill_id if f else 0,
        "b": "0",
        "a": "0",
        "m": bool(f and f.is_maker),
        "R": o.asked.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": o.asked.note.get("type", TYPES[o.asked.order_type]),
        "ps": "BOTH",
        "cp": False,
        "rp": text(f.realised_pnl if f else ZERO),
        "pP": False,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": ms(o.asked.expire_ts_ns or 0),
    }
    if f:
        body |= {"n": text(f.fee), "N": f.fee_currency}
    return {"e": "ORDER_TRADE_UPDATE", "E": ms(event.ts_ns), "T": ms(event.ts_ns), "o": body}


_EXECUTIONS = {"new": "NEW", "triggered": "NEW", "amended": "AMENDMENT", "canceled": "CANCELED"}


def algo_event(o: BookedOrder, ts_ns: int, *, reason: str = "") -> Row:
    """ALGO_UPDATE: a conditional order was placed, canceled, triggered or is over."""
    reached = not is_waiting(o)
    body = {
        "caid": o.client_order_id,
        "aid": ALGO_IDS + o.order_id,
        "at": "CONDITIONAL",
        "o": o.asked.note.get("type", TYPES[o.asked.order_type]),
        "s": market_id(o.symbol),
        "S": o.side.name,
        "ps": "BOTH",
        "f": o.asked.time_in_force.value,
        "q": text(o.quantity),
        "X": algo_status(o),
        "ai": str(o.order_id) if reached else "",
        "ap": text(o.average_price),
        "aq": text(o.filled_quantity),
        "act": plain_type(o) if reached else "0",
        "tp": text(o.asked.stop_price),
        "p": text(o.asked.price),
        "V": "EXPIRE_MAKER",
        "wt": "CONTRACT_PRICE",
        "pm": "NONE",
        "cp": False,
        "pP": False,
        "R": o.asked.reduce_only,
        "tt": ms(ts_ns) if reached else 0,
        "gtd": 0,
    }
    if reason:
        body["rm"] = reason
    return {"e": "ALGO_UPDATE", "T": ms(ts_ns), "E": ms(ts_ns), "o": body}


def account_event(
    account: Account, assets: Iterable[str], held: Iterable[tuple[Holding, Decimal]], event: Event
) -> Row:
    """ACCOUNT_UPDATE. held : changed positions, each with its mark price."""
    balances = [
        {
            "a": asset,
            "wb": text(account.balances.get(asset)),
            "cw": text(account.balances.get(asset)),
            "bc": text(event.change if event.what not in ("fill", "fee") else ZERO),
        }
        for asset in assets
    ]
    positions = [
        {
            "s": market_id(h.instrument.symbol),
            "pa": text(h.quantity),
            "ep": text(h.average_price),
            "bep": text(h.average_price),
            "cr": "0",
            "up": text(h.profit(mark)),
            "mt": h.margin_mode,
            "iw": "0",
            "ps": "BOTH",
            "ma": h.instrument.settle,
        }
        for h, mark in held
    ]
    reason = _REASONS.get(event.what, "ORDER")
    stamps = {"E": ms(event.ts_ns), "T": ms(event.ts_ns)}
    return {"e": "ACCOUNT_UPDATE", **stamps, "a": {"m": reason, "B": balances, "P": positions}}


_REASONS = {
    "funding": "FUNDING_FEE",
    "deposit": "DEPOSIT",
    "withdrawal": "WITHDRAW",
    "transfer": "ADJUSTMENT",
    "liquidation": "INSURANCE_CLEAR",
}


def depth_event(d: DepthChange) -> Row:
    return {
        "e": "depthUpdate",
        "E": ms(d.ts_ns),
        "T": ms(d.ts_ns),
        "s": market_id(d.symbol),
        "U": d.first_id,
        "u": d.last_id,
        "pu": d.first_id - 1,
        "b": levels(d.bids),
        "a": levels(d.asks),
    }


def levels(side: Levels) -> list[list[str]]:
    return [[text(price), text(quantity)] for price, quantity in side]


def market_row(rules: SymbolRules) -> Row:
    price, size = text(rules.tick_size), text(rules.lot_size)
    lot = {"minQty": text(rules.min_quantity), "maxQty": text(rules.max_quantity), "stepSize": size}
    return {
        "symbol": market_id(rules.symbol),
        "pair": market_id(rules.symbol),
        "contractType": "PERPETUAL",
        "deliveryDate": FOREVER_MS,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING" if rules.state == "trading" else "BREAK",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.quote,
        "pricePrecision": _decimals(rules.tick_size),
        "quantityPrecision": _decimals(rules.lot_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": price,
                "maxPrice": "9000000",
                "tickSize": price,
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": rules.max_open_orders},
            {"filterType": "MIN_NOTIONAL", "notional": text(rules.min_notional)},
        ],
        "orderTypes": ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _decimals(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


def position_row(h: Holding, mark: Decimal) -> Row:
    margin = h.margin(mark)
    return {
        "symbol": market_id(h.instrument.symbol),
        "positionSide": "BOTH",
        "positionAmt": text(h.quantity),
        "entryPrice": text(h.average_price),
        "breakEvenPrice": text(h.average_price),
        "markPrice": text(mark),
        "unRealizedProfit": text(h.profit(mark)),
        "liquidationPrice": "0",
        "isolatedMargin": text(margin) if h.margin_mode == "isolated" else "0",
        "notional": text(h.value(mark).copy_sign(h.quantity)),
        "marginAsset": h.instrument.settle,
        "isolatedWallet": text(margin) if h.margin_mode == "isolated" else "0",
        "initialMargin": text(margin),
        "maintMargin": text(h.value(mark) * MAINTENANCE),
        "positionInitialMargin": text(margin),
        "openOrderInitialMargin": "0",
        "adl": "1",
        "bidNotional": "0",
        "askNotional": "0",
        "leverage": str(h.leverage),
        "marginType": h.margin_mode,
        "updateTime": ms(h.updated_ns),
    }
