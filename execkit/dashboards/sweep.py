"""What a sweep found: a heat map of two parameters, and how far to believe its best cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from execkit.dashboards import theme
from execkit.errors import InvalidInput

GAIN_AND_LOSS = [[0.0, theme.ORANGE], [0.5, "#F7F7F7"], [1.0, theme.BLUE]]
GAIN = [[0.0, "#F7F7F7"], [1.0, theme.BLUE]]
LOSS = [[0.0, theme.ORANGE], [1.0, "#F7F7F7"]]
MODELS = {
    "pessimistic": (theme.ORANGE, "circle-open", 15),
    "queue": ("black", "diamond", 8),
    "optimistic": (theme.BLUE, "triangle-right", 11),
}
"""Colour, symbol and size; the first is seen around the second, for they may agree."""


def figure(
    table: pd.DataFrame,
    x: str = "horizon",
    y: str = "offset_bps",
    value: str = "mean_pnl_bps",
    *,
    title: str = "Sweep",
) -> go.Figure:
    """A heat map of `value` over two parameters of a table from `sweep`; the best cell is framed.

    Cells are of one size whatever the step between values. Where `value` has both signs, white is
    0. Cells that failed or have nothing to show are empty. Raises `InvalidInput` for a missing
    column, and where several rows fall into one cell: choose one value of the other parameters.
    """
    theme.need(table, (x, y, value))
    twice = table.duplicated([x, y])
    if twice.any():
        cell = table.loc[twice, [x, y]].iloc[0].to_dict()
        raise InvalidInput("table", cell, "has several rows: choose one value of what else varies")
    cells = table.pivot(index=y, columns=x, values=value).astype(float)
    shown = cells.to_numpy()
    if not np.isfinite(shown).any():
        return theme.empty(title, f"No combination has a {value}.")
    columns, rows = [str(v) for v in cells.columns], [str(v) for v in cells.index]
    low, high = np.nanmin(shown), np.nanmax(shown)
    both = low < 0 < high
    heat = go.Heatmap(
        x=columns,
        y=rows,
        z=shown,
        zmid=0 if both else None,
        colorscale=GAIN_AND_LOSS if both else GAIN if high > 0 else LOSS,
        colorbar={"title": {"text": value, "side": "right"}, "thickness": 14},
        hovertemplate=f"{x} %{{x}}<br>{y} %{{y}}<br>{value} %{{z:.4g}}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    at_y, at_x = np.unravel_index(int(np.nanargmax(shown)), shown.shape)
    drawn = go.Figure(heat)
    drawn.add_shape(
        type="rect",
        x0=at_x - 0.5, x1=at_x + 0.5, y0=at_y - 0.5, y1=at_y + 0.5,
        line={"color": "black", "width": 2},
    )  # fmt: skip
    best = f"best: {x} {columns[at_x]}, {y} {rows[at_y]}, {value} {shown[at_y, at_x]:.4g}"
    drawn.update_xaxes(title_text=x, type="category")
    drawn.update_yaxes(title_text=y, type="category")
    title += f"<br><span style='font-size:12px'>{len(table):,} combinations; {best}</span>"
    return theme.styled(drawn, title, 480).update_layout(margin={"t": 80})


def band(
    table: pd.DataFrame,
    names: Sequence[str] = ("offset_bps", "horizon"),
    value: str = "mean_pnl_bps",
    *,
    best: int = 12,
    title: str = "The best combinations under three fill models",
) -> go.Figure:
    """The combinations that look best, each from the lowest to the highest of what models say.

    table : from a sweep over `names` and ``fill``; the best by their optimistic value come first. A
    combination whose line crosses 0 has not been shown to earn anything: it depends on what no
    recording shows. Raises `InvalidInput` for a missing column.
    """
    theme.need(table, (*names, "fill", value))
    wide = table.pivot(index=list(names), columns="fill", values=value).astype(float)
    known = [model for model in MODELS if model in wide.columns]
    wide = wide.dropna(how="all")
    if wide.empty or not known:
        return theme.empty(title, f"No combination has a {value}.")
    wide = wide.sort_values(known[-1], ascending=False).head(best).iloc[::-1]
    labels = [
        ", ".join(f"{name} {v:g}" for name, v in zip(names, np.atleast_1d(key), strict=True))
        for key in wide.index
    ]
    drawn = go.Figure()
    for label, values in zip(labels, wide[known].to_numpy(), strict=True):
        drawn.add_trace(
            go.Scatter(
                x=[np.nanmin(values), np.nanmax(values)], y=[label, label], mode="lines",
                line={"color": theme.GREY, "width": 3}, hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
    for model in known:
        colour, symbol, size = MODELS[model]
        drawn.add_trace(
            go.Scatter(
                x=wide[model], y=labels, mode="markers", name=model,
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2}},
                hovertemplate=f"%{{y}}<br>{value} %{{x:.4g}}<extra>{model}</extra>",
            )
        )  # fmt: skip
    drawn.add_vline(x=0, line={"color": "#5a5a5a", "dash": "dot", "width": 1})
    drawn.update_xaxes(title_text=value)
    drawn.update_yaxes(automargin=True)
    return theme.styled(drawn, title, 160 + 28 * len(wide)).update_layout(legend={"y": 1.0})
