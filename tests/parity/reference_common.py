"""Sections 2 and 3 of the fill rules for the slow `reference`: own events, OCO, reduce-only."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from execkit.models.fill import FillModel

Event = tuple[Any, ...]
Fill = tuple[int, int, int, int, str]
State = tuple[str, str | None, int | None, int | None, int]


class Outcome(NamedTuple):
    """fills: (row, ts, price, quantity, liquidity) as they happened; orders: row -> (status,
    reason, done_ts, triggered_ts, filled); ambiguous: how often a bar could not say."""

    fills: list[Fill]
    orders: dict[int, State]
    ambiguous: int


@dataclass
class Order:
    """One own order. `place` is where it is: away, pending, taking, resting, stop or done."""

    row: int
    arrival: int
    cancel: int | None
    expire: int | None
    buy: bool
    kind: str
    tif: str
    remaining: int
    limit: int | None
    stop: int | None
    trail: float
    post_only: bool
    reduce_only: bool
    oco: Hashable
    place: str = "away"
    since: int = 0
    filled: int = 0
    front: float = math.inf
    seen: int = 0
    watermark: int | None = None
    triggered_ts: int | None = None
    ending: tuple[str, str | None, int] | None = None

    @property
    def live(self) -> bool:
        return self.place not in ("away", "done")

    @property
    def trailing(self) -> bool:
        return self.kind == "trailing_stop"

    def within_limit(self, price: float) -> bool:
        if self.kind == "market" or self.limit is None:
            return True
        return price <= self.limit if self.buy else price >= self.limit

    def reached(self, reference: int) -> bool:
        """Whether the reference is at or beyond this stop's trigger."""
        assert self.stop is not None
        return reference >= self.stop if self.buy else reference <= self.stop

    def trigger_from(self, watermark: int) -> int:
        """The trail's own level, kept if the present trigger is already nearer to the market."""
        if self.buy:
            level = math.ceil(watermark * (1 + self.trail / 1e4))
            return level if self.stop is None else min(level, self.stop)
        level = math.floor(watermark * (1 - self.trail / 1e4))
        return level if self.stop is None else max(level, self.stop)

    def watermark_after(self, *references: int) -> int:
        seen = references if self.watermark is None else (self.watermark, *references)
        return min(seen) if self.buy else max(seen)

    def follow(self, reference: int) -> None:
        """Move the watermark, then the trigger.

        Read as: the trigger is computed afresh at every reference event, also if the watermark
        did not move; so a `stop_price` farther away than the trail holds until the next event.
        """
        self.watermark = self.watermark_after(reference)
        self.stop = self.trigger_from(self.watermark)


def best_first(orders: Iterable[Order]) -> list[Order]:
    """Own resting orders of one side: best price, then the one that came to rest first."""
    return sorted(orders, key=lambda o: (-(o.limit or 0) if o.buy else (o.limit or 0), o.since))


@dataclass
class Run:
    """Sections 2 and 3: own events, OCO, reduce-only, endings. Fidelities are subclasses."""

    orders: list[Order]
    model: FillModel
    position: int
    now: int = 0
    steps: int = 0
    ambiguous: int = 0
    fills: list[Fill] = field(default_factory=list)
    closed: set[Hashable] = field(default_factory=set)

    def market(self, event: Event) -> None:
        raise NotImplementedError

    def arrive(self, order: Order) -> None:
        raise NotImplementedError

    def act(self, order: Order) -> None:
        """What a market order, or a limit order, does at this moment."""
        raise NotImplementedError

    def at(self, place: str, *, buy: bool | None = None) -> list[Order]:
        here = [o for o in self.orders if o.place == place and (buy is None or o.buy == buy)]
        return sorted(here, key=lambda o: o.since)

    def move(self, order: Order, place: str) -> None:
        self.steps += 1
        order.place, order.since = place, self.steps

    def end(self, order: Order, status: str, reason: str | None) -> None:
        order.place, order.ending = "done", (status, reason, self.now)

    def own_event(self, what: str, order: Order) -> None:
        if what == "arrival":
            late = order.tif == "GTD" and order.expire is not None and order.expire <= self.now
            if late:
                self.end(order, "EXPIRED", "gtd")
            elif order.oco is not None and order.oco in self.closed:
                self.end(order, "CANCELED", "oco")
            else:
                self.arrive(order)
        elif order.live:
            cancel = what == "cancel"
            self.end(order, *(("CANCELED", "requested") if cancel else ("EXPIRED", "gtd")))

    def asked(self, order: Order) -> int:
        """What is left of it, clipped for a reduce-only order.

        Read as: the clip limits each fill; the order's own quantity stays what it was, so it
        grows again if another order enlarges the position.
        """
        if not order.reduce_only:
            return order.remaining
        reducible = -self.position if order.buy else self.position
        return min(order.remaining, max(0, reducible))

    def offer(self, order: Order, price: int, available: float, liquidity: str) -> int:
        """At most one fill of at most `available`; how much was filled."""
        if not order.live or available <= 0:
            return 0
        quantity = int(min(available, self.asked(order)))
        if quantity == 0:
            self.end(order, "CANCELED", "reduce_only")
            return 0
        self.fills.append((order.row, self.now, price, quantity, liquidity))
        order.remaining -= quantity
        order.filled += quantity
        self.position += quantity if order.buy else -quantity
        if order.remaining == 0:
            self.end(order, "FILLED", None)
        elif self.asked(order) == 0:
            self.end(order, "CANCELED", "reduce_only")
        if order.oco is not None:
            self.close_group(order)
        return quantity

    def close_group(self, order: Order) -> None:
        self.closed.add(order.oco)
        for other in self.orders:
            if other is not order and other.live and other.oco == order.oco:
                self.before_oco_cancel(other)
                self.end(other, "CANCELED", "oco")

    def before_oco_cancel(self, order: Order) -> None:
        """A hook for the bars, which count the cases they cannot decide."""

    def cannot_fill_or_kill(self, order: Order, available: float) -> bool:
        """End a FOK order that cannot have all it asks for, or finds nothing at all."""
        if order.tif != "FOK" or (available > 0 and available >= self.asked(order)):
            return False
        self.end(order, "EXPIRED", "fok")
        return True

    def not_marketable(self, order: Order) -> None:
        if order.tif in ("IOC", "FOK"):
            self.end(order, "EXPIRED", order.tif.lower())
        else:
            self.rest(order)

    def rest(self, order: Order) -> None:
        self.move(order, "resting")

    def trigger(self, order: Order) -> None:
        order.triggered_ts = self.now
        order.kind = "limit" if order.kind == "stop_limit" else "market"
        # Read as: the triggered order acts by the rules of the fidelity; it does not pass the
        # checks of a first arrival (expiry at this very stamp) again.


def order_of(data: Mapping[str, Any]) -> Order:
    """An own order from the plain dict of the tests."""
    arrival, cancel = data["arrival"], data.get("cancel")
    return Order(
        row=data["row"],
        arrival=arrival,
        cancel=None if cancel is None else max(cancel, arrival),
        expire=data.get("expire"),
        buy=data["side"] == "buy",
        kind=data["order_type"],
        tif=data.get("time_in_force", "GTC"),
        remaining=data["quantity"],
        limit=data.get("price"),
        stop=data.get("stop_price"),
        trail=data.get("trail_bps") or 0.0,
        post_only=bool(data.get("post_only")),
        reduce_only=bool(data.get("reduce_only")),
        oco=data.get("oco_group"),
    )


def own_events(orders: Sequence[Order]) -> list[tuple[int, int, int, str, Order]]:
    """(time, rank, row, what, order), in the order in which they run."""
    out = []
    for o in orders:
        out.append((o.arrival, 0, o.row, "arrival", o))
        if o.cancel is not None:
            out.append((o.cancel, 1, o.row, "cancel", o))
        if o.tif == "GTD" and o.expire is not None:
            out.append((o.expire, 2, o.row, "expiry", o))
    return sorted(out, key=lambda e: e[:3])


def play(sim: Run, tape: Sequence[Event], *, own_first: bool) -> None:
    """Both streams in time. The run ends with the tape; later own events never happen."""
    own = own_events(sim.orders)
    for event in tape:
        while own and (own[0][0] < event[1] or (own_first and own[0][0] == event[1])):
            sim.now, _, _, what, order = own.pop(0)
            sim.own_event(what, order)
        sim.now = event[1]
        sim.market(event)
    while own and tape and own[0][0] <= tape[-1][1]:
        sim.now, _, _, what, order = own.pop(0)
        sim.own_event(what, order)


def state_of(order: Order) -> State:
    if order.ending is not None:
        status, reason, done = order.ending
        return status, reason, done, order.triggered_ts, order.filled
    live = "PARTIALLY_FILLED" if order.filled else "OPEN"
    status = "INTENT" if order.place == "away" else live
    return status, None, None, order.triggered_ts, order.filled
