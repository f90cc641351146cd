"""README is true: its examples run, its commands exist, its files are there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from execkit import cli
from execkit.errors import InvalidInput
from execkit.limits import RiskLimits
from execkit.order_table import COLUMNS, REQUIRED, read_orders
from execkit.schema import TABLES, views

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.S | re.M)


async def run(code: str, names: dict[str, Any]) -> None:
    """Run a block as a notebook would: top-level await allowed."""
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if compiled.co_flags & inspect.CO_COROUTINE:
        await eval(compiled, names)
    else:
        exec(compiled, names)


def test_every_python_block_runs_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}

    async def all_of_them() -> None:
        for block in PYTHON:
            await run(block, names)

    asyncio.run(all_of_them())
    out = capsys.readouterr().out

    assert len(PYTHON) >= 3
    assert "markout_pnl_bps" in out
    assert "waits_on_purpose" in out
    kept = names["store"].sql("SELECT run_id FROM markouts WHERE markout_pnl_bps IS NOT NULL")
    assert kept["run_id"].nunique() == 2, "markouts of the paper run and of the simulated one"
    assert names["opened"].success
    # stop loss or take profit closed the position before the data ended
    assert names["engine"].positions == []
    exits = [o for o in names["engine"].orders.values() if o.order_type.value != "market"]
    assert sorted(o.status.value for o in exits) == ["canceled", "filled"]


def test_the_two_shell_blocks_set_up_all_they_need() -> None:
    """Each begins with an environment of its own, so that each works on a fresh machine."""
    first, second = re.findall(r"^```bash\n(.*?)^```", TEXT, re.S | re.M)[:2]

    assert first.splitlines()[0].startswith("python3 -m venv")
    assert first.rstrip().endswith("execkit demo")
    assert second.splitlines()[0].startswith("python3 -m venv")
    assert second.rstrip().endswith("-m pytest")


def test_every_command_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    rows = re.findall(r"^\| `execkit ([a-z]+)(?: ([a-z|\\]+))?", TEXT, re.M)
    assert len(rows) >= 7
    for group, verbs in rows:
        words = re.split(r"\\\|", verbs) if group in ("data", "store") else [""]
        for verb in words:
            argv = [word for word in (group, verb, "--help") if word]
            assert cli.main(argv) == 0, argv
    assert "Usage: execkit" in capsys.readouterr().out


def names_after(opening: str) -> list[str]:
    """What stands in backquotes between `opening` and the next full stop that ends a sentence."""
    found = re.search(re.escape(opening) + r"(.*?)\.\s", TEXT, re.S)
    assert found, opening
    return re.findall(r"`(\w+)`", found[1].partition(":")[2])


def test_the_columns_of_an_orders_file_are_listed() -> None:
    assert names_after("Columns of a table or file of orders") == list(COLUMNS)
    assert COLUMNS[: len(REQUIRED)] == REQUIRED


def test_the_limits_of_the_risk_guard_are_listed() -> None:
    known = [item.name for item in fields(RiskLimits) if item.name != "given"]
    assert names_after("Limits of `RiskGuard`") == known


def test_the_tables_and_views_of_the_store_are_listed() -> None:
    made = [re.match(r"CREATE OR REPLACE VIEW (\w+)", statement) for statement in views()]
    assert names_after("Tables") == list(TABLES)
    assert sorted(names_after("Views")) == sorted(m[1] for m in made if m)


def test_how_rows_are_counted_is_said_and_true() -> None:
    assert "Rows in\nmessages count from 0" in TEXT
    orders = {"ts_ns": [1, 2], "side": ["buy", "by"], "order_type": ["market"] * 2}
    with pytest.raises(InvalidInput, match="row 1 "):
        read_orders({**orders, "quantity": [1, 1]}, ["X"])


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_first_screen_has_a_picture_and_the_demo() -> None:
    head = "\n".join(TEXT.splitlines()[:40])

    assert "![" in head
    assert "execkit demo" in head
