"""The part of the doctor that asks an exchange: connection, clock, markets, key. It sends no order
and changes nothing there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from execkit.clock import NS_PER_MS
from execkit.doctor import Check, Level
from execkit.errors import ExecKitError
from execkit.redaction import redacted
from execkit.secrets import Credentials

if TYPE_CHECKING:
    from execkit.venues.quirks import Quirks
    from execkit.venues.route import Route

_ASKS = 5
_SKEW_MS, _WORST_SKEW_MS = 500, 10_000  # requests are stamped with the exchange's time all the same
_SLOW_MS = 1000


async def examine_exchange(
    quirks: Quirks,
    keys: Credentials | None,
    *,
    demo: bool = False,
    route: Route | None = None,
    timeout_s: float = 10.0,
) -> list[Check]:
    """Checks of one exchange, reached over `route` if given (a rehearsal). Ends at what makes the
    rest pointless. demo : its test world, where nobody asks what a key may do."""
    from execkit.venues.client import make_client

    test_world = demo and route is None
    client = make_client(quirks, keys, route=route, demo=test_world, timeout_s=timeout_s)
    try:
        skew_ms, out = await _connection(client, quirks)
        if skew_ms is None:
            return out
        client.clock_offset_ms = round(skew_ms)  # as a live venue does
        out.append(await _markets(client, quirks))
        if keys is not None:
            out += await _key(client, quirks, keys, demo=demo)
        return out
    finally:
        await client.close()


# --------------------------------------------------------------------------------- the parts


async def _connection(client: Any, quirks: Quirks) -> tuple[float | None, list[Check]]:
    """The exchange's clock less ours in ms, None where it cannot be reached; and the findings."""
    try:
        skew_ms, took_ms = await _clock(client)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        fix = "see whether this machine reaches the exchange (names, firewall, certificates)"
        return None, [Check("connection", Level.FAILURE, _short(error), fix)]
    said = f"{quirks.title} answers in {took_ms:.0f} ms at best"
    if took_ms > _SLOW_MS:
        fix = "use a machine nearer to the exchange, or a better line"
        return skew_ms, [Check("connection", Level.WARNING, said, fix), _clock_check(skew_ms)]
    return skew_ms, [Check("connection", Level.OK, said), _clock_check(skew_ms)]


def _clock_check(skew_ms: float) -> Check:
    said = f"this clock is {abs(skew_ms):,.0f} ms {'behind' if skew_ms > 0 else 'ahead of'} its own"
    fix = "set this machine's clock by NTP (chronyd, systemd-timesyncd): latencies are off by it"
    if abs(skew_ms) > _WORST_SKEW_MS:
        return Check("clock", Level.FAILURE, said, fix)
    if abs(skew_ms) > _SKEW_MS:
        return Check("clock", Level.WARNING, said, fix)
    return Check("clock", Level.OK, said)


async def _clock(client: Any) -> tuple[float, float]:
    """(exchange's clock less ours in ms, round trip in ms) of the quickest of some answers."""
    best = (0.0, float("inf"))
    for _ in range(_ASKS):
        sent = time.perf_counter()
        sent_ms = time.time_ns() / NS_PER_MS
        theirs_ms = float(await client.fetch_time())
        took_ms = (time.perf_counter() - sent) * 1000
        if took_ms < best[1]:
            best = (theirs_ms - (sent_ms + took_ms / 2), took_ms)
    return best


async def _markets(client: Any, quirks: Quirks) -> Check:
    try:
        await client.load_markets()
        found = quirks.learn(client)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        fix = "try again; if it stays, the exchange changed and execkit has to follow"
        return Check("markets", Level.FAILURE, _short(error), fix)
    if not found:
        return Check("markets", Level.FAILURE, "none that can be used here", "update execkit")
    return Check("markets", Level.OK, ", ".join(f"{n:,} {k}" for k, n in _counts(found).items()))


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    out: dict[str, int] = {}
    for instrument in found.values():
        kind = str(getattr(instrument.kind, "value", instrument.kind))
        out[kind] = out.get(kind, 0) + 1
    return out


async def _key(client: Any, quirks: Quirks, keys: Credentials, *, demo: bool) -> list[Check]:
    from execkit.venues.keycheck import ask_account, check_key

    try:
        await ask_account(client, quirks, keys, demo=demo)
        out = [Check("account", Level.OK, "the exchange takes the key, and tells the balances")]
        if demo:
            return out
        report = await check_key(client, quirks, keys)
    except ExecKitError as error:
        return [_told("key", Level.FAILURE, str(error))]
    if not report.warnings:
        said = "it can place orders, cannot withdraw, and works from listed addresses only"
        return [*out, Check("key", Level.OK, said)]
    return out + [_told("key", Level.WARNING, warning) for warning in report.warnings]


def _told(name: str, level: Level, text: str) -> Check:
    """What is wrong, and the way out behind the last colon of it."""
    said, _, fix = text.rpartition(": ")
    return Check(name, level, said or text, fix if said else "")


def _short(error: Exception) -> str:
    return redacted(f"{type(error).__name__}: {error}")[:300]
