"""SimulationResult: orders with their outcome, fills, positions, equity, as frames made once."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from execkit import fill_table, profit
from execkit.liquidation import MarginReport, margin_report
from execkit.matching import state as st
from execkit.matching.outcome import ABSENT, Columns
from execkit.metrics.markouts import HORIZONS_NS
from execkit.models.base import Leg, params_of
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel, fill_model
from execkit.models.margin import MarginModel
from execkit.order_columns import GIVEN
from execkit.order_table import SIDES, TIFS, TYPES, OrderTable
from execkit.profit import words
from execkit.request import Part, Request

if TYPE_CHECKING:
    from execkit.store import Store

MAX_QUOTE_AGE_NS = 10_000_000_000
"""A book not shown for longer says nothing about its mid: the store's default for look-ups."""

REASONS = (*st.REASONS, "not_taken")
"""Why an order ended; the last was not the matching's doing: the venue did not take the request."""

STATUSES = ("intent", "open", "partially_filled", "filled", "canceled", "expired", "rejected")


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What `simulate` returns. Frames are made on first use and then kept.

    orders : the orders as given, with status, reason, filled_quantity, average_price (NaN if
        nothing filled), arrival_ts_ns, triggered_ts_ns, done_ts_ns (NA if it did not happen), and
        decision_price and arrival_price: the mid at decision and at arrival at the venue (on bars
        and prints the last price), NaN if none was known.
    fills : columns of DESIGN section 5, in order of time, and impact_cost if impact was assumed (in
        the settlement currency, >= 0, part of the price).
    positions : after each fill: quantity (signed), average_price, realised_pnl (so far, without
        fees), unrealised_pnl at the mid of that moment. equity : by settlement currency, from 0.
    funding : what positions paid or received at each stamp of the market's funding table.
    ambiguous : cases where one bar reached two orders and only the intrabar policy decided.
    """

    request: Request
    model: FillModel
    columns: Columns

    @property
    def run_id(self) -> str:
        return self.request.run_id

    @property
    def table(self) -> OrderTable:
        return self.request.table

    def under(self, fill: str | FillModel) -> SimulationResult:
        """The same orders in the same market under another fill model, as a run of its own.

        A model that is only named keeps the half spread of this run, which is a cost and not an
        assumption about fills.
        """
        from execkit.simulator import run_request

        model = fill_model(fill)
        if isinstance(fill, str):
            model = replace(model, half_spread_bps=self.model.half_spread_bps)
        other = replace(self.request, run_id=f"{self.run_id}-{model.name}")
        return run_request(other, model)

    @cached_property
    def band(self) -> pd.DataFrame:
        """What the three standard models make of these orders, worst first: one row a model, at
        the half spread of this run, and before them one of this run if its model is another.

        orders_filled, quantity_filled : shares of orders with any fill and of the quantity asked.
        equity_<currency> : profit at the last fill. The truth of a strategy lies between the rows;
        one whose equity changes sign between them has not been shown to earn anything.
        """
        half = self.model.half_spread_bps
        standard = {
            m.name: replace(m, half_spread_bps=half) for m in (PESSIMISTIC, QUEUE, OPTIMISTIC)
        }
        models = dict(standard)
        if self.model not in standard.values():
            name = self.model.name
            models = {f"{name} (own)" if name in standard else name: self.model, **standard}
        rows = {}
        for name, model in models.items():
            result = self if model == self.model else self.under(model)
            summary = result.summary()
            last = result.equity.groupby("currency").tail(1).set_index("currency")["equity"]
            rows[name] = {
                "orders_filled": summary["fill_rate"],
                "quantity_filled": float(result.columns.filled.sum() / self.table.quantity.sum()),
                "fills": summary["fills"],
                "maker_ratio": summary["maker_ratio"],
                "ambiguous": result.ambiguous,
                **{f"equity_{currency}": float(value) for currency, value in last.items()},
            }
        frame = pd.DataFrame(rows).T
        frame.index.name = "model"
        return frame

    @property
    def ambiguous(self) -> int:
        return self.columns.ambiguous

    @cached_property
    def orders(self) -> pd.DataFrame:
        t, c = self.table, self.columns
        frame = pd.DataFrame({"client_order_id": self._ids(np.arange(len(t)))})
        frame["ts_ns"] = t.ts_ns.copy()
        frame["symbol"] = words(t.symbol, t.symbols)
        frame["side"] = words(t.side, SIDES)
        frame["order_type"] = words(t.order_type, TYPES)
        frame["time_in_force"] = words(t.time_in_force, TIFS)
        for name in ("quantity", "price", "stop_price", "trail_bps", "post_only", "reduce_only"):
            frame[name] = getattr(t, name).copy()
        for name in ("expire_ts_ns", "cancel_ts_ns"):
            frame[name] = _maybe(getattr(t, name))
        for name in ("oco_group", "parent_order_id", "strategy_id"):
            if name in t.texts:
                frame[name] = t.texts[name].copy()
        frame["status"] = words(c.status, STATUSES)
        frame["reason"] = words(c.reason, REASONS)
        frame["filled_quantity"] = c.filled.copy()
        frame["average_price"] = c.average.copy()
        decision, arrival = np.full(len(t), np.nan), np.full(len(t), np.nan)
        for code, symbol in enumerate(t.symbols):
            rows = np.flatnonzero(t.symbol == code)
            reference = self._part(symbol).reference
            seen = t.ts_ns[rows] - self._delay("feed", rows, t.ts_ns[rows])
            decision[rows] = reference.mid_at(seen, MAX_QUOTE_AGE_NS)
            arrival[rows] = reference.mid_at(c.arrival_ns[rows], MAX_QUOTE_AGE_NS)
        # the data ended before it arrived, or it never did
        away = (c.status == st.S_INTENT) | (c.arrival_ns == ABSENT)
        frame["decision_price"], frame["arrival_price"] = decision, np.where(away, np.nan, arrival)
        frame["arrival_ts_ns"] = _maybe(np.where(away, ABSENT, c.arrival_ns))
        frame["triggered_ts_ns"] = _maybe(c.triggered_ns)
        frame["done_ts_ns"] = _maybe(c.done_ns)
        return frame

    @cached_property
    def fills(self) -> pd.DataFrame:
        # a shallow copy: whoever writes to it gets columns of their own, and ours stay as they are
        return self._fills.copy(deep=False)

    @cached_property
    def _fills(self) -> pd.DataFrame:
        return fill_table.fills(self.request, self.columns, self._ids(self.columns.fill_row))

    @cached_property
    def positions(self) -> pd.DataFrame:
        return profit.positions(self.request, self.columns)

    @cached_property
    def funding(self) -> pd.DataFrame:
        return profit.funding(self.request, self.positions)

    @cached_property
    def equity(self) -> pd.DataFrame:
        fees, _, _ = fill_table.fees(self.request, self.columns, self.request.fee.in_settlement())
        return profit.equity(self.request, self.positions, fees, self.funding)

    def margin(
        self, model: MarginModel, balance: float, currency: str | None = None
    ) -> MarginReport:
        """Margin of this run over time, for an account that starts with `balance`, all positions
        of one settlement `currency` together (it may be left out where there is one).

        Judged at every price, fill and funding stamp; at the end of a bar at the extreme that is
        worse for the position, for all symbols at once. What was held is closed at that mark.
        When it lies: the run itself knows no margin, so orders that a venue would have refused have
        filled (`short_of_margin`); liquidation is whole, at the mark, without its own slippage.
        Raises `InvalidInput` for a market read piece by piece, and for a currency not held.
        """
        fees, _, _ = fill_table.fees(self.request, self.columns, self.request.fee.in_settlement())
        return margin_report(
            self.request, self.positions, fees, self.funding, model, balance, currency
        )

    @property
    def notes(self) -> list[str]:
        """What the market held and this run left out."""
        return [
            f"funding of {s} ignored: its instrument is spot; name it as linear or inverse"
            for s in self.request.funding
            if self._part(s).market.instrument.kind == "spot"
        ]

    def slippage(self) -> pd.DataFrame:
        """One row an order: the store's `slippage` view over this run alone."""
        from execkit.store import Store

        with tempfile.TemporaryDirectory(prefix="execkit-") as folder:
            store = Store(Path(folder) / "execkit.duckdb")
            self.save(store)
            return store.sql("select * from slippage order by decision_ts_ns, client_order_id")

    def save(self, store: Store | str | Path, *, replace: bool = False) -> str:
        """Put orders, fills, positions, equity and the quotes that analytics need into a store.

        The same run again changes nothing; another one of the same run_id raises `InvalidInput`,
        unless `replace` puts it in the place of the earlier one. Returns the run_id.
        """
        from execkit.store import Store

        target = store if isinstance(store, Store) else Store(store)
        orders = self.orders.assign(
            contract_kind=self._of_symbol(lambda i: i.kind),
            contract_size=self._of_symbol(lambda i: float(i.contract_size)),
            base_currency=self._of_symbol(lambda i: i.base or "base"),
            quote_currency=self._of_symbol(lambda i: i.quote or "quote"),
            venue=words(
                self.table.symbol, [self._part(s).market.venue for s in self.table.symbols]
            ),
        )
        venues = {self._part(s).market.venue for s in self.table.symbols}
        head = {
            "run_id": self.run_id,
            "mode": "paper",
            "venue": venues.pop() if len(venues) == 1 else "",
            "strategy_id": self.request.strategy_id,
            "started_ns": int(self.table.ts_ns[0]),
            "params": json.dumps(self.params(), sort_keys=True),
        }
        return target.save_simulation(
            head,
            orders,
            self.fills,
            self.positions,
            self.equity,
            self._quotes(),
            replace=replace,
        )

    def params(self) -> dict[str, Any]:
        """The assumptions of the run, as stored with it."""
        return {
            "source": "simulate",
            "fill": asdict(self.model),
            "fee": params_of(self.request.fee),
            "latency": params_of(self.request.latency),
            "impact": params_of(self.request.impact),
            "seed": self.request.seed,
            "fidelity": self._fidelity(),
            "ambiguous": self.ambiguous,
        }

    def summary(self) -> dict[str, Any]:
        """Counts and rates in one dictionary; a rate is None where there is nothing to divide."""
        c = self.columns
        done = c.filled > 0
        traded = float(c.fill_quantity.sum())
        return {
            "run_id": self.run_id,
            "fill_model": self.model.name,
            "fidelity": self._fidelity(),
            "orders": len(self.table),
            "filled_any": int(done.sum()),
            "filled_whole": int((c.status == st.S_FILLED).sum()),
            "fill_rate": float(done.mean()),
            "fills": len(c.fill_row),
            "maker_fills": int(c.fill_maker.sum()),
            "maker_ratio": float(c.fill_quantity[c.fill_maker].sum() / traded) if traded else None,
            "status": {s: int(n) for s, n in self.orders["status"].value_counts().items() if n},
            "ambiguous": self.ambiguous,
            "assumed_free": self._assumed_free(),
            "notes": self.notes,
        }

    def _assumed_free(self) -> list[str]:
        """Costs that this run took to be zero; results look better for it."""
        both, one = np.array([True, False]), np.ones(2)
        free = []
        if not self.request.fee.charge(one, one, both, one * self.request.fee.start_volume).any():
            free.append("fees")
        if (self.request.arrival == self.table.ts_ns).all():
            free.append("latency")
        if self.model.half_spread_bps == 0 and "bars" in self._fidelity().values():
            free.append("half the spread on bars")
        return free

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        s = self.summary()
        return (
            f"<SimulationResult {self.run_id}: {s['orders']:,} orders, {s['fills']:,} fills, "
            f"{s['fill_rate']:.1%} of orders filled, model {s['fill_model']}>"
        )

    def _repr_html_(self) -> str:
        free = self._assumed_free()
        note = f" This run assumed no {', no '.join(free)}." if free else ""
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>"
            for k, v in self.summary().items()
        )
        moved = "moved only their own later fills in" if self.request.impact else "did not move"
        caveat = f"Orders {moved} this market; see execkit.models.{note}"
        return f"<table>{rows}</table><p>{caveat}</p>"

    # ------------------------------------------------------------------ parts

    def _part(self, symbol: str) -> Part:
        return self.request.parts[self.table.symbols.index(symbol)]

    def _fidelity(self) -> dict[str, str]:
        return {s: self._part(s).market.fidelity for s in self.table.symbols}

    def _delay(self, leg: Leg, rows: np.ndarray, ts_ns: np.ndarray) -> np.ndarray:
        return self.request.latency.delay(leg, rows, self.request.seed, ts_ns)

    def _ids(self, rows: np.ndarray) -> np.ndarray | pd.Series:
        given = self.table.texts.get("client_order_id")
        if given is None:
            return rows
        made = np.array([text or f"row-{i}" for i, text in enumerate(given)], dtype=object)
        return made[rows]

    def _of_symbol(self, value: Any) -> list[Any] | pd.Categorical:
        t = self.table
        values = [value(self._part(s).market.instrument) for s in t.symbols]
        return np.array(values)[t.symbol]

    def _quotes(self) -> pd.DataFrame:
        """The quotes that decision, arrival and markout look-ups of this run can hit."""
        t, c = self.table, self.columns
        parts = []
        for code, symbol in enumerate(t.symbols):
            r = self._part(symbol).reference
            fills = c.fill_ts[t.symbol[c.fill_row] == code]
            own = t.symbol == code
            moments = [fills + h for h in HORIZONS_NS] + [t.ts_ns[own], c.arrival_ns[own]]
            at = np.unique(np.append(r.index_at(np.concatenate(moments)), len(r.ts_ns) - 1))
            at = at[at >= 0]
            parts.append(
                pd.DataFrame(
                    {
                        "symbol": symbol,
                        "venue": self._part(symbol).market.venue,
                        "ts_ns": r.ts_ns[at],
                        "seq": at,
                        "bid": r.bid[at],
                        "ask": r.ask[at],
                        "bid_quantity": r.bid_quantity[at],
                        "ask_quantity": r.ask_quantity[at],
                        "last": r.last[at],
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def _maybe(times: np.ndarray) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(times.copy(), times == GIVEN)
