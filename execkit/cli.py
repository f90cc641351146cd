"""The command line. Each command loads what it needs when it runs, and speaks JSON if asked.

Exit status: 0 only on success, 1 for an error (one line on stderr that says what to do), 2 for a
command that was not understood. With ``--json`` the last line of stdout is one JSON object.
``EXECKIT_DEBUG=1`` shows the traceback of an error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from execkit import __version__
from execkit.errors import ExecKitError, InvalidData, InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from execkit.journal import Journal

app = typer.Typer(
    name="execkit",
    help="From signals to fills to slippage, on recorded data and on venues.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Market data: check it, import it.", no_args_is_help=True)
store = typer.Typer(help="The DuckDB store of a desk: rebuild, check, query.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(store, name="store")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last.")]
DeskPath = Annotated[Path, typer.Argument(help="Desk directory, with journal and store.")]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol.")]


def say(text: object, quiet: bool) -> None:
    """Words for a human; silent where a program reads."""
    if not quiet:
        print(text)


def finish(result: Mapping[str, Any], as_json: bool) -> None:
    """The one JSON object, last."""
    if as_json:
        print(json.dumps(result, default=_plain, allow_nan=False))


def _plain(value: object) -> object:
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of a frame for JSON: NaN and NA become null."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"execkit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path("execkit-demo"),
    market: Annotated[
        Path | None, typer.Option(help="Your own data instead of the bundled sample.")
    ] = None,
    symbol: Symbol = None,
    as_json: Json = False,
) -> None:
    """Signals, simulation, paper engine, DuckDB, slippage report: the whole way, offline."""
    from execkit.demo import run_demo

    finish(run_demo(out, market, symbol, lambda text: say(text, as_json)), as_json)


@app.command()
def simulate(
    market: Annotated[Path, typer.Option(help="File or folder of market data.")],
    store_path: Annotated[Path, typer.Option("--store", help="Desk directory or DuckDB file.")],
    orders: Annotated[Path | None, typer.Option(help="CSV or Parquet, a row per order.")] = None,
    random: Annotated[int | None, typer.Option(min=1, help="Make this many random orders.")] = None,
    symbol: Symbol = None,
    fill: Annotated[str, typer.Option(help="optimistic, queue or pessimistic.")] = "queue",
    fidelity: Annotated[str, typer.Option(help="auto, depth, quotes, prints, bars.")] = "auto",
    maker_bps: Annotated[float, typer.Option(help="Fee; negative = rebate.")] = 0.0,
    taker_bps: Annotated[float, typer.Option(help="Fee.")] = 0.0,
    entry_ms: Annotated[float, typer.Option(help="Latency of orders.")] = 0.0,
    cancel_ms: Annotated[float, typer.Option(help="Latency of cancels.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="Mean random addition to each.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of random orders and latency.")] = 0,
    as_json: Json = False,
) -> None:
    """What would these orders have filled at? Orders and fills go into the store."""
    from execkit import toy
    from execkit.market import MarketData
    from execkit.models import FeeModel, LatencyModel
    from execkit.simulator import simulate as run_simulation

    if (orders is None) == (random is None):
        raise typer.BadParameter("give one of --orders FILE and --random N.")
    loaded = MarketData.load(market, symbol)
    table = read_table(orders) if random is None else toy.random_orders(loaded, random, seed)
    result = run_simulation(
        table,
        loaded,
        fill=fill,
        fee=FeeModel(maker_bps=maker_bps, taker_bps=taker_bps),
        latency=LatencyModel(
            entry_ns=_ns(entry_ms), cancel_ns=_ns(cancel_ms), jitter_ns=_ns(jitter_ms)
        ),
        seed=seed,
        fidelity=fidelity,
        progress=True,
    )
    kept = open_store(store_path)
    run_id = result.save(kept)
    per_side = kept.sql(
        "SELECT * FROM slippage_summary WHERE run_id = ? ORDER BY symbol, waits_on_purpose, side",
        [run_id],
    )
    shown = ["symbol", "waits_on_purpose", "side", "currency", "n_orders", "n_unfilled", "notional"]
    shown += [name for name in per_side.columns if name.endswith("_cost_bps")]
    say(per_side[shown].round(3).to_string(index=False, na_rep="-"), as_json)
    say(f"run {run_id} is in {kept.path}", as_json)
    finish(
        {
            "run_id": run_id,
            "store": str(kept.path),
            "summary": result.summary(),
            "slippage": records(per_side),
        },
        as_json,
    )


@data.command("check")
def data_check(
    path: Annotated[Path, typer.Argument(help="File or folder of market data.")],
    symbol: Symbol = None,
    as_json: Json = False,
) -> None:
    """Report what is doubtful about market data. Exit status 1 if anything is an error."""
    from execkit.market import MarketData

    market = MarketData.load(path, symbol)
    report = market.check()
    say(report, as_json)
    spans = {s: market.span(s) for s in market.symbols}
    rows = {kind: len(table) for kind, table in market.tables.items()}
    found = records(report.frame())
    finish({"ok": report.ok, "rows": rows, "spans_ns": spans, "findings": found}, as_json)
    if not report.ok:
        count = sum(f.severity == "error" for f in report.findings)
        raise InvalidData(f"{path} has {count} kind(s) of error: see the report, mend the source")


@data.command("import")
def data_import(
    path: Annotated[Path, typer.Argument(help="File or folder of market data.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not be something else.")],
    symbol: Symbol = None,
    as_json: Json = False,
) -> None:
    """Read market data of any known format and write it as execkit's own Parquet folder."""
    from execkit.market import MarketData

    market = MarketData.load(path, symbol)
    folder = market.to_parquet(out)
    say(market.summary().to_string(index=False), as_json)
    say(f"written to {folder}", as_json)
    rows = {kind: len(table) for kind, table in market.tables.items()}
    finish({"folder": str(folder), "symbols": list(market.symbols), "rows": rows}, as_json)


@store.command("rebuild")
def store_rebuild(desk: DeskPath, as_json: Json = False) -> None:
    """Make the DuckDB file anew from the journal; simulated runs are carried over."""
    with open_journal(desk) as journal:
        kept = open_store(desk)
        report = kept.rebuild(journal)
    say(f"{kept.path} holds journal rows up to {report.last_seq} again", as_json)
    finish({"store": str(kept.path), "last_seq": report.last_seq, "added": report.added}, as_json)


@store.command("check")
def store_check(desk: DeskPath, as_json: Json = False) -> None:
    """Verify the journal's chain and that the store agrees with it. Exit status 1 if not."""
    with open_journal(desk) as journal:
        report = open_store(desk).check(journal)
    say(
        f"{report.orders:,} orders and {report.fills:,} fills compared; "
        f"{report.pending:,} journal rows wait for the next ingest",
        as_json,
    )
    finish(
        {
            "ok": report.ok,
            "orders": report.orders,
            "fills": report.fills,
            "pending": report.pending,
            "problems": report.problems,
        },
        as_json,
    )
    if not report.ok:
        raise InvalidData(f"{'; '.join(report.problems)}: run `execkit store rebuild {desk}`")


@store.command("sql")
def store_sql(
    path: Annotated[Path, typer.Argument(help="Desk directory or DuckDB file.")],
    query: Annotated[str, typer.Argument(help="For example: SELECT * FROM slippage LIMIT 5")],
    as_json: Json = False,
) -> None:
    """Answer one query, read-only."""
    answer = open_store(path, must_exist=True).sql(query)
    say(answer.to_string(index=False), as_json)
    finish({"columns": list(answer.columns), "rows": records(answer)}, as_json)


@app.command()
def run(
    notebook: Annotated[Path, typer.Argument(help="The notebook.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="May be repeated."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The executed notebook.")] = None,
    timeout_s: Annotated[int | None, typer.Option(help="For one cell.")] = None,
    as_json: Json = False,
) -> None:
    """Run a notebook with parameters; exit status 1 if a cell fails. The output is kept."""
    from execkit.runner import run_notebook, value_of

    values = {}
    for pair in parameter or []:
        name, found, text = pair.partition("=")
        if not found:
            raise typer.BadParameter(f"-p {pair}: give a name and a value, -p NAME VALUE.")
        values[name] = value_of(text)
    target = run_notebook(notebook, values, output, timeout_s=timeout_s)
    say(f"executed: {target}", as_json)
    finish({"output": str(target), "parameters": values}, as_json)


def read_table(path: Path | None) -> pd.DataFrame:
    """A table of orders from CSV or Parquet; `InvalidInput` or `InvalidData` if it cannot be."""
    import pandas as pd
    import pyarrow as pa

    if path is None or not path.is_file():
        raise InvalidInput("--orders", str(path), "there is no such file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        whole = dict.fromkeys(("ts_ns", "expire_ts_ns", "cancel_ts_ns"), "Int64")
        return pd.read_csv(path, dtype=whole)
    except (ValueError, pa.ArrowException, OSError) as error:
        raise InvalidData(
            f"{path} is not a table of orders ({error}): use CSV or Parquet"
        ) from None


def open_store(path: Path, must_exist: bool = False) -> Any:
    """The store of a desk directory, or a DuckDB file; the directory is made if it is absent."""
    from execkit.store import FILE_NAME, Store

    if path.suffix != ".duckdb":
        if not path.exists() and not must_exist:
            try:
                path.mkdir(mode=0o700, parents=True)
            except OSError as error:
                raise InvalidInput(
                    "--store", str(path), f"{error.strerror}: name another"
                ) from None
        path = path / FILE_NAME
    if must_exist and not path.is_file():
        raise InvalidInput("path", str(path), "there is no store; name a desk directory")
    return Store(path)


def open_journal(desk: Path) -> Journal:
    """The journal of a desk that is there; opened first, so that a typo makes no directory."""
    from execkit.journal import Journal

    return Journal(desk, create=False)


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1_000_000)


def _join_parameters(argv: Sequence[str]) -> list[str]:
    """``-p NAME VALUE`` as papermill has it becomes the ``-p NAME=VALUE`` that the parser knows."""
    out: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        out.append(word)
        if word in ("-p", "--parameter") and len(rest) > 1 and "=" not in rest[0]:
            if rest[1].startswith("--"):
                continue
            out.append(f"{rest.pop(0)}={rest.pop(0)}")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = _join_parameters(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("EXECKIT_DEBUG") == "1"
    try:
        status = app(given, prog_name="execkit", standalone_mode=False)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except ExecKitError as error:
        if debug:
            raise
        return _fail(str(error), 1)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  closed by the end of the process
        return 1
    except Exception as error:  # the last resort: one line for the user, the rest on request
        usage = getattr(error, "format_message", None)
        if usage is not None:
            words = usage()  # empty where the help was printed instead
            return _fail(f"{words} Try: execkit --help", 2) if words else 2
        if debug:
            raise
        hint = "this is a bug; EXECKIT_DEBUG=1 shows where"
        return _fail(f"{type(error).__name__}: {error} ({hint})", 1)
    return int(status or 0)


def _fail(text: str, status: int) -> int:
    print("execkit: " + " ".join(text.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
