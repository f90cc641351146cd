"""The nouns: exact at the edge, on the grid towards less risk, and clear about what is wrong."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit.domain import ExecutionOrder, Fill, Instrument, Position, TradingSignal
from execkit.errors import IllegalTransition, InvalidInput
from execkit.words import (
    DONE,
    IN_FLIGHT,
    LIVE,
    TRANSITIONS,
    WORKING,
    ExecutionMode,
    ExecutionStatus,
    OrderType,
    Side,
    TimeInForce,
    check_transition,
    new_client_order_id,
    normalise_symbol,
    positive,
    to_decimal,
)

D = Decimal
NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - this is what is refused
S = ExecutionStatus
SPOT = Instrument(
    symbol="BTCUSDT",
    tick_size=D("0.5"),
    lot_size=D("0.01"),
    base="BTC",
    quote="USDT",
    min_notional=D(10),
    min_quantity=D("0.02"),
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


def order(**more: Any) -> ExecutionOrder:
    words = {"symbol": "BTCUSDT", "side": "buy", "order_type": "market", "quantity": 1}
    return ExecutionOrder(**{**words, **more})


# ------------------------------------------------------------------ words


@pytest.mark.parametrize("text", ["BTCUSDT", "BTC/USDT", "btc-usdt", " Btc/Usdt "])
def test_one_symbol_has_one_name(text: str) -> None:
    assert normalise_symbol(text) == "BTCUSDT"


def test_a_settlement_coin_makes_another_instrument() -> None:
    assert normalise_symbol("BTC/USDT:USDT") == "BTCUSDT:USDT"


@pytest.mark.parametrize("text", ["", "BTC USDT", "BTC/USDT:", "<b>", None, "BTC:us dt"])
def test_what_is_not_a_symbol_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="use a form such as BTCUSDT"):
        normalise_symbol(text)


@pytest.mark.parametrize("value", ["BUY", "buy", "Buy", Side.BUY])
def test_words_are_accepted_in_any_case(value: object) -> None:
    assert Side.of(value) is Side.BUY


def test_an_unknown_word_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="side = 'long': use one of: buy, sell"):
        Side.of("long", "side")
    assert TimeInForce.of("ioc") is TimeInForce.IOC
    assert ExecutionMode.of("LIVE") is ExecutionMode.LIVE


def test_a_side_knows_its_sign_and_its_opposite() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY


def test_a_float_is_read_as_the_number_it_prints() -> None:
    assert to_decimal(0.1, "x") == D("0.1")
    assert to_decimal("1e-8", "x") == D("0.00000001")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN", "ten", "", None, True, []])
def test_what_is_not_a_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^x = "):
        to_decimal(value, "x")


@pytest.mark.parametrize("value", [0, -1, "0.0", "-0"])
def test_what_must_be_positive_is_not_zero_or_negative(value: object) -> None:
    with pytest.raises(InvalidInput, match="must be greater than 0"):
        positive(value, "x")


def test_ids_are_distinct_and_fit_every_large_venue() -> None:
    ids = {new_client_order_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(i) == 26 and i.isalnum() and i.islower() and i[0].isalpha() for i in ids)


# ------------------------------------------------------------------ states


def test_the_sets_of_states_fit_together() -> None:
    assert set(S) - DONE - LIVE == {S.INTENT}
    assert not DONE & LIVE
    assert IN_FLIGHT <= LIVE
    assert WORKING <= LIVE
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("old", list(S))
def test_a_done_order_moves_only_because_of_a_fill_or_a_repeat(old: ExecutionStatus) -> None:
    if old is S.REJECTED:  # the ledger lets it go only where it was proven absent, see there
        assert TRANSITIONS[old] == {S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}
    elif old in DONE:
        assert TRANSITIONS[old] <= {old, S.FILLED}
    if old in (S.INTENT, S.REFUSED):
        assert S.OPEN not in TRANSITIONS[old]


def test_an_illegal_move_names_the_order_and_the_legal_ones() -> None:
    with pytest.raises(IllegalTransition, match=r"order a1: filled -> open .*only \[\]"):
        check_transition(S.FILLED, S.OPEN, "a1")
    check_transition(S.CANCELED, S.FILLED)


# ------------------------------------------------------------------ instruments


@pytest.mark.parametrize(
    ("side", "trigger", "price", "rounded"),
    [
        (Side.BUY, False, "100.4", "100"),  # never pay more
        (Side.SELL, False, "100.1", "100.5"),  # never get less
        (Side.BUY, True, "100.4", "100"),  # a buy stop never fires later
        (Side.SELL, True, "100.1", "100.5"),  # nor a sell stop
        (Side.BUY, False, "100.5", "100.5"),
        (Side.SELL, False, 100.5, "100.5"),
    ],
)
def test_prices_round_to_the_tick_that_is_not_riskier(
    side: Side, trigger: bool, price: Any, rounded: str
) -> None:
    assert SPOT.quantize_price(price, side, trigger=trigger) == D(rounded)


def test_quantities_round_down_and_never_to_nothing() -> None:
    assert SPOT.quantize_quantity(0.0299) == D("0.02")
    with pytest.raises(InvalidInput, match="below one lot of BTCUSDT"):
        SPOT.quantize_quantity("0.0099")
    with pytest.raises(InvalidInput, match="below one tick of BTCUSDT"):
        SPOT.quantize_price("0.4", Side.BUY)


@given(st.decimals("0.01", "1e6", places=6), st.sampled_from(list(Side)))
def test_a_rounded_price_is_on_the_grid_within_a_tick_and_never_worse(
    price: Decimal, side: Side
) -> None:
    if price < SPOT.tick_size and side is Side.BUY:
        return
    rounded = SPOT.quantize_price(price, side)
    assert rounded % SPOT.tick_size == 0
    assert 0 <= (price - rounded) * side.sign < SPOT.tick_size


@given(st.decimals("0.01", "1e6", places=6))
def test_a_rounded_quantity_is_on_the_grid_and_never_larger(quantity: Decimal) -> None:
    rounded = SPOT.quantize_quantity(quantity)
    assert rounded % SPOT.lot_size == 0
    assert 0 <= quantity - rounded < SPOT.lot_size


@pytest.mark.parametrize(
    ("quantity", "price", "says"),
    [
        ("0.025", None, "not a multiple of the lot 0.01"),
        ("0.01", None, "the venue's minimum is 0.02"),
        ("0.02", "100.3", "not a multiple of the tick 0.5"),
        ("0.02", "499.5", "notional 9.990 is below the minimum 10"),
    ],
)
def test_what_a_venue_would_not_take_is_named(quantity: str, price: str | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        SPOT.check(D(quantity), None if price is None else D(price))
    SPOT.check(D("0.02"), D(500))


def test_inverse_contracts_are_worth_quote_and_earn_base() -> None:
    assert INVERSE.notional(D(3), D(50_000)) == 300
    assert INVERSE.settle == "BTC"
    assert SPOT.settle == "USDT"
    # 2 contracts of 100 USD from 10,000 to 20,000: 200 * (0.0001 - 0.00005)
    assert INVERSE.pnl(D(2), D(10_000), D(20_000)) == D("0.01")
    assert INVERSE.pnl(D(-2), D(10_000), D(20_000)) == D("-0.01")
    assert INVERSE.mean_price(D(1), D(10_000), D(1), D(40_000)) == 16_000
    assert SPOT.mean_price(D(1), D(100), D(3), D(120)) == 115


def test_decimals_of_the_grid_are_those_of_the_tick_and_lot() -> None:
    assert (SPOT.price_decimals, SPOT.quantity_decimals) == (1, 2)
    whole = Instrument(symbol="X", tick_size=D("10.00"), lot_size=D(100))
    assert (whole.price_decimals, whole.quantity_decimals) == (0, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("tick_size", 0), ("lot_size", "-1"), ("contract_size", "nan"), ("kind", "option")],
)
def test_an_instrument_that_cannot_be_is_refused(field: str, value: object) -> None:
    words: dict[str, Any] = {"symbol": "X", "tick_size": D(1), "lot_size": D(1), field: value}
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        Instrument(**words)


# ------------------------------------------------------------------ orders and signals


def test_an_order_is_normalised_once_at_the_edge() -> None:
    made = order(symbol="eth/usdt", side="BUY", order_type="LIMIT", quantity=1.0, price=3000.0)
    assert (made.symbol, made.side, made.order_type) == ("ETHUSDT", Side.BUY, OrderType.LIMIT)
    assert (made.quantity, made.price) == (D("1.0"), D("3000.0"))
    assert made.order_id == made.client_order_id
    assert made.remaining_quantity == 1
    assert not made.is_done


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("quantity", {"quantity": 0}),
        ("quantity", {"quantity": math.nan}),
        ("quantity", {"quantity": math.inf}),
        ("price", {"order_type": "limit"}),
        ("price", {"order_type": "limit", "price": -5}),
        ("price", {"price": 5}),
        ("price", {"order_type": "stop_limit", "stop_price": 5}),
        ("stop_price", {"order_type": "stop_market"}),
        ("stop_price", {"stop_price": 5}),
        ("trail_bps", {"order_type": "trailing_stop"}),
        ("trail_bps", {"trail_bps": 5}),
        ("trail_bps", {"order_type": "trailing_stop", "trail_bps": 10_000}),
        ("post_only", {"post_only": True}),
        (
            "post_only",
            {"order_type": "limit", "price": 5, "post_only": True, "time_in_force": "IOC"},
        ),
        ("expire_ts_ns", {"time_in_force": "GTD"}),
        ("expire_ts_ns", {"expire_ts_ns": 5}),
        ("side", {"side": "up"}),
        ("order_type", {"order_type": "iceberg"}),
        ("time_in_force", {"time_in_force": "DAY"}),
        ("symbol", {"symbol": ""}),
        ("strategy_id", {"strategy_id": 7}),
        ("client_order_id", {"client_order_id": None}),
        ("reduce_only", {"reduce_only": "no"}),
        ("expire_ts_ns", {"time_in_force": "GTD", "expire_ts_ns": NAIVE}),
        ("expire_ts_ns", {"time_in_force": "GTD", "expire_ts_ns": "tomorrow"}),
        ("expire_ts_ns", {"time_in_force": "GTD", "expire_ts_ns": math.nan}),
        ("expire_ts_ns", {"time_in_force": "GTD", "expire_ts_ns": -5}),
        ("expire_ts_ns", {"time_in_force": "GTD", "expire_ts_ns": 2**63}),
    ],
)
def test_what_could_not_be_an_order_names_the_field(field: str, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as error:
        order(**more)
    assert error.value.field == field


def test_a_time_with_a_zone_is_kept_in_nanoseconds() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert order(time_in_force="GTD", expire_ts_ns=at).expire_ts_ns == 1_893_456_000_000_000_000
    assert TradingSignal("BTCUSDT", "BUY", 1, ts_ns=at).ts_ns == 1_893_456_000_000_000_000


def fill(**more: Any) -> Fill:
    words: dict[str, Any] = {"fill_id": "f", "client_order_id": "a", "symbol": "BTC/USDT"}
    words |= {"side": "buy", "quantity": 0.25, "price": 100, "venue_ts_ns": 1, "local_ts_ns": 2}
    return Fill(**{**words, **more})


def test_a_fill_is_exact_whatever_its_numbers_came_as() -> None:
    one = fill(fee=0.1)
    assert (one.symbol, one.side, one.quantity, one.fee) == (
        "BTCUSDT",
        Side.BUY,
        D("0.25"),
        D("0.1"),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", -1),
        ("quantity", 0),
        ("price", math.nan),
        ("fee", None),
        ("side", "up"),
        ("local_ts_ns", NAIVE),
        ("fill_id", 7),
    ],
)
def test_what_could_not_be_a_fill_names_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as error:
        fill(**{field: value})
    assert error.value.field == field


def test_the_guides_signal_is_accepted() -> None:
    signal = TradingSignal(
        symbol="BTCUSDT",
        action="BUY",
        quantity=0.01,
        price=50000.0,
        stop_loss=48000.0,
        take_profit=52000.0,
        confidence=0.85,
        strategy_id="momentum_v1",
    )
    assert (signal.quantity, signal.price) == (D("0.01"), D("50000.0"))
    assert TradingSignal("BTCUSDT", "CLOSE").quantity == 0


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("quantity", {"quantity": None}),
        ("quantity", {"quantity": -1}),
        ("action", {"action": "HOLD"}),
        ("confidence", {"confidence": 1.1}),
        ("confidence", {"confidence": math.nan}),
        ("stop_loss", {"price": 100, "stop_loss": 100}),
        ("take_profit", {"price": 100, "take_profit": 99}),
        ("take_profit", {"stop_loss": 110, "take_profit": 105}),
        ("take_profit", {"action": "SELL", "price": 100, "take_profit": 101}),
        ("stop_loss", {"action": "SELL", "price": 100, "stop_loss": 99}),
        ("price", {"order_type": "limit"}),
        ("ts_ns", {"ts_ns": NAIVE}),
        ("ts_ns", {"ts_ns": 1.5e18}),
        ("confidence", {"confidence": "high"}),
    ],
)
def test_a_signal_that_makes_no_sense_names_the_field(field: str, more: dict[str, Any]) -> None:
    words: dict[str, Any] = {"symbol": "BTCUSDT", "action": "BUY", "quantity": 1, **more}
    with pytest.raises(InvalidInput) as error:
        TradingSignal(**words)
    assert error.value.field == field


def test_an_error_names_field_value_row_and_way_out_and_survives_a_process_boundary() -> None:
    error = InvalidInput("price", "x" * 200, "pass a number", row=7)
    assert str(error).startswith("price = 'xxx")
    assert str(error).endswith("... in row 7 (from 0): pass a number")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.field, copy.row, str(copy)) == ("price", 7, str(error))


def test_a_position_says_its_side_and_profit() -> None:
    held = Position(symbol="BTCUSDT", instrument=SPOT, quantity=D(-2), average_price=D(100))
    assert (held.side, held.entry_price, held.unrealised_pnl) == ("SHORT", 100, 0)
    held.current_price = D(90)
    assert held.unrealised_pnl == held.unrealized_pnl == 20
    assert Position(symbol="BTCUSDT", instrument=SPOT).side == "FLAT"
