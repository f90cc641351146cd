"""What must not be shown is found by value, whatever form it takes and whichever way it leaves."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execkit import redaction
from execkit.chain import encoded
from execkit.redaction import by_value, cleaned, hide, redacted

SECRET = "kQ7/vT2+mZ9=wX4pL8sN1bC6hJ3dF5gA"
PEM = "-----BEGIN EC PRIVATE KEY-----\n" + "MHcCAQEEIBkFq7Jd0X3vT8mZ\n" * 4 + "-----END-----\n"


@pytest.fixture(autouse=True)
def _own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of one test are not looked for in another."""
    monkeypatch.setattr(redaction, "_heads", ())


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = logging.getLogRecordFactory()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    redaction.install()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"),
        quote(quote(SECRET, safe=""), safe=""),
        json.dumps(SECRET)[1:-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        *(base64.b64encode(b"x" * n + SECRET.encode() + b"yz").decode() for n in range(4)),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    hide(SECRET)

    shown = redacted(f"before {form} after")

    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert form[4:24] not in shown


def test_a_secret_cut_off_by_a_shortened_message_is_found() -> None:
    hide(SECRET)

    assert by_value(f"value = '{SECRET[:20]}...'") == "value = '***...'"


def test_each_line_of_a_private_key_is_found() -> None:
    line = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"
    hide(f"-----BEGIN EC PRIVATE KEY-----\n{line}\n-----END EC PRIVATE KEY-----")

    assert line not in redacted(f"  {line}\n")


@pytest.mark.parametrize("word", ["", "short", "limit_order", "rehearsal", "20260101", "BTCUSDT"])
def test_what_could_be_an_ordinary_word_is_left_alone(word: str) -> None:
    hide(word)

    assert by_value(f"a {word} b") == f"a {word} b"


@pytest.mark.parametrize(
    "text",
    [
        "GET https://api.example/order?timestamp=1&signature=0a1b2c3d4e5f60718293",
        "{'X-MBX-APIKEY': '0a1b2c3d4e5f60718293'}",
        '{"listenKey":"0a1b2c3d4e5f60718293"}',
        '{\\"listenKey\\":\\"0a1b2c3d4e5f60718293\\"}',
        "wss://stream.example/ws?listenKey=0a1b2c3d4e5f60718293",
        "OK-ACCESS-SIGN: 0a1b2c3d4e5f60718293",
        "KC-API-PASSPHRASE=0a1b2c3d4e5f60718293",
        "Authorization: Bearer 0a1b2c3d4e5f60718293",
        "X-BAPI-SIGN': '0a1b2c3d4e5f60718293'",
    ],
)
def test_what_is_made_while_running_is_found_by_its_name(text: str) -> None:
    assert redacted(text) == text.replace("0a1b2c3d4e5f60718293", "***")


def test_ordinary_texts_stay_as_they_are() -> None:
    hide(SECRET)
    text = 'signal_id=9f8e7d6c5b4a39281706, "key": "value", design: elaborate, token: bad'

    assert redacted(text) == text
    assert by_value(text) == text


SECRETS = st.text(min_size=8, max_size=60).filter(lambda s: not s.isalpha() and len(set(s)) > 5)


@given(secret=SECRETS, around=st.text(max_size=20), cut=st.integers(14, 60))
def test_a_journal_row_with_a_secret_stays_json_and_shows_none(
    secret: str, around: str, cut: int
) -> None:
    redaction._heads = ()
    hide(secret)
    payload = {"reason": around + secret + around, "cut": secret[:cut] + '"', "n": 1}

    row = json.loads(encoded("rejected", payload, 1, None, "").body)

    shown = row["reason"]
    if redaction._heads:  # else it was too plain to be looked for
        assert "***" in shown
        assert secret not in shown.replace("***", "")
    assert row["n"] == 1


def test_the_same_error_is_given_back_without_what_it_showed() -> None:
    hide(SECRET)
    cause = ValueError(f"https://x?key={SECRET}", {"apiKey": SECRET}, 7)
    try:
        try:
            raise cause
        except ValueError as error:
            raise RuntimeError(f"failed with {SECRET}") from error
    except RuntimeError as error:
        found = error

    assert cleaned(found) is found
    assert str(found) == "failed with ***"
    assert SECRET not in repr(cause.args)
    assert cause.args[2] == 7


@pytest.mark.usefixtures("hooks")
def test_log_records_of_any_logger_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    hide(SECRET)
    log = logging.getLogger("some.library")
    with caplog.at_level(logging.DEBUG):
        log.debug("headers %s and %d", {"key": SECRET}, 5)
        try:
            raise ValueError(SECRET)
        except ValueError:
            log.exception("failed")
        log.info("plain %s", "text")

    assert SECRET not in caplog.text
    assert "ValueError: ***" in caplog.text
    assert "and 5" in caplog.text
    assert "plain text" in caplog.text


@pytest.mark.usefixtures("hooks")
def test_a_log_call_with_a_bad_format_shows_no_argument(caplog: pytest.LogCaptureFixture) -> None:
    hide(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("%d", SECRET)

    assert SECRET not in caplog.text


CRASHES = """
import sys, threading
from execkit.secrets import Credentials
made = Credentials("key-0123456789abcdef", SECRET)
def fail():
    raise ValueError(f"sent {made.secret.reveal()}")
one = threading.Thread(target=fail)
one.start(); one.join()
fail()
"""


def test_uncaught_errors_of_every_thread_are_redacted() -> None:
    code = CRASHES.replace("SECRET", "sys.stdin.read()")
    done = subprocess.run(
        [sys.executable, "-c", code], input=SECRET, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert done.stderr.count("ValueError: sent ***") == 2
    assert SECRET not in done.stderr


IPYTHON = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("xmode", "Verbose")
shell.run_cell('''
from execkit.secrets import Credentials
made = Credentials("key-0123456789abcdef", sys.argv[1])
def fail(local):
    raise ValueError(f"sent {local}")
fail(str(made.secret.reveal()))
''' .replace("sys.argv[1]", "__import__('sys').argv[1]"))
"""


def test_ipython_shows_no_secret_even_with_the_values_of_variables() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IPYTHON, SECRET], capture_output=True, text=True, timeout=60
    )
    shown = done.stdout + done.stderr

    assert "ValueError" in shown
    assert "***" in shown
    assert SECRET not in shown
