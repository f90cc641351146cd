"""The matching kernel: one implementation of the fill rules, driven in batch and event by event.

    state.py    arrays of one symbol: tape, orders, own events, book, log; Python side
    common.py   rules that all fidelities share: lists, fills, ends, OCO, triggers
    resting.py  own resting orders that a print reaches
    book.py     depth and quotes (section 4 of the fill rules in `execkit.models`)
    prints.py   prints alone (section 5)
    bars.py     bars (section 6)
    loop.py     the event loops: market and own events in order
    tape.py     from MarketData to a tape
    outcome.py, fold.py, reference_price.py   what is read off a run

`simulate` runs the loop once over a whole tape; `PaperVenue` runs it up to the next thing that
happens. Everything is integer arithmetic on columns, except where the rules say float64.
"""
