from __future__ import annotations

import numpy as np
import pytest

from facebench import compare
from tests.comparison import factory


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Four results of one protocol: the base, an equal one, a slightly noisier and a much worse one."""
    top = tmp_path_factory.mktemp("results")
    base = factory.vectors()
    rng = np.random.default_rng(1)
    made = {
        "base": base,
        "twin": base,
        "noisy": base + 0.1 * rng.standard_normal(base.shape),
        "worse": base + 1.4 * rng.standard_normal(base.shape),
    }
    return {name: factory.write_result(top / name, values, name=name) for name, values in made.items()}


@pytest.fixture(scope="session")
def comparison(folders):
    return compare(folders["base"], folders["noisy"], folders["worse"])
