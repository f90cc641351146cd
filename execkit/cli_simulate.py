"""`execkit simulate`: a file of orders, or random ones, against a market, into a store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from execkit.cli_parts import Interrupted, Json, Symbol, finish, open_store, records, say
from execkit.clock import to_ns
from execkit.errors import ExecKitError, InvalidData, InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from execkit.market import MarketData
    from execkit.store import Store

TIMES = ("ts_ns", "expire_ts_ns", "cancel_ts_ns")
PER_SIDE = """
SELECT * FROM slippage_summary WHERE run_id = ? ORDER BY symbol, waits_on_purpose, side"""
_DAY_MS = 86_400_000
_WHOLE, _DATE = re.compile(r"[+-]?\d{1,19}"), re.compile(r"\d{4}-\d\d-\d\d")


def simulate(
    market: Annotated[Path, typer.Option(help="File or folder of market data.")],
    store_path: Annotated[Path, typer.Option("--store", help="Desk directory or DuckDB file.")],
    orders: Annotated[Path | None, typer.Option(help="CSV or Parquet, a row per order.")] = None,
    random: Annotated[int | None, typer.Option(min=1, help="Make this many random orders.")] = None,
    symbol: Symbol = None,
    start: Annotated[str | None, typer.Option(help="From here: ISO with zone, or ns.")] = None,
    end: Annotated[str | None, typer.Option(help="To before this: ISO with zone, or ns.")] = None,
    fill: Annotated[str, typer.Option(help="optimistic, queue or pessimistic.")] = "queue",
    fidelity: Annotated[str, typer.Option(help="auto, depth, quotes, prints, bars.")] = "auto",
    half_spread_bps: Annotated[float, typer.Option(help="What a taker pays on bars.")] = 0.0,
    maker_bps: Annotated[float, typer.Option(help="Fee; negative = rebate.")] = 0.0,
    taker_bps: Annotated[float, typer.Option(help="Fee.")] = 0.0,
    entry_ms: Annotated[float, typer.Option(help="Latency of orders.")] = 0.0,
    cancel_ms: Annotated[float, typer.Option(help="Latency of cancels.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="Mean random addition to each.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of random orders and latency.")] = 0,
    as_json: Json = False,
) -> None:
    """What would these orders have filled at? Orders and fills go into the store."""
    from execkit import toy
    from execkit.market import MarketData
    from execkit.models import FeeModel, LatencyModel
    from execkit.models.fill import fill_model
    from execkit.simulator import simulate as run_simulation

    if (orders is None) == (random is None):
        raise typer.BadParameter("give one of --orders FILE and --random N.")
    latency = LatencyModel(
        entry_ns=_ns("--entry-ms", entry_ms),
        cancel_ns=_ns("--cancel-ms", cancel_ms),
        jitter_ns=_ns("--jitter-ms", jitter_ms),
    )
    model = replace(fill_model(fill), half_spread_bps=half_spread_bps)
    window = [_moment("--start", start), _moment("--end", end)]
    loaded = MarketData.load(market, symbol)
    table = None if random is not None else between(read_table(orders), loaded, window)
    loaded = loaded if window == [None, None] else loaded.select(None, *window)
    if table is None:
        table = toy.random_orders(loaded, random or 0, seed)
    kept = open_store(store_path)
    with interrupts_told(kept) as runs:
        result = run_simulation(
            table,
            loaded,
            fill=model,
            fee=FeeModel(maker_bps=maker_bps, taker_bps=taker_bps),
            latency=latency,
            seed=seed,
            fidelity=fidelity,
            progress=True,
        )
        runs.append(result.run_id)
        run_id = result.save(kept)
        per_side = kept.sql(PER_SIDE, [run_id])
    shown = ["symbol", "waits_on_purpose", "side", "currency", "n_orders", "n_unfilled", "notional"]
    shown += [name for name in per_side.columns if name.endswith("_cost_bps")]
    say(per_side[shown].round(3).to_string(index=False, na_rep="-"), as_json)
    say(f"run {run_id} is in {kept.path}", as_json)
    told = {"run_id": run_id, "store": str(kept.path), "summary": result.summary()}
    finish({**told, "slippage": records(per_side)}, as_json)


@contextmanager
def interrupts_told(kept: Store) -> Iterator[list[str]]:
    """Turn Ctrl-C into `Interrupted` that says whether the run, appended by the caller, is saved.

    The store is asked, because an interrupt may come just before or just after the commit.
    """
    runs: list[str] = []
    try:
        yield runs
    except KeyboardInterrupt:
        if not runs or not kept.path.exists():
            raise Interrupted("interrupted; the run was not saved") from None
        try:
            there = len(kept.sql("SELECT 1 FROM runs WHERE run_id = ?", runs))
        except ExecKitError as error:
            text = f"interrupted; whether run {runs[0]} was saved is not known ({error})"
            raise Interrupted(text) from None
        if there:
            raise Interrupted(f"interrupted; run {runs[0]} is in {kept.path}") from None
        raise Interrupted("interrupted; the run was not saved") from None


def read_table(path: Path | None) -> pd.DataFrame:
    """A table of orders from CSV or Parquet; `InvalidInput` or `InvalidData` if it cannot be.

    Times in CSV are UTC nanoseconds, or ISO text with a zone.
    """
    import pandas as pd
    import pyarrow as pa

    if path is not None and path.is_dir():
        raise InvalidInput("--orders", str(path), "is a directory: name a CSV or Parquet file")
    if path is None or not path.is_file():
        raise InvalidInput("--orders", str(path), "there is no such file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        try:
            return pd.read_csv(path, dtype=dict.fromkeys(TIMES, "Int64"))
        except (
            ValueError,
            TypeError,
            OverflowError,
        ):  # not all of them are whole numbers: read them as text
            table = pd.read_csv(path, dtype=dict.fromkeys(TIMES, object))
    except (ValueError, pa.ArrowException, OSError) as error:
        raise InvalidData(
            f"{path} is not a table of orders ({error}): use CSV or Parquet"
        ) from None
    for name in TIMES:
        if name in table:
            cells = [_cell(name, row, value) for row, value in enumerate(table[name])]
            table[name] = pd.array(cells, dtype="Int64")
    return table


def _cell(name: str, row: int, value: object) -> int | None:
    """One time of a CSV file in ns; None where the cell is empty."""
    if not isinstance(value, str):
        return None  # an empty cell is NaN
    text = value.strip()
    if _is_ns(text):
        return int(text)
    fix = "use whole UTC nanoseconds, or an ISO time with a zone: 2026-01-09 14:01:00+00:00"
    if not _DATE.match(text):
        raise InvalidInput(name, value, fix, row=row)
    try:
        return to_ns(text, name)
    except InvalidInput as error:
        zone = "the time has no zone; add one, e.g. 2026-01-09 14:01:00+00:00"
        fix = zone if "no zone" in error.fix else error.fix
        raise InvalidInput(name, value, fix, row=row) from None


def between(table: pd.DataFrame, market: MarketData, window: list[int | None]) -> pd.DataFrame:
    """Orders decided in [start, end); the whole table is checked first, so that rows keep their
    numbers in messages."""
    from execkit.order_table import read_orders

    if window == [None, None]:
        return table
    ts_ns = read_orders(table, market.symbols).ts_ns
    start, end = window
    inside = ts_ns >= (ts_ns.min() if start is None else start)
    inside &= ts_ns < (ts_ns.max() + 1 if end is None else end)
    if not inside.any():
        raise InvalidInput("--start, --end", window, "no order was decided in between")
    return table[inside].reset_index(drop=True)


def _is_ns(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text)) and abs(int(text)) < 2**63


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if _is_ns(text.strip()):
        return int(text)
    try:
        return to_ns(text, option)
    except InvalidInput:
        fix = "use an ISO time with a zone, 2026-01-09T14:01:00+00:00, or UTC nanoseconds"
        raise InvalidInput(option, text, fix) from None


def _ns(option: str, milliseconds: float) -> int:
    if not (math.isfinite(milliseconds) and 0 <= milliseconds <= _DAY_MS):
        raise InvalidInput(option, milliseconds, f"use milliseconds from 0 to {_DAY_MS:,}, a day")
    return round(milliseconds * 1_000_000)
