"""Adversarial probes of the search: every query is moved away from its person's nearest picture."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.execution.embedding import Pixels, runtime_of
from facebench.files import sha256_bytes
from facebench.schema import Failure
from facebench.schema.ood import OodAttack
from facebench.scoring import similarity
from facebench.sections.contract import RunContext
from facebench.sections.robustness.altered import CLEAN, AlteredFaces
from facebench.sections.robustness.attacks.store import Batch, BatchStore


class AttackedFaces(AlteredFaces):
    """The images of a run under conditions, one of which is an attack; attacked pictures are kept batch by batch."""

    def __init__(self, context: RunContext, attack: OodAttack) -> None:
        super().__init__(context)
        self._attack = attack
        self._mate = _nearest_mates(context)
        told = "|".join("" if mate < 0 else str(context.embedded.sha256s[mate]) for mate in self._mate)
        self._described = f"{attack.condition} v1 {attack.steps} {sha256_bytes(told.encode())[:16]}"
        described = context.model.card.model_dump(mode="json", exclude={"licence", "training_data"})
        runtime = {**runtime_of(context.options), "seed": context.options.seed, "search": self._described}
        self._pictures = BatchStore(self._root, {"model": described, "runtime": runtime})
        self._network: Any = None

    def version(self, name: str) -> str:
        """Return what names the pictures of a condition in a cache."""
        return self._described if name == self._attack.condition else super().version(name)

    def faces(
        self, name: str, batch: Sequence[int], images: Sequence[Pixels | Failure], pool: ThreadPoolExecutor
    ) -> dict[int, Pixels]:
        """Return the faces of decoded images under a condition; an image without a mate stays as it is."""
        if name != self._attack.condition:
            return super().faces(name, batch, images, pool)
        found = super().faces(CLEAN, batch, images, pool)
        places = [place for place in found if self._mate[batch[place]] >= 0]
        if places:
            rows = [batch[place] for place in places]
            pixels = self._attacked(rows, np.stack([found[place] for place in places]))
            found |= dict(zip(places, pixels, strict=True))
        return found

    def _attacked(self, rows: list[int], faces: Pixels) -> Pixels:
        content = self.content(rows)
        stored = self._pictures.get(content)
        if stored is not None:
            kept: Pixels = stored.arrays["pixels"]
            return kept
        from facebench.probes.attacks.batch import Rows, Target, run_gradient
        from facebench.probes.attacks.noise import row_seed

        context, attack = self.context, self._attack
        if self._network is None:
            self._network = context.model.module()
        ids, seed = context.dataset.image_ids, context.options.seed
        seeds = tuple(row_seed(seed, attack.condition, ids[row], ids[self._mate[row]]) for row in rows)
        asked = Rows(faces, faces, faces, True, seeds, np.zeros((len(rows), 5, 2)))
        templates = context.embedded.vectors[self._mate[rows]]
        target = Target(self._network, templates, 0.0, context.model.card.comparator)
        pixels: Pixels = run_gradient(attack.cell, asked, target, device=context.options.device).pixels[0]
        self._pictures.put(content, Batch({"pixels": pixels}, {}))
        return pixels


def _nearest_mates(context: RunContext) -> NDArray[np.int64]:
    """Return (N,) the most similar other image of the same person; -1 if there is none, or the image failed."""
    identity, vectors = context.images.identity, context.embedded.vectors
    found = np.full(identity.size, -1, np.int64)
    order = np.argsort(identity, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(identity[order])) + 1):
        usable = rows[np.isfinite(vectors[rows]).all(1)]
        if usable.size < 2:
            continue
        scores = similarity(vectors[usable], vectors[usable], context.model.card.comparator.value)
        np.fill_diagonal(scores, -np.inf)
        found[usable] = usable[scores.argmax(1)]
    return found
