"""Maps from gradients, by captum, and excitation backprop; all need the model's ``module()``.

The map of a pixel sums its three channels. Gradients are those of the explained score with respect to pixels in
[0, 1], so that a baseline of 0 is black and 0.5 is grey.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import InputError, how_to_install
from facebench.probes.saliency.subject import Explained, Saliency, Target, declares

if TYPE_CHECKING:
    from torch import Tensor, nn

BASELINES = {"black": 0.0, "grey": 0.5}
_ANSWERS = "the method is defined here for the score of two embeddings, not for answers"


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise InputError(f"gradient saliency needs captum, which comes with FaceBench; {how_to_install()}") from error
    return captum.attr


def _no_module(subject: Explained, method: str) -> Saliency:
    why = subject.no_gradients or "its adapter has no module()"
    return Saliency.unsupported(method, f"the model gives no gradients: {why}")


def _input(subject: Explained) -> Tensor:
    import torch

    pixels = subject.probe.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    return torch.from_numpy(pixels)


def _forward(subject: Explained) -> Callable[[Tensor], Tensor]:
    """Return the explained score as a function of (N, 3, H, W) pixels in [0, 1]."""

    def score(faces: Tensor) -> Tensor:
        return subject.target.told(subject.module(faces))

    return score


def _map(attribution: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    values: np.ndarray[Any, np.dtype[np.float32]] = attribution.detach().sum(dim=1)[0].numpy()
    return values


@declares(uses="gradients", random=False)
def gradient(subject: Explained) -> Saliency:
    """Map the size of the gradient, |d s / d x| summed over channels (Simonyan et al. 2014); unsigned."""
    if subject.module is None:
        return _no_module(subject, "gradient")
    found = _captum().Saliency(_forward(subject)).attribute(_input(subject).requires_grad_(), abs=True)
    return Saliency.of(
        _map(found), "gradient", forwards=1, backwards=1, convention="unsigned: the score is sensitive to the pixel"
    )


@declares(uses="gradients", random=False)
def input_x_gradient(subject: Explained) -> Saliency:
    """Map pixel times gradient (Shrikumar et al. 2016); its completeness gap is that of a linear model's bias."""
    if subject.module is None:
        return _no_module(subject, "input-x-gradient")
    found = _captum().InputXGradient(_forward(subject)).attribute(_input(subject).requires_grad_())
    return Saliency.of(_map(found), "input-x-gradient", forwards=1, backwards=1)


@declares(uses="gradients", random=True)
def smoothgrad(subject: Explained, *, samples: int = 25, noise: float = 0.1) -> Saliency:
    """Map the mean size of the gradient over noisy copies of the face (Smilkov et al. 2017).

    `noise` is the standard deviation on pixels in [0, 1]. The noise depends on the subject's seed alone.
    """
    if subject.module is None:
        return _no_module(subject, "smoothgrad")
    import torch

    generator = torch.Generator().manual_seed(subject.seed)
    face = _input(subject)
    # drawn one by one: torch's generator fills long and short tensors in different orders
    draws = [torch.randn(face.shape, generator=generator) for _ in range(samples)]
    saliency = _captum().Saliency(_forward(subject))
    total = torch.zeros_like(face, dtype=torch.float64)
    for start in range(0, samples, subject.batch_size):
        noisy = torch.cat([face + noise * draw for draw in draws[start : start + subject.batch_size]])
        total += saliency.attribute(noisy.requires_grad_(), abs=True).detach().double().sum(0, keepdim=True)
    return Saliency.of(
        _map((total / samples).float()), "smoothgrad", forwards=samples, backwards=samples,
        convention="unsigned: the score is sensitive to the pixel",
        settings={"samples": samples, "noise": noise, "seed": subject.seed},
    )  # fmt: skip


@declares(uses="gradients", random=False)
def integrated_gradients(subject: Explained, *, steps: int = 50, baseline: str = "grey") -> Saliency:
    """Map integrated gradients (Sundararajan et al. 2017); ``completeness_gap`` is what the map's sum misses.

    completeness_gap = |sum of the map - (s(x) - s(baseline))| / |s(x) - s(baseline)|.
    """
    if subject.module is None:
        return _no_module(subject, "integrated-gradients")
    if baseline not in BASELINES:
        raise InputError(f"unknown baseline {baseline!r}; known: {', '.join(BASELINES)}")
    import torch

    face = _input(subject)
    # a hair of texture: a flat face has no defined embedding in some networks
    ground = torch.full_like(face, BASELINES[baseline])
    score = _forward(subject)
    found = (
        _captum()
        .IntegratedGradients(score)
        .attribute(face, ground, n_steps=steps, internal_batch_size=max(subject.batch_size, 1))
    )
    with torch.no_grad():
        change = float(score(face) - score(ground))
    gap = abs(float(found.double().sum()) - change) / max(abs(change), 1e-9)
    return Saliency.of(
        _map(found.float()), "integrated-gradients", forwards=steps + 2, backwards=steps,
        settings={"steps": steps, "baseline": baseline, "completeness_gap": round(gap, 6)},
    )  # fmt: skip


@declares(uses="layers", random=False)
def grad_cam(subject: Explained, *, layer: str | None = None) -> Saliency:
    """Map Grad-CAM at a layer, enlarged bilinearly to the face (Selvaraju et al. 2017).

    Args:
        layer: dotted name within the model's module. Default: the last layer whose output is at least a quarter of
            the face in height (28 of 112); deeper ones are too coarse to say where in a face.

    Raises:
        InputError: there is no such layer; the message lists some.
    """
    if subject.module is None:
        return _no_module(subject, "grad-cam")
    import torch

    face = _input(subject)
    chosen = layer if layer is not None else _fine_layer(subject.module, face)
    if chosen is None:
        return Saliency.unsupported("grad-cam", "no layer of the network keeps a quarter of the face's height")
    modules = dict(subject.module.named_modules())
    if chosen not in modules or not chosen:
        raise InputError(f"grad-cam: the model has no layer {chosen!r}; it has {', '.join(list(modules)[1:9])}, ...")
    cam = _captum().LayerGradCam(_forward(subject), modules[chosen])
    found = cam.attribute(face.requires_grad_())
    if found.ndim != 4:
        raise InputError(f"grad-cam: layer {chosen!r} gives no picture but shape {tuple(found.shape)}")
    large = torch.nn.functional.interpolate(found, face.shape[2:], mode="bilinear", align_corners=False)
    settings = {"layer": chosen, "layer_size": list(found.shape[2:])}
    return Saliency.of(_map(large), "grad-cam", forwards=2, backwards=1, settings=settings)


def _fine_layer(module: nn.Module, face: Tensor) -> str | None:
    """Return the last layer with an output of at least a quarter of the face's height."""
    import torch

    sizes: dict[str, int] = {}
    hooks = []
    for name, part in module.named_modules():
        if name and not list(part.children()):

            def note(_m: nn.Module, _i: object, out: object, name: str = name) -> None:
                if isinstance(out, torch.Tensor) and out.ndim == 4:
                    sizes[name] = out.shape[2]

            hooks.append(part.register_forward_hook(note))
    try:
        with torch.no_grad():
            module(face)
    finally:
        for hook in hooks:
            hook.remove()
    fine = [name for name, height in sizes.items() if height * 4 >= face.shape[2]]
    return fine[-1] if fine else None


@declares(uses="layers", random=False)
def excitation_backprop(subject: Explained) -> Saliency:
    """Map excitation backprop: winning probabilities passed down along positive weights (Zhang et al. 2018).

    Defined for chains of convolutions, linear layers, ReLU and pooling; elsewhere the answer is ``unsupported``.
    """
    from facebench.probes.saliency.excitation import excitation_map

    if subject.module is None:
        return _no_module(subject, "ebp")
    if not isinstance(subject.target, Target):
        return Saliency.unsupported("ebp", _ANSWERS)
    return excitation_map(subject.module, _input(subject), subject.target.weights, contrastive=False)


@declares(uses="layers", random=False)
def contrastive_excitation_backprop(subject: Explained) -> Saliency:
    """Map contrastive excitation backprop: the winners of the score less those of its negation (Zhang et al. 2018)."""
    from facebench.probes.saliency.excitation import excitation_map

    if subject.module is None:
        return _no_module(subject, "contrastive-ebp")
    if not isinstance(subject.target, Target):
        return Saliency.unsupported("contrastive-ebp", _ANSWERS)
    return excitation_map(subject.module, _input(subject), subject.target.weights, contrastive=True)
