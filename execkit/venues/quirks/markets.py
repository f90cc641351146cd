"""The markets and ids of one exchange: our symbols and instruments from ccxt's, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.words import normalise_symbol

Answer = Mapping[str, Any]  # a structure as ccxt parsed it; "info" holds the exchange's own words


def plain(number: Decimal) -> str:
    """Exact decimal text without an exponent or needless zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Markets:
    """Knows one exchange's markets, once it has learned them from a client (`learn`)."""

    id: ClassVar[str]  # ccxt's name of the exchange
    title: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("spot",)  # "spot", "linear" (perpetuals): what is offered
    id_form: ClassVar[str] = r"[A-Za-z0-9_-]{1,36}"

    def __init__(self) -> None:
        self.features: Mapping[str, Any] = {}
        self.instruments: dict[str, Instrument] = {}
        self._names: dict[str, str] = {}  # our symbol -> ccxt's
        self._symbols: dict[str, str] = {}
        self.halted: set[str] = set()  # known, so that what is held there is seen; not for orders
        self.market_ids: dict[str, str] = {}  # our symbol -> the exchange's own name
        self._sizes: dict[str, Decimal] = {}  # base units in one unit of the exchange's quantity

    def learn(self, client: Any) -> Mapping[str, Instrument]:
        """Take over features and markets of a client that has loaded them; the instruments found.

        Markets whose names would be one symbol here are left out, both: an order must never reach
        the wrong one. So are those whose steps the exchange does not state.
        """
        self.features = client.features or {}
        self.instruments, self._names, self._symbols, self._sizes = {}, {}, {}, {}
        self.halted.clear()
        clashing: set[str] = set()
        for name, market in (client.markets or {}).items():
            instrument = self.instrument(market)
            if instrument is None:
                continue
            symbol = instrument.symbol
            if symbol in self._names:
                clashing.add(symbol)
            self.instruments[symbol] = instrument
            self._names[symbol], self._symbols[name] = name, symbol
            self._sizes[symbol] = self.unit(market)
            if market.get("active") is False:
                self.halted.add(symbol)
            self.market_ids[symbol] = str(market["id"])
        for symbol in clashing:
            del self.instruments[symbol], self._names[symbol]
        self._symbols = {n: s for n, s in self._symbols.items() if s not in clashing}
        return self.instruments

    def kind_of(self, market: Answer) -> str:
        """ "spot" or "linear"; "" for what is not offered here."""
        if market.get("spot"):
            kind = "spot"
        else:
            kind = "linear" if market.get("swap") and market.get("linear") else ""
        return kind if kind in self.kinds else ""

    def unit(self, market: Answer) -> Decimal:
        """How many base units one unit of the exchange's quantity is; 1 except for contracts."""
        size = market.get("contractSize") if market.get("contract") else None
        return Decimal(str(size)) if size else Decimal(1)

    def instrument(self, market: Answer) -> Instrument | None:
        kind, precision = self.kind_of(market), market.get("precision") or {}
        tick, lot = precision.get("price"), precision.get("amount")
        if not kind or not tick or not lot:
            return None
        unit, limits = self.unit(market), market.get("limits") or {}
        least = (limits.get("amount") or {}).get("min")
        worth = (limits.get("cost") or {}).get("min")
        try:
            symbol = normalise_symbol(market["symbol"])
        except InvalidInput:
            return None  # a name beyond letters and digits cannot be written as a symbol here
        return Instrument(
            symbol=symbol,
            base=str(market.get("base") or ""),
            quote=str(market.get("quote") or ""),
            tick_size=Decimal(str(tick)),
            lot_size=Decimal(str(lot)) * unit,
            min_quantity=Decimal(str(least)) * unit if least else None,
            min_notional=Decimal(str(worth)) if worth else None,
            kind=kind,
        )

    # ---------------------------------------------------------------------------- symbols, ids

    def symbol(self, symbol: str) -> str:
        """ccxt's name of our symbol."""
        name = self._names.get(symbol)
        if name is None:
            raise InvalidInput("symbol", symbol, f"{self.title} offers no such market here")
        return name

    def own_symbol(self, name: str | None) -> str:
        """Our symbol for ccxt's name, "" where the market is not offered here."""
        return self._symbols.get(name or "", "")

    def base_units(self, symbol: str) -> Decimal:
        """How many base units one unit of the exchange's quantity is."""
        self.symbol(symbol)
        return self._sizes[symbol]

    def encode_id(self, client_order_id: str) -> str:
        """The client id as it goes over the wire; `InvalidInput` if the exchange would not take it.
        Always the same for the same id."""
        if not re.fullmatch(self.id_form, client_order_id):
            fix = f"{self.title} takes only ids of the form {self.id_form}"
            raise InvalidInput("client_order_id", client_order_id, fix)
        return client_order_id

    def decode_id(self, text: str | None) -> str:
        """The inverse of `encode_id`; an id that others gave comes back as it is, "" for none."""
        return text or ""

    def wire_id(self, row: Answer) -> str | None:
        """Where an order or a fill of the exchange carries the client id."""
        return row.get("clientOrderId")
