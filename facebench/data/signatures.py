"""Tells images by how they begin, whatever their files are called."""

from __future__ import annotations

_JPEG, _JPEG2000 = (".jpg", ".jpeg", ".jpe", ".jfif"), (".jp2", ".j2k", ".jpf", ".jpx", ".jpc")
_PORTABLE, _HEIF_FAMILY = (".ppm", ".pgm", ".pbm", ".pnm"), (".avif", ".heic", ".heif", ".hif")
_OTHERS = (".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif")
IMAGE_SUFFIXES = frozenset((*_JPEG, *_JPEG2000, *_PORTABLE, *_HEIF_FAMILY, *_OTHERS))
"""Endings of image files; such a file is an image even when it is broken, and then a recorded failure."""

_STARTS = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", ".jp2"),
    (b"\xff\x4f\xff\x51", ".j2k"),
)
_NETPBM = {b"1": ".pbm", b"2": ".pgm", b"3": ".ppm", b"4": ".pbm", b"5": ".pgm", b"6": ".ppm"}
_AVIF = (b"avif", b"avis")
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def image_ending(head: bytes) -> str:
    """Return the ending an image file has that begins with some bytes (64 are enough); empty when it is no image.

    >>> image_ending(b"\\x89PNG\\r\\n\\x1a\\n")
    '.png'
    """
    for start, ending in _STARTS:
        if head.startswith(start):
            return ending
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return ".bmp"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:1] == b"P" and head[1:2] in _NETPBM and head[2:3] in (b" ", b"\t", b"\n", b"\r"):
        return _NETPBM[head[1:2]]
    return _iso_ending(head)


def _iso_ending(head: bytes) -> str:
    """Return the ending of a picture in an ISO media file, whose first box lists the brands it agrees with."""
    if head[4:8] != b"ftyp":
        return ""
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, len(head), 4))]
    if any(brand in _AVIF for brand in brands):
        return ".avif"
    return ".heic" if any(brand in _HEIF for brand in brands) else ""
