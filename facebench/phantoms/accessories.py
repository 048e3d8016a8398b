"""Accessories: sheets laid on the head's loft. A sheet's third material coordinate is >= 0 where cloth is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from facebench.phantoms._kernel import FloatArray, inlined
from facebench.phantoms.geometry import Head, grid_angles
from facebench.phantoms.labels import Surface
from facebench.phantoms.mesh import Sheet, normals, smoothstep_array
from facebench.phantoms.noise import grid_noise
from facebench.phantoms.parameters import Accessory, Glasses, Hair, Wear

WHOLE = 99.0
"""Third material coordinate of sheets that are not cut out."""


@inlined
def lens_depth(x: float, y: float, glasses: FloatArray) -> float:
    """Signed distance (about mm) inside the lens outline, a superellipse; positive inside.

    `glasses` holds centre, half-width, half-height, exponent, rim and drop.
    """
    u = abs((abs(x) - glasses[0]) / glasses[1])
    v = abs((y - glasses[5]) / glasses[2])
    radius = (u ** glasses[3] + v ** glasses[3]) ** (1.0 / glasses[3])
    return float((1 - radius) * glasses[2])


def glasses_vector(glasses: Glasses | None) -> FloatArray:
    """The numbers `lens_depth` reads."""
    if glasses is None:
        return np.array([33.0, 25.0, 18.0, 2.0, 2.0, 0.0])
    return np.array([glasses.centre, glasses.width, glasses.height, glasses.exponent, glasses.rim, glasses.drop])


def build_accessories(head: Head, wear: Wear, fold_seed: int) -> list[Sheet]:
    """All sheets of what is worn."""
    if wear.glasses is not None:
        return _build_glasses(head, wear.glasses)
    if wear.kind is Accessory.MASK:
        return [_build_mask(head)]
    if wear.kind in (Accessory.CAP, Accessory.BEANIE):
        return _build_hat(head, wear.kind)
    if wear.kind is Accessory.SCARF:
        return [_build_scarf(head, fold_seed)]
    return []


def flatten_under_hat(hair: Sheet, kind: Accessory) -> Sheet:
    """Cut away the hair a hat would cover."""
    rim = 46 if kind is Accessory.CAP else 38
    material = hair.material.copy()
    material[..., 2] = np.where(material[..., 1] > rim, -50.0, material[..., 2])
    return replace(hair, material=material)


def _build_glasses(head: Head, glasses: Glasses) -> list[Sheet]:
    """Frame sheet, temples, and the lens sheet, which is drawn in a layer of its own."""
    x, y = np.meshgrid(np.linspace(-66, 66, 89), np.linspace(-30, 26, 41))
    front = head.eyeball_z + 27.3
    position = np.stack([x, y + 2.0, front - 0.0042 * x * x + 0.06 * y], -1)
    normal = normals(position)
    material = np.stack([x, y, 0 * x], -1)
    sheets = [Sheet(Surface.FRAME, position, normal, material)]
    half_width = float(head.profiles.half_width(np.array(-5.0)))
    hinge = glasses.centre + glasses.width + 2
    along, up = np.meshgrid(np.linspace(0, 1, 10), np.linspace(-2, 2, 3))
    for side in (-1, 1):
        out = side * (hinge + (half_width + 3 - hinge) * np.minimum(1, along * 1.6))
        back = (front - 0.0042 * hinge * hinge) * (1 - along) + 2 * along
        temple = np.stack([out, up + 6, back], -1)
        whole = np.stack([0 * along, 0 * along, WHOLE + 0 * along], -1)
        sheets.append(Sheet(Surface.FRAME, temple, normals(temple, side), whole))
    sheets.append(Sheet(Surface.LENS, position, normal, material))
    return sheets


def _build_mask(head: Head) -> Sheet:
    """A surgical mask: the smoothed face, lifted off the skin so that nothing pokes through."""
    skin = head.sheet.position
    drape = np.stack([gaussian_filter(skin[..., axis], (6, 6)) for axis in range(3)], -1)
    over = np.maximum(skin[..., 2], drape[..., 2])
    drape[..., 2] = gaussian_filter(np.maximum(over + 1.0, drape[..., 2]), (4, 4))
    normal = normals(drape)
    drape = drape + normal * 2.2
    clear = gaussian_filter(np.maximum(drape[..., 2], skin[..., 2] + 2.5), (1.5, 1.5))
    drape[..., 2] = np.maximum(drape[..., 2], clear)
    level = head.sheet.material[..., 1]
    away = np.abs(grid_angles())[None, :] + 0 * level
    top = -14 - 9 * smoothstep_array(0, 0.35, away) - 4 * smoothstep_array(0.5, 1.2, away)
    inside = np.minimum(np.minimum(top - level, level + 119.5), (1.10 - away) * 45)
    return Sheet(Surface.MASK, drape, normal, np.stack([head.sheet.material[..., 0], level, inside], -1), 0.95)


def _hat_clearance(hair: Hair) -> float:
    return hair.thickness * 6 + 4


def _build_hat(head: Head, kind: Accessory) -> list[Sheet]:
    """Crown of a cap or beanie, and the cap's visor."""
    rows = np.concatenate([np.arange(24, 122, 3.0), [122.0]])
    angle, level = np.meshgrid(np.linspace(-np.pi, np.pi, 121), rows, indexing="xy")
    base = head.profiles.loft(angle[:1], level[:, :1], squareness=0.9)
    outward = normals(base)
    outward[-3:] = [0, 1, 0]
    clearance = _hat_clearance(head.subject.hair)
    lift = clearance + 4 * np.sin(np.clip((level - 40) / 80, 0, 1) * 3)
    position = base + outward * lift[..., None]
    normal = normals(position)
    normal[-3:] = [0, 1, 0]
    rim = [44, 40, 28, 24] if kind is Accessory.BEANIE else [50, 46, 36, 30]
    inside = level - np.interp(np.abs(angle), [0, 0.8, 1.5, 3.2], rim)
    crown = Sheet(Surface.HAT, position, normal, np.stack([angle * 70, level, inside], -1), 0.95)
    return [crown, _build_visor(head, clearance)] if kind is Accessory.CAP else [crown]


def _build_visor(head: Head, clearance: float) -> Sheet:
    angle, out = np.meshgrid(np.linspace(-0.95, 0.95, 41), np.linspace(0, 1, 14))
    level = np.array(52.0)
    half_width = float(head.profiles.half_width(level))
    centre = float(head.profiles.centre(level))
    depth = float(head.profiles.front(level)) - centre
    reach = 62 * np.sqrt(np.clip(1 - (angle / 0.97) ** 2, 0, 1))
    x = (half_width + clearance + 1) * np.sin(angle) * (1 + 0.05 * out)
    z = centre + (depth + clearance + 1) * np.cos(angle) ** 0.9 + out * reach
    y = float(head.profiles.level(level)) - 10 * out * out - 0.30 * out * reach - (np.abs(angle) * 9) ** 2 * 0.12 + 3
    position = np.stack([x, y, z], -1)
    return Sheet(Surface.HAT, position, normals(position), np.stack([x, z, WHOLE + 0 * x], -1), 0.95)


def _build_scarf(head: Head, seed: int) -> Sheet:
    """A scarf wound about the neck, up to the chin."""
    angle, level = np.meshgrid(np.linspace(-np.pi, np.pi, 97), np.linspace(-175, -56, 30))
    neck = np.clip(level, -84, -58)
    half_width = np.maximum(head.profiles.half_width(neck), 56) + 9
    front = np.maximum(head.profiles.front(neck), 96) + 12 - smoothstep_array(-90, -170, level) * 24
    cosine = np.cos(angle)
    y = np.where(level < -120, level, head.profiles.level(level)) - 6 * (1 - cosine)
    z = np.where(cosine > 0, front * np.abs(cosine) ** 0.8, -70 * np.abs(cosine))
    position = np.stack([half_width * np.sin(angle), y, z], -1)
    folds = np.zeros_like(angle)
    grid_noise(position * [1, 3.2, 1], 0.035, seed, folds)
    depth = folds * 6 + 2 * np.sin(level * 0.35 + angle * 2)
    position = position + normals(position) * depth[..., None]
    material = np.stack([angle * 60, level, WHOLE + 0 * angle], -1)
    return Sheet(Surface.SCARF, position, normals(position), material, 0.9)
