"""What strangers may write into YAML and JSON: plain data, or an error that says where it is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench import files
from facebench.errors import InputError
from facebench.files import parse_json, parse_yaml, read_bytes, read_json, read_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name: !!python/object/apply:os.system ["true"]', "line 1: not valid YAML"),
        ("name: a\nname: b", "line 2: key 'name' is given twice"),
        ("{a: {b: 1}, ? [1, 2] : 3}", "keys must be plain words"),
        ("[" * 20000, "nested too deeply"),
        ("a: [1", "not valid YAML"),
    ],
)
def test_hostile_yaml(text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"policy p.yaml.*{words}"):
        parse_yaml(text, "policy p.yaml")


def bomb() -> str:
    """2^64 words, were its anchors unfolded."""
    return "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), "unfold to [0-9,]{20,} values"),
        ("&a [*a]", "line 1: the anchored value holds itself"),
        ("a: 1\nb: 2001-99-99", "line 2: '2001-99-99' is no timestamp"),
        ("a: !!int abc", "line 1: 'abc' is no int"),
        ("a: " + "9" * 5000, "line 1: '9{59} is no int"),
        ("<<: 3", "not valid YAML"),
        ("a: 0x_", "is no int"),
    ],
)
def test_yaml_that_is_not_what_it_looks_like(text: str, words: str) -> None:
    refusal = refused(parse_yaml, text, "policy p.yaml")
    assert re.search(words, refusal), refusal
    assert refusal.startswith("policy p.yaml")
    assert len(refusal) < 300


def refused(parse: Callable[[str, str], Any], text: str, where: str) -> str:
    """The message of the refusal; pytest.raises would show the whole bomb when it fails."""
    try:
        parse(text, where)
    except InputError as error:
        return str(error)
    return ""


def test_anchors_of_a_reasonable_size_are_read() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]", "p")["b"] == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ("[" * 200000, "nested too deeply"),
        ("{", "line 1: not valid JSON"),
        ('{"a": 1e999}', "1e999 is too large"),
        ('{"a": ' + "9" * 5000 + "}", "has 5,000 digits"),
        (r'{"a": "\ud800"}', "half of a surrogate pair"),
    ],
)
def test_hostile_json(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_json(path, "result")


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_json(r'"\ud83d\ude00 \\ud800"', "f") == "\N{GRINNING FACE} \\ud800"


@pytest.mark.parametrize("read", [read_bytes, read_json, read_yaml])
def test_what_is_no_regular_file_is_refused_before_it_is_read(read: Callable[[Path, str], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(2**40)  # takes no room on disk
    for path, words in (
        (tmp_path / "pipe", "pipe or a device"),
        (Path("/dev/zero"), "pipe or a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "huge", "1,099,511,627,776 bytes"),
        (tmp_path / ("x" * 5000), "File name too long"),
        (tmp_path / "a\0b", "is no path"),
        (tmp_path / "absent" / "b", "not found"),
    ):
        with pytest.raises(InputError, match=words) as refusal:
            read(path, "policy")
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 500


def test_released_pages_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    np.save(path, np.arange(5000.0))
    mapped = np.load(path, mmap_mode="r")
    files.release_pages(mapped[:10].reshape(2, 5))
    files.release_pages(mapped)
    np.testing.assert_array_equal(mapped, np.arange(5000.0))
    own = np.load(path, mmap_mode="c")
    own[0] = 7
    files.release_pages(own)
    assert own[0] == 7  # what was written here is in no file
    files.release_pages(np.arange(3))


def test_only_pages_of_mapped_files_that_are_read_only_are_released() -> None:
    import mmap

    class Spied(mmap.mmap):
        advised = 0

        def madvise(self, *_: int) -> None:
            self.advised += 1

    anonymous = Spied(-1, 4096)
    files.release_pages(np.ndarray(4096, np.uint8, buffer=anonymous))
    assert not anonymous.advised  # nobody said that these pages are in a file
