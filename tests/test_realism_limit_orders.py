"""Real resting orders run again: the world without the order, the truth, the report."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as hs
import numpy as np
import pandas as pd
import pytest
from helpers.queues import Exchange
from hypothesis import given, settings

import execkit as ek
from execkit.errors import InvalidData, InvalidInput
from execkit.matching import state as st
from execkit.models import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel
from execkit.realism import limit_orders as lo
from execkit.realism import replay as rp
from execkit.realism.departures import departures, judge
from execkit.realism.recorded import Day, Replays, near_touch, read_day, run_again
from execkit.sources import lobster

MODELS = {
    "by_id": None,
    "touch": OPTIMISTIC,
    "penetrate": PESSIMISTIC,
    "risk_averse": QUEUE,
    "power": FillModel(name="power", queue_model="power", queue_power=2.0),
    "log2": FillModel(name="log2", queue_model="log2"),
    "prints_only": FillModel(name="prints_only", queue_model="prints_only"),
    "pro_rata": FillModel(name="pro_rata", queue_model="pro_rata"),
}
HORIZONS_S = (2.0, 600.0)


def opened() -> Exchange:
    """Asks from 101 and bids from 99, a hundred shares each."""
    exchange = Exchange()
    for away in (2, 1):
        exchange.add(-1, 100 + away, 100)
        exchange.add(1, 100 - away, 100)
    return exchange


def day_of(exchange: Exchange) -> Day:
    with TemporaryDirectory() as folder:
        exchange.save(Path(folder))
        (recording,) = lobster.recordings(sorted(Path(folder).iterdir()))
        return read_day(recording)


def again(exchange: Exchange, order: int) -> Replays:
    day = day_of(exchange)
    (message,) = [i for i, m in enumerate(exchange.messages) if m[1:3] == (1, order)]
    return run_again(day, np.array([message]), MODELS, HORIZONS_S)


def first_row(r: Replays, label: str) -> int | None:
    """The message at which a model first filled the order."""
    found = int(r.first[r.labels.index(label), 0])
    return None if found == rp.NEVER else found >> 1


def filled(r: Replays, label: str) -> int:
    return int(r.filled[r.labels.index(label), 0, -1])


# ------------------------------------------------------------------------- hand-made streams


def test_an_orders_own_size_does_not_stand_ahead_of_it() -> None:
    exchange = opened()
    mine = exchange.add(1, 100, 10)
    exchange.add(1, 100, 50)
    exchange.market(-1, 4)
    r = again(exchange, mine)

    assert r.facts[rp.AHEAD, 0] == 0
    for label in ("by_id", "touch", "risk_averse", "log2", "prints_only"):
        assert (first_row(r, label), filled(r, label)) == (6, 4), label
    assert filled(r, "pro_rata") == int(4 * 10 / 60)


def test_its_own_executions_are_prints_for_whoever_is_first() -> None:
    """Behind 30 in truth, of which 20 leave unseen by the risk-averse rule: others came behind."""
    exchange = opened()
    ahead = exchange.add(1, 100, 30)
    mine = exchange.add(1, 100, 10)
    exchange.add(1, 100, 40)
    exchange.cancel(ahead, 20)
    exchange.market(-1, 15)  # 10 of the one ahead, 5 of ours
    exchange.market(-1, 15)  # 5 of ours, 10 of those behind
    r = again(exchange, mine)

    assert r.facts[[rp.FIRST_FILL, rp.ALL_FILLED], 0].tolist() == [2 * 9, 2 * 10]
    assert (first_row(r, "by_id"), filled(r, "by_id")) == (9, 10)
    assert (first_row(r, "touch"), filled(r, "touch")) == (8, 10)
    # 30 ahead less 10 and 5 at the first order, then 5 and 10 of what is left
    assert (first_row(r, "risk_averse"), filled(r, "risk_averse")) == (None, 0)
    assert r.front[r.labels.index("risk_averse"), 0, -1] == 0


def test_those_behind_lose_what_the_order_would_have_taken() -> None:
    """Without us the print of 10 would have emptied most of the 12 behind; 2 are left to see."""
    exchange = opened()
    mine = exchange.add(1, 100, 10)
    behind = exchange.add(1, 100, 12)
    exchange.market(-1, 10)
    exchange.cancel(behind, 11)
    shown = own_levels(exchange, mine)

    assert shown == [12, 2, 1]


def test_an_order_is_out_where_its_owner_took_it_out() -> None:
    exchange = opened()
    exchange.add(1, 100, 30)
    mine = exchange.add(1, 100, 10)
    exchange.cancel(mine)
    exchange.market(-1, 50)
    r = again(exchange, mine)

    assert r.facts[rp.HOW, 0] == rp.CANCELED
    assert [first_row(r, label) for label in MODELS] == [None] * len(MODELS)


def test_an_order_whose_level_leaves_the_visible_book_is_out_there() -> None:
    exchange = opened()
    mine = exchange.add(1, 90, 10)
    for price in range(91, 99):
        exchange.add(1, price, 1)
    exchange.add(1, 100, 1)
    exchange.market(-1, 1000)
    r = again(exchange, mine)

    assert r.facts[rp.HOW, 0] == rp.UNSEEN
    assert r.facts[rp.FIRST_FILL, 0] == rp.NEVER


def test_penetration_needs_a_print_beyond_the_price() -> None:
    exchange = opened()
    mine = exchange.add(1, 100, 10)
    exchange.market(-1, 10)
    exchange.market(-1, 60)  # at 99: through us, were we still there
    r = again(exchange, mine)

    assert (first_row(r, "penetrate"), first_row(r, "touch")) == (6, 5)


def own_levels(exchange: Exchange, order: int) -> list[int]:
    return [int(q) for q in without(exchange, order)[0].query("own")["quantity"]]


def test_hidden_executions_crosses_and_halts_are_about_no_order_in_the_queue() -> None:
    exchange = opened()
    mine = exchange.add(1, 100, 10)
    for kind, price, size in ((5, 100 * 100 + 50, 7), (6, 100 * 100, 500), (7, -1, 0)):
        exchange.messages.append((exchange.now_s, kind, 0, size, price, 1))
        exchange.books.append(exchange.books[-1])
    exchange.market(-1, 4)
    r = again(exchange, mine)

    assert r.facts[[rp.FIRST_FILL, rp.FILLED], 0].tolist() == [2 * 8, 4]
    assert {first_row(r, label) for label in ("by_id", "touch", "risk_averse")} == {8}


# ------------------------------------------------------- against a slow world without the order


def without(exchange: Exchange, order: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Depth and prints as they would have been, one level kept as a list of [id, true, without]."""
    day = day_of(exchange)
    rows = [i for i, m in enumerate(exchange.messages) if m[1:3] == (1, order)]
    me, side, price = rows[0], exchange.messages[rows[0]][5], exchange.messages[rows[0]][4]
    line: list[list[int]] = []
    depth, prints = [], []
    is_print = day.feed[rp.KIND] == st.PRINT
    for column in day.feed[:, ~is_print].T.tolist():
        seq, _, who, at, size = column
        key = (1 if who == st.BUY else -1, at)
        if key != (side, price // 100) or seq <= 2 * me:
            depth.append((seq, "bid" if who == st.BUY else "ask", at, size, seq == 1, False))
    for seq, _, who, at, size in day.feed[:, is_print].T.tolist():
        prints.append((seq, at, size, "buy" if who == st.BUY else "sell"))
    for row, (_, kind, who, size, at, direction) in enumerate(exchange.messages):
        if (direction, at) != (side, price):
            continue
        if kind == 1 and row != me:
            line.append([who, size, size])
        elif kind in (2, 3) and who != order:
            (entry,) = [e for e in line if e[0] == who]
            entry[1] -= size
            entry[2] = min(entry[2], entry[1])
        elif kind == 4:
            for entry in line:
                entry[1] -= size if entry[0] == who else 0
            for entry in line:  # the print takes the first who are there without the order
                got = min(size, entry[2])
                entry[2] -= got
                size -= got
        line = [e for e in line if e[1] > 0 or e[2] > 0]
        if row > me:
            word = "bid" if side == 1 else "ask"
            depth.append((2 * row + 1, word, at // 100, sum(e[2] for e in line), False, True))
    names = ["ts_ns", "side", "price", "quantity", "is_snapshot", "own"]
    frame = pd.DataFrame(depth, columns=names).sort_values("ts_ns", kind="stable")
    return frame, pd.DataFrame(prints, columns=["ts_ns", "price", "quantity", "aggressor"])


def simulated(exchange: Exchange, order: int, end: int, model: FillModel) -> tuple[int | None, int]:
    """First message at which simulate() fills the order in the world without it, and how much."""
    depth, prints = without(exchange, order)
    unit = ek.Instrument(symbol="TEST", base="TEST", quote="USD", tick_size="1", lot_size="1")
    market = ek.MarketData.from_depth(
        depth.drop(columns="own").assign(seq=depth["ts_ns"]), symbol="TEST", instruments=[unit]
    )
    if len(prints):
        market = market.combine(
            ek.MarketData.from_prints(
                prints.assign(seq=prints["ts_ns"]), symbol="TEST", instruments=[unit]
            )
        )
    (me,) = [i for i, m in enumerate(exchange.messages) if m[1:3] == (1, order)]
    _, _, _, size, price, side = exchange.messages[me]
    orders = pd.DataFrame(
        {
            "ts_ns": [2 * me],
            "symbol": ["TEST"],
            "side": ["buy" if side == 1 else "sell"],
            "order_type": ["limit"],
            "price": [price / 100],
            "quantity": [float(size)],
            "cancel_ts_ns": [end],
        }
    )
    fills = ek.simulate(orders, market, fill=model).fills
    if not len(fills):
        return None, 0
    return int(fills["venue_ts_ns"].iloc[0]) >> 1, int(fills["quantity"].sum())


ACTIONS = hs.lists(
    hs.tuples(
        hs.sampled_from("aaaccm"), hs.sampled_from((1, -1)), hs.integers(0, 2), hs.integers(1, 9)
    ),
    min_size=15,
    max_size=40,
)


def played(actions: list[tuple[str, int, int, int]]) -> Exchange:
    """What random actions do on an exchange that starts with some orders."""
    exchange = opened()
    exchange.market(1, 1)  # a recording without executions is refused
    for word, side, which, size in actions:
        others = exchange.prices(-side)
        live = [o[0] for queue in exchange.queues.values() for o in queue]
        if word == "a":
            best = others[0] - side if others else 100
            exchange.add(side, best - side * which, size)
        elif word == "c" and live:
            order = live[(7 * size + which) % len(live)]
            (left,) = [o[1] for q in exchange.queues.values() for o in q if o[0] == order]
            exchange.cancel(order, size if which and size < left else None)
        elif word == "m":
            exchange.market(side, 5 * size)
    exchange.add(-1, 150, 1)  # something happens after the last of them
    return exchange


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
def test_the_queue_by_order_id_repeats_what_happened(actions: list) -> None:
    exchange = played(actions)
    day = day_of(exchange)
    r = run_again(day, day.submissions, {"by_id": None}, HORIZONS_S)
    reduced = {m[2] for m in exchange.messages if m[1] == 2}
    whole = [exchange.messages[i][2] not in reduced for i in day.submissions]

    assert not r.facts[rp.OUT_OF_TURN].any()
    assert r.first[0].tolist() == r.facts[rp.FIRST_FILL].tolist()
    assert r.filled[0, whole, -1].tolist() == r.facts[rp.FILLED, whole].tolist()


@settings(max_examples=15, deadline=None)
@given(ACTIONS, hs.integers(0, 1000))
def test_what_is_scored_is_what_simulate_gives_in_the_world_without_the_order(
    actions: list, pick: int
) -> None:
    exchange = played(actions)
    added = [m[2] for m in exchange.messages if m[1] == 1][4:-1]
    if not added:
        return
    order = added[pick % len(added)]
    r = again(exchange, order)
    end = int(r.facts[rp.END, 0])

    for label, model in MODELS.items():
        if model is not None:
            assert simulated(exchange, order, end, model) == (
                first_row(r, label),
                filled(r, label),
            ), label


# ------------------------------------------------------------------------- who left the queue


def test_a_cancel_is_judged_by_the_sizes_before_it() -> None:
    exchange = opened()
    ahead = exchange.add(1, 100, 30)
    mine = exchange.add(1, 100, 10)
    exchange.cancel(ahead, 10)  # nobody is behind us yet: nothing to guess
    behind = exchange.add(1, 100, 40)
    exchange.cancel(ahead, 5)
    exchange.cancel(behind, 15)
    exchange.market(-1, 3)
    r = again(exchange, mine)
    seen = departures(r)
    everyone = np.array([True])
    model = FillModel(name="power", queue_model="power", queue_power=1.0)
    found = judge(r, {"power": model}, everyone, everyone)

    assert seen.ahead.tolist() == [20, 15]
    assert seen.behind.tolist() == [40, 40]
    assert seen.was_behind.tolist() == [False, True]
    assert (found["scored"], found["behind_share"]) == (2, 0.5)
    chance = found["models"]["power"]["chance"]
    assert chance == pytest.approx((40 / 60 + 40 / 55) / 2)
    assert found["models"]["always_behind"]["log_loss"] is None
    assert found["models"]["always_behind"]["brier"] == 0.5


def watched(exchange: Exchange) -> list[tuple[int, int, int, bool]]:
    """What each order but the first saw, walking through lists: id, ahead, behind, was behind."""
    queues: dict[tuple[int, int], list[list[int]]] = {}
    found = []
    for _, kind, who, size, price, side in exchange.messages:
        queue = queues.setdefault((side, price), [])
        if kind == 1:
            queue.append([who, size])
            continue
        at = [entry[0] for entry in queue].index(who)
        for i, (order, _) in enumerate(queue):
            ahead, behind = (sum(q for _, q in part) for part in (queue[:i], queue[i + 1 :]))
            if kind != 4 and i != at and ahead and behind and order != 1:
                found.append((order, ahead, behind, at > i))
        queue[at][1] -= size
        if not queue[at][1]:
            queue.pop(at)
    return sorted(found)


@settings(max_examples=30, deadline=None)
@given(ACTIONS)
def test_cancels_are_seen_as_by_walking_through_the_queues(actions: list) -> None:
    exchange = played(actions)
    day = day_of(exchange)
    r = run_again(day, day.submissions, {"by_id": None}, (1e5,))
    seen = departures(r)
    ids = np.array([m[2] for m in exchange.messages])[r.message]
    rows = zip(
        ids[seen.order].tolist(),
        seen.ahead.tolist(),
        seen.behind.tolist(),
        seen.was_behind.tolist(),
        strict=True,
    )

    lost = set(ids[r.facts[rp.HOW] == rp.UNSEEN].tolist())
    expected = [row for row in watched(exchange) if row[0] not in lost]
    assert sorted(row for row in rows if row[0] not in lost) == expected


@settings(max_examples=20, deadline=None)
@given(ACTIONS)
def test_better_levels_are_counted_in_the_book_before_the_order(actions: list) -> None:
    exchange = played(actions)
    day = day_of(exchange)
    found = []
    for row in day.submissions:
        _, _, _, _, price, side = exchange.messages[row]
        shown = exchange.books[row - 1][0 if side == -1 else 2 :: 4]
        sizes = exchange.books[row - 1][1 if side == -1 else 3 :: 4]
        found.append(
            sum(q > 0 and side * p > side * price for p, q in zip(shown, sizes, strict=True))
        )

    for levels in (1, 2, 4):
        wanted = [row for row, n in zip(day.submissions, found, strict=True) if n < levels]
        assert near_touch(day, levels).tolist() == wanted


# ------------------------------------------------------------------------- the report


def long_day(folder: Path) -> None:
    """Ten quiet minutes over and over: a queue of three, eaten from the front at the end."""
    exchange = opened()
    for start in range(40):
        exchange.now_s = 36_000.0 + 120.0 * (start + 1)
        ids = [exchange.add(1, 100, 10) for _ in range(3)]
        if start % 2:
            exchange.cancel(ids[0])
        exchange.market(-1, 15)
        for queue in [list(q) for k, q in exchange.queues.items() if k == (1, 100)]:
            for order, _ in queue:
                exchange.cancel(order)
    exchange.save(folder)


def test_the_report_counts_what_was_granted_and_what_was_true(tmp_path: Path) -> None:
    long_day(tmp_path)
    report = lo.run(tmp_path, levels=1)
    (found,) = json.loads(json.dumps(report, allow_nan=False))["recordings"]
    late = 20 * 3  # the second half, every order of it

    assert report["kind"] == "limit_orders"
    assert found["orders"]["scored"] == late
    tables = {k: m["all"]["horizons"]["10s"]["table"] for k, m in found["models"].items()}
    # of each three the first two fill, or the last two where the first was canceled; touch gives
    # the print to all three, the risk-averse rule sees the cancel only where the level gets small
    assert tables["by_id"] == {
        "granted_and_filled": 40, "granted_not_filled": 0,
        "filled_not_granted": 0, "neither": 20, "mcnemar_p": 1.0,
    }  # fmt: skip
    assert tables["touch"]["granted_not_filled"] == 10
    assert tables["touch"]["granted_and_filled"] == 40
    assert found["flattery"]["touch"]["false_share"] == 10 / 50
    assert found["flattery"]["by_id"]["removed_share"] == 1.0
    assert found["models"]["touch"]["all"]["horizons"]["10s"]["wrong_share"] == 10 / 60
    assert set(found["models"]["risk_averse"]) == {"all", "queued"}
    # after a second the second and third of each even start wait, with 10 and 20 ahead
    ahead = {k: m["all"]["horizons"]["1s"]["ahead"] for k, m in found["models"].items()}
    assert ahead["by_id"]["mae"] == 0.0
    assert ahead["risk_averse"]["bias"] >= 0.0


def test_only_the_second_half_is_scored_and_only_the_first_is_fitted(tmp_path: Path) -> None:
    long_day(tmp_path)
    (recording,) = lobster.recordings(sorted(tmp_path.iterdir()))
    day = read_day(recording)
    r = run_again(day, day.submissions, lo.queue_models(), lo.HORIZONS_S)
    early, late = lo.halves(r)
    before = lo.report(r)
    # another truth in the first half of those that were scored changes no score of a bare answer
    r.facts[rp.FIRST_FILL, early] = rp.NEVER
    after = lo.report(r)

    assert not (early & late).any()
    bare = [m["models"]["touch"]["all"]["horizons"]["10s"] for m in (before, after)]
    assert bare[0]["wrong_share"] == bare[1]["wrong_share"]
    assert bare[0]["brier"] < bare[1]["brier"]  # fitted on a half in which nothing was filled


def test_a_path_without_order_ids_or_with_too_few_orders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        lo.run(tmp_path / "absent")
    (tmp_path / "bars.csv").write_text("time,open,high,low,close\n")
    with pytest.raises(InvalidData, match="order ids"):
        lo.run(tmp_path)
    exchange = opened()
    exchange.market(1, 1)
    exchange.save(tmp_path)
    with pytest.raises(InvalidData, match="fewer than 2"):
        lo.run(tmp_path)
    with pytest.raises(InvalidInput, match="at least 1"):
        lo.run(tmp_path, orders=0)
    with pytest.raises(InvalidInput, match="nothing of it"):
        lo.run(tmp_path, symbol="OTHER")


def test_the_recorded_day_is_repeated_by_order_id_and_flattered_by_touch(recorded: Path) -> None:
    (found,) = lo.run(recorded / "lobster_amzn_20120621", orders=600)["recordings"]
    scores = {k: m["all"]["horizons"]["end"] for k, m in found["models"].items()}

    assert found["orders"]["run_again"] == 600
    assert scores["by_id"]["wrong_share"] == 0.0
    assert scores["touch"]["gap"] >= 0.0 >= scores["penetrate"]["gap"]
    assert scores["risk_averse"]["wrong_share"] <= scores["touch"]["wrong_share"]
    assert found["models"]["by_id"]["all"]["quantity_gap"] == pytest.approx(0.0, abs=1e-3)
