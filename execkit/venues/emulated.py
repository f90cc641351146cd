"""What a venue cannot do itself, done on our side: `EmulatedVenue` around a `RemoteVenue`.

Held orders wait here, unsent, until the market calls for them: trailing stops and stops of venues
without them, and, on spot, the second leg of an OCO pair (each leg would lock the coins). One leg
of such a pair rests at the venue; the other is sent when its price is there and the first is gone.
A held order goes out under its own client id, which was never used before, once. Before it does,
TRIGGERED has been applied: after a restart such an order is looked up, never held again.

    oco            group closes when a member fills (spot: in part; reduce_only pair: in full)
    GTD            sent as GTC; its cancel is asked for at the expiry, also after a restart
    trailing_stop  the best price since it was taken is the mark; stop at mark * (1 -+ trail_bps)
    stop_*         sent when the bid (sell) or ask (buy) has crossed the stop price
    reduce_only    (spot) there is no selling of what is not there

When it lies: a held order needs this process, its feed and its way to the venue. It takes what the
book shows when it gets there, a round trip after the price was seen, where a resting order would
have been in the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from execkit.clock import NS_PER_S, Clock, LiveClock
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import FixRequest, OutcomeUnknown, RetryLater
from execkit.venues.base import Listener, Quote, UpdateKind, VenueUpdate
from execkit.venues.held import Kept, as_open, at_once, plain
from execkit.venues.remote import Holdings, Link, RemoteVenue, VenueOrder
from execkit.waiting import came
from execkit.words import ExecutionMode, ExecutionStatus

_log = logging.getLogger(__name__)
_ENDS = (UpdateKind.CANCELED, UpdateKind.EXPIRED, UpdateKind.REJECTED)
Needs = Callable[[ExecutionOrder], frozenset[str]]


class EmulatedVenue:
    """Parameters
    ----------
    inner : the venue. needs : what of an order has to be emulated (features of the capability
    matrix); raises `InvalidInput` for what cannot be. look_s : how often the market is looked at
    while an order is held. patience_s : how long a leg may take to be gone before the other is
    sent; it stays held then, and is tried again.
    """

    def __init__(
        self,
        inner: RemoteVenue,
        needs: Needs,
        *,
        clock: Clock | None = None,
        look_s: float = 0.01,
        patience_s: float = 5.0,
    ) -> None:
        self.inner, self.needs = inner, needs
        self.clock: Clock = clock or LiveClock()
        self.look_s, self.patience_s = look_s, patience_s
        self._kept: dict[str, Kept] = {}
        self._why: dict[str, str] = {}  # of cancels that were ours; a venue may tell an end twice
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._listener: Listener | None = None
        self._on_doubt: Callable[[str, str], None] | None = None
        inner.listen(self._heard)

    # -- passed on --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def mode(self) -> ExecutionMode:
        return self.inner.mode

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.inner.instruments

    @property
    def account_id(self) -> str:
        return self.inner.account_id

    @property
    def link(self) -> Link:
        return self.inner.link

    def quote(self, symbol: str) -> Quote | None:
        return self.inner.quote(symbol)

    async def connect(self) -> None:
        await self.inner.connect()

    async def own_fills(
        self, symbol: str, since_ns: int, venue_order_id: str = ""
    ) -> Sequence[VenueUpdate]:
        return await self.inner.own_fills(symbol, since_ns, venue_order_id)

    async def holdings(self) -> Holdings:
        return await self.inner.holdings()

    # -- orders -----------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def attend(self, on_link: Callable[[Link], None], on_doubt: Callable[[str, str], None]) -> None:
        self._on_doubt = on_doubt
        self.inner.attend(on_link, on_doubt)

    async def submit(self, order: ExecutionOrder) -> None:
        needs = self.needs(order)
        if not needs - {"reduce_only"}:
            await self.inner.submit(order)
            return
        kept = self._keep(order, needs)
        if kept.held:
            self._tell(order, UpdateKind.ACCEPTED, "held")
            self._watch()
            return
        try:
            await self.inner.submit(plain(order))
        except (RetryLater, FixRequest):
            self._forget(order.client_order_id)
            raise

    def _keep(self, order: ExecutionOrder, needs: frozenset[str]) -> Kept:
        kept = self._kept[order.client_order_id] = Kept(order)
        waits = order.order_type.value in needs
        if "oco" in needs and self.instruments[order.symbol].kind == "spot":
            waits = waits or any(not one.held for one in self._siblings(kept))
        kept.held = waits
        if "GTD" in needs and order.expire_ts_ns is not None:
            self._expire_at(order, order.expire_ts_ns)
        return kept

    async def cancel(self, order: ExecutionOrder) -> None:
        kept = self._kept.get(order.client_order_id)
        if kept is not None and kept.held and not kept.sending:
            self._end(kept, UpdateKind.CANCELED, "requested")
            return
        await self.inner.cancel(order)

    async def cancel_all(self, symbol: str = "") -> None:
        for kept in list(self._kept.values()):
            if kept.held and not kept.sending and symbol in ("", kept.order.symbol):
                self._end(kept, UpdateKind.CANCELED, "requested")
        await self.inner.cancel_all(symbol)

    async def close(self) -> None:
        """Close the venue beneath. What is held is not sent any more; the journal knows it."""
        for timer in self._expiries.values():
            timer.cancel()
        self._expiries.clear()
        work = [*self._tasks, *([self._watching] if self._watching else [])]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        self._watching = None
        await self.inner.close()

    async def find_order(self, order: ExecutionOrder) -> VenueOrder | None:
        """As the venue beneath; an order that is held, or was when an earlier process ended, is
        open here. What an order needs is taken up again, so that a restart loses no expiry."""
        found = await self.inner.find_order(order)
        ended = found is not None and found.status is ExecutionStatus.CANCELED
        if found is not None and ended and self._why.get(order.client_order_id) == "gtd":
            found = replace(found, status=ExecutionStatus.EXPIRED, reason="gtd")
        kept = self._kept.get(order.client_order_id)
        if kept is not None and kept.held:
            return as_open(order) if found is None else found
        if kept is not None or (found is not None and found.status.is_done):
            return found
        needs = self.needs(order)
        if not needs - {"reduce_only"}:
            return found
        if found is not None:
            self._keep(order, needs).held = False
            return found
        taken = order.accepted_ts_ns is not None and not order.venue_order_id
        if not taken or order.triggered_ts_ns is not None:
            return None  # it was sent, or was about to be: whether it got there has to be proved
        self._keep(order, needs).held = True
        self._watch()
        return as_open(order)

    async def open_orders(self, symbol: str = "") -> Sequence[VenueOrder]:
        there = list(await self.inner.open_orders(symbol))
        held = [k.order for k in self._kept.values() if k.held and not k.sending]
        return there + [as_open(o) for o in held if symbol in ("", o.symbol)]

    # -- what the venue says ----------------------------------------------------------------

    def _heard(self, update: VenueUpdate) -> None:
        kept = self._kept.get(update.client_order_id)
        why = self._why.get(update.client_order_id)
        if update.kind is UpdateKind.CANCELED and why:
            kind = UpdateKind.EXPIRED if why == "gtd" else update.kind
            update = replace(update, kind=kind, reason=why)
        if kept is not None:
            if update.kind in _ENDS:
                self._forget(update.client_order_id)
                kept.ended.set()
            elif update.fill is not None:
                self._filled(kept, update)
        if self._listener is not None:
            self._listener(update)

    def _filled(self, kept: Kept, update: VenueUpdate) -> None:
        assert update.fill is not None
        kept.filled[update.fill.fill_id] = update.fill.quantity
        spot = self.instruments[kept.order.symbol].kind == "spot"
        for sibling in self._siblings(kept) if spot or kept.full else ():
            if sibling.held and not sibling.sending:
                self._end(sibling, UpdateKind.CANCELED, "oco")
            elif not sibling.held:
                self._spawn(self._withdraw(sibling, "oco"))
        if kept.full:
            self._forget(kept.order.client_order_id)
            kept.ended.set()

    def _siblings(self, kept: Kept) -> list[Kept]:
        """Live others of its group."""
        name = kept.order.oco_group
        others = [k for k in self._kept.values() if k is not kept and k.order.oco_group == name]
        return [k for k in others if name and not k.ended.is_set()]

    # -- what the market says ---------------------------------------------------------------

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while any(kept.held for kept in self._kept.values()):
            for kept in [k for k in self._kept.values() if k.held and not k.sending]:
                quote = self.inner.quote(kept.order.symbol)
                if quote is not None and kept.called(quote):
                    kept.sending = True
                    self._spawn(self._send(kept))
            await asyncio.sleep(self.look_s)

    async def _send(self, kept: Kept) -> None:
        """Withdraw the leg that rests, then send: both at once would sell twice, or lack coins."""
        order = kept.order
        try:
            self._tell(order, UpdateKind.TRIGGERED, "held")
            while order.triggered_ts_ns is None:  # until it is in the ledger, and so durable
                await asyncio.sleep(0.001)
            if not await self._alone(kept):
                return
            kept.held = False
            await self.inner.submit(at_once(order))
        except (RetryLater, FixRequest) as error:
            self._end(kept, UpdateKind.REJECTED, f"not_sent: {error}")
        except OutcomeUnknown as error:
            self._doubt(order, str(error))
        except Exception as error:  # noqa: BLE001 - it may have got there: the venue has to tell
            self._doubt(order, f"{type(error).__name__}: {error}")
        finally:
            kept.sending = False

    async def _alone(self, kept: Kept) -> bool:
        """Whether no other leg is left at the venue; ends `kept` if one of them filled."""
        for sibling in self._siblings(kept):
            if sibling.held:
                continue
            await self._withdraw(sibling, "oco")
            if not await came(sibling.ended, self.patience_s):
                self._doubt(sibling.order, "its cancel was not confirmed; the other leg waits")
                return False
            if sibling.filled:
                self._end(kept, UpdateKind.CANCELED, "oco")
                return False
        return not kept.ended.is_set()

    # -- parts ------------------------------------------------------------------------------

    async def _withdraw(self, kept: Kept, why: str) -> None:
        self._why[kept.order.client_order_id] = why
        try:
            await self.inner.cancel(kept.order)
        except Exception as error:  # noqa: BLE001 - whether it is gone has to be looked up
            self._doubt(kept.order, f"{type(error).__name__}: {error}")

    def _expire_at(self, order: ExecutionOrder, at_ns: int) -> None:
        def expire() -> None:
            kept = self._kept.get(order.client_order_id)
            if kept is not None and kept.held and not kept.sending:
                self._end(kept, UpdateKind.EXPIRED, "gtd")
            elif kept is not None:
                self._spawn(self._withdraw(kept, "gtd"))

        left_s = max(0.0, (at_ns - self.clock.now_ns()) / NS_PER_S)
        loop = asyncio.get_running_loop()
        self._expiries[order.client_order_id] = loop.call_later(left_s, expire)

    def _end(self, kept: Kept, kind: UpdateKind, reason: str) -> None:
        self._forget(kept.order.client_order_id)
        kept.held = False
        kept.ended.set()
        self._tell(kept.order, kind, reason)

    def _forget(self, order_id: str) -> None:
        self._kept.pop(order_id, None)
        timer = self._expiries.pop(order_id, None)
        if timer is not None:
            timer.cancel()

    def _tell(self, order: ExecutionOrder, kind: UpdateKind, reason: str) -> None:
        now_ns = self.clock.now_ns()
        if self._listener is not None:
            self._listener(
                VenueUpdate(
                    kind=kind,
                    client_order_id=order.client_order_id,
                    venue_ts_ns=now_ns,
                    local_ts_ns=now_ns,
                    reason=reason,
                )
            )

    def _doubt(self, order: ExecutionOrder, reason: str) -> None:
        _log.warning("order %s: %s", order.client_order_id, reason)
        if self._on_doubt is not None:
            self._on_doubt(order.client_order_id, reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
