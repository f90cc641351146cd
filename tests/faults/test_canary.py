"""O7: keys that are canaries go through a day that goes wrong, and are found in nothing written.

A session in its own process trades on the rehearsal exchange under errors, DEBUG logs of every
library, printed and uncaught tracebacks and a notebook. Then every file that came to be is read,
compressed columns too, and what was printed, and the command lines of all processes meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from execkit import redaction, sample
from execkit.rehearsal import Rehearsal

ROOT = Path(__file__).resolve().parents[2]
KEY = "CaNaRyKeY7kQ2vT9mZ4wX1pL8sN6bC3hJ5dF0gAqWeRtYuIoPaSdFgHjKlZxCvB"
SECRET = "CaNaRySeCrEt+9/xW3mQ7zT1vB5nM8kL2pJ6hG4fD0sA/rE+uI7oPcY3wV5tZ9x="
PATIENCE_S = 120.0

SESSION = """
import asyncio, json, logging, os, sys, traceback, urllib.request
import execkit as ek
from execkit.dashboards import report
from execkit.errors import ExecKitError
from execkit.secrets import load_credentials

logging.basicConfig(level=logging.DEBUG, filename="session.log")
logging.getLogger().addHandler(logging.StreamHandler())
keys = load_credentials("binance")

def breaks(op):
    page = f"<html>bad gateway {os.environ['BINANCE_API_KEY']} {keys.secret.reveal()}</html>"
    rule = {"point": "request", "op": op, "verb": "http", "status": 502, "body": page}
    rule["times"] = None
    token = {"X-Token": os.environ["ADMIN_TOKEN"]}
    url = f"{sys.argv[1]}/faults/add"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(rule).encode(), token)).close()

print(keys, vars(keys), [keys.key, keys.secret], f"{keys.secret:>9}")

async def day():
    venue = ek.open_venue("binance", mode="demo", rehearsal=sys.argv[1], credentials=keys,
                          symbols=["BTCUSDT"])
    journal, store = ek.Journal("desk/journal.sqlite"), ek.Store("desk")
    engine = ek.ExecutionEngine(
        {"binance": venue}, execution_mode="demo", journal=journal, store=store,
        risk_guard=ek.RiskGuard(max_drawdown_pct=None, daily_loss_limit_pct=None),
        starting_equity=100_000, account_currency="USDT", settle_timeout_s=0.5,
    )
    await engine.start()
    client = venue.inner.client
    while venue.quote("BTCUSDT") is None:
        await asyncio.sleep(0.02)
    for number in range(6):
        wish = ek.TradingSignal("BTC/USDT", "BUY", f"0.0{number + 1}")
        made = await engine.execute_signal(wish, "binance")
        print(number, made.success, made.error, made.order and made.order.reason)
    await asyncio.to_thread(breaks, "balance")
    await asyncio.to_thread(breaks, "open_orders")
    for read in (venue.holdings, venue.open_orders, venue.holdings):
        try:
            await read()
        except ExecKitError as error:
            traceback.print_exc()
            logging.exception("a read failed: %r", error)
            logging.error("with the client %s", vars(client))
    try:
        await client.fetch_balance()
    except Exception as error:
        logging.error("ccxt itself: %s", error, exc_info=True)
    print(vars(client), client.headers, repr(client))
    sent = client.sign("order", ["private"], "POST", {"symbol": "BTCUSDT"})
    logging.debug("a signed request: %s", sent)
    print(engine._repr_html_(), engine.orders_frame().to_string())
    part = report.Part("orders", "all of them", engine.orders_frame())
    report.write("desk/report.html", "a day", "it went wrong", [part])
    engine.orders_frame().astype(str).to_parquet("desk/orders.parquet")
    await engine.stop()
    store.ingest(journal)
    journal.close()
    return client

client = asyncio.run(day(), debug=True)
def fail(local):
    raise RuntimeError(f"the request was {local}")
fail({"headers": {"X-MBX-APIKEY": str(client.apiKey)}, "secret": client.secret + ""})
"""

CELLS = (
    "%xmode Verbose\nfrom execkit.secrets import load_credentials\nimport logging\n"
    "logging.basicConfig(level=logging.DEBUG)\nkeys = load_credentials('binance')\nkeys",
    "logging.warning('signing with %s', keys.secret.reveal())\n{'secret': keys.secret.reveal()}",
    "def sign(secret):\n    raise ValueError(f'no answer to {secret}')\n"
    "sign('' + str(keys.secret.reveal()))",
)


def forms(value: str) -> set[bytes]:
    """All that a canary could look like, and its first half."""
    out = {form.encode() for form in redaction._forms(value)}
    out |= {value[:20].encode(), value.encode("utf-16-le"), value[::-1].encode()}
    return out | {base64.b64encode(form)[:-4] for form in list(out)}


CANARIES = forms(KEY) | forms(SECRET)


def shows(text: bytes) -> list[bytes]:
    return [form for form in CANARIES if form in text]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what is inside those that compress."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path.name, path.read_bytes()
        if path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as db:
                for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                    yield f"{path.name}:{name}", db.table(name).df().to_csv().encode()
        if path.suffix == ".parquet":
            yield f"{path.name}:", pd.read_parquet(path).to_csv().encode()


def command_lines() -> Iterator[str]:
    """Of all processes of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended between the two
            yield path.read_bytes().decode(errors="replace")


async def watched(*command: object, folder: Path, **environ: str) -> tuple[int, bytes, list[str]]:
    """Run it with the canaries in its environment: exit status, all it printed, and the command
    lines that showed one meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "BINANCE_API_KEY": KEY,
            "BINANCE_API_SECRET": SECRET,
            **environ,
        },
    )
    seen: list[str] = []

    async def look() -> None:
        while True:
            seen.extend(line for line in command_lines() if shows(line.encode()))
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        looking.cancel()
    return int(process.returncode or 0), out, seen


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    for number, text in enumerate([f"key={KEY}", f"%s {SECRET}", json.dumps({"a": SECRET})]):
        (tmp_path / f"{number}.log").write_text(text)
    (tmp_path / "basic").write_bytes(base64.b64encode(f"{KEY}:{SECRET}".encode()))
    pd.DataFrame({"reason": [f"bad key {KEY}"] * 9}).to_parquet(tmp_path / "t.parquet")
    with duckdb.connect(str(tmp_path / "t.duckdb")) as db:
        db.execute("CREATE TABLE t AS SELECT ? AS reason FROM range(9000)", [f"x {SECRET}"])

    found = {name for name, text in contents(tmp_path) if shows(text)}

    assert {"0.log", "1.log", "2.log", "basic", "t.parquet:", "t.duckdb:t"} <= found


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_oracle_O7_a_session_full_of_errors_shows_its_keys_nowhere(tmp_path: Path) -> None:
    async def run() -> tuple[int, bytes, list[str]]:
        async with Rehearsal("binance", market=sample.make_book(2)) as r:
            r.exchange.add_key(replace(r.key, key=KEY, secret=SECRET))
            faults = r.faults
            echo = f"signature for {KEY} is not valid, nor is {SECRET}"
            faults.after("create", "reset", skip=3)
            faults.before("create", "reject", skip=1, word="insufficient_balance", message=echo)
            faults.before("create", "code", skip=2, code=-9999, message=echo, status=400)
            return await watched(
                sys.executable,
                "-c",
                SESSION,
                r.admin_url,
                folder=tmp_path,
                ADMIN_TOKEN=r.admin_token,
            )

    status, printed, lines = asyncio.run(run())

    text = printed.decode()
    assert status == 1, text[-3000:]
    assert "RuntimeError: the request was" in text
    assert "***" in text
    assert shows(printed) == []
    assert lines == []
    written = dict(contents(tmp_path))
    assert {"session.log", "journal.sqlite", "execkit.duckdb", "report.html"} <= set(written)
    assert b"X-MBX-APIKEY" in written["session.log"]
    assert b"***" in written["journal.sqlite"] + written["execkit.duckdb:order_events"]
    assert {name: shows(data) for name, data in written.items() if shows(data)} == {}


def test_oracle_O7_a_notebook_that_fails_shows_its_keys_nowhere(tmp_path: Path) -> None:
    first = new_code_cell("count = 1", metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[first, *map(new_code_cell, CELLS)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "p", "language": "python"}
    nbformat.write(book, tmp_path / "in.ipynb")
    command = (sys.executable, "-m", "execkit.cli", "run", "in.ipynb", "--output", "out.ipynb")

    status, printed, lines = asyncio.run(watched(*command, folder=tmp_path))

    out = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert status == 1
    assert b"ValueError: no answer to ***" in printed
    assert out.count("***") >= 4
    assert shows(printed) == []
    assert lines == []
    assert {name: shows(data) for name, data in contents(tmp_path) if shows(data)} == {}
