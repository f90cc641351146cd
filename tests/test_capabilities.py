"""The capability matrix: every exchange, every feature, and no claim beyond what ccxt states."""

from __future__ import annotations

import pytest

from execkit.errors import InvalidInput
from execkit.venues.capabilities import (
    capabilities,
    capability_markdown,
    capability_table,
    quirks_with_features,
)
from execkit.venues.quirks import EXCHANGES, FEATURES, Support


def test_the_table_has_a_word_in_every_cell() -> None:
    table = capability_table()
    assert list(table.columns) == list(FEATURES)
    assert {exchange for exchange, _ in table.index} == set(EXCHANGES)
    assert set(table.to_numpy().ravel()) <= {s.value for s in Support}


def test_the_markdown_says_the_same_as_the_cells() -> None:
    lines = capability_markdown(["binance", "bybit"]).splitlines()
    heads = [cell.strip() for cell in lines[0].strip("|").split("|")][1:]
    assert heads == ["binance spot", "bybit spot", "bybit perp"]
    marks = {"yes": Support.NATIVE, "ours": Support.EMULATED, "-": Support.REFUSED}
    said = {
        (head, cells[0]): marks[mark]
        for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines[2:])
        for head, mark in zip(heads, cells[1:], strict=True)
    }
    short = {"spot": "spot", "linear": "perp"}
    for exchange in ("binance", "bybit"):
        for cell in capabilities(exchange):
            assert said[f"{exchange} {short[cell.kind]}", cell.feature] is cell.support


def test_an_unknown_exchange_is_named_with_those_that_exist() -> None:
    with pytest.raises(InvalidInput, match="binance"):
        capabilities("bitmex")


@pytest.mark.parametrize("exchange", sorted(EXCHANGES))
def test_a_time_in_force_that_ccxt_does_not_map_is_never_called_native(exchange: str) -> None:
    quirks = quirks_with_features(exchange)
    for kind in quirks.kinds:
        branch = quirks.features["spot"] if kind == "spot" else quirks.features["swap"]["linear"]
        times = branch["createOrder"]["timeInForce"]
        for word, key in (("IOC", "IOC"), ("FOK", "FOK"), ("GTD", "GTD"), ("post_only", "PO")):
            if quirks.support(word, kind) is Support.NATIVE:
                assert times.get(key), (kind, word)


def test_known_cells() -> None:
    cells = {(c.exchange, c.kind, c.feature): c.support for e in EXCHANGES for c in capabilities(e)}
    assert cells["binance", "spot", "batch"] is Support.REFUSED
    assert cells["binance", "spot", "amend"] is Support.REFUSED
    assert cells["binanceusdm", "linear", "GTD"] is Support.NATIVE
    assert cells["bybit", "linear", "GTD"] is Support.EMULATED
    assert cells["bybit", "linear", "trailing_stop"] is Support.EMULATED
