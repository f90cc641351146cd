"""Judge: holdings as the venue has them against holdings as the fills say.

Derivatives: the position of each symbol. Spot: the balance of each coin, which must be what it was
at the beginning plus what every own fill since brought and took, fees included, exactly. A coin in
which contracts settle moves with profits and funding, and is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

from execkit.domain import Fill, Instrument
from execkit.lifecycle import OrderLedger
from execkit.positions import PositionTracker
from execkit.venues.remote import Holdings
from execkit.words import ZERO

_EXACT = Context(prec=60)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """kind : "position" or "balance". name : symbol or coin. ours : what the fills say."""

    kind: str
    name: str
    ours: Decimal
    theirs: Decimal

    @property
    def gap(self) -> Decimal:
        """What the venue has more than we know of."""
        return _EXACT.subtract(self.theirs, self.ours)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.ours:f} by our fills, {self.theirs:f} at the venue"


class Judge:
    """Parameters
    ----------
    venue : its name. instruments : what it lists, read anew at each look.
    opening : coins before the first fill, None until `open_with`.
    """

    def __init__(
        self,
        venue: str,
        instruments: Mapping[str, Instrument],
        ledger: OrderLedger,
        tracker: PositionTracker,
    ) -> None:
        self.venue, self.instruments = venue, instruments
        self.ledger, self.tracker = ledger, tracker
        self.opening: dict[str, Decimal] | None = None
        self._moved: dict[str, Decimal] = {}
        self._settling: set[str] = set()
        self._counted = 0

    def open_with(self, balances: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Take `balances` as right now; returns the coins as they were before all fills."""
        self._count()
        coins = balances.keys() | self._moved.keys()
        self.opening = {coin: self._before(balances, coin) for coin in sorted(coins)}
        return self.opening

    def _before(self, balances: Mapping[str, Decimal], coin: str) -> Decimal:
        return _EXACT.subtract(balances.get(coin, ZERO), self._moved.get(coin, ZERO))

    def adjust(self, coin: str, gap: Decimal) -> None:
        """Count `gap` more of a coin as having been there: the venue's balance is right."""
        if self.opening is not None:
            self.opening[coin] = _EXACT.add(self.opening.get(coin, ZERO), gap)

    def balance(self, coin: str) -> Decimal:
        """What the fills say is in the wallet."""
        self._count()
        before = (self.opening or {}).get(coin, ZERO)
        return _EXACT.add(before, self._moved.get(coin, ZERO))

    def compare(self, holdings: Holdings) -> list[Difference]:
        """Everything that differs."""
        self._count()
        out = []
        for symbol in sorted(self._contracts(holdings)):
            ours = self.tracker.quantity(self.venue, symbol)
            theirs = holdings.position(symbol)
            if ours != theirs:
                out.append(Difference(kind="position", name=symbol, ours=ours, theirs=theirs))
        for coin in sorted(self.coins(holdings)):
            ours, theirs = self.balance(coin), holdings.balances.get(coin, ZERO)
            if ours != theirs:
                out.append(Difference(kind="balance", name=coin, ours=ours, theirs=theirs))
        return out

    def concerning(self, symbol: str, differences: Iterable[Difference]) -> list[Difference]:
        """Those of the differences that `symbol` could explain."""
        instrument = self.instruments.get(symbol)
        coins = {instrument.base, instrument.quote} if instrument is not None else set()
        return [d for d in differences if d.name == symbol or d.name in coins]

    def symbols_of(self, differences: Iterable[Difference]) -> set[str]:
        """Symbols whose fills could explain differences: contracts that differ, pairs of a coin
        that were traded here, and pairs of two coins that both differ."""
        found = {d.name for d in differences if d.kind == "position"}
        coins = {d.name for d in differences if d.kind == "balance"}
        used = {o.symbol for o in self.ledger.orders.values() if o.venue == self.venue}
        used |= {p.symbol for p in self.tracker.open_positions() if p.venue == self.venue}
        for symbol, instrument in self.instruments.items() if coins else ():
            here = coins & {instrument.base, instrument.quote}
            if instrument.kind == "spot" and here and (symbol in used or len(here) == 2):
                found.add(symbol)
        return found

    def pairs_of(self, difference: Difference) -> list[str]:
        """Symbols whose holding is what differs."""
        if difference.kind == "position":
            return [difference.name]
        spot = (i for i in self.instruments.values() if i.kind == "spot")
        return [i.symbol for i in spot if i.base == difference.name]

    def _contracts(self, holdings: Holdings) -> set[str]:
        held = {p.symbol for p in self.tracker.open_positions() if p.venue == self.venue}
        kinds = {symbol: self.instruments.get(symbol) for symbol in held}
        ours = {s for s, i in kinds.items() if i is not None and i.kind != "spot"}
        return ours | set(holdings.positions)

    def coins(self, holdings: Holdings) -> set[str]:
        """The coins that can be compared."""
        if self.opening is None:
            return set()
        settling = self._settling | {
            instrument.settle
            for symbol in holdings.positions
            if (instrument := self.instruments.get(symbol)) is not None
        }
        return (self.opening.keys() | self._moved.keys() | holdings.balances.keys()) - settling

    def _count(self) -> None:
        """Fold in the fills since the last time."""
        new = self.ledger.fills_after(self._counted)
        self._counted += len(new)
        for fill in new:
            if fill.venue == self.venue:
                self._fold(fill)

    def _fold(self, fill: Fill) -> None:
        instrument = self.instruments.get(fill.symbol)
        if instrument is None:
            return
        if instrument.kind != "spot":
            self._settling.add(instrument.settle)
            return
        value = _EXACT.multiply(fill.quantity, fill.price)
        sign = fill.side.sign
        self._move(instrument.base, fill.quantity * sign)
        self._move(instrument.quote, _EXACT.multiply(value, Decimal(-sign)))
        if fill.fee:
            coin = {"base": instrument.base, "quote": instrument.quote}.get(fill.fee_currency)
            self._move(coin or fill.fee_currency or instrument.quote, -fill.fee)

    def _move(self, coin: str, quantity: Decimal) -> None:
        self._moved[coin] = _EXACT.add(self._moved.get(coin, ZERO), quantity)
