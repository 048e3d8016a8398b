"""Excitation backprop on networks for which it is defined: plain chains whose activations cannot be negative.

Source: Zhang, Bargal, Lin, Brandt, Shen and Sclaroff 2018, "Top-down neural attention by excitation backprop".
For a layer y = W a with a >= 0, the winning probability passes down as
P(a_j) = a_j sum_i W+_ij P(y_i) / sum_k W+_ik a_k.
The signed input of the first layer is measured from its lower bound, as the paper allows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facebench.probes.saliency.subject import Saliency

if TYPE_CHECKING:
    from torch import Tensor, nn

_TINY = 1e-12


def excitation_map(module: nn.Module, face: Tensor, direction: NDArray[np.float64], *, contrastive: bool) -> Saliency:
    """Return the map of one face (1, 3, H, W) for the score along a direction (D,) of embedding space."""
    import torch

    method = "contrastive-ebp" if contrastive else "ebp"
    try:
        layers = _chain(module, face)
    except _UndefinedError as reason:
        return Saliency.unsupported(method, str(reason))
    with torch.no_grad():
        prepared = _prepared(module, face)
        activations = [prepared - prepared.min()]
        value = prepared
        for layer in layers:
            value = layer(value)
            activations.append(value.clamp(min=0))
        top = torch.from_numpy(direction.astype(np.float32))
        won = _winners(layers, activations, top.clamp(min=0))
        if contrastive:
            won = (won - _winners(layers, activations, (-top).clamp(min=0))).clamp(min=0)
    leaf = face.clone().requires_grad_()
    # the preparation is linear: its adjoint carries a map of the network's input back to the pixels
    (pixels,) = torch.autograd.grad((_prepared(module, leaf) * won).sum(), leaf)
    return Saliency.of(
        pixels[0].abs().sum(0).numpy(), method, forwards=1, backwards=2 if contrastive else 1,
        convention="unsigned: share of the winning probability",
    )  # fmt: skip


class _UndefinedError(Exception):
    """Why excitation backprop is not defined for a network."""


def _winners(layers: list[nn.Module], activations: list[Tensor], top: Tensor) -> Tensor:
    """Pass the probability of the embedding's units down to the network's input."""
    won = activations[-1] * top
    won = won / won.sum().clamp(min=_TINY)
    for layer, below in zip(reversed(layers), reversed(activations[:-1]), strict=True):
        won = _down(layer, below, won)
    return won


def _down(layer: nn.Module, below: Tensor, won: Tensor) -> Tensor:
    import torch

    if isinstance(layer, torch.nn.ReLU | torch.nn.Dropout | torch.nn.Identity):
        return won
    positive = _positive(layer)
    with torch.enable_grad():
        leaf = below.clone().requires_grad_()
        total = positive(leaf)
        (share,) = torch.autograd.grad(total, leaf, won.reshape(total.shape) / total.detach().clamp(min=_TINY))
    return below * share


def _positive(layer: nn.Module) -> nn.Module:
    """Return the layer with its positive weights and without bias; pooling and reshaping as they are."""
    import copy

    import torch

    if not isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
        return layer
    found = copy.deepcopy(layer)
    found.weight.data.clamp_(min=0)
    if found.bias is not None:
        found.bias.data.zero_()
    return found


def _prepared(module: nn.Module, face: Tensor) -> Tensor:
    """Return what the first layer of the network is given."""
    seen: list[Any] = []
    first = _leaves(module)[0]
    hook = first.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    try:
        module(face)
    finally:
        hook.remove()
    found: Tensor = seen[0]
    return found


def _leaves(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if not list(part.children())]


def _chain(module: nn.Module, face: Tensor) -> list[nn.Module]:
    """Return the layers in order, batch norms folded into the convolutions before them.

    Raises:
        _UndefinedError: the network is no plain chain, or holds layers whose output can be negative.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    allowed = (
        torch.nn.Conv2d, torch.nn.Linear, torch.nn.ReLU, torch.nn.MaxPool2d, torch.nn.AvgPool2d,
        torch.nn.AdaptiveAvgPool2d, torch.nn.Flatten, torch.nn.Dropout, torch.nn.Identity, torch.nn.BatchNorm2d,
    )  # fmt: skip
    leaves = _leaves(module)
    strange = sorted({type(part).__name__ for part in leaves if not isinstance(part, allowed)})
    if strange:
        raise _UndefinedError(f"not defined for {', '.join(strange)}")
    found: list[nn.Module] = []
    for part in leaves:
        if isinstance(part, torch.nn.BatchNorm2d):
            if not found or not isinstance(found[-1], torch.nn.Conv2d):
                raise _UndefinedError("not defined for a batch norm that does not follow a convolution")
            found[-1] = fuse_conv_bn_eval(found[-1], part)
        else:
            found.append(part)
    for before, after in pairwise(found):
        if isinstance(before, torch.nn.Conv2d | torch.nn.Linear) and isinstance(
            after, torch.nn.Conv2d | torch.nn.Linear
        ):
            raise _UndefinedError("not defined where a layer's signed output feeds the next layer without ReLU")
    with torch.no_grad():
        value, whole = _prepared(module, face), module(face)
        try:
            for part in found:
                value = part(value)
        except RuntimeError as error:
            raise _UndefinedError("the network is no plain chain of its layers") from error
        if value.shape != whole.shape or not torch.allclose(value, whole, atol=1e-4, rtol=1e-3):
            raise _UndefinedError(
                "the network is no plain chain of its layers (residual sums, or operations without a layer)"
            )
    return found
