"""The engine's benchmark runs, and news of an order is heard in time."""

from __future__ import annotations

import json

from tests.bench.engine_replay import STAGES, run


def test_the_engine_benchmark_measures_every_stage_and_hears_news_within_100_ms() -> None:
    found = run(40, 1, 5)

    assert json.loads(json.dumps(found)) == found
    assert set(found["stages_us"]) == {*STAGES, "rest"}
    assert all(us > 0 for us in found["stages_us"].values())
    assert found["journaled_us"] > 0
    assert found["update_to_callback_ms"]["n"] == 5
    assert found["update_to_callback_ms"]["p50"] < 100
