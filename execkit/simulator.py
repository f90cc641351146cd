"""simulate(): a table of orders and a market in, fills out; the rules are in `execkit.models`."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from execkit.arrays import fixed, is_one_value, one_value
from execkit.domain import Instrument
from execkit.errors import InvalidInput
from execkit.market import MarketData
from execkit.matching import direct
from execkit.matching import state as st
from execkit.matching.outcome import Columns, Found
from execkit.matching.tape import SymbolTape, TapeSource, build_tape
from execkit.matching.whole import LARGEST, to_whole
from execkit.metrics.markouts import HORIZONS_NS
from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.fee import FeeModel
from execkit.models.fill import FillModel, QueueModel, fill_model
from execkit.models.funding import funding_rates
from execkit.models.latency import LatencyModel, delayed, fixed_ns
from execkit.order_columns import GIVEN
from execkit.order_table import OrderTable, read_orders
from execkit.pressure import moved
from execkit.request import Part, Request
from execkit.results import SimulationResult

__all__ = ["SimulationResult", "model_arrays", "run_request", "simulate"]


def simulate(
    orders: object,
    market: MarketData | TapeSource,
    fill: str | FillModel = "queue",
    *,
    fee: FeeLike | None = None,
    latency: LatencyLike | None = None,
    impact: ImpactLike | None = None,
    seed: int = 0,
    fidelity: str | Mapping[str, str] = "auto",
    initial_positions: Mapping[str, float] | None = None,
    run_id: str | None = None,
    strategy_id: str = "",
    progress: bool | Callable[..., object] | None = None,
) -> SimulationResult:
    """What these orders would have filled at in this market.

    Parameters
    ----------
    orders : DataFrame, mapping of columns or list of mappings, one row per order, sorted by time;
        columns of `execkit.order_table`.
    market : what was recorded. Each symbol uses its best fidelity (depth, quotes, prints, bars)
        unless `fidelity` names one, for all or by symbol.
    fill : "queue" (default), "optimistic", "pessimistic", or a `FillModel`.
    fee : default no fees. latency : default none; see `execkit.models.latency`. An order that the
        venue does not take (`InterpolatedLatency`) is REJECTED (not_taken) when we are told, and a
        cancel that it does not take has not happened. seed : of the latency's draws.
    impact : default none; see `execkit.models.impact` and, for what it does to fills,
        `execkit.pressure`. Fills then have `impact_cost`.
    initial_positions : signed quantity held at the start, by symbol; matters to reduce_only.
    run_id : name of the run in the store; a random one if left out.
    progress : True shows a bar per symbol; None shows it for more than 50,000 orders.

    Returns
    -------
    SimulationResult : `.orders`, `.fills`, `.positions`, `.equity`, `.slippage()`, `.save(store)`,
        and `.band`: the same orders under the pessimistic, queue and optimistic models.

    Raises
    ------
    InvalidInput : the first bad row, its field and value; nothing is simulated.

    When it lies: see the end of `execkit.models`. Orders do not move the market that they are
    matched in; `impact` only makes later fills of a parent dearer.
    """
    model = fill_model(fill)
    _check_types(market, fee, latency, impact, seed)
    table = read_orders(orders, market.symbols)
    start = _positions(initial_positions or {}, market)
    delays = latency or LatencyModel()
    seed = int(seed)  # numbers of numpy wrap
    arrival, cancel, lost = _arrivals(table, delays, seed)
    tapes = {s: build_tape(market, s, _choice(fidelity, s)) for s in table.symbols}
    request = Request(
        run_id=run_id or f"sim-{uuid.uuid4().hex[:12]}",
        strategy_id=strategy_id,
        table=table,
        parts=[_prepare(table, code, tapes[s], lost) for code, s in enumerate(table.symbols)],
        arrival=arrival,
        cancel=cancel,
        lost_ns=lost,
        fee=fee or FeeModel(),
        latency=delays,
        seed=seed,
        start=start,
        impact=impact,
        funding=funding_rates(market, table.symbols),
    )
    show = len(table) > 50_000 if progress is None else bool(progress)
    return run_request(request, model, show=show)


def _check_types(
    market: object, fee: object, latency: object, impact: object, seed: object
) -> None:
    """The arguments are what their names say, before any of them is used."""
    wanted = (
        ("market", market, (MarketData, TapeSource), "pass a MarketData: MarketData.load(path)"),
        ("fee", fee, (FeeLike, type(None)), "pass a FeeModel(taker_bps=...)"),
        ("latency", latency, (LatencyLike, type(None)), "pass a LatencyModel(entry_ns=...)"),
        ("impact", impact, (ImpactLike, type(None)), "pass a SquareRootImpact(...)"),
        ("seed", seed, (int, np.integer), "pass a whole number"),
    )
    for name, value, kind, fix in wanted:
        if not isinstance(value, kind):
            raise InvalidInput(name, value, fix)


def run_request(request: Request, model: FillModel, *, show: bool = False) -> SimulationResult:
    """Match checked orders under a fill model; the same request may run under several."""
    bar: Any = None
    if show:
        from tqdm.auto import tqdm  # takes longer to import than many a simulation

        bar = tqdm(total=len(request.table), desc="simulate", unit="order")
    found = []
    for symbol, part in zip(request.table.symbols, request.parts, strict=True):
        if part.size:
            found.append(_match(request, part, model, symbol))
        if bar is not None:
            bar.update(part.size)
    if bar is not None:
        bar.close()
    columns = Columns.of(request, found)
    if any(part.market.pieces is not None for part in request.parts):
        request = replace(request, parts=_looked_up(request, columns))
    if request.impact is not None:
        columns = moved(request, columns, request.impact)
    return SimulationResult(request=request, model=model, columns=columns)


def _looked_up(request: Request, columns: Columns) -> list[Part]:
    """The parts with the reference prices that their orders and fills are measured against."""
    from execkit.matching import stream

    table, parts = request.table, []
    for code, part in enumerate(request.parts):
        own = columns.fill_ts[table.symbol[columns.fill_row] == code]
        rows = np.flatnonzero(table.symbol == code)
        decided = table.ts_ns[rows]
        moments = [own + horizon for horizon in HORIZONS_NS]
        moments += [columns.fill_ts, decided, request.arrival[part.rows]]
        moments.append(decided - request.latency.delay("feed", rows, request.seed, decided))
        moments += [rates.ts_ns for rates in request.funding.values()]
        at = np.concatenate(moments)
        parts.append(replace(part, looked_up=stream.reference_at(part.market, at)))
    return parts


def _match(request: Request, part: Part, model: FillModel, symbol: str) -> Found:
    """What became of one symbol's orders: looked up where that is enough, else replayed."""
    position = request.start.get(symbol, 0.0)
    if part.market.pieces is not None:
        from execkit.matching import stream

        return Found.of(stream.run(_load(request, part, model, position), part.market))
    if model.participation is not None:
        part.market.check_volume()
    found = direct.answer(request, part, model, position)
    return replayed(request, part, model, position) if found is None else found


def replayed(request: Request, part: Part, model: FillModel, position: float) -> Found:
    """What became of one symbol's orders, from the event loop. position : as of `direct.answer`."""
    from execkit.matching import loop  # a hundred kernels, which direct answers do without

    core = _load(request, part, model, position)
    core, _ = loop.run(core, part.market.tape, st.INF - 1)
    return Found.of(core)


def model_arrays(model: FillModel, market: SymbolTape) -> tuple[np.ndarray, np.ndarray]:
    """The model as the kernel's integer and float flags (order as in `matching.state`)."""
    fidelity = {
        "depth": st.F_DEPTH,
        "quotes": st.F_QUOTES,
        "prints": st.F_PRINTS,
        "bars": st.F_BARS,
    }
    tick = market.units.prices(np.array([float(market.instrument.tick_size)]))[0]
    flags = np.array(
        [
            fidelity[market.fidelity],
            model.touch,
            model.queue,
            model.through_full,
            model.prints_consume,
            model.intrabar == "pessimistic",
            model.ladder_levels if _tick_means_something(market) else 1,
            max(1, tick),
            get_args(QueueModel).index(model.queue_model),
        ],
        dtype=np.int64,
    )
    part = math.nan if model.participation is None else model.participation
    if model.participation is not None:
        market.check_volume()
    half, unit = model.half_spread_bps / 1e4, market.units.quantity
    floats = np.array([part, model.stop_slip, half, model.queue_power, unit])
    return flags, floats


def _tick_means_something(market: SymbolTape) -> bool:
    """A tick far below the price was not the market's: no grid was known, and a ladder of such
    steps would be free of cost."""
    if market.fidelity != "quotes":
        return True
    top = market.kept.once("top", lambda: int(market.tape.quotes[[0, 2]].max()))
    return float(market.instrument.tick_size) * market.units.price > 1e-7 * top


def _choice(fidelity: str | Mapping[str, str], symbol: str) -> str:
    return fidelity if isinstance(fidelity, str) else fidelity.get(symbol, "auto")


def _positions(given: Mapping[str, float], market: MarketData | TapeSource) -> dict[str, float]:
    for symbol, quantity in given.items():
        if symbol not in market.symbols:
            raise InvalidInput("initial_positions", symbol, f"use {', '.join(market.symbols)}")
        if not math.isfinite(quantity):
            raise InvalidInput("initial_positions", quantity, "pass a finite signed quantity")
    return dict(given)


def _arrivals(
    table: OrderTable, delays: LatencyLike, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When orders and their cancels reach the venue (GIVEN: never), and when we know that the venue
    did not take an order (GIVEN: it did)."""
    n, none, most = len(table), one_value(GIVEN, len(table)), np.iinfo(np.int64).max
    cancel, way = table.cancel_ts_ns, fixed_ns(delays, "cancel")
    if way is not None and fixed_ns(delays, "entry") is not None:
        arrival = delayed(delays, "entry", table.ts_ns, np.zeros(0, dtype=np.int64), seed)
        if is_one_value(cancel) and cancel[0] == GIVEN:
            return arrival, cancel, none
        # a cancel at the largest integer, which says "never", must not wrap round
        reached = np.maximum(np.minimum(cancel, most - way) + way, arrival)
        reached[cancel == GIVEN] = GIVEN
        return arrival, reached, none
    rows = np.arange(n)
    entry = delays.delay("entry", rows, seed, table.ts_ns)
    arrival = np.where(entry >= 0, table.ts_ns + entry, GIVEN)
    lost = none if (entry >= 0).all() else np.where(entry >= 0, GIVEN, table.ts_ns - entry)
    cancel = cancel.copy()
    asked = np.flatnonzero((cancel != GIVEN) & (entry >= 0))
    late = delays.delay("cancel", rows[asked], seed, cancel[asked])
    sent = np.minimum(cancel[asked], most - np.maximum(late, 0))
    cancel[asked] = np.where(late >= 0, np.maximum(sent + late, arrival[asked]), GIVEN)
    return arrival, cancel, lost


def _prepare(table: OrderTable, code: int, market: SymbolTape, lost: np.ndarray) -> Part:
    whole = len(table.symbols) == 1
    rows = slice(None) if whole else np.flatnonzero(table.symbol == code)
    _check_span(table, rows, market)
    columns = [_on_grid(table, rows, name, market) for name in ("price", "stop_price", "quantity")]
    if not is_one_value(lost) or lost[0] != GIVEN:
        chosen = np.arange(len(table))[rows]
        taken = lost[chosen] == GIVEN
        rows, columns = chosen[taken], [column[taken] for column in columns]
    limit, stop, quantity = columns
    size = len(quantity)
    return Part(size, None if isinstance(rows, slice) else rows, market, limit, stop, quantity)


def _check_span(table: OrderTable, rows: slice | np.ndarray, market: SymbolTape) -> None:
    ts = table.ts_ns[rows]
    first, last = market.ends_ns
    # an order decided when the last bar closed is a nanosecond later than that bar's end
    latest = last + 1 if market.fidelity == "bars" else last
    if first <= ts[0] and ts[-1] <= latest:  # they are sorted
        return
    row = int(np.flatnonzero((ts < first) | (ts > latest))[0])
    raise InvalidInput(
        "ts_ns",
        int(ts[row]),
        f"is outside the {market.fidelity} of {market.symbol}, which spans {first} to {last}"
        + _unit_hint(int(ts[row]), first),
        row=_row(rows, row),
    )


def _row(rows: slice | np.ndarray, at: int) -> int:
    """The row of the table that is the `at`-th of `rows`."""
    return at if isinstance(rows, slice) else int(rows[at])


def _unit_hint(ts_ns: int, first_ns: int) -> str:
    """What to say of a time that is off by a thousand or more: it was not nanoseconds."""
    for power, unit in ((10**9, "seconds"), (10**6, "milliseconds"), (10**3, "microseconds")):
        if ts_ns > 0 and 0.5 < ts_ns * power / max(first_ns, 1) < 2:
            return f"; it looks like {unit}, and ts_ns is nanoseconds"
    return ""


def _on_grid(
    table: OrderTable, rows: slice | np.ndarray, name: str, market: SymbolTape
) -> np.ndarray:
    """Integers of a price or quantity column; an off-grid value is refused, never rounded."""
    units, instrument = market.units, market.instrument
    column = getattr(table, name)
    values = column[:1] if is_one_value(column) else column[rows]
    step = instrument.lot_size if name == "quantity" else instrument.tick_size
    scale = units.quantity if name == "quantity" else units.price
    whole = np.empty(len(values), dtype=np.int64)
    at = to_whole(fixed(values), scale, max(1, round(float(step) * scale)), whole)
    if at >= 0:
        kind = "lot" if name == "quantity" else "tick"
        fix = "round it with the Instrument's quantize_price or quantize_quantity"
        if market.inferred:
            fix = "that is what the data shows, so give the market the venue's own Instrument"
        told = f"is not a multiple of the {kind} {step} of {instrument.symbol}: {fix}"
        if values[at] * scale > LARGEST:
            told = f"is more than {LARGEST / scale:.3g}, the most {name} of {instrument.symbol}"
        raise InvalidInput(name, float(values[at]), told, row=_row(rows, at))
    if name == "quantity":
        _check_minimum(values, table.price[rows], rows, instrument)
    if is_one_value(column):
        return one_value(whole[0], len(column) if isinstance(rows, slice) else len(rows))
    return whole


def _check_minimum(
    quantity: np.ndarray, price: np.ndarray, rows: slice | np.ndarray, instrument: Instrument
) -> None:
    """Minimum quantity, and minimum notional where the order has a price."""
    size = float(instrument.contract_size)
    for label in ("min_quantity", "min_notional"):
        least = getattr(instrument, label)
        if least is None:
            continue
        values = quantity
        if label == "min_notional":
            values = quantity * size if instrument.is_inverse else quantity * price * size
        low = np.flatnonzero(values < float(least))
        if len(low):
            at = int(low[0])
            raise InvalidInput(
                "quantity",
                float(quantity[min(at, len(quantity) - 1)]),
                f"is below the {label} {least} of {instrument.symbol}",
                row=_row(rows, at),
            )


def _load(request: Request, part: Part, model: FillModel, position: float) -> st.Core:
    """A Core that holds the orders and their own events, ready to run."""
    table, n = request.table, part.size
    given_groups = part.of(table.oco)
    groups, oco = np.unique(given_groups, return_inverse=True)
    oco = np.where(given_groups < 0, -1, oco)
    flags, floats = model_arrays(model, part.market)
    core = st.new_core(
        flags, floats, orders=n, groups=len(groups), levels=part.market.levels, log=4 * n + 1024
    )
    o = core.orders
    o[st.SIDE], o[st.TYPE] = part.of(table.side), part.of(table.order_type)
    o[st.TIF], o[st.POST] = part.of(table.time_in_force), part.of(table.post_only)
    o[st.REDUCE], o[st.OCO] = part.of(table.reduce_only), oco
    o[st.QTY], o[st.REM] = part.quantity, part.quantity
    o[st.LIMIT], o[st.STOP] = part.limit, part.stop
    o[st.EXPIRY] = part.of(table.expire_ts_ns)
    o[[st.WATER, st.TRIG_TS, st.DONE_TS, st.ARRIVAL]] = st.NONE
    core.trail[:] = np.nan_to_num(part.of(table.trail_bps)) / 1e4
    st.link_groups(core, n)
    times = [part.of(column) for column in (request.arrival, request.cancel, table.expire_ts_ns)]
    # what would happen after the end of the data is not known to have happened
    end = part.market.ends_ns[1]
    given = [(t != GIVEN) & (t <= end) for t in times]
    ts = np.concatenate([t[g] for t, g in zip(times, given, strict=True)])
    kind = np.concatenate([np.full(int(g.sum()), k) for k, g in enumerate(given)])
    row = np.concatenate([np.flatnonzero(g) for g in given])
    order = np.lexsort((row, kind, ts))
    core.own[0, : len(ts)], core.own[1, : len(ts)] = ts[order], kind[order]
    core.own[2, : len(ts)] = row[order]
    core.s[st.N_ORDERS], core.s[st.N_OWN] = n, len(ts)
    core.s[st.POSITION] = round(position * part.market.units.quantity)
    return core
