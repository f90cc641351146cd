"""Queue models: how much of a level's shrinking happened ahead of an order that waits there."""

from __future__ import annotations

import math

from execkit.kernels import kernel
from execkit.matching import state as st

# in the order of `models.fill.QueueModel`
RISK_AVERSE, POWER, POWER2, POWER3, LOG, LOG2, PRINTS_ONLY, PRO_RATA = range(8)


@kernel
def behind_probability(kind: int, power: float, front: float, back: float) -> float:
    """Chance that what left a level stood behind us, with `front` ahead and `back` behind, in
    base units (hftbacktest's probability queue models; the two logarithms depend on that unit)."""
    if front <= 0.0:
        return 1.0  # nobody is ahead who could have left
    if kind == POWER:
        return float(back**power / (back**power + front**power))
    if kind == POWER2:
        return float(back**power / (back + front) ** power)
    if kind == POWER3:
        return float(1.0 - (front / (front + back)) ** power)
    if kind == LOG:
        return math.log1p(back) / (math.log1p(back) + math.log1p(front))
    return math.log1p(back) / math.log1p(back + front)


@kernel
def after_update(
    kind: int, power: float, unit: float, front: int, seen: int, before: int, now: int
) -> int:
    """What is ahead of us once a level that showed `before` shows `now`.

    `seen` was printed there since it was last shown, and has left the front already. All are
    integers of 1 / unit base units; what is ahead is rounded up to one.
    """
    if kind == PRINTS_ONLY:
        return front if now > 0 else 0
    left = before - now - seen
    if kind in (RISK_AVERSE, PRO_RATA) or left <= 0 or front > before:
        return min(front, now)
    back = float(before - front)
    chance = behind_probability(kind, power, front / unit, back / unit)
    ahead = front - (1.0 - chance) * left + min(back - chance * left, 0.0)
    return int(min(max(0, math.ceil(ahead - 1e-9)), now))


@kernel
def update_front(c: st.Core, row: int, before: int, now: int) -> None:
    """The level of a resting order was shown with `now`, after `before`."""
    o = c.orders
    o[st.FRONT, row] = after_update(
        c.flags[st.QUEUE_KIND],
        c.floats[st.QUEUE_POWER],
        c.floats[st.UNIT],
        o[st.FRONT, row],
        o[st.SEEN, row],
        before,
        now,
    )
    o[st.SEEN, row] = 0
