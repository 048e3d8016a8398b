"""The parts of a comparison on how alike the models are: score matrices, maps, and games on common triplets."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.tables import Cell, Table, table, text
from facebench.schema import Comparison
from facebench.schema.agreement import Alignment, ExplanationComparison, MapLikeness, SharedGame
from facebench.sections.explanation.report import tree_chart


def sections(comparison: Comparison) -> list[Section]:
    """Return the sections; none where nothing was computed."""
    found = []
    if comparison.alignments:
        found.append(_alignments(comparison))
    if comparison.explanations is not None:
        found.append(_explanations(comparison.explanations))
    return found


def _alignments(comparison: Comparison) -> Section:
    lead = (
        "Whether the models order the same comparisons alike: Spearman’s correlation of their scores. 1 means the same "
        "order, 0 none. Two models can err equally often and yet on different people; over impostor comparisons this "
        "shows whom each takes for whom."
    )
    rows = [_aligned(a) for a in comparison.alignments]
    columns = ["Model", "Against", "Comparisons", "#Rank correlation", "#Comparisons", "#Identities"]
    found = table("Rank correlation of scores", columns, rows)
    return Section("alignment", "Alignment of scores", lead, (Block(tables=(found,)),))


def _aligned(a: Alignment) -> list[Cell]:
    over = "impostor" if a.over == "impostor" else "all"
    return [
        text(fmt.clip(a.model, 60)), text(fmt.clip(a.base, 60)), text(over), _number(a.value, a.ci_low, a.ci_high),
        Cell(fmt.count(a.n_comparisons), (), a.n_comparisons), Cell(fmt.count(a.n_identities), (), a.n_identities),
    ]  # fmt: skip


def _explanations(found: ExplanationComparison) -> Section:
    good = sorted({each.method for each in found.likeness if each.qualified})
    lead = (
        "Maps of the same pairs by the same method under each model. Two maps of faces look alike anyway, so the "
        "likeness stands beside that of maps of different pairs. "
    )
    lead += (
        f"Methods that qualified on both: {', '.join(good)}."
        if good
        else "No method qualified on both models, so the likeness says nothing of where they look."
    )
    games = [_games(found.games, metric) for metric in ("inpainting_at_1", "inpainting_at_5")]
    blocks = (
        Block(
            tables=(_likeness(found.likeness),),
            charts=tuple(
                tree_chart(each.linkage, each.labels, f"How alike the models’ mean maps are by {each.method}: "
                           "distance 1 − correlation, average linkage.")
                for each in found.trees
            ),
        ),
        Block(title="Inpainting game on common triplets", tables=tuple(t for t in games if t.rows)),
    )  # fmt: skip
    return Section("maps", "What the models look at", lead, tuple(b for b in blocks if b.tables or b.charts))


def _likeness(found: Sequence[MapLikeness]) -> Table:
    rows = []
    for each in found:
        reading = "not qualified on both models"
        if each.qualified:
            above = each.ci_low is not None and each.null is not None and each.ci_low > each.null
            reading = "more alike than maps of different pairs" if above else "cannot be told from maps of other pairs"
        rows.append([
            text(each.method), text(fmt.clip(each.model, 60)), _number(each.value, each.ci_low, each.ci_high),
            _reference(each.null), _reference(each.of_means), Cell(fmt.count(each.n_pairs), (), each.n_pairs),
            text(reading),
        ])  # fmt: skip
    columns = ["Method", "Model", "#Likeness (NCC)", "#Other pairs", "#Mean maps", "#Pairs", "~Reading"]
    return table("Likeness of maps to those of the base", columns, rows)


def _games(found: Sequence[SharedGame], metric: str) -> Table:
    rows = []
    for game in found:
        if game.metric == metric:
            name = game.method if game.qualified else f"{game.method} (not qualified)"
            blind = ", ".join(f"{key.replace('_', ' ')} {fmt.number(value)}" for key, value in game.nulls.items())
            rows.append([
                text(name), text(fmt.clip(game.model, 60)), _number(game.value, game.ci_low, game.ci_high),
                Cell(fmt.count(game.n_common), (), game.n_common), text(blind),
                _number(game.own, game.own_low, game.own_high),
                Cell(fmt.count(game.n_own), (), game.n_own),
            ])  # fmt: skip
    note = (
        "Each model plays only on the triplets it can tell apart, so its own score cannot be compared. The common "
        "triplets are those that every model tells apart."
    )
    columns = ["Method", "Model", "#Won, common", "#Triplets", "~Knowing nothing", "#Won, own", "#Own triplets"]
    percent = metric.rpartition("_")[2]
    return table(f"Games won within {percent} % of the other pixels", columns, rows, note)


def _number(value: float | None, low: float | None, high: float | None) -> Cell:
    """Return a measured figure with its interval, or the note that there is none."""
    if value is None:
        return Cell(fmt.MISSING)
    note = "no interval" if low is None or high is None else fmt.interval(low, high, fmt.number)
    return Cell(fmt.number(value), (note,), value)


def _reference(value: float | None) -> Cell:
    """Return a figure that others are read against."""
    return Cell(fmt.MISSING) if value is None else Cell(fmt.number(value), sort=value)
