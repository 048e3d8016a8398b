"""Causal sweeps: planted changes are found, edited images stay out of ordinary numbers, bad manifests are refused."""

from math import log

import numpy as np
import pytest
from PIL import Image

from facebench.data import dataset_sha256, load_dataset
from facebench.errors import InputError, UnknownNameError
from facebench.execution.options import RunOptions
from facebench.metrics.paired_change import mean_change
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol
from facebench.schema import Flag, InputSpec, ModelCard, ProtocolSpec

LEVELS = {"shade": ("0.5", "10", "90"), "hat": ("cap", "none")}


class Grey:
    """A model whose embedding is an angle written in the first pixels, so that every score is known."""

    card = ModelCard(
        name="grey", adapter="test", weights_sha256="2" * 64, embedding_dim=2, input=InputSpec(height=112, width=112)
    )

    def embed(self, faces):
        angle = faces[:, 0, 0].astype(np.float64) @ [1, 1 / 256, 0] / 100
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def write(folder, angles, rows):
    """Images named like their angle; `rows` are (image_id, angle, identity, team, of, attribute, level)."""
    (folder / "images").mkdir(parents=True)
    lines = ["image_id,path,identity,team,counterfactual_of,attribute,level"]
    for image_id, angle, identity, team, of, attribute, level in rows:
        pixels = np.zeros((112, 112, 3), np.uint8)
        pixels[0, 0] = (int(angle * 100), int(angle * 100 % 1 * 256), 0)
        Image.fromarray(pixels).save(folder / "images" / f"{image_id}.png")
        lines.append(f"{image_id},images/{image_id}.png,{identity},{team},{of},{attribute},{level}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def sweep_rows(n=20):
    """Two unedited images of each of n people, and the second one edited: shade 90 turns b by 0.4, a by 0.03."""
    rows = []
    for i in range(n):
        team = "ab"[i % 2]
        angle = 0.05 * i
        rows += [(f"{i}_0", angle, f"p{i}", team, "", "", ""), (f"{i}_1", angle, f"p{i}", team, "", "", "")]
        for attribute, levels in LEVELS.items():
            for level in levels:
                turn = (0.4 if team == "b" else 0.03) if level == "90" else 0.0
                rows.append((f"{i}_1_{level}", angle + turn, f"p{i}", team, f"{i}_1", attribute, level))
    return rows


def protocol(**keys):
    fields = {
        "name": "p", "title": "p", "fmr_targets": (0.1,), "primary_fmr_target": 0.1, "causal": {"group_by": ["team"]},
        "groups": {"intersections": "none"}, "uncertainty": {"replicates": 200},
    }  # fmt: skip
    return Protocol(ProtocolSpec.model_validate({**fields, **keys}), None)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    data = {"faces": write(tmp_path / "faces", None, sweep_rows())}
    return evaluate(Grey(), protocol(), data, RunOptions(out=tmp_path / "out")), tmp_path / "out", data


def test_planted_changes_are_found_per_level_and_group(ran):
    result, out, _ = ran
    found = {(e.metric, e.condition, e.group): e for e in result.estimates if e.condition.startswith("causal:")}
    turned = {"team=a": np.cos(0.03) - 1, "team=b": np.cos(0.4) - 1}
    for group, expected in turned.items():
        e = found["score_change", "causal:shade=90", group]
        assert e.value == pytest.approx(expected, abs=1e-3)
        assert e.ci_low <= e.value <= e.ci_high
        assert (e.n_genuine, e.n_identities) == (10, 10)
    everyone = found["score_change", "causal:shade=90", "all"]
    assert everyone.value == pytest.approx(np.mean(list(turned.values())), abs=1e-3)
    assert everyone.ci_low < everyone.value < everyone.ci_high < 0
    assert found["score_change", "causal:shade=10", "all"].value == pytest.approx(0, abs=1e-6)
    assert found["score_step", "causal:shade=90", "all"].value == pytest.approx(everyone.value, abs=1e-6)
    assert ("score_step", "causal:shade=0.5", "all") not in found  # the first level has none before it
    assert ("score_step", "causal:hat=none", "all") not in found  # words have no order
    sweeps = {sweep.attribute: sweep.levels for sweep in result.causal.sweeps}
    assert sweeps == LEVELS  # numbers rise, words stay in the order of the manifest
    stored, fresh = rescore(out)
    assert stored == fresh


def test_fnmr_changes_at_the_clean_threshold(ran):
    result, _, _ = ran
    found = {(e.metric, e.condition, e.group): e for e in result.estimates if e.condition.startswith("causal:")}
    clean = next(e for e in result.estimates if e.metric == "fmr" and e.group == "all")
    lost = found["fnmr_change", "causal:shade=90", "all"]
    assert lost.threshold == clean.threshold
    assert np.cos(0.4) < clean.threshold < np.cos(0.03)  # team b is turned past the threshold, team a is not
    assert lost.value == pytest.approx(0.5)
    assert lost.errors == 10
    nothing = found["fnmr_change", "causal:hat=cap", "all"]
    assert (nothing.value, nothing.ci_low, nothing.ci_high) == (
        0,
        pytest.approx(log(0.05) / 20),
        pytest.approx(-log(0.05) / 20),
    )


def test_edited_images_stay_out_of_ordinary_numbers(ran, tmp_path):
    result, _, data = ran
    assert result.data.n_images == 40
    assert result.run.embedded_images == 140
    pooled = next(e for e in result.estimates if e.metric == "tar" and e.group == "all")
    assert (pooled.n_genuine, pooled.n_impostor) == (20, 760)
    asked = protocol(causal=None, comparisons={"include_counterfactuals": True})
    everything = evaluate(Grey(), asked, data, RunOptions(out=tmp_path / "all"))
    assert everything.data.n_images == 140
    without = evaluate(Grey(), protocol(causal=None), data, RunOptions(out=tmp_path / "none"))
    clean = [e for e in result.estimates if not e.condition.startswith("causal:")]
    assert list(without.estimates) == clean
    assert without.protocol.manifest_sha256 == result.protocol.manifest_sha256


def test_people_with_one_image_are_compared_with_themselves(tmp_path):
    rows = [row for row in sweep_rows() if not row[0].endswith("_0")]
    data = {"faces": write(tmp_path / "faces", None, rows)}
    result = evaluate(Grey(), protocol(), data, RunOptions(out=tmp_path / "out"))
    assert not result.causal.enrolled_other
    kinds = {e.metric for e in result.estimates if e.condition.startswith("causal:")}
    assert kinds == {"score_change", "score_step"}


def test_without_counterfactuals_the_sweep_is_unmeasured(tmp_path):
    rows = [row for row in sweep_rows() if not row[4]]
    data = {"faces": write(tmp_path / "faces", None, rows)}
    result = evaluate(Grey(), protocol(), data, RunOptions(out=tmp_path / "out"))
    assert [gap.what for gap in result.unmeasured] == ["causal sweeps"]
    stored, fresh = rescore(tmp_path / "out")
    assert stored == fresh


def test_an_unknown_attribute_is_named(tmp_path):
    data = {"faces": write(tmp_path / "faces", None, sweep_rows(6))}
    with pytest.raises(UnknownNameError, match="'shade'"):
        evaluate(Grey(), protocol(causal={"attributes": ["shad"]}), data, RunOptions(out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",0_1,shade,90", ",nobody,shade,90", "'nobody', which the manifest"),
        (",0_1,shade,90", ",0_1_10,shade,90", "itself edited"),
        (",0_1,shade,90", ",0_1,shade,", "together"),
        (",p0,a,0_1,shade,90", ",p1,a,0_1,shade,90", "identity"),
        (",attribute,level", ",attribut,level", "attribut"),
    ],
)
def test_broken_manifests_are_refused_with_the_row(tmp_path, old, new, said):
    folder = write(tmp_path / "faces", None, sweep_rows(2))
    text = (folder / "manifest.csv").read_text()
    assert old in text
    (folder / "manifest.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said) as error:
        load_dataset(folder)
    assert "attribut" in said or "line" in str(error.value) or "row" in str(error.value)


def test_the_name_of_a_dataset_covers_what_was_edited(tmp_path):
    folder = write(tmp_path / "faces", None, sweep_rows(2))
    before = load_dataset(folder)
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text.replace("shade,90", "shade,91"))
    after = load_dataset(folder)
    hashes = ["0" * 64] * len(before)
    assert dataset_sha256(before, hashes) != dataset_sha256(after, hashes)
    part = before.take(np.array([0, 1]))
    assert part.counterfactuals is None
    assert part.image_ids == before.image_ids[:2]


def test_mean_change_against_its_own_definition():
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    difference = rng.standard_normal(40)[identity] + 0.2 * rng.standard_normal(identity.size) + 1
    found = mean_change(difference, identity, replicates=2000, confidence=0.95, rng=rng)
    assert found.value == pytest.approx(difference.mean())
    assert found.n_identities == 40
    sums = np.bincount(identity, difference - difference.mean())
    spread = np.sqrt((sums**2).sum()) / identity.size
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * spread, rel=0.12)
    assert mean_change(difference[:0], identity[:0], replicates=10, confidence=0.95, rng=rng) is None
    alone = mean_change(difference[:1], identity[:1], replicates=10, confidence=0.95, rng=rng)
    assert alone.interval is None


def test_few_identities_are_flagged(tmp_path):
    data = {"faces": write(tmp_path / "faces", None, sweep_rows(6))}
    result = evaluate(Grey(), protocol(), data, RunOptions(out=tmp_path / "out"))
    assert all(Flag.FEW_IDENTITIES in e.flags for e in result.estimates if e.metric == "score_change")
