"""The documentation site: built without a warning, complete, and asking no other host for anything."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

LOADS = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\bsrc=["']?(?P<src>[^"'\s>]+)"""
    r"""|<link\b[^>]*?\bhref=["']?(?P<href>[^"'\s>]+)"""
    r"""|url\(["']?(?P<url>[^"')]+)|@import\s+["'](?P<css>[^"']+)""",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    logging.info(done.stderr)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    pages = {p.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert pages <= {p.relative_to(site).as_posix() for p in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    found = [
        (path.relative_to(site).as_posix(), address)
        for path in [*site.rglob("*.html"), *site.rglob("*.css")]
        for match in LOADS.finditer(path.read_text(encoding="utf-8"))
        if re.match(r"(?:https?:)?//", address := next(filter(None, match.groups())))
    ]
    assert not found
    assert LOADS.search('<script src="https://example.org/x.js">')  # the search can find something


@pytest.mark.slow
def test_docstrings_are_rendered(site: Path) -> None:
    metrics = (site / "api" / "metrics.html").read_text(encoding="utf-8")
    for name in ("equal_error_rate", "gini", "cell_variance", "kaplan_meier"):
        assert f'id="facebench.metrics.{_home(name)}.{name}"' in metrics
    assert "&gt;&gt;&gt;" in metrics  # examples are shown as code
    assert "<p>&gt;&gt;&gt;" not in metrics
    assert "<blockquote>" not in metrics
    records = (site / "api" / "schema.html").read_text(encoding="utf-8")
    assert "near_threshold" in records
    assert "comparisons within 2e-6 of the threshold" in records  # fields with their descriptions


def _home(name: str) -> str:
    shown = re.findall(r"^::: facebench\.metrics\.(\w+)$", (ROOT / "docs/api/metrics.md").read_text("utf-8"), re.M)
    files = {one: ROOT / "facebench" / "metrics" / f"{one}.py" for one in shown}
    return next(one for one, file in files.items() if f"\ndef {name}(" in file.read_text(encoding="utf-8"))
