"""Rows of Bybit v5, spot and linear: what our exchange knows, in that venue's words.

One market id names both a spot and a linear market; the category tells them apart. Venue ids of
spot orders are long numbers, those of linear ones look like UUIDs; both hold our one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from execkit.rehearsal.accounts import Account, Holding
from execkit.rehearsal.dialects.parts import Levels, maybe, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, PublicPrint
from execkit.words import ZERO, ExecutionStatus, OrderType, Side

Row = dict[str, Any]

_SPOT_IDS = 1_600_000_000_000_000_000
_STATUS = {
    ExecutionStatus.OPEN: "New",
    ExecutionStatus.PARTIALLY_FILLED: "PartiallyFilled",
    ExecutionStatus.FILLED: "Filled",
    ExecutionStatus.CANCELED: "Cancelled",
    ExecutionStatus.EXPIRED: "Cancelled",  # this venue has no other word for it
    ExecutionStatus.REJECTED: "Rejected",
}
_CANCELS = {
    "requested": "EC_PerCancelRequest",
    "post_only": "EC_PostOnlyWillTakeLiquidity",
    "ioc": "EC_NoImmediateQtyToFill",
    "fok": "EC_NoEnoughQtyToFill",
    "no_liquidity": "EC_NoEnoughQtyToFill",
}


def ms(ts_ns: int) -> str:
    return str(ts_ns // 1_000_000)


def category(symbol: str) -> str:
    return "linear" if ":" in symbol else "spot"


def market_id(symbol: str) -> str:
    return symbol.split(":")[0]


def venue_id(number: int, symbol: str) -> str:
    if category(symbol) == "spot":
        return str(_SPOT_IDS + number)
    return f"{number & 0xFFFFFFFF:08x}-7b52-4ca9-ac2c-{number:012x}"


def number_of(venue_id: str) -> int:
    """The exchange's number in a venue id, -1 if it is none of ours."""
    try:
        if "-" in venue_id:
            return int(venue_id.rsplit("-", 1)[1], 16)
        return int(venue_id) - _SPOT_IDS
    except ValueError:
        return -1


def is_stop(o: BookedOrder) -> bool:
    return o.asked.order_type not in (OrderType.MARKET, OrderType.LIMIT)


def status(o: BookedOrder) -> str:
    if is_stop(o) and not o.triggered:
        return "Untriggered" if o.is_open else "Deactivated"
    if o.status is ExecutionStatus.CANCELED and o.filled_quantity and category(o.symbol) == "spot":
        return "PartiallyFilledCanceled"
    return _STATUS[o.status]


def _time_in_force(o: BookedOrder) -> str:
    if o.asked.post_only:
        return "PostOnly"
    return o.asked.time_in_force.value if o.asked.price is not None else "IOC"


def order_row(o: BookedOrder, fees: Mapping[str, Decimal]) -> Row:
    """An order as realtime, history and the `order` topic show it. fees : paid so far, by coin."""
    kind, asked = category(o.symbol), o.asked
    rising = {"1": 1, "2": 2}.get(asked.note.get("triggerDirection", ""), 0)
    only_linear = {"tpslMode": "Full"} if kind == "linear" else {}
    return only_linear | {
        "category": kind,
        "symbol": market_id(o.symbol),
        "orderId": venue_id(o.order_id, o.symbol),
        "orderLinkId": o.client_order_id,
        "blockTradeId": "",
        "side": o.side.value.capitalize(),
        "positionIdx": 0,
        "orderStatus": status(o),
        "cancelType": "CancelByUser" if o.reason == "requested" else "UNKNOWN",
        "rejectReason": _CANCELS.get(o.reason, "EC_NoError"),
        "timeInForce": _time_in_force(o),
        "isLeverage": "0" if kind == "spot" else "",
        "price": text(asked.price),
        "qty": text(asked.quote_quantity or o.quantity),
        "marketUnit": _market_unit(o),
        "avgPrice": maybe(o.average_price),
        "leavesQty": text(o.remaining_quantity if o.is_open else ZERO),
        "leavesValue": text((asked.price or ZERO) * o.remaining_quantity if o.is_open else ZERO),
        "cumExecQty": text(o.filled_quantity),
        "cumExecValue": text(o.filled_quote),
        "cumExecFee": text(sum(fees.values(), ZERO)),
        "cumFeeDetail": {coin: text(much) for coin, much in fees.items()},
        "orderType": "Market" if asked.price is None else "Limit",
        "stopOrderType": "Stop" if is_stop(o) else "",
        "orderIv": "",
        "triggerPrice": maybe(asked.stop_price),
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": rising,
        "triggerBy": "LastPrice" if is_stop(o) else "",
        "lastPriceOnCreated": "",
        "reduceOnly": asked.reduce_only,
        "closeOnTrigger": False,
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createType": "CreateByUser" if o.origin == "api" else "CreateByLiq",
        "placeType": "",
        "createdTime": ms(o.created_ns),
        "updatedTime": ms(o.updated_ns),
    }


def _market_unit(o: BookedOrder) -> str:
    if category(o.symbol) != "spot" or o.asked.price is not None:
        return ""
    return "quoteCoin" if o.asked.quote_quantity is not None else "baseCoin"


def fill_row(f: BookedFill, o: BookedOrder) -> Row:
    """An execution as execution/list and the `execution` topic show it."""
    market = o.asked.price is None
    return {
        "category": category(f.symbol),
        "symbol": market_id(f.symbol),
        "orderId": venue_id(f.order_id, f.symbol),
        "orderLinkId": f.client_order_id,
        "side": f.side.value.capitalize(),
        "orderPrice": text(o.asked.price),
        "orderQty": text(o.quantity),
        "leavesQty": text(max(ZERO, o.remaining_quantity)),
        "createType": "CreateByUser" if o.origin == "api" else "CreateByLiq",
        "orderType": "Market" if market else "Limit",
        "stopOrderType": "Stop" if is_stop(o) else "UNKNOWN",
        "execFee": text(f.fee),
        "feeCurrency": f.fee_currency if category(f.symbol) == "spot" else "",
        "feeCoin": f.fee_currency,
        "execId": venue_id(f.fill_id, f.symbol),
        "execPrice": text(f.price),
        "execQty": text(f.quantity),
        "execType": "Trade" if o.origin in ("api", "manual") else "BustTrade",
        "execValue": text(f.quote),
        "execPnl": text(f.realised_pnl),
        "execTime": ms(f.ts_ns),
        "isMaker": f.is_maker,
        "feeRate": text(abs(f.fee) / f.quote) if f.quote else "0",
        "tradeIv": "",
        "markIv": "",
        "markPrice": text(f.price),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "",
        "seq": f.fill_id,
    }


def wallet_row(account: Account, held: Iterable[tuple[Holding, Decimal]]) -> Row:
    """The unified account. held : positions, each with its mark price."""
    margin: dict[str, Decimal] = {}
    profit: dict[str, Decimal] = {}
    for h, mark in held:
        coin = h.instrument.settle
        margin[coin] = margin.get(coin, ZERO) + h.margin(mark)
        profit[coin] = profit.get(coin, ZERO) + h.profit(mark)
    coins = [
        {
            "coin": coin,
            "equity": text(much + profit.get(coin, ZERO)),
            "usdValue": text(much),
            "walletBalance": text(much),
            "free": text(account.free(coin)),
            "locked": text(account.locked.get(coin)),
            "availableToWithdraw": text(account.free(coin)),
            "availableToBorrow": "",
            "borrowAmount": "0",
            "accruedInterest": "0",
            "totalOrderIM": "0",
            "totalPositionIM": text(margin.get(coin)),
            "totalPositionMM": "0",
            "unrealisedPnl": text(profit.get(coin)),
            "cumRealisedPnl": "0",
            "bonus": "0",
            "collateralSwitch": True,
            "marginCollateral": True,
            "spotHedgingQty": "0",
        }
        for coin, much in sorted(account.balances.items())
    ]
    zeros = ("accountIMRate", "accountMMRate", "totalPerpUPL", "totalInitialMargin", "accountLTV")
    totals = ("totalEquity", "totalWalletBalance", "totalMarginBalance", "totalAvailableBalance")
    row: Row = dict.fromkeys(zeros, "0") | dict.fromkeys(totals, "0")
    return {**row, "totalMaintenanceMargin": "0", "accountType": "UNIFIED", "coin": coins}


def position_row(h: Holding, mark: Decimal) -> Row:
    return {
        "positionIdx": 0,
        "category": "linear",
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": market_id(h.instrument.symbol),
        "side": "Buy" if h.quantity > 0 else "Sell" if h.quantity < 0 else "",
        "size": text(abs(h.quantity)),
        "avgPrice": text(h.average_price),
        "entryPrice": text(h.average_price),
        "positionValue": text(abs(h.quantity) * h.average_price),
        "tradeMode": 1 if h.margin_mode == "isolated" else 0,
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "leverage": str(h.leverage),
        "markPrice": text(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": text(h.margin(mark)),
        "positionMM": text(h.value(mark) * Decimal("0.005")),
        "positionBalance": text(h.margin(mark)),
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "tpslMode": "Full",
        "sessionAvgPrice": "",
        "unrealisedPnl": text(h.profit(mark)),
        "curRealisedPnl": "0",
        "cumRealisedPnl": "0",
        "adlRankIndicator": 0,
        "isReduceOnly": False,
        "createdTime": ms(h.updated_ns),
        "updatedTime": ms(h.updated_ns),
        "seq": h.updated_ns,
    }


def market_row(rules: SymbolRules) -> Row:
    row: Row = {
        "symbol": market_id(rules.symbol),
        "baseCoin": rules.base,
        "quoteCoin": rules.quote,
        "status": "Trading" if rules.state == "trading" else "Closed",
    }
    price = {"tickSize": text(rules.tick_size)}
    sizes = {"minOrderQty": text(rules.min_quantity), "maxOrderQty": text(rules.max_quantity)}
    if category(rules.symbol) == "spot":
        lot = {"basePrecision": text(rules.lot_size), "quotePrecision": "0.00000001", **sizes}
        lot |= {"minOrderAmt": text(rules.min_notional), "maxOrderAmt": "8000000"}
        extra: Row = {"innovation": "0", "marginTrading": "none"}
        return row | extra | {"lotSizeFilter": lot, "priceFilter": price}
    lot = {**sizes, "qtyStep": text(rules.lot_size), "minNotionalValue": text(rules.min_notional)}
    price |= {"minPrice": price["tickSize"], "maxPrice": "9000000"}
    leverage = {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"}
    return row | {
        "contractType": "LinearPerpetual",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "leverageFilter": leverage,
        "priceFilter": price,
        "lotSizeFilter": lot,
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": rules.quote,
    }


def levels(side: Levels) -> list[list[str]]:
    return [[text(price), text(quantity)] for price, quantity in side]


def print_row(p: PublicPrint) -> Row:
    """A print of the `publicTrade` topic; the side is the taker's."""
    return {
        "T": p.ts_ns // 1_000_000,
        "s": market_id(p.symbol),
        "S": (Side.SELL if p.buyer_is_maker else Side.BUY).value.capitalize(),
        "v": text(p.quantity),
        "p": text(p.price),
        "L": "ZeroTick",
        "i": venue_id(p.print_id, p.symbol),
        "BT": False,
    }
