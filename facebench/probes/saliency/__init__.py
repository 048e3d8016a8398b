"""Saliency maps: which pixels of a probe made it match, or not match, a reference.

Black-box methods need only ``embed``; gradient methods need the model's ``module()``. `METHODS`
holds all by name; third-party methods come by entry point (group ``facebench.saliency``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facebench.errors import PluginError
from facebench.probes.saliency.subject import Asked, Explained, Method, Saliency, Target, Traits, Uses, declares
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
    page="explanations.md",
    contract="facebench.probes.saliency.contract:check_saliency_contract",
    facts=lambda method: {"uses": method.traits.uses.value, "random": method.traits.random},
)


def traits_of(name: str) -> Traits:
    """Return what a saliency method declares.

    Raises:
        UnknownNameError: no such method.
        PluginError: a plug-in declares nothing.
    """
    found = getattr(METHODS.get(name), "traits", None)
    if not isinstance(found, Traits):
        raise PluginError(
            f"saliency method {name!r} does not declare what it uses; decorate its function with "
            "@declares(uses=..., random=...) of facebench.probes.saliency"
        )
    return found


def draw_map(name: str, subject: Explained, options: Mapping[str, Any]) -> Saliency:
    """Return the map of a method.

    Raises:
        PluginError: a plug-in raised, or gave something else than a map of the probe's size.
    """
    with METHODS.blame(name):
        found = METHODS.get(name)(subject, **options)
    if not isinstance(found, Saliency):
        raise PluginError(
            f"saliency method {name!r} returned {type(found).__name__}; expected Saliency.of(values, ...)"
        )
    if found.values is not None and found.values.shape != subject.probe.shape[:2]:
        raise PluginError(
            f"saliency method {name!r} returned a map of {found.values.shape}; the probe is {subject.probe.shape[:2]}"
        )
    return found


__all__ = [
    "METHODS",
    "Asked",
    "Explained",
    "Method",
    "Saliency",
    "Target",
    "Traits",
    "Uses",
    "declares",
    "draw_map",
    "traits_of",
]
