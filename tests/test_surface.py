"""The public surface: what `execkit` offers, and what importing it costs and changes."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import execkit as ek

ROOT = Path(__file__).resolve().parents[1]

HEAVY = ("ccxt", "plotly", "duckdb", "numba", "ipywidgets", "anywidget", "papermill", "matplotlib")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_the_documented_surface_is_the_real_one() -> None:
    """README lists every public name in one table, and nothing else."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Public names")[1].split("\n## ")[0]
    documented = set(re.findall(r"`ek\.(\w+)`", section))

    assert documented == set(ek.__all__) - {"__version__"}


def test_the_list_of_public_names_is_sorted_and_complete() -> None:
    assert sorted(ek.__all__) == ek.__all__
    assert len(set(ek.__all__)) == len(ek.__all__)
    assert set(ek.__all__) == set(dir(ek))


@pytest.mark.parametrize("name", ek.__all__)
def test_every_public_name_resolves_and_says_what_it_is(name: str) -> None:
    thing = getattr(ek, name)

    if callable(thing):
        assert inspect.getdoc(thing), f"{name} has no docstring"
        assert thing.__module__.startswith("execkit")


def test_type_checkers_see_every_public_name() -> None:
    """They do not run `__getattr__`, and take only ``X as X`` for a re-export."""
    tree = ast.parse((ROOT / "execkit" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }

    assert seen == set(ek.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        ek.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", ek.__all__)
def test_public_methods_of_more_than_a_few_lines_have_a_docstring(name: str) -> None:
    thing = getattr(ek, name)
    if not inspect.isclass(thing):
        return
    bare = [
        attr
        for attr, value in vars(thing).items()
        if not attr.startswith("_")
        and inspect.isfunction(value)
        and not inspect.getdoc(value)
        and len(inspect.getsource(value).splitlines()) > 6
    ]
    assert bare == []


def test_importing_execkit_loads_nothing_heavy() -> None:
    loaded = json.loads(run("import sys, json, execkit; print(json.dumps(sorted(sys.modules)))"))

    assert [m for m in HEAVY if m in loaded] == []


def test_importing_execkit_is_fast() -> None:
    """Beside numpy and pandas it takes less than 0.3 s; the best of five runs counts."""
    code = (
        "import numpy, pandas, time; t = time.perf_counter(); import execkit;"
        "print(time.perf_counter() - t)"
    )
    best = min(float(run(code)) for _ in range(5))

    assert best < 0.3


def test_naming_the_nouns_stays_light_too() -> None:
    """Signals, orders and market data need neither DuckDB nor numba."""
    code = (
        "import sys, execkit as ek\n"
        "ek.TradingSignal, ek.ExecutionOrder, ek.MarketData, ek.RiskGuard, ek.FeeModel\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert run(code).strip() == "[]"


def test_importing_execkit_changes_no_loop_policy_and_no_signal_handler() -> None:
    code = """
import asyncio, signal, threading, sys, warnings
warnings.simplefilter("ignore")
def state():
    handlers = [signal.getsignal(s) for s in sorted(signal.valid_signals())]
    policy = asyncio.get_event_loop_policy()
    return handlers, type(policy), id(policy), sys.excepthook, threading.active_count()
before = state()
import execkit
for name in execkit.__all__:
    getattr(execkit, name)
print(state() == before)
"""
    assert run(code).strip() == "True"


def test_the_version_is_the_one_of_the_project_file() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert f'version = "{ek.__version__}"' in text


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "execkit" / "py.typed").is_file()
