"""Notebooks as functions: what is refused, what is kept, what the exit says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from execkit.errors import InvalidInput
from execkit.runner import NotebookFailed, refuse_secret, run_notebook, value_of


def notebook(folder: Path, code: str, parameters: str = "count: int = 1\nlabel = 'a'") -> Path:
    """A two-cell notebook in `folder`."""
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[first, new_code_cell(code)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "p", "language": "python"}
    path = folder / "in.ipynb"
    nbformat.write(book, path)
    return path


def printed(path: Path) -> str:
    book = json.loads(path.read_text(encoding="utf-8"))
    streams = [o for c in book["cells"] for o in c.get("outputs", []) if o["name"] == "stdout"]
    return "".join("".join(o["text"]) for o in streams)


def test_parameters_reach_the_notebook_and_nobody_looks(tmp_path: Path) -> None:
    source = notebook(tmp_path, "import os; print(count + 1, os.environ['EXECKIT_HEADLESS'])")

    done = run_notebook(source, {"count": 41}, tmp_path / "deep" / "out.ipynb")

    assert printed(done) == "42 1\n"
    assert "EXECKIT_HEADLESS" not in os.environ


def test_a_failing_cell_is_an_error_and_the_output_is_kept(tmp_path: Path) -> None:
    source = notebook(tmp_path, "print('before'); raise ValueError('two\\nlines')")

    with pytest.raises(NotebookFailed, match=r"cell 2 raised ValueError: two; .*out\.ipynb"):
        run_notebook(source, {}, tmp_path / "out.ipynb")
    assert "before\n" in (tmp_path / "out.ipynb").read_text(encoding="utf-8").replace("\\n", "\n")


def test_an_unknown_parameter_runs_nothing(tmp_path: Path) -> None:
    source = notebook(tmp_path, "open('ran', 'w')")

    with pytest.raises(InvalidInput, match=r"no such parameter \(count, label\)"):
        run_notebook(source, {"cuont": 2}, tmp_path / "out.ipynb")
    assert [p.name for p in tmp_path.iterdir()] == ["in.ipynb"]


@pytest.mark.parametrize("name", ["api_key", "apikey", "SECRET", "bot_token", "db_password", "key"])
def test_a_parameter_named_like_a_secret_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="looks like a secret"):
        refuse_secret(name, "x")


def test_a_value_that_looks_like_a_secret_is_refused_and_not_repeated() -> None:
    value = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"

    with pytest.raises(InvalidInput) as caught:
        refuse_secret("label", value)
    assert value[:10] not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["", "BTCUSDT", "2026-01-09T14:00:00Z", 0.25, "a sentence of many words", "book"]
)
def test_ordinary_values_pass(value: object) -> None:
    refuse_secret("monkey_business", value)


def test_an_existing_path_passes_however_odd_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "a8Fh3kQ9zX2vB7nM5cL1pR6tY4wE0s"
    odd.mkdir()

    refuse_secret("market_path", str(odd))


def test_the_notebook_itself_is_never_overwritten(tmp_path: Path) -> None:
    source = notebook(tmp_path, "1")

    with pytest.raises(InvalidInput, match="the notebook itself"):
        run_notebook(source, {}, source)


def test_what_is_not_a_notebook_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("{")

    with pytest.raises(InvalidInput, match="is not a notebook"):
        run_notebook(tmp_path / "x.ipynb", {})
    with pytest.raises(InvalidInput, match="no such file"):
        run_notebook(tmp_path / "y.ipynb", {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.10", 0.1),
        ("-1", -1),
        ("true", True),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("BTCUSDT", "BTCUSDT"),
        ("NaN", "NaN"),
        ("", ""),
    ],
)
def test_words_of_the_shell_become_values(text: str, value: object) -> None:
    assert value_of(text) == value
