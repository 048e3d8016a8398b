"""How each convolutional reference model is trained: the table the zoo is made from. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from facebench.errors import UnknownNameError

NOTHING: Mapping[str, float] = MappingProxyType({})


class People(StrEnum):
    """Which of the rendered training identities a model learns from."""

    ALL = "all"
    FEW_DARK = "few dark"
    FEW_FEMALE = "few female"


class View(StrEnum):
    """What of a face reaches the network."""

    WHOLE = "whole"
    EYES = "eyes"
    MOUTH = "mouth"
    OUTLINE = "outline"
    QUANTISED = "quantised"


@dataclass(frozen=True)
class Recipe:
    """One training.

    `settings` are the hyperparameters of the loss; `drop_after` is the share of steps after which a loss with
    sub-centres leaves out the images it takes for mislabelled; `planted` says what a positive control holds.
    """

    summary: str
    loss: str = "ArcFace"
    settings: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    people: People = People.ALL
    view: View = View.WHOLE
    wrong_labels: float = 0.0
    drop_after: float = 0.0
    attack_eps: float = 0.0
    peak_rate: float = 3e-3
    steps: int = 800
    seed: int = 0
    planted: str = ""
    weights_of: str = ""


BATCH = 32
IMAGES_OF_ONE = 2
"""Images of each identity in a batch, where the loss needs several."""
ARC: Mapping[str, float] = MappingProxyType({"scale": 24.0, "margin": 0.25})
"""s and m for a few hundred identities, where the published 64 and 0.5 do not train in minutes."""
WRONG = 0.25
SCARCE = 20
"""How many times rarer the under-represented group is."""

RECIPES: dict[str, Recipe] = {
    "phantom-softmax": Recipe("softmax cross-entropy", "Softmax"),
    "phantom-triplet": Recipe("FaceNet's triplet loss, semi-hard negatives", "Triplet", {"margin": 0.2}),
    "phantom-lsoftmax": Recipe(
        "large-margin softmax", "LSoftmax", {"m": 2, "lambda_start": 100, "lambda_end": 3, "decay": 0.05}
    ),
    "phantom-sphereface": Recipe(
        "SphereFace (A-Softmax)", "SphereFace", {"m": 4, "lambda_start": 100, "lambda_end": 10, "decay": 0.015}
    ),
    "phantom-cosface": Recipe("CosFace (AM-Softmax)", "CosFace", {"scale": 24.0, "margin": 0.2}),
    "phantom-arcface": Recipe("ArcFace", "ArcFace", ARC),
    "phantom-arcface-noisy": Recipe(
        "ArcFace, trained with wrong labels",
        "ArcFace",
        ARC,
        wrong_labels=WRONG,
        planted=f"{WRONG:.0%} of the training images carry the label of another identity",
    ),
    "phantom-subcentre-arcface": Recipe(
        "sub-centre ArcFace, trained with the same wrong labels as phantom-arcface-noisy",
        "SubCentreArcFace",
        {**ARC, "centres": 2},
        wrong_labels=WRONG,
        drop_after=0.5,
        planted=f"{WRONG:.0%} of the training images carry the label of another identity",
    ),
    "phantom-circle": Recipe("Circle loss with class labels", "Circle", {"gamma": 64.0, "margin": 0.25}),
    "phantom-sphereface2": Recipe("SphereFace2", "SphereFace2", {"lam": 0.7, "r": 24.0, "margin": 0.25, "t": 3.0}),
    "phantom-sface": Recipe("SFace", "SFace", {"scale": 24.0, "k": 40.0, "a": 0.7, "b": 1.2}),
    "phantom-partial-fc": Recipe(
        "ArcFace on a third of the classes in each step (Partial FC)", "PartialFC", {**ARC, "rate": 1 / 3}
    ),
    "phantom-arcface-biased-tone": Recipe(
        "ArcFace, few dark-toned training identities",
        "ArcFace",
        ARC,
        people=People.FEW_DARK,
        planted=f"tone=dark is under-represented {SCARCE}:1 among the training identities",
    ),
    "phantom-arcface-biased-sex": Recipe(
        "ArcFace, few female training identities",
        "ArcFace",
        ARC,
        people=People.FEW_FEMALE,
        planted=f"sex=female is under-represented {SCARCE}:1 among the training identities",
    ),
    "phantom-eyes-only": Recipe(
        "ArcFace that sees the eyes alone",
        "ArcFace",
        ARC,
        view=View.EYES,
        planted="all but the eyes is replaced by mid-grey inside the network",
    ),
    "phantom-mouth-only": Recipe(
        "ArcFace that sees the mouth alone",
        "ArcFace",
        ARC,
        view=View.MOUTH,
        planted="all but the mouth is replaced by mid-grey inside the network",
    ),
    "phantom-hair-only": Recipe(
        "ArcFace that sees hair and outline alone",
        "ArcFace",
        ARC,
        view=View.OUTLINE,
        planted="the face region is replaced by mid-grey inside the network",
    ),
    "phantom-adversarially-trained": Recipe(
        "ArcFace, adversarially trained",
        "ArcFace",
        ARC,
        attack_eps=4 / 255,
        planted="trained on PGD examples (L∞, eps 4/255, two steps from a random start)",
    ),
    "phantom-masked-gradient": Recipe(
        "phantom-arcface behind a quantised input",
        "ArcFace",
        ARC,
        view=View.QUANTISED,
        weights_of="phantom-arcface",
        planted="the input is rounded to 16 levels inside the network, so that its gradient is zero everywhere",
    ),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a model.

    Raises:
        UnknownNameError: no such model; the message suggests the closest.
    """
    if name not in RECIPES:
        raise UnknownNameError("reference model", name, RECIPES)
    return RECIPES[name]
