"""Real marketable orders found in recordings, and what each prediction says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from execkit.clock import NS_PER_MS
from execkit.errors import InvalidData
from execkit.market import MarketData
from execkit.matching.alone import walks
from execkit.matching.tape import choose_fidelity
from execkit.models.fill import QUEUE, FillModel
from execkit.simulator import simulate
from execkit.sources.base import sources
from execkit.tables import UNKNOWN, Table
from execkit.taker_cost import features

PUBLISHED = ("transact_time_ms", "first_trade_id", "qty", "side", "vwap", "arrival_mid")
"""Columns by which a Parquet file of real orders is known; ``walk_slip_bps`` is used if there."""

MIN_ORDERS = 50
"""A symbol with fewer orders is left out: it has no second half to speak of."""

REPLAY = replace(QUEUE, name="replay", prints_consume=False)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One symbol of one folder: its orders, what was known of each, and predictions by method.

    orders : a row an order, with ``paid_cost_bps`` and ``sweep``. known : `taker_cost.features`.
    predicted : cost in bps by method, the model's left out; NaN where there is none.
    published : whether the orders were given, not put together from the prints. too_early : given
    orders that came before the first book, quote or print, about which nothing can be said.
    """

    label: str
    published: bool
    too_early: int
    orders: pd.DataFrame
    known: pd.DataFrame
    predicted: dict[str, np.ndarray]


def recordings(root: Path, *, quick: bool = False) -> Iterator[Recording]:
    """Every symbol with depth, prints and `MIN_ORDERS` orders, folder by folder.

    `quick` takes the smallest folder alone, and runs no `simulate`.
    """
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    given = {file: pd.read_parquet(file) for file in files if _is_orders(file)}
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if file not in given and any(source.sniff(file) for source in sources()):
            folders.setdefault(file.parent, []).append(file)
    if quick:
        size = {folder: sum(f.stat().st_size for f in of) for folder, of in folders.items()}
        folders = {folder: folders[folder] for folder in sorted(size, key=size.__getitem__)[:1]}
    for folder, of in folders.items():
        for name, market in _markets(folder, of):
            for symbol in market.symbols:
                orders = orders_of(market, symbol)
                if len(orders) >= MIN_ORDERS:
                    place = name.relative_to(root) if name != root else Path(name.name)
                    one = market.select(symbol)
                    yield _recording(f"{place}/{symbol}", one, orders, list(given.values()), quick)


def _markets(folder: Path, files: list[Path]) -> Iterator[tuple[Path, MarketData]]:
    """The folder as one market, or each file on its own where they do not go together."""
    try:
        whole = MarketData.load(files)
    except InvalidData:
        # several venues of one symbol, or pieces that overlap; a damaged file says so again below
        if len(files) == 1:
            raise
        for file in files:
            yield file, _held_back(MarketData.load(file))
    else:
        yield folder, _held_back(whole)


def _is_orders(file: Path) -> bool:
    return file.suffix == ".parquet" and set(PUBLISHED) <= set(pq.read_schema(file).names)


def _held_back(market: MarketData) -> MarketData:
    """Quotes whose venue time is only estimated, late enough that none can come too early.

    Their time is the local one less the usual delay, so a message that travelled fast is stamped
    too early, and might tell of the very order that is to be predicted.
    """
    guessed = {note.symbol for note in market.notes if note.kind == "estimated_time"}
    if market.quotes is None or not guessed:
        return market
    moved = market.quotes["ts_ns"].copy()
    for symbol in guessed:
        delay = np.concatenate([_delays(t, symbol) for t in (market.prints, market.depth)])
        if len(delay):
            moved[market.quotes.rows(symbol)] += int(np.median(delay) - delay.min())
    quotes = market.quotes
    shifted = Table("quotes", {**quotes.columns, "ts_ns": moved}, quotes.symbols, quotes.venues)
    return replace(market, quotes=shifted.cut(slice(None)))


def _delays(table: Table | None, symbol: str) -> np.ndarray:
    """Local less venue time of each row that has both."""
    if table is None or symbol not in table.present or "local_ts_ns" not in table:
        return np.empty(0, dtype=np.int64)
    rows = table.of(symbol)
    return (rows["local_ts_ns"] - rows["ts_ns"])[rows["local_ts_ns"] >= 0]


def orders_of(market: MarketData, symbol: str) -> pd.DataFrame:
    """Marketable orders put together from the prints of one symbol, a row an order.

    Consecutive prints with one stamp and one (known) aggressor are one order: two of one side in
    one millisecond become one. ``ts_ns`` is 1 ns before the stamp. ``average_price`` is harmonic
    for inverse instruments. Empty where the symbol lacks prints or a depth that lasts as long;
    orders before the first depth (or quote, if there are any) are left out.
    """
    if market.depth is None or market.prints is None:
        return pd.DataFrame()
    if choose_fidelity(market, symbol, "auto") != "depth":  # a lone snapshot is no book
        return pd.DataFrame()
    books = [t.of(symbol) for t in (market.depth, market.quotes) if t is not None]
    prints = market.prints.of(symbol)
    prints = prints.cut((prints["off_book"] == 0) & (prints["aggressor"] != UNKNOWN))
    ts, aggressor = prints["ts_ns"], prints["aggressor"]
    starts = np.flatnonzero(np.append(True, (np.diff(ts) != 0) | (np.diff(aggressor) != 0)))
    if not len(ts):
        return pd.DataFrame()
    price, quantity = prints["price"], prints["quantity"]
    instrument = market.instruments[symbol]
    # quantities are sums of floats: back to the lot
    total = np.round(np.add.reduceat(quantity, starts), instrument.quantity_decimals)
    inverse = instrument.kind == "inverse"
    worth = np.add.reduceat(quantity / price if inverse else quantity * price, starts)
    ends = np.append(starts[1:], len(ts)) - 1
    frame = pd.DataFrame(
        {
            "ts_ns": ts[starts] - 1,
            "symbol": symbol,
            "side": np.where(aggressor[starts] == 0, "buy", "sell"),
            "quantity": total,
            "average_price": total / worth if inverse else worth / total,
            "sweep": price[starts] != price[ends],
            "first_trade_id": prints.get("trade_id", np.full(len(ts), -1))[starts],
        }
    )
    first = max(int(rows["ts_ns"][0]) for rows in books if len(rows))
    return frame[frame["ts_ns"] >= first].reset_index(drop=True)


def _recording(
    label: str, market: MarketData, made: pd.DataFrame, given: list[pd.DataFrame], quick: bool
) -> Recording:
    orders, published, too_early = _published(made, given)
    symbol = orders["symbol"].iloc[0]
    sign = np.where(orders["side"] == "buy", 1.0, -1.0)
    better = market.aligned()
    known = features(orders, better, aligned=True)
    if not published:
        orders = orders.assign(arrival_mid=known["mid"].to_numpy())
    mid = orders["arrival_mid"].to_numpy()

    def cost(price: np.ndarray) -> np.ndarray:
        return sign * (price / mid - 1.0) * 1e4

    orders = orders.assign(paid_cost_bps=cost(orders["average_price"].to_numpy()))
    predicted = {}
    if "walk_cost_bps" in orders:
        predicted["walk"] = orders["walk_cost_bps"].to_numpy()
    else:
        bare = (orders["ts_ns"].to_numpy(), sign > 0, orders["quantity"].to_numpy())
        predicted["walk"] = cost(walks(market, symbol, *bare, prints=False).average)
    if not quick:
        for name, data, fill in (
            ("simulate", market, QUEUE),
            ("simulate_aligned", better, QUEUE),
            ("simulate_replay", better, REPLAY),
        ):
            predicted[name] = cost(_simulated(orders, data, fill))
    predicted["aligned_walk"] = known["walk_cost_bps"].to_numpy()
    return Recording(label, published, too_early, orders, known, predicted)


def _published(made: pd.DataFrame, given: list[pd.DataFrame]) -> tuple[pd.DataFrame, bool, int]:
    """The given orders of the same first print ids and times, if there are any, else `made`;
    whether they were given, and how many of them are not among `made`."""
    stamp = (made["ts_ns"] + 1) // NS_PER_MS
    own = pd.MultiIndex.from_arrays([made["first_trade_id"], stamp])
    for frame in given:
        theirs = pd.MultiIndex.from_arrays([frame["first_trade_id"], frame["transact_time_ms"]])
        at = own.get_indexer(theirs)
        if (at >= 0).mean() > 0.5:  # the first few may lie before the first book
            rows, orders = frame[at >= 0], made.iloc[at[at >= 0]]
            columns = {
                "quantity": np.round(rows["qty"].to_numpy(), 12),
                "average_price": rows["vwap"].to_numpy(),
                "arrival_mid": rows["arrival_mid"].to_numpy(),
            }
            if "walk_slip_bps" in rows:
                columns["walk_cost_bps"] = rows["walk_slip_bps"].to_numpy()
            return orders.assign(**columns).reset_index(drop=True), True, len(frame) - len(rows)
    return made, False, 0


def _simulated(orders: pd.DataFrame, market: MarketData, fill: FillModel) -> np.ndarray:
    """Average price of each as a market order of one run."""
    wanted = orders[["ts_ns", "symbol", "side", "quantity"]].assign(
        order_type="market",
        time_in_force="IOC",
        client_order_id=[str(row) for row in range(len(orders))],
    )
    filled = simulate(wanted, market, fill=fill, progress=False).orders
    return np.asarray(filled["average_price"].to_numpy(dtype=np.float64))
