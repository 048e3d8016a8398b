"""A file of scores in place of a model: the same figures as from the embeddings, groups, failures, recomputation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.measure.every_score import measure
from facebench.measure.sample import Images, Pairs
from facebench.measure.saved import SCORES, load_inputs
from facebench.models import load_model
from facebench.models.scores import load_scored_model
from facebench.run.evaluate import rescore
from facebench.run.external_scores import evaluate_scores
from facebench.run.protocols import load_protocol
from facebench.run.report import verdict_sentences, write_report
from facebench.schema import Flag, Result


def plain_csv(path: Path, *, identities: bool = True, failed: int = 0) -> tuple[Path, np.ndarray, Images, Pairs]:
    """Write the scores of random embeddings of 20 people in two groups, every pair of a random list."""
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(20), 4)
    vectors = (rng.normal(size=(20, 8))[who] + 0.7 * rng.normal(size=(80, 8))).astype(np.float32)
    vectors[:failed] = np.nan
    a, b = np.triu_indices(80, 1)
    group = [("x", "y")[person % 2] for person in who]
    images = Images(tuple(f"i{n}" for n in range(80)), tuple(f"p{n}" for n in who), {"group": tuple(group)})
    pairs = Pairs(a.astype(np.int64), b.astype(np.int64), who[a] == who[b], (np.arange(a.size) % 5).astype(np.int64))
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    scores = np.einsum("nd,nd->n", unit[a], unit[b]).astype(np.float32)
    rows = ["a,b,genuine,score,fold,group_a,group_b" + (",identity_a,identity_b" if identities else "")]
    for n, (i, j) in enumerate(zip(a, b, strict=True)):
        score = "" if np.isnan(scores[n]) else repr(float(scores[n]))
        row = f"i{i},i{j},{int(pairs.genuine[n])},{score},{n % 5},{group[i]},{group[j]}"
        rows.append(row + (f",p{who[i]},p{who[j]}" if identities else ""))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path, vectors, images, pairs


def run(reference: str, out: Path, protocol: str | None = None) -> Result:
    if protocol is None:
        quick = {"name": "quick", "title": "Q", "comparisons": {"kind": "pair-list"}, "fmr_targets": [1e-2, 1e-1]}
        quick |= {"primary_fmr_target": 1e-2, "uncertainty": {"replicates": 100}}
        protocol = str(out.parent / "quick.yaml")
        Path(protocol).write_text(json.dumps(quick), encoding="utf-8")
    return evaluate_scores(load_scored_model(reference), load_protocol(protocol), RunOptions(out))


def figures(estimates: tuple) -> dict:
    return {
        (e.metric, e.fmr_target, e.group, e.group_b, e.failures): (
            None if e.value is None else round(e.value, 9), e.errors, e.n_genuine, e.n_impostor, e.n_identities,
        )
        for e in estimates
        if e.metric != "fta"  # a file of scores tells of failed comparisons, not of failed images
    }  # fmt: skip


@pytest.mark.parametrize("failed", [0, 3])
def test_scores_of_a_file_give_the_figures_of_the_embeddings(tmp_path: Path, failed: int) -> None:
    path, vectors, images, pairs = plain_csv(tmp_path / "s.csv", failed=failed)
    result = run(f"scores:{path}", tmp_path / "out")
    spec = load_protocol(tmp_path / "quick.yaml").spec
    expected = measure(spec, images, vectors, pairs, comparator="cosine", seed=0)
    assert figures(result.estimates).keys() == figures(expected.estimates).keys()
    for key, value in figures(expected.estimates).items():
        assert figures(result.estimates)[key] == pytest.approx(value), key
    assert (failed > 0) == any(e.failures == "excluded" for e in result.estimates)
    tar = next(e for e in result.estimates if e.metric == "tar" and e.fmr_target == 1e-2)
    assert tar.ci_method == "wilson-delta"
    assert {e.group for e in result.estimates} >= {"all", "group=x", "group=y"}


def test_a_result_of_scores_is_recomputed_from_the_scores_alone(tmp_path: Path) -> None:
    path, *_ = plain_csv(tmp_path / "s.csv")
    result = run(f"scores:{path}", tmp_path / "out")
    path.unlink()
    stored, fresh = rescore(tmp_path / "out")
    assert stored == result
    assert fresh == stored
    assert result.run.embedded_images == 0
    assert result.model.embedding_dim == 0
    (tmp_path / "out" / SCORES).write_bytes(b"other")
    with pytest.raises(InputError, match="was changed"):
        rescore(tmp_path / "out")


def test_without_identities_intervals_are_naive_and_flagged(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, middle, n in (("g", 2, 300), ("i", 0, 3000)):
        (tmp_path / name).write_text("\n".join(map(str, rng.normal(middle, 1, n))) + "\n", encoding="utf-8")
    result = run(f"scores:{tmp_path / 'g'}#impostor=i", tmp_path / "out")
    rates = [e for e in result.estimates if e.metric in ("tar", "fmr", "fnmr") and e.value is not None]
    assert rates
    assert all(Flag.NAIVE_INTERVAL in e.flags and e.ci_method == "naive-wilson" for e in rates)
    assert result.data.n_identities is None
    assert rescore(tmp_path / "out")[1] == result
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the scores were read from a file" in page
    assert "scores of samples without names" in " ".join(verdict_sentences(result))


def test_two_models_on_the_same_comparisons_share_the_manifest(tmp_path: Path) -> None:
    path, *_ = plain_csv(tmp_path / "s.csv")
    first = run(f"scores:{path}", tmp_path / "a")
    path.write_text(path.read_text(encoding="utf-8").replace(",0.", ",0.0"), encoding="utf-8")
    second = run(f"scores:{path}", tmp_path / "b")
    assert first.protocol.manifest_sha256 == second.protocol.manifest_sha256
    assert first.model.weights_sha256 != second.model.weights_sha256
    assert first.result_id != second.result_id


def test_what_scores_cannot_give_is_refused(tmp_path: Path) -> None:
    path, *_ = plain_csv(tmp_path / "s.csv")
    with pytest.raises(InputError, match="compares all images, but a file of scores brings its own comparisons"):
        run(f"scores:{path}", tmp_path / "out", "verification")
    options = RunOptions(tmp_path / "out", limit=3)
    with pytest.raises(InputError, match="--limit"):
        evaluate_scores(load_scored_model(f"scores:{path}"), load_protocol("scores"), options)
    counted = tmp_path / "p.yaml"
    counted.write_text("name: p\ntitle: P\ndataset: {n_genuine: 7}\ncomparisons: {kind: pair-list}\n", encoding="utf-8")
    with pytest.raises(InputError, match="promises 7 genuine comparisons, the file has 120"):
        run(f"scores:{path}", tmp_path / "out", str(counted))
    with pytest.raises(InputError, match="only `facebench run` takes it"):
        load_model(f"scores:{path}")
    result = run(f"scores:{path}", tmp_path / "out")
    with pytest.raises(InputError, match="its numbers come from a file of scores"):
        load_inputs(result, tmp_path / "out")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("scores:", "names no file"),
        ("scores:s.csv#column", "write KEY=VALUE"),
        ("scores:s.csv#column=a,column=b", "each key once"),
        ("scores:nowhere.csv", "score file not found: nowhere.csv"),
    ],
)
def test_references(reference: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_scored_model(reference)
