"""What each exchange does with each kind of order: native, emulated on our side, or refused.

Made from ccxt's `.features` and the overrides of `execkit.venues.quirks`; needs no network and no
keys. What is refused raises `InvalidInput` before anything is sent.

When it lies: it states what an exchange's API takes, not what an account of yours may use; an
exchange may change its rules before ccxt and this table follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execkit.venues.quirks import EXCHANGES, FEATURES, Quirks, Support, quirks_for

if TYPE_CHECKING:
    import pandas as pd

_MARKS = {Support.NATIVE: "yes", Support.EMULATED: "ours", Support.REFUSED: "-"}


@dataclass(frozen=True)
class Capability:
    """One cell: how `exchange` serves `feature` for `kind` ("spot" or "linear")."""

    exchange: str
    kind: str
    feature: str
    support: Support
    note: str = ""


def quirks_with_features(exchange: str) -> Quirks:
    """Quirks that know ccxt's features, though no market; `InvalidInput` for an unknown name."""
    import ccxt

    quirks = quirks_for(exchange)
    quirks.features = getattr(ccxt, exchange)().features or {}
    return quirks


def capabilities(exchange: str) -> list[Capability]:
    """All cells of one exchange, by kind and then in the order of `FEATURES`."""
    quirks = quirks_with_features(exchange)
    return [
        Capability(exchange, kind, name, quirks.support(name, kind), quirks.notes.get(name, ""))
        for kind in quirks.kinds
        for name in FEATURES
    ]


def capability_table(exchanges: Sequence[str] = tuple(EXCHANGES)) -> pd.DataFrame:
    """One row for each exchange and kind, one column for each feature; the words of `Support`."""
    import pandas as pd

    rows: dict[tuple[str, str], dict[str, str]] = {}
    for exchange in exchanges:
        for cell in capabilities(exchange):
            rows.setdefault((exchange, cell.kind), {})[cell.feature] = cell.support.value
    index = pd.MultiIndex.from_tuples(list(rows), names=["exchange", "kind"])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(FEATURES))


def capability_markdown(exchanges: Sequence[str] = tuple(EXCHANGES)) -> str:
    """The table as Markdown: one row for each feature, one column for each exchange and kind.
    "yes" is native, "ours" emulated on our side, "-" refused before anything is sent."""
    cells = {(c.exchange, c.kind, c.feature): c for e in exchanges for c in capabilities(e)}
    heads = list(dict.fromkeys((exchange, kind) for exchange, kind, _ in cells))
    short = {"spot": "spot", "linear": "perp"}
    lines = [
        "| | " + " | ".join(f"{exchange} {short[kind]}" for exchange, kind in heads) + " |",
        "|---|" + "---|" * len(heads),
    ]
    for name in FEATURES:
        marks = (_MARKS[cells[exchange, kind, name].support] for exchange, kind in heads)
        lines.append(f"| {name} | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"
