"""What positions are worth together, in one currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from execkit.domain import Instrument, Position
from execkit.words import ZERO

_MONEY = Context(prec=28)


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """Totals in one currency. `unpriced` names currencies with no known rate; if there are any,
    the totals leave them out and are not to be trusted."""

    currency: str
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    unpriced: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        """Profit after fees."""
        return self.realised + self.unrealised - self.fees


def value_of(
    positions: Sequence[Position], currency: str, rates: Mapping[str, Decimal]
) -> Valuation:
    """Totals of open and closed positions in `currency` ("" = the first quote currency).

    rates : value of one unit of other currencies. Without one, the base currency of an open
    position quoted in `currency` is worth the price that position is marked at (a closed one is
    marked no more: its last price is history); what has no rate is named in `unpriced`.
    """
    account = currency or next((p.instrument.quote for p in positions), "")
    known: dict[str, Decimal] = {}  # looked up where a second currency comes up
    unpriced: set[str] = set()

    def worth(value: Decimal, coin: str) -> Decimal:
        if not value:
            return ZERO
        if coin == account:
            return +value  # rounded as a product would be
        if not known:
            known.update(_marks(positions, account) | dict(rates))
        rate = known.get(coin)
        if rate is None:
            unpriced.add(coin)
            return ZERO
        return value * rate

    realised = unrealised = fees = gross = net = ZERO
    for held in positions:
        instrument = held.instrument
        realised += worth(held.realised_pnl, instrument.settle)
        for coin, paid in held.fees.items():
            if in_kind(coin, instrument):
                fees += worth(held.fees_in_kind, instrument.quote)
            else:
                fees += worth(paid, _named(coin, instrument))
        if held.quantity:
            unrealised += worth(held.unrealised_pnl, instrument.settle)
            mark = held.current_price or held.average_price
            size = worth(instrument.notional(held.quantity, mark), instrument.quote)
            gross += size
            net += size if held.quantity > 0 else -size
    return Valuation(
        currency=account,
        realised=_MONEY.plus(realised),
        unrealised=_MONEY.plus(unrealised),
        fees=fees,
        gross_exposure=gross,
        net_exposure=net,
        unpriced=tuple(sorted(unpriced)),
    )


def in_kind(fee_currency: str, instrument: Instrument) -> bool:
    """Whether a fee in that currency comes out of the coin that is held."""
    spot = instrument.kind == "spot" and bool(instrument.base)
    return spot and fee_currency in ("base", instrument.base)


def _named(coin: str, instrument: Instrument) -> str:
    """The currency of a fee whose model may say "base", "quote" or nothing."""
    if coin == "base":
        return instrument.base or coin
    if coin == "quote":
        return instrument.quote or coin
    return coin or instrument.settle


def _marks(positions: Sequence[Position], account: str) -> dict[str, Decimal]:
    """Prices of base currencies, from open positions that are quoted in `account`."""
    return {
        held.instrument.base: mark
        for held in positions
        if held.quantity and held.instrument.quote == account and held.instrument.base
        if (mark := held.current_price or held.average_price)
    }
