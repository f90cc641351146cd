"""Oracles: is what the engine's journal says what the exchange's books say? Exactly, in Decimal.

    O1  nothing lost    every order of ours at the venue has one intent, every fill is booked
    O2  nothing doubled one venue order an intent, no fill twice, never more than was asked
    O3  equal           money moved by fills and fees, and positions, are the same on both sides
    O4  legal           no order made an illegal move
    O5  no phantom      the orders that we think open are those that are; none is left UNKNOWN

A run under faults is judged by these once everything has healed, and by nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from execkit import recovery
from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.journal import Record
from execkit.lifecycle import OrderLedger
from execkit.rehearsal.words import BookedFill, BookedOrder
from execkit.words import ZERO


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that the two sides tell differently. oracle : "O1" to "O5"."""

    oracle: str
    what: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How much was compared, and what differs."""

    orders: int
    fills: int
    differences: tuple[Difference, ...]

    @property
    def lost(self) -> int:
        return self._of("O1")

    @property
    def doubled(self) -> int:
        return self._of("O2")

    @property
    def mismatched(self) -> int:
        return sum(d.oracle not in ("O1", "O2") for d in self.differences)

    def _of(self, oracle: str) -> int:
        return sum(d.oracle == oracle for d in self.differences)


def judge(
    truth: Mapping[str, Any],
    records: Iterable[Record],
    instruments: Mapping[str, Instrument],
    *,
    own_id: Callable[[str], str] = str,
    overfills: bool = False,
) -> Judgement:
    """Compare `Exchange.snapshot()` with the journal of the engine that worked there.

    instruments : by symbol. own_id : the client id as the engine knows it, of one as the venue
    shows it. overfills : whether the venue was told to fill more than was asked.
    """
    rows, ledger = list(records), OrderLedger()
    found = recovery.replay(rows, ledger)
    orders: list[BookedOrder] = truth["orders"]
    fills: list[BookedFill] = truth["fills"]
    wrong = [
        *_lost(orders, fills, rows, found.fills, own_id),
        *_doubled(orders, fills, rows, found.fills, own_id, overfills=overfills),
        *_unequal(truth, fills, found.fills, instruments),
        *_illegal(rows),
        *_phantoms(truth["open"], found.unknown, own_id, rows),
    ]
    return Judgement(orders=len(orders), fills=len(fills), differences=tuple(wrong))


def _lost(
    orders: list[BookedOrder],
    fills: list[BookedFill],
    rows: list[Record],
    booked: list[Fill],
    own_id: Callable[[str], str],
) -> Iterable[Difference]:
    intents = Counter(row.client_order_id for row in rows if row.kind == "intent")
    for order in orders:
        name = own_id(order.client_order_id)
        if order.origin == "api" and intents[name] != 1:
            yield Difference(oracle="O1", what=f"venue order {name} has {intents[name]} intents")
    ours = Counter((fill.symbol, fill.fill_id) for fill in booked)
    for fill in fills:
        if not ours[fill.symbol, str(fill.fill_id)]:
            text = f"fill {fill.fill_id} of {own_id(fill.client_order_id)} was never booked"
            yield Difference(oracle="O1", what=text)


def _doubled(
    orders: list[BookedOrder],
    fills: list[BookedFill],
    rows: list[Record],
    booked: list[Fill],
    own_id: Callable[[str], str],
    *,
    overfills: bool,
) -> Iterable[Difference]:
    sent = Counter(own_id(o.client_order_id) for o in orders if o.origin == "api")
    for name, count in sent.items():
        if count > 1:
            yield Difference(oracle="O2", what=f"{name} is {count} orders at the venue")
    for (symbol, fill_id), count in Counter((f.symbol, f.fill_id) for f in booked).items():
        if count > 1:
            yield Difference(oracle="O2", what=f"fill {fill_id} of {symbol} was booked {count}x")
    there = {(fill.symbol, str(fill.fill_id)) for fill in fills}
    for mine in booked:
        if (mine.symbol, mine.fill_id) not in there and not mine.fill_id.startswith("opening"):
            yield Difference(oracle="O2", what=f"fill {mine.fill_id} was booked and never happened")
    asked = {
        row.client_order_id: Decimal(row.payload["quantity"])
        for row in rows
        if row.kind == "intent" and row.client_order_id
    }
    filled: dict[str, Decimal] = {}
    for mine in booked:
        filled[mine.client_order_id] = filled.get(mine.client_order_id, ZERO) + mine.quantity
    for name, much in filled.items():
        if name in asked and much > asked[name] and not overfills:
            yield Difference(oracle="O2", what=f"{name} filled {much} of {asked[name]}")


def _unequal(
    truth: Mapping[str, Any],
    fills: list[BookedFill],
    booked: list[Fill],
    instruments: Mapping[str, Instrument],
) -> Iterable[Difference]:
    theirs, ours = _moved(fills), _moved(booked)
    for key in sorted(theirs.keys() | ours.keys()):
        there, here = theirs.get(key, ZERO), ours.get(key, ZERO)
        if there != here:
            text = f"{' '.join(key)} moved by {there} at the venue, by {here} here"
            yield Difference(oracle="O3", what=text)
    for symbol, instrument in instruments.items():
        if instrument.kind == "spot":
            continue
        held = sum((f.side.sign * f.quantity for f in booked if f.symbol == symbol), ZERO)
        there = truth["positions"].get(symbol, ZERO)
        if held != there:
            text = f"position {symbol} is {there} at the venue, {held} here"
            yield Difference(oracle="O3", what=text)


def _moved(fills: Iterable[BookedFill | Fill]) -> dict[tuple[str, str], Decimal]:
    """Quantity, money and fees that fills moved, by what and symbol."""
    total: dict[tuple[str, str], Decimal] = {}
    for fill in fills:
        signed = fill.side.sign * fill.quantity
        parts = (
            ("quantity", signed),
            ("money", -signed * fill.price),
            (f"fee in {fill.fee_currency}", fill.fee),
        )
        for name, change in parts:
            total[name, fill.symbol] = total.get((name, fill.symbol), ZERO) + change
    return {key: much for key, much in total.items() if much}


def _illegal(rows: list[Record]) -> Iterable[Difference]:
    for row in rows:
        if row.kind == "risk" and row.payload.get("code") == "alarm_illegal_transition":
            yield Difference(oracle="O4", what=str(row.payload.get("reason")))


def _phantoms(
    there: list[BookedOrder],
    unfinished: list[ExecutionOrder],
    own_id: Callable[[str], str],
    rows: list[Record],
) -> Iterable[Difference]:
    last = {row.client_order_id: row.kind for row in rows if row.kind != "quote"}
    open_there = {own_id(order.client_order_id) for order in there if order.origin == "api"}
    open_here = {order.client_order_id for order in unfinished} - _held(rows)
    for name in sorted(open_there - open_here):
        yield Difference(oracle="O5", what=f"{name} is open at the venue, and ended here")
    for name in sorted(open_here - open_there):
        text = f"{name} is open here (last heard: {last.get(name, '')}), and not at the venue"
        yield Difference(oracle="O5", what=text)
    for name in sorted(open_here):
        if last.get(name) in ("unknown", "sending"):
            yield Difference(oracle="O5", what=f"{name} is still UNKNOWN")


def _held(rows: list[Record]) -> set[str | None]:
    """Orders that wait on our side and were not sent so far (see `EmulatedVenue`)."""
    taken = {r.client_order_id for r in rows if r.payload.get("reason") == "held"}
    return taken - {r.client_order_id for r in rows if r.kind == "triggered"}
