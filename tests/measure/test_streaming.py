"""A run too large to hold its scores says what a small one says; a killed one goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.execution.compute import Compute, torch_product
from facebench.measure.choose_engine import measure_any
from facebench.measure.every_score import Measurement
from facebench.measure.sample import Images
from facebench.measure.streaming_counts import Tallied, false_non_match_rate
from facebench.measure.study import points_of
from facebench.metrics import clusters
from facebench.schema import Estimate, ProtocolSpec
from facebench.scoring import compare_all

SPEC = ProtocolSpec.model_validate(
    {
        "name": "x", "title": "x", "primary_fmr_target": 0.01,
        "operating_points": [{"fmr_target": 0.1}, {"fmr_target": 0.01}, {"threshold": 0.55, "name": "vendor"}],
        "groups": {"attributes": ["race", "age"], "bins": {"age": [0, 40, 100]}},
        "identification": {"ranks": [1]}, "uncertainty": {"replicates": 400},
    }
)  # fmt: skip
LARGE = Compute(dense_limit=10, workers=2)


def make(n: int = 500, people: int = 120, *, failed: int = 0, known: bool = True) -> tuple[Images, np.ndarray]:
    rng = np.random.default_rng(4)
    identity = rng.integers(0, people, n)
    vectors = rng.standard_normal((people, 24))[identity] + 0.8 * rng.standard_normal((n, 24))
    vectors[:failed] = np.nan
    names = tuple(f"p{i}" for i in identity) if known else None
    attributes: dict[str, Any] = {
        "race": tuple(f"r{i % 3}" for i in identity),
        "age": tuple(rng.integers(18, 70, n).astype(float)),
    }
    return Images(tuple(map(str, range(n))), names, attributes), vectors.astype(np.float32)


def run(images: Images, vectors: np.ndarray, compute: Compute | None = None, spec: ProtocolSpec = SPEC) -> Measurement:
    return measure_any(spec, images, vectors, None, comparator="cosine", seed=0, compute=compute)


def by_key(found: Measurement) -> dict[tuple[Any, ...], Estimate]:
    return {(e.metric, e.point, e.group, e.group_b, e.condition, e.k, e.failures): e for e in found.estimates}


@pytest.mark.slow
@pytest.mark.parametrize(("failed", "known"), [(0, True), (7, True), (0, False)])
def test_large_equals_small(failed: int, known: bool) -> None:
    images, vectors = make(failed=failed, known=known)
    small, large = by_key(run(images, vectors)), run(images, vectors, LARGE)
    found = by_key(large)
    assert set(found) == set(small)
    widths: list[float] = []
    between: list[float] = []
    for key, e in found.items():
        other = small[key]
        if not key[0].startswith("equal_") and "debiased" not in key[0]:
            binned = key[0] in ("auc", "dprime", "cllr", "min_cllr")
            assert e.value == pytest.approx(other.value, abs=1e-6 if binned else 1e-12), key
        assert (e.errors, e.n_impostor, e.n_genuine) == (other.errors, other.n_impostor, other.n_genuine), key
        if e.threshold is not None:
            assert e.threshold == pytest.approx(other.threshold, abs=2e-6)
        # bounds of rates without errors, and the flags, are the same in both
        if key[0] in ("fmr", "fnmr", "tar", "eer"):
            assert set(e.flags) == set(other.flags), key
            if e.errors is not None and e.errors >= 10 and e.ci_low is not None and other.ci_low is not None:
                width = (e.ci_high - e.ci_low) / (other.ci_high - other.ci_low)  # type: ignore[operator]
                # where people carry several labels, the interval between groups may be too wide, never too narrow
                (between if key[3] and key[2].startswith("age") else widths).append(width)
    assert len(widths) >= 10
    assert min(widths + between) > 0.7
    assert max(widths) < 1.4
    assert 0.93 < float(np.median(widths)) < 1.07


@pytest.mark.parametrize(("policy", "failed"), [("worst", 0), ("reference:race=r1", 5), ("per-group", 0)])
def test_every_threshold_policy_reads_groups_as_all_scores_do(policy: str, failed: int) -> None:
    images, vectors = make(700, 180, failed=failed)
    spec = SPEC.model_copy(update={"threshold_policy": policy, "identification": None})
    small, found = by_key(run(images, vectors, None, spec)), by_key(run(images, vectors, LARGE, spec))
    assert set(found) == set(small)
    widths = []
    for key, e in found.items():
        other = small[key]
        assert (e.errors, e.threshold_source) == (other.errors, other.threshold_source), key
        assert e.threshold == (None if other.threshold is None else pytest.approx(other.threshold, abs=2e-6)), key
        if key[0] in ("fmr", "fnmr") and e.errors is not None and e.errors >= 10 and other.ci_low is not None:
            assert e.ci_low is not None
            width = (e.ci_high - e.ci_low) / (other.ci_high - other.ci_low)  # type: ignore[operator]
            assert width > 0.75, key
            widths.append(width)
    assert len(widths) >= 30
    assert max(widths) < 1.4
    assert 0.95 < float(np.median(widths)) < 1.05


@pytest.mark.slow
def test_twenty_thousand_images_have_every_figure() -> None:
    images, vectors = make(20_000, 4_000)
    spec = SPEC.model_copy(update={"threshold_policy": "worst", "identification": None})
    large = run(images, vectors, Compute(workers=2), spec)
    assert not large.unmeasured
    found = by_key(large)
    for metric in ("eer", "auc", "dprime", "cllr", "min_cllr"):
        e = found[metric, None, "all", None, "clean", None, "counted"]
        assert e.value is not None
        assert e.ci_low < e.value < e.ci_high  # type: ignore[operator]
    groups = [e for e in large.estimates if e.metric == "fmr" and e.group_b is None and e.group.startswith("race=")]
    at_target = [e for e in groups if e.fmr_target == 0.01 and e.condition == "clean"]
    assert len(at_target) == 3
    # the group that sets the threshold uses up its budget, the others stay below it
    assert max(e.value for e in at_target) == pytest.approx(0.01, abs=1e-5)  # type: ignore[type-var]


def test_a_reference_group_without_comparisons_is_named() -> None:
    images, vectors = make(60)
    lonely = Images(
        images.image_ids, images.identities, {**images.attributes, "race": ("alone", *images.attributes["race"][1:])}
    )
    spec = SPEC.model_copy(update={"threshold_policy": "reference:race=alone", "identification": None})
    with pytest.raises(InputError, match="race=alone has no impostor comparisons"):
        run(lonely, vectors, LARGE, spec)


@pytest.mark.parametrize("comparator", ["cosine", "dot", "euclidean"])
def test_separation_has_the_values_and_intervals_of_all_scores(comparator: str) -> None:
    images, vectors = make(failed=0 if comparator == "cosine" else 5)
    plain = SPEC.model_copy(update={"groups": None, "identification": None})
    small, large = (
        by_key(measure_any(plain, images, vectors, None, comparator=comparator, seed=0, compute=compute))
        for compute in (None, LARGE)
    )
    for key in (key for key in small if key[0] in ("auc", "dprime", "cllr", "min_cllr")):
        e, other = large[key], small[key]
        assert (e.flags, e.ci_method) == (other.flags, other.ci_method)
        assert (e.value is None) == (comparator != "cosine" and key[0] in ("dprime", "cllr"))
        if e.value is None or other.value is None:
            assert e.value == other.value
            continue
        bound = 1e-5 if key[0] == "min_cllr" else 1e-6  # dot products span hundreds: the bins are wide
        assert -1e-6 <= e.value - other.value <= bound, key
        assert (e.ci_low, e.ci_high) == (pytest.approx(other.ci_low, abs=2e-3), pytest.approx(other.ci_high, abs=2e-3))


def test_scores_that_separate_perfectly_or_not_at_all() -> None:
    images, vectors = make(60)
    people = np.unique(images.identity, return_inverse=True)[1]
    apart = np.eye(people.max() + 1, dtype=np.float32)[people]
    for given in (apart, np.ones_like(vectors)):
        small, large = (by_key(run(images, given, compute)) for compute in (None, LARGE))
        for key in (key for key in small if key[0] in ("auc", "dprime", "cllr", "min_cllr")):
            value = small[key].value
            assert large[key].value == (None if value is None else pytest.approx(value, abs=1e-6)), key
            assert large[key].flags == small[key].flags, key
            high = small[key].ci_high
            assert large[key].ci_high == (None if high is None else pytest.approx(high, abs=1e-4)), key


@pytest.mark.parametrize("fmr", [0.1, 0.01])
def test_the_slope_of_the_miss_rate_is_that_of_all_scores(fmr: float) -> None:
    """By how much the FNMR falls per FMR gained, counted from all scores between 0.8 and 1.2 times the FMR."""
    images, vectors = make()
    tallied = Tallied(images, vectors, [], points_of(SPEC), "cosine", LARGE)
    scores = compare_all(vectors, images.identity)
    falling = np.sort(scores.impostor)[::-1]
    high, low = (falling[round(share * fmr * falling.size) - 1] for share in (0.8, 1.2))
    expected = ((scores.genuine < high).mean() - (scores.genuine < low).mean()) / (0.4 * fmr)
    assert expected > 0.01
    assert tallied.slope(0, 0, fmr) == pytest.approx(expected, rel=0.05, abs=2 / scores.genuine.size / (0.4 * fmr))
    # and it stands in the variance
    t = sorted([0.1, 0.01]).index(fmr)
    missed, false = tallied.false_non_matches(0, 0, tallied.thresholds[t]), tallied.false_matches(0, t)
    wanted = clusters.added([(1.0, missed.of_rate), (expected, false.of_rate)]).variance
    assert false_non_match_rate(tallied, 0, 0, t).variance == pytest.approx(wanted, rel=0.02)


def test_an_equal_error_rate_without_errors_is_bounded_by_the_people_seen() -> None:
    images, _ = make()
    people = np.unique(images.identity, return_inverse=True)[1]
    vectors = np.eye(people.max() + 1, dtype=np.float32)[people]
    small, large = (by_key(run(images, vectors, compute))["eer", None, "all", None, "clean", None, "counted"]
                    for compute in (None, LARGE))  # fmt: skip
    assert large.ci_high == small.ci_high
    assert large.ci_high < 4 / 100  # type: ignore[operator]


def test_an_interrupted_run_computes_no_tile_twice(tmp_path: Path) -> None:
    images, vectors = make(5000, 900)
    plain = SPEC.model_copy(update={"groups": None, "identification": None})

    def stop(stage: str, done: int, _total: int) -> None:
        if stage == "count" and done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(images, vectors, Compute(dense_limit=10, folder=tmp_path, progress=stop), plain)
    kept = len(list(tmp_path.rglob("*.safetensors")))
    begun: dict[str, int] = {}
    compute = Compute(
        dense_limit=10, folder=tmp_path, progress=lambda stage, done, total: begun.update({f"{stage} {done}": total})
    )
    resumed = run(images, vectors, compute, plain)
    assert "select 1 1" not in begun  # all tiles of the first pass were there
    assert kept > 2
    fresh = run(images, vectors, Compute(dense_limit=10, workers=2), plain)
    assert resumed.estimates == fresh.estimates
    next(tmp_path.rglob("*.safetensors")).write_bytes(b"damaged")
    assert run(images, vectors, compute, plain).estimates == fresh.estimates
    compute.clear()
    assert not list(tmp_path.rglob("*.safetensors"))


KILLED = """
import sys
from pathlib import Path
import facebench.scoring.arrange as arrange
from facebench.execution.compute import Compute
from tests.measure.test_streaming import SPEC, make, run
images, vectors = make(5000, 900)
found = run(images, vectors, Compute(dense_limit=10, workers=2, folder=Path(sys.argv[1])))
print("\\n".join(e.model_dump_json() for e in found.estimates))
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_numbers(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "tiles")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env) as running:
        deadline = time.monotonic() + 300
        while len(list(tmp_path.rglob("*.safetensors"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.rglob("*.safetensors"))) >= 2
    ends = [
        subprocess.run([*command[:-1], str(tmp_path / folder)], capture_output=True, text=True, env=env, check=True)
        for folder in ("tiles", "fresh")
    ]
    assert ends[0].stdout == ends[1].stdout
    assert "wilson-delta" in ends[0].stdout


def test_torch_multiplies_the_same_scores() -> None:
    rng = np.random.default_rng(1)
    rows, columns = rng.standard_normal((7, 5)).astype(np.float32), rng.standard_normal((3, 5)).astype(np.float32)
    np.testing.assert_allclose(torch_product("cpu", rows, columns), rows @ columns.T, atol=1e-5)
    assert Compute(device="cuda").product.func is torch_product  # type: ignore[attr-defined]
    assert isinstance(Compute(device="cuda:1").product, partial)


def test_a_device_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    images, vectors = make(60)
    with pytest.raises(InputError, match="device 'cuda'"):
        run(images, vectors, Compute(dense_limit=10, device="cuda"))
