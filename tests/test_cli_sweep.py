"""`execkit sweep`: the table it prints and writes, and what it refuses before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from distributed import LocalCluster

import execkit as ek
from execkit import cli, sample
from execkit.cli_sweep import values_of
from execkit.errors import InvalidInput

Capture = pytest.CaptureFixture[str]

MAKER = """
import pandas as pd

def orders(market, quantity, when_s):
    first = market.span()[0]
    return pd.DataFrame(
        {"ts_ns": [first + when_s * 10**9], "side": "buy", "order_type": "market",
         "quantity": quantity}
    )

def broken(market, quantity, when_s):
    raise RuntimeError("no signal today")
"""


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "bars"
    return sample.make_bars(days=1).to_parquet(folder)


@pytest.fixture
def maker(tmp_path: Path) -> str:
    path = tmp_path / "my_orders.py"
    path.write_text(MAKER, encoding="utf-8")
    return str(path)


def last(capsys: Capture) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


LIMITS = ["--symbol", "BTCUSDT", "--quantity", "0.01", "--uncapped"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_built_in_grid_is_a_table_on_disk_and_in_json(
    suffix: str, bars: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / f"table.{suffix}"
    argv = ["sweep", "--market", str(bars), *LIMITS, "--out", str(out), "--json"]
    assert cli.main([*argv, "--limit-grid", "offset_bps=1,2.5", "horizon=5:15:5"]) == 0

    told = last(capsys)
    table = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out)
    market = ek.MarketData.load(bars, "BTCUSDT")
    free = ek.FillModel(name="queue", participation=None)
    grid = {"offset_bps": [1, 2.5], "horizon": [5, 10, 15]}
    wanted = ek.sweep(ek.LimitOrders(quantity=0.01), grid, market, fill=free)

    pd.testing.assert_frame_equal(
        table.drop(columns="run_s"), wanted.drop(columns="run_s"), check_dtype=False
    )
    assert told["combinations"] == 6
    assert [row["filled_any"] for row in told["table"]] == wanted["filled_any"].tolist()
    assert told["out"] == str(out)
    assert list(tmp_path.iterdir()) == [out]


def test_round_trips_are_an_option_of_it(bars: Path, capsys: Capture) -> None:
    argv = ["sweep", "--market", str(bars), *LIMITS, "--exit", "limit", "--side", "sell"]
    assert cli.main([*argv, "--limit-grid", "offset_ticks=1", "horizon=5"]) == 0

    text = capsys.readouterr().out
    assert "round_trips" in text
    assert "1 combinations in" in text


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_orders_of_ones_own_run_here_and_on_a_scheduler(
    maker: str, bars: Path, scheduler: str, capsys: Capture
) -> None:
    argv = ["sweep", "--market", str(bars), "--symbol", "BTCUSDT", "--json"]
    argv += ["--orders-from", f"{maker}:orders"]
    argv += ["--grid", '{"quantity": [0.01, 0.02], "when_s": [60, 600]}']
    assert cli.main(argv) == 0
    here = last(capsys)["table"]
    assert cli.main([*argv, "--dask", scheduler]) == 0
    there = last(capsys)["table"]

    assert [row["filled_any"] for row in here] == [1, 1, 1, 1]
    assert [{**row, "run_s": 0} for row in here] == [{**row, "run_s": 0} for row in there]


def test_what_fails_in_a_combination_is_one_line(maker: str, bars: Path, capsys: Capture) -> None:
    argv = ["sweep", "--market", str(bars), "--orders-from", f"{maker}:broken"]
    argv += ["--grid", '{"quantity": [1], "when_s": [60]}']
    assert cli.main(argv) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("execkit: ")]
    assert "quantity=1, when_s=60 failed: RuntimeError: no signal today" in line

    assert cli.main([*argv, "--record-errors", "--json"]) == 0
    (row,) = last(capsys)["table"]
    assert row["error"] == "RuntimeError: no signal today"


@pytest.mark.parametrize(
    "argv, status, words",
    [
        ([], 2, "give --orders-from and --grid, or --limit-grid"),
        (["--orders-from", "a:b"], 2, "give --orders-from and --grid"),
        (["--orders-from", "nowhere_at_all:f", "--grid", "{}"], 1, "cannot be imported"),
        (["--orders-from", "json", "--grid", "{}"], 1, "module:function"),
        (["--orders-from", "json:no_such", "--grid", "{}"], 1, "no function no_such"),
        (["--orders-from", "json:loads", "--grid", "{a:"], 1, "write it as JSON"),
        (["--limit-grid", "offset_bps=1", "horizon=5"], 1, "--quantity"),
        (["--limit-grid", "offset_bps", "horizon=5", "--quantity", "1"], 1, "--limit-grid"),
        (["--limit-grid", "offset_bps=1", "horizon=5", "--out", "t.xlsx"], 1, "--out"),
        (["--limit-grid", "offset_bps=1", "horizon=5", "--dask", "a", "--backend", "b"], 2, "one"),
    ],
)
def test_what_was_meant_wrongly_is_told_before_anything_runs(
    argv: list[str], status: int, words: str, bars: Path, capsys: Capture
) -> None:
    assert cli.main(["sweep", "--market", str(bars), *argv]) == status
    assert words in capsys.readouterr().err


def test_values_may_be_listed_or_stepped() -> None:
    assert values_of("a=1,2.5") == ("a", [1, 2.5])
    assert values_of("a=1:2:0.25") == ("a", [1, 1.25, 1.5, 1.75, 2])
    assert values_of("a=5:19:5") == ("a", [5, 10, 15])
    for wrong in ("a", "=1", "a=", "a=1:2", "a=2:1:1", "a=1:2:0", "a=1:inf:1", "a=x"):
        with pytest.raises(InvalidInput, match="--limit-grid"):
            values_of(wrong)
