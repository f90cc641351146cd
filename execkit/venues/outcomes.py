"""What an error says about the request that it ended: the classifier between ccxt and the engine.

The class of a ccxt exception does not tell "not sent" from "unknown" from "refused": a connection
refused and one cut after the order arrived raise the same, and an answer that was cut in half looks
like a refusal. So the decision is by (were bytes written?, HTTP status, the exchange's code, its
words, class of the exception), and whatever is not listed is UNKNOWN: looked up, never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from execkit.domain import ExecutionOrder
from execkit.errors import ExecKitError, InvalidInput, OutcomeUnknown, RetryLater, StopTrading
from execkit.redaction import redacted
from execkit.venues.quirks.calls import Verdict
from execkit.venues.quirks.reading import reject_text
from execkit.venues.wire import Wire

_V = Verdict
# Classes that ccxt gives to an exchange's own, known code; the most special first.
_CLASSES: Mapping[str, tuple[Verdict, str]] = {
    "DuplicateOrderId": (_V.EXISTS, "duplicate_id"),
    "OrderNotFound": (_V.GONE, "unknown_order"),
    "OrderImmediatelyFillable": (_V.REJECTED, "post_only"),
    "OrderNotFillable": (_V.REJECTED, "rejected"),
    "InsufficientFunds": (_V.REJECTED, "insufficient_balance"),
    "ContractUnavailable": (_V.REJECTED, "halted"),
    "MarketClosed": (_V.REJECTED, "halted"),
    "InvalidOrder": (_V.REJECTED, "rejected"),
    "BadSymbol": (_V.REJECTED, "unknown_symbol"),
    "PermissionDenied": (_V.REJECTED, "no_permission"),
    "AccountSuspended": (_V.HALT, "no_permission"),
    "AccountNotEnabled": (_V.HALT, "no_permission"),
    "AuthenticationError": (_V.HALT, "no_permission"),
    "RateLimitExceeded": (_V.BACK_OFF, "rate_limited"),
    "InvalidNonce": (_V.RESYNC, "bad_timestamp"),
}
# What ccxt itself finds wrong with a request, before there is one.
_OURS = ("ArgumentsRequired", "BadRequest", "BadSymbol", "InvalidOrder", "NotSupported")
TOO_MANY = (418, 429)


class CodesLike(Protocol):
    """An exchange's codes and words (its quirks)."""

    @property
    def title(self) -> str: ...
    def code_of(self, message: str) -> str: ...
    def verdict(self, code: str, message: str) -> tuple[Verdict, str] | None: ...


class ShapeLike(Protocol):
    """How an exchange's answer names an order (its quirks)."""

    def own_symbol(self, name: str | None) -> str: ...
    def venue_id(self, row: Mapping[str, Any]) -> str: ...
    def wire_id(self, row: Mapping[str, Any]) -> str | None: ...
    def decode_id(self, text: str | None) -> str: ...
    def quantity_of(self, row: Mapping[str, Any]) -> Decimal | None: ...
    def exchange_quantity(self, symbol: str, quantity: Decimal) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a request, as far as its end tells.

    verdict : see `Verdict`; REJECTED with `sent` False if no byte of it left. reason : one word.
    message : for people; holds no key, signature or address. wrong : it was our request that was
    malformed, so that the same call would fail again. retry_after_s : how long the exchange wants
    to be left alone, None where it does not say.
    """

    verdict: Verdict
    reason: str = ""
    message: str = ""
    sent: bool = True
    wrong: bool = False
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        return f"{self.reason}: {self.message}" if self.message else self.reason

    def error(self, what: str) -> ExecKitError:
        """As an exception of a request that asks or changes something, said of `what`."""
        text = f"{what}: {self.text}"
        if self.wrong:
            return InvalidInput("request", what, self.text)
        if self.verdict is _V.HALT:
            return StopTrading(text)
        if self.verdict in (_V.UNKNOWN, _V.EXISTS):
            return OutcomeUnknown(text)
        return RetryLater(text)


def classify(error: BaseException, wire: Wire | None, codes: CodesLike) -> Outcome:
    """What `error` says about the last request of the call that raised it.

    wire : of that request; None if there was none. A plain `TimeoutError` or a cancellation counts
    as what it is: the request may have arrived.
    """
    names = [kind.__name__ for kind in type(error).__mro__]
    if wire is None or not wire.written:
        ours = wire is None and next((n for n in names if n in _OURS), "")
        message = redacted(str(error)) if ours else _cause(error)
        return Outcome(
            verdict=_V.REJECTED,
            reason="not_sent",
            message=message,
            sent=False,
            wrong=bool(ours),
        )
    message = redacted(reject_text(wire.body)) if wire.body else _cause(error)
    if not wire.status:
        return Outcome(verdict=_V.UNKNOWN, reason="no_answer", message=message)
    pause_s, code = wire.retry_after_s, codes.code_of(wire.body)
    told = (message if not code else f"{code} {message}")[:160]
    if wire.status >= 500 or wire.status == 408:
        # the front door may be broken while the order stands behind it
        return Outcome(
            verdict=_V.UNKNOWN, reason=f"http_{wire.status}", message=told, retry_after_s=pause_s
        )
    said = codes.verdict(code, wire.body) if code or wire.status >= 400 else None
    if said is None and wire.status in TOO_MANY:
        said = (_V.BACK_OFF, "rate_limited")
    if said is None and (code or wire.method == "WS"):  # ccxt drops the code of some
        said = next((_CLASSES[name] for name in names if name in _CLASSES), None)
    verdict, reason = said or (_V.UNKNOWN, "")
    return Outcome(
        verdict=verdict,
        reason=reason or f"http_{wire.status}",
        message=told,
        retry_after_s=pause_s,
    )


def misfit(order: ExecutionOrder, row: object, shape: ShapeLike) -> str:
    """What is wrong with the answer to a sent order; "" if it speaks of that order. An answer that
    does not is no answer: the order may be there all the same."""
    if not isinstance(row, Mapping) or not shape.venue_id(row):
        return "the answer names no order"
    wire_id = shape.wire_id(row)
    if wire_id and shape.decode_id(wire_id) != order.client_order_id:
        return f"the answer is about the order {shape.decode_id(wire_id)!r}"
    name, side, quantity = row.get("symbol"), row.get("side"), shape.quantity_of(row)
    if name and shape.own_symbol(name) != order.symbol:
        return f"the answer is about {name}"
    if side and side != order.side.value:
        return f"the answer is about a {side}"
    if quantity and quantity != Decimal(shape.exchange_quantity(order.symbol, order.quantity)):
        return f"the answer is about a quantity of {quantity}"
    return ""


def _cause(error: BaseException) -> str:
    """What went wrong below ccxt. Its own text is left out: it can hold a signed address."""
    cause = error.__cause__
    if cause is None:
        return type(error).__name__
    return redacted(f"{type(cause).__name__}: {cause}".strip(": "))[:160]
