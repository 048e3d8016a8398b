"""Saliency maps: which pixels of a probe made it match, or not match, a reference.

Black-box methods need only ``embed``; gradient methods need the model's ``module()``. `METHODS`
holds all by name; third-party methods come by entry point (group ``facebench.saliency``).
"""

from __future__ import annotations

from facebench.probes.saliency.subject import Asked, Explained, Method, Saliency, Target
from facebench.registry import Registry

METHODS: Registry[Method] = Registry(
    "saliency method",
    builtin={
        "occlusion": "facebench.probes.saliency.occlusion:occlusion",
        "x-face": "facebench.probes.saliency.occlusion:x_face",
        "minplus": "facebench.probes.saliency.occlusion:minplus",
        "rise": "facebench.probes.saliency.masks:rise",
        "s-rise": "facebench.probes.saliency.masks:s_rise",
        "corrrise": "facebench.probes.saliency.masks:corrrise",
        "dise": "facebench.probes.saliency.masks:dise",
        "gradient": "facebench.probes.saliency.gradients:gradient",
        "input-x-gradient": "facebench.probes.saliency.gradients:input_x_gradient",
        "smoothgrad": "facebench.probes.saliency.gradients:smoothgrad",
        "integrated-gradients": "facebench.probes.saliency.gradients:integrated_gradients",
        "grad-cam": "facebench.probes.saliency.gradients:grad_cam",
        "ebp": "facebench.probes.saliency.gradients:excitation_backprop",
        "contrastive-ebp": "facebench.probes.saliency.gradients:contrastive_excitation_backprop",
    },
    group="facebench.saliency",
)

GRADIENT_METHODS = frozenset(
    {"gradient", "input-x-gradient", "smoothgrad", "integrated-gradients", "grad-cam", "ebp", "contrastive-ebp"}
)
"""Methods that read the network's gradients or activations."""

RANDOM_METHODS = frozenset({"rise", "s-rise", "corrrise", "dise", "smoothgrad"})
"""Methods whose map depends on a seed."""

__all__ = ["GRADIENT_METHODS", "METHODS", "RANDOM_METHODS", "Asked", "Explained", "Method", "Saliency", "Target"]
