"""Faults L01-L17: what an attacker, a careless paste or a hostile payload could do.

One test or more for each fault; the id is in its name.
"""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit import cli_sweep
from execkit.checks import MarketReport
from execkit.dashboards import report, slippage
from execkit.engine import ExecutionResult
from execkit.errors import InvalidInput
from execkit.frames import frame_html, table_html
from execkit.runner import refuse_secret
from execkit.secrets import Secret
from execkit.tables import Finding

ROOT = Path(__file__).resolve().parents[2]
CANARY = "cAnArY7kQ2vT9mZ4wX1pL8sN6bC3hJ5dF0gA"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def python(code: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


# ----------------------------------------------------------------------------- L01 parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [("api_secret", "x"), ("label", CANARY), ("mnemonic", "a b c"), ("extra", [CANARY])],
)
def test_fault_L01_a_secret_as_a_parameter_is_refused_and_not_repeated(
    name: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="looks like a secret") as caught:
        refuse_secret(name, value)
    assert CANARY not in str(caught.value)


def test_fault_L01_a_loaded_secret_is_refused_however_plain_it_looks() -> None:
    word = Secret("correct-horse-staple")

    with pytest.raises(InvalidInput, match="its value looks like a secret"):
        refuse_secret("label", f"it is {word.reveal()}")


def test_fault_L01_nothing_runs_and_nothing_is_written(tmp_path: Path) -> None:
    source = next((ROOT / "notebooks").glob("*.ipynb"))
    done = python(
        "import sys; from execkit.cli import main; sys.exit(main(sys.argv[1:]))",
        *("run", source, "-p", "label", CANARY, "--output", tmp_path / "out.ipynb", "--json"),
    )

    assert done.returncode == 1
    assert "looks like a secret" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ L12 payloads


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [name for name, _ in attrs]))


def scripts(page: str) -> list[tuple[str, list[str]]]:
    """Tags that could run something or fetch something."""
    tags = _Tags()
    tags.feed(page)
    return [
        (tag, names)
        for tag, names in tags.seen
        if tag in ("script", "img", "iframe", "object", "svg", "b", "a")
        or any(name.startswith("on") for name in names)
    ]


HOSTILE = st.one_of(
    st.just(SCRIPT), st.text(alphabet="<>&\"'/=script onerr\x00\u202e", min_size=1, max_size=60)
)


@given(HOSTILE)
def test_fault_L12_hostile_text_in_a_table_stays_text(text: str) -> None:
    frame = pd.DataFrame({"symbol": [text], text: [1]})
    finding = Finding(text, "info", text, text, 1, -1, text)
    pages = [
        table_html([(text, text), ("n", 1.5)]),
        frame_html("Orders", frame),
        ExecutionResult(success=False, code=text, error=text)._repr_html_(),
        MarketReport((finding,), text)._repr_html_(),
    ]

    for page in pages:
        assert [found for found in scripts(page) if found != ("b", [])] == []


def test_fault_L12_hostile_text_in_a_report_stays_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"symbol": [SCRIPT], "reason": [f"</script>{SCRIPT}"]})
    figure = slippage.theme.empty(SCRIPT, f"</script>{SCRIPT}")
    parts = [report.Part(SCRIPT, SCRIPT, table), report.Part(SCRIPT, SCRIPT, figure)]

    page = report.write(tmp_path / "r.html", SCRIPT, SCRIPT, parts).read_text(encoding="utf-8")

    found = [(tag, names) for tag, names in scripts(page) if tag != "script"]
    assert found == []
    assert SCRIPT not in page


# --------------------------------------------------------------------------- L13 private files

DESK = """
import os, sys, stat
os.umask(0)
from pathlib import Path
from execkit.journal import Journal
from execkit.store import Store
desk = Path(sys.argv[1])
run = {"mode": "paper", "venue": "x", "started_ns": 1, "params": {}, "versions": {}}
with Journal(desk / "journal.sqlite") as journal:
    journal.append("run", run, ts_ns=1, run_id="r")
    store = Store(desk)
    store.ingest(journal)
    with store._writing() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("COMMIT")
        db.execute("BEGIN")
        for path in sorted(desk.rglob("*")):
            print(path.name, oct(stat.S_IMODE(path.stat().st_mode)))
print("desk", oct(stat.S_IMODE(desk.stat().st_mode)))
open(desk / "after", "w").close()
print("after", oct(stat.S_IMODE((desk / "after").stat().st_mode)))
"""


def test_fault_L13_files_of_a_desk_are_private_whatever_the_umask(tmp_path: Path) -> None:
    done = python(DESK, tmp_path / "desk")
    modes = dict(line.split() for line in done.stdout.splitlines())

    assert done.returncode == 0, done.stderr
    assert modes.pop("desk") == "0o700"
    assert modes.pop("after") == "0o666"  # the mask is as it was
    assert {"journal.sqlite", "journal.sqlite-wal", "execkit.duckdb", "execkit.duckdb.wal"} <= set(
        modes
    )
    assert set(modes.values()) == {"0o600"}


def test_fault_L13_a_report_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = report.write(tmp_path / "deep" / "r.html", "t", "l", [])
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


# ------------------------------------------------------------------------ L15 no code in input

CALLS = {"eval", "exec", "compile", "__import__"}
LOADERS = {
    "pickle.load",
    "pickle.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "pd.read_pickle",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "yaml.load",
    "os.system",
    "dill.loads",
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "execkit").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_fault_L15_no_input_is_run_as_code(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in CALLS:
            wrong.append(f"line {node.lineno}: {called.id}")
        if isinstance(called, ast.Attribute) and ast.unparse(called) in LOADERS:
            wrong.append(f"line {node.lineno}: {ast.unparse(called)}")
        for keyword in node.keywords:
            on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg in ("allow_pickle", "shell") and on:
                wrong.append(f"line {node.lineno}: {keyword.arg}=True")
    assert not wrong


def test_fault_L15_a_store_fetches_no_code_for_a_file_that_looks_like_another_database(
    tmp_path: Path,
) -> None:
    """DuckDB would download and run an extension that reads SQLite."""
    from execkit.errors import ExecKitError
    from execkit.journal import Journal
    from execkit.store import Store

    Journal(tmp_path / "x").close()
    with pytest.raises(ExecKitError) as caught:
        Store(tmp_path / "x").tables()
    assert "http" not in str(caught.value)


# ---------------------------------------------------------------------- L16 notebooks in the repo


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_fault_L16_no_committed_notebook_holds_what_looks_like_a_secret(path: Path) -> None:
    for text in texts_of(path.read_text(encoding="utf-8")):
        refuse_secret("text", text)


def test_fault_L16_a_notebook_with_a_secret_in_an_output_is_found() -> None:
    cell = {"cell_type": "code", "source": ["1"], "outputs": [{"text": [f"key {CANARY}\n"]}]}
    _, shown = texts_of(json.dumps({"cells": [cell]}))

    with pytest.raises(InvalidInput):
        refuse_secret("text", shown)


def texts_of(book: str) -> list[str]:
    """Sources and printed outputs of a notebook; pictures and cell ids are no texts."""
    out: list[str] = []
    for cell in json.loads(book)["cells"]:
        out += cell["source"]
        for shown in cell.get("outputs", []):
            out += shown.get("text", [])
            out += (shown.get("data") or {}).get("text/plain", [])
            out += shown.get("traceback", [])
    return out


# --------------------------------------------------------------------------- L17 spreadsheets


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\r=1",
        " =1",
        "\uff1d1",
    ],
)
def test_fault_L17_a_formula_in_a_table_is_written_as_text(text: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"symbol": [text, "BTCUSDT"], "n": [-1.5, 2.0], text: ["-1.5", "1e-9"]})

    expected = text.replace("\r", " ")
    expected = expected if text == "a\r=1" else f"'{expected}"

    cli_sweep.write(table, tmp_path / "t.csv")

    back = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert back["symbol"].tolist() == [expected, "BTCUSDT"]
    assert back["n"].tolist() == ["-1.5", "2.0"]
    assert back.iloc[:, 2].tolist() == ["-1.5", "1e-9"]
    assert back.columns[2] == expected
