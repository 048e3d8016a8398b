"""What is kept of an entry so that any two can be ranked on the same comparisons without their embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.comparable import load_side
from facebench.comparison.paired import Side
from facebench.errors import InputError
from facebench.files import read_bytes, write_atomic
from facebench.measure.saved import is_scored
from facebench.schema import Result
from facebench.scoring import MAX_IMAGES

SEED = 0


@dataclass(frozen=True, eq=False)
class Paired:
    """The leading operating point of one entry.

    Attributes:
        missed: (P,) which genuine comparisons were missed, in the order of the board's images.
        rates: (R,) FNMR in each bootstrap replicate, at the replicate's own threshold; the weights are those of seed 0
            for every entry, so that what makes a comparison hard for two models cancels.
        n_identities: with genuine comparisons.
    """

    missed: NDArray[np.bool_]
    rates: NDArray[np.float64]
    n_identities: int

    @property
    def value(self) -> float:
        """The FNMR."""
        return float(self.missed.mean())


def make_paired(result: Result, folder: Path) -> Paired | None:
    """Compute it from the files of a run; None where scores cannot be held, or identities are not known."""
    if is_scored(result):
        return None
    loaded = load_side(result, folder)
    if loaded.images.identities is None or (loaded.pairs is None and len(loaded.vectors) > MAX_IMAGES):
        return None
    side = Side(loaded, result.model.name, seed=SEED)
    t = side.targets.index(loaded.spec.primary)
    if side.miss_rates is None or not side.scores.genuine.size:
        return None
    missed = side.misses(side.points[t].threshold)
    return Paired(missed, side.miss_rates[:, t], int(np.unique(side.sample.genuine.first).size))


def save_paired(paired: Paired, path: Path) -> None:
    """Write it beside the entry; the same content gives the same bytes."""
    write_atomic(path, _content(paired))


def same_paired(paired: Paired, path: Path) -> bool:
    """Tell whether the file beside an entry holds just this."""
    stored = load_paired(path)
    return (
        stored is not None
        and np.array_equal(stored.missed, paired.missed)
        and np.allclose(stored.rates, paired.rates, rtol=1e-6, atol=1e-9, equal_nan=True)
        and stored.n_identities == paired.n_identities
    )


def _content(paired: Paired) -> bytes:
    from safetensors.numpy import save

    content: bytes = save(
        {
            "missed": np.packbits(paired.missed), "rates": np.ascontiguousarray(paired.rates),
            "sizes": np.array([paired.missed.size, paired.n_identities], np.int64),
        }
    )  # fmt: skip
    return content


def load_paired(path: Path) -> Paired | None:
    """Read it; None when there is none.

    Raises:
        InputError: the file is malformed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        return None
    try:
        tensors = load(read_bytes(path, "paired file"))
        n, n_identities = (int(size) for size in tensors["sizes"])
        missed = np.unpackbits(tensors["missed"], count=n).astype(bool)
        return Paired(missed, tensors["rates"].astype(np.float64), n_identities)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a paired file: {error}") from error
