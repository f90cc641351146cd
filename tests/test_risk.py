"""Every limit at, just under and just over; what passes an open breaker; and failing closed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from execkit.clock import NS_PER_S, ReplayClock
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.limits import LIMITS, LIVE_REQUIRED, Approved, Refused, RiskLimits
from execkit.risk import RiskGuard, paper_only
from execkit.snapshot import AccountSnapshot
from execkit.words import ExecutionMode, OrderType, Side

D = Decimal
DAY_S = 86_400
BTC = Instrument(symbol="BTCUSDT", tick_size=D("0.1"), lot_size=D("0.001"), quote="USDT")
CALM = AccountSnapshot(
    now_ns=0, instrument=BTC, reference_price=D(50_000), equity=D(100_000), position=D(0)
)
NO_LIMITS: dict[str, Any] = {
    "max_positions": None,
    "max_drawdown_pct": None,
    "daily_loss_limit_pct": None,
    "max_failed_orders": None,
}


def order(
    side: str = "buy", quantity: str = "1", price: str | None = None, **more: Any
) -> ExecutionOrder:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    return ExecutionOrder(
        symbol="BTCUSDT",
        side=Side.of(side),
        order_type=kind,
        quantity=D(quantity),
        price=None if price is None else D(price),
        venue="paper",
        **more,
    )


def codes(answer: Approved | Refused) -> list[str]:
    if isinstance(answer, Approved):
        return []
    return [answer.code, *(no.code for no in answer.also)]


def asked(limits: dict[str, Any], what: ExecutionOrder, at: AccountSnapshot = CALM) -> list[str]:
    guard = RiskGuard(**{**NO_LIMITS, **limits}, clock=ReplayClock(at.now_ns))
    return codes(guard.check(what, at))


# Each row: the limit's code, the limits, and (order, snapshot) just under, at and just over.
B = order
SIZES = [
    (
        "max_order_quantity",
        {"max_order_quantity": 1},
        [B(quantity=q) for q in ("0.999", "1", "1.001")],
    ),
    (
        "max_order_notional",
        {"max_order_notional": 50_000},
        [B(quantity=q) for q in ("0.999", "1", "1.001")],
    ),
    (
        "max_position_quantity",
        {"max_position_quantity": "1"},
        [B(quantity=q) for q in ("0.999", "1", "1.001")],
    ),
    (
        "max_position_notional",
        {"max_position_notional": 50_000},
        [B(quantity=q) for q in ("0.999", "1", "1.001")],
    ),
    ("max_exposure", {"max_exposure": 50_000}, [B(quantity=q) for q in ("0.999", "1", "1.001")]),
    (
        "max_price_deviation",
        {"max_price_deviation_pct": 2},
        [B(price=p) for p in ("50999.9", "51000", "51000.1")],
    ),
    (
        "max_price_deviation",
        {"max_price_deviation_pct": 2},
        [B(side="sell", price=p) for p in ("49000.1", "49000", "48999.9")],
    ),
]


@pytest.mark.parametrize(("code", "limits", "orders"), SIZES)
def test_a_size_may_equal_its_limit_and_not_exceed_it(
    code: str, limits: dict[str, Any], orders: list[ExecutionOrder]
) -> None:
    under, at, over = (asked(limits, one) for one in orders)
    assert (under, at, over) == ([], [], [code])


@pytest.mark.parametrize(
    ("code", "limits", "field", "values"),
    [
        ("max_open_orders", {"max_open_orders": 3}, "open_orders", (1, 2, 3)),
        (
            "max_exposure",
            {"max_exposure": 60_000},
            "exposure_elsewhere",
            (D(9999), D(10_000), D(10_001)),
        ),
        (
            "stale_price",
            {"max_quote_age_s": 5},
            "quote_age_ns",
            (5 * 10**9 - 1, 5 * 10**9, 5 * 10**9 + 1),
        ),
        (
            "max_positions",
            {"max_positions": 2},
            "symbols_at_risk",
            (
                frozenset(),
                frozenset({("paper", "ETHUSDT")}),
                frozenset({("paper", "ETHUSDT"), ("paper", "XRPUSDT")}),
            ),
        ),
    ],
)
def test_counts_may_equal_their_limit_and_not_exceed_it(
    code: str, limits: dict[str, Any], field: str, values: tuple[Any, Any, Any]
) -> None:
    under, at, over = (asked(limits, order(), replace(CALM, **{field: v})) for v in values)
    assert (under, at, over) == ([], [], [code])


def test_adding_to_a_symbol_that_is_held_opens_no_further_position() -> None:
    held = replace(CALM, symbols_at_risk=frozenset({("paper", "BTCUSDT")}), position=D(1))
    assert asked({"max_positions": 1}, order(), held) == []


@pytest.mark.parametrize(
    ("equity", "found"),
    [("90000.01", []), ("90000", ["max_drawdown"]), ("89999.99", ["max_drawdown"])],
)
def test_a_drawdown_that_reaches_its_limit_refuses(equity: str, found: list[str]) -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_drawdown_pct": 10.0}, clock=ReplayClock())
    guard.update_equity(100_000)
    guard.update_equity(equity)
    guard.deactivate_circuit_breaker()  # the limit itself, without the breaker it tripped
    assert codes(guard.check(order(), replace(CALM, equity=D(equity)))) == found


@pytest.mark.parametrize(
    ("equity", "found"),
    [("98000.01", []), ("98000", ["daily_loss_limit"]), ("97999", ["daily_loss_limit"])],
)
def test_a_daily_loss_that_reaches_its_limit_refuses(equity: str, found: list[str]) -> None:
    guard = RiskGuard(**{**NO_LIMITS, "daily_loss_limit_pct": 2.0}, clock=ReplayClock())
    guard.update_equity(100_000)
    guard.update_equity(equity)
    guard.deactivate_circuit_breaker()
    assert codes(guard.check(order(), replace(CALM, equity=D(equity)))) == found


@pytest.mark.parametrize(("failures", "open_"), [(2, False), (3, True), (4, True)])
def test_failed_orders_in_a_row_open_the_breaker(failures: int, open_: bool) -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_failed_orders": 3}, clock=ReplayClock())
    for _ in range(failures):
        guard.order_failed("rejected")
    assert bool(guard.breaker()) is open_
    expected = ["circuit_breaker", "max_failed_orders"] if open_ else []
    assert codes(guard.check(order(), CALM)) == expected


def test_an_accepted_order_breaks_the_row_of_failures() -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_failed_orders": 3}, clock=ReplayClock())
    for failed in (True, True, False, True, True):
        guard.order_failed("x") if failed else guard.order_accepted()
    assert guard.breaker() == ""
    assert guard.failed_orders == 2


def test_the_session_day_starts_where_it_is_told_and_from_the_last_equity_before_it() -> None:
    clock = ReplayClock(7 * 3600 * NS_PER_S)
    guard = RiskGuard(**NO_LIMITS, clock=clock, day_start_s=8 * 3600)
    guard.update_equity(100_000)
    clock.advance_to(8 * 3600 * NS_PER_S - 1)
    guard.update_equity(99_000)
    assert guard.daily_loss_pct == 1
    clock.advance_to(8 * 3600 * NS_PER_S)
    guard.update_equity("98010")  # 1 % of 99,000, lost in the new day
    assert guard.daily_loss_pct == 1
    assert guard.current_drawdown_pct == D("1.99")


def test_a_breaker_that_tripped_by_itself_closes_after_the_cooldown() -> None:
    clock = ReplayClock()
    guard = RiskGuard(**{**NO_LIMITS, "max_failed_orders": 1}, clock=clock, cooldown_seconds=60)
    guard.order_failed("rejected")
    clock.advance_to(60 * NS_PER_S - 1)
    assert codes(guard.check(order(), CALM))[0] == "circuit_breaker"
    clock.advance_to(60 * NS_PER_S)
    assert codes(guard.check(order(), CALM)) == []
    assert guard.failed_orders == 0


def test_a_breaker_opened_by_hand_stays_open_until_it_is_closed_by_hand() -> None:
    clock = ReplayClock()
    guard = RiskGuard(**NO_LIMITS, clock=clock, cooldown_seconds=60)
    guard.activate_circuit_breaker("high_volatility")
    clock.advance_to(DAY_S * NS_PER_S)
    assert guard.get_risk_status()["circuit_breaker_reason"] == "high_volatility"
    guard.deactivate_circuit_breaker()
    assert codes(guard.check(order(), CALM)) == []


HELD = replace(CALM, position=D(2), symbols_at_risk=frozenset({("paper", "BTCUSDT")}))


@pytest.mark.parametrize(
    ("what", "at", "passes"),
    [
        (order("sell", "2"), HELD, True),
        (order("sell", "2.001"), HELD, False),  # would flip
        (order("sell", "2"), replace(HELD, pending_sells=D("0.001")), False),  # could flip
        (order("sell", "1.999"), replace(HELD, pending_sells=D("0.001")), True),
        (order("buy", "0.001"), HELD, False),
        (order("buy", "2"), replace(HELD, position=D(-2)), True),
        (order("sell", "5", reduce_only=True), HELD, True),
    ],
)
def test_only_what_can_only_reduce_passes_when_everything_else_is_refused(
    what: ExecutionOrder, at: AccountSnapshot, passes: bool
) -> None:
    guard = RiskGuard(
        max_positions=1,
        max_order_notional=1,
        max_position_notional=1,
        max_position_quantity="0.001",
        max_exposure=1,
        max_open_orders=1,
        clock=ReplayClock(),
    )
    guard.update_equity(100_000)
    guard.update_equity(50_000)  # drawdown and daily loss
    guard.activate_circuit_breaker("test")
    guard.halt("test")
    blind = replace(at, equity=None, equity_note="unknown", reference_price=None, open_orders=9)
    blind = replace(blind, unknown_orders=1)
    assert isinstance(guard.check(what, blind), Approved) is passes


def test_orders_in_flight_count_in_full() -> None:
    limits = {"max_position_quantity": 3}
    busy = replace(CALM, position=D(1), pending_buys=D(1))
    assert asked(limits, order("buy", "1"), busy) == []
    assert asked(limits, order("buy", "1.001"), busy) == ["max_position_quantity"]
    # a flip the other way: long 1, sells of 2 under way
    short = replace(CALM, position=D(1), pending_sells=D(2))
    assert asked(limits, order("sell", "2"), short) == []
    assert asked(limits, order("sell", "2.001"), short) == ["max_position_quantity"]


@pytest.mark.parametrize(
    ("blind", "code"),
    [
        ({"reference_price": None}, "no_reference_price"),
        ({"reference_price": D(0)}, "no_reference_price"),
        ({"equity": None, "equity_note": "BNB has no price"}, "no_equity"),
        ({"equity": D(0)}, "no_equity"),
        ({"unknown_orders": 1}, "unknown_order"),
    ],
)
def test_what_is_not_known_is_refused(blind: dict[str, Any], code: str) -> None:
    assert asked({}, order(), replace(CALM, **blind)) == [code]


def test_an_exception_inside_a_limit_is_a_refusal() -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("boom")

    guard = RiskGuard(**NO_LIMITS, rules=(broken, *LIMITS), clock=ReplayClock())
    answer = guard.check(order(), CALM)
    assert codes(answer) == ["limit_failed"]
    assert "ZeroDivisionError: boom" in str(answer)


def test_all_limits_are_evaluated_and_the_first_in_order_of_precedence_gives_the_code() -> None:
    limits = {"max_order_notional": 10, "max_order_quantity": "0.5", "max_positions": 1}
    at = replace(CALM, symbols_at_risk=frozenset({("paper", "ETHUSDT")}))
    assert asked(limits, order(), at) == [
        "max_order_quantity",
        "max_order_notional",
        "max_positions",
    ]


def test_a_refusal_carries_what_was_seen_the_limit_and_the_unit() -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_order_notional": 40_000}, clock=ReplayClock())
    answer = guard.check(order(), CALM)
    assert isinstance(answer, Refused)
    assert (answer.observed, answer.limit, answer.unit) == (50_000, 40_000, "quote")
    assert str(answer) == ("max_order_notional: the order would be 50000 quote, the limit is 40000")
    assert guard.get_risk_status()["recent_refusals"][0]["code"] == "max_order_notional"


def test_a_limit_order_is_valued_at_the_dearer_of_its_price_and_the_reference() -> None:
    limits = {"max_order_notional": 50_000}
    assert asked(limits, order(price="50000.1")) == ["max_order_notional"]
    assert asked(limits, order(price="1")) == []  # 50,000 at the reference


def test_live_refuses_until_every_required_limit_and_the_equity_were_set_on_purpose() -> None:
    given: dict[str, Any] = {
        "max_positions": 5,
        "max_order_notional": 10**6,
        "max_position_notional": 10**6,
        "max_drawdown_pct": 10,
        "daily_loss_limit_pct": 2,
        "max_quote_age_s": 60,
    }
    assert set(given) == set(LIVE_REQUIRED)
    live = order(mode=ExecutionMode.LIVE)
    assert codes(RiskGuard(**given, clock=ReplayClock()).check(live, CALM)) == []
    for name in given:
        less = {key: value for key, value in given.items() if key != name}
        for limits in (less, {**given, name: None}):
            answer = RiskGuard(**limits, clock=ReplayClock()).check(live, CALM)
            assert codes(answer)[0] == "live_limits_missing"
            assert name in str(answer)
    default = replace(CALM, equity_given=False)
    answer = RiskGuard(**given, clock=ReplayClock()).check(live, default)
    assert codes(answer) == ["live_limits_missing"]
    assert "starting_equity" in str(answer)


def test_limits_given_as_one_object_are_set_on_purpose_even_where_they_equal_the_default() -> None:
    limits = RiskLimits(
        max_positions=5,
        max_order_notional=D(1000),
        max_position_notional=D(1000),
        max_drawdown_pct=D(10),
        daily_loss_limit_pct=D(2),
        max_quote_age_s=60,
    )
    assert limits.max_drawdown_pct == RiskLimits().max_drawdown_pct
    assert limits.given == set(LIVE_REQUIRED)
    assert RiskLimits().given == frozenset()
    live = order(quantity="0.001", mode=ExecutionMode.LIVE)
    assert codes(RiskGuard(limits, clock=ReplayClock()).check(live, CALM)) == []
    more = RiskGuard(limits, max_open_orders=3).limits
    assert more.given == set(LIVE_REQUIRED) | {"max_open_orders"}
    assert RiskGuard(max_positions=5).limits.given == {"max_positions"}


def test_a_limit_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^max_postions = 3: limits are: .*max_positions"):
        RiskGuard(max_postions=3)


def test_a_notional_in_another_currency_is_converted_before_it_meets_its_limit() -> None:
    """0.07 BTC each, a BTC at 50,000: 3,500 an ETH."""
    pair = Instrument(symbol="ETHBTC", tick_size=D("1E-5"), lot_size=D("0.001"), quote="BTC")
    at = replace(CALM, instrument=pair, reference_price=D("0.07"), rate=D(50_000), currency="USDT")
    for name in ("max_order_notional", "max_position_notional", "max_exposure"):
        assert asked({name: 3500}, order(quantity="1"), at) == []
        assert asked({name: 3500}, order(quantity="1.001"), at) == [name]
    guard = RiskGuard(**NO_LIMITS, max_order_notional=3500, clock=ReplayClock())
    assert "7000 USDT" in str(guard.check(order(quantity="2"), at))


def test_a_quote_currency_without_a_rate_refuses_new_risk_and_lets_one_out() -> None:
    at = replace(CALM, rate=None, currency="BTC")
    assert asked({}, order(), at) == ["no_rate"]
    assert asked({}, order("sell"), replace(at, position=D(1))) == []


def test_an_exposure_elsewhere_that_cannot_be_told_is_refused_in_words() -> None:
    guard = RiskGuard(**NO_LIMITS, max_exposure=1000, clock=ReplayClock())
    at = replace(CALM, exposure_elsewhere=D("Infinity"))
    answer = guard.check(order(quantity="0.001"), at)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.observed) == ("max_exposure", None)
    assert "has no price or no rate" in str(answer)


def test_what_passes_only_because_it_reduces_becomes_reduce_only() -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_order_notional": 10**6}, clock=ReplayClock())
    long = replace(CALM, position=D(1))
    free = order("sell")
    assert codes(guard.check(free, long)) == []
    assert not free.reduce_only  # it would have passed anyway
    guard.halt("test")
    bound = order("sell")
    assert codes(guard.check(bound, long)) == []
    assert bound.reduce_only


def test_the_day_begins_while_nothing_moves_equity() -> None:
    """A loss of 6 % on day 0; flat since, so that nobody tells the guard an equity."""
    clock = ReplayClock()
    guard = RiskGuard(**{**NO_LIMITS, "daily_loss_limit_pct": 2}, clock=clock)
    guard.update_equity(100_000)
    guard.update_equity(94_000)
    at = replace(CALM, equity=D(94_000))
    clock.advance_to((DAY_S - 1) * NS_PER_S)
    assert codes(guard.check(order(), at)) == ["daily_loss_limit"]
    assert guard.get_risk_status()["daily_loss_pct"] == 6.0
    clock.advance_to(DAY_S * NS_PER_S)
    assert codes(guard.check(order(), at)) == []
    guard.update_equity(92_000)  # 2.1 % of 94,000: the new day has a limit of its own
    assert "daily loss" in guard.breaker()
    clock.advance_to(2 * DAY_S * NS_PER_S)
    assert guard.get_risk_status()["daily_loss_pct"] == 0.0


def test_while_the_breaker_is_open_a_taken_order_does_not_wipe_out_the_failures() -> None:
    guard = RiskGuard(**{**NO_LIMITS, "max_failed_orders": 2}, clock=ReplayClock())
    guard.order_failed("x")
    guard.order_failed("x")
    guard.order_accepted()  # a closing order, say
    assert guard.failed_orders == 2
    assert codes(guard.check(order(), CALM)) == ["circuit_breaker", "max_failed_orders"]


def test_a_guard_takes_up_what_an_earlier_process_knew_and_tells_nobody() -> None:
    clock = ReplayClock(2 * DAY_S * NS_PER_S + 1)
    guard = RiskGuard(**NO_LIMITS, clock=clock)
    told: list[str] = []
    guard.on_change = lambda code, more: told.append(code)
    day = DAY_S * NS_PER_S
    guard.restore(
        [(0, D(120)), (day, D(110)), (2 * day - 1, D(100)), (2 * day, D(90))],
        [
            ("halted", {"reason": "first"}),
            ("resumed", {}),
            ("alarm_late_fill", {"reason": "not the guard's"}),
            ("breaker_opened", {"reason": "drawdown", "until_ts_ns": 5}),
            ("breaker_closed", {}),
            ("breaker_opened", {"reason": "news", "until_ts_ns": None}),
            ("halted", {"reason": "emergency stop"}),
        ],
    )
    assert (guard.peak_equity, guard.day_start_equity, guard.equity) == (120, 100, 90)
    assert (guard.breaker(), guard.halted) == ("news", "emergency stop")
    assert told == []
    clock.advance_to(9 * day)
    assert guard.breaker() == "news"  # opened by hand
    guard.restore([], [("resumed", {}), ("breaker_closed", {})])
    assert (guard.breaker(), guard.halted) == ("", "")
    guard.restore([], [("breaker_opened", {"reason": "loss", "until_ts_ns": 10 * day})])
    assert guard.breaker() == "loss"
    clock.advance_to(10 * day)
    assert guard.breaker() == ""  # its cooldown went on meanwhile


def test_without_a_guard_only_paper_orders_pass() -> None:
    assert isinstance(paper_only(order()), Approved)
    for mode in (ExecutionMode.DEMO, ExecutionMode.LIVE):
        assert codes(paper_only(order(mode=mode))) == ["no_risk_guard"]


def test_the_guides_question_is_answered_and_counts_as_nothing() -> None:
    guard = RiskGuard(
        max_positions=5,
        max_drawdown_pct=10.0,
        daily_loss_limit_pct=2.0,
        max_order_notional=5_000,
        starting_equity=100_000,
        clock=ReplayClock(),
    )
    fine = asyncio.run(guard.check_all_risks(symbol="BTCUSDT", quantity=0.1, price=50000.0))
    assert (fine["passed"], fine["violations"]) == (True, [])
    large = asyncio.run(guard.check_all_risks("BTC/USDT", 0.2, 50000.0))
    assert large["passed"] is False
    assert large["codes"] == ["max_order_notional"]
    assert guard.get_risk_status()["recent_refusals"] == []


def test_a_guard_that_nobody_told_an_equity_refuses_and_says_how_to_tell_it() -> None:
    answer = asyncio.run(RiskGuard(clock=ReplayClock()).check_all_risks("BTCUSDT", 1, 10))
    assert answer["violations"] == ["no_equity: equity is not known; set starting_equity"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_positions", 0),
        ("max_positions", 1.5),
        ("max_order_notional", -1),
        ("max_drawdown_pct", "ten"),
        ("daily_loss_limit_pct", float("nan")),
        ("cooldown_seconds", -1),
        ("max_quote_age_s", 0),
    ],
)
def test_a_limit_that_makes_no_sense_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"^{name} = "):
        RiskLimits(**{name: value})  # type: ignore[arg-type]


def test_the_status_says_what_would_refuse_new_risk() -> None:
    guard = RiskGuard(clock=ReplayClock(), starting_equity=100_000)
    assert guard.get_risk_status()["risk_violations"] == []
    guard.update_equity(89_000)
    status = guard.get_risk_status()
    assert (status["current_drawdown_pct"], status["daily_loss_pct"]) == (11.0, 11.0)
    assert [text.partition(":")[0] for text in status["risk_violations"]] == [
        "circuit_breaker",
        "max_drawdown",
        "daily_loss_limit",
    ]
