"""sweep(): one market, many combinations of parameters, a table with one row for each."""

from __future__ import annotations

import inspect
import itertools
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm.auto import tqdm

from execkit import executors
from execkit.errors import ExecKitError, FixRequest, InvalidInput
from execkit.limit_orders import Assumptions, LimitOrders, RoundTrips, parameters
from execkit.market import MarketData
from execkit.matching.tape import TapeSource
from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.fill import FillModel
from execkit.summaries import summarise

MakeOrders = Callable[..., object] | LimitOrders | RoundTrips
Grid = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]] | pd.DataFrame

ASSUMED = tuple(f.name for f in fields(Assumptions))
BATCHES_PER_WORKER = 4


class CombinationFailed(FixRequest):
    """A combination of a sweep could not be simulated; `parameters` says which, and a note holds
    the traceback from where it ran."""

    def __init__(self, parameters: Mapping[str, Any], reason: str) -> None:
        shown = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        super().__init__(f"the combination {shown} failed: {reason}")
        self.parameters, self.reason = dict(parameters), reason

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.parameters, self.reason))


@dataclass(frozen=True, eq=False)
class Job:
    """What all combinations share; sent to each worker once."""

    make_orders: MakeOrders
    market: MarketData | TapeSource
    assumed: Assumptions
    wants_market: bool


Batch = Sequence[tuple[int, Mapping[str, Any]]]


def sweep(
    make_orders: MakeOrders,
    grid: Grid,
    market: MarketData | TapeSource,
    executor: object = None,
    *,
    fill: str | FillModel = "queue",
    fee: FeeLike | None = None,
    latency: LatencyLike | None = None,
    impact: ImpactLike | None = None,
    seed: int = 0,
    fidelity: str | Mapping[str, str] = "auto",
    errors: Literal["raise", "record"] = "raise",
    progress: bool | None = None,
) -> pd.DataFrame:
    """Simulate every combination of a grid and say in one row what came of it.

    Parameters
    ----------
    make_orders : ``f(market, **parameters)`` or ``f(**parameters)``, which returns orders as for
        `simulate`; or `LimitOrders` or `RoundTrips`, whose combinations share their work.
    grid : values by name (every combination of them, the last name fastest), a list of mappings, or
        a DataFrame with a row for each. Names that `make_orders` does not take may be those of
        `fill`, `fee`, `latency`, `impact`, `seed` and `fidelity`.
    market : sent once to each worker, and indexed once there.
    executor : None for threads, one a core, of this process (the kernels run without the GIL); the
        name of a joblib backend ("loky", "threading") or a ``joblib.Parallel``; a Dask ``Client``
        or the address of a scheduler ("tcp://host:8786"). Numbers do not depend on it. A worker
        that dies costs time only. For Ray, ``ray.util.joblib.register_ray()`` and then "ray"; the
        market then goes with every batch of combinations, and we do not test it.
    fill, fee, latency, impact, seed, fidelity : as for `simulate`.
    errors : "raise" stops at the first combination that fails, `CombinationFailed` names it;
        "record" leaves its numbers empty and says why in the column `error`.
    progress : True shows a bar, False none, None one once it takes more than a second.

    Returns
    -------
    DataFrame, in the order of the grid: the parameters, and for orders that are simulated the
    columns of `summaries.summarise`, for `RoundTrips` those of `limit_grid.round_trips`; `run_s`,
    the time that it took (in a shared pass, its share). Results travel as Arrow tables.

    When it lies: the best of many combinations is better in the table than it will be; look at its
    neighbours, at other data, and at the band of `simulate` under all three fill models.
    """
    if not isinstance(market, (MarketData, TapeSource)):
        raise InvalidInput("market", market, "pass a MarketData: MarketData.load(path)")
    if errors not in ("raise", "record"):
        raise InvalidInput("errors", errors, 'say "raise" or "record"')
    assumed = Assumptions(
        fill=fill, fee=fee, latency=latency, impact=impact, seed=seed, fidelity=fidelity
    )
    cells = combinations(grid)
    job = Job(make_orders, market, assumed, check_names(make_orders, cells))
    bar = tqdm(
        total=len(cells), desc="sweep", unit="combination", disable=progress is False,
        delay=1.0 if progress is None else 0.0,
    )  # fmt: skip
    tables = []
    with executors.opened(executor) as where, bar:
        batches = _batches(job, list(enumerate(cells)), where)
        for number, table in executors.run(where, run_batch, job, batches):
            tables.append(table)
            bar.update(len(batches[number]))
            if errors == "raise":
                _raise_first(table, cells)
    return _gathered(cells, tables, errors == "record")


def combinations(grid: Grid) -> list[dict[str, Any]]:
    """The combinations of a grid, as one mapping each; `InvalidInput` if there is none."""
    if isinstance(grid, pd.DataFrame):
        cells = [{str(k): v for k, v in row.items()} for row in grid.to_dict("records")]
    elif isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise InvalidInput("grid", {name: values}, f"give a list of values for {name}")
        product = itertools.product(*(list(values) for values in grid.values()))
        cells = [dict(zip(grid, values, strict=True)) for values in product]
    elif isinstance(grid, Sequence) and all(isinstance(cell, Mapping) for cell in grid):
        cells = [dict(cell) for cell in grid]
    else:
        raise InvalidInput("grid", grid, "pass values by name, a list of mappings or a DataFrame")
    if not cells or not all(cells):
        raise InvalidInput("grid", grid, "give at least one name with one value")
    return [{name: _plain(value) for name, value in cell.items()} for cell in cells]


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python number that it is."""
    return value.item() if isinstance(value, np.generic) else value


def check_names(make_orders: MakeOrders, cells: Sequence[Mapping[str, Any]]) -> bool:
    """Whether `make_orders` wants the market; `InvalidInput` for names that nobody takes."""
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    if isinstance(make_orders, (LimitOrders, RoundTrips)):
        for cell in cells:
            _own(cell)
        return True
    if not callable(make_orders):
        fix = "pass a function that returns orders, LimitOrders or RoundTrips"
        raise InvalidInput("make_orders", make_orders, fix)
    given = inspect.signature(make_orders).parameters
    kinds = {p.kind for p in given.values()}
    taken = set(given) - {"market"}
    for name in names:
        if name not in taken and name not in ASSUMED and inspect.Parameter.VAR_KEYWORD not in kinds:
            known = ", ".join(sorted(taken)) or "nothing"
            raise InvalidInput("grid", name, f"make_orders has no such argument; it takes {known}")
    needed = [n for n in taken if given[n].default is inspect.Parameter.empty]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name in needed:
        if given[name].kind in named and not all(name in cell for cell in cells):
            raise InvalidInput("grid", names, f"give values of {name}: make_orders needs it")
    return "market" in given


def _own(cell: Mapping[str, Any]) -> tuple[str, float, int]:
    """Offset and horizon of a combination of limit orders, checked."""
    return parameters({name: value for name, value in cell.items() if name not in ASSUMED})


def _batches(job: Job, cells: list[tuple[int, dict[str, Any]]], executor: object) -> list[Batch]:
    """As many as keep all workers busy; one combination each where what is shared stays there."""
    count = executors.workers(executor)
    if isinstance(job.make_orders, (LimitOrders, RoundTrips)):
        by_offset: dict[tuple[str, float], list[tuple[int, dict[str, Any]]]] = {}
        for number, cell in cells:
            by_offset.setdefault(_own(cell)[:2], []).append((number, cell))
        groups = [by_offset[offset] for offset in sorted(by_offset)]
        dealt = [groups[first::count] for first in range(min(count, len(groups)))]
        return [list(itertools.chain.from_iterable(hand)) for hand in dealt]
    if executor is None or executors.is_dask(executor):
        return [[cell] for cell in cells]
    size = -(-len(cells) // (count * BATCHES_PER_WORKER))
    return [cells[start : start + size] for start in range(0, len(cells), size)]


# ------------------------------------------------------------------------------ where it runs


def run_batch(job: Job, batch: Batch) -> pa.Table:
    """One row a combination: its number, what came of it, and `error` with its `traceback`."""
    rows: list[dict[str, Any]] = []
    for assumed, part in _by_assumptions(job, batch):
        started = time.perf_counter()
        answers = _answers(job, assumed, [cell for _, cell in part])
        took = (time.perf_counter() - started) / len(part)
        rows += [
            {"number": number, "run_s": took, **answer}
            for (number, _), answer in zip(part, answers, strict=True)
        ]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in names})


def _by_assumptions(job: Job, batch: Batch) -> list[tuple[Assumptions, Batch]]:
    """The batch in parts that run under the same assumptions, with these taken out of the cells."""
    taken: set[str] = set()
    if not isinstance(job.make_orders, (LimitOrders, RoundTrips)):
        taken = set(inspect.signature(job.make_orders).parameters)
    parts: dict[Any, tuple[Assumptions, list[tuple[int, Mapping[str, Any]]]]] = {}
    for number, cell in batch:
        other = {k: v for k, v in cell.items() if k in ASSUMED and k not in taken}
        own = {k: v for k, v in cell.items() if k not in other}
        # by identity: two models of one's own may look alike
        key = tuple((k, v if isinstance(v, (str, int)) else id(v)) for k, v in other.items())
        if key not in parts:
            parts[key] = (replace(job.assumed, **other) if other else job.assumed, [])
        parts[key][1].append((number, own))
    return list(parts.values())


def _answers(
    job: Job, assumed: Assumptions, cells: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What came of each combination: in a shared pass where there is one, else one by one."""
    from execkit import limit_grid

    found, market = None, job.market
    try:
        if isinstance(job.make_orders, (LimitOrders, RoundTrips)):
            if not isinstance(market, MarketData):
                raise InvalidInput("market", market, "pass a MarketData, with its bars in memory")
            if isinstance(job.make_orders, LimitOrders):
                found = limit_grid.independent(job.make_orders, market, cells, assumed)
            else:
                found = limit_grid.round_trips(job.make_orders, market, cells, assumed)
    except ExecKitError as error:
        if len(cells) == 1:
            return [_failed(error)]
        return [answer for cell in cells for answer in _answers(job, assumed, [cell])]
    return [_alone(job, assumed, cell) for cell in cells] if found is None else found


def _alone(job: Job, assumed: Assumptions, cell: Mapping[str, Any]) -> dict[str, Any]:
    from execkit.simulator import simulate

    try:
        first = (job.market,) if job.wants_market else ()
        assert not isinstance(job.make_orders, RoundTrips)
        orders = job.make_orders(*first, **cell)
        result = simulate(
            orders,
            job.market,
            fill=assumed.fill,
            fee=assumed.fee,
            latency=assumed.latency,
            impact=assumed.impact,
            seed=assumed.seed,
            fidelity=assumed.fidelity,
            progress=False,
        )
        return summarise(result)
    except Exception as error:  # noqa: BLE001  code of the user may raise anything; it is told
        return _failed(error)


def _failed(error: Exception) -> dict[str, Any]:
    kind = "" if isinstance(error, ExecKitError) else f"{type(error).__name__}: "
    return {"error": f"{kind}{error}", "traceback": "".join(traceback.format_exception(error))}


# ------------------------------------------------------------------------------ what comes back


def _raise_first(table: pa.Table, cells: Sequence[Mapping[str, Any]]) -> None:
    if "error" not in table.column_names:
        return
    for row in table.select(["number", "error", "traceback"]).to_pylist():
        if row["error"] is not None:
            failed = CombinationFailed(cells[row["number"]], row["error"])
            failed.add_note(row["traceback"])
            raise failed


def _gathered(
    cells: Sequence[Mapping[str, Any]], tables: list[pa.Table], with_errors: bool
) -> pd.DataFrame:
    joined = pa.concat_tables(tables, promote_options="permissive").sort_by("number")
    for at, column in enumerate(joined.schema):
        if pa.types.is_null(column.type):  # a rate that no row has
            joined = joined.set_column(at, column.name, joined.column(at).cast(pa.float64()))
    found = joined.to_pandas()
    took = found.pop("run_s")
    errors = found.pop("error") if "error" in found else None
    found = found.drop(columns=["number", "traceback"], errors="ignore")
    shown = [{name: _shown(value) for name, value in cell.items()} for cell in cells]
    out = pd.concat([pd.DataFrame(shown), found], axis=1)
    out["run_s"] = took
    if with_errors:
        out["error"] = pd.array([None] * len(out), dtype="str") if errors is None else errors
    return out


def _shown(value: Any) -> Any:
    """A model by its name; other values as they are."""
    return value.name if isinstance(value, FillModel) else value
