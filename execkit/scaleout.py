"""What an order costs on 10, 100 or 1,000 workers: measured parts, and an estimate made of them.

A sweep of N combinations on w workers takes about

    send_s * rounds(w)  +  prepare_s  +  max(dispatch_s * N,  ceil(N / w) * run_s)

where the market is passed on from worker to worker, so that ``rounds(w)`` is ceil(log2(w + 1)), and
the scheduler hands out one combination after the other, which bounds what more workers can do: from
run_s / dispatch_s workers on nothing is gained. `measure` takes the four parts on a cluster that is
there, two processes on loopback do; `estimate` does the sum.

An example: 6 minutes of BTCUSDT depth, quotes and prints (164,000 rows, 12 MB), 1,000 random orders
a combination, model "queue". Two worker processes on loopback of a 2-core machine with much else to
do gave send 0.10 s, prepare 0.17 s (16 s the first time, for compiling), run 0.42 s, dispatch 2.5
ms. For 10,000 combinations over links of 1 Gbit/s that estimates to

    workers                       1        10       100     1,000
    time                    4,243 s     425 s      44 s      27 s
    per order, on the clock  424 us   42.5 us    4.4 us    2.7 us
    per order, times workers 424 us    425 us    440 us  2,733 us

When it lies: a network is slower than loopback (give its speed), workers elsewhere are not as fast
as those that were measured, and processes that share the cores measured here disturb each other. It
knows nothing of machines that start late or fail.
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from execkit.errors import InvalidInput
from execkit.limit_orders import Assumptions
from execkit.market import MarketData
from execkit.sweeps import Job, MakeOrders, check_names, run_batch

REPEATS = 5
TASKS = 200


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Measured: size of what is sent (bytes), and seconds to send it to one worker, to index it
    there, to simulate one combination, and to hand out and collect one task; orders of one."""

    sent_bytes: int
    send_s: float
    prepare_s: float
    run_s: float
    dispatch_s: float
    orders: int


def measure(
    make_orders: MakeOrders,
    parameters: Mapping[str, Any],
    market: MarketData,
    client: Any,
    **assumed: Any,
) -> Parts:
    """The parts of a sweep of `make_orders` at these parameters, on the cluster of a Dask `client`.

    assumed : `fill`, `fee`, ... as for `sweep`. Raises `InvalidInput` if the combination fails.
    """
    cell = dict(parameters)
    job = Job(make_orders, market, Assumptions(**assumed), check_names(make_orders, [cell]))
    worker = next(iter(client.scheduler_info()["workers"]))
    started = time.perf_counter()
    (there,) = client.scatter([job], workers=[worker], hash=False)
    send_s = time.perf_counter() - started
    runs = []
    for _ in range(1 + REPEATS):
        future = client.submit(run_batch, there, [(0, cell)], workers=[worker], pure=False)
        runs.append(future.result().to_pylist()[0])
        if runs[-1].get("error"):
            raise InvalidInput("parameters", cell, runs[-1]["error"])
    run_s = median(run["run_s"] for run in runs[1:])
    started = time.perf_counter()
    client.gather(client.map(_nothing, range(TASKS), pure=False))
    return Parts(
        sent_bytes=len(pickle.dumps(job.market)),
        send_s=send_s,
        prepare_s=max(0.0, runs[0]["run_s"] - run_s),
        run_s=run_s,
        dispatch_s=(time.perf_counter() - started) / TASKS,
        orders=int(runs[0].get("orders") or runs[0]["entries"]),
    )


def _nothing(number: int) -> int:
    return number


def estimate(
    parts: Parts,
    combinations: int,
    workers: Sequence[int] = (1, 10, 100, 1000),
    *,
    network_bytes_per_s: float | None = None,
) -> pd.DataFrame:
    """One row for each number of workers, as the formula above has it.

    network_bytes_per_s : speed of a link (125e6 for 1 Gbit/s), added to `send_s` for each round.
    Columns: workers; total_s; send_s, prepare_s, serial_s (dispatch), parallel_s; order_us, time on
    the clock per order; order_worker_us, the same times workers: what an order costs; efficiency,
    the share of all workers' time that simulates.
    """
    rows = []
    for count in workers:
        if count < 1:
            raise InvalidInput("workers", count, "use a whole number of workers, at least 1")
        hop = parts.send_s
        if network_bytes_per_s is not None:
            hop += parts.sent_bytes / network_bytes_per_s
        send = hop * math.ceil(math.log2(count + 1))
        serial = parts.dispatch_s * combinations
        parallel = math.ceil(combinations / count) * parts.run_s
        total = send + parts.prepare_s + max(serial, parallel)
        orders = combinations * parts.orders
        rows.append(
            {
                "workers": count,
                "total_s": total,
                "send_s": send,
                "prepare_s": parts.prepare_s,
                "serial_s": serial,
                "parallel_s": parallel,
                "order_us": 1e6 * total / orders,
                "order_worker_us": 1e6 * total * count / orders,
                "efficiency": combinations * parts.run_s / (total * count),
            }
        )
    return pd.DataFrame(rows)
