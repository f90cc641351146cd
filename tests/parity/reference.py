"""The fill rules of `execkit.models`, written down a second time: slow, plain and independent.

Nothing here is shared with the kernels. Every event scans every order, priorities are `sorted`
calls, a book is ``{price: [size, taken]}``. Section numbers are those of the rules: 2 and 3 are in
`reference_common`, 6 (bars) in `reference_bars`, the rest is here. Where the rules leave a choice,
a comment starting "Read as" says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reference_bars import BarRun, bar_tape
from reference_common import (
    Event,
    Order,
    Outcome,
    Run,
    best_first,
    order_of,
    play,
    state_of,
)
from reference_queue import ahead, pro_rata_share

from execkit.models.fill import FillModel

__all__ = ["BookRun", "Outcome", "PrintRun", "run"]


class ReferenceRun(Run):
    """Stops that watch a running reference price: sections 4 and 5."""

    def reference(self, order: Order) -> int | None:
        raise NotImplementedError

    def arrive(self, order: Order) -> None:
        """A stop watches, or triggers at once; anything else acts."""
        if order.kind in ("market", "limit"):
            self.move(order, "arriving")
            self.act(order)
            return
        self.move(order, "stop")
        reference = self.reference(order)
        if reference is not None:
            self.begin(order, reference)

    def begin(self, order: Order, reference: int) -> None:
        """A stop and the first reference it knows."""
        if order.trailing:
            order.watermark = reference
            if order.stop is None:
                order.stop = order.trigger_from(reference)
        if order.reached(reference):
            self.trigger_and_act(order)

    def trigger_and_act(self, order: Order) -> None:
        self.trigger(order)
        self.act(order)

    def look_at_stops(self) -> None:
        waiting = self.at("stop")
        plain = [o for o in waiting if not o.trailing]
        buys = sorted((o for o in plain if o.buy), key=lambda o: (o.stop, o.since))
        sells = sorted((o for o in plain if not o.buy), key=lambda o: (-(o.stop or 0), o.since))
        trailing = [o for o in waiting if o.trailing]
        for order in (*buys, *sells, *trailing):
            reference = self.reference(order)
            # An earlier stop of this event may have ended this one (OCO).
            if order.place != "stop" or reference is None:
                continue
            if order.trailing and order.watermark is None:
                # The first reference it sees stands for the one it did not find at arrival.
                self.begin(order, reference)
            elif order.reached(reference):
                self.trigger_and_act(order)
            elif order.trailing:
                order.follow(reference)


@dataclass
class BookRun(ReferenceRun):
    """Section 4: depth, or quotes (one level a side, continued as a ladder)."""

    tick: int = 1
    ladder: int = 1  # slices of one displayed size
    unit: float = 1.0  # quantity units of a base unit
    last_print: int | None = None
    bids: dict[int, list[int]] = field(default_factory=dict)
    asks: dict[int, list[int]] = field(default_factory=dict)

    def side(self, buy: bool) -> dict[int, list[int]]:
        """The levels where own orders of this side rest."""
        return self.bids if buy else self.asks

    def best(self, buy: bool) -> int | None:
        levels = self.side(buy)
        return (max(levels) if buy else min(levels)) if levels else None

    def reference(self, order: Order) -> int | None:
        """The last print; the opposite best price as long as no print has been seen."""
        return self.best(not order.buy) if self.last_print is None else self.last_print

    def slices(self, order: Order) -> list[tuple[int, int, list[int]]]:
        """(price, available, level) that the order may take, from the best on."""
        levels = self.side(not order.buy)
        found = []
        for price in sorted(levels, reverse=not order.buy):
            size, taken = levels[price]
            for k in range(self.ladder):
                there = price + (k if order.buy else -k) * self.tick
                if there > 0 and order.within_limit(there):
                    free = size - min(size, max(0, taken - k * size))
                    found.append((there, free, levels[price]))
        return found

    def act(self, order: Order) -> None:
        best = self.best(not order.buy)
        if order.kind == "limit":
            if best is None or not order.within_limit(best):
                self.not_marketable(order)
                return
            if order.post_only:
                self.end(order, "REJECTED", "post_only")
                return
        slices = self.slices(order)
        if self.cannot_fill_or_kill(order, sum(free for _, free, _ in slices)):
            return
        for price, free, level in slices:
            level[1] += self.offer(order, price, free, "taker")
        if not order.live:
            return
        if order.tif == "IOC":
            self.end(order, "EXPIRED", "ioc")
        elif order.kind == "market":
            self.end(order, "EXPIRED", "no_liquidity")
        else:
            self.rest(order)

    def rest(self, order: Order) -> None:
        super().rest(order)
        levels, price = self.side(order.buy), order.limit
        assert price is not None
        if price in levels:
            size, taken = levels[price]
            order.front, order.seen = max(0, size - taken), min(size, taken)
        else:
            order.front, order.seen = (math.inf if self.worse_than_all(order) else 0), 0

    def worse_than_all(self, order: Order) -> bool:
        levels = self.side(order.buy)
        assert order.limit is not None
        if not levels:
            return True
        return order.limit < min(levels) if order.buy else order.limit > max(levels)

    def market(self, event: Event) -> None:
        if event[0] == "print":
            self.on_print(*event[2:])
            return
        if event[0] == "quote":
            bid, bid_size, ask, ask_size = event[2:]
            rows = [("bid", bid, bid_size), ("ask", ask, ask_size)]
            self.show_afresh([row for row in rows if row[1] is not None])
        else:
            self.on_message(*event[2:])
        self.cross()
        if self.last_print is None:
            self.look_at_stops()

    def on_message(self, is_snapshot: bool, rows: Sequence[tuple[str, int, int]]) -> None:
        if is_snapshot:
            self.show_afresh(rows)
            return
        for side, price, size in rows:
            before = self.side(side == "bid").get(price, [0, 0])[0]
            self.set_levels([(side, price, size)])
            for order in self.at("resting", buy=side == "bid"):
                if order.limit == price:
                    self.move_up(order, before, size)

    def move_up(self, order: Order, before: int, size: int) -> None:
        """The level of a resting order was shown again."""
        order.front = ahead(self.model, order.front, order.seen, before, size, self.unit)
        order.seen = 0

    def set_levels(self, rows: Sequence[tuple[str, int, int]]) -> None:
        for side, price, size in rows:
            levels = self.side(side == "bid")
            if size > 0:
                levels[price] = [size, 0]
            else:
                levels.pop(price, None)

    def show_afresh(self, rows: Sequence[tuple[str, int, int]]) -> None:
        """The whole book is shown: what looks as before was not refilled, and nobody is ahead of
        us who is not displayed.

        Read as: "again" compares the book before the message with the book after all its rows.
        """
        before = {True: self.bids, False: self.asks}
        self.bids, self.asks = {}, {}
        self.set_levels(rows)
        for buy, old in before.items():
            for price, level in self.side(buy).items():
                if price in old and old[price][0] == level[0]:
                    level[1] = old[price][1]
        for order in self.at("resting"):
            levels = self.side(order.buy)
            shown = levels.get(order.limit, [0])[0]
            if shown or not self.worse_than_all(order):
                self.move_up(order, before[order.buy].get(order.limit, [0])[0], shown)

    def on_print(self, price: int, quantity: int, aggressor: str) -> None:
        if aggressor == "unknown":
            bid, ask = self.best(True), self.best(False)
            if ask is not None and price >= ask:
                aggressor = "buy"
            elif bid is not None and price <= bid:
                aggressor = "sell"
        if aggressor != "unknown":
            self.fill_resting(price, quantity, buy=aggressor == "sell")
            if self.model.prints_consume:
                self.consume(price, quantity, asks=aggressor == "buy")
        self.last_print = price
        self.look_at_stops()

    def fill_resting(self, price: int, quantity: int, *, buy: bool) -> None:
        """A print hits own resting orders of one side."""
        left, eaten = quantity, 0
        for order in best_first(self.at("resting", buy=buy)):
            limit = order.limit
            assert limit is not None
            if not order.live:  # an earlier fill of this print closed its OCO group
                continue
            if limit > price if buy else limit < price:
                order.front = 0
                offered = math.inf if self.model.through_full else left
                left = max(0, left - self.offer(order, limit, offered, "maker"))
            elif limit == price and self.model.touch:
                if self.model.queue and self.model.queue_model == "pro_rata":
                    size, taken = self.side(buy).get(limit, (0, 0))
                    share = pro_rata_share(left, self.asked(order), max(0, size - taken))
                    left -= self.offer(order, limit, share, "maker")
                    continue
                if self.model.queue:
                    others = int(min(left, max(0, order.front - eaten)))
                    left, eaten = left - others, eaten + others
                left -= self.offer(order, limit, left, "maker")
        for order in self.at("resting", buy=buy):
            if order.limit == price:
                order.front = max(0, order.front - eaten)
                order.seen += quantity

    def consume(self, price: int, quantity: int, *, asks: bool) -> None:
        for there, level in self.side(not asks).items():
            size, taken = level
            if there < price if asks else there > price:
                level[1] = max(taken, size)
            elif there == price:
                level[1] = max(taken, min(size, taken + quantity))

    def cross(self) -> None:
        """Own resting orders that the displayed book has come through (or, touch, up to)."""
        for buy in (True, False):
            for order in best_first(self.at("resting", buy=buy)):
                levels = self.side(not buy)
                hit = [
                    levels[p]
                    for p in sorted(levels, reverse=not buy)
                    if order.within_limit(p) and (self.model.touch or p != order.limit)
                ]
                free = sum(max(0, size - taken) for size, taken in hit)
                filled = self.offer(order, order.limit or 0, free, "maker")
                for level in hit:
                    share = min(filled, max(0, level[0] - level[1]))
                    level[1] += share
                    filled -= share


@dataclass
class PrintRun(ReferenceRun):
    """Section 5: prints alone."""

    last_print: int | None = None
    last_of: dict[bool, int] = field(default_factory=dict)

    def reference(self, order: Order) -> int | None:
        return self.last_print

    def act(self, order: Order) -> None:
        if order.kind == "limit":
            last = self.last_of.get(order.buy)
            if last is None or not order.within_limit(last):
                self.not_marketable(order)
                return
            if order.post_only:
                self.end(order, "REJECTED", "post_only")
                return
        self.move(order, "taking")

    def market(self, event: Event) -> None:
        _, _, price, quantity, aggressor = event
        left = quantity
        sides = [side for side in ("buy", "sell") if aggressor in (side, "unknown")]
        for side in sides:
            for order in self.at("taking", buy=side == "buy"):
                left -= self.take(order, price, left)
        for resting_buys in (True, False):
            if ("sell" if resting_buys else "buy") in sides:
                left = self.fill_resting(price, left, buy=resting_buys)
        for side in sides:
            self.last_of[side == "buy"] = price
        self.last_print = price
        self.look_at_stops()

    def take(self, order: Order, price: int, left: int) -> int:
        if not order.live:
            return 0
        if not order.within_limit(price):
            self.not_marketable(order)
            return 0
        if self.cannot_fill_or_kill(order, left):
            return 0
        filled = self.offer(order, price, left, "taker")
        if order.live and order.tif == "IOC":
            self.end(order, "EXPIRED", "ioc")
        return filled

    def fill_resting(self, price: int, left: int, *, buy: bool) -> int:
        for order in best_first(self.at("resting", buy=buy)):
            limit = order.limit
            assert limit is not None
            if limit > price if buy else limit < price:
                offered = math.inf if self.model.through_full else left
                left = max(0, left - self.offer(order, limit, offered, "maker"))
            elif limit == price and self.model.touch and not self.model.queue:
                left -= self.offer(order, limit, left, "maker")
        return left


def slices_of_a_quote(events: Sequence[Event], tick: int, model: FillModel) -> int:
    """A tick far below the price is nobody's grid. Decided once, by the highest price quoted."""
    prices = [p for e in events if e[0] == "quote" for p in (e[2], e[4]) if p is not None]
    return model.ladder_levels if prices and tick > 1e-7 * max(prices) else 1


def run(
    orders: Sequence[Mapping[str, Any]],
    events: Sequence[Event],
    model: FillModel,
    *,
    tick: int = 1,
    interval: int | None = None,
    start_position: int = 0,
    unit: float = 1.0,
) -> Outcome:
    """What the rules say happens to `orders` on the tape `events` under `model`."""
    own = [order_of(data) for data in sorted(orders, key=lambda d: d["row"])]
    kinds = {event[0] for event in events}
    sim: Run
    if "bar" in kinds:
        assert interval is not None, "bars need their interval"
        sim, tape = BarRun(own, model, start_position), bar_tape(events, interval)
    elif kinds == {"print"}:
        sim, tape = PrintRun(own, model, start_position), list(events)
    else:
        assert kinds <= {"book", "print"} or kinds <= {"quote", "print"}
        sim, tape = BookRun(own, model, start_position), list(events)
        sim.tick, sim.ladder = tick, slices_of_a_quote(events, tick, model)
        sim.unit = unit
    play(sim, tape, own_first="bar" in kinds)
    return Outcome(sim.fills, {o.row: state_of(o) for o in own}, sim.ambiguous)
