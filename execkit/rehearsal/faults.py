"""Faults on demand: scripted rules with a seed, at three points of the wire.

request   it came in; nothing has happened yet
answer    the exchange did what was asked; the answer is about to go out
stream    a message of a stream is about to go out
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput
from execkit.rehearsal.clock import VenueClock
from execkit.rehearsal.words import REJECTIONS, Event, Rejected

if TYPE_CHECKING:
    from execkit.rehearsal.dialects.base import Request

VERBS: Mapping[str, tuple[str, ...]] = {
    "request": ("drop", "reset", "hang", "delay", "http", "code", "reject", "accept_late"),
    "answer": ("drop", "reset", "hang", "delay", "http", "code", "reject", "truncate", "change"),
    "stream": ("drop", "repeat", "delay", "shuffle", "change", "close", "reset", "half_open"),
}
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "hang": ("seconds",),
    "delay": ("seconds",),
    "http": ("status", "body", "headers"),
    "code": ("code", "message", "status"),
    "reject": ("word", "message", "retry_after_s"),
    "accept_late": ("seconds", "then"),
    "truncate": ("size",),
    "change": ("fields", "function"),
    "repeat": ("copies",),
    "shuffle": ("size",),
    "close": ("code",),
}


@dataclass(kw_only=True)
class Rule:
    """One fault that waits for its moment.

    point, verb : one of `VERBS`. op : what the request is for (`dialects.base.OPS`); topic : of a
    stream message, as the dialect calls it ("order", "fill", "balance", "depth", ...). symbol,
    client_order_id, account, path : must match too, if given (path: a part of it). skip : how many
    matches to let pass first. times : how often it strikes, None for ever. chance : of striking, at
    each match. arguments : of the verb.
    """

    point: str
    verb: str
    op: str = ""
    topic: str = ""
    symbol: str = ""
    client_order_id: str = ""
    account: str = ""
    path: str = ""
    skip: int = 0
    times: int | None = 1
    chance: float = 1.0
    arguments: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    struck: int = 0
    held: list[Any] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.point not in VERBS:
            raise InvalidInput("point", self.point, f"use one of: {', '.join(VERBS)}")
        if self.verb not in VERBS[self.point]:
            fix = f"at {self.point} use one of: {', '.join(VERBS[self.point])}"
            raise InvalidInput("verb", self.verb, fix)
        unknown = set(self.arguments) - set(_ARGUMENTS.get(self.verb, ()))
        if unknown:
            known = ", ".join(_ARGUMENTS.get(self.verb, ())) or "nothing"
            raise InvalidInput("arguments", sorted(unknown), f"{self.verb} takes {known}")
        if self.verb == "reject" and self.arguments.get("word") not in REJECTIONS:
            fix = f"use one of: {', '.join(REJECTIONS)}"
            raise InvalidInput("word", self.arguments.get("word"), fix)

    @property
    def over(self) -> bool:
        return self.times is not None and self.struck >= self.times

    def get(self, name: str, default: Any = None) -> Any:
        return self.arguments.get(name, default)


@dataclass(kw_only=True)
class Limit:
    """At most `count` requests in `per_s` seconds, of some ops if any are named."""

    count: int
    per_s: float
    ops: tuple[str, ...] = ()
    word: str = "rate_limited"
    retry_after_s: float | None = None
    seen: list[int] = field(default_factory=list, repr=False)


class Faults:
    """What goes wrong, and when. Draws come from `seed` alone, in the order of the messages."""

    def __init__(self, clock: VenueClock, seed: int = 0) -> None:
        self.clock, self.random = clock, random.Random(seed)
        self.rules: list[Rule] = []
        self.limits: list[Limit] = []
        self.log: list[tuple[int, int, str, str]] = []  # when, rule, verb, at what
        self._banned_until_ns = 0
        self._closed_until_ns = 0
        self._numbers = 0

    # ------------------------------------------------------------------ scripting

    def add(self, point: str, verb: str, **what: Any) -> Rule:
        """A rule; `what` are fields of `Rule` and arguments of the verb. Returned to be watched
        (`struck`) or taken back (`remove`)."""
        names = set(Rule.__dataclass_fields__) - {"point", "verb", "arguments", "held", "struck"}
        fields = {name: value for name, value in what.items() if name in names}
        arguments = {name: value for name, value in what.items() if name not in names}
        rule = Rule(point=point, verb=verb, arguments=arguments, **fields)
        self._numbers += 1
        rule.number = self._numbers
        self.rules.append(rule)
        return rule

    def before(self, op: str, verb: str, **what: Any) -> Rule:
        """At a request, before the exchange acts."""
        return self.add("request", verb, op=op, **what)

    def after(self, op: str, verb: str, **what: Any) -> Rule:
        """At an answer, after the exchange has acted."""
        return self.add("answer", verb, op=op, **what)

    def stream(self, topic: str, verb: str, **what: Any) -> Rule:
        """At messages of a stream; topic "" is any of them."""
        return self.add("stream", verb, topic=topic, **what)

    def mute(self, topic: str = "", **what: Any) -> Rule:
        """The stream stays open and answers pings, but says nothing, until the rule is removed."""
        return self.stream(topic, "drop", times=None, **what)

    def remove(self, rule: Rule) -> None:
        if rule in self.rules:
            self.rules.remove(rule)

    def clear(self) -> None:
        """No fault any more: rules, limits, bans and maintenance are gone."""
        self.rules.clear()
        self.limits.clear()
        self._banned_until_ns = self._closed_until_ns = 0

    def limit(self, count: int, per_s: float, *ops: str, **what: Any) -> Limit:
        """Refuse what is more than `count` requests in `per_s` seconds of venue time."""
        made = Limit(count=count, per_s=per_s, ops=ops, **what)
        self.limits.append(made)
        return made

    def ban(self, seconds: float) -> None:
        """Refuse everything for so long, in venue time, as a banned address is."""
        self._banned_until_ns = self.clock.now_ns() + round(seconds * NS_PER_S)

    def maintenance(self, seconds: float) -> None:
        """Refuse everything for so long, in venue time: the exchange is closed."""
        self._closed_until_ns = self.clock.now_ns() + round(seconds * NS_PER_S)

    # ------------------------------------------------------------------ striking

    def check_limits(self, request: Request) -> None:
        """Raise `Rejected` for a request beyond a limit, or while all are refused."""
        now_ns = self.clock.now_ns()
        for until_ns, word in (
            (self._banned_until_ns, "banned"),
            (self._closed_until_ns, "maintenance"),
        ):
            if now_ns < until_ns:
                raise Rejected(word, retry_after_s=(until_ns - now_ns) / NS_PER_S)
        for limit in self.limits:
            if limit.ops and request.op not in limit.ops:
                continue
            since = now_ns - round(limit.per_s * NS_PER_S)
            limit.seen = [ts for ts in limit.seen if ts > since]
            if len(limit.seen) >= limit.count:
                wait_s = limit.retry_after_s
                left = limit.per_s if not limit.seen else (limit.seen[0] - since) / NS_PER_S
                raise Rejected(limit.word, retry_after_s=left if wait_s is None else wait_s)
            limit.seen.append(now_ns)

    def strikes(self, point: str, request: Request, client_order_id: str = "") -> Rule | None:
        """The first rule that strikes a request or its answer."""
        account = request.key.account if request.key else ""

        def fits(rule: Rule) -> bool:
            return (
                rule.op in ("", request.op)
                and rule.path in f"{request.method} {request.path}"
                and rule.account in ("", account)
                and rule.client_order_id in ("", client_order_id, *_texts(request))
                and rule.symbol in ("", *_texts(request))
            )

        return self._first(point, fits, f"{request.op} {request.method} {request.path}")

    def strikes_message(self, topic: str, event: Event | None, account: str) -> Rule | None:
        """The first rule that strikes a stream message."""
        order = event.order if event else None

        def fits(rule: Rule) -> bool:
            return (
                rule.topic in ("", topic)
                and rule.symbol in ("", event.symbol if event else "")
                and rule.account in ("", account)
                and rule.client_order_id in ("", order.client_order_id if order else "")
            )

        return self._first("stream", fits, topic)

    def _first(self, point: str, fits: Callable[[Rule], bool], what: str) -> Rule | None:
        for rule in list(self.rules):
            if rule.point != point or rule.over or not fits(rule):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.chance < 1 and self.random.random() >= rule.chance:
                continue
            rule.struck += 1
            self.log.append((self.clock.now_ns(), rule.number, rule.verb, what))
            return rule
        return None


def _texts(request: Request) -> list[str]:
    """What a request says, one level deep: ids and symbols are found there in every dialect."""
    found = [str(value) for value in request.params.values() if not isinstance(value, dict | list)]
    for value in request.params.values():
        rows = value if isinstance(value, list) else [value]
        for row in rows:
            if isinstance(row, dict):
                found += [str(inner) for inner in row.values()]
    return found + list(request.path_args.values())
