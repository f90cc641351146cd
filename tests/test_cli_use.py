"""The command line in the hands of a user: wrong numbers, odd files, Ctrl-C, desks half there."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from execkit import cli, sample, toy
from execkit.journal import Journal
from execkit.market import MarketData
from execkit.store import Store

Capture = pytest.CaptureFixture[str]
REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.make_book(minutes=2).to_parquet(tmp_path_factory.mktemp("data") / "book")


@pytest.fixture
def simulate(book: Path, tmp_path: Path) -> list[str]:
    """A command that works; more options come behind."""
    return ["simulate", "--random", "50", "--market", str(book), "--store", str(tmp_path / "desk")]


def last(capsys: Capture) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def failure(capsys: Capture) -> str:
    captured = capsys.readouterr()
    (line,) = [x for x in captured.err.splitlines() if x.startswith("execkit: ")]
    assert "this is a bug" not in line
    return line


# -- numbers and files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "status"),
    [
        ("--entry-ms", "inf", 1),
        ("--entry-ms", "nan", 1),
        ("--cancel-ms", "-1", 1),
        ("--jitter-ms", "1e300", 1),
        ("--seed", "-1", 2),
        ("--half-spread-bps", "-1", 1),
        ("--start", "2026-01-09 14:00:00", 1),
        ("--end", "yesterday", 1),
    ],
)
def test_a_number_out_of_range_is_named_as_typed(
    simulate: list[str], tmp_path: Path, capsys: Capture, option: str, value: str, status: int
) -> None:
    assert cli.main([*simulate, option, value]) == status
    assert option.strip("-").replace("-", "_") in failure(capsys).replace("-", "_")
    assert not (tmp_path / "desk").exists()


def test_with_json_a_failure_is_one_object_with_the_same_status(
    simulate: list[str], tmp_path: Path, capsys: Capture
) -> None:
    for argv, status in (
        ([*simulate, "--entry-ms", "inf"], 1),
        ([*simulate, "--seed", "-1"], 2),
        (["store", "check", str(tmp_path / "typo")], 1),
        (["nope"], 2),
    ):
        assert cli.main([*argv, "--json"]) == status
        captured = capsys.readouterr()
        told = json.loads(captured.out)
        assert told["ok"] is False
        assert f"execkit: {told['error']}\n" in captured.err


def test_a_failing_report_is_still_one_object(tmp_path: Path, capsys: Capture) -> None:
    bars = sample.make_bars(days=1).bars
    assert bars is not None
    frame = bars.of("BTCUSDT").frame().drop(columns=["ts_ns", "venue"])
    frame.loc[700, "close"] = -1.0
    folder = MarketData.from_bars(frame, interval="1m").to_parquet(tmp_path / "bad")

    assert cli.main(["data", "check", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert "mend the source" in told["error"]
    assert told["findings"]


def test_a_directory_is_called_one(book: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["simulate", "--orders", str(tmp_path), "--market", str(book), "--store", str(tmp_path)]
    assert cli.main(argv) == 1
    assert "is a directory" in failure(capsys)
    assert cli.main(["run", str(tmp_path)]) == 1
    assert "is a directory" in failure(capsys)


def orders_csv(book: Path, path: Path, **columns: object) -> pd.DataFrame:
    start_ns, _ = MarketData.load(book).span()
    stamps = start_ns + pd.Series([10, 20, 30, 40]) * 1_000_000_000
    frame = pd.DataFrame(
        {"ts_ns": stamps, "side": "buy", "order_type": "market", "quantity": [1.0, 2.0, 3.0, 4.0]}
    ).assign(**columns)  # type: ignore[arg-type]
    frame.to_csv(path, index=False)
    return frame


def test_times_of_a_csv_may_be_iso_with_a_zone(book: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "orders.csv"
    frame = orders_csv(book, path)
    stamps = pd.to_datetime(frame["ts_ns"], utc=True)
    argv = ["simulate", "--orders", str(path), "--market", str(book), "--store", str(tmp_path)]
    found = []
    for texts in (frame["ts_ns"], stamps.astype(str), stamps.dt.tz_convert("Asia/Tokyo").map(str)):
        orders_csv(book, path, ts_ns=texts, cancel_ts_ns=[None, None, None, texts[3]])
        assert cli.main([*argv, "--json"]) == 0
        run = last(capsys)["run_id"]
        query = (
            "SELECT ts_ns, cancel_ts_ns, filled_quantity FROM orders WHERE run_id = ? ORDER BY seq"
        )
        found.append(Store(tmp_path).sql(query, [run]))
    assert found[0]["ts_ns"].tolist() == frame["ts_ns"].tolist()
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0])


@pytest.mark.parametrize("bad", ["2026-01-09 14:00:20", "soon", "1.5", "99999999999999999999"])
def test_a_time_without_a_zone_names_row_and_field(
    book: Path, tmp_path: Path, capsys: Capture, bad: str
) -> None:
    path = tmp_path / "orders.csv"
    frame = orders_csv(book, path)
    orders_csv(book, path, ts_ns=[frame["ts_ns"][0], bad, *frame["ts_ns"][2:]])
    argv = ["simulate", "--orders", str(path), "--market", str(book), "--store", str(tmp_path)]
    assert cli.main(argv) == 1
    line = failure(capsys)
    assert "ts_ns" in line
    assert "row 1" in line
    assert "zone" in line


def test_start_and_end_cut_market_and_orders(book: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "orders.csv"
    frame = orders_csv(book, path)
    argv = ["simulate", "--orders", str(path), "--market", str(book), "--store", str(tmp_path)]
    begin = pd.Timestamp(frame["ts_ns"][1], tz="UTC").isoformat()
    window = ["--start", begin, "--end", str(frame["ts_ns"][3])]
    assert cli.main([*argv, *window, "--json"]) == 0
    run = last(capsys)["run_id"]
    kept = Store(tmp_path).sql("SELECT quantity, ts_ns FROM orders WHERE run_id = ?", [run])
    assert sorted(kept["quantity"]) == [2.0, 3.0]
    assert cli.main([*argv, "--start", str(frame["ts_ns"][3] + 1)]) == 1
    assert "no order was decided in between" in failure(capsys)
    path.write_text(path.read_text().replace("4.0", "-4.0"))
    assert cli.main([*argv, *window]) == 1
    assert "row 3" in failure(capsys)


def test_half_the_spread_is_paid_on_bars(tmp_path: Path, capsys: Capture) -> None:
    bars = sample.make_bars(days=1).select("BTCUSDT").to_parquet(tmp_path / "bars")
    orders = toy.random_orders(MarketData.load(bars), 40, seed=1)
    orders[orders["order_type"] == "market"].to_parquet(tmp_path / "o.parquet")
    argv = ["simulate", "--orders", str(tmp_path / "o.parquet"), "--market", str(bars)]
    argv += ["--store", str(tmp_path / "desk"), "--json"]
    costs = []
    for bps in ("0", "3"):
        assert cli.main([*argv, "--half-spread-bps", bps]) == 0
        told = last(capsys)
        costs.append({r["side"]: r["arrival_cost_bps"] for r in told["slippage"]})
        assert ("half the spread on bars" in told["summary"]["assumed_free"]) == (bps == "0")
    for side in ("buy", "sell"):
        assert costs[1][side] - costs[0][side] == pytest.approx(3.0, abs=0.1)


# -- desks -----------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    for at in range(4096 + 100, len(raw), 4096):
        raw[at] ^= 0xFF
    path.write_bytes(raw)


def test_a_desk_of_simulations_alone_is_checked_and_left_alone(
    simulate: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert cli.main(simulate) == 0
    desk, file = str(tmp_path / "desk"), tmp_path / "desk" / "execkit.duckdb"
    before = file.read_bytes()
    capsys.readouterr()
    assert cli.main(["store", "check", desk]) == 0
    assert "no journal, and 1 simulated runs: ok" in capsys.readouterr().out
    assert cli.main(["store", "check", desk, "--json"]) == 0
    assert last(capsys) == {"ok": True, "journal": None, "simulated_runs": 1}
    assert cli.main(["store", "rebuild", desk]) == 0
    assert "nothing to rebuild from" in capsys.readouterr().out
    assert file.read_bytes() == before
    assert {p.name for p in file.parent.iterdir()} == {"execkit.duckdb", "execkit.duckdb.lock"}

    damage(file)
    damaged = file.read_bytes()
    for verb in ("check", "rebuild"):
        assert cli.main(["store", verb, desk]) == 1
        line = failure(capsys)
        assert "no journal to rebuild it from" in line
        assert "run `execkit store rebuild`" not in line
    assert file.read_bytes() == damaged


def test_a_store_whose_journal_is_gone_is_not_ok(tmp_path: Path, capsys: Capture) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.append("run", {"mode": "paper", "venue": "v", "started_ns": 1}, ts_ns=1, run_id="r")
        Store(tmp_path).ingest(journal)
    for path in tmp_path.glob("journal*"):
        path.unlink()
    assert cli.main(["store", "check", str(tmp_path)]) == 1
    assert "put the journal back" in failure(capsys)


def test_a_rebuild_that_loses_simulated_runs_says_so(
    simulate: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert cli.main(simulate) == 0
    desk = tmp_path / "desk"
    Journal(desk).close()
    damage(desk / "execkit.duckdb")
    capsys.readouterr()
    assert cli.main(["store", "rebuild", str(desk)]) == 0
    out = capsys.readouterr().out
    assert "simulated runs in it are not in the new one" in out
    assert str(desk / "execkit.duckdb.broken") in out


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))


def test_a_rebuild_on_a_full_disk_says_so(
    simulate: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert cli.main(simulate) == 0
    Journal(tmp_path / "desk").close()
    before = (tmp_path / "desk" / "execkit.duckdb").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "execkit.cli", "store", "rebuild", str(tmp_path / "desk")],
        capture_output=True, text=True, check=False, preexec_fn=limited, cwd=REPO,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "bug" not in done.stderr
    assert (tmp_path / "desk" / "execkit.duckdb").read_bytes() == before


# -- the rest --------------------------------------------------------------------------------------


def test_the_sample_needs_no_home(tmp_path: Path) -> None:
    """As installed, where the source tree's own sample is not beside the package."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "execkit").symlink_to(REPO / "execkit")
    code = (
        "import execkit.sample as s, pathlib; s.__file__ = '/nowhere/execkit/sample.py'\n"
        "one, two = s.path('book'), s.path('book')\n"
        "print(one == two, (one / 'manifest.json').is_file(), one)"
    )
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "HOME": str(tmp_path / "file"), "PYTHONPATH": str(REPO),
             "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("True True ")
    assert not list(tmp_path.glob("execkit-sample-*"))


def test_a_known_parameter_is_not_called_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """papermill does not see through this annotation; our own check does."""
    cell = new_code_cell(
        "market_path: dict[str, int] | None = None", metadata={"tags": ["parameters"]}
    )
    book = new_notebook(cells=[cell])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "p", "language": "python"}
    nbformat.write(book, tmp_path / "in.ipynb")
    out = str(tmp_path / "out.ipynb")
    with caplog.at_level(logging.INFO):
        argv = ["run", str(tmp_path / "in.ipynb"), "-p", "market_path", "X", "--output", out]
        assert cli.main(argv) == 0
    assert "unknown parameter" not in caplog.text
    assert caplog.records, "papermill's other words still come through"


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.5])
def test_ctrl_c_while_saving_says_whether_the_run_is_there(
    book: Path, tmp_path: Path, delay: float
) -> None:
    desk = tmp_path / "desk"
    process = subprocess.Popen(
        [sys.executable, "-m", "execkit.cli", "simulate", "--random", "100000",
         "--market", str(book), "--store", str(desk)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (desk / "execkit.duckdb").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    (line,) = [x for x in errors.splitlines() if x.startswith("execkit: ")]
    assert process.returncode == 130
    assert "Traceback" not in errors
    stored = Store(desk).tables()
    assert (stored["runs"], stored["orders"]) in ((0, 0), (1, 100_000))
    assert ("was not saved" in line) == (stored["runs"] == 0), line
