"""Whether a key is fit for real money, asked of the exchange before the first order.

A key that can withdraw is refused: whoever finds it needs no bad order to take everything. One that
may be used from any address is a warning; some exchanges let such keys expire, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from execkit.clock import NS_PER_S
from execkit.errors import FixRequest, RetryLater
from execkit.redaction import cleaned, redacted
from execkit.secrets import Credentials
from execkit.venues.quirks.base import Quirks
from execkit.venues.quirks.calls import Permissions

ACCEPT_WITHDRAWALS = "this key can withdraw my funds"
"""What has to be typed to use a key that can withdraw."""

_SOON_NS = 7 * 24 * 3600 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What is known of a key. warnings : sentences, each with the way out."""

    permissions: Permissions
    warnings: tuple[str, ...] = ()


async def check_key(
    client: Any, quirks: Quirks, credentials: Credentials, *, now_ns: int, accept: str = ""
) -> KeyReport:
    """Ask the exchange what the key may do, and refuse one that is not fit for real money.

    For live accounts; test worlds have no such question. `client` : a ccxt client with the key.
    accept : `ACCEPT_WITHDRAWALS`, typed by a human, to use a key that can withdraw all the same.

    Raises
    ------
    FixRequest : the exchange does not know the key, the key can withdraw, or it may not trade.
    RetryLater : no answer: what is not known to be safe does not start.
    """
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
    return judged(found, quirks, credentials, now_ns=now_ns, accept=accept)


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
    error: Exception, quirks: Quirks, credentials: Credentials, *, demo: bool
) -> FixRequest:
    """What it means that an exchange did not have a key at the start, as an error to raise."""
    here, there = ("test world", "live exchange") if demo else ("live exchange", "test world")
    said = redacted(str(error)).strip()[:200]
    return FixRequest(
        f"{quirks.title} does not accept the key {credentials.origin} ({said}): check that it is a "
        f"key of the {here} and not of the {there}, that it is enabled there and may be used from "
        "this address, and that key, secret and password belong together"
    )
