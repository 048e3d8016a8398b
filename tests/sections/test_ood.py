"""Search with altered probes: retrieval metrics, the transport of patches, and re-ranking end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InputError, UnknownNameError
from facebench.execution.options import RunOptions
from facebench.measure.saved import load_inputs, load_section
from facebench.metrics.retrieval import retrieval
from facebench.models.contract import check_adapter_contract
from facebench.models.load import load_model
from facebench.report.reading import Reading
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol
from facebench.schema import Flag, InputSpec, ModelCard, ProtocolSpec, Result
from facebench.scoring.rerank import DeepFaceEmd, transport_cost
from facebench.sections.ood.measure import plan
from facebench.sections.ood.report import sections as report

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def naive(scores: np.ndarray, mates: np.ndarray) -> tuple[float, float, float]:
    """One query by the definitions; at equal scores others come before mates."""
    listed = sorted(range(len(scores)), key=lambda i: (-scores[i], bool(mates[i])))
    hits = [bool(mates[i]) and np.isfinite(scores[i]) for i in listed]
    r = int(mates.sum())
    precision = [sum(hits[: i + 1]) / (i + 1) for i in range(r)]
    return float(hits[0]), sum(hits[:r]) / r, sum(p for p, hit in zip(precision, hits, strict=False) if hit) / r


@given(st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_retrieval_follows_the_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (4, 9)).astype(float)  # many ties
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    mates = rng.random(scores.shape) < 0.4
    mates[~mates.any(axis=1), 0] = True
    found = retrieval(scores, mates)
    for q in range(len(scores)):
        expected = naive(scores[q], mates[q])
        assert (found.precision_at_1[q], found.r_precision[q], found.map_at_r[q]) == pytest.approx(expected)
        assert found.map_at_r[q] <= found.r_precision[q]


def exact(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> float:
    from scipy.optimize import linprog

    p, q = cost.shape
    rows = np.zeros((p + q, p * q))
    for i in range(p):
        rows[i, i * q : (i + 1) * q] = 1
    for j in range(q):
        rows[p + j, j::q] = 1
    return float(linprog(cost.ravel(), A_eq=rows, b_eq=np.concatenate([a, b])).fun)


def test_transport_approaches_the_exact_plan_from_above() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(6), 5), rng.dirichlet(np.ones(5), 5)
    cost = rng.random((5, 6, 5))
    truth = np.array([exact(*one) for one in zip(a, b, cost, strict=True)])
    errors = [transport_cost(a, b, cost, epsilon, 3000) - truth for epsilon in (0.2, 0.05, 0.02)]
    assert all((error > -1e-6).all() for error in errors)
    assert errors[0].mean() > errors[1].mean() > errors[2].mean()
    assert errors[2].max() < 5e-3


def test_a_face_is_most_like_itself_whatever_the_order_of_its_patches() -> None:
    rng = np.random.default_rng(1)
    query = rng.standard_normal((12, 16)).astype(np.float32)
    others = rng.standard_normal((3, 12, 16)).astype(np.float32)
    found = DeepFaceEmd().similarity(query, np.concatenate([query[None, rng.permutation(12)], others]))
    assert found[0] == pytest.approx(1, abs=2e-3)
    assert (found[1:] < 0.6).all()


class Patches:
    """A model whose embedding is easily led astray by what covers the face, and whose patches are not."""

    card = ModelCard(
        name="patches", adapter="test", weights_sha256="3" * 64, embedding_dim=192,
        input=InputSpec(height=112, width=112),
    )  # fmt: skip

    def embed(self, faces: np.ndarray) -> np.ndarray:
        values = self.embed_patches(faces)
        return (values.reshape(len(faces), 48) - values.mean(axis=(1, 2))[:, None]).repeat(4, axis=1)

    def embed_patches(self, faces: np.ndarray) -> np.ndarray:
        blocks = faces.astype(np.float32).reshape(len(faces), 4, 28, 4, 28, 3).mean(axis=(2, 4)) / 255
        return blocks.reshape(len(faces), 16, 3) - np.float32(0.4)


class White(Patches):
    """The same with gradients."""

    def module(self) -> Any:
        import torch

        class Network(torch.nn.Module):
            def forward(self, faces: torch.Tensor) -> torch.Tensor:
                blocks = torch.nn.functional.avg_pool2d(faces, 28).permute(0, 2, 3, 1).reshape(len(faces), 48)
                return (blocks - blocks.mean(1, keepdim=True)).repeat_interleave(4, 1)

        return Network()


class Plain(Patches):
    embed_patches = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._with = Patches()

    def embed(self, faces: np.ndarray) -> np.ndarray:
        return self._with.embed(faces)

    def __getattribute__(self, name: str) -> Any:
        if name == "embed_patches":
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("faces")
    (folder / "images").mkdir()
    rng = np.random.default_rng(8)
    rows = ["image_id,path,identity,group"]
    for person in range(10):
        base = rng.integers(20, 220, (4, 4, 3))
        for shot in range(3 if person else 1):  # the first person has no mate
            small = (base + rng.normal(0, 45, base.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC).save(
                folder / "images" / f"{person}_{shot}.png"
            )
            rows.append(f"{person}_{shot},images/{person}_{shot}.png,p{person},{'ab'[person % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def go(
    model: Any,
    faces: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    attack: dict[str, Any] | None = None,
    **rerank: Any,
) -> Result:
    monkeypatch.setenv("FACEBENCH_CACHE", str(out / "cache"))
    asked = {
        "name": "t", "title": "t", "fmr_targets": [0.1], "primary_fmr_target": 0.1, "uncertainty": {"replicates": 100},
        "groups": {"attributes": ["group"], "min_identities": 2},
        "ood": {"conditions": ["occlusion:surgical_mask", "geometry:crop_70"], "rerank": {"top_k": 5, **rerank}},
    }  # fmt: skip
    if attack is not None:
        asked["ood"]["attack"] = attack  # type: ignore[index]
    protocol = Protocol(ProtocolSpec.parse(asked, where="test"), out)
    return evaluate(model, protocol, {"faces": faces}, RunOptions(out, batch_size=8, workers=2))


def value(result: Result, metric: str, condition: str, group: str = "all") -> float:
    (found,) = [e for e in result.estimates if (e.metric, e.condition, e.group) == (metric, condition, group)]
    return found.value


def test_search_end_to_end(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = go(Patches(), faces, tmp_path, monkeypatch)
    clean, images, _, _ = load_inputs(result, tmp_path)
    tensors = load_section(result, tmp_path, "ood")
    assert (result.ood.n_queries, result.ood.n_gallery) == (27, 27)
    assert "Sinkhorn" in result.ood.reranking
    identity = images.identity
    for condition in ("clean", "occlusion:surgical_mask", "geometry:crop_70"):
        probes = (clean if condition == "clean" else tensors[condition]).astype(np.float64)
        gallery = clean.astype(np.float64)
        rows = []
        for i in range(1, len(identity)):  # the first image has no mate
            others = np.array([j for j in range(len(identity)) if j != i])
            scores = gallery[others] @ probes[i] / np.linalg.norm(gallery[others], axis=1) / np.linalg.norm(probes[i])
            rows.append(naive(scores.astype(np.float32), identity[others] == identity[i]))
        expected = np.mean(rows, axis=0)
        found = [value(result, metric, condition) for metric in ("precision_at_1", "r_precision", "map_at_r")]
        assert found == pytest.approx(expected.tolist())
        before, after = value(result, "precision_at_1", condition), value(result, "reranked_precision_at_1", condition)
        assert value(result, "rerank_gain", condition) == pytest.approx(after - before)
    for e in result.estimates:
        if e.metric == "precision_at_1" and e.ci_low is not None:
            assert e.ci_low <= e.value <= e.ci_high
    assert 0 < value(result, "precision_at_1", "geometry:crop_70", "group=a") <= 1
    stored, fresh = rescore(tmp_path)
    assert stored.model_dump_json() == fresh.model_dump_json()


ATTACK = {"eps": "48/255", "steps": 5}
ATTACKED = "attack:pgd-linf:48/255:dodging"


def test_attacked_probes_are_searched_and_put_in_order_again(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = go(White(), faces, tmp_path, monkeypatch, ATTACK)
    assert result.ood.conditions[-1] == ATTACKED
    clean, images, _, _ = load_inputs(result, tmp_path)
    attacked = load_section(result, tmp_path, "ood")[ATTACKED]
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (clean, attacked)]
    mates = images.identity[:, None] == images.identity[None, :]
    np.fill_diagonal(mates, False)
    before, after = (np.where(mates, vectors @ unit[0].T, -np.inf) for vectors in unit)
    nearest = before[1:].argmax(1)  # the first image has no mate
    rows = np.arange(1, len(before))
    assert (after[rows, nearest] < before[rows, nearest] - 0.05).all()
    assert (attacked[0] == clean[0]).all()
    assert value(result, "map_at_r", ATTACKED) < value(result, "map_at_r", "clean")
    assert value(result, "reranked_precision_at_1", ATTACKED) is not None
    stored, fresh = rescore(tmp_path)
    assert stored.model_dump_json() == fresh.model_dump_json()
    (section,) = report(Reading(result))
    assert "attacked, pgd-linf 48/255" in [row[0].text for row in section.blocks[0].tables[0].rows]

    def fail(*_: Any) -> None:
        raise AssertionError("nothing is left to compute")

    monkeypatch.setattr("facebench.probes.attacks.batch.run_gradient", fail)
    assert go(White(), faces, tmp_path, monkeypatch, ATTACK).estimates == result.estimates


def test_without_gradients_the_attack_is_unmeasured(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = go(Patches(), faces, tmp_path, monkeypatch, ATTACK)
    (gap,) = [gap for gap in result.unmeasured if "attacked" in gap.what]
    assert "needs gradients" in gap.why
    assert ATTACKED not in result.ood.conditions
    stored, fresh = rescore(tmp_path)
    assert stored.model_dump_json() == fresh.model_dump_json()


def test_weight_zero_leaves_the_lists_as_they_are(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = go(Patches(), faces, tmp_path, monkeypatch, alpha=0.0)
    for condition in ("clean", "occlusion:surgical_mask"):
        for metric in ("precision_at_1", "r_precision", "map_at_r"):
            assert value(result, metric, condition) == value(result, f"reranked_{metric}", condition)
        (gain,) = [e for e in result.estimates if (e.metric, e.condition) == ("rerank_gain", condition)]
        assert gain.value == 0
        assert Flag.NO_INTERVAL in gain.flags


def test_patch_similarities_are_kept_for_a_killed_run(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = go(Patches(), faces, tmp_path, monkeypatch)

    def fail(*_: Any) -> None:
        raise AssertionError("nothing is left to compute")

    monkeypatch.setattr(Patches, "embed_patches", fail)
    assert go(Patches(), faces, tmp_path, monkeypatch).estimates == first.estimates


def test_without_patches_the_reranking_is_unmeasured(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = go(Plain(), faces, tmp_path, monkeypatch)
    (gap,) = [gap for gap in result.unmeasured if "re-ranking" in gap.what]
    assert "offers no patch features (embed_patches)" in gap.why
    assert result.ood.reranking is None
    assert not [e for e in result.estimates if e.metric.startswith("rerank")]
    stored, fresh = rescore(tmp_path)
    assert stored.model_dump_json() == fresh.model_dump_json()


def test_bad_input_is_told(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'deepface-emd'"):
        go(Patches(), faces, tmp_path / "a", monkeypatch, comparator="deepface-edm")
    with pytest.raises(InputError, match="300/255 lies outside"):
        go(White(), faces, tmp_path / "e", monkeypatch, {"eps": "300/255"})
    with pytest.raises(InputError, match="alpha"):
        go(Patches(), faces, tmp_path / "b", monkeypatch, alpha=1.5)
    with pytest.raises(InputError, match="Did you mean"):
        ProtocolSpec.parse({"name": "t", "title": "t", "ood": {"conditions": ["geometry:crop70"]}}, where="test")


def test_the_cost_is_told_beforehand() -> None:
    asked = {"name": "t", "title": "t", "ood": {"conditions": ["geometry:flip"], "rerank": {"top_k": 10}}}
    search, patches = plan(ProtocolSpec.parse(asked, where="test"), 100, 0.5)
    assert (search.images, search.seconds) == (100, 50.0)
    assert patches.images == 300
    assert patches.seconds > 150
    attacked = {"name": "t", "title": "t", "ood": {"conditions": ["geometry:flip"], "attack": {"steps": 10}}}
    rows = plan(ProtocolSpec.parse(attacked, where="test"), 100, 0.5)
    assert [row.images for row in rows] == [200, 2200]


WEIGHTS = REAL / "weights" / "mobilefacenet_casia.state_dict.pt"


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the real model is not here")
def test_the_torch_adapter_offers_the_patches_of_its_network(tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parents[1] / "models"
    (tmp_path / "mobilefacenet.py").write_text((tests / "mobilefacenet.py").read_text())
    (tmp_path / "model.yaml").write_text(
        f"name: mobilefacenet\nadapter: torch\nweights: {WEIGHTS}\nfactory: mobilefacenet:build\n"
        "state_dict_key: net_state_dict\n"
        "input: {height: 112, width: 96, crop: [0, 8, 112, 104], mean: 127.5, std: 128.0}\n"
    )
    model = load_model(tmp_path / "model.yaml", trust_code=True)
    faces = np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), np.uint8)
    found = model.embed_patches(faces)
    assert found.shape == (8, 42, 512)
    assert found.dtype == np.float32
    assert np.allclose(found[3:5], model.embed_patches(faces[3:5]), atol=1e-4)
    check_adapter_contract(model, faces)
