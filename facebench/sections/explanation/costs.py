"""What the explanation section costs: passes of the network for one map, and how many maps there are."""

from __future__ import annotations

from facebench.probes.saliency.occlusion import patch_boxes
from facebench.schema import ProtocolSpec
from facebench.schema.explanation import MethodSpec
from facebench.sections.contract import PlanRow
from facebench.sections.explanation.maps import n_maps

PASSES = {
    "x-face": 1900, "minplus": 394, "rise": 1000, "s-rise": 2000, "corrrise": 1000, "dise": 1000,
    "gradient": 3, "input-x-gradient": 3, "smoothgrad": 75, "integrated-gradients": 152, "grad-cam": 4,
}  # fmt: skip
"""Of one map with default options at 112 x 112; a backward pass counts as two."""
GAME_LEVELS = 101


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:
    """Return what each method will cost, with its deletion and insertion curves and inpainting games."""
    own = spec.explanation
    assert own is not None
    pairs = min(own.pairs, n_images // 2)
    rows = []
    for method in own.methods:
        maps = n_maps(method, pairs, own.triplets, min(own.control_pairs, pairs)) * passes(method)
        curves = pairs * 2 * own.levels + own.triplets * GAME_LEVELS
        what = f"explaining by {method.name}, {maps + curves:,} passes"
        rows.append(PlanRow(what, 0, (maps + curves) * seconds_per_image))
    return rows


def passes(method: MethodSpec) -> int:
    """Return the passes for one map, a backward pass counted as two."""
    options = method.options
    if method.name == "occlusion":
        return len(patch_boxes(112, 112, options.get("patch", 16), options.get("stride", 8))) + 1
    if "masks" in options:
        return int(options["masks"]) * (2 if method.name == "s-rise" else 1)
    if "steps" in options or "samples" in options:
        return 3 * int(options.get("steps", options.get("samples", 0))) + 2
    return PASSES.get(method.name, 5)
