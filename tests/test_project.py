"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def environment() -> list[str]:
    """Requirements under pip: in environment.yml, in order, comments dropped."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    return re.findall(r"^      - (\S.*?)\s*$", text, re.M)


def test_the_conda_environment_has_the_bounds_of_the_project_and_every_extra() -> None:
    project = PROJECT["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += [r for r in extra if not r.startswith("execkit")]

    assert environment() == wanted
    assert f"python{project['requires-python']}" in (ROOT / "environment.yml").read_text("utf-8")


def test_the_extras_are_those_of_the_contract() -> None:
    assert set(PROJECT["project"]["optional-dependencies"]) == {
        "live",
        "notebook",
        "keyring",
        "dist",
        "ops",
        "bench",
        "test",
    }


def test_requirements_within_a_group_are_sorted() -> None:
    project = PROJECT["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        names = [re.split(r"[\[<>=]", requirement)[0] for requirement in group]
        assert sorted(names) == names


def test_ccxt_is_pinned_to_one_version() -> None:
    """It pins its own dependencies with ==, so an upgrade is an upgrade of everything."""
    (live,) = PROJECT["project"]["optional-dependencies"]["live"]

    assert re.fullmatch(r"ccxt==\d+\.\d+\.\d+", live)


def test_the_changelog_knows_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, re.M)

    assert headings[0] == "Unreleased"


def test_hooks_need_no_network() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")

    assert re.findall(r"repo: (\S+)", text) == ["local"]


def test_ci_runs_the_command_that_the_readme_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = re.findall(r"^\S*/(python -m pytest.*)$", readme, re.M)

    assert len(command) == 1
    assert re.search(rf"^{command[0]} ", ci, re.M)


def test_ci_knows_no_registry() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert not re.search(r"https?://|index-url", ci)


def test_the_command_line_is_an_entry_point() -> None:
    assert PROJECT["project"]["scripts"] == {"execkit": "execkit.cli:main"}
