"""What a request renders of each identity: its pictures, and the edits of the first one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from facebench.phantoms._kernel import BoolArray
from facebench.phantoms.camera import Capture
from facebench.phantoms.edits import POSES, changed_pixels, edited, far_donor, level_text, with_part
from facebench.phantoms.parameters import Nuisance, Subject
from facebench.phantoms.population import Cell, Request, nuisance_of, subject_of
from facebench.phantoms.renderer import RenderedFace, render


@dataclass(frozen=True)
class Shot:
    """One picture to render. `edit` names what was changed of the identity's first picture, whose capture it keeps."""

    image_id: str
    identity: str
    stem: str  # of its files, below images/ and labels/
    index: int  # of the nuisance
    subject: Subject
    nuisance: Nuisance
    edit: str = ""
    locked: bool = False  # keeps exposure and alignment of the first picture
    aligned_anew: bool = False  # a turned head keeps the exposure only
    swapped: bool = False  # has an exact mask of the pixels that differ from the first picture
    columns: dict[str, str] = field(default_factory=dict)


def identity_name(number: int) -> str:
    """Name of an identity; the letter keeps readers from taking it for a number."""
    return f"p{number:06d}"


def shots(request: Request, number: int, cell: Cell) -> list[Shot]:
    """The pictures of one identity: its own, the first of which is the base, then sweeps and part swaps of the base."""
    subject = subject_of(request, number, cell)
    name = identity_name(number)
    plain = [
        Shot(f"{name}-{k:03d}", name, f"{name}/{k:03d}", k, subject, nuisance_of(request, number, k))
        for k in range(request.images_per_identity)
    ]
    return [*plain, *_sweeps(request, plain[0]), *_swaps(request, number, plain)]


def _sweeps(request: Request, base: Shot) -> Iterator[Shot]:
    for attribute, levels in request.sweeps.items():
        for level in levels:
            subject, nuisance = edited(base.subject, base.nuisance, attribute, level)
            text = level_text(level)
            yield Shot(
                f"{base.image_id}-{attribute}-{text}", base.identity, f"{base.stem}-{attribute}-{text}", 0,
                subject, nuisance, edit=f"{attribute}={text}", locked=True, aligned_anew=attribute in POSES,
                columns={"counterfactual_of": base.image_id, "attribute": attribute, "level": text},
            )  # fmt: skip


def _swaps(request: Request, number: int, plain: list[Shot]) -> Iterator[Shot]:
    """Per part: the twin of the base, which is another identity, in pictures like those of the original."""
    base = plain[0]
    for part in request.part_swaps:
        seed = zlib.crc32(f"{request.seed}/{number}/{part}".encode())
        twin = with_part(base.subject, far_donor(base.subject, part, seed), part)
        for shot in plain:
            first = shot is base
            columns = {"swap_of": base.image_id, "part": part, "change_mask": f"changes/{base.identity}-{part}.png"}
            yield Shot(
                f"{base.identity}-{part}-{shot.index:03d}", f"{base.identity}-{part}",
                f"{base.identity}/{part}-{shot.index:03d}", shot.index, twin, shot.nuisance,
                edit=f"part={part}", locked=first, swapped=first, columns=columns if first else {},
            )  # fmt: skip


class Studio:
    """Renders shots of one identity; the base is rendered once, and only if an edit needs it."""

    def __init__(self, base: Shot, size: int) -> None:
        self._base = base
        self._size = size
        self._face: RenderedFace | None = None

    def base(self) -> RenderedFace:
        """The first picture of the identity."""
        if self._face is None:
            self._face = render(self._base.subject, self._base.nuisance, self._size)
        return self._face

    def render(self, shot: Shot) -> RenderedFace:
        """One picture, with the base's exposure and alignment where the shot keeps them."""
        if shot is self._base:
            return self.base()
        capture = self.base().capture if shot.locked else None
        if capture is not None and shot.aligned_anew:
            capture = Capture(None, capture.exposure)
        return render(shot.subject, shot.nuisance, self._size, capture=capture)

    def changed(self, face: RenderedFace) -> BoolArray:
        """Pixels in which a picture differs at all from the base."""
        return changed_pixels(self.base().image, face.image, threshold=0)
