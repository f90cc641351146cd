"""Where the work of a sweep runs: threads of this process, joblib's backends, or Dask.

Each way takes a task, what all calls share, and a list of batches; it gives back (number of the
batch, result) in any order. A worker that dies costs the batches that it held: they run again.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from execkit.errors import FixRequest, InvalidInput

Task = Callable[[Any, Any], Any]
Done = Iterator[tuple[int, Any]]

ATTEMPTS = 3
CONNECT_S = 10
_HOPELESS = (FixRequest, pickle.PicklingError, ImportError, AttributeError, TypeError)
_log = logging.getLogger(__name__)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def workers(executor: object) -> int:
    """How many batches run at a time, as far as that is known."""
    if executor is None:
        return cores()
    if is_dask(executor):
        return max(1, sum(executor.nthreads().values()))  # type: ignore[attr-defined]
    return cores()


def is_dask(executor: object) -> bool:
    return hasattr(executor, "scatter") and hasattr(executor, "submit")


def run(executor: object, task: Task, shared: object, batches: Sequence[Any]) -> Done:
    """Results of ``task(shared, batch)`` for all batches, as they come.

    Raises what the executor raised when batches were lost `ATTEMPTS` times in a row without one
    result in between, or at once where trying again cannot help (it cannot be pickled, no module).
    """
    left, tries = dict(enumerate(batches)), 0
    while left:
        try:
            for number, result in _start(executor, task, shared, left):
                del left[number]
                tries = 0
                yield number, result
        except _HOPELESS:
            raise
        except Exception as error:  # whatever a backend raises when its worker is gone
            tries += 1
            if tries >= ATTEMPTS or executor is None:
                raise
            _log.warning("%d batches were lost (%r), they run again", len(left), error)


def _start(executor: object, task: Task, shared: object, left: Mapping[int, Any]) -> Done:
    if executor is None:
        return _threads(task, shared, left)
    if is_dask(executor):
        return _dask(executor, task, shared, left)
    if isinstance(executor, str) or callable(executor):
        return _joblib(executor, task, shared, left)
    fix = "pass None, a joblib backend or Parallel, a dask Client or its address"
    raise InvalidInput("executor", executor, fix)


def _threads(task: Task, shared: object, left: Mapping[int, Any]) -> Done:
    pool = ThreadPoolExecutor(min(cores(), len(left)))
    try:
        futures = {pool.submit(task, shared, batch): n for n, batch in left.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _joblib(executor: Any, task: Task, shared: object, left: Mapping[int, Any]) -> Done:
    try:
        import joblib
    except ImportError:
        raise FixRequest(f"{executor!r} needs joblib: pip install 'execkit[dist]'") from None
    if isinstance(executor, str):
        try:
            executor = joblib.Parallel(n_jobs=-1, backend=executor, return_as="generator")
        except ValueError as error:
            raise InvalidInput("executor", executor, str(error)) from None
    numbers = list(left)
    calls = [joblib.delayed(task)(shared, left[n]) for n in numbers]
    yield from zip(numbers, executor(calls), strict=True)


def _dask(client: Any, task: Task, shared: object, left: Mapping[int, Any]) -> Done:
    """What is shared goes to every worker once. The scheduler itself moves the tasks of a worker
    that died; if the last copy of what is shared died with it, `run` begins anew with the rest."""
    from distributed import as_completed as as_they_come

    (everywhere,) = client.scatter([shared], broadcast=True, hash=False)
    futures = {client.submit(task, everywhere, b, pure=False): n for n, b in left.items()}
    lost = None
    try:
        for future, result in as_they_come(
            futures, loop=client.loop, with_results=True, raise_errors=False
        ):
            if future.status == "finished":
                yield futures[future], result
            else:
                lost = result
        if lost is not None:
            raise lost[1] if isinstance(lost, tuple) else lost
    finally:
        client.cancel([*futures, everywhere])


@contextmanager
def opened(executor: object) -> Iterator[object]:
    """`executor`, with an address of a Dask scheduler ("tcp://host:8786") turned into a Client that
    is closed in the end."""
    if not (isinstance(executor, str) and "://" in executor):
        yield executor
        return
    try:
        from distributed import Client
    except ImportError:
        raise FixRequest("a Dask scheduler needs dask: pip install 'execkit[dist]'") from None
    try:
        client = Client(executor, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InvalidInput("executor", executor, f"no Dask scheduler answers ({error})") from None
    try:
        yield client
    finally:
        client.close()
