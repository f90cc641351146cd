"""Whether a key is fit for real money, asked of the exchange before the first order.

A key that can withdraw is refused: whoever finds it needs no bad order to take everything. One that
may be used from any address is a warning; some exchanges let such keys expire, too.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from execkit.clock import NS_PER_S
from execkit.errors import FixRequest, RetryLater, StopTrading
from execkit.redaction import cleaned, redacted
from execkit.secrets import Credentials
from execkit.venues.quirks.base import Quirks
from execkit.venues.quirks.calls import Permissions

ACCEPT_WITHDRAWALS = "this key can withdraw my funds"
"""What has to be typed to use a key that can withdraw."""

_log = logging.getLogger(__name__)
_SOON_NS = 7 * 24 * 3600 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What is known of a key. warnings : sentences, each with the way out."""

    permissions: Permissions
    warnings: tuple[str, ...] = ()


async def prove_key(
    client: Any, quirks: Quirks, credentials: Credentials, demo: bool, accept: str
) -> None:
    """What a venue asks before anything else: for real money all of `check_key`, in a test world
    whether the key is taken. A stream alone would look up before it is refused."""
    if not demo:
        await check_key(client, quirks, credentials, accept=accept)
    if demo or quirks.permissions_call() is None:
        await ask_account(client, quirks, credentials, demo=demo)


async def check_key(
    client: Any, quirks: Quirks, credentials: Credentials, *, accept: str = ""
) -> KeyReport:
    """Ask the exchange what the key may do, and refuse one that is not fit for real money.

    For live accounts; test worlds have no such question. `client` : a ccxt client with the key.
    accept : `ACCEPT_WITHDRAWALS`, typed by a human, to use a key that can withdraw all the same.
    Warnings are logged, too.

    Raises
    ------
    FixRequest : the key can withdraw, or it may not place orders.
    StopTrading : the exchange does not take the key.
    RetryLater : no answer: what is not known to be safe does not start.
    """
    report = await _asked(client, quirks, credentials, accept)
    for warning in report.warnings:
        _log.warning("%s", warning)
    return report


async def _asked(client: Any, quirks: Quirks, credentials: Credentials, accept: str) -> KeyReport:
    call = quirks.permissions_call()
    if call is None:
        unknown = (
            f"{quirks.title} does not tell what a key may do: see there that it cannot withdraw"
        )
        return KeyReport(permissions=Permissions(), warnings=(unknown,))
    import ccxt

    try:
        answer = await getattr(client, call.method)(*call.args, params=dict(call.params))
        found = quirks.permissions(answer)
    except ccxt.AuthenticationError as error:
        raise refused_key(error, quirks, credentials, demo=False) from cleaned(error)
    except ccxt.BaseError as error:
        raise RetryLater(
            f"{quirks.title} did not tell what the key may do ({redacted(str(error))[:200]}): "
            "try again; live does not start without knowing"
        ) from cleaned(error)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise RetryLater(
            f"{quirks.title} told what the key may do in a way that is not known here "
            f"({type(error).__name__}): upgrade execkit, or use an account of another exchange"
        ) from cleaned(error)
    return judged(found, quirks, credentials, now_ns=time.time_ns(), accept=accept)


async def ask_account(
    client: Any, quirks: Quirks, credentials: Credentials, *, demo: bool = False
) -> None:
    """Ask for the balances: the first question that only a good key gets an answer to.

    Raises `StopTrading` where the key is refused, `RetryLater` where there is no answer.
    """
    import ccxt

    call = quirks.holdings_calls()[0]
    try:
        await getattr(client, call.method)(*call.args, params=dict(call.params))
    except ccxt.AuthenticationError as error:
        raise refused_key(error, quirks, credentials, demo=demo) from cleaned(error)
    except ccxt.BaseError as error:
        said = redacted(str(error))[:200]
        raise RetryLater(f"{quirks.title} does not tell the balances ({said}): try again") from (
            cleaned(error)
        )


def judged(
    found: Permissions, quirks: Quirks, credentials: Credentials, *, now_ns: int, accept: str = ""
) -> KeyReport:
    """`check_key` when the answer is there."""
    place = f"{quirks.title}: the key {credentials.origin}"
    if found.withdrawals and accept != ACCEPT_WITHDRAWALS:
        raise FixRequest(
            f"{place} can withdraw funds: make one that cannot, and use it; or, if it must be "
            f"this one, pass accept={ACCEPT_WITHDRAWALS!r}"
        )
    if found.orders is False:
        raise FixRequest(f"{place} may not place orders: allow trading for it at the exchange")
    warnings = []
    if found.withdrawals is None:
        warnings.append(f"{place}: whether it can withdraw is not told: see that it cannot")
    if not found.bound_to_address:
        warnings.append(f"{place} may be used from any address: list those of this machine there")
    if found.expires_ns and found.expires_ns - now_ns < _SOON_NS:
        days = max(0, found.expires_ns - now_ns) // (24 * 3600 * NS_PER_S)
        warnings.append(f"{place} ends in {days} days: renew it before that")
    return KeyReport(permissions=found, warnings=tuple(warnings))


def refused_key(
    said: object, quirks: Quirks, credentials: Credentials, *, demo: bool
) -> StopTrading:
    """What it means that an exchange refuses a key at the start, as an error to raise. said : its
    words, or the error that has them."""
    here, there = ("test world", "live exchange") if demo else ("live exchange", "test world")
    words = redacted(str(said)).strip()[:200]
    return StopTrading(
        f"{quirks.title} does not take the key {credentials.origin} ({words}): check that it is a "
        f"key of the {here} and not of the {there}, that it is enabled there and may be used from "
        "this address, and that key, secret and password belong together"
    )
