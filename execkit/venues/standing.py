"""Standing: leverage, margin mode and position mode of derivatives, set and then seen to be so.

An exchange that refuses to change something that already is as wanted says so with an error, so the
answer to the change is not what counts: what the exchange shows afterwards is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execkit.errors import FixRequest, InvalidInput
from execkit.venues.limiter import Lane
from execkit.venues.line import Failed, Line
from execkit.venues.quirks import Call
from execkit.words import normalise_symbol


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a venue is to be like before the first order. Empty: as it is.

    leverage : by symbol, a whole number. margin_mode : "cross" or "isolated", of these symbols.
    one_way : positions are one signed number per symbol, as everything here counts them; an account
    in hedge mode is turned, which exchanges only do while nothing is held.
    """

    leverage: Mapping[str, int] = field(default_factory=dict)
    margin_mode: str = ""
    one_way: bool = False

    def __post_init__(self) -> None:
        if self.margin_mode not in ("", "cross", "isolated"):
            raise InvalidInput("margin_mode", self.margin_mode, "use cross or isolated")
        if self.margin_mode and not self.leverage:
            raise InvalidInput("leverage", {}, "name the symbols that margin_mode is for")
        own = {normalise_symbol(symbol): times for symbol, times in self.leverage.items()}
        for symbol, times in own.items():
            if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 200:
                raise InvalidInput(f"leverage[{symbol}]", times, "use a whole number from 1")
        object.__setattr__(self, "leverage", own)

    async def take_up(self, line: Line) -> None:
        """Set and verify. Raises `FixRequest` naming what is not as wanted, or cannot be seen;
        `RetryLater` without an answer."""
        for symbol in self.leverage:
            line.quirks.symbol(symbol)  # or it is not offered
            if line.quirks.instruments[symbol].kind == "spot":
                raise InvalidInput("leverage", symbol, "a spot market has none; leave it out")
        if self.one_way:
            await self._one_way(line)
        for symbol, times in self.leverage.items():
            await self._margin(line, symbol, times)

    async def _one_way(self, line: Line) -> None:
        symbol = next(iter(self.leverage), None)
        name = line.quirks.symbol(symbol) if symbol else None
        refused = await _change(line, line.quirks.call("set_position_mode", False, name))
        if line.client.has.get("fetchPositionMode") is not True:
            if refused:
                raise FixRequest(f"{line.name}: one-way mode was not taken up ({refused})")
            return
        shown = await line.read(line.quirks.call("fetch_position_mode", name))
        if shown.get("hedged") is not False:
            why = refused or "it shows hedge mode"
            raise FixRequest(f"{line.name}: one-way mode was not taken up ({why})")

    async def _margin(self, line: Line, symbol: str, times: int) -> None:
        name, refused = line.quirks.symbol(symbol), ""
        if self.margin_mode:
            call = line.quirks.call("set_margin_mode", self.margin_mode, name)
            refused = await _change(line, call)
        call = line.quirks.leverage_call(symbol, times, self.margin_mode)
        refused = await _change(line, call) or refused
        if not line.client.has.get("fetchLeverage"):
            raise FixRequest(
                f"{line.name} does not show its leverage, so it cannot be verified: set it at the "
                "exchange and leave it out here"
            )
        shown = await line.read(line.quirks.call("fetch_leverage", name))
        seen = {_whole(shown.get(side)) for side in ("longLeverage", "shortLeverage")}
        if seen - {None} != {times}:
            raise FixRequest(f"{line.name} {symbol}: leverage {times} was not taken up {refused}")
        mode = shown.get("marginMode")
        if self.margin_mode and mode not in (None, self.margin_mode):
            raise FixRequest(f"{line.name} {symbol}: margin mode is {mode} {refused}".strip())


async def _change(line: Line, call: Call) -> str:
    """Ask for a change; what was said against it, "" if nothing."""
    try:
        await line.ask(call, Lane.LOOKUP)
    except Failed as failed:
        return failed.outcome.text
    return ""


def _whole(value: Any) -> int | None:
    return None if value is None else int(Decimal(str(value)))
