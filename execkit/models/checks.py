"""Conformance: what the simulator relies on in a model, as checks to run on a class of one's own.

Each check returns nothing, or raises `PropertyBroken`, which names the property and shows the
smallest thing that broke it. A check samples; it is evidence, not proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from execkit.errors import PropertyBroken
from execkit.models.base import LEGS, FeeLike, ImpactLike, LatencyLike, Leg, OwnFills
from execkit.models.fill import FillModel

if TYPE_CHECKING:
    import pandas as pd

    from execkit.market import MarketData

_DAY_NS = 86_400_000_000_000
_START_NS = 1_700_000_000_000_000_000


def check_latency_model(model: LatencyLike, *, ts_ns: np.ndarray | None = None) -> None:
    """Check that delays are whole ns, never negative where a message must arrive, and depend on
    (seed, leg, row, ts_ns) of each element alone.

    ts_ns : int64 times at which to ask; default two days of the year 2023, every 97 seconds.
    """
    _is(model, LatencyLike, "a latency model has delay(leg, rows, seed, ts_ns)")
    at = np.arange(_START_NS, _START_NS + 2 * _DAY_NS, 97_000_000_000) if ts_ns is None else ts_ns
    rows = np.arange(len(at))
    for leg in LEGS:
        whole = model.delay(leg, rows, 7, at)
        told = f"delay({leg!r}, ...)"
        _column(whole, len(rows), np.int64, f"{told} is an int64 array, one value a row")
        if leg in ("response", "feed") and (whole < 0).any():
            row = int(np.argmax(whole < 0))
            _broken("answers and market data arrive after they are sent", f"{told} gave "
                    f"{whole[row]} for row {row}")  # fmt: skip

        def ask(own: np.ndarray, leg: Leg = leg) -> np.ndarray:
            return model.delay(leg, rows[own], 7, at[own])

        _alone(ask, whole, f"row of {told}")
        _same(whole, model.delay(leg, rows, 7, at), f"the same seed gives the same {told}")
    if len(model.delay("entry", rows[:0], 7, at[:0])):
        _broken("no rows take no delays", "delay of no rows gave some")


def check_fee_model(model: FeeLike) -> None:
    """Check that a fee is a finite number, of its own fill alone, linear in size within a tier, in
    a named currency; and that the volume of a tier counts earlier fills only and never falls below
    the start."""
    _is(model, FeeLike, "a fee model has what execkit.models.base.FeeLike lists")
    rng = np.random.default_rng(5)
    n = 200
    ts = np.sort(rng.integers(0, 60, n)) * _DAY_NS + _START_NS
    notional = rng.integers(1, 10**6, n) / 4.0
    maker = rng.random(n) < 0.5
    volume = model.volume_before(ts, notional)
    _column(volume, n, np.float64, "volume_before(...) is a float64 array, one value a fill")
    if (volume < model.start_volume - 1e-6).any():
        row = int(np.argmin(volume))
        _broken("volume_before is at least start_volume", f"fill {row} has {volume[row]}")
    for cut in (1, 7, n // 2):
        _close(model.volume_before(ts[:cut], notional[:cut]), volume[:cut],
               "volume_before counts earlier fills only: cutting later ones changes nothing",
               )  # fmt: skip
    for inverse in (False, True):

        def charge(own: np.ndarray, scale: float = 1.0, inverse: bool = inverse) -> np.ndarray:
            value = notional[own] * scale
            return model.charge(value, value / 50.0, maker[own], volume[own], inverse=inverse)

        whole = charge(np.arange(n))
        _column(whole, n, np.float64, "charge(...) is a float64 array, one value a fill")
        if not np.isfinite(whole).all():
            row = int(np.argmin(np.isfinite(whole)))
            _broken("a fee is a finite number", f"fill {row} was charged {whole[row]}")
        _alone(charge, whole, "fill's fee")
        _close(charge(np.arange(n), 2.0), 2 * whole, "twice the notional is charged twice the fee")
        settled = model.in_settlement().currency_of("BTC", "USD", inverse=inverse)
        if settled != ("BTC" if inverse else "USD"):
            _broken("in_settlement charges in the settlement currency", f"it charged in {settled}")
        if not model.currency_of("BTC", "USD", inverse=inverse):
            _broken("a fee has a currency", "currency_of gave an empty name")


def check_impact_model(model: ImpactLike, *, symbols: tuple[str, ...] = ("BTCUSDT",)) -> None:
    """Check that impact is finite, nothing before the first fill, caused by earlier stamps of the
    same parent alone, symmetric in buying and selling, and in the direction of one-sided orders.

    symbols : names for which the model knows what it needs.
    """
    _is(model, ImpactLike, "an impact model has displacement_bps(fills)")
    fills = _drawn_fills(symbols)
    whole = model.displacement_bps(fills)
    _column(whole, len(fills.ts_ns), np.float64, "displacement_bps is float64, one value a fill")
    if not np.isfinite(whole).all():
        row = int(np.argmin(np.isfinite(whole)))
        _broken("a displacement is a finite number", f"fill {row} got {whole[row]}")
    first = np.array([fills.ts_ns[i] == fills.ts_ns[fills.parent == p].min()
                      for i, p in enumerate(fills.parent)])  # fmt: skip
    if whole[first].any():
        row = int(np.flatnonzero(first & (whole != 0))[0])
        _broken("nothing is displaced at a parent's first stamp", f"fill {row} got {whole[row]}")
    for code in np.unique(fills.parent):
        own = fills.parent == code
        alone = model.displacement_bps(_only(fills, own))
        _close(alone, whole[own], f"parents do not interact (parent {code} alone, and among all)")
        end = np.median(fills.ts_ns[own])
        early = own & (fills.ts_ns <= end)
        _close(
            model.displacement_bps(_only(fills, early)),
            whole[early],
            f"later fills change nothing (parent {code} cut at its median time)",
        )
    mirror = OwnFills(
        fills.parent, fills.ts_ns, fills.symbol, fills.symbols, -fills.signed, fills.price
    )
    _close(model.displacement_bps(mirror), -whole, "selling displaces as buying does, downwards")
    buys = OwnFills(
        fills.parent, fills.ts_ns, fills.symbol, fills.symbols, abs(fills.signed), fills.price
    )
    up = model.displacement_bps(buys)
    if (up < 0).any():
        row = int(np.argmin(up))
        _broken("buying never moves the market down", f"fill {row} got {up[row]} bps")


def check_fill_model(model: FillModel, *, streams: int = 12, seed: int = 0) -> None:
    """Check S1, S2 and S5 on small drawn markets of each fidelity: cutting the data leaves earlier
    fills unchanged; no order gets more than it asked, or a price worse than its limit, and prints
    alone and bars give no more than they had; the same call gives the same fills.

    streams : how many markets of each fidelity. seed : of the draw.
    """
    from execkit.models.drawn import FIDELITIES, drawn, run

    for kind in FIDELITIES:
        for number in range(streams):
            market, orders = drawn(kind, seed * 1_000 + number)
            told = f"{kind} stream {number} of seed {seed}"
            fills = run(orders, market, model)
            if not fills.equals(run(orders, market, model)):
                _broken("S5: the same call gives the same fills", told)
            _bounds(orders, fills, told)
            _enough(market, kind, fills, model, told)
            end = int(market.tables[kind]["ts_ns"][len(market.tables[kind]) * 2 // 3])
            part = market.select(end_ns=end)
            last = int(part.tables[kind]["ts_ns"][-1])
            early = run(orders[orders["ts_ns"] <= last], part, model)
            a, b = (f[f["venue_ts_ns"] < last].reset_index(drop=True) for f in (fills, early))
            if not a.equals(b):
                one, two = (list(f.itertuples(index=False, name=None)) for f in (a, b))
                row = next((i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y),
                           min(len(one), len(two)))  # fmt: skip
                _broken("S1: cutting the data leaves earlier fills unchanged",
                        f"fill {row} of {told}, cut at {last}, changed")  # fmt: skip


def _bounds(orders: pd.DataFrame, fills: pd.DataFrame, told: str) -> None:
    """S2 of each order."""
    asked: dict[str, Any] = {str(order.client_order_id): order for order in orders.itertuples()}
    got: dict[str, float] = {}
    row: Any
    for row in fills.itertuples():
        name = str(row.client_order_id)
        order = asked[name]
        got[name] = got.get(name, 0.0) + row.quantity
        if got[name] > order.quantity * (1 + 1e-9):
            _broken("S2: never more than the order asked", f"order {name} of {told} asked for "
                    f"{order.quantity} and got {got[name]}")  # fmt: skip
        sign = 1 if order.side == "buy" else -1
        if sign * (row.price - order.price) > 1e-9 * row.price:
            _broken("S2: never worse than the limit", f"order {name} of {told} has the limit "
                    f"{order.price} and got {row.price}")  # fmt: skip


def _enough(
    market: MarketData, kind: str, fills: pd.DataFrame, model: FillModel, told: str
) -> None:
    """S2 of the market: of prints alone and of bars, which give their quantity once."""
    table = market.tables[kind]
    ts = fills["venue_ts_ns"].to_numpy()
    if kind == "prints" and not model.through_full:
        stamps, there = table["ts_ns"], table["quantity"]
        what = "S2: a print gives at most its quantity"
    elif kind == "bars" and model.participation is not None:
        stamps, there = table["ts_ns"], table["volume"] * model.participation
        what = "S2: a bar gives at most the model's share of its volume"
    else:
        return
    at = np.searchsorted(stamps, ts, side="right") - 1
    given = np.bincount(at, fills["quantity"], minlength=len(there))
    over = np.flatnonzero(given > there + 1e-9)
    if len(over):
        row = int(over[0])
        _broken(what, f"{told} gave {given[row]} where there was {there[row]}, row {row}")


def _drawn_fills(symbols: tuple[str, ...]) -> OwnFills:
    """Three parents: buys in a row, sells with equal stamps, and a mixture."""
    rng = np.random.default_rng(3)
    n = 20
    parent = np.repeat([0, 1, 2], n)
    step = rng.integers(1, 10**10, 3 * n)
    step[n : 2 * n : 3] = 0
    ts = np.concatenate([_START_NS + np.cumsum(step[i * n : (i + 1) * n]) for i in range(3)])
    sign = np.concatenate([np.ones(n), -np.ones(n), rng.choice([-1.0, 1.0], n)])
    return OwnFills(
        parent=parent,
        ts_ns=ts,
        symbol=parent % len(symbols),
        symbols=symbols,
        signed=sign * rng.integers(1, 50, 3 * n) / 1000,
        price=30_000 + rng.integers(-500, 500, 3 * n) / 10,
    )


def _only(fills: OwnFills, own: np.ndarray) -> OwnFills:
    columns = (fills.parent[own], fills.ts_ns[own], fills.symbol[own])
    return OwnFills(*columns, fills.symbols, fills.signed[own], fills.price[own])


def _is(model: object, kind: type, what: str) -> None:
    if not isinstance(model, kind):
        _broken(what, f"{type(model).__name__} does not")


def _column(values: object, n: int, dtype: type, what: str) -> None:
    if not isinstance(values, np.ndarray) or values.shape != (n,) or values.dtype != dtype:
        found = [getattr(values, name, None) for name in ("dtype", "shape")]
        _broken(
            what, f"found a {type(values).__name__} of dtype and shape {found}, wanted {n} rows"
        )


def _alone(ask: Callable[[np.ndarray], np.ndarray], whole: np.ndarray, what: str) -> None:
    """Every element comes out the same whatever is asked beside it, and in any order."""
    shuffled = np.random.default_rng(1).permutation(len(whole))
    for own in (shuffled, shuffled[:1], shuffled[: len(whole) // 3]):
        found = ask(own)
        if not np.array_equal(found, whole[own]):
            at = int(np.argmax(found != whole[own])) if found.shape == own.shape else 0
            row = int(own[at])
            example = f"row {row} gave {whole[row]} among all and another value among {len(own)}"
            _broken(f"each {what} depends on itself alone", example)


def _same(one: np.ndarray, two: np.ndarray, what: str) -> None:
    if not np.array_equal(one, two):
        row = int(np.argmax(one != two))
        _broken(what, f"row {row} gave {one[row]}, then {two[row]}")


def _close(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    if not np.allclose(found, wanted, rtol=1e-9, atol=1e-9):
        row = int(np.argmax(abs(found - wanted)))
        _broken(what, f"fill {row} gave {found[row]}, not {wanted[row]}")


def _broken(what: str, example: str) -> None:
    raise PropertyBroken(what, example)
