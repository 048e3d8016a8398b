"""Results written as a run would write them, from embeddings made here: no model, no images, a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facebench.measure.every_score import measure
from facebench.measure.sample import Images, Pairs
from facebench.measure.saved import RESULT, save_inputs, save_result
from facebench.run.evaluate import reference
from facebench.run.protocols import Protocol
from facebench.schema import DataSummary, ModelCard, ProtocolSpec, Result, RunInfo

SPEC: dict[str, Any] = {
    "name": "small", "title": "Small", "fmr_targets": [0.1, 0.01], "primary_fmr_target": 0.01,
    "groups": {"attributes": ["sex"], "intersections": "none", "min_identities": 2},
    "identification": {"ranks": [1]}, "uncertainty": {"replicates": 200},
}  # fmt: skip


def images(identities: int = 24, each: int = 4) -> Images:
    ids = tuple(f"p{u}" for u in range(identities) for _ in range(each))
    names = tuple(f"p{u}_{i}" for u in range(identities) for i in range(each))
    return Images(names, ids, {"sex": tuple("ab"[u % 2] for u in range(identities) for _ in range(each))})


def vectors(identities: int = 24, each: int = 4, *, noise: float = 0.6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((identities, 32)), each, axis=0)
    return (centres + noise * rng.standard_normal(centres.shape)).astype(np.float32)


def write_result(
    folder: Path,
    embeddings: np.ndarray,
    *,
    of: Images | None = None,
    name: str = "model",
    spec: dict[str, Any] | None = None,
    manifest: str = "m" * 64,
    limit: int | None = None,
    pairs: Pairs | None = None,
    batch_size: int = 32,
    weights: str = "w" * 64,
) -> Path:
    of = of or images()
    asked = ProtocolSpec.parse({**SPEC, **(spec or {})}, where="test")
    embeddings = np.asarray(embeddings, np.float32)
    found = measure(asked, of, embeddings, pairs, comparator="cosine", seed=0)
    folder.mkdir(parents=True, exist_ok=True)
    artifacts = save_inputs(folder, embeddings, of, pairs, asked)
    people = None if of.identities is None else len(set(of.identities))
    result = Result(
        protocol=reference(asked, Protocol(asked, folder).sha256, manifest),
        model=ModelCard(name=name, adapter="test", embedding_dim=embeddings.shape[1], weights_sha256=weights),
        data=DataSummary(
            name="faces", n_images=len(of.image_ids), n_identities=people,
            n_failed=int(np.isnan(embeddings).any(axis=1).sum()), phantom=True,
        ),
        run=RunInfo(
            facebench="0", seed=0, device="cpu", batch_size=batch_size, limit=limit, packages={}, python="3",
            platform="p", command="facebench run", started="2026-01-01T00:00:00+00:00", wall_s=1.0,
            embedded_images=0,
        ),
        artifacts=artifacts, estimates=found.estimates, curves=found.curves, unmeasured=found.unmeasured,
    ).with_id()  # fmt: skip
    save_result(result, folder / RESULT)
    return folder
