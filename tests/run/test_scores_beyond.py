"""Parts of a protocol beyond verification on score files: the same figures as from the embeddings, and 1:N search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.measure.every_score import measure
from facebench.measure.sample import Images
from facebench.models.scores import load_scored_model
from facebench.run.evaluate import rescore
from facebench.run.external_scores import evaluate_scores
from facebench.run.protocols import load_protocol
from facebench.run.report import write_report
from facebench.schema import Estimate, ProtocolSpec, Result
from facebench.sections import sections_of
from facebench.sections.contract import Saved

BEYOND: dict[str, Any] = {
    "published_measures": ["rfw", "fr-nas"],
    "error_versus_discard": {"quality": ["sharpness", "norm"], "discard": [0.0, 0.2]},
    "impostor_ladder": {"sex": "sex", "race": "team", "age": "age", "age_within": 20, "neighbours": 2},
    "covariates": {"age": 10},
}


def write_protocol(path: Path, **keys: Any) -> ProtocolSpec:
    fields = {"name": "beyond", "title": "B", "comparisons": {"kind": "pair-list"}, "fmr_targets": [0.1, 0.05]}
    fields |= {"primary_fmr_target": 0.1, "uncertainty": {"replicates": 100}, "groups": {"attributes": ["team"]}}
    path.write_text(json.dumps({**fields, **keys}), encoding="utf-8")
    return load_protocol(path).spec


def some_people() -> tuple[Images, np.ndarray]:
    """Three pictures each of 40 people, some of unknown age or sharpness."""
    rng = np.random.default_rng(4)
    who = np.repeat(np.arange(40), 3)
    vectors = (rng.normal(size=(40, 6))[who] + 0.8 * rng.normal(size=(120, 6))).astype(np.float32)
    age = rng.integers(20, 70, 40)[who]
    columns = {
        "sex": tuple("mf"[n % 2] for n in who),
        "team": tuple("xy"[n % 4 // 2] for n in who),
        "age": tuple(None if n % 17 == 0 else float(a) for n, a in enumerate(age)),
        "sharpness": tuple(None if n % 13 == 0 else float(round(q, 3)) for n, q in enumerate(rng.random(120))),
    }
    return Images(tuple(f"i{n}" for n in range(120)), tuple(f"p{n}" for n in who), columns), vectors


def write_scores(path: Path, images: Images, vectors: np.ndarray, keep: slice = slice(None)) -> None:
    """Write the cosines of pairs with all that is known of both samples."""
    a, b = (ends[keep] for ends in np.triu_indices(len(vectors), 1))
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    scores = np.einsum("nd,nd->n", unit[a], unit[b]).astype(np.float32)
    facts = {"identity": images.identities or (), **images.attributes}
    rows = ["a,b,genuine,score," + ",".join(f"{name}_{side}" for name in facts for side in "ab")]
    for i, j, score in zip(a, b, scores, strict=True):
        same = images.identity[i] == images.identity[j]
        cells = ["" if column[n] is None else str(column[n]) for column in facts.values() for n in (i, j)]
        rows.append(",".join([f"i{i}", f"i{j}", str(int(same)), repr(float(score)), *cells]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def run(reference: str, protocol: Path, out: Path) -> Result:
    return evaluate_scores(load_scored_model(reference), load_protocol(protocol), RunOptions(out))


def figures(estimates: tuple[Estimate, ...], *, intervals: bool = True) -> dict[Any, Any]:
    found = {}
    for e in estimates:
        key = (e.metric, e.point, e.group, e.group_b, e.condition, e.discarded)
        counts = (e.errors, e.n_genuine, e.n_impostor, e.n_identities, e.n_images)
        numbers = (e.value, e.ci_low, e.ci_high, e.p_value) if intervals else (e.value,)
        found[key] = ([-9.0 if n is None else n for n in numbers], counts, e.ci_method if intervals else "")
    return found


def test_scores_of_all_pairs_give_the_figures_of_the_embeddings(tmp_path: Path) -> None:
    images, vectors = some_people()
    write_scores(tmp_path / "s.csv", images, vectors)
    spec = write_protocol(tmp_path / "p.json.yaml", **BEYOND)
    result = run(f"scores:{tmp_path / 's.csv'}", tmp_path / "p.json.yaml", tmp_path / "out")
    assert rescore(tmp_path / "out")[1] == result

    from facebench.data.scores import read_scores

    table = read_scores(tmp_path / "s.csv", {})
    order = [table.names.index(name) for name in images.image_ids] if table.names else []
    assert order == sorted(order)  # the file names the samples in the order of the images
    from facebench.measure.sample import Pairs

    pairs = Pairs(table.a.astype(np.int64), table.b.astype(np.int64), table.genuine, None)
    clean = measure(spec, images, vectors, pairs, comparator="cosine", seed=0)

    class Stored:
        impostor_ladder = None

        class model:  # noqa: N801 - stands for a field
            class comparator:  # noqa: N801
                value = "cosine"

        class run:  # noqa: N801
            seed = 0

    saved = Saved(Stored, spec, images, pairs, vectors, {}, clean)  # type: ignore[arg-type]
    found = figures(result.estimates)
    for section in sections_of(spec):
        expected = section.measuring.remeasure(saved)
        of_scores = [e for e in expected.estimates if e.condition != "quality:norm"]
        assert len(of_scores) >= 3, section.name
        for key, (numbers, counts, method) in figures(tuple(of_scores)).items():
            assert found[key][1:] == (counts, method), key
            # blocks and lists add up in another order, and a variance over lists is found pair by pair
            assert found[key][0] == pytest.approx(numbers, rel=1e-5, abs=1e-7), key
    gaps = {gap.what: gap.why for gap in result.unmeasured}
    assert "holds no embeddings" in gaps["error versus discard by norm"]
    assert "chosen by embeddings" in gaps["false matches of look-alikes"]
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Strangers who are alike" in page
    assert "Discarding poor images" in page


def test_a_file_that_leaves_comparisons_out_tells_no_rank(tmp_path: Path) -> None:
    images, vectors = some_people()
    write_scores(tmp_path / "s.csv", images, vectors, slice(0, None, 2))
    write_protocol(tmp_path / "p.yaml", **BEYOND)
    result = run(f"scores:{tmp_path / 's.csv'}", tmp_path / "p.yaml", tmp_path / "out")
    assert "leaves comparisons out" in {gap.what: gap.why for gap in result.unmeasured}["FR-NAS disparities"]
    alike = next(e for e in result.estimates if e.condition == "impostors:same-sex" and e.fmr_target == 0.1)
    assert 0 < (alike.n_impostor or 0) < 120 * 119 / 4
    odds = next(e for e in result.estimates if e.metric == "fmr_odds_mean")
    assert odds.ci_low is not None
    assert odds.ci_low < (odds.value or 0) < (odds.ci_high or 0)


def test_without_samples_the_parts_say_what_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, middle, n in (("g", 2, 300), ("i", 0, 3000)):
        (tmp_path / name).write_text("\n".join(map(str, rng.normal(middle, 1, n))) + "\n", encoding="utf-8")
    beyond = {"impostor_ladder": {}, "covariates": {"age": 10}, "published_measures": ["fr-nas"]}
    write_protocol(tmp_path / "p.yaml", **beyond, groups=None)
    result = run(f"scores:{tmp_path / 'g'}#impostor=i", tmp_path / "p.yaml", tmp_path / "out")
    gaps = {gap.what for gap in result.unmeasured}
    assert {"the impostor ladder", "regression on covariates", "FR-NAS disparities"} <= gaps
    write_protocol(tmp_path / "p.yaml", ood={"conditions": ["geometry:flip"]}, groups=None)
    with pytest.raises(InputError, match="asks for ood, which needs the model, not its scores"):
        run(f"scores:{tmp_path / 'g'}#impostor=i", tmp_path / "p.yaml", tmp_path / "out")


# ---- 1:N search


def write_search(folder: Path, *, strangers: int = 0, twice: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Write pyeer's two files for 30 queries and 12 templates; return the scores and each query's template, or -1."""
    rng = np.random.default_rng(2)
    mate = np.concatenate([np.arange(30 - strangers) % 12, np.full(strangers, -1)])
    scores = rng.normal(size=(30, 12)).round(3) + 2.0 * (mate[:, None] == np.arange(12))
    scores[3, 5] = scores[3, mate[3]]  # a tie with a non-mate counts against the model
    rows = [f"q{q} t{t} {float(scores[q, t])!r}" for q in range(30) for t in range(12)]
    if twice:
        rows += [f"q{q} u{t} {float(scores[q, t]) - 0.5!r}" for q in range(30) for t in range(12)]
    (folder / "cmc.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    true = [f"q{q} t{mate[q]}" for q in range(30) if mate[q] >= 0]
    if twice:
        true += [f"q{q} u{mate[q]}" for q in range(30) if mate[q] >= 0]
    (folder / "tp.txt").write_text("\n".join(true) + "\n", encoding="utf-8")
    return scores, mate


def test_a_file_of_searches_gives_rank_k(tmp_path: Path) -> None:
    scores, mate = write_search(tmp_path)
    result = run(f"scores:{tmp_path / 'cmc.txt'}#match=tp.txt", Path("scores"), tmp_path / "out")
    ranks = np.array([(scores[q] >= scores[q, mate[q]]).sum() for q in range(30)])
    found = {e.k: e for e in result.estimates if e.metric == "rank"}
    assert set(found) == {1, 5, 10}
    for k, e in found.items():
        assert e.value == (ranks <= k).mean()
        assert (e.errors, e.n_genuine, e.n_identities) == ((ranks > k).sum(), 30, 12)
        assert e.ci_low is not None
        assert e.ci_low <= e.value <= (e.ci_high or 0)
    assert 0 < (found[1].value or 0) < 1
    curve = next(c for c in result.curves if c.kind == "cmc")
    assert curve.y == tuple((ranks <= k).mean() for k in range(1, 13))
    assert rescore(tmp_path / "out")[1] == result
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Rank-1" in page


def test_several_templates_of_one_person_are_one_entry(tmp_path: Path) -> None:
    scores, mate = write_search(tmp_path, twice=True)
    write_protocol(tmp_path / "p.yaml", identification={"ranks": [1, 2]}, groups=None)
    result = run(f"scores:{tmp_path / 'cmc.txt'}#match=tp.txt", tmp_path / "p.yaml", tmp_path / "out")
    ranks = np.array([(scores[q] >= scores[q, mate[q]]).sum() for q in range(30)])
    # u-templates of a person nobody searches for stay people of their own; all here are searched for
    assert {e.k: e.value for e in result.estimates if e.metric == "rank"} == {
        k: pytest.approx((ranks <= k).mean()) for k in (1, 2)
    }
    assert not [c for c in result.curves if c.kind == "cmc"]


def test_open_set_search_from_scores(tmp_path: Path) -> None:
    scores, mate = write_search(tmp_path, strangers=8)
    asked = {"ranks": [1], "open_set": {"fpir_targets": [0.25], "rank": 1}}
    write_protocol(tmp_path / "p.yaml", identification=asked, groups=None)
    result = run(f"scores:{tmp_path / 'cmc.txt'}#match=tp.txt", tmp_path / "p.yaml", tmp_path / "out")
    fpir, fnir = (next(e for e in result.estimates if e.metric == metric) for metric in ("fpir", "fnir"))
    best = scores[mate < 0].max(axis=1)
    assert (fpir.errors, fpir.n_impostor) == ((best >= fpir.threshold).sum(), 8)
    assert fpir.errors == 2
    own = scores[np.arange(22), mate[:22]]
    missed = (own < fpir.threshold) | ((scores[:22] >= own[:, None]).sum(1) > 1)
    assert (fnir.errors, fnir.n_genuine) == (missed.sum(), 22)
    asked["open_set"] |= {"hold_out": 3}
    write_protocol(tmp_path / "p.yaml", identification=asked, groups=None)
    held = run(f"scores:{tmp_path / 'cmc.txt'}#match=tp.txt", tmp_path / "p.yaml", tmp_path / "out2")
    n = next(e for e in held.estimates if e.metric == "fnir")
    assert (n.n_genuine or 0) < 22
    assert (n.n_genuine or 0) + (n.n_impostor or 0) == 30


def test_queries_compared_with_some_templates_have_no_rank(tmp_path: Path) -> None:
    write_search(tmp_path)
    rows = (tmp_path / "cmc.txt").read_text(encoding="utf-8").splitlines()
    dropped = [row for row in rows if not row.startswith("q4 t5 ")]
    (tmp_path / "cmc.txt").write_text("\n".join(dropped) + "\n", encoding="utf-8")
    result = run(f"scores:{tmp_path / 'cmc.txt'}#match=tp.txt", Path("scores"), tmp_path / "out")
    assert not [e for e in result.estimates if e.metric == "rank"]
    assert "1 of 30 queries" in {gap.what: gap.why for gap in result.unmeasured}["rank-k identification"]


def test_other_files_of_scores_say_that_nothing_was_searched_for(tmp_path: Path) -> None:
    images, vectors = some_people()
    write_scores(tmp_path / "s.csv", images, vectors)
    write_protocol(tmp_path / "p.yaml", identification={"ranks": [1]})
    result = run(f"scores:{tmp_path / 's.csv'}", tmp_path / "p.yaml", tmp_path / "out")
    assert "does not say what was searched" in {g.what: g.why for g in result.unmeasured}["rank-k identification"]
