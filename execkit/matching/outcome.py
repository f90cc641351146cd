"""What became of the orders: by symbol as found, and gathered over symbols."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from execkit.matching import state as st

if TYPE_CHECKING:
    from execkit.instruments import Units
    from execkit.request import Part, Request

ABSENT = np.iinfo(np.int64).min
"""A time that did not come."""

NOT_TAKEN = len(st.REASONS)
"""The reason of an order that the venue did not take: not the matching's doing."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What became of one symbol's orders: one entry an order, and one a fill, in kernel integers.

    status, reason : int codes of `matching.state`. triggered_ns, done_ns : ABSENT if it did not
    happen. Fills in the order in which they happened; fill_row counts the orders of this symbol.
    fill_price : where it is float64, prices as they are and not in units.
    Arrays may be shared and read-only; one that is the same everywhere may be a view of one value.
    """

    status: np.ndarray
    reason: np.ndarray
    triggered_ns: np.ndarray
    done_ns: np.ndarray
    fill_row: np.ndarray
    fill_ts: np.ndarray
    fill_price: np.ndarray
    fill_quantity: np.ndarray
    fill_maker: np.ndarray
    ambiguous: int

    @classmethod
    def of(cls, core: st.Core) -> Found:
        """The outcome that the event loop wrote into a Core."""
        o = core.orders
        log = core.log[:, : core.s[st.N_LOG]]
        log = log[:, log[st.L_KIND] == st.K_FILL]
        return cls(
            status=o[st.STATUS].astype(np.int8),
            reason=o[st.REASON].astype(np.int8),
            triggered_ns=np.where(o[st.TRIG_TS] == st.NONE, ABSENT, o[st.TRIG_TS]),
            done_ns=np.where(o[st.DONE_TS] == st.NONE, ABSENT, o[st.DONE_TS]),
            fill_row=log[st.L_ROW],
            fill_ts=log[st.L_TS],
            fill_price=log[st.L_PRICE],
            fill_quantity=log[st.L_QTY],
            fill_maker=log[st.L_MAKER].astype(bool),
            ambiguous=int(core.s[st.AMBIGUOUS]),
        )

    def prices(self, units: Units) -> np.ndarray:
        """Prices of the fills, float64."""
        price = self.fill_price
        return price if price.dtype == np.float64 else price / units.price


@dataclass(frozen=True, eq=False)
class Columns:
    """Outcome of a simulation as arrays: one entry an order, and one a fill, in order of time.

    one_each : every order filled once and whole, in the order of the rows. impact_cost,
    moved_average : of the fills and the orders, where impact was assumed.
    """

    status: np.ndarray
    reason: np.ndarray
    arrival_ns: np.ndarray
    triggered_ns: np.ndarray
    done_ns: np.ndarray
    fill_row: np.ndarray
    fill_ts: np.ndarray
    fill_price: np.ndarray
    fill_quantity: np.ndarray
    fill_maker: np.ndarray
    ambiguous: int
    one_each: bool
    answers: list[tuple[Part, Found]]
    impact_cost: np.ndarray | None = None
    moved_average: np.ndarray | None = None

    @classmethod
    def of(cls, request: Request, found: list[Found]) -> Columns:
        """Gather what was found for the parts of a request that have any orders."""
        answers = list(zip((p for p in request.parts if p.size), found, strict=True))
        if len(answers) == 1 and answers[0][0].chosen is None:
            return cls._of_one(request, *answers[0])
        n, lost = len(request.table), request.lost_ns != ABSENT
        orders = {
            "status": np.where(lost, st.S_REJECTED, st.S_INTENT).astype(np.int8),
            "reason": np.where(lost, NOT_TAKEN, st.R_NONE).astype(np.int8),
            "triggered_ns": np.full(n, ABSENT),
            "done_ns": request.lost_ns.copy(),
        }
        for part, one in answers:
            for name, column in orders.items():
                column[part.rows] = getattr(one, name)
        fills = _joined(answers)
        order = np.argsort(fills["fill_ts"], kind="stable")
        return cls(
            arrival_ns=request.arrival,
            ambiguous=sum(one.ambiguous for one in found),
            one_each=False,
            answers=answers,
            **orders,
            **{name: column[order] for name, column in fills.items()},
        )

    @classmethod
    def _of_one(cls, request: Request, part: Part, found: Found) -> Columns:
        """One symbol has all orders: its arrays are the columns."""
        units = part.market.units
        whole = found.fill_quantity is part.quantity
        return cls(
            status=found.status.astype(np.int8, copy=False),
            reason=found.reason.astype(np.int8, copy=False),
            arrival_ns=request.arrival,
            triggered_ns=found.triggered_ns,
            done_ns=found.done_ns,
            fill_row=found.fill_row,
            fill_ts=found.fill_ts,
            fill_price=found.prices(units),
            fill_quantity=request.table.quantity if whole else found.fill_quantity / units.quantity,
            fill_maker=found.fill_maker,
            ambiguous=found.ambiguous,
            one_each=whole and found.fill_row is request.positions,
            answers=[(part, found)],
        )

    @cached_property
    def filled(self) -> np.ndarray:
        """Quantity filled of each order, float64."""
        return self._sums[0]

    @cached_property
    def average(self) -> np.ndarray:
        """Average price of each order, float64; NaN where nothing filled."""
        return self._sums[1] if self.moved_average is None else self.moved_average

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        if self.one_each:
            return self.fill_quantity, self.fill_price
        filled, average = np.zeros(len(self.status)), np.full(len(self.status), np.nan)
        for part, found in self.answers:
            n, units = part.size, part.market.units
            row, quantity = found.fill_row, found.fill_quantity
            price = found.fill_price
            if price.dtype == np.float64:
                price = np.rint(price * units.price)
            total = np.bincount(row, quantity, minlength=n)
            with np.errstate(invalid="ignore", divide="ignore"):
                if part.market.instrument.is_inverse:
                    mean = total / np.bincount(row, quantity / price, minlength=n)
                else:
                    weight = quantity.astype(float) * price
                    mean = np.bincount(row, weight, minlength=n) / total
            filled[part.rows] = total / units.quantity
            average[part.rows] = mean / units.price
        return filled, average


def _joined(answers: list[tuple[Part, Found]]) -> dict[str, np.ndarray]:
    """The fills of several symbols, one symbol after the other."""
    parts: list[tuple[np.ndarray, ...]] = [tuple(np.zeros(0, kind) for kind in _KINDS.values())]
    for part, one in answers:
        units = part.market.units
        quantity = one.fill_quantity / units.quantity
        row = part.rows[one.fill_row]
        parts.append((row, one.fill_ts, one.prices(units), quantity, one.fill_maker))
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return dict(zip(_KINDS, columns, strict=True))


_KINDS = {
    "fill_row": np.int64,
    "fill_ts": np.int64,
    "fill_price": np.float64,
    "fill_quantity": np.float64,
    "fill_maker": bool,
}
