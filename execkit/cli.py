"""The command line. Each command loads what it needs when it runs, and speaks JSON if asked.

Exit status: 0 only on success, 1 for an error (one line on stderr that says what to do), 2 for a
command that was not understood, 130 after Ctrl-C. With ``--json`` the last line of stdout is one
JSON object, of a failure too: ``{"ok": false, "error": ...}``.
``EXECKIT_DEBUG=1`` shows the traceback of an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from execkit import (
    __version__,
    cli_bench,
    cli_data,
    cli_live,
    cli_rehearse,
    cli_simulate,
    cli_sweep,
)
from execkit.cli_parts import (
    Interrupted,
    Json,
    Reported,
    Symbol,
    finish,
    open_store,
    records,
    say,
    verdict,
)
from execkit.errors import ExecKitError, InvalidData, StoreCorrupt

if TYPE_CHECKING:
    from execkit.journal import Journal

app = typer.Typer(
    name="execkit",
    help="From signals to fills to slippage, on recorded data and on venues.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
store = typer.Typer(help="The DuckDB store of a desk: rebuild, check, query.", no_args_is_help=True)
app.add_typer(cli_data.data, name="data")
app.add_typer(store, name="store")
app.add_typer(cli_bench.bench, name="bench")
app.command()(cli_simulate.simulate)
app.command()(cli_sweep.sweep)
app.command()(cli_rehearse.rehearse)
app.command()(cli_live.doctor)

DeskPath = Annotated[Path, typer.Argument(help="Desk directory, with journal and store.")]


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


@store.command("rebuild")
def store_rebuild(desk: DeskPath, as_json: Json = False) -> None:
    """Make the DuckDB file anew from the journal; simulated runs are carried over."""
    if simulate_only(desk):
        runs = simulated_runs(desk)
        text = f"{desk} has no journal, so there is nothing to rebuild from; the store with its "
        say(f"{text}{runs:,} simulated runs is left alone", as_json)
        finish({"store": str(open_store(desk).path), "simulated_runs": runs}, as_json)
        return
    with open_journal(desk) as journal:
        kept = open_store(desk)
        report = kept.rebuild(journal)
    say(f"{kept.path} holds journal rows up to {report.last_seq} again", as_json)
    if report.set_aside:
        text = "the old file could not be read: simulated runs in it are not in the new one; it is "
        say(f"{text}kept as {report.set_aside}", as_json)
    result = {"store": str(kept.path), "last_seq": report.last_seq, "added": report.added}
    finish({**result, "set_aside": report.set_aside or None}, as_json)


@store.command("check")
def store_check(desk: DeskPath, as_json: Json = False) -> None:
    """Verify the journal's chain and that the store agrees with it. Exit status 1 if not."""
    if simulate_only(desk):
        runs = simulated_runs(desk)
        say(f"{desk} has no journal, and {runs:,} simulated runs: ok", as_json)
        finish({"ok": True, "journal": None, "simulated_runs": runs}, as_json)
        return
    with open_journal(desk) as journal:
        report = open_store(desk).check(journal)
    say(
        f"{report.orders:,} orders and {report.fills:,} fills compared; "
        f"{report.pending:,} journal rows wait for the next ingest",
        as_json,
    )
    result = {"orders": report.orders, "fills": report.fills, "pending": report.pending}
    problem = f"{'; '.join(report.problems)}: run `execkit store rebuild {desk}`"
    result_of = {**result, "problems": report.problems}
    verdict(result_of, "" if report.ok else problem, as_json)


@store.command("sql")
def store_sql(
    path: Annotated[Path, typer.Argument(help="Desk directory or DuckDB file.")],
    query: Annotated[str, typer.Argument(help="For example: SELECT * FROM slippage LIMIT 5")],
    as_json: Json = False,
) -> None:
    """Answer one query, read-only."""
    answer = open_store(path).sql(query)
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


def simulate_only(desk: Path) -> bool:
    """Whether the desk has a store and no journal, as after `execkit simulate`."""
    from execkit.journal import locate, mark_of

    journal = locate(desk)
    known = journal.exists() or mark_of(journal).exists()
    return desk.is_dir() and not known and open_store(desk).path.exists()


def simulated_runs(desk: Path) -> int:
    """Runs in a store without a journal; `InvalidData` where the journal is what is missing."""
    kept = open_store(desk)
    try:
        kept.tables()  # reads each of them
        found = kept.sql("SELECT count(*) AS n, count(journal_id) AS fed FROM runs").iloc[0]
    except (StoreCorrupt, InvalidData) as error:
        reason = str(error).partition(": run ")[0]
        raise InvalidData(
            f"{reason}, and {desk} has no journal to rebuild it from; the file is left alone: put "
            "a copy of it back, or move it away and simulate again"
        ) from None
    if found["fed"]:
        raise InvalidData(
            f"{desk} has no journal, but {found['fed']} runs in {kept.path} came from one: put "
            "the journal back; the store is left alone"
        )
    return int(found["n"])


def open_journal(desk: Path) -> Journal:
    """The journal of a desk that is there; opened first, so that a typo makes no directory."""
    from execkit.journal import Journal

    return Journal(desk, create=False)


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
    debug, as_json = os.environ.get("EXECKIT_DEBUG") == "1", "--json" in given
    try:
        status = app(given, prog_name="execkit", standalone_mode=False)
    except (KeyboardInterrupt, Interrupted) as stop:
        return _fail(str(stop) or "interrupted", 130, as_json)
    except ExecKitError as error:
        if debug:
            raise
        return _fail(str(error), 1, as_json and not isinstance(error, Reported))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  closed by the end of the process
        return 1
    except Exception as error:  # the last resort: one line for the user, the rest on request
        usage = getattr(error, "format_message", None)
        if usage is not None:
            words = usage()  # empty where the help was printed instead
            return _fail(f"{words} Try: execkit --help", 2, as_json) if words else 2
        if debug:
            raise
        hint = "this is a bug; EXECKIT_DEBUG=1 shows where"
        return _fail(f"{type(error).__name__}: {error} ({hint})", 1, as_json)
    # the parser makes this status of a Ctrl-C that no command caught
    return _fail("interrupted", 130, as_json) if status == 130 else int(status or 0)


def _fail(text: str, status: int, as_json: bool) -> int:
    line = " ".join(text.split())
    print(f"execkit: {line}", file=sys.stderr)
    finish({"ok": False, "error": line}, as_json)
    return status


if __name__ == "__main__":
    sys.exit(main())
