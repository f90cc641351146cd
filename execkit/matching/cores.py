"""How many cores a run may use for itself."""

from __future__ import annotations

import os
import threading


def own_cores() -> int:
    """All cores in the main thread, one in any other: who started that one, such as a sweep, has
    shared the cores out already, and runs that divide themselves again are slower for it."""
    return (os.cpu_count() or 1) if threading.current_thread() is threading.main_thread() else 1
