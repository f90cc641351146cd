"""FillModel: what the market is assumed to give an order. The rules are in `execkit.models`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from execkit.errors import InvalidInput

Intrabar = Literal["pessimistic", "optimistic"]
QueueModel = Literal[
    "risk_averse", "power", "power2", "power3", "log", "log2", "prints_only", "pro_rata"
]


@dataclass(frozen=True, kw_only=True)
class FillModel:
    """A set of assumptions about fills, named so that results can say which they used.

    Parameters
    ----------
    name : shown in results and stored with each run.
    touch : a resting order can fill when a print or bar only reaches its price.
    queue : at its price it waits behind what was displayed when it arrived. Where no size is
        displayed (prints alone, bars) a mere touch then fills nothing.
    queue_model : what a level that shrinks without prints says about the quantity ahead of us:
        "risk_averse" nothing until the level is smaller than it; "power", "power2", "power3"
        (with `queue_power`, > 0), "log", "log2": the chance that what left stood behind us
        (hftbacktest's models); "prints_only": only prints and an emptied level move us forward;
        "pro_rata": no queue, prints are shared out by size. Only where `queue` is True.
    through_full : a print beyond its price fills it whole; else at most the print's quantity.
    prints_consume : public prints take from the displayed book until the level is shown afresh.
    participation : share of a bar's volume that our orders may take, (0, 1]; None = no cap.
    stop_slip : on bars, how far from the trigger to the bar's extreme a stop fills, 0 to 1.
    half_spread_bps : on bars, what a taker pays beyond the bar's price, in bps >= 0. A bar has no
        spread; at 0 taker costs are flattered by the half spread.
    intrabar : which of stop and limit comes first when one bar reaches both.
    ladder_levels : on quotes, how many slices of the displayed size one quote may give.

    Raises `InvalidInput` for values outside these ranges.
    """

    name: str
    touch: bool = True
    queue: bool = True
    queue_model: QueueModel = "risk_averse"
    queue_power: float = 1.0
    through_full: bool = False
    prints_consume: bool = True
    participation: float | None = 0.10
    stop_slip: float = 0.5
    half_spread_bps: float = 0.0
    intrabar: Intrabar = "pessimistic"
    ladder_levels: int = 50

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("name", self.name, "give the model a name")
        models = get_args(QueueModel)
        if self.queue_model not in models:
            raise InvalidInput("queue_model", self.queue_model, f"use one of {', '.join(models)}")
        if not (math.isfinite(self.queue_power) and 0 < self.queue_power <= 20):
            raise InvalidInput("queue_power", self.queue_power, "use a number above 0, at most 20")
        part = self.participation
        if part is not None and not (math.isfinite(part) and 0 < part <= 1):
            raise InvalidInput("participation", part, "use a share in (0, 1], or None for no cap")
        if not (math.isfinite(self.stop_slip) and 0 <= self.stop_slip <= 1):
            raise InvalidInput("stop_slip", self.stop_slip, "use a fraction from 0 to 1")
        if not (math.isfinite(self.half_spread_bps) and 0 <= self.half_spread_bps < 10_000):
            raise InvalidInput("half_spread_bps", self.half_spread_bps, "use bps from 0 to 10,000")
        if self.intrabar not in ("pessimistic", "optimistic"):
            raise InvalidInput("intrabar", self.intrabar, "use 'pessimistic' or 'optimistic'")
        if self.ladder_levels < 1:
            raise InvalidInput("ladder_levels", self.ladder_levels, "use a whole number >= 1")


OPTIMISTIC = FillModel(
    name="optimistic",
    queue=False,
    through_full=True,
    prints_consume=False,
    participation=1.0,
    stop_slip=0.0,
    intrabar="optimistic",
)
QUEUE = FillModel(name="queue")
PESSIMISTIC = FillModel(name="pessimistic", touch=False, stop_slip=1.0, ladder_levels=1)

BY_NAME = {model.name: model for model in (OPTIMISTIC, QUEUE, PESSIMISTIC)}


def fill_model(fill: str | FillModel) -> FillModel:
    """The model meant by `fill`: a FillModel, or "optimistic", "queue" or "pessimistic"."""
    if isinstance(fill, FillModel):
        return fill
    if isinstance(fill, str) and fill in BY_NAME:
        return BY_NAME[fill]
    if fill == "calibrated":
        fix = "needs a calibration made from your own fills, named by its id, and there is none: "
        raise InvalidInput("fill", fill, fix + f"use one of {sorted(BY_NAME)} or a FillModel")
    raise InvalidInput("fill", fill, f"use one of {sorted(BY_NAME)} or a FillModel")
