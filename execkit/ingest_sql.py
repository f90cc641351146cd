"""The SQL that files prepared rows, derives the state of orders, and compares store and journal.

Statements read the relations ``staged_<table>`` that `execkit.ingest.prepare` makes.
"""

from __future__ import annotations

from collections.abc import Iterable

OWNERS = """
CREATE OR REPLACE TEMP TABLE owners AS
WITH seen AS (
    SELECT DISTINCT run_id, client_order_id FROM (
        SELECT run_id, client_order_id FROM staged_order_events
        UNION ALL SELECT run_id, client_order_id FROM staged_fills)
    WHERE client_order_id IS NOT NULL)
SELECT s.run_id, s.client_order_id, any_value(o.mode) AS mode, count(o.run_id) = 0 AS orphan,
    coalesce(max(o.run_id) FILTER (o.run_id = s.run_id), arg_max(o.run_id, o.seq), s.run_id)
        AS order_run_id
FROM seen s LEFT JOIN (SELECT * FROM orders WHERE starts_with(event_id, $journal_id)) o
    ON o.client_order_id = s.client_order_id
GROUP BY s.run_id, s.client_order_id"""
"""An order belongs to the run that meant it. Events that a later run journals (after a restart)
join it there: the order of the same run if there is one, else the newest of that id."""

REPLACED = """
CREATE TEMP TABLE replaced AS
SELECT run_id FROM old.runs WHERE journal_id IS NULL INTERSECT SELECT run_id FROM runs"""
"""Simulated runs of an old file whose names the journal's runs in the fresh one have."""


NAME_TAKEN = (
    "a simulated run here has this name; save it again under another if you need it, then "
    "`execkit store rebuild` gives the name to the journal's run"
)


def names_taken(staged: Iterable[str]) -> str:
    """Names of runs in what is staged that a simulated run has already."""
    seen = " UNION ".join(f"SELECT run_id FROM staged_{name}" for name in staged)
    return (
        f"SELECT run_id FROM ({seen}) SEMI JOIN (FROM runs WHERE journal_id IS NULL) USING (run_id)"
    )


RUNS = """
CREATE OR REPLACE TEMP TABLE new_runs AS
WITH said AS (SELECT * FROM staged_runs QUALIFY row_number() OVER (
    PARTITION BY run_id ORDER BY started_ns DESC) = 1)
SELECT s.run_id, coalesce(s.mode, r.mode) AS mode,
    coalesce(nullif(s.venue, ''), r.venue, '') AS venue,
    coalesce(s.strategy_id, r.strategy_id) AS strategy_id,
    coalesce(s.market_id, r.market_id) AS market_id,
    coalesce(r.started_ns, s.started_ns) AS started_ns, coalesce(s.params, r.params) AS params,
    coalesce(s.versions, r.versions) AS versions, s.journal_id, coalesce(r.event_id, s.event_id)
        AS event_id
FROM said s LEFT JOIN runs r USING (run_id);
DELETE FROM runs WHERE run_id IN (SELECT run_id FROM new_runs);
INSERT INTO runs BY NAME SELECT * FROM new_runs"""
"""A run that is journalled again adds what it knows; the first start stays its start."""


def stub_runs(staged: Iterable[str]) -> str:
    """Rows for runs that nobody announced, so that each row has its run."""
    stamp = {"runs": "started_ns", "fills": "local_ts_ns"}
    seen = " UNION ALL ".join(
        f"SELECT run_id, {'NULL' if name == 'order_events' else 'mode'} AS mode, "
        f"{stamp.get(name, 'ts_ns')} AS ts_ns FROM staged_{name}"
        for name in staged
    )
    return f"""
INSERT INTO runs BY NAME
SELECT run_id, any_value(mode) AS mode, '' AS venue, min(ts_ns) AS started_ns,
    CASE WHEN any_value(mode) IN ('live', 'demo') THEN any_value(mode) ELSE run_id END AS market_id,
    $journal_id AS journal_id
FROM ({seen}) WHERE run_id NOT IN (SELECT run_id FROM runs) GROUP BY run_id"""


ORDERS = """
INSERT INTO orders BY NAME
SELECT s.* REPLACE (coalesce(s.mode, r.mode) AS mode) FROM staged_orders s
LEFT JOIN runs r USING (run_id)
ANTI JOIN orders o ON o.run_id = s.run_id AND o.client_order_id = s.client_order_id
QUALIFY row_number() OVER (PARTITION BY s.run_id, s.client_order_id ORDER BY s.seq) = 1"""

ORDER_EVENTS = """
INSERT INTO order_events BY NAME
SELECT s.* REPLACE (coalesce(w.order_run_id, s.run_id) AS run_id,
    coalesce(s.mode, w.mode, r.mode) AS mode)
FROM staged_order_events s LEFT JOIN owners w USING (run_id, client_order_id)
LEFT JOIN runs r ON r.run_id = s.run_id"""

NEW_FILLS = """
CREATE OR REPLACE TEMP TABLE new_fills AS
SELECT s.* REPLACE (coalesce(w.order_run_id, s.run_id) AS run_id,
    coalesce(s.mode, w.mode, r.mode) AS mode), coalesce(w.orphan, true) AS orphan
FROM staged_fills s LEFT JOIN owners w USING (run_id, client_order_id)
LEFT JOIN runs r ON r.run_id = s.run_id"""

KNOWN_ORPHANS = """
DELETE FROM new_fills n WHERE orphan AND EXISTS (
    SELECT 1 FROM fills f WHERE f.fill_id = n.fill_id AND f.venue = n.venue
    AND f.symbol = n.symbol AND starts_with(f.event_id, $journal_id)
    AND coalesce(f.client_order_id, '') = coalesce(n.client_order_id, ''))"""

FILLS = """
INSERT INTO fills BY NAME
SELECT n.* EXCLUDE (orphan) FROM new_fills n
ANTI JOIN fills f ON f.run_id = n.run_id AND f.fill_id = n.fill_id AND f.venue = n.venue
    AND f.symbol = n.symbol AND coalesce(f.client_order_id, '') = coalesce(n.client_order_id, '')
QUALIFY row_number() OVER (
    PARTITION BY CASE WHEN orphan THEN '' ELSE n.run_id END, n.venue, n.symbol, n.client_order_id,
        n.fill_id ORDER BY n.seq) = 1"""
"""A fill that a venue delivered twice is one fill; of an order known to us, within its run."""

MARKET = """
INSERT INTO {table} BY NAME
SELECT s.* REPLACE (coalesce(s.mode, r.mode) AS mode,
    coalesce(s.market_id, r.market_id, s.run_id) AS market_id)
FROM staged_{table} s LEFT JOIN runs r USING (run_id)"""

PLAIN = """
INSERT INTO {table} BY NAME SELECT s.* REPLACE (coalesce(s.mode, r.mode) AS mode)
FROM staged_{table} s LEFT JOIN runs r USING (run_id)"""

STATES = """
CREATE OR REPLACE TEMP TABLE facts AS
WITH touched AS (
    SELECT DISTINCT order_run_id AS run_id, client_order_id FROM owners WHERE NOT orphan),
e AS (
    SELECT run_id, client_order_id,
        max(seq) FILTER (NOT starts_with(kind, 'cancel_')) AS last_seq,
        CASE arg_max(kind, seq) WHEN 'cancel_failed'  -- as if it had not been asked for
            THEN arg_max(kind, seq) FILTER (NOT starts_with(kind, 'cancel_'))
            ELSE arg_max(kind, seq) END AS last_kind,
        arg_max(kind, seq) FILTER (kind IN ('canceled', 'expired', 'refused')) AS ended,
        arg_max(ts_ns, seq) FILTER (kind IN ('canceled', 'expired', 'refused', 'rejected'))
            AS ended_ts_ns,
        max(venue_order_id) AS venue_order_id, min(arrival_ts_ns) AS arrival_ts_ns,
        arg_min(arrival_price, seq) AS arrival_price,
        arg_max(reason, seq) FILTER (reason <> '') AS reason,
        arg_max(code, seq) FILTER (code <> '') AS code
    FROM order_events SEMI JOIN touched USING (run_id, client_order_id)
    GROUP BY run_id, client_order_id),
f AS (
    SELECT run_id, client_order_id, max(seq) AS fill_seq, sum(quantity) AS filled,
        sum(quantity * price) / sum(quantity) AS linear_price,
        sum(quantity) / sum(quantity / price) AS inverse_price, max(local_ts_ns) AS last_ts_ns
    FROM fills SEMI JOIN touched USING (run_id, client_order_id)
    GROUP BY run_id, client_order_id)
SELECT *, coalesce(filled, 0) AS filled_quantity FROM touched
LEFT JOIN e USING (run_id, client_order_id) LEFT JOIN f USING (run_id, client_order_id);
UPDATE orders o SET
    status = CASE
        WHEN x.filled_quantity >= o.quantity * (1 - 1e-12) THEN 'filled'
        WHEN x.ended IS NOT NULL THEN x.ended
        WHEN x.last_kind = 'cancel_requested' THEN 'cancel_pending'
        WHEN x.last_kind = 'unknown' AND coalesce(x.fill_seq, 0) < x.last_seq THEN 'unknown'
        WHEN x.filled_quantity > 0 THEN 'partially_filled'
        WHEN x.last_kind IN ('accepted', 'triggered') THEN 'open'
        ELSE x.last_kind END,
    filled_quantity = x.filled_quantity,
    average_price = CASE WHEN o.contract_kind = 'inverse' THEN x.inverse_price
                         ELSE x.linear_price END,
    venue_order_id = coalesce(x.venue_order_id, o.venue_order_id),
    arrival_ts_ns = coalesce(o.arrival_ts_ns, x.arrival_ts_ns),
    arrival_price = coalesce(o.arrival_price, x.arrival_price),
    done_ts_ns = CASE WHEN x.filled_quantity >= o.quantity * (1 - 1e-12) THEN x.last_ts_ns
                      ELSE x.ended_ts_ns END,
    reason = coalesce(x.reason, o.reason), code = coalesce(x.code, o.code)
FROM facts x WHERE x.run_id = o.run_id AND x.client_order_id = o.client_order_id"""
"""State of the touched orders: venue evidence in journal order, and fills win over everything."""

SIMULATED_STATES = """
UPDATE orders o SET
    filled_quantity = coalesce(o.filled_quantity, f.filled, 0),
    average_price = coalesce(o.average_price, CASE WHEN o.contract_kind = 'inverse'
        THEN f.inverse_price ELSE f.linear_price END),
    status = coalesce(o.status, CASE WHEN f.filled >= o.quantity * (1 - 1e-12) THEN 'filled' END)
FROM (
    SELECT w.client_order_id, sum(f.quantity) AS filled,
        sum(f.quantity * f.price) / sum(f.quantity) AS linear_price,
        sum(f.quantity) / sum(f.quantity / f.price) AS inverse_price
    FROM orders w LEFT JOIN fills f USING (run_id, client_order_id)
    WHERE w.run_id = $run_id GROUP BY w.client_order_id) f
WHERE o.run_id = $run_id AND o.client_order_id = f.client_order_id"""
"""What a simulation did not say of its orders, from its fills."""

_COMPARED = "event_id, client_order_id, venue, symbol, side, quantity, price"

COMPARE = f"""
WITH stored AS (
    SELECT 'fills' AS kind, {_COMPARED}, fill_id, fee, fee_currency, venue_ts_ns FROM fills
    WHERE starts_with(event_id, $journal_id || '-')
    UNION ALL
    SELECT 'orders', {_COMPARED}, '', NULL, NULL, ts_ns FROM orders
    WHERE starts_with(event_id, $journal_id || '-')),
once AS (SELECT kind, event_id, count(*) AS n FROM stored GROUP BY ALL),
keys AS (SELECT DISTINCT kind, venue, symbol, client_order_id, fill_id FROM stored),
lacking AS (
    SELECT e.*, k.kind IS NOT NULL AS repeated
    FROM (SELECT * FROM expected ANTI JOIN once USING (kind, event_id)) e
    LEFT JOIN keys k ON k.kind = e.kind AND k.venue = e.venue AND k.symbol = e.symbol
        AND k.fill_id = e.fill_id
        AND k.client_order_id IS NOT DISTINCT FROM e.client_order_id),
tally AS (
    SELECT kind AS name, count(*) AS n FROM expected GROUP BY kind
    UNION ALL SELECT 'missing', count(*) FROM lacking WHERE NOT repeated
    UNION ALL SELECT 'repeated', count(*) FROM lacking WHERE repeated
    UNION ALL SELECT 'doubled', count(*) FROM once WHERE n > 1
    UNION ALL SELECT 'extra', count(*) FROM (
        SELECT * FROM once ANTI JOIN expected USING (kind, event_id))
    UNION ALL SELECT 'different', count(*) FROM (
        SELECT s.* FROM stored s SEMI JOIN expected USING (kind, event_id)
        EXCEPT SELECT e.* FROM expected e))
SELECT name, n FROM tally"""
"""Orders and fills of one journal against the table `expected`, made by `expected`."""

EXPECTED = f"""
CREATE TEMP TABLE expected AS
SELECT 'fills' AS kind, {_COMPARED}, fill_id, fee, fee_currency, venue_ts_ns FROM fills LIMIT 0"""

EXPECT = {
    "fills": f"""INSERT INTO expected SELECT 'fills', {_COMPARED}, fill_id, fee, fee_currency,
        venue_ts_ns FROM staged_fills""",
    "orders": f"INSERT INTO expected SELECT 'orders', {_COMPARED}, '', NULL, NULL, ts_ns "
    "FROM staged_orders",
}
