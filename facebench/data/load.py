"""Reads a dataset of any format FaceBench knows."""

from __future__ import annotations

import zipfile
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
from facebench.data.format import Format
from facebench.data.left_out import with_left_out
from facebench.data.lfw import pair_files, read_lfw
from facebench.data.manifest import find_manifest, read_manifest
from facebench.data.trees import FolderTree, Tree, ZipTree
from facebench.errors import InputError, PluginError
from facebench.files import check_file, is_folder, printable
from facebench.registry import Registry

MAX_CONTAINER_BYTES = 2**44  # an archive is read in place, member by member


def _read_manifest(tree: Tree, name: str, pairs: str | None) -> Dataset:
    manifest = find_manifest(tree)
    assert manifest is not None
    return read_manifest(tree, manifest, name, pairs)


def _read_only_bin(tree: Tree, name: str, pairs: str | None) -> Dataset:
    return read_bin(tree, bin_files(tree)[0], name, pairs)


_IN_ORDER = {  # the first that matches is read
    "manifest": Format(
        "manifest.csv or manifest.parquet", lambda tree: find_manifest(tree) is not None, _read_manifest
    ),
    "ijb": Format(
        "IJB in insightface's layout (*_face_tid_mid.txt)", lambda tree: ijb_file(tree) is not None, read_ijb
    ),
    "ijb-nist": Format(
        "IJB in NIST's layout (enroll_templates.csv)", lambda tree: nist_folder(tree) is not None, read_nist_templates
    ),
    "cfp": Format("CFP (Protocol/Pair_list_F.txt)", is_cfp, read_cfp),
    "calfw": Format("CALFW or CPLFW (pairs_CALFW.txt)", lambda tree: calfw_file(tree) is not None, read_calfw),
    "rfw": Format("RFW (txts/RACE/RACE_pairs.txt)", lambda tree: bool(rfw_files(tree)), read_rfw),
    "bfw": Format("a BFW datatable (bfw*.csv)", lambda tree: bfw_file(tree) is not None, read_bfw),
    "fairface": Format(
        "FairFace labels (fairface_label_*.csv)", lambda tree: fairface_file(tree) is not None, read_fairface
    ),
    "agedb": Format("an AgeDB protocol (*age*.mat)", lambda tree: agedb_file(tree) is not None, read_agedb),
    "lfw": Format(
        "an LFW pair list (pairs.txt) beside folders of images", lambda tree: bool(pair_files(tree)), read_lfw
    ),
    "utkface": Format("images named as in UTKFace (age_gender_race_date.jpg)", is_utkface, read_utkface),
    "insightface-bin": Format("one insightface .bin file", lambda tree: len(bin_files(tree)) == 1, _read_only_bin),
    "folders": Format("folders of images, one per identity", has_identity_folders, read_folders),
}
_LAST = ("insightface-bin", "folders")  # they match much, so formats of plug-ins are asked before them

readers: Registry[Format] = Registry(
    "data format",
    builtin=_IN_ORDER,
    group="facebench.readers",
    page="data.md",
    contract="facebench.data.format:check_format_contract",
    about=lambda _, format_: f"Told by: {format_.sign}.",
)
"""Names to layouts of a folder or archive."""


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
    added = [known for known in readers.names() if known not in _IN_ORDER]
    order = [*(known for known in _IN_ORDER if known not in _LAST), *added, *_LAST]
    for known in order:
        with readers.blame(known):
            format_ = readers.get(known)
            if not format_.matches(tree):
                continue
            found = format_.read(tree, name, pairs)
        if not isinstance(found, Dataset):
            raise PluginError(f"data format {known!r} returned {type(found).__name__}; expected a Dataset")
        return _told(found, tree, pairs)
    looked_for = "; ".join(readers.get(known).sign for known in order)
    listing = ", ".join(tree.top()[:8]) or "no files"
    raise InputError(f"{tree.root} holds no dataset. Looked for: {looked_for}. Its top level has {listing}.")
