"""What the kernel found, gathered over symbols: one entry an order, and one a fill."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from execkit.matching import state as st
from execkit.matching.tape import SymbolTape

ABSENT = np.iinfo(np.int64).min
"""A time that did not come."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What became of one symbol's orders: one entry an order, and one a fill, in kernel integers.

    status, reason : int codes of `matching.state`. triggered_ns, done_ns : ABSENT if it did not
    happen. Fills in the order in which they happened; fill_row counts the orders of this symbol.
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
            status=o[st.STATUS],
            reason=o[st.REASON],
            triggered_ns=np.where(o[st.TRIG_TS] == st.NONE, ABSENT, o[st.TRIG_TS]),
            done_ns=np.where(o[st.DONE_TS] == st.NONE, ABSENT, o[st.DONE_TS]),
            fill_row=log[st.L_ROW],
            fill_ts=log[st.L_TS],
            fill_price=log[st.L_PRICE],
            fill_quantity=log[st.L_QTY],
            fill_maker=log[st.L_MAKER].astype(bool),
            ambiguous=int(core.s[st.AMBIGUOUS]),
        )


@dataclass(slots=True, eq=False)
class Columns:
    """Outcome of a simulation as arrays: one entry an order, and one a fill."""

    status: np.ndarray
    reason: np.ndarray
    arrival_ns: np.ndarray
    triggered_ns: np.ndarray
    done_ns: np.ndarray
    filled: np.ndarray
    average: np.ndarray
    fill_row: np.ndarray
    fill_ts: np.ndarray
    fill_price: np.ndarray
    fill_quantity: np.ndarray
    fill_maker: np.ndarray
    ambiguous: int = 0
    impact_cost: np.ndarray | None = None
    parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    @classmethod
    def empty(cls, n: int) -> Columns:
        def times() -> np.ndarray:
            return np.full(n, ABSENT, dtype=np.int64)

        return cls(
            status=np.zeros(n, dtype=np.int8),
            reason=np.zeros(n, dtype=np.int8),
            arrival_ns=times(),
            triggered_ns=times(),
            done_ns=times(),
            filled=np.zeros(n),
            average=np.full(n, np.nan),
            fill_row=np.zeros(0, dtype=np.int64),
            fill_ts=np.zeros(0, dtype=np.int64),
            fill_price=np.zeros(0),
            fill_quantity=np.zeros(0),
            fill_maker=np.zeros(0, dtype=bool),
        )

    def add(self, found: Found, rows: np.ndarray, market: SymbolTape) -> None:
        """Take over what was found for the orders of one symbol."""
        units = market.units
        self.status[rows], self.reason[rows] = found.status, found.reason
        self.triggered_ns[rows], self.done_ns[rows] = found.triggered_ns, found.done_ns
        row, price, quantity = found.fill_row, found.fill_price, found.fill_quantity
        total = np.bincount(row, quantity, minlength=len(rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            if market.instrument.is_inverse:
                average = total / np.bincount(row, quantity / price, minlength=len(rows))
            else:
                weight = quantity.astype(float) * price
                average = np.bincount(row, weight, minlength=len(rows)) / total
        self.filled[rows] = total / units.quantity
        self.average[rows] = average / units.price
        self.ambiguous += found.ambiguous
        self.parts.append(
            (
                rows[row],
                found.fill_ts,
                price / units.price,
                quantity / units.quantity,
                found.fill_maker,
            )
        )

    def finish(self) -> Columns:
        """Fills of all symbols in one order of time."""
        if self.parts:
            row, ts, price, quantity, maker = (
                np.concatenate(p) for p in zip(*self.parts, strict=True)
            )
            order = np.argsort(ts, kind="stable")
            self.fill_row, self.fill_ts = row[order], ts[order]
            self.fill_price, self.fill_quantity = price[order], quantity[order]
            self.fill_maker = maker[order]
        self.parts = []
        return self
