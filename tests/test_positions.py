"""Positions are a fold of fills: exact, signed, netting, and the same in any process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execkit.domain import Fill, Instrument
from execkit.errors import InvalidInput
from execkit.positions import PositionTracker
from execkit.words import Side

D = Decimal
LINEAR = Instrument(
    symbol="BTCUSDT", tick_size=D("0.01"), lot_size=D("0.001"), base="BTC", quote="USDT"
)
INVERSE = Instrument(
    symbol="BTCUSD_PERP",
    tick_size=D("0.1"),
    lot_size=D(1),
    base="BTC",
    quote="USD",
    kind="inverse",
    contract_size=D(100),
)


def fills_of(*moves: tuple[str, str, str], fee: str = "0", coin: str = "USDT") -> list[Fill]:
    """Fills of BTCUSDT from (side, quantity, price)."""
    return [
        Fill(
            fill_id=f"f{n}",
            client_order_id="x",
            symbol="BTCUSDT",
            side=Side.of(side),
            quantity=D(quantity),
            price=D(price),
            venue_ts_ns=n,
            local_ts_ns=n,
            fee=D(fee),
            fee_currency=coin,
        )
        for n, (side, quantity, price) in enumerate(moves, 1)
    ]


def folded(fills: list[Fill], instrument: Instrument = LINEAR) -> PositionTracker:
    tracker = PositionTracker([instrument])
    for fill in fills:
        tracker.apply(fill)
    return tracker


def test_two_buys_average_and_a_sale_realises_against_the_average() -> None:
    tracker = folded(fills_of(("buy", "1", "100"), ("buy", "3", "120"), ("sell", "2", "130")))
    held = tracker.get_position("BTC/USDT")
    assert held is not None
    # (1*100 + 3*120) / 4 = 115; two sold at 130: 2 * 15 = 30
    assert (held.quantity, held.average_price, held.realised_pnl) == (2, 115, 30)
    assert held.side == "LONG"


def test_a_flip_is_split_at_zero_and_reopens_at_the_price_of_the_fill() -> None:
    tracker = folded(fills_of(("buy", "1", "100"), ("sell", "3", "110"), fee="3"))
    held = tracker.get_position("BTCUSDT")
    assert held is not None
    # one closed with 10 profit, two opened short at 110
    assert (held.quantity, held.average_price, held.realised_pnl) == (-2, 110, 10)
    (trip,) = tracker.history
    assert (trip.side, trip.quantity, trip.entry_price, trip.exit_price) == ("LONG", 1, 100, 110)
    assert trip.realised_pnl == 10
    # fee of the opening fill, and a third of the flip's fee: 3 + 3/3
    assert trip.fees == {"USDT": 4}
    assert held.opened_ts_ns == 2


def test_a_short_profits_when_the_price_falls() -> None:
    tracker = folded(fills_of(("sell", "2", "100"), ("buy", "1", "90")))
    tracker.update_position_pnl("BTCUSDT", 80)
    held = tracker.get_position("BTCUSDT")
    assert held is not None
    assert (held.realised_pnl, held.unrealised_pnl, held.unrealized_pnl) == (10, 20, 20)


def test_an_inverse_position_averages_harmonically_and_earns_base_currency() -> None:
    fills = [
        Fill(
            fill_id=str(n),
            client_order_id="x",
            symbol="BTCUSD_PERP",
            side=Side.of(side),
            quantity=D(quantity),
            price=D(price),
            venue_ts_ns=n,
            local_ts_ns=n,
        )
        for n, (side, quantity, price) in enumerate(
            [("buy", "1", "10000"), ("buy", "1", "40000"), ("sell", "2", "20000")]
        )
    ]
    tracker = folded(fills[:2], INVERSE)
    held = tracker.get_position("BTCUSD_PERP")
    assert held is not None
    # 2 / (1/10000 + 1/40000) = 16000
    assert held.average_price == 16_000
    tracker.apply(fills[2])
    # 100 USD a contract: 2 * 100 * (1/16000 - 1/20000) = 0.0025 BTC
    assert tracker.history[0].realised_pnl == D("0.0025")


def test_a_fill_that_comes_twice_counts_once() -> None:
    fills = fills_of(("buy", "1", "100"), ("sell", "0.4", "110"))
    once, twice = folded(fills), folded([*fills, *fills, fills[0]])
    assert once.get_position("BTCUSDT") == twice.get_position("BTCUSDT")
    assert twice.conflicts == []


def test_of_two_unlike_fills_with_one_id_the_first_is_kept_and_the_conflict_shown() -> None:
    fills = fills_of(("buy", "1", "100"), ("buy", "2", "100"))
    changed = Fill(**{**vars(fills[1]), "fill_id": "f1"})
    tracker = folded([fills[0], changed])
    assert tracker.quantity("", "BTCUSDT") == 1
    assert tracker.conflicts == [(fills[0], changed)]


def test_one_fill_id_on_two_symbols_is_two_fills() -> None:
    first = fills_of(("buy", "1", "100"))[0]
    tracker = folded([first, Fill(**{**vars(first), "symbol": "ETHUSDT"})])
    assert [p.symbol for p in tracker.open_positions()] == ["BTCUSDT", "ETHUSDT"]


def test_a_fee_in_base_currency_is_taken_out_of_what_is_held() -> None:
    tracker = folded(fills_of(("buy", "1", "100"), fee="0.001", coin="BTC"))
    assert tracker.quantity("", "BTCUSDT") == D("0.999")
    assert sum(tracker.lots("", "BTCUSDT").values()) == D("0.999")
    tracker.update_position_pnl("BTCUSDT", 200)
    value = tracker.valuation("USDT")
    # paid 100, holds 0.999 at 200; the fee was 0.001 BTC when it was worth 100
    assert (value.total, value.fees) == (D("99.8"), D("0.1"))


def test_what_is_left_after_a_fee_in_base_currency_can_be_sold_and_then_nothing_is_held() -> None:
    buy = fills_of(("buy", "1", "100"), fee="0.001", coin="BTC")[0]
    sell = Fill(
        **{
            **vars(buy),
            "fill_id": "out",
            "side": Side.SELL,
            "quantity": D("0.999"),
            "price": D(200),
            "fee": D("0.1998"),
            "fee_currency": "USDT",
        }
    )
    tracker = folded([buy, sell])
    assert tracker.open_positions() == []
    # cash: -100 + 199.8 - 0.1998
    assert tracker.valuation("USDT").total == D("99.6002")
    trip = tracker.history[0]
    assert trip.fees == {"BTC": D("0.001"), "USDT": D("0.1998")}
    assert (trip.entry_price, trip.exit_price) == (100, 200)


@given(
    sides=st.lists(st.tuples(st.booleans(), st.integers(1, 50), st.integers(50, 150)), min_size=1),
    mark=st.integers(50, 150),
)
def test_profit_is_what_the_wallets_of_coin_and_money_say(
    sides: list[tuple[bool, int, int]], mark: int
) -> None:
    rows = [("buy" if buy else "sell", str(q), str(p)) for buy, q, p in sides]
    fills = fills_of(*rows, fee="0.01", coin="BTC")
    coin = sum((f.side.sign * f.quantity - f.fee for f in fills), D(0))
    money = sum((-f.side.sign * f.quantity * f.price for f in fills), D(0))
    tracker = folded(fills)
    assert tracker.quantity("", "BTCUSDT") == coin
    assert sum(tracker.lots("", "BTCUSDT").values()) == abs(coin)
    tracker.update_position_pnl("BTCUSDT", mark)
    assert abs(tracker.valuation("USDT").total - (money + coin * mark)) < D("1e-18")


def test_a_fee_in_a_coin_without_a_price_makes_equity_unknown_until_a_rate_is_given() -> None:
    tracker = folded(fills_of(("buy", "1", "100"), fee="0.01", coin="BNB"))
    assert tracker.valuation("USDT").unpriced == ("BNB",)
    assert tracker.get_portfolio_stats(D(1000))["equity"] is None
    stats = tracker.get_portfolio_stats(D(1000), {"BNB": D(600)})
    assert stats["equity"] == 994.0
    assert stats["fees_by_currency"] == {"BNB": 0.01}


def test_the_portfolio_has_the_guides_figures() -> None:
    tracker = PositionTracker([LINEAR])

    async def enter() -> None:
        await tracker.open_position("BTCUSDT", "LONG", 0.1, 50000.0, 48000.0, 55000.0)
        await tracker.open_position("ETHUSDT", "SHORT", 2, 3000)

    asyncio.run(enter())
    tracker.update_position_pnl("BTCUSDT", current_price=51000.0)
    tracker.update_position_pnl("ETHUSDT", 3100)
    stats = tracker.get_portfolio_stats()
    # 0.1 * 1000 = 100 won; 2 * 100 = 200 lost, but ETHUSDT has no named quote currency
    assert stats["total_positions"] == 2
    assert (stats["winning_positions"], stats["losing_positions"]) == (1, 1)
    assert stats["total_unrealized_pnl"] == 100.0
    held = tracker.get_position("BTCUSDT")
    assert held is not None
    assert (held.stop_loss_price, held.take_profit_price) == (48000, 55000)
    assert [p.symbol for p in tracker.get_winning_positions()] == ["BTCUSDT"]
    assert [p.symbol for p in tracker.get_losing_positions()] == ["ETHUSDT"]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("side", {"side": "UP"}),
        ("quantity", {"quantity": 0}),
        ("entry_price", {"entry_price": float("nan")}),
        ("stop_loss", {"stop_loss": 101}),
        ("take_profit", {"take_profit": 99}),
        ("symbol", {"symbol": "?"}),
    ],
)
def test_opening_a_position_names_the_field_that_is_wrong(
    field: str, changes: dict[str, object]
) -> None:
    good: dict[str, object] = {
        "symbol": "BTCUSDT",
        "side": "LONG",
        "quantity": 1,
        "entry_price": 100,
    }
    tracker = PositionTracker()
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        asyncio.run(tracker.open_position(**{**good, **changes}))  # type: ignore[arg-type]
    assert tracker.open_positions() == []


def test_a_symbol_held_at_two_venues_must_be_asked_for_by_venue() -> None:
    first = fills_of(("buy", "1", "100"))[0]
    tracker = PositionTracker([LINEAR])
    for venue in ("a", "b"):
        tracker.apply(Fill(**{**vars(first), "venue": venue}))
    with pytest.raises(InvalidInput, match="name one of: a, b"):
        tracker.get_position("BTCUSDT")
    assert tracker.get_position("BTCUSDT", "b") is not None
    tracker.update_position_pnl("BTCUSDT", 110, venue="b")
    assert [p.current_price for p in tracker.open_positions()] == [None, 110]


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 5000).map(lambda n: str(D(n) / 1000)),
        st.integers(1, 10_000_000).map(lambda n: str(D(n) / 100)),
    ),
    min_size=1,
    max_size=25,
)


def recomputed(moves: list[tuple[str, str, str]]) -> tuple[Fraction, Fraction, Fraction]:
    """(quantity, average price, realised profit) by the textbook, in exact fractions."""
    held, average, realised = Fraction(0), Fraction(0), Fraction(0)
    for side, quantity_text, price_text in moves:
        left, price = Fraction(quantity_text), Fraction(price_text)
        sign = 1 if side == "buy" else -1
        if held * sign < 0:
            closing = min(left, abs(held))
            realised += closing * (price - average) * (1 if held > 0 else -1)
            held += closing * sign
            left -= closing
        if left:
            average = (abs(held) * average + left * price) / (abs(held) + left)
            held += left * sign
        if not held:
            average = Fraction(0)
    return held, average, realised


@given(MOVES)
@settings(max_examples=300, deadline=None)
def test_the_fold_equals_the_textbook_in_exact_fractions(moves: list[tuple[str, str, str]]) -> None:
    tracker = folded(fills_of(*moves))
    held, average, realised = recomputed(moves)
    position = tracker._folds["", "BTCUSDT"].position
    assert Fraction(position.quantity) == held
    assert abs(Fraction(position.average_price) - average) <= average / 10**24
    assert abs(Fraction(position.realised_pnl) - realised) <= (abs(held) * average + 1) / 10**20


@given(MOVES)
@settings(max_examples=200, deadline=None)
def test_a_position_that_is_flat_has_realised_exactly_the_cash_that_moved(
    moves: list[tuple[str, str, str]],
) -> None:
    held, _, _ = recomputed(moves)
    if held:
        side = "sell" if held > 0 else "buy"
        moves = [*moves, (side, str(D(abs(held).numerator) / abs(held).denominator), "77.77")]
    cash = sum(Fraction(q) * Fraction(p) * (-1 if side == "buy" else 1) for side, q, p in moves)
    tracker = folded(fills_of(*moves))
    assert Fraction(tracker._folds["", "BTCUSDT"].position.realised_pnl) == cash
    assert sum(trip.realised_pnl for trip in tracker.history) == pytest.approx(
        tracker._folds["", "BTCUSDT"].position.realised_pnl
    )


@given(MOVES, st.randoms())
@settings(max_examples=100, deadline=None)
def test_quantity_fees_and_total_profit_do_not_depend_on_the_order_of_fills(
    moves: list[tuple[str, str, str]], random: object
) -> None:
    fills = fills_of(*moves, fee="0.123")
    shuffled = list(fills)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    values = []
    for tracker in (folded(fills), folded(shuffled)):
        tracker.update_position_pnl("BTCUSDT", "100")
        position = tracker._folds["", "BTCUSDT"].position
        total = position.realised_pnl + position.unrealised_pnl
        values.append((position.quantity, position.fees, round(total, 12)))
    assert values[0] == values[1]


@given(MOVES)
@settings(max_examples=100, deadline=None)
def test_the_history_and_the_open_position_share_out_all_fees(
    moves: list[tuple[str, str, str]],
) -> None:
    tracker = folded(fills_of(*moves, fee="0.3"))
    fold = tracker._folds["", "BTCUSDT"]
    parts = [trip.fees.get("USDT", D(0)) for trip in tracker.history]
    total = sum(parts, fold.trip_fees.get("USDT", D(0)))
    assert abs(total - D("0.3") * len(moves)) < D("1e-20")


# ------------------------------------------------------------------ lots


def owned(*moves: tuple[str, str, str, str]) -> list[Fill]:
    """Fills from (order id, side, quantity, parent order id)."""
    fills = fills_of(*((side, quantity, "100") for _, side, quantity, _ in moves))
    return [
        replace(fill, client_order_id=order_id, parent_order_id=parent)
        for fill, (order_id, _, _, parent) in zip(fills, moves, strict=True)
    ]


def lots(*moves: tuple[str, str, str, str]) -> dict[str, Decimal]:
    return folded(owned(*moves)).lots("", "BTCUSDT")


def test_a_fill_that_closes_takes_from_the_oldest_lot() -> None:
    two = (("a", "buy", "1", ""), ("b", "buy", "2", ""))
    assert lots(*two) == {"a": 1, "b": 2}
    assert lots(*two, ("c", "sell", "1.5", "")) == {"b": D("1.5")}


def test_an_exit_takes_from_the_lot_of_its_own_entry_first() -> None:
    two = (("a", "buy", "1", ""), ("b", "buy", "2", ""))
    assert lots(*two, ("c", "sell", "1.5", "b")) == {"a": 1, "b": D("0.5")}
    assert lots(*two, ("c", "sell", "2.5", "b")) == {"a": D("0.5")}


def test_lots_end_with_the_position_and_a_flip_opens_one() -> None:
    assert lots(("a", "buy", "1", ""), ("b", "sell", "3", "")) == {"b": 2}
    assert lots(("a", "buy", "1", ""), ("b", "sell", "1", "")) == {}
    # an order that goes on filling after the position ended opens a new lot
    assert lots(("a", "buy", "1", ""), ("b", "sell", "1", ""), ("a", "buy", "2", "")) == {"a": 2}


@given(MOVES, st.lists(st.sampled_from("abc"), min_size=40, max_size=40))
@settings(max_examples=60, deadline=None)
def test_lots_add_up_to_what_is_held(moves: list[tuple[str, str, str]], names: list[str]) -> None:
    tracker = PositionTracker([LINEAR])
    for n, fill in enumerate(fills_of(*moves)):
        own, parent = names[n % 40], names[(n + 7) % 40]
        tracker.apply(replace(fill, client_order_id=own, parent_order_id=parent))
        open_lots = tracker.lots("", "BTCUSDT")
        assert sum(open_lots.values()) == abs(tracker.quantity("", "BTCUSDT"))
        assert all(quantity > 0 for quantity in open_lots.values())


def test_dust_that_a_fee_in_kind_left_cannot_be_closed_and_is_not_asked_for() -> None:
    spot = replace(LINEAR, min_quantity=D("0.01"), min_notional=D(5))
    tracker = folded(fills_of(("buy", "1", "100"), fee="0.0005", coin="BTC"), spot)
    assert tracker.quantity("", "BTCUSDT") == D("0.9995")
    assert tracker.closable("", "BTCUSDT") == D("0.999")
    assert tracker.closable("", "BTCUSDT", D("0.0495")) == 0  # worth less than 5
    assert tracker.closable("", "BTCUSDT", D("0.0505")) == D("0.050")
    cheap = folded(fills_of(("buy", "1", "100000"), fee="0.995", coin="BTC"), spot)
    assert cheap.closable("", "BTCUSDT") == 0  # worth 500, but below the least quantity
