"""The bundled sample: small, synthetic, labelled, and made again from its seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from execkit import MarketData, sample
from execkit.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", sample.NAMES)
def test_the_generator_makes_exactly_what_is_committed(name: str) -> None:
    kept = MarketData.load(ROOT / "data" / "sample" / name)
    fresh = sample.make(name)

    assert fresh.symbols == kept.symbols
    assert fresh.shared_seq == kept.shared_seq
    assert dict(fresh.instruments) == dict(kept.instruments)
    assert fresh.tables.keys() == kept.tables.keys()
    for kind, table in fresh.tables.items():
        assert set(table.columns) == set(kept.tables[kind].columns)
        for column, values in table.columns.items():
            np.testing.assert_array_equal(values, kept.tables[kind][column], err_msg=column)


@pytest.mark.parametrize("name", sample.NAMES)
def test_every_table_of_the_sample_is_labelled_synthetic(name: str) -> None:
    report = sample.make(name).check()
    labelled = {(f.table, f.symbol) for f in report.findings if f.kind == "synthetic"}

    assert labelled == {
        (kind, symbol)
        for kind, table in sample.make(name).tables.items()
        for symbol in table.present
    }


@pytest.mark.parametrize("name", sample.NAMES)
def test_the_checks_find_nothing_wrong_with_the_sample(name: str) -> None:
    assert [f for f in sample.make(name).check().findings if f.severity != "info"] == []


def test_the_sample_weighs_less_than_3_megabytes() -> None:
    size = sum(p.stat().st_size for p in (ROOT / "data" / "sample").rglob("*") if p.is_file())

    assert size < 3_000_000


def test_prints_take_what_the_book_showed() -> None:
    """A print is at or beyond the touch of the message before it, on its aggressor's side."""
    market = sample.make_book(minutes=1)
    top = market.top_of_book("BTCUSDT")
    prints = market.prints
    assert prints is not None
    at = np.searchsorted(top["ts_ns"], prints["ts_ns"], side="right") - 1
    buys = prints["aggressor"] == 0

    assert (prints["price"][buys] >= top["ask"][at[buys]]).all()
    assert (prints["price"][~buys] <= top["bid"][at[~buys]]).all()


def test_away_from_the_source_tree_the_sample_is_made_once_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "__file__", str(tmp_path / "site" / "execkit" / "sample.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    folder = sample.path("bars")
    again = sample.path("bars")

    assert folder == again
    assert folder.is_relative_to(tmp_path / "cache")
    assert MarketData.load(folder).symbols == ("BTCUSDT", "ETHUSDT")


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bars, book"):
        sample.path("ticks")
