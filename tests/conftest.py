"""Shared fixtures. Nothing that a test needs is skipped silently under EXECKIT_REQUIRE_ALL=1."""

from __future__ import annotations

import asyncio
import inspect
import os
from pathlib import Path

import pytest


def need(reason: str) -> None:
    """Skip the running test, or fail it where every test is required to run."""
    if os.environ.get("EXECKIT_REQUIRE_ALL") == "1":
        pytest.fail(f"required here, but missing: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded market data named by EXECKIT_DATA."""
    value = os.environ.get("EXECKIT_DATA")
    if not value:
        need("EXECKIT_DATA is not set")
    path = Path(str(value)).resolve()
    if not path.is_dir():
        need(f"EXECKIT_DATA={value} is not a folder")
    return path


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine function runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
