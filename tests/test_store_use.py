"""The store in the hands of a user: names used twice, queries that write, typos, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from execkit.errors import InvalidInput, StoreCorrupt
from execkit.journal import Journal
from execkit.store import Store

REPO = Path(__file__).resolve().parents[1]
S = 1_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def simulation(n: int = 4, price: float = 101.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    orders = pd.DataFrame({
        "client_order_id": np.arange(n), "ts_ns": np.arange(n) * S, "symbol": "BTCUSDT",
        "side": np.where(np.arange(n) % 2, "sell", "buy"), "quantity": 2.0,
        "order_type": "market",
    })  # fmt: skip
    fills = pd.DataFrame({
        "client_order_id": np.arange(n), "symbol": "BTCUSDT", "side": orders["side"],
        "quantity": 2.0, "price": price, "venue_ts_ns": np.arange(n) * S + 5,
    })  # fmt: skip
    return orders, fills


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# -- one name, two contents ------------------------------------------------------------------------


def prices(store: Store) -> list[float]:
    return sorted(store.sql("SELECT DISTINCT price FROM fills")["price"])


def test_the_same_run_again_changes_nothing_and_other_content_is_refused(store: Store) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    before = store.path.read_bytes()
    store.save_simulation({"run_id": "sim"}, *simulation())
    assert store.path.read_bytes() == before
    with pytest.raises(InvalidInput, match=r"run_id = 'sim': .*save\(store, replace=True\)"):
        store.save_simulation({"run_id": "sim"}, *simulation(price=102.0))
    assert prices(store) == [101.0]
    store.save_simulation({"run_id": "sim"}, *simulation(price=102.0), replace=True)
    assert prices(store) == [102.0]
    assert store.tables()["runs"] == 1


@pytest.mark.parametrize("change", ["params", "order", "row", "null", "boundary"])
def test_every_kind_of_difference_counts_as_other_content(store: Store, change: str) -> None:
    orders, fills = simulation()
    orders["strategy_id"] = ["ab", "c", "", "d"]
    run: dict[str, object] = {"run_id": "sim", "params": {"seed": 1}}
    store.save_simulation(run, orders, fills)
    if change == "params":
        run["params"] = {"seed": 2}
    elif change == "order":
        fills = fills.iloc[::-1]
    elif change == "row":
        fills = fills.iloc[:-1]
    elif change == "null":
        orders.loc[2, "strategy_id"] = None
    else:
        orders["strategy_id"] = ["a", "bc", "", "d"]
    with pytest.raises(InvalidInput, match="other content"):
        store.save_simulation(run, orders, fills)


def test_a_stored_run_carries_the_digest_of_its_content_beside_its_versions(store: Store) -> None:
    store.save_simulation({"run_id": "a", "versions": {"mine": 3}}, *simulation())
    row = store.sql(
        "SELECT versions->>'mine' AS mine, versions->>'content_digest' AS d FROM runs"
    ).iloc[0]
    assert row["mine"] == "3"
    assert len(row["d"]) == 32


# -- queries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "is empty"),
        (" ; -- nothing", "is empty"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("COPY runs TO '{out}'", "COPY is refused"),
        ("EXPLAIN ANALYZE COPY runs TO '{out}'", "COPY is refused"),
        ("EXPLAIN (ANALYZE) COPY runs TO '{out}'", "COPY is refused"),
        ("/* a */ explain analyze COPY runs TO '{out}'", "COPY is refused"),
        ("COPY (PIVOT fills ON side USING sum(quantity)) TO '{out}'", "refused"),
        ("PIVOT fills ON side USING sum(quantity); COPY runs TO '{out}'", "statements"),
        ("EXPORT DATABASE '{out}'", "EXPORT is refused"),
        ("ATTACH '{out}' AS other", "ATTACH is refused"),
        ("INSTALL httpfs", "LOAD is refused"),
        ("LOAD nothing_of_this_name", "LOAD is refused"),
        ("INSERT INTO runs (run_id) VALUES ('x')", "INSERT is refused"),
        ("CREATE TEMP TABLE x AS SELECT 1", "CREATE is refused"),
        ("SET threads = 1", "SET is refused"),
        ("UPDATE EXTENSIONS", "refused"),
        ("SELECT * FROM read_csv('{out}')", "No files found"),
        ("SELEKT 1", "SELEKT"),
    ],
)
def test_a_query_that_does_not_only_read_is_refused_and_writes_nothing(
    store: Store, tmp_path: Path, query: str, text: str
) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match=text) as caught:
        store.sql(query.format(out=out))
    assert caught.value.field == "query"
    assert not out.exists()
    assert store.tables()["runs"] == 1


def test_queries_that_read_in_other_words_pass(store: Store, tmp_path: Path) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    file = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1, 2]}).to_parquet(file)
    assert len(store.sql(f"SELECT * FROM read_parquet('{file}')")) == 2
    assert len(store.sql(f"FROM '{file}'")) == 2
    for query in (
        "SELECT 1;", "FROM runs", "WITH a AS (SELECT 1) SELECT * FROM a", "DESCRIBE orders",
        "SHOW TABLES", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "VALUES (1)",
        "PIVOT fills ON side USING sum(quantity)", "-- why\nSELECT 'a;b'", "(SELECT 1)",
    ):  # fmt: skip
        assert len(store.sql(query)) > 0, query


# -- paths -----------------------------------------------------------------------------------------


def test_a_name_without_a_suffix_is_a_desk_and_an_existing_file_is_that_file(
    tmp_path: Path,
) -> None:
    Store(tmp_path / "d_cmp").save_simulation({"run_id": "a"}, *simulation())
    assert (tmp_path / "d_cmp" / "execkit.duckdb").is_file()
    for name in ("x.duckdb", "x.db"):
        Store(tmp_path / name).save_simulation({"run_id": "a"}, *simulation())
        assert (tmp_path / name).is_file()
    (tmp_path / "x.db").rename(tmp_path / "plain")
    assert Store(tmp_path / "plain").tables()["runs"] == 1


def test_a_read_of_a_store_that_is_not_there_makes_nothing(
    tmp_path: Path, journal: Journal
) -> None:
    for path in (tmp_path / "nope", tmp_path / "no.duckdb", tmp_path):
        for read in (lambda s: s.sql("SELECT 1"), lambda s: s.tables()):
            with pytest.raises(InvalidInput, match="there is no store yet"):
                read(Store(path))
    assert Store(tmp_path).check(journal).ok
    assert not [p for p in tmp_path.iterdir() if "journal" not in p.name]


# -- rebuild ---------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    for at in range(4096 + 100, len(raw), 4096):
        raw[at] ^= 0xFF
    path.write_bytes(raw)


def test_each_damaged_file_is_kept_and_the_report_names_it(journal: Journal, store: Store) -> None:
    kept = [store.path.with_name("execkit.duckdb" + s) for s in (".broken", ".broken-2")]
    for path in kept:
        store.save_simulation({"run_id": "sim"}, *simulation())
        damage(store.path)
        with pytest.raises(StoreCorrupt, match="store rebuild"):
            store.sql("SELECT * FROM fills")
        assert store.rebuild(journal).set_aside == str(path)
        assert path.is_file()
        assert store.tables()["runs"] == 0
    assert store.rebuild(journal).set_aside == ""


FULL = """
import sys, resource
from execkit.errors import RetryLater
from execkit.journal import Journal
from execkit.store import Store
store, journal = Store(sys.argv[1]), Journal(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    store.rebuild(journal)
except RetryLater as error:
    print("free space" in str(error))
"""


@pytest.mark.parametrize("limit", [10_000, 100_000, 300_000])
def test_a_rebuild_on_a_full_disk_leaves_the_store_as_it_was(
    journal: Journal, store: Store, limit: int
) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    before = store.path.read_bytes()
    out, errors = python(FULL, store.path.parent, limit).communicate(timeout=60)
    assert out == "True\n", errors
    assert store.path.read_bytes() == before
    assert not list(store.path.parent.glob("*rebuild*"))


# -- Ctrl-C ----------------------------------------------------------------------------------------


def test_an_interrupted_query_is_a_keyboard_interrupt(store: Store) -> None:
    store.save_simulation({"run_id": "sim"}, *simulation())
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        store.sql("SELECT sum(hash(range)) FROM range(5_000_000_000)")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert store.tables()["runs"] == 1


SAVE = """
import sys, pandas as pd
from execkit.store import Store
orders, fills = pd.read_parquet(sys.argv[1] + "/o"), pd.read_parquet(sys.argv[1] + "/f")
print("ready", flush=True)
try:
    Store(sys.argv[1]).save_simulation({"run_id": "sim"}, orders, fills, replace=True)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupted_save_stores_all_of_it_or_nothing_and_does_not_hang(
    store: Store, tmp_path: Path
) -> None:
    n, stopped = 100_000, 0
    for name, frame in zip("of", simulation(n), strict=True):
        frame.to_parquet(tmp_path / name)
    for delay in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        saver = python(SAVE, tmp_path)
        assert saver.stdout is not None
        assert saver.stdout.readline() == "ready\n"
        time.sleep(delay)
        saver.send_signal(signal.SIGINT)
        out, errors = saver.communicate(timeout=30)
        assert saver.returncode == 0, errors
        stopped += out == "interrupted\n"
        if store.path.exists():
            counts = store.tables()
            assert (counts["runs"], counts["orders"], counts["fills"]) in ((0, 0, 0), (1, n, n))
            store.path.unlink()
    assert stopped, "no interrupt came in time, so this run proved nothing"
