"""`execkit sweep`: a grid of parameters against a market, a table with a row for each."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from execkit.cli_parts import Json, Symbol, finish, records, say
from execkit.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from execkit.limit_orders import LimitOrders, RoundTrips

SHOWN = 20
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|\t")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-inf")
FORMATS = (".parquet", ".csv")
MOST_VALUES = 1_000_000


def sweep(
    market: Annotated[Path, typer.Option(help="File or folder of market data.")],
    orders_from: Annotated[
        str | None, typer.Option(help="module:function or file.py:function that makes orders.")
    ] = None,
    grid: Annotated[str | None, typer.Option(help='Its values as JSON: {"a": [1, 2]}.')] = None,
    limit_grid: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Built-in: offset_bps=1,2,5 (or offset_ticks) horizon=5:60:5, in bars."),
    ] = None,
    quantity: Annotated[float | None, typer.Option(help="Of each order of --limit-grid.")] = None,
    side: Annotated[str, typer.Option(help="Of --limit-grid: buy or sell.")] = "buy",
    leave: Annotated[
        str | None,
        typer.Option("--exit", help="Of --limit-grid: round trips, out by market or limit."),
    ] = None,
    symbol: Symbol = None,
    fill: Annotated[str, typer.Option(help="optimistic, queue or pessimistic.")] = "queue",
    uncapped: Annotated[
        bool, typer.Option("--uncapped", help="A bar may fill more than a share of its volume.")
    ] = False,
    half_spread_bps: Annotated[float, typer.Option(help="What a taker pays on bars.")] = 0.0,
    maker_bps: Annotated[float, typer.Option(help="Fee; negative = rebate.")] = 0.0,
    taker_bps: Annotated[float, typer.Option(help="Fee.")] = 0.0,
    dask: Annotated[str | None, typer.Option(help="Scheduler, such as tcp://host:8786.")] = None,
    backend: Annotated[str | None, typer.Option(help="A joblib backend, such as loky.")] = None,
    record_errors: Annotated[
        bool, typer.Option("--record-errors", help="Go on, and say in the table what failed.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Table to write: .parquet or .csv.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate every combination of a grid: one row for each, here or on a cluster."""
    from execkit.market import MarketData
    from execkit.sweeps import sweep as run_sweep

    if (orders_from is None) == (limit_grid is None) or (orders_from is None) != (grid is None):
        raise typer.BadParameter("give --orders-from and --grid, or --limit-grid.")
    if dask is not None and backend is not None:
        raise typer.BadParameter("give one of --dask and --backend.")
    _check_out(out)
    make_orders: Any
    if orders_from is not None:
        make_orders, values = load_function(orders_from), _grid(grid or "")
    else:
        make_orders = described(quantity, side, leave, symbol)
        values = dict(values_of(text) for text in limit_grid or ())
    started = time.perf_counter()
    table = run_sweep(
        make_orders,
        values,
        MarketData.load(market, symbol),
        dask or backend,
        errors="record" if record_errors else "raise",
        **_assumed(fill, uncapped, half_spread_bps, maker_bps, taker_bps),
    )
    if out is not None:
        write(table, out)
    _tell(table, time.perf_counter() - started, out, as_json)


def _assumed(
    fill: str, uncapped: bool, half_spread_bps: float, maker_bps: float, taker_bps: float
) -> dict[str, Any]:
    from execkit.models import FeeModel
    from execkit.models.fill import fill_model

    model = replace(fill_model(fill), half_spread_bps=half_spread_bps)
    model = replace(model, participation=None) if uncapped else model
    return {"fill": model, "fee": FeeModel(maker_bps=maker_bps, taker_bps=taker_bps)}


def _tell(table: pd.DataFrame, took: float, out: Path | None, as_json: bool) -> None:
    text = table.head(SHOWN).round(3).to_string(index=False, na_rep="-")
    more = f"\n... {len(table) - SHOWN:,} more" if len(table) > SHOWN else ""
    say(f"{text}{more}\n{len(table):,} combinations in {took:.2f} s", as_json)
    if out is not None:
        say(f"written to {out}", as_json)
    told = {"combinations": len(table), "run_s": took, "out": None if out is None else str(out)}
    finish({**told, "table": records(table)}, as_json)


def described(
    quantity: float | None, side: str, leave: str | None, symbol: str | None
) -> LimitOrders | RoundTrips:
    """The built-in orders that the options describe."""
    from execkit.limit_orders import LimitOrders, RoundTrips

    if quantity is None:
        raise InvalidInput("--quantity", None, "say how much each order of --limit-grid is for")
    if leave is None:
        return LimitOrders(quantity=quantity, side=side, symbol=symbol)
    return RoundTrips(quantity=quantity, side=side, symbol=symbol, exit=leave)  # type: ignore


def _number(value: float) -> float:
    """5 for 5.0: a number of bars or ticks is whole."""
    return int(value) if value.is_integer() else value


def values_of(text: str) -> tuple[str, list[float]]:
    """Name and numbers of "name=1,2,5" or "name=start:stop:step", the stop included if reached."""
    name, found, given = text.partition("=")
    fix = "write it as offset_bps=1,2,5 or horizon=5:60:5"
    try:
        if not found or not name:
            raise ValueError
        if ":" in given:
            start, stop, step = (float(part) for part in given.split(":"))
            count = math.floor((stop - start) / step + 1e-9) + 1
            if not 0 < count <= MOST_VALUES:
                raise ValueError
            return name, [_number(round(start + i * step, 12)) for i in range(count)]
        return name, [_number(float(part)) for part in given.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InvalidInput("--limit-grid", text, fix) from None


def load_function(text: str) -> Callable[..., object]:
    """The function named by module:function, looked for here too, or by file.py:function."""
    place, found, name = text.rpartition(":")
    if not (found and place and name):
        raise InvalidInput("--orders-from", text, "write it as module:function")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None  # the suffix is one that Python loads
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(module.__name__, module)
            spec.loader.exec_module(module)
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            module = importlib.import_module(place)
    except Exception as error:  # noqa: BLE001  code of the user may raise anything
        told = f"cannot be imported ({type(error).__name__}: {error})"
        raise InvalidInput("--orders-from", text, told) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidInput("--orders-from", text, f"{place} has no function {name}")
    _send_by_value(module)
    return function  # type: ignore[no-any-return]


def _send_by_value(module: Any) -> None:
    """Workers elsewhere do not have this file: its code goes along with the function."""
    try:
        import cloudpickle
    except ImportError:  # without Dask and joblib nothing is sent
        return
    cloudpickle.register_pickle_by_value(module)


def _grid(text: str) -> dict[str, Any]:
    fix = 'write it as JSON: \'{"a": [1, 2], "b": [3]}\''
    try:
        values = json.loads(text)
    except ValueError:
        raise InvalidInput("--grid", text, fix) from None
    if not isinstance(values, (dict, list)):
        raise InvalidInput("--grid", text, fix)
    return values  # type: ignore[return-value]


def _check_out(out: Path | None) -> None:
    """Before anything runs: a long sweep must not end in a typo."""
    if out is None:
        return
    if out.suffix not in FORMATS:
        raise InvalidInput("--out", str(out), f"end it in {' or '.join(FORMATS)}")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InvalidInput("--out", str(out), "name a file in a folder that is there")


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a spreadsheet may open it: text that it would run as a formula gets an
    apostrophe in front, in names of columns too. Numbers stay as they are."""
    import pandas as pd

    plain = table.rename(columns=lambda name: _harmless(str(name)))
    for place, kind in enumerate(plain.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            plain.isetitem(place, plain.iloc[:, place].map(_harmless).array)
    return plain


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # the writer leaves it bare, and readers begin a row at it
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def write(table: pd.DataFrame, out: Path) -> None:
    """Write the table, whole or not at all."""
    fresh = out.with_name(f".{out.name}.part")
    plain = table.copy()
    for name in plain.columns:
        if plain[name].dtype == object:  # a model, or values of several kinds
            plain[name] = plain[name].astype(str)
    try:
        if out.suffix == ".csv":
            as_text(plain).to_csv(fresh, index=False)
        else:
            plain.to_parquet(fresh, index=False)
        fresh.replace(out)
    except OSError as error:
        raise InvalidInput("--out", str(out), f"cannot be written ({error.strerror})") from None
