"""What orders cost: each order over time, and the parts that the cost is made of.

An entry is measured against the mid at its decision, a stop against its stop price. A target waits
for its price and gets it: there is nothing to measure but its fee, so it is counted and left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from execkit.clock import from_ns
from execkit.dashboards import theme
from execkit.errors import InvalidInput

PARTS = {
    "delay_cost_ccy": ("delay to arrival", theme.GREY),
    "arrival_cost_ccy": ("arrival, against the mid", theme.SKY),
    "trigger_cost_ccy": ("trigger, against the stop price", theme.GREEN),
    "fee_cost_ccy": ("fees", theme.YELLOW),
}
ENTRY = ["delay_cost_ccy", "arrival_cost_ccy", "fee_cost_ccy"]
STOP = ["trigger_cost_ccy", "fee_cost_ccy"]
MEASURES = (*PARTS, "decision_notional", "trigger_notional")
NEEDED = (
    *MEASURES,
    "side",
    "order_type",
    "notional",
    "decision_ts_ns",
    "average_price",
    "filled_quantity",
    "client_order_id",
    "reason",
)


def figure(table: pd.DataFrame, *, by: str = "side", title: str = "Slippage") -> go.Figure:
    """Two panels from a slippage table (one row per order, as the view ``slippage``).

    Left, every order: its cost with fees in bps of its notional at the price it is measured
    against, which is the mid at the decision for entries (dots) and the stop price for stops
    (crosses); positive = worse for us on both sides; the marker's area is the notional. Right, what
    the cost is made of, see `parts`; the diamond is the total.

    Targets, trailing stops (the level that they were hit at is not recorded) and orders without a
    cost (not filled, or no price to compare with) are in neither panel; the line below the title
    counts them, with the most common reason. Raises `InvalidInput` for a missing column.
    """
    theme.need(table, (*NEEDED, by))
    shown = measured(table)
    title += f"<br><span style='font-size:12px'>{_counts(table, shown)}</span>"
    if shown.empty:
        return theme.empty(title, "No order has a cost to show.")
    panels = make_subplots(
        cols=2, column_widths=[0.62, 0.38], horizontal_spacing=0.1,
        subplot_titles=("each order", f"made of, by {by}"),
    )  # fmt: skip
    _orders(panels, shown)
    _parts(panels, parts(table, by))
    panels.update_yaxes(title_text="cost with fees, bps (positive = worse)", col=1)
    panels.update_yaxes(title_text="bps of notional", col=2)
    panels.update_xaxes(title_text="decision time, UTC", col=1)
    panels.update_xaxes(tickangle=0, automargin=True, col=2)
    panels.update_layout(barmode="relative", bargap=0.45)
    below = {"y": -0.24, "yanchor": "top"}  # nine entries hide a title of two lines above
    return theme.styled(panels, title, 520).update_layout(legend=below, margin={"t": 112})


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """The orders that have a cost to show, with three columns more.

    `is_stop`; `benchmark_notional` at the price they are measured against (stop price of stops, mid
    at the decision of others); `cost_bps` of it: trigger + fee of stops, delay + arrival + fee of
    others.
    """
    theme.need(table, MEASURES)
    is_stop = table["trigger_cost_ccy"].notna()
    notional = table["trigger_notional"].where(is_stop, table["decision_notional"])
    cost = table[STOP].sum(axis=1, skipna=False)
    cost = cost.where(is_stop, table[ENTRY].sum(axis=1, skipna=False))
    more = {"is_stop": is_stop, "benchmark_notional": notional, "cost_bps": 1e4 * cost / notional}
    return table.assign(**more)[cost.notna() & (notional > 0)]


def parts(table: pd.DataFrame, by: str = "side") -> pd.DataFrame:
    """Cost in bps of its parts and in total, as ratio of sums, one row per value of `by`.

    Columns: one per part, `total_cost_bps`, `n_orders`, `notional`. Of the orders of `measured`
    alone, each against its own benchmark; a part that no order of the group has is NaN. In a group
    that mixes entries and stops, each part is spread over the notional of both.
    """
    theme.need(table, (*MEASURES, by))
    if table[by].isna().all():
        raise InvalidInput("by", by, "every value of that column is missing")
    groups = measured(table).groupby(by, observed=True)
    sums = groups[list(PARTS)].sum(min_count=1)
    notional = groups["benchmark_notional"].sum()
    out = sums.mul(1e4 / notional, axis=0).rename(columns=lambda c: c.replace("_ccy", "_bps"))
    out["total_cost_bps"] = out.sum(axis=1)
    out["n_orders"] = groups.size()
    out["notional"] = notional
    return out


def _counts(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    """How many orders are shown, and how many are not, in words."""
    left = table[~table.index.isin(shown.index)]
    waited = left["reason"].eq("waits_on_purpose") & left["trigger_cost_ccy"].isna()
    trailing = waited & left["order_type"].eq("trailing_stop")
    others = left.loc[~waited, "reason"]
    known = others.dropna().value_counts()
    why = f" (mostly {known.index[0]})" if len(known) else ""
    stops = int(shown["is_stop"].sum())
    counts = {
        " orders": len(shown) - stops,
        " stops": stops,
        " filled targets": int((waited & ~trailing).sum()),
        " filled trailing stops": int(trailing.sum()),
        f" without a cost{why}": len(others),
    }
    words = [f"{n:,}{what}" if n else "" for what, n in counts.items()]
    seen, unseen = (", ".join(filter(None, some)) for some in (words[:2], words[2:]))
    return (seen or "none") + (f"; not shown: {unseen}" if unseen else "")


def _orders(panels: go.Figure, table: pd.DataFrame) -> None:
    largest = float(table["notional"].max()) or 1.0
    for (side, is_stop), rows in table.groupby([table["side"].astype(str), "is_stop"]):
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
                y=rows["cost_bps"],
                mode="markers",
                name=f"{side} stop" if is_stop else str(side),
                text=text,
                hovertemplate="%{y:.3f} bps<br>%{text}<extra></extra>",
                marker={
                    "color": theme.SIDES.get(str(side), theme.GREEN),
                    "opacity": 0.65,
                    "symbol": "x" if is_stop else "circle",
                    "size": 5 + 11 * np.sqrt(rows["notional"] / largest),
                },
            ),
            row=1,
            col=1,
        )


def _parts(panels: go.Figure, costs: pd.DataFrame) -> None:
    groups = pd.Series([str(value).replace("_", "<br>") for value in costs.index], costs.index)
    panels.update_xaxes(categoryorder="array", categoryarray=list(groups), col=2)
    for part, (name, colour) in PARTS.items():
        # Bars above a missing one would be drawn from 0 on.
        there = costs[part.replace("_ccy", "_bps")].dropna()
        if there.empty:
            continue
        panels.add_trace(
            go.Bar(
                x=groups[there.index],
                y=there,
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
