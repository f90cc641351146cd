"""One symbol of a PaperVenue: a kernel Core that grows as orders come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np

from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching import loop
from execkit.matching import state as st
from execkit.matching.reference_price import reference_prices
from execkit.matching.tape import build_tape
from execkit.models.fill import FillModel
from execkit.order_table import SIDES, TIFS, TYPES
from execkit.simulator import model_arrays
from execkit.venues.base import Quote

_ROOM = 256


class PaperBook:
    """Orders of one symbol against its tape, moved forward step by step."""

    def __init__(
        self,
        market: MarketData,
        symbol: str,
        model: FillModel,
        fidelity: str,
        position: Decimal | None = None,
    ) -> None:
        self._market = build_tape(market, symbol, fidelity)
        self._reference = reference_prices(self._market)
        self.instrument = self._market.instrument
        flags, floats = model_arrays(model, self._market)
        self._core = st.new_core(
            flags, floats, orders=_ROOM, groups=_ROOM, levels=self._market.levels, log=4 * _ROOM
        )
        self._rows: list[int] = []  # the venue's row of each of our orders
        self._own_of: dict[int, int] = {}
        self._groups: dict[str, int] = {}
        self._saved: st.Core | None = None
        if position is not None:
            self.hold(position)

    @property
    def busy(self) -> bool:
        """Whether an order is live here or under way, so that something can happen."""
        s = self._core.s
        return bool(s[st.LIVE] > 0 or s[st.AT_OWN] < s[st.N_OWN])

    def price(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.instrument.price_decimals)

    def quantity(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.instrument.quantity_decimals)

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
        o, units = self._core.orders, self._units
        o[:, own] = 0
        o[st.SIDE, own], o[st.TYPE, own] = SIDES.index(order.side), TYPES.index(order.order_type)
        o[st.TIF, own] = TIFS.index(order.time_in_force)
        o[st.POST, own], o[st.REDUCE, own] = order.post_only, order.reduce_only
        o[st.QTY, own] = o[st.REM, own] = units(order.quantity, self.instrument.quantity_decimals)
        decimals = self.instrument.price_decimals
        o[st.LIMIT, own] = units(order.price, decimals)
        o[st.STOP, own] = units(order.stop_price, decimals)
        o[[st.WATER, st.TRIG_TS, st.DONE_TS, st.ARRIVAL], own] = st.NONE
        self._core.trail[own] = float(order.trail_bps or 0) / 1e4
        self._join_group(own, order.oco_group)
        o[st.EXPIRY, own] = order.expire_ts_ns or 0
        self._core.s[st.N_ORDERS] = own + 1
        self._own_event(arrival_ns, st.ARRIVE, own)
        o[st.ARRIVAL, own] = arrival_ns
        if order.expire_ts_ns is not None:
            self._own_event(max(order.expire_ts_ns, arrival_ns), st.EXPIRE, own)

    def cancel(self, row: int, at_ns: int) -> None:
        own = self._own_of[row]
        self._own_event(max(at_ns, int(self._core.orders[st.ARRIVAL, own])), st.CANCEL, own)

    def advance(self, until_ns: int, *, stop: bool) -> int | None:
        """Run up to `until_ns`; with `stop`, return the time of the first thing that happened."""
        self._core, _ = loop.run(self._core, self._market.tape, until_ns, stop=stop)
        n = int(self._core.s[st.N_LOG])
        return int(self._core.log[st.L_TS, n - 1]) if stop and n else None

    def remember(self) -> None:
        """Keep a copy, because another symbol may turn out to have news first."""
        self._saved = st.Core(*(array.copy() for array in self._core))

    def go_back_if_beyond(self, ts_ns: int) -> None:
        """Undo the last run if its news is later than `ts_ns`."""
        n = int(self._core.s[st.N_LOG])
        if self._saved is not None and n and self._core.log[st.L_TS, n - 1] > ts_ns:
            self._core = self._saved
        self._saved = None

    def news(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """The log as (time, venue's row, entry), which is then empty. An order that filled whole
        needs no word of its own."""
        entries = self._core.log[:, : int(self._core.s[st.N_LOG])].copy()
        self._core.s[st.N_LOG] = 0
        for entry in entries.T:
            if entry[st.L_KIND] != st.K_END or entry[st.L_PRICE] != st.S_FILLED:
                yield int(entry[st.L_TS]), self._rows[int(entry[st.L_ROW])], entry

    def next_ns(self) -> int | None:
        at = int(self._core.s[st.AT_TAPE])
        return int(self._market.tape.ts[at]) if at < len(self._market.tape.ts) else None

    def last_ns(self) -> int | None:
        """When the last event has run; on bars a nanosecond later, for own events at one time run
        before the market there. That is also the last time at which an order can be sent."""
        ts = self._market.tape.ts
        return int(ts[-1]) + (self._market.fidelity == "bars") if len(ts) else None

    def hold(self, position: Decimal) -> None:
        """What reduce_only orders may reduce from here on."""
        self._core.s[st.POSITION] = self._units(position, self.instrument.quantity_decimals)

    def quote(self, now_ns: int) -> Quote | None:
        """The newest event that has run. The open of a bar that begins now is not yet known: an
        order that arrives now takes that open and cannot be measured against it."""
        at_tape = int(self._core.s[st.AT_TAPE])
        tape = self._market.tape
        if at_tape and tape.kind[at_tape - 1] == st.OPEN and tape.ts[at_tape - 1] == now_ns:
            at_tape -= 1
        if at_tape == 0:
            return None
        r = self._reference
        at = int(np.searchsorted(r.ts_ns, tape.ts[at_tape - 1], side="right")) - 1
        if r.on_bars:
            at = at_tape - 1  # the reference has a row for each event of the tape
        return self._shown(at) if at >= 0 else None

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

    @staticmethod
    def _units(value: Decimal | None, decimals: int) -> int:
        return 0 if value is None else int(value.scaleb(decimals))

    def _join_group(self, own: int, name: str) -> None:
        o = self._core.orders
        o[st.OCO, own], o[st.NEXT, own] = -1, -1
        if not name:
            return
        group = self._groups.setdefault(name, len(self._groups))
        if group >= self._core.groups.shape[1]:
            self._core = st.grow(self._core, groups=2 * self._core.groups.shape[1])
        o[st.OCO, own] = group
        o[st.NEXT, own] = self._core.groups[0, group]
        self._core.groups[0, group] = own

    def _make_room(self, orders: int) -> None:
        have = self._core.orders.shape[1]
        if orders > have:
            names = ("orders", "trail", "rest", "stops", "trails", "takes")
            self._core = st.grow(self._core, **dict.fromkeys(names, 2 * have))

    def _own_event(self, ts: int, kind: int, own: int) -> None:
        """Insert into the sorted own events that have not run yet. What would happen after the end
        of the data is not known to have happened."""
        core = self._core
        if ts > self._market.tape.ts[-1]:
            return
        n, at = int(core.s[st.N_OWN]), int(core.s[st.AT_OWN])
        if n == core.own.shape[1]:
            core = self._core = st.grow(core, own=2 * n)
        waiting = core.own[:, at:n]
        key = (ts, kind, own)
        place = n
        while place > at and tuple(waiting[:, place - 1 - at]) > key:
            place -= 1
        core.own[:, place + 1 : n + 1] = core.own[:, place:n].copy()
        core.own[:, place] = key
        core.s[st.N_OWN] = n + 1
