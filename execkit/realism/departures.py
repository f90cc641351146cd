"""Who left a queue: cancels seen by real orders that waited there, ahead of them or behind.

With order ids it is known of every cancel at an order's price whether it stood ahead. The queue
models state a chance for that and nothing else, so this judges them directly, on far more events
than there are fills. Cancels are left out where there is nothing to guess: nobody ahead, or nobody
behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from execkit.kernels import entry
from execkit.matching.queues import behind_probability
from execkit.models.fill import FillModel, QueueModel
from execkit.realism import replay as rp
from execkit.realism import scores as sc
from execkit.realism.recorded import Replays


@dataclass(frozen=True, slots=True, eq=False)
class Departures:
    """One entry a cancel and order that saw it: position of the order, sizes before, who left."""

    order: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    was_behind: np.ndarray


def departures(r: Replays) -> Departures:
    """The cancels of others that each order saw until it was canceled, filled or lost from view."""
    facts = r.facts
    last = (np.minimum(facts[rp.END] + 1, facts[rp.ALL_FILLED])) >> 1
    last = np.minimum(last, len(r.day.ts_ns) - 1)
    found = np.zeros((4, 0), dtype=np.int64)
    for _ in range(2):  # the first pass only counts
        scratch = np.full(r.day.orders, -1, dtype=np.int64)
        n = watch(r.day.notes, r.message, last, facts[rp.AHEAD], scratch, found)
        if n > found.shape[1]:
            found = np.zeros((4, n), dtype=np.int64)
    return Departures(found[0], found[1], found[2], found[3] > 0)


@entry
def watch(
    notes: np.ndarray,
    message: np.ndarray,
    last: np.ndarray,
    shown: np.ndarray,
    stamp: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write what fits into `out` (rows as in `Departures`); returns how many there are."""
    n = 0
    for k in range(len(message)):
        me = message[k]
        side, price, own = notes[rp.SIDE, me], notes[rp.AT, me], notes[rp.ORDER, me]
        ahead, behind = shown[k], 0
        for row in range(me + 1, last[k] + 1):
            what, who, q = notes[rp.TYPE, row], notes[rp.ORDER, row], notes[rp.QUANTITY, row]
            if notes[rp.SIDE, row] != side or notes[rp.AT, row] != price or who == own:
                continue
            if what == rp.ADD:
                stamp[who] = me
                behind += q
            elif rp.REDUCE <= what <= rp.EXECUTE:
                late = stamp[who] == me
                if what != rp.EXECUTE and ahead > 0 and behind > 0:
                    if n < out.shape[1]:
                        out[0, n], out[1, n], out[2, n], out[3, n] = k, ahead, behind, late
                    n += 1
                if late:
                    behind -= q
                else:
                    ahead = max(0, ahead - q)
    return n


@entry
def chances(
    kind: int, power: float, unit: float, ahead: np.ndarray, behind: np.ndarray, out: np.ndarray
) -> None:
    """The chance that what left stood behind, as `matching.queues` has it."""
    for i in range(len(out)):
        out[i] = behind_probability(kind, power, ahead[i] / unit, behind[i] / unit)


def judge(
    r: Replays, models: dict[str, FillModel], early: np.ndarray, late: np.ndarray
) -> dict[str, Any]:
    """Scores of the models that state a chance, on cancels that the orders of `late` saw.

    always_behind : what the risk-averse queue assumes. one_share : the share of the first half,
    whatever the sizes: a model below it in Brier or log loss knows something.
    """
    seen = departures(r)
    scored, fitted = late[seen.order], early[seen.order]
    happened = seen.was_behind * 1.0
    if not scored.any() or not fitted.any():
        return {"scored": int(scored.sum()), "models": {}}
    share = sc.shares(np.zeros(int(fitted.sum()), dtype=np.int64), happened[fitted], 1)[0]
    said = {"always_behind": np.ones(len(happened)), "one_share": np.full(len(happened), share)}
    names = list(get_args(QueueModel))
    for label, model in models.items():
        said[label] = np.empty(len(happened))
        unit, kind = float(r.day.market.units.quantity), names.index(model.queue_model)
        chances(kind, float(model.queue_power), unit, seen.ahead, seen.behind, said[label])
    found = {}
    for label, p in said.items():
        found[label] = {
            "chance": float(p[scored].mean()),
            "brier": sc.brier(p[scored], happened[scored]),
            "log_loss": _log_loss(p[scored], happened[scored]),
            "log_loss_first_half": _log_loss(p[fitted], happened[fitted]),
        }
    return {
        "scored": int(scored.sum()),
        "behind_share": float(happened[scored].mean()),
        "models": found,
    }


def _log_loss(p: np.ndarray, happened: np.ndarray) -> float | None:
    """None where something happened that was said to be impossible."""
    loss = -float(sc.log_likelihood(p, happened).mean())
    return loss if np.isfinite(loss) else None
