"""Recorded markets for the comparison: their events for the reference, and orders near the touch.

The events are put in order here a second time, from the tables and section 1 of the rules.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from paths import Setup
from reference import Outcome, run
from streams import SeededDice, order_spec

from execkit.domain import Instrument
from execkit.market import MarketData
from execkit.tables import Table

Event = tuple[Any, ...]
Orders = list[dict[str, Any]]


def whole(values: np.ndarray, decimals: int) -> np.ndarray:
    """Multiples of 10**-decimals; 0 where not finite."""
    finite = np.where(np.isfinite(values), values, 0.0)
    return np.rint(finite * 10.0**decimals).astype(np.int64)


class Market(NamedTuple):
    """One symbol of a market at one fidelity."""

    data: MarketData
    symbol: str
    fidelity: str

    @property
    def instrument(self) -> Instrument:
        return self.data.instruments[self.symbol]

    @property
    def tick(self) -> int:
        return int(self.instrument.tick_size.scaleb(self.instrument.price_decimals))

    @property
    def lot(self) -> int:
        return int(self.instrument.lot_size.scaleb(self.instrument.quantity_decimals))

    def table(self, kind: str) -> Table | None:
        table = self.data.tables.get(kind)
        return table.of(self.symbol) if table is not None and self.symbol in table.present else None

    def prices(self, values: np.ndarray) -> np.ndarray:
        return whole(values, self.instrument.price_decimals)

    def quantities(self, values: np.ndarray) -> np.ndarray:
        return whole(values, self.instrument.quantity_decimals)

    # ------------------------------------------------------------------ events

    def events(self) -> list[Event]:
        if self.fidelity == "bars":
            return self._bars()
        keyed = [] if self.fidelity == "prints" else self._book()
        keyed += self._prints()
        shared = self.data.shared_seq
        keyed.sort(key=lambda e: (e[0], 0 if shared else e[2][0] != "print", e[1]))
        return [event for _, _, event in keyed]

    def _prints(self) -> list[tuple[int, int, Event]]:
        t = self.table("prints")
        if t is None:
            return []
        words = ("buy", "sell", "unknown")
        price, size = self.prices(t["price"]).tolist(), self.quantities(t["quantity"]).tolist()
        off = t["off_book"].tolist()
        rows = zip(t["ts_ns"].tolist(), t["seq"].tolist(), price, size, t["aggressor"], strict=True)
        return [
            (ts, seq, ("print", ts, p, q, words[a]))
            for n, (ts, seq, p, q, a) in enumerate(rows)
            if not off[n]
        ]

    def _book(self) -> list[tuple[int, int, Event]]:
        t = self.table(self.fidelity)
        assert t is not None
        stamps = list(zip(t["ts_ns"].tolist(), t["seq"].tolist(), strict=True))
        if self.fidelity == "quotes":
            sides = []
            for side in ("bid", "ask"):
                price, size = t[side], t[f"{side}_quantity"]
                good = np.isfinite(price) & (price > 0) & np.isfinite(size) & (size > 0)
                known = [
                    p if g else None for p, g in zip(self.prices(price).tolist(), good, strict=True)
                ]
                sides += [known, np.where(good, self.quantities(size), 0).tolist()]
            rows = zip(stamps, *sides, strict=True)
            return [(ts, seq, ("quote", ts, *quote)) for (ts, seq), *quote in rows]
        levels = zip(
            ("bid" if s == 0 else "ask" for s in t["side"].tolist()),
            self.prices(t["price"]).tolist(),
            self.quantities(t["quantity"]).tolist(),
            strict=True,
        )
        rows = zip(stamps, t["is_snapshot"].tolist(), levels, strict=True)
        out = []
        for (ts, seq), message in groupby(rows, key=lambda row: row[0]):
            parts = list(message)
            shown = [level for _, _, level in parts]
            out.append((ts, seq, ("book", ts, bool(parts[0][1]), shown)))
        return out

    def _bars(self) -> list[Event]:
        t = self.table("bars")
        assert t is not None
        columns = [self.prices(t[n]).tolist() for n in ("open", "high", "low", "close")]
        # as the reference counts: whole lots, or not known
        volume = np.round(t["volume"] * 10.0**self.instrument.quantity_decimals, 3).tolist()
        rows = zip(t["ts_ns"].tolist(), *columns, volume, strict=True)
        return [("bar", *row) for row in rows]

    # ------------------------------------------------------------------ orders

    def touches(self) -> np.ndarray:
        """Rows of (ts, bid, ask, size, step): prices to place orders around, in units."""
        if self.fidelity == "bars":
            t = self.table("bars")
            assert t is not None
            close = self.prices(t["close"])
            step = (self.prices(t["high"]) - self.prices(t["low"])) // 6
            size = np.maximum(self.quantities(np.nan_to_num(t["volume"], nan=1.0)) // 20, 1)
            columns = [t["ts_ns"], close, close, size, step]
        elif self.fidelity == "prints":
            t = self.table("prints")
            assert t is not None
            price, size = self.prices(t["price"]), self.quantities(t["quantity"])
            columns = [t["ts_ns"], price, price, size, np.zeros(len(t), dtype=np.int64)]
        else:
            t = self.table("quotes") if self.fidelity == "quotes" else None
            t = t if t is not None else self.data.top_of_book(self.symbol)
            bid, ask = self.prices(t["bid"]), self.prices(t["ask"])
            size = self.quantities(t["bid_quantity"])
            columns = [t["ts_ns"], bid, ask, size, (ask - bid) // 4]
        found = np.stack(columns).T
        return found[(found[:, 1] > 0) & (found[:, 2] > 0) & (found[:, 3] > 0)]

    def orders(self, count: int, rng: random.Random, name: str = "") -> Orders:
        """`count` orders of every type close to the market, in order of time of arrival."""
        touches = self.touches()
        first, last = self._span()
        touches = touches[(touches[:, 0] >= first) & (touches[:, 0] < last)]
        gap = max(1, (last - first) // max(1, len(touches)))
        out: Orders = []
        while len(out) < count:
            touch = touches[rng.randrange(len(touches))].tolist()
            arrival = min(last, touch[0] + rng.choice((0, 0, 0, 1)))
            one = self._order(touch, arrival, gap, rng)
            pair = f"{name}{len(out)}" if rng.random() < 0.15 else None
            out.append(one | {"oco_group": pair})
            if pair is not None:
                other = self._order(touch, arrival, gap, rng)
                out.append(other | {"oco_group": pair})
        out.sort(key=lambda order: order["arrival"])
        return [order | {"row": row} for row, order in enumerate(out)]

    def _order(
        self, touch: list[int], arrival: int, gap: int, rng: random.Random
    ) -> dict[str, Any]:
        _, bid, ask, size, step = touch
        spec = order_spec(SeededDice(rng), "book", 1)
        buy, tick, lot = spec["side"] == "buy", self.tick, self.lot
        step = max(1, step // tick) * tick

        def near(price: int, away: int | None) -> int | None:
            return None if away is None else max(tick, (price + away * step) // tick * tick)

        waits = (gap, 20 * gap, 300 * gap)
        quantity = size * rng.choice((1, 5, 10, 40)) // 10 // lot * lot
        return {
            **{n: spec[n] for n in ("side", "order_type", "time_in_force", "post_only")},
            "reduce_only": spec["reduce_only"],
            "quantity": max(lot, quantity),
            "price": near(bid if buy else ask, spec["price"]),
            "stop_price": near(ask if buy else bid, spec["stop_price"]),
            "trail_bps": spec["trail_bps"] and rng.choice((0.1, 1.0, 5.0, 20.0)),
            "arrival": arrival,
            "cancel": arrival + rng.choice(waits) if rng.random() < 0.4 else None,
            "expire": arrival + rng.choice((1, *waits)) if spec["expire"] is not None else None,
        }

    def _span(self) -> tuple[int, int]:
        """First and last time at which an order may arrive."""
        tables = (
            [self.fidelity] if self.fidelity in ("bars", "prints") else [self.fidelity, "prints"]
        )
        stamps = [t["ts_ns"] for kind in tables if (t := self.table(kind)) is not None]
        return min(int(s[0]) for s in stamps), max(int(s[-1]) for s in stamps)

    def frame(self, orders: Iterable[dict[str, Any]]) -> pd.DataFrame:
        """The orders as `simulate` takes them, decided when they arrive."""
        unit = 10.0**self.instrument.price_decimals
        lots = 10.0**self.instrument.quantity_decimals
        rows = list(orders)
        # made of whole numbers: a float cannot hold a time in nanoseconds
        times = {n: pd.Series([o[n] for o in rows], dtype="Int64") for n in ("cancel", "expire")}
        table = pd.DataFrame(rows).drop(columns=list(times))
        return pd.DataFrame(
            {
                "ts_ns": table["arrival"],
                "symbol": self.symbol,
                **{n: table[n] for n in ("side", "order_type", "time_in_force")},
                "quantity": table["quantity"] / lots,
                **{n: table[n].astype(float) / unit for n in ("price", "stop_price")},
                "trail_bps": table["trail_bps"].astype(float),
                **{n: table[n] for n in ("post_only", "reduce_only", "oco_group")},
                "expire_ts_ns": times["expire"],
                "cancel_ts_ns": times["cancel"],
                "client_order_id": [f"{self.symbol}-{row}" for row in table["row"]],
            }
        )

    def start_position(self) -> int:
        """A few typical sizes, so that reduce-only orders find something."""
        return int(np.median(self.touches()[:, 3])) // self.lot * self.lot * 5


@dataclass(frozen=True)
class Part:
    """What the reference is asked: one symbol, one model, orders as units."""

    market: Market
    setup: Setup
    orders: Orders

    def outcome(self) -> Outcome:
        data, symbol = self.market.data, self.market.symbol
        position = self.setup.positions.get(symbol, Decimal(0))
        return run(
            self.orders,
            self.market.events(),
            self.setup.fill,
            tick=self.market.tick,
            interval=data.bar_interval_ns.get(symbol),
            start_position=int(position.scaleb(self.market.instrument.quantity_decimals)),
            unit=10.0**self.market.instrument.quantity_decimals,
        )
