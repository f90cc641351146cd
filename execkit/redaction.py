"""What must not be shown, found by value in every text that leaves: logs, errors, journal rows.

A secret is known by its value, so it is found whatever wrote it: plain, percent-encoded, in base64
(at any offset, as in a Basic header), in hex, as JSON or `repr` escape it, and cut off at the end
as a shortened message has it. Signatures and listen keys are made while running; they are found by
the names in front of them. Values that could be an ordinary word (short, or letters only) are not
looked for: a ledger in which a word is replaced is worse than a weak password in a log.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

MARK = "***"

E = TypeVar("E", bound=BaseException)

_HEAD = 14  # so much of a secret is enough to know it, and nothing else begins like it
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_NAMES = (
    r"signature|listen_?key|(?:x-)?[a-z]+(?:-access)?-(?:sign|apikey|api-key|key|passphrase)"
    r"|api[-_]?(?:key|sign|secret)|authorization|passphrase|password|secret|token|private_?key"
)
_NAMED = re.compile(
    rf"(?i)(\b(?:{_NAMES})\\?[\"']?\s*[:=]\s*\\?[\"']?(?:bearer |basic )?)([\w+/%=.~-]{{12,}})"
)
_MADE = ("ignature", "istenKey")  # names of what is made while running

_heads: tuple[tuple[str, str], ...] = ()
_guard = threading.Lock()


def hide(value: str) -> None:
    """From now on `value` is left out of everything that `redacted` goes over.

    Values under 8 characters, and those under 16 of letters only or digits only, are not taken.
    """
    global _heads
    plain = re.fullmatch(r"[A-Za-z_]+|[0-9.]+", value)
    if len(value) < 8 or (len(value) < 16 and plain):
        return
    parts = [value, *(line for line in value.split("\n") if len(line) >= 32)]  # lines of a PEM file
    found = {(form[:_HEAD], form) for part in parts for form in _forms(part)}
    with _guard:
        _heads = tuple(sorted({*_heads, *found}, key=lambda pair: (-len(pair[1]), pair[1])))


def _forms(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogatepass")
    once = {quote(value, safe=""), quote_plus(value), quote(value)}
    twice = {quote(form, safe="") for form in once}
    out = {value, repr(value)[1:-1], *once, *twice}
    out |= {json.dumps(value, ensure_ascii=pure)[1:-1] for pure in (True, False)}
    out |= {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), form) for form in once | twice}
    out |= {raw.hex(), raw.hex().upper()}
    for skip, lost in ((0, 0), (1, 2), (2, 3)):  # bytes in front, characters that hang on them
        padded = bytes(skip) + raw
        whole = len(padded) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(padded)[lost:whole].decode()
            out |= {form, quote(form, safe="")}
    return out


def by_value(text: str) -> str:
    """`text` without the known secrets, and without signatures and listen keys.

    A microsecond or two where there is nothing to hide, so it may stand on the way of an order.
    """
    for head, form in _heads:
        if head in text:
            text = _without(text, head, form)
    for name in _MADE:
        if name in text:
            return _NAMED.sub(_masked, text)
    return text


def redacted(text: str) -> str:
    """`by_value`, and without whatever stands behind a name that only secrets have."""
    return _NAMED.sub(_masked, by_value(text))


def _masked(found: re.Match[str]) -> str:  # a template would import, which a dying process cannot
    return found[1] + MARK


def _without(text: str, head: str, form: str) -> str:
    """Each stretch of `text` that begins like `form` is replaced as far as it goes on like it."""
    out, start = [], 0
    while (found := text.find(head, start)) >= 0:
        end = found + len(head)
        while end - found < len(form) and text[end : end + 1] == form[end - found]:
            end += 1
        if end - found < len(form):  # cut off: an escape that begins here belongs to what follows
            end -= (end - len(text[found:end].rstrip("\\")) - found) % 2
        out += [text[start:found], MARK]
        start = end
    return "".join([*out, text[start:]])


def cleaned(error: E) -> E:
    """`error` itself, with the texts in it and in what led to it redacted, so that no traceback
    that is printed of it anywhere shows a secret."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.args = tuple(redacted(x) if isinstance(x, str) else _known(x) for x in one.args)
        own = vars(one)
        own.update({k: redacted(v) for k, v in own.items() if isinstance(v, str)})
        waiting += [one.__cause__, one.__context__]
        waiting += list(getattr(one, "exceptions", ()))
    return error


def _known(value: object) -> object:
    """An argument that is no text stays, unless its `repr`, which a message shows, gives away."""
    shown = repr(value)
    safe = redacted(shown)
    return value if safe == shown else safe


# --------------------------------------------------------------------------- where texts leave


def install() -> None:
    """Redact what Python itself lets out: log records of every logger, uncaught exceptions of
    every thread, tracebacks in IPython. Done once a process, when the first secret is loaded."""
    with _guard:
        if isinstance(logging.getLogRecordFactory(), _Records):
            _install_ipython()
            return
        logging.setLogRecordFactory(_Records(logging.getLogRecordFactory()))
        sys.excepthook = _uncaught(sys.excepthook)
        threading.excepthook = _uncaught_in_thread(threading.excepthook)
        _install_ipython()


class _Records:
    """A factory of log records that is asked before any handler: handlers of other libraries and
    those made later are served too. Only records that are really made cost anything."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **named: Any) -> logging.LogRecord:
        record = self._make(*args, **named)
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  a bad format is for logging itself to report, without the arguments
            record.args = ()
            text = str(record.msg)
        safe = redacted(text)
        if safe != text:
            record.msg, record.args = safe, ()
        found = record.exc_info
        if found and found[1] is not None:
            told = "".join(traceback.format_exception(found[1])).rstrip()
            if redacted(told) != told:  # the text alone: a handler that shows locals shows none
                record.exc_text, record.exc_info = redacted(told), None
        if record.stack_info:
            record.stack_info = redacted(record.stack_info)
        return record


Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def _uncaught(before: Hook) -> Hook:
    def tell(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> object:
        told = "".join(traceback.format_exception(cleaned(error)))
        if redacted(told) != told:  # source lines, or an error that makes its text when asked
            return sys.stderr.write(redacted(told))
        return before(kind, error, trace)

    return tell


def _uncaught_in_thread(
    before: Callable[[threading.ExceptHookArgs], object],
) -> Callable[[threading.ExceptHookArgs], object]:
    def tell(args: threading.ExceptHookArgs, /) -> object:
        if args.exc_value is not None:
            cleaned(args.exc_value)
        return before(args)

    return tell


def _install_ipython() -> None:
    """The one place through which IPython shows tracebacks, whatever their mode; `%xmode Verbose`
    prints the values of variables."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if shell is None or getattr(shell._showtraceback, "hides_secrets", False):
        return
    before = shell._showtraceback

    def show(kind: type[BaseException], error: BaseException, lines: Sequence[str]) -> object:
        return before(kind, cleaned(error), [_uncoloured(line) for line in lines])

    show.hides_secrets = True  # type: ignore[attr-defined]
    shell._showtraceback = show


def _uncoloured(line: str) -> str:
    """Redacted; colours may stand in the middle of a secret, and go where one is found."""
    plain = _ANSI.sub("", line)
    safe = redacted(plain)
    return line if safe == plain else safe
