"""Rehearsal: an exchange on loopback, behind TLS, under the exchange's own host names."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.rehearsal.accounts import ApiKey
from execkit.rehearsal.admin import Admin
from execkit.rehearsal.clock import VenueClock
from execkit.rehearsal.dialects import dialect
from execkit.rehearsal.exchange import Exchange
from execkit.rehearsal.faults import Faults
from execkit.rehearsal.markets import quiet
from execkit.rehearsal.rules import FeeSchedule
from execkit.rehearsal.tls import make_certificates
from execkit.rehearsal.wire import Wire
from execkit.rehearsal.words import NewOrder
from execkit.venues.route import Route
from execkit.words import OrderType, Side

if TYPE_CHECKING:
    from aiohttp import web

_LOOPBACK = "127.0.0.1"
_TICK_S = 0.02


class Rehearsal:
    """A local exchange that speaks the dialect of a real one.

        async with Rehearsal("binance", market=market) as r:
            r.route.attach(client)      # a ccxt client, with r.credentials

    Parameters
    ----------
    exchange : ccxt id. market : what its orders meet; a book that stands still if left out.
    speed : of the venue's clock: 1 real time, N, or 0 to move it by hand (`clock.advance`).
    balances : of the account "main". seed : of the faults.

    Attributes
    ----------
    exchange : the `Exchange`, with everything that can be done to it. faults : what goes wrong on
    the wire. clock : venue time. route, credentials : what a client needs. admin_url : all over
    HTTP, for other processes (see `rehearsal.admin`); most wants `admin_token`.

    It listens on loopback only, and nothing here reaches a real exchange.
    """

    def __init__(
        self,
        exchange: str = "binance",
        *,
        market: MarketData | None = None,
        speed: float = 1.0,
        balances: Mapping[str, Decimal] | None = None,
        fees: FeeSchedule | None = None,
        fill: str = "queue",
        seed: int = 0,
        port: int = 0,
        admin_port: int = 0,
    ) -> None:
        self.name = exchange
        kind = dialect(exchange)
        self.clock = VenueClock(speed)
        self.exchange = Exchange(
            market or quiet(), self.clock, balances=balances, fees=fees, fill=fill
        )
        self.dialect = kind(self.exchange)
        self.faults = Faults(self.clock, seed)
        self.key = self.exchange.add_key(
            ApiKey(
                key="rehearsal" + secrets.token_hex(28),
                secret=secrets.token_hex(32),
                password=secrets.token_hex(8),
                account="main",
                created_ns=self.clock.start_ns,
            )
        )
        self.admin_token = secrets.token_urlsafe(16)
        self._port, self._admin_port = port, admin_port
        self._runner: web.ServerRunner | None = None
        self._admin: web.ServerRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.wire: Wire | None = None
        self.ca_pem, self._tls = make_certificates(kind.hosts)

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. Ports that were 0 are chosen now."""
        from aiohttp import web

        _compile()
        self.wire = Wire(self.dialect, self.faults)
        await self.listen()
        self._admin = web.ServerRunner(web.Server(Admin(self).handle, access_log=None))  # type: ignore[arg-type]
        await self._admin.setup()
        await web.TCPSite(self._admin, _LOOPBACK, self._admin_port).start()
        self._admin_port = self._admin.addresses[0][1]
        if not self.clock.by_hand:
            self._ticker = asyncio.create_task(self._tick())

    async def listen(self) -> None:
        """Take connections (again, after `hang_up`, at the same port)."""
        from aiohttp import web

        assert self.wire is not None  # started
        if self._runner is not None:
            return
        runner = web.ServerRunner(web.Server(self.wire.handle, access_log=None))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, _LOOPBACK, self._port, ssl_context=self._tls)
        await site.start()
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def hang_up(self) -> None:
        """Cut every connection and refuse new ones, as a server that is down."""
        runner, self._runner = self._runner, None
        self.sockets("reset")
        if runner is not None:
            if runner.server is not None:
                await runner.server.shutdown(0.1)
            await runner.cleanup()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        if self.wire is not None:
            await self.wire.close()
        await self.hang_up()
        if self._admin is not None:
            await self._admin.cleanup()

    async def _tick(self) -> None:
        while True:
            self.exchange.run()
            await asyncio.sleep(_TICK_S)

    def sockets(self, verb: str, code: int = 1001, private: bool | None = None) -> int:
        """close (with `code`; 1006 just ends), reset (RST) or half_open (silent, pongs too) every
        WebSocket; only those that are signed in, or not, if `private` is given. How many."""
        if verb not in ("close", "reset", "half_open"):
            raise InvalidInput("verb", verb, "use one of: close, reset, half_open")
        found = [
            socket
            for socket in (list(self.wire.sockets) if self.wire else [])
            if private in (None, socket.key is not None)
        ]
        for socket in found:
            if verb == "close":
                socket.close(code)
            elif verb == "reset":
                socket.reset()
            else:
                socket.half_open = True
        return len(found)

    # ------------------------------------------------------------------ reaching it

    @property
    def admin_url(self) -> str:
        return f"http://{_LOOPBACK}:{self._admin_port}"

    def info(self) -> dict[str, Any]:
        """What a client in another process needs: `Route.of(info)`, and the keys."""
        route = self.route
        hosts = {host: list(to) for host, to in route.hosts.items()}
        return {"exchange": self.name, "hosts": hosts, "ca_pem": route.ca_pem, **self.credentials}

    @property
    def port(self) -> int:
        return self._port

    @property
    def route(self) -> Route:
        """Where the exchange's hosts are found now."""
        hosts = dict.fromkeys(self.dialect.hosts, (_LOOPBACK, self.port))
        return Route(hosts=hosts, ca_pem=self.ca_pem)

    @property
    def credentials(self) -> dict[str, str]:
        """key, secret and password of the account "main"; worth nothing anywhere else."""
        return {"key": self.key.key, "secret": self.key.secret, "password": self.key.password}


@cache
def _compile() -> None:
    """Have the kernel compiled, once a process: the first order of a fresh machine would else wait
    for it longer than a client waits for an answer."""
    market = quiet()
    symbol = market.symbols[0]
    lot = market.instruments[symbol].lot_size
    asked = NewOrder(symbol=symbol, side=Side.BUY, order_type=OrderType.MARKET, quantity=1000 * lot)
    Exchange(market).place("main", asked)
