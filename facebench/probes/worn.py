"""Things people wear or hold before the face, drawn with folds, light and shadow so that they read as the thing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facebench.probes.drawing import Canvas, Points, mirrored, open_curve, ridge
from facebench.probes.face import Change, Floats, Pixels

MASKS = ((0.60, 0.78, 0.88), (0.60, 0.78, 0.88), (0.93, 0.94, 0.95), (0.17, 0.18, 0.20))
WOOL = ((0.24, 0.27, 0.42), (0.50, 0.14, 0.16), (0.22, 0.34, 0.27), (0.55, 0.53, 0.50), (0.16, 0.16, 0.17))
FAR = 0.12  # lean of the nose from which the ear on its side is hidden
FRAMES = ((0.06, 0.06, 0.07), (0.22, 0.12, 0.07), (0.30, 0.31, 0.33))


def surgical_mask(face: Change) -> Pixels:
    """A pleated mask over nose, mouth and chin, with a nose wire and ear loops."""
    canvas = Canvas(face)
    u, v = canvas.grid
    colour = MASKS[face.rng.integers(len(MASKS))]
    lean = canvas.lean
    outline = mirrored(
        [
            (0.0, 0.25),
            (0.2, 0.3),
            (0.5, 0.45),
            (0.98, 0.5),
            (0.96, 0.8),
            (0.86, 1.15),
            (0.58, 1.5),
            (0.28, 1.66),
            (0.0, 1.7),
        ]
    )
    near = {side: 1 - 0.6 * max(0.0, side * lean) for side in (-1, 1)}  # a turned head shows less of its far cheek
    moved = [(a * near[1 if a > 0 else -1] + lean * float(np.clip(1.2 - abs(a), 0, 1)), b) for a, b in outline]
    cover = canvas.shape(moved)
    loops = [canvas.stroke([(s * 0.95 * near[s] + lean * 0.25, b), (s * 1.16, m), (s * 1.32, e)], 0.035)
             for s in (-1, 1) if s * lean < FAR
             for b, m, e in ((0.53, 0.36, 0.2), (1.08, 0.95, 0.62))]  # fmt: skip
    for loop in loops:
        canvas.shadow(loop, 0.35, size=0.03, drop=0.04)
        canvas.paint(loop, (0.95, 0.95, 0.95), 0.9)
    canvas.shadow(cover, 0.5, size=0.07, drop=0.03)
    x = (u - lean) / 1.0
    shade = 1.06 - 0.42 * np.abs(x) ** 2.6 - 0.1 * np.clip(v - 1.15, 0, None)
    # the nose lifts the cloth, the pleats fold it; they sag towards the chin
    tent = ridge(x, 0.0, 0.16) * np.clip(1 - np.abs(v - 0.5) / 0.45, 0, 1)
    flank = (ridge(x, -0.3, 0.14) + ridge(x, 0.3, 0.14)) * np.clip(1 - np.abs(v - 0.55) / 0.4, 0, 1)
    shade = shade + 0.12 * tent - 0.1 * flank
    for level in (0.72, 0.94, 1.16):
        place = level + 0.07 * (1 - x**2)
        shade = shade - 0.2 * ridge(v, place, 0.022) + 0.1 * ridge(v, place + 0.05, 0.03)
    edge = 0.36 + 0.17 * np.clip(np.abs(x) / 0.6, 0, 1) ** 0.8 - 0.07
    shade = shade - 0.12 * ridge(v, edge + 0.09, 0.018)
    canvas.paint(cover, colour, (shade * canvas.grain(0.02)).astype(np.float32))
    canvas.paint(_rim(canvas, cover), colour, 0.72)
    return canvas.pixels()


def _rim(canvas: Canvas, cover: Floats) -> Floats:
    """Return a thin seam along the inner edge of a shape."""
    from facebench.probes.corruptions import blur

    inner = blur(cover[..., None], 0.03 * canvas.face.iod)[..., 0]
    found: Floats = np.clip(cover - inner, 0, 1) * cover
    return found


def sunglasses(face: Change) -> Pixels:
    """Dark lenses with a sheen, frame, bridge and temples."""

    def dark(canvas: Canvas, side: int, lens: Floats, _frame: Floats) -> None:
        u, v = canvas.grid
        canvas.shadow(lens, 0.4, size=0.06, drop=0.07)
        shade = 0.75 + 0.9 * np.clip((v + 0.25) / 0.75, 0, 1)
        canvas.paint(lens * np.float32(0.97), (0.07, 0.075, 0.085), shade.astype(np.float32))
        sheen = ridge(u + 0.55 * v, side * 0.5 - 0.16, 0.06) + 0.5 * ridge(u + 0.55 * v, side * 0.5 + 0.02, 0.03)
        canvas.glow(lens * sheen * np.clip(0.9 - (v + 0.2) / 0.6, 0, 1), 0.32)

    return _glasses(face, _LENS, dark, arms=-0.13, bridge=-0.1, width=0.05, edge=_LENS[:4], shine=0.35)


_LENS: Points = (
    (-0.36, -0.16), (-0.12, -0.235), (0.2, -0.235), (0.40, -0.17), (0.40, 0.03), (0.26, 0.27), (0.03, 0.34),
    (-0.2, 0.26), (-0.34, 0.06),
)  # fmt: skip
_ROUND: Points = (
    (-0.34, -0.1), (-0.18, -0.21), (0.16, -0.22), (0.36, -0.14), (0.37, 0.06), (0.24, 0.22), (0.0, 0.27),
    (-0.22, 0.22), (-0.33, 0.06),
)  # fmt: skip


def eyeglasses(face: Change) -> Pixels:
    """A frame with clear lenses that catch a little light."""

    def clear(canvas: Canvas, side: int, lens: Floats, frame: Floats) -> None:
        u, v = canvas.grid
        canvas.shadow(frame, 0.4, size=0.03, drop=0.05)
        canvas.glow(lens, 0.05)
        sheen = ridge(u + 0.6 * v, side * 0.5 + 0.16, 0.05) * np.clip(0.6 - v / 0.5, 0, 1)
        canvas.glow(lens * sheen.astype(np.float32), 0.3)

    return _glasses(face, _ROUND, clear, arms=-0.1, bridge=-0.06, width=0.055, edge=_ROUND[1:4], shine=0.4)


def _glasses(
    face: Change,
    outline: Points,
    glaze: Callable[[Canvas, int, Floats, Floats], None],
    *,
    arms: float,
    bridge: float,
    width: float,
    edge: Points,
    shine: float,
) -> Pixels:
    """Draw a frame of a random colour; `glaze` draws a lens, given the side and what lens and frame cover."""
    canvas = Canvas(face)
    colour = FRAMES[face.rng.integers(len(FRAMES))]
    _temples(canvas, colour, arms)
    for side in (-1, 1):
        rim = [(side * 0.5 + side * a, b) for a, b in outline]
        lens, frame = canvas.shape(rim), canvas.stroke(rim, width, closed=True)
        glaze(canvas, side, lens, frame)
        canvas.paint(frame, colour, 1.1)
        canvas.glow(canvas.stroke([(side * (0.5 + a), b - 0.012) for a, b in edge], 0.014), shine)
    _bridge(canvas, colour, bridge)
    return canvas.pixels()


def _temples(canvas: Canvas, colour: tuple[float, float, float], level: float) -> None:
    """Draw the arms of a pair of glasses; a turned head hides one of them."""
    for side in (-1, 1):
        reach = 1.18 - side * canvas.lean * 0.9
        arm = canvas.stroke([(side * 0.86, level), (side * 1.02, level + 0.005), (side * reach, level + 0.06)], 0.05)
        canvas.shadow(arm, 0.3, size=0.03, drop=0.05)
        canvas.paint(arm, colour, 0.95)


def _bridge(canvas: Canvas, colour: tuple[float, float, float], level: float) -> None:
    arch = canvas.stroke([(-0.17, level), (-0.07, level - 0.05), (0.07, level - 0.05), (0.17, level)], 0.05)
    canvas.paint(arch, colour, 1.15)


def hat(face: Change) -> Pixels:
    """A knitted hat with a turned-up brim, down over the forehead."""
    canvas = Canvas(face)
    u, v = canvas.grid
    colour = WOOL[face.rng.integers(len(WOOL))]
    lean = -0.6 * canvas.lean  # the eyes of a turned head lie off its middle, on the side of the nose
    x = (u - lean) / 1.17
    brim = mirrored(
        [
            (0.0, -0.46),
            (0.5, -0.43),
            (0.92, -0.33),
            (1.14, -0.2),
            (1.2, -0.55),
            (1.06, -0.76),
            (0.55, -0.9),
            (0.0, -0.94),
        ]
    )
    crown = mirrored([(0.0, -0.74), (1.0, -0.66), (1.12, -0.95), (0.98, -1.45), (0.6, -1.8), (0.0, -1.9)])
    crown_cover = canvas.shape([(a + lean, b) for a, b in crown])
    brim_cover = canvas.shape([(a + lean, b) for a, b in brim])
    canvas.shadow(brim_cover, 0.55, size=0.09, drop=0.1)
    angle = np.arcsin(np.clip(x, -1, 1))  # ribs stand closer together where the head turns away
    round_ = 0.5 + 0.55 * np.sqrt(np.clip(1 - x**2, 0, 1))
    ribs = 1 + 0.1 * np.cos(angle * 26)
    knit = 1 + 0.06 * np.sin(v * 70 + 2 * np.cos(angle * 26))
    canvas.paint(crown_cover, colour, (round_ * ribs * knit * canvas.grain(0.05)).astype(np.float32))
    canvas.shadow(brim_cover, 0.4, size=0.05, drop=-0.0)
    bulge = 0.86 + 0.3 * ridge(v, -0.64 + 0.16 * x**2, 0.16)
    ribs = 1 + 0.17 * np.cos(angle * 26)
    canvas.paint(brim_cover, colour, (round_ * ribs * bulge * knit * canvas.grain(0.05)).astype(np.float32))
    return canvas.pixels()


def scarf(face: Change) -> Pixels:
    """A woollen scarf wound over mouth, chin and neck, in folds."""
    canvas = Canvas(face)
    u, v = canvas.grid
    colour = np.asarray(WOOL[face.rng.integers(len(WOOL))], np.float32)
    lean = canvas.lean
    top: Points = [
        (-1.75, 0.62), (-1.2, 0.66), (-0.7, 0.66), (-0.15 + lean, 0.6), (0.35 + lean, 0.62), (0.85, 0.72), (1.25, 0.68),
        (1.75, 0.58),
    ]  # fmt: skip
    low = 3.2
    for turn in range(2):  # the inner winding, then the outer one over it
        drop = 0.0 if turn == 0 else 0.46
        tilt = 0.12 if turn == 0 else -0.16
        edge = [(a, b + drop + tilt * a) for a, b in top]
        cover = canvas.shape([*open_curve(edge), (2.4, low), (-2.4, low)], smooth=False)
        canvas.shadow(cover, 0.55, size=0.08, drop=0.02 if turn == 0 else -0.03)
        height = np.interp(u, [a for a, _ in open_curve(edge)], [b for _, b in open_curve(edge)]).astype(np.float32)
        depth = v - height
        folds = 0.92 + 0.2 * ridge(depth, 0.07, 0.06)
        for place, slope, size in ((0.2, 0.1, 0.05), (0.33, -0.14, 0.045), (0.5, 0.2, 0.06), (0.72, -0.1, 0.06)):
            where = place + slope * (u - lean) + 0.04 * np.sin(3 * u + 5 * place)
            folds = folds - 0.28 * ridge(depth, where, 0.03) + 0.17 * ridge(depth, where + size, 0.04)
        folds = folds * (1.02 - 0.3 * np.clip(np.abs(u - lean) / 1.4, 0, 1) ** 2)
        weave = 1 + 0.05 * np.sin((u + 0.4 * v) * 60) * np.sin((v - 0.4 * u) * 60)
        stripe = np.clip(12 * (np.sin((u * 1.1 + v * 0.5) * 5.5) - 0.7), 0, 1).astype(np.float32)[..., None]
        dyed = colour + stripe * (np.array([0.82, 0.79, 0.72], np.float32) - colour) * np.float32(0.55)
        canvas.paint(cover, dyed.astype(np.float32), (folds * weave * canvas.grain(0.05)).astype(np.float32))
    return canvas.pixels()


def hand(face: Change) -> Pixels:
    """The back of a hand, in the colour of the face, laid over mouth and cheek from one side."""
    canvas = Canvas(face)
    side = float(face.rng.choice((-1, 1)))
    skin = canvas.skin()
    back = [
        (0.42, 0.92),
        (0.72, 0.72),
        (1.05, 0.78),
        (1.4, 1.0),
        (2.0, 1.5),
        (2.2, 2.1),
        (1.3, 2.2),
        (0.75, 1.72),
        (0.46, 1.36),
    ]
    # little finger lowest; each finger has two bones that bend a little
    fingers = (
        ((0.58, 1.42), (0.22, 1.42), (-0.08, 1.34), 0.115),
        ((0.55, 1.22), (0.06, 1.2), (-0.36, 1.12), 0.132),
        ((0.58, 1.0), (0.02, 0.95), (-0.46, 0.9), 0.138),
        ((0.72, 0.82), (0.2, 0.72), (-0.22, 0.66), 0.13),
    )
    cover = canvas.shape([(side * a, b) for a, b in back])
    canvas.shadow(cover, 0.45, size=0.1, drop=0.05)
    u, v = canvas.grid
    x = side * u
    shade = 0.97 - 0.22 * np.clip((v - 1.1 - 0.35 * (x - 0.6)) / 0.7, 0, 1)
    for a, b in ((0.74, 0.86), (0.62, 1.03), (0.6, 1.22), (0.62, 1.4)):  # knuckles and the tendons behind them
        bump = np.exp(-(((x - a) / 0.1) ** 2) - ((v - b) / 0.08) ** 2)
        tendon = (
            ridge(v - b - 0.5 * (x - a), 0.0, 0.04) * np.clip((x - a) / 0.15, 0, 1) * np.clip(1 - (x - a) / 0.7, 0, 1)
        )
        gap = ridge(v - b - 0.1 - 0.5 * (x - a), 0.0, 0.035) * np.clip(1 - np.abs(x - a) / 0.3, 0, 1)
        shade = shade + 0.1 * bump + 0.05 * tendon - 0.1 * gap
    canvas.paint(cover, skin, shade.astype(np.float32), lit=False)
    canvas.paint(_rim(canvas, cover), skin, 0.62, lit=False)
    for base, joint, tip, radius in fingers:
        _finger(canvas, skin, [(side * a, b) for a, b in (base, joint, tip)], radius)
    return canvas.pixels()


def _finger(canvas: Canvas, skin: Floats, joints: Points, radius: float) -> None:
    base, joint, tip = joints
    parts = (canvas.capsule(base, joint, (radius * 1.02, radius)), canvas.capsule(joint, tip, (radius, radius * 0.84)))
    cover = np.maximum(parts[0].cover, parts[1].cover)
    canvas.shadow(cover, 0.5, size=0.05, drop=0.05)
    near = parts[0].distance <= parts[1].distance
    distance = np.minimum(parts[0].distance, parts[1].distance)
    shade = 0.58 + 0.46 * np.sqrt(np.clip(1 - distance**2, 0, 1))
    bend = np.where(near, parts[0].along - 1, parts[1].along)
    for place in (-0.07, 0.0, 0.07):
        shade = shade - 0.09 * ridge(bend, place, 0.018) * (1 - distance)
    canvas.paint(cover, skin, shade.astype(np.float32), lit=False)
    end = parts[1]
    nail = np.exp(-(((end.along - 0.93) / 0.13) ** 4) - (end.distance * (end.along <= 1) / 0.55) ** 4).astype(
        np.float32
    )
    rosy = np.clip(skin * np.array([1.12, 1.02, 1.0], np.float32) + np.float32(0.06), 0, 1)
    canvas.paint(nail * cover * np.float32(0.8), rosy, 1.0, lit=False)
    canvas.glow(nail * cover * ridge(end.along, 0.98, 0.04), 0.2)
