"""Hold two or more results against each other: load, refuse what does not belong together, pair, rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from facebench.comparison import agreement as alike
from facebench.comparison import changed_comparisons as moved
from facebench.comparison.answers import AnswerSide, answer_differences, leading_differences
from facebench.comparison.comparable import Loaded, labels, load_comparable
from facebench.comparison.paired import Pairing, Side, group_differences, rate_differences
from facebench.comparison.paired_conditions import condition_differences
from facebench.comparison.paired_figures import (
    differential_differences,
    fold_differences,
    rank_differences,
    separation_differences,
    unpaired_differences,
    why_not_compared,
)
from facebench.errors import InputError
from facebench.metrics import catalogue, families, paired
from facebench.schema import ComparedModel, Comparison, Difference, Point, Rank, Result, Unmeasured, point_fields
from facebench.schema.explanation import read_condition
from facebench.schema.timed import why_times_differ

MAX_MODELS = 8
RANKED = ("tar", "eer", "auc")
PAIRED: tuple[Callable[[Pairing], list[Difference]], ...] = (
    rate_differences, separation_differences, rank_differences, fold_differences, group_differences,
    differential_differences, condition_differences,
)  # fmt: skip


def compare(*paths: str | Path) -> Comparison:
    """Hold two to eight results against the first of them, on the same comparisons.

    Args:
        paths: result files, or the folders they lie in, with their embeddings beside them.

    Raises:
        NotComparableError: they do not measure the same thing; names the fields that differ.
        InputError: a file is missing, changed or malformed, or there are too few or too many.

    Returns:
        Paired differences with intervals, ranks with tie groups, and what moved most.
    """
    return compare_results([Path(path) for path in paths])[0]


def compare_results(paths: Sequence[Path]) -> tuple[Comparison, list[Result]]:
    """Return the comparison, and the results it was made from in the order of its models."""
    if not 2 <= len(paths) <= MAX_MODELS:
        raise InputError(f"a comparison takes 2 to {MAX_MODELS} results, found {len(paths)}")
    loaded = load_comparable(paths)
    results = [each.result for each in loaded]
    seed = results[0].run.seed
    if results[0].task is not None:
        answers = [AnswerSide.of(each, label, seed) for each, label in zip(loaded, labels(results), strict=True)]
        return _answer_comparison(answers, seed), results
    sides = [Side(each, label, seed=seed) for each, label in zip(loaded, labels(results), strict=True)]
    return _comparison(sides, seed), results


def _answer_comparison(sides: Sequence[AnswerSide], seed: int) -> Comparison:
    """Compare answers: figures over all images, per group and between groups, and ranks by the leading one."""
    base = sides[0]
    confidence, result = base.loaded.spec.uncertainty.confidence, base.loaded.result
    assert result.task is not None
    leading = result.task.primary
    found = [d for side in sides[1:] for d in answer_differences(base, side, confidence)]
    found, family = _adjusted(found)
    table = leading_differences(sides, leading, confidence)
    explained, not_explained = alike.explanations([(s.label, s.loaded) for s in sides], confidence=confidence)
    return Comparison(
        protocol=result.protocol, base=base.label, models=tuple(_model(side) for side in sides),
        phantom=result.data.phantom, seed=seed, confidence=confidence, leading=leading,
        identical=tuple(_identical(sides)), differences=tuple(found), family_size=family,
        ranks=tuple(_rank_one(sides, leading, None, table, 1 - confidence)) if table else (),
        explanations=explained, not_compared=tuple(not_explained),
        cautions=tuple(_cautions([side.loaded for side in sides], dependent=base.resampled.units.known)),
    )  # fmt: skip


def _comparison(sides: Sequence[Side], seed: int) -> Comparison:
    base = sides[0]
    spec = base.loaded.spec
    confidence = spec.uncertainty.confidence
    primary = spec.primary
    found: list[Difference] = []
    for side in sides[1:]:
        pairing = Pairing(base, side, confidence)
        own = [difference for part in PAIRED for difference in part(pairing)]
        found += [*own, *unpaired_differences(pairing, own)]
    found, family = _adjusted(found)
    result = base.loaded.result
    named = [(side.label, side.loaded) for side in sides]
    explained, not_explained = alike.explanations(named, confidence=confidence)
    return Comparison(
        protocol=result.protocol, base=base.label, models=tuple(_model(side) for side in sides),
        phantom=result.data.phantom, seed=seed, confidence=confidence, identical=tuple(_identical(sides)),
        differences=tuple(found), family_size=family,
        drift=tuple(d for side in sides[1:] for d in moved.drift(base, side)),
        ranks=tuple(_ranks(sides, confidence)),
        moved_pairs=tuple(p for side in sides[1:] for p in moved.moved_pairs(base, side, primary)),
        moved_identities=tuple(m for side in sides[1:] for m in moved.moved_identities(base, side, primary)),
        alignments=tuple(alike.alignments(named, seed=seed, confidence=confidence)), explanations=explained,
        not_compared=(*_not_compared(sides), *not_explained),
        cautions=tuple(_cautions([side.loaded for side in sides])),
    )  # fmt: skip


def _model(side: Side | AnswerSide) -> ComparedModel:
    result = side.loaded.result
    return ComparedModel(
        label=side.label, name=result.model.name, result_id=result.result_id,
        weights_sha256=result.model.weights_sha256, limit=result.run.limit, failed_images=result.data.n_failed,
    )  # fmt: skip


def _identical(sides: Sequence[Side] | Sequence[AnswerSide]) -> list[str]:
    vectors = sides[0].loaded.vectors
    return [side.label for side in sides[1:] if np.array_equal(vectors, side.loaded.vectors, equal_nan=True)]


def _adjusted(differences: list[Difference]) -> tuple[list[Difference], int]:
    """Correct the p-values for their number; tar repeats fnmr, so beside it it is not counted a second time."""
    missed = {_cell(d): i for i, d in enumerate(differences) if d.metric == "fnmr"}
    repeats = {i: missed[_cell(d)] for i, d in enumerate(differences) if d.metric == "tar" and _cell(d) in missed}
    tested = [
        i for i, d in enumerate(differences) if d.p_value is not None and i not in repeats and d.ci_method != "exact"
    ]
    adjusted = dict(
        zip(tested, families.benjamini_hochberg([differences[i].p_value or 0.0 for i in tested]), strict=True)
    )
    found = [
        d.model_copy(update={"p_adjusted": adjusted.get(repeats.get(i, i))}) if d.p_value is not None else d
        for i, d in enumerate(differences)
    ]
    return found, len(tested)


def _cell(difference: Difference) -> tuple[object, ...]:
    return difference.model, difference.point, difference.group, difference.condition


def _ranks(sides: Sequence[Side], confidence: float) -> list[Rank]:
    """Rank all models by each leading metric; one is better than another when Holm's test over all pairs says so."""
    differences: dict[tuple[str, Point | None], dict[tuple[int, int], Difference]] = {}
    for i, j in combinations(range(len(sides)), 2):
        pairing = Pairing(sides[i], sides[j], confidence)
        for d in [*rate_differences(pairing), *separation_differences(pairing)]:
            if d.metric in RANKED:
                differences.setdefault((d.metric, d.point), {})[i, j] = d
    found = []
    for (metric, target), table in differences.items():
        found += _rank_one(sides, metric, target, table, 1 - confidence)
    return found


def _rank_one(
    sides: Sequence[Side] | Sequence[AnswerSide],
    metric: str,
    target: Point | None,
    table: dict[tuple[int, int], Difference],
    alpha: float,
) -> list[Rank]:
    m = len(sides)
    better = np.zeros((m, m), bool)
    adjusted = families.holm([1.0 if d.p_value is None else d.p_value for d in table.values()])
    for ((i, j), d), p in zip(table.items(), adjusted, strict=True):
        if p < alpha and d.worsening:
            better[(i, j) if d.worsening > 0 else (j, i)] = True
    values = [next(_value(d, i == first) for (first, second), d in table.items() if i in (first, second))
              for i in range(m)]  # fmt: skip
    definition = catalogue.metric(metric)
    order = sorted(range(m), key=lambda i: (*definition.sort_key(values[i]), i))
    letters = paired.tie_letters(order, better)
    intervals = paired.rank_intervals(better)
    return [
        Rank(
            metric=metric, **point_fields(target), model=sides[i].label, value=values[i],
            best=None if values[i] is None else intervals[i][0],
            worst=None if values[i] is None else intervals[i][1],
            ties="" if values[i] is None else letters[i],
        )
        for i in order
    ]  # fmt: skip


def _value(difference: Difference, first: bool) -> float | None:
    return difference.base_value if first else difference.value


def _not_compared(sides: Sequence[Side]) -> list[Unmeasured]:
    """Say which estimates one result holds and another lacks, and which parts were not paired."""
    found = []
    keys = [
        {(e.metric, e.condition) for e in side.loaded.result.estimates
         if e.value is not None and read_condition(e.condition) is None}
        for side in sides
    ]  # fmt: skip
    for side, own in zip(sides[1:], keys[1:], strict=True):
        for metric, condition in sorted(keys[0] ^ own):
            missing = side.label if (metric, condition) in keys[0] else sides[0].label
            found.append(Unmeasured(what=f"{metric} under {condition}", why=f"{missing} was not measured for it"))
        why = why_times_differ(sides[0].loaded.result, side.loaded.result)
        if why:
            found.append(Unmeasured(what=f"latency, throughput and memory of {side.label}", why=why))
    reasons: dict[str, dict[str, None]] = {}
    for e in sides[0].loaded.result.estimates:
        if why := why_not_compared(e):
            reasons.setdefault(why, {})[e.metric] = None
    found += [Unmeasured(what=", ".join(metrics), why=why) for why, metrics in reasons.items()]
    if not sides[0].scores.genuine.size:
        why = "no identity has two images, so there are no genuine comparisons"
        found.append(Unmeasured(what="tar, fnmr, eer and auc", why=why))
    return found


def _cautions(loaded: Sequence[Loaded], *, dependent: bool | None = None) -> list[str]:
    """Say what differs between the runs without making them incomparable.

    `dependent` says whether the data tells what belongs together; of comparisons, identities do.
    """
    known = loaded[0].images.identities is not None if dependent is None else dependent
    first = loaded[0].result
    found = []
    if first.run.limit is not None:
        found.append(f"Limited runs: only {first.run.limit:,} images were asked for. They never rank or pass a gate.")
    if not known:
        found.append(
            "The data has no identity labels: intervals ignore that comparisons share people and are too narrow."
        )
    varying: dict[str, list[Any]] = {
        "batch size": [each.result.run.batch_size for each in loaded],
        "device": [each.result.run.device for each in loaded],
        "FaceBench version": [each.result.run.facebench for each in loaded],
        "platform": [each.result.run.platform for each in loaded],
        "package versions": [tuple(sorted(each.result.run.packages.items())) for each in loaded],
    }
    for name, values in varying.items():
        if len(set(values)) > 1:
            shown = "" if name == "package versions" else f" ({', '.join(str(value) for value in values)})"
            found.append(f"The runs differ in {name}{shown}; small differences may come from it.")
    failed = [each.result.data.n_failed for each in loaded]
    if any(failed):
        found.append(
            f"Failed images count as non-matches: {', '.join(f'{n:,}' for n in failed)} in order of the models."
        )
    return found
