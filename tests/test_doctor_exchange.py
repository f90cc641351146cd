"""What the doctor finds when it asks an exchange: a rehearsal, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from execkit.cli import main
from execkit.doctor import Check, Level
from execkit.doctor_exchange import examine_exchange
from execkit.rehearsal import Rehearsal
from execkit.secrets import Credentials, Secret
from execkit.venues.quirks import quirks_for

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
LIVE_KEY = "LIVE0123456789abcdefLIVE0123456789abcdef"


def keys_of(r: Rehearsal) -> Credentials:
    made = {name: Secret(text) for name, text in r.credentials.items()}
    return Credentials(made["key"], made["secret"], origin="BINANCE_API_KEY in the environment")


def found(change: Callable[[Rehearsal], object] = bool, **named: object) -> dict[str, Check]:
    async def run() -> list[Check]:
        async with Rehearsal("binance") as r:
            change(r)
            keys = named.pop("keys", None) or keys_of(r)
            asked = examine_exchange(quirks_for("binance"), keys, route=r.route, **named)  # type: ignore[arg-type]
            return await asked

    checks = asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    return {check.name: check for check in checks}


def with_key(r: Rehearsal, **rights: bool) -> None:
    r.exchange.add_key(replace(r.key, **rights))  # type: ignore[arg-type]


def test_all_is_well_with_a_key_that_can_only_trade() -> None:
    checks = found()

    assert {name: check.level for name, check in checks.items()} == dict.fromkeys(
        ("connection", "clock", "markets", "account", "key"), Level.OK
    )


def test_a_key_that_can_withdraw_is_a_failure_that_names_it() -> None:
    key = found(lambda r: with_key(r, may_withdraw=True))["key"]

    assert key.level is Level.FAILURE
    assert "BINANCE_API_KEY in the environment" in key.said
    assert "make one that cannot" in key.fix


def test_a_key_for_any_address_is_a_warning() -> None:
    key = found(lambda r: with_key(r, ip_restricted=False))["key"]

    assert key.level is Level.WARNING
    assert key.fix


def test_a_key_of_another_world_is_a_failure_that_says_so_and_does_not_show_it() -> None:
    keys = Credentials(Secret(LIVE_KEY), Secret(LIVE_KEY[::-1]), origin="BINANCE_API_KEY in .env")
    key = found(keys=keys)["key"]

    assert key.level is Level.FAILURE
    assert "BINANCE_API_KEY in .env" in key.said
    assert "key of the live exchange and not of the test world" in key.fix
    assert LIVE_KEY not in str(key)


@pytest.mark.parametrize(
    ("skew_ms", "level"), [(0, Level.OK), (3000, Level.WARNING), (-60_000, Level.FAILURE)]
)
def test_a_clock_that_is_off_is_found(skew_ms: int, level: Level) -> None:
    checks = found(lambda r: setattr(r.dialect, "skew_ms", skew_ms))

    assert checks["clock"].level is level
    assert checks["account"].level is Level.OK  # requests carry the exchange's time


def test_an_exchange_that_is_down_is_one_failure() -> None:
    async def run() -> list[Check]:
        async with Rehearsal("binance") as r:
            route = r.route
            await r.hang_up()
            return await examine_exchange(quirks_for("binance"), keys_of(r), route=route)

    (check,) = asyncio.run(asyncio.wait_for(run(), PATIENCE_S))

    assert (check.name, check.level) == ("connection", Level.FAILURE)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.0.2.1:1", "`execkit rehearse` prints"),
        ("https://127.0.0.1", "`execkit rehearse` prints"),
        ("http://127.0.0.1:9", "no rehearsal answers"),
    ],
)
def test_only_a_rehearsal_on_this_machine_is_asked_for_keys(
    url: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--rehearsal", url]) == 1
    assert words in capsys.readouterr().err


def test_the_command_ends_with_one_object_and_fails_when_something_fails(tmp_path: Path) -> None:
    async def doctor(r: Rehearsal) -> tuple[int, dict[str, object], str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "execkit.cli", "doctor", "--rehearsal", r.admin_url, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        )
        out, err = await process.communicate()
        return int(process.returncode or 0), json.loads(out), out.decode() + err.decode()

    async def run() -> None:
        async with Rehearsal("binance") as r:
            status, told, shown = await doctor(r)
            assert (status, told["ok"]) == (0, True)
            assert {"kind": "spot", "feature": "market", "support": "native", "note": ""} in told[
                "capabilities"
            ]  # type: ignore[operator]
            with_key(r, may_withdraw=True)
            status, told, shown = await doctor(r)
            assert (status, told["ok"]) == (1, False)
            assert "can withdraw funds" in str(told["error"])
            assert r.key.secret not in shown
            assert r.key.key not in shown

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S * 2))
