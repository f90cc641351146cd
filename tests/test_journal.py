"""The journal is durable, chained, shared by processes, and notices what was taken from it."""

from __future__ import annotations

import enum
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.errors import InvalidData, InvalidInput, JournalCorrupt, JournalUnwritable
from execkit.journal import KINDS, Event, Journal, mark_of
from tests.conftest import need

REPO = Path(__file__).resolve().parents[1]


def child(code: str, *arguments: object, user: int | None = None) -> subprocess.CompletedProcess:
    """Run `code` in a process of its own, with execkit importable."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        user=user,
        check=False,
    )


def fill_up(journal: Journal, count: int) -> None:
    journal.append_many(Event("fill", {"n": n}, n, f"c{n}", "r") for n in range(count))


def test_what_is_appended_is_read_back_with_its_number_and_its_id(tmp_path: Path) -> None:
    with Journal(tmp_path / "desk" / "journal.sqlite") as journal:
        first = journal.append("run", {"mode": "paper"}, ts_ns=5, run_id="r1")
        rest = journal.append_many(
            [
                Event("intent", {"quantity": Decimal("0.10")}, 6, "c1", "r1"),
                ("fill", {}, 7, None, ""),
            ]
        )
        assert (first, rest, journal.last_seq()) == (1, [2, 3], 3)
        _, intent, bare = list(journal.read())
        assert intent.payload == {"quantity": "0.10"}
        assert (intent.ts_ns, intent.kind, intent.client_order_id) == (6, "intent", "c1")
        assert intent.event_id == f"{journal.journal_id}-2"
        assert (bare.client_order_id, bare.run_id, bare.prev_hash) == (None, "", intent.hash)
        assert [r.seq for r in journal.read(1)] == [2, 3]
        assert [r.seq for r in journal.read(kinds=["fill", "run"])] == [1, 3]
        assert [r.seq for r in journal.read(limit=2)] == [1, 2]


def test_reading_goes_beyond_one_chunk_and_sees_rows_appended_meanwhile(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 2500)
        rows = journal.read()
        assert next(rows).seq == 1
        journal.append("risk", {}, ts_ns=0)
        assert [r.seq for r in rows] == list(range(2, 2502))
        assert [r.seq for r in journal.read(limit=1700)] == list(range(1, 1701))


def test_a_reopened_journal_goes_on_where_it_was_and_keeps_its_id(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        fill_up(journal, 3)
        name = journal.journal_id
    with Journal(tmp_path) as again:
        assert again.journal_id == name
        assert again.append("risk", {}, ts_ns=1) == 4
        assert again.verify().rows == 4
        assert again.verify(after_seq=2).rows == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(payload=st.dictionaries(st.text("abcdef", min_size=1), json_values, max_size=4))
def test_any_json_object_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, payload: dict[str, object]
) -> None:
    with Journal(tmp_path_factory.mktemp("j") / "j.sqlite") as journal:
        journal.append("command", payload, ts_ns=0)
        assert next(journal.read()).payload == payload
        assert journal.verify().rows == 1


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=18))
@settings(max_examples=60, deadline=None)
def test_decimals_of_eighteen_places_are_exact(
    tmp_path_factory: pytest.TempPathFactory, number: Decimal
) -> None:
    with Journal(tmp_path_factory.mktemp("j") / "j.sqlite") as journal:
        journal.append("fill", {"quantity": number, "id": 2**63 - 1}, ts_ns=0)
        payload = next(journal.read()).payload
    assert Decimal(payload["quantity"]) == number
    assert payload["id"] == 2**63 - 1


def test_enums_and_numpy_numbers_become_plain_values(tmp_path: Path) -> None:
    class Side(enum.Enum):
        BUY = "buy"

    with Journal(tmp_path / "j.sqlite") as journal:
        journal.append("fill", {"a": Side.BUY, "b": np.int64(3), "c": np.float64(0.5)}, ts_ns=0)
        assert next(journal.read()).payload == {"a": "buy", "b": 3, "c": 0.5}


@pytest.mark.parametrize(
    ("kind", "payload", "ts_ns", "field"),
    [
        ("trade", {}, 0, "kind"),
        ("fill", {"price": float("nan")}, 0, "payload"),
        ("fill", {"price": Decimal("Infinity")}, 0, "payload"),
        ("fill", {"price": object()}, 0, "payload"),
        ("fill", [1], 0, "payload"),
        ("fill", {}, 1.5, "ts_ns"),
        ("fill", {}, True, "ts_ns"),
    ],
)
def test_bad_events_are_named_and_nothing_of_their_batch_is_written(
    tmp_path: Path, kind: str, payload: object, ts_ns: object, field: str
) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        with pytest.raises(InvalidInput) as caught:
            journal.append_many([Event("risk", {}, 0), (kind, payload, ts_ns, None, "")])  # type: ignore[list-item]
        assert caught.value.field == field
        assert journal.last_seq() == 0
        assert journal.append_many([]) == []


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    code = """
import os, sys
os.umask(0)
from execkit.journal import Journal
Journal(sys.argv[1]).append("risk", {}, ts_ns=0)
"""
    path = tmp_path / "desk" / "journal.sqlite"
    assert child(code, path).returncode == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("statement", ["UPDATE journal SET ts_ns = 9", "DELETE FROM journal"])
def test_rows_cannot_be_changed_or_deleted_by_sql(tmp_path: Path, statement: str) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 2)
        raw = sqlite3.connect(journal.path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
        raw.close()


def test_rows_are_on_disk_before_append_returns(tmp_path: Path) -> None:
    """synchronous=FULL is what makes SQLite fsync its log at each commit in WAL mode."""
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# -- what was taken away is noticed ------------------------------------------------------------


def tamper(path: Path, *statements: str) -> None:
    raw = sqlite3.connect(path)
    for name in ("journal_no_update", "journal_no_delete"):
        raw.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


@pytest.mark.parametrize(
    "change",
    [
        "payload = replace(payload, '2', '3')",
        "ts_ns = ts_ns + 1",
        "kind = 'canceled'",
        "client_order_id = NULL",
        "run_id = 'x'",
        "hash = replace(hash, substr(hash, 5, 1), 'x')",
        "prev_hash = hash",
    ],
)
def test_any_changed_field_is_named_by_its_row(tmp_path: Path, change: str) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 6)
        tamper(journal.path, f"UPDATE journal SET {change} WHERE seq = 3")
        with pytest.raises(JournalCorrupt, match="row 3 "):
            journal.verify()


def test_a_row_cut_out_of_the_middle_is_a_gap(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 6)
        tamper(journal.path, "DELETE FROM journal WHERE seq = 3")
        with pytest.raises(JournalCorrupt, match="row 3 is missing"):
            journal.verify()
        with pytest.raises(JournalCorrupt, match="row 3 is missing"):
            journal.verify(after_seq=3)


def test_a_rewritten_history_that_hashes_well_is_not_the_one_the_mark_knows(tmp_path: Path) -> None:
    """Someone who can recompute hashes still meets the mark."""
    with Journal(tmp_path / "a" / "j.sqlite") as journal:
        fill_up(journal, 2)
        name, path = journal.journal_id, journal.path
    with Journal(tmp_path / "b" / "j.sqlite") as forged:
        raw = sqlite3.connect(forged.path)
        raw.execute("UPDATE meta SET journal_id = ?", (name,))
        raw.commit()
        raw.close()
    mark_of(forged.path).unlink()
    with Journal(forged.path) as forged:
        forged.append_many([Event("fill", {"n": 7}, 0), Event("fill", {"n": 8}, 0)])
        assert forged.verify().rows == 2
    os.replace(forged.path, path)
    with pytest.raises(JournalCorrupt, match="row 2 is not the one"):
        Journal(path)


def test_a_flipped_bit_anywhere_in_the_payloads_is_found(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.append_many(Event("fill", {"note": f"canary-{n}-" * 4}, n) for n in range(8))
        path = journal.path
    clean = path.read_bytes()
    places = [at for at in range(len(clean)) if clean.startswith(b"canary-", at)]
    assert len(places) == 32
    for at in places:
        damaged = bytearray(clean)
        damaged[at + 2] ^= 1 << (at % 7)
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupt), Journal(path) as journal:
            journal.verify()


def test_a_vanished_tail_is_seen_at_open_and_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 6)
        path = journal.path
    tamper(path, "DELETE FROM journal WHERE seq > 4")
    with pytest.raises(JournalCorrupt, match=r"rows 5\.\.6 were acknowledged and are gone"):
        Journal(path)
    with Journal(path, accept_tail=True) as journal:
        assert journal.append("risk", {}, ts_ns=0) == 5
    with Journal(path) as journal:
        assert journal.verify().last_seq == 5


def test_a_tail_that_vanishes_while_open_stops_the_next_append(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 6)
        tamper(journal.path, "DELETE FROM journal WHERE seq > 4")
        with pytest.raises(JournalCorrupt, match=r"rows 5\.\.6"):
            journal.append("fill", {}, ts_ns=0)
        with pytest.raises(JournalCorrupt, match=r"rows 5\.\.6"):
            journal.verify()


def test_a_deleted_write_ahead_log_is_a_vanished_tail(tmp_path: Path) -> None:
    """kill -9 leaves rows in the -wal file; without it SQLite opens happily, and shorter."""
    code = """
import os, sys
from execkit.journal import Journal
journal = Journal(sys.argv[1])
for n in range(5):
    journal.append("fill", {"n": n}, ts_ns=n)
os._exit(9)
"""
    path = tmp_path / "j.sqlite"
    Journal(path).close()
    assert child(code, path).returncode == 9
    Path(f"{path}-wal").unlink()
    with pytest.raises(JournalCorrupt, match=r"rows 1\.\.5 were acknowledged"):
        Journal(path)


def test_a_journal_file_gone_from_beside_its_mark_is_not_made_anew(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 1)
    journal.path.unlink()
    with pytest.raises(JournalCorrupt, match="is gone"):
        Journal(journal.path)


def test_a_missing_mark_proves_nothing_and_is_said_so(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 2)
    mark_of(journal.path).unlink()
    with pytest.raises(JournalCorrupt, match="accept_tail"):
        Journal(journal.path)
    with Journal(journal.path, accept_tail=True) as journal:
        assert journal.verify().mark_seq == 2


def test_a_torn_mark_falls_back_to_the_one_before(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        for n in range(10):
            journal.append("risk", {}, ts_ns=n)
    raw = bytearray(mark_of(journal.path).read_bytes())
    at = 10 % 8 * 128
    raw[at + 30 : at + 60] = bytes(30)
    mark_of(journal.path).write_bytes(raw)
    with Journal(journal.path) as journal:
        assert journal.verify().mark_seq == 9


# -- files that are not journals, places that cannot be written -----------------------------------


def test_files_that_are_not_journals_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello" * 1000)
    with pytest.raises(JournalCorrupt, match="not a database"):
        Journal(text)
    assert text.read_text() == "hello" * 1000
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(InvalidData, match="not a journal"):
        Journal(tmp_path / "other.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(InvalidData, match="format 99"):
        Journal(tmp_path / "newer.db")
    with pytest.raises(InvalidInput, match="no journal to be seen"):
        Journal(tmp_path / "absent.sqlite", create=False)
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_place_without_permission_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnwritable, match="choose a place you may write to"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_another_user_without_permission_gets_one_clear_error(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        need("becoming another user needs root")
    with Journal(tmp_path / "desk" / "j.sqlite") as journal:
        fill_up(journal, 1)
    code = """
import os, sys
from execkit.journal import Journal
os.seteuid(65534)
Journal(sys.argv[1])
"""
    result = child(code, journal.path)
    assert "JournalUnwritable" in result.stderr.splitlines()[-1]
    assert "Permission denied" in result.stderr


DISK_FULL = """
import sys, resource
from execkit.errors import JournalUnwritable
from execkit.journal import Event, Journal
journal = Journal(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
acknowledged = 0
try:
    while True:
        seqs = journal.append_many([Event("fill", {"pad": "x" * 900}, 0)] * 7)
        acknowledged = seqs[-1]
except JournalUnwritable as error:
    assert "free space" in str(error), error
    try:
        journal.append("risk", {}, ts_ns=0)
        raise SystemExit("wrote after a failed write")
    except JournalUnwritable as again:
        assert "open the journal again" in str(again), again
print(acknowledged)
"""


def test_a_full_disk_refuses_the_whole_batch_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    result = child(DISK_FULL, path)
    assert result.returncode == 0, result.stderr
    acknowledged = int(result.stdout)
    assert acknowledged >= 7
    with Journal(path) as journal:
        assert journal.verify().last_seq == acknowledged
        assert journal.append("risk", {}, ts_ns=0) == acknowledged + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_held_write_lock_fails_the_append_after_the_timeout(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite", timeout_s=0.1) as journal:
        raw = sqlite3.connect(journal.path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnwritable, match="another process holds the write lock"):
            journal.append("fill", {}, ts_ns=0)
        raw.execute("ROLLBACK")
        raw.close()
        assert journal.append("fill", {}, ts_ns=0) == 1


def test_a_journal_replaced_while_open_takes_no_more_rows(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        fill_up(journal, 1)
        journal.path.rename(tmp_path / "elsewhere.sqlite")
        with pytest.raises(JournalUnwritable, match="moved, deleted or replaced"):
            journal.append("fill", {}, ts_ns=0)


def test_a_forked_child_is_refused_instead_of_corrupting_the_file(tmp_path: Path) -> None:
    code = """
import os, sys
from execkit.errors import JournalUnwritable
from execkit.journal import Journal
journal = Journal(sys.argv[1])
journal.append("risk", {}, ts_ns=0)
if (pid := os.fork()) == 0:
    refused = 0
    for call in (lambda: journal.append("fill", {}, ts_ns=1), journal.last_seq, journal.verify):
        try:
            call()
        except JournalUnwritable as error:
            refused += "fork" in str(error)
    os._exit(refused)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
assert journal.append("fill", {}, ts_ns=2) == 2
assert journal.verify().rows == 2
"""
    result = child(code, tmp_path / "j.sqlite")
    assert result.returncode == 0, result.stderr


# -- many writers --------------------------------------------------------------------------------


def test_threads_of_one_journal_take_turns(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        start = threading.Barrier(4)

        def work(name: int) -> list[int]:
            start.wait()
            return [journal.append("fill", {"by": name}, ts_ns=0) for _ in range(25)]

        with ThreadPoolExecutor(4) as pool:
            seqs = [seq for part in pool.map(work, range(4)) for seq in part]
        assert sorted(seqs) == list(range(1, 101))
        assert journal.verify().rows == 100


def test_processes_that_create_and_append_at_once_make_one_whole_chain(tmp_path: Path) -> None:
    code = """
import sys, time
from execkit.journal import Journal
while time.time() < float(sys.argv[3]):
    pass
journal = Journal(sys.argv[1])
for n in range(40):
    journal.append("fill", {"by": sys.argv[2], "n": n}, ts_ns=n)
"""
    path, at = tmp_path / "desk" / "journal.sqlite", time.time() + 1.0
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(name), str(at)],
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in range(5)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    with Journal(path) as journal:
        assert journal.verify().rows == 200
        rows = [(r.payload["by"], r.payload["n"]) for r in journal.read()]
    for name in range(5):
        assert [n for by, n in rows if by == str(name)] == list(range(40))


def test_every_kind_of_the_vocabulary_can_be_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.append_many(Event(kind, {}, 0) for kind in sorted(KINDS))
        assert {r.kind for r in journal.read()} == KINDS
