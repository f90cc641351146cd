"""What is fetched over REST is all that there is: nothing twice, nothing lost at a page's edge,
holes told, and what was cut off goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.streamed import BTC, MS, PATIENCE_S, moving
from hypothesis import given, settings
from hypothesis import strategies as st

import execkit as ek
from execkit.clock import NS_PER_S
from execkit.errors import InvalidInput, RetryLater
from execkit.rehearsal import Rehearsal
from execkit.venues.client import make_client
from execkit.venues.feed import load_markets
from execkit.venues.fetching import Fetched, Fetcher
from execkit.venues.paging import Hole, Pager, Row
from execkit.venues.quirks import quirks_for

# -- paging ---------------------------------------------------------------------------------------


class Shelf:
    """All rows of an exchange, answered page by page from a time or an id on."""

    def __init__(self, rows: Sequence[Row], limit: int, *, hour_ms: int = 0) -> None:
        self.rows, self.limit, self.hour_ms, self.asked = sorted(rows), limit, hour_ms, 0

    async def __call__(self, from_ms: int, from_id: int) -> list[Row]:
        self.asked += 1
        assert self.asked < 500, "it does not end"
        if from_id >= 0:
            return [row for row in self.rows if row[1] >= from_id][: self.limit]
        end = from_ms + self.hour_ms if self.hour_ms else 2**62
        return [row for row in self.rows if from_ms <= row[0] < end][: self.limit]


def all_of(pager: Pager) -> list[Row]:
    async def run() -> list[Row]:
        return [row async for page in pager.pages() for row in page]

    return asyncio.run(run())


times = st.lists(st.integers(0, 40), max_size=40).map(sorted)


@settings(deadline=None)
@given(times, st.integers(1, 12), st.booleans(), st.sampled_from([0, 7]))
def test_every_print_comes_once_in_order_where_pages_can_hold_an_instant(
    stamps: list[int], limit: int, by_id: bool, hour: int
) -> None:
    """Many share a millisecond; where one of them holds more than a page can tell, that is a hole,
    and by ids not even that."""
    rows = [(ms, number, ()) for number, ms in enumerate(stamps)]
    pager = Pager(Shelf(rows, limit, hour_ms=hour), 5, 36, limit, by_id=by_id, window_ms=7)
    got = all_of(pager)
    wanted = [row for row in rows if 5 <= row[0] < 36]
    assert got == sorted(set(got))
    assert set(got) <= set(wanted)
    lost = {row[0] for row in set(wanted) - set(got)}
    full = {ms for ms in stamps if stamps.count(ms) >= limit}
    told = {ms for hole in pager.holes for ms in range(hole.from_ms, hole.to_ms)}
    assert lost <= full
    assert lost <= told
    if by_id and not full:
        assert not pager.holes


@given(st.sets(st.integers(0, 60), max_size=40), st.integers(2, 9))
def test_every_bar_comes_once_and_those_that_are_not_there_are_told(
    opened: set[int], limit: int
) -> None:
    rows = [(10 * n, -1, (n,)) for n in opened]
    pager = Pager(Shelf(rows, limit), 100, 500, limit, step_ms=10, window_ms=50)
    got = all_of(pager)
    assert got == sorted(row for row in rows if 100 <= row[0] < 500)
    missing = {ms for hole in pager.holes for ms in range(hole.from_ms, hole.to_ms, 10)}
    assert missing == {10 * n for n in range(10, 50) if n not in opened}


def test_an_exchange_that_tells_only_its_newest_prints_has_a_hole_before_them() -> None:
    async def newest(from_ms: int, from_id: int) -> list[Row]:
        return [(90, 7, ()), (95, 8, ())]

    pager = Pager(newest, 10, 100, 2, newest_only=True, window_ms=50)
    assert [row[1] for row in all_of(pager)] == [7, 8]
    assert (pager.holes[0].from_ms, pager.holes[0].to_ms) == (10, 90)


def test_ids_that_are_missing_are_told() -> None:
    rows = [(n, n, ()) for n in range(20) if n not in (7, 8)]
    pager = Pager(Shelf(rows, 4), 0, 30, 4, by_id=True)
    assert len(all_of(pager)) == 18
    assert pager.holes == [Hole(6, 9, "ids 7 to 8")]


# -- over the real client -------------------------------------------------------------------------


@asynccontextmanager
async def past(minutes: int = 3) -> AsyncIterator[tuple[Rehearsal, Any, Any]]:
    """An exchange with some minutes behind it, its client and quirks."""
    async with Rehearsal("binance", market=moving(minutes + 1), speed=0) as r:
        r.clock.advance_to(r.clock.start_ns // (60 * NS_PER_S) * 60 * NS_PER_S + 60 * NS_PER_S)
        r.clock.advance(minutes * 60 * NS_PER_S)
        quirks = quirks_for("binance")
        client = make_client(quirks, route=r.route)
        try:
            await load_markets(client, quirks)
            yield r, client, quirks
        finally:
            await client.close()


async def fetched(
    r: Rehearsal, client: Any, quirks: Any, kind: str, folder: Path, **more: Any
) -> Fetched:
    start, end = r.clock.start_ns, more.pop("end_ns", r.clock.now_ns())
    limit = more.pop("limit", None)
    fetcher = Fetcher(
        client, quirks, BTC, kind, start, end, folder, pause_s=0, now_ns=r.clock.now_ns(), **more
    )
    if limit is not None:
        fetcher.limit = limit
    return await fetcher.run()


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 2 * PATIENCE_S))


def test_prints_are_all_those_of_the_exchange(tmp_path: Path) -> None:
    async def work() -> Fetched:
        async with past() as (r, client, quirks):
            done = await fetched(
                r, client, quirks, "prints", tmp_path / "p", limit=17, part_rows=100
            )
            told = [p for p in r.exchange.feeds[BTC].prints if p.ts_ns < r.clock.now_ns()]
            market = ek.MarketData.load(tmp_path / "p")
            assert market.prints is not None
            assert market.prints["trade_id"].tolist() == [p.print_id for p in told]
            assert market.prints["price"].tolist() == [float(p.price) for p in told]
            assert market.prints["quantity"].tolist() == [float(p.quantity) for p in told]
            assert market.prints["aggressor"].tolist() == [int(p.buyer_is_maker) for p in told]
            assert len(told) == done.rows > 500
            assert len(list((tmp_path / "p").glob("part-*"))) > 3
            assert market.check().ok
            return done

    done = run(work())
    assert not done.holes
    assert done.requests > 30


def test_bars_are_whole_and_closed_and_those_of_the_prints(tmp_path: Path) -> None:
    async def work() -> None:
        async with past() as (r, client, quirks):
            done = await fetched(r, client, quirks, "bars", tmp_path / "b", limit=1)
            await fetched(r, client, quirks, "prints", tmp_path / "p")
            bars = ek.MarketData.load(tmp_path / "b")
            made = ek.MarketData.load(tmp_path / "p").to_bars("1m")
            assert bars.bars is not None
            assert made.bars is not None
            minute = 60 * NS_PER_S
            assert done.rows == r.clock.now_ns() // minute - -(-r.clock.start_ns // minute) >= 3
            for name in ("ts_ns", "open", "high", "low", "close", "volume"):
                whole = np.isin(made.bars["ts_ns"], bars.bars["ts_ns"])
                assert bars.bars[name].tolist() == made.bars[name][whole].tolist()
            assert bars.bar_interval_ns[BTC] == 60 * NS_PER_S

    run(work())


def test_called_again_it_goes_on_where_it_was_and_asks_for_nothing_twice(tmp_path: Path) -> None:
    async def work() -> None:
        async with past() as (r, client, quirks):
            middle = r.clock.start_ns + 100 * NS_PER_S
            first = await fetched(r, client, quirks, "prints", tmp_path, end_ns=middle, limit=50)
            second = await fetched(r, client, quirks, "prints", tmp_path, limit=50)
            third = await fetched(r, client, quirks, "prints", tmp_path, limit=50)
            assert first.resumed_ns is None
            assert second.resumed_ns is not None
            assert third.rows == 0
            told = [p.print_id for p in r.exchange.feeds[BTC].prints if p.ts_ns < r.clock.now_ns()]
            market = ek.MarketData.load(tmp_path)
            assert market.prints is not None
            assert market.prints["trade_id"].tolist() == told
            assert first.rows + second.rows == len(told)
            await fetched(r, client, quirks, "bars", tmp_path)  # another series beside it
            assert set(ek.MarketData.load(tmp_path).tables) == {"bars", "prints"}
            early = r.clock.start_ns - 3600 * NS_PER_S
            before = Fetcher(
                client, quirks, BTC, "prints", early, middle, tmp_path, now_ns=r.clock.now_ns()
            )
            with pytest.raises(InvalidInput, match="begins later"):
                await before.run()

    run(work())


def test_an_answer_that_fails_is_asked_for_again_and_what_came_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execkit.venues.fetching.FIRST_WAIT_S", 0.001)

    async def work() -> None:
        async with past() as (r, client, quirks):
            r.faults.before("public", "http", status=503, path="aggTrades", skip=2, times=3)
            done = await fetched(r, client, quirks, "prints", tmp_path / "a", limit=100)
            assert done.rows == len(r.exchange.feeds[BTC].prints)
            r.faults.before("public", "http", status=503, path="aggTrades", skip=2, times=None)
            with pytest.raises(RetryLater, match="call again"):
                await fetched(r, client, quirks, "prints", tmp_path / "b", limit=100)
            kept = ek.MarketData.load(tmp_path / "b").prints
            assert kept is not None
            assert len(kept) == 200
            r.faults.clear()
            await fetched(r, client, quirks, "prints", tmp_path / "b", limit=100)
            whole = ek.MarketData.load(tmp_path / "b").prints
            assert whole is not None
            assert len(whole) == done.rows

    run(work())


def test_what_had_come_when_it_was_cancelled_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        async with past() as (r, client, quirks):
            rule = r.faults.before("public", "hang", path="aggTrades", skip=2, seconds=60)
            task = asyncio.create_task(fetched(r, client, quirks, "prints", tmp_path, limit=100))
            while not rule.struck:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            kept = ek.MarketData.load(tmp_path).prints
            assert kept is not None
            assert kept["trade_id"].tolist() == list(range(1, 201))
            done = await fetched(r, client, quirks, "prints", tmp_path)
            assert done.rows + 200 == len(r.exchange.feeds[BTC].prints)

    run(work())


@pytest.mark.parametrize("status", [429, 418])
def test_a_rate_limit_is_waited_for(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execkit.venues.fetching.FIRST_WAIT_S", 0.001)

    async def work() -> None:
        async with past() as (r, client, quirks):
            rule = r.faults.before("public", "http", status=status, path="klines", times=2)
            done = await fetched(r, client, quirks, "bars", tmp_path)
            assert (rule.struck, done.rows >= 3) == (2, True)

    run(work())


def test_requests_keep_their_distance(tmp_path: Path) -> None:
    async def work() -> None:
        async with past() as (r, client, quirks):
            fetcher = Fetcher(
                client, quirks, BTC, "prints", r.clock.start_ns, r.clock.now_ns(), tmp_path,
                pause_s=0.02, now_ns=r.clock.now_ns(),
            )  # fmt: skip
            fetcher.limit = 100
            loop = asyncio.get_running_loop()
            begun = loop.time()
            done = await fetcher.run()
            assert loop.time() - begun >= 0.02 * (done.requests - 1)
            assert done.requests > 5

    run(work())


def test_what_cannot_be_fetched_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async def work() -> None:
        async with past(1) as (r, client, quirks):
            now = r.clock.now_ns()
            for words, symbol, kind, start in (
                ("kind", BTC, "depth", 0),
                ("symbol", "NOPEUSDT", "bars", 0),
                ("is spot", BTC, "funding", 0),
                ("not before the end", BTC, "bars", now + MS),
            ):
                with pytest.raises(InvalidInput, match=words):
                    Fetcher(client, quirks, symbol, kind, start, now, tmp_path / "x", now_ns=now)
            assert not (tmp_path / "x").exists()

    run(work())


# -- the command ----------------------------------------------------------------------------------


def parts_in(folder: Path) -> list[Path]:
    return list(folder.glob("part-*"))


async def command(r: Rehearsal, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "execkit.cli", "data", "fetch", "binance", *words,
        "--rehearsal", r.admin_url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip


def test_the_command_fetches_what_there_is_and_can_be_interrupted(tmp_path: Path) -> None:
    async def work() -> None:
        async with Rehearsal("binance", market=moving(2), speed=1) as r:
            day = str(np.datetime64(r.clock.start_ns, "ns").astype("datetime64[D]"))
            while len(r.exchange.feeds[BTC].prints) < 20:
                await asyncio.sleep(0.05)
            words = ("--prints", "--from", day, "--out", str(tmp_path))
            rule = r.faults.before("public", "hang", path="aggTrades", seconds=60)
            process = await command(r, BTC, *words)
            while not rule.struck and process.returncode is None:
                await asyncio.sleep(0.02)
            assert process.returncode is None, (await process.communicate())[1].decode()
            process.send_signal(signal.SIGINT)
            await process.communicate()
            assert process.returncode == 130
            assert not parts_in(tmp_path)
            process = await command(r, "BTC/USDT", *words, "--json")
            said, complained = await process.communicate()
            assert process.returncode == 0, complained.decode()
            told = json.loads(said.decode().splitlines()[-1])
            prints = ek.MarketData.load(tmp_path).prints
            assert prints is not None
            assert told["rows"] == len(prints) >= 20
            assert prints["trade_id"].tolist() == list(range(1, len(prints) + 1))
            assert told["n_holes"] == 0

    run(work())


@pytest.mark.parametrize(
    "words, status, said",
    [
        (["--from", "2026-01-01"], 1, "kind = []: say one of: --bars 1m, --prints, --funding"),
        (["--from", "yesterday", "--prints"], 1, "from = 'yesterday': not a time"),
        (["--from", "2026-01-01T00:00", "--prints"], 1, "the time has no zone"),
        (["--from", "2026-01-01", "--bars", "7 weeks"], 1, "7 weeks"),
    ],
)
def test_what_the_command_does_not_understand_it_says(
    words: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from execkit.cli import main

    assert main(["data", "fetch", "binance", BTC, "--out", str(tmp_path / "x"), *words]) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
