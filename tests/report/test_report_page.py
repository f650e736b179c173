"""The page in a real browser: no error, no request, sorting, unfolding, comparing, and no overflow on a phone and a
desk."""

from __future__ import annotations

import base64
import itertools
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

    def resize(self, width: int, height: int = 900, *, dark: bool = False, medium: str = "") -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {
            "media": medium,
            "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        }
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
    """A report over several rows with two seeds, one with a random twin, so that names are long and cells full, and
    beside it the comparison of two of them."""
    folder = tmp_path_factory.mktemp("page")
    data = made_up_messages(folder / "data", 300)
    make_results(folder / "results", data, {1: 0.95, 2: 0.75, 10: 0.9, 12: 0.985, 16: 0.98}, (123, 124))
    make_results(folder / "results", data, {2: 0.7}, (123,), weights="random")
    command = ["--results_dir", str(folder / "results"), "--data_dir", str(data)]
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        assert report.main(command) == 0
        assert report.main([*command, "--compare", "1", "16"]) == 0
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


OUTSIDE = (
    "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && e.checkVisibility()"
    " && e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [420, 1400])
@pytest.mark.parametrize("name", ["report.html", "compare_1_16.html"])
def test_nothing_overflows(browser: Browser, page: Path, name: str, width: int, dark: bool, tmp_path: Path) -> None:
    """With every part unfolded."""
    browser.resize(width, dark=dark)
    browser.open(page.parent / name)
    browser.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    (tmp_path / "page.png").write_bytes(browser.screenshot())
    assert browser.evaluate("return window.innerWidth") == width
    assert browser.evaluate("return document.documentElement.scrollWidth") <= width
    assert browser.evaluate(OUTSIDE) == []
    light = browser.evaluate("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark


def shown_columns(browser: Browser) -> list[str]:
    heads = "[...document.querySelectorAll('table.results th')].filter(head => head.checkVisibility())"
    return browser.evaluate(f"return {heads}.map(head => head.innerText)")


def test_the_table_is_whole_on_a_desk_and_folded_on_a_phone(browser: Browser, page: Path) -> None:
    overflow = (
        "const box = document.querySelector('table.results').parentElement; return box.scrollWidth - box.clientWidth"
    )
    browser.resize(1400)
    browser.open(page)
    titles = shown_columns(browser)
    assert len(titles) == 13 and titles[-2:] == ["Published", "Inside"]
    assert browser.evaluate(overflow) <= 0
    browser.resize(420)
    assert shown_columns(browser) == ["Row", "Setting", "Test %", "Test, 95 %"]
    assert browser.evaluate(overflow) <= 0


def test_the_answer_comes_first_then_pictures_table_and_questions(browser: Browser, page: Path) -> None:
    browser.open(page)
    first = browser.evaluate("return document.querySelector('main > :nth-child(2)').innerText")
    assert first.startswith("The best configuration by validation accuracy is row 12")
    order = browser.evaluate("return [...document.querySelectorAll('main > [id]:not(.part)')].map(e => e.id)")
    assert order == ["answer", "pictures", "table", "claims", "rows"]


def test_a_click_on_a_row_opens_its_part(browser: Browser, page: Path) -> None:
    browser.open(page)
    part = "document.getElementById('row-16')"
    assert browser.evaluate(f"return {part}.open") is False
    browser.evaluate("document.querySelector('table.results a[href=\"#row-16\"]').click()")
    for _ in range(50):
        if browser.evaluate(f"return {part}.open"):
            break
        time.sleep(0.02)
    assert browser.evaluate(f"return {part}.open") is True
    assert abs(browser.evaluate(f"return {part}.getBoundingClientRect().top")) < 500
    charts = f"[...{part}.querySelectorAll('.charts > div > svg.chart')].map(chart => chart.ariaLabel)"
    assert browser.evaluate(f"return {charts}") == ["Loss during training", "ROC curve"]
    assert browser.evaluate(f"return {part}.querySelectorAll('table').length") >= 4
    browser.open(page.with_name("report.html"))
    browser.evaluate("location.hash = 'row-2-with-weights-random'")
    time.sleep(0.1)
    assert browser.evaluate("return document.getElementById('row-2-with-weights-random').open") is True


def test_on_paper_everything_is_unfolded(browser: Browser, page: Path) -> None:
    browser.open(page)
    folded = "document.querySelectorAll('details:not([open])').length"
    before = browser.evaluate(f"return {folded}")
    assert browser.evaluate(f"dispatchEvent(new Event('beforeprint')); return {folded}") == 0 < before
    browser.resize(794, medium="print")  # A4 at 96 dots an inch
    assert browser.evaluate("return document.documentElement.scrollWidth") <= 794
    browser.resize(794)
    assert browser.evaluate(f"dispatchEvent(new Event('afterprint')); return {folded}") == before


@pytest.mark.parametrize("width", [420, 1400])
def test_labels_do_not_overprint_and_letters_are_legible(browser: Browser, page: Path, width: int) -> None:
    """By the browser's own bounding boxes, with its fonts."""
    browser.resize(width)
    browser.open(page)
    boxes = browser.evaluate(
        "return [...document.querySelectorAll('#accuracy_time [id*=\"label-\"]')].map(e => e.getBoundingClientRect())"
        ".map(b => [b.left, b.top, b.right, b.bottom])"
    )
    assert len(boxes) == 6
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in itertools.combinations(boxes, 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
    heights = browser.evaluate(
        "return [...document.querySelectorAll('figure text')].filter(e => e.checkVisibility() && e.textContent.trim())"
        ".map(e => [e.getScreenCTM(), parseFloat(getComputedStyle(e).fontSize)])"
        ".map(([matrix, size]) => size * Math.hypot(matrix.a, matrix.b))"
    )
    assert min(heights) >= 8.5  # pixels
