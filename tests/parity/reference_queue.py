"""The queue models of section 4, written down a second time."""

from __future__ import annotations

import math

from execkit.models.fill import FillModel


def ahead(model: FillModel, front: float, seen: int, before: int, size: int, unit: float) -> float:
    """Q: what is ahead once a level that showed `before` shows `size`."""
    if model.queue_model == "prints_only":
        return front if size else 0
    gone = before - size - seen
    if model.queue_model in ("risk_averse", "pro_rata") or gone <= 0 or front > before:
        return min(front, size)
    behind = before - front
    stood_behind = chance(model, front / unit, behind / unit)
    moved = front - (1 - stood_behind) * gone + min(behind - stood_behind * gone, 0)
    return min(max(0, math.ceil(moved - 1e-9)), size)


def chance(model: FillModel, front: float, behind: float) -> float:
    """That what left a level stood behind us."""
    n = model.queue_power
    if front == 0:
        return 1.0
    if model.queue_model == "power":
        return behind**n / (behind**n + front**n)
    if model.queue_model == "power2":
        return behind**n / (behind + front) ** n
    if model.queue_model == "power3":
        return 1 - (front / (front + behind)) ** n
    together = math.log1p(behind) + math.log1p(front)
    return math.log1p(behind) / (
        together if model.queue_model == "log" else math.log1p(behind + front)
    )


def pro_rata_share(offered: int, own: int, others: int) -> int:
    """What of a print falls to an order beside `others`; an order that wants nothing is asked."""
    return int(float(offered) * float(own) / float(own + others)) if own else offered
