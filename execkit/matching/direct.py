"""Direct answers: orders whose fate can be looked up in an index of the market, without a replay.

Each way looks at the orders of one symbol under one model. It gives exactly what the event loop
would give, or None where it cannot promise that, and then the event loop runs. A module of ways is
loaded only when its fidelity is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from execkit.matching.outcome import Found
from execkit.models.fill import FillModel
from execkit.request import Part, Request

Way = Callable[[Request, Part, FillModel, float], Found | None]

_HOMES = {"bars": "direct_bars", "depth": "direct_book", "quotes": "direct_book"}
"""By fidelity, the module whose function `answer` is the way."""


def answer(request: Request, part: Part, model: FillModel, position: float) -> Found | None:
    """What became of one symbol's orders, or None if only the event loop can tell.

    position : signed quantity held at the start, in base units (contracts where it trades in them).
    """
    home = _HOMES.get(part.market.fidelity)
    if home is None:
        return None
    way: Way = import_module(f"execkit.matching.{home}").answer
    return way(request, part, model, position)
