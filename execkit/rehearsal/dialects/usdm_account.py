"""The account of Binance USD-M futures: balances, positions, leverage, modes, income."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execkit.rehearsal.accounts import Holding
from execkit.rehearsal.dialects import usdm_rows as rows
from execkit.rehearsal.dialects.base import Request
from execkit.rehearsal.dialects.binance_rows import key_row
from execkit.rehearsal.dialects.parts import text
from execkit.rehearsal.dialects.usdm_orders import Coded, UsdmOrders, flag
from execkit.words import ZERO

Row = dict[str, Any]

_INCOME = {"fill": "REALIZED_PNL", "fee": "COMMISSION", "funding": "FUNDING_FEE"}
_MOST = {"bracket": 1, "initialLeverage": 125, "notionalCap": 300_000_000, "notionalFloor": 0}


class UsdmAccount(UsdmOrders):
    """Handlers of the account endpoints."""

    def held(self, account: str) -> list[tuple[Holding, Decimal]]:
        """Every open position with its mark price."""
        return [
            (one, self.exchange.feeds[symbol].mark() or one.average_price)
            for symbol, one in self.exchange.positions(account).items()
        ]

    def account_v3(self, request: Request) -> Row:
        account = self.exchange.account(request.account)
        held = self.held(account.name)
        assets = []
        for asset, wallet in sorted(account.balances.items()):
            own = [(h, mark) for h, mark in held if h.instrument.settle == asset]
            profit = sum((h.profit(mark) for h, mark in own), ZERO)
            margin = sum((h.margin(mark) for h, mark in own), ZERO)
            free = self.exchange.available(account.name, asset)
            orders = max(ZERO, wallet + profit - margin - free)
            assets.append(
                {
                    "asset": asset,
                    "walletBalance": text(wallet),
                    "unrealizedProfit": text(profit),
                    "marginBalance": text(wallet + profit),
                    "maintMargin": "0",
                    "initialMargin": text(margin + orders),
                    "positionInitialMargin": text(margin),
                    "openOrderInitialMargin": text(orders),
                    "crossWalletBalance": text(wallet),
                    "crossUnPnl": text(profit),
                    "availableBalance": text(max(ZERO, free)),
                    "maxWithdrawAmount": text(max(ZERO, free)),
                    "updateTime": rows.ms(self.exchange.now_ns()),
                }
            )
        positions = [rows.position_row(h, mark) for h, mark in held]
        totals = [one for one in assets if one["asset"] == self.settle]
        return _totals(totals) | {"assets": assets, "positions": positions}

    def account_v2(self, request: Request) -> Row:
        flags = {"canTrade": True, "canDeposit": True, "canWithdraw": False, "feeTier": 0}
        return flags | {"updateTime": 0, "multiAssetsMargin": False} | self.account_v3(request)

    def balance(self, request: Request) -> list[Row]:
        named = {"asset": "asset", "balance": "walletBalance", "updateTime": "updateTime"}
        same = ("crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount")
        return [
            {new: one[old] for new, old in named.items()}
            | {name: one[name] for name in same}
            | {"accountAlias": "SgsR", "marginAvailable": True}
            for one in self.account_v3(request)["assets"]
        ]

    def positions(self, request: Request) -> list[Row]:
        wanted = self.symbol(request) if "symbol" in request.params else ""
        held = self.held(request.account)
        return [
            rows.position_row(h, mark) for h, mark in held if wanted in ("", h.instrument.symbol)
        ]

    def positions_v2(self, request: Request) -> list[Row]:
        """As version 3, but flat positions are shown too."""
        wanted = self.symbol(request) if "symbol" in request.params else ""
        account = self.exchange.account(request.account)
        shown = []
        for symbol, feed in self.exchange.feeds.items():
            if self.exchange.instrument(symbol).kind == "linear" and wanted in ("", symbol):
                holding = account.holding(self.exchange.instrument(symbol))
                shown.append(rows.position_row(holding, feed.mark() or ZERO))
        return shown

    # ------------------------------------------------------------------ settings

    def leverage_brackets(self, request: Request) -> list[Row]:
        bracket = _MOST | {"maintMarginRatio": float(rows.MAINTENANCE), "cum": 0}
        return [
            {"symbol": rows.market_id(s), "notionalCoef": 1.0, "brackets": [bracket]}
            for s, i in self.exchange.market.instruments.items()
            if i.kind == "linear"
        ]

    def set_leverage(self, request: Request) -> Row:
        symbol, wanted = self.symbol(request), request.whole("leverage")
        if not 1 <= wanted <= 125:
            raise Coded(-4028, f"Leverage {wanted} is not valid")
        self._holding(request, symbol).leverage = wanted
        name = rows.market_id(symbol)
        return {"leverage": wanted, "maxNotionalValue": "300000000", "symbol": name}

    def set_margin_type(self, request: Request) -> Row:
        symbol = self.symbol(request)
        words = {"ISOLATED": "isolated", "CROSSED": "cross"}
        wanted = words.get(request.text("marginType").upper())
        if wanted is None:
            raise Coded(-4045, "Invalid marginType.")
        holding = self._holding(request, symbol)
        if holding.margin_mode == wanted:
            raise Coded(-4046, "No need to change margin type.")
        if self.exchange.account(request.account).open_orders(symbol):
            raise Coded(-4047, "Margin type cannot be changed if there exists open orders.")
        if holding.quantity:
            raise Coded(-4048, "Margin type cannot be changed if there exists position.")
        holding.margin_mode = wanted
        return {"code": 200, "msg": "success"}

    def _holding(self, request: Request, symbol: str) -> Holding:
        return self.exchange.account(request.account).holding(self.exchange.instrument(symbol))

    def position_mode(self, request: Request) -> Row:
        return {"dualSidePosition": self.exchange.account(request.account).hedge_mode}

    def set_position_mode(self, request: Request) -> Row:
        """One-way only: this rehearsal keeps one position a symbol."""
        if not flag(request, "dualSidePosition"):
            raise Coded(-4059, "No need to change position side.")
        if self.exchange.positions(request.account):
            raise Coded(-4068, "Position side cannot be changed if there exists position.")
        raise Coded(-1116, "Hedge mode is not part of this rehearsal.")

    def fee_rates(self, request: Request) -> Row:
        fees = self.exchange.account(request.account).fees
        return {
            "symbol": rows.market_id(self.symbol(request)),
            "makerCommissionRate": text(fees.rate(True)),
            "takerCommissionRate": text(fees.rate(False)),
        }

    def symbol_config(self, request: Request) -> list[Row]:
        account = self.exchange.account(request.account)
        wanted = self.symbol(request) if "symbol" in request.params else ""
        shown = []
        for symbol, instrument in self.exchange.market.instruments.items():
            if instrument.kind == "linear" and wanted in ("", symbol):
                holding = account.holding(instrument)
                mode = "ISOLATED" if holding.margin_mode == "isolated" else "CROSSED"
                row: Row = {"symbol": rows.market_id(symbol), "marginType": mode}
                row |= {"isAutoAddMargin": False, "leverage": holding.leverage}
                shown.append(row | {"maxNotionalValue": "300000000"})
        return shown

    def multi_assets(self, request: Request) -> Row:
        return {"multiAssetsMargin": False}

    def income(self, request: Request) -> list[Row]:
        """Changes of balances that are not deposits; oldest first."""
        limit = min(request.whole("limit", 100), 1000)
        wanted = request.text("incomeType", default="")
        start, end = self.window(request)
        shown = []
        for number, entry in enumerate(self.exchange.account(request.account).entries):
            kind, at = _INCOME.get(entry.kind, "TRANSFER"), rows.ms(entry.ts_ns)
            if wanted in ("", kind) and start <= at <= end:
                symbol = rows.market_id(entry.reference) if entry.reference else ""
                row: Row = {"symbol": symbol, "incomeType": kind, "income": text(entry.change)}
                row |= {"asset": entry.asset, "info": kind, "time": at, "tranId": number}
                shown.append(row | {"tradeId": entry.reference.rpartition(":")[2]})
        return shown[:limit] if "startTime" in request.params else shown[-limit:]

    def restrictions(self, request: Request) -> Row:
        """What the key may do, as the spot host answers it for every market."""
        assert request.key is not None  # the endpoint is signed
        return key_row(request.key) | {"enableFutures": request.key.may_order}


def _totals(assets: list[Row]) -> Row:
    names = {
        "totalInitialMargin": "initialMargin",
        "totalMaintMargin": "maintMargin",
        "totalWalletBalance": "walletBalance",
        "totalUnrealizedProfit": "unrealizedProfit",
        "totalMarginBalance": "marginBalance",
        "totalPositionInitialMargin": "positionInitialMargin",
        "totalOpenOrderInitialMargin": "openOrderInitialMargin",
        "totalCrossWalletBalance": "crossWalletBalance",
        "totalCrossUnPnl": "crossUnPnl",
        "availableBalance": "availableBalance",
        "maxWithdrawAmount": "maxWithdrawAmount",
    }
    return {total: assets[0][name] if assets else "0" for total, name in names.items()}
