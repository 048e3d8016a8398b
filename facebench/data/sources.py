"""Where images come from: a file, a member of a zip archive, bytes or pixels inside another file.

A reader of a dataset format sees a `Tree`, so that a folder and an archive of that folder read alike.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.data.png import encode_png
from facebench.errors import InputError
from facebench.files import read_bytes

MAX_IMAGE_BYTES = 256 * 2**20
_MAX_ARCHIVE_BYTES = 2**30  # an archive may unpack to this much, or to _MAX_RATIO times its own size
_MAX_RATIO = 100


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
        except FileNotFoundError:
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
        try:
            _check_size(self.archive.getinfo(self.member).file_size)
            return self.archive.read(self.member)
        except KeyError:
            raise ImageError("the archive has no such file") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ImageError(f"the archive is damaged here: {error}") from error
        except OSError as error:
            raise ImageError(f"the archive cannot be read: {error.strerror or type(error).__name__}") from error


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


def _check_size(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise ImageError(f"the file has {size:,} bytes; an image has at most {MAX_IMAGE_BYTES:,}")


class Tree(Protocol):
    """Files under relative names with ``/``: a folder or an archive."""

    @property
    def root(self) -> Path:
        """The folder, or the archive file."""

    def where(self, name: str) -> str:
        """Where a file lies, for people."""

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def files(self) -> list[str]:
        """All files, sorted; hidden ones left out."""

    def top(self) -> list[str]:
        """The files of the uppermost level, sorted; hidden ones left out."""

    def read(self, name: str, what: str) -> bytes:
        """The bytes of a file that must be there; `what` names it in the error."""

    def source(self, name: str) -> ImageSource:
        """An image under that name, which need not exist; a name that leaves the tree is an InputError."""

    def path(self, name: str) -> Path:
        """The path on disk of a name, which need not exist; an archive refuses."""

    def reference(self, name: str) -> Path:
        """The path on disk of a name, or its path inside the archive; it need not exist."""


class FolderTree:
    """The files of a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}

    def where(self, name: str) -> str:
        """Return the path."""
        return str(self.root / name)

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self.root / name).is_file()

    def files(self) -> list[str]:
        """Return all files, sorted; hidden ones left out."""
        found = []
        for folder, folders, names in os.walk(self.root, onerror=_refuse_folder):
            folders[:] = [name for name in folders if not _hidden(name)]
            for name in folders:
                if (Path(folder) / name).is_symlink():  # the walk would pass it over
                    raise InputError(f"{Path(folder) / name} is a link to a folder; put the folder itself there")
            place = Path(folder).relative_to(self.root)
            found += [(place / name).as_posix() for name in names if not _hidden(name)]
        return sorted(found)

    def top(self) -> list[str]:
        """Return the files of the uppermost level, sorted; hidden ones left out."""
        with os.scandir(self.root) as entries:
            return sorted(entry.name for entry in entries if entry.is_file() and not _hidden(entry.name))

    def read(self, name: str, what: str) -> bytes:
        """Return the bytes of a file."""
        return read_bytes(self.path(name), what)

    def source(self, name: str) -> FileSource:
        """Return the image under that name."""
        return FileSource(self._locate(name))

    def path(self, name: str) -> Path:
        """Return the path of a name; one that leads out of the folder is an error."""
        return Path(self._locate(name))

    def reference(self, name: str) -> Path:
        """Return the path of a name."""
        return self.path(name)

    def _locate(self, name: str) -> str:
        path = f"{self._root}/{safe_name(name)}"  # as text: this runs once per image, and pathlib is slow
        folder = path.rpartition("/")[0]
        if folder not in self._inside:
            self._inside[folder] = self._is_inside(folder)
        if not self._inside[folder] or (os.path.islink(path) and not self._is_inside(path)):  # noqa: PTH114
            raise InputError(f"path {name!r} is a link that leads out of the dataset's folder; copy the file into it")
        return path

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self._real_root or real.startswith(self._real_root.rstrip(os.sep) + os.sep)


class ZipTree:
    """The files of a zip archive, read in place; a folder that holds everything else is seen through.

    Refused: encrypted members, names that leave the archive, a name given twice, and archives that unpack to
    implausibly much. Nothing is ever unpacked to disk, and one member at a time is in memory.
    """

    def __init__(self, path: Path) -> None:
        self.root = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a zip archive that can be read: {error}") from None
        except OSError as error:
            raise InputError(f"cannot read archive {path}: {error.strerror}") from error
        members = [info for info in self._archive.infolist() if not info.is_dir()]
        self._members = _checked_members(path, members)
        visible = sorted(name for name in self._members if not any(map(_hidden, name.split("/"))))
        self._prefix = _common_folder(visible)
        self._visible = [name[len(self._prefix) :] for name in visible]

    def where(self, name: str) -> str:
        """Return the archive and the member."""
        return f"{self.root}: {self._prefix}{name}"

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return self._prefix + name in self._members

    def files(self) -> list[str]:
        """Return all files, sorted; hidden ones left out."""
        return list(self._visible)

    def top(self) -> list[str]:
        """Return the files of the uppermost level, sorted; hidden ones left out."""
        return [name for name in self._visible if "/" not in name]

    def read(self, name: str, what: str) -> bytes:
        """Return the bytes of a file."""
        member = self._member(name)
        if member not in self._archive.NameToInfo:
            raise InputError(f"{what} not found: {self.where(name)}")
        try:
            return self._archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise InputError(f"cannot read {what} {self.where(name)}: {error}") from error

    def source(self, name: str) -> MemberSource:
        """Return the image under that name."""
        return MemberSource(self._archive, self._member(name))

    def _member(self, name: str) -> str:
        plain = self._prefix + safe_name(name)
        return self._members.get(plain, plain)

    def path(self, name: str) -> Path:
        """Refuse: what lies in an archive has no path."""
        raise InputError(f"{self.where(name)} must be a file of its own; unpack the archive and name the folder")

    def reference(self, name: str) -> Path:
        """Return the name of a member as a relative path."""
        return Path(self._member(name))


def safe_name(name: str) -> str:
    """Return a relative name in its plain form.

    >>> safe_name("./a//b.png")
    'a/b.png'

    Raises:
        InputError: absolute, with ``..``, ``\\`` or control characters, or empty.
    """
    if not name.isprintable():
        raise InputError(f"path {name!r} contains control characters")
    if "\\" in name:
        raise InputError(f"path {name!r} contains a backslash; separate folders by /")
    if name.startswith("/") or name[1:2] == ":":
        raise InputError(f"path {name!r} is absolute; write it relative to the dataset's folder")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InputError(f"path {name!r} leads out of the dataset's folder ('..'); move the file into it")
    if not parts:
        raise InputError(f"path {name!r} names no file")
    return "/".join(parts)


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"cannot read folder {error.filename}: {error.strerror}") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db")


def _checked_members(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    """Return the name of each member in the archive by its plain name."""
    names: dict[str, str] = {}
    for info in members:
        try:
            plain = safe_name(info.filename)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if plain in names:
            raise InputError(f"{path}: {info.filename!r} is in the archive twice; pack it again")
        if info.flag_bits & 1:
            raise InputError(f"{path}: {info.filename!r} is encrypted; pack it again without a password")
        names[plain] = info.filename
    total, packed = sum(info.file_size for info in members), path.stat().st_size
    if total > max(_MAX_ARCHIVE_BYTES, _MAX_RATIO * packed):
        raise InputError(f"{path} would unpack from {packed:,} to {total:,} bytes; refused as a likely zip bomb")
    return names


def _common_folder(names: list[str]) -> str:
    """Return ``"folder/"`` when all names lie in that one folder, else an empty string."""
    folders = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""
