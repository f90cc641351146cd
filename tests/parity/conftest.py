"""Counts what the parity tests compared, and says so at the end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sized

import pytest

COUNTS: dict[str, Counter[str]] = {}
COLUMNS = ("runs", "orders", "filled", "fills")

Compared = Callable[[str, Sized, Sized, int], None]


@pytest.fixture(scope="session")
def compared(request: pytest.FixtureRequest) -> Compared:
    """`compared(what, orders, fills, filled)`: one more run of which every row agreed."""

    def add(what: str, orders: Sized, fills: Sized, filled: int) -> None:
        found = COUNTS.setdefault(what, Counter())
        found.update(runs=1, orders=len(orders), fills=len(fills), filled=filled)

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The counts as a table, and as JSON in pytest's cache (``execkit/parity``)."""
    if not COUNTS:
        return
    terminalreporter.section("parity: compared row for row")
    rows = [("what", *COLUMNS)]
    rows += [(what, *(f"{n[c]:,}" for c in COLUMNS)) for what, n in sorted(COUNTS.items())]
    wide = max(len(row[0]) for row in rows)
    for what, *numbers in rows:
        terminalreporter.write_line(what.ljust(wide) + "".join(n.rjust(10) for n in numbers))
    if config.cache is not None:
        config.cache.set("execkit/parity", COUNTS)
