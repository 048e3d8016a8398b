"""A PNG writer whose bytes depend on the pixels alone, not on which zlib a machine has."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_MAX_BLOCK = 0xFFFF  # bytes in one stored deflate block


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W) grey or (H, W, 3) RGB uint8 pixels as an uncompressed PNG, the same bytes everywhere.

    Compressors differ between machines and releases, which would change the sha256 that names an image.
    """
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()  # each row starts with filter type 0
    colour_type = 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", _store(raw)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _store(raw: bytes) -> bytes:
    """Return a zlib stream (RFC 1950) of stored deflate blocks (RFC 1951, 3.2.4)."""
    out = [b"\x78\x01"]
    for start in range(0, len(raw), _MAX_BLOCK):
        block = raw[start : start + _MAX_BLOCK]
        last = start + _MAX_BLOCK >= len(raw)
        out += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join(out) + struct.pack(">I", zlib.adler32(raw))
