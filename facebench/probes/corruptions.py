"""Natural corruptions: noise, blur, weather, light and colour, compression and resolution, in five severities.

They follow the list of ImageNet-C (Hendrycks and Dietterich, 2019), but not its constants, which assume pictures of 224
pixels: radii are fractions of the inter-ocular distance (`iod`), noise is in units of full scale, and the severities
start from the published set for 64-pixel pictures. The tables below are the definition.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from facebench.probes.face import Change, Floats, Kind, Pixels, to_pixels

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma

NOISE_SD = (0.03, 0.05, 0.07, 0.09, 0.12)
PHOTONS = (250.0, 120.0, 60.0, 30.0, 15.0)  # per full-scale value
IMPULSE_SHARE = (0.01, 0.02, 0.04, 0.07, 0.12)
SPECKLE_SD = (0.07, 0.12, 0.18, 0.25, 0.35)
BLUR_SIGMA = (0.02, 0.035, 0.05, 0.065, 0.085)  # of iod
DEFOCUS_RADIUS = (0.04, 0.065, 0.09, 0.12, 0.16)  # of iod
MOTION_LENGTH = (0.1, 0.16, 0.24, 0.33, 0.45)  # of iod
ZOOM = (0.05, 0.1, 0.16, 0.24, 0.34)
GLASS = (0.03, 0.045, 0.065, 0.09, 0.125)  # largest displacement, of iod
FOG = (0.2, 0.35, 0.5, 0.65, 0.8)
RAIN = ((30, 0.35), (60, 0.45), (100, 0.55), (160, 0.65), (240, 0.75))  # streaks, opacity
SNOW = ((40, 0.08), (80, 0.14), (140, 0.2), (220, 0.28), (320, 0.36))  # flakes, haze
BRIGHTNESS = (0.1, 0.2, 0.3, 0.42, 0.55)
EXPOSURE = ((0.5, 200.0), (0.25, 90.0), (0.12, 45.0), (0.06, 24.0), (0.03, 12.0))  # of the light, photons
CONTRAST = (0.65, 0.45, 0.3, 0.2, 0.13)
SATURATION = (1.5, 2.2, 3.2, 4.6, 6.5)
HUE = (15.0, 35.0, 60.0, 100.0, 170.0)  # degrees
JPEG_QUALITY = (50, 30, 18, 11, 6)
BLOCK = (0.05, 0.075, 0.1, 0.135, 0.18)  # of iod
BITS = (5, 4, 3, 2, 1)


# ---- noise


def gaussian_noise(face: Change) -> Pixels:
    """Add normal noise."""
    return to_pixels(face.values + np.float32(face.pick(NOISE_SD)) * _normal(face))


def shot_noise(face: Change) -> Pixels:
    """Count photons: ``Poisson(x n) / n``."""
    photons = face.pick(PHOTONS)
    return to_pixels(face.rng.poisson(face.values * photons) / photons)


def impulse_noise(face: Change) -> Pixels:
    """Replace a share of all values, channel by channel, by uniform noise."""
    hit = face.rng.random(face.pixels.shape, np.float32) < face.pick(IMPULSE_SHARE)
    return np.where(hit, face.rng.integers(0, 256, face.pixels.shape, np.uint8), face.pixels)


def salt_and_pepper(face: Change) -> Pixels:
    """Turn a share of the pixels black or white."""
    hit = face.rng.random(face.pixels.shape[:2], np.float32) < face.pick(IMPULSE_SHARE)
    colour = face.rng.integers(0, 2, face.pixels.shape[:2], np.uint8) * np.uint8(255)
    return np.where(hit[..., None], colour[..., None], face.pixels)


def speckle_noise(face: Change) -> Pixels:
    """Add normal noise in proportion to the value."""
    return to_pixels(face.values * (1 + np.float32(face.pick(SPECKLE_SD)) * _normal(face)))


def _normal(face: Change) -> Floats:
    return face.rng.standard_normal(face.pixels.shape, np.float32)


# ---- blur


def gaussian_blur(face: Change) -> Pixels:
    """Blur with a normal kernel."""
    return to_pixels(blur(face.values, face.pick(BLUR_SIGMA) * face.iod))


def defocus_blur(face: Change) -> Pixels:
    """Blur with a disk, as a lens out of focus does."""
    radius = face.pick(DEFOCUS_RADIUS) * face.iod
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return to_pixels(_convolve(face.values, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)))


def motion_blur(face: Change) -> Pixels:
    """Blur along a line in a random direction."""
    half = face.pick(MOTION_LENGTH) * face.iod / 2
    angle = face.rng.uniform(0, np.pi)
    reach = int(np.ceil(half)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return to_pixels(_convolve(face.values, kernel))


def zoom_blur(face: Change) -> Pixels:
    """Average the picture over a range of magnifications."""
    from PIL import Image

    picture = Image.fromarray(face.pixels)
    height, width = face.pixels.shape[:2]
    total = np.zeros(face.pixels.shape, np.float32)
    steps = np.linspace(0, face.pick(ZOOM), 8)
    for zoom in steps:
        dx, dy = width * (1 - 1 / (1 + zoom)) / 2, height * (1 - 1 / (1 + zoom)) / 2
        box = (dx, dy, width - dx, height - dy)
        total += np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return to_pixels(total / np.float32(255 * steps.size))


def glass_blur(face: Change) -> Pixels:
    """Displace every pixel at random, as frosted glass does, then smooth."""
    height, width = face.pixels.shape[:2]
    reach = face.pick(GLASS) * face.iod
    offset = face.rng.uniform(-1, 1, (2, height, width)) * reach
    y, x = np.mgrid[:height, :width]
    rows = np.clip(np.rint(y + offset[0]), 0, height - 1).astype(np.intp)
    columns = np.clip(np.rint(x + offset[1]), 0, width - 1).astype(np.intp)
    return to_pixels(blur(face.values[rows, columns], reach / 4))


def blur(values: Floats, sigma: float) -> Floats:
    """Return a picture blurred along its first two axes, edges continued."""
    from scipy.ndimage import gaussian_filter1d

    once = gaussian_filter1d(values, sigma, axis=0, mode="nearest", truncate=3.0)
    found: Floats = gaussian_filter1d(once, sigma, axis=1, mode="nearest", truncate=3.0)
    return found


def _convolve(values: Floats, kernel: NDArray[np.float64]) -> Floats:
    """Convolve each channel with a square kernel of odd size, edges continued."""
    from scipy.signal import fftconvolve

    reach = kernel.shape[0] // 2
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    weights = (kernel / kernel.sum()).astype(np.float32)[..., None]
    found: Floats = fftconvolve(padded, weights, mode="valid", axes=(0, 1))
    return found


# ---- weather


def fog(face: Change) -> Pixels:
    """Blend with bright, uneven fog."""
    share = face.pick(FOG) * (0.75 + 0.5 * clouds(face.rng, face.pixels.shape[:2], 0.8 * face.iod))
    return to_pixels(face.values + np.clip(share, 0, 1)[..., None] * (np.float32(0.88) - face.values))


def rain(face: Change) -> Pixels:
    """Draw slanted streaks of rain under a grey sky; a severity keeps the streaks of those below it."""
    from PIL import Image, ImageDraw

    count, opacity = face.pick(RAIN)
    height, width = face.pixels.shape[:2]
    slant = face.rng.uniform(-0.35, 0.35)
    starts, lengths = face.rng.random((240, 2)), face.rng.uniform(0.25, 0.6, 240) * face.iod
    layer = Image.new("L", (4 * width, 4 * height))
    draw = ImageDraw.Draw(layer)
    for (x, y), length in zip(starts[:count], lengths[:count], strict=True):
        left, top = (1.2 * x - 0.1) * 4 * width, (1.2 * y - 0.1) * 4 * height
        end = (left + 4 * slant * length, top + 4 * length)
        draw.line([(left, top), end], fill=255, width=max(1, round(0.1 * face.iod)))
    streaks = np.asarray(layer.reduce(4), np.float32)[..., None] / 255
    duller = 0.3 * opacity
    grey = face.values * (1 - duller) + duller * np.float32(0.45)
    return to_pixels(grey + opacity * streaks * (np.float32(0.9) - grey))


def snow(face: Change) -> Pixels:
    """Draw snowflakes and a haze; a severity keeps the flakes of those below it."""
    from PIL import Image, ImageDraw

    count, haze = face.pick(SNOW)
    height, width = face.pixels.shape[:2]
    places = face.rng.random((320, 2)) * (width, height)
    radii = face.rng.gamma(3.0, 0.009, 320) * face.iod
    layer = Image.new("L", (4 * width, 4 * height))
    draw = ImageDraw.Draw(layer)
    for (x, y), radius in zip(4 * places[:count], 4 * radii[:count], strict=True):
        draw.ellipse([x - radius, y - 1.2 * radius, x + radius, y + 1.2 * radius], fill=255)
    flakes = blur(np.asarray(layer.reduce(4), np.float32) / np.float32(255), 0.012 * face.iod)[..., None]
    white = face.values + haze * (np.float32(0.92) - face.values)
    return to_pixels(white + np.float32(0.95) * flakes * (1 - white))


def clouds(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Floats:
    """Return smooth noise in [0, 1] whose largest structures measure `size` pixels."""
    from PIL import Image

    total = np.zeros(shape, np.float32)
    for octave in range(4):
        cells = [max(2, round(side / size * 2**octave) + 1) for side in shape[:2]]
        grid = Image.fromarray(rng.random(cells, np.float32))
        total += np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) * np.float32(0.5**octave)
    total -= total.min()
    scaled: Floats = total / max(float(total.max()), 1e-6)
    return scaled


# ---- light and colour


def brightness(face: Change) -> Pixels:
    """Add light."""
    return to_pixels(face.values + np.float32(face.pick(BRIGHTNESS)))


def low_light(face: Change) -> Pixels:
    """Take light away, before the gamma of 2.2, count the photons that are left, and amplify halfway back."""
    share, photons = face.pick(EXPOSURE)
    light = face.values ** np.float32(2.2) * share
    noisy = light + _normal(face) * np.sqrt(light * share / photons + (0.02 * share) ** 2)
    return to_pixels(np.clip(noisy / share**0.5, 0, 1) ** (1 / 2.2))


def contrast(face: Change) -> Pixels:
    """Draw all values towards their mean."""
    mean = face.values.mean(axis=(0, 1))
    return to_pixels(mean + np.float32(face.pick(CONTRAST)) * (face.values - mean))


def saturation(face: Change) -> Pixels:
    """Multiply the distance from grey; a grey picture stays as it is."""
    grey = (face.values @ GREY)[..., None]
    return to_pixels(grey + np.float32(face.pick(SATURATION)) * (face.values - grey))


def hue(face: Change) -> Pixels:
    """Turn the hue about the grey axis, in a random direction; a grey picture stays as it is."""
    angle = np.deg2rad(face.pick(HUE)) * face.rng.choice((-1, 1))
    # rotation about (1, 1, 1) / sqrt(3)
    c, s, third = np.cos(angle), np.sin(angle) / np.sqrt(3), (1 - np.cos(angle)) / 3
    turn = third + c * np.eye(3) + s * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return to_pixels(face.values @ turn.T.astype(np.float32))


# ---- compression and resolution


def jpeg(face: Change) -> Pixels:
    """Compress as JPEG and decode again."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(face.pixels).save(stream, "JPEG", quality=face.pick(JPEG_QUALITY))
    with Image.open(stream) as image:
        return np.asarray(image)


def pixelate(face: Change) -> Pixels:
    """Show blocks of equal colour."""
    from PIL import Image

    return _through_small(face, Image.Resampling.BOX, Image.Resampling.NEAREST)


def resample(face: Change) -> Pixels:
    """Shrink and enlarge again by bicubic interpolation, as for a face that was far away."""
    from PIL import Image

    return _through_small(face, Image.Resampling.BICUBIC, Image.Resampling.BICUBIC)


def _through_small(face: Change, down: int, up: int) -> Pixels:
    from PIL import Image

    height, width = face.pixels.shape[:2]
    block = max(1.0, face.pick(BLOCK) * face.iod)
    small = (max(2, round(width / block)), max(2, round(height / block)))
    shrunk = Image.fromarray(face.pixels).resize(small, Image.Resampling(down))
    return np.asarray(shrunk.resize((width, height), Image.Resampling(up)))


def bit_depth(face: Change) -> Pixels:
    """Keep few levels of each channel."""
    steps = 2 ** face.pick(BITS) - 1
    return to_pixels(np.rint(face.values * steps) / steps)


KINDS: dict[str, Kind] = {
    f"corruption:{function.__name__}": Kind(function)
    for function in (
        gaussian_noise, shot_noise, impulse_noise, speckle_noise, salt_and_pepper, gaussian_blur, defocus_blur,
        motion_blur, zoom_blur, glass_blur, fog, rain, snow, brightness, low_light, contrast, saturation, hue, jpeg,
        pixelate, resample, bit_depth,
    )
}  # fmt: skip
"""Every corruption by its condition without the severity."""
