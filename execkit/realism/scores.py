"""Scores of predictions against what happened, out of time. One entry an order in every array.

A simulator grants fills, it does not state chances. Its answer becomes a probability through
`shares`: the share of orders that were truly filled among those of the first half of the recording
that it put in the same cell (granted, or waiting behind a quantity of a certain size), smoothed by
half a success and half a failure (Jeffreys). The 0 or 1 that it said itself is scored as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit, xlog1py, xlogy
from statsmodels.api import GLM, OLS, add_constant, families
from statsmodels.stats.contingency_tables import mcnemar

BLOCK_S = 300
"""Errors of orders in one block of this many seconds are not taken as independent."""


def shares(cell: np.ndarray, happened: np.ndarray, cells: int) -> np.ndarray:
    """Share of orders of each cell to which it happened, never 0 or 1; 1/2 in an empty cell."""
    yes = np.bincount(cell, weights=happened, minlength=cells)
    return (yes + 0.5) / (np.bincount(cell, minlength=cells) + 1.0)


def brier(p: np.ndarray, happened: np.ndarray) -> float:
    """Mean squared error of probabilities (Brier 1950); of answers 0 and 1, the share wrong."""
    return float(np.mean((p - happened) ** 2))


def log_likelihood(p: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """Logarithm of the chance that p gave to what happened."""
    return xlogy(happened, p) + xlog1py(1 - happened, -p)


def hazard_log_likelihood(
    fit: tuple[np.ndarray, np.ndarray, np.ndarray],
    judge: tuple[np.ndarray, np.ndarray, np.ndarray],
    cells: int,
) -> np.ndarray:
    """Censored log-likelihood of the time to an event, of each order of `judge`.

    Both are (cell, at_risk, happened), each (orders, intervals): the chance that the event happens
    in an interval, for those to whom it has not yet and who were not censored before it, is the
    `shares` of the cell in `fit` (discrete-time hazard model, saturated in cell and interval).
    """
    total = np.zeros(len(judge[0]))
    for g in range(judge[0].shape[1]):
        cell, risk, event = (part[:, g] for part in fit)
        hazard = shares(cell[risk], event[risk], cells)
        cell, risk, event = (part[:, g] for part in judge)
        total[risk] += log_likelihood(hazard[cell[risk]], event[risk])
    return total


def calibration(p: np.ndarray, happened: np.ndarray) -> dict[str, Any]:
    """Groups of p (its values, or deciles of many) with what happened in each, and the slope of
    the outcome's logit on p's.

    Slope 1 is calibrated; below 1 the probabilities are too extreme. None where p takes one value
    or separates the outcomes, so that no slope is determined.
    """
    frame = pd.DataFrame({"p": p, "happened": happened})
    few = frame["p"].nunique() <= 10  # a model's cells are few: each is a group of its own
    groups = frame.groupby(
        "p" if few else pd.qcut(frame["p"].rank(method="first"), 10, labels=False)
    )
    curve = groups.agg(predicted=("p", "mean"), true=("happened", "mean"), orders=("p", "size"))
    return {"slope": _slope(p, happened), "curve": curve.to_dict("records")}


def _slope(p: np.ndarray, happened: np.ndarray) -> float | None:
    yes, no = p[happened > 0], p[happened == 0]
    if not len(yes) or not len(no) or np.ptp(p) == 0:
        return None
    if no.max() <= yes.min() or yes.max() <= no.min():
        return None
    fitted = GLM(happened, add_constant(logit(p)), family=families.Binomial()).fit()
    return float(fitted.params[1])


def mean_with_error(values: np.ndarray, seconds: np.ndarray) -> tuple[float, float | None]:
    """Mean, and its standard error where values of one block of time may move together.

    seconds : when each value arose. No error (None) where all are in one block.
    """
    block = np.floor(seconds / BLOCK_S).astype(np.int64)
    mean = float(np.mean(values))
    if len(np.unique(block)) < 2:
        return mean, None
    if np.ptp(values) == 0:
        return mean, 0.0
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": block})
    return mean, float(fit.bse[0])


def granted_and_true(granted: np.ndarray, happened: np.ndarray) -> dict[str, Any]:
    """The 2 x 2 table, and McNemar's exact test that both kinds of error are equally frequent."""
    table = [[int(np.sum(g & h)) for h in (happened, ~happened)] for g in (granted, ~granted)]
    (both, only_granted), (only_true, neither) = table
    return {
        "granted_and_filled": both,
        "granted_not_filled": only_granted,
        "filled_not_granted": only_true,
        "neither": neither,
        "mcnemar_p": float(mcnemar(table, exact=True).pvalue),
    }
