"""Predictions of the simulator against what real orders in recorded data came to.

`limit_orders`: resting orders of recordings with order ids, whose fate is known. `taker_orders`:
marketable orders, and what they paid. Nothing that simulates or trades imports this package.
"""
