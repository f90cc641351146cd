"""Tap: everything that a ccxt.pro client parses, as it parses it.

A loop of `await client.watch_...()` sees only what is in ccxt's caches when it comes back to them:
what arrived in between is lost, or seen twice. Here the caches themselves tell, one message of the
socket at a time: what one call of ccxt's message handler stored is one message, received when the
call began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from execkit.tables import ASK, BID
from execkit.venues.feed_events import Level


class Told(Protocol):
    """Who is told. `name` is ccxt's symbol; `socket` the ccxt client of the socket that the message
    came through, None for what was fetched."""

    def stamp(self) -> int:
        """Local time of a message that begins to be read now."""
        ...

    def accepts(self, message: object, socket: Any) -> bool:
        """Whether a message follows those before it, and may be read."""
        ...

    def on_book(
        self, name: str, book: Any, levels: list[Level], whole: bool, local_ns: int, socket: Any
    ) -> None: ...

    def on_no_book(self, name: str) -> None:
        """ccxt has dropped a book whose numbers do not follow one another."""
        ...

    def on_print(self, name: str, row: Mapping[str, Any], local_ns: int, socket: Any) -> None: ...

    def on_quote(self, name: str, row: Mapping[str, Any], local_ns: int, socket: Any) -> None: ...

    def on_connected(self, socket: Any) -> None: ...

    def on_lost(self, error: object, socket: Any) -> None:
        """The connection has ended, from whichever side."""
        ...

    def on_broken(self, error: Exception, socket: Any) -> None:
        """A message could not be read: what it said is not known."""
        ...


class Tap:
    """Sits on one client, made for market data only, before it has watched anything."""

    def __init__(self, client: Any, told: Told) -> None:
        self.client, self.told = client, told
        self._dirty: dict[int, _Book] = {}
        self._socket: Any = None
        self._local_ns = 0  # of the message being read, 0 outside of one
        self._late: asyncio.Handle | None = None
        self._handle = client.handle_message
        client.handle_message = self._message
        client.on_connected = _then(client.on_connected, self._connected)
        client.on_error = _then(client.on_error, lambda s, why: told.on_lost(why, s))
        client.on_close = _then(client.on_close, lambda s, why: told.on_lost(why, s))
        for name in ("order_book", "counted_order_book"):
            setattr(client, name, self._made(getattr(client, name)))
        client.orderbooks = _Watched(self._stored, told.on_no_book)
        client.trades = _Watched(self._stored_prints)
        client.bidsasks = _Watched(self._stored_quote)

    def _connected(self, socket: Any, *rest: Any) -> None:
        plain = socket.handle_message

        def guarded(frame: Any) -> None:
            try:
                plain(frame)
            except Exception as error:  # noqa: BLE001 - ccxt would stop reading, and not say so
                self.told.on_broken(error, socket)

        socket.handle_message = guarded
        self.told.on_connected(socket)

    def _message(self, socket: Any, message: Any) -> None:
        self._flush()
        self._socket, self._local_ns = socket, self.told.stamp()
        try:
            if self.told.accepts(message, socket):
                self._handle(socket, message)
        except Exception as error:  # noqa: BLE001 - raised further up it would end the reading
            self.told.on_broken(error, socket)
        finally:
            self._flush()
            self._socket, self._local_ns = None, 0

    # ------------------------------------------------------------------ books

    def _made(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            book = make(*args, **kwargs)
            book.tap = _Book(book, self._changed)
            return book

        return made

    def _stored(self, name: str, book: Any) -> None:
        tap: _Book | None = getattr(book, "tap", None)
        if tap is None:  # of a sort that is kept by orders, not by levels
            self.told.on_broken(TypeError(f"{name} has a book of {type(book).__name__}"), None)
            return
        tap.name = name

    def _changed(self, tap: _Book) -> None:
        self._dirty[id(tap)] = tap
        if not self._local_ns and self._late is None:  # fetched, not received: tell it when whole
            self._late = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        local = self._local_ns or self.told.stamp()
        for tap in dirty.values():
            if not tap.name or self.client.orderbooks.get(tap.name) is not tap.book:
                continue  # dropped, or not in use yet
            levels, whole = tap.take()
            if levels:
                self.told.on_book(tap.name, tap.book, levels, whole, local, self._socket)

    # ------------------------------------------------------------------ prints and quotes

    def _stored_prints(self, name: str, cache: Any) -> None:
        if getattr(cache, "tapped", False):
            return
        cache.tapped = True
        plain = cache.append

        def append(row: Mapping[str, Any]) -> None:
            plain(row)
            self._print(name, row)

        already = list(cache)
        cache.append = append
        for row in already:
            self._print(name, row)

    def _print(self, name: str, row: Mapping[str, Any]) -> None:
        self.told.on_print(name, row, self._local_ns or self.told.stamp(), self._socket)

    def _stored_quote(self, name: str, row: Any) -> None:
        self.told.on_quote(name, row, self._local_ns or self.told.stamp(), self._socket)


def _then(first: Callable[..., Any], then: Callable[..., None]) -> Callable[..., None]:
    def both(*args: Any) -> None:
        first(*args)
        then(*args)

    return both


class _Book:
    """What changed in one of ccxt's books since it was last taken."""

    def __init__(self, book: Any, changed: Callable[[_Book], None]) -> None:
        self.book, self.name = book, ""
        self._changed = changed
        self._levels: list[Level] = []
        self._whole = True
        self._sides = (book["bids"], book["asks"])
        for code, side in zip((BID, ASK), self._sides, strict=True):
            counted = type(side).__name__.startswith("Counted")
            side.storeArray = self._noting(code, side.storeArray, counted)
        self._reset = book.reset
        book.reset = self.reset
        if any(self._sides):
            changed(self)

    def _noting(
        self, code: int, store: Callable[[Any], None], counted: bool
    ) -> Callable[[Any], None]:
        def noting(delta: Any) -> None:
            store(delta)
            size = float(delta[1] or 0) if not counted or delta[2] else 0.0
            self._levels.append((code, float(delta[0]), size))
            self._changed(self)

        return noting

    def reset(self, *args: Any, **kwargs: Any) -> None:
        self._whole = True
        self._reset(*args, **kwargs)
        self._changed(self)

    def take(self) -> tuple[list[Level], bool]:
        """The levels that changed, or all of them after a reset."""
        sides = (self.book["bids"], self.book["asks"])
        whole = self._whole or sides[0] is not self._sides[0] or sides[1] is not self._sides[1]
        levels, self._levels = self._levels, []
        if whole:
            levels = [
                (code, float(row[0]), float(row[1]))
                for code, side in zip((BID, ASK), sides, strict=True)
                for row in side
            ]
            self._whole = not levels  # an empty one is still to be filled
        return levels, whole


class _Watched(dict[str, Any]):
    """One of ccxt's caches by symbol, which tells what is put into it and taken out."""

    def __init__(
        self,
        stored: Callable[[str, Any], None],
        dropped: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._stored, self._dropped = stored, dropped

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._stored(name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        if self._dropped is not None:
            self._dropped(name)
