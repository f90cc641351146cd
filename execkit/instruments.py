"""What can be told about an instrument from its data: tick and lot as powers of ten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from execkit.domain import Instrument
from execkit.errors import InvalidData, InvalidInput
from execkit.tables import Table

MOST_DECIMALS = 12
FALLBACK_DECIMALS = 8

_PRICES = ("open", "high", "low", "close", "bid", "ask", "price")
_QUANTITIES = ("volume", "bid_quantity", "ask_quantity", "quantity")
_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "EUR", "BTC", "ETH")


Instruments = Iterable[Instrument] | Mapping[str, Instrument]


@dataclass(frozen=True, slots=True)
class Units:
    """Powers of ten that turn prices and quantities of one instrument into exact integers."""

    price: float
    quantity: float

    def prices(self, values: np.ndarray) -> np.ndarray:
        return _integers(values, self.price)

    def quantities(self, values: np.ndarray) -> np.ndarray:
        return _integers(values, self.quantity)


def by_symbol(instruments: Instruments) -> dict[str, Instrument]:
    """Instruments by their symbol, from several of them or from a mapping such as
    `MarketData.instruments`. Raises `InvalidInput` for anything else."""
    try:
        found = list(instruments.values() if isinstance(instruments, Mapping) else instruments)
    except TypeError:
        found = [instruments]
    for one in found:
        if not isinstance(one, Instrument):
            raise InvalidInput("instruments", one, "pass Instrument objects, or them by symbol")
    return {one.symbol: one for one in found}


def decimals_of(values: np.ndarray) -> int | None:
    """Fewest decimals (0..12) that write every finite value exactly; None if 12 are not enough.

    "Exactly" means that the decimal number read back is the same float, so 0.1 has one decimal.
    """
    most = 0
    for first in range(0, len(values), _AT_ONCE):
        part = values[first : first + _AT_ONCE]
        left = part[np.isfinite(part) & ~_has_decimals(part, most)]
        for decimals in range(MOST_DECIMALS + 1):
            left = left[~_has_decimals(left, decimals)]
            if len(left) == 0:
                most = max(most, decimals)
                break
        else:
            return None
    return most


_AT_ONCE = 1 << 15
"""Values that are looked at together: few enough for what comes of them to stay in the cache."""


def _has_decimals(values: np.ndarray, decimals: int) -> np.ndarray:
    """Whether a number of so many decimals reads as each value."""
    scale = 10.0**decimals
    with np.errstate(invalid="ignore"):
        return np.rint(values * scale) / scale == values


def infer_instruments(tables: Mapping[str, Table], symbols: Iterable[str]) -> dict[str, Instrument]:
    """Spot instruments whose tick and lot fit the data of each symbol."""
    out = {}
    for symbol in symbols:
        price = _decimals(tables, symbol, _PRICES)
        quantity = _decimals(tables, symbol, _QUANTITIES)
        out[symbol] = make_instrument(symbol, power(price), power(quantity))
    return out


def make_instrument(
    symbol: str,
    tick_size: Decimal,
    lot_size: Decimal,
    kind: str = "spot",
    contract_size: Decimal = Decimal(1),
) -> Instrument:
    """An `Instrument`; base and quote are split off the symbol if its ending is a known quote."""
    bare = symbol.removesuffix("_PERP")
    quote = next((q for q in _QUOTES if bare.endswith(q) and len(bare) > len(q)), "")
    return Instrument(
        symbol=symbol,
        base=bare.removesuffix(quote) if quote else "",
        quote=quote,
        tick_size=tick_size,
        lot_size=lot_size,
        kind=kind,
        contract_size=contract_size,
    )


def power(decimals: int) -> Decimal:
    """0.01 for 2 decimals."""
    return Decimal(1).scaleb(-decimals)


def fitted(
    tables: Mapping[str, Table], symbol: str, kind: str, contract_size: Decimal = Decimal(1)
) -> Instrument:
    """An instrument of a known kind with tick and lot inferred from the data."""
    inferred = infer_instruments(tables, [symbol])[symbol]
    return replace(inferred, kind=kind, contract_size=contract_size)


def merge_instruments(
    given: Iterable[Mapping[str, Instrument]], inferred: Iterable[Mapping[str, Instrument]]
) -> dict[str, Instrument]:
    """One instrument a symbol: the finest tick and lot of all.

    Other attributes of those given must agree; those inferred add nothing but their tick and lot.
    """
    out: dict[str, Instrument] = {}
    for instruments, guessed in [*((m, False) for m in given), *((m, True) for m in inferred)]:
        for symbol, found in instruments.items():
            old, new = out.get(symbol, found), found
            if guessed:
                new = replace(old, tick_size=found.tick_size, lot_size=found.lot_size)
            tick, lot = min(old.tick_size, new.tick_size), min(old.lot_size, new.lot_size)
            a, b = (replace(i, tick_size=tick, lot_size=lot) for i in (old, new))
            if a != b:
                raise InvalidData(
                    f"{symbol} is described as {old} and as {new}: load both parts with the same "
                    "instrument, or give one of them another symbol"
                )
            out[symbol] = a
    return out


def units_of(instrument: Instrument) -> Units:
    """Powers of ten that make the instrument's prices and quantities whole numbers."""
    return Units(10.0**instrument.price_decimals, 10.0**instrument.quantity_decimals)


def _decimals(tables: Mapping[str, Table], symbol: str, names: tuple[str, ...]) -> int:
    most = 0
    for table in tables.values():
        rows = table.of(symbol)
        for name in names:
            if name in rows:
                found = decimals_of(rows[name])
                if found is None:
                    return FALLBACK_DECIMALS
                most = max(most, found)
    return most


def _integers(values: np.ndarray, unit: float) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, 0.0)
    return np.rint(finite * unit).astype(np.int64)
