"""The site: complete without scripts, no request to anywhere, small pages, escaped names, ranks as intervals."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import numpy as np
import pytest

from facebench.comparison.compare import compare_results
from facebench.errors import InputError
from facebench.leaderboard import add_entry, load_boards
from facebench.leaderboard.rank import rank_entries
from facebench.leaderboard.site import write_site
from facebench.leaderboard.site.figures import Shown
from facebench.leaderboard.site.pages import index_page, model_page, protocol_page
from facebench.measure.saved import load_result, save_result
from facebench.metrics.paired import tie_letters
from facebench.schema import Estimate, Flag
from facebench.schema.leaderboard import Listed, Note
from tests.comparison import factory as runs_factory
from tests.leaderboard.conftest import write_run
from tests.leaderboard.sites import make_board
from tests.report import factory


class Page(HTMLParser):
    """What a page refers to, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action", "poster", "background") or (name == "href" and tag != "a"):
                self.loads.append(value)
            if name == "href" and tag == "a":
                self.links.append(value)
            assert not name.startswith("on"), f"{name} on {tag}"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.inside = True
        if tag == "small" and self.inside:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def site(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    boards = load_boards(made[0])
    return out, boards, write_site(boards, out, "0.1.0")


def test_every_page_stands_alone_and_every_link_leads_to_a_page(site):
    out, _, pages = site
    assert {p.relative_to(out).as_posix() for p in pages} >= {"index.html", "protocols/small.html", "models/good.html"}
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert not page.loads
        assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
        assert "url(" not in text
        assert "@import" not in text
        assert "default-src 'none'" in unescape(text)
        for link in page.links:
            parts = urlsplit(link)
            assert not parts.scheme
            assert not parts.netloc
            assert not link.startswith("/"), "a path from the root breaks below a sub-path and on disk"
            if parts.path:
                assert (path.parent / parts.path).exists(), link


def test_the_table_is_complete_without_scripts(site):
    out, boards, _ = site
    page = Page((out / "protocols" / "small.html").read_text(encoding="utf-8"))
    rows = {row[0]: row for row in reversed(page.rows)}
    assert {"good", "middling", "poor"} <= set(rows)
    assert [row[0] for row in page.rows if row[0] in ("good", "middling", "poor")][:3] == ["good", "middling", "poor"]
    assert re.match(r"3 ", rows["poor"][1])
    assert "input" not in page.tags, "a filter that needs a script is made by the script"
    assert "button" not in page.tags
    rank = next(e.rank for e in boards[0].entries if e.result.model.name == "good")
    assert (rank.best, rank.worst) == (1, 1)


def test_the_data_names_every_entry(site, made):
    found = json.loads((site[0] / "leaderboard.json").read_text(encoding="utf-8"))
    entries = found["protocols"][0]["entries"]
    assert {e["entry"] for e in entries} == {place.relative for place in made[1].values()}
    assert all(e["tar"]["ci_low"] <= e["tar"]["value"] <= e["tar"]["ci_high"] for e in entries)


def test_the_same_entries_give_the_same_bytes_and_gone_models_go(site, made, tmp_path):
    first = {p: p.read_bytes() for p in site[2]}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "gone.html").write_text("old", encoding="utf-8")
    again = write_site(load_boards(made[0]), tmp_path, "0.1.0")
    assert [p.read_bytes() for p in again] == list(first.values())
    assert not (tmp_path / "models" / "gone.html").exists()


def test_ranks_are_those_of_a_comparison(runs, made):
    """The stored misses and replicates give the ranks that `facebench compare` finds from the embeddings."""
    comparison, _ = compare_results(list(runs.values()))
    ranks = {r.model: r for r in comparison.ranks if r.metric == "tar" and r.fmr_target == 0.01}
    entries = load_boards(made[0])[0].entries
    # a comparison corrects over the same pairs, so nothing but the path differs
    found = {e.result.model.name: e.rank for e in entries}
    assert {name: (r.best, r.worst, r.ties) for name, r in found.items()} == {
        name: (r.best, r.worst, r.ties) for name, r in ranks.items()
    }
    assert all(found[name].value == pytest.approx(rank.value) for name, rank in ranks.items())
    assert all(e.paired for e in entries)


def test_only_the_last_revision_of_a_model_ranks(runs, tmp_path):
    root = tmp_path / "leaderboard"
    add_entry(runs["good"], root, maintainer="x")
    later = write_run(tmp_path / "later", runs_factory.vectors(noise=0.7, seed=4), "good")
    result = load_result(later)
    card = result.model.model_copy(update={"weights_sha256": "2" * 64})
    run = result.run.model_copy(update={"started": "2020-01-01T00:00:00+00:00"})  # dates decide nothing
    save_result(result.model_copy(update={"model": card, "run": run}).with_id(), later / "result.json")
    place = add_entry(later, root, new_revision=True)
    board = load_boards(root)[0]
    assert [(e.path == place.relative, e.rank is not None) for e in board.entries] == [(True, True), (False, False)]
    page = Page(model_page("good", [(Shown(board), e) for e in board.entries], "0"))
    history = [row[0] for row in page.rows if row[0].startswith("20")]
    assert history == ["2026-01-01 not ranked", "2020-01-01 ranked"]


def test_what_is_left_out_is_named_with_its_reasons(board):
    root, entries = board
    poor = entries["poor"]
    poor.write_text(poor.read_text(encoding="utf-8").replace('"seed":0', '"seed":-1'), encoding="utf-8")
    boards = load_boards(root)
    page = protocol_page(Shown(boards[0]), "0")
    assert "Left out" in page
    assert poor.name in page
    assert "run.seed" in page
    assert [row[0] for row in Page(page).rows if row[0] == "poor"] == []


def test_marks_of_validation_stand_beside_the_model_in_the_ranking():
    made = make_board(3)
    marked = made.entries[1].model_copy(update={"notes": (Note(field="embeddings", why="a copy of model-000"),)})
    page = protocol_page(Shown(made.model_copy(update={"entries": (made.entries[0], marked, made.entries[2])})), "0")
    assert page.count("! a copy of model-000") == 1


def test_an_empty_folder_is_no_leaderboard(tmp_path):
    with pytest.raises(InputError, match="holds no leaderboard"):
        load_boards(tmp_path)


def test_five_hundred_entries_stay_below_a_megabyte():
    board = make_board(500)
    page = protocol_page(Shown(board), "0")
    assert len(page.encode()) < 1_000_000
    assert len(index_page([Shown(board)], "0").encode()) < 1_000_000
    rows = [row for row in Page(page).rows if row[0].startswith("model-")]
    assert len({row[0] for row in rows}) == 500
    entry = board.entries[0]
    assert len(model_page(entry.result.model.name, [(Shown(board), entry)], "0").encode()) < 1_000_000


def test_names_are_escaped_even_if_they_got_past_validation():
    board = make_board(3, base=factory.hostile())
    entry = board.entries[0]
    for text in (
        index_page([Shown(board)], "0"),
        protocol_page(Shown(board), "0"),
        model_page("x", [(Shown(board), entry)], "0"),
    ):
        body = text.split("<script>")
        assert len(body) == 2, "the page's own script and no other"
        assert "<img" not in text
        Page(text)


def test_no_picture_of_a_face_is_shown():
    phantom = factory.phantom()
    board = make_board(2, base=phantom)
    entry = board.entries[0]
    assert "data:image" not in model_page("x", [(Shown(board), entry)], "0") + protocol_page(Shown(board), "0")


def test_unreliable_attacks_are_marked_and_do_not_sort():
    base = factory.full()
    weak = Estimate(metric="robust_tar", value=0.9, condition="attack:pgd-linf:8/255:dodging", flags=(Flag.UNRELIABLE,))
    board = make_board(2, base=base.model_copy(update={"estimates": (*base.estimates, weak)}))
    text = protocol_page(Shown(board), "0")
    assert "unreliable: gradients may be hidden" in text
    cell = re.search(r"<td class=\"n\"([^>]*)>0\.900", text)
    assert cell
    assert "data-sort" not in cell[1]


def test_ranks_of_models_that_cannot_be_told_apart_are_ties():
    board = make_board(1)
    result = board.entries[0].result
    ranks = rank_entries([result, result, result], [None] * 3)
    assert {(r.best, r.worst, r.ties) for r in ranks} == {(1, 3, "a")}
    no_value = result.model_copy(update={"estimates": ()})
    ranks = rank_entries([result, no_value], [None] * 2)
    assert [(r.best, r.worst) for r in ranks] == [(1, 1), (None, None)]


def test_ties_of_many_alike_models_are_found_at_once():
    """Without a pivot this would take 2 to the 40 steps."""
    assert tie_letters(range(40), np.zeros((40, 40), bool)) == ["a"] * 40


def test_a_listed_entry_says_where_its_embeddings_are():
    board = make_board(2)
    entries = tuple(e.model_copy(update={"elsewhere": "https://example.org/x"}) for e in board.entries)
    text = protocol_page(Shown(board.model_copy(update={"entries": entries})), "0")
    assert "keep their embeddings elsewhere" in text
    assert isinstance(entries[0], Listed)


def test_an_entry_keeps_no_folder_of_the_machine(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["good"], run)
    text = (run / "result.json").read_text(encoding="utf-8")
    text = text.replace('"facebench run"', '"facebench run /home/me/m.yaml small --data faces=/home/me/x/faces"')
    (run / "result.json").write_text(text, encoding="utf-8")
    place = add_entry(run, tmp_path / "leaderboard", maintainer="x")
    command = load_boards(tmp_path / "leaderboard")[0].entries[0].result.run.command
    assert command == "facebench run m.yaml small --data faces=faces"
    assert place.result_id == load_boards(tmp_path / "leaderboard")[0].entries[0].result.result_id
