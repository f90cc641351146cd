"""What each engine is asked to do: one file an engine and workload, run by `drive` in a process.

The files of peers run in the interpreter that has the peer, where execkit need not be: they import
nothing of it. Each has `prepare(folder, options)` (imports, data; not timed), `work(state)` (timed)
and `answers(state, result)` (numbers to compare, not timed), and the name of its `ENGINE`.
"""
