"""Keys are found by name, in the order that the page says, and never shown."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import pytest

from execkit import redaction
from execkit.errors import FixRequest, InvalidInput
from execkit.secrets import Credentials, Secret, key_names, load_credentials, read_names

KEY, SECRET, WORD = "key0123456789abcdefghij", "secret0123456789abcdefg", "pass-phrase-42"
BINANCE = {"BINANCE_API_KEY": KEY, "BINANCE_API_SECRET": SECRET}


class _Ring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[_Ring]:
    """An empty place: no environment, no files, an empty keyring, no secrets of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(redaction, "_heads", ())
    before, mine = keyring.get_keyring(), _Ring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


def write(path: Path, mode: int = 0o600, **names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in names.items()))
    path.chmod(mode)
    return path


# --------------------------------------------------------------------------------- the types


def test_a_secret_is_shown_nowhere() -> None:
    one = Secret(SECRET)
    shown = [
        repr(one),
        str(one),
        f"{one}",
        f"{one:>50}",
        "{}".format(one),  # noqa: UP032
        repr([one]),
    ]

    assert SECRET not in "".join(shown)
    with pytest.raises(TypeError):
        json.dumps(one)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(one)
    with pytest.raises(TypeError, match="not pickled"):
        one.__getstate__()
    assert not hasattr(one, "__dict__")


def test_copies_of_a_secret_are_the_secret_itself() -> None:
    one = Credentials(Secret(KEY), Secret(SECRET))

    assert copy.copy(one.key) is one.key
    assert copy.deepcopy(one).secret is one.secret
    assert SECRET not in str(asdict(one))


def test_a_secret_equals_its_text_and_nothing_else() -> None:
    one = Secret(SECRET)

    assert one == Secret(SECRET)
    assert one == SECRET
    assert one != Secret(KEY)
    assert one != 5
    with pytest.raises(TypeError):
        hash(one)
    with pytest.raises(AttributeError):
        one.text = "x"  # type: ignore[attr-defined]


def test_what_is_revealed_signs_and_sends_but_is_not_shown_in_a_dictionary() -> None:
    text = Secret(SECRET).reveal()

    assert text == SECRET
    assert text.encode() == SECRET.encode()
    assert SECRET not in repr({"secret": text})
    with pytest.raises(TypeError):
        pickle.dumps(text)


def test_plain_text_becomes_secret_and_halves_are_refused() -> None:
    made = Credentials(KEY, SECRET, WORD)  # type: ignore[arg-type]

    assert made.password == WORD
    assert KEY not in repr(made)
    assert len(made.fingerprint) == 8
    assert made.fingerprint not in KEY
    with pytest.raises(InvalidInput):
        Credentials(KEY, "")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Secret("")


# ------------------------------------------------------------------------------- the places


def test_the_environment_is_asked_first(ring: _Ring) -> None:
    write(Path(".env"), **dict.fromkeys(BINANCE, "from-the-file-0001"))
    found = load_credentials("binance", environ={**BINANCE, "BINANCE_API_PASSWORD": WORD})

    assert (found.key, found.secret, found.password) == (KEY, SECRET, WORD)
    assert found.origin == "BINANCE_API_KEY in the environment"


def test_then_the_file_here_then_the_own_file_then_the_keyring(ring: _Ring, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    own = tmp_path / "home" / ".config" / "execkit" / "credentials"
    for name in BINANCE:
        ring.set_password("execkit", name, f"ring-{name}")

    assert load_credentials("binance", environ=home).origin.endswith("in the keyring")
    write(own, **BINANCE)
    assert load_credentials("binance", environ=home).origin.endswith(str(own))
    write(Path(".env"), **BINANCE)
    assert load_credentials("binance", environ=home).origin.endswith(".env")


def test_reading_a_file_exports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    write(Path(".env"), **BINANCE)
    load_credentials("binance", environ={})

    assert "BINANCE_API_KEY" not in os.environ


def test_accounts_and_worlds_have_names_of_their_own() -> None:
    assert key_names("binance")[0] == "BINANCE_API_KEY"
    assert key_names("okx", "alice")[2] == "OKX_ALICE_API_PASSWORD"
    assert key_names("binance", demo=True)[1] == "BINANCE_DEMO_API_SECRET"
    assert key_names("gate", "my-desk", demo=True)[0] == "GATE_DEMO_MY_DESK_API_KEY"


@pytest.mark.parametrize("other", [{"account": "alice"}, {"demo": True}])
def test_the_key_of_another_account_or_world_never_stands_in(other: dict[str, object]) -> None:
    with pytest.raises(FixRequest, match=r"no API key of binance: set BINANCE_(ALICE|DEMO)_"):
        load_credentials("binance", environ=BINANCE, **other)  # type: ignore[arg-type]


def test_half_a_key_is_an_error_that_names_the_other_half_and_no_value() -> None:
    with pytest.raises(FixRequest, match="no BINANCE_API_SECRET: add it") as caught:
        load_credentials("binance", environ={"BINANCE_API_KEY": KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_of_keys_that_others_may_read_is_refused(mode: int) -> None:
    path = write(Path("keys"), mode, **BINANCE)

    with pytest.raises(InvalidInput, match="chmod 600 keys") as caught:
        load_credentials("binance", file=path)
    assert KEY not in str(caught.value)


def test_a_file_without_keys_may_be_read_by_anybody() -> None:
    assert read_names(write(Path(".env"), 0o644, OTHER="1")) == {"OTHER": "1"}


def test_the_format_of_files_is_forgiving() -> None:
    path = Path("keys")
    path.write_text(
        "# mine\n\nexport OKX_API_KEY='a b'\nOKX_API_SECRET=\"x#y\" \nOKX_API_PASSWORD = p # note\n"
    )
    path.chmod(0o600)

    assert read_names(path) == {
        "OKX_API_KEY": "a b",
        "OKX_API_SECRET": "x#y",
        "OKX_API_PASSWORD": "p",
    }


def test_a_private_key_on_one_line_gets_its_line_ends_back() -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\\nabc\\n-----END EC PRIVATE KEY-----\\n"
    environ = {"COINBASE_API_KEY": KEY, "COINBASE_API_SECRET": pem}

    assert load_credentials("coinbase", environ=environ).secret.reveal().count("\n") == 3


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"x" * 70000])
def test_a_file_that_is_no_list_of_names_is_refused(body: bytes) -> None:
    Path(".env").write_bytes(body)

    with pytest.raises(InvalidInput, match=r"\.env"):
        load_credentials("binance", environ={})


def test_a_file_that_is_named_and_not_there_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        load_credentials("binance", file="nowhere")


@pytest.mark.parametrize("name", ["", "a b", "../x", "bin$(x)"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        key_names(name)


def test_a_machine_without_a_keyring_says_where_it_looked() -> None:
    keyring.set_keyring(keyring.backends.fail.Keyring())

    with pytest.raises(FixRequest, match="looked in the environment, the keyring"):
        load_credentials("kraken", environ={})
