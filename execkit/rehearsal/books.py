"""The exchange's books: accounts, keys, who is told what, and how an execution settles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.rehearsal.accounts import Account, ApiKey, Entry, Holding
from execkit.rehearsal.clock import VenueClock
from execkit.rehearsal.feed import Feed
from execkit.rehearsal.rules import FeeSchedule, SymbolRules
from execkit.rehearsal.words import BookedFill, BookedOrder, Event, EventKind, Rejected
from execkit.venues.paper import PaperVenue
from execkit.words import ZERO, ExecutionStatus, Side

Listener = Callable[[Event], None]
_FIRST_ORDER, _FIRST_FILL = 1_000_001, 5_000_001


class Books:
    """Accounts over one market. Money is exact; nothing here matches orders."""

    def __init__(self, market: MarketData, clock: VenueClock, fees: FeeSchedule, fill: str) -> None:
        self.market, self.clock, self.fill = market, clock, fill
        self.fees = fees
        first = min(market.span(symbol)[0] for symbol in market.symbols)
        self.offset_ns = clock.start_ns - first
        self.rules = {s: SymbolRules.of(i) for s, i in market.instruments.items()}
        self.feeds = {s: Feed(market, s, self.offset_ns) for s in market.instruments}
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, ApiKey] = {}
        self._listeners: list[Listener] = []
        self._order_id = _FIRST_ORDER
        self._fill_ids: dict[str, int] = {}

    # ------------------------------------------------------------------ accounts

    def add_account(
        self,
        name: str,
        balances: Mapping[str, Decimal],
        *,
        fees: FeeSchedule | None = None,
    ) -> Account:
        """Open an account that holds `balances`, by asset."""
        if name in self.accounts:
            raise InvalidInput("name", name, "is an account already")
        venue = PaperVenue(self.market, f"rehearsal-{name}", self.fill)
        account = Account(name=name, venue=venue, fees=fees or self.fees)
        self.accounts[name] = account
        for asset, total in balances.items():
            account.post(self._entry(asset, Decimal(total), "deposit"))
        return account

    def add_key(self, key: ApiKey) -> ApiKey:
        """Let `key` in. A revoked one stays here, and is refused."""
        self.account(key.account)
        self.keys[key.key] = key
        return key

    def account(self, name: str) -> Account:
        found = self.accounts.get(name)
        if found is None:
            raise InvalidInput("account", name, f"there are: {', '.join(self.accounts)}")
        return found

    def instrument(self, symbol: str) -> Instrument:
        found = self.market.instruments.get(symbol)
        if found is None:
            raise Rejected("unknown_symbol", f"no symbol {symbol}")
        return found

    def balances(self, account: str) -> dict[str, Decimal]:
        """By asset, what is free and locked together."""
        return dict(self.account(account).balances)

    def positions(self, account: str) -> dict[str, Holding]:
        """Open positions by symbol."""
        held = self.account(account).positions
        return {symbol: one for symbol, one in held.items() if one.quantity}

    def fills(self, account: str, symbol: str = "") -> list[BookedFill]:
        """Every execution of an account, oldest first."""
        return [f for f in self.account(account).fills if symbol in ("", f.symbol)]

    # ------------------------------------------------------------------ telling

    def listen(self, listener: Listener) -> None:
        """`listener` is called with each `Event`, in order. It must only enqueue."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def emit(self, event: Event) -> None:
        for listener in list(self._listeners):
            listener(event)

    def tell_order(self, order: BookedOrder, what: str, ts_ns: int) -> None:
        order.updated_ns = ts_ns
        self.emit(
            Event(
                kind=EventKind.ORDER,
                ts_ns=ts_ns,
                account=order.account,
                symbol=order.symbol,
                what=what,
                order=replace(order),
            )
        )

    def tell_balances(self, account: str, assets: tuple[str, ...], ts_ns: int, what: str) -> None:
        event = Event(kind=EventKind.BALANCE, ts_ns=ts_ns, account=account, assets=assets)
        self.emit(replace(event, what=what))

    def tell_position(self, account: str, symbol: str, ts_ns: int, what: str) -> None:
        event = Event(kind=EventKind.POSITION, ts_ns=ts_ns, account=account, symbol=symbol)
        self.emit(replace(event, what=what))

    # ------------------------------------------------------------------ settling

    def next_order_id(self) -> int:
        self._order_id += 1
        return self._order_id

    def settle(
        self,
        order: BookedOrder,
        quantity: Decimal,
        price: Decimal,
        *,
        is_maker: bool,
        ts_ns: int,
        fee: tuple[Decimal, str] | None = None,
        kind: str = "fill",
        hidden_until_ns: int = 0,
    ) -> BookedFill:
        """Book one execution of an order: balances or position, fee, the order itself."""
        account, symbol = self.account(order.account), order.symbol
        instrument = self.instrument(symbol)
        quote = instrument.notional(quantity, price)
        number = self._fill_ids.get(symbol, _FIRST_FILL)
        self._fill_ids[symbol] = number + 1
        reference = f"{symbol}:{number}"
        charge = fee or self._charge(account, instrument, order.side, quantity, price, is_maker)
        profit, assets = ZERO, {charge[1]}
        if instrument.kind == "spot":
            sign = order.side.sign
            rules = self.rules[symbol]
            account.post(self._entry(rules.base, sign * quantity, kind, reference, ts_ns))
            account.post(self._entry(rules.quote, -sign * quote, kind, reference, ts_ns))
            assets |= {rules.base, rules.quote}
        else:
            holding = account.holding(instrument)
            profit = holding.fold(order.side.sign * quantity, price)
            holding.updated_ns = ts_ns
            account.post(self._entry(self.settle_asset(symbol), profit, kind, reference, ts_ns))
            assets.add(self.settle_asset(symbol))
        account.post(self._entry(charge[1], -charge[0], "fee", reference, ts_ns))
        made = BookedFill(
            fill_id=number,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            account=account.name,
            symbol=symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            quote=quote,
            fee=charge[0],
            fee_currency=charge[1],
            is_maker=is_maker,
            ts_ns=ts_ns,
            realised_pnl=profit,
            hidden_until_ns=hidden_until_ns,
        )
        account.fills.append(made)
        account.fills_of.setdefault(order.order_id, []).append(made)
        self._take_in(account, order, made)
        self._tell_fill(order, made, tuple(sorted(assets)), kind)
        return made

    def _take_in(self, account: Account, order: BookedOrder, fill: BookedFill) -> None:
        order.filled_quantity += fill.quantity
        order.filled_quote += fill.quote
        order.updated_ns = fill.ts_ns
        whole = order.filled_quantity >= order.quantity
        if order.is_open:
            partly = ExecutionStatus.PARTIALLY_FILLED
            order.status = ExecutionStatus.FILLED if whole else partly
            account.relock(order, ZERO if whole else self.to_lock(account, order))
            if whole:
                account.live.pop(order.order_id, None)
        elif whole:  # a fill that was under way when the order ended
            order.status = ExecutionStatus.FILLED

    def _tell_fill(
        self, order: BookedOrder, fill: BookedFill, assets: tuple[str, ...], kind: str
    ) -> None:
        event = Event(
            kind=EventKind.FILL,
            ts_ns=fill.ts_ns,
            account=order.account,
            symbol=order.symbol,
            what=kind,
            order=replace(order),
            fill=fill,
        )
        self.emit(event)
        self.tell_balances(order.account, assets, fill.ts_ns, "order")
        if self.instrument(order.symbol).kind != "spot":
            self.tell_position(order.account, order.symbol, fill.ts_ns, "order")

    def _charge(
        self,
        account: Account,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        is_maker: bool,
    ) -> tuple[Decimal, str]:
        """The fee of an execution and its currency."""
        fees, quote = account.fees, instrument.notional(quantity, price)
        if instrument.kind != "spot":
            value = quote / price if instrument.is_inverse else quote
            return fees.charge(value, is_maker), self.settle_asset(instrument.symbol)
        rules = self.rules[instrument.symbol]
        if fees.currency not in ("received", "quote", "base"):
            fee = fees.third(quote, is_maker)
            if account.free(fees.currency) >= fee:
                return fee, fees.currency
        in_base = fees.currency == "base" or (fees.currency != "quote" and side is Side.BUY)
        if in_base:
            return fees.charge(quantity, is_maker), rules.base
        return fees.charge(quote, is_maker), rules.quote

    def to_lock(self, account: Account, order: BookedOrder) -> Decimal:
        """What an open order holds back of its `locked_asset`."""
        instrument, left = self.instrument(order.symbol), order.remaining_quantity
        if instrument.kind != "spot":
            return ZERO
        rate, fees = max(account.fees.rate(True), account.fees.rate(False), ZERO), account.fees
        if order.side is Side.SELL:
            return left * (1 + rate) if fees.currency == "base" else left
        price = order.asked.price or order.asked.stop_price
        if price is not None:
            worth = left * price
        else:
            worth = self.feeds[order.symbol].cost(True, left) or ZERO
        return worth * (1 + rate) if fees.currency == "quote" else worth

    def settle_asset(self, symbol: str) -> str:
        """The currency in which a derivative's profit is paid."""
        return self.instrument(symbol).settle or self.rules[symbol].quote

    def available(self, account: str, asset: str) -> Decimal:
        """What derivatives that settle in `asset` may still use as margin."""
        held = self.account(account)
        total = held.free(asset)
        for symbol, one in held.positions.items():
            mark = self.feeds[symbol].mark()
            if self.settle_asset(symbol) == asset and mark is not None:
                total += one.profit(mark) - one.margin(mark)
        for order in held.open_orders():
            derived = self.instrument(order.symbol).kind != "spot"
            uses = derived and self.settle_asset(order.symbol) == asset
            if uses and not order.asked.reduce_only:
                total -= self.order_margin(held, order, order.remaining_quantity)
        return total

    def order_margin(self, account: Account, order: BookedOrder, quantity: Decimal) -> Decimal:
        holding = account.holding(self.instrument(order.symbol))
        price = order.asked.price or order.asked.stop_price or self.feeds[order.symbol].mark()
        if price is None:
            return ZERO
        sized = replace(holding, quantity=quantity)
        return sized.margin(price)

    def _entry(
        self, asset: str, change: Decimal, kind: str, reference: str = "", ts_ns: int | None = None
    ) -> Entry:
        when = self.clock.now_ns() if ts_ns is None else ts_ns
        return Entry(ts_ns=when, asset=asset, change=change, kind=kind, reference=reference)
