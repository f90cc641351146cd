"""What the public sees of one symbol: its book and prints, as far as the market has run."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import numpy as np

from execkit.instruments import units_of
from execkit.market import MarketData
from execkit.rehearsal.words import DepthChange, PublicPrint
from execkit.tables import BID, SELL, Table

_KEPT = 10_000  # prints that can be asked for

Level = tuple[Decimal, Decimal]


class Feed:
    """A cursor over the depth (or quotes) and prints of one symbol.

    offset_ns : what is added to the market's times to make them the venue's. Each message has one
    update id, counted from 1, so a reader notices what it has missed.
    """

    zero = Decimal(0)

    def __init__(self, market: MarketData, symbol: str, offset_ns: int) -> None:
        self.symbol, self.offset_ns = symbol, offset_ns
        self.instrument = market.instruments[symbol]
        self._units = units_of(self.instrument)
        self._scales = (-self.instrument.price_decimals, -self.instrument.quantity_decimals)
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.update_id = 0
        self.prints: deque[PublicPrint] = deque(maxlen=_KEPT)
        self.print_id = 0
        self.open_market(market)

    def open_market(self, market: MarketData) -> None:
        """Read on from `market`, which agrees with the one before as far as that was read."""
        self._depth = _table(market, "depth", self.symbol)
        self._quotes = None if self._depth is not None else _table(market, "quotes", self.symbol)
        self._prints = _table(market, "prints", self.symbol)
        book = self._depth if self._depth is not None else self._quotes
        self._ends = np.zeros(0, dtype=np.int64)
        self._times = self._ends
        if book is not None:
            changed = np.flatnonzero(_changed(book)) + 1
            self._ends = np.append(changed, len(book))
            self._times = book["ts_ns"][self._ends - 1]
        if not hasattr(self, "_message"):
            self._message = self._print = 0

    # ------------------------------------------------------------------ asking

    def book(self, limit: int = 5000) -> tuple[int, list[Level], list[Level]]:
        """The newest update id, and bids and asks, best first."""
        bids = sorted(self._sides[0].items(), reverse=True)[:limit]
        asks = sorted(self._sides[1].items())[:limit]
        return self.update_id, [self._level(*x) for x in bids], [self._level(*x) for x in asks]

    def best(self) -> tuple[Decimal | None, Decimal | None]:
        """Best bid and ask, None where a side is empty."""
        bids, asks = self._sides
        bid = self._price(max(bids)) if bids else None
        return bid, self._price(min(asks)) if asks else None

    def mark(self) -> Decimal | None:
        """The mid, else the one side there is, else the last print."""
        bid, ask = self.best()
        if bid is not None and ask is not None:
            return (bid + ask) / 2
        last = self.prints[-1].price if self.prints else None
        return bid or ask or last

    def cost(self, buys: bool, quantity: Decimal) -> Decimal | None:
        """Quote value of taking `quantity` from the displayed book; what is not displayed counts at
        the last level's price. None where that side is empty."""
        levels = self._facing(buys)
        if not levels:
            mark = self.mark()
            return None if mark is None else mark * quantity
        left, total, price = quantity, Decimal(0), levels[0][0]
        for price, size in levels:
            part = min(left, size)
            total, left = total + part * price, left - part
            if not left:
                break
        return total + left * price

    def quantity_for(self, buys: bool, quote: Decimal) -> Decimal:
        """Whole lots that `quote` buys from the displayed book (or that sell for it)."""
        levels, lot = self._facing(buys), self.instrument.lot_size
        left, total = quote, Decimal(0)
        for price, size in levels:
            part = min(size, left / price)
            total, left = total + part, left - part * price
            if left <= 0:
                break
        return total // lot * lot

    def _facing(self, buys: bool) -> list[Level]:
        _, bids, asks = self.book()
        return asks if buys else bids

    # ------------------------------------------------------------------ moving

    def advance(self, market_ns: int) -> list[DepthChange | PublicPrint]:
        """Everything up to `market_ns` (the market's own time), in order of time."""
        found: list[DepthChange | PublicPrint] = []
        last = int(np.searchsorted(self._times, market_ns, side="right"))
        while self._message < last:
            change = self._next_message()
            if change is not None:
                found.append(change)
        if self._prints is not None:
            found += self._next_prints(market_ns)
            if len(found) > 1:
                found.sort(key=lambda x: x.ts_ns)
        return found

    def _next_message(self) -> DepthChange | None:
        at = self._message
        self._message += 1
        start, end = (int(self._ends[at - 1]) if at else 0), int(self._ends[at])
        ts_ns = int(self._times[at])
        if self._depth is not None:
            rows = self._depth.cut(slice(start, end))
            prices = self._units.prices(rows["price"]).tolist()
            sizes = self._units.quantities(rows["quantity"]).tolist()
            changes = list(zip(rows["side"].tolist(), prices, sizes, strict=True))
            whole = bool(rows["is_snapshot"][0])
        else:
            assert self._quotes is not None
            changes, whole = self._quote_rows(end - 1), True
        return self.show(changes, ts_ns + self.offset_ns, whole=whole)

    def show(
        self, changes: list[tuple[int, int, int]], ts_ns: int, *, whole: bool = False
    ) -> DepthChange | None:
        """Apply (side, price, size) rows in whole units; `whole` says that the rows are all there
        is. Returns the change that the public sees, None if nothing changed."""
        seen: tuple[dict[int, int], dict[int, int]] = ({}, {})
        if whole:
            named = {(side, price) for side, price, size in changes}
            for side, levels in enumerate(self._sides):
                gone = [price for price in levels if (side, price) not in named]
                changes = changes + [(side, price, 0) for price in gone]
        for side, price, size in changes:
            code = 0 if side == BID else 1
            levels = self._sides[code]
            if levels.get(price, 0) == size and whole:
                continue
            seen[code][price] = size
            if size > 0:
                levels[price] = size
            else:
                levels.pop(price, None)
        if not (seen[0] or seen[1]):
            return None
        self.update_id += 1
        bids, asks = (tuple(self._level(*x) for x in side.items()) for side in seen)
        return DepthChange(
            symbol=self.symbol,
            ts_ns=ts_ns,
            first_id=self.update_id,
            last_id=self.update_id,
            bids=bids,
            asks=asks,
        )

    def _quote_rows(self, row: int) -> list[tuple[int, int, int]]:
        assert self._quotes is not None
        found = []
        for code, side in ((BID, "bid"), (1 - BID, "ask")):
            price, size = self._quotes[side][row], self._quotes[f"{side}_quantity"][row]
            if np.isfinite(price) and price > 0 and size > 0:
                units = self._units
                whole = (round(price * units.price), round(size * units.quantity))
                found.append((code, *whole))
        return found

    def _next_prints(self, market_ns: int) -> list[PublicPrint]:
        assert self._prints is not None
        start = self._print
        end = int(np.searchsorted(self._prints["ts_ns"], market_ns, side="right"))
        if end <= start:
            return []
        self._print = end
        rows = self._prints.cut(slice(start, end))
        columns = (
            rows["ts_ns"].tolist(),
            self._units.prices(rows["price"]).tolist(),
            self._units.quantities(rows["quantity"]).tolist(),
            rows["aggressor"].tolist(),
        )
        found = [
            self._printed(ts + self.offset_ns, price, size, side == SELL)
            for ts, price, size, side in zip(*columns, strict=True)
        ]
        self.prints.extend(found)
        return found

    def _printed(self, ts_ns: int, price: int, size: int, buyer_is_maker: bool) -> PublicPrint:
        self.print_id += 1
        return PublicPrint(
            print_id=self.print_id,
            symbol=self.symbol,
            ts_ns=ts_ns,
            price=self._price(price),
            quantity=Decimal(size).scaleb(self._scales[1]),
            buyer_is_maker=buyer_is_maker,
        )

    def _price(self, units: int) -> Decimal:
        return Decimal(units).scaleb(self._scales[0])

    def _level(self, price: int, size: int) -> Level:
        return self._price(price), Decimal(size).scaleb(self._scales[1])


def _table(market: MarketData, kind: str, symbol: str) -> Table | None:
    table: Table | None = getattr(market, kind)
    return None if table is None or symbol not in table.present else table.of(symbol)


def _changed(table: Table) -> np.ndarray:
    """Where a new message starts: another time, seq or snapshot flag than the row before."""
    names = [name for name in ("ts_ns", "seq", "is_snapshot") if name in table]
    return np.logical_or.reduce([np.diff(table[name]) != 0 for name in names])
