"""Real processes share one desk directory, and some are killed: nothing lost, nothing doubled.

Ten seconds by default, a minute where every test is required (EXECKIT_REQUIRE_ALL=1).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from execkit.journal import Journal
from execkit.store import Store

REPO = Path(__file__).resolve().parents[2]
SECONDS = 60.0 if os.environ.get("EXECKIT_REQUIRE_ALL") == "1" else 10.0

COMMON = """
import sys, time
from decimal import Decimal
from execkit.journal import Event, Journal
from execkit.store import Store
desk, until = sys.argv[1], float(sys.argv[2])

def order_events(n, run="r1"):
    order, ts = f"c{n}", time.time_ns()
    common = {"symbol": "BTCUSDT", "venue": "binance", "mode": "live", "side": "buy"}
    yield Event("intent", {**common, "order_type": "limit", "quantity": Decimal(2)}, ts, order, run)
    yield Event("sending", {}, ts, order, run)
    yield Event("accepted", {"venue_order_id": f"v{n}"}, ts, order, run)
    for part in range(2):
        yield Event("fill", {**common, "client_order_id": order, "fill_id": f"t{n}-{part}",
            "quantity": Decimal(1), "price": Decimal("100.1"), "fee": Decimal("0.1"),
            "fee_currency": "USDT", "venue_ts_ns": ts, "local_ts_ns": ts}, ts, order, run)
"""

WRITER = """
journal, n = Journal(desk), 0
while time.time() < until:
    for event in order_events(n):
        kind, payload, ts, order, run = event
        journal.append(kind, payload, ts_ns=ts, client_order_id=order, run_id=run)
    n += 1
print(n)
"""

INGESTER = """
journal, store, passes = Journal(desk), Store(desk), 0
while time.time() < until:
    store.ingest(journal)
    passes += 1
    time.sleep(0.02)
print(passes)
"""

SQL_READER = """
store, seen, polls = Store(desk), 0, 0
while time.time() < until:
    frame = store.sql("SELECT (SELECT count(*) FROM fills) AS fills, count(*) AS n FROM slippage")
    fills = int(frame["fills"][0])
    assert fills >= seen, (fills, seen)
    seen, polls = fills, polls + 1
    time.sleep(0.01)
print(polls, seen)
"""

JOURNAL_READER = """
journal, seq, previous, seen = Journal(desk), 0, None, 0
while time.time() < until:
    for record in journal.read(seq):
        assert record.seq == seq + 1, (record.seq, seq)
        assert previous is None or record.prev_hash == previous
        seq, previous, seen = record.seq, record.hash, seen + (record.kind == "fill")
    time.sleep(0.005)
print(seen)
"""

SHELL = """
import duckdb
from pathlib import Path
held = 0.0
time.sleep((until - time.time()) * 0.3)
while held == 0.0 and time.time() < until:
    try:
        with duckdb.connect(str(Path(desk) / "execkit.duckdb")) as db:
            start, seconds = time.time(), min(6.0, (until - time.time()) * 0.4)
            while time.time() < start + seconds:
                db.execute("SELECT count(*) FROM fills").fetchone()
                time.sleep(0.05)
            held = time.time() - start
    except duckdb.IOException as error:
        assert "lock" in str(error), error
        time.sleep(0.005)
print(held)
"""


def start(code: str, desk: Path, until: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMON + code, str(desk), str(until)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[float]:
    """The numbers that a process printed; its traceback where it died."""
    out, errors = process.communicate(timeout=SECONDS + 120)
    assert process.returncode == 0, errors
    return [float(word) for word in out.split()]


def assert_agree(journal: Journal, store: Store, orders: int) -> None:
    """The chain is whole, and journal and store hold the same orders and fills, each once."""
    store.ingest(journal)
    report = store.check(journal)
    assert report.problems == []
    assert (report.pending, report.orders, report.fills) == (0, orders, 2 * orders)
    frame = store.sql("SELECT count(*) AS n, count(DISTINCT fill_id) AS ids FROM fills")
    assert frame.iloc[0].tolist() == [2 * orders, 2 * orders]
    states = store.sql("SELECT DISTINCT status, filled_quantity FROM orders").to_numpy().tolist()
    assert states == [["filled", 2.0]]


def test_a_writer_an_ingester_readers_and_a_duckdb_shell_share_one_desk(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir(mode=0o700)
    store = Store(desk)
    with Journal(desk) as journal:
        store.ingest(journal)  # makes the file, for the readers
    until = time.time() + 1.5 + SECONDS
    codes = (WRITER, INGESTER, SQL_READER, JOURNAL_READER, SHELL)
    processes = [start(code, desk, until) for code in codes]
    (orders,), (passes,), (polls, _), (journal_fills,), (held,) = map(finish, processes)
    assert orders > 20 * SECONDS
    assert passes >= 3
    assert polls >= 3
    assert held > 0.1 * SECONDS, "the shell never got the file, so this run proved nothing"
    with Journal(desk) as journal:
        assert journal.verify().rows == 5 * orders
        assert journal_fills <= 2 * orders
        assert_agree(journal, store, int(orders))


KILLED_WRITER = """
journal = Journal(desk)
start = n = sum(1 for _ in journal.read(kinds=["intent"]))
while True:
    if n % 3 == 0:
        seqs = journal.append_many(order_events(n))
    else:
        seqs = []
        for kind, payload, ts, order, run in order_events(n):
            seqs.append(journal.append(kind, payload, ts_ns=ts, client_order_id=order, run_id=run))
            sys.stdout.write(f"{seqs[-1]}\\n")
            sys.stdout.flush()
    sys.stdout.write(f"{seqs[-1]}\\n")
    sys.stdout.flush()
    n += 1
"""


def test_every_acknowledged_append_survives_kill_9_of_the_writer(tmp_path: Path) -> None:
    rng, acknowledged = random.Random(7), 0
    for _ in range(20):
        writer = start(KILLED_WRITER, tmp_path, 0.0)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        writer.send_signal(signal.SIGKILL)
        out, errors = writer.communicate(timeout=30)
        assert writer.returncode == -signal.SIGKILL, errors
        lines = [first.strip(), *out.split("\n")[:-1]]  # a line cut by the kill is no answer
        assert int(lines[-1]) > acknowledged
        acknowledged = int(lines[-1])
        with Journal(tmp_path) as journal:
            report = journal.verify()
            assert report.last_seq >= acknowledged
            assert report.mark_seq >= acknowledged - 1
    assert acknowledged > 200


KILLED_INGESTER = """
store = Store(desk)
journal = Journal(desk)
print("ready", flush=True)
store.ingest(journal, batch=25)
"""


def test_kill_9_of_the_ingester_leaves_whole_batches_and_it_goes_on(tmp_path: Path) -> None:
    orders, rng, partial = 400, random.Random(11), 0
    source: dict[str, object] = {}
    exec(COMMON.replace("desk, until = sys.argv[1], float(sys.argv[2])", ""), source)
    store = Store(tmp_path)
    with Journal(tmp_path) as journal:
        store.ingest(journal)  # makes the file, so that each kill hits the ingest
        for n in range(orders):
            journal.append_many(source["order_events"](n))  # type: ignore[operator]
        for _ in range(20):
            ingester = start(KILLED_INGESTER, tmp_path, 0.0)
            assert ingester.stdout is not None
            assert ingester.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.0, 0.3))
            ingester.send_signal(signal.SIGKILL)
            _, errors = ingester.communicate(timeout=30)
            assert ingester.returncode == -signal.SIGKILL, errors
            report = store.check(journal)
            assert report.problems == []
            assert report.store_seq % 25 == 0
            partial += 0 < report.store_seq < 5 * orders
        assert partial >= 3, "the kills hit nothing, so this run proved nothing"
        assert_agree(journal, store, orders)
