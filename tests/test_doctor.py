"""What the doctor finds, and what it says to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from execkit import doctor
from execkit.doctor import Check, Level, examine, examine_keys

KEYS = {"BINANCE_API_KEY": "key0123456789abcdef", "BINANCE_API_SECRET": "sec0123456789abcdef"}


def found(desk: Path, **environ: str) -> dict[str, Check]:
    return {check.name: check for check in examine(desk, {"HOME": str(desk.parent), **environ})}


def test_a_good_machine_has_no_failures(tmp_path: Path) -> None:
    checks = found(tmp_path / "desk")

    assert [c for c in checks.values() if c.level is Level.FAILURE] == []
    assert {"python", "packages", "ccxt", "ccxt files", "disk", "commit", "desk"} <= set(checks)
    assert "none at" in checks["desk"].said
    assert not (tmp_path / "desk").exists()
    assert list(tmp_path.iterdir()) == []


def test_another_ccxt_than_the_tested_one_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "pinned_ccxt", lambda: "4.0.0")

    check = found(tmp_path)["ccxt"]

    assert check.level is Level.FAILURE
    assert "pip install ccxt==4.0.0" in check.fix


def test_every_file_that_was_changed_after_installation_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small package with a record, as pip leaves it."""
    package, info = tmp_path / "toy_pack", tmp_path / "toy_pack-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_bytes(b"")
    (package / "sign.py").write_bytes(b"")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-pack\nVersion: 1.0\n")
    empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
    record = f"toy_pack/__init__.py,{empty}\ntoy_pack/sign.py,{empty}\n"
    (info / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)

    assert doctor.changed_files("toy-pack") == []
    (package / "sign.py").write_bytes(b"steal()")
    (package / "extra.py").write_bytes(b"")
    assert doctor.changed_files("toy-pack") == ["toy_pack/extra.py", "toy_pack/sign.py"]
    (package / "sign.py").unlink()
    assert "toy_pack/sign.py" in doctor.changed_files("toy-pack")


def test_a_full_disk_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((2**20, Level.FAILURE), (2**31, Level.WARNING), (2**40, Level.OK)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, n=free: usage._replace(free=n))
        assert found(tmp_path)["disk"].level is level


def test_a_slow_disk_is_a_warning_and_a_shared_one_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "commit_times_s", lambda folder: [0.05] * 3)
    monkeypatch.setattr(doctor, "_file_system", lambda folder: "nfs4")
    checks = found(tmp_path)

    assert checks["commit"].level is Level.WARNING
    assert "50.00 ms" in checks["commit"].said
    assert checks["file system"].level is Level.FAILURE


def test_the_disk_of_a_folder_is_told(tmp_path: Path) -> None:
    if sys.platform == "linux":
        assert doctor._file_system(tmp_path)
        assert doctor._file_system(Path("/proc/self")) == "proc"


def test_a_desk_open_to_others_is_a_failure_that_names_the_command(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir(mode=0o700)
    (desk / "journal.sqlite").touch(0o644)
    os.chmod(desk / "journal.sqlite", 0o644)

    check = found(desk)["desk"]

    assert check.level is Level.FAILURE
    assert check.fix == f"run chmod -R go= {desk}"
    os.chmod(desk / "journal.sqlite", 0o600)
    assert found(desk)["desk"].level is Level.OK


def test_a_file_of_keys_open_to_others_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".env"
    path.write_text("BINANCE_API_KEY=key0123456789abcdef\n")
    path.chmod(0o644)
    assert found(tmp_path / "desk")["key file"].level is Level.FAILURE

    path.chmod(0o600)
    assert found(tmp_path / "desk")["key file"].level is Level.OK


def test_proxies_are_told_to_have_no_effect(tmp_path: Path) -> None:
    assert "not followed" in found(tmp_path, HTTPS_PROXY="http://proxy:8080")["proxy"].said


def test_keys_are_named_by_place_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys, check = examine_keys("binance", "", demo=False, environ=KEYS)

    assert keys is not None
    assert "BINANCE_API_KEY in the environment" in check.said
    assert not [value for value in KEYS.values() if value in str(check)]

    none, check = examine_keys("binance", "alice", demo=True, environ=KEYS)
    assert none is None
    assert "BINANCE_DEMO_ALICE_API_KEY" in check.fix
