"""Is this machine, this desk and this key fit to trade? Each finding says what to do about it.

`examine` looks at what is here: versions, disk, files, keys. `examine_exchange` asks an exchange
too: connection, clock, markets, what the key may do. Nothing is changed and no order is sent.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import shutil
import stat
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from execkit import __version__
from execkit.errors import ExecKitError
from execkit.secrets import Credentials, credential_files, load_credentials, read_names


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and there is a better way
    FAILURE = "failure"  # do not trade like this


@dataclass(frozen=True)
class Check:
    """One finding. said : what was found. fix : what to do, "" where nothing is to be done."""

    name: str
    level: Level
    said: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n{'':10}-> {self.fix}" if self.fix else ""
        return f"{self.level.value:<8}  {self.name}: {self.said}{fix}"


_OPTIONAL = ("ccxt", "keyring", "papermill", "ipykernel", "plotly", "orjson", "duckdb", "pandas")
_DESK_FILES = ("journal.sqlite", "execkit.duckdb")
_SHARED_DISKS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph"}
_LOW_BYTES, _LEAST_BYTES = 5 * 2**30, 2**28
_SLOW_S = 0.02  # a commit, in the middle: every order waits for one
_WRITES = 25


def examine(desk: Path, environ: Mapping[str, str] | None = None) -> Iterator[Check]:
    """Checks of this machine and of a desk's folder, which need not be there yet."""
    yield _python()
    yield from _packages()
    yield _ccxt_files()
    yield from _disk(desk)
    yield from _desk_files(desk)
    yield from _key_files(environ)
    yield from _surroundings(os.environ if environ is None else environ)


def examine_keys(
    exchange: str, account: str, *, demo: bool, environ: Mapping[str, str] | None = None
) -> tuple[Credentials | None, Check]:
    """The credentials of an account, and where they were found."""
    try:
        found = load_credentials(exchange, account, demo=demo, environ=environ)
    except ExecKitError as error:
        text, _, fix = str(error).partition(": ")
        return None, Check("key", Level.WARNING, text, f"{fix}; without it only public data works")
    return found, Check("key", Level.OK, f"{found.origin}, fingerprint {found.fingerprint}")


# --------------------------------------------------------------------------------- the parts


def _python() -> Check:
    said = f"execkit {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    if sys.flags.optimize:
        return Check("python", Level.FAILURE, f"{said}, -O", "run without -O: checks are off")
    return Check("python", Level.OK, said)


def _packages() -> Iterator[Check]:
    found = {name: _version(name) for name in _OPTIONAL}
    shown = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Check("packages", Level.OK, shown)
    wanted, ccxt = pinned_ccxt(), found["ccxt"]
    if not ccxt:
        fix = "pip install 'execkit[live]' to reach exchanges"
        yield Check("ccxt", Level.WARNING, "not installed", fix)
    elif wanted and ccxt != wanted:
        fix = f"pip install ccxt=={wanted}: what its errors mean is known of that version only"
        yield Check("ccxt", Level.FAILURE, f"{ccxt} is not the version that was tested", fix)
    else:
        yield Check("ccxt", Level.OK, f"{ccxt}, the version that was tested")


def pinned_ccxt() -> str:
    """The one version of ccxt that this execkit goes with; "" where execkit is not installed."""
    for requirement in metadata.requires("execkit") or () if _version("execkit") else ():
        found = re.match(r"ccxt==([\w.]+)", requirement)
        if found:
            return found[1]
    return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _ccxt_files() -> Check:
    """Keys go through ccxt's code: are its files those that were published?"""
    if not _version("ccxt"):
        return Check("ccxt files", Level.OK, "nothing to compare")
    owners = set(metadata.packages_distributions().get("ccxt", ()))
    if owners != {"ccxt"}:
        fix = f"uninstall {', '.join(sorted(owners - {'ccxt'}))}, then reinstall ccxt"
        return Check("ccxt files", Level.FAILURE, "another package writes into ccxt", fix)
    changed = changed_files("ccxt")
    if changed:
        fix = f"pip install --force-reinstall ccxt=={pinned_ccxt() or _version('ccxt')}"
        said = f"{len(changed)} files are not as published, the first is {changed[0]}"
        return Check("ccxt files", Level.FAILURE, said, fix)
    return Check("ccxt files", Level.OK, "as published")


def changed_files(distribution: str) -> list[str]:
    """Python files of an installed package whose content is not what its record says, or that are
    in its folder and not in its record."""
    # read here: another library may have replaced the finder by one that leaves out missing files
    found = metadata.distribution(distribution)
    record = csv.reader((found.read_text("RECORD") or "").splitlines())
    known = {row[0]: row[1] for row in record if row and row[0].endswith(".py")}
    root, changed = Path(str(found.locate_file(""))), []
    for name, expected in known.items():
        kind, _, digest = expected.partition("=")
        path = root / name
        if not path.is_file() or _digest(path, kind) != digest:
            changed.append(name)
    for folder in {root / name.split("/")[0] for name in known if name.endswith("__init__.py")}:
        own = (path.relative_to(root).as_posix() for path in folder.rglob("*.py"))
        changed += [name for name in own if name not in known]
    return sorted(changed)


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind or "sha256", path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _disk(desk: Path) -> Iterator[Check]:
    folder = next(p for p in (desk.absolute(), *desk.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:,.1f} GiB free at {folder}"
    fix = "free some space: an order that cannot be written down is not sent"
    level = Level.FAILURE if free < _LEAST_BYTES else Level.WARNING
    yield Check("disk", level, said, fix) if free < _LOW_BYTES else Check("disk", Level.OK, said)
    kind = _file_system(folder)
    if kind in _SHARED_DISKS:
        fix = "put the desk on a disk of this machine: locks and commits are not safe over networks"
        yield Check("file system", Level.FAILURE, f"{folder} is on {kind}", fix)
    try:
        took = commit_times_s(folder)
    except OSError as error:
        yield Check("commit", Level.FAILURE, f"{folder}: {error.strerror}", "make it writable")
        return
    middle = statistics.median(took)
    said = f"{middle * 1000:.2f} ms in the middle, {max(took) * 1000:.1f} ms at worst"
    fix = "use a faster disk: every order waits for one commit"
    slow = middle > _SLOW_S
    yield Check("commit", Level.WARNING, said, fix) if slow else Check("commit", Level.OK, said)


def commit_times_s(folder: Path) -> list[float]:
    """How long it takes until 512 bytes are on the disk, a number of times."""
    out = []
    fd, name = tempfile.mkstemp(prefix=".execkit-", dir=folder)
    try:
        for _ in range(_WRITES):
            started = time.perf_counter()
            os.write(fd, bytes(512))
            os.fsync(fd)
            out.append(time.perf_counter() - started)
    finally:
        os.close(fd)
        os.unlink(name)
    return out


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on; "" where this is not told."""
    best = ("", "")
    with suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, point, kind, *_ = line.split()
            inside = folder == Path(point) or Path(point) in folder.parents
            if inside and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def _desk_files(desk: Path) -> Iterator[Check]:
    if not any((desk / name).exists() for name in _DESK_FILES):
        yield Check("desk", Level.OK, f"none at {desk.absolute()}; one will be its owner's alone")
        return
    open_to = [p for p in (desk, *desk.rglob("*")) if _open_to_others(p)]
    if open_to:
        said = f"{len(open_to)} of its files and folders are open to others, as {open_to[0]}"
        yield Check("desk", Level.FAILURE, said, f"run chmod -R go= {desk}")
    else:
        yield Check("desk", Level.OK, f"{desk} is readable by its owner alone")


def _open_to_others(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:  # a passing file of a running engine
        return False
    return not stat.S_ISLNK(status.st_mode) and bool(stat.S_IMODE(status.st_mode) & 0o077)


def _key_files(environ: Mapping[str, str] | None) -> Iterator[Check]:
    for path in credential_files(environ):
        if not path.is_file():
            continue
        try:
            read_names(path)
        except (ExecKitError, OSError) as error:
            yield Check("key file", Level.FAILURE, str(error), f"run chmod 600 {path}")
        else:
            yield Check("key file", Level.OK, f"{path} can be read, and by its owner alone")


def _surroundings(environ: Mapping[str, str]) -> Iterator[Check]:
    proxies = [name for name in environ if name.lower() in ("http_proxy", "https_proxy")]
    if proxies:
        said = f"{', '.join(proxies)} is set, and not followed on the way to exchanges"
        yield Check("proxy", Level.OK, said)
