"""Adversarial images kept on request, as a dataset with a pair list that `facebench run` can judge again."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facebench.data.png import encode_png
from facebench.files import write_atomic
from facebench.sections.contract import RunContext
from facebench.sections.robustness.attacks.measure import Measured
from facebench.sections.robustness.attacks.sample import Victims

FOLDER = "attacked"


def save_examples(context: RunContext, n: int, victims: Sequence[Victims], measured: Sequence[Measured]) -> None:
    """Write the first `n` attacked images of every condition below ``attacked/`` beside the result.

    The folder is a dataset: `manifest.csv` lists the enrolled and the attacked images, `pairs.csv` their comparisons;
    the image id of an attacked image is ``<condition>/<number>``. Comparisons of enrolled faces of different people are
    added, since a run needs impostor comparisons.
    """
    root, images = context.images.image_ids, context.images
    by_goal = {one.goal: one for one in victims}
    manifest: list[tuple[str, str, str]] = []
    pairs: list[tuple[str, str, int]] = []
    enrolled: dict[int, None] = {}
    for cell in measured:
        goal = by_goal[cell.cell.goal]
        for number, row in enumerate(cell.rows[:n]):
            first, probe = int(goal.enrolled[row]), int(goal.probe[row])
            enrolled[first] = None
            for e, eps in enumerate(cell.cell.eps or (None,)):
                image_id = f"{cell.cell.condition(eps)}/{number}"
                path = f"images/{_plain(cell.cell.condition(eps))}/{number}.png"
                _write(context, path, cell.arrays["pixels"][number, e])
                manifest.append((image_id, path, _identity(images.identities, probe)))
                same = _identity(images.identities, probe) == _identity(images.identities, first)
                pairs.append((f"clean/{root[first]}", image_id, int(same)))
    for index in enrolled:
        path = f"images/clean/{index}.png"
        _write(context, path, context.faces(np.array([index]))[0])
        manifest.append((f"clean/{root[index]}", path, _identity(images.identities, index)))
    for a, b in pairwise(enrolled):
        if _identity(images.identities, a) != _identity(images.identities, b):
            pairs.append((f"clean/{root[a]}", f"clean/{root[b]}", 0))
    listing = _table(("image_id", "path", "identity"), manifest)
    write_atomic(context.options.out / FOLDER / "manifest.csv", listing)
    write_atomic(context.options.out / FOLDER / "pairs.csv", _table(("image_a", "image_b", "genuine"), pairs))


def _write(context: RunContext, path: str, face: NDArray[np.uint8]) -> None:
    write_atomic(context.options.out / FOLDER / path, encode_png(face))


def _identity(identities: Sequence[str] | None, index: int) -> str:
    return f"image-{index}" if identities is None else identities[index]


def _plain(condition: str) -> str:
    return re.sub(r"[^A-Za-z0-9.@-]+", "_", condition)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([columns, *rows])
    return stream.getvalue()
