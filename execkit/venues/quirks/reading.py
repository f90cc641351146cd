"""Reads an exchange's answers, as ccxt parsed them, into our words; what is unknown stays unknown.

The client has to be made with `{"number": str}`: every number is then exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from execkit.clock import NS_PER_MS
from execkit.domain import Fill
from execkit.errors import RetryLater
from execkit.venues.base import UpdateKind, VenueUpdate
from execkit.venues.quirks.calls import Verdict
from execkit.venues.quirks.markets import Answer, Markets
from execkit.venues.remote import Holdings, VenueOrder
from execkit.words import ZERO, ExecutionMode, ExecutionStatus, Liquidity, OrderType, Side

_S = ExecutionStatus
_ENDED = {"canceled": _S.CANCELED, "expired": _S.EXPIRED, "rejected": _S.REJECTED}
_TOLD = {
    _S.CANCELED: UpdateKind.CANCELED,
    _S.EXPIRED: UpdateKind.EXPIRED,
    _S.REJECTED: UpdateKind.REJECTED,
}
_TYPES = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "limit_maker": OrderType.LIMIT,
    "stop": OrderType.STOP_LIMIT,
    "stop_market": OrderType.STOP_MARKET,
    "stop_limit": OrderType.STOP_LIMIT,
    "stop_loss": OrderType.STOP_MARKET,
    "stop_loss_limit": OrderType.STOP_LIMIT,
    "trailing_stop": OrderType.TRAILING_STOP,
    "trailing_stop_market": OrderType.TRAILING_STOP,
}
_TRIGGERED = {OrderType.MARKET: OrderType.STOP_MARKET, OrderType.LIMIT: OrderType.STOP_LIMIT}
_CODE = re.compile(
    r'"(?:code|retCode|sCode|s_code|err-code|err_code|error_code|label)":"?([^",}]+)'
)


class Reading(Markets):
    order_types: ClassVar[Mapping[str, OrderType | None]] = {}  # words beyond the usual; None: no
    codes: ClassVar[Mapping[str, tuple[Verdict, str]]] = {}  # venue code -> verdict, reason
    words: ClassVar[Mapping[str, tuple[Verdict, str]]] = {}  # part of a message -> the same

    # ------------------------------------------------------------------------------- orders

    def parse_order(self, row: Answer) -> VenueOrder | None:
        """An order as the exchange tells it; None where its market is not offered here.

        `RetryLater` where the answer does not even say which order it is, or how large.
        """
        symbol = self.own_symbol(row.get("symbol"))
        if not symbol:
            return None
        venue_id, side, quantity = self.venue_id(row), row.get("side"), self.quantity_of(row)
        if not venue_id or side not in ("buy", "sell") or quantity is None:
            raise RetryLater(f"{self.title} told of an order without id, side or quantity")
        unit = self._sizes[symbol]
        filled = exact(row.get("filled"))
        stop = self.stop_of(row)
        kind = self.order_type_of(row, stop)
        price = exact(row.get("price")) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
        return VenueOrder(
            venue_order_id=venue_id,
            client_order_id=self.decode_id(self.wire_id(row)),
            symbol=symbol,
            side=Side.of(side),
            quantity=quantity * unit,
            filled_quantity=(filled or ZERO) * unit,
            status=self.status_of(row, quantity, filled),
            order_type=kind,
            price=price or None,
            stop_price=stop or None,
            reduce_only=bool(row.get("reduceOnly")),
            reason=self.end_reason(row),
            venue_ts_ns=self.moment_of(row),
        )

    def venue_id(self, row: Answer) -> str:
        return str(row.get("id") or "")

    def stop_of(self, row: Answer) -> Decimal | None:
        return exact(row.get("triggerPrice")) or None

    def quantity_of(self, row: Answer) -> Decimal | None:
        """Ordered, in the exchange's units."""
        return exact(row.get("amount")) or None

    def status_of(self, row: Answer, quantity: Decimal, filled: Decimal | None) -> ExecutionStatus:
        """UNKNOWN for a word that is not known, and for a word that its numbers contradict."""
        word = row.get("status")
        if word in _ENDED:
            # what was filled whole is filled, whatever ended it
            return _S.FILLED if filled is not None and filled >= quantity else _ENDED[word]
        if word not in ("open", "canceling", "closed"):
            return _S.UNKNOWN
        if filled is not None and filled >= quantity:
            return _S.FILLED
        if word == "closed":
            return _S.UNKNOWN
        return _S.PARTIALLY_FILLED if filled else _S.OPEN

    def order_type_of(self, row: Answer, stop: Decimal | None) -> OrderType | None:
        target = exact(row.get("takeProfitPrice"))
        if stop and target == stop:
            return None  # a trigger that fires in the other direction is none of ours
        word = str(row.get("type") or "").lower()
        if word in self.order_types:
            return self.order_types[word]
        kind = _TYPES.get(word)
        return _TRIGGERED.get(kind, kind) if stop and kind else kind

    def update_kind(self, row: Answer, order: VenueOrder) -> UpdateKind | None:
        """What a streamed order tells, beside its fills; None: nothing but those, or nothing that
        we know."""
        if order.status in (_S.OPEN, _S.PARTIALLY_FILLED):
            return UpdateKind.TRIGGERED if self.was_triggered(row) else UpdateKind.ACCEPTED
        return _TOLD.get(order.status)

    def was_triggered(self, row: Answer) -> bool:
        """Whether a streamed order says that its trigger has just fired."""
        return False

    def end_reason(self, row: Answer) -> str:
        """Why an order ended, in the exchange's word; "" where it does not say."""
        return ""

    def moment_of(self, row: Answer) -> int:
        """The exchange's time of the last change, UTC ns; 0 where it gives none."""
        stamp = row.get("lastUpdateTimestamp") or row.get("timestamp")
        return int(stamp) * NS_PER_MS if stamp else 0

    # -------------------------------------------------------------------------------- fills

    def parse_fill(self, row: Answer, local_ts_ns: int, mode: ExecutionMode) -> VenueUpdate | None:
        """An own fill; None where its market is not offered here, or where it carries no quantity
        (some streams tell of an order and of a fill in one shape)."""
        symbol = self.own_symbol(row.get("symbol"))
        quantity, price = exact(row.get("amount")), exact(row.get("price"))
        if not symbol or not quantity or not price:
            return None
        fee, currency = self.fee_of(row)
        ts_ns = int(row.get("timestamp") or 0) * NS_PER_MS
        client_id = self.decode_id(self.wire_id(row))
        fill = Fill(
            fill_id=self.fill_id(row),
            client_order_id=client_id,
            symbol=symbol,
            side=Side.of(row.get("side"), "side"),
            quantity=quantity * self._sizes[symbol],
            price=price,
            venue_ts_ns=ts_ns,
            local_ts_ns=local_ts_ns,
            liquidity=self.liquidity_of(row),
            fee=fee,
            fee_currency=currency,
            mode=mode,
            venue=self.id,
        )
        return VenueUpdate(
            kind=UpdateKind.FILL,
            client_order_id=client_id,
            venue_order_id=str(row.get("order") or ""),
            venue_ts_ns=ts_ns,
            local_ts_ns=local_ts_ns,
            fill=fill,
        )

    def fill_id(self, row: Answer) -> str:
        """One form for what REST and the stream write as text, number, or with leading zeros.
        Unique within a symbol, as the ledger keys it."""
        text = str(row.get("id") or "")
        if not text:
            raise RetryLater(f"{self.title} told of a fill without an id")
        return str(int(text)) if text.isdigit() else text

    def fill_order(self, row: Answer) -> tuple[int, str]:
        """Order of fills of one time: by number where ids are numbers."""
        text = self.fill_id(row)
        return (int(text), "") if text.isdigit() else (0, text)

    def fee_of(self, row: Answer) -> tuple[Decimal, str]:
        """(fee, currency), positive as paid; (0, "") where the row tells none."""
        fee = row.get("fee") or {}
        cost, currency = exact(fee.get("cost")), fee.get("currency")
        return (cost, str(currency)) if cost is not None and currency else (ZERO, "")

    def liquidity_of(self, row: Answer) -> Liquidity:
        word = row.get("takerOrMaker")
        return Liquidity(word) if word in ("maker", "taker") else Liquidity.UNKNOWN

    # ------------------------------------------------------------------------------ holdings

    def parse_holdings(self, answers: Iterable[Any], ts_ns: int) -> Holdings:
        """From the answers to `holdings_calls`, in that order; a list is positions."""
        balances: dict[str, Decimal] = {}
        free: dict[str, Decimal] = {}
        positions: dict[str, Decimal] = {}
        for answer in answers:
            if isinstance(answer, list):
                for row in answer:
                    self._add_position(row, positions)
                continue
            for into, key in ((balances, "total"), (free, "free")):
                for currency, value in (answer.get(key) or {}).items():
                    if (number := exact(value)) is not None:
                        into[currency] = into.get(currency, ZERO) + number
        return Holdings(
            balances={c: q for c, q in balances.items() if q},
            free={c: q for c, q in free.items() if q},
            positions={s: q for s, q in positions.items() if q},
            ts_ns=ts_ns,
        )

    def _add_position(self, row: Answer, positions: dict[str, Decimal]) -> None:
        symbol, size = self.own_symbol(row.get("symbol")), exact(row.get("contracts"))
        if not symbol or not size:
            return
        if row.get("side") not in ("long", "short"):
            raise RetryLater(f"{self.title} told of a position in {symbol} without a side")
        sign = 1 if row["side"] == "long" else -1
        unit = self._sizes[symbol]
        positions[symbol] = positions.get(symbol, ZERO) + sign * abs(size) * unit

    # ------------------------------------------------------------------------------ refusals

    def code_of(self, message: str) -> str:
        """The exchange's own error code in the text of a ccxt error, "" if there is none. The last
        one: where an answer wraps another, the inner one tells."""
        found = [c for c in _CODE.findall(message.replace('": ', '":')) if c not in ("0", "1")]
        return found[-1] if found else ""

    def verdict(self, code: str, message: str) -> tuple[Verdict, str] | None:
        """(verdict, reason) where this exchange's code or words decide; None: go by the class of
        the error. Words first: they tell apart what one code covers."""
        lowered = message.lower()
        for part, decided in self.words.items():
            if part in lowered:
                return decided
        return self.codes.get(code)


def reject_text(message: str) -> str:
    """The exchange's own message out of a ccxt error, for people; at most 120 characters."""
    brace = message.find("{")
    try:
        body = json.loads(message[brace:]) if brace >= 0 else {}
    except ValueError:
        body = {}
    text = ""
    if isinstance(body, dict):
        text = str(body.get("msg") or body.get("retMsg") or body.get("message") or "")
    return (text or message)[:120]


def exact(value: object) -> Decimal | None:
    """A finite number of an answer; None for none. Text is taken too: ccxt keeps some as text."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None
