"""Charts of a sweep: from a small table, from an empty one, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from execkit.dashboards import sweep as charts
from execkit.errors import InvalidInput


def table(values: list[float], **more: object) -> pd.DataFrame:
    """Two offsets, three horizons."""
    cells = [(o, h) for o in (1.0, 2.5) for h in (5, 10, 20)]
    return pd.DataFrame(cells, columns=["offset_bps", "horizon"]).assign(
        mean_pnl_bps=values, **more
    )


def test_each_cell_is_where_its_parameters_say_and_the_best_is_framed() -> None:
    drawn = charts.figure(table([-1, 0.5, 2, -3, 4, np.nan]))

    (heat,) = drawn.data
    assert list(heat.x) == ["5", "10", "20"]
    assert list(heat.y) == ["1.0", "2.5"]
    assert np.array_equal(
        np.array(heat.z, dtype=float), [[-1, 0.5, 2], [-3, 4, np.nan]], equal_nan=True
    )
    assert heat.zmid == 0
    (frame,) = drawn.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.5, 1.5, 0.5, 1.5)
    assert "best: horizon 10, offset_bps 2.5, mean_pnl_bps 4" in drawn.layout.title.text


def test_a_loss_everywhere_does_not_look_like_a_gain() -> None:
    blue = charts.figure(table([1, 2, 3, 4, 5, 6])).data[0]
    orange = charts.figure(table([-1, -2, -3, -4, -5, -6])).data[0]

    assert blue.zmid is orange.zmid is None
    assert blue.colorscale[1][1] == charts.GAIN[1][1]
    assert orange.colorscale[0][1] == charts.LOSS[0][1]


def test_nothing_to_show_is_said_in_words() -> None:
    for drawn in (
        charts.figure(table([np.nan] * 6)),
        charts.band(table([np.nan] * 6, fill="queue")),
        charts.band(table([1.0] * 6, fill="queue").head(0)),
    ):
        assert "No combination" in drawn.layout.annotations[0].text


def test_two_rows_for_a_cell_are_refused() -> None:
    twice = pd.concat([table([1.0] * 6, fill=name) for name in ("queue", "optimistic")])

    with pytest.raises(InvalidInput, match="several rows"):
        charts.figure(twice)
    with pytest.raises(InvalidInput, match="no column win_rate"):
        charts.figure(table([1.0] * 6), value="win_rate")
    with pytest.raises(InvalidInput, match="no column fill"):
        charts.band(table([1.0] * 6))


def test_the_band_of_each_of_the_best_goes_from_its_worst_to_its_best() -> None:
    found = pd.concat(
        [
            table([-2, -1, 0, 1, 1, 1], fill="pessimistic"),
            table([0, 0, 0, 2, 2, 2], fill="queue"),
            table([9, 1, 8, 7, 2, 6], fill="optimistic"),
        ]
    )
    drawn = charts.band(found, best=3)

    lines = [trace for trace in drawn.data if trace.mode == "lines"]
    assert [list(line.x) for line in lines] == [[1, 7], [0, 8], [-2, 9]]
    assert lines[-1].y[0] == "offset_bps 1, horizon 5"  # the best is on top
    assert [trace.name for trace in drawn.data[3:]] == ["pessimistic", "queue", "optimistic"]
