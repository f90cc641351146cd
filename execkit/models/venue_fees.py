"""What venues charge at their base tier: a dated, sourced table, for a start.

The rates of your own account decide: a venue changes its table, grants tiers and discounts, and
charges by country. Rows are here only where a source states them, and where two sources were found
they agree, or the newer one is taken and the other named. A venue that is missing had none.
"""

from __future__ import annotations

from dataclasses import dataclass

from execkit.errors import InvalidInput
from execkit.models.fee import FeeModel

_CCXT = "ccxt 4.5.90, describe()['fees']"
_INDEX = "loweef Crypto Futures Fee Index"


@dataclass(frozen=True, kw_only=True)
class VenueFees(FeeModel):
    """A `FeeModel` that knows whose fees it states, since when and from where.

    venue, kind : "spot", "linear" or "inverse". as_of : ISO date of the source, which may be later
    than the day on which the venue set the rates. source : what was read, with the venue's own page
    where the source names one.
    """

    venue: str = ""
    kind: str = "spot"
    as_of: str = ""
    source: str = ""


def _row(
    venue: str, kind: str, maker_bps: float, taker_bps: float, as_of: str, source: str
) -> VenueFees:
    return VenueFees(
        maker_bps=maker_bps,
        taker_bps=taker_bps,
        currency="quote" if kind == "spot" else "settle",
        venue=venue,
        kind=kind,
        as_of=as_of,
        source=source,
    )


_BINANCE = f"{_CCXT} (binance.com/en/fee/schedule)"
_HYPERLIQUID = f"{_CCXT} (hyperliquid.gitbook.io/hyperliquid-docs/trading/fees)"
TABLE: tuple[VenueFees, ...] = (
    _row("binance", "spot", 10.0, 10.0, "2026-10-23", _BINANCE),
    _row("binance", "linear", 2.0, 5.0, "2026-10-23", f"{_BINANCE}; {_INDEX}, 2026-10-12"),
    _row("binance", "inverse", 1.0, 5.0, "2026-10-23", _BINANCE),
    _row("bitfinex", "spot", 10.0, 20.0, "2026-10-23", f"{_CCXT} (bitfinex.com/fees)"),
    _row(
        "bybit", "linear", 2.0, 5.5, "2026-10-16",
        f"{_INDEX} (bybit.com help center, Trading Fee Structure); ccxt 4.5.90 has older ones",
    ),
    _row("hyperliquid", "spot", 4.0, 7.0, "2026-10-23", _HYPERLIQUID),
    _row("hyperliquid", "linear", 1.5, 4.5, "2026-10-23", _HYPERLIQUID),
    _row(
        "kraken", "spot", 25.0, 40.0, "2026-05-30",
        "API Commons plan of Kraken (kraken.com/features/fee-schedule); ccxt 4.5.90 has older ones",
    ),
    _row(
        "kraken", "linear", 2.0, 5.0, "2026-10-23",
        f"{_CCXT} of krakenfutures; {_INDEX}, 2026-10-12",
    ),
    _row("kucoin", "spot", 10.0, 10.0, "2026-10-23", _CCXT),
    _row(
        "okx", "linear", 2.0, 5.0, "2026-10-23",
        f"{_CCXT} (okx.com/pages/products/fees.html); {_INDEX}, 2026-10-16",
    ),
)  # fmt: skip
"""Base tier of each venue and kind of instrument, in bps, sorted by venue."""


def venue_fees(venue: str, kind: str = "spot") -> VenueFees:
    """The base tier of a venue for instruments of a kind ("spot", "linear", "inverse"); a
    `FeeModel` with `as_of` and `source`, which a run keeps among its parameters.

    Spot fees are charged in quote currency here; venues that take what was bought charge the same
    value in base on buys. `InvalidInput` for what the table does not have: nothing is guessed.
    """
    for row in TABLE:
        if row.venue == str(venue).lower() and row.kind == kind:
            return row
    known = ", ".join(f"{row.venue} {row.kind}" for row in TABLE)
    fix = f"state your account's rates, FeeModel(maker_bps=..., taker_bps=...); known: {known}"
    raise InvalidInput("venue", f"{venue} {kind}", fix)
