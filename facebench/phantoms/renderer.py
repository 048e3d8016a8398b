"""From a subject and a nuisance to a picture, its label map and its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from facebench.errors import InputError
from facebench.phantoms import camera as optics
from facebench.phantoms._kernel import ByteArray, FloatArray, IntArray
from facebench.phantoms.accessories import build_accessories, flatten_under_hat, glasses_vector
from facebench.phantoms.camera import Camera, Capture
from facebench.phantoms.geometry import Head, build_ears, build_head, build_neck, grid_angles
from facebench.phantoms.hair import build_hair, covers_ears, groomed, scalp_hairline, strand_parameters
from facebench.phantoms.labels import Label, Surface, majority
from facebench.phantoms.landmarks import five_points, sixty_eight_points
from facebench.phantoms.lighting import to_shadow_map
from facebench.phantoms.materials import MATERIAL_FIELDS
from facebench.phantoms.mesh import Sheet, triangles
from facebench.phantoms.parameters import Accessory, Nuisance, Subject
from facebench.phantoms.raster import Fragments, rasterise
from facebench.phantoms.shading import lay_behind, shade

RENDERER_VERSION = "4"
"""Part of every dataset's description; changes whenever the same request gives other pixels."""
SUPERSAMPLING = 2
SHADOW_SIZE = 160
FRAME_SIZE = 112
_OVERLAY_LIFT = 6.0
# Layout of a scene: surface, facing, rows and columns of each sheet.
_Layout: TypeAlias = tuple[tuple[Surface, int, int, int], ...]


@dataclass(frozen=True)
class RenderedFace:
    """A picture and its ground truth. Landmarks are (x, y) in pixels; pixel centres are whole numbers."""

    image: ByteArray
    labels: ByteArray
    landmarks5: FloatArray
    landmarks68: FloatArray
    capture: Capture


@dataclass(frozen=True)
class _Scene:
    """All sheets as one soup of vertices and triangles."""

    position: FloatArray
    normal: FloatArray
    material: FloatArray
    occlusion: FloatArray
    hairline: FloatArray
    lift: FloatArray
    triangles: IntArray
    kinds: IntArray
    facing: IntArray


def render(
    subject: Subject, nuisance: Nuisance, size: int = FRAME_SIZE, *, capture: Capture | None = None
) -> RenderedFace:
    """Render one aligned face of `size` x `size` pixels; `capture` locks alignment and exposure.

    >>> from facebench.phantoms import sample_nuisance, sample_subject
    >>> rng = np.random.default_rng(1)
    >>> render(sample_subject(rng), sample_nuisance(rng)).image.shape
    (112, 112, 3)
    """
    if not 32 <= size <= 1024:
        raise InputError(f"cannot render a face of {size} pixels: choose a size from 32 to 1024.")
    subject = groomed(subject, nuisance.groom)
    camera = Camera(nuisance.pose, nuisance.distance)
    head = build_head(subject, nuisance.expression, scalp_hairline(subject, grid_angles()))
    scene = _assemble(_sheets(head, nuisance, camera))
    alignment, points5, points68 = _landmarks(head, nuisance, camera, capture)
    radiance, samples = _draw(scene, head, nuisance, camera, alignment, size)
    face = (samples == Label.SKIN) | (samples == Label.NOSE) | (samples >= Label.LEFT_LID)
    exposure = optics.meter(radiance, face, nuisance.development.exposure) if capture is None else capture.exposure
    scale = size / FRAME_SIZE
    return RenderedFace(
        image=optics.develop(_pixels(radiance * exposure), nuisance),
        labels=majority(samples, SUPERSAMPLING),
        landmarks5=(points5 + 0.5) * scale - 0.5,
        landmarks68=(points68 + 0.5) * scale - 0.5,
        capture=Capture(alignment, exposure),
    )


def _pixels(samples: FloatArray) -> FloatArray:
    """Mean of each pixel's 2 x 2 samples; added one by one, which is faster than `mean` over two axes."""
    above, below = samples[::2], samples[1::2]
    return np.asarray((above[:, ::2] + above[:, 1::2] + below[:, ::2] + below[:, 1::2]) / SUPERSAMPLING**2)


def _sheets(head: Head, nuisance: Nuisance, camera: Camera) -> list[Sheet]:
    """Everything there is to draw."""
    sheets = [head.sheet]
    if not covers_ears(head.subject):
        sheets += build_ears(head)
    sheets.append(build_neck(head.subject, camera.turn.T))
    hair = build_hair(head)
    if nuisance.wear.kind in (Accessory.CAP, Accessory.BEANIE):
        hair = [flatten_under_hat(layer, nuisance.wear.kind) for layer in hair]
    sheets += hair
    return sheets + build_accessories(head, nuisance.wear, nuisance.background_seed % 1000)


def _assemble(sheets: list[Sheet]) -> _Scene:
    layout = tuple((sheet.surface, sheet.facing, *sheet.position.shape[:2]) for sheet in sheets)
    corners, kinds, facing, lift = _topology(layout)

    def spread(values: list[FloatArray | float]) -> FloatArray:
        grids = zip(values, sheets, strict=True)
        return np.concatenate([np.broadcast_to(value, sheet.position.shape[:2]).ravel() for value, sheet in grids])

    return _Scene(
        position=np.concatenate([sheet.position.reshape(-1, 3) for sheet in sheets]),
        normal=np.concatenate([sheet.normal.reshape(-1, 3) for sheet in sheets]),
        material=np.concatenate([sheet.material.reshape(-1, 3) for sheet in sheets]),
        occlusion=spread([sheet.occlusion for sheet in sheets]),
        hairline=spread([sheet.hairline for sheet in sheets]),
        lift=lift,
        triangles=corners,
        kinds=kinds,
        facing=facing,
    )


@lru_cache(maxsize=12)  # few layouts occur, at 2 MB each
def _topology(layout: _Layout) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """What does not depend on where vertices are: triangles, their surfaces and facings, and the vertices' lift."""
    counts = [rows * columns for _, _, rows, columns in layout]
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    parts = [triangles(*grid) + offset for (_, _, *grid), offset in zip(layout, offsets, strict=True)]
    per_part = [len(part) for part in parts]
    # A mask or scarf is drawn a little nearer than it is: skin must not poke through between vertices.
    lifted = (Surface.MASK, Surface.SCARF)
    return (
        np.concatenate(parts),
        np.repeat([int(surface) for surface, *_ in layout], per_part),
        np.repeat([facing for _, facing, *_ in layout], per_part),
        np.repeat([_OVERLAY_LIFT if surface in lifted else 0.0 for surface, *_ in layout], counts),
    )


def _landmarks(
    head: Head, nuisance: Nuisance, camera: Camera, capture: Capture | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Alignment and both sets of landmarks in the 112-pixel frame."""
    flat5 = camera.project(camera.to_camera(five_points(head)))
    flat68 = camera.project(camera.to_camera(sixty_eight_points(head, nuisance.expression)))
    alignment = None if capture is None else capture.alignment
    if alignment is None:
        alignment = optics.align(flat5, nuisance.alignment_error)
    return alignment, optics.transform(flat5, alignment), optics.transform(flat68, alignment)


def _draw(
    scene: _Scene, head: Head, nuisance: Nuisance, camera: Camera, alignment: FloatArray, size: int
) -> tuple[FloatArray, IntArray]:
    """Rasterise and shade; returns linear radiance and labels per sample, backdrop included."""
    samples = size * SUPERSAMPLING
    strands = strand_parameters(head.subject)
    glasses = glasses_vector(nuisance.wear.glasses)
    seen, lens_layer = _see(scene, camera, alignment, samples, strands, nuisance.wear.glasses is not None, glasses)
    lamps, ambient = optics.light_tables(nuisance.light, camera.turn.T)
    axes = optics.shadow_axes(lamps[0, :3])
    radiance = np.zeros((samples, samples, 3))
    labels = np.zeros((samples, samples), np.int64)
    colours, lens, ribbed = _dress(nuisance)
    shade(
        seen.triangle,
        seen.weight0,
        seen.weight1,
        lens_layer.triangle,
        lens_layer.weight0,
        lens_layer.weight1,
        scene.triangles,
        scene.kinds,
        scene.position,
        scene.normal,
        scene.material,
        scene.occlusion,
        scene.hairline,
        camera.position,
        lamps,
        ambient,
        _shadow_map(scene, axes, strands, glasses),
        axes,
        head.eyeball_z,
        head.shape,
        nuisance.expression,
        head.subject.surface,
        _moles(int(head.subject.surface.seed), int(head.subject.surface.mole_count)),
        strands,
        colours,
        lens,
        ribbed,
        np.zeros(MATERIAL_FIELDS),
        radiance,
        labels,
    )
    backdrop = optics.background(nuisance.background_seed, size) * (0.4 + 0.6 * np.mean(nuisance.light.ambient))
    lay_behind(seen.triangle, lens_layer.triangle, backdrop, SUPERSAMPLING, radiance)
    return radiance, labels


def _see(
    scene: _Scene,
    camera: Camera,
    alignment: FloatArray,
    samples: int,
    strands: FloatArray,
    has_lenses: bool,
    glasses: FloatArray,
) -> tuple[Fragments, Fragments]:
    """What the camera sees, and the layer of spectacle lenses in front of it."""
    screen = np.empty_like(scene.position)
    scale = samples / FRAME_SIZE
    optics.to_screen(scene.position, optics.AIM, camera.turn, camera.distance, alignment, scale, scene.lift, screen)
    seen = _rasterised(scene, screen, scene.facing, False, strands, glasses, Fragments.empty(samples))
    lens_layer = Fragments.empty(samples)
    if has_lenses:
        lens_layer.depth[:] = seen.depth
        _rasterised(scene, screen, scene.facing, True, strands, glasses, lens_layer)
    return seen, lens_layer


def _shadow_map(scene: _Scene, axes: FloatArray, strands: FloatArray, glasses: FloatArray) -> FloatArray:
    """Depths seen from the key light."""
    from_light = np.empty_like(scene.position)
    to_shadow_map(scene.position, axes, SHADOW_SIZE, from_light)
    both_sides = np.zeros_like(scene.facing)
    return _rasterised(scene, from_light, both_sides, False, strands, glasses, Fragments.empty(SHADOW_SIZE)).depth


def _rasterised(
    scene: _Scene,
    vertices: FloatArray,
    facing: IntArray,
    lenses: bool,
    strands: FloatArray,
    glasses: FloatArray,
    into: Fragments,
) -> Fragments:
    soup = (scene.triangles, scene.kinds, facing, scene.material, strands, glasses, lenses)
    rasterise(vertices, *soup, into.depth, into.triangle, into.weight0, into.weight1)
    return into


@lru_cache(maxsize=4)  # the pictures of an identity follow one another
def _moles(seed: int, count: int) -> FloatArray:
    """Positions and radii (mm) of the identity's moles."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-55, 55, count), rng.uniform(-105, 60, count), rng.uniform(0.7, 1.5, count)], 1)


def _dress(nuisance: Nuisance) -> tuple[FloatArray, FloatArray, float]:
    """Colours (frame, worn, cloth, lens tint), lens numbers (darkness, reflection, offset), and ribbing of a hat."""
    wear = nuisance.wear
    colours = np.zeros((4, 3))
    colours[0] = wear.glasses.colour if wear.glasses is not None else (0.0, 0.0, 0.0)
    colours[1] = wear.colour
    colours[2] = nuisance.cloth
    colours[3] = (0.02, 0.02, 0.025)
    dark = wear.kind is Accessory.SUNGLASSES
    lens = np.array([0.97 if dark else 0.03, 0.22 if dark else 0.10, float(nuisance.background_seed % 97)])
    return colours, lens, 1.0 if wear.kind is Accessory.BEANIE else 0.0
