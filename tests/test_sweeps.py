"""Sweeps: one market indexed once, many combinations, the same numbers wherever they run."""

from __future__ import annotations

import gc
import weakref

from execkit import sample
from execkit.matching.reference_price import reference_prices
from execkit.matching.tape import build_tape


def test_a_market_is_indexed_once_for_all_runs_and_let_go_with_it() -> None:
    market = sample.make_bars(days=1)
    tape = build_tape(market, "BTCUSDT")

    assert build_tape(market, "BTCUSDT", "bars") is tape
    assert build_tape(market, "ETHUSDT") is not tape
    assert reference_prices(tape) is reference_prices(tape)

    gone = weakref.ref(tape)
    del tape, market
    gc.collect()
    assert gone() is None
