"""A TLS server below HTTP: it hears requests, and answers with whatever bytes it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from execkit.venues.route import Route


@dataclass
class Heard:
    method: str
    path: str
    body: str
    connection: int


Answer = Callable[[Heard, asyncio.StreamWriter], Any]


def http(body: str, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """A whole answer; `length` lies about its size."""
    raw = body.encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(raw) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + raw


class RawServer:
    """`answer(heard, writer)` is called for each request and returns bytes to send, or does as it
    likes with the connection and returns None."""

    def __init__(self, certificates: tuple[str, ssl.SSLContext], answer: Answer) -> None:
        self.pem, self.context = certificates
        self.answer = answer
        self.heard: list[Heard] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self.context, limit=2**20
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def route(self, *hosts: str) -> Route:
        return Route(hosts=dict.fromkeys(hosts, ("127.0.0.1", self.port)), ca_pem=self.pem)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                lines = (line.lower() for line in head.split("\r\n"))
                size = next((int(x[15:]) for x in lines if x.startswith("content-length:")), 0)
                body = (await reader.readexactly(size)).decode() if size else ""
                heard = Heard(method, path, body, number)
                self.heard.append(heard)
                said = self.answer(heard, writer)
                if asyncio.iscoroutine(said):
                    said = await said
                if said is None:
                    return
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            if not writer.is_closing():
                writer.transport.abort()
