"""Small adversarial streams of market events and own orders, for comparing fill kernels.

One description of a stream, drawn by two kinds of `Dice`: Hypothesis (`book_case()` and the other
strategies; they shrink to few events, limit orders, flat prices) or a seeded `random.Random`
(`random_case`, for thousands of streams). Few price levels and a coarse clock make ties, touches,
crossed books and equal stamps common.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, get_args

from case import Case
from hypothesis import strategies as st

from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel, QueueModel

T = TypeVar("T")
Spec = dict[str, Any]

START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000
BAR_NS = 60_000_000_000
CENTRE = 100
KINDS = ("book", "quote", "print", "bar")


# Dice ---------------------------------------------------------------------------------------


class Dice(Protocol):
    def number(self, low: int, high: int) -> int: ...

    def choose(self, *options: T) -> T: ...


class SeededDice:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def choose(self, *options: T) -> T:
        return options[int(self.rng.random() * len(options))]


class DrawnDice:
    """Draws through Hypothesis; numbers and choices shrink towards the first."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choose(self, *options: T) -> T:
        return options[self.draw(st.integers(0, len(options) - 1))]


@st.composite
def _drawn(draw: st.DrawFn, make: Callable[..., Spec], *args: Any) -> Spec:
    return make(DrawnDice(draw), *args)


# What is drawn: one event, one order, one setting at a time, each independent of the others ----


def event_spec(dice: Dice, kind: str) -> Spec:
    """One event relative to its predecessor: time step, move of the centre, and what it says."""
    spec: Spec = {"step": dice.choose(1, 0, 2), "move": dice.choose(0, 0, 0, 1, -1)}
    what = kind if kind in ("print", "bar") else dice.choose(kind, kind, "print")
    spec["what"] = what
    if what == "print":
        spec |= {"off": dice.number(-3, 3), "size": dice.number(1, 9)}
        spec["aggressor"] = dice.choose("buy", "sell", "buy", "sell", "unknown")
    elif what == "book":
        spec["snapshot"] = dice.choose(False, False, False, False, True)
        spec["clean"] = dice.choose(True, True, True, False)
        count = dice.number(1, 5 if spec["snapshot"] else 3)
        spec["rows"] = [
            (dice.choose("bid", "ask"), dice.number(0, 4), dice.choose(3, 1, 0, 6, 12))
            for _ in range(count)
        ]
    elif what == "quote":
        for side in ("bid", "ask"):
            spec[side] = dice.choose(1, 0, 2, 1, None, -1)
            spec[side + "_size"] = dice.choose(3, 1, 5, 9, 0)
    else:
        spec |= {"gap": dice.choose(0, 0, 1, -1, 3, -3), "body": dice.number(-3, 3)}
        spec |= {"up": dice.choose(0, 1, 3), "down": dice.choose(0, 1, 3)}
        spec["volume"] = dice.choose(40, 10, 0, 100, 5, 23)
    return spec


def order_spec(dice: Dice, kind: str, span: int) -> Spec:
    """One order with prices relative to the centre and times in steps."""
    order_type = dice.choose(
        "limit", "limit", "limit", "market", "stop_market", "stop_limit", "trailing_stop"
    )
    has_limit = order_type in ("limit", "stop_limit")
    has_stop = order_type in ("stop_market", "stop_limit")
    tif = dice.choose("GTC", "GTC", "GTD", "IOC", "FOK")
    phases = (0, 1, BAR_NS // 2, BAR_NS - 1) if kind == "bar" else (0, 0, 0, 1)
    spec: Spec = {
        "side": dice.choose("buy", "sell"),
        "order_type": order_type,
        "time_in_force": tif,
        "quantity": dice.choose(3, 1, 7, 20),
        "price": dice.number(-4, 4) if has_limit else None,
        "stop_price": dice.number(-4, 4) if has_stop else None,
        "trail_bps": None,
        "post_only": has_limit and tif in ("GTC", "GTD") and dice.choose(False, False, False, True),
        "reduce_only": dice.choose(False, False, False, False, True),
        "oco_group": dice.choose(None, None, None, None, dice.number(1, 6)),
        "arrival": dice.number(0, span * 3 // 2 if kind == "bar" else span),
        "phase": dice.choose(*phases),
        "cancel": dice.choose(None, None, None, None, 0, 3, 20),
        "cancel_phase": dice.choose(*phases),
        "expire": dice.choose(8, 3, 1, 0, 40) if tif == "GTD" else None,
    }
    if order_type == "trailing_stop":
        spec["trail_bps"] = dice.choose(200.0, 100.0, 350.5, 10.0)
        spec["stop_price"] = dice.choose(None, dice.number(-4, 4))
    return spec


def setting_spec(dice: Dice) -> Spec:
    """What is the same for the whole stream: the model, the tick, the position to start from."""
    queued = FillModel(
        name="queued",
        queue_model=dice.choose(*get_args(QueueModel)),
        queue_power=dice.choose(1.0, 2.0, 0.5, 3.0),
    )
    model = dice.choose(QUEUE, OPTIMISTIC, PESSIMISTIC, queued, None)
    if model is None:
        model = FillModel(
            name="drawn",
            touch=dice.choose(True, False),
            queue=dice.choose(True, False),
            queue_model=dice.choose(*get_args(QueueModel)),
            queue_power=dice.choose(1.0, 2.0, 0.5, 3.0),
            through_full=dice.choose(False, True),
            prints_consume=dice.choose(True, False),
            participation=dice.choose(0.1, 0.25, 1.0, None, 0.33),
            stop_slip=dice.choose(0.0, 0.5, 1.0, 0.3),
            half_spread_bps=dice.choose(0.0, 5.0, 150.0),
            intrabar=dice.choose("pessimistic", "optimistic"),
            ladder_levels=dice.choose(50, 1, 3),
        )
    return {
        "model": model,
        "tick": dice.choose(1, 1, 5),
        "start_position": dice.choose(0, 5, -5, 12),
        "shared_seq": dice.choose(True, False),
        "prints": dice.choose(True, False),
        "snapshot_first": dice.choose(True, True, True, False),
    }


# From specs to a case --------------------------------------------------------------------------


def assemble(kind: str, events: Sequence[Spec], orders: Sequence[Spec], setting: Spec) -> Case:
    tick = setting["tick"]
    tape = _bars(events, tick) if kind == "bar" else _ticks(kind, events, setting)
    if not setting["shared_seq"]:
        tape.sort(key=lambda e: (e[1], e[0] != "print"))
    unit = BAR_NS if kind == "bar" else STEP_NS
    built = []
    for row, spec in enumerate(orders):
        arrival = START_NS + spec["arrival"] * unit + spec["phase"]
        order = {k: v for k, v in spec.items() if k not in ("phase", "cancel_phase")}
        order |= {"row": row, "arrival": arrival}
        for name in ("price", "stop_price"):
            if order[name] is not None:
                order[name] = (CENTRE + order[name]) * tick
        if order["cancel"] is not None:
            steps = spec["arrival"] + order["cancel"]
            order["cancel"] = max(arrival, START_NS + steps * unit + spec["cancel_phase"])
        if order["expire"] is not None:
            order["expire"] = arrival + order["expire"] * unit
        built.append(order)
    interval = BAR_NS if kind == "bar" else None
    start = setting["start_position"]
    return Case(built, tape, tick, interval, setting["model"], start, setting["shared_seq"])


def _bars(events: Sequence[Spec], tick: int) -> list[tuple[Any, ...]]:
    tape: list[tuple[Any, ...]] = []
    close, ts = CENTRE, START_NS
    for spec in events:
        opened = close + spec["gap"]
        close = max(CENTRE - 8, min(CENTRE + 8, opened + spec["body"]))
        high, low = max(opened, close) + spec["up"], min(opened, close) - spec["down"]
        prices = [p * tick for p in (opened, high, low, close)]
        tape.append(("bar", ts, *prices, float(spec["volume"])))
        ts += max(1, spec["step"]) * BAR_NS
    return tape


def _ticks(kind: str, events: Sequence[Spec], setting: Spec) -> list[tuple[Any, ...]]:
    """Book, quote or print events. `clean` messages take out what they would cross."""
    tape: list[tuple[Any, ...]] = []
    shown: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
    ts, centre, tick = START_NS, CENTRE, setting["tick"]
    for spec in events:
        ts += spec["step"] * STEP_NS
        centre = max(CENTRE - 6, min(CENTRE + 6, centre + spec["move"]))
        if spec["what"] == "print":
            if kind == "print" or (setting["prints"] and tape):
                price = (centre + spec["off"]) * tick
                tape.append(("print", ts, price, spec["size"], spec["aggressor"]))
        elif spec["what"] == "quote":
            bid = None if spec["bid"] is None else (centre - spec["bid"]) * tick
            ask = None if spec["ask"] is None else (centre + spec["ask"]) * tick
            bid_size = 0 if bid is None else spec["bid_size"]
            ask_size = 0 if ask is None else spec["ask_size"]
            tape.append(("quote", ts, bid, bid_size, ask, ask_size))
        else:
            snapshot = spec["snapshot"] or (not tape and setting["snapshot_first"])
            rows = _message(spec, snapshot, centre, tick, shown)
            tape.append(("book", ts, snapshot, rows))
    return tape


def _message(
    spec: Spec, snapshot: bool, centre: int, tick: int, shown: dict[str, dict[int, int]]
) -> list[tuple[str, int, int]]:
    if snapshot:
        shown["bid"].clear()
        shown["ask"].clear()
    rows: list[tuple[str, int, int]] = []

    def say(side: str, price: int, size: int) -> None:
        rows.append((side, price, size))
        shown[side][price] = size
        if not size:
            del shown[side][price]

    for side, away, size in spec["rows"]:
        other = "ask" if side == "bid" else "bid"
        price = (centre + (-away if side == "bid" else away)) * tick
        if spec["clean"] and size:
            for there in sorted(shown[other]):
                if there <= price if side == "bid" else there >= price:
                    say(other, there, 0)
        say(side, price, size)
    return rows


# Strategies and seeded cases -------------------------------------------------------------------


@st.composite
def _cases(draw: st.DrawFn, kind: str, max_orders: int, max_events: int) -> Case:
    setting = draw(_drawn(setting_spec))
    events = draw(st.lists(_drawn(event_spec, kind), min_size=1, max_size=max_events))
    if kind in ("book", "quote"):
        # The tape needs one row of its fidelity, whatever else was drawn.
        events = [e for e in events if e["what"] == kind][:1] + events
        if events[0]["what"] != kind:
            events = [draw(_drawn(_first_spec, kind)), *events]
    orders = draw(st.lists(_drawn(order_spec, kind, max_events), min_size=1, max_size=max_orders))
    return assemble(kind, events, orders, setting)


def _first_spec(dice: Dice, kind: str) -> Spec:
    """An event of the fidelity itself, not a print."""
    spec = event_spec(dice, kind)
    if spec["what"] == kind:
        return spec
    rows = [("bid", 1, 3), ("ask", 1, 3)]
    quote = {"bid": 1, "ask": 1, "bid_size": 3, "ask_size": 3}
    return {"step": 0, "move": 0, "what": kind, "snapshot": True, "clean": True, "rows": rows} | (
        quote if kind == "quote" else {}
    )


def book_case(max_orders: int = 8, max_events: int = 20) -> st.SearchStrategy[Case]:
    """Depth messages, half of the time with prints."""
    return _cases("book", max_orders, max_events)


def quote_case(max_orders: int = 8, max_events: int = 20) -> st.SearchStrategy[Case]:
    """Best bid and ask rows, half of the time with prints."""
    return _cases("quote", max_orders, max_events)


def print_case(max_orders: int = 8, max_events: int = 20) -> st.SearchStrategy[Case]:
    """Prints alone."""
    return _cases("print", max_orders, max_events)


def bar_case(max_orders: int = 8, max_events: int = 12) -> st.SearchStrategy[Case]:
    """Bars, some without volume, some missing."""
    return _cases("bar", max_orders, max_events)


def random_case(rng: random.Random, kind: str, n_orders: int = 30, n_events: int = 200) -> Case:
    """A stream of `kind` (book, quote, print, bar) from a seeded generator."""
    dice = SeededDice(rng)
    setting = setting_spec(dice)
    first = [_first_spec(dice, kind)] if kind in ("book", "quote") else []
    events = first + [event_spec(dice, kind) for _ in range(n_events - len(first))]
    orders = [order_spec(dice, kind, n_events) for _ in range(n_orders)]
    return assemble(kind, events, orders, setting)


# The same streams, bent towards what is rare in them ---------------------------------------------


def one_sided(case: Case) -> Case:
    """Nobody bids: whoever rests there does not know who is ahead, and has no reference."""
    events: list[tuple[Any, ...]] = []
    for event in case.events:
        if event[0] == "book":
            rows = [row for row in event[3] if row[0] == "ask"] or [("bid", case.tick, 0)]
            event = (*event[:3], rows)
        elif event[0] == "quote":
            event = (*event[:2], None, 0, *event[4:])
        events.append(event)
    return replace(case, events=events)


def shown_again(case: Case) -> Case:
    """A feed of whole books, and of quotes most of which repeat the one before."""
    events: list[tuple[Any, ...]] = []
    shown: dict[tuple[str, int], int] = {}
    quote: tuple[Any, ...] = ()
    for n, event in enumerate(case.events):
        if event[0] == "book":
            if event[2]:
                shown.clear()
            shown.update({(side, price): size for side, price, size in event[3]})
            rows = [(*level, size) for level, size in shown.items() if size]
            event = (*event[:2], True, rows or [("bid", case.tick, 0)])
        elif event[0] == "quote":
            quote = event[2:] if not quote or n % 3 == 0 else quote
            event = (*event[:2], *quote)
        events.append(event)
    return replace(case, events=events)


def far_from_zero(case: Case) -> Case:
    """All prices 10**8 ticks higher, where the tick is finer than any market's."""
    far = 10**8 * case.tick

    def moved(price: int | None) -> int | None:
        return None if price is None else price + far

    events: list[tuple[Any, ...]] = []
    for kind, ts, *rest in case.events:
        if kind == "quote":
            rest = [moved(rest[0]), rest[1], moved(rest[2]), rest[3]]
        else:
            rest[0] = moved(rest[0])
        events.append((kind, ts, *rest))
    orders = [
        o | {"price": moved(o["price"]), "stop_price": moved(o["stop_price"])} for o in case.orders
    ]
    return replace(case, events=events, orders=orders)
