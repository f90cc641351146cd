"""From journal rows and simulation frames to Arrow tables with the columns of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from execkit.clock import column_to_ns
from execkit.errors import InvalidData, InvalidInput
from execkit.journal import Record
from execkit.schema import ALIASES, FLAG, INT, REAL, ROUTES, TABLES, TEXT

ARROW = {TEXT: pa.string(), REAL: pa.float64(), INT: pa.int64(), FLAG: pa.bool_()}
QUOTE_CURRENCIES = (
    "USDT",
    "USDC",
    "FDUSD",
    "BUSD",
    "TUSD",
    "DAI",
    "USD",
    "EUR",
    "GBP",
    "BTC",
    "ETH",
)
_CURRENCIES = ("base_currency", "quote_currency")
_OWN_NAMES = frozenset({"event_id", "run_id", "client_order_id", "payload"})


def currencies(symbol: str | None) -> tuple[str | None, str | None]:
    """(base, quote) of a symbol such as BTCUSDT, BTC/USDT or BTCUSDT:USDT; None where unsure."""
    bare = (symbol or "").partition(":")[0].removesuffix("_PERP")
    if "/" in bare:
        base, _, quote = bare.partition("/")
        return base, quote
    for quote in QUOTE_CURRENCIES:
        if bare.endswith(quote) and len(bare) > len(quote):
            return bare.removesuffix(quote), quote
    return None, None


def prepare(records: Iterable[Record]) -> dict[str, pa.Table]:
    """One Arrow table per store table, with the rows that `records` put into it.

    Raises `InvalidData` naming the journal row whose payload does not fit its column.
    """
    rows: dict[str, list[list[Any]]] = {name: [] for name in TABLES}
    for record in records:
        for table in ROUTES[record.kind]:
            rows[table].append(_row(table, record))
    return {
        name: _arrow(name, list(zip(*data, strict=True))) for name, data in rows.items() if data
    }


def _row(table: str, record: Record) -> list[Any]:
    payload = record.payload
    out: list[Any] = []
    for column, kind in TABLES[table].items():
        value: object
        if column in _OWN_NAMES:
            value = _own(column, record)
        elif column == "kind":
            value = record.kind
        else:
            value = payload.get(column)
            for alias in ALIASES.get((table, column), ()):
                if value is None:
                    value = payload.get(alias)
            if value is None or (value == "" and column in _CURRENCIES):
                value = _fallback(table, column, record)
        try:
            out.append(None if value is None else _CONVERT[kind](value))
        except (TypeError, ValueError):
            raise InvalidData(
                f"journal row {record.seq} ({record.kind}): {column} = {value!r} does not fit "
                f"{table}.{column}; the row stays in the journal and blocks the ingest"
            ) from None
    return out


def _own(column: str, record: Record) -> str | None:
    if column == "event_id":
        return record.event_id
    if column == "payload":
        return json.dumps(record.payload, sort_keys=True, separators=(",", ":"))
    if column == "run_id":
        return record.run_id or str(record.payload.get("run_id") or "")
    return record.client_order_id or record.payload.get("client_order_id")


def _fallback(table: str, column: str, record: Record) -> object:
    """What a column means where the payload is silent; None where silence is NULL."""
    payload = record.payload
    if column == "seq":
        return record.seq
    if column in ("venue", "symbol"):
        return ""
    if column in ("ts_ns", "decision_ts_ns"):
        return record.ts_ns
    if table == "fills" and column == "fill_id":
        return record.event_id
    if table == "runs":
        if column == "journal_id":
            return record.event_id.partition("-")[0]
        if column == "market_id":
            return market_of(str(payload.get("mode")), record.run_id or payload.get("run_id"))
        return record.ts_ns if column == "started_ns" else None
    if column == "base_currency":
        return currencies(payload.get("symbol"))[0]
    if column == "quote_currency":
        return currencies(payload.get("symbol"))[1]
    if table == "order_events" and column == "arrival_ts_ns" and record.kind == "accepted":
        found = payload.get("venue_ts_ns")
        return record.ts_ns if found is None else found
    return None


def market_of(mode: str, run_id: object) -> str:
    """Which market a run is measured against unless it says so: the venue's own one in demo and
    live, shared by all runs; in paper the one of the run."""
    return mode if mode in ("live", "demo") else str(run_id)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return str(value)


def _whole(value: Any) -> int:
    number = int(value)
    if number != float(value) and not isinstance(value, (int, str)):
        raise ValueError
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, (bool, int)):
        raise TypeError
    return bool(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {TEXT: _text, REAL: float, INT: _whole, FLAG: _flag}


def _arrow(table: str, columns: list[tuple[Any, ...]]) -> pa.Table:
    kinds = TABLES[table]
    arrays = [
        pa.array(values, ARROW[kind]) for values, kind in zip(columns, kinds.values(), strict=True)
    ]
    return pa.table(arrays, names=list(kinds))


def frame_to_arrow(table: str, frame: pd.DataFrame, constants: Mapping[str, object]) -> pa.Table:
    """A simulation frame as rows of `table`; columns that the table does not know are left out.

    `constants` fill columns that the frame lacks. Categoricals become text, integer ids text,
    NaN NULL. Raises `InvalidInput` naming the column that does not fit.
    """
    arrays, names, n = [], [], len(frame)
    for column, kind in TABLES[table].items():
        source = next(
            (c for c in (column, *ALIASES.get((table, column), ())) if c in frame.columns), None
        )
        if source is not None:
            arrays.append(_convert(f"{table}.{source}", frame[source], kind))
        elif constants.get(column) is not None:
            arrays.append(pa.repeat(pa.scalar(constants[column], ARROW[kind]), n))
        else:
            arrays.append(pa.nulls(n, ARROW[kind]))
        names.append(column)
    return pa.table(arrays, names=names)


def _convert(name: str, series: pd.Series, kind: str) -> pa.Array:
    if kind == INT and isinstance(series.dtype, pd.DatetimeTZDtype):
        return pa.array(column_to_ns(series, name))
    try:
        if kind == REAL:
            values = pd.to_numeric(series.astype("float64")).to_numpy()
            return pa.array(values, pa.float64(), from_pandas=True)
        if kind == TEXT and series.dtype == object:
            series = series.map(lambda v: None if v is None or v != v else str(v))
        array = pa.array(series, from_pandas=True)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        return array.cast(ARROW[kind])
    except (pa.ArrowException, TypeError, ValueError) as error:
        first = series.iloc[0] if len(series) else None
        raise InvalidInput(name, first, f"does not fit a column of {kind} ({error})") from None


def empty(table: str) -> pa.Table:
    """No rows of `table`."""
    return pa.schema([(c, ARROW[k]) for c, k in TABLES[table].items()]).empty_table()


def simulated(table: str, frame: pd.DataFrame, run: Mapping[str, object]) -> pa.Table:
    """A frame of a simulated run as rows of `table`: ids and currencies made where absent."""
    position = np.arange(len(frame))
    extra: dict[str, object] = {}
    if "seq" in TABLES[table] and "seq" not in frame.columns:
        extra["seq"] = position
    if table == "fills" and "fill_id" not in frame.columns:
        extra["fill_id"] = position
    if table == "orders" and "quote_currency" not in frame.columns:
        symbols = frame["symbol"].astype(str) if "symbol" in frame.columns else pd.Series([""])
        split = {symbol: currencies(symbol) for symbol in symbols.unique()}
        for place, column in enumerate(_CURRENCIES):
            pairs = {symbol: both[place] for symbol, both in split.items()}
            extra[column] = symbols.map(pairs) if len(symbols) == len(frame) else None
    out = frame_to_arrow(table, frame.assign(**extra), {"symbol": "", **run})  # type: ignore[arg-type]
    for column in ("symbol", "venue"):
        if column in out.column_names:
            at = out.column_names.index(column)
            out = out.set_column(at, column, pc.fill_null(out.column(column), ""))
    return out


def check_simulation(orders: pd.DataFrame, fills: pd.DataFrame) -> None:
    """Refuse frames that name an order twice, or a fill of an order that is not there."""
    for name, frame in (("orders", orders), ("fills", fills)):
        if "client_order_id" not in frame.columns:
            raise InvalidInput(f"{name}.client_order_id", None, "the column is missing; add it")
    twice = orders["client_order_id"].duplicated().to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        value = orders["client_order_id"].iloc[row]
        raise InvalidInput(
            "orders.client_order_id", value, "occurs twice; make ids unique", row=row
        )
    known = fills["client_order_id"].isin(orders["client_order_id"]).to_numpy()
    if not known.all():
        row = int(np.argmin(known))
        value = fills["client_order_id"].iloc[row]
        raise InvalidInput("fills.client_order_id", value, "there is no such order", row=row)
