"""Fresh processes for measurements: each engine in its own, one after the other, in turns.

Turns matter: on a machine whose speed drifts, an engine that had all of its rounds first would be
compared with another machine. So every round runs every engine once, and rows are ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from execkit.errors import InvalidInput

SCRIPTS = Path(__file__).resolve().parent / "peers"
OURS = "execkit"
TIMEOUT_S = 900
APART = {
    "hftbacktest": "hftbacktest==2.4.4 wants numpy < 2.3",
    "nautilus_trader": "nautilus_trader 1.x wants pandas < 3",
}
"""Peers that pip cannot install beside execkit and the others, and why."""
_ASK = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Task:
    """One measurement: a script of `execkit.bench.peers` and its options.

    package : the distribution it needs, "execkit" for ours. threads : what numba and rayon get.
    once : one round is enough, because a single one takes long or is exact.
    """

    name: str
    package: str
    script: str
    options: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None
    once: bool = False


@dataclass(frozen=True)
class Measured:
    """What the rounds of one task gave."""

    engine: str
    rounds: tuple[Mapping[str, Any], ...]

    @property
    def seconds(self) -> float:
        """Median over the rounds of the median within each."""
        return statistics.median(statistics.median(r["seconds"]) for r in self.rounds)

    def median(self, name: str) -> float:
        """Median over the rounds of one number: first_s, cold_s, peak_mb, import_mb."""
        return statistics.median(float(r[name]) for r in self.rounds)

    def answer(self, name: str) -> float:
        """Median over the rounds of one of the task's own numbers."""
        return statistics.median(float(r["answers"][name]) for r in self.rounds)


class Peers:
    """Which interpreter has which peer: ours first, then those given, in order."""

    def __init__(self, packages: Sequence[str], interpreters: Sequence[str | Path] = ()) -> None:
        self.where: dict[str, tuple[str, str]] = {OURS: (sys.executable, "")}
        for python in (sys.executable, *map(str, interpreters)):
            for name, version in installed(python, packages).items():
                self.where.setdefault(name, (python, version))

    @property
    def versions(self) -> dict[str, str]:
        return {name: version for name, (_, version) in self.where.items() if name != OURS}


def installed(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Versions of those `packages` that an interpreter has."""
    try:
        done = subprocess.run(
            [python, "-c", _ASK, *packages], capture_output=True, text=True, env=_environment(False)
        )
    except OSError as error:
        raise InvalidInput("--peer-python", python, f"cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise InvalidInput("--peer-python", python, "is not a Python of 3.8 or later")
    return dict(json.loads(done.stdout))


def run_tasks(
    tasks: Sequence[Task], peers: Peers, folder: Path, rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, Measured], list[str]]:
    """Every task in turn, `rounds` times; and in a note each peer that is absent or failed.

    A peer that fails is left out from then on. Ours may not fail: that raises `RuntimeError`.
    """
    notes: list[str] = []
    found: dict[str, list[Mapping[str, Any]]] = {}
    left = []
    for task in tasks:
        if task.package in peers.where:
            left.append(task)
        else:
            notes.append(f"{task.package} is not there and is left out: {_how(task.package)}")
    for turn in range(rounds):
        for task in list(left):
            if task.once and turn:
                continue
            say(f"  {task.name}, round {turn + 1} of {1 if task.once else rounds}")
            try:
                result = run_once(task, peers.where[task.package][0], folder)
            except RuntimeError as error:
                if task.package == OURS:
                    raise
                left.remove(task)
                found.pop(task.name, None)
                notes.append(f"{task.name} failed and is left out: {error}")
                continue
            found.setdefault(task.name, []).append(result)
    measured = {name: Measured(r[0]["engine"], tuple(r)) for name, r in found.items()}
    return measured, sorted(set(notes))


def _how(package: str) -> str:
    """How to get a peer."""
    if package in APART:
        where = "install it in an environment of its own and name that with --peer-python"
        return f"{APART[package]}: {where}"
    return "pip install 'execkit[bench]'"


def run_once(task: Task, python: str, folder: Path) -> dict[str, Any]:
    """One fresh process; `cold_s` is the time from its start to its first result."""
    with tempfile.TemporaryDirectory(prefix="execkit-bench-") as place:
        out = Path(place) / "out.json"
        words = [str(SCRIPTS / f"{task.script}.py"), str(folder), str(out)]
        command = [python, str(SCRIPTS / "drive.py"), *words, json.dumps(dict(task.options))]
        begun = time.time_ns()
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                env=_environment(task.package == OURS, task.threads),
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took longer than {TIMEOUT_S} s") from None
        if done.returncode != 0:
            told = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(told[-1][:300])
        result = dict(json.loads(out.read_text(encoding="utf-8")))
    result["cold_s"] = (result["first_ns"] - begun) / 1e9
    return result


def _environment(ours: bool, threads: int | None = None) -> dict[str, str]:
    """Ours finds this very package; a peer is not to find ours, nor what ours brings along."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if ours:
        paths = [str(SCRIPTS.parents[2]), os.environ.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    if threads is not None:
        env["NUMBA_NUM_THREADS"] = env["RAYON_NUM_THREADS"] = str(threads)
    return env
