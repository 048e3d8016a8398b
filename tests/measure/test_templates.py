"""Templates: pooling against a naive loop and hand cases, failures, options, and whole runs from a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facebench.data import load_dataset
from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.measure import templates
from facebench.measure.templates import WithMirrored, pool, template_units
from facebench.models import load_model
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import load_protocol
from facebench.schema import Flag, Flip, InputSpec, ModelCard, TemplateSpec
from facebench.schema.protocol import ProtocolSpec


def options(letters: str = "") -> TemplateSpec:
    return TemplateSpec(normalise_first="N" in letters, detector_weight="D" in letters, flip="F" in letters)


def naive(vectors: np.ndarray, template: list[int], media: list[int], spec: TemplateSpec, d: np.ndarray) -> np.ndarray:
    found = np.full((max(template) + 1, vectors.shape[1]), np.nan)
    for t in range(len(found)):
        items: dict[int, list[np.ndarray]] = {}
        for row in range(len(vectors)):
            if template[row] == t and not np.isnan(vectors[row]).any():
                v = vectors[row].astype(float)
                v = v / np.sqrt((v**2).sum()) if spec.normalise_first else v
                items.setdefault(media[row], []).append(v * d[row] if spec.detector_weight else v)
        if items:
            mean = sum(sum(group) / len(group) for group in items.values()) / len(items)
            found[t] = mean / np.sqrt((mean**2).sum())
    return found


def test_by_hand() -> None:
    vectors = np.array([[3, 0], [1, 0], [0, 2], [0, 5]], np.float32)
    template, media = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2])
    root = np.sqrt(0.5)
    assert np.allclose(pool(vectors, template, media, options()), [[root, root], [0, 1]])  # ((3+1)/2, 2) / 2
    assert np.allclose(pool(vectors, template, media, options("N")), [[root, root], [0, 1]])
    weighted = pool(vectors, template, media, options("ND"), np.array([0.5, 0.5, 1.0, 0.0001]))
    assert np.allclose(weighted[0], np.array([0.5, 1.0]) / np.hypot(0.5, 1))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_a_loop(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    vectors = rng.normal(size=(n, 3)).astype(np.float32)
    vectors[rng.random(n) < 0.3] = np.nan
    template = [0, *rng.integers(0, 3, n - 1).tolist()]
    template = [sorted(set(template)).index(t) for t in template]
    media = [3 * t + int(m) for t, m in zip(template, rng.integers(0, 3, n), strict=True)]
    spec = options(data.draw(st.sampled_from(["", "N", "D", "ND"])))
    weights = rng.random(n) + 0.1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "_BLOCK", data.draw(st.integers(1, 6)))
        found = pool(vectors, np.array(template), np.array(media), spec, weights)
    assert found.tobytes() == pool(vectors, np.array(template), np.array(media), spec, weights).tobytes()
    assert np.allclose(found, naive(vectors, template, media, spec, weights), atol=1e-5, equal_nan=True)


def test_a_failed_image_leaves_its_template_and_a_template_of_failures_fails() -> None:
    vectors = np.array([[1, 0], [np.nan, np.nan], [np.nan, np.nan]], np.float32)
    found = pool(vectors, np.array([0, 0, 1]), np.array([0, 1, 2]), options())
    assert np.allclose(found[0], [1, 0])
    assert np.isnan(found[1]).all()


# ---- whole runs


class Grid:
    """A model whose embedding is a coarse copy of the picture."""

    card = ModelCard(
        name="grid", adapter="test", weights_sha256="1" * 64, embedding_dim=12, input=InputSpec(height=8, width=8)
    )
    calls = 0

    def embed(self, faces: np.ndarray) -> np.ndarray:
        values = faces[:, ::56, ::56].reshape(len(faces), -1).astype(np.float32) - 100
        return np.asarray(values)


def write(folder: Path, *, rows: dict[int, dict[str, str]] | None = None, pairs: str | None = None) -> Path:
    """Eight people, two templates each of two media items and three images; the third image lies in the second item."""
    rng = np.random.default_rng(2)
    lines = ["image_id,path,identity,template_id,media_id,detector_score,role,sex"]
    folder.mkdir()
    for person in range(8):
        base = rng.integers(0, 200, (2, 2, 3))
        for number in range(6):
            noisy = np.clip(base + rng.integers(-50, 50, (2, 2, 3)), 0, 255)
            pixels = np.kron(noisy, np.ones((56, 56, 1))).astype(np.uint8)
            name = f"{person}_{number}"
            Image.fromarray(pixels).save(folder / f"{name}.png")
            cells = {
                "identity": f"p{person}", "template": f"t{person}_{number // 3}", "media": str(number % 3 // 2),
                "score": f"0.{9 - number}", "role": "probe" if number > 2 else "gallery", "sex": "mf"[person % 2],
            } | (rows or {}).get(6 * person + number, {})  # fmt: skip
            lines.append(",".join([name, f"{name}.png", *cells.values()]))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [(f"t{i}_0", f"t{j}_1", int(i == j)) for i in range(8) for j in range(8)]
    text = "template_a,template_b,genuine\n" + "".join(f"{a},{b},{g}\n" for a, b, g in names)
    (folder / "template_pairs.csv").write_text(pairs or text, encoding="utf-8")
    return folder


def protocol(path: Path, letters: str = "N", kind: str = "template-pairs", more: str = "") -> Any:
    spec = options(letters)
    path.write_text(
        f"name: t\ntitle: T\ncomparisons: {{kind: {kind}}}\nfmr_targets: [0.1]\nprimary_fmr_target: 0.1\n"
        f"templates: {{normalise_first: {spec.normalise_first}, detector_weight: {spec.detector_weight}, "
        f"flip: {spec.flip}}}\ngroups: {{attributes: [sex], intersections: none}}\nuncertainty: {{replicates: 100}}\n"
        f"{more}".lower(),
        encoding="utf-8",
    )
    return load_protocol(path)


def test_a_run_compares_templates(tmp_path: Path) -> None:
    faces = write(tmp_path / "faces")
    result = evaluate(Grid(), protocol(tmp_path / "p.yaml"), {"faces": faces}, RunOptions(tmp_path / "out"))
    tar = next(e for e in result.estimates if e.metric == "tar" and e.group == "all")
    assert (tar.n_genuine, tar.n_impostor, tar.n_identities) == (8, 56, 8)
    assert result.data.n_images == 48
    assert {e.group for e in result.estimates} >= {"sex=m", "sex=f"}
    assert rescore(tmp_path / "out")[1] == result
    every = evaluate(
        Grid(), protocol(tmp_path / "p.yaml", kind="templates"), {"faces": faces}, RunOptions(tmp_path / "all")
    )
    tar = next(e for e in every.estimates if e.metric == "tar" and e.group == "all")
    assert (tar.n_genuine, tar.n_impostor) == (8, 16 * 15 // 2 - 8)


def test_a_template_whose_images_all_fail_is_a_failure_to_acquire(tmp_path: Path) -> None:
    faces = write(tmp_path / "faces")
    for name in ("0_0", "0_1", "0_2", "1_0"):
        (faces / f"{name}.png").write_bytes(b"no image")
    result = evaluate(Grid(), protocol(tmp_path / "p.yaml"), {"faces": faces}, RunOptions(tmp_path / "out"))
    assert len(result.failures) == 4
    counted = {e.failures: e for e in result.estimates if e.metric == "tar" and e.group == "all"}
    assert counted["counted"].n_genuine == 8
    assert counted["excluded"].n_genuine == 7  # one template is lost, not two


def test_the_options_change_the_protocol_and_the_numbers(tmp_path: Path) -> None:
    faces = write(tmp_path / "faces")
    names, seen = set(), set()
    for letters in ("", "N", "D", "ND", "F"):
        own = protocol(tmp_path / "p.yaml", letters)
        result = evaluate(Grid(), own, {"faces": faces}, RunOptions(tmp_path / f"out{letters}"))
        names.add(own.sha256)
        seen.add(next(e.value for e in result.estimates if e.metric == "dprime"))
    assert len(names) == 5
    assert len(seen) == 5


def test_mirrored_embeddings_are_added() -> None:
    faces = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)
    model = WithMirrored(Grid())
    assert np.allclose(model.embed(faces), Grid().embed(faces) + Grid().embed(faces[:, :, ::-1]))
    assert model.card != Grid.card
    mirroring = Grid()
    mirroring.card = Grid.card.model_copy(update={"input": InputSpec(height=8, width=8, flip=Flip.SUM)})
    with pytest.raises(InputError, match="mirrors faces itself"):
        WithMirrored(mirroring)


def test_stored_halves(tmp_path: Path) -> None:
    faces = write(tmp_path / "faces")
    dataset = load_dataset(faces)
    rng = np.random.default_rng(1)
    embs, mirrored = rng.normal(size=(2, 48, 4)).astype(np.float32)
    np.savez(tmp_path / "e.npz", embs=embs, embs_f=mirrored, filenames=np.array(dataset.image_ids))
    np.save(tmp_path / "e.npy", np.concatenate([embs, mirrored], axis=1))
    (tmp_path / "ids").write_text("\n".join(dataset.image_ids), encoding="utf-8")
    (tmp_path / "npz.yaml").write_text("name: e\nadapter: embeddings\nweights: e.npz\n", encoding="utf-8")
    npy = "name: e\nadapter: embeddings\nweights: e.npy\nids: ids\n"
    (tmp_path / "npy.yaml").write_text(npy + "options: {mirrored: second-half}\n", encoding="utf-8")
    (tmp_path / "plain.yaml").write_text(npy, encoding="utf-8")
    bound = {"faces": faces}
    added = protocol(tmp_path / "f.yaml", "NF")
    figures = []
    for name in ("npz", "npy"):
        result = evaluate(load_model(tmp_path / f"{name}.yaml"), added, bound, RunOptions(tmp_path / name))
        figures.append([e.value for e in result.estimates])
        assert result.model.embedding_dim == 8
    assert figures[0] == figures[1]
    with pytest.raises(InputError, match="no embeddings of mirrored faces"):
        evaluate(load_model(tmp_path / "plain.yaml"), added, bound, RunOptions(tmp_path / "plain"))
    expected, *_ = template_units(dataset, embs, added.spec)
    assert expected.image_ids[:2] == ("t0_0", "t0_1")


@pytest.mark.parametrize(
    ("rows", "pairs", "message"),
    [
        ({}, "template_a,template_b,genuine\nt0_0,t9,1\n", "template_pairs.csv, line 2: template_b 't9' is not in"),
        ({}, "template_a,template_b,genuine\nt0_0,t1_0,1\n", "line 2: genuine is 1, but the manifest says"),
        ({}, "template_a,template_b,genuine\nt0_0,t0_0,1\n", "line 2: a template is paired with itself"),
        ({}, "template_a,template_b,genuine\nt0_0,t0_1,1\nt0_1,t0_0,1\n", "lines 2, 3: the same two templates are"),
        ({}, "image_a,image_b,genuine\n0_0,0_1,1\n", "a list of template pairs has template_a, template_b, genuine"),
        ({1: {"identity": "other"}}, None, "template 't0_0' holds images of the people 'p0' and 'other'"),
        ({1: {"role": "galery"}}, None, "manifest.csv, line 3: role is 'galery'"),
        ({1: {"score": ""}}, None, "manifest.csv, line 3: detector_score must be a number"),
        ({1: {"score": "-1"}}, None, "manifest.csv, line 3: detector_score must be a number"),
    ],
)
def test_what_does_not_add_up(tmp_path: Path, rows: dict, pairs: str | None, message: str) -> None:
    faces = write(tmp_path / "faces", rows=rows, pairs=pairs)
    with pytest.raises(InputError) as caught:
        evaluate(Grid(), protocol(tmp_path / "p.yaml"), {"faces": faces}, RunOptions(tmp_path / "out"))
    assert message in str(caught.value)


def test_weights_need_detector_scores_and_templates_need_ids(tmp_path: Path) -> None:
    faces = write(tmp_path / "faces")
    text = (faces / "manifest.csv").read_text(encoding="utf-8")
    (faces / "manifest.csv").write_text(text.replace("detector_score", "blur"), encoding="utf-8")
    with pytest.raises(InputError, match="add the column detector_score"):
        evaluate(Grid(), protocol(tmp_path / "p.yaml", "D"), {"faces": faces}, RunOptions(tmp_path / "out"))
    (faces / "manifest.csv").write_text(text.replace("template_id", "shelf"), encoding="utf-8")
    with pytest.raises(InputError, match="no image has a template_id"):
        evaluate(Grid(), protocol(tmp_path / "p.yaml"), {"faces": faces}, RunOptions(tmp_path / "out"))
    own = protocol(tmp_path / "p.yaml", kind="templates")
    with pytest.raises(InputError, match="has no template_id"):
        evaluate(Grid(), own, {"faces": faces}, RunOptions(tmp_path / "out"))


def test_protocols_say_how_templates_are_made() -> None:
    for wrong in (
        {"comparisons": {"kind": "templates"}},
        {"templates": {"normalise_first": True, "detector_weight": False, "flip": False}},
        {"comparisons": {"kind": "templates"}, "templates": {"normalise_first": True}},
    ):
        with pytest.raises(InputError):
            ProtocolSpec.parse({"name": "t", "title": "T", **wrong}, where="p")


def test_conversion_keeps_templates_roles_and_name(tmp_path: Path) -> None:
    from facebench.data import convert_dataset, dataset_sha256, hash_images

    dataset = load_dataset(write(tmp_path / "faces"), pairs="own-templates")
    convert_dataset(dataset, tmp_path / "copy")
    copy = load_dataset(tmp_path / "copy", pairs="own-templates")
    assert dataset_sha256(copy, hash_images(copy, 1)) == dataset_sha256(dataset, hash_images(dataset, 1))
    assert copy.roles == dataset.roles
    assert dataset.subset(9).template_pairs is not None
    assert "16 templates; 64 template pairs (8 genuine)" in dataset.summary()


def test_people_follow_from_genuine_pairs(tmp_path: Path) -> None:
    """Without identities templates that genuine pairs join are one person, so that intervals are not naive."""
    faces = write(tmp_path / "faces")
    rows = [line.split(",") for line in (faces / "manifest.csv").read_text(encoding="utf-8").splitlines()]
    (faces / "manifest.csv").write_text("\n".join(",".join([*row[:2], *row[3:]]) for row in rows), encoding="utf-8")
    result = evaluate(Grid(), protocol(tmp_path / "p.yaml"), {"faces": faces}, RunOptions(tmp_path / "out"))
    tar = next(e for e in result.estimates if e.metric == "tar" and e.group == "all")
    assert tar.n_identities == 8
    assert Flag.NAIVE_INTERVAL not in tar.flags
    assert rescore(tmp_path / "out")[1] == result
