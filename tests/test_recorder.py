"""What a recording holds is what was received; a kill costs the open part and no other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.streamed import BTC, MS, PATIENCE_S, move, moving, streamed, until

import execkit as ek
from execkit.clock import NS_PER_S, ReplayClock
from execkit.errors import InvalidData, InvalidInput
from execkit.rehearsal import Rehearsal
from execkit.rehearsal.markets import spot
from execkit.sources.native import OPENING
from execkit.venues.board import Board
from execkit.venues.feed_events import DepthMessage, Event, MarketPrint
from execkit.venues.recording import GAPS, Recording, market_of

COIN = spot(BTC, "BTC", "USDT", "0.5", "0.001")
STEP = 100 * MS


def board(kinds: tuple[str, ...] = ("depth", "prints", "quotes", "bars", "funding")) -> Board:
    return Board({BTC: COIN}, kinds, clock=ReplayClock(1_767_967_200 * NS_PER_S))


def fill(b: Board, n: int, start: int = 0) -> None:
    """A book from a snapshot, then changes and prints, each a millisecond after the other."""
    for i in range(start, start + n):
        assert isinstance(b.clock, ReplayClock)
        b.clock.advance_to(b.clock.now_ns() + MS)
        ts = b.clock.now_ns() - 7 * MS
        if i == 0:
            rows = [(0, 99.0, 1.0), (0, 98.5, 2.0), (1, 100.0, 1.5)]
            b.take_depth(BTC, ts, b.stamp(), rows, snapshot=True, last_seq=0)
        elif i % 2:
            side, price = (0, 98.5 - 0.5 * (i % 5)) if i % 4 == 1 else (1, 100.0 + 0.5 * (i % 5))
            b.take_depth(BTC, ts, b.stamp(), [(side, price, i % 7 + 0.25)], last_seq=i)
        else:
            b.take_print(BTC, ts, b.stamp(), 99.0 + 0.5 * (i % 3), 0.001 * i, i % 3, i)


def test_all_kinds_of_rows_are_kept_with_both_clocks_and_their_order(tmp_path: Path) -> None:
    async def run() -> None:
        b = board()
        recording = Recording(b, tmp_path, "binance")
        fill(b, 40)
        b.take_quote(BTC, None, b.stamp(), (99.0, 1.0), (100.0, 2.0))
        for minute in range(2):
            opened = b.clock.now_ns() // (60 * NS_PER_S) * 60 * NS_PER_S + minute * 60 * NS_PER_S
            b.take_bar(BTC, opened, (1.0, 2.0, 0.5, 1.5, 10.0), 60 * NS_PER_S)
        b.take_funding(BTC, b.clock.now_ns(), 0.0001, 99.5)
        await recording.close()

    asyncio.run(run())
    market = ek.MarketData.load(tmp_path)
    assert {k: len(t) for k, t in market.tables.items()} == {
        "bars": 2, "quotes": 1, "prints": 19, "depth": 23, "funding": 1,
    }  # fmt: skip
    assert market.instruments[BTC] == COIN
    assert market.shared_seq
    assert market.bar_interval_ns[BTC] == 60 * NS_PER_S
    depth, prints = market.depth, market.prints
    assert depth is not None
    assert prints is not None
    assert (depth["local_ts_ns"] - depth["ts_ns"] >= 7 * MS).all()
    assert prints["trade_id"].tolist() == list(range(2, 40, 2))
    assert prints["aggressor"].tolist() == [i % 3 for i in range(2, 40, 2)]
    assert market.check().ok


def test_parts_together_are_the_whole_whichever_way_it_was_cut(tmp_path: Path) -> None:
    async def run(folder: Path, cuts: set[int]) -> list[Path]:
        b, parts = board(("depth", "prints")), []
        recording = Recording(b, folder, "binance")
        for i in range(60):
            fill(b, 1, i)
            if i in cuts:
                parts.append(await recording.rotate())
        assert await recording.rotate() or 59 in cuts
        assert await recording.rotate() is None  # nothing came since
        await recording.close()
        return [p for p in parts if p]

    asyncio.run(run(tmp_path / "whole", set()))
    parts = asyncio.run(run(tmp_path / "cut", {0, 7, 8, 31, 59}))
    whole, cut = ek.MarketData.load(tmp_path / "whole"), ek.MarketData.load(tmp_path / "cut")
    for kind, table in whole.tables.items():
        pd.testing.assert_frame_equal(table.frame(), cut.tables[kind].frame())
    assert len(parts) == 5

    last = whole.span()[1]
    shutil.rmtree(parts[0])
    shutil.rmtree(parts[1])  # to make room: what is left begins with the book as it stood
    rest = ek.MarketData.load(tmp_path / "cut")
    for side in ("bids", "asks"):
        kept, known = (
            getattr(rest.book_at(BTC, last), side),
            getattr(whole.book_at(BTC, last), side),
        )
        assert kept.tolist() == known.tolist()
    alone = ek.MarketData.load(parts[3])
    assert alone.book_at(BTC, last).bids.tolist()
    assert (parts[3] / OPENING).is_file()


def test_the_market_as_received_is_in_order_of_receipt() -> None:
    events: list[Event] = []
    b = board(("depth", "prints"))
    b.listen(events.append)
    fill(b, 40)
    market = market_of(events, b.instruments, "binance").as_received()
    for kind in (DepthMessage, MarketPrint):
        table = market.depth if kind is DepthMessage else market.prints
        stamps = [e.local_ts_ns for e in events if isinstance(e, kind)]
        assert table is not None
        assert sorted(set(table["ts_ns"].tolist())) == stamps
    bare = ek.MarketData.from_prints(
        {"ts_ns": [1], "price": [1.0], "quantity": [1.0]}, symbol="A", venue=""
    )
    with pytest.raises(InvalidData, match="local_ts_ns"):
        bare.as_received()


def test_gaps_are_notes_of_the_market_and_a_table_beside_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with streamed(record=tmp_path) as (r, feed):
            await move(r, feed, 5 * STEP)
            r.faults.stream("depth", "reset")
            r.clock.advance(STEP)
            await until(lambda: len(feed.board.gaps) > 0)
            await until(lambda: feed.board.quote(BTC) is not None)
            await move(r, feed, 5 * STEP)

    asyncio.run(asyncio.wait_for(run(), 2 * PATIENCE_S))
    market = ek.MarketData.load(tmp_path)
    (note,) = [n for n in market.notes if n.table == "depth"]
    assert (note.kind, note.severity, note.symbol) == ("gap", "warning", BTC)
    assert "disconnected" in note.detail
    table = pd.read_parquet(next(tmp_path.glob(f"part-*/{GAPS}")))
    row = table[table["kind"] == "depth"].iloc[0]
    assert 0 < row["from_ns"] < row["to_ns"]
    assert market.depth is not None
    snapshots = np.unique(market.depth["seq"][market.depth["is_snapshot"] == 1])
    assert len(snapshots) == 2  # at the start, and behind the gap


def test_a_folder_has_one_writer_and_is_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        b = board()
        first = Recording(b, tmp_path / "a", "binance")
        with pytest.raises(InvalidInput, match="another process"):
            Recording(b, tmp_path / "a", "binance")
        fill(b, 5)
        await first.close()
        second = Recording(b, tmp_path / "a", "binance")  # let go of
        shutil.rmtree(tmp_path / "a")
        (tmp_path / "a").touch()
        fill(b, 5, 5)
        with pytest.raises(InvalidInput, match="cannot be written"):
            await second.close()

    asyncio.run(run())
    moving(1).to_parquet(tmp_path / "market")
    with pytest.raises(InvalidInput, match="one whole market"):
        Recording(board(), tmp_path / "market", "binance")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="is a file"):
        Recording(board(), tmp_path / "file", "binance")


# -- the command ----------------------------------------------------------------------------------


async def recorder(r: Rehearsal, out: Path, *more: str) -> asyncio.subprocess.Process:
    words = ["-m", "execkit.cli", "data", "record", "binance", BTC, "--out", str(out)]
    return await asyncio.create_subprocess_exec(
        sys.executable, *words, "--rehearsal", r.admin_url, *more,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def parts_of(folder: Path) -> list[str]:
    return sorted(p.parent.name for p in folder.glob("part-*/manifest.json"))


def test_a_killed_recorder_loses_the_open_part_and_goes_on_when_started_again(
    tmp_path: Path,
) -> None:
    out = tmp_path / "day"

    async def run() -> dict[str, Any]:
        async with Rehearsal("binance", market=moving(5), speed=1) as r:
            process = await recorder(r, out, "--part-minutes", "0.01")
            await until(lambda: len(parts_of(out)) >= 2)
            process.send_signal(signal.SIGKILL)
            await process.communicate()
            (out / ".fresh-9").mkdir()  # as if it had died while it wrote
            (out / ".fresh-9" / "depth.parquet").write_bytes(b"half of it")
            before = ek.MarketData.load(out)
            assert before.depth is not None
            assert len(before.depth) > 50
            written = parts_of(out)

            process = await recorder(r, out, "--part-minutes", "5", "--json")
            await until(lambda: process.returncode is not None or (out / ".lock").exists())
            await asyncio.sleep(0)
            await until(lambda: not (out / ".fresh-9").exists())
            await until(lambda: any(s.topics for s in r.wire.sockets))  # type: ignore[union-attr]
            seen = r.exchange.feeds[BTC].update_id
            await until(lambda: r.exchange.feeds[BTC].update_id > seen + 12)
            process.send_signal(signal.SIGTERM)  # a polite end writes what is open
            said, complained = await process.communicate()
            assert process.returncode == 0, complained.decode()
            assert len(parts_of(out)) == len(written) + 1
            return json.loads(said.decode().splitlines()[-1])

    told = asyncio.run(asyncio.wait_for(run(), 3 * PATIENCE_S))
    assert told["rows"] > 50
    assert told["received"]["depth"] > 0
    market = ek.MarketData.load(out)
    assert [n.detail.split(":")[0] for n in market.notes if n.table == "depth"] == ["not recorded"]
    errors = {f.kind for f in market.check().findings if f.severity == "error"}
    assert errors <= {"sequence_gap"}  # of prints, while nobody recorded
    result = ek.simulate(
        pd.DataFrame(
            {
                "ts_ns": [market.span()[0] + NS_PER_S],
                "symbol": [BTC],
                "side": ["buy"],
                "order_type": ["market"],
                "quantity": [0.5],
            }
        ),
        market,
        progress=False,
    )
    assert result.fills["quantity"].sum() == pytest.approx(0.5)


def test_what_the_command_cannot_do_it_says_in_one_line(tmp_path: Path) -> None:
    async def run() -> tuple[int, str]:
        async with Rehearsal("binance", speed=0) as r:
            process = await recorder(r, tmp_path, "--kinds", "depth,funding")
            _, complained = await process.communicate()
            return process.returncode or 0, complained.decode()

    status, words = asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert status == 1
    assert words.startswith("execkit: kinds = 'funding'")
    assert len(words.splitlines()) == 1
