"""Places at which a process can be told to die, so that tests see what a death there leaves behind.

``EXECKIT_CRASH=after_journal`` kills the process (SIGKILL, nothing is cleaned up) when it first
comes by the place of that name, ``EXECKIT_CRASH=after_journal:3`` when it comes by for the third
time. Without the variable nothing happens. A name that is no place is refused at import, for a test
that waits for a death that cannot come proves nothing.
"""

from __future__ import annotations

import os
import signal

from execkit.errors import InvalidInput

POINTS = (
    "before_journal",  # an order was approved, nothing is written
    "after_journal",  # the intent is durable, nothing is sent
    "after_send",  # the bytes are out, no answer was read
    "after_ack",  # the venue answered, and the answer is not in the journal
    "mid_fill",  # a fill is applied, and not durable
    "mid_cancel",  # the wish to cancel is durable, nothing is sent
    "mid_kill",  # some orders of an emergency stop are canceled, some are not
    "mid_recon",  # half of the venue's answers are applied
)


def _chosen(setting: str) -> tuple[str, int]:
    point, _, count = setting.partition(":")
    if point and point not in POINTS:
        raise InvalidInput("EXECKIT_CRASH", setting, f"use one of: {', '.join(POINTS)}")
    return point, int(count or 1)


_point, _left = _chosen(os.environ.get("EXECKIT_CRASH", ""))


def crash(point: str) -> None:
    """Die here if this is the chosen place."""
    global _left
    if point == _point:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
