"""Reads a dataset of any format FaceBench knows."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facebench.data.bin_reader import bin_files, read_bin
from facebench.data.dataset import Dataset
from facebench.data.folders import has_identity_folders, read_folders
from facebench.data.lfw import pair_files, read_lfw
from facebench.data.manifest import find_manifest, read_manifest
from facebench.data.sources import FolderTree, Tree, ZipTree
from facebench.errors import InputError


@dataclass(frozen=True)
class Format:
    """One layout of a folder or archive."""

    sign: str  # what tells it, for people
    matches: Callable[[Tree], bool]
    read: Callable[[Tree, str, str | None], Dataset]


def _read_manifest(tree: Tree, name: str, pairs: str | None) -> Dataset:
    manifest = find_manifest(tree)
    assert manifest is not None
    return read_manifest(tree, manifest, name, pairs)


def _read_only_bin(tree: Tree, name: str, pairs: str | None) -> Dataset:
    return read_bin(tree, bin_files(tree)[0], name, pairs)


FORMATS = (  # the first that matches is read
    Format("manifest.csv or manifest.parquet", lambda tree: find_manifest(tree) is not None, _read_manifest),
    Format("an LFW pair list (pairs.txt) beside folders of images", lambda tree: bool(pair_files(tree)), read_lfw),
    Format("one insightface .bin file", lambda tree: len(bin_files(tree)) == 1, _read_only_bin),
    Format("folders of images, one per identity", has_identity_folders, read_folders),
)


def load_dataset(path: Path, name: str = "faces", pairs: str | None = None) -> Dataset:
    """Read a dataset; no image is opened.

    `path` is a folder, a zip archive of such a folder, a manifest file, or an insightface ``.bin`` file. `name` is
    what the protocol calls it. `pairs` asks for a pair list: ``"own"`` for the dataset's own, or the name of a file
    in it; LFW and ``.bin`` bring theirs without being asked.

    Raises:
        InputError: nothing there, an unknown layout (the message lists what was looked for), or content that does
            not add up, with file and line.
    """
    path = Path(path)
    if path.is_dir():
        return _read_tree(FolderTree(path), name, pairs)
    if not path.exists():
        raise InputError(f"dataset not found: {path}")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".parquet"):
        return read_manifest(FolderTree(path.parent), path.name, name, pairs)
    if suffix == ".bin":
        return read_bin(FolderTree(path.parent), path.name, name, pairs)
    if suffix == ".zip" or zipfile.is_zipfile(path):
        return _read_tree(ZipTree(path), name, pairs)
    raise InputError(
        f"{path} is no dataset; expected a folder, a manifest (.csv, .parquet), a .zip archive or an insightface .bin"
    )


def _read_tree(tree: Tree, name: str, pairs: str | None) -> Dataset:
    for format_ in FORMATS:
        if format_.matches(tree):
            return format_.read(tree, name, pairs)
    looked_for = "; ".join(format_.sign for format_ in FORMATS)
    listing = ", ".join(tree.top()[:8]) or "no files"
    raise InputError(f"{tree.root} holds no dataset. Looked for: {looked_for}. Its top level has {listing}.")
