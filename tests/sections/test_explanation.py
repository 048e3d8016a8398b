"""The explanation section end to end: estimates, rescoring, resuming, costs, and what cannot be explained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.measure.saved import load_section
from facebench.probes.saliency import METHODS, Saliency, Uses, declares
from facebench.run.evaluate import evaluate, rescore
from facebench.run.plan import plan
from facebench.run.protocols import Protocol, load_protocol
from facebench.schema import Estimate, Flag, InputSpec, ModelCard, ProtocolSpec
from facebench.schema.explanation import MethodSpec
from facebench.sections.explanation import judging
from facebench.sections.explanation.costs import passes
from facebench.sections.explanation.judging import controls
from facebench.sections.explanation.kept import Kept
from facebench.sections.explanation.writer import Explainees

torch = pytest.importorskip("torch")
pytest.importorskip("captum")

METHODS_ASKED = (
    {"name": "occlusion", "options": {"patch": 28, "stride": 28}},
    {"name": "rise", "options": {"masks": 20}},
    {"name": "gradient"},
    {"name": "integrated-gradients", "options": {"steps": 5}},
)


class Small:
    """A network of a few random weights, which counts the faces it is shown."""

    card = ModelCard(
        name="small", adapter="test", weights_sha256="2" * 64, embedding_dim=24, input=InputSpec(height=112, width=112)
    )

    def __init__(self, seed: int = 0, fails_after: int | None = None) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._network = torch.nn.Sequential(
                torch.nn.AvgPool2d(4), torch.nn.Conv2d(3, 6, 5, 2), torch.nn.Tanh(), torch.nn.Flatten(),
                torch.nn.Linear(6 * 12 * 12, 24),
            ).eval()  # fmt: skip
        self.seen = 0
        self.fails_after = fails_after

    def embed(self, faces: np.ndarray) -> np.ndarray:
        self.seen += len(faces)
        if self.fails_after is not None and self.seen > self.fails_after:
            raise KeyboardInterrupt
        with torch.no_grad():
            pixels = torch.from_numpy(faces.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255))
            return self._network(pixels).numpy()

    def module(self) -> torch.nn.Module:
        return self._network


def protocol(**keys: Any) -> Protocol:
    smoke = load_protocol("explanation-smoke").spec.model_dump(mode="json", exclude_none=True)
    asked = {"methods": METHODS_ASKED, "pairs": 4, "triplets": 6, "control_pairs": 2, "levels": 4, **keys}
    return Protocol(ProtocolSpec.model_validate({**smoke, "explanation": asked, "groups": None}), None)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """One cache of embeddings for the module; the rendered faces come from the shipped set."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, int]:
    out = tmp_path_factory.mktemp("whole")
    model = Small()
    return evaluate(model, protocol(), {}, RunOptions(out=out)), out, model.seen


def saliency(result: Any, metric: str) -> list[Estimate]:
    return [e for e in result.estimates if e.metric == metric and e.condition.startswith("saliency:")]


def test_every_measure_is_there_beside_its_nulls(run) -> None:
    result, _, _ = run
    for metric in (
        "saliency_iou", "relevance_mass", "pixel_auroc", "pointing", "iou_mismatch_gap", "deletion_auc",
        "insertion_auc", "randomisation_similarity", "max_sensitivity", "inpainting_at_1", "inpainting_at_5",
    ):  # fmt: skip
        found = saliency(result, metric)
        assert {e.condition.split(":")[1] for e in found} == {m["name"] for m in METHODS_ASKED}
        assert all(e.nulls for e in found if e.value is not None), metric
    assert {e.condition for e in saliency(result, "seed_stability")} == {"saliency:rise"}
    assert {e.condition for e in saliency(result, "completeness_gap")} == {"saliency:integrated-gradients"}
    assert all(0 <= e.value <= 2 for e in saliency(result, "max_sensitivity"))
    oracle = next(e.nulls["oracle"] for e in saliency(result, "inpainting_at_1") if e.value is not None)
    assert oracle == 1.0


def test_rescoring_gives_the_same_result_without_the_model(run) -> None:
    result, out, _ = run
    stored, again = rescore(out)
    assert stored == result
    assert again.result_id == result.result_id


def test_a_killed_run_resumes_and_gives_the_same_result(run, tmp_path) -> None:
    whole, out, seen = run
    options = RunOptions(out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Small(fails_after=seen // 2), protocol(), {}, options)
    assert any((tmp_path / ".work" / "explanation").iterdir())
    model = Small()
    resumed = evaluate(model, protocol(), {}, options)
    assert model.seen < 0.6 * seen
    assert resumed.estimates == whole.estimates
    assert resumed.explanation == whole.explanation
    assert (tmp_path / "explanation.safetensors").read_bytes() == (out / "explanation.safetensors").read_bytes()
    assert not (tmp_path / ".work" / "explanation").exists()


def test_what_is_kept_is_found_again_only_for_the_same_question(run, tmp_path) -> None:
    from facebench.probes.saliency import Explained, Target

    face = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    subject = Explained(face, Target(np.ones(4, np.float32)), lambda faces: np.ones((len(faces), 4), np.float32))
    made = []

    def make() -> Saliency:
        made.append(1)
        return Saliency.of(np.arange(256.0).reshape(16, 16), "occlusion", forwards=3, settings={"patch": 2})

    def ask(kept: Kept, words: Any, about: Explained) -> Saliency:
        return kept.saliency(words, about, make)

    first = ask(Kept(tmp_path, "model a"), ["occlusion"], subject)
    second = ask(Kept(tmp_path, "model a"), ["occlusion"], subject)
    assert len(made) == 1
    np.testing.assert_array_equal(first.values, second.values)
    assert (second.settings, second.forwards) == ({"patch": 2}, 3)
    other = replace(subject, target=Target(np.array([1, 2, 3, 4], np.float32)))
    for basis, words, about in (
        ("model b", ["occlusion"], subject), ("model a", ["rise"], subject), ("model a", ["occlusion"], other),
        ("model a", ["occlusion"], replace(subject, seed=1)),
    ):  # fmt: skip
        before = len(made)
        ask(Kept(tmp_path, basis), words, about)
        assert len(made) == before + 1
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])  # a damaged file is made again, not believed
    ask(Kept(tmp_path, "model a"), ["occlusion"], subject)
    assert len(made) == 6


def test_a_plan_counts_the_passes_of_a_run(tmp_path, run) -> None:
    result, _, _ = run
    found = plan(Small(), protocol(), {}, RunOptions(out=tmp_path))
    rows = [part for part in found.parts if part.what.startswith("explaining by")]
    assert [row.what.split()[2].rstrip(",") for row in rows] == [m["name"] for m in METHODS_ASKED]
    assert all(row.seconds > 0 for row in rows)
    for asked, verdict in zip(protocol().spec.explanation.methods[:2], result.explanation.methods, strict=False):
        assert passes(asked) == verdict.forwards
    assert passes(MethodSpec(name="s-rise", options={"masks": 10})) == 20
    assert passes(MethodSpec(name="integrated-gradients", options={"steps": 5})) == 17


def test_a_method_without_a_map_is_flagged_and_never_a_hit(tmp_path, monkeypatch) -> None:
    @declares(uses=Uses.EMBEDDINGS, random=False)
    def flat(subject: Any, **_: Any) -> Saliency:
        return Saliency.of(np.ones(subject.probe.shape[:2]), "flat", forwards=1)

    monkeypatch.setitem(METHODS._targets, "flat", flat)
    asked = protocol(methods=({"name": "flat"},))
    result = evaluate(Small(), asked, {}, RunOptions(out=tmp_path))
    assert not result.explanation.methods[0].qualified
    found = [e for e in result.estimates if e.condition.startswith("saliency:flat")]
    assert {"saliency_iou", "relevance_mass", "deletion_auc", "inpainting_at_5"} <= {e.metric for e in found}
    assert all(e.value is None and Flag.DEGENERATE_MAPS in e.flags for e in found)


def test_a_layer_that_does_not_exist_ends_the_run_with_its_name(tmp_path) -> None:
    asked = protocol(methods=({"name": "grad-cam", "options": {"layer": "stage9"}},))
    with pytest.raises(InputError, match="no layer 'stage9'"):
        evaluate(Small(), asked, {}, RunOptions(out=tmp_path))


def test_a_method_that_knows_nothing_fails_its_controls(run, monkeypatch) -> None:
    monkeypatch.setitem(METHODS._targets, "blind", METHODS.get("occlusion"))
    result, out, _ = run
    tensors = load_section(result, out, "explanation")
    rng = np.random.default_rng(0)
    blind = {
        key.replace("occlusion/", "blind/"): rng.random(value.shape) for key, value in tensors.items()
        if key.startswith("occlusion/")
    }  # fmt: skip
    whom = Explainees(np.arange(200), {}, np.zeros(0, np.int64), ())
    judged = controls("blind", {**tensors, **blind}, whom, 0.95)
    assert all(finding.decided for finding in judged[:3])
    assert [finding.passed for finding in judged] == [False, False, False, True]
    assert all(abs(finding.value - 0.5) < 0.05 for finding in judged[:3])


def test_a_part_the_model_does_not_see_is_no_control(tmp_path) -> None:
    """An eyes-only model shown a mouth has nothing to look at; one that sees no part at all cannot qualify a method."""
    from facebench.models import load_model

    asked = protocol(methods=({"name": "gradient"},), pairs=8, control_pairs=8, triplets=0)
    verdict = evaluate(load_model("phantom-eyes-only"), asked, {}, RunOptions(out=tmp_path)).explanation.methods[0]
    found = {finding.control: finding for finding in verdict.controls}
    assert (found["mouth"].value, found["mouth"].passed) == (None, True)
    assert found["eyes"].value > 0.95
    assert verdict.qualified

    class Blind(Small):
        """Sees the last row of pixels, which no part reaches."""

        def embed(self, faces: np.ndarray) -> np.ndarray:
            hidden = np.full_like(faces, 127)
            hidden[:, -1] = faces[:, -1]
            return super().embed(hidden)

        def module(self) -> torch.nn.Module:
            return torch.nn.Sequential(_LastRow(), self._network)

    blind = evaluate(Blind(), asked, {}, RunOptions(out=tmp_path / "blind")).explanation.methods[0]
    assert not blind.qualified
    assert "nothing could be planted" in blind.why


class _LastRow(torch.nn.Module):
    def forward(self, faces):
        mask = torch.zeros_like(faces)
        mask[..., -1, :] = 1
        return faces * mask + 127 / 255 * (1 - mask)


@pytest.mark.parametrize(
    ("values", "passed", "decided"),
    [
        ([0.97, 0.98, 0.96, 0.97, 0.98, 0.97], True, True),
        ([0.99, 0.80, 0.97, 0.99], False, False),  # above the limit on average, and nobody knows by how much
        ([0.70, 0.72, 0.71, 0.69], False, True),
        ([0.99], False, False),
        ([None, None], False, True),
    ],
)
def test_a_control_is_decided_by_its_interval(values, passed, decided) -> None:
    judge = judging._Judge(Explainees(np.arange(9), {}, np.zeros(0, np.int64), ()), 0.95)
    found = judge.finding("eyes", "pixel_auroc", values, 0.9, at_least=True)
    assert (found.passed, found.decided) == (passed, decided)
    why = judging.why_not([found])
    if decided and values[0] is not None:
        assert why == ("" if passed else "failed the control: eyes")
    elif values[0] is not None:
        assert why == "cannot tell on so few control pairs: eyes"
        assert found.ci_low is None or found.ci_low < 0.9 < found.ci_high
