"""What every exchange must pass: the real ccxt.pro client with only its `fetch` replaced.

An exchange's test module derives from `Conformance` and states, from the exchange's own API rules,
what must go over the wire and how replies are to be read. Nothing here is taken from what ccxt
happens to send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execkit.domain import ExecutionOrder
from execkit.errors import InvalidInput
from execkit.venues.quirks import FEATURES, Call, Quirks, Support, quirks_for
from execkit.words import ExecutionMode, Side

OUR_ID = "xabcdefghijklmnopqrstuvwxy"  # the form of ids that the engine makes
SPOT, LINEAR = "BTCUSDT", "BTCUSDT:USDT"
BUY, SELL = "buy", "sell"
KEYS = {"apiKey": "key", "secret": "c2VjcmV0c2VjcmV0", "password": "word", "uid": "1"}


class Sent(Exception):
    """Stops ccxt once the request is complete: there is nobody to answer."""


@dataclass
class Wire:
    """Stands for the network: answers what it was given, records everything else."""

    answers: dict[str, Any]
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    async def fetch(
        self, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        parts = urlsplit(url)
        place = f"{parts.hostname}{parts.path}"
        fields: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
        fields |= decoded(body)
        self.requests.append((method, place, fields))
        for key, answer in self.answers.items():
            want, _, query = key.partition("?")
            if want in place and all(fields.get(k) == v for k, v in parse_qsl(query)):
                if isinstance(answer, Exception):
                    raise answer
                return json.loads(json.dumps(answer))
        raise Sent(place)


def decoded(body: Any) -> dict[str, Any]:
    """A request body as fields; a JSON array as the field "[]"."""
    if not body:
        return {}
    try:
        told = json.loads(body)
    except ValueError:
        return dict(parse_qsl(body, keep_blank_values=True))
    return told if isinstance(told, dict) else {"[]": told}


@dataclass(frozen=True)
class Request:
    """An order or another call, and the one request that it must become.

    fields : all that go over the wire, signature and clock left out (`Conformance.volatile`).
    """

    name: str
    made: Mapping[str, Any] | Callable[[Quirks], Call | Sequence[Call] | None]
    method: str
    place: str
    fields: Mapping[str, Any]
    nth: int = 0  # which of the calls, where there are several


def order_of(**changes: Any) -> ExecutionOrder:
    made: dict[str, Any] = {"symbol": SPOT, "side": "buy", "client_order_id": OUR_ID}
    return ExecutionOrder(**(made | changes))


def limit(**changes: Any) -> dict[str, Any]:
    return {"order_type": "limit", "quantity": "0.02", "price": "50000.1"} | changes


def market(**changes: Any) -> dict[str, Any]:
    return {"order_type": "market", "quantity": "0.02"} | changes


def stop(**changes: Any) -> dict[str, Any]:
    made = {"order_type": "stop_market", "quantity": "0.02", "stop_price": "45000.5"}
    return made | {"side": "sell"} | changes


def stop_limit(**changes: Any) -> dict[str, Any]:
    return stop(order_type="stop_limit", price="44990.2") | changes


def trailing(**changes: Any) -> dict[str, Any]:
    made = {"order_type": "trailing_stop", "quantity": "0.02", "trail_bps": "100"}
    return made | {"side": "sell"} | changes


class Desk:
    """A real client of one exchange with its markets loaded, and the quirks that learned them."""

    def __init__(self, exchange: str, payloads: Mapping[str, Any]) -> None:
        import ccxt.pro

        self.quirks = quirks_for(exchange)
        self.client = getattr(ccxt.pro, exchange)({**self.quirks.options(), **KEYS})
        self.quirks.prepare(self.client)
        self.wire = Wire(dict(payloads))
        self.client.fetch = self.wire.fetch

    async def open(self) -> None:
        await self.client.load_markets()
        self.quirks.learn(self.client)
        self.wire.requests.clear()

    async def send(self, call: Call) -> Any:
        params = dict(call.params)
        return await getattr(self.client, call.method)(*call.args, params=params)

    async def sent(self, call: Call) -> tuple[str, str, dict[str, Any]]:
        with pytest.raises(Sent):
            await self.send(call)
        assert len(self.wire.requests) == 1
        return self.wire.requests.pop()


_DESKS: dict[str, Desk] = {}


class Conformance:
    exchange: ClassVar[str]
    payloads: ClassVar[Mapping[str, Any]]  # part of a URL -> the answer, for loading markets
    instruments: ClassVar[Mapping[str, tuple[str, str]]]  # symbol -> tick, lot
    requests: ClassVar[Sequence[Request]]
    refusals: ClassVar[Sequence[tuple[str, Mapping[str, Any]]]] = ()  # field, order
    volatile: ClassVar[frozenset[str]] = frozenset({"timestamp", "signature", "recvWindow"})

    def run(self, work: Callable[[Desk], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            desk = _DESKS.get(self.exchange)
            if desk is None:
                desk = Desk(self.exchange, self.payloads)
                await desk.open()
                await desk.client.close()
                _DESKS[self.exchange] = desk  # no connection was made: it serves any loop
            desk.wire.requests.clear()
            desk.wire.answers = dict(self.payloads)
            return await work(desk)

        return asyncio.run(whole())

    # --------------------------------------------------------------------------------- markets

    def test_markets_become_instruments_with_exact_steps(self) -> None:
        async def work(desk: Desk) -> None:
            found = {
                s: (str(i.tick_size), str(i.lot_size)) for s, i in desk.quirks.instruments.items()
            }
            assert found == self.instruments

        self.run(work)

    # -------------------------------------------------------------------------------- requests

    def test_each_request_is_exactly_what_the_exchange_asks_for(
        self, request_case: Request
    ) -> None:
        async def work(desk: Desk) -> None:
            made = request_case.made
            if callable(made):
                found = made(desk.quirks)
                calls = [found] if isinstance(found, Call) else list(found or ())
            else:
                calls = [desk.quirks.order_call(order_of(**made))]
            method, place, fields = await desk.sent(calls[request_case.nth])
            fields = {k: v for k, v in fields.items() if k not in self.volatile}
            assert (method, place) == (request_case.method, request_case.place)
            assert fields == dict(request_case.fields)

        self.run(work)

    def test_what_is_not_supported_is_refused_before_anything_is_sent(self) -> None:
        async def work(desk: Desk) -> None:
            for field_name, made in self.refusals:
                order = order_of(**made)
                with pytest.raises(InvalidInput) as caught:
                    desk.quirks.order_call(order)
                assert caught.value.field == field_name, made
            assert not desk.wire.requests

        self.run(work)

    def test_no_feature_is_silently_dropped(self) -> None:
        """Each feature is native, so that its request differs from the plain one; or emulated, so
        that it is named as such; or refused."""
        wanted: Mapping[str, Mapping[str, Any]] = {
            "stop_market": stop(),
            "stop_limit": stop_limit(),
            "trailing_stop": trailing(),
            "IOC": limit(time_in_force="IOC"),
            "FOK": limit(time_in_force="FOK"),
            "GTD": limit(time_in_force="GTD", expire_ts_ns=2**60),
            "post_only": limit(post_only=True),
            "reduce_only": limit(reduce_only=True, side="sell"),
            "oco": limit(reduce_only=True, side="sell", oco_group="g"),
        }

        async def work(desk: Desk) -> None:
            quirks = desk.quirks
            for symbol, instrument in quirks.instruments.items():
                for feature, made in wanted.items():
                    order = order_of(**made, symbol=symbol)
                    base = order_of(**limit(symbol=symbol, side=order.side))
                    support = quirks.support(feature, instrument.kind)
                    if support is Support.REFUSED:
                        with pytest.raises(InvalidInput):
                            quirks.order_call(order)
                    elif support is Support.EMULATED:
                        assert feature in quirks.require(order)
                        if feature != "reduce_only":  # that one needs nobody around the venue
                            with pytest.raises(InvalidInput):
                                quirks.order_call(order)
                    else:
                        told, usual = quirks.order_call(order), quirks.order_call(base)
                        assert (told.args, told.params) != (usual.args, usual.params), feature

        self.run(work)

    def test_every_feature_has_an_answer_for_every_kind(self) -> None:
        async def work(desk: Desk) -> None:
            for kind in desk.quirks.kinds:
                for feature in FEATURES:
                    assert desk.quirks.support(feature, kind) in Support

        self.run(work)

    # ------------------------------------------------------------------------------------- ids

    @settings(max_examples=200, suppress_health_check=[HealthCheck.differing_executors])
    @given(tail=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=25, max_size=25))
    def test_our_ids_survive_the_round_trip(self, tail: str) -> None:
        quirks, again = quirks_for(self.exchange), quirks_for(self.exchange)
        wire = quirks.encode_id("x" + tail)
        assert wire == again.encode_id("x" + tail)
        assert again.decode_id(wire) == "x" + tail

    # ------------------------------------------------------------------------------- precision

    def test_numbers_reach_the_wire_exactly_as_rounded_here(self) -> None:
        """ccxt's own rounding, half up whatever the side, must find nothing to do."""
        prices = ("50000.123456789", "49999.99999", "0.123456789", "1234567.891")
        sizes = ("0.123456789", "1.99999999", "12345.678912345")

        async def work(desk: Desk) -> None:
            for symbol, instrument in desk.quirks.instruments.items():
                for price, size in zip(prices, (*sizes, sizes[0]), strict=True):
                    for side in (Side.BUY, Side.SELL):
                        exact = instrument.quantize_quantity(size)
                        at = instrument.quantize_price(price, side)
                        if instrument.min_notional and exact * at < instrument.min_notional:
                            continue
                        order = order_of(
                            **limit(symbol=symbol, side=side, quantity=exact, price=at)
                        )
                        call = desk.quirks.order_call(order)
                        name, _, _, sent, limit_price = call.args
                        assert isinstance(sent, str)
                        unit = desk.quirks._sizes[symbol]
                        assert Decimal(sent) * unit == exact
                        assert desk.client.amount_to_precision(name, sent) == sent
                        shown = desk.client.price_to_precision(name, limit_price)
                        assert Decimal(shown) == at

        self.run(work)


MODE = ExecutionMode.DEMO
