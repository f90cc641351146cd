"""PositionTracker: holdings as a pure fold of fills.

Every number here follows from the fills (and the last price told) and from nothing else, so that
folding a journal again gives the same positions, to the last digit.

**Quantity is what is there.** `Position.quantity` is the sum of signed fill quantities, less the
fees that a spot venue took out of the coin itself (buys at many venues): what the wallet holds, and
all that can be sold. Such a fee is in `fees` under its coin like every other, and `fees_in_kind` is
its value at the price of its fill. The simulator's kernel clips `reduce_only` to the quantity
without those fees.

**Exact.** Cash flows are summed without rounding; the realised profit is cash plus the open
quantity at its average price. So a position that is flat again has realised exactly what was paid
and received, however its average was rounded on the way. Inverse contracts need 1/price, which has
no exact decimal: there, 60 digits are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal

from execkit.domain import Fill, Instrument, Position
from execkit.errors import InvalidInput
from execkit.valuation import Valuation, in_kind, value_of
from execkit.words import ZERO, Side, new_client_order_id, normalise_symbol, positive

_log = logging.getLogger(__name__)
_EXACT = Context(prec=60)
_MONEY = Context(prec=28)
_LOT = Decimal("0.00000001")

Key = tuple[str, str]  # (venue, symbol)


@dataclass(frozen=True, kw_only=True)
class ClosedPosition:
    """One round trip, from flat (or a flip) to flat (or a flip).

    quantity : total that was opened. entry_price, exit_price : averages (harmonic for inverse).
    realised_pnl : in the settlement currency, fees not included. fees : by currency; a fill that
    flips a position has its fee split by quantity between the two round trips.
    """

    symbol: str
    venue: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realised_pnl: Decimal
    fees: Mapping[str, Decimal]
    opened_ts_ns: int
    closed_ts_ns: int
    strategy_id: str = ""


@dataclass
class _Fold:
    """What is kept beside a `Position` to continue the fold."""

    position: Position
    cash: Decimal = ZERO  # settlement currency, fees not included
    opened: Decimal = ZERO  # quantity opened in this round trip
    entry_value: Decimal = ZERO  # sum of q * price, or of q / price for inverse
    exited: Decimal = ZERO
    exit_value: Decimal = ZERO
    realised_before: Decimal = ZERO
    trip_fees: dict[str, Decimal] = field(default_factory=dict)
    lots: dict[str, Decimal] = field(default_factory=dict)  # open quantity by opening order


class PositionTracker:
    """Positions by venue and symbol.

    Parameters
    ----------
    instruments : what is known about symbols (any venue). `register` adds more; a symbol that
        nobody registered is taken as a linear spot pair with eight decimals.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments: dict[Key, Instrument] = {("", i.symbol): i for i in instruments}
        self._folds: dict[Key, _Fold] = {}
        self._seen: dict[tuple[str, str, str], Fill] = {}
        self.history: list[ClosedPosition] = []
        self.conflicts: list[tuple[Fill, Fill]] = []  # (kept, ignored) with one id, unlike data
        self._valued: dict[str, Valuation] = {}  # until the next fill or mark

    def register(self, instrument: Instrument, venue: str = "") -> None:
        """Tell what `instrument.symbol` is at `venue` ("" = at every venue)."""
        self._instruments[venue, instrument.symbol] = instrument

    def apply(self, fill: Fill) -> Position:
        """Fold one fill in; return the live position. A fill that was applied before (same venue,
        symbol and id) changes nothing; if its data differ the first is kept, see `conflicts`."""
        seen_key = (fill.venue, fill.symbol, fill.fill_id)
        before = self._seen.get(seen_key)
        fold = self._fold(fill.venue, fill.symbol)
        if before is not None:
            same = (before.side, before.quantity, before.price, before.fee)
            if same != (fill.side, fill.quantity, fill.price, fill.fee):
                self.conflicts.append((before, fill))
                _log.error("fill %s came twice with unlike data; the first is kept", fill.fill_id)
            return fold.position
        self._seen[seen_key] = fill
        self._valued.clear()
        self._book(fold, fill)
        return fold.position

    def _book(self, fold: _Fold, fill: Fill) -> None:
        """A fill that flips is two: one that closes, one that opens; its fee is split likewise."""
        held, quantity, sign = fold.position.quantity, fill.quantity, fill.side.sign
        closing = min(quantity, abs(held)) if held * sign < 0 else ZERO
        fee = fill.fee if closing == quantity else fill.fee * closing / quantity
        fold.position.updated_ts_ns = fill.local_ts_ns
        _add(fold.position.fees, fill.fee_currency, fill.fee)
        if closing:
            self._move(fold, fill, closing)
            _add(fold.trip_fees, fill.fee_currency, fee)
            fold.exited += closing
            fold.exit_value += _weighted(fold.position.instrument, closing, fill.price)
            _reduce(fold.lots, closing, first=fill.parent_order_id)
            if not fold.position.quantity:
                self._archive(fold, fill)
        opening = quantity - closing
        if opening:
            if not fold.position.quantity:
                fold.position.opened_ts_ns = fill.local_ts_ns
            fold.opened += opening
            fold.entry_value += _weighted(fold.position.instrument, opening, fill.price)
            self._move(fold, fill, opening)
            _add(fold.lots, fill.client_order_id, opening)
            _add(fold.trip_fees, fill.fee_currency, _EXACT.subtract(fill.fee, fee))
        if fill.fee and in_kind(fill.fee_currency, fold.position.instrument):
            self._pay_in_kind(fold, fill)

    def _pay_in_kind(self, fold: _Fold, fill: Fill) -> None:
        """The venue took its fee out of the coin: as if it were sold at the fill's price, and what
        it brought paid as the fee. A rebate in the coin adds to it likewise."""
        position, fee = fold.position, fill.fee
        value = _EXACT.multiply(fee, fill.price)
        fold.cash = _EXACT.add(fold.cash, value)
        position.fees_in_kind = _EXACT.add(position.fees_in_kind, value)
        if not position.quantity:
            position.average_price = fill.price
        if position.quantity * fee > 0:
            _reduce(fold.lots, abs(fee), first=fill.client_order_id)
        else:
            _add(fold.lots, fill.client_order_id, abs(fee))
        position.quantity -= fee
        basis = _value(position.instrument, position.quantity, position.average_price)
        position.realised_pnl = _EXACT.add(fold.cash, basis)
        if not position.quantity:
            position.average_price = ZERO
            self._archive(fold, fill)

    def _move(self, fold: _Fold, fill: Fill, quantity: Decimal) -> None:
        """Book a part of a fill that only opens or only closes."""
        position, instrument = fold.position, fold.position.instrument
        signed = quantity if fill.side is Side.BUY else -quantity
        held = position.quantity
        if held * signed >= 0:
            position.average_price = (
                instrument.mean_price(abs(held), position.average_price, quantity, fill.price)
                if held
                else fill.price
            )
        position.quantity = held + signed
        if not position.quantity:
            position.average_price = ZERO
        fold.cash = _EXACT.subtract(fold.cash, _value(instrument, signed, fill.price))
        basis = _value(instrument, position.quantity, position.average_price)
        position.realised_pnl = _EXACT.add(fold.cash, basis)

    def _archive(self, fold: _Fold, fill: Fill) -> None:
        """A round trip has ended: into the history with it."""
        position, instrument = fold.position, fold.position.instrument
        self.history.append(
            ClosedPosition(
                symbol=position.symbol,
                venue=position.venue,
                side="LONG" if fill.side is Side.SELL else "SHORT",
                quantity=fold.opened,
                entry_price=_average(instrument, fold.opened, fold.entry_value),
                exit_price=_average(instrument, fold.exited, fold.exit_value),
                realised_pnl=position.realised_pnl - fold.realised_before,
                fees=fold.trip_fees,
                opened_ts_ns=position.opened_ts_ns or 0,
                closed_ts_ns=fill.local_ts_ns,
                strategy_id=position.strategy_id,
            )
        )
        position.stop_loss_price = position.take_profit_price = position.opened_ts_ns = None
        fold.realised_before, fold.trip_fees = position.realised_pnl, {}
        fold.opened = fold.entry_value = fold.exited = fold.exit_value = ZERO

    def _fold(self, venue: str, symbol: str) -> _Fold:
        fold = self._folds.get((venue, symbol))
        if fold is None:
            found = self._instruments.get((venue, symbol)) or self._instruments.get(("", symbol))
            instrument = found or Instrument(symbol=symbol, tick_size=_LOT, lot_size=_LOT)
            fold = _Fold(Position(symbol=symbol, instrument=instrument, venue=venue))
            self._folds[venue, symbol] = fold
        return fold

    async def open_position(
        self,
        symbol: str,
        side: Side | str,
        quantity: Decimal | float | str,
        entry_price: Decimal | float | str,
        stop_loss: Decimal | float | str | None = None,
        take_profit: Decimal | float | str | None = None,
        *,
        venue: str = "",
        ts_ns: int = 0,
        strategy_id: str = "",
    ) -> Position:
        """Enter a holding that was opened elsewhere, as one synthetic fill without a fee.

        side : "LONG"/"BUY" or "SHORT"/"SELL". Raises `InvalidInput`; a stop on the wrong side of
        the entry is refused, because it would fire at once.
        """
        word = {"LONG": "buy", "SHORT": "sell"}.get(str(side).strip().upper(), side)
        direction = Side.of(word, "side")
        price = positive(entry_price, "entry_price")
        levels: dict[str, Decimal | None] = {}
        for name, value, better in (("stop_loss", stop_loss, -1), ("take_profit", take_profit, 1)):
            level = levels[name] = None if value is None else positive(value, name)
            if level is not None and (level - price) * better * direction.sign <= 0:
                where = "above" if better * direction.sign > 0 else "below"
                raise InvalidInput(name, level, f"must be {where} the entry price {price}")
        fill = Fill(
            fill_id=f"opening-{new_client_order_id()}",
            client_order_id="",
            symbol=normalise_symbol(symbol),
            side=direction,
            quantity=positive(quantity, "quantity"),
            price=price,
            venue_ts_ns=ts_ns,
            local_ts_ns=ts_ns,
            venue=venue,
        )
        position = self.apply(fill)
        position.stop_loss_price = levels["stop_loss"]
        position.take_profit_price = levels["take_profit"]
        position.strategy_id = strategy_id
        return position

    def update_position_pnl(
        self, symbol: str, current_price: Decimal | float | str, *, venue: str | None = None
    ) -> Position | None:
        """Mark the position in `symbol` (at every venue unless one is named); None when flat."""
        price = positive(current_price, "current_price")
        name = normalise_symbol(symbol)
        for (place, held), fold in self._folds.items():
            if held == name and venue in (None, place):
                self.mark(fold.position, price)
        return self.get_position(symbol, venue)

    def mark(self, position: Position, price: Decimal) -> None:
        """Value one position at `price`."""
        if position.current_price != price:
            position.current_price = price
            self._valued.clear()

    def get_position(self, symbol: str, venue: str | None = None) -> Position | None:
        """The open position in `symbol`, None when flat. `InvalidInput` if several venues hold
        one and none is named."""
        name = normalise_symbol(symbol)
        found = [p for p in self.open_positions() if p.symbol == name and venue in (None, p.venue)]
        if len(found) > 1:
            places = ", ".join(sorted(p.venue for p in found))
            raise InvalidInput("venue", venue, f"{name} is held at several; name one of: {places}")
        return found[0] if found else None

    def open_positions(self) -> list[Position]:
        return [fold.position for fold in self._folds.values() if fold.position.quantity]

    def get_winning_positions(self) -> list[Position]:
        """Open positions whose unrealised profit is above zero."""
        return [p for p in self.open_positions() if p.unrealised_pnl > 0]

    def get_losing_positions(self) -> list[Position]:
        """Open positions whose unrealised profit is below zero."""
        return [p for p in self.open_positions() if p.unrealised_pnl < 0]

    def quantity(self, venue: str, symbol: str) -> Decimal:
        """Signed quantity held; 0 when flat."""
        fold = self._folds.get((venue, symbol))
        return fold.position.quantity if fold else ZERO

    def closable(self, venue: str, symbol: str, quantity: Decimal | None = None) -> Decimal:
        """What orders can close of an unsigned quantity (None: of all that is held): whole lots
        that the venue takes. The rest is dust, which fees taken out of the coin leave."""
        fold = self._folds.get((venue, symbol))
        if fold is None:
            return ZERO
        held, grid = fold.position, fold.position.instrument
        size = abs(held.quantity) if quantity is None else quantity
        size -= size % grid.lot_size
        price = held.current_price or held.average_price
        least = grid.min_notional if grid.kind == "spot" else None
        small = least is not None and price > 0 and grid.notional(size, price) < least
        return ZERO if small or size < (grid.min_quantity or ZERO) else size

    def lots(self, venue: str, symbol: str) -> dict[str, Decimal]:
        """Unsigned open quantity by the order that opened it, oldest first; their sum is what is
        held. A fill that closes takes from the lot of its parent order, then from the oldest."""
        fold = self._folds.get((venue, symbol))
        return dict(fold.lots) if fold else {}

    def valuation(
        self, currency: str = "", rates: Mapping[str, Decimal] | None = None
    ) -> Valuation:
        """Totals over everything folded so far, in `currency` ("" = that of the first quote).

        rates : value of one unit of another currency in `currency`. Base currencies of instruments
        quoted in `currency` are valued at their last price; what has no rate is named.
        """
        if rates is None and currency in self._valued:
            return self._valued[currency]
        held = [fold.position for fold in self._folds.values()]
        value = value_of(held, currency, rates or {})
        if rates is None:
            self._valued[currency] = value
        return value

    def get_portfolio_stats(
        self,
        starting_equity: Decimal | None = None,
        rates: Mapping[str, Decimal] | None = None,
        currency: str = "",
    ) -> dict[str, object]:
        """The guide's portfolio figures, as floats in `currency` (see `valuation`, which has the
        exact ones). `equity` is None without `starting_equity`, and where a rate is missing."""
        value = self.valuation(currency, rates)
        opened = self.open_positions()
        wins = sum(1 for trip in self.history if trip.realised_pnl > 0)
        whole = starting_equity is not None and not value.unpriced
        equity = float((starting_equity or ZERO) + value.total) if whole else None
        return {
            "total_positions": len(opened),
            "total_unrealized_pnl": float(value.unrealised),
            "total_realized_pnl": float(value.realised),
            "total_fees": float(value.fees),
            "winning_positions": len(self.get_winning_positions()),
            "losing_positions": len(self.get_losing_positions()),
            "gross_exposure": float(value.gross_exposure),
            "net_exposure": float(value.net_exposure),
            "equity": equity,
            "currency": value.currency,
            "unpriced_currencies": list(value.unpriced),
            "closed_positions": len(self.history),
            "closed_win_rate_pct": 100 * wins / len(self.history) if self.history else None,
            "fees_by_currency": self._fees_by_currency(),
        }

    def _fees_by_currency(self) -> dict[str, float]:
        total: dict[str, Decimal] = {}
        for fold in self._folds.values():
            for coin, paid in fold.position.fees.items():
                _add(total, coin, paid)
        return {coin: float(paid) for coin, paid in sorted(total.items())}


def _value(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    """Signed settlement value: profit is the value at exit less the value at entry."""
    if not quantity:
        return ZERO
    size = _EXACT.multiply(quantity, instrument.contract_size)
    return -_EXACT.divide(size, price) if instrument.is_inverse else _EXACT.multiply(size, price)


def _add(totals: dict[str, Decimal], coin: str, value: Decimal) -> None:
    if value:
        totals[coin] = _EXACT.add(totals.get(coin, ZERO), value)


def _reduce(lots: dict[str, Decimal], quantity: Decimal, *, first: str) -> None:
    for order_id in sorted(lots, key=lambda order_id: order_id != first):
        taken = min(quantity, lots[order_id])
        lots[order_id] -= taken
        quantity -= taken
        if not lots[order_id]:
            del lots[order_id]


def _weighted(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    if instrument.is_inverse:
        return _EXACT.divide(quantity, price)
    return _EXACT.multiply(quantity, price)


def _average(instrument: Instrument, quantity: Decimal, value: Decimal) -> Decimal:
    return _MONEY.divide(*((quantity, value) if instrument.is_inverse else (value, quantity)))
