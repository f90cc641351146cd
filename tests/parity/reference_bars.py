"""Section 6 of the fill rules, bars, for the slow reference. See `reference`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from reference_common import Event, Order, Run, best_first


def bar_tape(bars: Sequence[Event], interval: int) -> list[Event]:
    """Each ("bar", ts, o, h, l, c, volume) as an OPEN and a RANGE."""
    tape: list[Event] = []
    for _, ts, o, h, low, c, volume in bars:
        tape.append(("open", ts, o, volume))
        tape.append(("range", ts + interval - 1, h, low, c))
    return tape


@dataclass
class BarRun(Run):
    """Own orders wait as pending for the next OPEN; RANGE plays the rest of the bar."""

    budget: float = 0
    price: int = 0  # the open, while OPEN is played
    range: tuple[int, int, int] | None = None  # (high, low, close), while RANGE is played
    rested: set[int] = field(default_factory=set)  # rows that rested when this RANGE began
    put_off: list[Order] = field(default_factory=list)  # stops that this RANGE looks at last

    def arrive(self, order: Order) -> None:
        self.move(order, "pending")

    def market(self, event: Event) -> None:
        if event[0] == "open":
            _, _, self.price, volume = event
            share = self.model.participation
            free = 0 if volume == 0 else math.inf
            self.budget = free if share is None else math.floor(volume * share)
            self.on_open()
        else:
            self.range = event[2:]
            self.on_range()
            self.range = None

    def spend(self, order: Order, price: int, liquidity: str) -> None:
        self.budget -= self.offer(order, price, self.budget, liquidity)

    def against_us(self, order: Order, price: int) -> int:
        """A taker's price: the bar's price moved by the half spread, rounded away from us.

        Read as: price * (1 + half_spread_bps / 1e4) for buys, as the trailing trigger is written.
        """
        half = self.model.half_spread_bps / 1e4
        return math.ceil(price * (1 + half)) if order.buy else math.floor(price * (1 - half))

    def through(self, order: Order, extreme: int) -> bool:
        """Whether a resting order fills if the price went to `extreme`."""
        assert order.limit is not None
        if order.limit == extreme:
            return self.model.touch and not self.model.queue
        return order.limit > extreme if order.buy else order.limit < extreme

    # OPEN -----------------------------------------------------------------------------------

    def on_open(self) -> None:
        for buy in (True, False):
            for order in best_first(self.at("resting", buy=buy)):
                if self.through(order, self.price):
                    self.spend(order, order.limit or 0, "maker")
        for order in self.stops():
            if order.reached(self.price):
                self.trigger(order)
                self.move(order, "pending")
            elif order.trailing:
                order.follow(self.price)
        for order in self.at("pending"):
            if order.place == "pending":
                self.act(order)

    def stops(self) -> list[Order]:
        """Plain buys, lowest first, then sells, highest first, the earliest first at one level;
        then trailing ones by arrival."""
        waiting = self.at("stop")
        plain = [o for o in waiting if not o.trailing]
        buys = sorted((o for o in plain if o.buy), key=lambda o: (o.stop, o.since))
        sells = sorted((o for o in plain if not o.buy), key=lambda o: (-(o.stop or 0), o.since))
        return [*buys, *sells, *(o for o in waiting if o.trailing)]

    def act(self, order: Order) -> None:
        """A pending order at the open."""
        if order.kind in ("stop_market", "stop_limit", "trailing_stop"):
            if order.trailing:
                order.watermark = self.price
                order.stop = order.trigger_from(self.price) if order.stop is None else order.stop
            if not order.reached(self.price):
                self.move(order, "stop")
                return
            self.trigger(order)
        self.take_at(order, self.against_us(order, self.price))

    def take_at(self, order: Order, price: int) -> None:
        """A market or limit order meets a taker's price (OPEN, or a stop triggered in RANGE)."""
        if order.kind == "limit":
            if not order.within_limit(price):
                self.not_marketable(order)
                return
            if order.post_only:
                self.end(order, "REJECTED", "post_only")
                return
        if self.cannot_fill_or_kill(order, self.budget):
            return
        self.spend(order, price, "taker")
        if not order.live:
            return
        if order.tif == "IOC":
            self.end(order, "EXPIRED", "ioc")
        elif order.kind == "limit":
            self.rest(order)
        elif order.place != "pending":
            self.move(order, "pending")

    # RANGE ----------------------------------------------------------------------------------

    def on_range(self) -> None:
        # A stop-limit that comes to rest within this RANGE takes no part in its limits.
        resting = self.at("resting")
        self.rested = {order.row for order in resting}
        self.put_off = []
        if self.model.intrabar == "optimistic":
            self.range_limits(resting)
            self.range_stops(self.stops())
        else:
            self.range_stops(self.stops(), before_limits=True)
            self.range_limits(resting)
            self.range_stops(self.put_off)

    def range_limits(self, resting: list[Order]) -> None:
        assert self.range is not None
        high, low, _ = self.range
        for buy, extreme in ((True, low), (False, high)):
            for order in best_first(o for o in resting if o.buy == buy):
                if order.place == "resting" and self.through(order, extreme):
                    self.spend(order, order.limit or 0, "maker")

    def range_stops(self, stops: list[Order], *, before_limits: bool = False) -> None:
        """Before the limits an exit that has nothing to close yet is put off."""
        assert self.range is not None
        high, low, _ = self.range
        for order in stops:
            if order.place != "stop":
                continue
            if before_limits and order.reduce_only and self.asked(order) == 0:
                self.put_off.append(order)
            elif order.trailing:
                self.trail_in_range(order)
            elif order.reached(high if order.buy else low):
                assert order.stop is not None
                self.ambiguous += order in self.put_off
                self.trigger_in_range(order, order.stop, high if order.buy else low)

    def trigger_in_range(self, order: Order, stop: int, towards: int) -> None:
        slip = math.ceil(self.model.stop_slip * abs(towards - stop))
        base = self.against_us(order, stop + slip if order.buy else stop - slip)
        self.trigger(order)
        if order.kind == "limit" and order.post_only and order.within_limit(stop):
            self.end(order, "REJECTED", "post_only")
            return
        self.take_at(order, base)

    def trail_in_range(self, order: Order) -> None:
        assert self.range is not None
        assert order.stop is not None
        high, low, close = self.range
        favourable, adverse = (low, high) if order.buy else (high, low)
        before = order.stop
        easily = order.reached(adverse)
        order.follow(favourable)
        at_close, harshly = order.reached(close), order.reached(adverse)
        # Read as: one that triggers late counts once, also if only this path triggers it.
        if harshly and (order in self.put_off or not (easily or at_close)):
            self.ambiguous += 1
        if self.model.intrabar == "pessimistic":
            if harshly:
                self.trigger_in_range(order, order.stop, adverse)
        elif easily:
            self.trigger_in_range(order, before, adverse)
        elif at_close:
            self.trigger_in_range(order, order.stop, close)

    def before_oco_cancel(self, order: Order) -> None:
        """Read as: reached means that the order would have filled or triggered in this RANGE."""
        if self.range is None:
            return
        high, low, _ = self.range
        if order.place == "resting" and order.row in self.rested:
            self.ambiguous += self.through(order, low if order.buy else high)
        elif order.place == "stop" and not order.trailing:
            self.ambiguous += order.reached(high if order.buy else low)
