"""Slippage and markouts in SQL, against hand-computed cases and the identities they must keep."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.journal import Event, Journal
from execkit.metrics import markouts, quotes_sql, slippage
from execkit.store import Store

S = 1_000_000_000
T0 = 1_700_000_000 * S
VIEWS = ("slippage", "slippage_by_fill", "markouts", "slippage_summary")
_runs = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("desk"))


def order(side: str = "buy", quantity: float = 10.0, **more: object) -> dict[str, object]:
    base = {"client_order_id": "o", "symbol": "BTCUSDT", "side": side, "order_type": "market"}
    base |= {"quantity": quantity, "ts_ns": T0, "arrival_ts_ns": T0 + S}
    return {**base, **more}


def fill(quantity: float, price: float, side: str = "buy", **more: object) -> dict[str, object]:
    base = {"client_order_id": "o", "symbol": "BTCUSDT", "side": side, "liquidity": "taker"}
    base |= {"quantity": quantity, "price": price, "fee": 0.0, "fee_currency": "USDT"}
    return {**base, "venue_ts_ns": T0 + 2 * S, "local_ts_ns": T0 + 2 * S, **more}


def quote(ts_ns: int, bid: float, ask: float, seq: int = 0, **more: object) -> dict[str, object]:
    return {"symbol": "BTCUSDT", "ts_ns": ts_ns, "seq": seq, "bid": bid, "ask": ask, **more}


Rows = list[dict[str, Any]]


def save(store: Store, orders: Rows, fills: Rows, quotes: Rows | None = None) -> str:
    columns = ["client_order_id", "symbol", "side", "quantity", "price"]
    return store.save_simulation(
        {"run_id": f"run{next(_runs)}", "venue": "binance"},
        pd.DataFrame(orders),
        pd.DataFrame(fills) if fills else pd.DataFrame(columns=columns),
        quotes=None if quotes is None else pd.DataFrame(quotes),
    )


def rows(store: Store, view: str, run: str, order_by: str = "1") -> pd.DataFrame:
    return store.sql(f"SELECT * FROM {view} WHERE run_id = ? ORDER BY {order_by}", [run])


def row(store: Store, orders: Rows, fills: Rows, quotes: Rows | None = None) -> dict[str, Any]:
    frame = rows(store, "slippage", save(store, orders, fills, quotes))
    assert len(frame) == 1
    return {k: None if pd.isna(v) else v for k, v in frame.iloc[0].to_dict().items()}


PRICED = {"decision_price": 100.0, "arrival_price": 100.5}


def test_a_buy_by_hand(store: Store) -> None:
    """Decision 100, arrival 100.5, 4 @ 101 + 4 @ 102 of 10, fee 0.1 each: average 101.5."""
    fills = [fill(4, 101.0, fee=0.1), fill(4, 102.0, fee=0.1, liquidity="maker")]
    got = row(store, [order(**PRICED)], fills)
    assert got["average_price"] == 101.5
    assert (got["filled_quantity"], got["fill_rate"], got["n_fills"]) == (8, 0.8, 2)
    assert got["maker_ratio"] == 0.5
    assert (got["notional"], got["decision_notional"], got["arrival_notional"]) == (812, 800, 804)
    assert got["delay_cost_ccy"] == 4.0
    assert got["arrival_cost_ccy"] == 8.0
    assert got["decision_cost_ccy"] == 12.0
    assert got["fee_cost_ccy"] == pytest.approx(0.2)
    assert got["total_cost_ccy"] == pytest.approx(12.2)
    assert got["delay_cost_bps"] == pytest.approx(50.0)
    assert got["arrival_cost_bps"] == pytest.approx(1e4 * 1.0 / 100.5)
    assert got["decision_cost_bps"] == pytest.approx(150.0)
    assert got["fee_cost_bps"] == pytest.approx(2.5)
    assert got["total_cost_bps"] == pytest.approx(152.5)
    assert (got["fee"], got["fee_currency"], got["currency"]) == (0.2, "USDT", "USDT")
    assert (got["first_fill_ts_ns"], got["last_fill_ts_ns"]) == (T0 + 2 * S, T0 + 2 * S)
    assert got["reason"] is None


def test_a_sell_below_the_decision_price_costs_and_above_it_gains(store: Store) -> None:
    cost = row(store, [order("sell", **PRICED)], [fill(10, 99.0, "sell")])
    assert cost["decision_cost_bps"] == pytest.approx(100.0)
    assert cost["arrival_cost_ccy"] == pytest.approx(15.0)
    gain = row(store, [order("sell", **PRICED)], [fill(10, 101.0, "sell", fee=-0.5)])
    assert gain["decision_cost_ccy"] == pytest.approx(-10.0)
    assert gain["fee_cost_ccy"] == -0.5, "a rebate is a negative cost"


def test_an_order_without_fills_has_no_cost_and_says_so(store: Store) -> None:
    got = row(store, [order(**PRICED)], [])
    assert (got["fill_rate"], got["n_fills"], got["notional"]) == (0.0, 0, 0.0)
    assert got["reason"] == "no_fills"
    assert {k: v for k, v in got.items() if "_cost_" in k and v is not None} == {}
    assert (got["average_price"], got["fee"], got["maker_ratio"]) == (None, None, None)


def test_prices_are_looked_up_at_decision_and_at_arrival(store: Store) -> None:
    quotes = [
        quote(T0, 99.0, 101.0), quote(T0 + 1, 1.0, 3.0), quote(T0 + S, 100.0, 102.0),
        quote(T0 + S + 1, 1.0, 3.0),
    ]  # fmt: skip
    got = row(store, [order()], [fill(10, 102.0)], quotes)
    assert (got["decision_price"], got["arrival_price"]) == (100.0, 101.0)
    assert got["delay_cost_bps"] == pytest.approx(100.0)
    assert got["decision_cost_bps"] == pytest.approx(200.0)


def test_of_tied_quotes_the_last_of_the_feed_counts_however_they_are_stored(store: Store) -> None:
    """T10: DuckDB's own ASOF JOIN would take the first inserted."""
    quotes = [quote(T0, 99.0 + n, 101.0 + n, seq=n) for n in range(6)]
    expected = [105.0, 105.0]
    rng = np.random.default_rng(3)
    for _ in range(4):
        shuffled = [quotes[at] for at in rng.permutation(6)]
        got = row(store, [order()], [fill(10, 106.0)], shuffled)
        assert [got["decision_price"], got["arrival_price"]] == expected


def test_venue_sequence_numbers_of_any_size_order_ties(store: Store) -> None:
    quotes = [quote(T0, 99, 101, seq=2**62), quote(T0, 89, 91, seq=2**62 - 1)]
    assert row(store, [order()], [fill(10, 100.0)], quotes)["decision_price"] == 100.0


CAUSES = [
    ("no_quote", None),
    ("no_quote", [quote(T0 + 1, 99, 101)]),
    ("no_quote", [quote(T0, 99, 101, symbol="ETHUSDT")]),
    ("stale_quote", [quote(T0 - 11 * S, 99, 101)]),
    ("crossed_book", [quote(T0, 101, 99)]),
    ("crossed_book", [quote(T0, 100, 100)]),
    ("one_sided_book", [quote(T0, 99, np.nan)]),
    ("one_sided_book", [quote(T0, 0.0, 101)]),
]


@pytest.mark.parametrize(("cause", "quotes"), CAUSES)
def test_each_missing_price_is_null_with_its_reason_and_never_a_number(
    store: Store, cause: str, quotes: Rows | None
) -> None:
    """T11, T12."""
    got = row(store, [order(arrival_price=100.0)], [fill(10, 101.0)], quotes)
    assert (got["decision_reason"], got["reason"]) == (cause, cause)
    numbers = ("decision_price", "decision_notional", "decision_cost_bps", "decision_cost_ccy")
    numbers += ("delay_cost_bps", "delay_cost_ccy", "total_cost_bps", "total_cost_ccy")
    assert {got[name] for name in numbers} == {None}
    assert got["arrival_cost_bps"] == pytest.approx(100.0), "what is known is still told"


def test_an_order_that_never_arrived_says_so(store: Store) -> None:
    orders = [order(arrival_ts_ns=None, decision_price=100.0)]
    got = row(store, orders, [fill(10, 101.0)], [quote(T0, 99, 101)])
    assert (got["arrival_reason"], got["arrival_cost_bps"]) == ("no_arrival_time", None)
    assert got["decision_cost_bps"] == pytest.approx(100.0)


def test_the_age_that_a_quote_may_have_is_an_option(store: Store) -> None:
    run = save(store, [order()], [fill(10, 101.0)], [quote(T0 - 30 * S, 99, 101)])
    assert rows(store, "slippage", run)["reason"].tolist() == ["stale_quote"]
    longer = rows(store, f"slippage_within({60 * S})", run)
    assert longer["decision_price"].tolist() == [100.0]
    assert rows(store, f"slippage_by_fill_within({60 * S})", run)["reason"].isna().all()


# -- fees (T16) ---------------------------------------------------------------------------------


def test_fees_in_base_quote_and_a_third_currency_are_converted_at_the_fill(store: Store) -> None:
    fills = [
        fill(2, 100.0, fee=0.2, fee_currency="USDT"),
        fill(2, 110.0, fee=0.002, fee_currency="BTC"),
        fill(2, 120.0, fee=0.001, fee_currency="BNB"),
    ]
    pair = quote(T0 + S, 598.0, 602.0, symbol="BNBUSDT")
    run = save(store, [order(quantity=6, **PRICED)], fills, [pair])
    by_fill = rows(store, "slippage_by_fill", run, "price")
    assert by_fill["fee_cost_ccy"].tolist() == pytest.approx([0.2, 0.22, 0.6])
    assert by_fill["fee"].tolist() == [0.2, 0.002, 0.001], "what was paid stays beside it"
    whole = rows(store, "slippage", run).iloc[0]
    assert whole["fee_cost_ccy"] == pytest.approx(1.02)
    assert whole["fee_currency"] == "mixed"
    assert pd.isna(whole["fee"]), "three currencies have no sum"


@pytest.mark.parametrize(
    ("cause", "more", "quotes"),
    [
        ("fee_no_quote", {"fee": 0.001, "fee_currency": "BNB"}, None),
        (
            "fee_stale_quote",
            {"fee": 0.001, "fee_currency": "BNB"},
            [quote(T0 - 60 * S, 598, 602, symbol="BNBUSDT")],
        ),
        ("no_fee_currency", {"fee": 0.001, "fee_currency": ""}, None),
        ("no_fee", {"fee": np.nan}, None),
    ],
)
def test_a_fee_that_cannot_be_converted_makes_fee_and_total_null(
    store: Store, cause: str, more: dict[str, object], quotes: Rows | None
) -> None:
    got = row(store, [order(**PRICED)], [fill(5, 101.0), fill(5, 101.0, **more)], quotes)
    assert (got["reason"], got["fee_reason"]) == (cause, cause)
    assert (got["fee_cost_ccy"], got["fee_cost_bps"], got["total_cost_bps"]) == (None, None, None)
    assert got["decision_cost_bps"] == pytest.approx(100.0)


def test_a_fill_without_an_order_is_there_and_says_so(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        payload = fill(1, 100.0, fill_id="liq", mode="live", fee=0.1)
        journal.append_many([Event("fill", payload, T0, None, "r1")])
        other = Store(tmp_path)
        other.ingest(journal)
    got = other.sql("SELECT reason, fee_cost_ccy, decision_cost_bps FROM slippage_by_fill").iloc[0]
    assert (got["reason"], got["fee_cost_ccy"]) == ("no_order", 0.1)
    assert pd.isna(got["decision_cost_bps"])


# -- inverse and linear contracts (T15) ----------------------------------------------------------

INVERSE = {"contract_kind": "inverse", "contract_size": 100.0, "base_currency": "BTC"}
INVERSE |= {"quote_currency": "USD", "symbol": "BTCUSD_PERP"}


def test_inverse_contracts_average_harmonically_and_cost_in_coin(store: Store) -> None:
    """C9: 2 @ 100 + 3 @ 110 is 105.769231, not 106; bps are those of that average."""
    orders = [order(quantity=5, decision_price=100.0, arrival_price=102.0, **INVERSE)]
    fills = [fill(2, 100.0), fill(3, 110.0)]
    for one in fills:
        one |= {"symbol": "BTCUSD_PERP", "fee": 0.001, "fee_currency": "BTC"}
    got = row(store, orders, fills)
    average = 5 / (2 / 100 + 3 / 110)
    assert got["average_price"] == pytest.approx(105.769230769, abs=1e-9)
    assert got["currency"] == "BTC"
    assert got["notional"] == pytest.approx(200 / 100 + 300 / 110)
    assert got["decision_cost_ccy"] == pytest.approx(500 * (1 / 100 - 1 / average))
    assert got["decision_cost_bps"] == pytest.approx(1e4 * (average - 100) / 100)
    assert got["arrival_cost_bps"] == pytest.approx(1e4 * (average - 102) / 102)
    assert got["delay_cost_ccy"] + got["arrival_cost_ccy"] == pytest.approx(
        got["decision_cost_ccy"]
    )
    assert got["fee_cost_ccy"] == pytest.approx(0.002)
    assert got["reason"] is None


def test_a_quote_currency_fee_of_an_inverse_contract_is_turned_into_coin(store: Store) -> None:
    orders = [order(quantity=5, **PRICED, **INVERSE)]
    one = fill(5, 125.0, symbol="BTCUSD_PERP", fee=5.0, fee_currency="USD")
    assert row(store, orders, [one])["fee_cost_ccy"] == pytest.approx(0.04)


def test_linear_contracts_count_their_size(store: Store) -> None:
    orders = [order(contract_kind="linear", contract_size=0.01, **PRICED)]
    got = row(store, orders, [fill(10, 101.0)])
    assert got["notional"] == pytest.approx(10.1)
    assert got["decision_cost_ccy"] == pytest.approx(0.1)
    assert got["decision_cost_bps"] == pytest.approx(100.0)


# -- orders that wait on purpose -----------------------------------------------------------------

NO_COST = [f"{c}_cost_{u}" for c in ("delay", "arrival", "decision", "total")
           for u in ("ccy", "bps")]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("stop_market", {"stop_price": 95.0}),
        ("stop_limit", {"stop_price": 95.0, "price": 94.0}),
        ("trailing_stop", {"trail_bps": 500.0, "stop_price": 95.0}),
        ("limit", {"oco_group": "pair", "price": 105.0}),
    ],
)
def test_an_exit_has_no_execution_cost_against_the_mid_at_its_placement(
    store: Store, kind: str, more: dict[str, object]
) -> None:
    """It was sent to wait for its level: what the market did on the way is not slippage."""
    run = save(
        store, [order("sell", order_type=kind, **PRICED, **more)], [fill(10, 94.0, "sell", fee=1.0)]
    )
    for view in ("slippage", "slippage_by_fill"):
        got = rows(store, view, run).iloc[0]
        assert got["reason"] == "waits_on_purpose", view
        assert got["waits_on_purpose"], view
        assert got[NO_COST].isna().all(), view
        assert got["fee_cost_ccy"] == 1.0, view
        assert got["fee_cost_bps"] == pytest.approx(10.0), view


def test_a_stop_costs_what_its_fills_lost_against_its_stop_price(store: Store) -> None:
    """Stop at 95, sold 4 @ 94.9 and 6 @ 94.7: lost 0.4 + 1.8 = 2.2 of 950, 23.16 bps."""
    stop = order("sell", order_type="stop_market", stop_price=95.0, oco_group="pair", **PRICED)
    fills = [fill(4, 94.9, "sell", fill_id="a"), fill(6, 94.7, "sell", fill_id="b")]
    run = save(store, [stop], fills)
    got = rows(store, "slippage", run).iloc[0]
    assert (got["trigger_price"], got["trigger_notional"]) == (95.0, 950.0)
    assert got["trigger_cost_ccy"] == pytest.approx(2.2)
    assert got["trigger_cost_bps"] == pytest.approx(1e4 * 2.2 / 950)
    assert pd.isna(got["trigger_reason"])
    by_fill = rows(store, "slippage_by_fill", run, "fill_id")
    assert by_fill["trigger_cost_ccy"].tolist() == pytest.approx([0.4, 1.8])
    assert by_fill["trigger_cost_bps"].tolist() == pytest.approx([1e3 / 95, 3e3 / 95])
    cover = row(store, [order(order_type="stop_market", stop_price=95.0)], [fill(10, 94.0)])
    assert cover["trigger_cost_ccy"] == pytest.approx(-10.0), "bought below the stop: a gain"


def test_the_trigger_cost_of_an_inverse_stop_is_in_coin(store: Store) -> None:
    """5 contracts of 100 USD sold at 80, stop at 100: 500 / 80 - 500 / 100 = 1.25 coins less."""
    stop = order("sell", 5.0, order_type="stop_market", stop_price=100.0, **INVERSE)
    one = fill(5, 80.0, "sell", symbol="BTCUSD_PERP", fee_currency="BTC")
    got = row(store, [stop], [one])
    assert got["trigger_cost_ccy"] == pytest.approx(1.25)
    assert got["trigger_cost_bps"] == pytest.approx(1e4 * (100 - 80) / 100)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "not_a_stop"),
        ({"order_type": "limit", "oco_group": "pair"}, "not_a_stop"),
        (
            {"order_type": "trailing_stop", "trail_bps": 9.0, "stop_price": 95.0},
            "level_not_recorded",
        ),
    ],
)
def test_a_trigger_cost_that_is_not_known_is_null_with_its_reason(
    store: Store, more: dict[str, object], reason: str
) -> None:
    """A trailing stop's stop_price is where it began, not where it was hit."""
    got = row(store, [order(**PRICED, **more)], [fill(10, 94.0)])
    assert (got["trigger_reason"], got["trigger_cost_bps"], got["trigger_cost_ccy"]) == (
        reason, None, None
    )  # fmt: skip


def test_the_summary_keeps_exits_apart_so_that_each_row_adds_up(store: Store) -> None:
    """Entry 10 @ 101 against 100; target 5 @ 110 and stop 5 @ 94 against 95; fees of 1 each."""
    orders = [
        order("sell", client_order_id="entry", **PRICED),
        order("sell", 5.0, client_order_id="t", order_type="limit", oco_group="p", **PRICED),
        order("sell", 5.0, client_order_id="s", order_type="stop_market", oco_group="p",
              stop_price=95.0, **PRICED),
        order("sell", 5.0, client_order_id="never", order_type="stop_market", stop_price=1.0),
    ]  # fmt: skip
    prices = {"entry": (10, 99.0), "t": (5, 110.0), "s": (5, 94.0)}
    fills = [fill(q, p, "sell", client_order_id=name, fee=1.0) for name, (q, p) in prices.items()]
    entries, exits = (
        r
        for _, r in rows(
            store, "slippage_summary", save(store, orders, fills), "n_orders"
        ).iterrows()
    )
    assert (entries["waits_on_purpose"], exits["waits_on_purpose"]) == (False, True)
    assert (entries["n_orders"], exits["n_orders"], exits["n_unfilled"]) == (1, 3, 1)
    assert entries["decision_cost_bps"] == pytest.approx(100.0)
    assert entries["total_cost_bps"] == pytest.approx(110.0)
    assert pd.isna(entries["trigger_cost_bps"])
    assert exits["trigger_cost_bps"] == pytest.approx(1e4 / 95)
    assert exits["fee_cost_bps"] == pytest.approx(1e4 * 2 / 1000)
    assert exits[["delay_cost_bps", "decision_cost_bps", "total_cost_bps"]].isna().all()


# -- identities --------------------------------------------------------------------------------

cents = st.integers(5_000, 15_000).map(lambda n: n / 100)
parts = st.lists(st.tuples(st.integers(1, 50), cents), min_size=1, max_size=5)
case = st.tuples(parts, cents, cents, st.sampled_from(["buy", "sell"]))
COSTS = [f"{c}_cost_{u}" for c in ("delay", "arrival", "decision", "fee", "total")
         for u in ("ccy", "bps")]  # fmt: skip


def one_order(store: Store, pieces: list[tuple[float, float]], decision: float, arrival: float,
              side: str, fee: float = 0.0) -> dict[str, Any]:  # fmt: skip
    orders = [order(side, 1000.0, decision_price=decision, arrival_price=arrival)]
    return row(store, orders, [fill(q, p, side, fee=fee * q * p) for q, p in pieces])


@settings(max_examples=12, deadline=None)
@given(case)
def test_components_add_and_bps_are_cost_over_notional(store: Store, drawn: Any) -> None:
    pieces, decision, arrival, side = drawn
    got = one_order(store, pieces, decision, arrival, side, fee=0.001)
    sign = 1 if side == "buy" else -1
    quantity = sum(q for q, _ in pieces)
    average = sum(q * p for q, p in pieces) / quantity
    near = {"rel": 1e-9, "abs": 1e-9}
    assert got["delay_cost_ccy"] + got["arrival_cost_ccy"] == pytest.approx(
        got["decision_cost_ccy"], **near
    )
    assert got["decision_cost_bps"] + got["fee_cost_bps"] == pytest.approx(
        got["total_cost_bps"], **near
    )
    assert got["decision_cost_bps"] == pytest.approx(
        1e4 * sign * (average - decision) / decision, **near
    )
    assert got["arrival_cost_bps"] == pytest.approx(
        1e4 * sign * (average - arrival) / arrival, **near
    )
    assert got["delay_cost_bps"] == pytest.approx(
        1e4 * sign * (arrival - decision) / decision, **near
    )


@settings(max_examples=8, deadline=None)
@given(case)
def test_reflecting_all_prices_about_the_decision_turns_buys_into_sells(
    store: Store, drawn: Any
) -> None:
    """T6: currency costs are unchanged."""
    pieces, decision, arrival, side = drawn
    far = max([decision, arrival, *(p for _, p in pieces)]) + 1
    there = one_order(store, pieces, far, arrival, side)
    mirrored = [(q, 2 * far - p) for q, p in pieces]
    other = "sell" if side == "buy" else "buy"
    back = one_order(store, mirrored, far, 2 * far - arrival, other)
    for name in ("delay_cost_ccy", "arrival_cost_ccy", "decision_cost_ccy"):
        assert back[name] == pytest.approx(there[name], rel=1e-9, abs=1e-7)


@settings(max_examples=8, deadline=None)
@given(case, st.sampled_from([0.001, 3.0, 1e5]), st.sampled_from([0.01, 7.0]))
def test_scaling_prices_or_quantities_leaves_bps_as_they_are(
    store: Store, drawn: Any, prices: float, quantities: float
) -> None:
    """T7."""
    pieces, decision, arrival, side = drawn
    before = one_order(store, pieces, decision, arrival, side, fee=0.001)
    scaled = [(q * quantities, p * prices) for q, p in pieces]
    after = one_order(store, scaled, decision * prices, arrival * prices, side, fee=0.001)
    for name in (n for n in COSTS if n.endswith("bps")):
        assert after[name] == pytest.approx(before[name], rel=1e-8, abs=1e-7)


@settings(max_examples=8, deadline=None)
@given(case)
def test_splitting_fills_or_permuting_them_changes_nothing(store: Store, drawn: Any) -> None:
    """T8, T10."""
    pieces, decision, arrival, side = drawn
    whole = one_order(store, pieces, decision, arrival, side, fee=0.001)
    halves = [(q / 2, p) for q, p in pieces for _ in range(2)][::-1]
    split = one_order(store, halves, decision, arrival, side, fee=0.001)
    for name in (*COSTS, "average_price", "notional", "fill_rate", "maker_ratio"):
        assert split[name] == pytest.approx(whole[name], rel=1e-9, abs=1e-9)


def test_a_group_is_a_ratio_of_sums_and_not_the_mean_of_bps(store: Store) -> None:
    """T9: 50 bps of a notional of 1e3 and 3 bps of 1e6 are 3.05 bps together, not 26.5."""
    orders = [
        order(client_order_id=str(n), quantity=q, decision_price=100.0, arrival_price=100.0)
        for n, q in enumerate((10.0, 10_000.0, 5.0))
    ]
    fills = [
        fill(10.0, 100.5, client_order_id="0", fee=1.0),
        fill(10_000.0, 100.03, client_order_id="1", fee=500.0),
    ]
    run = save(store, orders, fills)
    got = rows(store, "slippage_summary", run).iloc[0]
    expected = 1e4 * (5 + 300) / (1_000 + 1_000_000)
    assert got["decision_cost_bps"] == pytest.approx(expected)
    assert got["decision_cost_bps"] == pytest.approx(3.05, abs=0.005)
    assert got["total_cost_bps"] == pytest.approx(got["decision_cost_bps"] + got["fee_cost_bps"])
    assert got["delay_cost_bps"] + got["arrival_cost_bps"] == pytest.approx(
        got["decision_cost_bps"]
    )
    assert (got["n_orders"], got["n_unfilled"], got["n_with_reason"], got["n_days"]) == (3, 1, 1, 1)


def test_the_ratio_leaves_out_rows_that_lack_either_side(store: Store) -> None:
    values = "(VALUES (1.0, 100.0), (NULL, 1000.0), (5.0, NULL)) t(cost, notional)"
    assert store.sql(f"SELECT cost_bps(cost, notional) AS x FROM {values}")["x"][0] == 100.0
    assert store.sql(f"SELECT cost_bps(NULL::DOUBLE, notional) AS x FROM {values}")["x"].isna()[0]


# -- markouts ----------------------------------------------------------------------------------


def test_markouts_by_hand_and_open_horizons_are_null(store: Store) -> None:
    """T13: the book ends 6 s after the fill, so 10 s and later are open."""
    at = T0 + 2 * S
    quotes = [
        quote(at, 99.0, 101.0, 1), quote(at + S // 20, 100.0, 102.0, 2),
        quote(at + S, 89.0, 91.0, 3), quote(at + S, 102.0, 104.0, 4), quote(at + 6 * S, 1, 2, 5),
    ]  # fmt: skip
    fills = [fill(1, 101.0, fill_id="b"), fill(2, 99.0, "sell", fill_id="s")]
    run = save(store, [order()], fills, quotes)
    got = rows(store, "markouts", run, "fill_id, horizon_ns")
    assert got["horizon_ns"].tolist() == [*markouts.HORIZONS_NS] * 2
    buy, sell = got[got["fill_id"] == "b"], got[got["fill_id"] == "s"]
    moves = np.array([100.0, 101.0, 103.0, 103.0])
    np.testing.assert_allclose(buy["markout_pnl_bps"][:4], 1e4 * (moves - 101) / 101)
    np.testing.assert_allclose(sell["markout_pnl_bps"][:4], -1e4 * (moves - 99) / 99)
    np.testing.assert_allclose(sell["markout_pnl_ccy"][:4], -2 * (moves - 99))
    for side in (buy, sell):
        assert side["reason"].fillna("").tolist() == [""] * 4 + ["horizon_open"] * 4
        assert side["markout_pnl_bps"][4:].isna().all()
        assert side["mid"][4:].isna().all()


def test_stale_crossed_and_missing_quotes_give_no_markout(store: Store) -> None:
    at = T0 + 2 * S
    quotes = [quote(at - S, 99, 101), quote(at + 5 * S, 101, 99), quote(at + 400 * S, 99, 101)]
    run = save(store, [order()], [fill(1, 100.0)], quotes)
    got = rows(store, "markouts", run, "horizon_ns")
    assert got["reason"].fillna("").tolist() == [
        "", "", "", "crossed_book", "crossed_book", "stale_quote", "stale_quote", "stale_quote"
    ]  # fmt: skip
    assert got["markout_pnl_bps"].notna().tolist() == [True] * 3 + [False] * 5
    nothing = rows(store, "markouts", save(store, [order()], [fill(1, 100.0)]))
    assert set(nothing["reason"]) == {"no_quote"}


def test_quotes_of_another_market_are_not_used(store: Store) -> None:
    save(store, [order()], [], [quote(T0, 99, 101)])
    assert row(store, [order()], [fill(1, 100.0)])["reason"] == "no_quote"


# -- conventions ---------------------------------------------------------------------------------


def test_every_signed_column_says_its_sign_and_unit_in_its_name(store: Store) -> None:
    """T1: costs and gains end in _cost_bps, _cost_ccy, _pnl_bps or _pnl_ccy, and nothing else."""
    for view in VIEWS:
        columns = store.sql(f"SELECT * FROM {view} LIMIT 0").columns
        signed = [c for c in columns if re.search(r"cost|pnl|slip|shortfall|impact|markout", c)]
        assert signed, view
        for column in signed:
            assert re.fullmatch(r"[a-z]+_(cost|pnl)_(bps|ccy)", column), (view, column)


def test_the_sql_of_the_metrics_knows_no_mode() -> None:
    """T19: paper and live rows go through the same views."""
    for module in (slippage, markouts, quotes_sql):
        assert not re.search(r"['\"](paper|demo|live)['\"]", inspect.getsource(module), re.I)


def test_paper_and_live_rows_get_the_same_numbers(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        for run, mode in (("a", "paper"), ("b", "live")):
            fields = {**order(**PRICED), "mode": mode, "quantity": Decimal("10")}
            paid = {**fill(10, 101.0, fee=0.3), "mode": mode, "fill_id": "1"}
            journal.append_many([
                Event("run", {"mode": mode, "venue": "x"}, T0, None, run),
                Event("intent", fields, T0, "o", run),
                Event("fill", paid, T0, "o", run),
            ])  # fmt: skip
        both = Store(tmp_path)
        both.ingest(journal)
    frame = both.sql("SELECT * FROM slippage ORDER BY mode")
    assert frame["mode"].tolist() == ["live", "paper"]
    numbers = frame[COSTS]
    pd.testing.assert_series_equal(numbers.iloc[0], numbers.iloc[1], check_names=False)
    assert numbers.notna().all(axis=None)
