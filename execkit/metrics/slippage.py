"""Slippage of each order and each fill against decision and arrival, in SQL over the store.

Signs: ``*_cost_*`` positive = worse for us, on both sides. With s = +1 buy, -1 sell, fill price p,
benchmark B, m = contract size, and fills q_i at p_i:

- linear and spot: cost = s * m * sum q_i (p_i - B), in quote currency; notional = m * Q * B;
- inverse: cost = s * m * sum q_i (1/B - 1/p_i), in base currency; notional = m * sum q_i / p_i;
- bps = 1e4 * cost / notional, which is 1e4 * s * (average - B) / B in both cases, the average being
  harmonic for inverse contracts.

Stop orders (stop_market, stop_limit, trailing_stop) and members of an OCO group wait on purpose:
the mid at their decision or arrival is not the price they were meant to get, and the way of the
market to their level is no execution cost. Their delay, arrival, decision and total costs are NULL
with the reason `waits_on_purpose`; their fee cost stays. What a stop's fills cost against its
stop_price (`trigger_price`) is trigger cost, over the notional at that price; NULL for other
orders, and for a trailing stop, whose level at the trigger is not recorded (`trigger_reason`).
A stop_limit's trigger cost lies when it fills long after its trigger. A resting limit order alone
counts as any other order: mark a lone take profit by giving it an OCO group of its own.

decision cost = delay cost (arrival mid against decision mid) + arrival cost, exactly in currency;
total = decision + fee. Decision, delay, fee and total bps share the notional at the decision price,
so they add; arrival bps are of the notional at the arrival price. All are of the filled quantity:
what was not filled is the business of implementation shortfall. A group's bps are a ratio of sums:
``cost_bps(decision_cost_ccy, decision_notional)``.

Fees are converted at the moment of the fill: in the settlement currency as they are, base or quote
currency at the fill price, a third currency at the mid of its pair with the quote currency.
Whatever is missing gives NULL and a reason, never 0.
"""

from __future__ import annotations

from execkit.metrics.quotes_sql import QUOTES, mid_at

RATIO_MACRO = """CREATE OR REPLACE MACRO cost_bps(cost, notional) AS
    1e4 * sum(cost) FILTER (cost IS NOT NULL AND notional IS NOT NULL)
    / sum(notional) FILTER (cost IS NOT NULL AND notional IS NOT NULL)"""
"""Aggregate of bps as a ratio of sums over the rows that have both; NULL when there are none."""

_PRICED = f"""{QUOTES},
lacking AS (
    SELECT DISTINCT coalesce(r.market_id, o.run_id) AS market_id, o.symbol
    FROM orders o LEFT JOIN runs r USING (run_id)
    WHERE o.decision_price IS NULL OR o.arrival_price IS NULL),
order_quotes AS (SELECT * FROM quote_keys SEMI JOIN lacking USING (market_id, symbol)),
given AS (
    SELECT o.*, coalesce(r.market_id, o.run_id) AS market_id,
        CASE WHEN o.side = 'buy' THEN 1 WHEN o.side = 'sell' THEN -1 END AS s,
        coalesce(o.contract_size, 1) AS m,
        coalesce(o.contract_kind = 'inverse', false) AS inverse,
        CASE WHEN inverse THEN o.base_currency ELSE o.quote_currency END AS currency,
        coalesce(o.order_type IN ('stop_market', 'stop_limit', 'trailing_stop'), false) AS stops,
        stops OR coalesce(o.oco_group, '') <> '' AS waits_on_purpose,
        CASE WHEN stops AND o.order_type <> 'trailing_stop' THEN o.stop_price END AS trigger_price,
        CASE WHEN o.decision_price IS NULL THEN coalesce(o.decision_ts_ns, o.ts_ns) END AS ask_d,
        CASE WHEN o.arrival_price IS NULL THEN o.arrival_ts_ns END AS ask_a
    FROM orders o LEFT JOIN runs r USING (run_id)),
decided AS ({mid_at("given", "ask_d", quotes="order_quotes")}),
decided_named AS (
    SELECT * EXCLUDE (mid, mid_reason), mid AS mid_d, mid_reason AS why_d FROM decided),
arrived AS ({mid_at("decided_named", "ask_a", quotes="order_quotes")}),
priced AS (
    SELECT * EXCLUDE (mid, mid_reason, mid_d, why_d, decision_price, arrival_price),
        coalesce(decision_price, mid_d) AS decision_price,
        coalesce(arrival_price, mid) AS arrival_price,
        CASE WHEN decision_price IS NULL THEN why_d END AS decision_reason,
        CASE WHEN arrival_price IS NULL
             THEN CASE WHEN ask_a IS NULL THEN 'no_arrival_time' ELSE mid_reason END
        END AS arrival_reason
    FROM arrived)"""

_FEES = f"""fee_pairs AS (
    SELECT DISTINCT fee_currency || quote_currency AS pair
    FROM (SELECT DISTINCT fee_currency FROM fills WHERE fee <> 0)
    CROSS JOIN (SELECT DISTINCT quote_currency FROM orders)),
fee_quotes AS (
    -- A list, for DuckDB would build the hash table of a semi-join over all the quotes.
    SELECT * FROM quote_keys WHERE list_contains((SELECT list(pair) FROM fee_pairs), symbol)),
filled AS (
    SELECT f.*, coalesce(r.market_id, f.run_id) AS market_id,
        coalesce(o.contract_size, 1) AS m,
        coalesce(o.contract_kind = 'inverse', false) AS inverse,
        coalesce(f.fee_currency = o.quote_currency,
                 ends_with(split_part(f.symbol, ':', 1), nullif(f.fee_currency, '')),
                 false) AS in_quote,
        coalesce(f.fee_currency = o.base_currency,
                 starts_with(f.symbol, nullif(f.fee_currency, '')), false) AS in_base,
        CASE WHEN f.fee <> 0 AND f.fee_currency <> '' AND NOT in_quote AND NOT in_base
             THEN f.venue_ts_ns END AS ask_fee,
        f.fee_currency || o.quote_currency AS fee_pair
    FROM fills f LEFT JOIN orders o USING (run_id, client_order_id)
    LEFT JOIN runs r ON r.run_id = f.run_id),
fee_priced AS ({mid_at("filled", "ask_fee", "fee_pair", "fee_quotes")}),
with_fee AS (
    SELECT *,
        CASE WHEN fee = 0 THEN 0
             WHEN in_quote THEN CASE WHEN inverse THEN fee / price ELSE fee END
             WHEN in_base THEN CASE WHEN inverse THEN fee ELSE fee * price END
             ELSE fee * mid / CASE WHEN inverse THEN price ELSE 1 END END AS fee_cost_ccy,
        CASE WHEN fee_cost_ccy IS NOT NULL THEN NULL
             WHEN fee IS NULL THEN 'no_fee'
             WHEN coalesce(fee_currency, '') = '' THEN 'no_fee_currency'
             ELSE 'fee_' || coalesce(mid_reason, 'no_quote') END AS fee_reason,
        quantity * m * CASE WHEN inverse THEN 1 / price ELSE price END AS notional
    FROM fee_priced)"""


def _cost(benchmark: str, against: str = "") -> str:
    """Cost of `traded` units against a benchmark price: what the fills were worth, or, with
    `against`, what another benchmark says they were worth."""
    linear = f"traded * {against}" if against else "notional / m"
    inverse = f"traded / {against}" if against else "notional / m"
    return f"""CASE WHEN inverse THEN s * m * (traded / {benchmark} - {inverse})
                    ELSE s * m * ({linear} - traded * {benchmark}) END"""


def _notional(benchmark: str) -> str:
    return f"""CASE WHEN inverse AND {benchmark} IS NOT NULL THEN notional
                    ELSE traded * m * {benchmark} END"""


def _unless_waiting(cost: str) -> str:
    return f"CASE WHEN NOT waits_on_purpose THEN {cost} END"


_COSTS = f"""costed AS (
    SELECT *,
        {_unless_waiting(_cost("decision_price", "arrival_price"))} AS delay_cost_ccy,
        {_unless_waiting(_cost("arrival_price"))} AS arrival_cost_ccy,
        {_unless_waiting(_cost("decision_price"))} AS decision_cost_ccy,
        decision_cost_ccy + fee_cost_ccy AS total_cost_ccy,
        {_cost("trigger_price")} AS trigger_cost_ccy,
        CASE WHEN NOT stops THEN 'not_a_stop' WHEN trigger_price IS NULL THEN 'level_not_recorded'
        END AS trigger_reason,
        {_notional("decision_price")} AS decision_notional,
        {_notional("arrival_price")} AS arrival_notional,
        {_notional("trigger_price")} AS trigger_notional
    FROM joined)"""

_MEASURES = """
    currency, coalesce(notional, 0) AS notional, decision_notional, arrival_notional,
    trigger_notional, waits_on_purpose,
    delay_cost_ccy, arrival_cost_ccy, decision_cost_ccy, trigger_cost_ccy, fee_cost_ccy,
    total_cost_ccy,
    1e4 * delay_cost_ccy / decision_notional AS delay_cost_bps,
    1e4 * arrival_cost_ccy / arrival_notional AS arrival_cost_bps,
    1e4 * decision_cost_ccy / decision_notional AS decision_cost_bps,
    1e4 * trigger_cost_ccy / trigger_notional AS trigger_cost_bps,
    1e4 * fee_cost_ccy / decision_notional AS fee_cost_bps,
    1e4 * total_cost_ccy / decision_notional AS total_cost_bps,
    fee, fee_currency, decision_reason, arrival_reason, trigger_reason, fee_reason"""

BY_FILL = f"""
WITH {_PRICED},
{_FEES},
joined AS (
    SELECT f.*, f.quantity AS traded, o.s, o.currency, o.strategy_id, o.decision_price,
        o.arrival_price, o.decision_reason, o.arrival_reason, o.trigger_price,
        coalesce(o.stops, false) AS stops, coalesce(o.waits_on_purpose, false) AS waits_on_purpose,
        o.client_order_id IS NULL AS orphan
    FROM with_fee f LEFT JOIN priced o USING (run_id, client_order_id)),
{_COSTS}
SELECT run_id, mode, venue, symbol, client_order_id, parent_order_id, strategy_id, fill_id, side,
    quantity, price, liquidity, venue_ts_ns, local_ts_ns, decision_price, arrival_price,
    trigger_price, {_MEASURES},
    coalesce(CASE WHEN orphan THEN 'no_order' WHEN waits_on_purpose THEN 'waits_on_purpose' END,
             decision_reason, arrival_reason, fee_reason) AS reason
FROM costed"""
"""One row per fill; `reason` is NULL when nothing is missing. As in `PER_ORDER`, fills of an order
that waits on purpose have fee and trigger cost alone."""

PER_ORDER = f"""
WITH {_PRICED},
{_FEES},
sums AS (
    SELECT run_id, client_order_id, count(*) AS n_fills, sum(quantity) AS traded,
        CASE WHEN bool_or(inverse) THEN sum(quantity) / sum(quantity / price)
             ELSE sum(quantity * price) / sum(quantity) END AS average_price,
        sum(notional) AS notional,
        CASE WHEN count(*) = count(fee_cost_ccy) THEN sum(fee_cost_ccy) END AS fee_cost_ccy,
        min(fee_reason) AS fee_reason,
        min(fee_currency) FILTER (fee <> 0) AS first_currency,
        max(fee_currency) FILTER (fee <> 0) AS last_currency,
        CASE WHEN first_currency IS NOT DISTINCT FROM last_currency THEN sum(fee) END AS fee,
        CASE WHEN first_currency = last_currency THEN first_currency
             WHEN first_currency <> last_currency THEN 'mixed' END AS fee_currency,
        CASE WHEN bool_and(liquidity IN ('maker', 'taker'))
             THEN sum(CASE WHEN liquidity = 'maker' THEN quantity ELSE 0 END) / sum(quantity)
        END AS maker_ratio,
        min(venue_ts_ns) AS first_fill_ts_ns, max(venue_ts_ns) AS last_fill_ts_ns
    FROM with_fee GROUP BY run_id, client_order_id),
joined AS (
    SELECT o.* EXCLUDE (average_price), f.* EXCLUDE (run_id, client_order_id)
    FROM priced o LEFT JOIN sums f USING (run_id, client_order_id)),
{_COSTS}
SELECT run_id, mode, venue, symbol, client_order_id, parent_order_id, strategy_id, side,
    order_type, status, quantity, coalesce(traded, 0) AS filled_quantity,
    coalesce(traded, 0) / quantity AS fill_rate, coalesce(n_fills, 0) AS n_fills,
    first_fill_ts_ns, last_fill_ts_ns, coalesce(decision_ts_ns, ts_ns) AS decision_ts_ns,
    arrival_ts_ns, average_price, decision_price, arrival_price, trigger_price, maker_ratio,
    {_MEASURES},
    coalesce(CASE WHEN traded IS NULL THEN 'no_fills'
                  WHEN waits_on_purpose THEN 'waits_on_purpose' END,
             decision_reason, arrival_reason, fee_reason) AS reason
FROM costed"""
"""One row per order, filled or not; `reason` is NULL when nothing is missing. The costs of an order
that waits on purpose are NULL but for fee and trigger cost, and its reason says so."""

SUMMARY = """
SELECT run_id, mode, venue, symbol, side, waits_on_purpose, currency, count(*) AS n_orders,
    count(*) FILTER (reason IS NOT NULL) AS n_with_reason,
    count(*) FILTER (n_fills = 0) AS n_unfilled,
    count(DISTINCT decision_ts_ns // 86400000000000) AS n_days,
    sum(filled_quantity) / sum(quantity) AS fill_rate, sum(notional) AS notional,
    cost_bps(delay_cost_ccy, decision_notional) AS delay_cost_bps,
    cost_bps(arrival_cost_ccy, arrival_notional) AS arrival_cost_bps,
    cost_bps(decision_cost_ccy, decision_notional) AS decision_cost_bps,
    cost_bps(trigger_cost_ccy, trigger_notional) AS trigger_cost_bps,
    cost_bps(fee_cost_ccy, decision_notional) AS fee_cost_bps,
    cost_bps(total_cost_ccy, decision_notional) AS total_cost_bps
FROM slippage GROUP BY ALL"""
"""Ratio of sums per run, venue, symbol and side, with what was left out. Orders that wait on
purpose have a row of their own: in each row the costs are of the same orders, and add up."""
