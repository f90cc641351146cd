"""Real marketable orders of a recording: what the simulator says they cost, and what they paid.

An order is a run of consecutive prints with one stamp and one aggressor; it arrives just before
that stamp, so nothing of its own millisecond is known to any prediction. Cost is against the mid
of the last quote before it (where orders are put together here, of the aligned book). From the
plainest prediction on:

walk : the last depth message, walked. simulate : market IOC orders, all in one run, on the market
as loaded. simulate_aligned : the same on `MarketData.aligned`. simulate_replay : that again, but
public prints do not consume, for here the orders are the prints. aligned_walk : each order alone,
on the aligned book less what prints took. model : `TakerCost`, fitted on the first half of the
orders of all markets; every number reported is of the second half.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidData
from execkit.realism.marketable import MIN_ORDERS, Recording, recordings
from execkit.taker_cost import TERMS, TakerCost

METHODS = ("walk", "simulate", "simulate_aligned", "simulate_replay", "aligned_walk", "model")
SIZES = (
    ("up to 0.1 of the touch", 0.0, 0.1),
    ("0.1 to 1", 0.1, 1.0),
    ("1 to 10", 1.0, 10.0),
    ("over 10", 10.0, np.inf),
)
EXACT_BPS = 1e-6

Scores = dict[str, Any]


def run(path: str | Path, *, quick: bool = False) -> Scores:
    """Everything about the marketable orders below `path`, ready for JSON.

    Every folder with market data of a known format is read, and those symbols are taken that have
    depth and prints (without quotes, aligned is as loaded). Where a Parquet file of real orders
    lies with them (`marketable.PUBLISHED`), its orders of the same print ids are the truth; else
    they are put together from the prints. `quick` reads the smallest folder alone and leaves out
    `simulate` and the stability checks.

    Returns ``model``, ``markets`` (by label), ``published`` and ``put_together`` (all markets of
    each sort), ``stability``, ``orders``, ``seconds``. Scores are by group of orders and method:
    n, paid_cost_bps and predicted_cost_bps (means), bias_bps (predicted less paid), bias_error_bps
    (its standard error, by seconds), bias_by_quantity_bps (weighted by notional), mae_bps, p90_bps
    (of the absolute error), correlation (Pearson) and rank_correlation (Spearman; both null where a
    side does not vary), exact (share of errors below 1e-6 bps). ``bias_ratio`` is the model's bias
    over the walk's. Raises `InvalidData` if no symbol has what is needed.
    """
    began = time.perf_counter()
    found = list(recordings(Path(path), quick=quick))
    if not found:
        raise InvalidData(
            f"{path} has no symbol with depth, prints and {MIN_ORDERS} marketable orders or more"
        )
    late = [np.arange(len(one.orders)) >= len(one.orders) // 2 for one in found]
    model = _fitted(found, [~half for half in late])
    out: Scores = {
        "path": str(path),
        "orders": sum(len(one.orders) for one in found),
        "orders_published": sum(len(o.orders) + o.too_early for o in found if o.published),
        "too_early": sum(one.too_early for one in found),
        "model": _described(model),
        "markets": {o.label: _scores([o], [h], model) for o, h in zip(found, late, strict=True)},
    }
    for name, wanted in (("published", True), ("put_together", False)):
        chosen = [(o, h) for o, h in zip(found, late, strict=True) if o.published is wanted]
        if chosen:
            out[name] = _scores([o for o, _ in chosen], [h for _, h in chosen], model)
    if not quick:
        out["stability"] = _stability(found)
    out["seconds"] = round(time.perf_counter() - began, 2)
    return out


def _fitted(found: Sequence[Recording], rows: Sequence[np.ndarray]) -> TakerCost:
    """One model of all markets, from the chosen rows of each."""
    known = pd.concat([o.known[r] for o, r in zip(found, rows, strict=True)], ignore_index=True)
    paid = np.concatenate(
        [o.orders["paid_cost_bps"].to_numpy()[r] for o, r in zip(found, rows, strict=True)]
    )
    return TakerCost.fit_features(known, paid)


def _described(model: TakerCost) -> Scores:
    terms = {name: _clean(asdict(one)) for name, one in model.estimates.items()}
    return {"n": model.n, **{name: getattr(model, name) for name in TERMS}, "estimates": terms}


def _table(
    found: Sequence[Recording], rows: Sequence[np.ndarray], model: TakerCost
) -> pd.DataFrame:
    """Orders of the chosen rows with every prediction; only those that all methods predict."""
    parts = []
    for one, chosen in zip(found, rows, strict=True):
        part = one.orders[["paid_cost_bps", "sweep"]].assign(
            notional=one.orders["quantity"] / one.orders["quantity"].sum(),
            displayed=one.known["displayed"],
            second=f"{one.label} " + (one.orders["ts_ns"] // (1_000 * NS_PER_MS)).astype(str),
            **one.predicted,
            model=model.of(one.known),
        )
        parts.append(part[chosen])
    table = pd.concat(parts, ignore_index=True)
    return table.dropna(subset=[m for m in METHODS if m in table] + ["paid_cost_bps"])


def _scores(found: Sequence[Recording], rows: Sequence[np.ndarray], model: TakerCost) -> Scores:
    """By group of orders, then by method."""
    table = _table(found, rows, model)
    groups = {"all": table, "sweeps": table[table["sweep"]]}
    for name, low, high in SIZES:
        groups[name] = table[(table["displayed"] > low) & (table["displayed"] <= high)]
    out: Scores = {"left_out": int(sum(r.sum() for r in rows)) - len(table)}
    walk, best = _score(table, "walk"), _score(table, "model")
    out["bias_ratio"] = abs(best["bias_bps"] / walk["bias_bps"]) if walk["bias_bps"] else None
    for name, group in groups.items():
        methods = [m for m in METHODS if m in group]
        out[name] = {m: _score(group, m) for m in methods} if len(group) else {}
    return out


def _score(group: pd.DataFrame, method: str) -> Scores:
    paid, said = group["paid_cost_bps"], group[method]
    error = (said - paid).to_numpy()
    weights = group["notional"].to_numpy()
    # orders of one second belong together: their errors are not independent
    blocks = group.assign(off=error - error.mean()).groupby("second")["off"].sum().to_numpy()
    few = len(blocks) / (len(blocks) - 1) if len(blocks) > 1 else np.nan
    varied = len(group) > 2 and paid.nunique() > 1 and said.nunique() > 1
    return _clean(
        {
            "n": len(group),
            "paid_cost_bps": paid.mean(),
            "predicted_cost_bps": said.mean(),
            "bias_bps": error.mean(),
            "bias_error_bps": np.sqrt(np.sum(blocks**2) * few) / len(group),
            "bias_by_quantity_bps": np.average(error, weights=weights),
            "mae_bps": np.abs(error).mean(),
            "p90_bps": np.quantile(np.abs(error), 0.9),
            "correlation": paid.corr(said) if varied else np.nan,
            "rank_correlation": paid.rank().corr(said.rank()) if varied else np.nan,
            "exact": np.mean(np.abs(error) < EXACT_BPS),
        }
    )


def _stability(found: Sequence[Recording]) -> list[Scores]:
    """Fits and tests on other splits: even and odd minutes, halves swapped, a market left out."""
    minute = [one.orders["ts_ns"].to_numpy() // (60_000 * NS_PER_MS) % 2 == 0 for one in found]
    late = [np.arange(len(one.orders)) >= len(one.orders) // 2 for one in found]
    splits = [
        ("odd minutes, fitted on even", minute),
        ("even minutes, fitted on odd", [~m for m in minute]),
        ("first half, fitted on second", late),
    ]
    if len(found) > 1:
        for out in found:
            rows = [np.full(len(one.orders), one is not out) for one in found]
            splits.append((f"{out.label}, fitted on the other markets", rows))
    made = []
    for name, fit in splits:
        model = _fitted(found, fit)
        scores = _scores(found, [~rows for rows in fit], model)["all"]
        brief = {m: scores[m] for m in ("walk", "aligned_walk", "model")}
        made.append({"tested": name, "model": _described(model), "scores": brief})
    return made


def _clean(values: Mapping[str, Any]) -> Scores:
    """Plain numbers for JSON, which has no NaN."""
    out: Scores = {}
    for name, value in values.items():
        whole = isinstance(value, (int, np.integer))
        out[name] = int(value) if whole else float(value) if np.isfinite(value) else None
    return out
