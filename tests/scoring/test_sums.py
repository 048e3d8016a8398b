"""Sums of functions of the score are those over every single comparison, and do not depend on who computes what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from facebench.scoring import engine
from facebench.scoring.arrange import arrange
from facebench.scoring.sums import BINS, STEPS, Functions, bins_of
from tests.scoring import naive
from tests.scoring.test_engine import make

LOW, HIGH = -1.1, 1.1


def functions() -> Functions:
    at = LOW + (np.arange(STEPS) + 0.5) * (HIGH - LOW) / STEPS
    return Functions(LOW, HIGH, 0.3, np.stack([at, at**2, np.exp(at)], axis=1))


@pytest.mark.parametrize(("people", "block"), [(90, 16), (12, 32), (400, 64)])
def test_sums_are_those_over_every_comparison(people: int, block: int) -> None:
    vectors, identity, labels = make(1, 150 if people < 400 else 400, people, 8, "mixed")
    if people == 400:
        identity = np.arange(400)  # one image each
    own = arrange(vectors, identity, labels, block=block, panels=5)
    every = naive.compare(own, identity)
    cells = naive.cells_of(own, identity, labels)
    found = engine.count(own, cells, [0.5], functions()).sums
    assert found is not None
    place = bins_of(every.impostor, LOW, HIGH)
    np.testing.assert_array_equal(found.fine, np.bincount(place, minlength=BINS))
    off = every.impostor.astype(np.float64) - 0.3
    assert (found.n, found.first, found.second) == (off.size, pytest.approx(off.sum()), pytest.approx((off**2).sum()))
    ends = identity[every.impostor_ends]
    n = int(identity.max()) + 1
    pair = ends.min(axis=1) * n + ends.max(axis=1)
    for f, values in enumerate(functions().values[place >> 8].T):
        each = np.bincount(ends.ravel(), np.repeat(values, 2), n)
        np.testing.assert_allclose(found.per_person[:, f], each[own.identity], atol=1e-9)
        k, m = np.bincount(pair, values), np.bincount(pair)
        assert found.squares[f] == pytest.approx(float(k @ k))
        assert found.products[f] == pytest.approx(float(k @ m))


def test_the_order_in_which_tiles_are_done_changes_no_bit() -> None:
    vectors, identity, labels = make(2, 300, 80, 8, "mixed")
    own = arrange(vectors, identity, labels, block=32, panels=6)
    cells = naive.cells_of(own, identity, labels)

    def backwards(_stage: str, function: Any, shared: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(tasks))):
            yield number, function(shared, tasks[number])

    plain, other = (engine.count(own, cells, [0.5], functions(), run=run).sums for run in (engine.run_here, backwards))
    assert plain is not None
    assert other is not None
    for name in ("fine", "per_person", "squares", "products", "first", "second"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))
