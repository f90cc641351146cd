"""A static report: one HTML file that opens offline and sends nothing anywhere."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io

from execkit.clock import from_ns
from execkit.dashboards import theme
from execkit.errors import InvalidInput

MAX_ROWS = 50
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC

_STYLE = """
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1b1b;
       max-width: 1200px; margin: 32px auto; padding: 0 20px; }
h1 { font-size: 26px; margin-bottom: 4px; } h2 { font-size: 19px; margin-top: 36px; }
p.lead { color: #5a5a5a; margin-top: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 4px 8px; text-align: right; white-space: nowrap;
         border-bottom: 1px solid #e6e6e6; }
th { border-bottom: 2px solid #b5b5b5; } td:first-child, th:first-child { text-align: left; }
tr:hover td { background: #f6f9fc; }
@media print { .scroll { overflow: visible; } }
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One section: a heading, a sentence on how to read it, and a figure or a table."""

    heading: str
    words: str
    body: go.Figure | pd.DataFrame


def write(path: str | Path, title: str, lead: str, parts: Sequence[Part]) -> Path:
    """Write the report to `path`, whole or not at all, and return its absolute path.

    For your eyes only, as all of a desk: the file has mode 0600, a folder made for it 0700.
    plotly's script is inside the file (about 5 MB), once, whatever the number of figures. Tables
    longer than 50 rows are cut, and say so; times in ns are shown as UTC.
    Raises `InvalidInput` if the folder cannot be written.
    """
    target = Path(path).absolute()
    script_due = True
    sections = []
    for part in parts:
        if isinstance(part.body, pd.DataFrame):
            inside = _table(part.body)
        else:
            inside = plotly.io.to_html(
                part.body, full_html=False, include_plotlyjs=script_due, config=theme.CONFIG
            )
            script_due = False
        heading = f"<h2>{html.escape(part.heading)}</h2><p>{html.escape(part.words)}</p>"
        sections.append(f"<section>{heading}{inside}</section>")
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        f'<p class="lead">{html.escape(lead)}</p>{"".join(sections)}</body></html>'
    )
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, _NEW_FILE, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
        os.replace(fresh, target)
    except OSError as error:
        with suppress(OSError):  # it may never have come to be
            fresh.unlink()
        raise InvalidInput("path", str(target), f"cannot be written ({error.strerror})") from None
    return target


def _table(frame: pd.DataFrame) -> str:
    shown = frame.head(MAX_ROWS).copy()
    for name in [n for n in map(str, shown.columns) if n.endswith("_ts_ns")]:
        if pd.api.types.is_integer_dtype(shown[name].dtype) and not shown[name].isna().any():
            times = from_ns(shown.pop(name)).dt.strftime("%Y-%m-%d %H:%M:%S.%f").str[:-3]
            shown.insert(0, name.removesuffix("_ts_ns") + " (UTC)", times.to_numpy())
    text = shown.to_html(index=False, border=0, na_rep="–", float_format=lambda x: f"{x:,.6g}")
    more = len(frame) - len(shown)
    note = f"<p>{more:,} more rows are in the store.</p>" if more else ""
    return f'<div class="scroll">{text}</div>{note}'
