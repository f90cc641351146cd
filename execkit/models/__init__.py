"""The simulator's assumptions, and the fill rules that simulate() and PaperVenue share.

This text is normative: the kernels implement it, and an independent, slow reference in the tests
implements it again. Prices and quantities below are integers (multiples of the instrument's price
and quantity unit). "Own" means ours. Symbols do not interact.

1  Tape
    One symbol's market events, from one fidelity: `depth` (book messages, with prints if there are
    any), `quotes` (best bid and ask rows, with prints if any), `prints` (alone) or `bars`. "auto"
    takes the first of these that the symbol has. Off-book prints are left out. Order: by ts_ns; at
    equal stamps by seq where the tables share one feed (`shared_seq`), else prints before depth or
    quotes, each by seq. Rows of depth with equal (ts_ns, seq) are one message. A bar gives two
    events: OPEN at ts_ns, and RANGE at ts_ns + interval - 1 ns.

2  Own events
    An order arrives at ts_ns + entry latency. Its cancel arrives at cancel_ts_ns + cancel latency,
    but never before the order. A GTD order expires at expire_ts_ns. Own events at one time run in
    the order: arrivals, cancels, expiries, each by row. Against the market: on depth, quotes and
    prints, market events with ts_ns <= t run before own events at t; on bars, own events at t run
    before a market event at t, so that an order decided at a bar's close takes the next open. Later
    time always runs later: a stop that triggers, an OCO sibling or a reduce-only clip acts at the
    time of the event that caused it. Nothing runs after the last market event: an order that would
    arrive later stays INTENT, a later cancel or expiry has not happened. What several symbols do at
    one time counts (for fee tiers) in alphabetical order of the symbols. Where the latency model
    says that the venue did not take an order (a negative delay), it never arrives: REJECTED
    (not_taken) when we are told; a cancel not taken has not happened. PaperVenue raises RetryLater
    instead, at once. Fills do not depend on feed latency: a decision at t knew the market of t -
    feed, where decision_price is looked up.

3  Common rules
    Any fill of an order in an OCO group closes the group: every other live member is CANCELED
    (reason oco) at that time, and members that arrive later are CANCELED on arrival. Before each
    fill of a reduce_only order its quantity is clipped to what still reduces our net position in
    the symbol (of this run, from `initial_positions`). Nothing to reduce when it would fill:
    CANCELED (reduce_only). After a fill, nothing left to reduce and quantity remaining: CANCELED
    (reduce_only). FOK asks for the clipped quantity, and at least for something to be there. The
    position changes with each fill, so what can be reduced may shrink and grow again. A GTD order
    that arrives at or after its expiry is EXPIRED (gtd). On arrival the checks run in this order:
    expired, OCO group closed, then the rules of the fidelity. Cancel -> CANCELED (requested),
    expiry -> EXPIRED (gtd), if the order is still live. stop_market and trailing_stop become market
    orders when triggered; stop_limit becomes a limit order that arrives at that moment. A buy stop
    triggers at reference >= stop, a sell at <=. "Earliest" among waiting orders is the one that
    came to wait there first: a stop-limit queues from its trigger. Own orders do not trade with
    each other and are not part of the displayed book. Time in force of market orders: FOK all or
    nothing; IOC takes once; GTC and GTD also take once on depth and quotes (what the book cannot
    fill is EXPIRED, no_liquidity), but on bars and prints carry what is left to the next event that
    can fill them.

4  depth and quotes
    Each side is a list of levels with a displayed size and `taken`; available = max(0, size -
    taken). Setting a level (also to the same size) makes taken 0; size 0 removes the level; a
    snapshot message replaces the book; a quote row replaces each side by one level (a side whose
    price is not finite or whose size is not positive is empty). A level that a snapshot or a quote
    row shows again with the same price and size keeps its taken: nothing says it was refilled.
    Taking walks the opposite levels from the best while the price is within the limit, filling
    min(remaining, available) at each level with anything available, as taker, one fill a level, and
    adds it to taken. On quotes the one level continues as a ladder: slice k = 0, 1, ... <
    ladder_levels lies k price ticks beyond the quote and holds the displayed size again; taken runs
    along the ladder (slice k is what lies between k*size and (k+1)*size of it). Slices at prices <=
    0 do not exist. Where the tick is finer than 1e-7 of the tape's highest quoted price it says
    nothing about the market (no grid was known), and the ladder has one slice on the whole tape.
    Market order: take; nothing available at all or a remainder -> EXPIRED (no_liquidity; ioc if
    IOC). FOK: unless all that is asked is available within the limit, EXPIRED (fok), no fill. Limit
    order: marketable if the best displayed opposite price is within its limit (taken does not
    matter). Marketable and post_only -> REJECTED (post_only). Marketable: FOK check, take, then IOC
    remainder EXPIRED (ioc), other remainder rests. Not marketable: IOC EXPIRED (ioc), FOK EXPIRED
    (fok), else rests. Resting order at limit L starts with `front`, the quantity of others ahead of
    it: the available size at L on its own side; 0 if L is not displayed but is better than the
    worst displayed level; unknown (infinite) if L is worse than every displayed level or the side
    is empty. It also counts `seen`, the quantity of prints at L against its side since L was last
    shown; at arrival that is min(size, taken) of a displayed L, else 0. A level update at L from
    size b to size s (0 = not displayed), outside snapshots, sets front = Q(front, seen, b, s) and
    seen = 0. A snapshot or a quote row does the same, with the sizes before and after it, if L is
    displayed now or better than the worst displayed level of that side; else it leaves both as
    they are. Q says how much of a level's shrinking was ahead of us, by queue_model:
      risk_averse, pro_rata: min(front, s). prints_only: front, but 0 if s = 0. The others, with
      left = b - s - seen: min(front, s) if left <= 0 or front > b; else back = b - front, P the
      chance that what left stood behind, front' = front - (1 - P) left + min(back - P left, 0),
      and front = front' rounded up (less 1e-9) to a quantity unit, at least 0, at most s. With f
      and b' = front and back in base units and n = queue_power, P is 1 if f = 0, else: power
      b'^n / (b'^n + f^n); power2 b'^n / (b' + f)^n; power3 1 - (f / (f + b'))^n; log ln(1 + b') /
      (ln(1 + b') + ln(1 + f)); log2 ln(1 + b') / ln(1 + b' + f).
    Prints: an unknown aggressor is a buyer if price >= best displayed ask, else a seller if price
    <= best displayed bid, else the print fills nothing and takes nothing. A seller's print of q at
    p offers R = q to own resting buys, best price first and earliest first within a price:
      L > p: front = 0; fill min(remaining, R) at L (through_full: the whole remaining); R falls by
        the fill, not below 0.
      L = p, touch models only: without queue, fill min(remaining, R). With queue: what others ate
        at this price so far is `eaten` (0 at first); others ahead take x = min(R, max(0, front -
        eaten)); R -= x, eaten += x; then if R > 0 fill min(remaining, R), R -= fill. At the end
        every own order at p has front = max(0, front - eaten). With queue and queue_model pro_rata
        instead: fill floor(R w / (w + others)) of what it may fill (w), where others = available
        size at L on its own side (float64), R -= fill. Every own order at p: seen += q.
    All such fills are maker at L. A buyer's print mirrors this for own sells. Then, with
    prints_consume, the print takes from the displayed book: for a buyer, ask levels below p have
    taken = max(taken, size), the level at p has taken = min(size, taken + q), unless taken is
    already larger (ladder); mirrored for a seller. Then the reference price moves to p. Cross:
    after each complete message or quote row, own resting buys with a displayed ask at a price <= L
    (touch models) or < L (others), best own price first, then earliest, fill min(remaining, sum
    available at such prices) as maker at L, one fill an order, and add it to taken from the best
    level on (no ladder); then own sells against bids. Reference for stops: the last print, also one
    before the order arrived; as long as no print has been seen, the best displayed ask for buys and
    bid for sells, after each complete message. No reference now (an empty side): nothing triggers.
    An arriving stop that its reference has already reached triggers at once. Order within an event:
    resting fills, taken, cross, then plain buy stops (lowest first, then earliest), plain sell
    stops (highest first, then earliest), then trailing stops by arrival. A stop is taken out when
    triggered and acts at once, before the next is looked at. Trailing stop: at arrival the
    watermark is the reference (if there is none, the first one seen later acts as at arrival) and
    the trigger follows: sell floor(w * (1 - trail_bps/1e4)), buy ceil(w * (1 + trail_bps/1e4)), in
    float64 arithmetic; a stop_price, where given, is the first trigger, and the trigger only moves
    towards the market. At arrival it triggers if its reference has already reached the trigger
    (possible only with a stop_price). Each reference event: trigger if reached, else move
    watermark, then trigger level.

5  prints alone
    An unknown aggressor counts as both. A print of q offers R = q once, in this order: to taking
    orders on the aggressor's side by the order in which they began taking (buys before sells where
    the aggressor is unknown), as taker at the print's price; then to own resting buys if a seller's
    print (or unknown), then own resting sells if a buyer's (or unknown), as in 4 (through as there;
    at L = p only touch models without queue), as maker at L. Then the last price of that aggressor
    side moves to p (unknown: both), then the reference, then stops and trailing as in 4. Taking
    order at a print of its side: beyond its limit -> it rests (GTC, GTD) or is EXPIRED (ioc, fok);
    FOK: fill all if R covers what it asks, else EXPIRED (fok); otherwise fill min(remaining, R);
    IOC: EXPIRED (ioc) with any remainder; others go on taking at the next print. Market order:
    taking. Limit order: marketable if the last price of its side is known and within the limit;
    marketable and post_only -> REJECTED (post_only); marketable -> taking; else IOC and FOK are
    EXPIRED (ioc, fok), others rest.

6  bars
    A bar's budget R = floor(volume * participation) is shared by all own fills of that bar; with
    participation None it is infinite, but 0 where the volume is 0. Arriving orders wait as pending
    until the next OPEN. OPEN at price o, in this order:
      resting buys with L > o (or = o: touch without queue) fill min(remaining, R) as maker at L,
      best first, then earliest; then resting sells; plain stops reached by o trigger (order as in
      4), then trailing ones (by arrival; not reached: watermark moves to o as in 4); what they
      become joins the end of the pending list; pending orders in order of joining: a plain stop:
      not reached by o -> waits as stop, reached -> triggers and acts now; a trailing stop: its
      watermark is o, and with a stop_price reached by o it triggers and acts now, else it waits.
      Market: fill min(remaining, R) as taker at o moved against us by half_spread_bps (float64,
      rounded away from us to a unit); nothing or not all filled: FOK EXPIRED (fok) without fill,
      IOC EXPIRED (ioc), others stay pending. Limit: marketable if that taker price is within the
      limit: post_only -> REJECTED, FOK check, fill min(remaining, R), IOC remainder EXPIRED, other
      remainder rests; not marketable: as in 4.
    RANGE with high h, low l, close c; pending orders take no part. Intrabar policy "pessimistic":
    stops before limits; "optimistic": limits before stops. With stops before limits, a reduce_only
    stop (plain or trailing) that finds nothing to reduce is not looked at then; those are looked at
    after the limits, in the same order, for an entry that fills in this bar may need them. One that
    triggers there is ambiguous, once.
      Limits: buys with L > l (or = l: touch without queue), then sells with L < h (or =): fill
      min(remaining, R) as maker at L. A stop-limit that came to rest in this RANGE takes no part.
      Plain stops (order as in 4): buy stop s <= h triggers; base = s + ceil(stop_slip * (h - s)),
      moved against us by half_spread_bps; market: fill min(remaining, R) as taker at base; the
      rest: FOK EXPIRED without fill unless R covers it, IOC EXPIRED (ioc), others pending.
      Stop-limit: post_only and L >= s -> REJECTED (post_only); base within L: FOK check, fill
      min(remaining, R) at base, IOC remainder EXPIRED, rest rests; else IOC/FOK EXPIRED, others
      rest. Sells mirror. Trailing sell, pessimistic: w' = max(w, h), trigger' from w'; triggers if
      l <= trigger' at trigger'. Optimistic: if l <= trigger, triggers at trigger; else w' and
      trigger', and if c <= trigger' triggers at trigger'. Slip towards l (or c, where c triggered
      it). Buys mirror.
    A fill at OPEN is stamped ts_ns, at RANGE ts_ns + interval - 1. Ambiguous, counted and reported:
    an order canceled as OCO sibling in a RANGE whose range also reached it (it rested since before,
    or waited as a plain stop), and a trailing stop that only the pessimistic path triggers, under
    either policy.

7  Funding
    Perpetual contracts: the position that fills strictly before the stamp have left pays quantity *
    mark * rate (a positive rate: longs pay; inverse contracts in coin). Without a mark, the price
    known at the stamp; without that, NaN from there on. Spot pays none, with a note.

When it lies: no fill model moves the market; `impact` only makes later fills of a parent dearer,
after matching: never in the order's favour, capped at a limit order's limit (what lies beyond is
not charged), and fills of one stamp do not move each other; what fills, how much and when does not
change, and PaperVenue has no impact; a book is as old as its last message, where quotes are not set
into it (`MarketData.aligned`); where depth and prints do not share one sequence, a trade and the
depth update it caused may both advance a queue; on bars the spread is zero unless half_spread_bps
says otherwise, the size that a bar could give is known from its whole volume, also at its open, and
an order that is canceled inside a bar has not met that bar's range; on prints alone IOC and FOK
wait for the next print of their side. The pessimistic fills of one order, taken alone, are within
those of queue, and those within optimistic, except for trailing stops on bars; orders that share
liquidity, OCO groups and reduce_only can turn that around.
"""

from __future__ import annotations

from execkit.models.base import FeeLike, ImpactLike, LatencyLike
from execkit.models.checks import (
    check_fee_model,
    check_fill_model,
    check_impact_model,
    check_latency_model,
)
from execkit.models.fee import FeeModel, FeeTier
from execkit.models.fill import OPTIMISTIC, PESSIMISTIC, QUEUE, FillModel, fill_model
from execkit.models.impact import (
    ExponentialDecay,
    PowerDecay,
    PropagatorImpact,
    SquareRootImpact,
)
from execkit.models.latency import (
    EmpiricalLatency,
    InterpolatedLatency,
    LatencyModel,
    PerHourLatency,
)
from execkit.models.margin import MarginModel, MarginTier
from execkit.models.venue_fees import venue_fees

__all__ = [
    "OPTIMISTIC",
    "PESSIMISTIC",
    "QUEUE",
    "EmpiricalLatency",
    "ExponentialDecay",
    "FeeLike",
    "FeeModel",
    "FeeTier",
    "FillModel",
    "ImpactLike",
    "InterpolatedLatency",
    "LatencyLike",
    "LatencyModel",
    "MarginModel",
    "MarginTier",
    "PerHourLatency",
    "PowerDecay",
    "PropagatorImpact",
    "SquareRootImpact",
    "check_fee_model",
    "check_fill_model",
    "check_impact_model",
    "check_latency_model",
    "fill_model",
    "venue_fees",
]
