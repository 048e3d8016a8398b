import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from facebench.errors import WriteError
from facebench.files import asset_dir
from facebench.report import heatmap
from facebench.report.html import _figures
from facebench.report.summary import summary_rows
from facebench.report.wording import estimate_words
from facebench.run.report import render_report, write_report
from facebench.schema import Curve, Doubt, Estimate, Flag, Result

from . import factory

VOID = {"meta", "br", "img", "hr", "input", "link"}
FORBIDDEN = ("bias-free", "unbiased", "certified", "fair model", "conformant", "bias free", "conforms")
EVERY = pytest.mark.parametrize("name", factory.ALL)


class Page(HTMLParser):
    """A strict reading of the page: every element is closed in order, and what it holds is collected."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute is given twice on {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(1 for name, _ in self.elements if name == tag)


def page(name: str) -> tuple[str, Page]:
    text = render_report(factory.ALL[name]())
    return text, Page(text)


@EVERY
def test_the_page_is_well_formed_and_its_ids_are_unique(name: str) -> None:
    _, parsed = page(name)
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"] for tag, attrs in parsed.elements if tag == "a"}
    assert targets <= {f"#{i}" for i in ids}


@EVERY
def test_nothing_is_loaded_from_anywhere(name: str) -> None:
    text, parsed = page(name)
    for tag, attrs in parsed.elements:
        assert tag not in {"img", "link", "iframe", "object", "embed", "base", "form", "image", "use"}
        assert not {"src", "srcset", "action", "ping", "background"} & set(attrs)
        assert not any(key.startswith("on") for key in attrs)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import|https?:", style[1])


@EVERY
def test_the_policy_allows_exactly_the_script_of_the_page(name: str) -> None:
    text, parsed = page(name)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert parsed.count("script") == len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith(
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_text_from_outside_is_shown_and_never_run() -> None:
    text, parsed = page("hostile")
    assert factory.HOSTILE not in text
    assert "<img" not in text
    assert "\u202e" not in text
    shown = "".join(parsed.text)
    for place in ("known defect", "Licence", "Images by"):
        assert place in shown
    assert shown.count(factory.HOSTILE) > 30


@EVERY
def test_every_chart_has_its_table_and_its_words(name: str) -> None:
    text, parsed = page(name)
    for block in re.split(r'(?=<details class="block"|<section)', text):
        figures = re.findall(r"<figure>.*?</figure>", block, re.DOTALL)
        own = [f for f in figures if "<table" in f]
        beside = re.sub(r"<figure>.*?</figure>", "", block, flags=re.DOTALL)
        assert len(own) == len(figures) or "<table" in beside
        assert all("<figcaption>" in f for f in figures)
    for tag, attrs in parsed.elements:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs.get("aria-label")


@EVERY
def test_tables_are_accessible(name: str) -> None:
    text, parsed = page(name)
    assert text.count("<caption>") == parsed.count("table")
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        head, body = table.split("<tbody>")
        columns = head.count('scope="col"')
        assert columns >= 2
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL):
            assert row.startswith('<th scope="row"')
            assert row.count("<td") == columns - 1


@EVERY
def test_numeric_columns_carry_sortable_values(name: str) -> None:
    _, parsed = page(name)
    for _, attrs in parsed.elements:
        if "data-sort" in attrs:
            float(str(attrs["data-sort"]))


@EVERY
def test_wording_rules(name: str) -> None:
    _, parsed = page(name)
    shown = "".join(parsed.text).lower()
    assert not [word for word in FORBIDDEN if word in shown]
    assert name in ("failing", "tiny") or "aligned with iso/iec 19795-10" in shown


def test_a_long_list_of_failures_is_folded_away() -> None:
    text, _ = page("failing")
    assert '<details class="data"><summary>130 images that could not be used' in text


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_colours_reach_contrast_aa(scheme: int) -> None:
    style = (asset_dir("reports") / "templates" / "report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style.split(":root {")[scheme + 1].split("}")[0]))
    for text in ("ink", "soft", "blue", "orange", "violet", "brown"):
        for ground in ("paper", "panel", "find-bg", "unknown-bg"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_figures_on_the_matrix_reach_contrast_aa() -> None:
    scale = heatmap.LogColour(1e-6, 1e-1)
    for i in range(101):
        rgb = scale.rgb(1e-6 * 10 ** (5 * i / 100))
        ink = {"#000": "#000000", "#fff": "#ffffff"}[heatmap.ink_on(rgb)]
        assert contrast("#{:02x}{:02x}{:02x}".format(*rgb), ink) >= 4.5


def test_the_verdict_comes_first() -> None:
    text, _ = page("full")
    assert text.index("FaceBench measured") < text.index("<table")
    assert text.index("more than chance explains") < text.index("<table")


def test_sections_come_in_order() -> None:
    text, _ = page("full")
    order = [
        "verdict",
        "summary",
        "curves",
        "groups",
        "matrix",
        "differentials",
        "unmeasured",
        "failures",
        "provenance",
    ]
    places = [text.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)


def test_the_grouping_of_the_verdict_is_open() -> None:
    text, _ = page("utk")
    assert re.search(r'<details class="block" open><summary><h3>By race × gender', text)
    assert re.search(r'<details class="block"><summary><h3>By race \(', text)


def test_a_large_result_stays_under_one_megabyte() -> None:
    wide = tuple(f"site={i}" for i in range(40))
    estimates = [*factory.utk().estimates, *factory.full().estimates]
    estimates += factory.per_group(wide, [1e-3] * 40, [0.05] * 40, identities=50, images=3)
    for grouping in ("age", "pose", "camera", "hair"):
        names = tuple(f"{grouping}=value {i}&gender=g{i % 2}" for i in range(10))
        estimates += factory.per_group(names, [1e-3] * 10, [0.05] * 10, identities=50, images=3)
    result = factory.frame(estimates, failures=factory.failing().failures * 100)
    text = render_report(result)
    Page(text)
    assert len(text.encode()) < 1_000_000


def test_a_long_name_cannot_fill_the_page() -> None:
    result = factory.full()
    long = result.model_copy(update={"model": result.model.model_copy(update={"name": "x" * 1_000_000})})
    assert len(render_report(long)) < 400_000


def test_failed_images_are_listed_and_rates_shown_without_them() -> None:
    text, _ = page("failing")
    assert "img_00000" in text
    assert "left out" in text
    assert "130 of 8,192 images" in text


def test_rules_of_other_tools_are_explained() -> None:
    text, _ = page("failing")
    assert "nearest to the target" in text
    assert "achieved FMR" in text


def test_what_no_other_table_shows_is_still_shown() -> None:
    estimate = factory.rate("tar", 30, 1000, fmr_target=1e-3, condition="occlusion:mask")
    text = render_report(factory.frame([*factory.overall(1000, 10_000), estimate]))
    assert "occlusion:mask" in text


def test_zero_cells_show_a_bound() -> None:
    text, _ = page("zero_cells")
    assert "≤ 1.3e-3" in text
    assert 'fill="url(#ink-0)"' in text


@pytest.mark.parametrize("curve", ["det", "histogram"])
def test_degenerate_curves_do_not_break_the_page(curve: str) -> None:
    flat = {"det": ((0.0, 1.0), (1.0, 0.0)), "histogram": ((0.5, 0.5), (0.0,))}[curve]
    odd = Curve(kind=curve, name="genuine", x=flat[0], y=flat[1])  # type: ignore[arg-type]
    Page(render_report(factory.frame(factory.overall(100, 1000), curves=(odd,))))
    Page(render_report(factory.frame([], curves=(odd,))))


def test_equal_results_give_equal_pages() -> None:
    assert render_report(factory.full()) == render_report(Result.model_validate(factory.full().model_dump()))


def test_write_report_writes_the_page_and_returns_its_path(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.html"
    assert write_report(factory.tiny(), target) == target
    assert target.read_text(encoding="utf-8") == render_report(factory.tiny())
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_report(factory.tiny(), tmp_path / "file" / "report.html")


@EVERY
def test_the_terminal_summary_is_a_plain_table(name: str) -> None:
    head, *rows = summary_rows(factory.ALL[name]())
    assert rows
    assert all(len(row) == len(head) and all(isinstance(cell, str) for cell in row) for row in rows)


def test_the_terminal_summary_leads_with_tar() -> None:
    rows = {row[0]: row for row in summary_rows(factory.full())}
    assert rows["TAR at FMR target 1e-3"][1:4] == ["0.946", "0.942 to 0.951", "28,388 of 30,000"]
    assert "excess over chance 1.3e-3" in rows["FMR gap by race"][4]


def test_importing_the_report_stays_light() -> None:
    heavy = ("torch", "pandas", "matplotlib", "numpy")
    code = f"import sys, facebench.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_doubt_is_the_first_sentence_and_is_not_said_twice() -> None:
    doubts = tuple(Doubt(about=about, seen=f"seen {about}", cause="why?") for about in ("reversed", "alignment"))
    text = render_report(factory.full().model_copy(update={"doubts": doubts}))
    assert text.index("seen reversed") < text.index("FaceBench measured")
    assert text.count("seen reversed") == text.count("seen alignment") == 1
    assert text.index("Probably broken") < text.index("About the data"), "cautions of other kinds have their own block"


def test_notes_of_two_rates_say_whose_they_are() -> None:
    tar = Estimate(metric="tar", value=0.0, flags=(Flag.ALL_ERRORS, Flag.FEW_FALSE_MATCHES))
    far = Estimate(metric="fmr", value=0.0, flags=(Flag.ZERO_ERRORS,))
    assert (
        estimate_words(tar, far)
        == "nothing but errors (TAR); threshold from fewer than 30 false matches; no error seen (FMR)"
    )
    gap = Estimate(
        metric="fnmr_gap", group="race", value=0.1, left_out=("race=a", "race=b"), flags=(Flag.GROUPS_LEFT_OUT,)
    )
    assert estimate_words(gap) == "leaves out a; b"
    ratio = Estimate(metric="fnmr_max_min", group="race", value=2.0, flags=(Flag.INSUFFICIENT,))
    assert estimate_words(ratio) == "what alike groups would show is undefined"
    assert estimate_words(ratio.model_copy(update={"value": None})) == "undefined on these counts"


def test_figures_stay_on_one_line_and_hashes_are_no_figures() -> None:
    kept = str(_figures("at 1e-3: 2.0e-2; p < 0.001; 0a1e5f7e3.json"))
    assert kept.count('<span class="fig">') == 3
    assert "0a1e5f7e3.json" in kept
