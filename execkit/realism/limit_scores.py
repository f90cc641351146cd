"""One model's answers about real resting orders against what happened to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from execkit.clock import NS_PER_S
from execkit.realism import replay as rp
from execkit.realism import scores as sc
from execkit.realism.recorded import Replays

HORIZONS_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0)
"""Ends of the intervals of the hazard model; the last is how long an order may wait."""
JUDGED_S = {"1s": 1.0, "10s": 10.0, "60s": 60.0, "end": HORIZONS_S[-1]}
CELLS = 6
GRANTED_BEFORE, GRANTED_NOW = 4, 5
UNKNOWN = 1e15
"""More than anybody ever has ahead: the book did not reach the order's price."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One model's answers for some orders: cells of the hazard model, grants, times, quantities.

    cell, granted, front (orders, horizons). front : quantity ahead, in base units. granted_s :
    seconds to the first fill, inf for never. filled : quantity, in kernel units.
    """

    cell: np.ndarray
    front: np.ndarray
    granted: np.ndarray
    granted_s: np.ndarray
    filled: np.ndarray

    def take(self, keep: np.ndarray) -> Answers:
        return Answers(*(getattr(self, name)[keep] for name in Answers.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What happened. at_risk, event (orders, intervals); happened, waiting (orders, horizons)."""

    at_risk: np.ndarray
    event: np.ndarray
    happened: np.ndarray
    waiting: np.ndarray
    filled_s: np.ndarray
    filled: np.ndarray
    quantity: np.ndarray
    arrival_s: np.ndarray

    def take(self, keep: np.ndarray) -> Truth:
        return Truth(*(getattr(self, name)[keep] for name in Truth.__slots__))


def truth_of(r: Replays) -> Truth:
    first, end = r.facts[rp.FIRST_FILL], r.facts[rp.END]
    before = np.column_stack([np.full(len(end), -1), r.grid[:, :-1]])
    happened = first[:, None] <= r.grid
    at_risk = (first[:, None] > before) & (end[:, None] > before)
    return Truth(
        at_risk=at_risk,
        event=at_risk & happened,
        happened=happened,
        waiting=~happened & (end[:, None] > r.grid),
        filled_s=r.seconds(first),
        filled=r.facts[rp.FILLED],
        quantity=r.day.notes[rp.QUANTITY, r.message],
        arrival_s=(r.day.ts_ns[r.message] - r.day.ts_ns[0]) / NS_PER_S,
    )


def answers_of(r: Replays, at: int, queue: bool) -> Answers:
    """Answers of the model `r.labels[at]`. Cells: 0 to 3 waiting behind nothing, up to its own
    size, three times that, more (always 0 for a model that knows no `queue`); then as named."""
    granted = r.filled[at] > 0
    before = np.column_stack([np.zeros(len(granted), dtype=bool), granted[:, :-1]])
    quantity = r.day.notes[rp.QUANTITY, r.message]
    ratio = r.front[at] / quantity[:, None]
    if not queue:
        ratio[:] = 0.0
    cell = np.digitize(ratio, [0.0, 1.0, 3.0], right=True)
    cell = np.where(granted, np.where(before, GRANTED_BEFORE, GRANTED_NOW), cell)
    front = r.front[at] / r.day.market.units.quantity
    return Answers(cell, front, granted, r.seconds(r.first[at]), r.filled[at, :, -1])


def score(
    fit: tuple[Answers, Truth], judge: tuple[Answers, Truth], base: np.ndarray, front: np.ndarray
) -> dict[str, Any]:
    """All scores of one model on the orders of `judge`.

    base : log-likelihood of each of those orders under the model to compare with. front (orders,
    horizons): what is truly ahead of them.
    """
    (early, early_truth), (late, truth) = fit, judge
    likelihood = likelihood_of(fit, judge)
    both = np.isfinite(late.granted_s) & np.isfinite(truth.filled_s)
    given, true = late.granted_s[both], truth.filled_s[both]
    median = float(np.median(true)) if both.any() else 0.0
    found: dict[str, Any] = {
        "log_likelihood": float(likelihood.mean()),
        "time_to_fill_ratio": float(np.median(given)) / median if median > 0 else None,
        "same_time_share": float(np.mean(given == true)) if both.any() else None,
        "quantity_gap": float((late.filled - truth.filled).sum() / truth.quantity.sum()),
        "horizons": {},
    }
    gain, error = sc.mean_with_error(likelihood - base, truth.arrival_s)
    found["log_likelihood_gain"], found["log_likelihood_gain_se"] = gain, error
    for name, seconds in JUDGED_S.items():
        g = HORIZONS_S.index(seconds)
        cells = [np.minimum(a.cell[:, g], GRANTED_BEFORE) for a in (early, late)]
        chance = sc.shares(cells[0], early_truth.happened[:, g], CELLS)[cells[1]]
        happened, granted = truth.happened[:, g], late.granted[:, g]
        gap, error = sc.mean_with_error(granted * 1.0 - happened, truth.arrival_s)
        found["horizons"][name] = {
            "true_rate": float(happened.mean()),
            "granted_rate": float(granted.mean()),
            "gap": gap,
            "gap_se": error,
            "wrong_share": sc.brier(granted, happened * 1.0),
            "brier": sc.brier(chance, happened * 1.0),
            "log_loss": float(-sc.log_likelihood(chance, happened).mean()),
            "calibration": sc.calibration(chance, happened * 1.0),
            "table": sc.granted_and_true(granted, happened),
            "ahead": ahead(late, truth, front, g),
        }
    return found


def ahead(late: Answers, truth: Truth, front: np.ndarray, g: int) -> dict[str, Any] | None:
    """Error of the quantity ahead (base units) of orders that still wait, in truth and here.

    bias : mean of said less true. exact_share : those that have it right. None: nobody waits.
    """
    both = truth.waiting[:, g] & ~late.granted[:, g] & (late.front[:, g] < UNKNOWN)
    if not both.any():
        return None
    error = late.front[both, g] - front[both, g]
    return {
        "orders": int(both.sum()),
        "bias": float(error.mean()),
        "mae": float(np.abs(error).mean()),
        "exact_share": float(np.mean(error == 0)),
    }


def likelihood_of(fit: tuple[Answers, Truth], judge: tuple[Answers, Truth]) -> np.ndarray:
    parts = [(a.cell, t.at_risk, t.event) for a, t in (fit, judge)]
    return sc.hazard_log_likelihood(parts[0], parts[1], CELLS)
