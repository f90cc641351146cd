"""LatencyModel: how long an order, a cancel, an answer and a market event are under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from execkit.errors import InvalidInput
from execkit.models.base import LEGS, LatencyLike, Leg, params_of

_HOUR_NS = 3_600_000_000_000
_LOG = (
    ("request_ns", "ts_ns"),
    ("venue_ns", "arrival_ts_ns"),
    ("response_ns", "response_ts_ns"),
)
"""Columns of one's own orders: their names here, and in results and the store."""


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """Fixed delays in ns, each with an optional exponential tail drawn per order.

    entry_ns : decision to matching engine. cancel_ns : the same for a cancel. response_ns :
    matching engine to us. feed_ns : market data, venue to us: a decision at t knew the market of
    t - feed_ns, and `decision_price` is looked up there (fills do not depend on it).
    jitter_ns : mean of the exponential addition to each leg but feed (0 = none).
    Draws depend only on (seed, leg, row), so results do not depend on threads or order of calls.
    When it lies: real latency has bursts that coincide with fast markets; this one has none.
    """

    entry_ns: int = 0
    cancel_ns: int = 0
    response_ns: int = 0
    jitter_ns: int = 0
    feed_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("entry_ns", "cancel_ns", "response_ns", "jitter_ns", "feed_ns"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidInput(name, value, "use whole nanoseconds >= 0")

    def delay(
        self, leg: Leg, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        """Delay in ns, int64, shape of `rows` (order positions); the time does not matter."""
        base = np.full(len(rows), getattr(self, f"{leg}_ns"), dtype=np.int64)
        if self.jitter_ns == 0 or leg == "feed":
            return base
        tail = -np.log1p(-uniform(leg, rows, seed)) * self.jitter_ns
        return base + np.rint(tail).astype(np.int64)


class EmpiricalLatency:
    """Delays drawn from observed ones (bootstrap), each draw by (seed, leg, row) alone.

    Parameters
    ----------
    entry, cancel, response, feed : observed delays in ns, whole numbers >= 0, any shape (n,),
        n >= 1. Without cancels, those of entry are drawn (with draws of their own); without
        responses or feed that leg takes no time. Values, not their order, decide the draws.

    `from_orders` reads them from a table of one's own orders. When it lies: draws are independent,
    real delays come in bursts, and often when it matters; see `InterpolatedLatency`.
    """

    def __init__(
        self,
        entry: object,
        cancel: object | None = None,
        response: object | None = None,
        feed: object | None = None,
    ) -> None:
        given = {"entry": entry, "cancel": cancel, "response": response, "feed": feed}
        self._samples = {
            leg: _whole(values, leg, least=0) for leg, values in given.items() if values is not None
        }
        for leg, values in self._samples.items():
            if len(values) == 0:
                raise InvalidInput(leg, [], "pass at least one observed delay, or None")
            values.sort()
        self._samples.setdefault("cancel", self._samples["entry"])

    @classmethod
    def from_orders(
        cls, orders: object, fills: object | None = None, *, by_hour: bool = False
    ) -> LatencyLike:
        """From a frame with `request_ns`, `venue_ns` and `response_ns`, or the names that results
        and the store use: `ts_ns`, `arrival_ts_ns`, and, if there, `response_ts_ns`.

        Rows that the venue did not take (no venue time, or 0) are left out. fills : a frame with
        `venue_ts_ns` and `local_ts_ns`; answers are then drawn from what lies between these, at all
        hours. by_hour : draw from the orders of the same hour of the day (UTC) as the request;
        every hour that has none draws from all. Then it is a `PerHourLatency`.
        """
        request, venue, response = own_log(orders)
        taken = venue > 0
        if not taken.any():
            raise InvalidInput("orders", len(taken), "no order has a venue time: pass a longer log")
        request, venue, response = request[taken], venue[taken], response[taken]
        entry, back = venue - request, np.where(response > 0, response - venue, -1)
        told = None if fills is None else _answers(fills)

        def made(own: np.ndarray) -> EmpiricalLatency:
            known = back[own & (back >= 0)]
            answers = known if len(known) else back[back >= 0]
            answers = answers if told is None else told
            return cls(entry[own], response=answers if len(answers) else None)

        whole = made(np.ones(len(entry), dtype=bool))
        if not by_hour:
            return whole
        hour = hours_of(request)
        return PerHourLatency({int(h): made(hour == h) for h in np.unique(hour)}, otherwise=whole)

    def delay(
        self, leg: Leg, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        """Delay in ns, int64, shape of `rows` (order positions); the time does not matter."""
        values = self._samples.get(leg)
        if values is None:
            return np.zeros(len(rows), dtype=np.int64)
        at = (uniform(leg, rows, seed) * len(values)).astype(np.int64)
        return values[at]

    def params(self) -> dict[str, Any]:
        """Number, median and 99th percentile of each leg's samples."""
        legs = {
            leg: {
                "n": len(v),
                "median_ns": float(np.median(v)),
                "p99_ns": float(np.quantile(v, 0.99)),
            }
            for leg, v in self._samples.items()
        }
        return {"model": "empirical", **legs}


class PerHourLatency:
    """Another latency model for each hour of the day, UTC, of the moment a message sets out.

    by_hour : hour 0 to 23 -> model. otherwise : for hours that are not named. A cancel and an
    answer go by the hour of their own start.
    """

    def __init__(self, by_hour: Mapping[int, LatencyLike], otherwise: LatencyLike) -> None:
        for hour in by_hour:
            if isinstance(hour, bool) or not isinstance(hour, int) or not 0 <= hour <= 23:
                raise InvalidInput("by_hour", hour, "name hours of the day, UTC, from 0 to 23")
        for model in (*by_hour.values(), otherwise):
            if not isinstance(model, LatencyLike):
                raise InvalidInput("by_hour", model, "pass latency models, e.g. LatencyModel(...)")
        self._by_hour, self._otherwise = dict(by_hour), otherwise

    def delay(
        self, leg: Leg, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        """Delay in ns, int64, shape of `rows`, by the hour of `ts_ns`; `InvalidInput` without."""
        hour = hours_of(times(ts_ns, rows))
        out = np.zeros(len(rows), dtype=np.int64)
        for h in np.unique(hour):
            own = hour == h
            model = self._by_hour.get(int(h), self._otherwise)
            out[own] = model.delay(leg, rows[own], seed, None if ts_ns is None else ts_ns[own])
        return out

    def params(self) -> dict[str, Any]:
        told = {str(h): params_of(m) for h, m in sorted(self._by_hour.items())}
        return {"model": "per hour", "by_hour": told, "otherwise": params_of(self._otherwise)}


class InterpolatedLatency:
    """Delays at the times of one's own recorded orders, and between them by linear interpolation.

    Parameters
    ----------
    request_ns, venue_ns, response_ns : int64 (n,), n >= 1: when each was sent (our clock), when the
        venue matched it (its clock), when the answer was here. venue_ns 0 = the venue did not take
        it (overload), and response_ns is when we were told. Rows in any order; among equal
        request_ns the last counts.

    Entry and cancel go by the time of the request. A request between two rows of which one was not
    taken, or beyond the first or last row if that was not taken, is not taken either, and we know
    after the interpolated response_ns - request_ns. Answers go by the venue's time, over the rows
    that were taken. Before the first and after the last row, the delay is that of this row. Feed
    takes no time. These are the semantics of hftbacktest's interpolated order latency, except at
    the ends, where it would return a nonsense delay for a row that was not taken.

    When it lies: the clocks of us and the venue differ, and entry and response absorb it with
    opposite signs; far from any recorded order the nearest one speaks.
    """

    def __init__(self, request_ns: object, venue_ns: object, response_ns: object) -> None:
        columns = {"request_ns": request_ns, "venue_ns": venue_ns, "response_ns": response_ns}
        request, venue, response = (_whole(v, name, least=0) for name, v in columns.items())
        if not len(request) == len(venue) == len(response) >= 1:
            sizes = (len(request), len(venue), len(response))
            raise InvalidInput("venue_ns", sizes, "pass three columns of one length, at least 1")
        taken = venue > 0
        wrong = np.flatnonzero(
            (response < request) | (taken & ((venue < request) | (venue > response)))
        )
        if len(wrong):
            row = int(wrong[0])
            fix = "times must not fall from request to venue to response: correct the clocks first"
            raise InvalidInput("venue_ns", int(venue[row]), fix, row=row)
        order = np.argsort(request, kind="stable")
        last = np.append(np.diff(request[order]) > 0, True)
        order = order[last]
        self._request, self._taken = request[order], taken[order]
        whole = np.where(self._taken, venue[order], response[order]) - self._request
        self._entry, self._told = whole, response[order] - self._request
        own = np.flatnonzero(taken)
        own = own[np.argsort(venue[own], kind="stable")]
        own = own[np.append(np.diff(venue[own]) > 0, True)] if len(own) else own
        self._venue, self._back = venue[own], (response - venue)[own]

    @classmethod
    def from_orders(cls, orders: object) -> InterpolatedLatency:
        """From a frame with the columns that `EmpiricalLatency.from_orders` reads; every row needs
        a response."""
        request, venue, response = own_log(orders)
        if (response <= 0).any():
            row = int(np.flatnonzero(response <= 0)[0])
            raise InvalidInput("response_ns", None, "every order needs its response time", row=row)
        return cls(request, venue, response)

    def delay(
        self, leg: Leg, rows: np.ndarray, seed: int = 0, ts_ns: np.ndarray | None = None
    ) -> np.ndarray:
        """Delay in ns, int64, shape of `rows`, by `ts_ns`; `InvalidInput` without. Negative: not
        taken by the venue, known after that many ns."""
        ts = times(ts_ns, rows)
        if leg == "feed" or (leg == "response" and len(self._venue) == 0):
            return np.zeros(len(rows), dtype=np.int64)
        if leg == "response":
            return _between(ts, self._venue, self._back)
        low = np.clip(np.searchsorted(self._request, ts, side="right") - 1, 0, None)
        high = np.minimum(low + 1, len(self._request) - 1)
        high = np.where((ts < self._request[0]) | (ts >= self._request[-1]), low, high)
        taken = self._taken[low] & self._taken[high]
        told = np.maximum(_between(ts, self._request, self._told), 1)
        return np.where(taken, _between(ts, self._request, self._entry), -told)

    def params(self) -> dict[str, Any]:
        return {
            "model": "interpolated",
            "rows": len(self._request),
            "not_taken": int((~self._taken).sum()),
            "first_ns": int(self._request[0]),
            "last_ns": int(self._request[-1]),
        }


def own_log(orders: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(request, venue, response) in ns of a table of one's own orders; 0 where there is none."""
    import pandas as pd

    if not isinstance(orders, (pd.DataFrame, Mapping)):
        raise InvalidInput("orders", type(orders).__name__, "pass a DataFrame of orders")
    found: list[np.ndarray] = []
    for mine, theirs in _LOG:
        name = next((n for n in (mine, theirs) if n in orders), None)
        if name is None and mine != "response_ns":
            raise InvalidInput("orders", list(orders), f"needs a column {mine} or {theirs}")
        column = pd.Series(np.zeros(len(found[0])) if name is None else orders[name])
        found.append(_whole(column.astype("Int64").fillna(0).to_numpy(np.int64), mine, least=0))
    request, venue, response = found
    late = (venue > 0) & (venue < request)
    late |= (response > 0) & (response < np.where(venue > 0, venue, request))
    if late.any():
        row = int(np.flatnonzero(late)[0])
        fix = "times must not fall from request to venue to response: correct the clocks first"
        raise InvalidInput("orders", int(venue[row]), fix, row=row)
    return request, venue, response


def _answers(fills: object) -> np.ndarray:
    """From the venue to us, of each fill that has both times."""
    import pandas as pd

    names = ("venue_ts_ns", "local_ts_ns")
    if not isinstance(fills, pd.DataFrame) or any(name not in fills for name in names):
        raise InvalidInput("fills", type(fills).__name__, f"pass a DataFrame with {names}")
    both = fills[list(names)].dropna().astype(np.int64)
    return (both["local_ts_ns"] - both["venue_ts_ns"]).to_numpy()


def hours_of(ts_ns: np.ndarray) -> np.ndarray:
    """Hour of the day, UTC, 0 to 23."""
    return ts_ns // _HOUR_NS % 24


def times(ts_ns: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    if ts_ns is None:
        raise InvalidInput("ts_ns", None, "this latency model goes by time: pass when each set out")
    if len(ts_ns) != len(rows):
        raise InvalidInput("ts_ns", len(ts_ns), f"pass one time a row ({len(rows)})")
    return ts_ns


def uniform(leg: str, rows: np.ndarray, seed: int) -> np.ndarray:
    """One number in [0, 1) a row, by (seed, leg, row) alone."""
    stream = _splitmix64(np.array([(4 * seed + LEGS.index(leg) + 1) % 2**64], dtype=np.uint64))
    key = np.asarray(rows, dtype=np.uint64) + stream
    return (_splitmix64(key) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _between(ts: np.ndarray, at: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Linear interpolation in whole ns, flat beyond the ends; exact at the points themselves."""
    zero = at[0]  # float64 does not hold the nanoseconds of an epoch
    return np.rint(np.interp((ts - zero).astype(float), (at - zero).astype(float), value)).astype(
        np.int64
    )


def _whole(values: object, name: str, least: int) -> np.ndarray:
    array = np.array(values)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iuf"):
        raise InvalidInput(name, values, "pass a column of whole nanoseconds")
    wrong = np.flatnonzero(~(array >= least) | (array != np.floor(array)))
    if len(wrong):
        row = int(wrong[0])
        raise InvalidInput(name, array[row], f"use whole nanoseconds >= {least}", row=row)
    return array.astype(np.int64)


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """Steele, Lea, Flood (2014): a 64-bit mixer, so that each row has its own draw."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fixed_ns(latency: LatencyLike, leg: Leg) -> int | None:
    """The delay of a leg where it is one for all messages, else None."""
    if type(latency) is LatencyModel and (latency.jitter_ns == 0 or leg == "feed"):
        return int(getattr(latency, f"{leg}_ns"))
    return None


def delayed(
    latency: LatencyLike, leg: Leg, ts_ns: np.ndarray, rows: np.ndarray, seed: int
) -> np.ndarray:
    """When messages arrive that set out at `ts_ns` and cannot fail; the same array if at once."""
    known = fixed_ns(latency, leg)
    if known is None:
        return ts_ns + latency.delay(leg, rows, seed, ts_ns)
    return ts_ns if known == 0 else ts_ns + known
