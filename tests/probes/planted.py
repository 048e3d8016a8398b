"""Faces and models whose robustness is known exactly; see `facebench.models.zoo.closed_form`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facebench.data.png import encode_png
from facebench.execution.options import RunOptions
from facebench.models.zoo.closed_form import ClosedFormModel, Fault
from facebench.run.evaluate import evaluate
from facebench.run.protocols import Protocol
from facebench.schema import ProtocolSpec, Result

SIDE = 16
SLOPE = 6.0


def make_faces(folder: Path, identities: int = 12, images: int = 4) -> Path:
    """Write faces that differ in brightness; neighbouring pixels are equal, so that alternating weights see nothing."""
    rng = np.random.default_rng(4)
    rows = ["image_id,path,identity,group"]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for person in range(identities):
        for shot in range(images):
            level = 70 + 9 * person + rng.uniform(0, 7)
            small = level + rng.normal(0, 6, (SIDE, SIDE // 2, 3))
            pixels = np.clip(np.repeat(small, 2, axis=1), 0, 255).round().astype(np.uint8)
            (folder / "images" / f"{person}_{shot}.png").write_bytes(encode_png(pixels))
            rows.append(f"{person}_{shot},images/{person}_{shot}.png,p{person},{'ab'[person % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def model(weakness: float = 1.0, fault: Fault = Fault.NONE) -> ClosedFormModel:
    """Return a model that tells these faces apart as all others do, `weakness` times nearer to every threshold."""
    rng = np.random.default_rng(5)
    even = np.repeat(rng.uniform(0.5, 1.5, (SIDE, SIDE // 2, 3)), 2, axis=1)
    even /= even.sum()
    alternating = np.where(np.arange(SIDE) % 2, -1.0, 1.0)[None, :, None] * even
    weights = even if weakness == 1.0 else even + weakness * alternating
    return ClosedFormModel(SLOPE, shape=(SIDE, SIDE), weights=weights, fault=fault)


def attack(
    victim: object, faces: Path, out: Path, *cells: dict[str, object], batch_size: int = 32,
    conditions: tuple[str, ...] = (), **section: object,
) -> Result:  # fmt: skip
    """Run a protocol with some cells of attacks on a model."""
    spec = ProtocolSpec.parse(
        {
            "name": "t", "title": "t", "fmr_targets": [0.05], "primary_fmr_target": 0.05,
            "uncertainty": {"replicates": 100}, "groups": {"attributes": ["group"], "min_identities": 2},
            "robustness": {"conditions": conditions, "attacks": {"cells": list(cells), "max_pairs": 40, **section}},
        },
        where="test",
    )  # fmt: skip
    options = RunOptions(out=out, batch_size=batch_size)
    return evaluate(victim, Protocol(spec, out), {"faces": faces}, options)
