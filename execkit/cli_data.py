"""`execkit data`: check and import market data, record it live, fetch that of the past."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from execkit.cli_parts import Json, Symbol, finish, records, say, verdict
from execkit.clock import NS_PER_S, to_ns
from execkit.errors import InvalidInput
from execkit.timeframes import interval_ns

if TYPE_CHECKING:
    from execkit.venues.feed import Feed
    from execkit.venues.fetching import Fetched
    from execkit.venues.recording import Recording
    from execkit.venues.route import Route

data = typer.Typer(
    help="Market data: check it, import it, record it live, fetch the past.", no_args_is_help=True
)

Exchange = Annotated[str, typer.Argument(help="For example binance, binanceusdm, bybit.")]
Rehearsal = Annotated[
    str | None,
    typer.Option(help="Admin address of a rehearsal exchange (`execkit rehearse` prints it)."),
]


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
    count = sum(f.severity == "error" for f in report.findings)
    problem = f"{path} has {count} kind(s) of error: see the report, mend the source"
    result = {"rows": rows, "spans_ns": spans, "findings": found}
    verdict(result, "" if report.ok else problem, as_json)


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


@data.command("record")
def data_record(
    exchange: Exchange,
    symbols: Annotated[list[str], typer.Argument(help="One or more, e.g. BTCUSDT ETHUSDT.")],
    out: Annotated[Path, typer.Option(help="Folder that the parts are written to.")],
    minutes: Annotated[
        float | None, typer.Option(min=0, help="How long; until Ctrl-C if left out.")
    ] = None,
    kinds: Annotated[
        str, typer.Option(help="Of depth, quotes, prints, bars, funding; with commas.")
    ] = "depth,prints",
    part_minutes: Annotated[
        float, typer.Option(min=0.001, help="Length of a part: what a kill can cost at most.")
    ] = 5.0,
    rehearsal: Rehearsal = None,
    as_json: Json = False,
) -> None:
    """Record live market data, part by part; `MarketData.load` of the folder reads all of it."""
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    route = _route(exchange, rehearsal)
    work = _record(exchange, symbols, wanted, out, minutes, part_minutes, route, as_json)
    feed, recording = asyncio.run(work)
    gaps = [
        {"symbol": g.symbol, "kind": g.kind, "reason": g.reason, "from_ns": g.from_ns,
         "to_ns": g.to_ns or None}
        for g in feed.board.gaps
    ]  # fmt: skip
    parts = recording.parts.names()
    say(f"{recording.rows:,} rows in {len(parts)} parts, {len(gaps)} gaps: {out}", as_json)
    result = {"folder": str(out), "rows": recording.rows, "parts": parts}
    received = dict(feed.board.counts)
    finish({**result, "received": received, "gaps": gaps, "epochs": feed.board.epoch}, as_json)


async def _record(
    exchange: str,
    symbols: list[str],
    kinds: list[str],
    out: Path,
    minutes: float | None,
    part_minutes: float,
    route: Route | None,
    as_json: bool,
) -> tuple[Feed, Recording]:
    from execkit.venues.feed import Feed
    from execkit.venues.quirks import quirks_for
    from execkit.venues.recording import Recording

    quirks = quirks_for(exchange)
    feed = Feed(quirks, symbols, kinds, route=route)
    recording = Recording(feed.board, out, exchange, part_s=60 * part_minutes)
    stopped = _stop_on_signal()
    try:
        await feed.start()
        say(f"recording {', '.join(feed.symbols)} of {exchange}; Ctrl-C ends it", as_json)
        until = None
        if minutes is not None:
            until = feed.board.clock.now_ns() + round(60 * minutes * NS_PER_S)
        work = [
            asyncio.ensure_future(recording.run(until)),
            asyncio.ensure_future(feed.failed()),
            asyncio.ensure_future(stopped.wait()),
        ]
        done, waiting = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()
    finally:
        await feed.close()
        await recording.close()
    return feed, recording


def _stop_on_signal() -> asyncio.Event:
    """Set by Ctrl-C or a polite kill: the open part is written before the end."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped


@data.command("fetch")
def data_fetch(
    exchange: Exchange,
    symbol: Annotated[str, typer.Argument(help="For example BTCUSDT, or BTCUSDT:USDT.")],
    start: Annotated[str, typer.Option("--from", help="2026-01-31, or ISO 8601 with a zone.")],
    out: Annotated[Path, typer.Option(help="Folder that the parts are written to.")],
    end: Annotated[str | None, typer.Option("--to", help="Not included; now if left out.")] = None,
    bars: Annotated[str | None, typer.Option(help="Bars of this length, e.g. 1m.")] = None,
    prints: Annotated[bool, typer.Option("--prints", help="Public prints.")] = False,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates.")] = False,
    rehearsal: Rehearsal = None,
    as_json: Json = False,
) -> None:
    """Fetch bars, prints or funding of the past; called again, it goes on where it was."""
    asked = {"bars": bars is not None, "prints": prints, "funding": funding}
    chosen = [kind for kind, on in asked.items() if on]
    if len(chosen) != 1:
        raise InvalidInput("kind", chosen, "say one of: --bars 1m, --prints, --funding")
    interval_ns(bars or "1m")  # refuses what is no length of time
    times = _moment(start, "from"), _moment(end, "to") if end else None
    route = _route(exchange, rehearsal)
    work = _fetch(exchange, symbol, chosen[0], bars or "1m", times, out, route, as_json)
    done = asyncio.run(work)
    say(f"{done.rows:,} rows of {chosen[0]}, {len(done.holes)} holes: {out}", as_json)
    holes = [{"from_ms": h.from_ms, "to_ms": h.to_ms, "reason": h.reason} for h in done.holes]
    result = {"folder": str(out), "rows": done.rows, "up_to_ns": done.up_to_ns}
    result |= {"resumed_ns": done.resumed_ns, "requests": done.requests}
    finish({**result, "n_holes": len(holes), "holes": holes[:100]}, as_json)


async def _fetch(
    exchange: str,
    symbol: str,
    kind: str,
    timeframe: str,
    times: tuple[int, int | None],
    out: Path,
    route: Route | None,
    as_json: bool,
) -> Fetched:
    from tqdm import tqdm

    from execkit.venues.client import make_client
    from execkit.venues.feed import load_markets
    from execkit.venues.fetching import Fetcher, exchange_now_ns
    from execkit.venues.quirks import quirks_for
    from execkit.words import normalise_symbol

    quirks, name = quirks_for(exchange), normalise_symbol(symbol)
    client = make_client(quirks, route=route)
    try:
        await load_markets(client, quirks)
        start, end = times
        now = await exchange_now_ns(client)  # ours may be off, and a bar that is open is no bar
        end = now if end is None else end
        fetcher = Fetcher(
            client, quirks, name, kind, start, end, out, timeframe=timeframe, now_ns=now
        )
        begun = fetcher.start_ms
        span = (fetcher.end_ms - begun) / 3_600_000
        form = "{l_bar}{bar}| {n:.1f}/{total:.1f} h [{elapsed}<{remaining}]{postfix}"
        with tqdm(total=span, bar_format=form, disable=as_json, desc=f"{name} {kind}") as bar:

            def progress(up_to_ns: int, rows: int) -> None:
                bar.n = min(span, (up_to_ns / 1e6 - begun) / 3_600_000)
                bar.set_postfix_str(f" {rows:,} rows", refresh=True)

            return await fetcher.run(progress)
    finally:
        await client.close()


def _route(exchange: str, rehearsal: str | None) -> Route | None:
    from execkit.venues.opening import rehearsed

    return None if rehearsal is None else rehearsed(exchange, rehearsal)[0]


def _moment(text: str, field: str) -> int:
    """UTC ns of a date, or of a time with a zone."""
    try:
        return to_ns(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC), field)
    except ValueError:
        return to_ns(text, field)
