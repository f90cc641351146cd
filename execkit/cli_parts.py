"""What the commands share: options, words for a human, one JSON object for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from execkit.errors import ExecKitError, InvalidData

if TYPE_CHECKING:
    import pandas as pd

    from execkit.store import Store

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last.")]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol.")]


class Reported(ExecKitError):
    """A failure of which the JSON object has been printed already."""


class Interrupted(Exception):
    """Ctrl-C, and what became of the work; of its own kind, for the parser eats the other."""


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


def verdict(result: Mapping[str, Any], problem: str, as_json: bool) -> None:
    """`finish` with "ok"; a `problem` is printed in it and raised."""
    told = {"error": problem} if problem else {}
    finish({"ok": not problem, **result, **told}, as_json)
    if problem:
        raise Reported(problem) if as_json else InvalidData(problem)


def open_store(path: Path) -> Store:
    """The store of a desk directory, or a DuckDB file; nothing is made yet."""
    from execkit.store import Store

    return Store(path)
