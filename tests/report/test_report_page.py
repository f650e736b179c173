"""The page in a real browser: no error, no request, sorting, and no overflow on a phone and a desk."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import report
from tests.support.made_up_results import made_up_messages, make_results, publish

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Browser:
    """A headless Chromium behind its driver, which speaks the W3C's WebDriver protocol: JSON over HTTP."""

    def __init__(self, address: str, binary: str, profile: Path) -> None:
        self._web = requests.Session()
        self._web.trust_env = False  # a proxy has no business between here and the driver
        options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self._session = f"{address}/session"
        started = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"{address}/session/{started['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._web.request(method, self._session + path, json=body, timeout=60)
        value = answer.json()["value"]
        assert answer.ok, value
        return value

    def open(self, page: Path) -> None:
        self._call("POST", "/url", {"url": page.as_uri()})

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        for command, parameters in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", scheme),
        ):
            self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def evaluate(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def screenshot(self) -> bytes:
        return base64.b64decode(self._call("GET", "/screenshot"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        return self._call("POST", "/se/log", {"type": kind})

    def close(self) -> None:
        self._call("DELETE", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        missing = "Chromium" if binary is None else "its driver"
        pytest.skip(f"needs {missing}: apt-get install chromium chromium-driver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address)
        browser = Browser(address, binary, tmp_path_factory.mktemp("profile"))
        yield browser
        browser.close()
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(address: str) -> None:
    web = requests.Session()
    web.trust_env = False
    for _ in range(100):
        try:
            if web.get(f"{address}/status", timeout=5).json()["value"]["ready"]:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(f"{address}: the driver does not answer")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over several rows with two seeds, one with a random twin, so that names are long and cells full."""
    folder = tmp_path_factory.mktemp("page")
    data = made_up_messages(folder / "data", 300)
    make_results(folder / "results", data, {1: 0.95, 2: 0.75, 10: 0.9, 12: 0.985, 16: 0.98}, (123, 124))
    make_results(folder / "results", data, {2: 0.7}, (123,), weights="random")
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        assert report.main(["--results_dir", str(folder / "results"), "--data_dir", str(data)]) == 0
    return folder / "results" / "report" / "report.html"


def column(browser: Browser, number: int) -> list[str]:
    cells = f"[...document.querySelectorAll('table.sortable tbody tr')].map(row => row.cells[{number}].innerText)"
    return browser.evaluate(f"return {cells}")


def test_page_opens_without_errors_or_requests(browser: Browser, page: Path) -> None:
    browser.log("performance")
    browser.log("browser")
    browser.open(page)
    assert browser.evaluate("return document.querySelectorAll('figure svg').length") == 4
    assert browser.log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    requested = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert set(requested) == {page.as_uri()}


def test_the_test_would_notice_errors_and_requests(browser: Browser, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text('<script>nothing()</script><img src="http://127.0.0.1:9/x.png">')
    browser.log("performance")
    browser.log("browser")
    browser.open(bad)
    assert "nothing is not defined" in str(browser.log("browser"))
    assert "http://127.0.0.1:9/x.png" in str(browser.log("performance"))


def test_a_click_sorts_and_another_turns_round(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert column(browser, 0)[:3] == ["1", "2", "10"]
    test_accuracy = "document.querySelectorAll('table.sortable th button')[3]"
    browser.evaluate(f"{test_accuracy}.click()")
    ascending = [float(text.split()[0]) for text in column(browser, 3)]
    assert ascending == sorted(ascending)
    assert browser.evaluate(f"return {test_accuracy}.parentElement.ariaSort") == "ascending"
    browser.evaluate(f"{test_accuracy}.click()")
    assert [float(text.split()[0]) for text in column(browser, 3)] == ascending[::-1]
    browser.evaluate("document.querySelectorAll('table.sortable th button')[0].click()")
    assert column(browser, 0) == ["1", "2", "10", "12", "16", "(2)"]  # numbers, not texts


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows(browser: Browser, page: Path, width: int, dark: bool, tmp_path: Path) -> None:
    browser.resize(width, dark=dark)
    browser.open(page)
    (tmp_path / "page.png").write_bytes(browser.screenshot())
    assert browser.evaluate("return window.innerWidth") == width
    assert browser.evaluate("return document.documentElement.scrollWidth") <= width
    outside = (
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll')"
        " && e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert browser.evaluate(outside) == []
    light = browser.evaluate("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark
