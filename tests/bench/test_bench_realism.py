"""`execkit bench realism`: finds the sets of real orders, and says what the models made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from execkit import cli
from execkit.bench.realism import TAKER_METHODS, run_realism, told
from execkit.errors import InvalidData, InvalidInput


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file or folder"):
        run_realism(tmp_path / "nothing")


def test_without_a_path_the_variable_must_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXECKIT_DATA", raising=False)

    with pytest.raises(InvalidInput, match="EXECKIT_DATA"):
        run_realism()


def test_a_folder_without_real_orders_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("EXECKIT_DATA", str(tmp_path))

    with pytest.raises(InvalidData, match=r"no real orders in .*empty"):
        run_realism()
    assert cli.main(["bench", "realism", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"] is False


def scores(**changed: float | None) -> dict[str, float | None]:
    known = {"n": 1234, "paid_cost_bps": 0.1, "predicted_cost_bps": 0.2, "bias_bps": 0.12345}
    return {**known, "mae_bps": 0.3, "p90_bps": 1e-12, "correlation": None, **changed}


def test_the_report_is_told_as_two_tables() -> None:
    at = {"true_rate": 0.25, "granted_rate": 0.5, "brier": 0.1, "log_loss": 0.2}
    model = {"all": {"horizons": {"60s": at}, "log_likelihood": -0.75}}
    taken = {"all": {method: scores() for method in TAKER_METHODS[:2]}}
    recording = {"symbol": "X", "models": {"touch": model}, "recommended": {"label": "touch"}}
    report = {
        "takers": {"a": {"markets": {"spot/Y": taken}, "published": taken}},
        "limits": {"b": {"recordings": [recording]}},
    }

    lines = [line.split() for line in told(report).splitlines()]

    row = ["walk", "1,234", "0.1", "0.2", "0.1235", "0.3", "0", "-"]
    assert ["spot/Y", *row] in lines
    assert ["published", *row] in lines
    assert ["touch", "0.25", "0.5", "0.1", "0.2", "-0.75"] in lines
    assert ["recommended:", "touch"] in lines


@pytest.mark.slow
def test_recorded_sets_are_found_and_scored(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXECKIT_DATA", str(recorded))

    assert cli.main(["bench", "realism", "--quick", "--json"]) == 0

    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["takers"]
    assert report["limits"]
    given = [
        found["published"]["all"] for found in report["takers"].values() if "published" in found
    ]
    assert given
    for scores in given:
        walk, model = (scores[m] for m in ("walk", "model"))
        assert abs(model["bias_bps"]) < abs(walk["bias_bps"])
    assert told(report)
