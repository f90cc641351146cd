"""Route: where the hosts of an exchange are really found. Redirecting beneath ccxt's URLs, and not
replacing them, keeps ccxt's own choice of error classes, which goes by the URL."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execkit.errors import InvalidInput

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver


@dataclass(frozen=True, kw_only=True)
class Route:
    """Each host that may be reached, and the (address, port) that stands in for it.

    ca_pem, ca_file : the certificate authority that vouches for those hosts, as PEM text or as a
    file; no other is believed. The name of a host that is not listed is not resolved.
    """

    hosts: Mapping[str, tuple[str, int]]
    ca_pem: str = ""
    ca_file: str | Path = ""

    def __post_init__(self) -> None:
        if not self.ca_pem and not self.ca_file:
            raise InvalidInput("ca_pem", "", "give the certificates that the hosts are known by")

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Route:
        """From what the admin port of a rehearsal answers to GET /info."""
        try:
            hosts = {host: (str(to[0]), int(to[1])) for host, to in info["hosts"].items()}
            return cls(hosts=hosts, ca_pem=info["ca_pem"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            fix = f"has no usable hosts and ca_pem ({error!r}): is that a rehearsal's admin port?"
            raise InvalidInput("info", info, fix) from None

    def ssl_context(self) -> ssl.SSLContext:
        """Verifies certificates and host names, against this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        file = str(self.ca_file) if self.ca_file else None
        context.load_verify_locations(cafile=file, cadata=self.ca_pem or None)
        return context

    def resolver(self) -> AbstractResolver:
        """Needs a running event loop, as aiohttp's own does."""
        from aiohttp.abc import AbstractResolver, ResolveResult

        hosts = self.hosts

        class Routed(AbstractResolver):
            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                if host not in hosts:
                    raise OSError(f"{host} is not on the route, so it is not looked up")
                address, real_port = hosts[host]
                return [
                    ResolveResult(
                        hostname=host,
                        host=address,
                        port=real_port,
                        family=socket.AF_INET,
                        proto=0,
                        flags=socket.AI_NUMERICHOST,
                    )
                ]

            async def close(self) -> None:
                """Nothing is held."""

        return Routed()

    def session(self) -> aiohttp.ClientSession:
        """A session that reaches these hosts only; to be closed by who asked for it."""
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=self.ssl_context(), resolver=self.resolver())
        return aiohttp.ClientSession(connector=connector)

    def attach(self, client: Any) -> None:
        """Make a ccxt client (async or pro) use this route for REST and WebSocket. Call it within
        the running loop before its first request; closing the client closes the session too."""
        session = self.session()
        client.ssl_context = self.ssl_context()
        client.session = session
        client.tcp_connector = session.connector
