"""PaperVenue: an exchange made of a recorded market and the simulator's own kernel."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import TypeVar

import numpy as np

from execkit.domain import ExecutionOrder, Fill, Instrument
from execkit.errors import InvalidInput, RetryLater
from execkit.market import MarketData
from execkit.matching import state as st
from execkit.models.base import FeeLike, LatencyLike, Leg
from execkit.models.fee import FeeModel
from execkit.models.fill import FillModel, fill_model
from execkit.models.latency import LatencyModel
from execkit.venues.base import Listener, Quote, UpdateKind, VenueUpdate
from execkit.venues.paper_book import PaperBook
from execkit.words import ExecutionMode, Liquidity

_T = TypeVar("_T")
_ENDED = {
    st.S_CANCELED: UpdateKind.CANCELED,
    st.S_EXPIRED: UpdateKind.EXPIRED,
    st.S_REJECTED: UpdateKind.REJECTED,
}


class PaperVenue:
    """A `ReplayVenue` over recorded data: same orders, same data, same fills as `simulate`.

    Parameters
    ----------
    market : what was recorded. name : under which the engine routes to it. fill, fee, latency,
    seed, fidelity, initial_positions : as in `simulate`. Latency applies at the venue: an order
    submitted at t arrives at t + entry; what happens at t is known to us at t + response.

    The market moves only when `advance` is called, so an engine on a `ReplayClock` sees the same
    run every time. Money is not checked: margin and balances are the risk guard's business.
    """

    mode = ExecutionMode.PAPER

    def __init__(
        self,
        market: MarketData,
        name: str = "paper",
        fill: str | FillModel = "queue",
        *,
        fee: FeeLike | None = None,
        latency: LatencyLike | None = None,
        seed: int = 0,
        fidelity: str | Mapping[str, str] = "auto",
        initial_positions: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.market = market
        self._now_ns = min(market.span(s)[0] for s in market.symbols)
        self._fidelity = fidelity
        self._assume(name, fill, fee, latency, seed, initial_positions)

    def _assume(
        self,
        name: str,
        fill: str | FillModel,
        fee: FeeLike | None,
        latency: LatencyLike | None,
        seed: int,
        initial_positions: Mapping[str, Decimal] | None,
    ) -> None:
        """Set what does not depend on where the market comes from."""
        self.name = name
        self.fill = fill_model(fill)
        self.fee: FeeLike = fee or FeeModel()
        self.latency: LatencyLike = latency or LatencyModel()
        self.seed = seed
        self._start = dict(initial_positions or {})
        self._books: dict[str, PaperBook] = {}
        self._orders: list[ExecutionOrder] = []
        self._row_of: dict[str, int] = {}
        self._group_of: dict[str, str] = {}  # the symbol of each OCO group
        self._listener: Listener | None = None
        self._fill_times: list[int] = []
        self._volumes = [0.0]  # traded before each fill, and in all

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self.market.instruments

    @property
    def now_ns(self) -> int:
        """Time up to which the market has run."""
        return self._now_ns

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def connect(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to release."""

    async def submit(self, order: ExecutionOrder) -> None:
        """Take an order in; it arrives after the entry latency.

        Raises `InvalidInput` (surely not sent) for an unknown symbol, an order off the instrument's
        grid, a repeated client_order_id, an OCO group of another symbol, and a market that has
        ended; `RetryLater` where the latency model says that the venue does not take it, at once
        and not when we would be told.
        """
        if order.client_order_id in self._row_of:
            raise InvalidInput("client_order_id", order.client_order_id, "was sent before")
        book = self._book(order.symbol)
        sent = self._sent_ns(order)
        book.check(order, sent)
        if self._group_of.get(order.oco_group, order.symbol) != order.symbol:
            fix = f"is a group of {self._group_of[order.oco_group]}; use one group a symbol"
            raise InvalidInput("oco_group", order.oco_group, fix)
        if order.oco_group:
            self._group_of[order.oco_group] = order.symbol
        row = len(self._orders)
        delay = self._delay("entry", row, sent)
        self._orders.append(order)
        self._row_of[order.client_order_id] = row
        if delay < 0:
            raise RetryLater(f"{self.name} did not take {order.client_order_id}: overloaded")
        book.add(row, order, max(sent + delay, self._now_ns))

    async def cancel(self, order: ExecutionOrder) -> None:
        """Ask for a cancel; it arrives after the cancel latency, never before the order."""
        row = self._row_of.get(order.client_order_id)
        if row is None:
            raise InvalidInput("client_order_id", order.client_order_id, "is not known here")
        asked = max(self._now_ns, order.cancel_ts_ns or 0)
        delay = self._delay("cancel", row, asked)
        if delay < 0:
            raise RetryLater(f"{self.name} did not take the cancel of {order.client_order_id}")
        self._book(order.symbol).cancel(row, asked + delay)

    def hold(self, positions: Mapping[str, Decimal]) -> None:
        """Say what we hold, after a restart: a real exchange would know. Signed, by symbol."""
        self._start.update(positions)
        for symbol, quantity in positions.items():
            self._book(symbol).hold(quantity)

    def renew(self, market: MarketData) -> None:
        """Go on in another market, which is the same as far as this one has run."""
        self.market = market
        for book in self._books.values():
            book.renew(market)

    def quote(self, symbol: str) -> Quote | None:
        """What the market showed last, at the time up to which it has run."""
        return self._book(symbol).quote(self._now_ns)

    def seen(self, symbol: str, moments_ns: Sequence[int]) -> list[Quote]:
        """The quotes known at each moment, as far as the market has run, and the newest one."""
        return self._book(symbol).seen(moments_ns, self._now_ns)

    def next_market_ns(self) -> int | None:
        """Time of the next event of any symbol that was asked for, None when all have ended."""
        times = [t for b in self._books.values() if (t := b.next_ns()) is not None]
        return min(times, default=None)

    def last_market_ns(self) -> int | None:
        """When the last event of any symbol that was asked for has run."""
        times = [t for b in self._books.values() if (t := b.last_ns()) is not None]
        return max(times, default=None)

    def advance(self, until_ns: int) -> int:
        """Run the market up to `until_ns` or just past the first moment that has an update.

        Symbols move together: no symbol's market runs beyond that moment.
        """
        if until_ns < self._now_ns:
            raise InvalidInput("until_ns", until_ns, f"the market is already at {self._now_ns}")
        reached = until_ns
        busy = [book for book in self._books.values() if book.busy]
        for book in busy:
            if len(busy) > 1:
                book.remember()
            happened = book.advance(reached, stop=True)
            reached = reached if happened is None else min(reached, happened)
        if len(busy) > 1:
            for book in busy:
                book.go_back_if_beyond(reached)
        for book in self._books.values():
            if len(busy) > 1 or book not in busy:
                book.advance(reached, stop=False)
        self._now_ns = max(self._now_ns, reached)
        for update in self._collect():
            if self._listener is not None:
                self._listener(update)
        return reached

    # ------------------------------------------------------------------ parts

    def _sent_ns(self, order: ExecutionOrder) -> int:
        return max(self._now_ns, order.sent_ts_ns or order.created_ts_ns)

    def _delay(self, leg: Leg, row: int, ts_ns: int) -> int:
        model = self.latency
        if type(model) is LatencyModel and not model.jitter_ns:
            return int(getattr(model, f"{leg}_ns"))
        return int(model.delay(leg, np.array([row]), self.seed, np.array([ts_ns]))[0])

    def _book(self, symbol: str) -> PaperBook:
        book = self._books.get(symbol)
        if book is None:
            choice = self._fidelity
            kind = choice if isinstance(choice, str) else choice.get(symbol, "auto")
            book = PaperBook(self.market, symbol, self.fill, kind, self._start.get(symbol))
            book.advance(self._now_ns, stop=False)
            self._books[symbol] = book
        return book

    def _collect(self) -> list[VenueUpdate]:
        """New log entries as updates, in order of time, then of symbol, then as they happened."""
        entries = [
            (ts, row, entry, book)
            for _, book in sorted(self._books.items())
            for ts, row, entry in book.news()
        ]
        entries.sort(key=itemgetter(0))
        return [self._update(row, ts, entry, book) for ts, row, entry, book in entries]

    def _update(self, row: int, ts: int, entry: list[int], book: PaperBook) -> VenueUpdate:
        order = self._orders[row]
        delay = self._delay("response", row, ts)
        kind, reason, fill = UpdateKind.ACCEPTED, "", None
        if entry[st.L_KIND] == st.K_TRIGGER:
            kind = UpdateKind.TRIGGERED
        elif entry[st.L_KIND] == st.K_FILL:
            kind = UpdateKind.FILL
            fill = self._fill(row, ts, ts + delay, entry, book)
        elif entry[st.L_KIND] == st.K_END:
            kind = _ENDED[entry[st.L_PRICE]]
            reason = st.REASONS[entry[st.L_QTY]]
        return _made(
            VenueUpdate,
            kind=kind,
            client_order_id=order.client_order_id,
            venue_order_id=f"{self.name}-{row + 1}",
            venue_ts_ns=ts,
            local_ts_ns=ts + delay,
            reason=reason,
            fill=fill,
        )

    def _fill(self, row: int, ts: int, local: int, entry: list[int], book: PaperBook) -> Fill:
        order, instrument = self._orders[row], book.instrument
        price = book.price(entry[st.L_PRICE])
        quantity = book.quantity(entry[st.L_QTY])
        maker = bool(entry[st.L_MAKER])
        # the very floats of `simulate`: one rounded digit apart would be another fee
        notional = float(quantity) * float(instrument.contract_size)
        notional *= 1.0 if instrument.is_inverse else float(price)
        fee = self._charge(ts, notional, notional / float(price), maker, instrument)
        return _made(
            Fill,
            fill_id=f"{order.client_order_id}-{len(self._fill_times)}",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            venue_ts_ns=ts,
            local_ts_ns=local,
            liquidity=Liquidity.MAKER if maker else Liquidity.TAKER,
            fee=fee,
            fee_currency=self.fee.currency_of(
                instrument.base, instrument.quote, inverse=instrument.is_inverse
            ),
            parent_order_id=order.parent_order_id,
            run_id="",
            mode=self.mode,
            venue=self.name,
        )

    def _charge(
        self, ts: int, notional: float, base: float, maker: bool, instrument: Instrument
    ) -> Decimal:
        """Fee of the newest fill; its tier looks at the fills before it."""
        times, before = self._fill_times, self._volumes
        first = bisect_left(times, ts - self.fee.window_ns)
        volume = self.fee.start_volume + before[-1] - before[first]
        times.append(ts)
        before.append(before[-1] + notional)
        row, inverse = (notional, base, maker, volume), instrument.is_inverse
        if type(self.fee) is FeeModel:
            return Decimal(str(self.fee.charge_one(*row, inverse=inverse)))
        columns = (np.array([value]) for value in row)
        return Decimal(str(float(self.fee.charge(*columns, inverse=inverse)[0])))


def _made(kind: type[_T], /, **fields: object) -> _T:
    """A frozen one with all its fields, which are ours and of the right form: to check each of them
    would cost more than the match did."""
    made = object.__new__(kind)
    made.__dict__.update(fields)
    return made
