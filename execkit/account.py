"""Account: marks, equity and the snapshots that risk checks look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from execkit.clock import Clock
from execkit.domain import ExecutionOrder, Instrument
from execkit.errors import InvalidInput
from execkit.limits import RiskLimits
from execkit.orders import OrderManager, instrument_of
from execkit.positions import PositionTracker
from execkit.ready import Readiness
from execkit.snapshot import AccountSnapshot
from execkit.valuation import Valuation
from execkit.venues.base import Quote, Venue
from execkit.words import ZERO, Number, Side, positive

_ONE = Decimal(1)
_NOTHING = (ZERO, ZERO)
# What 100,000 is a sensible account of: currencies of the world and coins pegged to them.
_MONEY = frozenset(
    {"USD", "USDT", "USDC", "USDS", "USDE", "USDP", "FDUSD", "BUSD", "TUSD", "PYUSD", "DAI"}
    | {"EUR", "EURC", "EURI", "GBP", "CHF", "AUD", "CAD", "SGD", "JPY", "KRW", "BRL", "TRY"}
)


def mid_of(quote: Quote | None) -> Decimal | None:
    """See `Quote.exact_mid`."""
    return None if quote is None else quote.exact_mid


def reference_of(quote: Quote | None) -> Decimal | None:
    """See `Quote.reference`."""
    return None if quote is None else quote.reference


class Account:
    """Parameters
    ----------
    starting_equity : in `currency`; 100,000 if not given, which live does not accept.
    currency : of equity, exposure and the limits on money; "" takes the first quote currency
        listed.
    rates : units of `currency` per unit of other currencies, for fees, profits and notionals that
        are not in it. One that is not given is the present price of its pair, if a venue lists it;
        without one that is needed, equity is not known, and risk checks refuse.
    """

    def __init__(
        self,
        venues: Iterable[Venue],
        tracker: PositionTracker,
        orders: OrderManager,
        clock: Clock,
        *,
        starting_equity: Number | None = None,
        currency: str = "",
        rates: Mapping[str, Number] | None = None,
    ) -> None:
        self.venues = {venue.name: venue for venue in venues}
        self.tracker, self.orders, self.clock = tracker, orders, clock
        self.given = starting_equity is not None
        self.starting_equity = positive(
            starting_equity if starting_equity is not None else 100_000, "starting_equity"
        )
        self.rates = {coin: positive(rate, "rates") for coin, rate in (rates or {}).items()}
        self._currency, self.currency = currency, currency
        self._pairs: dict[str, list[tuple[str, str]]] = {}
        self.readiness: dict[str, Readiness] = {}  # of the venues that live elsewhere
        self.look()

    def look(self) -> None:
        """Read what the venues list; a venue may know it only once it is connected."""
        listed = [(v.name, i) for v in self.venues.values() for i in v.instruments.values()]
        self.currency = self._currency or next((i.quote for _, i in listed if i.quote), "")
        self._pairs.clear()
        for name, instrument in listed:
            self.tracker.register(instrument, name)
            if instrument.quote == self.currency and instrument.base:
                self._pairs.setdefault(instrument.base, []).append((name, instrument.symbol))

    def must_be_sized(self, limits: RiskLimits) -> None:
        """`InvalidInput` where percentages of the default equity would mean nothing."""
        shares = (limits.max_drawdown_pct, limits.daily_loss_limit_pct)
        if self.given or self.currency in _MONEY or shares == (None, None):
            return
        coin = self.currency or "a currency that no instrument names"
        raise InvalidInput(
            "starting_equity",
            None,
            f"the account is in {coin}, where the default of 100,000 makes limits in percent "
            "meaningless; pass starting_equity (and account_currency), or set max_drawdown_pct "
            "and daily_loss_limit_pct to None",
        )

    def mark(self) -> None:
        """Value open positions at the last price of their venue."""
        for held in self.tracker.open_positions():
            venue = self.venues.get(held.venue)
            price = reference_of(venue.quote(held.symbol)) if venue is not None else None
            if price is not None:
                self.tracker.mark(held, price)

    def rate(self, coin: str) -> Decimal | None:
        """Units of the account's currency per unit of `coin`: as given, else the market's price."""
        if coin == self.currency:
            return _ONE
        if coin in self.rates:
            return self.rates[coin]
        for name, symbol in self._pairs.get(coin, ()):
            price = reference_of(self.venues[name].quote(symbol))
            if price is not None:
                return price
        return None

    def known_rates(self) -> dict[str, Decimal]:
        """`rate` of every coin that has one."""
        found = {coin: rate for coin in self._pairs if (rate := self.rate(coin)) is not None}
        return {**found, **self.rates}

    def valuation(self) -> Valuation:
        """Positions, open and closed, in the account's currency."""
        value = self.tracker.valuation(self.currency, self.rates or None)
        found = {coin: rate for coin in value.unpriced if (rate := self.rate(coin)) is not None}
        return self.tracker.valuation(self.currency, {**found, **self.rates}) if found else value

    def equity(self) -> tuple[Decimal | None, str]:
        """(equity, "") or (None, what is missing)."""
        value = self.valuation()
        if value.unpriced:
            coins = ", ".join(value.unpriced)
            return None, f"{coins} has no price in {self.currency}; pass rates={{...}}"
        blind = self.unmarked()
        if blind:
            return None, f"{', '.join(blind)} is held and has no price yet"
        return self.starting_equity + value.total, ""

    def unmarked(self) -> list[str]:
        """Symbols held at these venues without a price so far: after a restart, before the data."""
        held = self.tracker.open_positions()
        return [p.symbol for p in held if p.current_price is None and p.venue in self.venues]

    def snapshot(self, order: ExecutionOrder, *, exposure: bool) -> AccountSnapshot:
        """What the limits see. exposure : whether to sum up the worst case of all symbols.

        An order without a venue goes to the only one. Raises `InvalidInput` for a venue or symbol
        that is not there.
        """
        venue = self._venue(order.venue)
        order.venue, instrument = venue.name, instrument_of(order, venue)
        quote, now_ns = venue.quote(order.symbol), self.clock.now_ns()
        self.mark()
        equity, note = self.equity()
        here = (order.venue, order.symbol)
        held = {(p.venue, p.symbol): p.quantity for p in self.tracker.open_positions()}
        pending, live = self._pending(), self.orders.ledger.live.values()
        doubtful = self.orders.ledger.doubtful.values()
        unknown = sum((o.venue, o.symbol) == here for o in doubtful)
        buys, sells = pending.get(here, _NOTHING)
        elsewhere = ZERO
        if exposure:
            for key in (held.keys() | pending.keys()) - {here}:
                elsewhere += self._worst(key, held.get(key, ZERO), *pending.get(key, _NOTHING))
        ready, why, unreachable = self.readiness.get(order.venue), "", False
        if ready is not None:
            unreachable = bool(ready.unreachable)
            why = ready.unreachable or ready.objection(order.symbol)
        return AccountSnapshot(
            now_ns=now_ns,
            instrument=instrument,
            reference_price=reference_of(quote),
            quote_age_ns=max(0, now_ns - (quote.local_ts_ns or quote.ts_ns)) if quote else 0,
            currency=self.currency,
            rate=self.rate(instrument.quote),
            equity=equity,
            equity_given=self.given,
            equity_note=note,
            position=held.get(here, ZERO),
            pending_buys=buys,
            pending_sells=sells,
            symbols_at_risk=frozenset(held) | frozenset(pending),
            exposure_elsewhere=elsewhere,
            open_orders=len(live),
            unknown_orders=unknown,
            not_ready=why,
            unreachable=unreachable,
        )

    def _venue(self, name: str) -> Venue:
        if not name and len(self.venues) == 1:
            return next(iter(self.venues.values()))
        if name not in self.venues:
            raise InvalidInput("venue", name, f"name one of: {', '.join(sorted(self.venues))}")
        return self.venues[name]

    def _pending(self) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        """What live orders that can add risk may still buy and sell, UNKNOWN ones in full."""
        out: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        for order in self.orders.ledger.live.values():
            if order.reduce_only:
                continue
            key, left = (order.venue, order.symbol), max(ZERO, order.remaining_quantity)
            buys, sells = out.get(key, (ZERO, ZERO))
            out[key] = (buys + left, sells) if order.side is Side.BUY else (buys, sells + left)
        return out

    def _worst(self, key: tuple[str, str], held: Decimal, buys: Decimal, sells: Decimal) -> Decimal:
        venue = self.venues.get(key[0])
        instrument: Instrument | None = venue.instruments.get(key[1]) if venue else None
        price = reference_of(venue.quote(key[1])) if venue else None
        rate = self.rate(instrument.quote) if instrument is not None else None
        if instrument is None or price is None or rate is None:
            return Decimal("Infinity")  # without a price no limit on exposure can be kept
        return instrument.notional(max(abs(held + buys), abs(held - sells)), price) * rate
