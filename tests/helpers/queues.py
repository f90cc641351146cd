"""A small exchange with price-time priority that writes what it does as a LOBSTER pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LEVELS = 10
CENT = 100  # LOBSTER prices are 1e-4 dollars
OPEN_S = 36_000.0
EMPTY = 9_999_999_999


@dataclass
class Exchange:
    """Orders by side (1 buy, -1 sell) and price in cents, first come first served.

    `messages` and `books` grow by one row with each call that does something.
    """

    step_s: float = 1.0
    queues: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)
    messages: list[tuple[float, int, int, int, int, int]] = field(default_factory=list)
    books: list[list[int]] = field(default_factory=list)
    ids: int = 0
    now_s: float = OPEN_S

    def prices(self, side: int) -> list[int]:
        """Best first."""
        found = [price for (s, price), queue in self.queues.items() if s == side and queue]
        return sorted(found, reverse=side == 1)

    def add(self, side: int, price: int, size: int) -> int:
        """A resting order; it must not cross. Returns its id."""
        other = self.prices(-side)
        assert not other or side * price < side * other[0], "it would trade"
        self.ids += 1
        self.queues.setdefault((side, price), []).append([self.ids, size])
        self._write(1, self.ids, size, price, side)
        return self.ids

    def cancel(self, order: int, size: int | None = None) -> None:
        """Take out an order, or `size` of it (less than all)."""
        (key,) = [k for k, queue in self.queues.items() if any(o[0] == order for o in queue)]
        (entry,) = [o for o in self.queues[key] if o[0] == order]
        if size is None:
            self.queues[key].remove(entry)
            self._write(3, order, entry[1], key[1], key[0])
        else:
            assert size < entry[1]
            entry[1] -= size
            self._write(2, order, size, key[1], key[0])

    def market(self, side: int, size: int) -> None:
        """Take up to `size` from the other side; one message an order it meets."""
        while size and self.prices(-side):
            key = (-side, self.prices(-side)[0])
            entry = self.queues[key][0]
            got = min(size, entry[1])
            size -= got
            entry[1] -= got
            if not entry[1]:
                self.queues[key].pop(0)
            self._write(4, entry[0], got, key[1], -side, wait=False)
        self.now_s += self.step_s

    def _write(self, kind: int, order: int, size: int, price: int, side: int, *, wait: bool = True):
        self.messages.append((self.now_s, kind, order, size, price * CENT, side))
        row = []
        levels = {s: self.prices(s) for s in (-1, 1)}
        for i in range(LEVELS):
            for s in (-1, 1):
                if i < len(levels[s]):
                    at = levels[s][i]
                    row += [at * CENT, sum(o[1] for o in self.queues[(s, at)])]
                else:
                    row += [-s * EMPTY, 0]
        self.books.append(row)
        if wait:
            self.now_s += self.step_s

    def save(self, folder: Path, name: str = "TEST") -> None:
        stem = f"{name}_2012-06-21_34200000_57600000"
        for role, rows in (("message", self.messages), ("orderbook", self.books)):
            text = "".join(",".join(map(str, row)) + "\n" for row in rows)
            (folder / f"{stem}_{role}_{LEVELS}.csv").write_text(text)
