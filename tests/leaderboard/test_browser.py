"""The site in a real browser: sorting, filtering, scripts off, no sideways scrolling, and accessibility by axe-core."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from facebench import compare
from facebench.comparison.page import render_comparison
from facebench.leaderboard.site import write_site
from facebench.measure.saved import load_result
from facebench.run.report import render_report
from tests.leaderboard.sites import make_board
from tests.leaderboard.webdriver import CHROMIUM, DRIVER, Browser, Driver
from tests.report import factory

pytestmark = [
    pytest.mark.verify,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium, or no chromedriver"),
]
PROTOCOL = Path("protocols") / "faces-verification.html"
ROWS = "#ranking tbody tr"


@pytest.fixture(scope="module")
def driver():
    running = Driver()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    write_site([make_board(12)], out, "0")
    return out


@pytest.fixture(scope="module")
def browser(driver):
    with driver.browser() as session:
        yield session


def names(browser: Browser) -> list[str]:
    return [text.split("\n")[0] for text in browser.texts(f"{ROWS}:not([hidden]) th") if text]


def head(browser: Browser, word: str) -> str:
    buttons = browser.find("#ranking thead th button")
    titles = browser.texts("#ranking thead th button")
    return next(button for button, title in zip(buttons, titles, strict=True) if word in title)


def test_headings_sort_when_they_are_clicked(browser, site):
    browser.open(site / PROTOCOL)
    before = names(browser)
    assert len(before) == 12
    button = head(browser, "TAR at")
    browser.click(button)
    rising = names(browser)
    assert rising == before[::-1]
    browser.click(button)
    assert names(browser) == before
    browser.click(button)
    assert names(browser) == before
    browser.click(head(browser, "Model"))
    assert names(browser) == sorted(before)


def test_the_field_narrows_the_table_and_sorting_keeps_it_narrow(browser, site):
    browser.open(site / PROTOCOL)
    (field,) = browser.find("#ranking .filter input")
    browser.type(field, "model-00")
    assert sorted(names(browser)) == [f"model-{i:03d}" for i in range(10)]
    assert browser.texts("#ranking .filter output") == ["10 of 12 rows"]
    browser.click(head(browser, "Model"))
    assert names(browser) == [f"model-{i:03d}" for i in range(10)]
    browser.clear(field)
    browser.type(field, "model -model-00")
    assert sorted(names(browser)) == ["model-010", "model-011"]
    browser.clear(field)
    browser.type(field, "nothing holds this")
    assert names(browser) == []


def test_pages_are_complete_with_scripts_off(driver, site):
    with driver.browser(scripts=False) as session:
        for path in (site / "index.html", site / PROTOCOL, site / "models" / "model-003.html"):
            session.open(path)
            assert not session.find("button")
            assert not session.find("input")
        session.open(site / PROTOCOL)
        assert len(names(session)) == 12
        assert session.find("#trade-offs svg.chart")
        links = session.find("#ranking tbody th a")
        session.click(links[0])
        assert session.find("#history tbody tr")


@pytest.mark.parametrize("page", ["index.html", str(PROTOCOL), "models/model-003.html"])
def test_pages_work_below_any_path_and_ask_nobody(browser, site, tmp_path, page):
    copy = tmp_path / "a folder" / "below"
    shutil.copytree(site, copy)
    browser.open(copy / page)
    loaded = browser.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert loaded == []


@pytest.mark.parametrize("page", ["index.html", str(PROTOCOL), "models/model-003.html"])
@pytest.mark.parametrize("width", [375, 1400])
def test_pages_never_scroll_sideways(browser, site, page, width):
    browser.resize(width)
    browser.open(site / page)
    widths = browser.run("const r = document.documentElement; return [r.scrollWidth, r.clientWidth]")
    browser.resize(1400)
    assert widths[0] <= widths[1] <= width


# ---- accessibility


def axe() -> Path | None:
    """Return axe-core where npm has put it; it is never shipped."""
    if os.environ.get("FACEBENCH_AXE"):
        return Path(os.environ["FACEBENCH_AXE"])
    npm = shutil.which("npm")
    if npm is None:
        return None
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, timeout=120, check=False).stdout.strip()
    path = Path(root) / "axe-core" / "axe.min.js"
    return path if path.is_file() else None


@pytest.fixture(scope="module")
def checker():
    path = axe()
    if path is None or not path.is_file():
        pytest.skip("no axe-core: npm install -g axe-core, or set FACEBENCH_AXE to axe.min.js")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(site, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    report, comparison = folder / "report.html", folder / "comparison.html"
    report.write_text(render_report(factory.full()), encoding="utf-8")
    both = [runs["good"], runs["poor"]]
    comparison.write_text(render_comparison(compare(*both), [load_result(p) for p in both]), encoding="utf-8")
    return {
        "index": site / "index.html", "protocol": site / PROTOCOL, "model": site / "models" / "model-003.html",
        "report": report, "comparison": comparison,
    }  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_serious_violation_of_accessibility(driver, checker, pages, dark):
    found = {}
    with driver.browser(dark=dark) as session:
        for name, path in pages.items():
            session.open(path)
            session.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            session.run(f"{checker}; window.axe = window.axe || axe;")
            results = session.wait(
                """
                const done = arguments[0];
                axe.run(document, { resultTypes: ["violations"] }).then((r) => done(r.violations.map((v) => [
                  v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 160), v.nodes[0].failureSummary,
                ])), (e) => done([["critical", String(e), 1, "", ""]]));
                """
            )
            found[name] = [v for v in results if v[0] in ("serious", "critical")]
    assert not {name: violations for name, violations in found.items() if violations}
