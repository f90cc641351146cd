"""What orders cost: each order over time, and the parts that the cost is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from execkit.clock import from_ns
from execkit.dashboards import theme
from execkit.errors import InvalidInput

PARTS = {
    "delay_cost_ccy": ("delay: decision to arrival", theme.GREY),
    "arrival_cost_ccy": ("arrival: against the mid it met", theme.SKY),
    "fee_cost_ccy": ("fees", theme.YELLOW),
}
NEEDED = (
    *PARTS,
    "side",
    "order_type",
    "notional",
    "decision_notional",
    "decision_ts_ns",
    "total_cost_bps",
    "average_price",
    "filled_quantity",
    "client_order_id",
)


def figure(table: pd.DataFrame, *, by: str = "side", title: str = "Slippage") -> go.Figure:
    """Two panels from a slippage table (one row per order, as the view ``slippage``).

    Left, every order: total cost in bps of its notional at the decision price; positive = worse for
    us on both sides; the marker's area is the notional. Right, what the cost is made of: per value
    of column `by`, the ratio of sums in bps of delay, arrival and fee cost, which add up to the
    total (diamond).

    Orders without a cost (not filled, or no price to compare with) are left out of both panels and
    counted in the title, with the most common reason. Raises `InvalidInput` for a missing column.
    """
    theme.need(table, (*NEEDED, by))
    priced = table[table["total_cost_bps"].notna() & (table["decision_notional"] > 0)]
    left_out = len(table) - len(priced)
    if left_out:
        reasons = table.loc[~table.index.isin(priced.index)].get("reason", pd.Series(dtype=object))
        known = reasons.dropna().value_counts()
        why = f", mostly {known.index[0]}" if len(known) else ""
        title += f" · {len(priced):,} orders, {left_out:,} without a cost{why}"
    if priced.empty:
        return theme.empty(title, "No order has a cost to show.")
    panels = make_subplots(
        cols=2, column_widths=[0.62, 0.38], horizontal_spacing=0.1,
        subplot_titles=("each order", f"made of, by {by}"),
    )  # fmt: skip
    _orders(panels, priced)
    _parts(panels, parts(priced, by))
    panels.update_yaxes(title_text="total cost, bps (positive = worse)", col=1)
    panels.update_yaxes(title_text="bps of notional", col=2)
    panels.update_xaxes(title_text="decision time, UTC", col=1)
    panels.update_xaxes(tickangle=0, automargin=True, col=2)
    panels.update_layout(barmode="relative", bargap=0.45)
    return theme.styled(panels, title, 460)


def parts(table: pd.DataFrame, by: str = "side") -> pd.DataFrame:
    """Cost in bps of its parts and in total, as ratio of sums, one row per value of `by`.

    Columns: one per part, `total_cost_bps`, `n_orders`, `notional`. Costs divided by the notional
    at the decision price; rows without it (NaN) do not count.
    """
    theme.need(table, (*PARTS, "decision_notional", by))
    if table[by].isna().all():
        raise InvalidInput("by", by, "every value of that column is missing")
    whole = table[table["decision_notional"].notna() & table[list(PARTS)].notna().all(axis=1)]
    groups = whole.groupby(by, observed=True)
    sums = groups[[*PARTS, "decision_notional"]].sum()
    out = pd.DataFrame(
        {
            part.replace("_ccy", "_bps"): 1e4 * sums[part] / sums["decision_notional"]
            for part in PARTS
        }
    )
    out["total_cost_bps"] = out.sum(axis=1)
    out["n_orders"] = groups.size()
    out["notional"] = sums["decision_notional"]
    return out


def _orders(panels: go.Figure, table: pd.DataFrame) -> None:
    largest = float(table["notional"].max()) or 1.0
    for side, rows in table.groupby(table["side"].astype(str), observed=True):
        text = (
            rows["order_type"].astype(str)
            + " "
            + rows["filled_quantity"].map("{:g}".format)
            + " at "
            + rows["average_price"].map("{:,.6g}".format)
            + "<br>"
            + rows["client_order_id"].astype(str)
        )
        panels.add_trace(
            go.Scatter(
                x=from_ns(rows["decision_ts_ns"]),
                y=rows["total_cost_bps"],
                mode="markers",
                name=str(side),
                text=text,
                hovertemplate="%{y:.3f} bps<br>%{text}<extra></extra>",
                marker={
                    "color": theme.SIDES.get(str(side), theme.GREEN),
                    "opacity": 0.65,
                    "size": 5 + 11 * np.sqrt(rows["notional"] / largest),
                },
            ),
            row=1,
            col=1,
        )


def _parts(panels: go.Figure, costs: pd.DataFrame) -> None:
    groups = [str(value).replace("_", "<br>") for value in costs.index]
    for part, (name, colour) in PARTS.items():
        panels.add_trace(
            go.Bar(
                x=groups,
                y=costs[part.replace("_ccy", "_bps")],
                name=name,
                marker={"color": colour},
                hovertemplate="%{y:.3f} bps<extra>" + name + "</extra>",
            ),
            row=1,
            col=2,
        )
    panels.add_trace(
        go.Scatter(
            x=groups,
            y=costs["total_cost_bps"],
            mode="markers+text",
            name="total",
            text=[f"<b>{value:.2f}</b>" for value in costs["total_cost_bps"]],
            textposition="top center",
            marker={"color": "black", "symbol": "diamond", "size": 9},
            hovertemplate="%{y:.3f} bps<extra>total</extra>",
        ),
        row=1,
        col=2,
    )
