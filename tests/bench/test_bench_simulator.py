"""`execkit bench simulator`: every workload runs, and its table says what it measured."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from execkit import cli
from execkit.bench import markets, tapes
from execkit.bench.processes import Measured, Peers, Task, installed, run_once, run_tasks
from execkit.bench.report import Check, Row, fastest, shown, table, told
from execkit.bench.run import WORKLOADS, run_simulator
from execkit.bench.setting import Setting, save
from execkit.errors import InvalidInput

NAMES = {
    "engine": ["engine"],
    "scale": ["scale_time_10", "scale_memory_10"],
    "w2": ["w2_round_trips", "w2_independent", "w2_cores"],
    "w1": ["w1_columns", "w1_strings", "w1_memory", "w1_cold"],
    "w2b": ["w2b_1000", "w2b_10000", "w2b_100000", "w2b_flat"],
    "w3": [
        *("w3_first", "w3_raw"),
        *("w3_further_1000", "w3_further_100", "w3_further_10"),
        "w3_sweep",
    ],
    "walk": ["walk"],
}


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_each_workload_runs_small_and_alone(name: str) -> None:
    report = run_simulator([name], setting=Setting(quick=True), rounds=1, with_peers=False)

    assert [row["name"] for row in report["rows"]] == NAMES[name]
    for row in report["rows"]:
        assert row["workload"] == name
        assert row["ours"] > 0
        assert row["peer"] is None
        assert row["ratio"] is None
        told = row["target"] is not None and row["absolute"]
        assert isinstance(row["met"], bool) == told, "a ratio needs a peer"
    assert report["checks"] == []
    json.dumps(report, allow_nan=False)


def test_the_command_prints_the_table_and_one_json_object_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    words = ["--only", "walk", "--quick", "--no-peers", "--rounds", "1", "--out", str(out)]

    assert cli.main(["bench", "simulator", *words, "--json"]) == 0

    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report == json.loads(out.read_text(encoding="utf-8"))
    assert set(report) == {
        *("machine", "peers", "rounds", "quick", "rows", "checks", "notes", "took_s")
    }
    assert set(report["machine"]["versions"]) >= {"execkit", "numpy", "numba"}


def test_an_unknown_workload_and_a_wrong_interpreter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="w1, "):
        run_simulator(["w9"])
    with pytest.raises(InvalidInput, match="--peer-python"):
        run_simulator(["w1"], interpreters=[tmp_path / "nothing"])


# ---------------------------------------------------------------------------------- processes


def script(folder: Path, text: str) -> str:
    (folder / "one.py").write_text(text, encoding="utf-8")
    return str(folder / "one")


GOOD = """
import numpy
ENGINE = "one 1.0"
def prepare(folder, options): return {"n": options["n"]}
def work(state): return sum(range(state["n"]))
def answers(state, result): return {"sum": result}
"""


def test_a_measurement_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    task = Task("a", "numpy", script(tmp_path, GOOD), {"n": 10, "repeats": 2})

    found = run_once(task, sys.executable, tmp_path)

    assert found["engine"] == "one 1.0"
    assert found["answers"] == {"sum": 45.0}
    assert len(found["seconds"]) == 2
    assert 0 < found["first_s"] <= found["cold_s"]
    assert 0 < found["import_mb"] <= found["peak_mb"]


def test_cold_measures_the_first_result_alone(tmp_path: Path) -> None:
    task = Task("a", "numpy", script(tmp_path, GOOD), {"n": 10, "cold": True})

    found = run_once(task, sys.executable, tmp_path)

    assert found["seconds"] == [found["first_s"]]


def test_a_peer_that_fails_is_noted_and_ours_may_not_fail(tmp_path: Path) -> None:
    bad = script(tmp_path, GOOD.replace("return sum", "raise ValueError('no such thing') #"))
    peers = Peers(["numpy"])

    found, notes = run_tasks(
        [Task("p", "numpy", bad, {"n": 1})], peers, tmp_path, 2, lambda text: None
    )

    assert found == {}
    assert notes == ["p failed and is left out: ValueError: no such thing"]
    with pytest.raises(RuntimeError, match="no such thing"):
        run_tasks([Task("o", "execkit", bad, {"n": 1})], peers, tmp_path, 1, lambda text: None)


def test_a_peer_that_is_absent_is_named(tmp_path: Path) -> None:
    task = Task("p", "no-such-peer", "never", {})

    found, notes = run_tasks([task], Peers(["no-such-peer"]), tmp_path, 1, lambda text: None)

    assert found == {}
    assert notes == ["no-such-peer is not there and is left out: pip install 'execkit[bench]'"]


def test_an_interpreter_is_asked_for_its_packages() -> None:
    found = installed(sys.executable, ["numpy", "no-such-peer"])

    assert found == {"numpy": np.__version__}


# --------------------------------------------------------------------------------------- rows


def row(**changed: object) -> Row:
    known = {"workload": "w", "name": "n", "work": "x | y", "unit": "s", "ours": 2.0}
    return Row(**{**known, **changed})  # type: ignore[arg-type]


def test_a_ratio_above_one_says_that_ours_is_better() -> None:
    assert row(peer="p", peer_value=8.0).ratio == 4.0
    assert row(unit="orders/s", peer="p", peer_value=8.0).ratio == 0.25
    assert row(unit="MB", peer="p", peer_value=1.0).ratio == 0.5


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ({"target": 4.0, "peer": "p", "peer_value": 8.0}, True),
        ({"target": 4.1, "peer": "p", "peer_value": 8.0}, False),
        ({"target": 4.0}, None),
        ({}, None),
        ({"target": 2.0, "absolute": True}, True),
        ({"target": 1.9, "absolute": True}, False),
        ({"target": 2.1, "absolute": True, "unit": "orders/s"}, False),
        ({"target": 1.9, "absolute": True, "unit": "x"}, True),
    ],
)
def test_whether_a_target_is_met(changed: dict[str, object], met: bool | None) -> None:
    assert row(**changed).met is met


def test_the_best_peer_is_the_one_with_the_least_time_of_those_that_ran() -> None:
    def took(engine: str, *seconds: float) -> Measured:
        return Measured(engine, tuple({"seconds": [s], "peak_mb": 9 / s} for s in seconds))

    found = {"a": took("A 1", 3.0, 1.0, 2.0), "b": took("B 2", 5.0)}

    assert fastest(found, ("a", "b", "c")) == {
        "peer": "A 1",
        "peer_value": 2.0,
        "peers": {"A 1": 2.0, "B 2": 5.0},
    }
    assert fastest(found, ("a", "b"), "peak_mb")["peer"] == "B 2"
    assert fastest(found, ("c",)) == {}


def test_a_check_compares_within_its_tolerance() -> None:
    check = Check("w", "fees", 10.0, "p", 10.5, 0.5, "rounding")

    assert check.agrees
    assert not Check(**{**asdict(check), "tolerance": 0.4}).agrees


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (2.5e-5, "s", "25 us"),
        (12.0, "s", "12 s"),
        (7.2e6, "orders/s", "7.2 M orders/s"),
        (1234.0, "MB", "1,234 MB"),
        (0.5, "x", "0.50x"),
        (None, "s", "-"),
    ],
)
def test_numbers_are_shown_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_the_table_says_met_or_not() -> None:
    rows = [row(target=4.0, peer="p", peer_value=8.0).plain(), row().plain()]

    assert table(rows)[1:] == [
        ("x | y", "2 s", "8 s (p)", "4x", ">= 4x", "yes"),
        ("x | y", "2 s", "-", "-", "-", "-"),
    ]


def test_the_report_tells_of_a_check_that_differs() -> None:
    report = {
        "machine": {
            "processor": "P",
            "cores": 2,
            "memory_gb": 1.0,
            "python": "3.11",
            "versions": {"numpy": "2"},
        },
        "peers": {"q": "1"},
        "rounds": 3,
        "quick": True,
        "rows": [row(note="so and so").plain()],
        "checks": [Check("w", "fees", 1.0, "q 1", 2.0, 0.5, "rounding").plain()],
        "notes": ["r is not there"],
    }

    text = told(report)

    assert "w fees: DIFFERS: 1 and 2 (q 1)" in text
    assert "n: so and so" in text
    assert "r is not there" in text
    assert "medians of 3 rounds" in text
    assert "not a measurement" in text


# -------------------------------------------------------------------------------------- tapes


def equal(a: tapes.Columns, b: tapes.Columns) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "make", [tapes.bars, tapes.sides_and_quantities, tapes.book], ids=lambda f: f.__name__
)
def test_the_same_seed_gives_the_same_columns(make: object) -> None:
    assert callable(make)
    assert equal(make(2_000), make(2_000))
    assert not equal(make(2_000), make(2_000, seed=99))


def test_bars_hold_what_bars_hold() -> None:
    bars = tapes.bars(20_000)

    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] > 0).all()
    assert np.array_equal(bars["open"][1:], bars["close"][:-1])
    assert markets.bars_market(bars).check().ok


def test_the_book_never_crosses_and_has_the_best_prices_it_says() -> None:
    tape = tapes.book(4_000)
    market = markets.book_market(tape)
    best = tapes.best_prices(tape)
    top = market.top_of_book(markets.SYMBOL)
    slot = (top["ts_ns"] - tapes.START_NS) // tapes.STEP_NS

    assert market.check().ok
    assert len(tape["ts_ns"]) == pytest.approx(4_000 + 2 * tapes.LEVELS, rel=0.05)
    assert len(np.unique(best["bid"])) > 3, "the price moves"
    assert np.array_equal(np.rint(top["bid"] * 10), best["bid"][slot])
    assert np.array_equal(np.rint(top["ask"] * 10), best["ask"][slot])


def test_quotes_stand_at_the_best_prices_until_the_next_pair() -> None:
    tape = tapes.book(4_000)
    orders, best = tapes.requotes(tape, 100), tapes.best_prices(tape)
    slot = (orders["ts_ns"] - tapes.START_NS) // tapes.STEP_NS
    ticks = np.rint(orders["price"] * 10)

    assert np.array_equal(ticks[0::2], best["bid"][slot[0::2]])
    assert np.array_equal(ticks[1::2], best["ask"][slot[1::2]])
    assert np.array_equal(orders["cancel_ts_ns"][:-2], orders["ts_ns"][2:])
    assert (tapes.requotes(tape, 1)["ts_ns"] <= tape["ts_ns"][-1]).all()
    further = tapes.requotes(tape, 100, behind=2)
    assert np.array_equal(np.rint(further["price"][0::2] * 10), ticks[0::2] - 2)
    assert np.array_equal(np.rint(further["price"][1::2] * 10), ticks[1::2] + 2)


def test_columns_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    tape = tapes.book(1_000)
    save(tmp_path / "new", tape)

    assert equal(markets.load(tmp_path / "new", tape), tape)
    assert equal(markets.load(tmp_path / "new", tape, mmap=True), tape)
