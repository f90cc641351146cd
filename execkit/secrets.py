"""Keys of exchanges: loaded by name, never shown.

A key is looked up under one name, ``BINANCE_API_KEY`` (``BINANCE_DEMO_API_KEY`` for the exchange's
testnet, ``BINANCE_ALICE_API_KEY`` for the account "alice"), in this order:

1. the environment;
2. ``.env`` in the working directory, lines of ``NAME=value``; read, not exported, so that child
   processes do not inherit it;
3. ``~/.config/execkit/credentials``, the same format;
4. the keyring, service ``execkit``: ``keyring set execkit BINANCE_API_KEY`` asks for the value.

Files must be readable by their owner alone (mode 0600), or they are refused. The engine's process
loads its own keys; notebooks, parameters, command lines and journals see names only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from execkit.errors import FixRequest, InvalidInput
from execkit.redaction import MARK, hide, install

SERVICE = "execkit"
_PARTS = ("API_KEY", "API_SECRET", "API_PASSWORD")
_MAX_FILE_BYTES = 65536
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


class Secret:
    """Text that is shown as ``***`` and compared in constant time; `reveal` gives it to who sends.

    It cannot be pickled, so it never travels to another process; copies are the same object.
    """

    __slots__ = ("__text",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise InvalidInput("secret", type(text).__name__, "pass text that is not empty")
        self.__text = text
        hide(text)

    def reveal(self) -> str:
        """The text, as a `str` whose `repr` is masked: a dictionary or object that holds it can be
        shown. Give it to the client that signs with it, and to nothing else."""
        return _Masked(self.__text)

    def __repr__(self) -> str:
        return MARK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MARK

    def __eq__(self, other: object) -> bool:
        text = other.__text if isinstance(other, Secret) else other
        if not isinstance(text, str):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), text.encode())

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: load it by name in the process that needs it")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_Secret__text" or hasattr(self, name):
            raise AttributeError("a secret does not change")
        object.__setattr__(self, name, value)


class _Masked(str):
    """The text itself to whoever encodes or sends it, and a mask to whoever shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MARK}'"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled: load it by name in the process that needs it")


@dataclass(frozen=True)
class Credentials:
    """What signs requests at one exchange. Plain text that is passed is wrapped at once.

    key, secret : for exchanges that sign with a wallet, its address and private key. password : the
    passphrase of exchanges that have one. origin : where it was found, for messages.
    """

    key: Secret
    secret: Secret
    password: Secret | None = None
    origin: str = field(default="given in code", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("key", "secret", "password"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, Secret(value) if value else None)
        if self.key is None or self.secret is None:
            raise InvalidInput("credentials", "incomplete", "give a key and a secret")
        install()

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and give nothing away."""
        return hashlib.sha256(self.key.reveal().encode()).hexdigest()[:8]


def key_names(exchange: str, account: str = "", *, demo: bool = False) -> tuple[str, str, str]:
    """The names under which the key, the secret and the password are looked up."""
    words = [exchange, "demo" if demo else "", account]
    for word, what in ((exchange, "exchange"), (account, "account")):
        if not re.fullmatch(r"[A-Za-z0-9_-]*", word) or (what == "exchange" and not word):
            raise InvalidInput(what, word, "use letters, digits, - and _ only")
    stem = "_".join(re.sub("-", "_", word).upper() for word in words if word)
    key, secret, password = (f"{stem}_{part}" for part in _PARTS)
    return key, secret, password


def load_credentials(
    exchange: str,
    account: str = "",
    *,
    demo: bool = False,
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """Find the credentials of an exchange by name; the first place that knows the key counts.

    Parameters
    ----------
    account : of several at one exchange. Keys of other accounts, the unnamed one too, never stand
        in for it.
    demo : those of the exchange's testnet. A live key is never tried there, nor the reverse.
    file : look only here: lines of NAME=value, mode 0600.
    environ : instead of the process's environment.

    Raises
    ------
    FixRequest : nothing found, or a key without its secret; the message has the names, no value.
    InvalidInput : a file with keys that others may read.
    """
    key, secret, password = names = key_names(exchange, account, demo=demo)
    looked = []
    for place, look in _places(file, os.environ if environ is None else environ):
        looked.append(place)
        found = {name: value for name in names if (value := look(name))}
        if not found:
            continue
        missing = [name for name in (key, secret) if name not in found]
        if missing:
            raise FixRequest(f"{place} has {', '.join(found)} and no {missing[0]}: add it there")
        texts = [_text(found.get(name, "")) for name in names]
        return Credentials(
            Secret(texts[0]),
            Secret(texts[1]),
            Secret(texts[2]) if texts[2] else None,
            origin=f"{key} in {place}",
        )
    raise FixRequest(
        f"no API key of {exchange}: set {key} and {secret} (and {password} where the exchange has "
        f"a passphrase) in the environment or in a file of mode 0600, or run `keyring set "
        f"{SERVICE} {key}`; looked in {', '.join(looked)}"
    )


Look = Callable[[str], str | None]


def _places(
    file: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> Iterator[tuple[str, Look]]:
    """Places and how to ask them; a file is opened only when its turn comes."""
    if file is not None:
        if not Path(file).is_file():
            raise InvalidInput("file", str(file), "there is no such file of keys")
        yield str(file), read_names(Path(file)).get
        return
    yield "the environment", environ.get
    for path in credential_files(environ):
        if path.is_file():
            yield str(path), read_names(path).get
    yield "the keyring", _from_keyring


def credential_files(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Where files of keys are looked for, there or not: .env here, then the user's own."""
    here = os.environ if environ is None else environ
    config = here.get("XDG_CONFIG_HOME") or os.path.join(here.get("HOME") or "~", ".config")
    return Path(".env"), Path(config).expanduser() / "execkit" / "credentials"


def read_names(path: Path) -> dict[str, str]:
    """NAME=value lines of a file; quotes around a value, ``export`` and ``#`` lines are fine.

    Raises `InvalidInput` if the file has API keys and others than its owner may read it, or if it
    is not a small text file.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())  # of the file that is read, not of what replaced it
        raw = file.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise InvalidInput("file", str(path), f"is larger than {_MAX_FILE_BYTES} bytes: no keys")
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput("file", str(path), "is not UTF-8 text: write NAME=value lines") from None
    out: dict[str, str] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found:
            out[found[1]] = _unquoted(found[2])
    if any(name.endswith(_PARTS) for name in out):
        _refuse_readable(path, status)
    return out


def _refuse_readable(path: Path, status: os.stat_result) -> None:
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise InvalidInput(
            "file", str(path), f"holds API keys and has mode {mode}: run chmod 600 {path}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise InvalidInput("file", str(path), "holds API keys and belongs to another user")


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text.partition(" #")[0].rstrip()


def _text(value: str) -> str:
    """A value as it was meant: without the blanks of a paste; a key in PEM form, which must fit one
    line in the environment, with its line ends."""
    return value.strip().replace("\\n", "\n") if "-----BEGIN" in value else value.strip()


def _from_keyring(name: str) -> str | None:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    try:
        found: Any = keyring.get_password(SERVICE, name)
    except keyring.errors.NoKeyringError:  # a server without a desktop: the other places remain
        return None
    except keyring.errors.KeyringError as error:
        raise FixRequest(f"the keyring does not open ({error}): unlock it and try again") from None
    return str(found) if found else None
