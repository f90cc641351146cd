"""The exchange behind the rehearsal: its matching is the simulator's, its ledger never drifts."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import execkit as ek
from execkit import sample, toy
from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput
from execkit.rehearsal import Exchange, FeeSchedule, NewOrder, Rejected
from execkit.rehearsal.clock import VenueClock
from execkit.rehearsal.markets import quiet
from execkit.rehearsal.words import BookedOrder, Event, EventKind
from execkit.words import ExecutionStatus, OrderType, Side, TimeInForce

D = Decimal
RICH = {"BTC": D(10_000_000), "ETH": D(10_000_000), "USDT": D(10) ** 12}


def still(**what: Any) -> Exchange:
    """An exchange whose clock and book stand still."""
    return Exchange(quiet(), VenueClock(0), **what)


def limit(side: str, quantity: str, price: str, **more: Any) -> NewOrder:
    fields = {"symbol": "BTCUSDT", "order_type": OrderType.LIMIT} | more
    return NewOrder(side=Side(side), quantity=D(quantity), price=D(price), **fields)


def market_order(side: str, quantity: str, **more: Any) -> NewOrder:
    fields = {"symbol": "BTCUSDT", "order_type": OrderType.MARKET} | more
    return NewOrder(side=Side(side), quantity=D(quantity), **fields)


# ------------------------------------------------------------------------------------- matching


def asked_of(row: Any) -> NewOrder:
    def number(name: str) -> Decimal | None:
        value = row.get(name)
        return None if value is None or pd.isna(value) else D(str(value))

    return NewOrder(
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        quantity=number("quantity"),
        price=number("price"),
        stop_price=number("stop_price"),
        trail_bps=number("trail_bps"),
        time_in_force=TimeInForce(row.get("time_in_force", "GTC")),
        post_only=bool(row.get("post_only", False)),
        client_order_id=row["client_order_id"],
    )


def through_the_exchange(orders: pd.DataFrame, market: ek.MarketData) -> list[tuple[Any, ...]]:
    """Place and cancel each order at its time, by the venue's clock; every fill, in one form."""
    exchange = Exchange(market, VenueClock(0), balances=RICH)
    for symbol in exchange.rules:
        exchange.change_filter(symbol, min_notional=D(0), max_open_orders=10**6)
    steps = []
    for at, row in enumerate(orders.to_dict("records")):
        steps.append((row["ts_ns"], 0, at, row))
        if not pd.isna(row.get("cancel_ts_ns")):
            steps.append((int(row["cancel_ts_ns"]), 1, at, row))
    placed: dict[str, BookedOrder] = {}
    for ts_ns, cancels, _, row in sorted(steps, key=lambda step: step[:3]):
        exchange.clock.advance_to(ts_ns + exchange.offset_ns)
        name = row["client_order_id"]
        try:
            if not cancels:
                placed[name] = exchange.place("main", asked_of(row))
            elif name in placed and placed[name].is_open:
                exchange.cancel("main", placed[name].order_id)
        except Rejected as why:
            if why.word != "post_only":  # booked by simulate, and rejected there
                raise
    end_ns = market.span()[1]
    exchange.clock.advance_to(end_ns + exchange.offset_ns)
    return [
        (
            fill.client_order_id,
            fill.symbol,
            fill.side.value,
            fill.ts_ns - exchange.offset_ns,
            float(fill.price),
            float(fill.quantity),
            "maker" if fill.is_maker else "taker",
        )
        for fill in exchange.fills("main")
    ]


def through_simulate(orders: pd.DataFrame, market: ek.MarketData) -> list[tuple[Any, ...]]:
    fills = ek.simulate(orders, market, fill="queue").fills
    names = ["client_order_id", "symbol", "side", "venue_ts_ns", "price", "quantity", "liquidity"]
    return list(fills[names].astype({"side": str, "liquidity": str}).itertuples(False, None))


@pytest.mark.parametrize("seed", range(3))
def test_orders_fill_here_as_simulate_says_row_for_row(seed: int) -> None:
    market = sample.make_book(2)
    orders = toy.random_orders(market, 150, seed=seed)
    found, wanted = through_the_exchange(orders, market), through_simulate(orders, market)
    assert sorted(found) == sorted(wanted)
    assert len(wanted) > 50


def test_so_do_orders_that_wait_in_the_queue() -> None:
    market = sample.make_book(3)
    orders = toy.passive_orders(market, 150, rest_s=2.0)
    orders["client_order_id"] = [f"p{n}" for n in range(len(orders))]
    found, wanted = through_the_exchange(orders, market), through_simulate(orders, market)
    assert sorted(found) == sorted(wanted)
    assert {row[-1] for row in wanted} == {"maker"}


def test_and_so_it_is_on_a_recording(recorded: Path) -> None:
    folder = recorded / "binance_spot_ethbtc_l2_20201101_h09"
    whole = ek.MarketData.load(folder)
    start = whole.span("ETHBTC")[0]
    market = whole.select("ETHBTC", start, start + 120 * NS_PER_S)
    orders = toy.random_orders(market, 120, seed=5)
    found, wanted = through_the_exchange(orders, market), through_simulate(orders, market)
    assert sorted(found) == sorted(wanted)
    assert len(wanted) > 30


# ------------------------------------------------------------------------------------- ledger


def check_books(exchange: Exchange) -> None:
    """What must hold after every step, whatever happened."""
    for account in exchange.accounts.values():
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for entry in account.entries:
            sums[entry.asset] += entry.change
        assert {a: t for a, t in account.balances.items() if t} == {
            a: t for a, t in sums.items() if t
        }
        held: dict[str, Decimal] = defaultdict(Decimal)
        for order in account.orders.values():
            assert order.is_open == (order.order_id in account.live)
            assert order.locked == 0 or order.is_open
            held[order.locked_asset] += order.locked
        held.pop("", None)
        assert {a: t for a, t in account.locked.items() if t} == {
            a: t for a, t in held.items() if t
        }
        for order in account.orders.values():
            own = account.fills_of.get(order.order_id, [])
            assert sum((f.quantity for f in own), D(0)) == order.filled_quantity
            assert sum((f.quote for f in own), D(0)) == order.filled_quote
            assert (order.status is ExecutionStatus.FILLED) == (
                order.filled_quantity >= order.quantity
            )


def check_spot_flows(exchange: Exchange) -> None:
    """Balances are what was paid in, and the fills with their fees, each in its own currency."""
    account = exchange.account("main")
    wanted: dict[str, Decimal] = defaultdict(Decimal)
    for entry in account.entries:
        if entry.kind in ("deposit", "transfer"):
            wanted[entry.asset] += entry.change
    for fill in account.fills:
        rules = exchange.rules[fill.symbol]
        wanted[rules.base] += fill.side.sign * fill.quantity
        wanted[rules.quote] -= fill.side.sign * fill.quote
        wanted[fill.fee_currency] -= fill.fee
    assert {a: t for a, t in account.balances.items() if t} == {
        a: t for a, t in wanted.items() if t
    }


prices = st.integers(4_990_000, 5_010_000).map(lambda cents: D(cents) / 100)
sizes = st.integers(1, 300_000).map(lambda lots: D(lots) / 100_000)
steps = st.one_of(
    st.tuples(st.just("limit"), st.sampled_from(list(Side)), sizes, prices),
    st.tuples(st.just("market"), st.sampled_from(list(Side)), sizes),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("amend"), st.integers(0, 20), sizes, prices),
    st.tuples(st.just("fill"), st.integers(0, 20), sizes),
    st.tuples(st.just("expire"), st.integers(0, 20)),
    st.tuples(st.just("transfer"), st.sampled_from(["BTC", "USDT", "BNB"]), st.integers(-50, 50)),
    st.tuples(st.just("wait"), st.integers(0, 100)),
)
fees = st.sampled_from(
    [
        FeeSchedule(),
        FeeSchedule(currency="quote", maker_bps=D("-1"), taker_bps=D("7.5")),
        FeeSchedule(currency="base"),
        FeeSchedule(currency="BNB", third_price=D(600)),
    ]
)


def apply(exchange: Exchange, step: tuple[Any, ...]) -> None:
    kind, orders = step[0], exchange.orders("main")
    if kind in ("cancel", "amend", "fill", "expire"):
        if not orders:
            return
        number = orders[step[1] % len(orders)].order_id
    if kind == "limit":
        exchange.place("main", limit(step[1].value, str(step[2]), str(step[3])))
    elif kind == "market":
        exchange.place("main", market_order(step[1].value, str(step[2])))
    elif kind == "cancel":
        exchange.cancel("main", number)
    elif kind == "amend":
        exchange.amend("main", number, quantity=step[2], price=step[3])
    elif kind == "fill":
        exchange.force_fill("main", number, min(step[2], orders[0].quantity))
    elif kind == "expire":
        exchange.expire("main", number)
    elif kind == "transfer":
        exchange.transfer("main", step[1], D(step[2]))
    else:
        exchange.clock.advance(step[1] * NS_PER_S)


@given(st.lists(steps, max_size=25), fees)
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_the_ledger_adds_up(done: list[tuple[Any, ...]], fee: FeeSchedule) -> None:
    start = {"BTC": D(20), "USDT": D(400_000), "BNB": D("0.5")}
    exchange = still(fees=fee, balances=start)
    for step in done:
        before = exchange.snapshot()
        try:
            apply(exchange, step)
        except Rejected:
            after = exchange.snapshot()
            for name in ("balances", "locked", "open", "fills"):
                assert after[name] == before[name], name
        check_books(exchange)
    check_spot_flows(exchange)


def test_a_snapshot_does_not_change_with_the_exchange() -> None:
    exchange = still()
    exchange.place("main", limit("buy", "0.01", "49000"))
    before = exchange.snapshot()
    exchange.cancel_all("main")
    assert [o.status for o in before["orders"]] == [ExecutionStatus.OPEN]
    assert before["locked"] == {"USDT": D(490)}


# ------------------------------------------------------------------------------------- money


@pytest.mark.parametrize(
    "schedule, fee, currency",
    [
        (FeeSchedule(), "0.001", "BTC"),
        (FeeSchedule(currency="quote"), "49", "USDT"),
        (FeeSchedule(currency="quote", maker_bps=D(-2)), "-9.8", "USDT"),
        (FeeSchedule(currency="BNB", third_price=D(500)), "0.098", "BNB"),
        (FeeSchedule(currency="BNB", third_price=D("0.5")), "0.001", "BTC"),  # BNB runs out
    ],
)
def test_fees_are_charged_in_their_own_currency(
    schedule: FeeSchedule, fee: str, currency: str
) -> None:
    exchange = still(fees=schedule, balances={"USDT": D(100_000), "BNB": D(1)})
    order = exchange.place("main", limit("buy", "1", "49000"))
    fill = exchange.force_fill("main", order.order_id)
    assert (fill.fee, fill.fee_currency) == (D(fee), currency)
    check_spot_flows(exchange)


def test_a_quote_fee_is_reserved_with_the_order() -> None:
    exchange = still(fees=FeeSchedule(currency="quote"), balances={"USDT": D(49_000)})
    with pytest.raises(Rejected, match="insufficient_balance"):
        exchange.place("main", limit("buy", "1", "49000"))


def test_a_position_opens_grows_turns_round_and_pays_funding() -> None:
    exchange = still(
        balances={"USDT": D(100_000)}, fees=FeeSchedule(maker_bps=D(0), taker_bps=D(0))
    )
    perp = "BTCUSDT:USDT"

    def traded(side: str, quantity: str, price: str) -> None:
        asked = limit(side, quantity, price, symbol=perp)
        order = exchange.place("main", asked)
        if order.is_open:
            exchange.force_fill("main", order.order_id, price=D(price))

    traded("buy", "1", "49000")
    traded("buy", "1", "49500")
    held = exchange.positions("main")[perp]
    assert (held.quantity, held.average_price) == (D(2), D(49_250))
    exchange.pay_funding(perp, D("0.0001"), D(50_000))
    assert exchange.balances("main") == {"USDT": D(100_000) - 10}
    traded("sell", "3", "50100")
    assert (held.quantity, held.average_price) == (D(-1), D(50_100))
    assert exchange.balances("main") == {"USDT": D(99_990) + 2 * 850}


def test_margin_is_checked_before_an_order_is_booked_and_reduce_only_after() -> None:
    exchange = still(balances={"USDT": D(10_000)})
    perp = "BTCUSDT:USDT"
    with pytest.raises(Rejected, match="insufficient_margin"):
        exchange.place("main", limit("buy", "3", "49000", symbol=perp))
    with pytest.raises(Rejected, match="reduce_only"):
        exchange.place("main", limit("sell", "1", "51000", symbol=perp, reduce_only=True))
    exchange.place("main", market_order("buy", "1", symbol=perp))
    trimmed = exchange.place("main", market_order("sell", "3", symbol=perp, reduce_only=True))
    assert trimmed.filled_quantity == 1  # the exchange cuts it to the position
    assert exchange.positions("main") == {}


def test_a_liquidation_closes_the_position_by_an_order_of_the_exchange() -> None:
    exchange = still(balances={"USDT": D(10_000)})
    heard: list[Event] = []
    exchange.place("main", market_order("buy", "1", symbol="BTCUSDT:USDT"))
    exchange.listen(heard.append)
    fill = exchange.liquidate("main", "BTCUSDT:USDT", price=D(45_000))
    assert (fill.side, fill.quantity, fill.price) == (Side.SELL, D(1), D(45_000))
    assert exchange.positions("main") == {}
    order = exchange.order("main", fill.order_id)
    assert (order.origin, order.client_order_id) == ("liquidation", "")
    kinds = [event.kind for event in heard if event.account == "main"]
    order_event, fill_event = EventKind.ORDER, EventKind.FILL
    assert kinds == [order_event, fill_event, EventKind.BALANCE, EventKind.POSITION]


# ------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    "asked, word",
    [
        (limit("buy", "0.000001", "49000"), "lot_size"),
        (limit("buy", "0.0100001", "49000"), "lot_size"),
        (limit("buy", "0.01", "49000.001"), "tick_size"),
        (limit("buy", "0.0001", "49000"), "min_notional"),
        (limit("buy", "100", "49000"), "insufficient_balance"),
        (limit("buy", "0.01", "50500", post_only=True), "post_only"),
        (limit("buy", "0.01", "49000", symbol="NOSUCH"), "unknown_symbol"),
        (limit("buy", "0.01", "49000", reduce_only=True), "unsupported"),
    ],
)
def test_what_the_exchange_does_not_take_leaves_no_trace(asked: NewOrder, word: str) -> None:
    exchange = still(balances={"USDT": D(10_000)})
    before = exchange.snapshot()
    with pytest.raises(Rejected) as caught:
        exchange.place("main", asked)
    assert caught.value.word == word
    assert exchange.snapshot() == before


def test_rules_can_change_while_orders_rest() -> None:
    exchange = still()
    order = exchange.place("main", limit("buy", "0.01", "49000"))
    exchange.change_filter("BTCUSDT", tick_size=D("0.5"), min_notional=D(1000))
    with pytest.raises(Rejected, match="min_notional"):
        exchange.place("main", limit("buy", "0.01", "49000"))
    exchange.halt("BTCUSDT")
    with pytest.raises(Rejected, match="halted"):
        exchange.place("main", limit("buy", "1", "49000"))
    exchange.cancel("main", order.order_id)  # that one may still do
    exchange.resume("BTCUSDT")
    resting = exchange.place("main", limit("buy", "1", "49000"))
    exchange.set_state("BTCUSDT", "delisted")
    assert (resting.status, resting.reason) == (ExecutionStatus.EXPIRED, "delisted")


def test_fills_that_come_late_or_are_too_large_are_booked() -> None:
    exchange = still()
    order = exchange.place("main", limit("buy", "0.01", "49000"))
    exchange.force_fill("main", order.order_id, D("0.004"))
    exchange.cancel("main", order.order_id)
    exchange.force_fill("main", order.order_id, D("0.002"))
    assert (order.status, order.filled_quantity) == (ExecutionStatus.CANCELED, D("0.006"))
    other = exchange.place("main", limit("buy", "0.01", "49000"))
    exchange.force_fill("main", other.order_id, D("0.011"))
    assert (other.status, other.filled_quantity) == (ExecutionStatus.FILLED, D("0.011"))
    check_books(exchange)


def test_time_moves_one_way_and_timers_run_in_its_order() -> None:
    exchange = still()
    ran: list[int] = []
    for delay in (3, 1, 2):
        exchange.after(delay, lambda delay=delay: ran.append(delay))  # type: ignore[misc]
    exchange.clock.advance(2 * NS_PER_S)
    assert ran == [1, 2]
    with pytest.raises(InvalidInput):
        exchange.clock.advance(-1)


def test_an_order_with_an_end_expires_by_the_venues_clock() -> None:
    exchange = still()
    ends = exchange.now_ns() + 60 * NS_PER_S
    asked = limit("buy", "0.01", "49000", time_in_force=TimeInForce.GTD, expire_ts_ns=ends)
    order = exchange.place("main", asked)
    exchange.clock.advance(59 * NS_PER_S)
    assert order.is_open
    exchange.clock.advance(NS_PER_S)
    assert (order.status, order.reason) == (ExecutionStatus.EXPIRED, "gtd")


# ------------------------------------------------------------------------------------- markets


def test_a_book_that_stands_still_moves_when_told_and_fills_what_it_crosses() -> None:
    exchange = still()
    seen: list[Event] = []
    exchange.listen(seen.append)
    low = exchange.place("main", limit("buy", "0.01", "49000"))
    lower = exchange.place("main", limit("buy", "0.01", "48000"))
    exchange.clock.advance(NS_PER_S)
    exchange.move("BTCUSDT", D(48_500), D(48_501))
    assert (low.status, lower.status) == (ExecutionStatus.FILLED, ExecutionStatus.OPEN)
    assert exchange.fills("main")[0].is_maker
    _, bids, asks = exchange.feeds["BTCUSDT"].book()
    assert (bids[0][0], asks[0][0], len(bids), len(asks)) == (D(48_500), D(48_501), 1, 1)
    depth = [event.depth for event in seen if event.kind is EventKind.DEPTH]
    assert [(d.first_id, d.last_id) for d in depth if d] == [(2, 2)]
    exchange.move("BTCUSDT", D(50_000), D(50_001))  # the other way, at the same time
    taken = exchange.place("main", market_order("buy", "0.01"))
    assert taken.average_price == D(50_001)
    assert lower.is_open


def test_a_generated_market_is_the_same_for_the_same_seed_and_has_a_perpetual() -> None:
    from execkit.rehearsal.markets import lively

    one, two = lively(3, hours=0.02), lively(3, hours=0.02)
    assert one.symbols == ("BTCUSDT", "BTCUSDT:USDT")
    assert one.instruments["BTCUSDT:USDT"].kind == "linear"
    for kind, table in one.tables.items():
        pd.testing.assert_frame_equal(table.frame(), two.tables[kind].frame())
    exchange = Exchange(one, VenueClock(0))
    exchange.clock.advance(30 * NS_PER_S)
    for symbol in one.symbols:
        assert exchange.place("main", market_order("buy", "0.01", symbol=symbol)).filled_quantity
