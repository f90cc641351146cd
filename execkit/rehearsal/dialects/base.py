"""What every dialect has: endpoints, keys, sockets, and the exchange's words in its own codes.

A new exchange is one `Dialect`: its hosts, its table of endpoints, how it signs, what it answers
and how it tells its streams. It keeps no state of orders; the `Exchange` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qsl

from execkit.clock import NS_PER_MS
from execkit.rehearsal.accounts import ApiKey
from execkit.rehearsal.exchange import Exchange
from execkit.rehearsal.words import Event, Rejected

OPS = (
    "create", "cancel", "cancel_all", "amend", "replace", "batch", "query", "open_orders",
    "history", "fills", "balance", "positions", "settings", "key", "time", "public", "subscribe",
    "other",
)  # fmt: skip
"""What a request is for, whatever the exchange calls it: faults are aimed by these."""


@dataclass(kw_only=True)
class Request:
    """One request, by HTTP or over a socket (`transport` "http" or "ws").

    params : of the query and of the body together (form or JSON object), in order; what a JSON list
    holds is under "items". path_args : what
    the endpoint's pattern caught. id : of a socket request, as the client gave it.
    """

    method: str
    host: str
    path: str
    raw_query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    path_args: dict[str, str] = field(default_factory=dict)
    op: str = "other"
    transport: str = "http"
    id: Any = None
    key: ApiKey | None = None

    @classmethod
    def of_http(
        cls,
        method: str,
        host: str,
        path: str,
        raw_query: str,
        body: str,
        headers: Mapping[str, str],
    ) -> Request:
        made = cls(
            method=method, host=host, path=path, raw_query=raw_query, body=body, headers=headers
        )
        made.params = dict(parse_qsl(raw_query, keep_blank_values=True))
        text = body.strip()
        if text.startswith(("{", "[")):
            try:
                told = json.loads(text)
            except ValueError:
                raise Rejected("bad_request", "the body is not JSON") from None
            made.params |= {"items": told} if isinstance(told, list) else told
        elif text:
            made.params |= dict(parse_qsl(text, keep_blank_values=True))
        return made

    @property
    def account(self) -> str:
        """Whose request it is. Raises `Rejected` where nobody signed it."""
        if self.key is None:
            raise Rejected("bad_key")
        return self.key.account

    def text(self, *names: str, default: str | None = None) -> str:
        """The first of these parameters that was given. Raises `Rejected` if none was."""
        for name in names:
            value = self.params.get(name)
            if value not in (None, ""):
                return str(value)
        if default is None:
            raise Rejected("bad_request", f"mandatory parameter '{names[0]}' was not sent")
        return default

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.text(name, default=None if default is None else str(default))
        try:
            return int(value)
        except ValueError:
            raise Rejected("bad_request", f"illegal characters in parameter '{name}'") from None


@dataclass(kw_only=True)
class Reply:
    """body : what goes out as JSON; text or bytes go out as they are."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, separators=(",", ":")).encode()


Handler = Callable[[Request], Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """handler : returns a `Reply`, or the body of one. signed : needs a key that may do it.
    weight : what it costs of the request limit."""

    op: str
    handler: Handler
    signed: bool = False
    weight: int = 1

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise ValueError(f"{self.op!r} is not one of {', '.join(OPS)}")


class Socket(Protocol):
    """One open WebSocket as a dialect sees it. topics : what it is subscribed to. state : whatever
    the dialect keeps for it. key : once it has proved who it is."""

    host: str
    path: str
    query: dict[str, str]
    topics: dict[str, Any]
    state: dict[str, Any]
    key: ApiKey | None

    def send(self, message: Any, *, topic: str = "", event: Event | None = None) -> None:
        """Put a message (JSON, or text as it is) in the queue. Those with a topic can be dropped,
        repeated, shuffled or muted by faults; answers to requests have none."""
        ...

    def close(self, code: int = 1000) -> None: ...


class Dialect:
    """hosts : every host name that ccxt may ask of this exchange, sandboxes left out."""

    name: ClassVar[str] = ""
    hosts: ClassVar[Sequence[str]] = ()
    id_rule: ClassVar[str] = "open"

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        exchange.id_rule = self.id_rule
        self.skew_ms = 0  # how far the venue's clock is ahead of true time
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []
        for (method, path), endpoint in self.endpoints().items():
            if "{" in path:
                pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
                self._patterns.append((method, re.compile(pattern), endpoint))
            else:
                self._exact[method, path] = endpoint

    # ------------------------------------------------------------------ to be written

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """(method, path) -> endpoint; a path may hold {names}, which become `path_args`."""
        raise Rejected("unavailable")

    def sign_in(self, request: Request) -> ApiKey:
        """Whose key signed this. Raises `Rejected`: bad_key, bad_signature, bad_timestamp."""
        raise Rejected("bad_key")

    def refusal(self, why: Rejected, request: Request) -> Reply:
        """A rejection as this exchange words it, for a request by HTTP or over a socket."""
        return Reply(body={"word": why.word, "message": why.message}, status=400)

    def failure(self, code: str, message: str, request: Request) -> Reply:
        """Any code of this exchange, as it sends it: for faults."""
        return Reply(body={"code": code, "message": message}, status=400)

    def opened(self, socket: Socket) -> None:
        """A socket was opened (its path is known): greet it, or refuse it with `close`."""

    def closed(self, socket: Socket) -> None:
        """A socket was closed, by whomever."""

    def heard(self, socket: Socket, text: str) -> Request | None:
        """A text frame came. Subscriptions are dealt with here; a request for the exchange is
        returned, and its reply will come through `socket_reply`."""
        return None

    def socket_reply(self, socket: Socket, request: Request, reply: Reply) -> Any:
        """The frame that answers `request`."""
        return reply.body

    def told(self, socket: Socket, event: Event) -> None:
        """Something happened at the exchange: send what this socket is subscribed to."""

    # ------------------------------------------------------------------ shared

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint of a path. Raises `Rejected` (unavailable) where there is none."""
        found = self._exact.get((method, path))
        if found is not None:
            return found, {}
        for wanted, pattern, endpoint in self._patterns:
            caught = pattern.fullmatch(path)
            if caught and wanted == method:
                return endpoint, caught.groupdict()
        raise Rejected("unavailable", f"{method} {path} is not part of this rehearsal")

    def answer(self, request: Request, endpoint: Endpoint) -> Reply:
        """Sign in if need be, and do what is asked."""
        try:
            if endpoint.signed and request.key is None:
                request.key = self.sign_in(request)
            if endpoint.signed and endpoint.op in ("create", "amend", "replace", "batch"):
                self.permit(request)
            found = endpoint.handler(request)
        except Rejected as why:
            return self.refusal(why, request)
        return found if isinstance(found, Reply) else Reply(body=found)

    def permit(self, request: Request) -> None:
        if request.key is None or not request.key.may_order:
            raise Rejected("no_permission")

    def known_key(self, key: str) -> ApiKey:
        """A key that is not revoked. Raises `Rejected` (bad_key)."""
        found = self.exchange.keys.get(key)
        if found is None or found.revoked:
            raise Rejected("bad_key")
        return found

    def auth_ms(self) -> int:
        """What the venue's clock says to who signs a request: true time plus the skew."""
        import time

        return time.time_ns() // NS_PER_MS + self.skew_ms

    def check_time(self, sent_ms: int, window_ms: int) -> None:
        """Raise `Rejected` (bad_timestamp) for a request from outside the window."""
        now = self.auth_ms()
        if sent_ms >= now + 1000:
            raise Rejected("bad_timestamp", "the timestamp is ahead of the server's time")
        if now - sent_ms > window_ms:
            raise Rejected("bad_timestamp", "the timestamp is outside of the receive window")
