"""Figures for papers: what is drawn, that it is the numbers of the result, and that it is the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from facebench.cli import commands  # noqa: F401 - adds its commands to the app
from facebench.cli.apps import app
from facebench.errors import InputError
from facebench.measure.saved import load_result
from facebench.run import figures
from facebench.run.figures import draw_figures
from facebench.schema import Estimate, Result

ENTRIES = Path(__file__).parents[2] / "leaderboard" / "phantom-core" / "phantom-arcface"
ENTRY = next(path for path in ENTRIES.glob("*.json") if len(path.stem) == 64)  # a verdict may lie beside it


@pytest.fixture(scope="module")
def result() -> Result:
    return load_result(ENTRY)


def test_what_the_result_holds_is_drawn(result: Result, tmp_path: Path) -> None:
    names = {path.name for path in draw_figures(result, tmp_path)}
    assert {"det.pdf", "scores.pdf", "groups-tone.pdf", "matrix-tone.pdf"} <= names
    assert {"attacks-dodging-linf.pdf", "regions.pdf"} <= names
    assert "classes.pdf" not in names
    assert all(path.read_bytes().startswith(b"%PDF") for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", figures.FORMATS)
def test_equal_results_give_equal_bytes(result: Result, tmp_path: Path, kind: str) -> None:
    small = result.model_copy(update={"curves": result.curves[:1], "estimates": result.estimates[:6]})
    (first,) = draw_figures(small, tmp_path / "a", kind=kind)
    (again,) = draw_figures(small, tmp_path / "b", kind=kind)
    assert first.read_bytes() == again.read_bytes()


def test_bars_are_the_intervals_of_the_result(result: Result) -> None:
    from matplotlib.figure import Figure

    rows = [e for e in result.estimates if e.metric == "fmr" and e.group.startswith("tone=") and e.group_b is None][:3]
    ax = Figure().subplots()
    figures._dots(ax, rows, ["a", "b", "c"])
    drawn = [container.lines[2][0].get_segments()[0][:, 0] for container in ax.containers]
    for e, ends in zip(rows, drawn, strict=True):
        assert ends == pytest.approx([e.ci_low, e.ci_high])


def test_attacks_are_sorted_by_goal_norm_name_and_budget() -> None:
    def success(condition: str, value: float) -> Estimate:
        return Estimate(metric="attack_success", condition=condition, value=value)

    found = figures._attacks(
        [
            success("attack:pgd-linf:8/255:dodging", 0.9),
            success("attack:pgd-linf:0.02:dodging", 0.1),
            success("attack:pgd-linf@phantom-triplet:4/255:dodging", 0.3),
            success("attack:deep-fool-l2:0.5:impersonation", 0.2),
        ]
    )
    assert {goal: list(rows) for goal, rows in found.items()} == {
        "dodging-linf": ["pgd", "pgd@phantom-triplet"],
        "impersonation-l2": ["deep-fool"],
    }
    assert [eps for eps, _ in found["dodging-linf"]["pgd"]] == pytest.approx([8.0, 5.1])
    assert [eps for eps, _ in found["impersonation-l2"]["deep-fool"]] == [0.5]


def test_names_that_are_written_alike_get_files_of_their_own(result: Result, tmp_path: Path) -> None:
    rows = [e for e in result.estimates if e.group.startswith("tone=") and e.condition == "clean"]
    both = [e.model_copy(update={"group": e.group.replace("tone", name)}) for name in ("a b", "a~b") for e in rows
            if e.group_b is None]  # fmt: skip
    names = [path.name for path in draw_figures(result.model_copy(update={"estimates": (*both,)}), tmp_path)]
    assert len(names) == len(set(names))
    assert {"groups-a_b.pdf", "groups-a_b~2.pdf"} <= set(names)


def test_nothing_to_draw_is_said(result: Result, tmp_path: Path) -> None:
    empty = result.model_copy(update={"curves": (), "estimates": ()})
    with pytest.raises(InputError, match="no curve, group, attack"):
        draw_figures(empty, tmp_path)


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["figures", str(ENTRY), "--format", "gif", "--out", str(tmp_path)])
    assert found.exit_code != 0
    assert isinstance(found.exception, InputError | SystemExit)
