"""`open_venue`: one call to a venue of an exchange, in the world that its caller names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from execkit.clock import Clock
from execkit.errors import FixRequest, InvalidInput, RetryLater
from execkit.secrets import Credentials, load_credentials
from execkit.venues.emulated import EmulatedVenue
from execkit.venues.quirks import quirks_for
from execkit.venues.route import Route
from execkit.words import ExecutionMode

if TYPE_CHECKING:
    from execkit.venues.feed_paper import FeedPaper
    from execkit.venues.live import LiveVenue

_INFO_S = 5.0


@runtime_checkable
class Rehearsing(Protocol):
    """A rehearsal exchange in this process."""

    def info(self) -> Mapping[str, Any]: ...


def open_venue(
    exchange: str,
    mode: ExecutionMode | str = ExecutionMode.DEMO,
    *,
    account: str = "",
    credentials: Credentials | None = None,
    symbols: Sequence[str] = (),
    rehearsal: str | Rehearsing = "",
    name: str = "",
    clock: Clock | None = None,
    **settings: Any,
) -> EmulatedVenue | FeedPaper:
    """A venue of an exchange, not yet connected: ``await venue.connect()``, or let an engine do it.

    What the exchange lacks and our side can do safely is done on our side (see `EmulatedVenue`).

    Parameters
    ----------
    exchange : ccxt's name, e.g. "binance". mode : "demo" is the exchange's test network, with keys
    of its own; "paper" its live streams without keys, matched here (`FeedPaper`); "live" is real
    money and has to be said. account : which of several sets of keys. credentials : instead of
    those that `execkit.secrets` finds by name. symbols : whose quotes are streamed from the start;
    of paper: all that can be traded. rehearsal : the admin address of an ``execkit rehearse`` on
    this machine, or the `Rehearsal` itself; its own keys are used, and nothing leaves the machine.
    name : under which an engine routes to it, for two accounts of one exchange. settings : of
    `LiveVenue`; of paper: those of `FeedPaper`, and kinds, stale_s, start_timeout_s of its `Feed`.

    Raises
    ------
    InvalidInput : an exchange or mode that there is not, a rehearsal with mode "live".
    FixRequest : no keys, or the live extra is not installed. RetryLater : no rehearsal answers.
    """
    world = ExecutionMode.of(mode, "mode")
    if world is ExecutionMode.PAPER:
        return _paper(exchange, symbols, rehearsal, name, clock, settings)
    quirks = quirks_for(exchange)
    route = None
    if rehearsal:
        if world is ExecutionMode.LIVE:
            raise InvalidInput("mode", "live", "a rehearsal is never live; use mode='demo'")
        route, found = rehearsed(exchange, rehearsal)
        credentials = credentials or found
    elif credentials is None:
        credentials = load_credentials(exchange, account, demo=world is ExecutionMode.DEMO)
    venue = _live()(
        quirks,
        credentials,
        mode=world,
        name=name,
        symbols=symbols,
        route=route,
        clock=clock,
        **settings,
    )
    return EmulatedVenue(venue, quirks.require, clock=clock)


def _paper(
    exchange: str,
    symbols: Sequence[str],
    rehearsal: str | Rehearsing,
    name: str,
    clock: Clock | None,
    settings: dict[str, Any],
) -> FeedPaper:
    """Live streams without keys, and our own matching on them."""
    _live()  # says what is missing if ccxt is
    from execkit.venues.feed import Feed
    from execkit.venues.feed_paper import FeedPaper

    route = rehearsed(exchange, rehearsal)[0] if rehearsal else None
    for_feed = {
        k: settings.pop(k) for k in ("kinds", "stale_s", "start_timeout_s") if k in settings
    }
    feed = Feed(quirks_for(exchange), symbols, route=route, clock=clock, **for_feed)
    return FeedPaper(feed, name or exchange, **settings)


def _live() -> type[LiveVenue]:
    try:
        from execkit.venues.live import LiveVenue
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "ccxt"):
            raise
        raise FixRequest("exchanges need ccxt: pip install 'execkit[live]'") from None
    return LiveVenue


def rehearsed(exchange: str, rehearsal: str | Rehearsing) -> tuple[Route, Credentials]:
    """How to reach a rehearsal of that exchange, and its keys. Raises as `open_venue`."""
    info = rehearsal.info() if isinstance(rehearsal, Rehearsing) else rehearsal_info(str(rehearsal))
    route = Route.of(info)
    if info.get("exchange") != exchange:
        fix = f"that rehearsal is of {info.get('exchange')!r}"
        raise InvalidInput("exchange", exchange, fix)
    key, secret, password = (str(info.get(n) or "") for n in ("key", "secret", "password"))
    return route, Credentials(key, secret, password or None, origin="the rehearsal")  # type: ignore[arg-type]


def rehearsal_info(url: str) -> Mapping[str, Any]:
    """What a rehearsal on this machine says about how to reach it. Raises as `open_venue`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        fix = "give the admin address that `execkit rehearse` prints, http://127.0.0.1:PORT"
        raise InvalidInput("rehearsal", url, fix)
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/info", timeout=_INFO_S) as answer:
            return json.loads(answer.read(2**20))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        text = f"no rehearsal answers at {url} ({error}); one in this process is passed itself"
        raise RetryLater(text) from None
