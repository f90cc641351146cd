"""The error tree, sorted by what the caller should do next.

    ExecKitError
    ├── FixRequest (ValueError)     nothing was sent or written: correct the input and call again
    │   ├── InvalidInput            one field of the input; names field, value, row, way out
    │   ├── InvalidData             a file or table of market data or orders that cannot be used
    │   ├── IllegalTransition       an order was asked to make a move its state does not allow
    │   └── PropertyBroken          a model of one's own lacks a property; names it, with an example
    ├── RetryLater                  the same call may succeed later; nothing was half done
    │   └── StoreLocked             another process holds the DuckDB file; names it
    ├── StopTrading                 the engine halts: a human looks before anything adds risk
    │   ├── JournalCorrupt          the hash chain is broken, or the tail that was seen is gone
    │   ├── JournalUnwritable       no space, no permission: an intent cannot be made durable
    │   └── StoreCorrupt            the DuckDB file cannot be opened: `execkit store rebuild`
    └── OutcomeUnknown              sent, and no venue evidence yet: look up, never send again

A refusal by `RiskGuard` is a value (`Refused`), not an exception.
"""

from __future__ import annotations


class ExecKitError(Exception):
    """Base of every error that execkit raises on purpose."""


class FixRequest(ExecKitError, ValueError):
    """Nothing was sent or written; correct the request and call again."""


class InvalidInput(FixRequest):
    """One field of the caller's input is unusable.

    Parameters
    ----------
    field : name of the argument, column or setting, as the caller wrote it.
    value : the offending value; shown with ``repr``, cut at 80 characters.
    fix : the way out, as an imperative sentence without a full stop.
    row : position (from 0) of the offending row in a table; None for a scalar argument.
    """

    def __init__(self, field: str, value: object, fix: str, *, row: int | None = None) -> None:
        # a numpy scalar reads as the number that it is
        number = type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0
        shown = repr(value.item() if number else value)  # type: ignore[attr-defined]
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        where = "" if row is None else f" in row {row} (from 0)"
        super().__init__(f"{field} = {shown}{where}: {fix}")
        self.field, self.value, self.fix, self.row = field, value, fix, row

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.field, self.value, self.fix, self.row))


class InvalidData(FixRequest):
    """A file or table of market data or orders cannot be used as it is."""


class IllegalTransition(FixRequest):
    """An order was asked to make a move that its state does not allow."""


class PropertyBroken(FixRequest):
    """A model breaks a property that the simulator relies on.

    wanted : what should hold, as a sentence. example : what was found instead.
    """

    def __init__(self, wanted: str, example: str) -> None:
        super().__init__(f"{wanted}; but {example}")
        self.wanted, self.example = wanted, example

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.wanted, self.example))


class RetryLater(ExecKitError):
    """The same call may succeed later; nothing was half done."""


class StoreLocked(RetryLater):
    """Another process holds the DuckDB file."""


class StopTrading(ExecKitError):
    """The engine halts; a human looks before anything adds risk."""


class JournalCorrupt(StopTrading):
    """The journal's hash chain is broken, or rows that were once seen are gone."""


class JournalUnwritable(StopTrading):
    """An intent cannot be made durable: no space left, or no permission."""


class StoreCorrupt(StopTrading):
    """The DuckDB file cannot be opened; it can be rebuilt from the journal."""


class OutcomeUnknown(ExecKitError):
    """A request was sent and no venue evidence says yet what became of it."""


def _rebuild(
    kind: type[InvalidInput], field: str, value: object, fix: str, row: int | None
) -> InvalidInput:
    return kind(field, value, fix, row=row)
