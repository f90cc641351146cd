"""The fast encoder writes and refuses what the standard library's does, and links are unchanged."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit import chain
from execkit.errors import InvalidInput
from execkit.words import Side

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([Side.BUY, np.float64(1.5), np.float64("nan"), np.int64(7), "null", "a,null"])
    | st.decimals(allow_nan=True)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text() | st.sampled_from(["price", "fee", "null"])


def canonical(payload: dict[str, Any]) -> str | None:
    """What the standard library writes, None where it refuses."""
    try:
        return chain._canonical(payload)
    except (InvalidInput, ValueError, TypeError):
        return None


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_a_payload_is_written_as_the_standard_library_would_or_refused_as_there(
    payload: dict[str, Any],
) -> None:
    wanted = canonical(payload)
    if wanted is None:
        with pytest.raises(InvalidInput):
            chain.encode(chain.Event("risk", payload, 0))
        return
    body = chain.encode(chain.Event("risk", payload, 0)).body

    assert json.loads(body) == json.loads(chain._unicode(wanted))
    assert list(json.loads(body)) == list(json.loads(chain._unicode(wanted)))


@dataclasses.dataclass
class Thing:
    a: int = 1


@pytest.mark.parametrize(
    "value", [Thing(), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), b"x", {1}, float("inf"), [np.nan]]
)
def test_what_json_does_not_know_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        chain.encode(chain.Event("risk", {"value": value, "nothing": None}, 0))


def slow_link(previous: str, *row: Any) -> str:
    """The definition of a link, from before the encoder was a faster one."""
    head = json.dumps(list(row[:-1]), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{previous}{head}{row[-1]}".encode()).hexdigest()


def test_a_link_is_what_it_always_was_for_every_character() -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))
    row = (7, -5, "fill", every, "run", '{"a":"é"}')

    assert chain.link("0" * 64, *row) == slow_link("0" * 64, *row)


@given(st.integers(0, 2**62), st.integers(-(2**63), 2**63 - 1), st.none() | st.text(), st.text())
def test_a_link_is_what_it_always_was(seq: int, ts_ns: int, order_id: str | None, run: str) -> None:
    row = (seq, ts_ns, "fill", order_id, run, '{"n":1}')

    assert chain.link("ab", *row) == slow_link("ab", *row)


def test_an_exact_number_stays_exact_text() -> None:
    body = chain.encode(chain.Event("fill", {"q": Decimal("1E+3"), "p": Decimal("0E-8")}, 0)).body

    assert body == '{"p":"0.00000000","q":"1000"}'
