"""Decoding: what is converted, what is refused and in which words, and reading many images."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from facebench.data import (
    BytesSource,
    Dataset,
    FileSource,
    ImageError,
    PixelSource,
    decode,
    decode_batches,
    hash_images,
    iter_images,
)
from facebench.data.sources import MAX_IMAGE_BYTES
from facebench.files import sha256_bytes
from facebench.schema import Failure

from .factory import encode, pixels, png

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_keep_every_pixel(kind: str) -> None:
    decoded = decode(encode(pixels(), kind))
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, pixels())


def test_lossy_formats() -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for data in (encode(flat, "JPEG", quality=95), encode(flat, "WEBP", quality=95)):
        np.testing.assert_allclose(decode(data).astype(int), flat.astype(int), atol=6)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "GIF"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    np.testing.assert_array_equal(decode(encode(GREY, kind)), np.repeat(GREY[..., None], 3, axis=2))


def test_bilevel_and_palette() -> None:
    image = Image.fromarray(GREY)
    black_white = decode(encode(image.point(lambda value: 255 * (value > 20)).convert("1")))
    assert set(np.unique(black_white)) == {0, 255}
    colours = Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8)).quantize(4)
    assert decode(encode(colours))[0, 0].tolist() == [10, 20, 30]


def test_cmyk() -> None:
    cmyk = Image.fromarray(np.full((8, 8, 3), (255, 0, 0), np.uint8)).convert("CMYK")
    red, green, blue = decode(encode(cmyk, "JPEG", quality=95))[4, 4].astype(int)
    assert red > 240
    assert green < 15
    assert blue < 15


def test_alpha_must_be_opaque() -> None:
    opaque = Image.fromarray(pixels()).convert("RGBA")
    np.testing.assert_array_equal(decode(encode(opaque)), pixels())
    opaque.putpixel((0, 0), (1, 2, 3, 254))
    with pytest.raises(ImageError, match="partly transparent"):
        decode(encode(opaque))
    palette = Image.fromarray(pixels()).quantize(8)
    with pytest.raises(ImageError, match="partly transparent"):
        decode(encode(palette, transparency=palette.getpixel((0, 0))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255  # white top left corner
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turn(upright))
    for kind in ("JPEG", "PNG"):
        decoded = decode(encode(stored, kind, exif=exif))
        assert decoded.shape == upright.shape
        assert decoded[2, 2].min() > 200
        assert decoded[12, 20].max() < 50


def test_the_first_picture_of_a_phone_jpeg() -> None:
    first, second = (Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 20))
    data = encode(first, "MPO", save_all=True, append_images=[second])
    assert abs(int(decode(data)[0, 0, 0]) - 200) < 5


def deep_png(colour_type: int, channels: int) -> bytes:
    """A 2 x 2 PNG with 16 bits per channel, which Pillow cannot write in colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    rows = (b"\x00" + b"\x12\x34" * 2 * channels) * 2
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(GREY.astype(np.uint16) * 1000)),
        deep_png(0, 1),
        deep_png(2, 3),
        deep_png(6, 4),
        encode(Image.fromarray(GREY.astype(np.uint16) * 1000), "TIFF"),
        encode(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        encode(Image.fromarray(GREY.astype(np.uint16) * 1000), "PPM"),
        b"P6 2 2 65535\n" + b"\x12\x34" * 12,
        b"P3 1 1 1023\n1000 2 3\n",
    ],
    ids=["png", "png-grey", "png-rgb", "png-rgba", "tiff", "tiff-float", "pgm", "ppm", "ppm-plain"],
)
def test_more_than_8_bits_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="more than 8 bits per channel"):
        decode(data)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_pictures_are_refused_by_name(kind: str) -> None:
    frames = [Image.fromarray(pixels(seed)) for seed in range(3)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=f"the {kind} file holds 3 pictures"):
        decode(data)


def huge_png(width: int, height: int) -> bytes:
    good = encode(GREY)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return good[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + good[33:]


@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="megapixels"):
        decode(huge_png(*size))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_truncated_files_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as a careless library would leave it
    data = encode(pixels(height=64, width=64), kind)
    for cut in (3, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(ImageError) as caught:
            decode(data[:cut])
        assert "0x" not in str(caught.value)


def test_empty_and_foreign_files() -> None:
    with pytest.raises(ImageError, match="empty"):
        decode(b"")
    with pytest.raises(ImageError, match="not an image of a known format"):
        decode(b"<html>404</html>")
    with pytest.raises(ImageError, match="not an image of a known format"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on some damage that it can live with
def test_damaged_files_decode_or_fail_with_a_reason(kind: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(encode(pixels(), kind))
    for position, value in edits:
        data[position % len(data)] = value
    (image,) = iter_images(make(BytesSource(bytes(data), "damaged")), [0], workers=1)
    if image.failure is None:
        assert image.pixels is not None
        assert image.pixels.shape[2] == 3
    else:
        assert image.failure.reason
        assert "object at 0x" not in image.failure.reason


@given(seed=st.integers(0, 99), height=st.integers(1, 300), width=st.integers(1, 90), grey=st.booleans())
@settings(max_examples=25, deadline=None)
def test_pixels_read_as_png(seed: int, height: int, width: int, grey: bool) -> None:
    image = pixels(seed, height, width)
    expected = np.repeat(image[..., :1], 3, axis=2) if grey else image
    data = PixelSource(image[..., 0] if grey else image, "here").read()
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode(data), expected)


def make(*sources: BytesSource | FileSource) -> Dataset:
    return Dataset("d", Path(), tuple(f"i{n}" for n in range(len(sources))), tuple(sources))


def mixed(tmp_path: Path) -> Dataset:
    (tmp_path / "empty.png").touch()
    return make(
        BytesSource(png(0), "0"),
        FileSource(str(tmp_path / "empty.png")),
        FileSource(str(tmp_path / "none.png")),
        BytesSource(png(0)[:40], "3"),
        FileSource(str(tmp_path)),
        BytesSource(png(5), "5"),
    )


def test_failures_are_recorded_in_order_without_paths(tmp_path: Path) -> None:
    images = list(iter_images(mixed(tmp_path), range(6), workers=3))
    assert [image.index for image in images] == list(range(6))
    stages = [image.failure and image.failure.stage for image in images]
    assert stages == [None, "read", "read", "decode", "read", None]
    reasons = [image.failure.reason for image in images if image.failure]
    assert reasons[0] == "the file is empty (0 bytes)"
    assert reasons[1] == "the file does not exist"
    assert reasons[3] == "not a regular file"
    assert not any(str(tmp_path) in reason for reason in reasons)
    assert images[3].sha256 == sha256_bytes(png(0)[:40])
    assert images[1].sha256 is None


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(ImageError, match="bytes; at most"):
        FileSource(str(tmp_path / "big.png")).read()


def test_only_wanted_images_are_decoded(tmp_path: Path) -> None:
    asked = []

    def want(index: int, sha256: str) -> bool:
        asked.append((index, sha256))
        return index == 5

    images = list(iter_images(mixed(tmp_path), [5, 0, 3], workers=2, want=want))
    assert [image.pixels is not None for image in images] == [True, False, False]
    assert images[2].failure is None  # broken, but nobody wanted its pixels
    assert sorted(asked)[0] == (0, sha256_bytes(png(0)))


def test_hash_images(tmp_path: Path) -> None:
    hashes = hash_images(mixed(tmp_path), 2)
    assert hashes[0] == sha256_bytes(png(0))
    assert isinstance(hashes[1], Failure)
    assert isinstance(hashes[3], str)  # decoding is not tried


def test_batches_keep_order_and_shape(tmp_path: Path) -> None:
    batches = list(decode_batches(mixed(tmp_path), iter([[5, 0], [], [1], [3, 0, 5]]), workers=2, prefetch=2))
    assert [len(batch) for batch in batches] == [2, 0, 1, 3]
    np.testing.assert_array_equal(batches[0][0], pixels(5))
    assert isinstance(batches[2][0], Failure)
    np.testing.assert_array_equal(batches[3][1], pixels(0))


class Counting:
    """A source that counts how often any was read."""

    where = "counting"

    def __init__(self) -> None:
        self.reads = 0
        self._lock = threading.Lock()

    def read(self) -> bytes:
        with self._lock:
            self.reads += 1
        return png()


def test_reading_ahead_is_bounded_and_stops_with_the_caller() -> None:
    source = Counting()
    dataset = Dataset("d", Path(), tuple(map(str, range(100))), (source,) * 100)
    batches = decode_batches(dataset, ([n, n + 1] for n in range(0, 100, 2)), workers=2, prefetch=3)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert source.reads <= 6


def test_an_unexpected_error_is_not_swallowed() -> None:
    class Broken:
        where = "broken"

        def read(self) -> bytes:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(decode_batches(Dataset("d", Path(), ("x",), (Broken(),)), [[0]], workers=1))


def test_pillow_reads_what_the_png_writer_wrote() -> None:
    with Image.open(io.BytesIO(PixelSource(pixels(), "x").read())) as image:
        image.verify()
