"""`execkit rehearse`: a local exchange to rehearse a strategy on, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from execkit.cli_parts import Json, Symbol, say
from execkit.errors import InvalidInput

if TYPE_CHECKING:
    from execkit.market import MarketData
    from execkit.rehearsal import Rehearsal

_HOW = """\
rehearsing {exchange} on loopback; nothing here reaches a real exchange. Ctrl-C ends it.
symbols   {symbols}
admin     {admin_url}   (GET /info; all else wants the header X-Token: {admin_token})
python    import json, urllib.request, ccxt.pro
          from execkit.venues.route import Route
          info = json.load(urllib.request.urlopen("{admin_url}/info"))
          client = ccxt.pro.{exchange}({{"apiKey": info["key"], "secret": info["secret"],
                                         "password": info["password"]}})
          Route.of(info).attach(client)      # inside the running loop
a fault   curl -H "X-Token: {admin_token}" {admin_url}/faults/add \\
            -d '{{"point": "answer", "verb": "reset", "op": "create"}}'
"""


def rehearse(
    exchange: Annotated[str, typer.Option(help="Whose dialect: a ccxt id.")] = "binance",
    data: Annotated[
        Path | None, typer.Option(help="Recorded market data that its orders meet.")
    ] = None,
    symbol: Symbol = None,
    generate: Annotated[
        int | None, typer.Option(metavar="SEED", help="A generated market that moves.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Length of the generated market.")] = 2.0,
    speed: Annotated[
        float, typer.Option(help="Of its clock; 0: moved by POST /clock/advance.")
    ] = 1,
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
    admin_port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    as_json: Json = False,
) -> None:
    """A local exchange that speaks a real one's dialect; without data its book stands still."""
    if data is not None and generate is not None:
        raise InvalidInput("generate", generate, "give either --data or --generate")
    from execkit.rehearsal import Rehearsal

    market = _market(data, symbol, generate, hours)
    made = Rehearsal(
        exchange, market=market, speed=speed, seed=seed, port=port, admin_port=admin_port
    )
    asyncio.run(_serve(made, as_json))


def _market(
    data: Path | None, symbol: str | None, generate: int | None, hours: float
) -> MarketData | None:
    if data is not None:
        from execkit.market import MarketData

        return MarketData.load(data, symbol)
    if generate is not None:
        from execkit.rehearsal.markets import lively

        return lively(generate, hours)
    return None


async def _serve(rehearsal: Rehearsal, as_json: bool) -> None:
    """Run until Ctrl-C or SIGTERM, which are how it is meant to end."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with rehearsal:
        told: dict[str, Any] = {
            **rehearsal.info(),
            "admin_url": rehearsal.admin_url,
            "admin_token": rehearsal.admin_token,
            "symbols": list(rehearsal.exchange.rules),
        }
        if as_json:
            tell_now(json.dumps(told))
        else:
            words = {**told, "symbols": ", ".join(told["symbols"])}
            tell_now(_HOW.format(**words))
        await ended.wait()
    say("ended", as_json)


def tell_now(text: str) -> None:
    """Print at once: whoever started this waits for it."""
    import sys

    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
