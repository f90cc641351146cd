"""simulate() gives what the slow reference gives: every fill, every ending, every stamp."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from case import Case
from compare import as_table, outcome_of, simulated
from conftest import Compared
from hypothesis import HealthCheck, assume, given, settings
from streams import (
    KINDS,
    bar_case,
    book_case,
    far_from_zero,
    one_sided,
    print_case,
    quote_case,
    random_case,
    shown_again,
)

from execkit.models.fill import QUEUE

STRATEGIES = {"book": book_case, "quote": quote_case, "print": print_case, "bar": bar_case}
DRAWN = 300  # examples of each kind
BULK = [(12, 40, 150), (40, 150, 30), (200, 400, 3)]  # orders, events, streams


def agree(case: Case, compared: Compared, what: str) -> None:
    ours, theirs = outcome_of(simulated(case)), case.outcome()
    assert ours.fills == theirs.fills
    assert ours.orders == theirs.orders
    assert ours.ambiguous == theirs.ambiguous
    filled = sum(state[4] > 0 for state in ours.orders.values())
    compared(what, ours.orders, ours.fills, filled)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_streams_agree(kind: str, compared: Compared) -> None:
    @settings(
        max_examples=DRAWN,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(STRATEGIES[kind]())
    def check(drawn: Case) -> None:
        case = as_table(drawn)
        assume(case.orders)
        agree(case, compared, f"simulate = reference, drawn {kind}")

    check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_orders, n_events, count", BULK)
def test_seeded_streams_agree(
    kind: str, n_orders: int, n_events: int, count: int, compared: Compared
) -> None:
    for seed in range(count):
        case = as_table(random_case(random.Random(seed), kind, n_orders, n_events))
        if case.orders:
            agree(case, compared, f"simulate = reference, seeded {kind}")


@pytest.mark.parametrize(
    "bend, kind",
    [
        (one_sided, "book"),
        (one_sided, "quote"),
        (shown_again, "book"),
        (shown_again, "quote"),
        (far_from_zero, "quote"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_bent_streams_agree(bend: Callable[[Case], Case], kind: str, compared: Compared) -> None:
    for seed in range(60):
        case = as_table(bend(random_case(random.Random(seed), kind, 30, 80)))
        agree(case, compared, f"simulate = reference, {bend.__name__} {kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_with_one_rule_changed_disagrees(kind: str) -> None:
    """The comparison sees what it is there to see: each switch of the model matters somewhere."""
    switches = {"touch": False, "queue": False, "through_full": True}
    switches |= {"participation": 0.5, "stop_slip": 0.0, "intrabar": "optimistic"}
    switches |= {"prints_consume": False, "ladder_levels": 1}
    of_bars = ("participation", "stop_slip", "intrabar", "queue")
    relevant = {"book": ("touch", "queue", "through_full", "prints_consume"), "bar": of_bars}
    relevant |= {"quote": (*relevant["book"], "ladder_levels"), "print": ("queue", "through_full")}
    cases = [as_table(random_case(random.Random(s), kind, 40, 150)) for s in range(20)]
    cases = [replace(case, model=QUEUE) for case in cases]
    ours = [outcome_of(simulated(case)) for case in cases]
    for name in relevant[kind]:
        changed = replace(QUEUE, **{name: switches[name]})
        theirs = [case.outcome(changed) for case in cases]
        assert any(a.fills != b.fills for a, b in zip(ours, theirs, strict=True)), name
