"""Slippage of each order and each fill against decision and arrival, in SQL over the store.

Signs: ``*_cost_*`` positive = worse for us, on both sides. With s = +1 buy, -1 sell, fill price p,
benchmark B, m = contract size, and fills q_i at p_i:

- linear and spot: cost = s * m * sum q_i (p_i - B), in quote currency; notional = m * Q * B;
- inverse: cost = s * m * sum q_i (1/B - 1/p_i), in base currency; notional = m * sum q_i / p_i;
- bps = 1e4 * cost / notional, which is 1e4 * s * (average - B) / B in both cases, the average being
  harmonic for inverse contracts.

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
given AS (
    SELECT o.*, coalesce(r.market_id, o.run_id) AS market_id,
           CASE WHEN o.decision_price IS NULL THEN coalesce(o.decision_ts_ns, o.ts_ns) END AS ask_d,
           CASE WHEN o.arrival_price IS NULL THEN o.arrival_ts_ns END AS ask_a,
           o.decision_price IS NULL OR o.arrival_price IS NULL AS wanted
    FROM orders o LEFT JOIN runs r USING (run_id)),
asked AS (SELECT * FROM given WHERE wanted),
decided AS ({mid_at("asked", "ask_d")}),
decided_named AS (
    SELECT * EXCLUDE (mid, mid_reason), mid AS mid_d, mid_reason AS why_d FROM decided),
arrived AS ({mid_at("decided_named", "ask_a")}),
looked_up AS (
    SELECT * EXCLUDE (mid, mid_reason, mid_d, why_d, decision_price, arrival_price),
        coalesce(decision_price, mid_d) AS decision_price,
        coalesce(arrival_price, mid) AS arrival_price,
        CASE WHEN decision_price IS NULL THEN why_d END AS decision_reason,
        CASE WHEN arrival_price IS NULL
             THEN CASE WHEN ask_a IS NULL THEN 'no_arrival_time' ELSE mid_reason END
        END AS arrival_reason
    FROM arrived),
priced AS MATERIALIZED (
    SELECT * EXCLUDE (decision_reason, arrival_reason), decision_reason, arrival_reason
    FROM looked_up
    UNION ALL BY NAME
    SELECT *, NULL AS decision_reason, NULL AS arrival_reason FROM given WHERE NOT wanted)"""

_FILLS = f"""filled AS MATERIALIZED (
    SELECT f.*, coalesce(o.market_id, r.market_id, f.run_id) AS market_id,
        o.client_order_id IS NULL AS orphan, o.decision_price, o.arrival_price,
        o.decision_reason, o.arrival_reason, o.quote_currency, o.strategy_id,
        CASE f.side WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 END AS s,
        coalesce(o.contract_size, 1) AS m,
        coalesce(o.contract_kind = 'inverse', false) AS inverse,
        coalesce(f.fee_currency = o.quote_currency,
                 ends_with(split_part(f.symbol, ':', 1), nullif(f.fee_currency, '')),
                 false) AS in_quote,
        coalesce(f.fee_currency = o.base_currency,
                 starts_with(f.symbol, nullif(f.fee_currency, '')), false) AS in_base,
        CASE WHEN inverse THEN o.base_currency ELSE o.quote_currency END AS currency,
        CASE WHEN f.fee <> 0 AND f.fee_currency <> '' AND NOT in_quote AND NOT in_base
             THEN f.venue_ts_ns END AS ask_fee,
        f.fee_currency || o.quote_currency AS fee_pair
    FROM fills f LEFT JOIN priced o USING (run_id, client_order_id)
    LEFT JOIN runs r ON r.run_id = f.run_id),
third AS (SELECT * FROM filled WHERE ask_fee IS NOT NULL),
fee_priced AS (
    {mid_at("third", "ask_fee", "fee_pair")}
    UNION ALL BY NAME
    SELECT *, NULL::DOUBLE AS mid, NULL::VARCHAR AS mid_reason FROM filled WHERE ask_fee IS NULL),
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
        quantity * m * CASE WHEN inverse THEN 1 / price ELSE price END AS notional,
        CASE WHEN inverse THEN notional ELSE quantity * m * decision_price END AS d_notional,
        CASE WHEN inverse THEN notional ELSE quantity * m * arrival_price END AS a_notional,
        CASE WHEN inverse THEN s * quantity * m * (1 / decision_price - 1 / price)
             ELSE s * quantity * m * (price - decision_price) END AS decision_cost_ccy,
        CASE WHEN inverse THEN s * quantity * m * (1 / arrival_price - 1 / price)
             ELSE s * quantity * m * (price - arrival_price) END AS arrival_cost_ccy,
        CASE WHEN inverse THEN s * quantity * m * (1 / decision_price - 1 / arrival_price)
             ELSE s * quantity * m * (arrival_price - decision_price) END AS delay_cost_ccy
    FROM fee_priced),
by_fill AS (
    SELECT * EXCLUDE (d_notional, a_notional),
        CASE WHEN decision_price IS NOT NULL THEN d_notional END AS decision_notional,
        CASE WHEN arrival_price IS NOT NULL THEN a_notional END AS arrival_notional,
        decision_cost_ccy + fee_cost_ccy AS total_cost_ccy
    FROM with_fee)"""

_BPS = """
    1e4 * delay_cost_ccy / decision_notional AS delay_cost_bps,
    1e4 * arrival_cost_ccy / arrival_notional AS arrival_cost_bps,
    1e4 * decision_cost_ccy / decision_notional AS decision_cost_bps,
    1e4 * fee_cost_ccy / decision_notional AS fee_cost_bps,
    1e4 * total_cost_ccy / decision_notional AS total_cost_bps"""

BY_FILL = f"""
WITH {_PRICED},
{_FILLS}
SELECT run_id, mode, venue, symbol, client_order_id, parent_order_id, strategy_id, fill_id, side,
    quantity, price, liquidity, venue_ts_ns, local_ts_ns, decision_price, arrival_price,
    currency, notional, decision_notional, arrival_notional,
    delay_cost_ccy, arrival_cost_ccy, decision_cost_ccy, fee_cost_ccy, total_cost_ccy, {_BPS},
    fee, fee_currency, decision_reason, arrival_reason, fee_reason,
    coalesce(CASE WHEN orphan THEN 'no_order' END, decision_reason, arrival_reason, fee_reason)
        AS reason
FROM by_fill"""
"""One row per fill; `reason` is NULL when nothing is missing."""

PER_ORDER = f"""
WITH {_PRICED},
{_FILLS},
sums AS (
    SELECT run_id, client_order_id, count(*) AS n_fills, sum(quantity) AS filled_quantity,
        CASE WHEN bool_or(inverse) THEN sum(quantity) / sum(quantity / price)
             ELSE sum(quantity * price) / sum(quantity) END AS average_price,
        sum(notional) AS notional, sum(decision_notional) AS decision_notional,
        sum(arrival_notional) AS arrival_notional, sum(delay_cost_ccy) AS delay_cost_ccy,
        sum(arrival_cost_ccy) AS arrival_cost_ccy, sum(decision_cost_ccy) AS decision_cost_ccy,
        CASE WHEN count(*) = count(fee_cost_ccy) THEN sum(fee_cost_ccy) END AS fee_cost_ccy,
        min(fee_reason) AS fee_reason,
        CASE WHEN count(DISTINCT fee_currency) FILTER (fee <> 0) <= 1 THEN sum(fee) END AS fee,
        string_agg(DISTINCT fee_currency, '+' ORDER BY fee_currency) FILTER (fee <> 0)
            AS fee_currency,
        CASE WHEN bool_and(liquidity IN ('maker', 'taker'))
             THEN sum(CASE WHEN liquidity = 'maker' THEN quantity ELSE 0 END) / sum(quantity)
        END AS maker_ratio,
        min(venue_ts_ns) AS first_fill_ts_ns, max(venue_ts_ns) AS last_fill_ts_ns
    FROM by_fill GROUP BY run_id, client_order_id),
joined AS (
    SELECT o.* EXCLUDE (filled_quantity, average_price, reason),
        CASE WHEN o.contract_kind = 'inverse' THEN o.base_currency ELSE o.quote_currency
        END AS currency,
        s.* EXCLUDE (run_id, client_order_id, n_fills, filled_quantity, notional),
        coalesce(s.n_fills, 0) AS n_fills, coalesce(s.filled_quantity, 0) AS filled_quantity,
        coalesce(s.notional, 0) AS notional,
        s.decision_cost_ccy + s.fee_cost_ccy AS total_cost_ccy
    FROM priced o LEFT JOIN sums s USING (run_id, client_order_id))
SELECT run_id, mode, venue, symbol, client_order_id, parent_order_id, strategy_id, side,
    order_type, status, quantity, filled_quantity, filled_quantity / quantity AS fill_rate,
    n_fills, first_fill_ts_ns, last_fill_ts_ns, coalesce(decision_ts_ns, ts_ns) AS decision_ts_ns,
    arrival_ts_ns, average_price, decision_price, arrival_price,
    currency, notional, decision_notional, arrival_notional,
    delay_cost_ccy, arrival_cost_ccy, decision_cost_ccy, fee_cost_ccy, total_cost_ccy, {_BPS},
    fee, fee_currency, maker_ratio, decision_reason, arrival_reason, fee_reason,
    coalesce(CASE WHEN n_fills = 0 THEN 'no_fills' END, decision_reason, arrival_reason, fee_reason)
        AS reason
FROM joined"""
"""One row per order, filled or not; `reason` is NULL when nothing is missing."""

SUMMARY = """
SELECT run_id, mode, venue, symbol, side, currency, count(*) AS n_orders,
    count(*) FILTER (reason IS NOT NULL) AS n_with_reason,
    count(*) FILTER (n_fills = 0) AS n_unfilled,
    count(DISTINCT decision_ts_ns // 86400000000000) AS n_days,
    sum(filled_quantity) / sum(quantity) AS fill_rate, sum(notional) AS notional,
    cost_bps(delay_cost_ccy, decision_notional) AS delay_cost_bps,
    cost_bps(arrival_cost_ccy, arrival_notional) AS arrival_cost_bps,
    cost_bps(decision_cost_ccy, decision_notional) AS decision_cost_bps,
    cost_bps(fee_cost_ccy, decision_notional) AS fee_cost_bps,
    cost_bps(total_cost_ccy, decision_notional) AS total_cost_bps
FROM slippage GROUP BY ALL"""
"""Ratio of sums per run, venue, symbol and side, with what was left out."""
