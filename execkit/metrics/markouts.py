"""Markouts: where the mid went after each fill, in SQL over the store.

``markout_pnl_bps(h) = 1e4 * s * (mid(t + h) - p) / p`` with s = +1 buy, -1 sell, p the fill price
and t the venue's time of the fill: positive = the fill looks good in hindsight. The quote is the
newest at or before t + h, the last of tied ones. A horizon that lies beyond the last quote of that
book is `horizon_open`, not the last known price. Weight a group's markouts by `notional`;
siblings of one parent order overlap, so their errors are not independent.
"""

from __future__ import annotations

from execkit.metrics.quotes_sql import QUOTES, mid_at

HORIZONS_NS = (
    0,
    100_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
)

MARKOUTS = f"""
WITH {QUOTES},
book_ends AS (
    SELECT market_id, venue, symbol, max(ts_ns) AS end_ns FROM quote_keys GROUP BY ALL),
owned AS (
    SELECT f.*, coalesce(r.market_id, f.run_id) AS market_id,
        CASE f.side WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 END AS s,
        coalesce(o.contract_size, 1) * f.quantity
            * CASE WHEN o.contract_kind = 'inverse' THEN 1 / f.price ELSE f.price END AS notional
    FROM fills f LEFT JOIN runs r ON r.run_id = f.run_id
    LEFT JOIN orders o ON o.run_id = f.run_id AND o.client_order_id = f.client_order_id),
probes AS (
    SELECT w.*, h.horizon_ns, e.end_ns, w.venue_ts_ns + h.horizon_ns AS at_ns
    FROM owned w CROSS JOIN (SELECT unnest({list(HORIZONS_NS)}) AS horizon_ns) h
    LEFT JOIN book_ends e USING (market_id, venue, symbol)),
seen AS ({mid_at("probes", "at_ns")})
SELECT run_id, mode, venue, symbol, client_order_id, parent_order_id, fill_id, side, quantity,
    price, liquidity, venue_ts_ns, horizon_ns, notional,
    CASE WHEN at_ns <= end_ns THEN mid END AS mid,
    CASE WHEN at_ns <= end_ns THEN 1e4 * s * (mid - price) / price END AS markout_pnl_bps,
    markout_pnl_bps * notional / 1e4 AS markout_pnl_ccy,
    CASE WHEN end_ns IS NULL THEN 'no_quote' WHEN at_ns > end_ns THEN 'horizon_open'
         ELSE mid_reason END AS reason
FROM seen"""
"""One row per fill and horizon; NULL with a `reason` where there is no mid."""
