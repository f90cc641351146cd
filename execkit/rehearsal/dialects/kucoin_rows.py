"""Rows of KuCoin, spot and linear futures: what our exchange knows, in that venue's words.

Pure functions. Futures are sized in contracts; one contract here is one lot of the instrument, and
BTC is called XBT. A stop has an id of its own; the order that it becomes has another.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from execkit.rehearsal.accounts import Holding
from execkit.rehearsal.dialects.parts import Levels, maybe, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, PublicPrint
from execkit.words import ZERO, ExecutionStatus, OrderType, Side, TimeInForce

Row = dict[str, Any]

_ORDER, _STOP = "63c97e47", "vs8hoo8o"
_CANCELED = (ExecutionStatus.CANCELED, ExecutionStatus.EXPIRED, ExecutionStatus.REJECTED)


def ms(ts_ns: int) -> int:
    return ts_ns // 1_000_000


def is_future(symbol: str) -> bool:
    return ":" in symbol


def market_id(rules: SymbolRules) -> str:
    if not is_future(rules.symbol):
        return f"{rules.base}-{rules.quote}"
    return f"{'XBT' if rules.base == 'BTC' else rules.base}{rules.quote}M"


def venue_id(number: int) -> str:
    return f"{_ORDER}{number:016x}"


def stop_id(number: int) -> str:
    return f"{_STOP}{number:016x}"


def number_of(venue_id: str) -> int:
    """The exchange's number in an order id or a stop id, -1 if it is none of ours."""
    head, tail = venue_id[:8], venue_id[8:]
    if head not in (_ORDER, _STOP):
        return -1
    try:
        return int(tail, 16)
    except ValueError:
        return -1


def contracts(quantity: Decimal, rules: SymbolRules) -> Decimal:
    return quantity / rules.lot_size if is_future(rules.symbol) else quantity


def size_of(quantity: Decimal, rules: SymbolRules) -> Any:
    """A size as this venue writes it: text for spot, a whole number for futures."""
    units = contracts(quantity, rules)
    return int(units) if is_future(rules.symbol) else text(units)


def is_stop(o: BookedOrder) -> bool:
    return o.asked.order_type not in (OrderType.MARKET, OrderType.LIMIT)


def waits(o: BookedOrder) -> bool:
    return is_stop(o) and not o.triggered


def kind_of(o: BookedOrder) -> str:
    return "market" if o.asked.price is None else "limit"


def _time_in_force(o: BookedOrder) -> str:
    words = {TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
    return words.get(o.asked.time_in_force, "GTC")


def order_row(o: BookedOrder, rules: SymbolRules, fees: Mapping[str, Decimal]) -> Row:
    """An order of the matching engine, as look-ups and lists show it."""
    paid = next(iter(fees), rules.quote)
    ended = None if o.is_open else ms(o.updated_ns)
    row = {
        "id": venue_id(o.order_id),
        "symbol": market_id(rules),
        "clientOid": o.client_order_id,
        "type": kind_of(o),
        "side": o.side.value,
        "price": maybe(o.asked.price) or None if is_future(o.symbol) else text(o.asked.price),
        "size": size_of(o.quantity, rules),
        "timeInForce": _time_in_force(o),
        "postOnly": o.asked.post_only,
        "hidden": False,
        "iceberg": False,
        "visibleSize": None,
        "stp": "",
        "stop": "",
        "stopTriggered": is_stop(o),
        "stopPrice": None,
        "isActive": o.is_open,
        "active": o.is_open,
        "cancelExist": o.status in _CANCELED,
        "createdAt": ms(o.created_ns),
        "remark": None,
        "tags": None,
    }
    if is_future(o.symbol):
        return row | {
            "value": text(o.filled_quote),
            "dealValue": text(o.filled_quote),
            "filledValue": text(o.filled_quote),
            "dealSize": size_of(o.filled_quantity, rules),
            "filledSize": size_of(o.filled_quantity, rules),
            "avgDealPrice": text(o.average_price),
            "leverage": "1",
            "forceHold": False,
            "closeOrder": False,
            "reduceOnly": o.asked.reduce_only,
            "settleCurrency": rules.quote,
            "status": "open" if o.is_open else "done",
            "updatedAt": ms(o.updated_ns),
            "endAt": ended,
            "orderTime": o.created_ns,
        }
    return row | {
        "opType": "DEAL",
        "funds": text(o.asked.quote_quantity),
        "dealFunds": text(o.filled_quote),
        "dealSize": text(o.filled_quantity),
        "fee": text(fees.get(paid)),
        "feeCurrency": paid,
        "inOrderBook": o.is_open,
        "tradeType": "TRADE",
        "channel": "API",
        "lastUpdatedAt": ms(o.updated_ns),
    }


def stop_row(o: BookedOrder, rules: SymbolRules) -> Row:
    """A stop that waits, was canceled, or was triggered."""
    up = o.side is Side.BUY
    word = {True: "up", False: "down"} if is_future(o.symbol) else {True: "entry", False: "loss"}
    status = "TRIGGERED" if o.triggered else "NEW" if o.is_open else "CANCELED"
    return {
        "id": stop_id(o.order_id),
        "symbol": market_id(rules),
        "clientOid": o.client_order_id,
        "type": kind_of(o),
        "side": o.side.value,
        "price": maybe(o.asked.price) or None,
        "size": size_of(o.quantity, rules),
        "timeInForce": _time_in_force(o),
        "postOnly": False,
        "stop": word[up],
        "stopPrice": text(o.asked.stop_price),
        "stopPriceType": "TP",
        "stopTriggered": o.triggered,
        "status": status,
        "isActive": waits(o) and o.is_open,
        "cancelExist": not o.is_open and not o.triggered,
        "reduceOnly": o.asked.reduce_only,
        "tradeType": "TRADE",
        "createdAt": ms(o.created_ns),
        "updatedAt": ms(o.updated_ns),
    }


def fill_row(f: BookedFill, o: BookedOrder, rules: SymbolRules) -> Row:
    row = {
        "symbol": market_id(rules),
        "tradeId": str(f.fill_id),
        "orderId": venue_id(f.order_id),
        "side": f.side.value,
        "price": text(f.price),
        "size": size_of(f.quantity, rules),
        "fee": text(f.fee),
        "feeCurrency": f.fee_currency,
        "feeRate": text(abs(f.fee) / f.quote) if f.quote else "0",
        "liquidity": "maker" if f.is_maker else "taker",
        "forceTaker": False,
        "stop": "",
        "createdAt": ms(f.ts_ns),
    }
    if is_future(f.symbol):
        extra = {"value": text(f.quote), "orderType": kind_of(o), "tradeType": "trade"}
        return row | extra | {"settleCurrency": rules.quote, "tradeTime": f.ts_ns}
    return row | {
        "id": f.fill_id,
        "counterOrderId": "",
        "funds": text(f.quote),
        "type": kind_of(o),
        "tradeType": "TRADE",
    }


def order_event(o: BookedOrder, f: BookedFill | None, what: str, rules: SymbolRules) -> Row:
    """`data` of an order change. what : open, match, filled, canceled or update."""
    row = {
        "symbol": market_id(rules),
        "orderType": kind_of(o),
        "side": o.side.value,
        "orderId": venue_id(o.order_id),
        "clientOid": o.client_order_id,
        "type": what,
        "orderTime": o.created_ns if is_future(o.symbol) else ms(o.created_ns),
        "price": text(o.asked.price),
        "size": text(contracts(o.quantity, rules)),
        "filledSize": text(contracts(o.filled_quantity, rules)),
        "remainSize": text(contracts(o.remaining_quantity, rules) if o.is_open else ZERO),
        "status": "match" if f is not None else "open" if o.is_open else "done",
        "ts": o.updated_ns,
    }
    if f is not None:
        role = "maker" if f.is_maker else "taker"
        row |= {"liquidity": role, "feeType": f"{role}Fee", "tradeId": str(f.fill_id)}
        row |= {"matchPrice": text(f.price), "matchSize": text(contracts(f.quantity, rules))}
    return row


def stop_event(o: BookedOrder, what: str, rules: SymbolRules) -> Row:
    """`data` of a change of a stop. what : open, cancel or triggered."""
    row = stop_row(o, rules)
    names = ("symbol", "clientOid", "side", "size", "stop", "stopPrice", "tradeType", "createdAt")
    kept = {name: row[name] for name in names}
    kept |= {"orderId": row["id"], "orderType": "stop", "orderPrice": text(o.asked.price)}
    return kept | {"type": what, "triggerSuccess": o.triggered, "ts": o.updated_ns}


def position_row(h: Holding, mark: Decimal, rules: SymbolRules) -> Row:
    cost = h.value(h.average_price) if h.quantity else ZERO
    return {
        "id": "1",
        "symbol": market_id(rules),
        "crossMode": h.margin_mode == "cross",
        "marginMode": h.margin_mode.upper(),
        "positionSide": "BOTH",
        "currentQty": int(contracts(h.quantity, rules)),
        "currentCost": text(cost.copy_sign(h.quantity)),
        "posCost": text(cost.copy_sign(h.quantity)),
        "posInit": text(h.margin(mark)),
        "avgEntryPrice": text(h.average_price),
        "markPrice": text(mark),
        "markValue": text(h.value(mark)),
        "unrealisedPnl": text(h.profit(mark)),
        "realLeverage": h.leverage,
        "leverage": h.leverage,
        "isOpen": bool(h.quantity),
        "maintMarginReq": "0.004",
        "liquidationPrice": "0",
        "settleCurrency": rules.quote,
        "isInverse": False,
        "currentTimestamp": ms(h.updated_ns),
        "openingTimestamp": ms(h.updated_ns),
    }


def market_row(rules: SymbolRules) -> Row:
    live = rules.state == "trading"
    if is_future(rules.symbol):
        return {
            "symbol": market_id(rules),
            "rootSymbol": rules.quote,
            "type": "FFWCSX",
            "baseCurrency": "XBT" if rules.base == "BTC" else rules.base,
            "quoteCurrency": rules.quote,
            "settleCurrency": rules.quote,
            "expireDate": None,
            "firstOpenDate": 1_585_555_200_000,
            "nextFundingRateTime": 17_000_000,
            "maxOrderQty": int(rules.max_quantity / rules.lot_size),
            "maxPrice": 9_000_000,
            "lotSize": 1,
            "tickSize": float(rules.tick_size),
            "multiplier": float(rules.lot_size),
            "maxLeverage": 100,
            "isInverse": False,
            "isQuanto": False,
            "makerFeeRate": 0.0002,
            "takerFeeRate": 0.0006,
            "status": "Open" if live else "Paused",
        }
    return {
        "symbol": market_id(rules),
        "name": market_id(rules),
        "baseCurrency": rules.base,
        "quoteCurrency": rules.quote,
        "feeCurrency": rules.quote,
        "market": "USDS",
        "baseMinSize": text(rules.min_quantity),
        "baseMaxSize": text(rules.max_quantity),
        "quoteMinSize": "0.1",
        "quoteMaxSize": "99999999",
        "baseIncrement": text(rules.lot_size),
        "quoteIncrement": "0.00000001",
        "priceIncrement": text(rules.tick_size),
        "priceLimitRate": "0.1",
        "minFunds": text(rules.min_notional),
        "isMarginEnabled": False,
        "enableTrading": live,
    }


def levels(side: Levels, rules: SymbolRules) -> list[list[Any]]:
    if is_future(rules.symbol):
        return [[float(price), int(contracts(size, rules))] for price, size in side]
    return [[text(price), text(size)] for price, size in side]


def print_row(p: PublicPrint, rules: SymbolRules) -> Row:
    row = {
        "symbol": market_id(rules),
        "sequence": str(p.print_id),
        "side": "sell" if p.buyer_is_maker else "buy",
        "size": size_of(p.quantity, rules),
        "price": text(p.price),
        "tradeId": str(p.print_id),
        "takerOrderId": venue_id(p.print_id),
        "makerOrderId": venue_id(0),
        "type": "match",
    }
    return row | ({"ts": p.ts_ns} if is_future(rules.symbol) else {"time": str(p.ts_ns)})
