"""One test per case that a class of the suite states."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, table in (("request_case", "requests"), ("reply_case", "replies")):
        if fixture in metafunc.fixturenames:
            cases = list(getattr(metafunc.cls, table))
            metafunc.parametrize(fixture, cases, ids=[case.name for case in cases])
