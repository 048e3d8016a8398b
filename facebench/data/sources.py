"""Where images come from: a file, a member of a zip archive, bytes or pixels inside another file."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.data.png import encode_png
from facebench.errors import InputError
from facebench.files import MAX_BYTES

MAX_IMAGE_BYTES = 256 * 2**20
BAD_ARCHIVE = (  # what zipfile and the decompressors raise on damaged or hostile members
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError, ValueError,
    KeyError, struct.error, OverflowError, IndexError,
)  # fmt: skip


class ImageError(InputError):
    """One image cannot be used; the message is a plain reason without a path, fit for a result file."""


class ImageSource(Protocol):
    """One encoded image that is read when asked for."""

    @property
    def where(self) -> str:
        """Where the image lies, for people."""

    def read(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            ImageError: it is missing, unreadable or too large.
        """


@dataclass(frozen=True, slots=True)
class FileSource:
    """An image file."""

    path: str

    @property
    def where(self) -> str:
        """Return the path."""
        return self.path

    def read(self) -> bytes:
        """Return the file's bytes; see `ImageSource.read`."""
        try:
            facts = Path(self.path).stat()
            if not stat.S_ISREG(facts.st_mode):  # reading a pipe or a device would never end
                raise ImageError("not a regular file")
            _check_size(facts.st_size)
            return Path(self.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ImageError("the file does not exist") from None
        except OSError as error:
            raise ImageError(f"the file cannot be read: {error.strerror or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class MemberSource:
    """An image inside a zip archive."""

    archive: zipfile.ZipFile
    member: str

    @property
    def where(self) -> str:
        """Return the archive and the member."""
        return f"{self.archive.filename}: {self.member}"

    def read(self) -> bytes:
        """Return the member's bytes; see `ImageSource.read`."""
        return read_member(self.archive, self.member, MAX_IMAGE_BYTES)


@dataclass(frozen=True, slots=True)
class BytesSource:
    """An encoded image held in memory."""

    data: bytes = field(repr=False)
    where: str

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data


@dataclass(frozen=True, slots=True, eq=False)
class PixelSource:
    """An image stored as pixels, (H, W) or (H, W, 3) uint8 RGB; it reads as PNG, the same bytes on every machine."""

    pixels: NDArray[np.uint8] = field(repr=False)
    where: str

    def read(self) -> bytes:
        """Return the image as PNG."""
        return encode_png(self.pixels)


def read_member(archive: zipfile.ZipFile, member: str, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a member, of which never more are unpacked than the archive's list says it has.

    Raises:
        ImageError: it is missing, damaged or too large.
    """
    try:
        size = archive.getinfo(member).file_size
        _check_size(size, limit)
        with archive.open(member) as stream:
            data = stream.read(size + 1)
    except KeyError as error:
        raise ImageError("the archive has no such file") from error
    except BAD_ARCHIVE as error:
        raise ImageError(f"the archive is damaged here: {error or type(error).__name__}") from error
    if len(data) != size:
        raise ImageError(f"the archive is damaged here: its list says {size:,} bytes, but there are others")
    return data


def _check_size(size: int, limit: int = MAX_IMAGE_BYTES) -> None:
    if size > limit:
        raise ImageError(f"the file has {size:,} bytes; at most {limit:,} are read")
