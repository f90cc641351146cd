"""What a user sees: the quickstart in a real JupyterLab, and the report with the network cut.

Needs Chromium. Set EXECKIT_SCREENSHOTS to a folder to keep the pictures, and look at them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
KERNEL = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
COMMANDS = "window.jupyterapp.commands"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of the browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        need("chromium is not installed")
    if importlib.util.find_spec("playwright") is None:
        need("playwright is not installed: pip install 'execkit[test]'")
    return str(found)


@contextmanager
def page_of(chromium: str, errors: list[str]) -> Iterator[Any]:
    """A browser page that notes what goes wrong on it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()


def keep(page: Any, name: str, tmp_path: Path) -> Path:
    """A screenshot, in EXECKIT_SCREENSHOTS or a temporary folder."""
    folder = Path(os.environ.get("EXECKIT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / name))
    return folder / name


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab of our own on a copy of the notebooks."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name, settings in SETTINGS.items():
        file = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    env = {
        **os.environ,
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--expose-app-in-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={tmp_path / 'notebooks'}", "--ServerApp.ip=127.0.0.1"]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api/status?token={token}", server, tmp_path / "lab.log")
            yield f"{address}/lab/tree/00_quickstart.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def test_the_quickstart_runs_in_jupyterlab_and_shows_its_chart(
    lab: str, chromium: str, tmp_path: Path
) -> None:
    """All cells run by the menu's command: chart visible, no error, no share button."""
    errors: list[str] = []
    with page_of(chromium, errors) as page:
        page.goto(lab)
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=60_000)
        page.evaluate(f"() => {COMMANDS}.execute('notebook:clear-all-cell-outputs')")
        page.evaluate(f"() => {COMMANDS}.execute('notebook:run-all-cells')")
        chart = page.locator(".js-plotly-plot")
        chart.wait_for(timeout=90_000)
        last = page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output pre")
        last.wait_for(timeout=60_000)
        chart.scroll_into_view_if_needed()
        chart.hover()
        page.wait_for_timeout(500)
        picture = keep(page, "quickstart.png", tmp_path)
        seen = {
            "dots": chart.locator("path.point").count(),
            "share": chart.locator("[data-title*='hare']").count(),
            "errors": page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count(),
            "last": last.inner_text().strip(),
        }

    assert seen["dots"] > 90  # 86 entries, some stops, the totals
    assert seen["share"] == 0
    assert seen["errors"] == 0
    assert seen["last"] == "True"
    assert picture.stat().st_size > 30_000
    assert errors == []


def test_the_report_of_the_demo_opens_with_the_network_cut(chromium: str, tmp_path: Path) -> None:
    from execkit.demo import run_demo

    made = run_demo(tmp_path / "demo", None, None, lambda text: None)
    errors: list[str] = []
    asked: list[str] = []
    with page_of(chromium, errors) as page:
        page.context.set_offline(True)
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"file://{made['report']}")
        charts = page.locator(".js-plotly-plot .main-svg").first
        charts.wait_for(timeout=30_000)
        count = page.locator(".js-plotly-plot").count()
        share = page.locator("[data-title*='hare']").count()
        keep(page, "report.png", tmp_path)

    assert count == 2
    assert share == 0
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
