"""TakerCost: what a marketable order costs against the mid at its arrival, and how it is fitted.

Most of the cost is read off the book: the depth brought up to date by the quotes
(`MarketData.aligned`), less what public prints took since, walked by the order alone. On recorded
Binance futures that is the exact cost of 93 to 96 % of real orders. What it misses is modelled by
three terms, each of which stays at its prior until one's own fills say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching.alone import Walks, walks
from execkit.order_table import OrderTable, read_orders
from execkit.table_input import as_frame
from execkit.words import Side

TERMS = ("follow", "behind", "larger")
READ = ("ts_ns", "time", "symbol", "side", "quantity")
BLOCK_NS = 1_000 * NS_PER_MS
MIN_BLOCKS = 10
"""A term is estimated only where orders of this many separate seconds inform it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One term by least squares: value, standard error, and the seconds and orders behind it.

    `used` is what the model took: the prior, moved as far as the estimate lies beyond two standard
    errors from it, if that brings predictions nearer in the mean of the absolute errors as well.
    Value and error are NaN where too little informs the term (`MIN_BLOCKS`).
    """

    value: float
    standard_error: float
    blocks: int
    n: int
    used: float


@dataclass(frozen=True, kw_only=True)
class TakerCost:
    """Predicted cost = walk - follow * away + behind * beyond + larger * tick [if it sweeps].

    Parameters
    ----------
    follow : share of the distance `away` by which the price an order meets has followed a print
        of the other side that went through the displayed book (dimensionless). Prior 1: what is
        left of a sweeping limit order rests where its last print was, so the next order of the
        other side trades there, long before depth or quotes say so.
    behind : extra cost per unit of what the walk costs beyond the touch. Prior 0; negative where
        levels behind the touch hold more than they show, positive where they thin out.
    larger : extra cost in ticks of an order larger than what the touch shows. Prior 0.
    estimates : by term, empty for a model that was not fitted. n, span : orders it was fitted on
        (0 if not), first and last of their times in ns.

    When it lies: the book is known to the millisecond of its stamps, and orders within one
    millisecond of a cascade meet a book that no feed shows. Nothing is said about the impact that
    one's own order has on later ones. An order larger than the whole book is priced as far as the
    book goes. Off the recorded venue the terms are assumptions: fit them.
    """

    follow: float = 1.0
    behind: float = 0.0
    larger: float = 0.0
    estimates: Mapping[str, Estimate] = field(default_factory=lambda: MappingProxyType({}))
    n: int = 0
    span: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name in TERMS:
            if not np.isfinite(getattr(self, name)):
                raise InvalidInput(name, getattr(self, name), "use a finite number")

    def predict(self, orders: object, market: MarketData) -> np.ndarray:
        """Expected cost of each order in bps of the arrival mid, positive = paid; shape (orders,).

        `orders` has ``ts_ns`` (arrival at the venue, market events at that time included),
        ``symbol``, ``side`` and ``quantity``, sorted by time. `market` is as it was loaded: it is
        aligned here. NaN where there is no two-sided book yet. Raises `InvalidInput` for a bad row
        or a symbol without depth.
        """
        return self.of(features(orders, market))

    def of(self, known: pd.DataFrame) -> np.ndarray:
        """The prediction from `features` made before."""
        terms = _design(known) @ np.array([getattr(self, name) for name in TERMS])
        return np.asarray(known["walk_cost_bps"].to_numpy() + terms)

    @classmethod
    def fit(cls, orders: object, market: MarketData, prior: TakerCost | None = None) -> TakerCost:
        """The model for one's own fills: orders as in `predict`, with ``average_price`` paid.

        Orders without a price or a book are left out. Ordinary least squares of the cost that the
        walk misses, standard errors clustered by second (orders of one cascade are one event). A
        term moves off its prior only as far as it lies beyond two standard errors, and only if
        that lowers the mean absolute error too: most orders pay what the walk says to the last
        digit, and a few extreme ones must not spoil that for all.
        """
        known = features(orders, market)
        frame = _given(orders)
        if "average_price" not in frame:
            raise InvalidInput("columns", list(map(str, frame)), "fitting needs average_price")
        paid = known["sign"] * (frame["average_price"].to_numpy() / known["mid"] - 1.0) * 1e4
        return cls.fit_features(known, paid.to_numpy(), prior)

    @classmethod
    def fit_features(
        cls, known: pd.DataFrame, paid_cost_bps: np.ndarray, prior: TakerCost | None = None
    ) -> TakerCost:
        """`fit` from `features` and what the orders paid against their arrival mid, in bps."""
        base = prior or cls()
        x = _design(known)
        y = paid_cost_bps - known["walk_cost_bps"].to_numpy()
        good = np.isfinite(y) & np.isfinite(x).all(axis=1)
        ts = known["ts_ns"].to_numpy()[good]
        if not len(ts):
            raise InvalidInput("orders", len(known), "none has both a price paid and a book")
        start = np.array([getattr(base, name) for name in TERMS])
        found = _estimates(x[good], y[good], ts // BLOCK_NS, start)
        used = {name: one.used for name, one in found.items()}
        span = int(ts.min()), int(ts.max())
        fitted = MappingProxyType(found)
        return replace(base, **used, estimates=fitted, n=len(ts), span=span)

    def __reduce__(self) -> tuple[object, ...]:
        parts = {name: getattr(self, name) for name in (*TERMS, "n", "span")}
        return _revived, ({**parts, "estimates": dict(self.estimates)},)


def _revived(parts: dict[str, Any]) -> TakerCost:
    return TakerCost(**{**parts, "estimates": MappingProxyType(parts["estimates"])})


def features(orders: object, market: MarketData, *, aligned: bool = False) -> pd.DataFrame:
    """What is known of each order when it arrives, a row an order.

    `aligned` says that the market has been through `MarketData.aligned` and need not go again.

    ts_ns, sign (1 buy, -1 sell), mid; walk_cost_bps: the walk alone; beyond_cost_bps: its part
    behind the touch; away_bps: see `Walks.away`; tick_bps; sweeps: 1 if it is larger than the
    touch shows; displayed: quantity over that size.
    """
    given = _given(orders)
    frame = given[[name for name in READ if name in given]].assign(order_type="market")
    # two orders may be alike in all of these
    frame["client_order_id"] = [str(row) for row in range(len(frame))]
    table = read_orders(frame, market.symbols)
    data = market if aligned else market.aligned()
    out = np.full((len(table), 8), np.nan)
    for code, symbol in enumerate(table.symbols):
        rows = np.flatnonzero(table.symbol == code)
        out[rows] = _known(table, rows, data, symbol)
    names = ["sign", "mid", "walk_cost_bps", "beyond_cost_bps", "away_bps", "tick_bps"]
    known = pd.DataFrame(out, columns=[*names, "sweeps", "displayed"])
    known.insert(0, "ts_ns", table.ts_ns)
    return known


def _given(orders: object) -> pd.DataFrame:
    """The orders as a frame; a mapping of plain values is one order."""
    if isinstance(orders, Mapping):
        orders = {name: v if np.ndim(v) else [v] for name, v in orders.items()}
    return as_frame(orders)


def _known(table: OrderTable, rows: np.ndarray, data: MarketData, symbol: str) -> np.ndarray:
    is_buy = table.side[rows] == tuple(Side).index(Side.BUY)
    quantity = table.quantity[rows]
    found: Walks = walks(data, symbol, table.ts_ns[rows], is_buy, quantity)
    sign = np.where(is_buy, 1.0, -1.0)
    per_bps = 1e4 / found.mid
    return np.column_stack(
        [
            sign,
            found.mid,
            sign * (found.average - found.mid) * per_bps,
            sign * (found.average - found.touch) * per_bps,
            found.away * per_bps,
            found.tick * per_bps,
            quantity > found.shown,
            quantity / np.where(found.shown > 0, found.shown, np.nan),
        ]
    )


def _design(known: pd.DataFrame) -> np.ndarray:
    """Array (orders, terms): what one unit of each term costs, in bps."""
    return np.column_stack(
        [
            -known["away_bps"].to_numpy(),
            known["beyond_cost_bps"].to_numpy(),
            (known["sweeps"] * known["tick_bps"]).to_numpy(),
        ]
    )


def _estimates(
    x: np.ndarray, y: np.ndarray, block: np.ndarray, start: np.ndarray
) -> dict[str, Estimate]:
    """Least squares with errors clustered by block, and what each term becomes."""
    blocks = [len(np.unique(block[x[:, k] != 0])) for k in range(len(TERMS))]
    able = np.array(blocks) >= MIN_BLOCKS
    value, error = np.full(len(TERMS), np.nan), np.full(len(TERMS), np.nan)
    if able.any():
        part = x[:, able]
        rest = y - x[:, ~able] @ start[~able]
        inverse = np.linalg.pinv(part.T @ part)
        value[able] = inverse @ (part.T @ rest)
        score = part * (rest - part @ value[able])[:, None]
        _, code = np.unique(block, return_inverse=True)
        summed = np.zeros((code.max() + 1, part.shape[1]))
        np.add.at(summed, code, score)
        # few blocks understate the error: the usual correction, by those that inform the term
        few = np.array([n / (n - 1) for n in np.array(blocks)[able]])
        error[able] = np.sqrt(np.diag(inverse @ (summed.T @ summed) @ inverse) * few)
    out = {}
    for k, name in enumerate(TERMS):
        used = start.copy()
        used[k] = _moved(float(start[k]), float(value[k]), float(error[k]))
        if np.abs(y - x @ used).mean() > np.abs(y - x @ start).mean():
            used[k] = start[k]
        n = int(np.count_nonzero(x[:, k]))
        out[name] = Estimate(float(value[k]), float(error[k]), blocks[k], n, float(used[k]))
    return out


def _moved(prior: float, value: float, error: float) -> float:
    """The prior, moved to the estimate by the positive-part rule max(0, 1 - (2 se / gap)^2)."""
    gap = value - prior
    if not np.isfinite(gap) or gap == 0:
        return prior
    return prior + gap * max(0.0, 1.0 - (2.0 * error / gap) ** 2)
