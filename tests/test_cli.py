"""The command line: exit status, one line on stderr, one JSON object last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from execkit import __version__, cli, sample, toy
from execkit.journal import Journal
from execkit.market import MarketData
from execkit.simulator import simulate
from execkit.store import Store

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of the sample, as a folder."""
    return sample.make_book(minutes=2).to_parquet(tmp_path_factory.mktemp("data") / "book")


def last(capsys: Capture) -> dict:
    """The JSON object on the last line of stdout."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def failure(capsys: Capture) -> str:
    """The one line on stderr, without progress bars."""
    captured = capsys.readouterr()
    (line,) = [x for x in captured.err.splitlines() if x.startswith("execkit: ")]
    assert "Traceback" not in captured.err
    return line


def test_the_version_is_printed(capsys: Capture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"execkit {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["nope"],
        ["simulate"],
        ["data", "check"],
        ["run", "x.ipynb", "-p", "name"],
        ["simulate", "--market", "m", "--store", "s"],
        ["demo", "--nope"],
    ],
)
def test_a_command_that_is_not_understood_is_status_2(argv: list[str], capsys: Capture) -> None:
    assert cli.main(argv) == 2
    assert "Try: execkit --help" in failure(capsys)


def test_no_command_prints_the_help(capsys: Capture) -> None:
    assert cli.main([]) == 2
    assert "Usage: execkit" in capsys.readouterr().out


def test_data_check_reports_and_succeeds_on_good_data(book: Path, capsys: Capture) -> None:
    assert cli.main(["data", "check", str(book), "--json"]) == 0
    report = last(capsys)

    assert report["ok"] is True
    assert report["rows"]["depth"] > 1000
    assert {f["kind"] for f in report["findings"]} >= {"synthetic"}


def test_data_check_fails_on_data_with_an_error(tmp_path: Path, capsys: Capture) -> None:
    bars = sample.make_bars(days=1).bars
    assert bars is not None
    frame = bars.of("BTCUSDT").frame().drop(columns=["ts_ns", "venue"])
    frame.loc[700, "close"] = -1.0
    folder = MarketData.from_bars(frame, interval="1m").to_parquet(tmp_path / "bad")

    assert cli.main(["data", "check", str(folder)]) == 1
    assert "mend the source" in failure(capsys)


def test_data_that_is_not_there_is_named(capsys: Capture) -> None:
    assert cli.main(["data", "check", "nowhere"]) == 1
    assert "path = 'nowhere': there is no such file or folder" in failure(capsys)


def test_a_corrupt_parquet_file_is_named(book: Path, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in book.iterdir():
        body = file.read_bytes()
        (broken / file.name).write_bytes(body if file.suffix == ".json" else body[: len(body) // 2])

    assert cli.main(["data", "import", str(broken), str(tmp_path / "out")]) == 1
    assert "parquet" in failure(capsys)
    assert not (tmp_path / "out").exists()


def test_data_import_writes_what_load_reads(book: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["data", "import", str(book), str(tmp_path / "out"), "--json"]) == 0

    assert last(capsys)["symbols"] == ["BTCUSDT"]
    assert MarketData.load(tmp_path / "out").span() == MarketData.load(book).span()


def test_random_orders_are_simulated_and_stored(
    book: Path, tmp_path: Path, capsys: Capture
) -> None:
    argv = ["simulate", "--random", "200", "--market", str(book), "--store", str(tmp_path / "d")]

    assert cli.main([*argv, "--taker-bps", "4", "--json"]) == 0
    result = last(capsys)

    assert result["summary"]["orders"] == 200
    assert {row["side"] for row in result["slippage"]} == {"buy", "sell"}
    kept = Store(tmp_path / "d").sql("SELECT count(*) AS n FROM orders WHERE run_id = ?",
                                     [result["run_id"]])  # fmt: skip
    assert kept["n"].tolist() == [200]


def test_the_costs_of_orders_that_wait_on_purpose_are_printed_apart(
    book: Path, tmp_path: Path, capsys: Capture
) -> None:
    argv = ["simulate", "--random", "200", "--market", str(book), "--store", str(tmp_path / "d")]

    assert cli.main(argv) == 0
    head, *rows = capsys.readouterr().out.splitlines()[:5]

    at = head.split().index("waits_on_purpose")
    assert [row.split()[at] for row in rows] == ["False", "False", "True", "True"]
    assert "trigger_cost_bps" in head


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_of_orders_is_simulated(
    suffix: str, book: Path, tmp_path: Path, capsys: Capture
) -> None:
    """CSV and Parquet give the same fills; empty cells mean not given."""
    orders = toy.random_orders(MarketData.load(book), 100, seed=2)
    path = tmp_path / f"orders.{suffix}"
    if suffix == "csv":
        orders.to_csv(path, index=False)
    else:
        orders.to_parquet(path)
    argv = ["simulate", "--orders", str(path), "--market", str(book), "--store", str(tmp_path)]

    assert cli.main([*argv, "--json"]) == 0
    assert last(capsys)["summary"]["fills"] == len(simulate(orders, MarketData.load(book)).fills)


def test_one_bad_order_is_named_and_nothing_is_stored(
    book: Path, tmp_path: Path, capsys: Capture
) -> None:
    orders = toy.random_orders(MarketData.load(book), 20, seed=2)
    orders.loc[7, "quantity"] = -1.0
    orders.to_csv(tmp_path / "orders.csv", index=False)
    argv = ["simulate", "--orders", str(tmp_path / "orders.csv"), "--market", str(book)]

    assert cli.main([*argv, "--store", str(tmp_path / "desk")]) == 1
    line = failure(capsys)

    assert "quantity" in line
    assert "row 7" in line
    assert not (tmp_path / "desk" / "execkit.duckdb").exists()


def test_a_file_that_is_no_table_is_named(book: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "orders.parquet").write_bytes(b"no")
    argv = ["simulate", "--orders", str(tmp_path / "orders.parquet"), "--market", str(book)]

    assert cli.main([*argv, "--store", str(tmp_path)]) == 1
    assert "is not a table of orders" in failure(capsys)


def test_the_store_answers_queries_and_says_what_is_wrong_with_them(
    book: Path, tmp_path: Path, capsys: Capture
) -> None:
    desk = str(tmp_path)
    cli.main(["simulate", "--random", "50", "--market", str(book), "--store", desk])
    capsys.readouterr()

    assert cli.main(["store", "sql", desk, "SELECT 1 AS a, NULL AS b", "--json"]) == 0
    assert last(capsys) == {"columns": ["a", "b"], "rows": [{"a": 1, "b": None}]}
    assert cli.main(["store", "sql", desk, "SELEKT 1"]) == 1
    assert "SELEKT" in failure(capsys)
    assert cli.main(["store", "sql", desk, "DROP TABLE orders"]) == 1
    assert cli.main(["store", "sql", str(tmp_path / "no"), "SELECT 1"]) == 1


def test_the_store_is_rebuilt_from_the_journal(tmp_path: Path, capsys: Capture) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.append("run", {"mode": "paper", "venue": "v", "started_ns": 1}, ts_ns=1, run_id="r")

    assert cli.main(["store", "rebuild", str(tmp_path), "--json"]) == 0
    assert last(capsys)["last_seq"] == 1
    assert cli.main(["store", "check", str(tmp_path), "--json"]) == 0
    assert last(capsys)["ok"] is True
    assert Store(tmp_path).tables()["runs"] == 1


def test_a_desk_without_a_journal_is_not_made_up(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["store", "check", str(tmp_path)]) == 1
    assert "there is no journal" in failure(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "rebuild"])
def test_a_desk_that_is_not_there_is_not_made(verb: str, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["store", verb, str(tmp_path / "typo")]) == 1
    assert "there is no journal" in failure(capsys)
    assert list(tmp_path.iterdir()) == []


def test_no_random_orders_at_all_is_named_as_typed(
    book: Path, tmp_path: Path, capsys: Capture
) -> None:
    argv = ["simulate", "--random", "0", "--market", str(book), "--store", str(tmp_path / "d")]

    assert cli.main(argv) == 2
    assert "--random" in failure(capsys)
    assert not (tmp_path / "d").exists()


def test_a_notebook_takes_parameters_as_papermill_does(tmp_path: Path, capsys: Capture) -> None:
    source = Path(__file__).resolve().parents[1] / "notebooks" / "01_market_data.ipynb"
    out = tmp_path / "out.ipynb"
    argv = ["run", str(source), "-p", "symbol", "BTCUSDT", "--output", str(out), "--json"]

    assert cli.main(argv) == 0
    assert last(capsys) == {"output": str(out), "parameters": {"symbol": "BTCUSDT"}}
    assert "BTCUSDT" in out.read_text(encoding="utf-8")
    assert cli.main(["run", str(source), "-p", "symbl", "x"]) == 1
    assert "no such parameter" in failure(capsys)


def test_the_demo_goes_the_whole_way(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    result = last(capsys)

    # the engine's stops and targets take liquidity that an entry may miss; nearly none does
    assert 0.95 * result["signals"] <= result["same_entries"] <= result["signals"]
    assert {row["run_id"] for row in result["slippage"]} == set(result["runs"].values())
    for name in ("store", "journal", "report"):
        assert Path(result[name]).stat().st_size > 0
    assert result["seconds"] < 60
    entries = [row for row in result["slippage"] if row["orders"] == "entries"]
    exits = [row for row in result["slippage"] if row["orders"] == "exits"]
    assert all(row["total_cost_bps"] > 0 for row in entries)
    assert {row["total_cost_bps"] for row in exits} == {None}, "waiting is no execution cost"
    assert all(abs(row["trigger_cost_bps"]) < 5 for row in exits)


def test_the_demo_says_what_it_cost_in_a_table_that_fits_a_screen(
    tmp_path: Path, capsys: Capture
) -> None:
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    (head,) = [line for line in out.splitlines() if "n_orders" in line]

    assert head.split()[-5:] == ["delay", "arrival", "trigger", "fee", "total"]
    assert len(head) <= 100
    assert "NaN" not in out


def test_the_demo_twice_keeps_both(tmp_path: Path, capsys: Capture) -> None:
    argv = ["demo", "--out", str(tmp_path), "--json"]
    first = (cli.main(argv), last(capsys))[1]
    second = (cli.main(argv), last(capsys))[1]

    assert first["store"] == second["store"]
    runs = Store(tmp_path).sql("SELECT run_id FROM runs")["run_id"]
    assert set(runs) == {*first["runs"].values(), *second["runs"].values()}
    assert cli.main(["store", "check", str(tmp_path)]) == 0


def test_the_demo_says_when_it_cannot_write(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")

    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 1
    assert "name another folder" in failure(capsys)


def test_the_installed_command_answers_with_an_exit_status(tmp_path: Path) -> None:
    """As a process: no traceback by default, one on request."""
    command = [sys.executable, "-m", "execkit.cli", "data", "check", "nowhere"]
    quiet = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    loud = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "EXECKIT_DEBUG": "1"},
    )

    assert (quiet.returncode, quiet.stdout, len(quiet.stderr.splitlines())) == (1, "", 1)
    assert "Traceback" in loud.stderr


def test_frames_become_json_with_null_for_what_is_missing() -> None:
    frame = pd.DataFrame({"a": [1.5, float("nan")], "b": pd.array([1, None], dtype="Int64")})

    assert cli.records(frame) == [{"a": 1.5, "b": 1}, {"a": None, "b": None}]
