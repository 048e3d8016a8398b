"""Small pictures of one face per feature, against which later renderers are compared.

Run `python -m tests.phantoms.golden` after a deliberate change of the looks, and review the sheet it names.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from facebench.phantoms import (
    EXPRESSIONS,
    Accessory,
    HairStyle,
    RenderedFace,
    counterfactual,
    render,
    sample_nuisance,
    sample_subject,
)

STORE = Path(__file__).parent / "golden.npz"
BLOCK = 8
SKIN = {
    "beard": 0.9,
    "moustache": 0.9,
    "stubble": 0.9,
    "freckles": 1.0,
    "makeup": 0.9,
    "mole_count": 4,
    "grey": 0.9,
    "age": 72,
}


def scenes() -> dict[str, RenderedFace]:
    """One picture per hair style, accessory, tier, expression, and feature of the skin."""
    faces = {}
    for k, style in enumerate(HairStyle):
        rng = np.random.default_rng([71, k])
        subject = sample_subject(rng)
        subject = replace(subject, hair=replace(subject.hair, style=style))
        nuisance = sample_nuisance(rng)
        faces[f"hair-{style}"] = render(subject, replace(nuisance, groom=replace(nuisance.groom, restyle=1.0)))
    for k, accessory in enumerate(Accessory):
        rng = np.random.default_rng([72, k])
        worn = {} if accessory is Accessory.NONE else {accessory.value: 1.0}
        faces[f"accessory-{accessory}"] = render(sample_subject(rng), sample_nuisance(rng, accessories=worn))
    for k, tier in enumerate(("easy", "default", "hard")):
        rng = np.random.default_rng([73, k])
        faces[f"tier-{tier}"] = render(sample_subject(rng), sample_nuisance(rng, tier))
    rng = np.random.default_rng([74, 0])
    subject, nuisance = sample_subject(rng, melanin=0.3), sample_nuisance(rng, "easy")
    faces |= {
        f"expression-{k}": f
        for k, f in zip(EXPRESSIONS, counterfactual(subject, nuisance, "expression", list(EXPRESSIONS)), strict=True)
    }
    for name, value in SKIN.items():
        surface = subject.surface.copy()
        surface[name] = value
        faces[f"skin-{name}"] = render(replace(subject, surface=surface), nuisance)
    return faces


def reduced(face: RenderedFace) -> np.ndarray:
    """Block means of the picture: what is left when single pixels do not count."""
    size = face.image.shape[0] // BLOCK
    return face.image.reshape(size, BLOCK, size, BLOCK, 3).mean((1, 3))


def main() -> None:
    from PIL import Image

    from facebench.phantoms import contact_sheet

    faces = scenes()
    np.savez_compressed(STORE, **{name: np.round(reduced(face)).astype(np.uint8) for name, face in faces.items()})
    sheet = Path("golden.png")
    Image.fromarray(contact_sheet(list(faces.values()), 6)).save(sheet)
    print(f"wrote {STORE} and {sheet}")  # noqa: T201


if __name__ == "__main__":
    main()
