"""Dashboards render from a table alone: numbers by hand, nothing sent anywhere."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from execkit.dashboards import report, slippage
from execkit.errors import InvalidInput

T0 = 1_767_967_200_000_000_000


def table() -> pd.DataFrame:
    """Three orders by hand; costs in quote currency, notional at the decision price."""
    frame = pd.DataFrame(
        {
            "client_order_id": ["a", "b", "c"],
            "side": ["buy", "buy", "sell"],
            "order_type": ["market", "limit", "market"],
            "decision_ts_ns": [T0, T0 + 10**9, T0 + 2 * 10**9],
            "filled_quantity": [1.0, 3.0, 2.0],
            "average_price": [100.1, 99.9, 99.8],
            "notional": [100.1, 299.7, 199.6],
            "decision_notional": [100.0, 300.0, 200.0],
            "delay_cost_ccy": [0.02, 0.0, 0.1],
            "arrival_cost_ccy": [0.08, -0.3, 0.3],
            "fee_cost_ccy": [0.1, 0.06, 0.2],
        }
    )
    return frame.assign(trigger_cost_ccy=np.nan, trigger_notional=np.nan, reason=None)


def with_exits() -> pd.DataFrame:
    """The same, two stops, a target, and a trailing stop: all that wait are sells."""
    exits = pd.DataFrame(
        {
            "client_order_id": ["s1", "s2", "t", "r"],
            "side": "sell",
            "order_type": ["stop_market", "stop_limit", "limit", "trailing_stop"],
            "decision_ts_ns": [T0, T0 + 1, T0 + 2, T0 + 3],
            "filled_quantity": [1.0, 2.0, 1.0, 1.0],
            "average_price": [94.0, 95.0, 105.0, 97.0],
            "notional": [94.0, 190.0, 105.0, 97.0],
            "decision_notional": [100.0, 200.0, 100.0, 100.0],
            "trigger_notional": [95.0, 190.0, np.nan, np.nan],
            "trigger_cost_ccy": [1.0, 0.0, np.nan, np.nan],
            "fee_cost_ccy": [0.1, 0.2, 0.1, 0.1],
            "reason": "waits_on_purpose",
        }
    )
    return pd.concat([table(), exits], ignore_index=True)


def test_the_parts_of_a_cost_are_ratios_of_sums_and_add_up() -> None:
    """Buys: 1e4 * (0.02, -0.22, 0.16) / 400 = 0.5, -5.5, 4.0 bps; together -1 bps."""
    parts = slippage.parts(table())

    buy = parts.loc["buy"]
    assert buy["delay_cost_bps"] == pytest.approx(0.5)
    assert buy["arrival_cost_bps"] == pytest.approx(-5.5)
    assert buy["fee_cost_bps"] == pytest.approx(4.0)
    assert buy["total_cost_bps"] == pytest.approx(-1.0)
    assert buy["n_orders"] == 2
    assert parts.loc["sell", "total_cost_bps"] == pytest.approx(30.0)


def test_the_figure_shows_every_order_with_a_cost_and_counts_the_others() -> None:
    frame = table()
    frame.loc[1, ["delay_cost_ccy", "decision_notional"]] = np.nan
    frame["reason"] = [None, "no_quote", None]

    figure = slippage.figure(frame, title="Run 1")

    dots = [trace for trace in figure.data if trace.type == "scatter" and trace.name != "total"]
    assert sorted(trace.name for trace in dots) == ["buy", "sell"]
    assert sum(len(trace.x) for trace in dots) == 2
    assert "2 orders; not shown: 1 without a cost (mostly no_quote)" in figure.layout.title.text


def test_stops_are_shown_against_their_stop_price_and_targets_are_counted() -> None:
    """Of a stop at 95 that sold 1 @ 94 with a fee of 0.1: 1e4 * 1.1 / 95 bps."""
    figure = slippage.figure(with_exits(), by="order_type")

    (stops,) = [trace for trace in figure.data if trace.name == "sell stop"]
    assert stops.marker.symbol == "x"
    assert list(stops.y) == pytest.approx([1e4 * 1.1 / 95, 1e4 * 0.2 / 190])
    (dots,) = [trace for trace in figure.data if trace.name == "sell"]
    assert list(dots.y) == pytest.approx([30.0])
    words = "3 orders, 2 stops; not shown: 1 filled targets, 1 filled trailing stops<"
    assert words in figure.layout.title.text


def test_a_bar_has_no_piece_without_a_number() -> None:
    """The browser would draw what lies above it from 0 on, and hide what lies below."""
    figure = slippage.figure(with_exits(), by="order_type")
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}

    assert all(np.isfinite(np.asarray(bar.y, dtype=float)).all() for bar in bars.values())
    assert list(bars["arrival, against the mid"].x) == ["limit", "market"]
    assert list(bars["trigger, against the stop price"].x) == ["stop<br>limit", "stop<br>market"]
    order = ("limit", "market", "stop<br>limit", "stop<br>market")
    assert figure.layout.xaxis2.categoryarray == order


def test_the_cost_of_stops_is_made_of_trigger_and_fee() -> None:
    """And a group of entries and stops spreads each part over the notional of both."""
    kinds = slippage.parts(with_exits(), by="order_type")

    assert sorted(kinds.index) == ["limit", "market", "stop_limit", "stop_market"]
    stop = kinds.loc["stop_market"]
    assert stop["trigger_cost_bps"] == pytest.approx(1e4 / 95)
    assert stop["total_cost_bps"] == pytest.approx(1e4 * 1.1 / 95)
    assert stop[["delay_cost_bps", "arrival_cost_bps"]].isna().all()
    assert kinds.loc["limit", "n_orders"] == 1, "the target is not among them"
    assert pd.isna(kinds.loc["market", "trigger_cost_bps"])
    sells = slippage.parts(with_exits()).loc["sell"]
    assert sells["notional"] == 200 + 95 + 190
    assert sells["total_cost_bps"] == pytest.approx(1e4 * (0.6 + 1.1 + 0.2) / 485)


def test_a_table_without_any_cost_says_so_in_words() -> None:
    figure = slippage.figure(table().assign(fee_cost_ccy=np.nan))

    assert len(figure.data) == 0
    assert figure.layout.annotations[0].text == "No order has a cost to show."


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="no column side"):
        slippage.figure(table().drop(columns="side"))


def test_no_figure_has_the_button_that_uploads_it() -> None:
    figure = slippage.figure(table())

    assert figure.layout.template.layout.modebar.remove == ("sendChartToCloud",)


def test_a_report_is_one_file_that_needs_no_network(tmp_path: Path) -> None:
    parts = [
        report.Part("Slippage", "How to read it.", slippage.figure(table())),
        report.Part("Again", "The script is there once.", slippage.figure(table())),
        report.Part("Orders", "Each <order>.", table()),
    ]
    target = report.write(tmp_path / "deep" / "report.html", "A & B", "lead", parts)
    page = target.read_text(encoding="utf-8")

    assert "A &amp; B" in page
    assert "Each &lt;order&gt;." in page
    assert len(page.encode()) < 8_000_000
    assert page.count("define.amd") <= 2  # plotly's script, once
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?!data:)', page)
    assert list(target.parent.iterdir()) == [target]


def test_a_report_and_the_folder_made_for_it_are_private(tmp_path: Path) -> None:
    target = report.write(tmp_path / "reports" / "r.html", "t", "l", [])

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"row": range(report.MAX_ROWS + 7)})
    target = report.write(tmp_path / "r.html", "t", "l", [report.Part("h", "w", frame)])

    assert f"<td>{report.MAX_ROWS}</td>" not in target.read_text(encoding="utf-8")
    assert "7 more rows" in target.read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InvalidInput, match="cannot be written"):
        report.write(tmp_path / "file" / "r.html", "t", "l", [])
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
