"""One layout of a folder or archive, and the contract a reader keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facebench.data.dataset import Dataset
from facebench.data.trees import FolderTree, Tree
from facebench.files import write_atomic


@dataclass(frozen=True)
class Format:
    """One layout of a folder or archive.

    Attributes:
        sign: what tells it, for people: the file that must be there.
        matches: tells from a `Tree` (the folder or archive) whether it has this layout; opens no image.
        read: takes the tree, the name the protocol gives the dataset, and the pair list asked for (None for none,
            ``"own"`` for the dataset's own, or a file in it); returns the `Dataset`. It refuses what does not add up
            with an `InputError` that names file and line, and runs nothing that a file asks for.
    """

    sign: str
    matches: Callable[[Tree], bool]
    read: Callable[[Tree, str, str | None], Dataset]


def check_format_contract(format_: Any, name: str) -> None:
    """Check a reader: it is a `Format`, says its sign, and does not claim a folder of anything.

    Raises:
        AssertionError: says which rule is broken.
    """
    assert isinstance(format_, Format), f"{name} is {type(format_).__name__}; expected facebench.data.format.Format"
    assert format_.sign.strip(), f"{name}: `sign` must say what tells the layout"
    with tempfile.TemporaryDirectory() as folder:
        write_atomic(Path(folder) / "notes.txt", "nothing of a dataset\n")
        write_atomic(Path(folder) / "table.csv", "a,b\n1,2\n")
        assert not format_.matches(FolderTree(Path(folder))), f"{name} claims a folder that holds no dataset"
