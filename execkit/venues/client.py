"""The ccxt.pro client of a live venue, and the network beneath it.

ccxt keeps its own URLs; what differs is below them. A `Route` leads its hosts elsewhere (to a
rehearsal exchange on this machine, with a certificate authority of its own); without one, only
hosts of the exchange's own domains are reached. Certificates are always verified, proxies of the
environment and redirects are never followed, an answer has a largest size, and nothing is ever sent
twice: neither ccxt nor aiohttp repeats a request that may have arrived.

Each request leaves a `Wire`: whether its bytes were written, and what came back. Without that an
error does not say whether the exchange has the order.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from execkit.errors import InvalidInput
from execkit.secrets import Credentials
from execkit.venues.route import Route
from execkit.venues.wire import CURRENT, TRAIL, Wire

LARGEST_ANSWER = 32 * 2**20  # bytes; the largest list of markets seen is 3 MB
KEEP_ALIVE_S = 15.0
_KEPT_BODY = 4096  # characters of an answer that a `Wire` keeps


class NotAllowed(aiohttp.ClientError):
    """A request that must not go out, or go out again."""


class QuirksLike(Protocol):
    """What a client needs to know of an exchange."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    def options(self) -> dict[str, Any]: ...
    def prepare(self, client: Any, *, demo: bool = False) -> None: ...


def make_client(
    quirks: QuirksLike,
    credentials: Credentials | None = None,
    *,
    route: Route | None = None,
    demo: bool = False,
    timeout_s: float = 10.0,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> Any:
    """A ccxt.pro client of the exchange, with no markets loaded; close it with `await .close()`.

    credentials : None for public data only. keep_alive_s : how often a socket is pinged.
    Raises `InvalidInput` for an exchange that ccxt does not have, and for options that must not be
    set.
    """
    settings = dict(quirks.options())
    for name in ("verbose", "aiohttp_trust_env", "session"):
        if settings.pop(name, None):
            raise InvalidInput(name, True, "would print or misdirect signed requests; leave it out")
    if settings.get("verify") is False:
        raise InvalidInput("verify", False, "certificates are always verified; leave it out")
    settings |= {"enableRateLimit": False, "timeout": round(timeout_s * 1000)}
    if credentials is not None:
        given = (credentials.key, credentials.secret, credentials.password)
        settings |= {
            name: value.reveal()
            for name, value in zip(quirks.needs, given, strict=False)
            if value is not None
        }
    client = _class_of(quirks.id)(settings)
    client.streaming = {**client.streaming, "keepAlive": round(keep_alive_s * 1000)}
    quirks.prepare(client, demo=demo)
    client.network = Network(route, _domains(client))
    return client


class Network:
    """Sessions, certificates and the list of hosts of one client."""

    def __init__(self, route: Route | None, domains: frozenset[str]) -> None:
        self.route, self.domains = route, domains

    def allows(self, host: str) -> bool:
        if self.route is not None:
            return host in self.route.hosts
        return any(host == d or host.endswith(f".{d}") for d in self.domains)

    def certificates(self) -> ssl.SSLContext:
        if self.route is not None:
            return self.route.ssl_context()
        import certifi

        return ssl.create_default_context(cafile=certifi.where())

    def session(self) -> aiohttp.ClientSession:
        """One pool for REST and WebSockets; how much is under way is the limiter's business."""
        connector = aiohttp.TCPConnector(
            ssl=self.certificates(),
            resolver=_Resolver(self) if self.route is None else self.route.resolver(),
            limit=0,
            ttl_dns_cache=300,
            keepalive_timeout=KEEP_ALIVE_S,
            family=socket.AF_UNSPEC,
        )
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            response_class=_Bounded,
            trace_configs=[self._trace()],
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._starts)
        trace.on_request_headers_sent.append(_writes)
        trace.on_request_redirect.append(_redirected)
        return trace

    async def _starts(self, session: Any, context: Any, request: Any) -> None:
        url = request.url
        if url.scheme not in ("https", "wss") or not self.allows(url.host or ""):
            raise NotAllowed(f"{url.scheme}://{url.host} is not a place of this exchange")


async def _writes(session: Any, context: Any, request: Any) -> None:
    """The last moment before the bytes of a request are written. aiohttp tries again by itself when
    a connection that it kept turns out dead; what changes something must not go twice."""
    wire = CURRENT.get()
    if wire is None:
        return
    if wire.written and request.method != "GET":
        raise NotAllowed(f"{request.method} may have arrived; it is not sent again")
    wire.written, wire.written_ns = True, time.monotonic_ns()


async def _redirected(session: Any, context: Any, request: Any) -> None:
    raise NotAllowed("the exchange answered with a redirect, which is not followed")


class _Resolver(AbstractResolver):
    """Names to addresses, of the exchange's own hosts only."""

    def __init__(self, network: Network) -> None:
        self._network, self._real = network, aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self._network.allows(host):
            raise OSError(None, f"{host} is not a place of this exchange")
        return await self._real.resolve(host, port, family)

    async def close(self) -> None:
        await self._real.close()


class _Bounded(aiohttp.ClientResponse):
    """An answer that ends at `LARGEST_ANSWER`, unpacked."""

    async def read(self) -> bytes:
        if self._body is None:
            size, parts = 0, []
            try:
                async for part in self.content.iter_any():
                    size += len(part)
                    if size > LARGEST_ANSWER:
                        raise aiohttp.ClientPayloadError(f"answer above {LARGEST_ANSWER} bytes")
                    parts.append(part)
            except BaseException:  # however it ended, half of an answer must not be read on
                self.close()
                raise
            self._body = b"".join(parts)
        return await super().read()


class _Quiet(logging.Logger):
    """ccxt logs requests with their signatures at DEBUG; this one keeps none of it."""

    def __init__(self) -> None:
        super().__init__("execkit.venues.ccxt", logging.WARNING)
        self.parent = logging.getLogger("execkit.venues")


def _never(client: Any, value: object) -> None:
    if value:
        raise InvalidInput("verbose", value, "would print keys and signatures; leave it off")


_Hook = Callable[[Any], None]


@dataclass
class Hooks:
    """Who is told about the client's sockets: connected, lost, a message that came in."""

    connected: list[_Hook] = field(default_factory=list)
    lost: list[Callable[[Any, object], None]] = field(default_factory=list)


class _Beneath:
    """What is changed in ccxt's own class, whichever exchange it is."""

    verbose = property(lambda client: False, _never)
    logger = _Quiet()
    network: Network
    clock_offset_ms = 0
    # an exchange may repeat a key in its answer, and whoever shows the client would show that
    enableLastHttpResponse = enableLastResponseHeaders = False  # noqa: N815  ccxt's names
    session: aiohttp.ClientSession | None
    closed_by_user: bool
    ssl_context: Any

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.hooks = Hooks()
        super().__init__(settings)  # type: ignore[call-arg]

    @staticmethod
    def milliseconds_here() -> int:
        return time.time_ns() // 1_000_000

    # ccxt signs with these; its own are the computer's, which may be off
    def milliseconds(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def seconds(self) -> int:
        return self.milliseconds() // 1000

    def microseconds(self) -> int:
        return time.time_ns() // 1000 + self.clock_offset_ms * 1000

    def open(self, lazy: bool = False) -> None:
        if self.session is None and not (lazy and self.closed_by_user):
            self.ssl_context = False  # of ccxt's own session, which is not made
            self.session = self.network.session()
        super().open(lazy)  # type: ignore[misc]

    async def fetch2(
        self,
        path: Any,
        api: Any = "public",
        method: str = "GET",
        params: Any = None,
        config: Any = None,
    ) -> Any:
        """Sign and send once; ccxt's own can wait for its limiter, and repeat."""
        request = self.sign(path, api, method, params or {})  # type: ignore[attr-defined]
        return await self.fetch(
            request["url"], request["method"], request["headers"], request["body"]
        )

    async def fetch(
        self, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        wire = Wire(method, urlsplit(url).path, started_ns=time.monotonic_ns())
        wires = TRAIL.get()
        if wires is not None:
            wires.append(wire)
        token = CURRENT.set(wire)
        try:
            answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        finally:
            CURRENT.reset(token)
        if isinstance(answer, (dict, list)) and (answer or answer == [] or method != "GET"):
            return answer
        # ccxt would read a garbled or empty answer as "there is none"
        raise NotAllowed(f"the answer to {method} {wire.path} is not JSON")

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any
    ) -> str:
        wire = CURRENT.get()
        if wire is not None:
            wire.status, wire.answered_ns = code, time.monotonic_ns()
            wire.retry_after_s = _seconds(headers)
            wire.body = body[:_KEPT_BODY]
        return super().on_rest_response(  # type: ignore[misc, no-any-return]
            code, reason, url, method, headers, body, *rest
        )

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)  # type: ignore[misc]
        for told in self.hooks.connected:
            told(client)

    def on_error(self, client: Any, error: Any) -> None:
        super().on_error(client, error)  # type: ignore[misc]
        for told in self.hooks.lost:
            told(client, error)

    def on_close(self, client: Any, error: Any) -> None:
        super().on_close(client, error)  # type: ignore[misc]
        for told in self.hooks.lost:
            told(client, error)


def _class_of(exchange: str) -> type[Any]:
    import ccxt.pro

    own = getattr(ccxt.pro, exchange, None) if exchange in ccxt.pro.exchanges else None
    if own is None:
        raise InvalidInput("exchange", exchange, "ccxt.pro has no exchange of that name")
    return type(own.__name__, (_Beneath, own), {})


def _domains(client: Any) -> frozenset[str]:
    """The registered domains of every URL that ccxt has for the exchange."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, Mapping):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, str) and "://" in value:
            host = urlsplit(value.replace("{hostname}", client.hostname or "x")).hostname or ""
            found.add(".".join(host.split(".")[-2:]))

    walk(client.urls.get("api"))
    walk(client.urls.get("test"))
    return frozenset(found)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Of a Retry-After header, if it is a number of seconds."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                return None
    return None
