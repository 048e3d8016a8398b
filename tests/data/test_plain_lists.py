"""Lists read by column: the same dataset, or the same error with file and line, as line by line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.data import OWN_TEMPLATE_PAIRS, Dataset, load_dataset
from facebench.data.benchmarks import ijb
from facebench.data.plain_lists import TEXT, WHOLE, read_columns
from facebench.errors import InputError

from .writers import benchmarks as make

LISTS = [name for name in make.ijb() if not name.endswith(".jpg")]
SPOILS = st.sampled_from(
    ["", " ", "\n", "\n\n", "\r\n", "\t", ",", '"', "0", "7", "-", "-5", "x", "nan", "1e400", "é", "\x0b", "10 12 1\n",
     "99999999999999999999", "3000000000", "1.jpg 10 5\n", "2.5"]
)  # fmt: skip


def outcome(root: Path) -> tuple[object, ...] | str:
    try:
        found = load_dataset(root, pairs=OWN_TEMPLATE_PAIRS)
    except InputError as error:
        return str(error)
    return facts(found)


def facts(found: Dataset) -> tuple[object, ...]:
    assert found.template_pairs is not None
    assert found.detector_scores is not None
    pairs = found.template_pairs
    columns = [column.tolist() for column in (pairs.a, pairs.b, pairs.genuine, found.detector_scores)]
    points = [image.points.tolist() for image in found.images]  # type: ignore[attr-defined]
    return found.image_ids, found.identities, found.template_ids, found.media_ids, found.roles, columns, points


@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(LISTS), place=st.floats(0, 1), cut=st.integers(0, 6), spoil=SPOILS)
def test_by_column_as_line_by_line(name: str, place: float, cut: int, spoil: str) -> None:
    files = make.ijb()
    text = files[name] if isinstance(files[name], str) else files[name].decode()  # type: ignore[union-attr]
    at = round(place * len(text))
    files[name] = text[:at] + spoil + text[at + cut :]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for each, content in files.items():
            (root / each).parent.mkdir(parents=True, exist_ok=True)
            (root / each).write_bytes(content.encode() if isinstance(content, str) else content)
        found = outcome(root)
        with mock.patch.object(ijb, "read_columns", by_line):
            expected = outcome(root)
    assert found == expected


def by_line(
    data: bytes, kinds: list[str] | None, *, separator: str, blank_lines: bool = True
) -> list[mock.Mock] | None:
    """Read the pairs word by word, and leave all other lists to their own readers."""
    if blank_lines or kinds is None:
        return None
    rows = [line.split(separator.encode()) for line in data.splitlines()]
    if not all(len(row) == 3 and all(word.removeprefix(b"-").isdigit() for word in row) for row in rows):
        return None
    try:
        columns = [np.array([int(word) for word in column], np.int64) for column in zip(*rows, strict=True)]
    except OverflowError:
        return None
    return [mock.Mock(**{"to_numpy.return_value": column}) for column in columns]


def test_what_is_not_plain_is_left_to_the_caller() -> None:
    assert read_columns(b"a 1\nb 2\n", [TEXT, WHOLE], separator=" ") is not None
    for data in (
        b"",
        b'"a" 1\n',
        b"a  1\n",
        b"a 1 \n",
        b"a x\n",
        b"a 1 2\n",
        b"a\t1\n",
        b"\xc3\xa9 1\n",
        b"a 3000000000\n",
    ):
        assert read_columns(data, [TEXT, WHOLE], separator=" ") is None, data
    assert read_columns(b"a 1\n\nb 2\n", [TEXT, WHOLE], separator=" ", blank_lines=False) is None
