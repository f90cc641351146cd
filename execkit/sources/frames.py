"""Tables in CSV, Parquet or Feather with execkit's columns or the names that exports usually have.

The kind is told by the columns; integer times may be s, ms, us or ns. A file that does not name its
symbol is taken to be called after it (``BTCUSD_1m_2019.parquet``, ``XRP_ETH-trades.feather``).
Where one folder has bars of a symbol in several lengths, the shortest are read.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, wanted
from execkit.sources.columns import column_names, read_frame, stamps_ns
from execkit.table_input import from_frame
from execkit.tables import Finding

_TIMES = ("ts_ns", "time", "timestamp", "date", "datetime", "open_time")
_ALIASES = {
    "amount": "quantity",
    "qty": "quantity",
    "size": "quantity",
    "bid_price": "bid",
    "ask_price": "ask",
    "bid_amount": "bid_quantity",
    "ask_amount": "ask_quantity",
    "funding_rate": "rate",
    "id": "trade_id",
}
_NEEDED = (
    ("bars", {"open", "high", "low", "close", "volume"}),
    ("quotes", {"bid", "ask", "bid_quantity", "ask_quantity"}),
    ("depth", {"side", "price", "quantity", "is_snapshot"}),
    ("prints", {"price", "quantity"}),
    ("funding", {"rate"}),
)
_STEM = re.compile(r"([A-Za-z0-9]{5,}|[A-Za-z0-9]{2,}[_-][A-Za-z0-9]{2,})(?:[_.-]|$)")
_TIMEFRAME = re.compile(r"(?:^|[_.-])(\d+[smhdw])(?:[_.-]|$)")


class Frames:
    """See the module."""

    name = "frames"

    def sniff(self, path: Path) -> bool:
        names = _renamed(column_names(path))
        return bool(_kind(names) and any(time in names for time in _TIMES))

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        parts = []
        single = len(paths) == 1
        for path in paths:
            own = "symbol" in column_names(path)
            name = None if own else symbol if symbol and single else _stem_symbol(path, symbol)
            if name is None or wanted(name, symbol):
                parts.append(guarded(path, _read, path, name))
        market = combine_all(_shortest_bars(parts), paths, symbol)
        return market if symbol is None else market.select(symbol)


def _renamed(names: tuple[str, ...]) -> dict[str, str]:
    """New name to the file's own name, own names first."""
    out = {name.lower(): name for name in names}
    for old, new in _ALIASES.items():
        if old in out and new not in out:
            out[new] = out.pop(old)
    return out


def _kind(names: dict[str, str]) -> str:
    return next((kind for kind, needed in _NEEDED if needed <= set(names)), "")


def _stem_symbol(path: Path, symbol: str | None) -> str:
    found = _STEM.match(path.name)
    if not found:
        raise InvalidInput("symbol", symbol, f"say what {path} holds: load(path, symbol=...)")
    return found[1].replace("_", "-")


def _read(path: Path, symbol: str | None) -> MarketData:
    names = _renamed(column_names(path))
    kind = _kind(names)
    frame = read_frame(path)
    frame = frame.rename(columns={old: new for new, old in names.items()})
    if kind == "prints" and "side" in frame.columns and "aggressor" not in frame.columns:
        frame = frame.rename(columns={"side": "aggressor"})
    if "trade_id" in frame.columns:
        ids = pd.to_numeric(frame["trade_id"], errors="coerce")
        frame = frame.drop(columns="trade_id") if ids.isna().any() else frame.assign(trade_id=ids)
    time = next(name for name in _TIMES if name in frame.columns)
    if pd.api.types.is_numeric_dtype(frame[time].dtype):
        frame = frame.assign(ts_ns=stamps_ns(frame[time]))
    elif time != "time":
        frame = frame.rename(columns={time: "time"})
    if kind == "bars":
        found = _TIMEFRAME.search(path.stem)
        return MarketData.from_bars(frame, symbol=symbol, interval=found[1] if found else None)
    table, notes = from_frame(kind, frame, symbol=symbol)
    return MarketData(**{kind: table}, notes=tuple(notes))  # type: ignore[arg-type]


def _shortest_bars(parts: list[MarketData]) -> list[MarketData]:
    """Parts without those bars that another part has in shorter intervals."""
    shortest: dict[str, int] = {}
    for part in parts:
        for symbol, step in part.bar_interval_ns.items():
            shortest[symbol] = min(step, shortest.get(symbol, step))
    kept: list[MarketData] = []
    dropped: list[Finding] = []
    for part in parts:
        longer = [s for s, step in part.bar_interval_ns.items() if step > shortest[s]]
        if not longer:
            kept.append(part)
            continue
        detail = "longer bars of a symbol were left out in favour of shorter ones"
        dropped += [Finding("longer_bars", "info", "bars", s, 1, -1, detail) for s in longer]
        rest = [s for s in part.symbols if s not in longer]
        if rest:
            kept.append(part.select(rest))
    if kept and dropped:
        kept[0] = kept[0].with_notes(*dropped)
    return kept


SOURCE = Frames()
