"""Faults L01-L17: what an attacker, a careless paste or a hostile payload could do.

One test or more for each fault; the id is in its name.
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import logging
import os
import re
import stat
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit import cli_sweep
from execkit.checks import MarketReport
from execkit.dashboards import report, slippage
from execkit.engine import ExecutionResult
from execkit.errors import (
    ExecKitError,
    FixRequest,
    InvalidInput,
    OutcomeUnknown,
    RetryLater,
    StopTrading,
)
from execkit.frames import frame_html, table_html
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.tls import make_certificates
from execkit.runner import refuse_secret
from execkit.secrets import Credentials, Secret
from execkit.tables import Finding
from execkit.venues.client import NotAllowed, make_client
from execkit.venues.keycheck import ACCEPT_WITHDRAWALS
from execkit.venues.live import LiveVenue
from execkit.venues.opening import open_venue
from execkit.venues.quirks import EXCHANGES, quirks_for
from execkit.venues.remote import LinkState
from execkit.venues.route import Route
from execkit.words import ExecutionMode, ExecutionStatus
from tests.helpers.lived import lived, venue_on
from tests.helpers.rawserver import Heard, RawServer, http

ROOT = Path(__file__).resolve().parents[2]
CANARY = "cAnArY7kQ2vT9mZ4wX1pL8sN6bC3hJ5dF0gA"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def python(code: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


# ----------------------------------------------------------------------------- L01 parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [("api_secret", "x"), ("label", CANARY), ("mnemonic", "a b c"), ("extra", [CANARY])],
)
def test_fault_L01_a_secret_as_a_parameter_is_refused_and_not_repeated(
    name: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="looks like a secret") as caught:
        refuse_secret(name, value)
    assert CANARY not in str(caught.value)


def test_fault_L01_a_loaded_secret_is_refused_however_plain_it_looks() -> None:
    word = Secret("correct-horse-staple")

    with pytest.raises(InvalidInput, match="its value looks like a secret"):
        refuse_secret("label", f"it is {word.reveal()}")


def test_fault_L01_nothing_runs_and_nothing_is_written(tmp_path: Path) -> None:
    source = next((ROOT / "notebooks").glob("*.ipynb"))
    done = python(
        "import sys; from execkit.cli import main; sys.exit(main(sys.argv[1:]))",
        *("run", source, "-p", "label", CANARY, "--output", tmp_path / "out.ipynb", "--json"),
    )

    assert done.returncode == 1
    assert "looks like a secret" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ L12 payloads


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [name for name, _ in attrs]))


def scripts(page: str) -> list[tuple[str, list[str]]]:
    """Tags that could run something or fetch something."""
    tags = _Tags()
    tags.feed(page)
    return [
        (tag, names)
        for tag, names in tags.seen
        if tag in ("script", "img", "iframe", "object", "svg", "b", "a")
        or any(name.startswith("on") for name in names)
    ]


HOSTILE = st.one_of(
    st.just(SCRIPT), st.text(alphabet="<>&\"'/=script onerr\x00\u202e", min_size=1, max_size=60)
)


@given(HOSTILE)
def test_fault_L12_hostile_text_in_a_table_stays_text(text: str) -> None:
    frame = pd.DataFrame({"symbol": [text], text: [1]})
    finding = Finding(text, "info", text, text, 1, -1, text)
    pages = [
        table_html([(text, text), ("n", 1.5)]),
        frame_html("Orders", frame),
        ExecutionResult(success=False, code=text, error=text)._repr_html_(),
        MarketReport((finding,), text)._repr_html_(),
    ]

    for page in pages:
        assert [found for found in scripts(page) if found != ("b", [])] == []


def test_fault_L12_hostile_text_in_a_report_stays_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"symbol": [SCRIPT], "reason": [f"</script>{SCRIPT}"]})
    figure = slippage.theme.empty(SCRIPT, f"</script>{SCRIPT}")
    parts = [report.Part(SCRIPT, SCRIPT, table), report.Part(SCRIPT, SCRIPT, figure)]

    page = report.write(tmp_path / "r.html", SCRIPT, SCRIPT, parts).read_text(encoding="utf-8")

    found = [(tag, names) for tag, names in scripts(page) if tag != "script"]
    assert found == []
    assert SCRIPT not in page


# ----------------------------------------------------------------- L02-L04, L09-L12 on the wire

HOST = "api.binance.com"


def keys(key: str = CANARY, secret: str = CANARY[::-1]) -> Credentials:
    return Credentials(Secret(key), Secret(secret), origin="BINANCE_API_KEY in the environment")


@asynccontextmanager
async def client_on(route: Route | None, **settings: Any) -> AsyncIterator[Any]:
    client = make_client(quirks_for("binance"), keys(), route=route, timeout_s=5.0, **settings)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def answering(
    answer: Callable[[Heard], bytes | None],
) -> AsyncIterator[tuple[RawServer, Route]]:
    """A server with a certificate for the exchange's host that answers as it likes."""
    async with RawServer(make_certificates([HOST]), lambda heard, writer: answer(heard)) as server:
        yield server, server.route(HOST)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port that takes connections and keeps whatever it is told: an attacker's."""
    told: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(b"")
        told.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], told


async def test_fault_L02_the_client_shows_no_key_however_it_is_looked_at() -> None:
    async with lived() as live:
        await live.venue.holdings()
        client, venue = live.venue.client, live.venue
        shown = [repr(client), str(client), repr(vars(client)), repr(client.headers)]
        shown += [repr(vars(venue)), repr(vars(client.network)), venue.account_id]

    assert client.apiKey == live.r.key.key
    for text in shown:
        assert live.r.key.key not in text
        assert live.r.key.secret not in text


async def test_fault_L03_verbose_is_refused_and_debug_logs_show_no_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with lived() as live:
        with pytest.raises(InvalidInput, match="verbose"):
            live.venue.client.verbose = True
        logging.getLogger("ccxt").debug("a request %s", {"X-MBX-APIKEY": live.r.key.key + ""})
        await live.venue.holdings()

    assert "a request" in caplog.text
    assert live.r.key.key not in caplog.text
    assert "signature=" not in caplog.text.replace("signature=***", "")


async def test_fault_L04_the_text_of_an_error_has_no_signature_in_it() -> None:
    async with lived() as live:
        live.r.faults.before("balance", "http", status=502, body="bad gateway", times=None)
        with pytest.raises(RetryLater) as caught:
            await live.venue.holdings()

    chain: list[BaseException] = [caught.value]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    text = "".join(traceback.format_exception(caught.value)) + repr(chain)
    assert not re.search(r"signature=[0-9a-f]{8}", text)
    assert live.r.key.key not in text


def test_fault_L08_real_money_has_to_be_said_and_has_keys_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the default nor a key that lies about leads from the test world to the live one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("BINANCE_API_KEY", CANARY)
    monkeypatch.setenv("BINANCE_API_SECRET", CANARY[::-1])

    with pytest.raises(FixRequest, match="set BINANCE_DEMO_API_KEY"):
        open_venue("binance")
    assert open_venue("binance", mode="live").mode is ExecutionMode.LIVE
    with pytest.raises(FixRequest, match="set BINANCE_ALICE_API_KEY"):
        open_venue("binance", mode="live", account="alice")


@pytest.mark.parametrize("accept", ["", "yes"])
async def test_fault_L06_a_live_venue_with_a_key_that_can_withdraw_does_not_start(
    accept: str,
) -> None:
    async with Rehearsal("binance") as r:
        r.exchange.add_key(replace(r.key, may_withdraw=True))
        with pytest.raises(FixRequest, match="can withdraw funds"):
            async with venue_on(r, mode=ExecutionMode.LIVE, accept=accept):
                pass
        async with venue_on(r, mode=ExecutionMode.LIVE, accept=ACCEPT_WITHDRAWALS) as live:
            assert live.venue.link.state is LinkState.UP


async def test_fault_L06_without_an_answer_about_the_key_live_does_not_start() -> None:
    async with Rehearsal("binance") as r:
        r.faults.before("key", "http", status=503, body="later")
        with pytest.raises(RetryLater, match="does not start without knowing"):
            async with venue_on(r, mode=ExecutionMode.LIVE):
                pass


async def test_fault_L07_a_key_for_any_address_is_a_warning_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Rehearsal("binance") as r:
        r.exchange.add_key(replace(r.key, ip_restricted=False))
        async with venue_on(r, mode=ExecutionMode.LIVE):
            assert "may be used from any address" in caplog.text


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (ExecutionMode.LIVE, "key of the live exchange and not of the test world"),
        (ExecutionMode.DEMO, "key of the test world and not of the live exchange"),
    ],
)
async def test_fault_L08_a_key_of_the_other_world_is_refused_at_the_start(
    mode: ExecutionMode, words: str
) -> None:
    async with Rehearsal("binance") as r:
        venue = LiveVenue(quirks_for("binance"), keys(), mode=mode, route=r.route)
        with pytest.raises(StopTrading, match=words) as caught:
            await venue.connect()

    assert "BINANCE_API_KEY in the environment" in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_fault_L09_a_key_revoked_in_the_middle_halts_and_is_not_tried_again() -> None:
    async with lived() as live:
        await live.venue.holdings()
        rule = live.r.faults.before("balance", "code", code=-2015, status=401, times=None)
        create = live.r.faults.before("create", "code", code=-2015, status=401, times=None)
        for _ in range(10):
            with pytest.raises(ExecKitError):
                await live.venue.holdings()
        assert live.venue.link.state is LinkState.HALTED
        for _ in range(5):
            with pytest.raises(RetryLater, match="halted"):
                await live.venue.submit(live.order())
        assert rule.struck + create.struck <= 3


@pytest.mark.parametrize("how", ["https", "http", "sign", "hostname", "proxy_url"])
async def test_fault_L10_a_request_led_elsewhere_is_refused_before_it_is_sent(how: str) -> None:
    """By a changed URL, a client whose signing was replaced, or a proxy that is part of the URL."""
    async with listening() as (port, told), Rehearsal("binance") as r:
        for route in (r.route, None):
            async with client_on(route) as client:
                evil = f"127.0.0.1:{port}"
                if how == "proxy_url":
                    client.proxyUrl = f"https://{evil}/?to="
                elif how == "sign":
                    own = client.sign

                    def sign(*args: Any, own: Any = own, evil: str = evil) -> Any:
                        made = own(*args)
                        return {**made, "url": made["url"].replace(HOST, evil)}

                    client.sign = sign
                else:
                    scheme = "http" if how == "http" else "https"
                    place = f"localhost:{port}" if how == "hostname" else evil
                    for name in ("public", "private"):
                        client.urls["api"][name] = f"{scheme}://{place}/api/v3"
                with pytest.raises(ccxt.BaseError):
                    await client.fetch_balance()
                with pytest.raises(ccxt.BaseError):
                    await client.fetch_time()
    assert told == []


async def test_fault_L10_a_socket_led_elsewhere_is_refused_before_it_is_opened() -> None:
    async with (
        listening() as (port, told),
        Rehearsal("binance") as r,
        client_on(r.route) as client,
    ):
        client.urls["api"]["ws"]["ws-api"]["spot"] = f"wss://127.0.0.1:{port}/ws-api/v3"
        await client.load_markets()
        with pytest.raises(ccxt.BaseError):
            await asyncio.wait_for(client.watch_balance(), 10)
        assert told == []


async def test_fault_L10_proxies_of_the_environment_are_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening() as (port, told), Rehearsal("binance") as r:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "WSS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with client_on(r.route) as client:
            assert await client.fetch_time() > 0
    assert told == []


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_fault_L10_every_place_that_may_be_reached_belongs_to_the_exchange(exchange: str) -> None:
    """No domain on the list is one under which anybody may have a host."""
    client = make_client(quirks_for(exchange), None)
    shared = {"amazonaws.com", "cloudfront.net", "herokuapp.com", "github.io", "co.uk", "com.au"}

    assert client.network.domains
    assert not client.network.domains & shared
    assert all("." in domain for domain in client.network.domains)
    assert not client.network.allows("binance.com.evil.example")
    assert not client.network.allows(f"evil{min(client.network.domains)}")


async def test_fault_L10_a_redirect_is_not_followed() -> None:
    async with listening() as (port, told):
        away = http("", "302 Found", f"Location: https://127.0.0.1:{port}/")
        async with answering(lambda heard: away) as (_, route), client_on(route) as client:
            with pytest.raises(ccxt.BaseError):
                await client.fetch_time()
    assert told == []


async def test_fault_L11_a_certificate_that_nobody_vouches_for_ends_it() -> None:
    """Also for a client that was told not to verify."""
    async with answering(lambda heard: http('{"serverTime": 1}')) as (server, route):
        stranger, _ = make_certificates([HOST])
        wrong = Route(hosts=route.hosts, ca_pem=stranger)
        for verify in (True, False):
            async with client_on(wrong) as client:
                client.verify = verify
                with pytest.raises(ccxt.ExchangeNotAvailable):
                    await client.fetch_time()
        assert server.heard == []
        async with client_on(route) as client:
            assert await client.fetch_time() == 1


def test_fault_L11_not_to_verify_cannot_be_asked_for() -> None:
    quirks = quirks_for("binance")
    options = quirks.options() | {"verify": False}
    quirks.options = lambda: options  # type: ignore[method-assign]

    with pytest.raises(InvalidInput, match="verify"):
        make_client(quirks, keys())


DEEP = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "\x00" * 100,
        "1e999",
    ],
    ids=["lists", "objects", "nul", "huge number"],
)
async def test_fault_L12_an_answer_that_is_no_answer_is_an_error(body: str) -> None:
    async with answering(lambda heard: http(body)) as (_, route), client_on(route) as client:
        with pytest.raises((ccxt.BaseError, NotAllowed, RecursionError, ValueError)):
            await client.fetch_time()


async def test_fault_L12_a_clock_that_tells_nonsense_is_no_clock() -> None:
    async with Rehearsal("binance") as r:
        r.faults.before("time", "http", status=200, body='{"serverTime": "\\u0000"}')
        with pytest.raises(RetryLater, match="does not tell its time"):
            async with venue_on(r):
                pass


async def test_fault_L12_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed to a thousandth of its size, too."""
    monkeypatch.setattr("execkit.venues.client.LARGEST_ANSWER", 2**20)
    plain = http('{"a": "' + "x" * 2**23 + '"}')
    raw = gzip.compress(b'{"a": "' + b"x" * 2**24 + b'"}')
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    packed = f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw

    for answer in (plain, packed):
        async with (
            answering(lambda heard, a=answer: a) as (_, route),  # type: ignore[misc]
            client_on(route) as client,
        ):
            with pytest.raises(ccxt.BaseError) as caught:
                await client.fetch_time()
            assert "above 1048576 bytes" in str(caught.value.__cause__)


@pytest.mark.parametrize("body", [DEEP, f'{{"msg": "{SCRIPT}"}}', "\x00", "null", "[]", "{}"])
async def test_fault_L12_an_order_with_such_an_answer_is_unknown_and_found(body: str) -> None:
    async with lived() as live:
        live.r.faults.after("create", "http", status=200, body=body)
        order = live.order()
        with pytest.raises(OutcomeUnknown):
            await live.venue.submit(order)
        found = await live.venue.find_order(order)

    assert found is not None
    assert found.status is ExecutionStatus.OPEN


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.com"])
async def test_fault_L14_the_admin_port_of_a_rehearsal_is_for_this_machine(host: str) -> None:
    async with Rehearsal("binance") as r:
        assert {address[0] for address in r._admin.addresses} == {"127.0.0.1"}  # type: ignore[union-attr]
        assert {address[0] for address in r._runner.addresses} == {"127.0.0.1"}  # type: ignore[union-attr]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{r.admin_url}/info", headers={"Host": host}) as answer:
                assert answer.status == 403  # a page in a browser, by a name that leads here
            async with session.post(f"{r.admin_url}/exchange/halt") as answer:
                assert answer.status == 401
            token = {"X-Token": r.admin_token[:-1] + "x"}
            async with session.post(f"{r.admin_url}/exchange/halt", headers=token) as answer:
                assert answer.status == 401


# --------------------------------------------------------------------------- L13 private files

DESK = """
import os, sys, stat
os.umask(0)
from pathlib import Path
from execkit.journal import Journal
from execkit.store import Store
desk = Path(sys.argv[1])
run = {"mode": "paper", "venue": "x", "started_ns": 1, "params": {}, "versions": {}}
with Journal(desk / "journal.sqlite") as journal:
    journal.append("run", run, ts_ns=1, run_id="r")
    store = Store(desk)
    store.ingest(journal)
    with store._writing() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("COMMIT")
        db.execute("BEGIN")
        for path in sorted(desk.rglob("*")):
            print(path.name, oct(stat.S_IMODE(path.stat().st_mode)))
print("desk", oct(stat.S_IMODE(desk.stat().st_mode)))
open(desk / "after", "w").close()
print("after", oct(stat.S_IMODE((desk / "after").stat().st_mode)))
"""


def test_fault_L13_files_of_a_desk_are_private_whatever_the_umask(tmp_path: Path) -> None:
    done = python(DESK, tmp_path / "desk")
    modes = dict(line.split() for line in done.stdout.splitlines())

    assert done.returncode == 0, done.stderr
    assert modes.pop("desk") == "0o700"
    assert modes.pop("after") == "0o666"  # the mask is as it was
    assert {"journal.sqlite", "journal.sqlite-wal", "execkit.duckdb", "execkit.duckdb.wal"} <= set(
        modes
    )
    assert set(modes.values()) == {"0o600"}


def test_fault_L13_a_report_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = report.write(tmp_path / "deep" / "r.html", "t", "l", [])
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


# ------------------------------------------------------------------------ L15 no code in input

CALLS = {"eval", "exec", "compile", "__import__"}
LOADERS = {
    "pickle.load",
    "pickle.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "pd.read_pickle",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "yaml.load",
    "os.system",
    "dill.loads",
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "execkit").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_fault_L15_no_input_is_run_as_code(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in CALLS:
            wrong.append(f"line {node.lineno}: {called.id}")
        if isinstance(called, ast.Attribute) and ast.unparse(called) in LOADERS:
            wrong.append(f"line {node.lineno}: {ast.unparse(called)}")
        for keyword in node.keywords:
            on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg in ("allow_pickle", "shell") and on:
                wrong.append(f"line {node.lineno}: {keyword.arg}=True")
    assert not wrong


def test_fault_L15_a_store_fetches_no_code_for_a_file_that_looks_like_another_database(
    tmp_path: Path,
) -> None:
    """DuckDB would download and run an extension that reads SQLite."""
    from execkit.errors import ExecKitError
    from execkit.journal import Journal
    from execkit.store import Store

    Journal(tmp_path / "x").close()
    with pytest.raises(ExecKitError) as caught:
        Store(tmp_path / "x").tables()
    assert "http" not in str(caught.value)


# ---------------------------------------------------------------------- L16 notebooks in the repo


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_fault_L16_no_committed_notebook_holds_what_looks_like_a_secret(path: Path) -> None:
    for text in texts_of(path.read_text(encoding="utf-8")):
        refuse_secret("text", text)


def test_fault_L16_a_notebook_with_a_secret_in_an_output_is_found() -> None:
    cell = {"cell_type": "code", "source": ["1"], "outputs": [{"text": [f"key {CANARY}\n"]}]}
    _, shown = texts_of(json.dumps({"cells": [cell]}))

    with pytest.raises(InvalidInput):
        refuse_secret("text", shown)


def texts_of(book: str) -> list[str]:
    """Sources and printed outputs of a notebook; pictures and cell ids are no texts."""
    out: list[str] = []
    for cell in json.loads(book)["cells"]:
        out += cell["source"]
        for shown in cell.get("outputs", []):
            out += shown.get("text", [])
            out += (shown.get("data") or {}).get("text/plain", [])
            out += shown.get("traceback", [])
    return out


# --------------------------------------------------------------------------- L17 spreadsheets


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\r=1",
        " =1",
        "\uff1d1",
    ],
)
def test_fault_L17_a_formula_in_a_table_is_written_as_text(text: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"symbol": [text, "BTCUSDT"], "n": [-1.5, 2.0], text: ["-1.5", "1e-9"]})

    expected = text.replace("\r", " ")
    expected = expected if text == "a\r=1" else f"'{expected}"

    cli_sweep.write(table, tmp_path / "t.csv")

    back = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert back["symbol"].tolist() == [expected, "BTCUSDT"]
    assert back["n"].tolist() == ["-1.5", "2.0"]
    assert back.iloc[:, 2].tolist() == ["-1.5", "1e-9"]
    assert back.columns[2] == expected
