"""Edits change what they say they change, where they say they change it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from facebench.errors import InputError
from facebench.phantoms import (
    EXPRESSIONS,
    PARTS,
    Accessory,
    HairStyle,
    Label,
    contact_sheet,
    counterfactual,
    far_donor,
    part_region,
    part_swap,
    render,
    sample_nuisance,
    sample_subject,
)
from facebench.phantoms.edits import changed_pixels, with_part
from facebench.phantoms.parameters import SHAPE_BY_PART, Nuisance, Subject
from facebench.phantoms.sampling import Tier

GENTLE = Tier(yaw_sd=0.08, pitch_sd=0.05, light=0.6, expression=0.3)


def pair(seed: int) -> tuple[Subject, Nuisance]:
    subject = sample_subject(np.random.default_rng([501, seed]))
    return subject, sample_nuisance(np.random.default_rng([503, seed]), GENTLE)


@pytest.mark.parametrize("part", PARTS)
def test_part_swaps_stay_in_their_region(part: str) -> None:
    inside = total = 0
    for seed in range(8):
        subject, nuisance = pair(seed)
        swap = part_swap(subject, far_donor(subject, part, seed), part, nuisance)
        region = part_region(swap.original, part) | part_region(swap.twin, part)
        region = binary_dilation(region, np.ones((9, 9)))
        inside += (swap.changed & region).sum()
        total += swap.changed.sum()
        assert swap.changed.any()
    assert inside / total >= 0.93


def test_swapping_a_part_with_oneself_changes_nothing() -> None:
    subject, nuisance = pair(1)
    for part in PARTS:
        assert not part_swap(subject, subject, part, nuisance).changed.any()


def test_far_donors_are_further_than_ordinary_ones() -> None:
    subject, _ = pair(2)
    far = far_donor(subject, "nose", 0)
    near = far_donor(subject, "nose", 0, candidates=1)
    assert far.sex is subject.sex
    assert far.melanin == subject.melanin

    def distance(donor: Subject) -> float:
        return sum(((donor.shape[p.name] - subject.shape[p.name]) / p.sd) ** 2 for p in SHAPE_BY_PART["nose"])

    assert distance(far) > distance(near)


def test_a_part_is_copied_whole_and_alone() -> None:
    subject, _ = pair(3)
    donor = far_donor(subject, "eyes", 3)
    twin = with_part(subject, donor, "eyes")
    for part, parameters in SHAPE_BY_PART.items():
        source = donor if part == "eyes" else subject
        assert all(twin.shape[p.name] == source.shape[p.name] for p in parameters)
    assert twin.surface.iris_red == donor.surface.iris_red
    assert twin.surface.lip_redness == subject.surface.lip_redness


def test_darker_levels_render_darker() -> None:
    subject, nuisance = pair(4)
    faces = counterfactual(subject, nuisance, "tone", [0.1, 0.5, 0.9])
    skin = [face.image[face.labels == Label.SKIN].mean() for face in faces]
    assert skin[0] > skin[1] > skin[2]
    for face in faces[1:]:
        assert (face.landmarks5 == faces[0].landmarks5).all()
        assert face.capture.exposure == faces[0].capture.exposure


def test_levels_a_face_already_has_change_nothing() -> None:
    subject, nuisance = pair(5)
    nuisance = replace(nuisance, groom=replace(nuisance.groom, restyle=1.0))
    image = render(subject, nuisance).image
    unchanged = {
        "tone": subject.melanin,
        "age": subject.age,
        "sex": subject.sex.value,
        "hair": subject.hair.style.value,
        "yaw": nuisance.pose.yaw,
        "pitch": nuisance.pose.pitch,
        "accessory": "none",
    }
    for attribute, level in unchanged.items():
        (face,) = counterfactual(subject, nuisance, attribute, [level])
        assert not changed_pixels(face.image, image).any(), attribute


@pytest.mark.parametrize(
    ("attribute", "levels"),
    [
        ("age", [20, 75]),
        ("sex", ["female", "male"]),
        ("hair", [style.value for style in (HairStyle.BALD, HairStyle.LONG)]),
        ("expression", list(EXPRESSIONS)),
        ("yaw", [-0.6, 0.6]),
        ("pitch", [-0.3, 0.3]),
        ("light", [-1.2, 1.2]),
        ("accessory", [kind.value for kind in Accessory]),
    ],
)
def test_levels_differ_from_each_other(attribute: str, levels: list[float | str]) -> None:
    faces = counterfactual(*pair(6), attribute, levels, size=56)
    assert len(faces) == len(levels)
    for first, second in pairwise(faces):
        assert changed_pixels(first.image, second.image).mean() > 0.003


@pytest.mark.parametrize(
    ("attribute", "levels", "message"),
    [
        ("ton", [0.5], "Did you mean 'tone'"),
        ("tone", [], "at least one"),
        ("tone", [1.5], "between 0.02 and 0.98"),
        ("tone", ["dark"], "not a number"),
        ("expression", ["grin"], "unknown expression 'grin'"),
        ("hair", ["mullet"], "unknown hair style 'mullet'"),
        ("accessory", ["crown"], "unknown accessory 'crown'"),
    ],
)
def test_bad_sweeps_are_refused(attribute: str, levels: list[float | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        counterfactual(*pair(0), attribute, levels)


def test_bad_parts_are_refused() -> None:
    subject, nuisance = pair(0)
    with pytest.raises(InputError, match="unknown part of the face 'ears'"):
        part_swap(subject, subject, "ears", nuisance)
    with pytest.raises(InputError, match="unknown part of the face 'chin'"):
        part_region(render(subject, nuisance), "chin")


def test_contact_sheets_need_equal_pictures() -> None:
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)
    assert contact_sheet([small] * 3, 2, gap=1).shape == (9, 9, 3)
    with pytest.raises(InputError, match="of one size"):
        contact_sheet([small, large], 2)
    with pytest.raises(InputError, match="at least one picture"):
        contact_sheet([], 2)
