"""What the simulator asks of a latency, a fee and an impact model: protocols, users' own included.

Each has a check in `execkit.models.checks` that a class of one's own passes before it is used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

Leg = Literal["entry", "cancel", "response", "feed"]
LEGS: tuple[Leg, ...] = get_args(Leg)


@runtime_checkable
class LatencyLike(Protocol):
    """How long a message is under way."""

    def delay(
        self, leg: Leg, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        """Delay in ns, int64, shape of `rows`.

        leg : "entry" from us to the matching engine; "cancel" the same for a cancel; "response"
            from the matching engine to us; "feed" for market data, from the venue to us.
        rows : positions of the orders in their table. ts_ns : when each message set out, on the
            clock of its sender; for "feed" the moment of the decision that looks at the data.
        Must depend on (seed, leg, row, ts_ns) of each element alone. A negative entry or cancel
        says that the venue did not take the request, and that we know after that many ns.
        """
        ...


@runtime_checkable
class FeeLike(Protocol):
    """What fills are charged. `FeeModel` has all of it; a class of one's own may derive from it."""

    @property
    def window_ns(self) -> int: ...

    @property
    def start_volume(self) -> float: ...

    def volume_before(self, ts_ns: np.ndarray, notional: np.ndarray) -> np.ndarray:
        """Quote volume that sets the tier of each fill, from the fills before it alone."""
        ...

    def charge(
        self,
        notional: np.ndarray,
        base_value: np.ndarray,
        is_maker: np.ndarray,
        volume: np.ndarray,
        *,
        inverse: bool = False,
    ) -> np.ndarray:
        """Fee of each fill, float64 of shape (n,), positive = paid, of that fill alone."""
        ...

    def currency_of(self, base: str, quote: str, *, inverse: bool = False) -> str:
        """Name of the fee currency for an instrument."""
        ...

    def in_settlement(self) -> FeeLike:
        """The same fees, charged in the currency in which the instrument settles."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OwnFills:
    """Fills as an impact model sees them, sorted by parent and, within it, by time. Shape (n,).

    parent : codes that do not fall; a parent is of one symbol. ts_ns : int64. symbol : codes into
    `symbols`. signed : quantity, positive = bought, in base units (inverse: in quote units).
    price : as matched.
    """

    parent: np.ndarray
    ts_ns: np.ndarray
    symbol: np.ndarray
    symbols: tuple[str, ...]
    signed: np.ndarray
    price: np.ndarray


@runtime_checkable
class ImpactLike(Protocol):
    """How far our earlier fills have moved the market."""

    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        """Move of the market at each fill, in bps of its price, float64 of shape (n,), positive =
        up; caused by the fills of the same parent at earlier stamps, and by nothing else."""
        ...


def params_of(model: object) -> Any:
    """What a run keeps of a model, as plain JSON: `model.params()`, a dataclass's fields, or its
    name."""
    if model is None:
        return None
    told = getattr(model, "params", None)
    if callable(told):
        return told()
    if is_dataclass(model) and not isinstance(model, type):
        return json.loads(json.dumps(asdict(model), default=str))
    return {"model": type(model).__qualname__}
