"""Sorting and the content policy in a real browser, where one is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from facebench.run.report import render_report

from . import factory

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.verify, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=2000",
]

PROBE = """
const log = [];
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells), rows = table.tBodies[0].rows;
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    const read = () => Array.from(rows, (row) => row.cells[column]).map((c) => [c.dataset.sort ?? null, c.textContent]);
    const before = read();
    button.click();
    const up = read(), aria = head.getAttribute("aria-sort");
    button.click();
    const down = read(), aria2 = head.getAttribute("aria-sort");
    button.click();
    log.push({ number: head.dataset.kind === "number", before, up, down, aria, aria2, after: read() });
  });
}
const pre = document.createElement("pre");
pre.id = "probe"; pre.textContent = JSON.stringify(log);
document.body.append(pre);
"""


def dump(text: str, folder: Path) -> str:
    """The page as the browser holds it after its scripts have run."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900"]
    command += ["--dump-dom", (folder / "page.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def probed(name: str, folder: Path) -> list[dict]:
    # the policy forbids a second script, which is what it is for; the probe therefore replaces it
    text = re.sub(r"<meta http-equiv[^>]*>", "", render_report(factory.ALL[name]()))
    page = dump(text.replace("</body>", f"<script>{PROBE}</script></body>"), folder)
    found = re.search(r'<pre id="probe">(.*?)</pre>', page, re.DOTALL)
    assert found
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("name", ["full", "zero_cells", "hostile"])
def test_every_column_sorts_both_ways_and_returns(name: str, tmp_path: Path) -> None:
    log = probed(name, tmp_path)
    assert len(log) > 20
    for column in log:
        assert (column["aria"], column["aria2"]) == ("ascending", "descending")
        assert column["after"] == column["before"]
        assert sorted(map(str, column["up"])) == sorted(map(str, column["before"]))
        if column["number"]:
            for rows, reverse in ((column["up"], False), (column["down"], True)):
                known = [float(value) for value, _ in rows if value is not None]
                assert known == sorted(known, reverse=reverse)
                assert all(value is None for value, _ in rows[len(known) :]), "missing numbers stay last"


@pytest.mark.parametrize("name", ["full", "utk", "failing", "hostile"])
@pytest.mark.parametrize("width", [375, 1400])
def test_the_page_itself_never_scrolls_sideways(name: str, width: int, tmp_path: Path) -> None:
    # a window cannot be made as narrow as a phone everywhere, so the page is framed
    text = re.sub(r"<meta http-equiv[^>]*>", "", render_report(factory.ALL[name]()))
    (tmp_path / "inner.html").write_text(text, encoding="utf-8")
    frame = f'<iframe src="inner.html" style="width:{width}px;height:800px;border:0"></iframe>'
    script = (
        "<script>onload=()=>{const d=document.querySelector('iframe').contentDocument;"
        "document.title=d.documentElement.scrollWidth+' '+d.documentElement.clientWidth}</script>"
    )
    (tmp_path / "page.html").write_text(frame + script, encoding="utf-8")
    command = [str(CHROMIUM), *OPTIONS, "--allow-file-access-from-files", "--window-size=1600,900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "page.html").as_uri()]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"<title>(\d+) (\d+)</title>", page)
    assert found
    assert int(found[1]) <= int(found[2]) <= width


def test_the_policy_lets_the_own_script_run_and_no_other(tmp_path: Path) -> None:
    text = render_report(factory.full())
    injected = text.replace("</main>", "<script>document.body.dataset.injected = 1</script></main>")
    page = dump(injected, tmp_path)
    assert "<button" in page
    assert "data-injected" not in page


def test_without_scripts_there_are_no_dead_buttons() -> None:
    assert "<button" not in render_report(factory.full())
