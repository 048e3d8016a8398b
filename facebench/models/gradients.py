"""Whether a model can be asked for gradients, and if not, why."""

from __future__ import annotations

from typing import Any

from facebench.schema import Alignment


def why_no_gradients(model: Any) -> str | None:
    """Return why a model gives no gradients with respect to a face, or None if it does; one face is passed through."""
    if not hasattr(model, "module"):
        return f"adapter {model.card.adapter!r} has none (no module()); load the model through the torch adapter"
    import torch

    spec = model.card.input
    size = (112, 112) if spec is None or spec.alignment is Alignment.ARCFACE_112 else (spec.height, spec.width)
    if spec is not None and spec.crop is not None:
        size = (max(size[0], spec.crop[2]), max(size[1], spec.crop[3]))
    generator = torch.Generator().manual_seed(0)
    face = torch.rand((1, 3, *size), generator=generator)
    device = getattr(model, "device", "cpu")
    face = face.to(device).requires_grad_()
    try:
        with torch.enable_grad():
            found = model.module()(face)
            slope = torch.autograd.grad(found.sum(), face, allow_unused=True)[0] if found.requires_grad else None
    except Exception as error:  # the network is somebody else's code
        lines = str(error).splitlines()
        return f"the network fails when gradients are asked for: {type(error).__name__}: {lines[0] if lines else ''}"
    if slope is None:
        return "the network's forward cuts gradients off (torch.no_grad, torch.inference_mode or detach)"
    return None
