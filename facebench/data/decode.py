"""Turns one encoded image into pixels, and refuses by name what would silently change the picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facebench.data.signatures import image_ending
from facebench.data.sources import ImageError

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
_TIFF_BITS_PER_SAMPLE = 258


def decode(data: bytes) -> Pixels:
    """Decode an image into (H, W, 3) uint8 RGB.

    Grey becomes three equal channels, EXIF orientation is applied, CMYK and palettes are converted; colour profiles
    are not applied. An alpha channel must be fully opaque: what lies behind a face is never guessed. Of the several
    pictures of an MPO file (a phone's JPEG) the first is taken.

    Raises:
        ImageError: empty, truncated, not an image, above 64 megapixels, more than 8 bits per channel, animated,
            or partly transparent; the message says which.
    """
    from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

    if not data:
        raise ImageError("the file is empty (0 bytes)")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library in this process may have set it
    try:
        with Image.open(io.BytesIO(data), formats=_readable()) as image:
            _check(image, data)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(_explain_unknown(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"the image has more than {MAX_PIXELS // 10**6} megapixels") from None
    except Exception as error:  # Pillow's decoders fail on hostile bytes in many ways; none may stop a run
        raise ImageError(f"the image cannot be decoded: {error or type(error).__name__}") from error


def _check(image: Image.Image, data: bytes) -> None:
    """Refuse what would not be one plain 8-bit picture."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"the image has {image.width} x {image.height} pixels, more than {MAX_PIXELS // 10**6} megapixels"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ImageError(
            f"the {image.format} file holds {frames} pictures (animated or several pages); save one of them"
        )
    if _bits_per_channel(image, data) > 8:
        raise ImageError(f"the {image.format} file has more than 8 bits per channel; convert it to 8 bits")


def _bits_per_channel(image: Image.Image, data: bytes) -> int:
    """Return the bits per channel; Pillow cuts 16-bit colour down to 8 without a word."""
    from PIL.PpmImagePlugin import PpmImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    if image.mode.startswith(("I", "F")):
        return 16
    if image.format == "JPEG2000":
        return _jpeg2000_bits(data)
    if image.format == "AVIF":
        return _avif_bits(data)
    if image.format == "PNG":
        return data[24]  # the IHDR chunk comes first
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (8,)), default=8)
    if isinstance(image, PpmImageFile) and isinstance(image.tile[0].args, tuple):
        return 16 if any(isinstance(value, int) and value > 255 for value in image.tile[0].args) else 8
    return 8


def _to_rgb(image: Image.Image) -> Pixels:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            raise ImageError("the image is partly transparent; flatten it onto a background")
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _readable() -> list[str]:
    """Return the formats that this installation of Pillow has decoders of."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _jpeg2000_bits(data: bytes) -> int:
    """Return the bits per channel that the SIZ marker of a JPEG 2000 code stream gives; its place is fixed."""
    start = data.find(b"\xff\x4f\xff\x51")
    n_channels = int.from_bytes(data[start + 40 : start + 42], "big")
    depths = data[start + 42 : start + 42 + 3 * n_channels : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def _avif_bits(data: bytes) -> int:
    """Return the bits per channel that the codec's configuration in an AVIF file gives."""
    start = data.find(b"av1C")
    flags = data[start + 6] if 0 <= start < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _explain_unknown(data: bytes) -> str:
    if image_ending(data[:64]) in (".heic", ".avif", ".jp2", ".j2k"):
        kind = image_ending(data[:64])[1:].upper()
        return f"a {kind} image, which this installation has no decoder of; save it as PNG or JPEG"
    return (
        f"not an image of a known format ({', '.join(FORMATS)}), or cut off at its start; it begins with {data[:8]!r}"
    )
