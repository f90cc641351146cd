"""As-of lookup of quotes in SQL: one text for every metric that needs the price of a moment.

DuckDB's ASOF JOIN takes the first of several quotes with the same time and knows no tolerance. So
the time and the feed's sequence number are packed into one HUGEINT, in which the last of tied
quotes is the greatest; a quote older than `max_age_ns` gives NULL and a reason, never a number.
"""

from __future__ import annotations

QUOTES = """quote_keys AS (
    SELECT market_id, venue, symbol, ts_ns, bid, ask, last,
           ts_ns::HUGEINT * 18446744073709551616 + coalesce(seq, 0) AS key
    FROM quotes WHERE ts_ns IS NOT NULL)"""
"""CTE that every lookup joins: quotes with a key that orders ties by `seq`."""


def mid_at(probes: str, at_ns: str, symbol: str = "symbol", quotes: str = "quote_keys") -> str:
    """SELECT of all columns of `probes` and `mid`, `mid_reason` of the newest quote at or before.

    Parameters
    ----------
    probes : a relation with `market_id`, `venue` and the columns named by the next two.
    at_ns : its column with the moment; NULL finds nothing.
    symbol : its column with the symbol to price.
    quotes : the CTE `QUOTES`, or a part of it.

    `mid` is NULL, and `mid_reason` says why (no_quote, stale_quote, one_sided_book, crossed_book),
    unless both sides are quoted, bid < ask, and the quote is at most `max_age_ns` old. A row with
    neither side but a `last` price comes from bars or prints, where there was no book to see: its
    `last` is taken for the mid.
    """
    return f"""
    SELECT * EXCLUDE (q_bid, q_ask, q_last, q_ts_ns),
           CASE WHEN mid_reason IS NULL THEN coalesce((q_bid + q_ask) / 2, q_last) END AS mid
    FROM (
        SELECT p.*, q.bid AS q_bid, q.ask AS q_ask, q.last AS q_last, q.ts_ns AS q_ts_ns,
            CASE WHEN q.ts_ns IS NULL THEN 'no_quote'
                 WHEN p.{at_ns} - q.ts_ns > max_age_ns THEN 'stale_quote'
                 WHEN q.bid IS NULL AND q.ask IS NULL AND q.last > 0 THEN NULL
                 WHEN NOT coalesce(q.bid > 0 AND q.ask > 0 AND isfinite(q.bid) AND isfinite(q.ask),
                                   false) THEN 'one_sided_book'
                 WHEN q.bid >= q.ask THEN 'crossed_book' END AS mid_reason
        FROM {probes} p ASOF LEFT JOIN {quotes} q
          ON p.market_id = q.market_id AND p.venue = q.venue AND p.{symbol} = q.symbol
         AND p.{at_ns}::HUGEINT * 18446744073709551616 + 9223372036854775807 >= q.key)"""
