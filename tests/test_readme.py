"""README is true: its examples run, its commands exist, its files are there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from execkit import cli

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


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_first_screen_has_a_picture_and_the_demo() -> None:
    head = "\n".join(TEXT.splitlines()[:40])

    assert "![" in head
    assert "execkit demo" in head
