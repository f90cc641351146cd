"""Every dialect of the rehearsal exchange, traded on by the real ccxt.pro client over TLS sockets.

One suite for all: what ccxt reads from a dialect must be what the exchange's own ledger holds.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ccxt.pro as ccxt_pro
import pandas as pd
import pytest

from execkit.clock import NS_PER_S
from execkit.market import MarketData
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import START_NS, USUAL
from execkit.words import ExecutionStatus

PATIENCE_S = 20.0
LOW, HIGH = "49000", "51000"  # the market stands at 50000
_NAMES = itertools.count(1)
Do = Callable[["World"], Awaitable[None]]


@dataclass(frozen=True)
class Speech:
    """How one market of one exchange is asked through ccxt, where that differs.

    size : of one order, in the exchange's own units; unit : base units in one of those.
    """

    exchange: str
    symbol: str
    size: str = "0.01"
    unit: str = "1"
    options: Mapping[str, Any] = field(default_factory=dict)
    client_id: str = "clientOrderId"
    by_lists: bool = False  # look-ups go to the lists of open and ended orders
    stop: Mapping[str, Any] = field(default_factory=dict)
    stop_id: str = "clientOrderId"
    triggers: Mapping[str, Any] = field(default_factory=dict)  # how waiting stops are asked for
    by_id: Mapping[str, Any] = field(default_factory=dict)  # what a look-up by venue id needs
    refuses_late: bool = False  # post-only orders that would take are accepted and then canceled
    once_only: bool = False  # a client id is never taken twice
    cancels_all: bool = True
    by_socket: bool = False  # orders can be sent over a socket
    amends: bool = False  # in place, under the same ids
    batches: bool = False
    fill_fee: bool = True  # own fills of the stream carry their fee
    balances: Mapping[str, Any] = field(default_factory=dict)
    one_coin: bool = False  # balances are asked for coin by coin

    @property
    def own(self) -> str:
        """The symbol on our side."""
        base, _, rest = self.symbol.partition("/")
        quote, _, settle = rest.partition(":")
        return f"{base}{quote}" + (f":{settle}" if settle else "")

    @property
    def linear(self) -> bool:
        return ":" in self.symbol

    def __str__(self) -> str:
        return f"{self.exchange}-{self.own}"


_BINANCE = {"fetchCurrencies": False, "fetchMargins": False}
_BYBIT: dict[str, Any] = {
    "options": {
        "fetchMarkets": {"types": ["spot", "linear"]},
        "enableUnifiedAccount": True,
        "enableUnifiedMargin": False,
    },
    "client_id": "orderLinkId",
    "by_lists": True,
    "by_id": {"acknowledged": True},
    "refuses_late": True,
    "once_only": True,
    "by_socket": True,
    "amends": True,
    "batches": True,
}
_OKX: dict[str, Any] = {
    "options": {"fetchMarkets": {"types": ["spot", "swap"]}},
    "triggers": {"trigger": True},
    "stop_id": "algoClOrdId",
    "refuses_late": True,
    "cancels_all": False,
    "by_socket": True,
    "amends": True,
    "batches": True,
}
_KUCOIN: dict[str, Any] = {
    "options": {
        "fetchMarkets": {"types": ["spot", "swap"], "fetchTickersFees": False},
        "watchOrderBook": {"snapshotDelay": 0},
    },
    "triggers": {"trigger": True},
    "refuses_late": True,
    "once_only": True,
    "fill_fee": False,
}
SPEECHES = [
    Speech(
        "binance",
        "BTC/USDT",
        options=_BINANCE | {"fetchMarkets": {"types": ["spot"]}},
        by_socket=True,
    ),
    Speech(
        "binanceusdm",
        "BTC/USDT:USDT",
        options=_BINANCE,
        triggers={"trigger": True},
        by_socket=True,
        amends=True,
        batches=True,
    ),
    Speech("bybit", "BTC/USDT", triggers={"trigger": True}, **_BYBIT),
    Speech("bybit", "BTC/USDT:USDT", stop={"triggerDirection": "descending"}, **_BYBIT),
    Speech("kucoin", "BTC/USDT", **_KUCOIN),
    Speech(
        "kucoin",
        "BTC/USDT:USDT",
        size="10",
        unit="0.001",
        balances={"type": "swap"},
        one_coin=True,
        **_KUCOIN,
    ),
    Speech("okx", "BTC/USDT", **_OKX),
    Speech("okx", "BTC/USDT:USDT", size="10", unit="0.001", **_OKX),
]


class Heard:
    """Everything that a ccxt watch method says, from now on."""

    def __init__(self, watch: Callable[[], Awaitable[Any]]) -> None:
        self._watch, self._changed = watch, asyncio.Event()
        self.rows: list[Any] = []
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:  # nothing else is awaited here: ccxt forgets what comes in between
            found = await self._watch()
            self.rows += [dict(one) for one in found] if isinstance(found, list) else [dict(found)]
            self._changed.set()

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first row that is wanted; raises what the watch method raised."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for row in self.rows:
                    if wanted(row):
                        return row
                self._changed.clear()
                news = asyncio.create_task(self._changed.wait())
                await asyncio.wait([news, self.task], return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self.task.done():
                    self.task.result()


class World:
    """A rehearsal whose clock is moved by hand, and a client of it, in a loop of their own."""

    def __init__(self, speech: Speech, market: MarketData | None = None) -> None:
        self.speech, self.symbol = speech, speech.symbol
        self._market = market or moving()
        self._listeners: list[Heard] = []
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    async def _open(self) -> None:
        self.r = Rehearsal(self.speech.exchange, market=self._market, speed=0)
        await self.r.start()
        self.client = self.new_client()
        await self.client.load_markets()

    def new_client(self) -> Any:
        made = getattr(ccxt_pro, self.speech.exchange)(
            {
                "apiKey": self.r.credentials["key"],
                "secret": self.r.credentials["secret"],
                "password": self.r.credentials["password"],
                "enableRateLimit": False,
                "options": dict(self.speech.options),
            }
        )
        if self.speech.exchange not in ("binance", "binanceusdm"):
            made.has["fetchCurrencies"] = False
        self.r.route.attach(made)
        return made

    def run(self, awaited: Awaitable[None]) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(awaited, PATIENCE_S * 3)

        self._runner.run(bounded())

    def close(self) -> None:
        self.tidy()

        async def end() -> None:
            await self.client.close()
            await self.r.close()

        self._runner.run(end())
        self._runner.close()

    # ------------------------------------------------------------------ what tests do

    @property
    def books(self) -> Any:
        return self.r.exchange

    def name(self) -> str:
        return f"own{next(_NAMES):08d}"

    async def send(
        self, kind: str, side: str, price: str | None = None, *, size: str = "", **params: Any
    ) -> str:
        """Place an order under a new client id, which is returned."""
        name = params.pop("name", "") or self.name()
        stops = "triggerPrice" in params
        named = {self.speech.stop_id if stops else "clientOrderId": name, **params}
        much = Decimal(size or self.speech.size)  # one exchange's ccxt compares it with a number
        await self.client.create_order(self.symbol, kind, side, much, price, named)
        return str(name)

    def booked(self, name: str) -> Any:
        """The order as the exchange has it."""
        return self.books.named("main", name)

    async def find(self, name: str, *, waiting: bool = False) -> dict[str, Any]:
        """The order as ccxt reads it, looked up by its client id."""
        more = dict(self.speech.triggers) if waiting else {}
        asked = {self.speech.client_id: name, **more}
        if not self.speech.by_lists:
            found: dict[str, Any] = await self.client.fetch_order(None, self.symbol, asked)
            return found
        for method in ("fetch_open_orders", "fetch_canceled_and_closed_orders"):
            rows = await getattr(self.client, method)(self.symbol, None, None, asked)
            if rows:
                (row,) = rows
                return dict(row)
        raise ccxt_pro.OrderNotFound(name)

    async def cancel(self, name: str, *, waiting: bool = False) -> None:
        more = dict(self.speech.triggers) if waiting else {}
        asked = {self.speech.client_id: name, **more}
        await self.client.cancel_order(None, self.symbol, asked)

    async def own_fills(self, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self.client.fetch_my_trades(
            self.symbol, None, params.pop("limit", None), params
        )
        return rows

    def hear(self, watch: Callable[[], Awaitable[Any]]) -> Heard:
        self._listeners.append(Heard(watch))
        return self._listeners[-1]

    def tidy(self) -> None:
        """No open orders, no positions, nobody listening."""

        async def stop() -> None:
            tasks = [one.task for one in self._listeners]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._runner.run(stop())
        self._listeners.clear()
        self.books.cancel_all("main")
        for symbol in list(self.books.positions("main")):
            self.books.liquidate("main", symbol, kind="tidy")


def moving() -> MarketData:
    """A book at 50000 whose sixth bid changes each second, with a print each second."""
    depth, prints, names = [], [], [i.symbol for i, _ in USUAL if i.symbol.startswith("BTC")]
    for instrument, middle in USUAL:
        if instrument.symbol not in names:
            continue
        tick, size = instrument.tick_size, 100.0
        for side, sign in (("bid", -1), ("ask", 1)):
            for level in range(1, 11):
                price = float(Decimal(middle) + sign * level * tick)
                depth.append((instrument.symbol, START_NS, 0, side, price, size, 1))
        for second in range(1, 600):
            at, price = START_NS + second * NS_PER_S, float(Decimal(middle) - 6 * tick)
            depth.append((instrument.symbol, at, second, "bid", price, 50.0 + second, 0))
            prints.append((instrument.symbol, at, float(Decimal(middle) + tick), 0.002, "buy"))
    return _market(depth, prints, [i for i, _ in USUAL if i.symbol in names])


def falling() -> MarketData:
    """A book at 50000 that stands at 47000 ten seconds later, and a print that follows."""
    depth, prints, instruments = [], [], [i for i, _ in USUAL if i.symbol.startswith("BTC")]
    for instrument in instruments:
        for second, middle in enumerate(("50000", "47000")):
            at, tick = START_NS + 10 * second * NS_PER_S, instrument.tick_size
            for side, sign in (("bid", -1), ("ask", 1)):
                price = float(Decimal(middle) + sign * tick)
                depth.append((instrument.symbol, at, second, side, price, 100.0, 1))
            prints.append((instrument.symbol, at + NS_PER_S, float(middle), 0.002, "sell"))
        depth.append((instrument.symbol, START_NS + 3600 * NS_PER_S, 9, "bid", 1.0, 1.0, 0))
    return _market(depth, prints, instruments)


def _market(depth: list[Any], prints: list[Any], instruments: list[Any]) -> MarketData:
    columns = ["symbol", "ts_ns", "seq", "side", "price", "quantity", "is_snapshot"]
    books = MarketData.from_depth(
        pd.DataFrame(depth, columns=columns), venue="rehearsal", instruments=instruments
    )
    tape = pd.DataFrame(prints, columns=["symbol", "ts_ns", "price", "quantity", "aggressor"])
    return books + MarketData.from_prints(tape, venue="rehearsal", instruments=instruments)


def exact(number: Any) -> Decimal:
    return Decimal(str(number))


@pytest.fixture(scope="module", params=SPEECHES, ids=str)
def standing(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.close()


@pytest.fixture
def world(standing: World) -> Iterator[World]:
    yield standing
    standing.tidy()


# ---------------------------------------------------------------------------- markets


def test_the_filters_that_ccxt_reads_are_those_of_the_exchange(world: World) -> None:
    market = world.client.market(world.symbol)
    rules, unit = world.books.rules[world.speech.own], Decimal(world.speech.unit)
    assert market["active"]
    assert market["contract"] == world.speech.linear
    assert exact(market["precision"]["price"]) == rules.tick_size
    assert exact(market["precision"]["amount"]) * unit == rules.lot_size
    if world.speech.linear:
        assert market["linear"]
        assert market["settle"] == rules.quote
        assert exact(market["contractSize"]) == unit
    else:
        assert (market["base"], market["quote"]) == (rules.base, rules.quote)


def test_the_book_over_rest_is_the_exchanges(world: World) -> None:
    async def do() -> None:
        book = await world.client.fetch_order_book(world.symbol)
        _, bids, asks = world.books.feeds[world.speech.own].book()
        unit = Decimal(world.speech.unit)
        assert exact(book["bids"][0][0]) == bids[0][0]
        assert exact(book["asks"][0][0]) == asks[0][0]
        assert exact(book["bids"][0][1]) * unit == bids[0][1]
        assert len(book["bids"]) == len(bids)

    world.run(do())


# ---------------------------------------------------------------------------- orders


def test_a_resting_order_is_found_by_either_id_and_canceled(world: World) -> None:
    async def do() -> None:
        name = await world.send("limit", "buy", LOW)
        row = await world.find(name)
        assert row["status"] == "open"
        assert row["clientOrderId"] == name
        assert (row["side"], row["type"], exact(row["price"])) == ("buy", "limit", Decimal(LOW))
        assert exact(row["amount"]) == Decimal(world.speech.size)
        assert not row["filled"]
        rows = await world.client.fetch_open_orders(world.symbol)
        assert [one["id"] for one in rows] == [row["id"]]
        assert rows[0]["clientOrderId"] == name

        await world.cancel(name)
        assert not await world.client.fetch_open_orders(world.symbol)
        assert (await world.find(name))["status"] == "canceled"
        assert world.booked(name).status is ExecutionStatus.CANCELED

    world.run(do())


def test_a_market_order_fills_and_its_fill_is_exact_to_the_last_digit(world: World) -> None:
    async def do() -> None:
        name = await world.send("market", "buy")
        row = await world.find(name)
        order = world.booked(name)
        assert row["status"] == "closed"
        assert order.status is ExecutionStatus.FILLED
        assert exact(row["filled"]) * Decimal(world.speech.unit) == order.filled_quantity
        assert exact(row["average"]) == order.average_price
        last = (await world.own_fills())[-1]
        (fill,) = [f for f in world.books.fills("main") if f.order_id == order.order_id]
        assert last["order"] == row["id"]
        assert last["side"] == "buy"
        assert exact(last["price"]) == fill.price
        assert exact(last["amount"]) * Decimal(world.speech.unit) == fill.quantity
        assert last["takerOrMaker"] == "taker"
        assert last["timestamp"] == fill.ts_ns // 1_000_000
        assert exact(last["fee"]["cost"]) == fill.fee
        assert last["fee"]["currency"] == fill.fee_currency

    world.run(do())


def test_a_partly_filled_order_says_how_much_and_a_cancel_keeps_it(world: World) -> None:
    async def do() -> None:
        name = await world.send("limit", "buy", LOW)
        order = world.booked(name)
        part = order.quantity * 2 / 5
        world.books.force_fill("main", order.order_id, part)
        row = await world.find(name)
        unit = Decimal(world.speech.unit)
        assert row["status"] == "open"
        assert exact(row["filled"]) * unit == part
        assert exact(row["average"]) == Decimal(LOW)
        assert (await world.own_fills())[-1]["takerOrMaker"] == "maker"
        await world.cancel(name)
        row = await world.find(name)
        assert row["status"] in ("canceled", "closed")
        assert exact(row["filled"]) * unit == part

    world.run(do())


def test_post_only_never_takes(world: World) -> None:
    async def do() -> None:
        name = world.name()
        if world.speech.refuses_late:
            await world.send("limit", "buy", HIGH, name=name, postOnly=True)
            assert (await world.find(name))["status"] == "canceled"
        else:
            with pytest.raises(ccxt_pro.InvalidOrder):
                await world.send("limit", "buy", HIGH, name=name, postOnly=True)
            with pytest.raises(ccxt_pro.OrderNotFound):
                await world.find(name)
        rests = await world.send("limit", "buy", LOW, postOnly=True)
        assert (await world.find(rests))["status"] == "open"
        assert world.booked(rests).asked.post_only

    world.run(do())


@pytest.mark.parametrize("word", ["IOC", "FOK"])
def test_an_order_for_now_or_never_ends_at_once(world: World, word: str) -> None:
    async def do() -> None:
        missed = await world.send("limit", "buy", LOW, timeInForce=word)
        row = await world.find(missed)
        assert row["status"] in ("canceled", "expired")
        assert not row["filled"]
        took = await world.send("limit", "buy", HIGH, timeInForce=word)
        row = await world.find(took)
        assert row["status"] == "closed"
        assert exact(row["average"]) < Decimal(HIGH)

    world.run(do())


@pytest.mark.parametrize("kind", ["market", "limit"])
def test_a_stop_waits_and_can_be_canceled(world: World, kind: str) -> None:
    async def do() -> None:
        if not world.speech.linear:
            await world.send("market", "buy")
        stop = {"triggerPrice": "48000", **world.speech.stop}
        name = await world.send(kind, "sell", "47900" if kind == "limit" else None, **stop)
        row = await world.find(name, waiting=True)
        assert row["status"] == "open"
        assert name in (row["clientOrderId"], row["info"].get(world.speech.stop_id))
        assert exact(row["triggerPrice"]) == Decimal(48000)
        asked = dict(world.speech.triggers)
        rows = await world.client.fetch_open_orders(world.symbol, None, None, asked)
        assert [one["id"] for one in rows] == [row["id"]]
        await world.cancel(name, waiting=True)
        assert world.booked(name).status is ExecutionStatus.CANCELED
        rows = await world.client.fetch_open_orders(world.symbol, None, None, asked)
        assert not rows

    world.run(do())


def matched_id(row: Mapping[str, Any]) -> str:
    """The id of the order in the matching engine; ccxt may have preferred that of the trigger."""
    return str(row["info"].get("ordId") or row["id"])


@pytest.mark.parametrize("speech", SPEECHES, ids=str)
def test_a_stop_that_is_reached_fills_and_its_fill_leads_back_to_it(speech: Speech) -> None:
    async def do() -> None:
        if not speech.linear:
            await world.send("market", "buy")
        orders = world.hear(lambda: world.client.watch_orders(world.symbol))
        await listening(world, 1)
        stop = {"triggerPrice": "48000", **speech.stop}
        name = await world.send("market", "sell", **stop)
        order = world.booked(name)
        assert not order.triggered
        world.r.clock.advance(20 * NS_PER_S)
        assert order.status is ExecutionStatus.FILLED
        last = (await world.own_fills())[-1]
        (fill,) = [f for f in world.books.fills("main") if f.order_id == order.order_id]
        assert exact(last["price"]) == fill.price < 48000
        row = await world.client.fetch_order(last["order"], world.symbol, dict(speech.by_id))
        assert (row["status"], matched_id(row)) == ("closed", last["order"])
        await orders.until(lambda o: matched_id(o) == last["order"] and o["status"] == "closed")
        asked = dict(speech.triggers)
        assert not await world.client.fetch_open_orders(world.symbol, None, None, asked)

    world = World(speech, falling())
    try:
        world.run(do())
    finally:
        world.close()


def test_cancel_all_leaves_nothing_open(world: World) -> None:
    async def do() -> None:
        names = [await world.send("limit", "buy", LOW) for _ in range(3)]
        if world.speech.cancels_all:
            await world.client.cancel_all_orders(world.symbol)
        else:
            ids = [(await world.find(name))["id"] for name in names]
            await world.client.cancel_orders(ids, world.symbol)
        assert not world.books.account("main").open_orders()

    world.run(do())


def test_orders_go_over_the_socket_too(world: World) -> None:
    async def do() -> None:
        if not world.speech.by_socket:
            return
        name = world.name()
        sent = await world.client.create_order_ws(
            world.symbol, "limit", "buy", world.speech.size, LOW, {"clientOrderId": name}
        )
        assert sent["id"] == (await world.find(name))["id"]
        with pytest.raises(ccxt_pro.ExchangeError):
            await world.client.create_order_ws(
                world.symbol, "limit", "buy", world.speech.size, LOW, {"clientOrderId": name}
            )
        await world.client.cancel_order_ws(None, world.symbol, {world.speech.client_id: name})
        assert world.booked(name).status is ExecutionStatus.CANCELED

    world.run(do())


def test_an_order_is_amended_in_place(world: World) -> None:
    async def do() -> None:
        if not world.speech.amends:
            return
        name = await world.send("limit", "buy", LOW)
        row, much = await world.find(name), str(Decimal(world.speech.size) * 2)
        await world.client.edit_order(row["id"], world.symbol, "limit", "buy", much, "48000")
        after, order = await world.find(name), world.booked(name)
        assert (after["id"], exact(after["price"])) == (row["id"], Decimal(48000))
        assert exact(after["amount"]) == Decimal(much)
        assert order.quantity == Decimal(much) * Decimal(world.speech.unit)

    world.run(do())


def test_each_order_of_a_batch_has_its_own_answer(world: World) -> None:
    async def do() -> None:
        if not world.speech.batches:
            return
        names = [world.name() for _ in range(3)]
        sizes = [world.speech.size, str(Decimal(world.speech.size) * 1_000_000), world.speech.size]
        rows = await world.client.create_orders(
            [
                {
                    "symbol": world.symbol,
                    "type": "limit",
                    "side": "buy",
                    "amount": float(size),
                    "price": float(LOW),
                    "params": {"clientOrderId": name},
                }
                for name, size in zip(names, sizes, strict=True)
            ]
        )
        assert [row["status"] for row in rows].count("rejected") == 1
        found = {order.client_order_id for order in world.books.account("main").open_orders()}
        assert found == {names[0], names[2]}

    world.run(do())


@pytest.mark.parametrize("speech", [s for s in SPEECHES if s.exchange == "bybit"], ids=str)
def test_the_dead_mans_switch_cancels_when_nobody_comes_back(speech: Speech) -> None:
    async def do() -> None:
        kind = "swap" if speech.linear else "spot"
        await world.client.cancel_all_orders_after(10_000, {"type": kind})
        world.hear(lambda: world.client.watch_orders(world.symbol))
        await listening(world, 1)
        name = await world.send("limit", "buy", LOW)
        world.r.clock.advance(60 * NS_PER_S)
        assert world.booked(name).is_open
        for socket in list(world.r.wire.sockets):
            socket.reset()
        async with asyncio.timeout(PATIENCE_S):
            while world.r.wire.sockets:
                await asyncio.sleep(0.01)
        world.r.clock.advance(9 * NS_PER_S)
        assert world.booked(name).is_open
        world.r.clock.advance(2 * NS_PER_S)
        assert world.booked(name).status is ExecutionStatus.CANCELED

    world = World(speech)
    try:
        world.run(do())
    finally:
        world.close()


def test_refusals_have_the_classes_that_ccxt_gives_the_real_ones(world: World) -> None:
    async def do() -> None:
        with pytest.raises(ccxt_pro.InsufficientFunds):
            await world.send("limit", "buy", LOW, size=str(Decimal(world.speech.size) * 1_000_000))
        name = await world.send("limit", "buy", LOW)
        with pytest.raises(ccxt_pro.InvalidOrder):  # both exchanges' word for a double
            await world.send("limit", "buy", LOW, name=name)
        await world.cancel(name)
        if world.speech.once_only:
            with pytest.raises(ccxt_pro.InvalidOrder):
                await world.send("limit", "buy", LOW, name=name)
        with pytest.raises((ccxt_pro.OrderNotFound, ccxt_pro.InvalidOrder)):
            await world.cancel(name)
        with pytest.raises(ccxt_pro.OrderNotFound):
            await world.find("never" + name)
        world.books.halt(world.speech.own)
        with pytest.raises(ccxt_pro.ExchangeError):
            await world.send("limit", "buy", LOW)
        world.books.resume(world.speech.own)

    world.run(do())


def test_a_wrong_secret_is_refused(world: World) -> None:
    async def do() -> None:
        other = world.new_client()
        other.secret = "no" + other.secret
        try:
            other.set_markets(world.client.markets)
            with pytest.raises(ccxt_pro.AuthenticationError):
                await other.fetch_open_orders(world.symbol)
        finally:
            await other.close()

    world.run(do())


# ---------------------------------------------------------------------------- account


def test_balances_are_the_ledgers(world: World) -> None:
    async def do() -> None:
        await world.send("limit", "buy", LOW)
        told = await world.client.fetch_balance(dict(world.speech.balances))
        wanted = world.books.balances("main")
        if world.speech.one_coin:
            wanted = {"USDT": wanted["USDT"]}
        for asset, total in wanted.items():
            assert exact(told["total"][asset]) == total
        if not world.speech.linear:
            locked = world.books.account("main").locked["USDT"]
            assert exact(told["used"]["USDT"]) == locked

    world.run(do())


def test_positions_are_the_ledgers(world: World) -> None:
    async def do() -> None:
        if not world.speech.linear:
            return
        await world.send("market", "sell")
        (row,) = await world.client.fetch_positions([world.symbol])
        if world.speech.exchange == "bybit":  # whose client asks for other categories too
            others = {"type": "swap", "subType": "inverse"}
            assert await world.client.fetch_positions(None, others) == []
        held = world.books.positions("main")[world.speech.own]
        assert row["side"] == "short"
        assert -exact(row["contracts"]) * Decimal(world.speech.unit) == held.quantity
        assert exact(row["entryPrice"]) == held.average_price
        await world.client.set_leverage(7, world.symbol)
        assert world.books.account("main").positions[world.speech.own].leverage == 7

    world.run(do())


def test_reduce_only_cannot_open(world: World) -> None:
    async def do() -> None:
        if not world.speech.linear:
            return
        with pytest.raises(ccxt_pro.ExchangeError):
            await world.send("market", "sell", reduceOnly=True)
        await world.send("market", "buy")
        name = await world.send("market", "sell", reduceOnly=True)
        assert (await world.find(name))["reduceOnly"] is True
        assert not world.books.positions("main")

    world.run(do())


def test_own_fills_come_in_pages_that_miss_none(world: World) -> None:
    async def do() -> None:
        for _ in range(5):
            await world.send("market", "buy")
        wanted = {f.order_id for f in world.books.fills("main", world.speech.own)[-5:]}
        assert len(wanted) == 5
        rows = await world.own_fills(limit=1000 if "binance" in world.speech.exchange else 100)
        ids = [row["id"] for row in rows]
        assert len(set(ids)) == len(ids) >= 5
        assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)

    world.run(do())


# ---------------------------------------------------------------------------- streams


async def listening(world: World, count: int) -> None:
    """Until the private socket knows its client, and all of `count` futures wait there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            waiting = sum(len(c.futures) for c in world.client.clients.values())
            open_now = [s for s in world.r.wire.sockets if s.key is not None and s.topics]
            if waiting >= count and open_now:
                await asyncio.sleep(0.05)  # what was subscribed to is on its way
                return
            await asyncio.sleep(0.01)


def test_the_private_streams_tell_an_order_its_fills_and_the_balance(world: World) -> None:
    async def do() -> None:
        client, name, unit = world.client, world.name(), Decimal(world.speech.unit)
        orders = world.hear(lambda: client.watch_orders(world.symbol))
        fills = world.hear(lambda: client.watch_my_trades(world.symbol))
        wallet = world.hear(lambda: client.watch_balance(dict(world.speech.balances)))
        await listening(world, 3)
        await world.send("limit", "buy", LOW, name=name)
        row = await orders.until(lambda o: o["clientOrderId"] == name)
        assert (row["status"], row["symbol"]) == ("open", world.symbol)
        order = world.booked(name)
        fill = world.books.force_fill("main", order.order_id)
        one = await fills.until(lambda f: f["order"] == row["id"])
        assert (exact(one["price"]), exact(one["amount"]) * unit) == (fill.price, fill.quantity)
        assert one["takerOrMaker"] == "maker"
        if world.speech.fill_fee:
            assert abs(exact(one["fee"]["cost"])) == fill.fee
        assert one["id"] == (await world.own_fills())[-1]["id"]
        await orders.until(
            lambda o: o["clientOrderId"] == name and exact(o["filled"]) * unit == fill.quantity
        )
        told = await wallet.until(lambda w: "USDT" in w)
        assert told["USDT"]["total"] is not None

    world.run(do())


def test_the_public_streams_follow_book_and_prints(world: World) -> None:
    async def do() -> None:
        client, feed = world.client, world.books.feeds[world.speech.own]
        unit = Decimal(world.speech.unit)
        book = world.hear(lambda: client.watch_order_book(world.symbol))
        await subscribed(world, 1)
        world.r.clock.advance(NS_PER_S)  # some need a change before they ask for the book
        await book.until(lambda b: exact(b["bids"][0][0]) == feed.best()[0])
        prints = world.hear(lambda: client.watch_trades(world.symbol))
        await subscribed(world, 2)
        for _ in range(3):
            world.r.clock.advance(NS_PER_S)
            size = feed.book()[1][5][1]
            await book.until(lambda b, size=size: exact(b["bids"][5][1]) * unit == size)
        stamp = feed.prints[-1].ts_ns // 1_000_000
        seen = await prints.until(lambda p: p["timestamp"] == stamp)
        assert (exact(seen["price"]), seen["side"]) == (feed.prints[-1].price, "buy")
        assert exact(seen["amount"]) * unit == Decimal("0.002")

    world.run(do())


async def subscribed(world: World, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while sum(len(s.topics) for s in world.r.wire.sockets if s.key is None) < count:
            await asyncio.sleep(0.01)


def test_after_a_cut_the_client_comes_back_and_hears_again(world: World) -> None:
    async def do() -> None:
        client = world.client
        orders = world.hear(lambda: client.watch_orders(world.symbol))
        await listening(world, 1)
        for socket in list(world.r.wire.sockets):
            socket.reset()
        with pytest.raises(ccxt_pro.NetworkError):
            await orders.until(lambda o: False)
        again, name = world.hear(lambda: client.watch_orders(world.symbol)), world.name()
        await listening(world, 1)
        await world.send("limit", "buy", LOW, name=name)
        row = await again.until(lambda o: o["clientOrderId"] == name)
        assert row["status"] == "open"

    world.run(do())
