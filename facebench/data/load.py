"""Reads a dataset of any format FaceBench knows."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facebench.data.benchmarks.faces import (
    fairface_file,
    is_utkface,
    read_fairface,
    read_megaface_list,
    read_utkface,
)
from facebench.data.benchmarks.ijb import ijb_file, read_ijb
from facebench.data.benchmarks.nist import nist_folder, read_nist_templates
from facebench.data.benchmarks.pairs import (
    agedb_file,
    bfw_file,
    calfw_file,
    is_cfp,
    read_agedb,
    read_bfw,
    read_calfw,
    read_cfp,
    read_rfw,
    rfw_files,
)
from facebench.data.bin_reader import bin_files, read_bin
from facebench.data.dataset import Dataset
from facebench.data.folders import has_identity_folders, read_folders
from facebench.data.left_out import with_left_out
from facebench.data.lfw import pair_files, read_lfw
from facebench.data.manifest import find_manifest, read_manifest
from facebench.data.trees import FolderTree, Tree, ZipTree
from facebench.errors import InputError
from facebench.files import check_file, is_folder, printable

MAX_CONTAINER_BYTES = 2**44  # an archive is read in place, member by member


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
    Format("IJB in insightface's layout (*_face_tid_mid.txt)", lambda tree: ijb_file(tree) is not None, read_ijb),
    Format(
        "IJB in NIST's layout (enroll_templates.csv)", lambda tree: nist_folder(tree) is not None, read_nist_templates
    ),
    Format("CFP (Protocol/Pair_list_F.txt)", is_cfp, read_cfp),
    Format("CALFW or CPLFW (pairs_CALFW.txt)", lambda tree: calfw_file(tree) is not None, read_calfw),
    Format("RFW (txts/RACE/RACE_pairs.txt)", lambda tree: bool(rfw_files(tree)), read_rfw),
    Format("a BFW datatable (bfw*.csv)", lambda tree: bfw_file(tree) is not None, read_bfw),
    Format("FairFace labels (fairface_label_*.csv)", lambda tree: fairface_file(tree) is not None, read_fairface),
    Format("an AgeDB protocol (*age*.mat)", lambda tree: agedb_file(tree) is not None, read_agedb),
    Format("an LFW pair list (pairs.txt) beside folders of images", lambda tree: bool(pair_files(tree)), read_lfw),
    Format("images named as in UTKFace (age_gender_race_date.jpg)", is_utkface, read_utkface),
    Format("one insightface .bin file", lambda tree: len(bin_files(tree)) == 1, _read_only_bin),
    Format("folders of images, one per identity", has_identity_folders, read_folders),
)


def load_dataset(path: Path, name: str = "faces", pairs: str | None = None) -> Dataset:
    """Read a dataset; no image is opened.

    `path` is a folder, a zip archive of such a folder, a manifest file, an insightface ``.bin`` file or a MegaFace list
    (``.json``). `name` is what the protocol calls it. `pairs` asks for a pair list: ``"own"`` for the dataset's
    own (``"own-templates"`` for that of its templates), or the name of a file in it; LFW and ``.bin`` bring theirs
    without being asked.

    Raises:
        InputError: nothing there, an unknown layout (the message lists what was looked for), or content that does
            not add up, with file and line.
    """
    path = Path(path)
    if is_folder(path):
        return _read_tree(FolderTree(path), name, pairs)
    check_file(path, "dataset", MAX_CONTAINER_BYTES)
    suffix = path.suffix.lower()
    reader = {".csv": read_manifest, ".parquet": read_manifest, ".bin": read_bin, ".json": read_megaface_list}
    if suffix in reader:
        tree = FolderTree(path.parent)
        return _told(reader[suffix](tree, path.name, name, pairs), tree, pairs)
    if suffix == ".zip" or zipfile.is_zipfile(path):
        return _read_tree(ZipTree(path), name, pairs)
    raise InputError(
        f"{printable(path)} is no dataset; expected a folder, a manifest (.csv, .parquet), a .zip archive, an "
        "insightface .bin or a MegaFace .json list"
    )


def _told(dataset: Dataset, tree: Tree, pairs: str | None) -> Dataset:
    read = pairs is not None or dataset.pairs is not None or dataset.template_pairs is not None
    return with_left_out(dataset, tree, pairs_read=read)


def _read_tree(tree: Tree, name: str, pairs: str | None) -> Dataset:
    for format_ in FORMATS:
        if format_.matches(tree):
            return _told(format_.read(tree, name, pairs), tree, pairs)
    looked_for = "; ".join(format_.sign for format_ in FORMATS)
    listing = ", ".join(tree.top()[:8]) or "no files"
    raise InputError(f"{tree.root} holds no dataset. Looked for: {looked_for}. Its top level has {listing}.")
