"""`kernel`, `inlined`, `entry`, `maker`: compiled functions whose cache knows all its sources.

numba looks only at the file of a function to decide whether its cached machine code is fresh. A
kernel that calls one in another file would go on with the old code of the other, and with arrays
laid out anew that means wrong fills or a crash. So the cache is stamped with a digest of every
source file that uses this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.np import linalg

F = TypeVar("F", bound=Callable[..., Any])


def _spare_scipy() -> None:
    """Load the part of numba that imports all of scipy.linalg just to see that it is there, and
    let it see that in less time; code that needs it imports it when it is compiled."""
    whole, linalg.ensure_blas = linalg.ensure_blas, _is_there
    try:
        import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = whole


def _is_there() -> None:
    if find_spec("scipy") is None:
        raise ImportError("scipy is not installed")


_spare_scipy()


def kernel(function: F) -> F:
    """Compile on first call by another kernel, without the GIL, and keep the code on disk.

    Python cannot call it: the wrapper for that takes as long to compile as the function. It makes
    no arrays and calls no `maker`, so nobody counts references: with counting, each call touches
    the counter of every array that it is handed, which costs far more than what a kernel does.
    """
    return _compiled(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry(function: F) -> F:
    """A `kernel` that Python calls."""
    return _compiled(function, _nrt=False, no_cfunc_wrapper=True)


def inlined(function: F) -> F:
    """A `kernel` that becomes a part of its callers, for one that is small or has one caller: a
    call hands over every array of a named tuple field by field."""
    return _compiled(
        function, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
    )


def maker(function: F) -> F:
    """An `entry` that makes arrays, for work that is called seldom."""
    return _compiled(function, no_cfunc_wrapper=True)


def _compiled(function: F, **options: bool) -> F:
    dispatcher = njit(nogil=True, cache=True, **options)(function)
    dispatcher._cache._cache_file._source_stamp = (sources_digest(),)
    return dispatcher


@cache
def sources_digest() -> str:
    """Digest of all source files of the package that kernels are made from."""
    digest = hashlib.sha256()
    for path in kernel_sources():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def kernel_sources() -> list[Path]:
    """Every file that uses this module, and the constants that kernels share."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return [f for f in files if b"execkit.kernels" in f.read_bytes() or f.name == "state.py"]
