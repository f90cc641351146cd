"""One stream of orders and market events: for the reference as units, for execkit as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pandas as pd
from reference import Outcome, run

from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.models.fill import FillModel

SYMBOL = "BTCUSDT"
PRICE_UNIT = Decimal("0.01")
QUANTITY_UNIT = Decimal("0.001")


@dataclass(frozen=True)
class Case:
    """One stream. Prices and quantities are whole units, `tick` is price units per price tick.

    `events` are in tape order for both ways of merging tables: where `shared_seq` is false, prints
    come before depth or quotes of the same stamp.
    """

    orders: list[dict[str, Any]]
    events: list[tuple[Any, ...]]
    tick: int
    interval: int | None
    model: FillModel
    start_position: int
    shared_seq: bool = True

    def outcome(self, model: FillModel | None = None) -> Outcome:
        """What the slow reference makes of it."""
        return run(
            self.orders,
            self.events,
            model or self.model,
            tick=self.tick,
            interval=self.interval,
            start_position=self.start_position,
            unit=float(1 / QUANTITY_UNIT),
        )

    def until(self, ts: int) -> Case:
        """The same orders on the tape cut after `ts`, for the test that no fill looks ahead."""
        length = self.interval or 1
        kept = [e for e in self.events if e[1] + length - 1 <= ts]
        return replace(self, events=kept)

    def instrument(self) -> Instrument:
        tick_size = PRICE_UNIT * self.tick
        return Instrument(symbol=SYMBOL, tick_size=tick_size, lot_size=QUANTITY_UNIT)

    def market_frames(self) -> dict[str, pd.DataFrame]:
        """The tape as tables in decimals; `seq` is the position in `events`. Empty ones absent."""
        rows: dict[str, list[dict[str, Any]]] = {
            "depth": [],
            "quotes": [],
            "prints": [],
            "bars": [],
        }
        for seq, (kind, ts, *rest) in enumerate(self.events):
            head = {"symbol": SYMBOL, "ts_ns": ts, "seq": seq}
            if kind == "book":
                snapshot, levels = rest
                for side, price, size in levels:
                    row = {"side": side, "price": _price(price), "quantity": _quantity(size)}
                    rows["depth"].append({**head, **row, "is_snapshot": int(snapshot)})
            elif kind == "quote":
                bid, bid_size, ask, ask_size = rest
                row = {"bid": _price(bid), "ask": _price(ask)}
                row |= {"bid_quantity": _quantity(bid_size), "ask_quantity": _quantity(ask_size)}
                rows["quotes"].append({**head, **row})
            elif kind == "print":
                price, size, aggressor = rest
                row = {"price": _price(price), "quantity": _quantity(size)}
                rows["prints"].append({**head, **row, "aggressor": aggressor})
            else:
                names = ("open", "high", "low", "close")
                row = {n: _price(p) for n, p in zip(names, rest[:4], strict=True)}
                row |= {"symbol": SYMBOL, "ts_ns": ts, "volume": _quantity(int(rest[4]))}
                rows["bars"].append(row)
        return {name: pd.DataFrame(found) for name, found in rows.items() if found}

    def market(self) -> MarketData:
        """The tape as `MarketData` with the right instrument, interval and way of merging."""
        tables = {}
        for kind, frame in self.market_frames().items():
            extra = {"interval": self.interval} if kind == "bars" else {}
            made = getattr(MarketData, f"from_{kind}")(frame, **extra)
            tables[kind] = getattr(made, kind)
        return MarketData(
            **tables,
            instruments={SYMBOL: self.instrument()},
            shared_seq=self.shared_seq,
            bar_interval_ns={SYMBOL: self.interval} if self.interval else {},
        )

    def orders_frame(self, latency_ns: int = 0) -> pd.DataFrame:
        """The orders in decimals, in row order; decided and canceled `latency_ns` earlier.

        A GTD order may expire at the very stamp of its arrival, so with zero latency
        ``expire_ts_ns`` can equal ``ts_ns``.
        """

        def column(name: str, change: Callable[[Any], Any] = lambda v: v) -> list[Any]:
            found = [o[name] for o in sorted(self.orders, key=lambda o: o["row"])]
            return [None if v is None else change(v) for v in found]

        def whole(name: str, change: Callable[[Any], Any] = lambda v: v) -> pd.Series:
            return pd.Series(column(name, change), dtype="Int64")

        return pd.DataFrame(
            {
                "ts_ns": pd.Series(column("arrival", lambda t: t - latency_ns), dtype="int64"),
                "symbol": [SYMBOL] * len(self.orders),
                "side": column("side"),
                "order_type": column("order_type"),
                "quantity": pd.Series(column("quantity", _quantity), dtype="float64"),
                "price": pd.Series(column("price", _price), dtype="float64"),
                "stop_price": pd.Series(column("stop_price", _price), dtype="float64"),
                "trail_bps": pd.Series(column("trail_bps"), dtype="float64"),
                "time_in_force": column("time_in_force"),
                "expire_ts_ns": whole("expire"),
                "post_only": pd.Series(column("post_only"), dtype="bool"),
                "reduce_only": pd.Series(column("reduce_only"), dtype="bool"),
                "oco_group": whole("oco_group"),
                "client_order_id": column("row", str),
                "cancel_ts_ns": whole("cancel", lambda t: t - latency_ns),
            }
        )


def _price(units: int | None) -> float:
    return float("nan") if units is None else float(units * PRICE_UNIT)


def _quantity(units: int) -> float:
    return float(units * QUANTITY_UNIT)
