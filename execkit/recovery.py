"""Orders rebuilt from a journal, by the same ledger that moved them when they were live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.journal import Record
from execkit.lifecycle import OrderLedger
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.words import ExecutionMode, ExecutionStatus, Liquidity, Side

_S = ExecutionStatus
_FAILURES = ("rejected", "unknown")
_LOT = Decimal("0.00000001")
_EVIDENCE = frozenset(kind.value for kind in UpdateKind) - {"fill"}
_ORDER_FIELDS = (
    "symbol",
    "side",
    "order_type",
    "quantity",
    "price",
    "stop_price",
    "trail_bps",
    "time_in_force",
    "expire_ts_ns",
    "post_only",
    "reduce_only",
    "oco_group",
    "parent_order_id",
    "strategy_id",
    "signal_id",
    "venue",
    "mode",
    "decision_price",
)


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What a journal says about earlier orders. unknown : those without a terminal record; only
    the venue can tell what became of them. exits : (stop loss, take profit) that signals asked for,
    by the id of their order. equity : (ts_ns, value) as recorded. risk : (code, payload) of halts,
    the circuit breaker and what venues were found to hold, in order. failed_orders : how many in a
    row at the end. last_ns : time of the newest record, 0 if there is none."""

    orders: list[ExecutionOrder]
    fills: list[Fill]
    unknown: list[ExecutionOrder]
    exits: dict[str, tuple[Decimal | None, Decimal | None]]
    equity: list[tuple[int, Decimal]]
    risk: list[tuple[str, dict[str, Any]]]
    failed_orders: int = 0
    last_ns: int = 0


def replay(records: Iterable[Record], ledger: OrderLedger) -> Recovery:
    """Fold journal records into `ledger`; orders without an end come out UNKNOWN."""
    fills: list[Fill] = []
    exits: dict[str, tuple[Decimal | None, Decimal | None]] = {}
    worth: list[tuple[int, Decimal]] = []
    risk: list[tuple[str, dict[str, Any]]] = []
    failed = last_ns = 0
    for record in records:
        last_ns = max(last_ns, record.ts_ns)
        failed = 0 if record.kind == "accepted" else failed + (record.kind in _FAILURES)
        if record.kind == "signal":
            stop, target = (_number(record.payload.get(k)) for k in ("stop_loss", "take_profit"))
            exits[record.client_order_id or ""] = (stop, target)
        elif record.kind == "equity":
            worth.append((record.ts_ns, Decimal(record.payload["equity"])))
        elif record.kind == "risk":
            risk.append((code := str(record.payload.get("code")), record.payload))
            failed = 0 if code == "breaker_closed" else failed
        else:
            _fold(record, ledger, fills)
    unknown = [order for order in ledger.orders.values() if not order.status.is_done]
    for order in unknown:
        if order.status is _S.INTENT:
            ledger.move(order, _S.SENDING)
        if order.status is not _S.UNKNOWN:
            ledger.move(order, _S.UNKNOWN)
    return Recovery(
        orders=list(ledger.orders.values()),
        fills=fills,
        unknown=unknown,
        exits=exits,
        equity=worth,
        risk=risk,
        failed_orders=failed,
        last_ns=last_ns,
    )


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def venue_gone(orders: Iterable[ExecutionOrder], now_ns: int) -> list[VenueUpdate]:
    """The end of orders whose venue died with its process: the fact is the venue's, not ours."""
    return [
        VenueUpdate(
            kind=UpdateKind.CANCELED,
            client_order_id=order.client_order_id,
            venue_ts_ns=now_ns,
            local_ts_ns=now_ns,
            reason="paper_venue_restarted",
        )
        for order in orders
    ]


def _fold(record: Record, ledger: OrderLedger, fills: list[Fill]) -> None:
    order_id, payload = record.client_order_id or "", record.payload
    if record.kind == "fill" or record.kind in _EVIDENCE:
        outcome = ledger.apply(_update(record, order_id))
        if outcome.fill is not None:
            fills.append(outcome.fill)
        return
    if record.kind == "intent":
        ledger.add(_order(record, order_id), _instrument(payload))
        return
    order = ledger.orders.get(order_id)
    if order is None:
        return
    if record.kind == "sending":
        order.sent_ts_ns = record.ts_ns
        ledger.move(order, _S.SENDING)
    elif record.kind == "unknown" and order.status is _S.SENDING:
        ledger.move(order, _S.UNKNOWN)
    elif record.kind == "refused":
        order.reason = str(payload.get("code"))
        ledger.move(order, _S.REFUSED, record.ts_ns)
    elif record.kind == "cancel_requested" and order.status.is_live:
        ledger.cancel_reasons[order_id] = str(payload.get("reason") or "requested")
        ledger.move(order, _S.CANCEL_PENDING)


def _order(record: Record, order_id: str) -> ExecutionOrder:
    fields: dict[str, Any] = {name: record.payload.get(name) for name in _ORDER_FIELDS}
    decision = fields.pop("decision_price")
    order = ExecutionOrder(**fields, client_order_id=order_id)
    order.decision_price = None if decision is None else Decimal(decision)
    order.created_ts_ns = int(record.payload["decision_ts_ns"])
    return order


def _instrument(payload: dict[str, Any]) -> Instrument:
    """Enough of it to average fills; the grid is the venue's to tell."""
    return Instrument(
        symbol=payload["symbol"],
        tick_size=_LOT,
        lot_size=_LOT,
        base=payload["base_currency"],
        quote=payload["quote_currency"],
        kind=payload["contract_kind"],
        contract_size=Decimal(payload["contract_size"]),
    )


def _update(record: Record, order_id: str) -> VenueUpdate:
    payload = record.payload
    times: dict[str, Any] = {
        "venue_ts_ns": int(payload.get("venue_ts_ns") or record.ts_ns),
        "local_ts_ns": int(payload.get("local_ts_ns") or record.ts_ns),
    }
    fill = None
    if record.kind == "fill":
        fill = Fill(
            fill_id=payload["fill_id"],
            client_order_id=order_id,
            symbol=payload["symbol"],
            side=Side.of(payload["side"]),
            quantity=Decimal(payload["quantity"]),
            price=Decimal(payload["price"]),
            liquidity=Liquidity.of(payload["liquidity"]),
            fee=Decimal(payload["fee"]),
            fee_currency=payload["fee_currency"],
            parent_order_id=payload["parent_order_id"],
            run_id=record.run_id,
            mode=ExecutionMode.of(payload["mode"]),
            venue=payload["venue"],
            **times,
        )
    return VenueUpdate(
        kind=UpdateKind(record.kind),
        client_order_id=order_id,
        venue_order_id=str(payload.get("venue_order_id") or ""),
        reason=str(payload.get("reason") or ""),
        fill=fill,
        **times,
    )
