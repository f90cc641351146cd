"""The same quotes on the same tape, order by order, here and in hftbacktest.

Risk-averse queue, the same latency, orders of one lot (hftbacktest fills whole what it fills). The
one known difference: what we took from a level is missing there for whoever of us queues at it
next, until the level is shown afresh; hftbacktest has him wait behind what we have taken.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import need

from execkit.bench import markets, peers, tapes
from execkit.bench.peers import execkit_book_orders
from execkit.bench.setting import save

LATENCY_NS = 100_000

RUN_THERE = """
import sys
import numpy as np
scripts, folder, orders, latency_ns = sys.argv[1:5]
sys.path.insert(0, scripts)
from pathlib import Path
import hftbacktest_book_orders as peer
options = {"orders": orders, "latency_ns": int(latency_ns), "part": "run"}
state = peer.prepare(Path(folder), options)
filled = np.zeros(len(state["orders"]["ts_ns"]))
peer.run(state, filled)
np.save(Path(folder) / orders / "filled.npy", filled > 0)
"""


@pytest.fixture(scope="module")
def interpreter() -> str:
    """A Python that has hftbacktest, which needs an older numpy than ours."""
    named = os.environ.get("EXECKIT_HFTBACKTEST")
    if named is None and importlib.util.find_spec("hftbacktest") is None:
        need("EXECKIT_HFTBACKTEST does not name a Python that has hftbacktest")
    return named or sys.executable


def filled_here(folder: Path, every: int, only: int | None = None) -> np.ndarray:
    """Whether each order filled; with `only`, that of one order that is alone in the market."""
    options = {"orders": f"every_{every}", "latency_ns": LATENCY_NS, "part": "first"}
    state = execkit_book_orders.prepare(folder, options)
    if only is not None:
        columns = markets.load(folder / f"every_{every}", execkit_book_orders.ORDERS)
        one = {name: values[only : only + 1] for name, values in columns.items()}
        state["orders"] = markets.orders(one, "limit")
    result = execkit_book_orders.simulated(state, state["market"])
    return result.orders["filled_quantity"].to_numpy() > 0


def filled_there(folder: Path, every: int, interpreter: str) -> np.ndarray:
    scripts = Path(peers.__file__).parent
    orders = f"every_{every}"
    argv = [interpreter, "-c", RUN_THERE, str(scripts), str(folder), orders, str(LATENCY_NS)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(argv, check=True, timeout=240, env=clean)
    return np.load(folder / orders / "filled.npy")


@pytest.mark.parametrize("every", [1000, 100, 10])
def test_every_order_fills_in_both_or_in_neither_but_for_what_we_took_before(
    tmp_path: Path, interpreter: str, every: int
) -> None:
    tape = tapes.book(200_000)
    save(tmp_path, tape)
    save(tmp_path / f"every_{every}", tapes.requotes(tape, every))
    ours, theirs = filled_here(tmp_path, every), filled_there(tmp_path, every, interpreter)
    assert len(ours) > 100
    assert ours.sum() > len(ours) // 5
    differ = np.flatnonzero(ours != theirs)
    assert len(differ) <= len(ours) // 10_000
    for row in differ:
        assert filled_here(tmp_path, every, row)[0] == theirs[row], f"order {row} is unexplained"
