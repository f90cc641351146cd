"""Line: requests of one venue and key, each the same way.

A turn from the limiter, then signed and sent once, and its end read by the classifier. What may
have arrived is never sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from execkit.errors import ExecKitError, RetryLater, StopTrading
from execkit.venues.limiter import Lane, Limiter
from execkit.venues.outcomes import Outcome, classify
from execkit.venues.quirks import Call, Quirks, Verdict
from execkit.venues.wire import over_socket, trail

_log = logging.getLogger(__name__)
_V = Verdict
_PAUSE_S = 2.0  # after "too many requests" that does not say for how long
_RESYNC_S = 600.0


class Failed(Exception):
    """A request that ended without a usable answer."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


class Line:
    """Parameters
    ----------
    client : ccxt's, of `make_client`. on_halt : told why, when the exchange will not have the key.
    timeout_s : of one request, connection and answer included. patience_s : how long a request
    waits for its turn before it is given back as not sent.
    """

    def __init__(
        self,
        client: Any,
        quirks: Quirks,
        name: str,
        limiter: Limiter,
        on_halt: Callable[[str], None],
        *,
        timeout_s: float,
        patience_s: float,
    ) -> None:
        self.client, self.quirks, self.name, self.limiter = client, quirks, name, limiter
        self.on_halt, self.timeout_s, self.patience_s = on_halt, timeout_s, patience_s
        self._syncing: asyncio.Task[None] | None = None
        self._halted = ""

    async def ask(self, call: Call, lane: Lane) -> Any:
        """One request, sent at most once. Raises `Failed` without a usable answer, `RetryLater` if
        its turn did not come."""
        async with self.limiter.turn(lane, call.costs, within_s=self.patience_s):
            with trail() as wires:
                try:
                    async with asyncio.timeout(self.timeout_s + 1):
                        method = getattr(self.client, call.method)
                        return await method(*call.args, params=dict(call.params))
                except Exception as error:  # noqa: BLE001 - the classifier decides; else UNKNOWN
                    wire = wires[-1] if wires else None
                    if wire is None and call.method.endswith("_ws"):
                        wire = over_socket(error)
                    outcome = classify(error, wire, self.quirks)
        _log.info("%s %s: %s", self.name, call.method, outcome)
        self._heed(outcome)
        raise Failed(outcome)

    async def read(self, call: Call, lane: Lane = Lane.LOOKUP) -> Any:
        """A request that changes nothing. Raises `RetryLater`, `StopTrading` where the exchange
        will not have the key, and `Failed` where it says that there is no such thing. Once it has
        refused the key it is not asked again: that would earn a ban on top."""
        if self._halted:
            raise StopTrading(f"{self.name} is halted ({self._halted}): see to the key, then start")
        try:
            return await self.ask(call, lane)
        except Failed as failed:
            outcome = failed.outcome
        if outcome.verdict is _V.GONE:
            raise Failed(outcome)
        if outcome.verdict is _V.HALT or outcome.wrong:
            raise outcome.error(f"{self.name} {call.method}")
        raise RetryLater(f"{self.name} {call.method}: {outcome.text}")

    def _heed(self, outcome: Outcome) -> None:
        """What an answer says about everything that comes after it."""
        if outcome.verdict is _V.BACK_OFF or outcome.retry_after_s is not None:
            self.limiter.pause(_PAUSE_S if outcome.retry_after_s is None else outcome.retry_after_s)
        if outcome.verdict is _V.HALT:
            self._halted = outcome.reason or "halted"
            self.on_halt(outcome.reason)
        if outcome.verdict is _V.RESYNC and (self._syncing is None or self._syncing.done()):
            self._syncing = asyncio.get_running_loop().create_task(self._resync())

    async def sync_clock(self) -> None:
        """Measure how far the exchange's clock is from ours: of three looks, the quickest."""
        client, best = self.client, None
        if not client.has.get("fetchTime"):
            return
        for _ in range(3):
            asked = client.milliseconds_here()
            theirs = await self.read(self.quirks.call("fetch_time"))
            if not isinstance(theirs, (int, float)):
                raise RetryLater(f"{self.name} does not tell its time: {str(theirs)[:40]!r}")
            heard = client.milliseconds_here()
            look = (heard - asked, int(theirs) - (asked + heard) // 2)
            best = look if best is None else min(best, look)
        assert best is not None
        client.clock_offset_ms = best[1]

    async def keep_in_time(self) -> None:
        """Compare the clocks again and again, for ever."""
        while True:
            await asyncio.sleep(_RESYNC_S)
            await self._resync()

    async def _resync(self) -> None:
        try:
            await self.sync_clock()
        except ExecKitError as error:
            _log.warning("%s: the clocks were not compared: %s", self.name, error)

    async def close(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.gather(self._syncing, return_exceptions=True)
        await self.client.close()
