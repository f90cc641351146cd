"""What an engine shows in a notebook: its orders, fills and positions as frames, and a summary.

Columns have the names of the store's tables. Numbers are floats here, NaN where there is none, and
times int64 nanoseconds, NA where there is none; exact values are on `engine.orders` and
`engine.positions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from execkit.domain import ExecutionOrder, Fill, Position

if TYPE_CHECKING:
    from execkit.account import Account
    from execkit.monitor import OrderMonitor
    from execkit.orders import OrderManager
    from execkit.positions import PositionTracker
    from execkit.remotes import Remotes
    from execkit.risk import RiskGuard
    from execkit.words import ExecutionMode

_TEXT, _NUMBER, _TIME, _FLAG = "object", "float64", "Int64", "bool"
_ORDER = {
    "client_order_id": _TEXT,
    "venue_order_id": _TEXT,
    "parent_order_id": _TEXT,
    "strategy_id": _TEXT,
    "signal_id": _TEXT,
    "oco_group": _TEXT,
    "mode": _TEXT,
    "venue": _TEXT,
    "symbol": _TEXT,
    "side": _TEXT,
    "order_type": _TEXT,
    "quantity": _NUMBER,
    "price": _NUMBER,
    "stop_price": _NUMBER,
    "trail_bps": _NUMBER,
    "time_in_force": _TEXT,
    "expire_ts_ns": _TIME,
    "post_only": _FLAG,
    "reduce_only": _FLAG,
    "ts_ns": _TIME,
    "arrival_ts_ns": _TIME,
    "triggered_ts_ns": _TIME,
    "done_ts_ns": _TIME,
    "decision_price": _NUMBER,
    "arrival_price": _NUMBER,
    "status": _TEXT,
    "reason": _TEXT,
    "filled_quantity": _NUMBER,
    "average_price": _NUMBER,
}
_FILL = {
    **dict.fromkeys(("fill_id", "client_order_id", "parent_order_id", "run_id", "mode"), _TEXT),
    **dict.fromkeys(("venue", "symbol", "side"), _TEXT),
    **dict.fromkeys(("quantity", "price"), _NUMBER),
    "liquidity": _TEXT,
    "fee": _NUMBER,
    "fee_currency": _TEXT,
    **dict.fromkeys(("venue_ts_ns", "local_ts_ns"), _TIME),
}
_POSITION = {
    **dict.fromkeys(("venue", "symbol", "strategy_id", "side"), _TEXT),
    **dict.fromkeys(("quantity", "average_price", "current_price"), _NUMBER),
    **dict.fromkeys(("realised_pnl", "unrealised_pnl"), _NUMBER),
    **dict.fromkeys(("stop_loss_price", "take_profit_price"), _NUMBER),
}
# The store's names of what the nouns call otherwise.
_NAMES = {
    "ts_ns": "created_ts_ns",
    "arrival_ts_ns": "accepted_ts_ns",
    "average_price": "average_filled_price",
}


def orders_frame(orders: Iterable[ExecutionOrder]) -> pd.DataFrame:
    """One row an order, in the order of sending. ts_ns : when it was decided. arrival_ts_ns : when
    we heard that the venue has it."""
    return _frame(orders, _ORDER, _NAMES)


def fills_frame(fills: Iterable[Fill], run_id: str) -> pd.DataFrame:
    """One row a fill, in the order of hearing; the columns of DESIGN, section 5."""
    return _frame(fills, _FILL, {}).assign(run_id=run_id)


def positions_frame(positions: Iterable[Position]) -> pd.DataFrame:
    """One row a position. quantity : signed. realised_pnl : so far, without fees; both profits in
    the settlement currency."""
    return _frame(positions, _POSITION, {})


def _frame(
    rows: Iterable[object], columns: Mapping[str, str], names: Mapping[str, str]
) -> pd.DataFrame:
    table = list(rows)
    return pd.DataFrame(
        {
            name: pd.Series([_plain(row, names.get(name, name), kind) for row in table], dtype=kind)
            for name, kind in columns.items()
        }
    )


def _plain(row: object, name: str, kind: str) -> Any:
    value = getattr(row, name)
    if kind == _NUMBER:
        return float("nan") if value is None else float(value)
    if kind == _TIME:
        return pd.NA if value is None else value
    return str(value) if kind == _TEXT else value


def table_html(rows: Sequence[tuple[str, object]]) -> str:
    """Name and value, a row each."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(_said(value))}</td></tr>"
        for name, value in rows
    )
    return f"<table>{body}</table>"


def _said(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def frame_html(title: str, frame: pd.DataFrame) -> str:
    """A frame under its title, without columns that say nothing; "none" if there are no rows."""
    if not len(frame):
        return f"<p><b>{escape(title)}</b>: none</p>"
    empty = [c for c in frame if frame[c].isna().all() or (frame[c].astype(str) == "").all()]
    shown = frame.drop(columns=empty)
    return f"<p><b>{escape(title)}</b></p>{shown.to_html(index=False, max_rows=20)}"


class EngineView:
    """The part of an engine that is looked at; reading changes nothing."""

    mode: ExecutionMode
    run_id: str
    account: Account
    order_manager: OrderManager
    position_tracker: PositionTracker
    risk_guard: RiskGuard
    order_monitor: OrderMonitor
    remotes: Remotes
    total_signals: int
    successful_executions: int

    @property
    def positions(self) -> list[Position]:
        """Open positions."""
        return self.position_tracker.open_positions()

    @property
    def orders(self) -> dict[str, ExecutionOrder]:
        """All orders of this run, by id."""
        return self.order_manager.orders

    def orders_frame(self) -> pd.DataFrame:
        """See `frames.orders_frame`."""
        return orders_frame(self.orders.values())

    def fills_frame(self) -> pd.DataFrame:
        """See `frames.fills_frame`."""
        return fills_frame(self.order_manager.ledger.fills, self.run_id)

    def positions_frame(self) -> pd.DataFrame:
        """Open positions; see `frames.positions_frame`."""
        return positions_frame(self.positions)

    def reconciliation(self) -> pd.DataFrame:
        """What engine, journal and venue say, side by side; see `diff.three_way`."""
        return self.remotes.table(self.order_manager.recorder.journal, self.run_id)

    async def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Return when every venue that lives elsewhere is READY, or after `timeout_s` (None: that
        of `ReconcileSettings`); whether they are."""
        return await self.remotes.wait_ready(timeout_s)

    def get_performance_metrics(self) -> dict[str, Any]:
        """The guide's nested figures; None where nothing was measured."""
        equity, _ = self.account.equity()
        total, good = self.total_signals, self.successful_executions
        stats = self.position_tracker.get_portfolio_stats(
            self.account.starting_equity, self.account.known_rates(), self.account.currency
        )
        return {
            "engine": {
                "mode": self.mode.value,
                "run_id": self.run_id,
                "total_signals": total,
                "successful_executions": good,
                "success_rate": 100 * good / total if total else None,
                "equity": None if equity is None else float(equity),
                "starting_equity": float(self.account.starting_equity),
                "account_currency": self.account.currency or None,
                "open_orders": len(self.order_manager.ledger.live),
                "alarms": len(self.order_manager.alarms),
            },
            "positions": stats,
            "risk": self.risk_guard.get_risk_status(),
            "monitoring": self.order_monitor.get_metrics_summary(),
        }

    def _repr_html_(self) -> str:
        equity, why = self.account.equity()
        alarms = self.order_manager.alarms
        head = table_html(
            [
                ("mode", self.mode.value),
                ("run", self.run_id),
                ("equity", why if equity is None else f"{equity:,.2f} {self.account.currency}"),
                ("signals", f"{self.successful_executions} of {self.total_signals} executed"),
                ("fills", len(self.order_manager.ledger.fills)),
                ("halted", self.risk_guard.halted or "no"),
                ("alarms", f"{len(alarms)}, last: {alarms[-1].message}" if alarms else "none"),
            ]
        )
        live = orders_frame(self.order_manager.open_orders())
        return (
            head
            + frame_html("Open positions", self.positions_frame())
            + frame_html("Live orders", live)
        )
