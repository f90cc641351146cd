"""The analytic tables: their columns, the DDL made from them, and which journal rows fill them.

Prices and quantities are DOUBLE here and exact text in the journal. Ids and words are VARCHAR,
times BIGINT UTC nanoseconds. Every table carries `run_id` and `mode`. `market_id` names the market
data that a run saw: quotes, prints and funding belong to a market, and `runs.market_id` says which
one a run is measured against (live and demo runs share the venue's; a replay has its own unless
told). `event_id` is ``<journal_id>-<seq>`` for rows that came from a journal and NULL for simulated
ones.
"""

from __future__ import annotations

from execkit.metrics import markouts, slippage

SCHEMA_VERSION = 2

TEXT, REAL, INT, FLAG = "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN"


def _columns(**groups: str) -> dict[str, str]:
    """Column -> type, in the order given; each value is 'TYPE name name ...' ."""
    out: dict[str, str] = {}
    for group in groups.values():
        kind, *names = group.split()
        out.update(dict.fromkeys(names, kind))
    return out


TABLES: dict[str, dict[str, str]] = {
    "runs": _columns(
        a=f"{TEXT} run_id mode venue strategy_id market_id",
        b=f"{INT} started_ns",
        c=f"{TEXT} params versions journal_id event_id",
    ),
    "signals": _columns(
        a=f"{TEXT} event_id run_id mode signal_id strategy_id venue symbol action order_type",
        b=f"{INT} ts_ns",
        c=f"{REAL} quantity price stop_loss take_profit confidence",
        d=f"{TEXT} client_order_id payload",
    ),
    "orders": _columns(
        a=f"{TEXT} event_id run_id mode client_order_id venue_order_id parent_order_id",
        b=f"{TEXT} strategy_id signal_id oco_group venue symbol base_currency quote_currency",
        c=f"{TEXT} contract_kind",
        d=f"{REAL} contract_size",
        e=f"{TEXT} side order_type",
        f=f"{REAL} quantity price stop_price trail_bps",
        g=f"{TEXT} time_in_force",
        h=f"{INT} expire_ts_ns cancel_ts_ns",
        i=f"{FLAG} post_only reduce_only",
        j=f"{INT} ts_ns decision_ts_ns arrival_ts_ns done_ts_ns",
        k=f"{REAL} decision_price arrival_price",
        m=f"{TEXT} status reason code",
        n=f"{REAL} filled_quantity average_price",
        o=f"{INT} seq",
    ),
    "order_events": _columns(
        a=f"{TEXT} event_id run_id mode client_order_id kind venue_order_id",
        b=f"{INT} seq ts_ns venue_ts_ns local_ts_ns arrival_ts_ns",
        c=f"{REAL} arrival_price",
        d=f"{TEXT} reason code payload",
    ),
    "fills": _columns(
        a=f"{TEXT} event_id fill_id client_order_id parent_order_id run_id mode venue symbol side",
        b=f"{REAL} quantity price",
        c=f"{TEXT} liquidity",
        d=f"{REAL} fee",
        e=f"{TEXT} fee_currency",
        f=f"{INT} venue_ts_ns local_ts_ns seq",
    ),
    "positions": _columns(
        a=f"{TEXT} event_id run_id mode venue symbol strategy_id",
        b=f"{INT} ts_ns",
        c=f"{REAL} quantity average_price realised_pnl unrealised_pnl",
    ),
    "equity": _columns(
        a=f"{TEXT} event_id run_id mode currency",
        b=f"{INT} ts_ns",
        c=f"{REAL} cash position_value equity drawdown",
    ),
    "quotes": _columns(
        a=f"{TEXT} event_id run_id mode market_id symbol venue",
        b=f"{INT} ts_ns local_ts_ns seq",
        c=f"{REAL} bid ask bid_quantity ask_quantity last",
    ),
    "prints": _columns(
        a=f"{TEXT} event_id run_id mode market_id symbol venue",
        b=f"{INT} ts_ns local_ts_ns seq",
        c=f"{REAL} price quantity",
        d=f"{TEXT} aggressor",
    ),
    "funding": _columns(
        a=f"{TEXT} event_id run_id mode market_id symbol venue",
        b=f"{INT} ts_ns",
        c=f"{REAL} rate mark",
    ),
    "risk_events": _columns(
        a=f"{TEXT} event_id run_id mode kind client_order_id symbol code reason",
        b=f"{INT} ts_ns",
        c=f"{TEXT} observed limit_value payload",
    ),
    "calibrations": _columns(
        a=f"{TEXT} event_id run_id mode calibration_id venue symbol model",
        b=f"{INT} ts_ns window_start_ns window_end_ns n",
        c=f"{TEXT} params errors data_hash",
    ),
}

"""What columns mean, the same for every source:

orders : `ts_ns` and `decision_ts_ns` when it was decided, `arrival_ts_ns` when the venue had it;
    `decision_price`, `arrival_price` the mids of those moments (on bars and prints the last price).
fills : `fee` in `fee_currency`, positive = paid, negative = rebate.
positions : one row after each change. `quantity` signed, negative = short; `average_price` of what
    is held; `realised_pnl` the sum since the run began, without fees; `unrealised_pnl` of what is
    held at the mark of that moment. Both in the settlement currency of the symbol.
equity : one row per `currency` and moment, all numbers in that currency. `equity` what the account
    is worth: starting equity + realised + unrealised profit - fees (a simulation starts from 0);
    `position_value` the unrealised profit in it; `cash` = equity - position_value; `drawdown` = the
    highest equity so far - equity, >= 0, in currency and no fraction.
quotes : the quotes that look-ups of the run can hit, not the whole feed; `last` where there was no
    book to see.
"""

WATERMARKS = {"journal_id": TEXT, "seq": INT, "hash": TEXT}

ROUTES: dict[str, tuple[str, ...]] = {
    "run": ("runs",),
    "signal": ("signals",),
    "intent": ("orders", "order_events"),
    "refused": ("order_events", "risk_events"),
    "fill": ("fills",),
    "position": ("positions",),
    "equity": ("equity",),
    "quote": ("quotes",),
    "risk": ("risk_events",),
    "command": ("risk_events",),
    **dict.fromkeys(("sending", "accepted", "triggered", "cancel_requested"), ("order_events",)),
    **dict.fromkeys(("cancel_failed", "canceled", "expired"), ("order_events",)),
    **dict.fromkeys(("rejected", "unknown"), ("order_events",)),
}
"""Journal kind -> the tables that get a row from it."""

ALIASES: dict[tuple[str, str], tuple[str, ...]] = {
    ("orders", "ts_ns"): ("decision_ts_ns", "created_ts_ns"),
    ("orders", "decision_ts_ns"): ("ts_ns", "created_ts_ns"),
    ("orders", "arrival_ts_ns"): ("accepted_ts_ns",),
    ("orders", "average_price"): ("average_filled_price",),
    ("orders", "contract_kind"): ("kind",),
    ("orders", "base_currency"): ("base",),
    ("orders", "quote_currency"): ("quote",),
    ("order_events", "arrival_ts_ns"): ("accepted_ts_ns",),
    ("quotes", "ts_ns"): ("ts", "venue_ts_ns"),
    ("risk_events", "limit_value"): ("limit",),
}
"""Other names under which a payload or a frame may carry a column, tried in this order."""

DEFAULT_MAX_AGE_NS = 10_000_000_000
"""How old a quote may be and still be the price of the moment, in the plain views."""


def ddl() -> list[str]:
    """Statements that make an empty store."""
    out = [_create("meta", {"key": TEXT, "value": TEXT}), _create("watermarks", WATERMARKS)]
    out += [_create(name, columns) for name, columns in TABLES.items()]
    out.append(f"INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}')")
    return out + views()


def views() -> list[str]:
    """Views and macros, replaced at each change of the schema; the same SQL for every mode."""
    out = [slippage.RATIO_MACRO]
    for name, body in (
        ("slippage_by_fill", slippage.BY_FILL),
        ("slippage", slippage.PER_ORDER),
        ("markouts", markouts.MARKOUTS),
    ):
        out.append(f"CREATE OR REPLACE MACRO {name}_within(max_age_ns) AS TABLE {body}")
        out.append(
            f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {name}_within({DEFAULT_MAX_AGE_NS})"
        )
    out.append(f"CREATE OR REPLACE VIEW slippage_summary AS {slippage.SUMMARY}")
    return out


def _create(name: str, columns: dict[str, str]) -> str:
    inside = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    return f"CREATE TABLE {name} ({inside})"
