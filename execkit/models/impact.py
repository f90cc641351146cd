"""Impact: what our earlier fills do to the prices of later fills of the same parent order.

`simulate(..., impact=...)` matches the orders in the market as it was recorded and then moves fill
prices, always against the order: see `execkit.pressure`. The default is no impact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from execkit.errors import InvalidInput
from execkit.models.base import OwnFills

Decay = Callable[[np.ndarray], np.ndarray]
"""Weight of a fill after so many ns (float64, >= 0), 1 or whatever it is at 0."""

PerSymbol = float | Mapping[str, float]
"""One number for all symbols, or one by symbol."""

_GRID = 129
_STEPS_NS = tuple(10.0**power for power in range(6, 14))  # 1 ms to 2.8 h


@dataclass(frozen=True, kw_only=True)
class SquareRootImpact:
    """I(Q) = prefactor * sigma * (Q / daily_volume) ** exponent: the square-root law.

    prefactor : Y, of order one; no published table of it for crypto could be verified, so calibrate
        it. exponent : delta in (0, 1]; 0.489 +- 0.0015 by stock on the Tokyo exchange (Sato and
        Kanazawa), 0.5 over four decades of size in Bitcoin (Donier and Bonart). daily_volume : what
        the market trades in a day, in base units (contracts times contract size where inverse).
        sigma : volatility of a day as a fraction (0.03 = 3 %). Both one number, or one by symbol.

    A fill meets the market displaced by I of the net quantity that its parent filled at earlier
    stamps, so the last fill meets the peak, and the average that an order in many equal slices pays
    is I / (1 + exponent) of the whole quantity: 2/3 of the peak at 0.5.

    When it lies: it has no time, so impact does not decay while the parent is at work; it knows no
    other parents; a handful of fills pays less than the average, for each meets only what came
    before it.
    """

    prefactor: float
    daily_volume: PerSymbol
    sigma: PerSymbol
    exponent: float = 0.5

    def __post_init__(self) -> None:
        _positive(self.prefactor, "prefactor")
        if not (_number(self.exponent) and 0 < self.exponent <= 1):
            raise InvalidInput("exponent", self.exponent, "use a number in (0, 1], e.g. 0.5")
        for name in ("daily_volume", "sigma"):
            _positive_each(getattr(self, name), name)

    def peak_bps(self, quantity: float, symbol: str | None = None) -> float:
        """Displacement in bps after `quantity` (its sign does not matter)."""
        volume, sigma = (_of(v, symbol, n) for v, n in self._market())
        return 1e4 * self.prefactor * sigma * (abs(quantity) / volume) ** self.exponent

    def average_bps(self, quantity: float, symbol: str | None = None) -> float:
        """What an order worked at a constant rate pays on average: peak / (1 + exponent)."""
        return self.peak_bps(quantity, symbol) / (1 + self.exponent)

    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        """See `ImpactLike`."""
        from execkit.models.running import earlier

        net = earlier(fills.parent, fills.ts_ns, fills.signed, 0.0)
        volume, sigma = (_by_row(v, fills, n) for v, n in self._market())
        scale = 1e4 * self.prefactor * sigma
        return np.sign(net) * scale * (np.abs(net) / volume) ** self.exponent

    def _market(self) -> tuple[tuple[PerSymbol, str], ...]:
        return (self.daily_volume, "daily_volume"), (self.sigma, "sigma")


@dataclass(frozen=True)
class ExponentialDecay:
    """G(t) = 2 ** (-t / half_life_ns)."""

    half_life_ns: float

    def __post_init__(self) -> None:
        _positive(self.half_life_ns, "half_life_ns")

    @property
    def rate(self) -> float:
        """Per ns."""
        return math.log(2) / self.half_life_ns

    def __call__(self, age_ns: np.ndarray) -> np.ndarray:
        return np.exp(-self.rate * age_ns)


@dataclass(frozen=True)
class PowerDecay:
    """G(t) = (1 + t / scale_ns) ** -exponent; 0.5 to 0.8 for the transient part (Bacry et al.)."""

    scale_ns: float
    exponent: float

    def __post_init__(self) -> None:
        _positive(self.scale_ns, "scale_ns")
        _positive(self.exponent, "exponent")

    def __call__(self, age_ns: np.ndarray) -> np.ndarray:
        return np.asarray((1 + age_ns / self.scale_ns) ** -self.exponent)


@dataclass(frozen=True, kw_only=True)
class PropagatorImpact:
    """Transient impact (Bouchaud et al. 2004): the sum of q / daily_volume * amplitude * G(t - s)
    over the parent's fills at earlier stamps s.

    amplitude_bps : what a day's volume would displace at once; linear, so 1 % of it displaces a
        hundredth. daily_volume : as in `SquareRootImpact`. kernel : `ExponentialDecay`,
        `PowerDecay` or a function of an array of ages in ns.

    Impact is linear in size: with exponential decay nothing else is free of price manipulation
    (Gatheral 2010), and permanent impact must be linear (Huberman and Stanzl 2004). The kernel must
    be positive semidefinite, or some round trip would earn money: the matrix G(|t_i - t_j|) on
    129 evenly spaced times, 1 ms to 2.8 h apart, must have no eigenvalue below 0 (within 1e-9 of
    the largest); `InvalidInput` otherwise.

    When it lies: linear impact is too small for small orders and too large for large ones; other
    parents' fills do not count.
    """

    amplitude_bps: float
    daily_volume: PerSymbol
    kernel: Decay

    def __post_init__(self) -> None:
        _positive(self.amplitude_bps, "amplitude_bps")
        _positive_each(self.daily_volume, "daily_volume")
        if not callable(self.kernel):
            raise InvalidInput("kernel", self.kernel, "pass ExponentialDecay(half_life_ns=...)")
        require_positive_semidefinite(self.kernel)

    def displacement_bps(self, fills: OwnFills) -> np.ndarray:
        """See `ImpactLike`. Time linear in the fills for `ExponentialDecay`; for other kernels it
        grows with the square of a parent's fills."""
        add = self.amplitude_bps * fills.signed / _by_row(self.daily_volume, fills, "daily_volume")
        if isinstance(self.kernel, ExponentialDecay):
            from execkit.models.running import earlier

            return earlier(fills.parent, fills.ts_ns, add, self.kernel.rate)
        out = np.zeros(len(add))
        edges = np.flatnonzero(np.diff(fills.parent, prepend=-1, append=-1))
        for start, end in pairwise(edges.tolist()):
            ts, own = fills.ts_ns[start:end], add[start:end]
            for row in range(1, end - start):  # a row at a time: memory stays linear
                before = int(np.searchsorted(ts, ts[row], side="left"))
                weight = self.kernel((ts[row] - ts[:before]).astype(float))
                out[start + row] = float(own[:before] @ weight)
        return out


def require_positive_semidefinite(kernel: Decay) -> None:
    """Raise `InvalidInput` for a decay that would let a round trip earn money; see
    `PropagatorImpact`."""
    for step in _STEPS_NS:
        weight = np.asarray(kernel(step * np.arange(_GRID)), dtype=float)
        if weight.shape != (_GRID,) or not np.isfinite(weight).all():
            fix = "must give one finite weight an age"
            raise InvalidInput("kernel", kernel, fix)
        lag = np.abs(np.subtract.outer(np.arange(_GRID), np.arange(_GRID)))
        eigen = np.linalg.eigvalsh(weight[lag])
        if eigen[0] < -1e-9 * abs(eigen).max():
            fix = (
                f"is not positive semidefinite: on times {step / 1e9:g} s apart its least "
                f"eigenvalue is {eigen[0]:.3g}; use a decay that falls ever more slowly"
            )
            raise InvalidInput("kernel", kernel, fix)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: object, name: str) -> None:
    if not (_number(value) and value > 0):  # type: ignore[operator]
        raise InvalidInput(name, value, "use a finite number > 0")


def _positive_each(value: object, name: str) -> None:
    for each in value.values() if isinstance(value, Mapping) else (value,):
        _positive(each, name)


def _of(value: PerSymbol, symbol: str | None, name: str) -> float:
    if not isinstance(value, Mapping):
        return float(value)
    if symbol is None or symbol not in value:
        raise InvalidInput(name, symbol, f"is not given for this symbol; known: {sorted(value)}")
    return float(value[symbol])


def _by_row(value: PerSymbol, fills: OwnFills, name: str) -> np.ndarray:
    present = np.unique(fills.symbol)
    table = np.full(len(fills.symbols), np.nan)
    for code in present:
        table[code] = _of(value, fills.symbols[code], name)
    return table[fills.symbol]
