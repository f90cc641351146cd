"""The wire: HTTP requests and WebSockets of one server, with what faults do to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from execkit.rehearsal.dialects.base import Dialect, Reply, Request
from execkit.rehearsal.faults import Faults, Rule
from execkit.rehearsal.words import Event, Rejected
from execkit.waiting import came

if TYPE_CHECKING:
    from aiohttp import web

    from execkit.rehearsal.accounts import ApiKey

_LONG_S = 86_400.0


class Cut(Exception):
    """The connection ends here. how : "drop" (closed politely) or "reset" (RST)."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class WebSocket:
    """One open WebSocket; see `dialects.base.Socket`."""

    def __init__(self, wire: Wire, request: web.BaseRequest) -> None:
        from aiohttp import web

        self.wire = wire
        self.host = request.host.partition(":")[0]
        self.path = request.path
        self.query = dict(request.query)
        self.topics: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.key: ApiKey | None = None
        self.half_open = False
        self._out: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._request = request
        self.response = web.WebSocketResponse(autoping=False, autoclose=True)

    def send(self, message: Any, *, topic: str = "", event: Event | None = None) -> None:
        if topic:
            account = self.key.account if self.key else ""
            rule = self.wire.faults.strikes_message(topic, event, account)
            if rule is not None:
                self._struck(rule, message)
                return
        self._put(message)

    def close(self, code: int = 1000) -> None:
        self._out.put_nowait(("close", code))

    def reset(self) -> None:
        """Cut the connection with a RST, at once."""
        _abort(self._request, reset=True)

    def _put(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        self._out.put_nowait(("text", text))

    def _struck(self, rule: Rule, message: Any) -> None:
        verb = rule.verb
        if verb == "repeat":
            for _ in range(1 + int(rule.get("copies", 1))):
                self._put(message)
        elif verb == "delay":
            loop = asyncio.get_running_loop()
            loop.call_later(float(rule.get("seconds", 1)), self._put, message)
        elif verb == "shuffle":
            rule.held.append(message)
            if len(rule.held) >= int(rule.get("size", 4)) or rule.over:
                self.wire.faults.random.shuffle(rule.held)
                for one in rule.held:
                    self._put(one)
                rule.held.clear()
        elif verb == "change":
            self._put(changed(message, rule))
        elif verb == "close":
            self.close(int(rule.get("code", 1006)))
        elif verb == "reset":
            self.reset()
        elif verb == "half_open":
            self.half_open = True
        # and "drop" says nothing

    async def serve(self) -> web.WebSocketResponse:
        """Live until it is closed by either side."""
        from aiohttp import WSMsgType

        await self.response.prepare(self._request)
        self.wire.sockets.add(self)
        writer = asyncio.create_task(self._write())
        try:
            self.wire.dialect.opened(self)
            async for message in self.response:
                if self.half_open:
                    continue
                if message.type is WSMsgType.PING:
                    await self.response.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    self.wire.heard(self, message.data)
        finally:
            self.wire.sockets.discard(self)
            self.wire.dialect.closed(self)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return self.response

    async def _write(self) -> None:
        while True:
            kind, what = await self._out.get()
            if self.half_open:
                continue
            if kind == "close" and what == 1006:  # the code of a connection that just ended
                _abort(self._request, reset=False)
            elif kind == "close":
                await self.response.close(code=what)
            else:
                await self.response.send_str(what)


class Wire:
    """Takes requests in, has the dialect answer them, and lets faults happen on the way."""

    def __init__(self, dialect: Dialect, faults: Faults) -> None:
        self.dialect, self.faults, self.exchange = dialect, faults, dialect.exchange
        self.sockets: set[WebSocket] = set()
        self.requests: list[tuple[int, str, str, str]] = []  # when, op, method, path
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = asyncio.Event()
        self.exchange.listen(self._on_event)

    async def close(self) -> None:
        self._ends.set()
        self.exchange.unlisten(self._on_event)
        for socket in list(self.sockets):
            socket.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------ HTTP

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's handler: every host and path comes here."""
        from aiohttp import web

        if raw.headers.get("Upgrade", "").lower() == "websocket":
            return await WebSocket(self, raw).serve()
        body = (await raw.read()).decode("utf-8", "replace")
        host = raw.host.partition(":")[0]
        path, _, query = raw.raw_path.partition("?")
        try:
            reply = await self.reply(
                lambda: Request.of_http(raw.method, host, path, query, body, raw.headers)
            )
        except Cut as cut:
            _abort(raw, reset=cut.how == "reset")
            return web.Response(status=500)
        content = reply.encoded()
        cut_at = reply.headers.pop("X-Truncate", None)
        headers = {"Content-Type": "application/json"} | reply.headers
        if cut_at is None:
            return web.Response(status=reply.status, body=content, headers=headers)
        return await _truncated(raw, reply.status, content, headers, int(cut_at))

    async def reply(self, make: Callable[[], Request]) -> Reply:
        """The answer to a request. Raises `Cut` where the connection is to end without one."""
        self.exchange.run()
        dialect = self.dialect
        blank = Request(method="", host="", path="")
        try:
            request = make()
        except Rejected as why:
            return dialect.refusal(why, blank)
        try:
            endpoint, request.path_args = dialect.find(request.method, request.path)
            request.op = endpoint.op
            self.requests.append((self.exchange.now_ns(), request.op, request.method, request.path))
            self.faults.check_limits(request)
        except Rejected as why:
            return dialect.refusal(why, request)
        rule = self.faults.strikes("request", request)
        if rule is not None:
            if rule.verb == "accept_late":
                later = float(rule.get("seconds", 1))
                self.exchange.after(later, lambda: _ignored(dialect.answer(request, endpoint)))
                rule = Rule(point="request", verb=rule.get("then", "drop"))
            made = await self._disturbed(rule, request, None)
            if made is not None:
                return made
        self.exchange.run()
        reply = dialect.answer(request, endpoint)
        rule = self.faults.strikes("answer", request)
        if rule is not None:
            reply = await self._disturbed(rule, request, reply) or reply
        return reply

    async def _disturbed(self, rule: Rule, request: Request, reply: Reply | None) -> Reply | None:
        """What a rule makes of a request or its answer; None to go on as if nothing was."""
        verb = rule.verb
        if verb in ("drop", "reset"):
            raise Cut(verb)
        if verb in ("hang", "delay"):
            usual = _LONG_S if verb == "hang" else 1.0
            await came(self._ends, float(rule.get("seconds", usual)))
            if verb == "hang" and reply is None:
                raise Cut("drop")
            return reply
        if verb == "http":
            body, headers = rule.get("body", ""), dict(rule.get("headers", {}))
            headers.setdefault("Content-Type", "text/html")
            return Reply(body=body, status=int(rule.get("status", 502)), headers=headers)
        if verb == "code":
            made = self.dialect.failure(str(rule.get("code")), rule.get("message", ""), request)
            made.status = int(rule.get("status", made.status))
            return made
        if verb == "reject":
            wait_s = rule.get("retry_after_s")
            why = Rejected(rule.get("word"), rule.get("message", ""), retry_after_s=wait_s)
            return self.dialect.refusal(why, request)
        assert reply is not None  # the verbs that are left belong to answers
        if verb == "change":
            return Reply(body=changed(reply.body, rule), status=reply.status)
        size = int(rule.get("size", len(reply.encoded()) // 2))
        return Reply(body=reply.encoded(), status=reply.status, headers={"X-Truncate": str(size)})

    # ------------------------------------------------------------------ sockets

    def heard(self, socket: WebSocket, text: str) -> None:
        """A text frame came in."""
        self.exchange.run()
        request = self.dialect.heard(socket, text)
        if request is not None:
            task = asyncio.create_task(self._answer_on(socket, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_on(self, socket: WebSocket, request: Request) -> None:
        if request.key is None:
            request.key = socket.state.get("signed_in")
        try:
            reply = await self.reply(lambda: request)
        except Cut as cut:
            if cut.how == "reset":
                socket.reset()
            return
        frame = self.dialect.socket_reply(socket, request, reply)
        if frame is not None:
            size = reply.headers.get("X-Truncate")
            socket.send(frame if size is None else json.dumps(frame)[: int(size)])

    def _on_event(self, event: Event) -> None:
        for socket in list(self.sockets):
            self.dialect.told(socket, event)


def changed(message: Any, rule: Rule) -> Any:
    """A message as a rule's `function` or `fields` (dotted path -> value) make it."""
    function = rule.get("function")
    if function is not None:
        return function(message)
    made = json.loads(json.dumps(message))
    for path, value in dict(rule.get("fields", {})).items():
        *way, last = path.split(".")
        at = made
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[int(last) if isinstance(at, list) else last] = value
    return made


def _ignored(reply: Reply) -> None:
    """Nobody waits for the answer any more."""


def _abort(raw: web.BaseRequest, *, reset: bool) -> None:
    transport = raw.transport
    if transport is None:
        return
    if reset:  # no lingering: the peer gets a RST
        under = transport.get_extra_info("socket")
        if under is not None:
            under.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _truncated(
    raw: web.BaseRequest, status: int, content: bytes, headers: dict[str, str], size: int
) -> web.StreamResponse:
    """Promise all of `content`, send `size` bytes of it, and hang up."""
    from aiohttp import web

    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(content)
    await response.prepare(raw)
    await response.write(content[: min(size, len(content) - 1)])
    if raw.transport is not None:
        raw.transport.close()
    return response
