"""Orders: durable before sent, only legal moves, fills once, and rebuilt after a restart."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from execkit.clock import ReplayClock
from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.errors import (
    IllegalTransition,
    InvalidInput,
    JournalUnwritable,
    OutcomeUnknown,
    RetryLater,
)
from execkit.journal import Journal
from execkit.lifecycle import OrderLedger
from execkit.orders import EVENTS, OrderManager
from execkit.records import Recorder
from execkit.risk import Approved, Refused
from execkit.store import Store
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.words import (
    DONE,
    LIVE,
    TRANSITIONS,
    ExecutionMode,
    ExecutionStatus,
    Liquidity,
    Side,
)
from tests.helpers.quotevenue import BTC, QuoteVenue, quote

D = Decimal
S = ExecutionStatus
K = UpdateKind
INVERSE = Instrument(
    symbol="BTCUSDT", tick_size=D("0.1"), lot_size=D(1), kind="inverse", contract_size=D(100)
)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def order(quantity: str = "1", **more: Any) -> ExecutionOrder:
    return ExecutionOrder(
        **{
            "symbol": "BTCUSDT",
            "side": "BUY",
            "order_type": "LIMIT",
            "price": "50000",
            "quantity": quantity,
            **more,
        }
    )


def update(
    kind: UpdateKind, of: ExecutionOrder, fill: tuple[str, str, str] | None = None, **more: Any
) -> VenueUpdate:
    own = None
    if fill is not None:
        fill_id, quantity, price = fill
        own = Fill(
            fill_id=fill_id,
            client_order_id=of.client_order_id,
            symbol=of.symbol,
            side=of.side,
            quantity=D(quantity),
            price=D(price),
            venue_ts_ns=1,
            local_ts_ns=1,
            liquidity=Liquidity.MAKER,
            fee=D("0.1"),
            fee_currency="USDT",
            venue=of.venue,
        )
    return VenueUpdate(
        kind=kind,
        client_order_id=of.client_order_id,
        venue_ts_ns=1,
        local_ts_ns=1,
        fill=own,
        **more,
    )


def in_state(status: ExecutionStatus, instrument: Instrument = BTC) -> tuple[OrderLedger, Any]:
    """A ledger with one order, put into `status` as if it had got there."""
    ledger, one = OrderLedger(), order()
    ledger.add(one, instrument)
    one.status = status
    if status is S.PARTIALLY_FILLED:
        one.filled_quantity = D("0.5")
    if status is S.FILLED:
        one.filled_quantity = D(1)
    return ledger, one


# ------------------------------------------------------------------ legal moves


@pytest.mark.parametrize(("old", "new"), list(itertools.product(S, S)))
def test_every_pair_of_states_is_either_legal_or_refused_without_a_trace(
    old: ExecutionStatus, new: ExecutionStatus
) -> None:
    ledger, one = in_state(old)
    if new in TRANSITIONS[old]:
        ledger.move(one, new)
        assert one.status is new
        assert (one.client_order_id in ledger.live) is (new in LIVE)
        assert (one.done_ts_ns is not None) is (new in DONE)
    else:
        with pytest.raises(IllegalTransition, match=f"{old.value} -> {new.value}"):
            ledger.move(one, new)
        assert one.status is old


@pytest.mark.parametrize(("old", "kind"), list(itertools.product(S, K)))
def test_every_update_in_every_state_moves_legally_or_raises_an_alarm(
    old: ExecutionStatus, kind: UpdateKind
) -> None:
    ledger, one = in_state(old)
    before = one.filled_quantity
    fill = ("f1", "0.25", "100") if kind is K.FILL else None
    outcome = ledger.apply(update(kind, one, fill))
    assert one.status is old or one.status in TRANSITIONS[old]
    if old in (S.INTENT, S.REFUSED):
        assert outcome.alarm is not None
        assert outcome.alarm.code == "never_sent"
        assert (one.status, one.filled_quantity) == (old, before)
    elif kind is K.FILL:
        assert outcome.fill is not None
        assert one.filled_quantity == before + D("0.25")


def test_a_fill_after_the_cancel_counts_and_raises_an_alarm() -> None:
    ledger, one = in_state(S.CANCELED)
    outcome = ledger.apply(update(K.FILL, one, ("f1", "0.4", "100")))
    assert outcome.fill is not None
    assert outcome.alarm is not None
    assert outcome.alarm.code == "late_fill"
    assert (one.status, one.filled_quantity) == (S.CANCELED, D("0.4"))
    ledger.apply(update(K.FILL, one, ("f2", "0.6", "100")))
    assert one.status is S.FILLED


def test_more_than_was_ordered_is_booked_and_raises_an_alarm() -> None:
    ledger, one = in_state(S.OPEN)
    outcome = ledger.apply(update(K.FILL, one, ("f1", "1.5", "100")))
    assert outcome.alarm is not None
    assert outcome.alarm.code == "overfill"
    assert (one.status, one.filled_quantity) == (S.FILLED, D("1.5"))
    again = ledger.apply(update(K.FILL, one, ("f2", "0.5", "100")))
    assert (again.event, again.fill is not None, one.filled_quantity) == ("", True, D(2))


def test_a_fill_that_overtakes_the_acceptance_is_not_undone_by_it() -> None:
    ledger, one = in_state(S.SENDING)
    ledger.apply(update(K.FILL, one, ("f1", "1", "100")))
    ledger.apply(update(K.ACCEPTED, one))
    assert one.status is S.FILLED
    assert one.accepted_ts_ns == 1


def test_an_end_that_contradicts_a_full_fill_is_not_applied() -> None:
    ledger, one = in_state(S.FILLED)
    outcome = ledger.apply(update(K.CANCELED, one))
    assert outcome.alarm is not None
    assert (outcome.alarm.code, one.status) == ("illegal_transition", S.FILLED)


def test_the_same_fill_twice_counts_once_and_a_changed_one_raises_an_alarm() -> None:
    ledger, one = in_state(S.OPEN)
    ledger.apply(update(K.FILL, one, ("f1", "0.4", "100")))
    repeat = ledger.apply(update(K.FILL, one, ("f1", "0.4", "100")))
    changed = ledger.apply(update(K.FILL, one, ("f1", "0.5", "100")))
    assert (repeat.fill, repeat.alarm) == (None, None)
    assert changed.alarm is not None
    assert (changed.alarm.code, changed.fill) == ("fill_conflict", None)
    assert one.filled_quantity == D("0.4")


@pytest.mark.parametrize("field, value", [("side", "sell"), ("symbol", "ETHUSDT"), ("venue", "x")])
def test_a_fill_that_contradicts_its_order_is_not_applied_and_raises_an_alarm(
    field: str, value: str
) -> None:
    ledger, one = in_state(S.OPEN)
    right = update(K.FILL, one, ("f1", "0.4", "50000"))
    wrong = replace(right, fill=replace(right.fill, **{field: value}))
    outcome = ledger.apply(wrong)
    assert outcome.fill is None
    assert outcome.alarm is not None
    assert outcome.alarm.code == "fill_mismatch"
    assert one.filled_quantity == 0
    assert ledger.apply(right).fill is not None  # the wrong one did not take its id


def test_a_fill_of_an_order_that_is_not_ours_is_handed_on_once_with_an_alarm() -> None:
    ledger, stranger = OrderLedger(), order()
    first = ledger.apply(update(K.FILL, stranger, ("f1", "1", "100")))
    second = ledger.apply(update(K.FILL, stranger, ("f1", "1", "100")))
    assert first.fill is not None
    assert first.alarm is not None
    assert first.alarm.code == "external_order"
    assert second.fill is None


def test_the_average_price_is_exact_and_harmonic_for_inverse_contracts() -> None:
    ledger, one = in_state(S.OPEN)
    for n, (quantity, price) in enumerate([("0.2", "100"), ("0.3", "110"), ("0.5", "120")]):
        ledger.apply(update(K.FILL, one, (f"f{n}", quantity, price)))
    assert one.average_filled_price == D("113")  # 20 + 33 + 60
    assert one.fees == {"USDT": D("0.3")}
    ledger, one = in_state(S.OPEN, INVERSE)
    for n, price in enumerate(["10000", "40000"]):
        ledger.apply(update(K.FILL, one, (f"f{n}", "0.5", price)))
    assert one.average_filled_price == D("16000")


class OrderMachine(RuleBasedStateMachine):
    """Random venue news in any order, against what must always hold."""

    @initialize()
    def start(self) -> None:
        self.ledger, self.order = OrderLedger(), order("10")
        self.ledger.add(self.order, BTC)
        self.ledger.move(self.order, S.SENDING)
        self.applied: dict[str, Decimal] = {}
        self.seen = D(0)
        self.path = [S.SENDING]

    def tell(self, news: VenueUpdate) -> None:
        self.ledger.apply(news)
        if self.order.status is not self.path[-1]:
            self.path.append(self.order.status)

    @rule(kind=st.sampled_from([k for k in K if k is not K.FILL]))
    def news(self, kind: UpdateKind) -> None:
        self.tell(update(kind, self.order))

    @rule(number=st.integers(0, 30), size=st.integers(1, 4))
    def fill(self, number: int, size: int) -> None:
        self.applied.setdefault(f"f{number}", D(size))
        self.tell(update(K.FILL, self.order, (f"f{number}", str(size), "100")))

    @rule(status=st.sampled_from([S.CANCEL_PENDING, S.UNKNOWN]))
    def ours(self, status: ExecutionStatus) -> None:
        if status in TRANSITIONS[self.order.status]:
            self.ledger.move(self.order, status)
            self.path.append(status)

    @invariant()
    def fills_count_once_and_never_shrink(self) -> None:
        assert self.order.filled_quantity == sum(self.applied.values(), D(0))
        assert self.order.filled_quantity >= self.seen
        self.seen = self.order.filled_quantity

    @invariant()
    def every_move_was_legal(self) -> None:
        for old, new in itertools.pairwise(self.path):
            assert new in TRANSITIONS[old]

    @invariant()
    def full_is_filled_and_live_is_listed(self) -> None:
        if self.order.filled_quantity >= self.order.quantity:
            assert self.order.status is S.FILLED
        assert (self.order.client_order_id in self.ledger.live) is self.order.status.is_live


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)


# ------------------------------------------------------------------ sending


def venue(**more: Any) -> QuoteVenue:
    place = QuoteVenue([quote(1, 49999, 50001)], **more)
    place.listen(lambda _: None)
    return place


def manager(**more: Any) -> OrderManager:
    return OrderManager(clock=ReplayClock(5), **more)


def test_the_intent_is_durable_before_the_venue_hears_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    seen: list[list[str]] = []

    class Watching(QuoteVenue):
        async def submit(self, order: ExecutionOrder) -> None:
            other = Journal(tmp_path)  # another reader sees only what is committed
            seen.append([r.kind for r in other.read() if r.client_order_id == order.order_id])
            other.close()

    place = Watching([])
    placed = run(manager(journal=journal).place_order(order(), place))
    assert placed.status is S.SENDING
    assert seen == [["intent", "sending"]]


def test_an_order_is_not_sent_when_its_intent_cannot_be_written() -> None:
    class Full:
        def append_many(self, events: object) -> list[int]:
            raise JournalUnwritable("no space")

    place, orders = venue(), manager(journal=Full())
    with pytest.raises(JournalUnwritable):
        run(orders.place_order(order(), place))
    assert place.sent == []
    assert (orders.orders, orders.open_orders()) == ({}, [])


def test_a_record_that_the_journal_cannot_hold_is_refused_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    recorder = Recorder(journal)
    recorder.add("risk", {"code": "before"}, 1)
    for payload in ({"code": D("Infinity")}, {"code": object()}, {"code": float("nan")}):
        with pytest.raises(InvalidInput):
            recorder.add("risk", payload, 1)
    with pytest.raises(InvalidInput):
        recorder.add("risk", {}, 2**63)
    recorder.add("risk", {"code": "after \ud800"}, 1, "id \ud800")
    recorder.flush()
    assert [r.payload["code"] for r in journal.read()] == ["before", "after ?"]


def test_what_is_queued_is_the_record_as_it_was(tmp_path: Path) -> None:
    recorder, payload = Recorder(Journal(tmp_path)), {"code": "then"}
    recorder.add("risk", payload, 1)
    payload["code"] = "now"
    recorder.flush()
    assert [r.payload["code"] for r in recorder.journal.read()] == ["then"]  # type: ignore[union-attr]


def test_an_order_that_was_spoilt_after_it_was_made_is_not_sent_and_spoils_no_other(
    tmp_path: Path,
) -> None:
    place, orders = venue(), manager(journal=Journal(tmp_path))
    spoilt = order(time_in_force="GTD", expire_ts_ns=5)
    spoilt.expire_ts_ns = "tomorrow"  # type: ignore[assignment]
    with pytest.raises(InvalidInput):
        run(orders.place_order(spoilt, place))
    assert (place.sent, orders.orders) == ([], {})
    assert run(orders.place_order(order(), place)).status is S.SENDING


def test_a_refusal_that_observed_no_bound_is_recorded_with_null(tmp_path: Path) -> None:
    orders = manager(journal=Journal(tmp_path))
    no = Refused(code="max_exposure", message="no price", observed=D("Infinity"), limit=D(1))
    orders.refuse(order(), no, BTC)
    refused = [r.payload for r in orders.recorder.journal.read(kinds=["refused"])]  # type: ignore[union-attr]
    assert (refused[0]["observed"], refused[0]["limit"]) == (None, "1")


@pytest.mark.parametrize(
    ("error", "status", "event"),
    [
        (RetryLater("busy"), S.REJECTED, "on_rejected"),
        (InvalidInput("price", 1, "no"), S.REJECTED, "on_rejected"),
        (OutcomeUnknown("timeout"), S.UNKNOWN, "on_unknown"),
        (ConnectionError("reset"), S.UNKNOWN, "on_unknown"),
        (ValueError("garbled"), S.UNKNOWN, "on_unknown"),
    ],
)
def test_only_an_order_that_surely_was_not_sent_ends_without_the_venue(
    error: Exception, status: ExecutionStatus, event: str, tmp_path: Path
) -> None:
    place, orders, heard = venue(), manager(journal=Journal(tmp_path)), []
    for name in EVENTS:
        orders.register_callback(name, lambda o, name=name: heard.append(name))
    place.faults.submit.append(error)
    placed = run(orders.place_order(order(), place))
    assert placed.status is status
    assert heard == ["on_submitted", event]
    kinds = [r.kind for r in orders.recorder.journal.read() if r.kind != "risk"]  # type: ignore[union-attr]
    assert kinds == ["intent", "sending", "rejected" if status is S.REJECTED else "unknown"]
    assert bool(orders.alarms) is (status is S.UNKNOWN)


def test_an_unknown_order_counts_as_open_and_its_id_is_never_sent_again() -> None:
    place, orders = venue(), manager()
    place.faults.after_submit.append(OutcomeUnknown("cut"))
    one = order()
    run(orders.place_order(one, place))
    assert orders.open_orders("paper", "BTCUSDT") == [one]
    with pytest.raises(InvalidInput, match="was used before"):
        run(orders.submit(Approved(order=one, ts_ns=0), place))
    assert place.sent == [one.client_order_id]


def test_cancelling_the_caller_does_not_cancel_the_sending() -> None:
    class Slow(QuoteVenue):
        async def submit(self, order: ExecutionOrder) -> None:
            await asyncio.sleep(0.02)
            await super().submit(order)

    async def scenario() -> None:
        place, orders = Slow([]), manager()
        one = order()
        task = asyncio.create_task(orders.place_order(one, place))
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.status is S.SENDING
        await asyncio.sleep(0.03)
        assert place.sent == [one.client_order_id]

    run(scenario())


def test_submit_takes_only_what_was_approved() -> None:
    with pytest.raises(InvalidInput, match="pass what RiskGuard"):
        run(manager().submit(order(), venue()))  # type: ignore[arg-type]


def test_a_manager_without_a_guard_refuses_to_send_real_orders() -> None:
    place, orders = venue(mode=ExecutionMode.LIVE), manager()
    one = order()
    assert run(orders.place_order(one, place)) is None
    assert (one.status, one.reason, place.sent) == (S.REFUSED, "no_risk_guard", [])


def test_a_symbol_that_the_venue_does_not_list_is_named_with_those_it_does() -> None:
    with pytest.raises(InvalidInput, match="symbol = 'ETHUSDT': paper lists: BTCUSDT"):
        run(manager().place_order(order(symbol="ETH/USDT"), venue()))


# ------------------------------------------------------------------ canceling


async def opened(orders: OrderManager, place: QuoteVenue) -> ExecutionOrder:
    one = order()
    await orders.place_order(one, place)
    orders.process([update(K.ACCEPTED, one)])
    assert one.status is S.OPEN
    return one


def test_a_cancel_is_pending_until_the_venue_says_so_and_keeps_our_reason() -> None:
    async def scenario() -> None:
        place, orders = venue(), manager()
        one = await opened(orders, place)
        assert await orders.cancel_order(one.order_id, reason="timeout")
        assert one.status is S.CANCEL_PENDING
        assert not await orders.cancel_order(one)  # one request is enough
        orders.process([update(K.CANCELED, one, reason="requested")])
        assert (one.status, one.reason) == (S.CANCELED, "timeout")
        assert not await orders.cancel_order(one)

    run(scenario())


def test_a_fill_wins_the_race_against_the_cancel() -> None:
    async def scenario() -> None:
        place, orders = venue(), manager()
        one = await opened(orders, place)
        await orders.cancel_order(one)
        orders.process([update(K.FILL, one, ("f1", "0.4", "100"))])
        assert one.status is S.CANCEL_PENDING
        orders.process([update(K.FILL, one, ("f2", "0.6", "100"))])
        assert one.status is S.FILLED

    run(scenario())


@pytest.mark.parametrize(
    ("error", "asked", "status"),
    [
        (RetryLater("busy"), False, S.OPEN),
        (OutcomeUnknown("cut"), True, S.CANCEL_PENDING),
        (ConnectionError("reset"), True, S.CANCEL_PENDING),
    ],
)
def test_a_cancel_that_failed_is_open_again_only_if_it_surely_was_not_sent(
    error: Exception, asked: bool, status: ExecutionStatus
) -> None:
    async def scenario() -> None:
        place, orders = venue(), manager()
        one = await opened(orders, place)
        place.faults.cancel.append(error)
        assert await orders.cancel_order(one) is asked
        assert one.status is status
        assert orders.alarms[-1].code in ("cancel_not_sent", "cancel_unknown")

    run(scenario())


@pytest.mark.parametrize(
    ("filled", "status"), [(None, "open"), (("f1", "0.4", "50000"), "partially_filled")]
)
def test_the_store_knows_that_a_cancel_was_not_sent(
    tmp_path: Path, filled: tuple[str, str, str] | None, status: str
) -> None:
    async def scenario() -> None:
        place, orders = venue(), manager(journal=Journal(tmp_path), run_id="r1")
        one = await opened(orders, place)
        if filled:
            orders.process([update(K.FILL, one, filled)])
        place.faults.cancel.append(RetryLater("busy"))
        await orders.cancel_order(one, reason="timeout")
        assert one.status.value == status

    run(scenario())
    store = Store(tmp_path)
    with Journal(tmp_path) as journal:
        store.ingest(journal)
    assert store.sql("select status from orders")["status"].tolist() == [status]


def test_an_unknown_order_stays_unknown_when_its_cancel_was_not_sent() -> None:
    async def scenario() -> None:
        place, orders = venue(), manager()
        place.faults.submit.append(OutcomeUnknown("cut"))
        one = order()
        await orders.place_order(one, place)
        place.faults.cancel.append(RetryLater("busy"))
        await orders.cancel_order(one)
        assert one.status is S.UNKNOWN

    run(scenario())


# ------------------------------------------------------------------ callbacks and cache


def test_callbacks_of_both_kinds_hear_every_event_after_it_is_durable(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        place, orders, heard = venue(), manager(journal=journal), []

        async def later(one: ExecutionOrder) -> None:
            await asyncio.sleep(0)
            heard.append(("async", one.status))

        def plain(one: ExecutionOrder) -> None:
            heard.append(("plain", [r.kind for r in journal.read()][-1]))

        orders.register_callback("on_partially_filled", plain)
        orders.register_callback("on_filled", later)
        one = await opened(orders, place)
        orders.process([update(K.FILL, one, ("f1", "0.4", "100"))])
        orders.process([update(K.FILL, one, ("f2", "0.6", "100"))])
        await orders.tasks.settle()
        assert heard == [("plain", "fill"), ("async", S.FILLED)]

    run(scenario())


def test_a_raising_callback_is_recorded_and_stops_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        place, orders, heard = venue(), manager(journal=journal), []

        def bad(one: ExecutionOrder) -> None:
            raise KeyError("oops")

        async def worse(one: ExecutionOrder) -> None:
            raise ValueError("later")

        for callback in (bad, worse, heard.append):
            orders.register_callback("on_accepted", callback)
        one = await opened(orders, place)
        await orders.tasks.settle()
        orders.recorder.flush()
        assert heard == [one]
        assert [alarm.code for alarm in orders.alarms] == ["callback_failed"] * 2
        told = [r.payload["reason"] for r in journal.read(kinds=["risk"])]
        assert told == ["on_accepted: KeyError: 'oops'", "on_accepted: ValueError: later"]

    run(scenario())


def test_an_unknown_event_is_refused_with_the_list_of_events() -> None:
    with pytest.raises(InvalidInput, match="on_filled"):
        manager().register_callback("on_fill", print)
    with pytest.raises(InvalidInput, match="callback"):
        manager().register_callback("on_filled", 3)  # type: ignore[arg-type]


def test_the_cache_is_written_and_its_loss_stops_nothing() -> None:
    class Cache(dict[str, str]):
        def set(self, name: str, value: str) -> None:
            if len(self) >= 1 and name not in self:
                raise ConnectionError("gone")
            self[name] = value

    async def scenario() -> None:
        cache = Cache()
        place, orders = venue(), manager(redis_conn=cache)
        one = await opened(orders, place)
        assert '"status": "open"' in cache[f"execkit:order:{one.order_id}"]
        two = await opened(orders, place)
        assert two.status is S.OPEN
        assert [alarm.code for alarm in orders.alarms] == ["cache_lost"]

    run(scenario())


# ------------------------------------------------------------------ restarting


def test_after_a_restart_orders_are_rebuilt_and_those_without_an_end_are_unknown(
    tmp_path: Path,
) -> None:
    async def scenario() -> dict[str, ExecutionOrder]:
        place, orders = venue(), manager(journal=Journal(tmp_path), run_id="r1")
        filled, partly, canceled, idle = [await opened(orders, place) for _ in range(4)]
        orders.process(
            [
                update(K.FILL, filled, ("f1", "1", "100")),
                update(K.FILL, partly, ("f2", "0.4", "100"), venue_order_id="v2"),
                update(K.CANCELED, canceled, reason="requested"),
            ]
        )
        place.faults.submit.append(OutcomeUnknown("cut"))
        silent = order(strategy_id="s")
        await orders.place_order(silent, place)
        orders.check = lambda one: Refused(code="no", message="not today")
        refused = order()
        assert await orders.place_order(refused, place) is None
        return {o.client_order_id: o for o in (filled, partly, canceled, idle, silent, refused)}

    before = run(scenario())
    fresh = OrderManager(Journal(tmp_path), clock=ReplayClock(9))
    found = fresh.recover()
    assert [o.client_order_id for o in found.orders] == list(before)
    for one in found.orders:
        old = before[one.client_order_id]
        assert (one.filled_quantity, one.average_filled_price) == (
            old.filled_quantity,
            old.average_filled_price,
        )
        assert one.fees == old.fees
        assert one.status is (old.status if old.status.is_done else S.UNKNOWN)
        assert (one.price, one.strategy_id, one.venue) == (old.price, old.strategy_id, "paper")
    assert len(found.unknown) == 3
    assert [f.fill_id for f in found.fills] == ["f1", "f2"]
    assert found.fills[0].side is Side.BUY
    again = OrderManager(Journal(tmp_path)).recover(run_id="another run")
    assert again.orders == []


def test_an_intent_whose_sending_is_not_recorded_may_have_been_sent(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    run(manager(journal=journal).place_order(order(client_order_id="a"), venue()))
    only = next(iter(journal.read(kinds=["intent"])))
    other = Journal(tmp_path / "cut")
    other.append("intent", only.payload, ts_ns=1, client_order_id="a")
    (one,) = OrderManager(other).recover().unknown
    assert (one.client_order_id, one.status) == ("a", S.UNKNOWN)
