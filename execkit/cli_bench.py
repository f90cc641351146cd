"""`execkit bench`: how fast, beside others on the same work; how near to real orders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from execkit.cli_parts import Json, finish, say
from execkit.errors import InvalidData

bench = typer.Typer(
    help="Measure the simulator: its speed beside peers, its truth beside real orders.",
    no_args_is_help=True,
)

Quick = Annotated[bool, typer.Option("--quick", help="Tiny sizes, to see that it runs.")]


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@bench.command("simulator")
def bench_simulator(
    only: Annotated[
        str, typer.Option(metavar="w1,w2,...", help="Only these workloads, by name.")
    ] = "",
    quick: Quick = False,
    full: Annotated[
        bool, typer.Option("--full", help="Also what takes minutes and gigabytes: 100M rows.")
    ] = False,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Measure peers too.")] = True,
    peer_python: Annotated[
        list[Path] | None,
        typer.Option(help="A Python that has peers which do not install beside execkit; repeat."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes an engine.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the report here too, as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """The speed table: each engine in fresh processes, in turns, on the same data."""
    from execkit.bench.report import told
    from execkit.bench.run import run_simulator
    from execkit.bench.setting import Setting

    report = run_simulator(
        [name.strip() for name in only.split(",") if name.strip()],
        setting=Setting(quick=quick, full=full),
        rounds=rounds,
        with_peers=peers,
        interpreters=peer_python or [],
        say=progress,
    )
    if out is not None:
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    say(told(report), as_json)
    finish(report, as_json)


@bench.command("realism")
def bench_realism(
    path: Annotated[
        Path | None,
        typer.Argument(help="A set of recordings; without it each folder of $EXECKIT_DATA."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer orders.")] = False,
    as_json: Json = False,
) -> None:
    """What the models say of real orders, fitted on the first half and judged on the second."""
    from execkit.bench.realism import run_realism, told

    report = run_realism(path, quick=quick, say=progress)
    say(told(report), as_json)
    finish(report, as_json)


@bench.command("readme")
def bench_readme(
    results: Annotated[Path, typer.Argument(help="What `bench simulator --out` wrote.")],
    readme: Annotated[Path, typer.Option(help="The file whose section is replaced.")] = Path(
        "README.md"
    ),
    as_json: Json = False,
) -> None:
    """Put the speed table of a report into the README."""
    from execkit.bench.readme import replace_section

    try:
        report = json.loads(results.read_text(encoding="utf-8"))
        before = readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidData(f"{error}: give a report of `bench simulator --out`") from None
    readme.write_text(replace_section(before, report), encoding="utf-8")
    say(f"{readme}: performance section written", as_json)
    finish({"readme": str(readme), "rows": len(report["rows"])}, as_json)
