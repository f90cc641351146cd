"""Commands around live trading: `execkit doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from execkit.cli_parts import Json, say, verdict

if TYPE_CHECKING:
    from execkit.doctor import Check
    from execkit.venues.capabilities import Capability


def doctor(
    exchange: Annotated[
        str | None, typer.Option(help="Ask this exchange too; ccxt's name of it.")
    ] = None,
    account: Annotated[str, typer.Option(help="Which account's key, if there are several.")] = "",
    demo: Annotated[bool, typer.Option("--demo", help="The exchange's test world.")] = False,
    rehearsal: Annotated[
        str,
        typer.Option(help="The address that `execkit rehearse` prints, instead of an exchange."),
    ] = "",
    desk: Annotated[Path, typer.Option(help="Directory of the desk.")] = Path(),
    as_json: Json = False,
) -> None:
    """Is this machine, desk and key fit to trade? Sends no order. Exit status 1 on a failure."""
    from execkit.doctor import Level, examine

    found: list[Check] = []
    for check in examine(desk):
        say(check, as_json)
        found.append(check)
    cells: list[Capability] = []
    if exchange or rehearsal:
        asked, cells = _of_exchange(exchange or "", account, demo, rehearsal)
        found += asked
        for check in asked:
            say(check, as_json)
        say(_matrix(cells), as_json)
    bad = [check for check in found if check.level is Level.FAILURE]
    problem = "; ".join(f"{c.name}: {c.said}" + (f" ({c.fix})" if c.fix else "") for c in bad)
    result = {
        "checks": [
            {"name": c.name, "level": c.level.value, "said": c.said, "fix": c.fix} for c in found
        ],
        "capabilities": [
            {"kind": c.kind, "feature": c.feature, "support": c.support.value, "note": c.note}
            for c in cells
        ],
    }
    verdict(result, problem, as_json)


def _of_exchange(
    exchange: str, account: str, demo: bool, rehearsal: str
) -> tuple[list[Check], list[Capability]]:
    from execkit.doctor import examine_keys
    from execkit.doctor_exchange import examine_exchange
    from execkit.venues.capabilities import capabilities
    from execkit.venues.opening import rehearsal_info, rehearsed
    from execkit.venues.quirks import quirks_for

    if rehearsal:
        exchange = exchange or str(rehearsal_info(rehearsal).get("exchange"))
        route, keys = rehearsed(exchange, rehearsal)
        found = asyncio.run(examine_exchange(quirks_for(exchange), keys, route=route))
        return found, capabilities(exchange)
    quirks = quirks_for(exchange)
    own, first = examine_keys(exchange, account, demo=demo)
    found = asyncio.run(examine_exchange(quirks, own, demo=demo))
    return [first, *found], capabilities(exchange)


def _matrix(cells: Sequence[Capability]) -> str:
    """What the exchange does with each kind of order, a row each."""
    kinds = list(dict.fromkeys(cell.kind for cell in cells))
    known = {(cell.feature, cell.kind): cell for cell in cells}
    lines = [f"{'':<16}" + "".join(f"{kind:<12}" for kind in kinds)]
    for feature in dict.fromkeys(cell.feature for cell in cells):
        row = [known[feature, kind] for kind in kinds]
        notes = "; ".join(dict.fromkeys(cell.note for cell in row if cell.note))
        words = "".join(f"{cell.support.value:<12}" for cell in row)
        lines.append(f"{feature:<16}{words}{notes}".rstrip())
    return "\n".join(lines)
