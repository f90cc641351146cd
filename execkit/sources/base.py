"""What a data source is, how one is found for a path, and reading files whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar

import zstandard

from execkit.errors import InvalidData, InvalidInput
from execkit.market import MarketData
from execkit.tables import Finding
from execkit.words import normalise_symbol

T = TypeVar("T")

HEAD_BYTES = 262_144
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError)
"""What the decompressors raise for a damaged or cut file, beside OSError."""

SIDECARS = (".md", ".txt", ".checksum", ".crc", ".toml", ".ipynb", ".py")


class Source(Protocol):
    """One format of market data.

    `sniff` looks at a file (name and first bytes) and says whether the format is this one; it
    raises nothing for foreign files. `read` turns files that belong together (days that continue
    one another, a book and its messages) into one `MarketData`; `symbol` names the market where
    the files do not, and otherwise picks it. `read` raises `InvalidData` naming the path for a
    corrupt, truncated or empty file.
    """

    name: str

    def sniff(self, path: Path) -> bool: ...

    def read(self, paths: tuple[Path, ...], symbol: str | None = None) -> MarketData: ...


def sources() -> tuple[Source, ...]:
    """All sources, the most specific first."""
    from execkit.sources import NAMES

    found: list[Source] = [import_module(f"execkit.sources.{name}").SOURCE for name in NAMES]
    return tuple(found)


def open_path(path: str | Path | Sequence[str | Path], symbol: str | None = None) -> MarketData:
    """Read files, and every file of a folder that some source knows, into one `MarketData`.

    Raises `InvalidInput` if nothing is there and `InvalidData` if nothing in it is understood.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, (str, Path)) else path)]
    for one in paths:
        if not one.exists():
            raise InvalidInput("path", str(one), "there is no such file or folder")
    groups: dict[str, tuple[Source, list[Path]]] = {}
    ignored = []
    for file in (file for one in paths for file in files_in(one)):
        if file.stat().st_size == 0:
            raise InvalidData(f"{file} is empty: fetch it again, or remove it")
        if not os.access(file, os.R_OK):
            raise InvalidData(f"{file} may not be read by this user: change its permissions")
        source = next((s for s in sources() if s.sniff(file)), None)
        if source is None:
            ignored.append(file)
        else:
            groups.setdefault(source.name, (source, []))[1].append(file)
    if not groups:
        names = ", ".join(source.name for source in sources())
        raise InvalidData(
            f"{', '.join(map(str, paths))} holds no market data in a known format "
            f"({names}): check that it is whole, or read it "
            "with pandas and use MarketData.from_bars, from_quotes, from_prints, from_depth"
        )
    parts = [source.read(tuple(files), symbol) for source, files in groups.values()]
    market = parts[0].combine(*parts[1:])
    if ignored:
        shown = ", ".join(file.name for file in ignored[:5])
        detail = f"not market data in a known format, left out: {shown}"
        row = Finding("ignored_file", "info", "", "", len(ignored), -1, detail)
        market = market.with_notes(row)
    return market


def files_in(path: Path) -> list[Path]:
    """The file itself, or the files of a folder that may hold data, sorted."""
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
    return [p for p in found if p.suffix.lower() not in SIDECARS]


def _hidden(path: Path) -> bool:
    """Whether a name on the way begins with a dot: a file that is still being written is there."""
    return any(part.startswith(".") for part in path.parts)


def pick(market: MarketData, symbol: str | None) -> MarketData:
    """The whole market, or one symbol of it; `InvalidInput` naming those there are."""
    return market if symbol is None else market.select(symbol)


def wanted(name: str, symbol: str | None) -> bool:
    """Whether data of `name` is asked for."""
    return symbol is None or normalise_symbol(name) == normalise_symbol(symbol)


def combine_all(
    parts: Iterable[MarketData], paths: Iterable[Path], symbol: str | None
) -> MarketData:
    """One market of the parts a source read; an error if the symbol asked for is not among them."""
    found = list(parts)
    if not found:
        where = ", ".join(str(p) for p in paths)
        raise InvalidInput("symbol", symbol, f"there is nothing of it in {where}")
    return found[0].combine(*found[1:])


def read_bytes(path: Path) -> bytes:
    """The whole file, decompressed by its magic number (gz, bz2, xz, zst, zip of one member)."""
    raw = guarded(path, path.read_bytes)
    return guarded(path, _decompress, raw, path)


def head(path: Path) -> bytes:
    """The first 256 KiB of the decompressed file; empty if it cannot be decompressed."""
    stat = path.stat()
    return _head(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _head(path: Path, mtime_ns: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic[:2] == b"\x1f\x8b":
                return _upto(gzip.GzipFile(fileobj=file))
            if magic[:3] == b"BZh":
                return _upto(bz2.BZ2File(file))
            if magic[:4] == b"\xfd7zX":
                return _upto(lzma.LZMAFile(file))
            if magic == b"\x28\xb5\x2f\xfd":
                return zstandard.ZstdDecompressor().stream_reader(file).read(HEAD_BYTES)
            if magic == b"PK\x03\x04":
                with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as one:
                    return one.read(HEAD_BYTES)
            return file.read(HEAD_BYTES)
    except (*DAMAGE, OSError):
        return b""


def _upto(file: io.BufferedIOBase) -> bytes:
    """What can be read of the first 256 KiB, though the stream may be cut soon after."""
    out = b""
    while len(out) < HEAD_BYTES:
        try:
            more = file.read1(4096)
        except (*DAMAGE, OSError):
            break
        if not more:
            break
        out += more
    return out


def _decompress(raw: bytes, path: Path) -> bytes:
    if raw[:2] == b"\x1f\x8b":
        return gzip.decompress(raw)
    if raw[:3] == b"BZh":
        return bz2.decompress(raw)
    if raw[:4] == b"\xfd7zX":
        return lzma.decompress(raw)
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        # a frame cut short ends the stream quietly, so its completeness is asked for
        stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
        out = stream.decompress(raw)
        if not stream.eof:
            raise EOFError("the zstd frame is cut short")
        rest = stream.unused_data
        return out + (_decompress(rest, path) if rest else b"")
    if raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            if len(names) != 1:
                raise InvalidData(f"{path} holds {len(names)} files: unpack it, load the folder")
            return archive.read(names[0])
    return raw


def guarded(path: Path, work: Callable[..., T], *args: object) -> T:
    """`work(*args)`; every sign of a damaged file becomes one `InvalidData` naming the path."""
    try:
        return work(*args)
    except InvalidData:
        raise
    except InvalidInput as error:
        if str(path) in str(error):
            raise
        raise InvalidData(f"{path}: {error}") from error
    except (*DAMAGE, OSError) as error:
        raise InvalidData(
            f"{path} cannot be read ({error or type(error).__name__}): it is damaged or "
            "cut short; fetch it again"
        ) from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidData(
            f"{path} is damaged or not in the format its name says ({type(error).__name__}: "
            f"{str(error)[:200]}); fetch it again, or check where it comes from"
        ) from error
