"""Compiled code on disk is used again, and never when a source that it was made from changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLEE = "from execkit.kernels import kernel\n\n\n@kernel\ndef inner(x):\n    return x + {n}\n"
CALLER = """from execkit.kernels import entry
from inner_kernel import inner


@entry
def outer(x):
    return inner(x) * 10


print(outer(1), sum(outer.stats.cache_hits.values()))
"""


def outer(folder: Path, digest: str) -> str:
    """Run the caller in a fresh process that takes the sources' digest to be `digest`."""
    code = (
        f"import execkit.kernels as k; k.sources_digest = lambda: {digest!r}; import outer_kernel"
    )
    env = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_change_in_a_called_kernel_recompiles_its_callers(tmp_path: Path) -> None:
    """numba alone would go on with the old callee: the caller's own file did not change."""
    (tmp_path / "outer_kernel.py").write_text(CALLER)
    (tmp_path / "inner_kernel.py").write_text(CALLEE.format(n=1))
    assert outer(tmp_path, "a") == "20 0"
    assert outer(tmp_path, "a") == "20 1"

    (tmp_path / "inner_kernel.py").write_text(CALLEE.format(n=2))
    assert outer(tmp_path, "b") == "30 0"


def test_the_digest_covers_every_kernel_source() -> None:
    """Each module that compiles something, and the constants they share, are in the digest."""
    from execkit import kernels

    root = Path(kernels.__file__).parent
    covered = {p.name for p in kernels.kernel_sources()}
    compiled = {p.name for p in root.rglob("*.py") if "@kernel" in p.read_text()}
    assert compiled <= covered
    assert {"state.py", "book.py"} <= covered


def test_scipy_is_not_imported_before_a_kernel_needs_it() -> None:
    """numba imports all of its linear algebra otherwise; code that does use it still works."""
    code = (
        "import sys, numpy as np; from numba import njit; import execkit.kernels\n"
        "print('scipy.linalg' in sys.modules)\n"
        "print(njit(lambda a: np.dot(a, a))(np.eye(2)).sum(), 'scipy.linalg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "2.0", "True"]
