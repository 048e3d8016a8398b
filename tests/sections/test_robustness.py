"""Section robustness: naive recomputation, rescoring, resuming, failures, and the direction of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.execution.repeat import N_IMAGES
from facebench.measure.every_score import measure
from facebench.measure.saved import load_inputs, load_section
from facebench.phantoms.labels import ARCFACE_112
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol
from facebench.schema import Alignment, Estimate, Flag, InputSpec, ModelCard, ProtocolSpec, Result
from facebench.sections.robustness.conditions import Baseline, condition_estimates
from facebench.sections.robustness.measure import plan

CONDITIONS = ["corruption:gaussian_noise", "occlusion:surgical_mask", "geometry:rotation:3"]
TARGET = 0.1


@dataclass
class Blocks:
    """Embeds coarse blocks of the picture; counts faces, may stop in the middle, may refuse bright faces."""

    stop_after: int | None = None
    refuse_above: float | None = None
    alignment: Alignment = Alignment.ARCFACE_112
    weights: str | None = "0"
    seen: int = 0
    card: ModelCard = field(init=False)

    def __post_init__(self) -> None:
        self.card = ModelCard(
            name="blocks", adapter="test", weights_sha256=self.weights and self.weights * 64, embedding_dim=49,
            input=InputSpec(height=112, width=112, alignment=self.alignment),
        )  # fmt: skip

    def embed(self, faces: np.ndarray) -> np.ndarray:
        filled = faces.any(axis=(1, 2, 3))
        self.seen += int(filled.sum())
        if self.stop_after is not None and self.seen > self.stop_after:
            raise KeyboardInterrupt
        values = faces.astype(np.float64).mean(axis=3).reshape(len(faces), 7, 16, 7, 16).mean(axis=(2, 4))
        found = (values.reshape(len(faces), 49) - values.mean(axis=(1, 2))[:, None] + 1e-3).astype(np.float32)
        if self.refuse_above is not None:
            found[faces.mean(axis=(1, 2, 3)) > self.refuse_above] = np.nan
        return found


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with three pictures each, in two groups, on smooth random grounds."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("faces")
    (folder / "images").mkdir()
    rng = np.random.default_rng(3)
    rows = ["image_id,path,identity,group"]
    for person in range(12):
        base = rng.integers(20, 200, (7, 7, 3))
        for shot in range(3):
            small = (base + rng.normal(0, 70, base.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC).save(
                folder / "images" / f"{person}_{shot}.png"
            )
            rows.append(f"{person}_{shot},images/{person}_{shot}.png,p{person},{'ab'[person % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pairs = ["image_a,image_b,genuine"]
    pairs += [f"{p}_1,{p}_0,1" for p in range(12)] + [f"{p}_2,{(p + 1) % 12}_0,0" for p in range(12)]
    (folder / "pairs.csv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))


def spec(**robustness: Any) -> ProtocolSpec:
    asked = {
        "name": "t", "title": "t", "fmr_targets": [0.3, TARGET], "primary_fmr_target": TARGET,
        "groups": {"attributes": ["group"], "min_identities": 2}, "uncertainty": {"replicates": 100},
        "comparisons": robustness.pop("comparisons", {"kind": "all-pairs"}),
        "robustness": {"conditions": CONDITIONS, "severities": [2, 4], **robustness},
    }  # fmt: skip
    return ProtocolSpec.parse(asked, where="test")


def go(model: Any, faces: Path, out: Path, **robustness: Any) -> Result:
    return evaluate(
        model, Protocol(spec(**robustness), out), {"faces": faces}, RunOptions(out, batch_size=8, workers=2)
    )


def pick(
    estimates: Sequence[Estimate], metric: str, condition: str, group: str = "all", target: float = TARGET
) -> Estimate:
    (found,) = [
        e for e in estimates
        if (e.metric, e.condition, e.group) == (metric, condition, group) and e.group_b is None
        and e.failures == "counted" and e.fmr_target in (None, target)
    ]  # fmt: skip
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    found = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.where(np.isnan(found), -np.inf, found).astype(np.float32)


@pytest.mark.parametrize("apply_to", ["probe", "both"])
def test_rates_are_those_of_a_plain_loop_over_comparisons(apply_to: str, faces: Path, tmp_path: Path) -> None:
    result = go(Blocks(), faces, tmp_path, apply_to=apply_to)
    clean, images, _, _ = load_inputs(result, tmp_path)
    tensors = load_section(result, tmp_path, "robustness")
    identity, group = images.identity, np.array(images.attributes["group"])
    condition = "geometry:rotation:3"
    threshold = pick(result.estimates, "fmr", "clean").threshold
    hits: dict[tuple[bool, str], list[bool]] = {}
    before: list[bool] = []
    for i in range(len(identity)):
        for j in range(i + 1, len(identity)):
            enrolled = clean[i] if apply_to == "probe" else tensors[condition][i]
            accepted = bool(cosine(enrolled, tensors[condition][j]) >= np.float64(threshold))
            same = bool(identity[i] == identity[j])
            hits.setdefault((same, "all"), []).append(accepted)
            if group[i] == group[j]:
                hits.setdefault((same, f"group={group[i]}"), []).append(accepted)
            if same:
                before.append(bool(cosine(clean[i], clean[j]) >= np.float64(threshold)))
    for name in ("all", "group=a", "group=b"):
        fmr, fnmr = (pick(result.estimates, metric, condition, name) for metric in ("fmr", "fnmr"))
        assert fmr.errors == sum(hits[False, name])
        assert fmr.n_impostor == len(hits[False, name])
        assert fnmr.errors == len(hits[True, name]) - sum(hits[True, name])
        assert fnmr.n_genuine == len(hits[True, name])
        assert fmr.threshold == fnmr.threshold == threshold
        assert fnmr.ci_low <= fnmr.value <= fnmr.ci_high
    tar = pick(result.estimates, "tar", condition)
    assert tar.value == pytest.approx(np.mean(hits[True, "all"]))
    drop = pick(result.estimates, "relative_drop", condition)
    assert drop.value == pytest.approx(1 - np.mean(hits[True, "all"]) / np.mean(before))
    gap = pick(result.estimates, "fnmr_gap", condition, "group")
    rates = [pick(result.estimates, "fnmr", condition, f"group={g}").value for g in "ab"]
    assert gap.value == pytest.approx(max(rates) - min(rates))
    assert 0.2 < tar.value < 1, "the case must be able to fail"


def test_summaries_are_means_over_kinds_and_the_worst_of_all(faces: Path, tmp_path: Path) -> None:
    asked = ["corruption:gaussian_noise", "corruption:brightness:5"]
    result = go(Blocks(), faces, tmp_path, conditions=asked)
    noisy = [pick(result.estimates, "tar", f"corruption:gaussian_noise:{n}") for n in (2, 4)]
    noise = [e.value for e in noisy]
    bright = pick(result.estimates, "tar", "corruption:brightness:5")
    mean = pick(result.estimates, "mean_tar", "corruption")
    assert mean.value == pytest.approx((np.mean(noise) + bright.value) / 2)
    assert mean.ci_low < mean.value < mean.ci_high
    worst = pick(result.estimates, "worst_tar", "corruption")
    assert worst.value == pytest.approx(min(*noise, bright.value))
    # the bound of the worst is that of the condition it may be; from above any other may be worse, so it is corrected
    assert worst.ci_low == pytest.approx(min(e.ci_low for e in (*noisy, bright)))
    assert worst.ci_high > min(e.ci_high for e in (*noisy, bright))
    far = pick(result.estimates, "worst_fmr", "corruption")
    assert far.value == max(e.value for e in result.estimates
                            if e.metric == "fmr" and e.condition.startswith("corruption:") and e.group == "all"
                            and e.fmr_target == TARGET)  # fmt: skip
    clean = pick(result.estimates, "tar", "clean").value
    assert pick(result.estimates, "mean_relative_drop", "corruption").value == pytest.approx(1 - mean.value / clean)
    assert pick(result.estimates, "mean_tar", "corruption", "group=a").n_genuine == 18


def test_an_unchanged_probe_gives_the_clean_rates(faces: Path, tmp_path: Path) -> None:
    result = go(Blocks(), faces, tmp_path)
    clean, images, _, asked = load_inputs(result, tmp_path)
    found = measure(asked, images, clean, None, comparator="cosine", seed=0)
    baseline = Baseline(asked, images, clean, None, found, comparator="cosine")
    estimates = condition_estimates(baseline, baseline.scores(clean), "geometry:none")
    for target in (0.3, TARGET):
        for metric in ("tar", "fnmr", "fmr"):
            same = pick(found.estimates, metric, "clean", target=target)
            again = pick(estimates, metric, "geometry:none", target=target)
            assert (again.value, again.errors, again.near_threshold) == (same.value, same.errors, same.near_threshold)
        assert pick(estimates, "relative_drop", "geometry:none", target=target).value == 0


def test_a_listed_pair_alters_its_second_image(faces: Path, tmp_path: Path) -> None:
    result = go(Blocks(), faces, tmp_path, comparisons={"kind": "pair-list"})
    clean, images, pairs, _ = load_inputs(result, tmp_path)
    tensors = load_section(result, tmp_path, "robustness")
    condition = "geometry:rotation:3"
    found = pick(result.estimates, "fnmr", condition)
    scores = cosine(clean[pairs.a], tensors[condition][pairs.b])[pairs.genuine]
    turned = cosine(clean[pairs.b], tensors[condition][pairs.a])[pairs.genuine]
    assert found.errors == int((scores.astype(np.float64) < found.threshold).sum())
    assert not np.allclose(scores, turned)
    assert images.image_ids[pairs.b[0]] == "0_0"


def test_rescoring_gives_the_same_bytes(faces: Path, tmp_path: Path) -> None:
    go(Blocks(), faces, tmp_path)
    stored, fresh = rescore(tmp_path)
    assert stored.model_dump_json() == fresh.model_dump_json()


@pytest.mark.parametrize("weights", ["0", None], ids=["shared store", "own store"])
def test_a_killed_run_resumes_and_embeds_nothing_twice(weights: str | None, faces: Path, tmp_path: Path) -> None:
    whole = Blocks(weights=weights)
    expected = go(whole, faces, tmp_path / "whole")
    if weights:
        (tmp_path / "cache").rename(tmp_path / "gone")
    killed = Blocks(weights=weights, stop_after=100)
    with pytest.raises(KeyboardInterrupt):
        go(killed, faces, tmp_path / "out")
    resumed = Blocks(weights=weights)
    result = go(resumed, faces, tmp_path / "out")
    assert resumed.seen <= whole.seen - 100 + 8  # at most the batch that was cut short is embedded again
    assert result.result_id == expected.result_id
    again = Blocks(weights=weights)
    assert go(again, faces, tmp_path / "out").estimates == expected.estimates
    assert again.seen == N_IMAGES  # those that every run embeds twice, to tell whether the model repeats itself


def test_an_image_lost_under_a_condition_counts_as_a_failure_and_a_miss(faces: Path, tmp_path: Path) -> None:
    asked = ["corruption:brightness:5"]
    limit = 230.0
    result = go(Blocks(refuse_above=limit), faces, tmp_path, conditions=asked)
    lost = load_section(result, tmp_path, "robustness")[asked[0]]
    failed = np.isnan(lost).any(axis=1)
    assert 0 < failed.sum() < 36
    fta = pick(result.estimates, "fta", asked[0])
    assert fta.errors == failed.sum()
    assert fta.n_images == 36
    _, images, _, _ = load_inputs(result, tmp_path)
    identity = images.identity
    genuine = [(i, j) for i in range(36) for j in range(i + 1, 36) if identity[i] == identity[j]]
    fnmr = pick(result.estimates, "fnmr", asked[0])
    assert fnmr.n_genuine == len(genuine)
    assert fnmr.errors >= sum(failed[j] for _, j in genuine)
    assert {f.image_id for f in result.robustness.failures} == {images.image_ids[i] for i in np.flatnonzero(failed)}
    assert not result.failures, "the clean images all worked"
    stored, fresh = rescore(tmp_path)
    assert stored.estimates == fresh.estimates


def test_without_identities_every_interval_says_that_it_is_naive(faces: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nameless"
    folder.mkdir()
    (folder / "images").symlink_to(faces / "images")
    rows = [line.split(",") for line in (faces / "manifest.csv").read_text().splitlines()]
    (folder / "manifest.csv").write_text("\n".join(",".join([r[0], r[1], r[3]]) for r in rows) + "\n")
    (folder / "pairs.csv").write_text((faces / "pairs.csv").read_text())
    result = go(Blocks(), folder, tmp_path / "b", comparisons={"kind": "pair-list"})
    found = pick(result.estimates, "fnmr", "occlusion:surgical_mask")
    assert found.ci_method == "naive-wilson"
    assert Flag.NAIVE_INTERVAL in found.flags
    assert Flag.NO_INTERVAL in pick(result.estimates, "mean_tar", "occlusion").flags


def test_unaligned_faces_without_landmarks_are_refused_and_with_them_accepted(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add a column `landmarks`"):
        go(Blocks(alignment=Alignment.NONE, weights="2"), faces, tmp_path / "a")
    folder = tmp_path / "placed"
    (folder / "images").mkdir(parents=True)
    for path in (faces / "images").iterdir():
        (folder / "images" / path.name).write_bytes(path.read_bytes())
    lines = (faces / "manifest.csv").read_text().splitlines()
    points = " ".join(f"{value:.3f}" for value in ARCFACE_112.ravel())
    text = [lines[0] + ",landmarks", *(f"{line},{points}" for line in lines[1:])]
    (folder / "manifest.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    result = go(Blocks(alignment=Alignment.NONE, weights="2"), folder, tmp_path / "b")
    assert pick(result.estimates, "tar", "occlusion:surgical_mask").value is not None
    assert not result.robustness.examples, "pictures of faces that are not phantoms are never stored"


def test_the_cost_is_told_beforehand() -> None:
    (row,) = plan(spec(), 100, 0.5)
    assert (row.images, row.seconds) == (400, 200.0)


def test_a_protocol_without_the_key_keeps_its_sha256(tmp_path: Path) -> None:
    plain = ProtocolSpec.parse({"name": "t", "title": "t"}, where="test")
    assert "robustness" not in plain.model_dump(mode="json", exclude_none=True)
    assert "ood" not in plain.model_dump(mode="json", exclude_none=True)


def test_the_cache_keeps_conditions_apart(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("geometry:rotation:3", "geometry:rotation:5", "corruption:brightness:3")

    def vectors(condition: str, out: Path) -> np.ndarray:
        result = go(Blocks(), faces, out, conditions=[condition])
        return load_section(result, out, "robustness")[condition]

    shared = [vectors(condition, tmp_path / f"shared{n}") for n, condition in enumerate(asked)]
    for n, condition in enumerate(asked):
        monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / f"cache of {n}"))
        np.testing.assert_array_equal(shared[n], vectors(condition, tmp_path / f"own{n}"))
    assert not np.allclose(shared[0], shared[1])
