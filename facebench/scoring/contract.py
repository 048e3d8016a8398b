"""The contracts of comparators and re-ranking comparators, for tests of plug-ins."""

from __future__ import annotations

from typing import Any

import numpy as np

from facebench.metrics.streams import FIXED_SEED
from facebench.scoring.comparators import PLAIN


def check_comparator_contract(comparator: Any, name: str) -> None:
    """Check a comparator: shapes, agreement of its two methods, symmetry, and that inputs stay as they are.

    Raises:
        AssertionError: says which rule is broken.
    """
    if name in PLAIN:
        return
    made = comparator() if callable(comparator) else comparator
    rng = np.random.default_rng(FIXED_SEED)
    left, right = rng.standard_normal((5, 16)), rng.standard_normal((7, 16))
    before = left.copy(), right.copy()
    matrix = np.asarray(made.matrix(left, right))
    assert matrix.shape == (5, 7), f"{name}: matrix gave {matrix.shape} for 5 x 7; expected (5, 7)"
    assert matrix.dtype.kind == "f", f"{name}: scores are {matrix.dtype}; expected floats"
    assert np.isfinite(matrix).all(), f"{name}: scores of finite embeddings are not finite"
    rows = np.asarray(made.rowwise(np.repeat(left, 7, axis=0), np.tile(right, (5, 1))))
    assert rows.shape == (35,), f"{name}: rowwise gave {rows.shape} for 35 pairs; expected (35,)"
    assert np.allclose(rows, matrix.ravel(), rtol=1e-9, atol=1e-12), f"{name}: rowwise and matrix differ"
    back = np.asarray(made.matrix(right, left))
    assert np.allclose(back.T, matrix, rtol=1e-9, atol=1e-12), f"{name}: the score depends on which face comes first"
    assert np.array_equal(before[0], left), f"{name} changed its inputs"
    assert np.array_equal(before[1], right), f"{name} changed its inputs"
    gap = left.copy()
    gap[2] = np.nan
    told = np.asarray(made.matrix(gap, right))
    others = [0, 1, 3, 4]
    assert np.allclose(told[others], matrix[others], rtol=1e-9), f"{name}: a failed image changes scores of others"


def check_reranker_contract(reranker: Any, name: str) -> None:
    """Check a re-ranking comparator: it says its method, and ranks a face itself above others.

    Raises:
        AssertionError: says which rule is broken.
    """
    made = reranker()
    assert isinstance(getattr(made, "method", None), str), f"{name}: `method` must say in words how it works"
    rng = np.random.default_rng(FIXED_SEED)
    query = rng.standard_normal((9, 8)).astype(np.float32)
    gallery = np.concatenate([query[None], rng.standard_normal((3, 9, 8)).astype(np.float32)])
    found = np.asarray(made.similarity(query, gallery))
    assert found.shape == (4,), f"{name}: similarity gave {found.shape} for 4 faces; expected (4,)"
    assert np.isfinite(found).all(), f"{name}: similarities are not finite"
    assert int(found.argmax()) == 0, f"{name}: a face is less similar to itself than to another"
