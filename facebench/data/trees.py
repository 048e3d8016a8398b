"""The files of a dataset under relative names: a folder and an archive of that folder read alike."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from facebench.data.sources import BAD_ARCHIVE, FileSource, ImageError, ImageSource, MemberSource, read_member
from facebench.errors import InputError
from facebench.files import exists, printable, read_bytes

_MAX_ARCHIVE_BYTES = 2**30  # an archive may unpack to this much, or to _MAX_RATIO times its own size
_MAX_RATIO = 100


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

    def circles(self) -> list[str]:
        """Links to a folder they lie in, which `files` does not enter."""

    def neighbours(self, images: Iterable[ImageSource]) -> list[str]:
        """The names of all files in the folders of some images, sorted; hidden ones left out."""

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

    def head(self, name: str, size: int = 64) -> bytes:
        """The first bytes of a file; none when it cannot be read."""


class FolderTree:
    """The files of a folder on the user's own disk: links in it are followed, names that leave it are refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)
        self._files: list[str] | None = None
        self._circles: list[str] = []

    def where(self, name: str) -> str:
        """Return the path."""
        return str(self.root / name)

    def has(self, name: str) -> bool:
        """Return whether there is something of that name that can be read, or tried to: not a folder."""
        path = self.root / name
        return exists(path) and not path.is_dir()

    def files(self) -> list[str]:
        """Return all files, sorted; hidden ones left out. Links to folders are followed."""
        if self._files is None:
            self._files, self._circles = _walk(self.root)
        return self._files

    def circles(self) -> list[str]:
        """Return the links to a folder they lie in, which `files` does not enter."""
        return self._circles

    def neighbours(self, images: Iterable[ImageSource]) -> list[str]:
        """Return the names of all files in the folders of some images; hidden ones left out."""
        folders = {image.path.rpartition("/")[0] for image in images if isinstance(image, FileSource)}
        found: list[str] = []
        for folder in folders:
            place = f"{folder}/".removeprefix(f"{self._root}/")
            with suppress(OSError), os.scandir(folder) as entries:  # images that cannot be read fail when they are
                found += [f"{place}{entry.name}" for entry in entries if entry.is_file() and not _hidden(entry.name)]
        return sorted(found)

    def top(self) -> list[str]:
        """Return the files of the uppermost level, sorted; hidden ones left out."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(entry.name for entry in entries if entry.is_file() and not _hidden(entry.name))
        except OSError as error:
            raise _refused_folder(error) from error

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
        return f"{self._root}/{safe_name(name)}"  # as text: this runs once per image, and pathlib is slow

    def head(self, name: str, size: int = 64) -> bytes:
        """Return the first bytes of a file, none when it cannot be read or is no regular file."""
        path = self._locate(name)
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):
                return b""
            with Path(path).open("rb") as stream:
                return stream.read(size)
        except (OSError, ValueError):
            return b""


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """Return the names of all files below a folder, hidden ones left out, and the links that lead in a circle.

    A link to a folder is entered, unless it leads to a folder it lies in.
    """
    found: list[str] = []
    circles: list[str] = []
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_folder_id(root),))]
    while pending:
        place, above = pending.pop()
        try:
            with os.scandir(root / place) as entries:
                for entry in entries:
                    if _hidden(entry.name):
                        continue
                    name = f"{place}{entry.name}"
                    if not entry.is_dir():
                        found.append(name)
                    elif (own := _folder_id(root / name)) in above:
                        circles.append(name)
                    else:
                        pending.append((f"{name}/", (*above, own)))
        except OSError as error:
            raise _refused_folder(error) from error
    return sorted(found), sorted(circles)


def _folder_id(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


class ZipTree:
    """The files of a zip archive, read in place; a folder that holds everything else is seen through.

    Refused: encrypted members, names that leave the archive, a name given twice, and archives that unpack to
    implausibly much. Nothing is ever unpacked to disk, and one member at a time is in memory.
    """

    def __init__(self, path: Path) -> None:
        self.root = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise InputError(f"cannot read archive {printable(path)}: {error.strerror or error}") from error
        except BAD_ARCHIVE as error:
            raise InputError(f"{path} is not a zip archive that can be read: {error}") from None
        members = [info for info in self._archive.infolist() if not info.filename.endswith("/")]
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

    def circles(self) -> list[str]:
        """Return none: an archive holds no links."""
        return []

    def neighbours(self, images: Iterable[ImageSource]) -> list[str]:
        """Return the names of all files in the folders of some images; hidden ones left out."""
        folders = {image.member.rpartition("/")[0] for image in images if isinstance(image, MemberSource)}
        return [name for name in self._visible if self._member(name).rpartition("/")[0] in folders]

    def top(self) -> list[str]:
        """Return the files of the uppermost level, sorted; hidden ones left out."""
        return [name for name in self._visible if "/" not in name]

    def read(self, name: str, what: str) -> bytes:
        """Return the bytes of a file."""
        member = self._member(name)
        if member not in self._archive.NameToInfo:
            raise InputError(f"{what} not found: {self.where(name)}")
        try:
            return read_member(self._archive, member)
        except ImageError as error:
            raise InputError(f"cannot read {what} {self.where(name)}: {error}") from error

    def head(self, name: str, size: int = 64) -> bytes:
        """Return the first bytes of a member, none when it cannot be read."""
        try:
            with self._archive.open(self._member(name)) as stream:
                return stream.read(size)
        except BAD_ARCHIVE:
            return b""

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


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


def safe_name(name: str) -> str:
    """Return a relative name in its plain form.

    >>> safe_name("./a//b.png")
    'a/b.png'

    Raises:
        InputError: absolute, with ``..``, ``\\`` or control characters, or empty.
    """
    if _PLAIN_NAME.fullmatch(name):  # as nearly all are; this runs once per image
        return name
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


def _refused_folder(error: OSError) -> InputError:
    return InputError(f"cannot read folder {printable(str(error.filename))}: {error.strerror}")


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
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: {info.filename!r} is a link, which no archive may hold; pack the file itself")
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
