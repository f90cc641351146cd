"""Binance messages saved as JSON arrays, a file a stream.

Names are ``<SYMBOL>_<time>_snapshot.json``, ``..._update.json`` and ``..._trades.json``.

The time in the name (``2020-11-01T09-00-00``, UTC) dates a snapshot that has no messages beside it.
The files share no order of arrival, so ``seq`` is not comparable between depth and prints.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from execkit.clock import to_ns
from execkit.market import MarketData
from execkit.sources.base import combine_all, guarded, head, read_bytes, wanted
from execkit.sources.binance_wire import Capture, assemble

_NAME = re.compile(
    r"([A-Z0-9]+)_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)_(snapshot|update|trades)\.json(?:\.\w+)?"
)


class BinanceJson:
    """See the module."""

    name = "binance_json"

    def sniff(self, path: Path) -> bool:
        return bool(_NAME.fullmatch(path.name)) and head(path)[:1] in (b"{", b"[")

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData:
        groups: dict[str, Capture] = {}
        of: dict[str, Path] = {}
        for path in paths:
            found = _NAME.fullmatch(path.name)
            assert found is not None, path  # sniff let it through
            if wanted(found[1], symbol):
                capture = groups.setdefault(found[1], Capture())
                of[found[1]] = path
                guarded(path, _add, path, capture, found[3], found[2])
        parts = [
            replace(guarded(of[name], assemble, capture, name, of[name]), shared_seq=False)
            for name, capture in groups.items()
        ]
        return combine_all(parts, paths, symbol)


def _add(path: Path, capture: Capture, what: str, stamp: str) -> None:
    content: Any = json.loads(read_bytes(path))
    if what == "snapshot":
        moment = datetime.strptime(stamp, "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
        capture.add("snapshot", 0, to_ns(moment), json.dumps(content).encode())
        return
    kind = "depth" if what == "update" else "aggTrade"
    for number, message in enumerate(content):
        capture.add(kind, number, -1, json.dumps({"data": message}).encode())


SOURCE = BinanceJson()
