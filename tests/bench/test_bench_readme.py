"""The README's performance section is what the committed report says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from execkit import cli
from execkit.bench.readme import BEGIN, END, replace_section, section
from execkit.errors import InvalidData

ROOT = Path(__file__).resolve().parents[2]
REPORT = json.loads((ROOT / "data" / "bench" / "simulator.json").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_section_is_made_from_the_committed_report() -> None:
    assert replace_section(README, REPORT) == README


def test_the_committed_report_is_a_whole_measurement() -> None:
    from execkit.bench.run import WORKLOADS

    assert {row["workload"] for row in REPORT["rows"]} == set(WORKLOADS)
    assert not REPORT["quick"]


def test_every_row_is_in_the_section_with_its_ratio() -> None:
    lines = section(REPORT).splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]

    assert len(rows) == len(REPORT["rows"])
    for line, row in zip(rows, REPORT["rows"], strict=True):
        assert line.startswith(f"| {row['work']} | ")
        ratio = row["ratio"]
        assert line.endswith("| - |" if ratio is None else f"| {ratio:.3g}x |")


def test_a_check_that_differs_is_in_the_section() -> None:
    checks = [{**check, "agrees": i > 0} for i, check in enumerate(REPORT["checks"])]
    text = section({**REPORT, "checks": checks})

    assert f"{len(checks) - 1} of {len(checks)} checks agree" in text
    assert f"Not the same: {checks[0]['workload']} {checks[0]['name']}" in text


def test_a_text_without_the_marks_is_refused() -> None:
    with pytest.raises(InvalidData, match="put them in"):
        replace_section("# something", REPORT)
    with pytest.raises(InvalidData, match="put them in"):
        replace_section(f"{END}\n{BEGIN}", REPORT)


def test_the_command_replaces_the_section_and_leaves_the_rest(tmp_path: Path) -> None:
    readme, report = tmp_path / "R.md", tmp_path / "r.json"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    report.write_text(json.dumps(REPORT), encoding="utf-8")

    assert cli.main(["bench", "readme", str(report), "--readme", str(readme)]) == 0
    assert readme.read_text("utf-8") == f"before\n{BEGIN}\n\n{section(REPORT)}\n\n{END}\nafter\n"


def test_a_report_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "r.json"
    bad.write_text("{", encoding="utf-8")

    assert cli.main(["bench", "readme", str(bad)]) == 1
    assert "give a report of" in capsys.readouterr().err
