"""The client of a live venue: what it reaches, what it shows, what it refuses."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from execkit.errors import InvalidInput
from execkit.secrets import Credentials
from execkit.venues.client import make_client
from execkit.venues.quirks import EXCHANGES, Quirks, quirks_for
from execkit.venues.quirks.binance import Binance
from tests.helpers.lived import lived

KEY, SECRET = "kanarienvogel1234567", "geheimnis1234567890"


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
def test_only_hosts_of_the_exchange_are_reached_and_certificates_are_verified(
    exchange: str,
) -> None:
    network = make_client(quirks_for(exchange)).network

    assert network.domains
    assert not any(network.allows(host) for host in ("example.com", "127.0.0.1", "localhost", ""))
    for domain in network.domains:
        assert network.allows(f"api.{domain}")
        assert not network.allows(f"api.{domain}.evil.com")
        assert not network.allows(f"evil{domain}")
    context = network.certificates()
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    "options", [{"verbose": True}, {"aiohttp_trust_env": True}, {"verify": False}], ids=str
)
def test_options_that_would_show_or_misdirect_signed_requests_are_refused(
    options: dict[str, Any],
) -> None:
    class Careless(Binance):
        def options(self) -> dict[str, Any]:
            return super().options() | options

    with pytest.raises(InvalidInput) as wrong:
        make_client(Careless())

    assert wrong.value.field in options


def test_verbose_cannot_be_turned_on_later_either() -> None:
    client = make_client(quirks_for("binance"))
    with pytest.raises(InvalidInput):
        client.verbose = True

    assert client.verbose is False


def test_an_exchange_that_ccxt_does_not_have_is_named() -> None:
    class Nowhere(Quirks):
        id = "nowhere"
        title = "Nowhere"

    with pytest.raises(InvalidInput, match="nowhere"):
        make_client(Nowhere())


async def test_an_address_that_is_no_name_of_the_exchange_is_not_reached() -> None:
    async with lived() as live:
        client = live.venue.client
        port = live.r.port
        for url in (
            f"https://127.0.0.1:{port}/api/v3/time",
            "https://example.com/",
            "http://api.binance.com/api/v3/time",
        ):
            with pytest.raises(Exception, match=url.split("/")[2].split(":")[0]) as failed:
                await client.fetch(url)
            assert "is not a place of this exchange" in str(failed.value.__cause__)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with lived() as live:
        await live.venue.submit(live.order())

        assert len(live.r.exchange.orders("main")) == 1


async def test_no_log_at_any_level_shows_keys_or_signatures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with lived() as live:
        await live.venue.submit(live.order())
        live.r.exchange.revoke_key()
        await live.venue.submit(live.order())
        text, keys = caplog.text, live.r.credentials
        assert "signature=" not in text
        assert keys["key"] not in text
        assert keys["secret"] not in text


def test_a_key_is_not_shown_by_the_client_that_has_it() -> None:
    client = make_client(quirks_for("binance"), Credentials(KEY, SECRET))

    assert client.apiKey == KEY
    assert KEY not in repr(vars(client))
    assert SECRET not in repr(vars(client))
