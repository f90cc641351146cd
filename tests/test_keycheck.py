"""A key is fit for real money, or the message says what to do about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import ccxt
import pytest

from execkit.clock import NS_PER_MS, NS_PER_S
from execkit.errors import FixRequest, RetryLater, StopTrading
from execkit.secrets import Credentials, Secret
from execkit.venues.keycheck import ACCEPT_WITHDRAWALS, KeyReport, check_key, judged, refused_key
from execkit.venues.quirks import EXCHANGES, Permissions, Quirks, quirks_for

NOW_NS = 1_800_000_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S
KEYS = Credentials(
    Secret("key0123456789abcdefghij"),
    Secret("secret0123456789abcdefg"),
    origin="BINANCE_API_KEY in the environment",
)
# as the exchange documents it
BINANCE = {
    "ipRestrict": True,
    "createTime": 1623840271000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": True,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": True,
    "enableVanillaOptions": False,
    "enableSpotAndMarginTrading": True,
}


@dataclass
class Answering:
    """A client whose one method answers, or raises; it notes what it was asked."""

    answer: Any
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        async def method(*args: object, params: object = None) -> Any:
            self.asked.append(name)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return method


def asked(answer: Any, *, accept: str = "", quirks: Quirks | None = None) -> KeyReport:
    quirks = quirks or quirks_for("binance")
    return asyncio.run(check_key(Answering(answer), quirks, KEYS, accept=accept))


def judge(accept: str = "", **facts: Any) -> KeyReport:
    found = Permissions(**{"orders": True, "withdrawals": False, "bound_to_address": True} | facts)
    return judged(found, quirks_for("binance"), KEYS, now_ns=NOW_NS, accept=accept)


def test_a_key_that_may_only_trade_from_listed_addresses_has_no_warnings() -> None:
    assert asked(BINANCE).warnings == ()


def test_a_key_that_can_withdraw_is_refused_and_named() -> None:
    with pytest.raises(FixRequest, match="BINANCE_API_KEY in the environment can withdraw funds"):
        asked(BINANCE | {"enableWithdrawals": True})


@pytest.mark.parametrize("typed", ["yes", "true", ACCEPT_WITHDRAWALS.upper(), ""])
def test_only_the_typed_sentence_lets_it_pass(typed: str) -> None:
    with pytest.raises(FixRequest, match="this key can withdraw my funds"):
        judge(typed, withdrawals=True)
    assert judge(ACCEPT_WITHDRAWALS, withdrawals=True).permissions.withdrawals


def test_a_key_that_may_not_trade_is_refused() -> None:
    with pytest.raises(FixRequest, match="allow trading for it"):
        judge(orders=False)


@pytest.mark.parametrize("bound", [False, None])
def test_a_key_that_works_from_any_address_is_a_warning(bound: bool | None) -> None:
    (warning,) = judge(bound_to_address=bound).warnings

    assert "any address" in warning


def test_a_key_that_soon_ends_is_a_warning() -> None:
    (warning,) = judge(expires_ns=NOW_NS + 3 * DAY_NS + 1).warnings

    assert "ends in 3 days" in warning
    assert judge(expires_ns=NOW_NS + 30 * DAY_NS).warnings == ()


def test_what_is_not_told_is_a_warning_and_never_a_yes() -> None:
    first, *_ = judge(withdrawals=None).warnings

    assert "whether it can withdraw is not told" in first


@pytest.mark.parametrize(
    ("exchange", "code"), [("binance", "-2015"), ("binance", "-2014"), ("binance", "-1022")]
)
def test_a_key_that_the_exchange_does_not_know_is_explained(exchange: str, code: str) -> None:
    kind = getattr(ccxt, exchange)().exceptions["exact"][code]
    error = kind(f'{exchange} {{"code":{code},"msg":"Invalid API-key"}} signature=aaaaaaaaaaaaaaaa')

    with pytest.raises(StopTrading, match="key of the live exchange and not of the test") as caught:
        asked(error)
    assert "BINANCE_API_KEY in the environment" in str(caught.value)
    assert code in str(caught.value)
    assert "aaaaaaaa" not in str(caught.value)
    assert "aaaaaaaa" not in str(caught.value.__cause__)


def test_a_test_key_is_explained_the_other_way_round() -> None:
    told = str(refused_key(ccxt.AuthenticationError("no"), quirks_for("binance"), KEYS, demo=True))

    assert "key of the test world and not of the live exchange" in told


@pytest.mark.parametrize(
    "answer",
    [ccxt.RequestTimeout("late"), ccxt.ExchangeNotAvailable("x"), ccxt.ExchangeError("y"), [1], 5],
)
def test_without_an_answer_that_is_understood_live_does_not_start(answer: Any) -> None:
    with pytest.raises(RetryLater, match="what the key may do"):
        asked(answer)


def test_an_exchange_that_does_not_tell_is_a_warning() -> None:
    class Silent(Quirks):
        id, title = "silent", "Silent"

    (warning,) = asked({}, quirks=Silent()).warnings

    assert "does not tell" in warning


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_question_is_one_that_ccxt_can_ask(exchange: str) -> None:
    quirks = quirks_for(exchange)
    call = quirks.permissions_call()

    if call is not None:
        assert callable(getattr(getattr(ccxt, exchange)(), call.method))


def test_a_tampered_expiry_far_away_is_no_warning() -> None:
    far = str(NOW_NS // NS_PER_MS + 10**12)

    assert asked(BINANCE | {"tradingAuthorityExpirationTime": far}).warnings == ()
