"""Scores against hand-computed cases and against chances that are known to be right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from execkit.realism import scores as sc


def test_shares_are_smoothed_by_half_a_success_and_half_a_failure() -> None:
    found = sc.shares(np.array([0, 0, 0, 2]), np.array([1, 1, 0, 1]), 3)

    assert found.tolist() == [2.5 / 4, 0.5, 1.5 / 2]


def test_brier_and_likelihood_of_a_few_cases() -> None:
    p, happened = np.array([0.8, 0.3]), np.array([1.0, 0.0])

    assert sc.brier(p, happened) == pytest.approx((0.04 + 0.09) / 2)
    assert sc.log_likelihood(p, happened) == pytest.approx([math.log(0.8), math.log(0.7)])
    assert sc.brier(np.array([True, True]), happened) == 0.5  # of answers, the share wrong


def test_the_hazard_likelihood_is_that_of_survival_then_event() -> None:
    """One cell; of four at risk one happens in the first interval, of two left one in the next."""
    cell = np.zeros((4, 2), dtype=np.int64)
    event = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], dtype=bool)
    risk = np.array([[1, 0], [1, 1], [1, 1], [1, 0]], dtype=bool)  # the last one was censored
    found = sc.hazard_log_likelihood((cell, risk, event), (cell, risk, event), 1)
    first, second = 1.5 / 5, 1.5 / 3

    assert found == pytest.approx(
        [
            math.log(first),
            math.log(1 - first) + math.log(second),
            math.log(1 - first) + math.log(1 - second),
            math.log(1 - first),
        ]
    )


def test_right_chances_have_slope_one_and_overstated_ones_less() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 1.5, 40_000)
    p = 1 / (1 + np.exp(-logit))
    happened = (rng.random(len(p)) < p) * 1.0
    right, bold = (
        sc.calibration(p, happened),
        sc.calibration(1 / (1 + np.exp(-2 * logit)), happened),
    )

    assert right["slope"] == pytest.approx(1.0, abs=0.05)
    assert bold["slope"] == pytest.approx(0.5, abs=0.03)
    assert len(right["curve"]) == 10
    assert sum(group["orders"] for group in right["curve"]) == len(p)
    for group in right["curve"]:
        assert group["true"] == pytest.approx(group["predicted"], abs=0.03)


def test_no_slope_where_none_is_determined() -> None:
    half = np.full(4, 0.5)
    apart = np.array([0.1, 0.1, 0.9, 0.9])

    assert sc.calibration(half, np.array([1.0, 0, 0, 1]))["slope"] is None
    assert sc.calibration(apart, np.array([0.0, 0, 1, 1]))["slope"] is None
    assert sc.calibration(apart, np.array([1.0, 1, 0, 0]))["slope"] is None
    assert sc.calibration(apart, np.zeros(4))["slope"] is None


def test_errors_grow_where_a_block_moves_together() -> None:
    rng = np.random.default_rng(2)
    seconds = np.repeat(np.arange(50) * sc.BLOCK_S + 1.0, 20)
    together = np.repeat(rng.normal(size=50), 20)
    apart = rng.permutation(together)

    mean, error = sc.mean_with_error(together, seconds)
    assert mean == pytest.approx(together.mean())
    assert error == pytest.approx(together.std() / math.sqrt(50), rel=0.1)
    assert sc.mean_with_error(apart, seconds)[1] < error / 3
    assert sc.mean_with_error(apart[:5], np.zeros(5))[1] is None


def test_the_table_and_its_exact_test() -> None:
    granted = np.array([1, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    happened = np.array([1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    found = sc.granted_and_true(granted, happened)

    assert (found["granted_and_filled"], found["neither"]) == (1, 2)
    assert (found["granted_not_filled"], found["filled_not_granted"]) == (5, 0)
    assert found["mcnemar_p"] == pytest.approx(2 / 2**5)
