"""`execkit rehearse` in a process of its own, and the snippet that it prints."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ccxt.pro as ccxt_pro
import pytest

from execkit import cli
from execkit.venues.route import Route


@contextmanager
def started(*arguments: str) -> Iterator[dict[str, Any]]:
    """What the process says once it listens; it must end well when it is told to."""
    command = [sys.executable, "-m", "execkit.cli", "rehearse", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # it is a pipe
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


def test_another_process_trades_on_it_with_what_info_says() -> None:
    async def use(told: dict[str, Any], info: dict[str, Any]) -> None:
        client = ccxt_pro.binance(
            {
                "apiKey": info["key"],
                "secret": info["secret"],
                "enableRateLimit": False,
                "options": {"fetchMargins": False, "fetchMarkets": {"types": ["spot"]}},
            }
        )
        client.has["fetchCurrencies"] = False
        Route.of(info).attach(client)
        try:
            sent = await client.create_order("BTC/USDT", "market", "buy", 0.01)
            assert sent["status"] == "closed"
        finally:
            await client.close()

    with started("--generate", "3", "--hours", "0.1") as told:
        with urllib.request.urlopen(f"{told['admin_url']}/info") as answer:
            info = json.load(answer)
        assert told["symbols"] == ["BTCUSDT", "BTCUSDT:USDT"]
        asyncio.run(asyncio.wait_for(use(told, info), 60))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--exchange", "nowhere"], "rehearsals speak: binance"),
        (["--data", "x", "--generate", "1"], "either --data or --generate"),
        (["--speed", "-1"], "speed"),
        (["--data", "no-such-folder"], "no-such-folder"),
    ],
)
def test_what_it_cannot_start_is_said_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rehearse", *arguments]) == 1
    assert words in capsys.readouterr().err
