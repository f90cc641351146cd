"""W3 in hftbacktest: cancel and re-quote a buy and a sell, risk-averse queue, ROI depth.

The strategy is given the prices that it would have read from the book: the same orders for all.
`part` "conversion": the raw columns become its event array, the way its own converters do it (local
times corrected, events ordered, order validated). `part` "run": everything after that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hftbacktest as hft
import numpy as np
from hftbacktest.data.validation import (
    correct_event_order,
    correct_local_timestamp,
    validate_event_order,
)
from hftbacktest.types import event_dtype
from numba import njit

ENGINE = f"hftbacktest {hft.__version__}"
TAPE = ("ts_ns", "is_print", "side", "price", "quantity", "is_snapshot")
ORDERS = ("ts_ns", "buy", "price", "quantity")


def prepare(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    tape = {name: np.load(folder / f"{name}.npy") for name in TAPE}
    orders = {name: np.load(folder / options["orders"] / f"{name}.npy") for name in ORDERS}
    state = {**options, "tape": tape, "orders": orders}
    if options["part"] == "run":
        state["events"] = convert(tape)
    return state


def convert(tape: dict[str, np.ndarray]) -> np.ndarray:
    raw = np.zeros(len(tape["ts_ns"]), dtype=event_dtype)
    kind = np.where(tape["is_snapshot"] == 1, hft.DEPTH_SNAPSHOT_EVENT, hft.DEPTH_EVENT)
    bid = tape["side"] == 0
    is_print = tape["is_print"] == 1
    # a depth row is about its own side; a print that ate bids was a seller's
    flag = np.where(bid != is_print, hft.BUY_EVENT, hft.SELL_EVENT)
    raw["ev"] = np.where(is_print, hft.TRADE_EVENT, kind) | flag
    raw["exch_ts"] = raw["local_ts"] = tape["ts_ns"]
    raw["px"], raw["qty"] = tape["price"], tape["quantity"]
    raw = correct_local_timestamp(raw, 0)
    events = correct_event_order(
        raw,
        np.argsort(raw["exch_ts"], kind="mergesort"),
        np.argsort(raw["local_ts"], kind="mergesort"),
    )
    validate_event_order(events)
    return events


def build(state: dict[str, Any]) -> Any:
    price = state["tape"]["price"]
    asset = (
        hft.BacktestAsset()
        .data(state["events"])
        .linear_asset(1.0)
        .constant_order_latency(state["latency_ns"], state["latency_ns"])
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(-0.0001, 0.0004)
        .tick_size(0.1)
        .lot_size(0.001)
        .roi_lb(float(price.min()) - 10)
        .roi_ub(float(price.max()) + 10)
        .last_trades_capacity(0)
    )
    return hft.ROIVectorMarketDepthBacktest([asset])


@njit
def requote(
    hbt: Any, ts: np.ndarray, price: np.ndarray, quantity: np.ndarray, filled: np.ndarray
) -> Any:
    """One wake-up a pair of orders: cancel the last pair, send the next. filled: if it is wanted"""
    hbt.elapse(0)
    for k in range(0, len(ts) + 1, 2):
        done = k == len(ts)
        wait_ns = 10**18 if done else ts[k] - hbt.current_timestamp
        if hbt.elapse(wait_ns) != 0 and not done:
            return -1
        if k:
            orders = hbt.orders(0)
            for row in (k - 2, k - 1):
                order = orders.get(row + 1)
                if order is None:
                    continue
                if len(filled) and order.status == hft.FILLED:
                    filled[row] = 1
                if order.cancellable and not done:
                    hbt.cancel(0, row + 1, False)
            hbt.clear_inactive_orders(0)
        if not done:
            hbt.submit_buy_order(0, k + 1, price[k], quantity[k], hft.GTC, hft.LIMIT, False)
            hbt.submit_sell_order(
                0, k + 2, price[k + 1], quantity[k + 1], hft.GTC, hft.LIMIT, False
            )
    return hbt.state_values(0).num_trades


def run(state: dict[str, Any], filled: np.ndarray) -> int:
    hbt, orders = build(state), state["orders"]
    count = requote(hbt, orders["ts_ns"], orders["price"], orders["quantity"], filled)
    hbt.close()
    if count < 0:
        raise RuntimeError("the data ended before the orders did")
    return int(count)


def work(state: dict[str, Any]) -> Any:
    if state["part"] == "conversion":
        return convert(state["tape"])
    return run(state, np.zeros(0))


def answers(state: dict[str, Any], result: Any) -> dict[str, float]:
    if state["part"] == "conversion":
        return {"events": len(result)}
    filled = np.zeros(len(state["orders"]["ts_ns"]))
    run(state, filled)
    rows = np.flatnonzero(filled)
    return {"fills": result, "filled": len(rows), "rows": rows.sum()}
