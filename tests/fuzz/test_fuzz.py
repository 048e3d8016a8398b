"""Mutated files of every format end in success or in an error that FaceBench raises on purpose, never otherwise."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.formats import Format, formats, refused_or_read
from tests.fuzz.mutations import mutated

EXAMPLES = 320  # of each format with a share of one; together more than 20,000


def write(one: Format, root: Path) -> None:
    for name, content in one.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def examples(one: Format) -> int:
    return max(1, round(EXAMPLES * one.share))


@pytest.mark.parametrize("one", formats(), ids=lambda one: one.name)
def test_mutations_are_read_or_refused(one: Format, tmp_path: Path) -> None:
    write(one, tmp_path)
    one.read(tmp_path)

    @settings(
        max_examples=examples(one), deadline=10_000, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(seed=st.integers(0, 2**32 - 1))
    def mutate(seed: int) -> None:
        if one.writes:
            write(one, tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            refused_or_read(one, tmp_path, mutated(one.files[one.target], one.kind, seed))

    mutate()


def test_there_are_enough_examples() -> None:
    assert sum(map(examples, formats())) >= 20_000


def test_mutations_do_both() -> None:
    """A mutation that is always refused, or never, would test nothing."""
    plain = next(one for one in formats() if one.name == "manifest")
    versions = {mutated(plain.files[plain.target], plain.kind, seed) for seed in range(50)}
    assert len(versions) > 40
