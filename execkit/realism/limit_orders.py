"""Real resting orders against the simulator: would it have filled them, and when?

Orders that came at or near the touch are run again from their own arrival (see `realism.replay`)
under each queue model, under touch (optimistic) and penetration (pessimistic), and with the queue
known by order id, which bounds what any model can reach. An order that its owner canceled is taken
out at that message. One that was filled has no cancel, so it waits to the end of the window where
the model does not fill it. One whose level leaves the visible book is taken out there: nothing is
known of it from then on. Partial cancels do not change what is sent. "Filled" means the first
execution, and "by its end" all of the order's life.

What is fitted (the power of a model, the chances behind its answers) is fitted on orders that were
over before the middle of the recording; scores are of orders that came after it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from execkit.errors import InvalidData, InvalidInput
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel, QueueModel
from execkit.realism import replay as rp
from execkit.realism import scores as sc
from execkit.realism.departures import judge
from execkit.realism.limit_scores import (
    HORIZONS_S,
    JUDGED_S,
    Answers,
    Truth,
    answers_of,
    likelihood_of,
    score,
    truth_of,
)
from execkit.realism.recorded import Replays, near_touch, read_day, run_again
from execkit.sources import lobster
from execkit.sources.base import files_in

POWERS = (0.25, 0.5, 1.0, 2.0, 5.0)
POWERED = ("power", "power2", "power3")
BY_ID, TOUCH, PENETRATE, BASE = "by_id", "touch", "penetrate", "risk_averse"


def queue_models() -> dict[str, FillModel | None]:
    """Every model that is scored, by label. None: the queue by order id."""
    found: dict[str, FillModel | None] = {BY_ID: None, TOUCH: OPTIMISTIC, PENETRATE: PESSIMISTIC}
    for name in get_args(QueueModel):
        powers = POWERS if name in POWERED else (1.0,)
        for power in powers:
            label = f"{name} n={power:g}" if name in POWERED else name
            found[label] = replace(QUEUE, name=label, queue_model=name, queue_power=power)
    return found


def probability_models() -> list[FillModel]:
    """Those that state a chance of where a cancel was."""
    stated = (*POWERED, "log", "log2")
    return [m for m in queue_models().values() if m is not None and m.queue_model in stated]


def run(
    path: str | Path,
    *,
    symbol: str | None = None,
    orders: int = 20_000,
    levels: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """Score every model on the real orders of the recordings with order ids in `path`.

    orders : how many at most, drawn at random with `seed`. levels : only orders that came better
    than this level of their side (2: into the spread, at the touch, or between it and the next).
    Rates, gaps and shares are fractions, log-likelihoods natural logarithms per order; everything
    can be written as JSON (None: not determined). Keys: see `report`.

    Raises `InvalidInput` if nothing is there, and `InvalidData` for a path without a recording that
    tells whose order each message is about (LOBSTER pairs), or with too little to have two halves.
    """
    where = Path(path)
    if not where.exists():
        raise InvalidInput("path", str(where), "there is no such file or folder")
    if orders < 1 or levels < 1:
        raise InvalidInput("orders, levels", (orders, levels), "use numbers of at least 1")
    files = [file for file in files_in(where) if lobster.SOURCE.sniff(file)]
    if not files:
        raise InvalidData(
            f"{where} has no recording with order ids: give a LOBSTER pair of messages and book"
        )
    reports = []
    for recording in lobster.recordings(files, symbol):
        day = read_day(recording)
        message = near_touch(day, levels)
        if len(message) > orders:
            chosen = np.random.default_rng(seed).choice(len(message), orders, replace=False)
            message = message[np.sort(chosen)]
        reports.append(report(run_again(day, message, queue_models(), HORIZONS_S)))
    if not reports:
        raise InvalidInput("symbol", symbol, f"there is nothing of it in {where}")
    return {"kind": "limit_orders", "recordings": reports}


def halves(r: Replays) -> tuple[np.ndarray, np.ndarray]:
    """Orders that were over before the middle of the recording, and those that came after it."""
    ts = r.day.ts_ns
    middle = (ts[0] + ts[-1]) // 2
    over = ts[np.minimum(r.facts[rp.END] >> 1, len(ts) - 1)]
    early, late = over < middle, ts[r.message] >= middle
    for half in (early, late):
        if half.sum() < 2:
            raise InvalidData(
                f"of {len(r.message)} orders of {r.day.symbol} fewer than 2 were over in the first "
                "half of the recording, or came in the second: use more of them, or a longer one"
            )
    return early, late


def report(r: Replays) -> dict[str, Any]:
    """What `run` says of one recording.

    orders : how many, and how their lives ended. truth : how well the ids explain them. models :
    scores of the second half by label, for all orders and for those with others ahead on arrival.
    recommended : see `recommend`. flattery : see `flattery`. cancels : see `departures.judge`.
    """
    early, late = halves(r)
    truth = truth_of(r)
    answers = {
        label: answers_of(r, at, label not in (TOUCH, PENETRATE))
        for at, label in enumerate(r.labels)
    }
    chosen, front = recommend(answers, truth, early), answers[BY_ID].front
    found: dict[str, Any] = {}
    for name, among in (("all", late), ("queued", late & (r.facts[rp.AHEAD] > 0))):
        if among.sum() < 2:
            continue
        judged = truth.take(among)
        fits = {k: (a.take(early), truth.take(early)) for k, a in answers.items()}
        base = likelihood_of(fits[BASE], (answers[BASE].take(among), judged))
        for label, a in answers.items():
            scores = score(fits[label], (a.take(among), judged), base, front[among])
            found.setdefault(label, {})[name] = scores
    return {
        "symbol": r.day.symbol,
        "orders": counts(r, early, late),
        "horizons_s": JUDGED_S,
        "models": found,
        "recommended": chosen | {"second_half": brief(found[chosen["label"]], found[BASE])},
        "flattery": flattery(r, late),
        "cancels": judge(r, {m.name: m for m in probability_models()}, early, late),
    }


def counts(r: Replays, early: np.ndarray, late: np.ndarray) -> dict[str, Any]:
    facts = r.facts
    ended = np.bincount(facts[rp.HOW], minlength=4)
    return {
        "messages": len(r.day.ts_ns),
        "submitted": len(r.day.submissions),
        "run_again": len(r.message),
        "fitted_on": int(early.sum()),
        "scored": int(late.sum()),
        "canceled": int(ended[rp.CANCELED]),
        "filled_whole": int(ended[rp.COMPLETE]),
        "lost_from_view": int(ended[rp.UNSEEN]),
        "still_there": int(ended[rp.WINDOW]),
        "others_ahead_median": float(np.median(facts[rp.AHEAD]) / r.day.market.units.quantity),
        "executions_out_of_turn": int(facts[rp.OUT_OF_TURN].sum()),
    }


def recommend(answers: dict[str, Answers], truth: Truth, early: np.ndarray) -> dict[str, Any]:
    """The queue model for recordings without order ids, chosen on the first half alone.

    Best is the highest censored log-likelihood. The simplest that is within one standard error of
    it wins: rules without a parameter before those with one, in the order of `QueueModel`.
    """
    fitted = truth.take(early)
    found = {}
    for label, a in answers.items():
        if label not in (BY_ID, TOUCH, PENETRATE):
            own = (a.take(early), fitted)
            found[label] = likelihood_of(own, own)
    best = max(found, key=lambda label: float(found[label].mean()))
    for label in sorted(found, key=_simplicity):
        lag, error = sc.mean_with_error(found[best] - found[label], fitted.arrival_s)
        if lag <= (error or 0.0):
            break
    name, _, power = label.partition(" n=")
    return {
        "label": label,
        "queue_model": name,
        "queue_power": float(power or 1.0),
        "best_label": best,
        "lag_behind_best": lag,
        "lag_behind_best_se": error,
    }


def _simplicity(label: str) -> bool:
    return label.partition(" ")[0] in POWERED


def brief(model: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """By how much a model is better than the risk-averse queue, on the second half."""
    found = {"log_likelihood_gain": model["all"]["log_likelihood_gain"]}
    found["log_likelihood_gain_se"] = model["all"]["log_likelihood_gain_se"]
    for name in JUDGED_S:
        own, other = (m["all"]["horizons"][name] for m in (model, base))
        found[f"wrong_share_{name}"] = own["wrong_share"]
        found[f"wrong_share_less_{BASE}_{name}"] = own["wrong_share"] - other["wrong_share"]
    return found


def flattery(r: Replays, among: np.ndarray) -> dict[str, Any]:
    """What touch fills promise beyond the truth, and what of it each queue model takes away.

    false_share : of the fills a model granted by the order's end, those that did not happen.
    early_share : of the orders truly filled, those it filled sooner than they were. quantity_ratio
    : quantity it filled per quantity truly filled. removed_share : of the false fills of touch,
    those it did not grant.
    """
    first, end = r.facts[rp.FIRST_FILL], r.facts[rp.END]
    true, quantity = first <= end, float(r.facts[rp.FILLED][among].sum())
    false_touch = among & (r.first[r.labels.index(TOUCH)] <= end) & ~true
    found: dict[str, Any] = {}
    for at, label in enumerate(r.labels):
        granted = r.first[at] <= end
        fills, filled = int((among & granted).sum()), int((among & true).sum())
        found[label] = {
            "granted": fills,
            "false_share": _part(int((among & granted & ~true).sum()), fills),
            "early_share": _part(int((among & true & (r.first[at] < first)).sum()), filled),
            "quantity_ratio": _part(float(r.filled[at, among, -1].sum()), quantity),
            "removed_share": _part(int((false_touch & ~granted).sum()), int(false_touch.sum())),
        }
    return found


def _part(some: float, whole: float) -> float | None:
    return some / whole if whole else None
