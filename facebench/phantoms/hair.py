"""Hair: an offset shell over the skull, cut to strands at its edge, and the hairline on the scalp."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from facebench.phantoms._kernel import FloatArray, inlined
from facebench.phantoms.geometry import Head
from facebench.phantoms.labels import Surface
from facebench.phantoms.mesh import Sheet, normals, smoothstep_array
from facebench.phantoms.noise import grid_noise, smoothstep, value_noise
from facebench.phantoms.parameters import Groom, HairStyle, Sex, Subject

_SHELL_LESS = frozenset({HairStyle.BALD, HairStyle.BUZZ})
_FALLING = frozenset({HairStyle.MEDIUM, HairStyle.LONG, HairStyle.WAVY})
_BUSHY = frozenset({HairStyle.AFRO, HairStyle.CURLY})


@dataclass(frozen=True)
class Texture:
    """How a style's shell looks: `rag` is the depth of the strand edge (mm), `curl` switches to ringlets."""

    rag: float = 5.5
    curl: bool = False
    shine: float = 1.0


_TEXTURE = {
    HairStyle.AFRO: Texture(rag=4.0, curl=True, shine=0.35),
    HairStyle.CURLY: Texture(rag=4.0, curl=True, shine=0.6),
    HairStyle.FRINGE: Texture(rag=9.0),
}

# Thickness of the shell in mm and frequency (1/mm) and height (mm) of its lumps.
_THICKNESS = {
    HairStyle.SHORT: 9.0,
    HairStyle.CROP: 6.0,
    HairStyle.SIDE: 13.0,
    HairStyle.FRINGE: 11.0,
    HairStyle.MEDIUM: 13.0,
    HairStyle.LONG: 12.0,
    HairStyle.WAVY: 16.0,
    HairStyle.TIED: 5.0,
    HairStyle.AFRO: 30.0,
    HairStyle.CURLY: 18.0,
}
_LUMPS = {HairStyle.AFRO: (0.16, 5.0), HairStyle.CURLY: (0.12, 5.5), HairStyle.WAVY: (0.05, 4.0)}
_PLAIN_LUMPS = (0.045, 2.3)
# Styles that the same head of hair can be brought into from one day to the next.
_STRAIGHT_LONG = (HairStyle.MEDIUM, HairStyle.LONG, HairStyle.WAVY, HairStyle.TIED)
_STRAIGHT_SHORT = (HairStyle.SHORT, HairStyle.CROP, HairStyle.SIDE)
_RESTYLES: dict[Sex, dict[HairStyle, tuple[HairStyle, ...]]] = {
    Sex.FEMALE: {
        **dict.fromkeys((*_STRAIGHT_LONG, HairStyle.FRINGE), _STRAIGHT_LONG),
        **dict.fromkeys(_STRAIGHT_SHORT, _STRAIGHT_SHORT),
        HairStyle.AFRO: (HairStyle.TIED, HairStyle.CURLY),
        HairStyle.CURLY: (HairStyle.TIED, HairStyle.WAVY),
    },
    Sex.MALE: {
        **dict.fromkeys((*_STRAIGHT_SHORT, HairStyle.FRINGE), (*_STRAIGHT_SHORT, HairStyle.FRINGE)),
        HairStyle.BUZZ: (HairStyle.CROP,),
        HairStyle.MEDIUM: (HairStyle.TIED, HairStyle.SIDE),
        HairStyle.LONG: (HairStyle.TIED, HairStyle.MEDIUM),
        HairStyle.AFRO: (HairStyle.BUZZ, HairStyle.CURLY),
        HairStyle.CURLY: (HairStyle.BUZZ, HairStyle.SHORT),
    },
}
RESTYLED_SHARE = 0.25
"""Share of images in which the hair is worn in another style than usual."""

# What `strand_parameters` packs.
COSINE, SINE, SEED, RAG, CURL, SHINE_GAIN = range(6)
HEAD_RADIUS = 75.0
_EDGE_ANGLES = [0, 0.22, 0.42, 0.62, 0.80, 0.95, 1.08, 1.20, 1.34, 1.46, 1.62, 1.9, 2.4, np.pi]
_BELOW_ALL = -260.0


def strand_parameters(subject: Subject) -> FloatArray:
    """Pack what the kernels need: direction of the strands, seed, rag, curl, shine."""
    hair = subject.hair
    texture = _TEXTURE.get(hair.style, Texture())
    lean = 0.0 if texture.curl else hair.comb
    return np.array([math.cos(lean), math.sin(lean), hair.seed, texture.rag, float(texture.curl), texture.shine])


@inlined
def strand_coordinates(angle: float, level: float, strands: FloatArray) -> tuple[float, float]:
    """Millimetres (across, along) the strands of a point of the shell."""
    turned = angle * HEAD_RADIUS
    # Only on top is hair combed to a side; lower down it hangs.
    combed = smoothstep(0.0, 45.0, level)
    cosine = 1 - combed + combed * strands[COSINE]
    sine = combed * strands[SINE]
    return turned * cosine + level * sine, level * cosine - turned * sine


@inlined
def strand_kept(angle: float, level: float, depth: float, strands: FloatArray) -> bool:
    """Whether a point of the shell `depth` mm inside its edge belongs to a strand."""
    # The noise below reaches 1.7 at most: far from the edge there is no need to ask it.
    if abs(depth) > 1.71 * strands[RAG]:
        return bool(depth > 0)
    seed = int(strands[SEED])
    if strands[CURL] > 0:
        ragged = value_noise(angle * 22, level * 0.28, 0.0, seed) * 0.7
        ragged += value_noise(angle * 45, level * 0.55, 3.0, seed) * 0.4
    else:
        across, along = strand_coordinates(angle, level, strands)
        ragged = value_noise(across * 0.06, along * 0.01, 7.0, seed) * 0.6
        ragged += value_noise(across * 0.31, along * 0.03, 0.0, seed) * 0.5
        if abs(depth + ragged * strands[RAG]) > 0.61 * strands[RAG]:  # nor the last of it
            return bool(depth + ragged * strands[RAG] > 0)
        ragged += value_noise(across * 1.3, along * 0.10, 5.0, seed) * 0.6
    return bool(depth + ragged * strands[RAG] > 0)


def groomed(subject: Subject, groom: Groom) -> Subject:
    """The subject with its hair as it is worn in one image."""
    hair = subject.hair
    style = hair.style
    choices = _RESTYLES[subject.sex].get(style, ())
    if choices and groom.restyle < RESTYLED_SHARE:
        style = choices[int(groom.restyle / RESTYLED_SHARE * len(choices))]
    surface = subject.surface.copy()
    for name in ("hair_red", "hair_green", "hair_blue"):
        surface[name] = min(surface[name] * groom.brightness, 0.7)
    worn = replace(
        hair,
        style=style,
        thickness=hair.thickness * groom.thickness,
        comb=hair.comb + groom.comb,
        parting=hair.parting * groom.parting_side,
        length=min(hair.length + groom.length, -45.0),
        fringe_drop=min(max(hair.fringe_drop + groom.fringe, 8.0), 42.0),
        hairline_shift=groom.hairline,
        seed=hair.seed + groom.seed,
    )
    return replace(subject, hair=worn, surface=surface)


def covers_ears(subject: Subject) -> bool:
    """Whether the hair hides the ears."""
    style = subject.hair.style
    if style in _FALLING or style is HairStyle.AFRO:
        return True
    return style in (HairStyle.FRINGE, HairStyle.CURLY) and subject.sex is Sex.FEMALE


def _front_level(subject: Subject) -> float:
    return float(66 + (subject.shape.hairline_level - 66) * 0.6 + subject.hair.hairline_shift)


def scalp_hairline(subject: Subject, angles: FloatArray) -> FloatArray:
    """Level of the hairline on the scalp at each column of the head grid; above the crown when bald."""
    hair = subject.hair
    away = np.abs(angles)
    if hair.style is HairStyle.BALD:
        # Half of the bald keep a wreath of hair round the back.
        wreath = PchipInterpolator([1.25, 1.5, 2.0, 3.2], [20, 30, 34, 30])(np.maximum(away, 1.25))
        return np.where(away > 1.25, wreath, 400.0) if int(subject.surface.seed) % 2 else np.full_like(away, 400.0)
    front = _front_level(subject)
    recession = hair.recession
    line = PchipInterpolator(
        [0, 0.22, 0.42, 0.62, 0.80, 0.95, 1.08, 1.20, 1.34, 1.5, 1.62, 1.9, 2.4, np.pi],
        [
            front - hair.widows_peak,
            front + 0.25 * recession,
            front + 0.9 * recession - 2,
            front + 0.8 * recession - 7,
            52,
            37,
            19,
            -3,
            -24,
            -6,
            -10,
            -42,
            -62,
            -66,
        ],
    )(away)
    if hair.style not in _SHELL_LESS and hair.style is not HairStyle.TIED:
        line = line - 1.5  # fine hairs before the edge of the shell
    return np.asarray(line)


def _edge_levels(subject: Subject) -> list[float]:
    """Level of the shell's lower edge at `_EDGE_ANGLES`."""
    hair = subject.hair
    style = hair.style
    front = _front_level(subject)
    peak = front - hair.widows_peak
    low = _BELOW_ALL
    female = subject.sex is Sex.FEMALE
    if style in _FALLING:
        return [peak, front, front - 2, front - 8, 44, 26, 0, -200, low, low, low, low, low, low]
    if style is HairStyle.TIED:
        return [peak, front, front - 2, front - 8, 48, 32, 14, -4, -16, -10, -14, -35, -50, -50]
    if style in _BUSHY and female:
        return [peak, front, front - 2, front - 8, 44, 24, 2, -40, -80, -90, -90, -90, -90, -90]
    drop = front - hair.fringe_drop
    if style is HairStyle.FRINGE and female:
        return [drop - 8, drop - 7, drop - 5, drop - 2, 26, 12, -12, -200, low, low, low, low, low, low]
    if style is HairStyle.FRINGE:
        return [drop - 6, drop - 5, drop - 3, drop, 32, 22, 8, -10, -28, -20, -24, -42, -62, -66]
    rec = hair.recession
    temples = [peak, front + 0.25 * rec, front + 0.9 * rec - 2, front + rec * 0.8 - 7]
    return [*temples, 52, 37, 19, -3, -24, -16, -22, -42, -62, -66]


def _shell_rows(style: HairStyle) -> FloatArray:
    falls = style in _FALLING or style in _BUSHY or style is HairStyle.FRINGE
    return np.concatenate([np.arange(-170.0 if falls else -70.0, -30, 5.0), np.arange(-30, 122, 2.6), [122.0]])


def _shell_thickness(subject: Subject, angle: FloatArray, level: FloatArray, depth: FloatArray) -> FloatArray:
    """Thickness before lumps (mm), thinning to the edge; angles are a row, levels a column, depths their grid."""
    hair = subject.hair
    style = hair.style
    base = _THICKNESS[style] * hair.thickness
    top = smoothstep_array(30, 100, level)
    if style in (HairStyle.SHORT, HairStyle.CROP, HairStyle.SIDE, HairStyle.FRINGE):
        thickness = base * (0.45 + 0.55 * top)
    elif style is HairStyle.TIED:
        thickness = np.full_like(level, base)
    else:
        thickness = base * (0.75 + 0.25 * top)
    if style is HairStyle.SIDE:
        swept = np.tanh((angle - hair.parting) * 3 * np.sign(-hair.parting))
        thickness = thickness * (1 + 0.35 * swept * (level > 40))
    edge = smoothstep_array(-1, 14 if style in _BUSHY else 22, depth) * 0.85 + 0.15
    if style in _FALLING or style is HairStyle.FRINGE:
        edge = np.maximum(edge, 0.5 * (level < 20))
    return thickness * edge + 1.2


def build_hair(head: Head) -> list[Sheet]:
    """The hair shell and a sparse layer of strands above it; empty for the bald and the shorn.

    Material coordinates are (angle, level, depth inside the edge).
    """
    subject = head.subject
    hair = subject.hair
    style = hair.style
    if style in _SHELL_LESS:
        return []
    columns, rows = np.linspace(-np.pi, np.pi, 145)[None], _shell_rows(style)[:, None]
    angle, level = np.broadcast_arrays(columns, rows)
    away = np.abs(columns)
    falling = style in _FALLING
    depth = level - PchipInterpolator(_EDGE_ANGLES, _edge_levels(subject))(away)
    if falling or (style is HairStyle.FRINGE and subject.sex is Sex.FEMALE):
        ends = hair.length if style in (HairStyle.LONG, HairStyle.WAVY) else max(hair.length, -95.0)
        depth = np.minimum(depth, level - ends)
    # Hair that falls keeps the width of the head at eye level instead of following the jaw.
    follows = np.maximum(rows, -4.0) if falling or style in _BUSHY or style is HairStyle.FRINGE else rows
    base = head.profiles.loft(columns, follows)
    base[..., 1] = np.where(rows < -124, rows, head.profiles.level(rows))
    outward = normals(base)
    outward[-3:] = [0, 1, 0]
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
    thickness = _shell_thickness(subject, columns, rows, depth)
    frequency, height = _LUMPS.get(style, _PLAIN_LUMPS)
    lumps = np.zeros_like(angle)
    grid_noise(base, frequency, hair.seed, lumps)
    if style not in _BUSHY:
        lumps += _clumps(columns, rows, strand_parameters(subject))
    thickness = thickness + height * lumps * smoothstep_array(0, 12, depth)
    if style is HairStyle.WAVY:
        thickness = thickness + 4 * np.sin(rows * 0.13 + 3 * np.sin(columns * 4)) * smoothstep_array(10, -60, rows)
    if falling:
        thickness = thickness + smoothstep_array(0, -90, rows) * 6 * (away > 1.0)
    thickness = np.maximum(thickness, 0.8)
    position = base + outward * thickness[..., None]
    lit_from_above = np.interp(rows, [-170, -60, 0, 40], [0.5, 0.6, 0.85, 1])
    occlusion = np.clip(0.55 + 0.45 * smoothstep_array(0, 20, depth), 0, 1) * lit_from_above
    # Only hair that falls shows its inner side.
    facing = 0 if follows is not rows else 1
    outer = normals(position)
    shell = Sheet(Surface.HAIR, position, outer, np.stack([angle, level, depth], -1), occlusion, facing=facing)
    # The loose layer is cut to the few strands whose noise is high, by pretending to lie outside the edge.
    texture = _TEXTURE.get(style, Texture())
    loose_depth = np.minimum(depth, -0.38 * texture.rag)
    loose = position + outward * np.minimum(0.18 * thickness, 2.2)[..., None]
    material = np.stack([angle, level, loose_depth], -1)
    half = np.s_[::2, ::2]  # no finer than it needs to be
    return [shell, Sheet(Surface.HAIR, loose[half], outer[half], material[half], occlusion[half], facing=1)]


def _clumps(angle: FloatArray, level: FloatArray, strands: FloatArray) -> FloatArray:
    """Ridges along the strands, as noise of the size of a lock; fades at the crown, where angles crowd."""
    turned = angle * HEAD_RADIUS
    combed = smoothstep_array(0.0, 45.0, level)
    cosine = 1 - combed + combed * strands[COSINE]
    sine = combed * strands[SINE]
    across, along = turned * cosine + level * sine, level * cosine - turned * sine
    points = np.stack([across * 0.10, along * 0.012, np.zeros_like(across)], -1)
    out = np.empty_like(across)
    grid_noise(points, 1.0, int(strands[SEED]) + 17, out)
    return np.asarray(out * smoothstep_array(122, 95, level))
