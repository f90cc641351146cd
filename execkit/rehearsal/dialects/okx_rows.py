"""Rows of OKX v5, spot and linear swap: what our exchange knows, in that venue's words.

Pure functions. Swaps are sized in contracts; one contract here is one lot of the instrument. A fee
is negative when paid. Stops are algo orders with an `algoId` of their own; once triggered, an
ordinary order exists besides, that has no client id but names the algo order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from execkit.rehearsal.accounts import Account, Holding
from execkit.rehearsal.dialects.parts import Levels, maybe, text
from execkit.rehearsal.rules import SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, PublicPrint
from execkit.words import ZERO, ExecutionStatus, OrderType, Side, TimeInForce

Row = dict[str, Any]

_ALGO_IDS = 2_000_000_000_000_000_000
_ORDER_IDS = 1_000_000_000_000_000_000
_STATE = {
    ExecutionStatus.OPEN: "live",
    ExecutionStatus.PARTIALLY_FILLED: "partially_filled",
    ExecutionStatus.FILLED: "filled",
    ExecutionStatus.CANCELED: "canceled",
    ExecutionStatus.EXPIRED: "canceled",
    ExecutionStatus.REJECTED: "canceled",
}
_CANCEL_SOURCE = {"requested": "1", "dead_man": "20", "post_only": "31", "ioc": "14", "fok": "13"}


def ms(ts_ns: int) -> str:
    return str(ts_ns // 1_000_000)


def is_swap(symbol: str) -> bool:
    return ":" in symbol


def market_id(rules: SymbolRules) -> str:
    return f"{rules.base}-{rules.quote}" + ("-SWAP" if is_swap(rules.symbol) else "")


def venue_id(number: int) -> str:
    return str(_ORDER_IDS + number)


def algo_id(number: int) -> str:
    return str(_ALGO_IDS + number)


def number_of(venue_id: str) -> int:
    """The exchange's number in an order id or an algo id, -1 if it is none of ours."""
    try:
        number = int(venue_id)
    except ValueError:
        return -1
    return number - (_ALGO_IDS if number >= _ALGO_IDS else _ORDER_IDS)


def contracts(quantity: Decimal, rules: SymbolRules) -> Decimal:
    return quantity / rules.lot_size if is_swap(rules.symbol) else quantity


def is_algo(o: BookedOrder) -> bool:
    return o.asked.order_type not in (OrderType.MARKET, OrderType.LIMIT)


def _kind(o: BookedOrder) -> str:
    """The `ordType` of an order of the matching engine."""
    if o.asked.price is None:
        return "market"
    if o.asked.post_only:
        return "post_only"
    words = {TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
    return words.get(o.asked.time_in_force, "limit")


def order_row(
    o: BookedOrder,
    rules: SymbolRules,
    fees: Mapping[str, Decimal],
    f: BookedFill | None = None,
) -> Row:
    """An order as look-ups, lists and the `orders` channel show it. fees : paid so far, by coin.
    f : the execution that this row tells of, else its last one's fields are empty."""
    paid = next(iter(fees), rules.quote)
    algo = is_algo(o)
    row = {
        "instType": "SWAP" if is_swap(o.symbol) else "SPOT",
        "instId": market_id(rules),
        "tgtCcy": "" if is_swap(o.symbol) else o.asked.note.get("tgtCcy", "base_ccy"),
        "ccy": "",
        "ordId": venue_id(o.order_id),
        "clOrdId": "" if algo else o.client_order_id,
        "algoId": algo_id(o.order_id) if algo else "",
        "algoClOrdId": o.client_order_id if algo else "",
        "tag": "",
        "px": maybe(o.asked.price),
        "sz": text(o.asked.quote_quantity or contracts(o.quantity, rules)),
        "pnl": "0",
        "ordType": _kind(o),
        "side": o.side.value,
        "posSide": "net" if is_swap(o.symbol) else "",
        "tdMode": o.asked.note.get("tdMode", "cash"),
        "accFillSz": text(contracts(o.filled_quantity, rules)),
        "avgPx": maybe(o.average_price),
        "state": _STATE[o.status],
        "lever": "",
        "category": "normal" if o.origin in ("api", "manual") else "full_liquidation",
        "reduceOnly": str(o.asked.reduce_only).lower(),
        "cancelSource": _CANCEL_SOURCE.get(o.reason, "") if not o.is_open else "",
        "cancelSourceReason": o.reason if not o.is_open else "",
        "feeCcy": paid,
        "fee": text(-fees.get(paid, ZERO)),
        "rebateCcy": rules.quote,
        "rebate": "0",
        "source": "",
        "uTime": ms(o.updated_ns),
        "cTime": ms(o.created_ns),
    }
    return row | _last_fill(f, rules)


def _last_fill(f: BookedFill | None, rules: SymbolRules) -> Row:
    if f is None:
        names = ("fillPx", "fillTime", "tradeId", "fillFeeCcy", "execType", "fillPnl")
        return dict.fromkeys(names, "") | {"fillSz": "0", "fillFee": "0"}
    return {
        "fillPx": text(f.price),
        "fillSz": text(contracts(f.quantity, rules)),
        "fillTime": ms(f.ts_ns),
        "tradeId": str(f.fill_id),
        "fillFee": text(-f.fee),
        "fillFeeCcy": f.fee_currency,
        "fillPnl": text(f.realised_pnl),
        "execType": "M" if f.is_maker else "T",
    }


def algo_row(o: BookedOrder, rules: SymbolRules) -> Row:
    """A stop, as the algo endpoints and the `orders-algo` channel show it."""
    reached = o.triggered
    ends = {ExecutionStatus.CANCELED: "canceled", ExecutionStatus.REJECTED: "order_failed"}
    return {
        "instType": "SWAP" if is_swap(o.symbol) else "SPOT",
        "instId": market_id(rules),
        "tgtCcy": "",
        "ccy": "",
        "algoId": algo_id(o.order_id),
        "algoClOrdId": o.client_order_id,
        "clOrdId": "",
        "ordId": venue_id(o.order_id) if reached else "",
        "ordType": "trigger",
        "triggerPx": text(o.asked.stop_price),
        "triggerPxType": "last",
        "ordPx": text(o.asked.price) if o.asked.price is not None else "-1",
        "sz": text(contracts(o.quantity, rules)),
        "side": o.side.value,
        "posSide": "net" if is_swap(o.symbol) else "",
        "tdMode": o.asked.note.get("tdMode", "cash"),
        "state": "effective" if reached else ends.get(o.status, "live"),
        "reduceOnly": str(o.asked.reduce_only).lower(),
        "actualSz": text(contracts(o.filled_quantity, rules)) if reached else "",
        "actualPx": maybe(o.average_price),
        "actualSide": "",
        "triggerTime": ms(o.updated_ns) if reached else "",
        "lever": "",
        "tag": "",
        "cTime": ms(o.created_ns),
        "uTime": ms(o.updated_ns),
    }


def fill_row(f: BookedFill, o: BookedOrder, rules: SymbolRules) -> Row:
    return {
        "instType": "SWAP" if is_swap(f.symbol) else "SPOT",
        "instId": market_id(rules),
        "tradeId": str(f.fill_id),
        "ordId": venue_id(f.order_id),
        "clOrdId": "" if is_algo(o) else f.client_order_id,
        "billId": str(_ALGO_IDS + f.fill_id),
        "subType": "1" if f.side is Side.BUY else "2",
        "tag": "",
        "fillPx": text(f.price),
        "fillSz": text(contracts(f.quantity, rules)),
        "side": f.side.value,
        "posSide": "net",
        "execType": "M" if f.is_maker else "T",
        "feeCcy": f.fee_currency,
        "fee": text(-f.fee),
        "fillPnl": text(f.realised_pnl),
        "ts": ms(f.ts_ns),
        "fillTime": ms(f.ts_ns),
    }


def balance_row(account: Account, held: Iterable[tuple[Holding, Decimal]], now_ns: int) -> Row:
    """The trading account. held : positions, each with its mark price."""
    margin: dict[str, Decimal] = {}
    profit: dict[str, Decimal] = {}
    for h, mark in held:
        coin = h.instrument.settle
        margin[coin] = margin.get(coin, ZERO) + h.margin(mark)
        profit[coin] = profit.get(coin, ZERO) + h.profit(mark)
    details = []
    for coin, much in sorted(account.balances.items()):
        frozen = account.locked.get(coin, ZERO) + margin.get(coin, ZERO)
        gains = profit.get(coin, ZERO)
        details.append(
            {
                "ccy": coin,
                "eq": text(much + gains),
                "cashBal": text(much),
                "availBal": text(much - frozen),
                "availEq": text(much + gains - frozen),
                "frozenBal": text(frozen),
                "ordFrozen": text(account.locked.get(coin)),
                "upl": text(gains),
                "liab": "0",
                "eqUsd": text(much),
                "uTime": ms(now_ns),
            }
        )
    zeros = ("adjEq", "imr", "isoEq", "mgnRatio", "mmr", "notionalUsd", "ordFroz", "totalEq")
    return dict.fromkeys(zeros, "0") | {"details": details, "uTime": ms(now_ns)}


def position_row(h: Holding, mark: Decimal, rules: SymbolRules) -> Row:
    size = contracts(h.quantity, rules)
    return {
        "instType": "SWAP",
        "instId": market_id(rules),
        "posId": "1",
        "posSide": "net",
        "pos": text(size),
        "posCcy": "",
        "availPos": text(size),
        "avgPx": maybe(h.average_price),
        "markPx": text(mark),
        "last": text(mark),
        "upl": text(h.profit(mark)),
        "uplRatio": "0",
        "lever": str(h.leverage),
        "liqPx": "",
        "imr": text(h.margin(mark)),
        "mmr": text(h.value(mark) * Decimal("0.004")),
        "margin": "",
        "mgnMode": h.margin_mode,
        "mgnRatio": "",
        "notionalUsd": text(h.value(mark)),
        "ccy": h.instrument.settle,
        "adl": "1",
        "cTime": ms(h.updated_ns),
        "uTime": ms(h.updated_ns),
        "pTime": ms(h.updated_ns),
    }


def market_row(rules: SymbolRules, code: int) -> Row:
    """code : the `instIdCode`, by which orders over the socket name the market."""
    swap = is_swap(rules.symbol)
    least = rules.min_quantity / rules.lot_size if swap else rules.min_quantity
    most = text(rules.max_quantity / rules.lot_size if swap else rules.max_quantity)
    return {
        "instType": "SWAP" if swap else "SPOT",
        "instId": market_id(rules),
        "instIdCode": code,
        "instFamily": f"{rules.base}-{rules.quote}" if swap else "",
        "uly": f"{rules.base}-{rules.quote}" if swap else "",
        "category": "1",
        "baseCcy": "" if swap else rules.base,
        "quoteCcy": "" if swap else rules.quote,
        "settleCcy": rules.quote if swap else "",
        "ctVal": text(rules.lot_size) if swap else "",
        "ctMult": "1" if swap else "",
        "ctValCcy": rules.base if swap else "",
        "ctType": "linear" if swap else "",
        "lever": "100" if swap else "",
        "tickSz": text(rules.tick_size),
        "lotSz": "1" if swap else text(rules.lot_size),
        "minSz": text(least),
        "maxLmtSz": most,
        "maxMktSz": most,
        "state": "live" if rules.state == "trading" else "suspend",
        "listTime": "1548133413000",
        "expTime": "",
        "optType": "",
        "stk": "",
        "alias": "",
    }


def levels(side: Levels, rules: SymbolRules) -> list[list[str]]:
    return [[text(price), text(contracts(size, rules)), "0", "1"] for price, size in side]


def print_row(p: PublicPrint, rules: SymbolRules) -> Row:
    return {
        "instId": market_id(rules),
        "tradeId": str(p.print_id),
        "px": text(p.price),
        "sz": text(contracts(p.quantity, rules)),
        "side": "sell" if p.buyer_is_maker else "buy",
        "ts": ms(p.ts_ns),
        "count": "1",
    }
