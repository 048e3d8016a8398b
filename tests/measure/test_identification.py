"""Closed and open sets: who is enrolled, who is not, and what counts as an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.measure.identification import held_out, identification, roles_of
from facebench.measure.sample import Images
from facebench.schema import Estimate, Flag
from facebench.schema.identification import IdentificationSpec

REAL = Path(__file__).resolve().parents[3] / "shared"


def at(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


# identity, angle of each image; the gallery holds the first images at 0, 90, 180 and 270 degrees
FACES = [("a", 0), ("a", 10), ("a", 50), ("b", 90), ("b", 95), ("c", 180), ("c", 200), ("d", 270), ("d", 225)]


def make(
    faces: list[tuple[str, float]] = FACES, roles: tuple[str | None, ...] | None = None
) -> tuple[Images, np.ndarray]:
    names = tuple(name for name, _ in faces)
    vectors = np.array([at(angle) for _, angle in faces], np.float32)
    return Images(tuple(f"i{i}" for i in range(len(faces))), names, {}, roles), vectors


def run(images: Images, vectors: np.ndarray, **spec: Any) -> dict[tuple[str, Any], Estimate]:
    estimates, _ = identification(vectors, images, IdentificationSpec(**spec), "cosine", 0.95)
    return {(e.metric, e.k if e.metric == "rank" else e.fpir_target): e for e in estimates}


def test_closed_set_and_cmc() -> None:
    images, vectors = make()
    found = run(images, vectors, ranks=(1, 2, 9))
    # a at 50 is nearer to b at 90; d at 225 lies between c and d, and rounding decides: a tie would count against it
    assert found["rank", 1].n_genuine == 5
    assert found["rank", 1].errors in (1, 2)
    assert found["rank", 2].value == 1.0
    assert ("rank", 9) not in found  # the gallery holds four
    _, curves = identification(vectors, images, IdentificationSpec(cmc=9), "cosine", 0.95)
    assert curves[0].x == (1, 2, 3, 4)
    assert curves[0].y[0] == found["rank", 1].value
    assert list(curves[0].y) == sorted(curves[0].y)


def test_open_set_by_hand() -> None:
    images, vectors = make([("a", 0), ("a", 10), ("b", 90), ("b", 95), ("b", 130), ("c", 180), ("c", 100)])
    # of three identities the first is held out: a at 0 and 10, best scores cos 90 and cos 80
    assert held_out(images, roles_of(images, IdentificationSpec()).enrolled, 1).tolist() == [0]
    found = run(images, vectors, open_set={"hold_out": 1, "fpir_targets": [0.5]})
    fpir, fnir = found["fpir", 0.5], found["fnir", 0.5]
    assert (fpir.errors, fpir.n_impostor, fpir.value) == (1, 2, 0.5)
    assert np.cos(np.radians(90)) < fpir.threshold < np.cos(np.radians(80))  # type: ignore[operator]
    # b at 95 and 130 are found; c at 100 is nearer to b
    assert (fnir.errors, fnir.n_genuine, fnir.k) == (1, 3, 1)
    strict = run(images, vectors, open_set={"hold_out": 1, "fpir_targets": [0.1], "rank": 2})
    # no alarm allowed: the threshold lies above cos 80, which c at 100 against c at 180 does not reach at any rank
    assert strict["fpir", 0.1].errors == 0
    assert Flag.UNRESOLVABLE in strict["fpir", 0.1].flags
    assert strict["fnir", 0.1].errors == 1
    assert strict["fnir", 0.1].k == 2


def test_gallery_by_role_pools_images_and_leaves_strangers() -> None:
    faces = [("a", 350), ("a", 10), ("a", 5), ("b", 90), ("b", 88), ("x", 45)]
    images, vectors = make(faces, roles=("gallery", "gallery", "probe", "gallery", "probe", "probe"))
    spec = IdentificationSpec.model_validate({"gallery": "role", "open_set": {"fpir_targets": [0.5]}})
    estimates, _ = identification(vectors, images, spec, "cosine", 0.95)
    found = {e.metric: e for e in estimates}
    assert found["rank"].value == 1.0
    assert found["rank"].n_genuine == 2  # x is not enrolled
    assert found["fpir"].n_impostor == 1
    assert found["fnir"].n_genuine == 2


def test_two_galleries_are_searched_by_every_probe() -> None:
    # a and b in the first gallery, c and d in the second; each probe is a stranger to one of them
    faces = [("a", 0), ("b", 90), ("c", 180), ("d", 270), ("a", 10), ("b", 95), ("c", 200), ("d", 225), ("x", 45)]
    roles = ("gallery", "gallery", "gallery-2", "gallery-2", *("probe",) * 5)
    images, vectors = make(faces, roles)
    spec = IdentificationSpec.model_validate({"gallery": "role", "cmc": 5, "open_set": {"fpir_targets": [0.5]}})
    estimates, curves = identification(vectors, images, spec, "cosine", 0.95)
    found = {(e.metric, e.condition): e for e in estimates}
    # d at 225 lies between c and d, and rounding decides; all others find their mate
    assert found["rank", "clean"].n_genuine == 4
    assert found["rank", "clean"].errors in (0, 1)
    assert [found["rank", f"gallery:{n}"].n_genuine for n in (1, 2)] == [2, 2]
    assert found["rank", "gallery:1"].value == 1.0
    assert found["fpir", "clean"].n_impostor == 6  # c, d and x in the first; a, b and x in the second
    assert found["fnir", "clean"].n_genuine == 4
    assert [found["fpir", f"gallery:{n}"].n_impostor for n in (1, 2)] == [3, 3]
    assert [(c.condition, len(c.x)) for c in curves] == [("clean", 2), ("gallery:1", 2), ("gallery:2", 2)]


def test_a_failed_probe_misses_and_never_raises_an_alarm() -> None:
    images, vectors = make([("a", 0), ("a", 10), ("b", 90), ("b", 95), ("c", 180), ("c", 185)])
    vectors[[1, 5]] = np.nan
    found = run(images, vectors, open_set={"hold_out": 1, "fpir_targets": [0.5]})
    assert found["fpir", 0.5].n_impostor == 2
    assert found["fpir", 0.5].errors == 1
    assert found["fnir", 0.5].errors == 1
    assert found["rank", 1].errors == 2


@pytest.mark.parametrize(
    ("roles", "spec", "said"),
    [
        (None, {"gallery": "role"}, "the dataset has no roles"),
        (("galery",) * 9, {"gallery": "role"}, "galery"),
        (("gallery",) * 9, {"gallery": "role"}, "no image has the role probe"),
        ((*("probe",) * 8, None), {"gallery": "role"}, "no image has the role gallery"),
        (None, {"open_set": {"hold_out": 3}}, "hold out fewer"),
    ],
)
def test_what_cannot_be_searched_is_said(roles: tuple[str | None, ...] | None, spec: dict[str, Any], said: str) -> None:
    images, vectors = make(roles=roles)
    with pytest.raises(InputError, match=said):
        identification(vectors, images, IdentificationSpec.model_validate(spec), "cosine", 0.95)


def test_without_strangers_the_open_set_says_so() -> None:
    images, vectors = make()
    found = run(images, vectors, open_set={"hold_out": 0})
    assert found["fnir", 0.1].value is None
    assert Flag.NO_IMPOSTOR in found["fnir", 0.1].flags


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "data").is_dir(), reason="the real faces are not here")
def test_real_faces_as_a_search(tmp_path: Path) -> None:
    from facebench.execution.options import RunOptions
    from facebench.models import load_model
    from facebench.run.evaluate import evaluate
    from facebench.run.protocols import load_protocol

    wanted = json.loads((REAL / "oracles" / "real_att.json").read_text())
    model = load_model(str(REAL / "data" / "weights" / "mobilefacenet-casia.yaml"))
    data = {"faces": REAL / "data" / "att_faces"}
    result = evaluate(model, load_protocol("identification"), data, RunOptions(out=tmp_path))
    found = {(e.metric, e.k, e.fpir_target): e for e in result.estimates}
    assert found["rank", 1, None].value == pytest.approx(wanted["rank1_gallery_image_1"], abs=1e-4)
    assert found["fpir", None, 0.1].n_impostor == 100
    assert found["fnir", 1, 0.1].n_genuine == 270
    assert found["fnir", 1, 0.01].value > found["fnir", 1, 0.1].value  # type: ignore[operator]
