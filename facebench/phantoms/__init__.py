"""Procedural faces whose identities, attributes, regions and edits are known exactly.

Like the phantoms of medical imaging they are no stand-in for people: they calibrate the instrument. Group
differences among them are set by hand, so a result on phantoms shows that FaceBench can detect a differential,
never that a model is fair to people.

Names are imported on first use, because the renderer compiles its kernels.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Accessory": "parameters",
    "AgeBand": "parameters",
    "ATTRIBUTES": "edits",
    "Capture": "camera",
    "EXPRESSIONS": "edits",
    "Face": "dataset",
    "FaceArrays": "dataset",
    "HairStyle": "parameters",
    "LABEL_NAMES": "labels",
    "Label": "labels",
    "Nuisance": "parameters",
    "PART_LABELS": "labels",
    "Pose": "parameters",
    "PARTS": "edits",
    "PartSwap": "edits",
    "RENDERER_VERSION": "renderer",
    "RenderedFace": "renderer",
    "Request": "population",
    "Sex": "parameters",
    "Subject": "parameters",
    "TIERS": "sampling",
    "Tone": "parameters",
    "contact_sheet": "regions",
    "counterfactual": "edits",
    "far_donor": "edits",
    "iter_faces": "dataset",
    "part_region": "regions",
    "part_swap": "edits",
    "render": "renderer",
    "render_arrays": "dataset",
    "sample_nuisance": "sampling",
    "sample_subject": "sampling",
    "write_dataset": "dataset",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
