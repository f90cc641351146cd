"""The store takes in journals and simulations once, and says clearly when it cannot."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from execkit.errors import (
    InvalidData,
    InvalidInput,
    JournalCorrupt,
    RetryLater,
    StoreCorrupt,
    StoreLocked,
)
from execkit.journal import Event, Journal
from execkit.schema import TABLES
from execkit.store import Store
from tests.conftest import need

REPO = Path(__file__).resolve().parents[1]
S = 1_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def made(store: Store) -> Store:
    """The store with its file there and empty."""
    with Journal(store.path.with_name("empty.sqlite")) as nothing:
        store.ingest(nothing)
    for name in ("empty.sqlite", "empty.sqlite.mark"):
        store.path.with_name(name).unlink(missing_ok=True)
    return store


def event(
    kind: str, order: str | None = None, run: str = "r1", ts: int = S, **payload: object
) -> Event:
    return Event(kind, payload, ts, order, run)


def intent(order: str, quantity: str = "2", run: str = "r1", **more: object) -> Event:
    values = {"symbol": "BTCUSDT", "venue": "binance", "mode": "paper", "side": "buy"}
    return event(
        "intent", order, run, order_type="limit", quantity=Decimal(quantity), **values, **more
    )


def fill(
    order: str | None, fill_id: str, quantity: str = "1", run: str = "r1", **more: object
) -> Event:
    values = {
        "fill_id": fill_id, "client_order_id": order, "symbol": "BTCUSDT", "venue": "binance",
        "mode": "paper", "side": "buy", "quantity": Decimal(quantity), "price": Decimal("100.1"),
        "liquidity": "taker", "fee": Decimal("0.1"), "fee_currency": "USDT",
        "venue_ts_ns": 2 * S, "local_ts_ns": 2 * S + 5,
    }  # fmt: skip
    return event("fill", order, run, **{**values, **more})


def one(store: Store, query: str) -> tuple[object, ...]:
    frame = store.sql(query)
    assert len(frame) == 1
    return tuple(None if pd.isna(v) else v for v in frame.iloc[0])


def test_a_fresh_store_has_every_table_empty_with_run_and_mode_and_private_mode(
    store: Store,
) -> None:
    assert made(store).tables() == dict.fromkeys(TABLES, 0)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    for name in TABLES:
        assert {"run_id", "mode"} <= set(store.sql(f"SELECT * FROM {name}").columns), name
    for view in ("slippage", "slippage_by_fill", "markouts", "slippage_summary"):
        assert len(store.sql(f"SELECT * FROM {view}")) == 0
    assert sorted(p.name for p in store.path.parent.iterdir()) == [
        "execkit.duckdb",
        "execkit.duckdb.lock",
    ]


def test_one_order_from_intent_to_fill_lands_in_its_tables(journal: Journal, store: Store) -> None:
    journal.append_many([
        event("run", mode="paper", venue="binance", params={"a": 1}, started_ns=3),
        event("signal", symbol="BTCUSDT", action="BUY", quantity=Decimal("2"), confidence=0.7),
        intent("c1", decision_price=Decimal("100"), ts_ns=S, strategy_id="s"),
        event("sending", "c1"),
        event("accepted", "c1", venue_order_id="v9", venue_ts_ns=S + 7, arrival_price="99"),
        fill("c1", "t1"),
        fill("c1", "t2", price=Decimal("100.3")),
        event("position", symbol="BTCUSDT", quantity=Decimal("2"), average_price=Decimal("100.2")),
        event("equity", cash=Decimal("1"), equity=Decimal("2"), drawdown=0.1),
        event("quote", symbol="BTCUSDT", venue="binance", ts_ns=9, bid=1, ask=2),
        event("risk", code="DRAWDOWN", observed=0.2, limit=0.1),
        event("command", name="kill"),
    ])  # fmt: skip
    report = store.ingest(journal)
    assert (report.after_seq, report.last_seq, report.repeated) == (0, 12, 0)
    counts = {"runs": 1, "signals": 1, "orders": 1, "order_events": 3, "fills": 2, "positions": 1}
    counts |= {"equity": 1, "quotes": 1, "risk_events": 2}
    assert store.tables() == dict.fromkeys(TABLES, 0) | counts
    columns = "status, filled_quantity, average_price, decision_price, arrival_price, arrival_ts_ns"
    assert one(store, f"SELECT {columns}, done_ts_ns, venue_order_id, strategy_id FROM orders") == (
        "filled", 2.0, pytest.approx(100.2), 100.0, 99.0, S + 7, 2 * S + 5, "v9", "s"
    )  # fmt: skip
    assert one(store, "SELECT params, market_id, started_ns FROM runs") == ('{"a":1}', "r1", 3)
    assert one(store, "SELECT observed, limit_value FROM risk_events WHERE kind = 'risk'") == (
        "0.2",
        "0.1",
    )
    assert set(store.sql("SELECT DISTINCT mode FROM equity")["mode"]) == {"paper"}


STATES = [
    ("", "intent", 0),
    ("refused", "refused", 0),
    ("sending", "sending", 0),
    ("sending unknown", "unknown", 0),
    ("sending unknown accepted", "open", 0),
    ("sending accepted", "open", 0),
    ("sending accepted triggered", "open", 0),
    ("sending fill", "partially_filled", 1),
    ("sending fill accepted", "partially_filled", 1),
    ("sending fill unknown", "unknown", 1),
    ("sending unknown fill", "partially_filled", 1),
    ("sending accepted cancel_requested", "cancel_pending", 0),
    ("sending accepted cancel_requested fill", "cancel_pending", 1),
    ("sending accepted cancel_requested canceled", "canceled", 0),
    ("sending accepted canceled fill", "canceled", 1),
    ("sending accepted canceled accepted", "canceled", 0),
    ("sending accepted canceled fill fill", "filled", 2),
    ("sending rejected", "rejected", 0),
    ("sending rejected fill", "partially_filled", 1),
    ("sending expired", "expired", 0),
    ("sending fill fill canceled", "filled", 2),
]


@pytest.mark.parametrize("batch", [3, 1000])
def test_the_state_of_an_order_follows_venue_evidence_however_it_is_batched(
    journal: Journal, store: Store, batch: int
) -> None:
    for case, (events, _, _) in enumerate(STATES):
        order = f"c{case:02}"
        journal.append_many([
            intent(order),
            *(fill(order, f"t{n}") if kind == "fill" else event(kind, order)
              for n, kind in enumerate(events.split())),
        ])  # fmt: skip
    store.ingest(journal, batch=batch)
    found = store.sql("SELECT status, filled_quantity FROM orders ORDER BY client_order_id")
    assert found.to_numpy().tolist() == [[status, filled] for _, status, filled in STATES]


def test_refusals_keep_code_and_reason_with_the_order_and_in_risk_events(
    journal: Journal, store: Store
) -> None:
    refusal = event("refused", "c1", code="MAX_POSITIONS", observed=6, limit=5, reason="too many")
    journal.append_many([intent("c1"), refusal])
    store.ingest(journal)
    assert one(store, "SELECT status, code, reason FROM orders") == (
        "refused",
        "MAX_POSITIONS",
        "too many",
    )
    assert one(store, "SELECT code, observed, limit_value, client_order_id FROM risk_events") == (
        "MAX_POSITIONS",
        "6",
        "5",
        "c1",
    )


def test_ingest_again_changes_nothing_and_goes_on_from_the_watermark(
    journal: Journal, store: Store
) -> None:
    journal.append_many([intent("c1"), fill("c1", "t1")])
    store.ingest(journal)
    before = store.sql("SELECT * FROM fills")
    again = store.ingest(journal)
    assert again.after_seq == again.last_seq == 2
    assert sum(again.added.values()) == 0
    pd.testing.assert_frame_equal(store.sql("SELECT * FROM fills"), before)
    journal.append_many([fill("c1", "t2")])
    assert store.ingest(journal).added["fills"] == 1
    assert one(store, "SELECT status FROM orders") == ("filled",)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_fill_that_the_venue_delivers_twice_is_one_fill_even_after_a_restart(
    journal: Journal, store: Store, batch: int
) -> None:
    """T17: the key of a fill is its order and the venue's id, not the row that brought it."""
    journal.append_many([
        intent("c1"), fill("c1", "t1"), fill("c1", "t1"), fill("c1", "t1", run="r2"),
        event("canceled", "c1", run="r2", reason="by hand"), intent("c2"), fill("c2", "t1"),
        fill(None, "liq", run="r1"), fill(None, "liq", run="r2"),
    ])  # fmt: skip
    report = store.ingest(journal, batch=batch)
    rows = store.sql("SELECT client_order_id, fill_id, run_id FROM fills ORDER BY seq")
    assert rows.fillna("-").to_numpy().tolist() == [
        ["c1", "t1", "r1"],
        ["c2", "t1", "r1"],
        ["-", "liq", "r1"],
    ]
    assert report.repeated == 3
    status = store.sql("SELECT run_id, status, reason, filled_quantity FROM orders ORDER BY seq")
    assert status.iloc[0].tolist() == ["r1", "canceled", "by hand", 1.0]
    assert store.check(journal).ok
    assert store.check(journal).repeated == 3


def test_two_replays_may_use_the_same_order_ids(journal: Journal, store: Store) -> None:
    for run in ("r1", "r2"):
        journal.append_many([intent("c1", run=run), fill("c1", "t1", run=run)])
    store.ingest(journal)
    rows = store.sql("SELECT run_id, filled_quantity FROM orders ORDER BY run_id")
    assert rows.to_numpy().tolist() == [["r1", 1.0], ["r2", 1.0]]
    assert store.tables()["fills"] == 2


def test_live_runs_share_the_market_and_replays_have_their_own(
    journal: Journal, store: Store
) -> None:
    for run, mode in (("a", "live"), ("b", "live"), ("c", "paper"), ("d", "demo")):
        journal.append_many([
            event("run", run=run, mode=mode),
            event("quote", run=run, symbol="X", ts_ns=1, bid=1, ask=2),
        ])  # fmt: skip
    store.ingest(journal)
    markets = store.sql("SELECT run_id, market_id FROM quotes ORDER BY run_id")
    assert markets["market_id"].tolist() == ["live", "live", "c", "demo"]


def test_a_payload_that_does_not_fit_names_its_journal_row(journal: Journal, store: Store) -> None:
    journal.append_many([intent("c1"), fill("c1", "t1", price="cheap")])
    with pytest.raises(InvalidData, match=r"journal row 2 \(fill\): price = 'cheap'"):
        store.ingest(journal)
    assert store.tables()["orders"] == 0


def test_a_journal_that_lost_rows_the_store_was_fed_is_corrupt(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    """The store is the third witness: a journal and its mark restored from a backup pass alone."""
    journal.append_many([intent("c1")])
    journal.close()
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in ("journal.sqlite", "journal.sqlite.mark"):
        shutil.copy(tmp_path / name, backup / name)
    with Journal(tmp_path) as longer:
        longer.append_many([fill("c1", "t1")])
        store.ingest(longer)
    for name in ("journal.sqlite", "journal.sqlite.mark"):
        shutil.copy(backup / name, tmp_path / name)
    with Journal(tmp_path) as shorter:
        assert shorter.verify().rows == 1
        with pytest.raises(JournalCorrupt, match="row 2 is not the one"):
            store.ingest(shorter)
        assert not store.check(shorter).ok


# -- check and rebuild -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM fills WHERE fill_id = 't2'", "1 missing"),
        ("INSERT INTO fills SELECT * FROM fills WHERE fill_id = 't2'", "1 doubled"),
        ("UPDATE fills SET quantity = quantity * 1.0000001 WHERE fill_id = 't2'", "1 different"),
        ("UPDATE fills SET fee_currency = NULL WHERE fill_id = 't2'", "1 different"),
        ("DELETE FROM orders", "1 missing"),
        ("UPDATE orders SET side = 'sell'", "1 different"),
        ("UPDATE fills SET event_id = event_id || '9' WHERE fill_id = 't2'", "1 extra"),
    ],
)
def test_check_finds_what_is_missing_doubled_or_different(
    journal: Journal, store: Store, statement: str, problem: str
) -> None:
    journal.append_many([intent("c1"), fill("c1", "t1"), fill("c1", "t2")])
    store.ingest(journal)
    report = store.check(journal)
    assert (report.ok, report.fills, report.orders, report.pending) == (True, 2, 1, 0)
    with duckdb.connect(str(store.path)) as db:
        db.execute(statement)
    assert problem in " ".join(store.check(journal).problems)
    store.rebuild(journal)
    assert store.check(journal).ok


def test_rows_not_yet_ingested_are_pending_and_no_fault(journal: Journal, store: Store) -> None:
    journal.append_many([intent("c1"), fill("c1", "t1")])
    report = store.check(journal)
    assert (report.ok, report.pending, report.store_seq) == (True, 2, 0)


def simulation(n: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    orders = pd.DataFrame({
        "client_order_id": np.arange(n), "ts_ns": np.arange(n) * S, "symbol": "BTCUSDT",
        "side": pd.Categorical(np.where(np.arange(n) % 2, "sell", "buy")), "quantity": 2.0,
        "order_type": pd.Categorical(["market"] * n), "decision_price": 100.0,
        "arrival_price": np.nan, "private_note": "left out",
    })  # fmt: skip
    fills = pd.DataFrame({
        "client_order_id": np.arange(n - 1), "symbol": "BTCUSDT", "side": orders["side"][: n - 1],
        "quantity": 2.0, "price": 101.0, "liquidity": pd.Categorical(["taker"] * (n - 1)),
        "fee": 0.2, "fee_currency": "USDT", "venue_ts_ns": np.arange(n - 1) * S + 5,
    })  # fmt: skip
    return orders, fills


def test_a_simulation_lands_in_the_same_tables_and_saving_twice_is_saving_once(
    store: Store,
) -> None:
    orders, fills = simulation()
    run = {"run_id": "sim", "venue": "binance", "params": {"fill": "queue", "seed": 1}}
    for _ in range(2):
        assert store.save_simulation(run, orders, fills) == "sim"
    assert {k: v for k, v in store.tables().items() if v} == {"runs": 1, "orders": 4, "fills": 3}
    assert one(store, "SELECT params, mode FROM runs") == ('{"fill": "queue", "seed": 1}', "paper")
    rows = store.sql("SELECT * FROM orders ORDER BY seq")
    assert rows["client_order_id"].tolist() == ["0", "1", "2", "3"]
    assert rows["side"].tolist() == ["buy", "sell", "buy", "sell"]
    assert rows["quote_currency"].tolist() == ["USDT"] * 4
    assert rows["arrival_price"].isna().all()
    assert rows["filled_quantity"].tolist() == [2.0, 2.0, 2.0, 0.0]
    assert rows["status"].fillna("-").tolist() == ["filled", "filled", "filled", "-"]
    assert store.sql("SELECT DISTINCT venue, mode, run_id FROM fills").to_numpy().tolist() == [
        ["binance", "paper", "sim"]
    ]
    store.save_simulation(run, orders.iloc[:2], fills.iloc[:1], replace=True)
    assert (store.tables()["orders"], store.tables()["fills"]) == (2, 1)


def test_bad_simulation_frames_name_the_row_and_write_nothing(
    store: Store, journal: Journal
) -> None:
    orders, fills = simulation()
    cases = [
        ({}, orders, fills, "run_id"),
        ({"run_id": "s"}, pd.concat([orders, orders.iloc[[1]]]), fills, "row 4 .*occurs twice"),
        ({"run_id": "s"}, orders.iloc[:1], fills, "row 1 .*there is no such order"),
        ({"run_id": "s"}, orders.assign(quantity="many"), fills, "orders.quantity"),
        ({"run_id": "s"}, orders.drop(columns="client_order_id"), fills, "column is missing"),
    ]
    for run, bad_orders, bad_fills, text in cases:
        with pytest.raises(InvalidInput, match=text):
            store.save_simulation(run, bad_orders, bad_fills)
    journal.append_many([intent("c1")])
    store.ingest(journal)
    with pytest.raises(InvalidInput, match="belongs to a journal"):
        store.save_simulation({"run_id": "r1"}, orders, fills)
    assert (store.tables()["orders"], store.tables()["runs"]) == (1, 1)


def test_rebuild_equals_what_ingest_made_and_keeps_simulated_runs(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    for n in range(50):
        journal.append_many([intent(f"c{n}"), fill(f"c{n}", "t1")])
        if n % 20 == 0:
            store.ingest(journal, batch=7)
    store.ingest(journal)
    store.save_simulation({"run_id": "sim"}, *simulation())
    queries = [f"SELECT * FROM {t} ORDER BY ALL" for t in (*TABLES, "slippage")]
    before = [store.sql(query) for query in queries]
    report = store.rebuild(journal)
    assert report.added["fills"] == 50
    for query, frame in zip(queries, before, strict=True):
        pd.testing.assert_frame_equal(store.sql(query), frame)
    assert sum(store.ingest(journal).added.values()) == 0
    assert not [p for p in tmp_path.iterdir() if "rebuild" in p.name or "broken" in p.name]
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_two_journals_feed_one_store_and_rebuilding_one_keeps_the_other(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    with Journal(tmp_path / "other.sqlite") as other:
        other.append_many([intent("c1", run="o1"), fill("c1", "t1", run="o1")])
        journal.append_many([intent("c1"), fill("c1", "t1")])
        store.ingest(other)
        store.ingest(journal)
        store.rebuild(journal)
        assert store.tables()["fills"] == 2
        assert store.check(other).ok
        assert store.ingest(other).added["fills"] == 0


def test_a_run_that_has_the_name_of_a_simulated_one_is_refused_and_rebuild_takes_it(
    journal: Journal, store: Store
) -> None:
    """Both would land in one run. The way out that the error names works, and only drops that."""
    store.save_simulation({"run_id": "r1"}, *simulation())
    store.save_simulation({"run_id": "other"}, *simulation())
    journal.append_many([intent("c1"), fill("c1", "t1")])
    with pytest.raises(InvalidInput, match=r"run_id = 'r1': a simulated run .* store rebuild"):
        store.ingest(journal)
    assert (store.tables()["fills"], store.check(journal).pending) == (6, 2)
    store.rebuild(journal)
    counts = store.sql("SELECT run_id, count(*) FROM fills GROUP BY ALL ORDER BY ALL")
    assert counts.to_numpy().tolist() == [["other", 3], ["r1", 1]]
    assert store.sql("SELECT run_id FROM runs ORDER BY ALL")["run_id"].tolist() == ["other", "r1"]
    assert store.check(journal).ok


def test_equity_of_two_currencies_can_be_told_apart(journal: Journal, store: Store) -> None:
    """From a simulation and from a journal alike."""
    equity = pd.DataFrame({"ts_ns": [S, S], "currency": ["USDT", "BTC"], "equity": [-5.0, 0.01]})
    store.save_simulation({"run_id": "sim"}, *simulation(), equity=equity)
    journal.append_many([event("equity", currency="EUR", equity=Decimal("2"))])
    store.ingest(journal)
    rows = store.sql("SELECT run_id, currency, equity FROM equity ORDER BY ALL")
    assert rows.to_numpy().tolist() == [
        ["r1", "EUR", 2.0], ["sim", "BTC", 0.01], ["sim", "USDT", -5.0]
    ]  # fmt: skip


def test_a_store_of_an_older_schema_is_rebuilt_with_its_simulated_runs(
    journal: Journal, store: Store
) -> None:
    """Version 1 had no currency of equity; what it did not know is NULL."""
    equity = pd.DataFrame({"ts_ns": [S], "currency": ["USDT"], "equity": [1.0]})
    store.save_simulation({"run_id": "sim"}, *simulation(), equity=equity)
    with duckdb.connect(str(store.path)) as db:
        db.execute("ALTER TABLE equity DROP COLUMN currency; UPDATE meta SET value = '1'")
    with pytest.raises(InvalidData, match="has schema 1"):
        store.tables()
    store.rebuild(journal)
    assert one(store, "SELECT equity, currency FROM equity") == (1.0, None)


# -- files that are wrong, held, or out of reach ---------------------------------------------------


def damage(path: Path, start: int) -> None:
    raw = bytearray(path.read_bytes())
    for at in range(start, len(raw), 4096):
        raw[at] ^= 0xFF
    path.write_bytes(raw)


def test_a_damaged_file_says_rebuild_and_rebuild_mends_it(journal: Journal, store: Store) -> None:
    journal.append_many([intent("c1"), fill("c1", "t1")])
    store.ingest(journal)
    damage(store.path, 4096 + 100)
    with pytest.raises(StoreCorrupt, match="execkit store rebuild"):
        store.sql("SELECT * FROM fills")
    with pytest.raises(StoreCorrupt, match="execkit store rebuild"):
        store.ingest(journal)
    store.rebuild(journal)
    assert store.check(journal).ok
    assert store.path.with_name("execkit.duckdb.broken").exists()


def test_a_damaged_log_is_set_aside_and_simulated_runs_survive(
    journal: Journal, store: Store
) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    journal.append_many([intent("c1"), fill("c1", "t1")])
    log = store.path.with_name("execkit.duckdb.wal")
    with duckdb.connect(str(store.path)) as db:
        db.execute("PRAGMA disable_checkpoint_on_shutdown")
        db.execute("INSERT INTO signals (run_id) SELECT 'x' FROM range(5000)")
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    log.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match="execkit store rebuild"):
        store.ingest(journal)
    store.rebuild(journal)
    assert store.check(journal).ok
    assert (store.tables()["orders"], store.tables()["signals"]) == (5, 0)
    assert not log.exists()


def test_a_truncated_file_says_rebuild(journal: Journal, store: Store) -> None:
    journal.append_many([intent("c1")])
    store.ingest(journal)
    raw = store.path.read_bytes()
    store.path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(StoreCorrupt, match="execkit store rebuild"):
        store.sql("SELECT * FROM orders")


@pytest.mark.parametrize("content", [b"", b"hello" * 1000])
def test_a_file_that_is_not_duckdb_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="not a DuckDB file"):
        Store(path).tables()
    assert path.read_bytes() == content


def test_foreign_duckdb_files_and_other_schema_versions_are_refused(
    tmp_path: Path, store: Store
) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as db:
        db.execute("CREATE TABLE mine (x INT)")
    with pytest.raises(InvalidData, match="not an execkit store"):
        Store(tmp_path / "other.duckdb").tables()
    made(store)
    with duckdb.connect(str(store.path)) as db:
        db.execute("UPDATE meta SET value = '999'")
    with pytest.raises(InvalidData, match="has schema 999"):
        store.tables()


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD = """
import sys, duckdb
db = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "ro")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["ro", "rw"])
def test_a_file_held_by_another_process_names_it_and_comes_free(
    tmp_path: Path, journal: Journal, how: str
) -> None:
    store = Store(tmp_path, read_timeout_s=0.3, write_timeout_s=0.3)
    journal.append_many([intent("c1")])
    made(store)
    holder = python(HOLD, store.path, how)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreLocked, match=rf"process {holder.pid} holds it, waited 0.3 s"):
        store.ingest(journal)
    if how == "ro":
        assert store.tables()["orders"] == 0
    else:
        with pytest.raises(StoreLocked):
            store.tables()
    patient = Store(tmp_path)
    threading.Timer(0.3, lambda: holder.communicate("\n")).start()
    assert patient.ingest(journal).added["orders"] == 1
    holder.wait(timeout=10)


def test_a_connection_of_this_process_is_named_as_such(tmp_path: Path) -> None:
    store = Store(tmp_path, read_timeout_s=0.1)
    made(store)
    with (
        duckdb.connect(str(store.path)),
        pytest.raises(StoreLocked, match="another connection of this process"),
    ):
        store.tables()
    assert store.tables()["runs"] == 0


def test_threads_read_and_write_one_store_at_once(journal: Journal, store: Store) -> None:
    journal.append_many(fill(f"c{n}", "t1") for n in range(200))
    made(store)
    errors: list[Exception] = []

    def read() -> None:
        try:
            for _ in range(10):
                assert store.tables()["fills"] % 10 == 0
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    store.ingest(journal, batch=10)
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.tables()["fills"] == 200


def test_missing_permission_is_one_clear_error(store: Store) -> None:
    if os.geteuid() != 0:
        need("becoming another user needs root")
    made(store)
    code = """
import os, sys
from execkit.store import Store
os.seteuid(65534)
Store(sys.argv[1]).tables()
"""
    os.chmod(store.path.parent, 0o755)
    for parent in list(store.path.parent.parents)[:2]:
        os.chmod(parent, 0o755)
    _, errors = python(code, store.path).communicate(timeout=60)
    assert "InvalidInput: path = " in errors.splitlines()[-1]
    assert "permission" in errors.splitlines()[-1]


FULL = """
import sys, resource
from execkit.errors import RetryLater
from execkit.journal import Journal
from execkit.store import Store
store = Store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
try:
    store.ingest(Journal(sys.argv[2]), batch=5000)
except RetryLater as error:
    print("full", "free space" in str(error))
"""


def test_a_full_disk_leaves_whole_batches_and_a_later_ingest_finishes(
    journal: Journal, store: Store
) -> None:
    rng = np.random.default_rng(0)
    notes = rng.bytes(20_000 * 60).hex()
    journal.append_many(
        event("signal", symbol="X", note=notes[n * 120 : n * 120 + 120]) for n in range(20_000)
    )
    store.save_simulation({"run_id": "sim"}, *simulation())
    out, errors = python(FULL, store.path, journal.path).communicate(timeout=120)
    assert out == "full True\n", errors
    try:
        assert store.tables()["signals"] % 5000 == 0
    except StoreCorrupt:
        assert duckdb.__version__ >= "2", "only DuckDB 2 leaves a log that it cannot replay"
        store.rebuild(journal)
    store.ingest(journal)
    assert (store.tables()["signals"], store.tables()["orders"]) == (20_000, 4)


def test_sql_is_read_only_takes_parameters_and_names_mistakes(
    journal: Journal, store: Store
) -> None:
    journal.append_many([intent("c1"), intent("c2")])
    store.ingest(journal)
    assert one(store, "SELECT count(*) FROM orders") == (2,)
    assert len(store.sql("SELECT * FROM orders WHERE client_order_id = ?", ["c2"])) == 1
    assert len(store.sql("SELECT * FROM orders WHERE client_order_id = $id", {"id": "c2"})) == 1
    frame = pd.DataFrame({"x": [1]})
    for query in (
        "SELECT nope FROM orders", "SELEC 1", "SELECT * FROM frame", "DELETE FROM orders",
        "SELECT cast('a' AS INT)", "SELECT * FROM orders WHERE client_order_id = ?",
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="query"):
            store.sql(query)
    assert len(frame) == 1
    assert store.tables()["orders"] == 2
    assert store.sql("SELECT ts_ns FROM orders")["ts_ns"].dtype == np.int64


def test_retry_later_is_the_parent_of_locked_so_that_one_except_serves() -> None:
    assert issubclass(StoreLocked, RetryLater)
