"""The admin port: what can be done to a rehearsal, as JSON over HTTP on loopback, for others.

    GET  /info                     how to connect; the keys in it are worth nothing anywhere else
    GET  /snapshot?account=main    the account's orders, fills, balances and positions
    GET  /faults                   rules, how often each has struck, and the log
    POST /exchange/VERB            a method of `Exchange`, e.g. force_fill, halt, revoke_key
    POST /faults/VERB              add, mute, clear, limit, ban, maintenance, remove
    POST /clock/advance            {"seconds": 5}
    POST /sockets/VERB             close, reset, half_open
    POST /server/VERB              hang_up, listen

Arguments are a JSON object; quantities and prices may be text, to be exact. All but /info want the
token, as the header X-Token. A failure is {"error": ...} with status 400.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TYPE_CHECKING, Any

from execkit.errors import InvalidInput
from execkit.rehearsal.words import NewOrder, Rejected
from execkit.words import OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from aiohttp import web

    from execkit.rehearsal.server import Rehearsal

_VERBS = {
    "exchange": "force_fill expire hide transfer pay_funding liquidate set_state halt resume "
    "change_filter revoke_key manual cancel cancel_all move",
    "faults": "add mute clear limit ban maintenance remove",
    "clock": "advance",
    "sockets": "close reset half_open",
    "server": "hang_up listen",
}
_MONEY = {"quantity", "price", "change", "rate", "mark", "fee", "stop_price", "bid", "ask", "size"}
_FILTERS = {"tick_size", "lot_size", "min_quantity", "max_quantity", "min_notional", "price_band"}


class Admin:
    """The port's handler; `Rehearsal` runs it."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's handler."""
        from aiohttp import web

        try:
            status, body = await self._answer(request)
        except (Rejected, InvalidInput, TypeError, ValueError, KeyError, InvalidOperation) as why:
            status, body = 400, {"error": f"{type(why).__name__}: {why}"}
        text = json.dumps(body, default=plain)
        return web.Response(status=status, text=text, content_type="application/json")

    async def _answer(self, request: web.BaseRequest) -> tuple[int, Any]:
        if request.host.partition(":")[0] not in ("127.0.0.1", "localhost"):
            return 403, {"error": "this port is for loopback only"}
        if request.method == "GET" and request.path == "/info":
            return 200, self.rehearsal.info()
        token = request.headers.get("X-Token", "")
        if not hmac.compare_digest(token.encode(), self.rehearsal.admin_token.encode()):
            return 401, {"error": "send the rehearsal's token as the header X-Token"}
        if request.method == "GET":
            return self._shown(request.path, dict(request.query))
        _, _, rest = request.path.partition("/")
        thing, _, verb = rest.partition("/")
        if request.method != "POST" or verb not in _VERBS.get(thing, "").split():
            known = {name: verbs.split() for name, verbs in _VERBS.items()}
            return 404, {"error": f"no {request.method} {request.path}", "verbs": known}
        text = await request.text()
        given = json.loads(text) if text.strip() else {}
        if not isinstance(given, dict):
            raise InvalidInput("body", given, "send a JSON object of arguments")
        return 200, {"result": await self._do(thing, verb, given)}

    def _shown(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/snapshot":
            return 200, self.rehearsal.exchange.snapshot(query.get("account", "main"))
        if path == "/faults":
            faults = self.rehearsal.faults
            names = ("when_ns", "rule", "verb", "what")
            log = [dict(zip(names, row, strict=True)) for row in faults.log]
            rules = [_rule(rule) for rule in faults.rules]
            return 200, {"rules": rules, "log": log}
        return 404, {"error": f"no GET {path}: there are /info, /snapshot and /faults"}

    async def _do(self, thing: str, verb: str, given: dict[str, Any]) -> Any:
        r = self.rehearsal
        if thing == "clock":
            return r.clock.advance(round(float(given["seconds"]) * 1e9))
        if thing == "sockets":
            return r.sockets(verb, **given)
        if thing == "server":
            await getattr(r, verb)()
            return r.port
        if thing == "faults":
            if verb == "remove":
                for rule in [rule for rule in r.faults.rules if rule.number == given["number"]]:
                    r.faults.remove(rule)
                return len(r.faults.rules)
            found = getattr(r.faults, verb)(*given.pop("ops", ()), **given)
            return _rule(found) if hasattr(found, "struck") else None
        exact = {
            name: Decimal(str(value)) if name in _MONEY | _FILTERS and value is not None else value
            for name, value in given.items()
        }
        if isinstance(given.get("fee"), list):
            exact["fee"] = (Decimal(str(given["fee"][0])), str(given["fee"][1]))
        if verb == "manual":
            exact = {"account": exact.pop("account", "main"), "asked": asked(exact)}
        return getattr(r.exchange, verb)(**exact)


def asked(given: dict[str, Any]) -> NewOrder:
    """An order from its fields as text."""
    made = dict(given)
    for name, kind in (("side", Side), ("order_type", OrderType), ("time_in_force", TimeInForce)):
        if name in made:
            made[name] = kind.of(made[name], name)
    return NewOrder(**made)


def plain(value: Any) -> Any:
    """JSON of what the exchange holds: exact numbers become text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, set | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not shown here")


def _rule(rule: Any) -> dict[str, Any]:
    return {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule) if f.name != "held"}
