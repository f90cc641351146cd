"""Runs one measurement in this process: ``drive.py SCRIPT FOLDER OUT OPTIONS``.

Writes to OUT, as JSON, what it took and what came out.

Needs the standard library alone, for it runs in the interpreters of peers. Options: `repeats` (of
the timed work, after one that is not counted; without it, up to `MOST`, because the first few of a
process still ask the system for their memory), `cold` (the first result only, nothing before it).
"""

from __future__ import annotations

import gc
import importlib.util
import json
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

MOST, ENOUGH, LONG_S = 9, 3, 4.0
"""Repeats of short work; of work that takes long, no more are begun after `LONG_S` seconds."""


def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peak_mb() -> float:
    """Most memory that this program held. What getrusage says on Linux begins with the memory of
    the process that started it, so it is the last resort."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(script: Path, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each repeat, the moment of the first result, peak memory, and the answers."""
    module = load(script)
    import_mb = peak_mb()
    state = module.prepare(folder, options)
    seconds: list[float] = []
    begun = time.perf_counter()
    result = module.work(state)
    first_s = time.perf_counter() - begun
    first_ns = time.time_ns()
    most_mb = peak_mb()
    answers = module.answers(state, result)
    for n in range(0 if options.get("cold") else options.get("repeats", MOST)):
        if "repeats" not in options and n >= ENOUGH and sum(seconds) > LONG_S:
            break
        result = None  # freed before the next, and not while the clock runs
        gc.collect()
        begun = time.perf_counter()
        result = module.work(state)
        seconds.append(time.perf_counter() - begun)  # before the result is thrown away
    return {
        "engine": module.ENGINE,
        "seconds": seconds or [first_s],
        "first_s": first_s,
        "first_ns": first_ns,
        "import_mb": import_mb,
        "peak_mb": most_mb,
        "answers": {name: float(value) for name, value in answers.items()},
    }


def main(script: str, folder: str, out: str, options: str) -> None:
    found = measure(Path(script), Path(folder), json.loads(options))
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
