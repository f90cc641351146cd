"""Feeds merged in one pass are what a stable sort by (time, table, seq) makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from execkit.domain import Instrument
from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.matching import state as st
from execkit.matching.tape import build_tape
from execkit.matching.tape_merge import merge

STAMPS = hs.lists(hs.tuples(hs.integers(0, 5), hs.integers(0, 3)), max_size=12).map(sorted)


@given(STAMPS, STAMPS, hs.booleans())
@settings(deadline=None)  # the first example compiles
def test_two_feeds_in_running_order(
    one: list[tuple[int, int]], two: list[tuple[int, int]], by_seq: bool
) -> None:
    a, b = (np.array(x, dtype=np.int64).reshape(-1, 2) for x in (one, two))
    n = len(a) + len(b)
    ts, kind, at = np.empty(n, np.int64), np.empty(n, np.int8), np.empty(n, np.int64)
    columns = [np.ascontiguousarray(x[:, i]) for x in (a, b) for i in range(2)]
    merge(*columns, by_seq, (7, 9), ts, kind, at)

    both = np.concatenate([a, b])
    table = np.repeat([0, 1], [len(a), len(b)])
    second = np.zeros(n) if by_seq else table
    order = np.lexsort((both[:, 1], second, both[:, 0]))
    np.testing.assert_array_equal(ts, both[order, 0])
    np.testing.assert_array_equal(kind, np.where(table[order] == 0, 7, 9))
    np.testing.assert_array_equal(at, np.r_[np.arange(len(a)), np.arange(len(b))][order])


def depth(**changed: list[float]) -> MarketData:
    columns: dict[str, object] = {
        "ts_ns": [1, 1, 1, 2, 2, 3],
        "seq": [1, 1, 2, 3, 3, 3],
        "side": ["bid", "ask", "bid", "bid", "ask", "ask"],
        "price": [9.0, 10.0, 9.5, 9.5, 10.0, 10.5],
        "quantity": [1.0, 2.0, 0.25, 0.0, 1.5, 3.0],
        "is_snapshot": [1, 1, 0, 0, 0, 0],
    }
    unit = Instrument(symbol="BTCUSDT", tick_size="0.5", lot_size="0.25")
    return MarketData.from_depth({**columns, **changed}, symbol="BTCUSDT", instruments=[unit])


def test_messages_begin_and_end_where_time_or_seq_moves() -> None:
    tape = build_tape(depth(), "BTCUSDT").tape
    assert tape.depth[0].tolist() == [0, 1, 0, 0, 1, 1]
    assert tape.depth[1].tolist() == [90, 100, 95, 95, 100, 105]
    assert tape.depth[2].tolist() == [100, 200, 25, 0, 150, 300]
    assert tape.depth[3].tolist() == [1, 2, 0, 0, 0, 0]
    assert tape.depth[4].tolist() == [0, 1, 1, 0, 1, 1]
    assert tape.kind.tolist() == [st.DEPTH] * 6
    assert build_tape(depth(), "BTCUSDT").levels == 4


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_nothing_can_trade_at_is_named(price: float) -> None:
    with pytest.raises(InvalidData, match="1 rows that nothing can trade at, the first at ts_ns 2"):
        build_tape(depth(price=[9.0, 10.0, 9.5, price, 10.0, 10.5]), "BTCUSDT")
