"""What each sample of the surface is made of: skin, lips, beard, brows, scalp, eyes, hair and cloth."""

from __future__ import annotations

import math

from facebench.phantoms._kernel import FloatArray, Record, inlined
from facebench.phantoms.features import brow_local, eye_outline, lip_heights, mouth_line
from facebench.phantoms.labels import Label
from facebench.phantoms.noise import bell, bump, noise_slope, smoothstep, value_noise

# A sample of material, as the kernels pass it on.
# SLIT marks the gap between the lips; OCCLUSION is the share of sky seen; WRAP is how far light seeps round, per
# channel; SHINE scales the highlight of hair.
RED, GREEN, BLUE, LABEL, SPECULAR, ROUGHNESS, SLIT, OCCLUSION, WRAP_RED, WRAP_GREEN, WRAP_BLUE, SHINE = range(12)
MATERIAL_FIELDS = 12
# Half-width (mm) of the mouth as the beard sees it; fixed, so that another mouth leaves the beard alone.
BEARD_GAP = 25.5


@inlined
def skin_colour(melanin: float, haemoglobin: float, yellow: float) -> tuple[float, float, float]:
    """Reflectance of skin after Beer and Lambert: each pigment absorbs exponentially, most in the blue."""
    red = 0.72 * math.exp(-1.75 * melanin - 0.10 * haemoglobin)
    green = 0.515 * math.exp(-2.15 * melanin - 0.50 * haemoglobin)
    blue = 0.41 * math.exp(-2.65 * melanin - 0.40 * haemoglobin - 0.5 * yellow)
    return red, green, blue


@inlined
def _pigments(
    x: float, y: float, z: float, shape: Record, surface: Record, moles: FloatArray
) -> tuple[float, float, float, float]:
    """Return (melanin, haemoglobin, medium noise, fine noise) of bare skin.

    Mottling, flush, shadows under the eyes, freckles, moles.
    """
    seed = int(surface.seed)
    ax = abs(x)
    coarse = value_noise(x * 0.045, y * 0.045, z * 0.045, seed)
    medium = value_noise(x * 0.16, y * 0.16, z * 0.16, seed + 1)
    fine = value_noise(x * 0.45, y * 0.45, z * 0.45, seed + 2)
    melanin = surface.melanin + surface.mottling * (0.032 * coarse + 0.028 * medium + 0.036 * fine)
    haemoglobin = surface.haemoglobin + surface.mottling * (0.12 * medium + 0.10 * coarse + 0.08 * fine)
    flush = (
        0.36 * bell(ax - 38, y + 30, 13.0, 12.0)
        + 0.30 * bell(x, y + 38, 12.0, 8.0)
        + 0.16 * bell(x, y + 104, 14.0, 9.0)
    )
    haemoglobin += surface.cheek_redness * flush
    melanin += 0.035 * bell(x, y - 60, 50.0, 22.0) + 0.04 * smoothstep(-66.0, -110.0, y)
    ring = surface.under_eye * bell(ax - 29, y + 12, 12.0, 5.5)
    haemoglobin += 0.25 * ring
    melanin += (
        0.11 * ring + 0.05 * bell(ax - shape.eye_separation, y - 2, 15.0, 8.0) + 0.07 * bell(ax - 17, y + 1, 5.0, 6.0)
    )
    if surface.freckles > 0:
        specks = value_noise(x * 0.42, y * 0.42, z * 0.42, seed + 9) * 0.6
        specks += value_noise(x * 0.8, y * 0.8, z * 0.8, seed + 10) * 0.5
        where = bell(ax - 20, y + 24, 26.0, 22.0) + 0.3 * bell(x, y - 40, 40.0, 25.0)
        melanin += surface.freckles * 0.30 * smoothstep(0.28, 0.55, specks) * where
    if surface.age > 48:
        # Two turned octaves: the lattice of a single one would show as squares.
        spots = value_noise(x * 0.13 + y * 0.09, y * 0.13 - x * 0.09, z * 0.16, seed + 11) * 0.7
        spots += value_noise(x * 0.31 - y * 0.17, y * 0.31 + x * 0.17, z * 0.3, seed + 12) * 0.5
        melanin += 0.08 * smoothstep(48.0, 75.0, surface.age) * smoothstep(0.25, 0.65, spots)
    for k in range(moles.shape[0]):
        r2 = (x - moles[k, 0]) ** 2 + (y - moles[k, 1]) ** 2
        if r2 < 9 * moles[k, 2] ** 2:
            melanin += 0.5 * math.exp(-r2 / moles[k, 2] ** 2)
    return melanin, haemoglobin, medium, fine


@inlined
def _lip_cover(x: float, e: float, shape: Record) -> float:
    """How much a point `e` mm above the mouth line is lip, 0 to 1."""
    upper, lower = lip_heights(x, shape)
    if e > 0.5:
        return smoothstep(-0.5, 0.7, upper - e) if upper > 0.3 else 0.0
    if e < -0.5:
        return smoothstep(-0.6, 0.9, lower + e) if lower > 0.3 else 0.0
    return 1.0 if abs(x) < shape.mouth_width else 0.0


@inlined
def _blend(out: FloatArray, cover: float, red: float, green: float, blue: float) -> None:
    """Lay a colour over the sample's."""
    out[RED] = out[RED] * (1 - cover) + red * cover
    out[GREEN] = out[GREEN] * (1 - cover) + green * cover
    out[BLUE] = out[BLUE] * (1 - cover) + blue * cover


@inlined
def _scale(out: FloatArray, red: float, green: float, blue: float) -> None:
    out[RED] *= red
    out[GREEN] *= green
    out[BLUE] *= blue


@inlined
def _beard(
    x: float,
    y: float,
    z: float,
    lip: float,
    medium: float,
    fine: float,
    shape: Record,
    surface: Record,
    out: FloatArray,
) -> None:
    """Beard, moustache and stubble; the skin's own noise frays their edges."""
    if surface.beard + surface.stubble + surface.moustache <= 0 or y >= -8:
        return
    ax = abs(x)
    seed = int(surface.seed)
    cheek_line = min(-63 + 1.15 * max(0.0, ax - 34), -12.0)
    beard = smoothstep(5.5, -7.5, y - cheek_line + 6 * medium + 3 * fine) * smoothstep(-125.0, -116.0, y)
    moustache = 0.0
    line = mouth_line(x, shape)
    _, lower = lip_heights(x, shape)
    if y > line:
        moustache = smoothstep(BEARD_GAP + 8, BEARD_GAP - 7, ax + 0.55 * (y - line) + 3 * medium)
        moustache *= smoothstep(-47.5, -53.5, y + 2.5 * fine) * (1 - 0.5 * bell(x, y + 50, 2.5, 5.0))
        if ax < BEARD_GAP + 6:
            beard *= smoothstep(BEARD_GAP + 2, BEARD_GAP + 7, ax)
    else:
        below = y - (line - lower)
        beard *= 1 - 0.75 * bell(x, below + 4.5, 9.0, 4.0) * (1 - smoothstep(-3.0, -12.0, below))
    strand = 0.5 + 0.5 * (
        value_noise(x * 0.8, y * 0.45, z * 0.8, seed + 20) * 0.6
        + value_noise(x * 1.6, y * 0.8, z * 1.6, seed + 21) * 0.5
    )
    cover = max(beard * surface.beard, moustache * surface.moustache) * (1 - lip)
    cover = min(0.97, cover * (0.55 + 0.75 * strand) * 1.25)
    shade = max(beard, moustache) * (1 - lip) * surface.stubble * 0.42 * (1 - 0.45 * surface.melanin)
    shade *= 0.8 + 0.4 * strand
    _scale(out, 1 - shade * 0.75, 1 - shade * 0.62, 1 - shade * 0.52)
    light = 0.5 + 0.8 * strand
    _blend(out, cover, surface.hair_red * light, surface.hair_green * light, surface.hair_blue * light)
    out[SPECULAR] *= 1 - 0.6 * cover


@inlined
def _brow(x: float, y: float, shape: Record, surface: Record, out: FloatArray) -> None:
    """Eyebrow hairs."""
    if y <= 0 or y >= 40 or abs(x) >= 58:
        return
    seed = int(surface.seed)
    u, above, thickness = brow_local(x, y, shape)
    if u <= -0.08 or u >= 1.12 or thickness <= 0.2:
        return
    strand = value_noise(x * 0.9 - above * 0.5, above * 0.35, u * 3, seed + 30) * 0.5
    strand += value_noise(x * 1.8, above * 0.8, 4.0, seed + 31) * 0.3
    cover = smoothstep(1.25, 0.35, abs(above) / (0.5 * thickness + 0.4) + 0.30 * strand)
    cover *= smoothstep(-0.07, 0.10, u) * smoothstep(1.12, 0.9, u) * shape.brow_density
    if cover > 0.45:
        out[LABEL] = Label.LEFT_BROW.value if x < 0 else Label.RIGHT_BROW.value
    tint = surface.brow_tint
    red = min(surface.hair_red * 0.8 * tint + 0.004, 0.6 * out[RED])
    green = min(surface.hair_green * 0.75 * tint + 0.003, 0.6 * out[GREEN])
    blue = min(surface.hair_blue * 0.7 * tint + 0.002, 0.6 * out[BLUE])
    _blend(out, cover, red, green, blue)
    out[SPECULAR] *= 1 - 0.7 * cover


@inlined
def _nose_marks(x: float, y: float, shape: Record, out: FloatArray) -> None:
    """Nostril shadows, and the nose's label."""
    ax = abs(x - shape.nose_asymmetry * smoothstep(10.0, -40.0, y))
    if ax < 30 and -56 < y < -30:
        centre = 0.42 * shape.nose_width
        hole = math.exp(-(((ax - centre) / 3.0) ** 2) - ((y + 45.6 + 0.22 * (ax - centre)) / 1.6) ** 2)
        under = 0.12 * math.exp(-((ax / (0.7 * shape.nose_width)) ** 2) - ((y + 47.5) / 2.4) ** 2)
        dark = max(min(hole * shape.nostril * 1.15, 0.92), under)
        _scale(out, 1 - dark * 0.93, 1 - dark, 1 - dark)
        out[SPECULAR] *= 1 - dark
    if out[LABEL] == Label.SKIN.value and -52 < y < 8 and ax < 8 + (shape.nose_width - 6) * smoothstep(4.0, -32.0, y):
        out[LABEL] = Label.NOSE.value


@inlined
def _scalp(x: float, y: float, z: float, inside: float, surface: Record, out: FloatArray) -> None:
    """Short hair on the scalp, `inside` mm behind the hairline."""
    if inside <= -9:
        return
    seed = int(surface.seed)
    ragged = value_noise(x * 0.35, y * 0.35, z * 0.35, seed + 40)
    fine = value_noise(x * 1.1, y * 0.4, z * 1.1, seed + 41)
    cover = smoothstep(-4.0, 7.0, inside + 3.0 * ragged + 2.0 * fine) * 0.93
    strand = (0.75 + 0.35 * fine) * 0.8
    red = surface.hair_red * strand + 0.05 * out[RED]
    green = surface.hair_green * strand + 0.05 * out[GREEN]
    blue = surface.hair_blue * strand + 0.05 * out[BLUE]
    _blend(out, cover, red, green, blue)
    out[SPECULAR] *= 1 - 0.7 * cover
    if cover > 0.5:
        out[LABEL] = Label.HAIR.value


@inlined
def skin(
    x: float,
    y: float,
    z: float,
    hairline: float,
    shape: Record,
    surface: Record,
    moles: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` with the head's material at material coordinates (x, y, z)."""
    ax = abs(x)
    tone = surface.melanin
    melanin, haemoglobin, medium, fine = _pigments(x, y, z, shape, surface, moles)
    out[LABEL] = Label.SKIN.value
    out[SPECULAR] = max(0.85 + 0.45 * (0.5 * medium + fine), 0.2)
    out[ROUGHNESS] = surface.roughness + 0.04
    out[SLIT] = 0.0
    lip = 0.0
    seam = 0.0
    if ax < shape.mouth_width + 2 and -90 < y < -50:
        e = y - mouth_line(x, shape)
        lip = _lip_cover(x, e, shape)
        if lip > 0.5:
            out[LABEL] = Label.UPPER_LIP.value if e > 0 else Label.LOWER_LIP.value
        haemoglobin += lip * (0.30 + 0.75 * surface.lip_redness)
        melanin += lip * (surface.lip_darkness + (0.05 if e > 0 else 0.0) + 0.10 * tone)
        out[SPECULAR] += lip * 0.35
        out[ROUGHNESS] -= lip * 0.10
        if abs(e) < 0.5 and ax < shape.mouth_width + 0.5:
            out[SLIT] = 1.0
        closeness = max(0.0, abs(e) - 0.4) / 1.1
        seam = 0.62 * math.exp(-closeness * closeness)
        seam *= smoothstep(shape.mouth_width + 3, shape.mouth_width - 1.0, ax)
    out[RED], out[GREEN], out[BLUE] = skin_colour(melanin, haemoglobin, surface.yellow)
    _scale(out, 1 - seam * 0.9, 1 - seam, 1 - seam)
    if lip > 0 and surface.makeup > 0.3:
        paint = lip * surface.makeup * 0.7
        depth = 1 - 0.5 * tone
        _blend(out, paint, 0.42 * depth, 0.06 * depth, 0.075 * depth)
        out[SPECULAR] += 0.5 * paint
    _beard(x, y, z, lip, medium, fine, shape, surface, out)
    _brow(x, y, shape, surface, out)
    _nose_marks(x, y, shape, out)
    _scalp(x, y, z, hairline, surface, out)
    out[SPECULAR] *= 1 + 0.35 * bell(x, y - 45, 35.0, 25.0) + 0.5 * bell(x, y + 30, 10.0, 18.0)


@inlined
def _lines(x: float, y: float, age: float, expression: Record, seed: int) -> float:
    """Height (mm) of forehead lines, crow's feet, frown and the folds beside the chin."""
    ax = abs(x)
    h = 0.0
    forehead = age * 0.9 + 0.5 * expression.brow_raise
    if 22 < y < 70 and forehead > 0.02:
        wander = value_noise(x * 0.03, y * 0.05, 1.0, seed + 52)
        phase = (y + 1.8 * math.cos(x * 0.06) + 2.2 * wander) / 8.5
        h -= forehead * 0.65 * max(0.0, math.cos(phase * 6.2832)) ** 5 * bell(x, y - 45, 34.0, 15.0)
    feet = age * 0.8 + 0.5 * expression.smile * (0.3 + age)
    if 44 < ax < 70 and abs(y) < 22 and feet > 0.02:
        phase = y / (2.5 + 0.22 * (ax - 42))
        h -= feet * 0.5 * max(0.0, math.cos(phase * 5.2)) ** 4 * smoothstep(44.0, 50.0, ax) * smoothstep(68.0, 58.0, ax)
    frown = age * 0.5 + 0.7 * expression.furrow
    if abs(y - 18) < 14 and frown > 0.02:
        h -= frown * 0.7 * bump(ax, 4.2, 1.3) * bell(0.0, y - 18, 1.0, 7.0)
    if age > 0.1 and -100 < y < -70:
        line = 29.5 + 0.12 * (-72 - y)
        h -= age * 0.55 * bump(ax, line, 1.5) * smoothstep(-70.0, -76.0, y) * smoothstep(-100.0, -88.0, y)
    return h


@inlined
def relief_slope(x: float, y: float, z: float, expression: Record, surface: Record) -> tuple[float, float]:
    """Slope of the skin's fine relief, used to bend normals: pores, unevenness that grows with age, lines."""
    seed = int(surface.seed)
    age = smoothstep(28.0, 72.0, surface.age)
    step = 0.35
    here = _lines(x, y, age, expression, seed)
    dx = (_lines(x + step, y, age, expression, seed) - here) / step
    dy = (_lines(x, y + step, age, expression, seed) - here) / step
    sx, sy = noise_slope(x * 0.55, y * 0.55, z * 0.55, seed + 50)
    dx += 0.055 * sx
    dy += 0.055 * sy
    sx, sy = noise_slope(x * 1.1, y * 1.1, z * 1.1, seed + 51)
    dx += 0.055 * sx
    dy += 0.055 * sy
    if age > 0.1:
        sx, sy = noise_slope(x * 0.22, y * 0.22, z * 0.22, seed + 53)
        dx += age * 0.048 * sx
        dy += age * 0.048 * sy
    return dx, dy


@inlined
def lashes(ex: float, ey: float, shape: Record, expression: Record, surface: Record, out: FloatArray) -> None:
    """Lash lines and eye shadow about an eye."""
    upper, lower, t = eye_outline(ex, shape, expression)
    if abs(t) >= 1.12:
        return
    within = abs(t) < 1
    above = ey - upper
    dark = 0.0
    if within and above >= 0:
        reach = smoothstep(2.1 + 0.8 * surface.makeup, 0.5, above)
        dark = min(1.0, shape.lash * 0.85 + 0.28 * surface.makeup) * reach * (0.72 + 0.35 * smoothstep(-0.6, 0.7, t))
        dark = min(0.97, dark)
    elif t > 0:
        dark = 0.4 * smoothstep(1.5, 0.0, abs(ey)) * smoothstep(1.12, 1.0, t)
    below = lower - ey
    if within and below >= 0:
        line = smoothstep(1.3, 0.2, below) * (0.20 + 0.35 * surface.makeup) * smoothstep(-0.8, 0.2, t)
        dark = max(dark, line)
    _scale(out, 1 - dark, 1 - dark, 1 - dark)
    out[SPECULAR] *= 1 - dark
    if surface.makeup > 0.45 and ey > 0 and within:
        paint = 0.35 * surface.makeup * smoothstep(9.0, 2.0, above) * smoothstep(0.0, 0.5, above)
        _scale(out, 1 - paint * 0.6, 1 - paint * 0.8, 1 - paint * 0.6)


@inlined
def lid_label(side: float, ex: float, ey: float, shape: Record) -> int:
    """Label of skin about an eye: its lid, from under the bag to the fold above; SKIN further away."""
    t = ex / shape.eye_width
    q = 1 - (t / 1.25) ** 2
    if q <= 0:
        return Label.SKIN.value
    root = math.sqrt(q)
    top = (shape.eye_upper + shape.crease_height + 3.5) * root
    bottom = -(shape.eye_lower + 9.0) * root
    if bottom < ey < top:
        return Label.LEFT_LID.value if side < 0 else Label.RIGHT_LID.value
    return Label.SKIN.value


@inlined
def iris(u: float, angle: float, seed: int, surface: Record, out: FloatArray) -> None:
    """Blend iris and pupil into `out`; u is the distance from the centre in iris radii."""
    if u >= 1.08:
        return
    fibres = 1 + 0.35 * value_noise(angle * 6.0, u * 2.0, 0.0, seed) * smoothstep(0.3, 0.6, u)
    inner = smoothstep(0.85, 0.40, u)
    light = fibres * (1 - 0.65 * smoothstep(0.78, 1.0, u))
    red = (surface.iris_red * (1 - inner) + surface.iris_inner_red * inner) * light
    green = (surface.iris_green * (1 - inner) + surface.iris_inner_green * inner) * light
    blue = (surface.iris_blue * (1 - inner) + surface.iris_inner_blue * inner) * light
    if u < 0.40:
        open_ = smoothstep(0.34, 0.42, u)
        red = red * open_ + 0.004 * (1 - open_)
        green = green * open_ + 0.004 * (1 - open_)
        blue = blue * open_ + 0.004 * (1 - open_)
    _blend(out, smoothstep(1.08, 0.95, u), red, green, blue)


@inlined
def sclera(t: float, out: FloatArray) -> None:
    """White of the eye, redder to the corners, with the caruncle at the inner one."""
    red = 0.10 * smoothstep(0.5, 1.0, abs(t))
    if t < -0.82:
        out[RED], out[GREEN], out[BLUE] = 0.42, 0.23, 0.20
    else:
        out[RED] = 0.40 - 0.05 * red
        out[GREEN] = 0.365 - 1.1 * red * 0.5
        out[BLUE] = 0.345 - 1.2 * red * 0.5
