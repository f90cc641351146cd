"""Screens and reports: one dashboard a file, each a function from a table to a figure.

A dashboard needs no engine, no kernel and no network: it renders from a DataFrame that `Store.sql`
or a `SimulationResult` gives. plotly is imported only here, so it is loaded only when asked for.

To add one, write a file with ``figure(table, ...) -> plotly.graph_objects.Figure``, use
`theme.styled` for the look, and add a test that renders it from a small table and an empty one.
"""
