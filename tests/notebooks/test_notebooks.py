"""Every notebook runs from its parameters, headless, on the sample and on recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from execkit.runner import known_parameters, run_notebook

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(p.stem for p in FOLDER.glob("*.ipynb"))
SPOT = "binance_raw_l2_20240808/spot/btcusdt_20240808.gz"


def outputs(path: Path) -> list[dict]:
    book = json.loads(path.read_text(encoding="utf-8"))
    return [o for c in book["cells"] if c["cell_type"] == "code" for o in c["outputs"]]


def test_there_are_notebooks() -> None:
    assert {"00_quickstart", "01_market_data", "02_simulate", "03_sweep"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs_from_its_parameters(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends without an error, leaves nothing where it ran, and its output stays small."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    done = run_notebook(FOLDER / f"{name}.ipynb", {}, tmp_path / "out.ipynb", timeout_s=120)

    assert not [o for o in outputs(done) if o["output_type"] == "error"]
    assert not [o for o in outputs(done) if "application/vnd.jupyter.widget-view+json" in o]
    assert done.stat().st_size < 2_000_000
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs_on_a_recording_too(
    name: str, tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run_notebook(
        FOLDER / f"{name}.ipynb", {"market_path": str(recorded / SPOT)}, tmp_path / "out.ipynb"
    )

    text = json.dumps(outputs(done))
    assert "synthetic" not in text
    assert '"output_type": "error"' not in text


@pytest.mark.parametrize("name", NAMES)
def test_the_data_is_a_parameter_of_every_notebook(name: str) -> None:
    assert "market_path" in known_parameters(FOLDER / f"{name}.ipynb")
