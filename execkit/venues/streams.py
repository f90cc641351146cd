"""Streams: what an exchange pushes, handed on as it comes, and whether it can be believed.

ccxt hands updates out by `await`, and those that come while nobody waits are merged or kept back.
So nothing is read from its answers: its caches are replaced by a `Tee`, which passes each row on in
the moment ccxt books it. The tasks that go on awaiting only keep the subscriptions alive.

A drop loses what happened meanwhile, and ccxt reconnects without a word. So every connection is
counted (the epoch), and silence is noticed: a link is UP only while frames come in.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById

from execkit.clock import Clock
from execkit.venues.remote import Link, LinkState

_log = logging.getLogger(__name__)
_ENDED = frozenset({"closed", "canceled", "expired", "rejected"})
Take = Callable[[dict[str, Any]], None]


class Tee(ArrayCacheBySymbolById):  # type: ignore[misc]
    """A cache of ccxt that passes each row on when it is booked.

    joins : whether to keep rows by id, for exchanges whose updates are partial and which ccxt joins
    with what it has. Of orders that ended only the newest `keep`; an open one is never pushed out.
    """

    def __init__(self, take: Take, joins: bool = False, keep: int = 1000) -> None:
        super().__init__()
        self._take, self._joins, self._keep = take, joins, keep
        self._ended: dict[tuple[str, str], None] = {}

    def append(self, item: dict[str, Any]) -> None:
        self._take(item)
        if not self._joins:
            return
        symbol, row_id = item["symbol"], item["id"]
        rows = self.hashmap.setdefault(symbol, {})
        known = rows.get(row_id)
        if known is None:
            rows[row_id] = item
        elif known is not item:
            known.update(item)
        if item.get("status", "closed") in _ENDED:  # a fill has no status: it changes no more
            self._ended[symbol, row_id] = None
            while len(self._ended) > self._keep:
                old_symbol, old_id = next(iter(self._ended))
                del self._ended[old_symbol, old_id]
                self.hashmap[old_symbol].pop(old_id, None)


class Streams:
    """The subscriptions of one client, and the state of its link.

    Parameters
    ----------
    methods : of the client, to be kept awaited. on_link : told of each change of the link; must
    only enqueue. refused : whether an error means that the exchange will not have the key.
    stale_s : silence, pings included, after which the link is not believed. settle_s : how long
    after a connection its subscriptions are given before the link counts as up.
    """

    def __init__(
        self,
        client: Any,
        methods: Sequence[Callable[[], Any]],
        clock: Clock,
        on_link: Callable[[Link], None],
        refused: Callable[[Exception], bool] = lambda error: False,
        *,
        stale_s: float = 20.0,
        settle_s: float = 0.1,
        backoff_s: tuple[float, float] = (0.25, 30.0),
        recycle_s: float = 82_800.0,
    ) -> None:
        self.client, self.clock, self.link = client, clock, Link(state=LinkState.DOWN)
        self._methods, self._on_link, self._refused = methods, on_link, refused
        self._stale_s, self._settle_s, self._backoff_s = stale_s, settle_s, backoff_s
        self._recycle_s = recycle_s
        self._tasks: list[asyncio.Task[None]] = []
        self._proof: asyncio.Task[None] | None = None
        self._waiting: set[int] = set()  # which subscriptions are being awaited
        self.errors = 0
        client.hooks.connected.append(self._connected)
        client.hooks.lost.append(self._lost)

    async def start(self, within_s: float) -> bool:
        """Subscribe; whether the link came up in time. It goes on trying either way."""
        spawn = asyncio.get_running_loop().create_task
        self.link = Link(state=LinkState.DOWN, epoch=self.link.epoch, reason="connecting")
        self._tasks = [spawn(self._pump(i, method)) for i, method in enumerate(self._methods)]
        self._tasks += [spawn(self._watch()), spawn(self._recycle())]
        try:
            async with asyncio.timeout(within_s):
                while self.link.state not in (LinkState.UP, LinkState.HALTED):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return self.link.state is LinkState.UP

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        tasks += [self._proof] if self._proof is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._proof = None
        self._set(LinkState.DOWN, "closed")

    def halt(self, reason: str) -> None:
        """The exchange will not have us. Only a new start gets out of it."""
        self._set(LinkState.HALTED, reason)

    async def reconnect(self) -> None:
        """Drop every socket; the subscriptions dial again."""
        for socket in sockets_of(self.client):
            await socket.close()
            if self.client.clients.get(socket.url) is socket:
                del self.client.clients[socket.url]
        self._lost(None, "recycled")

    # -- subscriptions ----------------------------------------------------------------------

    async def _pump(self, index: int, method: Callable[[], Any]) -> None:
        """Keep one subscription awaited for ever."""
        failed = 0
        while True:
            try:
                self._waiting.add(index)
                await method()
                failed = 0
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # ccxt cancels what waits for a socket that it closes
            except Exception as error:  # noqa: BLE001 - whatever it was, the stream must come back
                failed += 1
                self.errors += 1
                self._fails(index, error)
                await asyncio.sleep(self._delay(failed))
            finally:
                self._waiting.discard(index)

    def _fails(self, index: int, error: Exception) -> None:
        if self._refused(error):
            self.halt(type(error).__name__)
            return
        _log.warning("stream %d of %s: %s", index, self.client.id, type(error).__name__)
        self._set(LinkState.DOWN, type(error).__name__)

    def _delay(self, failed: int) -> float:
        first, longest = self._backoff_s
        return float(min(longest, first * 2 ** min(failed - 1, 16))) * random.uniform(0.5, 1.0)

    # -- the link ---------------------------------------------------------------------------

    def _connected(self, socket: Any) -> None:
        self._prove_anew()

    def _lost(self, socket: Any, error: object) -> None:
        reason = error if isinstance(error, str) else type(error).__name__
        self._set(LinkState.DOWN, reason)
        self._prove_anew()  # it may have been a socket that is only dialled when it is needed

    def _prove_anew(self) -> None:
        if self._proof is not None:
            self._proof.cancel()
        running = bool(self._tasks)
        self._proof = asyncio.get_running_loop().create_task(self._prove()) if running else None

    async def _prove(self) -> None:
        """Up: every subscription waits at a socket, and each socket is open and has said
        something."""
        while True:
            await asyncio.sleep(self._settle_s)
            sockets = sockets_of(self.client)
            if not sockets or any(socket.closed() for socket in sockets):
                continue
            waited_for = sum(len(socket.futures) for socket in sockets)
            if min(len(self._waiting), waited_for) < len(self._methods):
                continue
            for socket in sockets:
                await socket.connection.ping()
            await asyncio.sleep(0.02)
            if all(socket.last_message_at for socket in sockets):
                break
        self._set(LinkState.UP, "", epoch=self.link.epoch + 1)

    async def _watch(self) -> None:
        """Tell silence from quiet: sockets are pinged, so a link that lives is never silent."""
        while True:
            await asyncio.sleep(min(1.0, self._stale_s / 4))
            sockets = sockets_of(self.client)
            if not sockets or self.link.state not in (LinkState.UP, LinkState.STALE):
                continue
            oldest = min(_heard(socket) for socket in sockets)
            silent = self.client.milliseconds_here() - oldest > self._stale_s * 1000
            if silent and self.link.state is LinkState.UP:
                self._set(LinkState.STALE, f"silent for {self._stale_s:g} s")
            elif not silent and self.link.state is LinkState.STALE:
                self._set(LinkState.UP, "", epoch=self.link.epoch + 1)

    async def _recycle(self) -> None:
        """Exchanges cut a connection after a day, and ccxt keeps a trace of each order on it."""
        while True:
            await asyncio.sleep(self._recycle_s * random.uniform(0.95, 1.0))
            await self.reconnect()

    def _set(self, state: LinkState, reason: str, epoch: int | None = None) -> None:
        if self.link.state is LinkState.HALTED and state is not LinkState.HALTED:
            return  # a human has to look
        if (state, reason) == (self.link.state, self.link.reason) and epoch is None:
            return
        if self.link.state is state is LinkState.DOWN:
            return  # down is down: the first reason stays
        epoch = self.link.epoch if epoch is None else epoch
        self.link = Link(state=state, epoch=epoch, reason=reason, ts_ns=self.clock.now_ns())
        self._on_link(self.link)


def sockets_of(client: Any) -> list[Any]:
    """The connections of a client; ccxt keeps things that are none among them."""
    return [socket for url, socket in client.clients.items() if url.startswith("ws")]


def _heard(socket: Any) -> int:
    """When the last frame came in, pongs included; ms of this computer's clock."""
    return max(socket.last_message_at or 0, socket.connectionEstablished or 0)
