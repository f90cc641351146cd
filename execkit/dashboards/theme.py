"""The look of all figures, and the guard that they stay on this machine."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from execkit.errors import InvalidInput

# Okabe and Ito (2008): told apart with every common colour blindness.
BLUE, ORANGE, SKY, YELLOW, GREEN, GREY = (
    "#0072B2",
    "#D55E00",
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#8A8A8A",
)
SIDES = {"buy": BLUE, "sell": ORANGE}

CONFIG = {"displaylogo": False, "responsive": True}


def template() -> go.layout.Template:
    """Our plotly template. It removes the button that uploads a chart to a public service."""
    axis = {"gridcolor": "#ECECEC", "zerolinecolor": "#B5B5B5", "linecolor": "#B5B5B5"}
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, -apple-system, Segoe UI, sans-serif", "size": 13},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "colorway": [BLUE, ORANGE, GREEN, YELLOW, SKY, GREY],
            "xaxis": axis,
            "yaxis": axis,
            "title": {"x": 0.01, "xanchor": "left"},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.07, "x": 0},
            "margin": {"l": 64, "r": 24, "t": 100, "b": 56},
            "modebar": {"remove": ["sendChartToCloud"]},
        }
    )


def styled(figure: go.Figure, title: str, height: int = 420) -> go.Figure:
    """`figure` with our template, a title and a height in pixels."""
    return figure.update_layout(template=template(), title={"text": title}, height=height)


def empty(title: str, words: str) -> go.Figure:
    """A figure that says in words why there is nothing to draw."""
    figure = go.Figure()
    figure.add_annotation(text=words, showarrow=False, font={"size": 15}, x=0.5, y=0.5)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return styled(figure, title, 220)


def need(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise `InvalidInput` naming the first column that `table` lacks."""
    for column in columns:
        if column not in table.columns:
            raise InvalidInput("table", list(table.columns), f"it has no column {column}")
