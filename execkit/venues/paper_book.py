"""One symbol of a PaperVenue: a kernel Core that grows as orders come in."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching import loop
from execkit.matching import state as st
from execkit.matching.reference_price import reference_prices
from execkit.matching.tape import SymbolTape, build_tape
from execkit.models.fill import FillModel
from execkit.order_table import SIDES, TIFS, TYPES
from execkit.simulator import model_arrays
from execkit.venues.base import Quote

_ROOM = 256
_WAITING = [st.REST_BUYS, st.REST_SELLS, st.STOP_BUYS, st.STOP_SELLS, st.N_TRAIL, st.N_TAKE]
_SIDE = {side: code for code, side in enumerate(SIDES)}
_TYPE = {kind: code for code, kind in enumerate(TYPES)}
_TIF = {tif: code for code, tif in enumerate(TIFS)}


class PaperBook:
    """Orders of one symbol against its tape, moved forward step by step.

    While no order is live nothing can happen, so then only a cursor moves; the kernel runs through
    what it missed when the next order is there.
    """

    def __init__(
        self,
        market: MarketData,
        symbol: str,
        model: FillModel,
        fidelity: str,
        position: Decimal | None = None,
    ) -> None:
        tape = build_tape(market, symbol, fidelity)
        self._reference = reference_prices(tape)
        self._begin(tape, model, position)

    def _begin(self, market: SymbolTape, model: FillModel, position: Decimal | None) -> None:
        """Set up an empty book and no orders at the start of a tape."""
        self._market, self._tape = market, market.tape
        self.instrument = market.instrument
        flags, floats = model_arrays(model, market)
        self._core = st.new_core(
            flags, floats, orders=_ROOM, groups=_ROOM, levels=market.levels, log=4 * _ROOM
        )
        self._rows: list[int] = []  # the venue's row of each of our orders
        self._own_of: dict[int, int] = {}
        self._groups: dict[str, int] = {}
        self._saved: list[tuple[str, Any, np.ndarray]] = []
        self._ts = self._tape.ts
        self._on_bars = market.fidelity == "bars"
        self._price_decimals = self.instrument.price_decimals
        self._quantity_decimals = self.instrument.quantity_decimals
        self._cursor = self._was_at = 0  # tape events that have run, or would have
        self._quote: tuple[int, Quote | None] = (0, None)  # shown after that many events
        if position is not None:
            self.hold(position)

    def renew(self, market: MarketData) -> None:
        """Read on from another market, which is the same as far as this one has run."""
        tape = build_tape(market, self.instrument.symbol, self._market.fidelity)
        if tape.levels >= self._core.levels.shape[1]:
            self._core = st.grow(self._core, levels=tape.levels + 1)
        self._market, self._tape, self._ts = tape, tape.tape, tape.tape.ts
        self._reference, self._quote = reference_prices(tape), (0, None)

    @property
    def busy(self) -> bool:
        """Whether an order is live here or under way, so that something can happen."""
        s = self._core.s
        return bool(s[st.LIVE] > 0 or s[st.AT_OWN] < s[st.N_OWN])

    def price(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self._price_decimals)

    def quantity(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self._quantity_decimals)

    def check(self, order: ExecutionOrder, sent_ns: int) -> None:
        """Raise `InvalidInput` for what the exchange would not take, and after the market's end."""
        last = self.last_ns()
        if last is None or sent_ns > last:
            fix = f"the recorded market of {order.symbol} ended at {last}; send it earlier"
            raise InvalidInput("sent_ts_ns", sent_ns, fix)
        self.instrument.check(order.quantity, order.price)
        if order.stop_price is not None and order.stop_price % self.instrument.tick_size:
            raise InvalidInput(
                "stop_price", order.stop_price, f"is not a multiple of {self.instrument.tick_size}"
            )

    def add(self, row: int, order: ExecutionOrder, arrival_ns: int) -> None:
        """Queue an order that arrives at `arrival_ns`."""
        own = len(self._rows)
        self._make_room(own + 1)
        self._rows.append(row)
        self._own_of[row] = own
        column, units, decimals = [0] * st.ORDER_COLUMNS, self._units, self._price_decimals
        column[st.SIDE], column[st.TYPE] = _SIDE[order.side], _TYPE[order.order_type]
        column[st.TIF] = _TIF[order.time_in_force]
        column[st.POST], column[st.REDUCE] = order.post_only, order.reduce_only
        column[st.QTY] = column[st.REM] = units(order.quantity, self._quantity_decimals)
        column[st.LIMIT] = units(order.price, decimals)
        column[st.STOP] = units(order.stop_price, decimals)
        column[st.WATER] = column[st.TRIG_TS] = column[st.DONE_TS] = st.NONE
        column[st.EXPIRY], column[st.ARRIVAL] = order.expire_ts_ns or 0, arrival_ns
        column[st.OCO], column[st.NEXT] = self._join_group(own, order.oco_group)
        self._core.orders[:, own] = column
        self._core.trail[own] = float(order.trail_bps or 0) / 1e4
        self._core.s[st.N_ORDERS] = own + 1
        self._own_event(arrival_ns, st.ARRIVE, own)
        if order.expire_ts_ns is not None:
            self._own_event(max(order.expire_ts_ns, arrival_ns), st.EXPIRE, own)

    def cancel(self, row: int, at_ns: int) -> None:
        own = self._own_of[row]
        self._own_event(max(at_ns, int(self._core.orders[st.ARRIVAL, own])), st.CANCEL, own)

    def advance(self, until_ns: int, *, stop: bool) -> int | None:
        """Run up to `until_ns`; with `stop`, return the time of the first thing that happened."""
        if not self.busy:
            self._skip(until_ns)
            return None
        self._core, _ = loop.run(self._core, self._tape, until_ns, stop=stop)
        self._cursor = max(self._cursor, int(self._core.s[st.AT_TAPE]))
        n = int(self._core.s[st.N_LOG])
        return int(self._core.log[st.L_TS, n - 1]) if stop and n else None

    def _skip(self, until_ns: int) -> None:
        """Move on with no order live: on bars, events at `until_ns` itself are still to come."""
        at, ts, last = self._cursor, self._ts, until_ns - self._on_bars
        if at == len(ts) or ts[at] > last:
            return
        at += 1
        if at < len(ts) and ts[at] <= last:
            at = int(ts.searchsorted(last, side="right"))
        self._cursor = at

    def remember(self) -> None:
        """Keep a copy of what a run can change, because another symbol may turn out to have news
        first. Orders that have ended, by far the most after a while, do not change."""
        core, s = self._core, self._core.s
        alive = np.flatnonzero(core.orders[st.STATUS, : len(self._rows)] < st.S_FILLED)
        waiting = int(s[_WAITING].max())
        where: dict[str, Any] = {
            "orders": np.s_[:, alive],
            "groups": np.s_[:, : len(self._groups)],
            "levels": np.s_[:],
            "rest": np.s_[:, :waiting],
            "stops": np.s_[:, :waiting],
            "trails": np.s_[:waiting],
            "takes": np.s_[:waiting],
            "s": np.s_[:],
        }
        self._saved = [(name, at, getattr(core, name)[at].copy()) for name, at in where.items()]
        self._was_at = self._cursor

    def go_back_if_beyond(self, ts_ns: int) -> None:
        """Undo the last run if its news is later than `ts_ns`."""
        n = int(self._core.s[st.N_LOG])
        if self._saved and n and self._core.log[st.L_TS, n - 1] > ts_ns:
            for name, at, kept in self._saved:
                getattr(self._core, name)[at] = kept
            self._cursor = self._was_at
        self._saved = []

    def news(self) -> list[tuple[int, int, list[int]]]:
        """The log as (time, venue's row, entry), which is then empty. An order that filled whole
        needs no word of its own."""
        n = int(self._core.s[st.N_LOG])
        if not n:
            return []
        self._core.s[st.N_LOG] = 0
        return [
            (entry[st.L_TS], self._rows[entry[st.L_ROW]], entry)
            for entry in self._core.log[:, :n].T.tolist()
            if entry[st.L_KIND] != st.K_END or entry[st.L_PRICE] != st.S_FILLED
        ]

    def next_ns(self) -> int | None:
        return int(self._ts[self._cursor]) if self._cursor < len(self._ts) else None

    def last_ns(self) -> int | None:
        """When the last event has run; on bars a nanosecond later, for own events at one time run
        before the market there. That is also the last time at which an order can be sent."""
        return int(self._ts[-1]) + self._on_bars if len(self._ts) else None

    def hold(self, position: Decimal) -> None:
        """What reduce_only orders may reduce from here on."""
        self._core.s[st.POSITION] = self._units(position, self._quantity_decimals)

    def quote(self, now_ns: int) -> Quote | None:
        """The newest event that has run. The open of a bar that begins now is not yet known: an
        order that arrives now takes that open and cannot be measured against it."""
        at_tape = self._cursor
        if self._on_bars and at_tape:
            opens = self._tape.kind[at_tape - 1] == st.OPEN
            at_tape -= bool(opens and self._ts[at_tape - 1] == now_ns)
        if at_tape != self._quote[0]:
            at = at_tape - 1  # on bars the reference has a row for each event of the tape
            if not self._on_bars:
                at = int(self._reference.ts_ns.searchsorted(self._ts[at_tape - 1], "right")) - 1
            self._quote = at_tape, self._shown(at) if at >= 0 else None
        return self._quote[1]

    def seen(self, moments_ns: Sequence[int], now_ns: int) -> list[Quote]:
        """The quotes known at each moment up to now, and the newest one; each once, in order."""
        moments = np.minimum(np.append(np.asarray(moments_ns, dtype=np.int64), now_ns), now_ns)
        rows = np.unique(self._reference.index_at(moments))
        return [self._shown(int(at)) for at in rows if at >= 0]

    def _shown(self, at: int) -> Quote:
        r = self._reference
        return Quote(
            symbol=self.instrument.symbol,
            ts_ns=int(r.ts_ns[at]),
            bid=float(r.bid[at]),
            ask=float(r.ask[at]),
            bid_quantity=float(r.bid_quantity[at]),
            ask_quantity=float(r.ask_quantity[at]),
            last=float(r.last[at]),
        )

    # ------------------------------------------------------------------ parts

    def _beyond(self, ts_ns: int) -> bool:
        """What would happen after the end of the data is not known to have happened."""
        return bool(ts_ns > self._ts[-1])

    @staticmethod
    def _units(value: Decimal | None, decimals: int) -> int:
        return 0 if value is None else int(value.scaleb(decimals))

    def _join_group(self, own: int, name: str) -> tuple[int, int]:
        """The OCO group's number and the member that came before, -1 where there is none."""
        if not name:
            return -1, -1
        group = self._groups.setdefault(name, len(self._groups))
        if group >= self._core.groups.shape[1]:
            self._core = st.grow(self._core, groups=2 * self._core.groups.shape[1])
        before = int(self._core.groups[0, group])
        self._core.groups[0, group] = own
        return group, before

    def _make_room(self, orders: int) -> None:
        have = self._core.orders.shape[1]
        if orders > have:
            names = ("orders", "trail", "rest", "stops", "trails", "takes")
            self._core = st.grow(self._core, **dict.fromkeys(names, 2 * have))

    def _own_event(self, ts: int, kind: int, own: int) -> None:
        """Insert into the sorted own events that have not run yet."""
        core = self._core
        if self._beyond(ts):
            return
        n, at = int(core.s[st.N_OWN]), int(core.s[st.AT_OWN])
        if n == core.own.shape[1]:
            core = self._core = st.grow(core, own=2 * n)
        key = (ts, kind, own)
        place = n
        while place > at and tuple(core.own[:, place - 1]) > key:
            place -= 1
        if place < n:
            core.own[:, place + 1 : n + 1] = core.own[:, place:n].copy()
        core.own[:, place] = key
        core.s[st.N_OWN] = n + 1
